"""What is compiled beforehand, and what is said while somebody waits for machine code."""

from __future__ import annotations

import functools
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy
import pytest

from microgradlike import Value, compile, dot, logsumexp, maximum, take, tanh, warm, where
from microgradlike.compiler.kept_code import Waiting
from microgradlike.executors.machine import kernels

W = [[Value(0.3 * j - k) for k in range(4)] for j in range(5)]


def everything(x: Any, i: Any) -> Any:
    h = [maximum(dot(row, x), tanh(x[k % 4])) for k, row in enumerate(W)]
    chosen = where(x[0] > W[0][0], h[0] * x[1], where(x[1] > 0, x[2].exp(), W[1][1] ** 2))
    largest = functools.reduce(maximum, h)
    return chosen + logsumexp(h) * dot(h, h) - take(W[2], i) / largest + sum(h[1:4]) + scalars(x[3])


def scalars(x: Any) -> Any:
    y = x
    for k in range(40):
        y = where(y > k, tanh(y) * W[3][0], y - x / (k + 1.5)) if k % 5 == 0 else tanh(y) + x * y
    return y


def test_what_a_program_needs_is_among_what_is_compiled_beforehand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needed = set()
    known = {(piece.func, piece.args) for piece in map(of_partial, warm._kernels())}

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if arguments[0] in (*warm.NUMBERS, *kernels.OF_INSTRUCTIONS):  # others are of formulas
                needed.add((function, (*arguments, *named.values())))
            return function(*arguments, **named)

        return call

    for name in ("kernel", "fold", "elementwise"):
        monkeypatch.setattr(kernels, name, noted(getattr(kernels, name)))
    rows = numpy.random.default_rng(0).normal(size=(9, 4))
    for dtype in ("float64", "float32"):
        c = compile(everything, dtype=dtype).trace(rows, numpy.arange(9) % 4)
        c.mean(rows, numpy.arange(9) % 4)
        c.jacobian(rows, numpy.arange(9) % 4)
        rows[2] = math.inf
    assert len(needed) > 60
    assert not needed - known


def of_partial(piece: Callable[[], object]) -> functools.partial[object]:
    assert isinstance(piece, functools.partial)
    return piece


def test_the_command_says_how_many_pieces_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    monkeypatch.setattr(warm, "_run_a_little", lambda number: ran.append(0))
    monkeypatch.setattr(
        warm, "_kernels", lambda: [functools.partial(ran.append, k) for k in range(148)]
    )
    said: list[str] = []
    warm.warm(said.append)
    assert len(ran) == 150
    assert said[0].startswith("150 pieces of machine code")
    assert [line.partition(":")[0] for line in said[1:]] == ["100 of 150", "150 of 150"]


def test_who_waits_for_machine_code_is_told_why_and_how_long_it_took(
    capsys: pytest.CaptureFixture[str],
) -> None:
    waiting = Waiting()
    waiting.tell()
    assert capsys.readouterr().err == ""  # nothing was compiled
    waiting.begins()
    assert "compiling machine code, once on this machine" in capsys.readouterr().err
    waiting.begins()  # the first piece needs another one
    waiting.ends()
    assert waiting.seconds == 0.0  # it is a part of the first one's time
    waiting.ends()
    assert waiting.seconds > 0
    waiting.tell()
    assert capsys.readouterr().err == ""  # nobody noticed
    waiting.seconds += 12
    waiting.tell()
    assert capsys.readouterr().err.startswith("compiled 2 pieces of machine code in 12.0 seconds")
    waiting.tell()
    assert capsys.readouterr().err == ""


def test_kept_code_is_loaded_without_what_numba_compiles_by() -> None:
    code = (
        "import sys; from microgradlike import compile; print(compile(lambda x: x * x)([3.0]));"
        "print('numba.cpython.printimpl' in sys.modules)"
    )
    for _ in range(2):  # what is not kept so far is compiled in the first one
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert ran.stdout.decode().split() == ["[9.]", "False"]
