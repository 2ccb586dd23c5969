"""Loops on a tape: what one round does is written down once, however many rounds there are.

The nodes of a round are on the tape among all others, above leaves of their own: ``carried`` stands
for a number that one round hands to the next, or for one that differs from round to round. What a
round computes of neither is the same in all rounds, and so it is computed before the loop. A loop
is a node above the chain of all that it reads (see ``tables.py``), and its results are above it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy

from microgradlike import ops
from microgradlike.compiler.numbers import numbers_of
from microgradlike.compiler.operations import (
    ARITIES,
    CARRIED,
    CODES,
    ENTRY,
    LOOP,
    NAMES,
    RESULT,
    ROUND,
    TABLE,
    TAKE,
    row_of,
)
from microgradlike.compiler.tables import chain, codes, entries_of, is_whole, whole
from microgradlike.engine import Choice, Value, line_of_user_code
from microgradlike.inputs import beside, place_in_table
from microgradlike.loops import State

if TYPE_CHECKING:
    from microgradlike.compiler.tape import Condition, Tape, Traced

_CARRIED, _ROUND, _LOOP, _RESULT = (CODES[name] for name in (CARRIED, ROUND, LOOP, RESULT))
_LINKS, _TAKE = (CODES[TABLE], CODES[ENTRY]), CODES[TAKE]

#: Fewer rounds are done one after the other: as parts of one program they share its instructions.
FEW = 8


class Apart(BaseException):
    """What a round does cannot be written down once: its rounds are traced one after the other."""


class Round(NamedTuple):
    """What a loop does in each round, as operands and nodes of its tape.

    Attributes:
        carried: the leaves for what is handed on, and ``results`` what is handed on.
        given: the leaves for what differs from round to round.
        going: the condition under which there is another round; -1 if ``rows`` tells how many.
        first: what the first round is handed.
        rows: for each round its operands.
        held: what is read, and is the same in all rounds.
    """

    carried: list[int]
    results: list[int]
    given: list[int]
    going: int
    first: list[int]
    rows: list[list[int]]
    held: list[int]

    def moved(self, of: Callable[[int], int]) -> Round:
        """The same on a tape where its nodes have other numbers."""

        def moved(operands: list[int]) -> list[int]:
            return list(map(of, operands))

        return Round(
            moved(self.carried), moved(self.results), moved(self.given),
            of(self.going) if self.going >= 0 else -1,
            moved(self.first), list(map(moved, self.rows)), moved(self.held),
        )  # fmt: skip

    @property
    def ends(self) -> list[int]:
        """The nodes that a round gives, its condition among them."""
        return [v for v in (*self.results, self.going) if v >= 0]


class Loops:
    """What a tape knows of its loops.

    Attributes:
        rounds: what they do in each round.
        apart: whether their rounds are traced one after the other.
        open: how many rounds are being traced, one within the other.
        given: for each leaf that a row gives, what the rows give.
        counted: the leaves that are whole numbers.
        told: the numbers of leaves and results in the row that is traced; ``lasts`` has those of a
            loop within a loop.
        within: for each of the first nodes whether it differs from round to round.
    """

    def __init__(self) -> None:
        self.rounds: list[Round] = []
        self.apart, self.open = False, 0
        self.given: dict[int, list[int]] = {}
        self.counted: set[int] = set()
        self.told: dict[int, float] = {}
        self.lasts: dict[int, list[float]] = {}
        self.within = bytearray()

    @property
    def handed_on(self) -> set[int]:
        """The leaves for what one round hands to the next."""
        return {leaf for one in self.rounds for leaf in one.carried}


# ---- Tracing a loop ----------------------------------------------------------------------------


def traced(
    tape: Tape,
    step: Callable[..., object],
    state: object,
    rows: Sequence[object],
    going: Callable[..., object] | None,
) -> State:
    """Write down a loop; see ``microgradlike.loop`` and ``while_loop``.

    Args:
        tape: of the function.
        step: of a round.
        state: what the first round is handed.
        rows: what each round reads beside.
        going: whether there is another round; None where ``rows`` tells it.

    Returns:
        What the last round hands on.

    Raises:
        Apart: a round decides, or does what is no operation of Values.
    """
    if tape.loops.apart or (going is None and len(rows) < FEW):
        raise Apart
    first, shape = flat(state)
    read = [flat(row) for row in rows]
    if not first or any(other != read[0][1] for _, other in read):
        raise Apart
    handed = [tape.operand(leaf) for leaf in first]
    of_rows = [[tape.operand(leaf)[0] for leaf in leaves] for leaves, _ in read]
    undo = _undo(tape)
    carried = [new_leaf(tape, number) for _, number in handed]
    given = [new_leaf(tape, tape.operand(leaf)[1]) for leaf in (read[0][0] if read else ())]
    for k, leaf in enumerate(given):
        if all(type(leaves[k]) is int for leaves, _ in read):
            tape.loops.counted.add(leaf.node)
        tape.loops.given[leaf.node] = [operands[k] for operands in of_rows]
    tape.loops.open += 1
    try:
        state = restored(shape, iter(carried))
        beside_it = [restored(read[0][1], iter(given))] if read else []
        results, condition = _one_round(tape, step, [state, *beside_it], shape, going)
    except Apart:
        undo()
        raise
    finally:
        tape.loops.open -= 1
    found = Round(
        [v.node for v in carried], results, [v.node for v in given], condition,
        [operand for operand, _ in handed], of_rows, [],
    )  # fmt: skip
    return restored(shape, iter(ended(tape, found)))


def ended(tape: Tape, found: Round) -> list[Traced]:
    """Append a loop whose round is written down; what the last round hands on."""
    found = _without_unread(tape, found)
    found = found._replace(held=held_by(tape, found))
    node = written(tape, found)
    outs = []
    for k, number in enumerate(_last(tape, found)):
        result = tape.append(RESULT, node, tape.constant(float(k)))
        tape.loops.told[result] = number
        outs.append(tape.traced(result, number))
    return outs


#: What grows while a tape is written: of all that it knows, the last comes off again.
_GROWING = (
    *("guards", "indices", "written", "tables", "chains"),
    *("_leaves", "_made", "_opposites", "_pairs"),
)
_IN_ORDER = (
    *("code", "left", "right", "places", "parameters", "decided"),
    *("whole", "found", "_varies"),
)


def _undo(tape: Tape) -> Callable[[], None]:
    """What makes a tape again what it is now."""
    grows = [(getattr(tape, name), len(getattr(tape, name))) for name in _GROWING]
    grows += [(of, len(of)) for of in (tape.loops.told, tape.loops.given)]
    lists = [(getattr(tape, name), len(getattr(tape, name))) for name in _IN_ORDER]
    lists += [(of, len(of)) for of in (tape.loops.rounds, tape.loops.within)]
    start, first_copy = len(tape.code), tape._first_copy

    def undo() -> None:
        for known, size in grows:
            while len(known) > size:
                known.popitem()
        for known, size in lists:
            del known[size:]
        del getattr(tape.left, "places", [])[start:]
        tape.loops.counted = {node for node in tape.loops.counted if node < start}
        tape.steady = {node for node in tape.steady if node < start}
        tape._first_copy = first_copy

    return undo


def new_leaf(tape: Tape, number: float) -> Traced:
    """A new one, and its number in the first round."""
    node = tape.append(CARRIED, 0)
    tape.loops.told[node] = number
    return tape.traced(node, number)


def _one_round(
    tape: Tape,
    step: Callable[..., object],
    given: list[State],
    shape: object,
    going: Callable[..., object] | None,
) -> tuple[list[int], int]:
    """The operands that a round hands on, and the node of its condition, or -1."""
    condition: State = going(given[0]) if going is not None else None
    if going is not None and not isinstance(condition, Choice):
        raise Apart
    found, same = flat(step(*given))
    if same != shape:
        raise Apart
    if condition is not None:
        before = flat(given[0])[0]
        found = [_chosen(tape, condition, *pair) for pair in zip(found, before, strict=True)]
    operands = [tape.operand(value)[0] for value in found]
    return operands, -1 if condition is None else condition.node


def _chosen(tape: Tape, condition: Condition, value: State, before: State) -> State:
    """A value where a condition holds, and else the one before; it may be that already."""
    node, of = tape.operand(value)[0], codes(tape)
    if node >= 0 and NAMES[of[node]] == "add":
        sides = tape.left[node], tape.right[node]
        kept = [(tape.left[v], tape.right[v]) for v in sides if v >= 0 and NAMES[of[v]] == "keep"]
        otherwise = (condition.opposite().node, tape.operand(before)[0])
        if len(kept) == 2 and kept[0][0] == condition.node and kept[1] == otherwise:
            return value
    return condition.choose(value, before)


def written(tape: Tape, found: Round) -> int:
    """Append the node of a loop, above the chain of what it reads."""
    end = tape.append(TABLE, tape.append(ROUND, len(tape.loops.rounds)))
    tape.loops.rounds.append(found)
    for operand in [*found.first, *(v for row in found.rows for v in row), *found.held]:
        end = tape.append(ENTRY, end, operand)
    return tape.append(LOOP, end)


def index(tape: Tape, node: int, count: int) -> None:
    """Note that a node takes from a table of so many entries: it must name one in all rows."""
    if not is_within(tape, node):
        tape.indices[node] = min(count, tape.indices.get(node, count))
        return
    if node not in tape.loops.given:  # what each round computes cannot be asked before
        raise Apart
    for operand in tape.loops.given[node]:
        if operand >= 0:
            index(tape, operand, count)
        else:
            place_in_table(tape.constants[~operand], count)


def need_whole(tape: Tape, count: Value) -> None:
    """Refuse a count of rounds that may be a fraction in some row."""
    whole(tape)
    if not is_whole(tape, tape.operand(count)[0]):
        tape._refuse(
            f"loop(step, state, count), at {line_of_user_code()}, counts by a column of integers, "
            "such as numpy.array([3, 5]), but this count may be a fraction; give such a column"
        )
    tape.needs_integers = True


def is_within(tape: Tape, node: int) -> bool:
    """Whether a node differs from round to round."""
    within, of = tape.loops.within, codes(tape)
    for k in range(len(within), node + 1):
        operands = (tape.left[k], tape.right[k])[: ARITIES[of[k]]]
        within.append(of[k] == _CARRIED or any(v >= 0 and within[v] for v in operands))
    return bool(within[node])


# ---- What a round consists of ------------------------------------------------------------------


def round_of(tape: Tape, loop: int) -> Round:
    """The round of a loop."""
    return tape.loops.rounds[tape.left[entries_of(tape, tape.left[loop])[0]]]


def members(tape: Tape, found: Round) -> list[int]:
    """The nodes that a round computes, in their order, with those of the loops within it."""
    leaves = {*found.carried, *found.given}
    of, start = codes(tape), min(leaves)
    varies = bytearray(max([*found.ends, start]) + 1 - start)
    for node in range(start, start + len(varies)):
        operands = (tape.left[node], tape.right[node])[: ARITIES[of[node]]]
        varies[node - start] = node in leaves or any(
            v >= start and varies[v - start] for v in operands
        )
    computed, path = set[int](), list(found.ends)
    while path:
        node = path.pop()
        if node < start or node in computed or node in leaves or not varies[node - start]:
            continue
        computed.add(node)
        path += operands_of(tape, node)
        if node in tape.written:
            path.append(tape.written[node])
        if of[node] == _LOOP:
            computed |= inside(tape, round_of(tape, node))
    return sorted(computed)


def computed(tape: Tape, found: Round) -> list[int]:
    """The nodes that a round computes itself, not those of the loops within it."""
    nodes, of = members(tape, found), codes(tape)
    loops = [round_of(tape, node) for node in nodes if of[node] == _LOOP]
    theirs = {node for one in loops for node in inside(tape, one)}
    return [node for node in nodes if node not in theirs]


def operands_of(tape: Tape, node: int) -> Iterator[int]:
    """The nodes that a node reads; of a table its entries."""
    of, left, right = codes(tape), tape.left[node], tape.right[node]
    found: Sequence[int] = (left, right)[: ARITIES[of[node]]]
    if of[node] == _TAKE:
        found = left, *entries_of(tape, right)
    elif of[node] == _LOOP:
        found = entries_of(tape, left)[1:]
    return (operand for operand in found if operand >= 0)


def inside(tape: Tape, found: Round) -> set[int]:
    """All nodes of a round: its leaves, and what it computes, also in loops within it."""
    return {*found.carried, *found.given, *members(tape, found)}


def _without_unread(tape: Tape, found: Round) -> Round:
    """The same without what rows give and no round reads, such as the numbers of the rounds."""
    read = {v for node in members(tape, found) for v in operands_of(tape, node)} | {*found.ends}
    there = [leaf in read for leaf in found.given]
    rows = [list(itertools.compress(row, there)) for row in found.rows]
    return found._replace(given=list(itertools.compress(found.given, there)), rows=rows)


def held_by(tape: Tape, found: Round) -> list[int]:
    """What a round reads that is the same in all of them."""
    own = inside(tape, found)
    reads = [v for node in own for v in operands_of(tape, node)]
    return [v for v in dict.fromkeys(sorted([*reads, *found.ends])) if v not in own]


# ---- Its numbers -------------------------------------------------------------------------------


def find_counters(tape: Tape) -> None:
    """Note which leaves are whole numbers in all rounds, for what is handed on is."""
    found, known = tape.loops.handed_on, tape.loops.counted
    size = -1
    while size != len(found):
        size = len(found)
        tape.loops.counted = known | found
        tape.whole = bytearray()
        whole(tape)
        found = {
            leaf
            for one in tape.loops.rounds
            for leaf, *both in zip(one.carried, one.first, one.results, strict=True)
            if leaf in found and all(is_whole(tape, v) for v in both)
        }


def _last(tape: Tape, found: Round) -> list[float]:
    """The numbers that the last round hands on, in the row that is traced."""
    numbers = [*numbers_of(tape), *reversed(tape.constants)]  # an operand is the place of its own
    return _numbers_of_rounds(tape, found, numbers)()


def _numbers_of_rounds(tape: Tape, found: Round, numbers: list[float]) -> Callable[[], list[float]]:
    """What goes through all rounds, and gives what the last one hands on."""
    actions = [_action(tape, node, numbers) for node in computed(tape, found)]
    leaves = [*found.carried, *found.given]

    def rounds() -> list[float]:
        state, row = [numbers[v] for v in found.first], 0
        while found.going >= 0 or row < len(found.rows):
            beside_it = [numbers[v] for v in found.rows[row]] if found.going < 0 else []
            for leaf, number in zip(leaves, [*state, *beside_it], strict=True):
                numbers[leaf] = number
            for act in actions:
                act()
            if found.going >= 0 and not numbers[found.going]:
                break
            state, row = [numbers[v] for v in found.results], row + 1
        return state

    return rounds


def _action(tape: Tape, node: int, numbers: list[float]) -> Callable[[], object]:
    """What computes the number of a node within a round."""
    code, left, right = codes(tape)[node], tape.left[node], tape.right[node]
    if code == _LOOP:
        rounds, lasts = _numbers_of_rounds(tape, round_of(tape, node), numbers), tape.loops.lasts

        def loop() -> None:
            lasts[node] = rounds()

        return loop
    if code == _RESULT:
        place = int(tape.constants[~right])

        def result() -> None:
            numbers[node] = tape.loops.lasts[left][place]

        return result
    if code == _TAKE:
        entries = entries_of(tape, right)

        def take() -> None:
            numbers[node] = numbers[entries[int(numbers[left])]]

        return take
    row = row_of(NAMES[code])[0]
    assert row is not None
    formula = ops.on_floats(row.value)

    def compute() -> None:
        numbers[node] = formula(numbers[left], numbers[right], 0, 0)

    return compute


# ---- A round as a tape of its own --------------------------------------------------------------


class Apiece(NamedTuple):
    """What one round does, as a tape of its own.

    Attributes:
        tape: its inputs are what is carried, what is given, then what is held and differs from row
            to row; its parameters are what is held else.
        results, going: the operands that it hands on, and its condition, or -1.
        held, once: the nodes of the loop's tape that are such inputs, and such parameters.
    """

    tape: Tape
    results: list[int]
    going: int
    held: list[int]
    once: list[int]


def apiece(tape: Tape, found: Round, is_once: Callable[[int], bool]) -> Apiece:
    """Write a round on a tape of its own.

    Args:
        tape: of the loop.
        found: its round.
        is_once: tells whether a node is computed once for all rows.
    """
    own = type(tape)()
    own.constants, own._constants = list(tape.constants), dict(tape._constants)
    held = [node for node in found.held if not is_once(node)]
    once = [node for node in found.held if is_once(node)]
    place: dict[int, int] = {}
    for k, leaf in enumerate((*found.carried, *found.given, *held)):
        place[leaf] = own.append("input", k)
    for k, node in enumerate(once):
        place[node] = own.append("parameter", k)
    copy(tape, own, place, members(tape, found))
    own.nodes = own.code

    def of(operand: int) -> int:
        return place[operand] if operand >= 0 else operand

    going = of(found.going) if found.going >= 0 else -1
    return Apiece(own, list(map(of, found.results)), going, held, once)


def once_more(tape: Tape, found: Round) -> dict[int, int]:
    """Write what a round computes once more, on new leaves; where all of it is now."""
    place: dict[int, int] = Same()
    leaves, loops = [*found.carried, *found.given], tape.loops
    for node in leaves:
        place[node] = new_leaf(tape, loops.told[node]).node
    copy(tape, tape, place, members(tape, found))
    for node, again in tuple(place.items()):
        if node in loops.told:
            loops.told[again] = loops.told[node]
        if node in loops.given:
            loops.given[again] = [place[v] for v in loops.given[node]]
    loops.counted |= {place[node] for node in loops.counted if node in place}
    return place


class Same(dict[int, int]):
    """Where nodes are; those that are not known are where they were."""

    def __missing__(self, node: int) -> int:
        return node


def copy(tape: Tape, other: Tape, place: dict[int, int], nodes: Sequence[int]) -> None:
    """Append nodes of one tape to another; ``place`` tells where each operand is there."""
    of_code = codes(tape)

    def of(operand: int) -> int:
        return place[operand] if operand >= 0 else operand

    for node in nodes:
        code, left, right = of_code[node], tape.left[node], tape.right[node]
        if code in _LINKS or code == _ROUND:
            continue  # who is above them has their entries
        if code == _CARRIED:
            place[node] = other.append(CARRIED, 0)
        elif code == _LOOP:
            place[node] = written(other, round_of(tape, node).moved(of))
        elif code == _TAKE:
            place[node] = other.append(
                TAKE, of(left), chain(other, list(map(of, entries_of(tape, right))))
            )
        else:
            sides = [of(v) for v in (left, right)[: ARITIES[code]]]
            place[node] = other.append(NAMES[code], *(sides or [left]))
    for short, long in tape.written.items():
        if short in place and long in place:
            other.written[place[short]] = place[long]


# ---- Structures --------------------------------------------------------------------------------


def flat(value: State) -> tuple[list[State], State]:
    """The Values and numbers in nested lists, and what is left of these without them."""
    if isinstance(value, list | tuple) or (isinstance(value, numpy.ndarray) and value.ndim):
        parts = [flat(part) for part in value]
        kind = list if isinstance(value, numpy.ndarray) else type(value)
        leaves = [leaf for found, _ in parts for leaf in found]
        return leaves, (kind, isinstance(value, numpy.ndarray), [shape for _, shape in parts])
    if isinstance(value, Choice):
        value = value.value()
    if isinstance(value, Value):
        return [value], None
    try:
        number = beside(value, "a loop")
    except (TypeError, ValueError):
        raise Apart from None
    return [value if type(value) is int else number], None


def restored(shape: State, leaves: Iterator[State]) -> State:
    """The structure again, of other Values."""
    if shape is None:
        return next(leaves)
    kind, is_array, parts = shape
    found = [restored(part, leaves) for part in parts]
    if is_array:
        return numpy.array(found, object)
    return kind(*found) if hasattr(kind, "_fields") else kind(found)
