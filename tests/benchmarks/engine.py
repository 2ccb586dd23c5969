"""The eager engine beside its peers, in one run: ``python -m tests.benchmarks.engine``.

All run the same code, in turn, so that a machine whose speed drifts slows all; what counts is the
ratio of the medians. Needs the extra: ``pip install ".[bench]"``. PyTorch is measured where it is
installed, as scalars of float64 on one thread.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import platform
import sys
import tracemalloc
import types
from collections.abc import Callable
from typing import Any

import micrograd.engine
import micrograd.nn
import numpy

import microgradlike.engine
import microgradlike.nn
from tests.benchmarks.timing import compare

OURS, THEIRS = microgradlike.engine, micrograd.engine
NODES = 2000


def peers() -> dict[str, Any]:
    """What has a ``Value``, by the name for the table."""
    found: dict[str, Any] = {"microgradlike": OURS, "micrograd 0.1.0": THEIRS}
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
        scalar = functools.partial(torch.tensor, dtype=torch.float64, requires_grad=True)
        found[f"PyTorch {torch.__version__}"] = types.SimpleNamespace(Value=scalar)
    return found


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
    """One step of the training in micrograd's demo: 100 points, MLP 2-16-16-1, hinge and L2."""
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


def forward_and_backward(build: Callable[..., Any], engine: Any) -> Callable[[], object]:
    return lambda: build(engine).backward()


def bytes_per_node(build: Callable[..., Any], engine: Any, nodes: int = NODES) -> float:
    """What a graph keeps in memory after its backward pass."""
    gc.collect()
    tracemalloc.start()
    root = build(engine, nodes)
    root.backward()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del root
    return size / nodes


def row(work: str, figures: list[float], unit: str) -> str:
    """A line of the table: our figure, then each peer's and how many times ours it is."""
    ours, *theirs = figures
    cells = [f"{ours:,.0f} {unit}", *(f"{x:,.0f} {unit} ({x / ours:.1f} x)" for x in theirs)]
    return f"| {work} | {' | '.join(cells)} |"


def main() -> None:
    sys.setrecursionlimit(20_000)  # micrograd's backward() recurses
    engines = peers()
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    print(f"\n| work | {' | '.join(engines)} |\n|{'---|' * (len(engines) + 1)}")
    for build in (chain, chain_with_numbers, squares):
        works = [forward_and_backward(build, engine) for engine in engines.values()]
        each = [1e9 * seconds / NODES for seconds in compare(works, runs=51)]
        name = build.__name__.replace("_", " ")
        print(row(f"{name}, {NODES:,} operations: forward and backward of each", each, "ns"))
    steps = compare([moons_step(microgradlike), moons_step(micrograd)], runs=7)
    step = row("moons step, MLP 2-16-16-1, 100 points", [1e3 * s for s in steps], "ms")
    print(step + " |" * (len(engines) - 2))
    for build in (chain, chain_with_numbers, squares):
        sizes = [bytes_per_node(build, engine) for engine in (OURS, THEIRS)]
        memory = row(f"{build.__name__.replace('_', ' ')}: memory of each", sizes, "bytes")
        print(memory + " |" * (len(engines) - 2))

    print("\n| nodes in the chain | time of each | cycle collector off | memory of each |")
    print("|---|---|---|---|")
    for nodes in (1_000, 10_000, 100_000, 1_000_000):
        works = [
            functools.partial(chain_and_back, nodes, collecting) for collecting in (True, False)
        ]
        each = [1e9 * seconds / nodes for seconds in compare(works, runs=max(3, 200_000 // nodes))]
        size = bytes_per_node(chain, OURS, nodes)
        print(f"| {nodes:,} | {each[0]:,.0f} ns | {each[1]:,.0f} ns | {size:,.0f} bytes |")


def chain_and_back(nodes: int, collecting: bool) -> None:
    """A long chain; Python's cycle collector walks it again each time it has grown by a quarter."""
    if not collecting:
        gc.disable()
    chain(OURS, nodes).backward()
    gc.enable()


if __name__ == "__main__":
    main()
