"""no_grad and detect_anomaly: blocks, decorators, nesting, exceptions and threads."""

from __future__ import annotations

import inspect
import math
import operator
import threading
from collections.abc import Callable
from typing import Any

import pytest

from microgradlike import Value, detect_anomaly, engine, no_grad, recorded_decisions, where


def recording() -> bool:
    x = Value(2.0)
    made = [x * 3, 3 - x, x.tanh(), x * x]
    kinds = {bool(v.parents) for v in made}
    assert len(kinds) == 1
    return kinds.pop()


@pytest.fixture(autouse=True)
def _all_modes_are_off_afterwards() -> Any:
    yield
    assert engine._watching == 0
    assert recording()


# ---- no_grad -----------------------------------------------------------------------------------


def test_no_grad_computes_and_records_nothing() -> None:
    x = Value(2.0)
    with no_grad():
        y = x * x + 1
    assert (y.data, y.op, y.operands) == (5.0, "", ())
    y.backward()
    assert x.grad == 0.0


def test_no_grad_as_a_decorator() -> None:
    @no_grad()
    def predict(x: Value) -> Value:
        """Says so."""
        return x * 2

    for _ in range(2):
        assert predict(Value(3.0)).parents == ()
        assert recording()
    assert (predict.__name__, predict.__doc__) == ("predict", "Says so.")


def test_no_grad_nested() -> None:
    with no_grad():
        with no_grad():
            assert not recording()
        assert not recording()
    assert recording()


def test_no_grad_ends_with_an_exception() -> None:
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert recording()


def test_blocks_that_end_in_another_order() -> None:
    """As generators and callbacks may do."""
    first, second = no_grad(), no_grad()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not recording()
    second.__exit__(None, None, None)
    assert recording()


def test_backward_within_no_grad() -> None:
    x = Value(3.0)
    y = x * x
    with no_grad():
        y.backward()
    assert x.grad == 6.0


# ---- Threads -----------------------------------------------------------------------------------


def run(*works: Callable[[], None]) -> None:
    """All at once, each in its thread; the first failure fails here."""
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


def test_a_mode_is_that_of_its_thread() -> None:
    entered, done = threading.Event(), threading.Event()

    def infer() -> None:
        with no_grad(), detect_anomaly():
            entered.set()
            assert done.wait(10)
            assert not recording()

    def train() -> None:
        assert entered.wait(10)
        try:
            assert recording()
            x = Value(0.0)
            y = x.log() * 2
            y.backward()
            assert (y.data, x.grad) == (-math.inf, math.inf)  # and no anomaly raised
        finally:
            done.set()

    run(infer, train)


def test_training_beside_inference_is_not_disturbed() -> None:
    def train() -> None:
        w = Value(0.0)
        for _ in range(2000):
            w.grad = 0.0
            error = (w - 3.0) ** 2
            error.backward()
            w.data -= 0.1 * w.grad
        assert w.data == pytest.approx(3.0, abs=1e-12)

    def infer() -> None:
        for _ in range(2000):
            with no_grad():
                assert (Value(1.0) * 2).parents == ()

    run(train, infer, train, infer)


# ---- detect_anomaly ----------------------------------------------------------------------------


def line_of(function: Callable[..., Any], text: str) -> int:
    lines, first = inspect.getsourcelines(function)
    return first + next(i for i, line in enumerate(lines) if text in line)


def logarithm(x: Value) -> Value:
    shifted = x - 1
    return shifted.log()


def test_a_value_that_is_not_finite_names_its_operation_and_line() -> None:
    with pytest.raises(FloatingPointError) as raised, detect_anomaly():
        logarithm(Value(1.0))
    message = str(raised.value)
    assert "log(0.0) gave -inf" in message
    assert f"{__file__}, line {line_of(logarithm, '.log()')}: return shifted.log()" in message


@pytest.mark.parametrize(
    ("fails", "names"),
    [
        (lambda x: x / 0, "truediv(1.0, 0.0) gave inf"),
        (lambda x: (x - 2) ** 0.5, "pow(-1.0, 0.5) gave nan"),
        (lambda x: (x * 1000).exp(), "exp(1000.0) gave inf"),
        (lambda x: 0 / (x - 1), "truediv(0.0, 0.0) gave nan"),
        (lambda x: x * math.nan, "mul(1.0, nan) gave nan"),
    ],
)
def test_every_way_to_be_not_finite(fails: Callable[[Value], Value], names: str) -> None:
    with detect_anomaly(), pytest.raises(FloatingPointError) as raised:
        fails(Value(1.0))
    assert names in str(raised.value)


