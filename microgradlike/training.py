"""fit(): the training loop, with batches, a progress bar, a history, and early stopping."""

from __future__ import annotations

import contextlib
import math
import random
import warnings
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy
import numpy.typing

from microgradlike import losses, optim
from microgradlike.compiled import Compiled
from microgradlike.engine import Value, is_detecting, no_grad
from microgradlike.inputs import describe, function
from microgradlike.nn import Module

Array: TypeAlias = "numpy.typing.NDArray[numpy.float64]"
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

    ``loss`` and ``metric`` are means over the training examples, as they were met during the epoch,
    and ``loss`` includes the penalty; those named ``validation_...`` were measured after the epoch,
    without it. ``stopped`` says why the training ended. ``records`` are those of ``model`` that
    ``fit(..., record=...)`` kept.
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
    compiled: bool = True,
) -> History:
    """Train a model: epoch after epoch, batch after batch, against the gradient of its loss.

    Args:
        model: a ``Module`` that takes one example (a list of floats) and gives a Value or a list.
        X: the examples, shape (examples, inputs).
        y: a target or class label for each example, or a list of targets for each; True and False
            are 1 and 0.
        loss: a function of one output and one target, e.g. ``losses.cross_entropy``.
        optimizer: of the model's parameters; default ``Adam(model.parameters(), lr=3e-3)``.
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
        compiled: trace model, loss and penalty once and replay them for each batch (see
            ``compile``); the history is the same but for rounding. What cannot be replayed, such
            as a model that draws random numbers, is trained without, and a warning says why. But
            plain numbers that change now and then, such as a count of calls, or those of a random
            generator of its own that rarely matter, go unseen: pass False where there are any.

    Returns:
        The history. An interrupt from the keyboard ends the training early, at the last whole step
        or, with ``patience``, at the best parameters.

    Raises:
        TypeError, ValueError: bad input, found before anything is changed: one output is held
            against every target first.
        FloatingPointError: the loss or a gradient became NaN or infinite; the parameters are those
            of the last whole step or, with ``patience``, the best ones.
        ImportError: ``progress`` without tqdm.

    However the training ends, a ``Module`` is left as one to be used: ``eval()``.

    >>> from microgradlike.nn import MLP
    >>> history = fit(
    ...     MLP(1, [1], seed=0), [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0], loss=losses.mse,
    ...     epochs=200, optimizer=None, batch_size=3, progress=False,
    ... )
    >>> history.loss[-1] < history.loss[0]
    True
    """
    X, y = _examples(X, y)
    held_out = None if validation is None else _examples(*_pair(validation), "validation ")
    parts = [(X, y)] if held_out is None else [(X, y), held_out]
    _check_functions(model=model, loss=loss, metric=metric, penalty=penalty)
    _check_count("epochs", epochs)
    _check_count("batch_size", batch_size)
    if patience is not None:
        _check_count("patience", patience)
    if record is not None:
        _check_count("record", record)
        if not isinstance(model, Module):
            raise TypeError(f"record keeps the parameters of a Module, but got {describe(model)}")
    if seed is not None:
        _check_count("seed", seed, least=0)
    if clip_norm is not None:
        optim.check_norm(clip_norm)
    optimizer = _optimizer(model, optimizer)
    metric = metric or _accuracy(loss)
    history = History(metric_name=getattr(metric, "__name__", "metric") if metric else "")

    shuffle = numpy.random.default_rng(seed)
    best_loss, waited = math.inf, 0
    work: Any = _Eager(model, loss, metric, penalty, clip_norm, optimizer)
    try:
        _rehearse(model, parts, loss, metric, penalty)
        if record is not None:
            history.model = model
            history.records.append(Record(0, model.state_dict()))
        with _bar(epochs, progress) as show, _mode(model, training=True):
            if compiled and not is_detecting():  # which is about the operations of the engine
                work = _compiled(work, parts)
            best = work.state()
            for _ in range(epochs):
                order = range(len(X)) if seed is None else shuffle.permutation(len(X)).tolist()
                sums = numpy.zeros(2)
                for start in range(0, len(X), batch_size):
                    batch = order[start : start + batch_size]
                    sums += work.learn([X[i] for i in batch], [y[i] for i in batch])
                _record(history, "", sums / len(X))
                watched = history.loss
                if held_out is not None:
                    with _mode(model, training=False):
                        _record(history, "validation_", work.measure(*held_out))
                    watched = history.validation_loss
                show(history)
                if record is not None and len(history.loss) % record == 0:
                    work.write()
                    history.records.append(Record(len(history.loss), model.state_dict()))
                if watched[-1] < best_loss:
                    best, best_loss, waited = work.state(), watched[-1], 0
                else:
                    waited += 1
                if patience is not None and waited >= patience:
                    history.stopped = f"no better loss in {patience} epochs"
                    break
    except KeyboardInterrupt:
        history.stopped = "interrupted from the keyboard"
    finally:
        work.write(best if patience is not None else None)
    return history


