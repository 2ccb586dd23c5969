"""Programs of the shapes that people publish for micrograd run as they are, and compiled."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import math
import random
import weakref
from collections.abc import Callable
from typing import Any

import numpy
import pytest

import viz
from microgradlike import (
    TracingError,
    Value,
    check_gradients,
    compile,
    custom,
    fit,
    grad,
    losses,
    nn,
    optim,
    softmax,
)
from tests.programs import flat
from tests.published import LEARNING, bigram, drawing, gpt, lecture, own_nodes, own_values, policy

Numbers = tuple[float, list[float]]


def every(parameters: Any) -> list[Any]:
    """All parameters, in one order."""
    return flat(list(parameters.values() if isinstance(parameters, dict) else parameters))


def eager(program: Any, parameters: Any) -> Callable[[], Any]:
    """The mean over the examples, in plain Python."""
    rows = list(zip(*program.examples(), strict=True))
    return lambda: sum(program.loss(parameters, *row) for row in rows) * (1.0 / len(rows))


def compiled(program: Any, parameters: Any) -> Callable[[], Any]:
    """The same, compiled."""
    c, columns = compile(lambda *row: program.loss(parameters, *row)), program.examples()
    return lambda: c.mean(*columns)


def slopes(total: Callable[[], Any], parameters: Any) -> Numbers:
    """The loss, and its gradient."""
    values = every(parameters)
    for p in values:
        p.grad = 0.0
    loss = total()
    loss.backward()
    return float(loss), [p.grad for p in values]


def by_torch(program: Any, numbers: list[float]) -> Numbers:
    """The same program with PyTorch's scalars, at these numbers of the parameters."""
    torch: Any = importlib.import_module("torch")
    parameters = program.parameters(
        lambda x: torch.tensor(float(x), dtype=torch.float64, requires_grad=True)
    )
    tensors = every(parameters)
    for tensor, number in zip(tensors, numbers, strict=True):
        tensor.data.fill_(number)
    loss = eager(program, parameters)()
    loss.backward()
    return loss.item(), [0.0 if t.grad is None else t.grad.item() for t in tensors]


def close(ours: Any, theirs: Any) -> None:
    (value, gradient), (other_value, other_gradient) = ours, theirs
    assert value == pytest.approx(other_value, rel=1e-9, abs=1e-9)
    assert gradient == pytest.approx(other_gradient, rel=1e-9, abs=1e-9)


# ---- Programs that learn -----------------------------------------------------------------------


@pytest.mark.parametrize("name", LEARNING)
def test_it_learns_eagerly_and_compiled_and_agrees_with_torch(name: str, executor: None) -> None:
    program: Any = importlib.import_module(f"tests.published.{name}")
    plain, replayed = program.parameters(Value), program.parameters(Value)
    before = [p.data for p in every(plain)]
    by_hand, by_matrices = eager(program, plain), compiled(program, replayed)
    first = slopes(by_hand, plain)
    close(slopes(by_matrices, replayed), first)

    for p in (*every(plain), *every(replayed)):
        p.grad = 0.0
    course = program.train(plain, by_hand)
    assert course[-1] < course[0]
    assert program.train(replayed, by_matrices) == pytest.approx(course, rel=1e-9)
    after = [p.data for p in every(plain)]
    assert after != before
    assert [p.data for p in every(replayed)] == pytest.approx(after, rel=1e-9, abs=1e-9)

    last = slopes(by_hand, plain)
    close(slopes(by_matrices, replayed), last)
    if importlib.util.find_spec("torch"):
        close(first, by_torch(program, before))
        close(last, by_torch(program, after))


def test_the_neuron_of_the_lecture() -> None:
    neuron = lecture.one_neuron()
    found = {name: v.grad for name, v in neuron.items()}
    assert found == pytest.approx(
        {"x1": -1.5, "x2": 0.5, "w1": 1.0, "w2": 0.0, "b": 0.5}
        | {"x1*w1": 0.5, "x2*w2": 0.5, "n": 0.5, "o": 1.0}
    )
    assert neuron["o"].data == pytest.approx(math.sqrt(0.5))


