"""lse: the logarithm of a sum of exponentials, shifted by the largest, and its gradient."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy

from microgradlike import exp, log
from tests.benchmarks.side_by_side import Work, jax_rows, jnp, with_torch

#: How many numbers.
SIZES = ((1_000,), (32_000,), (1_280_000,))


def program(x: Any) -> Any:
    largest = max(x)
    return largest + log(sum(exp(v - largest) for v in x))


def with_arrays(x: Any) -> Any:
    largest = jnp.max(x)
    return largest + jnp.log(jnp.sum(jnp.exp(x - largest)))


def with_tensors(p: Any) -> Any:
    largest = p[0].max()
    return largest + (p[0] - largest).exp().sum().log()


def exactly(x: Any) -> tuple[Any, Any]:
    """With 40 digits, where nothing has to be shifted."""
    with mpmath.workdps(40):
        powers = [mpmath.exp(v) for v in x.tolist()]
        total = mpmath.fsum(powers)
        return float(mpmath.log(total)), numpy.array([float(power / total) for power in powers])


def work(count: int) -> Work:
    x = numpy.random.default_rng(1).normal(size=count) * 3
    return Work(
        f"{count:,} numbers",
        program,
        (x[None],),
        jax=lambda: jax_rows(with_arrays, x[None]),
        torch=lambda: with_torch(with_tensors, [x], value=False),
        reference=lambda: exactly(x),
    )
