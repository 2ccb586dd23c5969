"""Runs a program as machine code: a list of kernels, called one after the other (``kernels.py``).

An instruction is a row of whole numbers: the address of its kernel, then what that needs to know.
One function goes over the list, forward and back, block after block of rows; Python calls it once.

What is computed once stands in one array, a lane wide: the parameters, the constants, the rest;
then copies of weights and biases that do not stand side by side. Weights that only their layer uses
are read where the caller has them, and their errors written where the caller wants them.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy

from microgradlike.compiler.loops import loop
from microgradlike.compiler.program import (
    NONZERO,
    Elementwise,
    Fold,
    Instruction,
    Layer,
    Products,
    Program,
    Singles,
    Stage,
    Sums,
    in_few_slots,
)
from microgradlike.compiler.rewriting import ARITY
from microgradlike.compiler.tape import NAMES
from microgradlike.executors.formulas import CONDITIONS
from microgradlike.executors.machine import gemm, kernels
from microgradlike.executors.machine.addresses import moved, numbers_at
from microgradlike.executors.machine.kernels import (
    ASSIGN,
    BIAS,
    BLAS,
    FOLD_FUNCTIONS,
    FUNCTIONS,
    IN_THETA,
    KERNEL,
    LOOPS,
    MASK,
    OTHER,
    OUT,
    OUTS,
    OWN,
    ROOM,
    SCRATCH,
    SECOND,
    TERMS,
    TO_BIAS,
    TO_SECOND,
    TO_VALUES,
    TO_WEIGHTS,
    VALUES,
    WEIGHTS,
    WIDTH,
    X,
    Y,
    inner,
    invoke,
    words,
)
from microgradlike.executors.on_numpy import (
    ADDS,
    ONE_BY_ONE,
    TOGETHER,
    Ran,
    as_slice,
    first_writers,
    going_back,
    own_weights,
    stretches,
    wanted_slots,
)
from microgradlike.replay.arguments import PARAMETERS

Array: TypeAlias = "numpy.typing.NDArray[numpy.float64]"
Words: TypeAlias = "numpy.typing.NDArray[numpy.int64]"

#: By the field that tells whether errors of values are wanted, that of their place.
PLACES = {TO_VALUES: VALUES, TO_SECOND: SECOND}

#: A block has about so many numbers, in so many rows at least and at most; but never more numbers
#: than the last one says, 256 MB.
BLOCK, FEWEST, MOST, LARGEST = 2**17, 128, 480, 2**25
#: The rows of a block are a multiple of this, so that slots begin where a cache line does.
EVEN = 16

#: So many numbers of an argument are read from a row at a time: those of a cache line.
LINE = 8

#: Rows of many blocks are run in so many pieces.
PIECES = 24


# ---- From instructions to numbers --------------------------------------------------------------


class _Target:
    """Where an instruction sends errors: slots, and the field that tells whether it is the first.

    Attributes:
        rows, field, flag: the instruction; where the flag is added if it need not add to zeros.
        places: of many instructions, the one that sends to each slot.
    """

    def __init__(self, slots: Any, rows: Any, field: int, flag: int, places: Any = None) -> None:
        self.slots, self.rows, self.field, self.flag = slots.ravel(), rows, field, flag
        self.places = slice(None) if places is None else places
        count = len(self.slots)
        together = places is None and (count == 1 or len(numpy.unique(self.slots)) == count)
        self.writes = TOGETHER if together else ADDS if places is None else ONE_BY_ONE


class _Code:
    """A list of instructions as rows of numbers.

    Args:
        machine: where copies of what is computed once are kept.
        stage: the instructions.
        wants: for which slots the error is wanted.
    """

    def __init__(self, machine: _Machine, stage: Stage, wants: Any) -> None:
        self.machine, self.wants = machine, wants
        self.lists: list[int] = []
        self.scratch = 0
        self.forward: list[Words] = []
        back: list[list[Words]] = []
        targets: list[list[_Target]] = []
        self.scratch_fields: list[tuple[Words, int]] = []
        self.functions: dict[tuple[int, ...], int] = {}
        for instruction in stage.instructions:
            self.active = bool(numpy.any(instruction.depends & machine.mode))
            self.back: list[Words] = []
            self.targets: list[_Target] = []
            _ENCODERS[type(instruction)](self, instruction)
            back.append(self.back)
            targets.append(self.targets)
        self.backward = [rows for some in reversed(back) for rows in some]
        self.in_order = [target for some in reversed(targets) for target in some]

    def place(self, field: int, slots: Any) -> dict[int, int]:
        """Slots as two fields: where they begin in a row, or where they are listed."""
        found = as_slice(slots)
        if found is not None:
            return {field: found.start, field + 1: -1}
        self.lists += slots.ravel().tolist()
        return {field: 0, field + 1: len(self.lists) - slots.size}

    def calls(self, functions: Sequence[int]) -> int:
        """Where the addresses of functions are listed."""
        key = tuple(functions)
        if key not in self.functions:
            self.functions[key] = len(self.lists)
            self.lists += key
        return self.functions[key]

    def kernel(self, function: Callable[..., None]) -> int:
        """The address of a kernel for the numbers of the machine."""
        return kernels.kernel(function, self.machine.number)

    def row(self, kernel: int, fields: dict[int, int], scratch: int, *within: int) -> Words:
        """An instruction: its kernel, and the rest by place; some fields are places in scratch."""
        row = numpy.zeros((1, WIDTH), numpy.int64)
        row[0, KERNEL] = kernel
        row[0, list(fields)] = list(fields.values())
        self.scratch = max(self.scratch, scratch)
        self.scratch_fields += [(row, field) for field in within]
        return row

    def single(self, name: str, kinds: str, fields: dict[int, int], *within: int,
               by: str = "", mask: str = "") -> Words:  # fmt: skip
        """An operation of the table, element by element, forward or back; see ``kernels``."""
        number = self.machine.number
        fused = self.machine.fused
        kernel, scratch, functions = kernels.elementwise(number, name, kinds, by, mask, fused)
        fields = fields | {FUNCTIONS: self.calls(functions)}
        return self.row(kernel, fields, scratch, SCRATCH, *within)

    def go_back(self, kernel: int, mask: Any, fields: dict[int, int], values: dict[int, Any],
                scratch: int = 0) -> None:  # fmt: skip
        """What sends the errors of an instruction to values.

        Under a condition the kernel works on copies, which are zeros where the error does not
        arrive, and sends errors to the copies; from there they go on where it does.

        Args:
            kernel: its address.
            mask: the condition, or None.
            fields: what the kernel needs to know.
            values: the slots of values, by the field that tells whether their errors are wanted.
            scratch: how many scratch rows the kernel needs.
        """
        every = numpy.concatenate([slots.ravel() for slots in values.values()])
        wanted = [field for field, slots in values.items() if self.wanted(slots)]
        if mask is None or mask is NONZERO:
            fields |= {field: int(field in wanted) for field in values}
            writes = len(values) == 1 or len(numpy.unique(every)) == len(every)
            if mask is NONZERO:  # what is not called does not write
                fields[OTHER], writes = kernel, False
                kernel = self.kernel(kernels.if_error_arrives)
            row = self.row(kernel, fields, scratch, SCRATCH)
            self.back.append(row)
            if writes:
                for field in reversed(wanted):
                    self.send(row, values[field], field, 2)
            elif wanted:  # it adds, perhaps to what it has just written
                self.send(row, every, 0, 0)
            return
        kind, top = "o" if mask.once else "v", 0
        out, count = fields[OUT], fields[OUTS]

        def condition(field: int, size: int) -> dict[int, int]:
            return self.place(field, numpy.full(size, mask.slots[0]))

        read = {OUT: numpy.arange(out, out + count)}
        read |= {PLACES[field]: slots for field, slots in values.items()}
        copies = {}
        for at, slots in read.items():
            copies[at] = top
            place = {OUT: top, OUTS: slots.size} | condition(X, slots.size)
            place |= self.place(Y, slots)
            self.back.append(self.single("keep", f"{kind}v", place, OUT))
            top += slots.size
        place = {OUT: out, OUTS: count, X: 0, X + 1: -1, ASSIGN: 1}
        place |= condition(MASK, count)
        self.back.append(self.single("detach", "v", place, X, by="x", mask=kind))
        fields |= copies | {SCRATCH: top} | {at + 1: -1 for at in copies if at > OUT}
        fields |= {field: 3 if field in wanted else 0 for field in values}
        self.back.append(self.row(kernel, fields, top + scratch, SCRATCH, *copies))
        for field in reversed(wanted):
            slots = values[field]
            place = {OUT: copies[PLACES[field]], OUTS: slots.size} | self.place(X, slots)
            place |= condition(MASK, slots.size)
            row = self.single("detach", "v", place, 1, by="x", mask=kind)
            self.back.append(row)
            self.send(row, slots, ASSIGN, 1)

    def wanted(self, slots: Any) -> bool:
        return self.active and bool(self.wants[slots].any())

    def send(self, rows: Words, slots: Any, field: int, flag: int) -> None:
        """The row sends errors to these slots."""
        self.targets.append(_Target(slots, rows, field, flag))

    def first_writers(self, seeded: list[int]) -> list[tuple[int, int]]:
        """Tell who writes first, and need not add; the stretches of slots to be cleared."""
        senders = [(target.slots, target.writes) for target in self.in_order]
        firsts, clear = first_writers(senders, self.wants, seeded)
        for target, first in zip(self.in_order, firsts, strict=True):
            target.rows[target.places, target.field] |= target.flag * first
        return stretches(clear)


def _joined(rows: list[Words]) -> Any:
    if len(rows) == 1:
        return rows[0]
    return numpy.concatenate([numpy.empty((0, WIDTH), numpy.int64), *rows])


def _bias(code: _Code, i: Any) -> dict[int, int]:
    """The biases of an instruction, and whether their errors are wanted."""
    if i.bias is None:
        return {BIAS: -1, TO_BIAS: 0}
    return {
        BIAS: code.machine.keep(i.bias.ravel(), _flat(i.bias_signs)),
        TO_BIAS: int(code.active and code.machine.wanted(i.bias)),
    }


def _layer(code: _Code, i: Layer) -> None:
    machine = code.machine
    outs, ins = i.weights.shape
    own = bool(machine.own[i.weights].all())
    weights = int(i.weights[0, 0]) if own else machine.keep(i.weights.ravel(), _flat(i.signs))
    fields = {
        OUTS: outs,
        TERMS: ins,
        WEIGHTS: weights,
        IN_THETA: int(own),
        BLAS: gemm.BLAS[machine.number],
    }
    fields[OWN] = gemm.own(machine.number) if len(machine.room) else 0
    fields[ROOM] = machine.room.ctypes.data
    fields |= _bias(code, i)
    fields[TO_WEIGHTS] = int(code.active and machine.wanted(i.weights))
    places = []
    for place, slots in enumerate(i.values):
        here = fields | {OUT: i.out + place * outs} | code.place(VALUES, slots)
        if i.bias is not None:
            here[BIAS] += place * outs
        scratch = ins if here[VALUES + 1] >= 0 else 0
        places.append((here, slots, scratch))
        code.forward.append(code.row(code.kernel(kernels.layer), here, scratch, SCRATCH))
    if code.active:
        for here, slots, scratch in reversed(places):
            code.go_back(code.kernel(kernels.layer_back), i.mask, here, {TO_VALUES: slots}, scratch)


def _flat(signs: Any) -> Any:
    return None if signs is None else signs.ravel()


def _weights(code: _Code, weights: Any, signs: Any) -> int:
    """Where the weights of sums stand, or their signs alone."""
    if weights is not None:
        return code.machine.keep(weights.ravel(), _flat(signs))
    return -1 if signs is None else code.machine.constants(signs.ravel())


def _sums(code: _Code, i: Sums) -> None:
    fields = {OUT: i.out, OUTS: i.count, TERMS: i.values.shape[1]} | code.place(VALUES, i.values)
    fields |= {WEIGHTS: _weights(code, i.weights, i.signs)} | _bias(code, i)
    code.forward.append(code.row(code.kernel(kernels.sums), fields, 0))
    if code.active:
        fields[TO_WEIGHTS] = int(i.weights is not None and code.machine.wanted(i.weights))
        code.go_back(code.kernel(kernels.sums_back), i.mask, fields, {TO_VALUES: i.values})


def _products(code: _Code, i: Products) -> None:
    fields = {OUT: i.out, OUTS: i.count, TERMS: i.first.shape[1]}
    fields |= code.place(VALUES, i.first) | code.place(SECOND, i.second)
    fields |= {WEIGHTS: _weights(code, None, i.signs)} | _bias(code, i)
    code.forward.append(code.row(code.kernel(kernels.products), fields, 0))
    if code.active:
        values = {TO_VALUES: i.first, TO_SECOND: i.second}
        code.go_back(code.kernel(kernels.products_back), i.mask, fields, values)


def _fold(code: _Code, i: Fold) -> None:
    terms = i.values.shape[1]
    fields = {OUT: i.out, OUTS: i.count, TERMS: terms} | code.place(VALUES, i.values)
    number = code.machine.number
    if i.operation == "logaddexp":
        loops = [kernels.loop_of(function, number) for function in (numpy.exp, numpy.log)]
        fields[LOOPS] = code.calls([*loops[0], *loops[1]])
        forward, back = code.kernel(kernels.logsumexp), code.kernel(kernels.logsumexp_back)
        scratch = terms + 2
    else:
        back, chain_rows, functions = kernels.fold(number, i.operation, back=True)
        fields[FOLD_FUNCTIONS] = code.calls(functions)
        forward = kernels.fold(number, i.operation, back=False)[0]
        scratch = terms + 1 + chain_rows
    code.forward.append(code.row(forward, fields, scratch, SCRATCH))
    if code.active and code.wanted(i.values):
        code.go_back(back, i.mask, fields, {TO_VALUES: i.values}, scratch)


def _elementwise(code: _Code, i: Elementwise) -> None:
    kinds = "".join("o" if operands.once else "v" for operands in i.operands)
    fields = {OUT: i.out, OUTS: i.count}
    for at, operands in zip((X, Y), i.operands, strict=False):
        fields |= code.place(at, operands.slots)

    code.forward.append(code.single(i.operation, kinds, fields))
    if not code.active or i.operation in CONDITIONS or i.operation == "detach":
        return
    mask = ""
    if i.mask is NONZERO:
        mask = "d"
    elif i.mask is not None:
        mask = "o" if i.mask.once else "v"
        slots = numpy.broadcast_to(i.mask.slots, i.count)
        fields |= code.place(MASK, slots)
    for by, operands in reversed(list(zip("xy", i.operands, strict=False))):
        if i.operation == "keep" and by == "x":
            continue
        if not (code.machine.wanted(operands.slots) if operands.once
                else code.wanted(operands.slots)):  # fmt: skip
            continue
        sent = code.single(i.operation, kinds, fields, by=by, mask=mask)
        code.back.append(sent)
        if not operands.once:
            code.send(sent, operands.slots, ASSIGN, 1)


def _singles(code: _Code, i: Singles) -> None:
    """Many operations at once: a row for each, and one for each error that they send."""
    (left_once, left), (right_once, right) = i.operands
    lower = left_once + 2 * (right_once & (ARITY[i.operations] == 2))
    rows = numpy.full((i.count, WIDTH), -1)
    rows[:, OUT], rows[:, OUTS] = i.outs, 1
    rows[:, X], rows[:, Y], rows[:, MASK] = left, right, i.mask
    rows[:, ASSIGN], rows[:, SCRATCH] = 0, 0
    shape = len(NAMES), 4, 3, 4

    def fill(rows: Words, *alike: Any) -> None:
        """The kernel of each row: by operation, lower operands, whom it goes back to, and mask."""
        keys = numpy.ravel_multi_index(alike, shape)
        for key in numpy.unique(keys):
            here = numpy.flatnonzero(keys == key)
            operation, lower, by, mask = map(int, numpy.unravel_index(key, shape))
            kinds = "vo"[lower & 1] + "vo"[lower >> 1]
            address, scratch, functions = kernels.elementwise(
                code.machine.number,
                NAMES[operation],
                kinds[: ARITY[operation]],
                ("", "x", "y")[by],
                ("", "v", "o", "d")[mask],
                code.machine.fused,
            )
            rows[here, KERNEL], rows[here, FUNCTIONS] = address, code.calls(functions)
            code.scratch = max(code.scratch, scratch)
        code.scratch_fields.append((rows, SCRATCH))

    if code.active:
        places, sides = going_back(i, code.machine.mode, code.wants, code.machine.once_wants)
        sent: Words = rows[places]
        fill(sent, i.operations[places], lower[places], 1 + sides, i.masked[places])
        code.back.append(sent)
        of_once = numpy.where(sides == 0, left_once[places], right_once[places])
        slots = numpy.where(sides == 0, left[places], right[places])
        adds = numpy.flatnonzero(~of_once)
        code.targets.append(_Target(slots[adds], sent, ASSIGN, 1, adds))
    fill(rows, i.operations, lower, numpy.zeros_like(lower), numpy.zeros_like(lower))
    code.forward.append(rows)


_ENCODERS: dict[type[Instruction], Any] = {
    **{Layer: _layer, Sums: _sums, Products: _products, Fold: _fold, Elementwise: _elementwise},
    Singles: _singles,
}

# ---- A machine ---------------------------------------------------------------------------------

#: What a machine consists of, by its place: addresses of lists and how long they are.
ONCE_FORWARD, FORWARD, BACKWARD, ONCE_BACKWARD, ONCE_LISTS, LISTS = range(6)
SOURCES, COPIES, SIGNS, CLEAR, FORGET, SHARED, OUTPUTS = range(6, 13)
COLUMNS, INPUTS_COUNT, AT_VALUES, AT_ERRORS, ONCE, OWED = range(13, 19)
DIRECT, LANES, PARAMETER_COUNT, SCATTERS, WATCHED_ONCE, WATCHED = range(19, 25)


class _Machine:
    """All that is needed to run a program for one kind of derivatives.

    Args:
        program: the instructions.
        mode: ``PARAMETERS``, ``INPUTS``, or 0.
        columns: for each input of the program, its argument and its column there.
        number: "float64" or "float32", the kind of all numbers.
        fused: whether operations may round a product and a sum once.
    """

    def __init__(
        self,
        program: Program,
        mode: int,
        columns: Sequence[tuple[int, int]],
        number: str,
        fused: bool,
    ) -> None:
        program = program if mode else in_few_slots(program)
        self.program, self.mode, self.number, self.fused = program, mode, number, fused
        self.own = own_weights(program)
        count, slots = len(program.parameters), program.once.slots
        once_wants, wants = wanted_slots(program)
        self.once_wants = once_wants & mode
        self.top = slots
        self.sources: list[int] = []
        self.copies: list[int] = []
        self.signs: list[float] = []
        self.numbers: dict[int, Any] = {}
        self.numbers[count] = program.constants
        self.room = _aligned(_room(program), number)

        once = _Code(self, program.once, self.once_wants)
        constants = list(zip(self.copies, self.sources, self.signs, strict=True))
        self.sources, self.copies, self.signs = [], [], []
        rows = _Code(self, program.rows, wants & mode)
        for code, scratch in ((once, self.top), (rows, program.rows.slots)):
            for instructions, field in code.scratch_fields:
                instructions[:, field] += scratch
        seeded = [slot for is_once, slot in program.outputs if not is_once]
        clear = rows.first_writers(seeded)

        height = max(program.rows.slots, 1) + rows.scratch
        lanes = max(1, min(max(FEWEST, BLOCK // height), MOST, LARGEST // height))
        self.lanes = lanes - lanes % EVEN if lanes > EVEN else lanes
        self.once, self.owed = (_aligned(self.top + once.scratch, number) for _ in range(2))
        for start, numbers in self.numbers.items():
            self.once[start : start + len(numbers)] = numbers
        for copy, source, sign in constants:
            self.once[copy] = sign * self.once[source]
        self.values, self.errors = (_aligned(height * self.lanes, number) for _ in range(2))
        kept = numpy.ones(self.top, bool)
        kept[:slots] = ~self.own
        shared = numpy.flatnonzero(~self.own[:count])
        lists: dict[int, Any] = {
            **{ONCE_FORWARD: _joined(once.forward), FORWARD: _joined(rows.forward)},
            **{BACKWARD: _joined(rows.backward)},
            **{ONCE_BACKWARD: _joined(once.backward if mode == PARAMETERS else [])},
            **{ONCE_LISTS: once.lists, LISTS: rows.lists, SOURCES: self.sources},
            **{COPIES: self.copies, CLEAR: clear, FORGET: stretches(numpy.flatnonzero(kept))},
            **{SHARED: shared, COLUMNS: _in_a_row(columns)},
            **{OUTPUTS: program.outputs, WATCHED: stretches(program.watched[1])},
            WATCHED_ONCE: stretches(program.watched[0], count),
        }
        self.arrays: dict[int, Any] = {
            place: numpy.array(numbers, numpy.int64) for place, numbers in lists.items()
        }
        self.arrays[SIGNS] = numpy.array(self.signs, number)
        self.arrays |= {AT_VALUES: self.values, AT_ERRORS: self.errors}
        self.arrays |= {ONCE: self.once, OWED: self.owed}
        self.table = numpy.zeros((25, 2), numpy.int64)
        for place, array in self.arrays.items():
            self.table[place] = array.ctypes.data, len(array)
        self.table[DIRECT] = not program.once.instructions
        self.table[LANES], self.table[INPUTS_COUNT] = self.lanes, len(columns)
        self.table[PARAMETER_COUNT] = count
        self.table[SCATTERS] = mode == PARAMETERS

    def wanted(self, slots: Any) -> bool:
        return bool(self.once_wants[slots].any())

    def keep(self, slots: Any, signs: Any) -> int:
        """The first of these slots, if they stand in a row; else of copies that do."""
        found = as_slice(slots)
        if found is not None and signs is None:
            return int(found.start)
        start, self.top = self.top, self.top + len(slots)
        self.sources += slots.tolist()
        self.copies += range(start, self.top)
        self.signs += numpy.ones(len(slots)).tolist() if signs is None else signs.tolist()
        return start

    def constants(self, numbers: Any) -> int:
        """The first slot of numbers that never change."""
        start, self.top = self.top, self.top + len(numbers)
        self.numbers[start] = numbers
        return start


def _in_a_row(columns: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Columns that follow each other: their argument, the first one there, and how many."""
    found: list[tuple[int, int, int]] = []
    for part, column in columns:
        if found and (part, column) == (found[-1][0], sum(found[-1][1:])):
            found[-1] = (part, found[-1][1], found[-1][2] + 1)
        else:
            found.append((part, column, 1))
    return found


