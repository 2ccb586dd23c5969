"""fit(): that it learns, that it is repeatable, and that nothing bad happens on the way out."""

from __future__ import annotations

import builtins
import functools
import random
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import numpy
import pytest

from microgradlike import Value, detect_anomaly, evaluate, fit, losses, no_grad, optim, sqrt
from microgradlike import compile as compiled_function
from microgradlike.engine import recorder_of
from microgradlike.nn import MLP, Module

X = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
XOR = [-1, 1, 1, -1]


@pytest.fixture(autouse=True, params=[True, False], ids=["compiled", "eager"])
def _both_ways(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test of this file runs with the compiled training and without."""
    monkeypatch.setattr(sys.modules[__name__], "COMPILED", request.param)


COMPILED = True


def train(model: Any, **options: Any) -> Any:
    options = {"loss": losses.hinge, "epochs": 60, "batch_size": 4, "progress": False} | options
    options = {"compiled": COMPILED} | options
    if "optimizer" not in options:
        options["optimizer"] = optim.Adam(model.parameters(), lr=0.05)
    return fit(model, X, XOR, **options)


def test_fit_learns_what_a_line_cannot_separate() -> None:
    model = MLP(2, [8, 1], activation="tanh", seed=0)
    history = train(model, epochs=150)
    assert history.metric[-1] == 1.0
    assert history.metric_name == "accuracy"
    assert history.loss[-1] < 0.1 < history.loss[0]
    assert evaluate(model, X, XOR, losses.hinge)[1] == 1.0
    assert history.stopped == "all epochs done"


def test_labels_of_classes_and_lists_of_targets() -> None:
    model = MLP(2, [8, 2], activation="tanh", seed=0)
    history = fit(
        model, X, [0, 1, 1, 0], loss=losses.cross_entropy, epochs=150, progress=False,
        optimizer=optim.Adam(model.parameters(), lr=0.05),
    )  # fmt: skip
    assert history.metric[-1] == 1.0
    targets = numpy.array([[0.0, 1.0], [1.0, 0.0], [1.0, 2.0], [2.0, 1.0]])
    linear = MLP(2, [2], seed=0)
    history = fit(linear, X, targets, loss=losses.mse, epochs=800, progress=False,
                  optimizer=optim.Adam(linear.parameters(), lr=0.05))  # fmt: skip
    assert history.loss[-1] < history.loss[0]
    assert history.metric == []


def test_the_gradient_of_a_batch_is_that_of_its_mean_loss_and_penalty() -> None:
    model, by_hand = MLP(2, [3, 1], seed=0), MLP(2, [3, 1], seed=0)
    train(
        model,
        epochs=1,
        seed=None,
        optimizer=optim.SGD(model.parameters(), lr=0.1),
        penalty=lambda: 0.1 * losses.l2(model.parameters()),
    )
    errors = [losses.hinge(by_hand(x), y) for x, y in zip(X, XOR, strict=True)]
    (sum(errors, start=Value(0)) / 4 + 0.1 * losses.l2(by_hand.parameters())).backward()
    expected = [p.data - 0.1 * p.grad for p in by_hand.parameters()]
    assert [p.data for p in model.parameters()] == pytest.approx(expected, rel=1e-12)


def test_the_same_seed_gives_the_same_history() -> None:
    runs = [train(MLP(2, [4, 1], seed=0), batch_size=3, epochs=5, seed=s) for s in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0].loss != runs[2].loss


def test_early_stopping_goes_back_to_the_best_parameters() -> None:
    model = MLP(2, [8, 1], activation="tanh", seed=0)
    history = train(
        model,
        epochs=500,
        optimizer=optim.SGD(model.parameters(), lr=1.0),
        validation=([[0.0, 0.1], [0.9, 0.9]], [1, -1]),
        patience=5,
    )
    assert history.stopped == "no better loss in 5 epochs"
    assert len(history.loss) == len(history.validation_loss) < 500
    found, _ = evaluate(model, [[0.0, 0.1], [0.9, 0.9]], [1, -1], losses.hinge)
    assert found == min(history.validation_loss)


def test_an_interrupt_leaves_a_usable_model() -> None:
    model = MLP(2, [4, 1], seed=0)
    shown = 0

    def impatient(output: Any, target: Any) -> Any:
        nonlocal shown
        shown += 1
        if shown == 9:
            raise KeyboardInterrupt
        return losses.hinge(output, target)

    history = train(model, loss=impatient, batch_size=2, compiled=False)
    assert history.stopped == "interrupted from the keyboard"
    reference = MLP(2, [4, 1], seed=0)
    train(reference, batch_size=2, epochs=2, compiled=False)  # 2 epochs of 4; call 9 is lost
    assert model.state_dict() == reference.state_dict()
    with no_grad():
        assert isinstance(model(X[0]), Value)


def test_an_interrupt_between_loss_and_step_leaves_a_usable_model() -> None:
    model = MLP(2, [4, 1], seed=0)
    shown = 0

    def impatient(output: Any, target: Any) -> float:
        nonlocal shown
        shown += 1
        if shown == 9:
            raise KeyboardInterrupt
        return 0.0

    history = train(model, metric=impatient, batch_size=2)
    assert history.stopped == "interrupted from the keyboard"
    reference = MLP(2, [4, 1], seed=0)
    train(reference, batch_size=2, epochs=2)
    assert model.state_dict() == reference.state_dict()


def test_an_interrupt_of_the_rehearsal_changes_nothing() -> None:
    model = MLP(2, [4, 1], seed=0)
    before = model.state_dict()

    def impatient(output: Any, target: Any) -> Any:
        raise KeyboardInterrupt

    history = train(model, loss=impatient)
    assert history.stopped == "interrupted from the keyboard"
    assert history.loss == []
    assert model.state_dict() == before


def test_a_module_knows_whether_it_is_trained() -> None:
    class Watched(Module):
        def __init__(self) -> None:
            self.w = Value(0.5)
            self.modes: list[bool] = []

        def __call__(self, x: list[float]) -> Value:
            self.modes.append(self.training)
            return self.w * x[0]

    model = Watched()
    model.eval()
    train(model, epochs=1, validation=(X, XOR), compiled=False)
    assert model.modes == [True] * 4 + [False] * 4  # trained, validated; no trace of a rehearsal
    assert not model.training


def test_a_model_that_is_another_one_in_training_is_measured_as_it_is_used() -> None:
    class Shy(Module):
        def __init__(self) -> None:
            self.w = Value(0.5)

        def __call__(self, x: list[float]) -> Value:
            return self.w * x[0] * (0.1 if self.training else 1.0)

    model = Shy()
    history = train(model, epochs=3, validation=(X, XOR))
    assert history.validation_loss[-1] == pytest.approx(evaluate(model, X, XOR, losses.hinge)[0])


def test_a_loss_that_becomes_nan_stops_the_training_before_it_harms() -> None:
    model = MLP(2, [4, 1], seed=0)
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        train(model, loss=losses.mse, optimizer=optim.SGD(model.parameters(), lr=1e200))
    assert all(numpy.isfinite(p.data) for p in model.parameters())


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_an_infinite_gradient_stops_the_training_before_it_harms(clip_norm: float | None) -> None:
    model = MLP(1, [1], seed=0)
    before = model.state_dict()
    sgd = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(FloatingPointError, match=r"gradient of the parameter layers\.0\.neurons"):
        fit(model, [[0.0]], [1.0], loss=lambda o, t: sqrt(abs(o)), epochs=1, optimizer=sgd,
            clip_norm=clip_norm, progress=False)  # fmt: skip
    assert model.state_dict() == before
    assert not model.training


def test_a_step_too_far_in_the_last_batch_is_not_taken() -> None:
    model = MLP(2, [4, 1], seed=0)
    before = model.state_dict()
    sgd = optim.SGD(model.parameters(), lr=1e308)
    with pytest.raises(FloatingPointError, match="this step cannot be computed"):
        train(model, loss=lambda o, t: 100 * losses.mse(o, t), epochs=1, optimizer=sgd)
    assert model.state_dict() == before


def test_with_patience_the_best_parameters_are_back_after_an_error_too() -> None:
    model = MLP(2, [4, 1], seed=0)
    best = model.state_dict()
    calls = 0

    def worse(output: Any, target: Any) -> Any:
        nonlocal best, calls
        calls += 1
        if calls == 1 + 2 * 4:  # two epochs of four examples are done
            raise FloatingPointError("enough")
        if calls == 1 + 4:
            best = model.state_dict()
        return losses.hinge(output, target) + calls  # every epoch is worse than the one before

    with pytest.raises(FloatingPointError, match="enough"):
        train(model, loss=worse, patience=5, compiled=False)
    assert model.state_dict() == best
    assert not model.training


def test_clipping_keeps_steps_small() -> None:
    model = MLP(2, [4, 1], seed=0)
    before = numpy.array([p.data for p in model.parameters()])
    sgd = optim.SGD(model.parameters(), lr=1.0)
    train(model, loss=losses.mse, optimizer=sgd, epochs=1, clip_norm=0.01)
    after = numpy.array([p.data for p in model.parameters()])
    assert numpy.linalg.norm(after - before) == pytest.approx(0.01)


def test_the_progress_bar_shows_loss_and_metric(capfd: pytest.CaptureFixture[str]) -> None:
    train(MLP(2, [2, 1], seed=0), epochs=3, progress=True)
    shown = capfd.readouterr().err
    assert "3/3" in shown
    assert "loss=" in shown
    assert "accuracy=" in shown


def test_without_tqdm_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name == "tqdm":
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"microgradlike\[demos\]"):
        train(MLP(2, [2, 1], seed=0), progress=True)


def test_labels_may_be_true_and_false() -> None:
    for loss, outputs in (losses.binary_cross_entropy, 1), (losses.cross_entropy, 2):
        models = [MLP(2, [3, outputs], seed=0) for _ in range(2)]
        for model, labels in zip(models, ([False, True, True, False], [0, 1, 1, 0]), strict=True):
            fit(model, X, labels, loss=loss, epochs=2, progress=False)
        assert models[0].state_dict() == models[1].state_dict()
    assert evaluate(lambda x: Value(1.0), X, numpy.ones(4, bool), losses.binary_cross_entropy)[1]


def test_a_metric_is_whatever_can_be_called_and_gives_a_number() -> None:
    class Right:
        def __call__(self, output: Any, target: Any) -> bool:
            return bool((output > 0) == (target > 0))

    right = [Right(), functools.partial(lambda o, t, edge: (o > edge) == (t > edge), edge=0)]
    histories = [train(MLP(2, [3, 1], seed=0), epochs=3, metric=metric) for metric in right]
    expected = train(MLP(2, [3, 1], seed=0), epochs=3)
    for history in histories:
        assert history.metric_name == "metric"
        assert history.metric == expected.metric
    history = train(MLP(2, [3, 1], seed=0), epochs=3, metric=losses.hinge)  # it gives a Value
    assert history.metric == history.loss


def test_a_loss_is_whatever_can_be_called() -> None:
    @dataclass
    class Scaled:  # a dataclass has no hash
        factor: float

        def __call__(self, output: Any, target: Any) -> Any:
            return self.factor * losses.hinge(output, target)

    assert len(train(MLP(2, [3, 1], seed=0), epochs=3, loss=Scaled(2.0)).loss) == 3


def test_a_loss_that_gives_a_plain_number_later_is_one_sentence() -> None:
    model = MLP(2, [3, 1], seed=0)
    late = iter([losses.hinge] * 5 + [lambda output, target: 0.0])
    with pytest.raises(TypeError, match=r"the loss of one example is a Value, .* got 0\.0"):
        train(model, loss=lambda output, target: next(late)(output, target), compiled=False)
    assert not model.training


@pytest.mark.parametrize(
    ("loss", "metric", "message"),
    [
        (lambda o, t: None, None, "the loss of one example is a number, but got None"),
        (losses.mse, lambda o, t: None, "the metric of one example is a number, but got None"),
        ("mse", None, "loss is a function, .* but got 'mse'"),
    ],
)
def test_evaluate_says_what_gave_no_number(loss: Any, metric: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        evaluate(lambda x: Value(1.0), X, XOR, loss, metric)


def test_a_model_that_is_a_function_needs_an_optimizer() -> None:
    w = Value(0.5)
    with pytest.raises(TypeError, match=r"the model has no parameters\(\)"):
        train(lambda x: w * x[0], optimizer=None)
    train(lambda x: w * x[0], loss=losses.mse, optimizer=optim.SGD([w]), epochs=1)
    assert w.data != 0.5


ROWS = [[float(i), 1.0] for i in range(10)]
SIGNS = [1, -1] * 5


@pytest.mark.parametrize(
    ("X", "y", "options", "error", "message"),
    [
        (X, [1, 1], {}, ValueError, "one entry for each example, but got 4 and 2"),
        ([], [], {}, ValueError, "but got \\(0,\\)"),
        (numpy.zeros((0, 2)), [], {}, ValueError, "nothing to learn from"),
        ([], [], {}, ValueError, "nothing to learn from: X has a row of numbers for each example"),
        ([[1, 2], [3]], [1, 1], {}, TypeError, "X is an array"),
        ([["a", "b"]], [1], {}, TypeError, "X .* its dtype is <U1; turn categories into numbers"),
        (X, ["a", "b", "b", "a"], {}, TypeError, "y .* its dtype is <U1; number the classes"),
        (X, [None] * 4, {}, TypeError, "y .* its dtype is object"),
        (None, [1], {}, TypeError, "X is an array"),
        ([[1.0, float("nan")]], [1], {}, ValueError, "X contains NaN"),
        ([[1.0, 2.0]], [float("inf")], {}, ValueError, "y contains NaN or infinity"),
        ([[1.0, 2.0, 3.0]], [1], {}, ValueError, "takes 2 inputs, but got 3"),
        (X, [0, 1, 1, 0], {}, ValueError, "turn 0 and 1 into 2 \\* y - 1"),
        (X, XOR, {"epochs": 0}, ValueError, "epochs is an integer of at least 1"),
        (X, XOR, {"batch_size": 2.5}, ValueError, "batch_size is an integer"),
        *(
            (X, XOR, {name: count}, ValueError, f"{name} is an integer of at least 1, but got")
            for name in ("epochs", "batch_size", "patience")
            for count in (2.0, float("nan"), float("inf"), [1], "1", True, numpy.ones(2))
        ),
        (X, XOR, {"epochs": None}, ValueError, "epochs is an integer of at least 1, but got None"),
        (X, XOR, {"seed": -1}, ValueError, "seed is an integer of at least 0, but got -1"),
        (X, XOR, {"seed": "a"}, ValueError, "seed is an integer of at least 0"),
        (X, XOR, {"clip_norm": -1.0}, ValueError, "max_norm is a number from 0 up"),
        (X, XOR, {"loss": "hinge"}, TypeError, "loss is a function, .* but got 'hinge'"),
        (X, XOR, {"metric": "accuracy"}, TypeError, "metric is a function"),
        (X, XOR, {"metric": lambda o, t: None}, TypeError, "the metric of one example is a num"),
        (X, XOR, {"penalty": lambda: 0.0}, TypeError, "the penalty is a Value, .* but got 0.0"),
        (X, XOR, {"penalty": 0.1}, TypeError, "penalty is a function"),
        (X, XOR, {"optimizer": optim.Adam}, TypeError, "optimizer is an optimiser such as"),
        (X, XOR, {"optimizer": optim.SGD([Value(1.0)])}, ValueError, "none of the optimizer's"),
        (
            ROWS,
            [*SIGNS[:7], 0, 1, 1],
            {"batch_size": 2},
            ValueError,
            "hinge takes the labels -1 and \\+1",
        ),
        (ROWS, [*SIGNS[:7], [1], 1, 1], {}, TypeError, "y is an array of numbers, but its lists"),
        (X, XOR, {"validation": (ROWS, [*SIGNS[:9], 0])}, ValueError, "hinge takes the labels"),
        (X, XOR, {"validation": ([[1.0]], [1])}, ValueError, "takes 2 inputs, but got 1"),
        (X, XOR, {"validation": X}, TypeError, r"validation is a pair .* got list of length 4"),
        (X, XOR, {"validation": 0.2}, TypeError, r"validation is a pair .* but got float"),
        (X, XOR, {"validation": (X, [0.5, "a"])}, TypeError, "validation y .* its dtype is"),
        (X, XOR, {"validation": X[:2]}, ValueError, "validation X has the shape"),
        (X, XOR, {"loss": lambda o, t: None}, TypeError, "the loss of one example is a Value"),
        (X, XOR, {"loss": lambda o, t: 1.0}, TypeError, "the loss of one example is a Value"),
        (X, XOR, {"validation": (X, [1])}, ValueError, "one entry for each example"),
    ],
)
def test_bad_input_is_found_before_anything_changes(
    X: Any, y: Any, options: dict[str, Any], error: type, message: str
) -> None:
    model = MLP(2, [2, 1], seed=0)
    before = model.state_dict()
    options = {"loss": losses.hinge, "progress": False} | options
    with pytest.raises(error, match=message):
        fit(model, X, y, **options)
    assert model.state_dict() == before
    assert model.training


def test_every_class_label_is_held_against_the_logits_first() -> None:
    model = MLP(2, [3], seed=0)
    before = model.state_dict()
    labels = [0, 1, 2, 0, 1, 2, 0, 3, 1, 2]
    with pytest.raises(ValueError, match="3 logits, but the label is 3"):
        fit(model, ROWS, labels, loss=losses.cross_entropy, batch_size=2, progress=False)
    assert model.state_dict() == before
    assert model.training


# ---- Records -----------------------------------------------------------------------------------


def test_records_are_the_parameters_after_each_epoch() -> None:
    model = MLP(1, [2, 1], activation="tanh", seed=0)
    first = model.state_dict()
    history = fit(
        model, [[0.0], [1.0]], [0.0, 1.0], loss=losses.mse, epochs=7, record=3, progress=False
    )
    assert [record.epoch for record in history.records] == [0, 3, 6]
    assert history.records[0].state == first
    assert history.model is model
    shorter = MLP(1, [2, 1], activation="tanh", seed=0)
    fit(shorter, [[0.0], [1.0]], [0.0, 1.0], loss=losses.mse, epochs=3, progress=False)
    assert history.records[1].state == shorter.state_dict()


def test_records_need_a_module() -> None:
    w = Value(1.0)
    with pytest.raises(TypeError, match="record keeps the parameters of a Module, but got"):
        fit(
            lambda x: w * x[0], [[1.0]], [1.0], loss=losses.mse, record=1, progress=False,
            optimizer=optim.SGD([w], lr=0.1),
        )  # fmt: skip
    assert w.data == 1.0


# ---- Compiled and eager training are the same --------------------------------------------------


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop])
@pytest.mark.parametrize("loss", [losses.hinge, losses.mse, losses.huber])
def test_both_ways_have_the_same_history(optimizer: Any, loss: Any) -> None:
    histories, states = [], []
    for compiled in (True, False):
        model = MLP(2, [5, 4, 1], activation=["relu", "tanh", "linear"], seed=1)
        histories.append(
            train(
                model,
                loss=loss,
                epochs=20,
                batch_size=3,
                clip_norm=0.5,
                validation=(X, XOR),
                optimizer=optimizer(model.parameters(), lr=0.05),
                compiled=compiled,
                penalty=lambda model=model: 1e-3 * losses.l2(model.parameters()),
            )
        )
        states.append(list(model.state_dict().values()))
    ours, theirs = histories
    for what in ("loss", "metric", "validation_loss", "validation_metric"):
        assert getattr(ours, what) == pytest.approx(getattr(theirs, what), rel=1e-9)
    assert states[0] == pytest.approx(states[1], rel=1e-9, abs=1e-9)


def test_parameters_that_are_not_trained_stay_and_unused_ones_decay() -> None:
    model, states = MLP(2, [3, 1], seed=0), []
    for compiled in (True, False):
        model.load_state_dict(MLP(2, [3, 1], seed=0).state_dict())
        unused = Value(2.0)
        first = [*model.layers[0].parameters(), unused]
        train(model, epochs=5, compiled=compiled,
              optimizer=optim.SGD(first[::-1], lr=0.1, weight_decay=0.1))  # fmt: skip
        states.append([*model.state_dict().values(), unused.data])
    assert states[0] == pytest.approx(states[1], rel=1e-12)
    assert states[0][-2] == 0.0 != states[0][-1] < 2.0


def test_what_cannot_be_replayed_is_trained_anyway_and_a_warning_says_why() -> None:
    model = MLP(2, [3, 1], seed=0)

    def peeking(x: list[Any]) -> Value:
        scale = float(model.layers[0].neurons[0].b)
        out: Value = losses.mse(model(x) * scale, 0.0)
        return out

    optimizer = optim.Adam(model.parameters())
    with pytest.warns(RuntimeWarning, match=r"cannot compile this: float\(v\)"):
        assert len(train(peeking, optimizer=optimizer, epochs=2, compiled=True).loss) == 2


def test_random_numbers_are_not_frozen() -> None:
    model = MLP(2, [3, 1], seed=0)

    def noisy(x: list[Any]) -> Any:
        return model(x) + random.gauss(0.0, 1.0)

    with pytest.warns(RuntimeWarning, match="draws random numbers"):
        history = train(noisy, optimizer=optim.SGD(model.parameters(), lr=1e-9), epochs=3,
                        compiled=True)  # fmt: skip
    assert len(set(history.loss)) == 3


def test_a_try_to_compile_draws_no_random_numbers() -> None:
    X, y = [[1.0], [2.0], [3.0]], [1.0, 2.0, 3.0]

    def trained(compiled: bool) -> list[float]:
        random.seed(1)
        numpy.random.seed(1)
        model = MLP(1, [2, 1], seed=0)

        def loss(output: Any, target: Any) -> Any:
            return (output - target) ** 2 * (1 + random.random() + numpy.random.random())

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return fit(model, X, y, loss=loss, epochs=2, progress=False, compiled=compiled).loss

    assert trained(True) == trained(False)


def test_the_number_of_a_parameter_is_not_frozen() -> None:
    class Scaled(Module):
        def __init__(self) -> None:
            self.w = Value(0.5)

        def __call__(self, x: Any) -> Any:
            return self.w * x[0] / self.w.data

    with pytest.warns(RuntimeWarning, match=r"reading \.data of a parameter"):
        fit(Scaled(), [[1.0], [2.0]], [1.0, 3.0], loss=losses.mse, epochs=2, progress=False)


def test_within_detect_anomaly_the_operation_is_named() -> None:
    def loss(output: Any, target: Any) -> Any:
        return (output * 0.0).log() + target

    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"log\(0\.0\) gave -inf"):
        fit(MLP(1, [1], seed=0), [[1.0]], [1.0], loss=loss, epochs=1, progress=False)


def test_a_traced_value_that_somebody_has_kept_does_not_matter() -> None:
    kept: list[Any] = []

    def twice(x: Any) -> Any:
        kept.append(x)
        return x * 2

    compiled_function(twice)([1.0])
    assert any(recorder_of(v) for v in kept)

    def metric(output: Any, target: float) -> float:
        return float(output) * len(kept)

    history = train(MLP(2, [1], seed=0), metric=metric, epochs=1)
    assert len(history.metric) == 1


class Odd:
    """As some objects of C libraries are: its ``__dict__`` is no dict."""

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        return len


def test_an_object_without_a_dict_does_not_matter() -> None:
    odd = Odd()

    def metric(output: Any, target: float) -> float:
        return float(output) if odd else 0.0

    assert len(train(MLP(2, [1], seed=0), metric=metric, epochs=1).metric) == 1
