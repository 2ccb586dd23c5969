"""Slopes as nudges: one number is moved a little, and what follows from that is run once more.

The ratio of the two changes is the slope. It is measured, and only told where it shows the slope.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from microgradlike import flow, ops
from microgradlike.engine import Value
from microgradlike.flow import Step
from microgradlike.rules import CustomRule
from microgradlike.words import in_short
from viz.graph import Graph

#: How far a number is moved: as far as leaves the ratio near the slope.
NUDGES = (0.01, 0.001, 1e-4, 1e-5, 1e-6)

#: How near that is, as a share of the slope.
NEAR = 0.02

#: What is said of a nudge; a page that recomputes has the same words.
OF_OPERAND = (
    "A nudge shows the slope: move {moved} by {by}, and nothing else: {result} goes from {before} "
    "to {after}. {quotient}."
)
OF_LEAF = (
    "A nudge: move {moved} by {by}, and {result} goes from {before} to {after}. {quotient}; the "
    "smaller the nudge, the nearer to the gradient."
)


class Nudge(NamedTuple):
    """What a nudge did, in words: by how much, the result before and after it, and the ratio."""

    by: str
    before: str
    after: str
    quotient: str
    """The change of the result divided by the nudge; no line breaks within it."""


def nudge_of_operand(step: Step, names: Mapping[Value, str]) -> str:
    """What one operation does if one of its operands is moved a little, and nothing else.

    Nothing where it cannot be computed again, where no nudge shows the slope, or where the operand
    is on both sides.
    """
    node, parent, rule = step.node, step.parent, step.node._rule
    if rule is None or isinstance(rule, CustomRule) or node.parents.count(parent) > 1:
        return ""

    def again(by: float) -> float:
        x, y = (*(float(v) + by * (v is parent) for v in node.operands), 0.0)[:2]
        return float(ops.on_floats(rule.operator.value)(x, y, node.data, rule.tie))

    found = nudge(again, node.data, step.slope)
    if found is None:
        return ""
    return OF_OPERAND.format(moved=names[parent], result=names[node], **found._asdict())


def nudge_of_leaf(graph: Graph, leaf: Value, names: Mapping[Value, str], result: str) -> str:
    """What the result does if one of the given numbers is moved a little; or nothing, as above."""

    def again(by: float) -> float:
        return flow.forward(graph.root, {leaf: leaf.data + by})[graph.root]

    try:
        found = nudge(again, graph.root.data, graph.grad(leaf))
    except ValueError:  # a node that was made by hand cannot be computed again
        return ""
    if found is None:
        return ""
    return OF_LEAF.format(moved=names[leaf], result=result, **found._asdict())


def nudge(again: Callable[[float], float], old: float, slope: float) -> Nudge | None:
    """The largest nudge that shows a slope; None where none does: at a kink, or a slope of 0.

    Args:
        again: the result if a number is moved by so much.
        old: the result as it is.
        slope: what the ratio should be.

    >>> nudge(lambda by: (3 + by) ** 2, 9.0, 6.0).quotient.replace("\\u00a0", " ")
    '0.0601 ÷ 0.01 = 6.01'
    """
    for by in NUDGES:
        change = again(by) - old
        if change and abs(change / by - slope) <= NEAR * abs(slope):
            places = max(2, 2 - math.floor(math.log10(abs(change))))
            before, after = (f"{number:.{places}f}" for number in (old, old + change))
            while before.endswith("0") and after.endswith("0") and places > 2:
                before, after, places = before[:-1], after[:-1], places - 1
            ratio = in_short(change / by, 3)
            quotient = f"{in_short(change, 3)}\u00a0÷\u00a0{in_short(by)}\u00a0=\u00a0{ratio}"
            words = (in_short(by), before, after, quotient)
            return Nudge(*(word.replace("-", "−") for word in words))
    return None
