"""The picture of a network, and the page that plays its training."""

from __future__ import annotations

import copy
import itertools
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy
import pytest

from microgradlike import History, Value, fit, losses, optim
from microgradlike.flow import layer_errors
from microgradlike.nn import MLP
from tests.browser import CONTRAST, Visit
from viz import draw_network, save_movie, style
from viz.network import MOST_ROWS, Network, arrows, circles, read_network

SVG = "{http://www.w3.org/2000/svg}"
PEOPLE = [["Ann", "Bob"], ["Cleo", "Dan", "Eve"], ["Zoe"]]


Rectangle = tuple[float, float, float, float]


def company() -> MLP:
    return MLP(2, [3, 1], activation="tanh", seed=3)


def network_of(model: MLP) -> Network:
    return read_network(model, None, None, loss=losses.mse, names=None)


def parts(svg: str, kind: str) -> dict[str, ElementTree.Element]:
    root = ElementTree.fromstring(svg)
    groups = {str(group.get("data-name")): group for group in root.iter(f"{SVG}g")}
    return {name: group for name, group in groups.items() if name.startswith(kind)}


def words(group: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in group.iter(f"{SVG}text")]


# ---- The picture -------------------------------------------------------------------------------


def test_every_neuron_shows_its_value_and_its_delta() -> None:
    model = company()
    errors = layer_errors(model, [1.0, -0.5], 0.8)
    shown = parts(draw_network(model, [1.0, -0.5], 0.8, names=PEOPLE).svg(), "n")
    assert words(shown["n0_0"]) == ["Ann", "1"]
    for layer, error in enumerate(errors):
        for row, (value, delta) in enumerate(zip(error.activation_out, error.delta, strict=True)):
            name, *total, number, change = words(shown[f"n{layer + 1}_{row}"])
            assert len(total) == (layer == 0)  # of a linear neuron the weighted sum is the value
            assert name == PEOPLE[layer + 1][row]
            assert float(number.replace("−", "-")) == pytest.approx(value, rel=5e-3)  # three digits
            assert float(change[2:].replace("−", "-")) == pytest.approx(delta, rel=5e-3)
            assert change[2] in "+−"


def test_the_wider_the_arrow_the_larger_the_weight() -> None:
    model = company()
    network = read_network(model, None, None, loss=losses.mse, names=None)
    lines = parts(draw_network(model).svg(), "e")
    found = []
    for place, (layer, neuron, source) in enumerate(arrows(network)):
        line = lines[f"e{place}"].find(f".//{SVG}path")
        assert line is not None
        weight = float(network.weights[layer][neuron, source])
        found.append((abs(weight), float(line.get("stroke-width", "1"))))
        colour = line.get("stroke")
        assert colour == ("#d55e00" if weight > 0 else "#0072b2")
        assert (line.get("stroke-dasharray") is None) == (weight > 0)
    widths = [width for _, width in sorted(found)]
    assert widths == sorted(widths) and widths[-1] == 6 > widths[0]


@pytest.mark.parametrize("kind", ["weights", "gradients", "slopes"])
def test_an_arrow_shows_one_number_by_its_width_hue_dash_and_words(kind: Any) -> None:
    model, x, y = company(), [1.0, -0.5], 0.8
    losses.mse(model(x), y).backward()
    errors = layer_errors(model, x, y)
    svg = draw_network(model, x, y, arrows=kind).svg()
    lines, numbers = parts(svg, "e"), parts(svg, "w")
    found = []
    for place, (layer, neuron, source) in enumerate(arrows(network_of(model))):
        weight = model.layers[layer].neurons[neuron].w[source]
        carried = {
            "weights": weight.data,
            "gradients": weight.data * errors[layer].delta[neuron],
            "slopes": weight.grad,
        }[kind]
        line = lines[f"e{place}"].find(f".//{SVG}path")
        assert line is not None
        assert line.get("stroke") == ("#d55e00" if carried > 0 else "#0072b2")
        assert (line.get("stroke-dasharray") is None) == (carried > 0)
        assert words(numbers[f"w{place}"]) == [style.short_signed(carried)]
        found.append((abs(carried), float(line.get("stroke-width", "1"))))
        tips = points(lines[f"e{place}"].find(f".//{SVG}polygon"))
        ends = [float(x) for x in re.findall(r"[MC ](-?[\d.]+),", line.attrib["d"])]
        # Weights travel to the right, what comes from the cost to the left.
        tip = max(x for x, _ in tips) if kind == "weights" else min(x for x, _ in tips)
        assert tip >= max(ends) if kind == "weights" else tip <= min(ends)
    widths = [width for _, width in sorted(found)]
    assert widths == sorted(widths)


