"""The spot check: before a path is used, the function itself is asked about a row or two.

A trace shows what a function did once. It does not show that it would do the same again, nor what
it does with plain numbers instead of Values: ``isinstance(x, int)``, say. So the function runs as
anybody would run it, and what it gives is compared with what its program gives.
"""

from __future__ import annotations

import gc
import operator
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import numpy
import numpy.typing

from microgradlike import functions
from microgradlike.compiler.arrays import Floats, Truths
from microgradlike.compiler.tape import TracingError
from microgradlike.engine import Value, is_traced, recording, topological_order, traced_on
from microgradlike.functional import gradient_graphs

#: A path of at most so many nodes is compared at two rows, a larger one at one row: a run of a
#: large function takes longer than all that a trace of it costs beside.
TWO_ROWS = 200

#: Of a program of more numbers than this only the outputs are compared, without their slopes. It
#: has few matrices, so its trace costs little, and a backward pass as much as half of that.
WITH_SLOPES = 10_000

#: Nor of a path of more nodes than this, whose backward pass takes seconds.
MOST_WITH_SLOPES = 1_000_000

#: Numbers are moved by so much, to see how far rounding can carry.
_MOVED = 2.0**-30


class Answer(NamedTuple):
    """What a function gives for one row."""

    outputs: Floats
    """Shape (outputs,)."""
    slopes: Any
    """Of the weighted sum of the outputs, by the parameters or the inputs; None if not asked."""


class Question(NamedTuple):
    """What is asked about one row.

    Attributes:
        function: that is asked.
        row: its arguments, numbers and nested lists of them.
        parameters: the Values whose slopes are wanted, if ``by_inputs`` is not set.
        weights: of the outputs in the sum whose slopes are wanted; None for none.
        by_inputs: whether the slopes by the inputs are wanted.
    """

    function: Callable[..., object]
    row: Sequence[object]
    parameters: Sequence[Value]
    weights: Floats | None
    by_inputs: bool


def spot_check(asked: Question, compiled: Answer, digits: float) -> None:
    """Compare an answer with that of the function itself.

    Args:
        asked: the row, and what is wanted.
        compiled: the answer of the program.
        digits: how far numbers may differ, relative to their size.

    Raises:
        TracingError: they differ; the sentence says where, and by what.
    """
    with _unseen(asked.parameters):
        eager = _asked(asked)
        if eager is None:
            return
        if len(eager.outputs) != len(compiled.outputs):
            _refuse(asked, "the number of its outputs", len(compiled.outputs), len(eager.outputs))
        if _agree(compiled, eager, digits):
            return
        if asked.weights is not None and not asked.by_inputs:
            _check_differences(asked, compiled, Answer(eager.outputs, None), digits)
            # The gradient that a function itself asks for is of floats a float, without slopes.
            eager = _asked(asked, values_first=True) or eager
            _check_differences(asked, compiled, eager, digits, values_first=True)
        else:
            _check_differences(asked, compiled, eager, digits)


def _agree(compiled: Answer, eager: Answer, digits: float) -> bool:
    return all(_close(*pair, digits).all() for pair in _pairs(compiled, eager))


def _pairs(compiled: Answer, eager: Answer) -> list[tuple[Floats, Floats]]:
    """The two values, and the two slopes if both have them."""
    return [(ours, theirs) for ours, theirs in zip(compiled, eager, strict=True)
            if ours is not None and theirs is not None]  # fmt: skip


def _check_differences(
    asked: Question, compiled: Answer, eager: Answer, digits: float, values_first: bool = False
) -> None:
    """Refuse a difference that rounding does not explain.

    It is asked again as it was the first time: of numbers it may give what it does not of Values.
    """
    if _agree(compiled, eager, digits):
        return
    again, *moved = [_asked(asked, sign, values_first) for sign in (0, 1, -1)]
    for place, (ours, theirs) in enumerate(_pairs(compiled, eager)):
        same = again is not None and bool(_close(again[place], theirs, 1e-15).all())
        near = _close(ours, theirs, digits)
        for other in moved if same else ():
            if other is not None and other[place] is not None:
                near |= _within(ours, theirs, other[place])
        if same and not near.all():
            sizes = _sizes(asked, of_slopes=place == 1)
            with numpy.errstate(all="ignore"):
                lost = (abs(ours - theirs) <= digits * 1e-3 * sizes) | ~numpy.isfinite(sizes)
                lost &= ~near & (numpy.isnan(ours) == numpy.isnan(theirs))
            if place == 0 and lost.any() and (near | lost).all():
                return  # all digits are rounding, and so are those of its slopes
            near |= lost
        if not near.all():
            k = int(numpy.flatnonzero(~near)[0])
            how = _of_values(asked, place, ours, k, digits) if same else _DRAWS
            _refuse(asked, _named(asked, place, k, len(ours)), ours[k], theirs[k], how)


