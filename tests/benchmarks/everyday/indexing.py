"""Programs with whole numbers in their data: which row of a table, how many entries."""

from __future__ import annotations

from typing import Any

import numpy

from microgradlike import dot, loop, take, tanh, where
from tests.benchmarks.side_by_side import Work, Works, jax, jnp, values, with_jax


def ratings(users: int, items: int, rows: int) -> Work:
    """What users think of items, by eight numbers of each; users and items are numbered."""
    draw = numpy.random.default_rng(11)
    start = [draw.normal(size=(count, 8)) * 0.3 for count in (users, items)]
    columns = draw.integers(0, users, rows), draw.integers(0, items, rows), draw.normal(size=rows)
    tastes, traits = map(values, start)

    def loss(user: Any, item: Any, rating: Any) -> Any:
        return (dot(take(tastes, user), take(traits, item)) - rating) ** 2

    def cost(p: Any, user: Any, item: Any, rating: Any) -> Any:
        tastes, traits = p
        return (((tastes[user] * traits[item]).sum(axis=1) - rating) ** 2).mean()

    return Work(
        f"{users} x {items:,}, {rows:,} ratings",
        loss,
        columns,
        [v for part in (tastes, traits) for row in part for v in row],
        jax=lambda: with_jax(jax.value_and_grad(cost), start, *columns),
    )


def ragged(longest: int, rows: int) -> Work:
    """A recurrent network of eight units reads a row as far as the row goes."""
    draw = numpy.random.default_rng(12)
    start = [draw.normal(size=(8, 8)) * 0.3, draw.normal(size=(3, 8)) * 0.3]
    recurrent, (enter, bias, leave) = map(values, start)
    columns = (
        draw.normal(size=(rows, longest)),
        draw.integers(1, longest + 1, rows),
        draw.normal(size=rows),
    )

    def loss(x: Any, length: Any, target: Any) -> Any:
        def step(h: Any, at: Any) -> Any:
            k, entry = at
            after = [tanh(dot(recurrent[i], h) + enter[i] * entry + bias[i]) for i in range(8)]
            return [where(k < length, *pair) for pair in zip(after, h, strict=True)]

        h = loop(step, [0.0] * 8, list(enumerate(x)))
        return (dot(leave, h) - target) ** 2

    def cost(p: Any, X: Any, lengths: Any, targets: Any) -> Any:
        recurrent, (enter, bias, leave) = p

        def step(h: Any, at: Any) -> Any:
            x, k = at
            after = jnp.tanh(h @ recurrent.T + x[:, None] * enter + bias)
            return jnp.where((k < lengths)[:, None], after, h), None

        zero = jnp.zeros((len(X), 8))
        h, _ = jax.lax.scan(step, zero, (X.T, jnp.arange(X.shape[1])))
        return ((h @ leave - targets) ** 2).mean()

    return Work(
        f"up to {longest} entries, {rows:,} rows",
        loss,
        columns,
        [v for row in (*recurrent, enter, bias, leave) for v in row],
        jax=lambda: with_jax(jax.value_and_grad(cost), start, *columns),
    )


WORKS: Works = {
    "users x items": [lambda: ratings(50, 100, 10_000), lambda: ratings(500, 1_000, 10_000)],
    "ragged lengths": [lambda: ragged(32, 1_000)],
}
