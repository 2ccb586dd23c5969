"""The kinds of questions that are answered with numbers or a formula.

Each takes a function at a point and draws what it asks. No derivative is computed here: slopes and
gradients are those of the backward pass, and their formulas those of the operator table.
"""

from __future__ import annotations

import ast
import math
import random
import re
from collections.abc import Iterator

from microgradlike.checks import assert_derivation
from microgradlike.derivation import explain, slope_formula, value_formula
from microgradlike.engine import Value
from microgradlike.exercises import answers, nudged
from microgradlike.exercises.draft import Draft
from microgradlike.exercises.exercise import Sketch, Wrong
from microgradlike.exercises.numbers import factor, product, products, shown, total
from microgradlike.exercises.reading import Reading, in_words, line
from microgradlike.flow import Path
from microgradlike.flow import paths as all_paths
from microgradlike.ops import OPERATORS
from microgradlike.sweep import Step, nodes
from microgradlike.sweep import forward as forward_again
from microgradlike.typeset import Exact, Tree, simplified

#: How far a number is nudged.
NUDGE = 0.01

#: So many decimals are told of a result before and after.
DIGITS = 4

#: The learning rates that a step is asked for.
RATES = (0.1, 0.01, 0.2, 0.5)

#: More shares, or paths, than this are too many to be written down.
MOST_PATHS = 4


def forward(r: Reading, draw: random.Random) -> Draft | None:
    """Fill in the result of an operation."""
    return computed(r, draw.choice(r.operations[-2:]))


def computed(r: Reading, node: Value) -> Draft:
    """What the result of this operation is."""
    name = r.names[node]
    wrong = [_opposite(node.data, "The size is right, but a minus sign got lost.")]
    below = set(nodes(node))
    for x in r.used:
        if x.data < 0 and x in below:
            other = forward_again(node, {x: -x.data})[node]
            wrong.append(
                Wrong(other, f"{r.names[x]} is {shown(x.data)}; you took {shown(-x.data)} for it.")
            )
    for operand in node.parents:
        if operand.op:
            wrong.append(
                Wrong(operand.data, f"That is {r.names[operand]}; {name} is one operation further.")
            )
    wrong += _other_operation(r, node)
    question = f"{_leading_to(r, node)}\nWork forward, one operation at a time. What is {name}?"
    operands = [shown(float(x)) for x in node.operands]
    hints = (
        "Begin with the inputs. Compute a letter as soon as all numbers on its right are known.",
        r.chain(node),
        f"The last operation takes {in_words(operands)}: {r.equation(node)} = __",
    )
    return Draft(
        question,
        name,
        node.data,
        f"{', '.join(f'{r.equation(n)} = {shown(n.data)}' for n in _up_to(node))}",
        wrong,
        hints,
        lambda: nudged.same(forward_again(node, {})[node], node.data),
        sketch=Sketch(node, blank_values=tuple(_up_to(node))),
    )


def _other_operation(r: Reading, node: Value) -> Iterator[Wrong]:
    """What comes of doing something else with the same two numbers."""
    x, y = (*map(float, node.operands), 0.0)[:2]
    others = {
        "add": (("multiplied", x * y), ("subtracted", x - y)),
        "sub": (("added", x + y), ("multiplied", x * y)),
        "mul": (("added", x + y), ("subtracted", x - y)),
        "truediv": (("multiplied", x * y), ("subtracted", x - y)),
    }
    for did, result in others.get(node.op, ()):
        yield Wrong(result, f"The operation is {r.equation(node)}. You {did} the two numbers.")
    if node.op == "pow":
        yield Wrong(x * y, f"{r.equation(node)} means times itself. You multiplied by {shown(y)}.")


def _leading_to(r: Reading, node: Value) -> str:
    """The expression, or the equations that lead to a node, and the inputs."""
    asked = f", {r.chain(node)}" if node is not r.root else ""
    how = f"{r.expression}{asked}" if r.expression else r.chain(node)
    return f"{how}\n{r.point()}"


def _up_to(node: Value) -> list[Value]:
    return [n for n in nodes(node) if n.op]


def _opposite(value: float, sentence: str) -> Wrong:
    return Wrong(-value, sentence)