def _of_values(asked: Question, place: int, ours: Floats, k: int, digits: float) -> str:
    """What a sentence adds if the function does what its trace does, but only with Values."""
    values = _asked(asked, values_first=True)
    found = None if values is None else values[place]
    if found is None or len(found) != len(ours) or not _close(found, ours, digits)[k]:
        return ""
    return (
        f", but {_text(found[k])} when it is given Values: it tells them from numbers, by "
        "isinstance perhaps, or by a == b, which asks of two Values whether they are the same one, "
        "also where both are NaN"
    )


# ---- Asking ------------------------------------------------------------------------------------


_gradient = operator.attrgetter("_grad")


@contextmanager
def _unseen(parameters: Sequence[Value]) -> Iterator[None]:
    """What is done within this block leaves no gradients, no records on a tape and no warnings."""
    gradients = list(map(_gradient, parameters))
    try:
        with recording(), warnings.catch_warnings(), _without_cycles():
            warnings.simplefilter("ignore")
            if is_traced():
                with traced_on(None):
                    yield
            else:
                yield
    finally:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter._grad = gradient


@contextmanager
def _without_cycles() -> Iterator[None]:
    """Within this block nobody looks for cycles: a graph has none.

    Python would look for them again and again while a graph grows, which takes three quarters of
    the time of a large one.
    """
    looked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if looked:
            gc.enable()


def _asked(asked: Question, moved: int = 0, values_first: bool = False) -> Answer | None:
    """The function's own answer, perhaps with all numbers moved a little; None if there is none.

    Plain numbers are what it is given, unless their slopes are wanted, or it cannot do without the
    methods of Values.
    """
    numbers = [parameter.data for parameter in asked.parameters] if moved else []
    failed: Exception | None = None
    try:
        if moved:
            for k, parameter in enumerate(asked.parameters):
                parameter.data += _step(parameter.data, moved, k)
        for as_values in (True, False) if asked.by_inputs or values_first else (False, True):
            for by in (moved, 0) if moved else (0,):  # a label that is moved is none
                leaves: list[Value] = []
                places = iter(range(sys.maxsize))
                row = [_given(part, as_values, by, leaves, places) for part in asked.row]
                try:
                    answer = _answer(asked, row, leaves if asked.by_inputs else asked.parameters)
                except Exception as error:  # whatever a function does with what it is given
                    failed = failed or error
                    continue
                if answer is not None:
                    return answer
    finally:
        for parameter, number in zip(asked.parameters, numbers, strict=False):
            parameter.data = number
    if failed is not None and not moved:
        raise TracingError(
            f"the function was traced, but run on the plain numbers {_short(asked.row)} it raised "
            f"{type(failed).__name__}: {failed}; {_OTHERWISE}"
        ) from failed
    return None


def _given(
    part: Any, as_values: bool, moved: int, leaves: list[Value], places: Iterator[int]
) -> object:
    """A number of a row, or nested lists of them, as the function is given it."""
    if isinstance(part, list):
        return [_given(inside, as_values, moved, leaves, places) for inside in part]
    if moved and type(part) is float:  # an integer is a label, or a count
        part = part + _step(part, moved, next(places))
    if not as_values:
        return part
    leaves.append(Value(float(part)))
    return leaves[-1]


def _step(number: float, sign: int, place: int) -> float:
    return sign * (1 if place % 3 else -1) * (abs(number) or 1.0) * _MOVED


def _answer(asked: Question, row: Sequence[object], leaves: Sequence[Value]) -> Answer | None:
    outs = _outputs(asked, row)
    if not all(isinstance(out, Value | int | float) for out in outs):
        return None  # a complex number, for one: Values have another answer
    outputs = numpy.array([out.data if isinstance(out, Value) else float(out) for out in outs])
    if asked.weights is None or len(asked.weights) != len(outs):
        return Answer(outputs, None)
    for leaf in leaves:
        leaf._grad = 0.0
    if (total := _weighted(outs, asked.weights)) is not None:
        total.backward()
    return Answer(outputs, numpy.array(list(map(_gradient, leaves))))