def test_the_arrow_of_a_bias_carries_the_slope_of_the_cost_at_it() -> None:
    model, x, y = company(), [1.0, -0.5], 0.8
    losses.mse(model(x), y).backward()
    svg = draw_network(model, x, y, arrows="slopes").svg()
    lines, numbers = parts(svg, "b"), parts(svg, "c")
    biases = [neuron.b for layer in model.layers for neuron in layer.neurons]
    for place, bias in enumerate(biases):
        assert words(numbers[f"c{place}"]) == [f"dC/db {style.short_signed(bias.grad)}"]
        line = lines[f"b{place}"].find(f".//{SVG}path")
        assert line is not None
        assert line.get("stroke") == ("#d55e00" if bias.grad > 0 else "#0072b2")


# ---- Where the numbers are -----------------------------------------------------------------------


def letters(group: ElementTree.Element) -> list[Rectangle]:
    """The rectangles of a group's lines of text, whose letters begin or have their middle there."""
    found = []
    for text in group.iter(f"{SVG}text"):
        x, y, size = (float(text.attrib[key]) for key in ("x", "y", "font-size"))
        wide = style.width(text.text or "", size)
        left = x - wide / 2 if text.get("text-anchor") == "middle" else x
        found.append((left, y - 0.75 * size, left + wide, y + 0.02 * size))
    return found


def points(shape: ElementTree.Element | None) -> list[tuple[float, float]]:
    assert shape is not None
    numbers = [tuple(map(float, p.split(","))) for p in shape.attrib["points"].split()]
    return [(x, y) for x, y in numbers]


def lies_on(box: Rectangle, line: ElementTree.Element) -> bool:
    """Whether any of the points of a line as thick as it is drawn is in the rectangle."""
    begin, end = [
        tuple(map(float, p.split(",")))
        for p in (line.attrib["d"][1:].split("C")[0], line.attrib["d"].split(" ")[-1])
    ]
    steps = numpy.linspace(0, 1, 2001)[:, None]
    inside = numpy.clip(along := begin + steps * numpy.subtract(end, begin), box[:2], box[2:])
    away = numpy.hypot(*(along - inside).T)
    return bool((away < float(line.get("stroke-width", "1")) / 2).any())


