"""The programs of the benchmarks, compiled, say what they say in plain Python."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from microgradlike import Value, compile
from tests.benchmarks.everyday import WORKS, branching
from tests.benchmarks.side_by_side import Works

#: So many rows of each are enough to go all ways that matter.
ROWS = 24
#: Loops of fewer steps do the same.
SHORTER: Works = {
    "bouncing ball": [lambda: branching.ball(100, 20)],
    "pid": [lambda: branching.pid(200, 8)],
}


def values(row: Any) -> Any:
    """A row's real numbers as Values; whole numbers stay."""
    if isinstance(row, list):
        return [values(part) for part in row]
    return row if isinstance(row, int) else Value(row)


def leaves(row: Any) -> list[Value]:
    return [v for part in row for v in leaves(part)] if isinstance(row, list) else [row]


def close(ours: Any, theirs: Any) -> None:
    """Apart by rounding alone, measured by the largest number."""
    scale = numpy.abs(theirs).max(initial=1.0)
    assert numpy.abs(numpy.asarray(ours) - theirs).max(initial=0.0) <= 1e-11 * scale


@pytest.mark.parametrize("name", WORKS)
def test_a_program_does_compiled_what_it_does_in_plain_python(name: str) -> None:
    work = SHORTER.get(name, WORKS[name])[0]()
    columns = [numpy.asarray(column)[:ROWS] for column in work.columns]
    rows = [values(list(row)) for row in zip(*(c.tolist() for c in columns), strict=True)]
    c, parameters = compile(work.f), list(work.parameters)
    for parameter in parameters:
        parameter.zero_grad()
    outputs = [
        Value(out) if isinstance(out, float) else out for out in (work.f(*row) for row in rows)
    ]
    for output in outputs:
        output.backward()
    close(c(*columns), numpy.array([output.data for output in outputs]))
    if parameters:
        wanted = numpy.array([parameter.grad for parameter in parameters])
        for parameter in parameters:
            parameter.zero_grad()
        c.sum(*columns).backward()
        close([parameter.grad for parameter in parameters], wanted)
    else:
        wanted = numpy.array([[v.grad for v in leaves(row)] for row in rows])
        close(c.jacobian(*columns)[:, 0], wanted)
