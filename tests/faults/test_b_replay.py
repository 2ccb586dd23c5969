"""How a compiled function is kept and run: what it loads, what it keeps, and what runs again."""

from __future__ import annotations

import functools
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import numpy
import pytest

import viz
from microgradlike import (
    TracingError,
    Value,
    compile,
    custom,
    engine,
    functional,
    grad,
    maximum,
    sqrt,
    tanh,
    where,
)
from microgradlike.compiler.derivatives import _Recorded
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.instructions import Instruction, Singles
from microgradlike.compiler.kept_code import COMPILED
from microgradlike.compiler.loops import loop
from microgradlike.compiler.passes import build
from microgradlike.compiler.tape import trace
from microgradlike.executors.machine import addresses
from microgradlike.executors.machine.emit import WORD
from microgradlike.nn import MLP
from microgradlike.replay import branches, paths
from microgradlike.replay.as_written import Exact
from microgradlike.replay.branches import MOST_ALONE, Replay
from tests.executors import small_blocks

# ---- What an import loads ----------------------------------------------------------------------

#: What only who compiles, plots, trains with a bar, or draws, waits for.
HEAVY = (
    *("numba", "llvmlite", "scipy", "threadpoolctl", "matplotlib", "pandas", "IPython"),
    *("sklearn", "skimage", "tqdm", "PIL", "graphviz", "graphviz_pure"),
)


def loaded_by(code: str) -> set[str]:
    """The packages that a fresh process has loaded after this code."""
    tell = "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = [sys.executable, "-c", code + tell]
    return set(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import microgradlike",
        "import microgradlike, viz",
        "from microgradlike import *",
        "import microgradlike.nn, microgradlike.replay.compiled, microgradlike.training",
        "from microgradlike import compile\n@compile\ndef f(x): return x * 2",
        "from microgradlike import Value, grad\nValue(2.0).tanh().backward(); grad(grad(abs))(2.0)",
    ],
)
def test_import_time_loads_nothing_heavy(code: str) -> None:
    assert loaded_by(code).isdisjoint(HEAVY)


def test_import_time_waits_until_something_is_compiled() -> None:
    code = "from microgradlike import compile\ncompile(lambda x: x * 2)([1.0])"
    assert {"numba", "scipy"} <= loaded_by(code)


def test_import_time_every_name_of_viz_is_there() -> None:
    assert sorted(name for names in viz._HOMES.values() for name in names) == sorted(viz.__all__)
    assert set(viz.__all__) <= set(dir(viz))
    for name in viz.__all__:
        assert getattr(viz, name).__module__.startswith("viz."), name
    with pytest.raises(AttributeError, match="module 'viz' has no attribute 'drew'"):
        viz.drew  # noqa: B018


# ---- Kept machine code -------------------------------------------------------------------------


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 99)


def one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    path.write_bytes(content)


def no_longer_a_file(path: Path) -> None:
    path.unlink()
    path.mkdir()


def gone(path: Path) -> None:
    path.unlink()


def no_numbers(address: Any) -> None:
    pass


def doubled(x: float) -> float:
    return 2.0 * x


