"""Kernels as machine code do what their source does in Python."""

from __future__ import annotations

import ctypes
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy
import pytest

from microgradlike.executors.machine import addresses, emit
from microgradlike.executors.machine.emit import DOUBLE, SINGLE, WORD

FOUR, HALF = 4, 0.5


def helper(x: Any, k: int) -> Any:
    if k < 0:
        return 0
    return x[k] * 2.0


def numbers(out: Any, x: Any, a: int, b: int) -> None:
    out[0] = a // b
    out[1] = a % b
    out[2] = -a * FOUR & 3
    out[3] = a / b
    out[4] = x[0] / x[1]
    out[5] = x[0] - x[1] * HALF if x[0] > x[1] else -x[0]
    out[6] = abs(x[0]) + math.sqrt(abs(x[1])) + math.copysign(2.0, x[0])
    out[7] = max(a, b) - min(a, b) + int(x[2])
    out[8] = 1.0 if x[0] != x[0] or (a > b and x[1] <= 0.5) else 0.0
    out[9] = 1.0 if not x[0] < x[1] else math.inf
    out[10] = helper(x, a) + helper(x, b)


def loops(out: Any, x: Any, a: int, b: int) -> None:
    total, last = 0, 0
    for k in range(FOUR):
        if k == 1:
            continue
        total += k
        for j in range(k, -1, -2):
            if j > 2:
                break
            out[k] += x[j]
            last = j
    while True:
        total -= 1
        if total < 0 or total == a:
            break
    found = 0
    for k in range(2, 9, 3):
        found = found + x[k % 3] * k  # a whole number first, and then a float
    p, q = (a, b) if a in (1, 2, b) else (b, a)
    p, q = q, p
    out[8], out[9], out[10] = total, found, p * 10 + q + last


NUMBERS = [0.0, -0.0, 1.5, -2.25, 0.1, math.inf, -math.inf, math.nan]


def ran(function: Any, number: str, x: list[float], a: int, b: int) -> list[float]:
    """What it writes, as machine code."""
    pointer = (DOUBLE if number == "float64" else SINGLE).as_pointer()
    given = numpy.array(x, number)
    out = numpy.zeros(11, number)
    address = addresses.address_of(function, (pointer, pointer, WORD, WORD))
    whole = ctypes.c_int64
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, whole, whole)(address)
    call(out.ctypes.data, given.ctypes.data, a, b)
    found: list[float] = out.tolist()
    return found


@pytest.mark.parametrize("function", [numbers, loops])
def test_machine_code_does_what_python_does(function: Any) -> None:
    draw = numpy.random.default_rng(0)
    for _ in range(300):
        x = [float(v) for v in draw.choice(NUMBERS, 3)]
        x[2] = float(draw.integers(-5, 5))
        a, b = draw.integers(-7, 8, 2).tolist()
        b = b or 1
        if function is numbers:
            x[1] = x[1] or 0.5  # Python raises where a processor divides by 0
            a, b = min(a, 2), min(b, 2)
        expected = [0.0] * 11
        function(expected, x, a, b)
        ours = ran(function, "float64", x, a, b)
        assert list(map(bits, ours)) == list(map(bits, expected)), (x, a, b)


def bits(number: float) -> bytes:
    """Its bits; all NaN are one."""
    return struct.pack("d", number if number == number else math.nan)


def test_half_as_many_digits_meet_all_of_them() -> None:
    """A number of the source is a float64, and so is what it makes of a float32."""
    x = [0.1, 0.7, 2.0]
    found = ran(numbers, "float32", x, 1, 2)
    a, b = numpy.array(x, "float32").astype(float).tolist()[:2]
    assert found[5] == numpy.float32(-a)
    assert found[6] == numpy.float32(abs(a) + float(numpy.sqrt(numpy.float32(b))) + 2.0)
    assert found[9] == math.inf


def test_what_reads_beside_an_array_is_not_read_where_it_is_not_wanted() -> None:
    source = "def f(out, x, a, b):\n    out[0] = x[a] if a >= 0 and x[b] > 0 else 1.0\n"
    pointer = DOUBLE.as_pointer()
    kinds = (pointer, pointer, WORD, WORD)
    address = addresses.address_of_source(source, {}, kinds)
    whole = ctypes.c_int64
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, whole, whole)(address)
    out, x = numpy.zeros(1), numpy.ones(3)
    call(out.ctypes.data, x.ctypes.data, -(1 << 50), 1 << 50)
    assert out[0] == 1.0
    call(out.ctypes.data, x.ctypes.data, 2, 1)
    assert out[0] == 1.0


def test_the_text_of_a_kind_tells_whose_pointer_it_is() -> None:
    kinds = (DOUBLE, SINGLE, WORD, DOUBLE.as_pointer(), SINGLE.as_pointer(), WORD.as_pointer())
    assert len(set(map(emit.spelt, kinds))) == len(kinds)


def test_files_that_nobody_uses_make_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(addresses, "FILES", 3)
    for age in range(6):
        path = tmp_path / f"kernel_{age}"
        path.write_bytes(b"")
        os.utime(path, (0, 1000 - age))
    addresses._make_room(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"kernel_0", "kernel_1", "kernel_2"}
