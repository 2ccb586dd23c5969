"""A big graph folded: each neuron one box, each layer one frame, the rest grouped by depth.

No layout of thousands of nodes can be read, and past some thousand none is done in time. What the
boxes leave out they say in words, and an arrow between two of them carries the exact sum of the
contributions of all the arrows that it stands for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from microgradlike.engine import Value
from microgradlike.flow import Step
from microgradlike.typeset import literal
from viz import style
from viz.scene import Arrow, Box, Graph, Move, Scene

#: A neuron is known by the label of its output; its layer is the path before it.
NEURON = re.compile(r"(?:(.+)\.)?neurons\.\d+")

#: A folded picture of more boxes or arrows than this is folded further.
MOST_BOXES, MOST_ARROWS = 500, 1500

#: More leaves of one kind than this share a box; a graph without neurons is cut into so many parts.
MOST_LEAVES, RANGES = 16, 8


@dataclass(frozen=True)
class Part:
    """What becomes one box: the same part for all the nodes in it."""

    name: str
    column: str = ""


#: Operations that no input reaches: they depend on parameters alone.
PENALTY = Part("of parameters only")


def folded(graph: Graph) -> Scene:
    """The scene that shows a graph in parts: by neurons, or by layers if those are too many."""
    neurons = _neurons(graph)
    layers = {node: _layer(neuron) for node, neuron in neurons.items()}
    for owners in (neurons, layers) if neurons else ():
        scene = _scene(graph, _by_neuron(graph, owners))
        if len(scene.boxes) <= MOST_BOXES and len(scene.arrows) <= MOST_ARROWS:
            return scene
    return _scene(graph, _ranges(graph))


# ---- Which node belongs to which part ----------------------------------------------------------


def _is_output(node: Value) -> bool:
    return bool(node.op) and NEURON.fullmatch(node.label or "") is not None


def _layer(name: str) -> str:
    """The layer that a neuron stands in; a layer itself stands in none."""
    path = NEURON.fullmatch(name)
    return (path[1] or "layer") if path else ""


def _neurons(graph: Graph) -> dict[Value, str]:
    """The neuron of each node that only one neuron uses, found from the outputs backward."""
    users: dict[Value, set[str]] = {}
    neurons: dict[Value, str] = {}
    for node in reversed(graph.nodes):
        asking = {node.label or ""} if _is_output(node) else users.pop(node, set())
        if node.op:
            for parent in node.parents:
                users.setdefault(parent, set()).update(asking or {""})
        if len(asking) == 1 and asking != {""} and (node.op or graph.is_parameter(node)):
            neurons[node] = asking.pop()
    outputs = set(neurons.values())
    for node in graph.nodes:  # a weight that a penalty uses too still lives in its neuron
        owner = (node.label or "").removesuffix(".b").partition(".w.")[0]
        if graph.is_parameter(node) and owner in outputs:
            neurons[node] = owner
    return neurons


def _by_neuron(graph: Graph, neurons: Mapping[Value, str]) -> dict[Value, Part]:
    """Neurons (or layers) are parts; other operations are grouped so that no cycle comes about.

    They are told apart by how many neurons lie below them; those that depend on parameters alone,
    such as a penalty on the weights, are a part of their own.
    """
    parts = _leaves(graph, neurons)
    depth: dict[Value, int] = {}
    parameters_only: set[Value] = set()
    for node in graph.nodes:
        parents = node.parents
        depth[node] = max((depth[p] + _is_output(p) for p in parents), default=0)
        if graph.is_parameter(node) or (
            parents and node not in neurons and parameters_only.issuperset(parents)
        ):
            parameters_only.add(node)
        if node in neurons:
            parts[node] = Part(neurons[node], _layer(neurons[node]))
        elif node.op and node in parameters_only:
            parts[node] = PENALTY
        elif node.op:
            parts[node] = Part(f"after {depth[node]} layers")
    parts[graph.root] = Part("result")
    return parts


def _ranges(graph: Graph) -> dict[Value, Part]:
    """Without neurons, operations are grouped by how far they are from the leaves."""
    parts = _leaves(graph, {})
    level: dict[Value, int] = {}
    for node in graph.nodes:
        level[node] = max((level[parent] + 1 for parent in node.parents), default=0)
    for node in graph.nodes:
        if node.op:
            place = (level[node] - 1) * RANGES // level[graph.root]
            parts[node] = Part(f"stage {place + 1}")
    parts[graph.root] = Part("result")
    return parts


def _leaves(graph: Graph, neurons: Mapping[Value, str]) -> dict[Value, Part]:
    """Leaves outside of neurons: each its own part, or one part if they are many."""
    leaves = [
        node
        for node in graph.nodes
        if not node.op and node not in neurons and node is not graph.root
    ]
    named = [leaf for leaf in leaves if graph.name(leaf)]
    shown = leaves if len(leaves) <= MOST_LEAVES else named if len(named) <= MOST_LEAVES else []
    parts = {leaf: Part(f"{graph.kind(leaf)}s") for leaf in leaves}
    parts.update((leaf, Part(f"leaf {place}")) for place, leaf in enumerate(shown))
    return parts


# ---- Parts as boxes, and the arrows between them -----------------------------------------------


def _scene(graph: Graph, parts: Mapping[Value, Part]) -> Scene:
    members: dict[Part, list[Value]] = {}
    for node in graph.nodes:
        members.setdefault(parts[node], []).append(node)
    boxes = {
        part: _box(graph, f"p{place}", part, nodes)
        for place, (part, nodes) in enumerate(members.items())
    }
    shown = {_shown(part, nodes): boxes[part].name for part, nodes in members.items()}
    layers = dict.fromkeys(part.column for part in boxes if part.column)
    headings = {
        layer: Box(f"l{place}", "layer", literal(layer), literal(layer), column=layer)
        for place, layer in enumerate(layers)
    }
    ways = _ways(graph, parts, boxes, headings)
    return Scene(
        graph.heading(f"{len(graph.nodes):,} nodes"),
        graph.ran,
        [*headings.values(), *boxes.values()],
        [_arrow(*ends, steps) for ends, steps in ways.items()],
        [f"folded: {len(graph.nodes):,} nodes as {len(boxes):,}; draw(root, fold=False) shows all"],
        _moves(graph, parts, boxes, ways, shown),
        {boxes[part].name: nodes for part, nodes in members.items()},
        {box: node for node, box in shown.items() if node is not None},
    )


Ways = dict[tuple[Box, Box], list[Step]]


def _ways(
    graph: Graph,
    parts: Mapping[Value, Part],
    boxes: Mapping[Part, Box],
    headings: Mapping[str, Box],
) -> Ways:
    """The steps from each part to each other, as one; a penalty on all weights: to each layer."""
    ways: Ways = {}
    for step in reversed(graph.steps):
        operand, user = parts[step.parent], parts[step.node]
        if operand != user:
            to_layer = user == PENALTY and operand.column
            tail = headings[operand.column] if to_layer else boxes[operand]
            ways.setdefault((tail, boxes[user]), []).append(step)
    return ways


def _arrow(tail: Box, head: Box, steps: list[Step]) -> Arrow:
    total = 0.0
    for step in steps:
        total += step.contribution
    title = (
        f"error from {head.heading or head.name} back to {tail.heading or tail.name}\n"
        f"contribution {total!r}, the sum over {_count(len(steps), 'way')} back"
    )
    return Arrow(tail.name, head.name, title, contribution=total)


def _moves(
    graph: Graph,
    parts: Mapping[Value, Part],
    boxes: Mapping[Part, Box],
    ways: Ways,
    shown: Mapping[Value | None, str],
) -> list[Move]:
    """One move for each part, in the order in which they are done with what they send.

    A part may send to none but its own nodes, such as the weights of a neuron.
    """
    last = {parts[step.node]: place for place, step in enumerate(graph.steps)}
    sent: dict[Box, list[int]] = {}
    for place, (_, head) in enumerate(ways):
        sent.setdefault(head, []).append(place)
    every = list(ways.values())
    waiting = Counter(step.parent for step in graph.steps if step.parent in shown)
    final = {step.parent: step.after for step in graph.steps if step.parent in shown}
    so_far = dict.fromkeys(final, 0.0)
    moves = []
    for part in sorted(last, key=last.__getitem__):
        arrows = sent.get(boxes[part], [])
        steps = tuple(step for place in arrows for step in reversed(every[place]))
        grads = {}
        for step in steps:
            if (node := step.parent) in shown:
                so_far[node] += step.contribution
                waiting[node] -= 1
                # Parts may send in another order than their nodes: the sum ends with the same.
                grads[shown[node]] = so_far[node] if waiting[node] else final[node]
        moves.append(Move(boxes[part].name, tuple(arrows), grads, steps))
    return moves


def _box(graph: Graph, name: str, part: Part, nodes: list[Value]) -> Box:
    """A part of one node is shown as that node, a neuron by its output, the others by counts."""
    heading, lines = _describe(graph, part, nodes)
    shown = _shown(part, nodes)
    return Box(
        name,
        graph.kind(nodes[0]) if len(nodes) == 1 else "folded part",
        heading,
        "\n".join(
            (literal(part.name) if len(nodes) > 1 else heading, *lines)
            + (
                (f"data {shown.data!r}", f"grad {graph.grads[shown]!r}")
                if shown is not None
                else ()
            )
        ),
        symbol=style.symbol(nodes[0]._op) if len(nodes) == 1 else "",
        data=shown.data if shown is not None else None,
        grad=graph.grads[shown] if shown is not None else None,
        lines=lines,
        column=part.column,
    )


def _shown(part: Part, nodes: list[Value]) -> Value | None:
    """The node whose numbers stand for the part, if there is only one that could."""
    outputs = [node for node in nodes if node.label == part.name] if part.column else nodes
    return outputs[0] if len(outputs) == 1 else None


def _describe(graph: Graph, part: Part, nodes: list[Value]) -> tuple[str, tuple[str, ...]]:
    """The heading of a part, and its lines of words."""
    if len(nodes) == 1:
        return literal(graph.name(nodes[0])), ()
    operations = Counter(style.symbol(node._op) for node in nodes if node.op)
    if not operations:
        return _count(len(nodes), part.name.removesuffix("s")), ()
    weights = sum(graph.is_parameter(node) for node in nodes)
    if part.column:
        outputs = [node for node in nodes if node.label == part.name]
        how = [outputs[0].op] if outputs else []
        times = [f"used {len(outputs):,} times"] if len(outputs) > 1 else []
        number = part.name.rpartition(".")[2]
        inside = [*how, _count(weights, "parameter"), *times]
        return f"neuron {number}", (", ".join(inside),)
    counts = _count(operations.total(), "operation")
    if weights:
        neurons = len({node.label for node in nodes if _is_output(node)})
        return literal(part.name), (
            _count(neurons, "neuron"),
            _count(weights, "parameter"),
            counts,
        )
    return counts, (part.name, _most(operations.most_common()))


def _most(operations: Iterable[tuple[str, int]]) -> str:
    """The three most frequent operators, in words."""
    first, *others = [f"{count:,} {operator}" for operator, count in operations]
    return ", ".join([first, *others[:2]]) + (" …" if len(others) > 2 else "")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("s" if number != 1 else "")
