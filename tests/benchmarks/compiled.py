"""compile() beside NumPy by hand, and what it costs: ``python -m tests.benchmarks.compiled``.

A step is the value of the mean loss and its gradient by all parameters, in float64. Both sides run
in turn, and what counts is the ratio of the medians. For one core set OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy

from microgradlike import compile, dot, functions, logsumexp, losses, sin
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.passes import build
from microgradlike.compiler.tape import trace
from microgradlike.executors.formulas import UFUNCS, formula
from microgradlike.nn import MLP
from microgradlike.ops import OPERATORS
from tests.benchmarks import networks
from tests.benchmarks.networks import arrays_of
from tests.benchmarks.timing import compare

DRAW = numpy.random.default_rng(0)

Step = Callable[[], object]


# ---- The same step, compiled and by hand -------------------------------------------------------


def moons() -> tuple[Step, Step, Step]:
    """MLP 2-16-16-1, 100 rows, hinge and L2: compiled, by hand, and the eager engine."""
    model, loss, X, y = networks.moons(100, DRAW)
    c = compile(loss).trace(X, y)
    theta, start = c.theta(), arrays_of(model)

    def eager() -> object:
        model.zero_grad()
        for row, target in zip(X.tolist(), y.tolist(), strict=True):
            ((1 - target * model(row)).relu() / len(y)).backward()
        losses.l2(model.parameters()).backward()
        return None

    return (
        lambda: c.value_and_grad(theta, X, y),
        lambda: networks.moons_by_hand(start, X, y),
        eager,
    )


def classifier(*sizes: int, rows: int = 128) -> tuple[Step, Step]:
    """A classifier with relu and the cross-entropy of one-hot targets: compiled, and by hand."""
    model = MLP(sizes[0], sizes[1:], seed=0)
    X, T = DRAW.normal(size=(rows, sizes[0])), numpy.eye(10)[DRAW.integers(0, 10, rows)]

    def loss(x: Any, target: Any) -> Any:
        logits = model(x)
        return logsumexp(logits) - dot(logits, target)

    c = compile(loss).trace(X, T)
    theta = c.theta()
    start = arrays_of(model)
    weights, biases = start[::2], start[1::2]

    def by_hand() -> object:
        activations = [X]
        for w, b in zip(weights, biases, strict=True):
            sums = activations[-1] @ w.T + b
            activations.append(numpy.maximum(sums, 0))
        largest = sums.max(axis=1, keepdims=True)
        e = numpy.exp(sums - largest)
        total = e.sum(axis=1, keepdims=True)
        value = (numpy.log(total) + largest)[:, 0].mean() - (sums * T).sum() / rows
        delta = (e / total - T) / rows
        slopes = []
        for k in reversed(range(len(weights))):
            slopes.append((activations[k].T @ delta, delta.sum(axis=0)))
            if k:
                delta = delta @ weights[k] * (activations[k] > 0)
        return value, slopes

    return lambda: c.value_and_grad(theta, X, T), by_hand


# ---- What a function costs ---------------------------------------------------------------------


def functions_of_numbers() -> Iterator[tuple[str, Step, Step]]:
    """Each operator of one operand, on 512 rows of 64 numbers: compiled, and with NumPy."""
    X = DRAW.uniform(0.1, 0.9, size=(512, 64))
    for row in OPERATORS.values():
        if len(row.slopes) > 1 or row.name == "where":
            continue
        f = getattr(functions, row.name)
        numbers = X + 1 if row.name == "acosh" else X
        c = compile(lambda x, f=f: [f(v) for v in x]).trace(numbers)
        by_hand = UFUNCS.get(row.name) or partial(formula(row.value), y=None, out=None, tie=0.0)
        yield row.name, partial(c, numbers), partial(by_hand, numbers)


# ---- What tracing costs ------------------------------------------------------------------------


def network(*sizes: int) -> tuple[str, Callable[..., Any], list[float]]:
    """A network; it has layers to be found."""
    return "-".join(map(str, sizes)), MLP(sizes[0], sizes[1:], seed=0), [0.5] * sizes[0]


def chain(steps: int) -> tuple[str, Callable[..., Any], list[float]]:
    """Scalar code that has none: three operations a step, each of the one before."""

    def f(x: Any) -> Any:
        found = x[0]
        for _ in range(steps):
            found = sin(found) * 0.5 + found
        return found

    return f"chain of {3 * steps:,}", f, [0.5]


def cost(f: Callable[..., Any], example: list[float]) -> tuple[int, float, float]:
    """The nodes of a function's tape, the seconds to trace it, and those to find its layers."""
    start = time.perf_counter()
    tape = trace(f, [example])
    traced = time.perf_counter()
    build(Graph(tape, tape.outputs))
    return len(tape.nodes), traced - start, time.perf_counter() - traced


