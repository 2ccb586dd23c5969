"""The backward sweep as data: who sends how much error to whom. The pictures read this."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from microgradlike import ops
from microgradlike.engine import Value, topological_order


class Step(NamedTuple):
    """One operation sends one operand its share of the error."""

    node: Value
    parent: Value
    upstream: float
    """The gradient that has arrived at ``node``."""
    slope: float
    """The local derivative of ``node`` by ``parent``."""
    contribution: float
    """slope x upstream: what ``node`` adds to the gradient of ``parent``."""


def contributions(root: Value) -> Iterator[Step]:
    """Every way that the error takes back from ``root``, in the order of the sweep.

    The upstream gradients are those found in ``.grad``: run ``root.backward()`` first. No gradient
    is changed.

    >>> a, b = Value(2.0), Value(-3.0)
    >>> c = a * b
    >>> c.backward()
    >>> [(step.slope, step.contribution) for step in contributions(c)]
    [(-3.0, -3.0), (2.0, 2.0)]
    """
    for node in reversed(topological_order(root)):
        for parent, slope in slopes(node):
            yield Step(node, parent, node.grad, slope, slope * node.grad)


def slopes(node: Value) -> Iterator[tuple[Value, float]]:
    """The parents of a node, each with the local derivative by it."""
    rule = node._rule
    if rule is None:
        return
    x, y = (*map(float, node.operands), 0.0)[:2]
    for operand, slope in zip(node.operands, rule.operator.slopes, strict=True):
        if isinstance(operand, Value):
            yield operand, float(_on_floats(slope)(x, y, node.data, rule.tie))


@functools.cache
def _on_floats(slope: str) -> Callable[..., Any]:
    return ops.formula(slope, vars(ops))
