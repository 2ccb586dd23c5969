"""Why backpropagation: three ways to tune the weights of a network, on the same task.

Trying all combinations of weights finds the best one that was on the list, but every further weight
multiplies the work by the number of its values: the curse of dimensionality. Turning one weight at
a time costs two forward passes for each weight, round after round: the more weights, the longer a
round. Backpropagation sends the error back once and has the slopes of all weights at the same time,
however many there are, because what their ways have in common is computed once for all.

Run it with ``python -m demos.why_backprop``.
"""

# %%
from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Any

import numpy
from matplotlib.figure import Figure

from demos import options
from microgradlike import compile, mean, tanh
from viz import style

demo = options(__doc__)
Array = numpy.typing.NDArray[numpy.float64]
Cost = Callable[[Any], Any]

# %% [markdown]
# The task: two neurons, seven weights, shall draw a bump. The cost of seven weights is the mean
# square of the error at 20 points. It is written in scalars, and compiled: ``cost(W)`` gives the
# cost of each row of W, in one go. That is the fastest way we have to try weights.

# %%
points = numpy.linspace(-2, 2, 20).tolist()
bump = [math.exp(-1.5 * x * x) for x in points]


def network(w: Any, x: float) -> Any:
    return w[0] * tanh(w[1] * x + w[2]) + w[3] * tanh(w[4] * x + w[5]) + w[6]


@compile
def cost(w: Any) -> Any:
    return mean([(network(w, x) - y) ** 2 for x, y in zip(points, bump, strict=True)])


cost(numpy.zeros((1, 7)))  # traced now, so that nobody pays for it below

# %% [markdown]
# Each way keeps, for the plot, how many passes it has made, the seconds since it began, and the
# least cost so far. A pass back is counted as two forward ones, which is about what it costs.


# %%
class Progress:
    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.passes: list[int] = []
        self.seconds: list[float] = []
        self.best: list[float] = []

    def add(self, passes: int, found: float) -> None:
        self.passes.append(passes + (self.passes[-1] if self.passes else 0))
        self.seconds.append(time.perf_counter() - self.begun)
        self.best.append(min(found, self.best[-1]) if self.best else found)

    def passes_to(self, cost: float) -> int | None:
        """The passes after which the cost was below this, or None if it never was."""
        below = (n for n, best in zip(self.passes, self.best, strict=True) if best < cost)
        return next(below, None)


