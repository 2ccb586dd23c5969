"""Gradient descent: six routes to the bottom of a valley.

After this stop you can say what the learning rate does, and what would happen if it were ten times
as large. The gradient says which way is up. A step goes the other way, and the learning rate says
how long it is: too small, and it takes forever; too large, and each step overshoots the valley by
more than the last. Momentum keeps some of the speed of the steps before, and Adam gives each weight
a step length of its own.

Run it with ``python -m demos.gradient_descent``.
"""

# %%
from __future__ import annotations

from typing import Any

import numpy
from matplotlib.figure import Figure

from demos import options, three
from microgradlike import Value, compile, mean, optim
from viz import style

demo = options(__doc__)


# %% [markdown]
# ## A landscape of cost
#
# A neuron with one input and no curve gives the answer w x + b: one weight, one bias. It learns
# from 30 examples. The cost is the mean of the squared errors, and it depends on two numbers only,
# so it can be drawn as a landscape: w to the right, b upward, and the cost as the height. This
# valley is narrow: steep across, and nearly flat along.


# %%
draw = numpy.random.default_rng(demo.seed)
xs = draw.uniform(0, 3, size=30)
ys = 1.5 * xs - 1 + draw.normal(scale=0.3, size=30)
examples = list(zip(xs.tolist(), ys.tolist(), strict=True))


@compile
def cost(w: Any, b: Any) -> Any:
    return mean([(y - (w * x + b)) ** 2 for x, y in examples])


def at(point: Any) -> float:
    return float(cost(point[:1], point[1:])[0])


def gradient(point: Any) -> Any:
    """The slope of the cost at w, and at b."""
    return cost.jacobian(point[:1], point[1:])[0, 0]


start = numpy.array([-1.5, 3.0])
best = numpy.linalg.lstsq(numpy.column_stack([xs, numpy.ones(30)]), ys, rcond=None)[0]
lowest, first = at(best), at(start)
demo.say(
    f"The cost is {three(first)} at the start, and {three(lowest)} at the bottom of the valley."
)

# %% [markdown]
# ## How long may a step be?
#
# The curvature says how fast the slope itself changes. When the learning rate is above 2 ÷
# curvature, a step across the valley is so long that it ends on the other side, farther from the
# middle than it began. That is the limit.


# %%
hessian = cost.hessian(start[:1], start[1:])[0]
along, across = numpy.linalg.eigvalsh(hessian)
bound = 2 / across
print(f"curvature along the valley {along:.3f}, across it {across:.3f}")
print(f"so gradient descent arrives only with a rate below 2 / {across:.3f} = {bound:.3f}")

# %% [markdown]
# ## The gradient is not the change
#
# The same gradient makes a short step or a long one: change = − rate × gradient. The minus sign is
# there because the gradient points uphill.


# %%
STEPS = 300
ways: dict[str, tuple[Any, float, dict[str, float]]] = {
    "too small": (optim.SGD, 0.02 * bound, {}),
    "just right": (optim.SGD, bound / 3, {}),
    "near the limit": (optim.SGD, 0.9 * bound, {}),
    "too large": (optim.SGD, 1.02 * bound, {}),
    "with momentum": (optim.SGD, 0.2 * bound, {"momentum": 0.8}),
    "Adam": (optim.Adam, 0.3, {}),
}
uphill = gradient(start)
demo.say(f"At the start the gradient is {three(uphill[0])} at w and {three(uphill[1])} at b.")
print(f"{'':16}{'rate':>10}{'change of w':>14}{'change of b':>14}")
for name, (kind, rate, more) in ways.items():
    if kind is optim.SGD and not more:
        changes = "".join(f"{three(-rate * slope):>14}" for slope in uphill)
        print(f"{name:16}{three(rate):>10}{changes}")

# %% [markdown]
# Six routes from the same start. A route has arrived when it has come down 99 % of the way, and
# stays there.


# %%
def descend(kind: Any, rate: float, steps: int, more: dict[str, float]) -> Any:
    """The points on the way of an optimiser, the first one included."""
    w, b = Value(float(start[0])), Value(float(start[1]))
    optimizer = kind([w, b], lr=rate, **more)
    path = [start]
    for _ in range(steps):
        w.grad, b.grad = gradient(path[-1]).tolist()
        optimizer.step()
        path.append(numpy.array([w.data, b.data]))
    return numpy.array(path)


