"""A compiled function on its way to workers, which may be threads, processes or other machines.

It is pickled once. Each thread of a worker makes one copy of it and keeps that: what was traced for
one block is there for the next. The parameters of a copy are in one order everywhere, whichever
branch its rows take first; their numbers come with each block.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import threading
import types
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy

from microgradlike.compiler.arrays import Floats, Ints
from microgradlike.engine import Value
from microgradlike.replay.watch import modules_within, within_reach

if TYPE_CHECKING:
    from microgradlike.replay.compiled import Compiled

#: What makes a compiled function: its class, and what that takes; the parameters are last.
Made: TypeAlias = "tuple[type[Compiled], tuple[object, ...]]"

#: What a parcel holds: the function, and what goes with it.
Copy: TypeAlias = "tuple[Compiled, Any]"

#: A worker keeps copies of so many functions: those that it ran last.
MOST_FUNCTIONS = 16


class Parcel:
    """A pickled function, with what is to be done with its outputs; a worker unpacks it.

    Attributes:
        token: of the function; two that have the same are the same.
    """

    def __init__(self, token: str, content: bytes) -> None:
        self.token, self.content = token, content

    def __dask_tokenize__(self) -> str:
        return self.token

    @contextlib.contextmanager
    def copy(self) -> Iterator[Copy]:
        """A copy that nobody else uses meanwhile, kept for the next block unless this one fails."""
        with _lock:
            kept = _copies.setdefault(self.token, [])
            _copies.move_to_end(self.token)
            while len(_copies) > MOST_FUNCTIONS:
                _copies.popitem(last=False)
        try:
            copy = kept.pop()
        except IndexError:
            (kind, given), also = pickle.loads(self.content)
            copy = kind(*given), also
            copy[0]._has_company = True
        yield copy
        kept.append(copy)


_copies: OrderedDict[str, list[Copy]] = OrderedDict()
_lock = threading.Lock()


class Shipment:
    """A function of the caller's, pickled, and where its parameters are in the copies.

    Args:
        of: the function, traced or with its parameters listed.
        also: an object that goes with it and may hold the same Values, such as a metric.

    Attributes:
        parcel: what goes to the workers.
        values: the caller's Values in the order of the copies' parameters. A function whose
            parameters were not listed may use all that it finds outside of itself.
    """

    def __init__(self, of: Compiled, also: object = None) -> None:
        if of.traced:
            of._check_numbers()  # what is traced elsewhere must be what was traced here
        known = of._parameters.values
        found = () if of._listed is not None else within_reach(of.function)
        self.values = list(dict.fromkeys([*known, *(v for v in found if not v.is_result)]))
        self._places = {v: place for place, v in enumerate(self.values)}
        self._parameters = of._parameters
        made = type(of), (of.function, of._sending, of._how, of._check, self.values)
        self.parcel = Parcel(uuid.uuid4().hex, _pickled(made, also, self.values))
        self._scheduler: object = None
        self._there: object = None

    def fits(self, of: Compiled) -> bool:
        """Whether the function is as it was: not traced anew, and with no parameter from beyond."""
        same = self._parameters is of._parameters
        return same and all(map(self._places.__contains__, of._parameters.values))

    def places(self, of: Compiled) -> Ints:
        """For each parameter of the caller's function its place among those of a copy."""
        return numpy.array([self._places[v] for v in of._parameters.values], int)

    def theta(self, theta: Floats, places: Ints) -> Floats:
        """The numbers of the copies' parameters, from those of the caller's function."""
        if len(places) == len(self.values) and (places == numpy.arange(len(places))).all():
            return numpy.array(theta)  # the caller may write into it later
        found = numpy.array([v.data for v in self.values])
        found[places] = theta
        return found

    def there(self) -> object:
        """The parcel where it is unpacked: it goes to a cluster once and is copied from there."""
        from dask.base import get_scheduler, persist
        from dask.delayed import delayed

        if self._there is None or get_scheduler() != self._scheduler:
            parcel = delayed(self.parcel, name=f"function-{self.parcel.token}", traverse=False)
            (self._there,) = persist(parcel)
            self._scheduler = get_scheduler()
        return self._there

    def lost(self) -> None:
        """The cluster may have forgotten it."""
        self._there = None


_shipments: weakref.WeakKeyDictionary[Compiled, Shipment] = weakref.WeakKeyDictionary()


def shipment(of: Compiled, also: object = None) -> Shipment:
    """That of a function, made when it is asked for first, and again when the function changed."""
    found = _shipments.get(of)
    if found is None or not found.fits(of):
        found = _shipments[of] = Shipment(of, also)
    return found


# ---- Pickles -----------------------------------------------------------------------------------


def _pickled(made: Made, also: object, values: Sequence[Value]) -> bytes:
    """A pickle of what makes a compiled function, and of the other object, which share Values.

    Raises:
        TypeError: something in it cannot be pickled, or its Values are found by name.
    """
    f, modules = made[1][0], set[types.ModuleType]()
    for _ in range(2):
        try:
            content = _dumped((made, also), modules)
            copied = pickle.loads(content)[0][1][0]
        except Exception as error:
            raise TypeError(
                f"{_name(f)} goes to the workers as a pickle, and something that it uses cannot "
                f"be pickled ({type(error).__name__}: {error}); make that inside of the function, "
                "or give it as a column"
            ) from error
        # A function of a module is pickled as its name, and would find the Values of that module.
        if set(values).isdisjoint(within_reach(copied)):
            return content
        modules |= {m for name in modules_within(f) if (m := sys.modules.get(name))}
    raise TypeError(
        f"{_name(f)} finds a parameter by the name of a module, where a worker has another one; "
        "give it to the function in a closure, a partial or an object"
    )


def _dumped(thing: object, by_value: Iterable[types.ModuleType]) -> bytes:
    import cloudpickle

    class Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]
        def reducer_override(self, found: object) -> object:
            """A decorated function has its name in a module, where a copy would find another."""
            if isinstance(reduced := getattr(found, "_remade", None), types.MethodType):
                return reduced()
            return super().reducer_override(found)

    registered = [
        m for m in by_value if m.__name__ not in cloudpickle.list_registry_pickle_by_value()
    ]
    stream = io.BytesIO()
    with _lock:
        try:
            for module in registered:
                cloudpickle.register_pickle_by_value(module)
            Pickler(stream).dump(thing)
        finally:
            for module in registered:
                cloudpickle.unregister_pickle_by_value(module)
    return stream.getvalue()


def _name(f: object) -> str:
    return str(getattr(f, "__qualname__", f))
