"""Train a network on two moons, from plain scalars, and draw where its error came from.

Two half circles of points reach into each other, and no straight line parts them. A network of 337
weights learns to: each example is computed forward, its error flows backward, and every weight
moves a little against its slope.

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
from microgradlike import Value, compile, evaluate, fit, losses, mean, no_grad, optim
from microgradlike.nn import MLP

demo = options(__doc__)

# %% [markdown]
# 100 points in two interleaving half circles; hinge wants the labels -1 and +1. The network has two
# inputs, two hidden layers of 16 neurons, and one score: its sign is the prediction.

# %%
X, y = make_moons(n_samples=100, noise=0.1, random_state=demo.seed)
y = 2 * y - 1
model = MLP(2, [16, 16, 1], activation="relu", seed=demo.seed)
print(f"{model.__class__.__name__} 2-16-16-1 with {len(model.parameters())} parameters")

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
print(
    f"trained in {took:.1f} s: hinge loss {loss:.4f} "
    f"({history.loss[-1]:.4f} with the penalty), training accuracy {accuracy:.0%}"
)
demo.show(
    viz.plot_loss(history),
    "moons_loss.svg",
    "The loss and the accuracy, epoch by epoch.",
)
demo.show(
    viz.plot_decision_boundary(model, X, y),
    "moons_boundary.png",
    "What the network says of each point of the plane, and the points that it learned from.",
)

# %% [markdown]
# How can that be so quick? ``fit`` traces the loss once, finds the layers in its scalars, and runs
# them as matrices for all points at once. The same step by the engine, point after point:


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
slow = seconds(eager_step, 5)
model.zero_grad()
print(
    f"loss and gradient of 100 points: {quick * 1e6:,.0f} us compiled, {slow * 1e6:,.0f} us eager, "
    f"{slow / quick:,.0f} times as long"
)

# %% [markdown]
# Of 1,000 points it has never seen, the one it judges worst: who is to blame for that error?

# %%
new_X, new_y = make_moons(n_samples=1000, noise=0.1, random_state=demo.seed + 1)
new_y = 2 * new_y - 1
print(f"accuracy on 1,000 new points {evaluate(model, new_X, new_y, losses.hinge)[1]:.1%}")
with no_grad():
    margins = [label * model(x).data for x, label in zip(new_X, new_y, strict=True)]
worst = margins.index(min(margins))
x0, x1 = (Value(v, label) for v, label in zip(new_X[worst], ("x0", "x1"), strict=True))
model.zero_grad()
error = losses.hinge(model([x0, x1]), new_y[worst])
error.label = "loss"
error.backward()
demo.show(
    viz.draw(error),
    "moons_graph.svg",
    "Of 1,000 new points the one that it judges worst: its error, flowing back through the network "
    "(open the picture to read it).",
)

# %% [markdown]
# Kept for later: the weights as a file, read by a network that was never trained.

# %%
saved = model.save(demo.out / "moons_model.npz")
print("wrote", saved)
restored = MLP(2, [16, 16, 1], activation="relu")
restored.load(saved)
with no_grad():
    score = restored([0.0, 1.0]).data
label = 1 if score > 0 else -1
print(f"the saved model, loaded: the score of (0, 1) is {score:+.3f}, label {label:+d}")
