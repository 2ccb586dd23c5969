"""Compiled functions, fit and evaluate over Dask arrays, against the same on one block."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import dask
import dask.array as da
import numpy
import pytest
from distributed import Client, LocalCluster
from distributed.diagnostics.plugin import SchedulerPlugin

from microgradlike import (
    TracingError,
    Value,
    compile,
    detect_anomaly,
    evaluate,
    fit,
    losses,
    nn,
    no_grad,
    optim,
    spread,
    take,
)
from microgradlike.engine import is_traced
from microgradlike.replay import blocks as replay_blocks
from microgradlike.replay import shipping
from microgradlike.spread import batches

#: A cluster that only this machine can reach.
QUIET: Any = {
    "threads_per_worker": 1,
    "dashboard_address": "127.0.0.1:0",
    "silence_logs": logging.CRITICAL,
}

DRAW = numpy.random.default_rng(0)
X = DRAW.normal(size=(60, 2))
y = DRAW.normal(size=60)
LABELS = (X[:, 0] * X[:, 1] > 0).astype(int)

#: X and y in blocks that differ, X also along its columns.
FAR = da.from_array(X, chunks=(25, 1)), da.from_array(y, chunks=17)


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    with dask.config.set(scheduler="synchronous"):
        yield


def agree(ours: Any, others: Any) -> None:
    numpy.testing.assert_allclose(ours, others, rtol=1e-12, atol=1e-14)


def network() -> nn.MLP:
    return nn.MLP(2, [5, 1], activation="tanh", seed=0)


def compiled() -> tuple[Any, nn.MLP]:
    net = network()
    return compile(lambda x, t: (net(x) - t) ** 2, parameters=net.parameters()), net


# ---- What has an entry for each row ------------------------------------------------------------


@pytest.mark.parametrize("name", ["__call__", "jacobian", "hessian", "gradients"])
@pytest.mark.parametrize("returns_list", [False, True])
def test_what_has_rows_is_a_dask_array(name: str, returns_list: bool) -> None:
    net = network()

    def f(x: Any, t: Any) -> Any:
        error = (net(x) - t) ** 2
        return [error, error.exp() * x[0]] if returns_list else error

    found = getattr(compile(f), name)(*FAR)
    expected = getattr(compile(f), name)(X, y)
    assert isinstance(found, da.Array)
    assert found.shape == expected.shape
    assert found.chunks[0] == (25, 25, 10)
    assert found.dtype == float
    assert isinstance(found._meta, numpy.ndarray)
    agree(found.compute(), expected)
    agree(found[26:40].compute(), expected[26:40])


def test_the_others_are_too() -> None:
    c, _ = compiled()
    theta, v = c.theta() * 1.1, DRAW.normal(size=(60, 3))
    agree(c.values(theta, *FAR), c.values(theta, X, y))
    agree(c.jacobian_by_parameters(theta, *FAR), c.jacobian_by_parameters(theta, X, y))
    agree(c.hvp(*FAR, v=da.from_array(v, chunks=7)), c.hvp(X, y, v=v))
    agree(c.hvp(X, y, v=da.from_array(v, chunks=7)), c.hvp(X, y, v=v))
    for ours, others in zip(c.value_and_jacobian(*FAR), c.value_and_jacobian(X, y), strict=True):
        agree(ours.compute(), others)


def test_it_has_the_parameters_of_the_moment_when_it_was_asked_for() -> None:
    w = Value(2.0)
    c: Any = compile(lambda x: w * x)
    found = c(da.ones(4, chunks=2))
    w.data = 5.0
    assert found.compute().tolist() == [2.0] * 4
    assert numpy.asarray(c(da.ones(4, chunks=2))).tolist() == [5.0] * 4
    theta = numpy.array([3.0])
    found = c.values(theta, da.ones(4, chunks=2))
    theta[:] = 7.0
    assert numpy.asarray(found).tolist() == [3.0] * 4


# ---- What is summed over rows ------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_sums_are_those_of_one_block(scheduler: str) -> None:
    c, net = compiled()
    theta, v = c.theta() * 1.1, DRAW.normal(size=len(c.theta()))
    with dask.config.set(scheduler=scheduler):
        for reduce in ("mean", "sum"):
            found = []
            for columns in (FAR, (X, y), (FAR[0], y)):
                net.zero_grad()
                total = getattr(c, reduce)(*columns)
                total.backward()
                parts = [
                    [total.item()],
                    [p.grad for p in net.parameters()],
                    *map(numpy.ravel, c.value_and_grad(theta, *columns, reduce=reduce)),
                    c.hvp_by_parameters(theta, v, *columns, reduce=reduce),
                    c.hessian_by_parameters(theta, *columns, reduce=reduce).ravel(),
                ]
                found.append(numpy.concatenate(parts))
            agree(found[0], found[1])
            agree(found[2], found[1])
        outputs, gradient = c.run(theta, FAR, [1.0])
        agree(outputs.compute(), c.run(theta, (X, y))[0])
        agree(gradient, c.run(theta, (X, y), [1.0])[1])
    assert c.run(theta, FAR)[1].size == 0


def test_within_no_grad_there_is_no_gradient() -> None:
    c, _ = compiled()
    with no_grad():
        total = c.mean(*FAR)
    agree(total.item(), c.mean(X, y).item())
    with pytest.raises(RuntimeError, match="no_grad"):
        total.backward()


def test_blocks_may_be_empty_and_numbers_nan() -> None:
    w = Value(2.0)
    c: Any = compile(lambda x: w * x)
    numbers = numpy.array([1.0, numpy.nan, 3.0])
    column = da.from_array(numbers, chunks=((0, 2, 0, 1),))
    numpy.testing.assert_array_equal(c(column), 2 * numbers)
    assert numpy.isnan(c.mean(column).item())
    c.sum(da.from_array(numbers[::2], chunks=((0, 2),))).backward()
    assert w.grad == 4.0


def test_integers_stay_integers() -> None:
    table = [Value(v) for v in (1.0, 2.0, 4.0)]
    c = compile(lambda i, x: take(table, i) * x)
    i = numpy.array([2, 0, 2, 1])
    c.sum(da.from_array(i, chunks=3), numpy.ones(4)).backward()
    assert [v.grad for v in table] == [1.0, 1.0, 2.0]


# ---- Paths and parameters ----------------------------------------------------------------------


def branches() -> tuple[Any, list[Value]]:
    """A function whose branches use different parameters; the first row uses only the first."""
    a, b, c = (Value(v, label=name) for v, name in ((2.0, "a"), (3.0, "b"), (5.0, "c")))

    def f(x: Any) -> Any:
        if x < 0:
            return c * x * x
        return b * x**3 if x > 1 else a * x

    return f, [a, b, c]


ROWS = numpy.array([0.5, 0.25, 2.0, 3.0, -1.0, 0.75, -2.0, 4.0])


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [0, 3, 2, 1]])
@pytest.mark.parametrize("count", [1, 2])
def test_parameters_do_not_mix_whichever_path_is_met_first(order: list[int], count: int) -> None:
    rows = ROWS.reshape(4, 2)[order].ravel()
    f, values = branches()
    c = compile(f)
    c.mean(da.from_array(rows, chunks=count)).backward()
    found = [v.grad for v in values]
    own, others = branches()
    compile(own).mean(rows).backward()
    agree(found, [v.grad for v in others])
    assert set(c.parameters) == set(values)
    by_name = dict(zip((p.label for p in c.parameters), c.theta().tolist(), strict=True))
    assert by_name == {"a": 2.0, "b": 3.0, "c": 5.0}
    value, gradient = c.value_and_grad(c.theta() * 2, da.from_array(rows, chunks=count))
    again, by_us = c.value_and_grad(c.theta() * 2, rows)
    agree(numpy.append(gradient, value), numpy.append(by_us, again))


def test_a_parameter_that_was_not_met_before_is_known_afterwards() -> None:
    f, _ = branches()
    c, column = compile(f).trace([0.5]), da.from_array(ROWS, chunks=2)
    with pytest.raises(TracingError, match="uses 2 parameters not met before"):
        c.value_and_grad(c.theta(), column)
    agree(c.value_and_grad(c.theta(), column)[1], c.value_and_grad(c.theta(), ROWS)[1])
    again: Any = compile(branches()[0]).trace([0.5])
    with pytest.raises(TracingError, match=r"parameter.* not met before; .*c\.trace"):
        again.gradients(column).compute()
    agree(again.trace(column).gradients(column), again.gradients(ROWS))


def test_a_function_is_traced_once_and_not_for_each_block() -> None:
    traced: dict[int, int] = {}
    for blocks in (2, 20):
        c, TRACED[:] = compile(noted), []
        for _ in range(3):
            c.mean(da.ones(40, chunks=40 // blocks))
        traced[blocks] = len(TRACED)
    assert traced[2] == traced[20] > 0


TRACED: list[int] = []


def noted(x: Any) -> Any:
    if is_traced():
        TRACED.append(1)
    return x * 2.0


WEIGHT = Value(3.0)


@compile
def decorated(x: Any) -> Any:
    return WEIGHT * x


def by_name(x: Any) -> Any:
    return twice(WEIGHT) * x


def twice(x: Any) -> Any:
    return x * 2


@pytest.mark.parametrize(
    ("f", "slope"),
    [(decorated, 1.0), (compile(by_name), 2.0), (compile(lambda x: decorated(x)), 1.0)],
)
def test_parameters_of_a_module_are_the_callers(f: Any, slope: float) -> None:
    WEIGHT.grad, WEIGHT.data = 0.0, 4.0
    total = f.mean(da.ones(6, chunks=2))
    total.backward()
    assert (total.item(), WEIGHT.grad) == (4.0 * slope, slope)


def test_a_number_that_has_changed_is_noticed() -> None:
    scale, w = [2.0], Value(1.0)
    c = compile(lambda x: w * x * scale[0])
    assert c.mean([1.0]).item() == 2.0
    scale[0] = 3.0
    with pytest.raises(TracingError, match="a plain number that it uses has changed"):
        c.mean(da.ones(4, chunks=2))
    assert c.retrace().mean(da.ones(4, chunks=2)).item() == 3.0


def test_copies_are_kept_for_the_last_functions_only() -> None:
    for k in range(shipping.MOST_FUNCTIONS + 3):
        numpy.asarray(compile(lambda x, k=k: x * k)(da.ones(1, chunks=1)))
    assert len(shipping._copies) <= shipping.MOST_FUNCTIONS


# ---- More than the memory ----------------------------------------------------------------------


class Alive:
    """Blocks that are made when they are asked for, and how many there are at once."""

    def __init__(self, count: int) -> None:
        self.now, self.most, self.made, self.lock = 0, 0, 0, threading.Lock()
        self.column = da.ones((count * 10, 2), chunks=(10, 2)).map_blocks(self.make, dtype=float)

    def __dask_tokenize__(self) -> object:
        return id(self)

    def make(self, block: Any) -> Any:
        if len(block) < 10:
            return block
        found = block * 0.5
        with self.lock:
            self.now, self.made = self.now + 1, self.made + 1
            self.most = max(self.most, self.now)
        weakref.finalize(found, self.gone)
        return found

    def gone(self) -> None:
        with self.lock:
            self.now -= 1


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_few_blocks_are_there_at_once(scheduler: str) -> None:
    net, alive = network(), Alive(60)
    c: Any = compile(lambda x: net(x) ** 2)
    with dask.config.set(scheduler=scheduler, num_workers=2):
        c.mean(alive.column).backward()
        c(alive.column).sum().compute()
    assert alive.made >= 120
    assert alive.most <= 6


@pytest.mark.parametrize("batch_size", [25, 600])
def test_few_blocks_are_there_while_a_network_learns(batch_size: int) -> None:
    alive = Alive(60)
    targets = numpy.zeros(600)
    train(alive.column, targets, loss=losses.mse, seed=0, epochs=1, batch_size=batch_size, out=1)
    assert alive.most <= 8
    assert alive.made <= 2 * 60 + 7  # one look at all of them, one epoch, and the first rows


# ---- Bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "error", "words"),
    [
        ((FAR[0][FAR[0][:, 0] > 0], y), ValueError, r"argument 1 is a Dask .*compute_chunk_sizes"),
        ((FAR[0], y[:50]), ValueError, "one entry for each row, but got 60, 50 entries"),
        ((FAR[0][:0], FAR[1][:0]), ValueError, "there are no rows"),
        ((FAR[0].sum(), y), TypeError, "argument 1 has one entry for each row"),
        ((FAR[0], FAR[1].astype(str)), TypeError, "argument 2 is an array of numbers.* text"),
        ((FAR[0], FAR[1].astype(complex)), TypeError, "argument 2 .*complex"),
        ((FAR[0], da.ma.masked_array(FAR[1], FAR[1] > 0)), TypeError, "argument 2 is a masked"),
        ((dask.delayed(X), y), TypeError, "argument 1 is an array of numbers, but got a Delayed"),
        ((FAR[0],), TypeError, "takes .x, t., an array for each, but got 1 array"),
    ],
)
def test_bad_columns_are_refused(columns: Any, error: type[Exception], words: str) -> None:
    c, _ = compiled()
    for method in (c, c.mean):
        with pytest.raises(error, match=words):
            method(*columns)


def test_rows_of_another_shape_are_refused_before_they_are_computed() -> None:
    c, _ = compiled()
    c.mean(*FAR)
    with pytest.raises(ValueError, match=r"traced with rows of the shapes \(2,\), \(\)"):
        c(da.ones((4, 3), chunks=2), da.ones(4, chunks=2))


def told_as(shape: Any, *blocks: Any) -> da.Array:
    """Blocks of 1.0 that have these shapes, but whose array says that each has the first one."""
    ones: Any = dask.delayed(numpy.ones)
    return da.concatenate([da.from_delayed(ones(block), shape, dtype=float) for block in blocks])


@pytest.mark.parametrize("chunks", [3, 2])  # at the same rows, or cut anew
@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    "blocks",
    [
        [(3, 3), (3, 2)],
        [(3, 2), (3, 3)],
        [(3, 2), (0, 2)],
        [(3, 2), (6,)],
        [(2, 2), (4, 2)],
        [(4, 2), (2, 2)],
    ],
)
def test_blocks_have_the_shape_that_was_told(blocks: Any, traced: bool, chunks: int) -> None:
    columns = told_as((3, 2), *blocks), da.ones((6, 3), chunks=(chunks, 3))
    w = Value(1.0)
    c: Any = compile(lambda x, y: w * x[0] * x[1] + y[0], parameters=[w])
    if traced:
        c.trace([[1.0, 2.0]], [[1.0, 2.0, 3.0]])
    calls: list[Callable[[], object]] = [
        lambda: c.mean(*columns),
        lambda: c.value_and_grad([2.0], *columns),
        lambda: c.hessian_by_parameters([2.0], *columns),
        lambda: c(*columns).compute(),
        lambda: c.jacobian(*columns).compute(),
        lambda: c.hvp(*columns, v=da.ones((6, 5), chunks=(6, 5))).compute(),
        lambda: c.trace(*columns),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"argument 1 is a Dask array that says .*\(3, 2\)"):
            call()
    for call in (
        lambda: train(columns[0], LABELS[:6]),
        lambda: train(X, LABELS, validation=(columns[0], LABELS[:6])),
        lambda: evaluate(network(), columns[0], numpy.zeros(6), losses.mse),
    ):
        with pytest.raises(ValueError, match=r"X is a Dask array that says .*\(3, 2\)"):
            call()


def test_a_block_may_be_a_list() -> None:
    blocks = [da.from_delayed(dask.delayed([1, 2]), (2,), dtype=float)] * 2
    c: Any = compile(lambda x: x * 2)
    assert c(da.concatenate(blocks)).compute().tolist() == [2, 4, 2, 4]


@pytest.mark.parametrize("method", ["__call__", "mean", "jacobian"])
def test_a_row_that_is_refused_is_named_by_its_place_in_the_whole(method: str) -> None:
    i = numpy.zeros(40, int)
    i[27] = 7
    w = Value(1.0)
    c = compile(lambda i: w * take([1.0, 2.0], i))
    with pytest.raises(IndexError, match=r"but got 7 in row 27$"):
        numpy.asarray(getattr(c, method)(da.from_array(i, chunks=10)))


def test_anomalies_are_detected_by_the_workers_too() -> None:
    w = Value(0.0)
    c = compile(lambda x: (w * x).log())
    with detect_anomaly(), pytest.raises(FloatingPointError, match="log"):
        c.mean(da.ones(4, chunks=2))


def test_what_cannot_be_pickled_is_named() -> None:
    lock, w = threading.Lock(), Value(1.0)

    def guarded(x: Any) -> Any:
        return w * x if lock else x

    with pytest.raises(TypeError, match=r"guarded goes to the workers as a pickle.*'_thread.lock'"):
        compile(guarded).mean(da.ones(4, chunks=2))


def test_an_error_of_the_user_arrives_as_it_is() -> None:
    def broken(block: Any) -> Any:
        if len(block) == 2:
            raise OSError("no such disk")
        return block

    with pytest.raises(OSError, match="no such disk"):
        compile(lambda x: x * 2).mean(da.ones(4, chunks=2).map_blocks(broken, dtype=float))


class Own(ValueError):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ZeroDivisionError("mine"), "^mine$"),
        (lambda: KeyError("mine"), "^'mine'$"),
        (lambda: Own(1, 2), r"^1 and 2 \(in row 2\)$"),
        (lambda: json.JSONDecodeError("mine", "{", 1), r"^mine: line 1 .*in row 2\)$"),
        (lambda: UnicodeDecodeError("ascii", b"a", 0, 1, "mine"), "can't decode .* mine$"),
    ],
)
def test_an_error_of_the_function_is_of_its_own_kind(make: Any, words: str) -> None:
    def f(x: Any) -> Any:
        if x > 2:
            raise make()
        return x * 2

    with pytest.raises(type(make())):
        compile(f).mean([1.0, 2.0, 3.0, 4.0])
    with pytest.raises(type(make()), match=words):
        compile(f).mean(da.arange(1.0, 5.0, chunks=2))


def test_dask_is_loaded_by_nobody_who_does_not_use_it() -> None:
    code = "import sys, microgradlike as m; m.compile(lambda x: x * 2)([1.0]); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "microgradlike.replay.compiled" in ran.stdout, ran.stderr
    assert not {"dask", "distributed", "cloudpickle"} & set(ran.stdout.split())


# ---- fit and evaluate --------------------------------------------------------------------------


def train(X: Any, y: Any, **options: Any) -> tuple[Any, list[float], nn.MLP]:
    model = nn.MLP(2, [4, options.pop("out", 2)], activation="tanh", seed=0)
    options = {"loss": losses.cross_entropy, "epochs": 2, "seed": None, "batch_size": 16} | options
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    history = fit(model, X, y, optimizer=optimizer, progress=False, **options)
    return history, [p.data for p in model.parameters()], model


def own_metric(output: Any, target: int) -> float:
    if not isinstance(target, int):
        raise TypeError("a label is an integer")
    return float(output[target].data > 0)


@pytest.mark.parametrize(("size", "metric"), [(7, None), (25, own_metric), (60, None)])
def test_a_training_is_that_of_one_block(size: int, metric: Any) -> None:
    weight = Value(0.1)
    options = {"batch_size": size, "metric": metric, "clip_norm": 1.0, "validation": (X, LABELS)}
    ours, numbers, model = train(FAR[0], LABELS, penalty=lambda: weight * 0 + 0.5, **options)
    others, expected, same = train(X, LABELS, penalty=lambda: weight * 0 + 0.5, **options)
    agree(numbers, expected)
    for name in ("loss", "metric", "validation_loss", "validation_metric"):
        agree(getattr(ours, name), getattr(others, name))
    agree(
        evaluate(model, *FAR[:1], LABELS, losses.cross_entropy, metric),
        evaluate(same, X, LABELS, losses.cross_entropy, metric),
    )


def test_truths_are_labels() -> None:
    far = da.from_array(LABELS > 0, chunks=9)
    assert train(FAR[0], far, metric=own_metric)[1] == train(FAR[0], LABELS)[1]


def test_one_block_is_shuffled_as_an_array() -> None:
    agree(train(da.from_array(X, chunks=-1), LABELS, seed=3)[1], train(X, LABELS, seed=3)[1])


def test_rows_of_a_batch_are_told_in_few_bytes() -> None:
    order = DRAW.permutation(1_000_003)
    whole, half, few = (replay_blocks.picked(order[:n], len(order)) for n in (len(order), 9**6, 99))
    assert (len(whole), len(half)) == (0, 125_001)
    assert len(few) == 99
    # One of each: bits, places and whole blocks give the same sums.
    rows = numpy.tile(X, (5, 1)), numpy.tile(LABELS, 5)
    for size in (1, 100, 300):
        far = da.from_array(rows[0], chunks=(300 if size == 1 else 60, 2))
        options = {"batch_size": size, "epochs": 1}
        agree(train(far, rows[1], **options)[1], train(*rows, **options)[1])


def test_each_epoch_shows_each_example_once_and_few_blocks_at_a_time() -> None:
    dice = numpy.random.default_rng(0)
    lengths = (10, 0, 7, 30, 13)
    starts = numpy.cumsum((0, *lengths[:-1]))
    orders = []
    for _ in range(2):
        found = list(batches(lengths, 8, dice))
        assert [len(batch) for batch in found] == [8] * 7 + [4]
        orders.append(numpy.concatenate(found).tolist())
        assert sorted(orders[-1]) == list(range(60))
        blocks = numpy.searchsorted(starts, orders[-1], side="right")
        assert numpy.count_nonzero(numpy.diff(blocks)) == 3
    assert orders[0] != orders[1]


def test_examples_that_cannot_be_learned_from_are_named() -> None:
    wrong = X.copy()
    wrong[33, 1] = numpy.nan
    labels = LABELS.copy()
    for options in ({}, {"compiled": False}):
        with pytest.raises(ValueError, match=r"X contains NaN|compiled=False"):
            train(wrong, FAR[1] > 0, **options)
    rows = numpy.tile(wrong, (3, 1))  # beyond the first examples, which are looked at here
    rows[[33, 153]] = 0.0
    many = numpy.tile(labels, 3)
    with pytest.raises(ValueError, match="X contains NaN or infinity in row 93"):
        train(da.from_array(rows, chunks=40), many)
    many[101] = 2
    rows[93] = 0.0
    model = nn.MLP(2, [2], seed=0)
    for x in (rows, da.from_array(rows, chunks=40)):
        with pytest.raises(ValueError, match=r"the label is 2 \(in row 101\)$"):
            train(x, many)
        with pytest.raises(ValueError, match=r"the label is 2 \(in row 101\)$"):
            evaluate(model, x, many, losses.cross_entropy)
        x[93, 0] = numpy.inf
        with pytest.raises(ValueError, match="X contains NaN or infinity in row 93"):
            evaluate(model, x, many * 0, losses.cross_entropy)
        rows[93, 0] = 0.0
    with pytest.raises(ValueError, match="X is a Dask array whose blocks have an unknown number"):
        train(FAR[0][FAR[0][:, 0] > 0], LABELS)


def test_what_cannot_be_compiled_is_not_trained() -> None:
    def random(output: Any, target: Any) -> Any:
        return losses.cross_entropy(output, target) * numpy.random.default_rng().random()

    for loss in (random, lambda output, target: output[0] * output[0].data):
        with pytest.raises(TypeError, match="learned from by a compiled function only"):
            train(FAR[0], LABELS, loss=loss)


# ---- Processes and clusters --------------------------------------------------------------------


def test_processes_of_this_machine() -> None:
    c, _ = compiled()
    with dask.config.set(scheduler="processes", num_workers=1):
        total = c.mean(*FAR)
    agree(total.item(), c.mean(X, y).item())


class Deaths(SchedulerPlugin):  # type: ignore[misc]
    """Kills the first worker that has done so many blocks of a function."""

    def __init__(self, pids: dict[str, int], after: int) -> None:
        self.pids, self.left, self.killed = pids, after, 0

    def transition(self, key: Any, start: str, finish: str, *args: Any, **more: Any) -> None:
        self.left -= finish == "memory" and "sum-" in str(key)
        if not self.left and not self.killed:
            self.killed = self.pids[more["worker"]]
            os.kill(self.killed, signal.SIGKILL)


def test_a_cluster_and_a_worker_that_is_killed() -> None:
    c, _ = compiled()
    columns = [da.from_array(column, chunks=6) for column in (X, y)]
    expected = c.value_and_grad(c.theta(), *columns)
    _, trained, _ = train(columns[0], LABELS, seed=0, batch_size=25)
    with (
        LocalCluster(
            n_workers=2, host="127.0.0.1", **QUIET,
        ) as cluster,
        Client(cluster) as client,
        dask.config.set(scheduler=None),
    ):  # fmt: skip
        value, gradient = c.value_and_grad(c.theta(), *columns)
        assert value == expected[0]
        assert (gradient == expected[1]).all()
        agree(c(*columns).compute(), c(X, y))
        # Each process has one copy of the function, whatever it was asked for.
        assert set(client.run(copies).values()) <= {0, 1}
        indices = numpy.array([0, 0, 0, 0, 0, 9, 0, 0])
        with pytest.raises(IndexError, match=r"table of length 9, but got 9 in row 5$"):
            compile(lambda i: take([1.0] * 9, i) * 1.0).mean(da.from_array(indices, chunks=2))
        deaths = Deaths(client.run(os.getpid), after=12)
        cluster.scheduler.add_plugin(deaths)
        _, ours, _ = train(columns[0], LABELS, seed=0, batch_size=25)
        assert deaths.killed
        assert ours == trained
        cluster.scheduler.allowed_failures = 0  # as if each worker had taken it and died
        fatal = da.zeros(4, chunks=2).map_blocks(ends_the_process, meta=numpy.empty(0))
        w = Value(1.0)
        with pytest.raises(
            RuntimeError, match=r"gave a block up \(KilledWorker\): each worker that"
        ):
            compile(lambda x: w * x).mean(fatal).backward()
        assert w.grad == 0.0


def ends_the_process(block: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def test_other_threads_may_draw_numbers_while_a_function_is_traced() -> None:
    import random

    w = Value(2.0)

    def f(x: Any) -> Any:
        random.random()  # as another thread may at this moment
        return w * x

    of = compile(lambda x: w * x)
    of.trace([1.0]).function = f
    assert of.mean(da.ones(4, chunks=2)).item() == 2.0
    of = compile(lambda x: w * x * 2)
    of.trace([1.0]).function = lambda x: w * x * random.random()
    with pytest.raises(TracingError, match=r"draws random numbers|has changed"):
        of.mean(da.ones(4, chunks=2))


def copies() -> int:
    from microgradlike.replay.shipping import _copies

    return max(map(len, _copies.values()), default=0)


def test_a_cluster_that_goes_away() -> None:
    def slow(block: Any) -> Any:
        time.sleep(0.1)
        return block

    w = Value(2.0)
    c: Any = compile(lambda x: w * x)
    column = da.ones(200, chunks=2).map_blocks(slow, dtype=float)
    with dask.config.set({"distributed.comm.timeouts.connect": "1s", "scheduler": None}):
        cluster = LocalCluster(
            n_workers=1, processes=False, **QUIET,
        )  # fmt: skip
        with Client(cluster, timeout=1):
            assert c.mean(da.ones(4, chunks=2)).item() == 2.0
            closing = threading.Timer(0.5, cluster.close)
            closing.start()
            with pytest.raises(RuntimeError, match="the workers of Dask are gone, also after its"):
                c.mean(column)
            closing.join()
    assert w.grad == 0.0
    with dask.config.set(scheduler="synchronous"):  # elsewhere it goes on
        c.mean(da.ones(4, chunks=2)).backward()
    assert w.grad == 1.0


@pytest.mark.parametrize(
    ("before", "patience", "words"),
    [
        (0, None, "nothing was changed here: start a cluster"),
        (5, None, r"the parameters are those after 5 steps \(1 whole epoch\): start a cluster"),
        (5, 9, "the parameters are the best ones of 1 whole epoch: start a cluster"),
    ],
)
def test_a_training_that_loses_its_cluster_says_what_it_leaves(
    before: int, patience: int | None, words: str, monkeypatch: Any
) -> None:
    def trained(stop: Callable[[], None]) -> nn.MLP:
        """What a training leaves when something stops it before this batch."""
        count = itertools.count()

        def stopping(*given: Any) -> Iterator[list[int]]:
            for batch in batches(*given):
                if next(count) == before:
                    stop()
                yield batch

        monkeypatch.setattr(spread, "batches", stopping)
        far, model = da.from_array(X, chunks=20), nn.MLP(2, [4, 2], activation="tanh", seed=0)
        options: Any = {"batch_size": 20, "patience": patience, "progress": False}
        said = pytest.raises(RuntimeError, match=words)
        with contextlib.nullcontext() if stop is interrupt else said:
            fit(model, far, LABELS, loss=losses.cross_entropy, **options)
        return model

    def interrupt() -> None:
        raise KeyboardInterrupt

    same = trained(interrupt)
    with dask.config.set({"distributed.comm.timeouts.connect": "1s", "scheduler": None}):
        cluster = LocalCluster(
            n_workers=1, processes=False, **QUIET,
        )  # fmt: skip
        with Client(cluster, timeout=1):
            model = trained(cluster.close)
    for name in ("data", "grad"):
        of_each = [[getattr(p, name) for p in m.parameters()] for m in (model, same)]
        assert of_each[0] == of_each[1]
