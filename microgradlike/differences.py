"""What the checks are made of: central differences, and a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy
from numpy.typing import NDArray

# ---- Central differences -----------------------------------------------------------------------

_NOT_FINITE = "the values nearby are not finite: choose another point"
_CHANGING = "f gives another value each time it is called: give its random numbers a fixed seed"
_JUMP = "f jumps here: choose another point"
_ROUGH = "the values of f are too rough around here to show a slope: choose another point"

#: From one step to the next, smaller one. Irrational, so that no wave has a period that several
#: steps are multiples of: to these it would look flat.
_RATIO = math.pi / 2


@dataclass(frozen=True)
class Numeric:
    """A derivative from values alone."""

    slope: float
    error: float
    """An estimate of how far off ``slope`` may be."""
    left: float
    right: float
    """The slopes on either side: where they differ there is a kink."""
    fault: str = ""
    """Why ``slope`` cannot be trusted, if so."""


def numeric_derivative(f: Callable[[float], float], x: float, rounding: float = 0.0) -> Numeric:
    """The derivative of ``f`` at ``x`` by central differences, extrapolated to a step of zero.

    How far ``f`` must be followed to see its slope is not known, so all sizes of steps are tried,
    from a third down to the last digits of ``x``. The smallest steps see the slope blurred by
    rounding, but at the right place: of the larger ones, those count that agree with the smaller.

    Args:
        f: a function of a number.
        x: the point.
        rounding: how far the last digits of intermediate results may move the value of ``f``.

    Returns:
        The slope, its error estimate, and why it cannot be trusted where that is so.

    Source: Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", 1982.

    >>> round(numeric_derivative(math.sin, 0.0).slope, 12)
    1.0
    >>> round(numeric_derivative(lambda x: 1 / x, 1e-8).slope * 1e-16, 7)
    -1.0
    """
    here = f(x)
    if not (math.isfinite(x) and math.isfinite(here)):
        return Numeric(math.nan, math.inf, math.nan, math.nan, _NOT_FINITE)
    if any(f(x) != here for _ in range(8)):
        return Numeric(math.nan, math.inf, math.nan, math.nan, _CHANGING)
    samples = [(step, f(x - step), f(x + step)) for step in _steps(x)]
    samples = [sample for sample in samples if all(map(math.isfinite, sample))]
    if len(samples) < 2:
        return Numeric(math.nan, math.inf, math.nan, math.nan, _NOT_FINITE)
    with numpy.errstate(all="ignore"):
        slopes, errors, left, right = _extrapolated(numpy.array(samples, float), here, rounding)
    # A kink is as wide at every step; what only bends is narrow at one of them.
    rows = range(len(slopes))
    narrowest = min(rows, key=lambda row: abs(left[row] - right[row]) + errors[row])
    slope, least, steepest = slopes[-1], errors[-1], 0.0
    for row in reversed(rows):
        # The last digits of the slope: next to a summit they are those of the slopes around it.
        steepest = max(steepest, abs(left[row]), abs(right[row]))
        error = errors[row] + 1e-15 * steepest
        if error < least and abs(slopes[row] - slope) <= 3 * least:
            slope, least = slopes[row], error
    best = Numeric(slope, least, left[narrowest], right[narrowest])
    _, below, above = samples[-1]
    _, below_far, above_far = samples[-min(11, len(samples))]
    noise = 4e-14 * max(map(abs, (below, above, here))) + 100 * rounding
    if abs(above - below) > max(noise, abs(above_far - below_far) / 2):
        return replace(best, fault=_JUMP)
    # A slope that hardly changes f counts as zero, and no error is small beside that.
    largest = max(abs(value) for sample in samples for value in sample[1:])
    if not best.error <= 0.1 * abs(best.slope) + 1e-6 * largest / max(1.0, abs(x)):
        return replace(best, fault=_ROUGH)
    return best


def _steps(x: float) -> Iterator[float]:
    """Smaller and smaller steps, such that ``x + step`` is exact."""
    last = math.inf
    for scale, count in ((max(1.0, abs(x)), 68), (abs(x), 25)):
        for place in range(count):
            step = (x + 0.3 * scale / _RATIO**place) - x
            if 0 < step < last / 1.4 and (count == 68 or abs(x) < 1e-9):
                last = step
                yield step


def _extrapolated(
    samples: NDArray[numpy.float64], here: float, rounding: float
) -> list[list[float]]:
    """The best that can be said at each step but the first, of it and the larger ones.

    Returns:
        The slopes, how far off they may be, and the slopes on the left and on the right.
    """
    steps, below, above = samples.T
    noise = (4e-16 * numpy.abs(samples[:, 1:]).max(axis=1, initial=abs(here)) + rounding) / steps
    column = (above - below) / 2 / steps
    slopes, errors = numpy.full(len(steps), math.nan), numpy.full(len(steps), math.inf)
    for order in range(1, min(10, len(steps))):
        # Row by row a better column: what is wrong by the power 2 * order of the step goes.
        last, column = column[:-1], column[1:]
        ratio = steps[:-order] / steps[order:]
        better = column + (column - last) / (ratio * ratio - 1)
        change = numpy.fmax(numpy.abs(better - column), numpy.abs(better - last)) + noise[order:]
        less = change < errors[order:]
        numpy.copyto(slopes[order:], better, where=less)
        numpy.copyto(errors[order:], change, where=less)
        column = better
    one_sided = numpy.array([(here - below) / steps, (above - here) / steps])
    gain = steps[:-1] / steps[1:]
    left, right = one_sided[:, 1:] + numpy.diff(one_sided) / (gain - 1)
    return [found.tolist() for found in (slopes[1:], errors[1:], left, right)]


@dataclass(frozen=True)
class Comparison:
    """One slope, by the engine and by central differences."""

    name: str
    engine: float
    numeric: Numeric

    @property
    def agrees(self) -> bool:
        if self.numeric.fault:
            return False
        gap = abs(self.engine - self.numeric.slope)
        return gap <= 3 * self.numeric.error + 1e-7 * abs(self.numeric.slope)

    @property
    def kink(self) -> bool:
        """Whether the engine's slope lies between those on either side, and these differ."""
        left, right = self.numeric.left, self.numeric.right
        apart = abs(left - right)
        return (
            not self.agrees
            and apart > 1e-2 * max(abs(left), abs(right))
            and abs(self.engine - self.numeric.slope) <= apart
        )

    @property
    def wrong(self) -> bool:
        """Whether the engine is to blame, rather than the point or ``f``."""
        return not (self.agrees or self.numeric.fault or self.kink)

    @property
    def verdict(self) -> str:
        """What to think of it, in a few words."""
        left, right = self.numeric.left, self.numeric.right
        if self.agrees:
            return "agrees"
        if self.numeric.fault:
            return f"CANNOT BE JUDGED ({self.numeric.fault})"
        if self.kink:
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
    unsummed: frozenset[str]
    """The operands whose contributions do not sum up to the engine's gradient."""
    custom: list[str]
    """The names of the nodes of the user's own, whose slopes nobody else can compute."""

    def __bool__(self) -> bool:
        return all(row.agrees for row in self.operands)

    def __str__(self) -> str:
        lines = [f"{'operand':<24} {'engine':<18} {'central differences':<26}"]
        lines += map(str, self.operands)
        doubtful = [row for row in self.operators if not row.agrees]
        wrong = [row.name for row in self.operands if row.wrong]
        if doubtful:
            lines += ["", "operator, by operand"]
            lines += map(str, doubtful)
        elif self.unsummed.intersection(wrong):
            names = ", ".join(name for name in wrong if name in self.unsummed)
            lines += [
                "",
                "Every operator's own slope agrees, so it is the accumulation that is wrong:",
                f"the contributions of several operations are not summed up to that of {names}.",
            ]
        elif wrong and self.custom:
            names = ", ".join(map(repr, self.custom))
            lines += [
                "",
                "Every operator's own slope agrees, so a node of your own has slopes that are not",
                f"those of its value: {names}.",
            ]
        elif wrong:
            names = ", ".join(wrong)
            lines += [
                "",
                "Every operator's own slope agrees, and their contributions sum up to the engine's",
                f"gradient, so f depends on {names} in a way that was not recorded: by x.detach(),",
                "by no_grad, or by what it keeps from one call to the next.",
            ]
        return "\n".join(lines)
