"""Stretches of a tape that repeat are rolled up: what a ``for`` has unrolled is a loop again.

A stretch repeats if the same operations come again and again, and if each operand is in all rounds
the same, or as far before, or something from before the stretch. That is worth while where a round
needs what the one before has computed, by more than a sum: else all rounds are computed at once.
"""

from __future__ import annotations

import copy
from array import array
from typing import NamedTuple

import numpy

from microgradlike.compiler import rounds
from microgradlike.compiler.arrays import Ints, Truths
from microgradlike.compiler.operations import (
    ARITY,
    CARRIED,
    CODES,
    ENTRY,
    FOLDS,
    LEAVES,
    LOOP,
    NAMES,
    RESULT,
    ROUND,
    TABLE,
)
from microgradlike.compiler.tape import Tape

#: Shorter tapes stay as they are: they are soon compiled, and all that does not need the round
#: before is computed for many rounds at once.
LONG = 20_000
#: Where few rows are asked for again and again, shorter ones become loops, too: those are a kernel.
LONG_OF_FEW_ROWS = 500
#: A loop has at least so many rounds, and a round reads at most so many rounds back.
FEWEST, FARTHEST = 32, 4
#: A longer round has matrices, which are as quick side by side, and are not computed twice then;
#: but not where the program would be too long.
MOST, TOO_LONG = 300, 2_000_000
#: So many places where a round may begin are tried.
BEGINS = 4
#: A period is how soon so many operations come again, at one of these places of a tape.
LENGTHS, PLACES = (8, 32, 128, 512, 2048, 8192), (0.5, 0.2, 0.8)

#: What a chain of is computed at once: sums and folds.
_FLAT: Truths = FOLDS.copy()
_FLAT[[CODES[name] for name in ("add", "sub", "neg")]] = True
#: What is at one place of a tape alone.
_ALONE = [CODES[name] for name in (*LEAVES, TABLE, ENTRY, LOOP, RESULT, CARRIED, ROUND)]

#: What the operand of a node of a round is: of the same round; the same in all rounds; another one
#: in each. A positive number is of so many rounds before.
INSIDE, HELD, GIVEN = 0, -1, -2


def rolled(tape: Tape, few_rows: bool = False) -> Tape:
    """The same with loops in place of what repeats; the tape itself if nothing does.

    Only what its outputs need is meant: guards are left out.

    Args:
        tape: of the function.
        few_rows: whether it is for few rows: then shorter ones become loops, too, and those of
            longer rounds.
    """
    while len(tape.nodes) >= (LONG_OF_FEW_ROWS if few_rows else LONG):
        found = _stretch(tape, few_rows)
        if found is None:
            break
        tape = _with_loop(tape, found)
    return tape


class Stretch(NamedTuple):
    """Rounds that repeat.

    Attributes:
        start: where the first one begins.
        period: how many nodes a round has.
        operands: of the left and the right side, shape (2, rounds, period).
        kinds: what these are in all rounds, shape (2, period).
    """

    start: int
    period: int
    operands: Ints
    kinds: Ints

    @property
    def rounds(self) -> int:
        return len(self.operands[0])

    @property
    def end(self) -> int:
        return self.start + self.rounds * self.period

    def source(self, side: int, node: int) -> int:
        """Which node of its round an operand is that is within the stretch."""
        operand = int(self.operands[side, -1, node])
        return (operand - self.start) % self.period


# ---- Finding -----------------------------------------------------------------------------------


def _stretch(tape: Tape, few_rows: bool) -> Stretch | None:
    """The longest stretch around one of some places that is worth while, if there is one."""
    looks = _looks(tape)
    most = MOST if len(looks) < TOO_LONG and not few_rows else len(looks)
    for place in PLACES:
        at = int(place * len(looks))
        periods = {_next(looks, at, length) - at for length in LENGTHS}
        found = [_around(tape, at, period) for period in periods if 0 < period <= most]
        there = [one for one in found if one is not None]
        if there:
            return max(there, key=lambda one: one.rounds * one.period)
    return None


