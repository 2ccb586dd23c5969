"""Where everything in a picture of a network is: its circles, its arrows, and their numbers.

Each number is beside its own arrow, and on nothing else. It is a box. Along its arrow, on both
sides, there are places where it might go; those that touch another arrow, a circle or another word
fall out, and of the rest each arrow gets one, so that no two boxes meet. Where that does not work
out, the columns go farther apart.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy
import numpy.typing

Point = tuple[float, float]
Array = numpy.typing.NDArray[numpy.float64]
Mask = numpy.typing.NDArray[numpy.bool_]
Owners = numpy.typing.NDArray[numpy.int64]

# All lengths are in points. What is between two circles of a column, and how far apart columns are
# at least: tall ones farther, so that their arrows do not become too steep.
BETWEEN, COLUMN, SLANT = 44.0, 190.0, 0.25

# The arrow of a bias and its head; how far above the circle its number is; how high a number is.
BIAS, BIAS_HEAD, ABOVE, HIGH = 23.0, 5.0, 29.0, 9.0

# How long the head of an arrow is without its line, and how much room a thick arrow needs: half its
# width, and the length and half the width of its head.
HEAD, HALF, HEAD_LONG, HEAD_HALF = 7.0, 3.0, 14.0, 6.0

# How much wider columns are made, step by step, until each number has a place beside its arrow; and
# after how many steps a number may lie on another arrow.
WIDER, WIDENED = 20.0, 14

#: How far a number stays from its own arrow, and from everything else.
NEAR, FAR = 2.0, 4.0

#: How many places are tried along an arrow, on each side.
PLACES = 40

#: After so many choices the search for places that suit everybody is given up.
MOST_CHOICES = 400


Places = dict[tuple[int, int | None], Point]


def places_of(
    columns: Sequence[Sequence[int | None]],
    radius: float,
    widest: tuple[float, float] | None,
) -> tuple[Places, list[Point]]:
    """Where each circle of a network is, and the number of each of its arrows.

    Columns are side by side, their middles level, as far apart as the numbers between them need.

    Args:
        columns: the circles of each column, from above; None is a gap.
        radius: of the circles.
        widest: the widths of the widest number of an arrow, and of a bias; None if arrows have
            no numbers.

    Returns:
        The middles of circles and gaps; and of the numbers, by layers, by their ends, by their
        beginnings.
    """
    step = 2 * radius + BETWEEN
    heights = [
        tuple(((len(shown) - 1) / 2 - level) * step for level in range(len(shown)))
        for shown in columns
    ]
    across = max(COLUMN, 2 * radius + 110, SLANT * step * max(map(len, columns)))
    left, numbers = [0.0], []
    drawn = [_Column(h, tuple(shown)) for h, shown in zip(heights, columns, strict=True)]
    for layer, (starts, ends) in enumerate(itertools.pairwise(drawn)):
        apart = across
        if widest:
            apart, found = _between(starts, ends, layer > 0, radius, widest, across)
            numbers += [(left[-1] + x, y) for x, y in found]
        left.append(left[-1] + apart)
    places = {
        (column, row): (left[column], height)
        for column, shown in enumerate(columns)
        for row, height in zip(shown, heights[column], strict=True)
    }
    return places, numbers


class _Column(NamedTuple):
    """How high the circles of a column are, and which of them are gaps."""

    heights: tuple[float, ...]
    rows: tuple[int | None, ...]

    @property
    def neurons(self) -> list[float]:
        return [h for h, row in zip(self.heights, self.rows, strict=True) if row is not None]


@functools.lru_cache(maxsize=64)
def _between(
    starts: _Column,
    ends: _Column,
    are_biased: bool,
    radius: float,
    widest: tuple[float, float],
    narrowest: float,
) -> tuple[float, list[Point]]:
    """How far apart two columns are, and where the numbers between them are.

    They are as near as they can be while no number lies on anything. Where there is no such
    distance, some numbers lie on arrows of others.
    """
    number, bias = widest

    def numbers(apart: float, crossing: bool) -> list[Point] | None:
        drawn = [shaft((0.0, a), (apart, b), radius) for b in ends.neurons for a in starts.neurons]
        sides = ((0.0, starts), (apart, ends))
        biased = [
            (x, y + radius)
            for x, column in sides
            if column is ends or are_biased
            for y in column.neurons
        ]
        around = Around(
            [Circle(x, y, radius) for x, column in sides for y in column.heights],
            [Box(x, top + ABOVE, bias / 2, HIGH / 2) for x, top in biased],
            [Line((x, top), (x, top + BIAS), HALF) for x, top in biased]
            + [head for line in drawn for head in _heads(*line)],
        )
        lines = [Line(start, end, HALF) for start, end in drawn]
        return _beside(lines, (number, HIGH), around, crossing=crossing)

    tries = itertools.chain(
        ((narrowest + k * WIDER, False) for k in range(WIDENED)),
        ((narrowest + k * WIDER, True) for k in itertools.count(WIDENED // 2)),
    )
    return next(
        (apart, found)
        for apart, crossing in tries
        if (found := numbers(apart, crossing)) is not None
    )


def shaft(start: Point, end: Point, radius: float) -> tuple[Point, Point]:
    """The line from one circle to another, between their edges."""
    share = radius / math.dist(start, end)
    return along(start, end, share), along(start, end, 1 - share)


def along(start: Point, end: Point, share: float) -> Point:
    """The point of a line that is so far along it."""
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _heads(start: Point, end: Point) -> list[Line]:
    """Where an arrow may have its head: whatever it carries, its number is at the same place."""
    share = HEAD_LONG / math.dist(start, end)
    return [
        Line(start, along(start, end, share), HEAD_HALF),
        Line(along(start, end, 1 - share), end, HEAD_HALF),
    ]


# ---- Beside an arrow ---------------------------------------------------------------------------


class Line(NamedTuple):
    """A straight line as thick as twice ``half``."""

    start: Point
    end: Point
    half: float


class Box(NamedTuple):
    """A rectangle: its middle, and half its width and height."""

    x: float
    y: float
    half_width: float
    half_height: float


class Circle(NamedTuple):
    """A circle: its middle and its radius."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Around:
    """What a number may not cover."""

    circles: Sequence[Circle]
    boxes: Sequence[Box]
    lines: Sequence[Line]


