"""The scalar operations that became one box: a small graph, or rows of symbols."""

from __future__ import annotations

import itertools
import statistics
from typing import TypeAlias

import numpy

from microgradlike.compiler.graph import Graph
from microgradlike.compiler.operations import ARITY, CODES, NAMES, row_of
from viz import style
from viz.compiled.paths import Box, Path
from viz.compiled.sheet import Line

# Rows of symbols, in points. The layout program takes a minus for wider than it is: no symbol gets
# less room than that.
SYMBOLS, SYMBOL, SYMBOL_LINES = 150.0, 13.5, 3


# ---- Few: the operations themselves -------------------------------------------------------------

#: A node of the graph; or a constant: its user, and which operand of it.
Key: TypeAlias = int | tuple[int, int]


class Tree:
    """The operations of one box, and what they are made of: leaves, and results of other boxes.

    Attributes:
        nodes: for each how far to the right it stands, and on how many floors others stand below.
        width, height: how many places there are side by side, and how many floors.
    """

    def __init__(self, path: Path, box: Box) -> None:
        self._path, self._places = path, itertools.count()
        self._inside = set(box.operations)
        users: dict[Key, list[int]] = {}
        for node in box.operations:
            for operand in operands_of(path.graph, node):
                users.setdefault(operand, []).append(node)
        # Every node stands just above the highest of its users: lines are short.
        self._floors: dict[Key, int] = {}
        for key in (*reversed(box.operations), *(users.keys() - self._inside)):
            above = (self._floors[user] + 1 for user in users.get(key, ()))
            self._floors[key] = max(above, default=0)
        self.nodes: dict[Key, tuple[float, int]] = {}
        for node in box.operations:
            if node not in users:
                self._place(node)
        self.width = next(self._places)
        self.height = 1 + max(self._floors.values(), default=0)

    def _place(self, key: Key) -> float:
        """A node stands in the middle of what it is made of, the first operand on the left."""
        made_of = [
            self._place(operand) for operand in self.operands(key) if operand not in self.nodes
        ]
        across = statistics.mean(made_of) if made_of else float(next(self._places))
        self.nodes[key] = across, self._floors[key]
        return across

    def operands(self, key: Key) -> list[Key]:
        """What an operation of this box is made of; nothing else has operands here."""
        if isinstance(key, tuple) or key not in self._inside:
            return []
        return operands_of(self._path.graph, key)


def operands_of(graph: Graph, node: int) -> list[Key]:
    """The operands of an operation: each constant is a node of its own, a square has just one."""
    sides = [int(graph.left[node]), int(graph.right[node])][: ARITY[graph.op[node]]]
    return [
        (node, side) if graph.op[operand] == CODES["constant"] else operand
        for side, operand in enumerate(dict.fromkeys(sides))
    ]


def symbol(name: str, square: bool) -> str:
    """How an operation is typeset; a square is a product of a number with itself."""
    if name == "mul" and square:
        return "( )²"
    row, _ = row_of(name)
    return COMPARISONS.get(name) or style.symbol(row.symbol if row else name)


def symbol_of(graph: Graph, node: int) -> str:
    """How a node of a graph is typeset."""
    return symbol(NAMES[graph.op[node]], bool(graph.left[node] == graph.right[node]))


COMPARISONS = {"lt": "<", "le": "≤", "eq": "=", "ne": "≠", "lower": "<"}


def role_and_words(path: Path, key: Key) -> tuple[str, str]:
    """The role of a node, which decides its shape, and what stands on it."""
    graph = path.graph
    if isinstance(key, tuple):
        user, side = key
        return "constant", style.number(graph.constants[(graph.left, graph.right)[side][user]])
    name, place = NAMES[graph.op[key]], graph.left[key]
    if name == "input":
        return "input", path.names.inputs[place]
    if name == "parameter":
        return "parameter", path.names.parameter(path.program.graph.tape.parameters[place])
    return ("result" if key in graph.outputs else "operation"), symbol_of(graph, key)


# ---- Many: rows of symbols ---------------------------------------------------------------------


def kinds_of(graph: Graph, box: Box) -> list[tuple[int, int]]:
    """The kinds of operations that became a box: one of them, and how many there are."""
    nodes = numpy.array(box.operations, int)
    squares = graph.left[nodes] == graph.right[nodes]
    kinds = graph.op[nodes] * 2 + (squares & (graph.op[nodes] == CODES["mul"]))
    _, first, counts = numpy.unique(kinds, return_index=True, return_counts=True)
    order = numpy.lexsort((first, -counts))
    return list(zip(nodes[first[order]].tolist(), counts[order].tolist(), strict=True))


def rows_of_symbols(path: Path, box: Box) -> list[Line]:
    """How many operations of each kind became a box, and as many symbols as there is room for."""
    if not box.operations:
        return [Line("counted with the sum"), Line("that it is a part of")]
    graph = path.graph
    rows = []
    for node, count in kinds_of(graph, box):
        name, sign = NAMES[graph.op[node]], symbol_of(graph, node)
        per_line = int(SYMBOLS // max(style.width(f"{sign} ", 10), SYMBOL))
        room = SYMBOL_LINES * per_line
        signs = [sign] * min(count, room)
        if count > room:
            signs[-1] = "…"
        if count == 1:
            rows.append(Line(name, style.INK))
            continue
        rows.append(Line(f"{name} ×{count:,}", style.INK))
        rows += [
            Line(" ".join(signs[start : start + per_line]))
            for start in range(0, len(signs), per_line)
        ]
    return rows
