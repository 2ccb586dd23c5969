"""What is not safe to compute in another order is computed as it was written.

A compiled function adds up sums in another order than they were written in, and merges operations
that are equal. Where numbers are huge, infinite or NaN, a sum could then be infinite, or NaN, where
the engine's is not; and where two numbers are nearly equal, the last digit decides which one is the
smaller one. Such rows, which are few, run once more: with nothing rewritten, each row for itself,
the parameters as further inputs, and functions such as exp those of the engine, element by element.
"""

from __future__ import annotations

import copy
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy
import numpy.typing

from microgradlike.compiler import rounds
from microgradlike.compiler.arrays import Floats, Ints
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.instructions import INPUTS
from microgradlike.compiler.operations import (
    ARITY,
    CODES,
    ENTRY,
    LOOP,
    NAMES,
    ROUND,
    TABLE,
    TAKE,
)
from microgradlike.compiler.passes import build
from microgradlike.compiler.program import Program
from microgradlike.compiler.tables import chosen, entries_of
from microgradlike.compiler.tape import Tape
from microgradlike.executors.executor import Call
from microgradlike.executors.on_numpy import NumpyExecutor
from microgradlike.replay.arguments import Arguments, Places, Rows

#: So many numbers, inputs and parameters of all rows together, are computed at a time.
NUMBERS = 2**22


class Some(NamedTuple):
    """What was found for some rows."""

    rows: slice
    """From which to which of those that were asked for."""
    outputs: Floats
    """Shape (rows, outputs)."""
    by_inputs: Floats
    """The errors of the inputs, shape (rows, inputs)."""
    by_parameters: Floats
    """Those of the parameters, shape (rows, parameters)."""


