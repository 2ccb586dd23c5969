"""Operations that follow each other as one kernel: what each gives the next stays in the processor.

A kernel for each instruction reads and writes all its numbers: most of the time of plain arithmetic
goes there. So what calls no function (``exp`` is a loop of NumPy) is put together, forward and
back, as far as it stands side by side in the plan. What nobody else reads is not written; the
backward pass computes it again from what is. All is rounded as in the kernels of the instructions:
the numbers are the same, to the last digit.
"""

from __future__ import annotations

import ast
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features

from microgradlike import ops
from microgradlike.compiler.arrays import Truths
from microgradlike.compiler.instructions import (
    ALWAYS,
    BY_ERROR,
    HERE,
    IN_ONCE,
    Elementwise,
    Fold,
    Instruction,
    Layer,
    Products,
    Singles,
    Sums,
    parts_of,
)
from microgradlike.compiler.operations import ARITY, CONDITIONS, NAMES, row_of
from microgradlike.compiler.plan import Back, Send, in_a_row
from microgradlike.executors.machine import emit, kernels
from microgradlike.executors.machine.addresses import address_of_key
from microgradlike.executors.machine.emit import DOUBLE, WORD
from microgradlike.executors.machine.fused import Factor
from microgradlike.executors.on_floats import terms_of

#: A kernel has so many lines at most: a longer one is compiled for too long.
MOST = 256
#: Sums of more terms, and layers of more weights, are kernels of their own.
LONG = kernels.LONG
#: An instruction of more lines is a loop over its outputs.
WIDE = 64
#: Operations that take so long that they are written rather than computed again.
SLOW = ("truediv", "sqrt", "softsign")

#: A number that a line reads: another line, or a slot of "values", "errors", "once" or "theta".
Operand: TypeAlias = "tuple[str, int]"
LINE, VALUES, ERRORS, ONCE, THETA = "line", "values", "errors", "once", "theta"


class Line(NamedTuple):
    """A formula, and what its names are."""

    text: str
    operands: tuple[tuple[str, Operand], ...]


class Store(NamedTuple):
    """A number that is written: to "values" or "errors", to which slot."""

    to: str
    slot: int
    number: Operand


# ---- Which ones --------------------------------------------------------------------------------


@functools.cache
def formula(name: str, by: int = -1) -> str | None:
    """The formula of an operation, or of what it sends by an operand; None if it calls anything."""
    row, tie = row_of(name)
    assert row is not None
    text = ops.sent(row.slopes[by], tie) if by >= 0 else row.value
    if by < 0 and name in CONDITIONS:
        text = f"1.0 if {text} else 0.0"
    return kernels.without_calls(text, {"tie": repr(float(tie))})


class Unit(NamedTuple):
    """An instruction, or one operation of ``Singles``, of which ``k`` is the place; else -1."""

    i: Instruction
    k: int

    @property
    def outs(self) -> list[int]:
        return self.i.outs.tolist() if self.k < 0 else [int(self.i.outs[self.k])]

    @property
    def operation(self) -> str:
        """The name of an operation of the table."""
        if isinstance(self.i, Singles):
            return NAMES[int(self.i.operations[self.k])]
        assert isinstance(self.i, Elementwise)
        return self.i.operation

    @property
    def mask(self) -> tuple[int, list[int]]:
        """Where the error arrives: the kind, and the slots of conditions."""
        kind, slots, _ = self.i.mask
        if self.k >= 0:
            return int(kind[self.k]), slots[self.k : self.k + 1].tolist()
        return int(kind), slots.tolist()

    def size(self) -> int:
        """How many lines it takes, about."""
        i = self.i
        if isinstance(i, Layer):
            return i.weights.size * len(i.values)
        if isinstance(i, Sums | Fold | Products):
            return int((i.first if isinstance(i, Products) else i.values).size)
        return 1 if self.k >= 0 else i.count

    def is_short(self) -> bool:
        """Whether it is no call, no long sum, and not too wide."""
        i = self.i
        if self.size() > WIDE:
            return False
        if isinstance(i, Elementwise | Singles):
            return formula(self.operation) is not None
        if isinstance(i, Layer):
            return bool(i.weights.size < kernels.SMALL)
        if isinstance(i, Fold):
            return i.operation in ("maximum", "minimum") and i.values.shape[1] < LONG
        if isinstance(i, Sums | Products):
            return bool((i.values if isinstance(i, Sums) else i.first).shape[1] < LONG)
        return False

    def waits(self) -> bool:
        """Whether it is left out where its condition holds nowhere."""
        asked = self.i.waits_for()
        return bool((asked if self.k < 0 else asked[self.k]).max() >= 0)

    def sends_shortly(self, back: Back) -> bool:
        """The same of what it sends to values."""
        if isinstance(self.i, Elementwise | Singles):
            sides = [
                send.name if self.k >= 0 else "xy".index(send.name)
                for send in back.sends
                if not send.once
            ]
            texts = [formula(self.operation, int(side)) for side in sides]
            return None not in texts and len(sides) * self.size() <= WIDE
        kinds = (ALWAYS,) if isinstance(self.i, Fold) else (ALWAYS, HERE, IN_ONCE)
        return self.is_short() and self.mask[0] in kinds

    def reads(self) -> set[int]:
        """The slots of its own list that it reads."""
        i, found = self.i, set()
        if isinstance(i, Singles):
            operands = i.operands[: ARITY[i.operations[self.k]]]
            found = {int(x.slots[self.k]) for x in operands if not x.once[self.k]}
        else:
            for read in i.reads():
                for once, slots in parts_of(read):
                    found |= set() if once else set(slots.ravel().tolist())
        return found

    def conditions(self) -> set[int]:
        """The slots of its own list that tell where its error arrives."""
        kind, slots = self.mask
        return set(slots) if kind == HERE else set()


class Part(NamedTuple):
    """What an instruction computes, or, of the backward pass, what it sends."""

    unit: Unit
    back: Back | None = None

    def is_short(self) -> bool:
        return self.unit.is_short() if self.back is None else self.unit.sends_shortly(self.back)

    def sends_to_once(self) -> Back | None:
        """What it sends to numbers that are computed once: that has kernels of its own."""
        assert self.back is not None
        sends = tuple(send for send in self.back.sends if send.once)
        return self.back._replace(sends=sends) if sends else None


def _parts(i: Instruction) -> list[Part]:
    units = [Unit(i, k) for k in range(i.count)] if isinstance(i, Singles) else [Unit(i, -1)]
    return [Part(unit) for unit in units]


def _back_parts(back: Back) -> list[Part]:
    if not isinstance(back.instruction, Singles):
        return [Part(Unit(back.instruction, -1), back)]
    (send,) = back.sends
    sends = (Send(*each) for each in zip(*(field.tolist() for field in send), strict=True))
    return [Part(Unit(back.instruction, one.place), back._replace(sends=(one,))) for one in sends]


def _pieces(parts: Iterable[Part]) -> Iterator[tuple[bool, list[Part]]]:
    """What stands side by side, and whether it becomes a kernel."""
    for is_short, some in itertools.groupby(parts, Part.is_short):
        piece: list[Part] = []
        size = 0
        for part in some:
            if piece and is_short and size + part.unit.size() > MOST:
                yield len(piece) > 1, piece
                piece, size = [], 0
            piece.append(part)
            size += part.unit.size()
        yield is_short and len(piece) > 1, piece


def _instructions(parts: Iterable[Part]) -> Iterator[Instruction]:
    """What stays as it was, single operations of one instruction again together."""
    for _, some in itertools.groupby((part.unit for part in parts), lambda unit: id(unit.i)):
        units = list(some)
        i = units[0].i
        yield i.some(numpy.array([unit.k for unit in units])) if isinstance(i, Singles) else i


def _backs(sent: Iterable[Back]) -> Iterator[Back]:
    """Likewise what is sent."""
    for _, some in itertools.groupby(sent, lambda back: id(back.instruction)):
        backs = list(some)
        if isinstance(backs[0].instruction, Singles):
            sends = zip(*(back.sends[0] for back in backs), strict=True)
            yield backs[0]._replace(sends=(Send(*map(numpy.array, sends)),))
        else:
            yield from backs


# ---- Lines -------------------------------------------------------------------------------------


class _Lines:
    """What a kernel computes, line by line; what was written before is not written again.

    Args:
        own: for each slot of ``once`` whether it stands in ``theta``.

    Attributes:
        values: of slots, as far as they are lines.
    """

    def __init__(self, own: Truths) -> None:
        self._own = own
        self.values: dict[int, Operand] = {}
        self.lines: list[Line] = []
        self._places: dict[Line, Operand] = {}

    def line(self, text: str, **operands: Operand) -> Operand:
        line = Line(text, tuple(sorted(operands.items())))
        if line not in self._places:
            self._places[line] = LINE, len(self.lines)
            self.lines.append(line)
        return self._places[line]

    def number(self, once: bool, slot: int) -> Operand:
        if once:
            return THETA if self._own[slot] else ONCE, slot
        return self.value(slot)

    def value(self, slot: int) -> Operand:
        return self.values.get(slot, (VALUES, slot))

    # ---- Forward ----

    def compute(self, unit: Unit) -> list[Operand]:
        """The outputs of an instruction, or of one operation, in order."""
        i = unit.i
        if isinstance(i, Elementwise | Singles):
            text = formula(unit.operation)
            assert text is not None
            return [
                self.line(text, **{name: self._operand(i, k, name) for name in _names_in(text)})
                for k in (range(i.count) if unit.k < 0 else [unit.k])
            ]
        if isinstance(i, Fold):
            return [self._chain(i, slots)[-1] for slots in i.values.tolist()]
        assert isinstance(i, Layer | Sums | Products)
        return [self._sum(_ordered(i, terms)) for terms in terms_of(i)]

    def squares(self, slots: Sequence[int], *before: Operand) -> Operand:
        """The sum of the squares of some numbers, and of what was added up before."""
        found = before
        for slot in slots:
            x = self.value(slot)
            found = (self.line("z + x * x", z=found[0], x=x) if found else self.line("x * x", x=x),)
        return found[0]

    def _operand(self, i: Elementwise | Singles, k: int, name: str) -> Operand:
        operand = i.operands["xy".index(name)]
        once = bool(numpy.broadcast_to(operand.once, i.count)[k])
        return self.number(once, int(operand.slots[k]))

    def _chain(self, i: Fold, slots: Sequence[int]) -> list[Operand]:
        """All that a fold has made of its values so far, value by value."""
        text, found = formula(i.operation), [self.number(False, slots[0])]
        assert text is not None
        for slot in slots[1:]:
            found.append(self.line(text, x=found[-1], y=self.number(False, slot)))
        return found

    def _sum(self, terms: list[tuple[float, list[Factor]]]) -> Operand:
        found = None
        for sign, factors in terms:
            names = dict(zip("xy", (self.number(*f[1:]) for f in factors), strict=False))
            product = " * ".join(names)
            if found is None:
                is_plain = sign > 0 and len(names) == 1
                found = names["x"] if is_plain else self.line(_signed(product, sign), **names)
            else:
                found = self.line(f"z {'+' if sign > 0 else '-'} {product}", z=found, **names)
        assert found is not None
        return found


def _signed(text: str, sign: float) -> str:
    return text if sign > 0 else f"-({text})"


def _ordered(
    i: Layer | Sums | Products, terms: list[tuple[float, list[Factor]]]
) -> list[tuple[float, list[Factor]]]:
    """The terms as the kernel adds them up: the bias of a layer to the first one."""
    if isinstance(i, Layer) and i.bias is not None:
        return [terms[0], terms[-1], *terms[1:-1]]
    return terms


class _Errors(_Lines):
    """What a kernel sends back.

    Args:
        of_slot: what computes a slot within a kernel.
        written: the slots that are written nevertheless; slow ones are added. Others are computed
            again.
    """

    def __init__(self, own: Truths, of_slot: Mapping[int, Unit], written: set[int]) -> None:
        super().__init__(own)
        self._of_slot, self._written = of_slot, written
        self.errors: dict[int, Operand] = {}  # as far as they are known
        self.sent: set[int] = set()

    def value(self, slot: int) -> Operand:
        waiting = [slot]
        while waiting:
            at = waiting[-1]
            before = (
                []
                if self._is_known(at)
                else [read for read in self._of_slot[at].reads() if not self._is_known(read)]
            )
            if not before and not self._is_known(waiting.pop()):
                unit = self._of_slot[at]
                self.values |= zip(unit.outs, self.compute(unit), strict=True)
            waiting += before
        return super().value(slot)

    def _is_known(self, slot: int) -> bool:
        """Whether a number is there, and need not be computed again."""
        if slot in self.values or slot not in self._of_slot or slot in self._written:
            return True
        unit = self._of_slot[slot]
        is_slow = isinstance(unit.i, Elementwise | Singles) and unit.operation in SLOW
        if is_slow:
            self._written.add(slot)
        return is_slow

    def error(self, slot: int) -> Operand:
        return self.errors.setdefault(slot, (ERRORS, slot))

    def _send(self, unit: Unit, k: int, slot: int, assigns: bool, text: str,
              **names: Operand) -> None:  # fmt: skip
        """Send what a formula gives, where the error of the k-th output arrives."""
        kind, slots = unit.mask
        if kind == BY_ERROR:
            text, names = f"({text}) if arrived != 0 else 0.0", names | {"arrived": names["error"]}
        elif kind != ALWAYS:
            condition = self.number(kind == IN_ONCE, slots[min(k, len(slots) - 1)])
            text, names = f"({text}) if arrives != 0 else 0.0", names | {"arrives": condition}
        self.sent.add(slot)
        if assigns:
            is_error = text == "error"
            self.errors[slot] = names["error"] if is_error else self.line(text, **names)
        else:
            self.errors[slot] = self.line(f"e + ({text})", e=self.error(slot), **names)

    def send(self, back: Back, unit: Unit) -> None:
        """Send what an instruction, or one operation, sends to values."""
        i = unit.i
        if isinstance(i, Elementwise | Singles):
            self._operation_sends(back, unit)
        elif isinstance(i, Fold):
            self._fold_sends(back, unit)
        elif isinstance(i, Layer):
            self._layer_sends(back, unit)
        elif isinstance(i, Sums):
            for k, terms in enumerate(terms_of(i)):
                for sign, factors in terms:
                    self._term_sends(unit, k, sign, factors, back.sends)
        else:
            assert isinstance(i, Products)
            every = [back.sends] if unit.mask[0] == ALWAYS else [[send] for send in back.sends]
            for sends in every:
                for k, terms in enumerate(terms_of(i)):
                    for sign, factors in terms:
                        self._term_sends(unit, k, sign, factors[::-1], sends)

    def _term_sends(self, unit: Unit, k: int, sign: float, factors: list[Factor],
                    sends: Sequence[Send]) -> None:  # fmt: skip
        wanted = {send.name: bool(send.assigns) for send in sends if not send.once}
        for factor in factors:
            if factor[0] in wanted:
                names = {"error": self.error(int(unit.i.outs[k]))}
                others = [self.number(*f[1:]) for f in factors if f is not factor]
                names |= dict(zip("x", others, strict=False))
                text = _signed(" * ".join(names), sign)
                self._send(unit, k, factor[2], wanted[factor[0]], text, **names)

    def _operation_sends(self, back: Back, unit: Unit) -> None:
        i = unit.i
        assert isinstance(i, Elementwise | Singles)
        for send in back.sends:
            if numpy.all(send.once):
                continue
            name = "xy"[send.name] if unit.k >= 0 else send.name
            text = formula(unit.operation, "xy".index(name))
            assert text is not None
            slots = [int(send.slots)] if unit.k >= 0 else send.slots.tolist()
            for place, slot in enumerate(slots):
                k = max(unit.k, place)
                out = int(i.outs[k])
                names = {"error": self.error(out)}
                for used in _names_in(text) - {"error"}:
                    names[used] = self.value(out) if used == "out" else self._operand(i, k, used)
                self._send(unit, k, slot, bool(send.assigns), text, **names)

    def _fold_sends(self, back: Back, unit: Unit) -> None:
        i, (send,) = unit.i, back.sends
        assert isinstance(i, Fold)
        by_x, by_y = (formula(i.operation, side) for side in (0, 1))
        assert by_x is not None and by_y is not None
        for out, slots in zip(i.outs.tolist(), i.values.tolist(), strict=True):
            chain, error = self._chain(i, slots), self.error(out)
            for k in range(len(slots) - 1, -1, -1):
                if send.assigns:
                    self.errors[slots[k]] = self.line("0.0")
                self.sent.add(slots[k])
                e = self.error(slots[k])
                if k == 0:
                    self.errors[slots[0]] = self.line("e + error", e=e, error=error)
                    break
                names = {"x": chain[k - 1], "y": self.number(False, slots[k]), "error": error}
                self.errors[slots[k]] = self.line(f"e + ({by_y})", e=e, **names)
                error = self.line(by_x, **names)

    def _layer_sends(self, back: Back, unit: Unit) -> None:
        i = unit.i
        assert isinstance(i, Layer)
        outs, every = len(i.weights), list(terms_of(i))
        for send in back.sends:
            if send.once:
                continue
            apart = not in_a_row(i.values[send.place]) or unit.mask[0] != ALWAYS
            rows = every[send.place * outs : (send.place + 1) * outs]
            for at, slot in enumerate(i.values[send.place].tolist()):
                start = self.line("0.0") if apart or send.assigns else self.error(slot)
                found = start
                for k, terms in enumerate(rows):
                    sign, (_, weight) = terms[at]
                    error = self.error(int(i.outs[send.place * outs + k]))
                    text = f"z {'+' if sign > 0 else '-'} x * error"
                    x = self.number(*weight[1:])
                    found = self.line(text, z=found, x=x, error=error)
                if apart:
                    self._send(unit, 0, slot, bool(send.assigns), "error", error=found)
                else:
                    self.errors[slot] = found
                    self.sent.add(slot)


