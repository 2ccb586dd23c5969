"""Large products of matrices, in the loop of our own, against NumPy."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy
import pytest

from microgradlike.executors.machine import gemm
from microgradlike.executors.machine.addresses import address_of


@functools.cache
def own(number: str) -> Any:
    """The loop, as programs call it, also where they would call BLAS."""
    whole, pointer = ctypes.c_int64, ctypes.c_void_p
    kind = ctypes.CFUNCTYPE(None, pointer, *[whole] * 5, pointer, pointer, whole, pointer)
    return kind(address_of(gemm.large_product, gemm.given(number)))


def run(room: Any, turns: Any, shape: Any, a: Any, b: Any, keep: int, c: Any) -> None:
    at_room, at_a, at_b, at_c = (array.ctypes.data for array in (room, a, b, c))
    own(room.dtype.name)(at_room, *turns, *shape, at_a, at_b, keep, at_c)


SHAPES = [(12, 16, 1), (1, 1, 1), (13, 17, 3), (97, 31, 40), (30, 100, 300), (100, 33, 513)]


@pytest.mark.parametrize(("number", "close"), [("float64", 1e-12), ("float32", 1e-4)])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_of_all_shapes(shape: tuple[int, int, int], number: str, close: float) -> None:
    rows, columns, inner = shape
    draw = numpy.random.default_rng(0).normal
    for turn_a in (0, 1):
        for turn_b in (0, 1):
            for keep in (0, 1):
                a = draw(size=(inner, rows) if turn_a else (rows, inner)).astype(number)
                b = draw(size=(columns, inner) if turn_b else (inner, columns)).astype(number)
                c = draw(size=(rows, columns)).astype(number)
                expected = (a.T if turn_a else a) @ (b.T if turn_b else b) + keep * c
                room = numpy.zeros(gemm.room(columns), number)
                run(room, (turn_a, turn_b), shape, a, b, keep, c)
                assert c == pytest.approx(expected, rel=close, abs=close * inner**0.5)


def test_nan_stays_in_its_row_and_column() -> None:
    a, b, c = numpy.ones((13, 5)), numpy.ones((5, 20)), numpy.zeros((13, 20))
    a[12, 4], b[0, 19] = numpy.nan, numpy.inf
    run(numpy.zeros(gemm.room(20)), (0, 0), (13, 20, 5), a, b, 0, c)
    assert numpy.isnan(c[12]).all() and numpy.isinf(c[:12, 19]).all()
    assert (c[:12, :19] == 5).all()
