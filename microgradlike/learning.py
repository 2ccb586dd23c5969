"""Learning from a batch, and measuring: example by example, or replayed for all of them at once.

``Eager`` is the plain way. ``Replayed`` does the same with a compiled function, and nobody is to
notice: whoever reads a parameter sees the number that it has then, an optimiser of the user's own
is used as it is, and what cannot be replayed is done example by example, from the same place on.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy
import numpy.typing

from microgradlike import losses, optim
from microgradlike.compiler.tape import Traced, TracingError, trace
from microgradlike.engine import Value, is_traced, no_grad, topological_order
from microgradlike.functional import slopes_kept
from microgradlike.inputs import describe, in_whole, name_row, told
from microgradlike.nn import Module
from microgradlike.reach import Held, Own, is_ours, reads_no_value
from microgradlike.recording import FILENAME
from microgradlike.replay.compiled import Compiled
from microgradlike.words import counted

Array: TypeAlias = "numpy.typing.NDArray[numpy.float64]"
#: What gives outputs for an example: a Value, or Values in a structure of any kind.
Model: TypeAlias = Callable[..., Any]

#: A target, or a class label; or a list of targets.
Target: TypeAlias = "float | list[float] | tuple[float, ...]"

#: Functions of one output and one target.
Loss: TypeAlias = Callable[[Any, Any], object]
Metric: TypeAlias = Callable[[Any, Any], float]

T = TypeVar("T")


class Task(NamedTuple):
    """What is to be learned; see ``fit``."""

    model: Model
    loss: Loss
    metric: Metric | None
    penalty: Callable[[], object] | None


class Examples(NamedTuple):
    """Checked data: as lists, and as arrays of floats."""

    X: Sequence[list[float]]
    y: Sequence[Target]
    columns: tuple[Array, Array]


class Trial(NamedTuple):
    """What the loss of one output was for one target, before the training."""

    shape: object
    """Of the output, with holes for its Values."""
    numbers: list[float]
    target: Target
    loss: float


# ---- Example by example ------------------------------------------------------------------------


class Eager:
    """Learning and measuring, example by example.

    Args:
        task: what is to be learned.
        clip_norm, optimizer: as for ``fit``.
        data: the examples to learn from.
        chosen: the Values that are trained or, on purpose, are not.
    """

    def __init__(
        self,
        task: Task,
        clip_norm: float | None,
        optimizer: optim.Optimizer,
        data: Examples,
        chosen: Iterable[Value],
    ) -> None:
        self.model, self.loss, self.metric, self.penalty = task
        self.clip_norm, self.optimizer, self.data = clip_norm, optimizer, data
        self.chosen = {*chosen, *optimizer.parameters}
        self.used: list[set[Value]] = []  # by the first two examples

    def learn(self, batch: Sequence[int]) -> Array:
        """One step of the optimiser; the sums of loss and metric over the batch."""
        self.optimizer.zero_grad()
        sums = numpy.zeros(2)
        for place in batch:
            target = self.data.y[place]
            with slopes_kept():
                output = self.model(self.data.X[place])
                error = as_value("the loss of one example", self.loss(output, target))
            (error / len(batch)).backward()  # one example's graph at a time: leaves accumulate
            sums += error.data, measured(self.metric, output, target)
            self._note(error)
        if self.penalty is not None:
            with slopes_kept():
                error = as_value("the penalty", self.penalty())
            error.backward()
            sums[0] += error.data * len(batch)
        _refuse_infinite(sums[0])
        if self.clip_norm is not None:
            optim.clip_grad_norm(self.optimizer.parameters, self.clip_norm)
        self.optimizer.step()
        return sums

    def _note(self, error: Value) -> None:
        """Say which Values the first two examples use that nobody trains.

        A constant that the function makes each time is another Value for each of them.
        """
        if len(self.used) < 2:
            nodes = topological_order(error)
            self.used.append({v for node in nodes for v in node.parents if not v.is_result})
            if len(self.used) == 2:
                self.warn_of(set.intersection(*self.used))

    def warn_of(self, used: Iterable[Value]) -> None:
        """Say which Values send an error to nobody who would train them."""
        left = [v for v in used if v not in self.chosen and not v.is_result]
        self.chosen.update(left)
        if left:
            names = ", ".join(sorted({v.label for v in left if v.label})[:5])
            warn(
                f"fit does not train {counted(len(left), 'Value')} that the loss depends on"
                f"{f' ({names})' if names else ''}, since the optimizer does not have "
                f"{'it' if len(left) == 1 else 'them'}; make the optimizer with "
                "the parameters that the model has by then, or use v.detach() of what is not to be "
                "trained"
            )

    def measure(self, data: Examples) -> tuple[float, float]:
        """The means of loss and metric."""
        return measure(self.model, data, self.loss, self.metric)

    def state(self) -> list[float]:
        """The numbers of the parameters."""
        return [parameter.data for parameter in self.optimizer.parameters]

    def write(self, state: list[float] | None = None) -> None:
        """Give the parameters the numbers of a state."""
        if state is not None:
            self.optimizer._assign(state)

    def finish(self, X: Sequence[list[float]], last: int) -> None:
        """The training is over, after one of these examples."""


def measure(model: Model, data: Examples, loss: Loss, metric: Metric | None) -> tuple[float, float]:
    """The means of loss and metric, without recording a graph."""
    sums = numpy.zeros(2)
    with no_grad():
        for row, (x, target) in enumerate(zip(data.X, data.y, strict=True)):
            try:
                output = model(x)
                error = as_float("the loss of one example", loss(output, target))
                sums += error, measured(metric, output, target)
            except (TypeError, ValueError) as wrong:
                if row:  # else they may take no row at all
                    name_row(wrong, row)
                raise
    mean_loss, mean_metric = (sums / len(data.X)).tolist()
    return mean_loss, mean_metric


# ---- Replayed ----------------------------------------------------------------------------------


class Replayed(Own):
    """The same with a compiled function, as far as model, loss and penalty can be replayed.

    Where all that runs between two steps is known to read no parameter, they are one flat array
    from step to step, and the Values are written when somebody could look at them. Else they are
    written and read at each step.

    Args:
        eager: the plain way, which takes over at whatever cannot be replayed; a warning says why.
        parts: the data to learn from and, if there is some, the data to measure.
        trials: for each part, losses that were computed before.
        changes: what each call of the functions changes, in words, if it is known to do so.
    """

    def __init__(
        self,
        eager: Eager,
        parts: Sequence[Examples],
        trials: Sequence[Sequence[Trial]],
        changes: str = "",
    ) -> None:
        self.eager, self.optimizer = eager, eager.optimizer
        self.penalised = eager.penalty is not None
        self.flat = _is_ours(self.optimizer) and (
            eager.metric is None or reads_no_value(eager.metric)
        )
        self.of_rows = of_rows(eager.metric)
        self.replaying = True
        self.keeps = False  # whether the model keeps results that it computed
        self.written = True  # whether the Values have the numbers of theta
        self.steps = 0
        self.theta = numpy.array(eager.state())
        self.gradient: Array | None = None
        self.held: Held | None = None  # what was there before the functions were called
        self.steady: Held | None = None  # what was there before the first step that could change it
        self.watches = not _is_quiet(self.optimizer)
        # Of numbers that were traced: their loss.
        self.met: dict[tuple[tuple[float, ...], Target], float] = {}
        example = self._example(eager.model, eager.loss, eager.penalty)
        self.learning = Way(Compiled(example, sending=1 + self.penalised))
        self.using = Way(Compiled(example, sending=0))  # a model may be another one then
        self.way = self.learning
        try:
            if changes:
                raise TracingError(_each_call(changes))
            for way, part, tried in zip((self.learning, self.using), parts, trials, strict=False):
                with mode(eager.model, training=way is self.learning):
                    self._traced(way, part, _try(way.compiled, part, eager.loss, tried))
        except Exception as error:
            self._give_up(error)

    # ---- What is traced ----

    def _example(
        self, model: Model, loss: Loss, penalty: Callable[[], object] | None
    ) -> Callable[..., list[Value]]:
        """A function of one example: its loss, the penalty, and the outputs, for the metric."""

        def of_one_example(x: Sequence[object], target: object) -> list[Value]:
            self._before_a_call()
            if not is_traced():  # fit gives numbers to a model, and so do those who ask about it
                x, target = list(map(told, x)), _as_given(_told(target), whole=False)
            with _untouched(self.eager.chosen) if is_traced() else contextlib.nullcontext():
                found = []
                if penalty is not None:  # first: it is of no example
                    found.append(as_value("the penalty", penalty()))
                output = model(x)
                error = as_value("the loss of one example", loss(output, target))
            found.insert(0, error)
            if isinstance(error, Traced) and not error.tape.follow:  # its branches are not forced
                numbers = tuple(map(told, x)), _told(target)
                self.met.setdefault(numbers, told(error))
            if self.eager.metric is not None:
                outputs: list[Value] = []
                self.way.meet(shape_of(output, outputs))
                found += outputs
            return found

        of_one_example.__qualname__ = "that fit makes of model and loss"
        return of_one_example

    def _before_a_call(self) -> None:
        """Note what is there before the functions are called once more than in a plain training."""
        if self.held is None:
            self.write()
            self.held = Held([self.eager.model, self.eager.loss, self.eager.penalty])

    def _traced(self, way: Way, part: Examples, work: Callable[[], T]) -> T:
        """Do what may trace the example once more, and leave no trace of that.

        Raises:
            Exception: it cannot be replayed; all is as if it had not been tried.
        """
        self.way, self.held, self.met = way, None, {}
        try:
            try:
                found = work()
            finally:
                if self.held is not None and self.gradient is not None:
                    # While a path is traced its Values have other numbers, and then the old ones.
                    self.written = False
                    self.write()
        except BaseException as error:
            done = self.held.put_back()[1] if self.held is not None else ""
            if done and isinstance(error, TracingError):
                raise TracingError(_each_call(done)) from error
            raise
        if self.held is not None:
            keeps, done = self.held.put_back()
            if done:
                raise TracingError(_each_call(done))
            if keeps and not self.flat:
                raise TracingError(
                    "the model keeps results that it computed, which a metric, an optimizer or a "
                    "schedule could read"
                )
            self.keeps |= keeps
            way.places = None  # there may be more parameters now
            self._compare(part)
        return found

    def _compare(self, part: Examples) -> None:
        """Hold the loss that was traced against that of the plain numbers, for each new path."""
        if not self.met:
            return
        given, whole = (isinstance(numpy.ravel(v[:1]).tolist()[0], int) for v in (part.X, part.y))
        with no_grad(), undone(self.eager.model, self.eager.loss):
            for (x, target), traced in self.met.items():
                output = self.eager.model(_as_given(list(x), given))
                plain = told(self.eager.loss(output, _as_given(target, whole)))
                _refuse_difference(plain, traced)

    # ---- What is done with it ----

    def learn(self, batch: Sequence[int]) -> Array:
        """One step of the optimiser; the sums of loss and metric over the batch."""
        found = self._of_batch(batch) if self.replaying else None
        if found is None:
            return self.eager.learn(batch)
        sums, errors = found
        _refuse_infinite(sums[0])
        places = self._places(self.learning)
        if places.others.size and (sent := errors[places.others]).any():
            self.eager.warn_of(places.values[k] for k in places.others[sent != 0].tolist())
        if self.watches and self.steady is None:
            self.steady = Held([self.eager.model, self.eager.loss, self.eager.penalty])
        if self.flat:
            self._step(places, errors)
        else:
            self.optimizer.zero_grad()
            for parameter, slope in zip(places.values, errors.tolist(), strict=True):
                parameter.grad += slope
            if self.eager.clip_norm is not None:
                optim.clip_grad_norm(self.optimizer.parameters, self.eager.clip_norm)
            self.optimizer.step()
        self.steps += 1
        if self.steady is not None:
            keeps, done = self.steady.done()
            if keeps or done:
                what = done or "keeps a result in the model"
                self._give_up(TracingError(f"the optimizer, or its schedule, {what}"))
        return sums

    def _of_batch(self, batch: Sequence[int]) -> tuple[Array, Array] | None:
        """The sums of loss and metric, and the gradient; None where it cannot be replayed."""
        data, way = self.eager.data, self.learning
        share = [1 / len(batch)] * (1 + self.penalised)
        everything = isinstance(batch, range) and len(batch) == len(data.y)
        rows = slice(None) if everything else numpy.array(batch)
        columns = tuple(column[rows] for column in data.columns)
        try:
            results, errors = self._run(way, data, columns, share)
        except Exception as error:
            self._give_up(error, batch)
            return None
        sums = self._sums(results, columns[1], (data.y[place] for place in batch))
        if self.penalised:
            sums[0] += results[:, 1].sum()
        return sums, errors

    def _step(self, places: _Places, errors: Array) -> None:
        """A step on flat arrays."""
        gradient = numpy.zeros(len(self.theta))
        gradient[places.theirs] = errors[places.mine]
        if self.eager.clip_norm is not None:
            parameters = self.optimizer.parameters
            _, gradient = optim.clipped_gradient(parameters, gradient, self.eager.clip_norm)
        before = vars(self.optimizer).copy(), self.theta, self.gradient, self.written
        try:
            self.theta = self.optimizer.next_theta(self.theta, gradient)
            self.gradient, self.written = gradient, False
        except BaseException:  # an interrupt leaves no step half taken
            vars(self.optimizer).update(before[0])
            _, self.theta, self.gradient, self.written = before
            raise
        for place in places.others.tolist():  # as backward() would
            places.values[place].grad += errors[place]

    def measure(self, data: Examples) -> tuple[float, float]:
        """The means of loss and metric."""
        if self.replaying:
            try:
                results, _ = self._run(self.using, data, data.columns)
            except Exception as error:
                self._give_up(error)
            else:
                sums = self._sums(results, data.columns[1], data.y)
                loss, metric = (sums / len(results)).tolist()
                return loss, metric
        return self.eager.measure(data)

    def _run(
        self,
        way: Way,
        part: Examples,
        columns: tuple[Array, ...],
        seeds: Sequence[float] | None = None,
    ) -> tuple[Array, Array]:
        def run() -> tuple[Array, Array]:
            known = self._places(way)
            try:
                return way.compiled.run(known.theta(self.theta, self.flat), columns, seeds)
            except TracingError:  # a path that was met just now may have parameters of its own
                way.places = None
                if len(self._places(way).values) == len(known.values):
                    raise
                return run()

        return self._traced(way, part, run)

    def _places(self, way: Way) -> _Places:
        if way.places is None:
            way.places = _Places(way.compiled, self.optimizer.parameters)
        return way.places

    def _sums(self, results: Array, targets: Array, y: Iterable[Target]) -> Array:
        """The sums of loss and metric over rows, whose targets are given in two ways."""
        measuring = Measuring(self.eager.metric, self.of_rows, self.way.shape, self.penalised)
        return measuring.sums(results, targets, y)

    # ---- Where the parameters are ----

    def state(self) -> list[float]:
        """The numbers of the parameters."""
        if self.replaying and self.flat:
            return list(self.theta.tolist())
        return self.eager.state()

    def write(self, state: list[float] | None = None) -> None:
        """Give the parameters the numbers of a state, or those that they have by now."""
        if not self.written:
            self.optimizer._assign(self.theta.tolist())
            assert self.gradient is not None
            for parameter, slope in zip(
                self.optimizer.parameters, self.gradient.tolist(), strict=True
            ):
                parameter.grad = slope
            self.written = True
        self.eager.write(state)

    def finish(self, X: Sequence[list[float]], last: int) -> None:
        """The training is over: what a model keeps of its results is of the last example."""
        if self.replaying and self.keeps:
            self.write()
            self.eager.model(X[last])

    def _give_up(self, error: Exception, batch: Sequence[int] = ()) -> None:
        """Go on example by example, from the last whole step, which rows of a batch ended."""
        self.write()
        self.replaying = False
        what = "goes on" if self.steps else "trains"
        known = isinstance(error, TypeError | ValueError)
        words = str(error) if known else f"{type(error).__name__}: {error}"
        if batch:
            words = in_whole(words, batch.__getitem__)
        warn(f"fit {what} example by example, which is slow, since it cannot compile this: {words}")


class Way(Own):
    """A compiled function for a model that is trained, or one that is used."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self.shape: object = None
        self.places: _Places | None = None

    def meet(self, shape: object) -> None:
        """Outputs have this shape, as all of them must."""
        if self.shape is not None and repr(shape) != repr(self.shape):
            raise TracingError(
                f"the model returns outputs of the shape {self.shape}, and then of {shape}"
            )
        self.shape = shape


