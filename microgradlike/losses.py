"""What training makes small: the distance of an output from its target, and penalties on weights.

Each loss takes the output of one example. Where output and target are lists, it is the mean over
their elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy

from microgradlike import functions as f
from microgradlike.engine import Number, Value
from microgradlike.inputs import describe, number, numeral, told, unwrapped


def _elementwise(
    name: str, loss: Callable[[Number, Number], Number], output: Any, target: Any
) -> Any:
    """``loss`` of two numbers, or its mean over two lists of one length."""
    outputs, targets = (list(v) if is_list(v) else [v] for v in (output, target))
    if len(outputs) != len(targets) or not outputs:
        raise ValueError(
            f"{name} takes as many targets as outputs, but got {len(outputs)} and {len(targets)}"
        )
    outputs = [f.operand(o, f"an output of {name}") for o in outputs]
    targets = [f.operand(t, f"a target of {name}") for t in targets]
    errors = [loss(o, t) for o, t in zip(outputs, targets, strict=True)]
    return errors[0] if len(errors) == 1 else f.mean(errors)


def is_list(value: object) -> bool:
    """Whether there are several outputs or targets, not one."""
    if getattr(value, "shape", None) == ():  # one number
        return False
    return isinstance(value, Iterable) and not isinstance(value, str)


def mse(output: object, target: object) -> Any:
    """The squared error (target - output)^2.

    >>> mse(3.0, 5), mse([1.0, 2.0], [1, 4])
    (4.0, 2.0)
    """
    return _elementwise("mse", lambda o, t: f.square(f.sub(t, o)), output, target)


def mae(output: object, target: object) -> Any:
    """The absolute error ``|target - output|``.

    >>> mae(3.0, 5)
    2.0
    """
    return _elementwise("mae", lambda o, t: f.abs(f.sub(t, o)), output, target)


def huber(output: object, target: object, delta: float = 1.0) -> Any:
    """Squared (and halved) up to an error of ``delta``, straight beyond: outliers pull less.

    Source: Huber, "Robust Estimation of a Location Parameter", 1964.

    >>> huber(0.0, 0.5), huber(0.0, 3.0)
    (0.125, 2.5)
    """

    def loss(o: Number, t: Number) -> Number:
        error = f.abs(f.sub(t, o))
        straight = f.mul(delta, f.sub(error, delta / 2))
        chosen: Number = f.where(error <= delta, f.mul(0.5, f.square(error)), straight)
        return chosen

    return _elementwise("huber", loss, output, target)


def hinge(score: object, label: object) -> Any:
    """max(0, 1 - label * score), for labels -1 and +1.

    Raises:
        ValueError: a label is neither -1 nor +1.

    >>> hinge(0.3, 1), hinge(2.0, 1), hinge(0.5, -1)
    (0.7, 0.0, 1.5)
    """

    def loss(s: Number, label: Number) -> Number:
        if label not in (-1, 1):
            raise ValueError(
                f"hinge takes the labels -1 and +1, but got {numeral(label)}; "
                "turn 0 and 1 into 2 * y - 1"
            )
        return f.relu(f.sub(1.0, f.mul(label, s)))

    return _elementwise("hinge", loss, score, label)


def binary_cross_entropy(logit: object, target: object) -> Any:
    """-log of the probability that sigmoid(logit) gives to the target, a number from 0 to 1.

    It is softplus(-logit) for the target 1 and softplus(logit) for the target 0: no logit overflows
    and, unlike in softplus(logit) - target * logit, no digits cancel.

    Raises:
        ValueError: a target lies outside of 0 and 1.

    >>> round(binary_cross_entropy(0.0, 1), 6)
    0.693147
    >>> binary_cross_entropy(40.0, 1) == binary_cross_entropy(-40.0, 0) > 0
    True
    """

    def loss(z: Number, t: Number) -> Number:
        if not 0 <= t <= 1:
            raise ValueError(
                f"binary_cross_entropy takes targets from 0 to 1, but got {numeral(t)}"
            )
        if t in (0, 1) and not isinstance(t, Value):
            return f.softplus(z if t == 0 else f.neg(z))
        return f.add(f.mul(t, f.softplus(f.neg(z))), f.mul(f.sub(1.0, t), f.softplus(z)))

    return _elementwise("binary_cross_entropy", loss, logit, target)


def cross_entropy(logits: Sequence[Any], label: Any) -> Any:
    """-log of the probability that softmax(logits) gives to the class ``label``.

    Args:
        logits: one score for each class.
        label: the number of the right class, from 0; a Value, where a function is compiled.

    Raises:
        TypeError: the label is no integer, or there is one logit only.
        ValueError: there is no class of that number.

    >>> round(cross_entropy([0.0, 0.0], 1), 6)
    0.693147
    """
    if not is_list(logits) or getattr(logits, "ndim", 1) > 1:
        raise TypeError(
            "cross_entropy takes a list with one logit for each class; "
            "for a single logit use binary_cross_entropy"
        )
    label = unwrapped(label, "the label of cross_entropy")
    if is_list(label):
        raise TypeError(
            "the label of cross_entropy is the number of a class, but got a list; of a column of "
            "labels give y.ravel(), of rows with a 1 for the class y.argmax(axis=1)"
        )
    if isinstance(label, Value):
        whole = label <= f.floor(label)
    elif isinstance(label, bool | numpy.bool_):  # which of two classes is True, nobody said
        whole = False
    else:
        whole = number(label, "the label of cross_entropy").is_integer()
    if not whole:
        raise TypeError(
            f"the label of cross_entropy is an integer, but got {describe(told(label))}"
        )
    if not 0 <= label < len(logits):
        raise ValueError(
            f"cross_entropy has {len(logits)} logits, but the label is {numeral(label)}"
        )
    if not isinstance(label, Value):
        return f.sub(f.logsumexp(logits), logits[int(label)])
    right = f.sum([f.where(label == k, logit, 0.0) for k, logit in enumerate(logits)])
    return f.sub(f.logsumexp(logits), right)


def l1(parameters: Iterable[Number]) -> Any:
    """The sum of the parameters' sizes: a penalty that drives small weights to zero.

    >>> l1([3.0, -4.0])
    7.0
    """
    return f.sum([f.abs(p) for p in parameters])


def l2(parameters: Iterable[Number]) -> Any:
    """The sum of the parameters' squares: a penalty that keeps weights small.

    >>> l2([3.0, -4.0])
    25.0
    """
    return f.sum([f.square(p) for p in parameters])
