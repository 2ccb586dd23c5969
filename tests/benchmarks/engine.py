"""The eager engine beside micrograd, in one run: ``python -m tests.benchmarks.engine``.

Both run the same code, in turn, so that a machine whose speed drifts slows both; what counts is the
ratio of the medians. Needs the extra: ``pip install ".[bench]"``.
"""

from __future__ import annotations

import gc
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import micrograd.engine
import micrograd.nn
import numpy

import microgradlike.engine
import microgradlike.nn

OURS, THEIRS = microgradlike, micrograd
NODES = 2000


# ---- The work, written once for both -----------------------------------------------------------


def chain(engine: Any, nodes: int = NODES) -> Any:
    """x * a + b, again and again, with Values only."""
    x, a, b = engine.Value(1.0), engine.Value(0.999), engine.Value(0.001)
    for _ in range(nodes // 2):
        x = x * a + b
    return x


def chain_with_numbers(engine: Any, nodes: int = NODES) -> Any:
    """x * 0.999 + 0.001, again and again."""
    x = engine.Value(1.0)
    for _ in range(nodes // 2):
        x = x * 0.999 + 0.001
    return x


def squares(engine: Any, nodes: int = NODES) -> Any:
    """A sum of squares of the same twenty Values: shared operands, and both sides the same."""
    values = [engine.Value(0.1 * i) for i in range(20)]
    total = engine.Value(0.0)
    for i in range(nodes // 2):
        total = total + values[i % 20] * values[i % 20]
    return total


def moons_step(package: Any) -> Callable[[], None]:
    """One step of training in micrograd's demo: 100 points, MLP 2-16-16-1, hinge and L2."""
    Value = package.engine.Value
    model = package.nn.MLP(2, [16, 16, 1])
    draw = numpy.random.default_rng(0)
    angle = draw.uniform(0, numpy.pi, 100)
    y = numpy.repeat([1, -1], 50)
    X = numpy.stack([numpy.cos(angle) * y + (y < 0), numpy.sin(angle) * y + (y < 0) / 2], axis=1)

    def step() -> None:
        inputs = [list(map(Value, row)) for row in X.tolist()]
        scores = list(map(model, inputs))
        losses = [(1 + -yi * si).relu() for yi, si in zip(y.tolist(), scores, strict=True)]
        loss = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in model.parameters())
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.05 * p.grad

    return step


# ---- Measuring ---------------------------------------------------------------------------------


def forward_and_backward(build: Callable[..., Any], package: Any) -> Callable[[], None]:
    return lambda: build(package.engine).backward()


def compare(ours: Callable[[], None], theirs: Callable[[], None], runs: int) -> tuple[float, float]:
    """The median seconds of each, run in turn."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + 1):
        for work, kept in zip((ours, theirs), seconds, strict=True):
            gc.collect()
            start = time.perf_counter()
            work()
            if run:  # the first is for warming up
                kept.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def bytes_per_node(build: Callable[..., Any], package: Any, nodes: int = NODES) -> float:
    """What a graph keeps in memory after its backward pass."""
    gc.collect()
    tracemalloc.start()
    root = build(package.engine, nodes)
    root.backward()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del root
    return size / nodes


def main() -> None:
    sys.setrecursionlimit(20_000)  # micrograd's backward() recurses
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    print("\n| work | microgradlike | micrograd 0.1.0 | ratio |\n|---|---|---|---|")
    for build in (chain, chain_with_numbers, squares):
        seconds = compare(*(forward_and_backward(build, p) for p in (OURS, THEIRS)), runs=101)
        ours, theirs = (1e9 * s / NODES for s in seconds)
        name = build.__name__.replace("_", " ")
        print(
            f"| {name}, {NODES:,} operations, forward + backward, each "
            f"| {ours:,.0f} ns | {theirs:,.0f} ns | 1/{theirs / ours:.1f} |"
        )
    ours, theirs = compare(moons_step(OURS), moons_step(THEIRS), runs=7)
    print(
        f"| moons step, MLP 2-16-16-1, 100 points "
        f"| {1e3 * ours:,.0f} ms | {1e3 * theirs:,.0f} ms | 1/{theirs / ours:.1f} |"
    )
    for build in (chain, chain_with_numbers, squares):
        ours, theirs = (bytes_per_node(build, p) for p in (OURS, THEIRS))
        name = build.__name__.replace("_", " ")
        print(f"| {name}, each | {ours:,.0f} bytes | {theirs:,.0f} bytes | 1/{theirs / ours:.1f} |")

    print("\n| nodes in the chain | time per node | memory per node |\n|---|---|---|")
    for nodes in (1_000, 10_000, 100_000, 1_000_000):
        seconds = []
        for _ in range(max(3, 200_000 // nodes)):
            start = time.perf_counter()
            chain(OURS.engine, nodes).backward()
            seconds.append(time.perf_counter() - start)
        each = 1e9 * statistics.median(seconds) / nodes
        print(f"| {nodes:,} | {each:,.0f} ns | {bytes_per_node(chain, OURS, nodes):,.0f} bytes |")


if __name__ == "__main__":
    main()
