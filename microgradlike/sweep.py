"""The backward sweep as data: who sends which gradient to whom, and the names of all.

Gradients start from zero here and ``.grad`` stays as it was, so the sweep can be watched before,
after or without ``backward()``.
"""

from __future__ import annotations

import copy
import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy

from microgradlike import ops
from microgradlike.engine import Value, topological_order
from microgradlike.inputs import describe, number
from microgradlike.rules import CustomRule, Rule
from microgradlike.words import counted, in_short, literal

# ---- Steps -------------------------------------------------------------------------------------


class Step(NamedTuple):
    """One operation sends one operand its share of the gradient."""

    node: Value
    """The operation that sends."""
    parent: Value
    """The operand that receives."""
    upstream: float
    """The gradient that has arrived at ``node``."""
    slope: float
    """The local derivative of ``node`` by ``parent``."""
    contribution: float
    """slope x upstream: what ``node`` adds to the gradient of ``parent``; 0 if nothing passes."""
    before: float
    """The gradient of ``parent`` before this step."""
    after: float
    """The gradient of ``parent`` after it: before + contribution."""
    place: int
    """Which operand of ``node`` it is, 0 or 1: in ``x * x`` both are ``x``."""

    @property
    def rule(self) -> str:
        """How ``node`` shares its gradient with this operand, in a few words."""
        return self.node._rule.operator.rules[self.place]  # type: ignore[union-attr]


def backward_steps(
    root: Value, seed: float = 1.0, order: Sequence[Value] | None = None
) -> Iterator[Step]:
    """The backward sweep from ``root``, step by step, in the order and with the numbers of the
    engine.

    Args:
        root: the result, such as a loss.
        seed: the gradient of ``root`` to start with: the slope of a thing by itself is 1.
        order: its ``topological_order``, if that is known already.

    Yields:
        One step for each Value among the operands of each operation, so none if ``root`` is a leaf;
        no ``.grad`` is changed.

    Raises:
        TypeError: ``root`` is no Value, or ``seed`` no number.
        ValueError: the graph contains a cycle.

    >>> a = Value(3.0)
    >>> for step in backward_steps(a * a):
    ...     print(step.upstream, step.slope, step.contribution, step.before, step.after)
    1.0 3.0 3.0 0.0 3.0
    1.0 3.0 3.0 3.0 6.0
    """
    check_root(root)
    start = number(seed, "seed, the gradient of the result,")
    return _sweep(root, start, topological_order(root) if order is None else order)


def _sweep(root: Value, seed: float, order: Sequence[Value]) -> Iterator[Step]:
    gradients = {root: seed}
    make = tuple.__new__  # there may be millions of steps: this is twice as fast as Step(...)
    for node in reversed(order):
        arrived = node in gradients
        upstream = gradients.pop(node, 0.0)  # all its users have sent
        for place, parent, slope, passes in sent_to(node, upstream):
            before = after = gradients.get(parent, 0.0)
            contribution = 0.0
            if arrived and passes:
                contribution = slope * upstream
                gradients[parent] = after = before + contribution
            step = (node, parent, upstream, slope, contribution, before, after, place)
            yield make(Step, step)


def gradients(root: Value) -> dict[Value, float]:
    """The gradient of everything that ``root`` was computed from; no ``.grad`` is changed.

    >>> a, b = Value(2.0), Value(-3.0)
    >>> gradients(a * b)[a]
    -3.0
    """
    return {root: 1.0} | {step.parent: step.after for step in backward_steps(root)}


def slopes(node: Value) -> Iterator[tuple[Value, float]]:
    """The parents of a node, each with the local derivative by it."""
    for _, parent, slope, _ in sent_to(node):
        yield parent, slope


def sent_to(node: Value, error: float = 1.0) -> tuple[tuple[int, Value, float, bool], ...]:
    """Which operands a node sends to: the place, the operand, the slope, whether anything passes.

    What reaches a node only where nothing passes has nothing to send either. Of a function of the
    user's that sends, the slope is what it sends of this gradient.
    """
    if isinstance(node._rule, CustomRule):
        numbers = map(float, node._rule.numbers(node, error))
        return tuple(
            (place, parent, slope, True)
            for place, (parent, slope) in enumerate(zip(node.parents, numbers, strict=True))
        )
    return _sender(node._rule)(node) if node._rule is not None else ()


@functools.cache
def _sender(rule: Rule) -> Callable[[Value], tuple[tuple[int, Value, float, bool], ...]]:
    """The same for all nodes of one rule, compiled from the operator table."""
    sends_to = {"x": rule.sends_to_x, "y": rule.sends_to_y}
    spelling = {"out": "node._number", "tie": repr(rule.tie)}
    for operand, sends in sends_to.items():
        spelling[operand] = f"node._{operand}._number" if sends else f"node._{operand}"
    parts = []
    for place, (operand, slope) in enumerate(zip("xy", rule.operator.slopes, strict=False)):
        if sends_to[operand]:
            spelt, passes = (
                ops.spell(text, lambda name: spelling.get(name, name))
                for text in (slope, ops.passes(slope, rule.tie))
            )
            parts.append(f"({place}, node._{operand}, float({spelt}), {passes})")
    sender = eval(f"lambda node: ({', '.join(parts)},)", dict(vars(ops)))
    return cast("Callable[[Value], tuple[tuple[int, Value, float, bool], ...]]", sender)


