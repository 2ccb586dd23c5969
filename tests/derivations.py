"""Every derivative of the operator table once more, derived by hand.

This is data: for each row the value and the slopes as the textbooks have them, in mpmath, so that
they hold to as many digits as one asks for. Nothing is copied from ``microgradlike/ops.py``: where
the table writes a slope with the value just computed, it is written with the operands here.

A new row in the table needs a derivation here; ``tests/test_ops.py`` fails without one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mpmath import mp

from microgradlike.functions import FUNCTIONS

Domain = Callable[[random.Random], float]


@dataclass(frozen=True)
class Derivation:
    """A function and its slopes by hand, and where to try them."""

    value: Callable[..., Any]
    slopes: tuple[Callable[..., Any], ...]
    domains: tuple[Domain, ...]
    avoid: Callable[..., bool] = lambda *point: False
    """The random points with a kink or a jump nearby, where there is no slope to compare."""
    call: Callable[..., Any] | None = None
    """How the engine is called, where that is not ``name(*point)``."""


# ---- Where to try ------------------------------------------------------------------------------


def within(low: float, high: float) -> Domain:
    """Evenly between two bounds."""
    return lambda draw: draw.uniform(low, high)


def positive(low: float, high: float) -> Domain:
    """Every magnitude between two bounds equally often: 1e-9 to 1e-8 as often as 1 to 10."""
    return lambda draw: 10 ** draw.uniform(float(mp.log10(low)), float(mp.log10(high)))


def signed(low: float, high: float) -> Domain:
    """As ``positive``, with either sign."""
    return lambda draw: positive(low, high)(draw) * draw.choice((-1, 1))


def beyond(bound: float, low: float, high: float) -> Domain:
    """Above ``bound`` by any magnitude (below it, for a negative ``high``)."""
    sign = 1 if high > 0 else -1
    return lambda draw: bound + sign * positive(abs(low), abs(high))(draw)


def either(*domains: Domain) -> Domain:
    """One or the other."""
    return lambda draw: draw.choice(domains)(draw)


# Powers of ten are bounded so that neither a slope nor a second derivative leaves the floats.
ANY, HUGE = signed(1e-100, 1e100), signed(1e-50, 1e50)
ANGLE = either(within(-100, 100), signed(1e-3, 1))
INSIDE_ONE = either(signed(1e-100, 0.5), beyond(-1, 1e-9, 0.5), beyond(1, -1e-9, -0.5))


def near_whole(x: Any, margin: float = 1e-3) -> bool:
    return bool(abs(x - mp.nint(x)) < margin)


# ---- The textbook ------------------------------------------------------------------------------


def logistic(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def logistic_slope(x: Any) -> Any:
    return 1 / (2 * mp.cosh(x / 2)) ** 2


def normal_density(x: Any) -> Any:
    return mp.exp(-(x**2) / 2) / mp.sqrt(2 * mp.pi)


def cube_root(x: Any) -> Any:
    return mp.sign(x) * mp.cbrt(abs(x))


def zero(*_: Any) -> Any:
    return mp.mpf(0)


def one(*_: Any) -> Any:
    return mp.mpf(1)


def step(x: Any) -> Any:
    """Heaviside's: 1 above zero, 0 below."""
    return mp.mpf(x > 0)


def exponential_sum(*v: Any) -> Any:
    return mp.fsum(map(mp.exp, v))


def bell(x: Any) -> Any:
    return 2 / mp.sqrt(mp.pi) * mp.exp(-(x**2))


