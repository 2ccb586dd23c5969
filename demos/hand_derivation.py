"""One expression, its gradient by hand, by the engine, and by central differences.

y = sin(a * b) + c**2 / d has five operators. The chain rule, by hand:

    dy/da = cos(a * b) * b        dy/dc = 2 * c / d
    dy/db = cos(a * b) * a        dy/dd = -c**2 / d**2

Run it with ``python -m demos.hand_derivation``.
"""

from __future__ import annotations

import math
import random
from typing import Any

import viz
from demos import options
from microgradlike import Value, assert_derivation, check_gradients, sin
from microgradlike.flow import explain


def expression(a: Any, b: Any, c: Any, d: Any) -> Any:
    """sin(a * b) + c**2 / d."""
    return sin(a * b) + c**2 / d


def by_hand(a: float, b: float, c: float, d: float) -> list[float]:
    """The four derivatives above."""
    return [math.cos(a * b) * b, math.cos(a * b) * a, 2 * c / d, -(c**2) / d**2]


def main() -> None:
    """Print the table, draw the graph, and write the pages in which the error moves."""
    chosen = options(main.__doc__ or "")
    draw = random.Random(chosen.seed)
    point = [round(draw.uniform(0.5, 2.5), 2) for _ in "abcd"]

    a, b, c, d = (Value(v, label) for v, label in zip(point, "abcd", strict=True))
    y = expression(a, b, c, d)
    y.label = "y"
    y.backward()

    report = check_gradients(expression, tuple(point))
    print(f"y = sin(a * b) + c**2 / d = {y.data:.6f}\n")
    print(f"{'':8}{'value':>8}{'by hand':>22}{'the engine':>22}{'central differences':>30}")
    for leaf, hand, row in zip((a, b, c, d), by_hand(*point), report.operands, strict=True):
        numeric = f"{row.numeric.slope:.12f} +- {row.numeric.error:.0e}"
        print(f"dy/d{leaf.label:4}{leaf.data:8.2f}{hand:22.15f}{leaf.grad:22.15f}{numeric:>30}")

    assert_derivation(
        expression,
        ["cos(a*b)*b", "cos(a*b)*a", "2*c/d", "-c**2/d**2"],
        domain=(0.5, 2.5),
    )
    print("\nAnd at 100 more points the derivation by hand is the one of the engine.")
    print("\nThe way of the error to a, step by step:\n")
    print(explain(y, a).symbols)

    written = [
        viz.draw(y).save(chosen.out / "hand_derivation.svg"),
        viz.animate(y, chosen.out / "hand_derivation_flow.svg"),
        viz.save_stepper(y, chosen.out / "hand_derivation.html", lr=0.1),
    ]
    print()
    for path in written:
        print("wrote", path)


if __name__ == "__main__":
    main()
