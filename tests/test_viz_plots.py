"""Loss curves and decision boundaries: figures without a screen."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy
import pytest

from microgradlike import Value
from microgradlike.nn import MLP
from microgradlike.training import History
from viz import plot_decision_boundary, plot_loss, save

pytest.importorskip("matplotlib")

POINTS = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]


def lines(axes: Any) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}


def test_the_loss_and_the_metric_are_plotted() -> None:
    figure = plot_loss(History([3.0, 2.0, 1.0], [0.5, 0.75, 1.0], metric_name="accuracy"))
    left, right = figure.axes
    assert lines(left) == {"loss": [3.0, 2.0, 1.0]} and lines(right) == {"accuracy": [0.5, 0.75, 1]}
    assert numpy.asarray(left.get_lines()[0].get_xdata()).tolist() == [1, 2, 3]
    assert (left.get_xlabel(), right.get_ylabel()) == ("epoch", "accuracy")


def test_validation_is_plotted_beside_training() -> None:
    history = History([3.0], [0.5], [3.5], [0.4], "accuracy")
    left, right = plot_loss(history).axes
    assert lines(left) == {"loss": [3.0], "validation loss": [3.5]}
    assert lines(right) == {"accuracy": [0.5], "validation accuracy": [0.4]}
    assert all(line.get_marker() == "o" for line in left.get_lines())


def test_a_loss_without_a_metric_has_one_axis() -> None:
    assert len(plot_loss(History([1.0, 0.5])).axes) == 1


def test_an_empty_history_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no epoch"):
        plot_loss(History())


@pytest.mark.parametrize("labels", [[-1, 1, -1, 1], [0, 1, 0, 1]])
def test_one_score_decides_by_its_sign(labels: list[int]) -> None:
    seen = []

    def model(x: list[float]) -> Value:
        seen.append(x)
        return Value(x[1] - 0.5)

    axes = plot_decision_boundary(model, POINTS, labels).axes[0]
    assert all(type(number) is float for x in seen for number in x)
    assert len(axes.collections) == 1 + 2  # the regions, and the points of each class
    low, high = (numpy.asarray(points.get_offsets()) for points in axes.collections[1:])
    assert set(low[:, 1]) == {0.0} and set(high[:, 1]) == {1.0}


def test_several_scores_decide_by_the_largest() -> None:
    figure = plot_decision_boundary(MLP(2, [4, 3], seed=0), POINTS, [0, 1, 2, 2])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["0", "1", "2"]


def test_a_class_keeps_its_colour_when_the_other_is_missing() -> None:
    both = plot_decision_boundary(lambda x: x[0], POINTS, [-1, 1, 1, 1]).axes[0]
    one = plot_decision_boundary(lambda x: x[0], POINTS, [1, 1, 1, 1]).axes[0]
    colours = [axes.collections[-1].get_facecolor() for axes in (both, one)]
    assert numpy.array_equal(numpy.asarray(colours[0]), numpy.asarray(colours[1]))


def test_plotting_records_no_graph_and_changes_no_gradient() -> None:
    model = MLP(2, [3, 1], seed=0)
    plot_decision_boundary(model, POINTS, [-1, 1, 1, -1])
    assert all(p.grad == 0 for p in model.parameters())


@pytest.mark.parametrize("X", [[], [1.0, 2.0], [[1.0, 2.0, 3.0]]])
def test_points_that_are_no_pairs_are_refused(X: Any) -> None:
    with pytest.raises(ValueError, match="n rows of two numbers"):
        plot_decision_boundary(lambda x: x[0], X, [1] * len(X))


def test_classes_that_do_not_fit_the_points_are_refused() -> None:
    with pytest.raises(ValueError, match="one class for each of 4 rows"):
        plot_decision_boundary(lambda x: x[0], POINTS, [1])


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_the_same_figure_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        save(plot_loss(History([1.0, 0.5])), tmp_path / f"{name}.{suffix}")
    a, b = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("a", "b"))
    assert a == b and len(a) > 1000 and len(list(tmp_path.iterdir())) == 2


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.svg, \.png or \.pdf"):
        save(plot_loss(History([1.0])), tmp_path / "a.gif")


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r'pip install "microgradlike\[demos\]"'):
        plot_loss(History([1.0]))
    with pytest.raises(ImportError, match=r'pip install "microgradlike\[demos\]"'):
        plot_decision_boundary(lambda x: x[0], POINTS, [0, 0, 1, 1])
