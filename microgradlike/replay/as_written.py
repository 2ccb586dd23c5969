"""What is not safe to compute in another order is computed as it was written.

A compiled function adds up sums in another order than they were written in, and merges operations
that are equal. Where numbers are huge, infinite or NaN, a sum could then be infinite, or NaN, where
the engine's is not. Such rows, which are few, run once more: with nothing rewritten, each row for
itself, and the parameters as further inputs, as the engine would compute them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy
import numpy.typing

from microgradlike.compiler.arrays import Floats, Ints
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.instructions import INPUTS
from microgradlike.compiler.operations import ARITY, CONDITIONS, ENTRY, NAMES, TABLE, TAKE
from microgradlike.compiler.passes import build
from microgradlike.compiler.tables import is_whole, whole, without_tables
from microgradlike.compiler.tape import Tape
from microgradlike.executors.choose import executor_of
from microgradlike.executors.executor import Call, Executor
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
        on: what runs it.
    """

    def __init__(self, tape: Tape, outputs: list[int], on: str) -> None:
        tape, outputs, taken = without_tables(tape, outputs)
        self._program = build(Graph(tape, outputs, as_written=True))
        self._taken = [(index, numpy.array(entries)) for index, entries in taken]
        self._constants = numpy.array(tape.constants, float)
        self._outputs = len(outputs)
        self._on = on
        self._columns: Any = None
        self._executor: Executor | None = None
        self._slow: NumpyExecutor | None = None

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
            if self._executor is None:
                self._columns = given.columns(self._program.inputs)
                places = self._columns.places
                self._executor = executor_of(self._program, places, self._on, as_written=True)
            rows_here = Rows(given, self._columns, None)
            back = () if seeds is None else (numpy.array([seeds]), INPUTS, errors)
            call = Call(_NONE, rows_here, outputs, *back)
            self._executor.run(call)
            if numpy.isnan(errors).any():
                # Perhaps from 0 times infinity, where nothing had arrived: the engine sends nothing
                # on from there, and this executor knows where that is.
                if self._slow is None:
                    self._slow = NumpyExecutor(self._program, as_written=True)
                errors[:] = 0.0
                self._slow.run(call)
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


# ---- Rows near a tie ---------------------------------------------------------------------------

#: Two sums are that near where they differ by less than this, relative to all that was added up.
_NEAR = 1e-12

#: Longer tapes are not looked through.
MOST_NODES = 50_000

#: What passes on how large the numbers are that went into its left operand.
_PASSES = ("neg", "abs", "relu", "detach")


def near_ties(tape: Tape, outputs: Sequence[int]) -> tuple[Tape, int] | None:
    """Find out in which rows a comparison could turn out otherwise in another order of the sums.

    Args:
        tape: of the function.
        outputs: the operands whose comparisons are meant.

    Returns:
        The tape with further nodes, and that of a condition which holds in those rows; None if no
        sum is compared.
    """
    count = len(tape.nodes)
    names = [NAMES[code] for code in tape.nodes] if count <= MOST_NODES else []
    needed = bytearray(len(names))
    for output in outputs:
        if 0 <= output < len(names):
            needed[output] = True
    added = bytearray(len(names))  # whether a sum went into it, which may be rounded otherwise
    for node, name in enumerate(names):
        operands = [v for v in _operands(tape, node, name) if v >= 0]
        added[node] = name in ("add", "sub", "logaddexp") or any(added[v] for v in operands)
    for node in range(len(names) - 1, -1, -1):
        if needed[node]:
            for operand in _operands(tape, node, names[node]):
                if operand >= 0:
                    needed[operand] = True
    compared = [
        node for node, name in enumerate(names)
        if needed[node] and name in ("lt", "le", "eq", "ne") and added[node]
    ]  # fmt: skip
    if compared:
        whole(tape)  # of integers no order of the sums changes anything
        rounded = [
            node for node in compared
            if not all(is_whole(tape, v) for v in (tape.left[node], tape.right[node]))
        ]  # fmt: skip
        tape.needs_integers |= len(rounded) < len(compared)
        compared = rounded
    if not compared:
        return None
    wider = copy.copy(tape)
    wider.code = bytearray(tape.nodes)
    wider.left, wider.right = tape.left[:], tape.right[:]
    wider.constants, wider._constants = list(tape.constants), dict(tape._constants)
    sizes: dict[int, int] = {}
    links = (
        ()
        if any(added[k] for k, name in enumerate(names) if name in (TABLE, ENTRY))
        else (TABLE, ENTRY)
    )
    for node, name in enumerate(names):  # of constants, they are asked for when they are met
        if needed[node] and name not in CONDITIONS and name not in links:
            sizes[node] = _size(wider, node, name, sizes)
    near = -1
    for node in compared:
        left, right = tape.left[node], tape.right[node]
        size = wider.append("add", _size_of(wider, left, sizes), _size_of(wider, right, sizes))
        far = wider.append("abs", wider.append("sub", left, right))
        here = wider.append("lt", far, wider.append("mul", size, wider.constant(_NEAR)))
        near = here if near < 0 else wider.append("or", near, here)
    wider.nodes = wider.code
    return wider, near


def _operands(tape: Tape, node: int, name: str) -> tuple[int, ...]:
    if name in ("reach", TAKE):  # where all is finite the condition, and the index, are exact
        return (tape.right[node],)
    return (tape.left[node], tape.right[node])[: ARITY[tape.nodes[node]]]


def _size_of(tape: Tape, operand: int, sizes: dict[int, int]) -> int:
    return tape.constant(abs(tape.constants[~operand])) if operand < 0 else sizes[operand]


def _size(tape: Tape, node: int, name: str, sizes: dict[int, int]) -> int:
    """How large the numbers are that were added up to a node."""
    left, right = tape.left[node], tape.right[node]
    if name in ("add", "sub", "mul"):
        both = _size_of(tape, left, sizes), _size_of(tape, right, sizes)
        return tape.append("mul" if name == "mul" else "add", *both)
    if name == "truediv":
        return tape.append("abs", tape.append("truediv", _size_of(tape, left, sizes), right))
    if name in _PASSES:
        return _size_of(tape, left, sizes)
    if name in ("keep", "reach") or (name == TAKE and right in sizes):
        return tape.append(name, left, _size_of(tape, right, sizes))
    if name in (TABLE, ENTRY):
        entries = [_size_of(tape, v, sizes) for v in _operands(tape, node, name)]
        return tape.append(name, *entries)
    return tape.append("abs", node)


_NONE = numpy.empty(0)
