"""lstm: layers whose weight matrices are diagonal read characters, and guess the next one.

A row of ``main`` has the weights, or the biases, of a layer's four gates one after the other;
``extra`` has weights of the input, weights of the output, and its biases.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy

from microgradlike import exp, log, sigmoid, tanh
from tests.benchmarks.gradbench import complex_step
from tests.benchmarks.side_by_side import Work, jax, jnp, torch, values, with_jax, with_torch

#: Layers, characters; a character has so many bits.
SIZES = ((2, 8), (2, 128), (4, 1_024))
BITS = 14


def program(main: Any, extra: Any, state: Any, sequence: Any) -> Any:
    state, total = [list(row) for row in state], 0.0
    for character, following in pairwise(sequence):
        x = [a * w for a, w in zip(character, extra[0], strict=True)]
        for layer in range(len(main) // 2):
            weights, biases = main[2 * layer], main[2 * layer + 1]
            hidden, cell = state[2 * layer], state[2 * layer + 1]
            for i in range(BITS):
                gates = range(i, 4 * BITS, BITS)
                seen = x[i], hidden[i], x[i], hidden[i]
                sums = [a * weights[g] + biases[g] for a, g in zip(seen, gates, strict=True)]
                forget, enter, leave = map(sigmoid, sums[:3])
                cell[i] = cell[i] * forget + enter * tanh(sums[3])
                hidden[i] = leave * tanh(cell[i])
            x = hidden
        guess = [a * w + b for a, w, b in zip(x, extra[1], extra[2], strict=True)]
        largest = log(sum(exp(v) for v in guess) + 2)
        total = total + sum(y * (v - largest) for y, v in zip(following, guess, strict=True))
    return -total / (BITS * (len(sequence) - 1))


def read(p: Any, state: Any, character: Any, xp: Any) -> Any:
    """The guess after one character, and the new state: of arrays of whichever library."""
    main, extra = p
    x, after = character * extra[0], []
    for layer in range(len(main) // 2):
        weights, biases = main[2 * layer].reshape(4, -1), main[2 * layer + 1].reshape(4, -1)
        hidden, cell = state[2 * layer], state[2 * layer + 1]
        seen = xp.stack([x, hidden, x, hidden])
        sums = seen * weights + biases
        forget, enter, leave = 1 / (1 + xp.exp(-sums[:3]))
        cell = cell * forget + enter * xp.tanh(sums[3])
        x = leave * xp.tanh(cell)
        after += [x, cell]
    return x * extra[1] + extra[2], xp.stack(after)


def one_by_one(xp: Any, p: Any, state: Any, sequence: Any) -> Any:
    total = 0.0
    for character, following in pairwise(sequence):
        guess, state = read(p, state, character, xp)
        total = total + (following * (guess - xp.log(xp.exp(guess).sum() + 2))).sum()
    return -total / (len(sequence) - 1) / BITS


def scanned(p: Any, state: Any, sequence: Any) -> Any:
    def step(state: Any, pair: Any) -> Any:
        character, following = pair
        guess, state = read(p, state, character, jnp)
        return state, (following * (guess - jnp.log(jnp.exp(guess).sum() + 2))).sum()

    _, terms = jax.lax.scan(step, state, (sequence[:-1], sequence[1:]))
    return -terms.mean() / BITS


def reference(start: Any, state: Any, sequence: Any) -> tuple[Any, Any]:
    main, extra = start

    def loss(theta: Any) -> Any:
        p = theta[: main.size].reshape(main.shape), theta[main.size :].reshape(extra.shape)
        return one_by_one(numpy, p, state, sequence)

    theta = numpy.concatenate([main.ravel(), extra.ravel()])
    value = loss(theta)
    return value, numpy.append(value, complex_step.slopes(loss, theta))


def work(layers: int, characters: int) -> Work:
    draw = numpy.random.default_rng(7)
    start = [draw.normal(size=(2 * layers, 4 * BITS)), draw.normal(size=(3, BITS))]
    state = draw.normal(size=(2 * layers, BITS))
    sequence = (draw.random((characters, BITS)) < 0.5).astype(float)
    main, extra = map(values, start)
    return Work(
        f"{layers} layers, {characters:,} characters",
        lambda sequence: program(main, extra, state.tolist(), sequence),
        (sequence[None],),
        [v for row in main + extra for v in row],
        jax=lambda: with_jax(jax.value_and_grad(scanned), start, state, sequence),
        torch=lambda: with_torch(lambda p, *d: one_by_one(torch, p, *d), start, state, sequence),
        reference=lambda: reference(start, state, sequence),
    )
