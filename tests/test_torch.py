"""Compiled functions in PyTorch: values and gradients are the engine's, of any order."""

from __future__ import annotations

import copy
import functools
import io
import pickle
import subprocess
import sys
from typing import Any

import numpy
import pytest

from microgradlike import (
    Compiled,
    Value,
    compile,
    loop,
    losses,
    maximum,
    nn,
    sqrt,
    take,
    where,
    while_loop,
)
from tests import random_branches, random_loops
from tests.operators import OF_ENGINE, OF_PROGRAMS, differing, expected
from tests.packages import needed
from tests.programs import Program, agree, groups
from tests.random_programs import Expected, close

torch = needed("torch")

#: Run by its executor, and by PyTorch.
WAYS = pytest.mark.parametrize("native", [False, True], ids=["executed", "native"])


def tensors(c: Compiled, *columns: Any, dtype: Any = None) -> list[Any]:
    """Theta and columns, by which there are gradients."""
    dtype = dtype or torch.float64
    given = [torch.tensor(numpy.asarray(x, float), dtype=dtype) for x in (c.theta(), *columns)]
    return [x.requires_grad_() for x in given]


def gradients(out: Any, given: list[Any], again: bool = True) -> list[Any]:
    return list(torch.autograd.grad(out, given, retain_graph=again, materialize_grads=True))


# ---- Random programs ---------------------------------------------------------------------------


def compare(program: Program, native: bool) -> None:
    """Values, slopes and the gradient by the parameters, of one output after the other."""
    columns, target = program.examples(3, special=False)
    expected = Expected(program, columns, target, bent=False)
    c = compile(program).trace(columns, target)
    given = tensors(c, columns, target)
    out = c.to_torch(native)(*given).reshape(len(target), -1)
    numbers = out.tolist()
    for k in range(program.outputs):
        found = gradients(out[:, k].sum(), given)
        slopes = torch.cat([x.reshape(len(target), -1) for x in found[1:]], 1).tolist()
        for row, of_row in enumerate(slopes):
            assert close(numbers[row][k], expected.values[row][k]), (program.seed, "value", row, k)
            # An error of 0 at an output with an infinite slope is NaN, as PyTorch has it.
            if program.outputs == 1 or not numpy.isnan(of_row).any():
                close_all = all(map(close, of_row, expected.slopes[row][k]))
                assert close_all, (program.seed, row, k, of_row, expected.slopes[row][k])
    if program.outputs == 1:
        own = dict(zip(c.parameters, found[0].tolist(), strict=True))
        ours = [own.get(p, 0.0) for p in program.parameters]
        assert all(map(agree, ours, *expected.gradient)), (program.seed, ours, expected.gradient)


@groups(7_000, 40)
def test_random_programs(seeds: range) -> None:
    for seed in seeds:
        compare(Program(seed), native=seed % 2 == 0)


@WAYS
@pytest.mark.parametrize("seed", range(2))
def test_random_branches(seed: int, native: bool) -> None:
    f, w, _ = random_branches.program(seed)
    rows = numpy.random.default_rng(seed).normal(size=(30, random_branches.INPUTS)).round(2)
    rows, expected = of_engine(f, w, rows)
    c = compile(f)
    c.trace(*rows.T)
    given = tensors(c, *rows.T)
    out = c.to_torch(native)(*given)
    of_theta, *slopes = gradients(out.sum(), given)
    for k, (value, by_inputs, _) in enumerate(expected):
        assert random_branches.agree(out[k].item(), value)
        assert all(map(random_branches.agree, [s[k].item() for s in slopes], by_inputs))
    total = sum(by_parameter for *_, by_parameter in expected)
    assert random_branches.agree(of_theta.sum().item(), total, sum(abs(v) for *_, v in expected))


def test_rows_that_decide_in_a_way_which_was_not_traced_are_nan() -> None:
    some = random_branches.Some(random_branches.OTHER_WAYS[-1])
    module = some.c.to_torch(native=True)
    for dtype in (torch.float64, torch.float32):
        given = (torch.tensor(x, dtype=dtype) for x in (some.c.theta(), *some.columns))
        assert not some.wrong(module(*given).detach().double().numpy(), within=1e-4)


