"""The guided tour: run the demos, and write one page with their words, pictures and numbers.

``python -m demos`` lists them; ``python -m demos all --out tour`` runs all.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from demos import add_options, out_folder
from demos.cells import Stop, docstring, run
from demos.page import STOPS, page, title
from microgradlike.files import write

#: Demos that run at the same time: they need nothing of each other.
AT_A_TIME = 2


def main() -> None:
    """List the demos, or run some and write the page."""
    what = (__doc__ or "").partition("\n")[0].rstrip(".")
    parser = argparse.ArgumentParser(prog="python -m demos", description=what)
    parser.add_argument("names", nargs="*", metavar="name", help='demos to run, or "all"')
    add_options(parser)
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in (*STOPS, "all")]
    if unknown:
        parser.error(f'there is no demo {unknown[0]!r}: choose of {", ".join(STOPS)}, or "all"')
    if not chosen.names:
        for name in STOPS:
            print(f"{name:18} {title(docstring(name))}")
        print('\nRun one of them, or "all": python -m demos all --out tour')
        return
    out_folder(parser, chosen.out)
    names = STOPS if "all" in chosen.names else dict.fromkeys(chosen.names)
    stops = []
    for stop in run_all(names, chosen.out, chosen.seed):
        print(f"\n==== {stop.name} ====\n\n{stop.printed}", flush=True)
        stops.append(stop)
    print("\nAll on one page:", write(chosen.out / "index.html", page(stops).encode()))


def run_all(names: Iterable[str], out: Path, seed: int) -> Iterator[Stop]:
    """Run demos, two at a time if there are two processors; every 5 seconds say how far they are.

    Yields:
        The stops in the order of their names.
    """
    workers = min(AT_A_TIME, os.cpu_count() or 1)
    begun = time.perf_counter()
    processes = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=processes) as pool:
        running = {name: pool.submit(run, name, out, seed) for name in names}
        for name, stop in running.items():
            while not stop.done():
                concurrent.futures.wait([stop], timeout=5)
                waited = time.perf_counter() - begun
                left = [other for other, future in running.items() if not future.done()]
                if left:
                    told = f"{waited:4.0f} s: {len(left)} of {len(running)} still to come"
                    print(f"{told}, now {' and '.join(left[:workers])}", file=sys.stderr)
            yield stop.result()
            print(f"{name} took {stop.result().seconds:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
