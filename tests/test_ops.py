"""Every row of the operator table against its derivation by hand, at random points."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from mpmath import mp

from microgradlike import Value, functions, grad, ops
from microgradlike.functions import FUNCTIONS
from tests import derivations
from tests.derivations import COMPOSED, Derivation

POINTS = 100
CASES = [*derivations.OPERATORS.items(), *COMPOSED.items()]
IDS = [*derivations.OPERATORS, *(f"composed-{name}" for name in COMPOSED)]
every_case = pytest.mark.parametrize(("name", "by_hand"), CASES, ids=IDS)


@pytest.fixture(autouse=True)
def _fifty_digits() -> Iterator[None]:
    with mp.workdps(50):
        yield


def points(name: str, by_hand: Derivation, count: int = POINTS) -> Iterator[tuple[float, ...]]:
    draw = random.Random(name)
    while count:
        point = tuple(domain(draw) for domain in by_hand.domains)
        if not by_hand.avoid(*point):
            count -= 1
            yield point


def engine_function(name: str, by_hand: Derivation) -> Callable[..., Any]:
    return by_hand.call or FUNCTIONS[name]


def close(found: float, expected: Any, scale: Any = 0, tolerance: float = 1e-10) -> bool:
    """Equal to 1e-10, relative: without an absolute floor, so that tiny slopes are checked too."""
    return bool(abs(found - expected) <= tolerance * max(abs(expected), scale))


def precisely(point: tuple[float, ...]) -> tuple[Any, ...]:
    return tuple(map(mp.mpf, point))


def derivative(f: Callable[..., Any], point: tuple[float, ...], index: int) -> Any:
    """The derivative of an mpmath function by one of its arguments, from its values alone.

    With 350 digits a step of 1e-60 leaves fifty, even where the operands are 1e-100 and 1e100.
    """
    before, x, after = point[:index], mp.mpf(point[index]), point[index + 1 :]
    with mp.workdps(350):
        h = min(abs(x), 1) * mp.mpf(10) ** -60
        above, below = (f(*map(mp.mpf, (*before, x + move, *after))) for move in (h, -h))
        return (above - below) / (2 * h)


# ---- No row without a derivation ---------------------------------------------------------------


def assert_complete(rows: Mapping[str, ops.Operator]) -> None:
    assert rows.keys() == derivations.OPERATORS.keys(), "each row needs a derivation, and no more"
    for name, row in rows.items():
        by_hand = derivations.OPERATORS[name]
        assert len(row.slopes) == len(by_hand.slopes) == len(by_hand.domains), name


def test_each_row_has_a_derivation() -> None:
    assert_complete(ops.OPERATORS)


def test_a_row_without_a_derivation_is_noticed() -> None:
    sine = ops.OPERATORS["sin"]
    with pytest.raises(AssertionError, match="needs a derivation"):
        assert_complete({**ops.OPERATORS, "versine": replace(sine, name="versine")})
    with pytest.raises(AssertionError, match="sin"):
        assert_complete({**ops.OPERATORS, "sin": replace(sine, slopes=("cos(x)", "0"))})


def test_each_composed_function_has_a_derivation() -> None:
    composed = FUNCTIONS.keys() - ops.OPERATORS.keys() - ops.ALIASES.keys()
    assert composed - COMPOSED.keys() == {"radians", "degrees"}
    assert FUNCTIONS["radians"] is FUNCTIONS["deg2rad"]
    assert FUNCTIONS["degrees"] is FUNCTIONS["rad2deg"]


@every_case
def test_the_derivation_by_hand_is_right(name: str, by_hand: Derivation) -> None:
    """Independent of the engine: the slopes by hand against differences of the value."""
    for point in points(name, by_hand, 20):
        for index, slope in enumerate(by_hand.slopes):
            expected = derivative(by_hand.value, point, index)
            assert close(slope(*precisely(point)), expected, 1e-30, 1e-15), (point, index)


# ---- The engine --------------------------------------------------------------------------------


def kinds(count: int) -> Iterator[tuple[bool, ...]]:
    """Which operands are Values: every choice, but not none."""
    return filter(any, itertools.product((True, False), repeat=count))


def operands(point: Iterable[float], kind: Iterable[bool]) -> list[Value | float]:
    return [Value(v) if is_value else v for v, is_value in zip(point, kind, strict=True)]


@every_case
def test_value_and_slopes(name: str, by_hand: Derivation) -> None:
    f = engine_function(name, by_hand)
    for point in points(name, by_hand):
        exact = precisely(point)
        value = by_hand.value(*exact)
        slopes = [slope(*exact) for slope in by_hand.slopes]
        assert close(float(f(*point)), value), point
        for kind in kinds(len(point)):
            given = operands(point, kind)
            out = f(*given)
            assert close(float(out), value), (point, kind)
            if not isinstance(out, Value):
                continue  # `where` took a branch that is a number
            out.backward()
            for operand, slope in zip(given, slopes, strict=True):
                if isinstance(operand, Value):
                    assert close(operand.grad, slope), (point, kind, operand, slope)


@every_case
def test_slopes_by_central_differences(name: str, by_hand: Derivation) -> None:
    """With the engine's own values, and nothing from mpmath."""
    f = engine_function(name, by_hand)
    sharp = 0
    for point in points(name, by_hand):
        given = [Value(v) for v in point]
        f(*given).backward()
        for index, operand in enumerate(given):

            def along(x: float, point: tuple[float, ...] = point, index: int = index) -> float:
                return float(f(*point[:index], x, *point[index + 1 :]))

            slope, error = central_difference(along, operand.data)
            assert abs(slope - operand.grad) <= error + 1e-6 * abs(slope), (point, index)
            sharp += error <= 1e-3 * abs(slope) or slope == operand.grad == 0
    # Where a slope is below the rounding of the values, differences say nothing: not too often.
    assert sharp >= 0.25 * POINTS * len(by_hand.slopes)


