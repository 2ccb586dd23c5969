"""A graph on a worksheet: some of its numbers are left out, with empty boxes to write them in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from xml.etree.ElementTree import Element

from microgradlike.engine import Value
from viz import style
from viz.drawing import draw, picture_alone
from viz.graph import Graph
from viz.page import embedded
from viz.parts import Number, parts_of_box
from viz.scene import Arrow, Box
from viz.view import View
from viz.whole import whole


def with_blanks(
    root: Value,
    *,
    values: Collection[Value] = (),
    given: Collection[Value] = (),
    wanted: Collection[Value] = (),
) -> Element:
    """The graph of a result as an SVG element of a page, with empty boxes.

    Args:
        root: the result.
        values: the nodes whose value is to be written in.
        given: the nodes whose gradient is printed.
        wanted: the nodes whose gradient is to be written in.

    Returns:
        The element. No other gradient is shown, and no arrow tells one.

    >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    >>> svg = with_blanks(a * b, wanted=[a])
    >>> [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text") if text.text == "grad"]
    ['grad']
    >>> twin = with_blanks(a * 2.0 + Value(2.0, label="b"), wanted=[a])  # of the same number
    >>> [text.text for text in twin.iter("{http://www.w3.org/2000/svg}text")].count("grad")
    1
    """
    view = View.of(draw, {"theme": "light"})
    scene = whole(Graph.of(root, afresh=True))
    # Sets tell nodes apart; "in" a list would compare their numbers.
    asked = set(values), set(given), set(wanted)
    boxes = []
    for box in scene.boxes:
        node = scene.shown.get(box.name)
        boxes.append(_box(box, node, *asked) if node is not None else box)
    arrows = [Arrow(arrow.tail, arrow.head, "") for arrow in scene.arrows]
    scene = replace(scene, boxes=boxes, arrows=arrows, moves=[], notes=[], forward_only=True)
    svg, groups = embedded(picture_alone(scene, view))
    for box in scene.boxes:
        parts = parts_of_box(groups[box.name], box)
        if parts.value is not None:
            _empty(parts.value)
        if parts.gradient is not None and box.grad is None:
            _empty(parts.gradient)
    svg.set("class", "microgradlike")
    return svg


def _box(
    box: Box,
    node: Value,
    values: set[Value],
    given: set[Value],
    wanted: set[Value],
) -> Box:
    """The box with what the sheet tells; its title no longer tells the rest."""
    assert box.data is not None and box.grad is not None
    return replace(
        box,
        title=box.called,
        values=(box.data,) if node in values else (),
        grad=box.grad if node in given else None,
        run=(box.grad,) if node in wanted else (),
        lines=(),
        remarks=(),
    )


def _empty(number: Number) -> None:
    """A cell without its number, and with an outline."""
    number.letters.text = ""
    number.ground.attrib |= {"stroke": style.INK, "fill": style.PAGE}
