"""A company learns whom to trust: two sales people, three managers, one CEO.

After this stop you can say what flows forward through a network, what flows back, and what is
adjusted then. Forward: the sales people report, each manager forms a word from the reports, and the
CEO forms her forecast from the managers' words. Then the truth comes in, and the error is the true
value of the sale minus the forecast. Backward: each person learns how the cost would change if
their weighted sum were a little larger, which is their delta, and adjusts how much they trust each
person they listen to. So it goes, sale after sale, until the forecasts match what the customers do.

*Trust* is the weight: the wider an arrow, the more a word counts. A dashed arrow is negative trust:
the listener believes the opposite.

Run it with ``python -m demos.company``.
"""

# %%
from __future__ import annotations

import copy
import math
import random
from typing import Any

import numpy
from matplotlib.figure import Figure

import viz
from demos import options, three
from microgradlike import fit, optim
from microgradlike.flow import backward_steps, layer_errors, layer_runs
from microgradlike.nn import MLP
from viz import style

demo = options(__doc__)

# %% [markdown]
# ## The people, and what their numbers mean

# %%
GOOD, POOR, BLUR = 0.8, 0.2, 0.15
draw = random.Random(demo.seed)
customers = [(0, 1), (0, 0), (1, 1), (1, 0)] * 3
reports = [[round(keen + draw.uniform(-BLUR, BLUR), 2) for keen in pair] for pair in customers]
targets = [GOOD if ada != ben else POOR for ada, ben in customers]

SALES, CEO = ["Ada", "Ben"], ["the CEO"]
#: From the top to the bottom of the pictures, and what each of them manages.
MANAGERS = {"Olga": "sales", "Noah": "accounts", "Mia": "design"}
names = [SALES, list(MANAGERS), CEO]
LAYERS = ["sales people", "managers", "CEO"]
company = MLP(2, [3, 1], activation=["tanh", "sigmoid"], seed=demo.seed)
first, last = company.layers
(ceo,) = last.neurons
# Design counts more than sales: the manager at the bottom is the one whom the CEO trusts most.
order = sorted(range(3), key=lambda place: abs(ceo.w[place].data))
first.neurons, ceo.w = [first.neurons[m] for m in order], [ceo.w[m] for m in order]
for layer, listeners, speakers in zip(company.layers, names[1:], names, strict=False):
    for neuron, listener in zip(layer.neurons, listeners, strict=True):
        neuron.b.label = f"{listener}'s own opinion"
        for weight, speaker in zip(neuron.w, speakers, strict=True):
            weight.label = f"{listener}'s trust in {speaker}"

largest, smallest = max(map(max, reports)), min(map(min, reports))
demo.say(
    "Ada and Ben, the sales people, each *report* how keen their customer is: about 1 is keen, "
    f"about 0 is not. Nobody can tell exactly, so a report is off by up to {BLUR:g}; that is why "
    f"one of them is {largest:.2f}, and another {smallest:.2f}. Then the customers decide what "
    "the sale is worth, and that is the *target*. If just one of the two has a keen customer, the "
    f"sale is a good one: {GOOD:g}. If both customers are keen, Ada and Ben undercut each other, "
    f"and if neither is, little is sold: {POOR:g}. Nobody in the company knows this rule. The CEO "
    "only gives her *answer*, a forecast, and hears the target afterwards."
)
departments = ", ".join(f"{name} ({what})" for name, what in MANAGERS.items())
demo.say(
    f"Between them are three managers: {departments}. At the beginning all trust is drawn at "
    f"random. The manager whom the CEO trusts most then, {names[1][-1]}, is at the bottom of the "
    "pictures: hers is the widest arrow to the CEO."
)


def cost(answer: Any, target: Any) -> Any:
    """Half the square of the error: so its slope at the answer is −error."""
    error = target - answer
    return error**2 / 2


