"""compile(): eager is the reference, for every program, in every block, on every branch."""

from __future__ import annotations

import copy
import functools
import math
import pickle
import random
import threading
from collections.abc import Callable
from typing import Any

import numpy
import pytest

from microgradlike import (
    TracingError,
    Value,
    compile,
    detect_anomaly,
    dot,
    exp,
    functions,
    grad,
    loop,
    losses,
    maximum,
    no_grad,
    softmax,
    sqrt,
    tanh,
    where,
)
from microgradlike.compiler import kept_code, levels
from microgradlike.compiler.instructions import INPUTS, PARAMETERS
from microgradlike.compiler.plan import Plan, plan
from microgradlike.compiler.program import Program
from microgradlike.compiler.slots import in_few_slots
from microgradlike.executors import on_numpy
from microgradlike.executors.machine import executor as machine
from microgradlike.nn import MLP
from microgradlike.ops import OPERATORS
from microgradlike.replay import traces
from microgradlike.replay.compiled import Compiled
from tests.executors import small_blocks, without_numba
from tests.programs import flat

pytestmark = pytest.mark.usefixtures("executor")

NORMAL = numpy.random.default_rng(0).normal
X = NORMAL(size=(7, 3))
Y = NORMAL(size=7)
ROWS = numpy.random.default_rng(1).normal(size=(6, 5))


