"""Every executor reads the same plan, and finds the same numbers."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from microgradlike import compile
from microgradlike.executors import executor
from tests import corpus
from tests.programs import Program


def found_by(on: str, case: corpus.Case) -> list[Any]:
    """Values, slopes by inputs and by parameters, and for few inputs the second derivatives."""
    c = compile(case.function, check=False, on=on)
    found: list[Any] = [c(*case.columns), c.jacobian(*case.columns)]
    if found[0].ndim == 1:
        found += c.value_and_grad(c.theta(), *case.columns)
    if found[1].shape[-1] < 6 and sum(len(path.tape.nodes) for path in c._paths) < 500:
        found.append(c.hessian(*case.columns))
    return found


@pytest.mark.parametrize("name", corpus.cases())
def test_plain_python_finds_what_numpy_finds(name: str) -> None:
    ours, theirs = (found_by(on, corpus.cases()[name]()) for on in ("floats", "numpy"))
    for mine, other in zip(ours, theirs, strict=True):
        numpy.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("on", executor.WAYS)
def test_an_executor_may_be_chosen(on: str) -> None:
    program = Program(4)
    columns = program.examples(7)
    assert compile(program, on=on)(*columns) == pytest.approx(compile(program)(*columns))


def test_an_executor_that_there_is_not() -> None:
    with pytest.raises(ValueError, match='on is one of "auto", "machine", "numpy", "floats", but'):
        compile(lambda x: x, on="gpu")


def test_machine_code_without_numba_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "microgradlike.executors.machine.executor", None)
    with pytest.raises(ImportError, match=r'needs numba: pip install "microgradlike\[compile\]"'):
        compile(lambda x: x, on="machine")([1.0])
    assert compile(lambda x: x * 2)([1.0]) == [2.0]
