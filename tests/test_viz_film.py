"""The sweep in pictures: moments of one layout, one SVG that plays, a file for each step."""

from __future__ import annotations

import itertools
import math
import random
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image, ImageChops

from microgradlike import Value
from microgradlike.flow import gradients
from microgradlike.nn import MLP
from tests.graphs import expression
from viz import animate, draw, frames
from viz.fold import folded
from viz.graph import Graph
from viz.moments import at
from viz.scene import Scene
from viz.whole import whole

SVG = "{http://www.w3.org/2000/svg}"


def random_graph(seed: int) -> Value:
    choose = random.Random(seed)
    pool = [Value(choose.uniform(-30, 30), label=f"x{i}") for i in range(3)]
    for _ in range(12):
        a, b = choose.choice(pool), choose.choice(pool)
        pool.append(choose.choice((a * b, a + b, a - b, a.tanh(), a / 7, (a * a).exp())))
    return sum(pool[-4:], Value(0.0))


def network_loss() -> Value:
    model = MLP(3, [4, 4, 2], activation="tanh", seed=0)
    out = model([Value(v, f"in{i}") for i, v in enumerate((1.0, -0.5, 2.0))])
    return sum((o * o for o in out), Value(0.0)) + 0.1 * sum(p * p for p in model.parameters())


def geometry(svg: str) -> list[object]:
    """Where everything stands that could move."""
    root = ElementTree.fromstring(svg)
    places: list[object] = [root.get("viewBox"), root.get("width")]
    for group in root.iter(f"{SVG}g"):
        if (group.get("class") or "").startswith("node"):
            shapes = [part.get("points") or part.get("d") or part.get("rx") for part in group]
            places.append((group.get("data-name"), shapes))
    return places


# ---- Moments -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_each_moment_shows_what_has_arrived(seed: int) -> None:
    root = random_graph(seed)
    graph = Graph.of(root, afresh=True)
    scene = whole(graph)
    names = {node: f"v{place}" for place, node in enumerate(graph.nodes)}
    arrived: dict[str, float] = {}
    for k, step in enumerate([None, *graph.steps]):
        shown = at(scene, k)
        if step is not None:
            arrived[names[step.parent]] = step.after
            assert [a.crossed for a in shown.arrows if a.contribution is not None].count(True) == k
        for box in shown.boxes:
            if box.kind not in ("constant", "result"):
                assert repr(box.grad) == repr(arrived.get(box.name))
    final = {box.name: box.grad for box in at(scene, len(graph.steps)).boxes}
    engine = gradients(root)
    assert all(repr(final[name]) == repr(engine[node]) for node, name in names.items())


def test_folded_moments_end_with_the_gradients_of_the_engine() -> None:
    graph = Graph.of(network_loss(), afresh=True)
    scene = folded(graph)
    last = at(scene, len(scene.moves))
    assert [box.grad for box in last.boxes] == [box.grad for box in scene.boxes]
    assert all(arrow.crossed for arrow in last.arrows)
    assert sum(len(move.arrows) for move in scene.moves) == len(scene.arrows)
    first = at(scene, 0)
    assert {box.kind for box in first.boxes if box.grad is not None} == {"result"}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("fold", [False, True])
