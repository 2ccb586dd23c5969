"""Compiles beforehand what programs need, so that none of them has to wait for it.

    python -m microgradlike.warm

A compiled function has machine code, by the extra ``compile``. What of it is not in the user's
cache yet is compiled when it is first needed, once on a machine. Where nobody should wait for that,
as in a container, run this command while the container is built.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy

from microgradlike.compiled import compile
from microgradlike.compiler.operations import (
    ARITIES,
    CARRIED,
    CODES,
    ENTRY,
    FOLDS,
    LEAVES,
    LOOP,
    NAMES,
    RESULT,
    ROUND,
    SENDS_TO,
    TABLE,
    TAKE,
)
from microgradlike.engine import Value
from microgradlike.functions import tanh, where
from microgradlike.tables import take
from microgradlike.words import counted

#: Operations that have no kernel of this kind.
_OTHERS = (*LEAVES, CARRIED, ROUND, TABLE, ENTRY, TAKE, LOOP, RESULT)

#: In which numbers programs compute.
NUMBERS = "float64", "float32"


def warm(say: Callable[[str], None] = print) -> None:
    """Compile all that is not in the cache yet.

    Args:
        say: is given a line now and then.

    Raises:
        ImportError: the extra ``compile`` is not installed.
    """
    from microgradlike.compiler.kept_code import COMPILED

    pieces: list[Callable[[], object]] = [partial(_run_a_little, number) for number in NUMBERS]
    pieces += _kernels()
    say(f"{counted(len(pieces), 'piece')} of machine code, about 0.05 seconds each where new")
    for done, piece in enumerate(pieces, 1):
        COMPILED.quiet = True  # what there is to say is said here
        piece()
        COMPILED.quiet = False
        if done % 100 == 0 or done == len(pieces):
            say(
                f"{done} of {len(pieces)}: compiled {COMPILED.pieces}, "
                f"in {COMPILED.seconds:.0f} seconds"
            )


def _run_a_little(number: str) -> None:
    """Functions that need all loops of the compiler, forward and back."""
    w = [[Value(0.1 * (j + k)) for k in range(8)] for j in range(8)]

    def f(x: list[Value], i: Value) -> object:
        h = [tanh(sum(a * b for a, b in zip(row, x, strict=True))) for row in w]
        return sum(where(v > 0, v, take(w[0], i)) for v in h) + (x[0] if x[1] > 0 else x[2])

    x = numpy.linspace(-1.0, 1.0, 8 * 64).reshape(64, 8)
    i = numpy.arange(64) % 8
    c = compile(f, dtype=number)
    c(x, i)
    c.mean(x, i).backward()
    c.jacobian(x, i)
    c(x * numpy.inf, i)


def _kernels() -> Iterator[Callable[[], object]]:
    """What compiles each kernel that there can be."""
    from microgradlike.executors.machine import gemm, kernels, looping

    for number in NUMBERS:
        yield partial(gemm.own, number)
        for kernel in (*kernels.OF_INSTRUCTIONS, looping.rounds, looping.rounds_back):
            yield partial(kernels.kernel, kernel, number)
        for code, back in product(numpy.flatnonzero(FOLDS).tolist(), (False, True)):
            if NAMES[code] != "logaddexp":
                yield partial(kernels.fold, number, NAMES[code], back)
    for number, name in product(NUMBERS, NAMES):
        if name not in _OTHERS:
            for kinds, by, mask in _ways(name):
                yield partial(kernels.elementwise, number, name, kinds, by, mask)


def _ways(name: str) -> Iterator[tuple[str, str, str]]:
    """Of which list the operands of an operation are, who gets its error, and under which mask."""
    code = CODES[name]
    for kinds in ("v",) if ARITIES[code] == 1 else ("vv", "vo", "ov"):
        yield kinds, "", ""
        for side, by in enumerate("xy"[: ARITIES[code]]):
            if SENDS_TO[code, side]:
                yield from ((kinds, by, mask) for mask in ("", "v", "o", "d"))


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m microgradlike.warm",
        description="Compiles all machine code beforehand: it is kept, and no program waits.",
    ).parse_args()
    try:
        warm()
    except ImportError:
        sys.exit('there is no machine code without numba: pip install "microgradlike[compile]"')