def of_engine(f: Any, w: Value, rows: Any) -> tuple[Any, list[Any]]:
    """The rows that the engine can compute, and what it finds there."""
    kept, found = [], []
    for row in rows.tolist():
        try:
            found.append(random_branches.by_engine(f, w, row))
        except (ArithmeticError, ValueError):
            continue
        kept.append(row)
    return numpy.array(kept), found


@WAYS
@pytest.mark.parametrize("seed", [0, 1, 139, 158])  # loops of what has one row, loops in loops
def test_random_loops(seed: int, native: bool) -> None:
    f, parameters, _ = random_loops.program(seed)
    columns = random_loops.columns(2 * seed, 4)
    expected = [
        random_loops.Expected(f, parameters, list(row)) for row in zip(*columns, strict=True)
    ]
    c = compile(f, parameters=parameters).trace(*columns)
    given = [*tensors(c, *columns[:3]), *map(torch.tensor, columns[3:])]
    out = c.to_torch(native)(*given).reshape(4, -1)
    for k in range(out.shape[1]):
        of_theta, *slopes = gradients(out[:, k].sum(), given[:4])
        slopes = torch.cat([s.reshape(4, -1) for s in slopes], 1)
        for row, theirs in enumerate(expected):
            assert random_loops.agree(out[row, k].item(), theirs.values[k])
            assert random_loops.agree(slopes[row].tolist(), theirs.slopes[k])
        total = numpy.sum([row.by_parameters[k] for row in expected], axis=0)
        assert random_loops.agree(of_theta.tolist(), total, max(1.0, abs(total).max()))


# ---- Derivatives of any order ------------------------------------------------------------------


def bundle() -> Compiled:
    """A function of parameters and inputs, of two outputs, with a branch and a loop."""
    w, b, unused = Value(0.7), Value(-0.2), Value(1.0)

    def f(x: Any, v: Any) -> Any:
        s = loop(lambda s, a: (w * s + a).tanh(), x, v)
        return [s * x if x > 0 else s * v[0] * b, (x * v[1] - w).softplus()]

    return compile(f, parameters=[unused, w, b])


@WAYS
def test_gradcheck_and_gradgradcheck(native: bool) -> None:
    columns = [0.8, -0.6, 0.3], [[0.2, 1.0], [-0.4, 0.5], [0.9, -0.7]]
    c = bundle().trace(*columns)
    f, given = c.to_torch(native), tensors(c, *columns)
    assert torch.autograd.gradcheck(f, given)
    assert torch.autograd.gradgradcheck(f, given)


@WAYS
def test_second_derivatives_are_those_of_the_compiled_function(native: bool) -> None:
    model = nn.MLP(2, [4, 1], activation="tanh", seed=1)
    c = compile(lambda x, y: (model(x) - y) ** 2, parameters=model.parameters())
    X, y = numpy.random.default_rng(0).normal(size=(5, 2)), numpy.linspace(-1, 1, 5)
    c.trace(X, y)
    f, theta, v = c.to_torch(native), c.theta(), numpy.linspace(1, -1, 17)
    given = [torch.tensor(X), torch.tensor(y)]
    of = lambda theta: f(theta, *given).mean()  # noqa: E731
    product = torch.autograd.functional.vhp(of, torch.tensor(theta), torch.tensor(v))[1]
    ours = c.hvp_by_parameters(theta, v, X, y)
    numpy.testing.assert_allclose(product, ours, rtol=1e-10, atol=1e-12)
    theta, X_, y_ = tensors(c, X, y)
    (slopes,) = torch.autograd.grad(f(theta, X_, y_).sum(), X_, create_graph=True)
    bent = gradients((slopes * torch.tensor(X)).sum(), [X_, y_])
    ours = c.hvp(X, y, v=numpy.append(X, numpy.zeros((5, 1)), axis=1))
    numpy.testing.assert_allclose(torch.cat([bent[0], bent[1][:, None]], 1), ours, rtol=1e-10)


