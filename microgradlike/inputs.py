"""Bad input: what is a number, and how to say what was given instead."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy


def number(value: Any, what: str) -> float:
    """The float that was meant by ``value``; TypeError or ValueError, naming ``what``, if none."""
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{what} takes a real number (int or float), but got {describe(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{what} takes a number that a float can hold, up to 1.8e308") from None


def within(name: str, value: Any, low: float, high: float) -> float:
    """The number, if it lies from ``low`` to below ``high``; TypeError or ValueError otherwise."""
    found = number(value, name)
    if not low <= found < high:
        upper = f"to below {high}" if math.isfinite(high) else "up, and finite"
        raise ValueError(f"{name} is a number from {low} {upper}, but got {found}")
    return found


def function(name: str, value: Any) -> None:
    """TypeError, naming it, unless the value can be called."""
    if not callable(value):
        raise TypeError(
            f"{name} is a function, or an object that can be called, "
            f"but got {describe(value)}; pass the function itself"
        )


def describe(value: Any) -> str:
    """The value in a few words, for an error message."""
    if value is None:
        return "None"
    if isinstance(value, numpy.ndarray):
        return f"an array of shape {value.shape}; work on its elements, or on an array of Values"
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    text = repr(value)
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({kind})"


def constant(value: Any, symbol: str) -> Any:
    """A number beside a Value, as a float; other libraries' types get the chance to answer."""
    if isinstance(value, numbers.Real) or type(value).__module__ == "builtins":
        return number(value, f"'{symbol}' between a Value and something else")
    return NotImplemented