class Exact:
    """Outputs of a tape, computed as they were written.

    Args:
        tape: of the function.
        outputs: the operands that are wanted.
    """

    def __init__(self, tape: Tape, outputs: list[int]) -> None:
        self._program, taken = program_as_written(tape, outputs)
        self._taken = [(index, numpy.array(entries)) for index, entries in taken]
        self._constants = numpy.array(tape.constants, float)
        self._outputs = len(outputs)
        self._executor = NumpyExecutor(self._program, as_written=True)
        self._columns: Any = None

    def run(
        self, theta: Floats, arguments: Arguments, rows: Places, seeds: Floats | None = None
    ) -> Iterator[Some]:
        """Compute rows, and go back if there are seeds.

        Args:
            theta: the parameters of the tape, in its order.
            arguments: of the function.
            rows: the numbers of those that are wanted.
            seeds: the error of each output, the same in all rows; None for none.
        """
        inputs, known = arguments.inputs, arguments.inputs + len(theta)
        most = max(1, NUMBERS // (known + len(self._taken) + 1))
        for start in range(0, len(rows), most):
            some = slice(start, min(start + most, len(rows)))
            here = rows[some]
            count = len(here)
            own = numpy.broadcast_to(theta, (count, len(theta)))
            entries = [self._entries(arguments, here, *taken) for taken in self._taken]
            further = [self._numbers(theta, entries)] if entries else []
            rows_of = (array[here] for array in arguments.arrays)
            given = Arguments([*rows_of, own, *further], arguments.how)
            outputs = numpy.empty((count, self._outputs))
            errors = numpy.zeros((1, count, given.inputs))
            if self._columns is None:
                self._columns = given.columns(self._program.inputs)
            rows_here = Rows(given, self._columns, None)
            back = () if seeds is None else (numpy.array([seeds]), INPUTS, errors)
            self._executor.run(Call(_NONE, rows_here, outputs, *back))
            by_parameters = errors[0, :, inputs:known]
            for place, entry in enumerate(entries):
                of_parameters = numpy.flatnonzero(entry >= 0)
                sent = errors[0, of_parameters, known + place]
                by_parameters[of_parameters, entry[of_parameters]] += sent
            yield Some(some, outputs, errors[0, :, :inputs], by_parameters)

    def _entries(self, arguments: Arguments, rows: Places, index: int, entries: Ints) -> Ints:
        """Which parameter each row takes from a table, or ``~k`` for the k-th constant."""
        column = arguments.column(index, rows)
        there = (column >= 0) & (column < len(entries))
        # A row that takes what is not there is refused before anybody sees what is found here.
        found: Ints = entries[numpy.where(there, column, 0).astype(int)]
        return found

    def _numbers(self, theta: Floats, entries: list[Ints]) -> Floats:
        """The numbers of what rows take, shape (rows, entries)."""
        both = numpy.concatenate([theta, self._constants[::-1]])  # the place of ~k is from the end
        found: Floats = both[numpy.array(entries).T]
        return found


def program_as_written(tape: Tape, outputs: Sequence[int]) -> tuple[Program, list[Taken]]:
    """The program that computes outputs of a tape as they were written.

    Its inputs are those of a row, then the parameters, then what is taken from tables.
    """
    tape, outputs, taken = without_tables(tape, outputs)
    return build(Graph(tape, outputs, as_written=True)), taken


# ---- Tables as further inputs, and as choices ---------------------------------------------------


class Taken(NamedTuple):
    """What rows take from a table of parameters and constants, as a further input of theirs.

    Attributes:
        number: of the input that is the index.
        entries: the numbers of parameters, or ``~k`` of the k-th constant.
    """

    number: int
    entries: list[int]


def without_tables(tape: Tape, outputs: Sequence[int]) -> tuple[Tape, list[int], list[Taken]]:
    """The same without tables, for rows that are computed as they were written.

    Who runs it gives what a row takes from a table of leaves, by an index that is an input: then
    that row does not cost the whole table. Of others each entry is kept where the index is its
    number.

    Returns:
        The tape, which is the same one if it takes nothing, and the outputs on it; and the inputs
        that follow those of a row, and the parameters.
    """
    if CODES[TAKE] not in tape.nodes:
        return tape, list(outputs), []
    wider = copy.copy(tape)
    wider.code, wider.left, wider.right = bytearray(), array("i"), array("i")
    wider.constants, wider._constants = list(tape.constants), dict(tape._constants)
    wider.loops = rounds.Loops()
    place: list[int] = []

    def of(operand: int) -> int:
        return place[operand] if operand >= 0 else operand

    inputs = _inputs(tape)
    known = len(tape.numbers) + len(tape.parameters)
    # They come first: inputs of one kind have slots in a row.
    given = {node: wider.append("input", known + k) for k, node in enumerate(inputs)}
    for node, code in enumerate(tape.nodes):
        name, left, right = NAMES[code], tape.left[node], tape.right[node]
        if name in (TABLE, ENTRY, ROUND):
            place.append(-1)  # whoever is above it has its entries
        elif name == LOOP:
            place.append(rounds.written(wider, rounds.round_of(tape, node).moved(of)))
        elif name == TAKE:
            if node not in given:
                entries = list(map(of, entries_of(tape, right)))
                given[node] = chosen(wider, of(left), entries)
            place.append(given[node])
        else:
            sides = (left, right) if not ARITY[code] else (of(left), of(right))
            place.append(wider.append(name, *sides))
    wider.nodes = wider.code
    wider.written = {of(short): of(written) for short, written in tape.written.items()}
    return wider, list(map(of, outputs)), list(inputs.values())


def _inputs(tape: Tape) -> dict[int, Taken]:
    """The nodes whose number a row can be given, and what that is."""
    found = {}
    for node, code in enumerate(tape.nodes):
        index = tape.left[node]
        if NAMES[code] == TAKE and NAMES[tape.nodes[index]] == "input":
            entries = entries_of(tape, tape.right[node])
            if all(v < 0 or NAMES[tape.nodes[v]] == "parameter" for v in entries):
                leaves = [v if v < 0 else tape.left[v] for v in entries]
                found[node] = Taken(tape.left[index], leaves)
    return found


_NONE = numpy.empty(0)
