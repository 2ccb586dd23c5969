"""grad and the checks, functions, losses, and copies of graphs."""

from __future__ import annotations

import builtins
import collections
import concurrent.futures
import copy
import io
import math
import pickle
import statistics
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest

import microgradlike
from microgradlike import (
    Value,
    assert_derivation,
    check_gradients,
    compile,
    grad,
    losses,
    nn,
    optim,
)
from microgradlike.functions import FUNCTIONS
from microgradlike.leaving import running

mg: Any = microgradlike
ROOT = Path(__file__).parents[2]


def boxed(value: Any) -> Any:
    """One number, or one Value, as an array of shape ()."""
    array = numpy.empty((), object)
    array[()] = value
    return array if isinstance(value, Value) else numpy.array(value)


def values(*numbers: float) -> Any:
    return numpy.array([Value(n) for n in numbers], dtype=object)


# ---- A1: numbers that leave the graph ------------------------------------------------------------


def filled(x: Any) -> Any:
    array = numpy.zeros(3)
    array[1] = x
    return x + array.sum()


def caught(x: Any) -> Any:
    try:
        return x * float(x)
    except TypeError:
        return x * x.detach()


def caught_as_whatever(x: Any) -> Any:
    try:
        return x * numpy.asarray([x], dtype=float).sum()
    except Exception:
        return x


def in_another_thread(x: Any) -> Any:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return x * next(pool.map(math.exp, [x]))


def by_backward(x: Any) -> Any:
    y = x * x
    y.backward()
    return x * x.grad


LEAVING: dict[str, Callable[[Any], Any]] = {
    "math alone": math.sin,
    "math": lambda x: x * math.exp(x),
    "math of a result": lambda x: x + math.exp(2 * x),
    "float": lambda x: x * float(x),
    "int": lambda x: x * int(x),
    "complex": lambda x: x * abs(complex(x)),
    "data": lambda x: x * x.data,
    "data of a result": lambda x: x * (x * x).data,
    "asarray": lambda x: x + numpy.asarray([x, 1.0], dtype=float).sum(),
    "astype": lambda x: x + numpy.array([x, 1.0]).astype(float).sum(),
    "float64": lambda x: x * numpy.float64(x),
    "item assignment": filled,
    "full": lambda x: x + numpy.full(2, x, dtype=float).sum(),
    "pad": lambda x: x + numpy.pad(numpy.zeros(1), 1, constant_values=x).sum(),
    "fsum": lambda x: x * math.fsum([x, 1.0]),
    "hypot": lambda x: x * math.hypot(x, 1.0),
    "isclose": lambda x: x if math.isclose(x, 1.0) else 2 * x,
    "round to an integer": lambda x: x * [0.0, 1.0, 2.0][int(x)],
    "deepcopy": lambda x: x * copy.deepcopy(x),
    "copy": lambda x: x * copy.copy(x),
    "pickle": lambda x: x * pickle.loads(pickle.dumps(2 * x)),
    "backward": by_backward,
    "caught": caught,
    "caught as whatever": caught_as_whatever,
    "in another thread": in_another_thread,
    "in the condition": lambda x: mg.where(math.sin(x) > 0, x, -x),
    "within grad": lambda x: grad(lambda y: y * math.sin(y))(x),
    "within grad, of the outer input": lambda x: grad(lambda y: y * math.sin(x))(2.0),
}


@pytest.fixture(params=list(LEAVING.values()), ids=list(LEAVING))
def leaving(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_A1_a_number_that_leaves_the_graph_is_refused(leaving: Callable[[Any], Any]) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: grad(leaving)(1.3),
        lambda: grad(grad(leaving))(1.3),
        lambda: grad(lambda p: leaving(p["a"]))({"a": numpy.array(1.3)}),
        lambda: grad(lambda a: leaving(a[0]) + a[1])(numpy.array([1.3, 2.0])),
        lambda: check_gradients(leaving, 1.3),
        lambda: assert_derivation(leaving, "0", points=[1.3]),
        lambda: assert_derivation(leaving, "0", points=[1.3], order=2),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"depends on the inputs, but outside") as it:
            call()
        if leaving is not in_another_thread:  # that has no line of this file
            assert f"{__file__}, line " in str(it.value)
    assert not running


