"""A derivative, derived step by step as one does it by hand: in words, in symbols, in a formula."""

from __future__ import annotations

import ast
import functools
import html
import keyword
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from microgradlike import ops, typeset
from microgradlike.engine import Value, topological_order
from microgradlike.functions import FUNCTIONS
from microgradlike.rules import CustomRule
from microgradlike.sweep import (
    Step,
    anew,
    backward_steps,
    check_leaf,
    named,
    not_computed_from,
)
from microgradlike.typeset import Derivative, Symbol, Tree
from microgradlike.words import in_short

# ---- The whole derivation ----------------------------------------------------------------------


class Line(NamedTuple):
    """An equation of a derivation: sides that are equal, from the name to the number."""

    sides: list[Tree]
    words: str = ""

    def written(self, style: typeset.Plain) -> str:
        """The equation in a style."""
        return style.line(self.sides)


@dataclass(frozen=True, repr=False)
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
    """The whole derivative in the names of the leaves, as Python; None where it is too long to be
    written in one line: where it has more than ``LONGEST_FORMULA`` parts, which are 200."""
    conditions: list[str]
    """Where the formula holds, if not everywhere: on the branches that these numbers took."""
    renamed: Mapping[str, str]
    """What the formula calls the leaves whose names Python could not read, by these names."""
    changed: str = ""
    """Which numbers were written after they had been used, in a sentence; mostly nothing."""

    @property
    def words(self) -> str:
        """The path of the gradient, in sentences."""
        title = f"How {self.result} changes with {self.leaf}:"
        changed = [f"{self.changed[0].upper()}{self.changed[1:]}."] if self.changed else []
        told = (line.words for line in self.backward)
        return "\n".join([title, *changed, *told, self.conclusion])

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
        note = [style.note(self.changed)] if self.changed else []
        lines = (line.written(style) for line in (*self.forward, *self.backward))
        return style.lines([*note, *lines])

    def __str__(self) -> str:
        return "\n".join([self.words, "", self.symbols, *self.whole])

    def __repr__(self) -> str:
        slope = in_short(self.gradient)
        return f"<Explanation: how {self.result} changes with {self.leaf}, slope {slope}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the words, the equations typeset, and the formula."""

        def told(lines: Sequence[str]) -> str:
            return "".join(f"<p>{html.escape(line)}</p>" for line in lines)

        symbols = "<br>".join(map(html.escape, self.symbols.splitlines()))
        equations = typeset.in_cell(self.mathml, symbols)
        return f"{told(self.words.splitlines())}{equations}{told(self.whole)}"

    @property
    def whole(self) -> list[str]:
        """The derivative in one formula, in a sentence, and where it holds."""
        calling = ", ".join(f"{new} for {name}" for name, new in self.renamed.items())
        formula = self.formula or "too long to write in one line"
        told = [f"In one formula{f', with {calling}' if calling else ''}: {formula}"]
        if self.conditions:
            told.append(f"This holds as long as {', '.join(self.conditions)}.")
        return told