class Measuring(NamedTuple):
    """How loss and metric are found in the outputs of rows."""

    metric: Metric | None
    of_rows: Callable[[Array, Array], Array] | None
    """The same metric of many rows, if there is one."""
    shape: object
    """Of an output of the model, with holes for its Values."""
    penalised: bool
    """Whether the penalty comes after the loss."""

    def sums(self, results: Array, targets: Array, y: Iterable[Target]) -> Array:
        """The sums of loss and metric over rows, whose targets are given in two ways."""
        scores = results[:, 1 + self.penalised :]
        if self.metric is None:
            return numpy.array([results[:, 0].sum(), math.nan])
        if self.of_rows and _is_row(self.shape):
            found = self.of_rows(scores, targets.reshape(len(targets), -1))
        else:  # a metric of the user's own may work with Values
            rows = [[Value(number) for number in row] for row in scores.tolist()]
            outputs = [_put_together(self.shape, iter(row)) for row in rows]
            pairs = zip(outputs, y, strict=True)
            found = numpy.array([measured(self.metric, *pair) for pair in pairs])
        return numpy.array([results[:, 0].sum(), found.sum()])


class _Places:
    """Where each parameter of a compiled function stands among those of the optimiser."""

    def __init__(self, compiled: Compiled, parameters: Sequence[Value]) -> None:
        self.compiled, self.values = compiled, compiled.parameters
        places = {parameter: k for k, parameter in enumerate(parameters)}
        self.fixed: Array = compiled.theta().copy()
        self.mine = numpy.array([k for k, p in enumerate(self.values) if p in places], int)
        self.theirs = numpy.array([places[p] for p in self.values if p in places], int)
        self.others = numpy.setdiff1d(numpy.arange(len(self.values)), self.mine)

    def theta(self, theirs: Array, flat: bool) -> Array:
        """The numbers of all parameters; one that is not trained keeps its own."""
        if not flat:
            self.fixed = self.compiled.theta()
            return self.fixed
        self.fixed[self.mine] = theirs[self.theirs]
        return self.fixed


