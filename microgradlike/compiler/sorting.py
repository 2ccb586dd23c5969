"""Python's ``sorted``, of traced Values: one program for all orders.

As any comparison of traced Values, each one that ``sorted`` makes would be decided, and each order
be a path of its own: five numbers have 120. So while a function is traced, ``sorted`` compares
neighbours again and again, and where the first one is larger, exchanges them in that row alone.
Equal numbers stay in their order, as in Python. NaN has no place in an order: rows with one are
traced as ever.
"""

from __future__ import annotations

import builtins
import functools
import operator
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

from microgradlike.engine import Choice, Value
from microgradlike.functions import where

Number: TypeAlias = "Value | float"
Item: TypeAlias = "Number | list[Item] | tuple[Item, ...]"

#: Of more numbers the exchanges would be too many.
MOST = 32

_sorted = builtins.sorted
_lock = threading.Lock()
_tracing = 0


@contextmanager
def sorting() -> Iterator[None]:
    """Within this block ``sorted`` takes traced Values; for all else it is Python's."""
    global _tracing
    with _lock:
        _tracing += 1
        builtins.sorted = cast("Any", _sorted_in_each_row)
    try:
        yield
    finally:
        with _lock:
            _tracing -= 1
            if not _tracing:
                builtins.sorted = _sorted


def _sorted_in_each_row(
    iterable: Iterable[Item], /, *, key: Callable[[Item], Number] | None = None,
    reverse: bool = False,
) -> list[Item]:  # fmt: skip
    given = list(iterable)
    keys: Sequence[object] = given if key is None else list(map(key, given))
    forms = set(map(_form, given))
    alike = len(forms) == 1 and "?" not in next(iter(forms))
    can_be_chosen = alike if key else all(map(_is_number, given))
    numbers = [k for k in keys if isinstance(k, Value | float | int)]
    if not (1 < len(given) == len(numbers) <= MOST and can_be_chosen and _differ_by_row(numbers)):
        found = iter(keys)  # each key is asked for once, as in Python
        return _sorted(given, key=lambda _: next(found), reverse=reverse)  # type: ignore[arg-type, return-value]
    # Backwards, equal numbers stay in their order where it is reversed before and after.
    items = list(zip(numbers, given, strict=True))[:: -1 if reverse else 1]
    for turn in range(len(items)):
        for k in range(turn % 2, len(items) - 1, 2):
            (a, first), (b, second) = items[k : k + 2]
            exchanged = b < a
            items[k] = where(exchanged, b, a), _chosen(exchanged, second, first)
            items[k + 1] = where(exchanged, a, b), _chosen(exchanged, first, second)
    return [item for _, item in items][:: -1 if reverse else 1]


def _is_number(x: object) -> bool:
    return isinstance(x, Value | float | int)


def _form(x: object) -> str:
    """Of Values, and lists and tuples of them; all else is a ?: a plain number may be an index."""
    if isinstance(x, list | tuple):
        return f"{type(x).__name__}({', '.join(map(_form, x))})"
    return "Value" if isinstance(x, Value) else "?"


def _chosen(condition: object, x: Item, y: Item) -> Item:
    if not isinstance(x, list | tuple):
        found: Number = where(condition, x, y)
        return found
    assert isinstance(y, list | tuple)
    parts = [_chosen(condition, *pair) for pair in zip(x, y, strict=True)]
    return parts if isinstance(x, list) else tuple(parts)


def _differ_by_row(keys: list[Number]) -> bool:
    """Whether there are traced ones, and none is NaN: rows where one is are of another path."""
    is_there = [key <= key for key in keys]
    if not any(isinstance(each, Choice) for each in is_there):
        return False
    return bool(functools.reduce(operator.and_, is_there))