def forward(root: Value, changed: Mapping[Value, float]) -> dict[Value, float]:
    """The numbers of a graph if some of its leaves had other ones; nothing is changed.

    Where an operation chose a branch (``where``), it is the branch that was taken before.

    Args:
        root: the result, such as a loss.
        changed: other numbers for some of its leaves.

    Returns:
        The number that each node of the graph would have.

    Raises:
        TypeError, ValueError: ``root`` is no Value, or ``changed`` is not of leaves and numbers.

    >>> w, x = Value(2.0), Value(3.0)
    >>> y = w * x + 1
    >>> forward(y, {w: 10.0})[y]
    31.0
    """
    if not isinstance(changed, Mapping):
        raise TypeError(
            "forward takes a dict with other numbers for some leaves, such as {w: 1.0}, but got "
            f"{describe(changed)}"
        )
    data = {node: node.data for node in nodes(root)}
    for leaf, value in changed.items():
        if not isinstance(leaf, Value) or leaf not in data or leaf.op:
            raise ValueError(
                "forward takes other numbers for leaves of the graph, which it computes all else "
                f"from, but got one for {describe(leaf)}"
            )
        data[leaf] = number(value, "forward")
    for node in data:
        if node.op:
            data[node] = computed_again(node, data)
    return data


def computed_again(node: Value, data: Mapping[Value, float]) -> float:
    """The number of an operation, if some of what it was given had these numbers.

    Args:
        node: the result of the operation.
        data: the numbers of its operands; those that are missing have their own.

    Returns:
        The number; nothing is changed.

    Raises:
        ValueError: the node was made by hand, and one of its operands has another number.

    >>> w, x = Value(2.0), Value(3.0)
    >>> computed_again(w * x, {w: 10.0})
    30.0
    """
    rule = node._rule
    if isinstance(rule, CustomRule):
        if any(data.get(parent, parent.data) != parent.data for parent in node.parents) or (
            math.isnan(rule.again(node)) and not math.isnan(node.data)
        ):
            raise ValueError(
                f"forward cannot compute {node.op!r} for other numbers: it is a node that was "
                "made by hand, with its number; compute the result anew"
            )
        return node.data
    operands = [data.get(x, x.data) if isinstance(x, Value) else x for x in node.operands]
    x, y = (*operands, 0.0)[:2]
    return float(ops.on_floats(rule.operator.value)(x, y, 0.0, 0.0))  # type: ignore[union-attr]


# ---- Numbers that were written after they had been used ----------------------------------------

#: Two computations of one number may differ by this share of it: a graph can come from a file.
SAME = 1e-12


class Anew(NamedTuple):
    """A graph whose numbers belong together, so that its slopes and equations are true."""

    root: Value
    twins: Mapping[Value, Value]
    """The node that stands for each node of the graph that was given; itself, mostly."""
    changed: str = ""
    """Which numbers were written after they had been used, in a sentence; mostly nothing."""


def anew(root: Value, names: Mapping[Value, str]) -> Anew:
    """The graph itself, or, where its numbers have changed since they were used, one computed anew.

    Which number an operation was given is not kept, so the moment of recording is lost once a
    number is written. What can be shown is the graph as its leaves are now.

    Args:
        root: the result.
        names: what the sentence calls the nodes.

    Returns:
        The graph to be shown. Nothing is changed in the one that was given.

    >>> w, x = Value(3.0), Value(2.0)
    >>> h = w * x
    >>> w.data = 5.0
    >>> found = anew(h, {h: "h", w: "w", x: "x"})
    >>> found.root.data, h.data
    (10.0, 6.0)
    >>> found.changed
    'changed since the forward pass: h was 6, but mul(w, x) is 10 now; all is computed anew'
    """
    try:
        return _anew(root, names)
    except (TypeError, ValueError):  # of a node that was made by hand
        return Anew(
            root,
            {node: node for node in nodes(root)},
            "changed since the forward pass: old and new numbers stand side by side, because a "
            "node that was made by hand cannot be computed anew",
        )


def _anew(root: Value, names: Mapping[Value, str]) -> Anew:
    now = forward(root, {})
    differing = [node for node in now if _differ(node.data, now[node])]
    if not differing:
        return Anew(root, {node: node for node in now})
    # Each node is copied after its operands: no recursion, whatever the depth.
    memo: dict[int, Any] = {}
    for node, data in now.items():
        if node.op:
            copy.deepcopy(node, memo)._number = data  # which changes nothing that was used
        else:
            memo[id(node)] = Value(node.data, label=node.label)
            memo[id(node)].grad = node.grad
    twins = {node: memo[id(node)] for node in now}
    apart = set(differing)
    first = next(node for node in differing if apart.isdisjoint(node.parents))
    operands = [names[x] if isinstance(x, Value) else in_short(x) for x in first.operands]
    others = f", and {counted(len(differing) - 1, 'other')} with it" if differing[1:] else ""
    return Anew(
        twins[root],
        twins,
        f"changed since the forward pass: {names[first]} was {in_short(first.data)}, but "
        f"{first.op}({', '.join(operands)}) is {in_short(now[first])} now{others}; "
        "all is computed anew",
    )


