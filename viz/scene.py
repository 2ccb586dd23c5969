"""What a picture shows, before any drawing: boxes, and the arrows on which the error flows back.

A scene is read from a graph and from ``flow``'s account of its backward sweep. Nothing in the graph
is changed, and no derivative is computed here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from microgradlike.engine import Value
from microgradlike.flow import Step, backward_steps, nodes
from microgradlike.inputs import describe
from microgradlike.ops import OPERATORS
from microgradlike.typeset import literal
from viz import style

#: A module names its parameters by their path: "layers.0.neurons.3.w.1", "layers.0.neurons.3.b".
#: The bias of a lone neuron is just "b", a name that others use too: it needs a "w.0" beside it.
PARAMETER = re.compile(r"(.+\.)?w\.\d+|.+\.b")

#: A longer formula is shown by its operator alone.
LONGEST_FORMULA = 12

COMMUTATIVE = {"add", "mul", "maximum", "minimum", "hypot", "logaddexp"}


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
    column: str = ""
    ordered: bool = False
    run: tuple[float, ...] = ()
    """All the gradients that it has while the sweep is watched; ``grad`` is None before them."""


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


@dataclass(frozen=True)
class Move:
    """One moment of the sweep: the error crosses some arrows, and gradients change."""

    arrows: tuple[int, ...]
    """Which arrows of the scene: one, or all those by which a folded part sends."""
    grads: Mapping[str, float]
    """The new gradients, by the names of their boxes."""
    steps: tuple[Step, ...]
    """The steps that this moment is made of."""


@dataclass
class Scene:
    """Everything on one picture; ``ran`` tells whether there is an error to show."""

    title: str
    ran: bool
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)

    @property
    def folded(self) -> bool:
        """Whether arrows stand for several ways, and so have no single slope."""
        return not any(arrow.slope is not None for arrow in self.arrows)


@dataclass(frozen=True)
class Graph:
    """A graph and its backward sweep, read once: every scene is made from this."""

    root: Value
    nodes: list[Value]
    steps: list[Step]
    names: Mapping[Value, str]
    lone_neuron: bool
    grads: Mapping[Value, float]

    @classmethod
    def of(
        cls, root: Value, names: Mapping[str, Any] | None = None, *, afresh: bool = False
    ) -> Graph:
        """Read the graph under ``root``; ``names`` names Values that have no label.

        Its gradients are those that ``backward()`` left in ``.grad``; ``afresh``, they are those of
        a sweep of its own, and ``.grad`` does not matter.

        Raises:
            TypeError: ``root`` is no Value.
        """
        if not isinstance(root, Value):
            raise TypeError(
                "a picture is drawn of a Value and all it was computed from, but got "
                f"{describe(root)}; pass the result of a computation, such as the loss"
            )
        given: dict[Value, str] = {}
        for name, value in (names or {}).items():
            if isinstance(value, Value):
                given.setdefault(value, name)
        found = nodes(root)
        lone_neuron = any(node.label == "w.0" for node in found)
        steps = list(backward_steps(root, 1.0 if afresh else root.grad))
        grads = {root: 1.0} if afresh else {node: node.grad for node in found}
        if afresh:
            grads |= {step.parent: step.after for step in steps}
        return cls(root, found, steps, given, lone_neuron, grads)

    @property
    def ran(self) -> bool:
        """Whether backward() has been run: after it, the result's own gradient is not zero."""
        return bool(self.grads[self.root])

    def name(self, node: Value) -> str:
        """The label of a node, or the name that the caller has for it, or nothing."""
        return node.label or self.names.get(node, "")

    def is_parameter(self, node: Value) -> bool:
        """Whether a leaf is a weight or bias of a module, told by the path that is its label."""
        if node.op or not node.label:
            return False
        return bool(PARAMETER.fullmatch(node.label)) or (self.lone_neuron and node.label == "b")

    def kind(self, node: Value) -> str:
        """The role of a node, which decides its shape."""
        if node is self.root:
            return "result"
        if node.op:
            return "operation"
        return "parameter" if self.is_parameter(node) else "input"

    def heading(self, size: str) -> str:
        """One sentence on the whole graph."""
        name = literal(self.name(self.root)) or "the result"
        error = "" if self.ran else "; backward() has not been run: no error to show"
        return (
            f"How the error flows back from {name}: {size}, "
            f"result {style.number(self.root.data)}{error}"
        )


def whole(graph: Graph) -> Scene:
    """The scene that shows every node and every edge."""
    boxes: dict[Value, Box] = {}
    shown: list[Box] = []
    arrows: list[Arrow] = []
    ways: dict[Value, list[Step]] = {}
    arrived: dict[Value, float] = {}
    places: dict[Step, int] = {}
    for step in graph.steps:
        ways.setdefault(step.node, []).append(step)
        arrived[step.parent] = step.after
    for node in graph.nodes:
        earlier = graph.grads[node] - arrived.get(node, graph.grads[node])
        box = boxes[node] = _box(graph, node, f"v{len(boxes)}", boxes, earlier)
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
    size = f"{len(boxes):,} nodes, {len(graph.steps):,} ways back"
    moves = [
        Move((places[step],), {boxes[step.parent].name: step.after}, (step,))
        for step in graph.steps
    ]
    return Scene(graph.heading(size), graph.ran, shown, arrows, moves=moves)


def _box(graph: Graph, node: Value, name: str, boxes: Mapping[Value, Box], earlier: float) -> Box:
    kind, heading = graph.kind(node), literal(graph.name(node))
    symbol = how = ""
    if node.op:
        known = [
            (boxes[x].heading, boxes[x].name) if isinstance(x, Value) else (style.number(x), "")
            for x in node.operands
        ]
        symbol = _symbol(node, heading, [heading for heading, _ in known])
        how = f" = {_formula(node, [heading or name for heading, name in known])}"
        how += f"\n{node.op}: {OPERATORS[node.op].rule}"
    return Box(
        name,
        kind,
        heading,
        f"{kind} {heading or name}{how}\ndata {node.data!r}\ngrad {graph.grads[node]!r}",
        symbol=symbol,
        data=node.data,
        grad=graph.grads[node],
        lines=tuple(_remarks(node, graph.grads[node], earlier)),
        ordered=len(node.operands) == 2 and node.op not in COMMUTATIVE,
    )


def _remarks(node: Value, grad: float, earlier: float) -> Iterator[str]:
    """What a reader should be told about a node: a number that broke, a gradient not reset."""
    if not math.isfinite(node.data) and all(map(math.isfinite, map(float, node.operands))):
        yield f"{style.number(node.data)} begins here"
    if abs(earlier) > 1e-9 * abs(grad - earlier) and math.isfinite(earlier):
        yield f"{style.signed(earlier)} {'came another way' if node.op else 'was there before'}"


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
    title = f"constant {value!r} in {user.heading or user.name}: no error flows to it"
    return Box(name, "constant", style.number(value), title)


def _arrow(step: Step, tail: Box, head: Box) -> Arrow:
    title = (
        f"error from {head.heading or head.name} back to {tail.heading or tail.name}\n"
        f"slope {step.slope!r} × upstream {step.upstream!r} = contribution {step.contribution!r}"
    )
    return Arrow(tail.name, head.name, title, step.slope, step.contribution)
