"""ode: a chain of equations, y_0' = x_0 and y_i' = x_i y_(i-1), by steps of Runge and Kutta.

It ends at t = 2, and the gradient is that of the last y by all x.
"""

from __future__ import annotations

from typing import Any

import numpy

from tests.benchmarks.gradbench import complex_step
from tests.benchmarks.side_by_side import Work, jax, jax_rows, jnp, torch, with_torch

#: Equations, steps.
SIZES = ((10, 10), (50, 100), (100, 500))


def program(x: Any, steps: int) -> Any:
    def slopes(y: Any) -> Any:
        return [x[0]] + [x[i] * y[i - 1] for i in range(1, len(x))]

    def ahead(y: Any, k: Any, h: float) -> Any:
        return [a + h * b for a, b in zip(y, k, strict=True)]

    y, h = [0.0] * len(x), 2 / steps
    for _ in range(steps):
        k1 = slopes(y)
        k2 = slopes(ahead(y, k1, h / 2))
        k3 = slopes(ahead(y, k2, h / 2))
        k4 = slopes(ahead(y, k3, h))
        y = [
            v + h / 6 * (a + 2 * b + 2 * c + d)
            for v, a, b, c, d in zip(y, k1, k2, k3, k4, strict=True)
        ]
    return y[-1]


def step(x: Any, y: Any, h: float, xp: Any) -> Any:
    """One step, of arrays of whichever library."""

    def slopes(y: Any) -> Any:
        return x * xp.concatenate([xp.ones_like(y[:1]), y[:-1]])

    k1 = slopes(y)
    k2 = slopes(y + h / 2 * k1)
    k3 = slopes(y + h / 2 * k2)
    k4 = slopes(y + h * k3)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def stepped(x: Any, steps: int, xp: Any) -> Any:
    y = xp.zeros_like(x)
    for _ in range(steps):
        y = step(x, y, 2 / steps, xp)
    return y[-1]


def scanned(x: Any, steps: int) -> Any:
    def again(y: Any, _: Any) -> Any:
        return step(x, y, 2 / steps, jnp), None

    return jax.lax.scan(again, jnp.zeros_like(x), None, length=steps)[0][-1]


def work(equations: int, steps: int) -> Work:
    x = numpy.random.default_rng(6).uniform(0.5, 1.5, size=equations)
    return Work(
        f"{equations} equations, {steps} steps",
        lambda x: program(x, steps),
        (x[None],),
        jax=lambda: jax_rows(lambda x: scanned(x, steps), x[None]),
        torch=lambda: with_torch(lambda p: stepped(p[0], steps, torch), [x], value=False),
        reference=lambda: (
            stepped(x, steps, numpy),
            complex_step.slopes(lambda x: stepped(x, steps, numpy), x),
        ),
    )
