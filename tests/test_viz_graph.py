"""The picture of a graph: what it shows, that it changes nothing, and how big graphs are folded."""

from __future__ import annotations

import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import graphviz
import pytest

from microgradlike import Value
from microgradlike.flow import backward_steps
from microgradlike.nn import MLP, Layer, Neuron
from microgradlike.words import literal
from viz import draw, draw_dot, style
from viz.fold import folded
from viz.graph import Graph
from viz.scene import Scene
from viz.whole import whole

SVG = "{http://www.w3.org/2000/svg}"


def expression() -> Value:
    a, b, c = (Value(x, label=name) for x, name in ((2.0, "a"), (-3.0, "b"), (10.0, "c")))
    d = a * b + c
    d.label = "d"
    return d * Value(-2.0, label="f")


def random_graph(seed: int, size: int = 30) -> Value:
    choose = random.Random(seed)
    pool = [Value(choose.uniform(0.5, 2), label=f"x{i}") for i in range(4)]
    for _ in range(size):
        a, b = choose.choice(pool), choose.choice(pool)
        made = (a * b, a + b, a - b, a / 3, a.tanh(), 2 - a, a * a)
        pool.append(choose.choice(made))
    return sum(pool[-5:], Value(0.0))


def network(*sizes: int, penalty: bool = True, seed: int = 0) -> Value:
    model = MLP(sizes[0], list(sizes[1:]), seed=seed)
    out = model([Value(0.3 * i + 0.1, label=f"in{i}") for i in range(sizes[0])])
    loss = sum(((1 - y) ** 2 for y in (out if isinstance(out, list) else [out])), Value(0.0))
    if penalty:
        loss = loss + 0.01 * sum(p * p for p in model.parameters())
    loss.label = "loss"
    loss.backward()
    return loss


def titles(root: Value, **options: Any) -> list[str]:
    svg = ElementTree.fromstring(draw(root, **options).svg())
    return [title.text or "" for title in svg.iter(f"{SVG}title")]


def gradients(root: Value) -> list[tuple[float, float]]:
    return [(node.data, node.grad) for node in Graph.of(root).nodes]


# ---- Numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_every_edge_shows_slope_times_upstream(seed: int) -> None:
    root = random_graph(seed)
    root.backward()
    arrows = [arrow for arrow in whole(Graph.of(root)).arrows if arrow.slope is not None]
    steps = list(backward_steps(root))
    assert len(arrows) == len(steps)
    shown = sorted((a.slope, a.contribution) for a in arrows if a.contribution is not None)
    assert shown == sorted((step.slope, step.slope * step.upstream) for step in steps)


@pytest.mark.parametrize("seed", range(20))
def test_what_arrives_at_a_node_adds_up_to_its_gradient(seed: int) -> None:
    root = random_graph(seed)
    root.backward()
    scene = whole(Graph.of(root))
    arrived = dict.fromkeys((box.name for box in scene.boxes), 0.0)
    for arrow in scene.arrows:
        arrived[arrow.tail] += arrow.contribution or 0.0
    for box in scene.boxes:
        if box.kind not in ("result", "constant"):
            assert arrived[box.name] == pytest.approx(box.grad)


def test_numbers_are_printed_with_signs_on_nodes_and_edges() -> None:
    root = expression()
    root.backward()
    svg = draw(root).svg()
    for text in ("× −3", "◄ +6", "◄ −4", "× 2", ">−6<", ">10<"):
        assert text in svg
    assert "slope -3.0 × gradient -2.0 = 6.0" in svg


def test_a_square_has_two_edges() -> None:
    x = Value(3.0, label="x")
    y = x * x
    y.backward()
    scene = whole(Graph.of(y))
    assert [(a.slope, a.contribution) for a in scene.arrows] == [(3.0, 3.0), (3.0, 3.0)]
    assert draw(y).svg().count("◄ +3") == 2


