"""Compiled functions as functions of JAX, and run by it, against the engine and the executors."""

from __future__ import annotations

import os
import subprocess
import sys
import timeit
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy
import pytest

from microgradlike import (
    Compiled,
    Value,
    compile,
    exp,
    log,
    logsumexp,
    loop,
    losses,
    maximum,
    nn,
    relu,
    sqrt,
    take,
    where,
    while_loop,
)
from microgradlike.executors import on_jax
from microgradlike.writers.jax import operation
from tests import random_branches, random_loops
from tests.operators import OF_ENGINE, OF_PROGRAMS, differing, expected
from tests.programs import Program
from tests.random_programs import BY_JAX, Points, check

NOTHING: Any = numpy.zeros(0)


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    with on_jax._in_float64(True):
        yield


def gradient(f: Callable[..., Any], *given: Any, by: int = 1) -> Any:
    """Of the sum over rows, by one of the arguments."""
    return jax.grad(lambda *x: f(*x).sum(), argnums=by)(*map(jnp.asarray, given))


# ---- Run by JAX ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [2, 7, 13, 29, 62, 240, 252])
def test_random_programs_agree(seed: int) -> None:
    check(Program(seed), *Points.both(seed), executors=[BY_JAX])


@pytest.mark.parametrize("seed", [1035, 1040])
def test_random_programs_with_tables_agree(seed: int) -> None:
    check(Program(seed, tables=True), *Points.both(seed), executors=[BY_JAX])


def test_random_programs_with_loops_agree() -> None:
    assert not list(random_loops.differences(0, on=(BY_JAX,)))


def test_random_programs_with_branches_agree() -> None:
    assert not list(random_branches.differences(4, on=BY_JAX))


def test_as_many_rounds_are_done_as_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_jax, "ROUNDS", 4)

    def halvings(x: Any) -> Any:
        return while_loop(lambda s: s[0] > 1, lambda s: (s[0] / 2, s[1] + s[0]), (x, 0.0))[1]

    c, by_us = compile(halvings, on="jax"), compile(halvings)
    x = [0.5, 3.0, 1e9]
    numpy.testing.assert_allclose(c(x), by_us(x), rtol=1e-12)
    numpy.testing.assert_allclose(c.jacobian(x), by_us.jacobian(x), rtol=1e-12)


def test_rows_are_run_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_jax, "BLOCK", 40)
    w = Value(0.5)
    c, by_us = (compile(lambda x: exp(w * x[0]) * x[1], on=on) for on in ("jax", "auto"))
    x = numpy.random.default_rng(0).normal(size=(29, 2))
    numpy.testing.assert_allclose(c(x), by_us(x), rtol=1e-12)
    numpy.testing.assert_allclose(c.jacobian(x), by_us.jacobian(x), rtol=1e-12)
    ours, theirs = c.value_and_grad([0.7], x), by_us.value_and_grad([0.7], x)
    numpy.testing.assert_allclose(numpy.append(*ours), numpy.append(*theirs), rtol=1e-12)


def test_huge_and_tiny_rows_run_as_they_were_written() -> None:
    """JAX takes numbers below 2.2e-308 for 0, and its sums are in another order."""
    c = compile(lambda x, y: (x + y) - x + 1e-300 / y, on="jax")
    numpy.testing.assert_allclose(c([1e308, 1.0], [1e308, 1e-310]), [numpy.inf, 1e10], rtol=1e-12)


def test_float32_is_float32() -> None:
    c = compile(lambda x: x * x, on="jax", dtype="float32")
    assert c([1.1])[0] == float(numpy.float32(1.1) * numpy.float32(1.1))


def test_a_chain_of_operations_is_compiled_so_that_each_is_computed_once() -> None:
    def chain(x: Any, y: Any) -> Any:
        for k in range(20):
            x, y = sqrt(x * x + k) * y, x / (y * y + 2.0)
        return x

    c = compile(chain)
    x, y = numpy.random.default_rng(0).normal(size=(2, 3))
    f = c.trace(x, y).to_jax()
    slopes = jax.jit(lambda x, y: gradient(f, NOTHING, x, y)).lower(x, y).compile()
    numpy.testing.assert_allclose(slopes(x, y), c.jacobian(x, y)[:, 0, 0], rtol=1e-9)
    took = min(timeit.repeat(lambda: numpy.asarray(slopes(x, y)), number=1, repeat=20))
    assert took < 1e-3  # again and again: 3 ms


