"""gmm: the likelihood of a mixture of Gaussians with full covariances and a Wishart prior.

The inverse of each covariance is Q^T Q: Q is lower triangular, its diagonal the exponentials of
``q``, and what is below the diagonal is ``lower``, row by row. Everything is divided by the number
of points.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from microgradlike import exp, logsumexp
from tests.benchmarks.gradbench import complex_step
from tests.benchmarks.side_by_side import Work, jax, jnp, torch, values, with_jax, with_torch

#: Dimensions, components, points.
SIZES = ((2, 5, 200), (10, 25, 1_000), (20, 50, 10_000))
#: Of the prior.
GAMMA, M = 1.0, 0


def program(points: int, x: Any, alphas: Any, means: Any, q: Any, lower: Any) -> Any:
    terms, prior = [], 0.0
    for alpha, mean, diagonal, below in zip(alphas, means, q, lower, strict=True):
        z = [a - b for a, b in zip(x, mean, strict=True)]
        scales = [exp(number) for number in diagonal]
        square, place = 0.0, 0
        for i, scale in enumerate(scales):
            row = scale * z[i]
            for j in range(i):
                row = row + below[place] * z[j]
                place += 1
            square = square + row * row
        terms.append(alpha + sum(diagonal) - 0.5 * square)
        squares = sum(scale * scale for scale in scales) + sum(number**2 for number in below)
        prior = prior + 0.5 * GAMMA**2 * squares - M * sum(diagonal)
    likelihood = logsumexp(terms) - logsumexp(alphas)
    return likelihood + (prior + constants(len(alphas), len(x), points)) / points


def constants(k: int, d: int, points: int) -> float:
    """What does not depend on parameters: of the Gaussians, and of the prior."""
    n = d + M + 1
    gammas = sum(math.lgamma(0.5 * (n + 1 - j)) for j in range(1, d + 1))
    spread = 0.25 * d * (d - 1) * math.log(math.pi) + gammas
    prior = n * d * (math.log(GAMMA) - 0.5 * math.log(2)) - spread
    return -0.5 * points * d * math.log(2 * math.pi) - k * prior


def with_jax_arrays(p: Any, x: Any) -> Any:
    alphas, means, q, lower = p
    (k, d), points = means.shape, len(x)
    row, column = numpy.tril_indices(d, -1)
    factor = jnp.zeros((k, d, d)).at[:, row, column].set(lower) + jax.vmap(jnp.diag)(jnp.exp(q))
    y = jnp.einsum("kij,nkj->nki", factor, x[:, None] - means)
    terms = alphas + q.sum(axis=1) - 0.5 * (y * y).sum(axis=2)
    prior = 0.5 * GAMMA**2 * (factor**2).sum() - M * q.sum()
    total = (prior + constants(k, d, points)) / points
    return jax.nn.logsumexp(terms, axis=1).mean() - jax.nn.logsumexp(alphas) + total


def with_tensors(p: Any, x: Any) -> Any:
    alphas, means, q, lower = p
    (k, d), points = means.shape, len(x)
    row, column = map(torch.tensor, numpy.tril_indices(d, -1))
    factor = torch.zeros((k, d, d)).index_put((torch.arange(k)[:, None], row, column), lower)
    factor = factor + torch.diag_embed(torch.exp(q))
    y = torch.einsum("kij,nkj->nki", factor, x[:, None] - means)
    terms = alphas + q.sum(dim=1) - 0.5 * (y * y).sum(dim=2)
    prior = 0.5 * GAMMA**2 * (factor**2).sum() - M * q.sum()
    total = (prior + constants(k, d, points)) / points
    return torch.logsumexp(terms, 1).mean() - torch.logsumexp(alphas, 0) + total


def of_points(theta: Any, k: int, X: Any) -> Any:
    """The same of one point after the other, with the densities themselves."""
    points, d = X.shape
    alphas, means, q, lower = numpy.split(theta, [k, k + k * d, k + 2 * k * d])
    means, q, lower = means.reshape(k, d), q.reshape(k, d), lower.reshape(k, -1)
    weights = numpy.exp(alphas) / numpy.exp(alphas).sum()
    densities, prior = 0.0, 0.0
    for c in range(k):
        factor = numpy.diag(numpy.exp(q[c]))
        factor[numpy.tril_indices(d, -1)] = lower[c]
        precision = factor.T @ factor
        z = X - means[c]
        square = numpy.einsum("ni,ij,nj->n", z, precision, z)
        densities = densities + weights[c] * numpy.prod(numpy.exp(q[c])) * numpy.exp(-square / 2)
        prior = prior + GAMMA**2 / 2 * numpy.trace(precision) - M * q[c].sum()
    return numpy.log(densities) + (prior + constants(k, d, points)) / points


def reference(start: Any, X: Any) -> tuple[Any, Any]:
    theta, k = numpy.concatenate([part.ravel() for part in start]), len(start[0])
    values = of_points(theta, k, X)
    slopes = complex_step.slopes(lambda theta: of_points(theta, k, X).mean(), theta)
    return values, numpy.append(values.mean(), slopes)


def work(d: int, k: int, points: int) -> Work:
    draw = numpy.random.default_rng(5)
    start = [draw.normal(size=k), draw.normal(size=(k, d))]
    start += [draw.normal(size=(k, d)) * 0.1, draw.normal(size=(k, d * (d - 1) // 2)) * 0.1]
    X = draw.normal(size=(points, d))
    alphas, *tables = map(values, start)
    return Work(
        f"{d} dimensions, {k} components, {points:,} points",
        lambda x: program(points, x, alphas, *tables),
        (X,),
        alphas + [v for table in tables for row in table for v in row],
        jax=lambda: with_jax(jax.value_and_grad(with_jax_arrays), start, X),
        torch=lambda: with_torch(with_tensors, start, X),
        reference=lambda: reference(start, X),
    )
