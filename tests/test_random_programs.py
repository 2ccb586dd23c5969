"""Random programs: the engine, machine code and NumPy agree, in values and derivatives."""

from __future__ import annotations

import pytest

from microgradlike.ops import OPERATORS
from tests.executors import all_singles, small_blocks
from tests.programs import BINARY, UNARY, Program, groups
from tests.random_programs import ELSEWHERE, Points, check, in_turn

#: These differed once: what is flat before what is steep, roundings that were taken for faults, a
#: product that was not rounded by itself, an infinite error of ``logsumexp``.
DIFFERED = [(323, True), (1196, True), (1625, True), (20027, True), (2082, False), (5344, False)]


#: Flat rows: the first two are in ``FLAT``.
LEFT_OUT = {"trunc", "where", "floordiv", "round_to"}


def test_every_row_of_the_table_is_in_the_random_programs() -> None:
    told = "add the row to UNARY or BINARY of tests/programs.py, or say here why not"
    assert OPERATORS.keys() - {*UNARY, *BINARY} == LEFT_OUT, told


@pytest.mark.parametrize(("seed", "special"), DIFFERED)
def test_random_programs_that_differed_once(seed: int, special: bool) -> None:
    check(Program(seed), Points(2, special, bent=True))


@groups(100_000, 750)
def test_random_programs(seeds: range) -> None:
    for seed in seeds:
        check(Program(seed), *Points.both(seed), executors=in_turn(seed))


@groups(200_000, 100)
def test_random_programs_where_last_digits_are_others(seeds: range) -> None:
    for seed in seeds:
        check(Program(seed), *Points.both(seed), executors=[ELSEWHERE])


@groups(300_000, 250)
def test_random_programs_in_small_blocks(seeds: range, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch, 2)
    for seed in seeds:
        points = Points(5, special=bool(seed % 2), bent=seed % 5 == 0)
        check(Program(seed), points, executors=in_turn(seed))


@groups(400_000, 250)
def test_random_programs_of_single_operations(
    seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_singles(monkeypatch)
    small_blocks(monkeypatch, 2)
    for seed in seeds:
        points = Points(3, special=bool(seed % 2), bent=seed % 5 == 0)
        check(Program(seed), points, executors=in_turn(seed))