def nudge(r: Reading, draw: random.Random) -> Draft | None:
    """A slope is a ratio of two changes."""
    x = draw.choice(r.used)
    slope, name, e = r.gradient[x], r.names[x], r.names[r.root]
    before, moved = (
        round(v, DIGITS) for v in (r.root.data, forward_again(r.root, {x: x.data + NUDGE})[r.root])
    )
    change = round(moved - before, DIGITS)
    if not change or abs(change / NUDGE - slope) > 0.1 * abs(slope):
        return None
    to = f"{x.data + NUDGE:g}".replace("-", "−")
    first, then, by = (
        f"{v:.{DIGITS}f}".rstrip("0").rstrip(".").replace("-", "−") for v in (before, moved, change)
    )
    way = "rises" if change > 0 else "falls"
    return Draft(
        f"{r.setting(results=False)}, and so {e} = {first}.\n"
        f"Now {name} is nudged from {shown(x.data)} to {to}, and nothing else is touched. {e} "
        f"becomes {then}.\nAbout how large is {r.d(x)}, the gradient at {name}?",
        r.d(x),
        slope,
        f"{by} ÷ {shown(NUDGE)} = {shown(change / NUDGE)}, and for smaller and smaller nudges "
        f"{shown(slope)}"
        if not nudged.same(change / NUDGE, slope)
        else f"{by} ÷ {shown(NUDGE)} = {shown(slope)}",
        [
            _opposite(slope, f"The sign is wrong: {name} rises a little, and {e} {way}."),
            Wrong(change, f"That is how far {e} moved. Divide it by how far {name} moved."),
            Wrong(
                NUDGE / change,
                f"Upside down: divide the change of {e} by the change of {name}.",
            ),
            Wrong(moved / (x.data + NUDGE), "You divided the numbers. A slope compares changes."),
        ],
        (
            "The gradient says how many times the nudge the result moves.",
            f"{r.d(x)} ≈ (change of {e}) ÷ (change of {name})",
            f"{by} ÷ {shown(NUDGE)} = __",
        ),
        lambda: nudged.same(slope, r.nudged(x)),
        leeway=1.05 * abs(change / NUDGE - slope),
    )


def one_step(r: Reading, draw: random.Random) -> Draft | None:
    """What an operation sends back: the gradient that arrived, times the local slope."""
    found = [s for s in r.steps if not {abs(s.upstream), abs(s.slope)} & {1.0, 2.0}]
    return sends(r, draw.choice(found)) if found else None


def sends(r: Reading, step: Step) -> Draft:
    """What is sent back at this step."""
    to, name = r.names[step.parent], r.names[step.node]
    upstream, slope, sent = step.upstream, step.slope, step.contribution
    divided = slope / upstream if upstream else math.inf
    return Draft(
        f"One operation of a longer calculation is {r.equation(step.node)}.\n"
        f"The gradient {shown(upstream)} has arrived at {name}. The local slope {r.local(step)} is "
        f"{shown(slope)}.\nWhat does {name} send back to {to}?",
        f"sent to {to}",
        sent,
        f"{product(upstream, slope)} = {shown(sent)}",
        [
            Wrong(slope, f"That is the local slope alone. Multiply it by {shown(upstream)}."),
            Wrong(upstream, f"That is what arrived at {name}. Multiply it by the local slope."),
            Wrong(upstream + slope, "You added the two. Along a path one multiplies."),
            _opposite(sent, "The size is right. Look at the two signs again."),
            Wrong(divided, "You divided the two. Along a path one multiplies."),
        ],
        (
            "What is sent back is what arrived, times the local slope.",
            f"sent to {to} = {r.d(step.node)} × {r.local(step)}",
            f"{product(upstream, slope)} = __",
        ),
        lambda: nudged.same(sent, r.nudged(step.node) * nudged.local_slope(step)),
    )


