"""A picture: DOT text, and how a notebook or a file gets to see it."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

from microgradlike.files import ending_in, write
from viz.render import FORMATS, Engine, check_engine, finish, layout, text


class Picture:
    """A drawn graph: shown in a notebook as it is, or written to a file with ``save``.

    Args:
        source: the picture as DOT text.
        title: what it shows, in a sentence.
        titles: for the DOT name of each node, and the id of each edge, its words.
        engine: the layout program; None for the one that is there.
    """

    def __init__(
        self, source: str, title: str, titles: Mapping[str, str], engine: Engine | None
    ) -> None:
        check_engine(engine)
        self.source = source
        self._title = title
        self._titles = titles
        self._engine = engine

    def svg(self) -> str:
        """The picture as SVG: with words for every node and edge, for light and dark pages.

        Raises:
            RenderError: no layout program is installed.
        """
        return text(self.element())

    def element(self) -> ElementTree.Element:
        """The same as an element that can be changed, with the name of each group in its data."""
        return finish(layout(self.source, "svg", self._engine), self._title, self._titles)

    def pipe(self, format: str = "svg") -> bytes:
        """The picture as the bytes of a file in the format "svg", "png", "pdf", "json" or "dot".

        Raises:
            ValueError: there is no such format.
            RenderError: no layout program that can make it is installed.
        """
        if format == "svg":
            return self.svg().encode()
        return layout(self.source, format, self._engine)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file, whose suffix tells the format; it is written whole or not.

        Returns:
            The path.

        Raises:
            TypeError, ValueError: the name does not end in .svg, .png, .pdf, .json or .dot.
            RenderError: no layout program that can make it is installed.
            OSError: the file cannot be written.
        """
        named = ending_in(path, "a picture", *(f".{format}" for format in FORMATS))
        return write(path, self.pipe(named.suffix.lower()[1:]))

    def __repr__(self) -> str:
        return f"<Picture: {self._title}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg(), "text/plain": repr(self)}
