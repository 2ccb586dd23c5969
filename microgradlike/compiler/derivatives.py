"""Gradients on a tape, as a compiled function may ask for: they are written on the same tape."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from microgradlike import functions, ops
from microgradlike.compiler import rounds
from microgradlike.compiler.numbers import numbers_of
from microgradlike.compiler.operations import (
    CODES,
    ENTRY,
    LOOP,
    NAMES,
    RESULT,
    SENDS_TO,
    TABLE,
    TAKE,
    row_of,
)
from microgradlike.compiler.tables import entries_of, is_at
from microgradlike.engine import Choice, Value, equal, recorder_of

if TYPE_CHECKING:
    from microgradlike.compiler.tape import Condition, Tape, Traced, Truth


class Unrolled(BaseException):
    """Somebody differentiates through a loop, by much: its rounds are to be traced apart."""


#: By at most so many Values the gradient through a loop is carried forward, in a wider loop.
MOST_FORWARD = 16


# ---- What a tape has so far --------------------------------------------------------------------

#: For each code, as a list, which is quicker to ask than an array.
_SENDS_TO: list[list[bool]] = SENDS_TO.tolist()

_LINKS, _TAKE = (CODES[TABLE], CODES[ENTRY]), CODES[TAKE]
_LOOP, _RESULT = CODES[LOOP], CODES[RESULT]

#: What passes the error only under its left operand, a condition.
_KEEPS = ("keep", "reach")


class _Recorded:
    """Who passes errors to whom, and the slopes, written on the same tape."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.code, self.left, self.right = tape.code, tape.left, tape.right
        self.numbers = numbers_of(tape)

    def sends_to(self, node: int) -> Iterable[tuple[int, int]]:
        """The places and nodes of the operands that the error can pass to."""
        code = self.code[node]
        if code in _LINKS or code == _LOOP:  # who takes from it has its entries, or its operands
            return ()
        if code == _RESULT:
            read = entries_of(self.tape, self.left[self.left[node]])[1:]
            return [(place, operand) for place, operand in enumerate(read) if operand >= 0]
        if code == _TAKE:
            entries = enumerate(entries_of(self.tape, self.right[node]))
            return [(place, entry) for place, entry in entries if entry >= 0]
        sends = _SENDS_TO[code]
        sides = enumerate((self.left[node], self.right[node]))
        return tuple((place, operand) for place, operand in sides if sends[place] and operand >= 0)

    def is_through_rounds(self, out: int, depends: set[int]) -> bool:
        """Whether an error passes through a loop on its way from a node to these."""
        left, seen = [out] if self.tape.loops.rounds else [], {out}
        while left:
            node = left.pop()
            if self.code[node] == _RESULT:
                return True
            before = {v for _, v in self.sends_to(node) if v in depends and v not in seen}
            seen |= before
            left += before
        return False

    def passes(self, node: int, place: int) -> Condition | bool:
        """Where a node lets the error pass to an operand: a condition; or always, or never."""
        name = NAMES[self.code[node]]
        if name == RESULT:  # of the rounds one after the other it can be said
            raise Unrolled
        if name in _KEEPS:
            return self._condition(self.left[node])
        if name == TAKE:
            return self._condition(is_at(self.tape, self.left[node], place))
        row, tie = row_of(name)
        assert row is not None
        passes = ops.passes(row.slopes[place], tie)
        found: Condition | bool = passes == "True" or self._evaluated(passes, node)
        return found

    def sent(self, node: int, place: int, error: Value | float) -> Value | float:
        """What a node sends an operand of this error: a Value, or a number."""
        name = NAMES[self.code[node]]
        if name == RESULT:
            raise Unrolled
        if name in _KEEPS:
            return self._condition(self.left[node]).kept(error, by=name)
        if name == TAKE:
            return self._condition(is_at(self.tape, self.left[node], place)).kept(error)
        row, tie = row_of(name)
        assert row is not None
        slope = row.slopes[place]
        if recorder_of(error) or error != 1:  # a plain 1 changes nothing
            slope = ops.sent(slope, tie)
        found: Value | float = self._evaluated(slope, node, error)
        return found

    def _condition(self, node: int) -> Condition:
        """Where what keeps an error lets it pass."""
        if node >= len(self.numbers):  # of an index, just written down
            self.numbers = numbers_of(self.tape)
        return self.tape.condition(node, bool(self.numbers[node]))

    def _evaluated(self, formula: str, node: int, error: Value | float | None = None) -> Any:
        row, tie = row_of(NAMES[self.code[node]])
        assert row is not None
        x = self._operand(self.left[node])
        y = self._operand(self.right[node]) if len(row.slopes) == 2 else 0.0
        return _on_traced(formula)(x, y, self._operand(node), tie, error)

    def _operand(self, node: int) -> Value | float:
        return self.tape.traced(node, self.numbers[node]) if node >= 0 else self.number(node)

    def number(self, operand: int) -> float:
        return self.numbers[operand] if operand >= 0 else self.tape.constants[~operand]