def _try(
    compiled: Compiled, part: Examples, loss: Loss, trials: Sequence[Trial]
) -> Callable[[], None]:
    """What finds out whether all can be replayed."""

    def work() -> None:
        compiled.trace(*part.columns).check_repeatable()
        for trial in trials:
            _refuse_difference(trial.loss, _traced_loss(loss, trial))

    return work


def _traced_loss(loss: Loss, trial: Trial) -> float:
    """The loss of an output and a target, where both are traced."""
    found: list[float] = []

    def traced(numbers: list[object], target: object) -> Value:
        output = _put_together(trial.shape, iter(numbers))
        error = as_value("the loss of one example", loss(output, target))
        found.append(told(error))
        return error

    trace(traced, [trial.numbers, _as_given(trial.target, whole=False)])
    return found[0]


def trial(output: object, target: Target, loss: object) -> list[Trial]:
    """A trial, or none, if only this loss knows to read the output."""
    values: list[Value] = []
    try:
        shape = shape_of(output, values)
    except TracingError:
        return []
    return [Trial(shape, [v.data for v in values], target, told(loss))]


def _refuse_difference(plain: float, traced: float) -> None:
    same = plain == traced or math.isclose(plain, traced, rel_tol=1e-9)
    if not same and not (math.isnan(plain) and math.isnan(traced)):
        raise TracingError(
            f"the loss of an example is {plain}, but {traced} where its numbers are Values: model "
            "or loss ask what kind of number they are given, as isinstance(label, int) does, or "
            "look it up in a dict or set"
        )