def all_combinations(cost: Cost, values: Array, weights: int) -> Progress:
    """Every weight has one of these values: try all ways to choose them."""
    progress = Progress()
    choices = numpy.arange(len(values) ** weights)
    digits = len(values) ** numpy.arange(weights)
    for some in numpy.array_split(choices, 200):
        found = cost(values[some[:, None] // digits % len(values)])
        progress.add(len(some), float(found.min()))
    return progress


def one_at_a_time(cost: Cost, start: Array, passes: int, goal: float = 0.0) -> Progress:
    """Turn one weight up and down by a step, keep what helps; if nothing does, halve the step."""
    progress = Progress()
    w, step = start, 0.5
    least = float(cost(w[None])[0])
    progress.add(1, least)
    while progress.passes[-1] < passes and step > 1e-6 and least >= goal:
        before = least
        for place in range(len(w)):
            tries = numpy.array([w, w])
            tries[0, place] += step
            tries[1, place] -= step
            found = cost(tries)
            if found.min() < least:
                least, w = float(found.min()), tries[found.argmin()]
            progress.add(2, least)
        if least == before:
            step /= 2
    return progress


def backpropagation(cost: Any, start: Array, steps: int, rate: float, momentum: float) -> Progress:
    """All weights at once, against their slopes; momentum keeps some of the speed."""
    progress = Progress()
    w, speed = start, numpy.zeros_like(start)
    progress.add(1, float(cost(w[None])[0]))
    for _ in range(steps):
        slopes = cost.jacobian(w[None])[0, 0]
        speed = momentum * speed - rate * slopes
        w = w + speed
        progress.add(3, float(cost(w[None])[0]))
    return progress


# %%
draw = random.Random(demo.seed)
start = numpy.array([draw.uniform(-1, 1) for _ in range(7)])
ways = {
    "all combinations": all_combinations(cost, numpy.linspace(-3, 3, 7), 7),
    "one at a time": one_at_a_time(cost, start, 20_000),
    "backpropagation": backpropagation(cost, start, 1000, rate=0.1, momentum=0.9),
}
print("Seven weights, three ways:\n")
print(f"  {'':18}{'passes':>9}{'seconds':>9}{'least cost':>12}{'passes to a cost of 0.01':>27}")
for name, way in ways.items():
    needed = way.passes_to(0.01)
    print(
        f"  {name:18}{way.passes[-1]:9,}{way.seconds[-1]:9.2f}{way.best[-1]:12.5f}"
        f"{'never' if needed is None else format(needed, ','):>27}"
    )

# %% [markdown]
# Seven weights are few. How does the work grow? One neuron listens to n others, and shall find the
# n weights of another such neuron from 4 n examples: how many passes until the cost is 1 % of what
# it was? (All combinations of even 10 values would be 10 to the power of n passes.)


# %%
def listener(n: int) -> Any:
    draw = numpy.random.default_rng(demo.seed)
    heard = draw.normal(size=(4 * n, n))
    words = numpy.tanh(heard @ draw.normal(size=n) / math.sqrt(n)).tolist()
    examples = list(zip(heard.tolist(), words, strict=True))

    def cost(w: Any) -> Any:
        said = (tanh(sum(a * b for a, b in zip(w, x, strict=True))) for x, _ in examples)
        return mean([(word - y) ** 2 for word, (_, y) in zip(said, examples, strict=True)])

    return compile(cost)


sizes = (4, 8, 16, 32, 64, 128)
growth: dict[str, list[int | None]] = {"one at a time": [], "backpropagation": []}
print(f"\nPasses until the cost is 1 % of what it was:\n\n  {'weights':18}", end="")
print("".join(f"{n:9,}" for n in sizes))
for n in sizes:
    of_neuron = listener(n)
    nothing = numpy.zeros(n)
    goal = float(of_neuron(nothing[None])[0]) / 100
    growth["one at a time"].append(one_at_a_time(of_neuron, nothing, 20_000, goal).passes_to(goal))
    growth["backpropagation"].append(
        backpropagation(of_neuron, nothing, 100, rate=0.3, momentum=0.0).passes_to(goal)
    )
for name, counts in growth.items():
    cells = ("never" if count is None else format(count, ",") for count in counts)
    print(f"  {name:18}" + "".join(f"{cell:>9}" for cell in cells))

# %% [markdown]
# And all combinations, with weights from 1 to 1000? A machine of 1 GHz tries one combination a tick
# of its clock. This one tries a neuron of that size: all combinations where that ends, else a part
# of them, from which the whole follows.

# %%
UNITS = {"years": 365.25 * 86400, "days": 86400.0, "hours": 3600.0, "minutes": 60.0}
UNITS |= {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def duration(exponent: float) -> str:
    """10 to this power of seconds, in the unit that a person would use."""
    unit = next((u for u, size in UNITS.items() if exponent >= math.log10(size)), "ns")
    exponent -= math.log10(UNITS[unit])
    if exponent < 4:
        return f"{10**exponent:.3g} {unit}"
    whole = math.floor(exponent + 1e-9)
    return f"{10 ** (exponent - whole):.1f} x 10^{whole} {unit}"


def seconds_to_try(weights: int) -> tuple[float, bool]:
    """The time of one combination of so many weights, and whether all 1000^n of them were tried."""
    heard = [draw.uniform(-1, 1) / 1000 for _ in range(weights)]

    @compile
    def cost(w: Any) -> Any:
        return (tanh(sum(a * b for a, b in zip(w, heard, strict=True))) - 0.5) ** 2

    count = min(1000**weights, 1_000_000, 20_000_000 // weights)
    tried = numpy.ones((count, weights))
    for place in range(min(weights, 2)):
        tried[:, place] += numpy.arange(count) // 1000**place % 1000
    rounds = 1000 if weights == 3 else 1
    cost(tried[:2])
    begun = time.perf_counter()
    for third in range(1, rounds + 1):
        if weights == 3:
            tried[:, 2] = third
        cost(tried)
    total = rounds * count
    return (time.perf_counter() - begun) / total, total == 1000**weights


print("\nAll combinations of weights from 1 to 1000:\n")
print(f"  {'weights':>7}  {'combinations':>12}   {'at 1 GHz':24}on this machine")
for weights in (1, 2, 3, 4, 5, 10, 100, 1000):
    each, whole = seconds_to_try(weights)
    predicted, here = 3 * weights - 9, 3 * weights + math.log10(each)
    print(
        f"  {weights:7,}  {f'10^{3 * weights}':>12}   {duration(predicted):24}"
        f"{duration(here)}, {'measured' if whole else 'extrapolated'}"
    )
print("\n  (The universe is 1.4 x 10^10 years old.)")

# %% [markdown]
# The three ways in one picture: by passes, by time, and how the passes grow with the weights.

# %%
LOOKS = {
    "all combinations": (style.MUTED, ":", "s"),
    "one at a time": (style.NEGATIVE, "--", "o"),
    "backpropagation": (style.POSITIVE, "-", "D"),
}
figure = Figure(figsize=(10.5, 3.8), layout="constrained")
by_passes, by_time, by_weights = figure.subplots(1, 3)
for name, way in ways.items():
    colour, dashes, _ = LOOKS[name]
    look: dict[str, Any] = {"color": colour, "linestyle": dashes, "linewidth": 2}
    by_passes.loglog(way.passes, way.best, **look, label=name)
    by_time.loglog(way.seconds, way.best, **look)
by_passes.set(xlabel="forward passes (a pass back counts two)", ylabel="least cost so far")
by_time.set(xlabel="seconds")
by_time.sharey(by_passes)
for name, counts in growth.items():
    colour, dashes, marker = LOOKS[name]
    known = [(n, count) for n, count in zip(sizes, counts, strict=True) if count is not None]
    xs, ys = zip(*known, strict=True)
    by_weights.loglog(xs, ys, dashes, color=colour, marker=marker, linewidth=2, markersize=5)
colour, dashes, marker = LOOKS["all combinations"]
few = [2, 3, 4, 5, 6, 7]
by_weights.loglog(few, [10.0**n for n in few], dashes, color=colour, linewidth=2)
by_weights.set(
    xlabel="weights", ylabel="passes until the cost is 1 %", ylim=(5, 3e5), xlim=(2, 160)
)
by_weights.set_xticks(sizes, [str(n) for n in sizes], minor=False)
by_weights.minorticks_off()
for axes in (by_passes, by_time, by_weights):
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
figure.legend(loc="outside upper center", ncols=3, frameon=False)
demo.show(
    figure,
    "why_backprop.svg",
    "The same seven weights tuned in three ways, by passes and by time; and how the work grows "
    "with the number of weights (all combinations, of 10 values each, are computed and not run).",
)
