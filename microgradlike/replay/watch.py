"""Asks at each call whether names and lists that a compiled function has read are the same ones.

A compiled function is as it was traced, but names may be bound anew, and lists may grow. To ask at
each call whether things are the same ones is cheap; only if one is not, somebody has to find out
whether that matters.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import operator
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, NamedTuple

import numpy

from microgradlike.compiler.choosing import names_in
from microgradlike.compiler.tape import Traced
from microgradlike.engine import Value
from microgradlike.nn import Module, Structure
from microgradlike.reach import Own, is_theirs, is_users

#: So many Values are compared at each call; more would take longer than the call.
_MOST = 64

#: Of so many lists the lengths are; of so many where the numbers of the parameters are given.
_NEAR, _NEAREST = 16, 8

#: So many objects are looked into, and none of these kinds.
_FAR = 1000
_PLAIN = (
    *(str, bytes, int, float, complex, type(None), numpy.generic, Own),
    *(numpy.random.Generator, random.Random),
)

#: What holds several things; that of it which can be changed; and that which can grow.
_CONTAINERS = (list, tuple, set, frozenset, deque, Mapping, numpy.ndarray)
_CHANGING = (list, set, deque, Mapping, numpy.ndarray)
_GROWING = _CHANGING[:-1]

#: The name of the function itself.
_ROOT = "the function"

#: What is not there any more raises one of these.
_GONE = (LookupError, AttributeError, TypeError, ValueError)


class Watch:
    """The places in which a function, or what it calls, finds its parameters.

    Those near it are compared one by one; modules, lists and dicts of many as a whole. Of other
    large models only the lengths of lists are, and whether anybody else still has them.

    Args:
        f: the function.
        parameters: the Values that it uses.

    Attributes:
        sees: the Values in what is compared as a whole: if one was replaced, that is noticed.

    >>> weights = [Value(1.0), Value(2.0)]
    >>> watch = Watch(lambda x: sum(w * x for w in weights), weights)
    >>> weights.append(Value(3.0))
    >>> watch.moved()
    'weights'
    """

    def __init__(self, f: object, parameters: Container[Value]) -> None:
        steps = list(_walk(f, _MOST))
        self._whole = _whole(steps, parameters)
        whole = {id(found) for _, found, _ in self._whole}
        leads = whole | {id(step.found) for step in steps if step.leads_to(parameters)}
        known = 0
        while len(leads) > known:
            known = len(leads)
            leads |= {id(step.up.found) for step in steps if step.up and id(step.found) in leads}
        self._reads: list[tuple[str, Callable[[], object], object]] = []
        self._rows: list[tuple[_Sized, Callable[[], Iterable[object]], list[object]]] = []
        self._sized: list[_Sized] = []
        self._near: list[tuple[Callable[[], object] | None, _Sized]] = []
        for step in steps:
            name, read, found = step.name, step.read, step.found
            if id(found) in leads and read is not None:
                self._reads.append((name, read, found))
            if step.is_alias or isinstance(found, Value):
                continue
            sized: list[_Sized] = []
            if step.is_large or (isinstance(found, _GROWING) and id(found) not in leads):
                sized = [_Sized(name, c, step.is_large, id(found)) for c in _growing(found)]
                self._sized += sized
            elif isinstance(found, _CONTAINERS) and id(found) in leads:
                sized, contents = [_Sized(name, found, False)], _contents(found)
                if isinstance(found, _CHANGING):
                    self._rows.append((sized[0], contents, list(contents())))
            self._near += [(read if each.found is found else None, each) for each in sized]
        del self._sized[_NEAR:], self._near[_NEAREST:]
        self.sees = frozenset(v for *_, parts in self._whole for v in parts.group.values)
        large = [
            each
            for each in self._sized
            if each.is_large and each.of not in whole and not _is_plain(each.found)
        ]
        self._inner, self._large = [each.found for each in large], large[-1].name if large else ""

    def moved(self) -> str:
        """The name of what is another thing by now, or holds others; "" if nothing is.

        That plain numbers are others, or more, does not count: they are as they were traced.
        """
        for name, read, found in self._reads:
            try:
                now = read()
            except _GONE:
                return name
            if now is not found and not (_is_plain(now) and _is_plain(found)):
                return name
        for sized, contents, before in self._rows:
            same = len(sized.found) == sized.length
            if not same or not all(map(operator.is_, contents(), before)):
                if not _differ_in_numbers(before, contents()):
                    return sized.name
                before[:], sized.length = contents(), len(sized.found)
        for sized in self._sized:
            if len(sized.found) != sized.length:
                if not sized.has_other_numbers():
                    return sized.name
                sized.length = len(sized.found)
        for place, (name, found, structure) in enumerate(self._whole):
            if not structure.is_same():
                again = Structure(found)
                if again.group.values != structure.group.values:
                    return name
                self._whole[place] = name, found, again
        counts = map(sys.getrefcount, self._inner)
        if self._inner and any(map(operator.le, counts, itertools.repeat(_OURS))):
            return self._large  # nobody else has one of its lists any more
        return ""

    def may_have_moved(self) -> bool:
        """Whether one of the lists that are nearest is another one, or has another length.

        It is a question for where the numbers of the parameters are given, and calls are short.
        """
        try:
            for read, sized in self._near:
                found = sized.found
                if len(found) != sized.length or (read is not None and read() is not found):
                    return True
        except _GONE:
            return True
        return False


class _Sized:
    """A list, dict or set, and its length; large, if it is of many Values or a model of many."""

    __slots__ = ("found", "is_large", "length", "name", "of")

    def __init__(self, name: str, found: Sized, is_large: bool, of: int = 0) -> None:
        self.name, self.found, self.length, self.is_large = name, found, len(found), is_large
        self.of = of  # the id of the large model that it is in

    def has_other_numbers(self) -> bool:
        """Whether it got, or lost, nothing but plain numbers."""
        if len(self.found) < self.length:
            return not self.is_large
        start = 0 if isinstance(self.found, set) else self.length
        return all(map(_is_plain, itertools.islice(_contents(self.found)(), start, None)))


def within_reach(f: object) -> Iterator[Value]:
    """The Values that a function finds outside of it, also the parameters of large models."""
    return (step.found for step in _walk(f, sys.maxsize) if isinstance(step.found, Value))


def modules_within(f: object) -> set[str]:
    """The names of the modules with functions and classes of the user's that a function reaches."""
    found = (step.found for step in _walk(f, sys.maxsize))
    return {
        v.__module__ for v in found if isinstance(v, types.FunctionType | type) and is_theirs(v)
    }


