"""Rows A4, A10, A11 and A14: threads, numbers that are written, and which Values are equal."""

from __future__ import annotations

import copy
import functools
import math
import pickle
import random
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest

import microgradlike as mg
from microgradlike import Value, custom, engine, optim
from microgradlike.engine import Leaf, detect_anomaly, topological_order
from microgradlike.flow import backward_steps, explain, paths
from microgradlike.ops import OPERATORS
from viz import draw


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Python changes threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-7)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x.sin(),
        lambda x: x / 3.0,
        lambda x: x**3,
        lambda x: x.erf(),
        lambda x: x.hypot(x),
        lambda x: x.maximum(0.1),
        lambda x: custom(x.data, (x,), lambda x: x * 2.0),
    ],
)
def test_A4_threads_that_share_a_leaf_lose_nothing(use: Any, quick_switches: None) -> None:
    x, once = Value(0.5), Value(0.5)
    use(once).backward()
    times = 4000

    def work() -> None:
        for _ in range(times):
            use(x).backward()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert x.grad == pytest.approx(2 * times * once.grad, rel=1e-9)


@pytest.mark.parametrize("number", [numpy.int64(2**40), numpy.uint8(200), numpy.float32(0.1), 3])
def test_A10_what_is_written_is_kept_as_a_float(number: Any) -> None:
    w = Value(1.0)
    w.data = number
    assert type(w.data) is float
    assert (w * w).data == float(number) ** 2
    w.grad = number
    assert type(w.grad) is float
    assert w.grad == float(number)


def test_A10_in_place_and_by_an_optimiser() -> None:
    w = Value(1.0)
    w.data -= numpy.float32(0.1) * 2
    assert type(w.data) is float
    w.grad = numpy.float64(1.0)
    optimizer = optim.SGD([w], lr=numpy.float32(0.5))
    optimizer.step()
    assert type(w.data) is float


@pytest.mark.parametrize("number", [None, "1", 1j, [1.0], numpy.zeros(2), Value(1.0)], ids=repr)
def test_A10_what_is_no_number_changes_nothing(number: Any) -> None:
    w = Value(1.0)
    for name in ("data", "grad"):
        with pytest.raises(TypeError, match=rf"v\.{name} = \.\.\. takes a real number"):
            setattr(w, name, number)
    assert (w.data, w.grad) == (1.0, 0.0)


def stale(w: Value) -> list[Callable[[], Value]]:
    x = Value(2.0)
    return [
        lambda: (w * w).exp() * w,
        lambda: x * w,
        lambda: (x + 1) * (x - w).tanh(),
        lambda: w.sin(),
        lambda: mg.where(True, w, x) + 1,
        lambda: mg.logsumexp([x, w, x]),
        lambda: sum((x * w for _ in range(2000)), Value(0.0)),
    ]


@pytest.mark.parametrize("place", range(7))
def test_A11_a_number_changed_before_the_backward_pass_is_an_error(place: int) -> None:
    w = Value(1.0)
    root = stale(w)[place]()
    w.data = 2.0
    with pytest.raises(RuntimeError, match="a number was changed after it had been used"):
        root.backward()
    with detect_anomaly(), pytest.raises(RuntimeError, match="a number was changed"):
        root.backward()
    w.data = 1.0  # as it was: the slopes are those of the moment of recording again
    root.backward()
    fresh = Value(1.0)
    stale(fresh)[place]().backward()
    assert w.grad == fresh.grad
    w.data = 2.0
    stale(w)[place]().backward()  # computed anew


def test_A11_part_of_a_graph_is_older_than_the_change() -> None:
    w = Value(1.0)
    hidden = w * 3.0
    w.data = 2.0
    for root in (w * 5.0 + hidden, hidden + w * 5.0, (w * hidden).tanh()):
        with pytest.raises(RuntimeError, match="a number was changed"):
            root.backward()
    assert w.grad == 0.0


def test_A11_a_result_that_is_written() -> None:
    x = Value(3.0)
    hidden = x * 2.0
    out = hidden * hidden
    hidden.data = 1.0
    with pytest.raises(RuntimeError, match="a number was changed"):
        out.backward()


