"""Delta from delta: the four equations of backpropagation, with the numbers of a small network.

After this stop you can say what delta is, where each number of the four equations comes from, why
the slope of a weight contains its input, and why a saturated neuron stops learning. A neuron's
delta says how fast the cost rises as its weighted sum rises. The deltas of a layer come from those
of the next layer, through the weights in between: results flow forward, gradients flow back.

Run it with ``python -m demos.layer_errors``.
"""

# %%
from __future__ import annotations

import ast
import copy
import random

import numpy
from matplotlib.figure import Figure

import viz
from demos import options, three
from microgradlike import losses, optim
from microgradlike.flow import layer_errors
from microgradlike.nn import MLP
from microgradlike.typeset import Term, Total, with_numbers
from viz import style

demo = options(__doc__)
Array = numpy.typing.NDArray[numpy.float64]

# %% [markdown]
# ## The network
#
# The network has two inputs and layers of three, two and one neurons. Each neuron multiplies its
# inputs by its weights, adds them up, and adds its bias: that is its weighted sum, z. Its output is
# tanh(z), a curve that squeezes every number between −1 and 1. S, a neuron of the first layer, has
# large weights, so that its weighted sum is far out, where the curve is flat: it is *saturated*.
#
# The error is target − answer. The cost of one example is the error squared, C = (target −
# answer)², which is zero only when the answer is right. (It is without the half of stop 1, so every
# slope is twice as large.)


# %%
model = MLP(2, [3, 2, 1], activation=["tanh", "tanh", "tanh"], seed=demo.seed)
draw = random.Random(demo.seed)
for parameter in model.parameters():
    if parameter.data == 0:  # a bias: so that the neurons differ in it
        parameter.data = draw.uniform(-0.8, 0.8)
S, D = model.layers[0].neurons[2], model.layers[1].neurons[0]
S.w[0].data, S.w[1].data, S.b.data = 4.0, -3.0, 0.0
D.w[2].data = 1.0
x, target = numpy.array([0.8, -0.6]), 0.5
names = [["x1", "x2"], ["A", "B", "S"], ["D", "E"], ["F"]]


def signed(value: float) -> str:
    return f"+{three(value)}" if value > 0 else three(value)


def numbers(values: Array) -> str:
    return "  ".join(f"{value:+.6f}" for value in values.ravel())


# %% [markdown]
# ## Forward
#
# Each layer takes the outputs of the layer before, here called a, and gives its own.


# %%
weights = [numpy.array([[w.data for w in n.w] for n in layer.neurons]) for layer in model.layers]
biases = [numpy.array([n.b.data for n in layer.neurons]) for layer in model.layers]


def forward(silent: int | None = None) -> tuple[list[Array], list[Array]]:
    """The weighted sums and the outputs of all layers; without the output of a first neuron."""
    sums, outputs = [], [x]
    for W, b in zip(weights, biases, strict=True):
        sums.append(W @ outputs[-1] + b)
        outputs.append(numpy.tanh(sums[-1]))
        if silent is not None and len(sums) == 1:
            outputs[-1][silent] = 0.0
    return sums, outputs


sums, outputs = forward()
print("The network: a row of weights and a bias for each neuron\n")
for number, (W, b) in enumerate(zip(weights, biases, strict=True), 1):
    for name, row, own in zip(names[number], W, b, strict=True):
        print(f"  W{number}, b{number} of {name}: {numbers(row)}, {own:+.6f}")
print("\nForward: a0 = x, z_l = W_l a_(l-1) + b_l, a_l = tanh(z_l)\n")
print(f"  a0 = {numbers(x)}")
for number, (z, a) in enumerate(zip(sums, outputs[1:], strict=True), 1):
    print(f"  z{number} = {numbers(z)}\n  a{number} = {numbers(a)}")
answer = outputs[-1][0]
cost = (target - answer) ** 2
print(f"\n  cost C = (target - answer)^2 = ({target} - ({answer:+.6f}))^2 = {cost:.6f}")

# %% [markdown]
# ## Equation 1: the delta of the last layer
#
# Delta, written δ, is the slope of the cost at a neuron's weighted sum z (the sum before the
# curve). A nudge of z passes through two things: the neuron's curve, and then the cost. So two
# slopes are multiplied. dC/da says how fast the cost changes with the answer; tanh′(z) says how
# fast the answer changes with z, which is the slope of the curve at that point.


# %%
engine = layer_errors(model, x, target, loss=losses.mse)
first, second, last = engine


