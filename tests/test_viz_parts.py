"""Where the parts of boxes and arrows are in a finished SVG, whatever else their labels hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from microgradlike import Value
from microgradlike.nn import MLP
from viz import style
from viz.drawing import picture
from viz.fold import folded
from viz.graph import Graph
from viz.parts import parts_of_arrow, parts_of_box
from viz.render import SVG
from viz.scene import Scene
from viz.view import View
from viz.whole import whole


def scenes() -> list[Scene]:
    """Labels of two lines and long ones, remarks, lines of words, constants, folded parts."""
    x = Value(-1.0, label="two\nlines")
    broken = (x.log() * 2 + Value(50.0, label="long" * 20).tanh()) - 3
    broken.label = "y"
    network = MLP(2, [4, 1], seed=0)([0.5, -1.0])
    flat = (Value(1.0, label="x") * 1e-4) * 1e-4
    read = [Graph.of(root, afresh=True) for root in (broken, network, flat)]
    return [*map(whole, read), folded(read[1])]


def groups_of(scene: Scene, view: View) -> dict[str, Element]:
    svg = picture(scene, view).element()
    return {group.get("data-name", ""): group for group in svg.iter(f"{SVG}g")}


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
@pytest.mark.parametrize("scene", scenes())
@pytest.mark.parametrize("changing", [False, True])
def test_each_part_of_a_box_is_what_it_is_called(
    scene: Scene, rankdir: Any, changing: bool
) -> None:
    boxes = [box for box in scene.boxes if box.name in scene.members]
    if changing:
        boxes = [replace(box, values=(box.data,) if box.data is not None else ()) for box in boxes]
        others = [box for box in scene.boxes if box.name not in scene.members]
        scene = replace(scene, boxes=[*others, *boxes])
    groups = groups_of(scene, View(rankdir=rankdir))
    for box in boxes:
        parts = parts_of_box(groups[box.name], box)
        assert [said.text for said in parts.remarks] == [said.words for said in box.remarks]
        assert (parts.gradient is None) == (box.grad is None)
        assert (parts.value is None) == (box.data is None or not changing)
        if parts.gradient is not None and box.grad is not None:
            ink, ground = parts.gradient.letters.get("fill"), parts.gradient.ground.get("fill")
            assert parts.gradient.letters.text == style.number(box.grad)
            assert {ink, ground} <= set(style.DARK)
            assert ground in (*style.STEPS, style.INK)
        if parts.value is not None and box.data is not None:
            assert parts.value.letters.text == style.number(box.data)
            assert parts.value.letters.get("fill") == style.INK
        assert parts.outline.get("stroke") in (style.INK, style.BORDER)


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
@pytest.mark.parametrize("scene", scenes())
def test_each_part_of_an_arrow_has_its_name(scene: Scene, rankdir: Any) -> None:
    groups = groups_of(scene, View(rankdir=rankdir))
    for place, arrow in enumerate(scene.arrows):
        if arrow.contribution is None:
            continue
        parts = parts_of_arrow(groups[f"e{place}"], numbered=True)
        slope = None if arrow.slope is None else f"× {style.number(arrow.slope)}"
        assert (parts.slope.text if parts.slope is not None else None) == slope
        assert parts.contribution is not None
        sent = style.signed(arrow.contribution) if arrow.contribution else "0"
        assert str(parts.contribution.text).endswith(sent)
        assert parts.line.get("d") and len(parts.heads) == 1
