"""Functions written in C, compiled and called from Python."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from microgradlike import Compiled
from microgradlike.writers.c import to_c

#: As the first comment of each file says; floats that are rounded once each.
FLAGS = ("-std=c99", "-ffp-contract=off", "-Wall", "-Wextra", "-pedantic", "-Werror")


def compiler() -> list[str]:
    """The C compiler of this machine, or else the one that a package of Python brings."""
    return ["cc"] if shutil.which("cc") else [sys.executable, "-m", "ziglang", "cc"]


class Found(NamedTuple):
    """What a function gave for a row."""

    status: int
    value: Any
    derivatives: Any


class Library:
    """Compiled functions, all in one library of C.

    Args:
        folder: for the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.functions: dict[str, Compiled] = {}
        self._library: Any = None

    def add(self, name: str, c: Compiled, jacobian: bool = True) -> None:
        """Write a function."""
        to_c(c, self.folder / f"{name}.c", name=name, jacobian=jacobian)
        self.functions[name] = c

    def build(self, optimise: str = "-O2", *further: str) -> Library:
        """Compile all of them, in one call."""
        whole, library = self.folder / "whole.c", self.folder / f"whole{optimise}.so"
        whole.write_text("".join(f'#include "{name}.c"\n' for name in self.functions))
        command = [*compiler(), *FLAGS, optimise, *further, "-shared", "-fPIC"]
        subprocess.run([*command, str(whole), "-o", str(library), "-lm"], check=True)
        self._library = ctypes.CDLL(str(library))
        return self

    def call(self, name: str, kind: str, row: Any, theta: Any = None, weights: Any = None) -> Found:
        """One of the functions in C, on one row."""
        c = self.functions[name]
        row = numpy.array(row, float)
        theta = numpy.array(c.theta() if theta is None else theta, float)
        single, outputs = c._paths[0].single, c._paths[0].outputs
        value = numpy.full(outputs, -7.0)
        given, size = [row, theta], 0
        if kind in ("by_parameters", "by_inputs"):
            size = len(theta) if kind == "by_parameters" else len(row)
            if not single:
                given.append(
                    numpy.array(numpy.ones(outputs) if weights is None else weights, float)
                )
        if kind == "jacobian":
            size = outputs * len(row)
        found = numpy.full(size, -7.0)
        arrays = [*given, value, *([found] if size else [])]
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
        status = getattr(self._library, f"{name}_{kind}")(*pointers)
        shaped = found.reshape(outputs, -1) if kind == "jacobian" else found
        return Found(status, value, shaped)


def points_to_round(digits: int) -> list[float]:
    """Numbers half-way between two of so many digits, beside that, and of all sizes."""
    draw, step = numpy.random.default_rng(0), 10.0 ** abs(digits)
    count = draw.integers(-(10**6), 10**6, 40) + 0.5
    halves = count / step if digits >= 0 else count * step
    large = draw.normal(size=20) * 2.0**54 * (1 / step if digits >= 0 else step)
    sizes = 10.0 ** draw.integers(-10, 300, 40) * draw.normal(size=40)
    special = [2.675, 1.005, 0.125, 50.0, 250.0, -30.0, -0.0, 5e-324, 1e22, 2.0**53, 2.0**60]
    beside = (numpy.nextafter(halves, numpy.inf), numpy.nextafter(halves, -numpy.inf))
    return numpy.concatenate([halves, *beside, large, sizes, special]).tolist()  # type: ignore[no-any-return]
