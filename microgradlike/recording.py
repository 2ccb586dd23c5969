"""From a row of the operator table to Python that computes, records, and sends the error back.

Every row becomes a method (and one for a number on the left), and for each kind of operands a
function that sends a node's error to its parents. They are made as text, as dataclasses makes its
methods, because that is the fastest plain Python there is; tracebacks show the lines.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any

from microgradlike.ops import OPERATORS, Operator, spell

FILENAME = "<microgradlike operators>"

_UNARY = """
def {name}(x):
    data, rule, y = {value_x}, {name}_x, None
"""

_BINARY = """
def {name}(x, y):
    if isinstance(y, Value):
{defer}        data, rule = {value_xy}, {name}_xy
    else:
        if type(y) is not float:
            y = {number}(y, {symbol!r})
            if y is NotImplemented:
                return y
        data, rule = {value_x}, {name}_x
"""

# An operator of Python asks a traced Value on its right first; a named method must do so itself.
_DEFER = """\
        if y.reflected is not x.reflected:
            return y.reflected[{name!r}](y, x)
"""

_REFLECTED = """
def reflected_{name}(y, x):
    if type(x) is not float:
        x = {number}(x, {symbol!r})
        if x is NotImplemented:
            return x
    data, rule = {value_y}, {name}_y
"""

_RECORD = """\
    if _watching:
        return _watched(data, rule, x, y)
    out = new(Value)
    out.data = data
    out.grad = 0.0
    out.label = None
    out._rule = rule
    out._x = x
    out._y = y
    return out
"""

_SEND = """
def send_{name}_{to}(out):
    upstream, x, y = out.grad, out._x, out._y
"""


def kinds(row: Operator) -> tuple[str, ...]:
    """Which operands are Values: "xy" both, "x" or "y" one beside a number."""
    return ("xy", "x", "y") if len(row.slopes) == 2 else ("x",)


def _spelling(to: str) -> Callable[[str], str]:
    """How a formula on floats spells its names, when the operands in ``to`` are Values."""
    spelt = {name: f"{name}.data" for name in (*to, "out")}
    spelt |= {"tie": "0.5" if to == "xy" else "0", "abs": "abs"}
    return lambda name: spelt.get(name) or (name if name in "xy" else f"ops.{name}")


def _write(row: Operator) -> str:
    """The source of a row's method, of its reflected method, and of its sending functions."""
    values = {f"value_{to}": spell(row.value, _spelling(to)) for to in kinds(row)}
    convert = "constant" if hasattr(float, f"__{row.name}__") else "number"
    defer = "" if hasattr(float, f"__{row.name}__") else _DEFER.format(name=row.name)
    fill = {"name": row.name, "symbol": row.symbol, "number": convert, "defer": defer, **values}
    heads = (_BINARY, _REFLECTED) if len(row.slopes) == 2 else (_UNARY,)
    source = "".join(head.format(**fill) + _RECORD for head in heads)
    for to in kinds(row):
        source += _SEND.format(name=row.name, to=to)
        for operand in to:
            slope = spell(row.slopes["xy".index(operand)], _spelling(to))
            error = "upstream" if slope == "1" else f"upstream * ({slope})"
            source += f"    {operand}.grad += {error}\n"
    return source


def compile_operators(namespace: dict[str, Any]) -> dict[str, Callable[..., Any]]:
    """Every function of every row, by name: ``mul``, ``reflected_mul``, ``send_mul_xy`` and so on.

    Args:
        namespace: where they look up ``Value``, the rules (``mul_xy`` ...) and the modes.
    """
    source = "".join(map(_write, OPERATORS.values()))
    linecache.cache[FILENAME] = len(source), None, source.splitlines(True), FILENAME
    made: dict[str, Any] = {}
    exec(compile(source, FILENAME, "exec"), namespace, made)
    for row in OPERATORS.values():
        slopes = ", ".join(row.slopes)
        made[row.name].__doc__ = f"{row.value}: {row.rule}. Its slopes: {slopes}."
    return made
