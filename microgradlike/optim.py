"""Optimisers: from a gradient to the next parameters. All their arithmetic is on flat arrays."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy
import numpy.typing

from microgradlike.engine import Value
from microgradlike.inputs import describe, number, within
from microgradlike.shelf import Group

Array: TypeAlias = "numpy.typing.NDArray[numpy.float64]"
Schedule: TypeAlias = Callable[[int], float]


class Optimizer:
    """What all optimisers share: the parameters, the learning rate, and taking a step.

    Args:
        parameters: the Values to change; one that is given twice counts once.
        lr: the learning rate, or a schedule: a function of the number of steps taken.

    Raises:
        TypeError: a parameter is no Value, or the learning rate no number.
        ValueError: there are no parameters, or a number is out of range.
    """

    def __init__(self, parameters: Iterable[Value], lr: float | Schedule) -> None:
        self.parameters: list[Value] = _each_once(
            parameters, "an optimiser takes a list of parameters"
        )
        if not self.parameters:
            raise ValueError("an optimiser needs parameters, but the list of them is empty")
        self.schedule: Schedule = _schedule(lr)
        self.steps: int = 0
        self._group = Group(list(self.parameters))

    def _together(self) -> Group:
        """Its parameters as a group: the list of them may have been changed."""
        if not self._group.is_of(self.parameters):
            self._group = Group(list(self.parameters))
        return self._group

    @property
    def lr(self) -> float:
        """The learning rate of the next step. What is written is a number, or another schedule.

        Raises:
            TypeError, ValueError: it is no number, or none from 0 up.
        """
        name = f"the learning rate that the schedule gives at step {self.steps}"
        return within(name, self.schedule(self.steps), 0, math.inf)

    @lr.setter
    def lr(self, lr: float | Schedule) -> None:
        self.schedule = _schedule(lr)

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to zero."""
        self._together().write_gradients(0.0)

    def step(self) -> None:
        """Change the parameters by their gradients. An interrupt leaves no step half taken.

        Raises:
            FloatingPointError: a gradient is NaN or infinite, or the step leads to such a number;
                nothing was changed.
        """
        group = self._together()
        theta, gradient = group.numbers(), group.gradients()
        before = vars(self).copy()
        try:
            data = self.next_theta(theta, gradient)
        except BaseException:  # it may come when the moments are those after the step
            vars(self).update(before)
            raise
        try:
            self._assign(data)
        except KeyboardInterrupt:
            self._assign(data)
            raise

    def next_theta(self, theta: Array, gradient: Array) -> Array:
        """The same step on flat arrays; the Values stay as they are.

        Args:
            theta: the numbers of the parameters, in their order, shape (parameters,).
            gradient: the slope of the loss by each of them.

        Returns:
            The numbers after the step.

        Raises:
            FloatingPointError: as for ``step``; the optimiser is as it was.
            TypeError: a rule of your own gives no array with a number for each parameter.

        >>> w = Value(1.0)
        >>> SGD([w], lr=0.1).next_theta(numpy.array([1.0]), numpy.array([2.0]))
        array([0.8])
        """
        _refuse_infinite(self.parameters, gradient)
        before = vars(self).copy()  # a rule replaces its arrays, and changes none in place
        try:
            with numpy.errstate(over="raise", divide="raise", invalid="raise"):
                after = self.update(theta, gradient)
            if type(self).__module__ != __name__:
                self._check(after)
            elif not _TELLS_OVERFLOW:
                _refuse_overflow(after, *vars(self).values())
        except BaseException as error:
            vars(self).update(before)
            if not isinstance(error, FloatingPointError):
                raise
            raise FloatingPointError(
                f"this step cannot be computed ({error}); lower the learning rate, "
                "or shrink the gradient with clip_grad_norm"
            ) from error
        return after

    def _check(self, after: object) -> None:
        """Whether a rule of the user's own gives parameters that can be used."""
        if not isinstance(after, numpy.ndarray) or after.shape != (len(self.parameters),):
            given = f"one of shape {after.shape}" if hasattr(after, "shape") else describe(after)
            raise TypeError(
                f"update() of {type(self).__name__} returns an array with a number for each of the "
                f"{len(self.parameters)} parameters, but got {given}"
            )
        _refuse_overflow(after)

    def state_dict(self) -> dict[str, Any]:
        """All that the next steps depend on beside the parameters, as numbers and lists of them.

        Those are the moments, the number of steps taken, at which a schedule stands, and the
        options; ``lr`` is None where it comes from a schedule of your own, which is not kept. It
        can be written as JSON, which keeps every digit. A training goes on exactly as if it had not
        stopped, once a model and an optimiser of the same kind have been given their states.

        >>> w = Value(1.0)
        >>> optimizer = SGD([w], lr=0.1, momentum=0.9)
        >>> w.grad = 2.0
        >>> optimizer.step()
        >>> optimizer.state_dict()["velocity"]
        [2.0]
        """
        state = {"kind": type(self).__name__, "lr": _number_of(self.schedule)}
        for name in self._kept():
            kept = getattr(self, name)
            state[name] = kept.tolist() if isinstance(kept, numpy.ndarray) else kept
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that ``state_dict`` gave; the parameters keep their numbers.

        Args:
            state: of an optimiser of the same kind, with as many parameters, in the same order.

        Raises:
            TypeError: it is no such dict; nothing was changed.
            ValueError: it is that of another kind, or of other parameters, or holds NaN or
                infinity; nothing was changed.

        >>> old, new = Adam([Value(1.0)], lr=0.1), Adam([Value(1.0)])
        >>> new.load_state_dict(old.state_dict())
        >>> new.lr
        0.1
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"a state is a dict that state_dict() gave, but got {describe(state)}")
        names = {"kind", "lr", *self._kept()}
        if state.get("kind") != type(self).__name__ or state.keys() != names:
            raise ValueError(
                f"a state of {type(self).__name__} is wanted, with {', '.join(sorted(names))}, but "
                f"got one of {state.get('kind')} with {', '.join(sorted(map(str, state)))}"
            )
        kept = {name: self._loaded(name, state[name]) for name in self._kept()}
        lr = state["lr"]
        schedule = self.schedule if lr is None else constant(lr)
        vars(self).update(kept, schedule=schedule)

    def _kept(self) -> list[str]:
        """The attributes that make up the state; a method that was wrapped is none."""
        kept, others = vars(self).items(), ("parameters", "schedule", "_group")
        return [k for k, v in kept if k not in others and not callable(v)]

    def _loaded(self, name: str, given: Any) -> Any:
        """An entry of a state: an array with a number for each parameter, or what it is."""
        if isinstance(getattr(self, name), tuple):
            return tuple(number(entry, f"{name} of a state") for entry in given)
        if not isinstance(given, list):
            return given
        if len(given) != len(self.parameters):
            raise ValueError(
                f"{name} of the state has {len(given)} numbers for {len(self.parameters)} "
                "parameters; load a state of an optimiser of the same parameters"
            )
        found = numpy.array([number(entry, f"{name} of a state") for entry in given])
        if not numpy.isfinite(found).all():
            raise ValueError(f"{name} of the state holds NaN or infinity; go back to an older one")
        return found

    def _assign(self, data: Array | Sequence[float]) -> None:
        self._together().write(numpy.asarray(data, float))

    def update(self, theta: Array, gradient: Array) -> Array:
        """The parameters after one step, from those before it and their gradient."""
        lr = self.lr
        self.steps += 1
        return theta - lr * self.direction(theta, gradient)

    def direction(self, theta: Array, gradient: Array) -> Array:
        """What to subtract, before the learning rate; each optimiser is one such rule."""
        raise TypeError("Optimizer is the common part; use SGD, Adam, AdamW or RMSprop")


