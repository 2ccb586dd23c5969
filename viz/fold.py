"""A big graph folded: each neuron one box, each layer one frame, the rest grouped by depth.

No layout of thousands of nodes can be read, and past some thousand none is done in time. What the
boxes leave out they say in words, and an arrow between two of them carries the exact sum of the
contributions of all the arrows that it stands for.
"""

from __future__ import annotations

import contextlib
import heapq
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from microgradlike.engine import Value
from microgradlike.words import counted, literal
from viz import style
from viz.graph import Graph
from viz.scene import Arrow, Box, Move, Scene

#: A neuron is known by the label of its output; its layer is the path before it.
NEURON = re.compile(r"(?:(.+)\.)?neurons\.\d+")

#: A folded picture of more boxes or arrows than this is folded further.
MOST_BOXES, MOST_ARROWS = 500, 1500

#: More leaves of one kind than this share a box; a graph without neurons is cut into so many parts.
MOST_LEAVES, RANGES = 16, 8


class Part(NamedTuple):
    """What becomes one box: the same part for all the nodes in it."""

    name: str
    column: str = ""


#: Operations that no input reaches: they depend on parameters alone.
PENALTY = Part("work on parameters alone")


def folded(graph: Graph) -> Scene:
    """The scene that shows a graph in parts: by neurons, or by layers if those are too many."""
    for parts in _by_neurons_then_layers(graph):
        if len(set(parts.values())) <= MOST_BOXES:
            with contextlib.suppress(OverflowError):
                return _scene(graph, parts, MOST_ARROWS)
    return _scene(graph, _ranges(graph), math.inf)


# ---- Which node belongs to which part ----------------------------------------------------------


def _by_neurons_then_layers(graph: Graph) -> Iterator[Mapping[Value, Part]]:
    """The part of each node, where neurons are parts, and then where whole layers are."""
    outputs = {node for node in graph.nodes if _is_output(node)}
    names = _names(outputs)
    if 0 < len(names) <= MOST_BOXES:
        yield _by_neuron(graph, outputs, lambda name: Part(name, _layer(name)))
    if names:
        yield _by_neuron(graph, outputs, lambda name: Part(_layer(name)))


def _is_output(node: Value) -> bool:
    return node.label is not None and bool(node.op) and NEURON.fullmatch(node.label) is not None


def _names(outputs: Collection[Value]) -> set[str]:
    return {node.label for node in outputs if node.label}


def _layer(name: str) -> str:
    """The layer that a neuron stands in; a layer itself stands in none."""
    path = NEURON.fullmatch(name)
    return (path[1] or "layer") if path else ""


def _by_neuron(
    graph: Graph, outputs: Collection[Value], home: Callable[[str], Part]
) -> dict[Value, Part]:
    """The neurons' nodes are at home in parts; other operations are grouped to make no cycle.

    They are told apart by how many neurons lie below them; those that depend on parameters alone,
    such as a penalty on the weights, are a part of their own.
    """
    inside = _insides(graph, outputs, home)
    parts = {**inside, **_leaves(graph, inside)}
    deepest = dict.fromkeys(inside.values(), 0)  # how many neurons lie below a part
    depth: dict[Value, int] = {}  # and below an operation outside of them; below leaves is none
    parameters_only: set[Value] = set()
    for node in graph.nodes:
        rule = node._rule
        if rule is None:
            continue
        part, below, penalty = inside.get(node), 0, True
        for parent in rule.parents(node):
            theirs = inside.get(parent)
            if theirs is None:
                under = depth.get(parent, 0)
                penalty = penalty and (parent in parameters_only or graph.is_parameter(parent))
            elif theirs is part:
                continue
            else:
                under = deepest[theirs] + 1 if parent._rule is not None else 0
                penalty = penalty and not under
            if under > below:
                below = under
        if part is not None:
            if below > deepest[part]:
                deepest[part] = below
            continue
        depth[node] = below
        if penalty:
            parameters_only.add(node)
        parts[node] = PENALTY if penalty else Part(f"work after {counted(below, 'layer')}")
    return parts | _results(graph)


def _results(graph: Graph) -> dict[Value, Part]:
    """A part for each result that no other result was computed from: such parts close no cycle."""
    used = {parent for node in graph.nodes for parent in node.parents}
    ends = [node for node in graph.results if node not in used]
    return {node: Part(f"result {place}" if place else "result") for place, node in enumerate(ends)}


def _insides(
    graph: Graph, outputs: Collection[Value], home: Callable[[str], Part]
) -> dict[Value, Part]:
    """The home of each node that only one neuron uses, found from the outputs backward."""
    users: dict[Value, str] = {}  # the only neuron that uses a node, or "" where it is not alone
    shared: dict[Part, Part] = {}  # told apart by ``is``
    homes = {name: shared.setdefault(home(name), home(name)) for name in _names(outputs)}
    inside: dict[Value, Part] = {}
    for node in reversed(graph.nodes):
        user = users.pop(node, "")
        rule = node._rule
        if rule is None:
            user = _owner(graph, node, user, homes)
        else:
            if node in outputs:
                user = node.label or ""
            for parent in rule.parents(node):
                if users.setdefault(parent, user) != user:
                    users[parent] = ""
        if user:
            inside[node] = homes[user]
    return inside


