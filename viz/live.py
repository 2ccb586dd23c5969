"""What a page of steps needs to recompute itself: its graph, and its sentences with slots.

The sentences are the story's own: they are written once more with names in the place of numbers.
What depends on the numbers in another way, such as a flag, has its words and its limits here; the
script in ``pages/live.js`` decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from microgradlike import derivation, flow, javascript
from microgradlike.engine import Value
from microgradlike.flow import Step
from microgradlike.ops import OPERATORS
from microgradlike.rules import CustomRule
from microgradlike.typeset import Tree
from microgradlike.words import literal
from viz.graph import BIRTHS, EXPLODING, FLAGS, FLAT, FLATTENING, VANISHED, Graph
from viz.nudges import NEAR, NUDGES, OF_LEAF, OF_OPERAND
from viz.scene import Move
from viz.shares import Shares
from viz.slots import Quantity
from viz.story import (
    ALONE,
    BREAK,
    FIRST,
    LOST,
    MORE,
    MOST_DETAILED,
    MOST_SENT,
    MOVED,
    NOTHING,
    ROSE,
    SENDS,
    SHARE,
    Moment,
    Numbers,
    Story,
    heading,
    updated,
)

#: The learning rate where none was given.
RATE = 0.1

#: What has a kink or a jump somewhere: its formulas have branches, or name one of these.
_BREAKS = re.compile(r"\bif\b|//|%|\b(abs|sign|floor|ceil|trunc|rint|round_to|hypot|m\w\wimum)\(")

WORDS = {
    **{"births": BIRTHS, "flags": FLAGS, "first": FIRST, "break": BREAK},
    **{"jump": derivation.JUMP, "kink": derivation.KINK},
    **{"of_operand": OF_OPERAND, "of_leaf": OF_LEAF},
    **{"moved": MOVED, "lost": LOST, "rose": ROSE},
    **{"sends": SENDS, "share": SHARE, "more": MORE},
    **{"alone": ALONE, "nothing": NOTHING},
}
LIMITS = {
    **{"flat": FLAT, "vanished": VANISHED, "exploding": EXPLODING},
    **{"nudges": NUDGES, "near": NEAR, "sent": MOST_SENT},
    "flattening": sorted(FLATTENING),
    "breaking": [
        row.name for row in OPERATORS.values() if any(map(_BREAKS.search, (row.value, *row.slopes)))
    ],
}


class Named(Numbers):
    """The numbers of a pass by the names that the script has for them.

    >>> x = Value(3.0)
    >>> Named(Graph.of(x * x, afresh=True)).grad(x).name
    'grad 0'
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._places = {node: place for place, node in enumerate(graph.nodes)}
        self._steps = {(step.node, step.place): k for k, step in enumerate(graph.steps)}

    def place(self, node: Value) -> int:
        """Where a node is in the graph."""
        return self._places[node]

    def count(self, step: Step) -> int:
        """Which step of the sweep it is."""
        return self._steps[step.node, step.place]

    def value(self, node: Value) -> Quantity:
        return Quantity(f"value {self.place(node)}" if node in self._places else "total")

    def grad(self, node: Value) -> Quantity:
        return Quantity(f"grad {self.place(node)}")

    def updated(self, node: Value) -> Quantity:
        """The number of a node after the update."""
        known = node in self._places  # the sum of several results is not
        return Quantity(f"updated {self.place(node)}" if known else "new_total")

    def step(self, step: Step) -> Step:
        number = self.count(step)
        return step._replace(
            upstream=self.grad(step.node),
            slope=Quantity(f"slope {number}"),
            contribution=Quantity(f"share {number}"),
            before=Quantity(f"before {number}"),
            after=Quantity(f"after {number}"),
        )