class SGD(Optimizer):
    """Stochastic gradient descent: lr x gradient, with momentum if asked for.

    Args:
        parameters, lr: as for every optimiser.
        momentum: how much of the last direction is kept, from 0 to below 1.
        nesterov: look ahead along the new direction (Nesterov, 1983).
        weight_decay: adds weight_decay x parameter to the gradient.

    >>> w = Value(1.0)
    >>> optimizer = SGD([w], lr=0.1)
    >>> (w * w).backward()
    >>> optimizer.step()
    >>> w.data
    0.8
    """

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float | Schedule = 0.01,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        self.momentum: float = within("momentum", momentum, 0, 1)
        self.weight_decay: float = within("weight_decay", weight_decay, 0, math.inf)
        if nesterov and not momentum:
            raise ValueError("nesterov looks ahead along the momentum, so give a momentum above 0")
        self.nesterov = nesterov
        self.velocity: Array | None = None

    def direction(self, theta: Array, gradient: Array) -> Array:
        gradient = gradient + self.weight_decay * theta
        if not self.momentum:
            return gradient
        last = self.velocity
        self.velocity = gradient if last is None else self.momentum * last + gradient
        return gradient + self.momentum * self.velocity if self.nesterov else self.velocity


class Adam(Optimizer):
    """Each parameter at its own pace: mean of the gradients over the root of their mean square.

    Args:
        parameters, lr: as for every optimiser.
        betas: how much is kept of the mean and of the mean square at each step, from 0 to below 1.
        eps: keeps the quotient finite, so it is above 0.
        weight_decay: adds weight_decay x parameter to the gradient (see ``AdamW``).

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015.

    >>> w = Value(1.0)
    >>> optimizer = Adam([w], lr=0.1)
    >>> (w * w).backward()
    >>> optimizer.step()
    >>> round(w.data, 6)
    0.9
    """

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        if not isinstance(betas, Sequence) or len(betas) != 2:
            raise TypeError(f"betas is a pair, such as (0.9, 0.999), but got {describe(betas)}")
        self.betas: tuple[float, float] = (
            within("betas[0]", betas[0], 0, 1),
            within("betas[1]", betas[1], 0, 1),
        )
        self.eps: float = _above_zero("eps", eps)
        self.weight_decay: float = within("weight_decay", weight_decay, 0, math.inf)
        self.mean: Array | float = 0.0
        self.square: Array | float = 0.0

    def direction(self, theta: Array, gradient: Array) -> Array:
        return self._adam(gradient + self.weight_decay * theta)

    def _adam(self, gradient: Array) -> Array:
        keep, keep_square = self.betas
        self.mean = keep * self.mean + (1 - keep) * gradient
        self.square = keep_square * self.square + (1 - keep_square) * gradient**2
        mean = self.mean / (1 - keep**self.steps)  # both started at zero: undo that bias
        square = self.square / (1 - keep_square**self.steps)
        return mean / (numpy.sqrt(square) + self.eps)