def whose_value(r: Reading, draw: random.Random) -> Draft | None:
    """Which number of a product multiplies: the other one."""
    found = [
        s
        for s in r.steps
        if s.node.op == "mul" and s.slope != s.parent.data and len(set(s.node.parents)) == 2
    ]
    if not found:
        return None
    step = draw.choice(found)
    [other] = [x for x in step.node.parents if x is not step.parent]
    to, by, name = r.names[step.parent], r.names[other], r.names[step.node]
    upstream, own, sent = step.upstream, step.parent.data, step.contribution
    arrived = (
        f"{name} is the result, so the gradient at {name} is 1."
        if step.node is r.root
        else f"The gradient {shown(upstream)} has arrived at {name}."
    )
    return Draft(
        f"{r.equation(step.node)}, with "
        f"{in_words([r.value(x) for x in step.node.parents])}.\n{arrived}\n"
        f"What does {name} send back to {to}?",
        f"sent to {to}",
        sent,
        f"{product(upstream, other.data)} = {shown(sent)}",
        [
            Wrong(
                upstream * own,
                f"You multiplied by {to}'s own value. In a product each side gets the other "
                f"side's value: here {by}.",
            ),
            Wrong(upstream, f"A product does not pass the gradient on as it is: multiply by {by}."),
            Wrong(
                other.data,
                f"That is the local slope alone. Multiply it by {shown(upstream)}.",
            ),
            Wrong(upstream + other.data, "You added the two. Along a path one multiplies."),
            _opposite(sent, "The size is right. Look at the two signs again."),
            Wrong(step.node.data, f"That is {name} itself, the value and not the gradient."),
        ],
        (
            _rule(step),
            f"sent to {to} = {'1' if step.node is r.root else r.d(step.node)} × {r.slope(step)}",
            f"{shown(upstream)} × __ = __",
        ),
        lambda: nudged.same(sent, r.nudged(step.node) * nudged.local_slope(step)),
    )


def _rule(step: Step) -> str:
    """The rule of the operator table in a sentence."""
    return f"The rule for this operation: {step.rule}."


def _shares(r: Reading, draw: random.Random) -> Value | None:
    """A number that the result depends on in more than one way."""
    found = [x for x in r.nodes if 2 <= len(r.arriving(x)) <= MOST_PATHS]
    inputs = [x for x in found if not x.op]
    return draw.choice(inputs or found) if found else None


def two_paths(r: Reading, draw: random.Random) -> Draft | None:
    """A number that is used twice gets two shares, and they add."""
    node = _shares(r, draw)
    if node is None:
        return None
    steps, name = r.arriving(node), r.names[node]
    shares, answer = [step.contribution for step in steps], r.gradient[node]
    users = [n for n in r.operations if any(step.node is n for step in steps)]
    wrong = [
        Wrong(
            share,
            f"One path only. {name} reaches {r.names[r.root]} in {len(shares)} ways: add the "
            "shares "
            f"of all, {in_words([shown(s) for s in shares])}.",
        )
        for share in dict.fromkeys(shares)
    ]
    wrong += [
        Wrong(
            math.prod(shares),
            "You multiplied the shares. Along a path one multiplies; where paths meet one adds.",
        ),
        Wrong(
            sum(step.slope for step in steps),
            "You added the local slopes. Multiply each by the gradient that arrived there first.",
        ),
        _opposite(answer, "The size is right. Look at the signs of the shares again."),
    ]
    arrived = in_words([f"{shown(r.gradient[u])} at {r.names[u]}" for u in users])
    where = in_words([r.equation(user) for user in users])
    return Draft(
        f"{r.setting(results=True)}\n{name} is used {_times(len(steps))}: in {where}.\n"
        f"The gradients that have arrived are {arrived}.\n"
        f"What is {r.d(node)}, the gradient at {name}?",
        r.d(node),
        answer,
        f"{total(shares)} = {shown(answer)}",
        wrong,
        (
            "Each place where a number is used sends back a share, and the shares add up.",
            f"{r.d(node)} = "
            + " + ".join(
                f"{'1' if s.node is r.root else r.d(s.node)} × {r.local(s)}" for s in steps
            ),
            f"{products([(s.upstream, s.slope) for s in steps])} = __",
        ),
        lambda: nudged.same(answer, r.nudged(node)),
        sketch=Sketch(r.root, gradients=tuple(users), blank_gradients=(node,)),
    )


def _times(count: int) -> str:
    return {2: "twice"}.get(count, f"{count} times")