def curve(layer: int) -> ast.expr:
    return ast.Call(ast.Name("tanh′"), [ast.Name(f"z{layer}")], [])


def delta(layer: int) -> ast.expr:
    return ast.Name(f"delta{layer}")


demo.equation(
    with_numbers(
        Term(delta(3), last.delta[0], "δ of F"),
        "=",
        Term(Total("C", "a3", 0.0), last.weights_part[0], "slope of the cost at the answer"),
        "×",
        Term(curve(3), last.slope_part[0], "slope of F's curve at z"),
    ),
    f"Equation 1, with the numbers of F. Its answer is {three(answer)} and the target is {target}. "
    f"The slope of the cost at the answer is 2 × (answer − target) = {three(last.weights_part[0])}:"
    f" the cost {'falls' if last.weights_part[0] < 0 else 'rises'} when the answer rises.",
)

# %% [markdown]
# ## Equation 2: the deltas of every layer before
#
# A neuron of an earlier layer reaches the cost only through the neurons that it feeds. So take the
# delta of each of those, multiply it by the weight in between, and add these up: that is the slope
# of the cost at the neuron's output. Then multiply by the slope of the neuron's own curve. The
# weights are read along their arrows backward, from the next layer to this one, which is why their
# table is turned over (transposed, T). The sign ⊙ means: row by row.


# %%
def equation_2(layer: int) -> str:
    """Delta of a layer from delta of the next one."""
    this, after = engine[layer - 1], engine[layer]
    here = names[layer]
    return with_numbers(
        Term(delta(layer), this.delta, f"δ of {', '.join(here)}", here),
        *("=", "("),
        Term(
            ast.BinOp(ast.Name(f"W{layer + 1}"), ast.Pow(), ast.Name("T")),
            weights[layer].T,
            f"weights to {' and '.join(names[layer + 1])}",
        ),
        "×",
        Term(delta(layer + 1), after.delta, f"δ of {' and '.join(names[layer + 1])}"),
        *(")", "⊙"),
        Term(curve(layer), this.slope_part, "slope of each curve at its z"),
    )


demo.equation(
    equation_2(2), "Equation 2 for D and E. Each feeds F alone, so there is nothing to add up."
)
demo.equation(
    equation_2(1),
    "Equation 2 for A, B and S. Each feeds D and E, so two products are added in each row. The "
    f"slope of S's curve is {three(first.slope_part[2])}: it makes the δ of S nearly 0, whatever "
    "arrives.",
)

# %% [markdown]
# ## Why add up?
#
# A nudge of A's output travels to the cost along two paths, through D and through E. Both effects
# happen at once, so they are added. Find the two numbers on the arrows that arrive at A, from D and
# from E:


# %%
through = weights[1][:, 0] * second.delta
sum_over_paths = (
    f"A feeds D and E: {signed(through[0])} (through D) "
    f"{'+' if through[1] > 0 else '−'} {three(abs(through[1]))} (through E) "
    f"= {signed(first.weights_part[0])}. Times the slope of A's curve, "
    f"{three(first.slope_part[0])}, this is A's δ: {signed(first.delta[0])}."
)
demo.show(
    viz.draw_network(model, list(x), target, names=names, arrows="gradients"),
    "layer_errors.svg",
    "The gradient that travels back over each arrow: the δ at its right end × its weight. "
    + sum_over_paths
    + " The numbers that arrive at x1 and x2 are not used here: nobody adjusts an input.",
)

# %% [markdown]
# ## Equations 3 and 4: the slopes of the biases and the weights
#
# These are what learning needs. A bias is added to the weighted sum as it is, so its slope is δ
# itself. A weight is multiplied by an input: raise the weight by a little, and the weighted sum
# rises by that little × the input. So its slope is input × δ.


