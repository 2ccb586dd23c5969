"""The functional view: the derivative of a function, and checks of it for a unit test."""

from __future__ import annotations

import copy
import functools
import inspect
import math
import numbers
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy

from microgradlike import functions, ops
from microgradlike.checking import Comparison, Report, numeric_derivative, read_formula
from microgradlike.compiler.operations import NAMES, on_numbers, row_of
from microgradlike.compiler.tape import Condition, Tape, Traced
from microgradlike.engine import (
    Value,
    check_unchanged,
    copied,
    equal,
    is_traced,
    no_grad,
    recording,
    topological_order,
)
from microgradlike.inputs import beside, describe, number, plain_array, unwrapped
from microgradlike.leaving import depends, differentiated
from microgradlike.rules import CustomRule
from microgradlike.sweep import gradients, sent_to
from microgradlike.words import counted

# ---- grad --------------------------------------------------------------------------------------


def grad(f: Callable[..., Any]) -> Callable[..., Any]:
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
    def derivative(*arguments: Any, **named: Any) -> Any:
        if named:
            raise TypeError(
                f"grad(f) takes the arguments of f by position, but got {next(iter(named))}=...; "
                "leave out the name, or fix that argument with a lambda"
            )
        if not arguments:
            raise TypeError("grad(f) takes the arguments of f, but got none")
        found = list(_leaves(arguments))
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
            with differentiated(v for v in inputs if type(v) is not Traced):
                out = _scalar(f(*_handed(arguments, iter(inputs))))
            if nested or (type(out) is not Traced and _is_needed(out, inputs)):
                derivatives = gradient_graphs(out, inputs)
            else:
                derivatives = _sweep(out, inputs, sent_to, float)
            if traced and not nested:
                derivatives = list(map(_told, derivatives))
        result = _rebuild(arguments, iter(derivatives))
        return result if len(arguments) > 1 else result[0]

    return derivative


def _is_needed(out: Any, inputs: Iterable[Value]) -> bool:
    """Whether a derivative by numbers is to be differentiated again, by what it depends on."""
    if not isinstance(out, Value):
        return False
    if _keeping.get():
        known = set(inputs)
        parents = (parent for node in topological_order(out) for parent in node.parents)
        return any(parent not in known and not parent.op for parent in parents)
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


def _told(derivative: Any) -> Any:
    """The number, of a derivative on a tape that is a constant: numbers in, numbers out."""
    if not isinstance(derivative, Value):
        return derivative
    if not isinstance(derivative, Traced):
        return derivative.data
    return derivative.number if derivative.tape.is_constant(derivative) else derivative


def _sweep(
    out: Any,
    inputs: Sequence[Value],
    sent_to: Callable[[Value, Any], Iterable[tuple[int, Value, Any, bool]]],
    kind: Callable[[float], Any],
) -> list[Any]:
    """The derivatives of ``out`` by ``inputs``: floats, or Values to be differentiated again."""
    if not isinstance(out, Value):  # a constant
        return [kind(0.0) for _ in inputs]
    if isinstance(out, Traced):
        return traced_gradients(out, inputs)
    upstream: dict[Value, Any] = {out: kind(1.0)}
    # On a tape a result that is not traced depends on nothing that is.
    leaves = [v for v in inputs if not isinstance(v, Traced)]
    order = topological_order(out, leaves)
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
    found = (None if isinstance(v, Traced) else upstream.get(v) for v in inputs)
    return [kind(0.0) if error is None else error for error in found]


def gradient_graphs(out: Value, inputs: Sequence[Value]) -> list[Value]:
    """The derivatives of a Value by others, as Values: each is a graph, as that of ``out`` is.

    >>> x = Value(3.0)
    >>> gradient_graphs(x * x, [x])[0].op
    'add'
    """
    return _sweep(out, inputs, _slopes_as_values, Value)


