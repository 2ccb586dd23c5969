"""Derivatives within functions, and by parameters: right, in linear time, on every executor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy
import pytest

from microgradlike import Value, compile, custom, functions, grad
from microgradlike.compiler.tape import trace
from microgradlike.ops import OPERATORS
from microgradlike.rules import Rule

pytestmark = pytest.mark.usefixtures("executor")

# ---- In linear time ----------------------------------------------------------------------------


def _lines(f: Callable[[], object]) -> int:
    """How many lines of Python run while a function is called: the same on any machine."""
    count = 0

    def line(frame: object, event: str, given: object) -> Any:
        nonlocal count
        count += 1
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        f()
    finally:
        sys.settrace(before)
    return count


def _newton(x: Any, w: Any, steps: int) -> Any:
    def f(t: Any) -> Any:
        return t**3 - w * t - 5

    for _ in range(steps):
        x = x - f(x) / grad(f)(x)
    return x


def _leapfrog(q: Any, w: Any, steps: int) -> Any:
    def energy(q: Any, p: Any) -> Any:
        return 0.5 * p * p + w * q**4

    p = 0.3 * q
    for _ in range(steps):
        p = p - 0.01 * grad(lambda t, p=p: energy(t, p))(q)
        q = q + 0.01 * grad(lambda t, q=q: energy(q, t))(p)
    return q


def _by_numbers(x: Any, w: Any, steps: int) -> Any:
    for step in range(steps):
        x = 0.5 * x + 0.1 * grad(lambda t, x=x: w * x * t * t)(1.0 + step)
    return x


def _curvature(x: Any, w: Any, steps: int) -> Any:
    for _ in range(steps):
        x = x - 0.01 * grad(grad(lambda t, x=x: w * x * t**3))(x)
    return x


def _bodies(x: Any, w: Any, steps: int) -> Any:
    def potential(at: Any) -> Any:
        return -w / ((at[0] - at[1]) ** 2 + 0.1).sqrt()

    at, speed = [x, x + 1.0], [0.0 * x, 0.1 * x]
    for _ in range(steps):
        speed = [v - 0.01 * force for v, force in zip(speed, grad(potential)(at), strict=True)]
        at = [a + 0.01 * v for a, v in zip(at, speed, strict=True)]
    return at[0]


LOOPS = [_newton, _leapfrog, _by_numbers, _curvature, _bodies]


@pytest.mark.parametrize("way", ["eager", "differentiated", "traced"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_gradient_in_every_step_costs_as_much_in_the_last_as_in_the_first(
    loop: Callable[..., Any], way: str
) -> None:
    w = Value(2.0)

    def run(steps: int) -> object:
        def f(x: Any) -> Any:
            return loop(x, w, steps)

        if way == "traced":
            return trace(f, [1.5])
        return grad(f)(1.5) if way == "differentiated" else f(Value(1.5))

    run(2)  # what is made once is made here
    few, many = (_lines(lambda steps=steps: run(steps)) for steps in (20, 60))  # type: ignore[misc]
    assert many < 3.3 * few


@pytest.mark.parametrize("loop", LOOPS)
def test_a_gradient_in_every_step_is_right(loop: Callable[..., Any]) -> None:
    w, rows = Value(2.0), numpy.array([1.5, 1.7])
    c = compile(lambda x: loop(x, w, 4))
    outs = [loop(Value(x), w, 4) for x in rows]
    numpy.testing.assert_allclose(c(rows), [out.data for out in outs], rtol=1e-12)
    slopes = [grad(lambda x: loop(x, w, 4))(float(x)) for x in rows]
    numpy.testing.assert_allclose(c.jacobian(rows)[:, 0, 0], slopes, rtol=1e-11)
    h = 1e-5
    differences = [
        (loop(Value(x + h), w, 4).data - loop(Value(x - h), w, 4).data) / (2 * h) for x in rows
    ]
    numpy.testing.assert_allclose(slopes, differences, rtol=1e-5, atol=1e-9)


# ---- What depends on the inputs ----------------------------------------------------------------


def test_what_was_made_in_another_thread_counts() -> None:
    from concurrent.futures import ThreadPoolExecutor

    def f(x: Any) -> Any:
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(lambda k: x * x * k, [1.0, 2.0, 3.0]))

    assert grad(f)(2.0) == 24.0
    assert grad(grad(f))(2.0) == 12.0


def test_a_node_of_ones_own_counts() -> None:
    def f(x: Any) -> Any:
        return custom(x * x * x, (x,), lambda x: 3 * x * x) * x

    assert grad(f)(2.0) == 32.0
    assert grad(grad(f))(2.0) == 48.0


def test_what_was_computed_before_is_a_constant() -> None:
    w = Value(3.0)
    before = w * w

    def f(x: Any) -> Any:
        return before * x + before.data

    assert grad(f)(2.0) == 9.0
    assert grad(lambda x: before)(2.0) == 0.0
    slope = grad(f)(Value(2.0))
    slope.backward()
    assert w.grad == 6.0


def test_only_what_depends_on_the_inputs_is_differentiated(monkeypatch: pytest.MonkeyPatch) -> None:
    w = Value(2.0)
    long = w
    for _ in range(100):
        long = long * 1.01
    asked: list[Value] = []
    right = Rule.operands

    def operands(rule: Rule, node: Value) -> tuple[Any, ...]:
        asked.append(node)
        return right(rule, node)

    monkeypatch.setattr(Rule, "operands", operands)
    grad(lambda x: x * long)(Value(1.0))
    assert len(asked) < 10


# ---- No path of its own ------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", OPERATORS)
def test_no_slope_of_the_table_asks_for_a_path(name: str, order: int) -> None:
    w = Value(0.4)
    f: Any = getattr(functions, name) if name != "where" else lambda x: x
    if len(OPERATORS[name].slopes) == 1:
        kinds: list[Any] = [f]
    else:
        kinds = [lambda x, k=k: f(x, k) for k in (2.0, 3, 0.5, 1.0, 0.0, -1.0, w)]
        kinds += [lambda x: f(2.0, x), lambda x: f(w, x), lambda x: f(x, x)]
    for kind in kinds:
        for _ in range(order):
            kind = grad(kind)
        assert not trace(lambda x, kind=kind: x + kind(x), [0.3]).guards


def test_a_square_has_one_path_at_zero_too() -> None:
    c = compile(lambda x, y: grad(lambda x: (x * y) ** 2 + x**3)(x))
    numpy.testing.assert_allclose(c([0.0, -2.0, 1.0], [1.0, 0.0, 3.0]), [0.0, 12.0, 21.0])
    assert len(c.programs) == 1
    assert c.describe().startswith("rows x [mul")
