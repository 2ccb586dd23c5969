"""Compiled functions as ONNX files, run by onnxruntime: values and gradients are the engine's."""

from __future__ import annotations

import builtins
import inspect
import itertools
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import onnx
import onnxruntime  # type: ignore[import-untyped]
import pytest

import microgradlike
from microgradlike import (
    Value,
    abs,
    compile,
    exp,
    log,
    logsumexp,
    loop,
    losses,
    maximum,
    nn,
    ops,
    round,
    softmax,
    sqrt,
    take,
    tanh,
    to_onnx,
    where,
    while_loop,
)
from microgradlike.compiled import Compiled
from microgradlike.ops import OPERATORS
from microgradlike.writers.refused import MOST_DIGITS
from tests import random_branches, random_loops
from tests.operators import POINTS
from tests.programs import Program, groups
from tests.random_programs import Expected
from tests.written import points_to_round

onnxruntime.set_default_logger_severity(4)

Array = Any
DRAW = numpy.random.default_rng(0)
X, Y = DRAW.normal(size=(40, 3)), DRAW.normal(size=40)
#: Other rows, and fewer.
OTHERS = (DRAW.normal(size=(7, 3)), DRAW.normal(size=7)), (X[:1], Y[:1])


class Model:
    """A model of a file, at work in onnxruntime."""

    def __init__(self, path: Path) -> None:
        self.proto = onnx.load(path)
        onnx.checker.check_model(self.proto, full_check=True)
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.inputs = [one.name for one in self.session.get_inputs()]
        self.outputs = [one.name for one in self.session.get_outputs()]
        self.kinds = {node.op_type for node in self.proto.graph.node}

    def __call__(self, *columns: Array, dtype: str = "float64") -> dict[str, Array]:
        given = [numpy.asarray(column, dtype) for column in columns]
        found = self.session.run(None, dict(zip(self.inputs, given, strict=True)))
        return dict(zip(self.outputs, found, strict=True))


def written(c: Compiled, folder: Path, **how: Any) -> Model:
    return Model(to_onnx(c, folder / "model.onnx", **how))


def close(ours: Array, theirs: Array, within: float, size: float = 1.0) -> None:
    """Numbers agree, relative to their size, or to that of what they were added up from."""
    numpy.testing.assert_allclose(ours, theirs, rtol=within, atol=within * size, equal_nan=True)


def agrees(model: Model, c: Compiled, *columns: Array, within: float = 1e-9) -> dict[str, Array]:
    """What a model finds for some rows is what the compiled function finds."""
    how = {"dtype": "float64" if within < 1e-6 else "float32"}
    found = model(*columns, **how)
    close(found["output"], c(*columns), within)
    if "gradient" in found:
        reduce = "mean" if "mean" in found else "sum"
        outputs = c(*columns).reshape(len(columns[0]), -1)
        each = c.jacobian_by_parameters(c.theta(), *columns)
        each = each.reshape(*outputs.shape, len(c.parameters))
        sums = getattr(numpy, reduce)
        size = numpy.nanmax(numpy.abs(each), initial=1.0)
        close(found[reduce].ravel(), sums(outputs, 0), within)
        close(numpy.atleast_2d(found["gradient"]), sums(each, 0), within, size)
        slopes = [found[f"gradient_{name}"].reshape(*outputs.shape, -1) for name in model.inputs]
        close(numpy.concatenate(slopes, 2), c.jacobian(*columns), within)
    return found


# ---- Networks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype, within", [("float64", 1e-9), ("float32", 1e-5)])
def test_a_network_with_its_gradients_for_any_number_of_rows(
    tmp_path: Path, dtype: str, within: float
) -> None:
    net = nn.MLP(3, [8, 8, 1], activation="tanh", seed=1)
    c = compile(lambda x, y: (net(x) - y) ** 2).trace(X, Y)
    for reduce in ("mean", "sum"):
        model = written(c, tmp_path, gradient=True, reduce=reduce, dtype=dtype)
        assert model.outputs == ["output", reduce, "gradient", "gradient_x", "gradient_y"]
        for columns in ((X, Y), *OTHERS):
            found = agrees(model, c, *columns, within=within)
            assert {array.dtype.name for array in found.values()} == {dtype}