def _as_given(target: Target, whole: bool) -> Target:
    """A target as the number that a list has: an int or a float."""
    kind = int if whole else float
    return list(map(kind, target)) if isinstance(target, list | tuple) else kind(target)


def _told(target: object) -> Any:
    return tuple(map(told, target)) if isinstance(target, list) else told(target)


def _each_call(done: str) -> str:
    return (
        f"each call of model, loss or penalty {done}, which is not repeated for the other examples"
    )


@contextlib.contextmanager
def undone(*functions: object) -> Iterator[None]:
    """After this block all is as if the functions had not been called in it."""
    held = Held(functions, numbers=True)
    try:
        yield
    finally:
        held.put_back()


# ---- Outputs of any shape ----------------------------------------------------------------------


class _Hole:
    """Stands where an output has a Value."""

    def __repr__(self) -> str:
        return "Value"

    def __reduce__(self) -> str:
        return "_HOLE"  # there is only one


_HOLE = _Hole()


def _is_row(shape: object) -> bool:
    """Whether outputs are one Value, or a list of them: all their numbers are in a row."""
    if isinstance(shape, numpy.ndarray):
        return shape.ndim < 2 and all(part is _HOLE for part in shape.flat)
    if isinstance(shape, list | tuple):
        return all(part is _HOLE for part in shape)
    return shape is _HOLE


