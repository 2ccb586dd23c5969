"""Makes exercises, and prints them or writes them to a file.

    python -m microgradlike.exercises --level 3 --count 20 --seed 7
    python -m microgradlike.exercises --kind two_paths --out sheet.html
    python -m microgradlike.exercises --function "(a + b) * (b + 1)" --out quiz.xml

A file that ends in .html is for paper, .xml for Moodle, .ipynb a notebook, .json for a page.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Sequence

from microgradlike.exercises.exercise import Exercise
from microgradlike.exercises.files import FORMATS, save
from microgradlike.exercises.making import KINDS, generate


def main(words: Sequence[str] | None = None) -> None:
    """Make the exercises that the words ask for.

    Raises:
        SystemExit: the words are wrong, or nothing can be made of them; a sentence says why.
    """
    parser = argparse.ArgumentParser(
        prog="python -m microgradlike.exercises",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--level", type=int, default=3, help="from 1 to 10; 3 by default")
    parser.add_argument("--count", type=int, default=10, help="how many; 10 by default")
    parser.add_argument("--seed", type=int, default=0, help="which ones; 0 by default")
    parser.add_argument("--kind", help=f"one of {', '.join(KINDS)}; they take turns by default")
    parser.add_argument("--function", help='in the place of the level: "(a + b) * (b + 1)"')
    parser.add_argument("--out", help="the file to write; without it they are printed")
    parser.add_argument("--format", help=f"one of {', '.join(FORMATS)}; the file's name tells it")
    parser.add_argument("--versions", type=int, default=3, help="of a sheet on paper; 3 by default")
    given = parser.parse_args(words)
    try:
        if given.out:
            path = save(
                given.out,
                given.level,
                given.count,
                given.seed,
                kind=given.kind,
                of=given.function,
                format=given.format,
                versions=given.versions,
            )
            print(path)
        else:
            made = generate(
                given.level, given.count, given.seed, kind=given.kind, of=given.function
            )
            print("\n\n".join(_told(made)))
    except (TypeError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


def _told(made: Sequence[Exercise]) -> Iterator[str]:
    """All questions, then all answers."""
    for place, one in enumerate(made, 1):
        lines = one.question.split("\n")
        if one.form == "choice":
            lines.append(f"({' / '.join(one.choices)})")
        yield textwrap.indent("\n".join(lines), "    ").replace("    ", f"{place:>2}. ", 1)
    yield "Key"
    yield "\n".join(f"{place:>2}. {one.key}" for place, one in enumerate(made, 1))


if __name__ == "__main__":
    main()
