"""The functional view: the derivative of a function, and checks of it for a unit test."""

from __future__ import annotations

import functools
import inspect
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy

from microgradlike import functions, ops
from microgradlike.checking import Comparison, Report, numeric_derivative, read_formula
from microgradlike.engine import Value, no_grad, recording, topological_order
from microgradlike.flow import slopes
from microgradlike.inputs import describe, number

# ---- grad --------------------------------------------------------------------------------------


def grad(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function that gives the derivatives of ``f`` by its arguments.

    Args:
        f: a function of numbers, or of lists, tuples, dicts and arrays of them, that returns one
            Value.

    Returns:
        A function of the same arguments. It returns the derivatives in their structure: those by
        the only argument alone, those by several as a tuple. Numbers in, numbers out; Values in,
        Values out, so it nests. No ``.grad`` is changed.

    Raises:
        TypeError: an argument holds something that is no number, or ``f`` returns no Value.

    >>> grad(lambda x: x**3)(2.0)
    12.0
    >>> grad(grad(lambda x: x**3))(2.0)
    12.0
    >>> grad(lambda w, x: w[0] * x + w[1])([2.0, 1.0], 3.0)
    ([3.0, 1.0], 2.0)
    """

    @functools.wraps(f)
    def derivative(*arguments: Any) -> Any:
        if not arguments:
            raise TypeError("grad(f) takes the arguments of f, but got none")
        found = list(_leaves(arguments))
        nested = any(isinstance(leaf, Value) for leaf in found)
        # f gets a copy of a Value: where it closes over the same one, that is not its argument.
        inputs = [v * 1.0 if isinstance(v, Value) else Value(number(v, "grad(f)")) for v in found]
        with recording():
            out = _scalar(f(*_rebuild(arguments, iter(inputs))))
            if nested:
                derivatives = _sweep(out, inputs, _slopes_as_values, Value)
            else:
                derivatives = _sweep(out, inputs, slopes, float)
        result = _rebuild(arguments, iter(derivatives))
        return result if len(arguments) > 1 else result[0]

    return derivative


def _sweep(
    out: Any,
    inputs: Sequence[Value],
    slopes: Callable[[Value], Iterable[tuple[Value, Any]]],
    kind: Callable[[float], Any],
) -> list[Any]:
    """The derivatives of ``out`` by ``inputs``: floats, or Values to be differentiated again."""
    if not isinstance(out, Value):  # a constant
        return [kind(0.0) for _ in inputs]
    upstream: dict[Value, Any] = {out: kind(1.0)}
    for node in reversed(topological_order(out)):
        error = upstream[node]
        for parent, slope in slopes(node):
            sent = error if type(slope) is int and slope == 1 else error * slope
            upstream[parent] = upstream[parent] + sent if parent in upstream else sent
    return [upstream[v] if v in upstream else kind(0.0) for v in inputs]


def _slopes_as_values(node: Value) -> Iterator[tuple[Value, Any]]:
    """As ``flow.slopes``, but each local derivative is a Value that remembers its origin."""
    rule = node._rule
    assert rule is not None
    x, y = (*node.operands, 0.0)[:2]
    for operand, slope in zip(node.operands, rule.operator.slopes, strict=True):
        if isinstance(operand, Value):
            yield operand, _on_values(slope)(x, y, node, rule.tie)


@functools.cache
def _on_values(slope: str) -> Callable[..., Any]:
    return ops.formula(slope, {**vars(ops), **functions.FUNCTIONS})


def _scalar(out: Any) -> Any:
    if isinstance(out, Value):
        return out
    try:
        return number(out, "grad(f)")
    except TypeError:
        raise TypeError(
            f"f must return one Value to be differentiated, but returned {describe(out)}"
        ) from None


# ---- Checking against central differences ------------------------------------------------------


def check_gradients(f: Callable[..., Any], at: Any) -> Report:
    """Compare the engine's gradient of ``f`` with central differences.

    Args:
        f: a function of numbers, or of lists, dicts and arrays of them, that returns one Value.
        at: the point: the only argument, or a tuple of all arguments.

    Returns:
        A report with one row for each operand.

    Raises:
        AssertionError: some operand disagrees. The message is the report; it names the operands and
            the operators at fault, and says so where the point sits on a kink.
        TypeError: ``at`` holds something that is no number, or ``f`` returns no Value.

    >>> print(check_gradients(lambda x, y: x * y.exp(), (2.0, 0.0)))
    operand                  engine             central differences...
    x                        1                  1 +- ...     agrees
    y                        2                  2 +- ...     agrees
    """
    arguments = at if isinstance(at, tuple) else (at,)
    point = [number(v, "check_gradients") for v in _leaves(arguments)]
    inputs = [Value(v) for v in point]
    with recording():
        out = f(*_rebuild(arguments, iter(inputs)))
    if not isinstance(out, Value):
        raise TypeError(f"f must return one Value to be checked, but returned {describe(out)}")

    def along(index: int) -> Callable[[float], float]:
        def value(moved: float) -> float:
            with no_grad():
                moved_to = [Value(v) for v in [*point[:index], moved, *point[index + 1 :]]]
                return float(f(*_rebuild(arguments, iter(moved_to))))

        return value

    operands = [
        Comparison(name, slope, numeric_derivative(along(index), point[index]))
        for index, (name, slope) in enumerate(
            zip(_names(f, arguments), _by_backward(out, inputs), strict=True)
        )
    ]
    report = Report(operands, [row for node in topological_order(out) for row in _alone(node)])
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


def _alone(node: Value) -> Iterator[Comparison]:
    """What a node sends to each operand when it stands alone, against its own forward formula."""
    rule = node._rule
    assert rule is not None
    point = [float(operand) for operand in node.operands]
    operands = [Value(v.data) if isinstance(v, Value) else v for v in node.operands]
    copy = Value(node.data)
    copy._rule, copy.grad = rule, 1.0
    copy._x, copy._y = operands[0], operands[1] if len(operands) == 2 else None
    rule.send(copy)
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
        if isinstance(tree, dict):
            for key, branch in tree.items():
                visit(f"{name}[{key!r}]", branch)
        elif hasattr(tree, "__len__"):
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
    points: int | Sequence[Any] = 100,
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
        points: how many random points to try, or the points themselves (numbers; for several
            arguments tuples of numbers).
        domain: the lowest and the highest number to try; for several arguments one pair for all, or
            a list with a pair for each.
        order: 1 for the first derivative, 2 for the second (by the same argument), and so on.
        tolerance: how far the two may differ, relative to the larger one (or to 1e-3).
        seed: of the random points.

    Raises:
        AssertionError: they differ; the message shows both at the point where they differ most.
        ValueError: the text cannot be read, or ``f`` is not finite somewhere in the domain.

    >>> assert_derivation(lambda x: (x**2).sin(), "2*x*cos(x**2)")
    >>> assert_derivation(lambda x, y: x * y**2, ["y**2", "2*x*y"])
    >>> assert_derivation(lambda x: x.tanh(), "1 + tanh(x)**2", points=[0.0, 1.0])
    Traceback (most recent call last):
        ...
    AssertionError: the derivation '1 + tanh(x)**2' differs at 1 of 2 points, most at x = 1.0:
      by hand     1.58002565838...
      the engine  0.41997434161...
    """
    derivations = (
        [derivation] if isinstance(derivation, str) or callable(derivation) else derivation
    )
    names = _parameters(f, len(derivations))
    if len(derivations) != len(_required(f, names)):
        raise ValueError(
            f"f takes {len(_required(f, names))} arguments, but there are {len(derivations)} "
            "derivations; give a list with the derivative by each argument"
        )
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ValueError(f"order is an integer of at least 1, but got {describe(order)}")
    for index, by_hand in enumerate(derivations):
        hand = read_formula(by_hand, names) if isinstance(by_hand, str) else by_hand
        differing = []
        tried = list(_points(f, points, domain, names, seed))
        for point in tried:
            expected, found = float(hand(*point)), _partial(f, index, point, order)
            gap = abs(expected - found) / max(1e-3, abs(expected), abs(found))
            same = expected == found or (math.isnan(expected) and math.isnan(found))
            if not same and not gap <= tolerance:
                differing.append((math.inf if math.isnan(gap) else gap, point, expected, found))
        if differing:
            _, point, expected, found = max(differing)
            where = _place(names, point)
            raise AssertionError(
                f"the derivation {by_hand!r} differs at {len(differing)} of {len(tried)} points, "
                f"most at {where}:\n  by hand     {expected!r}\n  the engine  {found!r}"
            )


def _partial(f: Callable[..., Any], index: int, point: Sequence[float], order: int) -> float:
    """The derivative of that order by one argument."""

    def along(v: Any) -> Any:
        return f(*point[:index], v, *point[index + 1 :])

    derivative: Callable[..., Any] = along
    for _ in range(order):
        derivative = grad(derivative)
    return float(derivative(point[index]))


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


def _points(
    f: Callable[..., Any], points: Any, domain: Sequence[Any], names: list[str], seed: int
) -> Iterator[tuple[float, ...]]:
    if not isinstance(points, int):
        for point in points:
            yield tuple(float(v) for v in (point if isinstance(point, tuple | list) else (point,)))
        return
    pairs = list(domain) if hasattr(domain[0], "__len__") else [domain] * len(names)
    draw = random.Random(seed)
    for _ in range(points):
        point = tuple(draw.uniform(*pair) for pair in pairs)
        if not math.isfinite(float(f(*map(Value, point)))):
            raise ValueError(
                f"f is not finite at {_place(names, point)}; choose a domain where it is"
            )
        yield point


# ---- Arguments: numbers in lists, tuples, dicts and arrays -------------------------------------


def _leaves(tree: Any) -> Iterator[Any]:
    """The numbers of a structure, in its order."""
    if isinstance(tree, dict):
        tree = tree.values()
    elif isinstance(tree, numpy.ndarray):
        tree = tree.ravel()
    elif not isinstance(tree, list | tuple):
        yield tree
        return
    for branch in tree:
        yield from _leaves(branch)


def _rebuild(tree: Any, leaves: Iterator[Any]) -> Any:
    """The same structure with other leaves."""
    if isinstance(tree, dict):
        return {key: _rebuild(branch, leaves) for key, branch in tree.items()}
    if isinstance(tree, numpy.ndarray):
        new = [next(leaves) for _ in range(tree.size)]
        kind = object if any(isinstance(leaf, Value) for leaf in new) else float
        return numpy.array(new, dtype=kind).reshape(tree.shape)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):  # a namedtuple
        return type(tree)(*(_rebuild(branch, leaves) for branch in tree))
    if isinstance(tree, list | tuple):
        return type(tree)(_rebuild(branch, leaves) for branch in tree)
    return next(leaves)
