"""The backward pass as data: which instruction sends an error to which operand, in which order.

The first error that is sent to a slot is written there, all others are added; which one that is, is
decided here, once for all executors. What an error is multiplied by is no part of a plan: of sums
it is the other factor of each term, of operations the slope in the operator table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy

from microgradlike.compiler import verify
from microgradlike.compiler.arrays import Ints, Truths
from microgradlike.compiler.instructions import (
    BY_ERROR,
    INPUTS,
    NONE,
    PARAMETERS,
    Each,
    Elementwise,
    Instruction,
    Layer,
    Loop,
    Operand,
    Products,
    Singles,
    Slots,
    Take,
    parts_of,
)
from microgradlike.compiler.operations import CODES, SENDS_TO
from microgradlike.compiler.program import Program
from microgradlike.compiler.slots import in_few_slots


class Send(NamedTuple):
    """The errors of an instruction's outputs, sent to one of its operands.

    Of ``Singles`` all fields but the first are arrays, one entry for each error that is sent, in
    order; and the name of the operand is 0 for the left one, 1 for the right one. Of a ``Loop``
    they are arrays, too, and the place is that of the number among all those of the operand.

    Attributes:
        name: of the operand: "weights", "bias", "values", "first", "second", "table", "x" or "y".
        once: whether the operand is computed once, so that the errors of all rows are added up.
        slots: where the errors go.
        assigns: whether nobody has sent there before: then they are written, not added.
        place: of a layer at several places, at which; of ``Singles``, of which output.
    """

    name: Each
    once: Each
    slots: Slots
    assigns: Each = False
    place: Each = 0


class Inside(NamedTuple):
    """What the round of a loop sends: its own backward pass."""

    backward: tuple[Back, ...]
    """What its instructions send, the last one first."""
    clear: Slots
    """The slots of a round whose errors must be 0 before that."""


class Back(NamedTuple):
    """All that an instruction sends, in order."""

    instruction: Instruction
    sends: tuple[Send, ...]
    inside: Inside | None = None
    """Of a loop."""

    def send(self, name: str) -> Send | None:
        """What is sent to an operand, if anything is."""
        return next((send for send in self.sends if send.name == name), None)


@dataclass(frozen=True, eq=False)
class Plan:
    """A program and its backward pass.

    Attributes:
        program: that is run forward: ``once``, then ``rows``.
        mode: ``PARAMETERS``, ``INPUTS``, or 0 for no backward pass.
        backward, once_backward: what ``rows`` sends, and then what ``once`` does.
        clear: the slots of ``rows`` whose errors must be 0 before that.
        own: for each slot of ``once``, whether it is a weight of one layer and of nothing else. The
            first block of rows writes its error, all others add theirs.
    """

    program: Program
    mode: int
    backward: tuple[Back, ...]
    once_backward: tuple[Back, ...]
    clear: Slots
    own: Truths


def plan(program: Program, mode: int) -> Plan:
    """Find out what is sent in a backward pass.

    Args:
        program: that is run.
        mode: for whom: ``PARAMETERS``, ``INPUTS``, or 0 for nobody.
    """
    own = own_weights(program)
    if not mode:
        return Plan(in_few_slots(program), mode, (), (), NONE, own)
    wants_once, wants = (found & mode for found in wanted_slots(program))
    seeded = [slot for once, slot in program.outputs if not once]
    backward = _Backward(wants_once, wants, mode)
    rows, clear = backward.of_rows(program.rows.instructions, seeded)
    once = _Backward(wants_once, wants_once, mode).of_once(program.once.instructions)
    found = Plan(program, mode, rows, once if mode == PARAMETERS else (), clear, own)
    if verify.CHECKING:
        verify.plan(found, wants_once, wants)
    return found


# ---- What is wanted ----------------------------------------------------------------------------


def wanted_slots(program: Program) -> tuple[Ints, Ints]:
    """For which slots of ``once``, and for which of the rows, the error is wanted, and for whom."""
    once = numpy.zeros(program.once.slots, numpy.int8)
    once[: len(program.parameters)] = PARAMETERS
    rows = numpy.zeros(max(program.rows.slots, 1), numpy.int8)
    rows[: len(program.inputs)] = INPUTS
    for stage, wants in ((program.once, once), (program.rows, rows)):
        for i in stage.instructions:
            wants[i.outs] = i.depends
    return once, rows


def own_weights(program: Program) -> Truths:
    """For each slot of ``once``, whether it is a weight of a layer that has its weights alone."""
    uses = numpy.zeros(program.once.slots, numpy.int32)
    for once, slot in program.outputs:
        if once:
            uses[slot] += 1
    for i in program.rows.instructions:
        for read in i.reads():
            for once, slots in parts_of(read):
                if once:
                    numpy.add.at(uses, slots.ravel(), 1)
    uses[len(program.parameters) :] = 2  # constants, and what is computed once
    own = numpy.zeros(len(uses), bool)
    for i in program.rows.instructions:
        if isinstance(i, Layer) and len(i.values) == 1 and i.depends & PARAMETERS:
            alone = in_a_row(i.weights) and i.signs is None and (uses[i.weights] == 1).all()
            own[i.weights.ravel()] |= alone
    return own


def in_a_row(slots: Slots) -> bool:
    """Whether slots follow each other, so that they are a view of an array, not a copy."""
    count = slots.size
    if not count or slots.item(count - 1) - slots.item(0) != count - 1:
        return False  # as is mostly told at once
    return count == 1 or bool((numpy.diff(slots.ravel()) == 1).all())


# ---- What is sent ------------------------------------------------------------------------------


class _Backward:
    """Goes through a list of instructions, the last one first.

    Args:
        wants_once, wants: for which slots of ``once``, and of the list, the error is wanted.
        mode: for whom.
    """

    def __init__(self, wants_once: Ints, wants: Ints, mode: int) -> None:
        self.wants_once, self.wants, self.mode = wants_once, wants, mode
        self.written = numpy.zeros(len(wants), bool)
        self.clear = numpy.zeros(len(wants), bool)
        self._places = numpy.empty(len(wants), numpy.int64)

    def of_once(self, instructions: Sequence[Instruction]) -> tuple[Back, ...]:
        """All errors are added: those of the rows are there already."""
        self.written[:] = True
        return tuple(self._backs(instructions))

    def of_rows(
        self, instructions: Sequence[Instruction], seeded: list[int]
    ) -> tuple[tuple[Back, ...], Slots]:
        """What is sent; and the slots that nobody writes before something is added, or read."""
        self.written[seeded] = self.clear[seeded] = True
        backs = tuple(self._backs(instructions))
        clear = self.clear | ((self.wants != 0) & ~self.written)
        return backs, numpy.flatnonzero(clear).astype(numpy.int32)

    def _backs(self, instructions: Sequence[Instruction]) -> Iterator[Back]:
        for i in reversed(instructions):
            if numpy.any(i.depends & self.mode):
                if isinstance(i, Loop):
                    yield Back(i, tuple(self._of_loop(i)), self._inside(i))
                    continue
                sends = self._singles(i) if isinstance(i, Singles) else tuple(self._sends(i))
                if sends:
                    yield Back(i, sends)

    def _sends(self, i: Instruction) -> Iterator[Send]:
        for group in _groups(i):
            wanted = [send for send in group if self._is_wanted(send)]
            here = [send.slots.ravel() for send in wanted if not send.once]
            every = numpy.concatenate([NONE, *here])
            unique = i.mask.kind != BY_ERROR and bool(self._first(every).all())
            for send in wanted:
                first = not send.once and unique and not self.written[send.slots].any()
                if not (send.once or first):
                    self._clear_before(send.slots)
                if not send.once:
                    self.written[send.slots] = True
                yield send._replace(assigns=bool(first))

    def _first(self, slots: Slots) -> Truths:
        """For each of these slots whether it is there for the first time."""
        places = numpy.arange(len(slots))
        self._places[slots[::-1]] = places[::-1]  # of those that are equal the first one stays
        first: Truths = self._places[slots] == places
        return first

    def _is_wanted(self, send: Send) -> bool:
        return bool((self.wants_once if send.once else self.wants)[send.slots].any())

    def _clear_before(self, slots: Slots) -> None:
        self.clear[slots[~self.written[slots]]] = True

    def _inside(self, i: Loop) -> Inside:
        """The backward pass of a round. What is handed on is wanted by the round before."""
        one = i.round
        wants = numpy.zeros(one.slots, numpy.int8)
        for inner in one.instructions:
            wants[inner.outs] = inner.depends
        given = self._wanted(i.rows).any(axis=0) * self.mode
        for slots, of in (
            (one.carried, self.mode),
            (one.given, given),
            (one.held, self.wants[i.held]),
        ):
            there = slots >= 0
            wants[slots[there]] = numpy.broadcast_to(of, slots.shape)[there]
        lower, slots = one.sending
        backs, clear = _Backward(self.wants_once, wants, self.mode).of_rows(
            one.instructions, slots[~lower].tolist()
        )
        return Inside(backs, clear)

    def _of_loop(self, i: Loop) -> Iterator[Send]:
        """The errors of what the first round is handed, of the rows, and of what is held."""
        for name, once, slots in i.reads()[:3]:
            lower, at = numpy.broadcast_to(once, slots.shape).ravel(), slots.ravel()
            wanted = numpy.flatnonzero(self._wanted(Operand(lower, at)))
            here = at[wanted[~lower[wanted]]]
            self._clear_before(here)
            self.written[here] = True
            yield Send(name, lower[wanted], at[wanted], False, wanted)

    def _wanted(self, operand: Operand) -> Truths:
        """Of which numbers the error is wanted."""
        once, slots = operand
        found = numpy.where(once, self.wants_once[slots * once], self.wants[slots * ~once])
        wanted: Truths = found & self.mode != 0
        return wanted

    def _singles(self, i: Singles) -> tuple[Send, ...]:
        """One error after the other: of each operation the one to the right operand first."""
        sent = SENDS_TO[i.operations] & (i.depends & self.mode != 0)[:, None]
        for side, (once, slots) in enumerate(i.operands):
            wanted = numpy.where(once, self.wants_once[slots * once], self.wants[slots * ~once])
            sent[:, side] &= wanted != 0
        places, sides = numpy.divmod(numpy.flatnonzero(sent)[::-1], 2)
        if not len(places):
            return ()
        (left_once, left), (right_once, right) = i.operands
        once = numpy.where(sides == 0, left_once[places], right_once[places])
        slots = numpy.where(sides == 0, left[places], right[places])
        here = numpy.flatnonzero(~once)
        first = numpy.zeros(len(slots), bool)
        first[here] = self._first(slots[here]) & ~self.written[slots[here]]
        self.written[slots[here]] = True
        return (Send(sides, once, slots, first, places),)


def _groups(i: Instruction) -> Iterator[list[Send]]:
    """The operands that an error goes to, in order; those of one group at the same time."""
    if isinstance(i, Elementwise):
        for side in reversed(range(len(i.operands))):
            if SENDS_TO[CODES[i.operation], side]:
                yield [Send("xy"[side], *i.operands[side])]
        return
    sends = [Send(read.name, read.once, read.slots) for read in i.reads()]
    if isinstance(i, Take):
        sends = [send for send in sends if send.name == "table"]
    yield from ([send] for send in sends if send.once)
    here = [send for send in sends if not send.once]
    if isinstance(i, Layer):
        for place in reversed(range(len(i.values))):
            yield [here[0]._replace(slots=i.values[place], place=place)]
    elif isinstance(i, Products):
        yield here[::-1]
    else:
        yield here
