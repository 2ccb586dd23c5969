"""The formulas of the operator table in C: one more reader of their text.

Where C's ``math.h`` has no function of that name, or has another one, a helper of a few lines goes
into the file. What is known while the file is written, such as ``y != 0`` of an exponent that is a
number, is decided here and leaves no trace in it.
"""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from microgradlike import ops
from microgradlike.compiler.operations import row_of
from microgradlike.writers.refused import power_of_ten

# ---- Numbers and names -------------------------------------------------------------------------

_SPECIAL = {"NAN": math.nan, "INFINITY": math.inf, "-INFINITY": -math.inf}


def literal(number: float) -> str:
    """A number as C has it, to the last digit.

    >>> literal(2.0), literal(-0.0), literal(1e300), literal(float("inf")), literal(1 / 3)
    ('2.0', '-0.0', '1e+300', 'INFINITY', '0.3333333333333333')
    """
    if math.isfinite(number):
        return repr(float(number))
    return "NAN" if number != number else "INFINITY" if number > 0 else "-INFINITY"


def number_of(text: str) -> float | None:
    """The number that an operand is; None if it is known only when the C runs.

    >>> number_of("-1.5"), number_of("x[2]")
    (-1.5, None)
    """
    if text in _SPECIAL:
        return _SPECIAL[text]
    return float(text) if text.lstrip("-")[0].isdigit() else None


def is_truth(text: str) -> bool:
    """Whether the name is one of a condition, which is an ``int``."""
    return text[0] == "k" and text[1:].isdigit()


class Said(NamedTuple):
    """A formula in C."""

    text: str
    is_truth: bool = False
    """Whether it is a condition, an ``int`` in C."""
    is_atom: bool = True
    """Whether it needs no brackets anywhere."""

    @property
    def inside(self) -> str:
        return self.text if self.is_atom and self.text[0] != "-" else f"({self.text})"

    @property
    def number(self) -> float | None:
        return number_of(self.text) if self.is_atom else None

    @property
    def is_negative(self) -> bool:
        """Whether it has a minus sign, which is one of all that follows."""
        return self.text[0] == "-"

    def negated(self) -> Said:
        """The same with the other sign, if it has one."""
        text = self.text[1:]
        is_bracketed = text[0] == "(" and not text.startswith("(double)")
        return Said(text[1:-1] if is_bracketed else text, False, not is_bracketed)

    def as_number(self) -> Said:
        decided = _decided(self) if self.is_truth else None
        if decided is not None:
            return Said(literal(float(decided)))
        return Said(f"(double){self.inside}") if self.is_truth else self

    def as_truth(self) -> Said:
        if self.is_truth:
            return self
        known = self.number
        if known is not None:
            return _known(known != 0)
        return Said(f"{self.inside} != 0.0", True, False)


def _known(holds: bool) -> Said:
    return Said("1" if holds else "0", True)


def _decided(truth: Said) -> bool | None:
    """Whether a condition holds, if that is known."""
    return {"1": True, "0": False}.get(truth.text)


# ---- Functions ---------------------------------------------------------------------------------

#: What ``math.h`` has under the same name, with the same answers at special points.
_SAME = (
    *("exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "cbrt", "hypot"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh"),
    *("asinh", "acosh", "atanh", "erf", "erfc", "floor", "ceil", "trunc", "rint"),
)
#: The same under another name.
_RENAMED = {"abs": "fabs", "power": "pow"} | {name: name for name in _SAME}

