"""llsq: a polynomial that fits the sign of a number, by least squares."""

from __future__ import annotations

from typing import Any

import numpy

from tests.benchmarks.side_by_side import Work, jax, jnp, torch, values, with_jax, with_torch

#: Coefficients, points.
SIZES = ((4, 1_000), (32, 10_000), (128, 100_000))


def program(x: Any, t: Any, s: Any) -> Any:
    residual, power = s, 1.0
    for coefficient in x:
        residual = residual - coefficient * power
        power = power * t
    return 0.5 * residual**2


def with_arrays(x: Any, t: Any, s: Any) -> Any:
    return 0.5 * ((s - jnp.vander(t, len(x), increasing=True) @ x) ** 2).mean()


def with_tensors(p: Any, t: Any, s: Any) -> Any:
    return 0.5 * ((s - torch.vander(t, len(p[0]), increasing=True) @ p[0]) ** 2).mean()


def by_hand(x: Any, t: Any, s: Any) -> tuple[Any, Any]:
    """The normal equations: the transposed powers times the residuals."""
    powers = t[:, None] ** numpy.arange(len(x))
    residuals = powers @ x - s
    values = 0.5 * residuals**2
    return values, numpy.append(values.mean(), powers.T @ residuals / len(t))


def work(coefficients: int, points: int) -> Work:
    start = numpy.random.default_rng(3).normal(size=coefficients)
    t = numpy.linspace(-1, 1, points)
    s = numpy.sign(t)
    x = values(start)
    return Work(
        f"{coefficients} coefficients, {points:,} points",
        lambda t, s: program(x, t, s),
        (t, s),
        x,
        jax=lambda: with_jax(jax.value_and_grad(with_arrays), start, t, s),
        torch=lambda: with_torch(with_tensors, [start], t, s),
        reference=lambda: by_hand(start, t, s),
    )