def meet(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@pytest.mark.parametrize("kind", ["weights", "gradients", "slopes"])
@pytest.mark.parametrize("size", [(2, [3, 1]), (3, [4, 2]), (2, [4, 4, 1]), (1, [1])], ids=str)
def test_no_number_lies_on_an_arrow_a_circle_or_a_number(size: Any, kind: Any) -> None:
    model = MLP(*size, activation="tanh", seed=4)
    for place, parameter in enumerate(model.parameters()):
        parameter.data += 0.1 * (-1) ** place
    x, y = [0.7, -1.1, 0.3][: size[0]], [0.5, -0.5][: size[1][-1]]
    target = y if len(y) > 1 else y[0]
    shown = parts(draw_network(model, x, target, loss=distance, arrows=kind).svg(), "")
    numbers = {name: letters(g)[0] for name, g in shown.items() if re.match(r"[wc]\d", name)}
    lines = {name: g for name, g in shown.items() if re.match(r"[eb]\d", name)}
    assert sum(name[0] == "w" for name in numbers) == len(arrows(network_of(model)))
    for (name, box), (other, beside) in itertools.combinations(numbers.items(), 2):
        assert not meet(box, beside), (name, other)
    for name, box in numbers.items():
        for other, group in lines.items():
            line = group.find(f".//{SVG}path")
            assert line is not None and not lies_on(box, line), (name, other)
            for head in group.iter(f"{SVG}polygon"):
                xs, ys = zip(*points(head), strict=True)
                assert not meet(box, (min(xs), min(ys), max(xs), max(ys))), (name, other)
        for other, group in shown.items():
            if other[0] == "n" and (circle := group.find(f"{SVG}ellipse")) is not None:
                cx, cy, r = (float(circle.attrib[key]) for key in ("cx", "cy", "rx"))
                away = max(box[0] - cx, 0, cx - box[2]), max(box[1] - cy, 0, cy - box[3])
                assert math.hypot(*away) > r, (name, other)


def distance(output: Any, target: Any) -> Any:
    if not isinstance(output, list):
        return losses.mse(output, target)
    return sum((o - t) ** 2 for o, t in zip(output, target, strict=True))


def test_arrows_are_drawn_behind_circles_and_numbers_on_top() -> None:
    shown = parts(draw_network(MLP(2, [16, 1], seed=0)).svg(), "")
    layers = {"e": 0, "b": 0, "n": 1, "h": 2, "c": 2}
    order = [layers[name[0]] for name in shown if name != "None"]
    assert order == sorted(order) and set(order) == {0, 1, 2}


# ---- Circles, columns and the legend -------------------------------------------------------------


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu", "gelu", "sin"])
def test_a_neuron_shows_where_it_is_on_the_curve_of_its_activation(name: str) -> None:
    model = MLP(2, [3, 1], activation=name, seed=1)
    x = [0.5, -7.0]
    shown = parts(draw_network(model, x).svg(), "")
    assert {name for name in shown if name[0] in "kp"} == {f"{k}1_{n}" for k in "kp" for n in "012"}
    sums = [neuron.weighted_sum(x).data for neuron in model.layers[0].neurons]
    reach = max(4.0, *map(abs, sums))
    for row, (neuron, z) in enumerate(zip(model.layers[0].neurons, sums, strict=True)):
        line, mark, circle = (shown[f"{kind}1_{row}"][1] for kind in "kpn")
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", line.attrib["d"])]
        xs, ys = numpy.array(numbers).reshape(-1, 2).T
        across, down = float(mark.attrib["cx"]), float(mark.attrib["cy"])
        middle = float(circle.attrib["cx"])
        assert (across - middle) / (xs.max() - middle) == pytest.approx(z / reach, abs=0.01)
        assert numpy.interp(across, xs, ys) == pytest.approx(down, abs=0.3)
        # The heights tell the values of the activation, from the least to the largest.
        table = [
            neuron.activated(Value(float(at))).data for at in numpy.linspace(-reach, reach, 33)
        ]
        table_mark = (neuron.activated(Value(z)).data - min(table)) / (max(table) - min(table))
        assert (ys.max() - down) / (ys.max() - ys.min()) == pytest.approx(table_mark, abs=0.05)


def test_no_curve_where_there_is_no_room_or_nothing_to_show() -> None:
    for model, x in ((MLP(2, [3, 1], seed=0), None), (MLP(2, [16, 16, 1], seed=0), [1.0, 2.0])):
        assert not parts(draw_network(model, x).svg(), "k")
    broken = MLP(1, [1, 1], activation="log", seed=0)  # which has no value below zero
    assert not parts(draw_network(broken, [1.0]).svg(), "k")


def test_columns_have_the_names_that_the_caller_gives_them() -> None:
    model = MLP(2, [3, 1], activation=["tanh", "sigmoid"], seed=0)
    plain = parts(draw_network(model).svg(), "h")
    assert [words(group) for group in plain.values()] == [
        ["inputs"],
        ["layer 1", "tanh"],
        ["output layer", "sigmoid"],
    ]
    named = draw_network(model, layers=("sales people", "managers", "CEO")).svg()
    assert [words(group)[0] for group in parts(named, "h").values()] == [
        "sales people",
        "managers",
        "CEO",
    ]
    assert "1, managers: tanh" in named
    for wrong in (["managers"], "abc"):
        with pytest.raises(ValueError, match="layers has a name for each of the 3 columns"):
            draw_network(model, layers=wrong)


@pytest.mark.parametrize("kind", ["weights", "gradients", "slopes"])
def test_a_still_has_a_legend_of_two_lines_or_none(kind: Any) -> None:
    model = MLP(2, [2, 2, 1], activation="tanh", seed=0)

    def below(legend: bool) -> list[str]:
        root = ElementTree.fromstring(
            draw_network(model, [1.0, -0.5], 0.8, arrows=kind, legend=legend).svg()
        )
        graph = root.find(f"{SVG}g")
        assert graph is not None
        texts = graph.findall(f"{SVG}text")
        assert len({text.attrib["y"] for text in texts}) == 2 * legend
        return [text.text or "" for text in texts]

    assert below(False) == []
    assert below(True).count("gradient of the cost at z") == (kind != "gradients")
    with pytest.raises(TypeError, match="legend is True or False, but got 'no'"):
        draw_network(model, legend="no")


def test_the_sum_over_two_paths_is_written_out() -> None:
    model, x, y = MLP(2, [2, 2, 1], activation="tanh", seed=0), [1.0, -0.5], 0.8
    first, second, _ = layer_errors(model, x, y)
    weights = [neuron.w[0].data for neuron in model.layers[1].neurons]
    one, two = (w * d for w, d in zip(weights, second.delta.tolist(), strict=True))
    svg = draw_network(model, x, y, arrows="gradients", names=[None, ["A", "B"]]).svg()
    (about,) = parts(svg, "n1_0")["n1_0"].findall(f"{SVG}title")
    slope, delta = style.number(first.slope_part[0]), style.signed(first.delta[0])
    spaced = f"{style.signed(two)[0]} {style.signed(two)[1:]}"
    product = f"({style.signed(one)} {spaced}) × {slope} = {delta} = δ"
    assert product in (about.text or "").splitlines()
    assert f"that of A: ({style.short_signed(one)} " in svg
    assert f" = {style.short_signed(first.delta[0])}<" in svg


def test_names_of_wide_letters_stay_in_their_circles() -> None:
    names = [["W" * 30, "i" * 30], ["@@@@@@@@@@", "illicitly", "国" * 9], ["CEO"]]
    circles = parts(draw_network(company(), names=names).svg(), "n")
    shown = {words(circle)[0] for circle in circles.values()}
    assert {"illicitly", "CEO"} < shown and "W" * 30 not in shown
    assert all(style.width(name, 9, bold=True) <= 61 for name in shown)


def test_a_number_has_its_place_by_its_middle() -> None:
    """So it stays there when a page writes another one."""
    shown = parts(draw_network(MLP(2, [3, 1], seed=0), [1e6, -1e-7]).svg(), "w")
    assert len(shown) == 9
    assert all(
        t.get("text-anchor") == "middle" for g in shown.values() for t in g.iter(f"{SVG}text")
    )


def test_arrows_without_error_are_in_the_legend() -> None:
    model = MLP(2, [3, 1], activation="relu", seed=1)
    shown = draw_network(model, [1.0, -1.0], 0.5, arrows="gradients")
    assert "style=dotted" in shown.source and "dotted ◄ 0" in shown.source
    assert "dotted ►" not in draw_network(model, [1.0, -1.0], 0.5).source


def test_the_tooltip_has_the_slope_of_the_cost_by_the_weight() -> None:
    model = company()
    svg = draw_network(model, [1.0, -0.5], 0.8, names=PEOPLE).svg()
    losses.mse(model([1.0, -0.5]), 0.8).backward()
    values = [error.activation_in for error in layer_errors(model, [1.0, -0.5], 0.8)]
    for layer, neuron, source in arrows(network_of(model)):
        weight = model.layers[layer].neurons[neuron].w[source]
        who = f"weight from {PEOPLE[layer][source]} to {PEOPLE[layer + 1][neuron]}"
        about = svg[svg.index(f"{who}: {weight.data!r}") :]
        product, exact = re.findall(r"dC/dw = (.*?) \(exactly (\S+?)\)", about)[0]
        assert product.startswith(f"{style.short(values[layer][source])} × ")
        assert product.endswith(f" = {style.short(weight.grad)}")
        slope = float(exact)
        assert slope == pytest.approx(weight.grad, rel=1e-12)


def test_error_is_target_minus_answer() -> None:
    model = company()
    out = model([1.0, -0.5]).data
    svg = draw_network(model, [1.0, -0.5], 0.8).svg()
    (error,) = re.findall(r">error = target − answer = ([+−][\d.]+)<", svg)
    assert float(error.replace("−", "-")) == pytest.approx(0.8 - out, rel=5e-3)


def test_wide_layers_are_folded_and_counted() -> None:
    model = MLP(40, [100, 3], seed=0)
    network = read_network(model, None, None, loss=losses.mse, names=None)
    assert [len(rows) for rows in network.rows] == [11, 11, 3]
    assert all(len(rows) <= MOST_ROWS for rows in network.rows)
    svg = draw_network(model).svg()
    assert "30 more" in svg and "90 more" in svg
    assert f"folded: {143 - len(circles(network))} neurons are not shown" in svg


@pytest.mark.parametrize("arrows", ["weights", "gradients", "slopes"])
def test_drawing_changes_nothing(arrows: Any) -> None:
    model = company()
    before = [(p.data, p.grad) for p in model.parameters()]
    one = draw_network(model, [1.0, 2.0], 1.0, arrows=arrows).svg()
    assert draw_network(model, [1.0, 2.0], 1.0, arrows=arrows).svg() == one
    assert [(p.data, p.grad) for p in model.parameters()] == before


def test_class_labels_and_special_numbers() -> None:
    model = MLP(2, [3], seed=0)
    names = [["a", "b"], ["cat", "dog", "emu"]]
    picture = draw_network(model, [1.0, 2.0], 2, loss=losses.cross_entropy, names=names)
    assert "target emu" in repr(picture)
    assert [words(group) for group in parts(picture.svg(), "o").values()] == [["target"]]
    assert list(parts(picture.svg(), "o")) == ["o2"]
    model.layers[0].neurons[0].w[0].data = math.nan
    assert "NaN" in draw_network(model, [1.0, 2.0], [0.0, 0.0, 0.0]).svg()


def test_any_name_is_shown_as_it_is() -> None:
    svg = draw_network(MLP(1, [1], seed=0), names=[["</title>"], ['"><b>\n']]).svg()
    root = ElementTree.fromstring(svg)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "</title>" in texts and '"><b>\\n' in texts


def test_bad_input() -> None:
    model = company()
    with pytest.raises(TypeError, match="a model with layers is needed, such as an MLP, but got 3"):
        draw_network(3)
    with pytest.raises(ValueError, match="takes 2 inputs, but got 1"):
        draw_network(model, [1.0], 1.0)
    with pytest.raises(ValueError, match="y is the target of an example: give x as well"):
        draw_network(model, None, 1.0)
    with pytest.raises(ValueError, match='arrows="gradients" needs an example x and its'):
        draw_network(model, arrows="gradients")
    with pytest.raises(ValueError, match='arrows is "weights", "gradients" or "slopes", but got'):
        draw_network(model, arrows="red")
    with pytest.raises(TypeError, match="draw_network has no option 'hue'; it has"):
        draw_network(model, **{"hue": "weight"})  # as it was called once
    with pytest.raises(ValueError, match="names has a list for each column, of 2, 3, 1 names"):
        draw_network(model, names=[["a"], ["b"], ["c"]])
    with pytest.raises(TypeError, match="names has a list for the inputs and one for"):
        draw_network(model, names=3)
    with pytest.raises(TypeError, match=r"this MLP takes a list of 2 inputs, but got 3.0"):
        draw_network(model, 3.0)
    with pytest.raises(ValueError, match="this MLP takes 2 inputs, but got 1"):
        draw_network(model, [1.0])
    with pytest.raises(TypeError, match=r"this MLP takes a real number .* but got 'a'"):
        draw_network(model, "ab")
    with pytest.raises(TypeError, match=r"loss is a function, .* but got 'mse'"):
        draw_network(model, [1.0, 2.0], 1.0, loss="mse")
    with pytest.raises(TypeError, match="the loss of an output and its target is a Value"):
        draw_network(model, [1.0, 2.0], 1.0, loss=lambda out, y: 3.0)
    with pytest.raises(TypeError, match="a target of mse takes a real number"):
        draw_network(model, [1.0, 2.0], "1")
    assert draw_network(model, [1.0, 2.0], numpy.array(1.0))  # to NumPy that is one number


# ---- The movie ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained() -> tuple[MLP, History]:
    model = company()
    X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    history = fit(
        model,
        X,
        y,
        loss=losses.mse,
        optimizer=optim.Adam(model.parameters(), lr=0.05),
        epochs=40,
        batch_size=4,
        record=4,
        progress=False,
    )
    return model, history


@pytest.fixture
def movie(trained: tuple[MLP, History], tmp_path: Path) -> Path:
    _, history = trained
    return save_movie(history, tmp_path / "training.html", x=[1.0, 0.0], y=1.0, names=PEOPLE)


def test_a_still_beside_a_movie_has_its_widths_colours_and_places(
    trained: tuple[MLP, History], movie: Path
) -> None:
    _, history = trained
    frames = json.loads(re.findall(r'class="story">(.*?)</script>', movie.read_text())[0])["frames"]
    for place in (0, 4, len(frames) - 1):
        then = copy.deepcopy(history.model)
        then.load_state_dict(history.records[place].state)
        still = draw_network(then, [1.0, 0.0], 1.0, names=PEOPLE, beside=[history])
        shown = parts(still.svg(), "")
        lines = [shown[name][1] for name in (*(f"e{k}" for k in range(9)), "b0", "b1", "b2", "b3")]
        for line, (_, _, width, colour) in zip(lines, frames[place]["weights"], strict=True):
            assert float(line.get("stroke-width", "1")) == width and line.get("stroke") == colour
        faces = [shown[name][1].get("fill") for name in shown if name[0] == "n"]
        assert faces == [fill for *_, fill, _ in frames[place]["neurons"]]
    page = ElementTree.fromstring(re.findall(r"<svg.*?</svg>", movie.read_text(), re.DOTALL)[0])
    middles = [
        [(e.get("cx"), e.get("cy")) for e in root.iter(f"{SVG}ellipse") if e.get("rx") == "43"]
        for root in (page, ElementTree.fromstring(still.svg()))
    ]
    assert len(middles[0]) == 6 and middles[0] == middles[1]
    with pytest.raises(ValueError, match="the history holds no records"):
        draw_network(history.model, beside=[History(loss=[1.0])])


def test_every_record_shows_its_weights(
    visit: Visit, movie: Path, trained: tuple[MLP, History]
) -> None:
    model, history = trained
    tab = visit(movie)
    assert int(tab.attribute("data-steps")) == len(history.records) - 1 == 10
    for record in history.records:
        copied = copy.deepcopy(model)
        copied.load_state_dict(record.state)
        network = read_network(copied, None, None, loss=losses.mse, names=None)
        expected = [
            repr(float(network.weights[layer][neuron, source]))
            for layer, neuron, source in arrows(network)
        ]
        shown = {
            w["data-weight"]: w["data-value"]
            for w in tab.each("[data-weight]", "data-weight", "data-value")
        }
        assert [shown[str(place)] for place in range(len(expected))] == expected
        assert f"Epoch {record.epoch} of 40" in tab.page.inner_text(".count")
        tab.press("ArrowRight")


def test_numbers_and_arrows_have_the_title_of_their_record(visit: Visit, movie: Path) -> None:
    tab = visit(movie)
    title = "(groups) => groups.map((group) => group.querySelector('title').textContent)"
    for _ in range(3):
        arrows, numbers = (
            tab.page.eval_on_selector_all(f"[data-{kind}]", title) for kind in ("weight", "number")
        )
        weights = tab.each("[data-weight]", "data-value")
        ends = [title.rpartition(" ")[2] for title in arrows]
        assert ends == [weight["data-value"] for weight in weights]
        assert sorted(numbers) == sorted(arrows)
        tab.press("ArrowRight")


def test_every_record_shows_its_error(
    visit: Visit, movie: Path, trained: tuple[MLP, History]
) -> None:
    model, history = trained
    tab = visit(movie)
    reach, marks = 4.0, []
    for record in history.records:
        copied = copy.deepcopy(model)
        copied.load_state_dict(record.state)
        sums = [neuron.weighted_sum([1.0, 0.0]).data for neuron in copied.layers[0].neurons]
        reach = max(reach, *map(abs, sums))
        points = tab.each("[data-mark] ellipse", "cx") + tab.each(".outline", "cx")[2:5]
        across = [float(point["cx"] or "nan") for point in points]
        marks.append(
            (sums, [mark - middle for mark, middle in zip(across[:3], across[3:], strict=True)])
        )
        target, error = tab.page.locator("[data-outcome] .line").all_text_contents()
        out = copied([1.0, 0.0]).data
        assert target == "target 1"
        shown = float(error.removeprefix("error = target − answer = ").replace("−", "-"))
        assert shown == pytest.approx(1.0 - out, rel=5e-3)
        tab.press("ArrowRight")
    for sums, beside in marks:  # the curves reach as far as the largest weighted sum of all
        assert beside == pytest.approx([z / reach * 18 for z in sums], abs=0.02)


def test_the_movie_follows_the_rules_of_pages(
    visit: Visit, movie: Path, view: dict[str, Any]
) -> None:
    tab = visit(movie, "#step=3")
    assert tab.step == 3
    assert tab.page.evaluate(CONTRAST) == []
    tab.press("End")
    tab.press("ArrowLeft")
    other = visit(movie, "#step=9")
    assert tab.dom() == other.dom()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= view["viewport"]["width"]
    assert tab.requests == [movie.as_uri()] and tab.complaints == []


def test_the_movie_begins_in_letters_that_can_be_read(visit: Visit, tmp_path: Path) -> None:
    x, y = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.9, 0.3]], [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]
    model = MLP(4, [6, 4, 3], activation="tanh", seed=0)
    history = fit(model, x, y, loss=losses.mse, epochs=2, progress=False, record=1)
    tab = visit(save_movie(history, tmp_path / "training.html", x=x[0], y=y[0]))
    assert tab.smallest() >= 9
    before = tab.smallest()
    tab.page.click(".larger")
    assert tab.smallest() > before
    tab.press("0")
    assert tab.smallest() < before and tab.step == 0