def test_parameters_that_decide_are_those_that_are_given() -> None:
    w = Value(-1.0)
    c = compile(lambda x: w * x * x if w > 0 else w * x).trace([2.0])
    f = c.to_torch()
    theta, x = tensors(c, [2.0, 3.0])
    with torch.no_grad():
        theta += 2.0
    out = f(theta, x)
    assert out.tolist() == [4.0, 9.0]
    assert [g.tolist() for g in gradients(out.sum(), [theta, x])] == [[13.0], [4.0, 6.0]]
    assert w.data == -1.0


# ---- Special points, and rows that are lost ----------------------------------------------------


@WAYS
def test_slopes_at_kinks_are_those_of_the_table(native: bool) -> None:
    c = compile(lambda x: [x.relu(), abs(x), maximum(x, 0.0), where(x > 0, sqrt(x), x)])
    c.trace([1.0, -1.0, 0.0])
    theta, x = tensors(c, [0.0, -1.0, 4.0])
    slopes = [gradients(o, [x])[0].tolist() for o in c.to_torch(native)(theta, x).sum(0)]
    assert slopes == [[0, 0, 1], [0, -1, 1], [0, 0, 1], [1, 1, 0.25]]


def test_each_operation_has_the_derivatives_of_the_table_at_special_points() -> None:
    from microgradlike.writers.torch import operate

    for name in OF_PROGRAMS:
        given = [torch.tensor(x, requires_grad=True) for x in expected(name).operands]
        out = operate(name, *given)
        slopes = differentiated(out, given)
        second = [differentiated(slope, given) for slope in slopes]
        found = [x.detach().numpy() for x in (out, *slopes)]
        bent = (
            [[x.detach().numpy() for x in some] for some in second] if name in OF_ENGINE else None
        )
        assert not list(differing(name, found[0], found[1:], bent))


def differentiated(out: Any, given: list[Any]) -> list[Any]:
    """The derivatives of each row, to be differentiated again."""
    if not out.requires_grad:
        return [torch.zeros_like(x) for x in given]
    return list(torch.autograd.grad(out.sum(), given, create_graph=True, materialize_grads=True))


def test_rows_that_a_module_cannot_compute_are_nan() -> None:
    w = Value(2.0)
    f = compile(lambda x: w * x if x > 0 else w * w * x).trace([1.0]).to_torch(native=True)
    given = [torch.tensor(v, requires_grad=True) for v in ([2.0], [3.0, -1.0])]
    out = f(*given)
    assert out[0] == 6.0 and out[1].isnan()
    assert gradients(out[0], given)[1][0] == 2.0
    assert gradients(out.sum(), given)[1].isnan().tolist() == [False, True]
    table = [Value(1.0), Value(2.0)]
    f = compile(lambda i: take(table, i)).trace([0, 1]).to_torch(native=True)
    assert f(torch.tensor([1.0, 2.0]), torch.tensor([1, 2, 0])).isnan().tolist() == [0, 1, 0]


def test_a_tensor_whose_sign_is_to_be_changed() -> None:
    f = compile(lambda x: x * 3.0).trace([1.0]).to_torch()
    x = torch.view_as_complex(torch.tensor([[1.0, 2.0]], dtype=torch.float64)).conj().imag
    assert f(torch.empty(0, dtype=torch.float64), x).tolist() == [-6.0]


def test_its_executor_traces_a_branch_that_is_new() -> None:
    w = Value(2.0)
    c = compile(lambda x: w * x if x > 0 else w * w * x).trace([1.0])
    f, given = c.to_torch(), [torch.tensor(v, requires_grad=True) for v in ([2.0], [3.0, -1.0])]
    out = f(*given)
    assert out.tolist() == [6.0, -4.0]
    (slope,) = torch.autograd.grad(out.sum(), given[0], create_graph=True)
    assert slope.item() == 3.0 - 4.0
    assert torch.autograd.grad(slope, given[1])[0].tolist() == [1.0, 4.0]


