"""Optimisers against their textbook recurrences, written out step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from microgradlike import Value
from microgradlike.optim import (
    SGD,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    clip_grad_norm,
    constant,
    cosine,
    step_decay,
    warm_up,
)

GRADIENTS = [0.5, -1.0, 2.0, 0.25, -0.125]


def walk(make: Callable[[list[Value]], Optimizer], start: float = 1.0) -> list[float]:
    """The parameter after each of the gradients above."""
    w = Value(start)
    optimizer = make([w])
    seen = []
    for gradient in GRADIENTS:
        w.grad = gradient
        optimizer.step()
        seen.append(w.data)
    return seen


def recurrence(rule: Callable[[int, float, float], float], start: float = 1.0) -> list[float]:
    w, seen = start, []
    for t, g in enumerate(GRADIENTS, start=1):
        w = rule(t, w, g)
        seen.append(w)
    return seen


def same(found: Sequence[float], expected: Sequence[float]) -> None:
    assert found == pytest.approx(expected, rel=1e-14)


def test_plain_sgd_with_weight_decay() -> None:
    same(walk(lambda p: SGD(p, lr=0.1)), recurrence(lambda t, w, g: w - 0.1 * g))
    decayed = recurrence(lambda t, w, g: w - 0.1 * (g + 0.2 * w))
    same(walk(lambda p: SGD(p, lr=0.1, weight_decay=0.2)), decayed)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum(nesterov: bool) -> None:
    v = 0.0

    def rule(t: int, w: float, g: float) -> float:
        nonlocal v
        v = 0.9 * v + g
        return w - 0.1 * (g + 0.9 * v if nesterov else v)

    same(walk(lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=nesterov)), recurrence(rule))


@pytest.mark.parametrize("kind", [Adam, AdamW])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_and_adamw(kind: type[Adam], decay: float) -> None:
    m = s = 0.0

    def rule(t: int, w: float, g: float) -> float:
        nonlocal m, s
        apart = decay * w if kind is AdamW else 0.0
        g = g if kind is AdamW else g + decay * w
        m, s = 0.9 * m + 0.1 * g, 0.99 * s + 0.01 * g * g
        direction = (m / (1 - 0.9**t)) / (math.sqrt(s / (1 - 0.99**t)) + 1e-8)
        return w - 0.1 * (direction + apart)

    found = walk(lambda p: kind(p, lr=0.1, betas=(0.9, 0.99), weight_decay=decay))
    same(found, recurrence(rule))


def test_rmsprop() -> None:
    s = 0.0

    def rule(t: int, w: float, g: float) -> float:
        nonlocal s
        s = 0.9 * s + 0.1 * g * g
        return w - 0.1 * g / (math.sqrt(s) + 1e-8)

    same(walk(lambda p: RMSprop(p, lr=0.1, alpha=0.9)), recurrence(rule))


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, RMSprop])
def test_every_optimiser_finds_the_bottom_of_a_bowl(kind: Any) -> None:
    a, b = Value(3.0), Value(-2.0)
    optimizer = kind([a, b], lr=cosine(0.1, steps=500))
    for _ in range(500):
        optimizer.zero_grad()
        ((a - 1) ** 2 + 3 * (b + 0.5) ** 2).backward()
        optimizer.step()
    assert [a.data, b.data] == pytest.approx([1.0, -0.5], abs=1e-2)
    assert type(a.data) is float


def test_schedules_are_read_at_every_step() -> None:
    assert walk(lambda p: SGD(p, lr=step_decay(1.0, every=2, factor=0.5))) == pytest.approx(
        [0.5, 1.5, 0.5, 0.375, 0.375 + 0.03125]
    )
    optimizer = SGD([Value(1.0)], lr=warm_up(cosine(1.0, steps=10), steps=2))
    rates = []
    for _ in range(13):
        rates.append(optimizer.lr)
        optimizer.step()
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[7] == pytest.approx(0.5)
    assert rates[12] == 0.0
    assert constant(0.3)(99) == 0.3


def test_clip_grad_norm_shrinks_large_gradients_only() -> None:
    a, b = Value(0.0), Value(0.0)
    a.grad, b.grad = 3.0, 4.0
    assert clip_grad_norm([a, b], 10.0) == 5.0
    assert (a.grad, b.grad) == (3.0, 4.0)
    assert clip_grad_norm([a, b], 2.5) == 5.0
    assert (a.grad, b.grad) == (1.5, 2.0)


def test_an_interrupt_leaves_no_step_half_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = [Value(float(i)) for i in range(10)]
    for p in parameters:
        p.grad = 1.0
    optimizer = SGD(parameters, lr=1.0)
    assign = optimizer._assign
    calls = []

    def interrupted(data: list[float]) -> None:
        calls.append(data)
        if len(calls) == 1:
            parameters[0].data = data[0]
            raise KeyboardInterrupt
        assign(data)

    monkeypatch.setattr(optimizer, "_assign", interrupted)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    assert [p.data for p in parameters] == [i - 1.0 for i in range(10)]


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_gradient_that_is_not_finite_changes_nothing(bad: float) -> None:
    a, b = Value(1.0), Value(2.0, label="b")
    optimizer = SGD([a, b], lr=0.1, momentum=0.9)
    a.grad, b.grad = 1.0, bad
    for call in optimizer.step, lambda: clip_grad_norm([a, b], 1.0):
        with pytest.raises(FloatingPointError, match="gradient of the parameter b is"):
            call()
    assert (a.data, b.data, a.grad) == (1.0, 2.0, 1.0)
    assert (optimizer.steps, optimizer.velocity) == (0, None)


@pytest.mark.parametrize(
    ("make", "gradient"),
    [(lambda p: SGD(p, lr=1e200), 1e200), (Adam, 1e200), (RMSprop, 1e200)],
)
def test_a_step_that_no_float_can_hold_changes_nothing(make: Any, gradient: float) -> None:
    w = Value(1.0)
    optimizer = make([w])
    before = vars(optimizer).copy()
    w.grad = gradient
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        optimizer.step()
    assert w.data == 1.0
    assert vars(optimizer) == before


def test_a_norm_that_no_float_can_hold_is_refused() -> None:
    a, b = Value(0.0), Value(0.0)
    a.grad = b.grad = 1.5e308
    with pytest.raises(FloatingPointError, match="norm of the gradient"):
        clip_grad_norm([a, b], 1.0)
    assert a.grad == b.grad == 1.5e308
    a.grad = b.grad = 3.0
    assert clip_grad_norm([a, b], math.inf) == math.hypot(3.0, 3.0)  # only measures


@pytest.mark.parametrize(
    ("rate", "error", "message"),
    [
        (math.nan, ValueError, "schedule gives at step 0 is a number from 0 up.* got nan"),
        (-0.1, ValueError, "got -0.1"),
        (math.inf, ValueError, "got inf"),
        (None, TypeError, "takes a real number"),
    ],
)
def test_a_schedule_that_gives_no_rate_changes_nothing(
    rate: Any, error: type, message: str
) -> None:
    w = Value(1.0)
    w.grad = 1.0
    optimizer = SGD([w], lr=lambda step: rate)
    with pytest.raises(error, match=message):
        optimizer.step()
    assert (w.data, optimizer.steps) == (1.0, 0)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SGD([]), ValueError, "needs parameters"),
        (lambda: SGD([1.0]), TypeError, "a parameter is a Value"),
        (lambda: SGD([Value(1)], lr=-1), ValueError, "the learning rate is a number from 0 up"),
        (lambda: SGD([Value(1)], lr=math.nan), ValueError, "the learning rate"),
        (lambda: SGD([Value(1)], lr="fast"), TypeError, "takes a real number"),
        (lambda: SGD([Value(1)], momentum=2), ValueError, "momentum is a number from 0 to below 1"),
        (lambda: SGD([Value(1)], momentum=1), ValueError, "to below 1, but got 1.0"),
        (lambda: SGD([Value(1)], lr=math.inf), ValueError, "the learning rate .* finite"),
        (lambda: SGD(Value(1)), TypeError, "such as model.parameters\\(\\)"),
        (lambda: Adam([Value(1)], betas=(1, 1)), ValueError, "betas\\[0\\]"),
        (lambda: Adam([Value(1)], betas=0.9), TypeError, "betas is a pair"),
        (lambda: Adam([Value(1)], eps=0), ValueError, "eps is a number above 0"),
        (lambda: RMSprop([Value(1)], eps=0), ValueError, "eps is a number above 0"),
        (lambda: RMSprop([Value(1)], alpha=1), ValueError, "alpha is a number from 0 to below 1"),
        (lambda: SGD([Value(1)], nesterov=True), ValueError, "give a momentum above 0"),
        (lambda: Adam([Value(1)], betas=(0.9, 1.5)), ValueError, "betas\\[1\\]"),
        (lambda: Optimizer([Value(1)], 0.1).step(), TypeError, "use SGD"),
        (lambda: cosine(0.1, steps=math.inf), ValueError, "steps is a number from 1 up"),
        (lambda: cosine(0.1, steps=9, floor=-1), ValueError, "floor is a number from 0 up"),
        (lambda: step_decay(0.1, 9, factor="half"), TypeError, "factor takes a real number"),
        (lambda: cosine(0.1, steps=0), ValueError, "steps is a number from 1 up"),
        (lambda: clip_grad_norm([Value(1)], -1), ValueError, "max_norm"),
        (lambda: clip_grad_norm([Value(1)], math.nan), ValueError, "max_norm"),
    ],
)
def test_bad_input_gets_one_clear_sentence(make: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make()
