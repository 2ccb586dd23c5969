"""The kinds of questions that are answered with a choice: signs, orders, lines, true or false."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import NamedTuple

from microgradlike.engine import Value
from microgradlike.exercises import nudged
from microgradlike.exercises.draft import Draft
from microgradlike.exercises.exercise import Wrong
from microgradlike.exercises.numbers import factor, product, shown
from microgradlike.exercises.reading import Reading, in_words
from microgradlike.nn import MLP
from microgradlike.ops import OPERATORS
from microgradlike.sweep import Step, forward, gradients

RISES, FALLS, STAYS = "rises", "falls", "stays the same"
TRUE, FALSE = "true", "false"


def sign(r: Reading, draw: random.Random) -> Draft | None:
    """Does the result rise or fall when this number grows?"""
    x = draw.choice(r.used)
    name, e, up = r.names[x], r.names[r.root], r.gradient[x] > 0
    answer, other = (RISES, FALLS) if up else (FALLS, RISES)
    negative = dict.fromkeys(
        f"{r.local(step)} = {shown(step.slope)}" for step in _above(r, x) if step.slope < 0
    )
    if negative:
        sentence = (
            f"Negative slopes turn the direction around: {in_words(list(negative))}. Multiply "
            "along "
            "each path, and add where paths meet."
        )
    else:
        sentence = f"No slope between {name} and {e} is negative, so nothing turns around."
    wrong = [
        Wrong(other, sentence),
        Wrong(STAYS, f"{e} is computed from {name}, and the slopes between them are not 0."),
    ]
    path = _path(r, x)
    signs = ", ".join(f"{r.local(s)} is {'negative' if s.slope < 0 else 'positive'}" for s in path)
    return Draft(
        f"{r.setting(results=True)}\n{name} grows a little bit, and all other inputs stay. "
        f"What does {e} do?",
        f"{e} …",
        answer,
        f"{r.d(x)} = {shown(r.gradient[x])} is {'positive' if up else 'negative'}, so {e} {answer}",
        wrong,
        (
            "Go from the input to the result. A negative slope turns the direction around. Where "
            "paths meet, their shares add up.",
            f"the sign of {r.d(x)}",
            f"{signs}: so {e} __" if len(r.arriving(x)) == 1 else f"{r.d(x)} = {_sum(r, x)} = __",
        ),
        lambda: (r.nudged(x) > 0) == up,
        form="choice",
    )


def _above(r: Reading, x: Value) -> list[Step]:
    """The steps on all paths from a node to the result."""
    reached = {x}
    for node in r.operations:
        if not reached.isdisjoint(node.parents):
            reached.add(node)
    return [step for step in r.steps if {step.node, step.parent} <= reached]


def _path(r: Reading, x: Value) -> list[Step]:
    """The first path from a node to the result."""
    path: list[Step] = []
    while x is not r.root:
        path.append(r.arriving(x)[0])
        x = path[-1].node
    return path


def _sum(r: Reading, x: Value) -> str:
    first, *others = (step.contribution for step in r.arriving(x))
    return " + ".join([shown(first), *map(factor, others)])


# ---- Which number moves farthest ----------------------------------------------------------------


def order(r: Reading, draw: random.Random) -> Draft | None:
    """Order numbers by how far one step moves them."""
    found = draw.sample(r.learned, min(3, len(r.learned)))
    sizes = [abs(r.gradient[x]) for x in found]
    if len(found) < 2 or any(x < 1.5 * y for x, y in itertools.pairwise(sorted(sizes)[::-1])):
        return None
    names = sorted(r.names[x] for x in found)

    def ordered(key: Callable[[Value], float]) -> str:
        return ", ".join(r.names[x] for x in sorted(found, key=key, reverse=True))

    answer = ordered(lambda x: abs(r.gradient[x]))
    wrong = [
        Wrong(
            ordered(lambda x: abs(x.data)),
            "That is the order of the numbers themselves. How far they move is told by their "
            "gradients.",
        ),
        Wrong(
            ordered(lambda x: r.gradient[x]),
            "The sign of a gradient says which way, not how far: order them by size.",
        ),
        Wrong(ordered(lambda x: -abs(r.gradient[x])), "The other way round: farthest first."),
        Wrong(ordered(lambda x: x.data), "That orders the numbers, not their gradients."),
    ]
    told = ", ".join(f"{r.d(x)} = {shown(r.gradient[x])}" for x in found)
    return Draft(
        f"{r.setting(results=True)}\nOne step of gradient descent moves {in_words(names)}.\n"
        "Order them by how far they move, the one that moves farthest first.",
        "order",
        answer,
        f"{told}: so {answer}",
        wrong,
        (
            "A number moves by the learning rate times its gradient. So compare the sizes of the "
            "gradients.",
            "change = −rate × gradient; the gradient at a factor: the other factor × what arrives",
            ", ".join(f"{r.d(x)} = {_sum(r, x)}" for x in found[:-1]) + f", {r.d(found[-1])} = __",
        ),
        lambda: answer == ordered(lambda x: abs(r.nudged(x))),
        form="choice",
    )


def predict(r: Reading, draw: random.Random) -> Draft | None:
    """Which number changes most while the network learns?"""
    alike = [x for x in r.used if x.data == r.used[0].data and r.arriving(x)[0].node.op == "mul"]
    if len(alike) > 1 and r.names[r.used[-1]] == "t":
        return _widest(r, alike)
    after, sizes = _after(r), {x: abs(r.gradient[x]) for x in r.used}
    change = {x: abs(after[x] - x.data) for x in r.used}
    best = max(r.used, key=change.__getitem__)
    others = [x for x in r.used if x is not best]
    if not others or any(1.5 * sizes[x] > sizes[best] for x in others):
        return None
    if any(1.2 * change[x] > change[best] for x in others):
        return None
    largest = max(r.used, key=lambda x: abs(x.data))
    told = ", ".join(f"{r.d(x)} = {shown(r.gradient[x])}" for x in r.used)
    return Draft(
        f"{r.setting(results=False)}\nThe gradients there are {told}.\nTen very small steps of "
        "gradient descent follow. Do not compute. Which input moves farthest?",
        "moves farthest",
        r.names[best],
        f"the gradient of the largest size is {r.d(best)} = {shown(r.gradient[best])}",
        [
            Wrong(
                r.names[x],
                f"{r.names[x]} is the largest number, but its gradient is not the largest."
                if x is largest
                else f"Its gradient has the size {shown(sizes[x])}, and there is a larger one.",
            )
            for x in others[:4]
        ],
        (
            "How far a number moves is told by the size of its gradient, whatever its sign.",
            "change = −rate × gradient",
            f"The largest of the sizes {', '.join(shown(sizes[x]) for x in r.used)} is that of __",
        ),
        lambda: best is max(r.used, key=lambda x: abs(r.nudged(x))),
        form="choice",
    )


def _widest(r: Reading, alike: list[Value]) -> Draft | None:
    """Weights that begin alike: the one with the largest input grows most."""
    inputs = {w: next(x for x in r.arriving(w)[0].node.parents if x is not w) for w in alike}
    after = _after(r)
    best = max(alike, key=lambda w: inputs[w].data)
    answer = next(x for x in r.operations if r.names[x] == "y")
    target = r.used[-1]
    sizes = sorted((x.data for x in inputs.values()), reverse=True)
    if best.data in sizes or sizes[0] < 1.5 * sizes[1]:
        return None
    if best is not max(alike, key=lambda w: abs(after[w])):
        return None
    names, wide = [r.names[w] for w in alike], in_words([r.value(x) for x in inputs.values()])
    formula = "y = " + " + ".join(f"{r.names[w]} × {r.names[x]}" for w, x in inputs.items())
    return Draft(
        f"A neuron computes {formula}, with weights that are all {shown(best.data)}. Its inputs "
        "are "
        f"{wide}.\nIts answer is {shown(answer.data)}, and the target is "
        f"{shown(target.data)}. It learns from this example, step by step.\n"
        "Do not compute. Which weight is largest afterwards, so that its arrow is the widest?",
        "widest arrow",
        r.names[best],
        f"{r.names[best]}, because its input {r.value(inputs[best])} is the largest: a weight "
        "moves "
        "by rate × input × delta",
        [
            Wrong(
                r.names[w],
                f"Its input is only {shown(inputs[w].data)}. A weight moves by rate × input × "
                "delta, "
                "and delta is the same for all.",
            )
            for w in alike
            if w is not best
        ]
        + [
            Wrong("all the same", f"They begin alike, but {in_words(names)} have different inputs.")
        ],
        (
            "All weights of a neuron share its delta. What differs is the number that came in.",
            "change of a weight = −rate × input × delta",
            f"The largest of the inputs {', '.join(shown(x.data) for x in inputs.values())} "
            "belongs "
            "to __",
        ),
        lambda: best is max(alike, key=lambda w: abs(r.nudged(w))),
        form="choice",
    )


def _after(r: Reading, steps: int = 10) -> dict[Value, float]:
    """The inputs after some small steps of gradient descent."""
    rate = 0.02 / max(1.0, *(abs(r.gradient[x]) for x in r.used))
    now = [x.data for x in r.inputs]
    for _ in range(steps):
        inputs = [Value(x) for x in now]
        root = r.f(*inputs)
        assert isinstance(root, Value)
        slopes = gradients(root)
        now = [x.data - rate * slopes.get(x, 0.0) for x in inputs]
    return dict(zip(r.inputs, now, strict=True))


def larger_step(r: Reading, draw: random.Random) -> Draft | None:
    """Does a step with this learning rate make the result smaller?"""
    x, rate = draw.choice(r.learned), draw.choice((0.1, 0.5, 1.0, 2.0, 10.0))
    name, e, slope = r.names[x], r.names[r.root], r.gradient[x]
    to = x.data - rate * slope
    after = forward(r.root, {x: to})[r.root]
    if abs(after - r.root.data) < 0.5 or abs(to) > 30:
        return None
    answer, other = (FALLS, RISES) if after < r.root.data else (RISES, FALLS)
    sentence = (
        f"A gradient promises that only for a small step. This one is so long that it overshoots: "
        f"put {shown(to)} in."
        if answer == RISES
        else f"The step goes against the gradient and is not too long: put {shown(to)} in."
    )
    return Draft(
        f"{r.setting(results=True)}\nThe gradient {r.d(x)} is {shown(slope)}. One step with the "
        f"learning rate {rate:g} moves {name} alone, from {shown(x.data)} to {shown(to)}.\n"
        f"What does {e} do?",
        f"{e} …",
        answer,
        f"{e} was {shown(r.root.data)} and is {shown(after)} afterwards, so it {answer}",
        [
            Wrong(other, sentence),
            Wrong(STAYS, f"{name} moves and its gradient is not 0, so {e} moves too."),
        ],
        (
            "A step against the gradient goes down if it is small. A long one can land higher up.",
            f"put the new {name} into {r.expression or r.chain(r.root)}",
            f"With {name} = {shown(to)}: {e} = __",
        ),
        lambda: (
            nudged.same(to, x.data - rate * r.nudged(x))
            and (forward(r.root, {x: to})[r.root] < r.root.data) == (answer == FALLS)
        ),
        form="choice",
    )


# ---- Find the mistake ---------------------------------------------------------------------------

#: A backward pass with more lines than this is too long to be searched.
MOST_LINES = 12


class _Row(NamedTuple):
    """A line of a backward pass, and what it should have been."""

    text: str
    right: str
    step: Step | None


def find_bug(r: Reading, draw: random.Random) -> Draft | None:
    """A backward pass with one mistake: where is it?"""
    if not 3 <= len(r.steps) + sum(len(r.arriving(x)) > 1 for x in r.nodes) <= MOST_LINES:
        return None
    planted = draw.choice(r.steps)
    mistake = draw.choice(("sign", "slope", "upstream", "path"))
    rows, at = _sweep(r, planted, mistake)
    if at is None:
        return None
    lines = [f"{k}. {row.text}" for k, row in enumerate(rows, 1)]
    why = {
        "sign": "the sign is wrong",
        "slope": "the local slope is missing",
        "upstream": "the gradient that had arrived is missing",
        "path": "the shares of all paths must be added",
    }[mistake]
    wrong = []
    clean, _ = _sweep(r, planted, "")
    for k, row in enumerate(rows):
        if k != at:
            goes_on = row.text != clean[k].text
            wrong.append(
                Wrong(
                    f"line {k + 1}",
                    f"Line {k + 1} goes on correctly with the number of an earlier line."
                    if goes_on
                    else f"Line {k + 1} is right: {row.text}.",
                )
            )
    wrong.sort(key=lambda w: abs(int(str(w.answer).split()[1]) - at - 1))
    step = rows[at].step
    return Draft(
        f"{r.setting(results=True)}\nThis backward pass has one mistake. The lines after it go on "
        "with its number.\n" + "\n".join(lines) + "\nIn which line is the mistake?",
        "line",
        f"line {at + 1}",
        f"line {at + 1}: {why}. It should be: {rows[at].right}",
        wrong,
        (
            "For each line ask two things. Is the local slope right? Is it multiplied by what "
            "arrived?",
            "sent = gradient that arrived × local slope; gradient = sum of all shares",
            f"Line {at + 1} should be {rows[at].right.rpartition('=')[0].strip()} = __"
            if step is None
            else f"{r.local(step)} = {shown(step.slope)}. Does each line use it? __",
        ),
        lambda: all(
            nudged.same(s.contribution, r.nudged(s.node) * nudged.local_slope(s)) for s in r.steps
        ),
        form="choice",
    )


def _sweep(r: Reading, planted: Step, mistake: str) -> tuple[list[_Row], int | None]:
    """The lines of the pass with this mistake in it, and which line has it."""
    now, rows, at = {r.root: 1.0}, list[_Row](), None
    for step in r.steps:
        shares = [s for s in r.steps if s.parent is step.parent]
        upstream, before = now[step.node], now.get(step.parent, 0.0)
        right = wrote = upstream * step.slope
        text = told = f"{product(upstream, step.slope)} = {shown(right)}"
        if step is planted and mistake not in ("path", ""):
            wrote = {"sign": -right, "slope": upstream, "upstream": step.slope}[mistake]
            told = f"{product(upstream, step.slope)} = {shown(wrote)}"
            if mistake != "sign":
                told = shown(wrote)
            if shown(wrote) == shown(right):
                return [], None
            at = len(rows)
        begins = f"{r.names[step.node]} sends {r.names[step.parent]}: "
        rows.append(_Row(begins + told, begins + text, step))
        now[step.parent] = before + wrote
        if len(shares) > 1 and step is shares[-1]:
            text = told = f"{shown(before)} + {factor(wrote)} = {shown(before + wrote)}"
            if mistake == "path" and planted.parent is step.parent:
                told, at = shown(wrote), len(rows)
                now[step.parent] = wrote
                if shown(wrote) == shown(before + wrote):
                    return [], None
            begins = f"{r.d(step.parent)} = "
            rows.append(_Row(begins + told, begins + text, None))
    return rows, at


# ---- Saturated, true or false, counting ---------------------------------------------------------


def saturated(r: Reading, draw: random.Random) -> Draft | None:
    """Which neuron learns least, because its curve is flat there?"""
    by_curve: dict[str, list[Step]] = {}
    for step in r.steps:
        if step.node.op == "relu" or (
            step.node.op in OPERATORS and OPERATORS[step.node.op].saturates
        ):
            by_curve.setdefault(step.node.op, []).append(step)
    curve, steps = max(by_curve.items(), key=lambda pair: len(pair[1]), default=("", []))
    slopes = sorted(abs(step.slope) for step in steps)
    if len(steps) < 2 or 4 * slopes[0] >= slopes[1] or slopes[1] == 0:
        return None
    flat = min(steps, key=lambda step: abs(step.slope))
    steps = sorted(steps, key=lambda step: r.names[step.parent])
    sums = [step.parent for step in steps]
    smallest = min(sums, key=lambda z: abs(z.data))
    name = r.names[flat.parent]
    relu = curve == "relu"
    reason = (
        f"{r.value(flat.parent)} is negative, and there relu is flat: it passes nothing"
        if relu
        else f"{r.value(flat.parent)} is farthest from 0, and there {curve} is almost flat"
    )

    def sentence(z: Value) -> str:
        if relu:
            return f"{r.value(z)} is positive, and there the slope of relu is 1: all passes."
        if z is smallest:
            return f"{r.value(z)} is nearest to 0, but that is where {curve} is steepest."
        return f"{r.value(z)} is not as far from 0 as another one. Far out {curve} is flat."

    return Draft(
        f"{_count(len(sums)).capitalize()} neurons have the activation {curve}. Their weighted "
        "sums are "
        f"{in_words([r.value(z) for z in sums])}.\nThe same gradient arrives at the output of "
        "each.\n"
        "Which one passes least of it back to its weights? Give the name of its sum.",
        "learns least",
        name,
        reason,
        [Wrong(r.names[z], sentence(z)) for z in sums if z is not flat.parent],
        (
            f"{curve} passes what arrived times its own slope. Where is that slope smallest?",
            f"delta = what arrives × the slope of {curve} at the sum",
            f"The slopes are {', '.join(shown(s.slope) for s in steps)}, so least passes at __",
        ),
        lambda: flat is min(steps, key=lambda step: abs(nudged.local_slope(step))),
        form="choice",
    )


def _count(number: int) -> str:
    return {2: "two", 3: "three", 4: "four"}.get(number, str(number))


def count(r: Reading, draw: random.Random) -> Draft | None:
    """How many passes it takes to nudge each input."""
    n, e = len(r.used), r.names[r.root]
    if n < 3 or n < len(r.inputs):
        return None
    return Draft(
        f"{r.setting(results=False)}\nSomebody finds the gradients at all {n} inputs by "
        "nudging. One "
        f"input after the other is nudged once, and put back.\nHow often is {e} computed in all? "
        "Count the time before the first nudge, too.",
        "times",
        float(n + 1),
        f"once without a nudge, and once for each of {n} inputs: {n + 1}. Backpropagation needs "
        "one "
        "pass forward and one back",
        [
            Wrong(
                float(n), "The time without a nudge is missing: each change is compared with that."
            ),
            Wrong(
                float(2 * n), "The result without a nudge is needed once, not once for each input."
            ),
            Wrong(
                2.0, "That is backpropagation: one pass forward and one back. Nudging takes more."
            ),
            Wrong(float(2**n), "The nudges are not combined: one input is nudged at a time."),
        ],
        (
            "Each input is nudged by itself, and the result compared with the one before.",
            "1 + number of inputs",
            f"1 + {n} = __",
        ),
        lambda: nudged.times_computed(r.f, [x.data for x in r.inputs]) == n + 1,
    )


def count_network(r: Reading, draw: random.Random) -> Draft | None:
    """How many passes it takes to nudge each weight and each bias of a network."""
    most = 2 + len(r.operations) // 4
    inputs, hidden = draw.randint(2, most + 1), draw.randint(2, most + 1)
    weights, biases = inputs * hidden + hidden, hidden + 1
    n = weights + biases
    return Draft(
        f"A network has {inputs} inputs, {hidden} neurons in the middle, and 1 neuron at the end. "
        f"Every neuron is connected with all numbers before it, and has a bias.\n"
        "Somebody finds the gradients at all weights and biases by nudging. One after the other is "
        "nudged once, and put back.\nHow many forward passes does that take? Count the one "
        "before the first nudge, "
        "too.",
        "forward passes",
        float(n + 1),
        f"{inputs} × {hidden} + {hidden} = {weights} weights and {biases} biases are {n} numbers, "
        f"and 1 pass without a nudge: {n + 1}",
        [
            Wrong(
                float(n), "The pass without a nudge is missing: each change is compared with that."
            ),
            Wrong(float(weights + 1), f"The {biases} biases are missing. They are nudged, too."),
            Wrong(float(weights), f"The {biases} biases and the pass without a nudge are missing."),
            Wrong(
                2.0, "That is backpropagation: one pass forward and one back. Nudging takes more."
            ),
            Wrong(
                float(2 * n), "The pass without a nudge is needed once, not once for each number."
            ),
        ],
        (
            "Count the weights between the layers and one bias for each neuron. Add the pass "
            "without a nudge.",
            "passes = 1 + weights + biases",
            f"1 + ({inputs} × {hidden} + {hidden} × 1) + ({hidden} + 1) = __",
        ),
        lambda: len(list(MLP(inputs, [hidden, 1]).parameters())) == n,
    )


class _Claim(NamedTuple):
    """A statement, whether it is true, why, and what is said to who thinks otherwise."""

    statement: str
    true: bool
    because: str
    proof: Callable[[], bool] | None = None
    """Of the numbers in it, if there are any."""


def true_false(r: Reading, draw: random.Random) -> Draft | None:
    """A statement about gradients: is it true?"""
    x = draw.choice(r.used)
    claim = draw.choice(list(_claims(r, x, draw.random() < 0.5)))
    answer, other = (TRUE, FALSE) if claim.true else (FALSE, TRUE)
    return Draft(
        f"{r.setting(results=True)}\nThe gradient {r.d(x)} is {shown(r.gradient[x])}.\n"
        f"True or false? “{claim.statement}”",
        "true or false",
        answer,
        f"{answer}: {claim.because[0].lower()}{claim.because[1:]}".rstrip("."),
        [Wrong(other, claim.because)],
        (
            "A gradient says how the result changes when one number changes a little and all "
            "others "
            "stay.",
            f"change of {r.names[r.root]} ≈ {r.d(x)} × change of {r.names[x]}",
            f"{r.d(x)} = {shown(r.gradient[x])}. So the statement is __"
            if claim.proof
            else "Is there a single case in which it is wrong? Then the statement is __",
        ),
        claim.proof or (lambda: True),
        form="choice",
    )


def _claims(r: Reading, x: Value, right: bool) -> list[_Claim]:
    """What might be said about an input; some of it is true if ``right``, and else false."""
    name, e, g = r.names[x], r.names[r.root], r.gradient[x]
    rises, falls = (RISES, FALLS) if (g > 0) == right else (FALLS, RISES)
    nudge = shown(abs(g) * 0.001)
    far = forward(r.root, {x: x.data + 10})[r.root] - r.root.data
    straight = nudged.same(far, 10 * g)

    def slope() -> bool:
        return nudged.same(g, r.nudged(x))

    claims = [
        _Claim(
            f"If {name} grows by 0.001, then {e} {rises} by about {nudge}.",
            right,
            f"The gradient is {shown(g)}, so {e} {'rises' if g > 0 else 'falls'}.",
            slope,
        ),
        _Claim(
            f"If {name} shrinks by 0.001, then {e} {falls} by about {nudge}.",
            right,
            f"The gradient is {shown(g)}, so with a smaller {name} {e} "
            f"{'falls' if g > 0 else 'rises'}.",
            slope,
        ),
        _Claim(
            f"One step of gradient descent changes {name} by {shown(-g)}, whatever the learning "
            "rate is.",
            False,
            "The gradient is not the change. It is multiplied by the learning rate first.",
            slope,
        ),
        _Claim(
            f"If {name} grows by 10, then {e} changes by {shown(10 * g)}.",
            straight,
            f"The slope is the same all the way: the change is {shown(far)}."
            if straight
            else f"On such a long way the slope changes, too: {e} changes by {shown(far)}.",
            slope,
        ),
    ]
    return [*claims, *_claims_of_all(r), *_claims_of_structure(r, x)]


def _claims_of_all(r: Reading) -> list[_Claim]:
    """Claims about gradients and training as such."""
    e = r.names[r.root]
    return [
        _Claim(
            "With a learning rate twice as large the gradients are twice as large.",
            False,
            "The gradients are the same. The step is twice as long.",
        ),
        _Claim(
            f"The gradient at {e} itself is 1.",
            True,
            f"When {e} changes, {e} changes by exactly as much.",
        ),
        _Claim(
            f"The gradient at {e} itself is 0, because nothing comes after it.",
            False,
            f"It is 1: when {e} changes, {e} changes by exactly as much.",
        ),
        _Claim(
            f"One backward pass gives the gradients at all {len(r.used)} inputs.",
            True,
            "The pass goes through all operations once, and reaches every input.",
        ),
        _Claim(
            f"The backward pass must run once for each of the {len(r.used)} inputs.",
            False,
            "One backward pass is enough for all inputs. Nudging needs a run for each.",
        ),
        _Claim(
            "After training, the network still remembers its examples.",
            False,
            "Only weights and biases stay. The record of each step is thrown away.",
        ),
        _Claim(
            "A step that makes the mean cost of twelve examples smaller makes each of the twelve "
            "costs smaller.",
            False,
            "The examples pull in different directions. Some costs may rise while the mean falls.",
        ),
        _Claim(
            "A neuron that gets no gradient has learned everything and must be right.",
            False,
            "Its curve may simply be flat there. It can be as wrong as ever.",
        ),
    ]


def _claims_of_structure(r: Reading, x: Value) -> list[_Claim]:
    """Claims that need something in the function: an order of sizes, a sum, a number used twice."""
    claims: list[_Claim] = []
    largest = max(r.used, key=lambda y: abs(r.gradient[y]))
    smallest = min(r.used, key=lambda y: abs(r.gradient[y]))
    if abs(r.gradient[largest]) > abs(r.gradient[smallest]):
        claims.append(
            _Claim(
                f"{r.names[largest]} has the largest gradient, {shown(r.gradient[largest])}. So "
                f"{r.names[largest]} is the most important input, wherever we are.",
                False,
                "A gradient belongs to one point. Elsewhere another input may have the largest "
                "one.",
            )
        )
    for node in r.operations:
        if node.op == "add" and len(set(node.parents)) == 2:
            claims.append(
                _Claim(
                    f"{r.equation(node)} sends the same gradient to both sides.",
                    True,
                    "In a sum each side counts once: the local slopes are 1 and 1.",
                )
            )
        if node.op == "mul" and len(set(node.parents)) == 2:
            one, other = node.parents
            if one.data != other.data:
                claims.append(
                    _Claim(
                        f"{r.equation(node)} sends the same gradient to both sides.",
                        False,
                        "In a product each side gets the other side's value as a factor.",
                    )
                )
    if len(r.arriving(x)) > 1:
        claims += [
            _Claim(
                f"{r.names[x]} is used more than once, so its gradient is the sum of the shares of "
                "all these places.",
                True,
                "A nudge travels along every path, and the effects add up.",
            ),
            _Claim(
                f"{r.names[x]} is used more than once, and only the last share counts as its "
                "gradient.",
                False,
                "The shares add up: a nudge travels along every path.",
            ),
        ]
    return claims
