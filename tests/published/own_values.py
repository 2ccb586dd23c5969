"""Values with an operation of their own, attributes on parameters, and a cache of weak ones."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

from microgradlike import Value


class Angle(Value):
    """A Value with degrees and a versine."""

    def versine(self) -> Angle:
        out = Angle(1 - math.cos(self.data), (self,), "versine")

        def _backward() -> None:
            self.grad += math.sin(self.data) * out.grad

        out._backward = _backward
        return out

    def haversine(self) -> Any:
        """From operations that are there: it has derivatives of any order, and compiles."""
        return (1 - self.cos()) / 2

    @property
    def in_degrees(self) -> float:
        return math.degrees(self.data)


class Adding(Value):
    """Writes addition itself, as a first lesson does, and leaves the rest to the engine."""

    def __add__(self, other: Any) -> Adding:
        other = other if isinstance(other, Value) else Value(other)
        out = Adding(self.data + other.data, (self, other), "plus")

        def _backward() -> None:
            self.grad += out.grad
            other.grad += out.grad

        out._backward = _backward
        return out


def cubed(self: Any) -> Any:
    """A method that programs hang on the class: ``Value.cubed = cubed``."""
    return self * self * self


class Registry:
    """Knows each parameter as long as somebody else does, and what it is called."""

    def __init__(self) -> None:
        self.known: weakref.WeakSet[Any] = weakref.WeakSet()

    def make(self, number: float, name: str) -> Any:
        parameter: Any = Value(number)
        parameter.name = name
        parameter.history = [number]
        self.known.add(parameter)
        return parameter

    def step(self, lr: float) -> None:
        for parameter in self.known:
            parameter.data -= lr * parameter.grad
            parameter.history.append(parameter.data)
            parameter.grad = 0.0


def parameters(number: Callable[[float], Any]) -> list[Any]:
    return [number(0.3), number(-0.4)]


def loss(angles: list[Any], x: Any, y: Any) -> Any:
    a, b = angles
    predicted = (1 - (a * x).cos()) / 2 + (b + x).sin()
    return (predicted - y) ** 2


def examples() -> tuple[Any, ...]:
    xs = [0.1 * k for k in range(1, 8)]
    return xs, [math.sin(x) for x in xs]


def train(angles: list[Any], total: Callable[[], Any]) -> list[float]:
    for angle in angles:
        angle.step, angle.before = 0.1, 0.0
    losses = []
    for _ in range(10):
        for angle in angles:
            angle.grad = 0.0
        loss = total()
        loss.backward()
        for angle in angles:
            # A step of its own for each: larger as long as the sign stays.
            angle.step *= 1.2 if angle.grad * angle.before > 0 else 0.5
            angle.data -= math.copysign(angle.step, angle.grad)
            angle.before = angle.grad
        losses.append(float(loss))
    return losses
