"""A page or a picture in the cell of a notebook: in a frame, which no style of it reaches.

All notebooks show a frame. Jupyter shows a bare SVG at its natural size, however wide, and without
the words that it has for each of its parts; marimo offers a choice of all formats beside it.
"""

from __future__ import annotations

import base64
import html
import xml.etree.ElementTree as ElementTree

#: A page's frame is so high until the page, which knows how high it is, makes it fit.
PAGE = "display:block;width:100%;height:760px;border:0"


def page_frame(document: str, title: str) -> str:
    """A page in a frame.

    Args:
        document: the page, as HTML.
        title: what a screen reader calls it.

    >>> page_frame("<p>&</p>", "a page")[:57]
    '<iframe srcdoc="&lt;p&gt;&amp;&lt;/p&gt;" title="a page" '
    """
    instead = f"Run this cell to see it: {html.escape(title.rstrip('.'))}."
    return _frame(document, title, instead, PAGE)


def picture_frame(svg: str, title: str) -> str:
    """A picture in a frame as wide as its cell, and at most as wide as the picture is by itself.

    Args:
        svg: the picture, whose size is in pixels, or in points as matplotlib has it.
        title: what a screen reader calls it.

    >>> frame = picture_frame('<svg width="300pt" height="75pt"/>', "a picture")
    >>> frame[frame.rindex("max-width") : frame.index(";border")]
    'max-width:400px;aspect-ratio:400/100'
    """
    root = ElementTree.fromstring(svg)
    width, height = (_pixels(root.attrib[side]) for side in ("width", "height"))
    ratio = f"max-width:{width}px;aspect-ratio:{width}/{height}"
    coded = base64.b64encode(svg.encode()).decode()
    instead = f'<img src="data:image/svg+xml;base64,{coded}" alt="{html.escape(title)}">'
    sheet = "body{margin:0}svg{display:block;max-width:100%;height:auto}"
    document = f"<!doctype html><style>{sheet}</style>{svg[svg.index('<svg') :]}"
    return _frame(document, title, instead, f"display:block;width:100%;{ratio};border:0")


def _pixels(side: str) -> int:
    return round(float(side.removesuffix("pt")) * (4 / 3 if side.endswith("pt") else 1))


def _frame(document: str, title: str, instead: str, style: str) -> str:
    """The frame; where others ran the cell, Jupyter takes it away and leaves what is in it."""
    return (
        f'<iframe srcdoc="{html.escape(document)}" title="{html.escape(title)}" '
        f'style="{style}">{instead}</iframe>'
    )


class Framed:
    """A picture that a notebook shows in a frame."""

    _title: str

    def _as_svg(self) -> str:
        """The picture as it is seen on a page."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return picture_frame(self._as_svg(), self._title)

    def _mime_(self) -> tuple[str, str]:
        """What marimo shows."""
        return "text/html", self._repr_html_()
