"""Operations that are put together give the same numbers as one by one, to the last digit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

from microgradlike import Value, compile, functions, take, where, while_loop
from microgradlike.compiler.instructions import INPUTS, Layer
from microgradlike.compiler.plan import plan
from microgradlike.executors.machine import executor, merged
from microgradlike.executors.machine.merged import ERRORS, LINE, VALUES, Kernel, Outside
from microgradlike.replay.compiled import Compiled
from tests import corpus
from tests.executors import all_singles, small_blocks, together

DRAW = numpy.random.default_rng(5)
X = DRAW.normal(size=(3, 53))
W, B = Value(0.7), Value(-0.4)

#: Programs of all kinds: branches, layers, recurrences, tables, folds, conditions that nest.
CASES = (
    *("branches", "moons", "recurrent", "published lstm", "published convolution", "tokens"),
    *("scalars 60", "random 4", "random 7", "random 31", "random 156", "random tables 13"),
)


def choices(x: Any, y: Any, z: Any) -> Any:
    """Choices, kinks, a slow operation, and parameters."""
    root = functions.sqrt(x * x + y * y + 1)
    kinked = functions.relu(x - y) * root + functions.maximum(x, z) * W
    total = where(y > 0.2, kinked / root, abs(z) * 2 - kinked) + functions.floor(3 * x) * z
    if x > z:
        total = total + B * y
    return total * root - min(x, y, z)


def both(f: Callable[..., Any], *columns: Any, **how: Any) -> list[tuple[Any, Any]]:
    """What is found one by one, and what is found together."""
    apart = corpus.found_by(compile(f, **how), columns)
    with pytest.MonkeyPatch.context() as patch:
        together(patch)
        c = compile(f, **how)
        return list(zip(apart, corpus.found_by(c, columns), strict=True))


def is_together(c: Compiled) -> bool:
    """Whether any of its kernels puts operations together."""
    executors = [path.replay.executor for path in c._paths]
    return any(isinstance(x, executor.NumbaExecutor) and x._merges for x in executors)


@pytest.mark.parametrize("name", CASES)
def test_the_same_to_the_last_digit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    apart = corpus.numbers(corpus.cases()[name]())
    together(monkeypatch)
    assert corpus.numbers(corpus.cases()[name]()) == apart


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("rows", [480, 5])
def test_any_rows_in_any_blocks(single: bool, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch, rows)
    if single:
        all_singles(monkeypatch)
    for count in (1, 2, 8, 53):
        for apart, found in both(choices, *X[:, :count]):
            numpy.testing.assert_array_equal(found, apart)


def test_infinities_and_nan_stay_where_they_are() -> None:
    columns = X[:, :40].copy()
    columns[0, 3], columns[1, 7], columns[2, 9], columns[0, 12] = (
        numpy.inf,
        -numpy.inf,
        numpy.nan,
        1e200,
    )
    for apart, found in both(choices, *columns, check=False):
        numpy.testing.assert_array_equal(found, apart)


def test_the_rounds_of_a_loop_are_put_together() -> None:
    def f(x: Any, y: Any) -> Any:
        def step(state: Any) -> Any:
            a, n = state
            return [a - (a * a - y * y - 2) / (2 * a) * 0.5, n + 1]

        root, _ = while_loop(lambda s: (s[1] < 12) & (abs(s[0] * s[0] - 2) > 1e-9), step, [x, 0.0])
        return root * W

    for apart, found in both(f, abs(X[0]) + 1, abs(X[1])):
        numpy.testing.assert_array_equal(found, apart)


def test_it_happens_when_many_rows_were_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "MANY", 1000)
    c = compile(choices, check=False)
    first = c.value_and_jacobian(*X)
    assert not is_together(c)
    while not is_together(c):
        for found, before in zip(c.value_and_jacobian(*X), first, strict=True):
            numpy.testing.assert_array_equal(found, before)
    for found, before in zip(c.value_and_jacobian(*X), first, strict=True):
        numpy.testing.assert_array_equal(found, before)


def test_what_is_not_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    together(monkeypatch)
    single = compile(choices, dtype="float32")
    single(*X)
    monkeypatch.setattr(executor, "MERGED", 3)
    long = compile(choices)
    long(*X)
    assert not is_together(single) and not is_together(long)


def test_who_asks_for_values_and_slopes_gets_both_at_once() -> None:
    c = compile(lambda x, y: [x * y, x / y])
    values, slopes = c.value_and_jacobian(X[0], X[1])
    numpy.testing.assert_array_equal(values, c(X[0], X[1]))
    numpy.testing.assert_array_equal(slopes, c.jacobian(X[0], X[1]))
    assert slopes.shape == (53, 2, 2)


def kernels(f: Callable[..., Any], *columns: Any) -> tuple[list[Kernel], list[Kernel]]:
    """The kernels of a function, forward and back, that put operations together."""
    c = compile(f).trace(*columns)
    made = plan(c._paths[0].replay.program, INPUTS)
    program = made.program
    outside = Outside(
        frozenset(slot for lower, slot in program.outputs if not lower),
        frozenset(program.watched[1].tolist()),
        program.rows.slots,
    )
    found = merged.merged(program.rows.instructions, made.backward, made.own, outside)
    forward, backward = (
        [kernel for kernel in some if isinstance(kernel, Kernel)]
        for some in (found.forward, found.backward)
    )
    return forward, backward


def test_only_what_others_read_is_written() -> None:
    forward, backward = kernels(lambda x, y: abs(x * y - 3) * (x - y) + x, X[0], X[1])
    assert [len(some) for some in (forward, backward)] == [1, 1]
    assert [store.to for store in forward[0].stores] == [VALUES]  # the output
    assert [(store.to, store.slot) for store in backward[0].stores] == [(ERRORS, 0), (ERRORS, 1)]
    for kernel in (*forward, *backward):
        for place, line in enumerate(kernel.lines):  # each line reads what stands above it
            assert all(kind != LINE or at < place for _, (kind, at) in line.operands)


def test_a_call_parts_what_is_put_together() -> None:
    forward, _ = kernels(lambda x, y: functions.exp(x * y + 1) * (x - y) * 2, X[0], X[1])
    assert len(forward) == 2


def test_conditions_that_hold_in_the_same_rows_are_one() -> None:
    weights = [[Value(w) for w in row] for row in DRAW.normal(size=(6, 4)).tolist()]

    def f(x: Any, target: Any) -> Any:
        scores = [functions.dot(row, x) for row in weights]
        chances = functions.softmax(scores)
        return -functions.log(take(chances, target))

    x, target = DRAW.normal(size=(20, 4)), DRAW.integers(0, 6, 20)
    c = compile(f).trace(x, target)
    layers = [i for i in c._paths[0].replay.program.rows.instructions if isinstance(i, Layer)]
    assert [layer.weights.shape for layer in layers] == [(6, 4)]
    for weight in (w for row in weights for w in row):
        weight.grad = 0.0
    total = sum(f(list(map(Value, row)), int(t)) for row, t in zip(x.tolist(), target, strict=True))
    total.backward()
    _, slopes = c.value_and_grad(c.theta(), x, target, reduce="sum")
    assert slopes == pytest.approx([p.grad for p in c.parameters], rel=1e-12)
