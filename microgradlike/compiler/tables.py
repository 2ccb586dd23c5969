"""Tables on a tape: an index that differs from row to row takes an entry of a list.

A table is a chain of nodes, one for each entry; ``take`` has the index and the end of the chain.
Only a table that is the same for all rows is one, of parameters, constants, and what is computed of
them: then a row costs the one entry that it takes. Where entries are computed for each row anyway,
it is a choice of each entry where the index is its number; so it is for derivatives by the entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from microgradlike.compiler.operations import (
    ARITIES,
    CARRIED,
    CODES,
    ENTRY,
    NAMES,
    RESULT,
    TABLE,
    TAKE,
)
from microgradlike.engine import Value
from microgradlike.inputs import beside, place_in_table

if TYPE_CHECKING:
    from microgradlike.compiler.tape import Tape

_TABLE, _ENTRY, _TAKE = (CODES[name] for name in (TABLE, ENTRY, TAKE))
_INPUT, _PARAMETER, _REACH = (CODES[name] for name in ("input", "parameter", "reach"))
_CARRIED = CODES[CARRIED]

# ---- Taking ------------------------------------------------------------------------------------


def take(tape: Tape, entries: Sequence[Value | float], index: Value) -> Value | float:
    """Write down that an index takes an entry; see ``microgradlike.take``."""
    node, number = tape.operand(index)
    place = place_in_table(number, len(entries))
    if node < 0:
        return entries[place]
    tape.note_index(node, len(entries))
    table = _table(tape, entries)
    if table.varies or not _varies(tape, node):
        taken = chosen(tape, node, table.operands)
    else:
        taken = tape.append(TAKE, node, chain(tape, table.operands))
    return tape.traced(taken, tape.operand(_number(entries[place]))[1])


class Known(NamedTuple):
    """A table that was met."""

    entries: list[Value | float]
    """They are held, so that no id is given out again."""
    operands: list[int]
    varies: bool
    """Whether an entry differs from row to row."""


def _table(tape: Tape, entries: Sequence[Value | float]) -> Known:
    """What is known of a table, which may have been met before."""
    key = tuple(map(id, entries))
    known = tape.tables.get(key)
    if known is None:
        operands = [tape.operand(_number(entry))[0] for entry in entries]
        computed = (v for v in operands if v >= 0 and tape.code[v] != _PARAMETER)
        varies = any(_varies(tape, v) for v in computed)
        known = tape.tables[key] = Known(list(entries), operands, varies)
    return known


def _number(entry: Value | float) -> Value | float:
    return entry if isinstance(entry, Value) else beside(entry, "a table")


def chain(tape: Tape, operands: list[int]) -> int:
    """The end of the chain of a table."""
    key = tuple(operands)
    if key not in tape.chains:
        end = tape.append(TABLE, operands[0])
        for operand in operands[1:]:
            end = tape.append(ENTRY, end, operand)
        tape.chains[key] = end
    return tape.chains[key]


def chosen(tape: Tape, index: int, operands: list[int]) -> int:
    """Each entry where the index is its number, and nothing elsewhere, added up."""
    found = -1
    for place, operand in enumerate(operands):
        kept = tape.append("keep", is_at(tape, index, place), operand)
        found = kept if place == 0 else tape.append("add", found, kept)
    return found


def is_at(tape: Tape, index: int, place: int) -> int:
    """The condition that an index is this number."""
    return tape.append("eq", index, tape.constant(float(place)))


def entries_of(tape: Tape, end: int) -> list[int]:
    """The operands of the table whose chain ends at a node."""
    found, of = [], codes(tape)
    while of[end] == _ENTRY:
        found.append(tape.right[end])
        end = tape.left[end]
    return [tape.left[end], *found[::-1]]


def codes(tape: Tape) -> bytearray:
    """The codes of its nodes, whether it has ended or not."""
    found: bytearray = getattr(tape, "nodes", tape.code)
    return found


# ---- What is known of a node -------------------------------------------------------------------


def _varies(tape: Tape, node: int) -> bool:
    """Whether it differs from row to row."""
    path, seen = [node], set[int]()
    while path:
        node = path.pop()
        if node < 0 or node in tape.steady or node in seen:
            continue
        code = tape.code[node]
        if code in (_INPUT, _CARRIED):
            return True
        seen.add(node)
        path += [tape.left[node], tape.right[node]][code == _REACH : ARITIES[code]]
    tape.steady |= seen
    return False


#: What is whole if all its operands are, to the last digit.
_WHOLE = ("add", "sub", "mul", "neg", "abs", "maximum", "minimum", "detach", TABLE, ENTRY)
#: What is whole if its right operand is.
_AS_RIGHT = ("keep", "reach", TAKE)


def whole(tape: Tape) -> bytearray:
    """For each node whether it is an integer in all rows, so that no rounding can change it."""
    found, code = tape.whole, codes(tape)
    for node in range(len(found), len(code)):
        name = NAMES[code[node]]
        sides = (tape.left[node], tape.right[node])[name in _AS_RIGHT : ARITIES[code[node]]]
        known = name in _WHOLE or name in _AS_RIGHT
        if name == RESULT:  # as what is handed on is
            of_round = tape.left[entries_of(tape, tape.left[tape.left[node]])[0]]
            number = int(tape.constants[~tape.right[node]])
            carried = tape.loops.rounds[of_round].carried[number]
            found.append(carried in tape.loops.counted)
            continue
        integer = node in tape.integers or node in tape.loops.counted
        found.append(integer or (known and all(is_whole(tape, v) for v in sides)))
    return found


def is_whole(tape: Tape, operand: int) -> bool:
    """Whether an operand is an integer, as far as ``whole`` has come."""
    if operand < 0:
        return float(tape.constants[~operand]).is_integer()
    return bool(tape.whole[operand])
