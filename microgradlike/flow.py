"""The backward sweep as data: who sends how much error to whom, along which paths, and why.

The pictures and pages read this; nothing else tells them a derivative. Gradients start from zero
here and ``.grad`` stays as it was, so the sweep can be watched before, after or without
``backward()``.
"""

from __future__ import annotations

import ast
import functools
import heapq
import keyword
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy
import numpy.typing

from microgradlike import losses, ops, typeset
from microgradlike.engine import Rule, Value, topological_order
from microgradlike.functions import FUNCTIONS
from microgradlike.inputs import describe, function, number
from microgradlike.nn import inputs_of
from microgradlike.ops import OPERATORS
from microgradlike.typeset import Derivative, Symbol, Tree, literal

Array = numpy.typing.NDArray[numpy.float64]

# ---- Steps -------------------------------------------------------------------------------------


class Step(NamedTuple):
    """One operation sends one operand its share of the error."""

    node: Value
    """The operation that sends."""
    parent: Value
    """The operand that receives."""
    upstream: float
    """The gradient that has arrived at ``node``."""
    slope: float
    """The local derivative of ``node`` by ``parent``."""
    contribution: float
    """slope x upstream: what ``node`` adds to the gradient of ``parent``."""
    before: float
    """The gradient of ``parent`` before this step."""
    after: float
    """The gradient of ``parent`` after it: before + contribution."""
    place: int
    """Which operand of ``node`` it is, 0 or 1: in ``x * x`` both are ``x``."""


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
        One step for each Value among the operands of each operation; no ``.grad`` is changed.

    Raises:
        TypeError: ``root`` is no Value, or ``seed`` no number.
        ValueError: the graph contains a cycle.

    >>> a = Value(3.0)
    >>> for step in backward_steps(a * a):
    ...     print(step.upstream, step.slope, step.contribution, step.before, step.after)
    1.0 3.0 3.0 0.0 3.0
    1.0 3.0 3.0 3.0 6.0
    """
    _check_root(root)
    start = number(seed, "seed, the gradient of the result,")
    return _sweep(root, start, topological_order(root) if order is None else order)


def _sweep(root: Value, seed: float, order: Sequence[Value]) -> Iterator[Step]:
    gradients = {root: seed}
    make = tuple.__new__  # there may be millions of steps: this is twice as fast as Step(...)
    for node in reversed(order):
        upstream = gradients.pop(node)  # all its users have sent
        for place, parent, slope in _sent_to(node):
            before = gradients.get(parent, 0.0)
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
    for _, parent, slope in _sent_to(node):
        yield parent, slope


def _sent_to(node: Value) -> tuple[tuple[int, Value, float], ...]:
    """Which operands a node sends to: the place, the operand, the slope."""
    return _sender(node._rule)(node) if node._rule is not None else ()


@functools.cache
def _sender(rule: Rule) -> Callable[[Value], tuple[tuple[int, Value, float], ...]]:
    """The same for all nodes of one rule, compiled from the operator table."""
    sends_to = {"x": rule.sends_to_x, "y": rule.sends_to_y}
    spelling = {"out": "node.data", "tie": repr(rule.tie)}
    for operand, sends in sends_to.items():
        spelling[operand] = f"node._{operand}.data" if sends else f"node._{operand}"
    parts = []
    for place, (operand, slope) in enumerate(zip("xy", rule.operator.slopes, strict=False)):
        if sends_to[operand]:
            spelt = ops.spell(slope, lambda name: spelling.get(name, name))
            parts.append(f"({place}, node._{operand}, float({spelt}))")
    sender = eval(f"lambda node: ({', '.join(parts)},)", dict(vars(ops)))
    return cast("Callable[[Value], tuple[tuple[int, Value, float], ...]]", sender)


@functools.cache
def _on_floats(formula: str) -> Callable[..., Any]:
    return ops.formula(formula, vars(ops))


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
        if not node.op:
            continue
        operands = [data[x] if isinstance(x, Value) else x for x in node.operands]
        x, y = (*operands, 0.0)[:2]
        data[node] = float(_on_floats(OPERATORS[node.op].value)(x, y, 0.0, 0.0))
    return data


# ---- Names -------------------------------------------------------------------------------------


def nodes(root: Value) -> list[Value]:
    """Every Value that ``root`` was computed from, each after its operands; ``root`` is last."""
    _check_root(root)
    found: dict[Value, None] = {}
    for node in topological_order(root):
        for parent in node._rule.parents(node):  # type: ignore[union-attr]  # leaves are not listed
            if parent._rule is None:  # the others have been found
                found[parent] = None
        found[node] = None
    return list(found or [root])


def named(root: Value, names: Mapping[str, Any] | None = None) -> dict[Value, str]:
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


def by_value(names: Mapping[str, Any] | None) -> dict[Value, str]:
    """The first name of each Value that has one in ``names``, such as ``locals()``."""
    if names is None:
        return {}
    if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in names):
        raise TypeError(
            "names is a dict of names and the Values that they stand for, such as locals(), but "
            f"got {describe(names)}"
        )
    given: dict[Value, str] = {}
    for name, value in names.items():
        if isinstance(value, Value):
            given.setdefault(value, name)
    return given


# ---- Paths -------------------------------------------------------------------------------------


class Path(NamedTuple):
    """One way of the error, from the leaf up to the result."""

    nodes: tuple[Value, ...]
    slopes: tuple[float, ...]
    """The slope of each step, in the order of the nodes."""
    product: float
    """The product of the slopes: what this path adds to the gradient of the leaf."""


@dataclass(frozen=True)
class Paths:
    """The largest paths from a leaf to the result, and what all the others add up to."""

    largest: list[Path]
    count: int
    """How many paths there are, shown or not."""
    total: float
    """The gradient of the leaf: the sum over all paths."""
    remainder: float
    """What the paths that are not among the largest add up to."""


def paths(root: Value, leaf: Value, most: int = 12) -> Paths:
    """The paths on which the error reaches a leaf: its gradient is the sum of their products.

    Their number can grow exponentially with the graph, so they are counted and ranked while walking
    from the leaf to the root once, never enumerated.

    Args:
        root: the result, such as a loss.
        leaf: a Value that it was computed from.
        most: how many of the largest paths to give.

    Returns:
        The largest paths in size, the largest first; the number of all; their sum, which is the
        gradient; and the part of it that the others make up.

    Raises:
        TypeError, ValueError: ``root`` was not computed from ``leaf``, or ``most`` counts nothing.

    >>> x = Value(3.0)
    >>> found = paths(x * x + x, x)
    >>> [path.product for path in found.largest], found.count, found.total, found.remainder
    ([3.0, 3.0, 1.0], 3, 7.0, 0.0)
    """
    _check_root(root)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise ValueError(f"paths shows at least one path, but got most={most!r}")
    order = topological_order(root)
    waiting = Counter(parent for node in order for parent in node.parents)
    # For each node between: how many paths come up from the leaf, and the largest of them, each as
    # its size, its product, and the chain of (node, slope) that it came by. What all users of a
    # node have seen is forgotten: these numbers can have a million digits.
    reached: dict[Value, tuple[int, list[_Trail]]] = {leaf: (1, [_Trail(1.0, leaf, None, 1.0)])}
    for node in order:
        count, trails = 0, []
        for parent, slope in slopes(node):
            if parent in reached:
                below, largest = reached[parent]
                count += below
                trails += [_Trail(t.product * slope, node, t, slope) for t in largest]
                if waiting[parent] == 1 and parent is not leaf:
                    del reached[parent]
            waiting[parent] -= 1
        if count:
            reached[node] = count, heapq.nlargest(most, trails, key=_Trail.size)
    if root not in reached:
        raise ValueError("the result was not computed from this leaf, so no path leads to it")
    count, trails = reached[root]
    total = gradients(root)[leaf]
    shown = [trail.path() for trail in trails]
    others = total - math.fsum(path.product for path in shown) if count > len(shown) else 0.0
    return Paths(shown, count, total, others)


class _Trail(NamedTuple):
    """The end of a path that is being followed up from the leaf."""

    product: float
    node: Value
    below: _Trail | None
    slope: float

    def size(self) -> float:
        return math.inf if math.isnan(self.product) else abs(self.product)

    def path(self) -> Path:
        nodes, slopes = [self.node], []
        trail = self
        while trail.below is not None:
            slopes.append(trail.slope)
            trail = trail.below
            nodes.append(trail.node)
        return Path(tuple(reversed(nodes)), tuple(reversed(slopes)), self.product)


# ---- The derivation by hand --------------------------------------------------------------------


class Line(NamedTuple):
    """An equation of a derivation: sides that are equal, from the name to the number."""

    sides: list[Tree]
    words: str = ""

    def written(self, style: typeset.Plain) -> str:
        """The equation in a style."""
        return style.line(self.sides)


@dataclass(frozen=True)
class Explanation:
    """The derivative of a result by a leaf, as one derives it by hand; ``print`` shows it."""

    result: str
    """The name of the result."""
    leaf: str
    """The name of what it is derived by."""
    gradient: float
    forward: list[Line]
    """What each operation computed."""
    backward: list[Line]
    """The chain rule, from the result down to the leaf."""
    conclusion: str
    """What the derivative says, in a sentence."""
    formula: str | None
    """The whole derivative in the names of the leaves, as Python; None where it is very long."""
    conditions: list[str]
    """Where the formula holds, if not everywhere: on the branches that these numbers took."""
    renamed: Mapping[str, str]
    """What the formula calls the leaves whose names Python could not read, by these names."""

    @property
    def words(self) -> str:
        """The way of the error, in sentences."""
        title = f"How {self.result} changes with {self.leaf}:"
        return "\n".join([title, *(line.words for line in self.backward), self.conclusion])

    @property
    def symbols(self) -> str:
        """The equations in plain text: symbols, then numbers, then the result."""
        return self._in(typeset.Plain())

    @property
    def latex(self) -> str:
        """The equations in LaTeX."""
        return self._in(typeset.Latex())

    @property
    def mathml(self) -> str:
        """The equations in MathML, which a browser shows as it is."""
        return self._in(typeset.MathML())

    def _in(self, style: typeset.Plain) -> str:
        return style.lines([line.written(style) for line in (*self.forward, *self.backward)])

    def __str__(self) -> str:
        return "\n".join([self.words, "", self.symbols, *self._whole()])

    def _whole(self) -> Iterator[str]:
        if self.formula is None:
            return
        calling = ", ".join(f"{new} for {name}" for name, new in self.renamed.items())
        yield f"In one formula{f', with {calling}' if calling else ''}: {self.formula}"
        if self.conditions:
            yield f"This holds as long as {', '.join(self.conditions)}."


def explain(root: Value, leaf: Value, names: Mapping[str, Any] | None = None) -> Explanation:
    """The derivative of a result by one leaf, derived step by step as one does it by hand.

    Args:
        root: the result, such as a loss.
        leaf: a Value that it was computed from.
        names: names for the Values that have no label; ``locals()`` will do. What has no name is
            called ``v`` and its number in topological order.

    Returns:
        An Explanation: ``.words``, ``.symbols`` (with the numbers put in), ``.latex``, ``.mathml``
        and ``.formula``, which ``assert_derivation`` can read where its ``.conditions`` hold. No
        ``.grad`` is changed.

    Raises:
        TypeError, ValueError: ``root`` was not computed from ``leaf``.

    >>> x, w = Value(3.0), Value(-2.0)
    >>> y = (w * x + 1).tanh()
    >>> print(explain(y, w, locals()).symbols)
    v2 = w * x = (-2) * 3 = -6
    v3 = v2 + 1 = -6 + 1 = -5
    y = tanh(v3) = tanh(-5) = -0.9999
    dy/dv3 = 1 - y * y = 1 - (-0.9999) * (-0.9999) = 0.0001816
    dy/dv2 = dy/dv3 = 0.0001816
    dy/dw = dy/dv2 * x = 0.0001816 * 3 = 0.0005447
    >>> explain(y, w, locals()).formula
    '(1 - tanh(w * x + 1) * tanh(w * x + 1)) * x'
    """
    name = named(root, names)
    order = topological_order(root)
    between = {leaf}
    for node in order:
        if not between.isdisjoint(node.parents):
            between.add(node)
    if root not in between:
        raise ValueError("the result was not computed from this leaf: no derivative leads to it")
    arriving: dict[Value, list[Step]] = {}
    for step in backward_steps(root, order=order):
        if step.parent in between:
            arriving.setdefault(step.parent, []).append(step)
    gradient = {node: steps[-1].after for node, steps in arriving.items()} | {root: 1.0}

    def slope_by(node: Value) -> Tree:
        return Derivative(name[root], name[node], gradient[node])

    def equation(left: Tree, right: Tree, value: float) -> list[Tree]:
        return [left, right, typeset.evaluated(right), ast.Constant(value)]

    symbols: dict[Value, Tree] = {node: Symbol(text, node.data) for node, text in name.items()}
    forward = [
        Line(equation(symbols[node], value_formula(node, symbols), node.data)) for node in order
    ]
    backward = []
    for node in [*(n for n in reversed(order) if n in between - {root, leaf}), leaf]:
        steps = arriving.get(node, [])
        terms = [
            _times(
                ast.Constant(1) if step.node is root else slope_by(step.node),
                slope_formula(step, symbols),
            )
            for step in steps
        ]
        right = typeset.total(terms) if terms else ast.Constant(1)
        words = "\n".join(_sentences(steps, name, symbols)) or _BY_ITSELF.format(name[root])
        backward.append(Line(equation(slope_by(node), right, gradient[node]), words))
    every = [step for steps in arriving.values() for step in steps]
    formula, renamed, conditions = _formula(root, leaf, order, arriving, name)
    return Explanation(
        name[root],
        name[leaf],
        gradient[leaf],
        forward,
        backward,
        _conclusion(root, leaf, gradient[leaf], every, name),
        formula,
        conditions,
        renamed,
    )


_BY_ITSELF = "{}, seen from itself, has the slope 1."


def slope_formula(step: Step, trees: Mapping[Value, Tree]) -> Tree:
    """The slope of a step as a formula, with these trees for its node and its operands."""
    return typeset.filled(*_row(step, trees))


def _row(step: Step, trees: Mapping[Value, Tree]) -> tuple[str, dict[str, Tree], dict[str, float]]:
    """The slope of a step in the operator table, with its operands as trees and as numbers."""
    node = step.node
    assert node._rule is not None
    x, y = (*map(float, node.operands), 0.0)[:2]
    known = {"out": trees[node], "tie": ast.Constant(node._rule.tie)}
    known |= zip("xy", _operands(node, trees), strict=False)
    numbers = {"x": x, "y": y, "out": node.data, "tie": node._rule.tie}
    return OPERATORS[node.op].slopes[step.place], known, numbers


def value_formula(node: Value, trees: Mapping[Value, Tree]) -> Tree:
    """What a node computes, as it is written."""
    operands = _operands(node, trees)
    return operands[0] if node.op == "where" else typeset.operation(node.op, operands)


def equation_in_words(node: Value, trees: Mapping[Value, Tree]) -> str:
    """``y = a * b``, for a sentence."""
    how = typeset.plain(value_formula(node, trees))
    branch = " (the branch that where took)" if node.op == "where" else ""
    return f"{typeset.plain(trees[node])} = {how}{branch}"


def _operands(node: Value, trees: Mapping[Value, Tree]) -> list[Tree]:
    return [trees[x] if isinstance(x, Value) else ast.Constant(x) for x in node.operands]


def _times(upstream: Tree, slope: Tree) -> Tree:
    return typeset.simplified(typeset.product(upstream, slope))


def _sentences(
    steps: list[Step], name: Mapping[Value, str], symbols: Mapping[Value, Tree]
) -> Iterator[str]:
    """What one node receives, in words."""
    for step in steps:
        slope, local = typeset.plain(slope_formula(step, symbols)), typeset.number(step.slope)
        yield (
            f"{equation_in_words(step.node, symbols)} sends {name[step.parent]} its error, "
            f"{typeset.number(step.upstream)}, times its slope there, "
            f"{slope if slope == local else f'{slope} = {local}'}: "
            f"{typeset.number(step.contribution)} ({OPERATORS[step.node.op].rules[step.place]})."
        )
        if found := break_at(step):
            yield f"Just here {name[step.node]} has {found}: {local} is a convention."
    if len(steps) > 1:
        terms = " + ".join(typeset.term(step.contribution) for step in steps)
        yield (
            f"{name[steps[0].parent]} was used {len(steps)} times, so these add up: "
            f"{terms} = {typeset.number(steps[-1].after)}."
        )


def break_at(step: Step) -> str:
    """The kink or jump that the operation of a step has where it stands; mostly there is none.

    >>> x = Value(0.0)
    >>> [break_at(step) for step in backward_steps(x.relu())]
    ['a kink (the slope is 0 below and 1 above)']
    """
    node, here = step.node, step.parent.data
    if not (math.isfinite(node.data) and math.isfinite(here) and math.isfinite(step.slope)):
        return ""
    row = OPERATORS[node.op]
    tie = node._rule.tie if node._rule else 0.0
    sides = []
    for near in (here - 4 * math.ulp(here), here + 4 * math.ulp(here)):
        operands = [*map(float, node.operands), 0.0][:2]
        operands[step.place] = near
        out = float(_on_floats(row.value)(*operands, 0.0, tie))
        slope = float(_on_floats(row.slopes[step.place])(*operands, out, tie))
        if abs(out - node.data) > 1e-3 * max(1.0, abs(node.data)):
            return "a jump"
        sides.append(slope)
    below, above = sides
    if abs(above - below) > max(1e-9, 1e-3 * (abs(above) + abs(below))):
        words = f"{typeset.number(below)} below and {typeset.number(above)} above"
        return f"a kink (the slope is {words})"
    return ""


def _conclusion(
    root: Value, leaf: Value, gradient: float, steps: list[Step], name: Mapping[Value, str]
) -> str:
    """What the derivative says, in a sentence."""
    result, by, size = name[root], name[leaf], typeset.number(abs(gradient))
    way = "rises" if gradient > 0 else "falls"
    if math.isnan(gradient):
        return "So the derivative is NaN: not a number."
    if math.isinf(gradient):
        return f"So the derivative is {typeset.number(gradient)}: {result} {way} without measure."
    if any(map(break_at, steps)):
        slope = typeset.number(gradient)
        return f"So, by convention, the slope of {result} by {by} is {slope} at this very point."
    if gradient == 0:
        return f"So the slope is 0: a small change of {by} hardly changes {result}, if at all."
    return f"So when {by} rises by a little, {result} {way} by {size} times that."


#: A formula with more parts than this is not written in one line.
LONGEST_FORMULA = 200

#: These names mean something else in a formula.
RESERVED = {*FUNCTIONS, "pi", "inf", "nan"}


def _formula(
    root: Value,
    leaf: Value,
    order: list[Value],
    arriving: Mapping[Value, list[Step]],
    name: Mapping[Value, str],
) -> tuple[str | None, dict[str, str], list[str]]:
    """The derivative in the names of the leaves alone, unless that is very long.

    Also what it calls the leaves that it cannot call by their names, and where it holds.
    """
    spelt = _spelt({node: text for node, text in name.items() if not node.op or node is leaf})
    trees: dict[Value, Tree] = {}
    size: dict[Value, int] = {}
    for node in name:
        size[node] = 1 + sum(size[parent] for parent in node.parents)
        if node in spelt:
            trees[node] = Symbol(spelt[node], node.data)
        elif size[node] <= LONGEST_FORMULA:
            trees[node] = value_formula(node, trees)
    slopes: dict[Value, Tree] = {root: ast.Constant(1)}
    length = {root: 1}
    conditions: dict[str, None] = {}
    for node in [*(n for n in reversed(order) if n in arriving and n is not leaf), leaf]:
        terms = []
        for step in arriving.get(node, []):
            length[node] = length.get(node, 0) + length[step.node] + size[step.node]
            if length[node] > LONGEST_FORMULA:
                return None, {}, []
            terms.append(_times(slopes[step.node], slope_formula(step, trees)))
            conditions |= dict.fromkeys(_conditions(step, trees))
        if terms:
            slopes[node] = typeset.total(terms)
    used = {part.id for part in ast.walk(slopes[leaf]) if isinstance(part, ast.Name)}
    renamed = {name[n]: new for n, new in spelt.items() if new in used and new != name[n]}
    return typeset.Exact().write(slopes[leaf]).text, renamed, list(conditions)


def _conditions(step: Step, trees: Mapping[Value, Tree]) -> Iterator[str]:
    """Where the slope of a step is the one that the formula has."""
    if step.node.op == "where":
        yield "where chooses as it did"
    for tree in typeset.conditions(*_row(step, trees)):
        yield typeset.Exact().write(tree).text
    if not math.isfinite(step.slope + step.upstream):
        yield "no number on the way is infinite or NaN"


def _spelt(names: Mapping[Value, str]) -> dict[Value, str]:
    """The names as Python can read them, each another one."""
    taken = {*names.values(), *RESERVED}
    spelt: dict[Value, str] = {}
    for place, (node, text) in enumerate(names.items()):
        if not text.isidentifier() or keyword.iskeyword(text) or text in RESERVED:
            text = f"v{place}"
            while text in taken:
                text += "_"
            taken.add(text)
        spelt[node] = text
    return spelt


# ---- The errors of the layers ------------------------------------------------------------------


@dataclass(frozen=True)
class LayerError:
    """How wrong one layer was, and why: the equations of backpropagation, in arrays.

    ``delta`` and ``weight_gradient`` are the engine's; the two equations give them again::

        delta = weights_part * slope_part
        weight_gradient = delta x activation_in      (an outer product)
    """

    name: str
    activation: str
    delta: Array
    """The slope of the cost by each neuron's weighted sum, shape (neurons,)."""
    weights_part: Array
    """The next layer's delta, sent back through its weights; the cost's slope in the last layer."""
    slope_part: Array
    """The slope of the activation where each neuron stands."""
    activation_in: Array
    """What the layer was given, shape (inputs,)."""
    activation_out: Array
    """What it made of that, shape (neurons,)."""
    weight_gradient: Array
    """The cost's slope by each weight, shape (neurons, inputs)."""
    bias_gradient: Array
    """The cost's slope by each bias, shape (neurons,)."""

    def __str__(self) -> str:
        def row(values: Array) -> str:
            return " ".join(f"{value:11.5g}" for value in values)

        return "\n".join(
            [
                f"{self.name}, {self.activation}",
                f"  delta, by the engine    {row(self.delta)}",
                f"  = from the next layer   {row(self.weights_part)}",
                f"    x slope of {self.activation:<12.12} {row(self.slope_part)}",
                f"  = by the equation       {row(self.weights_part * self.slope_part)}",
            ]
        )


