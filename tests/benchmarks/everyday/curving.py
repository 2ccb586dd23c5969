"""Programs that ask for second derivatives: by their inputs, and by their parameters."""

from __future__ import annotations

from typing import Any

import numpy

from microgradlike import compile, dot, sqrt, tanh
from microgradlike.words import counted
from tests.benchmarks.side_by_side import Ready, Work, Works, jax, jnp, values, with_jax


def cloth(side: int, rows: int) -> Work:
    """The energy of a cloth of springs, and its Hessian times a vector, as implicit steps need."""
    ends, rests = [], []
    for r in range(side):
        for q in range(side):
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                if r + down < side and 0 <= q + right < side:
                    ends.append((r * side + q, (r + down) * side + q + right))
                    rests.append((down**2 + right**2) ** 0.5)
    draw = numpy.random.default_rng(15)
    flat = numpy.array([(r, q, 0.0) for r in range(side) for q in range(side)], float)
    X = flat + 0.2 * draw.normal(size=(rows, *flat.shape))
    V = draw.normal(size=X.shape)

    def energy(x: Any) -> Any:
        total: Any = 0.0
        for (a, b), rest in zip(ends, rests, strict=True):
            length = sqrt(sum((p - q) ** 2 for p, q in zip(x[a], x[b], strict=True)))
            total = total + 0.5 * (length - rest) ** 2
        return total

    def of_array(x: Any) -> Any:
        a, b = numpy.array(ends).T
        length = jnp.sqrt(((x[a] - x[b]) ** 2).sum(axis=1))
        return 0.5 * ((length - numpy.array(rests)) ** 2).sum()

    def product(x: Any, v: Any) -> Any:
        return jax.jvp(jax.grad(of_array), (x,), (v,))[1]

    def ours() -> Ready:
        c = compile(energy)
        return Ready(lambda: c.hvp(X, v=V.reshape(rows, -1)))

    return Work(
        f"{side} x {side}, {counted(rows, 'row')}",
        energy,
        (X,),
        derivative=ours,
        jax=lambda: with_jax(jax.vmap(product), X, V),
    )


def hessian(units: int, rows: int) -> Work:
    """The Hessian of a small network's loss by all its parameters."""
    draw = numpy.random.default_rng(16)
    start = draw.normal(size=4 * units + 1) * 0.5
    X, y = draw.normal(size=(rows, 2)), draw.normal(size=rows)
    theta = values(start)

    def loss(theta: Any, x: Any, y: Any) -> Any:
        hidden = [
            tanh(theta[k] * x[0] + theta[units + k] * x[1] + theta[2 * units + k])
            for k in range(units)
        ]
        return (dot(theta[3 * units : 4 * units], hidden) + theta[4 * units] - y) ** 2

    def ours() -> Ready:
        examples = list(zip(X.tolist(), y.tolist(), strict=True))
        c = compile(lambda theta: sum(loss(theta, *example) for example in examples) / rows)
        return Ready(lambda: c.hessian(start[None]))

    def cost(theta: Any, X: Any, y: Any) -> Any:
        a, b, bias, leave = theta[:-1].reshape(4, units)
        hidden = jnp.tanh(X[:, :1] * a + X[:, 1:] * b + bias)
        return ((hidden @ leave + theta[-1] - y) ** 2).mean()

    return Work(
        f"{len(theta)} parameters, {rows} rows",
        lambda x, y: loss(theta, x, y),
        (X, y),
        theta,
        derivative=ours,
        jax=lambda: with_jax(jax.hessian(cost), start, X, y),
    )


WORKS: Works = {
    "cloth": [lambda: cloth(10, 1), lambda: cloth(10, 32)],
    "hessian by parameters": [lambda: hessian(8, 100), lambda: hessian(32, 100)],
}
