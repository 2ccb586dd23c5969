"""A program, read: which operations of the function became which instruction, what each reads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy

from microgradlike.compiler.graph import ONCE, ROWS, Graph
from microgradlike.compiler.instructions import Instruction, Sums, parts_of
from microgradlike.compiler.operations import ARITY
from microgradlike.compiler.program import Program, Stage
from microgradlike.inputs import describe
from microgradlike.replay.compiled import Compiled
from microgradlike.replay.names import Names

#: A path with more operations and leaves than this shows its operations as rows of symbols.
MOST_NODES = 40

#: A path of more boxes shows the first ones, the last ones, and how many are between.
MOST_BOXES, FIRST_BOXES, LAST_BOXES = 40, 24, 8

#: Of a function with more paths the first ones are shown.
MOST_PATHS = 4


def traced(c: Compiled, asked: str) -> Compiled:
    """What is drawn, if it is a compiled function.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(c, Compiled):
        raise TypeError(
            f"{asked}(c) draws what compile(f) made of a function, but got "
            f"{describe(c)}; pass compile(f), traced on some rows"
        )
    return c


@dataclass
class Box:
    """One box on the right: an instruction, or those that make a softmax."""

    name: str
    once: bool
    instructions: list[Instruction]
    operations: list[int] = field(default_factory=list)
    """The nodes of the graph that became this."""
    reads: dict[str, None] = field(default_factory=dict)
    results: int = 0

    @property
    def main(self) -> Instruction:
        """The instruction that tells how many numbers there are: the sum within a softmax."""
        sums = (i for i in self.instructions if isinstance(i, Sums))
        return next(sums, self.instructions[-1])


@dataclass(frozen=True)
class Path:
    """The graph of one program, and its boxes in the order in which they run."""

    program: Program
    graph: Graph
    boxes: list[Box]
    homes: Any
    """For each node the place of the box that computes it; -1 for leaves."""
    names: Names

    @classmethod
    def of(cls, program: Program, names: Names, together: bool = True) -> Path:
        """Read a program: which operations became which box, and what each box reads.

        Args:
            program: that is read.
            names: of inputs and parameters.
            together: whether the instructions that make a softmax are one box.
        """
        graph = program.graph
        stages = {True: program.once, False: program.rows}
        boxes = [
            Box(name, once, instructions)
            for once, stage in stages.items()
            for name, instructions in (
                stage.named() if together else [(str(i), [i]) for i in stage.instructions]
            )
        ]
        homes = _homes(graph, boxes)
        path = cls(program, graph, boxes, homes, names)
        order = numpy.argsort(homes, kind="stable")
        bounds = numpy.searchsorted(homes[order], numpy.arange(len(boxes) + 1))
        for box, (start, end) in zip(boxes, itertools.pairwise(bounds), strict=True):
            box.operations = order[start:end].tolist()
        writers = {once: path._writers(once, stage) for once, stage in stages.items()}
        for box in boxes:
            for once, slots in _operands(box):
                box.reads |= dict.fromkeys(path._sources(once, slots, writers[once], box))
        for once, slot in program.outputs:
            if (writer := writers[once][slot]) >= 0:
                boxes[writer].results += 1
        return path

    @property
    def operations(self) -> int:
        """How many scalar operations there are."""
        return sum(len(box.operations) for box in self.boxes)

    @property
    def small(self) -> bool:
        """Whether the operations themselves are shown."""
        return len(self.graph.op) <= MOST_NODES

    def _writers(self, once: bool, stage: Stage) -> Any:
        """For each slot of a stage the box that writes it, or -1."""
        writers = numpy.full(stage.slots, -1)
        for place, box in enumerate(self.boxes):
            if box.once == once:
                for i in box.instructions:
                    writers[i.outs] = place
        return writers

    def _sources(self, once: bool, slots: Any, writers: Any, reader: Box) -> Iterator[str]:
        """What stands in these slots: numbers that are given, or those of other boxes."""
        given = numpy.unique(slots[writers[slots] < 0])
        if once and (given < len(self.program.parameters)).any():
            yield "parameters"
        elif not once:
            yield from (self.names.arguments[self.program.inputs[slot]] for slot in given)
        for place in numpy.unique(writers[slots]).tolist():
            if place >= 0 and self.boxes[place] is not reader:
                yield f"box {place + 1}"


def _homes(graph: Graph, boxes: list[Box]) -> Any:
    """For each node the place of the box that computes it; -1 for leaves.

    Of a sum that takes two instructions, the last addition is the second one's, and all that it
    adds up the first one's.
    """
    own = numpy.full(len(graph.op), -1)
    within = own.copy()
    for place, box in reversed(list(enumerate(boxes))):
        for instruction in box.instructions:
            nodes = instruction.nodes
            own[nodes] = numpy.where(own[nodes] < 0, place, own[nodes])
            within[nodes[graph.stage[nodes] == (ONCE if box.once else ROWS)]] = place
    # What no instruction computes by itself is a term or a partial sum of what its user is.
    inner = (own < 0) & (ARITY[graph.op] > 0)
    heir = numpy.arange(len(own))
    for operands, arity in ((graph.left, 1), (graph.right, 2)):
        users = numpy.flatnonzero(ARITY[graph.op] >= arity)
        users = users[inner[operands[users]]]
        heir[operands[users]] = users
    while inner[heir].any():
        heir = heir[heir]
    return numpy.where(inner, within[heir], own)


def _operands(box: Box) -> Iterator[tuple[bool, Any]]:
    """The slots that a box reads, and whether they are slots of ``once``."""
    for instruction in box.instructions:
        for read in instruction.reads():
            for once, slots in parts_of(read):
                if slots.size:
                    yield once or box.once, slots


def shown_of(count: int) -> list[int]:
    """The places of the boxes that are shown."""
    if count <= MOST_BOXES:
        return list(range(count))
    return [*range(FIRST_BOXES), *range(count - LAST_BOXES, count)]
