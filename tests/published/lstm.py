"""An LSTM that adds up a sequence: gates, a cell that carries, clipped gradients."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

HIDDEN, TIME = 3, 5
GATES = ("input", "forget", "output", "candidate")


def examples() -> tuple[Any, ...]:
    draw = random.Random(5)
    sequences = [[draw.uniform(-1, 1) for _ in range(TIME)] for _ in range(8)]
    return sequences, [sum(sequence) for sequence in sequences]


def parameters(number: Callable[[float], Any]) -> dict[str, Any]:
    draw = random.Random(6)
    made: dict[str, Any] = {
        # from the number seen, from each hidden state, and the bias
        gate: [
            [number(draw.uniform(-0.5, 0.5)) for _ in range(1 + HIDDEN)]
            + [number(1.0 if gate == "forget" else 0.0)]
            for _ in range(HIDDEN)
        ]
        for gate in GATES
    }
    made["out"] = [number(draw.uniform(-0.5, 0.5)) for _ in range(HIDDEN + 1)]
    return made


def affine(row: list[Any], x: list[Any]) -> Any:
    total = row[-1]
    for w, xi in zip(row, x, strict=False):
        total = total + w * xi
    return total


class Cell:
    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        self.h: list[Any] = [0.0] * HIDDEN
        self.c: list[Any] = [0.0] * HIDDEN

    def see(self, x: Any) -> None:
        seen = [x, *self.h]
        i, f, o, g = ([affine(row, seen) for row in self.parameters[gate]] for gate in GATES)
        self.c = [
            fj.sigmoid() * cj + ij.sigmoid() * gj.tanh()
            for fj, cj, ij, gj in zip(f, self.c, i, g, strict=True)
        ]
        self.h = [oj.sigmoid() * cj.tanh() for oj, cj in zip(o, self.c, strict=True)]


def loss(parameters: dict[str, Any], sequence: Any, target: Any) -> Any:
    cell = Cell(parameters)
    for x in sequence:
        cell.see(x)
    return (affine(parameters["out"], cell.h) - target) ** 2


def train(parameters: dict[str, Any], total: Callable[[], Any]) -> list[float]:
    values = [p for gate in GATES for row in parameters[gate] for p in row] + parameters["out"]
    losses = []
    for _ in range(10):
        loss = total()
        for p in values:
            p.grad = 0.0
        loss.backward()
        norm = sum(p.grad**2 for p in values) ** 0.5
        scale = min(1.0, 1.0 / norm)
        for p in values:
            p.data -= 0.3 * scale * p.grad
        losses.append(float(loss))
    return losses
