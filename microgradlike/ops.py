"""The operator table: the ONLY place where a derivative is written.

A row gives an operator's value and its slopes (local derivatives) as formulas in Python's own
syntax; ``x`` and ``y`` are the operands, ``out`` is the value just computed. One text serves every
reader, told apart only by the names it is evaluated with: floats (the eager methods and the
backward sweep), Values (so the gradient of a graph is a graph again), and the documentation.

Adding an operator is adding one row here and its hand derivation in ``tests/derivations.py``. Then
``python -m microgradlike.document`` says what a reader does not understand, or writes the pages.
"""

from __future__ import annotations

import ast
import functools
import keyword
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy

inf, nan, pi = math.inf, math.nan, math.pi

#: The other numbers that formulas name, as one writes them.
CONSTANTS: Mapping[str, str] = {
    "LN2": "log(2)",
    "LN10": "log(10)",
    "TWO_OVER_SQRT_PI": "2 / sqrt(pi)",
}
LN2, LN10, TWO_OVER_SQRT_PI = (eval(text, dict(vars(math))) for text in CONSTANTS.values())

Float = Callable[..., float]


# ---- IEEE 754 arithmetic -----------------------------------------------------------------------
# Python's math raises where IEEE 754 has an answer: 1/0 = inf, log(0) = -inf, exp(1000) = inf,
# (-2)**0.5 = nan. The fast function is tried first; NumPy answers where it raises.


def ieee(fast: Float, exact: Float) -> Float:
    """The function ``fast``, answering as ``exact`` does wherever ``fast`` would raise."""

    def function(*operands: float) -> float:
        try:
            return float(fast(*operands))
        except (ValueError, OverflowError, ZeroDivisionError):
            with numpy.errstate(all="ignore"):
                return float(exact(*map(numpy.float64, operands)))

    return function


def divide(x: float, y: float) -> float:
    try:
        return x / y
    except ZeroDivisionError:
        return nan if x == 0 or x != x else math.copysign(inf, x) * math.copysign(1.0, y)


def exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return inf


def log(x: float) -> float:
    try:
        return math.log(x)
    except ValueError:
        return -inf if x == 0 else nan


def power(x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except (ValueError, OverflowError):
        with numpy.errstate(all="ignore"):
            return float(numpy.power(x, y))


def sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0 else nan


remainder = ieee(operator.mod, numpy.remainder)
floor_divide = ieee(operator.floordiv, numpy.floor_divide)
log1p, log2, log10 = (ieee(getattr(math, f), getattr(numpy, f)) for f in ("log1p", "log2", "log10"))
expm1, sinh, cosh = (ieee(getattr(math, f), getattr(numpy, f)) for f in ("expm1", "sinh", "cosh"))
sin, cos, tan = (ieee(getattr(math, f), getattr(numpy, f)) for f in ("sin", "cos", "tan"))
asin, acos = ieee(math.asin, numpy.arcsin), ieee(math.acos, numpy.arccos)
acosh, atanh = ieee(math.acosh, numpy.arccosh), ieee(math.atanh, numpy.arctanh)
atan, asinh, tanh, atan2 = math.atan, math.asinh, math.tanh, math.atan2
erf, erfc = math.erf, math.erfc
hypot = ieee(math.hypot, numpy.hypot)
exp2 = ieee(functools.partial(math.pow, 2.0), numpy.exp2)


def cbrt(x: float) -> float:
    return float(numpy.cbrt(x))  # math.cbrt is missing from Python 3.10


def sigmoid(x: float) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    e = math.exp(x)  # exp of a negative number cannot overflow
    return e / (1 + e)


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x))) if x == x else nan


def logaddexp(x: float, y: float) -> float:
    return x + LN2 if x == y else max(x, y) + math.log1p(math.exp(-abs(x - y))) if x == x else nan


def maximum(x: float, y: float) -> float:
    return x if x >= y else y if y > x else nan


def minimum(x: float, y: float) -> float:
    return x if x <= y else y if y < x else nan


def sign(x: float) -> float:
    return 1.0 if x > 0 else -1.0 if x < 0 else x


# Python gives integers for floor, ceil, trunc and round; copysign keeps ceil(-0.5) at -0.0.
def floor(x: float) -> float:
    return math.copysign(math.floor(x), x) if math.isfinite(x) else x


def ceil(x: float) -> float:
    return math.copysign(math.ceil(x), x) if math.isfinite(x) else x


def trunc(x: float) -> float:
    return math.copysign(math.trunc(x), x) if math.isfinite(x) else x


