"""Gradient descent as two of the evaluations want it: its pace doubles, and halves after a miss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.benchmarks.side_by_side import jax, jnp


def length(v: Any) -> Any:
    return sum(x * x for x in v) ** 0.5


def argmin(
    f: Callable[[Any], Any], slopes: Callable[[Any], Any], start: Any, tolerance: float
) -> Any:
    """Where ``f`` is smallest: numbers, or Values through which all steps can be differentiated.

    Args:
        f: the function, of a list.
        slopes: its gradient.
        start: where to begin, a list.
        tolerance: it ends where the gradient, or a step, is shorter.
    """
    x, here, gradient = list(start), f(start), slopes(start)
    pace, good = 1e-5, 0
    while length(gradient) > tolerance:
        if good == 10:
            pace, good = 2 * pace, 0
        moved = [a - pace * b for a, b in zip(x, gradient, strict=True)]
        if length([a - b for a, b in zip(x, moved, strict=True)]) <= tolerance:
            break
        there = f(moved)
        if there < here:
            x, here, gradient, good = moved, there, slopes(moved), good + 1
        else:
            pace, good = pace / 2, 0
    return x


def jax_argmin(
    f: Callable[[Any], Any], slopes: Callable[[Any], Any], start: Any, tolerance: float
) -> Any:
    """The same as one loop of JAX, for arrays."""

    def norm(v: Any) -> Any:
        # The derivative of a root at zero would be NaN, and spoil those of all steps.
        square = (v * v).sum()
        return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)

    def ends(state: Any) -> Any:
        _, _, gradient, _, _, short = state
        return ~short & (norm(gradient) > tolerance)

    def step(state: Any) -> Any:
        x, here, gradient, pace, good, _ = state
        pace, good = jnp.where(good == 10, 2 * pace, pace), jnp.where(good == 10, 0, good)
        moved = x - pace * gradient
        short = norm(x - moved) <= tolerance
        there = f(moved)
        better = (there < here) & ~short
        return (
            jnp.where(better, moved, x),
            jnp.where(better, there, here),
            jnp.where(better, slopes(moved), gradient),
            jnp.where(better | short, pace, pace / 2),
            jnp.where(better, good + 1, 0),
            short,
        )

    first = (start, f(start), slopes(start), jnp.asarray(1e-5), jnp.asarray(0), jnp.asarray(False))
    return jax.lax.while_loop(ends, step, first)[0]
