"""fit(): the training loop, with batches, a progress bar, a history, and early stopping."""

from __future__ import annotations

import contextlib
import functools
import math
import numbers
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy
import numpy.typing

from microgradlike import optim
from microgradlike.engine import Value, is_detecting, no_grad, recording
from microgradlike.inputs import (
    NEEDS_DASK,
    NoWorkers,
    array_of_numbers,
    describe,
    finite_rows,
    function,
    name_row,
    of_dask,
)
from microgradlike.learning import (
    ACCURACY,
    Array,
    Eager,
    Examples,
    Loss,
    Metric,
    Model,
    Replayed,
    Task,
    Trial,
    as_value,
    measure,
    measured,
    mode,
    trial,
)
from microgradlike.nn import Module
from microgradlike.reach import Held, is_ours
from microgradlike.words import counted, in_short

if TYPE_CHECKING:
    from microgradlike.spread import Spread


@dataclass(frozen=True)
class Record:
    """The parameters of a model after an epoch; after epoch 0 they are those it began with."""

    epoch: int
    state: dict[str, float]


@dataclass(repr=False)
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

    def __repr__(self) -> str:
        told = [f"{len(self.loss)} epochs"]
        for name in ("loss", "metric", "validation_loss", "validation_metric"):
            if entries := getattr(self, name):
                called = name.replace("metric", self.metric_name or "metric").replace("_", " ")
                told.append(f"{called} {in_short(entries[-1])}")
        if self.records:
            told.append(f"{len(self.records)} records")
        return f"<History: {', '.join(told)}; {self.stopped}>"


def fit(
    model: Model,
    X: object,
    y: object,
    *,
    loss: Loss,
    optimizer: optim.Optimizer | None = None,
    epochs: int = 40,
    batch_size: int = 32,
    seed: int | None = 0,
    metric: Metric | None = None,
    penalty: Callable[[], object] | None = None,
    clip_norm: float | None = None,
    validation: tuple[object, object] | None = None,
    patience: int | None = None,
    record: int | None = None,
    progress: bool = True,
    compiled: bool = True,
) -> History:
    """Train a model: epoch after epoch, batch after batch, against the gradient of its loss.

    Args:
        model: a ``Module`` that takes one example (a list of numbers) and gives a Value or a list.
        X: the examples, shape (examples, inputs). Integers arrive as such, so that they may take
            from tables: see ``take`` and ``nn.Embedding``. A Dask array: see docs/dask.md.
        y: a target or class label for each example, or a list of targets; True and False are 1, 0.
        loss: a function of one output and one target, e.g. ``losses.cross_entropy``.
        optimizer: of the model's parameters; default ``Adam(model.parameters(), lr=3e-3)``. Of
            those that it lacks the model's own stay as they are; a warning tells of any others.
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
        compiled: trace model, loss and penalty once and replay them for each batch, see
            ``compile``; the history is the same but for rounding. What cannot be replayed is
            trained without, and a warning says why; docs/training.md has the rules.

    Returns:
        The history. An interrupt from the keyboard ends the training early, at the last whole step
        or, with ``patience``, at the best parameters. A ``Module`` is left as by ``eval()``.

    Raises:
        TypeError, ValueError: bad input, found before anything is changed: one output is held
            against every target first.
        FloatingPointError: the loss or a gradient became NaN or infinite; the parameters are those
            of the last whole step or, with ``patience``, the best ones.
        RuntimeError: the workers of Dask are gone; the parameters are as for a FloatingPointError.
        ImportError: ``progress`` without tqdm.

    >>> from microgradlike import losses
    >>> from microgradlike.nn import MLP
    >>> X, y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
    >>> history = fit(MLP(1, [1], seed=0), X, y, loss=losses.mse, epochs=200, progress=False)
    >>> history.loss[-1] < history.loss[0]
    True
    """
    data, held_out = _parts(X, y, validation)
    _check_functions(model=model, loss=loss, metric=metric, penalty=penalty)
    _check_count("epochs", epochs)
    _check_count("batch_size", batch_size)
    _check_options(model, patience, record, seed, clip_norm)
    _check_optimizer(model, optimizer)
    task = Task(model, loss, metric or _accuracy(loss), penalty)
    batches = _batches_of(data, batch_size, seed, compiled)
    training = _Training(task, data, held_out, clip_norm, patience, record)
    return training.run(optimizer, epochs, batches, progress, compiled)


