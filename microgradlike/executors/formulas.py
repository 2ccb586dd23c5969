"""The formulas of the operator table, read as array expressions: for many rows at once.

One text, another reader: names mean NumPy's functions, and ``a if c else b`` chooses element by
element. A function that NumPy does not have is called for each element.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy

from microgradlike import ops
from microgradlike.compiler.arrays import Array, Floats
from microgradlike.compiler.operations import ALIKE, NAMES, row_of

#: Functions that NumPy, JAX and PyTorch call as formulas do; others they call ``arc...``.
_CALLED_ALIKE = (
    *("exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "hypot", "logaddexp"),
    *("sin", "cos", "tan", "sinh", "cosh", "tanh", "floor", "ceil", "trunc", "abs", "where"),
    *("divide", "remainder", "floor_divide", "logical_and", "logical_or", "logical_not"),
)
_OF_ARCS = ("asin", "acos", "atan", "atan2", "asinh", "acosh", "atanh")


def names_in(arrays: ModuleType) -> dict[str, Callable[..., Array]]:
    """What names in formulas mean in a library of arrays, as far as libraries are alike.

    Args:
        arrays: the module ``numpy``, ``jax.numpy`` or ``torch``.
    """
    exp, where = arrays.exp, arrays.where

    def maximum(x: Array, y: Array) -> Array:
        return where(x >= y, x, arrays.maximum(x, y))  # of 0.0 and -0.0 the first

    def minimum(x: Array, y: Array) -> Array:
        return where(x <= y, x, arrays.minimum(x, y))

    def sigmoid(x: Array) -> Array:
        e = exp(-abs(x))
        return where(x >= 0, 1.0, e) / (1.0 + e)

    def softplus(x: Array) -> Array:
        return where(x <= 0, 0.0, x) + arrays.log1p(exp(-abs(x)))

    def sign(x: Array) -> Array:
        return where(x > 0, 1.0, where(x < 0, -1.0, x))

    own = (maximum, minimum, sigmoid, softplus, sign)
    return {
        **{name: getattr(arrays, name) for name in _CALLED_ALIKE},
        **{name: getattr(arrays, f"arc{name[1:]}") for name in _OF_ARCS},
        **{function.__name__: function for function in own},
    }


def _power(x: Floats, y: Floats) -> Floats:
    # Where one exponent of 0.5 is for all, NumPy takes the root, and that of -inf is NaN.
    return numpy.power(x, y + numpy.zeros_like(x))


try:
    from scipy.special import erf as _erf
    from scipy.special import erfc as _erfc
except ImportError:

    def _erf(x: Floats) -> Floats:
        return _elementwise(ops.erf)(x)

    def _erfc(x: Floats) -> Floats:
        return _elementwise(ops.erfc)(x)


def _elementwise(function: Callable[..., float]) -> Callable[..., Floats]:
    """A function of floats that NumPy has no other name for, element by element."""

    def on_arrays(*operands: Floats | float) -> Floats:
        found = numpy.frompyfunc(function, len(operands), 1)(*operands)
        return numpy.asarray(found, float)

    return on_arrays


ON_ARRAYS: dict[str, Callable[..., Floats]] = {
    **names_in(numpy),
    **{"cbrt": numpy.cbrt, "rint": numpy.rint, "power": _power, "erf": _erf, "erfc": _erfc},
    **{"signum": numpy.sign, "largest": numpy.maximum},
}


#: The same in one call of NumPy.
_SHORTER = {
    "0.0 if x <= 0 else x": "largest(x, 0.0)",
    "error if x > 0 else 0 if x <= 0 else error * nan": "where(x <= 0, 0.0, error * signum(x))",
}


@functools.cache
def formula(text: str, as_written: bool = False) -> Callable[..., Any]:
    """A formula of the operator table as a function of the arrays x, y and out, of tie and error.

    Args:
        text: the formula.
        as_written: whether its functions are those of the engine, to the last digit.

    >>> formula("0.0 if x <= 0 else x")(numpy.array([-1.0, 2.0]), None, None, 0)
    array([0., 2.])
    """
    meaning = {name: _elementwise(v) if callable(v) else v for name, v in vars(ops).items()}
    known = {
        name: found for name, found in ON_ARRAYS.items()
        if not as_written or name in ALIKE or name not in meaning
    }  # fmt: skip
    return ops.formula(_SHORTER.get(text, text), meaning | known, element_by_element=True)


#: What signs are called in NumPy.
_SIGNS: dict[type[ast.AST], numpy.ufunc] = {
    **{ast.Add: numpy.add, ast.Sub: numpy.subtract, ast.Mult: numpy.multiply},
    **{ast.Lt: numpy.less, ast.LtE: numpy.less_equal, ast.Eq: numpy.equal},
    **{ast.NotEq: numpy.not_equal, ast.And: numpy.logical_and, ast.Or: numpy.logical_or},
    **{ast.USub: numpy.negative, ast.Not: numpy.logical_not},
}


def _one_call(text: str) -> numpy.ufunc | None:
    """The one function of NumPy that a formula calls with its operands, if that is all it does."""
    found: object = None
    match ast.parse(ops.spell(text, str), mode="eval").body:
        case ast.Call(ast.Name(name), [ast.Name("x")] | [ast.Name("x"), ast.Name("y")]):
            found = ON_ARRAYS.get(name)
        case (
            ast.BinOp(ast.Name("x"), op, ast.Name("y"))
            | ast.Compare(ast.Name("x"), [op], [ast.Name("y")])
            | ast.BoolOp(op, [ast.Name("x"), ast.Name("y")])
            | ast.UnaryOp(op, ast.Name("x"))
        ):
            found = _SIGNS.get(type(op))
    return found if isinstance(found, numpy.ufunc) else None


#: Operators that are one call of NumPy.
UFUNCS: dict[str, numpy.ufunc] = {
    row.name: found
    for name in NAMES
    if (row := row_of(name)[0]) and (found := _one_call(row.value))
}