@pytest.mark.parametrize("run", [False, True])
def test_drawing_changes_nothing(run: bool) -> None:
    root = random_graph(3)
    if run:
        root.backward()
    before = gradients(root)
    draw(root).svg(), draw(root, fold=True).svg(), draw_dot(root)
    assert gradients(root) == before


def test_without_backward_the_picture_says_so() -> None:
    root = expression()
    assert "backward() has not been run: no gradient to show" in draw(root).svg()
    assert "◄ +" not in draw(root).source
    root.backward()
    assert "has not been run" not in draw(root).svg()


def test_a_gradient_that_was_not_reset_is_pointed_out() -> None:
    x = Value(3.0, label="x")
    (x * 2).backward()
    y = x * 5
    y.backward()
    assert "the arrows bring +5" in draw(y).source
    x.grad = 0.0
    y.backward()
    assert "the arrows bring" not in draw(y).source


def test_nan_and_infinity_are_marked_where_they_begin() -> None:
    x, y = Value(-1.0, label="x"), Value(0.0, label="y")
    root = x.log() + 1 / y + 3
    root.backward()
    source = draw(root).source
    assert source.count("begins here") == 2
    assert "NaN begins here" in source and "inf begins here" in source
    assert "black ◄" in source
    assert "−0" not in re.findall(r">([^<>]+)<", source)


def test_wide_arrows_for_big_errors() -> None:
    a, b, c = Value(1.0, label="a"), Value(1.0, label="b"), Value(1.0, label="c")
    root = a * 4 + b * -1 + c * 0
    root.backward()
    lines = [line for line in draw(root).source.splitlines() if "->" in line]
    widths = {
        re.search(r"<B>(.*?)</B>", line)[1]: re.search(r"penwidth=([\d.]+)", line)[1]  # type: ignore[index]
        for line in lines
        if "<B>" in line
    }
    assert widths == {"◄ +4": "6", "◄ −1": "3.5", "0": "1", "◄ +1": "3.5"}
    dashed = [line for line in lines if "style=dashed" in line]
    assert len(dashed) == 1 and "<B>◄ −1</B>" in dashed[0]
    assert f'color="{style.NEGATIVE}"' in draw(root).source


# ---- Shapes, legend, names ---------------------------------------------------------------------


def test_each_role_has_its_own_shape() -> None:
    neuron = Neuron(1, activation="tanh", seed=0, name="n")
    root = neuron([Value(0.5, label="x")]) * 2
    root.backward()
    kinds = [(box.heading or box.symbol, box.kind) for box in whole(Graph.of(root)).boxes]
    assert sorted(kinds) == sorted(
        [
            *[("x", "input"), ("n.w.0", "parameter"), ("n.b", "parameter"), ("2", "constant")],
            *[("×", "operation"), ("+", "operation"), ("n", "operation"), ("×", "result")],
        ]
    )
    source = draw(root).source
    for shape in ("ellipse", "hexagon", "plain", "box"):
        assert f"shape={shape}" in source
    legend = "ellipse: input   hexagon: parameter   bare number: constant   rounded box: operation"
    assert f"{legend}   double box: result" in source


def test_a_bias_alone_is_a_parameter_only_beside_weights() -> None:
    b, c = Value(1.0, label="b"), Value(2.0, label="c")
    assert {box.kind for box in whole(Graph.of(b * c)).boxes} == {"input", "result"}
    kinds = [box.kind for box in whole(Graph.of(Neuron(1, seed=0)([1.0]))).boxes]
    assert kinds.count("parameter") == 2


def test_the_legend_explains_all_that_is_shown_and_no_more() -> None:
    root = expression()
    root.backward()
    source = draw(root).source
    for words in ("so does the result", "the result falls", "size of the gradient", "×: slope"):
        assert words in source
    assert "constant: " not in source and "dotted" not in source


def test_arrows_point_up_where_data_flows_down() -> None:
    root = expression()
    root.backward()
    source = draw(root, rankdir="TB").source
    assert "▲ +6" in source and "◄" not in source and "rankdir=TB" in source