@pytest.mark.parametrize("suffixes", [(".nbi",), (".nbc",), (".nbi", ".nbc")], ids="-".join)
@pytest.mark.parametrize("damage", [empty, cut, garbage, one_byte, no_longer_a_file, gone])
def test_B13_damaged_machine_code_is_compiled_anew(
    damage: Callable[[Path], None],
    suffixes: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    def hits() -> int:
        """How often a loop was found in the cache."""
        function: Any = loop()(doubled)
        assert function(4.0) == 8.0
        return int(sum(function.stats.cache_hits.values()))

    assert (hits(), hits()) == (0, 1)
    files = [path for path in tmp_path.rglob("*.nb?") if path.suffix in suffixes]
    assert len(files) == len(suffixes)
    for path in files:
        damage(path)
    assert hits() == 0
    assert hits() == (0 if damage is no_longer_a_file else 1)


@pytest.mark.parametrize("damage", [empty, cut, garbage, one_byte, no_longer_a_file, gone])
def test_B13_a_damaged_kernel_is_compiled_anew(
    damage: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SimpleNamespace(user_cache_dir=tmp_path)
    monkeypatch.setattr(addresses, "AppDirs", lambda *_: folder)

    def is_compiled() -> bool:
        """Whether a kernel was compiled, and not found."""
        before = COMPILED.pieces
        assert addresses.address_of.__wrapped__(no_numbers, (WORD,))
        return bool(COMPILED.pieces > before)

    assert (is_compiled(), is_compiled()) == (True, False)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    damage(path)
    assert is_compiled()
    if damage is not no_longer_a_file:
        assert path.read_bytes()[:4] == whole[:4] and not is_compiled()


# ---- A bad row ---------------------------------------------------------------------------------


class Counted:
    """How many rows ran in all, and how many of them as they were written; and what was built."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.rows = self.exact = self.built = 0
        run, written, make = Replay.run, Exact.run, Exact.__init__

        def run_rows(
            replay: Replay, theta: Any, arguments: Any, rows: Any, *rest: Any, **more: Any
        ) -> Any:
            self.rows += arguments.rows if rows is None else len(rows)
            return run(replay, theta, arguments, rows, *rest, **more)

        def run_exact(exact: Exact, theta: Any, arguments: Any, rows: Any, *rest: Any) -> Any:
            self.exact += len(rows)
            return written(exact, theta, arguments, rows, *rest)

        def count(exact: Exact, *rest: Any) -> None:
            self.built += 1
            make(exact, *rest)

        patch.setattr(Replay, "run", run_rows)
        patch.setattr(Exact, "run", run_exact)
        patch.setattr(Exact, "__init__", count)

    def take(self) -> tuple[int, int, int]:
        found = self.rows, self.exact, self.built
        self.rows = self.exact = self.built = 0
        return found


def network(x: Any, w: Any) -> Any:
    hidden = [tanh(sum(a * v for a, v in zip(row, x, strict=True))) for row in w]
    return sum(a * v for a, v in zip(w[0], hidden, strict=False)) ** 2


def by_engine(f: Callable[..., Any], w: list[Value], X: Any) -> tuple[Any, Any]:
    """The outputs of rows, and the gradient of their sum."""
    for v in w:
        v.grad = 0.0
    outs = [f([Value(v) for v in row]) for row in X.tolist()]
    for out in outs:
        out.backward()
    return [out.data for out in outs], [v.grad for v in w]


@pytest.mark.usefixtures("executor")
@pytest.mark.parametrize("bad", [1e200, -1e308, math.nan, math.inf])
def test_B23_only_a_bad_row_and_its_block_run_again(
    bad: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch, 16)
    draw = numpy.random.default_rng(0)
    w = [[Value(v) for v in row] for row in draw.normal(size=(4, 3)).tolist()]

    def f(x: Any) -> Any:
        return network(x, w)

    c = compile(f, check=False)  # which would run a row or two more
    X = draw.normal(size=(100, 3))
    c.trace(X)
    theta = c.theta()
    X[37, 1] = bad
    counted = Counted(monkeypatch)
    outs, slopes = by_engine(f, c.parameters, X)
    for built in (1, 0):  # what runs a bad row is kept
        value, found = c.value_and_grad(theta, X, reduce="sum")
        assert counted.take() == (100 + 16 - 1, 2, built)
        numpy.testing.assert_allclose(found, slopes, rtol=1e-12)
        numpy.testing.assert_allclose(value, sum(outs), rtol=1e-12)
    numpy.testing.assert_allclose(c(X), outs, rtol=1e-12)
    assert counted.take() == (100, 1, 0)
    jacobian = c.jacobian(X)[:, 0]
    assert counted.take() == (100, 2, 0)
    rows = [[Value(v) for v in row] for row in X.tolist()]
    for row in rows:
        f(row).backward()
    expected = [[v.grad for v in row] for row in rows]
    numpy.testing.assert_allclose(jacobian, expected, rtol=1e-12)


@pytest.mark.usefixtures("executor")
@pytest.mark.parametrize("count", [1, 3, 200])
def test_B23_a_row_whose_errors_alone_are_bad_is_found(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch, 16)
    w = [Value(0.5), Value(-1.5)]

    def f(x: Any) -> Any:
        return sqrt(w[0] * w[0] * x[0] * x[0] + w[1] * w[1] * x[1] * x[1])

    c = compile(f)
    X = numpy.random.default_rng(1).normal(size=(400, 2))
    c.trace(X)
    X[50 : 50 + count] = 0.0  # the slope of sqrt is infinite, all numbers are 0
    counted = Counted(monkeypatch)
    outs, slopes = by_engine(f, c.parameters, X)
    value, found = c.value_and_grad(c.theta(), X, reduce="sum")
    rows, exact, _ = counted.take()
    assert numpy.isnan(found).all() and numpy.isnan(slopes).all()
    assert value == pytest.approx(sum(outs), rel=1e-12)
    assert rows <= 400 * 5
    assert exact == 2 * count if count <= MOST_ALONE else 2 * count <= exact <= 2 * 400


@pytest.mark.usefixtures("executor")
def test_B23_all_rows_may_be_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    w = [[Value(0.5), Value(2.0)], [Value(-1.0), Value(0.25)]]

    def f(x: Any) -> Any:
        return network(x, w)

    c = compile(f)
    X = numpy.array([[1e200, -1e200], [1e300, 0.0], [1.0, math.inf]])
    outs, slopes = by_engine(f, [v for row in w for v in row], X)
    loss = c.sum(X)
    loss.backward()
    numpy.testing.assert_allclose(loss.item(), sum(outs))
    gradient = [v.grad / 2 for row in w for v in row]  # the engine's, and as much again
    numpy.testing.assert_allclose(gradient, slopes)


@pytest.mark.usefixtures("executor")
def test_B23_of_a_branch_only_the_bad_row_is_decided_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        total = x[0] * x[1] + x[2] * x[3]
        for k in range(8):  # a sum of fewer terms is added up in the engine's order
            total = total + 0.1 * x[k % 4]
        return x[0] * 2 if total > 1 else x[1] * 3

    c = compile(f)
    X = numpy.random.default_rng(2).normal(size=(64, 4))
    c.trace(X)
    X[5] = 1e200, 1e200, -1e200, 1e200  # inf - inf, which is greater than nothing
    counted = Counted(monkeypatch)
    found = c(X)
    assert found.tolist() == [f(row) for row in X.tolist()]
    assert counted.take()[1] == 1


def test_B23_what_is_computed_once_may_be_bad_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    w = [Value(1e200), Value(1e-200), Value(1.0)]

    def f(x: Any) -> Any:
        return (w[0] * w[0] * w[1] + w[2]) * x[0] + w[2] * x[1]

    X = numpy.array([[1.0, 2.0], [0.0, 1.0]])
    outs, slopes = by_engine(f, w, X)
    loss = compile(f).sum(X)
    loss.backward()
    numpy.testing.assert_allclose(loss.item(), sum(outs))
    numpy.testing.assert_allclose([v.grad / 2 for v in w], slopes)


def test_B23_a_bad_row_rounds_as_the_engine_does() -> None:
    """A product that is added without being rounded would not overflow."""

    def f(x: Any) -> Any:
        return [(x[0] * x[1]) * 1.1 + x[0] * x[2], x[0] * x[2] + (x[0] * x[1]) * 1.1]

    row = [1e-10, 1.7e308, -1e308]
    expected = []
    for place in (0, 1):
        inputs = list(map(Value, row))
        f(inputs)[place].backward()
        expected.append([v.grad for v in inputs])
    assert expected[0][0] == expected[1][0] == math.inf
    assert compile(f).jacobian([row]).tolist() == [expected]


# ---- Paths -------------------------------------------------------------------------------------


def in_steps(w: Value, x: Any) -> Any:
    """As many steps as w * x has wholes: a path for each number of them."""
    found = w * x
    steps = 0
    while found > 1:
        found = found - 1
        steps += 1
    return found * steps + x


def in_bits(w: Value, x: Any) -> Any:
    """A plain number for each way of seven decisions."""
    number = 0
    for k in range(7):
        number = 2 * number + (1 if (2**k * w * x).sin() > 0 else 0)
    return w * x * number


@pytest.mark.usefixtures("executor")
def test_B22_paths_that_no_row_takes_any_more_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MOST_PATHS", 8)
    w, b = Value(0.5), Value(100.0)

    def f(x: Any) -> Any:
        return in_steps(w, x) + (b if w * x > 4 else 1.0)

    c = compile(f)
    rows = [1.0, 0.25, 0.5, 2.0]
    for step in range(30):  # as the parameters of a training would move
        w.data = 0.3 + 0.5 * (step % 20)
        total = c.sum(rows)
        w.grad = b.grad = 0.0
        total.backward()
        found = w.grad, b.grad
        w.grad = b.grad = 0.0
        outs = [f(Value(x)) for x in rows]
        for out in outs:
            out.backward()
        assert total.item() == pytest.approx(sum(out.data for out in outs), rel=1e-12)
        assert found == pytest.approx((w.grad, b.grad), rel=1e-12)
        assert len(c._paths) <= 8
    assert c.parameters[0] is w and c.parameters[1] is b  # known, whatever paths are left
    w.data = 0.5
    assert c(rows).tolist() == [f(Value(x)).data for x in rows]
    assert len(c.theta()) == 2


def test_B22_a_parameter_that_was_replaced_is_noticed_when_paths_were_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paths, "MOST_PATHS", 4)
    values = {"w": Value(0.5)}
    c = compile(lambda x: in_steps(values["w"], x))
    for step in range(12):
        values["w"].data = step + 0.5
        c([1.0])
    values["w"] = Value(3.0)
    with pytest.raises(ValueError, match="another Value"):
        c([1.0])


@pytest.mark.usefixtures("executor")
@pytest.mark.parametrize("rows", [300, 5000])
def test_B22_too_many_ways_in_one_call_are_told_soon(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "MOST_PATHS", 40)
    w = Value(1.0)
    c = compile(lambda x: in_bits(w, x) if x < 99 else max(x, w, key=lambda v: v * 1))
    built = []
    make = branches.Path.__init__

    def count(path: branches.Path, *given: Any) -> None:
        built.append(path)
        make(path, *given)

    monkeypatch.setattr(branches.Path, "__init__", count)
    with pytest.raises(TracingError, match="by the rows of one call") as caught:
        c([98 * k / rows for k in range(rows)] if rows < 999 else [k / 50 for k in range(rows)])
    for name in ("where(", "maximum", "minimum", "softmax", "test_b_replay.py, line"):
        assert name in str(caught.value)
    assert len(built) <= 41


# ---- Sums of two products ----------------------------------------------------------------------


@pytest.mark.usefixtures("executor")
@pytest.mark.parametrize("count", [1, 2, 500])
@pytest.mark.parametrize("of", ["inputs", "parameters", "both", "once", "a product and a number"])
def test_B20_two_products_are_added_as_in_the_engine(of: str, count: int) -> None:
    """Where one of them is not rounded by itself, the root of what is 0 may be that of less."""
    w, v = Value(0.3), Value(-0.3)
    of_two: dict[str, Any] = {
        "inputs": lambda x, y: x * x - y * y,
        "parameters": lambda x, y: w * x + v * y,
        "both": lambda x, y: w * x + y * -0.3,
        "once": lambda x, y: 0 * x + (w * 0.7 + v * 0.7),
        "a product and a number": lambda x, y: (w * x) * 1.0 - w * 0.7 + 0 * y,
    }
    f = of_two[of]
    rng = numpy.random.default_rng(0)
    rows = numpy.round(rng.uniform(0, 2, count), 1)
    rows = numpy.full(count, 0.7) if of == "a product and a number" else rows
    assert compile(f)(rows, rows).tolist() == [0.0] * count
    assert compile(lambda x, y: sqrt(f(x, y)))(rows, rows).tolist() == [0.0] * count
    others = rng.uniform(-2, 2, count)
    expected = [f(Value(x), Value(y)).data for x, y in zip(rows, others, strict=True)]
    assert compile(f)(rows, others).tolist() == expected


# ---- Gradients within what is compiled ---------------------------------------------------------

POWERS = [lambda x: x**2, lambda x: x**3.0, lambda x: x**1, lambda x: x**4 - x**2, lambda x: x**0]


@pytest.mark.usefixtures("executor")
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("f", POWERS)
def test_B24_slopes_of_constant_powers_ask_for_no_path(f: Any, order: int) -> None:
    def derivative(x: Any) -> Any:
        return nested(x) + 0.0 * x

    nested = f
    for _ in range(order):
        nested = grad(nested)
    c = compile(derivative)
    rows = [0.0, 2.0, -1.5, 0.25]
    assert c(rows).tolist() == [derivative(Value(x)).data for x in rows]
    assert len(c.programs) == 1
    assert c._paths[0].guards is None
    assert "where" not in c.describe()


def test_B24_slopes_of_squares_are_those_of_products() -> None:
    def hvp(f: Any) -> Any:
        c = compile(f)
        rows = numpy.random.default_rng(0).normal(size=(5, 6))
        found = c.hvp(rows, v=rows[:, ::-1])
        (program,) = c._derived["hvp"].programs
        operations = {getattr(i, "operation", "") for i in program.rows.instructions}
        return found, operations

    def springs(square: Any) -> Any:
        return lambda x: sum(
            square(sqrt(square(x[i] - x[j]) + 1.0) - 1.0) for i in range(6) for j in range(i)
        )

    by_power, of_power = hvp(springs(lambda d: d**2))
    by_product, of_product = hvp(springs(lambda d: d * d))
    numpy.testing.assert_allclose(by_power, by_product, rtol=1e-12, atol=1e-14)
    assert of_power <= of_product | {"mul"}
    assert "pow" not in of_power and "where" not in of_power


@pytest.mark.usefixtures("executor")
def test_B24_a_variable_exponent_still_decides_in_each_row() -> None:
    c = compile(lambda x: grad(lambda a, b: a**b)(x[0], x[1])[0])
    rows = [[2.0, 3.0], [0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [-1.0, 2.0]]
    assert c(rows).tolist() == [grad(lambda a, b: a**b)(*row)[0] for row in rows]


@pytest.mark.usefixtures("executor")
def test_B24_products_with_one_are_no_instructions() -> None:
    c = compile(lambda x: tanh(1.0 * x) + tanh(x * 1.0) / 1.0 + tanh(where(True, x, 2.0)) ** 1.0)
    rows = [0.5, -2.0, math.inf, math.nan, -0.0]
    expected = [3 * math.tanh(x) for x in rows]
    numpy.testing.assert_allclose(c(rows), expected, rtol=1e-15)
    numpy.testing.assert_allclose(
        c.jacobian(rows)[:, 0, 0], [3 * (1 - math.tanh(x) ** 2) for x in rows], rtol=1e-14
    )
    assert sum(i.count for i in c.programs[0].rows.instructions) <= 4
    assert numpy.isnan(compile(lambda x: x * 0.0)([math.inf])).all()  # no product with 0 is folded


def test_B24_a_matrix_keeps_its_ones() -> None:
    matrix = [[1.0, 2.0, 3.0], [4.0, 1.0, 1.0], [0.5, 1.0, 2.0]]
    c = compile(lambda x: [sum(a * v for a, v in zip(row, x, strict=True)) for row in matrix])
    rows = numpy.random.default_rng(0).normal(size=(4, 3))
    numpy.testing.assert_allclose(c(rows), rows @ numpy.array(matrix).T, rtol=1e-13)
    assert "layer 3->3" in c.describe()


def cube(x: Value) -> Value:
    return custom(x * x * x, (x,), lambda x: 3 * x * x, name="cube")


W = Value(0.7)
NET = MLP(2, [4, 1], activation="tanh", seed=0)

#: Gradients within a function, by numbers that it writes itself; ``n`` makes Values of them.
BY_NUMBERS: dict[str, Callable[[Any, Any], Any]] = {
    "one": lambda n, x: grad(lambda a: a * x)(n(2.0)),
    "two": lambda n, x: grad(lambda a, b: a * b * b * W)(n(2.0), x)[0],
    "list": lambda n, x: sum(grad(lambda a: a[0] * a[1] * x * W)([n(2.0), n(3.0)])),
    "array": lambda n, x: sum(grad(lambda a: (a * a).sum() * x)(numpy.array([n(2.0), n(3.0)]))),
    "dict": lambda n, x: grad(lambda a: a["k"] ** 2 * x * W)({"k": n(2.0)})["k"],
    "twice": lambda n, x: grad(grad(lambda a: (a * x).exp() * W))(n(2.0)),
    "constant": lambda n, x: grad(lambda a: a**3)(n(2.0)) * x * W,
    "unused": lambda n, x: x + grad(lambda a: x * W)(n(2.0)),
    "if": lambda n, x: grad(lambda a: a * a * x if a > 1 else W * a)(n(2.0)),
    "if of both": lambda n, x: grad(lambda a: a * a * x if a * x > 1 else W * a)(n(2.0)),
    "where": lambda n, x: grad(lambda a: where(a > 1, a * a * x, W * a))(n(2.0)),
    "and": lambda n, x: grad(lambda a: where((a > 1) & (x > 0), a * a * x, W * a))(n(2.0)),
    "or": lambda n, x: grad(lambda a: where((x > 0) | (a > 3), a * a * x, W * a))(n(2.0)),
    "tie": lambda n, x: grad(lambda a: maximum(a, 2.0) * W + maximum(a, x) * x)(n(2.0)),
    "exponent": lambda n, x: grad(lambda a: (x * x + 1) ** a * W)(n(2.0)),
    "base": lambda n, x: grad(lambda a: a ** (x + 1) * W)(n(2.0)),
    "detach": lambda n, x: grad(lambda a: a.detach() * a * x * W)(n(2.0)),
    "custom": lambda n, x: grad(lambda a: cube(a * x) * W)(n(2.0)),
    "custom of a constant": lambda n, x: grad(lambda a: cube(a) * x * W)(n(2.0)),
    "network": lambda n, x: sum(grad(lambda t: NET([t, x]))(n(t)) for t in (0.1, 0.2)),
    "network twice": lambda n, x: grad(grad(lambda t: NET([t, x]) * W))(n(0.3)),
}


@pytest.mark.usefixtures("executor")
@pytest.mark.parametrize("name", BY_NUMBERS)
def test_B24_gradients_by_plain_numbers(name: str) -> None:
    def of_values(x: Any) -> Any:
        return BY_NUMBERS[name](Value, x)

    rows = [1.5, -0.5, 2.5]
    parameters = [W, *NET.parameters()]
    for parameter in parameters:
        parameter.grad = 0.0
    results = []
    for x in rows:
        results.append(of_values(Value(x)))
        results[-1].backward()
    slopes = [parameter.grad for parameter in parameters]
    for f in (functools.partial(BY_NUMBERS[name], float), of_values):
        c = compile(f)
        close = functools.partial(numpy.testing.assert_allclose, rtol=1e-11, atol=1e-14)
        close(c(rows), [v.data for v in results])
        close(c.jacobian(rows).ravel(), [grad(of_values)(x) for x in rows])
        close(c.hessian(rows).ravel(), [grad(grad(of_values))(x) for x in rows])
        for parameter in parameters:
            parameter.grad = 0.0
        c.sum(rows).backward()
        close([parameter.grad for parameter in parameters], slopes)


def test_B24_a_gradient_of_nothing_but_numbers_is_a_number() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        slope = grad(lambda a: a**3 if a > 1 else a)(2.0)
        seen.append(slope)
        return sum(x for _ in range(int(slope)))

    assert compile(f)([2.0]).tolist() == [24.0]
    assert seen[0] == 12.0 and isinstance(seen[0], float)
    assert not compile(f).trace([1.0])._paths[0].tape.guards


def test_B24_many_gradients_take_time_of_their_own_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: the nodes that are looked at grow as the steps do."""

    def descent(steps: int) -> Any:
        def f(x: Any) -> Any:
            for _ in range(steps):
                x = x - 0.01 * grad(lambda q: (q * q - 1) ** 2 + q.sin())(x)
            return x

        return f

    seen = []
    order, sends = engine.topological_order, _Recorded.sends_to

    def counted(*given: Any) -> Any:
        found = order(*given)
        seen.append(len(found))
        return found

    def told(recorded: Any, node: int) -> Any:
        seen.append(1)
        return sends(recorded, node)

    monkeypatch.setattr(functional, "topological_order", counted)
    monkeypatch.setattr(_Recorded, "sends_to", told)
    work = []
    for steps in (10, 40):
        for run in (lambda f: f(Value(1.5)), lambda f: compile(f)([1.5])):
            seen.clear()
            run(descent(steps))
            work.append(sum(seen))
    assert work[2] == 4 * work[0] and work[3] <= 4 * work[1] + 40
    x = Value(1.5)
    descent(30)(x).backward()
    assert compile(descent(30)).jacobian([1.5]).item() == pytest.approx(x.grad, rel=1e-12)


# ---- Levels of few operations ------------------------------------------------------------------


def integrated(states: int, steps: int) -> tuple[Any, list[float]]:
    """A ring of states, each moved by its neighbours, by the method of Runge and Kutta."""
    p, q = Value(1.1), Value(0.4)

    def slopes(s: Any) -> Any:
        return [p * s[i - 1] * s[(i + 1) % states] - q * s[i] * s[i] for i in range(states)]

    def f(x: Any) -> Any:
        s, h = list(x), 0.02

        def moved(by: float, along: Any) -> Any:
            return [a + by * k for a, k in zip(s, along, strict=True)]

        for _ in range(steps):
            k1 = slopes(s)
            k2 = slopes(moved(h / 2, k1))
            k3 = slopes(moved(h / 2, k2))
            k4 = slopes(moved(h, k3))
            along = [a + 2 * b + 2 * c + d for a, b, c, d in zip(k1, k2, k3, k4, strict=True)]
            s = moved(h / 6, along)
        return sum(s)

    return f, [0.1 * (i + 1) for i in range(states)]


def instructions_of(f: Any, row: list[float]) -> list[Instruction]:
    tape = trace(f, [row])
    return list(build(Graph(tape, tape.outputs)).rows.instructions)


@pytest.mark.parametrize("states", [1, 2, 3, 4])
def test_B25_a_long_integration_of_few_states_has_few_instructions(states: int) -> None:
    assert len(instructions_of(*integrated(states, 100))) < 20


@pytest.mark.parametrize(("states", "steps"), [(4, 10), (8, 10), (16, 100)])
def test_B25_many_alike_and_what_is_soon_made_stay_instructions(states: int, steps: int) -> None:
    f, row = integrated(states, steps)
    found = instructions_of(f, row)
    assert not any(isinstance(i, Singles) for i in found)
    assert len(found) <= 19 * steps


@pytest.mark.usefixtures("executor")
def test_B25_an_integration_is_right() -> None:
    f, row = integrated(4, 40)
    inputs = list(map(Value, row))
    out = f(inputs)
    out.backward()
    c = compile(f)
    assert c([row])[0] == pytest.approx(out.data, rel=1e-12)
    assert c.jacobian([row])[0, 0] == pytest.approx([v.grad for v in inputs], rel=1e-11)