def test_nothing_moves_between_steps(seed: int, fold: bool) -> None:
    root = random_graph(seed) if seed else network_loss()
    graph = Graph.of(root, afresh=True)
    last = len((folded(graph) if fold else whole(graph)).moves)
    steps = sorted({0, 1, last // 2, last})
    places = [geometry(draw(root, step=k, fold=fold).svg()) for k in steps]
    assert all(one == other for one, other in itertools.pairwise(places))


def test_a_step_needs_no_backward_and_changes_no_gradient() -> None:
    y = expression()
    final = draw(y, step=10).svg()
    assert all(node.grad == 0.0 for node in Graph.of(y).nodes)
    y.backward()
    y.backward()
    assert draw(y, step=10).svg() == final
    assert "has not been run" not in final and "Step 10 of 10." in final


def test_numbers_wait_for_their_step() -> None:
    before, after = (draw(expression(), step=k).source for k in (0, 10))
    assert before.count("◄ +1") == 0 and after.count("◄ +1") > 0
    assert before.count(">–<") == 9 and after.count(">–<") == 0


@pytest.mark.parametrize("step", [-1, 11, 2.5, True, "1"])
def test_a_step_out_of_range(step: object) -> None:
    with pytest.raises(ValueError, match=r"an integer from 0 to 10, the whole sweep, but got"):
        draw(expression(), step=step)


def test_a_root_without_a_graph_has_one_moment() -> None:
    assert "Step 0 of 0." in draw(Value(2.0, label="x"), step=0).svg()


# ---- Motion ------------------------------------------------------------------------------------


def test_the_animation_is_css_alone(tmp_path: Path) -> None:
    y = expression()
    text = animate(y, tmp_path / "flow.svg").read_text()
    root = ElementTree.fromstring(text)
    tags = {part.tag.removeprefix(SVG) for part in root.iter()}
    assert not tags & {"animate", "animateTransform", "animateMotion", "set", "script"}
    head, _, motion = text.partition("@media screen and (prefers-reduced-motion:no-preference)")
    assert "animation:" not in head and "animation:" in motion and "infinite" not in motion


def test_the_animation_ends_with_the_final_picture(tmp_path: Path) -> None:
    y = expression()
    played = ElementTree.fromstring(animate(y, tmp_path / "flow.svg").read_text())
    still = ElementTree.fromstring(draw(y, step=10).svg())

    def shown(svg: ElementTree.Element) -> list[str]:
        passing = ("moment", "pulse", "sender")
        return [
            part.text or "" for part in svg.iter(f"{SVG}text") if part.get("class") not in passing
        ]

    assert shown(played) == shown(still)
    assert len([p for p in played.iter() if p.get("class") == "pulse"]) == 10


def test_a_gradient_in_two_parts_shows_its_first_part(tmp_path: Path) -> None:
    x = Value(3.0, label="x")
    svg = ElementTree.fromstring(animate(x * x, tmp_path / "flow.svg").read_text())
    moments = [
        (part.text, part.get("style"))
        for part in svg.iter(f"{SVG}text")
        if part.get("class") == "moment"
    ]
    assert moments == [("–", "--k:0;--until:1"), ("3", "--k:1;--until:2")]


def test_big_graphs_are_animated_folded(tmp_path: Path) -> None:
    model = MLP(2, [16, 16, 1], seed=0)
    text = animate(model([1.0, -1.0]), tmp_path / "flow.svg").read_text()
    assert "folded: " in text


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    one = animate(expression(), tmp_path / "one.svg").read_bytes()
    assert animate(expression(), tmp_path / "two.svg").read_bytes() == one
    x = Value(3.0, label="x")
    first, second = (frames(x * x, tmp_path / name, "gif")[0] for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_special_numbers_in_motion(tmp_path: Path) -> None:
    x = Value(0.0, label="x")
    assert "NaN" in animate(x.log() * 0.0, tmp_path / "flow.svg").read_text()


# ---- Files -------------------------------------------------------------------------------------


def test_frames_are_numbered_pictures_of_one_size(tmp_path: Path) -> None:
    paths = frames(expression(), tmp_path / "new" / "folder", "png")
    assert [path.name for path in paths] == [f"step_{k:03}.png" for k in range(11)]
    sizes = {path.read_bytes()[16:24] for path in paths}
    assert len(sizes) == 1


def test_a_gif_for_slides(tmp_path: Path) -> None:
    (path,) = frames(expression(), tmp_path, "gif")
    with Image.open(path) as gif:
        assert gif.n_frames == 11


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
def test_slides_are_filled(tmp_path: Path, rankdir: Literal["LR", "TB"]) -> None:
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    for path in frames(a * b, tmp_path, "png", slides=True, rankdir=rankdir):
        with Image.open(path) as slide:
            assert slide.size == (1920, 1080)
            box = ImageChops.invert(slide.convert("RGB")).getbbox()
            assert box is not None
            left, top, right, bottom = box
            margins = [left, top, 1920 - right, 1080 - bottom]
            assert min(margins) < 60 and abs(margins[0] - margins[2]) < 60


def test_a_slide_has_pixels(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a slide has pixels: with slides=True the format is"):
        frames(expression(), tmp_path, slides=True)


def test_a_long_sweep_is_thinned_out_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("viz.animation.MOST_FRAMES", 4)
    with pytest.warns(UserWarning, match="the sweep has 10 steps: 4 of them are written"):
        paths = frames(expression(), tmp_path)
    numbers = [int(re.findall(r"\d+", path.name)[0]) for path in paths]
    assert numbers == [0, 1, 2, 3]  # without gaps, at which video programs stop


def test_bad_input_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"frames are written to a folder, but .* of a file"):
        frames(expression(), tmp_path / "flow.gif")
    with pytest.raises(TypeError, match="frames are written to a folder, but got None"):
        frames(expression(), None)
    with pytest.raises(ValueError, match=r"the name of an animation ends in \.svg, but got"):
        animate(expression(), tmp_path / "flow.gif")
    with pytest.raises(ValueError, match='one "gif" or one "mp4", but got \'bmp\''):
        frames(expression(), tmp_path / "x", "bmp")
    with pytest.raises(TypeError, match="a picture is drawn of a Value"):
        animate(math.pi, tmp_path / "flow.svg")
    with pytest.raises(ValueError, match="a folder, whose name has no null character"):
        frames(expression(), tmp_path / "a\0b")
    with pytest.raises(OSError, match=r"cannot make the folder .* choose a shorter name"):
        frames(expression(), tmp_path / ("n" * 300))
    with pytest.raises(OSError, match="cannot write"):
        animate(expression(), tmp_path / "missing" / "flow.svg")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(FileExistsError, match=r"cannot make the folder .*: this is the name of a"):
        frames(expression(), tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_scenes_keep_their_scales_over_the_sweep() -> None:
    scene: Scene = whole(Graph.of(expression(), afresh=True))
    legends = {
        draw(expression(), step=k).source.partition("label=<")[2].partition(">>")[0]
        for k in (0, 5, len(scene.moves))
    }
    assert len(legends) == 1


@pytest.mark.parametrize("sizes", [(3, 1), (4, 4, 1), (5, 3, 2)])
def test_a_folded_part_sends_after_all_that_it_receives(sizes: tuple[int, ...]) -> None:
    model = MLP(2, list(sizes), activation="tanh", seed=0)
    out = model([Value(1.0, "a"), Value(2.0, "b")])
    loss = sum((o * o for o in (out if isinstance(out, list) else [out])), Value(0.0))
    scene = folded(Graph.of(loss + 0.1 * sum(p * p for p in model.parameters()), afresh=True))
    sent: set[int] = set()
    for move in scene.moves:
        arriving = {k for k, arrow in enumerate(scene.arrows) if arrow.tail == move.sender}
        assert arriving <= sent
        sent.update(move.arrows)
    assert len(sent) == len(scene.arrows)


def test_a_flag_comes_with_the_gradient_that_it_tells_of(tmp_path: Path) -> None:
    x = Value(1.0, label="x")
    root = (x * 1e-4) * 1e-4
    last = draw(root, step=2).svg()
    before = draw(root, step=1).svg()
    assert ">vanished<" in last and ">vanished<" not in before
    assert geometry(before) == geometry(last)
    moving = animate(root, tmp_path / "flow.svg").read_text(encoding="utf-8")
    assert re.search(r'class="news" style="--k:2"[^>]*>vanished<', moving)
