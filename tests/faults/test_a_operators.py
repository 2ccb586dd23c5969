"""What the operators send back where an operand does not matter, and at their special points."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from mpmath import mp

from microgradlike import Value, compile, grad
from microgradlike.flow import backward_steps, paths
from microgradlike.functions import (
    acos,
    atan2,
    clip,
    floor,
    hypot,
    leaky_relu,
    log,
    logsumexp,
    maximum,
    minimum,
    relu,
    sign,
    softmax,
    sqrt,
    where,
)

inf, nan = math.inf, math.nan

Function = Callable[..., Any]

# Each with a point, and its slopes by hand: what was shut, or not chosen, gets nothing, though the
# error that arrives is infinite.
FLAT: dict[str, tuple[Function, tuple[float, ...], tuple[float, ...]]] = {
    "sqrt of relu": (lambda x: sqrt(relu(x)), (-1.0,), (0.0,)),
    "sqrt of relu at the kink": (lambda x: sqrt(relu(x)), (0.0,), (0.0,)),
    "log of relu": (lambda x: log(relu(x)), (-1.0,), (0.0,)),
    "power of maximum": (lambda x: maximum(x, 0) ** 0.5, (-1.0,), (0.0,)),
    "number on the left": (lambda x: sqrt(maximum(0, x)), (-1.0,), (0.0,)),
    "power of minimum": (lambda x: (-minimum(x, 0)) ** 0.5, (1.0,), (0.0,)),
    "acos of clip": (lambda x: acos(clip(x, -1, 1)), (1.0000000002,), (0.0,)),
    "larger Value": (lambda x, y: sqrt(maximum(x, y) - 2), (1.0, 2.0), (0.0, inf)),
    "smaller Value": (lambda x, y: sqrt(minimum(x, y) - 1), (1.0, 2.0), (inf, 0.0)),
    "tie of Values": (lambda x, y: sqrt(maximum(x, y) - 2), (2.0, 2.0), (inf, inf)),
    "tie with a number": (lambda x: sqrt(maximum(x, 2) - 2), (2.0,), (0.0,)),
    "sign": (lambda x: sqrt(sign(x) - 1), (3.0,), (0.0,)),
    "floor": (lambda x: 1 / floor(x), (0.5,), (0.0,)),
    "ceil": (lambda x: log(-math.ceil(x)), (-0.5,), (0.0,)),
    "round": (lambda x: log(round(x)), (0.2,), (0.0,)),
    "round to digits": (lambda x: log(round(x, 1)), (0.02,), (0.0,)),
    "trunc": (lambda x: sqrt(math.trunc(x)), (0.7,), (0.0,)),
    "floor division": (lambda x, y: sqrt(x // y), (1.0, 2.0), (0.0, 0.0)),
    "exponent 0": (lambda x: sqrt(x**0 - 1), (3.0,), (0.0,)),
    "learned leak": (lambda x, y: sqrt(leaky_relu(x, y) - 1), (1.0, 0.5), (inf, 0.0)),
    "hypot at the origin": (lambda x, y: sqrt(hypot(x, y)), (0.0, 0.0), (0.0, 0.0)),
    "atan2 at the origin": (lambda x, y: sqrt(atan2(x, y)), (0.0, 0.0), (0.0, 0.0)),
    "infinite constant": (lambda x: relu(x) * inf, (-1.0,), (0.0,)),
    "through an operation": (lambda x: sqrt(relu(2 * x + 1)), (-1.0,), (0.0,)),
    "what lies behind is shut as well": (lambda x: relu(log(x)), (0.0,), (0.0,)),
    "what lies behind was not chosen": (lambda x: maximum(sqrt(x), 1), (0.0,), (0.0,)),
    "far behind": (lambda x: relu(2 * sqrt(x) - 3) + 5 * x, (0.0,), (5.0,)),
}
flat = pytest.mark.parametrize(("f", "point", "slopes"), FLAT.values(), ids=FLAT)

# What happens to be 0 is multiplied, and NaN stays NaN.
MULTIPLIED: dict[str, tuple[Function, float]] = {
    "times 0": (lambda x: sqrt(x * 0), 1.0),
    "saturated tanh": (lambda x: sqrt(x.tanh() - 1), 1000.0),
    "NaN in relu": (lambda x: relu(x), nan),
    "NaN in maximum": (lambda x: maximum(x, 0), nan),
    "square root of a square": (lambda x: sqrt(x * x), 0.0),
}


def same(found: Any, expected: Any) -> bool:
    return numpy.allclose(numpy.array(found, float), expected, rtol=1e-12, equal_nan=True)


@flat
def test_A2_backward(f: Function, point: tuple[float, ...], slopes: tuple[float, ...]) -> None:
    given = [Value(v) for v in point]
    f(*given).backward()
    assert same([v.grad for v in given], slopes)


@flat
def test_A2_grad(f: Function, point: tuple[float, ...], slopes: tuple[float, ...]) -> None:
    assert same(grad(f)(*point), slopes if len(slopes) > 1 else slopes[0])
    nested = grad(f)(*map(Value, point))
    assert same([float(v) for v in (nested if len(slopes) > 1 else [nested])], slopes)


@flat
def test_A2_pictures(f: Function, point: tuple[float, ...], slopes: tuple[float, ...]) -> None:
    given = [Value(v) for v in point]
    out = f(*given)
    arrived = dict.fromkeys(given, 0.0)
    for step in backward_steps(out):
        assert not math.isnan(step.contribution)
        if step.parent in arrived:
            arrived[step.parent] = step.after
    assert same(list(arrived.values()), slopes)
    for v, slope in zip(given, slopes, strict=True):
        assert same(paths(out, v).total, slope)
        assert not any(math.isnan(path.product) for path in paths(out, v).largest)


@pytest.mark.usefixtures("executor")
@flat
def test_A2_compiled(f: Function, point: tuple[float, ...], slopes: tuple[float, ...]) -> None:
    c = compile(f)
    columns = [[v, 0.75, v] for v in point]
    assert same(c.jacobian(*columns)[2, 0], slopes)
    parameters = [Value(v) for v in point]
    c = compile(lambda x: f(*parameters) + 0 * x)
    c.mean([1.0]).backward()
    assert same([p.grad for p in parameters], slopes)


@pytest.mark.usefixtures("executor")
def test_A2_hessian() -> None:
    for f, x in ((lambda x: relu(x) ** 1.5, -1.0), (lambda x: sqrt(maximum(x, 0)), -1.0)):
        assert grad(grad(f))(x) == 0
        assert compile(f).hessian([x, 2.0])[0, 0, 0] == 0
    mixed = compile(lambda x, y: sqrt(maximum(x, y) - 2) + x * y)
    assert same(mixed.jacobian([1.0], [2.0])[0, 0], (2.0, inf))
    assert same(mixed.hessian([1.0], [3.0])[0], [[0.0, 1.0], [1.0, -0.25]])


# A steep operation stands before what is flat, so that 0 * inf lurks in each derivative.
BENT: dict[str, tuple[Function, float]] = {
    "not chosen": (lambda x: maximum(log(x), -1.0), 0.0),
    "number on the left": (lambda x: minimum(3, 1 / x), 0.0),
    "shut": (lambda x: relu(-sqrt(x)), 0.0),
    "shut, and multiplied": (lambda x: 3 * relu(2 * log(x) - 1) ** 2, 0.0),
    "clipped": (lambda x: clip(log(x), -1, 1), 0.0),
    "clipped twice": (lambda x: clip(relu(log(x)) - 2, -1, 1), 0.0),
    "hypot at the origin": (lambda x: hypot(sqrt(x), 0.0), 0.0),
    "atan2 at the origin": (lambda x: atan2(sqrt(x), sqrt(x)), 0.0),
    "floor": (lambda x: floor(sqrt(x)), 0.0),
    "exponent 0": (lambda x: log(x) ** 0, 0.0),
    "learned leak": (lambda x: leaky_relu(x + 1, log(x)), 0.0),
    "two ways": (lambda x: maximum(log(x), -1.0) + relu(log(x) - 2) * relu(log(x)), 0.0),
    "within a branch": (lambda x: where(x < 1, relu(log(x)), sqrt(x - 1)), 0.0),
    "in an angle": (lambda x: relu(acos(x) - 4), 1.0),
    "and a branch": (lambda x: relu(where(x > 1, x, log(x))), 0.0),
    "before and behind": (lambda x: sqrt(relu(log(x))), 0.0),
}
bent = pytest.mark.parametrize(("f", "x"), BENT.values(), ids=BENT)


@pytest.mark.usefixtures("executor")
@bent
def test_A2_second_derivatives(f: Function, x: float) -> None:
    linear = grad(f)(x)  # of a learned leak the operand beside it
    assert math.isfinite(linear)
    assert grad(grad(f))(x) == 0
    assert grad(grad(grad(f)))(x) == 0
    c = compile(f)
    rows = [x, 0.75, x]
    assert same(c.jacobian(rows)[[0, 2]], linear)
    assert same(c.hessian(rows)[[0, 2]], 0.0)
    assert same(c.hvp(rows, v=[[2.0]] * 3)[[0, 2]], 0.0)
    assert same(c.hessian(rows)[1], grad(grad(f))(0.75))


@pytest.mark.usefixtures("executor")
@bent
def test_A2_a_gradient_within_a_compiled_function(f: Function, x: float) -> None:
    first, w = compile(lambda x: grad(f)(x)), Value(x)
    assert same(first([x, 0.75]), [grad(f)(x), grad(f)(0.75)])
    assert same(first.jacobian([x])[0], 0.0)
    assert same(first.hessian([x])[0], 0.0)
    assert same(compile(lambda x: grad(grad(f))(x))([x, 0.75]), [0.0, grad(grad(f))(0.75)])
    of_parameter = compile(lambda x: x * grad(f)(w) ** 2)
    of_parameter.sum([1.0, 2.0]).backward()
    assert w.grad == 0


@pytest.mark.usefixtures("executor")
@flat
def test_A2_the_hessian_is_that_of_the_engine(
    f: Function, point: tuple[float, ...], slopes: tuple[float, ...]
) -> None:
    def row(*inputs: Any) -> list[Any]:
        found = grad(f)(*inputs)
        return list(found) if isinstance(found, tuple) else [found]

    expected = [grad(lambda *inputs, k=k: row(*inputs)[k])(*point) for k in range(len(point))]
    found = compile(f).hessian(*[[v] for v in point])[0]
    assert same(found.ravel(), numpy.ravel(expected))


@pytest.mark.usefixtures("executor")
def test_A2_a_network_that_is_shut() -> None:
    weights = [[Value(0.3 * i - 0.2 * j + 0.05) for j in range(3)] for i in range(4)]

    def f(x: Any) -> Any:
        steep = [log(v) for v in x]
        hidden = [relu(sum(w * v for w, v in zip(row, steep, strict=True))) for row in weights]
        return sum(hidden) ** 2

    rows = [[0.5, 2.0, 3.0], [0.0, 2.0, 3.0], [1.5, 0.0, 0.0]]
    found = compile(f).hessian(rows)
    for row, ours in zip(rows, found, strict=True):
        theirs = [grad(lambda x, k=k: grad(f)(x)[k])(row) for k in range(3)]
        assert same(ours, theirs)


@pytest.mark.parametrize(("f", "x"), MULTIPLIED.values(), ids=MULTIPLIED)
def test_A2_what_happens_to_be_0_is_multiplied(f: Function, x: float) -> None:
    v = Value(x)
    f(v).backward()
    assert math.isnan(v.grad)
    assert math.isnan(grad(f)(x))
    assert math.isnan(compile(f).jacobian([x])[0, 0, 0])


def test_A2_an_error_that_is_0_still_passes_what_is_open() -> None:
    x = Value(0.0)
    (sqrt(x) * 0).backward()
    assert math.isnan(x.grad)


TINY = [5e-324, 1e-310, -1e-310, 5.5e-309, 0.0]


@pytest.mark.usefixtures("executor")
@pytest.mark.parametrize("x", TINY)
def test_A7_powers_near_zero(x: float) -> None:
    powers: list[tuple[Function, tuple[float, float, float]]] = [
        (lambda v: v**0, (0.0, 0.0, 0.0)),
        (lambda v: v**1, (1.0, 0.0, 0.0)),
        (lambda v: v**2, (2 * x, 2.0, 0.0)),
        (lambda v: v**3, (0.0, 6 * x, 6.0)),
    ]
    for f, (first, second, third) in powers:
        assert grad(f)(x) == pytest.approx(first, abs=1e-320)
        assert grad(grad(f))(x) == pytest.approx(second, abs=1e-320)
        assert grad(grad(grad(f)))(x) == pytest.approx(third, abs=1e-320)
        c = compile(f)
        assert c.jacobian([x])[0, 0, 0] == pytest.approx(first, abs=1e-320)
        assert c.hessian([x])[0, 0, 0] == pytest.approx(second, abs=1e-320)
    for y, first in ((0.0, 0.0), (1.0, 1.0), (2.0, 2 * x)):
        power = grad(lambda v, w: v**w)
        assert power(x, y)[0] == pytest.approx(first, abs=1e-320)
        second = grad(lambda v, y=y, power=power: power(v, Value(y))[0])(x)
        assert second == pytest.approx(2.0 if y == 2 else 0.0, abs=1e-320)
        c = compile(lambda v, w: v**w)
        assert c.jacobian([x], [y])[0, 0, 0] == pytest.approx(first, abs=1e-320)


def test_A7_a_learned_exponent_0_keeps_its_mixed_derivative() -> None:
    """The derivative of y * x**(y - 1) by y is 1 / x at y = 0."""
    assert grad(lambda y: grad(lambda x, y: x**y)(Value(4.0), y)[0])(0.0) == 0.25


NUMBERS = [0.0, -0.0, 0.3, -0.3, 2.5, -2.5, 7.0, -7.0, 1e300, inf, -inf, nan]


def floor_division(x: float, y: float) -> float:
    try:
        return x // y
    except ZeroDivisionError:
        return nan if x == 0 or x != x else math.copysign(inf, x) * math.copysign(1.0, y)


@pytest.mark.usefixtures("executor")
def test_A8_floor_division_is_that_of_floats() -> None:
    x, y = (part.ravel() for part in numpy.meshgrid(NUMBERS, NUMBERS))
    compiled = compile(lambda x, y: x // y)
    found = compiled(x, y).ravel()
    assert not compiled.jacobian(x, y).any()
    for a, b, of_row in zip(x.tolist(), y.tolist(), found, strict=True):
        expected = repr(floor_division(a, b))
        assert repr((Value(a) // Value(b)).data) == expected
        assert repr((Value(a) // b).data) == repr((a // Value(b)).data) == expected
        assert repr(float(of_row)) == expected
    assert [v.data for v in divmod(Value(7.5), 2)] == list(divmod(7.5, 2))
    assert [v.data for v in divmod(7.5, Value(-2.0))] == list(divmod(7.5, -2.0))
    assert grad(lambda x: sum(divmod(x, 2.0)))(7.5) == 1.0
    assert compile(lambda x: sum(divmod(-7, x)))([2.0, 3.0]).ravel().tolist() == [-3.0, -1.0]


@pytest.mark.usefixtures("executor")
def test_A8_round_to_digits_is_that_of_floats() -> None:
    draw = numpy.random.default_rng(0)
    numbers = [2.675, 1.115, 0.285, 2.5, -0.5, 0.125, 1e22, inf, nan, -0.0, 5e-324]
    numbers += (draw.normal(size=50) * 10.0 ** draw.integers(-4, 5, 50)).round(5).tolist()
    for digits in (0, 1, 2, 3, -1, -2, 400, -400):
        expected = [repr(round(v, digits)) for v in numbers]
        assert [repr(round(Value(v), digits).data) for v in numbers] == expected
        c = compile(lambda x, digits=digits: round(x, digits))
        assert [repr(v) for v in c(numbers).ravel().tolist()] == expected
    x = Value(2.675)
    (round(x, 2) * x).backward()
    assert x.grad == 2.67
    with pytest.raises(TypeError, match="integer"):
        round(x, 2.0)  # type: ignore[call-overload]


def test_A8_whole_numbers_by_math_and_numpy() -> None:
    numbers = [-2.5, -0.5, 0.0, 1.7, inf, nan]
    array = numpy.array([Value(v) for v in numbers], dtype=object)
    for name in ("trunc", "fix", "floor", "ceil", "rint"):
        found = [v.data for v in getattr(numpy, name)(array)]
        assert list(map(repr, found)) == [repr(float(v)) for v in getattr(numpy, name)(numbers)]
    for function in (math.trunc, math.floor, math.ceil, round):
        assert [function(v).data for v in array[:4]] == [float(function(v)) for v in numbers[:4]]
    assert grad(lambda x: (x - math.trunc(x)) ** 2)(2.5) == 1.0
    assert compile(math.trunc)([-2.5, 2.5]).ravel().tolist() == [-2.0, 2.0]


# The divisor's slope is minus the whole quotient, -floor(x / y), and the value is that of IEEE 754.
REMAINDERS = [
    (-5.0, inf, inf, 1.0), (5.0, -inf, -inf, 1.0), (5.0, inf, 5.0, 0.0), (-5.0, -inf, -5.0, 0.0),
    (0.0, inf, 0.0, 0.0), (-1e308, 1.7e308, 0.7e308, 1.0), (-1.7e308, 1e308, 0.3e308, 2.0),
    (7.0, -3.0, -2.0, 3.0), (inf, 3.0, nan, nan), (inf, inf, nan, nan), (5.0, nan, nan, nan),
    (5.0, 0.0, nan, nan), (1e-310, 3e-310, 1e-310, 0.0),
]  # fmt: skip


@pytest.mark.usefixtures("executor")
@pytest.mark.parametrize(("x", "y", "value", "slope"), REMAINDERS)
def test_A9_remainder(x: float, y: float, value: float, slope: float) -> None:
    assert same((Value(x) % Value(y)).data, value)
    assert same(grad(lambda x, y: x % y)(x, y), (1.0, slope))
    assert same(grad(lambda y: x % y)(y), slope)
    c = compile(lambda x, y: x % y)
    assert same(c([x], [y]), value)
    assert same(c.jacobian([x], [y])[0, 0], (1.0, slope))


def shares(x: Any) -> Any:
    """Those of a softmax, in more digits than a float has."""
    e = numpy.exp((x - x.max()).astype(numpy.longdouble))
    return e / e.sum()


@pytest.mark.parametrize("count", [1, 2, 3, 2_500, 40_000])
@pytest.mark.parametrize("offset", [0.0, 1e9, -1e9])
def test_A17_slopes_are_the_shares(count: int, offset: float) -> None:
    x = numpy.random.default_rng(count).normal(size=count) * 3 + offset
    given = [Value(v) for v in x]
    logsumexp(given).backward()
    found = numpy.array([v.grad for v in given])
    assert abs(found / shares(x) - 1).max() < 1e-14
    if count <= 2_500:
        nested = numpy.array([float(v) for v in grad(logsumexp)([Value(v) for v in x])])
        assert abs(nested / shares(x) - 1).max() < 1e-14
        assert abs(numpy.array(softmax(x)) / shares(x) - 1).max() < 1e-14


@pytest.mark.usefixtures("executor")
@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_A17_compiled(offset: float) -> None:
    x = numpy.random.default_rng(1).normal(size=(2, 2_500)) * 3 + offset
    c = compile(logsumexp)
    c.trace(x)
    assert c.describe() == "rows x [logsumexp 2500]"
    assert abs(c.jacobian(x)[1, 0] / shares(x[1]) - 1).max() < 1e-14


def test_A17_second_derivatives_are_those_by_hand() -> None:
    x = [0.3, -1.2, 2.0, 0.7, 5.0]
    with mp.workdps(30):
        e = [mp.exp(v) for v in x]
        p = [v / mp.fsum(e) for v in e]
        expected = [[float((i == j) * p[i] - p[i] * p[j]) for j in range(5)] for i in range(5)]
    found = [grad(lambda *v, i=i: grad(lambda *v: logsumexp(v))(*v)[i])(*x) for i in range(5)]
    assert numpy.allclose(found, expected, rtol=1e-14, atol=1e-17)
    hessian = compile(lambda *v: logsumexp(v)).hessian(*[[v] for v in x])[0]
    assert numpy.allclose(hessian, expected, rtol=1e-13, atol=1e-16)


def test_A17_special_values() -> None:
    assert logsumexp([-inf] * 5) == -inf
    assert logsumexp([inf, 1.0, -inf]) == inf
    assert math.isnan(logsumexp([1.0, nan, 2.0]))
    given = [Value(v) for v in (inf, 1.0, 2.0)]
    logsumexp(given).backward()
    assert [v.grad for v in given] == [1.0, 0.0, 0.0]
    given = [Value(v) for v in (-inf, 1.0, 1.0)]
    logsumexp(given).backward()
    assert [v.grad for v in given] == [0.0, 0.5, 0.5]


def test_a_comparison_that_the_last_digit_of_logsumexp_decides(executor: str) -> None:
    def f(x: Value, y: Value) -> Any:
        total = logsumexp([x, y, x * y, 0.5])
        same = where(total + x + y <= y + x + total, total * x, y)
        return where(logsumexp([x, y]) < logsumexp([y, x, -inf]), same, 2 * same)

    rows = numpy.random.default_rng(0).normal(size=(2, 200))
    c = compile(f)
    assert c(*rows) == pytest.approx([f(x, y) for x, y in rows.T.tolist()], rel=1e-12)
    assert c(*rows[:, :1]) == pytest.approx([f(*rows[:, 0].tolist())], rel=1e-12)
    theirs = [grad(f)(Value(x), Value(y)) for x, y in rows.T.tolist()]
    assert c.jacobian(*rows).ravel() == pytest.approx(numpy.ravel(theirs).astype(float), rel=1e-12)
    c = compile(lambda x, y: x * y if logsumexp([x, y, 1.0]) >= logsumexp([1.0, y, x]) else x - y)
    expected = [c(Value(x), Value(y)).data for x, y in rows.T.tolist()]
    assert c(*rows) == pytest.approx(expected, rel=1e-12)