def test_A11_changes_elsewhere_and_the_same_number_are_no_error() -> None:
    w, other = Value(1.0), Value(1.0)
    root = w * w + math.nan
    other.data = 5.0
    w.data = 1.0
    root.backward()
    root.backward()
    assert w.grad == 4.0


def test_A11_gradients_stay_where_it_is_refused() -> None:
    w = Value(1.0)
    hidden = w * 3.0
    root = hidden * hidden
    root.backward()
    before = hidden.grad, root.grad, w.grad
    w.data = 2.0
    with pytest.raises(RuntimeError):
        root.backward()
    assert (hidden.grad, root.grad, w.grad) == before


# Changes after which each result has the number that it had, though slopes differ.
UNSEEN: list[tuple[Callable[..., Any], tuple[float, ...], tuple[float, ...]]] = [
    (lambda a, b: a * b, (2.0, 0.0), (5.0, 0.0)),
    (lambda a, b: (a * b).exp() + a, (0.0, 0.0), (0.0, 3.0)),
    (lambda a, b: a**2 + b, (2.0, 1.0), (-2.0, 1.0)),
    (lambda a, b: abs(a) + b, (2.0, 1.0), (-2.0, 1.0)),
    (lambda a, b: a.cos() * b, (0.5, 1.0), (-0.5, 1.0)),
    (lambda a, b: a.sin() * b, (0.0, 1.0), (-0.0, 1.0)),
    (lambda a, b: a * b, (2.0, 3.0), (3.0, 2.0)),
    (lambda a, b: a / b, (2.0, 4.0), (3.0, 6.0)),
    (lambda a, b: a + b, (2.0, 4.0), (3.0, 3.0)),
    (lambda a, b: mg.maximum(a, b), (2.0, 4.0), (4.0, 2.0)),
    (lambda a, b: mg.maximum(a, b) * 2, (2.0, 4.0), (4.0, 4.0)),
    (lambda a, b: mg.hypot(a, b), (3.0, 4.0), (4.0, 3.0)),
    (lambda a, b: mg.dot([a, b], [1.0, 1.0]), (3.0, 4.0), (4.0, 3.0)),
    (lambda a, b: mg.dot([a, b], [a, b]), (3.0, 4.0), (4.0, 3.0)),
    (lambda a, b: a.relu() * b, (-1.0, 1.0), (-2.0, 1.0)),
    (lambda a, b: a**b, (1.0, 2.0), (1.0, 3.0)),
    (lambda a, b: (a * math.nan) * b, (1.0, 2.0), (3.0, 2.0)),
    (lambda a, b: mg.logsumexp([a, b]), (1.0, 2.0), (2.0, 1.0)),
    (lambda a, b: mg.custom(1.0, (a, b), [1.0, 2.0]) * a, (1.0, 2.0), (1.0, 3.0)),
    (lambda a, b: mg.custom(1.0, (a, b, a * b), lambda a, b, c: [a, b, c]), (1.0, 0.0), (2.0, 0.0)),
]


@pytest.mark.parametrize("place", range(len(UNSEEN)))
def test_A11_a_change_that_no_result_shows(place: int) -> None:
    f, numbers, others = UNSEEN[place]
    leaves = a, b = Value(numbers[0]), Value(numbers[1])

    def write(numbers: tuple[float, ...]) -> None:
        for leaf, number in zip(leaves, numbers, strict=True):
            leaf.data = number

    root = f(a, b)
    for _ in range(2):  # before the first backward pass, and after it
        write(others)
        for refused in (root, root * 2.0):
            with pytest.raises(RuntimeError, match="a number was changed after it had been used"):
                refused.backward()
            with detect_anomaly(), pytest.raises(RuntimeError, match="a number was changed"):
                refused.backward()
        f(a, b).backward()  # computed anew
        write(numbers)
        gradients = []
        for result in (root, f(a, b)):
            a.grad = b.grad = 0.0
            result.backward()
            gradients.append((a.grad, b.grad))
        assert repr(gradients[0]) == repr(gradients[1])