D = Derivation
OPERATORS: Mapping[str, Derivation] = {
    "add": D(lambda x, y: x + y, (one, one), (ANY, ANY)),
    "sub": D(lambda x, y: x - y, (one, lambda x, y: mp.mpf(-1)), (ANY, ANY)),
    "mul": D(lambda x, y: x * y, (lambda x, y: y, lambda x, y: x), (ANY, ANY)),
    "truediv": D(lambda x, y: x / y, (lambda x, y: 1 / y, lambda x, y: -x / y**2), (HUGE, HUGE)),
    "pow": D(
        lambda x, y: mp.exp(y * mp.log(x)),
        (
            lambda x, y: y * mp.exp((y - 1) * mp.log(x)),
            lambda x, y: mp.exp(y * mp.log(x)) * mp.log(x),
        ),
        (positive(1e-6, 1e6), within(-20, 20)),
    ),
    "mod": D(
        lambda x, y: x - y * mp.floor(x / y),
        (one, lambda x, y: -mp.floor(x / y)),
        (within(-50, 50), signed(0.1, 50)),
        avoid=lambda x, y: near_whole(mp.mpf(x) / y),
    ),
    "floordiv": D(
        lambda x, y: mp.floor(x / y),
        (zero, zero),
        (within(-50, 50), signed(0.1, 50)),
        avoid=lambda x, y: near_whole(mp.mpf(x) / y),
    ),
    "neg": D(lambda x: -x, (lambda x: mp.mpf(-1),), (ANY,)),
    "abs": D(lambda x: mp.sqrt(x**2), (lambda x: x / mp.sqrt(x**2),), (ANY,)),
    "exp": D(mp.exp, (mp.exp,), (within(-700, 700),)),
    "exp2": D(
        lambda x: mp.mpf(2) ** x, (lambda x: mp.log(2) * mp.mpf(2) ** x,), (within(-1000, 1000),)
    ),
    "expm1": D(mp.expm1, (mp.exp,), (either(signed(1e-9, 1), within(-700, 700)),)),
    "log": D(mp.log, (lambda x: 1 / x,), (positive(1e-100, 1e100),)),
    "log1p": D(
        mp.log1p,
        (lambda x: 1 / (1 + x),),
        (either(signed(1e-100, 0.5), beyond(-1, 1e-9, 0.5), positive(0.5, 1e100)),),
    ),
    "log2": D(lambda x: mp.log(x, 2), (lambda x: 1 / (x * mp.log(2)),), (positive(1e-100, 1e100),)),
    "log10": D(mp.log10, (lambda x: 1 / (x * mp.log(10)),), (positive(1e-100, 1e100),)),
    "sqrt": D(mp.sqrt, (lambda x: 1 / (2 * mp.sqrt(x)),), (positive(1e-100, 1e100),)),
    "cbrt": D(cube_root, (lambda x: cube_root(x) / (3 * x),), (ANY,)),
    "sin": D(mp.sin, (mp.cos,), (ANGLE,)),
    "cos": D(mp.cos, (lambda x: -mp.sin(x),), (ANGLE,)),
    "tan": D(mp.tan, (lambda x: mp.sec(x) ** 2,), (ANGLE,)),
    "asin": D(mp.asin, (lambda x: 1 / mp.sqrt(1 - x**2),), (INSIDE_ONE,)),
    "acos": D(mp.acos, (lambda x: -1 / mp.sqrt(1 - x**2),), (INSIDE_ONE,)),
    "atan": D(mp.atan, (lambda x: 1 / (1 + x**2),), (HUGE,)),
    "atan2": D(
        mp.atan2,
        (lambda x, y: y / (x**2 + y**2), lambda x, y: -x / (x**2 + y**2)),
        (signed(1e-9, 1e9), signed(1e-9, 1e9)),
    ),
    "sinh": D(mp.sinh, (mp.cosh,), (either(ANGLE, within(-700, 700)),)),
    "cosh": D(mp.cosh, (mp.sinh,), (either(ANGLE, within(-700, 700)),)),
    # The table has 1 - tanh(x)**2, from which each unit of |x| takes a digit: at 6 ten are left.
    "tanh": D(mp.tanh, (lambda x: mp.sech(x) ** 2,), (either(within(-6, 6), signed(1e-9, 1)),)),
    "asinh": D(mp.asinh, (lambda x: 1 / mp.sqrt(1 + x**2),), (ANY,)),
    "acosh": D(mp.acosh, (lambda x: 1 / mp.sqrt(x**2 - 1),), (beyond(1, 1e-9, 1e100),)),
    "atanh": D(mp.atanh, (lambda x: 1 / (1 - x**2),), (INSIDE_ONE,)),
    # At 26 the bell is 1e-294; further out it leaves the normal floats and their 16 digits.
    "erf": D(mp.erf, (bell,), (either(signed(1e-9, 1), within(-26, 26)),)),
    "erfc": D(mp.erfc, (lambda x: -bell(x),), (either(signed(1e-9, 1), within(-26, 26)),)),
    # The table has out * (1 - out): above 12, out is so near 1 that ten digits are no longer left.
    "sigmoid": D(logistic, (logistic_slope,), (either(within(-12, 12), within(-700, 0)),)),
    "softplus": D(lambda x: mp.log1p(mp.exp(x)), (logistic,), (either(ANGLE, within(-700, 700)),)),
    "softsign": D(
        lambda x: x / (1 + abs(x)), (lambda x: (1 + abs(x)) ** -2,), (signed(1e-50, 1e50),)
    ),
    "relu": D(lambda x: (x + abs(x)) / 2, (step,), (ANY,)),
    "leaky_relu": D(
        lambda x, y: x * step(x) + y * x * step(-x),
        (lambda x, y: step(x) + y * step(-x), lambda x, y: x * step(-x)),
        (signed(1e-9, 1e9), within(-2, 2)),
    ),
    "elu": D(
        lambda x, y: x * step(x) + y * mp.expm1(x) * step(-x),
        (lambda x, y: step(x) + y * mp.exp(x) * step(-x), lambda x, y: mp.expm1(x) * step(-x)),
        (either(signed(1e-9, 1), within(-700, 700)), within(-2, 2)),
    ),
    "maximum": D(
        lambda x, y: (x + y + abs(x - y)) / 2,
        (lambda x, y: step(x - y), lambda x, y: step(y - x)),
        (signed(1e-9, 1e9), signed(1e-9, 1e9)),
    ),
    "minimum": D(
        lambda x, y: (x + y - abs(x - y)) / 2,
        (lambda x, y: step(y - x), lambda x, y: step(x - y)),
        (signed(1e-9, 1e9), signed(1e-9, 1e9)),
    ),
    "hypot": D(
        lambda x, y: mp.sqrt(x**2 + y**2),
        (lambda x, y: x / mp.sqrt(x**2 + y**2), lambda x, y: y / mp.sqrt(x**2 + y**2)),
        (signed(1e-3, 1e50), signed(1e-3, 1e50)),
    ),
    "logaddexp": D(
        lambda x, y: mp.log(exponential_sum(x, y)),
        (lambda x, y: logistic(x - y), lambda x, y: logistic(y - x)),
        (within(-300, 300), within(-300, 300)),
    ),
    "where": D(lambda x: x, (one,), (ANY,), call=lambda x: FUNCTIONS["where"](True, x, 0.0)),
    "sign": D(lambda x: x / abs(x), (zero,), (ANY,)),
    "floor": D(mp.floor, (zero,), (within(-50, 50),), avoid=near_whole),
    "ceil": D(mp.ceil, (zero,), (within(-50, 50),), avoid=near_whole),
    "trunc": D(
        lambda x: mp.sign(x) * mp.floor(abs(x)), (zero,), (within(-50, 50),), avoid=near_whole
    ),
    "round": D(mp.nint, (zero,), (within(-50, 50),), avoid=lambda x: near_whole(x + 0.5)),
    "round_to": D(
        lambda x, y: mp.nint(x * 10 ** int(y)) / mp.mpf(10) ** int(y),
        (zero, zero),
        (within(-0.5, 0.5), lambda draw: draw.randrange(1, 3) + 0.5),
        avoid=lambda x, y: near_whole(x * 10 ** int(y) + 0.5),
    ),
}