def paths(r: Reading, draw: random.Random) -> Draft | None:
    """List all paths, and multiply the local slopes along each."""
    found = [(x, all_paths(r.root, x, MOST_PATHS)) for x in r.used]
    found = [(x, p) for x, p in found if 2 <= p.count <= MOST_PATHS]
    if not found:
        return None
    x, ways = draw.choice(found)
    products = tuple(path.product for path in ways.largest)
    if len(set(map(abs, products))) < len(products):
        return None
    name, e = r.names[x], r.names[r.root]
    ways_told = [_path_told(r, path) for path in ways.largest]
    on_a_path = {n for path in ways.largest for n in path.nodes}
    slopes = dict.fromkeys(
        f"{r.local(s)} = {shown(s.slope)}" for s in r.steps if {s.node, s.parent} <= on_a_path
    )
    wrong = [
        Wrong(
            (ways.total,), f"That is the sum, {r.d(x)}. The question asks for each path by itself."
        ),
        Wrong(
            tuple(sum(path.slopes) for path in ways.largest),
            "You added the slopes along each path. Along a path one multiplies.",
        ),
        Wrong(tuple(-p for p in products), "The sizes are right. Look at the signs again."),
    ]
    wrong += [
        Wrong(
            products[:k] + products[k + 1 :],
            f"One path is missing: {len(products)} paths lead from {name} to {e}.",
        )
        for k in range(len(products))
    ]
    return Draft(
        f"{r.setting(results=False)}\n{r.chain(r.root) + chr(10) if r.expression else ''}"
        f"The local slopes: {', '.join(slopes)}.\n{len(products)} paths lead from {name} to {e}. "
        "Multiply the local slopes along each path. Which products do you get, in any order?",
        "products",
        products,
        f"{'; '.join(ways_told)}. Together {shown(ways.total)}, which is {r.d(x)}",
        wrong,
        (
            f"Follow the equations from {name} upwards: each time a letter is used, a path goes "
            "on.",
            "one path: the product of its local slopes; the gradient: the sum over all paths",
            f"{max(ways_told, key=len).rpartition('=')[0]}= __",
        ),
        lambda: nudged.same(math.fsum(products), r.nudged(x)),
        form="numbers",
        sketch=Sketch(r.root, blank_gradients=(x,)),
    )


def _path_told(r: Reading, path: Path) -> str:
    """A path, and the product of its slopes."""
    letters = " → ".join(r.names[n] for n in path.nodes)
    spelt = f"{product(*path.slopes)} = " if len(path.slopes) > 1 else ""
    return f"{letters}: {spelt}{shown(path.product)}"


#: Activations, and other operations of one number that bend.
_BENDS = frozenset(name for name, row in OPERATORS.items() if len(row.slopes) == 1) | {"pow"}


def delta(r: Reading, draw: random.Random) -> Draft | None:
    """The delta of a neuron: what comes back through the weights, times the slope of its curve."""
    found = [
        h
        for h in r.operations
        if h.op in _BENDS
        and len(h.parents) == 1
        and h in r.gradient
        and len(r.arriving(h)) == 2
        and {s.node.op for s in r.arriving(h)} == {"mul"}
    ]
    if not found:
        return None
    h = draw.choice(found)
    [step] = [s for s in r.steps if s.node is h]
    if step.slope in (0.0, 1.0):
        return None
    z, ways = step.parent, sorted(r.arriving(h), key=lambda s: r.names[s.node])
    bracket, answer = r.gradient[h], r.gradient[z]
    shares = [s.contribution for s in ways]
    feeds = in_words([f"{r.equation(s.node)}" for s in ways])
    weights = in_words([f"{r.slope(s)} = {shown(s.slope)}" for s in ways])
    deltas = in_words([f"{r.d(s.node)} = {shown(s.upstream)}" for s in ways])
    name = r.names[z]
    return Draft(
        f"A neuron has the weighted sum {name} = {shown(z.data)} and the output "
        f"{r.equation(h)}. It "
        f"feeds two others: {feeds}, with the weights {weights}.\n"
        f"Their deltas are {deltas}. The local slope {r.local(step)} of its own curve is "
        f"{shown(step.slope)}.\nWhat is its delta, {r.d(z)}?",
        r.d(z),
        answer,
        f"({total(shares)}) × {factor(step.slope)} = {shown(answer)}",
        [
            Wrong(
                bracket,
                f"That is what comes back through the weights. Multiply by {shown(step.slope)}, "
                "the slope of the neuron's own curve.",
            ),
            Wrong(
                sum(s.upstream for s in ways) * step.slope,
                "You left out the weights. Each delta comes back through the weight in between.",
            ),
            Wrong(shares[0] * step.slope, "One of the two neurons is missing: add both shares."),
            Wrong(shares[1] * step.slope, "One of the two neurons is missing: add both shares."),
            Wrong(bracket + step.slope, "You added the slope of the curve. It multiplies."),
            _opposite(answer, "The size is right. Look at the signs again."),
        ],
        (
            "Take the delta of each neuron it feeds, times the weight in between. Add these up. "
            "Multiply by the slope of the neuron's own curve.",
            f"{r.d(z)} = ("
            + " + ".join(f"{r.d(s.node)} × {r.slope(s)}" for s in ways)
            + f") × {r.local(step)}",
            f"({products([(s.upstream, s.slope) for s in ways])}) × {factor(step.slope)} = __",
        ),
        lambda: nudged.same(answer, r.nudged(z)),
    )


