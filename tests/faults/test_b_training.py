"""fit, evaluate, optimisers, models and their files, in the cases that people report."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import random
import stat
import threading
import warnings
from collections import deque, namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy
import pytest

from microgradlike import (
    Value,
    compile,
    custom,
    evaluate,
    files,
    fit,
    grad,
    losses,
    no_grad,
    optim,
)
from microgradlike.nn import MLP, Module

X = numpy.linspace(-1, 1, 16).reshape(8, 2)
Y = numpy.array([0, 1, 0, 1, 1, 0, 1, 1])


@contextmanager
def silent() -> Iterator[None]:
    """What is compiled without a warning is compiled."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@contextmanager
def maybe() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def both(run: Callable[[bool], Any]) -> Any:
    """The same compiled and not; the compiled one is given back."""
    with maybe():
        eager, compiled = run(False), run(True)
    assert numpy.allclose(compiled, eager, rtol=1e-9, atol=1e-12, equal_nan=True), (compiled, eager)
    return compiled


def history(model: Any, y: Any = Y, **options: Any) -> list[float]:
    options = {"epochs": 3, "batch_size": 4, "progress": False, "loss": losses.mse} | options
    found = fit(model, X, y, **options)
    return found.loss + found.metric + found.validation_loss + found.validation_metric


def numbers(model: Module) -> list[float]:
    return list(model.state_dict().values())


def by_hand(model: Any, optimizer: Any, loss: Any = losses.mse, epochs: int = 3) -> list[float]:
    """The loop that everybody writes, in the order that ``history`` has."""
    shuffle, found = numpy.random.default_rng(0), []
    for _ in range(epochs):
        order, total = shuffle.permutation(len(X)).tolist(), 0.0
        for batch in (order[:4], order[4:]):
            optimizer.zero_grad()
            errors = [loss(model(X[k].tolist()), Y[k].item()) for k in batch]
            sum(error / len(batch) for error in errors).backward()
            total += sum(error.data for error in errors)
            optimizer.step()
        found.append(total / len(X))
    return found


# ---- A3 ----------------------------------------------------------------------------------------

MASKED = numpy.ma.array(X, mask=numpy.eye(8, 2))


@pytest.mark.parametrize(
    "masked",
    [MASKED, list(MASKED), [tuple(MASKED)][0], [[0.0, numpy.ma.masked]] * 8],
    ids=["array", "rows", "tuple", "entries"],
)
def test_A3_masked_data_are_refused_everywhere(masked: Any) -> None:
    model = MLP(2, [1], seed=0)
    before = numbers(model)
    f = compile(lambda x: x[0] * x[1])
    for call in (
        lambda: history(model) and fit(model, masked, Y, loss=losses.mse, progress=False),
        lambda: fit(model, X, Y, loss=losses.mse, progress=False, validation=(masked, Y)),
        lambda: evaluate(model, masked, Y, losses.mse),
        lambda: f(masked),
    ):
        with pytest.raises(TypeError, match=r"masked .*filled"):
            call()
    with pytest.raises(TypeError, match="y is a masked array or holds one"):
        fit(model, X, numpy.ma.array(Y, mask=[1] + [0] * 7), loss=losses.mse, progress=False)
    assert numbers(model) != before


def test_A3_a_matrix_is_its_array() -> None:
    model = MLP(2, [1], seed=0)
    matrix = X.view(numpy.matrix)
    assert evaluate(model, matrix, Y, losses.mse)[0] == evaluate(model, X, Y, losses.mse)[0]
    both(lambda compiled: fit(MLP(2, [1], seed=0), matrix, Y, loss=losses.mse, epochs=2,
                              progress=False, compiled=compiled).loss)  # fmt: skip


# ---- B2: labels as plain numbers ---------------------------------------------------------------


def _in_a_dict(output: Any, label: Any) -> Any:
    return losses.binary_cross_entropy(output, label) * {1: 5.0}.get(label, 1.0)


def _in_a_set(output: Any, label: Any) -> Any:
    return losses.binary_cross_entropy(output, label) * (5.0 if label in {1} else 1.0)


def _as_text(output: Any, label: Any) -> Any:
    return losses.binary_cross_entropy(output, label) * {"1": 5.0}.get(f"{label}", 1.0)


def _by_type(output: Any, label: Any) -> Any:
    return losses.binary_cross_entropy(output, label) * (5.0 if isinstance(label, int) else 1.0)


def _by_hinge(output: Any, label: Any) -> Any:
    return losses.hinge(output, 2 * label - 1) * (7.0 if type(label) is int and label else 1.0)


def _by_is(output: Any, label: Any) -> Any:
    return losses.mse(output, label) * (3.0 if str(label) == "0" else 1.0)


@pytest.mark.parametrize("loss", [_in_a_dict, _in_a_set, _as_text, _by_type, _by_hinge, _by_is])
def test_B2_class_weights_count(loss: Any) -> None:
    both(lambda compiled: history(MLP(2, [3, 1], seed=0), loss=loss, compiled=compiled))


def test_B2_a_class_that_comes_late_and_seldom() -> None:
    y = numpy.arange(8)
    weights = {7: 100.0}

    def loss(output: Any, label: Any) -> Any:
        weight = weights.get(label, 1.0) if isinstance(label, int) else 1.0
        return losses.cross_entropy(output, label) * weight

    both(lambda compiled: history(MLP(2, [8], seed=0), y, loss=loss, compiled=compiled))


def test_B2_a_model_that_asks_what_its_inputs_are() -> None:
    class Asking(Module):
        def __init__(self) -> None:
            self.w = Value(0.5)

        def __call__(self, x: Any) -> Any:
            return self.w * x[0] * (3.0 if isinstance(x[1], float) else 1.0)

    both(lambda compiled: history(Asking(), compiled=compiled))


# ---- B4: the parameters can be looked at -------------------------------------------------------


class Clipping(optim.SGD):
    """Its steps keep the weights small."""

    def step(self) -> None:
        super().step()
        for parameter in self.parameters:
            parameter.data = max(-0.3, min(0.3, parameter.data))


class Counting(optim.Adam):
    zeroed = 0

    def zero_grad(self) -> None:
        self.zeroed += 1
        super().zero_grad()


def test_B4_an_overridden_step_is_used() -> None:
    def run(compiled: bool) -> Any:
        model = MLP(2, [3, 1], seed=0)
        found = history(model, optimizer=Clipping(model.parameters(), lr=0.1), compiled=compiled)
        assert max(map(abs, numbers(model))) <= 0.3
        return found + numbers(model)

    both(run)
    with silent():
        run(True)