_MANY_ROWS = """
import sys
import numpy
from microgradlike import Value, compile, tanh
rows = numpy.load(sys.argv[1], mmap_mode="r")
w = [Value(0.1 * i) for i in range(rows.shape[1])]
compile(lambda x: tanh(sum(a * v for a, v in zip(w, x)))).mean(rows).backward()
status = open("/proc/self/status").read().split()
print(int(status[status.index("VmHWM:") + 1]) // 1024)
"""


def memory_of_many_rows(rows: int) -> int:
    """The largest memory, in MB, of a process that goes over a file of rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.npy")
        file = numpy.lib.format.open_memmap(path, mode="w+", dtype=numpy.float64, shape=(rows, 8))
        for start in range(0, rows, 1_000_000):
            part = file[start : start + 1_000_000]
            part[:] = DRAW.normal(size=part.shape)
        del file, part
        run = [sys.executable, "-c", _MANY_ROWS, path]
        return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)


_FIRST_RESULT = """
import time
start = time.perf_counter()
import numpy
from microgradlike import compile
from microgradlike.nn import MLP
model = MLP(2, [16, 16, 1], seed=0)
def loss(x, y):
    return (1 - y * model(x)).relu() + 1e-4 * sum(p * p for p in model.parameters())
compile(loss).mean(numpy.ones((100, 2)), numpy.ones(100)).backward()
print(time.perf_counter() - start)
"""


def first_results() -> list[float]:
    """The seconds from nothing to a first gradient: with an empty cache, then with a filled one."""
    with tempfile.TemporaryDirectory() as folder:
        places = dict.fromkeys(("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"), folder)
        run = [sys.executable, "-c", _FIRST_RESULT]
        return [
            float(
                subprocess.run(run, capture_output=True, check=True, env=os.environ | places).stdout
            )
            for _ in range(2)
        ]


def main() -> None:
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, ")
    print(f"NumPy {numpy.__version__}\n")
    print("| step | compiled | NumPy by hand | ratio |\n|---|---|---|---|")
    ours, by_hand, eager = moons()
    works = {
        "moons, MLP 2-16-16-1, 100 rows": ((ours, by_hand), 100),
        "classifier 64-32-10, 128 rows": (classifier(64, 32, 10), 100),
        "classifier 784-128-10, 128 rows": (classifier(784, 128, 10), 20),
        "classifier 784-512-512-10, 128 rows": (classifier(784, 512, 512, 10), 3),
    }
    for name, (pair, calls) in works.items():
        a, b = compare(list(pair), runs=21, calls=calls)
        print(f"| {name} | {1e6 * a:,.0f} us | {1e6 * b:,.0f} us | {a / b:.2f} |")
    a, b = compare([ours, eager], runs=5, calls=10)
    print(
        f"\nThe moons step: eager {1e6 * b:,.0f} us, compiled {1e6 * a:,.0f} us: {b / a:,.0f} x\n"
    )

    print(
        "| operator, ns a number | compiled, with reading and writing rows | NumPy |\n|---|---|---|"
    )
    for name, ours, by_hand in functions_of_numbers():
        a, b = (1e9 * seconds / 2**15 for seconds in compare([ours, by_hand], runs=9, calls=10))
        print(f"| {name} | {a:.1f} | {b:.1f} |")
    print("\n| function | nodes | tracing, of each | finding layers, of each | both |")
    print("|---|---|---|---|---|")
    cost(*network(2, 4, 1)[1:])  # the passes are compiled once
    for make, sizes in (
        (network, (2, 16, 16, 1)), (network, (64, 32, 10)), (network, (784, 128, 10)),
        (network, (784, 512, 512, 10)), (network, (1500, 1500, 800, 10)),
        (chain, (300,)), (chain, (30_000,)), (chain, (3_000_000,)),
    ):  # fmt: skip
        name, f, example = make(*sizes)
        nodes, tracing, finding = cost(f, example)
        each = [f"{1e6 * seconds / nodes:.2f} us" for seconds in (tracing, finding)]
        print(f"| {name} | {nodes:,} | {' | '.join(each)} | {tracing + finding:.2f} s |")
    cold, warm = first_results()
    print(f"\nfirst gradient of a process: {cold:.1f} s with an empty cache, {warm:.2f} s after it")
    print(f"\n10,000,000 rows in a file: {memory_of_many_rows(10_000_000)} MB at most")


if __name__ == "__main__":
    main()
