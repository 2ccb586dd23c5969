"""Programs with plain branches: ``if``, ``max``, ``min``, lists that change places."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from microgradlike import dot, exp, relu
from tests.benchmarks.side_by_side import (
    Work,
    Works,
    jax,
    jax_rows,
    jnp,
    values,
    with_jax,
)

# ---- Independent decisions ---------------------------------------------------------------------


def ifs(count: int, rows: int) -> Work:
    """A regression by hinges: each input decides for itself which of two slopes it has."""
    draw = numpy.random.default_rng(count)
    X, y = draw.normal(size=(rows, count)), draw.normal(size=rows)
    start = [draw.normal(size=count) for _ in range(3)] + [numpy.zeros(1)]
    knots, above, below, (offset,) = parts = list(map(values, start))

    def loss(x: Any, y: Any) -> Any:
        total = offset
        for k in range(count):
            if x[k] > knots[k]:
                total = total + above[k] * (x[k] - knots[k])
            else:
                total = total + below[k] * (knots[k] - x[k])
        return (total - y) ** 2

    def cost(p: Any, X: Any, y: Any) -> Any:
        knots, above, below, offset = p
        d = X - knots
        total = offset + jnp.where(d > 0, above * d, -below * d).sum(axis=1)
        return ((total - y) ** 2).mean()

    return Work(
        f"{rows:,} rows",
        loss,
        (X, y),
        [p for part in parts for p in part],
        jax=lambda: with_jax(jax.value_and_grad(cost), start, X, y),
    )


#: From, to, and the share of what is between that is due.
BRACKETS = (
    *((0.0, 900.0, 0.0), (900.0, 1_600.0, 0.12), (1_600.0, 3_200.0, 0.22)),
    *((3_200.0, 6_000.0, 0.32), (6_000.0, math.inf, 0.42)),
)


def payroll(rows: int) -> Work:
    """Pay after tax; its derivatives are what one more hour, or a better wage, is worth."""

    def net(wage: Any, hours: Any, children: Any, years: Any) -> Any:
        gross = wage * hours
        if hours > 160:
            gross = gross + 0.5 * wage * (hours - 160)
        if years >= 10:
            gross = gross * 1.05
        elif years >= 5:
            gross = gross * 1.02
        pension = 0.09 * min(gross, 5_000.0)
        health = 0.07 * gross if gross < 4_000 else 280 + 0.02 * (gross - 4_000)
        taxed = gross - pension
        if children > 0:
            taxed = taxed - 100 * children
        tax: Any = 0.0
        for low, high, rate in BRACKETS:
            if taxed > low:
                tax = tax + rate * (min(taxed, high) - low)
        return gross - pension - health - tax

    def with_where(wage: Any, hours: Any, children: Any, years: Any) -> Any:
        gross = wage * hours + 0.5 * wage * jnp.maximum(hours - 160, 0)
        gross = gross * jnp.where(years >= 10, 1.05, jnp.where(years >= 5, 1.02, 1.0))
        pension = 0.09 * jnp.minimum(gross, 5_000.0)
        health = jnp.where(gross < 4_000, 0.07 * gross, 280 + 0.02 * (gross - 4_000))
        taxed = gross - pension - jnp.where(children > 0, 100 * children, 0)
        low, high, rate = jnp.array(BRACKETS).T
        tax = (rate * jnp.clip(taxed - low, 0, high - low)).sum()
        return gross - pension - health - tax

    draw = numpy.random.default_rng(2)
    columns = (
        draw.uniform(8, 45, rows),
        draw.uniform(60, 220, rows),
        draw.integers(0, 4, rows).astype(float),
        draw.uniform(0, 20, rows),
    )
    return Work(
        f"{rows:,} rows",
        net,
        columns,
        jax=lambda: jax_rows(with_where, *columns),
    )


def tree(depth: int, rows: int) -> Work:
    """A regression tree: its questions are fixed, what its leaves say is learned."""
    draw = numpy.random.default_rng(3)
    leaves = 2**depth
    feature, threshold = draw.integers(0, 8, leaves), draw.normal(size=leaves) * 0.7
    features, thresholds = feature.tolist(), threshold.tolist()
    X, y, start = draw.normal(size=(rows, 8)), draw.normal(size=rows), draw.normal(size=leaves)
    said = values(start)

    def descend(x: Any, node: int = 1) -> Any:
        if node >= leaves:
            return said[node - leaves]
        if x[features[node]] < thresholds[node]:
            return descend(x, 2 * node)
        return descend(x, 2 * node + 1)

    def cost(said: Any, X: Any, y: Any) -> Any:
        def predict(x: Any) -> Any:
            node = 1
            for _ in range(depth):
                node = 2 * node + (x[jnp.array(feature)[node]] >= jnp.array(threshold)[node])
            return said[node - leaves]

        return ((jax.vmap(predict)(X) - y) ** 2).mean()

    return Work(
        f"depth {depth}, {rows:,} rows",
        lambda x, y: (descend(x) - y) ** 2,
        (X, y),
        said,
        jax=lambda: with_jax(jax.value_and_grad(cost), start, X, y),
    )


# ---- Decisions in a loop -----------------------------------------------------------------------


def ball(rows: int, steps: int) -> Work:
    """Where a bouncing ball is in the end, and how that depends on how it was thrown."""

    def height(y: Any, v: Any, bounce: Any) -> Any:
        for _ in range(steps):
            v = v - 9.81 * 0.01
            y = y + 0.01 * v
            if y < 0:
                y = -bounce * y
                v = -bounce * v
        return y

    def scanned(y: Any, v: Any, bounce: Any) -> Any:
        def step(state: Any, _: Any) -> Any:
            y, v = state
            v = v - 9.81 * 0.01
            y = y + 0.01 * v
            hit = y < 0
            return (jnp.where(hit, -bounce * y, y), jnp.where(hit, -bounce * v, v)), None

        return jax.lax.scan(step, (y, v), None, length=steps)[0][0]

    draw = numpy.random.default_rng(4)
    columns = draw.uniform(0.5, 2, rows), draw.normal(size=rows), draw.uniform(0.6, 0.95, rows)
    return Work(
        f"{steps} steps, {rows:,} rows",
        height,
        columns,
        jax=lambda: jax_rows(scanned, *columns),
    )


def barrier(rows: int, steps: int) -> Work:
    """What an option is worth that ends with nothing once the price falls too low."""

    def payoff(price: Any, volatility: Any, draws: Any) -> Any:
        for draw in draws:
            price = price * exp(0.1 * volatility * draw - 0.005 * volatility**2)
            if price < 0.8:
                return 0.0
        return max(price - 1.0, 0.0)

    def with_where(price: Any, volatility: Any, draws: Any) -> Any:
        moves = jnp.exp(0.1 * volatility * draws - 0.005 * volatility**2)
        prices = price * jnp.cumprod(moves)
        return jnp.where((prices >= 0.8).all(), jnp.maximum(prices[-1] - 1.0, 0.0), 0.0)

    draw = numpy.random.default_rng(17)
    columns = (
        draw.uniform(0.9, 1.3, rows),
        draw.uniform(0.5, 1.5, rows),
        draw.normal(size=(rows, steps)),
    )
    return Work(
        f"{steps} steps, {rows:,} rows",
        payoff,
        columns,
        jax=lambda: jax_rows(with_where, *columns),
    )


def outliers(points: int, rows: int) -> Work:
    """A line through points, of which those far away do not count."""
    draw = numpy.random.default_rng(18)
    start = numpy.array([0.5, 0.1])
    slope, offset = parameters = values(start)
    X = draw.normal(size=(rows, points))
    columns = X, X + draw.standard_t(2, size=(rows, points))

    def loss(x: Any, y: Any) -> Any:
        total: Any = 0.0
        for a, b in zip(x, y, strict=True):
            residual = b - (slope * a + offset)
            if abs(residual) > 2:
                continue
            total = total + residual**2
        return total

    def cost(p: Any, x: Any, y: Any) -> Any:
        residuals = y - (p[0] * x + p[1])
        return jnp.where(jnp.abs(residuals) > 2, 0.0, residuals**2).sum(axis=1).mean()

    return Work(
        f"{points} points, {rows:,} rows",
        loss,
        columns,
        parameters,
        jax=lambda: with_jax(jax.value_and_grad(cost), start, *columns),
    )


def pid(rows: int, steps: int) -> Work:
    """A controller whose output and whose memory have limits: how its three gains are better."""
    start = numpy.array([2.0, 0.5, 0.1])
    gains = kp, ki, kd = values(start)

    def loss(target: Any, lag: Any) -> Any:
        y: Any = 0.0
        memory: Any = 0.0
        before: Any = target
        total: Any = 0.0
        for _ in range(steps):
            error = target - y
            memory = min(max(memory + 0.05 * error, -1.0), 1.0)
            u = kp * error + ki * memory + kd * (error - before) / 0.05
            u = min(max(u, -2.0), 2.0)
            y = y + 0.05 * (u - y) / lag
            before = error
            total = total + error * error
        return total / steps

    def cost(gains: Any, target: Any, lag: Any) -> Any:
        kp, ki, kd = gains

        def step(state: Any, _: Any) -> Any:
            y, memory, before = state
            error = target - y
            memory = jnp.clip(memory + 0.05 * error, -1.0, 1.0)
            u = kp * error + ki * memory + kd * (error - before) / 0.05
            u = jnp.clip(u, -2.0, 2.0)
            return (y + 0.05 * (u - y) / lag, memory, error), error * error

        zero = jnp.zeros_like(target)
        return jax.lax.scan(step, (zero, zero, target), None, length=steps)[1].mean()

    draw = numpy.random.default_rng(5)
    columns = draw.uniform(0.2, 3, rows), draw.uniform(0.3, 2, rows)
    return Work(
        f"{steps} steps, {rows:,} rows",
        loss,
        columns,
        gains,
        jax=lambda: with_jax(jax.value_and_grad(cost), start, *columns),
    )


def pooling(rows: int) -> Work:
    """Convolution 3x3 with 4 channels on 8x8, the largest of 2x2, and a dense layer."""
    draw = numpy.random.default_rng(6)
    X, y = draw.normal(size=(rows, 8, 8)), draw.normal(size=rows)
    start = [draw.normal(size=(4, 3, 3)) / 3, draw.normal(size=(4, 3, 3)) / 6]
    kernels, dense = values(start[0].reshape(4, 9)), values(start[1])
    cells = [(r, q) for r in range(3) for q in range(3)]

    def loss(image: Any, y: Any) -> Any:
        total: Any = 0.0
        for kernel, weights in zip(kernels, dense, strict=True):
            found = [
                [dot(kernel, [image[r + a][q + b] for a, b in cells]) for q in range(6)]
                for r in range(6)
            ]
            for r, q in cells:
                largest = max(found[2 * r + a][2 * q + b] for a in range(2) for b in range(2))
                total = total + weights[r][q] * relu(largest)
        return (total - y) ** 2

    def cost(p: Any, X: Any, y: Any) -> Any:
        kernels, dense = p
        found = jax.lax.conv(X[:, None], kernels[:, None], (1, 1), "VALID")
        pooled = found.reshape(-1, 4, 3, 2, 3, 2).max(axis=(3, 5))
        return (((jax.nn.relu(pooled) * dense).sum(axis=(1, 2, 3)) - y) ** 2).mean()

    parameters = [p for kernel in kernels for p in kernel]
    parameters += [p for channel in dense for row in channel for p in row]
    return Work(
        f"{rows:,} images",
        loss,
        (X, y),
        parameters,
        jax=lambda: with_jax(jax.value_and_grad(cost), start, X, y),
    )


# ---- Lists whose elements change places --------------------------------------------------------


def swap_when_larger(A: Any, b: Any, k: int) -> None:
    """The row with the largest number in column k comes up, as the rows below are looked at."""
    for r in range(k + 1, len(b)):
        if abs(A[r][k]) > abs(A[k][k]):
            A[k], A[r] = A[r], A[k]
            b[k], b[r] = b[r], b[k]


def look_for_largest(A: Any, b: Any, k: int) -> None:
    """The same, once it is known which row that is."""
    pivot = max(range(k, len(b)), key=lambda r: abs(A[r][k]))
    A[k], A[pivot] = A[pivot], A[k]
    b[k], b[pivot] = b[pivot], b[k]


def median(length: int, rows: int) -> Work:
    """A signal without its spikes: of each five numbers the middle one, then a weighted sum."""
    draw = numpy.random.default_rng(19)
    start = draw.normal(size=length - 4)
    weights = values(start)
    columns = draw.normal(size=(rows, length)), draw.normal(size=rows)

    def loss(signal: Any, target: Any) -> Any:
        smooth = [sorted(signal[k : k + 5])[2] for k in range(length - 4)]
        return (dot(weights, smooth) - target) ** 2

    def cost(weights: Any, signals: Any, targets: Any) -> Any:
        windows = jnp.stack([signals[:, k : length - 4 + k] for k in range(5)])
        return ((jnp.median(windows, axis=0) @ weights - targets) ** 2).mean()

    return Work(
        f"{length} numbers, {rows:,} rows",
        loss,
        columns,
        weights,
        jax=lambda: with_jax(jax.value_and_grad(cost), start, *columns),
    )


def gauss(n: int, rows: int, choose: Callable[[Any, Any, int], None]) -> Work:
    """Linear equations by elimination with pivoting: the derivatives of the solution's length."""

    def length(A: Any, b: Any) -> Any:
        A, b = [list(row) for row in A], list(b)
        for k in range(n):
            choose(A, b, k)
            for r in range(k + 1, n):
                factor = A[r][k] / A[k][k]
                for q in range(k + 1, n):
                    A[r][q] = A[r][q] - factor * A[k][q]
                b[r] = b[r] - factor * b[k]
        x: list[Any] = [0.0] * n
        for k in reversed(range(n)):
            known = sum(A[k][q] * x[q] for q in range(k + 1, n))
            x[k] = (b[k] - known) / A[k][k]
        return sum(number * number for number in x)

    draw = numpy.random.default_rng(7)
    columns = draw.normal(size=(rows, n, n)) + 0.5 * numpy.eye(n), draw.normal(size=(rows, n))
    return Work(
        f"{n} x {n}, {rows:,} rows",
        length,
        columns,
        jax=lambda: jax_rows(lambda A, b: (jnp.linalg.solve(A, b) ** 2).sum(), *columns),
    )


WORKS: Works = {
    "six ifs": [lambda: ifs(6, 10_000)],
    "payroll": [lambda: payroll(10_000)],
    "decision tree": [lambda: tree(5, 10_000)],
    "bouncing ball": [lambda: ball(100, 200), lambda: ball(1_000, 200)],
    "barrier option": [lambda: barrier(10_000, 20)],
    "outliers": [lambda: outliers(6, 10_000), lambda: outliers(20, 10_000)],
    "pid": [lambda: pid(200, 100)],
    "max pooling": [lambda: pooling(200)],
    "ten ifs": [lambda: ifs(10, 10_000)],
    "median filter": [lambda: median(8, 200), lambda: median(32, 1_000)],
    "gauss": [lambda: gauss(3, 1_000, swap_when_larger), lambda: gauss(5, 1_000, swap_when_larger)],
    "gauss by max": [
        lambda: gauss(3, 1_000, look_for_largest),
        lambda: gauss(5, 1_000, look_for_largest),
    ],
}
