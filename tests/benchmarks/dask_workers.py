"""A step over blocks on one worker process and on two: ``python -m tests.benchmarks.dask_workers``.

A step is the mean loss of a network over all rows and its gradient by all parameters, in float64.
Each worker computes on one thread. Both clusters are there all the time, and steps are run in turn.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import dask
import dask.array
from distributed import Client, LocalCluster

from microgradlike import compile, losses
from microgradlike.nn import MLP
from tests.benchmarks.timing import compare

#: Inputs, and neurons of each layer; rows, and how many of them are in a block.
SIZES, ROWS, BLOCK = (64, 128, 10), 400_000, 25_000

#: So many blocks of one row show what a block costs.
TINY = 100


def step(c: Any, columns: tuple[Any, Any], client: Client) -> object:
    with client.as_current():
        return c.value_and_grad(c.theta(), *columns)


def busy(client: Client, work: Callable[[], object], times: int = 3) -> list[float]:
    """The seconds of a core that each worker takes for a step, whoever else is on the machine."""
    before = client.run(time.process_time)
    for _ in range(times):
        work()
    after = client.run(time.process_time)
    return [(after[worker] - before[worker]) / times for worker in before]


def main() -> None:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of the workers that are started now
    model = MLP(SIZES[0], list(SIZES[1:]), activation="tanh", seed=0)
    draw = dask.array.random.default_rng(0)
    data = (
        draw.normal(size=(ROWS, SIZES[0]), chunks=(BLOCK, -1)),
        draw.integers(0, SIZES[-1], ROWS, chunks=BLOCK),
    )

    def loss(x: Any, k: Any) -> Any:
        return losses.cross_entropy(model(x), k)

    works: list[Callable[[], object]] = []
    clients = []
    with ExitStack() as stack:
        for count in (1, 2):
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.ERROR,
                )
            )
            client = stack.enter_context(Client(cluster, set_as_default=False))
            clients.append(client)
            columns = client.persist(data)
            c = compile(loss, parameters=model.parameters())
            works.append(functools.partial(step, c, columns, client))
        X, y = dask.compute(*data, scheduler="threads")
        c = compile(loss, parameters=model.parameters())
        works.append(functools.partial(c.value_and_grad, c.theta(), X, y))
        tiny = dask.array.ones((TINY, SIZES[0]), chunks=(1, -1)), dask.array.zeros(TINY, chunks=1)
        works.append(functools.partial(step, c, tiny, client))
        one, two, here, blocks = compare(works, runs=3)
        alone, shared = map(busy, clients, works)
    print(f"{ROWS:,} rows in blocks of {BLOCK:,}, {len(c.theta()):,} parameters")
    print(f"without Dask   {here:.2f} s")
    print(f"1 worker       {one:.2f} s")
    print(f"2 workers      {two:.2f} s, {one / two:.2f} times as fast")
    print(f"a block of one row costs {blocks / TINY * 1e3:.1f} ms of 2 workers and their scheduler")
    print(f"seconds of a core: {alone[0]:.2f}, or {shared[0]:.2f} and {shared[1]:.2f}")


if __name__ == "__main__":
    main()