def test_B4_an_overridden_zero_grad_and_a_wrapped_step_are_used() -> None:
    def run(compiled: bool) -> Any:
        model = MLP(2, [3, 1], seed=0)
        optimizer = Counting(model.parameters(), lr=0.1)
        plain, norms = optimizer.step, []

        def step() -> None:
            norms.append(math.hypot(*[p.grad for p in optimizer.parameters]))
            plain()

        optimizer.step = step  # type: ignore[method-assign]
        found = history(model, optimizer=optimizer, clip_norm=0.5, compiled=compiled)
        assert optimizer.zeroed == len(norms) == 6
        return found + norms

    both(run)


def test_B4_schedules_and_metrics_see_the_current_numbers() -> None:
    def run(compiled: bool) -> Any:
        model = MLP(2, [3, 1], seed=0)
        w = model.parameters()[0]
        seen: list[float] = []

        def schedule(step: int) -> float:
            seen.append(w.data)
            return 0.1 / (1 + abs(w.data))

        def metric(output: Any, target: Any) -> float:
            return model.parameters()[1].data

        optimizer = optim.SGD(model.parameters(), lr=optim.warm_up(schedule, 1))
        found = history(model, optimizer=optimizer, metric=metric, validation=(X, Y),
                        compiled=compiled)  # fmt: skip
        assert len(set(seen)) > 3
        return found + seen

    both(run)
    with silent():
        run(True)


def test_B4_a_forward_or_penalty_that_reads_a_number_is_not_frozen() -> None:
    class Pruned(Module):
        def __init__(self) -> None:
            self.w, self.v = Value(0.12), Value(-0.4)

        def __call__(self, x: Any) -> Any:
            out = self.v * x[1]
            return out + self.w * x[0] if abs(self.w.data) > 0.1 else out

    def run(compiled: bool) -> Any:
        model = Pruned()
        sgd = optim.SGD(model.parameters(), lr=0.2)
        return history(model, optimizer=sgd, epochs=6, compiled=compiled) + numbers(model)

    both(run)
    with pytest.warns(RuntimeWarning, match=r"reading \.data of a parameter, at .*line \d+"):
        run(True)

    def with_penalty(compiled: bool) -> Any:
        model = MLP(2, [1], seed=0)
        w = model.parameters()[0]
        return history(model, penalty=lambda: w * w.data, compiled=compiled)

    both(with_penalty)


def test_B4_the_engine_is_as_it_was_after_a_trace() -> None:
    slots = [vars(Value)[name] for name in ("data", "grad")]
    with silent():
        history(MLP(2, [1], seed=0))
    assert [vars(Value)[name] for name in ("data", "grad")] == slots


def test_B4_gradients_are_there_afterwards() -> None:
    def run(compiled: bool) -> Any:
        model = MLP(2, [3, 1], seed=0)
        some = model.parameters()[3:]  # the others are kept as they are, and get their error
        history(model, optimizer=optim.SGD(some, lr=0.1), clip_norm=1e-3, compiled=compiled)
        return [p.grad for p in model.parameters()]

    both(run)


def _refuses_late(kind: str) -> Callable[[Any], Any]:
    def late(out: Value) -> Any:
        if kind == "float":
            return out * float(out)
        if kind == "error":
            return out * [1.0][bool(hasattr(out, "tape"))]
        return out * out.data

    return late


@pytest.mark.parametrize("kind", ["float", "data", "error"])
def test_B4_what_is_refused_in_mid_training_goes_on_example_by_example(kind: str) -> None:
    late = _refuses_late(kind)

    class Late(Module):
        def __init__(self) -> None:
            self.w = Value(0.1)

        def __call__(self, x: Any) -> Any:
            out = self.w * (x[0] + 2.0)
            return late(out) if self.w > 0.3 else out

    def run(compiled: bool) -> Any:
        model = Late()
        optimizer = optim.Adam(model.parameters(), lr=0.05)
        found = history(model, [1.5] * 8, optimizer=optimizer, epochs=6, clip_norm=3.0,
                        validation=(X, [1.0] * 8), compiled=compiled)  # fmt: skip
        assert model.w.data > 0.3
        return [*found, model.w.data, optimizer.steps, optimizer.mean[0], model.w.grad]  # type: ignore[index]

    both(run)
    with pytest.warns(RuntimeWarning) as caught:
        run(True)
    assert len(caught) == 1
    assert "goes on example by example" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_B4_a_branch_met_later_with_a_parameter_of_its_own() -> None:
    class Growing(Module):
        def __init__(self) -> None:
            self.w, self.v = Value(0.1), Value(0.5)

        def __call__(self, x: Any) -> Any:
            out = self.w * (x[0] + 2.0)
            return out + self.v * x[1] if self.w > 0.3 else out

    def run(compiled: bool) -> Any:
        model = Growing()
        optimizer = optim.SGD(model.parameters(), lr=0.03)
        found = history(model, [1.5] * 8, optimizer=optimizer, epochs=8, compiled=compiled)
        assert model.v.data != 0.5
        return found + numbers(model)

    both(run)
    with silent():
        run(True)


def test_B1_an_absolute_error_written_with_if() -> None:
    w = Value(4.0)

    def run(compiled: bool) -> Any:
        w.data = 4.0
        return fit(
            lambda x: w * x[0], [[1.0]], [1.0], epochs=12, progress=False, compiled=compiled,
            loss=lambda o, t: o - t if o > t else t - o, optimizer=optim.SGD([w], lr=0.75),
        ).loss  # fmt: skip

    assert both(run)[:3] == [3.0, 2.25, 1.5]


def test_B4_within_no_grad_it_trains_as_well() -> None:
    def run(compiled: bool) -> Any:
        with no_grad():
            return history(MLP(2, [3, 1], seed=0), validation=(X, Y), compiled=compiled)

    assert both(run) == pytest.approx(history(MLP(2, [3, 1], seed=0), validation=(X, Y)))


def _with_backward(output: Any, target: Any) -> Any:
    scale = Value(2.0)
    (scale * scale).backward()
    return losses.mse(output, target) * scale.grad


def _with_its_own_backward(output: Any, target: Any) -> Any:
    error = losses.mse(output, target)
    error.backward()
    return error


def _with_a_slope(output: Any, target: Any) -> Any:
    return losses.mse(output, target) + 0.1 * grad(lambda z: z**3)(output)


def _with_numbers_as_slopes(output: Any, target: Any) -> Any:
    return custom((output.data - target) ** 2, (output,), [2 * (output.data - target)])


