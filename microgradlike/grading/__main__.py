"""Judges the engine in a student's file: ``python -m microgradlike.grading student.py``.

The exit code is 0 if it is right, 1 if it has a mistake, 2 if it could not be judged.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from microgradlike import files
from microgradlike.grading.apart import check_file


def main(words: Sequence[str]) -> int:
    """Print the verdict on a file, and write what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m microgradlike.grading",
        description="Judges the autograd engine in a Python file, in a process of its own.",
    )
    parser.add_argument("file", help="the file, with a class such as micrograd's Value")
    parser.add_argument("--class", dest="wanted", metavar="NAME", help="its name; by default Value")
    for name in ("data", "grad", "backward"):
        parser.add_argument(f"--{name}", default=name, help=f"what the class calls {name}")
    parser.add_argument(
        "--without", action="append", default=[], metavar="TOPIC", help="do not judge a topic"
    )
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for all; 10")
    parser.add_argument("--memory", type=int, default=1024, help="megabytes, on Linux; 1024")
    parser.add_argument("--json", metavar="FILE", help="write results as Gradescope reads them")
    parser.add_argument("--picture", metavar="FILE", help="draw the first mistake: .svg or .png")
    given = vars(parser.parse_args(words))
    results, picture = given.pop("json"), given.pop("picture")
    try:
        verdict = check_file(given.pop("file"), given.pop("wanted"), **given)
        print(verdict)
        if results:
            files.write(results, json.dumps(verdict.as_json(), indent=2).encode())
        if picture and any(mistake.probe for mistake in verdict.mistakes[:1]):
            print(verdict.save_picture(picture))
    except (OSError, TypeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if verdict else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