# %% [markdown]
# ## One sale, forward
#
# What a person passes on is made in two moves. First the *weighted sum* z: each input times the
# trust in it, added up, and their own opinion added to that. Then a fixed curve, the *activation*.
# The managers' curve is tanh, which squeezes every number between −1 and 1. The CEO's is sigmoid,
# which squeezes it between 0 and 1. You can check the first sale with a pocket calculator. (It was
# computed with more digits than are shown, so your last digit may differ.)


# %%
def factor(number: float) -> str:
    """A number as it is written within a sum or a product."""
    return f"({number:.3f})" if number < 0 else f"{number:.3f}"


def sums(model: MLP, x: list[float]) -> list[str]:
    """What each person makes of their inputs: a line that can be computed again."""
    lines = []
    runs = layer_runs(model, x)
    for layer, people, run in zip(model.layers, names[1:], runs, strict=True):
        for neuron, name, z, word in zip(layer.neurons, people, run.sums, run.outputs, strict=True):
            pairs = zip(run.inputs, neuron.w, strict=True)
            terms = [f"{factor(float(x))} × {factor(trust.data)}" for x, trust in pairs]
            total = " + ".join([*terms, factor(neuron.b.data)])
            squeezed = f"{neuron.activation}({z.data:.3f}) = {word.data:.3f}"
            lines.append(f"{name:8} {total} = {z.data:.3f}    {squeezed}")
    return lines


x, target = reports[0], targets[0]
answer = company(x).data
print(f"Sale 1: Ada reports {x[0]:.2f}, Ben {x[1]:.2f}\n")
print(f"{'':8} (report or word) × trust + ... + own opinion = z    activation(z) = word\n")
print("\n".join(sums(company, x)))
print(f"\ntarget {target:g}, answer {answer:.3f}, error = target − answer = {target - answer:+.3f}")
print(f"cost C = ½ × error² = ½ × {abs(target - answer):.3f}² = {cost(answer, target):.5f}")

# %% [markdown]
# ## What would a little more trust do? A nudge
#
# Everything that follows is about one question: if this trust were a little larger, how would the
# cost change? We can simply try it.

# %%
NUDGE = 0.01
nudged = copy.deepcopy(company)
trust = nudged.layers[0].neurons[-1].w[1]
trust.data += NUDGE
change = cost(nudged(x).data, target) - cost(answer, target)
errors = layer_errors(company, x, target, loss=cost)
slope = float(errors[0].weight_gradient[-1, 1])
moved = "rises" if change > 0 else "falls"
demo.say(
    f"Move {trust.label} by {NUDGE:g}, from {trust.data - NUDGE:.3f} to {trust.data:.3f}: the cost "
    f"{moved} by {abs(change):.6f}. The ratio, {change:+.6f} ÷ {NUDGE:g} = {change / NUDGE:+.4f}, "
    "is the *slope* of the cost at this trust, its *gradient*. (With a smaller nudge it comes "
    f"nearer to {slope:+.4f}.) Backpropagation finds {slope:+.4f} without trying anything, and the "
    f"gradients of all {len(company.parameters())} trusts and own opinions at once."
)

# %% [markdown]
# ## The same sale, backward
#
# How do the managers learn from an error that only the CEO sees? The gradient comes back to them
# over the arrow to the CEO. Three factors make a manager's delta: the CEO's delta, her trust in
# this manager, and the slope of the manager's own curve at z. Here is the path from the cost back
# to Mia. Each step takes the gradient that arrives, and passes on this gradient × its own slope.


# %%
def sale(model: MLP, x: list[float], target: float) -> tuple[Any, list[Any]]:
    """The cost of one sale, and each person's weighted sum, from the CEO down."""
    runs = layer_runs(model, x)
    return cost(runs[-1].outputs[0], target), [z for run in runs for z in run.sums][::-1]