def explain(root: Value, leaf: Value, names: Mapping[str, object] | None = None) -> Explanation:
    """The derivative of a result by one leaf, derived step by step as one does it by hand.

    Args:
        root: the result, such as a loss.
        leaf: a Value that it was computed from.
        names: names for the Values that have no label; ``locals()`` will do. What has no name is
            called ``v`` and its number in topological order.

    Returns:
        An Explanation: ``.words``, ``.symbols`` (with the numbers put in), ``.latex``, ``.mathml``
        and ``.formula``, which ``assert_derivation`` can read where its ``.conditions`` hold; it is
        None where it would be too long to write in one line. No ``.grad`` is changed. Where
        numbers were written after they had been used, as by an optimiser's step, it is the
        derivation at the numbers as they are now, and ``.changed`` says so.

    Raises:
        TypeError: ``root`` or ``leaf`` is no Value, or ``names`` no dict of names.
        ValueError: ``root`` was not computed from ``leaf``.

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
    called = named(root, names)
    check_leaf(leaf)
    root, twins, changed = anew(root, called)
    leaf = twins.get(leaf, leaf)
    name = {twins[node]: text for node, text in called.items()}
    order = topological_order(root)
    between = _between(leaf, root, order)
    steps = [step for step in backward_steps(root, order=order) if step.parent in between]
    gradient = {root: 1.0} | {step.parent: step.after for step in steps}
    arriving: dict[Value, list[Step]] = {}
    for step in steps:
        arriving.setdefault(step.parent, []).append(step)

    def slope_by(node: Value) -> Tree:
        return Derivative(name[root], name[node], gradient[node])

    symbols: dict[Value, Tree] = {node: Symbol(text, node.data) for node, text in name.items()}
    forward = [Line(_equation(symbols[node], value_formula(node, symbols))) for node in order]
    backward = []
    for node in [*(n for n in reversed(order) if n in between - {root, leaf}), leaf]:
        received = arriving.get(node, [])
        terms = [
            _times(
                ast.Constant(1) if step.node is root else slope_by(step.node),
                slope_formula(step, symbols),
            )
            for step in received
        ]
        right = typeset.total(terms) if terms else ast.Constant(1)
        words = "\n".join(_sentences(received, name, symbols)) or _BY_ITSELF.format(name[root])
        backward.append(Line(_equation(slope_by(node), right), words))
    formula, renamed, conditions = _formula(root, leaf, order, arriving, name)
    return Explanation(
        name[root],
        name[leaf],
        gradient[leaf],
        forward,
        backward,
        _conclusion(root, leaf, steps, gradient[leaf], name),
        formula,
        conditions,
        renamed,
        changed,
    )


_BY_ITSELF = "{}, seen from itself, has the slope 1."


def _between(leaf: Value, root: Value, order: Sequence[Value]) -> set[Value]:
    """The nodes on all ways from a leaf to the result, with these two.

    Raises:
        ValueError: there is no way.
    """
    between = {leaf}
    for node in order:
        if not between.isdisjoint(node.parents):
            between.add(node)
    if root not in between:
        raise ValueError(not_computed_from(root, leaf))
    return between


def _equation(left: Tree, right: Tree) -> list[Tree]:
    """Both sides in symbols, then both in numbers."""
    return [left, right, typeset.evaluated(right), typeset.evaluated(left)]


# ---- One step ----------------------------------------------------------------------------------


def slope_formula(step: Step, trees: Mapping[Value, Tree]) -> Tree:
    """The slope of a step as a formula, with these trees for its node and its operands."""
    return typeset.filled(*_row(step, trees))


def slope_formulas(step: Step, trees: Mapping[Value, Tree]) -> list[Tree]:
    """The same for each branch of the slope's formula, whichever the numbers take."""
    formula, known, numbers = _row(step, trees)
    return [typeset.filled(branch, known, numbers) for branch in ops.branches(formula)[0]]


def _row(step: Step, trees: Mapping[Value, Tree]) -> tuple[str, dict[str, Tree], dict[str, float]]:
    """The slope of a step in the operator table, with its operands as trees and as numbers."""
    node = step.node
    assert node._rule is not None
    if isinstance(node._rule, CustomRule):
        return repr(step.slope), {}, {}
    x, y = (*map(float, node.operands), 0.0)[:2]
    known = {"out": trees[node], "tie": ast.Constant(node._rule.tie)}
    known |= zip("xy", _operands(node, trees), strict=False)
    numbers = {"x": x, "y": y, "out": node.data, "tie": node._rule.tie}
    return node._rule.operator.slopes[step.place], known, numbers


def value_formula(node: Value, trees: Mapping[Value, Tree]) -> Tree:
    """What a node computes, as it is written."""
    operands = _operands(node, trees)
    if node.op == "where" and len(operands) == 1:
        return operands[0]
    return typeset.operation(node.op, operands)


def equation_in_words(node: Value, trees: Mapping[Value, Tree]) -> str:
    """``y = a * b``, for a sentence."""
    how = typeset.plain(value_formula(node, trees))
    branch = " (the branch that where took)" if node.op == "where" else ""
    return f"{typeset.plain(trees[node])} = {how}{branch}"


def _operands(node: Value, trees: Mapping[Value, Tree]) -> list[Tree]:
    return [trees[x] if isinstance(x, Value) else typeset.constant(x) for x in node.operands]


def _times(upstream: Tree, slope: Tree) -> Tree:
    return typeset.simplified(typeset.product(upstream, slope))


def _sentences(
    steps: list[Step], name: Mapping[Value, str], symbols: Mapping[Value, Tree]
) -> Iterator[str]:
    """What one node receives, in words."""
    for step in steps:
        slope, local = typeset.plain(slope_formula(step, symbols)), in_short(step.slope)
        yield (
            f"{equation_in_words(step.node, symbols)} sends {name[step.parent]} its gradient, "
            f"{in_short(step.upstream)}, times its slope there, "
            f"{slope if slope == local else f'{slope} = {local}'}: "
            f"{in_short(step.contribution)} ({step.rule})."
        )
        if found := break_at(step):
            yield f"Just here {name[step.node]} has {found}: {local} is a convention."
    if len(steps) > 1:
        terms = " + ".join(typeset.term(step.contribution) for step in steps)
        yield (
            f"{name[steps[0].parent]} was used {len(steps)} times, so these add up: "
            f"{terms} = {in_short(steps[-1].after)}."
        )