def rint(x: float) -> float:
    return math.copysign(round(x), x) if math.isfinite(x) else x


def round_to(x: float, y: float) -> float:
    if not abs(y) < inf:  # to all digits, to none, or to nobody knows how many
        return x if y == inf else 0.0 * x if y == -inf else nan
    y = max(-400.0, min(y, 1100.0))  # no float has a digit beyond, and a fraction need not look
    try:
        return round(x, int(y))
    except OverflowError:  # beyond the largest float
        return math.copysign(inf, x)


# ---- The table ---------------------------------------------------------------------------------
# A second line belongs to the second operand, y. Conventions at the special points (all of them are
# listed in docs/edge_cases.md, and a test reads that page): a slope at a kink is the smallest in
# size; NaN in gives NaN out, in the value and in the slope; `tie` is what each side of a tie gets:
# half between two Values, nothing against a constant, so that relu(x) and maximum(x, 0) agree.
# A slope that is written as the literal 0, as a whole or in a branch, means that the operand does
# not matter: nothing passes, not even 0 times infinity. One that happens to be 0 is multiplied.
#
# The sign behind a name is Python's own. What else holds of an operator is said at the end of its
# row: it "commutes" if the order of its operands does not matter; it "folds" if a chain of it, or a
# tree, is one operation on a list; it "saturates" if it is an activation that has a flat end.

_TABLE = """
# name       | value                         | slope                                          | rule                                        | laws
  add +      | x + y                         | 1                                              | both sides get the gradient unchanged       | commutes
             |                               | 1
  sub -      | x - y                         | 1                                              | the left side gets the gradient unchanged
             |                               | -1                                             | the right side gets the gradient negated
  mul *      | x * y                         | y                                              | each side gets gradient × the other's value | commutes
             |                               | x
  truediv /  | x / y                         | 1 / y                                          | the dividend gets gradient ÷ divisor
             |                               | -out / y                                       | the divisor gets gradient × −(result ÷ divisor)
  pow **     | x ** y                        | y * x ** (y - 1) if y != 0 or (tie > 0 and 1 / abs(x) < inf) else 0 | bring the exponent down, reduce it by one
             |                               | 0 if x == 0 and y >= 0 else out * log(x)       | the exponent gets gradient × result × log(base)
  mod %      | x % y                         | 1                                              | the left side gets the gradient unchanged
             |                               | 1 if abs(out) == inf else rint(out / y - x / y) | the divisor's share counts the wraps
  floordiv // | x // y                       | 0                                              | flat: nothing passes
             |                               | 0
  neg -      | -x                            | -1                                             | the gradient changes sign
  abs        | abs(x)                        | sign(x)                                        | the sign of x decides
  exp        | exp(x)                        | out                                            | its slope is its own value
  exp2       | exp2(x)                       | out * LN2                                      | its slope is its value × log 2
  expm1      | expm1(x)                      | exp(x)                                         | the slope of exp
  log        | log(x)                        | 1 / x                                          | small numbers get large gradients
  log1p      | log1p(x)                      | 1 / (1 + x)                                    | the slope of log, shifted by one
  log2       | log2(x)                       | 1 / (x * LN2)                                  | the slope of log, in bits
  log10      | log10(x)                      | 1 / (x * LN10)                                 | the slope of log, in digits
  sqrt       | sqrt(x)                       | 0.5 / out                                      | steep near zero
  cbrt       | cbrt(x)                       | 1 / (3 * out * out)                            | steep near zero
  sin        | sin(x)                        | cos(x)                                         | its slope is the cosine
  cos        | cos(x)                        | -sin(x)                                        | its slope is minus the sine
  tan        | tan(x)                        | 1 + out * out                                  | steep near its poles
  asin       | asin(x)                       | 1 / sqrt((1 - x) * (1 + x))                    | steep near both ends
  acos       | acos(x)                       | -1 / sqrt((1 - x) * (1 + x))                   | steep near both ends, falling
  atan       | atan(x)                       | 1 / (1 + x * x)                                | flat far from zero
  atan2      | atan2(x, y)                   | 0 if hypot(x, y) == 0 else y / hypot(x, y) / hypot(x, y)  | far points turn little
             |                               | 0 if hypot(x, y) == 0 else -x / hypot(x, y) / hypot(x, y)
  sinh       | sinh(x)                       | cosh(x)                                        | steep far from zero
  cosh       | cosh(x)                       | sinh(x)                                        | steep far from zero
  tanh       | tanh(x)                       | 1 - out * out                                  | flat far from zero                          | saturates
  asinh      | asinh(x)                      | 1 / hypot(1, x)                                | flat far from zero
  acosh      | acosh(x)                      | 1 / (sqrt(x - 1) * sqrt(x + 1))                | steep near one
  atanh      | atanh(x)                      | 1 / ((1 - x) * (1 + x))                        | steep near both ends
  erf        | erf(x)                        | TWO_OVER_SQRT_PI * exp(-x * x)                 | a bell curve                                | saturates
  erfc       | erfc(x)                       | -TWO_OVER_SQRT_PI * exp(-x * x)                | a bell curve, negated
  sigmoid    | sigmoid(x)                    | out * (1 - out)                                | steepest at zero, flat far away             | saturates
  softplus   | softplus(x)                   | sigmoid(x)                                     | a gate that opens smoothly
  softsign   | x / (1 + abs(x)) if abs(x) < inf else sign(x) | 1 / (1 + abs(x)) ** 2         | flat far from zero                           | saturates
  relu       | 0.0 if x <= 0 else x          | 1 if x > 0 else 0 if x <= 0 else nan           | open above zero, otherwise shut             | saturates
  leaky_relu | x if x > 0 else y * x         | 1 if x > 0 else y if x <= 0 else nan           | open above zero, a leak below
             |                               | 0 if x > 0 else x                              | the leak's slope gets what leaked
  elu        | x if x > 0 else y * expm1(x)  | 1 if x > 0 else y * exp(x)                     | open above zero, fading below
             |                               | 0 if x > 0 else expm1(x)                       | the scale gets what it scaled
  maximum    | maximum(x, y)                 | 1 if x > y else 0 if x < y else tie if x == y else nan    | the larger side gets all; Values share ties | commutes, folds
             |                               | 1 if x < y else 0 if x > y else tie if x == y else nan
  minimum    | minimum(x, y)                 | 1 if x < y else 0 if x > y else tie if x == y else nan    | the smaller side gets all; Values share ties | commutes, folds
             |                               | 1 if x > y else 0 if x < y else tie if x == y else nan
  hypot      | hypot(x, y)                   | 0 if out == 0 else x / out                     | each side gets its share of the length      | commutes
             |                               | 0 if out == 0 else y / out
  logaddexp  | logaddexp(x, y)               | 0.5 if x == y and abs(x) == inf else sigmoid(x - y) | shared by size, as in softmax          | commutes, folds
             |                               | 0.5 if x == y and abs(x) == inf else sigmoid(y - x)
  where      | x                             | 1                                              | the branch taken gets all
  sign       | sign(x)                       | 0                                              | flat: nothing passes
  floor      | floor(x)                      | 0                                              | flat: nothing passes
  ceil       | ceil(x)                       | 0                                              | flat: nothing passes
  trunc      | trunc(x)                      | 0                                              | flat: nothing passes
  round      | rint(x)                       | 0                                              | flat: nothing passes
  round_to   | round_to(x, y)                | 0                                              | flat: nothing passes
             |                               | 0
"""  # noqa: E501