def test_networks_are_trained_by_it() -> None:
    found: list[Any] = []
    for on in ("jax", "auto"):
        net = nn.MLP(2, [8, 3], activation="tanh", seed=0)
        c = compile(lambda x, k, net=net: losses.cross_entropy(net(x), k), on=on)
        x = numpy.random.default_rng(0).normal(size=(20, 2))
        c.mean(x, numpy.arange(20) % 3).backward()
        found.append([p.grad for p in net.parameters()])
    numpy.testing.assert_allclose(found[0], found[1], rtol=1e-12)


# ---- Operations ----------------------------------------------------------------------------------


def test_each_operation_has_the_derivatives_of_the_table_at_special_points() -> None:
    """But of numbers below 2.2e-308, which JAX takes for 0: see the page."""
    for name in OF_PROGRAMS:
        operate, given = operation(name), list(map(jnp.asarray, expected(name).operands))

        def all_of(*given: Any, operate: Any = operate) -> Any:
            def slope(k: int) -> Callable[..., Any]:
                return lambda *x: jax.vjp(operate, *x)[1](jnp.ones_like(x[0]))[k]

            slopes = [jax.vjp(slope(k), *given) for k in range(len(given))]
            bent = [back(jnp.ones_like(by)) for by, back in slopes]
            return operate(*given), [by for by, _ in slopes], bent

        out, slopes, bent = jax.tree.map(numpy.asarray, jax.jit(all_of)(*given))
        second = bent if name in OF_ENGINE else None
        assert not list(differing(name, out, slopes, second, smallest=sys.float_info.min))


# ---- Functions of JAX ----------------------------------------------------------------------------


def network() -> tuple[Compiled, Any, Any, Any]:
    net = nn.MLP(3, [8, 8, 2], activation="tanh", seed=0)
    c = compile(lambda x, y: sum((a - y) ** 2 for a in net(x)), parameters=net.parameters())
    x = numpy.random.default_rng(0).normal(size=(11, 3))
    y = x[:, 0] * x[:, 1]
    return c.trace(x, y), c.to_jax(), x, y


def test_all_derivatives_are_those_of_the_compiled_function() -> None:
    c, f, x, y = network()
    theta = jnp.asarray(c.theta())
    value, by_theta = jax.jit(jax.value_and_grad(lambda t: f(t, x, y).mean()))(theta)
    ours = c.value_and_grad(c.theta(), x, y)
    numpy.testing.assert_allclose(value, ours[0], rtol=1e-12)
    numpy.testing.assert_allclose(by_theta, ours[1], rtol=1e-10, atol=1e-14)
    forward = jax.jit(jax.jacfwd(lambda t: f(t, x, y)))(theta)
    numpy.testing.assert_allclose(forward, c.gradients(x, y), rtol=1e-10, atol=1e-13)
    hessian = jax.hessian(lambda x, y: f(theta, x[None], y[None])[0])
    bent = jax.jit(jax.vmap(hessian))(x, jnp.asarray(y))
    numpy.testing.assert_allclose(bent, c.hessian(x, y)[:, :3, :3], rtol=1e-9, atol=1e-11)
    each = jax.vmap(lambda x, y: f(theta, x[None], y[None])[0])(x, y)
    numpy.testing.assert_allclose(each, c(x, y), rtol=1e-12)
    slopes = jax.grad(lambda t: f(t, x, y).mean())
    along = jax.jit(lambda t: jax.jvp(slopes, (t,), (t,))[1])(theta)
    numpy.testing.assert_allclose(along, c.hvp_by_parameters(c.theta(), c.theta(), x, y), rtol=1e-9)


def test_other_rows_and_lists_of_outputs() -> None:
    w = Value(2.0)
    c = compile(lambda x: [w * x, x.relu(), w * 1.0]).trace([1.0])
    f = c.to_jax()
    assert f([3.0], [1.0, -2.0]).tolist() == [[3.0, 1.0, 3.0], [-6.0, 0.0, 3.0]]
    assert f([3], [1]).dtype == jnp.float64  # whole numbers are numbers


def test_it_computes_in_the_numbers_that_it_is_given() -> None:
    c, f, x, y = network()
    with on_jax._in_float64(False):
        value, slopes = jax.value_and_grad(lambda t: f(t, x, y).mean())(jnp.asarray(c.theta()))
        assert value.dtype == slopes.dtype == jnp.float32
        ours = c.value_and_grad(c.theta(), x, y)
        numpy.testing.assert_allclose(slopes, ours[1], rtol=1e-3, atol=1e-5)


