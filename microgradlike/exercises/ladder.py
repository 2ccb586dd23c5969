"""The functions of ten levels, from ``a * b`` to a network of 2, 2 and 1."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple, cast

from microgradlike.engine import Value
from microgradlike.functions import relu, sigmoid, tanh

V = Value


class Rung(NamedTuple):
    """A function of a level."""

    level: int
    f: Callable[..., object]
    result: str = "e"
    exact: bool = True
    """Whether its numbers can be such that nobody needs a pocket calculator."""
    adjusted: Callable[[dict[str, float]], dict[str, float]] = dict
    """Changes the inputs that were drawn, so that they go together."""
    flat: bool = False
    """Whether a gradient may be 0."""


def _called(name: str, value: object) -> Value:
    """The value with a name of its own."""
    named = cast("Value", value)
    named.label = name
    return named


def _cost(target: Value, answer: Value) -> Value:
    """Half the error squared."""
    return (target - answer) ** 2 / 2


def _neuron(w: V, x: V, b: V, t: V) -> V:
    z = _called("z", w * x + b)
    return _cost(t, _called("y", relu(z)))


def _two_inputs(w1: V, x1: V, w2: V, x2: V, b: V, t: V) -> V:
    return _cost(t, _called("y", w1 * x1 + w2 * x2 + b))


def _chain(w: V, x: V, b: V, v: V, t: V) -> V:
    h = _called("h", relu(_called("z", w * x + b)))
    return _cost(t, _called("y", v * h))


def _sigmoid(w: V, x: V, b: V, v: V, t: V) -> V:
    h = _called("h", sigmoid(_called("z", w * x + b)))
    return _cost(t, _called("y", v * h))


def _network(
    x1: V, x2: V, w11: V, w12: V, b1: V, w21: V, w22: V, b2: V, v1: V, v2: V, c: V, t: V
) -> V:
    h1 = _called("h1", relu(_called("z1", w11 * x1 + w12 * x2 + b1)))
    h2 = _called("h2", relu(_called("z2", w21 * x1 + w22 * x2 + b2)))
    return _cost(t, _called("y", v1 * h1 + v2 * h2 + c))


def _feeds_two(curve: Callable[..., object]) -> Callable[..., object]:
    def f(z: V, v1: V, v2: V, c1: V, c2: V) -> V:
        h = _called("h", curve(z))
        return c1 * _called("z1", v1 * h) + c2 * _called("z2", v2 * h)

    return f


def _sum_of_zero(point: dict[str, float]) -> dict[str, float]:
    """Where the weighted sum is 0, sigmoid is a half, and its slope a quarter."""
    return point | ({"z": 0.0} if "z" in point else {"b": -point["w"] * point["x"]})


#: A neuron that feeds two others.
FEEDS_TWO = (
    Rung(9, _feeds_two(lambda z: z**2), "y"),
    Rung(9, _feeds_two(sigmoid), "y", adjusted=_sum_of_zero),
)

#: Each level adds one difficulty.
LADDER = (
    Rung(1, lambda a, b: a * b),
    Rung(1, lambda w, x: w * x, "y"),
    Rung(2, lambda a, b, c: a * b + c),
    Rung(2, lambda a, b, c: (a + b) * c),
    Rung(2, lambda a, b, c: (a - b) * c),
    Rung(3, lambda a, b: (a + b) * a),
    Rung(3, lambda a, b: a * b - a),
    Rung(3, lambda a, b: (a - b) * b),
    Rung(4, lambda a, b: (a + b) * (b + 1)),
    Rung(4, lambda a, b, c: (a - b) * (b + c)),
    Rung(4, lambda a, b, c: a * b + b * c),
    Rung(5, lambda w, x, t: _cost(t, w * x), "C"),
    Rung(5, lambda a, b, c: (a * b - c) ** 2),
    Rung(6, _neuron, "C"),
    Rung(7, _two_inputs, "C"),
    Rung(8, _chain, "C"),
    Rung(8, lambda a, b, c: (a * b + c) * (a - c)),
    *FEEDS_TWO,
    Rung(9, _sigmoid, "C", adjusted=_sum_of_zero),
    Rung(10, _network, "C"),
)


# ---- Functions that one kind of question needs --------------------------------------------------


def _flat(curve: Callable[..., object]) -> Callable[..., object]:
    def f(z1: V, z2: V, z3: V) -> V:
        return cast("V", curve(z1)) + cast("V", curve(z2)) + cast("V", curve(z3))

    return f


def _widest(w1: V, x1: V, w2: V, x2: V, t: V) -> V:
    return _cost(t, _called("y", w1 * x1 + w2 * x2))


def _widest_of_three(w1: V, x1: V, w2: V, x2: V, w3: V, x3: V, t: V) -> V:
    return _cost(t, _called("y", w1 * x1 + w2 * x2 + w3 * x3))


def _alike(point: dict[str, float]) -> dict[str, float]:
    """Weights that begin alike and grow: all is positive, and the target is above the answer."""
    sizes = {name: abs(number) for name, number in point.items()}
    weights = {name: sizes["w1"] for name in sizes if name.startswith("w")}
    answer = sum(sizes["w1"] * x for name, x in sizes.items() if name.startswith("x"))
    return sizes | weights | {"t": answer + sizes["t"]}


#: Three neurons beside each other, of which one may be flat.
FLAT = (
    Rung(6, _flat(relu), "y", flat=True),
    Rung(8, _flat(tanh), "y", exact=False, flat=True),
    Rung(9, _flat(sigmoid), "y", exact=False, flat=True),
)

#: A neuron whose weights begin alike.
ALIKE = (
    Rung(5, _widest, "C", exact=False, adjusted=_alike),
    Rung(7, _widest_of_three, "C", exact=False, adjusted=_alike),
)


def _by_hand(k: int, m: int) -> list[Rung]:
    """Formulas with these constants, for a derivation by hand."""
    return [
        Rung(1, lambda a, b: k * a * b + m),
        Rung(2, lambda a, b: k * a * b + m * b),
        Rung(3, lambda a, b: (k * a - m * b) * a),
        Rung(4, lambda a, b: (k * a + b) * (b + m)),
        Rung(5, lambda a, b: (k * a * b - m) ** 2),
        Rung(6, lambda a, b: k * a**2 * b - m * a),
        Rung(8, lambda a, b: (a * b + k) * (a - m * b)),
    ]


#: The same with some pairs of constants.
BY_HAND = tuple(
    rung for k, m in itertools.product((2, 3, 4, 5), repeat=2) for rung in _by_hand(k, m)
)
