"""Formulas as pictures and pages write them: with the signs of print, ``×``, ``÷``, ``x²``."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from microgradlike import flow, typeset
from microgradlike.engine import Value
from microgradlike.typeset import MathML, Plain, Symbol, Tree, Written
from viz import style
from viz.slots import Quantity

#: An expression of more operations than this is not written in one line.
LONGEST_EXPRESSION = 12


class Line(Plain):
    """One line of text.

    >>> x = Symbol("x", 2.0)
    >>> Line().write(ast.BinOp(typeset.product(x, ast.Constant(-3)), ast.Sub(), x)).text
    'x × (−3) − x'
    >>> [Line().write(ast.BinOp(x, ast.Pow(), ast.Constant(y))).text for y in (2, 0.5)]
    ['x²', 'x^0.5']
    """

    minus = "−"
    signs: Mapping[type[ast.operator], str] = {
        **Plain.signs,
        ast.Sub: " − ",
        ast.Mult: " × ",
        ast.Mod: " mod ",
    }

    def number(self, text: str) -> Written:
        written = super().number(text)
        return written._replace(text=text.replace("-", "−"))

    def fraction(self, top: Tree, bottom: Tree) -> Written:
        over, under = self.within(top, typeset.PRODUCT), self.within(bottom, typeset.POWER)
        return Written(f"{over} ÷ {under}", typeset.PRODUCT)

    def power(self, base: Tree, exponent: Tree) -> Written:
        below, above = self.within(base, typeset.ATOM), self.within(exponent, typeset.ATOM)
        return Written(f"{below}{style.raised(above)}", typeset.POWER)


class Page(MathML):
    """MathML with the sign of multiplication that a page has.

    >>> "×" in Page().write(typeset.product(Symbol("w", 2.0), Symbol("x", 3.0))).text
    True
    """

    signs: Mapping[type[ast.operator], str] = {**MathML.signs, ast.Mult: "<mo>×</mo>"}

    def write(self, tree: Tree) -> Written:
        match tree:
            case ast.Constant(Quantity() as quantity):
                return Written(quantity.slot("math"))
            case ast.BinOp(left, ast.Add(), ast.Constant(Quantity() as quantity)):
                sides = (self.within(left, typeset.SUM), quantity.slot("added"))
                return Written(self.signs[ast.Add].join(sides), typeset.SUM)
        return super().write(tree)

    def within(self, tree: Tree, binding: int) -> str:
        match tree:
            case ast.Constant(Quantity() as quantity) if binding > typeset.SUM:
                return quantity.slot("factor")
        return super().within(tree, binding)


def in_line(tree: Tree) -> str:
    """The formula as one line of text."""
    return Line().write(tree).text


def equation_in_line(node: Value, trees: Mapping[Value, Tree]) -> str:
    """``y = a × b``: what a node computes, for a sentence."""
    branch = " (the branch that where took)" if node.op == "where" else ""
    return f"{in_line(trees[node])} = {in_line(flow.value_formula(node, trees))}{branch}"


def expression(nodes: Sequence[Value], names: Mapping[Value, str]) -> Tree | None:
    """The last of the nodes in terms of the leaves; None where that is too long for one line.

    Args:
        nodes: each after its operands.
        names: of the leaves at least.

    >>> a, b = Value(4.0), Value(-2.0)
    >>> e = (a + b) * (b + 1)
    >>> in_line(expression(flow.nodes(e), {a: "a", b: "b"}))
    '(a + b) × (b + 1)'
    """
    trees: dict[Value, Tree] = {}
    sizes: dict[Value, int] = {}
    for node in nodes:
        sizes[node] = bool(node.op) + sum(sizes[parent] for parent in node.parents)
        if sizes[node] > LONGEST_EXPRESSION:
            return None
        trees[node] = flow.value_formula(node, trees) if node.op else Symbol(names[node], node.data)
    return trees[nodes[-1]]