@pytest.fixture(params=["numba", "python"])
def passes(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The passes as machine code, and the same code as plain Python."""
    if request.param == "python":
        without_numba(monkeypatch)


# ---- Operators ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [row.name for row in OPERATORS.values() if row.name != "where"])
def test_every_operator_at_special_points_and_ties(name: str) -> None:
    points = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, math.inf, -math.inf, math.nan, 30.0, -30.0, 1e-300)
    f = getattr(functions, name)
    if len(OPERATORS[name].slopes) == 1:
        columns = [list(points)]
    else:
        pairs = [(x, y) for x in points for y in points]
        columns = [list(column) for column in zip(*pairs, strict=True)]
    c = compile(lambda *operands: f(*operands))
    values, jacobian = c(*columns), c.jacobian(*columns)
    for row, given_ in enumerate(zip(*columns, strict=True)):
        operands = [Value(v) for v in given_]
        out = f(*operands)
        out.backward()
        assert values[row] == pytest.approx(out.data, rel=1e-14, nan_ok=True), given_
        expected = [operand.grad for operand in operands]
        assert jacobian[row, 0] == pytest.approx(expected, rel=1e-13, nan_ok=True), given_


# ---- What is found -----------------------------------------------------------------------------


def weights(rows: int, columns: int, seed: int = 0) -> list[list[Value]]:
    draw = random.Random(seed)
    return [[Value(draw.uniform(-1, 1)) for _ in range(columns)] for _ in range(rows)]


def agrees_with_eager(f: Any, *columns: Any) -> None:
    """Values of all rows, and the gradient of their sum, which counts every output."""
    c = compile(f)
    values = c(*columns).reshape(len(columns[0]), -1)
    total = compile(lambda *given: functions.sum(flat(f(*given))))
    parameters = total.trace(*columns).parameters
    for parameter in parameters:
        parameter.grad = 0.0
    total.mean(*columns).backward()
    ours = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = 0.0
    for row, given_ in enumerate(zip(*[numpy.asarray(x).tolist() for x in columns], strict=True)):
        outputs = flat(f(*given_))
        assert values[row] == pytest.approx([out.data for out in outputs], rel=1e-12, abs=1e-14)
        (functions.sum(outputs) / len(values)).backward()
    assert ours == pytest.approx([p.grad for p in parameters], rel=1e-10, abs=1e-12)


def test_a_network(passes: None) -> None:
    model = MLP(2, [16, 16, 1], seed=0)

    def loss(x: Any, y: Any) -> Any:
        return (1 - y * model(x)).relu() + 1e-4 * sum(p * p for p in model.parameters())

    c = compile(loss).trace(X[:, :2], Y)
    assert c.describe() == (
        "rows x [layer 2->16, relu x16, layer 16->16, relu x16, layer 16->1, mul, sub, relu, add]; "
        "once [sum of squares 337, mul]"
    )
    assert len(c.parameters) == 337
    agrees_with_eager(loss, X[:, :2], Y)


def test_a_network_by_hand_in_loops_and_trees(passes: None) -> None:
    first, biases, second = weights(8, 3), [Value(0.1 * i) for i in range(8)], weights(3, 8)

    def network(x: Any) -> Any:
        hidden = []
        for row, bias in zip(first, biases, strict=True):
            total: Any = 0
            for place, (w, v) in enumerate(zip(row, x, strict=True)):
                if place % 2:
                    total -= -(v * w)
                else:
                    total += w * v
            hidden.append(tanh(bias + total))
        outputs = []
        for row in second:
            terms = [w * v for w, v in zip(row, hidden, strict=True)][::-1]
            while len(terms) > 1:
                terms = [sum(terms[i : i + 2]) for i in range(0, len(terms), 2)]
            outputs.append(terms[0])
        return outputs

    assert compile(network).trace(X).describe().endswith("layer 8->3]")
    assert "tanh x8" in compile(network).trace(X).describe()
    agrees_with_eager(network, X)


def test_the_layer_is_found_however_its_sum_is_written(passes: None) -> None:
    matrix = weights(4, 3)
    ways = [
        lambda x: [dot(row, x) for row in matrix],
        lambda x: [sum(w * v for w, v in zip(row, x, strict=True)) for row in matrix],
        lambda x: [x[2] * r[2] + (r[0] * x[0] + x[1] * r[1]) for r in matrix],
        lambda x: [-(-(r[0] * x[0]) - r[1] * x[1]) + r[2] * x[2] for r in matrix],
        lambda x: list(numpy.array(matrix) @ numpy.array(x)),
    ]
    for way in ways:
        assert compile(way).trace(X).describe() == "rows x [layer 3->4]"
        agrees_with_eager(way, X)


def test_shared_weights_are_one_product(passes: None) -> None:
    model = MLP(3, [4, 2], activation="tanh", seed=0)

    def distance(a: Any, b: Any) -> Any:
        return [maximum(u, v) for u, v in zip(model(a), model(b), strict=True)]

    found = compile(distance).trace(X, X[::-1].copy()).describe()
    assert found == ("rows x [layer 3->4 at 2 places, tanh x8, layer 4->2 at 2 places, maximum x2]")
    agrees_with_eager(distance, X, X[::-1].copy())


def test_a_convolution_of_eight_channels(passes: None) -> None:
    kernels, biases, last = weights(8, 9), [Value(0.1) for _ in range(8)], weights(2, 8 * 16)

    def network(image: Any) -> Any:
        maps = []
        for kernel, bias in zip(kernels, biases, strict=True):
            for i in range(4):
                for j in range(4):
                    total = bias
                    for a in range(3):
                        for b in range(3):
                            total = total + kernel[3 * a + b] * image[i + a][j + b]
                    maps.append(total.relu())
        return [dot(row, maps) for row in last]

    images = NORMAL(size=(3, 6, 6))
    found = compile(network).trace(images).describe()
    assert found == "rows x [layer 9->8 at 16 places, relu x128, layer 128->2]"
    agrees_with_eager(network, images)


def test_a_softmax_classifier_and_its_loss(passes: None) -> None:
    matrix, biases = weights(5, 3), [Value(0.1 * k) for k in range(5)]

    def logits(x: Any) -> Any:
        return [dot(row, x) + bias for row, bias in zip(matrix, biases, strict=True)]

    labels = numpy.arange(7) % 5
    found = compile(lambda x: softmax(logits(x))).trace(X).describe()
    assert found == "rows x [layer 3->5, softmax 5]"
    agrees_with_eager(lambda x: softmax(logits(x)), X)

    def loss(x: Any, label: Any) -> Any:
        return losses.cross_entropy(logits(x), label)

    c = compile(loss).trace(X, labels)
    assert "layer 3->5" in c.describe()
    assert "logsumexp 5" in c.describe()
    agrees_with_eager(loss, X, labels)


def test_an_attention_head(passes: None) -> None:
    query, key, value = weights(4, 3, 1), weights(4, 3, 2), weights(4, 3, 3)

    def head(tokens: Any) -> Any:
        q, k, v = ([[dot(r, x) for r in m] for x in tokens] for m in (query, key, value))
        out = []
        for a in q:
            shares = softmax([dot(a, b) / 2.0 for b in k])
            out += [dot(shares, [each[d] for each in v]) for d in range(4)]
        return out

    tokens = NORMAL(size=(3, 5, 3))
    found = compile(head).trace(tokens).describe()
    assert "layer 3->12 at 5 places" in found
    assert "matrix product 5x4x5" in found
    assert "softmax 5 x5" in found
    assert "matrix product 5x5x4" in found
    agrees_with_eager(head, tokens)


def test_a_recurrent_cell(passes: None) -> None:
    into, back, biases = weights(4, 3, 1), weights(4, 4, 2), [Value(0.1) for _ in range(4)]

    def step(x: Any, h: Any) -> Any:
        return [tanh(dot(a, x) + dot(b, h) + c) for a, b, c in zip(into, back, biases, strict=True)]

    assert compile(step).trace(X, NORMAL(size=(7, 4))).describe() == "rows x [layer 7->4, tanh x4]"

    def unrolled(steps: Any) -> Any:
        h = [0.0] * 4
        for x in steps:
            h = step(x, h)
        return h

    agrees_with_eager(unrolled, NORMAL(size=(5, 3, 3)))


def test_a_residual_keeps_its_layer(passes: None) -> None:
    matrix = weights(3, 3)

    def block(x: Any) -> Any:
        return [v + dot(row, x) for row, v in zip(matrix, x, strict=True)]

    assert compile(block).trace(X).describe() == "rows x [layer 3->3, sum 2 x3]"
    agrees_with_eager(block, X)


def test_a_diagonal_matrix_scales_each_value_by_its_own(passes: None) -> None:
    w = [Value(0.1 * k) for k in range(12)]
    kernel = [Value(1.0), Value(-2.0)]

    def apart(x: Any) -> Any:  # three weights of each value
        return [w[3 * k + j] * x[k] + w[k] for k in range(3) for j in range(3)]

    def stencil(x: Any) -> Any:
        return [x[k] * 0.25 + x[k + 1] * 0.5 + x[k + 2] * 0.25 for k in range(3)]

    def convolution(x: Any) -> Any:
        return [kernel[0] * x[k] + kernel[1] * x[k + 1] for k in range(4)]

    for f, found in (
        (apart, "scale x9"),
        (stencil, "weighted sum 3 x3"),
        (convolution, "layer 2->1 at 4 places"),
    ):
        c = compile(f).trace(ROWS)
        assert c.describe() == f"rows x [{found}]"
        assert c(ROWS) == pytest.approx(
            numpy.array([[out.data for out in f(list(map(Value, row)))] for row in ROWS.tolist()])
        )


def test_scalar_code_without_layers_is_one_instruction(passes: None) -> None:
    w = weights(2, 3)

    def pendulum(x: Any) -> Any:
        angle, speed, drag = w[1][0] * x[0], x[1], x[2]
        for k in range(20):
            speed = speed - 0.1 * angle.sin() - w[0][0] * speed * drag + w[0][1] * w[1][k % 3]
            angle = where(
                speed > 0.3, angle + 0.1 * speed, maximum(maximum(angle, w[1][2]), -speed) / 2
            )
        return angle

    c = compile(pendulum).trace(X)
    instruction = c.programs[0].rows.instructions[0]
    assert c.describe() == f"rows x [single operations x{instruction.count}]; once [mul x3]"
    agrees_with_eager(pendulum, X)


def test_layers_amid_scalar_code_are_found(passes: None) -> None:
    matrix = weights(4, 3)

    def f(x: Any) -> Any:
        chain = x[0]
        for _ in range(60):
            chain = tanh(chain) * 0.5 + x[1]
        out = [dot(row, [chain, x[1], x[2]]) for row in matrix]
        return tanh(out[0]) * out[1] + out[2] * out[3]

    found = compile(f).trace(X).describe()
    assert found == "rows x [single operations x180, layer 3->4, tanh, dot 2]"
    agrees_with_eager(f, X)


def test_what_is_equal_is_computed_once_and_what_is_unused_not_at_all() -> None:
    w = Value(2.0)

    def wasteful(x: Any) -> Any:
        exp(x) * 3
        return exp(w) * (x.sin() + x.sin()) + exp(w)

    assert compile(wasteful).trace(Y).describe() == "rows x [sin, add, scale]; once [exp]"


def test_inputs_parameters_and_constants_are_told_apart_by_kind() -> None:
    zero, one = Value(0.0), Value(1.0)
    c = compile(lambda x: zero * x + one * x + 0.0 * x)
    assert c([1.0, 2.0]).tolist() == [1.0, 2.0]
    zero.data, one.data = 5.0, 7.0  # a weight that happened to be 0 or 1 is still a weight
    assert c([1.0, 2.0]).tolist() == [12.0, 24.0]


# ---- Rows --------------------------------------------------------------------------------------


def test_the_dimensions_of_arguments_and_results() -> None:
    assert compile(lambda x: x * 2)(Y).shape == (7,)
    assert compile(lambda x: [x[0], x[1] * 2])(X).shape == (7, 2)
    assert compile(lambda x: [x])(Y).shape == (7, 1)
    assert compile(lambda x: numpy.array([x, 2 * x]))(Y).shape == (7, 2)
    assert compile(lambda m: m[0][1] * m[1][0])(NORMAL(size=(4, 2, 2))).shape == (4,)
    c = compile(lambda x, y: [x[0] * y, x[1] * x[2]])
    assert c.jacobian(X, Y).shape == (7, 2, 4)
    assert c.hessian(X, Y).shape == (7, 2, 4, 4)
    assert compile(lambda x: x[0] * x[1]).hessian(X).shape == (7, 3, 3)


def test_outputs_that_do_not_depend_on_the_row_and_inputs_that_are_not_used() -> None:
    w = Value(3.0)
    c = compile(lambda x, y: [w * 2, x[1], Value(4.0)])
    assert c(X, Y).tolist() == [[6.0, x[1], 4.0] for x in X]
    assert c.jacobian(X, Y)[:, 1].tolist() == [[0.0, 1.0, 0.0, 0.0]] * 7
    assert not c.jacobian(X, Y)[:, [0, 2]].any()


def test_blocks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MLP(3, [4, 1], activation="tanh", seed=0)
    whole = compile(lambda x: model(x) ** 2)
    expected = whole(X), whole.value_and_grad(whole.theta(), X), whole.jacobian(X)
    small_blocks(monkeypatch, 2)
    blocks = compile(lambda x: model(x) ** 2)
    assert blocks(X) == pytest.approx(expected[0], rel=1e-12)
    value, gradient = blocks.value_and_grad(blocks.theta(), X)
    assert value == pytest.approx(expected[1][0], rel=1e-12)
    assert gradient == pytest.approx(expected[1][1], rel=1e-12)
    assert blocks.jacobian(X) == pytest.approx(expected[2], rel=1e-12)


@pytest.mark.parametrize("of_each", [tanh, lambda v: functions.logsumexp([v, 2 * v, v - 1])])
def test_a_row_of_nan_or_infinity_leaves_the_others_alone(of_each: Any) -> None:
    matrix = weights(4, 3)
    c = compile(lambda x: [of_each(dot(row, x)) for row in matrix])
    clean = c(X), c.jacobian(X)
    spoilt = X.copy()
    spoilt[2, 1], spoilt[4, 0] = math.nan, math.inf
    values, jacobian = c(spoilt), c.jacobian(spoilt)
    others = [0, 1, 3, 5, 6]
    assert (values[others] == clean[0][others]).all()
    assert (jacobian[others] == clean[1][others]).all()
    assert numpy.isnan(values[2]).all()


def test_sums_overflow_where_those_of_the_engine_do() -> None:
    functions = [
        (sum, (1e308, -1e308, 1e308, -1e308)),
        (lambda x: x[0] - (x[1] - x[0]), (1e308, 1e308)),
        (lambda x: x[0] + x[1] - x[0], (1e308, 1e308)),
        (lambda x: 2 * x[0] - x[0] - x[0] + x[1], (1e308, 1.0)),
        (lambda x: 1 / (x[0] + x[1] - x[0]), (1e308, 1e308)),
        (lambda x: (x[0] + 1e308) - 1e308, (1e308,)),
        (lambda x: 1 / sqrt(x[0] ** 2 + 1), (1e308,)),
        (lambda x: dot(x, x[::-1]) * 1e-5, (1e308, -1e308, 1e-300)),
        (lambda x: x[0] if x[0] + x[1] - x[0] < math.inf else x[1] * 3, (1e308, 1e308)),
        (lambda x: [x[0] * 2, x[0] + x[1] - x[0]], (1e308, 1e308)),
    ]
    for f, huge in functions:
        c = compile(f)
        rows = numpy.ones((5, len(huge)))
        usual, rows[3] = c(rows), huge
        inputs = list(map(Value, huge))
        outs = flat(f(inputs))
        found, jacobian = c(rows).reshape(5, -1), c.jacobian(rows)
        for k, out in enumerate(outs):
            assert numpy.array_equal(found[3, k], out.data, equal_nan=True)
            slopes = flat(grad(lambda x, k=k, f=f: flat(f(x))[k])(inputs))
            assert numpy.array_equal(jacobian[3, k], list(map(float, slopes)), equal_nan=True)
        assert (found[[0, 1, 2, 4]] == usual.reshape(5, -1)[[0, 1, 2, 4]]).all()


def test_gradients_overflow_where_those_of_the_engine_do() -> None:
    w, u = Value(1e308), Value(-1e308)
    c = compile(lambda x: w * x[0] + u * x[1] + w * x[1])
    value, gradient = c.trace([[1.0, 1.0]]).value_and_grad(c.theta(), [[1.0, 1.0], [1.0, 1.5]])
    assert (value, gradient.tolist()) == (math.inf, [2.25, 1.25])
    assert c([[1.0, 1.0], [0.0, 1.0]]).tolist() == [1e308, 0.0]


def test_a_gradient_has_all_parameters_even_if_its_rows_take_one_path() -> None:
    w, u = Value(2.0), Value(3.0)
    c = compile(lambda x: w * x if x > 0 else u * x).trace([1.0, -1.0])
    assert c.value_and_grad(c.theta(), [1.0, 2.0])[1].tolist() == [1.5, 0.0]


def test_overflow_on_the_way_back_is_in_the_order_of_the_engine() -> None:
    for f, row in (
        (lambda x: x[0] * (x[0] * x[0]) - x[0] * x[0], [1e308]),
        (lambda x: x[1] * (7.25 * x[0]) + x[1] * (x[1] * x[0]), [1.7e308, -0.53]),
        (lambda x: x[0] ** 1.5 + x[1] ** 0.5, [-math.inf, math.nan]),
        (lambda x: functions.logsumexp([x[0], x[1], x[0]]), [-math.inf, -math.inf]),
    ):
        (found,) = compile(f).jacobian([row, [1.0] * len(row)])[0]
        expected = list(map(float, flat(grad(f)(list(map(Value, row))))))
        assert numpy.array_equal(found, expected, equal_nan=True), (found, expected)
    assert compile(lambda x: x**0.5)([-math.inf, 1e308]).tolist() == [math.inf, 1e154]


def test_shares_of_large_values_are_exact() -> None:
    offset = numpy.array([0.0, 0.5, 1.0])
    share = numpy.exp(offset) / numpy.exp(offset).sum()
    c = compile(functions.logsumexp)
    for large in (0.0, 1e6, 1e12, -1e12):
        assert c.jacobian([offset + large])[0, 0] == pytest.approx(share, rel=1e-14)


def test_infinity_times_an_error_of_zero_is_nan_for_a_single_row_too() -> None:
    w, u = Value(0.5), Value(0.2)
    c = compile(lambda x: tanh(w * x[0] + u * x[1]))
    _, gradient = c.trace([[-math.inf, 0.5]]).value_and_grad(c.theta(), [[-math.inf, 0.5]])
    assert numpy.isnan(gradient).tolist() == [True, False]


def test_arrays_in_files_and_of_other_types(tmp_path: Any) -> None:
    c = compile(lambda x: x[0] * x[1] + x[2])
    expected = c(X)
    path = tmp_path / "rows.npy"
    numpy.save(path, X)
    assert (c(numpy.load(path, mmap_mode="r")) == expected).all()
    assert (c(numpy.asfortranarray(X)) == expected).all()
    assert (c(X.tolist()) == expected).all()
    assert c(X.astype("f4")) == pytest.approx(expected, rel=1e-6)
    assert c([[1, 2, 3]]).tolist() == [5.0]
    assert c(numpy.array([[True, False, True]])).tolist() == [1.0]


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch, 3)
    rows, w = NORMAL(size=(500, 3)), weights(4, 3)

    def f(x: Any) -> Any:
        wave = tanh(dot(w[0], x)) * exp(x[0])
        return wave if x[1] > 0 else wave + dot(w[1], x) ** 2

    def found(threads: int, given: Any) -> list[Any]:
        c = compile(f, threads=threads).trace(given)
        value, gradient = c.value_and_grad(c.theta(), given)
        return [value, gradient.tolist(), c(given).tolist(), c.jacobian(given).tolist()]

    for given in (rows, rows[:, ::-1], rows.astype("float32"), rows.T.copy().T):
        one, *others = (found(threads, given) for threads in (1, 2, 10**9))
        assert others == [one, one]
    with pytest.raises(ValueError, match="threads is a whole number, at least 1, but got 0"):
        compile(f, threads=0)


def test_single_precision() -> None:
    model = MLP(3, [8, 8, 4], seed=0, activation="tanh")
    one, two = (
        [getattr(functions, row.name) for row in OPERATORS.values() if len(row.slopes) == count]
        for count in (1, 2)
    )

    def loss(x: Any, label: Any) -> Any:
        logits, inside = model(x), 0.5 + 0.2 * tanh(x[0])
        found = losses.cross_entropy(logits, label)
        for f in one:
            if f not in (functions.where, functions.acosh):
                found = found + f(inside)
        for f in two:
            found = found + f(inside, x[2] ** 2 + 0.3)
        return found + where(x[0] > 0, dot(logits, logits), maximum(maximum(x[0], x[1]), x[2]))

    rows, labels = NORMAL(size=(50, 3)), numpy.arange(50) % 4
    theta = compile(loss).trace(rows, labels).theta()

    def answers(dtype: str) -> list[Any]:
        c = compile(loss, dtype=dtype).trace(rows, labels)
        assert getattr(c._paths[0].replay.executor, "number", dtype) == dtype
        value, gradient = c.value_and_grad(theta, rows, labels)
        return [c(rows, labels), c.jacobian(rows, labels), numpy.array(value), gradient]

    for exact, close in zip(answers("float64"), answers("float32"), strict=True):
        assert close.dtype == float
        assert numpy.abs(close - exact).max() < 1e-5 * numpy.abs(exact).max()
    rows[3] = [math.nan, math.inf, 0.0]
    assert numpy.isnan(compile(loss, dtype="float32")(rows, labels)).tolist() == [
        place == 3 for place in range(50)
    ]
    branch = compile(lambda x: x * 2 if x > 1 else x * 3, dtype="float32")
    near = [1 + 1e-11, 1.0, 1 - 1e-11]  # the engine's numbers decide
    assert branch(near).round(3).tolist() == branch(near).round(3).tolist() == [2.0, 3.0, 3.0]
    assert branch.jacobian(near).ravel().tolist() == [2.0, 3.0, 3.0]
    both: Any = numpy.float32
    assert compile(loss, dtype=both, threads=numpy.int64(2))(rows, labels).shape == (50,)
    for dtype in ("half", None, 3):
        with pytest.raises(ValueError, match='dtype is "float64" or "float32", but got'):
            compile(loss, dtype=dtype)


def test_a_large_program_is_planned_for_what_is_asked_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where its slopes are not compared with those of the function, its outputs are."""
    monkeypatch.setattr(traces, "WITH_SLOPES", 0)
    planned: list[int] = []

    def noted(program: Program, mode: int) -> Plan:
        planned.append(mode)
        return plan(program, mode)

    for module in (machine, on_numpy):
        monkeypatch.setattr(module, "plan", noted)
    w = Value(0.5)
    compile(lambda x: tanh(w * x[0]) + x[1]).mean(X).backward()
    assert set(planned) == {PARAMETERS}
    compile(lambda x: tanh(x[0]) + x[1]).jacobian(X)
    assert set(planned) == {PARAMETERS, INPUTS}
    all_ways: list[Callable[[Any], object]] = [
        lambda c: c(Y),
        lambda c: c.mean(Y).backward(),
        lambda c: c.jacobian(Y),
    ]
    for asked in all_ways:
        with pytest.raises(TracingError, match="does something else on plain numbers"):
            asked(compile(lambda x: w * x if isinstance(x, float) else w * x * 2))


def test_what_tells_numbers_from_values_is_said_of_nan_too() -> None:
    """``x == x`` of a number asks its size, of a Value whether it is one: no dice are drawn."""
    a = Value(2.0)
    functions: list[Callable[[Any, Any], Any]] = [
        lambda x, y: [x + y, where(x == x, 1.0 * a, x)],
        lambda x, y: where(x == x, 1.0 * a, x),
        lambda x, y: 1.0 * a if x == x else x,
    ]
    for f in functions:
        for asked in (Compiled.__call__, Compiled.trace):
            with pytest.raises(TracingError) as refused:
                asked(compile(f), [math.nan], [1.0])
            said = str(refused.value)
            assert "is 2.0 compiled, and nan when it is run itself, but 2.0 when it is" in said
            assert "whether they are the same one" in said
            assert "once more" not in said


def test_dice_are_dice_even_where_numbers_and_values_differ() -> None:
    w = Value(2.0)
    c = compile(lambda x: w * x * random.random() if isinstance(x, float) else w * x)
    with pytest.raises(TracingError, match="draws random numbers"):
        c([1.0])


def test_slots_that_nobody_reads_any_more_are_used_again() -> None:
    def f(x: Any) -> Any:
        a, b = x
        for k in range(1, 200):
            a, b = functions.sin(a * b + k), a - b / k
        return [a, x[0] * 2, where(b > 0, a, b)]

    rows = NORMAL(size=(70, 2))
    c = compile(f)
    expected = [[out.data for out in f([Value(v) for v in row])] for row in rows.tolist()]
    assert c(rows) == pytest.approx(numpy.array(expected), rel=1e-9)
    (found,) = c.programs
    assert in_few_slots(found).rows.slots < 12 < 400 < found.rows.slots


def test_kept_machine_code_is_stamped_with_all_files_that_it_is_made_of() -> None:
    compile(lambda x: x * 2)([1.0])
    find_levels: Any = levels.find_levels
    kept = find_levels._cache._cache_file
    with open(kept._index_path, "rb") as file:
        pickle.load(file)  # the version of numba
        stamp, _ = pickle.load(file)
    assert stamp == kept_code.STAMP
    names = {path.name for path in kept_code._MADE_OF}
    assert {"ops.py", "levels.py", "kernels.py"} <= names and "show.py" not in names


def test_threads_may_share_a_compiled_function() -> None:
    model = MLP(3, [8, 1], seed=0)
    c = compile(model)
    rows = NORMAL(size=(500, 3))
    expected, wrong = c(rows), []

    def work() -> None:
        for _ in range(50):
            if not (c(rows) == expected).all():
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---- Branches ----------------------------------------------------------------------------------


def test_few_rows_that_branch_otherwise_take_their_own_path() -> None:
    w = Value(2.0)

    def f(x: Any) -> Any:
        if x > 1:
            return w * x
        return x.exp() if x < -1 else x * x

    c = compile(f)
    rows = [2.0, 0.5, -3.0, 1.0, 5.0, math.nan]
    assert c(rows) == pytest.approx([f(Value(x)).data for x in rows], nan_ok=True)
    slopes = [2.0, 1.0, math.exp(-3), 2.0, 2.0, math.nan]
    assert c.jacobian(rows).ravel() == pytest.approx(slopes, nan_ok=True)
    c.sum(rows[:5]).backward()
    assert w.grad == 7.0
    assert c.describe().splitlines()[0] == "path 1 of 3: rows x [mul]"


def test_a_branch_on_a_parameter_follows_the_parameter() -> None:
    w = Value(1.0)
    c = compile(lambda x: x * w if w > 0 else x - w)
    assert c([3.0]).tolist() == [3.0]
    w.data = -2.0
    assert c([3.0]).tolist() == [5.0]


def test_checks_that_change_nothing_share_one_program() -> None:
    model = MLP(3, [4, 1], seed=0)
    c = compile(lambda x, y: losses.hinge(model(x), y))
    c(X, [1, -1, 1, 1, -1, -1, 1])
    assert "path" not in c.describe()
    with pytest.raises(ValueError, match="hinge takes the labels -1 and"):
        c(X, [1, -1, 1, 1, -1, 0, 1])


def test_a_parameter_that_only_some_rows_use() -> None:
    v, w = Value(2.0), Value(3.0)
    c = compile(lambda x: v * x if x > 0 else w * x)
    theta = c.trace([1.0]).theta()
    with pytest.raises(TracingError, match=r"row 1 takes a branch that uses 1 parameter not met"):
        c.value_and_grad(theta, [1.0, -1.0])
    assert c.theta().tolist() == [2.0, 3.0]
    _, gradient = c.value_and_grad(c.theta(), [1.0, -1.0], reduce="sum")
    assert gradient.tolist() == [1.0, -1.0]
    fresh = compile(lambda x: v * x if x > 0 else w * x)
    assert fresh([1.0, -1.0]).tolist() == [2.0, -3.0]


def test_where_gives_the_branch_not_taken_nothing() -> None:
    rows = [-1.0, 0.0, 4.0]
    c = compile(lambda x: where(x > 0, sqrt(x), x))
    assert c(rows).tolist() == [-1.0, 0.0, 2.0]
    assert c.jacobian(rows).ravel().tolist() == [1.0, 1.0, 0.25]
    w = Value(1.0)
    c = compile(lambda x: where(x > 0, (w * x.log() + x), 2 * w))
    c.sum([0.0, 1.0, math.e]).backward()
    assert w.grad == pytest.approx(2 + 0 + 1)


@pytest.mark.parametrize("once", [False, True])
def test_all_kinds_of_instructions_under_a_condition(once: bool) -> None:
    matrix, column, decides = weights(4, 3), weights(3, 1), Value(1.0)

    def f(x: Any) -> Any:
        rows = [[dot(r, [x[k], x[k + 1], x[k + 2]]) for r in matrix] for k in range(2)]  # places
        shared = [column[0][0] * a + column[1][0] for a in rows[0]]
        own = [dot([column[k][0], matrix[k][0]], [x[k], rows[1][k]]) for k in range(3)]
        values = [dot(rows[0][:2], rows[1][:2]), dot(shared, own[:1] + rows[1][1:]), x[0] ** 2]
        inside = functions.logsumexp(values) + maximum(maximum(own[0], own[1]), own[2])
        chosen = decides > 0 if once else x[0] > 0
        return where(chosen, inside + functions.sum(values) * 2, x[1] - decides)

    rows = NORMAL(size=(9, 4))
    agrees_with_eager(f, rows)
    rows[4], rows[6, 2] = [-1.0, 2.0, math.inf, math.nan], -math.inf
    c = compile(f)
    found = c.jacobian(rows)
    for row, slopes in zip(rows.tolist(), found, strict=True):
        by_hand = grad(f)([Value(v) for v in row])
        expected = [float(slope) for slope in by_hand]
        assert slopes[0] == pytest.approx(expected, rel=1e-11, abs=1e-13, nan_ok=True)


@pytest.mark.parametrize("of_parameters", [False, True])
def test_what_is_computed_once_may_get_its_error_from_some_rows(of_parameters: bool) -> None:
    w = [Value(v) for v in (0.3, -0.5, 0.7, 1.1)]

    def f(x: Any) -> Any:
        largest = maximum(maximum(w[0], w[1]), w[2])
        total = dot(w, w) + functions.logsumexp([w[0] * w[1], w[2], w[3] * 2]) + largest
        both = [dot([w[a], w[b]], [tanh(w[2]), exp(w[3])]) for a, b in ((0, 1), (1, 0))]
        return where(w[0] > 0 if of_parameters else x > 0, total * both[0] * both[1], w[1] * 2) * x

    agrees_with_eager(f, NORMAL(size=7))
    w[2].data = math.inf
    c = compile(f).trace([1.0, -1.0])
    for rows in ([-1.0, -2.0], [1.0, 2.0], [1.0] if of_parameters else [1.0, -2.0]):
        ours = c.value_and_grad(c.theta(), rows, reduce="sum")[1]
        for parameter in w:
            parameter.grad = 0.0
        for x in rows:
            f(x).backward()
        expected = [parameter.grad for parameter in c.parameters]
        assert ours == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_conditions_can_be_combined() -> None:
    c = compile(lambda x: where((x > 0) & (x < 1), 1.0, where((x < -1) | (x > 2), 2.0, x)))
    assert c([0.5, 1.5, -2.0, 3.0]).tolist() == [1.0, 1.5, 2.0, 2.0]
    counts = compile(lambda x: x[0] * 0 + sum(v > 0 for v in x))
    assert counts([[1.0, 2.0, -1.0], [-1.0, -1.0, 3.0]]).tolist() == [2.0, 1.0]


def test_many_independent_branches_are_one_program() -> None:
    rows = NORMAL(size=(500, 16))

    def f(x: Any) -> Any:
        return sum(v * 2 if v > 0 else v.sin() for v in x)

    c = compile(f)
    assert c(rows) == pytest.approx([f(list(map(Value, row))).data for row in rows], rel=1e-12)
    assert c.jacobian(rows)[:, 0] == pytest.approx(numpy.where(rows > 0, 2.0, numpy.cos(rows)))
    assert "path" not in c.describe()


def test_too_many_paths_are_refused() -> None:
    def f(x: Any) -> Any:
        number = 0  # no Value, so each of them is a function of its own
        for v in x:
            number = 2 * number + (1 if v > 0 else 0)
        return x[0] * number

    with pytest.raises(TracingError, match=r"in more than 256 ways, .*test_compiled\.py, line"):
        compile(f)(NORMAL(size=(2000, 16)))


# ---- Training ----------------------------------------------------------------------------------


def test_mean_and_sum_add_to_gradients_as_the_engine_does() -> None:
    w, b = Value(2.0), Value(1.0)
    c = compile(lambda x, y: (w * x + b - y) ** 2)
    for total, count in ((c.mean(Y, Y), 7), (c.sum(Y, Y), 1)):
        w.grad, b.grad = 10.0, 0.0
        total.backward()
        ours = w.grad - 10.0, b.grad, total.item()
        w.grad = b.grad = 0.0
        value = 0.0
        for y in Y:
            loss = (w * y + b - y) ** 2 / count
            loss.backward()
            value += loss.data
        assert ours == pytest.approx((w.grad, b.grad, value), rel=1e-12)
    assert float(total) == total.item()
    with no_grad():
        total = c.mean(Y, Y)
    with pytest.raises(RuntimeError, match="computed within no_grad"):
        total.backward()


def test_theta_is_in_the_order_of_parameters_and_is_written_back() -> None:
    model = MLP(3, [4, 1], seed=0)
    c = compile(lambda x: model(x) ** 2).trace(X)
    assert set(c.parameters) == set(model.parameters())
    assert c.theta().tolist() == [p.data for p in c.parameters]
    before = model.state_dict()
    value, gradient = c.value_and_grad(c.theta() * 2, X)
    assert model.state_dict() == before
    c.assign(c.theta() * 2)
    assert c.mean(X).item() == pytest.approx(value, rel=1e-14)
    c.mean(X).backward()
    assert [p.grad for p in c.parameters] == pytest.approx(gradient.tolist(), rel=1e-14)


def test_scipy_minimises_it() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    w, b = Value(0.0), Value(0.0)
    c = compile(lambda x, y: (w * x + b - y) ** 2).trace(Y, Y)
    found = optimize.minimize(c.value_and_grad, c.theta(), (Y, 3 * Y - 2), jac=True)
    c.assign(found.x)
    assert (w.data, b.data) == pytest.approx((3.0, -2.0), abs=1e-5)


def test_jacobians_of_many_outputs_are_carried_forward() -> None:
    matrix = weights(6, 2)

    def f(x: Any) -> Any:
        hidden = [tanh(dot(row, x)) for row in matrix]
        chosen = where(x[0] > 0, sqrt(x[0]) * hidden[0], x[1].detach() * x[0])
        return numpy.array([*hidden, chosen, x[1], Value(2.0)])

    rows = NORMAL(size=(5_000, 2))
    spoilt = numpy.array([[0.0, math.nan], [math.inf, 1.0], [-1.0, 0.0], *rows])
    c = compile(f)
    for given in (rows, spoilt):
        for row, jacobian in zip(given[:7].tolist(), c.jacobian(given), strict=False):
            for k in range(9):
                slopes = grad(lambda x, k=k: f(x)[k])([Value(v) for v in row])
                expected = pytest.approx(list(map(float, slopes)), rel=1e-12, nan_ok=True)
                assert jacobian[k] == expected
    assert c._derived["jacobian"].traced
    assert (c.jacobian(spoilt)[3:] == c.jacobian(rows)).all()
    constant = compile(lambda x: Value(2.0))  # rows may have no numbers at all
    none = numpy.empty((3, 0))
    assert constant.jacobian(none).shape == (3, 1, 0)
    assert constant.hessian(none).shape == (3, 0, 0)
    assert constant.hvp(none, v=none).shape == (3, 0)


def test_only_rows_that_are_not_safe_are_not_carried_forward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matrix, redone = weights(6, 2), []
    by_passes = Compiled._by_passes

    def watched(self: Compiled, some: Any) -> Any:
        redone.append(some.rows)
        return by_passes(self, some)

    monkeypatch.setattr(Compiled, "_by_passes", watched)
    c = compile(lambda x: [tanh(dot(row, x)) for row in matrix])
    rows = NORMAL(size=(9_000, 2))
    c.jacobian(rows)
    assert redone == []
    rows[[3, 7], 1] = math.nan, 1e200
    c.jacobian(rows)
    assert redone == [2]


def test_a_branch_that_only_a_derivative_meets_has_its_integers() -> None:
    """It was refused: the counts were handed on as floats, which may be fractions."""

    def f(x: Any, y: Any, k: Any) -> Any:
        found = loop(lambda s, i: s * 0.9 + x * x, y, k)
        return found * y if x > 0 else found

    columns = [-1.0, 2.0, 3.0], [0.5, 1.5, -0.5], numpy.array([1, 2, 0])
    c = compile(f)
    expected = [f(*row) for row in zip(*columns, strict=True)]
    assert c(*columns).tolist() == pytest.approx(expected)
    for of in ("hessian", "jacobian"):
        first = compile(f, check=False)
        assert (getattr(first, of)(*columns) == getattr(c, of)(*columns)).all()


def test_hessian_vector_products() -> None:
    c = compile(lambda x, y: exp(x[0] * x[1]) * y + x[2] ** 3)
    v = NORMAL(size=(7, 4))
    expected = numpy.einsum("rij,rj->ri", c.hessian(X, Y), v)
    assert c.hvp(X, Y, v=v) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match=r"a vector for each row, shape \(7, 4\)"):
        c.hvp(X, Y, v=v[:3])