#: What takes a few lines of C, each as ``ops.py`` has it.
HELPERS: Mapping[str, str] = {
    "sigmoid": """(double x) {
    if (x >= 0) return 1 / (1 + exp(-x));
    const double e = exp(x);
    return e / (1 + e);
}""",
    "softplus": """(double x) {
    return x == x ? (x > 0 ? x : 0.0) + log1p(exp(-fabs(x))) : NAN;
}""",
    "logaddexp": """(double x, double y) {
    if (x == y) return x + 0.6931471805599453;
    return x == x ? (y > x ? y : x) + log1p(exp(-fabs(x - y))) : NAN;
}""",
    "maximum": "(double x, double y) { return x >= y ? x : y > x ? y : NAN; }",
    "minimum": "(double x, double y) { return x <= y ? x : y < x ? y : NAN; }",
    "sign": "(double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : x; }",
    "remainder": """(double x, double y) {
    double r = fmod(x, y);
    if (r == 0) return copysign(0.0, y);
    return (r < 0) != (y < 0) ? r + y : r;
}""",
    "floor_divide": """(double x, double y) {
    if (y == 0) return x / y;
    double r = fmod(x, y), q = (x - r) / y;
    if (r != 0 && (r < 0) != (y < 0)) q -= 1;
    if (q == 0) return copysign(0.0, x / y);
    const double whole = floor(q);
    return q - whole > 0.5 ? whole + 1 : whole;
}""",
    # To digits behind the point, the nearest decimal: the product with a power of ten is rounded,
    # and of a half fma tells on which side the exact one is. Before the point fma has what is left.
    "round_to": """(double x, double ten) {
    const double z = x * ten, m = rint(z), half = z - m;
    if (!(fabs(z) < 9007199254740992.0)) return x;
    const double rest = fma(x, ten, -z);
    if (half == 0.5 && rest > 0) return (m + 1) / ten;
    if (half == -0.5 && rest < 0) return (m - 1) / ten;
    return copysign(m / ten, x);
}""",
    "round_to_tens": """(double x, double ten) {
    const double m = rint(x / ten), rest = fma(-m, ten, x);
    if (!(fabs(m) < 9007199254740992.0)) return x;
    return copysign((rest > ten / 2 ? m + 1 : rest < -ten / 2 ? m - 1 : m) * ten, x);
}""",
}


# ---- The reader --------------------------------------------------------------------------------

