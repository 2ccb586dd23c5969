"""Gradients on a tape, as a compiled function may ask for: they are written on the same tape."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from microgradlike import functions, ops
from microgradlike.compiler.operations import (
    CARRIED,
    CODES,
    ENTRY,
    LOOP,
    NAMES,
    RESULT,
    ROUND,
    SENDS_TO,
    TABLE,
    TAKE,
    on_numbers,
    row_of,
)
from microgradlike.compiler.tables import entries_of, is_at
from microgradlike.engine import Choice, Value, equal, recorder_of

if TYPE_CHECKING:
    from microgradlike.compiler.tape import Condition, Tape, Traced, Truth


class Unrolled(BaseException):
    """Somebody differentiates through a loop: the function is traced with its rounds apart."""


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
        if node < 0:
            return self.tape.constants[~node]
        return self.tape.traced(node, self.numbers[node])


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
    for node in range(min(tangents), last + 1):
        found = tangents.get(node, {})
        for place, operand in recorded.sends_to(node):
            if operand not in tangents:
                continue
            for k, tangent in tangents[operand].items():
                moved = recorded.sent(node, place, tangent)
                found[k] = found[k] + moved if k in found else moved
        if found:
            tangents[node] = found
    of_outs = [tangents.get(out.node, {}) if recorder_of(out) else {} for out in outs]
    return _as_values(
        found.get(k, 0.0) for found in of_outs for k in range(1 + max(k for _, k, _ in moves))
    )


def _as_values(found: Iterable[Value | float]) -> list[Value]:
    return [v if isinstance(v, Value) else Value(v) for v in found]


def _either(a: Condition | None, b: Condition | None) -> Condition | None:
    if a is None or b is None or a.is_opposite(b):
        return None
    return a if a.node == b.node else a | b


def numbers_of(tape: Tape) -> list[float]:
    """The number of each node so far in the row that is traced."""
    parameters = [parameter._number for parameter in tape.parameters]
    for node in range(len(tape.found), len(tape.code)):
        tape.found.append(number_of(tape, node, tape.found, parameters))
    return tape.found


def number_of(
    tape: Tape, node: int, numbers: Sequence[float], parameters: Sequence[float]
) -> float:
    """The number of a node.

    Args:
        tape: on which it is; it may have ended.
        node: its number.
        numbers: those of all nodes before.
        parameters: those of the parameters.
    """
    code: bytearray = getattr(tape, "nodes", tape.code)
    name, left, right = NAMES[code[node]], tape.left[node], tape.right[node]
    if name == "input":
        return tape.numbers[left]
    if name == "parameter":
        return parameters[left]
    if name in (TABLE, ENTRY, ROUND, LOOP):
        return 0.0
    if name in (CARRIED, RESULT):
        return tape.loops.told[node]
    if name == TAKE:
        left, right = entries_of(tape, right)[int(numbers[left])], 0
        return numbers[left] if left >= 0 else tape.constants[~left]
    x, y = (numbers[v] if v >= 0 else tape.constants[~v] for v in (left, right))
    return on_numbers(name, x, y)


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