def _with_functions_as_slopes(output: Any, target: Any) -> Any:
    return custom((output - target) ** 2, (output,), lambda o: 2 * (o - target))


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (_with_backward, "something else on plain numbers"),
        (_with_its_own_backward, "changes the number or the gradient of a Value"),
        (_with_a_slope, ""),
        (_with_numbers_as_slopes, r"reading \.data of a Value .* line \d+"),
        (_with_functions_as_slopes, ""),
    ],
)
def test_B4_losses_that_differentiate_are_as_in_a_loop(loss: Any, words: str) -> None:
    def run(compiled: bool) -> Any:
        model = MLP(2, [3, 1], seed=0)
        optimizer = optim.SGD(model.parameters(), lr=0.05)
        found = history(model, optimizer=optimizer, loss=loss, compiled=compiled)
        return found + numbers(model)

    model = MLP(2, [3, 1], seed=0)
    expected = by_hand(model, optim.SGD(model.parameters(), lr=0.05), loss)
    assert both(run) == pytest.approx(expected + numbers(model), rel=1e-9)
    with pytest.warns(RuntimeWarning, match=words) if words else silent():
        run(True)


def test_B4_the_error_flows_through_slopes_that_the_loss_depends_on() -> None:
    """As in equations of physics; in a loop of one's own they are asked for at Values."""

    def model_of(net: Any, kind: Any) -> Any:
        def model(x: Any) -> Any:
            slope, _ = grad(lambda a, b: net([a, b]))(kind(x[0]), kind(x[1]))
            return net(x) + 0.1 * slope

        return model

    nets = [MLP(2, [3, 1], activation="tanh", seed=0) for _ in range(2)]
    expected = by_hand(model_of(nets[0], Value), optim.SGD(nets[0].parameters(), lr=0.05))
    plain = by_hand(model_of(nets[1], float), optim.SGD(nets[1].parameters(), lr=0.05))
    assert plain != pytest.approx(expected, rel=1e-3)
    for kind in (Value, lambda number: number):

        def run(compiled: bool, kind: Any = kind) -> Any:
            net = MLP(2, [3, 1], activation="tanh", seed=0)
            optimizer = optim.SGD(net.parameters(), lr=0.05)
            found = history(model_of(net, kind), optimizer=optimizer, compiled=compiled)
            return found + numbers(net)

        assert both(run) == pytest.approx(expected + numbers(nets[0]), rel=1e-9)
        with silent():
            run(True)


def test_B4_a_model_that_learns_otherwise_from_plain_numbers() -> None:
    def run(compiled: bool) -> Any:
        w = Value(0.5)

        def model(x: Any) -> Any:  # the value is the same
            return (w.detach() if isinstance(x[0], float) else w) * x[0] + w * x[1]

        return [*history(model, optimizer=optim.SGD([w], lr=0.1), compiled=compiled), w.data]

    both(run)
    with pytest.warns(RuntimeWarning, match="that fit makes of model and loss .* its slope by"):
        run(True)


def test_B4_a_parameter_that_is_replaced_is_named() -> None:
    def run(compiled: bool) -> Any:
        model = MLP(2, [3, 1], seed=0)

        def schedule(step: int) -> float:
            if step == 3:
                model.layers[1].neurons[0].b = Value(2.0)
            return 0.1

        optimizer = optim.SGD(model.parameters(), lr=schedule)
        return history(model, optimizer=optimizer, compiled=compiled) + numbers(model)

    both(run)
    with pytest.warns(RuntimeWarning) as caught:
        run(True)
    assert "changes 'layers.neurons.b'" in str(caught[0].message)


@pytest.mark.parametrize(
    ("loss", "outputs", "y"),
    [
        (losses.hinge, 1, 2 * Y - 1),
        (losses.hinge, 2, numpy.c_[2 * Y - 1, 1 - 2 * Y]),
        (losses.hinge, 1, 2 * Y[:, None] - 1),
        (losses.binary_cross_entropy, 1, Y * 0.8 + 0.1),
        (losses.binary_cross_entropy, 2, numpy.c_[Y, 1 - Y] == 1),
        (losses.cross_entropy, 3, numpy.arange(8) % 3),
        (losses.cross_entropy, 2, Y == 1),
    ],
)
@pytest.mark.parametrize("shape", [lambda out: out, lambda out: numpy.array(out), "and a number"])
def test_B12_the_accuracy_of_many_rows_is_that_of_each(
    loss: Any, outputs: int, y: Any, shape: Any
) -> None:
    if shape == "and a number":  # that the model does not compute is no result of a row
        if loss is not losses.cross_entropy:
            outputs, y = 2, 2 * numpy.c_[Y, Y] - 1
            loss = losses.hinge

        def shape(out: Any) -> Any:
            return [*out[:-1], 0.5]

    def run(compiled: bool) -> Any:
        net = MLP(2, [4, outputs], seed=1)
        optimizer = optim.SGD(net.parameters(), lr=0.3)
        found = fit(lambda x: shape(net(x)), X, y, loss=loss, epochs=4, batch_size=3,
                    validation=(X, y), optimizer=optimizer, progress=False,
                    compiled=compiled)  # fmt: skip
        assert found.metric_name == "accuracy"
        assert 0 < found.metric[-1] <= 1
        return [*found.loss, *found.metric, *found.validation_metric]

    both(run)
    with silent():
        run(True)


# ---- B9, B10: what a model keeps ---------------------------------------------------------------


class Keeping(Module):
    def __init__(self) -> None:
        self.net = MLP(2, [3, 1], seed=0)
        self.out: Any = None

    def __call__(self, x: Any) -> Any:
        self.out = self.net(x)
        return self.out


class KeepingList(Keeping):
    def __call__(self, x: Any) -> Any:
        hidden = self.net.layers[0](x)
        self.out = {"hidden": list(hidden), "pair": (hidden[0], numpy.array(hidden))}
        return self.net.layers[1](hidden)


class RunningMean(Keeping):
    def __call__(self, x: Any) -> Any:
        out = self.net(x)
        if self.training:
            self.out = out.detach() if self.out is None else 0.9 * self.out.detach() + 0.1 * out
        return out - self.out.detach()


class Appending(Keeping):
    def __call__(self, x: Any) -> Any:
        self.out = self.out or []
        self.out.append(self.net(x))
        return self.out[-1]


class CountingCalls(Keeping):
    def __call__(self, x: Any) -> Any:
        self.out = (self.out or 0) + 1
        return self.net(x) * (0.0 if self.out % 7 == 0 else 1.0)


