"""Formulas as pictures and pages write them: with the signs of print, ``×``, ``÷``, ``x²``."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from microgradlike import flow, typeset
from microgradlike.engine import Value
from microgradlike.typeset import Line, MathML, Symbol, Tree, Written
from viz.slots import Quantity

#: An expression of more operations than this is not written in one line.
LONGEST_EXPRESSION = 12


class Page(MathML):
    """MathML with the sign of multiplication that a page has.

    >>> from microgradlike.typeset import product
    >>> "×" in Page().write(product(Symbol("w", 2.0), Symbol("x", 3.0))).text
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