@pytest.mark.parametrize("order", [1, 2])
def test_A11_what_two_results_share(order: int) -> None:
    a, b, other = Value(2.0), Value(0.0), Value(1.0)
    shared = (a * b) ** order
    first, second = shared + other, shared * 3.0
    first.backward()
    other.data = 7.0  # nothing of the second
    second.backward()
    a.data = 5.0
    for root in (first, second, shared, shared - 1.0, a * shared):
        with pytest.raises(RuntimeError, match="a number was changed"):
            root.backward()
    late = shared - a
    a.data = 2.0
    second.backward()
    with pytest.raises(RuntimeError, match="a number was changed"):
        late.backward()


def test_A11_random_programs() -> None:
    draw = random.Random(0)
    operations: list[Callable[[Value, Value], Value]] = [
        lambda a, b: a * b, lambda a, b: a + b, lambda a, b: mg.maximum(a, b),
        lambda a, b: -a, lambda a, b: b * 0.0,
    ]  # fmt: skip
    refused = []
    for _ in range(100):
        leaves = [Value(float(draw.choice([0, 1, 2]))) for _ in range(4)]
        results: list[Value] = []
        then: dict[Value, list[tuple[Value, float]]] = {}
        for _ in range(30):
            kind = draw.random()
            if kind < 0.5 or not results:
                pair = draw.choices(leaves + results[-6:], k=2)
                node = draw.choice(operations)(*pair)
                then[node] = [(parent, parent.data) for parent in node.parents]
                results.append(node)
            elif kind < 0.7:
                for leaf in draw.choices(leaves, k=draw.choice([1, 3])):
                    leaf.data = float(draw.choice([0, 1, 2]))
            else:
                root = draw.choice(results)
                used = [pair for node in topological_order(root) for pair in then[node]]
                differ = any(operand.data != number for operand, number in used)
                refused.append(differ)
                if differ:
                    with pytest.raises(RuntimeError, match="a number was changed"):
                        root.backward()
                else:
                    root.backward()
    assert 100 < sum(refused) < len(refused) - 100


def test_A11_the_sentence_tells_which_number() -> None:
    a, b = Value(2.0), Value(0.0)
    root = a * b + 1
    a.data = 5.0
    with pytest.raises(RuntimeError, match=r"mul\(5\.0, 0\.0\) was computed when 5\.0 was 2\.0"):
        root.backward()


def test_A11_derivatives_of_higher_order_see_it() -> None:
    a, b = Value(2.0), Value(0.0)
    kept: list[Value] = []

    def f(x: Value) -> Value:
        kept.append(a * b)
        a.data = 5.0
        return kept[-1] * x

    with pytest.raises(RuntimeError, match="a number was changed"):
        mg.grad(f)(1.0)


def test_A11_a_training_changes_numbers_between_passes() -> None:
    w, u, frozen = Value(1.0), Value(2.0), Value(3.0)
    features = frozen.exp() * 2.0  # computed once
    kept = []
    for step in range(40):
        loss = (features * w * u - 1.0) ** 2
        kept.append(loss)
        loss.backward()
        loss.backward()
        for p in (w, u):
            p.data -= 1e-6 * p.grad
            p.data = p.data
        if step % 2:
            loss = w * u
    for loss in kept:
        with pytest.raises(RuntimeError, match="a number was changed"):
            loss.backward()
    features.backward()
    frozen.data = 2.0
    with pytest.raises(RuntimeError, match="a number was changed"):
        features.backward()