def evaluate(
    model: Any, X: Any, y: Any, loss: Loss, metric: Metric | None = None
) -> tuple[float, float]:
    """The mean loss and the mean metric over examples, without recording a graph.

    Args:
        model, X, y, loss, metric: as for ``fit``.

    Returns:
        The two means; the metric is NaN where there is none.

    Raises:
        TypeError, ValueError: bad input, or a loss or metric that is no number.

    >>> evaluate(lambda x: Value(x[0]), [[1.0], [-2.0]], [1, 1], losses.hinge)
    (1.5, 0.5)
    """
    X, y = _examples(X, y)
    _check_functions(model=model, loss=loss, metric=metric)
    metric = metric or _accuracy(loss)
    sums = numpy.zeros(2)
    with no_grad():
        for x, target in zip(X, y, strict=True):
            output = model(x)
            error = _float("the loss of one example", loss(output, target))
            sums += error, _measure(metric, output, target)
    mean_loss, mean_metric = (sums / len(X)).tolist()
    return mean_loss, mean_metric


# ---- Two ways to do the same work --------------------------------------------------------------


class _Eager:
    """Learning and measuring, example by example."""

    def __init__(
        self,
        model: Any,
        loss: Loss,
        metric: Metric | None,
        penalty: Callable[[], Value] | None,
        clip_norm: float | None,
        optimizer: optim.Optimizer,
    ) -> None:
        self.model, self.loss, self.metric, self.penalty = model, loss, metric, penalty
        self.clip_norm, self.optimizer = clip_norm, optimizer

    def learn(self, X: Sequence[Any], y: Sequence[Any]) -> Array:
        """One step of the optimiser; the sums of loss and metric over the batch."""
        self.optimizer.zero_grad()
        sums = numpy.zeros(2)
        for x, target in zip(X, y, strict=True):
            output = self.model(x)
            error = _value("the loss of one example", self.loss(output, target))
            (error / len(X)).backward()  # one example's graph at a time: leaves accumulate
            sums += error.data, _measure(self.metric, output, target)
        if self.penalty is not None:
            error = _value("the penalty", self.penalty())
            error.backward()
            sums[0] += error.data * len(X)
        _refuse_infinite(sums[0])
        if self.clip_norm is not None:
            optim.clip_grad_norm(self.optimizer.parameters, self.clip_norm)
        self.optimizer.step()
        return sums

    def measure(self, X: Any, y: Any) -> tuple[float, float]:
        """The means of loss and metric."""
        return evaluate(self.model, X, y, self.loss, self.metric)

    def state(self) -> list[float]:
        """The numbers of the parameters."""
        return [parameter.data for parameter in self.optimizer.parameters]

    def write(self, state: list[float] | None = None) -> None:
        """Give the parameters the numbers of a state."""
        if state is not None:
            self.optimizer._assign(state)


