"""Plain loops of Python that are rolled up: the same numbers, by a program of one round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

from microgradlike import Value, compile, log, tanh, where
from microgradlike.compiler import rolled
from microgradlike.compiler.instructions import Loop
from microgradlike.compiler.tape import trace

ROUNDS = 60
a, b, e, d = (Value(v) for v in (1.0, 0.1, 1.5, 0.075))
W = [[Value(0.1 * i - 0.2 * j + 0.05) for i in range(4)] for j in range(4)]


def runge_kutta(x: Any, y: Any) -> Any:
    """Predators and prey."""
    h = 0.01

    def slope(x: Any, y: Any) -> tuple[Any, Any]:
        return a * x - b * x * y, d * x * y - e * y

    for _ in range(ROUNDS):
        k1 = slope(x, y)
        k2 = slope(x + h / 2 * k1[0], y + h / 2 * k1[1])
        k3 = slope(x + h / 2 * k2[0], y + h / 2 * k2[1])
        k4 = slope(x + h * k3[0], y + h * k3[1])
        x = x + h / 6 * (k1[0] + 2 * k2[0] + 2 * k3[0] + k4[0])
        y = y + h / 6 * (k1[1] + 2 * k2[1] + 2 * k3[1] + k4[1])
    return x * x + y


def volatility(*returns: Any) -> Any:
    """What each round reads is an input of its own."""
    v, total = Value(1.0), 0.0
    for r in returns:
        v = a + b * r * r + d * v
        total = total + log(v) + r * r / v
    return total


def recurrent(*inputs: Any) -> Any:
    h = [0.0] * 4
    for x in inputs:
        h = [tanh(sum(W[i][j] * h[j] for j in range(4)) + W[0][i] * x + a) for i in range(4)]
    return sum(h)


def two_rounds_back(x: Any, y: Any) -> Any:
    p, q, total = x, y, 0.0
    for k in range(ROUNDS):
        p, q = q, tanh(p * 0.3 + q * b) + k * 0.001
        total = total + p
    return total * q


def descent(x: Any, y: Any) -> Any:
    w, m, v = x, 0.0, 0.0
    for _ in range(ROUNDS):
        g = 2 * (w * a - y) * a
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        w = w - 0.1 * m / (v + 1e-8) ** 0.5
    return (w * a - y) ** 2


def with_choices(x: Any, y: Any) -> Any:
    for k in range(ROUNDS):
        x = where(x * y > 0.1 * k - 3, x - 0.1 * y * x, x + y * tanh(x) * b)
    return x


LOOPS = [runge_kutta, volatility, recurrent, two_rounds_back, descent, with_choices]


@pytest.mark.parametrize("on", ["machine", "numpy"])
@pytest.mark.parametrize("f", LOOPS, ids=lambda f: f.__name__)
def test_a_plain_loop_is_rolled_up(
    f: Callable[..., Any], on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    width = ROUNDS if f in (volatility, recurrent) else 2
    X = numpy.random.default_rng(0).uniform(0.2, 1.5, (width, 5))
    unrolled = compile(f, on=on).trace(*X)
    monkeypatch.setattr(rolled, "LONG", 100)
    short = compile(f, on=on).trace(*X)
    assert "rounds of" in short.describe() and "rounds of" not in unrolled.describe()
    for ours, theirs in (
        (short(*X), unrolled(*X)),
        (short.jacobian(*X), unrolled.jacobian(*X)),
    ):
        numpy.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    slopes = [
        dict(zip(map(id, one.parameters), one.value_and_grad(one.theta(), *X)[1], strict=True))
        for one in (short, unrolled)
    ]
    for parameter, slope in slopes[1].items():
        assert slopes[0][parameter] == pytest.approx(slope, rel=1e-9)


@pytest.mark.parametrize("f", LOOPS, ids=lambda f: f.__name__)
def test_of_few_rows_that_come_often_a_shorter_loop_is_a_kernel(
    f: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROUNDS", 120)
    width = 120 if f in (volatility, recurrent) else 2
    X = numpy.random.default_rng(0).uniform(0.2, 1.5, (width, 9))
    c = compile(f, on="machine").trace(*X)
    values, slopes = c(*X), c.jacobian(*X)
    theta = c.theta()
    for k in [*range(9), *range(9)]:
        here = X[:, k : k + 1]
        assert c(*here) == pytest.approx(values[k], rel=1e-10)
        assert c.jacobian(*here)[0] == pytest.approx(slopes[k], rel=1e-9, abs=1e-12)
    value, gradient = c.value_and_grad(theta, *X[:, :4])
    assert value == pytest.approx(values[:4].mean(), rel=1e-10)
    assert c.value_and_grad(theta, *X)[0] == pytest.approx(values.mean(), rel=1e-10)
    (path,) = c._paths
    assert path.of_few is not None and "rounds of" not in c.describe()
    assert any(isinstance(i, Loop) for i in path.of_few.program.rows.instructions)
    path.of_few = None
    others = c.value_and_grad(theta, *X[:, :4])[1]
    assert gradient == pytest.approx(others, rel=1e-9, abs=1e-12)


def test_what_is_no_recurrence_is_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolled, "LONG", 100)

    def sums(x: Any, y: Any) -> Any:
        total = Value(0.0)
        for k in range(100):
            total = total + tanh(x * k) * y
        return total

    tape = trace(sums, [0.5, 0.5])
    assert rolled.rolled(tape) is tape


def test_what_somebody_reads_of_each_round_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolled, "LONG", 100)

    def path(x: Any, y: Any) -> Any:
        found = [x]
        for _ in range(100):
            found.append(tanh(found[-1] * y))
        return sum(p * q for p, q in zip(found, reversed(found), strict=True))

    tape = trace(path, [0.5, 0.5])
    assert rolled.rolled(tape) is tape


def test_a_long_loop_makes_a_short_program() -> None:
    def chain(x: Any) -> Any:
        for _ in range(10_000):
            x = x - 0.001 * tanh(x) * a
        return x

    c = compile(chain).trace([0.5])
    assert "9999 rounds of" in c.describe() or "10000 rounds of" in c.describe()
    assert c.programs[0].size < 20
