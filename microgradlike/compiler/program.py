"""A program: what a compiled function computes, as two lists of instructions.

``once`` is what depends on parameters alone, ``rows`` what differs from row to row. Numbers are in
slots. The slots of ``once`` hold the parameters, then the constants, then what is computed; those
of ``rows`` the inputs, then what is computed, one lane for each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from microgradlike.compiler.arrays import Floats
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.instructions import (
    Elementwise,
    Fold,
    Instruction,
    Loop,
    Singles,
    Slots,
    Sums,
    times,
)


@dataclass(frozen=True, eq=False)
class Stage:
    """A list of instructions and the number of slots that they need."""

    instructions: tuple[Instruction, ...]
    slots: int

    def __str__(self) -> str:
        return ", ".join(name for name, _ in self.named())

    def named(self) -> list[tuple[str, list[Instruction]]]:
        """The instructions by name; those that make a softmax have one name."""
        named = {place: (str(i), [i]) for place, i in enumerate(self.instructions)}
        written = numpy.full(self.slots, -1)
        for place, i in enumerate(self.instructions):
            written[i.outs] = place

        def source(slots: Slots, *kinds: type[Instruction]) -> Any:
            """The only instruction that writes these slots, if it is of this kind."""
            found = {int(written[slot]) for slot in slots.ravel()}
            place = found.pop()
            if found or place < 0 or not isinstance(self.instructions[place], kinds):
                return None, None
            return place, self.instructions[place]

        for place, i in enumerate(self.instructions):
            if not isinstance(i, Elementwise) or i.operation != "truediv":
                continue
            above, below = i.operands
            if above.once or below.once:
                continue
            at_exp, exp = source(above.slots, Elementwise)
            at_sum, total = source(below.slots, Sums)
            if exp is None or total is None or exp.operation != "exp" or total.weights is not None:
                continue
            if total.signs is not None or total.bias is not None:
                continue
            if not numpy.isin(total.values, above.slots).all() or i.count != total.values.size:
                continue
            parts = [at_exp, at_sum]
            inside = exp.operands[0]
            at_sub, sub = (None, None) if inside.once else source(inside.slots, Elementwise)
            if sub is not None and sub.operation == "sub" and not sub.operands[1].once:
                at_max, largest = source(sub.operands[1].slots, Fold)
                if largest is not None and largest.operation == "maximum":
                    at_held, held = source(largest.values, Elementwise)
                    if held is not None and held.operation == "detach":
                        parts = [at_held, at_max, at_sub, *parts]
            if not named.keys() >= set(parts):  # another softmax has taken one of them
                continue
            members = [member for part in parts for member in named.pop(part)[1]]
            name = times(f"softmax {total.values.shape[1]}", total.count)
            named[place] = name, [*members, i]
        return list(named.values())


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled function.

    Attributes:
        once, rows: the instructions that run once per call, and those that run for each row.
        parameters: for each of the first slots of ``once``, the number of its parameter in the
            order of the tape: matrices stand in one piece.
        constants: the numbers of the slots that follow.
        inputs: the slot of each input that is used, and its number.
        outputs: for each output whether it stands in ``once``, and its slot.
        watched: the slots of ``once`` and of ``rows`` whose numbers are added up in another order
            than the engine's. If the sum of their squares is finite, no order can overflow, so the
            result is safe. Likewise what logsumexp gives, and the errors that do not arrive
            everywhere: 0 times infinity is found there.
        graph: whose nodes the instructions compute.
    """

    once: Stage
    rows: Stage
    parameters: list[int]
    constants: Floats
    inputs: list[int]
    outputs: list[tuple[bool, int]]
    watched: tuple[Slots, Slots]
    graph: Graph

    def steps(self) -> int:
        """How many steps it takes for few rows: instructions, single operations, in each round."""
        return _steps(self.rows.instructions)

    @property
    def size(self) -> int:
        """How many numbers it holds for a row beside the parameters; of a dot product it is one."""
        return self.rows.slots + self.once.slots - len(self.parameters)


def _steps(instructions: Sequence[Instruction]) -> int:
    loops = [i for i in instructions if isinstance(i, Loop)]
    singles = sum(i.count for i in instructions if isinstance(i, Singles))
    # Of a loop that ends by itself nobody knows how often it goes round.
    of_loops = sum(max(i.rounds, 1) * _steps(i.round.instructions) for i in loops)
    return len(instructions) + singles + of_loops
