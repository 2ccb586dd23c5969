"""Scripts that a newcomer runs, and notebooks to read: each cell begins with ``# %%``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import viz
from microgradlike.files import make_folder


@dataclass
class Demo:
    """What a demo was asked for, and what it has written so far.

    Attributes:
        out: the folder for the results.
        seed: of everything that is drawn at random.
        written: each file with its caption.
    """

    out: Path
    seed: int
    written: list[tuple[Path, str]] = field(default_factory=list)

    def show(self, picture: Any, name: str, caption: str) -> None:
        """Save a picture of viz or of matplotlib; in a notebook it appears as well."""
        path = self.out / name
        self.wrote(
            picture.save(path) if hasattr(picture, "save") else viz.save(picture, path), caption
        )
        if _in_notebook():
            from IPython.display import display

            display(picture)

    def wrote(self, path: Path, caption: str) -> None:
        """Say so, and remember it for the tour."""
        print("wrote", path)
        self.written.append((path, caption))


def options(description: str | None) -> Demo:
    """The options that every demo takes: ``--out``, a folder that is made, and ``--seed``."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn at random")
    # The arguments of a notebook's kernel are not ours.
    chosen = parser.parse_args([] if _in_notebook() else None)
    out_folder(parser, chosen.out)
    return Demo(chosen.out, chosen.seed)


def out_folder(parser: argparse.ArgumentParser, out: Path) -> None:
    """Make the folder, or say in a sentence why not."""
    try:
        make_folder(out)
    except OSError as error:
        parser.error(str(error))


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules
