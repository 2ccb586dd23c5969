"""The evaluations of GradBench, at their smallest, beside references that use no engine."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from microgradlike import compile
from tests.benchmarks.gradbench import WORKS


def close(ours: Any, exact: Any) -> None:
    """Equal to ten digits of the largest number."""
    ours, exact = numpy.ravel(ours), numpy.ravel(exact)
    assert ours.shape == exact.shape
    assert numpy.abs(ours - exact).max() <= 1e-10 * numpy.abs(exact).max()


@pytest.mark.parametrize("name", WORKS)
def test_values_and_derivatives_are_those_of_the_reference(name: str) -> None:
    work = WORKS[name][0]()
    assert work.reference is not None
    values, derivatives = work.reference()
    close(compile(work.f)(*work.columns), values)
    ready = work.ours()
    close(ready.numbers(ready.call()), derivatives)