_SIGNS: Mapping[type[ast.AST], str] = {
    **{ast.Add: "+", ast.Sub: "-", ast.Mult: "*"},
    **{ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="},
}


class Speaker:
    """Writes formulas as C expressions.

    Args:
        names: the operand that each name of the formula is.
        prefix: of the names of helpers.
        bind: what gives a part of the expression a name of its own, so that it is computed once
            wherever it occurs; None to leave all in one expression.
    """

    def __init__(
        self,
        names: Mapping[str, str],
        prefix: str,
        bind: Callable[[str], str] | None = None,
    ) -> None:
        self._names, self._prefix, self._bind = names, prefix, bind
        self._chosen = 0  # how many choices the part is in: there nothing is computed beforehand

    def say(self, text: str) -> Said:
        """A formula of the table."""
        return self._of(_parsed(text))

    def _of(self, node: ast.expr) -> Said:
        match node:
            case ast.Constant(bool(value)):
                return _known(value)
            case ast.Constant(int(value) | float(value)):
                return Said(literal(float(value)))
            case ast.Name(name):
                return self._name(name)
            case ast.UnaryOp(ast.USub(), operand):
                return self._minus(self._of(operand).as_number())
            case ast.UnaryOp(ast.Not(), operand):
                return self._not(self._of(operand).as_truth())
            case ast.BinOp(left, op, right):
                return self._infix(op, *(self._of(side).as_number() for side in (left, right)))
            case ast.Compare(left, [op], [right]):
                return self._compare(op, *(self._of(side).as_number() for side in (left, right)))
            case ast.BoolOp(op, parts):
                return self._both(isinstance(op, ast.And), [self._of(x).as_truth() for x in parts])
            case ast.IfExp(test, body, orelse):
                return self._choice(self._of(test).as_truth(), body, orelse)
            case ast.Call(ast.Name(name), arguments):
                return self._call(name, [self._of(part).as_number() for part in arguments])
        raise NotImplementedError(
            f"{ast.unparse(node)!r} in the operator table has no spelling in C"
        )

    def _name(self, name: str) -> Said:
        if name in self._names:
            text = self._names[name]
            return Said(text, is_truth(text), number_of(text) is not None or text[0] != "-")
        return Said(literal(ops.NUMBERS[name]))

    def _minus(self, x: Said) -> Said:
        if x.number is not None:
            return Said(literal(-x.number))
        return x.negated() if x.is_negative else Said(f"-{self._bound(x).inside}", False, False)

    def _not(self, truth: Said) -> Said:
        decided = _decided(truth)
        return Said(f"!{truth.inside}", True, False) if decided is None else _known(not decided)

    def _infix(self, op: ast.operator, x: Said, y: Said) -> Said:
        a, b = x.number, y.number
        if a is not None and b is not None:
            return Said(literal(_ON_NUMBERS[type(op)](a, b)))
        if isinstance(op, ast.Mult):
            for one, other in ((x, y), (y, x)):
                if one.number == 1.0:
                    return other
                if one.number == -1.0:
                    return self._minus(other)
            return self._factors("*", x, y)
        # A sum is rounded alike whether a term has a minus sign or is taken away.
        if y.is_negative:
            op, y = (ast.Sub() if isinstance(op, ast.Add) else ast.Add()), y.negated()
        if x.is_negative and isinstance(op, ast.Add):
            return Said(f"{y.inside} - {x.negated().inside}", False, False)
        return Said(f"{x.inside} {_SIGNS[type(op)]} {y.inside}", False, False)

    def _factors(self, sign: str, x: Said, y: Said) -> Said:
        """A product, or a quotient; a minus sign of a factor is one of the whole."""
        negative = x.is_negative != y.is_negative
        x, y = (side.negated() if side.is_negative else side for side in (x, y))
        whole = Said(f"{x.inside} {sign} {y.inside}", False, False)
        return self._minus(whole) if negative else whole

    def _compare(self, op: ast.cmpop, x: Said, y: Said) -> Said:
        a, b = x.number, y.number
        if a is not None and b is not None:
            return _known(_COMPARED[type(op)](a, b))
        return Said(f"{x.inside} {_SIGNS[type(op)]} {y.inside}", True, False)

    def _both(self, is_and: bool, parts: list[Said]) -> Said:
        left = []
        for part in parts:
            decided = _decided(part)
            if decided is not None and decided is not is_and:
                return part
            left += [part] if decided is None else []
        if len(left) <= 1:
            return left[0] if left else _known(is_and)
        return Said(f" {'&&' if is_and else '||'} ".join(x.inside for x in left), True, False)

    def _choice(self, test: Said, body: ast.expr, orelse: ast.expr) -> Said:
        decided = _decided(test)
        if decided is not None:
            return self._of(body if decided else orelse)
        self._chosen += 1
        yes, no = self._of(body), self._of(orelse)
        self._chosen -= 1
        if yes.is_truth and no.is_truth:
            if _decided(yes) is True and _decided(no) is False:
                return test
            return Said(f"{test.inside} ? {yes.inside} : {no.inside}", True, False)
        yes, no = yes.as_number(), no.as_number()
        return Said(f"{test.inside} ? {yes.inside} : {no.inside}", False, False)

    def _call(self, name: str, given: list[Said]) -> Said:
        numbers = [x.number for x in given]
        if name == "round_to":
            ten, digits = literal(power_of_ten(numbers[1])), numbers[1] or 0.0
            return self._called(name if digits >= 0 else "round_to_tens", [given[0], Said(ten)])
        if all(x is not None for x in numbers):
            known = ops.on_floats(f"{name}({', '.join('xy'[: len(given)])})")
            return Said(literal(float(known(*[*numbers, None][:2], 0, 0))))
        if name == "power" and numbers[1] == 1.0:
            return given[0]
        if name == "power" and numbers[1] == 2.0:
            x = self._bound(given[0])
            return Said(f"{x.inside} * {x.inside}", False, False)
        if name == "divide":
            return self._bound(self._factors("/", *given))
        return self._called(name, given)

    def _called(self, name: str, given: list[Said]) -> Said:
        called = _RENAMED.get(name)
        if called is None:
            if name not in HELPERS:
                raise NotImplementedError(f"{name}() of the operator table has no function in C")
            called = f"{self._prefix}_{name}"
        return self._bound(Said(f"{called}({', '.join(x.text for x in given)})"))

    def _bound(self, part: Said) -> Said:
        """What takes long is computed once for all who need it."""
        if self._bind is None or self._chosen or number_of_atom(part):
            return part
        if part.is_negative:
            return Said(f"-{self._bound(part.negated()).inside}", False, False)
        return Said(self._bind(part.text))


def number_of_atom(part: Said) -> bool:
    """Whether nothing is to be computed for it: a name, an entry of an array, or a number."""
    return part.is_atom and "(" not in part.text


_ON_NUMBERS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
}
_COMPARED: Mapping[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}


@functools.cache
def _parsed(text: str) -> ast.expr:
    return ast.parse(ops.spell(text, str), mode="eval").body


# ---- What an operation is, and what it sends ----------------------------------------------------


class Sends(NamedTuple):
    """What an operation sends to an operand, as formulas of the table."""

    what: str
    passes: str
    """When anything passes: ``True`` if always."""
    is_plain: bool
    """Whether the slope is a finite number: then of no error nothing comes, without asking."""


@functools.cache
def value_of(operation: str) -> str:
    """What an operation computes, as a formula."""
    row = row_of(operation)[0]
    assert row is not None
    return row.value


@functools.cache
def sends_of(operation: str, side: int) -> Sends | None:
    """What it sends to an operand; None if nothing ever."""
    row, tie = row_of(operation)
    if row is None or side >= len(row.slopes) or row.slopes[side] == "0":
        return None
    slope = row.slopes[side]
    return Sends(ops.sent(slope, tie), ops.passes(slope, tie), slope in ("1", "-1"))
