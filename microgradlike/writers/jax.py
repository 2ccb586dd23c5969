"""A compiled function as a function of JAX: it runs where JAX does, and JAX differentiates it.

What it computes is said in ``arrays.py``; here is how JAX says it. Each operation has the slopes of
the operator table, so that a gradient is the engine's, also at a kink.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy
from jax import lax
from jax.custom_derivatives import SymbolicZero

from microgradlike import ops
from microgradlike.compiler.arrays import Floats, Ints
from microgradlike.compiler.operations import row_of
from microgradlike.inputs import describe
from microgradlike.ops import OPERATORS
from microgradlike.writers.arrays import Array, Function, Operation, Step, slope_times

if TYPE_CHECKING:
    from microgradlike.replay.derived import Derivatives

# ---- Operations --------------------------------------------------------------------------------


def _rounded(x: Array) -> Array:
    """The same number. What is beyond it a compiler does not see: it would compute ``a * b + c``
    without rounding the product, and ``a / b / c`` as ``a / (b * c)``, which overflows."""
    return jnp.where(x == x, x, math.nan)


def _divide(x: Array, y: Array) -> Array:
    return _rounded(jnp.divide(x, y))


def _maximum(x: Array, y: Array) -> Array:
    return jnp.where(x >= y, x, jnp.maximum(x, y))  # of 0.0 and -0.0 the first


def _minimum(x: Array, y: Array) -> Array:
    return jnp.where(x <= y, x, jnp.minimum(x, y))


def _sigmoid(x: Array) -> Array:
    e = jnp.exp(-abs(x))
    return jnp.where(x >= 0, 1.0, e) / (1.0 + e)


def _softplus(x: Array) -> Array:
    return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-abs(x)))


def _sign(x: Array) -> Array:
    return jnp.where(x > 0, 1.0, jnp.where(x < 0, -1.0, x))


def _round_to(x: Array, y: Array) -> Array:
    """Decimal digits are found by Python: no library of arrays rounds to them exactly."""
    of = numpy.frompyfunc(ops.round_to, 2, 1)
    return jax.pure_callback(
        lambda x, y: numpy.asarray(of(x, y), x.dtype), x, x, y, vmap_method="broadcast_all"
    )


#: What the names in formulas mean.
NAMES: Mapping[str, object] = {
    **ops.NUMBERS,
    **{
        name: getattr(jnp, name)
        for name in (
            *("exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "cbrt", "hypot"),
            *("sin", "cos", "tan", "sinh", "cosh", "tanh", "logaddexp", "where", "power"),
            *("asin", "acos", "atan", "atan2", "asinh", "acosh", "atanh", "floor", "ceil", "trunc"),
            *("rint", "floor_divide", "remainder", "abs"),
            *("logical_and", "logical_or", "logical_not"),
        )
    },
    **{"erf": jax.scipy.special.erf, "erfc": jax.scipy.special.erfc, "round_to": _round_to},
    **{"maximum": _maximum, "minimum": _minimum, "sigmoid": _sigmoid, "softplus": _softplus},
    **{"sign": _sign, "divide": _divide},
}


@functools.cache
def _with_slopes() -> Mapping[str, object]:
    """The names again: in slopes, what is an operation has slopes itself."""
    found = dict(NAMES)
    for row in OPERATORS.values():
        name, _, operands = ops.spell(row.value, str).partition("(")
        if name in found and operands in ("x)", "x, y)"):
            found[name] = functools.partial(_operate, row.name)
    return found


def _operate(name: str, *operands: Array) -> Array:
    return operation(name)(*operands)


@functools.cache
def operation(name: str) -> Operation:
    """An operation on arrays of JAX, with the value and the slopes of the operator table."""
    row, tie = row_of(name)
    assert row is not None
    value = ops.formula(row.value, NAMES, element_by_element=True)
    times_slopes = [slope_times(_LIBRARY, slope, tie) for slope in row.slopes]

    @jax.custom_jvp
    def compute(*operands: Array) -> Array:
        found = value(*operands, *[None] * (3 - len(operands)), tie)
        found = _rounded(found) if row.name == "mul" else found
        return jnp.broadcast_to(found, operands[0].shape).astype(operands[0].dtype)

    @functools.partial(compute.defjvp, symbolic_zeros=True)
    def sends(operands: Sequence[Array], errors: Sequence[Array]) -> tuple[Array, Array]:
        out = compute(*operands)
        x, y = (*operands, None)[:2]
        whole = jnp.zeros_like(out)
        for slope, times_slope, error in zip(row.slopes, times_slopes, errors, strict=True):
            if slope != "0" and not isinstance(error, SymbolicZero):
                whole = whole + times_slope((x, y, out), error)
        return out, whole

    def of(*operands: Array) -> Array:
        dtype = jnp.result_type(*operands)
        found: Array = compute(*jnp.broadcast_arrays(*(jnp.asarray(x, dtype) for x in operands)))
        return found

    return of


# ---- The library -------------------------------------------------------------------------------


class JaxLibrary:
    """How JAX says what a program computes.

    Args:
        rounds: of a loop that ends by itself, so many are done at most.
    """

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds

    def numbers(self, array: Floats, like: Array) -> Array:
        return jnp.asarray(array, like.dtype)

    def places(self, array: Ints, like: Array) -> Array:
        return array

    def where(self, condition: Array, x: Array, y: Array) -> Array:
        return jnp.where(condition, x, y)

    def held(self, x: Array) -> Array:
        return lax.stop_gradient(x)

    def joined(self, parts: Sequence[Array]) -> Array:
        return jnp.concatenate(parts)

    def rounded(self, x: Array) -> Array:
        return _rounded(x)

    def product(self, weights: Array, values: Array) -> Array:
        return jnp.matmul(weights, values, precision=lax.Precision.HIGHEST)

    def wider(self, x: Array, rows: int) -> Array:
        return jnp.broadcast_to(x, (*x.shape[:-1], rows))

    def largest(self, x: Array) -> Array:
        return x.max(1)

    def truths(self, found: Sequence[Array], like: Array) -> Array:
        return jnp.stack([jnp.asarray(truth) for truth in found])

    def ones(self, count: int, like: Array) -> Array:
        return jnp.ones(count, like.dtype)

    def whole(self, x: Array) -> Array:
        return x.astype(int)

    def operation(self, name: str) -> Operation:
        return operation(name)

    def formula(self, text: str) -> Operation:
        return ops.formula(text, _with_slopes(), element_by_element=True)

    def rounds(self, step: Step, state: Array, given: Array) -> Array:
        # What a round computes is computed again in the backward pass: only states are kept.
        once_more = jax.checkpoint(step)
        return lax.scan(lambda state, row: (once_more(state, row), None), state, given)[0]

    def rounds_while(self, step: Callable[[Array], Array], state: Array) -> Array:
        """Stretches of rounds, of which those are left out that no row needs."""
        length = math.isqrt(self._rounds - 1) + 1

        def stretch(state: Array) -> Array:
            return lax.scan(lambda state, _: (step(state), None), state, None, length)[0]

        def some(state: Array, _: object) -> tuple[Array, None]:
            found = lax.cond((state[-1] != 0).any(), jax.checkpoint(stretch), _same, state)
            return found, None

        return lax.scan(some, state, None, length)[0]


#: For whom loops do not matter.
_LIBRARY = JaxLibrary(rounds=1)


def _same(state: Array) -> Array:
    return state


# ---- A compiled function -----------------------------------------------------------------------


def to_jax(c: Derivatives, rounds: int) -> Callable[..., Array]:
    """A compiled function as a pure function of JAX; see ``Compiled.to_jax``."""
    if not isinstance(rounds, int) or rounds < 1:
        raise ValueError(f"rounds is a whole number, at least 1, but got {describe(rounds)}")
    found = Function(c, JaxLibrary(rounds))

    def function(theta: Array, *columns: Array) -> Array:
        arrays = [jnp.asarray(x) for x in (theta, *columns)]
        dtype = jnp.result_type(float, *arrays) if arrays else float
        theta, *given = (x.astype(dtype) for x in arrays)
        found.check(theta, given)
        return found(theta, given)

    return functools.update_wrapper(function, c.function)
