"""The ways to run a compiled function, for tests that go through all of them."""

from __future__ import annotations

import pytest

from microgradlike.compiler import program, rewriting
from microgradlike.executors import on_numpy
from microgradlike.executors.machine import executor as machine
from microgradlike.executors.on_numpy import NumpyExecutor
from microgradlike.replay import branches


def without_numba(patch: pytest.MonkeyPatch) -> None:
    """The passes as the plain Python that they are where numba is not installed."""
    for name, function in vars(rewriting).items():
        if hasattr(function, "py_func"):
            patch.setattr(rewriting, name, function.py_func)


def only_numpy(patch: pytest.MonkeyPatch) -> None:
    """Programs run as they do where numba is not installed."""
    patch.setattr(branches, "_executor", lambda program, *_: NumpyExecutor(program))


def small_blocks(patch: pytest.MonkeyPatch, rows: int) -> None:
    """So many rows at a time, so that a few are several blocks."""
    for executor in (on_numpy, machine):
        patch.setattr(executor, "FEWEST", rows)
        patch.setattr(executor, "MOST", rows)


def all_singles(patch: pytest.MonkeyPatch) -> None:
    """Whatever has few operations that are alike is a stretch of single operations."""
    patch.setattr(program, "LONG", 1)
    patch.setattr(program, "SHORT", 1)
