"""The GPT in plain scalars: compiled, beside arrays, and as a demo that makes up names."""

from __future__ import annotations

import functools
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

from demos import transformer
from microgradlike import compile, no_grad
from tests.benchmarks.gpt import Number

WORDS = [transformer.ids(word) for word in ("ada", "bea", "cyd")]
H = 1e-30


def by_arrays(parameters: dict[str, Any], word: list[int]) -> Any:
    """The loss of a word by arrays, for complex numbers as well: all letters at once."""
    letters, n = numpy.array(word), len(word) - 1

    def norm(x: Any) -> Any:
        return x / numpy.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-5)

    def shares(x: Any) -> Any:
        powers = numpy.exp(x)
        return powers / powers.sum(axis=1, keepdims=True)

    x = norm(parameters["letters"][letters[:-1]] + parameters["places"][:n])
    query, key, value = (norm(x) @ parameters[k].T for k in ("query", "key", "value"))
    heads = numpy.split(numpy.arange(transformer.EMBEDDING), transformer.HEADS)
    later = numpy.triu(numpy.full((n, n), numpy.inf), 1)
    heard = [
        shares(query[:, own] @ key[:, own].T / transformer.HEAD**0.5 - later) @ value[:, own]
        for own in heads
    ]
    x = x + numpy.hstack(heard) @ parameters["mix"].T
    hidden = norm(x) @ parameters["widen"].T
    x = x + (hidden * (hidden.real > 0)) ** 2 @ parameters["narrow"].T
    chances = shares(x @ parameters["guess"].T)
    return -numpy.log(chances[numpy.arange(n), letters[1:]]).mean()


def test_the_loss_and_its_gradient_are_those_of_arrays() -> None:
    model = transformer.model(3)
    arrays: dict[str, Any] = {
        name: numpy.array(rows) for name, rows in transformer.model(3, float).items()
    }
    draw = numpy.random.default_rng(0)
    along = {name: draw.normal(size=a.shape) for name, a in arrays.items()}
    moved = {name: a + 1j * H * along[name] for name, a in arrays.items()}
    compiled = compile(functools.partial(transformer.loss, model))
    total = compiled.mean(numpy.array(WORDS))
    total.backward()
    assert total.item() == pytest.approx(
        numpy.mean([by_arrays(arrays, word) for word in WORDS]), rel=1e-12
    )
    slope = sum(
        p.grad * v
        for name, matrix in model.items()
        for row, directions in zip(matrix, along[name].tolist(), strict=True)
        for p, v in zip(row, directions, strict=True)
    )
    exact = numpy.mean([by_arrays(moved, word).imag for word in WORDS]) / H
    assert slope == pytest.approx(exact, rel=1e-10)


def test_it_runs_with_whole_numbers_and_with_another_engine() -> None:
    word = transformer.ids("bob")
    ours, theirs = transformer.model(4), transformer.model(4, Number)
    totals = [transformer.loss(model, word) for model in (ours, theirs)]
    for total in totals:
        total.backward()
    assert totals[0].data == pytest.approx(totals[1].data, rel=1e-12)
    assert [p.grad for p in transformer.parameters(ours)] == pytest.approx(
        [p.grad for p in transformer.parameters(theirs)], rel=1e-9, abs=1e-12
    )


def test_it_has_4192_parameters_and_makes_up_words_before_it_has_learned() -> None:
    model = transformer.model(5)
    assert len(transformer.parameters(model)) == 4192
    with no_grad():
        word = transformer.invent(model, random.Random(0), 1.0)
    assert re.fullmatch(r"[a-z]{1,16}", word)


def test_the_demo_learns_how_towns_are_called(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "demos.gpt", "--out", str(tmp_path)]
    root = Path(__file__).parent.parent
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout
    told = " ".join(told.split())
    found = re.search(r"The loss fell from (\S+) to (\S+): at first", told)
    assert found and float(found[1]) > 3.0 and float(found[2]) < 1.1
    names = re.search(r"New names, of 20 that it made up: ([^.]*)\.", told)
    assert names and len(names[1].split(", ")) >= 5
    assert "</svg>" in (tmp_path / "gpt_loss.svg").read_text()
