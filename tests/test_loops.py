"""Loops: in plain Python, and compiled, where one round is traced once."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from microgradlike import (
    TracingError,
    Value,
    compile,
    grad,
    log,
    loop,
    sin,
    take,
    tanh,
    where,
    while_loop,
)  # fmt: skip
from microgradlike.executors.machine import fused
from microgradlike.executors.machine.executor import NumbaExecutor
from tests import random_loops
from viz import save_stages

w, b = Value(0.5), Value(0.1)
W = [[Value(0.1 * i - 0.2 * j + 0.05) for i in range(4)] for j in range(4)]
T = [Value(0.3), Value(-0.2), Value(0.9)]
PARAMETERS = [w, b, *(v for row in W for v in row), *T]
ROWS = 7


def recurrence(x: Value, y: Value) -> Any:
    return loop(lambda s, r: tanh(w * s + r * y + b), x, [x * 1.0, 2.0 * x] * 5)


def layers(x: Value, y: Value) -> Any:
    """Weights of the caller, and biases that are added up once."""

    def step(h: list[Value], r: Value) -> list[Value]:
        return [tanh(sum(W[i][j] * h[j] for j in range(4)) + r * W[0][i] + b + w) for i in range(4)]

    h = loop(step, [0.0] * 4, [x, y, x * y] * 4)
    return sum(v * v for v in h)


def on_one_side(x: Value, y: Value) -> Any:
    return where(x > 0, loop(lambda s, k: s + tanh(x) * k * w, y, [1.0 * k for k in range(20)]), y)


def not_a_number_on_the_side_not_taken(x: Value, y: Value) -> Any:
    r = loop(lambda s, k: log(s * x + w * k), 3.0 + y * y, [1.0 * k + 9 for k in range(9)])
    return where(x > 0, r, y * 2 * w)


def within_a_loop(x: Value, y: Value) -> Any:
    def step(s: Value, r: Value) -> Value:
        inner: Value = loop(lambda q, t: q * tanh(w * r) + s * 0.1, r, [x, y] * 5)
        return s + inner

    return loop(step, 0.3 * x, [y, x, 1.0] * 3)


def of_parameters(x: Value, y: Value) -> Any:
    c = loop(lambda s, k: s * w + b, 1.0, [1.0] * 10)
    return c * x + y * c * c


def of_tuples(x: Value, y: Value) -> Any:
    first, _, last = loop(lambda s, k: (s[1] + x, s[0] * w, k), (x, y, 0.0), list(range(11)))
    return first + 0 * last


def with_a_choice(x: Value, y: Value) -> Any:
    return loop(lambda s, k: where(s > y, s - w * x, s + w * y).detach() + s * 0.5, x, 12)


def with_a_branch(x: Value, y: Value) -> Any:
    """What decides is traced round by round."""

    def step(s: Value, _: int) -> Value:
        if s > 0.5:
            return s - x * w
        return s + y * w

    return loop(step, x, 12)


def by_the_number_of_the_round(x: Value, y: Value) -> Any:
    return loop(lambda s, k: s * x if k % 2 == 0 else s + y * w, x, 10)


def with_a_gradient_within(x: Value, y: Value) -> Any:
    return loop(lambda s, k: s + grad(lambda q: q * q * w * x)(s) * 0.1, y, 10)


def under_a_gradient(x: Value, y: Value) -> Any:
    return grad(lambda q: loop(lambda s, k: s * q * w + x, y, 10))(x)


def newton(x: Value, y: Value) -> Any:
    a = x * x + y * y + w
    return while_loop(lambda v: abs(v * v - a) > 1e-9, lambda v: (v + a / v) / 2, a)


def until_it_is_large(x: Value, y: Value) -> Any:
    """As often as never, and as often as 40 times."""

    def step(s: tuple[Value, Value]) -> tuple[Value, Value]:
        return s[0] + abs(x) + 0.04, s[1] * y + loop(lambda q, k: q * w, s[1], 9)

    return while_loop(lambda s: s[0] < 1 + x, step, (x * 0, y))[1]


FUNCTIONS = [
    *(recurrence, layers, on_one_side, not_a_number_on_the_side_not_taken, within_a_loop),
    *(of_parameters, of_tuples, with_a_choice, with_a_branch, by_the_number_of_the_round),
    *(with_a_gradient_within, under_a_gradient, newton, until_it_is_large),
]


def by_engine(f: Callable[..., Any], row: list[Any]) -> tuple[float, list[float]]:
    """The value of a row and its slopes; those by parameters are added up there."""
    given = [v if isinstance(v, int) else Value(v) for v in row]
    out = f(*given)
    if isinstance(out, Value):
        out.backward()
    return float(out), [v.grad if isinstance(v, Value) else 0.0 for v in given]


def near(ours: Any, theirs: Any) -> None:
    numpy.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


def compare(f: Callable[..., Any], rows: list[list[Any]], on: str) -> None:
    columns = list(map(numpy.array, zip(*rows, strict=True)))
    for parameter in PARAMETERS:
        parameter.grad = 0.0
    values, slopes = zip(*(by_engine(f, row) for row in rows), strict=True)
    c = compile(f, on=on)
    near(c(*columns), values)
    near(c.jacobian(*columns)[:, 0], slopes)
    gradient = c.value_and_grad(c.theta(), *columns, reduce="sum")[1]
    near(gradient, [v.grad for v in c.parameters])


@pytest.mark.parametrize("on", ["floats", "numpy", "machine"])
@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_a_loop_is_its_rounds(f: Callable[..., Any], on: str) -> None:
    draw = random.Random(1)
    compare(f, [[draw.uniform(-1, 1.5) for _ in range(2)] for _ in range(ROWS)], on)


@pytest.mark.parametrize(
    "f",
    [recurrence, layers, not_a_number_on_the_side_not_taken, with_a_choice, newton, of_tuples],
    ids=lambda f: f.__name__,
)
def test_of_few_rows_a_loop_is_one_kernel(
    f: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, written = fused.sources, []

    def sources(*given: Any) -> Any:
        written.append(made(*given))
        return written[-1]

    monkeypatch.setattr(fused, "ROUNDS", 1)
    monkeypatch.setattr(fused, "sources", sources)
    draw = random.Random(2)
    compare(f, [[draw.uniform(-1, 1.5) for _ in range(2)] for _ in range(3)], "machine")
    assert written and all(written)


@pytest.mark.parametrize("on", ["floats", "numpy", "machine"])
def test_each_row_has_its_own_number_of_rounds(on: str) -> None:
    def power(x: Value, n: int) -> Any:
        return loop(lambda p, k: p * x + w * k, 1.0, n)

    compare(power, [[0.7, n] for n in (0, 1, 2, 3, 30, 500, 0)], on)


@pytest.mark.parametrize("on", ["floats", "numpy", "machine"])
def test_a_round_takes_from_a_table_by_the_integer_of_its_row(on: str) -> None:
    def words(i: int, j: int, x: Value) -> Any:
        return loop(lambda s, t: tanh(s * x + take(T, t)), 0.0, [i, j, i, j, j, i, i, j, 0, 2])

    draw = random.Random(1)
    rows = [[draw.randrange(3), draw.randrange(3), draw.uniform(-1, 1)] for _ in range(ROWS)]
    compare(words, rows, on)
    with pytest.raises(IndexError, match=r"row 1"):
        compile(words, on=on)([0, 3], [0, 1], [0.5, 0.5])


def test_the_program_does_not_grow_with_the_rounds() -> None:
    def sums(rounds: int) -> int:
        c = compile(lambda x: loop(lambda s, k: tanh(s * x) + w, x, rounds)).trace([0.5])
        return int(c.programs[0].size)

    assert sums(10) == sums(1000)


def test_a_loop_that_goes_on_for_longer_than_before_gets_room() -> None:
    c = compile(lambda x, n: loop(lambda s, k: s * x, 1.0, n))
    for n in (3, 5000, 10):
        slopes = c.jacobian([0.9999], [n])[0, 0]
        assert slopes[0] == pytest.approx(n * 0.9999 ** (n - 1), rel=1e-12)


def test_second_derivatives_go_through_the_rounds() -> None:
    c = compile(lambda x: loop(lambda s, k: s * x, 1.0, 10))
    assert c.hessian([1.1])[0, 0, 0] == pytest.approx(90 * 1.1**8)
    assert c.hvp([1.1], v=[[2.0]])[0, 0] == pytest.approx(180 * 1.1**8)


def counted(x: Any, y: Any, k: Any) -> Any:
    return loop(lambda s, i: s * 0.9 + x * x * sin(s), y, k) * y


def until(x: Any, y: Any, k: Any) -> Any:
    first, second = while_loop(
        lambda s: s[0] * s[0] < 9, lambda s: (s[0] * 1.5 + x * 0.1, s[1] + sin(s[0] * y)), (x, y)
    )
    return first * second


def with_rows(x: Any, y: Any, k: Any) -> Any:
    rows = [(x, y), (y, x), (1.0, y), (x * y, 2.0)] * 3
    return loop(lambda s, r: s * r[0] + sin(r[1]) * y, x, rows)


def loops_in_a_loop(x: Any, y: Any, k: Any) -> Any:
    return loop(lambda s, i: loop(lambda t, j: t * 0.5 + s * y, s * x, k), x, 9) * y


def squares_of_slopes(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, y, k: sum(v * v for v in grad(lambda a, b: f(a, b, k))(x, y))


@pytest.mark.parametrize(
    "f, on",
    [
        *((f, on) for f in (counted, until, with_rows) for on in ("floats", "numpy", "machine")),
        *((loops_in_a_loop, on) for on in ("numpy", "machine")),
    ],
)
def test_the_derivative_of_a_loop_is_a_loop(f: Callable[..., Any], on: str) -> None:
    """Gradients within the function, and Hessians; rows have different numbers of rounds."""
    x, y = [0.7, 0.3, 1.1, 0.5], [0.2, -1.0, 0.4, 1.5]
    counts = numpy.array([11, 0, 3, 9])
    for g in (f, squares_of_slopes(f)):
        c = compile(g, on=on)
        outputs, slopes, curves = (of(x, y, counts) for of in (c, c.jacobian, c.hessian))
        products = c.hvp(x, y, counts, v=[[1.0, 1.0, 0.0]] * 4)
        for row, (a, b, k) in enumerate(zip(x, y, counts.tolist(), strict=True)):

            def here(a: Any, b: Any, k: int = k, g: Callable[..., Any] = g) -> Any:
                return g(a, b, k)

            assert outputs[row] == pytest.approx(float(here(a, b)), rel=1e-12)
            first = [float(s) for s in grad(here)(a, b)]
            assert slopes[row].ravel()[:2] == pytest.approx(first, rel=1e-12, abs=1e-12)
            second = [
                [float(s) for s in grad(lambda a, b, n=n: grad(here)(a, b)[n])(a, b)]
                for n in range(2)
            ]
            for n in range(2):
                assert curves[row, n, :2] == pytest.approx(second[n], rel=1e-11, abs=1e-11)
            assert products[row, :2] == pytest.approx(numpy.sum(second, 0), rel=1e-11, abs=1e-11)
        assert len(c._paths) == 1
        assert "rounds" in c.describe()


def ends_by_a_column(x: Any, y: Any, k: Any) -> Any:
    """The column, and a parameter, are in the condition alone."""
    return while_loop(lambda s: s < y * y + T[2], lambda s: s * 1.5 + x * x + b, x * x + 0.1)


def counts_by_a_round(x: Any, y: Any, k: Any) -> Any:
    """How many rounds there are within a round is told by its number."""
    return loop(lambda s, i: loop(lambda t, _: t * w + x, s, i) * 0.5, y, k)


@pytest.mark.parametrize("f", [counted, ends_by_a_column, counts_by_a_round])
def test_what_is_asked_about_a_few_rows_is_not_that_of_other_ones(f: Callable[..., Any]) -> None:
    """What has no slope had one: that of other numbers, which were there before."""
    draw = numpy.random.default_rng(0)
    compiled, numpys = (compile(f, on=on, parameters=PARAMETERS) for on in ("machine", "numpy"))
    for rows in (4, 3, 2, 1, 4, 5, 3, 1, 2, 4, 2):
        columns = *draw.uniform(0.2, 1.5, (2, rows)), draw.integers(0, 6, rows)
        pairs = [
            (
                *(of(*columns) for of in (c.jacobian, c.hessian, c.gradients)),
                c.value_and_grad(c.theta(), *columns)[1],
            )
            for c in (compiled, numpys)
        ]
        for ours, theirs in zip(*pairs, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-10, abs=1e-12)


def test_what_is_decided_before_rounds_are_traced_apart_is_decided_again() -> None:
    """It was numbered like other conditions: the function seemed to do something else."""
    assert list(random_loops.differences(1000463)) == []


def test_through_a_loop_by_many_values_its_rounds_are_traced_apart() -> None:
    def f(*x: Any) -> Any:
        return sum(grad(lambda *x: loop(lambda s, r: s * r, 1.0, list(x)))(*x))

    x = [1.0 + 0.1 * k for k in range(20)]
    c = compile(f)
    assert c(*([v] for v in x)) == pytest.approx(float(f(*x)))
    assert "rounds" not in c.describe()


def test_rows_that_are_not_safe_run_as_they_were_written() -> None:
    """The sum of huge numbers is infinite in one order, and not in another."""

    def f(x: Value) -> Any:
        return loop(lambda s, k: x * 1e300 + s * 1e-3 + w * x - x * 1e300, x, 10)

    rows = [[1.0], [1e8], [1e9]]
    with numpy.errstate(all="ignore"):
        compare(f, rows, "machine")
        compare(f, rows, "numpy")


FIRST, SECOND = Value(0.2), Value(0.3)


def near_a_tie_in_a_round(x: Value, y: Value) -> Any:
    """x + 0.2 + 0.3 is more than 0.6 in the order in which it is written, and not in another."""

    def step(s: tuple[Value, Value], r: float) -> tuple[Value, Value]:
        return s[0], where(s[0] + FIRST + SECOND > r, s[1] + 1.0, s[1] * 0.5 + x)

    return loop(step, (x, y), [0.6] * 10)[1]


def near_a_tie_of_the_condition(x: Value, y: Value) -> Any:
    def going(s: tuple[Value, Value]) -> Any:
        return (s[0] + FIRST + SECOND > 0.6) & (s[1] < 5)

    return while_loop(going, lambda s: (s[0], s[1] + 1), (x, y))[1]


def near_a_tie_after_the_rounds(x: Value, y: Value) -> Any:
    return where(loop(lambda s, r: s + FIRST + SECOND, x, 10) > 5.1, x * y, y)


def near_a_tie_within_a_loop(x: Value, y: Value) -> Any:
    return loop(lambda q, t: q + near_a_tie_in_a_round(x, q) * 0.5, y, 8)


@pytest.mark.parametrize("on", ["floats", "numpy", "machine"])
@pytest.mark.parametrize(
    "f",
    [
        *(near_a_tie_in_a_round, near_a_tie_of_the_condition),
        *(near_a_tie_after_the_rounds, near_a_tie_within_a_loop),
    ],
    ids=lambda f: f.__name__,
)
def test_a_comparison_of_sums_is_made_in_the_order_of_the_engine(
    f: Callable[..., Any], on: str
) -> None:
    compare(f, [[0.1, 0.2], [0.2, 0.1], [0.1, 0.5], [-0.3, 0.3]], on)


@pytest.mark.parametrize("on", ["numpy", "machine"])
def test_a_condition_is_met_that_fewer_digits_would_never_meet(on: str) -> None:
    c = compile(newton, on=on, dtype="float32")
    near(c([3.0, 0.3], [2.0, 0.7]), [13.5**0.5, 1.08**0.5])


def test_counting_rounds_is_no_tie() -> None:
    """Else all rows would run as they were written."""
    c = compile(lambda x, n: loop(lambda s, k: where(k < 3, s * x, s + w), 1.0, n))
    c([0.5, 0.7], [3, 10])
    assert [path.ties for path in c._paths] == [None]


def of_a_branch(x: Value, y: Value) -> Any:
    k = 3.0 if x > 0 else 2.0
    return loop(lambda s, r: s * 0.1 * k + y, x, 10)


def on_one_side_of_a_branch(x: Value, y: Value) -> Any:
    """Rows on the other side would go on for ever."""
    if x > 0.1:
        return while_loop(lambda s: s > 0, lambda s: s - x, y) * w
    return x * y


def of_a_table_and_infinite(x: Value, y: Value) -> Any:
    """Rows run as they were written, without tables."""
    i = while_loop(lambda k: k < y, lambda k: k + 1.0, 0.0)
    return loop(lambda s, k: x * 1e300 + s * 1e-3 + take(T, k) - x * 1e300, x + i, [0, 1, 2] * 4)


def of_what_nobody_reads(x: Value, y: Value) -> Any:
    def step(s: Value, r: Value) -> Value:
        tanh(r * x)
        return s * w

    return loop(step, x, [x, y] * 5)


@pytest.mark.parametrize("on", ["floats", "numpy", "machine"])
@pytest.mark.parametrize(
    "f",
    [of_a_branch, on_one_side_of_a_branch, of_a_table_and_infinite, of_what_nobody_reads],
    ids=lambda f: f.__name__,
)
def test_loops_go_with_branches_and_tables(f: Callable[..., Any], on: str) -> None:
    rows = [[0.5, 0.7], [-0.5, 0.6], [0.25, 2.0], [1.5, 0.3], [-1.0, 1.0], *[[0.3, -0.1]] * 4]
    with numpy.errstate(all="ignore"):
        compare(f, [*rows, [1e9, 2.0]] if f is of_a_table_and_infinite else rows, on)


@pytest.mark.parametrize("on", ["floats", "numpy", "machine"])
def test_gradients_of_each_row_go_through_the_rounds(on: str) -> None:
    c = compile(of_what_nobody_reads, on=on)
    near(c.gradients([0.5, 2.0], [1.0, 1.0]), [[0.5 * 10 * 0.5**9], [2.0 * 10 * 0.5**9]])


def test_a_value_of_a_round_that_is_over_is_refused() -> None:
    kept = []

    def step(s: Value, r: Value) -> Value:
        kept.append(s * r)
        return s + r

    def f(x: Value) -> Any:
        return loop(step, x, [x] * 10) + kept[-1]

    with pytest.raises(TracingError, match="kept"):
        compile(f)([0.5])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: loop(3, 0.0, 3), "step of loop(step, state, rows) is a function"),
        (lambda: loop(lambda s, k: s, 0.0, "ab"), "loop(step, state, rows) takes a list of rows"),
        (lambda: loop(lambda s, k: s, 0.0, 2.5), "loop(step, state, rows) takes a list of rows"),
        (lambda: loop(lambda s, k: s, 0.0, Value(2.5)), "takes a whole number of rounds"),
        (lambda: while_loop(0, lambda s: s, 0.0), "condition of while_loop("),
    ],
)  # fmt: skip
def test_bad_input_gets_a_sentence(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(TypeError, match=re.escape(sentence)):
        make()


def test_a_count_that_may_be_a_fraction_is_refused() -> None:
    with pytest.raises(TracingError, match="counts by a column of integers"):
        compile(lambda x, n: loop(lambda s, k: s * x, 1.0, n))([0.5], [2.5])


def test_in_plain_python_a_loop_is_a_loop() -> None:
    seen: list[object] = []

    def step(state: float, row: object) -> float:
        seen.append(row)
        return state + 1.0

    assert loop(step, 0.0, 3) == 3.0 and seen == [0, 1, 2]
    assert loop(step, 0.0, ["a"]) == 1.0 and seen[-1] == "a"
    assert loop(step, 5.0, []) == 5.0
    assert while_loop(lambda s: s < 3, lambda s: s + 1, 0) == 3
    assert loop(step, 0.0, Value(2.0)) == 2.0


@pytest.mark.parametrize("seed", range(6))
def test_random_programs_agree(seed: int) -> None:
    with numpy.errstate(all="ignore"):
        assert list(random_loops.differences(seed, on=["numpy"])) == []


def test_the_stages_of_a_loop_are_drawn(tmp_path: Path) -> None:
    """The passes go through its round as well, which is not what is drawn."""
    c = compile(within_a_loop, on="numpy").trace([0.5], [0.7])
    assert "9 rounds of" in save_stages(c, tmp_path / "loop.html").read_text(encoding="utf-8")


def test_a_loop_within_a_loop_keeps_fewer_states() -> None:
    """The square root of the rounds, for each of both loops."""

    def by_one(x: Any, n: Any) -> Any:
        return loop(lambda s, _: tanh(s * w + 0.1 * x), x, n)

    def by_two(x: Any, n: Any) -> Any:
        return loop(lambda s, _: by_one_more(s, x, n), x, n)

    def by_one_more(s: Any, x: Any, n: Any) -> Any:
        return loop(lambda t, _: tanh(t * w + 0.1 * x), s, n)

    found = []
    kept = []
    for f, rounds in ((by_one, 900), (by_two, 30)):
        c = compile(f, on="machine", check=False)
        x, n = [0.5, -0.25], numpy.array([rounds, rounds])
        found.append(c.value_and_grad(numpy.array([1.05]), x, n, reduce="sum"))
        executor = c._paths[0].replay.executor
        assert isinstance(executor, NumbaExecutor)
        machines = executor._machines.values()
        kept.append(max(sum(k.kept for k in every(m.loops)) for m in machines))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-9)
    assert kept[0] >= 900 and kept[1] < 900 / 4


def every(loops: Any) -> Any:
    """What is known of loops, and of the loops within them."""
    for known in loops:
        yield known
        yield from every(known.inner.loops)