def test_a_viewer_finds_layers_and_weights_by_their_names(tmp_path: Path) -> None:
    net = nn.MLP(3, [8, 2], activation="relu", seed=1)

    def scores(x: list[Value]) -> Any:
        """Two scores of three measurements."""
        return net(x)

    model = written(compile(scores).trace(X), tmp_path)
    graph = model.proto.graph
    layers = [node for node in graph.node if node.op_type == "MatMul"]
    assert [node.name for node in layers] == ["layer", "layer_1"]
    weights = {one.name: tuple(one.dims) for one in graph.initializer}
    assert [weights[node.input[0]] for node in layers] == [(8, 3), (2, 8)]
    assert [node.input[0] for node in layers] == ["layers.0.neurons.w", "layers.1.neurons.w"]
    assert "Relu" in model.kinds and "Where" not in model.kinds
    assert graph.name == "scores" and graph.doc_string == "Two scores of three measurements."
    assert model.proto.producer_name == "microgradlike"
    assert model.proto.producer_version == microgradlike.__version__
    assert [one.version for one in model.proto.opset_import] == [16]
    assert [dim.dim_param for dim in graph.output[0].type.tensor_type.shape.dim] == ["rows", ""]
    own = numpy.concatenate(
        [numpy.ravel(onnx.numpy_helper.to_array(one)) for one in graph.initializer]
    )
    assert numpy.isin(net.parameters()[0].data, own)
    assert sum(math.prod(shape) for name, shape in weights.items() if "layers" in name) == 50


def test_parameters_may_be_an_input(tmp_path: Path) -> None:
    net = nn.MLP(3, [4, 1], seed=2)
    c = compile(lambda x, y: net(x) * y).trace(X, Y)
    model = written(c, tmp_path, gradient=True, theta_as_input=True)
    assert model.inputs == ["x", "y", "theta"]
    theta = DRAW.normal(size=len(c.theta()))
    found = model(X, Y, theta)
    value, gradient = c.value_and_grad(theta, X, Y)
    close(found["mean"], value, 1e-12)
    close(found["gradient"], gradient, 1e-12)


def test_a_parameter_stands_in_the_model_once(tmp_path: Path) -> None:
    w = [Value(1.0 + k, label=f"w.{k}") for k in range(4)]
    c = compile(
        lambda x: w[0] * x[0] + w[1] * x[1] + tanh(w[1] * x[0] + w[2] * x[1]) + w[3] * w[1] * x[2]
    ).trace(X)
    model = written(c, tmp_path, gradient=True)
    agrees(model, c, X)
    numbers = [onnx.numpy_helper.to_array(one).ravel() for one in model.proto.graph.initializer]
    floats = numpy.concatenate([one for one in numbers if one.dtype == float])
    assert sorted(v for v in floats if v in (1.0, 2.0, 3.0, 4.0) and v > 1) == [2.0, 3.0, 4.0]


def test_losses(tmp_path: Path) -> None:
    net = nn.MLP(3, [6, 3], activation="relu", seed=3)
    labels = DRAW.integers(0, 3, 40)
    both: list[tuple[Callable[..., Any], Array]] = [
        (lambda x, y: losses.cross_entropy(net(x), y), labels),
        (lambda x, y: losses.mse(net(x)[:1], [y]), Y),
        (lambda x, y: losses.hinge(net(x)[0], y), numpy.sign(Y)),
        (lambda x, y: losses.binary_cross_entropy(net(x)[0].sigmoid(), y), labels % 2),
    ]
    for f, target in both:
        c = compile(f).trace(X, target)
        model = written(c, tmp_path, gradient=True)
        agrees(model, c, X, target)
        agrees(model, c, X[:3], target[:3])


