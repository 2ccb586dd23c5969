"""Down the slope: the cost over two weights, and the ways that lead to its least point.

The gradient of the cost is its slope by each weight. It points uphill, so a step down goes against
it. The learning rate says how long a step is: too small, and the way takes for ever; too large, and
the steps jump over the valley, farther each time. Momentum keeps some of the speed of the steps
before, and Adam gives each weight a step length of its own.

Run it with ``python -m demos.gradient_descent``.
"""

# %%
from __future__ import annotations

from typing import Any

import numpy
from matplotlib.figure import Figure

from demos import options
from microgradlike import Value, compile, mean, optim
from viz import style

demo = options(__doc__)

# %% [markdown]
# A neuron with one input: it says w x + b, and shall say what 30 examples say. The cost is the mean
# square of its error. Both weights pull at the same words, so the valley of the cost is narrow: it
# is steep across, and nearly flat along.

# %%
draw = numpy.random.default_rng(demo.seed)
xs = draw.uniform(0, 3, size=30)
ys = 1.5 * xs - 1 + draw.normal(scale=0.3, size=30)
examples = list(zip(xs.tolist(), ys.tolist(), strict=True))


@compile
def cost(w: Any, b: Any) -> Any:
    return mean([(w * x + b - y) ** 2 for x, y in examples])


def at(point: Any) -> float:
    return float(cost(point[:1], point[1:])[0])


# %% [markdown]
# How steep is steep? The second derivatives tell how fast the slope itself changes. Their largest
# eigenvalue is the curvature across the valley. When the rate is above 2 / curvature, a step is so
# long that it ends farther from the middle of the valley, on the other side, than it began.

# %%
start = numpy.array([-1.5, 3.0])
hessian = cost.hessian(start[:1], start[1:])[0]
along, across = numpy.linalg.eigvalsh(hessian)
bound = 2 / across
print(f"curvature along the valley {along:.3f}, across it {across:.3f}")
print(f"so gradient descent arrives only with a rate below 2 / {across:.3f} = {bound:.3f}\n")
best = numpy.linalg.lstsq(numpy.column_stack([xs, numpy.ones(30)]), ys, rcond=None)[0]


# %%
def descend(kind: Any, rate: float, steps: int, **more: float) -> Any:
    """The points that an optimiser passes, the first one included."""
    w, b = Value(float(start[0])), Value(float(start[1]))
    optimizer = kind([w, b], lr=rate, **more)
    path = [start]
    for _ in range(steps):
        here = path[-1]
        slopes = cost.jacobian(here[:1], here[1:])[0, 0]
        w.grad, b.grad = slopes.tolist()
        optimizer.step()
        path.append(numpy.array([w.data, b.data]))
    return numpy.array(path)


STEPS = 300
ways = {
    "too small": (optim.SGD, 0.02 * bound, {}),
    "just right": (optim.SGD, 0.9 * bound, {}),
    "too large": (optim.SGD, 1.02 * bound, {}),
    "with momentum": (optim.SGD, 0.2 * bound, {"momentum": 0.8}),
    "Adam": (optim.Adam, 0.3, {}),
}
paths = {name: descend(kind, rate, STEPS, **more) for name, (kind, rate, more) in ways.items()}
costs = {name: cost(path[:, 0], path[:, 1]) for name, path in paths.items()}
least, first = at(best), at(start)
print(f"the cost is {first:.3f} at the start, and {least:.3f} at its least point\n")
print(f"{'':16}{'rate':>8}{'steps for 99 % of the way':>28}{f'cost after {STEPS} steps':>24}")
needed = {}
for name, (_, rate, _more) in ways.items():
    # Not where it passes for the first time: momentum may swing through.
    outside = numpy.flatnonzero(costs[name] - least >= 0.01 * (first - least))[-1]
    needed[name] = int(outside) + 1 if outside < STEPS else None
    when = "never" if needed[name] is None else str(needed[name])
    print(f"{name:16}{rate:8.4f}{when:>28}{costs[name][-1]:24.4g}")

# %% [markdown]
# The same on the map: each line joins points of equal cost, the cross is the least one.

# %%
figure = Figure(figsize=(10.5, 6.6), layout="constrained")
grid = figure.subplots(2, 3)
reach = 1.15 * numpy.abs(start - best)
across_map = numpy.linspace(best[0] - reach[0], best[0] + reach[0], 120)
up_map = numpy.linspace(best[1] - reach[1], best[1] + reach[1], 120)
W, B = numpy.meshgrid(across_map, up_map)
surface = cost(W.ravel(), B.ravel()).reshape(W.shape)
levels = least + (first - least) * numpy.geomspace(0.002, 2, 12)
SAYS = {
    "too small": "it is still on its way",
    "just right": "zigzag down into the valley, then along it",
    "too large": "every jump over the valley is longer",
    "with momentum": "the zigzag cancels, the speed along adds up",
    "Adam": "a step length for each weight",
}
LOOKS = dict(zip(ways, ((0, (1, 1)), "-", (0, (5, 1)), "-.", "--"), strict=True))
COLOURS = dict(
    zip(
        ways,
        (style.MUTED, style.POSITIVE, style.NEGATIVE_TEXT, style.NEGATIVE, style.ACTIVE),
        strict=True,
    )
)
for axes, (name, path) in zip(grid.flat, paths.items(), strict=False):
    axes.contour(W, B, surface, levels=levels, colors=style.BORDER, linewidths=0.6)
    shown = path[: 60 if name != "too small" else STEPS]
    axes.plot(shown[:, 0], shown[:, 1], "o-", color=COLOURS[name], markersize=2.5, linewidth=1.2)
    axes.plot(*best, "x", color=style.INK, markersize=9, markeredgewidth=2)
    axes.set(xlim=across_map[[0, -1]], ylim=up_map[[0, -1]], xlabel="w", ylabel="b")
    axes.set_title(f"{name}, rate {ways[name][1]:.3g}\n{SAYS[name]}", fontsize=10)
curves = grid.flat[5]
for name, values in costs.items():
    shown = numpy.maximum(values - least, 1e-9 * first)
    curves.plot(shown, linestyle=LOOKS[name], color=COLOURS[name], linewidth=2, label=name)
curves.set(yscale="log", ylim=(1e-4, 20 * first), xlabel="step", xlim=(0, STEPS))
curves.set_title("cost above the least one, step by step", fontsize=10)
curves.legend(fontsize=8, loc="upper right")
curves.spines[["top", "right"]].set_visible(False)
demo.show(
    figure,
    "gradient_descent.svg",
    "The cost over two weights as a map, and five ways down: gradient descent with a rate too "
    "small, right, and too large; with momentum; and Adam.",
)
