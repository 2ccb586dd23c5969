"""A multi-layer perceptron that sees three letters and says the next: embeddings, then layers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.published.bigram import LETTERS, WORDS, one_hot

CONTEXT, EMBEDDING, HIDDEN = 3, 2, 6


def examples() -> tuple[Any, ...]:
    contexts, targets = [], []
    for word in WORDS[:4]:
        context = "." * CONTEXT
        for letter in f"{word}.":
            contexts.append([one_hot(c) for c in context])
            targets.append(one_hot(letter))
            context = context[1:] + letter
    return contexts, targets


def parameters(number: Callable[[float], Any]) -> dict[str, Any]:
    draw = random.Random(42)

    def matrix(rows: int, columns: int, scale: float) -> list[Any]:
        return [[number(draw.gauss(0, scale)) for _ in range(columns)] for _ in range(rows)]

    return {
        "C": matrix(len(LETTERS), EMBEDDING, 1.0),
        "W1": matrix(HIDDEN, CONTEXT * EMBEDDING, 0.5),
        "b1": matrix(1, HIDDEN, 0.01)[0],
        "W2": matrix(len(LETTERS), HIDDEN, 0.1),
        "b2": matrix(1, len(LETTERS), 0.0)[0],
    }


def loss(p: dict[str, Any], context: Any, target: Any) -> Any:
    emb = []
    for hot in context:
        for k in range(EMBEDDING):
            emb.append(sum(x * row[k] for x, row in zip(hot, p["C"], strict=True)))
    h = [
        (sum(w * e for w, e in zip(row, emb, strict=True)) + b).tanh()
        for row, b in zip(p["W1"], p["b1"], strict=True)
    ]
    logits = [
        sum(w * hi for w, hi in zip(row, h, strict=True)) + b
        for row, b in zip(p["W2"], p["b2"], strict=True)
    ]
    normaliser = sum(logit.exp() for logit in logits).log()
    return normaliser - sum(logit * y for logit, y in zip(logits, target, strict=True))


def train(p: dict[str, Any], total: Callable[[], Any]) -> list[float]:
    rows = [*p["C"], *p["W1"], p["b1"], *p["W2"], p["b2"]]
    values = [v for row in rows for v in row]
    losses = []
    for step in range(10):
        loss = total()
        for v in values:
            v.grad = 0.0
        loss.backward()
        lr = 0.5 if step < 7 else 0.05
        for v in values:
            v.data += -lr * v.grad
        losses.append(float(loss))
    return losses