def _batches_of(
    data: Examples | Spread, size: int, seed: int | None, compiled: bool
) -> Callable[[], Iterable[Sequence[int]]]:
    """What gives the places of all examples, batch after batch, anew for each epoch."""
    shuffle = None if seed is None else numpy.random.default_rng(seed)
    if isinstance(data, Examples):
        return functools.partial(_batches, len(data.X), size, shuffle)
    if not compiled or is_detecting():
        raise ValueError(
            "examples in blocks are learned from by a compiled function: leave compiled=False and "
            "detect_anomaly() away, or give NumPy arrays"
        )
    return functools.partial(data.batches, size, shuffle)


def _batches(
    count: int, size: int, shuffle: numpy.random.Generator | None
) -> Iterator[Sequence[int]]:
    """The places of all examples, batch after batch, in a new order each time."""
    order: Sequence[int] = range(count)
    if shuffle is not None:
        order = shuffle.permutation(count).tolist()
    for start in range(0, count, size):
        yield order[start : start + size]


class _Training:
    """A training: its history, and the best parameters so far.

    Args:
        task: what is to be learned.
        data, held_out: the examples to learn from and, if there are some, those to measure.
        clip_norm, patience, record: as for ``fit``.
    """

    def __init__(
        self,
        task: Task,
        data: Examples | Spread,
        held_out: Examples | Spread | None,
        clip_norm: float | None,
        patience: int | None,
        record: int | None,
    ) -> None:
        self.task, self.data, self.held_out = task, data, held_out
        self.clip_norm, self.patience, self.record = clip_norm, patience, record
        self.history = History()
        if task.metric:
            self.history.metric_name = getattr(task.metric, "__name__", "metric")
        self.work: Eager | Replayed | None = None
        self.best: list[float] | None = None
        self.best_loss, self.waited = math.inf, 0

    def run(
        self,
        optimizer: optim.Optimizer | None,
        epochs: int,
        batches: Callable[[], Iterable[Sequence[int]]],
        progress: bool,
        compiled: bool,
    ) -> History:
        """Learn from the batches of each epoch; whatever ends it, the model can be used then."""
        model = self.task.model
        parts = [self.data] if self.held_out is None else [self.data, self.held_out]
        known = _parameters(model)  # one that the optimizer lacks stays as it is on purpose
        compiled = compiled and not is_detecting()  # which is about the operations of the engine
        try:
            near = [part if isinstance(part, Examples) else part.near for part in parts]
            trials, changes = _rehearse(self.task, near, compiled)
            if optimizer is None:  # what the model makes at its first call is trained, too
                optimizer = optim.Adam(_of_the_model(model), lr=3e-3)
            self.work = eager = Eager(self.task, self.clip_norm, optimizer, near[0], known)
            self._keep_record(eager)
            with _bar(epochs, progress) as show, mode(model, training=True), recording():
                work: Eager | Replayed = eager
                if not isinstance(self.data, Examples):
                    work = self.work = self.data.learning(eager, self.held_out, trials, changes)
                elif compiled:
                    work = self.work = Replayed(eager, near, trials, changes)
                self.best = work.state()
                for _ in range(epochs):
                    last = self._epoch(work, batches())
                    show(self.history)
                    self._keep_record(work)
                    if self._is_enough(work):
                        self.history.stopped = f"no better loss in {self.patience} epochs"
                        break
                work.finish(*last)
        except KeyboardInterrupt:
            self.history.stopped = "interrupted from the keyboard"
        except NoWorkers as error:
            raise error.leaving(self._left()) from error.__cause__
        finally:
            if self.work is not None:
                self.work.write(self.best if self.patience is not None else None)
                if isinstance(model, Module):
                    model.eval()
        return self.history

    def _left(self) -> str:
        """What a training that broke off leaves behind."""
        steps = self.work.steps if isinstance(self.work, Replayed) else 0
        if not steps:
            return "nothing was changed here"
        epochs = counted(len(self.history.loss), "whole epoch")
        if self.patience is not None:
            return f"the parameters are the best ones of {epochs}"
        return f"the parameters are those after {counted(steps, 'step')} ({epochs})"

    def _epoch(
        self, work: Eager | Replayed, batches: Iterable[Sequence[int]]
    ) -> tuple[Sequence[list[float]], int]:
        """Learn from all examples, and measure the others; which was looked at last."""
        sums = numpy.zeros(2)
        for batch in batches:
            sums += work.learn(batch)
        _record(self.history, "", sums / len(self.data.X))
        if self.held_out is None:
            return self.data.X, batch[-1]
        with mode(self.task.model, training=False):
            _record(self.history, "validation_", work.measure(self.held_out))  # type: ignore[arg-type]
        return self.held_out.X, -1

    def _keep_record(self, work: Eager | Replayed) -> None:
        """Keep the parameters, if this is an epoch of which they are wanted."""
        model, epoch = self.task.model, len(self.history.loss)
        if self.record is not None and epoch % self.record == 0 and isinstance(model, Module):
            work.write()
            self.history.model = model
            self.history.records.append(Record(epoch, model.state_dict()))

    def _is_enough(self, work: Eager | Replayed) -> bool:
        """Note the best parameters; whether none were better for as long as there is patience."""
        watched = self.history.validation_loss or self.history.loss
        if watched[-1] < self.best_loss:
            self.best, self.best_loss, self.waited = work.state(), watched[-1], 0
        else:
            self.waited += 1
        return self.patience is not None and self.waited >= self.patience