def weight(r: Reading, draw: random.Random) -> Draft | None:
    """The gradient at a weight: what came in, times delta."""
    found = [
        s
        for s in r.steps
        if s.node.op == "mul"
        and any(s.parent is x for x in r.learned)  # "in" would compare numbers
        and s.node is not r.root
        and len(set(s.node.parents)) == 2
        and len(r.arriving(s.parent)) == 1
    ]
    if not found:
        return None
    step = draw.choice(found)
    [x] = [n for n in step.node.parents if n is not step.parent]
    came, answer = r.names[x], r.gradient[step.parent]
    delta, own = step.upstream, step.parent.data
    return Draft(
        f"In a neuron the weight {r.value(step.parent)} multiplies the input {r.value(x)}. "
        f"The product goes into the weighted sum.\n"
        f"The delta of the neuron, the gradient at its weighted sum, is {shown(delta)}. "
        f"The result is called {r.names[r.root]}.\n"
        f"What is {r.d(step.parent)}, the gradient at the weight?",
        r.d(step.parent),
        answer,
        f"{product(x.data, delta)} = {shown(answer)}",
        [
            Wrong(
                own * delta,
                "You took the weight itself. How fast a weight counts depends on its input, "
                f"{came}.",
            ),
            Wrong(
                delta,
                f"That is the gradient at the bias. A weight's is multiplied by its input, {came}.",
            ),
            Wrong(x.data, "That is the input alone. Multiply it by delta."),
            Wrong(
                own * x.data,
                "That is weight × input, which flows forward. Back flows input × delta.",
            ),
            Wrong(own * x.data * delta, "The weight itself is not a factor: input × delta is all."),
            _opposite(answer, "The size is right. Look at the two signs again."),
        ],
        (
            "The gradient at a weight is the number that came in, times delta.",
            f"{r.d(step.parent)} = {came} × delta",
            f"{shown(x.data)} × __ = __",
        ),
        lambda: nudged.same(answer, r.nudged(step.parent)),
    )


def update(r: Reading, draw: random.Random) -> Draft | None:
    """One step of gradient descent: the gradient is not the change."""
    x, rate = draw.choice(r.learned), draw.choice(RATES)
    name, e, slope = r.names[x], r.names[r.root], r.gradient[x]
    answer = x.data - rate * slope
    return Draft(
        f"{name} is {shown(x.data)}, and the gradient {r.d(x)} there is {shown(slope)}.\n"
        f"Gradient descent makes {e} smaller. It takes one step with the learning rate {rate:g}.\n"
        f"What is {name} afterwards?",
        f"new {name}",
        answer,
        f"{shown(x.data)} − {rate:g} × {factor(slope)} = {shown(answer)}",
        [
            Wrong(
                x.data + rate * slope, f"Uphill: that makes {e} larger. Go against the gradient."
            ),
            Wrong(
                x.data - slope,
                f"The gradient is not the change. Multiply it by the rate, {rate:g}, first.",
            ),
            Wrong(-rate * slope, f"That is the change alone. Add it to {shown(x.data)}."),
            Wrong(rate * slope, f"That is rate × gradient. Subtract it from {shown(x.data)}."),
            Wrong(x.data - rate, "The rate alone is not the change. Multiply it by the gradient."),
            Wrong(x.data - rate * slope * x.data, f"The change does not depend on {name} itself."),
        ],
        (
            "The gradient says which way is up and how steep it is. The rate says how far to go.",
            f"new {name} = {name} − rate × {r.d(x)}",
            f"{shown(x.data)} − {rate:g} × {factor(slope)} = __",
        ),
        lambda: nudged.same(answer, x.data - rate * r.nudged(x)),
    )