def _room(program: Program) -> int:
    """How many numbers of room its products of matrices need."""
    layers = [i.weights for i in program.rows.instructions if isinstance(i, Layer)]
    wide = [weights.shape[1] for weights in layers if weights.size * MOST >= gemm.LARGE]
    return gemm.room(max(MOST, *wide)) if wide and gemm.is_faster() else 0


def _aligned(count: int, number: str) -> Any:
    """Zeros that begin where a cache line does: vector instructions are a fifth faster there."""
    size = numpy.dtype(number).itemsize
    room = numpy.zeros(count + 64 // size, number)
    start = -room.ctypes.data % 64 // size
    return room[start : start + count]


# ---- Running -----------------------------------------------------------------------------------


@loop(nogil=True)
def _run_list(table: Any, of: Any, lists: int, values: int, errors: int, theta: int, slopes: int,
              lanes: int, first: int) -> None:  # fmt: skip
    address, count = of
    code = words(address)
    for k in range(count):
        invoke(code[k * WIDTH], address + 8 * k * WIDTH, lists, values, errors, table[ONCE, 0],
               table[OWED, 0], theta, slopes, lanes, first)  # fmt: skip


@loop(nogil=True)
def _drive(table: Any, theta: Any, slopes: Any, parts: Any, rows: int, results: Any, seeds: Any,
           found: Any, sizes: Any) -> Any:  # fmt: skip
    """Compute rows, and go back from the outputs once for each row of ``seeds``.

    Args:
        table: of the machine.
        theta, slopes: the parameters, and where their errors are written; as all that is computed
            they are of one kind, float64 or float32; the arrays below are of float64.
        parts: for each argument its address, and its strides by rows and by columns, in bytes.
        rows: how many.
        results: the outputs, shape (rows, outputs); or shape (0, 0).
        seeds: the errors of the outputs, shape (passes, outputs).
        found: for the errors of the inputs: an address, the strides by passes and by rows, and for
            each input of the program its place in bytes; the address is 0 if nobody wants them.
        sizes: what tells which rows are safe, shape (rows,), or shape (0,); see ``NumpyExecutor``.

    Returns:
        The sum of the first output over the rows; and whether the result is safe, see ``Ran``.
    """
    once, owed = numbers_at(table[ONCE, 0], theta), numbers_at(table[OWED, 0], theta)
    values_at, errors_at = table[AT_VALUES, 0], table[AT_ERRORS, 0]
    values, errors = numbers_at(values_at, theta), numbers_at(errors_at, theta)
    count, direct = table[PARAMETER_COUNT, 0], table[DIRECT, 0]
    one = numpy.int64(1)  # a plain 1 would be compiled for itself
    shared = words(table[SHARED, 0])
    if direct:
        for k in range(table[SHARED, 1]):
            once[shared[k]] = theta[shared[k]]
        theta_at = numpy.int64(theta.ctypes.data)
        slopes_at = numpy.int64(slopes.ctypes.data)
    else:
        for k in range(count):
            once[k] = theta[k]
        theta_at, slopes_at = table[ONCE, 0], table[OWED, 0]
    _run_list(table, table[ONCE_FORWARD], table[ONCE_LISTS, 0], table[ONCE, 0], table[OWED, 0],
              theta_at, slopes_at, one, one)  # fmt: skip
    sources, copies = words(table[SOURCES, 0]), words(table[COPIES, 0])
    signs = numbers_at(table[SIGNS, 0], theta)
    for k in range(table[SOURCES, 1]):
        once[copies[k]] = signs[k] * once[sources[k]]
    passes, safe, of_each = len(seeds), True, len(sizes) > 0
    scatters, first = passes > 0 and table[SCATTERS, 0] != 0, one
    watched_once, watched = words(table[WATCHED_ONCE, 0]), words(table[WATCHED, 0])
    for k in range(table[WATCHED_ONCE, 1]):
        begin, size = watched_once[2 * k], watched_once[2 * k + 1]
        base = numbers_at(theta_at, theta) if begin < count else once
        numbers = moved(base, begin)
        safe = safe and inner(numbers, numbers, size) < math.inf
    safe_once = safe
    if not safe_once:
        sizes[:] = math.inf
    if passes:
        forget = words(table[FORGET, 0])
        for k in range(table[FORGET, 1]):
            for slot in range(forget[2 * k], forget[2 * k] + forget[2 * k + 1]):
                owed[slot] = 0.0
    outputs, output_count = words(table[OUTPUTS, 0]), table[OUTPUTS, 1]
    clear = words(table[CLEAR, 0])
    columns, inputs, most = words(table[COLUMNS, 0]), table[INPUTS_COUNT, 0], table[LANES, 0]
    for start in range(0, rows, most):
        lanes = min(most, rows - start)
        slot = 0
        for k in range(table[COLUMNS, 1]):
            part, column, count_here = columns[3 * k], columns[3 * k + 1], columns[3 * k + 2]
            by_row, by_column = parts[part, 1], parts[part, 2]
            place = parts[part, 0] + column * by_column + start * by_row
            done = 0
            while done < count_here:
                into = moved(values, (slot + done) * lanes)
                if by_column == 8 and done + LINE <= count_here:  # a cache line of each row
                    for lane in range(lanes):
                        line = numbers_at(place + done * 8 + lane * by_row, results)
                        for j in range(LINE):
                            into[j * lanes + lane] = line[j]
                    done += LINE
                else:
                    for lane in range(lanes):
                        at = place + done * by_column + lane * by_row
                        into[lane] = numbers_at(at, results)[0]
                    done += 1
            slot += count_here
        _run_list(table, table[FORWARD], table[LISTS, 0], values_at, errors_at, theta_at, slopes_at,
                  lanes, first)  # fmt: skip
        small = True
        for k in range(table[WATCHED, 1]):
            numbers = moved(values, watched[2 * k] * lanes)
            small = small and inner(numbers, numbers, watched[2 * k + 1] * lanes) < math.inf
        if of_each and safe_once and not small:
            for lane in range(lanes):
                sizes[start + lane] = 1.0
            for k in range(table[WATCHED, 1]):
                numbers = moved(values, watched[2 * k] * lanes)
                for slot in range(watched[2 * k + 1]):
                    for lane in range(lanes):
                        sizes[start + lane] += numbers[slot * lanes + lane] ** 2
        safe = safe and small
        if len(results):
            for k in range(output_count):
                slot = outputs[2 * k + 1]
                if outputs[2 * k]:
                    for lane in range(lanes):
                        results[start + lane, k] = once[slot]
                else:
                    for lane in range(lanes):
                        results[start + lane, k] = values[slot * lanes + lane]
        if scatters and of_each and not (small and safe_once):
            continue
        for going in range(passes):
            for k in range(table[CLEAR, 1]):
                begin = clear[2 * k] * lanes
                for place in range(begin, begin + clear[2 * k + 1] * lanes):
                    errors[place] = 0.0
            for k in range(output_count):
                seed, slot = seeds[going, k], outputs[2 * k + 1]
                if seed != 0.0:
                    if outputs[2 * k]:
                        owed[slot] += seed * lanes
                    else:
                        for lane in range(lanes):
                            errors[slot * lanes + lane] += seed
            _run_list(table, table[BACKWARD], table[LISTS, 0], values_at, errors_at, theta_at,
                      slopes_at, lanes, first)  # fmt: skip
            if found[0]:
                small = inner(errors, errors, inputs * lanes) < math.inf
                safe = safe and small
                for some in range(0, inputs, LINE):
                    few = min(LINE, inputs - some)
                    numbers = moved(errors, some * lanes)
                    for lane in range(lanes):
                        at = found[0] + going * found[1] + (start + lane) * found[2]
                        for j in range(few):
                            error = numbers[j * lanes + lane]
                            numbers_at(at + found[3 + some + j], results)[0] = error
                for place in range(inputs * lanes if of_each and not small else 0):
                    sizes[start + place % lanes] += errors[place] ** 2
        first = 0 * one
    if scatters:
        for k in range(table[SOURCES, 1]):
            owed[sources[k]] += signs[k] * owed[copies[k]]
        _run_list(table, table[ONCE_BACKWARD], table[ONCE_LISTS, 0], table[ONCE, 0],
                  table[OWED, 0], theta_at, slopes_at, one, one)  # fmt: skip
        if direct:
            for k in range(table[SHARED, 1]):
                slopes[shared[k]] = owed[shared[k]]
        else:
            for k in range(count):
                slopes[k] = owed[k]
        if first:  # no block has gone back
            slopes[:] = 0.0
    sum_of_outputs = 0.0
    for k in range(len(results)):
        sum_of_outputs += results[k, 0]
    if scatters:
        safe = safe and inner(slopes, slopes, len(slopes)) < math.inf
    return sum_of_outputs, safe


class NumbaExecutor:
    """A program at work.

    Many rows are run in pieces, one after the other or several at a time, each with an error of the
    parameters of its own. The pieces, and the order in which these are added up, depend on the rows
    alone: the result is the same for any number of threads, to the last digit.

    Args:
        program: what to run.
        columns: for each input of the program, its argument and its column there.
        number: "float64" or "float32", in which it is computed; what goes in and out is float64.
        fused: whether operations may round a product and a sum once: not what is as it was written.
    """

    def __init__(
        self,
        program: Program,
        columns: Sequence[tuple[int, int]],
        number: str = "float64",
        fused: bool = True,
    ) -> None:
        self.program, self.columns, self.number, self.fused = program, columns, number, fused
        self._inputs = numpy.array(program.inputs, numpy.int64)
        self._lock = threading.Lock()
        self._machines: dict[tuple[int, int], _Machine] = {}

    def _machine(self, mode: int, thread: int = 0) -> _Machine:
        found = self._machines.get((mode, thread))
        if found is None:
            found = self._machines[mode, thread] = _Machine(
                self.program, mode, self.columns, self.number, self.fused
            )
        return found

    def run(
        self,
        theta: Array,
        rows: Any,
        results: Array | None,
        seeds: Array | None = None,
        mode: int = 0,
        found: Array | None = None,
        sizes: Array | None = None,
    ) -> Ran:
        """As that of the ``NumpyExecutor``."""
        if found is not None and len(self.columns) < found.shape[2]:
            found[...] = 0.0  # of the inputs that are not used
        if seeds is None:
            seeds = _NOTHING
        exact = self.number == "float64"
        if not exact:
            with numpy.errstate(over="ignore"):  # what is too large is infinite
                theta = theta.astype(self.number)

        def drive(machine: _Machine, start: int, end: int, parts: Sequence[Array]) -> Ran:
            slopes = numpy.empty(len(theta) if mode == PARAMETERS else 0, theta.dtype)
            some = _NOTHING if results is None else results
            of_each = _NO_SIZES if sizes is None else sizes
            if end - start < rows.count:
                some, of_each = some[start:end], of_each[start:end]
            where = _NOWHERE if found is None else _where(found, start, self._inputs)
            count, strides = end - start, _strides(parts)
            total, safe = _drive(
                machine.table, theta, slopes, strides, count, some, seeds, where, of_each
            )
            return Ran(slopes if exact else slopes.astype(float), total, safe)

        with self._lock:
            machine = self._machine(mode)
            blocks = -(-rows.count // (PIECES * machine.lanes))
            pieces = rows.parts(rows.count if blocks < 2 else blocks * machine.lanes)
            start, end, parts = next(pieces)
            if end == rows.count:
                return drive(machine, start, end, parts)
            threads = min(rows.threads, PIECES)  # there is not work for more
            machines = [self._machine(mode, thread) for thread in range(threads)]
            return _in_order(drive, machines, itertools.chain([(start, end, parts)], pieces))


def _in_order(drive: Callable[..., Ran], machines: list[_Machine], pieces: Iterable[Any]) -> Ran:
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
def _where(found: Any, start: int, inputs: Any) -> Any:
    """Where the errors of the inputs are written, from a row on; see ``_drive``."""
    by_pass, by_row, by_column = found.strides
    places = numpy.empty(3 + len(inputs), numpy.int64)
    places[0] = found.ctypes.data + start * by_row
    places[1], places[2] = by_pass, by_row
    for k in range(len(inputs)):
        places[3 + k] = inputs[k] * by_column
    return places


def _strides(parts: Sequence[Array]) -> Words:
    """Of each argument its address, and its strides by rows and by columns."""
    found = numpy.empty((len(parts), 3), numpy.int64)
    for place, part in enumerate(parts):
        _stride(found, place, part)
    return found


@loop()
def _stride(found: Any, place: int, part: Any) -> None:
    found[place, 0] = part.ctypes.data
    found[place, 1], found[place, 2] = part.strides


_NOTHING, _NO_SIZES = numpy.empty((0, 0)), numpy.empty(0)
_NOWHERE = numpy.zeros(1, numpy.int64)
