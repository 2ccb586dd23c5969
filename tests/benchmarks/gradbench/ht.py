"""ht: a hand of 22 bones is bent until its skin lies where points were measured.

The 26 numbers of ``theta`` turn and shift the hand, and bend each finger: its first joint in two
ways, the two others in one. A point of the skin follows some bones, by its weights. In the simple
case each measured point belongs to one point of the skin; in the complicated one to a place within
a triangle of the skin, which two numbers more for each point say. Then only these two numbers of a
point move its own errors, so the Jacobian is kept as 26 + 2 columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from microgradlike import compile, cos, dot, sin, sqrt
from tests.benchmarks.gradbench import complex_step
from tests.benchmarks.side_by_side import Ready, Work, jax, jnp, torch, with_jax

#: Measured points, and whether it is the complicated case.
SIZES = ((20, False), (20, True), (200, False), (200, True), (1_000, False))
FINGERS, SKIN = 5, 544
BONES = 2 + 4 * FINGERS
#: The wrist holds the forearm and the first bone of each finger; each other bone holds the next.
PARENTS = [-1, *(0 if joint == 0 else 4 * f + joint for f in range(FINGERS) for joint in range(4))]
PARENTS.append(0)


@dataclass(frozen=True)
class Hand:
    """Arrays: the bones as they are at rest, the skin, and what was measured.

    Attributes:
        relative: each bone as seen from its parent, shape (bones, 4, 4).
        inverse: from the hand to each bone, shape (bones, 4, 4).
        skin: its points, shape (points, 4); the last number is 1.
        weights: how much each point of it follows each bone, shape (points, bones).
        corners: of the triangle, or the one point of the skin, of each measured point.
        measured: shape (measured points, 3).
    """

    relative: Any
    inverse: Any
    skin: Any
    weights: Any
    corners: Any
    measured: Any


def hand(measured: int, complicated: bool) -> Hand:
    """A hand at random, with bones of about the right place."""
    draw = numpy.random.default_rng(9)
    relative = numpy.tile(numpy.eye(4), (BONES, 1, 1))
    for bone in range(BONES):
        tilt, _ = numpy.linalg.qr(numpy.eye(3) + 0.2 * draw.normal(size=(3, 3)))
        relative[bone, :3, :3] = tilt * numpy.sign(numpy.diag(tilt))
        relative[bone, :3, 3] = draw.normal(size=3) * 0.3 + [0, 1, 0]
    absolute: list[Any] = []
    for own, parent in zip(relative, PARENTS, strict=True):
        absolute.append(own if parent < 0 else absolute[parent] @ own)
    nearest = draw.integers(0, BONES, SKIN)
    skin = numpy.ones((SKIN, 4))
    skin[:, :3] = numpy.array(absolute)[nearest, :3, 3] + 0.2 * draw.normal(size=(SKIN, 3))
    weights = numpy.zeros((SKIN, BONES))
    weights[numpy.arange(SKIN), nearest] = draw.uniform(0.5, 1, SKIN)
    weights[numpy.arange(SKIN), (nearest + 1) % BONES] = 1 - weights.sum(axis=1)
    corners = draw.integers(0, SKIN, (measured, 3 if complicated else 1))
    points = skin[corners[:, 0], :3] + 0.1 * draw.normal(size=(measured, 3))
    return Hand(relative, numpy.linalg.inv(absolute), skin, weights, corners, points)


# ---- The program -------------------------------------------------------------------------------


def times(A: Any, B: Any) -> Any:
    columns = list(zip(*B, strict=True))
    return [[dot(row, column) for column in columns] for row in A]


def turned(axis: Any) -> Any:
    """The rotation about an axis, by its length."""
    angle = sqrt(sum(v * v for v in axis))
    if angle < 1e-4:
        return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    x, y, z = (v / angle for v in axis)
    s, c = sin(angle), cos(angle)
    k = 1 - c
    return [
        [x * x * k + c, x * y * k - z * s, x * z * k + y * s],
        [x * y * k + z * s, y * y * k + c, y * z * k - x * s],
        [x * z * k - y * s, y * z * k + x * s, z * z * k + c],
    ]


def bent(flexion: Any, spread: Any) -> Any:
    """First about x, then about z."""
    cx, sx, cz, sz = cos(flexion), sin(flexion), cos(spread), sin(spread)
    return [
        [cz, -sz * cx, sz * sx, 0.0],
        [sz, cz * cx, -cz * sx, 0.0],
        [0.0, sx, cx, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ]


def program(theta: Any, us: Any, model: Hand) -> Any:
    """The errors, three for each measured point."""
    bends = {}
    for finger in range(FINGERS):
        first, numbers = 2 + 4 * finger, theta[6 + 4 * finger : 10 + 4 * finger]
        bends[first] = bent(numbers[0], numbers[1])
        bends[first + 1] = bent(numbers[2], 0.0)
        bends[first + 2] = bent(numbers[3], 0.0)
    absolute: list[Any] = []
    for bone, relative in enumerate(model.relative.tolist()):
        own = times(relative, bends[bone]) if bone in bends else relative
        absolute.append(own if bone == 0 else times(absolute[PARENTS[bone]], own))
    moves = [times(a, b)[:3] for a, b in zip(absolute, model.inverse.tolist(), strict=True)]
    rotation, shift = turned(theta[:3]), theta[3:6]

    def place(vertex: int) -> Any:
        weights, at = model.weights[vertex].tolist(), model.skin[vertex].tolist()
        point = [0.0, 0.0, 0.0]
        for weight, move in zip(weights, moves, strict=True):
            if weight:
                for i in range(3):
                    point[i] += weight * dot(move[i], at)
        return [dot(row, point) + s for row, s in zip(rotation, shift, strict=True)]

    errors = []
    for k, (corners, measured) in enumerate(
        zip(model.corners.tolist(), model.measured.tolist(), strict=True)
    ):
        places = [place(vertex) for vertex in corners]
        if us:
            u, v = us[k]
            places = [[u * a + v * b + (1 - u - v) * c for a, b, c in zip(*places, strict=True)]]
        errors += [m - p for m, p in zip(measured, places[0], strict=True)]
    return errors


def narrow(found: Any, measured: int) -> Any:
    """Of the whole Jacobian, the columns of theta, and of each point its own two."""
    whole = found.reshape(measured, 3, -1)
    if whole.shape[2] == 26:
        return whole
    own = whole[:, :, 26:].reshape(measured, 3, measured, 2)
    own = own[numpy.arange(measured), :, numpy.arange(measured)]
    return numpy.concatenate([whole[:, :, :26], own], axis=2)


# ---- With arrays -------------------------------------------------------------------------------


def with_arrays(theta: Any, us: Any, model: Hand, xp: Any) -> Any:
    """The errors, shape (measured points, 3), by arrays of whichever library."""
    one, zero = xp.ones_like(theta[0]), xp.zeros_like(theta[0])

    def matrix(rows: Any) -> Any:
        return xp.stack([xp.stack(row) for row in rows])

    def about_both(x: Any, z: Any) -> Any:
        cx, sx, cz, sz = xp.cos(x), xp.sin(x), xp.cos(z), xp.sin(z)
        return matrix(
            [
                [cz, -sz * cx, sz * sx, zero],
                [sz, cz * cx, -cz * sx, zero],
                [zero, sx, cx, zero],
                [zero, zero, zero, one],
            ]
        )

    own = list(model.relative)
    for finger in range(FINGERS):
        first, numbers = 2 + 4 * finger, theta[6 + 4 * finger : 10 + 4 * finger]
        own[first] = own[first] @ about_both(numbers[0], numbers[1])
        own[first + 1] = own[first + 1] @ about_both(numbers[2], zero)
        own[first + 2] = own[first + 2] @ about_both(numbers[3], zero)
    absolute: list[Any] = []
    for bone, parent in zip(own, PARENTS, strict=True):
        absolute.append(bone if parent < 0 else absolute[parent] @ bone)
    moves = xp.stack(absolute) @ model.inverse
    skin = model.skin[model.corners]  # measured points, corners, 4
    places = xp.einsum("pcb,bij,pcj->pci", model.weights[model.corners], moves[:, :3], skin)
    if len(us):
        shares = xp.concatenate([us, 1 - us.sum(1)[:, None]], 1)
        place = (shares[:, :, None] * places).sum(1)
    else:
        place = places[:, 0]
    angle = xp.sqrt((theta[:3] ** 2).sum())
    x, y, z = theta[:3] / angle
    K = matrix([[zero, -z, y], [z, zero, -x], [-y, x, zero]])
    rotation = matrix([[one, zero, zero], [zero, one, zero], [zero, zero, one]])
    rotation = rotation + xp.sin(angle) * K + (1 - xp.cos(angle)) * (K @ K)
    return model.measured - place @ rotation.T - theta[3:6]


def directions(us: Any) -> Any:
    """All that are pushed forward: each number of theta, then one of all points' two at once."""
    columns = 26 + (2 if len(us) else 0)
    by_theta = numpy.eye(columns, 26)
    by_us = numpy.zeros((columns, *us.shape))
    if len(us):
        by_us[26, :, 0] = by_us[27, :, 1] = 1.0
    return by_theta, by_us