def name_within(f: object, value: Value) -> str:
    """By which name a function finds a Value outside of it; "" if nobody knows."""
    return next((step.name for step in _walk(f, sys.maxsize) if step.found is value), "")


# ---- The walk ----------------------------------------------------------------------------------


class _Step(NamedTuple):
    """Something that a function may find."""

    name: str
    read: Callable[[], object] | None
    """What finds it there; an item of a list has none, as the list is compared as a whole."""
    found: object
    up: _Step | None
    """Where it is found."""
    is_large: bool
    """Whether there is more in it than can be compared one by one."""
    is_alias: bool
    """Whether it was found before, in another place."""

    @property
    def is_inside(self) -> bool:
        """Whether it is found in a module or container."""
        return self.up is not None and isinstance(self.up.found, (*_PARTS, tuple))

    def leads_to(self, parameters: Container[Value]) -> bool:
        if isinstance(self.found, Value):
            return self.found in parameters
        return self.is_large or (isinstance(self.found, _CHANGING) and not len(self.found))


def _whole(
    steps: Sequence[_Step], parameters: Container[Value]
) -> list[tuple[str, object, Structure]]:
    """The modules, lists and dicts that are compared as a whole: their names, and what they hold.

    They are those in which not all Values could be looked at one by one.
    """
    found: list[tuple[str, object, Structure]] = []
    all_were_met = sum(isinstance(step.found, Value) for step in steps) < _MOST
    for step in steps:
        if step.is_alias or not isinstance(step.found, _PARTS):
            continue
        if step.is_large or not (all_were_met or step.is_inside):
            parts = Structure(step.found)
            of_parameters = any(value in parameters for value in parts.group.values)
            if of_parameters and parts.is_mostly_parameters:
                found.append((step.name, step.found, parts))
    return found


