"""What the compiler makes of the frozen programs, and the frozen pictures, is what it was.

Their numbers depend on the machine: ``python -m tests.corpus`` compares these, too.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

import pytest

from tests import corpus

AGAIN = "if it is meant to, say why in the commit, and run: python -m tests.corpus --write"


@cache
def frozen() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(corpus.FILE.read_text())
    return found


@pytest.mark.parametrize("name", corpus.cases())
def test_a_program_is_the_frozen_one(name: str) -> None:
    expected = frozen()[f"program: {name}"]
    for what, now in corpus.structure(corpus.cases()[name]()).items():
        assert now == expected[what], f"{what} changed; {AGAIN}"


@pytest.mark.parametrize("name", corpus.pictures())
def test_a_picture_is_the_frozen_one(name: str) -> None:
    now = hashlib.sha256(corpus.pictures()[name]()).hexdigest()[:16]
    assert now == frozen()[f"picture: {name}"]["bytes"], f"it changed; {AGAIN}"


def test_nothing_is_frozen_that_is_not_compared() -> None:
    now = [f"program: {name}" for name in corpus.cases()]
    now += [f"picture: {name}" for name in corpus.pictures()]
    assert ["machine", *now] == list(frozen())