def test_labels_are_whole_numbers() -> None:
    model = nn.MLP(2, [3], seed=0)
    c = compile(lambda x, label: losses.cross_entropy(model(x), label))
    X, labels = numpy.array([[0.0, 1.0], [1.0, 0.5]]), numpy.array([0, 2])
    c.trace(X, labels)
    theta = torch.tensor(c.theta(), requires_grad=True)
    for native in (False, True):
        out = c.to_torch(native)(theta, torch.tensor(X), torch.tensor(labels)).mean()
        value, gradient = c.value_and_grad(c.theta(), X, labels)
        assert out.item() == pytest.approx(value)
        numpy.testing.assert_allclose(gradients(out, [theta])[0], gradient, rtol=1e-12)


def test_a_loop_ends_where_no_row_goes_on() -> None:
    def root(x: Any) -> Any:
        return while_loop(lambda y: abs(y * y - x) > 1e-12 * x, lambda y: (y + x / y) / 2, x)

    f = compile(root).trace([4.0]).to_torch(native=True)
    x = torch.tensor([4.0, 1e6], dtype=torch.float64, requires_grad=True)
    out = f(torch.empty(0, dtype=torch.float64), x)
    numpy.testing.assert_allclose(out.tolist(), [2.0, 1e3])
    numpy.testing.assert_allclose(gradients(out.sum(), [x])[0], [0.25, 5e-4])
    # In float32 there is no number whose square is so near to 2.
    given = torch.empty(0), torch.tensor([2.0, 4.0])
    found = compile(root).trace([4.0]).to_torch(native=True, rounds=50)(*given)
    assert found[0].isnan() and found[1] == 2.0
    with pytest.raises(ValueError, match="rounds is a whole number, at least 1, but got 0"):
        compile(root).trace([4.0]).to_torch(rounds=0)


# ---- Where a module goes -----------------------------------------------------------------------


def test_a_module_is_compiled_whole() -> None:
    w, b = Value(2.0), Value(0.5)
    c = compile(lambda x, y: [(w * x + b).tanh() * y, (w * x).relu() + y * y])
    columns = [0.8, -0.6, 0.3], [0.2, 1.0, -0.4]
    c.trace(*columns)
    module, given = c.to_torch(native=True), tensors(c, *columns)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    for rows in (3, 2):
        some = [given[0], *(x[:rows] for x in given[1:])]
        ours, theirs = compiled(*some), module(*some)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
        both = (gradients(out.sum(), given, again=False) for out in (ours, theirs))
        pairs = zip(*both, strict=True)
        assert all(torch.allclose(a, b, rtol=1e-12, atol=1e-14) for a, b in pairs)


def test_each_module_is_compiled_by_itself() -> None:
    for k in range(10):
        c = compile(lambda x, k=k: x * x + k).trace([1.0])
        compiled = torch.compile(c.to_torch(native=True), backend="eager", fullgraph=True)
        assert compiled(torch.empty(0), torch.tensor([2.0])) == 4.0 + k


class Network(torch.nn.Module):  # type: ignore[name-defined, misc, unused-ignore]
    """A network of PyTorch, one part of which is a compiled function."""

    def __init__(self, c: Compiled) -> None:
        super().__init__()
        self.theta = torch.nn.Parameter(torch.tensor(c.theta()))
        self.f = c.to_torch(native=True)

    def forward(self, x: Any) -> Any:
        return self.f(self.theta, x)


def test_what_is_saved_of_a_network_is_what_it_has_learned() -> None:
    """The constants of the function, such as those of its paths, are not overwritten by others."""
    p, q = Value(2.0), Value(3.0)
    c = compile(lambda x: p * x if x > 2 else (q * x if x > 0 else p * x * x), parameters=[p, q])
    x = torch.tensor([3.0, 1.0, -1.0], dtype=torch.float64)
    whole = Network(c.trace([3.0, 1.0, -1.0]))
    p.data = 20.0
    other = Network(compile(c.function, parameters=[p, q]).trace([-1.0, 3.0]))
    assert list(other.state_dict()) == ["theta"]
    whole.load_state_dict(other.state_dict())
    assert whole(x).tolist() == copy.deepcopy(whole)(x).tolist() == [60.0, 3.0, 20.0]
    for write in (pickle.dumps, lambda it: torch.save(it, io.BytesIO())):
        with pytest.raises(TypeError, match="keep theta, and make the module again"):
            write(whole)