# ---- Backward, and forward ---------------------------------------------------------------------


def traced_gradients(out: Traced, inputs: Sequence[Any]) -> list[Value]:
    """The derivatives of a traced Value by traced inputs, written on the same tape.

    What the error reaches only under a condition, within a branch of ``where`` or behind a slope
    that lets it pass only there, is kept only there.
    """
    recorded = _Recorded(out.tape)
    # On the inputs, on a way that the error can take. What was before them was perhaps long.
    depends = {v.node for v in inputs}
    first = min(depends, default=0)
    for node in range(first, out.node + 1):
        if any(operand in depends for _, operand in recorded.sends_to(node)):
            depends.add(node)
    if recorded.is_through_rounds(out.node, depends) and len(inputs) <= MOST_FORWARD:
        return traced_tangents([out], [(v, k, 1.0) for k, v in enumerate(inputs)])
    upstream: dict[int, Value | float] = {out.node: 1.0}
    reach: dict[int, Condition | None] = {out.node: None}
    for node in range(out.node, first - 1, -1):
        if node not in upstream or node not in depends:
            continue
        error, here = upstream[node], reach[node]
        for place, parent in recorded.sends_to(node):
            if parent not in depends:
                continue
            opens = recorded.passes(node, place)
            if opens is False:
                continue
            sent = recorded.sent(node, place, error)
            if here is not None:  # elsewhere it is 0, but for infinite slopes
                sent = here.kept(sent, by="reach")
            there = here if opens is True else opens if here is None else here & opens
            if parent in upstream:
                upstream[parent] = upstream[parent] + sent
                reach[parent] = _either(reach[parent], there)
            else:
                upstream[parent], reach[parent] = sent, there
    return _as_values(upstream.get(v.node, 0.0) for v in inputs)


def traced_tangents(
    outs: Sequence[Any], moves: Sequence[tuple[Any, int, Value | float]]
) -> list[Value]:
    """The same of many outputs by few inputs: carried forward from these, in one pass.

    Args:
        outs: the outputs.
        moves: traced inputs, each with the number of a direction, from 0, and how far it moves
            along that one.

    Returns:
        The derivatives of the first output along all directions, then those of the second one, ...
    """
    last = max((out.node for out in outs if recorder_of(out)), default=-1)
    recorded = _Recorded(moves[0][0].tape)
    tangents: dict[int, dict[int, Value | float]] = {}
    for moved, k, by in moves:
        tangents.setdefault(moved.node, {})[k] = by
    _carry(recorded, tangents, range(min(tangents), last + 1))
    of_outs = [tangents.get(out.node, {}) if recorder_of(out) else {} for out in outs]
    return _as_values(
        found.get(k, 0.0) for found in of_outs for k in range(1 + max(k for _, k, _ in moves))
    )


#: For each node that moves, how far it does along each direction.
Tangents: TypeAlias = dict[int, dict[int, Value | float]]


def _carry(recorded: _Recorded, tangents: Tangents, nodes: range) -> None:
    """Add the tangents of these nodes, in their order."""
    tape, wider = recorded.tape, dict[int, dict[int, dict[int, Value | float]]]()
    ended = [node for node in nodes if recorded.code[node] == _LOOP] if tape.loops.rounds else ()
    apart = {v for loop in ended for v in rounds.inside(tape, rounds.round_of(tape, loop))}
    for node in nodes:
        if node in apart:
            continue
        if recorded.code[node] == _LOOP:
            wider[node] = _of_rounds(recorded, tangents, node)
            continue
        found = tangents.get(node, {})
        if recorded.code[node] == _RESULT:
            number = int(tape.constants[~recorded.right[node]])
            found = wider.get(recorded.left[node], {}).get(number, {})
        else:
            for place, operand in recorded.sends_to(node):
                for k, tangent in tangents.get(operand, {}).items():
                    moved = recorded.sent(node, place, tangent)
                    found[k] = found[k] + moved if k in found else moved
        if found:
            tangents[node] = found


