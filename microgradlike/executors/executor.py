"""What every executor is: it runs a plan over rows, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from types import EllipsisType
from typing import ClassVar, NamedTuple, Protocol

import numpy

from microgradlike.compiler.arrays import Floats, Ints

#: The ways to run a program, by name; see ``choose.py``.
WAYS = ("auto", "machine", "numpy", "floats", "jax")


class Rows(Protocol):
    """The rows that a program is run on, and how many threads may run them."""

    count: int
    threads: int

    def load(self, values: Floats, start: int, end: int) -> None:
        """Put some rows into the slots of a program, a lane for each."""

    def store(self, errors: Floats, found: Floats, start: int, end: int) -> None:
        """Take the errors of the inputs out of their slots, into (rows, inputs)."""

    def parts(self, most: int) -> Iterator[tuple[int, int, list[Floats]]]:
        """From which row to which, and the arguments there; so many rows at most."""


class Call(NamedTuple):
    """What a program is run on, and what is wanted.

    Attributes:
        theta: the parameters, in the order of the program.
        rows: the rows of the arguments; see ``replay/arguments.py``.
        results: where the outputs are written, shape (rows, outputs); None if nobody wants them.
        seeds: the error of each output, the same in all rows, shape (passes, outputs): one backward
            pass for each; None to compute only.
        mode: ``PARAMETERS`` or ``INPUTS``: whose error is wanted, now or in other calls; a call
            without seeds can so use what others have made ready.
        found: where the errors of the inputs are written, shape (passes, rows, inputs).
        sizes: zeros, shape (rows,), where it is told which rows are safe: 0 in a block that is;
            else 1 and the squares of the row's watched numbers, and of the errors of its inputs.
            Where that is finite the row is safe, too. But a block that has a row which is not sends
            no errors to the parameters: those of its safe rows are missing.
    """

    theta: Floats
    rows: Rows
    results: Floats | None = None
    seeds: Floats | None = None
    mode: int = 0
    found: Floats | None = None
    sizes: Floats | None = None


class Ran(NamedTuple):
    """What a run has found."""

    errors: Floats
    """Of each parameter, summed over the rows."""
    total: float
    """The sum of the first output over the rows."""
    safe: bool
    """Whether NaN and infinity are where the engine has them: all squares of the numbers that are
    watched, and of the errors that were wanted, are finite."""
    unsafe: Iterable[int] = ()
    """The numbers of rows that were computed as they were written."""

    def and_then(self, other: Ran) -> Ran:
        """Both runs together. One may know more parameters, which follow those of the other."""
        few, errors = sorted((self.errors, other.errors), key=len)
        with numpy.errstate(all="ignore"):
            errors[: len(few)] += few
            unsafe = [*self.unsafe, *other.unsafe]
            return Ran(errors, self.total + other.total, self.safe and other.safe, unsafe)


class Executor(Protocol):
    """Runs one program.

    Attributes:
        few: for so many rows at most, loops may be kernels of their own.
    """

    few: ClassVar[int] = 0

    def is_one_kernel(self) -> bool:
        """Whether each loop is a kernel of its own, for few rows."""
        return False

    def run(self, call: Call) -> Ran:
        """Compute all rows, and send errors back from the outputs if there are seeds."""


def is_small(numbers: Floats, here: slice | Ints | EllipsisType = ...) -> bool:
    """Whether the squares of all, or of those that stand here, have a finite sum."""
    flat = numbers[here].ravel()
    return math.isfinite(numpy.dot(flat, flat))


def stretches(slots: Ints, edge: int = -1) -> list[tuple[int, int]]:
    """Slots as stretches, none across an edge: where each begins, and how many there are."""
    if not len(slots):
        return []
    begins = (numpy.diff(slots) != 1) | (slots[1:] == edge)
    parts = numpy.split(slots, numpy.flatnonzero(begins) + 1)
    return [(int(part[0]), len(part)) for part in parts]
