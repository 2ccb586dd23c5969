"""Checks of derivatives for a unit test: against central differences, and of one made by hand."""

from __future__ import annotations

import inspect
import math
import numbers
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from microgradlike import ops
from microgradlike.differences import Comparison, Report, numeric_derivative
from microgradlike.engine import Value, differentiated, no_grad, recording, topological_order
from microgradlike.functional import grad, handed, is_one, leaves_of, scalar
from microgradlike.inputs import beside, describe, number, plain_array, unwrapped
from microgradlike.rules import CustomRule
from microgradlike.sweep import gradients
from microgradlike.typed import read_formula
from microgradlike.words import counted

# ---- Checking against central differences ------------------------------------------------------


def check_gradients(f: Callable[..., object], at: object) -> Report:
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
    point = [number(v, "check_gradients") for v in leaves_of(arguments)]
    if not point:
        raise ValueError("check_gradients got no number to check; give it the point as at=...")
    inputs = [Value(v) for v in point]
    with recording():
        with differentiated(inputs):
            out = scalar(f(*handed(arguments, iter(inputs))), "checked")
        if not isinstance(out, Value):
            out = Value(out)  # a constant, of slope 0
        by_engine = _by_backward(out, inputs)

    def along(index: int) -> Callable[[float], float]:
        def value(moved: float) -> float:
            with no_grad():
                moved_to = [Value(v) for v in [*point[:index], moved, *point[index + 1 :]]]
                return float(scalar(f(*handed(arguments, iter(moved_to))), "checked"))

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


def _names(f: Callable[..., object], arguments: tuple[object, ...]) -> list[str]:
    """A name for each number of the arguments: ``x``, ``w[0]``, ``p['a']``."""
    names: list[str] = []

    def visit(name: str, tree: Any) -> None:
        if isinstance(tree, Mapping):
            for key, branch in tree.items():
                visit(f"{name}[{key!r}]", branch)
        elif hasattr(tree, "__len__") and not is_one(tree):
            for index, branch in enumerate(tree):
                visit(f"{name}[{index}]", branch)
        else:
            names.append(name)

    for name, argument in zip(_parameters(f, len(arguments)), arguments, strict=True):
        visit(name, argument)
    return names


def _parameters(f: Callable[..., object], count: int) -> list[str]:
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
    f: Callable[..., object],
    derivation: Derivation | Sequence[Derivation],
    points: int | Iterable[object] = 100,
    domain: Sequence[object] = (-2.0, 2.0),
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
        for index, by_hand in enumerate(derivations):
            hand = _by_hand(by_hand, names)
            found = differences(partial(f, index, order), hand, tried, tolerance)
            if found:
                most = max(found)
                raise AssertionError(
                    f"the derivation {by_hand!r} differs at {len(found)} of {len(tried)} "
                    f"points, most at {place(names, most.point)}:\n{most}"
                )


class Difference(NamedTuple):
    """A point at which a derivative made by hand is another one than the engine's."""

    gap: float
    """How far they are apart, relative to the larger one."""
    point: tuple[float, ...]
    by_hand: float
    engine: float

    def __str__(self) -> str:
        return f"  by hand     {self.by_hand!r}\n  the engine  {self.engine!r}"


def differences(
    derivative: Callable[..., object],
    by_hand: Callable[..., object],
    points: Sequence[tuple[float, ...]],
    tolerance: float = 1e-9,
) -> list[Difference]:
    """Where a derivative made by hand is another one than the engine's, both functions of Values.

    >>> [found] = differences(grad(lambda x: x**3), lambda x: 3 * x, [(0.0,), (1.0,), (2.0,)])
    >>> found.point, found.by_hand, found.engine
    ((2.0,), 6.0, 12.0)
    """
    # The last digits of x count as those of the largest x: at 0 it would have none.
    widths = [max(map(abs, column)) or 1.0 for column in zip(*points, strict=True)]
    differing = []
    for point in points:
        expected, terms_expected = _of_values(by_hand, point, widths)
        found, terms_found = _of_values(derivative, point, widths)
        terms = max(terms_expected, terms_found)
        gap = ops.divide(abs(expected - found), max(abs(expected), abs(found), 1e-3 * terms))
        same = expected == found or (math.isnan(expected) and math.isnan(found))
        if not same and not gap <= tolerance:
            gap = math.inf if math.isnan(gap) else gap
            differing.append(Difference(gap, point, expected, found))
    return differing


def _of_values(
    f: Callable[..., object], point: Sequence[float], widths: Sequence[float]
) -> tuple[float, float]:
    """The result of ``f``, and how large the terms are that it is made of."""
    inputs = [Value(v) for v in point]
    out = unwrapped(f(*inputs), "a derivative")
    if isinstance(out, Value):
        return out.data, _sensitivity(out, dict(zip(inputs, widths, strict=True)))
    out = beside(out, "a derivative")
    return out, abs(out)


def partial(f: Callable[..., object], index: int, order: int = 1) -> Callable[..., object]:
    """The derivative of that order by one argument, as a function of Values."""

    def derivative(*inputs: Value) -> object:
        def along(v: object) -> object:
            return f(*inputs[:index], v, *inputs[index + 1 :])

        of_order: Callable[..., object] = along
        for _ in range(order):
            of_order = grad(of_order)
        return of_order(inputs[index])

    return derivative


def _derivations(
    f: Callable[..., object], derivation: Derivation | Sequence[Derivation]
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


def _by_hand(derivation: Derivation, names: list[str]) -> Callable[..., object]:
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


def _required(f: Callable[..., object], otherwise: list[str]) -> list[str]:
    """The parameters of ``f`` that have no default."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return otherwise
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return otherwise
    return [parameter.name for parameter in parameters if parameter.default is parameter.empty]


def place(names: Sequence[str], point: Sequence[float]) -> str:
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
    f: Callable[..., object], points: object, domain: object, names: list[str], seed: int
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
        if not math.isfinite(float(scalar(f(*map(Value, point))))):
            raise ValueError(
                f"f is not finite at {place(names, point)}; choose a domain where it is"
            )
        drawn.append(point)
    return drawn


def _given_points(points: object, names: list[str]) -> list[tuple[float, ...]]:
    plain_array(points, "points")
    listed = _listed(points, "points")
    if not listed:
        raise ValueError("points is an empty list, so nothing would be tried; give at least one")
    result = []
    for point in listed:
        several = isinstance(point, tuple | list | numpy.ndarray) and not is_one(point)
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
            list(pair) if hasattr(pair, "__len__") and not is_one(pair) else pair for pair in domain
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
