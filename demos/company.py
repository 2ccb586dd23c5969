"""A company learns whom to trust: two sales people, three managers, one CEO.

Forward, the sales people report what they saw, the managers make up their words of what they hear,
and the CEO makes up hers of theirs. Backward, the error flows: what the CEO expected, less what she
got. All hear how much they contributed to it, their delta, and readjust how much they trust each of
those they listen to, until the feedback matches the expectation. Trust is the weight: the wider the
arrow, the more a word counts; a dashed arrow means that the opposite of the word is believed.

Run it with ``python -m demos.company``.
"""

# %%
from __future__ import annotations

import copy
import random
from typing import Any

import numpy

import viz
from demos import options
from microgradlike import fit, optim
from microgradlike.flow import explain, layer_errors, layer_runs
from microgradlike.nn import MLP

demo = options(__doc__)

# %% [markdown]
# Ada and Ben each report how keen a customer is, from 0 to 1. If one of them has a keen customer,
# the sale is worth 0.8. If both court the same customer they spoil each other's price, and if
# neither has one there is none: 0.2. Nobody knows this rule. The CEO only learns, sale by sale,
# what she should have expected.

# %%
draw = random.Random(demo.seed)
customers = [(0, 1), (0, 0), (1, 1), (1, 0)] * 3
reports = [[round(keen + draw.uniform(-0.15, 0.15), 2) for keen in pair] for pair in customers]
expectations = [0.8 if ada != ben else 0.2 for ada, ben in customers]

SALES, MANAGERS, CEO = ["Ada", "Ben"], ["Mia", "Noah", "Olga"], ["the CEO"]
names = [SALES, MANAGERS, CEO]
company = MLP(2, [3, 1], activation=["tanh", "sigmoid"], seed=demo.seed)
for layer, listeners, speakers in zip(company.layers, names[1:], names, strict=False):
    for neuron, listener in zip(layer.neurons, listeners, strict=True):
        neuron.b.label = f"{listener}'s own opinion"
        for weight, speaker in zip(neuron.w, speakers, strict=True):
            weight.label = f"{listener}'s trust in {speaker}"


def cost(reality: Any, expectation: Any) -> Any:
    """Half the square of the error, so that its slope is the error but for the sign."""
    error = expectation - reality
    return error**2 / 2


# %% [markdown]
# One sale, forward and backward. What a person hears in all is a weighted sum; delta is the slope
# of the cost by it. It is negative where a person should have heard more, positive where less. The
# words are those of ``explain``, the numbers those of the engine.


# %%
def sale(model: MLP, x: list[float], expectation: float) -> tuple[Any, list[Any]]:
    """The cost of one sale, and what each person heard, from the CEO down; nothing is changed."""
    runs = layer_runs(model, x)
    heard = []
    for people, run in zip(names[1:], runs, strict=True):
        for name, total, word in zip(people, run.sums, run.outputs, strict=True):
            total.label, word.label = f"what {name} hears", f"{name}'s word"
            heard.append(total)
    error = cost(runs[-1].outputs[0], expectation)
    error.label = "the cost"
    return error, heard[::-1]


learning = copy.deepcopy(company)
optimizer = optim.SGD(learning.parameters(), lr=1.0)
print(
    "The first round of sales. The error is what was expected, less what came. Delta is the slope"
)
print(
    "of the cost, which falls when more comes of what was expected: so its sign is the other one."
)
for number, (x, expectation) in enumerate(zip(reports, expectations, strict=True), 1):
    error, heard = sale(learning, x, expectation)
    got = learning(x).data
    print(
        f"\nSale {number}: Ada reports {x[0]:.2f}, Ben {x[1]:.2f}. The CEO expected "
        f"{expectation:.1f} and got {got:.4f}, so the error is {expectation - got:+.4f}."
    )
    optimizer.zero_grad()
    error.backward()
    for name, total in zip(CEO + MANAGERS[::-1], heard, strict=True):
        print(f"  {name:8} delta {total.grad:+.6f}  {explain(error, total).conclusion}")
    optimizer.step()