def test_of_the_error_of_one_output_nothing_arrives_at_another(tmp_path: Path) -> None:
    w = Value(2.0, label="w")

    def f(x: Any) -> Any:
        return [w * x[0], log(x[1])] if x[0] > 0 else [x[1], w * sqrt(x[0] + x[1])]

    at = numpy.array([[1.0, 0.0], [-1.0, 1.0], [-2.0, 3.0]])
    c = compile(f).trace(at)
    found = agrees(written(c, tmp_path, gradient=True), c, at)
    assert found["gradient_x"][0].tolist() == [[2.0, 0.0], [0.0, math.inf]]


# ---- Operations --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "round_to"])
def test_operators_everywhere(tmp_path: Path, name: str) -> None:
    """Values and slopes of the table, at all magnitudes, infinity and NaN."""
    row = OPERATORS[name]
    two = len(row.slopes) == 2
    x = numpy.array([*POINTS, *DRAW.normal(size=40) * 3])
    y = numpy.roll(x, 3)
    if two:
        some = numpy.array(POINTS)
        x = numpy.concatenate([x, numpy.repeat(some, len(some))])
        y = numpy.concatenate([y, numpy.tile(some, len(some))])
    f = ops.on_floats(row.value)

    def of(x: Value, y: Value) -> Any:
        if name == "where":
            return where(x > 0, x, y)
        made = getattr(microgradlike.functions, name, None)
        return made(x, y) if two and made else made(x) if made else f(x, y, None, 0)

    c = compile(of).trace([0.3], [0.4])
    model = written(c, tmp_path, gradient=True)
    found, values, slopes = model(x, y), c(x, y), c.jacobian(x, y)[:, 0]
    ours = numpy.stack([found["gradient_x"], found["gradient_y"]], 1)
    with numpy.errstate(all="ignore"):
        usual = numpy.isfinite(values) & (numpy.abs(values) < 1e290)
    close(found["output"], values, 1e-9, 1e-3)
    close(ours[usual], slopes[usual], 1e-9, 1e-3)


def test_round_to_digits(tmp_path: Path) -> None:
    for n in (0, 1, 2, 15, MOST_DIGITS, -1, -2, -15, -MOST_DIGITS):
        c = compile(lambda x, n=n: round(x, n), check=False).trace([0.3])
        x = [*points_to_round(n), math.inf, -math.inf, math.nan]
        found = written(c, tmp_path, gradient=True)(x)
        theirs = [builtins.round(v, n) if math.isfinite(v) else v for v in x]
        numpy.testing.assert_array_equal(found["output"], theirs)
        assert not found["gradient_x"].any()
    wide = X[:, :1] + numpy.arange(10) * 30
    c = compile(lambda x: [round(v, k % 5 - 2) for k, v in enumerate(x)]).trace(wide)
    agrees(written(c, tmp_path), c, wide)


def test_what_is_not_asked_of_onnx_in_float64_is_exact_enough(tmp_path: Path) -> None:
    import mpmath

    x = numpy.concatenate([DRAW.normal(size=60) * 4, [1e-9, 0.3, 1.4999, 1.5001, 9.0]])
    for name in ("erf", "erfc", "atan", "asinh", "expm1", "log1p", "sinh", "tan", "sigmoid"):
        given = numpy.abs(x) if name == "log1p" else x
        c = compile(getattr(microgradlike.functions, name)).trace([0.5])
        found = written(c, tmp_path)(given)["output"]
        exact = {"sigmoid": lambda v: 1 / (1 + mpmath.exp(-v))}.get(name) or getattr(mpmath, name)
        with mpmath.workdps(40):
            numpy.testing.assert_allclose(found, [float(exact(v)) for v in given], rtol=2e-13)


