"""A policy gradient on a toy: walk along a corridor, and be paid at its right end."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from microgradlike import Value, no_grad

PLACES, ACTIONS, PATIENCE = 4, (-1, 1), 8


def parameters(number: Callable[[float], Any]) -> list[Any]:
    draw = random.Random(8)
    return [[number(draw.gauss(0, 0.1)) for _ in range(PLACES)] for _ in ACTIONS]


def policy(theta: list[Any], state: Any) -> list[Any]:
    """The probability of each action."""
    logits = [sum(w * s for w, s in zip(row, state, strict=True)) for row in theta]
    exps = [logit.exp() for logit in logits]
    return [e / sum(exps) for e in exps]


def episode(theta: list[Any], draw: random.Random) -> list[tuple[Any, ...]]:
    """What was seen and done, and the return from there on."""
    place = 0
    steps: list[Any] = []
    while place < PLACES - 1 and len(steps) < PATIENCE:
        state = [float(place == other) for other in range(PLACES)]
        with no_grad():
            chances = [float(p) for p in policy(theta, state)]
        action = draw.choices(range(len(ACTIONS)), weights=chances)[0]
        steps.append((state, [float(action == other) for other in range(len(ACTIONS))]))
        place = max(0, place + ACTIONS[action])
    paid = 1.0 if place == PLACES - 1 else 0.0
    return [
        (state, action, paid * 0.9 ** (len(steps) - k)) for k, (state, action) in enumerate(steps)
    ]


def examples() -> tuple[Any, ...]:
    draw, theta = random.Random(9), parameters(Value)
    steps = [step for _ in range(4) for step in episode(theta, draw)]
    return tuple(map(list, zip(*steps, strict=True)))


def loss(theta: list[Any], state: Any, action: Any, paid: Any) -> Any:
    chance = sum(p * a for p, a in zip(policy(theta, state), action, strict=True))
    return -chance.log() * paid


def train(theta: list[Any], total: Callable[[], Any]) -> list[float]:
    losses = []
    for _ in range(5):
        loss = total()
        for row in theta:
            for w in row:
                w.grad = 0.0
        loss.backward()
        for row in theta:
            for w in row:
                w.data -= 0.5 * w.grad
        losses.append(float(loss))
    return losses


def play(theta: list[Any], episodes: int) -> list[int]:
    """Learn on fresh episodes; how many steps each of them took."""
    draw, lengths = random.Random(10), []
    for _ in range(episodes):
        steps = episode(theta, draw)
        total = sum(loss(theta, *step) for step in steps)
        total.backward()
        for row in theta:
            for w in row:
                w.data -= 0.5 * w.grad
                w.grad = 0.0
        lengths.append(len(steps))
    return lengths
