"""What a page on learning tells at one step: the moment, what all chapters know, equations."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from microgradlike import typeset
from viz.formula import Page
from viz.learner import Learner, State, Weight
from viz.terms import Terms, rounded

Place = tuple[int, int]
"""Of a neuron or an input: its column, the inputs first, and its row."""

#: A table in the panel has no more rows than this.
MOST_ROWS = 24


@dataclass(frozen=True)
class Moment:
    """One step of the page: what is known by now, what is happening, and the words for it."""

    chapter: int
    kind: str
    sentence: str
    question: str
    """What a reader who wants to be asked is asked instead."""
    state: State
    equations: tuple[str, ...] = ()
    """In MathML."""
    notes: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()
    """Its first row has the headings."""
    forward: frozenset[Place] = frozenset()
    """The neurons whose weighted sum and output are known."""
    target: bool = True
    """Whether the target has arrived."""
    back: frozenset[Place] = frozenset()
    """The neurons whose delta is known."""
    gradients: State | None = None
    """Whose gradients of the weights are known."""
    gradients_from: int = 0
    """The first layer of which they are known."""
    before: State | None = None
    """The weights from which those of the state have moved."""
    since: str = ""
    """Since when they have moved, in words."""
    active: frozenset[Place] = frozenset()
    """The neurons that are at work."""
    bent: frozenset[Place] = frozenset()
    """The neurons whose curve is shown."""
    flowing: frozenset[Weight] = frozenset()
    """The weights and biases that the moment is about."""
    carried: Literal["weights", "products", "gradients", "slopes"] = "weights"
    """What their arrows carry."""
    round: int | None = None
    """After which round this is."""


class Chapter:
    """What the chapters have in common: a learner, and the words for it."""

    def __init__(self, learner: Learner, terms: Terms) -> None:
        self.learner, self.say = learner, terms
        self.state = learner.state(learner.after[0], 0)
        self.columns = len(self.state.network.names)
        names = self.state.network.names
        self.people = [(k, row) for k, called in enumerate(names) for row in range(len(called))]
        self.places = self.state.places

    def column(self, column: int) -> frozenset[Place]:
        """The neurons of a column."""
        return frozenset(place for place in self.people if place[0] == column)

    def layer(self, layer: int) -> frozenset[Weight]:
        """The weights and biases of a layer."""
        return frozenset(place for place in self.places if place[0] == layer)

    @property
    def everybody(self) -> frozenset[Place]:
        """All neurons."""
        return frozenset(place for place in self.people if place[0])


# ---- Equations ---------------------------------------------------------------------------------


def number(value: Any) -> ast.expr:
    """A number as a part of an equation."""
    return typeset.constant(rounded(value))


def call(name: str, argument: ast.expr) -> ast.expr:
    """A function of something."""
    return ast.Call(ast.Name(name), [argument], [])


def minus(left: ast.expr, right: ast.expr) -> ast.expr:
    """left - right."""
    return ast.BinOp(left, ast.Sub(), right)


def added(terms: Sequence[ast.expr]) -> ast.expr:
    """The terms added up as they are; of many the first ones and the last one."""
    shown = list(terms) if len(terms) <= 6 else [*terms[:4], ast.Name("…"), terms[-1]]
    tree, *rest = shown
    for term in rest:
        tree = ast.BinOp(tree, ast.Add(), term)
    return tree


def equation(*sides: ast.expr) -> str:
    """An equation in MathML, which browsers show without any library.

    No browser breaks a formula into lines; so it is several, one for each ``=`` and ``+``.

    >>> line = equation(ast.Name("z"), added([ast.Name("a"), ast.Name("b")]), number(5))
    >>> line.count("<math"), line.count('<mo form="infix">+</mo>')
    (4, 1)
    """
    parts = "<mo>=</mo>".join(Page().parts(list(sides)))
    pieces: list[list[str]] = [[]]
    for part in ElementTree.fromstring(f"<mrow>{parts}</mrow>"):
        if part.tag == "mo" and part.text in ("=", "+"):
            part.set("form", "infix")
            pieces.append([])
        pieces[-1].append(ElementTree.tostring(part, encoding="unicode"))
    written = (f'<math displaystyle="true">{"".join(piece)}</math>' for piece in pieces)
    return f"<p>{' '.join(written)}</p>"
