"""Delta from delta: the equations of backpropagation, line by line, on a network of three layers.

The delta of a neuron says how fast the cost rises with what the neuron is told in sum. In the last
layer it is the slope of the cost times the slope of the activation. In every layer before, it is
the deltas of the next layer, sent back through the weights between them, times the slope of the
activation where the neuron stands. And the slope of the cost by a weight is (activation in) x
(delta out). A saturated neuron stands where its activation is flat: that slope is nearly 0, so its
delta is, so none of its weights moves. It has stopped learning, however wrong it may be.

Run it with ``python -m demos.layer_errors``.
"""

# %%
from __future__ import annotations

import copy
import random

import numpy
from matplotlib.figure import Figure

import viz
from demos import options
from microgradlike import losses, optim
from microgradlike.flow import layer_errors
from microgradlike.nn import MLP
from viz import style

demo = options(__doc__)

# %% [markdown]
# Two inputs, layers of three, two and one neurons, tanh everywhere. C, a neuron of the first layer,
# has large weights: it will be saturated, though D listens to it. The cost of one example is
# (output - target) squared.

# %%
model = MLP(2, [3, 2, 1], activation=["tanh", "tanh", "tanh"], seed=demo.seed)
draw = random.Random(demo.seed)
for parameter in model.parameters():
    if parameter.data == 0:  # a bias: so that not everybody stands at the same place
        parameter.data = draw.uniform(-0.8, 0.8)
C, D = model.layers[0].neurons[2], model.layers[1].neurons[0]
C.w[0].data, C.w[1].data, C.b.data = 4.0, -3.0, 0.0
D.w[2].data = 1.0
x, y = numpy.array([0.8, -0.6]), 0.5
names = [["x1", "x2"], ["A", "B", "C"], ["D", "E"], ["F"]]


def numbers(values: numpy.typing.NDArray[numpy.float64]) -> str:
    return "  ".join(f"{value:+.6f}" for value in values.ravel())


# %% [markdown]
# Forward: each layer takes its activations in, sums them up with its weights, z, and gives tanh(z).

# %%
weights = [numpy.array([[w.data for w in n.w] for n in layer.neurons]) for layer in model.layers]
biases = [numpy.array([n.b.data for n in layer.neurons]) for layer in model.layers]
activations, sums = [x], []
for W, b in zip(weights, biases, strict=True):
    sums.append(W @ activations[-1] + b)
    activations.append(numpy.tanh(sums[-1]))
print("The network: a row of weights and a bias for each neuron\n")
for number, (W, b) in enumerate(zip(weights, biases, strict=True), 1):
    for name, row, own in zip(names[number], W, b, strict=True):
        print(f"  W{number}, b{number} of {name}: {numbers(row)}, {own:+.6f}")
print("\nForward: a0 = x, z_l = W_l a_(l-1) + b_l, a_l = tanh(z_l)\n")
print(f"  a0 = {numbers(x)}")
for number, (z, a) in enumerate(zip(sums, activations[1:], strict=True), 1):
    print(f"  z{number} = {numbers(z)}\n  a{number} = {numbers(a)}")
cost = (activations[-1][0] - y) ** 2
print(f"\n  cost C = (a3 - y)^2 = ({activations[-1][0]:.6f} - {y})^2 = {cost:.6f}")

# %% [markdown]
# Backward: the last layer first. The same numbers come out of the engine, which knows nothing of
# layers: it only applies the chain rule to one operation after the other.

# %%
engine = layer_errors(model, x, y, loss=losses.mse)
sent_back = 2 * (activations[-1] - y)
symbols = "dC/da3 * tanh'(z3)"
deltas: list[numpy.typing.NDArray[numpy.float64]] = []
print("\nBackward, from the last layer to the first; tanh'(z) = 1 - tanh(z)^2\n")
for layer in (3, 2, 1):
    slope = 1 - activations[layer] ** 2
    delta = sent_back * slope
    deltas.insert(0, delta)
    gradient = numpy.outer(delta, activations[layer - 1])
    theirs = engine[layer - 1]
    apart = max(abs(delta - theirs.delta).max(), abs(gradient - theirs.weight_gradient).max())
    print(f"  delta{layer} = {symbols}")
    print(f"    {'what comes back':16} {numbers(sent_back)}")
    print(f"    {'x slope':16} {numbers(slope)}")
    print(f"    {f'= delta{layer}':16} {numbers(delta)}")
    print(f"    {'by the engine':16} {numbers(theirs.delta)}   apart by {apart:.0e} at the most")
    print(f"  dC/dW{layer} = delta{layer} x a{layer - 1}, each delta times what came in")
    for name, row in zip(names[layer], gradient, strict=True):
        print(f"    {name:16} {numbers(row)}")
    print()
    sent_back = weights[layer - 1].T @ delta
    symbols = f"(W{layer}^T delta{layer}) * tanh'(z{layer - 1})"

# %% [markdown]
# What the slope of the activation does to learning. C is far out on the flat part of tanh: whatever
# error comes back to it is multiplied by nearly 0. 100 steps against the gradient move the weights
# of A and B, and leave C where it was.

# %%
trained = copy.deepcopy(model)
optimizer = optim.SGD(trained.parameters(), lr=0.1)
for _ in range(100):
    optimizer.zero_grad()
    losses.mse(trained(list(x)), y).backward()
    optimizer.step()
print("After 100 steps of gradient descent on this example:\n")
print(
    f"  {'neuron':8}{'z':>10}{'slope':>12}{'came back':>12}{'delta':>12}{'its weights moved':>20}"
)
first, came_back = engine[0], engine[0].weights_part
for place, name in enumerate(names[1]):
    before, after = (m.layers[0].neurons[place].w for m in (model, trained))
    moved = numpy.linalg.norm([b.data - a.data for a, b in zip(before, after, strict=True)])
    print(
        f"  {name:8}{sums[0][place]:+10.4f}{first.slope_part[place]:12.6f}{came_back[place]:+12.6f}"
        f"{first.delta[place]:+12.6f}{moved:20.6f}"
    )
print(
    f"\n  The cost fell from {cost:.6f} to {(trained(list(x)).data - y) ** 2:.6f}, but C learned "
    "nothing:\n  whatever comes back to it is multiplied by a slope of nearly 0."
)

# %% [markdown]
# Where everybody stands, on the activation and on its slope.

# %%
figure = Figure(figsize=(7.2, 5.4), layout="constrained")
above, below = figure.subplots(2, sharex=True)
line = numpy.linspace(-6, 6, 400)
above.plot(line, numpy.tanh(line), color=style.MUTED, linewidth=2)
above.set_ylabel("what it says: tanh(z)")
below.plot(line, 1 - numpy.tanh(line) ** 2, color=style.MUTED, linewidth=2)
below.set(
    ylabel="its slope, which multiplies\nthe error that comes back", xlabel="z, what it hears"
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
# Names stand in a row, far enough from each other, with a line down to their point.
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
    "Where each neuron stands. C is on the flat part: its slope is nearly 0, so it stops learning.",
)
demo.show(
    viz.draw_network(model, list(x), y, names=names, arrows="gradients"),
    "layer_errors.svg",
    "The gradient that flows back over each arrow, delta times weight, and each neuron's delta.",
)
