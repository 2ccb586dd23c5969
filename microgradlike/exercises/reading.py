"""A function at a point, read once: its names, its equations, its backward pass."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from microgradlike.derivation import slope_formula, value_formula
from microgradlike.engine import Value
from microgradlike.exercises import nudged
from microgradlike.exercises.numbers import shown
from microgradlike.inputs import describe
from microgradlike.sweep import Step, backward_steps, named, nodes
from microgradlike.typed import names_in, read_formula
from microgradlike.typeset import Line, Symbol, Tree
from microgradlike.words import counted

#: What the results of operations are called, in this order.
LETTERS = "pqrsuvkmnghlij"

#: A function of more operations than this is no exercise for the head.
LARGEST = 40

#: An expression with more letters than this is told by the equations of its operations.
LONGEST = 56


def function_of(given: object) -> Callable[..., object]:
    """The function that was given, or that a text such as ``(a + b) * (b + 1)`` stands for.

    Raises:
        TypeError: it is neither.
        ValueError: the text cannot be read.
    """
    if callable(given):
        return given
    if not isinstance(given, str):
        raise TypeError(
            "exercises are made of a function of numbers, or of a text such as "
            f"'(a + b) * (b + 1)', but got {describe(given)}"
        )
    names = names_in(given)
    f = read_formula(given, names)
    parameters = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names]
    f.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return f


def inputs_of(f: Callable[..., object]) -> list[str]:
    """The names of the inputs of a function.

    Raises:
        ValueError: it has none, or does not tell how many.
    """
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        parameters = {}.values()
    if any(p.kind in (p.VAR_POSITIONAL, p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in parameters):
        raise ValueError("exercises need a function whose inputs have names, such as f(a, b)")
    names = [p.name for p in parameters if p.default is p.empty]
    if not names:
        raise ValueError(
            "exercises need a function with at least one input, such as lambda a, b: a * b"
        )
    return names


@dataclass(frozen=True, eq=False)
class Reading:
    """A function at a point."""

    f: Callable[..., object]
    root: Value
    names: Mapping[Value, str]
    inputs: Sequence[Value]
    steps: Sequence[Step]

    @classmethod
    def of(cls, f: Callable[..., object], point: Sequence[float], result: str = "") -> Reading:
        """The function at this point.

        Args:
            f: the function.
            point: a number for each of its inputs.
            result: what its result is called.

        Raises:
            TypeError: it gives no Value.
            ValueError: it is too large, or only gives back an input.
        """
        names = inputs_of(f)
        inputs = [Value(x, label=name) for name, x in zip(names, point, strict=True)]
        root = f(*inputs)
        if not isinstance(root, Value):
            raise TypeError(
                f"exercises need a function that gives a Value, but got {describe(root)}"
            )
        found = nodes(root)
        operations = sum(bool(node.op) for node in found)
        if not operations:
            raise ValueError("exercises need a function that computes something, such as a * b")
        if operations > LARGEST:
            raise ValueError(
                f"this function has {counted(operations, 'operation')}, more than {LARGEST}: too "
                "many for exercises; give a smaller one"
            )
        taken = {node.label for node in found}
        letters = iter([x for x in LETTERS if x not in taken] + [f"p{k}" for k in range(LARGEST)])
        root.label = root.label or next(
            x for x in (result, *"efgy", "result") if x not in taken | {""}
        )
        for node in found:
            node.label = node.label or next(letters)
        return cls(f, root, named(root), inputs, list(backward_steps(root)))

    @functools.cached_property
    def nodes(self) -> list[Value]:
        """All, each after its operands."""
        return nodes(self.root)

    @functools.cached_property
    def operations(self) -> list[Value]:
        """Those that were computed, each after its operands."""
        return [node for node in self.nodes if node.op]

    @functools.cached_property
    def gradient(self) -> dict[Value, float]:
        """The gradient of each node that the backward pass reaches."""
        return {self.root: 1.0} | {step.parent: step.after for step in self.steps}

    @functools.cached_property
    def nudged(self) -> Callable[[Value], float]:
        """The gradient of a node from values alone; each node is nudged once, whoever asks."""
        return functools.cache(functools.partial(nudged.gradient, self.root))

    @functools.cached_property
    def trees(self) -> dict[Value, Tree]:
        """The name of each node, to be put into formulas."""
        return {node: Symbol(name, node.data) for node, name in self.names.items()}

    @property
    def used(self) -> list[Value]:
        """The inputs that a gradient reaches."""
        return [x for x in self.inputs if x in self.gradient]

    @property
    def learned(self) -> list[Value]:
        """Those that a step of gradient descent moves: no inputs x and no target t of a neuron."""
        given = re.compile(r"[xt]\d*")
        return [x for x in self.used if not given.fullmatch(self.names[x])] or self.used

    def arriving(self, node: Value) -> list[Step]:
        """The steps that bring a node its shares."""
        return [step for step in self.steps if step.parent is node]

    def d(self, node: Value) -> str:
        """``de/db``: what the gradient of a node is called."""
        return f"d{self.names[self.root]}/d{self.names[node]}"

    def local(self, step: Step) -> str:
        """``∂p/∂a``: what the local slope of a step is called."""
        return f"∂{self.names[step.node]}/∂{self.names[step.parent]}"

    def slope(self, step: Step) -> str:
        """The local slope of a step, as a formula."""
        return line(slope_formula(step, self.trees))

    def equation(self, node: Value) -> str:
        """``p = a × b``"""
        return f"{self.names[node]} = {line(value_formula(node, self.trees))}"

    def value(self, node: Value) -> str:
        """``p = −6``"""
        return f"{self.names[node]} = {shown(node.data)}"

    @functools.cached_property
    def expression(self) -> str:
        """``e = (a + b) × (b + 1)``; nothing where that is long."""
        trees: dict[Value, Tree] = {x: self.trees[x] for x in self.nodes if not x.op}
        for node in self.operations:
            trees[node] = value_formula(node, trees)
        whole = f"{self.names[self.root]} = {line(trees[self.root])}"
        return whole if len(whole) <= LONGEST else ""

    def setting(self, *, results: bool) -> str:
        """What a question begins with: the function, the inputs, and perhaps all results."""
        chain = self.results() if results else self.chain(self.root)
        if len(self.operations) == 1 and results:
            chain = self.value(self.root)
        lines = [self.expression, self.point()]
        if results or not self.expression:
            lines.insert(2 if results else 0, chain)
        return "\n".join(filter(None, lines))

    def point(self) -> str:
        """``a = 4, b = −2``"""
        return ", ".join(map(self.value, self.used))

    def chain(self, upto: Value) -> str:
        """The equations that lead to a node: ``p = a + b, q = b + 1, e = p × q``."""
        return ", ".join(self.equation(node) for node in nodes(upto) if node.op)

    def results(self) -> str:
        """What the operations computed, with their equations: ``p = a + b = 2, q = b + 1 = −1``."""
        return ", ".join(f"{self.equation(node)} = {shown(node.data)}" for node in self.operations)

    def numbers(self) -> tuple[tuple[str, float], ...]:
        """The names and numbers of the inputs."""
        return tuple((self.names[x], x.data) for x in self.used)


def line(tree: Tree) -> str:
    """A formula in one line, with the signs of print."""
    return re.sub(r"\*\*", "^", Line().write(tree).text)


def in_words(names: Sequence[str]) -> str:
    """``a, b and c``"""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
