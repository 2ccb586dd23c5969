"""A small convolution that tells vertical lines from horizontal ones, with max pooling."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

SIZE, KERNEL, CHANNELS = 6, 3, 2


def examples() -> tuple[Any, ...]:
    draw = random.Random(3)
    images, labels = [], []
    for k in range(8):
        vertical, at = k % 2, draw.randrange(1, SIZE - 1)
        images.append(
            [
                [float((j if vertical else i) == at) + draw.gauss(0, 0.1) for j in range(SIZE)]
                for i in range(SIZE)
            ]
        )
        labels.append(float(vertical))
    return images, labels


def parameters(number: Callable[[float], Any]) -> dict[str, Any]:
    draw = random.Random(4)
    pooled = (SIZE - KERNEL + 1) // 2
    return {
        "kernels": [
            [[number(draw.gauss(0, 0.4)) for _ in range(KERNEL)] for _ in range(KERNEL)]
            for _ in range(CHANNELS)
        ],
        "biases": [number(0.1) for _ in range(CHANNELS)],
        "dense": [number(draw.gauss(0, 0.4)) for _ in range(CHANNELS * pooled**2)],
    }


def convolve(image: Any, kernel: list[Any], bias: Any) -> list[list[Any]]:
    places = range(SIZE - KERNEL + 1)
    return [
        [
            sum(kernel[a][b] * image[i + a][j + b] for a in range(KERNEL) for b in range(KERNEL))
            + bias
            for j in places
        ]
        for i in places
    ]


def pool(plane: list[list[Any]]) -> list[Any]:
    """The largest of each square of four."""
    return [
        plane[i][j].maximum(plane[i][j + 1]).maximum(plane[i + 1][j].maximum(plane[i + 1][j + 1]))
        for i in range(0, len(plane) - 1, 2)
        for j in range(0, len(plane) - 1, 2)
    ]


def loss(p: dict[str, Any], image: Any, label: Any) -> Any:
    features: list[Any] = []
    for kernel, bias in zip(p["kernels"], p["biases"], strict=True):
        plane = [[v.relu() for v in row] for row in convolve(image, kernel, bias)]
        features += pool(plane)
    logit = sum(w * v for w, v in zip(p["dense"], features, strict=True))
    chance = 1 / (1 + (-logit).exp())
    return -(label * chance.log() + (1 - label) * (1 - chance).log())


def train(p: dict[str, Any], total: Callable[[], Any]) -> list[float]:
    values = [w for kernel in p["kernels"] for row in kernel for w in row]
    values += p["biases"] + p["dense"]
    velocity = dict.fromkeys(values, 0.0)
    losses = []
    for _ in range(10):
        loss = total()
        for w in values:
            w.grad = 0.0
        loss.backward()
        for w in values:
            velocity[w] = 0.5 * velocity[w] - 0.2 * w.grad
            w.data += velocity[w]
        losses.append(float(loss))
    return losses
