"""What a node of a tape can be: a leaf, an operator of the table, a condition, and a few more.

Operators are told by codes: indices into ``NAMES``. What a loop over a tape must know of each is in
arrays, by code.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy

from microgradlike import ops
from microgradlike.ops import OPERATORS, Operator
from microgradlike.recording import kinds

#: Nodes that are given, not computed.
LEAVES = ("constant", "parameter", "input")

#: Conditions, which are 1 or 0, and what only a tape needs: ``keep`` is its second operand where
#: its first one holds and else nothing, -0.0, which changes no sum; ``detach`` stops the error.
#: ``reach`` is as ``keep``, of an error: elsewhere that is 0, or is multiplied by 0. So it is just
#: its second operand, unless there are infinities or NaN.
ON_FLOATS: Mapping[str, Callable[[Any, Any], Any]] = {
    **{"lt": operator.lt, "le": operator.le, "eq": operator.eq, "ne": operator.ne},
    **{"and": lambda x, y: x and y, "or": lambda x, y: x or y, "not": lambda x, _: not x},
    **{"keep": lambda x, y: y if x else -0.0, "detach": lambda x, _: x},
    **{"reach": lambda x, y: y if x else -0.0},
}
CONDITIONS, SPECIAL = tuple(ON_FLOATS)[:7], tuple(ON_FLOATS)[7:]

#: What only sends: nothing to a sum, and its error times the second operand to the first one.
SHARE = "share"
_SHARE = Operator(SHARE, SHARE, "-0.0", ("y", "0"), ("a slope of your own", ""))

#: A tie of two Values is shared, one with a number is not: these rows are two operators.
_TIED = tuple(row.name for row in OPERATORS.values() if "tie" in "".join(row.slopes))
AGAINST_A_NUMBER = "{} of a number"

#: The operator of each code on the tape.
NAMES = (
    *(*LEAVES, *OPERATORS, *map(AGAINST_A_NUMBER.format, _TIED)),
    *(*CONDITIONS, *SPECIAL, SHARE),
)
CODES: Mapping[str, int] = {name: code for code, name in enumerate(NAMES)}


def row_of(name: str) -> tuple[Operator | None, float]:
    """The row of the operator table behind a name, and what each side of a tie gets."""
    if name in OPERATORS:
        return OPERATORS[name], 0.5
    if name == SHARE:
        return _SHARE, 0.0
    return OPERATORS.get(name.removesuffix(AGAINST_A_NUMBER.format(""))), 0.0


def _arity(name: str) -> int:
    row = row_of(name)[0]
    if row:
        return len(row.slopes)
    return 0 if name in LEAVES else 1 if name in ("not", "detach") else 2


#: How many operands the node of each code has, as a tuple and as an array.
ARITIES = tuple(map(_arity, NAMES))
ARITY = numpy.array(ARITIES, numpy.int8)


def on_numbers(name: str, x: float, y: float) -> float:
    """What a node is of these operands."""
    row = row_of(name)[0]
    return float(ops.on_floats(row.value)(x, y, 0, 0) if row else ON_FLOATS[name](x, y))


def code_of(row: Operator, to: str) -> int:
    """The code of an operator whose operands "xy", "x" or "y" are Values."""
    tied = row.name in _TIED and to != "xy"
    return CODES[AGAINST_A_NUMBER.format(row.name) if tied else row.name]


#: The code of each rule.
OF_RULE = {f"{row.name}_{to}": code_of(row, to) for row in OPERATORS.values() for to in kinds(row)}

# ---- The operators as loops see them -----------------------------------------------------------

COMMUTES = numpy.isin(NAMES, ("add", "mul", "and", "or", "eq", "ne"))
_FLAT = [name for name in NAMES if (row := row_of(name)[0]) and row.is_flat]
#: Which operators let an error pass, if only to their right operand.
SENDS = ~numpy.isin(NAMES, (*LEAVES, *CONDITIONS, *_FLAT, "detach"))
#: Which ones, in a chain or a tree, are one operation along a list of values.
FOLDS = numpy.isin(NAMES, ("logaddexp", "maximum", "minimum"))


def _sends_to(name: str, side: int) -> bool:
    if name == "keep":
        return side == 1
    row = row_of(name)[0]
    return row is not None and side < len(row.slopes) and row.slopes[side] != "0"


#: Which operators send an error to their left operand, and which to their right one.
SENDS_TO = numpy.array([[_sends_to(name, side) for side in (0, 1)] for name in NAMES])
