"""A graph that several tests draw: ten ways back, and one node that is used twice."""

from __future__ import annotations

from microgradlike import Value, sin


def expression() -> Value:
    a, b, c, d = (Value(v, label) for v, label in zip((1.5, -2, 0.5, 3), "abcd", strict=True))
    y = sin(a * b) + c**2 / d * a
    y.label = "y"
    return y
