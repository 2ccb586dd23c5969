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
from microgradlike.compiler.arrays import Array, Floats, Ints
from microgradlike.compiler.operations import row_of
from microgradlike.executors.formulas import names_in
from microgradlike.inputs import real_array
from microgradlike.writers.arrays import (
    Function,
    Operation,
    Step,
    check_rounds,
    round_to,
    slopes_times,
    with_slopes,
)

if TYPE_CHECKING:
    from microgradlike.replay.derived import Derivatives

#: What kind of number an array has; JAX does not say their types.
_finfo: Callable[..., Array] = jnp.finfo

# ---- Operations --------------------------------------------------------------------------------


@jax.custom_jvp
def _rounded(x: Array) -> Array:
    """The same number. What is beyond it a compiler does not see: it would compute ``a * b + c``
    without rounding the product, and ``a / b / c`` as ``a / (b * c)``, which overflows. And nothing
    before it is computed again wherever the number is used: in a chain, thousands of times."""
    digits = _finfo(x.dtype)
    return lax.reduce_precision(jnp.where(x == x, x, math.nan), digits.nexp, digits.nmant)


@_rounded.defjvp
def _same_slope(x: Sequence[Array], errors: Sequence[Array]) -> tuple[Array, Array]:
    return _rounded(*x), errors[0]


def _divide(x: Array, y: Array) -> Array:
    return _rounded(jnp.divide(x, y))


def _round_to(x: Array, y: Array) -> Array:
    return jax.pure_callback(round_to, x, x, y, vmap_method="broadcast_all")


#: What the names in formulas mean.
NAMES: Mapping[str, object] = {
    **ops.NUMBERS,
    **names_in(jnp),
    **{"cbrt": jnp.cbrt, "rint": jnp.rint, "power": jnp.power, "divide": _divide},
    **{"erf": jax.scipy.special.erf, "erfc": jax.scipy.special.erfc, "round_to": _round_to},
}


@functools.cache
def operation(name: str) -> Operation:
    """An operation on arrays of JAX, with the value and the slopes of the operator table."""
    row, tie = row_of(name)
    assert row is not None
    value = ops.formula(row.value, NAMES, element_by_element=True)
    times_slopes = slopes_times(_LIBRARY, name)

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
        return numpy.asarray(array, numpy.int32)  # which JAX has with x64 and without

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
        return ops.formula(text, _NAMES_WITH_SLOPES, element_by_element=True)

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

#: What names mean in slopes, whose operations have slopes themselves.
_NAMES_WITH_SLOPES = with_slopes(NAMES, lambda name: lambda *operands: operation(name)(*operands))


def _same(state: Array) -> Array:
    return state


# ---- A compiled function -----------------------------------------------------------------------


def _array(given: object, name: str, each: str) -> Array:
    """What was given as an array of real numbers, of NumPy or of JAX: TypeError if it is none."""
    if not isinstance(given, jax.Array):
        return real_array(given, name, each)
    if any(jnp.issubdtype(given.dtype, kind) for kind in (jnp.floating, jnp.integer, bool)):
        return given
    raise TypeError(
        f"{name} is an array of real numbers, one entry for each {each}, but got {given.dtype}"
    )


def _floats(x: Array, dtype: Array) -> Array:
    """The same in these floats. An integer that they do not hold is NaN, not another integer."""
    with numpy.errstate(invalid="ignore"):
        found = x.astype(dtype)
        if not jnp.issubdtype(x.dtype, jnp.integer):
            return jnp.asarray(found)
        is_held = (found < numpy.iinfo(x.dtype).max + 1.0) & (found.astype(x.dtype) == x)
    return jnp.where(is_held, found, math.nan)


def to_jax(c: Derivatives, rounds: int) -> Callable[..., Array]:
    """A compiled function as a pure function of JAX; see ``Compiled.to_jax``."""
    check_rounds(rounds)
    found = Function(c, JaxLibrary(rounds))
    # Who calls it outside of any jit waits for one compilation, not for one of each operation.
    compute = jax.jit(found)

    def function(theta: Array, *columns: Array) -> Array:
        arrays = [_array(theta, "theta", "parameter")]
        arrays += [_array(x, f"argument {k}", "row") for k, x in enumerate(columns, 1)]
        dtype = jnp.result_type(float, *arrays)
        theta, *given = (_floats(x, dtype) for x in arrays)
        found.check(theta, given)
        result: Array = compute(theta, given)
        return result

    return functools.update_wrapper(function, c.function)
