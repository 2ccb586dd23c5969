"""docs/edge_cases.md, row by row: what the page promises is what the engine does.

All rows of an expression are one test: there are too many for one each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from microgradlike import Value, compile, grad
from microgradlike.flow import backward_steps
from microgradlike.functions import FUNCTIONS

PAGE = Path(__file__).parent.parent / "docs" / "edge_cases.md"
HEAD = ["expression", "x", "y", "value", "d/dx", "d/dy", "d²/dx²", "PyTorch"]
NUMBERS = {"pi": math.pi, "inf": math.inf, "nan": math.nan, "log": math.log, "sqrt": math.sqrt}


class Row(NamedTuple):
    """One line of the page."""

    expression: str
    point: tuple[float, ...]
    value: float
    slopes: tuple[float, ...]
    second: float | None

    def __str__(self) -> str:
        return f"{self.expression} at {', '.join(map(str, self.point))}"

    def function(self, *operands: Any) -> Any:
        names = dict(zip("xy", operands, strict=False))
        return eval(self.expression, {**FUNCTIONS, **NUMBERS_IN_EXPRESSIONS, **names})


NUMBERS_IN_EXPRESSIONS = {"inf": math.inf, "nan": math.nan}


def read(page: str) -> list[Row]:
    rows = []
    for line in page.splitlines():
        if not line.startswith("|") or line.startswith("|---"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells == HEAD:
            continue
        expression, *numbers = (cell.strip("`") for cell in cells[:-1])
        x, y, value, by_x, by_y, second = (_number(cell) for cell in numbers)
        assert x is not None
        assert value is not None
        assert by_x is not None
        assert (y is None) == (by_y is None) == ("y" not in re.findall(r"\w+", expression)), line
        point, slopes = (x,) if y is None else (x, y), (by_x,) if by_y is None else (by_x, by_y)
        rows.append(Row(expression, point, value, slopes, second))
    return rows


def _number(cell: str) -> float | None:
    try:
        return float(cell) if cell else None  # -0 keeps its sign
    except ValueError:
        return float(eval(cell, NUMBERS))  # such as pi/2


ROWS = read(PAGE.read_text(encoding="utf-8"))


def each_expression(rows: Iterable[Row]) -> pytest.MarkDecorator:
    """The rows of one expression after those of another."""
    rows_of: dict[str, list[Row]] = {}
    for row in rows:
        rows_of.setdefault(row.expression, []).append(row)
    return pytest.mark.parametrize("rows", rows_of.values(), ids=rows_of)


every_row = each_expression(ROWS)


def same(found: float, expected: float, *, signed: bool = False) -> bool:
    if math.isnan(expected) or math.isinf(expected) or expected == 0:
        alike = found == expected or (math.isnan(found) and math.isnan(expected))
        return alike and (not signed or math.copysign(1, found) == math.copysign(1, expected))
    return math.isclose(found, expected, rel_tol=1e-12)


def same_value(found: float, expected: float) -> bool:
    return same(found, expected, signed=expected == 0)


def test_the_page_has_rows_for_each_function() -> None:
    assert len(ROWS) > 300
    assert len({str(row) for row in ROWS}) == len(ROWS), "a row stands there twice"
    used = set(re.findall(r"[a-z]\w*", " ".join(row.expression for row in ROWS)))
    by_symbol = {"add", "sub", "mul", "truediv", "floordiv", "pow", "mod", "neg"}
    aliases = {name for name, f in FUNCTIONS.items() if name != f.__name__}
    assert FUNCTIONS.keys() - used - by_symbol - aliases == set()


@every_row
def test_value_and_slopes(rows: list[Row]) -> None:
    for row in rows:
        given = [Value(v) for v in row.point]
        out = row.function(*given)
        if isinstance(out, Value):
            out.backward()
        assert same_value(float(out), row.value), (row, float(out))
        for operand, slope in zip(given, row.slopes, strict=True):
            assert same(operand.grad, slope), (row, operand, slope)


@every_row
def test_slopes_in_higher_order(rows: list[Row]) -> None:
    """The slopes evaluated on Values, as ``grad`` of ``grad`` needs them."""
    for row in rows:
        found = grad(row.function)(*map(Value, row.point))
        for slope, expected in zip(_tuple(found), row.slopes, strict=True):
            assert same(float(slope), expected), (row, slope, expected)


@pytest.mark.usefixtures("executor")
@every_row
def test_compiled(rows: list[Row]) -> None:
    """The same numbers beside other rows, whose points are not special."""
    c = compile(lambda *operands: _value(rows[0].function(*operands)))
    for row in rows:
        columns = [[v, 0.75, v] for v in row.point]
        values = c(*columns)
        assert same_value(values[0], row.value), (row, values)
        assert same_value(values[2], row.value), (row, values)
        for slope, expected in zip(c.jacobian(*columns)[2, 0], row.slopes, strict=True):
            assert same(slope, expected), (row, slope, expected)
        if row.second is not None:
            assert same(c.hessian(*columns)[2, 0, 0], row.second), row


def _value(out: Any) -> Value:
    return out if isinstance(out, Value) else Value(out)


@each_expression(row for row in ROWS if row.second is not None)
def test_second_derivative(rows: list[Row]) -> None:
    for row in rows:

        def by_x(x: Any, row: Row = row) -> Any:
            return _tuple(grad(row.function)(x, *map(Value, row.point[1:])))[0]

        assert row.second is not None
        assert same(grad(by_x)(row.point[0]), row.second), row
        x = Value(row.point[0])
        slope = by_x(x)
        slope.backward()
        assert same(x.grad, row.second), row


@every_row
def test_the_steps_of_the_sweep(rows: list[Row]) -> None:
    """What ``flow`` tells the pictures sums up to what ``backward`` computed."""
    for row in rows:
        given = [Value(v) for v in row.point]
        out = row.function(*given)
        if isinstance(out, Value):
            out.backward()
            arrived = dict.fromkeys(given, 0.0)
            for step in backward_steps(out):
                if step.parent in arrived:
                    arrived[step.parent] += step.contribution
            arrived[out] = 1.0  # where out is the operand itself
            assert all(same(arrived[operand], operand.grad) for operand in given), row


@each_expression(row for row in ROWS if not re.search(r"[-+*/%]", row.expression))
def test_functions_of_plain_numbers(rows: list[Row]) -> None:
    """A function of numbers gives the value that it gives of Values."""
    for row in rows:
        found = row.function(*row.point)
        assert type(found) is float, row
        assert same_value(found, row.value), row


def _tuple(found: Any) -> tuple[Any, ...]:
    return found if isinstance(found, tuple) else (found,)


# ---- The conventions, as the page words them ---------------------------------------------------


@pytest.mark.parametrize("x", [-1.0, -0.0, 0.0, 1.0, math.inf, -math.inf, math.nan])
def test_relu_maximum_and_clip_are_one_function(x: float) -> None:
    f, positive_part = FUNCTIONS, []
    ways: list[Callable[[Value], Value]] = [
        f["relu"],
        lambda v: f["maximum"](v, 0),
        lambda v: f["maximum"](0, v),
        lambda v: f["clip"](v, 0, None),
    ]
    for way in ways:
        v = Value(x)
        out = way(v)
        out.backward()
        positive_part.append((str(abs(out.data)), str(v.grad)))
    assert len(set(positive_part)) == 1


# ---- This test itself --------------------------------------------------------------------------


def test_a_wrong_row_is_noticed() -> None:
    line = "| `abs(x)` | 0 |  | 0 | 1 |  |  |  |"  # a slope of 1 instead of 0
    rows = read(line)
    with pytest.raises(AssertionError):
        test_value_and_slopes(rows)
    with pytest.raises(AssertionError):
        test_slopes_in_higher_order(rows)
    rows = read("| `round(x)` | -0.5 |  | 0 | 0 |  |  |  |")  # the value is -0
    with pytest.raises(AssertionError):
        test_value_and_slopes(rows)
    rows = read("| `x**2` | 0 |  | 0 | 0 |  | 0 |  |")  # the second derivative is 2
    with pytest.raises(AssertionError):
        test_second_derivative(rows)