def _looks(tape: Tape) -> Ints:
    """What each node looks like: its operation, and how far before it its operands are."""
    code = numpy.frombuffer(tape.nodes, numpy.uint8)
    numbers = numpy.arange(len(code), dtype=numpy.int32)
    alone = numpy.isin(code, _ALONE)
    looks = code.astype(numpy.uint16)
    for side, arity, factor in ((tape.left, 1, 40503), (tape.right, 2, 30011)):
        operands: Ints = numpy.frombuffer(side, numpy.int32)
        distance = numbers - operands
        near = (distance < len(code) // FEWEST) & (arity <= ARITY[code])
        near &= (operands >= 0) & ~alone[operands % len(code)]
        looks += distance.astype(numpy.uint16) * near * numpy.uint16(factor)
    return looks


def _next(looks: Ints, at: int, length: int) -> int:
    """Where what stands at a place comes again."""
    every, wanted = looks.tobytes(), looks[at : at + length].tobytes()
    found = every.find(wanted, 2 * at + 1)
    while found % 2 and found > 0:
        found = every.find(wanted, found + 1)
    return found // 2


def _around(tape: Tape, at: int, period: int) -> Stretch | None:
    """The stretch of this period around a node."""
    code = numpy.frombuffer(tape.nodes, numpy.uint8)
    repeats = (code[period:] == code[:-period]) & ~numpy.isin(code[period:], _ALONE)
    breaks = numpy.flatnonzero(~repeats)
    k = int(numpy.searchsorted(breaks, at))
    first = int(breaks[k - 1]) + 1 if k else 0
    end = (int(breaks[k]) if k < len(breaks) else len(repeats)) + period
    if (end - first) // period < FEWEST:
        return None
    for begin in _where_little_is_handed_on(tape, first, (first + end) // 2, period):
        begin += period * _first_alike(tape, begin, period, (end - begin) // period)
        for start in range(begin, begin + 2 * FARTHEST * period, period):
            count = (end - start) // period
            found = _checked(tape, start, period, count) if count >= FEWEST else None
            if found and not _is_deep(tape, found):
                return None  # wherever a round begins
            if found and _ends(tape, found) is not None:
                return found
    return None


def _first_alike(tape: Tape, begin: int, period: int, count: int) -> int:
    """Some rounds before the first one that reads what is before it as the middle one does."""
    code = numpy.frombuffer(tape.nodes, numpy.uint8)[begin : begin + period]
    numbers = numpy.arange(begin, begin + count * period).reshape(count, period)
    alike = numpy.ones(count, bool)
    for side, arity in ((tape.left, 1), (tape.right, 2)):
        here = numpy.frombuffer(side, numpy.int32)[begin : begin + count * period]
        distance = numbers - here.reshape(count, period)
        near = (ARITY[code] >= arity) & (distance[count // 2] < (FARTHEST + 1) * period)
        alike &= (distance[:, near] == distance[count // 2, near]).all(axis=1)
    others = numpy.flatnonzero(~alike[: count // 2])
    return max(0, int(others[-1]) + 1 - FARTHEST) if len(others) else 0


def _where_little_is_handed_on(tape: Tape, first: int, middle: int, period: int) -> list[int]:
    """Where a round may begin: best where the fewest numbers of one are read by the next ones."""
    nodes = numpy.arange(middle, min(middle + period, len(tape.nodes)))
    code = numpy.frombuffer(tape.nodes, numpy.uint8)[nodes]
    reads, farthest = numpy.zeros(2 * (FARTHEST + 1) * period, int), numpy.zeros(period, int)
    for side, arity in ((tape.left, 1), (tape.right, 2)):
        operands = numpy.frombuffer(side, numpy.int32)[nodes]
        distance = nodes - operands
        near = (ARITY[code] >= arity) & (operands >= first) & (distance < FARTHEST * period)
        sources = (operands[near] - middle) % period
        numpy.maximum.at(farthest, sources, distance[near])
        numpy.add.at(reads, sources + 1, 1)  # it goes on from there to who reads it
        numpy.add.at(reads, sources + 1 + distance[near], -1)
    alive = numpy.zeros(len(reads), int)
    numpy.add.at(alive, numpy.arange(period) + 1, 1)
    numpy.add.at(alive, numpy.arange(period) + 1 + farthest, -1)
    alive, reads = (numpy.cumsum(x).reshape(-1, period).sum(axis=0) for x in (alive, reads))
    best = numpy.lexsort((-reads, alive))  # of equals the one after which all of them are read
    begins: list[int] = (first + (middle + best[:BEGINS] - first) % period).tolist()
    return begins


def _checked(tape: Tape, start: int, period: int, count: int) -> Stretch | None:
    """The stretch, of as many rounds as have operands that repeat."""
    code = numpy.frombuffer(tape.nodes, numpy.uint8)[start : start + period]
    shape = (count, period)
    found, kinds = numpy.empty((2, *shape), numpy.int32), numpy.full((2, period), HELD)
    for side, operands in enumerate((tape.left, tape.right)):
        here = numpy.frombuffer(operands, numpy.int32)[start : start + count * period]
        found[side] = here.reshape(shape)
    numbers = numpy.arange(start, start + count * period).reshape(shape)
    row = numpy.arange(count)[:, None]
    for side in (0, 1):
        operands, used = found[side], ARITY[code] > side
        distance, inside = numbers - operands, operands >= start
        probe = min(FARTHEST, count - 1)  # by then a round reads what the others read
        back = (probe - (operands[probe] - start) // period) * inside[probe]
        right = numpy.where(
            inside[probe],
            numpy.where(row < back, ~inside, distance == distance[probe]),
            ~inside,
        )
        wrong = ~right[:, used].all(axis=1)
        if wrong.any():
            most = int(wrong.argmax())
            return _checked(tape, start, period, most) if most >= FEWEST else None
        if (back[used] > FARTHEST).any():
            return None
        same = (operands == operands[0]).all(axis=0)
        outside = numpy.where(same, HELD, GIVEN)
        kinds[side] = numpy.where(used, numpy.where(inside[probe], back, outside), HELD)
    return Stretch(start, period, found, kinds)


def _is_deep(tape: Tape, found: Stretch) -> bool:
    """Whether something is computed of itself rounds before, by more than a sum or a fold.

    Sets of what is handed on are the bits of whole numbers.
    """
    code = tape.nodes[found.start : found.start + found.period]
    read_on = zip(*(x.tolist() for x in numpy.nonzero(found.kinds > 0)), strict=True)
    bits = {source: 1 << k for k, source in enumerate({found.source(*at) for at in read_on})}
    reads, deep = [0] * found.period, [0] * found.period  # all of it, and what not by sums alone
    for node in range(found.period):
        for side in range(ARITY[code[node]]):
            kind = found.kinds[side, node]
            if kind > 0:
                reads[node] |= bits[found.source(side, node)]
            elif kind == INSIDE:
                source = found.source(side, node)
                reads[node] |= reads[source]
                deep[node] |= deep[source]
        if not _FLAT[code[node]]:
            deep[node] |= reads[node]
    leads = {bit: reads[source] for source, bit in bits.items()}  # what each is made of
    for through in leads:  # and what that is made of, and so on
        for bit in leads:
            if leads[bit] & through:
                leads[bit] |= leads[through]
    return any(
        deep[source] & other and (other == bit or leads[other] & bit)
        for source, bit in bits.items()
        for other in leads
    )


def _ends(tape: Tape, found: Stretch) -> list[int] | None:
    """The nodes of a round that are read after the last one; None if they are of others, too."""
    code = numpy.frombuffer(tape.nodes, numpy.uint8)[found.end :]
    within = range(found.start, found.end)
    written = [long for short, long in tape.written.items() if short not in within]
    read = [numpy.array([*tape.outputs, *written], int)]
    for side, arity in ((tape.left, 1), (tape.right, 2)):
        read.append(numpy.frombuffer(side, numpy.int32)[found.end :][ARITY[code] >= arity])
    numbers = numpy.unique(numpy.concatenate(read))
    numbers = numbers[(numbers >= found.start) & (numbers < found.end)]
    last = found.end - found.period
    if (numbers < last).any():
        return None
    ends: list[int] = (numbers - last).tolist()
    return ends


# ---- Rolling up --------------------------------------------------------------------------------


def _with_loop(tape: Tape, found: Stretch) -> Tape:
    """The tape with a loop in place of a stretch."""
    start, period = found.start, found.period
    new = copy.copy(tape)
    new.code, new.guards = bytearray(tape.nodes[:start]), {}
    new.left, new.right = array("i", tape.left[:start]), array("i", tape.right[:start])
    new.constants, new._constants = list(tape.constants), dict(tape._constants)
    new.nodes = new.code
    new.loops = rounds.Loops()
    place = numpy.full(len(tape.nodes), -1, numpy.int64)
    place[:start] = numpy.arange(start)
    after = _ends(tape, found) or []
    one, own = _one_round(new, tape.nodes[start : start + period], found, after)
    new.loops.rounds = list(tape.loops.rounds)
    one = one._replace(held=rounds.held_by(new, one))
    loop = rounds.written(new, one)
    for node in after:
        k = one.results.index(own[node])
        place[found.end - period + node] = new.append(RESULT, loop, new.constant(float(k)))
    tail = numpy.arange(found.end, len(tape.nodes))
    place[found.end :] = len(new.code) + numpy.arange(len(tail))
    codes = numpy.frombuffer(tape.nodes, numpy.uint8)[found.end :]
    new.code += tape.nodes[found.end :]
    for side, into, arity in ((tape.left, new.left, 1), (tape.right, new.right, 2)):
        operands = numpy.frombuffer(side, numpy.int32)[found.end :]
        moved = numpy.where((ARITY[codes] >= arity) & (operands >= 0), place[operands], operands)
        into.frombytes(moved.astype(numpy.int32).tobytes())

    def of(operand: int) -> int:
        return int(place[operand]) if operand >= 0 else operand

    new.loops.rounds[:-1] = [known.moved(of) for known in tape.loops.rounds]
    new.outputs = list(map(of, tape.outputs))
    new.written = {}
    for short, long in tape.written.items():
        if start <= short < start + period:
            new.written[own[short - start]] = own[long - start]
        elif not start <= short < found.end:
            new.written[of(short)] = of(long)
    return new


def _one_round(
    new: Tape, codes: bytearray, found: Stretch, after: list[int]
) -> tuple[rounds.Round, dict[int, int]]:
    """Append what a round does; and for each of its nodes the number that it has now."""
    kinds, operands = found.kinds, found.operands
    leaves: dict[object, int] = {}
    # Of each leaf what the first round gets, and what comes next: a node of the round, or a leaf.
    handed: list[tuple[int, int, bool, int]] = []
    rows: list[Ints] = []
    given: list[int] = []

    def carried(source: int, first: tuple[int, ...]) -> int:
        """The leaf for what a node has given so many rounds before."""
        if (source, first) not in leaves:
            leaf = leaves[source, first] = new.append(CARRIED, 0)
            following = source if len(first) == 1 else carried(source, first[1:])
            handed.append((leaf, first[0], len(first) == 1, following))
        return leaves[source, first]

    def row(side: int, node: int) -> int:
        column = operands[side, :, node]
        key = column.tobytes()
        if key not in leaves:
            leaves[key] = new.append(CARRIED, 0)
            given.append(leaves[key])
            rows.append(column)
        return leaves[key]

    def leaf(side: int, node: int) -> int:
        kind = int(kinds[side, node])
        if kind > 0:
            return carried(found.source(side, node), tuple(operands[side, :kind, node].tolist()))
        return row(side, node) if kind == GIVEN else int(operands[side, 0, node])

    sides = [range(ARITY[code]) for code in codes]
    known = {
        (side, node): leaf(side, node)
        for node in range(found.period)
        for side in sides[node]
        if kinds[side, node] != INSIDE
    }
    read_on = {source for _, _, is_node, source in handed if is_node}
    for node in after:
        if node not in read_on:
            carried(node, (new.constant(0.0),))
    own: dict[int, int] = {}
    for node, code in enumerate(codes):
        of_node = [known.get((side, node), -1) for side in sides[node]]
        for side in sides[node]:
            if kinds[side, node] == INSIDE:
                of_node[side] = own[found.source(side, node)]
        own[node] = new.append(NAMES[code], *of_node)
    results = [own[of] if is_node else of for _, _, is_node, of in handed]
    by_round = numpy.array(rows).T.tolist() if rows else [[] for _ in range(found.rounds)]
    first = [operand for _, operand, *_ in handed]
    return rounds.Round([leaf for leaf, *_ in handed], results, given, -1, first, by_round, []), own