def layer_errors(
    model: Any, x: Any, y: Any, loss: Callable[[Any, Any], Any] = losses.mse
) -> list[LayerError]:
    """The error of each layer of a network, from the equations of backpropagation.

    With the cost C, the weights W and the activation f, layer by layer from the last one::

        delta_l = (W_{l+1}^T delta_{l+1}) * f'(z_l)        dC/dW_l = delta_l x a_{l-1}

    Args:
        model: an ``MLP``, or another module with a list of ``layers``.
        x: one example, as many numbers as the model has inputs.
        y: its target, as ``loss`` wants it.
        loss: a function of the output and the target.

    Returns:
        One entry for each layer, the first layer first. No ``.grad`` is changed.

    Raises:
        TypeError, ValueError: the model has no layers, or does not fit ``x``.

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
    1986.

    >>> from microgradlike.nn import MLP
    >>> hidden, output = layer_errors(MLP(2, [3, 1], activation="tanh", seed=0), [1.0, -1.0], 0.5)
    >>> numpy.allclose(hidden.delta, hidden.weights_part * hidden.slope_part)
    True
    >>> numpy.allclose(hidden.weight_gradient, numpy.outer(hidden.delta, hidden.activation_in))
    True
    """
    runs = layer_runs(model, x)
    function("loss", loss)
    out = runs[-1].outputs
    cost = loss(out[0] if len(out) == 1 else out, y)
    if not isinstance(cost, Value):
        raise TypeError(f"the loss of an output and its target is a Value, not {describe(cost)}")
    gradient = gradients(cost)

    def of(values: Any) -> Array:
        return numpy.array([gradient.get(value, 0.0) for value in values])

    errors: list[LayerError] = []
    weights_part = of(out)
    for place in reversed(range(len(runs))):
        neurons, inputs, sums, outputs = runs[place]
        errors.insert(
            0,
            LayerError(
                f"layers.{place}",
                neurons[0].activation,
                of(sums),
                weights_part,
                numpy.array([_slope(n, z) for n, z in zip(neurons, sums, strict=True)]),
                _floats(inputs),
                _floats(outputs),
                numpy.array([of(neuron.w) for neuron in neurons]),
                of([neuron.b for neuron in neurons]),
            ),
        )
        weights = numpy.array([_floats(neuron.w) for neuron in neurons])
        weights_part = weights.T @ errors[0].delta
    return errors