def _slopes_as_values(node: Value, error: Value) -> Iterator[tuple[int, Value, Any, bool]]:
    """As ``sent_to``, but each local derivative is a Value that remembers its origin."""
    rule = node._rule
    assert rule is not None
    if isinstance(rule, CustomRule):
        for place, (parent, slope) in enumerate(zip(node.parents, rule.values(), strict=True)):
            yield place, parent, slope, True
        return
    x, y = (*node.operands, 0.0)[:2]
    for place, (operand, slope) in enumerate(zip(node.operands, rule.operator.slopes, strict=True)):
        if isinstance(operand, Value):
            passes = _on_values(ops.passes(slope, rule.tie))(x, y, node, rule.tie)
            yield place, operand, _on_values(slope)(x, y, node, rule.tie) if passes else 0, passes


@functools.cache
def _on_values(slope: str) -> Callable[..., Any]:
    return ops.formula(slope, {**vars(ops), **functions.FUNCTIONS, "equal": equal})


# ---- The same on a tape: a compiled function may ask for gradients -----------------------------


#: What passes the error only under its left operand, a condition.
_KEEPS = ("keep", "reach")


class _Recorded:
    """What a tape has so far: who passes errors to whom, and slopes, written on the same tape."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.code, self.left, self.right = tape.code, tape.left, tape.right
        self.numbers = _numbers(tape)

    def sends_to(self, node: int) -> tuple[tuple[int, int], ...]:
        """The places and nodes of the operands that the error can pass to."""
        name = NAMES[self.code[node]]
        row = row_of(name)[0]
        if name in _KEEPS:
            found: tuple[tuple[int, int], ...] = ((1, self.right[node]),)
        elif row is None:
            return ()
        else:
            found = ((0, self.left[node]), (1, self.right[node]))[: len(row.slopes)]
            found = tuple(pair for pair in found if row.slopes[pair[0]] != "0")
        return tuple((place, operand) for place, operand in found if operand >= 0)

    def passes(self, node: int, place: int) -> Any:
        """Where a node lets the error pass to an operand: a condition; or always, or never."""
        name = NAMES[self.code[node]]
        if name in _KEEPS:
            condition = self.left[node]
            return Condition(self.tape, condition, bool(self.numbers[condition]))
        row, tie = row_of(name)
        assert row is not None
        passes = ops.passes(row.slopes[place], tie)
        return passes == "True" or self._evaluated(passes, node)

    def sent(self, node: int, place: int, error: Any) -> Any:
        """What a node sends an operand of this error: a Value, or a number."""
        name = NAMES[self.code[node]]
        if name in _KEEPS:
            return self.passes(node, place).kept(error, by=name)
        row, tie = row_of(name)
        assert row is not None
        slope = row.slopes[place]
        if type(error) is Traced or error != 1:  # a plain 1 changes nothing
            slope = ops.sent(slope, tie)
        return self._evaluated(slope, node, error)

    def _evaluated(self, formula: str, node: int, error: Any = None) -> Any:
        row, tie = row_of(NAMES[self.code[node]])
        assert row is not None
        x = self._operand(self.left[node])
        y = self._operand(self.right[node]) if len(row.slopes) == 2 else 0.0
        return _on_traced(formula)(x, y, self._operand(node), tie, error)

    def _operand(self, node: int) -> Any:
        if node < 0:
            return self.tape.constants[~node]
        return self.tape.traced(node, self.numbers[node])


def traced_gradients(out: Traced, inputs: Sequence[Any]) -> list[Value]:
    """The derivatives of a traced Value by traced inputs, written on the same tape.

    What the error reaches only under a condition, within a branch of ``where`` or behind a slope
    that lets it pass only there, is kept only there.
    """
    recorded = _Recorded(out.tape)
    # On the inputs, on a way that the error can take. What was before them was perhaps long.
    depends = {v.node for v in inputs}
    first = min(depends, default=0)
    for node in range(first, out.node + 1):
        if any(operand in depends for _, operand in recorded.sends_to(node)):
            depends.add(node)
    upstream: dict[int, Any] = {out.node: 1.0}
    reach: dict[int, Condition | None] = {out.node: None}
    for node in range(out.node, first - 1, -1):
        if node not in upstream or node not in depends:
            continue
        error, here = upstream[node], reach[node]
        for place, parent in recorded.sends_to(node):
            if parent not in depends:
                continue
            opens = recorded.passes(node, place)
            if opens is False:
                continue
            sent = recorded.sent(node, place, error)
            if here is not None:  # elsewhere it is 0, but for infinite slopes
                sent = here.kept(sent, by="reach")
            there = here if opens is True else opens if here is None else here & opens
            if parent in upstream:
                upstream[parent] = upstream[parent] + sent
                reach[parent] = _either(reach[parent], there)
            else:
                upstream[parent], reach[parent] = sent, there
    return _as_values(upstream.get(v.node, 0.0) for v in inputs)


def traced_tangents(outs: Sequence[Any], inputs: Sequence[Traced]) -> list[Value]:
    """The same of many outputs by few inputs: carried forward from these, in one pass.

    Returns:
        The derivatives of the first output by all inputs, then those of the second one, ...
    """
    last = max((out.node for out in outs if isinstance(out, Traced)), default=-1)
    recorded = _Recorded(inputs[0].tape)
    tangents: dict[int, dict[int, Any]] = {v.node: {k: 1.0} for k, v in enumerate(inputs)}
    for node in range(last + 1):
        found = tangents.get(node, {})
        for place, operand in recorded.sends_to(node):
            if operand not in tangents:
                continue
            for k, tangent in tangents[operand].items():
                moved = recorded.sent(node, place, tangent)
                found[k] = found[k] + moved if k in found else moved
        if found:
            tangents[node] = found
    of_outs = [tangents.get(out.node, {}) if isinstance(out, Traced) else {} for out in outs]
    return _as_values(found.get(k, 0.0) for found in of_outs for k in range(len(inputs)))


def _as_values(found: Iterable[Any]) -> list[Value]:
    return [v if isinstance(v, Value) else Value(v) for v in found]


def _either(a: Condition | None, b: Condition | None) -> Condition | None:
    if a is None or b is None or a.is_opposite(b):
        return None
    return a if a.node == b.node else a | b


def _numbers(tape: Tape) -> list[float]:
    """The number of each node so far in the row that is traced."""
    numbers = tape.found
    for node in range(len(numbers), len(tape.code)):
        name, left, right = NAMES[tape.code[node]], tape.left[node], tape.right[node]
        if name == "input":
            numbers.append(tape.numbers[left])
        elif name == "parameter":
            numbers.append(tape.parameters[left]._number)
        else:
            x, y = (numbers[v] if v >= 0 else tape.constants[~v] for v in (left, right))
            numbers.append(on_numbers(name, x, y))
    return numbers


@functools.cache
def _on_traced(slope: str) -> Callable[..., Any]:
    names = {
        **vars(ops),
        **functions.FUNCTIONS,
        "where": _where,
        "equal": equal,
        "logical_and": _and,
        "logical_or": _or,
        "power": _power,
    }
    return ops.formula(slope, names, element_by_element=True)


# What is known when the function is traced is decided then: that is no branch of a row.


def _where(condition: Any, x: Any, y: Any) -> Any:
    if not isinstance(condition, Condition):
        return x if condition else y
    if isinstance(x, bool):  # what is chosen is a truth value
        return condition | y if x else condition.opposite() & y
    return functions.where(condition, x, y)


def _and(a: Any, b: Any) -> Any:
    if isinstance(a, Condition) and isinstance(b, Condition):
        return a & b
    return b and a if isinstance(a, Condition) else a and b


def _or(a: Any, b: Any) -> Any:
    if isinstance(a, Condition) and isinstance(b, Condition):
        return a | b
    return b or a if isinstance(a, Condition) else a or b


def _power(x: Any, y: Any) -> Any:
    """x to the power of y; of a constant exponent, one less may be 1 or 0."""
    if isinstance(y, float) and y in (0.0, 1.0):
        return x if y else 1.0
    return functions.FUNCTIONS["power"](x, y)


def _scalar(out: Any, purpose: str = "differentiated") -> Any:
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


# ---- Checking against central differences ------------------------------------------------------


def check_gradients(f: Callable[..., Any], at: Any) -> Report:
    """Compare the engine's gradient of ``f`` with central differences.

    Args:
        f: a function of numbers, or of lists, dicts and arrays of them, that returns one Value; a
            plain number is a constant.
        at: the point: the only argument, or a tuple of all arguments.

    Returns:
        A report with one row for each operand.

    Raises:
        AssertionError: some operand disagrees, or cannot be judged: ``f`` jumps there, or is not
            finite, or is different each time. The message is the report; it names the operands and
            the operators at fault, and says so where the point sits on a kink or where ``f``
            depends on an operand without recording it.
        TypeError: ``at`` holds something that is no number, ``f`` returns no Value, or a number
            leaves the graph in it; see ``grad``.
        ValueError: ``at`` holds no number at all.

    >>> print(check_gradients(lambda x, y: x * y.exp(), (2.0, 0.0)))
    operand                  engine             central differences...
    x                        1                  1 +- ...     agrees
    y                        2                  2 +- ...     agrees
    """
    arguments = at if isinstance(at, tuple) else (at,)
    point = [number(v, "check_gradients") for v in _leaves(arguments)]
    if not point:
        raise ValueError("check_gradients got no number to check; give it the point as at=...")
    inputs = [Value(v) for v in point]
    with recording():
        with differentiated(inputs):
            out = _scalar(f(*_handed(arguments, iter(inputs))), "checked")
        if not isinstance(out, Value):
            out = Value(out)  # a constant, of slope 0
        by_engine = _by_backward(out, inputs)

    def along(index: int) -> Callable[[float], float]:
        def value(moved: float) -> float:
            with no_grad():
                moved_to = [Value(v) for v in [*point[:index], moved, *point[index + 1 :]]]
                return float(_scalar(f(*_handed(arguments, iter(moved_to))), "checked"))

        return value

    names = _names(f, arguments)
    rounding = 2.2e-16 * _sensitivity(out)
    operands = [
        Comparison(name, slope, numeric_derivative(along(index), point[index], rounding))
        for index, (name, slope) in enumerate(zip(names, by_engine, strict=True))
    ]
    summed = gradients(out)
    unsummed = frozenset(
        name
        for name, slope, v in zip(names, by_engine, inputs, strict=True)
        if not math.isclose(slope, summed.get(v, 0.0), rel_tol=1e-9)
    )
    order = topological_order(out)
    operators = [row for node in order for row in _alone(node)]
    custom = sorted({node.op for node in order if isinstance(node._rule, CustomRule)})
    report = Report(operands, operators, unsummed, custom)
    if not report:
        raise AssertionError(f"the gradient disagrees with central differences\n{report}")
    return report


def _by_backward(out: Value, inputs: Sequence[Value]) -> list[float]:
    """The gradients that ``backward`` gives to the inputs; other leaves keep theirs."""
    parents = (parent for node in topological_order(out) for parent in node.parents)
    before = {leaf: leaf.grad for leaf in parents if not leaf.op}
    out.backward()
    slopes = [v.grad for v in inputs]
    for leaf, gradient in before.items():
        leaf.grad = gradient
    return slopes


def _sensitivity(root: Value, sizes: Mapping[Value, float] | None = None) -> float:
    """How far ``root`` would move if each intermediate result changed by as much as its own size;
    the leaves of ``sizes`` by the size given there.
    """
    total = 0.0
    for node, slope in gradients(root).items():
        size = abs(node.data) if node.op else (sizes or {}).get(node, 0.0)
        total += abs(slope) * size if math.isfinite(slope * size) else 0.0
    return total


def _alone(node: Value) -> Iterator[Comparison]:
    """What a node sends to each operand when it stands alone, against its own forward formula."""
    rule = node._rule
    assert rule is not None
    if isinstance(rule, CustomRule):
        return  # nothing but its user knows how to compute it
    point = [float(operand) for operand in node.operands]
    operands = [Value(v.data) if isinstance(v, Value) else v for v in node.operands]
    twin = Value(node.data)
    twin._rule, twin._grad = rule, 1.0
    twin._x, twin._y = operands[0], operands[1] if len(operands) == 2 else None
    rule.send(twin)
    forward = ops.formula(rule.operator.value, vars(ops))
    for index, operand in enumerate(operands):
        if isinstance(operand, Value):

            def along(moved: float, index: int = index) -> float:
                x, y = (*point[:index], moved, *point[index + 1 :], 0.0)[:2]
                return float(forward(x, y, None, None))

            name = f"{rule.operator.name}({', '.join(f'{v:.6g}' for v in point)}) by {'xy'[index]}"
            yield Comparison(name, operand.grad, numeric_derivative(along, point[index]))


def _names(f: Callable[..., Any], arguments: tuple[Any, ...]) -> list[str]:
    """A name for each number of the arguments: ``x``, ``w[0]``, ``p['a']``."""
    names: list[str] = []

    def visit(name: str, tree: Any) -> None:
        if isinstance(tree, Mapping):
            for key, branch in tree.items():
                visit(f"{name}[{key!r}]", branch)
        elif hasattr(tree, "__len__") and not _is_one(tree):
            for index, branch in enumerate(tree):
                visit(f"{name}[{index}]", branch)
        else:
            names.append(name)

    for name, argument in zip(_parameters(f, len(arguments)), arguments, strict=True):
        visit(name, argument)
    return names


def _parameters(f: Callable[..., Any], count: int) -> list[str]:
    """The names of the parameters of ``f``; argument0 and so on where Python knows none."""
    try:
        names = list(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        names = []
    names += [f"argument{i}" for i in range(len(names), count)]
    return names[:count]


# ---- Checking a derivation made by hand --------------------------------------------------------

Derivation = str | Callable[..., Any]


def assert_derivation(
    f: Callable[..., Any],
    derivation: Derivation | Sequence[Derivation],
    points: int | Iterable[Any] = 100,
    domain: Sequence[Any] = (-2.0, 2.0),
    order: int = 1,
    tolerance: float = 1e-9,
    seed: int = 0,
) -> None:
    """Assert that a derivative made by hand is the one that the engine computes.

    Args:
        f: a function of one or more numbers.
        derivation: its derivative, as a function of the same arguments or as text, such as
            ``"2*x*cos(x**2)"``; for several arguments a list, the derivative by each.
        points: how many random points to try, or the points themselves: numbers, or for several
            arguments tuples of numbers or an array with a row for each point.
        domain: the lowest and the highest number to try; for several arguments one pair for all, or
            a list with a pair for each.
        order: 1 for the first derivative, 2 for the second, and so on, each time by the same
            argument. A mixed one is the derivative of a derivative, see the last example.
        tolerance: how far the two may differ, relative to the larger one. Where terms cancel that
            is next to nothing, so a thousandth of it, relative to those terms, is let pass too.
        seed: of the random points.

    Raises:
        AssertionError: they differ; the message shows both at the point where they differ most.
        TypeError: an argument is not of the kind above, or a number leaves the graph in ``f``; see
            ``grad``.
        ValueError: the text cannot be read, ``f`` is not finite somewhere in the domain, or there
            is no point to try.

    >>> assert_derivation(lambda x: (x**2).sin(), "2*x*cos(x**2)")
    >>> assert_derivation(lambda x, y: x * y**2, ["y**2", "2*x*y"])
    >>> assert_derivation(lambda x: x.tanh(), "1 + tanh(x)**2", points=[0.0, 1.0])
    Traceback (most recent call last):
        ...
    AssertionError: the derivation '1 + tanh(x)**2' differs at 1 of 2 points, most at x = 1.0:
      by hand     1.58002565838...
      the engine  0.41997434161...

    With ``order=2`` come the pure second derivatives, by x twice and by y twice. The mixed ones,
    by x and then by x and by y:

    >>> def f(x, y):
    ...     return x**2 * y**3
    >>> assert_derivation(f, ["2*y**3", "6*x**2*y"], order=2)
    >>> assert_derivation(lambda x, y: grad(f)(x, y)[0], ["2*y**3", "6*x*y**2"])
    """
    derivations = _derivations(f, derivation)
    names = _parameters(f, len(derivations))
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ValueError(f"order is an integer of at least 1, but got {describe(order)}")
    if not 0 <= number(tolerance, "tolerance") < 1:
        raise ValueError(f"tolerance is at least 0 and less than 1, but got {describe(tolerance)}")
    with recording():
        tried = _points(f, points, domain, names, seed)
        # The last digits of x count as those of the largest x: at 0 it would have none.
        widths = [max(map(abs, column)) or 1.0 for column in zip(*tried, strict=True)]
        for index, by_hand in enumerate(derivations):
            hand = _by_hand(by_hand, names)
            differing = []
            for point in tried:
                expected, terms_expected = _of_values(hand, point, widths)
                found, terms_found = _of_values(_partial(f, index, order), point, widths)
                terms = max(terms_expected, terms_found)
                gap = ops.divide(
                    abs(expected - found), max(abs(expected), abs(found), 1e-3 * terms)
                )
                same = expected == found or (math.isnan(expected) and math.isnan(found))
                if not same and not gap <= tolerance:
                    differing.append((math.inf if math.isnan(gap) else gap, point, expected, found))
            if differing:
                _, point, expected, found = max(differing)
                where = _place(names, point)
                raise AssertionError(
                    f"the derivation {by_hand!r} differs at {len(differing)} of {len(tried)} "
                    f"points, most at {where}:\n"
                    f"  by hand     {expected!r}\n  the engine  {found!r}"
                )


def _of_values(
    f: Callable[..., Any], point: Sequence[float], widths: Sequence[float]
) -> tuple[float, float]:
    """The result of ``f``, and how large the terms are that it is made of."""
    inputs = [Value(v) for v in point]
    out = unwrapped(f(*inputs), "a derivative")
    if isinstance(out, Value):
        return out.data, _sensitivity(out, dict(zip(inputs, widths, strict=True)))
    out = beside(out, "a derivative")
    return out, abs(out)


def _partial(f: Callable[..., Any], index: int, order: int) -> Callable[..., Any]:
    """The derivative of that order by one argument, as a function of Values."""

    def derivative(*inputs: Value) -> Any:
        def along(v: Any) -> Any:
            return f(*inputs[:index], v, *inputs[index + 1 :])

        of_order: Callable[..., Any] = along
        for _ in range(order):
            of_order = grad(of_order)
        return of_order(inputs[index])

    return derivative


def _derivations(
    f: Callable[..., Any], derivation: Derivation | Sequence[Derivation]
) -> list[Derivation]:
    """One derivation for each argument of ``f``."""
    single = isinstance(derivation, str) or callable(derivation)
    derivations: list[Any] = [derivation] if single else _listed(derivation, "derivation")
    for by_hand in derivations:
        if not (isinstance(by_hand, str) or callable(by_hand)):
            raise TypeError(
                "a derivation is a text such as '2*x' or a function, and for several arguments of "
                f"f a list of these, but got {describe(by_hand)}"
            )
    count = len(_required(f, _parameters(f, len(derivations))))
    if len(derivations) != count or not count:
        raise ValueError(
            f"f takes {counted(count, 'argument')}, but there "
            f"{'is' if len(derivations) == 1 else 'are'} {counted(len(derivations), 'derivation')}"
            "; give a list with the derivative by each argument"
        )
    return derivations


def _by_hand(derivation: Derivation, names: list[str]) -> Callable[..., Any]:
    """A derivation as a function of Values: a text sees them as they are, a function as floats."""
    if isinstance(derivation, str):
        return read_formula(derivation, names)
    try:
        inspect.signature(derivation).bind(*names)
    except TypeError:
        raise TypeError(
            f"the derivation {derivation!r} does not take the arguments of f, "
            f"{', '.join(names)}; let it take the same"
        ) from None
    except ValueError:  # Python does not know the signature
        pass

    def on_floats(*inputs: Value) -> float:
        result = derivation(*(v.data for v in inputs))
        try:
            return float(result)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(
                f"the derivation {derivation!r} must return one number, but returned "
                f"{describe(result)}"
            ) from None

    return on_floats


def _required(f: Callable[..., Any], otherwise: list[str]) -> list[str]:
    """The parameters of ``f`` that have no default."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return otherwise
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return otherwise
    return [parameter.name for parameter in parameters if parameter.default is parameter.empty]