#: What a ``Structure`` tells of.
_PARTS = (Module, list, dict)


def _walk(f: object, most: int) -> Iterator[_Step]:
    """What a function, or what it calls, may find, those near it first; so many Values at most.

    Large models and lists of many Values are not looked into.
    """
    names: set[str] = set()
    spaces: list[_Step] = []  # where names are looked up
    seen: dict[int, object] = {}
    left: deque[tuple[str, Callable[[], object] | None, object, _Step | None]] = deque()
    left.append((_ROOT, None, f, None))
    count = 0
    while left and count < most and len(seen) < _FAR:
        name, read, found, up = left.popleft()
        if isinstance(found, Value):
            if not isinstance(found, Traced):
                count += 1
                yield _Step(name, read, found, up, False, False)
        elif not isinstance(found, _PLAIN):
            is_alias = id(found) in seen
            step = _Step(name, read, found, up, _is_large(found, most), is_alias)
            yield step
            if is_alias:
                continue
            seen[id(found)] = found
            if isinstance(found, types.FunctionType):
                new = _names(found) - names
                names |= new
                left += [(*place, space) for space in spaces for place in _places(space, new)]
            elif isinstance(found, types.ModuleType | type) and is_theirs(found):
                spaces.append(step)
            if isinstance(found, _CONTAINERS):
                left += [(inner, None, item, step) for inner, item in _items(name, found, most)]
            elif not step.is_large:
                left += [(*place, step) for place in _places(step, names)]


def _places(step: _Step, names: set[str]) -> Iterator[tuple[str, Callable[[], object], object]]:
    """The places within an object where there is something."""
    for name, read in _inside(step.name, step.found, names):
        with contextlib.suppress(*_GONE):
            yield name, read, read()


def _inside(
    name: str, found: object, names: set[str]
) -> Iterator[tuple[str, Callable[[], object]]]:
    """The places within an object that a function may look into, and what reads them."""

    def at(attribute: str) -> Callable[[], object]:
        return functools.partial(operator.attrgetter(attribute), found)

    def dotted(attribute: str) -> str:
        return attribute if name == _ROOT else f"{name}.{attribute}"

    if isinstance(found, types.FunctionType):
        for free, cell in zip(found.__code__.co_freevars, found.__closure__ or (), strict=True):
            yield free, functools.partial(operator.attrgetter("cell_contents"), cell)
        for known in sorted(_names(found) & found.__globals__.keys()):
            yield known, functools.partial(operator.getitem, found.__globals__, known)
        yield name, at("__defaults__")
        yield name, at("__kwdefaults__")
    elif isinstance(found, types.MethodType):
        yield name, at("__func__")
        yield name, at("__self__")
    elif isinstance(found, functools.partial):
        yield name, at("func")
        for place in range(len(found.args)):
            yield dotted(f"args[{place}]"), functools.partial(_argument, found, place)
        yield name, at("keywords")
    elif isinstance(found, types.ModuleType | type):
        within = found.__mro__ if isinstance(found, type) else (found,)
        there = {known for space in within if is_theirs(space) for known in vars(space)}
        for known in sorted(names & there):
            yield dotted(known), at(known)
    elif is_users(type(found)):
        for known in _attributes(found):
            yield dotted(known), at(known)
        yield name, functools.partial(type, found)
        if callable(found):
            yield name, functools.partial(lambda v: type(v).__call__, found)
    elif hasattr(found, "__wrapped__"):
        yield name, at("__wrapped__")


