"""What a node of a tape can be: a leaf, an operator of the table, a condition, and a few more.

Operators are told by codes: indices into ``NAMES``. What a loop over a tape must know of each is in
arrays, by code.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping

import numpy

from microgradlike import ops
from microgradlike.compiler.arrays import Ints, Truths
from microgradlike.ops import OPERATORS, Operator, read
from microgradlike.recording import kinds

#: Nodes that are given, not computed.
LEAVES = ("constant", "parameter", "input")
#: Leaves of a loop: what differs from round to round, and its round; see ``rounds.py``.
CARRIED, ROUND = "carried", "rounds"

# Conditions are 1 or 0. The rest is what only a tape needs: ``keep`` is its second operand where
# its first one holds and else nothing, -0.0, which changes no sum; ``detach`` stops the error.
# ``reach`` is as ``keep``, of an error: elsewhere that is 0, or is multiplied by 0. So it is just
# its second operand, unless there are infinities or NaN. ``share`` adds nothing to a sum, and sends
# its first operand its error times the second one, which is a slope of the user's own. A node has
# two operands at most, so a list is a chain of nodes: ``table`` is its first entry, ``entry`` adds
# one to those before. ``take`` is the entry that its first operand, an index, names in a chain.
# ``lower`` is the condition by which ``max`` takes one of two: at a tie it does not matter which,
# but for the slope. ``loop`` goes through its rounds, and ``result`` is one of the numbers that the
# last one gives.
_TABLE = """
# name   | value            | slope         | rule                                 | laws
  lt <   | x < y            | 0             | flat: nothing passes
         |                  | 0
  le <=  | x <= y           | 0             | flat: nothing passes
         |                  | 0
  eq ==  | x == y           | 0             | flat: nothing passes                 | commutes
         |                  | 0
  ne !=  | x != y           | 0             | flat: nothing passes                 | commutes
         |                  | 0
  and    | x and y          | 0             | flat: nothing passes                 | commutes
         |                  | 0
  or     | x or y           | 0             | flat: nothing passes                 | commutes
         |                  | 0
  not    | not x            | 0             | flat: nothing passes
  keep   | y if x else -0.0 | 0             | flat: nothing passes
         |                  | 1 if x else 0 | all passes where the condition holds
  detach | x                | 0             | nothing passes
  reach  | y if x else -0.0 | 0             | flat: nothing passes
         |                  | 1 if x else 0 | all passes where the condition holds
  share  | -0.0             | y             | a slope of your own
         |                  | 0             | nothing passes
  table  | x                | 1             | all passes
  entry  | y                | 1             | all passes
         |                  | 1             | all passes
  take   | y                | 0             | flat: nothing passes to the index
         |                  | 1             | all passes to the entry
  loop   | x                | 1             | all passes
  result | x                | 1             | all passes
         |                  | 0             | nothing passes
  lower  | x < y            | 0             | flat: nothing passes
         |                  | 0
"""
_ROWS = read(_TABLE)
CONDITIONS = (*tuple(_ROWS)[:7], "lower")
SHARE = "share"
TABLE, ENTRY, TAKE = "table", "entry", "take"
LOOP, RESULT = "loop", "result"

#: A tie of two Values is shared, one with a number is not: these rows are two operators.
_TIED = tuple(row.name for row in OPERATORS.values() if "tie" in "".join(row.slopes))
AGAINST_A_NUMBER = "{} of a number"

#: The operator of each code on the tape.
NAMES = (*LEAVES, *OPERATORS, *map(AGAINST_A_NUMBER.format, _TIED), *_ROWS, CARRIED, ROUND)
CODES: Mapping[str, int] = {name: code for code, name in enumerate(NAMES)}


@functools.cache
def row_of(name: str) -> tuple[Operator | None, float]:
    """The row behind a name, and what each side of a tie gets; None of a leaf."""
    if name in OPERATORS:
        return OPERATORS[name], 0.5
    return _ROWS.get(name) or OPERATORS.get(name.removesuffix(AGAINST_A_NUMBER.format(""))), 0.0


#: How many operands the node of each code has, as a tuple and as an array.
ARITIES = tuple(len(row.slopes) if (row := row_of(name)[0]) else 0 for name in NAMES)
ARITY: Ints = numpy.array(ARITIES, numpy.int8)


def on_numbers(name: str, x: float, y: float) -> float:
    """What a node is of these operands."""
    row = row_of(name)[0]
    assert row is not None
    return float(ops.on_floats(row.value)(x, y, 0, 0))


def code_of(row: Operator, to: str) -> int:
    """The code of an operator whose operands "xy", "x" or "y" are Values."""
    tied = row.name in _TIED and to != "xy"
    return CODES[AGAINST_A_NUMBER.format(row.name) if tied else row.name]


#: The code of each rule.
OF_RULE = {f"{row.name}_{to}": code_of(row, to) for row in OPERATORS.values() for to in kinds(row)}

# ---- The operators as loops see them -----------------------------------------------------------


#: Which ones commute to the last digit. Functions may round in another way, and of 0.0 and -0.0
#: ``maximum`` takes the first.
COMMUTES: Truths = numpy.isin(
    NAMES,
    [
        *(row.name for row in OPERATORS.values() if row.commutes and row.is_infix),
        *(name for name in CONDITIONS if _ROWS[name].commutes),
    ],
)
#: Operators that jump: next to a multiple of the second operand, to 0, to an integer, and halfway
#: between two of them, the last digit of a number decides how far.
OF_QUOTIENTS, AT_ZERO = ("mod", "floordiv"), ("sign",)
AT_INTEGERS, BETWEEN = ("floor", "ceil", "trunc"), ("round", "round_to")
JUMPS = (*OF_QUOTIENTS, *AT_ZERO, *AT_INTEGERS, *BETWEEN)
#: Which ones the last digit of an operand can decide.
DECIDES: Truths = numpy.isin(NAMES, ["lt", "le", "eq", "ne", *JUMPS])
#: Which ones have a kink, or an end, or are infinite somewhere; a quotient is where its right side
#: is 0. Next to that place the last digit of an operand can decide what the slope is.
SHARP: Truths = numpy.array(
    [
        name.removesuffix(AGAINST_A_NUMBER.format(""))
        in (
            *("truediv", "pow", "abs", "relu", "leaky_relu", "elu", "maximum", "minimum", "hypot"),
            *("log", "log2", "log10", "log1p", "sqrt", "cbrt", "asin", "acos", "acosh", "atanh"),
            *("atan2", "lower"),
        )
        for name in NAMES
    ]
)
#: What is never negative: a sum of such is 0 in any order, or in none.
POSITIVE: Truths = numpy.isin(
    NAMES, ["exp", "exp2", "sigmoid", "softplus", "abs", "relu", "sqrt", "cosh", "hypot"]
)
#: What else IEEE 754 rounds as Python does, wherever it is computed. Of other functions, such as
#: exp, the last digit depends on who computes them: NumPy, and on which processor.
ALIKE = frozenset(
    (
        *("abs", "sqrt", "sign", "maximum", "minimum", "floor", "ceil", "trunc", "rint"),
        *("divide", "remainder", "floor_divide", "round_to"),
    )
)


def _is_rounded_alike(name: str) -> bool:
    row = row_of(name)[0]
    tree = ast.parse(ops.spell(row.value, str) if row else "0", mode="eval")
    calls = (call.func for call in ast.walk(tree) if isinstance(call, ast.Call))
    return all(isinstance(f, ast.Name) and f.id in ALIKE for f in calls)


#: Which ones give the same number, to the last digit, whoever computes them.
ROUNDED_ALIKE: Truths = numpy.array([_is_rounded_alike(name) for name in NAMES])
#: Which ones take so long that it is worth while to ask whether any row needs them.
SLOW: Truths = ~ROUNDED_ALIKE
#: Which ones, in a chain or a tree, are one operation along a list of values.
FOLDS: Truths = numpy.isin(NAMES, [row.name for row in OPERATORS.values() if row.folds])


def _sends_to(name: str, side: int) -> bool:
    row = row_of(name)[0]
    return row is not None and side < len(row.slopes) and row.slopes[side] != "0"


#: Which operators send an error to their left operand, and which to their right one.
SENDS_TO: Truths = numpy.array([[_sends_to(name, side) for side in (0, 1)] for name in NAMES])
#: Which ones let an error pass, if only to their right operand.
SENDS: Truths = SENDS_TO[:, 0] | SENDS_TO[:, 1]