def _differ(one: float, other: float) -> bool:
    both_lost = one != one and other != other
    return not both_lost and not math.isclose(one, other, rel_tol=SAME)


# ---- Names -------------------------------------------------------------------------------------


def nodes(root: Value) -> list[Value]:
    """Every Value that ``root`` was computed from, each after its operands; ``root`` is last."""
    check_root(root)
    found: dict[Value, None] = {}
    for node in topological_order(root):
        for parent in node._rule.parents(node):  # type: ignore[union-attr]  # leaves are not listed
            if parent._rule is None:  # the others have been found
                found[parent] = None
        found[node] = None
    return list(found or [root])


def named(root: Value, names: Mapping[str, object] | None = None) -> dict[Value, str]:
    """A name of its own for every node of a graph.

    Args:
        root: the result.
        names: names for the Values that have no label; ``locals()`` will do.

    Returns:
        The label of each Value, or else its name in ``names``, or else ``v`` and its number in
        topological order, which is also put behind a name that another node has already.

    Raises:
        TypeError: ``root`` is no Value, or ``names`` no dict of names.

    >>> x = Value(2.0, label="x")
    >>> y = x * Value(3.0)
    >>> list(named(y * y, {"y": y}).values())
    ['x', 'v1', 'y', 'v3']
    """
    given = by_value(names)
    found = nodes(root)
    own = (node.label or given.get(node, "") for node in found)
    reserved = {name for name in own if name.startswith("v")}  # no number may take these
    taken: set[str] = set()
    result: dict[Value, str] = {}
    for place, node in enumerate(found):
        name = literal(node.label or given.get(node, ""))
        if not name:
            name = f"v{place}"
            while name in reserved:
                name += "_"
        while name in taken:
            name = f"{name}_v{place}"
        taken.add(name)
        result[node] = name
    return result


def by_value(names: Mapping[str, object] | None) -> dict[Value, str]:
    """The first name of each Value that has one in ``names``, such as ``locals()``.

    Elements of lists, tuples, dicts and arrays have names too, ``w[0]``, after all that have one of
    their own. What a notebook calls its results, ``_`` and ``Out[5]``, comes last.

    >>> w = [Value(1.0), Value(2.0)]
    >>> list(by_value({"_": w[0], "w": w, "bias": w[1], "_5": Value(3.0)}).values())
    ['bias', 'w[0]', '_5']
    """
    if names is None:
        return {}
    if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in names):
        raise TypeError(
            "names is a dict of names and the Values that they stand for, such as locals(), but "
            f"got {describe(names)}"
        )
    own = {name: value for name, value in names.items() if not NOTEBOOK.fullmatch(name)}
    given: dict[Value, str] = {}
    for some in (own, names):
        for name, value in some.items():
            if isinstance(value, Value):
                given.setdefault(value, name)
        for name, value in some.items():
            for element, path in _elements(value, name, ()):
                given.setdefault(element, path)
    return given


#: What IPython adds to the names of the user: the last results, and all inputs and outputs.
NOTEBOOK = re.compile(r"_+|_\d+|_i+|_i\d+|_[io]h|_dh|In|Out")


def _elements(value: object, name: str, around: tuple[object, ...]) -> Iterator[tuple[Value, str]]:
    """The Values in a list or array, or in lists of lists, with their names."""
    found: Iterable[tuple[object, object]] = ()
    if isinstance(value, numpy.ndarray):
        if value.dtype == object:
            found = ((", ".join(map(str, place)), x) for place, x in numpy.ndenumerate(value))
    elif any(value is outer for outer in around):  # a list can be its own element
        return
    elif isinstance(value, list | tuple):
        found = enumerate(value)
    elif isinstance(value, dict):
        found = ((repr(key), x) for key, x in value.items())
    for place, element in found:
        path = f"{name}[{place}]"
        if isinstance(element, Value):
            yield element, path
        else:
            yield from _elements(element, path, (*around, value))


def check_root(root: object) -> None:
    """TypeError unless the root is a Value."""
    if not isinstance(root, Value):
        raise TypeError(
            "the error flows back from a Value to all it was computed from, but got "
            f"{describe(root)}; pass the result of a computation, such as the loss"
        )


def check_leaf(leaf: object) -> None:
    """TypeError unless the leaf is a Value."""
    if not isinstance(leaf, Value):
        raise TypeError(
            f"leaf is a Value, one that the result was computed from, but got {describe(leaf)}"
        )


def not_computed_from(root: Value, leaf: Value) -> str:
    """The sentence on a result that no gradient flows back from to this leaf."""
    name = literal(leaf.label or "") or "this leaf"
    why = "no way leads from one to the other" if root.op else "it has no graph, as within no_grad"
    return f"the result was not computed from {name}: {why}"