def test_kinks_have_the_slopes_of_the_table(tmp_path: Path) -> None:
    w = Value(0.0, label="w")
    c = compile(
        lambda x: x[0].relu() + abs(x[1]) + maximum(x[0], x[1]) + maximum(x[2], w)
        + where(x[2] > 0, sqrt(x[2]), 0.0) + logsumexp([x[0], x[1], 2.0])
    )  # fmt: skip
    at = numpy.array([[0.0, 0, 0], [1, 1, -2], [0, 1, 4], [-1, -1, 0]])
    c.trace(at)
    model = written(c, tmp_path, gradient=True)
    for row in at:  # none of them disturbs another one
        agrees(model, c, row[None])
    agrees(model, c, at)


def test_softmax_of_large_numbers(tmp_path: Path) -> None:
    c = compile(lambda x: softmax(x)[0] * logsumexp(x)).trace(X)
    model = written(c, tmp_path, gradient=True)
    agrees(model, c, X * 300)


# ---- Branches, tables, loops -------------------------------------------------------------------


def test_branches_and_rows_whose_branch_was_not_traced(tmp_path: Path) -> None:
    w = Value(0.7, label="w")

    def f(x: Any) -> Any:
        if x > 1:
            return exp(w * x)
        return sqrt(-w * x) if x < 0 else w * x

    c = compile(f).trace([2.0, -1.0])
    model = written(c, tmp_path, gradient=True)
    agrees(model, c, numpy.array([3.0, -4.0, 2.0]))
    found = model(numpy.array([3.0, 0.5, -4.0]))
    for name in ("output", "gradient_x"):
        assert numpy.isnan(found[name]).tolist() == [False, True, False]
    assert numpy.isnan(found["mean"]) and numpy.isnan(found["gradient"]).all()
    agrees(written(c.trace([0.5]), tmp_path, gradient=True), c, numpy.array([3.0, 0.5, -4.0]))


def test_tables_and_entries_that_no_row_takes(tmp_path: Path) -> None:
    table = [[Value(float(i + j), label=f"t.{i}.{j}") for j in range(2)] for i in range(3)]

    def f(i: Any, x: Any) -> Any:
        a, b = take(table, i)
        return a * x[0] + take([sqrt(row[0]) for row in table], i) * b

    i = DRAW.integers(1, 3, 40)
    c = compile(f).trace(i, X)
    model = written(c, tmp_path, gradient=True)
    found = agrees(model, c, i, X)
    assert numpy.isfinite(found["gradient"]).all()  # sqrt(0), which no row takes, has no slope
    wrong = model([1, 7, 0.5], X[:3])
    assert numpy.isnan(wrong["output"]).tolist() == [False, True, True]


@pytest.mark.parametrize("dtype, within", [("float64", 1e-9), ("float32", 1e-5)])
def test_loops_go_back_round_by_round(tmp_path: Path, dtype: str, within: float) -> None:
    w, b = Value(0.7, label="w"), Value(-0.3, label="b")

    def rounds(x: Any, y: Any) -> Any:
        s = loop(lambda s, k: tanh(w * s + b * x[0] + 0.1 * k), x[1], 12)
        return s * y

    def halved(x: Any, y: Any) -> Any:
        a, s = while_loop(lambda t: t[0] > 0.1, lambda t: (t[0] * 0.5, t[1] * w + b), (abs(y), y))
        return s * x[0] + a

    def within_another(x: Any, y: Any) -> Any:
        def inner(t: Any) -> Any:
            return while_loop(lambda s: abs(s) > 1, lambda s: s * w, t * 3)

        return loop(lambda s, v: inner(s + v) * y, x[0], [x[1], x[2], 0.5] * 4)

    # Of few digits the last one decides how often what is within another loop goes round.
    for f in (rounds, halved, within_another)[: 3 if dtype == "float64" else 2]:
        c = compile(f).trace(X, Y)
        model = written(c, tmp_path, gradient=True, dtype=dtype)
        assert "Loop" in model.kinds
        for columns in ((X, Y), *OTHERS):
            agrees(model, c, *columns, within=within)