@pytest.mark.parametrize("kind", [Keeping, KeepingList, RunningMean, Appending, CountingCalls])
def test_B9_a_model_that_keeps_something_stays_usable(kind: Any, tmp_path: Path) -> None:
    def run(compiled: bool) -> Any:
        model = kind()
        found = history(model, compiled=compiled)
        assert len(model.parameters()) == 13
        model.zero_grad()
        model.save(tmp_path / "model.npz")
        kind().load(tmp_path / "model.npz")
        copy.deepcopy(model)
        pickle.dumps(model.out)
        repr(model.out)
        return found + numbers(model) if kind is not CountingCalls else found[:0]

    both(run)
    if issubclass(kind, KeepingList) or kind is Keeping:
        with silent():
            run(True)


def test_B9_results_kept_are_of_the_last_example() -> None:
    model = Keeping()
    with silent():
        history(model, seed=None)
    assert model.out.data == model.net(X[-1].tolist()).data


def test_B9_a_list_outside_of_the_model_holds_no_traced_values() -> None:
    net, kept = MLP(2, [1], seed=0), []

    def model(x: Any) -> Any:
        kept.append(net(x))
        return kept[-1]

    with pytest.warns(RuntimeWarning, match="change"):
        history(model, optimizer=optim.SGD(net.parameters(), lr=0.1))
    assert all(math.isfinite(v.data) for v in kept)


def test_B9_a_metric_that_reads_what_the_model_keeps() -> None:
    def run(compiled: bool) -> Any:
        model = Keeping()
        return history(model, metric=lambda o, t: model.out.data, compiled=compiled)

    both(run)


# ---- B9: what changes with each call -----------------------------------------------------------


class Stats:
    total = 0  # of the class

    def __init__(self) -> None:
        self.calls, self.mean = 0, 0.0


class Slim:
    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0


def counted() -> int:
    counted.calls += 1  # type: ignore[attr-defined]
    return int(counted.calls)  # type: ignore[attr-defined]


TOTAL = 0


def in_an_attribute(m: Any, x: Any, out: Any) -> Any:
    m.kept = (m.kept or 0) + 1
    return out * (1 + m.kept % 3)


def in_an_object(m: Any, x: Any, out: Any) -> Any:
    m.kept = m.kept or Stats()
    m.kept.calls += 1
    return out * (1 + m.kept.calls % 3)


def in_slots(m: Any, x: Any, out: Any) -> Any:
    m.kept = m.kept or Slim()
    m.kept.calls += 1
    return out * (1 + m.kept.calls % 3)


def in_a_class(m: Any, x: Any, out: Any) -> Any:
    Stats.total += 1
    return out * (1 + Stats.total % 3)


def in_a_function(m: Any, x: Any, out: Any) -> Any:
    return out * (1 + counted() % 3)


def in_this_file(m: Any, x: Any, out: Any) -> Any:
    global TOTAL
    TOTAL += 1
    return out * (1 + TOTAL % 3)


def in_an_array(m: Any, x: Any, out: Any) -> Any:
    m.kept = numpy.zeros(3, int) if m.kept is None else m.kept
    m.kept[1] += 1
    return out * (1 + int(m.kept[1]) % 3)


def in_a_list(m: Any, x: Any, out: Any) -> Any:
    m.kept = m.kept or []
    m.kept.append(x[0])
    return out * (1 + len(m.kept) % 3)


def in_a_dict(m: Any, x: Any, out: Any) -> Any:
    m.kept = m.kept or {"calls": 0}
    m.kept["calls"] += 1
    return out * (1 + m.kept["calls"] % 3)


def in_a_value(m: Any, x: Any, out: Any) -> Any:
    m.counter.data += 1
    return out * (1 + m.counter.data % 3)


def mean_of_inputs(m: Any, x: Any, out: Any) -> Any:
    m.kept = 0.9 * (m.kept or 0.0) + 0.1 * x[0]
    return out - m.kept


def mean_of_outputs(m: Any, x: Any, out: Any) -> Any:
    m.kept = out.detach() if m.kept is None else (0.9 * m.kept + 0.1 * out).detach()
    return out - m.kept


def mean_in_a_value(m: Any, x: Any, out: Any) -> Any:
    m.counter.data = 0.9 * m.counter.data + 0.1 * out.data
    return out - m.counter.detach()


def dropout_of_all(m: Any, x: Any, out: Any) -> Any:
    return out * 2 if random.random() > 0.5 else out * 0 + numpy.random.random()


def dropout_of_its_own(m: Any, x: Any, out: Any) -> Any:
    m.kept = m.kept or random.Random(3)
    return out * 2 if m.kept.random() > 0.5 else out * 0


def dropout_by_numpy(m: Any, x: Any, out: Any) -> Any:
    m.kept = m.kept or numpy.random.default_rng(3)
    return out * 2 if m.kept.random() > 0.5 else out * 0


def dropout_by_older_numpy(m: Any, x: Any, out: Any) -> Any:
    m.kept = m.kept or numpy.random.RandomState(3)
    return out * 2 if m.kept.rand() > 0.5 else out * 0


def written_to_a_value(m: Any, x: Any, out: Any) -> Any:
    m.counter.data = 0.25 * x[0]
    return out - m.counter.detach()


CHANGING = [
    *(in_an_attribute, in_an_object, in_slots, in_a_class, in_a_function, in_this_file),
    *(in_an_array, in_a_list, in_a_dict, in_a_value),
    *(mean_of_inputs, mean_of_outputs, mean_in_a_value),
    *(dropout_of_all, dropout_of_its_own, dropout_by_numpy, dropout_by_older_numpy),
    written_to_a_value,
]


class Stateful(Module):
    """In training its calls differ from one another."""

    def __init__(self, change: Any, when: str = "") -> None:
        self.change, self.when = change, when
        self.net, self.counter, self.kept = MLP(2, [3, 1], seed=0), Value(0.0).detach(), None

    def __call__(self, x: Any) -> Any:
        out = self.net(x)
        seen = self.training if self.when == "training" else x[0] > 0 or self.when != "sometimes"
        return self.change(self, x, out) if seen else out


