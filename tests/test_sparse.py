"""Jacobians of which most is zero: in few passes, and the same numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy
import pytest

from microgradlike import Value, compile, functions, loop
from microgradlike.replay import derived
from microgradlike.replay.sparse import Passes, passes

DRAW = numpy.random.default_rng(7)


def by_hand(f: Callable[..., Any], row: Any) -> Any:
    """The Jacobian of one row by the eager engine, output after output."""
    found = []
    for place in range(len(f(list(map(Value, row))))):
        inputs = list(map(Value, row))
        out = f(inputs)[place]
        if isinstance(out, Value):
            out.backward()
        found.append([x.grad for x in inputs])
    return numpy.array(found)


def scattered(seed: int, inputs: int, outputs: int) -> Callable[[Any], list[Any]]:
    """Each output of some inputs, by operations drawn at random."""
    draw = random.Random(seed)
    plan = [
        [(draw.randrange(inputs), draw.choice(("sin", "exp", "tanh", "abs"))) for _ in range(3)]
        for _ in range(outputs)
    ]

    def f(x: Any) -> list[Any]:
        found = []
        for (a, one), (b, other), (c, _) in plan:
            found.append(getattr(functions, one)(x[a]) * getattr(functions, other)(x[b]) + x[c])
        return found

    return f


def taken(f: Callable[..., Any], x: Any) -> tuple[Any, Passes]:
    c = compile(f)
    found = c.jacobian(x)
    assert c._sparse is not None
    return found, c._sparse[1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(3, 50, 60), (40, 30, 12), (40, 6, 9)])
def test_the_numbers_of_the_engine(seed: int, rows: int, inputs: int, outputs: int) -> None:
    f, x = scattered(seed, inputs, outputs), DRAW.normal(size=(rows, inputs))
    found, of = taken(f, x)
    assert of.back < outputs or inputs < 10
    for mine, row in zip(found, x.tolist(), strict=True):
        assert mine == pytest.approx(by_hand(f, row), rel=1e-13, abs=1e-15)


def test_outputs_that_share_no_input_take_one_pass() -> None:
    found, of = taken(lambda x: [v * v for v in x], DRAW.normal(size=(5, 7)))
    assert (of.back, of.forward) == (1, 1)
    assert (found[:, ~numpy.eye(7, dtype=bool)] == 0).all()


def test_one_input_in_all_outputs_takes_passes_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> list[Any]:
        return [x[0] * x[k] * x[k] for k in range(1, 41)]

    monkeypatch.setattr(derived.Derivatives, "_by_passes", None)  # it is not needed
    for rows in (4, 200):
        x = DRAW.normal(size=(rows, 41))
        found, of = taken(f, x)
        assert (of.back, of.forward) == (40, 2)
        assert found[1] == pytest.approx(by_hand(f, x[1].tolist()), rel=1e-14)


def test_the_hessian_of_a_sum_of_terms_is_a_band() -> None:
    c = compile(lambda x: sum((a - b * b) ** 2 for a, b in zip(x[1:], x[:-1], strict=True)))
    found = c.hessian(DRAW.normal(size=(40, 30)))
    assert c._derived["hessian"]._sparse is not None
    assert c._derived["hessian"]._sparse[1].back == 3
    assert (numpy.abs(numpy.subtract.outer(range(30), range(30))) <= 1)[found[3] != 0].all()


def test_a_row_that_depends_on_more_is_met_later() -> None:
    def f(x: Any) -> list[Any]:
        if x[0] > 0:
            return [x[0] * x[1], x[2] * 3, x[1] + 0 * x[0], x[2] ** 2]
        return [x[0] * x[2], x[2] * x[1], x[0] / x[1], x[1] * x[2]]

    x = DRAW.normal(size=(9, 3))
    x[:, 0] = abs(x[:, 0])
    c = compile(f)
    for sign in (1, -1):  # the second time in the same call
        both = numpy.concatenate([x, x * [sign, 1, 1]])
        for mine, row in zip(c.jacobian(both), both.tolist(), strict=True):
            assert mine == pytest.approx(by_hand(f, row), rel=1e-14)


def test_an_infinite_slope_stays_with_its_own_output() -> None:
    def f(x: Any) -> list[Any]:
        return [functions.sqrt(x[0]), x[0] * x[1], functions.log(x[2]), x[3] * x[2]]

    x = numpy.array([[0.0, 1.0, 2.0, 3.0], [4.0, 1.0, 0.0, 3.0], [4.0, 2.0, 1.0, 0.5]])
    found, of = taken(f, x)
    assert of.back == 2
    with numpy.errstate(all="ignore"):
        assert found[0].tolist() == [
            [math.inf, 0, 0, 0],
            [1, 0, 0, 0],
            [0, 0, 0.5, 0],
            [0, 0, 3, 2],
        ]
        assert found[1].tolist() == [
            [0.25, 0, 0, 0],
            [1, 4, 0, 0],
            [0, 0, math.inf, 0],
            [0, 0, 3, 0],
        ]


def test_behind_a_loop_all_may_depend_on_all() -> None:
    def f(x: Any) -> Any:
        return loop(lambda s, _: [s[0] * x[0], s[1] + x[1]], [x[0], x[1]], range(9))

    _, of = taken(f, DRAW.normal(size=(20, 2)))
    assert of.depends.all()


@pytest.mark.parametrize("seed", range(20))
def test_no_two_of_a_pass_meet(seed: int) -> None:
    draw = numpy.random.default_rng(seed)
    depends = draw.random((draw.integers(1, 30), draw.integers(1, 30))) < draw.random()
    found = passes(depends)
    for of, rows in ((found.of_output, depends), (found.of_input, depends.T)):
        for group in range(of.max(initial=-1) + 1):
            assert (rows[of == group].sum(axis=0) <= 1).all()
    assert found.back <= len(depends) and found.forward <= depends.shape[1]


@pytest.mark.parametrize("rows", [1, 2, 3, 16, 17, 40])
@pytest.mark.parametrize("first", [False, True])
def test_a_branch_that_is_met_in_this_call(rows: int, first: bool) -> None:
    def f(x: Any) -> list[Any]:
        return [x[i] * x[1] if x[0] > 0 else x[i] * x[2] for i in range(33)]

    def by_neighbours(x: Any) -> list[Any]:
        return [x[i] * x[i + 1] if x[i] > 0 else x[i] * x[0] for i in range(33)]

    for g in (f, by_neighbours):
        x = DRAW.normal(size=(rows, 34))
        c = compile(g)
        if first:
            c.jacobian(abs(x))
        for mine, row in zip(c.jacobian(x), x.tolist(), strict=True):
            assert mine == pytest.approx(by_hand(g, row), rel=1e-13)


@pytest.mark.parametrize("rows", [1, 2, 16])
def test_second_derivatives_behind_a_branch_that_is_met_in_this_call(rows: int) -> None:
    def f(x: Any) -> list[Any]:
        return [x[0] ** 2 * x[1] if x[0] > 0 else x[0] ** 2 * x[2]] * 11

    x = DRAW.normal(size=(rows, 3))
    x[-1, 0] = -1.0
    c = compile(f)
    c(x)
    for mine, (a, b, d) in zip(c.hessian(x), x.tolist(), strict=True):
        k = 1 if a > 0 else 2
        expected = numpy.zeros((3, 3))
        expected[0, 0], expected[0, k], expected[k, 0] = 2 * (b if a > 0 else d), 2 * a, 2 * a
        assert mine == pytest.approx(numpy.array([expected] * 11), rel=1e-13)
