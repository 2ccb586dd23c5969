"""kmeans: how far points are from the nearest of some centroids; the step of Newton's method.

The Hessian by the centroids is diagonal. So the Hessian times a vector of ones is its diagonal, and
the step is the gradient divided by it.
"""

from __future__ import annotations

from typing import Any

import numpy

from microgradlike import compile, grad
from tests.benchmarks.side_by_side import Ready, Work, jax, jnp, torch, values, with_jax

#: Points, centroids, dimensions.
SIZES = ((500, 3, 2), (2_000, 5, 8), (10_000, 20, 16))


def program(centroids: Any, point: Any) -> Any:
    return min(
        sum((c - x) ** 2 for c, x in zip(centroid, point, strict=True)) for centroid in centroids
    )


def newton(centroids: Any, points: Any) -> Ready:
    """The step, from two compiled functions: the cost, and the sum of the slopes of the cost."""

    def total_slope(point: Any) -> Any:
        slopes = grad(lambda moved: program(moved, point))(centroids)
        return sum(slope for row in slopes for slope in row)

    cost = compile(lambda point: program(centroids, point)).trace(points)
    slope = compile(total_slope).trace(points)
    places = {id(parameter): k for k, parameter in enumerate(cost.parameters)}
    order = [places[id(parameter)] for row in centroids for parameter in row]
    again = {id(parameter): k for k, parameter in enumerate(slope.parameters)}
    order_again = [again[id(parameter)] for row in centroids for parameter in row]
    theta, theta_again = cost.theta(), slope.theta()

    def call() -> Any:
        _, gradient = cost.value_and_grad(theta, points, reduce="sum")
        _, diagonal = slope.value_and_grad(theta_again, points, reduce="sum")
        return gradient[order] / diagonal[order_again]

    return Ready(call)


def with_arrays(centroids: Any, points: Any) -> Any:
    def cost(centroids: Any) -> Any:
        apart = ((points[:, None] - centroids) ** 2).sum(axis=2)
        return apart.min(axis=1).sum()

    slopes, diagonal = jax.jvp(jax.grad(cost), (centroids,), (jnp.ones_like(centroids),))
    return slopes / diagonal


def with_tensors(start: Any, points: Any) -> Ready:
    given = torch.tensor(points)
    centroids = torch.tensor(start, requires_grad=True)

    def call() -> Any:
        apart = ((given[:, None] - centroids) ** 2).sum(dim=2)
        cost = apart.min(dim=1).values.sum()
        (slopes,) = torch.autograd.grad(cost, centroids, create_graph=True)
        (diagonal,) = torch.autograd.grad(slopes.sum(), centroids)
        return slopes.detach() / diagonal

    return Ready(call)


def by_hand(centroids: Any, points: Any) -> tuple[Any, Any]:
    """A centroid steps to where the sum of its points is: half of twice the way to their mean."""
    apart = ((points[:, None] - centroids) ** 2).sum(axis=2)
    nearest = apart.argmin(axis=1)
    step = [centroids[k] - points[nearest == k].mean(axis=0) for k in range(len(centroids))]
    return apart.min(axis=1), numpy.concatenate(step)


def work(count: int, k: int, d: int) -> Work:
    draw = numpy.random.default_rng(2)
    points = draw.normal(size=(count, d))
    start = points[draw.choice(count, k, replace=False)]
    centroids = values(start)
    return Work(
        f"{count:,} points, {k} centroids, {d} dimensions",
        lambda point: program(centroids, point),
        (points,),
        [c for row in centroids for c in row],
        derivative=lambda: newton(centroids, points),
        jax=lambda: with_jax(with_arrays, start, points),
        torch=lambda: with_tensors(start, points),
        reference=lambda: by_hand(start, points),
    )