def _owner(graph: Graph, leaf: Value, user: str, homes: Collection[str]) -> str:
    """The neuron that a leaf belongs to, as its label says; "" for an input."""
    label = leaf.label or ""
    if user and label.startswith(user):
        return user
    if not graph.is_parameter(leaf):
        return ""
    owner = label.removesuffix(".b").partition(".w.")[0]
    return owner if owner in homes else user  # a penalty may use it too


def _ranges(graph: Graph) -> dict[Value, Part]:
    """Without neurons, operations are grouped by how far they are from the leaves."""
    parts = _leaves(graph, {})
    level: dict[Value, int] = {}
    for node in graph.nodes:
        level[node] = max((level[parent] + 1 for parent in node.parents), default=0)
    deepest = max(level.values())
    for node in graph.nodes:
        if node.op:
            place = (level[node] - 1) * RANGES // deepest
            parts[node] = Part(f"stage {place + 1}")
    return parts | _results(graph)


def _leaves(graph: Graph, inside: Mapping[Value, Part]) -> dict[Value, Part]:
    """Leaves outside of neurons: each its own part, or one part if they are many."""
    leaves = [
        node
        for node in graph.nodes
        if node._rule is None and node not in inside and node not in graph.results
    ]
    named = [leaf for leaf in leaves if graph.name(leaf)]
    shown = leaves if len(leaves) <= MOST_LEAVES else named if len(named) <= MOST_LEAVES else []
    kinds = {kind: Part(f"{kind}s") for kind in ("input", "parameter")}
    parts = {leaf: kinds[graph.kind(leaf)] for leaf in leaves}
    parts.update((leaf, Part(f"leaf {place}")) for place, leaf in enumerate(shown))
    return parts


# ---- Parts as boxes, and the arrows between them -----------------------------------------------


def _scene(graph: Graph, parts: Mapping[Value, Part], most: float) -> Scene:
    members: dict[Part, list[Value]] = {}
    first: dict[Part, int] = {}
    for place, node in enumerate(graph.nodes):
        part = parts[node]
        if part not in members:
            members[part], first[part] = [], place
        members[part].append(node)
    boxes = {
        # A part of one node is that node, whatever shows it: so it has the node's name.
        part: _box(graph, f"{'v' if len(nodes) == 1 else 'p'}{first[part]}", part, nodes)
        for part, nodes in members.items()
    }
    shown = {_shown(part, nodes): boxes[part].name for part, nodes in members.items()}
    layers = dict.fromkeys(part.column for part in boxes if part.column)
    headings = {
        layer: Box(f"l{place}", "layer", literal(layer), literal(layer), column=layer)
        for place, layer in enumerate(layers)
    }
    traffic = _Traffic(graph, parts, shown, most)
    ends = [
        (boxes[tail] if tail in boxes else headings[tail.column], boxes[head])
        for tail, head in traffic.ways
    ]
    return Scene(
        graph.heading(f"{len(graph.nodes):,} nodes"),
        graph.ran,
        [*headings.values(), *boxes.values()],
        [_arrow(*pair, way) for pair, way in zip(ends, traffic.ways.values(), strict=True)],
        [
            f"folded: {len(graph.nodes):,} nodes as {len(boxes):,}; "
            "draw(root, fold=False) shows all",
            *graph.notes,
        ],
        traffic.moves(boxes),
        {boxes[part].name: nodes for part, nodes in members.items()},
        {box: node for node, box in shown.items() if node is not None},
        [shown[node] for node in graph.results if node in shown],
    )


@dataclass
class _Way:
    """All the steps from one part to another: their number, their sum, the place of the last."""

    count: int = 0
    total: float = 0.0
    last: int = 0