def test_outputs_that_are_inputs_or_parameters_have_second_derivatives_of_zero() -> None:
    w = Value(2.0)
    c = compile(lambda x: [w * x[0] ** 2, x[0], x[1], w, w * w, Value(1.0)])
    hessian = c.hessian([[1.0, 2.0]])
    assert hessian[0, 0].tolist() == [[4.0, 0.0], [0.0, 0.0]]
    assert (hessian[0, 1:] == 0).all()
    assert compile(lambda x: x[0]).hvp([[1.0, 2.0]], v=[[1.0, 1.0]]).tolist() == [[0.0, 0.0]]


def test_gradients_can_be_part_of_the_function() -> None:
    w = Value(2.0)
    c = compile(lambda x: grad(lambda t: (w * t).sin())(x) ** 2)
    assert c([0.3]) == pytest.approx([(2 * math.cos(0.6)) ** 2])
    c.mean([0.3]).backward()
    slope = 8 * math.cos(0.6) ** 2 / 2 - 8 * 0.3 * math.cos(0.6) * math.sin(0.6)
    assert w.grad == pytest.approx(slope)


# ---- What cannot be replayed -------------------------------------------------------------------

KEPT: list[Any] = []


def keeps(x: Any) -> Any:
    KEPT.append(x * 2)
    return x


