"""Scripts that a newcomer runs, and notebooks to read: each cell begins with ``# %%``."""

from __future__ import annotations

import argparse
import base64
import contextlib
import html
import re
import sys
import textwrap
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import viz
from demos.prose import plain
from microgradlike.files import make_folder
from microgradlike.typeset import in_cell
from microgradlike.words import decimal
from viz.figure import DPI
from viz.frame import page_frame, picture_frame

# ---- What a demo shows ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Prose:
    """Sentences, in markdown."""

    text: str


@dataclass(frozen=True)
class Output:
    """Lines that were printed."""

    text: str


@dataclass(frozen=True)
class Figure:
    """Something to look at, with its caption: a picture, a page to play with, or an equation.

    Attributes:
        content: the file of a picture or of a page; the MathML of an equation.
        caption: what to see in it.
    """

    content: Path | str
    caption: str


@dataclass
class Album:
    """All that a demo shows, for the tour.

    Attributes:
        shown: in the order of the script.
        facts: numbers that the introduction of the tour quotes, by the names of its slots.
    """

    shown: list[Prose | Output | Figure] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)


_album: ContextVar[Album | None] = ContextVar("album", default=None)


@contextlib.contextmanager
def collected() -> Iterator[Album]:
    """Within it a demo fills the album, instead of telling the terminal."""
    token = _album.set(Album())
    try:
        yield _album.get() or Album()
    finally:
        _album.reset(token)


# ---- Numbers -----------------------------------------------------------------------------------


def three(value: float) -> str:
    """The number as a sentence has it: three significant digits, and no power of ten.

    >>> three(-0.0000136), three(2034.6)
    ('−0.0000136', '2,030')
    """
    return decimal(value).replace("-", "−")


def png_width(path: Path) -> int:
    """How many pixels of a page a picture by matplotlib takes: it is for 160 dots an inch."""
    return round(int.from_bytes(path.read_bytes()[16:20], "big") / DPI * 96)


# ---- The demo ----------------------------------------------------------------------------------


@dataclass
class Demo:
    """What a demo was asked for, and how it shows what it found.

    Attributes:
        out: the folder for the results.
        seed: of everything that is drawn at random.
    """

    out: Path
    seed: int

    def say(self, text: str) -> None:
        """Say something in markdown, with numbers of this run: a paragraph, or a list."""
        album = _album.get()
        if album is not None:
            album.shown.append(Prose(text))
        elif _in_notebook():
            from IPython.display import Markdown, display

            display(Markdown(text))
        else:
            blocks = re.split(r"\n\n|\n(?=- )", text)
            told = (
                textwrap.fill(plain(block), 100, subsequent_indent="  " * block.startswith("- "))
                for block in blocks
            )
            print("\n" + "\n".join(told) + "\n")

    def show(self, picture: Any, name: str, caption: str) -> None:
        """Save a picture of viz or of matplotlib."""
        path = self.out / name
        self.wrote(
            picture.save(path) if hasattr(picture, "save") else viz.save(picture, path), caption
        )

    def wrote(self, path: Path, caption: str) -> None:
        """Say that a picture or a page was written; in a notebook it appears."""
        album = _album.get()
        if album is not None:
            album.shown.append(Figure(path, caption))
        elif not _in_notebook():
            print("wrote", path)
        elif path.suffix == ".png":
            coded = base64.b64encode(path.read_bytes()).decode()
            source = f'src="data:image/png;base64,{coded}" alt="{html.escape(plain(caption))}"'
            self._display(f'<img {source} width="{png_width(path)}">', caption)
        elif path.suffix == ".svg":
            self._display(picture_frame(path.read_text("utf-8"), plain(caption)), caption)
        else:
            page = path.read_text("utf-8")
            named = re.findall("<title>(.*?)</title>", page)[0]  # the caption comes below
            self._display(page_frame(page, html.unescape(named)), caption)

    def equation(self, mathml: str, caption: str) -> None:
        """Show a typeset formula in the tour, and in a notebook; a terminal cannot.

        Args:
            mathml: one ``<math>`` element, or several, of which each gets a line.
            caption: what the formula says, in words.
        """
        album = _album.get()
        if album is not None:
            album.shown.append(Figure(mathml, caption))
        elif _in_notebook():
            self._display(in_cell(mathml, "Run this cell to see the equation."), caption)

    def _display(self, shown: str, caption: str) -> None:
        """Show something in a notebook, and below it what to see there."""
        from IPython.display import display

        display({"text/html": shown, "text/plain": plain(caption)}, raw=True)
        display({"text/markdown": caption, "text/plain": plain(caption)}, raw=True)

    def facts(self, **numbers: str) -> None:
        """Numbers that the introduction of the tour quotes."""
        album = _album.get()
        if album is not None:
            album.facts.update(numbers)


def options(description: str | None) -> Demo:
    """The options that every demo takes: ``--out``, a folder that is made, and ``--seed``."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    add_options(parser)
    # The arguments of a notebook's kernel are not ours.
    chosen = parser.parse_args([] if _in_notebook() else None)
    out_folder(parser, chosen.out)
    return Demo(chosen.out, chosen.seed)


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--out``, and ``--seed``: a whole number, not below zero, which not all generators take."""

    def seed(text: str) -> int:
        if not text.isdecimal():
            raise argparse.ArgumentTypeError(f"a seed is a whole number from 0 on, not {text!r}")
        return int(text)

    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    words = "of everything that is drawn at random"
    parser.add_argument("--seed", type=seed, default=0, help=words)


def out_folder(parser: argparse.ArgumentParser, out: Path) -> None:
    """Make the folder, or say in a sentence why not."""
    try:
        make_folder(out)
    except OSError as error:
        parser.error(str(error))


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules
