"""The operator table in JavaScript: one more reader of its formulas, so that a page can recompute.

``engine()`` is a script of its own: ``engine.js`` with the table written into it. It computes the
values of a graph, and sends the gradients back, as ``engine.py`` does; ``graph()`` writes down a
graph of Values for it.
"""

from __future__ import annotations

import ast
import functools
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from microgradlike import ops
from microgradlike.engine import Value
from microgradlike.ops import OPERATORS, Operator
from microgradlike.rules import CustomRule

#: A node for the script: its operation and its number, then its operands.
Row: TypeAlias = "dict[str, Any]"

# ---- Formulas ----------------------------------------------------------------------------------

_SIGNS: Mapping[type[ast.AST], str] = {
    **{ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.USub: "-", ast.Not: "!"},
    **{ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "===", ast.NotEq: "!=="},
    **{ast.And: "&&", ast.Or: "||"},
}


class _JavaScript(ast.NodeVisitor):
    """Writes a formula, in which ``/ // ** %`` are calls already."""

    def generic_visit(self, node: ast.AST) -> str:
        raise ValueError(f"{ast.unparse(node)!r} has no spelling in JavaScript")

    def visit_Name(self, node: ast.Name) -> str:
        return number(ops.NUMBERS[node.id]) if node.id in ops.NUMBERS else node.id

    def visit_Constant(self, node: ast.Constant) -> str:
        if isinstance(node.value, bool):
            return "true" if node.value else "false"
        return (
            number(node.value) if isinstance(node.value, int | float) else self.generic_visit(node)
        )

    def visit_UnaryOp(self, node: ast.UnaryOp) -> str:
        return f"{_SIGNS[type(node.op)]}({self.visit(node.operand)})"

    def visit_BinOp(self, node: ast.BinOp) -> str:
        return f"({self.visit(node.left)} {_SIGNS[type(node.op)]} {self.visit(node.right)})"

    def visit_Compare(self, node: ast.Compare) -> str:
        sides = [self.visit(side) for side in (node.left, *node.comparators)]
        pairs = zip(sides, node.ops, sides[1:], strict=False)
        return f"({' && '.join(f'{a} {_SIGNS[type(op)]} {b}' for a, op, b in pairs)})"

    def visit_BoolOp(self, node: ast.BoolOp) -> str:
        return f"({f' {_SIGNS[type(node.op)]} '.join(map(self.visit, node.values))})"

    def visit_IfExp(self, node: ast.IfExp) -> str:
        return f"({self.visit(node.test)} ? {self.visit(node.body)} : {self.visit(node.orelse)})"

    def visit_Call(self, node: ast.Call) -> str:
        return f"{self.visit(node.func)}({', '.join(map(self.visit, node.args))})"


def expression(formula: str) -> str:
    """A formula of the table as JavaScript.

    Raises:
        ValueError: there is something in it that no formula of the table has.

    >>> expression("1 if x > 0 else y ** 2 if x <= 0 else nan")
    '((x > 0) ? 1 : ((x <= 0) ? power(y, 2) : NaN))'
    """
    spelt = ops.spell(formula, lambda name: name)
    return str(_JavaScript().visit(ast.parse(spelt, mode="eval").body))


def number(value: float) -> str:
    """A number as JavaScript writes it.

    >>> number(0.1), number(math.inf), number(2.0)
    ('0.1', 'Infinity', '2')
    """
    if math.isfinite(value):
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


# ---- The table ---------------------------------------------------------------------------------


def table(rows: Mapping[str, Operator] = OPERATORS) -> str:
    """The operator table: of each operator its value, its slopes, and whether anything passes.

    Where the formula of a slope has branches, also which of them is taken.

    >>> row = OPERATORS["mul"]
    >>> print(table({"mul": row}))
    {
      mul: {
        value: (x, y) => (x * y),
        slopes: [(x, y, out, tie) => y, (x, y, out, tie) => x],
        passes: [(x, y, out, tie) => true, (x, y, out, tie) => true],
      },
    }
    """
    lines = ["{"]
    for row in rows.values():
        slopes, passes = (
            ", ".join(f"(x, y, out, tie) => {text}" for text in texts)
            for texts in (map(expression, row.slopes), map(_passes, row.slopes))
        )
        lines += [f"  {row.name}: {{", f"    value: (x, y) => {expression(row.value)},"]
        lines += [f"    slopes: [{slopes}],", f"    passes: [{passes}],"]
        if any(" if " in text for text in row.slopes):
            which = (expression(ops.branches(text)[1]) for text in row.slopes)
            choices = ", ".join(f"(x, y, out, tie) => {text}" for text in which)
            lines += [f"    branches: [{choices}],"]
        lines += ["  },"]
    return "\n".join([*lines, "}"])


def _passes(slope: str) -> str:
    """Whether a slope lets a gradient pass; at a tie that may depend on what is beside it."""
    shared, alone = (expression(ops.passes(slope, tie)) for tie in (0.5, 0.0))
    for whole in ("true", "false"):
        if set(re.findall(r"true|false", shared + alone)) == {whole}:
            return whole
    return shared if shared == alone else f"(tie ? {shared} : {alone})"


@functools.cache
def engine() -> str:
    """The script ``engine``: the table, what its names mean, and the two passes over a graph.

    >>> "const engine = " in engine()
    True
    """
    script = Path(__file__).with_name("engine.js").read_text(encoding="utf-8")
    return script.replace("/* the operator table */ {}", table())


@functools.cache
def names() -> frozenset[str]:
    """The functions that ``engine.js`` gives a meaning: a row may name no others.

    >>> {"exp", "erf", "round_to"} <= names()
    True
    """
    script = Path(__file__).with_name("engine.js").read_text(encoding="utf-8")
    functions = script.partition("const OPERATORS")[0]
    (of_its_own,) = re.findall(r"const \{([^}]*)\} = Math", functions)
    return frozenset(re.findall(r"const (\w+) = \(", functions) + re.findall(r"\w+", of_its_own))


# ---- A graph -----------------------------------------------------------------------------------


def graph(nodes: Sequence[Value]) -> list[Row]:
    """Nodes as the script needs them: operands are the places of nodes, or numbers.

    Args:
        nodes: a graph, each node after its operands.

    Returns:
        A row for each, to be written as JSON: ``op`` ("" for a leaf), ``data``, and its operands
        ``x`` and ``y``: a place, or a list with a number.

    Raises:
        KeyError: a node comes before an operand.

    >>> a = Value(3.0)
    >>> graph([a, a * 2.0])
    [{'op': '', 'data': 3.0}, {'op': 'mul', 'data': 6.0, 'x': 0, 'y': [2.0]}]
    """
    places = {node: place for place, node in enumerate(nodes)}
    rows = []
    for node in nodes:
        row: Row = {"op": node.op, "data": in_json(node.data)}
        if isinstance(node._rule, CustomRule):
            row["op"] = "custom"
        elif node.op:
            for side, operand in zip("xy", node.operands, strict=False):
                if isinstance(operand, Value):
                    row[side] = places[operand]
                else:
                    row[side] = [in_json(float(operand))]
        rows.append(row)
    return rows


def in_json(value: float) -> float | str:
    """A number for JSON, which has neither infinities nor NaN: those are words for ``Number``.

    >>> in_json(-0.5), in_json(math.inf)
    (-0.5, 'Infinity')
    """
    return value if math.isfinite(value) else number(value)
