"""The instruction set: what a program is made of. All instructions are frozen.

An instruction writes slots of its own list, and reads slots of that list and of ``once``, the list
of what depends on parameters alone. Before slots are given out, the same fields hold nodes of the
graph: ``renumbered`` makes the one of the other.

``Layer``        weights x values + bias: a matrix product, perhaps at several places at once
``Sums``         sums of as many terms each: weight x value + weight x value + ... + bias
``Products``     sums of as many products of two values each
``Fold``         one operation along a list of values: logsumexp, maximum, minimum
``Take``         entries of tables that are the same for all rows, by the index of each row
``Loop``         a list of instructions of its own, round after round
``Elementwise``  one operation of the operator table, on many operands
``Singles``      a long stretch of operations that have little in common, one after the other
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy

from microgradlike.compiler.arrays import Floats, Ints, Truths
from microgradlike.compiler.operations import ARITY, CODES, SLOW

Slots: TypeAlias = Ints
Signs: TypeAlias = Floats

#: One for all outputs; of ``Singles`` an array, one for each. Who reads it knows which.
Each: TypeAlias = Any

NONE: Slots = numpy.empty(0, numpy.int32)

#: For whom an error is wanted: the parameters, or the inputs of each row.
PARAMETERS, INPUTS = 1, 2

# ---- Where the error arrives -------------------------------------------------------------------

#: Everywhere; where a condition of the instruction's own list holds, or one of ``once``; where the
#: error is not zero, which tells it for what is computed once and used by some rows only.
ALWAYS, HERE, IN_ONCE, BY_ERROR = range(4)


class Mask(NamedTuple):
    """Under which condition the error arrives at the outputs of an instruction.

    Attributes:
        kind: ``ALWAYS``, ``HERE``, ``IN_ONCE`` or ``BY_ERROR``; of ``Singles`` one for each output.
        slots: of conditions: one for all outputs, or one for each.
        only: whether the outputs are needed there only, by nobody else; likewise for all, or each.
    """

    kind: Each = ALWAYS
    slots: Slots = NONE
    only: bool | Truths = False

    def some(self, places: Ints) -> Mask:
        """The same of some outputs of ``Singles``."""
        only = self.only[places] if isinstance(self.only, numpy.ndarray) else self.only
        return Mask(self.kind[places], self.slots[places], only)

    def renumbered(self, once: Slots, here: Slots) -> Mask:
        if not len(self.slots):
            return self
        is_here, is_once = self.kind == HERE, self.kind == IN_ONCE
        found = numpy.where(is_here, here[self.slots * is_here], once[self.slots * is_once])
        return Mask(self.kind, found * (is_here | is_once), self.only)


# ---- What all instructions share ---------------------------------------------------------------


class Read(NamedTuple):
    """An operand of an instruction.

    Attributes:
        name: of its field; "x" and "y" of operations.
        once: whether the slots are of ``once``; of ``Singles`` one for each output.
        slots: that are read.
    """

    name: str
    once: Each
    slots: Slots


@dataclass(frozen=True, eq=False)
class Instruction:
    """What all instructions share.

    Attributes:
        outs: the slots that are written, in a row.
        depends: for whom the error is wanted, ``PARAMETERS``, ``INPUTS`` or both added up, or 0;
            of ``Singles`` one for each output.
        mask: where the error arrives.
        nodes: for each output the node of the graph that it is, or that it is a part of: of a sum
            that takes two instructions, both have the node.
    """

    outs: Slots
    depends: Each
    mask: Mask
    nodes: Slots

    #: The fields that hold slots of the instruction's own list, and those that hold slots of once.
    OF_HERE: ClassVar[tuple[str, ...]] = ()
    OF_ONCE: ClassVar[tuple[str, ...]] = ()

    @property
    def out(self) -> int:
        """The first slot that is written."""
        return int(self.outs[0])

    @property
    def count(self) -> int:
        """How many slots are written."""
        return len(self.outs)

    def reads(self) -> tuple[Read, ...]:
        """All operands."""
        return tuple(
            Read(name, name in self.OF_ONCE, slots)
            for name in (*self.OF_HERE, *self.OF_ONCE)
            if (slots := getattr(self, name)) is not None
        )

    def reorders(self) -> tuple[Read, ...]:
        """The operands that are added up in another order than the engine's, or squared."""
        return ()

    def is_slow(self) -> bool | Truths:
        """Whether its operations take long; of ``Singles`` for each."""
        return False

    def waits_for(self) -> Slots:
        """For each output the condition without which in no row it is left out; -1 for none."""
        waits = numpy.equal(self.mask.kind, HERE) & self.mask.only & self.is_slow()
        slots = self.mask.slots if len(self.mask.slots) else -1
        return numpy.where(numpy.broadcast_to(waits, self.count), slots, -1)

    def renumbered(self, once: Slots, here: Slots) -> Instruction:
        """The same with other numbers for its slots.

        Args:
            once: the new number of each slot of ``once``.
            here: the new number of each slot of the instruction's own list.
        """
        found: dict[str, Slots] = {
            name: renumbering[slots]
            for names, renumbering in ((self.OF_HERE, here), (self.OF_ONCE, once))
            for name in names
            if (slots := getattr(self, name)) is not None
        }
        return self._with(found, once, here)

    def _with(self, found: Mapping[str, Any], once: Slots, here: Slots) -> Instruction:
        mask = self.mask.renumbered(once, here)
        return replace(self, outs=here[self.outs], mask=mask, **found)


