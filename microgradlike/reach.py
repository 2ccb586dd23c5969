"""What a function may change outside of itself, so that it can be put back; and what it reads.

A model that is traced may keep what it computed, which is then of no use to anybody: ``Held`` puts
back what was there, and says what changed.
"""

from __future__ import annotations

import functools
import operator
import os
import pickle
import random
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy
import numpy.typing

from microgradlike.compiler.choosing import names_in
from microgradlike.engine import Choice, Value, recorder_of
from microgradlike.nn import Module

_HERE = os.path.dirname(__file__) + os.sep
_FOREIGN = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), _HERE)
_NUMBERS = (bool, int, float, complex, str, bytes, type(None), numpy.number)

#: Modules whose functions know no Value of the user.
_HARMLESS = ("math", "cmath", "operator", "numpy", "random", "microgradlike")
_BY_NAME = {"eval", "exec", "globals", "vars", "locals", "__import__", "getattr"}


def reads_no_value(f: object) -> bool:
    """Whether a function surely reads no Value beside its arguments, and nothing that has one.

    It is told by what it finds outside of itself: numbers, and functions of which the same holds.

    >>> from math import cos
    >>> reads_no_value(lambda step: 0.1 * cos(step))
    True
    >>> model = Module()
    >>> reads_no_value(lambda step: len(model.parameters()))
    False
    """
    seen: dict[int, object] = {}
    waiting = [f]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, _NUMBERS):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, functools.partial):
            waiting += [thing.func, thing.args, thing.keywords]
        elif isinstance(thing, types.FunctionType):
            if is_ours(thing):
                waiting += [cell.cell_contents for cell in thing.__closure__ or ()]
                continue
            if not _BY_NAME.isdisjoint(names_in(thing.__code__)):
                return False
            waiting += [found for _, found in _found_by(thing)]
        elif isinstance(thing, list | tuple | set | frozenset):
            waiting += thing
        elif isinstance(thing, dict):
            waiting += thing.values()
        elif isinstance(thing, types.ModuleType | type | types.BuiltinFunctionType | numpy.ufunc):
            where = str(getattr(thing, "__module__", None) or thing.__name__)
            if where.partition(".")[0] not in (*_HARMLESS, "builtins"):
                return False
        elif not (isinstance(thing, numpy.ndarray) and thing.dtype != object):
            return False
    return True


def is_ours(f: object) -> bool:
    """Whether a function is written in this package.

    >>> from microgradlike import losses
    >>> is_ours(losses.mse), is_ours(print)
    (True, False)
    """
    while isinstance(f, functools.partial):
        f = f.func
    return isinstance(f, types.FunctionType) and f.__code__.co_filename.startswith(_HERE)


def _found_by(f: types.FunctionType) -> Iterator[tuple[str, object]]:
    """What a function finds outside of itself, by name."""
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        if cell != _EMPTY:
            yield name, cell.cell_contents
    for name in sorted(names_in(f.__code__)):
        if name in f.__globals__:
            yield name, f.__globals__[name]
    yield "a default", f.__defaults__ or ()
    yield "a default", f.__kwdefaults__ or {}


_EMPTY = types.CellType()

Generator: TypeAlias = random.Random | numpy.random.Generator | numpy.random.RandomState

#: What is known by the name of a module.
Named: TypeAlias = types.FunctionType | types.ModuleType | type

#: What holds things that can be put back, and what it holds: by name, in its order, or as bytes.
Holder: TypeAlias = "_Attributes | _Closure | _Names | _Numbers | Generator | _Container"
Contents: TypeAlias = dict[Any, object] | list[object] | bytes
_Container: TypeAlias = (
    "dict[Any, Any] | list[Any] | set[Any] | deque[Any] | bytearray | numpy.typing.NDArray[Any]"
)


# ---- What is kept ------------------------------------------------------------------------------


class Own:
    """What this package keeps for itself: no function of the user's finds Values there."""


