"""particle: where must a charge be, so that it pushes a particle through the origin?

The force is the gradient of a potential, asked for at each step of the flight; and the flight is
differentiated by the place of the charge. So derivatives nest.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from microgradlike import compile, grad, sqrt, while_loop
from tests.benchmarks.gradbench import complex_step
from tests.benchmarks.gradbench.descent import argmin, jax_argmin
from tests.benchmarks.side_by_side import Ready, Work, jax, jnp, torch, with_jax

#: Seconds of a step of the flight; it takes about 30.
SIZES = ((0.5,), (0.1,), (0.02,))
TOLERANCE = 1e-5


def program(w: Any, dt: float) -> Any:
    """The square of the place where the particle comes down to the axis."""
    charges = (10.0, 10.0 - w), (10.0, 0.0)

    def potential(x: Any, y: Any) -> Any:
        return sum(1 / sqrt((x - a) ** 2 + (y - b) ** 2) for a, b in charges)

    def step(state: Any) -> Any:
        x, y, vx, vy = state
        ax, ay = grad(potential)(x, y)
        return x + dt * vx, y + dt * vy, vx - dt * ax, vy - dt * ay

    def flies(state: Any) -> Any:
        _, y, _, vy = state
        return y + dt * vy > 0

    x, y, vx, vy = while_loop(flies, step, (0.0, 8.0, 0.75, 0.0))
    return (x - y / vy * vx) ** 2


def compiled(dt: float) -> Ready:
    c = compile(lambda w: program(w, dt))
    return Ready(
        lambda: argmin(
            lambda w: float(c(w)[0]), lambda w: c.jacobian(w).ravel().tolist(), [0.0], TOLERANCE
        )
    )


def with_arrays(dt: float) -> Ready:
    def place(w: Any) -> Any:
        charges = jnp.stack([jnp.stack([10.0, 10.0 - w[0]]), jnp.array([10.0, 0.0])])

        def potential(at: Any) -> Any:
            return (1 / jnp.sqrt(((at - charges) ** 2).sum(axis=1))).sum()

        def step(state: Any) -> Any:
            at, speed = state
            return at + dt * speed, speed - dt * jax.grad(potential)(at)

        start = jnp.array([0.0, 8.0]), jnp.array([0.75, 0.0])
        flies = lambda state: state[0][1] + dt * state[1][1] > 0  # noqa: E731
        at, speed = jax.lax.while_loop(flies, step, start)
        return (at[0] - at[1] / speed[1] * speed[0]) ** 2

    return with_jax(lambda w: jax_argmin(place, jax.jacfwd(place), w, TOLERANCE), numpy.zeros(1))


def with_tensors(dt: float) -> Ready:
    def place(w: Any) -> Any:
        fixed, ten = torch.tensor([10.0, 0.0]), torch.tensor(10.0)

        def potential(at: Any) -> Any:
            charges = torch.stack([torch.stack([ten, 10.0 - w[0]]), fixed])
            return (1 / ((at - charges) ** 2).sum(1).sqrt()).sum()

        at, speed = torch.tensor([0.0, 8.0]), torch.tensor([0.75, 0.0])
        while at[1] + dt * speed[1] > 0:
            leaf = at if at.requires_grad else at.requires_grad_()
            (slope,) = torch.autograd.grad(potential(leaf), leaf, create_graph=True)
            at, speed = at + dt * speed, speed - dt * slope
        return (at[0] - at[1] / speed[1] * speed[0]) ** 2

    def slopes(w: Any) -> Any:
        leaf = torch.tensor(w, requires_grad=True)
        return torch.autograd.grad(place(leaf), leaf)[0].tolist()

    def value(w: Any) -> float:
        return float(place(torch.tensor(w)).detach())

    return Ready(lambda: argmin(value, slopes, [0.0], TOLERANCE))


def by_hand(w: Any, dt: float) -> Any:
    """The same flight with the force of a charge written down, for complex numbers as well."""
    at, speed = numpy.array([0, 8 + 0 * w]), numpy.array([0.75, 0 * w])
    charges = numpy.array([[10, 10 - w], [10, 0 * w]])
    while (at + dt * speed)[1].real > 0:
        apart = at - charges
        push = (apart / ((apart**2).sum(axis=1) ** 1.5)[:, None]).sum(axis=0)
        at, speed = at + dt * speed, speed + dt * push
    return (at[0] - at[1] / speed[1] * speed[0]) ** 2


def reference(dt: float) -> tuple[Any, Any]:
    def slopes(w: Any) -> Any:
        return [float(complex_step.slopes(lambda w: by_hand(w[0], dt), w)[0])]

    found = argmin(lambda w: float(by_hand(w[0], dt)), slopes, [0.0], TOLERANCE)
    assert math.isclose(by_hand(found[0], dt), 0, abs_tol=1e-4)
    return by_hand(0.0, dt), found


def work(dt: float) -> Work:
    return Work(
        f"steps of {dt} s",
        lambda w: program(w, dt),
        (numpy.zeros(1),),
        derivative=lambda: compiled(dt),
        jax=lambda: with_arrays(dt),
        torch=(lambda: with_tensors(dt)) if dt == SIZES[0][0] else None,
        reference=lambda: reference(dt),
    )
