"""Every executor reads the same plan, and finds the same numbers."""

from __future__ import annotations

import numpy
import pytest

from microgradlike import compile
from microgradlike.compiler.instructions import Instruction, Singles
from microgradlike.executors import executor, on_floats, on_numpy
from microgradlike.executors.machine import encode
from microgradlike.writers import arrays
from tests import corpus
from tests.programs import Program


@pytest.mark.parametrize("name", corpus.cases())
def test_plain_python_finds_what_numpy_finds(name: str) -> None:
    case = corpus.cases()[name]()
    ours, theirs = (
        corpus.found_by(compile(case.function, check=False, on=on), case.columns, most_bent=500)
        for on in ("floats", "numpy")
    )
    for mine, other in zip(ours, theirs, strict=True):
        numpy.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", Instruction.__subclasses__())
def test_every_executor_knows_every_instruction(kind: type[Instruction]) -> None:
    forward, backward = on_floats._KINDS[kind]
    assert callable(forward) and callable(backward)
    for module in (on_numpy, encode):
        assert kind in module._FORWARD and kind in module._BACKWARD, module.__name__
    assert kind in arrays._KINDS or kind is Singles  # which it takes one by one


@pytest.mark.parametrize("on", executor.WAYS)
def test_an_executor_may_be_chosen(on: str) -> None:
    program = Program(4)
    columns = program.examples(7)
    assert compile(program, on=on)(*columns) == pytest.approx(compile(program)(*columns))


def test_an_executor_that_there_is_not() -> None:
    with pytest.raises(ValueError, match=r'on is one of .*"floats", "jax", but'):
        compile(lambda x: x, on="gpu")


def test_machine_code_without_numba_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "microgradlike.executors.machine.executor", None)
    with pytest.raises(ImportError, match=r'needs numba: pip install "microgradlike\[compile\]"'):
        compile(lambda x: x, on="machine")([1.0])
    assert compile(lambda x: x * 2)([1.0]) == [2.0]
