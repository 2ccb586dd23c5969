"""The sheet on which all is placed: DOT text in which every node has its place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import graphviz

from viz import labels, style

#: How high a line of words is, in points, as all lengths are.
LINE = 14.0


class Line(NamedTuple):
    """A line of words."""

    words: str
    colour: str = style.MUTED
    bold: bool = False


class Sheet:
    """DOT text in which every node has its place; y grows upwards."""

    def __init__(self) -> None:
        self.dot = dot = graphviz.Digraph("compiled")
        self.titles: dict[str, str] = {}
        self.seen: set[str] = set()
        """What the legend has to explain."""
        self.bottom = 0.0
        dot.attr(layout="neato", splines="line", bgcolor="transparent", outputorder="edgesfirst")
        dot.attr("node", fontname=style.FONT, fontcolor=style.INK, color=style.BORDER)
        dot.attr("node", style="filled", fillcolor=style.SURFACE, margin="0", label="")
        dot.attr("edge", color=style.MUTED, arrowsize="0.6")

    def put(self, x: float, y: float, size: tuple[float, float], title: str, **look: str) -> str:
        """Add a node with its middle at x, y; its name."""
        name = f"n{len(self.titles)}"
        self.titles[name] = title
        look = {"shape": "box", "pos": f"{_inches(x)},{_inches(y)}!"} | look
        if look["shape"] != "plain":  # which is as large as its label
            width, height = size
            look |= {"width": _inches(width), "height": _inches(height), "fixedsize": "true"}
        self.dot.node(name, **look)
        return name

    def join(self, tail: str, head: str, title: str, **look: str) -> None:
        """Add an arrow."""
        name = f"e{len(self.titles)}"
        self.titles[name] = title
        self.dot.edge(tail, head, id=name, **look)

    def write(self, left: float, y: float, rows: Sequence[Line], title: str) -> None:
        """Add lines of words, their first letters below each other."""
        width = math.ceil(extent(rows))
        cells = (
            f'<TD ALIGN="LEFT" FIXEDSIZE="TRUE" WIDTH="{width}" HEIGHT="{LINE:g}">'
            f"{labels.font(row.words, 10, row.colour, row.bold)}</TD>"
            for row in rows
        )
        look = {"shape": "plain", "fillcolor": "none", "class": "words"}
        label = f"<{labels.table(*cells, padding=0)}>"
        self.put(left + width / 2, y, (width, len(rows) * LINE), title, label=label, **look)

    def heading(self, columns: Sequence[tuple[float, str]], bold: bool) -> None:
        """Add a line of words above what follows."""
        self.bottom -= 1.5 * LINE
        for left, words in columns:
            line = Line(words, style.INK if bold else style.MUTED, bold)
            self.write(left, self.bottom, [line], words)
        self.bottom -= LINE

    def explain(self, meanings: Mapping[str, str]) -> None:
        """Add the legend, which says what everything means."""
        lines = [labels.key(key, labels.words(words)) for key, words in meanings.items()]
        self.dot.attr(labelloc="b", labeljust="l", label=labels.legend(lines))
        self.dot.attr(fontname=style.FONT, fontsize="10", fontcolor=style.MUTED)


def _inches(points: float) -> str:
    return f"{points / 72:.3f}"


def extent(rows: Iterable[Line]) -> float:
    """How wide lines of words are."""
    return max((style.width(row.words, 10, row.bold) for row in rows), default=0.0)
