"""Losses: hand values, hand gradients, extreme logits, bad targets."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
from mpmath import mp, mpf

from microgradlike import Value, check_gradients, losses


@pytest.mark.parametrize(
    ("loss", "output", "target", "value", "slope"),
    [
        (losses.mse, 3.0, 5, 4.0, -4.0),
        (losses.mae, 3.0, 5, 2.0, -1.0),
        (losses.mae, 5.0, 5, 0.0, 0.0),
        (losses.huber, 0.0, 0.5, 0.125, -0.5),
        (losses.huber, 0.0, 3.0, 2.5, -1.0),
        (losses.huber, 3.0, 0.0, 2.5, 1.0),
        (losses.hinge, 0.3, 1, 0.7, -1.0),
        (losses.hinge, 1.5, 1, 0.0, 0.0),
        (losses.hinge, 0.5, -1, 1.5, 1.0),
        (losses.binary_cross_entropy, 0.0, 1, math.log(2), -0.5),
        (losses.binary_cross_entropy, 1000.0, 0, 1000.0, 1.0),
        (losses.binary_cross_entropy, -1000.0, 0, 0.0, 0.0),
    ],
)
def test_values_and_slopes_by_hand(
    loss: Any, output: float, target: float, value: float, slope: float
) -> None:
    out = Value(output)
    error = loss(out, target)
    error.backward()
    assert error.data == pytest.approx(value, rel=1e-15)
    assert out.grad == pytest.approx(slope, rel=1e-15)
    assert loss(output, target) == error.data


@pytest.mark.parametrize("target", [0, 1, 0.25, 0.5, 0.999])
@pytest.mark.parametrize("logit", [-700.0, -40.0, -3.0, -1e-9, 0.0, 0.3, 5.0, 40.0, 700.0])
def test_binary_cross_entropy_keeps_its_digits(logit: float, target: float) -> None:
    out = Value(logit)
    error = losses.binary_cross_entropy(out, target)
    error.backward()
    with mp.workdps(400):
        right = 1 / (1 + mp.exp(-mpf(logit)))
        wrong = 1 / (1 + mp.exp(mpf(logit)))
        value = -target * mp.log(right) - (1 - mpf(target)) * mp.log(wrong)
        slope = (1 - mpf(target)) * right - target * wrong
    assert error.data == pytest.approx(float(value), rel=1e-14, abs=0)
    # Between the labels two slopes of opposite sign meet, and the rounding of each remains.
    assert out.grad == pytest.approx(float(slope), rel=1e-14, abs=0 if target in (0, 1) else 1e-16)
    assert losses.binary_cross_entropy(logit, target) == error.data


def test_a_target_that_is_a_value_gets_a_slope() -> None:
    target = Value(1.0)
    losses.binary_cross_entropy(Value(2.0), target).backward()
    assert target.grad == pytest.approx(-2.0, rel=1e-14)


def test_cross_entropy_slopes_are_softmax_minus_one_hot() -> None:
    logits = [Value(v) for v in (1.0, -2.0, 0.5)]
    loss = losses.cross_entropy(logits, 2)
    loss.backward()
    weights = numpy.exp([1.0, -2.0, 0.5]) / numpy.exp([1.0, -2.0, 0.5]).sum()
    assert loss.data == pytest.approx(-math.log(weights[2]), rel=1e-14)
    assert [z.grad for z in logits] == pytest.approx(weights - [0, 0, 1], rel=1e-13)


def test_cross_entropy_of_extreme_logits_is_finite() -> None:
    logits = [Value(1000.0), Value(-1000.0)]
    loss = losses.cross_entropy(logits, 1)
    loss.backward()
    assert loss.data == 2000.0
    assert [z.grad for z in logits] == [1.0, -1.0]


def test_lists_give_the_mean() -> None:
    assert losses.mse([1.0, 2.0], [1, 4]) == 2.0
    assert losses.hinge([0.0, 2.0], numpy.array([1, 1])) == 0.5
    assert check_gradients(lambda o: losses.huber(o, [0.2, -3.0, 1.0]), [1.0, 2.0, 0.7])


def test_penalties() -> None:
    weights = [Value(3.0), Value(-4.0)]
    (losses.l2(weights) + losses.l1(weights)).backward()
    assert [w.grad for w in weights] == [6.0 + 1.0, -8.0 - 1.0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: losses.mse([1.0], [1.0, 2.0]), ValueError, "as many targets as outputs"),
        (lambda: losses.mse(Value(1.0), "a"), TypeError, "takes a real number"),
        (lambda: losses.mse([], []), ValueError, "as many targets as outputs"),
        (lambda: losses.hinge(Value(1.0), 0), ValueError, "labels -1 and \\+1, but got 0"),
        (lambda: losses.binary_cross_entropy(Value(1.0), 2), ValueError, "targets from 0 to 1"),
        (lambda: losses.cross_entropy(Value(1.0), 0), TypeError, "use binary_cross_entropy"),
        (lambda: losses.cross_entropy([1.0, 2.0], 2), ValueError, "2 logits, but the label is 2"),
        (lambda: losses.cross_entropy([1.0, 2.0], 0.5), TypeError, "is an integer"),
        (lambda: losses.cross_entropy([1.0, 2.0], True), TypeError, "is an integer"),
        (lambda: losses.cross_entropy([1.0, 2.0], math.inf), TypeError, "is an integer"),
        (lambda: losses.cross_entropy([1.0, 2.0], math.nan), TypeError, "is an integer"),
        (lambda: losses.cross_entropy([1.0, 2.0], "a"), TypeError, "takes a real number"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
