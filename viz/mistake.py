"""The picture of a mistake: the gradients that are right, and beside them those that came out."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import replace

from microgradlike.engine import Value
from viz.drawing import picture
from viz.graph import Graph
from viz.picture import Picture
from viz.scene import Arrow, Box, Remark, Scene
from viz.style import number
from viz.view import View
from viz.whole import whole


def draw_mistake(
    root: Value,
    names: Mapping[str, Value],
    right: Mapping[str, float | None],
    wrong: Mapping[str, float | None],
    sentence: str,
) -> Picture:
    """Draw a graph twice, side by side: with the right gradients, and with wrong ones.

    Args:
        root: the result.
        names: the names of its numbers.
        right: the right gradients, by name.
        wrong: the gradients that came out, by name; those that are missing are not shown.
        sentence: what the mistake is, for the legend.

    Returns:
        The picture. What came out wrong has a purple frame, and says what it should be.

    >>> a = Value(3.0)
    >>> draw_mistake(a + a, {"a": a}, {"a": 2.0}, {"a": 1.0}, "A gradient is overwritten.")
    <Picture: The right gradients, and those that came out
    A gradient is overwritten.
    purple frame: this gradient came out wrong>
    """
    scene = whole(Graph.of(root, names, afresh=True))
    called = {box: _name(node, names) for box, node in scene.shown.items()}
    is_right = {box: right.get(name) for box, name in called.items()}
    came_out = {box: wrong.get(name) for box, name in called.items()}
    one = _half(scene, "r", "right", is_right, is_right)
    other = _half(scene, "w", "as it came out", came_out, is_right)
    both = replace(
        one,
        title="The right gradients, and those that came out",
        boxes=[*one.boxes, *other.boxes],
        arrows=[*one.arrows, *other.arrows],
        notes=[*_lines(sentence), "purple frame: this gradient came out wrong"],
    )
    return picture(both, View(rankdir="TB"))


def _lines(sentence: str) -> list[str]:
    """The claim, where it shows, and what to do, each on lines of its own."""
    parts = re.split(r"(?<=[.:]) (?=in |[A-Z])", sentence)
    return [line for part in parts for line in textwrap.wrap(part, 90)]


def _name(node: Value, names: Mapping[str, Value]) -> str:
    return next((name for name, value in names.items() if value is node), "")


def _half(
    scene: Scene,
    prefix: str,
    words: str,
    grads: Mapping[str, float | None],
    right: Mapping[str, float | None],
) -> Scene:
    """The scene under names of its own, with these gradients."""
    pairs = {box.name: (grads.get(box.name), right.get(box.name)) for box in scene.boxes}
    wrong = {box for box, (came, is_) in pairs.items() if came != is_ and came is not None}
    return replace(
        scene,
        boxes=[
            _box(box, prefix, words, *pairs[box.name], box.name in wrong) for box in scene.boxes
        ],
        arrows=[_arrow(arrow, prefix, bool(wrong)) for arrow in scene.arrows],
    )


def _box(
    box: Box, prefix: str, words: str, grad: float | None, right: float | None, is_wrong: bool
) -> Box:
    heading = f"{box.heading} ({words})" if box.kind == "result" else box.heading
    remarks = (Remark(f"should be {number(right or 0.0)}"),) if is_wrong else ()
    return replace(
        box,
        name=f"{prefix}{box.name}",
        heading=heading,
        grad=grad,
        remarks=remarks,
        lines=(),
        marked=is_wrong,
    )


def _arrow(arrow: Arrow, prefix: str, is_wrong: bool) -> Arrow:
    """The arrow; what a wrong pass sent on it is not known, so there it has no numbers."""
    return replace(
        arrow,
        tail=f"{prefix}{arrow.tail}",
        head=f"{prefix}{arrow.head}",
        slope=None if is_wrong else arrow.slope,
        crossed=arrow.crossed and not is_wrong,
    )
