"""Plots of a training: the loss over the epochs, and where a model draws the line between classes.

They need matplotlib, and no screen: each returns a figure of its own.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from microgradlike.engine import no_grad
from microgradlike.files import ending_in, write
from microgradlike.training import History
from viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Classes are told apart by these colours and by the form of their points.
CLASSES = (style.NEGATIVE, style.POSITIVE, "#009e73", "#cc79a7", "#595959", "#f0e442", "#000000")
MARKERS = "osD^vPX"

#: How many points of the plane are asked for their class, along each side.
GRID = 60


def plot_loss(history: History) -> Figure:
    """Plot the loss of each epoch, and the metric beside it if there is one.

    Args:
        history: what ``fit`` returned.

    Returns:
        The figure; ``save(figure, path)`` writes it.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there is no epoch to plot.

    >>> history = History(loss=[1.0, 0.5], metric=[0.5, 0.9], metric_name="accuracy")
    >>> len(plot_loss(history).axes)
    2
    """
    if not len(history.loss):
        raise ValueError("the history holds no epoch; train for one at least, then plot its loss")
    figure = _figure(6.4, 3.6)
    axes = figure.add_subplot()
    axes.set(xlabel="epoch", ylabel="loss")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    _curve(axes, history.loss, "loss", style.POSITIVE, "-")
    _curve(axes, history.validation_loss, "validation loss", style.POSITIVE_TEXT, ":")
    if len(history.metric):
        right = axes.twinx()
        right.set_ylabel(history.metric_name)
        right.spines["top"].set_visible(False)
        name = history.metric_name
        _curve(right, history.metric, name, style.NEGATIVE, "--")
        _curve(right, history.validation_metric, f"validation {name}", style.NEGATIVE_TEXT, ":")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def _curve(axes: Axes, values: Sequence[float], name: str, colour: str, dashes: str) -> None:
    if not values:
        return
    epochs = range(1, len(values) + 1)
    # A single epoch is a point: a line through it would not be seen.
    marker = "o" if len(values) == 1 else ""
    axes.plot(epochs, values, dashes, marker=marker, color=colour, linewidth=2, label=name)
    axes.locator_params(axis="x", integer=True)


def plot_decision_boundary(model: Callable[[list[float]], Any], X: Any, y: Any) -> Figure:
    """Plot which class a model gives to each point of the plane, with the data on top.

    Args:
        model: takes two numbers as a list, and returns one score, whose sign is the class, or a
            list of scores, the largest of which tells the class.
        X: the points, n rows of two numbers.
        y: the class of each point: -1 and 1, 0 and 1, or the place of its score in the list.

    Returns:
        The figure; ``save(figure, path)`` writes it.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: X is not n rows of two numbers, or y not n classes.

    >>> plot_decision_boundary(lambda x: x[0] - x[1], [[0, 1], [1, 0]], [-1, 1]).axes[0]
    <Axes: xlabel='x[0]', ylabel='x[1]'>
    """
    points, labels = numpy.asarray(X, dtype=float), numpy.asarray(y)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"X is n rows of two numbers, but has the shape {points.shape}")
    if labels.shape != points.shape[:1]:
        raise ValueError(f"y is one class for each of {len(points)} rows, but has {labels.shape}")
    figure = _figure(5.2, 4.6)
    axes = figure.add_subplot()
    margin = 0.1 * numpy.ptp(points, axis=0) + 1e-9
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    across, up = (numpy.linspace(low[side], high[side], GRID) for side in (0, 1))
    scores = numpy.array([[_scores(model, [a, b]) for a in across] for b in up])
    if scores.shape[2] == 1:
        field, places = scores[:, :, 0], (labels > 0).astype(int)
        levels = [min(0, field.min()) - 1, 0, max(0, field.max()) + 1]
    else:
        field, places = scores.argmax(axis=2), labels.astype(int)
        levels = list(numpy.arange(max(scores.shape[2], places.max() + 1) + 1) - 0.5)
    paint = [CLASSES[place % len(CLASSES)] for place in range(len(levels) - 1)]
    axes.contourf(across, up, field, levels=levels, colors=paint, alpha=0.3)
    for label in numpy.unique(labels):
        chosen, place = points[labels == label], places[labels == label][0]
        axes.scatter(
            chosen[:, 0],
            chosen[:, 1],
            color=paint[place],
            marker=MARKERS[place % len(MARKERS)],
            edgecolor="white",
            linewidth=0.6,
            label=str(label).replace("-", "−"),
        )
    axes.set(xlabel="x[0]", ylabel="x[1]")
    figure.legend(title="class", loc="outside right upper", frameon=False)
    return figure


def _scores(model: Callable[[list[float]], Any], point: Sequence[float]) -> list[float]:
    with no_grad():
        scores = model([float(number) for number in point])
    return [float(score) for score in (scores if isinstance(scores, list | tuple) else [scores])]


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure to a file, whole or not at all; the same figure gives the same bytes.

    Returns:
        The path.

    Raises:
        TypeError, ValueError: the name does not end in .svg, .png or .pdf.
        OSError: the file cannot be written.
    """
    import matplotlib

    undated: dict[str, dict[str, Any]] = {
        "svg": {"Date": None},
        "png": {},
        "pdf": {"CreationDate": None},
    }
    format = ending_in(path, "a plot", *(f".{name}" for name in undated)).suffix.lower()[1:]
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "microgradlike"}):
        figure.savefig(file, format=format, metadata=undated[format], dpi=160)
    return write(path, file.getvalue())


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "microgradlike[demos]"') from error
    return Figure(figsize=(width, height), layout="constrained")
