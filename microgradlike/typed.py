"""Formulas that somebody typed: only what is allowed here is computed.

The text is never run. It is parsed, and each part is either on the list or refused.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import keyword
import math
import operator
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from microgradlike.engine import Decision, Number, Value, recorded_decisions
from microgradlike.functions import FUNCTIONS
from microgradlike.inputs import number
from microgradlike.ops import INFIX
from microgradlike.words import counted

#: What these names are where nobody gave them a number.
CONSTANTS = {"pi": math.pi, "π": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan}

ALLOWED = "numbers, names, + - * / // % **, comparisons, if-else and functions such as tanh(x)"

#: What takes a list, and a formula has none: how the same is written without one.
_OF_LISTS = {
    **{"sum": "x + y", "prod": "x * y", "mean": "(x + y) / 2", "dot": "x*u + y*v"},
    **{"logsumexp": "logaddexp(x, y)", "softmax": "exp(x) / (exp(x) + exp(y))"},
}

_FUNCTIONS = {name: f for name, f in FUNCTIONS.items() if name not in _OF_LISTS}

#: What people write on paper, or elsewhere, and how Python writes it.
_INSTEAD = {
    "^": "**",
    "²": "**2",
    "³": "**3",
    "×": "*",
    "·": "*",
    "÷": "/",
    "\N{MINUS SIGN}": "-",
    "\N{EN DASH}": "-",
    "√": "sqrt(...)",
}

#: The same for functions.
_MEANT = {"ln": "log", "max": "maximum", "min": "minimum", "sgn": "sign"}

_SIGNS: dict[type, Callable[..., Any]] = {
    **{sign: _FUNCTIONS[name] for name, sign in INFIX.items()},
    ast.USub: _FUNCTIONS["neg"],
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.And: all,
    ast.Or: any,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


# ---- A formula ---------------------------------------------------------------------------------


def read_formula(text: str, names: Sequence[str]) -> Callable[..., Any]:
    """A formula as a function of the named numbers, or Values.

    Args:
        text: the formula, in Python's syntax; it may have line breaks.
        names: what its variables are called, in the order of the function's arguments.

    Returns:
        The function; what it gives of Values is a Value.

    Raises:
        ValueError: the text cannot be read, or has something in it that is not allowed.

    >>> read_formula("x**2 + y", ["x", "y"])(3.0, 1.0)
    10.0
    >>> read_formula("1 if 0 < x < 3 and not x == 2 else 0", ["x"])(1.0)
    1.0
    """
    tree, formula = _parsed(text), f"the formula {_quoted(text)}"
    too_long = f"{formula} has too many parts; write it as a function instead"
    try:
        for wrong in _refused(tree, names):
            raise ValueError(f"{formula} {wrong}")
    except RecursionError:
        raise ValueError(too_long) from None

    def computed(*point: Number) -> Any:
        try:
            return _computed(tree, dict(zip(names, point, strict=True)), formula)
        except TypeError as error:
            raise ValueError(f"{formula} cannot be computed: {error}") from None
        except RecursionError:
            raise ValueError(too_long) from None

    computed(*[0.5] * len(names))  # complain now about what cannot be computed
    return computed


def names_in(text: str) -> list[str]:
    """The names in a formula that need a number, in their order: no functions, pi or e.

    Raises:
        ValueError: the text cannot be read.

    >>> names_in("tanh(w * x + b) * 2 * pi + w")
    ['w', 'x', 'b']
    """
    return [n for n in _names(_parsed(text)) if n not in _FUNCTIONS and n not in CONSTANTS]


def _parsed(text: str) -> ast.expr:
    """The tree of a formula.

    Raises:
        ValueError: there is none.
    """
    formula = f"the formula {_quoted(text)}"
    for sign, spelt in _INSTEAD.items():
        if sign in text:
            raise ValueError(f"{formula} has {sign} in it: write {spelt} instead")
    try:
        # In one line, as what stands between parentheses may have line breaks.
        return ast.parse(" ".join(text.split()), mode="eval").body
    except SyntaxError as error:
        why = _why(text) or f"{error.msg}; write it as in Python, such as tanh(w*x + b)"
        raise ValueError(f"{formula} cannot be read: {why}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"{formula} has too many parts; write it as a function instead") from None
    except ValueError as error:  # a null character, or half of one that was cut into bytes
        why = "it has a letter that is none" if isinstance(error, UnicodeError) else str(error)
        raise ValueError(f"{formula} cannot be read: {why}") from None


def _why(text: str) -> str:
    """Why a text is no formula, where Python's own words help nobody."""
    if not text.strip():
        return "it is empty"
    for word in re.findall(r"[^\W\d]\w*", text):
        if keyword.iskeyword(word) and word not in ("if", "else", "and", "or", "not"):
            return _reserved(word)
    if re.search(r"\d{4000}", text):
        return "a number in it has thousands of digits; write it as 1e5000"
    if re.search(r"(?<![=<>!])=(?!=)", text):
        return "a formula has no sign ="
    if found := re.search(r"(?<![\w.])(\d+\.?\d*) ?([^\W\d]\w*)", text):
        return f"write {found[1]}*{found[2]} instead of {found[0]}"
    return ""


