"""A graph and its backward sweep, as pictures need them: read once, and nothing in it is changed.

The sweep is ``flow``'s account of it: no derivative is computed here.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from microgradlike.engine import Value, recording
from microgradlike.flow import Step, anew, backward_steps, by_value, named, nodes
from microgradlike.inputs import describe
from microgradlike.ops import OPERATORS
from microgradlike.words import literal
from viz import style

#: A module names its parameters by their path: "layers.0.neurons.3.w.1", "layers.0.neurons.3.b".
#: The bias of a lone neuron is just "b", a name that others use too: it needs a "w.0" beside it.
PARAMETER = re.compile(r"(.+\.)?w\.\d+|.+\.b")

#: An activation passes less than this share of the error where it is saturated.
FLAT = 0.01
FLATTENING = {row.name for row in OPERATORS.values() if row.saturates}

#: A gradient has vanished below this share of the result's own. It explodes where it is so many
#: times as large as that and as the median: beside gradients that vanished, all others are large.
VANISHED, EXPLODING = 1e-6, 1e3

#: What each flag says in a sentence.
FLAGS = {
    "saturated": "{} is saturated",
    "dead": "{} is dead",
    "vanished": "the gradient of {} has almost vanished",
    "exploding": "the gradient of {} explodes",
}


#: What is said of a number that is not finite: where the first one, and where another one, is born.
BIRTHS = {
    "origin": "origin: {} begins here",
    "another": "{} begins here too",
    "turned": "here infinity becomes NaN",
}


@dataclass(frozen=True, eq=False)
class Graph:
    """A graph and its backward sweep, read once: every scene is made from this."""

    root: Value
    """The result; or the sum of several, which no picture shows."""
    nodes: list[Value]
    """All that is shown: each node after its operands."""
    names: Mapping[Value, str]
    lone_neuron: bool
    afresh: bool
    changed: str = ""
    """Which numbers were written after they had been used, in a sentence; mostly nothing."""
    twins: Mapping[Value, Value] = field(default_factory=dict)
    """The node that is shown for each node of the graph that was given."""
    results: Mapping[Value, None] = field(default_factory=dict)
    """What it ends in: the root; or several, of which the root is the sum."""
    joints: Sequence[Value] = ()
    """The operations that only add several results up, each after its operands."""

    @classmethod
    def of(
        cls,
        root: Value | Sequence[Value],
        names: Mapping[str, Any] | None = None,
        *,
        afresh: bool = False,
    ) -> Graph:
        """Read the graph under ``root``; ``names`` names Values that have no label.

        Of several roots it is the graph of their sum, whose gradients are what the backward passes
        of all of them add up to.

        Its gradients are those that ``backward()`` left in ``.grad``; ``afresh``, they are those of
        a sweep of its own, and ``.grad`` does not matter. Where numbers have changed since they
        were used, it is the graph computed anew, and its sweep, as the gradients do not belong to
        it any more.

        Raises:
            TypeError: ``root`` is no Value.
        """
        given_roots = root if isinstance(root, list | tuple) and root else [root]
        for result in given_roots:
            if not isinstance(result, Value):
                raise TypeError(
                    "a picture is drawn of a Value and all it was computed from, but got "
                    f"{describe(result)}; pass the result of a computation, such as the loss, or a "
                    "list of results"
                )
        results = cast("dict[Value, None]", dict.fromkeys(given_roots))
        given = by_value(names)
        ran = afresh or any(result.grad for result in results)
        *others, end = results
        if others:
            afresh = ran
            # From the last one on: then the sweep passes all sums first, and each result has its 1.
            with recording():
                end = functools.reduce(lambda total, result: result + total, others[::-1], end)
        end, twins, changed = anew(end, named(end, names))
        found = nodes(end)
        joints = found[len(found) - len(others) :]
        found = found[: len(found) - len(others)]
        lone_neuron = any(node.label == "w.0" for node in found)
        called = {twins[node]: name for node, name in given.items() if node in twins}
        ends = {twins[result]: None for result in results}
        if changed:
            afresh = ran
        return cls(end, found, called, lone_neuron, afresh, changed, twins, ends, joints)

    def told(self) -> Graph:
        """The same graph, for sentences: every node has a name."""
        return replace(self, names=named(self.root, {n: node for node, n in self.names.items()}))

    @functools.cached_property
    def ids(self) -> Mapping[Value, str]:
        """A name for each node that no label can change: ``v`` and its place."""
        return {node: f"v{place}" for place, node in enumerate(self.nodes)}

    def sweep(self) -> Iterator[Step]:
        """The steps of the sweep, one after the other: a big graph has too many to keep."""
        operations = [node for node in (*self.nodes, *self.joints) if node._rule is not None]
        steps = backward_steps(self.root, 1.0 if self.afresh else self.root.grad, operations)
        # An operation that adds up results sends to both of its operands, before any other.
        return itertools.islice(steps, 2 * len(self.joints), None)

    @functools.cached_property
    def steps(self) -> list[Step]:
        """The same as a list."""
        return list(self.sweep())

    @functools.cached_property
    def _swept(self) -> Mapping[Value, float]:
        start = dict.fromkeys((self.root, *self.results), 1.0)
        return start | {step.parent: step.after for step in self.sweep()}

    def grad(self, node: Value) -> float:
        """The gradient that a node has in the end."""
        return self._swept[node] if self.afresh else node.grad

    @property
    def ran(self) -> bool:
        """Whether backward() has been run: after it, the result's own gradient is not zero."""
        return self.afresh or bool(self.root.grad)

    @functools.cached_property
    def origin(self) -> Value | None:
        """Where the first NaN or infinity was born: in a value, or else on the way of the error."""
        for node in self.nodes:
            if not math.isfinite(node.data):
                return node
        for step in self.sweep():
            if math.isfinite(step.upstream + step.before) and not math.isfinite(step.after):
                return step.node
        return None

    def birth(self, node: Value) -> str:
        """Whether a NaN or an infinity is born in the value of a node, in words; or nothing."""
        if math.isfinite(node.data):
            return ""
        number = style.number(node.data)
        if node is self.origin:
            return BIRTHS["origin"].format(number)
        operands = [float(operand) for operand in node.operands]
        if all(map(math.isfinite, operands)):
            return BIRTHS["another"].format(number)
        was_a_number = not any(map(math.isnan, operands))
        return BIRTHS["turned"] if math.isnan(node.data) and was_a_number else ""

    @functools.cached_property
    def flags(self) -> Mapping[Value, list[str]]:
        """Where the error gets lost or grows without measure: for each place, some of ``FLAGS``."""
        flags: dict[Value, list[str]] = {}
        for step in self.steps:
            if step.node.op in FLATTENING and abs(step.slope) < FLAT:
                flags.setdefault(step.node, []).append("dead" if step.slope == 0 else "saturated")
        grads = {node: self.grad(node) for node in self.nodes}
        sizes = [abs(grad) for grad in grads.values() if grad and math.isfinite(grad)]
        if sizes:
            first, median = abs(self.grad(self.root)), statistics.median(sizes)
            for node, grad in grads.items():
                if 0 < abs(grad) < VANISHED * first:
                    flags.setdefault(node, []).append("vanished")
                elif EXPLODING * max(median, first) < abs(grad) < math.inf:
                    flags.setdefault(node, []).append("exploding")
        return flags

    def name(self, node: Value) -> str:
        """The label of a node, or the name that the caller has for it, or nothing."""
        return node.label or self.names.get(node, "")

    def heading_of(self, node: Value) -> str:
        """The name as a box shows it: with its line breaks."""
        return "\n".join(map(literal, self.name(node).split("\n")))

    def is_parameter(self, node: Value) -> bool:
        """Whether a leaf is a weight or bias of a module, told by the path that is its label."""
        if node.op or not node.label:
            return False
        return bool(PARAMETER.fullmatch(node.label)) or (self.lone_neuron and node.label == "b")

    def kind(self, node: Value) -> str:
        """The role of a node, which decides its shape."""
        if node in self.results:
            return "result"
        if node.op:
            return "operation"
        return "parameter" if self.is_parameter(node) else "input"

    def heading(self, size: str) -> str:
        """One sentence on the whole graph."""
        names = [literal(self.name(node)) or "the result" for node in self.results]
        data = [style.number(node.data) for node in self.results]
        error = "" if self.ran else "; backward() has not been run: no gradient to show"
        return (
            f"How the gradient flows back from {' and '.join(names)}: {size}, "
            f"{'result' if len(data) == 1 else 'results'} {', '.join(data)}{error}"
        )

    @property
    def warning(self) -> str:
        """What has changed since the forward pass, behind another sentence."""
        return f"; {self.changed}" if self.changed else ""

    @property
    def notes(self) -> list[str]:
        """What the legend has to say about the numbers."""
        return [self.changed] if self.changed else []
