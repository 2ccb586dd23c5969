"""Nodes that the engine does not have, in the three ways to make one."""

from __future__ import annotations

import math
from typing import Any

from microgradlike import Value, custom


def tanh_by_backward(self: Value) -> Value:
    """As in a lecture: the function that sends the error is hung on the result."""
    x = self.data
    t = (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1)
    out = Value(t, (self,), "tanh")

    def _backward() -> None:
        self.grad += (1 - t**2) * out.grad

    out._backward = _backward
    return out


def product_by_backward(a: Value, b: Value) -> Value:
    """The same with two parents, which may be one and the same."""
    out = Value(a.data * b.data, (a, b), "my*")

    def _backward() -> None:
        a.grad += b.data * out.grad
        b.grad += a.data * out.grad

    out._backward = _backward
    return out


def product_by_slopes(a: Value, b: Value) -> Value:
    """As in later programs: the local gradients are kept beside the children."""
    return Value(a.data * b.data, (a, b), (b.data, a.data))


def softplus_by_slopes(x: Value) -> Value:
    return Value(math.log1p(math.exp(x.data)), (x,), (1 / (1 + math.exp(-x.data)),))


def cube(x: Value) -> Value:
    """The slope is a function of the parent, so it has slopes itself and can be compiled."""
    return custom(x * x * x, (x,), lambda x: 3 * x * x, name="cube")


def wrong_cube(x: Value) -> Value:
    return custom(x * x * x, (x,), lambda x: 2 * x * x, name="wrong_cube")


def bilinear(a: Value, b: Value) -> Value:
    """Two parents, and slopes that are Values."""
    return Value(a * a * b, (a, b), (2 * a * b, a * a))


def straight_through(x: Value) -> Value:
    """A step forward, a straight line backward: not the gradient of its value, on purpose."""
    return custom(x.sign(), (x,), lambda x: Value(1.0), name="step")


def error(w: list[Any], x: Any, y: Any) -> Any:
    """One example of a program that uses them."""
    return (cube(w[0] * x) + bilinear(w[1], x) + straight_through(w[2] - x) - y) ** 2
