"""The ways to run a compiled function, for tests that go through all of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy
import pytest

from microgradlike import ops
from microgradlike.compiler import forms, graph, levels, slots, stretches
from microgradlike.compiler.operations import ALIKE, CODES, ROUNDED_ALIKE
from microgradlike.compiler.program import Program
from microgradlike.executors import formulas, on_numpy
from microgradlike.executors.executor import Executor
from microgradlike.executors.machine import executor as machine
from microgradlike.executors.on_numpy import NumpyExecutor
from microgradlike.replay import branches


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
    patch.setattr(branches, "executor_of", lambda program, *_, **__: executor(program))


def other_last_digits(patch: pytest.MonkeyPatch) -> None:
    """NumPy as on a processor where functions such as exp are rounded up."""

    def rounded_up(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*operands: Any) -> Any:
            found = function(*operands)
            is_exact = ~numpy.isfinite(found) | (found == numpy.rint(found))  # such as exp(0)
            return numpy.where(is_exact, found, numpy.nextafter(found, numpy.inf))

        return called

    only_numpy(patch)
    for name, function in formulas.ON_ARRAYS.items():
        if name not in ALIKE and name in vars(ops):
            patch.setitem(formulas.ON_ARRAYS, name, rounded_up(function))
    for name in list(formulas.UFUNCS):
        if not ROUNDED_ALIKE[CODES[name]]:
            patch.delitem(formulas.UFUNCS, name)
    fresh = functools.cache(formulas.formula.__wrapped__)
    for module in (formulas, on_numpy):
        patch.setattr(module, "formula", fresh)
    for name in ("_computes", "_sends"):
        patch.setattr(on_numpy, name, functools.cache(getattr(on_numpy, name).__wrapped__))


def small_blocks(patch: pytest.MonkeyPatch, rows: int) -> None:
    """So many rows at a time, so that a few are several blocks."""
    for executor in (on_numpy, machine):
        patch.setattr(executor, "FEWEST", rows)
        patch.setattr(executor, "MOST", rows)


def all_singles(patch: pytest.MonkeyPatch) -> None:
    """Whatever has few operations that are alike is a stretch of single operations."""
    patch.setattr(stretches, "LONG", 1)
    patch.setattr(stretches, "SHORT", 1)


def together(patch: pytest.MonkeyPatch) -> None:
    """Operations are put together at once, not only when many rows were run."""
    patch.setattr(machine, "MANY", 0)
