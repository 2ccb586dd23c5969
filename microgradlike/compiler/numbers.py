"""The numbers of a tape's nodes, in the row that is traced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from microgradlike.compiler.operations import (
    CARRIED,
    ENTRY,
    LOOP,
    NAMES,
    RESULT,
    ROUND,
    TABLE,
    TAKE,
    on_numbers,
)
from microgradlike.compiler.tables import entries_of

if TYPE_CHECKING:
    from microgradlike.compiler.tape import Tape


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
