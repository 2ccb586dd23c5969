"""Writes what people and type checkers read of the operator table: run it after changing a row.

``python -m microgradlike.document`` writes docs/operators.md and microgradlike/_signatures.pyi,
unless there is a row that some reader of the table does not understand.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from microgradlike import files
from microgradlike.check_table import faults
from microgradlike.engine import Value
from microgradlike.functions import COMPOSED, FRIENDLIER, FUNCTIONS
from microgradlike.ops import ALIASES, OPERATORS, Operator

_ROOT = Path(__file__).parent.parent

_TABLE_HEAD = """\
# The operators

Made from the operator table in `microgradlike/ops.py`, the only place where a derivative is
written. `x` and `y` are the operands, and `out` is the value just computed. `/`, `//`, `**` and
`%` follow IEEE 754. `tie` is 0.5 between two Values and 0 against a constant. Where a slope is
written as 0, nothing passes.

| operator | also | value | slope at x | slope at y | in words |
|---|---|---|---|---|---|
"""

_STUB_HEAD = """\
# Written by `python -m microgradlike.document` from the operator table, for type checkers.
from typing import Any, TypeAlias, overload

from numpy.typing import NDArray

from microgradlike.engine import Value

_Array: TypeAlias = NDArray[Any]

class Operations:
    def clip(self, low: Value | float | None = ..., high: Value | float | None = ...) -> Value: ...
    def round(self, ndigits: int | None = ...) -> Value: ...
    def __round__(self, ndigits: int | None = ...) -> Value: ...
    def leaky_relu(self, slope: Value | float = ...) -> Value: ...
    def elu(self, alpha: Value | float = ...) -> Value: ...
"""


def table() -> str:
    """The operator table as a page of Markdown."""
    rows = []
    for row in OPERATORS.values():
        formulas = [f"`{text}`" for text in (row.value, *row.slopes)] + [""] * (2 - len(row.slopes))
        also = ", ".join(f"`{alias}`" for alias in _aliases(row))
        rows.append(f"| `{row.name}` | {also} | {' | '.join(formulas)} | {row.rule} |\n")
    return _TABLE_HEAD + "".join(rows)


def signatures() -> str:
    """The signatures of all methods and functions of the table, as a stub file."""
    methods = [
        f"    def {name}(self) -> Value: ...\n"
        for name, function in FUNCTIONS.items()  # composed ones are methods as they are
        if vars(Value).get(name) is function and len(inspect.signature(function).parameters) == 1
    ]
    functions = []
    for row in OPERATORS.values():
        own = [] if row.name in FRIENDLIER else [row.name]
        other = ", other: Value | float" if len(row.slopes) == 2 else ""
        names = [row.method] if own and row.method else []
        names += [row.reflected_method] if row.reflected_method else [*own, *_aliases(row)]
        methods += [f"    def {name}(self{other}) -> Value: ...\n" for name in names]
        for name in (*own, *_aliases(row)):
            arguments = ("x",) if len(row.slopes) == 1 else ("x", "y")
            functions += _overloads(name, arguments)
    for name, function in FUNCTIONS.items():
        if function.__name__ in COMPOSED and name not in {function.__name__, *ALIASES, *OPERATORS}:
            functions += _overloads(name, ("x",))
    return _STUB_HEAD + "".join(methods) + "\n" + "".join(functions)


def _overloads(name: str, arguments: tuple[str, ...]) -> list[str]:
    kinds: list[tuple[str, ...]] = [("float",), ("Value",), ("_Array",)]
    if len(arguments) == 2:
        kinds = [("float", "float"), ("Value", "Value | float"), ("float", "Value")]
        kinds += [("Value | float", "Value | float")]
        kinds += [("_Array", "_Array | Value | float"), ("Value | float", "_Array")]
    lines = []
    for kind in kinds:
        typed = ", ".join(f"{a}: {k}" for a, k in zip(arguments, kind, strict=True))
        result = _result(kind)
        lines.append(f"@overload\ndef {name}({typed}) -> {result}: ...\n")
    return lines


def _result(kinds: tuple[str, ...]) -> str:
    """What comes of operands: an array of one; a Value of one; of what may be both, one of both."""
    if any("_Array" in kind for kind in kinds):
        return "_Array"
    return "Value" if "Value" in kinds else kinds[0]


def _aliases(row: Operator) -> list[str]:
    return [alias for alias, name in ALIASES.items() if name == row.name]


if __name__ == "__main__":
    if found := list(faults()):
        raise SystemExit("\n".join(found))
    print(files.write(_ROOT / "docs" / "operators.md", table().encode()))
    print(files.write(_ROOT / "microgradlike" / "_signatures.pyi", signatures().encode()))