class _Replayed:
    """The same with a compiled function, on flat arrays; the Values are written at the end.

    Raises:
        Exception: model, loss or penalty cannot be replayed.
    """

    def __init__(self, eager: _Eager, parts: Sequence[tuple[Any, Any]]) -> None:
        self.eager, self.optimizer = eager, eager.optimizer
        self.single = True
        self.penalised = eager.penalty is not None
        self.compiled = Compiled(self._example, sending=1 + self.penalised)
        self.compiled.trace(*parts[0]).check_repeatable()
        self.used = Compiled(self._example, sending=0)  # a model may be another one when it is used
        with _mode(eager.model, training=False):
            for part in parts[1:]:
                self.used.trace(*part)
        self.theta = numpy.array(eager.state())
        places = {parameter: k for k, parameter in enumerate(self.optimizer.parameters)}
        self.places = {c: _Places(c, places) for c in (self.compiled, self.used) if c.traced}

    def _example(self, x: Any, target: Any) -> list[Value]:
        """The loss of one example, the penalty, and the outputs, for the metric."""
        output = self.eager.model(x)
        error = _value("the loss of one example", self.eager.loss(output, target))
        found = [error]
        if self.eager.penalty is not None:
            found.append(_value("the penalty", self.eager.penalty()))
        self.single = isinstance(output, Value)
        if self.eager.metric is not None:
            found += [output] if self.single else list(output)
        return found

    def learn(self, X: Sequence[Any], y: Sequence[Any]) -> Array:
        share = [1 / len(X)] * (1 + self.penalised)
        places = self.places[self.compiled]
        results, found = self.compiled.run(places.theta(self.theta), (X, y), share)
        sums = self._sums(results, y)
        if self.penalised:
            sums[0] += results[:, 1].sum()
        _refuse_infinite(sums[0])
        gradient = numpy.zeros(len(self.theta))
        gradient[places.theirs] = found[places.mine]
        if self.eager.clip_norm is not None:
            _, gradient = optim.clipped_gradient(
                self.optimizer.parameters, gradient, self.eager.clip_norm
            )
        self.theta = self.optimizer.next_theta(self.theta, gradient)
        return sums

    def measure(self, X: Any, y: Any) -> tuple[float, float]:
        results, _ = self.used.run(self.places[self.used].theta(self.theta), (X, y))
        loss, metric = (self._sums(results, y) / len(results)).tolist()
        return loss, metric

    def _sums(self, results: Array, y: Sequence[Any]) -> Array:
        if (metric := self.eager.metric) is None:
            return numpy.array([results[:, 0].sum(), math.nan])
        outputs: Any = results[:, 1 + self.penalised :].tolist()
        if metric not in _ACCURACY.values():  # a metric of the user's own may work with Values
            outputs = [[Value(number) for number in row] for row in outputs]
        if self.single:
            outputs = [row[0] for row in outputs]
        metrics = [_measure(metric, out, target) for out, target in zip(outputs, y, strict=True)]
        return numpy.array([results[:, 0].sum(), numpy.sum(metrics)])

    def state(self) -> list[float]:
        return list(self.theta.tolist())

    def write(self, state: list[float] | None = None) -> None:
        self.optimizer._assign(self.theta.tolist() if state is None else state)


class _Places:
    """Where each parameter of a compiled function stands among those of the optimiser.

    One that is not trained keeps its number.
    """

    def __init__(self, compiled: Compiled, places: dict[Value, int]) -> None:
        own = compiled.parameters
        self.fixed = compiled.theta()
        self.mine = numpy.array([k for k, p in enumerate(own) if p in places], int)
        self.theirs = numpy.array([places[p] for p in own if p in places], int)

    def theta(self, theirs: Array) -> Array:
        self.fixed[self.mine] = theirs[self.theirs]
        return self.fixed


def _compiled(eager: Any, parts: Sequence[tuple[Any, Any]]) -> Any:
    """The compiled way, if model, loss and penalty can be replayed."""
    dice = random.getstate(), numpy.random.get_state()
    try:
        return _Replayed(eager, parts)
    except Exception as error:  # whatever model and loss do with a traced Value
        random.setstate(dice[0])  # as if it had not been tried
        numpy.random.set_state(dice[1])
        warnings.warn(
            f"fit trains example by example, which is slow, since it cannot compile this: {error}",
            RuntimeWarning,
            stacklevel=3,
        )
        return eager


def _refuse_infinite(loss: float) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"the loss of a batch is {loss}; lower the learning rate, set clip_norm, or find "
            "the operation with detect_anomaly()"
        )


def _measure(metric: Metric | None, output: Any, target: Any) -> float:
    return _float("the metric of one example", metric(output, target)) if metric else math.nan


def _record(history: History, prefix: str, means: Any) -> None:
    getattr(history, f"{prefix}loss").append(float(means[0]))
    if history.metric_name:
        getattr(history, f"{prefix}metric").append(float(means[1]))


@contextlib.contextmanager
def _mode(model: Any, *, training: bool) -> Iterator[None]:
    """Within this block a Module is told that it is trained, or used; after it, the opposite."""
    if not isinstance(model, Module):
        yield
        return
    model.train(training)
    try:
        yield
    finally:
        model.train(not training)


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