#: The operations on the path, and where each slope comes from.
STEPS = (
    ("cost = ½ × square", ""),
    ("square = error × error", "2 × error"),
    ("error = target − answer", ""),
    ("answer = sigmoid(CEO's z)", "a × (1 − a)"),
    ("CEO's z = a sum", ""),
    ("CEO's trust in Mia × Mia's word", "the trust"),
    ("Mia's word = tanh(Mia's z)", "1 − a × a"),
)
found, totals = sale(company, x, target)
sent = {step.parent: step for step in backward_steps(found)}
path = [sent[totals[1]]]
while path[0].node is not found:
    path.insert(0, sent[path[0].node])
print(f"{'step':32}{'arrives':>8}   slope of this step    passed on\n")
for (what, whence), step in zip(STEPS, path, strict=True):
    slope_of_it = f"{three(step.slope):8}{whence}"
    passed = f"{three(step.upstream):>8} × {slope_of_it:19} = {three(step.contribution)}"
    print(f"{what:32}{passed}")

# %%
TINY = 0.0001
ceo_z, mia_z = totals[0].data, totals[1].data
by_nudge = (
    (1 / (1 + math.exp(-ceo_z - TINY)) - 1 / (1 + math.exp(-ceo_z))) / TINY,
    (math.tanh(mia_z + TINY) - math.tanh(mia_z)) / TINY,
)
demo.say(
    "The slopes of the two curves, a × (1 − a) for sigmoid and 1 − a × a for tanh, where a is the "
    f"curve's result, we take on trust. A nudge of z by {three(TINY)} confirms them: it gives "
    f"{three(by_nudge[0])} and {three(by_nudge[1])}."
)

# %%
(delta_ceo,) = errors[1].delta
delta_mia = errors[0].delta[-1]
by_report = sorted(zip(map(abs, x), SALES, range(2), strict=True))
(little, less, at_less), (much, more, at_more) = by_report
demo.say(
    f"So when Mia's weighted sum rises by a little, the cost "
    f"{'falls' if delta_mia < 0 else 'rises'} by {abs(delta_mia):.4f} times that: Mia's delta is "
    f"{delta_mia:+.4f}. Do not expect the sign of the error, which is "
    f"{target - answer:+.3f}: delta tells how the *cost* changes, and the cost falls as the answer "
    "comes nearer to the target. And delta is not blame: it says what a little more would do, not "
    "who was wrong."
)
demo.say(
    "From delta to trust is one multiplication: the gradient at a trust is (what came in) × "
    f"(delta). {more} reports {x[at_more]:.2f} and {less} {x[at_less]:.2f}. So Mia's trust in "
    f"{more} has the gradient {x[at_more]:.2f} × ({delta_mia:+.4f}) = "
    f"{three(x[at_more] * delta_mia)}, and her trust in {less} only {x[at_less]:.2f} × "
    f"({delta_mia:+.4f}) = {three(x[at_less] * delta_mia)}. A trust matters only as much as the "
    "number that it multiplies."
)
if little:
    times = f"{much / little:.0f}"
    demo.facts(ada=f"{x[0]:.2f}", ben=f"{x[1]:.2f}", more=more, less=less, times=times)

# %% [markdown]
# Both in pictures: the gradient on its way back, and what comes of it at each trust.

# %%
demo.show(
    viz.draw_network(company, x, target, loss=cost, names=names, layers=LAYERS, arrows="gradients"),
    "company_back.svg",
    "Sale 1, backward. On each arrow is the gradient that goes back over it: delta × trust. In "
    "each circle δ is this person's delta. Orange and solid is above zero, blue and dashed below. "
    "The numbers at Ada and Ben are not used: nobody adjusts a report.",
)
demo.show(
    viz.draw_network(company, x, target, loss=cost, names=names, layers=LAYERS, arrows="slopes"),
    "company_slopes.svg",
    "The same, with the gradient at each trust on its arrow: what came in × delta. The widest "
    "arrow between two people is the trust that will move farthest: up where it is dashed, because "
    "the gradient is below zero, and down where it is solid.",
)

