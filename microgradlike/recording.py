"""From a row of the operator table to Python that computes, records, and sends the gradient back.

Every row becomes a method (and one for a number on the left), and for each kind of operands a
function that sends a node's gradient to its parents. They are made as text, as dataclasses makes
its methods, because that is the fastest plain Python there is; tracebacks show the lines.
"""

from __future__ import annotations

import ast
import linecache
import re
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from microgradlike import ops
from microgradlike.ops import OPERATORS, Operator, spell

if TYPE_CHECKING:
    from microgradlike.engine import Value

#: Methods of Values by their names.
Methods: TypeAlias = "dict[str, Callable[..., Value]]"

FILENAME = "<microgradlike operators>"

# All methods are made within a function of the class whose Values they give. Their names there are
# longer, because ``abs`` is one of them, and its formula means that of Python.
_MAKE = """
def make(Kind):
{methods}
    return {{{entries}}}
"""

_UNARY = """
def method_{name}(x):
    data, rule, y = {value_x}, {name}_x, None
"""

# A Value of a subclass, such as a traced one, gives one of its own from its right-hand side too.
_BINARY = """
def method_{name}(x, y):
    kind = type(y)
    if kind is Leaf or kind is Kind or kind is Node:
        data, rule = {value_xy}, {name}_xy
    elif kind is float:
        data, rule = {value_x}, {name}_x
    elif isinstance(y, Value):
        return y.reflected[{name!r}](y, x)
    else:
        y = {number}(y, {symbol!r})
        if y is NotImplemented:
            return y
        data, rule = {value_x}, {name}_x
"""

_REFLECTED = """
def method_reflected_{name}(y, x):
    if isinstance(x, Value):
        data, rule = {value_xy}, {name}_xy
    else:
        if type(x) is not float:
            x = {number}(x, {symbol!r})
            if x is NotImplemented:
                return x
        data, rule = {value_y}, {name}_y
"""

_RECORD = """\
    if _watching:
        return _watched(data, rule, x, y, Kind)
    out = new(Kind)
    out._number = data
    out._grad = _fresh
    out._label = _now
    out._rule = rule
    out._x = x
    out._y = y
    return out
"""

_AGAIN = """
def again_{name}_{to}(out):
    x, y = out._x, out._y
    return {value}
"""

_SEND = """
def send_{name}_{to}(out):
    upstream, x, y = out._grad, out._x, out._y
"""


def kinds(row: Operator) -> tuple[str, ...]:
    """Which operands are Values: "xy" both, "x" or "y" one beside a number."""
    return ("xy", "x", "y") if len(row.slopes) == 2 else ("x",)


def _spelling(to: str) -> Callable[[str], str]:
    """How a formula on floats spells its names, when the operands in ``to`` are Values."""
    spelt = {name: f"{name}._number" for name in (*to, "out")}
    spelt |= {"tie": "0.5" if to == "xy" else "0", "abs": "abs"}
    return lambda name: spelt.get(name) or (name if name in "xy" else f"ops.{name}")


def _methods(row: Operator) -> str:
    """The source of a row's method, and of its reflected method."""
    values = {f"value_{to}": spell(row.value, _spelling(to)) for to in kinds(row)}
    convert = "constant" if row.method else "beside"
    fill = {"name": row.name, "symbol": row.symbol, "number": convert, **values}
    heads = (_BINARY, _REFLECTED) if len(row.slopes) == 2 else (_UNARY,)
    return "".join(head.format(**fill) + _RECORD for head in heads)


def _rules(row: Operator) -> str:
    """The source of what sends a row's error, and of what computes its number once more."""
    source = ""
    for to in kinds(row):
        source += _SEND.format(name=row.name, to=to)
        for operand in to:
            slope = ast.parse(spell(row.slopes["xy".index(operand)], _spelling(to)), mode="eval")
            source += "".join(f"    {line}\n" for line in _sending(slope.body, operand))
        source += _AGAIN.format(name=row.name, to=to, value=spell(row.value, _spelling(to)))
    return source


def _sending(slope: ast.expr, operand: str) -> list[str]:
    """The lines that send what passes a slope; where nothing does the gradient is left alone."""
    if isinstance(slope, ast.IfExp):
        body, orelse = _sending(slope.body, operand), _sending(slope.orelse, operand)
        test = ast.unparse(slope.test)
        if not body:
            test, body, orelse = f"not ({test})", orelse, []
        lines = [f"if {test}:", *(f"    {line}" for line in body)] if body else []
        return [*lines, "else:", *(f"    {line}" for line in orelse)] if orelse else lines
    if ops.is_nothing(slope):
        return []
    text = ast.unparse(slope)
    if text == "1":
        return [f"{operand}._grad += upstream"]
    if "(" not in text:
        return [f"{operand}._grad += upstream * ({text})"]
    # Python changes threads only where something is called. So that none that shares a leaf
    # overwrites what another one added to it, nothing is called once its gradient was read.
    return [f"sent = upstream * ({text})", f"{operand}._grad += sent"]


def compile_operators(
    namespace: dict[str, Any],
) -> tuple[dict[str, Callable[[Value], Any]], Callable[[type[Value]], Methods]]:
    """What every row does, from the table.

    Args:
        namespace: where it looks up ``Value``, the rules (``mul_xy`` ...) and the modes.

    Returns:
        The functions of all rules by name, such as ``send_mul_xy`` and ``again_mul_xy``; and a
        function that makes the methods for a class of Values, by name: ``mul``, ``reflected_mul``.
    """
    methods = "".join(map(_methods, OPERATORS.values()))
    names = re.findall(r"^def method_(\w+)", methods, re.MULTILINE)
    entries = ", ".join(f"{name!r}: method_{name}" for name in names)
    source = _MAKE.format(methods=textwrap.indent(methods, "    "), entries=entries)
    source += "".join(map(_rules, OPERATORS.values()))
    linecache.cache[FILENAME] = len(source), None, source.splitlines(True), FILENAME
    made: dict[str, Any] = {}
    exec(compile(source, FILENAME, "exec"), namespace, made)
    make = made.pop("make")

    def make_operators(kind: type[Value]) -> Methods:
        found: Methods = make(kind)
        for name, method in found.items():
            method.__name__ = method.__qualname__ = name
        for row in OPERATORS.values():
            slopes = ", ".join(row.slopes)
            found[row.name].__doc__ = f"{row.value}: {row.rule}. Its slopes: {slopes}."
        return found

    return made, make_operators