_PLAIN = (bool, int, float, str, type(None), numpy.number)


def shape_of(output: Any, values: list[Value]) -> object:
    """The same with holes, and its Values in their order."""
    if isinstance(output, Value):
        values.append(output)
        return _HOLE
    if type(output) is dict:
        return {key: shape_of(part, values) for key, part in output.items()}
    if type(output) is list:
        return [shape_of(part, values) for part in output]
    if type(output) is tuple or hasattr(output, "_fields"):
        return _of_type(output, [shape_of(part, values) for part in output])
    if type(output) is numpy.ndarray:
        parts = numpy.empty(output.shape, object)
        for place, part in enumerate(output.flat):
            parts.flat[place] = shape_of(part, values)
        return parts
    if isinstance(output, _PLAIN):
        return output
    raise TracingError(
        f"the model returns {describe(output)}; return a Value, or a list, tuple, dict or array"
    )


def _put_together(shape: object, values: Iterator[object]) -> object:
    """What was taken apart, with other Values in the holes."""
    if shape is _HOLE:
        return next(values)
    if isinstance(shape, dict):
        return {key: _put_together(part, values) for key, part in shape.items()}
    if isinstance(shape, list):
        return [next(values) if part is _HOLE else _put_together(part, values) for part in shape]
    if isinstance(shape, tuple):
        return _of_type(shape, [_put_together(part, values) for part in shape])
    if isinstance(shape, numpy.ndarray):
        parts = numpy.empty(shape.shape, object)
        for place, part in enumerate(shape.flat):
            parts.flat[place] = _put_together(part, values)
        return parts
    return shape