def makes(x: Any) -> Any:
    KEPT.append(Value(1.0))
    return x * KEPT[-1]


outside = Value(1.0) * 2


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: Value(float(x)), r"float\(v\).* at .*test_compiled\.py, line \d+: .*exp\(v\)"),
        (lambda x: Value(int(x)), r"int\(v\) of a Value .*test_compiled\.py"),
        (lambda x: x * math.exp(x), r"a function of math, of a Value .*test_compiled\.py"),
        (lambda x: x if f"{x:.1f}" == "1.0" else x * 2, r"the format '\.1f' of a Value"),
        (lambda x: sum(x for _ in range(x)), r"range\(v\), or an index, of a Value"),
        (lambda x: x * x.data, r"reading \.data of a Value"),
        (lambda x: x * x.grad, r"reading \.grad of a Value"),
        (lambda x: None, "returns a Value or a list of Values, but this one returned None"),
        (lambda x: 3.0, r"returned 3\.0 \(float\)"),
        (lambda x: [], r"returned \[\] \(list\); return at least one"),
        (copy.deepcopy, "a copy of a Value in a function that is traced"),
        (lambda x: x > 0, r"returned a comparison; return where\(x > y, 1\.0, 0\.0\)"),
        (lambda x: [x, 1.0], r"returned 1\.0 \(float\)"),
        (lambda x: numpy.array([[x, x]]), r"returned a list or an array within a list"),
        (lambda x: x + outside, "uses a Value that was computed before, by mul"),
        (makes, r"made Value\(data=1\.0, grad=0\.0\) and kept it; make parameters before"),
    ],
)
def test_what_cannot_be_replayed_is_one_sentence(f: Any, message: str) -> None:
    with pytest.raises(TracingError, match=message):
        compile(f)([2.0, 3.0])