def _argument(found: functools.partial[object], place: int) -> object:
    return found.args[place]


def _names(f: types.FunctionType) -> set[str]:
    """The names that a function looks up, if it is none of ours or of Python's own."""
    return names_in(f.__code__) if is_theirs(f) else set()


def _items(name: str, found: Sized, most: int) -> Iterator[tuple[str, object]]:
    """What a container holds, with names, if it is not too much."""
    if _size(found) <= most:
        keys: Iterable[object] = found if isinstance(found, Mapping) else itertools.count()
        for key, item in zip(keys, _contents(found)(), strict=False):
            yield f"{name}[{key!r}]", item


def _size(found: Sized) -> int:
    return int(found.size) if isinstance(found, numpy.ndarray) else len(found)


def _contents(found: Any) -> Callable[[], Iterable[object]]:
    """What tells what a container holds by now."""
    if isinstance(found, Mapping):
        return found.values
    if isinstance(found, numpy.ndarray):
        return lambda: found.ravel().tolist() if found.dtype == object else ()
    return functools.partial(iter, found)


def _growing(outer: object) -> list[Sized]:
    """A list, dict or set itself; those in a large model, and in its lists, those near it first."""
    containers: list[Sized] = []
    seen: dict[int, object] = {}
    left = deque([outer])
    while left and len(containers) < _NEAR:
        found = left.popleft()
        if isinstance(found, (Value, *_PLAIN)) or id(found) in seen:
            continue
        seen[id(found)] = found
        if isinstance(found, _CONTAINERS):
            if isinstance(found, _GROWING):
                containers.append(found)
            if found is not outer:
                left += _contents(found)()
        elif is_users(type(found)):
            left += [getattr(found, known, None) for known in _attributes(found)]
    return containers


def _is_large(found: Any, most: int) -> bool:
    """Whether it is a model, or a container, of more Values than can be compared one by one."""
    if isinstance(found, _CONTAINERS):
        first = itertools.islice(_contents(found)(), _FIRST)
        return _size(found) > most and not all(map(_is_plain, first))
    if most == sys.maxsize:
        return False
    try:
        if isinstance(found, Module) and type(found).parameters is Module.parameters:
            return len(list(itertools.islice(found.named_parameters(), most + 1))) > most
        return len(list(found.parameters())) > most
    except Exception:  # it has none, or something else has this name
        return False


#: So many items tell what a long list is of.
_FIRST = 8


def _is_plain(thing: object) -> bool:
    """Whether there are no Values in it that a function could use: results are of no use to it."""
    seen: dict[int, object] = {}
    left = [thing]
    while left:
        found = left.pop()
        if isinstance(found, _CONTAINERS):
            if id(found) not in seen:
                seen[id(found)] = found
                left += _contents(found)()
        elif not isinstance(found, (*_PLAIN, Traced)) and not getattr(found, "op", ""):
            return False
    return True


def _differ_in_numbers(before: Iterable[object], now: Iterable[object]) -> bool:
    """Whether all else in two lists are the same things."""
    old, new = ([item for item in items if not _is_plain(item)] for items in (before, now))
    return len(old) == len(new) and all(map(operator.is_, old, new))


def _attributes(found: object) -> list[str]:
    """The attributes in which a function may find something; those of this package are known."""
    slots = [s for kind in type(found).__mro__ for s in getattr(kind, "__slots__", ())]
    names = [*getattr(found, "__dict__", ()), *(s for s in slots if not s.startswith("__"))]
    ours = str(type(found).__module__).startswith("microgradlike.")  # Cython's has no text
    return [name for name in names if not (ours and name.startswith("_"))]


def _ours() -> int:
    """How many references a list has that nobody but a Watch holds."""
    sized = [_Sized("", [], True)]
    inner = [each.found for each in sized]
    return min(map(sys.getrefcount, inner))


_OURS = _ours()
