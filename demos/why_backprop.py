"""Why backpropagation: three ways to tune the weights of a network, on the same task.

After this stop you can say why nobody tries all combinations of weights, or turns one weight at a
time. Trying every combination finds the best one on the grid, but each extra weight multiplies the
work by the number of values it can take: the curse of dimensionality. Turning one weight at a time
costs two forward passes for each weight, round after round: the more weights, the longer a round.
Backpropagation sends the gradient back once and has the slopes for all weights, however many there
are, because the stretches of path that weights share are computed only once.

Run it with ``python -m demos.why_backprop``.
"""

# %%
from __future__ import annotations

import itertools
import math
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy
from matplotlib.figure import Figure

from demos import options
from microgradlike import compile, mean, tanh
from microgradlike.words import decimal
from viz import style

demo = options(__doc__)
Array = numpy.typing.NDArray[numpy.float64]
Cost = Callable[[Any], Any]

# %% [markdown]
# ## The task, and three methods
#
# Two neurons with tanh, and a last one that adds them up, learn to draw a bump, given at 20 points.
# They have seven weights (here the three biases count as weights, too). The cost is the mean of the
# squared errors at these points. From here on it is without the half of stop 1: that only makes
# every slope twice as large. The cost is *compiled*, which means that it is computed for many
# choices of weights in one go. Nothing tries weights faster here.


# %%
points = numpy.linspace(-2, 2, 20).tolist()
bump = [math.exp(-1.5 * x * x) for x in points]


def network(w: Any, x: float) -> Any:
    return w[0] * tanh(w[1] * x + w[2]) + w[3] * tanh(w[4] * x + w[5]) + w[6]


@compile
def cost(w: Any) -> Any:
    return mean([(network(w, x) - y) ** 2 for x, y in zip(points, bump, strict=True)])


cost(numpy.zeros((1, 7)))  # traced now, so that nobody pays for it below
cost.jacobian(numpy.zeros((1, 7)))

# %% [markdown]
# Each method keeps, for the plot, how many passes it has made, the seconds since it began, and the
# lowest cost so far. A pass computes the cost, or its slopes, once. A backward pass counts as two
# forward ones, which is about what it takes.


# %%
class Progress:
    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.passes: list[int] = []
        self.seconds: list[float] = []
        self.best: list[float] = []
        self.weights: Array = numpy.empty(0)

    def add(self, passes: int, found: float) -> None:
        self.passes.append(passes + (self.passes[-1] if self.passes else 0))
        self.seconds.append(time.perf_counter() - self.begun)
        self.best.append(min(found, self.best[-1]) if self.best else found)

    def passes_to(self, cost: float) -> int | None:
        """The passes after which the cost was below this, or None if it never was."""
        below = (n for n, best in zip(self.passes, self.best, strict=True) if best < cost)
        return next(below, None)


def all_combinations(cost: Cost, values: Array, weights: int) -> Progress:
    """Every weight has one of these values: try every choice of them."""
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
    progress.weights = w
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
    progress.weights = w
    return progress


# %%
draw = random.Random(demo.seed)
start = numpy.array([draw.uniform(-1, 1) for _ in range(7)])
MOST, STEPS = 20_000, 1000
methods = {
    "all combinations": all_combinations(cost, numpy.linspace(-3, 3, 7), 7),
    "one at a time": one_at_a_time(cost, start, MOST),
    "backpropagation": backpropagation(cost, start, STEPS, rate=0.1, momentum=0.9),
}
print("Seven weights, three methods:\n")
print(f"  {'':18}{'passes':>9}{'seconds':>9}{'lowest cost':>13}{'passes to a cost of 0.01':>27}")
for name, method in methods.items():
    needed = method.passes_to(0.01)
    print(
        f"  {name:18}{method.passes[-1]:9,}{method.seconds[-1]:9.2f}{method.best[-1]:13.5f}"
        f"{'never' if needed is None else format(needed, ','):>27}"
    )

demo.say(
    f"All combinations are 7 values for each of 7 weights, 7 × 7 × ... × 7 = {7**7:,}. One at a "
    f"time may take {MOST:,} passes, and ends earlier where nothing helps any more. "
    f"Backpropagation takes 1 pass at the start and 3 for each of {STEPS:,} steps: one forward, "
    "and one backward that counts two."
)

# %% [markdown]
# ## Stuck
#
# Turning one weight at a time ends when no single weight helps any more, up or down, by the
# smallest step. That can be far from the goal: sometimes several weights must move together, and
# none of them helps alone.


