"""What a program compared before it took its branch, for a page whose numbers change.

A graph knows the branch that was taken. With other numbers the program may take another one: then a
page says so, for it can only show the branch that was recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from microgradlike import javascript
from microgradlike.engine import Decision, Value
from microgradlike.inputs import describe
from microgradlike.sweep import nodes
from viz import style
from viz.formula import expression, in_line

_SIGNS = {"lt": "<", "le": "≤", "gt": ">", "ge": "≥", "eq": "=", "ne": "≠"}


def checked(decisions: object) -> Sequence[Decision]:
    """The decisions that were given.

    Raises:
        TypeError: they are not what ``recorded_decisions`` gives.

    >>> checked(None)
    ()
    >>> checked([True])
    Traceback (most recent call last):
        ...
    TypeError: decisions is the list that recorded_decisions() gives, but got a list with True...
    """
    if decisions is None:
        return ()
    if not isinstance(decisions, Sequence) or isinstance(decisions, str):
        raise TypeError(
            f"decisions is the list that recorded_decisions() gives, but got {describe(decisions)}"
        )
    for one in decisions:
        if not isinstance(one, Decision):
            raise TypeError(
                "decisions is the list that recorded_decisions() gives, but got a list with "
                f"{describe(one)} in it"
            )
    return decisions


def for_script(
    decisions: Iterable[Decision], graph: Sequence[Value], names: Mapping[Value, str]
) -> dict[str, Any]:
    """The decisions that hang on numbers of the graph, as ``pages/live.js`` asks for them again.

    Args:
        decisions: in their order.
        graph: the nodes of the page.
        names: what they are called.

    Returns:
        A graph of what was compared, which of its leaves are leaves of the page, and of each
        decision its two sides, whether it held, and what to say if it no longer does.

    >>> from microgradlike.engine import recorded_decisions
    >>> a = Value(2.0)
    >>> with recorded_decisions() as found:
    ...     out = a * 3 if a > 1 else -a
    >>> for_script(found, nodes(out), {a: "a", out: "v"})["asked"][0]["comparison"]
    'gt'
    """
    places = {node: place for place, node in enumerate(graph)}
    sides = [side for one in decisions for side in (one.left, one.right) if isinstance(side, Value)]
    compared = list(dict.fromkeys(node for side in sides for node in nodes(side)))
    rows = {node: row for row, node in enumerate(compared)}
    shared = [[rows[leaf], places[leaf]] for leaf in compared if not leaf.op and leaf in places]
    asked = []
    for one in decisions:
        left, right = (
            rows[side] if isinstance(side, Value) else [javascript.in_json(side)]
            for side in (one.left, one.right)
        )
        comparison = one.comparison.__name__
        what = f"{_called(one.left, names)} {_SIGNS[comparison]} {_called(one.right, names)}"
        turned = f"{what} held" if one.held else f"{what} did not hold"
        now = "no longer does" if one.held else "does now"
        told = (
            f"{turned} when this page was recorded, and {now}: the program would take another "
            f"branch. What is shown is the old one. ({_short(one.line)})"
        )
        asked.append(
            {"left": left, "right": right, "comparison": comparison, "held": one.held, "told": told}
        )
    return {"graph": javascript.graph(compared), "shared": shared, "asked": asked}


def _short(line: str) -> str:
    """Where a line is, without the folders of the file: a reader of the page has others."""
    return re.sub(r"^.*[/\\\\](?=[^/\\\\]*, line \d)", "", line)


def _called(side: Value | float, names: Mapping[Value, str]) -> str:
    """A number, the name of a node, or the expression of one that the page does not show."""
    if not isinstance(side, Value):
        return style.number(side)
    if side in names:
        return names[side]
    leaves = {
        node: names.get(node) or node.label or style.number(node.data) for node in nodes(side)
    }
    tree = expression(nodes(side), leaves)
    return style.number(side.data) if tree is None else in_line(tree)
