"""Two moons: a network of hundreds of weights learns a curve that no straight line can be.

After this stop you know that a large network learns by the very rules of the company. Two crescents
of points interlock, and no straight line can separate them. A network learns a curve that does:
each example goes forward, the gradient comes back, and every weight moves a little against its
gradient.

Run it with ``python -m demos.moons``.
"""

# %%
from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from sklearn.datasets import make_moons

import viz
from demos import options
from microgradlike import compile, evaluate, fit, losses, mean, no_grad, optim
from microgradlike.flow import layer_errors, layer_runs
from microgradlike.nn import MLP
from viz import style

demo = options(__doc__)

# %% [markdown]
# The examples are 100 points, and the target of each is its moon: -1 or +1. The network gets the
# two coordinates of a point, has two layers of 16 neurons, and one last neuron gives a score, whose
# sign is the answer. The activation is *relu*: it gives 0 below zero, and changes nothing above.
# The cost is the *hinge* loss, which is 0 once the score is beyond 1 on the right side; a small
# *penalty* on large weights keeps the curve simple. From here on a round of all examples is called
# an *epoch*, and the cost a *loss*: these are the usual words.

# %%
X, y = make_moons(n_samples=100, noise=0.1, random_state=demo.seed)
y = 2 * y - 1
model = MLP(2, [16, 16, 1], activation="relu", seed=demo.seed)
demo.say(f"In all it has {len(model.parameters())} parameters: weights and biases.")

# %%
epochs, batch_size = 60, 10
steps = epochs * len(X) // batch_size
start = time.perf_counter()
history = fit(
    model,
    X,
    y,
    loss=losses.hinge,
    penalty=lambda: 1e-4 * losses.l2(model.parameters()),
    optimizer=optim.Adam(model.parameters(), lr=optim.cosine(0.02, steps)),
    epochs=epochs,
    batch_size=batch_size,
    seed=demo.seed,
)
took = time.perf_counter() - start
loss, accuracy = evaluate(model, X, y, losses.hinge)
demo.say(
    f"Trained in {took:.1f} seconds: hinge loss {loss:.4f} ({history.loss[-1]:.4f} with the "
    f"penalty), training accuracy {accuracy:.0%}."
)
demo.show(
    viz.plot_loss(history),
    "moons_loss.svg",
    "The loss and the accuracy (the share of right answers), epoch by epoch.",
)
# %% [markdown]
# How can that be so quick? ``fit``, which trains, looks once at how the loss is computed, finds the
# layers in it, and computes all points at once: the loss is *compiled*. The same step by the engine
# alone, operation after operation and point after point:


# %%
def loss_of_one(x: Any, y: Any) -> Any:
    return losses.hinge(model(x), y) + 1e-4 * losses.l2(model.parameters())


def seconds(step: Callable[[], object], times: int) -> float:
    """How long a step takes: the median of some."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        step()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def eager_step() -> None:
    hinge = [
        losses.hinge(model(x), target) for x, target in zip(X.tolist(), y.tolist(), strict=True)
    ]
    (mean(hinge) + 1e-4 * losses.l2(model.parameters())).backward()


compiled = compile(loss_of_one).trace(X, y)
theta = compiled.theta()
quick = seconds(lambda: compiled.value_and_grad(theta, X, y), 200)
slow = seconds(eager_step, 3)
model.zero_grad()
demo.say(
    f"Loss and gradient of 100 points: {quick * 1e6:,.0f} us compiled, {slow * 1e6:,.0f} us point "
    f"by point, {slow / quick:,.0f} times as long. (1 us is a millionth of a second.)"
)

# %% [markdown]
# ## The worst answer
#
# The network has learned 100 points. How good is it on 1,000 that it has never seen? And which
# neurons would learn from the one that it judges worst?

# %%
new_X, new_y = make_moons(n_samples=1000, noise=0.1, random_state=demo.seed + 1)
new_y = 2 * new_y - 1
right = evaluate(model, new_X, new_y, losses.hinge)[1]
demo.say(f"Accuracy on 1,000 new points: {right:.1%}.")
scores = compile(model)
margins = (new_y * scores(new_X)).tolist()
worst = margins.index(min(margins))
point, target = new_X[worst].tolist(), float(new_y[worst])
active = [sum(output.data > 0 for output in run.outputs) for run in layer_runs(model, point)[:-1]]
reached = [
    int((layer.delta != 0).sum()) for layer in layer_errors(model, point, target, losses.hinge)
]
who_learns = (
    "The gradient reaches all others."
    if reached[: len(active)] == active
    else f"A gradient reaches {reached[0]} neurons of the first layer, {reached[1]} of the second."
)
demo.say(
    f"The point that it judges worst is ({point[0]:.2f}, {point[1]:.2f}): the target is "
    f"{target:+g}, the score {margins[worst] * target:+.2f}. Of the 16 neurons of the first layer "
    f"{active[0]} have an output above 0 at this point, of the second {active[1]}. The others are "
    "on the flat side of relu, where the slope is 0: no gradient passes there, so this example "
    f"moves none of their weights. {who_learns} With another point other neurons learn."
)
plane = viz.plot_decision_boundary(lambda point: scores([point]), X, y)
axes = plane.axes[0]
axes.plot(*point, "X", color=style.INK, markersize=12, markeredgecolor="white")
axes.set(xlabel="x0, the first coordinate", ylabel="x1, the second")
plane.legends[0].set_title("target")
demo.show(
    plane,
    "moons_boundary.png",
    "The answer at each point of the plane, the points that the network learned from, and the new "
    "point that it judges worst (the cross).",
)
demo.show(
    viz.draw_network(
        model,
        point,
        target,
        loss=losses.hinge,
        arrows="gradients",
        most_neurons=6,
        names=[["x0", "x1"], None, None, ["score"]],
        layers=["point", "first layer", "second layer", "answer"],
    ),
    "moons_graph.svg",
    "The worst answer on 1,000 new points, traced back through the network (some neurons of each "
    "layer). Dotted grey arrows carry nothing back: their neurons are on the flat side of relu.",
)

# %% [markdown]
# What is kept of all this are the weights and biases, as a file. A new network, whose weights are
# random, takes over those of the file, and answers without any training of its own.

# %%
saved = model.save(demo.out / "moons_model.npz")
print("wrote", saved)
restored = MLP(2, [16, 16, 1], activation="relu")
restored.load(saved)
with no_grad():
    score = restored([0.0, 1.0]).data
label = 1 if score > 0 else -1
demo.say(
    f"The saved model, loaded: the score of (0, 1) is {score:+.3f}, so the answer is {label:+d}."
)
