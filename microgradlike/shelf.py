"""The numbers of many leaves in two arrays, for as long as nobody looks at them one by one.

A training step reads and writes thousands of parameters, and does nothing else with most of them.
One by one that takes longer than a compiled function and its gradient. So a ``Group``, which is a
list of leaves that are read and written together, puts them on a ``Shelf``: there a step is a few
operations on arrays. A leaf on a shelf looks like any other. Who reads its gradient, or many of
the numbers, gets them as ever, and all leaves have theirs for themselves again.
"""

from __future__ import annotations

import itertools
import operator
import threading
import weakref
from collections.abc import Sequence
from typing import SupportsIndex, TypeAlias

import numpy
import numpy.typing

from microgradlike import copying, leaving
from microgradlike.engine import Leaf, Value, written_soon

Array: TypeAlias = "numpy.typing.NDArray[numpy.float64]"

#: Fewer leaves than this are quickly read one by one.
FEWEST = 64

#: A group that is used as often as this, and is on no shelf, gets one. If its shelf did not last
#: that long, it waits so many times longer: somebody looks at its leaves all the time.
SOON, LONGER = 4, 8

#: Whoever writes what is on a shelf, or clears one, is alone.
_lock = threading.RLock()


# ---- On a shelf --------------------------------------------------------------------------------


class Shelf:
    """Numbers and gradients of leaves, side by side.

    Attributes:
        numbers, grads: of each leaf.
        looks: how many single numbers may still be read before it is cleared.
        is_used: whether all its leaves are on it, until it is cleared.
    """

    def __init__(self, leaves: Sequence[Value]) -> None:
        count = len(leaves)
        self.is_used = False
        self.numbers, self.grads = numpy.empty(count), numpy.empty(count)
        # A leaf that nobody else has any more is not kept alive by its shelf.
        self._leaves = list(map(weakref.ref, leaves))
        self.rest()
        numbers, grads = self.numbers, self.grads
        homes = list(zip(itertools.repeat(self), range(count)))
        for place, leaf in enumerate(leaves):
            # Nothing is called here: no other thread can write what has just been read.
            numbers[place] = leaf._number
            grads[place] = leaf._grad
            leaf._home = homes[place]  # type: ignore[attr-defined]
            leaf.__class__ = Shelved
        self.is_used = True

    def rest(self) -> None:
        """All leaves were used together, so single looks do not count so far."""
        self.looks = len(self._leaves) // 4

    def leaves(self) -> list[Value]:
        """Those that somebody still has."""
        return [leaf for reference in self._leaves if (leaf := reference()) is not None]

    def clear(self) -> None:
        """Give all leaves their numbers back; an interrupt leaves the rest of them here."""
        with _lock:
            self.is_used = False
            both = zip(self.numbers.tolist(), self.grads.tolist(), strict=True)
            for reference, (number, grad) in zip(self._leaves, both, strict=True):
                leaf = reference()
                home = getattr(leaf, "_home", None)
                if leaf is not None and home is not None and home[0] is self:
                    leaf.__class__ = Leaf
                    leaf._number = number
                    leaf._grad = grad
                    leaf._home = None  # type: ignore[attr-defined]


class Shelved(Leaf, has_own_operators=True):
    """A leaf whose number and gradient are on a shelf."""

    __slots__ = ()

    @property
    def _number(self) -> float:
        home = self._home
        if home is None:  # it has just been cleared
            return self._number
        shelf, place = home
        shelf.looks -= 1
        if shelf.looks < 0:
            shelf.clear()
            return self._number
        return float(shelf.numbers.item(place))

    @_number.setter
    def _number(self, number: float) -> None:
        with _lock:
            if self._home is None:
                self._number = number
            else:
                shelf, place = self._home
                shelf.numbers[place] = number

    # A gradient that is read is mostly about to be added to, and nobody else may come in between.
    @property
    def _grad(self) -> float:
        home = self._home
        if home is not None:
            home[0].clear()
        return self._grad

    @_grad.setter
    def _grad(self, grad: float) -> None:
        with _lock:
            if self._home is None:
                self._grad = grad
            else:
                shelf, place = self._home
                shelf.grads[place] = grad

    def __reduce_ex__(self, protocol: SupportsIndex) -> copying.Reduced:
        self._grad  # noqa: B018  (a copy is of a leaf that is on no shelf)
        return self.__reduce_ex__(protocol)

    def __copy__(self) -> Value:
        self._grad  # noqa: B018
        return self.__copy__()

    def __deepcopy__(self, memo: copying.Memo) -> Value:
        self._grad  # noqa: B018
        return self.__deepcopy__(memo)


