"""Each operator of the table at special points, as the engine has it."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy

from microgradlike import Value, grad
from microgradlike.compiler.operations import ARITIES, CONDITIONS, NAMES, row_of
from microgradlike.functions import FUNCTIONS
from microgradlike.ops import OPERATORS, on_floats, sent

#: Zeros, ends, both signs; where a formula is another one, or a function has an end; huge and tiny.
POINTS = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 2.5, -3.0, 26.0, 30.0, -700.0, 709.5, 710.0, 1.4999),
    *(1.5001, 1e-5, 1e-300, 1e17, -3e18, 1e200, -1e307, math.inf, -math.inf, math.nan),
)
#: What, or whose exponential, is below the smallest number with all digits.
TINY = (1e-320, -745.0, -1e308)

#: Those of the engine; and all that a program may have, such as conditions.
OF_ENGINE = tuple(name for name in OPERATORS if name != "where")
OF_PROGRAMS = tuple(name for name, arity in zip(NAMES, ARITIES, strict=True) if arity)


class Found(NamedTuple):
    """Of an operator in many rows: its operands, what it is, and its slopes by each of them."""

    operands: list[Any]
    value: Any
    slopes: list[Any]


@functools.cache
def expected(name: str, more: tuple[float, ...] = ()) -> Found:
    """An operator at all points and more, or at all pairs of them: by the engine, or by the table
    for what is no operator of the engine."""
    row, tie = row_of(name)
    assert row
    some = (0.0, 1.0) if name in CONDITIONS[4:7] else (*POINTS, *more)  # of conditions
    points = list(itertools.product(some, repeat=len(row.slopes)))
    values, slopes = [], []
    for point in points:
        if name in OF_ENGINE:
            x = list(map(Value, point))
            out = FUNCTIONS[name](*x)
            out.backward()
            values.append(out.data)
            slopes.append([v.grad for v in x])
        else:
            a, b = (*point, None)[:2]
            values.append(float(on_floats(row.value)(a, b, 0, tie)))
            slopes.append([on_floats(sent(s, tie))(a, b, values[-1], tie, 1.0) for s in row.slopes])
    return Found(list(numpy.transpose(points)), numpy.array(values), list(numpy.transpose(slopes)))


def bends(name: str) -> list[list[Any]]:
    """The slopes of each slope, by the engine."""
    function = FUNCTIONS[name]
    found: list[list[list[float]]] = []
    for point in zip(*expected(name).operands, strict=True):
        x = list(map(Value, point))
        by_values = grad(function)(*x)
        found.append([])
        for slope in by_values if len(x) > 1 else (by_values,):
            for v in x:
                v.grad = 0.0
            slope.backward()
            found[-1].append([v.grad for v in x])
    return [list(of_slope) for of_slope in numpy.transpose(found, (1, 2, 0))]


def differing(
    name: str,
    value: Any,
    slopes: Sequence[Any],
    second: Sequence[Sequence[Any]] | None = None,
    smallest: float = 0.0,
) -> Iterator[str]:
    """Where somebody else has something else of an operator, in words; by more than the smallest
    number, if one is given.

    Second derivatives are a difference of two numbers as large as a slope divided by an operand,
    and they are asked for only where these are far from the largest and the smallest floats.
    """
    ours = expected(name)
    yield from _differing(name, ours, value, ours.value, smallest)
    for k, slope in enumerate(slopes):
        yield from _differing(f"slope {k} of {name}", ours, slope, ours.slopes[k], smallest)
    if second is not None:
        with numpy.errstate(all="ignore"):
            usual = [
                ~numpy.isfinite(x) | (x == 0) | (abs(numpy.log10(abs(x))) < 150)
                for x in map(numpy.asarray, ours.operands)
            ]
            for (k, of_slope), j in itertools.product(enumerate(bends(name)), range(len(slopes))):
                terms = numpy.nan_to_num(abs(ours.slopes[k] / ours.operands[j]), posinf=0.0)
                found = numpy.where(numpy.all(usual, axis=0), second[k][j], of_slope[j])
                yield from _differing(
                    f"bend {k} {j} of {name}", ours, found, of_slope[j], smallest, terms
                )


def _differing(
    what: str, at: Found, found: Any, wanted: Any, smallest: float, terms: Any = 0.0
) -> Iterator[str]:
    with numpy.errstate(all="ignore"):
        same = (found == wanted) | (numpy.isnan(found) & numpy.isnan(wanted))
        same |= abs(found - wanted) <= 1e-13 * (abs(wanted) + terms) + smallest
    for k in numpy.flatnonzero(~same)[:3]:
        point = tuple(float(x[k]) for x in at.operands)
        yield f"{what} at {point} is {found[k]} instead of {wanted[k]}"