def test_the_movie_without_javascript(visit: Visit, movie: Path) -> None:
    tab = visit(movie, java_script_enabled=False)
    assert tab.page.locator(".views svg").is_visible()
    assert not tab.page.locator(".transport").is_visible()


def test_the_movie_says_which_weight_moved_most(movie: Path, trained: tuple[MLP, History]) -> None:
    frames = json.loads(re.findall(r'class="story">(.*?)</script>', movie.read_text())[0])["frames"]
    assert frames[0]["sentence"] == "The weights are still those that were drawn at random."
    assert all("The largest change" in frame["sentence"] for frame in frames[1:])
    assert frames[0]["point"] is None and all(frame["point"] for frame in frames[1:])


def test_the_same_training_gives_the_same_bytes(
    trained: tuple[MLP, History], tmp_path: Path
) -> None:
    _, history = trained
    before = [p.data for p in history.model.parameters()]
    one, two = (save_movie(history, tmp_path / name) for name in ("a.html", "b.html"))
    assert one.read_bytes() == two.read_bytes()
    assert [p.data for p in history.model.parameters()] == before


def test_a_movie_needs_records(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"the history holds no records .* fit\(\.\.\., record=1\)"
    ):
        save_movie(History(loss=[1.0]), tmp_path / "training.html")
    with pytest.raises(TypeError, match="a movie is made of the history that fit returned"):
        save_movie(Value(1.0), tmp_path / "training.html")
    assert list(tmp_path.iterdir()) == []