def test_A11_names_and_copies() -> None:
    a, b = Value(2.0), Value(0.0)
    product = a * b
    product.label = "product"
    root = product + 1.0
    root.label = "root"
    root.label = "the root"
    copies = [copy.deepcopy(root), pickle.loads(pickle.dumps(root)), copy.copy(root)]
    a.data = 5.0
    with pytest.raises(RuntimeError, match="a number was changed"):
        root.backward()
    with pytest.raises(RuntimeError, match="a number was changed"):
        copies.pop().backward()  # whose operand is that of the original
    for twin in copies:
        assert (twin.label, twin.parents[0].label) == ("the root", "product")
        twin.backward()
        of_twin = twin.parents[0].parents[0]
        assert of_twin.data == 2.0
        of_twin.data = 5.0
        with pytest.raises(RuntimeError, match="a number was changed"):
            twin.backward()
    b.data = 3.0
    for twin in (copy.deepcopy(root), pickle.loads(pickle.dumps(root)), copy.copy(product)):
        with pytest.raises(RuntimeError, match="a number was changed"):
            twin.backward()


def test_A11_what_operands_can_be() -> None:
    class Own(Value):
        pass

    with mg.no_grad():
        computed = Value(1.0) * 2.0
    for x in (Own(2.0), computed, Value(2.0) + 0.0):
        root = x * Value(0.0)
        root.backward()
        x.data = 5.0
        with pytest.raises(RuntimeError, match="a number was changed"):
            root.backward()
        x.data = 2.0
        root.backward()


def test_A11_no_leaf_and_no_graph_is_kept() -> None:
    lasting = Value(2.0) * 3.0
    for _ in range(3):
        leaf = Value(2.0)
        root = leaf * 3.0
        leaf.data = 1.0
        gone = weakref.ref(leaf)
        del root, leaf
        assert gone() is None
    lasting.backward()


def test_A11_who_keeps_all_results_writes_no_slower() -> None:
    b = Value(1.0)
    results = []
    for step in range(100):
        results.append((b * 2.0, b * 0.0))
        b.data = 2.0 + step
        assert len(engine._ended) <= engine._MOST_TOLD
        assert len(engine._told) == len(engine._ended)
    for twice, _ in results:
        with pytest.raises(RuntimeError, match="a number was changed"):
            twice.backward()
    with pytest.raises(RuntimeError, match="a number was changed"):
        results[-1][1].backward()
    for step, (twice, nothing) in enumerate(results):
        b.data = step + 1.0
        nothing.backward()
        twice.backward()


# ---- Which Values are equal, and what they take -------------------------------------------------


def test_A14_lists_find_a_value_by_identity() -> None:
    a, b, c = Value(1.0), Value(1.0), Value(1.0)
    nodes = [a, b]
    assert b in nodes
    assert c not in nodes
    assert nodes.index(b) == 1
    assert nodes.count(a) == 1
    nodes.remove(b)
    assert nodes[0] is a
    assert a == 1
    assert 1.0 == a  # noqa: SIM300
    assert a != 2
    assert a != b


def test_A14_a_published_trace_with_lists_finds_every_node() -> None:
    x = Value(2.0)

    def trace(root: Value) -> list[Value]:
        found: list[Value] = []

        def build(v: Value) -> None:
            if v not in found:
                found.append(v)
                for child in v._prev:
                    build(child)

        build(root)
        return found

    assert len(trace((x * 2 + 1).relu())) == 6
    assert len(trace(x * x)) == 2
    operations = [v._op for v in trace((x**3).relu() + 2**x)]
    assert sorted(operations) == ["", "", "**", "**3", "+", "ReLU"]


def test_the_truth_of_a_value_warns_where_it_is_zero() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Value(0.5)
        assert Value(0.0) == 0
    with pytest.warns(RuntimeWarning, match="v is not None"):
        assert (Value(0.0) or 5) == 5


def test_leaves_take_attributes_and_weak_references() -> None:
    p = Value(1.0)
    p.m = 0.5  # type: ignore[attr-defined]
    assert p.m == 0.5  # type: ignore[attr-defined]
    assert weakref.ref(p)() is p
    twins: list[Any] = [copy.deepcopy(p), pickle.loads(pickle.dumps(p))]
    for twin in twins:
        assert (twin.data, twin.m) == (1.0, 0.5)
    with pytest.raises(AttributeError):
        (p * 2).m = 0.5  # type: ignore[attr-defined]