@pytest.mark.parametrize("change", CHANGING)
@pytest.mark.parametrize("when", ["always", "training", "sometimes"])
def test_B9_what_changes_with_each_call_is_as_in_a_loop(change: Any, when: str) -> None:
    def run(way: str) -> list[float]:
        global TOTAL
        Stats.total = counted.calls = TOTAL = 0  # type: ignore[attr-defined]
        random.seed(1)
        numpy.random.seed(1)
        model = Stateful(change, when)
        optimizer = optim.Adam(model.net.parameters(), lr=0.05)
        if way == "by hand":
            found = by_hand(model, optimizer)
        else:
            found = history(model, optimizer=optimizer, compiled=way == "compiled")
        totals = [Stats.total, counted.calls, TOTAL]  # type: ignore[attr-defined]
        totals += [random.random(), numpy.random.random(), model.counter.data]
        kept = getattr(model.kept, "calls", model.kept)
        totals += list(numpy.ravel(list(kept.values()) if isinstance(kept, dict) else kept))[:9]
        plain = [float(v) for v in totals if isinstance(v, int | float | numpy.number | Value)]
        return found + numbers(model.net) + plain

    with maybe():
        expected = run("by hand")
        for way in ("compiled", "example by example"):
            found = run(way)
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), way


def test_B9_what_changes_is_named() -> None:
    for change, words in (
        (in_an_attribute, "changes 'kept'"),
        (in_an_object, r"changes 'kept\.calls'"),
        (in_a_class, r"changes 'change\.Stats\.total'"),
        (in_an_array, "changes 'kept'"),
        (dropout_by_numpy, "draws random numbers"),
        (in_a_value, "changes the number or the gradient of a Value"),
    ):
        with pytest.warns(RuntimeWarning, match=f"each call of model, loss or penalty {words}"):
            history(Stateful(change))


def test_B9_metrics_and_losses_are_called_for_the_training_alone() -> None:
    def run(compiled: bool) -> Any:
        pairs: list[Any] = []
        seen: list[float] = []

        def metric(output: Any, target: Any) -> float:
            pairs.append((output.data, target))
            return 0.0

        def loss(output: Any, target: Any) -> Any:
            seen.append(target)
            return losses.mse(output, target)

        found = history(MLP(2, [1], seed=0), metric=metric, loss=loss, compiled=compiled)
        assert len(pairs) == len(seen) == 3 * 8
        return [*found, *numpy.ravel(pairs), *seen]

    both(run)


@pytest.mark.parametrize("error", [KeyboardInterrupt, LookupError])
def test_B9_an_error_of_the_rehearsal_leaves_no_trace(error: type[BaseException]) -> None:
    class Building(Module):
        def __init__(self) -> None:
            self.w, self.parts, self.calls = Value(0.5), list[Value](), 0

        def __call__(self, x: Any) -> Any:
            self.calls += 1
            self.parts.append(Value(2.0))
            self.w.data = 9.0
            (self.w * 2).backward()
            return self.w * x[0]

    def metric(output: Any, target: Any) -> float:
        raise error

    model = Building()
    with pytest.raises(error) if error is LookupError else nullcontext():
        history(model, metric=metric)
    assert (model.w.data, model.w.grad, model.parts, model.calls) == (0.5, 0.0, [], 0)
    assert "training" not in vars(model)


def test_B9_an_interrupt_of_a_trace_leaves_nothing_traced() -> None:
    class Interrupted(Keeping):
        def __call__(self, x: Any) -> Any:
            self.out = self.net(x)
            if not isinstance(x[0], float):  # it is traced
                raise KeyboardInterrupt
            return self.out

    model = Interrupted()
    assert history(model) == []
    assert model.out is None or math.isfinite(model.out.data)
    copy.deepcopy(model)
    assert [vars(Value)[name] for name in ("data", "grad")] == SLOTS


SLOTS = [vars(Value)[name] for name in ("data", "grad")]


def test_B9_what_the_first_call_makes_is_made_once_and_stays_compiled() -> None:
    class Lazy(Module):
        def __init__(self) -> None:
            self.head: Any = None
            self.table: Any = None
            self.made = 0

        def __call__(self, x: Any) -> Any:
            if self.table is None:
                self.made += 1
                self.table, self.head = numpy.array([0.5, 2.0]), [Value(1.0), Value(-1.0)]
            return self.head[0] * x[0] * self.table[0] + self.head[1] * x[1] * self.table[1]

    def run(compiled: bool) -> Any:
        model = Lazy()
        found = history(model, compiled=compiled)
        assert model.made == 1
        return found + numbers(model)

    both(run)
    with silent():
        run(True)


def test_B9_results_kept_under_a_name_that_is_new_stay_compiled() -> None:
    class Naming(Module):
        def __init__(self) -> None:
            self.net, self.saved = MLP(2, [3, 1], seed=0), dict[str, Any]()

        def __call__(self, x: Any) -> Any:
            self.saved["hidden"] = self.net.layers[0](x)
            self.last = self.net.layers[1](self.saved["hidden"])
            return self.last

    model = Naming()
    with silent():
        history(model, seed=None)
    assert model.last.data == model.net(X[-1].tolist()).data
    assert len(model.saved["hidden"]) == 3


def test_B10_results_without_a_graph_are_no_parameters(tmp_path: Path) -> None:
    model = Keeping()
    evaluate(model, X, Y, losses.mse)
    with no_grad():
        model.last = model([1.0, 2.0])  # type: ignore[attr-defined]
        model.deep = [model.last * 2, model.last.exp()]  # type: ignore[attr-defined]
    model.cut = model([1.0, 2.0]).detach()  # type: ignore[attr-defined]
    assert len(model.parameters()) == 13
    model.save(tmp_path / "m.json")
    Keeping().load(tmp_path / "m.json")
    w = Value(1.0)
    model.copy = w.detach()  # type: ignore[attr-defined]  # a new leaf, which can be trained
    assert len(model.parameters()) == 14
    assert pickle.loads(pickle.dumps(model.last)).is_result  # type: ignore[attr-defined]


# ---- B11, B12 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [True, False])
def test_B11_an_error_before_the_first_epoch_is_the_one_that_is_raised(compiled: bool) -> None:
    class Broken(Module):
        def __init__(self) -> None:
            self.w = Value(1.0)

        def __call__(self, x: Any) -> Any:
            if self.training and x[0] < 2:
                raise LookupError("no such thing")
            return self.w * x[0]

        def train(self, mode: bool = True) -> None:
            if mode:
                raise LookupError("no such mode")

    with pytest.raises(LookupError, match="no such"):
        fit(Broken(), X, Y, loss=losses.mse, patience=2, progress=False, compiled=compiled)


Pair = namedtuple("Pair", "mean spread")