# %% [markdown]
# ## And what is adjusted then
#
# Each trust moves against its gradient, and each own opinion too; its gradient is delta itself.

# %%
RATE = 1.0
learning = copy.deepcopy(company)
optimizer = optim.SGD(learning.parameters(), lr=RATE)
learning.zero_grad()
sale(learning, x, target)[0].backward()
optimizer.step()
print(f"after sale 1: old − rate × (what came in × delta), rate {RATE:g}\n")
moves: list[tuple[float, str]] = []
for layer, then, layer_error in zip(company.layers, learning.layers, errors, strict=True):
    for neuron, new, delta in zip(layer.neurons, then.neurons, layer_error.delta, strict=True):
        came_in = [*layer_error.activation_in, 1.0]
        for old, now, word in zip([*neuron.w, neuron.b], [*new.w, new.b], came_in, strict=True):
            rule = f"{old.data:+.6f} − {RATE:g} × ({word:+.4f} × {delta:+.6f}) = {now.data:+.6f}"
            print(f"  {old.label:23} {rule}")
            moves.append((now.data - old.data, old.label))


def farthest(moves: list[tuple[float, str]]) -> str:
    """Which of them moves farthest, which way, and how far."""
    change, whose = max(moves, key=lambda move: abs(move[0]))
    return f"{whose}: {'up' if change > 0 else 'down'} by {abs(change):.4f}"


trusts = [(change, whose) for change, whose in moves if "trust" in whose]
demo.say(
    f"Of all trusts, the one that moves farthest is {farthest(trusts)}. Of all {len(moves)} "
    f"numbers it is {'the same one' if farthest(trusts) == farthest(moves) else farthest(moves)}. "
    "**The gradient is not the change.** It says which way, and how steep. "
    "How long the step is, is a choice, the *learning rate*. Here the rate is "
    f"{RATE:g}, so the change is as large as the gradient; with a rate of {RATE / 10:g} each "
    "change would be a tenth of it."
)

# %% [markdown]
# ## A round of twelve sales
#
# After each sale all 13 numbers move a little, and the next sale meets a company that has changed.
# So the answer and the error in a row are those of a company that has learned from the rows above.
# A negative delta means: with a larger weighted sum the cost would fall.

# %%
learning = copy.deepcopy(company)
optimizer = optim.SGD(learning.parameters(), lr=RATE)
people = [*CEO, *names[1][::-1]]
print(f"{'the first round':38}delta of")
print("sale   Ada   Ben target answer  error " + "".join(f"{name:>9}" for name in people))
for number, (x, target) in enumerate(zip(reports, targets, strict=True), 1):
    found, totals = sale(learning, x, target)
    optimizer.zero_grad()
    found.backward()
    got = learning(x).data
    deltas = "".join(f"{total.grad:+9.5f}" for total in totals)
    row = f"{number:4} {x[0]:5.2f} {x[1]:5.2f} {target:6.1f} {got:6.3f} {target - got:+6.3f} "
    print(row + deltas)
    optimizer.step()

# %% [markdown]
# ## A hundred and fifty rounds
#
# The same, again and again. (In the script this is ``fit``, which makes the steps of the round
# above: forward, backward, adjust.)

# %%
ROUNDS = 150
history = fit(
    company,
    reports,
    targets,
    loss=cost,
    optimizer=optim.SGD(company.parameters(), lr=RATE),
    epochs=ROUNDS,
    batch_size=1,
    seed=None,
    record=1,
    progress=False,
)


def after(rounds: int) -> MLP:
    """The company as it was after that many rounds."""
    then = copy.deepcopy(company)
    then.load_state_dict(history.records[rounds].state)
    return then


