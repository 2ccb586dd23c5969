"""fit(): that it learns, that it is repeatable, and that nothing bad happens on the way out."""

from __future__ import annotations

import builtins
from typing import Any

import numpy
import pytest

from microgradlike import Value, evaluate, fit, losses, no_grad, optim
from microgradlike.nn import MLP

X = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
XOR = [-1, 1, 1, -1]


def train(model: MLP, **options: Any) -> Any:
    options = {"loss": losses.hinge, "epochs": 60, "batch_size": 4, "progress": False} | options
    options.setdefault("optimizer", optim.Adam(model.parameters(), lr=0.05))
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
        if shown == 11:
            raise KeyboardInterrupt
        return losses.hinge(output, target)

    history = train(model, loss=impatient, batch_size=2)
    assert history.stopped == "interrupted from the keyboard"
    reference = MLP(2, [4, 1], seed=0)
    train(
        reference, batch_size=2, epochs=2
    )  # 1 rehearsal + 2 epochs of 4 = 9 calls; 10, 11 are lost
    assert model.state_dict() == reference.state_dict()
    with no_grad():
        assert isinstance(model(X[0]), Value)


def test_a_loss_that_becomes_nan_stops_the_training_before_it_harms() -> None:
    model = MLP(2, [4, 1], seed=0)
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        train(model, loss=losses.mse, optimizer=optim.SGD(model.parameters(), lr=1e200))
    assert all(numpy.isfinite(p.data) for p in model.parameters())


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


@pytest.mark.parametrize(
    ("X", "y", "options", "error", "message"),
    [
        (X, [1, 1], {}, ValueError, "one entry for each example, but got 4 and 2"),
        ([], [], {}, ValueError, "but got \\(0,\\)"),
        (numpy.zeros((0, 2)), [], {}, ValueError, "nothing to learn from"),
        ([[1, 2], [3]], [1, 1], {}, TypeError, "X is an array"),
        ([["a", "b"]], [1], {}, TypeError, "X is an array"),
        (None, [1], {}, TypeError, "X is an array"),
        ([[1.0, float("nan")]], [1], {}, ValueError, "X contains NaN"),
        ([[1.0, 2.0]], [float("inf")], {}, ValueError, "y contains NaN or infinity"),
        ([[1.0, 2.0, 3.0]], [1], {}, ValueError, "takes 2 inputs, but got 3"),
        (X, [0, 1, 1, 0], {}, ValueError, "turn 0 and 1 into 2 \\* y - 1"),
        (X, XOR, {"epochs": 0}, ValueError, "epochs is an integer of at least 1"),
        (X, XOR, {"batch_size": 2.5}, ValueError, "batch_size is an integer"),
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
