"""The node and the backward sweep: accumulation, long chains, order, cycles."""

from __future__ import annotations

import gc
import math
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from microgradlike import Value, functions
from microgradlike.engine import _visit, topological_order


def live_values() -> int:
    # By its type: a weak proxy, such as a compiler has, would ask what may be gone by now.
    return sum(issubclass(type(o), Value) for o in gc.get_objects())


@contextmanager
def no_cycle_collector() -> Iterator[None]:
    """What is freed in here is freed by its reference count, so it was in no cycle."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# ---- Accumulation ------------------------------------------------------------------------------


def test_a_diamond_sums_both_ways() -> None:
    x = Value(3.0)
    a, b = x * 2, x * x
    out = a * b  # 2 x**3
    out.backward()
    assert (out.data, x.grad, a.grad, b.grad) == (54.0, 54.0, 9.0, 6.0)


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda x: x * x, 6.0),
        (lambda x: x + x, 2.0),
        (lambda x: x - x, 0.0),
        (lambda x: x / x, 0.0),
        (lambda x: x**x, 27 * (1 + math.log(3))),
    ],
)
def test_an_operand_used_twice(f: Callable[[Value], Value], slope: float) -> None:
    x = Value(3.0)
    f(x).backward()
    assert x.grad == pytest.approx(slope, rel=1e-15)


def test_a_long_ladder_of_diamonds_takes_linear_time() -> None:
    x = Value(1.0)
    y = x
    for _ in range(200):  # 2**200 paths
        y = y + y
    y.backward()
    assert x.grad == 2.0**200


def test_backward_twice_adds_to_leaves_and_sets_operations_afresh() -> None:
    x = Value(3.0)
    square = x * x
    out = square * 2
    for times in (1, 2, 3):
        out.backward()
        assert (out.grad, square.grad, x.grad) == (1.0, 2.0, 12.0 * times)


def test_leaves_accumulate_over_losses_that_share_a_part() -> None:
    x = Value(2.0)
    shared = x * x
    first, second = shared * 3, shared + x
    first.backward()
    second.backward()
    assert x.grad == 12.0 + 5.0
    assert shared.grad == 1.0  # of the second alone


def test_a_gradient_of_an_operation_outside_of_the_sweep_stays() -> None:
    x = Value(2.0)
    inner = x * 3
    (inner * inner).backward()
    other = x + 1
    other.backward()
    assert inner.grad == 12.0


def test_backward_of_a_leaf() -> None:
    x = Value(2.0)
    x.backward()
    x.backward()
    assert x.grad == 2.0


def test_zero_grad() -> None:
    x, y = Value(2.0), Value(5.0)
    inner = x * y
    out = inner + x
    out.backward()
    out.zero_grad()
    assert [v.grad for v in (x, y, inner, out)] == [0.0] * 4
    out.backward()
    assert (x.grad, y.grad) == (6.0, 2.0)


def test_detach() -> None:
    x = Value(2.0, label="x")
    cut = (x * 3).detach()
    assert (cut.data, cut.grad, cut.op, cut.parents, cut.label) == (6.0, 0.0, "", (), "")
    assert x.detach().label == "x"
    (cut * x).backward()
    assert x.grad == 6.0  # and nothing through the detached factor


# ---- In place is a new node ----------------------------------------------------------------------


def test_in_place_operators_leave_what_others_hold() -> None:
    a = Value(2.0)
    alias, before = a, a * 10
    a += 3
    a *= a
    a -= 1
    a /= 4
    a **= 2
    assert alias.data == 2.0
    assert before.data == 20.0
    a.backward()
    # a = (((2 + 3)**2 - 1) / 4)**2 = 36; its slope is 2 * 6 * 2 * 5 / 4
    assert (a.data, alias.grad) == (36.0, 30.0)
    before.backward()
    assert alias.grad == 40.0


def test_a_sum_in_a_loop() -> None:
    x = Value(3.0)
    total = x
    for _ in range(3):
        total += x
    total.backward()
    assert (total.data, x.data, x.grad) == (12.0, 3.0, 4.0)


def test_plus_is_the_value_itself() -> None:
    x = Value(2.0)
    assert +x is x


# ---- Size --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [lambda y, x: y + x, lambda y, x: x + y, lambda y, x: y * 1.0, lambda y, x: 0.5 + y - 0.5],
    ids=["value-value", "value-value reversed", "unary", "number on the left"],
)
def test_a_million_nodes_forward_backward_and_freed(step: Callable[[Value, Value], Value]) -> None:
    with no_cycle_collector():
        before = live_values()
        x = Value(1e-6)
        y = x
        for _ in range(1_000_000):
            y = step(y, x)
        y.backward()
        assert x.grad in (1.0, 1_000_001.0)
        assert live_values() - before >= 1_000_001
        del y
        assert live_values() - before == 1  # x


def test_nothing_of_a_sweep_stays_behind() -> None:
    x = Value(1.0)
    with no_cycle_collector():
        before = live_values()
        for _ in range(100):
            (x.tanh() * x).backward()
        assert live_values() == before


# ---- Order -------------------------------------------------------------------------------------


def test_topological_order_is_deterministic_and_leaves_gradients_alone() -> None:
    x, y = Value(2.0), Value(3.0)
    left, right = x * y, x - y
    out = left.exp() + right * left
    out.backward()
    gradients = [(v, v.grad) for v in (x, y, *topological_order(out))]
    orders = [topological_order(out) for _ in range(3)]
    assert [v.op for v in orders[0]] == ["mul", "exp", "sub", "mul", "add"]
    assert all(a is b for order in orders for a, b in zip(order, orders[0], strict=True))
    assert all(v.grad == grad for v, grad in gradients)


def test_each_operation_comes_after_its_parents_and_once() -> None:
    x = Value(0.5)
    nodes = [x, x.exp()]
    for i in range(200):
        nodes.append(nodes[(7 * i) % len(nodes)] * nodes[(i * i) % len(nodes)].tanh())
    order = topological_order(functions.sum(nodes))
    place = {node: index for index, node in enumerate(order)}
    assert len(place) == len(order)
    assert all(place[p] < place[v] for v in order for p in v.parents if p.op)


def test_a_leaf_has_no_operations() -> None:
    assert topological_order(Value(1.0)) == []


# ---- Cycles made by hand -------------------------------------------------------------------------


def tied_to_itself() -> tuple[Value, list[Value]]:
    x = Value(2.0)
    first = x * 3
    first._x = first
    return first, [x, first]


def tied_by_the_second_operand() -> tuple[Value, list[Value]]:
    x = Value(2.0)
    first = x * Value(3.0)
    last = x + first.exp()
    first._y = last
    return last, [x, first, last]


def tied_far_away() -> tuple[Value, list[Value]]:
    x = Value(2.0)
    first = x + 1
    nodes = [first]
    for _ in range(5000):
        nodes.append(nodes[-1] + x)
    first._x = nodes[-1]
    aside = x.exp()  # visited before the cycle is found
    return aside + nodes[-1], [x, aside, *nodes]


@pytest.mark.parametrize(
    "tie",
    [tied_to_itself, tied_by_the_second_operand, tied_far_away],
    ids=lambda f: str(f.__name__),
)
@pytest.mark.parametrize(
    "walk", [Value.backward, Value.zero_grad, topological_order], ids=lambda f: str(f.__name__)
)
def test_a_cycle_is_refused_and_nothing_changed(
    tie: Callable[[], tuple[Value, list[Value]]], walk: Callable[[Value], Any]
) -> None:
    root, nodes = tie()
    nodes.append(root)
    for index, node in enumerate(nodes):
        node.grad = index + 0.5
    before = [node.grad for node in nodes]
    with pytest.raises(ValueError, match="cycle"):
        walk(root)
    assert [node.grad for node in nodes] == before


def test_reading_a_graph_from_two_threads_changes_no_gradient() -> None:
    x = Value(1.0)
    y = x
    for _ in range(300):
        y = (y * 0.5 + x).tanh()
    y.backward()
    before = [node.grad for node in topological_order(y)]
    orders: list[int] = []

    def read() -> None:
        orders.extend(len(topological_order(y)) for _ in range(20))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert set(orders) == {900}
    assert [node.grad for node in topological_order(y)] == before


@pytest.mark.parametrize("seed", range(30))
def test_the_sweep_and_the_listing_have_one_order(seed: int) -> None:
    choose = random.Random(seed)
    pool = [Value(choose.uniform(-1, 1)) for _ in range(3)]
    for _ in range(40):
        a, b = choose.choice(pool), choose.choice(pool)
        pool.append(choose.choice([a * b, a + b, a - 1, 2 * b, a.tanh()]))
    root = sum(pool[-4:], Value(0.0))
    assert list(map(id, topological_order(root))) == list(map(id, _visit(root)))


def test_a_node_can_be_asked_to_send_by_hand() -> None:
    a, b = Value(2.0), Value(-3.0)
    c = a * b
    c.grad = 1.0
    c._backward()
    a._backward()
    assert (a.grad, b.grad) == (-3.0, 2.0)
