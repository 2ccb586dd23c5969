"""A bigram language model: which letter follows which, as a table of logits."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

WORDS = ["ada", "bea", "ida", "eda", "abe", "dea"]
LETTERS = sorted({*"".join(WORDS), "."})
PLACE = {letter: i for i, letter in enumerate(LETTERS)}


def one_hot(letter: str) -> list[float]:
    return [float(letter == other) for other in LETTERS]


def examples() -> tuple[Any, ...]:
    pairs = [pair for word in WORDS for pair in zip(f".{word}", f"{word}.", strict=True)]
    return [one_hot(a) for a, _ in pairs], [one_hot(b) for _, b in pairs]


def parameters(number: Callable[[float], Any]) -> list[Any]:
    draw = random.Random(2147483647)
    return [[number(draw.gauss(0, 1)) for _ in LETTERS] for _ in LETTERS]


def softmax(logits: list[Any]) -> list[Any]:
    counts = [logit.exp() for logit in logits]
    total = sum(counts)
    return [count / total for count in counts]


def loss(W: list[Any], before: Any, after: Any) -> Any:
    logits = [sum(x * row[j] for x, row in zip(before, W, strict=True)) for j in range(len(W))]
    probability = sum(p * y for p, y in zip(softmax(logits), after, strict=True))
    penalty = 0.01 * sum(w**2 for row in W for w in row) / len(W) ** 2
    return -probability.log() + penalty


def train(W: list[Any], total: Callable[[], Any]) -> list[float]:
    losses = []
    for _ in range(12):
        for row in W:
            for w in row:
                w.grad = 0.0
        loss = total()
        loss.backward()
        for row in W:
            for w in row:
                w.data += -8.0 * w.grad
        losses.append(float(loss))
    return losses


def sample(W: list[Any], seed: int) -> str:
    """A new word, by the numbers of the table."""
    draw, word, letter = random.Random(seed), "", "."
    while len(word) < 12:
        chances = [p.data for p in softmax(W[PLACE[letter]])]
        letter = draw.choices(LETTERS, weights=chances)[0]
        if letter == ".":
            break
        word += letter
    return word