def _place(names: Sequence[str], point: Sequence[float]) -> str:
    return ", ".join(f"{name} = {v}" for name, v in zip(names, point, strict=True))


def _listed(given: Any, what: str) -> list[Any]:
    """The items of what was given; TypeError if it is a text or has none."""
    try:
        if isinstance(given, str | bytes):
            raise TypeError
        return list(given)
    except TypeError:
        raise TypeError(f"{what} cannot be {describe(given)}; give a list instead") from None


def _points(
    f: Callable[..., Any], points: Any, domain: Any, names: list[str], seed: int
) -> list[tuple[float, ...]]:
    points = unwrapped(points, "points")
    if isinstance(points, bool) or not isinstance(points, numbers.Integral):
        return _given_points(points, names)
    if points < 1:
        raise ValueError(f"points is how many points to try, at least 1, but got {points}")
    pairs = _pairs(domain, names)
    draw = random.Random(seed)
    drawn = []
    for _ in range(int(points)):
        point = tuple(draw.uniform(low, high) for low, high in pairs)
        if not math.isfinite(float(_scalar(f(*map(Value, point))))):
            raise ValueError(
                f"f is not finite at {_place(names, point)}; choose a domain where it is"
            )
        drawn.append(point)
    return drawn


def _given_points(points: Any, names: list[str]) -> list[tuple[float, ...]]:
    plain_array(points, "points")
    listed = _listed(points, "points")
    if not listed:
        raise ValueError("points is an empty list, so nothing would be tried; give at least one")
    result = []
    for point in listed:
        several = isinstance(point, tuple | list | numpy.ndarray) and not _is_one(point)
        numbers = tuple(number(v, "a point") for v in (point if several else (point,)))
        if len(numbers) != len(names):
            raise ValueError(
                f"f takes {counted(len(names), 'argument')}, but the point {point!r} is "
                f"{counted(len(numbers), 'number')}; give as many for each point"
            )
        result.append(numbers)
    return result