class Held(Own):
    """What functions and models hold at a moment, so that it can be put back.

    That is what they may change: attributes, lists, arrays, names that they bind, and generators of
    random numbers, also those that everybody shares. Out of sight are iterators, open files, and
    arrays of more than a million numbers.

    Args:
        roots: functions and models.
        numbers: whether the numbers and gradients of the Values in reach belong to it.

    >>> model = Module()
    >>> model.calls = 0
    >>> held = Held([model])
    >>> model.calls = 1
    >>> held.put_back()
    (False, "changes 'calls'")
    >>> model.calls
    0
    """

    def __init__(self, roots: Iterable[object], numbers: bool = False) -> None:
        self.before: list[tuple[str, Holder, Contents]] = []
        self.values: dict[Value, None] = {}
        names: set[str] = set()  # in the text of all functions
        spaces: list[tuple[str, _Names]] = []  # modules and classes, where they may look for names
        seen: dict[int, object] = {}
        waiting: list[tuple[str, object]] = [("", thing) for thing in (*_SHARED, *roots)]
        while waiting:
            name, thing = waiting.pop()
            if id(thing) not in seen and not isinstance(thing, _LEAVES):
                seen[id(thing)] = thing
                if isinstance(thing, types.FunctionType):
                    names |= names_in(thing.__code__)
                if isinstance(thing, types.ModuleType | type) and is_theirs(thing):
                    spaces.append((name, _Names(thing)))
                for holder in _holders(thing):
                    waiting += self._hold(name, holder)
                waiting += [(name, found) for found in _led_to(thing)]
            if not waiting:
                for name, space in spaces:
                    if found := space.more(names):
                        waiting += self._hold(name, found)
        if numbers:
            self._hold("", _Numbers(list(self.values)))

    def _hold(self, name: str, holder: Holder) -> list[tuple[str, object]]:
        """Note what it holds; those of its things that may hold something, too, by name."""
        contents = _contents(holder)
        self.before.append((name, holder, contents))
        if not isinstance(contents, dict | list):
            return []
        things = list(contents.values()) if isinstance(contents, dict) else contents
        kinds = set(map(type, things))  # quick: lists of numbers and of parameters are long
        if any(issubclass(kind, Value) for kind in kinds):
            found = (v for v in things if isinstance(v, Value) and not recorder_of(v))
            self.values.update(dict.fromkeys(found))
        if all(issubclass(kind, _LEAVES) for kind in kinds):
            return []
        return [(_named(name, holder, key), thing) for key, thing in _by_key(contents).items()]

    def changed(self) -> bool:
        """Whether something is another thing by now."""
        return any(not _same(before, _contents(holder)) for _, holder, before in self.before)

    def put_back(self) -> tuple[bool, str]:
        """Make all as it was; what was done, as ``done`` tells it."""
        found = self.done()
        for _, holder, before in self.before:
            if not _same(before, _contents(holder)):
                _fill(holder, before)
        return found

    def done(self) -> tuple[bool, str]:
        """What was done since then.

        Returns:
            Whether something was replaced by a result that was computed; and what was done beside
            that, in words, if there was something.
        """
        keeps, done = False, ""
        for name, holder, before in self.before:
            now = _contents(holder)
            if _same(before, now):
                continue
            if isinstance(holder, _GENERATORS):
                done = done or "draws random numbers"
            elif isinstance(holder, _Numbers):
                done = done or "changes the number or the gradient of a Value"
            elif isinstance(before, bytes):
                done = done or f"changes {name!r}"
            else:
                for key, old, new in _differences(before, now):
                    known = old is not _EMPTY or isinstance(holder, _NAMED) or isinstance(key, str)
                    if known and _is_result(new):
                        keeps = True
                    else:
                        done = done or f"changes {_named(name, holder, key)!r}"
        return keeps, done


# ---- What can be put back ----------------------------------------------------------------------


class _Attributes:
    """Those of an object."""

    def __init__(self, thing: object) -> None:
        kind: Any = type(thing)
        self.thing, self.slots = thing, _slots(kind)

    def contents(self) -> dict[Any, object]:
        in_slots = {name: getattr(self.thing, name, _EMPTY) for name in self.slots}
        return {**_dict_of(self.thing), **in_slots}

    def fill(self, contents: dict[Any, object]) -> None:
        found = _dict_of(self.thing)
        if found or contents.keys() - self.slots:
            found.clear()
            found.update({k: v for k, v in contents.items() if k not in self.slots})
        for name, slot in self.slots.items():
            if contents[name] is not _EMPTY:
                slot.__set__(self.thing, contents[name])
            elif hasattr(self.thing, name):
                slot.__delete__(self.thing)


def _dict_of(thing: object) -> dict[str, object]:
    """The attributes of an object; where somebody else's ``__dict__`` is none, there are none."""
    found = getattr(thing, "__dict__", None)
    return found if isinstance(found, dict) else {}


