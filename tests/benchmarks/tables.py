"""Tables of parameters, and the row of one that a number of the data names."""

from __future__ import annotations

from typing import Any

from microgradlike import Value, where


def table(numbers: Any) -> list[list[Value]]:
    """A parameter of each number."""
    return [[Value(float(number)) for number in row] for row in numbers]


def take(table: Any, i: Any) -> Any:
    """Row ``i`` of a table; where a compiled function has ``i`` from its data, chosen by where."""
    if isinstance(i, int):
        return table[i]
    found = table[0]
    for k, row in enumerate(table[1:], 1):
        found = [where(i == k, own, other) for own, other in zip(row, found, strict=True)]
    return found