def test_A1_derivations_that_were_accepted() -> None:
    for f, derivation in (
        (lambda x: x * math.exp(x), "exp(x)"),
        (lambda x: math.sin(x), "0"),
        (math.sin, "0"),
    ):
        with pytest.raises(TypeError, match="outside of the graph"):
            assert_derivation(f, derivation)

    def embedded(a: Any) -> Any:
        b = numpy.zeros((4, 4))
        b[:2, :2] = a
        return b.sum()

    with pytest.raises(TypeError, match=r"line \d+: b\[:2, :2\] = a"):
        grad(embedded)(numpy.eye(2))


def test_A1_the_line_is_that_of_the_function() -> None:
    def f(x: Any) -> Any:
        y = 2 * x
        return y * math.cosh(y)

    with pytest.raises(TypeError, match=r"line \d+: return y \* math.cosh\(y\)"):
        grad(f)(1.0)


def test_A1_what_does_not_depend_on_the_inputs_may_be_read() -> None:
    w, net = Value(3.0), nn.MLP(1, [1], seed=0)
    hidden = (w * 2).tanh()
    shared: list[tuple[Callable[[Any], Any], float]] = [
        (lambda x: x * math.exp(w), math.exp(3.0)),
        (lambda x: x * w.data * float(hidden), 3.0 * math.tanh(6.0)),
        (lambda x: x * sum(p.data for p in net.parameters()), sum(map(float, net.parameters()))),
        (lambda x: x * float(x.detach()), 2.0),
        (lambda x: x * float(Value(5.0) * 2), 10.0),
        (lambda x: x * numpy.asarray([w, hidden], dtype=float).sum(), 3.0 + math.tanh(6.0)),
        (lambda x: x * copy.deepcopy(w), 3.0),
    ]
    for f, slope in shared:
        assert grad(f)(2.0) == pytest.approx(slope, rel=1e-15)


def test_A1_what_is_no_number_may_be_asked_for() -> None:
    def f(x: Any) -> Any:
        text = f"{x} {x:.3f} {x!r} {x.op}"
        hash(x)
        return x * len(text[:0]) + (x if x > 0 and bool(x) and x != 5 else -x)

    assert grad(f)(2.0) == 1.0
    assert check_gradients(f, 2.0)


def test_A1_numbers_that_are_meant_to_leave() -> None:
    """detach and no_grad are the ways to say so; check_gradients tells of them."""

    @mg.no_grad()  # type: ignore[untyped-decorator, unused-ignore]
    def unrecorded(x: Any) -> Any:
        return x * x

    for f in (
        lambda x: x * x.detach(),
        lambda x: x * unrecorded(x),
        lambda x: x * float(x.detach()),
    ):
        assert grad(f)(2.0) in (2.0, 4.0)
        with pytest.raises(AssertionError, match="in a way that was not recorded"):
            check_gradients(f, 2.0)
    assert grad(lambda x: mg.softmax([x, 1.0])[0])(1.0) == 0.25


def test_A1_a_check_of_ones_own_within_f_works() -> None:
    def f(x: Any) -> Any:
        def g(x: Any) -> Any:
            return mg.sin(x)

        assert (g(1.0 + 1e-6) - g(1.0 - 1e-6)) / 2e-6 == pytest.approx(math.cos(1.0), rel=1e-8)
        assert check_gradients(g, 1.0)
        assert_derivation(g, "cos(x)", points=[1.0])
        return g(x)

    assert grad(f)(0.5) == math.cos(0.5)


def test_A1_grad_of_what_closes_over_an_outer_input() -> None:
    """By plain numbers, but the result depends on x: as a float it would leave the graph."""
    assert grad(lambda x: x * grad(lambda y: x * y)(2.0))(3.0) == 6.0
    assert grad(lambda x: grad(lambda y: x * y**2)(2.0))(3.0) == 4.0
    assert check_gradients(lambda x: grad(lambda y: mg.sin(x * y))(2.0), 0.3)
    assert grad(lambda x: grad(lambda y: y**2)(2.0) * x)(3.0) == 4.0
    assert isinstance(grad(lambda x: grad(lambda y: y**2)(2.0) * x)(3.0), float)


def test_A1_it_ends_with_the_function() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x * 2)
        return kept[-1]

    def fails(x: Any) -> Any:
        kept.append(x * 3)
        raise KeyError("own")

    assert grad(f)(1.5) == 2.0
    with pytest.raises(KeyError):
        grad(fails)(1.5)
    assert [float(v) for v in kept] == [v.data for v in kept] == [3.0, 4.5]
    assert not running


