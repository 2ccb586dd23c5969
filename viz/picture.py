"""A picture: DOT text, and how a notebook or a file gets to see it."""

from __future__ import annotations

import copy
import math
import os
import shutil
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from microgradlike.files import ending_in, write
from microgradlike.inputs import within
from viz import style
from viz.frame import Framed
from viz.render import DPI, FORMATS, finish, in_browser, layout, pdf, text
from viz.view import Rendering

#: The pixels of a PNG to an inch in a notebook, which keeps it beside all other formats.
CELL = 96


class Picture(Framed):
    """A drawn graph: shown in a notebook as it is, or written to a file with ``save``.

    Args:
        source: the picture as DOT text.
        title: what it shows, in a sentence.
        titles: for the DOT name of each node, and the id of each edge, its words.
        rendering: its layout program and its colours.
    """

    def __init__(
        self,
        source: str,
        title: str,
        titles: Mapping[str, str],
        rendering: Rendering = Rendering(),  # noqa: B008  # it is frozen
    ) -> None:
        self.source: str = style.repainted(source, rendering.shades)
        self._title = title
        self._titles = titles
        self._rendering = rendering
        self._ground = rendering.ground

    def svg(self, transparent: bool = False, scale: float = 1.0) -> str:
        """The picture as SVG: with words for every node and edge, for light and dark pages.

        Args:
            transparent: whether the page shows behind it.
            scale: how large it is, beside its natural size.

        Raises:
            RenderError: no layout program is installed.
        """
        shown = copy.copy(self)
        shown._ground = "none" if transparent else self._ground
        svg = shown.element()
        for side in ("width", "height"):
            svg.set(side, f"{float(svg.attrib[side]) * scale:.0f}")
        return text(svg)

    def element(self) -> ElementTree.Element:
        """The same as an element that can be changed, with the name of each group in its data."""
        svg = layout(self.source, "svg", self._rendering.engine)
        return finish(svg, self._title, self._titles, self._rendering.theme, self._ground)

    def pipe(
        self,
        format: str = "svg",
        *,
        dpi: float | None = DPI,
        scale: float = 1.0,
        transparent: bool = False,
        own_ground: bool = False,
    ) -> bytes:
        """The picture as the bytes of a file.

        Args:
            format: "svg", "png", "jpg", "pdf", "json" or "dot".
            dpi: the pixels of a PNG or JPG to an inch; a page shows 96. Where that made more than
                16 million pixels there are fewer, and a warning says so.
            scale: how large an SVG, PNG or JPG is, beside its natural size.
            transparent: whether what is behind an SVG or PNG shows through.
            own_ground: whether the DOT text itself tells what is behind.

        Raises:
            TypeError, ValueError: there is no such format, or ``dpi`` or ``scale`` is no number
                that makes a picture.
            ImportError: a JPG needs Pillow.
            RenderError: no program that can make it is installed.

        >>> picture = Picture("digraph { a -> b }", "two nodes", {})
        >>> len(picture.pipe("png", dpi=48)) < len(picture.pipe("png", dpi=300))
        True
        """
        dpi = dpi if dpi is None else within("dpi, the pixels to an inch,", dpi, 1, math.inf)
        scale = within("scale", scale, 0.01, 100)
        if scale != 1 and format in FORMATS and format not in ("svg", "png", "jpg"):
            raise ValueError(f"an SVG, PNG or JPG has a scale, but the format is {format!r}")
        if format == "svg":
            return self.svg(transparent, scale).encode()
        engine = self._rendering.engine
        if format == "pdf" and engine is None and not shutil.which("dot"):
            made = pdf(lambda: self.svg(transparent=True))
            if made is not None:
                return made
        ground = "transparent" if transparent else self._ground
        if dpi is not None:
            dpi *= scale
        return layout(self.source, format, engine, dpi, None if own_ground else ground)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        dpi: float = DPI,
        scale: float = 1.0,
        transparent: bool = False,
    ) -> Path:
        """Write the picture to a file, whose suffix tells the format; it is written whole or not.

        Args:
            path: where to.
            dpi, scale, transparent: as for ``pipe``.

        Returns:
            The path.

        Raises:
            TypeError, ValueError: the name does not end in .svg, .png, .jpg, .pdf, .json or .dot,
                or as for ``pipe``.
            ImportError: a JPG needs Pillow.
            RenderError: no program that can make it is installed.
            OSError: the file cannot be written.
        """
        named = ending_in(path, "a picture", *(f".{format}" for format in FORMATS))
        format = named.suffix.lower()[1:]
        return write(path, self.pipe(format, dpi=dpi, scale=scale, transparent=transparent))

    def __repr__(self) -> str:
        return f"<Picture: {self._title}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """What a notebook shows: a frame, or SVG, or PNG for readers that show neither."""
        bundle = {
            "text/html": self._repr_html_(),
            "image/svg+xml": self.svg(),
            "text/plain": repr(self),
        }
        if in_browser():  # which makes no PNG
            return bundle
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the SVG beside it has all
            return {**bundle, "image/png": self.pipe("png", dpi=CELL)}

    @property
    def title(self) -> str:
        """What it shows, in a sentence."""
        return self._title

    def _as_svg(self) -> str:
        return self.svg()
