"""Python's ``max``, ``min`` and ``sorted``, of traced Values: they choose in each row.

As any comparison of traced Values, those that these functions make would be decided, and each order
be a path of its own: five numbers have 120. And what ``max(x, 0.0)`` gives would be a plain number
on one path and a Value on another. So while a function is traced, they choose as ``where`` does:
``max`` and ``min`` the one item or the other, ``sorted`` exchanges neighbours again and again. Of
equal numbers the first one is taken, or stays the first one, as in Python.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import operator
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

from microgradlike.engine import Choice, Value
from microgradlike.functions import where

Number: TypeAlias = "Value | float"
Item: TypeAlias = "Number | list[Item] | tuple[Item, ...]"
#: A key, and whose it is.
Pair: TypeAlias = "tuple[Number, Item]"

#: Of more numbers the exchanges of ``sorted`` would be too many; of the largest of more, pairs are
#: compared, then pairs of those, so that the one does not wait for all others.
MOST = 32

#: A module's names.
Names: TypeAlias = "dict[str, Any]"

_lock = threading.Lock()
#: The modules in whose functions they choose, each with how many traces want that.
_choosing: dict[int, int] = {}

#: So many functions are looked through, and none of these packages, which have no Values.
_FAR = 300
_LIBRARIES = sys.stdlib_module_names - {"__main__"} | {"numpy", "scipy", "numba", "microgradlike"}


@contextmanager
def choosing(f: object) -> Iterator[None]:
    """Within this block they choose, in the modules of a function and of what it calls.

    There they are names of the module; elsewhere, and of all but traced Values, they are Python's.
    """
    modules = list(_modules_of(f))
    with _lock:
        for names in modules:
            _choosing[id(names)] = _choosing.get(id(names), 0) + 1
            for name, ours in _OURS.items():  # not where the module has its own
                names.setdefault(name, ours)
    try:
        yield
    finally:
        with _lock:
            for names in modules:
                _choosing[id(names)] -= 1
                if not _choosing[id(names)]:
                    del _choosing[id(names)]
                    for name, ours in _OURS.items():
                        if names.get(name) is ours:
                            del names[name]


def _modules_of(f: object) -> Iterator[Names]:
    """The names of each module that has a function which this one is, or calls."""
    left, seen, found = [f], set[int](), set[int]()
    while left and len(seen) < _FAR:
        thing = left.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, types.FunctionType):
            names = thing.__globals__
            if _is_theirs(names.get("__name__")):
                if id(names) not in found:
                    found.add(id(names))
                    yield names
                left += _led_to(thing)
        elif isinstance(thing, functools.partial):
            left += [thing.func, *thing.args, *thing.keywords.values()]
        elif isinstance(thing, types.MethodType):
            left += [thing.__func__, thing.__self__]
        elif isinstance(thing, type):
            if _is_theirs(thing.__module__):
                left += [*filter(_may_call, vars(thing).values()), *thing.__bases__]
        elif isinstance(thing, classmethod | staticmethod | property):
            left += [getattr(thing, name, None) for name in ("__func__", "fget")]
        else:
            left.append(type(thing))


def _led_to(f: types.FunctionType) -> Iterator[object]:
    """What a function finds outside of itself and may call."""
    for cell in f.__closure__ or ():
        with contextlib.suppress(ValueError):  # it is empty
            yield cell.cell_contents
    yield from filter(_may_call, map(f.__globals__.get, sorted(names_in(f.__code__))))
    yield from f.__defaults__ or ()
    yield getattr(f, "__wrapped__", None)


def names_in(code: types.CodeType) -> set[str]:
    """All names in the text of a function, also in those within it."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= names_in(constant)
    return names


def _is_theirs(module: object) -> bool:
    return str(module).partition(".")[0] not in _LIBRARIES


def _may_call(thing: object) -> bool:
    return callable(thing) or isinstance(thing, classmethod | staticmethod | property)


# ---- The largest, and the smallest -------------------------------------------------------------