def test_A1_other_threads_read_what_they_like() -> None:
    within, read = threading.Event(), threading.Event()
    others = Value(2.0) * 3

    def reads() -> None:
        assert within.wait(10)
        try:
            assert (float(others), others.data, math.sqrt(others * 6)) == (6.0, 6.0, 6.0)
            others.backward()
        finally:
            read.set()

    def f(x: Any) -> Any:
        within.set()
        assert read.wait(10)
        return x * x

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(reads)
        assert grad(f)(3.0) == 6.0
        done.result()


def test_A1_reading_constants_walks_their_graph_once() -> None:
    deep = chain(1_000)[-1]
    steps = 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal steps
        steps += event == "call" and frame.f_code.co_name == "parents"

    def f(x: Any) -> Any:
        return x * sum(float(deep) for _ in range(100))

    sys.setprofile(count)
    try:
        grad(f)(1.0)
    finally:
        sys.setprofile(None)
    assert steps < 3_000


def test_A1_compiled_functions_that_ask_for_gradients(executor: None) -> None:
    f = grad(grad(lambda x: mg.sin(x) * x))
    assert compile(f)(numpy.array([0.5])).item() == pytest.approx(f(0.5), rel=1e-13)
    with pytest.raises(mg.TracingError):
        compile(grad(lambda x: x * math.sin(x)))(numpy.array([0.5]))


@pytest.mark.parametrize(
    "leaves",
    [
        lambda x: x * float(f"{x:.17g}"),
        lambda x: x * float(format(x * x, ".3f")),
        lambda x: x * float(f"{x:.3e}"),
        lambda x: x * int(f"{x:.0f}"),
    ],
)
def test_A1_a_number_made_of_text_is_refused(leaves: Any) -> None:
    assert isinstance(leaves(Value(2.0)), Value)  # nobody differentiates it
    for call in (grad(leaves), lambda at: check_gradients(leaves, at)):
        with pytest.raises(TypeError, match=r"float\(v\).* of a Value in a function that is diff"):
            call(2.0)


def test_A1_text_may_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        print(f"{x:.3f} {x}", f"{x:.2f}", len(f"{x:5.1f}"), float(f"{Value(7.0):.1f}"))
        return x * x

    assert grad(f)(2.0) == 4.0
    assert capsys.readouterr().out == "2.000 Value(data=2.0, grad=0.0) 2.00 5 7.0\n"


@pytest.mark.parametrize("compute", [statistics.mean, statistics.stdev, statistics.variance])
def test_A1_fractions_are_refused_in_a_sentence(compute: Any) -> None:
    for call in (compute, grad(compute)):
        with pytest.raises(TypeError, match=r"no fraction, .* microgradlike\.mean"):
            call([Value(1.0), Value(2.0)])


def test_A1_nan_is_asked_for_by_comparing() -> None:
    def f(x: Any) -> Any:
        return 3.0 * x if x <= math.inf else 0.0 * x

    assert [grad(f)(x) for x in (1.0, math.inf)] == [3.0, 3.0]
    assert not Value(math.nan) <= math.inf


def test_A5_a_plain_number_returned_is_a_constant_everywhere() -> None:
    for constant in (5.0, 5, numpy.float64(5.0), numpy.array(5.0), Value(5.0)):
        assert grad(lambda x, c=constant: c)(2.0) == 0.0
        report = check_gradients(lambda x, c=constant: c, 2.0)
        assert report and [row.engine for row in report.operands] == [0.0]
        assert_derivation(lambda x, c=constant: c, "0")


# ---- A3: masked arrays and matrices --------------------------------------------------------------


@pytest.mark.parametrize(
    "argument",
    [
        numpy.ma.array([1.0, 2.0], mask=[True, False]),
        {"a": [numpy.ma.array([1.0, 2.0])]},
        numpy.ma.array(2.0),
        numpy.ma.masked,
    ],
    ids=["array", "within", "shape ()", "masked"],
)
def test_A3_masked_arrays_are_refused(argument: Any) -> None:
    for call in (grad(lambda a: Value(1.0)), lambda a: check_gradients(lambda a: Value(1.0), a)):
        with pytest.raises(TypeError, match=r"is a masked array or holds one, .*filled"):
            call(argument)