def test_names_of_variables_are_used() -> None:
    speed, time = Value(2.0), Value(3.0)
    way = speed * time
    source = draw(way, names=locals()).source
    assert "= speed × time" in source
    assert any("way = speed × time" in title for title in titles(way, names=locals()))


def test_the_first_operand_stands_on_top() -> None:
    assert "ordering=in" in draw(2 ** Value(3.0)).source
    assert "ordering=in" not in draw(Value(3.0) * Value(2.0)).source


def test_a_leaf_alone_is_a_picture() -> None:
    assert titles(Value(3.0, label="x"))[1:] == ["result x\ndata 3.0\ngrad 0.0"]


HOSTILE = [
    *("</script>", '"><b>', "\\N", "\\G \\\\ \\E", "{|}<>", "&amp;", "]]>", "<b>", "'\"", "%s {0}"),
    *("😀", "👩\u200d💻", "two\nlines", "\x00\x1b\ud800\ufffe", "\u202eright", " ", "-->", "n0:p"),
]


@pytest.mark.parametrize("engine", ["graphviz-pure", "dot"])
def test_labels_are_shown_literally(engine: Any) -> None:
    require(engine)
    for label in HOSTILE:
        root = Value(1.0, label=label) * Value(2.0, label=label)
        root.label = label
        svg = ElementTree.fromstring(draw(root, engine=engine).svg())
        texts = ["".join(text.itertext()) for text in svg.iter(f"{SVG}text")]
        for line in label.split("\n"):
            shown = literal(line).replace(" ", "\u00a0")
            assert sum(text.replace(" ", "\u00a0") == shown for text in texts) >= 3, label
        words = [title.text or "" for title in svg.iter(f"{SVG}title")]
        assert any(literal(label) in text for text in words)
        assert not list(svg.iter("script")) and not list(svg.iter(f"{SVG}script"))


def test_a_long_label_is_short_in_its_box_and_whole_in_its_title() -> None:
    label = "long" * 50
    root = Value(1.0, label=label) * 2
    svg = draw(root).svg()
    assert svg.count(label) == sum(label in title for title in titles(root)) > 0
    assert f">{style.shortened(label)}<" in svg