def jax_jacobian(model: Hand, theta: Any, us: Any) -> Ready:
    def all_columns(theta: Any, us: Any) -> Any:
        def along(*direction: Any) -> Any:
            errors = lambda theta, us: with_arrays(theta, us, model, jnp)  # noqa: E731
            return jax.jvp(errors, (theta, us), direction)[1]

        return jax.vmap(along, out_axes=-1)(*directions(us))

    return with_jax(all_columns, theta, us)


def torch_jacobian(model: Hand, theta: Any, us: Any) -> Ready:
    tensors = Hand(*(torch.tensor(part) for part in vars(model).values()))
    given = torch.tensor(theta), torch.tensor(us)
    pushed = tuple(torch.tensor(part) for part in directions(us))

    def along(*direction: Any) -> Any:
        errors = lambda theta, us: with_arrays(theta, us, tensors, torch)  # noqa: E731
        return torch.func.jvp(errors, given, direction)[1]

    return Ready(lambda: torch.func.vmap(along, out_dims=-1)(*pushed))


def reference(model: Hand, theta: Any, us: Any) -> tuple[Any, Any]:
    numbers = numpy.concatenate([theta, us.ravel()])

    def errors(numbers: Any) -> Any:
        return with_arrays(numbers[:26], numbers[26:].reshape(us.shape), model, numpy)

    return errors(numbers), narrow(complex_step.slopes(errors, numbers), len(model.measured))


def work(measured: int, complicated: bool) -> Work:
    draw = numpy.random.default_rng(10)
    model, theta = hand(measured, complicated), draw.normal(size=26) * 0.3
    us = draw.uniform(0.1, 0.4, size=(measured if complicated else 0, 2))

    def errors(theta: Any, us: Any = ()) -> Any:
        return program(theta, us, model)

    columns = (theta[None], us[None]) if complicated else (theta[None],)

    def jacobian() -> Ready:
        c = compile(errors)
        return Ready(lambda: c.jacobian(*columns), lambda found: narrow(found, measured).ravel())

    return Work(
        f"{measured:,} points, {'complicated' if complicated else 'simple'}",
        errors,
        columns,
        derivative=jacobian,
        jax=lambda: jax_jacobian(model, theta, us),
        torch=lambda: torch_jacobian(model, theta, us),
        reference=lambda: reference(model, theta, us),
    )