def test_a_value_of_a_value_is_that_value() -> None:
    x = Value(2.0)
    assert Value(x) is x
    row = [x, x * 2]
    assert list(map(Value, row))[1] is row[1]
    c = mg.compile(lambda x: sum(map(Value, x)) * Value(x[0]))
    assert c([[1.0, 2.0], [3.0, 4.0]]).tolist() == [3.0, 21.0]


class Money(Value):
    def taxed(self) -> Value:
        return self * 1.19

    def __neg__(self) -> Value:
        return Value(-self.data)


def test_operations_of_a_subclass_give_that_subclass() -> None:
    m, v = Money(2.0), Value(3.0)
    results = [m + 1, 1 + m, m * v, v * m, m / v, v - m, m**2, m.exp(), mg.tanh(m), abs(m)]
    results += [m.maximum(v), v.maximum(m), mg.hypot(1.0, m), m.leaky_relu(), m.clip(0, 1)]
    assert all(type(r) is Money for r in results)
    assert type(m.taxed().taxed()) is Money  # type: ignore[attr-defined]
    assert type(-m) is Leaf  # its own method stays
    (m * v).taxed().backward()  # type: ignore[attr-defined]
    assert (m.grad, v.grad) == pytest.approx((3.57, 2.38))

    class Euro(Money):
        pass

    assert type(Euro(1.0) + m) is Euro or type(Euro(1.0) + m) is Money
    assert type(Euro(1.0) * 2) is Euro
    assert type(-Euro(1.0)) is Leaf


# ---- Nodes of your own --------------------------------------------------------------------------


def by_closure(x: Value) -> Value:
    t = math.tanh(x.data)
    out = Value(t, (x,), "tanh")

    def send() -> None:
        x.grad += (1 - t**2) * out.grad

    out._backward = send
    return out


def by_slopes(x: Value) -> Value:
    t = math.tanh(x.data)
    return Value(t, (x,), (1 - t**2,), label="mine")


def by_function(x: Value) -> Value:
    return custom(x.tanh(), (x,), lambda x: 1 - x.tanh() ** 2, name="mine")


@pytest.mark.parametrize("made", [by_closure, by_slopes, by_function])
def test_nodes_of_your_own(made: Any) -> None:
    x, y = Value(0.5, label="x"), Value(0.5, label="x")
    root, expected = made(x * 2) * x + made(x), (y * 2).tanh() * y + y.tanh()
    root.backward()
    expected.backward()
    assert root.data == pytest.approx(expected.data, rel=1e-15)
    assert x.grad == pytest.approx(y.grad, rel=1e-15)
    assert len(list(backward_steps(root))) == len(list(backward_steps(expected)))
    total: dict[Value, float] = {}
    for s in backward_steps(root):
        total[s.parent] = total.get(s.parent, 0.0) + s.contribution
    assert total[x] == pytest.approx(x.grad, rel=1e-15)
    assert "* 0.42 = 0.21" in explain(root, x).symbols
    assert mg.check_gradients(made, 0.5) if made is by_function else True


def test_nodes_of_your_own_have_any_number_of_parents() -> None:
    values = [Value(float(k)) for k in range(50)]
    root = custom(1.0, values, range(50), name="many")
    root.backward()
    assert [v.grad for v in values] == [float(k) for k in range(50)]
    assert (root.op, root._op, root.operands, root._prev) == (
        "many",
        "many",
        tuple(values),
        set(values),
    )
    constant = custom(1.0, (), (), name="none")
    constant.backward()
    assert (constant.grad, constant.parents) == (1.0, ())
    twice = Value(2.0)
    Value(4.0, (twice, twice), (2.0, 2.0)).backward()
    assert twice.grad == 4.0


def test_nodes_of_your_own_in_higher_order_and_compiled() -> None:
    def cube(x: Value) -> Value:
        return custom(x * x * x, (x,), lambda x: 3 * x * x, name="cube")

    assert [mg.grad(cube)(2.0), mg.grad(mg.grad(cube))(2.0)] == [12.0, 12.0]
    w = Value(1.5)
    c = mg.compile(lambda x: cube(w * x) + x)
    assert c([1.0, 2.0]) == pytest.approx([4.375, 29.0])
    assert c.jacobian([1.0, 2.0]).ravel() == pytest.approx([11.125, 41.5])
    assert c.hessian([1.0, 2.0]).ravel() == pytest.approx([20.25, 40.5])
    c.sum([1.0, 2.0]).backward()
    assert w.grad == pytest.approx(3 * 1.5**2 * 9)


