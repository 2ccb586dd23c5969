"""ba: how far points of a scene are from where cameras saw them, and the Jacobian of each sight.

A camera is its rotation (an axis times an angle), its centre, its focal length, its principal
point, and two numbers of its lens. Each row of the data is one sight: the camera, the point, its
weight, and where it was seen. The blocks of a row are all that is not zero in the whole Jacobian.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy
import scipy.linalg

from microgradlike import cos, sin, sqrt
from tests.benchmarks.gradbench import complex_step
from tests.benchmarks.side_by_side import Work, jax_rows, jnp, torch, torch_rows

#: Cameras, points, sights.
SIZES = ((3, 20, 40), (49, 7_776, 31_843), (100, 20_000, 200_000))


def cross(a: Any, b: Any) -> Any:
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def program(camera: Any, point: Any, weight: Any, seen: Any) -> Any:
    turn, centre, focus, middle, lens = camera[:3], camera[3:6], camera[6], camera[7:9], camera[9:]
    p = [a - b for a, b in zip(point, centre, strict=True)]
    square = sum(v * v for v in turn)
    if square > 0:
        angle = sqrt(square)
        axis = [v / angle for v in turn]
        along = sum(a * b for a, b in zip(axis, p, strict=True)) * (1 - cos(angle))
        beside = cross(axis, p)
        p = [p[i] * cos(angle) + beside[i] * sin(angle) + axis[i] * along for i in range(3)]
    else:
        p = [a + b for a, b in zip(p, cross(turn, p), strict=True)]
    x, y = p[0] / p[2], p[1] / p[2]
    r = x * x + y * y
    bend = 1 + lens[0] * r + lens[1] * r * r
    errors = [
        weight * (v * bend * focus + m - s) for v, m, s in zip((x, y), middle, seen, strict=True)
    ]
    return [*errors, 1 - weight * weight]


def with_arrays(xp: Any, vector_cross: Any, camera: Any, point: Any, weight: Any, seen: Any) -> Any:
    turn, p = camera[:3], point - camera[3:6]
    square = (turn * turn).sum()
    angle = xp.sqrt(xp.where(square > 0, square, 1.0))
    axis = turn / angle
    c, s = xp.cos(angle), xp.sin(angle)
    turned = p * c + vector_cross(axis, p) * s + axis * (axis * p).sum() * (1 - c)
    p = xp.where(square > 0, turned, p + vector_cross(turn, p))
    flat = p[:2] / p[2]
    r = (flat * flat).sum()
    bend = 1 + camera[9] * r + camera[10] * r * r
    errors = weight * (flat * bend * camera[6] + camera[7:9] - seen)
    return xp.concatenate([errors, (1 - weight * weight)[None]])


def by_exponential(numbers: Any, seen: Any) -> Any:
    """One sight: its rotation is the exponential of the matrix that takes cross products."""
    camera, point, weight = numbers[:11], numbers[11:14], numbers[14]
    a, b, c = camera[:3]
    rotation = scipy.linalg.expm(numpy.array([[0, -c, b], [c, 0, -a], [-b, a, 0]]))
    p = rotation @ (point - camera[3:6])
    r = (p[0] ** 2 + p[1] ** 2) / p[2] ** 2
    projected = p[:2] / p[2] * (1 + camera[9] * r + camera[10] * r**2) * camera[6] + camera[7:9]
    return numpy.append(weight * (projected - seen), 1 - weight**2)


def reference(cameras: Any, points: Any, weights: Any, seen: Any) -> tuple[Any, Any]:
    rows = numpy.hstack([cameras, points, weights[:, None]])
    values = [by_exponential(row, at) for row, at in zip(rows, seen, strict=True)]
    slopes = [
        complex_step.slopes(partial(by_exponential, seen=at), row)
        for row, at in zip(rows, seen, strict=True)
    ]
    # Where a point was seen moves its error the other way, times its weight.
    by_seen = numpy.zeros((len(rows), 3, 2))
    by_seen[:, 0, 0] = by_seen[:, 1, 1] = -weights
    return numpy.array(values), numpy.concatenate([slopes, by_seen], axis=2)


def work(cameras: int, points: int, sights: int) -> Work:
    draw = numpy.random.default_rng(8)
    all_cameras, all_points = draw.normal(size=(cameras, 11)), draw.normal(size=(points, 3))
    all_points[:, 2] += 5.0
    sight = numpy.arange(sights)
    columns = (
        all_cameras[sight % cameras],
        all_points[sight % points],
        draw.normal(size=sights),
        draw.normal(size=(sights, 2)),
    )
    return Work(
        f"{cameras} cameras, {points:,} points, {sights:,} sights",
        program,
        columns,
        jax=lambda: jax_rows(lambda *row: with_arrays(jnp, jnp.cross, *row), *columns, outputs=3),
        torch=lambda: torch_rows(
            lambda *row: with_arrays(torch, torch.linalg.cross, *row), *columns
        ),
        reference=lambda: reference(*columns),
    )
