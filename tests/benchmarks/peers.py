"""compile() beside PyTorch, JAX, CasADi, heyoka, micrograd: ``python -m tests.benchmarks.peers``.

Needs the extra ``bench``; a peer that is not installed is left out. All compute in float64 on one
thread, in one process and in turn; what counts is the ratio of the medians. A work is the same for
all: none was changed to suit anybody. Names of works as arguments choose some.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import random
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy

from microgradlike import Value, compile, cos, dot, erf, exp, log, logsumexp, relu, sin, sqrt, take
from microgradlike.nn import MLP, Embedding
from tests.benchmarks import networks
from tests.benchmarks.networks import arrays_of
from tests.benchmarks.timing import compare


def installed(name: str) -> Any:
    """The module, or None."""
    with contextlib.suppress(ImportError):
        return importlib.import_module(name)
    return None


jax, jnp, torch, casadi, heyoka = map(installed, ("jax", "jax.numpy", "torch", "casadi", "heyoka"))
if jax:
    jax.config.update("jax_enable_x64", True)
if torch:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)

DRAW = numpy.random.default_rng(0)
Works = dict[str, Callable[[], object]]


def ready(function: Callable[..., Any], *arguments: Any) -> Callable[[], object]:
    """A compiled function of JAX on these arguments, until its result is there."""
    given = jax.tree.map(jnp.asarray, arguments)
    return lambda: jax.block_until_ready(function(*given))


def forward(parameters: Any, x: Any, activation: Any) -> Any:
    """A network on rows, for whichever arrays these are."""
    for k in range(0, len(parameters), 2):
        x = x @ parameters[k].T + parameters[k + 1]
        if k + 2 < len(parameters):
            x = activation(x)
    return x


def of_arrays(model: MLP, loss: Any, torch_loss: Any, *data: Any) -> Works:
    """The value and gradient of a loss of arrays, with PyTorch and JAX."""
    works: Works = {}
    if torch:
        parameters = [torch.tensor(a, requires_grad=True) for a in arrays_of(model)]
        given = [torch.tensor(a) for a in data]

        def eager() -> object:
            for p in parameters:
                p.grad = None
            value = torch_loss(parameters, *given)
            value.backward()
            return value

        works["torch"] = eager
    if jax:
        works["jax"] = ready(jax.jit(jax.value_and_grad(loss)), arrays_of(model), *data)
    return works


# ---- The works ---------------------------------------------------------------------------------


def moons() -> Works:
    """MLP 2-16-16-1, 100 rows, hinge and L2: value, gradient, and a step of SGD."""
    model, loss, X, y = networks.moons(100, DRAW)
    c = compile(loss).trace(X, y)
    theta = c.theta()

    def ours() -> object:
        value, gradient = c.value_and_grad(theta, X, y)
        return value, theta - 0.01 * gradient

    works: Works = {"ours": ours}
    start = arrays_of(model)

    def by_hand() -> object:
        value, slopes = networks.moons_by_hand(start, X, y)
        return value, [p - 0.01 * slope for p, slope in zip(start, slopes, strict=True)]

    works["numpy"] = by_hand
    if torch:
        parameters = [torch.tensor(a, requires_grad=True) for a in start]
        data, labels = torch.tensor(X), torch.tensor(y)
        optimizer = torch.optim.SGD(parameters, lr=1e-12)

        def eager() -> object:
            optimizer.zero_grad()
            margin = 1 - labels * forward(parameters, data, torch.relu)[:, 0]
            penalty = 1e-4 * sum((p * p).sum() for p in parameters)
            value = torch.relu(margin).mean() + penalty
            value.backward()
            optimizer.step()
            return value

        works["torch"] = eager
    if jax:

        def step(p: Any, x: Any, y: Any) -> Any:
            def cost(p: Any) -> Any:
                margin = 1 - y * forward(p, x, jax.nn.relu)[:, 0]
                return jax.nn.relu(margin).mean() + 1e-4 * sum((a * a).sum() for a in p)

            value, slopes = jax.value_and_grad(cost)(p)
            return value, [a - 0.01 * b for a, b in zip(p, slopes, strict=True)]

        works["jax"] = ready(jax.jit(step), start, X, y)
    if micrograd_nn := installed("micrograd.nn"):
        theirs = micrograd_nn.MLP(2, [16, 16, 1])

        def micrograd() -> object:
            scores = [theirs(row) for row in X.tolist()]
            margins = [(1 + -label * s).relu() for label, s in zip(y.tolist(), scores, strict=True)]
            penalty = 1e-4 * sum(p * p for p in theirs.parameters())
            value = sum(margins) * (1.0 / len(margins)) + penalty
            theirs.zero_grad()
            value.backward()
            for p in theirs.parameters():
                p.data -= 1e-12 * p.grad
            return value

        works["micrograd"] = micrograd
    return works


def scalars() -> Works:
    """The same network, written in scalars for everybody: value and gradient of 1,000 rows."""
    model = MLP(2, [16, 16, 1], seed=0)
    X, y = DRAW.normal(size=(1000, 2)), numpy.sign(DRAW.normal(size=1000))
    started = time.perf_counter()
    c = compile(lambda x, y: (1 - y * model(x)).relu()).trace(X, y)
    theta = c.theta()
    c.value_and_grad(theta, X, y)
    print(f"  first call: ours {time.perf_counter() - started:.2f} s", flush=True)
    numbers = numpy.concatenate([a.ravel() for a in arrays_of(model)])

    def scalar(theta: Any, x: Any, y: Any, largest: Any) -> Any:
        values, place = [x[0], x[1]], 0
        for inputs, outputs in ((2, 16), (16, 16), (16, 1)):
            sums = []
            for j in range(outputs):
                s = theta[place + inputs * outputs + j]
                for i in range(inputs):
                    s = s + theta[place + inputs * j + i] * values[i]
                sums.append(s)
            place += (inputs + 1) * outputs
            values = [largest(s, 0.0) for s in sums] if outputs > 1 else sums
        return largest(1 - y * values[0], 0.0)

    works: Works = {"ours": lambda: c.value_and_grad(theta, X, y)}
    if casadi:
        t, x, label = casadi.SX.sym("t", 337), casadi.SX.sym("x", 2), casadi.SX.sym("y")
        value = scalar(t, x, label, casadi.fmax)
        f = casadi.Function("f", [t, x, label], [value, casadi.gradient(value, t)]).map(1000)
        given = numpy.repeat(numbers[:, None], 1000, axis=1), X.T.copy(), y[None]
        works["casadi"] = lambda: [numpy.array(part).sum(axis=1) for part in f(*given)]
    if jax:

        def mean(theta: Any, X: Any, y: Any) -> Any:
            each = jax.vmap(lambda x, y: scalar(theta, x, y, jnp.maximum))
            return each(X, y).mean()

        step = ready(jax.jit(jax.value_and_grad(mean)), numbers, X, y)
        started = time.perf_counter()
        step()
        print(f"  first call: jax {time.perf_counter() - started:.2f} s", flush=True)
        works["jax"] = step
    return works


def classifier(*sizes: int) -> Works:
    """A classifier with relu and cross-entropy, batch 128."""
    model = MLP(sizes[0], sizes[1:], seed=0)
    X, labels = DRAW.normal(size=(128, sizes[0])), DRAW.integers(0, 10, 128)
    T = numpy.eye(10)[labels]

    def loss(x: Any, target: Any) -> Any:
        logits = model(x)
        return logsumexp(logits) - dot(logits, target)

    c = compile(loss).trace(X, T)
    theta = c.theta()

    def with_jax(p: Any, x: Any, t: Any) -> Any:
        logits = forward(p, x, jax.nn.relu)
        return (jax.nn.logsumexp(logits, axis=1) - (logits * t).sum(axis=1)).mean()

    def with_torch(p: Any, x: Any, labels: Any) -> Any:
        return torch.nn.functional.cross_entropy(forward(p, x, torch.relu), labels)

    works: Works = {"ours": lambda: c.value_and_grad(theta, X, T)}
    works |= of_arrays(model, with_jax, lambda p, x, t: with_torch(p, x, t.argmax(1)), X, T)
    return works


def regression() -> Works:
    """A tanh network 2-64-64-1, mean square, 10,000 rows."""
    model = MLP(2, [64, 64, 1], activation="tanh", seed=0)
    X, y = DRAW.normal(size=(10_000, 2)), DRAW.normal(size=10_000)
    c = compile(lambda x, y: (model(x) - y) ** 2).trace(X[:2], y[:2])
    theta = c.theta()

    def with_jax(p: Any, x: Any, y: Any) -> Any:
        return ((forward(p, x, jnp.tanh)[:, 0] - y) ** 2).mean()

    def with_torch(p: Any, x: Any, y: Any) -> Any:
        return ((forward(p, x, torch.tanh)[:, 0] - y) ** 2).mean()

    ours: Works = {"ours": lambda: c.value_and_grad(theta, X, y)}
    return ours | of_arrays(model, with_jax, with_torch, X, y)


def convolution() -> Works:
    """3x3, 8 channels on 12x12, relu, dense, mean square, batch 128."""
    kernels, dense = DRAW.normal(size=(8, 3, 3)) / 3, DRAW.normal(size=800) / 30
    K = [[Value(float(v)) for v in kernel.ravel()] for kernel in kernels]
    W = [Value(float(v)) for v in dense]
    own, last = [Value(0.0) for _ in K], Value(0.0)

    def loss(image: Any, y: Any) -> Any:
        total = last
        for channel in range(8):
            for r in range(10):
                for q in range(10):
                    patch = [image[r + a][q + b] for a in range(3) for b in range(3)]
                    h = relu(dot(K[channel], patch) + own[channel])
                    total = total + W[channel * 100 + r * 10 + q] * h
        return (total - y) ** 2

    X, y = DRAW.normal(size=(128, 12, 12)), DRAW.normal(size=128)
    c = compile(loss).trace(X[:2], y[:2])
    theta = c.theta()
    works: Works = {"ours": lambda: c.value_and_grad(theta, X, y)}
    start = [kernels[:, None], numpy.zeros(8), dense, numpy.zeros(())]
    if torch:
        p = [torch.tensor(a, requires_grad=True) for a in start]
        images, labels = torch.tensor(X)[:, None], torch.tensor(y)

        def eager() -> object:
            for a in p:
                a.grad = None
            h = torch.relu(torch.nn.functional.conv2d(images, p[0], p[1])).flatten(1)
            value = ((h @ p[2] + p[3] - labels) ** 2).mean()
            value.backward()
            return value

        works["torch"] = eager
    if jax:

        def cost(p: Any, x: Any, y: Any) -> Any:
            h = jax.lax.conv(x[:, None], p[0], (1, 1), "VALID") + p[1][None, :, None, None]
            h = jax.nn.relu(h).reshape(len(x), -1)
            return ((h @ p[2] + p[3] - y) ** 2).mean()

        works["jax"] = ready(jax.jit(jax.value_and_grad(cost)), start, X, y)
    return works


def mixture() -> Works:
    """The log-likelihood of a Gaussian mixture: d = 10, K = 25, n = 10,000, full covariances."""
    d, K, n = 10, 25, 10_000
    alphas, mu = DRAW.normal(size=K), DRAW.normal(size=(K, d))
    q, lower = DRAW.normal(size=(K, d)) * 0.1, DRAW.normal(size=(K, d * (d - 1) // 2)) * 0.1
    A = [Value(float(v)) for v in alphas]
    M, Q, L = ([[Value(float(v)) for v in row] for row in table] for table in (mu, q, lower))

    def likelihood(x: Any) -> Any:
        terms = []
        for k in range(K):
            z = [x[i] - M[k][i] for i in range(d)]
            rows = []
            for i in range(d):
                total = exp(Q[k][i]) * z[i]
                for j in range(i):
                    total = total + L[k][i * (i - 1) // 2 + j] * z[j]
                rows.append(total)
            terms.append(A[k] + sum(Q[k]) - 0.5 * sum(v * v for v in rows))
        return logsumexp(terms) - logsumexp(A)

    X = DRAW.normal(size=(n, d))
    c = compile(likelihood).trace(X[:2])
    theta = c.theta()
    works: Works = {
        "ours": lambda: c.value_and_grad(theta, X),
        "ours, value only": lambda: c(X),
    }
    row, column = numpy.tril_indices(d, -1)
    start = [alphas, mu, q, lower]
    if jax:

        def cost(p: Any, x: Any) -> Any:
            a, m, q, lower = p
            factor = jnp.zeros((K, d, d)).at[:, row, column].set(lower)
            factor = factor + jax.vmap(jnp.diag)(jnp.exp(q))
            y = jnp.einsum("kij,nkj->nki", factor, x[:, None] - m)
            terms = a + q.sum(axis=1) - 0.5 * (y * y).sum(axis=2)
            return (jax.nn.logsumexp(terms, axis=1) - jax.nn.logsumexp(a)).mean()

        works["jax"] = ready(jax.jit(jax.value_and_grad(cost)), start, X)
    if torch:
        p = [torch.tensor(a, requires_grad=True) for a in start]
        data = torch.tensor(X)

        def eager() -> object:
            for a in p:
                a.grad = None
            factor = torch.zeros((K, d, d)).index_put(
                (torch.arange(K)[:, None], torch.tensor(row), torch.tensor(column)), p[3]
            )
            factor = factor + torch.diag_embed(torch.exp(p[2]))
            y = torch.einsum("kij,nkj->nki", factor, data[:, None] - p[1])
            terms = p[0] + p[2].sum(dim=1) - 0.5 * (y * y).sum(dim=2)
            value = (torch.logsumexp(terms, 1) - torch.logsumexp(p[0], 0)).mean()
            value.backward()
            return value

        works["torch"] = eager
    return works


def factors() -> Works:
    """Users x items, 500 x 1,000, 20 factors, 10,000 rows: value and gradient."""
    users, items = Embedding(500, 20, seed=0), Embedding(1000, 20, seed=1)
    X, Z, y = (
        DRAW.integers(0, 500, 10_000),
        DRAW.integers(0, 1000, 10_000),
        DRAW.normal(size=10_000),
    )
    c = compile(lambda u, i, y: (dot(users(u), items(i)) - y) ** 2).trace(X, Z, y)
    theta = c.theta()
    works: Works = {"ours": lambda: c.value_and_grad(theta, X, Z, y)}
    start = [numbers_of(users), numbers_of(items)]
    if jax:

        def cost(p: Any, u: Any, i: Any, y: Any) -> Any:
            return (((p[0][u] * p[1][i]).sum(axis=1) - y) ** 2).mean()

        works["jax"] = ready(jax.jit(jax.value_and_grad(cost)), start, X, Z, y)
    if torch:
        p = [torch.tensor(a, requires_grad=True) for a in start]
        u, i, target = (torch.tensor(a) for a in (X, Z, y))

        def eager() -> object:
            for a in p:
                a.grad = None
            value = (((p[0][u] * p[1][i]).sum(dim=1) - target) ** 2).mean()
            value.backward()
            return value

        works["torch"] = eager
    return works


def tokens() -> Works:
    """The next of 27 characters after 3, embedding 27 x 16, MLP 48-64-27, 1,000 rows."""
    words, model = Embedding(27, 16, seed=0), MLP(48, [64, 27], activation="tanh", seed=0)

    def loss(context: Any, target: Any) -> Any:
        scores = model([v for token in context for v in words(token)])
        return logsumexp(scores) - take(scores, target)

    X, y = DRAW.integers(0, 27, (1000, 3)), DRAW.integers(0, 27, 1000)
    c = compile(loss).trace(X, y)
    theta = c.theta()
    works: Works = {"ours": lambda: c.value_and_grad(theta, X, y)}
    start = [numbers_of(words), *arrays_of(model)]
    if jax:

        def cost(p: Any, x: Any, y: Any) -> Any:
            scores = forward(p[1:], p[0][x].reshape(len(x), -1), jnp.tanh)
            right = jnp.take_along_axis(scores, y[:, None], axis=1)[:, 0]
            return (jax.nn.logsumexp(scores, axis=1) - right).mean()

        works["jax"] = ready(jax.jit(jax.value_and_grad(cost)), start, X, y)
    if torch:
        p = [torch.tensor(a, requires_grad=True) for a in start]
        data, labels = torch.tensor(X), torch.tensor(y)

        def eager() -> object:
            for a in p:
                a.grad = None
            scores = forward(p[1:], p[0][data].flatten(1), torch.tanh)
            value = torch.nn.functional.cross_entropy(scores, labels)
            value.backward()
            return value

        works["torch"] = eager
    return works


def numbers_of(table: Embedding) -> Any:
    """The numbers of a table, as an array."""
    return numpy.array([[v.data for v in row] for row in table.table])


def bundle() -> Works:
    """The 2 x 15 Jacobian of the reprojection error of bundle adjustment, of 31,843 rows."""

    def error(camera: Any, point: Any, weight: Any, f: Any) -> Any:
        theta = f.sqrt(camera[0] ** 2 + camera[1] ** 2 + camera[2] ** 2)
        p = [point[i] - camera[3 + i] for i in range(3)]
        w = [camera[i] / theta for i in range(3)]
        c, s = f.cos(theta), f.sin(theta)
        cross = [w[1] * p[2] - w[2] * p[1], w[2] * p[0] - w[0] * p[2], w[0] * p[1] - w[1] * p[0]]
        along = (w[0] * p[0] + w[1] * p[1] + w[2] * p[2]) * (1 - c)
        r = [p[i] * c + cross[i] * s + w[i] * along for i in range(3)]
        x, y = r[0] / r[2], r[1] / r[2]
        square = x * x + y * y
        bend = 1 + camera[9] * square + camera[10] * square * square
        u, v = camera[7] + x * bend * camera[6], camera[8] + y * bend * camera[6]
        return [weight * (u - 0.1), weight * (v - 0.2)]

    ours = SimpleNamespace(sqrt=sqrt, sin=sin, cos=cos)

    n = 31_843
    cameras, points = DRAW.normal(size=(n, 11)), DRAW.normal(size=(n, 3))
    points[:, 2] += 5.0
    weights = DRAW.normal(size=n)
    c = compile(lambda a, b, w: error(a, b, w, ours)).trace(cameras[:2], points[:2], weights[:2])
    works: Works = {"ours": lambda: c.jacobian(cameras, points, weights)}
    if jax:
        row = jax.jacrev(lambda a, b, w: jnp.stack(error(a, b, w, jnp)), argnums=(0, 1, 2))
        works["jax"] = ready(jax.jit(jax.vmap(row)), cameras, points, weights)
    if torch:
        of_row = torch.func.jacrev(
            lambda a, b, w: torch.stack(error(a, b, w, torch)), argnums=(0, 1, 2)
        )
        rows, given = torch.func.vmap(of_row), [torch.tensor(a) for a in (cameras, points, weights)]
        works["torch"] = lambda: rows(*given)
    return works


def options() -> Works:
    """The gradient of a Black-Scholes price by its five inputs, in each of 1,000,000 rows."""

    def price(f: Any, s: Any, k: Any, t: Any, r: Any, v: Any) -> Any:
        d1 = (f.log(s / k) + (r + v * v / 2) * t) / (v * f.sqrt(t))
        d2 = d1 - v * f.sqrt(t)
        first, second = (0.5 * (1 + f.erf(d / math.sqrt(2))) for d in (d1, d2))
        return s * first - k * f.exp(-r * t) * second

    ours = SimpleNamespace(sqrt=sqrt, log=log, exp=exp, erf=erf)

    n = 1_000_000
    bounds = ((50, 150), (50, 150), (0.1, 2), (0, 0.1), (0.1, 0.5))
    columns = [DRAW.uniform(low, high, n) for low, high in bounds]
    c = compile(lambda *x: price(ours, *x)).trace(*[x[:2] for x in columns])
    works: Works = {"ours": lambda: c.jacobian(*columns)}
    if jax:
        theirs = SimpleNamespace(sqrt=jnp.sqrt, log=jnp.log, exp=jnp.exp, erf=jax.scipy.special.erf)
        row = jax.grad(lambda *x: price(theirs, *x), argnums=(0, 1, 2, 3, 4))
        works["jax"] = ready(jax.jit(jax.vmap(row)), *columns)
    return works


def hamiltonian() -> Works:
    """Three bodies, one without mass: the Hamiltonian and its gradient, 1,000,000 rows."""
    mu = 0.01

    def energy(f: Any, x: Any, y: Any, z: Any, px: Any, py: Any, pz: Any) -> Any:
        first = f.sqrt((x - mu) * (x - mu) + y * y + z * z)
        second = f.sqrt((x - mu + 1) * (x - mu + 1) + y * y + z * z)
        kinetic = 0.5 * (px * px + py * py + pz * pz)
        return kinetic + y * px - x * py - (1 - mu) / first - mu / second

    columns = list(DRAW.uniform(0.2, 1.5, (6, 1_000_000)))
    c = compile(lambda *x: energy(SimpleNamespace(sqrt=sqrt), *x)).trace(*[x[:2] for x in columns])
    works: Works = {"ours": lambda: c.value_and_jacobian(*columns)}
    if heyoka:
        names = heyoka.make_vars("x", "y", "z", "px", "py", "pz")
        h = energy(heyoka, *names)
        function = heyoka.cfunc([h, *(heyoka.diff(h, v) for v in names)], names)
        given, found = numpy.array(columns), numpy.empty((7, len(columns[0])))
        works["heyoka"] = lambda: function(given)
        works["heyoka, its buffers"] = lambda: function(given, outputs=found)
    if jax:
        row = jax.value_and_grad(lambda *x: energy(jnp, *x), argnums=tuple(range(6)))
        works["jax"] = ready(jax.jit(jax.vmap(row)), *columns)
    return works


def expression() -> Works:
    """The gradient of one scalar expression of 1,000 operations, of one row."""

    def f(x: Any, s: Any) -> Any:
        draw, pool = random.Random(1), list(x)
        for _ in range(1000):
            a, b, kind = draw.choice(pool), draw.choice(pool), draw.random()
            pool.append(
                a + b
                if kind < 0.4
                else a * b * 0.5
                if kind < 0.7
                else s(a)
                if kind < 0.85
                else a - b
            )
        return sum(pool[-20:])

    X = DRAW.normal(size=(1, 10)) * 0.1
    c = compile(lambda x: f(x, sin)).trace(X)
    works: Works = {"ours": lambda: c.jacobian(X)}
    if casadi:
        x = casadi.SX.sym("x", 10)
        value = f([x[i] for i in range(10)], casadi.sin)
        gradient = casadi.Function("g", [x], [casadi.gradient(value, x)])
        buffer, run = gradient.buffer()
        found = numpy.zeros(10)
        buffer.set_arg(0, memoryview(X.ravel()))
        buffer.set_res(0, memoryview(found))
        works["casadi"] = lambda: gradient(X[0])
        works["casadi, its buffers"] = lambda kept=(buffer, X, found): run()  # type: ignore[misc]
    return works


def threads() -> Works:
    """The moons network on 100,000 rows, with two threads; and with one."""
    _, loss, X, y = networks.moons(100_000, DRAW)

    def on(count: int) -> Callable[[], object]:
        c = compile(loss, threads=count).trace(X, y)
        theta = c.theta()
        return lambda: c.value_and_grad(theta, X, y)

    return {"ours": on(2), "one thread": on(1)}


WORKS: dict[str, tuple[Callable[[], Works], int, int]] = {
    "moons": (moons, 21, 200),
    "scalars": (scalars, 7, 3),
    "64-32-10": (lambda: classifier(64, 32, 10), 21, 50),
    "784-128-10": (lambda: classifier(784, 128, 10), 15, 10),
    "784-512-512-10": (lambda: classifier(784, 512, 512, 10), 11, 2),
    "regression": (regression, 11, 2),
    "convolution": (convolution, 15, 10),
    "mixture": (mixture, 9, 1),
    "factors": (factors, 15, 10),
    "tokens": (tokens, 15, 10),
    "bundle": (bundle, 9, 1),
    "options": (options, 5, 1),
    "hamiltonian": (hamiltonian, 7, 1),
    "expression": (expression, 15, 100),
    "threads": (threads, 15, 2),
}


def main() -> None:
    for name in sys.argv[1:] or WORKS:
        make, runs, calls = WORKS[name]
        print(
            f"{name}: {make.__doc__ or 'classifier with relu, cross-entropy, batch 128'}",
            flush=True,
        )
        works = make()
        slow = works.pop("micrograd", None)
        medians = dict(zip(works, compare(list(works.values()), runs, calls), strict=True))
        if slow:
            medians["micrograd"] = compare([slow], 3)[0]
        ours = medians["ours"]
        for peer, seconds in medians.items():
            print(
                f"  {peer:20}{1e6 * seconds:14,.1f} us   ours / it {ours / seconds:.4g}", flush=True
            )


if __name__ == "__main__":
    main()
