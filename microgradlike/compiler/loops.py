"""Loops over flat arrays: machine code where numba is installed, else plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

F = TypeVar("F", bound=Callable[..., object])

try:
    from numba import njit
except ImportError:

    def loop(**_: object) -> Callable[[F], F]:
        """Without numba the loops are plain Python."""
        return lambda function: function
else:
    from microgradlike.compiler.kept_code import keep

    def loop(**options: object) -> Callable[[F], F]:
        """Compile once per machine: the code is kept beside this file, or in the user's cache."""

        def compiled(function: F) -> F:
            try:
                kept = njit(cache=True, **options)(function)
            except RuntimeError:  # neither can be written
                return cast("F", njit(**options)(function))
            keep(kept._cache)
            return cast("F", kept)

        return compiled