# %%
demo.equation(
    with_numbers(
        Term(Total("C", "b1", 0.0), first.bias_gradient, "slopes at the biases", names[1]),
        "=",
        Term(delta(1), first.delta, "δ"),
    ),
    "Equation 3, for A, B and S.",
)
demo.equation(
    with_numbers(
        Term(Total("C", "w", 0.0), first.weight_gradient[1], "slopes at B's weights", names[0]),
        "=",
        Term(ast.Name("input"), x, "what the weights multiply"),
        "×",
        Term(delta(1), first.delta[1], "δ of B"),
    ),
    "Equation 4, for the two weights of B. They share one δ, so only their inputs make the "
    f"difference: the slope at x1's weight is {three(abs(x[0] / x[1]))} times as large as that at "
    f"x2's, because {three(abs(x[0]))} ÷ {three(abs(x[1]))} = {three(abs(x[0] / x[1]))}. Were an "
    "input 0, its weight could change nothing, and its slope would be 0.",
)
NUDGE = 0.001
nudged = copy.deepcopy(model)
nudged.layers[0].neurons[1].w[0].data += NUDGE
risen = (target - nudged(list(x)).data) ** 2 - cost
demo.say(
    f"Try it with a nudge: raise B's weight for x1 by {NUDGE}, and the cost changes by "
    f"{signed(risen)}. The ratio, {signed(risen / NUDGE)}, is the slope; equation 4 says "
    f"{signed(first.weight_gradient[1, 0])}."
)

# %% [markdown]
# The same network again, and now each arrow carries the slope of the cost at its weight, input × δ.
# The gradient is not the change: gradient descent makes the change out of it,
# change = − rate × gradient. The minus sign is there because the slope points uphill.

# %%
RATE = 0.1
_, layer, to, source = max(
    (abs(slope), layer, to, source)
    for layer, found in enumerate(engine)
    for (to, source), slope in numpy.ndenumerate(found.weight_gradient)
)
steepest, old = engine[layer].weight_gradient[to, source], weights[layer][to, source]
of_bias, owner = max(
    (
        (slope, name)
        for layer, here in zip(engine, names[1:], strict=True)
        for slope, name in zip(layer.bias_gradient, here, strict=True)
    ),
    key=lambda pair: abs(pair[0]),
)
if abs(of_bias) > abs(steepest):
    beside = f"A bias moves even farther, {owner}'s: its slope is {signed(of_bias)}."
else:
    beside = "No bias has a steeper one."
demo.show(
    viz.draw_network(model, list(x), target, names=names, arrows="slopes"),
    "layer_errors_weights.svg",
    "The slope of the cost at each weight, input × δ, and at each bias, δ. Of all weights, the one "
    f"from {names[layer][source]} to {names[layer + 1][to]} has the steepest: "
    f"{signed(steepest)}, so it moves most. It moves {'up' if steepest < 0 else 'down'}, against "
    f"its slope: with a rate of {RATE} by {signed(-RATE * steepest)}, from {three(old)} to "
    f"{three(old - RATE * steepest)}. {beside}",
)

# %% [markdown]
# ## The proof
#
# The engine knows nothing of layers: it applies the chain rule to one operation after the other.
# Here are the equations, worked out layer by layer, beside what the engine found.


# %%
arriving = 2 * (outputs[-1] - target)
symbols = "dC/da3 * tanh'(z3)"
print("Backward, from the last layer to the first; tanh'(z) = 1 - tanh(z)^2\n")
for layer in (3, 2, 1):
    slope = 1 - outputs[layer] ** 2
    found = arriving * slope
    gradient = numpy.outer(found, outputs[layer - 1])
    theirs = engine[layer - 1]
    apart = max(abs(found - theirs.delta).max(), abs(gradient - theirs.weight_gradient).max())
    print(f"  delta{layer} = {symbols}")
    print(f"    {'arriving':16} {numbers(arriving)}")
    print(f"    {'x slope':16} {numbers(slope)}")
    print(f"    {f'= delta{layer}':16} {numbers(found)}")
    print(f"    {'by the engine':16} {numbers(theirs.delta)}   differs by {apart:.0e} at most")
    print(f"  dC/dW{layer} = input x delta, the inputs being a{layer - 1}")
    for name, row in zip(names[layer], gradient, strict=True):
        print(f"    {name:16} {numbers(row)}")
    print()
    arriving = weights[layer - 1].T @ found
    symbols = f"(W{layer}^T delta{layer}) * tanh'(z{layer - 1})"

# %% [markdown]
# ## Delta is not blame, and a large gradient is not importance
#
# Delta does not say how much of the error a neuron has caused. It says how the cost would change if
# the neuron's weighted sum were nudged. To see the difference, silence one neuron of the first
# layer at a time (its output becomes 0) and look at the answer:


# %%
print(f"The answer is {three(answer)}.\n")
print(f"  {'silent neuron':16}{'its delta':>12}{'answer without it':>20}{'change':>10}")
changes = []
for place, name in enumerate(names[1]):
    without = forward(silent=place)[1][-1][0]
    changes.append(without - answer)
    print(
        f"  {name:16}{three(first.delta[place]):>12}{three(without):>20}{signed(changes[-1]):>10}"
    )
