"""The ways to run a compiled function, for tests that go through all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from microgradlike.compiler import forms, graph, levels, slots, stretches
from microgradlike.compiler.program import Program
from microgradlike.executors import on_numpy
from microgradlike.executors.executor import Executor
from microgradlike.executors.machine import executor as machine
from microgradlike.executors.on_numpy import NumpyExecutor
from microgradlike.replay import as_written, branches


def without_numba(patch: pytest.MonkeyPatch) -> None:
    """The passes as the plain Python that they are where numba is not installed."""
    for module in (graph, forms, levels, slots):
        for name, function in vars(module).items():
            if hasattr(function, "py_func"):
                patch.setattr(module, name, function.py_func)


def only_numpy(patch: pytest.MonkeyPatch) -> None:
    """Programs run as they do where numba is not installed."""
    only(patch, NumpyExecutor)


def only(patch: pytest.MonkeyPatch, executor: Callable[[Program], Executor]) -> None:
    """Programs run by this executor, whatever is asked for."""
    for module in (branches, as_written):
        patch.setattr(module, "executor_of", lambda program, *_, **__: executor(program))


def small_blocks(patch: pytest.MonkeyPatch, rows: int) -> None:
    """So many rows at a time, so that a few are several blocks."""
    for executor in (on_numpy, machine):
        patch.setattr(executor, "FEWEST", rows)
        patch.setattr(executor, "MOST", rows)


def all_singles(patch: pytest.MonkeyPatch) -> None:
    """Whatever has few operations that are alike is a stretch of single operations."""
    patch.setattr(stretches, "LONG", 1)
    patch.setattr(stretches, "SHORT", 1)
