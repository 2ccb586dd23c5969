"""Where the parts of a box and of an arrow are in a finished SVG.

The layout program draws the cells of a label in their order, and says no more of them: ``dot``
writes that order, and this is the only reader of it. Whoever changes a part asks for it here.
"""

from __future__ import annotations

from typing import NamedTuple
from xml.etree.ElementTree import Element

from viz import style
from viz.render import SVG, sides
from viz.scene import Box

SHAPES = ("polygon", "ellipse", "path")


class Number(NamedTuple):
    """A number in a box that changes: its letters, and the coloured ground of its cell."""

    letters: Element
    ground: Element

    def align(self) -> None:
        """Let the letters end where the cell does, whatever number they will be."""
        _, right = sides(self.ground)
        self.letters.attrib |= {"x": f"{right - 2:g}", "text-anchor": "end"}


class BoxParts(NamedTuple):
    """The parts of a box that a page or an animation changes."""

    outline: Element
    remarks: list[Element]
    value: Number | None
    """Only where it changes: else its cell has no ground."""
    gradient: Number | None


class ArrowParts(NamedTuple):
    """The parts of an arrow on which an error flows; its numbers where the picture has them."""

    line: Element
    heads: list[Element]
    slope: Element | None
    contribution: Element | None


def centre(letters: Element) -> None:
    """Let the middle of the letters be where it is now, whatever number they will be."""
    text, size = letters.text or "", float(letters.get("font-size", "9"))
    width = style.width(text, size, letters.get("font-weight") == "bold")
    middle = float(letters.attrib["x"]) + width / 2
    letters.attrib |= {"x": f"{middle:g}", "text-anchor": "middle"}


def outline(group: Element) -> Element:
    """The outline of a box: the first shape of its group."""
    return next(part for part in group.iter() if part.tag.removeprefix(SVG) in SHAPES)


def parts_of_box(group: Element, box: Box) -> BoxParts:
    """The parts of a box: from the last one on, as only names and lines of words come before."""
    texts, grounds = (list(group.iter(f"{SVG}{tag}")) for tag in ("text", "polygon"))
    value = gradient = None
    if box.has_gradient:
        *texts, _, letters = texts
        gradient = Number(letters, grounds.pop())
    if box.data is not None:
        *texts, _, letters = texts
        value = Number(letters, grounds.pop()) if box.values else None
    return BoxParts(outline(group), texts[len(texts) - len(box.remarks) :], value, gradient)


def parts_of_arrow(group: Element, numbered: bool) -> ArrowParts:
    """The parts of an arrow: its numbers are the slope, if it has just one, and what it brings."""
    line = group.find(f".//{SVG}path")
    assert line is not None
    texts = list(group.iter(f"{SVG}text")) if numbered else []
    contribution = texts.pop() if texts else None
    slope = texts.pop() if texts else None
    return ArrowParts(line, list(group.iter(f"{SVG}polygon")), slope, contribution)
