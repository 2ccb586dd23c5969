"""The rows of a compiled function: checked arrays, and where a program finds its inputs in them."""

from __future__ import annotations

import bisect
import functools
import itertools
import math
import mmap
import operator
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy
import numpy.typing

from microgradlike.compiler.arrays import Floats
from microgradlike.executors.executor import WAYS
from microgradlike.inputs import array_of_numbers, describe, real_array
from microgradlike.words import counted

Given: TypeAlias = "numpy.typing.NDArray[Any]"  # of numbers of any kind
Places: TypeAlias = "numpy.typing.NDArray[numpy.intp]"

#: After so many rows the pages of a file are let go.
_PAGES = 2**18

#: Rows are made floats, or sorted by the paths that they take, so many at a time.
CHUNK = 65536

FLOAT = numpy.dtype(float)


class How(NamedTuple):
    """How a compiled function runs; see ``compile``."""

    threads: int = 1
    dtype: str = "float64"
    on: str = "auto"

    def check(self) -> How:
        """The same in plain words, unless there is no such way."""
        try:
            threads = 0 if isinstance(self.threads, bool) else operator.index(self.threads)
        except TypeError:
            threads = 0
        if threads < 1:
            given = describe(self.threads)
            raise ValueError(f"threads is a whole number, at least 1, but got {given}")
        try:
            name = "" if self.dtype is None else numpy.dtype(self.dtype).name
        except TypeError:
            name = ""
        if name not in ("float64", "float32"):
            raise ValueError(f'dtype is "float64" or "float32", but got {describe(self.dtype)}')
        if self.on not in WAYS:
            ways = ", ".join(f'"{way}"' for way in WAYS)
            raise ValueError(f"on is one of {ways}, but got {describe(self.on)}")
        return How(threads, name, self.on)


class Arguments:
    """Arrays with one entry for each row, checked. Of a function that takes none there is one row.

    Attributes:
        shapes: of one row, for each argument.
        rows: how many there are.
        how: they are run.
        flat: the arguments, shape (rows, numbers of a row).
    """

    def __init__(self, columns: Sequence[Any], how: How) -> None:
        self.how = how
        # What is checked here is paid for at every call, so what needs no check is told at once.
        self.arrays: list[Given] = []
        self.shapes: list[tuple[int, ...]] = []
        self.files: list[Any] = []
        for place, column in enumerate(columns, 1):
            if type(column) is not numpy.ndarray or column.dtype is not FLOAT or not column.ndim:
                if _is_file(column):
                    self.files.append(column._mmap)
                column = given_array(column, place)
                if column.dtype.kind in "iu" and column.dtype.itemsize == 8:
                    _refuse_rounded(column, place)
            self.arrays.append(column)
            self.shapes.append(column.shape[1:])
        self.rows = len(self.arrays[0]) if columns else 1
        self.flat: list[Given] = []
        for array, shape in zip(self.arrays, self.shapes, strict=True):
            if len(array) != self.rows:
                raise ValueError(
                    "all arguments have one entry for each row, but got "
                    f"{', '.join(str(len(array)) for array in self.arrays)} entries"
                )
            if len(shape) != 1:
                array = array.reshape(self.rows, math.prod(shape)) if shape else array[:, None]
            self.flat.append(array)
        if not self.rows:
            raise ValueError("there are no rows: all arguments are empty")
        self.read = 0

    @functools.cached_property
    def starts(self) -> list[int]:
        """Where each argument begins among the numbers of a row, and where the last one ends."""
        return list(itertools.accumulate(map(math.prod, self.shapes), initial=0))

    @property
    def inputs(self) -> int:
        """How many numbers a row has."""
        return sum(part.shape[1] for part in self.flat)

    def let_go(self, rows: int) -> None:
        """Now and then, let go of the pages of a file that were read: they would all stay."""
        self.read += rows
        if self.files and self.read > _PAGES:
            self.read = 0
            for file in self.files:
                file.madvise(mmap.MADV_DONTNEED)

    def one(self, row: int = 0) -> Arguments:
        """One row alone."""
        return Arguments([array[row : row + 1].copy() for array in self.arrays], self.how)

    def example(self, row: int) -> list[object]:
        """One row, as numbers and lists of them: integers where all rows have integers."""
        return [
            array[row].tolist() if array.dtype.kind in "iu" else array[row].astype(float).tolist()
            for array in self.arrays
        ]

    def column(self, number: int, rows: slice | Places) -> Given:
        """One of the numbers of a row, in these rows."""
        place = bisect.bisect_right(self.starts, number) - 1
        found: Given = self.flat[place][rows, number - self.starts[place]]
        return found

    def given(self, row: int) -> list[object]:
        """One row, as the numbers that they were given as: labels may be integers."""
        return [array[row].tolist() for array in self.arrays]

    def columns(self, inputs: Sequence[int]) -> Columns:
        """Where the inputs of a program stand."""
        numbers = numpy.array(inputs, int)
        places = numpy.searchsorted(self.starts, numbers, side="right") - 1
        within = numbers - numpy.array(self.starts)[places]
        parts = []
        for place in numpy.unique(places).tolist():
            here = numpy.flatnonzero(places == place)
            every = len(here) == self.starts[place + 1] - self.starts[place]
            slots = slice(int(here[0]), int(here[-1]) + 1)
            parts.append((place, None if every else within[here], slots))
        return Columns(numbers, list(zip(places.tolist(), within.tolist(), strict=True)), parts)

    def refuse_fractions(self, numbers: Sequence[int]) -> None:
        """Some numbers of a row are integers in each row.

        Raises:
            ValueError: one is none, or so large that floats do not hold each.
        """
        for number in numbers:
            place, column = bisect.bisect_right(self.starts, number), self.column(number, _ALL)
            if column.dtype.kind == "f" and (wrong := column != numpy.floor(column)).any():
                raise ValueError(
                    f"argument {place} was of integers when the function was traced, and what it "
                    f"compares relies on that, but it is {column[wrong.argmax()]} in row "
                    f"{wrong.argmax()}; give integers, or floats before it is traced, by retrace()"
                )
            if (wrong := (column > _LARGEST) | (column < -_LARGEST)).any():
                raise ValueError(
                    f"argument {place} is compared as an integer, but is {column[wrong.argmax()]} "
                    f"in row {wrong.argmax()}, beyond 2**53, where floats do not hold each one; "
                    "number what there is: numpy.unique(x, return_inverse=True)[1]"
                )