JUMP, KINK = "a jump", "a kink (the slope is {} below and {} above)"


def break_at(step: Step) -> str:
    """The kink or jump that the operation of a step has where it stands; mostly there is none.

    >>> x = Value(0.0)
    >>> [break_at(step) for step in backward_steps(x.relu())]
    ['a kink (the slope is 0 below and 1 above)']
    """
    if isinstance(step.node._rule, CustomRule):
        return ""
    if not all(map(math.isfinite, (*step.node.operands, step.node.data, step.slope))):
        return ""
    # In x * x both operands move; but x**x has no value below 0, where one can still move alone.
    together = [place for place, v in enumerate(step.node.operands) if v is step.parent]
    for places in (together, [step.place]):
        (low, below), (high, above) = (_beside(step, side, places) for side in (-1, 1))
        if not math.isnan(low + high):
            break
    if _differ(low, high, 4 * sys.float_info.epsilon):
        return JUMP
    if _differ(below, above, 1e-9):
        return KINK.format(in_short(below), in_short(above))
    return ""


def _beside(step: Step, side: int, places: Sequence[int]) -> tuple[float, float]:
    """The value of an operation, and its slope, as these operands come near from one side.

    Between two large floats there is room for much to happen, and a step that is not small beside
    a small number leads past zero: only a fraction comes near enough.
    """
    node, here = step.node, step.parent.data
    near = Fraction(here) + side * Fraction(min(abs(here), 1.0) or 1.0) / 2**1000
    operands = [near if n in places else Fraction(float(v)) for n, v in enumerate(node.operands)]
    x, y = (*operands, Fraction(0))[:2]
    row, tie = node._rule.operator, node._rule.tie  # type: ignore[union-attr]
    out = float(on_fractions(row.value)(x, y, None, tie))
    slope = sum(on_fractions(row.slopes[place])(x, y, out, tie) for place in places)
    return out, round(float(slope), 300)  # what is as small as the step is 0 where it ends


def _differ(left: float, right: float, most: float) -> bool:
    """Whether two numbers lie farther apart than rounding can explain; NaN tells nothing."""
    same = math.isclose(left, right, rel_tol=most, abs_tol=most)
    return not same and not math.isnan(left + right)


@functools.cache
def on_fractions(formula: str) -> Callable[..., Any]:
    """A formula of the operator table as a function of fractions."""
    return ops.formula(formula, {n: _fractional(f) for n, f in vars(ops).items()})


def _fractional(function: object) -> object:
    """The function for fractions too: what can only be computed with floats is given floats."""
    if not callable(function):
        return function

    def wrapped(*operands: Fraction) -> Any:
        try:
            return function(*operands)
        except (TypeError, ArithmeticError):
            return function(*map(float, operands))

    return wrapped


def _conclusion(
    root: Value, leaf: Value, steps: list[Step], gradient: float, name: Mapping[Value, str]
) -> str:
    """What the derivative says, in a sentence."""
    result, by, size = name[root], name[leaf], in_short(abs(gradient))
    slope, way = in_short(gradient), "rises" if gradient > 0 else "falls"
    if math.isnan(gradient):
        return "So the derivative is NaN: not a number."
    if not math.isfinite(root.data):
        itself = f"{result} itself is {in_short(root.data)}"
        return f"So the slope is {slope}, but {itself}: the slope says nothing about it."
    if math.isinf(gradient):
        return f"So the derivative is {slope}: {result} {way} without measure."
    if _by_convention(leaf, steps):
        return f"So, by convention, the slope of {result} by {by} is {slope} at this very point."
    if gradient == 0:
        return f"So the slope is 0: a small change of {by} hardly changes {result}, if at all."
    return f"So when {by} rises by a little, {result} {way} by {size} times that."


def _by_convention(leaf: Value, steps: list[Step]) -> bool:
    """Whether the slope would be another one if that at a kink or a jump were.

    Not if the leaf does not move the operation. Nor where no error comes to a kink; but a jump is
    felt even then, as in ``x * sign(x)``.
    """
    moved = {leaf}
    for step in reversed(steps):
        broken = break_at(step)
        if step.parent in moved and (broken or step.slope):
            moved.add(step.node)
            if broken == JUMP or (broken and step.upstream):
                return True
    return False


# ---- In one formula ----------------------------------------------------------------------------

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
    """The derivative in the names of the leaves alone, unless that is too long.

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
    if not all(map(math.isfinite, (step.slope, step.upstream, step.node.data))):
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
