"""One expression, its gradient by hand, by the engine, and by central differences.

Backpropagation is the chain rule, and nothing else: the error of a result goes back through each
operation, multiplied by the slope of that operation. Three ways to the same four numbers: the
derivation with pencil and paper, the engine's backward sweep, and differences between two results.

Run it with ``python -m demos.hand_derivation``.
"""

# %%
from __future__ import annotations

import math
import random
from typing import Any

import viz
from demos import options
from microgradlike import Value, assert_derivation, check_gradients, sin
from microgradlike.flow import explain

demo = options(__doc__)


# %% [markdown]
# y = sin(a * b) + c**2 / d has five operators. The chain rule, by hand:
#
#     dy/da = cos(a * b) * b        dy/dc = 2 * c / d
#     dy/db = cos(a * b) * a        dy/dd = -c**2 / d**2


# %%
def expression(a: Any, b: Any, c: Any, d: Any) -> Any:
    """sin(a * b) + c**2 / d."""
    return sin(a * b) + c**2 / d


def by_hand(a: float, b: float, c: float, d: float) -> list[float]:
    """The four derivatives above."""
    return [math.cos(a * b) * b, math.cos(a * b) * a, 2 * c / d, -(c**2) / d**2]


# %% [markdown]
# Forward: every operation computes its value, and is recorded. Backward: one sweep over what was
# recorded gives the slope of y by all four numbers at once.

# %%
draw = random.Random(demo.seed)
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

# %% [markdown]
# One point proves little. At 100 random ones:

# %%
assert_derivation(
    expression,
    ["cos(a*b)*b", "cos(a*b)*a", "2*c/d", "-c**2/d**2"],
    domain=(0.5, 2.5),
)
print("\nAnd at 100 more points the derivation by hand is the one of the engine.")
print("\nThe way of the error to a, step by step:\n")
print(explain(y, a).symbols)
print()

# %% [markdown]
# And the same to look at: the graph, the sweep in motion, and a page to step through.

# %%
demo.show(
    viz.draw(y),
    "hand_derivation.svg",
    "The graph, from left to right. On each arrow, in colour, the error that goes back over it.",
)
demo.wrote(
    viz.animate(y, demo.out / "hand_derivation_flow.svg"),
    "The same as a film: the error starts at y as 1 and flows back to a, b, c and d.",
)
demo.wrote(
    viz.save_stepper(y, demo.out / "hand_derivation.html", lr=0.1),
    "A page to step through, forward and backward, with the rule in words at each step.",
)