def test_a_row_that_needs_more_rounds_is_no_number(tmp_path: Path) -> None:
    c = compile(lambda x: while_loop(lambda s: s > 1, lambda s: s * 0.5, x)).trace([8.0, 0.5])
    found = written(c, tmp_path, gradient=True, rounds=5)(numpy.array([8.0, 0.5, 1e6]))
    assert found["output"][:2].tolist() == [1.0, 0.5]
    assert numpy.isnan(found["output"]).tolist() == [False, False, True]
    assert numpy.isnan(found["gradient_x"]).tolist() == [False, False, True]


# ---- Random programs ---------------------------------------------------------------------------


def near(ours: float, theirs: tuple[float, float]) -> bool:
    """Whether a number is the engine's, to 1e-11 of the magnitudes that went in.

    Sums of numbers near the largest one may overflow in one order, and not in another. To
    onnxruntime's ``Where`` -0.0 is 0.0, and what is divided by it has the other sign.
    """
    number, bound = theirs
    if math.isinf(number):
        return math.isinf(ours)
    if math.isfinite(number) and builtins.abs(number) > 1e300:
        return True
    if not math.isfinite(number):
        return bool(numpy.array_equal(ours, number, equal_nan=True))
    return (
        not math.isfinite(bound) or builtins.abs(ours - number) <= 1e-11 / 2.0**-53 * bound + 1e-300
    )


@groups(20_000, 60, size=10)
def test_random_programs(tmp_path: Path, seeds: Sequence[int]) -> None:
    for seed in seeds:
        program = Program(seed, tables=seed % 3 == 0)
        columns, target = program.examples(3, special=seed % 2 == 1)
        expected = Expected(program, columns, target, bent=False)
        c = compile(program, on="numpy").trace(columns, target)
        found = written(c, tmp_path, gradient=True, reduce="sum")(columns, target)
        for ours, theirs in zip(found["output"].reshape(3, -1), expected.values, strict=True):
            assert all(map(near, ours, theirs)), (seed, ours, theirs)
        by_inputs = [found[f"gradient_{name}"].reshape(3, program.outputs, -1) for name in "xy"]
        for ours, by_output in zip(numpy.concatenate(by_inputs, 2), expected.slopes, strict=True):
            for each, slopes in zip(ours, by_output, strict=True):
                assert all(map(near, each, slopes)), (seed, each, slopes)
        if program.outputs == 1:
            own = dict(zip(c.parameters, found["gradient"], strict=True))
            ours = [own.get(p, 0.0) for p in program.parameters]
            bounded = list(zip(*expected.gradient, strict=True))
            assert all(map(near, ours, bounded)), (seed, ours, bounded)
        else:
            close(
                found["gradient"], c.jacobian_by_parameters(c.theta(), columns, target).sum(0), 1e-9
            )


@pytest.mark.parametrize("seeds", [range(100, 103), (32, 110, 718)], ids=str)
def test_random_loops(tmp_path: Path, seeds: Sequence[int]) -> None:
    for seed in seeds:
        f, _, _ = random_loops.program(seed)
        parts = [random_loops.columns(2 * seed, 5), random_loops.columns(2 * seed + 1, 2)]
        c = compile(f, on="numpy")
        for _ in range(2):
            for part in parts:
                c.trace(*part)
        model = written(c, tmp_path, gradient=True, reduce="sum")
        for part in parts:
            agrees(model, c, *part)


@pytest.mark.parametrize("seed", random_branches.OTHER_WAYS)
def test_random_branches(tmp_path: Path, seed: int) -> None:
    """A row that decides in a way which was not traced has no number."""
    some = random_branches.Some(seed)
    found = written(some.c, tmp_path, gradient=True)(*some.columns)
    slopes = numpy.stack([found[f"gradient_{name}"] for name in "xyzt"], 1)
    assert not some.wrong(found["output"], slopes)
    assert numpy.isnan(found["output"]).sum() < len(some.values) - some.traced
    narrow = written(some.c, tmp_path, dtype="float32")(*some.columns, dtype="float32")["output"]
    assert numpy.array_equal(numpy.isnan(narrow), numpy.isnan(found["output"]))