def evaluate(
    model: Model, X: object, y: object, loss: Loss, metric: Metric | None = None
) -> tuple[float, float]:
    """The mean loss and the mean metric over examples, without recording a graph.

    A ``Module`` is used as by ``eval()``, and left in the mode that it had.

    Args:
        model, X, y, loss, metric: as for ``fit``.

    Returns:
        The two means; the metric is NaN where there is none.

    Raises:
        TypeError, ValueError: bad input, or a loss or metric that is no number.

    >>> from microgradlike import losses
    >>> evaluate(lambda x: Value(x[0]), [[1.0], [-2.0]], [1, 1], losses.hinge)
    (1.5, 0.5)
    """
    data, _ = _parts(X, y, None)
    _check_functions(model=model, loss=loss, metric=metric)
    with mode(model, training=False):
        if isinstance(data, Examples):
            return measure(model, data, loss, metric or _accuracy(loss))
        return data.measured(Task(model, loss, metric or _accuracy(loss), None))


def _record(history: History, prefix: str, means: Sequence[float] | Array) -> None:
    getattr(history, f"{prefix}loss").append(float(means[0]))
    if history.metric_name:
        getattr(history, f"{prefix}metric").append(float(means[1]))


@contextlib.contextmanager
def _bar(epochs: int, progress: bool) -> Iterator[Callable[[History], None]]:
    """A function that shows the newest entries of a history, on a progress bar if wanted."""
    if not progress:
        yield lambda history: None
        return
    marimo = sys.modules.get("marimo")
    if marimo is not None and marimo.running_in_notebook():
        with marimo.status.progress_bar(total=epochs, title="Training") as ours:
            yield lambda history: ours.update(subtitle=", ".join(map(" ".join, _newest(history))))
        return
    try:
        from tqdm import TqdmWarning

        with warnings.catch_warnings():
            # Where Jupyter has no widgets the bar is a line of text, which is all right.
            warnings.simplefilter("ignore", TqdmWarning)
            from tqdm.auto import tqdm
    except ImportError:
        raise ImportError(
            'the progress bar needs tqdm: pip install "microgradlike[demos]", or progress=False'
        ) from None
    # No smoothing: the first epoch compiles, and the rate is that of all.
    options: dict[str, Any] = {"total": epochs, "unit": "epoch", "smoothing": 0}
    if "tqdm_notebook" not in {kind.__name__ for kind in tqdm.__mro__}:
        with tqdm(**options) as bar:
            yield functools.partial(_advance, bar)
        return
    from IPython.display import display

    with tqdm(**options, display=False) as bar:
        shown = None if bar.disable else display(bar.container, display_id=True)
        yield functools.partial(_advance, bar)
    if shown is not None:
        shown.update(bar.container)  # its text too, for those who see no widget


def _advance(bar: Any, history: History) -> None:
    """Show one more epoch."""
    bar.set_postfix(dict(_newest(history)), refresh=False)
    bar.update()