@pytest.mark.parametrize(
    "shape",
    [
        numpy.array,
        tuple,
        list,
        lambda out: Pair(*out),
        lambda out: {"mean": out[0], "rest": [out[1], 2.0]},
        lambda out: numpy.array(out).reshape(2, 1),
        lambda out: [(out[0],), [out[1]]],
    ],
    ids=["array", "tuple", "list", "namedtuple", "dict", "matrix", "nested"],
)
def test_B12_a_metric_gets_what_the_model_returned(shape: Any) -> None:
    def run(compiled: bool) -> Any:
        net = MLP(2, [2], seed=0)
        kinds: list[str] = []

        def metric(output: Any, target: Any) -> float:
            kinds.append(f"{type(output)} {getattr(output, 'shape', '')} {len(output)}")
            if isinstance(output, numpy.ndarray):
                return float(output.argmax())
            return 1.0

        def first(output: Any) -> Any:
            if isinstance(output, dict):
                return output["mean"] + output["rest"][0]
            return numpy.sum(numpy.array(list(output)))

        found = history(
            lambda x: shape(net(x)), metric=metric, validation=(X, Y), compiled=compiled,
            loss=lambda o, t: (first(o) - t) ** 2, optimizer=optim.SGD(net.parameters(), lr=0.1),
        )  # fmt: skip
        assert len(set(kinds)) == 1
        return [*found, hash(kinds[0])]

    both(run)
    with silent():
        run(True)


# ---- B14 ---------------------------------------------------------------------------------------