# ---- What is refused, and files ----------------------------------------------------------------


def test_refusals_are_one_sentence_and_touch_no_file(tmp_path: Path) -> None:
    path = tmp_path / "kept.onnx"
    path.write_bytes(b"as it was")
    c, w = compile(lambda x: x * 2.0), Value(2.0)
    refused: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (c, {}, ValueError, "not traced yet"),
        (lambda x: x, {}, TypeError, "was compiled, as by compile"),
        (compile(lambda x: round(x, 23)).trace([1.0]), {}, ValueError, r"n is 23, at .*x, 23"),
        (compile(lambda x: x.round_to(w)).trace([1.0]), {}, ValueError, "n is a Value, at .*w"),
    ]
    for f, how, kind, sentence in refused:
        with pytest.raises(kind, match=sentence) as caught:
            to_onnx(f, path, **how)
        assert "\n" not in str(caught.value)
    c.trace([1.0])
    for how in ({"reduce": "max"}, {"dtype": "int8"}, {"rounds": 0}, {"rounds": True}):
        with pytest.raises(ValueError, match=next(iter(how))):
            to_onnx(c, path, **how)
    for wrong in (tmp_path / "model.bin", tmp_path / "no" / "folder.onnx", tmp_path):
        with pytest.raises((OSError, ValueError)):
            to_onnx(c, wrong)
    with pytest.raises(TypeError, match="path"):
        to_onnx(c, 3)
    assert path.read_bytes() == b"as it was"
    assert [one.name for one in tmp_path.iterdir()] == ["kept.onnx"]


def test_more_than_a_file_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.MLP(3, [4, 1], seed=2)
    c = compile(lambda x: net(x)).trace(X)
    to_onnx(c, tmp_path / "model.onnx")  # and the module is there
    monkeypatch.setattr(sys.modules["microgradlike.writers.onnx"], "MOST", 100)
    with pytest.raises(ValueError, match="2 GB at most, less than 21 parameters in float64"):
        to_onnx(c, tmp_path / "model.onnx")
    assert written(c, tmp_path, theta_as_input=True).inputs == ["x", "theta"]


def test_names_that_are_taken(tmp_path: Path) -> None:
    w = Value(2.0, label="mul")
    c = compile(lambda mul, constant, back: w * mul * 3.0 + constant * back)
    c.trace([1.0], [2.0], [3.0])
    model = written(c, tmp_path, gradient=True)
    assert model.inputs == ["mul", "constant", "back"]
    agrees(model, c, *numpy.arange(9.0).reshape(3, 3))


def test_functions_of_all_shapes(tmp_path: Path) -> None:
    w = Value(2.0, label="w")
    alone = compile(lambda: (w * w).tanh())
    found = written(alone, tmp_path, gradient=True)()
    assert found["output"] == pytest.approx(math.tanh(4)) and found["output"].shape == ()
    close(found["gradient"], alone.gradients(), 1e-12)
    for f in (lambda *v: v[0] * v[1], lambda x, y: w * 3, lambda x, y: 1.0 + 0 * x):
        c = compile(f).trace([1.0, 2.0], [3.0, 4.0])
        model = written(c, tmp_path, gradient=True)
        assert model.inputs == (
            ["v_0", "v_1"] if "v" in inspect.signature(f).parameters else ["x", "y"]
        )
        agrees(model, c, numpy.array([1.0, 5.0]), numpy.array([2.0, 6.0]))
    several = compile(lambda x: [x[0][1], w, x[1][0] * w]).trace(numpy.ones((2, 2, 2)))
    cube = DRAW.normal(size=(5, 2, 2))
    assert numpy.array_equal(written(several, tmp_path)(cube)["output"], several(cube))
    found = agrees(written(several, tmp_path, gradient=True), several, cube)
    assert found["mean"].shape == (3,) and found["gradient"].shape == (3, 1)
    assert found["gradient_x"].shape == (5, 3, 2, 2)
    alone = compile(lambda: [w, w * w])
    close(written(alone, tmp_path, gradient=True)()["gradient"], [[1.0], [4.0]], 1e-12)
    taken = compile(lambda output, gradient: output * gradient).trace([1.0], [2.0])
    model = written(taken, tmp_path, gradient=True)
    assert model.outputs[0] == "output_1" and len(set(model.outputs + model.inputs)) == 7
    taken = compile(lambda theta, *mean: w * theta * mean[0]).trace([1.0], [2.0])
    model = written(taken, tmp_path, gradient=True, theta_as_input=True)
    assert model.inputs == ["theta", "mean_0", "theta_1"] and "mean" in model.outputs