class _Traffic:
    """What the parts send each other, added up while the sweep passes by once.

    Raises:
        OverflowError: there are more ways than ``most``.
    """

    def __init__(
        self,
        graph: Graph,
        parts: Mapping[Value, Part],
        shown: Mapping[Value | None, str],
        most: float,
    ) -> None:
        self._shown = shown
        self._seeds = dict.fromkeys(graph.results, 1.0)
        self._last: dict[Part, int] = {}
        self._final: dict[Value, float] = {}
        self._sums: dict[Part, dict[Value, float]] = {}
        ways: dict[tuple[Part, Part], _Way] = {}
        sending, sender = None, PENALTY
        for place, step in enumerate(graph.sweep()):
            node, parent = step.node, step.parent
            if node is not sending:  # a node sends all it has to send at once
                sending, sender = node, parts[node]
                self._last[sender] = place
            tail = parts[parent]
            if parent in shown:
                self._final[parent] = step.after
                sums = self._sums.setdefault(sender, {})
                sums[parent] = sums.get(parent, 0.0) + step.contribution
            if tail is not sender and tail != sender:
                if sender is PENALTY:  # one arrow for each layer, not for each of its neurons
                    tail = Part("", tail.column) if tail.column else tail
                way = ways.get((tail, sender))
                if way is None:
                    way = ways[tail, sender] = _Way()
                    if len(ways) > most:
                        raise OverflowError(f"more than {most} ways")
                way.count += 1
                way.total += step.contribution
                way.last = place
        self.ways = dict(sorted(ways.items(), key=lambda way: -way[1].last))
        self._sent: dict[Part, list[int]] = {}  # the places of the ways on which a part sends
        for place, (_, sender) in enumerate(self.ways):
            self._sent.setdefault(sender, []).append(place)

    def moves(self, boxes: Mapping[Part, Box]) -> list[Move]:
        """One move for each part, after all those that send to it.

        A part may send to none but its own nodes, such as the weights of a neuron.
        """
        every = list(self.ways.values())
        waiting = Counter(node for sums in self._sums.values() for node in sums)
        so_far = {node: self._seeds.get(node, 0.0) for node in self._final}
        moves = []
        for sender in self._order():
            grads = {}
            for node, total in self._sums.get(sender, {}).items():
                so_far[node] += total
                waiting[node] -= 1
                # Parts may send in another order than their nodes: the sum ends with the same.
                grads[self._shown[node]] = so_far[node] if waiting[node] else self._final[node]
            places = tuple(self._sent.get(sender, ()))
            count = sum(every[place].count for place in places)
            moves.append(Move(boxes[sender].name, places, grads, count))
        return moves

    def _order(self) -> Iterator[Part]:
        """The parts that send, each when all that it receives has come; then the earlier one."""
        tails = [tail for tail, _ in self.ways]
        waiting = Counter(tails)
        heap = [(last, part) for part, last in self._last.items() if not waiting[part]]
        heapq.heapify(heap)
        while heap:
            _, sender = heapq.heappop(heap)
            yield sender
            for tail in map(tails.__getitem__, self._sent.get(sender, ())):
                waiting[tail] -= 1
                if not waiting[tail] and tail in self._last:
                    heapq.heappush(heap, (self._last[tail], tail))


def _arrow(tail: Box, head: Box, way: _Way) -> Arrow:
    title = (
        f"gradient sent from {head.called} back to {tail.called}\n"
        f"contribution {way.total!r}, the sum over {counted(way.count, 'way')} back"
    )
    return Arrow(tail.name, head.name, title, contribution=way.total)


def _box(graph: Graph, name: str, part: Part, nodes: list[Value]) -> Box:
    """A part of one node is shown as that node, a neuron by its output, the others by counts."""
    heading, lines = _describe(graph, part, nodes)
    symbol = style.symbol(nodes[0]._op) if len(nodes) == 1 else ""
    shown = _shown(part, nodes)
    return Box(
        name,
        graph.kind(nodes[0]) if len(nodes) == 1 else "folded part",
        heading,
        "\n".join(
            (literal(part.name if len(nodes) > 1 else heading) or symbol, *lines)
            + ((f"data {shown.data!r}", f"grad {graph.grad(shown)!r}") if shown is not None else ())
        ),
        symbol=symbol,
        data=shown.data if shown is not None else None,
        grad=graph.grad(shown) if shown is not None else None,
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
        return graph.heading_of(nodes[0]), ()
    rules = Counter(node._rule for node in nodes)
    weights = rules.pop(None, 0)  # where there are operations, the leaves are their parameters
    operations: Counter[str] = Counter()
    for rule, times_used in rules.items():
        operations[style.symbol(rule.operator.symbol if rule else "")] += times_used
    if not operations:
        return counted(len(nodes), part.name.removesuffix("s")), ()
    if part.column:
        outputs = [node for node in nodes if node.label == part.name]
        # A neuron without an activation ends in the addition of its bias.
        how = ["linear" if node.op == "add" else node.op for node in outputs[:1]]
        times = [f"used {len(outputs):,} times"] if len(outputs) > 1 else []
        number = part.name.rpartition(".")[2]
        inside = [*how, counted(weights, "parameter"), *times]
        return f"neuron {number}", (", ".join(inside),)
    counts = counted(operations.total(), "operation")
    if weights:
        neurons = len({node.label for node in nodes if node.label and _is_output(node)})
        return literal(part.name), (
            counted(neurons, "neuron"),
            counted(weights, "parameter"),
            counts,
        )
    return part.name, (counts, _most(operations.most_common()))


def _most(operations: Iterable[tuple[str, int]]) -> str:
    """The three most frequent operators, in words."""
    first, *others = [f"{count:,} {operator}" for operator, count in operations]
    return ", ".join([first, *others[:2]]) + (" …" if len(others) > 2 else "")