def test_a_module_under_the_functions_of_torch_func() -> None:
    columns = [0.8, -0.6], [[0.2, 1.0], [-0.4, 0.5]]
    c = bundle().trace(*columns)
    module = c.to_torch(native=True)
    theta, *given = (x.detach() for x in tensors(c, *columns))
    of = lambda theta: module(theta, *given).sum()  # noqa: E731
    func = torch.func
    torch.testing.assert_close(func.hessian(of)(theta), func.jacrev(func.jacrev(of))(theta))
    both = torch.stack([theta, theta + 0.1])
    expected = torch.stack([func.grad(of)(both[0]), func.grad(of)(both[1])])
    torch.testing.assert_close(func.vmap(func.grad(of))(both), expected)
    along = func.jvp(of, (theta,), (both[1],))[1]
    torch.testing.assert_close(along, func.grad(of)(theta) @ both[1])


def test_a_module_keeps_to_the_device_of_its_tensors() -> None:
    """The device "meta" has shapes and no numbers: a tensor elsewhere would be refused."""
    w = [Value(0.5), Value(2.0)]
    c = compile(lambda x, v: [take(w, 1) * x.elu(0.5) if x > 0 else v[0] - w[0], (v[0] / x).exp()])
    c.trace([1.0, -1.0], [[1.0, 2.0], [0.0, 1.0]])
    shapes = (2,), (5,), (5, 2)
    given = [torch.empty(shape, device="meta", requires_grad=True) for shape in shapes]
    out = c.to_torch(native=True)(*given)
    assert out.device.type == "meta" and out.shape == (5, 2) and out.dtype == torch.float32
    assert [g.shape for g in gradients(out.sum(), given)] == list(shapes)


@WAYS
def test_float32_is_enough_for_seven_digits(native: bool) -> None:
    c = bundle().trace([0.8, -0.6], [[0.2, 1.0], [-0.4, 0.5]])
    columns = [0.8, -0.6], [[0.2, 1.0], [-0.4, 0.5]]
    given = tensors(c, *columns, dtype=torch.float32)
    out = c.to_torch(native)(*given)
    assert out.dtype == torch.float32
    numpy.testing.assert_allclose(out.detach(), c(*columns), rtol=1e-5)
    assert [g.dtype for g in gradients(out.sum(), given)] == [torch.float32] * 3


def test_constants_stay_exact_when_a_module_is_made_of_other_numbers() -> None:
    w = Value(2.0)
    module: Any = compile(lambda x: w * x + 0.1).trace([1.0]).to_torch(native=True)
    module.half()
    given = [torch.tensor([v], dtype=torch.float64) for v in (2.0, 1.0)]
    assert module(*given).item() == 2.0 * 1.0 + 0.1


def test_integers_that_its_numbers_do_not_hold_are_nan() -> None:
    w = Value(1.0)
    module = compile(lambda x: w * x).trace([1.0]).to_torch(native=True)
    integers = torch.tensor([2**24 + 1, 2**53 + 1, 2**63 - 1, -(2**62)])
    for dtype, lost in ((torch.float64, [0, 1, 1, 0]), (torch.float32, [1, 1, 1, 0])):
        found = module(torch.ones(1, dtype=dtype), integers)
        assert found.isnan().tolist() == lost
        assert found[-1] == -(2.0**62)


def test_a_module_is_exported_for_any_number_of_rows() -> None:
    columns = [0.8, -0.6], [[0.2, 1.0], [-0.4, 0.5]]
    c = compile(lambda x, v: losses.mse([x.tanh() * v[0]], [v[1]])).trace(*columns)
    module, given = c.to_torch(native=True), [x.detach() for x in tensors(c, *columns)]
    rows = {0: torch.export.Dim("rows", min=2)}
    shapes = {"theta": None, "columns": (rows, rows)}
    exported = torch.export.export(module, tuple(given), dynamic_shapes=shapes).module()
    more = [given[0], *(torch.cat([x, 2 * x]) for x in given[1:])]
    torch.testing.assert_close(exported(*more), module(*more))


