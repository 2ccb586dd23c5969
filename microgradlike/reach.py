"""What a function finds outside of itself: what it keeps from call to call, and whether it reads
what others change.

A model that is traced may keep what it computed, which is then of no use to anybody: ``Held`` puts
back what was there, and says what changed.
"""

from __future__ import annotations

import functools
import os
import sysconfig
import types
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy

from microgradlike.engine import Value
from microgradlike.nn import Module
from microgradlike.tape import Condition, Traced

_HERE = os.path.dirname(__file__) + os.sep
_FOREIGN = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), _HERE)
_NUMBERS = (bool, int, float, complex, str, bytes, type(None), numpy.number)

#: Modules whose functions know no Value of the user.
_HARMLESS = ("math", "cmath", "operator", "numpy", "random", "microgradlike")
_BY_NAME = {"eval", "exec", "globals", "vars", "locals", "__import__", "getattr"}


def reads_no_value(f: Any) -> bool:
    """Whether a function surely reads no Value beside its arguments, and nothing that has one.

    It is told by what it finds outside of itself: numbers, and functions of which the same holds.

    >>> from math import cos
    >>> reads_no_value(lambda step: 0.1 * cos(step))
    True
    >>> model = Module()
    >>> reads_no_value(lambda step: len(model.parameters()))
    False
    """
    seen: dict[int, Any] = {}
    waiting = [f]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, _NUMBERS):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, functools.partial):
            waiting += [thing.func, thing.args, thing.keywords]
        elif isinstance(thing, types.FunctionType):
            if thing.__code__.co_filename.startswith(_HERE):
                waiting += [cell.cell_contents for cell in thing.__closure__ or ()]
                continue
            if not _BY_NAME.isdisjoint(_names(thing.__code__)):
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


def _names(code: types.CodeType) -> set[str]:
    """All names in the text of a function, also in those within it."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


def _found_by(f: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function finds outside of itself, by name."""
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        if cell != _EMPTY:
            yield name, cell.cell_contents
    for name in sorted(_names(f.__code__)):
        if name in f.__globals__:
            yield name, f.__globals__[name]
    yield "a default", f.__defaults__ or ()
    yield "a default", f.__kwdefaults__ or {}


_EMPTY = types.CellType()


# ---- What is kept ------------------------------------------------------------------------------


class Own:
    """What this package keeps for itself: no function of the user's finds Values there."""


class Held(Own):
    """What functions and models hold at a moment: attributes, lists, names that they may bind.

    >>> model = Module()
    >>> model.calls = 0
    >>> held = Held([model])
    >>> model.calls = 1
    >>> held.put_back()
    (False, 'calls')
    >>> model.calls
    0
    """

    def __init__(self, roots: Iterable[Any]) -> None:
        self.before: list[tuple[Any, dict[Any, Any]]] = []
        seen: dict[int, Any] = {}
        waiting = list(roots)
        while waiting:
            thing = waiting.pop()
            if id(thing) in seen:
                continue
            seen[id(thing)] = thing
            for holder in _holders(thing):
                contents = _contents(holder)
                self.before.append((holder, contents))
                waiting += [v for v in contents.values() if not isinstance(v, _LEAVES)]
            if isinstance(thing, functools.partial):
                waiting += [thing.func, thing.args, thing.keywords]
            elif isinstance(thing, types.MethodType):
                waiting += [thing.__self__, thing.__func__]
            elif isinstance(thing, tuple):
                waiting += [v for v in thing if not isinstance(v, _LEAVES)]

    def put_back(self) -> tuple[bool, str]:
        """Make all as it was.

        Returns:
            Whether something was a traced Value, and the name of something that was changed in
            another way, if there is one.
        """
        traced, changed = False, ""
        for holder, before in self.before:
            now = _contents(holder)
            if now.keys() == before.keys() and all(now[key] is before[key] for key in now):
                continue
            for key in now.keys() | before.keys():
                old, new = before.get(key, _EMPTY), now.get(key, _EMPTY)
                if new is old or _alike(old, new):
                    continue
                if old is not _EMPTY and _holds_traced(new):
                    traced = True
                else:
                    changed = changed or str(key)
            _fill(holder, before)
        return traced, changed


class _Globals:
    """The names that a function finds among those of its file."""

    def __init__(self, f: types.FunctionType) -> None:
        self.all = f.__globals__
        self.names = _names(f.__code__) & self.all.keys()


_LEAVES = (*_NUMBERS, Value, type, types.ModuleType, types.BuiltinFunctionType)


def _holders(thing: Any) -> Iterator[Any]:
    """That of which something consists, and which can be changed."""
    if isinstance(thing, dict | list | set | deque):
        yield thing
    elif isinstance(thing, numpy.ndarray):
        if thing.dtype == object:
            yield thing
    elif isinstance(thing, types.FunctionType):
        if not thing.__code__.co_filename.startswith(_FOREIGN):
            yield from thing.__closure__ or ()
            yield _Globals(thing)
    elif isinstance(thing, Module) or (
        callable(thing)
        and hasattr(thing, "__dict__")
        and not isinstance(thing, _LEAVES)
        and type(thing).__module__.partition(".")[0] not in ("microgradlike", "numpy", "functools")
    ):
        yield vars(thing)


def _contents(holder: Any) -> dict[Any, Any]:
    """What it holds, by name or place."""
    if isinstance(holder, dict):
        return dict(holder)
    if isinstance(holder, set):
        return {id(v): v for v in holder}
    if isinstance(holder, types.CellType):
        return {} if holder == _EMPTY else {"a name": holder.cell_contents}
    if isinstance(holder, _Globals):
        return {name: holder.all[name] for name in holder.names if name in holder.all}
    return dict(enumerate(holder.flat if isinstance(holder, numpy.ndarray) else holder))


def _fill(holder: Any, contents: dict[Any, Any]) -> None:
    """Let it hold just this."""
    if isinstance(holder, dict):
        holder.clear()
        holder.update(contents)
    elif isinstance(holder, _Globals):
        holder.all.update(contents)
    elif isinstance(holder, types.CellType):
        for found in contents.values():
            holder.cell_contents = found
    elif isinstance(holder, numpy.ndarray):
        for place, found in contents.items():
            holder.flat[place] = found
    else:
        holder.clear()
        (holder.update if isinstance(holder, set) else holder.extend)(contents.values())


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


def _holds_traced(thing: Any) -> bool:
    if isinstance(thing, list | tuple | set | deque):
        return any(map(_holds_traced, thing))
    if isinstance(thing, dict):
        return any(map(_holds_traced, thing.values()))
    if isinstance(thing, numpy.ndarray):
        return thing.dtype == object and any(map(_holds_traced, thing.flat))
    return isinstance(thing, Traced | Condition)
