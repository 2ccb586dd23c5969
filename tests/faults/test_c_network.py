"""Plots, networks, movies and frames: what a reader sees of them."""

from __future__ import annotations

import io
import itertools
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy
import pytest
from matplotlib import pyplot
from PIL import Image

from microgradlike import Value, fit, losses
from microgradlike.flow import layer_errors
from microgradlike.nn import MLP, Layer, Neuron
from microgradlike.training import History
from viz import draw_network, frames, plot_decision_boundary, plot_loss, save_movie, style
from viz.parts import outline

ANGLES = numpy.linspace(0, 2 * numpy.pi, 36, endpoint=False) + 0.05
POINTS = numpy.stack([numpy.cos(ANGLES), numpy.sin(ANGLES)], axis=1)


def sectors(count: int) -> Any:
    """A model that gives each of so many sectors of the plane a class of its own, by scores."""
    middles = [2 * math.pi * (place + 0.5) / count for place in range(count)]
    return lambda x: [x[0] * math.cos(a) + x[1] * math.sin(a) for a in middles]


def sector(count: int) -> Any:
    return (ANGLES * count / (2 * numpy.pi)).astype(int)


def regions(figure: Any) -> Any:
    """The place of the class at each point of the plane, and NaN where it has none."""
    field = figure.axes[0].collections[0].get_array()
    return numpy.ma.filled(numpy.ma.asarray(field, float), numpy.nan)


def names(figure: Any) -> list[str]:
    return [text.get_text().removeprefix("\u200b") for text in figure.legends[0].get_texts()]


# ---- Plots in a notebook -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "figure",
    [
        plot_loss(History([1.0, 0.5])),
        plot_decision_boundary(lambda x: x[0], POINTS, POINTS[:, 0] > 0),
    ],
)
def test_C5_a_plot_shows_itself_and_pyplot_holds_no_figure(figure: Any) -> None:
    assert figure._repr_svg_().startswith("<?xml") and "<svg" in figure._repr_svg_()
    assert Image.open(io.BytesIO(figure._repr_png_())).size[0] > 500
    assert pyplot.get_fignums() == []


# ---- Decision boundaries -----------------------------------------------------------------------


def test_C6_no_third_class_stands_between_two() -> None:
    found = regions(plot_decision_boundary(sectors(3), POINTS, sector(3)))
    for row in found[:, -40:].T:  # sectors 0 and 2 meet at the right
        assert set(row) <= {0.0, 2.0}


@pytest.mark.parametrize(
    ("model", "classes"),
    [
        (lambda x: 1 / (1 + math.exp(-3 * x[0])), (0, 1)),
        (lambda x: Value(x[0]).sigmoid(), (False, True)),
        (lambda x: [Value(x[0]).sigmoid()], ("no", "yes")),
        (lambda x: Value(x[0]).tanh(), (-1, 1)),
        (lambda x: x[0], (0, 1)),
        (lambda x: numpy.array([x[0]]), (1, 2)),
        (lambda x: (-x[0], x[0]), (-1, 1)),
        (lambda x: [[-x[0], x[0]]], ("a", "b")),
        (lambda x: numpy.array([Value(-x[0]), Value(x[0])]), (3, 7)),
        (lambda x: "right" if x[0] > 0 else "left", ("left", "right")),
        (lambda x: x[0] > 0, (0, 1)),
        (lambda x: numpy.array([5 if x[0] > 0 else 2]), (2, 5)),
        (lambda x: 1 if x[0] > 0 else -1, (-1, 1)),
        (lambda x: 1.0 if x[0] > 0 else 0.0, (0, 1)),
    ],
)
def test_C6_two_classes_part_in_the_middle(model: Any, classes: tuple[Any, Any]) -> None:
    y = [classes[bool(side)] for side in POINTS[:, 0] > 0]
    figure = plot_decision_boundary(model, POINTS, y)
    found = regions(figure)
    middle = found.shape[1] // 2
    assert (found[:, : middle - 10] == 0).all() and (found[:, middle + 10 :] == 1).all()
    assert names(figure) == [str(name).replace("-", "−") for name in classes]


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        ([0, 1, 2], None),
        ([1, 2, 3], None),
        ([-1, 0, 1], None),
        ([1.0, 2.0, 3.0], None),
        (["_a-b", "b$", "c"], None),
        (["low", "mid", "high"], ["low", "mid", "high"]),
    ],
)
def test_C6_scores_stand_for_the_classes_in_their_order(
    labels: list[Any], order: list[Any] | None
) -> None:
    class Column(list[Any]):
        """What pandas gives for a column of categories."""

        categories = order

    y = Column(labels[place] for place in sector(3))
    by_scores = plot_decision_boundary(sectors(3), POINTS, y)
    scores = sectors(3)
    by_name = plot_decision_boundary(
        lambda x: labels[int(numpy.argmax(scores(x)))], POINTS, Column(y)
    )
    for figure in (by_scores, by_name):
        assert names(figure) == [
            name if isinstance(name, str) else f"{name:g}".replace("-", "−") for name in labels
        ]
        points = figure.axes[0].collections[1:]
        assert [len(numpy.asarray(p.get_offsets())) for p in points] == [12, 12, 12]
    assert (regions(by_scores) != regions(by_name)).mean() < 0.03