more = [n for n, change in zip("AB", changes, strict=False) if abs(change) < abs(changes[2])]
without_s = f"without S the answer changes by {three(abs(changes[2]))}"
if abs(changes[2]) < 0.02:
    demo.say(f"With this seed little depends on S: {without_s}. Try another one.")
else:
    demo.say(
        f"S's delta is next to nothing, {three(first.delta[2])}, and yet {without_s}"
        + (f", more than without {' or '.join(more)}" if more else "")
        + ". A small nudge of S does nothing now. That does not mean that S does nothing."
    )

# %% [markdown]
# ## Why a saturated neuron stops learning
#
# The upper picture shows where each neuron is on the curve, the lower one the slope of the curve
# there. Equation 2 multiplies by that slope. Around 0 the curve is steep, and most of what arrives
# gets through. Far out it is flat: δ is nearly 0, so the slopes of all weights of that neuron are
# nearly 0, however wrong the answer is.


# %%
figure = Figure(figsize=(7.2, 5.4), layout="constrained")
above, below = figure.subplots(2, sharex=True)
line = numpy.linspace(-6, 6, 400)
above.plot(line, numpy.tanh(line), color=style.MUTED, linewidth=2)
above.set_ylabel("output: tanh(z)")
below.plot(line, 1 - numpy.tanh(line) ** 2, color=style.MUTED, linewidth=2)
below.set(
    ylabel="slope of the curve, by which\nwhat arrives is multiplied", xlabel="z, the weighted sum"
)
for edge in (-6, 2.5):
    for axes in (above, below):
        axes.axvspan(edge, edge + 3.5, color=style.LEAF, zorder=0)
below.text(-4.25, 0.5, "saturated:\nno slope, no learning", ha="center", color=style.MUTED)
above.text(4.25, 0.0, "saturated", ha="center", color=style.MUTED)
places = sorted(
    (z, name)
    for layer, zs in zip(names[1:], sums, strict=True)
    for name, z in zip(layer, zs, strict=True)
)
# Names are in a row, far enough from each other, with a line down to their point.
rooms = [z for z, _ in places]
for place in range(1, len(rooms)):
    rooms[place] = max(rooms[place], rooms[place - 1] + 0.4)
aside = numpy.mean([room - z for room, (z, _) in zip(rooms[:-1], places, strict=False)])
for room, (z, name) in zip(rooms, places, strict=True):
    colour, marker = (style.POSITIVE, "D") if abs(z) > 2.5 else (style.NEGATIVE, "o")
    for axes, value, height in (
        (above, numpy.tanh(z), 1.35),
        (below, 1 - numpy.tanh(z) ** 2, 1.2),
    ):
        axes.plot([z, room - aside], [value, height], color=colour, linewidth=0.8)
        axes.plot(z, value, marker, color=colour, markersize=8)
        axes.text(room - aside, height + 0.03, name, ha="center", va="bottom")
for axes in (above, below):
    axes.spines[["top", "right"]].set_visible(False)
above.set_ylim(-1.15, 1.6)
below.set_ylim(-0.08, 1.35)
demo.show(
    figure,
    "layer_errors_slopes.svg",
    f"Where each neuron is on its curve. S is on the flat part: its slope is only "
    f"{three(first.slope_part[2])}, so it stops learning.",
)

# %%
AGAIN = 100
demo.say(
    f"{AGAIN} steps of gradient descent on this example, with a rate of {RATE}, move the weights "
    "of A and B, and leave those of S where they were. (How far two weights have moved is measured "
    "as on a map: one to the right, the other up, and then the straight line.)"
)
trained = copy.deepcopy(model)
optimizer = optim.SGD(trained.parameters(), lr=RATE)
for _ in range(AGAIN):
    optimizer.zero_grad()
    losses.mse(trained(list(x)), target).backward()
    optimizer.step()
print(f"  {'neuron':8}{'z':>10}{'slope':>12}{'arriving':>12}{'delta':>12}{'its weights moved':>20}")
for place, name in enumerate(names[1]):
    before, after = (m.layers[0].neurons[place].w for m in (model, trained))
    moved = numpy.linalg.norm([b.data - a.data for a, b in zip(before, after, strict=True)])
    print(
        f"  {name:8}{sums[0][place]:+10.4f}{first.slope_part[place]:12.6f}"
        f"{first.weights_part[place]:+12.6f}{first.delta[place]:+12.6f}{moved:20.6f}"
    )


