"""A whole engine in sixty lines, right: what a student hands in, for tests of the judge.

``mutant`` makes a wrong one of it, by putting other text in the place of some.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Value:
    def __init__(self, data: float, parents: tuple[Value, ...] = ()) -> None:
        self.data, self.grad, self.parents = data, 0.0, parents
        self.send: Callable[[], None] = lambda: None

    def __add__(self, other: Any) -> Value:
        x, y = self, wrap(other)
        out = Value(x.data + y.data, (x, y))

        def send() -> None:
            x.grad += out.grad
            y.grad += out.grad

        out.send = send
        return out

    def __mul__(self, other: Any) -> Value:
        x, y = self, wrap(other)
        out = Value(x.data * y.data, (x, y))

        def send() -> None:
            x.grad += y.data * out.grad
            y.grad += x.data * out.grad

        out.send = send
        return out

    def __sub__(self, other: Any) -> Value:
        x, y = self, wrap(other)
        out = Value(x.data - y.data, (x, y))

        def send() -> None:
            x.grad += out.grad
            y.grad += -out.grad

        out.send = send
        return out

    def __truediv__(self, other: Any) -> Value:
        x, y = self, wrap(other)
        out = Value(x.data / y.data, (x, y))

        def send() -> None:
            x.grad += out.grad / y.data
            y.grad += -x.data / y.data**2 * out.grad

        out.send = send
        return out

    def __pow__(self, n: float) -> Value:
        return self.of_one(self.data**n, lambda out: n * self.data ** (n - 1) * out.grad)

    def relu(self) -> Value:
        return self.of_one(max(self.data, 0.0), lambda out: (self.data > 0) * out.grad)

    def tanh(self) -> Value:
        return self.of_one(math.tanh(self.data), lambda out: (1 - out.data**2) * out.grad)

    def of_one(self, data: float, share: Callable[[Value], float]) -> Value:
        out = Value(data, (self,))

        def send() -> None:
            self.grad += share(out)

        out.send = send
        return out

    def __neg__(self) -> Value:
        return self * -1

    def __radd__(self, other: float) -> Value:
        return self + other

    def __rmul__(self, other: float) -> Value:
        return self * other

    def __rsub__(self, other: float) -> Value:
        return wrap(other) - self

    def __rtruediv__(self, other: float) -> Value:
        return wrap(other) / self

    def zero_grad(self) -> None:
        self.grad = 0.0

    def backward(self) -> None:
        order: list[Value] = []
        visited = set()

        def visit(node: Value) -> None:
            if node not in visited:
                visited.add(node)
                for parent in node.parents:
                    visit(parent)
                order.append(node)

        visit(self)
        self.grad = 1.0
        for node in reversed(order):
            node.send()


def wrap(x: Any) -> Value:
    return x if isinstance(x, Value) else Value(x)


# ---- Mutants -----------------------------------------------------------------------------------

SOURCE = Path(__file__).read_text(encoding="utf-8").partition("# ---- Mutants")[0]


def changed(*changes: tuple[str, str]) -> str:
    """The source of an engine with other text in the place of some that it must have."""
    source = SOURCE
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    return source


def mutant(*changes: tuple[str, str]) -> type:
    """The class of that source."""
    names: dict[str, Any] = {}
    exec(changed(*changes), names)
    found: type = names["Value"]
    return found
