"""det: a determinant by expansion along its first row, again and again, and its gradient."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy

from tests.benchmarks.side_by_side import Work, jax_rows, with_torch

#: Rows and columns of the matrix.
SIZES = ((5,), (7,), (9,))


def program(A: Any) -> Any:
    if len(A) == 1:
        return A[0][0]
    total, sign = 0.0, 1.0
    for column, number in enumerate(A[0]):
        minor = [row[:column] + row[column + 1 :] for row in A[1:]]
        total = total + sign * number * program(minor)
        sign = -sign
    return total


def with_arrays(A: Any) -> Any:
    """The same for many matrices at once: all minors of one size are one array."""
    n = A.shape[-1]
    if n == 1:
        return A[..., 0, 0]
    left = [[column for column in range(n) if column != k] for k in range(n)]
    minors = A[..., 1:, :][..., numpy.array(left)].swapaxes(-3, -2)
    terms = A[..., 0, :] * with_arrays(minors)
    return terms[..., ::2].sum(-1) - terms[..., 1::2].sum(-1)


def exactly(A: Any) -> tuple[Any, Any]:
    """With 40 digits: the gradient is the determinant times the inverse, transposed."""
    with mpmath.workdps(40):
        exact = mpmath.matrix(A.tolist())
        value, inverse = mpmath.det(exact), exact**-1
        slopes = numpy.array([[float(value * v) for v in row] for row in inverse.T.tolist()])
        return float(value), slopes


def work(n: int) -> Work:
    A = numpy.random.default_rng(4).normal(size=(n, n))
    return Work(
        f"{n} x {n}",
        program,
        (A[None],),
        jax=lambda: jax_rows(with_arrays, A[None]),
        torch=lambda: with_torch(lambda p: with_arrays(p[0]), [A], value=False),
        reference=lambda: exactly(A),
    )