#: The other names under which NumPy knows these operators.
ALIASES: Mapping[str, str] = {
    **{"subtract": "sub", "multiply": "mul", "divide": "truediv", "true_divide": "truediv"},
    **{
        "power": "pow",
        "remainder": "mod",
        "floor_divide": "floordiv",
        "negative": "neg",
        "absolute": "abs",
        "fabs": "abs",
    },
    **{"arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2"},
    **{"arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "rint": "round"},
}


@dataclass(frozen=True)
class Operator:
    """One row of the table: the formulas are text.

    There is one slope for each operand, and one rule: how it shares the error, in a few words.
    """

    name: str
    symbol: str
    value: str
    slopes: tuple[str, ...]
    rules: tuple[str, ...]
    laws: frozenset[str] = frozenset()

    @property
    def commutes(self) -> bool:
        """Whether the order of the operands does not matter, but perhaps for the last digit."""
        return "commutes" in self.laws

    @property
    def folds(self) -> bool:
        """Whether a chain or a tree of it is one operation on a list of values."""
        return "folds" in self.laws

    @property
    def saturates(self) -> bool:
        """Whether it is an activation that passes next to no error at one end, or at both."""
        return "saturates" in self.laws

    @property
    def is_infix(self) -> bool:
        """Whether its sign is written between its operands."""
        return self.symbol != self.name and len(self.slopes) == 2

    @property
    def method(self) -> str:
        """Python's name for the method behind its sign or function, ``__add__``; "" if none."""
        return method if hasattr(float, method := f"__{self.name}__") else ""

    @property
    def reflected_method(self) -> str:
        """The same for an operand on the right, ``__radd__``."""
        return method if hasattr(float, method := f"__r{self.name}__") else ""

    @property
    def is_flat(self) -> bool:
        """Whether no operand ever gets anything."""
        return set(self.slopes) == {"0"}

    @property
    def rule(self) -> str:
        """The rules of all operands."""
        return "; ".join(dict.fromkeys(self.rules))


def branches(formula: str) -> tuple[list[str], str]:
    """What a formula may be, on each side of its conditions; and a formula that says which.

    >>> branches("1 if x > 0 else y if x <= 0 else nan")
    (['1', 'y', 'nan'], '0 if x > 0 else 1 if x <= 0 else 2')
    """
    found: list[str] = []

    def numbered(node: ast.expr) -> ast.expr:
        if isinstance(node, ast.IfExp):
            body = numbered(node.body)
            return ast.IfExp(node.test, body, numbered(node.orelse))
        found.append(ast.unparse(node))
        return ast.Constant(len(found) - 1)

    which = ast.unparse(numbered(ast.parse(formula, mode="eval").body))
    return found, which


def read(table: str) -> dict[str, Operator]:
    """The rows of a table, by name."""
    rows: dict[str, Operator] = {}
    for line in table.strip().splitlines()[1:]:
        name, value, slope, rule, laws = (*(cell.strip() for cell in line.split("|")), "", "")[:5]
        if name:
            name, _, symbol = name.partition(" ")
            known = frozenset(laws.split(", ")) if laws else frozenset()
            rows[name] = Operator(name, symbol or name, value, (slope,), (rule,), known)
        else:
            name, row = rows.popitem()
            rules = (*row.rules, rule or row.rules[0])
            rows[name] = replace(row, slopes=(*row.slopes, slope), rules=rules)
    return rows


def unread(row: Operator) -> Iterator[str]:
    """Which formulas of a row are not in Python's syntax, a sentence for each."""
    formulas = [("value", row.value), *(("slope", slope) for slope in row.slopes)]
    for what, text in formulas:
        try:
            ast.parse(text, mode="eval")
        except SyntaxError as error:
            yield (
                f"the {what} of {row.name}, {text!r}, is no formula in Python's syntax: {error.msg}"
            )


def checked(rows: Mapping[str, Operator]) -> Mapping[str, Operator]:
    """The rows of a table.

    Raises:
        SyntaxError: a formula is not in Python's syntax; the sentence names its row.
    """
    if found := [sentence for row in rows.values() for sentence in unread(row)]:
        raise SyntaxError("; ".join(found))
    return rows


OPERATORS: Mapping[str, Operator] = checked(read(_TABLE))

#: How the operations with a sign of Python's between their operands are called in its syntax trees.
INFIX: Mapping[str, type[ast.operator]] = {
    row.name: type(cast("Any", ast.parse(f"x {row.symbol} y", mode="eval").body).op)
    for row in OPERATORS.values()
    if row.is_infix
}


# ---- Reading a formula -------------------------------------------------------------------------

#: The numbers that a formula may name.
NUMBERS: Mapping[str, float] = {"inf": inf, "nan": nan, "pi": pi} | {
    name: globals()[name] for name in CONSTANTS
}


class _Calls(ast.NodeTransformer):
    """Spells ``/ // ** %`` as calls, which know IEEE 754."""

    CALLS: Mapping[type[ast.operator], str] = {
        ast.Div: "divide",
        ast.Pow: "power",
        ast.Mod: "remainder",
        ast.FloorDiv: "floor_divide",
    }

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        left, right = self.visit(node.left), self.visit(node.right)
        if type(node.op) in self.CALLS:
            return ast.Call(ast.Name(self.CALLS[type(node.op)]), [left, right], [])
        return ast.BinOp(left, node.op, right)


@functools.cache
def _with_calls(formula: str) -> str:
    if not set(formula) & set("/*%"):
        return formula
    return ast.unparse(_Calls().visit(ast.parse(formula, mode="eval")))


_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


def spell(formula: str, spelling: Callable[[str], str]) -> str:
    """The formula as Python source in which each name is spelt as the reader needs it.

    A name's spelling is one that binds as a name does: ``out.data``, ``x[lane]``, a number.

    >>> spell("-out / y", {"out": "out.data", "y": "y.data", "divide": "ops.divide"}.__getitem__)
    'ops.divide(-out.data, y.data)'
    """

    def spelt(name: re.Match[str]) -> str:
        return name[0] if keyword.iskeyword(name[0]) else spelling(name[0])

    return _NAME.sub(spelt, _with_calls(formula))


# ---- What a slope sends ------------------------------------------------------------------------


def _at_ends(slope: str, tie: float, change: Callable[[ast.expr], ast.expr]) -> str:
    """The slope with something else at the end of each of its branches."""

    def visit(tree: ast.expr) -> ast.expr:
        if isinstance(tree, ast.IfExp):
            return ast.IfExp(tree.test, visit(tree.body), visit(tree.orelse))
        return change(tree)

    return ast.unparse(visit(ast.parse(spelt_tie(slope, tie), mode="eval").body))


def spelt_tie(slope: str, tie: float) -> str:
    """The slope with the number that each side of a tie gets."""
    return re.sub(r"\btie\b", repr(tie) if tie else "0", slope)


def is_nothing(tree: ast.expr) -> bool:
    """Whether a branch of a slope is the literal 0: nothing passes there."""
    return isinstance(tree, ast.Constant) and tree.value == 0


@functools.cache
def passes(slope: str, tie: float) -> str:
    """When a slope lets the error pass, as a formula; ``tie`` is what each side of a tie gets.

    >>> passes("1 if x > 0 else 0 if x <= 0 else nan", 0.0)
    'True if x > 0 else False if x <= 0 else True'
    """
    return _at_ends(slope, tie, lambda tree: ast.Constant(not is_nothing(tree)))


@functools.cache
def sent(slope: str, tie: float) -> str:
    """What arrives of an ``error`` behind a slope, as a formula: where nothing passes it is 0,
    whatever the error is.

    >>> sent("1 if x > 0 else 0 if x <= 0 else nan", 0.0)
    'error if x > 0 else 0 if x <= 0 else error * nan'
    """

    def times(tree: ast.expr) -> ast.expr:
        if is_nothing(tree):
            return tree
        if isinstance(tree, ast.Constant) and tree.value == 1:
            return ast.Name("error")
        return ast.BinOp(ast.Name("error"), ast.Mult(), tree)

    return _at_ends(slope, tie, times)


class _Choose(ast.NodeTransformer):
    """Spells choices, ``and``, ``or`` and ``not`` as calls, for many numbers at a time."""

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        parts = [self.visit(part) for part in (node.test, node.body, node.orelse)]
        return ast.Call(ast.Name("where"), parts, [])

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            return ast.Call(ast.Name("logical_not"), [operand], [])
        return ast.UnaryOp(node.op, operand)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        name = "logical_and" if isinstance(node.op, ast.And) else "logical_or"
        parts = [self.visit(part) for part in node.values]
        whole: ast.expr = parts[0]
        for part in parts[1:]:
            whole = ast.Call(ast.Name(name), [whole, part], [])
        return whole


class _Equal(ast.NodeTransformer):
    """Spells ``==`` as a call, for Values, where it asks whether both are the same one."""

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        if not isinstance(node.ops[0], ast.Eq):
            return node
        return ast.Call(ast.Name("equal"), [node.left, *node.comparators], [])


def formula(
    text: str, names: Mapping[str, object], element_by_element: bool = False
) -> Callable[..., Any]:
    """A formula as a function of x, y, out, tie and, for what is sent, the error; ``names`` gives
    its functions their meaning.

    Args:
        text: the formula.
        names: what its names mean; with ``equal`` among them, that is what ``==`` means.
        element_by_element: ``a if c else b`` is ``where(c, a, b)``, which chooses for each element
            of arrays, or for each row of a compiled function.

    >>> formula("1 - out * out", globals())(0.0, None, 0.5, 0)
    0.75
    """
    spelt = spell(text, lambda name: name)
    if "equal" in names:
        spelt = ast.unparse(_Equal().visit(ast.parse(spelt, mode="eval")))
    if element_by_element:
        spelt = ast.unparse(_Choose().visit(ast.parse(spelt, mode="eval")))
    return cast(
        "Callable[..., Any]", eval(f"lambda x, y, out, tie, error=None: {spelt}", dict(names))
    )


@functools.cache
def on_floats(text: str) -> Callable[..., Any]:
    """The same on floats.

    >>> on_floats("1 - out * out")(0.0, None, 0.5, 0)
    0.75
    """
    return formula(text, globals())