def times(what: str, count: int) -> str:
    """What is done, and how often if it is more than once."""
    return f"{what} x{count}" if count > 1 else what


class Operand(NamedTuple):
    """An operand of an operation, for each output.

    Attributes:
        once: whether the slots are of ``once``, the same for all rows; for each of ``Singles``.
        slots: one for each output.
    """

    once: Each
    slots: Slots


# ---- Sums --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Layer(Instruction):
    """``out[place, j] = sum of weights[j, i] * values[place, i] over i, + bias[place, j]``.

    Attributes:
        weights: slots of ``once``, shape (outs, ins).
        signs: +1 or -1 for each weight, or None if all are +1.
        values: slots, shape (places, ins).
        bias: slots of ``once``, shape (places, outs), or None; ``bias_signs`` belong to them.
    """

    weights: Slots
    signs: Signs | None
    values: Slots
    bias: Slots | None
    bias_signs: Signs | None

    OF_HERE, OF_ONCE = ("values",), ("weights", "bias")

    def reorders(self) -> tuple[Read, ...]:
        return () if _is_plain(self) else self.reads()

    def __str__(self) -> str:
        outs, ins = self.weights.shape
        places = f" at {len(self.values)} places" if len(self.values) > 1 else ""
        return f"layer {ins}->{outs}{places}"


@dataclass(frozen=True, eq=False)
class Sums(Instruction):
    """``out[j] = sum of signs[j, i] * weights[j, i] * values[j, i] over i, + bias[j]``.

    Attributes:
        weights: slots of ``once``, shape (outs, terms), or None for plain sums.
        values: slots, shape (outs, terms).
        signs, bias, bias_signs: as for a layer.
    """

    weights: Slots | None
    signs: Signs | None
    values: Slots
    bias: Slots | None
    bias_signs: Signs | None

    OF_HERE, OF_ONCE = ("values",), ("weights", "bias")

    def reorders(self) -> tuple[Read, ...]:
        return () if _is_plain(self) else self.reads()

    def __str__(self) -> str:
        outs, terms = self.values.shape
        if self.weights is not None and terms == 1:
            return times("scale", outs)
        kind = "sum" if self.weights is None else "weighted sum"
        return times(f"{kind} {terms}", outs)


def _is_plain(i: Layer | Sums) -> bool:
    """Whether there is only one order: of the sum of two values, or of a single product."""
    return i.bias is None and i.values.shape[1] <= (2 if i.weights is None else 1)


@dataclass(frozen=True, eq=False)
class Products(Instruction):
    """``out[j] = sum of signs[j, i] * first[j, i] * second[j, i] over i, + bias[j]``.

    Attributes:
        first, second: slots, shape (outs, terms).
        signs, bias, bias_signs: as for a layer.
    """

    first: Slots
    second: Slots
    signs: Signs | None
    bias: Slots | None
    bias_signs: Signs | None

    OF_HERE, OF_ONCE = ("first", "second"), ("bias",)

    def reorders(self) -> tuple[Read, ...]:
        return tuple(read for read in self.reads() if read.name != "bias")

    def grid(self) -> tuple[Slots, Slots] | None:
        """The rows of two matrices, if the outputs are all products of a row of each."""
        first, second = self.first, self.second
        changes = numpy.flatnonzero((first[1:] != first[:-1]).any(axis=1)) + 1
        columns = int(changes[0]) if len(changes) else len(first)
        if columns == len(first) or len(first) % columns:
            return None
        rows, cols = first[::columns], second[:columns]
        if len({row.tobytes() for row in rows}) < len(rows):
            return None
        same_rows = (first.reshape(len(rows), columns, -1) == rows[:, None]).all()
        same_cols = (second.reshape(len(rows), columns, -1) == cols).all()
        return (rows, cols) if same_rows and same_cols else None

    def __str__(self) -> str:
        outs, terms = self.first.shape
        if numpy.array_equal(self.first, self.second):
            return times(f"sum of squares {terms}", outs)
        if found := self.grid():
            return f"matrix product {len(found[0])}x{terms}x{len(found[1])}"
        return times(f"dot {terms}", outs)