def test_A3_a_masked_number_or_list_is_refused() -> None:
    masked = numpy.ma.array([1.0, 2.0], mask=[True, False])
    calls: list[Callable[[], Any]] = [
        lambda: Value(masked[0]),
        lambda: losses.mse(Value(1.0), masked[0]),
        lambda: losses.mse([Value(1.0), Value(2.0)], masked),
        lambda: mg.sum(masked),
        lambda: mg.tanh(masked),
        lambda: mg.where(masked, 1.0, 2.0),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="is a masked array"):
            call()


def test_A3_sentences_name_what_was_given() -> None:
    masked = numpy.ma.array([1.0, 2.0], mask=[True, False])
    for call, what in ((mg.exp, "exp"), (mg.mean, "mean"), (lambda a: Value(a[0]), "Value.data.")):
        with pytest.raises(TypeError, match=f"^what {what} was given is a masked array"):
            call(masked)


def test_A3_a_matrix_is_refused() -> None:
    matrix = numpy.asmatrix([[1.0, 2.0], [3.0, 4.0]])
    for call in (grad(lambda a: (a**2).sum()), mg.tanh, mg.sum):
        with pytest.raises(TypeError, match=r"is a numpy\.matrix, .*numpy\.asarray"):
            call(matrix)


# ---- A5: arrays of shape () ----------------------------------------------------------------------


def test_A5_within_structures_given_to_grad() -> None:
    slopes = grad(lambda p: p["w"] * p["b"][0] ** 2)({"w": boxed(3.0), "b": [boxed(2.0)]})
    assert slopes == {"w": 4.0, "b": [12.0]}
    assert isinstance(slopes["w"], numpy.ndarray)
    assert slopes["w"].shape == ()
    x = Value(3.0)
    slope = grad(lambda v: v**3)(boxed(x))
    assert slope.shape == ()
    slope.item().backward()
    assert x.grad == 18.0
    assert grad(grad(lambda v: v**3))(boxed(2.0)) == 12.0


@pytest.mark.parametrize("kind", [float, "float32", "int8", object])
def test_A5_given_to_the_checks(kind: Any) -> None:
    two = numpy.array(2, dtype=kind)
    report = check_gradients(lambda x, p: x * p["a"], (two, {"a": two}))
    assert [row.name for row in report.operands] == ["x", "p['a']"]
    assert check_gradients(lambda x: x * x, two)
    assert_derivation(lambda x: x * x, "2*x", points=[two, numpy.array(1.5)])
    assert_derivation(lambda x, y: x * y, ["y", "x"], points=[(two, 1.0)])
    assert_derivation(lambda x: x * x, "2*x", domain=(two, 3), tolerance=numpy.array(1e-9))


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda x: numpy.where(x > 0, x * x, -x), 4.0),
        (lambda x: numpy.select([x > 0], [x * x], -x), 4.0),
        (lambda x: numpy.tensordot(numpy.array([x, x]), numpy.array([1.0, 2.0]), 1), 3.0),
        (lambda x: boxed(x * x), 4.0),
        (lambda x: boxed(3.0), 0.0),
        (lambda x: numpy.squeeze(numpy.array([x * 5.0])), 5.0),
    ],
)
def test_A5_returned_by_f(f: Any, slope: float) -> None:
    assert grad(f)(2.0) == slope
    assert_derivation(f, lambda x: grad(f)(x), points=[2.0])
    if slope:
        assert check_gradients(f, 2.0)
        assert grad(lambda x: grad(f)(x) * x)(2.0) == {4.0: 8.0}.get(slope, slope)


def test_A5_given_to_values_losses_optimisers_and_functions() -> None:
    assert Value(boxed(2.0)).data == 2.0
    x = Value(0.5)
    assert losses.mse(x, boxed(1.5)).data == losses.mse(boxed(x), 1.5).data == 1.0
    assert losses.huber(boxed(0.0), boxed(0.5)) == 0.125
    assert losses.hinge(boxed(x), boxed(-1)).data == 1.5
    assert losses.binary_cross_entropy(x, boxed(1)).data == mg.softplus(-0.5)
    assert losses.cross_entropy([x, x], boxed(1)).data == pytest.approx(math.log(2))
    assert losses.l2([boxed(3.0), boxed(Value(4.0))]).data == 25.0
    assert losses.l1([boxed(-3.0), boxed(Value(4.0))]).data == 7.0
    x.grad = 1.0
    optim.SGD([x], lr=boxed(0.25), momentum=boxed(0.5)).step()
    assert x.data == 0.25
    for box in (boxed(1.0), boxed(Value(1.0))):
        assert float(mg.tanh(box)) == math.tanh(1.0)
        assert float(mg.maximum(box, x)) == float(mg.maximum(x, box)) == 1.0
        assert float(mg.where(x > 0, box, 0.0)) == 1.0
        assert float(mg.where(boxed(True), box, 0.0)) == 1.0
        assert float(mg.clip(x, box, None)) == float(mg.sinc(box) + 1) == 1.0
        assert float(mg.sum([box, x])) == float(x + box) == float(box + x) == 1.25
    assert x.maximum(boxed(1.0)).data == x.hypot(boxed(0.0)).data + 0.75 == 1.0
    x *= boxed(2.0)
    assert isinstance(x, Value)


