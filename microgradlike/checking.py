"""What the checks of calculus.py are made of: central differences, a report, formulas as text."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from microgradlike.functions import FUNCTIONS

# ---- Central differences -----------------------------------------------------------------------


@dataclass(frozen=True)
class Numeric:
    """A derivative from values alone."""

    slope: float
    error: float
    """An estimate of how far off ``slope`` may be."""
    left: float
    right: float
    """The slopes on either side: where they differ there is a kink."""


def numeric_derivative(f: Callable[[float], float], x: float) -> Numeric:
    """The derivative of ``f`` at ``x`` by central differences, extrapolated to a step of zero.

    Source: Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", 1982.

    >>> round(numeric_derivative(math.sin, 0.0).slope, 12)
    1.0
    """
    step = 0.01 * max(1.0, abs(x))
    while step > 1e-9 and not (math.isfinite(f(x + step)) and math.isfinite(f(x - step))):
        step /= 8  # back into the domain of f
    here = f(x)
    best, error, tiny = math.nan, math.inf, step
    previous: list[float] = []
    for column in range(10):
        tiny = step / 1.5**column
        above, below = f(x + tiny), f(x - tiny)
        row = [(above - below) / ((x + tiny) - (x - tiny))]
        noise = 4e-16 * max(abs(above), abs(below), abs(here)) / tiny
        for power, last in enumerate(previous, start=1):
            gain = 1.5 ** (2 * power)
            row.append((gain * row[-1] - last) / (gain - 1))
            change = max(abs(row[-1] - row[-2]), abs(row[-1] - last)) + noise
            if change < error:
                best, error = row[-1], change
        previous = row
    return Numeric(best, error, (here - f(x - tiny)) / tiny, (f(x + tiny) - here) / tiny)


@dataclass(frozen=True)
class Comparison:
    """One slope, by the engine and by central differences."""

    name: str
    engine: float
    numeric: Numeric

    @property
    def agrees(self) -> bool:
        gap = abs(self.engine - self.numeric.slope)
        return gap <= 3 * self.numeric.error + 1e-7 * abs(self.numeric.slope)

    @property
    def verdict(self) -> str:
        """What to think of it, in a few words."""
        left, right = self.numeric.left, self.numeric.right
        if self.agrees:
            return "agrees"
        if not math.isfinite(self.numeric.slope):
            return "DISAGREES (the values nearby are not finite: choose another point)"
        if abs(left - right) > 1e-2 * max(abs(left), abs(right)):
            return f"KINK (slope {left:.4g} below, {right:.4g} above: choose another point)"
        if math.isclose(self.engine, -self.numeric.slope, rel_tol=1e-4):
            return "DISAGREES (in its sign)"
        if self.numeric.slope:
            return f"DISAGREES (by a factor of {self.engine / self.numeric.slope:.4g})"
        return "DISAGREES"

    def __str__(self) -> str:
        numeric = f"{self.numeric.slope:.10g} +- {self.numeric.error:.1g}"
        return f"{self.name:<24} {self.engine:<18.10g} {numeric:<26} {self.verdict}"


@dataclass(frozen=True)
class Report:
    """The outcome of ``check_gradients``: true if everything agrees, and a table as text."""

    operands: list[Comparison]
    operators: list[Comparison]

    def __bool__(self) -> bool:
        return all(row.agrees for row in self.operands)

    def __str__(self) -> str:
        lines = [f"{'operand':<24} {'engine':<18} {'central differences':<26}"]
        lines += map(str, self.operands)
        wrong = [row for row in self.operators if not row.agrees]
        if wrong:
            lines += ["", "operator, by operand"]
            lines += map(str, wrong)
        elif not self:
            names = ", ".join(row.name for row in self.operands if not row.agrees)
            lines += [
                "",
                "Every operator's own slope agrees, so it is the accumulation that is wrong:",
            ]
            lines += [
                f"the contributions of several operations are not summed up to that of {names}."
            ]
        return "\n".join(lines)


# ---- Text: parsed by ast, with the names of the operator table, and never evaluated by Python ---

_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: FUNCTIONS["add"],
    ast.Sub: FUNCTIONS["sub"],
    ast.Mult: FUNCTIONS["mul"],
    ast.Div: FUNCTIONS["truediv"],
    ast.Pow: FUNCTIONS["pow"],
    ast.Mod: FUNCTIONS["mod"],
    ast.USub: FUNCTIONS["neg"],
    ast.UAdd: float,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan}


def read_formula(text: str, names: Sequence[str]) -> Callable[..., Any]:
    """A formula as a function of the named numbers.

    >>> read_formula("x**2 + y", ["x", "y"])(3.0, 1.0)
    10.0
    """
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"the derivation {text!r} is no formula: {error.msg}") from None

    def evaluate(node: ast.AST, given: dict[str, float]) -> Any:
        def value(part: ast.AST) -> Any:
            return evaluate(part, given)

        match node:
            case ast.Constant(value=int() | float() as constant) if constant is not True:
                return float(constant)
            case ast.Name(id=name) if name in given:
                return given[name]
            case ast.Name(id=name) if name in _CONSTANTS:
                return _CONSTANTS[name]
            case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](value(left), value(right))
            case ast.UnaryOp(op, operand) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](value(operand))
            case ast.Compare(left, [op], [right]) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](value(left), value(right))
            case ast.IfExp(test, body, orelse):
                return value(body) if value(test) else value(orelse)
            case ast.Call(ast.Name(id=name), arguments, []) if name in FUNCTIONS:
                return FUNCTIONS[name](*map(value, arguments))
        raise ValueError(
            f"the derivation {text!r} contains {ast.unparse(node)!r}, which is none of the names "
            f"{', '.join(names)}, a number, + - * / ** %, comparison or function of microgradlike"
        )

    evaluate(tree, dict.fromkeys(names, 0.5))  # complain now about what cannot be read
    return lambda *point: evaluate(tree, dict(zip(names, point, strict=True)))
