"""Compiled functions, written for others: as functions of JAX and PyTorch, as files of C and ONNX.

Each writer reads the same programs as the executors do, and says them in another language.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from microgradlike.files import ending_in
from microgradlike.inputs import describe

if TYPE_CHECKING:
    from microgradlike.replay.derived import Derivatives


def to_onnx(
    c: Derivatives, path: str | os.PathLike[str], *, gradient: bool = False, reduce: str = "mean",
    dtype: str = "float64", theta_as_input: bool = False, rounds: int = 10_000,
) -> Path:  # fmt: skip
    """Write a compiled function as an ONNX file, which runs where ONNX does, for any rows."""
    from microgradlike.writers.onnx import to_onnx

    named = ending_in(path, "an ONNX model", ".onnx")
    to_onnx(c, named, gradient, reduce, dtype, theta_as_input, rounds)
    return named