class AdamW(Adam):
    """Adam with weight decay kept out of the gradient: the weights shrink by lr x weight_decay.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.

    >>> AdamW([Value(1.0)]).weight_decay
    0.01
    """

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def direction(self, theta: Array, gradient: Array) -> Array:
        return self._adam(gradient) + self.weight_decay * theta


class RMSprop(Optimizer):
    """The gradient over the root of its running mean square.

    Args:
        parameters, lr: as for every optimiser.
        alpha: how much of the mean square is kept at each step, from 0 to below 1.
        eps: keeps the quotient finite, so it is above 0.

    Source: Hinton, "Neural Networks for Machine Learning", lecture 6, 2012.

    >>> w = Value(1.0)
    >>> optimizer = RMSprop([w], lr=0.1, alpha=0.75)
    >>> (w * w).backward()
    >>> optimizer.step()
    >>> round(w.data, 6)
    0.8
    """

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float | Schedule = 0.01,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr)
        self.alpha: float = within("alpha", alpha, 0, 1)
        self.eps: float = _above_zero("eps", eps)
        self.square: Array | float = 0.0

    def direction(self, theta: Array, gradient: Array) -> Array:
        self.square = self.alpha * self.square + (1 - self.alpha) * gradient**2
        return gradient / (numpy.sqrt(self.square) + self.eps)


# ---- Schedules: the learning rate as a function of the steps taken -----------------------------
# They are functions of a module with their numbers bound to them: those can be pickled.


def constant(lr: float) -> Schedule:
    """The same learning rate at every step.

    >>> constant(0.1)(1000)
    0.1
    """
    return functools.partial(_constant, within("the learning rate", lr, 0, math.inf))


def _constant(lr: float, step: int) -> float:
    return lr


def _schedule(lr: float | Schedule) -> Schedule:
    """A schedule as it is; of a number that which is constant."""
    return lr if callable(lr) else constant(lr)


def _number_of(schedule: Schedule) -> float | None:
    """The learning rate, if it is the same at every step."""
    if isinstance(schedule, functools.partial) and schedule.func is _constant:
        return float(schedule.args[0])
    return None


def step_decay(lr: float, every: int, factor: float = 0.1) -> Schedule:
    """The learning rate times ``factor`` after each ``every`` steps.

    >>> schedule = step_decay(1.0, every=10, factor=0.5)
    >>> schedule(9), schedule(10), schedule(25)
    (1.0, 0.5, 0.25)
    """
    lr = within("the learning rate", lr, 0, math.inf)
    every = int(within("every", every, 1, math.inf))
    factor = within("factor", factor, 0, math.inf)
    return functools.partial(_step_decay, lr, every, factor)