@pytest.mark.parametrize("bad", ["text", 1j, None], ids=repr)
def test_A5_an_array_of_shape_nothing_holds_a_number(bad: Any) -> None:
    for call in (Value, mg.tanh, grad(lambda x: x), lambda b: losses.mse(Value(1.0), b)):
        with pytest.raises(TypeError, match="takes a real number"):
            call(boxed(bad))


# ---- A6: copies of any depth ---------------------------------------------------------------------


def pickled(protocol: int) -> Callable[[Any], Any]:
    return lambda graph: pickle.loads(pickle.dumps(graph, protocol))


def pickled_by_python(graph: Any) -> Any:
    file = io.BytesIO()
    pickle._Pickler(file).dump(graph)
    file.seek(0)
    return pickle._Unpickler(file).load()


DUPLICATES = {
    "deepcopy": copy.deepcopy,
    **{f"pickle {p}": pickled(p) for p in range(pickle.HIGHEST_PROTOCOL + 1)},
    "pickle in Python": pickled_by_python,
}


@pytest.fixture(params=list(DUPLICATES.values()), ids=list(DUPLICATES))
def duplicate(request: pytest.FixtureRequest) -> Any:
    return request.param


def chain(length: int) -> list[Value]:
    made = [Value(1.0, label="leaf")]
    for _ in range(length):
        made.append(made[-1] * 0.99 + made[0])
    return made


def test_A6_a_deep_graph_and_what_it_shares(duplicate: Any) -> None:
    made = chain(2_000)
    leaf, hidden, loss = made[0], made[1_000], made[-1]
    hidden.label = "hidden"
    loss.backward()
    for order in ([leaf, hidden, loss], [loss, hidden, leaf], [hidden, loss, leaf]):
        twins = duplicate(order)
        twin_leaf, twin_hidden, twin_loss = (twins[order.index(v)] for v in (leaf, hidden, loss))
        assert (twin_leaf.label, twin_hidden.label) == ("leaf", "hidden")
        assert (twin_leaf.grad, twin_hidden.grad) == (leaf.grad, hidden.grad)
        assert twin_leaf is not leaf
        twin_loss.zero_grad()
        twin_loss.backward()  # through the twins, which are the same nodes
        assert (twin_leaf.grad, twin_hidden.grad) == (leaf.grad, hidden.grad)


def test_A6_forty_thousand_nodes() -> None:
    loss = chain(20_000)[-1]
    for twin in (copy.deepcopy(loss), pickled(5)(loss)):
        twin.backward()
        assert twin.data == loss.data


def test_A6_every_node_of_a_graph_in_a_list_takes_linear_time(duplicate: Any) -> None:
    """A walk from each of them down to the leaf would visit a million nodes."""
    made = chain(1_000)
    for listed in (made, made[::-1]):
        visited = 0

        def count(frame: Any, event: str, _: Any) -> None:
            nonlocal visited
            visited += event == "call" and frame.f_code.co_name == "_operations"

        sys.setprofile(count)
        try:
            twins = duplicate(listed)
        finally:
            sys.setprofile(None)
        assert len(made) < visited < 4 * len(made)
        twins.sort(key=lambda v: v.data)
        assert twins[9].operands[0].operands[0] is twins[8]


def test_A6_a_shared_graph_of_many_paths(duplicate: Any) -> None:
    x = Value(1.0)
    y = x
    for _ in range(30):
        y = y + y
    twin = duplicate(y)
    assert twin.parents[0] is twin.parents[1]
    twin.backward()
    assert twin.data == 2.0**30