def _best(
    python: Callable[..., object], is_better: Callable[[Number, Number], object]
) -> Callable[..., object]:
    """``max`` or ``min``."""

    @functools.wraps(python)
    def best(
        *given: object, key: Callable[[Item], Number] | None = None, **default: object
    ) -> object:
        items: list[Item] = list(cast("Any", given[0] if len(given) == 1 else given))
        keys = cast("list[Number]", items) if key is None else list(map(key, items))
        if not any(isinstance(each, Value) for each in keys):
            return _as_python(python, items, keys, **default)
        can_be_chosen = _can_be_chosen(items, keys, key is None)

        def better(a: Pair, b: Pair) -> Pair:
            condition = is_better(b[0], a[0])
            if can_be_chosen and isinstance(condition, Choice):
                condition = _picks(condition) if key is None else condition
                largest = where(condition, b[0], a[0])
                return largest, largest if key is None else _chosen(condition, b[1], a[1])
            return b if condition else a

        pairs: list[Pair] = list(zip(keys, items, strict=True))
        if can_be_chosen and len(pairs) > MOST and _none_is_nan(keys):
            while len(pairs) > 1:
                halves = range(0, len(pairs), 2)
                pairs = [functools.reduce(better, pairs[k : k + 2]) for k in halves]
        return functools.reduce(better, pairs)[1]

    return best


# ---- Sorted ------------------------------------------------------------------------------------


def _sorted(
    iterable: Iterable[Item], /, *, key: Callable[[Item], Number] | None = None,
    reverse: bool = False,
) -> list[Item]:  # fmt: skip
    items = list(iterable)
    keys = cast("list[Number]", items) if key is None else list(map(key, items))
    is_short = 1 < len(items) <= MOST
    if not (is_short and _can_be_chosen(items, keys, key is None) and _none_is_nan(keys)):
        return cast("list[Item]", _as_python(builtins.sorted, items, keys, reverse=reverse))
    # Backwards, equal numbers stay in their order where it is reversed before and after.
    pairs: list[Pair] = list(zip(keys, items, strict=True))[:: -1 if reverse else 1]
    for turn in range(len(pairs)):
        for k in range(turn % 2, len(pairs) - 1, 2):
            (a, first), (b, second) = pairs[k : k + 2]
            exchanged = _picks(b < a) if key is None else b < a
            pairs[k] = where(exchanged, b, a), _chosen(exchanged, second, first)
            pairs[k + 1] = where(exchanged, a, b), _chosen(exchanged, first, second)
    return [item for _, item in pairs][:: -1 if reverse else 1]


_OURS = {
    "max": _best(builtins.max, operator.gt),
    "min": _best(builtins.min, operator.lt),
    "sorted": _sorted,
}

# ---- What can be chosen ------------------------------------------------------------------------


def _as_python(
    python: Callable[..., object], items: list[Item], keys: Sequence[Number], **more: object
) -> object:
    """What Python's own function gives; each key was asked for once, as there."""
    found = iter(keys)
    return python(items, key=lambda _: next(found), **more)


def _can_be_chosen(items: Sequence[object], keys: Sequence[object], are_keys: bool) -> bool:
    """Whether one item can stand for another: Values, or as many of them, alike in each item."""
    if not all(map(_is_number, keys)):
        return False
    forms = set(map(_form, items))
    return are_keys or (len(forms) == 1 and "?" not in forms.pop())


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


def _picks(condition: object) -> object:
    """The condition by which one of two numbers is taken: at a tie both are the same."""
    return cast("Any", condition).picks() if isinstance(condition, Choice) else condition


def _none_is_nan(keys: Sequence[Number]) -> bool:
    """Whether there are traced ones, and none is NaN, which has no place in an order.

    Rows where one is are of another path.
    """
    is_there = [key <= key for key in keys]
    if not any(isinstance(each, Choice) for each in is_there):
        return False
    return bool(functools.reduce(operator.and_, is_there))