@functools.lru_cache(maxsize=1024)
def _slots(kind: type) -> dict[str, types.MemberDescriptorType]:
    """The attributes that objects of a class have beside those in a dict."""
    return {
        name: slot
        for one in kind.__mro__
        for name, slot in (vars(one).items() if is_theirs(one) else ())
        if isinstance(slot, types.MemberDescriptorType)
    }


class _Closure:
    """The names that a function shares with those around it."""

    def __init__(self, f: types.FunctionType) -> None:
        self.cells = dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=True))

    def contents(self) -> dict[Any, object]:
        bound = {name: cell for name, cell in self.cells.items() if cell != _EMPTY}
        return {name: cell.cell_contents for name, cell in bound.items()}

    def fill(self, contents: dict[Any, object]) -> None:
        for name, thing in contents.items():
            self.cells[name].cell_contents = thing


class _Names:
    """Some names of a class, of a module, or of the file of a function."""

    def __init__(
        self, space: types.ModuleType | type | dict[str, object], names: Iterable[str] = ()
    ) -> None:
        self.space, self.names = space, set(names)

    def more(self, names: set[str]) -> _Names | None:
        """Those of these names that are new to it, if the space knows any; they are not by now."""
        found = (names & vars(self.space).keys()) - self.names
        self.names |= found
        return _Names(self.space, found) if found else None

    def contents(self) -> dict[Any, object]:
        known = self.space if isinstance(self.space, dict) else vars(self.space)
        return {name: known[name] for name in self.names if name in known}

    def fill(self, contents: dict[Any, object]) -> None:
        for name, thing in contents.items():
            if isinstance(self.space, dict):
                self.space[name] = thing
            else:
                setattr(self.space, name, thing)


class _Numbers:
    """The numbers and gradients of Values."""

    def __init__(self, values: list[Value]) -> None:
        self.values = values

    def contents(self) -> bytes:
        numbers = map(operator.attrgetter("_number"), self.values)  # quick: there may be many
        grads = map(operator.attrgetter("_grad"), self.values)
        return numpy.array([*numbers, *grads], float).tobytes()

    def fill(self, contents: bytes) -> None:
        found = numpy.frombuffer(contents).reshape(2, -1).tolist()
        for value, data, grad in zip(self.values, *found, strict=True):
            value.data, value.grad = data, grad


_NAMED = (_Attributes, _Closure, _Names)
_CONTAINERS = (dict, list, set, deque, bytearray)
_GENERATORS = (random.Random, numpy.random.Generator, numpy.random.RandomState)
_LEAVES = (*_NUMBERS, Value, types.BuiltinFunctionType, random.SystemRandom, Own)

#: The generators that everybody shares.
_SHARED = (random.getstate.__self__, numpy.random.get_state.__self__)  # type: ignore[attr-defined]

#: More numbers in an array are data, not what a function keeps.
_MANY = 2**20


def _holders(thing: object) -> Iterator[Holder]:
    """That of which something consists, and which can be changed."""
    if isinstance(thing, (*_CONTAINERS, *_GENERATORS)):
        yield thing
    elif isinstance(thing, numpy.ndarray):
        few = thing.flags.writeable and thing.size <= _MANY
        if thing.dtype == object or (few and not thing.dtype.hasobject):
            yield thing
    elif isinstance(thing, types.FunctionType) and not _is_foreign(thing):
        yield _Closure(thing)
        yield _Names(thing.__globals__, names_in(thing.__code__))
        yield _Attributes(thing)
    if isinstance(thing, Module) or is_theirs(type(thing)):
        yield _Attributes(thing)


def _led_to(thing: object) -> Iterable[object]:
    """What else is used where something is used."""
    if isinstance(thing, tuple | frozenset):
        return thing
    if isinstance(thing, functools.partial):
        return thing.func, thing.args, thing.keywords
    if isinstance(thing, types.MethodType):
        return thing.__self__, thing.__func__
    if isinstance(thing, types.FunctionType):
        return () if _is_foreign(thing) else (thing.__defaults__, thing.__kwdefaults__)
    if isinstance(thing, classmethod | staticmethod):
        return (thing.__func__,)
    if isinstance(thing, property):
        return thing.fget, thing.fset
    if isinstance(thing, type):
        return thing.__bases__ if is_theirs(thing) else ()
    wrapped = _dict_of(thing).get("__wrapped__")
    return type(thing), getattr(type(thing), "__call__", None), wrapped  # noqa: B004


def _is_foreign(f: types.FunctionType) -> bool:
    """Whether a function is a library's, which keeps nothing of the user's."""
    return f.__code__.co_filename.startswith(_FOREIGN)


