"""Plots, networks, movies and frames: what a reader sees of them."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy
import pytest
from matplotlib import pyplot
from PIL import Image

from microgradlike import Value
from microgradlike.training import History
from viz import plot_decision_boundary, plot_loss

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