# ---- The plan of a list ------------------------------------------------------------------------


class Kernel(NamedTuple):
    """What is put together: its lines, and what is written after them."""

    lines: tuple[Line, ...]
    stores: tuple[Store, ...]


def _kernel(lines: Sequence[Line], stores: Iterable[Store]) -> Kernel:
    """The lines that are needed, each written when it is needed first: so few numbers wait."""
    found: list[Line] = []
    places: dict[int, Operand] = {}

    def moved(operand: Operand) -> Operand:
        return places[operand[1]] if operand[0] == LINE else operand

    put = []
    for store in stores:
        waiting = [store.number[1]] if store.number[0] == LINE else []
        while waiting:
            at = waiting[-1]
            before = [
                place
                for _, (kind, place) in lines[at].operands
                if kind == LINE and place not in places
            ]
            if at in places or not before:
                waiting.pop()
            waiting += before[::-1]
            if at not in places and not before:
                places[at] = LINE, len(found)
                operands = tuple((name, moved(of)) for name, of in lines[at].operands)
                found.append(Line(lines[at].text, operands))
        put.append(store._replace(number=moved(store.number)))
    return Kernel(tuple(found), tuple(put))


class Outside(NamedTuple):
    """What others do with the numbers of a list.

    Attributes:
        read: the slots that they read.
        watched: the slots of which they want to know how large the numbers are. Where one is in a
            kernel that puts operations together, that adds its square to the slot ``size``.
        size: see there.
    """

    read: frozenset[int]
    watched: frozenset[int] = frozenset()
    size: int = -1


class Merged(NamedTuple):
    """What a list becomes: kernels, and what stays as it was; and what nobody has watched yet."""

    forward: list[Kernel | Instruction]
    backward: list[Kernel | Back]
    watched: list[int]


