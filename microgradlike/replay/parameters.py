"""The parameters of a compiled function: the Values that it closes over, and their numbers."""

from __future__ import annotations

import itertools
import operator
import sys
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy
import numpy.typing

from microgradlike.compiler.arrays import Floats
from microgradlike.compiler.tape import TracingError
from microgradlike.engine import Value
from microgradlike.inputs import describe
from microgradlike.replay.watch import name_within
from microgradlike.shelf import Group

if TYPE_CHECKING:
    from microgradlike.replay.branches import Path


class Parameters:
    """The Values that a function closes over, in the order in which its paths were met.

    Args:
        listed: all that there may be, in the order that is wanted, if that was given.

    Attributes:
        values: all of them.
        places: the place of each among them.
    """

    def __init__(self, listed: Sequence[Value] | None = None) -> None:
        self.values: list[Value] = list(listed or ())
        self.places = {parameter: place for place, parameter in enumerate(self.values)}
        self._is_listed = listed is not None
        # How many references of ours each has that was met; a list that was given has one more.
        self._held, self._own = [0] * len(self.values), _HELD + self._is_listed
        self.group = Group(self.values)
        self._seen: frozenset[Value] | None = None
        self._unseen: list[int] = []

    def meet(self, path: Path, f: Callable[..., object]) -> None:
        """Take in those of a path that are new, and tell the path where its own are.

        Raises:
            TracingError: the function ``f`` uses one that is not in the list that was given.
        """
        new = [p for p in dict.fromkeys(path.parameters()) if p not in self.places]
        if new and self._is_listed:
            name = new[0].label or name_within(f, new[0]) or "a Value without a name"
            raise TracingError(
                f"the function uses {name}, a parameter that is not in the list that "
                "compile(f, parameters=...) was given; add it to that list, or leave the list out"
            )
        self.add(new)
        path.find(self.places)
        for place in path.places[path.used].tolist():
            self._held[place] = (self._held[place] or self._own) + 1  # the tape holds it

    def add(self, new: Sequence[Value]) -> None:
        """Take in those that were met, by a path of this function or by one of a copy elsewhere."""
        self.places.update(zip(new, itertools.count(len(self.values))))
        self.values += new
        if new:
            self.group, self._seen = Group(self.values), None
        self._held += [0] * len(new)

    def leave(self, path: Path) -> None:
        """The tape of a path is used no more; what it holds stays known."""
        for place in path.places[path.used].tolist():
            self._held[place] -= 1
        path.tape.parameters = []  # its own cycles would hold them for a while

    def numbers(self, seen: frozenset[Value] = frozenset()) -> Floats:
        """Those that they have now.

        Args:
            seen: those of which it would be noticed if they were replaced.

        Raises:
            ValueError: nobody else has one of them any more.
        """
        if not self.values:
            return numpy.empty(0)
        if seen is not self._seen:  # to count how many references each has takes a while
            self._seen = seen
            self._unseen = [place for place, v in enumerate(self.values) if v not in seen]
        counts = map(sys.getrefcount, map(self.values.__getitem__, self._unseen))
        if any(map(operator.le, counts, map(self._held.__getitem__, self._unseen))):
            raise ValueError(
                "nobody but this compiled function has one of its parameters any more, so it was "
                "replaced by another Value; change parameters by p.data = ..., or call retrace()"
            )
        return self.group.numbers()


def _held() -> int:
    """How many references a Value has that only a compiled function holds."""
    parameters = [Value(0.0)]
    places = {parameters[0]: 0}
    return min(map(sys.getrefcount, parameters)) * len(places)


_HELD = _held()


def listed_parameters(parameters: object) -> list[Value]:
    """The parameters that a caller has listed, each once."""
    wanted = "parameters is a list of Values, such as model.parameters(), but got"
    if isinstance(parameters, Value) or not isinstance(parameters, Iterable):
        raise TypeError(f"{wanted} {describe(parameters)}")
    found = list(dict.fromkeys(parameters))
    for parameter in found:
        if not isinstance(parameter, Value):
            raise TypeError(f"{wanted} one with {describe(parameter)}")
        if parameter.is_result:
            raise ValueError(
                f"a result of {parameter.op or 'an operation'} is no parameter: list the Values "
                "that you made, such as model.parameters()"
            )
    return found


# ---- Numbers of parameters, for a while --------------------------------------------------------

#: A function is traced with numbers of its parameters that they do not have for anybody else.
_TRACING = threading.RLock()


@contextmanager
def holding(parameters: Sequence[Value], numbers: Sequence[float] | None) -> Iterator[None]:
    """Within this block parameters have these numbers; None for those that they have.

    One thread at a time: others that trace wait, and others that read ``p.data`` see the numbers.
    """
    with _TRACING:
        if numbers is None:
            yield
            return
        before = list(map(_number, parameters))
        try:
            _write(parameters, before, numbers)
            yield
        finally:
            _write(parameters, list(map(_number, parameters)), before)


_number = operator.attrgetter("_number")  # of many parameters: .data takes three times as long


def _write(parameters: Sequence[Value], now: Sequence[float], wanted: Sequence[float]) -> None:
    """Give the first parameters the numbers that are wanted, unless they have them now."""
    if array("d", now[: len(wanted)]).tobytes() != array("d", wanted).tobytes():  # -0.0 is not 0.0
        for parameter, number in zip(parameters, wanted, strict=False):
            parameter.data = number
