"""The notebook's own ``trace`` and ``draw_dot``, with lists in place of sets."""

from __future__ import annotations

from typing import Any

from graphviz import Digraph


def trace(root: Any) -> tuple[list[Any], list[tuple[Any, Any]]]:
    nodes: list[Any] = []
    edges: list[tuple[Any, Any]] = []

    def build(v: Any) -> None:
        if v not in nodes:
            nodes.append(v)
            for child in v._prev:
                if (child, v) not in edges:
                    edges.append((child, v))
                build(child)

    build(root)
    return nodes, edges


def trace_in_sets(root: Any) -> tuple[set[Any], set[tuple[Any, Any]]]:
    nodes, edges = set(), set()

    def build(v: Any) -> None:
        if v not in nodes:
            nodes.add(v)
            for child in v._prev:
                edges.add((child, v))
                build(child)

    build(root)
    return nodes, edges


def draw_dot(root: Any, format: str = "svg", rankdir: str = "LR") -> Digraph:
    nodes, edges = trace(root)
    dot = Digraph(format=format, graph_attr={"rankdir": rankdir})
    for n in nodes:
        uid = str(id(n))
        label = f"{{ data {n.data:.4f} | grad {n.grad:.4f} }}"
        dot.node(name=uid, label=label, shape="record")
        if n._op:
            dot.node(name=uid + n._op, label=n._op)
            dot.edge(uid + n._op, uid)
    for n1, n2 in edges:
        dot.edge(str(id(n1)), str(id(n2)) + n2._op)
    return dot


def backward_by_hand(root: Any) -> None:
    """The backward pass of the lecture: sort the nodes, then call the function of each."""
    order: list[Any] = []
    visited = set()

    def build(v: Any) -> None:
        if v not in visited:
            visited.add(v)
            for child in v._prev:
                build(child)
            order.append(v)

    build(root)
    root.grad = 1.0
    for v in reversed(order):
        v._backward()
