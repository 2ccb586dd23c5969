"""What the passes of the compiler have made of one path, and what that means for each number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy

from microgradlike.compiler.forms import FOLD, FORM, GONE, Forms
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.grouping import Grouped
from microgradlike.compiler.instructions import Singles, parts_of
from microgradlike.compiler.levels import Levels
from microgradlike.compiler.operations import ARITY
from microgradlike.compiler.passes import build
from microgradlike.compiler.plan import Plan, Send
from microgradlike.compiler.program import Program
from microgradlike.compiler.show import way_back
from microgradlike.compiler.tape import Tape
from microgradlike.replay.names import Names
from viz.compiled.paths import Path

#: A slot: whether it is of ``once``, and its number.
Slot = tuple[bool, int]


class Sent(NamedTuple):
    """What an instruction sends back.

    Attributes:
        box: the place of its box.
        names: of the operands that get something.
        once, slots: where each gradient goes.
        first: whether it is the first one there, and so is written; others are added.
    """

    box: int
    names: list[str]
    once: Any
    slots: Any
    first: Any


@dataclass(frozen=True)
class Passes:
    """What each pass has made, from the tape to the plan of a backward pass.

    Attributes:
        path: the boxes, one for each instruction.
        forms, levels, grouped, plan: as the compiler made them.
        looks: how often it looked for sums: twice, where small ones are written out again.
    """

    path: Path
    forms: Forms
    levels: Levels
    grouped: Grouped
    plan: Plan
    looks: int

    @classmethod
    def of(cls, program: Program, names: Names) -> Passes:
        """Let the passes run once more, and keep what each has made."""
        made: dict[str, list[Any]] = {}

        def seen(name: str, found: Any) -> None:
            if name in ("forms", "levels") and len(made["graph"]) > 1:
                return  # of the round of a loop
            made.setdefault(name, []).append(found)

        again = build(program.graph, seen)
        forms, levels, grouped = (made[name][-1] for name in ("forms", "levels", "grouped"))
        path = Path.of(again, names, together=False)
        return cls(path, forms, levels, grouped, way_back(again), len(made["forms"]))

    @property
    def made(self) -> dict[str, Any]:
        """The same by the names of the passes, in their order."""
        return {
            **{"tape": self.tape, "graph": self.graph, "forms": self.forms},
            **{"levels": self.levels, "grouped": self.grouped, "program": self.program},
            "plan": self.plan,
        }

    @property
    def tape(self) -> Tape:
        return self.graph.tape

    @property
    def graph(self) -> Graph:
        return self.path.graph

    @property
    def program(self) -> Program:
        return self.path.program

    # ---- What becomes of each node -------------------------------------------------------------

    def level_of(self, box: int) -> int:
        """The column of a box: how deep its results are among those of its list."""
        instruction = [*self.grouped.once, *self.grouped.rows][box]
        return int(self.levels.level[instruction.outs].min())

    def home_of(self, nodes: Any) -> Any:
        """For each node of the tape the box that computes it; -1 of leaves, and of what is gone."""
        here = self.graph.of_tape[nodes]
        return numpy.where(here < 0, -1, self.path.homes[here])

    def sums(self) -> tuple[Any, Any]:
        """For each operation of the graph that is a part of a sum, or of a fold, which one."""
        graph, role = self.graph, self.forms.role
        heir = numpy.arange(len(graph.op))
        inner = (role == GONE) & (ARITY[graph.op] > 0)
        for operands, arity in ((graph.left, 1), (graph.right, 2)):
            users = numpy.flatnonzero(ARITY[graph.op] >= arity)
            users = users[inner[operands[users]]]
            heir[operands[users]] = users
        while inner[heir].any():
            heir = heir[heir]
        of = numpy.where(numpy.isin(role[heir], (FORM, FOLD)) & (ARITY[graph.op] > 0), heir, -1)
        return of, role[heir]

    def slots(self) -> dict[int, list[Slot]]:
        """The slots that hold each node of the graph; a sum of two instructions has two."""
        grouped, parts = self.grouped, self.grouped.parts
        computed = len(parts.bounds) - 1  # constants of the compiler's own are beyond
        found: dict[int, list[Slot]] = {}
        for once, leaves, instructions in (
            (True, [grouped.parameters, *parts.of_constants()], grouped.once),
            (False, [grouped.inputs], grouped.rows),
        ):
            nodes = numpy.concatenate([*leaves, *(i.outs for i in instructions)]).astype(int)
            for slot, part in enumerate(nodes.tolist()):
                if part < computed:
                    found.setdefault(int(parts.node_of[part]), []).append((once, slot))
        return found

    def constants(self) -> int:
        """How many constants are kept: those of the graph, and of the compiler's those it reads."""
        program, first = self.program, len(self.program.parameters)
        own = first + len(self.graph.constants)
        is_read = numpy.zeros(program.once.slots, bool)
        for once, stage in ((True, program.once), (False, program.rows)):
            for read in (read for i in stage.instructions for read in i.reads()):
                for lower, slots in parts_of(read):
                    if lower or once:
                        is_read[slots] = True
        return own - first + int(is_read[own : first + len(program.constants)].sum())

    def sent(self) -> Iterator[Sent]:
        """What each instruction sends back, in the order in which they run."""
        boxes = {id(box.main): place for place, box in enumerate(self.path.boxes)}
        for back in (*self.plan.backward, *self.plan.once_backward):
            box = boxes[id(back.instruction)]
            of_once, sends = self.path.boxes[box].once, back.sends
            names = [send.name for send in sends]
            if isinstance(back.instruction, Singles):
                names = ["operands"]
            once, slots, first = (_all_of(sends, name) for name in ("once", "slots", "assigns"))
            yield Sent(box, list(dict.fromkeys(names)), once | of_once, slots, first)


def _all_of(sends: Sequence[Send], name: str) -> Any:
    """What some sends say, for each gradient that is sent."""
    parts = ((getattr(send, name), send.slots.shape) for send in sends)
    return numpy.concatenate([numpy.broadcast_to(*part).ravel() for part in parts])