# ---- Tables ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Take(Instruction):
    """``out[place, j] = table[index[place], j]``.

    Attributes:
        index: slots, one for each place; their numbers are whole, and below the table's length.
        table: slots of ``once``, shape (entries, width).
    """

    index: Slots
    table: Slots

    OF_HERE, OF_ONCE = ("index",), ("table",)

    def __str__(self) -> str:
        entries, width = self.table.shape
        return times(f"take {width} of {entries}", len(self.index))


# ---- Loops -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Round:
    """What a loop does in one round: a list of instructions over slots of its own.

    Where it reads ``once``, it reads that of the program.

    Attributes:
        instructions: of a round.
        slots: how many it needs.
        carried: the slot of each number that a round is handed; -1 of one that it does not read.
        given: likewise of each that differs from round to round.
        held: likewise of what is the same in all rounds, and differs from row to row.
        active: the slot of the condition under which an error arrives; -1 where it always does.
        results: what it hands on: whether that is in ``once``, and the slots.
        sending: where the errors of these begin: elsewhere, if they arrive under a condition only.
        going: whether the condition of another round is in ``once``, and its slot; None if it is
            known how many rounds there are.
        watched: the slots whose numbers are added up in another order than the engine's.
        reordered: likewise of ``once``.
        once: the slots of ``once`` that it reads.
    """

    instructions: tuple[Instruction, ...]
    slots: int
    carried: Slots
    given: Slots
    held: Slots
    active: int
    results: tuple[Truths, Slots]
    sending: tuple[Truths, Slots]
    going: tuple[bool, int] | None
    watched: Slots
    reordered: Slots
    once: Slots

    def read_after(self) -> list[int]:
        """The slots that are read when the round is over."""
        found = [self.watched, *(slots[~lower] for lower, slots in (self.results, self.sending))]
        if self.going is not None and not self.going[0]:
            found.append(numpy.array(self.going[1:]))
        return [slot for slots in found for slot in slots.tolist()]

    def renumbered(self, once: Slots) -> Round:
        """The same with other numbers for the slots of ``once``."""
        same = numpy.arange(self.slots, dtype=numpy.int32)

        def of(pair: tuple[Truths, Slots]) -> tuple[Truths, Slots]:
            lower, slots = pair
            return lower, numpy.where(lower, once[slots * lower], slots)

        going = self.going
        if going is not None and going[0]:
            going = True, int(once[going[1]])
        return replace(
            self,
            instructions=tuple(i.renumbered(once, same) for i in self.instructions),
            results=of(self.results), sending=of(self.sending), going=going,
            reordered=once[self.reordered], once=once[self.once],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Loop(Instruction):
    """Round after round of the same instructions; each hands numbers on to the next.

    The first output is the sum of the squares of all that is watched in a round; then come results
    of the last round.

    Attributes:
        round: what is done.
        rounds: how many there are; 0 for as many as its condition holds.
        first: what the first round is handed: for each whether it is in ``once``, and its slot.
        rows: likewise what each round reads, shape (rounds, given).
        held: the slots of what is the same in all rounds, and differs from row to row.
        gives: for each output but the first, which of the results it is.
    """

    round: Round
    rounds: int
    first: Operand
    rows: Operand
    held: Slots
    gives: Slots

    def reads(self) -> tuple[Read, ...]:
        return (
            Read("first", *self.first), Read("rows", *self.rows), Read("held", False, self.held),
            Read("once", True, self.round.once),
        )  # fmt: skip

    def reorders(self) -> tuple[Read, ...]:
        watched = Read("outs", False, self.outs[:1])
        return watched, Read("once", True, self.round.reordered)

    def renumbered(self, once: Slots, here: Slots) -> Instruction:
        def of(operand: Operand) -> Operand:
            lower, slots = operand
            return Operand(lower, numpy.where(lower, once[slots * lower], here[slots * ~lower]))

        found = {"first": of(self.first), "rows": of(self.rows), "held": here[self.held]}
        return self._with({**found, "round": self.round.renumbered(once)}, once, here)

    def __str__(self) -> str:
        count = f"{self.rounds} rounds" if self.rounds else "rounds while it holds"
        return f"{count} of ({', '.join(map(str, self.round.instructions))})"


# ---- Operations of the table -------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Fold(Instruction):
    """``out[j] = operation(... operation(values[j, 0], values[j, 1]) ..., values[j, last])``."""

    operation: str
    values: Slots

    OF_HERE = ("values",)

    def reorders(self) -> tuple[Read, ...]:
        # What logsumexp gives: its errors are those of the engine where that is finite.
        return (Read("outs", False, self.outs),) if self.operation == "logaddexp" else ()

    def __str__(self) -> str:
        outs, terms = self.values.shape
        name = "logsumexp" if self.operation == "logaddexp" else self.operation
        return times(f"{name} {terms}", outs)


@dataclass(frozen=True, eq=False)
class Elementwise(Instruction):
    """``out[j] = operation(operands[0][j], operands[1][j])``."""

    operation: str
    operands: tuple[Operand, ...]

    def reads(self) -> tuple[Read, ...]:
        return tuple(Read(name, *x) for name, x in zip("xy", self.operands, strict=False))

    def reorders(self) -> tuple[Read, ...]:
        if self.operation != "mul" or self.operands[0].once != self.operands[1].once:
            return ()
        (once, left), (_, right) = self.operands
        return (Read("x", once, left[left == right]),)

    def is_slow(self) -> bool:
        return bool(SLOW[CODES[self.operation]])

    def renumbered(self, once: Slots, here: Slots) -> Instruction:
        operands = (Operand(x.once, (once if x.once else here)[x.slots]) for x in self.operands)
        return self._with({"operands": tuple(operands)}, once, here)

    def __str__(self) -> str:
        return times(self.operation, self.count)


@dataclass(frozen=True, eq=False)
class Singles(Instruction):
    """``outs[k] = operations[k](left[k], right[k])``, one after the other.

    An instruction costs more than an operation. Where few operations are alike, as in scalar code
    that has no layers, they share one. Their ``outs`` are not in a row where slots are used again.

    Attributes:
        operations: their codes on the tape.
        operands: slots, which may be outputs before this one; the second one is the first one where
            an operation has only one.
    """

    operations: Slots
    operands: tuple[Operand, Operand]

    def reads(self) -> tuple[Read, ...]:
        return tuple(Read(name, *x) for name, x in zip("xy", self.operands, strict=True))

    def reorders(self) -> tuple[Read, ...]:
        (left_once, left), (right_once, right) = self.operands
        square = (self.operations == CODES["mul"]) & (left == right) & (left_once == right_once)
        return (Read("x", left_once[square], left[square]),)

    def renumbered(self, once: Slots, here: Slots) -> Instruction:
        operands = (
            Operand(lower, numpy.where(lower, once[slots * lower], here[slots * ~lower]))
            for lower, slots in self.operands
        )
        return self._with({"operands": tuple(operands)}, once, here)

    def is_slow(self) -> Truths:
        found: Truths = SLOW[self.operations]
        return found

    def has_two(self) -> Truths:
        """For each whether it has a second operand."""
        return numpy.equal(ARITY[self.operations], 2)

    def some(self, places: Ints) -> Singles:
        """Only some of the operations."""
        return replace(
            self, outs=self.outs[places], depends=self.depends[places], nodes=self.nodes[places],
            mask=self.mask.some(places),
            operations=self.operations[places],
            operands=(
                Operand(self.operands[0].once[places], self.operands[0].slots[places]),
                Operand(self.operands[1].once[places], self.operands[1].slots[places]),
            ),
        )  # fmt: skip

    def __str__(self) -> str:
        return times("single operations", self.count)


def parts_of(read: Read) -> Iterator[tuple[bool, Slots]]:
    """The slots of an operand, apart: those of ``once``, and those of the list itself."""
    if isinstance(read.once, numpy.ndarray):  # of ``Singles``
        yield from ((once, read.slots[read.once == once]) for once in (True, False))
    else:
        yield bool(read.once), read.slots