def test_a_function_without_rows() -> None:
    w = Value(2.0)
    f = compile(lambda: w * w).trace().to_jax()
    assert f([3.0]).shape == () and jax.grad(f)(jnp.array([3.0])).tolist() == [6.0]
    assert compile(lambda: [w * w, w]).trace().to_jax()([3.0]).tolist() == [9.0, 3.0]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: where(x > 0, sqrt(x), 0.0),
        lambda x: where(x > 0, log(x), x) * where(x > 0, 1 / x, 2.0),
        lambda x: relu(x) + maximum(x, x * 1.0) + abs(x) + maximum(x, 0.0),
        lambda x: (x if x > 0 else -x * x) * logsumexp([x, 2 * x, 1.0]),
        lambda x: sqrt(relu(x)) if x > 1 else x**3 % 2,
    ],
)
def test_gradients_at_special_points_are_the_engines(f: Callable[..., Any]) -> None:
    x = [-1.0, 0.0, 1.0, 2.0, 0.5]
    c = compile(f).trace(x)
    numpy.testing.assert_allclose(gradient(c.to_jax(), NOTHING, x), c.jacobian(x)[:, 0, 0])
    numpy.testing.assert_allclose(c.to_jax()(NOTHING, x), c(x), rtol=1e-12)


def test_rows_of_nan_have_the_gradients_of_the_engine() -> None:
    w = [Value(0.5), Value(-2.0)]
    x = numpy.array([[1.0, numpy.nan], [numpy.nan, 2.0], [numpy.inf, 2.0]])
    for of in (lambda x: w[0] * x[0] - w[1] * x[1], lambda x: x[0] * x[1] - 3.0 * x[0]):
        c = compile(of, parameters=w).trace(x)
        slopes = gradient(c.to_jax(), c.theta(), x)
        numpy.testing.assert_allclose(slopes, c.jacobian(x)[:, 0])


def test_what_is_computed_once_has_no_error_where_no_row_uses_it() -> None:
    w = Value(0.0)
    c = compile(lambda x: where(x > 0, log(w) * x, x), parameters=[w]).trace([-1.0, -2.0])
    f = c.to_jax()
    assert gradient(f, [0.0], [-1.0, -2.0], by=0).tolist() == [0.0]
    assert gradient(f, [0.0], [-1.0, 2.0], by=0).tolist() == [numpy.inf]


def test_second_derivatives_beside_a_branch_that_is_not_taken() -> None:
    c = compile(lambda x: where(x > 0, x**1.5, x * x)).trace([1.0])
    f = c.to_jax()
    bent = jax.grad(lambda x: jax.grad(lambda x: f(NOTHING, x).sum())(x).sum())(
        jnp.array([0.0, 4.0])
    )
    assert bent.tolist() == [2.0, 0.375]


def test_loops_stay_loops() -> None:
    w = Value(0.9)

    def f(x: Any, n: Any) -> Any:
        return loop(lambda s, _: w * s + x, x * 0.0, n)

    x, n = [1.0, 2.0, 3.0], [0, 3, 50]
    c = compile(f).trace(x, n)
    of_jax = c.to_jax()
    text = str(jax.make_jaxpr(of_jax)(c.theta(), jnp.array(x), jnp.array(n)))
    assert "scan" in text and text.count("mul") < 60
    numpy.testing.assert_allclose(of_jax(c.theta(), x, n), c(x, n), rtol=1e-12)
    by_x = gradient(of_jax, c.theta(), x, jnp.array(n, float))
    numpy.testing.assert_allclose(by_x, c.jacobian(x, n)[:, 0, 0], rtol=1e-12)


def test_a_loop_that_ends_by_itself_is_nan_where_its_rounds_do_not_suffice() -> None:
    w = Value(1.0)
    c = compile(lambda x: while_loop(lambda s: s > 1, lambda s: s / 2 * w, x)).trace([4.0])
    few = c.to_jax(rounds=9)
    x = [8.0, 1e9]
    numpy.testing.assert_allclose(few([1.0], x), [1.0, numpy.nan])
    assert gradient(few, [1.0], x).tolist()[0] == 0.125
    assert numpy.isnan(gradient(few, [1.0], x, by=0)).all()
    numpy.testing.assert_allclose(c.to_jax()([1.0], x), c(x))