def _reserved(word: str) -> str:
    return f"{word} is a word of Python's own; take another name, such as {word}_"


def _names(tree: ast.expr) -> list[str]:
    """All names but those of functions that are called."""
    called = {part.func for part in ast.walk(tree) if isinstance(part, ast.Call)}
    found = [p for p in ast.walk(tree) if isinstance(p, ast.Name) and p not in called]
    found.sort(key=lambda part: part.col_offset)
    return list(dict.fromkeys(part.id for part in found))


def _refused(tree: ast.expr, names: Sequence[str]) -> Iterator[str]:
    """What is not allowed in a formula of these names."""
    called = {part.func for part in ast.walk(tree) if isinstance(part, ast.Call)}
    for part in ast.walk(tree):
        match part:
            case ast.Name(id=name) if part in called or name in names or name in CONSTANTS:
                pass
            case ast.Name(id=name) if name in _FUNCTIONS:
                yield f"has no number for {name}, a function: write {name}(...)"
            case ast.Name(id=name):
                yield f"contains {name!r}, but its names are {', '.join(names) or 'none'}"
            case ast.Call(ast.Name(id=name), arguments, []) if name in _FUNCTIONS:
                yield from _miscounted(name, len(arguments))
            case ast.Call(ast.Name(id=name)) if name in _OF_LISTS and name not in names:
                instead = _OF_LISTS[name]
                yield f"contains {name}(...), which takes a list: write it as in {instead}"
            case ast.Call(ast.Name(id=name)) if name not in (*names, *CONSTANTS, *_FUNCTIONS):
                yield f"contains {name}(...), but there is no such function{_similar(name)}"
            case ast.Call(ast.Name() | ast.Constant() | ast.BinOp() as left, [_], []):
                yield f"lacks a * between {ast.unparse(left)!r} and the parenthesis behind it"
            case ast.Constant(value=constant) if type(constant) in (int, float):
                pass
            case ast.BinOp(op=sign) | ast.UnaryOp(op=sign) if type(sign) in _SIGNS:
                pass
            case ast.Compare(ops=signs) if all(type(sign) in _SIGNS for sign in signs):
                pass
            case ast.expr() if not isinstance(part, ast.BoolOp | ast.IfExp):
                yield f"contains {ast.unparse(part)!r}, which is not allowed: it has {ALLOWED}"


def _miscounted(name: str, given: int) -> Iterator[str]:
    takes = inspect.signature(_FUNCTIONS[name]).parameters.values()
    least, most = sum(p.default is p.empty for p in takes), len(takes)
    if not least <= given <= most:
        wanted = f"{least} to {most} numbers" if most > least else counted(least, "number")
        yield f"cannot be computed: {name} takes {wanted}, but got {given}"


def _similar(name: str) -> str:
    found = _MEANT.get(name) or next(iter(difflib.get_close_matches(name, _FUNCTIONS, 1)), "")
    return f"; did you mean {found}(...)?" if found else ""


def _computed(node: ast.expr, given: Mapping[str, Number], formula: str) -> Any:
    """What a part of a formula gives."""

    def value(part: ast.expr) -> Any:
        return _computed(part, given, formula)

    match node:
        case ast.Constant(value=constant):
            return number(constant, formula)
        case ast.Name(id=name):
            return given[name] if name in given else CONSTANTS[name]
        case ast.UnaryOp(ast.USub(), ast.Constant(value=constant)):
            return -number(constant, formula)
        case ast.BinOp(left, op, right):
            return _SIGNS[type(op)](value(left), value(right))
        case ast.UnaryOp(op, operand):
            return _SIGNS[type(op)](value(operand))
        case ast.BoolOp(op, parts):
            return _SIGNS[type(op)](map(value, parts))
        case ast.Compare(left, ops, others):
            pairs = zip(ops, [left, *others], others, strict=False)
            return all(_SIGNS[type(op)](value(x), value(y)) for op, x, y in pairs)
        case ast.IfExp(test, body, orelse):
            return value(body) if value(test) else value(orelse)
        case ast.Call(ast.Name(id=name), arguments):
            return _FUNCTIONS[name](*map(value, arguments))
    raise AssertionError(node)  # it would have been refused