def _step_decay(lr: float, every: int, factor: float, step: int) -> float:
    return lr * factor ** (step // every)


def cosine(lr: float, steps: int, floor: float = 0.0) -> Schedule:
    """From ``lr`` down to ``floor`` within ``steps`` steps, along half a cosine wave.

    Source: Loshchilov and Hutter, "SGDR", 2017.

    >>> schedule = cosine(1.0, steps=100)
    >>> schedule(0), round(schedule(50), 6), schedule(200)
    (1.0, 0.5, 0.0)
    """
    lr = within("the learning rate", lr, 0, math.inf)
    steps = int(within("steps", steps, 1, math.inf))
    floor = within("floor", floor, 0, math.inf)
    return functools.partial(_cosine, lr, steps, floor)


def _cosine(lr: float, steps: int, floor: float, step: int) -> float:
    return floor + (lr - floor) * (1 + math.cos(math.pi * min(step / steps, 1))) / 2


def warm_up(lr: float | Schedule, steps: int) -> Schedule:
    """Up to ``lr`` (a number, or a schedule that starts then) in ``steps`` equal steps.

    >>> schedule = warm_up(1.0, steps=4)
    >>> schedule(0), schedule(3), schedule(100)
    (0.25, 1.0, 1.0)
    """
    after = _schedule(lr)
    steps = int(within("steps", steps, 1, math.inf))
    return functools.partial(_warm_up, after, steps)


def _warm_up(after: Schedule, steps: int, step: int) -> float:
    return after(0) * (step + 1) / steps if step < steps else after(step - steps)


# ---- Gradient clipping -------------------------------------------------------------------------


def clip_grad_norm(parameters: Iterable[Value], max_norm: float) -> float:
    """Shrink all gradients together so that their Euclidean norm is at most ``max_norm``.

    Args:
        parameters: the Values; one that is given twice counts once.
        max_norm: a number from 0 up.

    Returns:
        The norm before.

    Raises:
        TypeError, ValueError: ``max_norm`` is no number from 0 up, or there are no parameters, as
            where a generator was used up before.
        FloatingPointError: a gradient, or their norm, is NaN or infinite; nothing was changed.

    >>> a, b = Value(0.0), Value(0.0)
    >>> a.grad, b.grad = 3.0, 4.0
    >>> clip_grad_norm([a, b], 1.0)
    5.0
    >>> round(a.grad, 6), round(b.grad, 6)
    (0.6, 0.8)
    """
    parameters = _each_once(parameters, "clip_grad_norm takes a list of parameters")
    if not parameters:
        raise ValueError(
            "clip_grad_norm got no parameters; an iterator gives them only once: pass a list, such "
            "as model.parameters()"
        )
    group = Group(parameters)
    norm, clipped = clipped_gradient(parameters, group.gradients(), max_norm)
    group.write_gradients(clipped)
    return norm


def clipped_gradient(
    parameters: Sequence[Value], gradient: Array, max_norm: float
) -> tuple[float, Array]:
    """The norm of a gradient, and the gradient shrunk to ``max_norm``, as flat arrays.

    Raises:
        TypeError, ValueError, FloatingPointError: as for ``clip_grad_norm``.
    """
    check_norm(max_norm)
    _refuse_infinite(parameters, gradient)
    norm = math.hypot(*gradient.tolist())
    if math.isinf(norm):
        raise FloatingPointError(
            "the norm of the gradient is more than a float can hold; lower the learning rate, "
            "or scale the loss down"
        )
    return norm, gradient * (max_norm / norm) if norm > max_norm else gradient


# ---- Bad input ---------------------------------------------------------------------------------


def check_norm(max_norm: object) -> None:
    """TypeError or ValueError, unless a gradient can be shrunk to this norm."""
    if not number(max_norm, "max_norm") >= 0:
        raise ValueError(f"max_norm is a number from 0 up, but got {max_norm}")


def _each_once(parameters: object, wanted: str) -> list[Value]:
    """The parameters, each once; TypeError, in the words of what is wanted, if they are none."""
    if not isinstance(parameters, Iterable):
        raise TypeError(f"{wanted}, such as model.parameters(), but got {describe(parameters)}")
    found = list(parameters)
    for kind in set(map(type, found)):  # there are many, and few kinds of them
        if not issubclass(kind, Value):
            other = next(parameter for parameter in found if type(parameter) is kind)
            raise TypeError(f"a parameter is a Value, but got {describe(other)}")
    return list(dict.fromkeys(found))


def _refuse_infinite(parameters: Sequence[Value], gradient: Array) -> None:
    for place in numpy.flatnonzero(~numpy.isfinite(gradient)).tolist():
        raise FloatingPointError(
            f"the gradient of the parameter {parameters[place].label or f'number {place}'} is "
            f"{gradient[place]}; find the operation that sent it with detect_anomaly()"
        )


def _tells_overflow() -> bool:
    """Whether NumPy tells what no float can hold: in WebAssembly a processor has no such flag."""
    try:
        with numpy.errstate(over="raise"):
            numpy.exp(numpy.array([1e3]))
    except FloatingPointError:
        return True
    return False


_TELLS_OVERFLOW = _tells_overflow()


def _refuse_overflow(*after: object) -> None:
    """What NumPy would have told: the parameters after a step, or a moment, are not finite."""
    for array in after:
        if isinstance(array, numpy.ndarray) and not numpy.isfinite(array).all():
            raise FloatingPointError("it leads to NaN or infinity")


def _above_zero(name: str, value: object) -> float:
    found = within(name, value, 0, math.inf)
    if found == 0:
        raise ValueError(f"{name} is a number above 0, but got {value}")
    return found