def arrival(costs: Any) -> int | None:
    """After how many steps it has arrived; momentum may swing through and come back."""
    outside = numpy.flatnonzero(costs - lowest >= 0.01 * (first - lowest))[-1]
    return int(outside) + 1 if outside < STEPS else None


paths = {name: descend(kind, rate, STEPS, more) for name, (kind, rate, more) in ways.items()}
costs = {name: cost(path[:, 0], path[:, 1]) for name, path in paths.items()}
print(f"{'':16}{'rate':>10}{'steps for 99 % of the way':>28}{f'cost after {STEPS} steps':>24}")
for name, (_, rate, _more) in ways.items():
    needed = arrival(costs[name])
    when = "never" if needed is None else str(needed)
    print(f"{name:16}{three(rate):>10}{when:>28}{three(costs[name][-1]):>24}")

# %% [markdown]
# ## On the map
#
# Each thin line joins points of equal cost, and the cross is the lowest point. Near the limit every
# step jumps over the valley and lands on the other side. That is quick here, but nobody knows the
# limit beforehand, and a little beyond it the jumps get longer and longer. At a third of the limit
# the route goes down into the valley and does not swing.


# %%
figure = Figure(figsize=(10.5, 6.6), layout="constrained")
grid = figure.subplots(2, 3)
reach = 1.15 * numpy.abs(start - best)
across_map = numpy.linspace(best[0] - reach[0], best[0] + reach[0], 120)
up_map = numpy.linspace(best[1] - reach[1], best[1] + reach[1], 120)
W, B = numpy.meshgrid(across_map, up_map)
surface = cost(W.ravel(), B.ravel()).reshape(W.shape)
levels = lowest + (first - lowest) * numpy.geomspace(0.002, 2, 12)
SAYS = {
    "too small": "it is still on its way",
    "just right": "down into the valley, then along it",
    "near the limit": "zigzag down into the valley, then along it",
    "too large": "every jump over the valley is longer",
    "with momentum": "the zigzag cancels, the speed along adds up",
    "Adam": "a step length for each weight",
}
#: Each route has a colour, a dash and a mark of its own.
LOOKS: dict[str, tuple[str, Any, str]] = {
    "too small": (style.MUTED, (0, (1, 1)), "s"),
    "just right": (style.POSITIVE, "-", "o"),
    "near the limit": (style.CLASSES[2], (0, (5, 1)), "^"),
    "too large": (style.NEGATIVE, "--", "X"),
    "with momentum": (style.INK, "-.", "D"),
    "Adam": (style.ACTIVE, (0, (3, 1, 1, 1, 1, 1)), "P"),
}
for axes, (name, path) in zip(grid.flat, paths.items(), strict=True):
    axes.contour(W, B, surface, levels=levels, colors=style.BORDER, linewidths=0.6)
    shown = path[: {"too small": STEPS, "too large": 60}.get(name, 100)]
    axes.plot(shown[:, 0], shown[:, 1], "o-", color=LOOKS[name][0], markersize=2.5, linewidth=1.2)
    axes.plot(*best, "x", color=style.INK, markersize=9, markeredgewidth=2)
    axes.set(xlim=across_map[[0, -1]], ylim=up_map[[0, -1]], xlabel="w", ylabel="b")
    axes.set_title(f"{name}, rate {ways[name][1]:.3g}\n{SAYS[name]}", fontsize=10)
demo.show(
    figure,
    "gradient_descent.svg",
    f"The cost as a map, and six routes down from the same start. The limit is a rate of "
    f"{three(bound)}: the rate that is just right is a third of it, the one that is too large only "
    "2 % above it.",
)

# %% [markdown]
# ## The cost, step by step
#
# The scale at the left is logarithmic: each line up is ten times as much. On such a scale a
# straight line down means: with every step the same share of the rest is gone.


# %%
figure = Figure(figsize=(8.4, 4.0), layout="constrained")
axes = figure.subplots()
for place, (name, values) in enumerate(costs.items()):
    colour, dashes, mark = LOOKS[name]
    above = numpy.maximum(values - lowest, 1e-9 * first)
    look = {"color": colour, "linestyle": dashes, "linewidth": 1.8, "label": name}
    axes.plot(above, marker=mark, markevery=(2 * place, 12), markersize=6, **look)