Shelved.__name__ = Value.__name__


# ---- Groups ------------------------------------------------------------------------------------

_numbers, _grads = operator.attrgetter("data"), operator.attrgetter("grad")


class Group:
    """Values that are read and written together.

    Args:
        values: each once. The list is not copied: nobody may change it.

    >>> group = Group([Value(1.0), Value(2.0)])
    >>> group.add(numpy.array([0.5, 1.5]))
    >>> group.gradients()
    array([0.5, 1.5])
    """

    def __init__(self, values: list[Value]) -> None:
        self.values = values
        self._shelf: Shelf | None = None
        self._places: slice | numpy.typing.NDArray[numpy.intp] = slice(None)
        self._waits, self._uses = SOON, 0

    def __reduce__(self) -> tuple[type[Group], tuple[list[Value]]]:
        return Group, (self.values,)

    def is_of(self, values: Sequence[Value]) -> bool:
        """Whether these are its values."""
        return self.values == values  # two Values are equal if they are one

    def numbers(self) -> Array:
        """The numbers of all."""
        with _lock:
            if shelf := self._on_a_shelf():
                numbers: Array = shelf.numbers[self._places].copy()
                return numbers
            return numpy.array(list(map(_numbers, self.values)), float)

    def gradients(self) -> Array:
        """The gradients of all."""
        with _lock:
            if shelf := self._on_a_shelf():
                gradients: Array = shelf.grads[self._places].copy()
                return gradients
            return numpy.array(list(map(_grads, self.values)), float)

    def write(self, numbers: Array) -> None:
        """Give each its number."""
        with _lock:
            shelf = self._on_a_shelf()
            if shelf and not leaving.running and not written_soon():
                shelf.numbers[self._places] = numbers
                return
        for value, number in zip(self.values, numbers.tolist(), strict=True):
            value.data = number

    def write_gradients(self, gradients: Array | float) -> None:
        """Give each its gradient, or all the same."""
        with _lock:
            if shelf := self._on_a_shelf():
                shelf.grads[self._places] = gradients
                return
        every = numpy.broadcast_to(gradients, (len(self.values),)).tolist()
        for value, grad in zip(self.values, every, strict=True):
            value.grad = grad

    def add(self, gradients: Array) -> None:
        """Add to the gradients of the first ones, as ``backward()`` does."""
        with _lock:
            if shelf := self._on_a_shelf():
                if len(gradients) < len(self.values):
                    gradients = numpy.pad(gradients, (0, len(self.values) - len(gradients)))
                shelf.grads[self._places] += gradients
                return
        for value, error in zip(self.values, gradients.tolist(), strict=False):
            value.grad += error

    def _on_a_shelf(self) -> Shelf | None:
        """The shelf that all of them are on; None if there is none."""
        shelf = self._shelf
        if shelf is None or not shelf.is_used:
            if shelf is not None:
                self._shelf = None
                self._waits, self._uses = SOON if self._uses > SOON * LONGER else SOON * LONGER, 0
            if len(self.values) < FEWEST:
                return None
            if self._waits and Shelved not in set(map(type, self.values)):
                self._waits -= 1
                return None
            shelf = self._shelf = self._placed()
            if shelf is None:
                return None
        shelf.rest()
        self._uses += 1
        return shelf

    def _placed(self) -> Shelf | None:
        """A shelf with all of them, and whatever shared a shelf with one of them before."""
        kinds = set(map(type, self.values))
        if not kinds <= {Leaf, Shelved} or any(value.is_result for value in self.values):
            return None  # a class of the user's keeps what it has
        homes = [getattr(value, "_home", None) for value in self.values]
        shelves: set[Shelf] = {home[0] for home in homes if home is not None}
        if kinds == {Shelved} and len(shelves) == 1 and all(one.is_used for one in shelves):
            (shelf,) = shelves
        else:
            others = [leaf for one in shelves for leaf in one.leaves()]
            for one in shelves:
                one.clear()
            shelf = Shelf(list(dict.fromkeys([*self.values, *others])))
        places = [value._home[1] for value in self.values]  # type: ignore[attr-defined]
        every = places == list(range(len(shelf.numbers)))
        self._places = slice(None) if every else numpy.array(places)
        return shelf