def _quoted(text: str) -> str:
    return repr(text) if len(text) <= 200 else f"{text[:200]!r}..."


# ---- A formula with numbers --------------------------------------------------------------------


class Typed(NamedTuple):
    """A formula at a point."""

    result: Value
    leaves: dict[str, Value]
    """The Value of each name."""
    decisions: list[Decision]
    """What was compared, as ``recorded_decisions`` gives it."""


def typed(text: str, numbers: Mapping[str, float]) -> Typed:
    """A formula with numbers for its names, as Values that know how they were computed.

    Args:
        text: the formula, such as ``"tanh(w*x + b)"``.
        numbers: the number of each name.

    Raises:
        ValueError: the text cannot be read; a name has no number, or a number no name.

    >>> typed("w*x + 1", {"w": 2.0, "x": 3.0}).result
    Value(data=7.0, ...)
    >>> typed("w*x + b", {"w": 2.0, "x": 3.0})
    Traceback (most recent call last):
        ...
    ValueError: the name b has no number: add one, such as b=0.5
    """
    found = _names(_parsed(text))
    missing = [n for n in found if n not in (*numbers, *_FUNCTIONS, *CONSTANTS)]
    f = read_formula(text, [*numbers, *missing])
    if missing:
        one, *more = missing
        such_as = " ".join(f"{name}=0.5" for name in missing)
        raise ValueError(
            f"the names {', '.join(missing)} have no numbers: add them, such as {such_as}"
            if more
            else f"the name {one} has no number: add one, such as {such_as}"
        )
    for name in numbers:
        if name not in found:
            raise ValueError(f"{name} has a number, but is not in the formula {_quoted(text)}")
    if not numbers:
        raise ValueError(f"{_quoted(text)} has no name in it, so there is no gradient")
    leaves = {name: Value(given, label=name) for name, given in numbers.items()}
    with recorded_decisions() as decisions:
        result = f(*leaves.values())
    if isinstance(result, bool):
        raise ValueError(f"{_quoted(text)} is true or false, so there is no gradient")
    # On a branch without a name it is a number, which hangs on nothing.
    result = result if isinstance(result, Value) else Value(result)
    told = [decision._replace(line=text.strip()) for decision in decisions]
    return Typed(result, leaves, told)


def numbers_of(words: Iterable[str]) -> dict[str, float]:
    """Names and their numbers, each typed as one word.

    Raises:
        ValueError: a word gives no name a number, or a name has two.

    >>> numbers_of(["b=-1", "x=pi/2"])
    {'b': -1.0, 'x': 1.5707963267948966}
    """
    numbers: dict[str, float] = {}
    for word in words:
        name, _, given = word.partition("=")
        # As Python reads names: the micro sign is the letter mu.
        name = unicodedata.normalize("NFKC", name.strip())
        if not name.isidentifier():
            raise ValueError(f"{_quoted(word)} gives no name a number: write it as in b=-1.5")
        if keyword.iskeyword(name):
            raise ValueError(_reserved(name))
        if name in numbers:
            raise ValueError(f"{name} has two numbers: give it one")
        numbers[name] = _number(name, given, word)
    return numbers


def _number(name: str, given: str, word: str) -> float:
    try:
        found = number_in(given)
    except ValueError:
        raise ValueError(
            f"{_quoted(word)} gives no name a number: write it as in {name}=-1.5 or {name}=pi/2"
        ) from None
    if not math.isfinite(found):
        raise ValueError(f"{name} is a finite number, but got {_quoted(given)}")
    return found


def number_in(text: str) -> float:
    """A number as it is typed: a formula without names.

    Raises:
        ValueError: it is none.

    >>> number_in("-1.5"), number_in("pi/2")
    (-1.5, 1.5707963267948966)
    """
    try:
        return float(text)
    except ValueError:
        return float(read_formula(text, [])())
