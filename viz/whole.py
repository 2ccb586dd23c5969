"""A graph as a scene that shows all of it: a box for every node, an arrow for every edge."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import replace

from microgradlike import flow
from microgradlike.engine import Value
from microgradlike.flow import Step
from microgradlike.ops import OPERATORS
from microgradlike.typeset import Symbol
from microgradlike.words import counted, literal
from viz import style
from viz.formula import in_line
from viz.graph import Graph
from viz.scene import BRING, Arrow, Box, Move, Remark, Scene

#: A longer formula is shown by its operator alone.
LONGEST_FORMULA = 12

COMMUTATIVE = {row.name for row in OPERATORS.values() if row.commutes}


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
        if elsewhere and node not in hinted:
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
    size = f"{counted(len(graph.nodes), 'node')}, {counted(len(graph.steps), 'way')} back"
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
        results=[boxes[node].name for node in graph.results if node in boxes],
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
        yield Remark("origin: the gradient breaks here", "sent")
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
    trees = zip(node.operands, map(Symbol, words, map(float, node.operands)), strict=True)
    named = {x: tree for x, tree in trees if isinstance(x, Value)}
    return in_line(flow.value_formula(node, named))


def _symbol(node: Value, heading: str, words: list[str]) -> str:
    """What a box says of its operation: all of it where that is short, else the operator."""
    if heading and all(words) and len(formula := _formula(node, words)) <= LONGEST_FORMULA:
        return f"= {formula}"
    return style.symbol(node._op)


def _constant(value: float, name: str, user: Box) -> Box:
    title = f"constant {value!r} in {user.called}: nothing is sent back to it"
    return Box(name, "constant", style.number(value), title)


def _arrow(step: Step, tail: Box, head: Box) -> Arrow:
    title = (
        f"gradient sent from {head.called} back to {tail.called}\n"
        f"slope {step.slope!r} × gradient {step.upstream!r} = {step.contribution!r}"
    )
    return Arrow(tail.name, head.name, title, step.slope, step.contribution)
