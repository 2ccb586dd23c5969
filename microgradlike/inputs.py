"""Bad input: what is a number, and how to say what was given instead.

To NumPy an array of shape () is one number, and many of its functions return one: so it is here.
A truth value counts as 1 or 0 beside a Value, as in ``x * (x > 0)``. It is no number where one is
asked for by itself: a learning rate of True is a mistake, and nothing is differentiated by True.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable
from typing import Any

import numpy
import numpy.typing


def number(value: object, what: str) -> float:
    """The float that was meant by ``value``; TypeError or ValueError, naming ``what``, if none."""
    if type(value) is float:
        return value
    if isinstance(value, numpy.ndarray):
        value = unwrapped(value, given_to(what))
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{what} takes a real number (int or float), but got {describe(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{what} takes a number that a float can hold, up to 1.8e308") from None


def beside(value: object, what: str) -> float:
    """As ``number``, of what stands beside a Value: there a truth value counts as 1 or 0."""
    if isinstance(value, numpy.ndarray):
        value = unwrapped(value, given_to(what))
    return number(int(value) if isinstance(value, bool | numpy.bool_) else value, what)


def given_to(what: str) -> str:
    """What to call that which a function, or another thing that takes numbers, was given."""
    return f"what {what} was given"


def unwrapped(value: object, what: str) -> Any:
    """What an array of shape () holds; anything else is returned as it is."""
    if isinstance(value, numpy.ndarray) and not value.ndim:
        plain_array(value, what)
        return value[()]
    return value


def plain_array(array: object, what: str) -> None:
    """TypeError, naming ``what``, for a masked array or a matrix: these have rules of their own."""
    _refuse_masked(array, what)
    if isinstance(array, numpy.matrix):
        raise TypeError(
            f"{what} is a numpy.matrix, in which * and ** do not work on each element; "
            "give an array: numpy.asarray(x)"
        )


def within(name: str, value: object, low: float, high: float) -> float:
    """The number, if it lies from ``low`` to below ``high``; TypeError or ValueError otherwise."""
    found = number(value, name)
    if not low <= found < high:
        upper = f"to below {high}" if math.isfinite(high) else "up, and finite"
        raise ValueError(f"{name} is a number from {low} {upper}, but got {found}")
    return found


def function(name: str, value: object) -> None:
    """TypeError, naming it, unless the value can be called."""
    if not callable(value):
        raise TypeError(
            f"{name} is a function, or an object that can be called, "
            f"but got {describe(value)}; pass the function itself"
        )


class NotInTable(IndexError):
    """An index that names no entry of a table.

    Args:
        index: that was given.
        count: how many entries there are.
        row: in which it was met, if it was among rows.
    """

    def __init__(self, index: float, count: int, row: int | None = None) -> None:
        self.index, self.count, self.row = index, count, row
        super().__init__(
            f"the index of take is a whole number from 0 to {count - 1}, for a table of length "
            f"{count}, but got {index:.17g}{'' if row is None else f' in row {row}'}"
        )

    def in_row(self, row: int) -> NotInTable:
        """The same, met among rows."""
        return NotInTable(self.index, self.count, row)


class NoWorkers(RuntimeError):
    """Dask has no result, since its workers are gone.

    Args:
        what: happened.
        advice: what to do now.
        left: what was changed meanwhile.
    """

    def __init__(self, what: str, advice: str, left: str = "nothing was changed here") -> None:
        self.what, self.advice = what, advice
        super().__init__(f"{what}; {left}: {advice}")

    def leaving(self, left: str) -> NoWorkers:
        """The same, after something was changed."""
        return NoWorkers(self.what, self.advice, left)


# That is what users call them.
NotInTable.__name__ = NotInTable.__qualname__ = "IndexError"
NoWorkers.__name__ = NoWorkers.__qualname__ = "RuntimeError"
NotInTable.__module__ = NoWorkers.__module__ = "builtins"


def place_in_table(index: float, count: int) -> int:
    """The place of an entry; NotInTable if there is none of that number."""
    if not (0 <= index < count and index == int(index)):
        raise NotInTable(index, count)
    return int(index)


def array_of_numbers(given: object, name: str) -> numpy.typing.NDArray[Any]:
    """What was given as an array of numbers of any kind; a matrix is an array of two dimensions.

    Raises:
        TypeError: it is none, in words that begin with its name.
    """
    _refuse_masked(given, name)
    if hasattr(given, "toarray"):
        raise TypeError(
            f"{name} is an array of numbers, but got a sparse {type(given).__name__}; "
            "x.toarray() makes an array of it"
        )
    try:
        return numpy.asarray(given)
    except ValueError:
        raise TypeError(f"{name} is an array of numbers, but its lists differ in length") from None


#: NumPy's letters for truths, integers and floats.
REAL = "biuf"

_AS_FLOATS = "numpy.asarray(x, float) makes numbers of what can be one"

#: What is no real number, by NumPy's letter for it, and what to do about it.
_KINDS = {
    **dict.fromkeys("US", ("text", f"{_AS_FLOATS}, and one-hot rows of categories")),
    "O": ("objects, such as None or text", _AS_FLOATS),
    "c": ("complex numbers", "x.real and x.imag are two arrays of numbers"),
    "M": ("dates", "give the time since one of them: (x - x[0]) / numpy.timedelta64(1, 'D')"),
    "m": ("spans of time", "divide by a unit: x / numpy.timedelta64(1, 'D')"),
}


def no_numbers(given: object, array: numpy.typing.NDArray[Any]) -> str:
    """What was given, of which that array was made, and what to do about it."""
    if isinstance(given, numpy.ndarray):
        told = []
    elif array.ndim:
        told = [describe(given)]
    else:
        return describe(given)
    kind, instead = _KINDS.get(array.dtype.kind, (str(array.dtype), _AS_FLOATS))
    return ", ".join([*told, f"an array of {kind}; {instead}"])


def real_array(given: object, name: str, each: str = "row") -> numpy.typing.NDArray[Any]:
    """What was given as an array of real numbers; TypeError if it is none."""
    array = array_of_numbers(given, name)
    if array.dtype.kind not in REAL:
        raise TypeError(
            f"{name} is an array of numbers, one entry for each {each}, but got "
            f"{no_numbers(given, array)}"
        )
    return array


#: Dask is there, but something that comes with the extra is not.
NEEDS_DASK = 'columns of Dask need all of it: pip install "microgradlike[dask]"'


def of_dask(*given: object) -> bool:
    """Whether one of these is a collection of Dask, such as an array in blocks."""
    for column in given:  # quick, as it is asked at each call
        if type(column) is not numpy.ndarray and type(column).__module__.startswith("dask"):
            return True
    return False


def _refuse_masked(given: object, name: str) -> None:
    if _is_masked(given):
        raise TypeError(
            f"{name} is a masked array or holds one, whose masked entries would be used as they "
            "are; say what they count as, such as x.filled(numpy.nan)"
        )


def _is_masked(given: object) -> bool:
    """Whether something is a masked array, or a list, of lists perhaps, that holds one."""
    if not isinstance(given, list | tuple):
        return isinstance(given, numpy.ma.MaskedArray)
    kinds = set(map(type, given))  # quick: the lists of numbers are long
    if any(issubclass(kind, numpy.ma.MaskedArray) for kind in kinds):
        return True
    return any(issubclass(kind, list | tuple) for kind in kinds) and any(map(_is_masked, given))


def told(value: object) -> Any:
    """What to say of a number in a message: of a Value the number, also where it is traced."""
    found = getattr(value, "number", None)
    return found if found is not None else getattr(value, "data", value)


def numeral(number: object) -> str:
    """A number in a message: that of a Value, too, and a whole one without a point.

    >>> numeral(2.0), numeral(0.1), numeral(3)
    ('2', '0.1', '3')
    """
    return str(told(number)).removesuffix(".0")


def finite_rows(array: numpy.typing.NDArray[Any], name: str) -> None:
    """ValueError unless all numbers are finite; it names the first row that has another one."""
    finite = numpy.isfinite(array)
    if not finite.all():  # all of them are, as a rule: then nothing else is looked for
        row = f" in row {numpy.argwhere(~finite)[0][0]}" if array.ndim else ""
        raise ValueError(f"{name} contains NaN or infinity{row}; remove or replace those examples")


#: Where a sentence names a row.
_ROW = re.compile(r"(\bin row |^row )(\d+)")


def names_row(sentence: str) -> bool:
    """Whether it says in which row something was met."""
    return bool(_ROW.search(sentence))


def name_row(error: Exception, row: int) -> None:
    """Let the sentence of an error name the row, unless it does, or is made of other things."""
    if error.args == (str(error),) and not names_row(str(error)):
        error.args = (f"{error} (in row {row})",)


def in_whole(sentence: str, place: Callable[[int], int]) -> str:
    """A sentence about a row of a part, with its place in the whole."""
    return _ROW.sub(lambda row: f"{row[1]}{place(int(row[2]))}", sentence)


def describe(value: object) -> str:
    """The value in a few words, for an error message."""
    if value is None:
        return "None"
    if isinstance(value, numpy.ndarray):
        return f"an array of shape {value.shape}; work on its elements, or on an array of Values"
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    text = repr(value)
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({kind})"


def constant(value: object, symbol: str) -> Any:
    """A number beside a Value, as a float; other libraries' types get the chance to answer."""
    if isinstance(value, numbers.Real | numpy.bool_) or type(value).__module__ == "builtins":
        return beside(value, f"'{symbol}' between a Value and something else")
    return NotImplemented
