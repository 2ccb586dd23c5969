"""The picture of a mistake: what is right, and beside it what came out."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from microgradlike.engine import Value
from viz.drawing import picture
from viz.graph import Graph
from viz.picture import Picture
from viz.scene import Arrow, Box, Remark, Scene
from viz.style import number
from viz.view import View
from viz.whole import whole

#: For each name its number and its gradient, None where that is not known.
Numbers: TypeAlias = Mapping[str, tuple[float | None, float | None]]


def draw_mistake(
    root: Value, names: Mapping[str, Value], right: Numbers, wrong: Numbers, sentence: str
) -> Picture:
    """Draw a graph twice, side by side: with what is right, and with what came out.

    Args:
        root: the result.
        names: the names of its numbers.
        right: the right numbers and gradients, by name.
        wrong: those that came out, by name; what is missing is not shown.
        sentence: what the mistake is, for the legend.

    Returns:
        The picture. What came out wrong has a purple frame, and says what it should be.

    >>> a = Value(3.0)
    >>> right, wrong = {"a": (3.0, 2.0)}, {"a": (3.0, 1.0)}
    >>> draw_mistake(a + a, {"a": a}, right, wrong, "A gradient is overwritten.")
    <Picture: What is right, and what came out
    A gradient is overwritten.
    purple frame: this came out wrong>
    """
    scene = whole(Graph.of(root, names, afresh=True))
    called = {box: _name(node, names) for box, node in scene.shown.items()}
    nothing = (None, None)
    is_right = {box: right.get(name, nothing) for box, name in called.items()}
    came_out = {box: wrong.get(name, nothing) for box, name in called.items()}
    one = _half(scene, "r", "right", is_right, is_right)
    other = _half(scene, "w", "as it came out" if wrong else "nothing came out", came_out, is_right)
    is_marked = any(box.marked for box in other.boxes)
    both = replace(
        one,
        title="What is right, and what came out",
        boxes=[*one.boxes, *other.boxes],
        arrows=[*one.arrows, *other.arrows],
        notes=_lines(sentence) + ["purple frame: this came out wrong"] * is_marked,
    )
    return picture(both, View(rankdir="TB"))


def _lines(sentence: str) -> list[str]:
    """The claim, where it shows, and what to do, each on lines of its own."""
    parts = re.split(r"(?<=[.:]) (?=in |[A-Z])", sentence)
    return [line for part in parts for line in textwrap.wrap(part, 90)]


def _name(node: Value, names: Mapping[str, Value]) -> str:
    return next((name for name, value in names.items() if value is node), "")


def _half(scene: Scene, prefix: str, words: str, shown: Numbers, right: Numbers) -> Scene:
    """The scene under names of its own, with these numbers and gradients."""
    boxes = [_box(box, prefix, words, shown, right) for box in scene.boxes]
    arrows = [_arrow(arrow, prefix, is_known=shown is right) for arrow in scene.arrows]
    return replace(scene, boxes=boxes, arrows=arrows)


def _box(box: Box, prefix: str, words: str, shown: Numbers, right: Numbers) -> Box:
    heading = f"{box.heading} ({words})" if box.kind == "result" else box.heading
    twin = replace(box, name=f"{prefix}{box.name}", heading=heading, lines=())
    if box.name not in shown:  # a constant
        return twin
    data, grad = shown[box.name]
    pairs = zip(("data", "grad"), shown[box.name], right[box.name], strict=True)
    wrong = [(what, is_) for what, came, is_ in pairs if None not in (came, is_) and came != is_]
    remarks = tuple(Remark(f"{what} should be {number(is_ or 0.0)}") for what, is_ in wrong)
    if data is None and box.kind == "input":
        data = box.data  # that is what the engine was given
    return replace(twin, data=data, grad=grad, remarks=remarks, marked=bool(wrong))


def _arrow(arrow: Arrow, prefix: str, is_known: bool) -> Arrow:
    """The arrow; what a wrong pass sent on it is not known, so there it has no numbers."""
    return replace(
        arrow,
        tail=f"{prefix}{arrow.tail}",
        head=f"{prefix}{arrow.head}",
        slope=arrow.slope if is_known else None,
        crossed=arrow.crossed and is_known,
    )