def test_nodes_of_your_own_that_cannot_be_used_so_are_refused() -> None:
    with pytest.raises(TypeError, match="give them as a function of its parents"):
        mg.grad(mg.grad(lambda x: custom(1.0, (x,), (2.0,))))(1.0)
    with pytest.raises(mg.TracingError, match="give a function of its parents"):
        mg.compile(lambda x: custom(x, (x,), (2.0,)))([1.0])
    with pytest.raises(mg.TracingError, match="compute it from Values"):
        mg.compile(lambda x: custom(1.0, (x,), lambda x: x))([1.0])
    with pytest.raises(RuntimeError, match="without slopes"):
        Value(1.0, (Value(1.0),), "mine").backward()
    with pytest.raises(ValueError, match="has a slope for each of its 2 parents, but got 1"):
        custom(1.0, (Value(1.0), Value(2.0)), (1.0,))
    with pytest.raises(TypeError, match="the parents of 'custom' are the Values"):
        custom(1.0, (1.0,), (1.0,))
    with pytest.raises(TypeError, match="a slope of 'custom' takes a real number"):
        custom(1.0, (Value(1.0),), ("1",))
    with pytest.raises(AssertionError, match="a node of your own has slopes"):
        mg.check_gradients(lambda x: custom(x * x, (x,), lambda x: 3 * x), 2.0)
    with mg.no_grad():
        assert custom(1.0, (Value(1.0),), (1.0,)).parents == ()


def test_a_function_in_place_of_the_send_of_an_operation() -> None:
    x = Value(2.0)
    out = x * 3.0
    called = []
    out._backward = lambda: called.append(out.grad)
    (out + 1).backward()
    assert (called, x.grad) == ([1.0], 0.0)


def test_every_operator_gives_its_number_again() -> None:
    # What backward() asks where a number was written since: the same bits, or it would refuse.
    for row in OPERATORS.values():
        if row.name == "where":
            continue
        for point in ((0.3, 0.7), (-1.5, 2.0), (0.0, 0.0), (math.nan, 1.0), (math.inf, -math.inf)):
            operands = [Value(v) for v in point[: len(row.slopes)]]
            out = Value.recorded[row.name](*operands)
            operands[0].data = operands[0].data
            out.backward()


def test_nodes_made_of_read_numbers_are_differentiated_and_checked() -> None:
    expected = 1 - math.tanh(0.5) ** 2
    for made in (by_closure, by_slopes):
        assert mg.grad(made)(0.5) == expected
        assert mg.check_gradients(made, 0.5)
    for leaves in (
        lambda x: by_slopes(x) * x.data,
        lambda x: x.data * by_slopes(x),
        lambda x: by_slopes(x) + x * math.exp(x.data),
    ):
        with pytest.raises(TypeError, match=r"reading \.data of a Value in a function that is"):
            mg.grad(leaves)(0.5)
    with mg.no_grad():
        assert by_closure(Value(0.5)).data == math.tanh(0.5)


def test_asking_for_the_slopes_of_a_backward_of_ones_own_leaves_no_trace() -> None:
    w, x = Value(5.0), Value(2.0)
    out = Value(x.data * w.data, (x,), "scale")

    def send() -> None:
        x.grad += w.data * out.grad
        w.grad += x.data * out.grad

    out._backward = send
    z = out * 3
    z.backward()
    assert list(backward_steps(z)) and (w.grad, x.grad, out.grad) == (6.0, 15.0, 3.0)

    def by_defaults(x: Value = x, held: Any = {"w": [w]}, out: Value = out) -> None:  # noqa: B006
        x.grad += held["w"][0].data * out.grad
        held["w"][0].grad += x.data * out.grad

    for send_too in (by_defaults, functools.partial(by_defaults)):
        out._backward = send_too
        assert list(backward_steps(z)) and (w.grad, x.grad, out.grad) == (6.0, 15.0, 3.0)


