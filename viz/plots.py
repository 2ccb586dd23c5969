"""Plots of a training: the loss over the epochs, and where a model draws the line between classes.

They need matplotlib, and no screen: each returns a figure of its own, which a notebook shows.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy
import numpy.typing

from microgradlike.engine import Value, no_grad
from microgradlike.files import ending_in, write
from microgradlike.inputs import describe, within
from microgradlike.training import History
from microgradlike.words import counted
from viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = numpy.typing.NDArray[numpy.float64]

#: Classes are told apart by their colours and by the form of their points.
MARKERS = "osD^vPX<>*hd8"

#: How many points of the plane are asked for their class, along each side.
GRID = 60

#: So many points of the picture stand for one of those, along each side.
FINER = 8

#: Larger scores count as this large: between two infinite ones nothing could be interpolated.
LARGEST = 1e300

#: The legend of more classes has more columns.
LEGEND_ROWS = 16


def plot_loss(history: History) -> Figure:
    """Plot the loss of each epoch, and the metric beside it if there is one.

    Args:
        history: what ``fit`` returned.

    Returns:
        The figure; a notebook shows it, and ``save(figure, path)`` writes it.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: it is no history.
        ValueError: there is no epoch to plot.

    >>> history = History(loss=[1.0, 0.5], metric=[0.5, 0.9], metric_name="accuracy")
    >>> len(plot_loss(history).axes)
    2
    """
    if not isinstance(history, History):
        raise TypeError(
            f"plot_loss takes the history that fit returned, but got {describe(history)}"
        )
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
        model: takes two numbers as a list, and returns one of these, as a number or Value, or in a
            list, tuple or array:

            - one score for two classes. Above zero it tells the larger class; where y is 0 and 1
              (or False and True, or two words) and all scores lie from 0 to 1, they are
              probabilities: above one half.
            - a score for each class, the largest of which tells the class.
            - the class itself, as a word or as one of the numbers in y.
        X: the points, n rows of two numbers.
        y: the class of each point: numbers, bools, words or categories. Of several scores, a
            whole number is the place of its score, if all are; otherwise the classes are taken in
            their order: that of their categories, or the sorted one.

    Returns:
        The figure; a notebook shows it, and ``save(figure, path)`` writes it. Where a score is NaN,
        the plane is left white.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: the model gives neither scores nor a class.
        ValueError: X is not n rows of two finite numbers, y not n classes, or the scores do not
            fit the classes.

    >>> plot_decision_boundary(lambda x: x[0] - x[1], [[0, 1], [1, 0]], [-1, 1]).axes[0]
    <Axes: xlabel='x[0]', ylabel='x[1]'>
    """
    points = _points(X)
    labels, order = _labels(y, len(points))
    span = numpy.ptp(points, axis=0)
    # Points on a line still get a plane around them.
    margin = 0.1 * numpy.where(span > 0, span, numpy.maximum(abs(points[0]), 1))
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    across, up = (numpy.linspace(low[side], high[side], GRID) for side in (0, 1))
    answers = [_answer(model, [a, b]) for b in up for a in across]
    classes, scores = _classes_and_scores(answers, labels, order)
    regions = _regions(scores.reshape(GRID, GRID, -1))
    figure = _figure(5.2, 4.6)
    axes = figure.add_subplot()
    colours = _colours(len(classes))
    axes.pcolormesh(
        *(numpy.linspace(low[side], high[side], len(regions)) for side in (0, 1)),
        numpy.ma.masked_less(regions, 0),
        cmap=_listed([_pale(colour) for colour in colours]),
        vmin=-0.5,
        vmax=len(classes) - 0.5,
        shading="nearest",
        rasterized=True,
    )
    handles, names = [], []
    for place, name in enumerate(classes):
        chosen = points[[label == name for label in labels]]
        if not len(chosen) and not (regions == place).any():
            continue
        handles.append(
            axes.scatter(
                *chosen.T,
                color=colours[place],
                marker=MARKERS[place % len(MARKERS)],
                edgecolor="white",
                linewidth=0.6,
            )
            if len(chosen)
            else _patch(_pale(colours[place]))
        )
        # A legend would leave out a name that begins with an underscore.
        names.append(("\u200b" if isinstance(name, str) else "") + _name(name))
    axes.set(xlabel="x[0]", ylabel="x[1]", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    columns = math.ceil(len(names) / LEGEND_ROWS)
    key = figure.legend(
        handles, names, title="class", loc="outside right upper", frameon=False, ncols=columns
    )
    for text in key.get_texts():
        text.set_parse_math(False)
    return figure


# ---- What was given: points and their classes --------------------------------------------------


def _points(X: Any) -> Array:
    try:
        if numpy.ma.isMaskedArray(X):
            X = numpy.ma.asarray(X, dtype=float).filled(numpy.nan)
        points = numpy.asarray(X, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(
            f"X is n rows of two numbers, but got {describe(X)}; turn what is no number into one"
        ) from None
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"X is n rows of two numbers, but has the shape {points.shape}")
    if len(bad := numpy.flatnonzero(~numpy.isfinite(points).all(axis=1))):
        raise ValueError(
            f"X is n rows of two finite numbers, but row {bad[0]} is {points[bad[0]].tolist()}; "
            "leave that row out of X and y, or fill it in"
        )
    return points


def _labels(y: Any, count: int) -> tuple[list[Any], list[Any] | None]:
    """The class of each point, and the order of the classes where y has categories."""
    array = numpy.asarray(y)
    if array.shape != (count,):
        raise ValueError(
            f"y is one class for each of {count} rows, but has the shape {array.shape}; "
            "of a column or of one-hot rows take y.ravel() or y.argmax(axis=1)"
        )
    labels = array.tolist()
    if (missing := next((k for k, label in enumerate(labels) if _is_missing(label)), None)) is None:
        categories = getattr(getattr(y, "cat", y), "categories", None)
        return [_plain(label) for label in labels], None if categories is None else [
            _plain(category) for category in categories
        ]
    raise ValueError(
        f"y is one class for each row, but that of row {missing} is missing: {labels[missing]!r}; "
        "leave that row out of X and y"
    )


def _is_missing(label: Any) -> bool:
    try:
        return label is None or bool(label != label)
    except TypeError:  # pandas' NA is not even unequal to itself
        return True


def _plain(label: Any) -> Any:
    """A class as Python has it: the number 2 whether it is written as 2, 2.0 or Value(2)."""
    if isinstance(label, numpy.generic):
        label = label.item()
    if isinstance(label, Value):
        label = label.data
    return int(label) if isinstance(label, float) and label.is_integer() else label


def _name(label: Any) -> str:
    return str(label) if isinstance(label, str) else str(label).replace("-", "−")


def _sorted(labels: Iterable[Any]) -> list[Any]:
    """Each class once, in order, or as they come where words stand among numbers."""
    found = list(dict.fromkeys(labels))
    try:
        return sorted(found)
    except TypeError:
        return found


# ---- What the model says -----------------------------------------------------------------------


def _answer(model: Callable[[list[float]], Any], point: Sequence[float]) -> list[Any]:
    """What the model says of a point: its scores, or its class alone."""
    with no_grad():
        said = model([float(number) for number in point])
    if isinstance(said, str):
        return [said]
    if hasattr(said, "tolist"):
        said = said.tolist()
    said = list(said) if isinstance(said, list | tuple) else [said]
    # One row of scores, as models of many rows give it for one.
    if len(said) == 1 and isinstance(said[0], list | tuple):
        said = list(said[0])
    if said and (len(said) == 1 and isinstance(said[0], str | bool)):
        return said
    try:
        return [float(score) for score in said] if said else _refuse(said, point)
    except (TypeError, ValueError):
        _refuse(said if len(said) != 1 else said[0], point)


def _refuse(said: Any, point: Sequence[float]) -> NoReturn:
    raise TypeError(
        "a model gives one score, a list of scores, or a class, but at "
        f"{[float(side) for side in point]} it gave {describe(said)}; "
        "pass a function of two numbers that gives one of these"
    )


def _classes_and_scores(
    answers: list[list[Any]], labels: list[Any], order: list[Any] | None
) -> tuple[list[Any], Array]:
    """The classes, and for each point of the plane a score for each of them."""
    counts = sorted({len(answer) for answer in answers})
    if len(counts) > 1:
        raise ValueError(
            f"a model gives the same number of scores at each point, but gave {counts[0]} at one "
            f"and {counts[-1]} at another"
        )
    present = _sorted(labels)
    if counts[0] > 1:
        return _places(counts[0], present, order), numpy.array(answers)
    said = [answer[0] for answer in answers]
    if _are_classes(said, present):
        found = [_plain(label) for label in said]
        classes = order or _sorted([*labels, *found])
        return classes, numpy.array([[label == name for name in classes] for label in found], float)
    classes = _two(order or present)
    scores = numpy.array(said, dtype=float)
    known = scores[~numpy.isnan(scores)]
    probable = -1 not in classes and ((known >= 0) & (known <= 1)).all()
    scores -= 0.5 if probable else 0.0
    return classes, numpy.stack([-scores, scores], axis=1)


def _are_classes(said: list[Any], present: list[Any]) -> bool:
    """Whether a model says the classes themselves, and not how sure it is of the larger one."""
    if any(isinstance(label, str | bool) for label in said):
        return True
    found = {_plain(label) for label in said}
    if len(present) > 2:
        return all(isinstance(label, int) for label in found)
    return found <= set(present) and set(present) not in ({-1, 1}, {0, 1})


def _places(count: int, present: list[Any], order: list[Any] | None) -> list[Any]:
    """Which class each of so many scores is for."""
    if order is not None and len(order) == count:
        return order
    whole = all(isinstance(label, int) and 0 <= label < count for label in present)
    if whole and not any(isinstance(label, bool) for label in present):
        return list(range(count))
    if len(present) == count:
        return present
    raise ValueError(
        f"the model gives {count} scores, but y has {counted(len(present), 'label')}: "
        f"{_list(present)}; give y as the places of the scores, from 0 to {count - 1}"
    )


def _two(present: list[Any]) -> list[Any]:
    """The class of negative scores and that of positive ones."""
    if len(present) == 2:
        return present
    if len(present) == 1:  # the other one did not occur
        (only,) = present
        return ["other", only] if only not in (0, -1) else [only, "other"]
    raise ValueError(
        f"one score tells two classes apart, but y has {len(present)}: {_list(present)}; "
        "use a model that gives a score for each class"
    )


def _list(labels: list[Any]) -> str:
    shown = ", ".join(repr(label) for label in labels[:5])
    return shown if len(labels) <= 5 else f"{shown} and so on"


# ---- Regions and their colours -----------------------------------------------------------------


def _regions(scores: Array) -> Any:
    """The place of the largest score on a finer grid, or -1 where a score is NaN.

    Scores are interpolated, and not classes: between the classes 0 and 2 there is no class 1.
    """
    if numpy.isnan(scores).any(axis=2).all():
        raise ValueError(
            "the model gives NaN at every point, so it tells no class; look at its parameters"
        )
    scores = numpy.clip(scores, -LARGEST, LARGEST)
    where = numpy.linspace(0, GRID - 1, GRID * FINER)
    before = numpy.minimum(where.astype(int), GRID - 2)
    share = where - before
    for axis in (0, 1):
        weight = numpy.expand_dims(share, tuple({0, 1, 2} - {axis}))
        near, far = (scores.take(before + step, axis=axis) for step in (0, 1))
        scores = (1 - weight) * near + weight * far
    return numpy.where(numpy.isnan(scores).any(axis=2), -1, scores.argmax(axis=2))


def _colours(count: int) -> list[Any]:
    """A colour for each class; beyond those that are chosen, hues that never come again."""
    from matplotlib.colors import hsv_to_rgb

    golden = (math.sqrt(5) - 1) / 2
    more = range(count - len(style.CLASSES))
    return [*style.CLASSES[:count], *(tuple(hsv_to_rgb((k * golden % 1, 0.85, 0.7))) for k in more)]


def _pale(colour: Any) -> Any:
    from matplotlib.colors import to_rgb

    return tuple(0.3 * part + 0.7 for part in to_rgb(colour))


def _listed(colours: list[Any]) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap(colours)


def _patch(colour: Any) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour)


# ---- Files -------------------------------------------------------------------------------------


def save(figure: Figure, path: str | os.PathLike[str], *, dpi: float | None = None) -> Path:
    """Write a figure to a file, whole or not at all; the same figure gives the same bytes.

    Args:
        figure: what ``plot_loss`` or ``plot_decision_boundary`` returned, or a figure of your own.
        path: where to.
        dpi: the pixels of a PNG to an inch, 160 by default.

    Returns:
        The path.

    Raises:
        TypeError, ValueError: the name does not end in .svg, .png or .pdf, or ``dpi`` is no
            number from 1 up.
        OSError: the file cannot be written.
    """
    from viz import figure as figures

    named = ending_in(path, "a plot", *(f".{format}" for format in figures.FORMATS))
    inch = figures.DPI if dpi is None else within("dpi, the pixels to an inch,", dpi, 1, math.inf)
    return write(path, figures.content(figure, named.suffix.lower()[1:], inch))


def _figure(width: float, height: float) -> Figure:
    try:
        import matplotlib.figure  # noqa: F401, for it is what may be missing

        from viz.figure import Plot
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "microgradlike[demos]"') from error
    return Plot(figsize=(width, height), layout="constrained")
