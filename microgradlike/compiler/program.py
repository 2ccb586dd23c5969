"""A program: what a compiled function computes, as two lists of instructions.

``once`` is what depends on parameters alone, ``rows`` what differs from row to row. Numbers are in
slots. The slots of ``once`` hold the parameters, then the constants, then what is computed; those
of ``rows`` the inputs, then what is computed, one lane for each row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

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
        """The instructions by name; those that make a softmax, or a choice, have one name."""
        named: Named = {place: (str(i), [i]) for place, i in enumerate(self.instructions)}
        self._name_softmax(named)
        self._name_choices(named)
        return [named[place] for place in sorted(named)]

    def _name_softmax(self, named: Named) -> None:
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
            name = times(f"softmax {total.values.shape[1]}", total.count)
            _put_together(named, name, [*parts, place])

    def _name_choices(self, named: Named) -> None:
        """A sum of what is kept under a condition, and what is kept where it does not hold."""
        of_slot: dict[int, tuple[Elementwise, int]] = {}
        places: dict[int, int] = {}
        for place, i in enumerate(self.instructions):
            if isinstance(i, Elementwise) and i.operation in ("keep", "not"):
                of_slot |= {slot: (i, k) for k, slot in enumerate(i.outs.tolist())}
                places |= dict.fromkeys(i.outs.tolist(), place)

        def operand(slot: int, operation: str) -> int | None:
            """The first operand of what writes a slot, if it is of this list."""
            i, k = of_slot.get(slot, (None, 0))
            if i is None or i.operation != operation or i.operands[0].once:
                return None
            return int(i.operands[0].slots[k])

        def conditions(a: int, b: int) -> list[int]:
            """The slots of a condition, and its opposite, if it chooses between these."""
            found = [x for slot in (a, b) if (x := operand(slot, "keep")) is not None]
            opposite = [x for x in found if operand(x, "not") in found]
            return opposite if len(found) == 2 else []

        taken: dict[int, int] = {}  # by which sum
        for place, i in enumerate(self.instructions):
            for terms in _terms(i):
                kept = [slot for slot in terms if operand(slot, "keep") is not None]
                for pair in combinations(kept, 2):
                    if opposite := conditions(*pair):
                        taken |= dict.fromkeys([*pair, *opposite], place)
        parts: dict[int, list[int]] = {place: [] for place in taken.values()}
        for part in sorted({places[slot] for slot in taken}):
            outs = self.instructions[part].outs.tolist()
            if all(slot in taken for slot in outs):
                parts[taken[outs[0]]].append(part)
        for place, some in parts.items():
            every = [self.instructions[part] for part in some]
            count = sum(i.count for i in every if str(i).startswith("keep")) // 2
            if isinstance(total := self.instructions[place], Elementwise) and count == total.count:
                some.append(place)  # the sum is all there is
            if count:
                _put_together(named, times("choose", count), some)


def _terms(i: Instruction) -> Iterator[list[int]]:
    """For each output of a plain sum its terms."""
    if isinstance(i, Elementwise) and i.operation == "add" and not any(x.once for x in i.operands):
        yield from map(list, zip(*(x.slots.tolist() for x in i.operands), strict=True))
    elif isinstance(i, Sums) and i.weights is None and i.signs is None:
        yield from i.values.tolist()


#: Instructions by the place of the last one: their name, and which ones they are.
Named: TypeAlias = "dict[int, tuple[str, list[Instruction]]]"


def _put_together(named: Named, name: str, parts: Sequence[int]) -> None:
    """Give parts a name together, at the place of the last one."""
    members = [member for part in parts for member in named.pop(part)[1]]
    named[parts[-1]] = name, members


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
