"""Every operator as a function of numbers or Values, and what is composed of them.

``tanh(x)`` of a Value is a Value that remembers; of a number it is a float; of an array it is the
array of what it is of each element, whether these are Values, numbers or some of each, which
NumPy's own functions refuse. The functions of the operator table are made from its rows; what
follows them needs no derivative of its own.
"""

from __future__ import annotations

import builtins
import functools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy
import numpy.typing

from microgradlike import ops
from microgradlike.engine import Choice, Number, Value, is_traced, recorder_of
from microgradlike.inputs import beside, describe, given_to, plain_array, unwrapped
from microgradlike.ops import ALIASES, OPERATORS, Operator

if TYPE_CHECKING:
    from microgradlike._signatures import *  # noqa: F403

#: An array of numbers, of Values, or of some of each.
Array: TypeAlias = "numpy.typing.NDArray[Any]"

#: What a function of one operand is given; it gives the same kind.
X = TypeVar("X", float, Value, "Array", "Value | float", "Value | float | Array")


# ---- Operands, and arrays of them --------------------------------------------------------------


_SINGLE = (Value, float)


def operand(value: object, name: str) -> Number:
    """A Value, or the float that was meant."""
    if isinstance(value, numpy.ndarray):
        value = unwrapped(value, given_to(name))
    if isinstance(value, Value):
        return value
    if isinstance(value, Choice):
        return value.value()
    return beside(value, name)


def _each(function: Callable[..., object], name: str, operands: Sequence[object]) -> Any:
    """The function of each element of arrays, which are broadcast as NumPy does.

    Returns:
        An array of floats where no Value is among its elements, else of objects.
    """
    for array in operands:
        plain_array(array, given_to(name))
    out = numpy.frompyfunc(function, len(operands), 1)(*operands)
    return out if any(isinstance(v, Value) for v in out.flat) else out.astype(float)


def _has_array(*operands: object) -> bool:
    return any(isinstance(v, numpy.ndarray) and v.ndim for v in operands)


# ---- One function for each row of the table ----------------------------------------------------


def _function(row: Operator) -> Callable[..., Any]:
    def unary(x: object) -> Any:
        if isinstance(x, Value):
            return x.recorded[row.name](x)
        if _has_array(x):
            return _each(unary, row.name, (x,))
        x = operand(x, row.name)
        if isinstance(x, Value):
            return unary(x)
        return float(ops.on_floats(row.value)(x, 0.0, 0.0, 0.0))

    def binary(x: object, y: object) -> Any:
        if not (isinstance(x, _SINGLE) and isinstance(y, _SINGLE)):
            if _has_array(x, y):
                return _each(binary, row.name, (x, y))
            x, y = operand(x, row.name), operand(y, row.name)
        if isinstance(x, Value):
            return x.recorded[row.name](x, y)
        if isinstance(y, Value):
            return y.reflected[row.name](y, x)
        return float(ops.on_floats(row.value)(x, y, 0.0, 0.0))

    function = unary if len(row.slopes) == 1 else binary
    function.__name__ = function.__qualname__ = row.name
    function.__doc__ = Value.recorded[row.name].__doc__
    return function


FUNCTIONS: dict[str, Callable[..., Any]] = {row.name: _function(row) for row in OPERATORS.values()}
FUNCTIONS |= {alias: FUNCTIONS[name] for alias, name in ALIASES.items()}
globals().update(FUNCTIONS)

#: These rows get friendlier signatures below.
FRIENDLIER = ("where", "round", "leaky_relu", "elu")
_where, _round, _leaky_relu, _elu = (FUNCTIONS[name] for name in FRIENDLIER)


# ---- Choosing ----------------------------------------------------------------------------------


def where(condition: object, x: object, y: object) -> Any:
    """``x`` if the condition holds, else ``y``; the branch not taken gets no gradient at all.

    So ``where(x > 0, sqrt(x), 0)`` has slope 0 at x = 0, where multiplying by zero would give NaN.

    >>> x = Value(0.0)
    >>> where(x > 0, x.sqrt(), 0 * x).backward()
    >>> x.grad
    0.0
    """
    if _has_array(condition, x, y):
        return _each(where, "where", (condition, x, y))
    x, y, condition = (
        operand(x, "where"),
        operand(y, "where"),
        unwrapped(condition, given_to("where")),
    )
    if isinstance(condition, Choice):
        return condition.choose(x, y)
    taken = x if condition else y
    return _where(taken) if isinstance(taken, Value) else taken


