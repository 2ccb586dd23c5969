"""fit(): the training loop, with batches, a progress bar, a history, and early stopping."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy
import numpy.typing

from microgradlike import losses, optim
from microgradlike.engine import Value, no_grad
from microgradlike.inputs import describe
from microgradlike.nn import Module

Loss: TypeAlias = Callable[[Any, Any], Any]
Metric: TypeAlias = Callable[[Any, Any], float]


@dataclass(frozen=True)
class Record:
    """The parameters of a model after an epoch; after epoch 0 they are those it began with."""

    epoch: int
    state: dict[str, float]


@dataclass
class History:
    """What happened in each epoch.

    ``loss`` and ``metric`` are means over the training examples, as they were met during the epoch;
    those named ``validation_...`` were measured after it. ``stopped`` says why the training ended.
    ``records`` are those that ``fit(..., record=...)`` kept, of ``model``.
    """

    loss: list[float] = field(default_factory=list)
    metric: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_metric: list[float] = field(default_factory=list)
    metric_name: str = ""
    stopped: str = "all epochs done"
    model: Any = None
    records: list[Record] = field(default_factory=list)


def fit(
    model: Any,
    X: Any,
    y: Any,
    *,
    loss: Loss,
    optimizer: optim.Optimizer | None = None,
    epochs: int = 40,
    batch_size: int = 32,
    seed: int | None = 0,
    metric: Metric | None = None,
    penalty: Callable[[], Value] | None = None,
    clip_norm: float | None = None,
    validation: tuple[Any, Any] | None = None,
    patience: int | None = None,
    record: int | None = None,
    progress: bool = True,
) -> History:
    """Train a model: epoch after epoch, batch after batch, against the gradient of its loss.

    Args:
        model: a ``Module`` that takes one example (a list of floats) and gives a Value or a list.
        X: the examples, shape (examples, inputs).
        y: a target or class label for each example, or a list of targets for each.
        loss: a function of one output and one target, e.g. ``losses.cross_entropy``.
        optimizer: default ``Adam(model.parameters(), lr=3e-3)``.
        epochs: how often all examples are shown.
        batch_size: the number of examples before each step of the optimiser.
        seed: of the order in which examples are shown; None keeps them in their order.
        metric: a function of one output and one target, reported as its mean; default the accuracy,
            for the losses that take class labels.
        penalty: added to the loss of each batch, e.g. ``lambda: 1e-4 * losses.l2(parameters)``.
        clip_norm: the largest Euclidean norm of a gradient; larger ones are shrunk to it.
        validation: a pair (X, y) to measure after each epoch, never to learn from.
        patience: stop after this many epochs without a better loss (of the validation, if there is
            one), and go back to the best parameters.
        record: keep the parameters every so many epochs, for ``viz.save_movie``.
        progress: show a progress bar (needs tqdm).

    Returns:
        The history. An interrupt from the keyboard ends the training early, at the last whole step.

    Raises:
        TypeError, ValueError: bad input, found before anything is changed.
        FloatingPointError: the loss became NaN or infinite; the parameters are those of the last
            whole step.
        ImportError: ``progress`` without tqdm.

    >>> from microgradlike.nn import MLP
    >>> history = fit(
    ...     MLP(1, [1], seed=0), [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0], loss=losses.mse,
    ...     epochs=200, optimizer=None, batch_size=3, progress=False,
    ... )
    >>> history.loss[-1] < history.loss[0]
    True
    """
    X, y = _examples(X, y)
    held_out = None if validation is None else _examples(*validation)
    for name, count in (
        ("epochs", epochs),
        ("batch_size", batch_size),
        ("patience", patience),
        ("record", record),
    ):
        if count is not None and (isinstance(count, bool) or int(count) != count or count < 1):
            raise ValueError(f"{name} is an integer of at least 1, but got {describe(count)}")
    optimizer = optimizer or optim.Adam(model.parameters(), lr=3e-3)
    metric = metric or _ACCURACY.get(loss)
    history = History(metric_name="" if metric is None else metric.__name__)
    _rehearse(model, X[0], y[0], loss, metric)

    if record is not None:
        history.model = model
        history.records.append(Record(0, model.state_dict()))
    shuffle = numpy.random.default_rng(seed)
    best, best_loss, waited = _state(optimizer), math.inf, 0
    if isinstance(model, Module):
        model.train()
    try:
        with _bar(epochs, progress) as show:
            for _ in range(epochs):
                order = range(len(X)) if seed is None else shuffle.permutation(len(X)).tolist()
                sums = numpy.zeros(2)
                for start in range(0, len(X), batch_size):
                    batch = [(X[i], y[i]) for i in order[start : start + batch_size]]
                    sums += _learn(model, batch, loss, metric, penalty, clip_norm, optimizer)
                _record(history, "", sums / len(X))
                watched = history.loss
                if held_out is not None:
                    _record(history, "validation_", evaluate(model, *held_out, loss, metric))
                    watched = history.validation_loss
                show(history)
                if record is not None and len(history.loss) % record == 0:
                    history.records.append(Record(len(history.loss), model.state_dict()))
                if watched[-1] < best_loss:
                    best, best_loss, waited = _state(optimizer), watched[-1], 0
                else:
                    waited += 1
                if patience is not None and waited >= patience:
                    history.stopped = f"no better loss in {patience} epochs"
                    break
    except KeyboardInterrupt:
        history.stopped = "interrupted from the keyboard"
    if patience is not None:
        optimizer._assign(best)
    if isinstance(model, Module):
        model.eval()
    return history


def evaluate(
    model: Any, X: Any, y: Any, loss: Loss, metric: Metric | None = None
) -> tuple[float, float]:
    """The mean loss and the mean metric over examples, without recording a graph.

    Args:
        model, X, y, loss, metric: as for ``fit``.

    Returns:
        The two means; the metric is NaN where there is none.

    >>> evaluate(lambda x: Value(x[0]), [[1.0], [-2.0]], [1, 1], losses.hinge)
    (1.5, 0.5)
    """
    X, y = _examples(X, y)
    metric = metric or _ACCURACY.get(loss)
    sums = numpy.zeros(2)
    with no_grad():
        for x, target in zip(X, y, strict=True):
            output = model(x)
            sums += float(loss(output, target)), metric(output, target) if metric else math.nan
    mean_loss, mean_metric = (sums / len(X)).tolist()
    return mean_loss, mean_metric


def _learn(
    model: Any,
    batch: Sequence[tuple[Any, Any]],
    loss: Loss,
    metric: Metric | None,
    penalty: Callable[[], Value] | None,
    clip_norm: float | None,
    optimizer: optim.Optimizer,
) -> numpy.typing.NDArray[numpy.float64]:
    """One step of the optimiser; the sums of loss and metric over the batch."""
    optimizer.zero_grad()
    sums = numpy.zeros(2)
    for x, target in batch:
        output = model(x)
        error = loss(output, target)
        (error / len(batch)).backward()  # one example's graph at a time: leaves accumulate
        sums += error.data, metric(output, target) if metric else math.nan
    if penalty is not None:
        error = penalty()
        error.backward()
        sums[0] += error.data * len(batch)
    if not math.isfinite(sums[0]):
        raise FloatingPointError(
            f"the loss of a batch is {sums[0]}; lower the learning rate, set clip_norm, or find "
            "the operation with detect_anomaly()"
        )
    if clip_norm is not None:
        optim.clip_grad_norm(optimizer.parameters, clip_norm)
    optimizer.step()
    return sums


def _record(history: History, prefix: str, means: Any) -> None:
    getattr(history, f"{prefix}loss").append(float(means[0]))
    if history.metric_name:
        getattr(history, f"{prefix}metric").append(float(means[1]))


def _state(optimizer: optim.Optimizer) -> list[float]:
    return [parameter.data for parameter in optimizer.parameters]


@contextlib.contextmanager
def _bar(epochs: int, progress: bool) -> Iterator[Callable[[History], None]]:
    """A function that shows the newest entries of a history, on a progress bar if wanted."""
    if not progress:
        yield lambda history: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        raise ImportError(
            'the progress bar needs tqdm: pip install "microgradlike[demos]", or progress=False'
        ) from None
    with tqdm(total=epochs, unit="epoch") as bar:

        def show(history: History) -> None:
            newest = {"loss": history.loss[-1]}
            if history.metric_name:
                newest[history.metric_name] = history.metric[-1]
            bar.set_postfix({name: f"{value:.4f}" for name, value in newest.items()}, refresh=False)
            bar.update()

        yield show


# ---- Accuracy, for the losses that take class labels -------------------------------------------


def _sign_accuracy(output: Any, target: Any) -> float:
    """The share of scores on the right side of zero, for targets -1 / +1 or 0 / 1."""
    outputs, targets = (v if isinstance(v, list) else [v] for v in (output, target))
    right = [(o > 0) == (t > 0.5) for o, t in zip(outputs, targets, strict=True)]
    return float(sum(right) / len(right))


def _argmax_accuracy(output: Any, target: Any) -> float:
    return float(max(range(len(output)), key=output.__getitem__) == target)


_sign_accuracy.__name__ = _argmax_accuracy.__name__ = "accuracy"
_ACCURACY: dict[Loss, Metric] = {
    losses.hinge: _sign_accuracy,
    losses.binary_cross_entropy: _sign_accuracy,
    losses.cross_entropy: _argmax_accuracy,
}


# ---- Bad input ---------------------------------------------------------------------------------


def _examples(X: Any, y: Any) -> tuple[list[Any], list[Any]]:
    """X and y as lists of one length, checked to be finite numbers."""
    arrays = []
    for name, data in ("X", X), ("y", y):
        try:
            array = numpy.asarray(data)
        except ValueError:
            array = numpy.asarray(None)
        if array.dtype.kind not in "iuf":
            raise TypeError(
                f"{name} is an array (or equally long lists) of numbers, but got {describe(data)}"
            )
        if not numpy.isfinite(array).all():
            raise ValueError(f"{name} contains NaN or infinity; remove or replace those examples")
        arrays.append(array)
    X, y = arrays
    if X.ndim != 2 or y.ndim not in (1, 2):
        raise ValueError(
            f"X has the shape (examples, inputs) and y (examples,) or (examples, outputs), "
            f"but got {X.shape} and {y.shape}"
        )
    if len(X) != len(y):
        raise ValueError(f"X and y have one entry for each example, but got {len(X)} and {len(y)}")
    if not X.size:
        raise ValueError(f"there is nothing to learn from: X has the shape {X.shape}")
    return X.astype(float).tolist(), y.tolist()


def _rehearse(model: Any, x: Any, target: Any, loss: Loss, metric: Metric | None) -> None:
    """Run one example, so that whatever does not fit together is found before training."""
    with no_grad():
        output = model(x)
        error = loss(output, target)
        if metric is not None:
            metric(output, target)
    if not isinstance(error, Value):
        raise TypeError(f"the loss of one example is a Value, but got {describe(error)}")
