"""Runs a plan as machine code: a list of kernels, called one after the other (``kernels.py``).

One function goes over the list, forward and back, block after block of rows (``drive.py``).

What is computed once is one array, a lane wide: the parameters, the constants, the rest; then
copies of weights and biases that are not side by side. Weights that only their layer uses are read
where the caller has them, and their errors written where the caller wants them.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy
from numpy.typing import ArrayLike

from microgradlike.compiler.arrays import Floats, Ints
from microgradlike.compiler.instructions import PARAMETERS, Layer, Loop
from microgradlike.compiler.kept_code import COMPILED
from microgradlike.compiler.loops import loop
from microgradlike.compiler.plan import plan
from microgradlike.compiler.program import Program
from microgradlike.executors.executor import Call, Executor, Ran, stretches
from microgradlike.executors.machine import fused, gemm, looping
from microgradlike.executors.machine.drive import (
    AT_ERRORS,
    AT_VALUES,
    BACKWARD,
    CLEAR,
    COLUMNS,
    COPIES,
    DIRECT,
    FORGET,
    FORWARD,
    INPUTS_COUNT,
    LANES,
    LISTS,
    ONCE,
    ONCE_BACKWARD,
    ONCE_FORWARD,
    ONCE_LISTS,
    OUTPUTS,
    OWED,
    PARAMETER_COUNT,
    PLACES,
    SCATTERS,
    SHARED,
    SIGNS,
    SIZE,
    SOURCES,
    WATCHED,
    WATCHED_ONCE,
    drive,
)
from microgradlike.executors.machine.encode import Code, Memory
from microgradlike.executors.machine.kernels import joined
from microgradlike.executors.machine.merged import Outside

#: A block has about BLOCK numbers, in at least FEWEST and at most MOST rows; but never more than
#: LARGEST numbers, 256 MB.
BLOCK, FEWEST, MOST, LARGEST = 2**17, 128, 480, 2**25
#: For so many rows a loop is one kernel; for more each instruction is.
FEW = 4
#: The rows of a block are a multiple of this, so that slots begin where a cache line does.
EVEN = 16

#: Once so many rows were run, operations are put together; a call counts as so many more. The
#: numbers stay the same, to the last digit, so it does not matter when. Programs of more slots,
#: which would be compiled for too long, stay as they are.
MANY, CALL, MERGED = 100_000, 16, 5_000

#: Rows of many blocks are run in this many pieces.
PIECES = 24


# ---- A machine ---------------------------------------------------------------------------------


class _Machine:
    """All that is needed to run a program for one kind of derivatives.

    Args:
        program: the instructions.
        mode: ``PARAMETERS``, ``INPUTS``, or 0.
        columns: for each input of the program, its argument and its column there.
        number: "float64" or "float32".
        room: for so many rounds of each loop that ends by itself.
        few: whether it is for few rows.
        merges: whether operations are put together (``merged.py``).
    """

    def __init__(
        self, program: Program, mode: int, columns: Sequence[tuple[int, int]], number: str,
        room: int, few: bool, merges: bool,
    ) -> None:  # fmt: skip
        planned = plan(program, mode)
        own, slots_in_use = planned.own, max(planned.program.rows.slots, 1)
        if not merges:
            program = planned.program
        outside, size = None, program.rows.slots
        if merges:
            read = frozenset(slot for lower, slot in program.outputs if not lower)
            outside = Outside(read, frozenset(program.watched[1].tolist()), size)
        count, slots = len(program.parameters), program.once.slots
        memory = Memory(program, own, _aligned(_room(program), number))
        once = Code(
            memory, program.once.instructions, planned.once_backward, number, room, few=True
        )
        rows = Code(memory, program.rows.instructions, planned.backward, number, room, few, outside)
        once.put_scratch(memory.top)
        rows.put_scratch(size + merges)
        watched = numpy.array(rows.watched, numpy.int32) if merges else program.watched[1]

        self.loops = [*once.loops, *rows.loops]
        height = max(size, 1) + rows.scratch + merges
        whole = height + sum(known.height for known in rows.loops)
        # Rows are in the same blocks, and so added up alike, whether operations are put together.
        lanes = max(1, min(max(FEWEST, BLOCK // slots_in_use), MOST, LARGEST // whole))
        self.lanes = FEW if few else lanes - lanes % EVEN if lanes > EVEN else lanes
        self.once, self.owed = (_aligned(memory.top + once.scratch, number) for _ in range(2))
        for start, numbers in memory.numbers.items():
            self.once[start : start + len(numbers)] = numbers
        self.values, self.errors = (_aligned(height * self.lanes, number) for _ in range(2))
        for known in once.loops:
            known.put(1)
        for known in rows.loops:
            known.put(self.lanes)
        kept = numpy.ones(memory.top, bool)
        kept[:slots] = ~own
        lists: dict[int, ArrayLike] = {
            **{ONCE_FORWARD: joined(once.forward), FORWARD: joined(rows.forward)},
            **{BACKWARD: joined(rows.backward), ONCE_BACKWARD: joined(once.backward)},
            **{ONCE_LISTS: once.lists, LISTS: rows.lists},
            **{SOURCES: memory.sources, COPIES: memory.copies},
            **{CLEAR: stretches(planned.clear), FORGET: stretches(numpy.flatnonzero(kept))},
            **{SHARED: numpy.flatnonzero(~own[:count]), COLUMNS: _in_a_row(columns)},
            **{OUTPUTS: program.outputs, WATCHED: stretches(watched)},
            WATCHED_ONCE: stretches(program.watched[0], count),
        }
        self.arrays: dict[int, Ints | Floats] = {
            place: numpy.asarray(numbers, numpy.int64) for place, numbers in lists.items()
        }
        self.arrays[SIGNS] = numpy.array(memory.signs, number)
        self.arrays |= {AT_VALUES: self.values, AT_ERRORS: self.errors}
        self.arrays |= {ONCE: self.once, OWED: self.owed}
        self.room = memory.room  # whose address is in the rows
        self.table = numpy.zeros((PLACES, 2), numpy.int64)
        for place, array in self.arrays.items():
            self.table[place] = array.ctypes.data, len(array)
        self.table[DIRECT] = not program.once.instructions
        self.table[LANES], self.table[INPUTS_COUNT] = self.lanes, len(columns)
        self.table[PARAMETER_COUNT] = count
        self.table[SCATTERS] = mode == PARAMETERS
        self.table[SIZE] = size if len(watched) < len(program.watched[1]) else -1


def _in_a_row(columns: Sequence[tuple[int, int]]) -> Ints:
    """Columns that follow each other: their argument, the first one there, and how many."""
    found = numpy.array(columns, numpy.int64).reshape(-1, 2)
    apart = (numpy.diff(found, axis=0) != (0, 1)).any(axis=1)
    first = numpy.append(0, numpy.flatnonzero(apart) + 1)[: len(found)]
    return numpy.column_stack([found[first], numpy.diff(first, append=len(found))])


def _room(program: Program) -> int:
    """How many numbers of room its products of matrices need."""
    layers = [i.weights for i in program.rows.instructions if isinstance(i, Layer)]
    wide = [weights.shape[1] for weights in layers if weights.size * MOST >= gemm.LARGE]
    return gemm.room(max(MOST, *wide)) if wide and gemm.is_faster() else 0


def _aligned(count: int, number: str) -> Floats:
    """Zeros that begin where a cache line does: vector instructions are a fifth faster there."""
    size = numpy.dtype(number).itemsize
    room = numpy.zeros(count + 64 // size, number)
    start = -room.ctypes.data % 64 // size
    return room[start : start + count]


# ---- The executor ------------------------------------------------------------------------------


class NumbaExecutor(Executor):
    """A program at work.

    Many rows are run in pieces, one after the other or several at a time, each with an error of the
    parameters of its own. The pieces, and the order in which these are added up, depend on the rows
    alone: the result is the same for any number of threads, to the last digit.

    Args:
        program: what to run.
        columns: for each input of the program, its argument and its column there.
        number: "float64" or "float32", in which it is computed; what goes in and out is float64.
    """

    few: ClassVar[int] = FEW

    def is_one_kernel(self) -> bool:
        loops = [i for i in self.program.rows.instructions if isinstance(i, Loop)]
        return all(fused.sources(i, None) is not None for i in loops)

    def __init__(
        self,
        program: Program,
        columns: Sequence[tuple[int, int]],
        number: str = "float64",
    ) -> None:
        self.program, self.columns, self.number = program, columns, number
        self._inputs = numpy.array(program.inputs, numpy.int64)
        self._lock = threading.Lock()
        self._machines: dict[tuple[int, int, bool, bool], _Machine] = {}
        loops = [i for i in program.rows.instructions if isinstance(i, Loop)]
        self._has_loops, self._rounds = bool(loops), max([1, *(i.rounds for i in loops)])
        self._room = looping.ROOM
        self._work, self._merges = 0, False
        self._can_merge = number == "float64" and program.rows.slots <= MERGED

    def _machine(self, mode: int, thread: int = 0, few: bool = False) -> _Machine:
        key = mode, thread, few, self._merges
        found = self._machines.get(key)
        if found is None:
            found = self._machines[key] = _Machine(
                self.program, mode, self.columns, self.number, self._room, few, self._merges
            )
        return found

    def _count(self, rows: int) -> None:
        """Note that so many rows are run: if there were many, operations are put together."""
        self._work += (rows + CALL) * self._rounds
        if self._can_merge and not self._merges and self._work >= MANY:
            self._merges = True
            self._machines.clear()

    def run(self, call: Call) -> Ran:
        """Compute all rows, and send errors back from the outputs if there are seeds."""
        while True:
            ran = self._run(call)
            COMPILED.tell()
            short = [known.short_of() for m in self._machines.values() for known in m.loops]
            if not any(short):
                return ran
            # A loop has gone on for longer than ever before: there is room for that now.
            self._room = 2 * max(short)
            self._machines.clear()
            if call.sizes is not None:
                call.sizes[:] = 0.0

    def _run(self, call: Call) -> Ran:
        theta, rows, results, seeds, mode, found, sizes = call
        if found is not None and len(self.columns) < found.shape[2]:
            found[...] = 0.0  # of the inputs that are not used
        if seeds is None:
            seeds = _NOTHING
        exact = self.number == "float64"
        if not exact:
            with numpy.errstate(over="ignore"):  # what is too large is infinite
                theta = theta.astype(self.number)

        def work(machine: _Machine, start: int, end: int, parts: Sequence[Floats]) -> Ran:
            sent = len(seeds) and mode == PARAMETERS
            slopes = numpy.empty(len(theta) if sent else 0, theta.dtype)
            some = _NOTHING if results is None else results
            of_each = _NO_SIZES if sizes is None else sizes
            if end - start < rows.count:
                some, of_each = some[start:end], of_each[start:end]
            where = _NOWHERE if found is None else _where(found, start, self._inputs)
            count, strides = end - start, _strides(parts)
            total, safe = drive(
                machine.table, theta, slopes, strides, count, some, seeds, where, of_each
            )
            return Ran(slopes if exact else slopes.astype(float), total, safe)

        with self._lock:
            self._count(rows.count)
            machine = self._machine(mode, few=self._has_loops and rows.count <= FEW)
            blocks = -(-rows.count // (PIECES * machine.lanes))
            pieces = rows.parts(rows.count if blocks < 2 else blocks * machine.lanes)
            start, end, parts = next(pieces)
            if end == rows.count:
                return work(machine, start, end, parts)
            threads = min(rows.threads, PIECES)  # there is not work for more
            machines = [self._machine(mode, thread) for thread in range(threads)]
            return _in_order(work, machines, itertools.chain([(start, end, parts)], pieces))


def _in_order(
    drive: Callable[..., Ran],
    machines: list[_Machine],
    pieces: Iterable[tuple[int, int, list[Floats]]],
) -> Ran:
    """Run all pieces, as many at a time as there are machines; add up in their order."""
    lock, numbered = threading.Lock(), enumerate(pieces)
    waiting: dict[int, Ran] = {}
    done, whole = 0, Ran(numpy.empty(0), 0.0, safe=True)

    def work(machine: _Machine) -> None:
        nonlocal done, whole
        while True:
            with lock:
                place, piece = next(numbered, (0, None))
            if piece is None:
                return
            ran = drive(machine, *piece)
            with lock:
                waiting[place] = ran
                while done in waiting:
                    done, whole = done + 1, whole.and_then(waiting.pop(done))

    mine, *others = machines
    with ThreadPoolExecutor(max(1, len(others))) as pool:  # it starts threads only when needed
        at_work = [pool.submit(work, machine) for machine in others]
        work(mine)
        for one in at_work:
            one.result()  # raises what was raised there
    return whole


@loop()
def _where(found: Floats, start: int, inputs: Ints) -> Ints:
    """Where the errors of the inputs are written, from a row on; see ``_drive``."""
    by_pass, by_row, by_column = found.strides
    places = numpy.empty(3 + len(inputs), numpy.int64)
    places[0] = found.ctypes.data + start * by_row
    places[1], places[2] = by_pass, by_row
    for k in range(len(inputs)):
        places[3 + k] = inputs[k] * by_column
    return places


def _strides(parts: Sequence[Floats]) -> Ints:
    """Of each argument its address, and its strides by rows and by columns."""
    found = numpy.empty((len(parts), 3), numpy.int64)
    for place, part in enumerate(parts):
        _stride(found, place, part)
    return found


@loop()
def _stride(found: Ints, place: int, part: Floats) -> None:
    found[place, 0] = part.ctypes.data
    found[place, 1], found[place, 2] = part.strides


_NOTHING, _NO_SIZES = numpy.empty((0, 0)), numpy.empty(0)
_NOWHERE = numpy.zeros(1, numpy.int64)