# %%
alone, together = methods["one at a time"], methods["backpropagation"]
before = alone.best[-1]
if alone.passes[-1] < MOST and before > 0.01:
    values = numpy.linspace(-3, 3, 601)
    moved = numpy.repeat(alone.weights[None], 7 * len(values), axis=0)
    for place, some in enumerate(numpy.split(moved, 7)):
        some[:, place] += values
    gained = max(before - float(cost(moved).min()), 0.0)
    answers = [float(network(alone.weights, x)) for x in points]
    borrowed = numpy.repeat(alone.weights[None], 7, axis=0)
    numpy.fill_diagonal(borrowed, together.weights)
    most = "less than 0.000001" if gained < 1e-6 else decimal(gained)
    one, seven = float(cost(borrowed).min()), float(cost(together.weights[None])[0])
    demo.say(
        f"One weight at a time stopped after {alone.passes[-1]:,} passes, with a cost of "
        f"{decimal(before)}, for it was stuck: no {'' if gained < 1e-6 else 'small change of a '}"
        "single weight helps any more. All its answers are between "
        f"{decimal(min(answers))} and {decimal(max(answers))}; the mean of the bump is "
        f"{decimal(sum(bump) / len(bump))}.\n\n"
        f"- Change one weight by anything from -3 to 3: the cost falls by {most} at the most.\n"
        "- Give one weight the value that backpropagation found for it: the cost is "
        f"{decimal(one)} at the best.\n"
        f"- Give all seven weights those values: the cost is {decimal(seven)}."
    )
else:
    demo.say(
        f"From this start, one weight at a time does not get stuck: it reaches a cost of "
        f"{decimal(before)} in {alone.passes[-1]:,} passes. Backpropagation reaches "
        f"{decimal(together.best[-1])} in {together.passes[-1]:,}."
    )

# %% [markdown]
# Was that bad luck, or good luck? Here are ten other starts. Backpropagation, too, finds a valley,
# and not always the best one.

# %%
OTHERS, GOAL = 10, 0.01
others = numpy.random.default_rng(demo.seed).uniform(-1, 1, size=(OTHERS, 7))
reached = {
    "One weight at a time": [one_at_a_time(cost, w, 5000, GOAL).passes_to(GOAL) for w in others],
    "backpropagation": [backpropagation(cost, w, 300, 0.1, 0.9).passes_to(GOAL) for w in others],
}
outcomes, medians = [], []
for name, needs in reached.items():
    arrived = [passes for passes in needs if passes is not None]
    typically = ""
    if arrived:
        medians.append(statistics.median(arrived))
        typically = f", typically after {medians[-1]:,.0f} passes"
    outcomes.append(f"{name} reaches a cost of {GOAL} from {len(arrived)} of them{typically}")
often = sum(passes is not None for passes in reached["One weight at a time"])
was_stuck = before > GOAL
price = ""
if len(medians) == 2:
    price = f": here one at a time takes {decimal(medians[0] / medians[1], 2)} times as many passes"
verdict = {
    (True, True): "So getting stuck was bad luck.",
    (True, False): "So getting stuck is nothing unusual.",
    (False, True): "So arriving is nothing unusual.",
    (False, False): "So arriving was good luck.",
}[was_stuck, often > OTHERS / 2]
demo.say(f"{'; '.join(outcomes)}. {verdict} The difference that lasts is the price{price}.")

# %% [markdown]
# ## How does the work grow?
#
# Seven weights are few. A neuron with n inputs learns to do what another neuron does, from 4 n
# examples. How many passes does it take until the cost is 1 % of what it was? (All combinations of
# even 10 values would be 10 to the power of n passes.)


# %%
def student(n: int) -> Any:
    draw = numpy.random.default_rng(demo.seed)
    inputs = draw.normal(size=(4 * n, n))
    targets = numpy.tanh(inputs @ draw.normal(size=n) / math.sqrt(n)).tolist()
    examples = list(zip(inputs.tolist(), targets, strict=True))

    def cost(w: Any) -> Any:
        answers = (tanh(sum(a * b for a, b in zip(w, x, strict=True))) for x, _ in examples)
        return mean([(y - answer) ** 2 for answer, (_, y) in zip(answers, examples, strict=True)])

    return compile(cost)


sizes = (4, 8, 16, 32, 64, 128)
growth: dict[str, list[int | None]] = {"one at a time": [], "backpropagation": []}
print(f"\nPasses until the cost is 1 % of what it was:\n\n  {'weights':18}", end="")
print("".join(f"{n:9,}" for n in sizes))
for n in sizes:
    of_neuron = student(n)
    nothing = numpy.zeros(n)
    goal = float(of_neuron(nothing[None])[0]) / 100
    growth["one at a time"].append(one_at_a_time(of_neuron, nothing, MOST, goal).passes_to(goal))
    growth["backpropagation"].append(
        backpropagation(of_neuron, nothing, 100, rate=0.3, momentum=0.0).passes_to(goal)
    )
for name, counts in growth.items():
    cells = ("never" if count is None else format(count, ",") for count in counts)
    print(f"  {name:18}" + "".join(f"{cell:>9}" for cell in cells))