def test_rounds_that_are_not_done_send_nothing_back() -> None:
    w = Value(0.5)
    c = compile(lambda x: while_loop(lambda s: s * s > x, lambda s: s * w / x, x)).trace([4.0])
    x = [4.0, numpy.nan, numpy.inf, 0.25]
    f = c.to_jax()
    numpy.testing.assert_allclose(gradient(f, [0.5], x), c.jacobian(x)[:, 0, 0], rtol=1e-12)
    assert gradient(f, [0.5], x[1:], by=0).tolist() == [0.0]


def test_loops_within_loops_that_need_more_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    def halvings(x: Any) -> Any:
        return while_loop(lambda s: s > 1, lambda s: s / 2, x)

    def twice(x: Any, n: Any) -> Any:
        return loop(lambda s, _: halvings(s * 8) + x, x, n)

    x, n = [2.0, 1e9], [2, 3]
    c = compile(twice).trace(x, n)
    few = numpy.asarray(c.to_jax(rounds=9)(NOTHING, x, n))
    numpy.testing.assert_allclose(few, [c(x, n)[0], numpy.nan])
    monkeypatch.setattr(on_jax, "ROUNDS", 4)
    numpy.testing.assert_allclose(compile(twice, on="jax")(x, n), c(x, n), rtol=1e-12)


def test_rows_of_a_path_that_was_not_traced_are_nan() -> None:
    w = Value(2.0)
    c = compile(lambda x: w * x if x > 0 else x.sin(), check=False, parameters=[w]).trace([1.0])
    f = c.to_jax()
    numpy.testing.assert_equal(numpy.asarray(f([2.0], [1.0, -1.0])), [2.0, numpy.nan])
    assert numpy.isnan(gradient(f, [2.0], [1.0, -1.0], by=0)).all()
    numpy.testing.assert_allclose(c.trace([-1.0]).to_jax()([2.0], [1.0, -1.0]), c([1.0, -1.0]))


def test_one_function_computes_with_x64_and_without() -> None:
    net = nn.MLP(2, [3, 1], seed=0)
    c = compile(lambda x: net(x) ** 2, parameters=net.parameters())
    x = numpy.ones((2, 2))
    f = c.trace(x).to_jax()
    for is_on, digits in ((True, 1e-12), (False, 1e-5), (True, 1e-12)):
        with on_jax._in_float64(is_on):
            numpy.testing.assert_allclose(jax.jit(f)(c.theta(), x), c(x), rtol=digits)


def test_rows_that_decide_in_a_way_which_was_not_traced_are_nan() -> None:
    some = random_branches.Some(random_branches.OTHER_WAYS[-1])
    found = numpy.asarray(jax.jit(some.c.to_jax())(some.c.theta(), *some.columns))
    assert not some.wrong(found, within=1e-4)


def test_tables() -> None:
    table = [Value(v) for v in (1.0, 2.0, 4.0)]
    c = compile(lambda x, k: x * take(table, k), parameters=table).trace([1.0], [0])
    f = c.to_jax()
    x, k = [1.0, 2.0, 3.0, 5.0], [0, 2, 2, 3]
    assert f(c.theta(), x[:3], k[:3]).tolist() == [1.0, 8.0, 12.0]
    assert gradient(f, c.theta(), x[:3], jnp.array(k[:3], float), by=0).tolist() == [1.0, 0.0, 5.0]
    assert numpy.isnan(f(c.theta(), x, k)[3])
    assert numpy.isnan(f(c.theta(), [1.0], [0.5])[0])


@pytest.mark.parametrize(
    "f",
    [
        lambda x, j: take([x, x * x], j),
        lambda x, j: take([x, 1.0], j * 1.0) + x,
        lambda x, j: where(x > 9, take([x, x * x], j), x),
    ],
)
def test_what_is_taken_from_outside_a_table_is_nan_and_so_is_its_gradient(
    f: Callable[..., Any],
) -> None:
    w = Value(2.0)
    c = compile(lambda x, j: f(w * x, j), parameters=[w]).trace([3.0], [0])
    of_jax, x, bad = c.to_jax(), jnp.full(5, 3.0), jnp.array([0.0, 1.0, -1.0, 2.0, 0.5])
    numpy.testing.assert_allclose(of_jax([2.0], x[:2], bad[:2]), c([3.0, 3.0], [0, 1]))
    assert numpy.isnan(of_jax([2.0], x, bad)).tolist() == [False, False, True, True, True]
    assert numpy.isnan(gradient(of_jax, [2.0], x, bad, by=0)).all()
    assert numpy.isnan(gradient(of_jax, [2.0], x, bad, by=1)).tolist()[2:] == [True] * 3


