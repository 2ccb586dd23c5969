"""Every number gets its slot; and slots are used again where no error goes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy

from microgradlike.compiler.arrays import Ints
from microgradlike.compiler.forms import GONE
from microgradlike.compiler.graph import ROWS
from microgradlike.compiler.grouping import Grouped
from microgradlike.compiler.instructions import NONE, Instruction, Singles, Slots, parts_of
from microgradlike.compiler.loops import loop
from microgradlike.compiler.program import Program, Stage


def place(grouped: Grouped) -> Program:
    """Give every node its slot: in each list the leaves come first, then what is computed."""
    parts, graph = grouped.parts, grouped.parts.graph
    slot = numpy.full(grouped.further.end, -1, numpy.int32)
    own = numpy.array([node for node, _ in grouped.further.constants], int)
    lists = []
    for leaves, instructions in (
        ([grouped.inputs], grouped.rows),
        ([grouped.parameters, *parts.of_constants(), own], grouped.once),
    ):
        nodes = numpy.concatenate([*leaves, *(i.outs for i in instructions)]).astype(int)
        slot[nodes] = numpy.arange(len(nodes))
        lists.append((instructions, len(nodes)))
    rows, once = (
        Stage(tuple(i.renumbered(slot, slot) for i in instructions), slots)
        for instructions, slots in lists
    )
    lower = parts.stage[graph.outputs] < ROWS
    return Program(
        once,
        rows,
        graph.left[grouped.parameters].tolist(),
        numpy.array([*parts.constants, *(value for _, value in grouped.further.constants)]),
        graph.left[grouped.inputs].tolist(),
        list(zip(lower.tolist(), slot[graph.outputs].tolist(), strict=True)),
        (NONE, NONE) if graph.as_written else _watched(grouped, once, rows, slot),
        graph,
    )


def _watched(grouped: Grouped, once: Stage, rows: Stage, slot: Slots) -> tuple[Slots, Slots]:
    """See ``Program``."""
    parts, graph = grouped.parts, grouped.parts.graph
    found = numpy.zeros(once.slots, bool), numpy.zeros(rows.slots, bool)
    for here, stage in zip(found, (once, rows), strict=True):
        for i in stage.instructions:
            for read in i.reorders():
                for of_once, slots in parts_of(read):
                    (found[0] if of_once else here)[slots] = True
    nodes = graph.nothing
    gone = nodes[parts.role[nodes] == GONE]  # a product within a sum: its factors
    nodes = numpy.concatenate([nodes, graph.left[gone], graph.right[gone]])
    nodes = nodes[slot[nodes] >= 0]
    for here, of_rows in zip(found, (False, True), strict=True):
        here[slot[nodes[(parts.stage[nodes] == ROWS) == of_rows]]] = True
    once_slots, row_slots = (numpy.flatnonzero(x).astype(numpy.int32) for x in found)
    return once_slots, row_slots


# ---- Slots that are used again -----------------------------------------------------------------


def in_few_slots(program: Program) -> Program:
    """The same for values alone: a slot is used again when nobody reads it any more."""
    instructions, slots = program.rows.instructions, program.rows.slots
    sizes = [i.count if isinstance(i, Singles) else 1 for i in instructions]
    steps = numpy.append(0, numpy.cumsum(sizes, dtype=int))
    out, count = (numpy.zeros(steps[-1], int) for _ in range(2))
    reads, by = [NONE], [NONE]
    for i, step, size in zip(instructions, steps.tolist(), sizes, strict=False):
        here = step + numpy.arange(size)
        out[here] = i.outs if isinstance(i, Singles) else i.out
        count[here] = 1 if isinstance(i, Singles) else i.count
        for read_by, read in _of_this_list(i, here):
            reads.append(read)
            by.append(read_by)
    of_step = numpy.concatenate(by)
    order = numpy.argsort(of_step, kind="stable")
    ordered = numpy.concatenate(reads)[order]
    start = numpy.searchsorted(of_step[order], numpy.arange(len(out) + 1))
    last = numpy.zeros(slots, int)
    last[ordered] = of_step[order]
    outputs = [slot for once, slot in program.outputs if not once]
    last[outputs] = last[program.watched[1]] = len(out)
    place = numpy.full(slots, -1, numpy.int32)
    place[: len(program.inputs)] = numpy.arange(len(program.inputs))
    used = reuse_slots(out, count, start, ordered, last, place)
    same = numpy.arange(program.once.slots, dtype=numpy.int32)
    once, rows = program.watched
    return replace(
        program,
        rows=Stage(tuple(i.renumbered(same, place) for i in instructions), used),
        outputs=[(once, slot if once else int(place[slot])) for once, slot in program.outputs],
        watched=(once, numpy.sort(place[rows])),
    )


def _of_this_list(i: Instruction, steps: Ints) -> Iterator[tuple[Ints, Slots]]:
    """The slots of its own list that an instruction reads, each with the step that reads it."""
    asked = i.waits_for()
    waits = asked >= 0
    yield numpy.broadcast_to(steps, asked.shape)[waits], asked[waits]
    for read in i.reads():
        here = numpy.broadcast_to(~numpy.asarray(read.once), read.slots.shape)
        by = numpy.broadcast_to(steps if isinstance(i, Singles) else steps[0], read.slots.shape)
        yield by[here], read.slots[here]


#: So many places are looked at for room; then there is some at the end.
_FAR = 4096


@loop()
def reuse_slots(out: Ints, count: Ints, start: Ints, reads: Ints, last: Ints, place: Ints) -> int:
    """Give slots new places, which are free again when nobody reads them any more.

    Args:
        out, count: for each step the first slot that it writes, and how many; they stay in a row.
        start, reads: for each step the slots that it reads.
        last: for each slot the step that reads it last.
        place: where each slot stands; -1 for those that a step writes, which is found here.

    Returns:
        How many places there are.
    """
    taken = place >= 0
    low = top = int(taken.sum())
    taken[:top], taken[top:] = True, False
    for step in range(len(out)):
        n, here, room = count[step], low, 0
        while here < top and room < n and here < low + _FAR:
            room = 0 if taken[here] else room + 1
            here += 1
        first = here - room if room == n or here == top else top
        top = max(top, first + n)
        for k in range(n):
            taken[first + k] = True
            place[out[step] + k] = first + k
        for k in range(start[step], start[step + 1]):
            slot = reads[k]
            if last[slot] == step:
                taken[place[slot]] = False
                low = min(low, place[slot])
        while low < top and taken[low]:
            low += 1
    return top
