"""Tables: lists of Values, or of rows of them, from which an integer takes an entry.

``take(table, i)`` is ``table[i]``, for an ``i`` that may differ from row to row in a function that
is compiled. There a Python list cannot be asked: it wants one integer, and would get that of the
first row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from microgradlike.engine import Choice, Recorder, Value, recorder
from microgradlike.inputs import beside, describe, place_in_table


def take(table: object, index: object) -> Any:
    """The entry of a table that an integer names: ``table[index]``, counted from 0.

    The error flows back to the entry that was taken, and to no other.

    Args:
        table: a list or an array of Values and numbers, or of rows of them.
        index: an int, or a Value that holds a whole number, such as a column of integers in a
            function that is compiled. No error flows back to it.

    Returns:
        The entry itself: a Value, a number, or a row. In a compiled function rows have one length.

    Raises:
        IndexError: there is no entry of that number; negative ones do not count from the end.
        TypeError: the table is none, or the index no number.

    >>> w = [Value(1.0), Value(4.0), Value(9.0)]
    >>> y = 2 * take(w, 1)
    >>> y.backward()
    >>> y.data, [v.grad for v in w]
    (8.0, [0.0, 2.0, 0.0])
    >>> from microgradlike import compile
    >>> compile(lambda i, x: take(w, i) * x)([2, 0], [1.0, 10.0])
    array([ 9., 10.])
    """
    if not isinstance(table, Sequence | numpy.ndarray) or isinstance(table, str):
        raise TypeError(
            f"take(table, index) takes from a list or an array, but got {describe(table)}"
        )
    if not len(table):
        raise ValueError("take(table, index) takes from at least one entry, but the table is empty")
    if isinstance(index, Choice):
        index = index.value()
    tape = recorder()
    if isinstance(index, Value) and tape is not None:
        return _taken(table, index, tape)
    number = index._number if isinstance(index, Value) else beside(index, "the index of take")
    place = place_in_table(number, len(table))
    found = table[place]
    return found.item() if isinstance(found, numpy.generic) else found


def _taken(table: Any, index: Value, tape: Recorder) -> Any:
    """The same in a function that is traced: of rows, what is taken of each column."""
    if isinstance(table, numpy.ndarray):
        entries = table.reshape(len(table), -1).T.tolist()
        found = numpy.empty(len(entries), object)
        for k, column in enumerate(entries):
            found[k] = tape.take(column, index)
        return found.reshape(table.shape[1:]) if table.ndim > 1 else found[0]
    entries = list(table)
    lengths = {len(e) if isinstance(e, list | tuple | numpy.ndarray) else None for e in entries}
    if lengths == {None}:
        return tape.take(entries, index)
    if len(lengths) > 1:
        raise ValueError(
            "take(table, index) of a Value takes from rows of one length, or from entries that "
            "are none, but got both, or several lengths; fill the rows up"
        )
    return Table(_taken(column, index, tape) for column in zip(*entries, strict=True))


class Table(list[Any]):
    """A list that a Value may index: ``table[i]`` is ``take(table, i)``.

    >>> table = Table([Value(1.0), Value(4.0)])
    >>> table[Value(1.0)], table[-1]
    (Value(data=4.0, grad=0.0), Value(data=4.0, grad=0.0))
    """

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, Value | Choice | float):
            return take(self, index)
        return super().__getitem__(index)
