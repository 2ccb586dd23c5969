"""Where the numbers of arrows are written: each beside its own arrow, and on nothing else.

A number is a box. Along its arrow, on both sides, there are places where it might go; those that
touch another arrow, a circle or another word fall out, and of the rest each arrow gets one, so that
no two boxes meet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy
import numpy.typing

Array = numpy.typing.NDArray[numpy.float64]
Mask = numpy.typing.NDArray[numpy.bool_]
Owners = numpy.typing.NDArray[numpy.int64]

#: How far a number stays from its own arrow, and from everything else, in points.
NEAR, FAR = 2.0, 4.0

#: How many places are tried along an arrow, on each side.
PLACES = 40

#: After so many choices the search for places that suit everybody is given up.
MOST_CHOICES = 400


class Line(NamedTuple):
    """A straight line as thick as twice ``half``, all in points."""

    start: tuple[float, float]
    end: tuple[float, float]
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


def beside_arrows(
    arrows: Sequence[Line],
    size: tuple[float, float],
    around: Around,
    *,
    crossing: bool = False,
) -> list[tuple[float, float]] | None:
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
    along = numpy.arange(1, PLACES) / PLACES
    middles, owners, aside = [], [], []
    for place, (start, end, half) in enumerate(arrows):
        normal = _normal(start, end)
        off = abs(normal) @ (width, height) + half + NEAR
        on_line = numpy.outer(1 - along, start) + numpy.outer(along, end)
        for side in (1, -1):
            middles.append(on_line + side * off * normal)
            owners.append(numpy.full(len(along), place))
            # Above the line before below it.
            aside.append(abs(along - 0.5) + (0.02 if side * normal[1] < 0 else 0))
    return numpy.concatenate(middles), numpy.concatenate(owners), numpy.concatenate(aside)


def _normal(start: tuple[float, float], end: tuple[float, float]) -> Array:
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
) -> list[tuple[float, float]] | None:
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