def test_A6_within_other_objects(duplicate: Any) -> None:
    model: Any = nn.MLP(1, [2, 1], seed=0)
    model.loss = sum((losses.mse(model([k / 100]), 1.0) for k in range(100)), Value(0.0))
    twin = duplicate(model)
    twin.zero_grad()
    twin.loss.backward()
    model.loss.backward()
    assert [p.grad for p in twin.parameters()] == [p.grad for p in model.parameters()]
    assert all(p is not q for p, q in zip(twin.parameters(), model.parameters(), strict=True))
    twins = duplicate({"a": (model.loss, {"b": model.loss})})
    assert twins["a"][0] is twins["a"][1]["b"]


def test_A6_a_graph_with_a_cycle(duplicate: Any) -> None:
    a = Value(1.0) * 2
    b = a * 3
    a._x = b
    twin = duplicate(b)
    assert twin._x._x is twin
    assert twin is not b


def test_A6_a_pickler_that_is_used_again_or_failed() -> None:
    made: Any = chain(3_000)
    file = io.BytesIO()
    pickler = pickle.Pickler(file)
    pickler.dump(made[1_000])
    other = pickle.loads(pickle.dumps(made[500:][::-1]))  # another one in between
    pickler.dump([made[1_000], made[-1]])
    file.seek(0)
    unpickler = pickle.Unpickler(file)
    first, (again, last) = unpickler.load(), unpickler.load()
    assert again is first
    assert (last.data, other[0].data) == (made[-1].data, made[-1].data)

    made[0].own = lambda: None  # what cannot be pickled
    for _ in range(2):
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(made[-1])
    del made[0].own
    assert pickle.loads(pickle.dumps(made[-1])).data == made[-1].data
    assert pickle.loads(pickle.dumps(made[::-1]))[0].data == made[-1].data


def test_A6_a_copy_has_the_same_operands() -> None:
    x = Value(2.0, label="x")
    y = x * 3
    y.label, y.grad = "y", 5.0
    twin = copy.copy(y)
    assert twin is not y
    assert (repr(twin), twin.operands) == (repr(y), (x, 3.0))
    assert twin.operands[0] is x


class Named(Value):
    """A Value with more than a Value has."""

    def __init__(self, data: float, of: Any) -> None:
        super().__init__(data)
        self.of = of


def test_A6_a_subclass_keeps_what_it_has(duplicate: Any) -> None:
    deep = chain(2_000)[-1]
    leaf = Named(2.0, of=deep)
    root = leaf * deep
    twin = duplicate([root, deep])
    assert type(twin[0].parents[0]) is Named
    assert twin[0].parents[0].of is twin[0].parents[1] is twin[1]


# ---- A12: truth values ---------------------------------------------------------------------------

TRUTHS = [True, numpy.bool_(True), numpy.array(True)]


@pytest.mark.parametrize("true", TRUTHS, ids=["bool", "bool_", "array"])
def test_A12_a_truth_value_counts_beside_a_value(true: Any) -> None:
    x = Value(3.0)
    made = [x * true, true * x, x + true, true + x, x - true, true - x, x / true, x**true, true / x]
    assert [v.data for v in made] == [3.0, 3.0, 4.0, 4.0, 2.0, -2.0, 3.0, 3.0, 1 / 3]
    assert all(isinstance(v, Value) for v in made)
    assert x.maximum(true).data == mg.maximum(true, x).data == 3.0
    assert mg.hypot(true, 0.0) == mg.where(True, true, x) == mg.clip(true, 0, 2) == 1.0
    assert (mg.tanh(true), mg.sum([true, true, x]).data) == (math.tanh(1.0), 5.0)
    assert (x > true) is True or (x > true) == numpy.bool_(True)
    assert losses.mse(x, true).data == losses.mse([x, x], [true, true]).data == 4.0
    assert losses.binary_cross_entropy(x, true).data == mg.softplus(-3.0)
    assert losses.hinge(x / 6, true).data == 0.5


def test_A12_masks() -> None:
    f: list[tuple[Callable[[Any], Any], float]] = [
        (lambda x: x * (x > 0), 1.0),
        (lambda x: (x > 0) * x**2, 4.0),
        (lambda x: mg.mean([x > 0, x, x < 0]), 1 / 3),
        (lambda x: mg.dot([x > 0, x < 0], [x, x]), 1.0),
        (lambda x: mg.prod([x, x > 0]), 1.0),
        (lambda x: mg.where(x > 0, x, x > 0), 1.0),
    ]
    for function, slope in f:
        assert grad(function)(2.0) == slope
        assert check_gradients(function, 2.0)
    assert grad(lambda a: (a * (a > 0)).sum())(numpy.array([1.0, -2.0, 3.0])).tolist() == [1, 0, 1]
    assert grad(lambda a: ((a > 0) * a**2).sum())(numpy.array([1.0, -2.0])).tolist() == [2, 0]
    assert_derivation(lambda x: mg.relu(x), "x > 0")
    assert_derivation(lambda x: x * (x > 0), lambda x: x > 0)