def merged(
    instructions: Sequence[Instruction], backs: Sequence[Back], own: Truths, outside: Outside
) -> Merged:
    """The instructions of a list, and what they send, in as few kernels as can be.

    Args:
        instructions, backs: of the list.
        own: for each slot of ``once`` whether it stands in ``theta``.
        outside: what others do with its numbers.
    """
    pieces = list(_pieces(part for i in instructions for part in _parts(i)))
    back_pieces = list(_pieces(part for back in backs for part in _back_parts(back)))
    of_slot: dict[int, Unit] = {}
    written = set(outside.read)
    for is_kernel, piece in pieces:
        outs = {slot for part in piece for slot in part.unit.outs}
        reads = set().union(*(part.unit.reads() for part in piece))
        if not is_kernel:
            reads |= set().union(*(part.unit.conditions() for part in piece if part.unit.waits()))
        written |= reads - outs if is_kernel else reads
        if is_kernel:
            for unit, _ in piece:
                of_slot |= dict.fromkeys(unit.outs, unit)
    consumers: dict[int, set[int]] = {}
    for place, (is_kernel, piece) in enumerate(back_pieces):
        for part in piece:
            for slot in part.unit.outs:
                consumers.setdefault(slot, set()).add(place)
            if not is_kernel or part.sends_to_once():
                written |= part.unit.reads() | part.unit.conditions() | set(part.unit.outs)
                for slot in part.unit.outs:
                    consumers[slot].add(-1)  # who is no kernel that is put together here
    backward: list[Kernel | Back] = []
    for place, (is_kernel, piece) in enumerate(back_pieces):
        if not is_kernel:
            backward += _backs(part.back for part in piece if part.back)
            continue
        errors = _Errors(own, of_slot, written)
        for unit, back in piece:
            assert back is not None
            errors.send(back, unit)
        stores = [
            Store(ERRORS, slot, errors.error(slot))
            for slot in sorted(errors.sent)
            if consumers.get(slot) != {place}
        ]
        backward.append(_kernel(errors.lines, stores))
        rest = (part.sends_to_once() for part in piece)
        backward += _backs(back for back in rest if back)
    forward: list[Kernel | Instruction] = []
    watched = set(outside.watched)
    size: tuple[Operand, ...] = ()
    for is_kernel, piece in pieces:
        if not is_kernel:
            forward += _instructions(piece)
            continue
        lines = _Lines(own)
        for unit, _ in piece:
            found = lines.compute(unit)
            lines.values |= zip(unit.outs, found, strict=True)
        stores = [Store(VALUES, slot, x) for slot, x in lines.values.items() if slot in written]
        read = {x[1] for line in lines.lines for _, x in line.operands if x[0] == VALUES}
        if here := watched & (read | lines.values.keys()):
            watched -= here
            stores.append(Store(VALUES, outside.size, lines.squares(sorted(here), *size)))
            size = ((VALUES, outside.size),)
        forward.append(_kernel(lines.lines, stores))
    return Merged(forward, backward, sorted(watched))


# ---- Machine code ------------------------------------------------------------------------------

#: So many lanes are computed at a time.
LANES = 8 if get_host_cpu_features().get("avx512f") else 4
_VECTOR, _INT = ir.VectorType(DOUBLE, LANES), ir.IntType(32)
_ACTIVE = ir.VectorType(emit.TRUTH, LANES)
_PLACES = ir.VectorType(_INT, LANES)


@functools.cache
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


@functools.cache
def _names_in(text: str) -> frozenset[str]:
    """The numbers that a formula reads."""
    nodes = ast.walk(_parsed(text))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return frozenset(names & {"x", "y", "out", "error"})


@functools.cache
def address_of(kernel: Kernel) -> int:
    """The address of a kernel, compiled now unless it was before."""

    def write(module: emit.Module, name: str) -> ir.Function:
        return _Body(module, name, kernel).ir

    return address_of_key((kernel, LANES), write, is_shared=False)


class _Formula(emit.Numbers):
    """A formula as a function of vectors, which is written into whoever calls it."""

    def __init__(self, home: emit.Module, text: str, names: Sequence[str]) -> None:
        of = ir.FunctionType(_VECTOR, [_VECTOR] * len(names))
        function = ir.Function(home.module, of, home.module.get_unique_name("formula"))
        emit.make_inner(function)
        super().__init__(home, function, {}, emit.AS_WRITTEN, True, {})
        self._given = dict(zip(names, function.args, strict=True))
        self.b.ret(self.to(self.number(_parsed(text)), _VECTOR))
        self.enter()

    def _Name(self, node: ast.Name) -> emit.Number:
        return self._given[node.id]


