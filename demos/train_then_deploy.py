"""Train first, then deploy: the weights are kept in a file, and a fresh process only answers.

After this stop you can say what is left of a training, and what a network that only answers no
longer needs. Training goes forward and backward, many times, and records every operation, so that
the gradient finds its path back. To answer, which is called *inference*, a network only goes
forward: nothing is recorded and no weight moves. That saves memory. And since every question needs
the same few operations, they can be compiled and done for many questions at once: that saves time.

Run it with ``python -m demos.train_then_deploy``.
"""

# %%
from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy
from matplotlib.figure import Figure
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

from demos import options
from microgradlike import Value, compile, evaluate, fit, losses, no_grad, optim
from microgradlike.engine import topological_order
from microgradlike.nn import MLP
from microgradlike.words import decimal
from viz import style

demo = options(__doc__)

# %% [markdown]
# ## Train
#
# Four measures of a flower in centimetres, three kinds of iris: the network gives a score to each
# kind. A third of the flowers is put away for the test.

# %%
X, y = load_iris(return_X_y=True)
seen, unseen, seen_y, unseen_y = train_test_split(
    X, y, test_size=50, stratify=y, random_state=demo.seed
)
model = MLP(4, [8, 3], activation="tanh", seed=demo.seed)
history = fit(
    model,
    seen,
    seen_y,
    loss=losses.cross_entropy,
    optimizer=optim.Adam(model.parameters(), lr=0.02),
    epochs=150,
    batch_size=20,
    seed=demo.seed,
)
trained_accuracy = evaluate(model, seen, seen_y, losses.cross_entropy)[1]
test_accuracy = evaluate(model, unseen, unseen_y, losses.cross_entropy)[1]
demo.say(
    f"Trained on {len(seen)} flowers: {trained_accuracy:.0%} of them right, and "
    f"{test_accuracy:.0%} of {len(unseen)} that it never saw."
    + (
        f" That the new ones come out better is chance: one flower of {len(unseen)} is "
        f"{1 / len(unseen):.0%}."
        if test_accuracy > trained_accuracy
        else ""
    )
)
saved = model.save(demo.out / "train_then_deploy.npz")
print("wrote", saved)
demo.say(
    "**Does the network remember the flowers?** No. After each step the record of the operations "
    "is thrown away, and so are the gradients: they are set to zero, because the next ones are "
    f"added to what is there. What is left of {len(history.loss)} epochs with {len(seen)} flowers "
    f"are {len(model.parameters())} numbers, the weights and biases, and that is all the file has."
)

# %% [markdown]
# ## Deploy
#
# A fresh process is a program that is started anew: it knows nothing but the file, and the shape of
# the network. It answers twice. First by the engine, operation after operation; within `no_grad()`
# it does not record them. Then *compiled*: the operations are found once, and done for all flowers.

# %%
ANSWER = """
import json, sys
from microgradlike import compile, no_grad
from microgradlike.nn import MLP
model = MLP(4, [8, 3], activation="tanh")
model.load(sys.argv[1])
flowers = json.load(sys.stdin)
with no_grad():
    one_by_one = [[score.data for score in model(flower)] for flower in flowers]
print(json.dumps([one_by_one, compile(model)(flowers).tolist()]))
"""
done = subprocess.run(
    [sys.executable, "-c", ANSWER, str(saved)],
    input=json.dumps(unseen.tolist()),
    capture_output=True,
    text=True,
    check=True,
)
one_by_one, compiled = map(numpy.array, json.loads(done.stdout))
with no_grad():
    here = numpy.array([[score.data for score in model(flower)] for flower in unseen.tolist()])
apart = float(abs(compiled - here).max())
same = "exactly the same scores" if (one_by_one == here).all() else "other scores"
demo.say(
    f"The fresh process gives {same}. Compiled, they differ by {apart:.0e} at the most: "
    f"{decimal(apart, 1)}, which is rounding."
)

# %% [markdown]
# ## What inference saves
#
# The scores of one flower, with a record (the *graph* of operations) and without: how many
# operations are recorded, and how much memory that takes.

# %%
flower = unseen[0].tolist()
with no_grad():
    bare = model(flower)
recorded = model(flower)


def nodes(scores: list[Value]) -> int:
    """How many operations the scores remember."""
    return len({node for score in scores for node in topological_order(score)})


def memory(answer: Callable[[], Any]) -> int:
    """How many bytes 100 answers hold, of each."""
    tracemalloc.start()
    held = [answer() for _ in range(100)]
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return used // len(held)


def without_graph() -> Any:
    with no_grad():
        return model(flower)


with_graph = memory(lambda: model(flower)), nodes(recorded)
graphless = memory(without_graph), nodes(bare)
print(f"{'scores of one flower':26}{'operations':>12}{'bytes':>9}")
for name, (used, count) in (("with a graph", with_graph), ("within no_grad()", graphless)):
    print(f"{name:26}{count:12,}{used:9,}")

# %% [markdown]
# And how many flowers a second each of them answers.

# %%
many = numpy.tile(unseen, (200, 1))
answers = compile(model)
answers(many)  # traced and compiled now


def a_second(predict: Callable[[], Any], flowers: int) -> float:
    """Predictions a second: the median of seven runs."""
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        predict()
        times.append(time.perf_counter() - begun)
    return flowers / statistics.median(times)


def each_without_graph() -> None:
    with no_grad():
        for flower in unseen.tolist():
            model(flower)


def each_forward_and_backward() -> None:
    for flower, label in zip(seen[:50].tolist(), seen_y[:50].tolist(), strict=True):
        losses.cross_entropy(model(flower), label).backward()


speeds = {
    "training: forward and backward": a_second(each_forward_and_backward, 50),
    "forward, with a graph": a_second(lambda: [model(x) for x in unseen.tolist()], len(unseen)),
    "forward, within no_grad()": a_second(each_without_graph, len(unseen)),
    f"compiled, {len(many):,} at once": a_second(lambda: answers(many), len(many)),
}
model.zero_grad()
slowest = min(speeds.values())
print(f"\n{'flowers a second':34}{'':>12}{'times':>10}")
for name, speed in speeds.items():
    print(f"{name:34}{speed:12,.0f}{speed / slowest:10,.1f}")

unrecorded = speeds["forward, within no_grad()"] / speeds["forward, with a graph"]
demo.say(
    f"Not to record saves memory; the speed is {decimal(unrecorded, 2)} times that with a graph. "
    "What saves time is to compile."
)

# %%
figure = Figure(figsize=(8, 2.8), layout="constrained")
axes = figure.add_subplot()
names, counts = list(speeds), list(speeds.values())
colours = [style.POSITIVE, style.MUTED, style.MUTED, style.NEGATIVE]
bars = axes.barh(names, counts, color=colours, height=0.6)
axes.bar_label(bars, [f" {count:,.0f}" for count in counts])
axes.set(xscale="log", xlabel="flowers a second (each line is ten times the one before)")
axes.set_xlim(min(counts) / 3, max(counts) * 12)
axes.invert_yaxis()
axes.grid(axis="x", alpha=0.25)
axes.set_axisbelow(True)
axes.spines[["top", "right"]].set_visible(False)
demo.show(
    figure,
    "train_then_deploy.svg",
    "Flowers a second: while training, forward with a graph, forward without recording (which "
    "saves memory rather than time), and compiled for many at once.",
)
