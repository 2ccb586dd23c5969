"""A picture: DOT text, and how a notebook or a file gets to see it."""

from __future__ import annotations

import copy
import os
import shutil
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from microgradlike.files import ending_in, write
from viz import style
from viz.render import DPI, FORMATS, Engine, check_engine, finish, layout, pdf, text


class Picture:
    """A drawn graph: shown in a notebook as it is, or written to a file with ``save``.

    Args:
        source: the picture as DOT text.
        title: what it shows, in a sentence.
        titles: for the DOT name of each node, and the id of each edge, its words.
        engine: the layout program; None for the one that is there.
        theme: "auto" for the colours of the reader's page, "light" or "dark".
        colours: other colours for some roles.
    """

    def __init__(
        self,
        source: str,
        title: str,
        titles: Mapping[str, str],
        engine: Engine | None,
        theme: style.Theme = "auto",
        colours: Mapping[str, str] | None = None,
    ) -> None:
        check_engine(engine)
        style.check_theme(theme, colours)
        self.source = style.repainted(source, theme, colours or {})
        self._title = title
        self._titles = titles
        self._engine = engine
        self._theme = theme
        page = style.DARK[style.PAGE] if theme == "dark" else style.PAGE
        self._ground = (colours or {}).get("page", page)

    def svg(self, transparent: bool = False) -> str:
        """The picture as SVG: with words for every node and edge, for light and dark pages.

        Args:
            transparent: whether the page shows behind it.

        Raises:
            RenderError: no layout program is installed.
        """
        shown = copy.copy(self)
        shown._ground = "none" if transparent else self._ground
        return text(shown.element())

    def element(self) -> ElementTree.Element:
        """The same as an element that can be changed, with the name of each group in its data."""
        svg = layout(self.source, "svg", self._engine)
        return finish(svg, self._title, self._titles, self._theme, self._ground)

    def pipe(
        self,
        format: str = "svg",
        *,
        dpi: float | None = DPI,
        transparent: bool = False,
        own_ground: bool = False,
    ) -> bytes:
        """The picture as the bytes of a file.

        Args:
            format: "svg", "png", "jpg", "pdf", "json" or "dot".
            dpi: the pixels of a PNG or JPG to an inch; a page shows 96. Where that made more than
                16 million pixels there are fewer, and a warning says so.
            transparent: whether what is behind an SVG or PNG shows through.
            own_ground: whether the DOT text itself tells what is behind.

        Raises:
            ValueError: there is no such format.
            ImportError: a JPG needs Pillow.
            RenderError: no program that can make it is installed.

        >>> picture = Picture("digraph { a -> b }", "two nodes", {}, None)
        >>> len(picture.pipe("png", dpi=48)) < len(picture.pipe("png", dpi=300))
        True
        """
        if format == "svg":
            return self.svg(transparent).encode()
        if format == "pdf" and self._engine is None and not shutil.which("dot"):
            made = pdf(lambda: self.svg(transparent=True))
            if made is not None:
                return made
        ground = "transparent" if transparent else self._ground
        return layout(self.source, format, self._engine, dpi, None if own_ground else ground)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        dpi: float = DPI,
        transparent: bool = False,
    ) -> Path:
        """Write the picture to a file, whose suffix tells the format; it is written whole or not.

        Args:
            path: where to.
            dpi, transparent: as for ``pipe``.

        Returns:
            The path.

        Raises:
            TypeError, ValueError: the name does not end in .svg, .png, .jpg, .pdf, .json or .dot.
            ImportError: a JPG needs Pillow.
            RenderError: no program that can make it is installed.
            OSError: the file cannot be written.
        """
        named = ending_in(path, "a picture", *(f".{format}" for format in FORMATS))
        content = self.pipe(named.suffix.lower()[1:], dpi=dpi, transparent=transparent)
        return write(path, content)

    def __repr__(self) -> str:
        return f"<Picture: {self._title}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """What a notebook shows: SVG, and PNG for readers that show none."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the SVG beside it has all
            png = self.pipe("png")
        return {"image/svg+xml": self.svg(), "image/png": png, "text/plain": repr(self)}
