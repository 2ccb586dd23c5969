"""A GPT in plain scalars: one layer that reads a word, letter by letter, and guesses the next one.

Its numbers may be those of any engine that has Python's operators, and the methods ``exp``, ``log``
and ``relu``.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from typing import Any

from microgradlike import Value, maximum, take

EMBEDDING, HEADS, CONTEXT = 16, 4, 16
HEAD = EMBEDDING // HEADS
LETTERS = "abcdefghijklmnopqrstuvwxyz"
#: Where a word begins, and where it ends.
EDGE = len(LETTERS)

Model = dict[str, list[list[Any]]]


def ids(word: str) -> list[int]:
    """The numbers of a word's letters, with an edge at each side."""
    return [EDGE, *(LETTERS.index(letter) for letter in word), EDGE]


def model(seed: int, number: Callable[[float], Any] = Value) -> Model:
    """Small random weights: 4,192 numbers in eight matrices."""
    draw = random.Random(seed)

    def matrix(rows: int, columns: int) -> list[list[Any]]:
        return [[number(draw.gauss(0, 0.08)) for _ in range(columns)] for _ in range(rows)]

    return {
        "letters": matrix(EDGE + 1, EMBEDDING),
        "places": matrix(CONTEXT, EMBEDDING),
        "query": matrix(EMBEDDING, EMBEDDING),
        "key": matrix(EMBEDDING, EMBEDDING),
        "value": matrix(EMBEDDING, EMBEDDING),
        "mix": matrix(EMBEDDING, EMBEDDING),
        "widen": matrix(4 * EMBEDDING, EMBEDDING),
        "narrow": matrix(EMBEDDING, 4 * EMBEDDING),
        "guess": matrix(EDGE + 1, EMBEDDING),
    }


def parameters(model: Model) -> list[Any]:
    """All numbers of a model."""
    return [number for matrix in model.values() for row in matrix for number in row]


def largest(numbers: Sequence[Any]) -> Any:
    """The largest of some numbers."""
    if isinstance(numbers[0], Value):
        return functools.reduce(maximum, numbers)
    return max(numbers)


# ---- The network -------------------------------------------------------------------------------


def linear(x: list[Any], weights: list[list[Any]]) -> list[Any]:
    return [sum(w * v for w, v in zip(row, x, strict=True)) for row in weights]


def rmsnorm(x: list[Any]) -> list[Any]:
    scale = (sum(v * v for v in x) / len(x) + 1e-5) ** -0.5
    return [v * scale for v in x]


def softmax(logits: list[Any]) -> list[Any]:
    top = largest(logits)
    powers = [(v - top).exp() for v in logits]
    total = sum(powers)
    return [power / total for power in powers]


def logits(
    model: Model, letter: Any, place: int, keys: list[list[Any]], values: list[list[Any]]
) -> list[Any]:
    """What comes after a letter, as a number for each letter; keys and values of it are kept."""
    x = [a + b for a, b in zip(take(model["letters"], letter), model["places"][place], strict=True)]
    x = rmsnorm(x)

    seen = rmsnorm(x)
    query = linear(seen, model["query"])
    keys.append(linear(seen, model["key"]))
    values.append(linear(seen, model["value"]))
    heard: list[Any] = []
    for first in range(0, EMBEDDING, HEAD):
        own = range(first, first + HEAD)
        weights = softmax([sum(query[i] * key[i] for i in own) / HEAD**0.5 for key in keys])
        for i in own:
            heard.append(sum(w * value[i] for w, value in zip(weights, values, strict=True)))
    x = [a + b for a, b in zip(linear(heard, model["mix"]), x, strict=True)]

    hidden = [v.relu() ** 2 for v in linear(rmsnorm(x), model["widen"])]
    x = [a + b for a, b in zip(linear(hidden, model["narrow"]), x, strict=True)]
    return linear(x, model["guess"])


def loss(model: Model, word: Sequence[Any]) -> Any:
    """How surprised the network is by a word, given as ``ids``: the mean over its letters."""
    keys: list[list[Any]] = []
    values: list[list[Any]] = []
    total: Any = 0.0
    for place in range(len(word) - 1):
        chances = softmax(logits(model, word[place], place, keys, values))
        total = total - take(chances, word[place + 1]).log()
    return total / (len(word) - 1)


def invent(model: Model, draw: random.Random, temperature: float) -> str:
    """A word that the network makes up; the lower the temperature, the more it is sure."""
    keys: list[list[Any]] = []
    values: list[list[Any]] = []
    letter, word = EDGE, ""
    for place in range(CONTEXT):
        scores = logits(model, letter, place, keys, values)
        chances = softmax([score / temperature for score in scores])
        letter = draw.choices(range(EDGE + 1), [chance.data for chance in chances])[0]
        if letter == EDGE:
            break
        word += LETTERS[letter]
    return word