def _accuracy(loss: Loss) -> Metric | None:
    # Not every callable can be looked up in a dict: a dataclass has no hash.
    return next((metric for known, metric in _ACCURACY.items() if known is loss), None)


# ---- Bad input ---------------------------------------------------------------------------------


def _examples(X: Any, y: Any, prefix: str = "") -> tuple[list[Any], list[Any]]:
    """X and y as lists of one length, checked to be finite numbers."""
    X = _array(X, f"{prefix}X", "turn categories into numbers")
    y = _array(y, f"{prefix}y", "number the classes: numpy.unique(y, return_inverse=True)[1]")
    if X.ndim != 2 or y.ndim not in (1, 2):
        raise ValueError(
            f"{prefix}X has the shape (examples, inputs) and y (examples,) or (examples, outputs), "
            f"but got {X.shape} and {y.shape}"
        )
    if len(X) != len(y):
        raise ValueError(
            f"{prefix}X and y have one entry for each example, but got {len(X)} and {len(y)}"
        )
    if not X.size:
        raise ValueError(f"there is nothing to learn from: {prefix}X has the shape {X.shape}")
    return X.astype(float).tolist(), y.tolist()


def _array(data: Any, name: str, otherwise: str) -> Any:
    try:
        array = numpy.asarray(data)
    except ValueError:
        raise TypeError(f"{name} is an array of numbers, but its lists differ in length") from None
    if array.dtype == bool:
        array = array.astype(int)
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"{name} is an array (or equally long lists) of numbers, but its dtype is "
            f"{array.dtype}; {otherwise}"
        )
    if not numpy.isfinite(array).all():
        raise ValueError(f"{name} contains NaN or infinity; remove or replace those examples")
    return array


def _pair(validation: Any) -> tuple[Any, Any]:
    if isinstance(validation, tuple | list) and len(validation) == 2:
        return validation[0], validation[1]
    length = f" of length {len(validation)}" if isinstance(validation, Sized) else ""
    raise TypeError(
        f"validation is a pair of arrays, (X, y), but got {type(validation).__name__}{length}"
    )


def _check_functions(**functions: Any) -> None:
    for name, given in functions.items():
        if given is not None or name not in ("metric", "penalty"):
            function(name, given)


def _check_count(name: str, count: Any, least: int = 1) -> None:
    is_integer = isinstance(count, int | numpy.integer) and not isinstance(count, bool)
    if not is_integer or count < least:
        raise ValueError(f"{name} is an integer of at least {least}, but got {describe(count)}")


def _optimizer(model: Any, optimizer: Any) -> optim.Optimizer:
    """The optimiser that was given, checked to be one of this model, or else the default."""
    if optimizer is None:
        if not hasattr(model, "parameters"):
            raise TypeError(
                "the model has no parameters() for the default optimizer to train; "
                "give an optimizer of the Values that it is to change"
            )
        return optim.Adam(model.parameters(), lr=3e-3)
    if not isinstance(optimizer, optim.Optimizer):
        raise TypeError(
            "optimizer is an optimiser such as optim.SGD(model.parameters(), lr=0.1), "
            f"but got {describe(optimizer)}"
        )
    if isinstance(model, Module) and set(model.parameters()).isdisjoint(optimizer.parameters):
        raise ValueError(
            "none of the optimizer's parameters belongs to the model; "
            "make it from model.parameters() of the model that is trained"
        )
    return optimizer


def _value(what: str, value: Any) -> Value:
    if not isinstance(value, Value):
        raise TypeError(
            f"{what} is a Value, so that there is a slope to follow, but got {describe(value)}"
        )
    return value


def _float(what: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{what} is a number, but got {describe(value)}") from None


def _rehearse(
    model: Any,
    parts: Sequence[tuple[list[Any], list[Any]]],
    loss: Loss,
    metric: Metric | None,
    penalty: Callable[[], Value] | None,
) -> None:
    """Try an output against every target, so that what does not fit is found before training."""
    with no_grad():
        for X, y in parts:
            output = model(X[0])
            for target in numpy.unique(y, axis=0).tolist():
                _value("the loss of one example", loss(output, target))
                _measure(metric, output, target)
        if penalty is not None:
            _value("the penalty", penalty())