def _newest(history: History) -> Iterator[tuple[str, str]]:
    """What a bar says: the names and numbers of the last epoch."""
    yield "loss", f"{history.loss[-1]:.4f}"
    if history.metric_name:
        yield history.metric_name, f"{history.metric[-1]:.4f}"


def _accuracy(loss: Loss) -> Metric | None:
    # Not every callable can be looked up in a dict: a dataclass has no hash.
    return next((metric for known, metric in ACCURACY.items() if known is loss), None)


# ---- Bad input ---------------------------------------------------------------------------------


def _parts(
    X: object, y: object, validation: object
) -> tuple[Examples | Spread, Examples | Spread | None]:
    """The examples to learn from, and those to measure; all are far away if one is."""
    others = None if validation is None else _pair(validation)
    read = _far if of_dask(X, y, *(others or ())) else _examples
    return read(X, y), None if others is None else read(*others, "validation ")


def _far(X: object, y: object, prefix: str = "") -> Spread:
    """X and y in blocks, checked where they are."""
    try:
        from microgradlike.spread import spread
    except ImportError:
        raise ImportError(NEEDS_DASK) from None
    return spread(X, y, prefix, _examples)


def _examples(X: object, y: object, prefix: str = "") -> Examples:
    """X and y as lists of one length, checked to be finite numbers."""
    X = _array(X, f"{prefix}X", "turn categories into numbers")
    y = _array(y, f"{prefix}y", "number the classes: numpy.unique(y, return_inverse=True)[1]")
    if not X.size:
        raise ValueError(
            f"there is nothing to learn from: {prefix}X has a row of numbers for each example, but "
            f"got {X.shape}"
        )
    if X.ndim != 2 or y.ndim not in (1, 2):
        column = "; of one input for each example make rows by X.reshape(-1, 1)"
        raise ValueError(
            f"{prefix}X has the shape (examples, inputs) and y (examples,) or (examples, outputs), "
            f"but got {X.shape} and {y.shape}{column if X.ndim == 1 else ''}"
        )
    if len(X) != len(y):
        raise ValueError(
            f"{prefix}X and y have one entry for each example, but got {len(X)} and {len(y)}"
        )
    return Examples(X.tolist(), y.tolist(), (X, y.astype(float)))


def _array(data: object, name: str, otherwise: str) -> numpy.typing.NDArray[Any]:
    array = array_of_numbers(data, name)
    if array.dtype == bool:
        array = array.astype(int)
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"{name} is an array (or equally long lists) of numbers, but its dtype is "
            f"{array.dtype}{_otherwise(data, array, name, otherwise)}"
        )
    if array.dtype.kind == "f":
        with numpy.errstate(over="ignore"):
            array = array.astype(float)  # a longer float may hold more than a float can
    finite_rows(array, name)
    return array


def _otherwise(data: object, array: numpy.typing.NDArray[Any], name: str, otherwise: str) -> str:
    """What to do with what is no array of numbers."""
    if array.dtype != object:
        return f"; {otherwise}" if array.dtype.kind in "US" else ""
    if array.ndim == 0:
        gives_rows = isinstance(data, Iterable) and not isinstance(data, Mapping)
        lists = f"; list({name}) makes one of what gives its rows" if gives_rows else ""
        return f", as it is {describe(data)}{lists}"
    if hasattr(data, "to_numpy"):
        return (
            f"; of columns that may lack entries, {name}.to_numpy(float, na_value=numpy.nan) "
            f"makes numbers; {otherwise}"
        )
    wrong = next((entry for entry in array.flat if not isinstance(entry, numbers.Real)), None)
    if isinstance(wrong, Value):
        return ", as it holds Values; what is learned from are numbers: v.data"
    if wrong is None and all(isinstance(entry, numbers.Real) for entry in array.flat):
        return f"; numpy.asarray({name}, float) makes floats of such numbers"
    return f", as it holds {describe(wrong)}; {otherwise}"


def _pair(validation: object) -> tuple[object, object]:
    if isinstance(validation, tuple | list) and len(validation) == 2:
        return validation[0], validation[1]
    length = f" of length {len(validation)}" if isinstance(validation, Sized) else ""
    raise TypeError(
        f"validation is a pair of arrays, (X, y), but got {type(validation).__name__}{length}"
    )