def small(value: float) -> str:
    return three(value) if value >= 1e-6 else "less than 0.000001"


demo.say(
    f"The cost fell from {three(cost)} to {small((trained(list(x)).data - target) ** 2)}: the "
    "other neurons did the work."
)

# %% [markdown]
# ## When no other neuron can do the work
#
# Here the saturated neuron did no harm. In the next task it does. Two neurons, A and S, and an
# answer F learn the rule of the company: 0.8 if exactly one of two customers is keen, 0.2
# otherwise. One neuron alone cannot follow this rule: along any direction its output only rises or
# only falls, but here the answer must rise and then fall again. The network is trained twice, from
# the same start but for one number. The first time S is on the steep part of its curve, the second
# time its bias is so large that it is saturated.


# %%
KEEN = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]
TARGETS = [0.2, 0.8, 0.8, 0.2]
STEPS, QUICK = 300, 0.3
#: What A alone can reach: it gets three examples to their mean, 0.6 or 0.4, and the fourth right.
ALONE = ((0.8 - 0.6) ** 2 + (0.8 - 0.6) ** 2 + (0.2 - 0.6) ** 2) / 4


def learn(bias: float) -> tuple[MLP, list[float], float]:
    """The trained network, its cost step by step, and how far S's weights have moved."""
    start = random.Random(demo.seed)
    network = MLP(2, [2, 1], activation=["tanh", "linear"], seed=demo.seed)
    (a, s), (f,) = (layer.neurons for layer in network.layers)
    starts = (1, 1, -0.5, 1, 1, bias, 0.5, 0.5, 0)
    for parameter, value in zip((*a.w, a.b, *s.w, s.b, *f.w, f.b), starts, strict=True):
        parameter.data = value + start.uniform(-0.3, 0.3)
    began = numpy.array([w.data for w in s.w])
    descent = optim.SGD(network.parameters(), lr=QUICK)
    costs: list[float] = []
    while True:
        descent.zero_grad()
        errors = [t - network(list(keen)) for keen, t in zip(KEEN, TARGETS, strict=True)]
        mean = sum(error**2 for error in errors) / 4
        costs.append(mean.data)
        if len(costs) > STEPS:
            return network, costs, float(abs(numpy.array([w.data for w in s.w]) - began).max())
        mean.backward()
        descent.step()


runs = {"S on the steep part": learn(-1.5), "S saturated": learn(8.0)}
print("Two keen customers?     " + "".join(f"{f'{a:.0f}, {b:.0f}':>8}" for a, b in KEEN))
print("target                  " + "".join(f"{t:8.1f}" for t in TARGETS))
for name, (network, _, _) in runs.items():
    print(f"{name:24}" + "".join(f"{network(list(keen)).data:8.2f}" for keen in KEEN))
(_, well, far), (_, stuck, near) = runs.values()
demo.say(
    f"After {STEPS} steps with a rate of {QUICK} the cost, the mean of the squared errors, is "
    f"{small(well[-1])} in the first case. In the second it is {three(stuck[-1])}: its answers are "
    f"typically off by the square root of that, {three(stuck[-1] ** 0.5)}. S's weights have moved "
    f"by up to {three(far)} in the first, and by {small(near)} in the second."
)

# %%
figure = Figure(figsize=(7.2, 3.4), layout="constrained")
axes = figure.subplots()
for (name, (_, costs, _)), colour, dashes in zip(
    runs.items(), (style.NEGATIVE, style.POSITIVE), ("-", "--"), strict=True
):
    axes.plot(costs, dashes, color=colour, linewidth=2)
    axes.text(STEPS * 1.02, costs[-1], name, color=colour, va="center")
axes.axhline(ALONE, color=style.MUTED, linewidth=1, linestyle=":", zorder=0)
axes.text(STEPS, ALONE - 0.01, "A alone gets no lower", color=style.MUTED, ha="right", va="top")
axes.set(xlabel="step", ylabel="cost", xlim=(0, STEPS), ylim=(-0.01, 1.05 * max(well[0], stuck[0])))
axes.spines[["top", "right"]].set_visible(False)
demo.show(
    figure,
    "layer_errors_stuck.svg",
    f"The same task, twice. With S on the steep part the cost falls to {small(well[-1])}. With S "
    f"saturated it stays at {three(stuck[-1])}, although S is needed: A alone cannot get below "
    f"{three(ALONE)}.",
)