class LayerRun(NamedTuple):
    """One layer at work on an example."""

    neurons: Sequence[Any]
    inputs: list[Any]
    sums: list[Value]
    """The weighted sum of each neuron."""
    outputs: list[Value]
    """What the activation makes of it."""


def layer_runs(model: Any, x: Any) -> list[LayerRun]:
    """The layers of a model at work on one example, the first layer first.

    Raises:
        TypeError, ValueError: the model has no layers, or does not fit ``x``.
    """
    runs: list[LayerRun] = []
    neurons = layers_of(model)[0].neurons
    x = inputs_of(x, len(neurons[0].w), model)
    for layer in layers_of(model):
        neurons = layer.neurons
        sums = [neuron.weighted_sum(x) for neuron in neurons]
        outputs = [neuron.activated(z) for neuron, z in zip(neurons, sums, strict=True)]
        runs.append(LayerRun(neurons, x, sums, outputs))
        x = outputs
    return runs


def layers_of(model: Any) -> Sequence[Any]:
    """The layers of a model.

    Raises:
        TypeError: it has none.
    """
    layers: Sequence[Any] | None = getattr(model, "layers", None)
    if not layers:
        raise TypeError(f"a model with layers is needed, such as an MLP, but got {describe(model)}")
    return layers


def _slope(neuron: Any, weighted_sum: Value) -> float:
    z = Value(weighted_sum.data)
    return gradients(neuron.activated(z)).get(z, 0.0)


def _floats(values: Any) -> Array:
    return numpy.array([float(value) for value in values])


def _check_root(root: Any) -> None:
    if not isinstance(root, Value):
        raise TypeError(
            "the error flows back from a Value to all it was computed from, but got "
            f"{describe(root)}; pass the result of a computation, such as the loss"
        )