def _of_rounds(
    recorded: _Recorded, tangents: Tangents, loop: int
) -> dict[int, dict[int, Value | float]]:
    """The tangents of what a loop hands on, by its number.

    They are those of another loop, whose rounds hand on tangents beside the numbers.
    """
    tape, one = recorded.tape, rounds.round_of(recorded.tape, loop)
    read = entries_of(tape, recorded.left[loop])[1:]
    directions = sorted({k for operand in read for k in tangents.get(operand, ())})
    if not directions:
        return {}
    moving = _moving(recorded, tangents, one)
    carried = [n for n, leaf in enumerate(one.carried) if leaf in moving]
    given = [n for n, leaf in enumerate(one.given) if leaf in moving]

    def of(operand: int) -> list[int]:
        """The operands of its tangents, along all directions."""
        known = tangents.get(operand, {})
        return [tape.operand(known.get(k, 0.0))[0] for k in directions]

    first = [v for n in carried for v in of(one.first[n])]
    rows = [[v for n in given for v in of(row[n])] for row in one.rows]
    recorded.numbers = numbers_of(tape)
    start = len(tape.code)
    place = rounds.once_more(tape, one)
    nodes = range(start, len(tape.code))

    def leaves(of_leaves: list[int], firsts: Sequence[int]) -> list[int]:
        """Those of the tangents of leaves."""
        numbers = iter([recorded.number(operand) for operand in firsts])
        found = [[rounds.new_leaf(tape, next(numbers)) for _ in directions] for _ in of_leaves]
        for leaf, own in zip(of_leaves, found, strict=True):
            tangents[place[leaf]] = dict(zip(directions, own, strict=True))
        return [v.node for own in found for v in own]

    of_carried = leaves([one.carried[n] for n in carried], first)
    of_given = leaves([one.given[n] for n in given], rows[0] if rows else ())
    for k, leaf in enumerate(of_given):
        tape.loops.given[leaf] = [row[k] for row in rows]
    recorded.numbers = numbers_of(tape)
    _carry(recorded, tangents, nodes)
    results = [place[v] for v in one.results]
    found = rounds.ended(tape, rounds.Round(
        [*(place[v] for v in one.carried), *of_carried],
        [*results, *(v for n in carried for v in of(results[n]))],
        [*(place[v] for v in one.given), *of_given],
        place[one.going] if one.going >= 0 else -1,
        [*one.first, *first], [[*row, *more] for row, more in zip(one.rows, rows, strict=True)], [],
    ))  # fmt: skip
    recorded.numbers = numbers_of(tape)
    tangent = iter(found[len(one.carried) :])
    return {n: {k: next(tangent) for k in directions} for n in carried}


def _moving(recorded: _Recorded, tangents: Tangents, one: rounds.Round) -> set[int]:
    """What moves within a loop, of its leaves and of what it computes."""
    moving = {v for v in one.held if v in tangents}
    columns = zip(one.given, zip(*one.rows, strict=True), strict=True) if one.rows else ()
    moving |= {leaf for leaf, operands in columns if any(v in tangents for v in operands)}
    moving |= {leaf for leaf, v in zip(one.carried, one.first, strict=True) if v in tangents}
    nodes, size = rounds.computed(recorded.tape, one), -1
    while size != len(moving):
        size = len(moving)
        for node in nodes:
            if any(operand in moving for _, operand in recorded.sends_to(node)):
                moving.add(node)
        pairs = zip(one.carried, one.results, strict=True)
        moving |= {leaf for leaf, v in pairs if v in moving or v in tangents}
    return moving


def _as_values(found: Iterable[Value | float]) -> list[Value]:
    return [v if isinstance(v, Value) else Value(v) for v in found]


def _either(a: Condition | None, b: Condition | None) -> Condition | None:
    if a is None or b is None or a.is_opposite(b):
        return None
    return a if a.node == b.node else a | b


# ---- A slope of the operator table, on a tape --------------------------------------------------


@functools.cache
def _on_traced(slope: str) -> Callable[..., Any]:
    names = {
        **ops.NUMBERS,
        **functions.FUNCTIONS,
        "where": _where,
        "equal": equal,
        "logical_and": _and,
        "logical_or": _or,
        "power": _power,
    }
    return ops.formula(slope, names, element_by_element=True)


# What is known when the function is traced is decided then: that is no branch of a row.


def _varies(condition: object) -> bool:
    return isinstance(condition, Choice)


def _where(condition: Truth, x: Truth | Value | float, y: Truth | Value | float) -> Any:
    if not _varies(condition):
        return x if condition else y
    if isinstance(x, bool):  # what is chosen is a truth value
        return condition | y if x else condition.opposite() & y
    return functions.where(condition, x, y)


def _and(a: Truth, b: Truth) -> Truth:
    if _varies(a) and _varies(b):
        return a & b
    return b and a if _varies(a) else a and b


def _or(a: Truth, b: Truth) -> Truth:
    if _varies(a) and _varies(b):
        return a | b
    return b or a if _varies(a) else a or b


def _power(x: Value | float, y: Value | float) -> Any:
    """x to the power of y; of a constant exponent, one less may be 1 or 0."""
    if isinstance(y, float) and y in (0.0, 1.0):
        return x if y else 1.0
    return functions.FUNCTIONS["power"](x, y)
