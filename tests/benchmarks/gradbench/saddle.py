"""saddle: the smallest of the largest of f(x, y), by a descent whose every step needs an ascent.

The ascent is differentiated, with all its steps, by where the descent is.
"""

from __future__ import annotations

from typing import Any

import numpy

from microgradlike import compile, grad
from tests.benchmarks.gradbench.descent import argmin, jax_argmin
from tests.benchmarks.side_by_side import Ready, Work, jax, jnp, torch, with_jax

#: Where gradients, or steps, are short enough to end.
SIZES = ((1e-5,), (1e-6,), (1e-7,))
START = [1.0, 1.0]


def f(x: Any, y: Any) -> Any:
    return (x[0] * x[0] + x[1] * x[1]) - (y[0] * y[0] + y[1] * y[1])


def highest(x: Any, tolerance: float) -> Any:
    """The y where f(x, y) is largest."""

    def below(y: Any) -> Any:
        return -f(x, y)

    return argmin(below, grad(below), START, tolerance)


def program(x: Any, tolerance: float) -> Any:
    return f(x, highest(x, tolerance))


def compiled(tolerance: float) -> Ready:
    c = compile(lambda x: program(x, tolerance))

    def both() -> Any:
        x = argmin(
            lambda x: float(c([x])[0]), lambda x: c.jacobian([x])[0, 0].tolist(), START, tolerance
        )
        return [*x, *highest(x, tolerance)]

    return Ready(both)


def with_arrays(tolerance: float) -> Ready:
    def largest(x: Any, start: Any) -> Any:
        below = lambda y: -f(x, y)  # noqa: E731
        return jax_argmin(below, jax.grad(below), start, tolerance)

    def both(start: Any) -> Any:
        height = lambda x: f(x, largest(x, start))  # noqa: E731
        x = jax_argmin(height, jax.jacfwd(height), start, tolerance)
        return jnp.concatenate([x, largest(x, start)])

    return with_jax(both, numpy.array(START))


def with_tensors(tolerance: float) -> Ready:
    def largest(x: Any) -> Any:
        def slopes(y: Any) -> Any:
            leaf = torch.stack([torch.as_tensor(v) for v in y])
            leaf = leaf if leaf.requires_grad else leaf.requires_grad_()
            return torch.autograd.grad(-f(x, leaf), leaf, create_graph=True)[0].unbind()

        start = [torch.tensor(v) for v in START]
        return argmin(lambda y: -f(x, y), slopes, start, tolerance)

    def height(x: Any) -> Any:
        return f(x, largest(x))

    def slopes(x: Any) -> Any:
        leaf = torch.tensor(x, requires_grad=True)
        return torch.autograd.grad(height(leaf), leaf)[0].tolist()

    def both() -> Any:
        x = argmin(lambda x: height(torch.tensor(x)).item(), slopes, START, tolerance)
        return [*x, *(float(v.detach()) for v in largest(torch.tensor(x)))]

    return Ready(both)


def by_hand(tolerance: float) -> tuple[Any, Any]:
    """f falls apart: the descent in x, and the ascent in y, are that of a square from one start."""
    point = argmin(
        lambda v: v[0] ** 2 + v[1] ** 2, lambda v: [2 * v[0], 2 * v[1]], START, tolerance
    )
    return 2.0 - point[0] ** 2 - point[1] ** 2, point + point


def work(tolerance: float) -> Work:
    return Work(
        f"until steps are {tolerance:g} short",
        lambda x: program(x, tolerance),
        (numpy.array([START]),),
        derivative=lambda: compiled(tolerance),
        jax=lambda: with_arrays(tolerance),
        torch=(lambda: with_tensors(tolerance)) if tolerance == SIZES[0][0] else None,
        reference=lambda: by_hand(tolerance),
    )
