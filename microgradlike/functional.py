"""The functional view: the derivative of a function, as a function of the same arguments."""

from __future__ import annotations

import copy
import functools
from collections.abc import (
    Callable,
    Container,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy

from microgradlike import ops
from microgradlike.engine import (
    Number,
    Value,
    check_unchanged,
    copied,
    differentiated,
    equal,
    is_traced,
    recorder_of,
    recording,
    topological_order,
)
from microgradlike.functions import FUNCTIONS
from microgradlike.inputs import describe, number, plain_array, unwrapped
from microgradlike.leaving import depends
from microgradlike.rules import CustomRule
from microgradlike.sweep import sent_to

# ---- grad --------------------------------------------------------------------------------------


def grad(f: Callable[..., object]) -> Callable[..., Any]:
    """The function that gives the derivatives of ``f`` by its arguments.

    Args:
        f: a function of numbers, or of lists, tuples, mappings and arrays of them, that returns one
            Value. An array of shape () is one number to NumPy, so ``f`` gets its Value alone.

    Returns:
        A function of the same arguments, by position. It returns the derivatives in their
        structure, of the same types: those by the only argument alone, those by several as a
        tuple. Numbers in, numbers out; Values in, Values out, so it nests. It is a Value, too, if
        ``f`` uses one of a function around it that is differentiated or compiled. No ``.grad`` is
        changed.

    Raises:
        TypeError: an argument holds something that is no number or is given by its name, or ``f``
            returns no Value; or a number that depends on the arguments leaves the graph in ``f``,
            as by ``math.sin(x)``, ``float(x)`` or ``x.data``, where it would count as a constant.

    >>> grad(lambda x: x**3)(2.0)
    12.0
    >>> grad(grad(lambda x: x**3))(2.0)
    12.0
    >>> grad(lambda w, x: w[0] * x + w[1])([2.0, 1.0], 3.0)
    ([3.0, 1.0], 2.0)
    """

    @functools.wraps(f)
    def derivative(*arguments: object, **named: object) -> Any:
        if named:
            raise TypeError(
                f"grad(f) takes the arguments of f by position, but got {next(iter(named))}=...; "
                "leave out the name, or fix that argument with a lambda"
            )
        if not arguments:
            raise TypeError("grad(f) takes the arguments of f, but got none")
        found = list(leaves_of(arguments))
        nested = any(isinstance(leaf, Value) for leaf in found)
        # f gets a copy of a Value: where it closes over the same one, that is not its argument. On
        # a tape a number gets one: of what is computed of mere numbers there is no graph.
        inputs = [v if isinstance(v, Value) else Value(number(v, "grad(f)")) for v in found]
        traced = is_traced()
        inputs = [
            copied(v) if traced or v is given else v for v, given in zip(inputs, found, strict=True)
        ]
        with recording():
            # A traced Value refuses by itself.
            with differentiated(v for v in inputs if recorder_of(v) is None) as this:
                out = scalar(f(*handed(arguments, iter(inputs))))
            if nested or (recorder_of(out) is None and _is_needed(out, inputs, this.made)):
                derivatives: list[Number] = [*gradient_graphs(out, inputs, this.dependent())]
            else:
                derivatives = _sweep(out, inputs, sent_to, float, set(this.made))
            if traced and not nested:
                derivatives = list(map(_told, derivatives))
        result = _rebuild(arguments, iter(derivatives))
        return result if len(arguments) > 1 else result[0]

    return derivative


def _is_needed(out: object, inputs: Iterable[Value], made: Iterable[Value]) -> bool:
    """Whether a derivative by numbers is to be differentiated again, by what it depends on."""
    if not isinstance(out, Value):
        return False
    if _keeping.get():
        among = set(made)
        known = among.union(inputs)
        parents = (v for node in topological_order(out, among=among) for v in node.parents)
        return any(parent not in known for parent in parents)
    return depends(out)


#: Whether a function is run that a trace is compared with, of which all slopes are wanted.
_keeping: ContextVar[bool] = ContextVar("keeping", default=False)


@contextmanager
def slopes_kept() -> Iterator[None]:
    """Within this block ``grad`` by numbers gives Values, if others than its inputs had a part.

    As on a tape: elsewhere it is plain numbers, unless what it depends on is being differentiated.
    """
    outer = _keeping.set(True)
    try:
        yield
    finally:
        _keeping.reset(outer)


def _told(derivative: Number) -> Number:
    """The number, of a derivative on a tape that is a constant: numbers in, numbers out."""
    if not isinstance(derivative, Value):
        return derivative
    tape = recorder_of(derivative)
    return tape.number_if_constant(derivative) if tape else derivative.data


def _sweep(
    out: Number,
    inputs: Sequence[Value],
    sent_to: Callable[[Value, Any], Iterable[tuple[int, Value, Any, bool]]],
    kind: Callable[[float], Any],
    dependent: Container[Value] | None = None,
) -> list[Any]:
    """The derivatives of ``out`` by ``inputs``: floats, or Values to be differentiated again.

    What is ``dependent`` on the inputs alone is walked through, where that is known.
    """
    if not isinstance(out, Value):  # a constant
        return [kind(0.0) for _ in inputs]
    if tape := recorder_of(out):
        return tape.gradients(out, inputs)
    upstream: dict[Value, Any] = {out: kind(1.0)}
    # On a tape a result that is not traced depends on nothing that is.
    eager = [v for v in inputs if recorder_of(v) is None]
    order = topological_order(out, eager, dependent)
    check_unchanged(order)
    for node in reversed(order):
        if node not in upstream:
            continue
        error = upstream[node]
        for _, parent, slope, passes in sent_to(node, error):
            if not passes:
                continue
            sent = error if type(slope) is int and slope == 1 else error * slope
            upstream[parent] = upstream[parent] + sent if parent in upstream else sent
    found = (None if recorder_of(v) else upstream.get(v) for v in inputs)
    return [kind(0.0) if error is None else error for error in found]


def gradient_graphs(
    out: Number, inputs: Sequence[Value], dependent: Container[Value] | None = None
) -> list[Value]:
    """The derivatives of a Value by others, as Values: each is a graph, as that of ``out`` is.

    What is ``dependent`` on the inputs alone is walked through, where that is known.

    >>> x = Value(3.0)
    >>> gradient_graphs(x * x, [x])[0].op
    'add'
    """
    slopes = functools.partial(_slopes_as_values, wanted=dependent)
    return _sweep(out, inputs, slopes, Value, dependent)


def _slopes_as_values(
    node: Value, error: Value, wanted: Container[Value] | None = None
) -> Iterator[tuple[int, Value, Number, bool]]:
    """As ``sent_to``, but each local derivative is a Value that remembers its origin."""
    rule = node._rule
    assert rule is not None
    if isinstance(rule, CustomRule):
        for place, (parent, given) in enumerate(zip(node.parents, rule.values(), strict=True)):
            yield place, parent, given, True
        return
    x, y = (*node.operands, 0.0)[:2]
    for place, (operand, slope) in enumerate(zip(node.operands, rule.operator.slopes, strict=True)):
        if isinstance(operand, Value) and (wanted is None or operand in wanted):
            passes = _on_values(ops.passes(slope, rule.tie))(x, y, node, rule.tie)
            yield place, operand, _on_values(slope)(x, y, node, rule.tie) if passes else 0, passes


@functools.cache
def _on_values(slope: str) -> Callable[..., Any]:
    # A function of floats must not be found: it would take the number out of the graph.
    return ops.formula(slope, {**ops.NUMBERS, **FUNCTIONS, "equal": equal})


# ---- What f is given, and what it returns ------------------------------------------------------


def is_one(tree: object) -> bool:
    """Whether it is an array of shape (), which is one number to NumPy."""
    return isinstance(tree, numpy.ndarray) and not tree.ndim


def leaves_of(tree: object) -> Iterator[object]:
    """The numbers in lists, tuples, mappings and arrays, in their order."""
    if isinstance(tree, (Value, float)):  # most are: the others are asked for what they are
        yield tree
        return
    if isinstance(tree, Mapping):
        tree = tree.values()
    elif isinstance(tree, numpy.ndarray):
        plain_array(tree, "an argument")
        tree = tree.ravel()
    elif not isinstance(tree, list | tuple):
        yield tree
        return
    for branch in tree:
        yield from leaves_of(branch)


def handed(arguments: tuple[object, ...], leaves: Iterator[object]) -> Any:
    """The same arguments with other leaves, for ``f``: instead of an array of shape () the leaf
    alone, as NumPy would make it that after the first operation.
    """
    return _rebuild(arguments, leaves, lambda array: array[()] if is_one(array) else array)


def _rebuild(
    tree: object, leaves: Iterator[object], finished: Callable[[Any], object] = lambda array: array
) -> Any:
    """The same structure, of the same types, with other leaves.

    Args:
        tree: the structure.
        leaves: those it gets, in its order.
        finished: what becomes of a new array.
    """

    def rebuilt(branch: object) -> Any:
        return _rebuild(branch, leaves, finished)

    if isinstance(tree, (Value, float)):
        return next(leaves)
    if isinstance(tree, MutableMapping):
        twin = copy.copy(tree)  # with what else it has, such as the factory of a defaultdict
        for key, branch in tree.items():
            twin[key] = rebuilt(branch)
        return twin
    if isinstance(tree, Mapping):
        return type(tree)({key: rebuilt(branch) for key, branch in tree.items()})  # type: ignore[call-arg]
    if isinstance(tree, numpy.ndarray):
        new = [next(leaves) for _ in range(tree.size)]
        kind = object if any(isinstance(leaf, Value) for leaf in new) else float
        return finished(numpy.array(new, dtype=kind).reshape(tree.shape))
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):  # a namedtuple
        return type(tree)(*map(rebuilt, tree))
    if isinstance(tree, list | tuple):
        return type(tree)(map(rebuilt, tree))
    return next(leaves)


def scalar(out: object, purpose: str = "differentiated") -> Number:
    """What f returned: a Value, or the float of a constant."""
    out = unwrapped(out, "what f returned")
    if isinstance(out, Value):
        return out
    try:
        return number(out, "f")
    except TypeError:
        raise TypeError(
            f"f must return one Value to be {purpose}, but returned {describe(out)}"
        ) from None