def _of_type(output: Any, parts: list[object]) -> object:
    """A tuple, or one whose parts have names."""
    return tuple(parts) if type(output) is tuple else type(output)(*parts)


# ---- Who could look at a parameter -------------------------------------------------------------


def _is_ours(optimizer: optim.Optimizer) -> bool:
    """Whether a step runs nothing but what is written in ``optim.py``."""
    if type(optimizer) not in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop):
        return False
    steps = ("zero_grad", "step", "next_theta", "update", "direction", "_assign")
    own = all(
        getattr(getattr(optimizer, name), "__code__", None) is not None
        and getattr(optimizer, name).__code__.co_filename == optim.__file__
        for name in steps
    )
    return own and reads_no_value(optimizer.schedule)


def _is_quiet(optimizer: optim.Optimizer) -> bool:
    """Whether a step runs nothing of the user's at all."""
    schedule = optimizer.schedule
    given = schedule.func if isinstance(schedule, functools.partial) else schedule
    return _is_ours(optimizer) and is_ours(given)


_HERE = os.path.dirname(__file__) + os.sep


class _Guard(threading.local):
    """The Values of which this thread may not read or write the numbers now."""

    values: Set[Value] = frozenset()


_guard = _Guard()
_guarding = 0  # in all threads
_lock = threading.Lock()


def _guarded(name: str, slot: property) -> property:
    def refuse(value: Value, what: str, why: str) -> None:
        caller = sys._getframe(2)
        if value in _guard.values and not caller.f_code.co_filename.startswith((_HERE, FILENAME)):
            raise TracingError(
                f"{what} .{name} of a parameter, at {caller.f_code.co_filename}, line "
                f"{caller.f_lineno}: {why}"
            )

    def read(value: Value) -> Any:
        refuse(
            *(value, "reading"),
            "it changes with every step; p.detach() is its Value without error",
        )
        return slot.__get__(value)

    def write(value: Value, number: float) -> None:
        refuse(value, "writing", "that would be done once, not for each example")
        slot.__set__(value, number)

    return property(read, write)


