"""A demo as a notebook: its cells, run one after the other, and what each of them showed."""

from __future__ import annotations
import __future__

import ast
import contextlib
import io
import re
import sys
import time
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from demos import Album, Figure, Output, Prose, collected

HERE = Path(__file__).parent

#: As ``from __future__ import annotations`` at the top of a script, which holds for all its cells.
ANNOTATIONS = __future__.annotations.compiler_flag

#: What begins a cell: ``# %%``, or ``# %% [markdown]`` where its comments are text.
_BEGIN = re.compile(r"^# %%( \[markdown\])?$", re.M)


@dataclass(frozen=True)
class Cell:
    """Some lines of a demo: text in markdown, or code."""

    text: str
    is_markdown: bool
    first_line: int


@dataclass(frozen=True)
class Stop:
    """A demo that was run.

    Attributes:
        name: that of its script.
        docstring: of the script.
        shown: its prose, its output and its figures, in the order of the script.
        facts: numbers that the tour's introduction quotes.
        seconds: how long it took.
    """

    name: str
    docstring: str
    shown: list[Prose | Output | Figure]
    facts: dict[str, str]
    seconds: float

    @property
    def printed(self) -> str:
        """What it printed and said."""
        return "\n\n".join(part.text for part in self.shown if not isinstance(part, Figure))


def docstring(name: str) -> str:
    """The docstring of a demo, which is not run."""
    return ast.get_docstring(ast.parse(source(name))) or ""


def cells(script: str) -> list[Cell]:
    r"""The cells of a script; what comes before the first of them is its docstring.

    >>> for cell in cells("# %% [markdown]\n# A *sum*.\n\n# %%\nprint(1 + 1)\n"):
    ...     print(cell)
    Cell(text='A *sum*.', is_markdown=True, first_line=2)
    Cell(text='print(1 + 1)', is_markdown=False, first_line=5)
    """
    begins = list(_BEGIN.finditer(script))
    ends = [begin.start() for begin in begins[1:]] + [len(script)]
    found = []
    for begin, end in zip(begins, ends, strict=True):
        text = script[begin.end() + 1 : end]
        if begin[1]:
            comments = (line for line in text.splitlines() if line.startswith("#"))
            text = "\n".join(line[1:].removeprefix(" ") for line in comments)
        found.append(Cell(text.strip("\n"), bool(begin[1]), 2 + script.count("\n", 0, begin.end())))
    return found


def run(name: str, out: Path, seed: int) -> Stop:
    """Run a demo as ``python -m`` does, cell after cell."""
    begun = time.perf_counter()
    text, file = source(name), str(HERE / f"{name}.py")
    tree = ast.parse(text, file)
    module = types.ModuleType("__main__", ast.get_docstring(tree))
    module.__file__ = file
    arguments, sys.argv = sys.argv, [file, "--out", str(out), "--seed", str(seed)]
    found = cells(text)
    ends = [cell.first_line for cell in found[1:]] + [text.count("\n") + 2]
    try:
        with collected() as album, contextlib.redirect_stdout(_Printed(album)):
            for cell, end in zip(found, ends, strict=True):
                if cell.is_markdown:
                    album.shown.append(Prose(cell.text))
                # Statements of the whole tree: their line numbers are those of the file.
                body = [node for node in tree.body if cell.first_line <= node.lineno < end]
                code = compile(ast.Module(body, []), file, "exec", ANNOTATIONS, dont_inherit=True)
                exec(code, module.__dict__)
    finally:
        sys.argv = arguments
    seconds = time.perf_counter() - begun
    return Stop(name, module.__doc__ or "", list(_tidy(album.shown)), album.facts, seconds)


class _Printed(io.TextIOBase):
    """A standard output that puts what is printed into an album."""

    def __init__(self, album: Album) -> None:
        self._album = album

    def write(self, text: str) -> int:
        shown = self._album.shown
        last = shown[-1] if shown else None
        if isinstance(last, Output):
            shown[-1] = Output(last.text + text)
        else:
            shown.append(Output(text))
        return len(text)


def _tidy(shown: Iterable[Prose | Output | Figure]) -> Iterator[Prose | Output | Figure]:
    """Without the names of files, which only a terminal needs, and without empty output."""
    for part in shown:
        if isinstance(part, Output):
            lines = part.text.splitlines()
            text = "\n".join(line for line in lines if not line.startswith("wrote "))
            part = Output(text.strip("\n"))
        if not isinstance(part, Output) or part.text:
            yield part


def source(name: str) -> str:
    """The script of a demo."""
    return (HERE / f"{name}.py").read_text(encoding="utf-8")