SMALL = within(-3, 3)
COMPOSED: Mapping[str, Derivation] = {
    "reciprocal": D(lambda x: 1 / x, (lambda x: -(x**-2),), (HUGE,)),
    "square": D(lambda x: x**2, (lambda x: 2 * x,), (ANY,)),
    "deg2rad": D(lambda x: x * mp.pi / 180, (lambda x: mp.pi / 180,), (ANY,)),
    "rad2deg": D(lambda x: x * 180 / mp.pi, (lambda x: 180 / mp.pi,), (ANY,)),
    # Near a zero of the sine its relative error is that of pi * x, which has only 16 digits.
    "sinc": D(
        mp.sincpi,
        (lambda x: (mp.cospi(x) - mp.sincpi(x)) / x,),
        (either(signed(1e-3, 1), within(-20, 20)),),
        avoid=lambda x: abs(x) > 0.5 and near_whole(x, 0.01),
    ),
    "silu": D(
        lambda x: x * logistic(x),
        (lambda x: logistic(x) + x * logistic_slope(x),),
        (within(-600, 100),),
    ),
    "gelu": D(
        lambda x: x * mp.ncdf(x),
        (lambda x: mp.ncdf(x) + x * normal_density(x),),
        (within(-35, 35),),
    ),
    "clip": D(
        lambda x, low, high: min(max(x, low), high),
        (
            lambda x, low, high: mp.mpf(low < x < high),
            lambda x, low, high: mp.mpf(x < low),
            lambda x, low, high: mp.mpf(x > high),
        ),
        (SMALL, within(-2, -1), within(1, 2)),
    ),
    "where": D(
        lambda x, y: x * y if x > y else x / y,
        (lambda x, y: y if x > y else 1 / y, lambda x, y: x if x > y else -x / y**2),
        (signed(1e-3, 1e3), signed(1e-3, 1e3)),
        call=lambda x, y: FUNCTIONS["where"](x > y, x * y, x / y),
    ),
    "sum": D(
        lambda x, y, z: x + y + z,
        (one, one, one),
        (SMALL,) * 3,
        call=lambda *v: FUNCTIONS["sum"](v),
    ),
    "mean": D(
        lambda x, y, z: (x + y + z) / 3,
        (lambda x, y, z: mp.mpf(1) / 3,) * 3,
        (SMALL,) * 3,
        call=lambda *v: FUNCTIONS["mean"](v),
    ),
    "prod": D(
        lambda x, y, z: x * y * z,
        (lambda x, y, z: y * z, lambda x, y, z: x * z, lambda x, y, z: x * y),
        (SMALL,) * 3,
        call=lambda *v: FUNCTIONS["prod"](v),
    ),
    "dot": D(
        lambda a, b, c, d: a * c + b * d,
        (lambda a, b, c, d: c, lambda a, b, c, d: d, lambda a, b, c, d: a, lambda a, b, c, d: b),
        (SMALL,) * 4,
        call=lambda a, b, c, d: FUNCTIONS["dot"]([a, b], [c, d]),
    ),
    "logsumexp": D(
        lambda *v: mp.log(exponential_sum(*v)),
        tuple(lambda *v, i=i: mp.exp(v[i]) / exponential_sum(*v) for i in range(3)),
        (within(-100, 100),) * 3,
        call=lambda *v: FUNCTIONS["logsumexp"](v),
    ),
    # The first of three. Its slopes are differences of shares: fewer digits as a share nears 1.
    "softmax": D(
        lambda x, y, z: mp.exp(x) / exponential_sum(x, y, z),
        (
            lambda x, y, z: mp.exp(x) * exponential_sum(y, z) / exponential_sum(x, y, z) ** 2,
            lambda x, y, z: -mp.exp(x + y) / exponential_sum(x, y, z) ** 2,
            lambda x, y, z: -mp.exp(x + z) / exponential_sum(x, y, z) ** 2,
        ),
        (within(-5, 5),) * 3,
        call=lambda *v: FUNCTIONS["softmax"](v)[0],
    ),
}