prices = {
    n: alone / together
    for n, alone, together in zip(sizes, *growth.values(), strict=True)
    if alone and together
}
fewest, largest = min(prices), max(prices)
demo.say(
    f"With {fewest} weights one at a time takes {decimal(prices[fewest], 2)} times as many passes "
    f"as backpropagation, and with {largest} weights {decimal(prices[largest], 2)} times as many. "
    "Networks that people use have millions of weights."
)

# %% [markdown]
# ## All combinations
#
# Let every weight take the values from 1 to 1000. For three weights the list begins and ends like
# this:


# %%
every = itertools.product(range(1, 1001), repeat=3)
for combination in itertools.islice(every, 3):
    print(f"  {combination}")
print(f"  ...\n  {(1000,) * 3}")
demo.say(
    f"These are 1000 × 1000 × 1000 = {1000**3:,} lines. With one more weight the list is a "
    "thousand times as long."
)

# %% [markdown]
# How long does it take to try them? A machine of 1 GHz tries one combination at each tick of its
# clock, a billion a second. This machine tries a neuron of that size: all combinations where that
# comes to an end, otherwise a part of them, from which the whole follows.

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
    """The time of one combination of n weights, and whether all 1000^n of them were tried."""
    inputs = [draw.uniform(-1, 1) / 1000 for _ in range(weights)]

    @compile
    def cost(w: Any) -> Any:
        return (tanh(sum(a * b for a, b in zip(w, inputs, strict=True))) - 0.5) ** 2

    count = min(1000**weights, 1_000_000, 20_000_000 // weights)
    tried = numpy.ones((count, weights))
    for place in range(min(weights, 2)):
        tried[:, place] += numpy.arange(count) // 1000**place % 1000
    cost(tried[:2])
    begun = time.perf_counter()
    cost(tried)
    return (time.perf_counter() - begun) / count, count == 1000**weights


print("All combinations of weights from 1 to 1000:\n")
print(f"  {'weights':>7}  {'combinations':>12}   {'at 1 GHz':24}on this machine")
for weights in (1, 2, 3, 4, 5, 10, 100, 1000):
    each, whole = seconds_to_try(weights)
    predicted, here = 3 * weights - 9, 3 * weights + math.log10(each)
    print(
        f"  {weights:7,}  {f'10^{3 * weights}':>12}   {duration(predicted):24}"
        f"{duration(here)}, {'measured' if whole else 'extrapolated'}"
    )
print("\n  (The universe is 1.4 x 10^10 years old. ms, us and ns are thousandths, millionths and")
print("  billionths of a second.)")

demo.say(
    "Note: a popular account has 1 ms for 2 neurons, 16 minutes for 4, and 11.5 days for 5. But "
    f"it is weights that are tried out, not neurons, and 4 weights take {duration(3)}, and 5 take "
    f"{duration(6)}."
)

# %% [markdown]
# ## In one picture
#
# By passes, by time, and how the passes grow with the weights. The axes are logarithmic: from one
# line of the grid to the next it is ten times as much (for the weights at the right, twice as
# much). So a small step up is a lot of work.


# %%
LOOKS = {
    "all combinations": (style.MUTED, ":", "s"),
    "one at a time": (style.NEGATIVE, "--", "o"),
    "backpropagation": (style.POSITIVE, "-", "D"),
}
figure = Figure(figsize=(10.5, 4.2), layout="constrained")
by_passes, by_time, by_weights = figure.subplots(1, 3)
for name, method in methods.items():
    colour, dashes, _ = LOOKS[name]
    look: dict[str, Any] = {"color": colour, "linestyle": dashes, "linewidth": 2}
    by_passes.loglog(method.passes, method.best, **look, label=name)
    by_time.loglog(method.seconds, method.best, **look)
by_passes.set(xlabel="forward passes (a backward pass counts two)", ylabel="lowest cost so far")
by_passes.set_title("seven weights, by passes", fontsize=10)
by_time.set(xlabel="seconds")
by_time.set_title("seven weights, by time", fontsize=10)
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
by_weights.set_title("more and more weights", fontsize=10)


def tens(axis: Any) -> None:
    """A line for each power of ten, and at every second one its number as one says it."""
    low, high = (math.log10(end) for end in axis.get_view_interval())
    powers = range(math.ceil(low), math.floor(high) + 1)
    labels = [decimal(10.0**k) if k % 2 == 0 or len(powers) < 5 else "" for k in powers]
    axis.set_ticks([10.0**k for k in powers], labels)


for axes in (by_passes, by_time, by_weights):
    tens(axes.yaxis)
    if axes is not by_weights:
        tens(axes.xaxis)
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
by_weights.set_xticks(sizes, [str(n) for n in sizes])
figure.legend(loc="outside upper center", ncols=3, frameon=False)
demo.show(
    figure,
    "why_backprop.svg",
    "The same seven weights tuned by three methods, by passes and by time; and how the work grows "
    "with the number of weights (all combinations, of 10 values each, were counted and not run). "
    "From one line of the grid to the next it is ten times as much.",
)