def test_A12_compiled(executor: None) -> None:
    rows = numpy.array([2.0, -3.0, 0.5])
    for f in (
        lambda x: x * (x > 0),
        lambda x: (x > 1) * x + x,
        lambda x: mg.mean([x > 0, x]),
        lambda x: mg.maximum(x > 0, x),
        lambda x: mg.sum([x * x, x > 0, x < 1]),
    ):
        c = compile(f)
        assert c(rows).ravel().tolist() == [f(Value(v)).data for v in rows]  # type: ignore[no-untyped-call]
        assert c.jacobian(rows).ravel().tolist() == [grad(f)(v) for v in rows]


def test_A12_where_a_number_is_asked_for_by_itself_a_truth_value_is_none() -> None:
    calls: list[Callable[[], Any]] = [
        lambda: Value(True),
        lambda: Value(numpy.array(True)),
        lambda: grad(lambda x: x)(numpy.bool_(True)),
        lambda: optim.SGD([Value(1.0)], lr=True).step(),
        lambda: check_gradients(lambda x: x, True),
        lambda: assert_derivation(lambda x: x, "1", tolerance=True),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="takes a real number"):
            call()
    with pytest.raises(TypeError, match="is an integer"):
        losses.cross_entropy([1.0, 2.0], numpy.bool_(True))


# ---- A13, A16: arrays of Values and numbers ------------------------------------------------------


def test_A13_functions_take_arrays_of_values_and_numbers() -> None:
    a = values(0.5, -0.25)
    mixed = numpy.append(a, 1.0)
    with pytest.raises(TypeError):
        numpy.tanh(mixed)  # NumPy's own: docs/edge_cases.md says what to do
    out = mg.tanh(mixed)
    assert [float(v) for v in out] == [math.tanh(v) for v in (0.5, -0.25, 1.0)]
    out.sum().backward()
    assert [v.grad for v in a] == [1 - math.tanh(v) ** 2 for v in (0.5, -0.25)]
    assert grad(lambda a: mg.exp(numpy.append(a, 1.0)).sum())(numpy.zeros(2)).tolist() == [1.0, 1.0]


def of(name: str) -> list[Any]:
    shift = 1.0 if name in ("acosh", "arccosh") else 0.0
    try:
        FUNCTIONS[name](0.5)
    except TypeError:
        return [numpy.array([0.25, 0.75]), numpy.array([0.5, 0.3])]
    return [numpy.array([0.25, 0.75]) + shift]


OF_MANY = {"sum", "prod", "mean", "dot", "logsumexp", "softmax", "where"}


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - OF_MANY))
def test_A16_functions_work_on_each_element(name: str) -> None:
    function, operands = FUNCTIONS[name], of(name)
    expected = [
        function(*point) for point in zip(*map(numpy.ndarray.tolist, operands), strict=True)
    ]
    plain = function(*(a.reshape(2, 1) for a in operands))
    assert (plain.dtype, plain.shape, plain.ravel().tolist()) == (float, (2, 1), expected)
    arrays = [values(*a) for a in operands]
    out = function(*(a.reshape(1, 2) for a in arrays))
    assert out.shape == (1, 2)
    for index, v in enumerate(out.ravel()):
        slopes = grad(function)(*(a[index] for a in operands))
        v.backward()
        assert v.data == expected[index]
        found = [a[index].grad for a in arrays]
        assert found == ([slopes] if len(arrays) == 1 else list(slopes))


def test_A16_arrays_are_broadcast() -> None:
    a = values(1.0, 4.0)
    assert (
        [v.data for v in mg.maximum(a, 2.0)] == [v.data for v in mg.maximum(2.0, a)] == [2.0, 4.0]
    )
    assert mg.maximum(numpy.zeros((3, 1)), a).shape == (3, 2)
    assert mg.maximum(Value(2.0), numpy.array([1.0, 3.0])).tolist() == [2.0, 3.0]
    assert mg.clip(a, 2, numpy.array([3.0, 3.5])).tolist() == [2.0, 3.5]
    chosen = mg.where(numpy.array([True, False]), a, 0.0)
    assert (chosen[0].data, chosen[1]) == (1.0, 0.0)
    assert mg.where(True, numpy.array([1, 2]), 0).tolist() == [1.0, 2.0]
    assert mg.leaky_relu(-a, 0.5).tolist() == [-0.5, -2.0]
    assert mg.exp(numpy.zeros((0, 2))).shape == (0, 2)
    assert mg.tanh(a.reshape(2, 1)).shape == (2, 1)