def _outputs(asked: Question, row: Sequence[object]) -> list[Any]:
    result = asked.function(*row)
    if isinstance(result, numpy.ndarray) and not result.ndim:
        result = result.item()
    return list(result) if isinstance(result, list | tuple | numpy.ndarray) else [result]


def _weighted(outs: Sequence[object], weights: Floats) -> Value | None:
    """The weighted sum of the outputs; None if it is a constant."""
    # In one pass, as the rows are: infinite errors of two outputs may never have been added up.
    pairs = zip(outs, weights, strict=True)
    weighted = [out * float(weight) for out, weight in pairs if weight and isinstance(out, Value)]
    return functions.sum(weighted) if weighted else None


def _sizes(asked: Question, of_slopes: bool) -> Floats | float:
    """How far the rounding of what went into the outputs, or into their slopes, can carry."""
    places, leaves = iter(range(sys.maxsize)), list[Value]()
    try:
        outs = _outputs(asked, [_given(part, True, 0, leaves, places) for part in asked.row])
        if of_slopes and asked.weights is not None:
            total = _weighted(outs, asked.weights)
            if total is not None:
                outs = gradient_graphs(total, leaves if asked.by_inputs else asked.parameters)
    except Exception:  # it cannot do with Values, or nobody knows how its slopes change
        return 0.0
    return numpy.array([_size(out) if isinstance(out, Value) else 0.0 for out in outs])


def _size(root: Value) -> float:
    """How far the result moves, to first order, if each number moves by its own size."""
    root.backward()
    size = 0.0
    for node in topological_order(root):
        own = [abs(node.data)]
        if node.op in ("add", "sub"):  # they may be added up in another order
            own += [abs(float(operand)) for operand in node.operands]
        if node.grad:
            size += max(own) * abs(node.grad)
    return size


# ---- Comparing ---------------------------------------------------------------------------------


def _close(ours: Floats, theirs: Floats, digits: float) -> Truths:
    with numpy.errstate(all="ignore"):
        far = abs(ours - theirs)
        near = (far <= digits * numpy.maximum(abs(ours), abs(theirs))) & numpy.isfinite(far)
        near |= (ours == theirs) | (numpy.isnan(ours) & numpy.isnan(theirs))
        near |= far < sys.float_info.min  # some executors have no smaller numbers
        if digits > 1e-6:  # float32 ends earlier
            near |= ~(abs(ours) < 1e37) | ~(abs(theirs) < 1e37) | (abs(ours - theirs) < 1e-37)
    return near


def _within(ours: Floats, theirs: Floats, moved: Floats) -> Truths:
    """Whether a tiny change of the numbers carries as far as the difference: it is rounding."""
    with numpy.errstate(all="ignore"):
        far = abs(moved - theirs)
        near: Truths = abs(ours - theirs) <= 2 * far
        near |= numpy.isfinite(moved) != numpy.isfinite(theirs)
    return near


# ---- What is said ------------------------------------------------------------------------------

_OTHERWISE = (
    "a compiled function repeats its trace, so what it does may depend on nothing but the numbers "
    "of its inputs and parameters, compared with < and the like; compile(f, check=False) compiles "
    "it all the same"
)

_DRAWS = (
    ", and something else when it runs once more: it draws random numbers, or uses numbers that "
    "change, which are to be drawn outside of the function and given to it as an argument"
)


def _named(asked: Question, place: int, k: int, count: int) -> str:
    if place == 0:
        return "its value" if count == 1 else f"the value of output {k}"
    return f"its slope by {'input' if asked.by_inputs else 'parameter'} {k}"


def _short(row: Sequence[object]) -> str:
    text = repr(list(row))
    return text if len(text) <= 60 else text[:57] + "..."


def _refuse(asked: Question, what: str, ours: object, theirs: object, how: str = "") -> NoReturn:
    raise TracingError(
        f"the function {_where(asked.function)} does something else on plain numbers than its "
        f"trace: for the row {_short(asked.row)}, {what} is {_text(ours)} compiled, and "
        f"{_text(theirs)} when it is run itself{how}; {_OTHERWISE}"
    )


def _text(number: object) -> str:
    return repr(number.item() if isinstance(number, numpy.generic) else number)


def _where(function: object) -> str:
    """The name and the place of a function."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return f"{name} at {code.co_filename}, line {code.co_firstlineno}" if code else str(name)
