"""Random scalar programs, their seeds, and how exactly two ways to compute them can agree."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from microgradlike import functions as fn
from microgradlike.engine import Value, topological_order
from microgradlike.flow import slopes
from microgradlike.ops import OPERATORS
from microgradlike.tables import take

#: Operators whose slopes are tame where random numbers fall.
UNARY = (
    *("neg", "abs", "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "cbrt"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh"),
    *("atanh", "erf", "erfc", "sigmoid", "softplus", "softsign", "relu", "sign", "floor", "ceil"),
    *("round", "sinc", "silu", "gelu", "square", "reciprocal", "leaky_relu", "elu"),
)
BINARY = (
    *("add", "sub", "mul", "truediv", "pow", "mod", "atan2", "maximum", "minimum", "hypot"),
    *("logaddexp",),
)
#: Nothing passes them somewhere, or nowhere, however steep is what follows them.
FLAT: tuple[Callable[[Any, Any, float], Any], ...] = (
    lambda a, b, c: fn.relu(a),
    lambda a, b, c: fn.maximum(a, b),
    lambda a, b, c: fn.minimum(a, c),
    lambda a, b, c: fn.clip(a, -1, 1),
    lambda a, b, c: fn.sign(a),
    lambda a, b, c: fn.floor(a),
    lambda a, b, c: fn.ceil(a),
    lambda a, b, c: fn.round(a),
    lambda a, b, c: fn.trunc(a),
    lambda a, b, c: fn.power(a, 0),
    lambda a, b, c: fn.where(a > b, a, c),
)
#: Their slopes are infinite, or NaN, at some of -1, 0 and 1.
STEEP: tuple[Callable[[Any], Any], ...] = (
    *(fn.sqrt, fn.log, fn.reciprocal, fn.acos),
    lambda a: fn.power(a, 0.5),
    lambda a: fn.power(a, -1),
)


def groups(start: int, count: int, size: int = 25) -> pytest.MarkDecorator:
    """The seeds from a start on, in groups, which the workers share: one test has its price."""
    seeds = range(start, start + count)
    return pytest.mark.parametrize(
        "seeds", [seeds[k : k + size] for k in range(0, count, size)], ids=str
    )


class Program:
    """A random function of a row: all operators, shared nodes, constants, branches and dots.

    Args:
        seed: of the program.
        tables: whether y is an integer from 0 to 3, which takes from tables.

    Attributes:
        tenths: whether all numbers are tenths, so that sums tie, but for their rounding.
        number: whether a row of x is a number, not a list of them.
        second: other numbers for the parameters, at which branches are taken otherwise.
    """

    def __init__(self, seed: int, tables: bool = False) -> None:
        self.seed, self.tables = seed, tables
        draw = random.Random(seed)
        self.inputs = draw.randint(1, 4)
        self.tenths = draw.random() < 0.3
        self.number = self.inputs == 1 and draw.random() < 0.5
        self.parameters = [Value(self._uniform(draw, 1.5), f"w{i}") for i in range(6)]
        self.first = [parameter.data for parameter in self.parameters]
        self.second = [self._uniform(draw, 1.5) for _ in self.parameters]
        self.outputs = draw.choice((1, 1, 1, 2, 3))

    def __call__(self, x: Any, y: Any) -> Any:
        draw = random.Random(self.seed + 1)
        pool: list[Any] = [*([x] if self.number else x), y, *self.parameters]

        def some() -> Any:
            return draw.choice(pool)

        def number() -> float:
            other = self._uniform(draw, 2)
            return draw.choice((-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, other))

        for _ in range(draw.randint(2, 14)):
            kind = draw.random()
            if self.tables and draw.random() < 0.4:
                new = self._taken(draw, pool, y, number)
            elif kind < 0.2:
                new = getattr(fn, draw.choice(UNARY))(some())
            elif kind < 0.4:
                name = draw.choice(BINARY)
                a, b = some(), draw.choice((some(), number()))
                new = getattr(fn, name)(*draw.sample((a, b), 2))
            elif kind < 0.7:
                new = self._dots(draw, pool, number)
            elif kind < 0.8:
                new = draw.choice(FLAT)(some(), some(), draw.choice((-1.0, 0.0, 1.0)))
                if draw.random() < 0.3:  # the special point is a difference of equal operands
                    new = new - draw.choice((new, some()))
                new = draw.choice(STEEP)(new)
                if draw.random() < 0.3:  # what follows is flat, too
                    new = draw.choice(FLAT)(new, some(), 0.0)
            elif kind < 0.83:  # equal operands
                new = some()
                new = draw.choice((fn.maximum, fn.minimum))(new, draw.choice((new, new * 1.0)))
            elif kind < 0.93:
                condition = self._condition(draw, pool, number)
                new = fn.where(condition, some(), draw.choice((some(), number())))
            else:
                new = some() * 2 if self._condition(draw, pool, number) else fn.sin(some())
            pool.append(new if isinstance(new, Value) else Value(new))
        results = [pool[-1] + 0.0, some() * some(), some() - pool[-1]][: self.outputs]
        return results[0] if self.outputs == 1 else results

    def _uniform(self, draw: random.Random, most: float) -> float:
        number = draw.uniform(-most, most)
        return round(number, 1) if self.tenths else number

    def _condition(self, draw: random.Random, pool: list[Any], number: Callable[[], float]) -> Any:
        """Whether sums, parameters or whatever else is there compare in some way."""
        size, kind = draw.randint(1, 3), draw.randrange(5)
        a, b = draw.choice(pool), draw.choice(pool)
        if kind == 0:  # a weighted sum, on two ways, or beside a number
            terms = [draw.choice(self.parameters) * draw.choice(pool) for _ in range(size)]
            a, b = sum(terms), draw.choice((sum(terms[::-1]), b, number()))
        elif kind == 1:  # it changes with the parameters
            k = draw.randrange(len(self.parameters))
            a, b = self.parameters[k], (self.first[k] + self.second[k]) / 2
        elif kind == 2:
            b = number()
        elif kind == 3:
            return (a <= b) & (a >= b)
        return draw.choice((a > b, a >= b, a < b, a <= b))

    def _dots(self, draw: random.Random, pool: list[Any], number: Callable[[], float]) -> Any:
        """Dot products in every shape and order that a person would write."""
        size = draw.randint(1, 4)
        inputs = [draw.choice(pool) for _ in range(size)]
        shape = draw.randrange(7)
        if shape == 0:  # a small layer
            rows = [[draw.choice(self.parameters) for _ in inputs] for _ in range(2)]
            outs = [sum(w * v for w, v in zip(row, inputs, strict=True)) for row in rows]
            return outs[0] * outs[1]
        if shape == 1:  # a loop with += and -=
            total = Value(0.0)
            for v in inputs:
                if draw.random() < 0.5:
                    total += draw.choice(self.parameters) * v
                else:
                    total -= v * draw.choice(self.parameters)
            return total + draw.choice(self.parameters)
        if shape == 2:  # a tree of pairs
            terms = [draw.choice(self.parameters) * v for v in inputs + inputs[::-1]]
            while len(terms) > 1:
                terms = [sum(terms[i : i + 2]) for i in range(0, len(terms), 2)]
            return terms[0] - number()
        if shape == 3:
            return fn.dot(inputs, [draw.choice((draw.choice(pool), number())) for _ in inputs])
        if shape == 4:
            return fn.logsumexp([*inputs, draw.choice(pool)])
        if shape == 5:
            return fn.softmax(inputs)[-1]
        return fn.mean([v * v for v in inputs]) - sum(inputs)

    def _taken(
        self, draw: random.Random, pool: list[Any], y: Any, number: Callable[[], float]
    ) -> Any:
        """An entry of a table of parameters, numbers, or what is computed once or for each row."""

        def entry(kind: int) -> Any:
            if kind == 0:
                return draw.choice(self.parameters)
            if kind == 1:
                return draw.choice((draw.choice(self.parameters), number()))
            if kind == 2:
                return getattr(fn, draw.choice(UNARY))(draw.choice(self.parameters))
            if kind == 3:
                return draw.choice(STEEP)(draw.choice(pool))
            return number()

        index = draw.choice(
            (y, y, y, 3 - y, abs(y - 2), fn.minimum(y, 2), fn.where(draw.choice(pool) > 0, y, 1))
        )
        kind, length, width = draw.randrange(5), draw.randint(4, 6), draw.choice((1, 1, 2, 3))
        if width == 1:
            return take([entry(kind) for _ in range(length)], index)
        row = take([[entry(kind) for _ in range(width)] for _ in range(length)], index)
        return fn.dot(row, [draw.choice(pool) for _ in row]) if kind % 2 else fn.sum(row)

    def row(self, x: Any, y: Any, kind: Callable[[float], Any]) -> tuple[Any, Any]:
        """The arguments of one row, each number of this kind."""
        return kind(x) if self.number else [kind(v) for v in x], kind(y)

    def nested(self, numbers: Any) -> tuple[Any, Any]:
        """The arguments of one row, of its numbers one after the other."""
        *x, y = numbers
        return x[0] if self.number else x, y

    def examples(self, rows: int, special: bool = False) -> tuple[Any, Any]:
        """Rows of inputs; some of them special points."""
        draw = random.Random(self.seed + 2)
        points: tuple[float, ...] = (0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 0.5)
        huge = (1e308, -1e308, 1e200, -1e154, 1e-308, -1e-200)
        if draw.random() < 0.5:  # sums overflow on their way, or not
            points = (*points[:4], *huge, *huge)

        def one() -> float:
            if special and draw.random() < 0.4:
                return draw.choice(points)
            return self._uniform(draw, 2)

        columns = [[one() for _ in range(self.inputs)] for _ in range(rows)]
        target = [draw.randrange(4) if self.tables else one() for _ in range(rows)]
        return [row[0] for row in columns] if self.number else columns, target


def flat(values: Any) -> list[Any]:
    """The numbers of nested lists, in their order."""
    if isinstance(values, list | tuple):
        return [value for part in values for value in flat(part)]
    return [values]


def error_bound(root: Any) -> float:
    """How far rounding alone can move the result: the sum of the magnitudes that went in.

    Each operation adds half a unit of its last digit, and passes on what its operands bring by its
    slopes.
    """
    if not isinstance(root, Value):
        return 0.0
    bound: dict[Value, float] = {}
    for node in topological_order(root):
        brought = sum(abs(slope) * bound.get(parent, 0.0) for parent, slope in slopes(node))
        sizes = [abs(node.data)]
        if node.op in ("add", "sub"):  # they may be added up in another order
            sizes += [abs(float(operand)) for operand in node.operands]
        bound[node] = brought + max(sizes) * 2.0**-53
    return bound.get(root, 0.0)


def agree(ours: float, theirs: float, bound: float) -> bool:
    """Whether two numbers agree to 1e-12 of the magnitudes that went in; NaN and inf as well."""
    if math.isnan(theirs) or math.isinf(theirs):
        return (math.isnan(ours) and math.isnan(theirs)) or ours == theirs
    if not math.isfinite(bound):
        return True
    return abs(ours - theirs) <= 1e-12 / 2.0**-53 * bound + 1e-300


assert set(BINARY) <= set(OPERATORS)
