"""What a picture shows, before any drawing: boxes, and the arrows on which the error flows back.

A scene is read from a graph and from ``flow``'s account of its backward sweep. Nothing in the graph
is changed, and no derivative is computed here.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
import re
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, cast

from microgradlike.engine import Value, recording
from microgradlike.flow import Step, anew, backward_steps, by_value, named, nodes
from microgradlike.inputs import describe
from microgradlike.ops import OPERATORS
from microgradlike.words import counted, literal
from viz import style

#: A module names its parameters by their path: "layers.0.neurons.3.w.1", "layers.0.neurons.3.b".
#: The bias of a lone neuron is just "b", a name that others use too: it needs a "w.0" beside it.
PARAMETER = re.compile(r"(.+\.)?w\.\d+|.+\.b")

#: A longer formula is shown by its operator alone.
LONGEST_FORMULA = 12

#: An activation passes less than this share of the error where it is saturated.
FLAT = 0.01
FLATTENING = {row.name for row in OPERATORS.values() if row.saturates}

#: A gradient has vanished below this share of the result's own. It explodes where it is so many
#: times as large as that and as the median: beside gradients that vanished, all others are large.
VANISHED, EXPLODING = 1e-6, 1e3

#: What each flag says in a sentence.
FLAGS = {
    "saturated": "{} is saturated",
    "dead": "{} is dead",
    "vanished": "the gradient of {} has almost vanished",
    "exploding": "the gradient of {} explodes",
}

#: How the words begin on what the arrows bring, and end on a number that broke.
BRING, BEGINS = "the arrows bring", ("begins here", "begins here too", "becomes NaN")

COMMUTATIVE = {row.name for row in OPERATORS.values() if row.commutes}


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
        ways = set(itertools.pairwise(stops))
        return replace(
            self,
            boxes=[replace(box, marked=box.name in stops) for box in self.boxes],
            arrows=[
                replace(arrow, aside=(arrow.tail, arrow.head) not in ways) for arrow in self.arrows
            ],
            notes=[*self.notes, words],
        )


@dataclass(frozen=True, eq=False)
class Graph:
    """A graph and its backward sweep, read once: every scene is made from this."""

    root: Value
    nodes: list[Value]
    names: Mapping[Value, str]
    lone_neuron: bool
    afresh: bool
    changed: str = ""
    """Which numbers were written after they had been used, in a sentence; mostly nothing."""
    twins: Mapping[Value, Value] = field(default_factory=dict)
    """The node that is shown for each node of the graph that was given."""
    results: Mapping[Value, None] = field(default_factory=dict)
    """What it ends in: the root; or several, of which the root is the sum."""

    @classmethod
    def of(
        cls,
        root: Value | Sequence[Value],
        names: Mapping[str, Any] | None = None,
        *,
        afresh: bool = False,
    ) -> Graph:
        """Read the graph under ``root``; ``names`` names Values that have no label.

        Of several roots it is the graph of their sum, whose gradients are what the backward passes
        of all of them add up to.

        Its gradients are those that ``backward()`` left in ``.grad``; ``afresh``, they are those of
        a sweep of its own, and ``.grad`` does not matter. Where numbers have changed since they
        were used, it is the graph computed anew, and its sweep, as the gradients do not belong to
        it any more.

        Raises:
            TypeError: ``root`` is no Value.
        """
        given_roots = root if isinstance(root, list | tuple) and root else [root]
        for result in given_roots:
            if not isinstance(result, Value):
                raise TypeError(
                    "a picture is drawn of a Value and all it was computed from, but got "
                    f"{describe(result)}; pass the result of a computation, such as the loss, or a "
                    "list of results"
                )
        results = cast("dict[Value, None]", dict.fromkeys(given_roots))
        given = by_value(names)
        ran = afresh or any(result.grad for result in results)
        end, *others = results
        if others:
            afresh = ran
            with recording():
                end = functools.reduce(operator.add, others, end)
        end, twins, changed = anew(end, named(end, names))
        found = nodes(end)
        lone_neuron = any(node.label == "w.0" for node in found)
        called = {twins[node]: name for node, name in given.items() if node in twins}
        ends = {twins[result]: None for result in results}
        if changed:
            afresh = ran
        return cls(end, found, called, lone_neuron, afresh, changed, twins, ends)

    @functools.cached_property
    def joints(self) -> set[Value]:
        """The operations that only add several results up: no picture shows them."""
        joints, node = set[Value](), self.root
        while node not in self.results:
            joints.add(node)
            node = node.parents[0]
        return joints

    def told(self) -> Graph:
        """The same graph, for sentences: every node has a name."""
        return replace(self, names=named(self.root, {n: node for node, n in self.names.items()}))

    @functools.cached_property
    def ids(self) -> Mapping[Value, str]:
        """A name for each node that no label can change: ``v`` and its place."""
        return {node: f"v{place}" for place, node in enumerate(self.nodes)}

    def sweep(self) -> Iterator[Step]:
        """The steps of the sweep, one after the other: a big graph has too many to keep."""
        operations = [node for node in self.nodes if node._rule is not None]
        return backward_steps(self.root, 1.0 if self.afresh else self.root.grad, operations)

    @functools.cached_property
    def steps(self) -> list[Step]:
        """The same as a list."""
        return list(self.sweep())

    @functools.cached_property
    def _swept(self) -> Mapping[Value, float]:
        return {self.root: 1.0} | {step.parent: step.after for step in self.sweep()}

    def grad(self, node: Value) -> float:
        """The gradient that a node has in the end."""
        return self._swept[node] if self.afresh else node.grad

    @property
    def ran(self) -> bool:
        """Whether backward() has been run: after it, the result's own gradient is not zero."""
        return self.afresh or bool(self.root.grad)

    @functools.cached_property
    def origin(self) -> Value | None:
        """Where the first NaN or infinity was born: in a value, or else on the way of the error."""
        for node in self.nodes:
            if not math.isfinite(node.data):
                return node
        for step in self.sweep():
            if math.isfinite(step.upstream + step.before) and not math.isfinite(step.after):
                return step.node
        return None

    def birth(self, node: Value) -> str:
        """Whether a NaN or an infinity is born in the value of a node, in words; or nothing."""
        if math.isfinite(node.data):
            return ""
        number = style.number(node.data)
        if node is self.origin:
            return f"origin: {number} begins here"
        operands = [float(operand) for operand in node.operands]
        if all(map(math.isfinite, operands)):
            return f"{number} begins here too"
        was_a_number = not any(map(math.isnan, operands))
        return "here infinity becomes NaN" if math.isnan(node.data) and was_a_number else ""

    @functools.cached_property
    def flags(self) -> Mapping[Value, list[str]]:
        """Where the error gets lost or grows without measure: for each place, some of ``FLAGS``."""
        flags: dict[Value, list[str]] = {}
        for step in self.steps:
            if step.node.op in FLATTENING and abs(step.slope) < FLAT:
                flags.setdefault(step.node, []).append("dead" if step.slope == 0 else "saturated")
        grads = {node: self.grad(node) for node in self.nodes}
        sizes = [abs(grad) for grad in grads.values() if grad and math.isfinite(grad)]
        if sizes:
            first, median = abs(self.grad(self.root)), statistics.median(sizes)
            for node, grad in grads.items():
                if 0 < abs(grad) < VANISHED * first:
                    flags.setdefault(node, []).append("vanished")
                elif EXPLODING * max(median, first) < abs(grad) < math.inf:
                    flags.setdefault(node, []).append("exploding")
        return flags

    def name(self, node: Value) -> str:
        """The label of a node, or the name that the caller has for it, or nothing."""
        return node.label or self.names.get(node, "")

    def heading_of(self, node: Value) -> str:
        """The name as a box shows it: with its line breaks."""
        return "\n".join(map(literal, self.name(node).split("\n")))

    def is_parameter(self, node: Value) -> bool:
        """Whether a leaf is a weight or bias of a module, told by the path that is its label."""
        if node.op or not node.label:
            return False
        return bool(PARAMETER.fullmatch(node.label)) or (self.lone_neuron and node.label == "b")

    def kind(self, node: Value) -> str:
        """The role of a node, which decides its shape."""
        if node in self.results:
            return "result"
        if node.op:
            return "operation"
        return "parameter" if self.is_parameter(node) else "input"

    def heading(self, size: str) -> str:
        """One sentence on the whole graph."""
        names = [literal(self.name(node)) or "the result" for node in self.results]
        data = [style.number(node.data) for node in self.results]
        error = "" if self.ran else "; backward() has not been run: no error to show"
        return (
            f"How the error flows back from {' and '.join(names)}: {size}, "
            f"{'result' if len(data) == 1 else 'results'} {', '.join(data)}{error}"
        )

    @property
    def warning(self) -> str:
        """What has changed since the forward pass, behind another sentence."""
        return f"; {self.changed}" if self.changed else ""

    @property
    def notes(self) -> list[str]:
        """What the legend has to say about the numbers."""
        return [self.changed] if self.changed else []