def by_hand(r: Reading, draw: random.Random) -> Draft | None:
    """Derive a formula."""
    if not r.expression or len(r.used) != len(r.inputs) or len(r.operations) > 5:
        return None
    x = draw.choice(r.used)
    told = {y: explain(r.root, y) for y in r.used}
    formulas = [str(told[y].formula) for y in r.inputs]
    if any(t.conditions or not t.formula for t in told.values()):
        return None
    if any(len(text) > 50 or "1 / 2" in text for text in formulas):  # it would not be simplified
        return None
    answer, name = str(told[x].formula), r.names[x]
    if not any(r.names[y] in answer for y in r.inputs):
        return None
    wrong = [
        Wrong(str(told[y].formula), f"That is {r.d(y)}. Here {name} moves, and the others stay.")
        for y in r.used
        if y is not x
    ]
    shares = _one_path_only(r, x)
    wrong = [
        *(
            Wrong(text, f"One path only: {name} is used more than once, so add the shares of all.")
            for text in shares
        ),
        Wrong(
            _negative(r, answer),
            "The sign is wrong. Look at the minus signs of the expression again.",
        ),
        *wrong,
        Wrong(
            _simple(f"({answer})*{name}"),
            f"One factor {name} too many: the slope of {name} by itself is 1.",
        ),
        Wrong(
            _simple(f"({answer}) + 1"),
            "A term by itself that does not move adds nothing to the slope.",
        ),
    ]
    return Draft(
        f"{r.expression}\nDerive {r.d(x)} by hand, as a formula of "
        f"{in_words(sorted(r.names[y] for y in r.inputs))}.",
        r.d(x),
        answer,
        f"{r.d(x)} = {line(ast.parse(answer, mode='eval').body)}",
        wrong,
        (
            "Go from the result to the input. Multiply along each path, and add where paths meet.",
            f"{r.d(x)} = {line(told[x].backward[-1].sides[1])}, with {r.chain(r.root)}"
            if len(r.operations) > 1
            else _rule(r.arriving(x)[0]),
            f"Where {r.point()}, it must be {shown(r.gradient[x])}. Try your formula there: __",
        ),
        lambda: _is_derivation(r, formulas),
        form="formula",
    )


def _one_path_only(r: Reading, x: Value) -> list[str]:
    """The formulas of the single shares of an input that is used twice."""
    if len(r.arriving(x)) != 2:
        return []
    return [text for step in r.arriving(x) if (text := _share(r, step))]


def _share(r: Reading, step: Step) -> str:
    """What one operation sends back, as a formula of the inputs."""
    trees: dict[Value, Tree] = {x: r.trees[x] for x in r.nodes if not x.op}
    for node in r.operations:
        trees[node] = value_formula(node, trees)
    above = explain(r.root, step.node).formula if step.node is not r.root else "1"
    slope = Exact().write(simplified(slope_formula(step, trees))).text
    between = "|".join(r.names[node] for node in r.operations)
    if above is None or re.search(rf"\b(?:{between})\b", above):
        return ""
    return _simple(f"({above}) * ({slope})")


def _simple(formula: str) -> str:
    """The formula as one writes it on paper."""
    return Exact().write(simplified(ast.parse(formula, mode="eval").body)).text


def _negative(r: Reading, formula: str) -> str:
    """The formula with the other sign."""
    without, names = formula.removeprefix("-").strip(), [r.names[x] for x in r.inputs]
    one, other = (answers.formula(text, names) for text in (without, formula))
    opposite = all(x == -y for x, y in zip(one, other, strict=True))
    return without if opposite else _simple(f"-({formula})")


def _is_derivation(r: Reading, formulas: list[str]) -> bool:
    """Whether these are the derivatives, at random points near by; AssertionError otherwise."""
    near = [tuple(x.data * (1 + 0.1 * k) for x in r.inputs) for k in range(4)]
    assert_derivation(r.f, formulas if len(formulas) > 1 else formulas[0], points=near)
    return True