def _pairs(domain: Any, names: list[str]) -> list[tuple[float, float]]:
    """The lowest and the highest number for each argument."""
    try:
        nested = [
            list(pair) if hasattr(pair, "__len__") and not _is_one(pair) else pair
            for pair in domain
        ]
        if not any(isinstance(pair, list) for pair in nested):
            nested = [nested] * len(names)
        pairs = [(number(low, "domain"), number(high, "domain")) for low, high in nested]
    except (TypeError, ValueError):
        pairs = []
    if len(pairs) != len(names) or not all(-math.inf < lo <= hi < math.inf for lo, hi in pairs):
        raise ValueError(
            "domain is the lowest and the highest number to try, such as (-2, 2), or a list with "
            f"such a pair for each argument of f ({', '.join(names)}), but got {describe(domain)}"
        )
    return pairs


# ---- Arguments: numbers in lists, tuples, mappings and arrays ----------------------------------


def _is_one(tree: Any) -> bool:
    """Whether it is an array of shape (), which is one number to NumPy."""
    return isinstance(tree, numpy.ndarray) and not tree.ndim


def _leaves(tree: Any) -> Iterator[Any]:
    """The numbers of a structure, in its order."""
    if isinstance(tree, Mapping):
        tree = tree.values()
    elif isinstance(tree, numpy.ndarray):
        plain_array(tree, "an argument")
        tree = tree.ravel()
    elif not isinstance(tree, list | tuple):
        yield tree
        return
    for branch in tree:
        yield from _leaves(branch)


def _handed(arguments: tuple[Any, ...], leaves: Iterator[Any]) -> Any:
    """The same arguments with other leaves, for ``f``: instead of an array of shape () the leaf
    alone, as NumPy would make it that after the first operation.
    """
    return _rebuild(arguments, leaves, lambda array: array[()] if _is_one(array) else array)


def _rebuild(
    tree: Any, leaves: Iterator[Any], finished: Callable[[Any], Any] = lambda array: array
) -> Any:
    """The same structure, of the same types, with other leaves.

    Args:
        tree: the structure.
        leaves: those it gets, in its order.
        finished: what becomes of a new array.
    """

    def rebuilt(branch: Any) -> Any:
        return _rebuild(branch, leaves, finished)

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