def test_what_python_says_of_a_traced_value_says_value() -> None:
    with pytest.raises(TypeError, match=r"for <<: 'Value' and 'int'"):
        compile(lambda x: x << 2)([1.0])


def test_numpy_where_follows_each_row() -> None:
    c = compile(lambda x: numpy.where(x > 0, x, 2 * x))
    assert c([1.0, -1.0]).tolist() == [1.0, -2.0]


def test_another_number_of_arguments_is_one_sentence() -> None:
    c = compile(lambda x, y: x * y).trace([1.0], [2.0])
    with pytest.raises(TypeError, match="was traced with 2 arguments, but got 1 array; give"):
        c([1.0])


def test_a_traced_value_is_useless_afterwards() -> None:
    KEPT.clear()
    compile(keeps)([1.0])
    for use in (lambda v: v + 1, lambda v: 1 + v, lambda v: v > 0, exp, lambda v: Value(1.0) * v):
        with pytest.raises(TracingError, match="was kept after its function had returned"):
            use(KEPT[0])
    with pytest.raises(TracingError, match="was kept"):
        compile(lambda x: x * KEPT[0])([1.0])


def test_no_grad_within_a_traced_function_is_refused() -> None:
    def f(x: Any) -> Any:
        with no_grad():
            return x * 2

    with pytest.raises(RuntimeError, match=r"use v\.detach\(\) where the error should not flow"):
        compile(f)([1.0])
    w = Value(3.0)
    c = compile(lambda x: w * x * w.detach() * x.detach())
    c.sum([2.0]).backward()
    assert w.grad == 12.0
    assert c.jacobian([2.0]).ravel().tolist() == [18.0]