# ---- What is refused ---------------------------------------------------------------------------

WRONG: list[tuple[Any, str]] = [
    (lambda f, x: f(x([1.0, 2.0]), x([1.0])), r"theta has the shape \(1,\).*got \(2,\)"),
    (
        lambda f, x: f(x([1]), x([1.0])),
        "theta is a tensor of float64 or float32, but got torch.int",
    ),
    (lambda f, x: f([1.0], x([1.0])), "theta is a tensor, but got .*list"),
    (lambda f, x: f(x([1.0]), [1.0]), "argument 1 is a tensor, but got .*list"),
    (lambda f, x: f(x([1.0]), x([1j])), "argument 1 is a tensor of float64.*got torch.complex"),
    (lambda f, x: f(x([1.0]), x([1.0]).to_sparse()), "argument 1 is a dense tensor.*x.to_dense"),
    (lambda f, x: f(x([1.0]), x([[1.0]])), "traced.*but got"),
    (lambda f, x: f(x([1.0]), x(1.0)), "argument 1 has"),
    (lambda f, x: f(x([1.0])), "it takes theta, then an array for each|argument"),
    (lambda f, x: f(x([1.0]), x([1.0]), x([1.0])), "argument"),
    (lambda f, x: f(x([1.0]), x([])), "there are no rows"),
    (lambda f, x: f(x([1.0]), x([1.0], device="meta")), "on one device.*argument 1 on meta"),
]


@WAYS
@pytest.mark.parametrize(("call", "sentence"), WRONG)
def test_what_does_not_fit_is_refused_in_a_sentence(call: Any, sentence: str, native: bool) -> None:
    w = Value(2.0)
    f = compile(lambda x: w * x).trace([1.0]).to_torch(native)
    with pytest.raises((TypeError, ValueError), match=sentence) as caught:
        call(f, torch.tensor)
    assert "\n" not in str(caught.value)


def test_a_function_is_called_without_names_and_says_its_own() -> None:
    w, t = Value(2.0), torch.tensor([3.0])

    def area(x: Any) -> Any:
        return w * x

    f: Any = compile(area).trace([1.0]).to_torch()
    ways: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((t,), {"x": t}, "an argument by name: x"),
        ((), {"theta": t, "x": t}, "an argument by name: theta, x"),
        ((), {}, "nothing"),
    ]
    for by_place, by_name, got in ways:
        with pytest.raises(TypeError, match=rf"^area of to_torch\(\) takes theta, .*got {got}$"):
            f(*by_place, **by_name)
    assert f.__name__ == "area"
    g: Any = compile(functools.partial(area)).trace([1.0]).to_torch()
    with pytest.raises(TypeError, match=r"^partial of to_torch\(\) takes theta"):
        g(x=t)
    assert f(torch.tensor([2.0]), t).tolist() == g(torch.tensor([2.0]), t).tolist() == [6.0]


def test_other_devices_are_for_modules() -> None:
    f = compile(lambda x: 2 * x).trace([1.0]).to_torch()
    with pytest.raises(ValueError, match=r"runs on the CPU.*native=True"):
        f(torch.empty(0, device="meta"), torch.empty(2, device="meta"))


@WAYS
def test_a_function_that_was_not_traced_is_refused(native: bool) -> None:
    with pytest.raises(ValueError, match="trace"):
        compile(lambda x: x * x).to_torch(native)


def test_pytorch_is_loaded_only_where_it_is_asked_for() -> None:
    code = (
        "import sys\n"
        "from microgradlike import compile\n"
        "c = compile(lambda x: x * x).trace([1.0])\n"
        "assert 'torch' not in sys.modules\n"
        "sys.modules['torch'] = None\n"
        "try:\n    c.to_torch()\nexcept ImportError as error:\n    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout == 'to_torch() needs PyTorch: pip install "microgradlike[torch]"\n', (
        ran.stderr
    )