def central_difference(f: Callable[[float], float], x: float) -> tuple[float, float]:
    """The slope of f at x, and how far off it may be."""
    h = 1e-5 * abs(x)
    while not math.isfinite(f(x + h) + f(x - h)):
        h /= 8  # back into the domain of f
    slopes = [(f(x + h / n) - f(x - h / n)) / ((x + h / n) - (x - h / n)) for n in (1, 2)]
    rounding = 1e-15 * max(abs(f(x + h)), abs(f(x - h))) / h
    return slopes[1], abs(slopes[1] - slopes[0]) + rounding


@every_case
def test_second_derivatives(name: str, by_hand: Derivation) -> None:
    """By ``grad`` of ``grad``, and by ``backward`` of a slope: every pair of operands."""
    f = engine_function(name, by_hand)
    gradient = grad(f)
    for point in points(name, by_hand, POINTS // 4):
        for i, slope in enumerate(by_hand.slopes):

            def along(*given: Any, i: int = i) -> Any:
                found = gradient(*given)
                return found[i] if len(given) > 1 else found

            nested = grad(along)(*point)
            nested = nested if len(point) > 1 else (nested,)
            given = [Value(v) for v in point]
            along(*given).backward()
            first = abs(slope(*precisely(point)))
            for j, operand in enumerate(given):
                expected = derivative(slope, point, j)
                # Its terms may cancel, so it is compared with the size that they have.
                scale = first / max(1, abs(operand.data))
                assert close(nested[j], expected, scale), (point, i, j, nested[j], expected)
                assert close(operand.grad, nested[j], 0, 1e-12), (point, i, j)


@pytest.mark.parametrize("row", ops.OPERATORS.values(), ids=list(ops.OPERATORS))
def test_a_slope_is_a_formula_on_values(row: ops.Operator) -> None:
    """The text of a slope gives Values the number that it gives floats."""
    names = {**vars(ops), **FUNCTIONS}
    for point in points(row.name, derivations.OPERATORS[row.name], 10):
        x, y = (*map(Value, point), Value(0.0))[:2]
        out = Value(float(ops.formula(row.value, names)(x, y, None, 0.5)))
        for text in row.slopes:
            on_values = ops.formula(text, names)(x, y, out, 0.5)
            on_floats = ops.formula(text, vars(ops))(x.data, y.data, out.data, 0.5)
            assert float(on_values) == on_floats


# ---- Powers of negative numbers, which have no logarithm ----------------------------------------


@pytest.mark.parametrize("exponent", [-3, -2, -1, 1, 2, 3, 10])
def test_powers_of_negative_numbers(exponent: int) -> None:
    for base in (-1e3, -2.5, -1.0, -1e-3):
        x = Value(base)
        y = x**exponent
        y.backward()
        assert close(y.data, mp.mpf(base) ** exponent)
        assert close(x.grad, exponent * mp.mpf(base) ** (exponent - 1))
        second = grad(grad(lambda v: v**exponent))(base)
        assert close(second, exponent * (exponent - 1) * mp.mpf(base) ** (exponent - 2))


# ---- Names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alias", "name"), ops.ALIASES.items())
def test_an_alias_is_the_function(alias: str, name: str) -> None:
    assert FUNCTIONS[alias] is FUNCTIONS[name]
    assert getattr(functions, alias) is getattr(functions, name)
    assert alias in vars(functions)["__all__"]


BY_HAND = {**COMPOSED, **derivations.OPERATORS}
UNARY = [name for name, f in FUNCTIONS.items() if len(BY_HAND[f.__name__].slopes) == 1]
UNARY.remove("where")


@pytest.mark.parametrize("name", UNARY)
def test_a_unary_function_is_a_method(name: str) -> None:
    for (x,) in points(name, BY_HAND[FUNCTIONS[name].__name__], 5):
        by_function, by_method = Value(x), Value(x)
        made, made_by_method = FUNCTIONS[name](by_function), getattr(by_method, name)()
        made.backward()
        made_by_method.backward()
        assert made.data == made_by_method.data
        assert by_function.grad == by_method.grad


@pytest.mark.parametrize("name", ["maximum", "minimum", "hypot", "logaddexp", "atan2", "arctan2"])
def test_a_binary_function_is_a_method(name: str) -> None:
    for x, y in ((1.5, -2.0), (0.25, 3.0)):
        assert getattr(Value(x), name)(y).data == FUNCTIONS[name](x, y)
        assert getattr(Value(x), name)(Value(y)).data == FUNCTIONS[name](x, y)
        assert FUNCTIONS[name](x, Value(y)).data == FUNCTIONS[name](x, y)
