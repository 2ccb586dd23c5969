"""A plan as whole numbers: the instructions of a program, each with the kernel that it calls.

An instruction is a row of WIDTH numbers: the address of its kernel, then what that needs to know.
So is each error that is sent back.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy

from microgradlike.compiler.arrays import Floats, Ints, Truths
from microgradlike.compiler.instructions import (
    ALWAYS,
    BY_ERROR,
    HERE,
    IN_ONCE,
    Elementwise,
    Fold,
    Instruction,
    Layer,
    Loop,
    Mask,
    Operand,
    Products,
    Singles,
    Sums,
    Take,
)
from microgradlike.compiler.operations import ARITY, NAMES
from microgradlike.compiler.plan import Back, Send, in_a_row
from microgradlike.compiler.program import Program
from microgradlike.executors.machine import fused, gemm, kernels, looping, merged
from microgradlike.executors.machine.kernels import (
    ASSIGN,
    BIAS,
    BLAS,
    CONDITION,
    ENTRIES,
    FOLD_FUNCTIONS,
    FUNCTIONS,
    IN_THETA,
    KERNEL,
    LOOPS,
    MASK,
    MASKED,
    OTHER,
    OUT,
    OUTS,
    OWN,
    RECORD,
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
    WRITES,
    Row,
    X,
    Y,
)

#: By the operand that gets errors, the field that tells whether it does, and that of its place.
TO = {"values": TO_VALUES, "first": TO_VALUES, "second": TO_SECOND}
PLACES = {TO_VALUES: VALUES, TO_SECOND: SECOND}
#: In that field: errors are added, or written; both are sent.
SENT, WRITTEN = 1, 2


class Memory:
    """What is computed once: its slots, then copies of what does not stand in a row.

    Attributes:
        top: how many numbers there are.
        own: which of the slots are weights that only their layer uses.
        sources, copies, signs: what is copied from where to where, and by which sign.
        numbers: that never change, by the place of the first.
        room: for large products of matrices.

    Args:
        program: what is computed.
        own, room: see above.
    """

    def __init__(self, program: Program, own: Truths, room: Floats) -> None:
        self.top, self.own, self.room = program.once.slots, own, room
        self._first, self._constants = len(program.parameters), program.constants
        self.sources: list[int] = []
        self.copies: list[int] = []
        self.signs: list[float] = []
        self.numbers = {self._first: self._constants}

    def keep(self, slots: Ints, signs: Floats | None) -> int:
        """The first of these slots, if they are in a row; else of copies that are."""
        if signs is None and in_a_row(slots):
            return int(slots.flat[0])
        places = slots - self._first
        if places.size and places.min() >= 0 and places.max() < len(self._constants):
            numbers = self._constants[places]
            return self.constants((numbers if signs is None else signs * numbers).ravel())
        start, self.top = self.top, self.top + slots.size
        self.sources += slots.ravel().tolist()
        self.copies += range(start, self.top)
        self.signs += [1.0] * slots.size if signs is None else signs.ravel().tolist()
        return start

    def constants(self, numbers: Floats) -> int:
        """The first slot of numbers that never change."""
        start, self.top = self.top, self.top + len(numbers)
        self.numbers[start] = numbers
        return start


class Code:
    """A list of instructions, and what they send, as rows of numbers.

    Args:
        memory: where copies of what is computed once are kept.
        instructions: of the list.
        backs: what they send.
        number: "float64" or "float32": in which it is computed.
        room: for so many rounds of each loop that ends by itself.
        few: whether it is for few rows, so that whole loops are kernels.
        outside: what others do with its numbers, where operations are put together; else None.

    Attributes:
        forward, backward: the rows.
        loops: what is known of each loop.
        watched: the slots that ``outside`` wants to be watched, and that no kernel watches.
        lists: what rows refer to: slots, and addresses of functions.
        scratch: how many rows of scratch are needed.
    """

    def __init__(
        self, memory: Memory, instructions: Sequence[Instruction], backs: Sequence[Back],
        number: str, room: int, few: bool,
        outside: merged.Outside | None = None,
    ) -> None:  # fmt: skip
        self.memory, self.number, self.room, self.few = memory, number, room, few
        self.backs = {id(back.instruction): back for back in backs}
        self.loops: list[looping.Known] = []
        self.lists = array("q")
        self.scratch = 0
        self.forward: list[Row | Ints] = []
        self.backward: list[Row | Ints] = []
        self.functions: dict[tuple[int, ...], int] = {}
        self._kept: dict[tuple[int, str], int] = {}
        self._listed: dict[bytes, int] = {}
        self._scratch_fields: list[tuple[Row, int]] = []
        self._scratch_columns: list[Ints] = []
        self.merges = outside is not None
        parts = merged.Merged([*instructions], [*backs], [])
        if outside is not None:
            parts = merged.merged(instructions, backs, memory.own, outside)
            # The errors of copies are added up in the order in which these were made.
            for back in reversed(backs):
                if any(numpy.any(send.once) for send in back.sends):
                    _OPERANDS[type(back.instruction)](self, back.instruction)
        self.watched = parts.watched
        for part in parts.forward:
            if isinstance(part, merged.Kernel):
                self.forward.append(self.row(merged.address_of(part), {}, 0))
            else:
                _FORWARD[type(part)](self, part)
        for sent in parts.backward:
            if isinstance(sent, merged.Kernel):
                self.backward.append(self.row(merged.address_of(sent), {}, 0))
            else:
                _BACKWARD[type(sent.instruction)](self, sent)

    def put_scratch(self, start: int) -> None:
        """Tell all rows where the rows of scratch begin."""
        for row, field in self._scratch_fields:
            row[field] += start
        for column in self._scratch_columns:
            column += start

    def place(self, field: int, slots: Ints) -> dict[int, int]:
        """Slots as two fields: where they begin in a row, or where they are listed."""
        if in_a_row(slots):
            return {field: int(slots.flat[0]), field + 1: -1}
        key = slots.tobytes()
        if key not in self._listed:
            self._listed[key] = len(self.lists)
            self.lists.frombytes(slots.astype(numpy.int64).tobytes())
        return {field: 0, field + 1: self._listed[key]}

    def keep(self, i: Instruction, name: str, slots: Ints, signs: Floats | None) -> int:
        """Where an operand of an instruction stands in a row: the same forward and backward."""
        key = id(i), name
        if key not in self._kept:
            self._kept[key] = self.memory.keep(slots, signs)
        return self._kept[key]

    def signs(self, i: Instruction, signs: Floats) -> int:
        """Where the signs of an instruction stand."""
        key = id(i), "signs"
        if key not in self._kept:
            self._kept[key] = self.memory.constants(signs.ravel())
        return self._kept[key]

    def calls(self, functions: Sequence[int]) -> int:
        """Where the addresses of functions are listed."""
        key = tuple(functions)
        if key not in self.functions:
            self.functions[key] = len(self.lists)
            self.lists.extend(key)
        return self.functions[key]

    def kernel(self, function: Callable[..., None]) -> int:
        """The address of a kernel for the numbers of the machine."""
        return kernels.kernel(function, self.number)

    def row(self, kernel: int, fields: dict[int, int], scratch: int, *within: int) -> Row:
        """An instruction: its kernel, and the rest by place; some fields are places in scratch."""
        row = [0] * WIDTH
        row[KERNEL] = kernel
        for field, number in fields.items():
            row[field] = number
        self.scratch = max(self.scratch, scratch)
        self._scratch_fields += [(row, field) for field in within]
        return row

    def single(self, name: str, kinds: str, fields: dict[int, int], *within: int,
               by: str = "", mask: str = "") -> Row:  # fmt: skip
        """An operation of the table, element by element, forward or back; see ``kernels``."""
        kernel, scratch, functions = kernels.elementwise(self.number, name, kinds, by, mask)
        fields = fields | {FUNCTIONS: self.calls(functions)}
        return self.row(kernel, fields, scratch, SCRATCH, *within)

    def go_back(
        self, kernel: int, mask: Mask, fields: dict[int, int], reads: dict[int, Ints],
        sends: Sequence[Send], scratch: int = 0,
    ) -> None:  # fmt: skip
        """What sends the errors of an instruction to values.

        Under a condition the kernel works on copies, which are zeros where the error does not
        arrive, and sends errors to the copies; from there they go on where it does.

        Args:
            kernel: its address.
            mask: where the error arrives.
            fields: what the kernel needs to know.
            reads: the slots of values, by the field that tells whether their errors are wanted.
            sends: what is sent to them.
            scratch: how many scratch rows the kernel needs.
        """
        if mask.kind in (ALWAYS, BY_ERROR):
            fields |= dict.fromkeys(reads, 0)
            fields |= {TO[send.name]: SENT | WRITTEN * send.assigns for send in sends}
            if mask.kind == BY_ERROR:
                fields[OTHER], kernel = kernel, self.kernel(kernels.if_error_arrives)
            self.backward.append(self.row(kernel, fields, scratch, SCRATCH))
            return
        condition_kind, top = "o" if mask.kind == IN_ONCE else "v", 0
        out, count = fields[OUT], fields[OUTS]

        def condition(field: int, size: int) -> dict[int, int]:
            return self.place(field, numpy.full(size, mask.slots[0]))

        copied: dict[int, Ints] = {OUT: numpy.arange(out, out + count)}
        copied |= {PLACES[field]: slots for field, slots in reads.items()}
        copies = {}
        for at, slots in copied.items():
            copies[at] = top
            place = {OUT: top, OUTS: slots.size} | condition(X, slots.size)
            place |= self.place(Y, slots)
            self.backward.append(self.single("keep", f"{condition_kind}v", place, OUT))
            top += slots.size
        place = {OUT: out, OUTS: count, X: 0, X + 1: -1, ASSIGN: 1}
        place |= condition(MASK, count)
        self.backward.append(self.single("detach", "v", place, X, by="x", mask=condition_kind))
        fields |= copies | {SCRATCH: top} | {at + 1: -1 for at in copies if at > OUT}
        fields |= dict.fromkeys(reads, 0)
        fields |= {TO[send.name]: SENT | WRITTEN for send in sends}
        self.backward.append(self.row(kernel, fields, top + scratch, SCRATCH, *copies))
        for send in sends:
            slots = reads[TO[send.name]]
            place = {OUT: copies[PLACES[TO[send.name]]], OUTS: slots.size} | self.place(X, slots)
            place |= condition(MASK, slots.size) | {ASSIGN: int(send.assigns)}
            self.backward.append(self.single("detach", "v", place, 1, by="x", mask=condition_kind))


# ---- Sums --------------------------------------------------------------------------------------


def _bias(code: Code, i: Layer | Sums | Products) -> dict[int, int]:
    """The biases of an instruction."""
    if i.bias is None:
        return {BIAS: -1}
    return {BIAS: code.keep(i, "bias", i.bias, i.bias_signs)}


def _to_once(back: Back) -> dict[int, int]:
    """Whether the errors of weights and biases are wanted."""
    return {
        field: int(back.send(name) is not None)
        for name, field in (("weights", TO_WEIGHTS), ("bias", TO_BIAS))
    }


def _to_values(back: Back) -> list[Send]:
    return [send for send in back.sends if not send.once]


def _of_layer(code: Code, i: Layer, place: int) -> tuple[dict[int, int], int]:
    """What the kernels of a layer need to know at one of its places, and the scratch they need."""
    memory, (outs, ins) = code.memory, i.weights.shape
    own = bool(memory.own[i.weights].all())
    weights = int(i.weights[0, 0]) if own else code.keep(i, "weights", i.weights, i.signs)
    fields = {OUT: i.out + place * outs, OUTS: outs, TERMS: ins, WEIGHTS: weights}
    fields |= {IN_THETA: int(own), BLAS: gemm.BLAS[code.number]}
    fields[OWN] = gemm.own(code.number) if len(memory.room) else 0
    fields[ROOM] = memory.room.ctypes.data
    fields |= code.place(VALUES, i.values[place]) | _bias(code, i)
    if i.bias is not None:
        fields[BIAS] += place * outs
    return fields, ins if fields[VALUES + 1] >= 0 else 0


def _layer(code: Code, i: Layer) -> None:
    for place in range(len(i.values)):
        fields, scratch = _of_layer(code, i, place)
        code.forward.append(code.row(code.kernel(kernels.layer), fields, scratch, SCRATCH))


def _layer_back(code: Code, back: Back) -> None:
    i = back.instruction
    assert isinstance(i, Layer)
    to_values = {send.place: [send] for send in _to_values(back)}
    for place in reversed(range(len(i.values))):
        fields, scratch = _of_layer(code, i, place)
        fields |= _to_once(back)
        reads, sends = {TO_VALUES: i.values[place]}, to_values.get(place, [])
        code.go_back(code.kernel(kernels.layer_back), i.mask, fields, reads, sends, scratch)


def _of_sums(code: Code, i: Sums) -> dict[int, int]:
    fields = {OUT: i.out, OUTS: i.count, TERMS: i.values.shape[1]} | code.place(VALUES, i.values)
    if i.weights is not None:
        fields[WEIGHTS] = code.keep(i, "weights", i.weights, i.signs)
    else:
        fields[WEIGHTS] = -1 if i.signs is None else code.signs(i, i.signs)
    return fields | _bias(code, i)


def _sums(code: Code, i: Sums) -> None:
    code.forward.append(code.row(code.kernel(kernels.sums), _of_sums(code, i), 0))


def _sums_back(code: Code, back: Back) -> None:
    i = back.instruction
    assert isinstance(i, Sums)
    fields, reads = _of_sums(code, i) | _to_once(back), {TO_VALUES: i.values}
    code.go_back(code.kernel(kernels.sums_back), i.mask, fields, reads, _to_values(back))


def _of_products(code: Code, i: Products) -> dict[int, int]:
    fields = {OUT: i.out, OUTS: i.count, TERMS: i.first.shape[1]}
    fields |= code.place(VALUES, i.first) | code.place(SECOND, i.second)
    fields[WEIGHTS] = -1 if i.signs is None else code.signs(i, i.signs)
    return fields | _bias(code, i)


def _products(code: Code, i: Products) -> None:
    code.forward.append(code.row(code.kernel(kernels.products), _of_products(code, i), 0))


def _products_back(code: Code, back: Back) -> None:
    i = back.instruction
    assert isinstance(i, Products)
    fields, reads = (
        _of_products(code, i) | _to_once(back),
        {TO_VALUES: i.first, TO_SECOND: i.second},
    )
    code.go_back(code.kernel(kernels.products_back), i.mask, fields, reads, _to_values(back))


# ---- Folds -------------------------------------------------------------------------------------


def _of_fold(code: Code, i: Fold, back: bool) -> tuple[int, dict[int, int], int]:
    """The kernel of a fold, what it needs to know, and how many scratch rows."""
    terms, number = i.values.shape[1], code.number
    fields = {OUT: i.out, OUTS: i.count, TERMS: terms} | code.place(VALUES, i.values)
    if i.operation == "logaddexp":
        loops = [kernels.loop_of(function, number) for function in (numpy.exp, numpy.log)]
        fields[LOOPS] = code.calls([*loops[0], *loops[1]])
        kernel = code.kernel(kernels.logsumexp_back if back else kernels.logsumexp)
        return kernel, fields, terms + 2
    _, chain_rows, functions = kernels.fold(number, i.operation, back=True)
    fields[FOLD_FUNCTIONS] = code.calls(functions)
    return kernels.fold(number, i.operation, back=back)[0], fields, terms + 1 + chain_rows


def _fold(code: Code, i: Fold) -> None:
    code.forward.append(code.row(*_of_fold(code, i, back=False), SCRATCH))


def _fold_back(code: Code, back: Back) -> None:
    i = back.instruction
    assert isinstance(i, Fold)
    kernel, fields, scratch = _of_fold(code, i, back=True)
    code.go_back(kernel, i.mask, fields, {TO_VALUES: i.values}, _to_values(back), scratch)


# ---- Tables ------------------------------------------------------------------------------------


def _of_take(code: Code, i: Take) -> dict[int, int]:
    (entries, width), table = i.table.shape, code.keep(i, "table", i.table, None)
    fields = {OUT: i.out, OUTS: i.count, TERMS: width, WEIGHTS: table, ENTRIES: entries}
    return fields | code.place(VALUES, i.index)


def _take(code: Code, i: Take) -> None:
    code.forward.append(code.row(code.kernel(kernels.take), _of_take(code, i), 0))


def _take_back(code: Code, back: Back) -> None:
    i = back.instruction
    assert isinstance(i, Take)
    fields = _of_take(code, i) | {MASKED: i.mask.kind, MASK + 1: -1}
    if i.mask.kind != ALWAYS:
        fields |= code.place(MASK, i.mask.slots)
    code.backward.append(code.row(code.kernel(kernels.take_back), fields, 0))


# ---- Loops -------------------------------------------------------------------------------------


def _loop(code: Code, i: Loop) -> None:
    back = code.backs.get(id(i))
    sends = back.inside.backward if back and back.inside else ()
    outside = merged.Outside(frozenset(i.round.read_after())) if code.merges else None
    inner = Code(
        code.memory, i.round.instructions, sends, code.number, code.room, code.few, outside
    )
    known = looping.Known(i, back, inner, code.room)
    code.loops.append(known)
    fields = {OUT: i.out, OUTS: i.count, RECORD: known.words.ctypes.data}
    sources = fused.sources(i, back) if code.few else None
    if sources is None:
        kernel, known.kernel_back = map(code.kernel, (looping.rounds, looping.rounds_back))
    else:
        known.once_read = fused.once_read(i)
        kernel, known.kernel_back = (
            kernels.from_source(source, code.number, looping.send_one) if source else 0
            for source in sources
        )
    code.forward.append(code.row(kernel, fields, 0))


def _loop_back(code: Code, back: Back) -> None:
    i = back.instruction
    known = next(known for known in code.loops if known.i is i)
    fields = {OUT: i.out, OUTS: i.count, RECORD: known.words.ctypes.data}
    code.backward.append(code.row(known.kernel_back, fields, 0))


# ---- Operations --------------------------------------------------------------------------------


def _of_elementwise(code: Code, i: Elementwise) -> tuple[str, dict[int, int]]:
    """Of which list each operand is, and what a kernel needs to know."""
    fields = {OUT: i.out, OUTS: i.count}
    for at, operand in zip((X, Y), i.operands, strict=False):
        fields |= code.place(at, operand.slots)
    return "".join("o" if operand.once else "v" for operand in i.operands), fields


def _left_out(code: Code, row: Row, condition: int, writes: int) -> Row:
    """The same, but only if its condition holds in some row."""
    row[OTHER], row[KERNEL] = row[KERNEL], code.kernel(kernels.if_taken)
    row[CONDITION], row[WRITES] = condition, writes
    return row


def _elementwise(code: Code, i: Elementwise) -> None:
    conditions = i.waits_for()
    if (conditions < 0).all():
        kinds, fields = _of_elementwise(code, i)
        code.forward.append(code.single(i.operation, kinds, fields))
        return
    for start, end in pairwise([0, *(numpy.flatnonzero(numpy.diff(conditions)) + 1), i.count]):
        operands = tuple(Operand(x.once, x.slots[start:end]) for x in i.operands)
        some = replace(i, outs=i.outs[start:end], nodes=i.nodes[start:end], operands=operands)
        kinds, fields = _of_elementwise(code, some)
        row, slot = code.single(i.operation, kinds, fields), int(conditions[start])
        code.forward.append(row if slot < 0 else _left_out(code, row, slot, OUT))


def _elementwise_back(code: Code, back: Back) -> None:
    i = back.instruction
    assert isinstance(i, Elementwise)
    kinds, fields = _of_elementwise(code, i)
    mask = _MASKS[i.mask.kind]
    if mask in ("o", "v"):
        fields |= code.place(MASK, numpy.broadcast_to(i.mask.slots, i.count))
    for send in back.sends:
        here = fields | {ASSIGN: int(send.assigns)}
        row = code.single(i.operation, kinds, here, by=send.name, mask=mask)
        if mask == "v" and (i.mask.slots == i.mask.slots[0]).all():
            side = "xy".index(send.name)
            calls = kernels.elementwise(code.number, i.operation, kinds, send.name, mask)[2]
            writes = (X, Y)[side] if kinds[side] == "v" else 0
            row = _left_out(code, row, int(i.mask.slots[0]), writes) if calls else row
        code.backward.append(row)


#: How a kernel is told where the error arrives, by the kind of a mask.
_MASKS = ("", "v", "o", "d")


#: So many rows of single operations are made at a time: they fit into the processor's cache.
SOME = 2048
#: What is the same in all of them.
_USUAL = numpy.full(WIDTH, -1)
_USUAL[[OUTS, ASSIGN, SCRATCH]] = 1, 0, 0


def _of_singles(i: Singles) -> tuple[dict[int, Ints], Ints]:
    """What kernels need to know of each operation, by field; which operands are of ``once``."""
    (left_once, left), (right_once, right) = i.operands
    fields = {OUT: i.outs, X: left, Y: right, MASK: i.mask.slots}
    return fields, left_once + 2 * (right_once & i.has_two())


def _many(code: Code, fields: dict[int, Ints], waits: Truths, *alike: Ints) -> Ints:
    """A row for each operation; its kernel by name, lower operands, whom it sends to, and mask.

    Those that wait, and call functions, are left out where their condition holds nowhere.
    """
    shape = len(NAMES), 4, 3, 4
    keys = numpy.ravel_multi_index(alike, shape)
    kernel_of, scratch = numpy.zeros((math.prod(shape), 3), numpy.int64), 0
    for key in numpy.flatnonzero(numpy.bincount(keys)):
        operation, lower, by, mask = map(int, numpy.unravel_index(key, shape))
        kinds = "vo"[lower & 1] + "vo"[lower >> 1]
        address, needed, functions = kernels.elementwise(
            code.number,
            NAMES[operation],
            kinds[: ARITY[operation]],
            ("", "x", "y")[by],
            _MASKS[mask],
        )
        calls = code.calls(functions), len(functions)
        kernel_of[key], scratch = (address, *calls), max(scratch, needed)
    rows = numpy.empty((len(keys), WIDTH), numpy.int64)
    for start in range(0, len(rows), SOME):
        some = slice(start, start + SOME)
        rows[some] = _USUAL
        for field, numbers in fields.items():
            rows[some, field] = numbers[some]
        rows[some, [KERNEL, FUNCTIONS]] = kernel_of[keys[some], :2]
    waits = waits & (kernel_of[keys, 2] > 0)
    if waits.any():
        rows[waits, OTHER] = rows[waits, KERNEL]
        rows[waits, KERNEL], rows[waits, CONDITION] = (
            code.kernel(kernels.if_taken),
            rows[waits, MASK],
        )
        sides = numpy.where(alike[1] & 1, 0, X), numpy.where(alike[1] & 2, 0, Y)
        writes = numpy.select([alike[2] == 0, alike[2] == 1], [OUT, sides[0]], sides[1])
        rows[waits, WRITES] = writes[waits]
    if scratch:
        code.scratch = max(code.scratch, scratch)
        code._scratch_columns.append(rows[:, SCRATCH])
    return rows


def _singles(code: Code, i: Singles) -> None:
    fields, lower = _of_singles(i)
    nothing = numpy.zeros_like(lower)
    waits = i.waits_for() >= 0
    code.forward.append(_many(code, fields, waits, i.operations, lower, nothing, nothing))


def _singles_back(code: Code, back: Back) -> None:
    i, (send,) = back.instruction, back.sends
    assert isinstance(i, Singles)
    fields, lower = _of_singles(i)
    sent = {field: numbers[send.place] for field, numbers in fields.items()}
    kind = i.mask.kind[send.place]
    alike = i.operations[send.place], lower[send.place], 1 + send.name, kind
    code.backward.append(_many(code, sent | {ASSIGN: send.assigns}, kind == HERE, *alike))


#: What has operands that may be copied.
_OPERANDS: dict[type[Instruction], Callable[..., object]] = {
    **{Sums: _of_sums, Products: _of_products, Take: _of_take},
    Layer: lambda code, i: _of_layer(code, i, 0),
    **dict.fromkeys((Fold, Elementwise, Singles, Loop), lambda code, i: None),
}
_FORWARD: dict[type[Instruction], Callable[[Code, Any], None]] = {
    **{Layer: _layer, Sums: _sums, Products: _products, Fold: _fold},
    **{Take: _take, Elementwise: _elementwise, Singles: _singles, Loop: _loop},
}
_BACKWARD: dict[type[Instruction], Callable[[Code, Back], None]] = {
    **{Layer: _layer_back, Sums: _sums_back, Products: _products_back, Fold: _fold_back},
    **{Take: _take_back, Elementwise: _elementwise_back, Singles: _singles_back},
    Loop: _loop_back,
}