def _access(home: emit.Module, name: str) -> ir.Function:
    """A function that reads or writes the lanes of a slot that there are, as a vector."""
    pointer, stores = DOUBLE.as_pointer(), name == "store"
    kinds = [pointer, WORD, WORD, WORD, _ACTIVE, *([_VECTOR] if stores else [])]
    kind = emit.VOID if stores else _VECTOR
    function = ir.Function(home.module, ir.FunctionType(kind, kinds), f"{name}_lanes")
    emit.make_inner(function)
    base, slot, lanes, lane, active, *number = function.args
    b = ir.IRBuilder(function.append_basic_block())
    place = b.gep(base, [b.add(b.mul(slot, lanes), lane)])
    given = [*number, b.bitcast(place, _VECTOR.as_pointer()), _INT(8), active]
    given += [] if stores else [_VECTOR([0.0] * LANES)]
    of = ir.FunctionType(kind, [each.type for each in given])
    masked = ir.Function(home.module, of, f"llvm.masked.{name}.v{LANES}f64.p0")
    found = b.call(masked, given)
    if stores:
        b.ret_void()
    else:
        b.ret(found)
    return function


class _Body(emit.Numbers):
    """The function of a kernel: a loop over the lanes, some at a time.

    Args:
        home: where it is written.
        name: of the function.
        kernel: what it computes.
    """

    def __init__(self, home: emit.Module, name: str, kernel: Kernel) -> None:
        kinds = kernels.arguments("float64")
        function = ir.Function(home.module, ir.FunctionType(emit.VOID, kinds), name)
        super().__init__(home, function, {}, emit.AS_WRITTEN, True, {})
        self._bases = dict(zip(kernels.ARGUMENTS, function.args, strict=True))
        self._load, self._store = (_access(home, name) for name in ("load", "store"))
        self._formulas: dict[str, ir.Function] = {}
        self._numbers: dict[Operand, emit.Number] = {}
        read = [x for line in kernel.lines for _, x in line.operands]
        read += [store.number for store in kernel.stores]
        for base, slot in dict.fromkeys(x for x in read if x[0] in (ONCE, THETA)):
            number = self.b.load(self.b.gep(self._bases[base], [WORD(slot)]))
            self._numbers[base, slot] = self.to(number, _VECTOR)
        before, inside, after = self.b.block, self.block(), self.block()
        self.b.branch(inside)
        self.b.position_at_end(inside)
        lanes, self._lane = self._bases["lanes"], self.b.phi(WORD)
        left = self.to(self.b.trunc(self.b.sub(lanes, self._lane), _INT), _PLACES)
        self._active = self.b.icmp_signed("<", _PLACES(list(range(LANES))), left)
        for place, line in enumerate(kernel.lines):
            given = [self._operand(x) for _, x in line.operands]
            self._numbers[LINE, place] = self.b.call(self._formula(line), given)
        for store in kernel.stores:
            number = self._operand(store.number)
            self.b.call(self._store, [*self._at(store.to, store.slot), number])
        following = self.b.add(self._lane, WORD(LANES))
        self._lane.add_incoming(WORD(0), before)
        self._lane.add_incoming(following, inside)
        self.b.cbranch(self.b.icmp_signed("<", following, lanes), inside, after)
        self.b.position_at_end(after)
        self.b.ret_void()
        self.enter()

    def _formula(self, line: Line) -> ir.Function:
        if line.text not in self._formulas:
            names = [name for name, _ in line.operands]
            self._formulas[line.text] = _Formula(self.home, line.text, names).ir
        return self._formulas[line.text]

    def _operand(self, operand: Operand) -> emit.Number:
        if operand not in self._numbers:
            self._numbers[operand] = self.b.call(self._load, self._at(*operand))
        return self._numbers[operand]

    def _at(self, base: str, slot: int) -> list[emit.Number]:
        """Which lanes of which slot are read or written."""
        return [self._bases[base], WORD(slot), self._bases["lanes"], self._lane, self._active]