def _beside(
    arrows: Sequence[Line],
    size: tuple[float, float],
    around: Around,
    *,
    crossing: bool = False,
) -> list[Point] | None:
    """A place for the number of each arrow.

    Args:
        arrows: the arrows that have a number.
        size: the width and the height of the widest number.
        around: what else is there.
        crossing: whether a number may lie on another arrow, where nothing else is left.

    Returns:
        The middle of each number; None if there is no room for all of them.
    """
    width, height = size[0] / 2, size[1] / 2
    middles, owners, aside = _candidates(arrows, width, height)
    free = numpy.ones(len(middles), bool)
    for x, y, radius in around.circles:
        across = numpy.maximum(abs(middles[:, 0] - x) - width, 0)
        up = numpy.maximum(abs(middles[:, 1] - y) - height, 0)
        free &= numpy.hypot(across, up) > radius + FAR
    for box in around.boxes:
        free &= ~_meet(middles, box, width, height)
    for line in around.lines:
        free &= _clear(middles, line, width, height) > 0
    crossed = numpy.zeros(len(middles))
    for place, line in enumerate(arrows):
        gap = _clear(middles, line, width, height)
        # Nearer to its own arrow than to any other, so that nobody asks whose it is.
        crossed += (owners != place) & (gap < FAR)
        aside += 0.1 * ((owners != place) & (gap < 2 * FAR))
    if not crossing:
        free &= crossed == 0
    cost = aside + 10 * crossed
    return _chosen(middles[free], owners[free], cost[free], len(arrows), width, height)


def _candidates(arrows: Sequence[Line], width: float, height: float) -> tuple[Array, Owners, Array]:
    """Places beside each arrow, whose they are, and how far from the arrow's middle."""
    shares = numpy.arange(1, PLACES) / PLACES
    middles, owners, aside = [], [], []
    for place, (start, end, half) in enumerate(arrows):
        normal = _normal(start, end)
        off = abs(normal) @ (width, height) + half + NEAR
        on_line = numpy.outer(1 - shares, start) + numpy.outer(shares, end)
        for side in (1, -1):
            middles.append(on_line + side * off * normal)
            owners.append(numpy.full(len(shares), place))
            # Above the line before below it.
            aside.append(abs(shares - 0.5) + (0.02 if side * normal[1] < 0 else 0))
    return numpy.concatenate(middles), numpy.concatenate(owners), numpy.concatenate(aside)


def _normal(start: Point, end: Point) -> Array:
    across, up = end[0] - start[0], end[1] - start[1]
    return numpy.array([-up, across]) / math.hypot(across, up)


def _clear(middles: Array, line: Line, width: float, height: float) -> Array:
    """How far boxes are from a line; below zero where they lie on it.

    Two shapes without dents are apart where a straight cut parts them: along the line, upright or
    level.
    """
    start, end = numpy.array(line.start), numpy.array(line.end)
    normal = _normal(line.start, line.end)
    off = abs((middles - start) @ normal) - abs(normal) @ (width, height)
    beyond = abs(middles - (start + end) / 2) - abs(end - start) / 2 - (width, height)
    return numpy.asarray(numpy.maximum(off, beyond.max(axis=1)) - line.half)


def _meet(middles: Array, box: Box, width: float, height: float) -> Mask:
    near = abs(middles - (box.x, box.y))
    room = (width + box.half_width + NEAR, height + box.half_height)
    return numpy.asarray((near < room).all(axis=1))


def _chosen(
    middles: Array, owners: Owners, cost: Array, count: int, width: float, height: float
) -> list[Point] | None:
    """One place for each arrow, so that no two boxes meet; who has the least choice is first."""
    if len(set(owners.tolist())) < count:
        return None
    apart = abs(middles[:, None] - middles[None])
    meets = (apart[..., 0] < 2 * width + NEAR) & (apart[..., 1] < 2 * height)
    order = numpy.argsort(cost, kind="stable")
    left = MOST_CHOICES

    def settle(alive: Mask, found: dict[int, int]) -> dict[int, int] | None:
        nonlocal left
        if len(found) == count:
            return found
        choices = numpy.bincount(owners[alive], minlength=count)
        choices[list(found)] = len(alive) + 1
        arrow = int(choices.argmin())
        for candidate in order[alive[order] & (owners[order] == arrow)]:
            left -= 1
            if left < 0:
                return None
            rest = alive & ~meets[candidate] & (owners != arrow)
            settled = settle(rest, found | {arrow: int(candidate)})
            if settled is not None:
                return settled
        return None

    found = settle(numpy.ones(len(middles), bool), {})
    if found is None:
        return None
    return [(float(x), float(y)) for x, y in (middles[found[arrow]] for arrow in range(count))]
