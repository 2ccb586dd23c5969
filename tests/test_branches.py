"""Plain branches that meet again: one program for all rows, and the numbers of the engine."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy
import pytest

from microgradlike import TracingError, Value, compile, exp, log, nn, sin, sqrt, take, where
from microgradlike.compiler.instructions import Elementwise
from microgradlike.executors.machine.executor import NumbaExecutor
from microgradlike.replay import branches
from tests import random_branches
from tests.executors import all_singles, together

Rows = Any


def drawn(rows: int, inputs: int, seed: int = 0) -> Rows:
    return numpy.random.default_rng(seed).uniform(-2, 2, (rows, inputs))


def agrees(f: Callable[..., Any], X: Rows, again: Rows) -> Any:
    """The function, compiled, after it has agreed with the engine on some rows and on others."""
    c = compile(f)
    for rows in (X, again):
        values, slopes = [], []
        for row in rows.tolist():
            given = list(map(Value, row))
            out = f(*given)
            out = out if isinstance(out, Value) else Value(out)
            out.backward()
            values.append(out.data)
            slopes.append([v.grad for v in given])
        assert c(*rows.T) == pytest.approx(values, rel=1e-10, abs=1e-10)
        assert c.jacobian(*rows.T)[:, 0] == pytest.approx(numpy.array(slopes), rel=1e-9, abs=1e-10)
    return c


def independent(*v: Any) -> Any:
    total = 0.0
    for x in v:
        if x > 0:
            total = total + x * x
    return total


def either(*v: Any) -> Any:
    total = v[0] * 0
    for x in v:
        total = total + x * x if x > 0 else total - 3 * x
    return total


def largest(a: Any, b: Any, c: Any, d: Any) -> Any:
    return max(a, b, c, d) * min(a, c) + max(a * b, c)


def questions(a: Any, b: Any, c: Any) -> Any:
    if a > 0:
        if b > 0:
            return 1.5 if c > 0.5 else a * b
        return b * c
    elif b > 1:
        return 0.0
    elif c > 0:
        return a + b + c
    return a - b - c


def bounces(h: Any, v: Any) -> Any:
    for _ in range(30):
        v = v - 0.1
        h = h + 0.1 * v
        if h < 0:
            h, v = -h, -0.8 * v
    return h + v


def pivots(*v: Any) -> Any:
    """Three equations, the largest of a column first."""
    A = [list(v[4 * i : 4 * i + 4]) for i in range(3)]
    for k in range(3):
        p = k
        for j in range(k + 1, 3):
            if abs(A[j][k]) > abs(A[p][k]):
                p = j
        A[k], A[p] = A[p], A[k]
        for j in range(k + 1, 3):
            m = A[j][k] / A[k][k]
            A[j] = [x - m * y for x, y in zip(A[j], A[k], strict=True)]
    return A[0][0] * A[1][1] * A[2][2] + A[2][3]


def skips(*v: Any) -> Any:
    total = 1.0
    for x in v:
        if x < -1:
            continue
        if total > 6:
            break
        total = total * (1 + 0.5 * x)
    return total * v[0]


def halves(x: Any) -> Any:
    found = x * x + 1
    while found > 0.3:
        found = found / 2 - 0.01 * x
    return found


def roots(x: Any, y: Any) -> Any:
    """Each side is infinite, or NaN, where it is not taken."""
    found = sqrt(x) if x > 0 else 1 / (x - 1e-300)
    if y > 0:
        found = found + y.log()
    return found


@pytest.mark.parametrize(
    "f, inputs",
    [(independent, 6), (either, 8), (largest, 4), (questions, 3), (bounces, 2), (pivots, 12)],
)
def test_branches_that_meet_are_one_program(f: Callable[..., Any], inputs: int) -> None:
    c = agrees(f, drawn(300, inputs), drawn(100, inputs, seed=1))
    assert "path" not in c.describe()


@pytest.mark.parametrize("f, inputs", [(skips, 5), (halves, 1), (roots, 2)])
def test_loops_that_end_early_and_sides_that_are_not_finite(
    f: Callable[..., Any], inputs: int
) -> None:
    agrees(f, drawn(300, inputs), drawn(100, inputs, seed=1))


def test_a_plain_number_that_counts_is_never_guessed() -> None:
    """Each count is a function of its own; how often it is reached has nothing to do with that."""

    def f(*v: Any) -> Any:
        count = 0
        for x in v:
            if x > 0:
                count += 1
        return v[0] * 100 if count >= 9 else v[0]  # a decision that no Value makes

    X = drawn(60, 10)
    many = numpy.abs(drawn(40, 10, seed=1))
    many[:20, 3] *= -1
    try:
        agrees(f, X, many)
    except TracingError as error:  # too many ways are told, not guessed
        assert "ways" in str(error)


def test_rows_that_raise_raise_and_the_others_do_not_mind() -> None:
    def f(x: Any, y: Any) -> Any:
        if x < 0:
            raise ValueError("no negative numbers")
        return x * y if y > 0 else x - y

    c = compile(f)
    assert c([1.0, 2.0, 3.0], [1.0, -1.0, 2.0]).tolist() == [1.0, 3.0, 6.0]
    with pytest.raises(ValueError, match="no negative numbers"):
        c([1.0, -2.0], [1.0, 1.0])
    assert c([1.0, 2.0], [1.0, -1.0]).tolist() == [1.0, 3.0]


def test_a_side_may_take_from_a_table() -> None:
    table = nn.Embedding(4, 2, seed=0)

    def f(i: Any, x: Any) -> Any:
        if x > 0:
            a, b = table(i)
            return a * x + b
        return x * x

    c = compile(f)
    found = c(numpy.array([0, 3, 9, 1] * 2), numpy.array([1.0, 2.0, -1.0, 0.5] * 2))
    assert "path" not in c.describe()
    expected = [f(i, Value(x)).data for i, x in ((0, 1.0), (3, 2.0), (1, 0.5))]
    assert found[[0, 1, 3]] == pytest.approx(expected)
    assert found[2] == 1.0  # it takes nothing, so its index may be any


def test_parameters_of_a_side_get_gradients_from_its_rows_alone() -> None:
    v, w = Value(2.0), Value(3.0)
    c = compile(lambda x: v * x if x > 0 else w * x * x)
    c.sum([1.0, 2.0, -1.0, -3.0] * 2).backward()
    assert (v.grad, w.grad) == (6.0, 20.0)
    assert "path" not in c.describe()


def test_a_number_of_one_path_is_a_constant_without_gradient() -> None:
    c = compile(lambda x: x * 3 if x > 1 else 0.25)
    assert c([2.0, 0.0]).tolist() == [6.0, 0.25]
    assert c.jacobian([2.0, 0.0]).ravel().tolist() == [3.0, 0.0]
    with pytest.raises(TracingError, match=r"returned 0.25"):
        compile(lambda x: 0.25)([1.0])


def test_second_derivatives_go_through_branches() -> None:
    c = compile(lambda x: x**3 if x > 0 else x * x + x).trace(numpy.linspace(-2, 2, 9))
    assert "path" not in c.describe()
    assert c.hessian([2.0, -1.0, 3.0]).ravel().tolist() == [12.0, 2.0, 18.0]
    assert c.hvp([2.0, -1.0], v=[[1.0], [2.0]]).ravel().tolist() == [12.0, 4.0]


def test_nan_takes_the_side_that_it_takes_in_the_engine() -> None:
    c = compile(lambda x: x * 2 if x > 0 else (5.0 if x < 0 else x + 1))
    c.trace(numpy.linspace(-2, 2, 9))
    assert "path" not in c.describe()
    found = c([1.0, -1.0, 0.0, math.nan])
    assert found[:3].tolist() == [2.0, 5.0, 1.0]
    assert math.isnan(found[3])


def test_a_choice_of_entries() -> None:
    parts = [Value(1.0), Value(2.0), Value(4.0)]
    c = compile(lambda i, x: take(parts, i) * (x if x > 0 else -2 * x))
    assert c(numpy.array([0, 1, 2]), [1.0, -1.0, 2.0]).tolist() == [1.0, 4.0, 8.0]


LIMIT = Value(0.25)
CHOICES: dict[str, Callable[..., Any]] = {
    "the largest": lambda *v: max(v) * v[0],
    "the smallest of many": lambda *v: min([a * b + k % 3 for a in v for k, b in enumerate(v)] * 2),
    "by a key": lambda *v: max(v, key=lambda x: x * x),
    "pairs by a key": lambda *v: [*min(itertools.pairwise(v), key=lambda p: p[0] * p[1])],
    "of plain numbers, too": lambda *v: 2 * max(v[0], 0.0) + 0.1 * min(v[1], 1, v[2] * v[3]) + v[4],
    "clipped": lambda *v: 0.3 * min(max(v[0] + v[1], -0.5), 0.5) + 1.5 + 0 * v[4],
    "with a parameter": lambda *v: max(v[0], LIMIT) * 2 - min([LIMIT, v[1]]) + max(1, 2),
    "what is on a side": lambda *v: v[0] + (2 * max(v[1], 0.5) if v[2] > 0 else 0.0) * 3,
    "sorted": lambda *v: sorted(v),
    "sorted down": lambda *v: sorted(v, reverse=True),
    "sorted by a key": lambda *v: sorted(v, key=lambda x: x * x),
    "sorted by a key, down": lambda *v: sorted(v, key=lambda x: x * x, reverse=True),
    "sorted with a parameter and numbers": lambda *v: sorted([*v, LIMIT, 0.5, 1]),
    "pairs sorted by a key": lambda *v: [
        x for pair in sorted(itertools.pairwise(v), key=lambda p: p[0] * p[1]) for x in pair
    ],
    "a median": lambda *v: sorted(v[1:4])[1] * v[0],
}


@pytest.mark.parametrize("name", CHOICES)
def test_what_python_chooses_is_one_program(name: str) -> None:
    f, draw = CHOICES[name], numpy.random.default_rng(5)
    # Many numbers are equal, or are their negatives: they stay in their order.
    rows = numpy.concatenate([draw.integers(-2, 3, (60, 5)) / 2, draw.normal(size=(60, 5))])
    c = compile(f)
    values, jacobian = c(*rows.T).reshape(len(rows), -1), c.jacobian(*rows.T)
    for row, found, slopes in zip(rows.tolist(), values, jacobian, strict=True):
        given = list(map(Value, row))
        out = f(*given)
        outs = out if isinstance(out, list) else [out]
        assert found.tolist() == [float(out) for out in outs]
        for out, ours in zip(outs, slopes, strict=True):
            for v in given:
                v.grad = 0.0
            if isinstance(out, Value):
                out.backward()
            assert ours.tolist() == [v.grad for v in given]
    assert len(c.programs) == 1


@pytest.mark.parametrize("name", CHOICES)
def test_what_python_chooses_has_all_derivatives(name: str) -> None:
    f, draw = CHOICES[name], numpy.random.default_rng(6)
    c, rows = compile(f), draw.normal(size=(20, 5))
    if c(*rows.T).ndim == 1:
        few, many = c.hessian(*rows[:3].T), c.hessian(*rows.T)
        assert few == pytest.approx(many[:3], rel=1e-9, abs=1e-12)
        c.gradients(*rows.T)
    wide = compile(lambda *v: [out * k for out in _listed(f(*v)) for k in range(32)])
    one = c.jacobian(*rows.T).reshape(20, -1, 5)[0]
    found = wide.jacobian(*rows[:1].T)[0].reshape(-1, 32, 5)
    assert found == pytest.approx(numpy.arange(32)[:, None] * one[:, None], rel=1e-9, abs=1e-12)


def _listed(out: Any) -> list[Any]:
    return out if isinstance(out, list) else [out]


def test_what_chooses_is_pythons_where_it_must_be() -> None:
    c = compile(lambda *v: sorted(v)[1] + len(sorted("cab")) + sorted([3, 1, 2], reverse=True)[0])
    rows = numpy.array([[1.0, 2.0, 0.5], [math.nan, 1.0, 2.0], [2.0, math.nan, 1.0]])
    expected = [sorted(row)[1] + 6 for row in rows.tolist()]
    assert c(*rows.T) == pytest.approx(expected, nan_ok=True)
    c = compile(lambda *v: max(v) + min(v[::-1]) + max([3, 1]) + len(max(["a", "bc"], key=len)))
    expected = [max(row) + min(row[::-1]) + 5 for row in rows.tolist()]
    assert c(*rows.T) == pytest.approx(expected, nan_ok=True)
    many = numpy.random.default_rng(0).normal(size=(40, 50))
    many[7, [3, 30]] = math.nan
    c = compile(lambda v: max(v) - min(v))
    expected = [max(row) - min(row) for row in many.tolist()]
    assert c(many) == pytest.approx(expected, nan_ok=True)
    assert compile(lambda x: x + max([], default=2.0))([1.0]).tolist() == [3.0]
    with pytest.raises(ValueError, match="empty"):
        compile(lambda x: x + max([]))([1.0])
    nearest = compile(lambda *v: v[sorted(range(3), key=lambda k: abs(v[k] - 1))[0]] * 2)
    assert nearest([1.5, 0.0], [0.6, 3.0], [5.0, 1.2]).tolist() == [1.2, 2.4]
    with pytest.raises(ValueError, match="no"):
        compile(lambda x: sorted([x, x * 2], key=lambda v: int("no")))([1.0])
    assert {f.__module__ for f in (max, min, sorted)} == {"builtins"}
    assert not hasattr(max, "__wrapped__")


@pytest.mark.parametrize("first", range(0, 20, 5))
def test_random_programs_with_branches(first: int) -> None:
    for seed in range(first, first + 5):
        assert list(random_branches.differences(seed, rows=20)) == []


def test_a_way_that_no_trace_has_gone_is_compared_with_the_function() -> None:
    """What was learned from traces would be wrong for 2 of these 80 rows."""
    assert list(random_branches.differences(70029)) == []


def test_ways_are_compared_by_their_slopes_where_all_values_are_nan() -> None:
    """NaN decides in ways that no other row goes: the values were NaN, rightly, the slopes not."""
    for seed in (200138, 200299, 500016):
        assert list(random_branches.differences(seed)) == []


def test_a_row_decides_for_the_reasons_of_the_function() -> None:
    """Other rows that seem to decide alike would be wrong: here 1 of 80."""
    for seed in (604076, 612133):
        assert list(random_branches.differences(seed)) == []


def test_a_value_that_is_nan_for_the_function_alone_is_not_rounding() -> None:
    assert list(random_branches.differences(200054)) == []


def test_the_rows_of_a_path_that_was_taken_apart_are_new_to_other_paths() -> None:
    """They were taken for those of the call before."""
    assert list(random_branches.differences(500407)) == []


def test_traces_that_seem_to_need_what_comes_later_are_paths_of_their_own() -> None:
    """It was an IndexError."""
    assert list(random_branches.differences(300027)) == []


def test_what_is_made_of_constants_alone_is_no_row_as_it_was_written() -> None:
    """A row that runs as it was written has such a condition: it was an IndexError."""
    assert list(random_branches.differences(200380)) == []


def test_each_way_is_compared_once() -> None:
    asked: list[list[float]] = []

    def f(x: Any, y: Any) -> Any:
        if not isinstance(x, Value):
            asked.append([x, y])
        total = x * y
        if x > 0:
            total = total + y
        if y > 0:
            total = total * x
        return total

    draw = numpy.random.default_rng(0).normal(size=(2, 50))
    c = compile(f)
    c(*draw)
    ways = {(False, False), (False, True), (True, False), (True, True)}
    assert {(x > 0, y > 0) for x, y in asked} == ways
    c(*draw)
    count = len(asked)
    for _ in range(5):
        c(*draw)
    assert len(asked) == count


def test_columns_with_infinities_are_told_apart() -> None:
    """A new way was not looked for where other rows had the same infinity beside them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for one in ([math.inf, 1.0], [math.inf, -math.inf, 1.0], [math.nan, 1.0]):
            mark = branches._mark(numpy.array(one))
            assert mark == branches._mark(numpy.array(one))
            assert mark != branches._mark(numpy.array([*one[:-1], 2.0]))


