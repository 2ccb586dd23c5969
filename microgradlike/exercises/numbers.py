"""Numbers for the head: which ones a question may have, how they are written, how exact they are.

A small whole number or a half needs no pocket calculator. 0 and 1 are left out of what is drawn:
what is multiplied by 1 stays as it was, and hides a mistake.
"""

from __future__ import annotations

import math

from microgradlike.words import in_short

#: What an input may be.
POOL = (-5.0, -4.0, -3.0, -2.0, -0.5, 0.5, 2.0, 3.0, 4.0, 5.0)

#: The same where a function has many inputs, so that its result does not grow too large.
SMALL = (-3.0, -2.0, -0.5, 0.5, 2.0, 3.0)

#: So many decimals are written in full.
DECIMALS = 3

#: What comes of numbers with three digits is off by this share of it.
ROUNDED = 0.006


def shown(value: float) -> str:
    """The number as a question writes it.

    >>> shown(-2.0), shown(0.125), shown(1 / 3), shown(-0.0)
    ('−2', '0.125', '0.333', '0')
    """
    if not _is_short(value):
        return in_short(value, 3).replace("-", "−")
    text = f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text.replace("-", "−")


def _is_short(value: float) -> bool:
    return math.isclose(value, round(value, DECIMALS), rel_tol=0, abs_tol=1e-9) and (
        value == 0 or 10**-DECIMALS <= abs(value) < 1e6
    )


def tolerance(value: float) -> float:
    """How far an answer may be from the number: who computes with three digits is right.

    >>> tolerance(2.0) < 1e-6, round(tolerance(1 / 3), 6), round(tolerance(12.345), 6)
    (True, 0.002, 0.05)
    """
    if not _is_short(value):
        return ROUNDED * abs(value)
    if not value or float(f"{value:.2e}") == round(value, 12):
        return 1e-9 * max(1.0, abs(value))
    exponent = math.floor(math.log10(abs(value)))
    return 0.5000001 * 10.0 ** (exponent - 2)


def factor(value: float) -> str:
    """The number inside a sum or a product: a negative one in parentheses.

    >>> factor(-2.0), factor(0.5)
    ('(−2)', '0.5')
    """
    return f"({shown(value)})" if value < 0 else shown(value)


def product(*values: float) -> str:
    """A product, spelt out.

    >>> product(-2.0, 3.0, -0.5)
    '−2 × 3 × (−0.5)'
    """
    first, *others = values
    return " × ".join([shown(first), *map(factor, others)])


def total(values: list[float]) -> str:
    """A sum, spelt out.

    >>> total([2.0, -3.0])
    '2 + (−3)'
    """
    first, *others = values
    return " + ".join([shown(first), *map(factor, others)])


def products(pairs: list[tuple[float, float]]) -> str:
    """A sum of products, spelt out.

    >>> products([(1.0, 3.0), (-5.0, -1.0)])
    '1 × 3 + (−5) × (−1)'
    """
    first, *others = pairs
    return " + ".join([product(*first), *(f"{factor(x)} × {factor(y)}" for x, y in others)])


def suit_the_head(values: list[float], grain: float, largest: float) -> bool:
    """Whether all of these are multiples of a small part of one, and not too large.

    Without a grain they may have digits, but none is so small that nobody can compute with it.

    >>> suit_the_head([2.0, -1.5], 0.5, 10), suit_the_head([0.3], 0.5, 10)
    (True, False)
    """
    if not all(abs(v) <= largest for v in values):
        return False
    return all((v / grain).is_integer() if grain else v == 0 or abs(v) >= 0.01 for v in values)