def test_numbers_are_baked_in_until_a_retrace() -> None:
    scale = [2.0]
    w = Value(1.0)
    c = compile(lambda x: w * x * scale[0])
    assert c([1.0]).tolist() == [2.0]
    scale[0] = 5.0
    assert c([1.0]).tolist() == [2.0]
    with pytest.raises(TracingError, match="does something else when it runs once more"):
        c.check_repeatable()
    assert c.retrace()([1.0]).tolist() == [5.0]
    c.check_repeatable()


def test_a_parameter_that_was_replaced_is_noticed() -> None:
    held = {"w": Value(2.0)}
    c = compile(lambda x: held["w"] * x)
    assert c([1.0]).tolist() == [2.0]
    held["w"] = Value(3.0)
    with pytest.raises(ValueError, match=r"'held' is another Value than .* retrace\(\)"):
        c([1.0])
    assert c.retrace()([1.0]).tolist() == [3.0]
    many = [Value(1.0) for _ in range(100)]  # too many to look at each: the list is compared
    c = compile(lambda x: many[70] * x).trace([1.0])
    many[70] = Value(3.0)
    with pytest.raises(ValueError, match=r"'many' is another Value than .* retrace\(\)"):
        c([1.0])
    row = numpy.array([Value(1.0) for _ in range(100)], object)
    c = compile(lambda x: row[70] * x).trace([1.0])
    row[70] = Value(3.0)
    with pytest.raises(ValueError, match=r"it was replaced by another Value; .* retrace\(\)"):
        c([1.0])