def test_the_perceptron_of_the_lecture_in_fit() -> None:
    def trained(compiled: bool) -> tuple[list[float], list[float]]:
        class Network(nn.Module):
            def __init__(self) -> None:
                made = lecture.parameters(Value)
                self.values, self.network = list(made), made.network

            def __call__(self, x: Any) -> Any:
                return self.network(x)

        model = Network()
        history = fit(
            model, *lecture.examples(), loss=losses.mse, epochs=10, batch_size=4, seed=None,
            optimizer=optim.SGD(model.parameters(), lr=0.2), progress=False, compiled=compiled,
        )  # fmt: skip
        return history.loss, [p.data for p in model.parameters()]

    by_hand, by_matrices = trained(False), trained(True)
    assert by_matrices[0] == pytest.approx(by_hand[0], rel=1e-9)
    assert by_matrices[1] == pytest.approx(by_hand[1], rel=1e-9)
    assert by_hand[0] == pytest.approx(lecture_losses(lr=0.2), rel=1e-9)


def lecture_losses(lr: float) -> list[float]:
    """The first ten losses of the same network in the loop of the notebook."""
    model = lecture.parameters(Value)
    total, found = eager(lecture, model), []
    for _ in range(10):
        loss, gradient = slopes(total, model)
        for p, slope in zip(model, gradient, strict=True):
            p.data += -lr * slope
        found.append(loss)
    return found


def test_a_bigram_model_makes_up_words() -> None:
    W = bigram.parameters(Value)
    bigram.train(W, eager(bigram, W))
    words = [bigram.sample(W, seed) for seed in range(5)]
    assert all(set(word) <= set(bigram.LETTERS) - {"."} for word in words)
    assert any(word.endswith("a") for word in words)


def test_a_gpt_whose_tokens_are_places_and_which_reads_its_largest_logit(executor: None) -> None:
    state = gpt.parameters(Value)

    def total() -> Any:
        return sum(gpt.by_index(state, doc) for doc in gpt.DOCS) / len(gpt.DOCS)

    published = slopes(total, state)
    close(slopes(compiled(gpt, state), state), published)
    for p in every(state):
        p.grad = 0.0
    course = gpt.train(state, total)
    assert course[-1] < course[0]
    assert set(gpt.babble(state, 1)) <= set(gpt.LETTERS)
    # What it reads would be that of one row: that is refused where it is compiled, with the line.
    with pytest.raises(TracingError, match=r"gpt\.py.*max_val"):
        compile(lambda *logits: gpt.softmax(list(logits))[0])([1.0, 2.0], [3.0, 0.0])
    at = numpy.random.default_rng(0).normal(size=(4, 3))
    assert compile(softmax)(at).tolist() == pytest.approx(
        numpy.array([[p.data for p in gpt.softmax([Value(v) for v in row])] for row in at])
    )


def test_a_policy_learns_to_walk() -> None:
    theta = policy.parameters(Value)
    lengths = policy.play(theta, 60)
    assert sum(lengths[-10:]) < sum(lengths[:10])
    assert policy.policy(theta, [1.0, 0.0, 0.0, 0.0])[1].data > 0.6


# ---- Nodes of one's own ------------------------------------------------------------------------


def test_a_tanh_by_backward_in_a_network() -> None:
    def slopes_of(tanh: Callable[[Any], Any]) -> Numbers:
        x, w, b = Value(0.7), Value(-1.3), Value(0.4)
        hidden = tanh(x * w + b)
        out = tanh(hidden * hidden + hidden * x)
        out.backward()
        return out.data, [v.grad for v in (x, w, b)]

    close(slopes_of(own_nodes.tanh_by_backward), slopes_of(lambda v: v.tanh()))
    out = own_nodes.tanh_by_backward(Value(0.5))
    assert (out._op, len(out._prev)) == ("tanh", 1)