def whole(graph: Graph, part: Collection[Value] | None = None) -> Scene:
    """The scene that shows every node and every edge.

    Args:
        graph: the graph.
        part: show only these nodes; their operands elsewhere are hinted at.
    """
    boxes: dict[Value, Box] = {}
    shown: list[Box] = []
    arrows: list[Arrow] = []
    ways: dict[Value, list[Step]] = {}
    arrived: dict[Value, float] = {}
    places: dict[Step, int] = {}
    for step in graph.steps:
        ways.setdefault(step.node, []).append(step)
        arrived[step.parent] = step.after
    hinted = {} if part is None else {x for node in part for x in node.parents}
    for node in graph.nodes:
        elsewhere = part is not None and node not in part
        if (elsewhere and node not in hinted) or node in graph.joints:
            continue
        grad = graph.grad(node)
        box = boxes[node] = _box(graph, node, arrived.get(node, grad) if graph.ran else grad)
        if elsewhere:
            shown.append(replace(box, kind="elsewhere", lines=(), remarks=()))
            continue
        steps = iter(ways.get(node, ()))
        for place, operand in enumerate(node.operands):
            if isinstance(operand, Value):
                step = next(steps)
                places[step] = len(arrows)
                arrows.append(_arrow(step, boxes[operand], box))
            else:
                constant = _constant(operand, f"{box.name}c{place}", box)
                shown.append(constant)
                arrows.append(Arrow(constant.name, box.name, constant.title))
        shown.append(box)
    steps_shown = [step for step in graph.steps if step.node not in graph.joints]
    count = len(graph.nodes) - len(graph.joints)
    size = f"{counted(count, 'node')}, {counted(len(steps_shown), 'way')} back"
    moves = [
        Move(
            boxes[step.node].name,
            (places[step],),
            {boxes[step.parent].name: step.after},
            ways=1,
            step=step,
        )
        for step in graph.steps
        if step in places
    ]
    return Scene(
        graph.heading(size),
        graph.ran,
        shown,
        arrows,
        graph.notes,
        moves=moves,
        members={box.name: [node] for node, box in boxes.items()},
        shown={box.name: node for node, box in boxes.items()},
    )