def test_a_parameter_of_a_large_model_that_was_replaced_is_noticed() -> None:
    model: Any = MLP(3, [40, 1], seed=0)
    kept = model.parameters()  # so that the old ones are not let go
    c = compile(lambda x: model(x))
    c.mean(X).backward()
    model.zero_grad()
    model.layers[0].neurons[20].w[1] = Value(1.0)
    with pytest.raises(ValueError, match=r"'model' is another Value than .* retrace\(\)"):
        c.mean(X)
    c.retrace()
    model.calls = 1  # plain numbers of a model are as they were traced
    c.mean(X)
    model.calls = 2
    c.mean(X).backward()
    model.head = Value(2.0)  # nor does it matter what the function does not use
    c.mean(X)
    assert len(c.parameters) == len(kept)
    model.layers[0].neurons[1], model.layers[0].neurons[2] = model.layers[0].neurons[2:0:-1]
    with pytest.raises(ValueError, match=r"'model' is another Value than"):
        c.mean(X)


def test_a_parameter_in_one_of_many_matrices_that_was_replaced_is_noticed() -> None:
    def matrix() -> list[list[Value]]:
        return [[Value(float(i - j)) for i in range(9)] for j in range(9)]

    state, other = {"a": matrix(), "b": matrix()}, matrix()
    kept = [p for rows in (*state.values(), other) for row in rows for p in row]
    data = [[1.0] * 9] * 2

    def f(x: Any) -> Any:
        for rows in (state["a"], state["b"], other):
            x = [dot(row, x).tanh() for row in rows]
        return functions.sum(x)

    c = compile(f)
    c.mean(data)
    state["b"][8][8].data = 0.5
    c.mean(data)
    state["b"][8][8] = Value(1.0)
    with pytest.raises(ValueError, match=r"'state' is another Value than"):
        c.mean(data)
    c.retrace().mean(data)
    other[8] = other[8][::-1]
    with pytest.raises(ValueError, match=r"'other' is another Value than"):
        c.mean(data)
    c.retrace().mean(data)
    other = matrix()
    with pytest.raises(ValueError, match=r"'other' is another Value than"):
        c.mean(data)
    assert len(kept) == len(c.retrace().parameters) == 3 * 81


def test_a_name_that_is_bound_to_another_value_is_noticed() -> None:
    w, ws = Value(1.0), [Value(2.0), Value(3.0)]
    c = compile(lambda x: w * x + ws[0] * ws[1])
    c.sum([1.0]).backward()
    w = w - 0.1 * w.grad
    with pytest.raises(ValueError, match="'w' is another Value than when"):
        c([1.0])
    w = Value(w.data)
    c.retrace()
    ws = [value * 2.0 for value in ws]
    with pytest.raises(ValueError, match="'ws' is another Value than when"):
        c.mean([1.0])


def test_an_item_of_a_list_that_is_used_in_part_is_noticed() -> None:
    ws = [Value(1.0), Value(2.0), Value(5.0)]
    c = compile(lambda x: ws[0] * x + ws[1]).trace([1.0])
    held = list(ws)
    ws[2] = Value(7.0)  # nobody uses it
    assert c([1.0]).tolist() == [3.0]
    ws[0] = Value(50.0)
    with pytest.raises(ValueError, match="'ws' is another Value than when"):
        c([1.0])
    assert held


def test_what_depends_on_the_numbers_of_parameters_is_not_repeatable() -> None:
    w = Value(2.0)
    c = compile(lambda x: w * x / w.data).trace([1.0])
    with pytest.raises(TracingError, match=r"such as p\.data of a parameter"):
        c.check_repeatable()
    assert w.data == 2.0
    model = MLP(1, [1], seed=0)
    for reads in (lambda x: x * w.data, lambda x: x * model.parameters()[0].data):
        with pytest.raises(TracingError, match=r"such as p\.data of a parameter"):
            compile(reads).trace([1.0]).check_repeatable()
    compile(lambda x: w * x / w.detach()).trace([1.0]).check_repeatable()


def test_a_parameter_that_is_no_number_is_one_sentence() -> None:
    w = Value(2.0)
    c = compile(lambda x: w * x).trace([1.0])
    for wrong in (None, "3", 10**400):
        with pytest.raises((TypeError, ValueError), match=r"v\.data = \.\.\. takes a"):
            w.data = wrong  # type: ignore[assignment]
        assert c([1.0]) == [2.0]


def test_dice_that_fell_alike_are_noticed() -> None:
    w = Value(2.0)
    for roll in (random.random, numpy.random.random):
        c = compile(lambda x, roll=roll: w * x if roll() >= 0.0 else x)
        with pytest.raises(TracingError, match="draws random numbers"):
            c.trace([1.0]).check_repeatable()


def test_the_number_of_a_traced_value_cannot_be_written() -> None:
    for name in ("data", "grad"):

        def f(x: Any, name: str = name) -> Any:
            setattr(x, name, 5.0)
            return x

        with pytest.raises(TracingError, match=rf"writing \.{name} of a Value"):
            compile(f)([1.0])
    with pytest.raises(TracingError, match=r"backward\(\) of a Value"):
        compile(lambda x: x.backward())([1.0])


def test_a_compiled_function_within_another_one_is_its_function() -> None:
    w = Value(3.0)
    inner = compile(lambda x: w * x)
    outer = compile(lambda x, y: inner(x) ** 2 + y)
    assert outer([1.0, 2.0], [0.0, 1.0]).tolist() == [9.0, 37.0]
    assert compile(inner)([2.0]).tolist() == [6.0]


def test_a_method_is_compiled_for_its_object() -> None:
    class Model:
        def __init__(self) -> None:
            self.w = Value(2.0)

        @compile
        def scaled(self, x: Any) -> Any:
            return self.w * x

        def shifted(self, x: Any) -> Any:
            """Adds w."""
            return self.w + x

    with pytest.raises(TypeError, match=r"use compile\(object\.method\)"):
        Model().scaled([1.0])
    c = compile(Model().shifted)
    assert c([1.0]).tolist() == [3.0]
    assert c.__doc__ == "Adds w."
    assert "Model.shifted" in repr(c)