def clip(x: Any, low: Number | Array | None = None, high: Number | Array | None = None) -> Any:
    """``x`` kept between ``low`` and ``high``; None leaves that side open.

    >>> clip(1.5, 0, 1), clip(-2, None, 1)
    (1.0, -2.0)
    """
    if low is not None:
        x = maximum(x, low)
    return x if high is None else minimum(x, high)


def round(x: X, ndigits: int | None = None) -> X:
    """The nearest whole number, or the nearest with so many digits behind the point.

    Half-way cases go to the even neighbour, as in Python. It is flat: no error passes.

    Raises:
        TypeError: ``ndigits`` is no int.

    >>> round(2.5), round(2.675, 2), round(1234.0, -2)
    (2.0, 2.67, 1200.0)
    """
    if ndigits is None:
        nearest: X = _round(x)
        return nearest
    return round_to(x, float(operator.index(ndigits)))


# ---- Powers, angles, activations ---------------------------------------------------------------


def reciprocal(x: X) -> X:
    """1 / x.

    >>> reciprocal(4.0)
    0.25
    """
    return truediv(1.0, x)


def square(x: X) -> X:
    """x * x.

    >>> square(-3.0)
    9.0
    """
    return mul(x, x)


def deg2rad(x: X) -> X:
    """An angle in degrees, in radians.

    >>> deg2rad(180.0) == math.pi
    True
    """
    return mul(x, math.pi / 180)


def rad2deg(x: X) -> X:
    """An angle in radians, in degrees.

    >>> rad2deg(math.pi)
    180.0
    """
    return mul(x, 180 / math.pi)


if not TYPE_CHECKING:  # which reads in a stub what these are
    radians, degrees = deg2rad, rad2deg


