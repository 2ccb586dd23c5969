"""hello: the square of a number, and its derivative."""

from __future__ import annotations

from typing import Any

import numpy

from microgradlike.words import counted
from tests.benchmarks.side_by_side import Work, jax_rows, with_torch

#: Rows.
SIZES = ((1,), (1_000,), (1_000_000,))


def program(x: Any) -> Any:
    return x * x


def work(rows: int) -> Work:
    X = numpy.random.default_rng(0).normal(size=rows)
    return Work(
        counted(rows, "number"),
        program,
        (X,),
        jax=lambda: jax_rows(program, X),
        torch=lambda: with_torch(lambda p: (p[0] * p[0]).sum(), [X], value=False),
        reference=lambda: (X**2, 2 * X),
    )