def test_C6_every_class_has_a_colour_of_its_own() -> None:
    figure = plot_decision_boundary(sectors(36), POINTS, sector(36))
    colours = {tuple(p.get_facecolor()[0]) for p in figure.axes[0].collections[1:]}
    assert len(colours) == 36 == len(names(figure))


def test_C6_where_a_score_is_nan_there_is_no_class() -> None:
    scores = sectors(3)
    model = lambda x: scores(x) if x[0] > 0 else [math.nan] * 3  # noqa: E731
    found = regions(plot_decision_boundary(model, POINTS, sector(3)))
    assert numpy.isnan(found[:, :200]).all() and not numpy.isnan(found[:, -200:]).any()


def test_C6_infinite_scores_decide() -> None:
    model = lambda x: [-math.inf, x[0], math.inf if x[1] > 0 else -math.inf]  # noqa: E731
    found = regions(plot_decision_boundary(model, POINTS, sector(3)))
    assert (found[-200:] == 2).all() and (found[:200] == 1).all()


@pytest.mark.parametrize(
    ("model", "y", "sentence"),
    [
        (sectors(3), [0, 1, 2, 3] * 9, "gives 3 scores, but y has 4 labels"),
        (lambda x: x[0], [0, 1, 2] * 12, "one score tells two classes apart, but y has 3"),
        (sectors(2), [0, None] * 18, "row 1 is missing: None"),
        (sectors(2), [math.nan, 1] * 18, "row 0 is missing: nan"),
        (lambda x: math.nan, [0, 1] * 18, "gives NaN at every point"),
        (lambda x: [0.0] * (1 + (x[0] > 0)), [0, 1] * 18, "the same number of scores"),
        (sectors(2), numpy.zeros((36, 1)), r"has the shape \(36, 1\)"),
    ],
)
def test_C6_what_cannot_be_drawn_is_said(model: Any, y: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        plot_decision_boundary(model, POINTS, y)


@pytest.mark.parametrize("answer", [None, {}, [], [None, 1.0]])
def test_C6_an_answer_that_is_no_score_is_refused(answer: Any) -> None:
    with pytest.raises(TypeError, match="one score, a list of scores, or a class, but at"):
        plot_decision_boundary(lambda x: answer, POINTS, sector(2))


@pytest.mark.parametrize("bad", [math.nan, math.inf, "a"])
def test_C6_points_that_are_no_numbers_are_refused(bad: Any) -> None:
    X = [[1.0, 2.0], [bad, 1.0]]
    with pytest.raises(ValueError, match="n rows of two"):
        plot_decision_boundary(lambda x: x[0], X, [0, 1])


def test_C6_masked_points_are_refused() -> None:
    X = numpy.ma.masked_greater(POINTS, 0.9)
    with pytest.raises(ValueError, match="two finite numbers"):
        plot_decision_boundary(lambda x: x[0], X, sector(2))


# ---- Networks ----------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"
Box = tuple[float, float, float, float]


def groups(picture: Any) -> dict[str, ElementTree.Element]:
    return {g.get("data-name", ""): g for g in picture.element().iter(f"{SVG}g")}


def words(group: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in group.iter(f"{SVG}text")]


def floated(text: str) -> float:
    return float(text.split(" ")[-1].replace("−", "-"))


def letters(group: ElementTree.Element) -> Box:
    """Where the number of an arrow stands."""
    (text,) = group.iter(f"{SVG}text")
    x, y, size = (float(text.attrib[key]) for key in ("x", "y", "font-size"))
    half = style.width(text.text or "", size) / 2
    return x - half, y - 0.75 * size, x + half, y + 0.25 * size


def apart(a: Box, b: Box) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def gap_to_circle(box: Box, circle: ElementTree.Element) -> float:
    x, y, r = (float(circle.attrib[key]) for key in ("cx", "cy", "rx"))
    across = max(box[0] - x, 0, x - box[2])
    return math.hypot(across, max(box[1] - y, 0, y - box[3])) - r


SIZES = [
    *((a, [b]) for a in range(1, 9) for b in (1, 2, 3, 5, 8) if a * b <= 30),
    *[
        (2, [4, 3]),
        (3, [3, 3, 3]),
        (1, [8, 1]),
        (2, [2, 2, 2, 2]),
        (1, [1, 1, 1, 1]),
        (4, [4, 2, 1]),
    ],
    *[(5, [3, 5]), (8, [2, 5]), (8, [8, 8, 8])],
]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_C9_numbers_cover_neither_circles_nor_heads_nor_each_other(size: Any) -> None:
    carried: Any = ("weights", "gradients", "slopes")[sum(size[1]) % 3]
    model = MLP(*size, activation="tanh", seed=0)
    for place, parameter in enumerate(model.parameters()):
        parameter.data *= (1, -1e-6, 1e5)[place % 3]
    shown = groups(draw_network(model, [1.0] * size[0], 0, loss=first_square, arrows=carried))
    circles = [outline(g) for name, g in shown.items() if name.startswith("n")]
    heads = [
        [tuple(map(float, p.split(","))) for p in polygon.attrib["points"].split()]
        for name, g in shown.items()
        if name.startswith("e")
        for polygon in g.iter(f"{SVG}polygon")
    ]
    boxes = {name: letters(g) for name, g in shown.items() if name.startswith(("w", "c"))}
    assert all(apart(a, b) for a, b in itertools.combinations(boxes.values(), 2))
    for name, box in boxes.items():
        assert min(gap_to_circle(box, circle) for circle in circles) >= (4 if name[0] == "w" else 0)
        for head in heads if name[0] == "w" else []:
            xs, ys = zip(*head, strict=True)
            assert apart(box, (min(xs), min(ys), max(xs), max(ys)))


def first_square(out: Any, target: float) -> Any:
    return ((out[0] if isinstance(out, list) else out) - target) ** 2


def test_C8_the_numbers_add_up_by_hand() -> None:
    model = MLP(2, [3, 1], activation="tanh", seed=3)
    model.layers[0].neurons[1].b.data = 10.0
    x = [1.0, -0.5]
    shown = groups(draw_network(model, x, 0.8))
    weights = [floated(words(shown[f"w{k}"])[0]) for k in range(9)]
    biases = [floated(words(shown[f"c{k}"])[0]) for k in range(4)]
    assert biases == [0, 10, 0, 0]
    outputs = []
    for row in range(3):
        _, z, value, _ = words(shown[f"n1_{row}"])
        total = weights[2 * row] * x[0] + weights[2 * row + 1] * x[1] + biases[row]
        assert z.startswith("z ") and floated(z) == pytest.approx(total, rel=1e-3)
        assert floated(value) == pytest.approx(math.tanh(total), abs=1e-3)
        outputs.append(floated(value))
    _, value, _ = words(shown["n2_0"])
    total = sum(w * v for w, v in zip(weights[6:], outputs, strict=True)) + biases[3]
    assert floated(value) == pytest.approx(total, abs=2e-3)
    lines = [shown[f"b{k}"].find(f".//{SVG}path") for k in range(4)]
    widths = [float(line.get("stroke-width", "1")) for line in lines if line is not None]
    assert widths[1] == 6 and widths[0] == 1


def trained() -> History:
    model = MLP(2, [2, 1], activation="tanh", seed=0)
    return fit(
        *(model, [[0.0, 1.0], [1.0, 0.0]], [1.0, -1.0]),
        **{"loss": losses.mse, "epochs": 3, "record": 1, "progress": False, "compiled": False},
    )


def test_C8_the_movie_has_the_biases_of_every_record(tmp_path: Path) -> None:
    history = trained()
    page = save_movie(history, tmp_path / "a.html", x=[1.0, 0.0], y=0.5).read_text()
    frames_shown = json.loads(re.findall(r'class="story">(.*?)</script>', page)[0])["frames"]
    for record, frame in zip(history.records, frames_shown, strict=True):
        biases = [data for name, data in record.state.items() if name.endswith(".b")]
        assert [float(exact) for _, exact, *_ in frame["weights"][6:]] == biases
        assert [shown[0].startswith("z ") for shown in frame["neurons"]] == [0, 0, 1, 1, 0]


def test_C8_a_bias_may_be_the_largest_change(tmp_path: Path) -> None:
    model = MLP(1, [1], seed=0)
    history = fit(
        *(model, [[0.0], [0.0]], [1.0, 1.0]),
        **{"loss": losses.mse, "epochs": 1, "record": 1, "progress": False},
    )
    assert (
        "the own opinion (bias) of neuron 0" in save_movie(history, tmp_path / "a.html").read_text()
    )


def test_C9_a_layer_and_a_neuron_are_networks() -> None:
    neuron = groups(draw_network(Neuron(2, activation="tanh", seed=0), [1.0, 2.0], 0.5))
    assert sum(name.startswith("n") for name in neuron) == 3
    layer = groups(draw_network(Layer(2, 3, seed=0), [1.0, 2.0]))
    assert sum(name.startswith("n") for name in layer) == 5


def test_C9_large_layers_are_elided_and_columns_named() -> None:
    model = MLP(784, [20, 10], seed=0)
    pixels = [f"pixel {place}" for place in range(784)]
    picture = draw_network(model, most_neurons=5, names=[pixels])
    shown = groups(picture)
    assert [words(shown[f"g{k}"])[1] for k in range(3)] == ["780 more", "16 more", "6 more"]
    assert words(shown["n0_783"]) == ["pixel 783"] and words(shown["n2_9"]) == ["9"]
    named = groups(draw_network(MLP(1, [1]), names=[None, ["out"]]))
    assert words(named["n0_0"]) == ["x0"] and words(named["n1_0"]) == ["out"]
    with pytest.raises(ValueError, match="most_neurons is an int of 3 or more, but got 2"):
        draw_network(model, most_neurons=2)


# ---- Frames and movies -------------------------------------------------------------------------


def chain(length: int) -> Value:
    x = Value(0.5, label="x")
    for _ in range(length):
        x = (x * 1.01).tanh()
    return x


def test_C13_older_frames_go_and_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "step_by_step.svg").write_text("mine")
    frames(chain(4), tmp_path)
    kept = frames(chain(1), tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {path.name for path in kept} | {"step_by_step.svg"}


def test_C13_the_numbers_of_frames_have_no_gaps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("viz.animation.MOST_FRAMES", 4)
    with pytest.warns(UserWarning, match="evenly spread"):
        paths = frames(chain(4), tmp_path)
    assert [path.name for path in paths] == [f"step_{k:03}.svg" for k in range(4)]


def test_C13_png_frames_have_even_sides(tmp_path: Path) -> None:
    for name in ("x", "a longer name", "yy"):
        a = Value(2.0, label=name)
        for path in frames(a * a, tmp_path, "png"):
            assert all(side % 2 == 0 for side in Image.open(path).size)


def test_C13_a_gif_keeps_the_colours_of_large_areas(tmp_path: Path) -> None:
    a = Value(2.0, label="a")
    (path,) = frames(a * a + a, tmp_path, "gif")
    film = Image.open(path)
    for place in range(film.n_frames):  # type: ignore[attr-defined]
        film.seek(place)
        counts = film.convert("RGB").getcolors(1 << 24) or []
        seen = {colour for count, colour in counts if count > 500}
        assert (240, 240, 240) in seen and (255, 255, 255) in seen


def test_C13_a_movie_as_gif_and_the_sentence_where_there_is_no_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = trained()
    film = Image.open(save_movie(history, tmp_path / "a.gif", x=[1.0, 0.0], y=0.5))
    assert film.n_frames == 4 and film.size[0] > 500  # type: ignore[attr-defined]
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ImportError, match="an MP4 is made by the program ffmpeg"):
        save_movie(history, tmp_path / "a.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_C13_an_mp4_is_what_ffmpeg_makes_of_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\nfor last; do :; done\nprintf made > "$last"\ncat > "$0.got"\n')
    program.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(program))
    path = save_movie(trained(), tmp_path / "a.mp4")
    assert path.read_bytes() == b"made"
    assert (tmp_path / "ffmpeg.got").read_bytes().count(b"\x89PNG") == 4 + 16  # the last one stays
    program.write_text("#!/bin/sh\ncat > /dev/null\necho no codec >&2\nexit 1\n")
    with pytest.raises(OSError, match="could not make the MP4: no codec"):
        save_movie(trained(), tmp_path / "b.mp4")


def test_a_model_that_does_more_than_its_layers_is_not_drawn_as_if_it_did_not() -> None:
    class Scaled(MLP):
        def __call__(self, x: Any) -> Any:
            return super().__call__([2 * v for v in x]) * 3

    class Same(MLP):
        def __call__(self, x: Any) -> Any:
            return super().__call__(list(x))

    model = Scaled(2, [2, 1], activation="tanh", seed=0)
    runs: tuple[Any, ...] = draw_network, layer_errors
    for run in runs:
        with pytest.raises(ValueError, match="its __call__ does something else beside"):
            run(model, [1.0, 2.0], 1.0)
    draw_network(model)
    same = Same(2, [2, 1], seed=0)
    draw_network(same, [1.0, 2.0], 1.0)
    assert len(layer_errors(same, [1.0, 2.0], 1.0)) == 2