#: The errors of the twelve sales, after each round.
missed = numpy.array(
    [
        [target - model(x).data for x, target in zip(reports, targets, strict=True)]
        for model in map(after, range(ROUNDS + 1))
    ]
)
costs = (missed**2 / 2).mean(axis=1)
typical = numpy.sqrt(2 * costs)
half = next((k for k in range(ROUNDS + 1) if costs[k] < costs[0] / 2), ROUNDS // 2)
print(f"{'after':10} {'mean cost':>9} {'typically':>10}   answers when Ada and Ben report")
print(f"{'':21}{'off by':>10}  " + "".join(f"{x[0]:6.2f},{x[1]:5.2f}" for x in reports[:4]))
for rounds in (0, 1, half, ROUNDS):
    gets = "".join(f"{after(rounds)(x).data:12.3f}" for x in reports[:4])
    told = f"{rounds:3} {'round' if rounds == 1 else 'rounds'}"
    print(f"{told:10} {costs[rounds]:9.5f} {typical[rounds]:11.3f}  {gets}")
print(f"{'target':31}  " + "".join(f"{target:12.1f}" for target in targets[:4]))
demo.say(
    "A mean cost is hard to imagine. Which error has just this cost? Twice the cost, and of that "
    f"the square root. So typically the answers were off by {typical[0]:.2f} before, and by "
    f"{typical[ROUNDS]:.2f} after {ROUNDS} rounds."
)
if costs[ROUNDS] > 0.01:
    demo.say("This company is stuck: small changes of trust help no more. Try another ``--seed``.")

# %% [markdown]
# ## Before, half way, and after
#
# Watch the widths of the arrows, and whether they are dashed: a dashed arrow is a trust below zero.
# Add up what each person gets.

# %%
sizes = numpy.abs(missed)
shown = sizes[[0, half, ROUNDS]]
falls = shown[0] - shown[2]
steadily = (shown[0] > shown[1]) & (shown[1] > shown[2])
# Of the four kinds of customers one whose error falls from picture to picture, the one most of all.
chosen = int(numpy.argmax(numpy.where(steadily, falls, falls - 2)[:4]))
example: dict[str, Any] = {"x": reports[chosen], "y": targets[chosen], "loss": cost, "names": names}
halved = ", when the mean cost has halved" if costs[half] < costs[0] / 2 else ""
which = "not the one worked out above" if chosen else "the one worked out above"
falling = ". Its error becomes smaller from picture to picture" if steadily[chosen] else ""
demo.say(
    f"Half way is here after {half} rounds{halved}. The three pictures show sale {chosen + 1}, "
    f"{which}{falling}."
)
COLOURS = (
    " An arrow is orange and solid where trust is above zero, blue and dashed where it is below; a "
    "circle has the colour of its δ."
)
MOMENTS = {"before": 0, "during": half, "after": ROUNDS}
for moment, rounds in MOMENTS.items():
    model = after(rounds)
    told = f"After {rounds} rounds of 12 sales" if rounds else "Before, everybody trusts at random"
    ada, ben = reports[chosen]
    caption = (
        f"{told}: in sale {chosen + 1} Ada reports {ada:.2f} and Ben {ben:.2f}, the target is "
        f"{targets[chosen]:g}, the answer {model(reports[chosen]).data:.3f}, the error "
        f"{missed[rounds, chosen]:+.3f}.{'' if rounds else COLOURS} Over all sales the answers are "
        f"typically off by {typical[rounds]:.2f}."
    )
    # The legend once is enough, and the scales are those of the page.
    picture = viz.draw_network(model, **example, layers=LAYERS, beside=[history], legend=not rounds)
    demo.show(picture, f"company_{moment}.svg", caption)

# %%
was, of_ceo = (
    numpy.array([weight.data for weight in then.layers[1].neurons[0].w])
    for then in (after(0), company)
)
widest = int(numpy.argmax(abs(of_ceo)))
before = "as before" if widest == int(numpy.argmax(abs(was))) else "and was not before"
turned = [name for name, old, new in zip(MANAGERS, was, of_ceo, strict=True) if old * new < 0]
news = f"The CEO's trust in {' and '.join(turned)} has changed its sign. " if turned else ""
print(f"sale {chosen + 1} after {ROUNDS} rounds, to be added up by hand:\n")
print("\n".join(sums(company, reports[chosen])))
demo.say(
    f"The widest arrow to the CEO is now {names[1][widest]}'s, {before}: that trust went from "
    f"{was[widest]:+.2f} to {of_ceo[widest]:+.2f}. {news}"
    "The own opinions have grown as well: without them the sums would not come out."
)

# %% [markdown]
# ## Twelve sales pull in different directions

# %%
rise = sizes.max(axis=0) / sizes[0]
RISEN = 1.05
worst = int((rise[:4] if rise[:4].max() > RISEN else rise).argmax())
peak = int(sizes[:, worst].argmax())
if rise[worst] > RISEN:
    better = int((sizes[peak] < sizes[0]).sum())
    demo.say(
        f"Does every step make every answer better? No. The error of sale {worst + 1} was "
        f"{sizes[0, worst]:.3f} at the beginning. After {peak} rounds it is "
        f"{sizes[peak, worst]:.3f}, and after {ROUNDS} rounds {sizes[ROUNDS, worst]:.3f}. When "
        f"it is largest, {better} of the {len(targets)} errors are smaller than at the beginning "
        f"and {len(targets) - better} are not, while the mean cost went from {costs[0]:.4f} to "
        f"{costs[peak]:.4f}. Each sale pulls at the same {len(company.parameters())} numbers, and "
        "what is good for one is bad for another."
    )
else:
    demo.say("In this run no error of a sale rises much: all of them pull in one direction.")
mean_target = numpy.mean(targets)
means = mean_target - missed.mean(axis=1)  # of the answers
if abs(means[peak] - mean_target) < abs(means[0] - mean_target):
    demo.say(
        f"What all sales agree on is the average. The mean of the answers was {means[0]:.2f} at "
        f"the beginning and is {means[peak]:.2f} after {peak} rounds; the mean of the targets is "
        f"{mean_target:.2f}. To tell the sales apart takes longer."
    )
figure = Figure(figsize=(7.2, 3.4), layout="constrained")
axes = figure.add_subplot()
axes.plot(sizes, color=style.BORDER, linewidth=0.7)
for number, colour, dashes in ((chosen, style.POSITIVE, "-"), (worst, style.NEGATIVE, "--")):
    axes.plot(sizes[:, number], dashes, color=colour, linewidth=2.2, label=f"sale {number + 1}")
axes.plot(typical, color=style.INK, linewidth=2.2, linestyle=":", label="typically off by")
axes.set(xlabel="rounds of 12 sales", ylabel="size of the error", xlim=(0, ROUNDS), ylim=(0, None))
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
demo.show(
    figure,
    "company_errors.svg",
    "The size of the error of each of the twelve sales (thin lines), round by round, and what the "
    "answers are typically off by.",
)

# %% [markdown]
# ## Play it yourself

# %%
demo.wrote(
    viz.save_lesson(
        after(0),
        demo.out / "company.html",
        reports,
        targets,
        loss=cost,
        lr=RATE,
        rounds=ROUNDS,
        names=names,
        layers=LAYERS,
        words={
            "example": "sale",
            "input": "report",
            "output": "word",
            "weight": "trust",
            "bias": "own opinion",
        },
        back="index.html#company",
    ),
    f"Step through it: one sale forward and back, then {len(reports)} sales, then {ROUNDS} rounds.",
)
demo.wrote(
    viz.save_playground(
        after(0),
        reports,
        targets,
        demo.out / "playground.html",
        loss=cost,
        lr=RATE,
        names=names,
        layers=LAYERS,
        back="index.html#company",
    ),
    "Train it yourself: play, set the learning rate or any trust by hand, freeze it, begin again.",
)