_SLOTS = {name: vars(Value)[name] for name in ("data", "grad")}
_GUARDED = {name: _guarded(name, slot) for name, slot in _SLOTS.items()}


@contextlib.contextmanager
def _untouched(parameters: Set[Value]) -> Iterator[None]:
    """Within this block the user's code may not read or write the numbers of these Values.

    A function that is traced would have the number of this moment for good.
    """
    global _guarding
    with _lock:
        _guarding += 1
        for name in _SLOTS:
            setattr(Value, name, _GUARDED[name])
    before, _guard.values = _guard.values, parameters
    try:
        yield
    finally:
        _guard.values = before
        with _lock:
            _guarding -= 1
            if not _guarding:
                for name, slot in _SLOTS.items():
                    setattr(Value, name, slot)


# ---- Modes, metrics, and what is no number -----------------------------------------------------


@contextlib.contextmanager
def mode(model: object, *, training: bool) -> Iterator[None]:
    """Within this block a Module is told that it is trained, or used; after it all is as before."""
    if not isinstance(model, Module):
        yield
        return
    before = [(module, vars(module).get("training")) for module in model.modules()]
    was = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(was)
        for module, trained in before:
            if trained is None:  # nobody ever told it
                vars(module).pop("training", None)
            else:
                module.training = trained


def _signs_right(scores: Array, targets: Array) -> Array:
    """Of each row the share of scores on the right side of zero, for targets -1 / +1 or 0 / 1."""
    right: Array = numpy.mean((scores > 0) == (targets > 0.5), axis=1)
    return right


def _class_right(logits: Array, labels: Array) -> Array:
    """Of each row whether the largest logit is that of its label."""
    return numpy.asarray(logits.argmax(axis=1) == labels[:, 0], float)


def _accuracy(of_rows: Callable[[Array, Array], Array]) -> Metric:
    """The same as a metric, which is of one example."""

    def row(values: Any) -> Array:
        return numpy.array([list(map(float, values if losses.is_list(values) else [values]))])

    def accuracy(output: object, target: object) -> float:
        return float(of_rows(row(output), row(target))[0])

    return accuracy


#: Metrics that are made for many rows as well.
_OF_ROWS = {_accuracy(of_rows): of_rows for of_rows in (_signs_right, _class_right)}
_of_signs, _of_class = _OF_ROWS


def of_rows(metric: Metric | None) -> Callable[[Array, Array], Array] | None:
    """The same metric of many rows, if there is one."""
    return next((f for known, f in _OF_ROWS.items() if known is metric), None)


#: For the losses that take class labels.
ACCURACY: dict[Loss, Metric] = {
    losses.hinge: _of_signs,
    losses.binary_cross_entropy: _of_signs,
    losses.cross_entropy: _of_class,
}


def measured(metric: Metric | None, output: object, target: object) -> float:
    """The metric of one example; NaN where there is none."""
    return as_float("the metric of one example", metric(output, target)) if metric else math.nan


def _refuse_infinite(loss: float) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"the loss of a batch is {loss}; lower the learning rate, set clip_norm, or find "
            "the operation with detect_anomaly()"
        )


def as_value(what: str, value: object) -> Value:
    """The Value that was wanted; TypeError, naming it, if it is none."""
    if isinstance(value, numpy.ndarray) and not value.ndim:
        value = value.item()
    if not isinstance(value, Value):
        raise TypeError(
            f"{what} is a Value, so that there is a slope to follow, but got {describe(value)}"
        )
    return value


def as_float(what: str, value: Any) -> float:
    """The number that was wanted; TypeError, naming it, if it is none."""
    try:
        if not isinstance(value, str | bytes):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise TypeError(f"{what} is a number, but got {describe(value)}")


def warn(text: str) -> None:
    """A warning at the line that called ``fit``."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(_HERE):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, RuntimeWarning, stacklevel=level)