_ALL = slice(None)

#: Up to here a float holds each integer.
_LARGEST = 2**53


class Columns(NamedTuple):
    """The inputs of a program among the numbers of a row."""

    numbers: Places
    """Of each input its number in the row."""
    places: list[tuple[int, int]]
    """The argument that it is in, and its column there."""
    parts: list[tuple[int, Places | None, slice]]
    """For each argument that is used, which of its columns, None for all, and their slots."""


class Rows:
    """All rows of the arguments, or some, for the inputs of a program."""

    def __init__(self, arguments: Arguments, columns: Columns, rows: Places | None) -> None:
        self.arguments, self.columns, self.rows = arguments, columns, rows
        self.count = arguments.rows if rows is None else len(rows)
        self.threads = arguments.how.threads

    def _here(self, start: int, end: int) -> slice | Places:
        return slice(start, end) if self.rows is None else self.rows[start:end]

    def load(self, values: Floats, start: int, end: int) -> None:
        """Put some rows into the slots of a program, a lane for each."""
        here = self._here(start, end)
        for place, some, slots in self.columns.parts:
            block = self.arguments.flat[place][here]
            values[slots] = block.T if some is None else block[:, some].T
        self.arguments.let_go(end - start)

    def store(self, errors: Floats, found: Floats, start: int, end: int) -> None:
        """Take the errors of the inputs out of their slots, into (rows, inputs)."""
        block = numpy.zeros((end - start, self.arguments.inputs))
        block[:, self.columns.numbers] = errors.T
        found[start:end] = block

    def parts(self, most: int) -> Iterator[tuple[int, int, list[Floats]]]:
        """From which row to which, and the arguments there, as floats; so many rows at most."""
        flat = self.arguments.flat
        if self.rows is None and not self.arguments.files:
            for array in flat:
                if array.dtype is not FLOAT:
                    break
            else:
                if self.count <= most:
                    yield 0, self.count, flat
                    return
        for start in range(0, self.count, most := min(most, CHUNK)):
            end = min(start + most, self.count)
            here = self._here(start, end)
            yield start, end, [numpy.asarray(array[here], float) for array in flat]
            self.arguments.let_go(end - start)


def floats(given: object, wanted: str) -> Floats:
    """What was given as an array of floats; TypeError if it is not what is wanted."""
    try:
        found = array_of_numbers(given, "it")
        if found.dtype.kind not in "biuf":
            raise TypeError
    except TypeError:
        kind = "a masked array" if isinstance(given, numpy.ma.MaskedArray) else describe(given)
        raise TypeError(f"{wanted}, but got {kind}") from None
    as_floats: Floats = found.astype(float, copy=False)
    return as_floats


def check_reduce(reduce: str) -> None:
    """ValueError unless it is a way to make one number of all rows."""
    if reduce not in ("mean", "sum"):
        raise ValueError(f'reduce is "mean" or "sum", but got {describe(reduce)}')


def check_seeds(seeds: Sequence[float], outputs: int) -> None:
    """ValueError if there are more weights than outputs."""
    if len(seeds) > outputs:
        raise ValueError(
            f"seeds has a number for each of {counted(outputs, 'output')} at "
            f"most, but got {len(seeds)}"
        )


def _refuse_rounded(column: Given, place: int) -> None:
    """Refuse integers that a float does not hold: the program would compute with others.

    Raises:
        ValueError: there is one.
    """
    if column.size and (column.max() > _LARGEST or column.min() < -_LARGEST):
        flat = column.ravel()
        with numpy.errstate(invalid="ignore"):  # the largest ones, as floats, are no integers here
            wrong = flat.astype(float).astype(column.dtype) != flat
        if wrong.any():
            raise ValueError(
                f"argument {place} is {flat[wrong.argmax()]} in row "
                f"{wrong.argmax() // max(flat.size // len(column), 1)}, beyond 2**53, where floats "
                "do not hold each one; number what there is by numpy.unique(x, "
                "return_inverse=True)[1], or take the first one away from all"
            )


def _is_file(column: Any) -> bool:
    """Whether it is an array in a file, whose pages come back when they are asked for again."""
    shared = isinstance(column, numpy.memmap) and column.mode != "c"
    return shared and hasattr(mmap, "MADV_DONTNEED") and column._mmap is not None


def given_array(column: object, place: int) -> Given:
    """The argument at a place as an array; TypeError if it is none of numbers for each row."""
    array = real_array(column, f"argument {place}")
    if array.ndim == 0:
        raise TypeError(
            f"argument {place} has one entry for each row, but got {describe(column)}; "
            "for a single row give an array of length 1"
        )
    return array