def _check_functions(**functions: object) -> None:
    for name, given in functions.items():
        if given is not None or name not in ("metric", "penalty"):
            function(name, given)


def _check_count(name: str, count: object, least: int = 1) -> None:
    if isinstance(count, bool) or not isinstance(count, int | numpy.integer) or count < least:
        raise ValueError(f"{name} is an integer of at least {least}, but got {describe(count)}")


def _check_options(
    model: Model,
    patience: int | None,
    record: int | None,
    seed: int | None,
    clip_norm: float | None,
) -> None:
    """What is not wanted is None."""
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


def _check_optimizer(model: object, optimizer: object) -> None:
    """Whether it is an optimiser of this model, or the default one can be made."""
    if optimizer is None:
        if not hasattr(model, "parameters"):
            raise TypeError(
                "the model has no parameters() for the default optimizer to train; "
                "give an optimizer of the Values that it is to change"
            )
        return
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


def _parameters(model: Model) -> list[Value]:
    """Those that a model says it has."""
    found = _of_the_model(model) if callable(getattr(model, "parameters", None)) else ()
    return [parameter for parameter in found if isinstance(parameter, Value)]


def _of_the_model(model: Any) -> Iterable[Value]:
    """What ``parameters()`` of anything that has it gives."""
    found: Iterable[Value] = model.parameters()
    return found


#: Where all of it is to be replayed, the loss of the first output is compared for so many targets,
#: and that of so many other outputs for fewer.
_TARGETS, _OUTPUTS, _FEWER = 1000, 3, 64


def _rehearse(
    task: Task, parts: Sequence[Examples], compiled: bool
) -> tuple[list[list[Trial]], str]:
    """Try an output against every target, so that what does not fit is found before training.

    What a model makes at its first call, to keep it, is there afterwards. Of what changes with each
    call nothing is left.

    Returns:
        The trials of each part; and what each call changes, in words, if it changes something.
    """
    model, loss, metric, penalty = task

    def tried(parts: Sequence[Examples]) -> list[list[Trial]]:
        if penalty is not None:
            with recording():
                as_value("the penalty", penalty())
        found = []
        for place, part in enumerate(parts):
            training = place == 0
            with mode(model, training=training), recording() if training else no_grad():
                found.append(_tried(task, part, compiled and not is_ours(loss)))
        return found

    measuring, known = Held([metric], numbers=True), set(_parameters(model))
    before, done = Held([model, loss, penalty], numbers=True), ""
    try:
        trials = tried(parts)
        if before.changed():
            once = Held([model, loss, penalty], numbers=True)
            with contextlib.suppress(Exception):  # it was none of the first time
                tried(list(map(_with_another_first, parts)))
            keeps, done = once.put_back()
            if (keeps or done) and known.issuperset(_parameters(model)):
                before.put_back()
    except BaseException:
        before.put_back()
        raise
    finally:
        measuring.put_back()
    return trials, done


def _with_another_first(part: Examples) -> Examples:
    """The same examples, of which another one is tried first: a model may remember the last one."""
    first = part.X[0]
    other = next((place for place, x in enumerate(part.X) if x != first), None)
    if other is None:
        return part._replace(X=[[v + 1.0 for v in first] for _ in part.X])
    return part._replace(X=[*part.X[other:], *part.X[:other]])


def _tried(task: Task, part: Examples, compiled: bool) -> list[Trial]:
    """The losses of a few outputs, that of the first example for every target."""
    model, loss, metric, _ = task
    targets = numpy.unique(part.y, axis=0).tolist()
    every, fewer = 1 + len(targets) // _TARGETS, targets[:: 1 + len(targets) // _FEWER]
    trials = []
    output = model(part.X[0])
    for count, target in enumerate(targets):
        try:
            error = as_value("the loss of one example", loss(output, target))
            measured(metric, output, target)
        except (TypeError, ValueError) as wrong:
            if len(targets) > 1:
                name_row(wrong, part.y.index(target))
            raise
        if compiled and count % every == 0:
            trials += trial(output, target, error)
    if compiled:
        last = len(part.X) - 1
        for place in {last * k // _OUTPUTS for k in range(1, _OUTPUTS + 1)} - {0}:
            output = model(part.X[place])
            with contextlib.suppress(Exception):  # they may never be met together
                for target in fewer:
                    trials += trial(output, target, loss(output, target))
    return trials
