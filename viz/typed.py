"""An expression that somebody typed, as a graph: only what is allowed here is computed.

The text is never run. It is parsed, and each part is either on the list or refused.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from microgradlike.engine import Value
from microgradlike.functions import FUNCTIONS
from microgradlike.ops import ALIASES, OPERATORS
from microgradlike.words import counted
from viz.style import shortened

#: A number, or what was computed of names.
Operand: TypeAlias = Value | float

#: Longer ones make no picture that anybody reads.
MOST_CHARACTERS = 400

ALLOWED = "numbers, names, + - * / ** and functions such as tanh(x)"

#: The functions of the table, and how many numbers each takes; ``where`` takes a condition beside.
TAKES = {
    name: len(OPERATORS[ALIASES.get(name, name)].slopes)
    for name in (*OPERATORS, *ALIASES)
    if name != "where"
}

_SIGNS: Mapping[type[ast.AST], str] = {
    **{ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "truediv", ast.Pow: "pow"},
    ast.USub: "neg",
}


def typed(text: str, numbers: Mapping[str, float]) -> Value:
    """The result of an expression, as a Value that knows how it was computed.

    Args:
        text: such as ``"tanh(w*x + b)"``: numbers, names, ``+ - * / **``, and the functions of the
            operator table.
        numbers: the number of each name.

    Raises:
        ValueError: the text is no expression, or has something else in it; a name has no number, or
            a number no name.

    >>> typed("w*x + 1", {"w": 2.0, "x": 3.0}).data
    7.0
    >>> typed("w.grad", {"w": 2.0})
    Traceback (most recent call last):
        ...
    ValueError: 'w.grad' is not allowed in an expression: it has numbers, names, + - * / ** and functions such as tanh(x)
    """  # noqa: E501  # what is printed has one line
    if len(text) > MOST_CHARACTERS:
        raise ValueError(
            f"an expression has up to {MOST_CHARACTERS} characters, but this one {len(text):,}"
        )
    try:
        parsed = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError(
            f"{shortened(text)!r} is no expression: write it as in Python, such as tanh(w*x + b)"
        ) from None
    leaves = {name: Value(number, label=name) for name, number in numbers.items()}
    used: set[str] = set()
    result = _computed(parsed, leaves, used)
    unused = [name for name in numbers if name not in used]
    if unused:
        raise ValueError(f"{unused[0]} has a number, but is not in the expression {text!r}")
    if not isinstance(result, Value):
        raise ValueError(f"{text!r} has no name in it, so there is nothing to differentiate by")
    return result


def number_of(text: str) -> tuple[str, float]:
    """A name and its number, typed as one word.

    Raises:
        ValueError: it is no such word.

    >>> number_of("b=-1")
    ('b', -1.0)
    """
    name, equals, number = text.partition("=")
    wrong = ValueError(f"{text!r} gives no name a number: write it as in b=-1.5")
    if not equals or not name.strip().isidentifier():
        raise wrong
    try:
        found = float(number)
    except ValueError:
        raise wrong from None
    if not math.isfinite(found):
        raise ValueError(f"{name} is a finite number, but got {number}")
    return name.strip(), found


def _computed(node: ast.expr, leaves: Mapping[str, Value], used: set[str]) -> Operand:
    """What a part of an expression gives."""

    def each(parts: Sequence[ast.expr]) -> list[Operand]:
        return [_computed(part, leaves, used) for part in parts]

    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _number(value)
        case ast.Name(id=name):
            if name not in leaves:
                raise ValueError(_missing(name))
            used.add(name)
            return leaves[name]
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _computed(operand, leaves, used)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -_number(value)
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _SIGNS:
            return _apply(_SIGNS[type(sign)], each([operand]))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _SIGNS:
            return _apply(_SIGNS[type(sign)], each([left, right]))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in TAKES:
            if len(args) != TAKES[name]:
                wanted = counted(TAKES[name], "number")
                raise ValueError(f"{name} takes {wanted}, but got {len(args)}")
            return _apply(name, each(args))
        case _:
            found = shortened(ast.unparse(node), 40)
            raise ValueError(f"{found!r} is not allowed in an expression: it has {ALLOWED}")


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError("a number of the expression is larger than a float, 1.8e308") from None


def _apply(name: str, operands: Sequence[Operand]) -> Operand:
    found: Operand = FUNCTIONS[name](*operands)
    return found


def _missing(name: str) -> str:
    if name in TAKES:
        return f"{name} is a function: write {name}(...) with what it is computed of"
    return f"the name {name} has no number: add one, such as {name}=0.5"