def test_B14_threads_that_write_names_alike_do_not_mix(tmp_path: Path) -> None:
    names = [tmp_path / ("a" * 45 + f"{k}.json") for k in range(4)]

    def write(k: int) -> None:
        for _ in range(20):
            files.write(names[k], bytes([48 + k]) * 10_000)

    threads = [threading.Thread(target=write, args=[k % 4]) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, name in enumerate(names):
        assert name.read_bytes() == bytes([48 + k]) * 10_000
    assert sorted(tmp_path.iterdir()) == sorted(names)


def test_B14_links_are_followed_and_permissions_kept(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "real.npz", tmp_path / "link.npz"
    link.symlink_to(real)
    files.write(link, b"one")  # a link that leads to no file yet
    assert real.read_bytes() == b"one"
    real.chmod(0o600)
    assert files.write(link, b"two") == link
    assert link.is_symlink()
    assert real.read_bytes() == b"two"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    before = os.umask(0o027)
    try:
        files.write(tmp_path / "new", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="cannot write"):
        files.write(tmp_path / "a", b"")


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_B14_an_interrupt_leaves_what_was_there(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(tmp_path / "f", b"old")

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write(tmp_path / "f", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_bytes() == b"old"


# ---- B16 ---------------------------------------------------------------------------------------

MAKERS: list[Callable[[Any], optim.Optimizer]] = [
    lambda p: optim.SGD(p, lr=0.1),
    lambda p: optim.SGD(p, lr=optim.cosine(0.1, 20), momentum=0.9, nesterov=True),
    lambda p: optim.Adam(p, lr=optim.warm_up(optim.step_decay(0.1, 3), 4), weight_decay=0.1),
    lambda p: optim.AdamW(p, lr=0.05, betas=(0.8, 0.99)),
    lambda p: optim.RMSprop(p, lr=0.02, alpha=0.9),
]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("way", ["json", "pickle", "deepcopy"])
@pytest.mark.parametrize("compiled", [True, False])
def test_B16_a_training_goes_on_bit_by_bit(make: Any, way: str, compiled: bool) -> None:
    def train(model: Any, optimizer: Any, epochs: int) -> None:
        history(model, optimizer=optimizer, epochs=epochs, seed=None, compiled=compiled)

    whole = MLP(2, [2, 1], seed=0)
    train(whole, make(whole.parameters()), 6)
    model = MLP(2, [2, 1], seed=0)
    optimizer = make(model.parameters())
    train(model, optimizer, 3)
    if way == "json":
        saved = json.loads(json.dumps([model.state_dict(), optimizer.state_dict()]))
        model = MLP(2, [2, 1], seed=1)
        optimizer = make(model.parameters())
        model.load_state_dict(saved[0])
        optimizer.load_state_dict(saved[1])
    else:
        both_of_them = (model, optimizer)
        if way == "deepcopy":
            model, optimizer = copy.deepcopy(both_of_them)
        else:
            model, optimizer = pickle.loads(pickle.dumps(both_of_them))
    train(model, optimizer, 3)
    assert numbers(model) == numbers(whole)


def test_B16_a_state_that_does_not_fit_changes_nothing() -> None:
    def used(optimizer: Any) -> Any:
        for parameter in optimizer.parameters:
            parameter.grad = 1.0
        optimizer.step()
        return optimizer

    one = used(optim.Adam([Value(1.0), Value(2.0)], lr=0.1))
    before = one.state_dict()
    good = copy.deepcopy(before)
    for wrong, error in (
        ({**good, "mean": [1.0]}, ValueError),
        ({**good, "square": [1.0, math.nan]}, ValueError),
        ({**good, "mean": ["a", "b"]}, TypeError),
        ({**good, "kind": "SGD"}, ValueError),
        ({key: good[key] for key in good if key != "square"}, ValueError),
        ({**good, "lr": -1.0}, ValueError),
        ([good], TypeError),
    ):
        with pytest.raises(error):
            one.load_state_dict(wrong)
        assert one.state_dict() == before
    fresh = optim.Adam([Value(1.0), Value(2.0)], lr=0.5)
    fresh.load_state_dict(good)
    assert fresh.lr == 0.1
    assert fresh.steps == 1
    assert fresh.betas == (0.9, 0.999)


def test_B16_a_parameter_given_twice_counts_once() -> None:
    w, v = Value(1.0), Value(1.0)  # equal numbers are two parameters nevertheless
    optimizer = optim.SGD([w, v, w], lr=0.1)
    assert [p is q for p, q in zip(optimizer.parameters, [w, v], strict=True)] == [True] * 2
    w.grad, v.grad = 3.0, 4.0
    assert optim.clip_grad_norm([w, w, v, v], 10.0) == 5.0
    optimizer.step()
    assert (w.data, v.data) == (0.7, 0.6)


def test_B16_clipping_takes_any_iterable_and_refuses_nothing() -> None:
    w = Value(1.0)
    w.grad = 10.0
    generator = (p for p in [w])
    assert optim.clip_grad_norm(generator, 1.0) == 10.0
    with pytest.raises(ValueError, match="got no parameters; an iterator gives them only once"):
        optim.clip_grad_norm(generator, 1.0)
    for wrong in (w, [1.0], None):
        with pytest.raises(TypeError, match=r"parameters|parameter is a Value"):
            optim.clip_grad_norm(wrong, 1.0)


@pytest.mark.parametrize("ours", [True, False], ids=["flat", "by its own step"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, LookupError])
@pytest.mark.parametrize("compiled", [True, False])
def test_B16_an_interrupt_leaves_no_step_half_taken(ours: bool, error: Any, compiled: bool) -> None:
    def start() -> Any:
        model = MLP(2, [3, 1], seed=0)
        return model, (optim.Adam if ours else Counting)(model.parameters(), lr=0.05)

    def train(model: Any, optimizer: Any, epochs: int, rows: slice = slice(None)) -> None:
        fit(model, X[rows], Y[rows], loss=losses.mse, optimizer=optimizer, epochs=epochs, seed=None,
            batch_size=4, progress=False, compiled=compiled)  # fmt: skip

    whole, of_whole = start()
    train(whole, of_whole, epochs=2)
    model, optimizer = start()

    def direction(theta: Any, gradient: Any) -> Any:
        found = type(optimizer).direction(optimizer, theta, gradient)
        if optimizer.steps == 4:  # and the moments are those after the step
            raise error
        return found

    optimizer.direction = direction
    with pytest.raises(error) if error is LookupError else nullcontext():
        train(model, optimizer, epochs=2)
    del optimizer.direction
    assert optimizer.steps == 3
    train(model, optimizer, epochs=1, rows=slice(4, 8))  # the step that was not taken
    assert numbers(model) == numbers(whole)
    for name in ("steps", "mean", "square"):
        assert optimizer.state_dict()[name] == of_whole.state_dict()[name]


def test_B16_a_wrapped_step_is_no_part_of_the_state() -> None:
    optimizer = optim.Adam([Value(1.0)])
    before = optimizer.state_dict()
    step = optimizer.step
    optimizer.step = lambda: step()  # type: ignore[method-assign]
    assert json.loads(json.dumps(optimizer.state_dict())) == json.loads(json.dumps(before))
    optimizer.load_state_dict(before)


def test_B16_the_learning_rate_can_be_written() -> None:
    w = Value(1.0)
    optimizer = optim.SGD([w], lr=0.1)
    optimizer.lr = 0.5
    assert optimizer.lr == 0.5
    assert optimizer.state_dict()["lr"] == 0.5
    optimizer.lr = optim.step_decay(1.0, every=1)
    w.grad = 2.0
    optimizer.step()
    assert (w.data, optimizer.lr) == (-1.0, 0.1)
    for wrong in (-1.0, "fast", None, math.nan, True):
        with pytest.raises((TypeError, ValueError), match="the learning rate"):
            optimizer.lr = wrong  # type: ignore[assignment]
        assert optimizer.lr == 0.1

    def run(compiled: bool) -> Any:
        model = MLP(2, [3, 1], seed=0)
        halving = optim.SGD(model.parameters(), lr=0.4)

        def metric(output: Any, target: Any) -> float:
            halving.lr = 0.4 / (1 + halving.steps)
            return 0.0

        return history(model, optimizer=halving, metric=metric, compiled=compiled) + numbers(model)

    both(run)


@pytest.mark.parametrize(
    ("rule", "error", "words"),
    [
        (lambda theta: theta.tolist(), TypeError, r"update\(\) of Own returns an array with a nu"),
        (
            lambda theta: theta[:2],
            TypeError,
            r"each of the 3 parameters, but got one of shape \(2,",
        ),
        (lambda theta: None, TypeError, "but got None"),
        (lambda theta: numpy.array([1.0, math.nan, 2.0]), FloatingPointError, "NaN or infinity"),
    ],
)
@pytest.mark.parametrize("compiled", [True, False])
def test_B16_a_rule_of_ones_own_that_gives_no_parameters(
    rule: Any, error: Any, words: str, compiled: bool
) -> None:
    class Own(optim.SGD):
        def update(self, theta: Any, gradient: Any) -> Any:
            self.steps += 1
            return rule(theta)

    model = MLP(2, [1], seed=0)
    before, optimizer = numbers(model), Own(model.parameters())
    with pytest.raises(error, match=words):
        history(model, optimizer=optimizer, compiled=compiled)
    assert (numbers(model), optimizer.steps) == (before, 0)


# ---- B17, B18 ----------------------------------------------------------------------------------


class Dropping(Module):
    def __init__(self) -> None:
        self.net, self.modes = MLP(2, [1], seed=0), set[bool]()

    def __call__(self, x: Any) -> Any:
        self.modes.add(self.training)
        return self.net(x)


def test_B17_evaluate_uses_a_model_and_restores_its_modes() -> None:
    model = Dropping()
    model.net.layers[0].training = False
    evaluate(model, X, Y, losses.mse)
    assert model.modes == {False}
    assert [module.training for module in model.modules()] == [True, True, False, True]
    with pytest.raises(TypeError):
        evaluate(model, X, Y, lambda o, t: "no")
    assert model.training
    model.eval()
    evaluate(model, X, Y, losses.mse)
    assert not model.training


class Plain:
    def __init__(self) -> None:
        self.w, self.v = Value(0.5, label="w"), Value(0.25, label="v")

    def __call__(self, x: Any) -> Any:
        return self.w * x[0] + self.v * x[1] + Value(2.0) * 0.5


class InADeque(Module):
    def __init__(self) -> None:
        self.w, self.rest = Value(0.5), deque([Value(1.0, label="v")])

    def __call__(self, x: Any) -> Any:
        return self.w * x[0] + self.rest[0] * x[1]


class HeadLater(Module):
    def __init__(self) -> None:
        self.w = Value(0.5)
        self.head: Any = None

    def __call__(self, x: Any) -> Any:
        self.head = self.head or Value(1.0, label="v")
        return self.w * x[0] + self.head * x[1]


@pytest.mark.parametrize("kind", [Plain, InADeque, HeadLater])
@pytest.mark.parametrize("compiled", [True, False])
def test_B18_what_nobody_trains_is_said_once(kind: Any, compiled: bool) -> None:
    model: Any = kind()
    with pytest.warns(RuntimeWarning) as caught:
        history(model, optimizer=optim.SGD([model.w], lr=0.1), compiled=compiled)
    assert [str(w.message)[:56] for w in caught] == [
        "fit does not train 1 Value that the loss depends on (v),"
    ]
    assert caught[0].filename == __file__


@pytest.mark.parametrize("compiled", [True, False])
def test_B18_what_is_frozen_on_purpose_is_not_said(compiled: bool) -> None:
    model = MLP(2, [3, 1], seed=0)
    frozen = [p.data for p in model.layers[0].parameters()]
    g = Value(9.81)
    with silent():
        history(model, optimizer=optim.SGD(model.layers[1].parameters()), compiled=compiled)
        history(lambda x: g.detach() * model(x), compiled=compiled,
                optimizer=optim.SGD(model.parameters()))  # fmt: skip
        history(HeadLater(), compiled=compiled)  # the default optimizer has the head
    assert [p.data for p in model.layers[0].parameters()] != frozen


# ---- B19 ---------------------------------------------------------------------------------------


class Sparse:
    def toarray(self) -> Any:
        return X


class Nullable:
    """As a table of pandas with a column of Int64."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return numpy.array([[1, None]] * 8, object)

    def to_numpy(self, dtype: Any = None, na_value: Any = None) -> Any:
        return X


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (Sparse(), TypeError, r"toarray\(\)"),
        (Nullable(), TypeError, r"X\.to_numpy\(float, na_value=numpy\.nan\) makes numbers"),
        (X.astype(numpy.longdouble) * numpy.longdouble("1e400"), ValueError, "NaN or infinity"),
        ([["a", "b"]] * 8, TypeError, "turn categories into numbers"),
        ([[1.0, None]] * 8, TypeError, "as it holds None; turn categories into numbers"),
        ([[Value(1.0), 2.0]] * 8, TypeError, r"as it holds Values; .* numbers: v\.data"),
        (X.astype(object), TypeError, r"numpy\.asarray\(X, float\) makes floats of such numbers"),
        ((row for row in X), TypeError, r"\(generator\); list\(X\) makes one of what gives its r"),
        ({"a": X[:, 0]}, TypeError, r"its dtype is object, as it is .*\(dict\)$"),
        (X * 1j, TypeError, "its dtype is complex128$"),
        (X[:, 0], ValueError, r"of one input for each example make rows by X\.reshape\(-1, 1\)"),
    ],
)
def test_B19_sentences_about_data(given: Any, error: Any, words: str) -> None:
    if numpy.finfo(numpy.longdouble).max > 1e308 or "NaN" not in words:
        for call in (fit, evaluate):
            with pytest.raises(error, match=words):
                call(MLP(2, [1], seed=0), given, Y, loss=losses.mse)


def test_B19_a_metric_that_gives_text() -> None:
    metric: Any = lambda output, target: "0.5"  # noqa: E731
    for call in (fit, evaluate):
        with pytest.raises(TypeError, match=r"the metric of one example is a number, .* '0\.5'"):
            call(MLP(2, [1], seed=0), X, Y, loss=losses.mse, metric=metric)


@pytest.mark.parametrize("y", [Y[:, None], numpy.eye(2)[Y], Y[:, None].astype(float)])
@pytest.mark.parametrize("compiled", [True, False])
def test_B19_labels_in_a_column_or_one_hot(y: Any, compiled: bool) -> None:
    with pytest.raises(TypeError, match=r"number of a class, but got a list; .* y\.ravel\(\), .*"):
        history(MLP(2, [2], seed=0), y, loss=losses.cross_entropy, compiled=compiled)
    with pytest.raises(TypeError, match=r"y\.argmax\(axis=1\)"):
        compile(lambda x, t: losses.cross_entropy([x[0], x[1]], t))(X, y)


def test_B19_a_label_is_said_as_its_number() -> None:
    w = Value(1.0)
    for loss, words in (
        (lambda x, t: losses.cross_entropy([w * x, w], t), "the label is 7"),
        (lambda x, t: losses.hinge(w * x, t), "but got 7"),
        (lambda x, t: losses.binary_cross_entropy(w * x, t), "but got 7"),
    ):
        with pytest.raises(ValueError, match=words):
            compile(loss)([1.0], [7])
    with pytest.raises(TypeError, match=r"is an integer, but got 0\.5"):
        compile(lambda x, t: losses.cross_entropy([w * x, w], t))([1.0], [0.5])


# ---- Plain numbers of a model that change beside the steps --------------------------------------


class Scaled(Module):
    """A model with a number that is no Value."""

    def __init__(self) -> None:
        self.w, self.scale, self.last = Value(1.0), 1.0, 0.0

    def __call__(self, x: Any) -> Any:
        return self.w * x[0] * self.scale


class Remembering(Scaled):
    def __call__(self, x: Any) -> Any:
        out = self.w * x[0] + self.last
        self.last = x[0]
        return out


def by_schedule(model: Scaled, shared: list[float]) -> optim.Optimizer:
    def lr(step: int) -> float:
        model.scale = 1.0 + step
        return 0.01

    return optim.SGD([model.w], lr=lr)


def by_schedule_of_others(model: Scaled, shared: list[float]) -> optim.Optimizer:
    def lr(step: int) -> float:
        shared[0] = 1.0 / (1 + step)
        return 0.01

    return optim.SGD([model.w], lr=lr)


def by_step(model: Scaled, shared: list[float]) -> optim.Optimizer:
    class Doubling(optim.SGD):
        def step(self) -> None:
            super().step()
            model.scale *= 2

    return Doubling([model.w], lr=0.1)


@pytest.mark.parametrize("made", [by_schedule, by_schedule_of_others, by_step])
@pytest.mark.parametrize("kind", [Scaled, Remembering])
@pytest.mark.parametrize("rows", [[[1.0], [1.0]], [[1.0], [-0.5]]])
def test_B20_plain_numbers_that_steps_change_are_those_of_each_step(
    made: Any, kind: Any, rows: Any
) -> None:
    def trained(compiled: bool) -> float:
        model, shared = kind(), [1.0]
        fit(
            model, rows, [2.0, 3.0], loss=losses.mse, epochs=3, batch_size=1, seed=None,
            optimizer=made(model, shared), penalty=lambda: shared[0] * model.w * model.w,
            compiled=compiled, progress=False,
        )  # fmt: skip
        return float(model.w.data)

    def by_hand() -> float:
        model, shared = kind(), [1.0]
        optimizer = made(model, shared)
        for _ in range(3):
            for x, y in zip(rows, [2.0, 3.0], strict=True):
                optimizer.zero_grad()
                (losses.mse(model(x), y) + shared[0] * model.w * model.w).backward()
                optimizer.step()
        return float(model.w.data)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert trained(True) == trained(False) == pytest.approx(by_hand(), rel=1e-12)
    with pytest.warns(RuntimeWarning, match=r"changes '(model\.scale|model\.last|shared)"):
        trained(True)