axes.set(yscale="log", ylim=(1e-4, 100 * first), xlim=(0, 150), xlabel="step")
axes.set_yticks([10.0**k for k in range(-4, 3)], [three(10.0**k) for k in range(-4, 3)])
axes.minorticks_off()
axes.set_ylabel("cost above the lowest one")
axes.grid(axis="y", alpha=0.25)
axes.spines[["top", "right"]].set_visible(False)
figure.legend(loc="outside right center", frameon=False, handlelength=4)
demo.show(
    figure,
    "gradient_descent_costs.svg",
    f"How far the cost is above the lowest one, step by step. After 150 steps the rate that is too "
    f"small has {three(costs['too small'][150] - lowest)} left, and the one that is just right "
    f"{three(costs['just right'][150] - lowest)}; with the one that is too large it has risen to "
    f"{three(costs['too large'][150] - lowest)}.",
)

# %% [markdown]
# ## What would a rate ten times as large do here?
#
# Compare it with the limit. Below, it is only quicker. Above, each step leaves the middle of the
# valley farther behind, on the other side.


# %%
for name in ("too small", "just right"):
    rate = 10 * ways[name][1]
    if rate < bound:
        tenfold = descend(optim.SGD, rate, STEPS, {})
        needed = arrival(cost(tenfold[:, 0], tenfold[:, 1]))
        outcome = (
            f"below the limit of {three(bound)}: it arrives after {needed or 'more than 300'} "
            f"steps, where {three(ways[name][1])} had not arrived after {STEPS}."
        )
    else:
        outcome = (
            f"above the limit of {three(bound)}: after 5 steps the cost is "
            f"{three(at(descend(optim.SGD, rate, 5, {})[-1]) / first)} times what it was."
        )
    demo.say(f"Ten times the rate that is *{name}* is {three(rate)}, {outcome}")

# %% [markdown]
# ## It finds a valley, not the best one
#
# The cost above has one valley. The cost of a network has many. Gradient descent knows only the
# slope where it is, so it ends in the valley in which it began. Here is a cost of one weight, with
# two valleys, and two starts:


# %%
def two_valleys(w: Any) -> Any:
    return (w**2 - 1) ** 2 + 0.3 * w + 0.5


def roll(begin: float, steps: int = 200) -> list[float]:
    """Where gradient descent with a rate of 0.02 is, step by step."""
    w = Value(begin)
    optimizer = optim.SGD([w], lr=0.02)
    passed = [w.data]
    for _ in range(steps):
        optimizer.zero_grad()
        two_valleys(w).backward()
        optimizer.step()
        passed.append(w.data)
    return passed


rolled = {begin: roll(begin) for begin in (-1.5, 1.5)}
ends = {begin: two_valleys(passed[-1]) for begin, passed in rolled.items()}
demo.say(
    "\n".join(
        f"- From w = {three(begin)} it ends at w = {three(passed[-1])}, with a cost of "
        f"{three(ends[begin])}."
        for begin, passed in rolled.items()
    )
)
better, worse = sorted(ends, key=lambda begin: ends[begin])

# %%
figure = Figure(figsize=(7.2, 3.4), layout="constrained")
axes = figure.subplots()
line = numpy.linspace(-1.6, 1.6, 300)
axes.plot(line, two_valleys(line), color=style.MUTED, linewidth=1.5)
for (begin, passed), colour, mark in zip(
    rolled.items(), (style.NEGATIVE, style.POSITIVE), "oD", strict=True
):
    heights = [two_valleys(w) for w in passed]
    axes.plot(passed, heights, mark, color=colour, markersize=5)
    axes.annotate(
        "start",
        (begin, heights[0]),
        (8 if begin < 0 else -32, 0),
        textcoords="offset points",
        color=colour,
        va="center",
    )
    axes.annotate(
        f"end: cost {three(heights[-1])}",
        (passed[-1], heights[-1]),
        (0, -16),
        textcoords="offset points",
        color=colour,
        ha="center",
    )
axes.set(xlabel="w", ylabel="cost", ylim=(-0.15, None))
axes.spines[["top", "right"]].set_visible(False)
demo.show(
    figure,
    "gradient_descent_valleys.svg",
    f"A cost with two valleys. The descent from {three(worse)} stops at a cost of "
    f"{three(ends[worse])}: every small step from there leads up, so it never learns of the valley "
    f"at the other side, where the cost is {three(ends[better])}.",
)