def test_no_rows(tmp_path: Path) -> None:
    net = nn.MLP(3, [4, 1], seed=2)
    c = compile(lambda x: net(x)).trace(X)
    mean = written(c, tmp_path, gradient=True)(X[:0])
    assert numpy.isnan(mean["mean"]) and numpy.isnan(mean["gradient"]).all()
    found = written(c, tmp_path, gradient=True, reduce="sum")(X[:0])
    assert found["output"].shape == (0,) and found["gradient_x"].shape == (0, 3)
    assert not found["sum"] and not found["gradient"].any()


@pytest.mark.parametrize("gradient", [False, True])
def test_columns_of_different_lengths_are_no_rows(tmp_path: Path, gradient: bool) -> None:
    w = Value(2.0)
    functions: list[Callable[..., Any]] = [
        lambda x, y, z: w * x[0] + y[1] * z,
        lambda x, y, z: [w * y[0], y[1]],  # what a column is not used for needs its rows, too
        lambda x, y, z: w * 3.0,
    ]
    for f in functions:
        c = compile(f, parameters=[w]).trace([[1.0, 2.0]], [[1.0, 2.0]], [2.0])
        model = written(c, tmp_path, gradient=gradient)
        for rows in itertools.product((0, 1, 3), repeat=3):
            columns = [numpy.ones((n, 2)) for n in rows[:2]] + [numpy.ones(rows[2])]
            if len(set(rows)) == 1:
                assert len(model(*columns)["output"]) == rows[0]
                continue
            given = dict(zip(model.inputs, columns, strict=True))
            for output in model.outputs:
                with pytest.raises(Exception, match="all_arguments_have_one_entry_for_each_row"):
                    model.session.run([output], given)


def test_a_model_is_as_the_parameters_were(tmp_path: Path) -> None:
    w = Value(2.0)
    c = compile(lambda x: w * x).trace([1.0])
    model = written(c, tmp_path)
    w.data = 5.0
    assert model([3.0])["output"] == [6.0]
    assert written(c, tmp_path)([3.0])["output"] == [15.0]


def test_nothing_loads_onnx_before_it_is_called() -> None:
    code = "import sys, microgradlike; assert not {'onnx', 'onnxruntime'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("microgradlike.writers.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("microgradlike.writers.onnx", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "microgradlike\[onnx\]"'):
        to_onnx(compile(lambda x: x).trace([1.0]), "model.onnx")


def test_what_is_taken_from_outside_a_table_is_nan_and_so_is_each_gradient(tmp_path: Path) -> None:
    w = Value(2.0)
    tables: list[Callable[[Any], list[Any]]] = [
        lambda x: [x, x * x], lambda x: [w * 2, w * w], lambda x: [w, 5.0],
    ]  # fmt: skip
    for table in tables:
        c = compile(lambda x, j, of=table: take(of(x), j) + w * x, parameters=[w])
        model = written(c.trace([3.0], [0]), tmp_path, gradient=True)
        found = model(numpy.full(4, 3.0), [0, 1, -1, 2])
        assert numpy.isnan(found["output"]).tolist() == [False, False, True, True]
        assert numpy.isnan(found["gradient"]).all() and numpy.isnan(found["gradient_x"][2:]).all()