def _box(graph: Graph, node: Value, arrived: float) -> Box:
    kind, name, heading = graph.kind(node), graph.ids[node], graph.heading_of(node)
    symbol = how = ""
    if node._rule is not None:
        words = [
            literal(graph.name(x)) if isinstance(x, Value) else style.number(x)
            for x in node.operands
        ]
        symbol = _symbol(node, heading, words)
        ids = [graph.ids[x] if isinstance(x, Value) else "" for x in node.operands]
        how = f" = {_formula(node, [word or id for word, id in zip(words, ids, strict=True)])}"
        how += f"\n{node.op}: {node._rule.operator.rule}"
    return Box(
        name,
        kind,
        heading,
        f"{kind} {literal(heading) or name}{how}\ndata {node.data!r}\ngrad {graph.grad(node)!r}",
        symbol=symbol,
        data=node.data,
        grad=graph.grad(node),
        lines=_history(arrived, graph.grad(node)),
        remarks=tuple(_remarks(graph, node)),
        ordered=len(node.operands) == 2 and node.op not in COMMUTATIVE,
    )


def _remarks(graph: Graph, node: Value) -> Iterator[Remark]:
    """What a reader should be told about a node: where the error is lost, or a number broke."""
    if birth := graph.birth(node):
        yield Remark(birth)
    elif node is graph.origin:
        yield Remark("origin: the error breaks here", "sent")
    if graph.ran:
        for flag in graph.flags.get(node, ()):
            late = flag in ("vanished", "exploding")
            yield Remark(flag, "gradient" if late else "value")


def _history(arrived: float, grad: float) -> tuple[str, ...]:
    """What the arrows bring, where that is not the gradient.

    There may be other ways to a node than those of this picture, and other passes, before and
    after: the gradient alone does not tell which.
    """
    if math.isclose(arrived, grad, rel_tol=1e-9) or (math.isnan(arrived) and math.isnan(grad)):
        return ()
    return (f"{BRING} {style.signed(arrived)}",)


def _formula(node: Value, words: list[str]) -> str:
    """How a node was computed, as one would write it."""
    sign = style.symbol(node._op)
    infix = len(words) == 2 and sign != node.op
    return f" {sign} ".join(words) if infix else f"{node.op}({', '.join(words)})"


def _symbol(node: Value, heading: str, words: list[str]) -> str:
    """What a box says of its operation: all of it where that is short, else the operator."""
    if heading and all(words) and len(formula := _formula(node, words)) <= LONGEST_FORMULA:
        return f"= {formula}"
    return style.symbol(node._op)


def _constant(value: float, name: str, user: Box) -> Box:
    title = f"constant {value!r} in {user.called}: no error flows to it"
    return Box(name, "constant", style.number(value), title)


def _arrow(step: Step, tail: Box, head: Box) -> Arrow:
    title = (
        f"error from {head.called} back to {tail.called}\n"
        f"slope {step.slope!r} × upstream {step.upstream!r} = contribution {step.contribution!r}"
    )
    return Arrow(tail.name, head.name, title, step.slope, step.contribution)