@pytest.mark.parametrize(
    "product",
    [own_nodes.product_by_backward, own_nodes.product_by_slopes],
    ids=lambda f: f.__name__,
)
def test_a_product_of_ones_own(product: Callable[[Any, Any], Any]) -> None:
    a, b = Value(3.0), Value(-2.0)
    out = product(product(a, b), a) + product(b, b)
    out.backward()
    assert (out.data, a.grad, b.grad) == (-14.0, -12.0, 5.0)


def test_slopes_beside_the_children() -> None:
    x = Value(0.3)
    (own_nodes.softplus_by_slopes(x * 2) * 3).backward()
    assert x.grad == pytest.approx(6 / (1 + math.exp(-0.6)), rel=1e-12)


def test_slopes_as_a_function_of_values_go_on_to_any_order(executor: None) -> None:
    assert grad(own_nodes.cube)(2.0) == 12.0
    assert grad(grad(own_nodes.cube))(2.0) == 12.0
    assert grad(grad(lambda a: own_nodes.bilinear(a, Value(5.0))))(2.0) == 10.0
    c = compile(own_nodes.cube)
    at = [-1.0, 0.5, 2.0]
    assert c(at).tolist() == [-1.0, 0.125, 8.0]
    assert c.jacobian(at).ravel().tolist() == [3.0, 0.75, 12.0]
    assert c.hessian(at).ravel().tolist() == [-6.0, 3.0, 12.0]


def test_a_program_of_such_nodes_compiled(executor: None) -> None:
    columns = [0.5, -1.5, 2.0], [1.0, -2.0, 0.0]

    def total(w: list[Value]) -> Any:
        rows = zip(*columns, strict=True)
        return sum(own_nodes.error(w, Value(x), y) for x, y in rows) * (1 / 3)

    plain, replayed = ([Value(v) for v in (0.8, -0.6, 0.3)] for _ in range(2))
    c = compile(lambda x, y: own_nodes.error(replayed, x, y))
    close(slopes(lambda: c.mean(*columns), replayed), slopes(lambda: total(plain), plain))
    assert all(p.grad != 0.0 for p in plain)


