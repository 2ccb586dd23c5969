"""The table of benchmarks: what it says of a program that runs, and of one that is refused."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import numpy
import pytest

from microgradlike import Value
from tests.benchmarks import side_by_side
from tests.benchmarks.side_by_side import Ready, Work, cells, distance, duration, measure


def known(work: Work) -> dict[str, Any]:
    """All facts of a work, by a clock that goes on by a second at each look."""
    ticks = itertools.count()
    found: dict[str, Any] = {}
    for fact in measure(work, lambda: float(next(ticks))):
        for key, told in fact.items():
            found[key] = {**found.get(key, {}), **told} if isinstance(told, dict) else told
    return found


def test_a_peer_is_measured_in_turn_with_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(side_by_side.RIVALS, "jax", True)
    rows = numpy.array([1.0, 2.0])
    work = Work("two rows", lambda x: x * x, (rows,), jax=lambda: Ready(lambda: 2 * rows))
    facts = known(work)
    assert facts["about"] == "two rows"
    assert facts["jax"] == {"first": 1.0, "median": 1.0, "ours": 1.0, "apart": 0.0}
    assert cells(facts) == ["1 s", "1 s", "1", "1 s", "", "", "0e+00"]


def test_the_gradient_has_the_order_of_the_parameters_that_are_given() -> None:
    a, b, unused = Value(2.0), Value(3.0), Value(5.0)
    work = Work("", lambda x: b * x + a * a, (numpy.array([1.0, 3.0]),), [a, unused, b])
    ready = work.ours()
    assert ready.numbers(ready.call()).tolist() == [10.0, 4.0, 0.0, 2.0]


def test_what_is_refused_is_told_without_the_folder_of_the_machine() -> None:
    facts = known(Work("", lambda x: float(x), (numpy.array([1.0]),)))
    assert facts["ours"]["refused"].startswith("TracingError: float(v)")
    assert "at tests/test_side_by_side.py" in facts["ours"]["refused"]
    assert cells(facts)[:2] == ["refused", ""]


def test_a_distance_is_measured_by_the_largest_number() -> None:
    assert distance(numpy.array([1.0, 200.0]), numpy.array([2.0, 200.0])) == 1 / 200
    assert distance(numpy.zeros(2), numpy.zeros(3)) == float("inf")


@pytest.mark.parametrize(
    ("seconds", "told"), [(2.5, "2.5 s"), (0.01234, "12.3 ms"), (4.5e-5, "45 us"), (0.0, "0 us")]
)
def test_a_duration_has_the_unit_that_fits(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_the_programs_import_no_peer() -> None:
    code = "import tests.benchmarks.gradbench, tests.benchmarks.everyday, tests.benchmarks.gpt, sys"
    check = f"{code}; assert not {{'jax', 'torch'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=side_by_side.ROOT)