def test_the_slope_of_a_backward_of_ones_own_that_clips_is_what_it_sends() -> None:
    def clipped(x: Value) -> Value:
        out = Value(x.data, (x,), "clip")

        def send() -> None:
            x.grad += max(-1.0, min(1.0, out.grad))

        out._backward = send
        return out

    for factor, slope in ((3.0, 1.0), (0.5, 0.5), (-4.0, -1.0)):
        x = Value(2.0)
        out = clipped(x) * factor
        out.backward()
        assert x.grad == slope
        assert mg.grad(lambda x, factor=factor: clipped(x) * factor)(2.0) == slope
        assert [s.contribution for s in backward_steps(out)] == [factor, slope]
        assert paths(out, x).total == paths(out, x).largest[0].product == slope
        assert x.grad == slope


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * 2.5, lambda x: 2.5 * x, lambda x: x**2, lambda x: 1 - x, lambda x: 4 / x,
        lambda x: x / 4, lambda x: 2**x, lambda x: mg.logaddexp(x, 1.0), lambda x: x + 3, mg.exp,
        lambda x: x * x, lambda x: mg.maximum(1.0, x), lambda x: -x,
    ],
)  # fmt: skip
def test_a_backward_that_calls_the_one_before_sends_the_same(f: Any) -> None:
    x, y = Value(3.0, label="x"), Value(3.0, label="x")
    out, same = f(x), f(y)
    names = out.op, out._op
    for _ in range(2):  # what was wrapped may be wrapped again
        before = out._backward
        out._backward = lambda before=before: before()
    (out * 2).backward()
    (same * 2).backward()
    assert (x.grad, out.op, out._op) == (y.grad, *names)
    assert type(x.grad) is float
    sent = [s.contribution for s in backward_steps(out * 2) if s.parent is x]
    assert sum(sent) == pytest.approx(y.grad)
    assert draw(out).source


def test_a_backward_of_a_leaf_is_called_when_its_gradient_is_there() -> None:
    x, seen = Value(2.0), list[float]()
    x._backward = lambda: seen.append(x.grad)
    for k in (1.0, 2.0, 3.0):
        (x * k + x).backward()
    assert (seen, x.grad, x.parents) == ([2.0, 5.0, 9.0], 9.0, ())
    x._backward()
    assert seen[-1] == 9.0
    with mg.no_grad():
        y = Value(1.0, (x,), "same")
        y._backward = lambda: seen.append(0.0)
    (y * 2).backward()
    assert seen[-1] == 9.0


def test_a_result_whose_backward_is_ones_own_is_not_called_changed() -> None:
    a = Value(2.0, label="a")
    out = Value(4.0, (a, a), "+")

    def send() -> None:
        a.grad += 2 * out.grad

    out._backward = send
    other = a * 4
    other.data = 0.0
    out.backward()
    assert a.grad == 2.0
    assert "changed" not in str(explain(out, a))


def test_a_backward_of_ones_own_shares_among_an_operand_that_is_used_twice() -> None:
    x = Value(3.0, label="x")
    out = x * x
    before = out._backward
    out._backward = lambda: before()
    out.backward()
    assert x.grad == 6.0
    assert [(s.parent, s.contribution) for s in backward_steps(out)] == [(x, 3.0), (x, 3.0)]
    assert "x" in explain(out, x).symbols


@pytest.mark.parametrize("name", ["mul", "neg", "where", "add", "+", "relu"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_nodes_of_your_own_may_be_called_like_an_operator(name: str, count: int) -> None:
    parents = [Value(float(k), label=f"p{k}") for k in range(count)]
    out = Value(7.0, tuple(parents), tuple(float(k + 2) for k in range(count)), name) + 1
    for k, parent in enumerate(parents):
        assert f"= {k + 2}" in explain(out, parent).symbols
    assert draw(out).source
