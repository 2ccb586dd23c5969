"""The chain rule by hand: a small expression in the head, a larger one checked in three ways.

After this stop you can do a backward pass yourself: start at the result with 1, multiply by the
slope of each operation on the way back, and add where a number was used twice. Then we trust
nobody: the same four numbers are found with pencil and paper, by the engine, and by moving each
number a little.

Run it with ``python -m demos.hand_derivation``.
"""

# %%
from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import viz
from demos import options
from microgradlike import Value, assert_derivation, check_gradients, sin
from microgradlike.flow import backward_steps, explain, forward, slopes

demo = options(__doc__)


# %% [markdown]
# e = (a + b) × (b + 1) has three operations, b is used twice, and the head is enough to compute it.
# Forward, each operation computes its value. Backward, e starts with 1, because when e changes, e
# changes by exactly as much. A product sends to each side the gradient times the *other* side's
# value. A sum sends to both sides the gradient unchanged. What is used twice gets two shares: add.
# Multiply along a path and add where paths meet: this is the *chain rule*.

# %%
a, b = Value(-6.0, "a"), Value(4.0, "b")
p, q = a + b, b + 1
e = p * q
p.label, q.label, e.label = "p", "q", "e"
e.backward()

print(f"forward   a = {a.data:g}, b = {b.data:g}")
print(f"          p = a + b = {p.data:g}, q = b + 1 = {q.data:g}, e = p × q = {e.data:g}")
print("backward  e starts with 1")
for step in backward_steps(e):
    share = f"{step.upstream:g} × {step.slope:g} = {step.contribution:g}"
    print(f"          {step.node.label} sends {share} to {step.parent.label}")
print(f"          so de/da = {a.grad:g} and de/db = {b.grad:g}")

moved = forward(e, {b: b.data + 0.01})[e]
ratio = (moved - e.data) / 0.01
print(f"a check   b + 0.01 moves e from {e.data:g} to {moved:.4f}: {ratio:.2f} times as far")

demo.wrote(
    viz.save_stepper(e, demo.out / "hand_derivation.html", lr=0.1, back="index.html"),
    "A page to step through, forward and backward, with the rule in words at each step; it can ask "
    "you first.",
)
demo.show(
    viz.draw(e),
    "hand_derivation.svg",
    "The end of it on paper. On each arrow, in colour, the gradient that went back over it; two "
    "arrows lead back to b, and its gradient is their sum.",
)

# %% [markdown]
# ## Why the order matters
#
# A number may send its gradient on only when it has received all of its shares. In v = 3 × x,
# w = v − 1, y = v × w, the number v has two shares, one from y and one from w. Here the same sweep
# runs twice: in the right order, and in a wrong one in which v does not wait for w. The
# *engine* is this library: it records every operation, and goes back over the record.

# %%
x = Value(2.0, "x")
v = 3 * x
w = v - 1
y = v * w


def sweep(order: Sequence[Value]) -> float:
    """dy/dx, if the operations send their gradients in this order."""
    gradient = {y: 1.0, v: 0.0, w: 0.0, x: 0.0}
    for node in order:
        for operand, slope in slopes(node):
            gradient[operand] += gradient[node] * slope
    return gradient[x]


right, wrong = sweep([y, w, v]), sweep([y, v, w])
print(f"\nat x = {x.data:g}")
print(f"sent in the order y, w, v: dy/dx = {right:g}")
print(f"sent in the order y, v, w: dy/dx = {wrong:g}, because v sent before w's share arrived")
y.backward()
print(f"the engine, which sorts first: dy/dx = {x.grad:g}")


# %% [markdown]
# ## The same for a larger expression, checked in three ways
#
# y = sin(a × b) + c² ÷ d has five operations. The chain rule, by hand:
#
#     dy/da = cos(a × b) × b        dy/dc = 2 × c ÷ d
#     dy/db = cos(a × b) × a        dy/dd = −c² ÷ d²
#
# For these you would need calculus: that the slope of sin at v is cos(v), say, is in every table
# of derivatives. If you have none, take them on trust, and look whether the numbers agree.


# %%
def expression(a: Any, b: Any, c: Any, d: Any) -> Any:
    """sin(a * b) + c**2 / d."""
    return sin(a * b) + c**2 / d


def by_hand(a: float, b: float, c: float, d: float) -> list[float]:
    """The four derivatives above."""
    return [math.cos(a * b) * b, math.cos(a * b) * a, 2 * c / d, -(c**2) / d**2]


def digits(number: float, other: float) -> int:
    """To how many digits two numbers agree; a float has 15."""
    apart = abs(number - other) / abs(other)
    return 15 if apart < 1e-15 else math.floor(-math.log10(apart))


# %% [markdown]
# One sweep back over what was recorded gives all four slopes at once. *Differences* need no chain
# rule at all: nudge one number up and down, look at what the result does, and divide.

# %%
draw = random.Random(demo.seed)
point = [round(draw.uniform(0.5, 2.5), 2) for _ in "abcd"]

leaves = [Value(v, label) for v, label in zip(point, "abcd", strict=True)]
y = expression(*leaves)
y.label = "y"
y.backward()

report = check_gradients(expression, tuple(point))
at = ", ".join(f"{leaf.label} = {leaf.data:g}" for leaf in leaves)
print(f"\ny = sin(a × b) + c² ÷ d = {y.data:.4g} at {at}\n")
print(f"{'':8}{'by hand':>9}{'engine':>9}{'differences':>13}   agree with hand to")
for leaf, hand, row in zip(leaves, by_hand(*point), report.operands, strict=True):
    found = row.numeric.slope
    print(
        f"dy/d{leaf.label:4}{hand:9.4g}{leaf.grad:9.4g}{found:13.4g}   "
        f"{digits(leaf.grad, hand)} and {digits(found, hand)} digits"
    )

# %% [markdown]
# One point proves little. At 100 random ones:

# %%
assert_derivation(
    expression,
    ["cos(a*b)*b", "cos(a*b)*a", "2*c/d", "-c**2/d**2"],
    domain=(0.5, 2.5),
)
print("\nAt 100 more random points the derivation by hand and the engine agree.")
print("\nHow the gradient comes to a, step by step:\n")
print(explain(y, leaves[0]).symbols)
print()

# %%
demo.wrote(
    viz.animate(y, demo.out / "hand_derivation_flow.svg"),
    "The backward pass of y as a film: it starts at y with 1 and flows back to a, b, c and d.",
)
