"""What must hold of a row of the operator table, so that each of its readers understands it.

``python -m microgradlike.document`` asks, and so does a test: a row that some reader knows nothing
of is better refused than silently wrong for that one alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

import numpy

from microgradlike import javascript, ops, typeset
from microgradlike.derivation import on_fractions
from microgradlike.executors import formulas
from microgradlike.functions import COMPOSED, FRIENDLIER
from microgradlike.ops import ALIASES, OPERATORS, Operator

#: What a row may say of its operator behind its rule.
LAWS = {"commutes", "folds", "saturates"}

#: What a formula calls its operands, its result, and its share of a tie.
_OPERANDS = ("x", "y", "out", "tie")

#: Where formulas are tried: above and below zero, at it, and far out.
_POINTS = ((0.5, 0.25), (-0.5, 0.25), (0.0, 0.0), (ops.inf, ops.inf))


def faults(rows: Mapping[str, Operator] = OPERATORS) -> Iterator[str]:
    """What is wrong with the rows of the table, a sentence for each fault; mostly nothing.

    >>> list(faults({"square": ops.Operator("square", "square", "x * x", ("2 * x",), ("",))}))
    ['the row square is hidden by the function square of functions.py: take that function out, or \
list its name in FRIENDLIER and let it call the row']
    """
    for row in rows.values():
        if row.name in COMPOSED and row.name not in FRIENDLIER:
            yield (
                f"the row {row.name} is hidden by the function {row.name} of functions.py: take "
                "that function out, or list its name in FRIENDLIER and let it call the row"
            )
        for law in row.laws - LAWS:
            yield (
                f"the row {row.name} says {law!r}, which nobody reads: what it may say is "
                f"{', '.join(sorted(LAWS))}"
            )
        if broken := list(ops.unread(row)):
            yield from broken
            continue
        yield from _of_formula(f"the value of {row.name}, {row.value!r},", row.value, rows)
        for slope in row.slopes:
            yield from _of_formula(f"the slope of {row.name}, {slope!r},", slope, rows, True)


def _of_formula(
    where: str, text: str, rows: Mapping[str, Operator], is_slope: bool = False
) -> Iterator[str]:
    tree = ast.parse(text, mode="eval").body
    unknown = list(_unknown(tree, rows))
    for name, why in unknown:
        yield f"{where} names {name}, {why}"
    for reader in () if unknown else _readers():
        if is_slope or not reader.writes:
            try:
                for part in _parts(tree, with_tests=not reader.writes):
                    reader.read(ast.unparse(part))
            except Exception as error:
                kind = type(error).__name__
                yield f"{where} is not read by {reader.name} ({kind}: {error}); {reader.remedy}"


def _unknown(tree: ast.expr, rows: Mapping[str, Operator]) -> Iterator[tuple[str, str]]:
    """The names that mean nothing, and why."""
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name):
            continue
        if node in called and ALIASES.get(node.id, node.id) not in rows:
            yield (
                node.id,
                "which has no row, so derivatives of derivatives do not know it: give it a row in "
                "ops.py, or write the formula with functions that have one",
            )
        elif node not in called and node.id not in {*ops.NUMBERS, *_OPERANDS}:
            yield (
                node.id,
                f"which is none of {', '.join((*_OPERANDS, *ops.NUMBERS))}: if it is a number, add "
                "it to CONSTANTS in ops.py",
            )


def _parts(tree: ast.expr, with_tests: bool) -> Iterator[ast.expr]:
    """A formula, and each of its branches and tests, which no single point would lead to."""
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, ast.IfExp):
            yield from (node.body, node.orelse)
            if with_tests:
                yield node.test


# ---- The readers -------------------------------------------------------------------------------


class _Reader(NamedTuple):
    """Who reads formulas: ``read`` raises where it does not understand one.

    Who ``writes`` them down is given slopes alone, and of their tests only those worth telling.
    """

    name: str
    read: Callable[[str], object]
    remedy: str
    writes: bool = False


def _readers() -> Iterator[_Reader]:
    remedy = (
        "write its functions of floats above the table in ops.py, so that they answer for every "
        "number, as those made by ieee do"
    )
    yield _Reader("floats", _by_floats, remedy)
    yield _Reader("fractions", _by_fractions, "see on_fractions in derivation.py")
    yield _Reader("NumPy", _by_arrays, "add it to ON_ARRAYS in executors/formulas.py")
    yield _Reader("JavaScript", _by_javascript, "say what it means in engine.js")
    for style in (typeset.Plain(), typeset.Latex(), typeset.MathML()):
        name = f"formulas in {type(style).__name__}"
        yield _Reader(name, _writer(style), "teach it to the styles in typeset.py", True)
    try:
        from microgradlike.executors.machine import kernels
    except ImportError:  # who has no numba runs no machine code
        return
    yield _Reader("machine code", kernels.read, "see _Loops in executors/machine/kernels.py")


def _by_floats(text: str) -> None:
    for x, y in _POINTS:
        float(ops.on_floats(text)(x, y, 0.5, 0.5))


def _by_fractions(text: str) -> None:
    float(on_fractions(text)(Fraction(1, 2), Fraction(1, 4), 0.5, 0.5))


def _by_arrays(text: str) -> None:
    x, y = numpy.transpose(_POINTS)
    with numpy.errstate(all="ignore"):
        numpy.asarray(formulas.formula(text)(x, y, 0.5 + 0 * y, 0.5), float)


def _by_javascript(text: str) -> None:
    called = re.findall(r"([a-z]\w*)\(", javascript.expression(text))
    if unknown := [name for name in called if name not in javascript.names()]:
        raise NameError(f"name {unknown[0]!r} is not defined")


def _writer(style: typeset.Plain) -> Callable[[str], None]:
    def write(text: str) -> None:
        for x, y in _POINTS:
            numbers = {"x": x, "y": y, "out": 0.5, "tie": 0.5}
            trees = {name: typeset.Symbol(name, number) for name, number in numbers.items()}
            for tree in (
                typeset.filled(text, trees, numbers),
                *typeset.conditions(text, trees, numbers),
            ):
                style.write(tree)

    return write