def test_rows_on_four_devices_are_the_same() -> None:
    program = """
import jax, numpy
jax.config.update("jax_enable_x64", True)
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from tests.test_jax import network
c, f, x, y = network()
x, y = numpy.repeat(x, 4, axis=0), numpy.repeat(y, 4)
mesh = Mesh(numpy.array(jax.devices()), ("rows",))
spread = [jax.device_put(v, NamedSharding(mesh, P("rows"))) for v in (x, y)]
step = jax.jit(jax.value_and_grad(lambda t, x, y: f(t, x, y).mean()))
theta = jax.device_put(c.theta(), NamedSharding(mesh, P()))
value, gradient = step(theta, *spread)
rows = jax.jit(f)(theta, *spread)
ours = c.value_and_grad(c.theta(), x, y)
assert len(rows.sharding.device_set) == 4, rows.sharding
print(abs(value - ours[0]), abs(gradient - ours[1]).max(), abs(rows - c(x, y)).max())
"""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False,
        env=os.environ | flags,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert all(float(number) < 1e-12 for number in ran.stdout.split())


# ---- Bad input -----------------------------------------------------------------------------------


def test_bad_input_is_one_sentence() -> None:
    c, f, x, y = network()
    with pytest.raises(ValueError, match="was not traced yet"):
        compile(lambda x: x * 2).to_jax()
    with pytest.raises(TypeError, match="an array for each of 2 arguments, but got 1 array"):
        f(c.theta(), x)
    with pytest.raises(ValueError, match=r"theta has the shape \(\d+,\), .* but got \(3,\)"):
        f([1.0, 2.0, 3.0], x, y)
    with pytest.raises(ValueError, match=r"argument 1 has the shape \(rows, 3\), .*\(11, 2\)"):
        f(c.theta(), x[:, :2], y)
    with pytest.raises(ValueError, match="one entry for each row, but got 11, 5 entries"):
        f(c.theta(), x, y[:5])


BAD: list[tuple[Any, str]] = [
    ([1j], "argument 1 is .* an array of complex numbers; x.real and x.imag"),
    (jnp.array([1j]), "argument 1 is an array of real numbers.* but got complex"),
    (["a"], "argument 1 is .* an array of text"),
    ([1.0, None], "argument 1 is .* an array of objects"),
    (jax.random.key(0)[None], "argument 1 is an array of real numbers.* but got key"),
]


@pytest.mark.parametrize(("column", "sentence"), BAD)
def test_what_is_no_array_of_real_numbers_is_refused(column: Any, sentence: str) -> None:
    f = compile(lambda x: x * 2).trace([1.0]).to_jax()
    with pytest.raises(TypeError, match=sentence):
        f(NOTHING, column)


@pytest.mark.parametrize("in_float64", [True, False])
def test_integers_are_never_other_integers(in_float64: bool) -> None:
    """Where JAX has no int64, it takes 2**32 for 0."""
    table = [Value(1.0), Value(2.0)]
    c = compile(lambda k, i: [k * 1.0, take(table, i)], parameters=table).trace([1], [0])
    with on_jax._in_float64(in_float64):
        found = c.to_jax()([1.0, 2.0], [3, 2**53 + 1, 2**63 - 1, -(2**62), 3], [1, 1, 1, 1, 2**32])
        nan = numpy.nan
        expected = [[3, 2], [nan, 2], [nan, 2], [-(2**62), 2], [nan, nan]]
        numpy.testing.assert_equal(numpy.asarray(found), numpy.array(expected, float))
        low = jax.jit(c.to_jax())(jnp.ones(2), jnp.array([2**24 + 1]), jnp.array([1]))
        assert numpy.isnan(low[0, 0]) == (not in_float64)


def test_where_jax_is_missing_the_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    c = compile(lambda x: x * 2).trace([1.0])
    for name in ("microgradlike.writers.jax", "microgradlike.executors.on_jax"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'pip install "microgradlike\[jax\]"'):
        c.to_jax()
    with pytest.raises(ImportError, match=r'pip install "microgradlike\[jax\]"'):
        compile(lambda x: x * 2, on="jax")([1.0])
