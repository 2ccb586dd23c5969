"""Two moons told apart by the max-margin loss of a support vector machine, with a penalty."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

HIDDEN = 6
ALPHA = 1e-4


def examples() -> tuple[Any, ...]:
    draw = random.Random(1337)
    points, labels = [], []
    for i in range(24):
        angle, upper = math.pi * draw.random(), i % 2
        x, y = math.cos(angle), math.sin(angle)
        point = (x, y) if upper else (1 - x, 0.5 - y)
        points.append([coordinate + draw.gauss(0, 0.1) for coordinate in point])
        labels.append(1.0 if upper else -1.0)
    return points, labels


def parameters(number: Callable[[float], Any]) -> list[Any]:
    draw = random.Random(7)

    def layer(nin: int, nout: int) -> list[Any]:
        return [
            [[number(draw.uniform(-1, 1)) for _ in range(nin)], number(0.0)] for _ in range(nout)
        ]

    return [layer(2, HIDDEN), layer(HIDDEN, HIDDEN), layer(HIDDEN, 1)]


def every(layers: list[Any]) -> list[Any]:
    return [p for layer in layers for weights, bias in layer for p in [*weights, bias]]


def score(layers: list[Any], x: Any) -> Any:
    for layer in layers:
        sums = [sum(wi * xi for wi, xi in zip(w, x, strict=True)) + b for w, b in layer]
        x = [s.relu() for s in sums]
    return sums[0]


def loss(layers: list[Any], x: Any, y: Any) -> Any:
    data_loss = (1 + -y * score(layers, x)).relu()
    reg_loss = ALPHA * sum(p * p for p in every(layers))
    return data_loss + reg_loss


def train(layers: list[Any], total: Callable[[], Any], steps: int = 15) -> list[float]:
    losses = []
    for k in range(steps):
        loss = total()
        for p in every(layers):
            p.grad = 0
        loss.backward()
        learning_rate = 1.0 - 0.9 * k / steps
        for p in every(layers):
            p.data -= learning_rate * p.grad
        losses.append(float(loss))
    return losses