def sampled(path: str) -> list[complex]:
    """Points on a line of Bezier curves."""
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", path)]
    ends = [complex(x, y) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
    points = []
    for k in range(0, len(ends) - 1, 3):
        a, b, c, d = ends[k : k + 4]
        for t in (i / 20 for i in range(21)):
            s = 1 - t
            points.append(s**3 * a + 3 * s * s * t * b + 3 * s * t * t * c + t**3 * d)
    return points


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
def test_the_numbers_of_an_arrow_stand_nearest_to_it(rankdir: str) -> None:
    a, b, c, d = (Value(v, name) for v, name in zip((2, -3, 0.5, 1.5), "abcd", strict=True))
    root = (a * b).sin() + c**2 / d
    root.backward()
    svg = ElementTree.fromstring(draw(root, rankdir=rankdir).svg())
    lines: dict[str, list[complex]] = {}
    numbers: dict[str, list[complex]] = {}
    for group in svg.iter(f"{SVG}g"):
        if group.get("class", "").startswith("edge"):
            name = str(group.get("data-name"))
            path = group.find(f".//{SVG}path")
            assert path is not None
            lines[name] = sampled(path.attrib["d"])
            numbers[name] = []
            for text in group.iter(f"{SVG}text"):
                x, y, size = (float(text.attrib[key]) for key in ("x", "y", "font-size"))
                width = style.width(text.text or "", size, bold=size == 10)
                numbers[name] += [complex(x + width * k / 8, y - size / 3) for k in range(9)]
    for name, corners in numbers.items():
        if not corners:
            continue
        gaps = {
            other: min(abs(p - q) for p in line for q in corners) for other, line in lines.items()
        }
        assert min(gaps, key=gaps.__getitem__) == name, (name, gaps)


# ---- The finished SVG --------------------------------------------------------------------------


def require(engine: str) -> None:
    if engine == "dot" and not shutil.which("dot"):
        pytest.skip("Graphviz is not installed")


def test_every_node_and_edge_has_words() -> None:
    root = expression()
    root.backward()
    svg = ElementTree.fromstring(draw(root).svg())
    groups = [g for g in svg.iter(f"{SVG}g") if g.get("class", "").split()[0] in ("node", "edge")]
    assert len(groups) == 7 + 6
    for group in groups:
        title = group.find(f"{SVG}title")
        assert title is not None and len((title.text or "").split()) > 3
    assert svg.get("role") == "img" and svg.get("aria-label")
    assert svg[0].tag == f"{SVG}title"


def test_the_svg_suits_light_and_dark_pages_of_any_width() -> None:
    root = random_graph(1)
    root.backward()
    svg = draw(root).svg()
    assert "prefers-color-scheme:dark" in svg and "tabular-nums" in svg
    assert "max-width:100%" in svg and "viewBox" in svg and svg.count("font-family=") == 1
    painted = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', svg))
    assert painted <= set(style.DARK), "a colour with no dark counterpart"
    assert 'fill="black"' not in svg and 'stroke="black"' not in svg


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(theme: str) -> None:
    colour = style.DARK.__getitem__ if theme == "dark" else str
    page = "#0f1419" if theme == "dark" else "#ffffff"
    for text in (style.INK, style.MUTED, style.POSITIVE_TEXT, style.NEGATIVE_TEXT):
        for ground in (page, colour(style.SURFACE), colour(style.LEAF)):
            assert _contrast(colour(text), ground) >= 4.5
    for line in (style.POSITIVE, style.NEGATIVE, style.MUTED, style.BORDER):
        assert _contrast(colour(line), page) >= 3
    for step, ground in enumerate(style.STEPS):
        assert _contrast(colour(style.on_step(step)), colour(ground)) >= 4.5


def test_the_same_graph_gives_the_same_bytes_in_every_process() -> None:
    code = (
        "from tests.test_viz_graph import network, random_graph\n"
        "from viz import draw\n"
        "root = random_graph(5); root.backward()\n"
        "print(draw(root).svg(), draw(network(2, 16, 16, 1)).svg())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


# ---- micrograd's function ----------------------------------------------------------------------


def test_draw_dot_is_micrograds_function(tmp_path: Path) -> None:
    root = expression()
    root.backward()
    dot = draw_dot(root, format="png", rankdir="TB")
    assert isinstance(dot, graphviz.Digraph)
    assert dot.source == draw(root, rankdir="TB").source
    assert dot.pipe().startswith(b"\x89PNG")
    assert dot.pipe(format="svg", encoding="utf-8") == draw(root, rankdir="TB").svg()
    target = dot.render(tmp_path / "gout")
    assert target == str(tmp_path / "gout.png") and os.path.exists(target)
    assert "image/svg+xml" in dot._repr_mimebundle_()


def test_lines_can_be_added_to_a_digraph() -> None:
    dot = draw_dot(expression())
    dot.node("mine", label="a note")
    assert b"a note" in dot.pipe()


@pytest.mark.parametrize("root", [3.0, "x", None, [Value(1.0), 2.0], draw])
def test_what_is_no_value_is_refused(root: object) -> None:
    for function in (draw, draw_dot):
        with pytest.raises(TypeError, match="a picture is drawn of a Value"):
            function(root)


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="rankdir is 'LR'"):
        draw_dot(Value(1.0), rankdir="XX")


# ---- Folding -----------------------------------------------------------------------------------


def _acyclic(scene: Scene) -> bool:
    users: dict[str, set[str]] = {box.name: set() for box in scene.boxes}
    for arrow in scene.arrows:
        users[arrow.head].add(arrow.tail)
    while ready := [name for name, tails in users.items() if not tails]:
        for name in ready:
            del users[name]
        for tails in users.values():
            tails.difference_update(ready)
    return not users


def test_a_network_is_folded_by_neuron() -> None:
    loss = network(2, 16, 16, 1)
    scene = folded(Graph.of(loss))
    neurons = [box for box in scene.boxes if box.heading.startswith("neuron ")]
    assert len(neurons) == 33 and _acyclic(scene)
    column = [box.heading for box in neurons if box.column == "layers.1"]
    assert column == [f"neuron {i}" for i in range(16)]
    assert neurons[0].lines == ("relu, 3 parameters",)
    assert sum(box.kind == "result" for box in scene.boxes) == 1
    assert "work on parameters alone" in str(scene.boxes)
    nodes = len(Graph.of(loss).nodes)
    drawn = sum(box.kind != "layer" for box in scene.boxes)
    assert scene.notes == [f"folded: {nodes:,} nodes as {drawn}; draw(root, fold=False) shows all"]
    assert f"folded: {nodes:,} nodes" in draw(loss).svg()


def test_what_arrives_at_a_neuron_is_the_gradient_of_its_output() -> None:
    loss = network(3, 12, 12, 2, penalty=False)
    graph = Graph.of(loss)
    scene = folded(graph)
    arrived = dict.fromkeys((box.name for box in scene.boxes), 0.0)
    for arrow in scene.arrows:
        arrived[arrow.tail] += arrow.contribution or 0.0
    checked = 0
    for box in scene.boxes:
        if box.heading.startswith("neuron ") or box.kind == "input":
            assert arrived[box.name] == pytest.approx(box.grad)
            checked += 1
    assert checked == (3 + 1) + 12 + 12 + 2  # the sum over the outputs begins with a Value(0)


def test_a_penalty_sends_each_layer_one_arrow() -> None:
    scene = folded(Graph.of(network(2, 8, 1)))
    penalty = next(box for box in scene.boxes if box.heading == "work on parameters alone")
    layers = {box.name for box in scene.boxes if box.kind == "layer"}
    assert {a.tail for a in scene.arrows if a.head == penalty.name} == layers


def test_many_examples_share_the_boxes_of_the_neurons() -> None:
    model = MLP(2, [4, 1], seed=0)
    loss = sum((model([float(i), 1.0]) - 1) ** 2 for i in range(50))
    loss.backward()
    scene = folded(Graph.of(loss))
    neurons = [box for box in scene.boxes if box.heading.startswith("neuron ")]
    assert len(neurons) == 5 and all("used 50 times" in box.lines[0] for box in neurons)


def test_a_layer_alone_is_folded_too() -> None:
    out = sum(Layer(30, 12, seed=0)([1.0] * 30))
    headings = [box.heading for box in folded(Graph.of(out)).boxes]
    assert headings[0] == "layer" and "neuron 11" in headings


@pytest.mark.parametrize("prefix", ["</b>", "\x00\\N", "two\nlines", "😀" * 100])
def test_folded_labels_are_shown_literally(prefix: str) -> None:
    x = Value(1.0, label=f"{prefix}.layers.0.neurons.0.w.0")
    out = (x * 2).tanh()
    out.label = f"{prefix}.layers.0.neurons.0"
    svg = ElementTree.fromstring(draw(out + 1, fold=True).svg())
    words = [title.text or "" for title in svg.iter(f"{SVG}title")]
    assert any(literal(prefix) in text for text in words)


def test_a_wide_network_is_folded_by_layer() -> None:
    scene = folded(Graph.of(network(4, 50, 50, 1)))
    headings = {box.heading for box in scene.boxes}
    assert {"layers.0", "layers.1", "layers.2"} <= headings and len(scene.boxes) < 20
    assert _acyclic(scene)


def test_a_network_of_many_layers_is_folded_by_depth() -> None:
    scene = folded(Graph.of(network(1, *[1] * 600)))
    assert len(scene.boxes) < 20 and any(box.heading == "stage 1" for box in scene.boxes)


@pytest.mark.parametrize("size", [2_000, 100_000])
def test_a_chain_is_folded_and_drawn_in_seconds(size: int) -> None:
    x = y = Value(0.5, label="x")
    for _ in range(size):
        y = y + 0.001
    y.backward()
    start = time.perf_counter()
    picture = draw(y)
    svg = picture.svg()
    assert time.perf_counter() - start < 10
    assert "operations" in svg and len(svg) < 100_000 and ">x<" in svg
    assert x.grad == 1.0


@pytest.mark.parametrize("seed", range(8))
def test_random_graphs_fold_without_a_cycle_and_keep_the_sums(seed: int) -> None:
    root = random_graph(seed, size=200)
    root.backward()
    scene = folded(Graph.of(root))
    assert _acyclic(scene)
    arrived = dict.fromkeys((box.name for box in scene.boxes), 0.0)
    for arrow in scene.arrows:
        arrived[arrow.tail] += arrow.contribution or 0.0
    for box in scene.boxes:
        if box.kind == "input":
            assert arrived[box.name] == pytest.approx(box.grad)


def test_fold_can_be_forced_either_way() -> None:
    loss = network(2, 12, 12, 1)
    assert "folded:" in draw(loss).source
    assert "folded:" not in draw(loss, fold=False).source
    small = network(2, 2, 1)
    assert "folded:" not in draw(small).source and "folded:" in draw(small, fold=True).source
    assert "folded:" in draw(Value(1.0), fold=True).source


# ---- Numbers and scales ------------------------------------------------------------------------


def test_number_format() -> None:
    assert style.number(-0.0) == style.number(0.0) == "0"
    cases = {1234.56: "1235", 123456.0: "1.235e5", -1e-9: "−1e−9"}
    assert {value: style.number(value) for value in cases} == cases
    assert style.number(-math.inf) == "−inf" and style.signed(math.inf) == "+inf"
    assert style.signed(math.nan) == "NaN" and style.signed(-0.0) == "0"


def test_scales_survive_extreme_numbers() -> None:
    for values in (
        [],
        [0.0],
        [math.nan, math.inf],
        [5e-324],
        [1e308, -1e308],
        [1e-300, 1e-300, 1e300],
    ):
        scale = style.Scale.of(values)
        assert all(1 <= scale.width(value) <= 6 for value in values)
        assert all(0 <= scale.step(value) <= 8 for value in values if math.isfinite(value))
        assert len(scale.ticks()) == 9


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
def test_each_layer_is_a_frame_with_its_neurons_in_order(rankdir: str) -> None:
    out = MLP(2, [5, 12, 1], seed=0)([0.5, -1.0])
    objects = json.loads(draw(out, fold=True, rankdir=rankdir).pipe("json"))["objects"]
    frames = [frame for frame in objects if frame["name"].startswith("cluster_")]
    assert [len(frame["nodes"]) for frame in frames] == [1 + 5, 1 + 12, 1 + 1]
    for frame in frames:
        boxes = [objects[index] for index in frame["nodes"]]
        boxes.sort(key=lambda box: (box["name"][0] != "l", int(box["name"][1:])))
        places = [tuple(map(float, box["pos"].split(","))) for box in boxes]
        along = [-y if rankdir == "LR" else x for x, y in places]
        assert along == sorted(along)


def test_a_penalty_sends_one_arrow_to_each_layer() -> None:
    scene = folded(Graph.of(network(2, 4, 4, 1)))
    (penalty,) = [box.name for box in scene.boxes if box.heading == "work on parameters alone"]
    tails = [arrow.tail for arrow in scene.arrows if arrow.head == penalty]
    assert sorted(tails) == ["l0", "l1", "l2"]
