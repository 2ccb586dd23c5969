"""Scripts that a newcomer runs, and notebooks to read: each cell begins with ``# %%``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import viz
from microgradlike.files import make_folder


@dataclass(frozen=True)
class Figure:
    """Something to look at, with its caption: a picture, a page to play with, or an equation.

    Attributes:
        content: the file of a picture or of a page; the MathML of an equation.
        caption: what to see in it.
    """

    content: Path | str
    caption: str

    @property
    def kind(self) -> str:
        """Either "picture", "page" or "equation"."""
        if isinstance(self.content, str):
            return "equation"
        return "page" if self.content.suffix == ".html" else "picture"


@dataclass
class Demo:
    """What a demo was asked for, and what it has shown so far.

    Attributes:
        out: the folder for the results.
        seed: of everything that is drawn at random.
        figures: in the order in which they were shown.
    """

    out: Path
    seed: int
    figures: list[Figure] = field(default_factory=list)

    def show(self, picture: Any, name: str, caption: str) -> None:
        """Save a picture of viz or of matplotlib."""
        path = self.out / name
        self.wrote(
            picture.save(path) if hasattr(picture, "save") else viz.save(picture, path), caption
        )

    def wrote(self, path: Path, caption: str) -> None:
        """Say so, and remember it for the tour; in a notebook a picture appears as well."""
        self.figures.append(Figure(path, caption))
        print("wrote", path)
        if _in_notebook() and path.suffix in (".svg", ".png"):
            from IPython.display import SVG, Image, display

            display(SVG(str(path)) if path.suffix == ".svg" else Image(str(path)))

    def equation(self, mathml: str, caption: str) -> None:
        """Show a typeset formula in the tour, and in a notebook; a terminal cannot.

        Args:
            mathml: one ``<math>`` element, or several, of which each gets a line.
            caption: what the formula says, in words.
        """
        self.figures.append(Figure(mathml, caption))
        if _in_notebook():
            from IPython.display import HTML, display

            display(HTML(mathml))


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
