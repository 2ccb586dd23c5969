"""A figure that a notebook shows by itself: pyplot need not know it, so none is left open."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

#: Without the day on which it was drawn, the same figure gives the same bytes.
_UNDATED: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "png": {},
    "pdf": {"CreationDate": None},
}
FORMATS = tuple(_UNDATED)

#: The pixels of a PNG to an inch in a notebook; ``save`` takes another number.
DPI = 160


class Plot(Figure):
    """A figure that is shown where it is the last line of a cell."""

    def _repr_svg_(self) -> str:
        return content(self, "svg").decode()

    def _repr_png_(self) -> bytes:
        return content(self, "png")


def content(figure: Figure, format: str, dpi: float = DPI) -> bytes:
    """The figure as the bytes of a file in the format "svg", "png" or "pdf"."""
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "microgradlike"}):
        figure.savefig(file, format=format, metadata=_UNDATED[format], dpi=dpi)
    return file.getvalue()