def square_root(x: Value) -> Value:
    root = x.sqrt()
    return root * 5


def test_a_gradient_that_is_not_finite_names_its_operation_and_line() -> None:
    x = Value(0.0)
    with detect_anomaly():
        out = square_root(x)
        with pytest.raises(FloatingPointError) as raised:
            out.backward()
    message = str(raised.value)
    assert "going backward, sqrt(0.0) with the upstream gradient 5.0" in message
    assert "sent a gradient of inf" in message
    assert f"line {line_of(square_root, '.sqrt()')}: root = x.sqrt()" in message


def test_a_graph_made_before_the_block_is_checked_too() -> None:
    x = Value(0.0)
    out = x.sqrt()
    with detect_anomaly(), pytest.raises(FloatingPointError, match="outside of detect_anomaly"):
        out.backward()


def test_nothing_is_raised_where_all_is_finite() -> None:
    x = Value(0.5)
    with detect_anomaly():
        y = x.log() * x
        y.backward()
    assert x.grad == pytest.approx(math.log(0.5) + 1)


def test_detect_anomaly_is_off_afterwards() -> None:
    x = Value(0.0)
    with detect_anomaly():
        with detect_anomaly():
            assert recording()
        with pytest.raises(FloatingPointError):
            x.log()
    y = x.log()
    y.backward()
    assert (y.data, x.grad) == (-math.inf, math.inf)


def test_detect_anomaly_ends_with_its_exception() -> None:
    for _ in range(2):
        with pytest.raises(FloatingPointError), detect_anomaly():
            Value(0.0).log()
    assert Value(0.0).log().data == -math.inf


def test_detect_anomaly_as_a_decorator() -> None:
    @detect_anomaly()
    def careless(x: Value) -> Value:
        return x.log()

    with pytest.raises(FloatingPointError, match=r"return x\.log\(\)"):
        careless(Value(0.0))
    assert careless(Value(1.0)).data == 0.0


def test_no_grad_within_detect_anomaly() -> None:
    with detect_anomaly(), no_grad():
        assert not recording()


def test_blocks_of_detect_anomaly_may_end_in_any_order() -> None:
    first, second = detect_anomaly(), detect_anomaly()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with pytest.raises(FloatingPointError):
        Value(0.0).log()
    second.__exit__(None, None, None)
    assert Value(0.0).log().data == -math.inf
    assert engine._watching == 0


def test_an_inner_block_knows_the_lines_of_the_outer_one() -> None:
    with detect_anomaly():
        root = Value(0.0).sqrt()
        with detect_anomaly(), pytest.raises(FloatingPointError, match=r"Value\(0\.0\)\.sqrt\(\)"):
            root.backward()


# ---- Decisions ---------------------------------------------------------------------------------


def test_decisions_are_recorded_in_their_order_with_their_lines() -> None:
    a, b = Value(2.0), Value(-3.0)
    with recorded_decisions() as found:
        out = where(a > b, a * 2, b)
        if out <= 4:
            out = out + (1 if a == 3 else 0)
    assert [d[:4] for d in found] == [
        (a, operator.gt, b, True),
        (out.parents[0], operator.le, 4.0, True),
        (a, operator.eq, 3.0, False),
    ]
    assert found[1].line.endswith("if out <= 4")
    assert a > b  # none is recorded behind the block
    assert len(found) == 3


def test_decisions_of_other_threads_and_inner_blocks_are_their_own() -> None:
    x = Value(1.0)
    with recorded_decisions() as outer:
        thread = threading.Thread(target=lambda: x > 0)
        thread.start()
        thread.join()
        with recorded_decisions() as inner:
            assert x < 2
        assert x >= 1
    assert [d.comparison for d in inner] == [operator.lt]
    assert [d.comparison for d in outer] == [operator.ge]


def test_what_cannot_be_compared_is_no_decision() -> None:
    with recorded_decisions() as found, pytest.raises(TypeError):
        assert Value(1.0) < "2"  # type: ignore[operator]
    assert found == []