def test_A16_functions_of_arrays_are_compiled(executor: None) -> None:
    def f(x: Any) -> Any:
        return mg.silu(mg.where(x > 0, mg.tanh(x), x)).sum()

    rows = numpy.array([[0.5, -0.25], [1.0, 2.0], [-1.0, -2.0]])
    arrays = compile(lambda x: f(numpy.array(x)))
    expected = [f(row) for row in rows]
    assert arrays(rows).ravel() == pytest.approx(expected, rel=1e-14)
    slopes = [grad(f)(row) for row in rows]
    assert arrays.jacobian(rows).reshape(3, 2) == pytest.approx(numpy.array(slopes), rel=1e-13)


def test_A16_an_array_with_no_number_is_refused() -> None:
    for bad in (numpy.array(["a"]), numpy.array([None]), numpy.array([[1j]])):
        with pytest.raises(TypeError, match="takes a real number"):
            mg.tanh(bad)


def test_A16_the_product_of_matrices_is_not_dot() -> None:
    matrix = numpy.ones((2, 2))
    for pair in ((matrix, matrix), (matrix, [1.0, 2.0]), ([1.0, 2.0], values(1, 2).reshape(2, 1))):
        with pytest.raises(TypeError, match=r"dot takes .*one axis.*A @ B"):
            mg.dot(*pair)
    with pytest.raises(TypeError, match=r"softmax takes .*one axis.*for row in A"):
        mg.softmax(matrix)
    with pytest.raises(TypeError, match="with one logit for each class"):
        losses.cross_entropy(matrix, 1)
    with pytest.raises(TypeError, match=r"an output of mse .*an array of shape"):
        losses.mse(matrix, matrix)
    with pytest.raises(TypeError, match=r"an output of mse .*an array of shape"):
        losses.mse(values(1, 2).reshape(1, 2), [1.0])
    assert mg.dot(values(1, 2), numpy.array([3, 4])).data == 11.0


class Point(NamedTuple):
    """A pair of numbers."""

    x: Any
    y: Any


def test_A16_grad_gives_back_the_types_that_it_got() -> None:
    def f(p: Any) -> Any:
        return p["a"] * p["b"]

    ordered = grad(f)(collections.OrderedDict(b=2.0, a=3.0))
    assert ordered == collections.OrderedDict(b=3.0, a=2.0)
    assert type(ordered) is collections.OrderedDict
    default = grad(f)(collections.defaultdict(float, a=3.0, b=2.0))
    assert (type(default), default["a"], default["new"]) == (collections.defaultdict, 2.0, 0.0)
    for kind in (types.MappingProxyType, collections.UserDict, collections.Counter, dict):
        slopes = grad(f)(kind({"a": 3.0, "b": 2.0}))
        assert type(slopes) is kind
        assert dict(slopes) == {"a": 2.0, "b": 3.0}
    assert grad(lambda p: p.x * p.y[0])(Point(2.0, [3.0])) == Point(3.0, [2.0])
    assert isinstance(grad(lambda p: p.x * p.y)(Point(2.0, 3.0)), Point)
    report = check_gradients(f, types.MappingProxyType({"a": 3.0, "b": 2.0}))
    assert [row.name for row in report.operands] == ["p['a']", "p['b']"]


# ---- A15: Python's names -------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["microgradlike", "microgradlike.functions"])
def test_A15_import_star_leaves_pythons_names_alone(module: str) -> None:
    program = f"from {module} import *; print(*globals())"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    names = [name for name in run.stdout.split() if not name.startswith("__")]
    assert {"tanh", "where", "mean"} < {*names}
    assert [name for name in names if hasattr(builtins, name)] == []


def test_A15_they_are_reached_by_the_package() -> None:
    for name in ("sum", "abs", "pow", "round", *FUNCTIONS):
        assert getattr(mg, name) is FUNCTIONS[name]
    assert mg.compile is compile