@pytest.mark.parametrize(
    "node", [own_nodes.product_by_slopes, own_nodes.product_by_backward], ids=lambda f: f.__name__
)
def test_numbers_of_the_first_row_are_not_compiled(node: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(TracingError, match=r"own_nodes\.py"):
        compile(node)([1.0, 2.0], [3.0, 4.0])


def test_check_gradients_tells_right_slopes_from_wrong_ones() -> None:
    assert check_gradients(own_nodes.cube, 1.5)
    assert check_gradients(own_nodes.bilinear, (1.5, -0.5))
    with pytest.raises(AssertionError, match="wrong_cube"):
        check_gradients(own_nodes.wrong_cube, 1.5)
    with pytest.raises(AssertionError, match="step"):
        check_gradients(own_nodes.straight_through, 1.5)


@pytest.mark.parametrize("slope", [1.0, [1.0], Value(1.0)], ids=repr)
def test_a_slope_may_be_constant(slope: Any, executor: None) -> None:
    def step(x: Value) -> Value:
        return custom(x.sign(), (x,), lambda x: slope * 1 if isinstance(slope, float) else slope)

    assert (grad(step)(-2.0), grad(grad(step))(-2.0)) == (1.0, 0.0)
    assert compile(step)([-2.0, 3.0]).tolist() == [-1.0, 1.0]
    assert compile(step).jacobian([-2.0, 3.0]).ravel().tolist() == [1.0, 1.0]


def test_a_constant_slope_may_be_a_value_made_in_the_function(executor: None) -> None:
    w = Value(3.0)
    c = compile(lambda x: Value(w.detach() + x, (w, x), (x, Value(5.0))))
    total = c.sum([1.0, 2.0])
    total.backward()
    assert (total.item(), w.grad) == (9.0, 3.0)
    assert c.jacobian([1.0, 2.0]).ravel().tolist() == [5.0, 5.0]


@pytest.mark.parametrize(
    "node",
    [own_nodes.cube, own_nodes.straight_through, own_nodes.softplus_by_slopes],
    ids=lambda f: f.__name__,
)
def test_a_node_of_ones_own_is_freed_with_its_graph(node: Callable[[Any], Any]) -> None:
    gc.collect()
    gc.disable()
    try:
        x = Value(0.5)
        alive = weakref.ref(x)
        (node(x * 2) + 1).backward()
        del x
        assert alive() is None
    finally:
        gc.enable()


# ---- Pictures of one's own ---------------------------------------------------------------------


def test_the_notebooks_own_drawing() -> None:
    x = Value(3.0)
    root = (x * 2 + 1).relu()
    root.backward()
    nodes, edges = drawing.trace(root)
    assert (len(nodes), len(edges)) == (6, 5)
    assert sorted(v.data for v in nodes) == [1.0, 2.0, 3.0, 6.0, 7.0, 7.0]
    assert sorted(v._op for v in nodes) == ["", "", "", "*", "+", "ReLU"]
    again = drawing.trace(root)[0]
    assert all(a is b for a, b in zip(nodes, again, strict=True))
    in_sets = drawing.trace_in_sets(root)
    assert (in_sets[0], in_sets[1]) == (set(nodes), set(edges))
    source = drawing.draw_dot(root).source
    assert source.count("shape=record") == 6
    assert source.count("->") == 8  # each edge, and one from each operation to its result
    assert f"data 3.0000 | grad {x.grad:.4f}" in source


def test_the_backward_pass_of_the_lecture_by_hand() -> None:
    a, b = Value(2.0), Value(-3.0)
    c = a * b + a**2
    root = (c * c - b / a).tanh() + c
    drawing.backward_by_hand(root)
    by_hand = a.grad, b.grad
    a.grad = b.grad = 0.0
    root.backward()
    assert by_hand == pytest.approx((a.grad, b.grad), rel=1e-12)


# ---- Values of one's own -----------------------------------------------------------------------


def test_a_subclass_with_an_operation_of_its_own(executor: None) -> None:
    a = own_values.Angle(0.8)
    twice: Any = a * 2
    out = twice.versine() + a
    assert isinstance(out, own_values.Angle)
    out.backward()
    assert out.data == pytest.approx(1 - math.cos(1.6) + 0.8)
    assert a.grad == pytest.approx(2 * math.sin(1.6) + 1)
    assert twice.in_degrees == pytest.approx(math.degrees(1.6))
    a.grad = 0.0
    c = compile(lambda x: own_values.Angle.haversine(a * x))
    total = c.sum([1.0, 2.0])
    total.backward()
    assert total.item() == pytest.approx((1 - math.cos(0.8) + 1 - math.cos(1.6)) / 2)
    assert a.grad == pytest.approx(math.sin(0.8) / 2 + math.sin(1.6), rel=1e-9)


def test_a_subclass_that_adds_by_itself() -> None:
    a = own_values.Adding(3.0)
    out: Any = (a * a + 1) * 2 + a
    assert (out._op, type(out)) == ("plus", own_values.Adding)
    out.backward()
    assert (out.data, a.grad) == (23.0, 13.0)
    assert float(sum([a, a])) == 6.0


def test_a_method_hung_on_the_class(monkeypatch: pytest.MonkeyPatch, executor: None) -> None:
    monkeypatch.setattr(Value, "cubed", own_values.cubed, raising=False)
    x: Any = Value(2.0)
    y = (x * 2).cubed() + x.cubed()
    y.backward()
    assert (y.data, x.grad) == (72.0, 108.0)
    c = compile(lambda x: (x * 2).cubed())
    assert c.jacobian([1.0, 2.0]).ravel().tolist() == [24.0, 96.0]


def test_attributes_and_weak_references_of_parameters() -> None:
    registry = own_values.Registry()
    w, b = registry.make(2.0, "w"), registry.make(1.0, "b")
    for _ in range(3):
        ((w * 3 + b) ** 2).backward()
        registry.step(0.01)
    assert [p.name for p in (w, b)] == ["w", "b"]
    assert len(w.history) == 4 and w.history[-1] == w.data != 2.0
    assert weakref.ref(w)() is w
    del w
    gc.collect()
    assert list(registry.known) == [b]


# ---- What docs/from_micrograd.md promises -------------------------------------------------------


def test_what_one_who_knows_micrograd_is_promised() -> None:
    a, b = Value(-4.0), Value(2.0)
    product = a * b

    # nodes of one's own, by _backward or by slopes
    for node in (own_nodes.product_by_backward, own_nodes.product_by_slopes):
        a.grad = b.grad = 0.0
        (node(a, b) + 1).relu().backward()
        assert (a.grad, b.grad) == (0.0, 0.0)
        (node(a, b) * -1).relu().backward()
        assert (a.grad, b.grad) == (-2.0, 4.0)

    # its nn
    random.seed(1337)
    model = nn.MLP(2, [16, 16, 1])
    assert len(model.parameters()) == 337
    assert repr(nn.Neuron(2)) == "ReLUNeuron(2)"
    assert repr(nn.Layer(2, 1, nonlin=False)) == "Layer of [LinearNeuron(2)]"
    score = model([1.0, -2.0])
    assert isinstance(score, Value)
    score.backward()
    assert any(p.grad for p in model.parameters())
    model.zero_grad()
    assert not any(p.grad for p in model.parameters())

    # its draw_dot: ours of that name, and the notebook's own
    assert viz.draw_dot(product).source.startswith("digraph")
    assert drawing.draw_dot(product).source.count("shape=record") == 3

    # _prev, _op, == by identity
    assert product._prev == {a, b}
    assert [v._op for v in (a, product, a + b, a**2, a.relu())] == ["", "*", "+", "**2", "ReLU"]
    twin = Value(-4.0)
    assert a == a and a != twin and twin not in [a, b] and len({a, twin}) == 2

    # attributes on Values that one made
    made: Any = a
    made.momentum = 0.9
    assert made.momentum == 0.9

    # what differs: attributes on results are refused
    result: Any = product
    with pytest.raises(AttributeError):
        result.momentum = 0.9
    assert not hasattr(result, "momentum")

    # `if v` asks for the number
    assert bool(a) is True
    with pytest.warns(RuntimeWarning, match="is not None"):
        assert bool(Value(0.0)) is False

    # fresh weights are scaled to the size of their layer
    for inputs in (4, 400):
        weights = [w.data for n in nn.Layer(inputs, 50, seed=0).neurons for w in n.w]
        largest = max(map(abs, weights))
        assert largest == pytest.approx(math.sqrt(6 / inputs), rel=0.05)


def test_micrograd_itself_has_the_same_graph_and_the_same_numbers() -> None:
    def shape(Value: Any) -> tuple[Any, ...]:
        a, b = Value(-4.0), Value(2.0)
        c = (a * b + b**3).relu() + a * 3
        c += c + 1
        c.backward()
        nodes, edges = drawing.trace(c)
        return sorted((v._op, v.data, v.grad if v._op else 0.0) for v in nodes), len(edges)

    def numbers(Value: Any) -> tuple[float, ...]:
        a, b = Value(-4.0), Value(2.0)
        c = a + b
        d = a * b + b**3
        c += c + 1
        c += 1 + c + (-a)
        d += d * 2 + (b + a).relu()
        d += 3 * d + (b - a).relu()
        e = c - d
        f = e**2
        g = f / 2.0
        g += 10.0 / f
        g.backward()
        return g.data, a.grad, b.grad

    assert shape(Value)[1] == 14
    assert numbers(Value) == pytest.approx((24.704081632, 138.833819242, 645.577259475))
    if importlib.util.find_spec("micrograd"):
        theirs = importlib.import_module("micrograd.engine").Value
        assert shape(Value) == shape(theirs)
        assert numbers(Value) == pytest.approx(numbers(theirs), rel=1e-12)