# %% [markdown]
# How do managers know their part in an error that only the CEO sees? It comes back to them over the
# arrow to the CEO, multiplied by her trust in them, and by the slope of their own word: the chain
# rule. And how do they readjust? Their trust moves against its slope, which is what they were told
# times their delta. The first sale again:

# %%
error, heard = sale(company, reports[0], expectations[0])
print("\nHow the error of sale 1 comes to Mia:\n")
print(explain(error, heard[-1]).words)
print("\nAnd how the trust moves after sale 1: less (what was heard) x (delta).\n")
learning = copy.deepcopy(company)
sale(learning, reports[0], expectations[0])[0].backward()
optim.SGD(learning.parameters(), lr=1.0).step()
for layer, moved, errors in zip(
    company.layers,
    learning.layers,
    layer_errors(company, reports[0], expectations[0], loss=cost),
    strict=True,
):
    for neuron, new, delta in zip(layer.neurons, moved.neurons, errors.delta, strict=True):
        for old, now, word in zip(neuron.w, new.w, errors.activation_in, strict=True):
            moves = f"{old.data:+.6f} - ({word:+.4f} x {delta:+.6f}) = {now.data:+.6f}"
            print(f"  {old.label:23} {moves}")

# %% [markdown]
# The same sales, round after round: ``fit`` does what the loop above did.

# %%
history = fit(
    company,
    reports,
    expectations,
    loss=cost,
    optimizer=optim.SGD(company.parameters(), lr=1.0),
    epochs=150,
    batch_size=1,
    seed=None,
    record=1,
    progress=False,
)


def after(rounds: int) -> MLP:
    """The company as it was after so many rounds."""
    then = copy.deepcopy(company)
    then.load_state_dict(history.records[rounds].state)
    return then


def mean_cost(rounds: int) -> float:
    then = after(rounds)
    sales = zip(reports, expectations, strict=True)
    return float(numpy.mean([cost(then(x).data, expectation) for x, expectation in sales]))


costs = [mean_cost(rounds) for rounds in range(151)]
half = next((k for k in range(151) if costs[k] < costs[0] / 2), 75)
print(f"\n{'after':10} {'mean cost':>9}   what the CEO gets when Ada and Ben report")
print(f"{'':22}" + "".join(f"{x[0]:6.2f},{x[1]:5.2f}" for x in reports[:4]))
for rounds in (0, 1, half, 150):
    gets = "".join(f"{after(rounds)(x).data:12.3f}" for x in reports[:4])
    print(f"{rounds:3} rounds {costs[rounds]:9.5f}  {gets}")
print(f"{'expected':22}" + "".join(f"{expectation:12.1f}" for expectation in expectations[:4]))
if costs[150] > 0.01:
    print("This company is stuck: small changes of trust help no more. Try another --seed.")

# %% [markdown]
# Before, half way, and after, at the first sale: watch the widths of the arrows.

# %%
example: dict[str, Any] = {"x": reports[0], "y": expectations[0], "loss": cost, "names": names}
stages = {
    "before": (0, f"Before: everybody trusts at random. The mean cost is {costs[0]:.2g}."),
    "during": (half, f"After {half} rounds of 12 sales the mean cost is {costs[half]:.2g}."),
    "after": (
        150,
        f"After 150 rounds the mean cost is {costs[150]:.2g}.",
    ),
}
models = [after(rounds) for rounds, _ in stages.values()]
for model, (stage, (_, caption)) in zip(models, stages.items(), strict=True):
    picture = viz.draw_network(model, **example, beside=models)
    demo.show(picture, f"company_{stage}.svg", caption)
demo.wrote(
    viz.save_lesson(
        after(0),
        demo.out / "company.html",
        reports,
        expectations,
        loss=cost,
        lr=1.0,
        rounds=150,
        names=names,
        layers=["sales people", "managers", "CEO"],
        words={
            "example": "sale",
            "input": "report",
            "output": "word",
            "weight": "trust",
            "bias": "own opinion",
        },
        back="index.html#company",
    ),
    "Step through it: one sale forward and back, then 12 sales, then 150 rounds.",
)
