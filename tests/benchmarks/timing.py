"""How the benchmarks measure: in turn, so that a machine whose speed drifts slows all."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable


def compare(
    works: list[Callable[[], object]],
    runs: int,
    calls: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """The median seconds of one call of each, run in turn; short ones are called several times."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for work, kept in zip(works, seconds, strict=True):
            gc.collect()
            work()  # the one before has filled the caches with its own
            start = clock()
            for _ in range(calls):
                work()
            kept.append((clock() - start) / calls)
    return [statistics.median(kept) for kept in seconds]
