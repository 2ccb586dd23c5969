"""The round of a loop as instructions: the compiler, once more, on what a loop does in one round.

A round has slots of its own. What it computes of parameters alone, and its constants, are computed
once for the whole program: they get numbers after those of the program's own nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy

from microgradlike.compiler import rounds
from microgradlike.compiler.arrays import Ints, Truths
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.instructions import Instruction, Operand, Round
from microgradlike.compiler.program import Program


class Further:
    """What the rounds of loops need that is computed once: numbered after all nodes.

    Attributes:
        end: the number of the next one.
        constants: the numbers of the constants, each with its value.
        instructions: that compute the others, in order.
    """

    def __init__(self, end: int) -> None:
        self.end = end
        self.constants: list[tuple[int, float]] = []
        self.instructions: list[Instruction] = []

    def take(self, count: int) -> Ints:
        """The next numbers."""
        start, self.end = self.end, self.end + count
        return numpy.arange(start, self.end, dtype=numpy.int32)


class Body(NamedTuple):
    """What a loop is made of: fields of its instruction."""

    round: Round
    rounds: int
    first: Operand
    rows: Operand
    held: Ints
    gives: Ints


def body(
    graph: Graph,
    loop: int,
    results: Ints,
    masked: bool,
    is_once: Callable[[Ints], Truths],
    build: Callable[[Graph], Program],
    further: Further,
) -> Body:
    """Compile the round of a loop.

    Args:
        graph: that the loop is in.
        loop: its node.
        results: the nodes that want a number of it.
        masked: whether its error arrives under a condition only.
        is_once: tells of nodes which ones the loop may read as computed once.
        build: compiles the graph of a round.
        further: what is computed once for it goes there.
    """
    (chain,) = graph.tables(graph.left[[loop]])
    found = graph.tape.loops.rounds[graph.left[chain[0]]]

    def nodes(operands: list[int], *shape: int) -> Ints:
        numbers = numpy.array(operands, int)
        constants = graph.of_constant[~numbers * (numbers < 0)]
        there: Ints = numpy.where(numbers < 0, constants, graph.of_tape[numbers * (numbers >= 0)])
        return there.astype(numpy.int32).reshape(shape or (-1,))

    def operand(operands: list[int], *shape: int) -> Operand:
        flat = nodes(operands, *shape)
        return Operand(is_once(flat), flat)

    once = is_once(nodes(found.held)).tolist()
    of_once = {node for node, lower in zip(found.held, once, strict=True) if lower}
    piece = rounds.apiece(graph.tape, found, of_once.__contains__)
    of_rows = [v for row in found.rows for v in row]
    return Body(
        _round(graph, loop, piece, found, masked, build, further, nodes(piece.once)),
        0 if found.going >= 0 else len(found.rows),
        operand(found.first),
        operand(of_rows, len(found.rows), len(found.given)),
        nodes(piece.held),
        graph.constants[graph.right[results]].astype(numpy.int32),
    )


def _round(
    graph: Graph,
    loop: int,
    piece: rounds.Apiece,
    found: rounds.Round,
    masked: bool,
    build: Callable[[Graph], Program],
    further: Further,
    parameters: Ints,
) -> Round:
    """A program of the round, whose parameters are these nodes, with its numbers that are computed
    once among those of the whole program."""
    leaves = [len(x) for x in (found.carried, found.given, piece.held)]
    sending, count, active = piece.results, len(piece.results), sum(leaves)
    if masked:
        condition = piece.tape.append("input", active)
        sending = [piece.tape.append("keep", condition, result) for result in sending]
    going = [piece.going] if piece.going >= 0 else []
    outputs = [*sending, *piece.results, *going]
    inner = Graph(piece.tape, outputs, count, graph.as_written, depends=int(graph.depends[loop]))
    made = build(inner)

    constants = further.take(len(made.constants))
    further.constants += zip(constants.tolist(), made.constants.tolist(), strict=True)
    known = len(made.parameters) + len(constants)
    once = numpy.concatenate(
        [parameters[made.parameters], constants, further.take(made.once.slots - known)]
    ).astype(numpy.int32)
    same = numpy.arange(made.rows.slots, dtype=numpy.int32)

    def own(i: Instruction, here: Ints) -> Instruction:
        return replace(i.renumbered(once, here), nodes=numpy.full(i.count, loop, numpy.int32))

    further.instructions += [own(i, once) for i in made.once.instructions]
    slot = numpy.full(active + 1, -1, numpy.int32)
    slot[made.inputs] = numpy.arange(len(made.inputs))
    lower = numpy.array([of_once for of_once, _ in made.outputs])
    here = numpy.array([number for _, number in made.outputs], numpy.int32)
    ends = numpy.where(lower, once[here * lower], here)
    carried, given, held, conditions = numpy.split(slot, numpy.cumsum(leaves))
    return Round(
        tuple(own(i, same) for i in made.rows.instructions),
        max(made.rows.slots, 1),
        carried,
        given,
        held,
        int(conditions[0]),
        (lower[count : 2 * count], ends[count : 2 * count]),
        (lower[:count], ends[:count]),
        (bool(lower[-1]), int(ends[-1])) if going else None,
        made.watched[1],
        once[made.watched[0]],
        once,
    )