def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x), and 1 at zero.

    Near zero it is the Taylor polynomial of sin(z) / z, exact in every derivative: the quotient
    would lose all digits there.

    >>> sinc(0.0), sinc(0.5) == 2 / math.pi
    (1.0, True)
    """
    if _has_array(x):
        return _each(sinc, "sinc", (x,))
    z = mul(x, math.pi)
    if not -1 < z < 1:
        return truediv(sin(z), z)
    total: Any = 0.0
    for k in range(10, -1, -1):
        total = add(mul(total, mul(z, z)), (-1) ** k / math.factorial(2 * k + 1))
    return total


def silu(x: X) -> X:
    """x * sigmoid(x), also called swish.

    >>> silu(0.0)
    0.0
    """
    return mul(x, sigmoid(x))


def gelu(x: X) -> X:
    """x times the normal distribution function at x: the exact form, with erf.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016. Written with erfc, so that
    far below zero no digits are lost.

    >>> gelu(0.0)
    0.0
    """
    return mul(mul(x, 0.5), erfc(mul(x, -math.sqrt(0.5))))


def leaky_relu(x: object, slope: object = 0.01) -> Any:
    """x above zero, ``slope`` times x below; the slope may be a Value, to be learned.

    >>> leaky_relu(-2.0)
    -0.02
    """
    return _leaky_relu(x, slope)


def elu(x: object, alpha: object = 1.0) -> Any:
    """x above zero, ``alpha * (exp(x) - 1)`` below.

    >>> elu(2.0), elu(-1000.0)
    (2.0, -1.0)
    """
    return _elu(x, alpha)


# ---- Of many operands --------------------------------------------------------------------------


def _operands(values: object, name: str) -> list[Number]:
    if isinstance(values, Value) or not isinstance(values, Iterable) or isinstance(values, str):
        raise TypeError(f"{name} takes a list of numbers or Values, but got {describe(values)}")
    plain_array(values, given_to(name))
    flat = values.ravel() if isinstance(values, numpy.ndarray) else values
    return [operand(v, name) for v in flat]


def _some(values: object, name: str) -> list[Number]:
    operands = _operands(values, name)
    if not operands:
        raise ValueError(f"{name} of no values is not defined; give it at least one")
    return operands


def _vector(values: object, name: str, remedy: str) -> object:
    """The same, unless it is an array with rows and columns."""
    if isinstance(values, numpy.ndarray) and values.ndim > 1:
        raise TypeError(
            f"{name} takes a list or an array with one axis, but got an array of shape "
            f"{values.shape}; {remedy}"
        )
    return values


def sum(values: Iterable[object]) -> Any:
    """The sum of numbers or Values; 0.0 of none.

    >>> sum([1, 2, 3.5])
    6.5
    """
    return functools.reduce(add, _operands(values, "sum") or [0.0])


def prod(values: Iterable[object]) -> Any:
    """The product of numbers or Values; 1.0 of none.

    >>> prod([1, 2, 3.5])
    7.0
    """
    return functools.reduce(mul, _operands(values, "prod") or [1.0])


def mean(values: Iterable[object]) -> Any:
    """The mean of numbers or Values.

    Raises:
        ValueError: there are none.

    >>> mean([1, 2, 6])
    3.0
    """
    values = _some(values, "mean")
    return truediv(sum(values), len(values))


def dot(x: Iterable[object], y: Iterable[object]) -> Any:
    """x[0] * y[0] + x[1] * y[1] + ...

    Raises:
        TypeError: one is a matrix, for which A @ B is the product.
        ValueError: the lengths differ.

    >>> dot([1, 2], [3, 4])
    11.0
    """
    remedy = "the product of matrices is A @ B, the sum of products dot(A.ravel(), B.ravel())"
    x, y = (_operands(_vector(v, "dot", remedy), "dot") for v in (x, y))
    if len(x) != len(y):
        raise ValueError(f"dot takes two lists of one length, but got {len(x)} and {len(y)} values")
    return sum(map(mul, x, y))


def logsumexp(values: Iterable[object]) -> Any:
    """log(exp(v0) + exp(v1) + ...), for values of any size.

    Raises:
        ValueError: there are none.

    >>> logsumexp([1000.0, 1000.0]) == 1000 + math.log(2)
    True
    """
    values = _some(values, "logsumexp")
    largest = functools.reduce(maximum, [v.held() if isinstance(v, Value) else v for v in values])
    is_finite = abs(largest) < math.inf
    if not is_traced():
        return _from_largest(values, largest) if is_finite else _tree(logaddexp, values)
    tree = _tree(logaddexp, values)  # compile finds it, and has the shares
    if tape := recorder_of(tree):
        tape.written_as(tree, where(is_finite, _from_largest(values, largest), tree))
    return tree


def _from_largest(values: list[Number], largest: Number) -> Number:
    """Seen from the largest each share has all its digits; logsumexp does not change with it."""
    weights = [exp(sub(value, largest)) for value in values]
    return add(log(_tree(operator.add, weights)), largest)


def _tree(operation: Callable[..., Number], values: list[Number]) -> Number:
    """Pairs, pairs of pairs, and so on: rounding adds up over few levels, not over all values."""
    while len(values) > 1:
        odd = values[len(values) - len(values) % 2 :]
        values = [*map(operation, values[::2], values[1::2]), *odd]
    return values[0]


def softmax(values: Iterable[object]) -> list[Any]:
    """exp(v) / sum of all exp(v), one for each value: positive, and 1 in sum.

    Raises:
        TypeError: they are a matrix.
        ValueError: there are none.

    >>> softmax([1000.0, 1000.0])
    [0.5, 0.5]
    """
    remedy = "take the softmax of each row: [softmax(row) for row in A]"
    values = _some(_vector(values, "softmax", remedy), "softmax")
    # Any constant would do, softmax does not change with it: so no gradient flows through this one.
    largest = functools.reduce(maximum, [v.held() if isinstance(v, Value) else v for v in values])
    weights = [exp(sub(value, largest)) for value in values]
    total = _tree(operator.add, weights)
    return [truediv(weight, total) for weight in weights]


# ---- Every function by its name, and as a method where that reads well --------------------------

_UNARY = (reciprocal, square, deg2rad, rad2deg, sinc, silu, gelu, leaky_relu, elu, clip)
_OTHERS = (where, round, sum, prod, mean, dot, logsumexp, softmax)

#: What is not made from a row, but written above.
COMPOSED = {function.__name__: function for function in _UNARY + _OTHERS}
FUNCTIONS |= COMPOSED
FUNCTIONS |= {"radians": radians, "degrees": degrees, "rint": round}
if not TYPE_CHECKING:  # a type checker cannot compute a list of names, and needs none here
    rint = round
    # Without Python's own: ``import *`` must not put another ``sum`` or ``round`` in their place.
    __all__ = sorted(name for name in FUNCTIONS if not hasattr(builtins, name))

for _function_ in _UNARY:
    setattr(Value, _function_.__name__, _function_)
Value.round = Value.__round__ = round  # type: ignore[method-assign,assignment]
Value.radians, Value.degrees = radians, degrees  # type: ignore[method-assign,assignment]
del Value.where  # type: ignore[attr-defined]