def test_an_anomaly_is_named() -> None:
    p = Value(0.3)
    c = compile(lambda x: (p * x).log())
    with (
        detect_anomaly(),
        pytest.raises(FloatingPointError, match=r"log\(0\.0\) gave -inf, at .*"),
    ):
        c.mean([1.0, 0.0])
    assert p.grad == 0.0
    assert math.isinf(c.mean([1.0, 0.0]).item())


# ---- Bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ((), TypeError, "an array for each argument, .* but got none"),
        (([1.0, 2.0], [1.0]), ValueError, "one entry for each row, but got 2, 1 entries"),
        (([], []), ValueError, "there are no rows"),
        ((["a"], [1.0]), TypeError, "argument 1 is an array of numbers, .* array of text; numpy"),
        (([1.0], [None]), TypeError, "argument 2 .* an array of objects, such as None"),
        (([1j], [1.0]), TypeError, r"an array of complex numbers; x\.real and x\.imag"),
        (([1.0], [[1.0], [2.0, 3.0]]), TypeError, "argument 2 .* its lists differ in length"),
        (([1.0], numpy.ma.array([1.0], mask=[1])), TypeError, r"argument 2 is a masked array"),
        ((1.0, 2.0), TypeError, r"argument 1 has one entry for each row, but got 1\.0"),
        (
            ([[1.0]], [1.0]),
            ValueError,
            r"traced with rows of the shapes \(\), \(\), but got \(1,\)",
        ),
    ],
)
def test_bad_rows_are_one_sentence(columns: Any, error: type, message: str) -> None:
    c = compile(lambda x, y: x * y).trace([1.0], [2.0])
    for call in (c, c.mean, c.jacobian, c.hessian):
        with pytest.raises(error, match=message):
            call(*columns)


def test_bad_thetas_and_functions_are_one_sentence() -> None:
    w = Value(1.0)
    c = compile(lambda x: w * x)
    with pytest.raises(ValueError, match=r"not traced yet, .* or c\.trace\(X, \.\.\.\)"):
        c.theta()
    c.trace([1.0])
    with pytest.raises(ValueError, match=r"theta has the shape \(1,\), .* but got \(2,\)"):
        c.value_and_grad([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match=r"theta has the shape \(1,\)"):
        c.assign([])
    for wrong in (["3"], [None], [10**400], numpy.ma.masked_array([1.0], [True]), [[1], [1, 2]]):
        with pytest.raises(TypeError, match=r"theta is an array of 1 number, but got "):
            c.assign(wrong)
    with pytest.raises(ValueError, match=r"theta has the shape \(1,\), .* but got 1\.0 \(float\)"):
        c.assign(1.0)
    with pytest.raises(TypeError, match=r"theta is an array of 1 number, but got \['a'\]"):
        c.assign(["a"])
    with pytest.raises(ValueError, match='reduce is "mean" or "sum"'):
        c.value_and_grad([1.0], [1.0], reduce="max")
    with pytest.raises(TypeError, match="takes theta, then an array for each argument"):
        c.value_and_grad([1.0])
    with pytest.raises(ValueError, match=r"theta has the shape \(1,\)"):
        c.run([], ([1.0],))
    with pytest.raises(ValueError, match=r"1 output at most, but got 2"):
        c.run([1.0], ([1.0],), [1.0, 1.0])
    with pytest.raises(TypeError, match=r"takes \(x, y\), an array for each, but got 1 array"):
        compile(lambda x, y: x * y)([1.0])
    with pytest.raises(TypeError, match=r"compile\(f\) is a function"):
        compile(3)
    with pytest.raises(TypeError, match="hvp is that of one Value"):
        compile(lambda x: [x, x]).hvp([1.0], v=[[1.0]])
    with pytest.raises(TypeError, match="that of one Value, but the function returns a list"):
        compile(lambda x: [x, x]).mean([1.0])
    assert w.data == 1.0


def test_two_softmaxes_of_the_same_exponentials_are_described() -> None:
    w = Value(0.5)

    def f(x: Any) -> Any:
        shares = [exp(w * v) for v in x]
        total, half = functions.sum(shares), functions.sum(shares[:2])
        return [s / total for s in shares] + [s / half for s in shares[:2]]

    assert "layer" not in compile(f).trace(X).describe()
    agrees_with_eager(f, X)


def test_a_second_derivative_where_a_parameter_stands_on_the_right() -> None:
    w = Value(2.0)
    for f in (lambda x: x * x + w, lambda x: w - x * x, lambda x: (x * x) * w, lambda x: w.exp()):
        expected = [[[float(grad(grad(f))(v))]] for v in (1.0, -3.0)]
        assert compile(f).hessian([1.0, -3.0]).tolist() == expected


def test_a_second_derivative_where_two_values_tie() -> None:
    def f(x: Any, y: Any) -> Any:
        return maximum(x, y) ** 2

    expected = [[[0.5, 0.5], [0.5, 0.5]], [[0.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 0.0]]]
    rows = [[1.0, 1.0], [2.0, 3.0], [3.0, 2.0]]
    for k in range(2):
        eager = [grad(lambda *v, k=k: grad(f)(*v)[k])(*map(Value, row)) for row in rows]
        assert [[float(v) for v in row] for row in eager] == [part[k] for part in expected]
    assert compile(f).hessian(*zip(*rows, strict=True)).tolist() == expected


def test_outputs_that_send_an_infinite_error_and_its_opposite() -> None:
    def f(x: Any) -> Any:
        square = x * x
        return [square, x - square]

    assert compile(f).jacobian([-math.inf]).tolist() == [[[-math.inf], [math.inf]]]


def test_a_total_is_read_as_a_value_is() -> None:
    w = Value(2.0)
    total = compile(lambda x: w * x).mean([1.0, 2.0])
    assert total.data == total.item() == float(total) == 3.0
    assert f"{total:.2f} {total}" == "3.00 Total(3.0)"


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (["1", "2"], r"got \['1', '2'\] \(list\), an array of text; numpy"),
        (numpy.array(["a"], object), "an array of objects, such as None or text; numpy"),
        (numpy.array(["2020-01-01"], "datetime64[D]"), "an array of dates; give the time since"),
        (numpy.array([1], "timedelta64[D]"), "an array of spans of time; divide by a unit"),
        (numpy.array([b"1"]), "an array of text; numpy"),
    ],
)
def test_what_is_no_number_is_named(column: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        compile(lambda x: x)(column)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: None, "returned None; end it with return"),
        (lambda x: {"a": x}, "returned a dict; return a list of its Values"),
    ],
)
def test_what_a_function_returned_is_named(f: Any, words: str) -> None:
    with pytest.raises(TracingError, match=words):
        compile(f)([1.0])


def test_what_a_partial_was_given_is_watched_as_a_whole() -> None:
    weights = [[Value(float(k)) for k in range(30)] for _ in range(30)]
    model = {"w": weights, "b": [Value(1.0)]}

    def f(model: dict[str, Any], x: Any) -> Any:
        return sum(w * x for row in model["w"] for w in row) + model["b"][0]

    c = compile(functools.partial(f, model)).trace([1.0])
    assert c._watch.sees >= set(c.parameters)
    weights[3][4] = Value(2.0)
    with pytest.raises(ValueError, match="'args' is another Value"):
        c([1.0])