# ---- A side that no row takes --------------------------------------------------------------------


def with_slow_sides(x: Any, y: Any) -> Any:
    """Sides that take long: in a row, within each other, and an operation that both sides need."""
    total = x * y + exp(y * 0.5)
    if x > 0:
        total = total + sin(x * y) * sin(total)
        if y > 0.5:
            total = total * log(y + total * total)
    elif y > 1:
        total = total - exp(total * 0.1) * y
    return where(y > 2, sin(total), total)


@pytest.mark.parametrize("on", ["floats", "numpy", "machine"])
@pytest.mark.parametrize("how", [lambda patch: None, all_singles, together])
def test_a_side_that_no_row_takes_is_left_out(
    on: str, how: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever rows take: none a side, one, or all; and the numbers are those of the engine."""
    how(monkeypatch)
    draw = numpy.random.default_rng(0)
    x, y = draw.normal(size=(2, 60))
    c = compile(with_slow_sides, on=on)
    c(x, y)
    for some in (x > 0, x < 0, (x < 0) & (y < 1), (x < 0) & (y > 1), x < 9):
        values, slopes = c(x[some], y[some]), c.jacobian(x[some], y[some])[:, 0]
        for k, row in enumerate(zip(x[some].tolist(), y[some].tolist(), strict=True)):
            a, b = map(Value, row)
            out = with_slow_sides(a, b)
            out.backward()
            assert values[k] == pytest.approx(out.data, rel=1e-12)
            assert slopes[k] == pytest.approx([a.grad, b.grad], rel=1e-11)
    assert len(c._paths) == 1


def test_what_is_left_out_is_not_computed() -> None:
    """In its place are ones, which are nobody's; before and after, too."""
    c = compile(lambda x, y: where(x > 0, sin(y * 3), x) + y)
    c([1.0, -1.0], [0.5, 0.25])
    executor = c._paths[0].replay.executor
    assert isinstance(executor, NumbaExecutor)
    (sine,) = (
        i.out for i in executor.program.rows.instructions
        if isinstance(i, Elementwise) and i.operation == "sin"
    )  # fmt: skip
    machine = executor._machine(0)
    for x, expected in (
        ([-1.0, -2.0], [1.0, 1.0]),
        ([-1.0, 2.0], numpy.sin([1.5, 0.75])),
        ([-3.0, -1.0], [1.0, 1.0]),
    ):
        assert c(x, [0.5, 0.25]).shape == (2,)
        lanes = 2
        assert machine.values[sine * lanes : (sine + 1) * lanes] == pytest.approx(expected)
