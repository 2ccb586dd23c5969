"""What a picture shows, before any drawing: boxes, and the arrows on which the error flows back.

``whole`` and ``folded`` make a scene of a graph; everything that is drawn is made of a scene.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from microgradlike.engine import Value
from microgradlike.flow import Step
from microgradlike.words import literal
from viz import style

#: How the words begin on what the arrows bring, and end on a number that broke.
BRING, BEGINS = "the arrows bring", ("begins here", "begins here too", "becomes NaN")


class Remark(NamedTuple):
    """What a reader should be told about a node: the error is lost there, or a number broke."""

    words: str
    since: Literal["value", "gradient", "sent"] = "value"
    """What must have happened before it can be said: the node has that, or has sent its error."""
    known: bool = True
    """Whether that has happened; until then there is only room for it."""


@dataclass(frozen=True)
class Box:
    """One shape: a node of the graph, or a part of it that is folded into one.

    Where the order of its operands matters (a - b), ``ordered`` keeps the first one on top.
    Boxes of the same ``column`` stand above each other, in their order.
    """

    name: str
    kind: str
    heading: str
    title: str
    symbol: str = ""
    data: float | None = None
    grad: float | None = None
    lines: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()
    column: str = ""
    ordered: bool = False
    run: tuple[float, ...] = ()
    """All the gradients that it has while the sweep is watched; ``grad`` is None before them."""
    values: tuple[float, ...] = ()
    """All the numbers that ``data`` is while a page is watched."""
    marked: bool = False
    """Whether it lies on the path that is pointed out."""

    @property
    def has_gradient(self) -> bool:
        """Whether it has a cell for a gradient, even if none has arrived yet."""
        return self.grad is not None or bool(self.run)

    @property
    def called(self) -> str:
        """What it is called in a line of text."""
        return literal(self.heading) or self.name


@dataclass(frozen=True)
class Arrow:
    """One way from an operand (``tail``) to an operation (``head``); the error takes it back.

    A constant's arrow carries no error and has no contribution; a folded one has no single slope.
    """

    tail: str
    head: str
    title: str
    slope: float | None = None
    contribution: float | None = None
    crossed: bool = True
    """Whether the error has come this way already."""
    aside: bool = False
    """Whether it is not of the path that is pointed out."""


@dataclass(frozen=True)
class Move:
    """One moment of the sweep: the error crosses some arrows, and gradients change."""

    sender: str
    """The box that sends."""
    arrows: tuple[int, ...]
    """Which arrows of the scene: one, or all those by which a folded part sends."""
    grads: Mapping[str, float]
    """The new gradients, by the names of their boxes."""
    ways: int
    """How many steps this moment is made of, as far as they leave the box."""
    step: Step | None = None
    """The step, where there is just one."""


@dataclass
class Scene:
    """Everything on one picture; ``ran`` tells whether there is an error to show."""

    title: str
    ran: bool
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    members: Mapping[str, list[Value]] = field(default_factory=dict)
    """The nodes that each box stands for."""
    shown: Mapping[str, Value] = field(default_factory=dict)
    """The node whose numbers a box shows."""
    results: Collection[str] = ()
    """The boxes that show a result: each has a gradient of 1 before the sweep begins."""
    colours: style.Scale | None = None
    """The scale of gradients, where it is not that of this scene alone."""
    forward_only: bool = False
    """Whether it shows values alone, and nothing of the error."""

    @property
    def folded(self) -> bool:
        """Whether arrows stand for several ways, and so have no single slope."""
        return not any(arrow.slope is not None for arrow in self.arrows)

    def without_constants(self) -> Scene:
        """The scene without plain numbers, and without their arrows."""
        hidden = {box.name for box in self.boxes if box.kind == "constant"}
        kept = [place for place, arrow in enumerate(self.arrows) if arrow.tail not in hidden]
        places = {place: new for new, place in enumerate(kept)}
        return replace(
            self,
            boxes=[box for box in self.boxes if box.name not in hidden],
            arrows=[self.arrows[place] for place in kept],
            moves=[
                replace(move, arrows=tuple(places[place] for place in move.arrows))
                for move in self.moves
            ],
        )

    def without_gradients(self) -> Scene:
        """The scene of the forward pass: the values alone."""
        return replace(
            self,
            boxes=[
                replace(
                    box,
                    title=box.title.partition("\ngrad ")[0],
                    grad=None,
                    lines=tuple(line for line in box.lines if not line.startswith(BRING)),
                    remarks=tuple(said for said in box.remarks if said.words.endswith(BEGINS)),
                )
                for box in self.boxes
            ],
            arrows=[
                Arrow(arrow.tail, arrow.head, f"data of {arrow.tail} for {arrow.head}")
                for arrow in self.arrows
            ],
            moves=[],
            forward_only=True,
        )

    def pointing_out(self, path: Sequence[Value], words: str) -> Scene:
        """The scene with one path on which the error flows, and the rest aside."""
        home = {node: box for box, nodes in self.members.items() for node in nodes}
        stops = [home[node] for node in path if node in home]
        columns = {box.name: box.column for box in self.boxes}
        headings = {box.column: box.name for box in self.boxes if box.kind == "layer"}
        ways = {
            (start, head)
            for tail, head in itertools.pairwise(stops)
            for start in (tail, headings.get(columns[tail]))  # one arrow may be all of a layer's
        }
        return replace(
            self,
            boxes=[replace(box, marked=box.name in stops) for box in self.boxes],
            arrows=[
                replace(arrow, aside=(arrow.tail, arrow.head) not in ways) for arrow in self.arrows
            ],
            notes=[*self.notes, words],
        )
