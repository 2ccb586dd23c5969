"""Copies and pickles of graphs, of any depth and in linear time, without recursion.

``copy.deepcopy`` and ``pickle`` go from a node to its operands by recursion, so a graph of some
hundred operations would be too deep for them. Here the graph is walked first; then each node comes
after its operands, and finds these in the memo.
"""

from __future__ import annotations

import copy
import operator
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

if TYPE_CHECKING:
    from microgradlike.engine import Value

#: What ``copy.deepcopy`` has copied so far, by the ids of the originals.
Memo: TypeAlias = dict[Any, Any]

#: How to make an object again, as a pickler is told it.
Reduced: TypeAlias = tuple[Any, ...]


def unseen(root: Value, seen: set[Value]) -> list[Value]:
    """The operations that ``root`` was computed from, each after its operands; ``root`` is last.

    Those in ``seen`` are left out, and all below them; the others are added to it. Unlike
    ``topological_order`` this lets a cycle be: a copy of it is one, too.
    """
    order: list[Value] = []
    opened: set[Value] = set()
    path = [root]
    while path:
        node = path[-1]
        if node in seen or node in opened:
            path.pop()
            if node not in seen:
                seen.add(node)
                order.append(node)
        else:
            opened.add(node)
            path += [v for v in _operations(node) if v not in seen and v not in opened]
    return order


def _operations(node: Value) -> list[Value]:
    """The operands that were computed themselves."""
    operands: Iterable[Any] = (node._x, node._y)
    return [v for v in operands if getattr(v, "_rule", None) is not None]


# ---- copy --------------------------------------------------------------------------------------


def shallow(node: Value) -> Value:
    """Another node with the same operands."""
    return _filled(_empty(node), node, lambda v: v)


def deep(root: Value, memo: Memo) -> Value:
    """Another graph; ``memo`` is that of ``copy.deepcopy``."""
    for node in (*unseen(root, memo.setdefault(__name__, set())), root):
        if id(node) not in memo:
            memo[id(node)] = _empty(node)
            _filled(memo[id(node)], node, lambda v: copy.deepcopy(v, memo))
    twin: Value = memo[id(root)]
    return twin


def _empty(node: Value) -> Value:
    twin: Value = object.__new__(type(node))
    return twin


def _filled(twin: Value, node: Value, copied: Callable[[object], object]) -> Value:
    """The twin, with what the node has: that in its slots, and what a subclass may add."""
    state = _made_again(node, 2)[2]
    for part in state if isinstance(state, tuple) else (state,):
        for name, content in (part or {}).items():
            setattr(twin, name, copied(content))
    return twin


def _made_again(node: Value, protocol: int) -> Reduced:
    """What makes a node again. Of a leaf, which numbers it had before is left out."""
    answer = object.__reduce_ex__(node, protocol)
    assert isinstance(answer, tuple)  # a name alone is of what is global
    if node._rule is None:
        _, slots = answer[2]
        slots["_x"] = 0.0
        slots.pop("_home", None)
    return answer


# ---- pickle ------------------------------------------------------------------------------------
# A pickler asks each object once how to make it again. The node that is asked first answers: from
# this list of the nodes below me, of which I am the last. The pickler then goes through the list
# and asks each of them, which answers as any object does: its operands were pickled before it.


class _Pickler:
    """What one pickler has been given so far. It lives as long as the pickler keeps its lists."""

    def __init__(self) -> None:
        self.given: set[Value] = set()
        self.waiting: set[Value] = set()


class _List:
    """Nodes that are pickled as a list, one after the other."""

    def __init__(self, nodes: list[Value], pickler: _Pickler) -> None:
        self.nodes, self.pickler = nodes, pickler

    def __reduce__(self) -> tuple[type[list[Value]], tuple[()], None, Iterator[Value]]:
        return list, (), None, iter(self.nodes)


class _Local(threading.local):
    pickler: Callable[[], _Pickler | None] = staticmethod(lambda: None)


_local = _Local()


def reduced(node: Value, protocol: SupportsIndex) -> Reduced:
    """The answer to the pickler that asks how to make a node again."""
    pickler = _local.pickler()
    if node._rule is None or (pickler and node in pickler.waiting):
        if pickler:
            pickler.waiting.discard(node)
        return _made_again(node, max(2, operator.index(protocol)))
    if pickler is None or node in pickler.given:  # a pickler asks once: this is another one
        pickler = _Pickler()
        _local.pickler = weakref.ref(pickler)
    nodes = unseen(node, pickler.given)
    pickler.waiting.update(nodes)
    return last, (_List(nodes, pickler),)


def last(nodes: list[Value]) -> Value:
    """The last node of a pickled graph."""
    return nodes[-1]