_LIBRARIES = sys.stdlib_module_names | {"numpy", "scipy"}


def is_users(found: Named) -> bool:
    """Whether a module or class may hold what the user changes: it is none of Python's own."""
    return _package(found) not in _LIBRARIES or found is types.SimpleNamespace


def is_theirs(found: Named) -> bool:
    """Whether it, or a function, is also none of ours, which hold nothing of what users change."""
    if isinstance(found, types.FunctionType):
        return is_users(found) and not is_ours(found)
    return is_users(found) and _package(found) != _package(Own)


def _package(found: Named) -> str:
    if isinstance(found, types.FunctionType):
        module = found.__globals__.get("__name__")  # a decorator may have written another one
    else:
        module = found.__name__ if isinstance(found, types.ModuleType) else found.__module__
    return str(module).partition(".")[0]


def _contents(holder: Holder) -> Contents:
    """What it holds: by name, in its order, or as bytes."""
    if isinstance(holder, (*_NAMED, _Numbers)):
        return holder.contents()
    if isinstance(holder, _GENERATORS):
        return pickle.dumps(_state_of(holder))
    if isinstance(holder, numpy.ndarray):
        return list(holder.flat) if holder.dtype == object else holder.tobytes()
    return dict(holder) if isinstance(holder, dict) else list(holder)


def _fill(holder: Holder, contents: Any) -> None:
    """Let it hold just this."""
    if isinstance(holder, (*_NAMED, _Numbers)):
        holder.fill(contents)
    elif isinstance(holder, random.Random):
        holder.setstate(pickle.loads(contents))
    elif isinstance(holder, numpy.random.RandomState):
        holder.set_state(pickle.loads(contents))
    elif isinstance(holder, numpy.random.Generator):
        holder.bit_generator.state = pickle.loads(contents)
    elif isinstance(holder, numpy.ndarray):
        if isinstance(contents, bytes):
            holder[...] = numpy.frombuffer(contents, holder.dtype).reshape(holder.shape)
        else:
            for place, thing in enumerate(contents):
                holder.flat[place] = thing
    else:
        holder.clear()
        (holder.update if isinstance(holder, dict | set) else holder.extend)(contents)


def _state_of(generator: Generator) -> object:
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, numpy.random.RandomState):
        return generator.get_state()
    return generator.bit_generator.state


# ---- What has changed --------------------------------------------------------------------------


def _same(before: Contents, now: Any) -> bool:
    """Whether a holder has the very same things."""
    if isinstance(before, bytes):
        return bool(before == now)
    if isinstance(before, dict):
        return before.keys() == now.keys() and all(now[key] is before[key] for key in now)
    return len(before) == len(now) and all(map(operator.is_, before, now))


def _differences(before: Contents, now: Contents) -> Iterator[tuple[object, object, object]]:
    """What differs: its name or place, the old thing, and the new one."""
    if isinstance(before, list) and len(before) != len(now):
        yield None, _EMPTY, now
        return
    before, now = _by_key(before), _by_key(now)
    for key in before.keys() | now.keys():
        old, new = before.get(key, _EMPTY), now.get(key, _EMPTY)
        if not (new is old or _alike(old, new)):
            yield key, old, new


def _by_key(contents: Contents) -> dict[Any, object]:
    return contents if isinstance(contents, dict) else dict(enumerate(contents))


def _named(name: str, holder: Holder, key: object) -> str:
    """What holds something, by a name that the user knows."""
    if isinstance(holder, _Attributes | _Names) and name:
        return f"{name}.{key}"
    return str(key) if isinstance(holder, _NAMED) else name


def _alike(old: Any, new: Any) -> bool:
    """Whether two things are the same plain numbers, or lists of them."""
    if type(old) is not type(new):
        return False
    if isinstance(old, _NUMBERS):
        return bool(old == new)
    if isinstance(old, list | tuple):
        return len(old) == len(new) and all(map(_alike, old, new))
    if isinstance(old, numpy.ndarray) and old.dtype != object:
        return numpy.array_equal(old, new)
    return False


def _is_result(thing: object) -> bool:
    """Whether it was computed, or holds something that was."""
    if isinstance(thing, list | tuple | set | deque):
        return any(map(_is_result, thing))
    if isinstance(thing, dict):
        return any(map(_is_result, thing.values()))
    if isinstance(thing, numpy.ndarray):
        return thing.dtype == object and any(map(_is_result, thing.flat))
    return isinstance(thing, Choice) or (isinstance(thing, Value) and thing.is_result)
