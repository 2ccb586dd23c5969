"""Programs that go on for a long time: each step needs the one before."""

from __future__ import annotations

from typing import Any

import numpy

from microgradlike import dot, log, tanh
from tests.benchmarks.side_by_side import Work, Works, jax, jnp, values, with_jax


def recurrent(steps: int, units: int, rows: int) -> Work:
    """A recurrent network reads a signal and says one number in the end."""
    draw = numpy.random.default_rng(13)
    start = [draw.normal(size=(units, units)) / units**0.5, draw.normal(size=(3, units)) * 0.3]
    weights, (enter, bias, leave) = map(values, start)
    columns = draw.normal(size=(rows, steps)), draw.normal(size=rows)

    def loss(signal: Any, target: Any) -> Any:
        h: list[Any] = [0.0] * units
        for x in signal:
            h = [
                tanh(dot(row, h) + w * x + b)
                for row, w, b in zip(weights, enter, bias, strict=True)
            ]
        return (dot(leave, h) - target) ** 2

    def cost(p: Any, X: Any, targets: Any) -> Any:
        weights, (enter, bias, leave) = p

        def step(h: Any, x: Any) -> Any:
            return jnp.tanh(h @ weights.T + x[:, None] * enter + bias), None

        h, _ = jax.lax.scan(step, jnp.zeros((len(X), units)), X.T)
        return ((h @ leave - targets) ** 2).mean()

    return Work(
        f"{steps:,} steps, {units} units, {rows} rows",
        loss,
        columns,
        [v for row in (*weights, enter, bias, leave) for v in row],
        jax=lambda: with_jax(jax.value_and_grad(cost), start, *columns),
    )


def predators(steps: int) -> Work:
    """Lotka and Volterra's hares and foxes for ten years, by steps of Runge and Kutta."""
    start, h = numpy.array([1.1, 0.4, 0.4, 0.1]), 10 / steps
    rates = values(start)
    columns = tuple(numpy.array([v]) for v in (10.0, 5.0, 4.0, 6.0))

    def slopes(p: Any, x: Any, y: Any) -> Any:
        return p[0] * x - p[1] * x * y, p[3] * x * y - p[2] * y

    def ahead(p: Any, x: Any, y: Any) -> Any:
        a, b = slopes(p, x, y)
        c, d = slopes(p, x + h / 2 * a, y + h / 2 * b)
        e, f = slopes(p, x + h / 2 * c, y + h / 2 * d)
        g, k = slopes(p, x + h * e, y + h * f)
        return x + h / 6 * (a + 2 * c + 2 * e + g), y + h / 6 * (b + 2 * d + 2 * f + k)

    def loss(x: Any, y: Any, hares: Any, foxes: Any) -> Any:
        for _ in range(steps):
            x, y = ahead(rates, x, y)
        return (x - hares) ** 2 + (y - foxes) ** 2

    def cost(p: Any, x: Any, y: Any, hares: Any, foxes: Any) -> Any:
        (x, y), _ = jax.lax.scan(lambda at, _: (ahead(p, *at), None), (x, y), None, length=steps)
        return ((x - hares) ** 2 + (y - foxes) ** 2).mean()

    return Work(
        f"{steps:,} steps",
        loss,
        columns,
        rates,
        jax=lambda: with_jax(jax.value_and_grad(cost), start, *columns),
    )


def garch(steps: int) -> Work:
    """How likely a series of returns is, whose variance remembers the day before."""
    draw = numpy.random.default_rng(14)
    start, series = numpy.array([0.1, 0.1, 0.8]), draw.normal(size=(1, steps))
    omega, alpha, beta = parameters = values(start)

    def loss(returns: Any) -> Any:
        variance, total = 1.0, 0.0
        for r in returns:
            total = total + log(variance) + r * r / variance
            variance = omega + alpha * r * r + beta * variance
        return total / steps

    def cost(p: Any, series: Any) -> Any:
        def step(variance: Any, r: Any) -> Any:
            term = jnp.log(variance) + r * r / variance
            return p[0] + p[1] * r * r + p[2] * variance, term

        _, terms = jax.lax.scan(step, jnp.asarray(1.0), series[0])
        return terms.mean()

    return Work(
        f"{steps:,} steps",
        loss,
        (series,),
        parameters,
        jax=lambda: with_jax(jax.value_and_grad(cost), start, series),
    )


WORKS: Works = {
    "recurrent network": [lambda: recurrent(40, 8, 32), lambda: recurrent(1_000, 16, 32)],
    "hares and foxes": [lambda: predators(200), lambda: predators(20_000)],
    "garch": [lambda: garch(200), lambda: garch(10_000)],
}