def for_script(story: Story, back: str) -> dict[str, Any]:
    """All of it as the script reads it; or why the page cannot recompute.

    Args:
        story: what the page tells.
        back: the sign of an arrow for what is sent back.
    """
    graph, named = story.graph, Named(story.graph)
    if why := _refused(story):
        return {"refused": why}
    return {
        # What an operation comes to, and what a node has no other name than its place for, the
        # script finds itself: a page may have thousands of them.
        "graph": [
            {key: part for key, part in row.items() if key != "data" or not row["op"]}
            for row in javascript.graph(graph.nodes)
        ],
        "results": [named.place(node) for node in graph.results],
        "names": {
            named.place(node): name
            for node, name in story.names.items()
            if node in graph.ids and name != graph.ids[node]
        },
        "result": story.name,
        "chosen": [story.names[node] for node in graph.nodes if node.op == "where"],
        "rate": RATE if story.lr is None else story.lr,
        "updates": story.lr is not None,
        "moved": [named.place(leaf) for leaf in story.moved],
        "moved_is_called": story.moved_is_called,
        "scale": {"largest": story.colours.largest, "middle": story.colours.middle},
        "back": back,
        "heading": heading(story, named),
        "arrivals": {
            graph.ids[node]: [[named.count(step) for step in steps] for steps in changes]
            for node, changes in story.arrivals.items()
        },
        "moments": list(_moments(story, named)),
        "words": WORDS,
        "limits": LIMITS,
    }


def _refused(story: Story) -> str:
    if not story.detailed:
        return f"A graph of more than {MOST_DETAILED:,} nodes cannot be changed in its page."
    own = [node for node in story.graph.nodes if isinstance(node._rule, CustomRule)]
    if not own:
        return ""
    return (
        f"The numbers cannot be changed here: {story.names[own[0]]} is an operation of its user's "
        f"own ({literal(own[0].op)}), which a page cannot compute again."
    )


# ---- The moments -------------------------------------------------------------------------------


def _moments(story: Story, named: Named) -> Iterator[dict[str, Any] | None]:
    """What of each moment changes with the numbers; None where nothing does."""
    shares = Shares(story.uses, story.graph.results, story.names)
    sums = steps_of_arrows(story, named) if story.scene.folded else []
    for moment, act in zip(story.moments, story.acts, strict=True):
        if isinstance(act, list):
            yield _computed(story, moment, act, named)
        elif isinstance(act, Step):
            yield _sent(story, act, shares, named)
        elif isinstance(act, Move):
            arrows = [(sums[place], story.scene.arrows[place].tail) for place in act.arrows]
            sends = [(steps, story.title(tail)) for steps, tail in arrows]
            yield {"part": story.title(act.sender), "sends": sends}
        elif moment.kind == "update":
            happened, rose = Quantity("happened").slot("words"), Quantity("rose").slot("words")
            rate = Quantity("rate")
            told = updated(story, rate, named, named.updated, happened, rose)
            yield {"sentence": told.sentence, "rule": told.rule, "aside": told.aside}
        else:
            yield None


def _computed(
    story: Story, moment: Moment, nodes: list[Value], named: Named
) -> dict[str, Any] | None:
    told = story.computes(moment.active, nodes, named)
    if len(story.scene.members[moment.active]) > 1:
        return {"sentence": told.sentence}
    return {
        "sentence": told.sentence,
        "equations": [told.equations],
        "node": named.place(nodes[0]),
    }


def _sent(story: Story, step: Step, shares: Shares, named: Named) -> dict[str, Any]:
    symbols, count = story.symbols(step.node, named), named.count(step)
    slopes: list[Tree] = flow.slope_formulas(step, symbols)
    step = named.step(step)
    shares.take(step)
    return {
        "sentence": story.sends(step, named),
        "equations": [story.chain(step, slope) for slope in slopes],
        "sum_of": story.added_up(step, shares),
        "sum": [shares.listed(step) if shares.are_few(step) else "", shares.added(step)],
        "aside": shares.lost_without_adding(step),
        "step": count,
    }


def steps_of_arrows(story: Story, named: Named) -> list[list[int]]:
    """For each arrow of a folded scene, the steps that it is drawn for."""
    scene = story.scene
    columns = {box.name: box.column for box in scene.boxes}
    headings = {box.column: box.name for box in scene.boxes if box.kind == "layer"}
    found: dict[tuple[str, str], list[int]] = {(a.tail, a.head): [] for a in scene.arrows}
    for step in story.graph.steps:
        tail, head = story.home[step.parent], story.home[step.node]
        if (tail, head) not in found:  # one arrow may be that of a whole layer
            tail = headings.get(columns[tail], tail)
        if (tail, head) in found:
            found[tail, head].append(named.count(step))
    return [found[arrow.tail, arrow.head] for arrow in scene.arrows]
