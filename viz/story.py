"""The whole pass as moments: what each one changes, and what there is to say about it.

First the numbers are computed, then the result gets the gradient 1, then the gradient flows back,
and at the end the parameters may be updated. Every number in a sentence is computed: by ``flow``,
or by running the operation once more with another number.
"""

from __future__ import annotations

import ast
import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from microgradlike import flow, typeset
from microgradlike.engine import Value
from microgradlike.flow import Step
from microgradlike.typeset import Derivative, Symbol, Total, Tree
from microgradlike.words import counted, literal
from viz import style
from viz.formula import Page, equation_in_line, expression
from viz.graph import FLAGS, Graph
from viz.nudges import nudge_of_leaf, nudge_of_operand
from viz.scene import Move, Remark, Scene
from viz.shares import Shares, in_sum

#: Of a graph of more nodes than this only the parts are told of: a page of all would be too large.
MOST_DETAILED = 2000

#: Paths are looked for if the leaves times the nodes to look through are at most so many.
MOST_TRACED = 12_000

#: What these names call should become small anyway: the update need not say so.
COSTS = ("loss", "cost", "error")

#: Paths of more nodes than this are counted and summed up, but not written down if they are many.
LONGEST_PATH = 60


class Moment(NamedTuple):
    """What there is to say at one step of the page."""

    kind: str
    sentence: str
    question: str = ""
    """What a reader who wants to be asked is asked instead."""
    equations: tuple[str, ...] = ()
    """In MathML: symbols, numbers, results."""
    rule: str = ""
    nudge: str = ""
    """What the operation does if its operand is moved a little: the ratio is the slope."""
    sum: str = ""
    """The shares of a gradient, where a node receives more than once."""
    aside: str = ""
    """What is easily misunderstood here; no page says it twice."""
    flag: str = ""
    """Where the gradient is lost, or grows without measure."""
    active: str = ""
    """The box that is at work."""


#: What an update may say, and what a part sends; a page that recomputes has the same words.
MOVED, LOST = "{} moved against the gradient", ", and {} became NaN, as the gradient there is NaN"
ROSE = " It rose: the step was too long."
SHARE, MORE = "{} to {}", "and to {} more"
SENDS = "sends its gradient back: {}"
ALONE, NOTHING = "sends its gradient back to its own parameters alone", "sends nothing back"

#: More that may be flagged.
FIRST = "the first number that is not finite comes from here"
BREAK = "{} has {} just here: its slope is a convention"

#: More numbers than this are not told one by one.
MOST_MOVED, MOST_SENT = 8, 6


class Numbers:
    """The numbers of a pass, as its sentences ask for them.

    >>> x = Value(3.0)
    >>> Numbers(Graph.of(x * x, afresh=True)).grad(x)
    6.0
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def value(self, node: Value) -> float:
        """The number of a node."""
        return node.data

    def grad(self, node: Value) -> float:
        """Its gradient in the end."""
        return self._graph.grad(node)

    def step(self, step: Step) -> Step:
        """A step with its numbers."""
        return step


class Story:
    """The moments of the pass, and the number that every node shows from each of them on.

    Attributes:
        values, grads: for each node that is told of, the pairs (moment, number).
        arrivals: for each change of a gradient, the steps that made it; a result begins with none.
        acts: what happens at each moment: the nodes that are computed, a step, or a move of a part.
        home: the box that shows each node, or stands for it.
        crossed: for each arrow of the scene, the moment at which the gradient crosses it.
        computed: for each box of the scene that computes, the moment at which it does.
    """

    def __init__(
        self, graph: Graph, scene: Scene, names: Mapping[Value, str], lr: float | None
    ) -> None:
        self.graph, self.scene = graph, scene
        self.detailed = len(graph.nodes) <= MOST_DETAILED
        self.told = graph.nodes if self.detailed else list(scene.shown.values())
        self.names = names
        results = [names[node] for node in graph.results]
        self.ends = " and ".join(results)
        self.name = results[0] if len(results) == 1 else f"({' + '.join(results)})"
        self.values: dict[Value, list[tuple[int, float]]] = {}
        self.grads: dict[Value, list[tuple[int, float]]] = {}
        self.arrivals: dict[Value, list[list[Step]]] = {}
        self.crossed: dict[int, int] = {}
        self.computed: dict[str, int] = {}
        uses = Counter(step.parent for step in (graph.steps if self.detailed else ()))
        self.uses = uses
        self._shares = Shares(uses, graph.results, names)
        self._numbers = Numbers(graph)
        self._said: set[str] = set()
        self._boxes = {box.name: box for box in scene.boxes}
        self.home = {node: box for box, nodes in scene.members.items() for node in nodes}
        self._sent: dict[str, int] = {}
        self._sent_singly: dict[tuple[Value, int], int] = {}
        self.moments = [self._start()]
        self.acts: list[list[Value] | Step | Move | None] = [None]
        self.lr = lr
        self._go_forward()
        self._seed()
        self._go_backward()
        if lr is not None:
            self._update(lr)
        # A sum of several results is no expression that anybody wrote.
        self.expression = None if len(results) > 1 else expression(graph.nodes, names)

    @property
    def formula(self) -> str:
        """What the page is about, in MathML; nothing where it is too long, or a number alone."""
        if self.expression is None or not self.graph.root.op:
            return ""
        sides = [Symbol(self.name, self.graph.root.data), self.expression]
        return f"<math>{'<mo>=</mo>'.join(Page().parts(sides))}</math>\n"

    @functools.cached_property
    def colours(self) -> style.Scale:
        """The scale of all gradients of the pass, for every picture of it."""
        return style.Scale.of(grad for changes in self.grads.values() for _, grad in changes)

    @property
    def last(self) -> int:
        """The number of the last moment."""
        return len(self.moments) - 1

    def moment_of(self, step: Step) -> int:
        """The moment at which a step is taken."""
        return self._sent_singly.get((step.node, step.place)) or self._sent[self.home[step.node]]

    def since(self, node: Value, remark: Remark) -> int:
        """The moment from which on a remark about a node can be made."""
        if remark.since == "value":
            return self.values[node][0][0]
        if remark.since == "gradient":
            return self.grads[node][-1][0]
        return max(self.moment_of(step) for step in self.graph.steps if step.node is node)

    def title(self, box: str) -> str:
        """What a box is called in a sentence."""
        nodes = self.scene.members.get(box)
        if nodes is None:
            return literal(self._boxes[box].heading) if box in self._boxes else self._elsewhere(box)
        if len(nodes) == 1:
            return self.names[nodes[0]]
        found = self._boxes[box]
        return f"{found.heading} of {found.column}" if found.column else found.heading

    def _elsewhere(self, box: str) -> str:
        """A node of a part that is opened: its box has the name of the node's place."""
        return self.names[self.graph.nodes[int(box[1:])]]

    def _start(self) -> Moment:
        operations = sum(bool(node.op) for node in self.graph.nodes)
        given = len(self.graph.nodes) - operations
        are = "is" if len(self.graph.results) == 1 else "are"
        first = (
            f"First {self.ends} {are} computed from {'it' if given == 1 else 'them'} in "
            f"{counted(operations, 'operation')}, then the gradient flows back."
            if operations
            else f"It is {self.ends} itself: there is nothing to compute."
        )
        return Moment("start", f"Given: {counted(given, 'number')}. {first}")

    # ---- Forward -------------------------------------------------------------------------------

    def _go_forward(self) -> None:
        told = set(self.told)
        last: dict[str, int] = {}
        for place, node in enumerate(self.graph.nodes):
            if node.op:
                last[self.home[node]] = place
            elif node in told:
                self.values[node] = [(0, node.data)]
        for box in sorted(last, key=last.__getitem__):
            nodes = [node for node in self.scene.members[box] if node.op]
            self.computed[box] = len(self.moments)
            for node in nodes:
                if node in told:
                    self.values[node] = [(len(self.moments), node.data)]
            self.moments.append(self.computes(box, nodes, self._numbers))
            self.acts.append(nodes)

    def computes(self, box: str, nodes: list[Value], numbers: Numbers) -> Moment:
        """A box computes its nodes."""
        if len(self.scene.members[box]) > 1:
            return self._computes_part(box, nodes, numbers)
        (node,) = nodes
        symbols = self.symbols(node, numbers)
        how = flow.value_formula(node, symbols)
        text = equation_in_line(node, symbols)
        return Moment(
            "forward",
            f"{text} is computed: {style.number(numbers.value(node))}.",
            f"{text}: what is it?",
            _equation(symbols[node], how, *map(typeset.evaluated, (how, symbols[node]))),
            flag=self.graph.birth(node),
            active=box,
        )

    def _computes_part(self, box: str, nodes: list[Value], numbers: Numbers) -> Moment:
        work = f"{self.title(box)} does {counted(len(nodes), 'operation')}"
        shown = self.scene.shown.get(box)
        result = "" if shown is None else f" and gives {style.number(numbers.value(shown))}"
        return Moment("forward", f"{work}{result}.", f"{work}: what comes out?", active=box)

    # ---- Backward ------------------------------------------------------------------------------

    def _seed(self) -> None:
        results = list(self.graph.results)
        each, moved, whole = "", self.name, self.name
        if len(results) > 1:
            each, moved, whole = " each", "one of them", "their sum"
        for result in results:
            self._receive(result, len(self.moments), 1.0)
        self.acts.append(None)
        self.moments.append(
            Moment(
                "seed",
                f"Start at {self.ends} with 1{each}: when {moved} changes, {whole} changes by "
                "exactly as much.",
                f"When {moved} changes, by how many times as much does {whole} change?",
                _equation(Total(self.name, self.name, 1.0), ast.Constant(1)),
                f"The gradient at a number is the slope of {self.name} there: how many times as "
                f"much {self.name} changes as that number does.",
                active=self.home[results[0]],
            )
        )

    def _go_backward(self) -> None:
        sent: dict[str, list[Step]] = {}
        if self.detailed and self.scene.folded:
            for step in self.graph.steps:
                sent.setdefault(self.home[step.node], []).append(step)
        waiting = Counter(step.parent for step in self.graph.steps) if sent else Counter()
        received = dict.fromkeys(self.graph.results, 1.0)
        for move in self.scene.moves:
            now = len(self.moments)
            self.crossed.update(dict.fromkeys(move.arrows, now))
            if move.step is not None:
                step = move.step
                self._sent_singly[step.node, step.place] = now
                self._receive(step.parent, now, step.after, step)
                self.moments.append(self._crossed(step, move.sender))
                self.acts.append(step)
                continue
            self._sent[move.sender] = now
            for step in sent.get(move.sender, ()):
                node = step.parent
                received[node] = received.get(node, 0.0) + step.contribution
                waiting[node] -= 1
                # Parts may send in another order than their nodes: the sum ends with the same.
                grad = received[node] if waiting[node] else self.graph.grad(node)
                self._receive(node, now, grad, step)
            if not sent:
                for box, grad in move.grads.items():
                    self._receive(self.scene.shown[box], now, grad)
            self.moments.append(self._sent_by_part(move))
            self.acts.append(move)

    def _receive(self, node: Value, now: int, grad: float, step: Step | None = None) -> None:
        changes, steps = self.grads.setdefault(node, []), self.arrivals.setdefault(node, [])
        if changes and changes[-1][0] == now:
            changes.pop()
        else:
            steps.append([])
        changes.append((now, grad))
        if step is not None:
            steps[-1].append(step)

    def _crossed(self, step: Step, box: str) -> Moment:
        """One operation sends one operand its share."""
        node, parent = self.names[step.node], self.names[step.parent]
        symbols = self.symbols(step.node, self._numbers)
        slope = flow.slope_formula(step, symbols)
        self._shares.take(step)
        what = equation_in_line(step.node, symbols)
        flags = [FLAGS[flag].format(node) for flag in self.graph.flags.get(step.node, ())]
        if step.node is self.graph.origin:
            flags.append(FIRST)
        if found := flow.break_at(step):
            flags.append(BREAK.format(node, found))
        sign = style.symbol(step.node._op)
        return Moment(
            "backward",
            self.sends(step, self._numbers),
            f"{what}: what does it send back to {parent}? Which sign, which size?",
            (*self.chain(step, slope), *self.added_up(step, self._shares)),
            f"{sign}: {step.rule}",
            nudge=nudge_of_operand(step, self.names) if step.node in self.graph.results else "",
            sum=self._shares.in_words(step),
            aside=self._once("adding", self._shares.lost_without_adding(step)),
            flag="; ".join(flags),
            active=box,
        )

    def sends(self, step: Step, numbers: Numbers) -> str:
        """What one operation sends one operand, in a sentence."""
        what = equation_in_line(step.node, self.symbols(step.node, numbers))
        share = style.signed(step.contribution)
        return f"{what} sends {share} back to {self.names[step.parent]}."

    def chain(self, step: Step, slope: Tree) -> tuple[str, ...]:
        """The chain rule for one step, whose slope has this formula."""
        node, parent = self.names[step.node], self.names[step.parent]
        local = Derivative(node, parent, step.slope)
        chain = typeset.product(Total(self.name, node, step.upstream), local)
        return (
            *_equation("share over this arrow", chain),
            *_equation(local, slope, typeset.evaluated(slope)),
            *_equation("share", typeset.evaluated(chain), ast.Constant(step.contribution)),
        )

    def added_up(self, step: Step, shares: Shares) -> tuple[str, ...]:
        """The gradient as the sum of the shares that have arrived, where these are several."""
        equation = shares.equation(step, self.name)
        return (_math(equation),) if equation else ()

    def _once(self, what: str, sentence: str) -> str:
        """The sentence, unless the page has said such a thing already."""
        if not sentence or what in self._said:
            return ""
        self._said.add(what)
        return sentence

    def _sent_by_part(self, move: Move) -> Moment:
        """One part sends to all the parts that feed it."""
        arrows = sorted(
            (self.scene.arrows[place] for place in move.arrows),
            key=lambda arrow: -abs(arrow.contribution or 0.0),
        )
        shares = [
            SHARE.format(style.signed(arrow.contribution or 0.0), self.title(arrow.tail))
            for arrow in arrows[:MOST_SENT]
        ]
        if len(arrows) > MOST_SENT:
            shares.append(MORE.format(len(arrows) - MOST_SENT))
        title = self.title(move.sender)
        sends = SENDS.format(", ".join(shares))
        if not arrows:
            sends = ALONE
        elif not any(arrow.contribution for arrow in arrows):
            sends = NOTHING
        summed = move.ways > len(arrows)
        return Moment(
            "backward",
            f"{title} {sends}.",
            f"{title} sends its gradient back: to whom does most of it go?",
            rule=f"each share is a sum: {move.ways:,} edges of the graph lead back"
            if summed
            else "",
            active=move.sender,
        )

    # ---- The update ----------------------------------------------------------------------------

    @functools.cached_property
    def moved(self) -> list[Value]:
        """What an update moves: the parameters, or where there are none, all that is given."""
        leaves = [node for node in self.graph.nodes if not node.op]
        return [leaf for leaf in leaves if self.graph.is_parameter(leaf)] or leaves

    @property
    def moved_is_called(self) -> str:
        """One of these."""
        return "parameter" if self.graph.is_parameter(self.moved[0]) else "number"

    def _update(self, lr: float) -> None:
        """Every parameter moves against its gradient, and the result is computed again."""
        changed = {leaf: leaf.data - lr * self.graph.grad(leaf) for leaf in self.moved}
        root, data = self.graph.root, flow.forward(self.graph.root, changed)
        for node in self.told:
            if data[node] != node.data:
                self.values[node].append((len(self.moments), data[node]))
        what = self.moved_is_called
        lost = sum(math.isnan(self.graph.grad(leaf)) for leaf in self.moved)
        moved = sum(new != leaf.data and new == new for leaf, new in changed.items())
        happened = MOVED.format(counted(moved, what) if moved else f"no {what}")
        if lost:
            happened += LOST.format(counted(lost, what))
        rose = ROSE if data[root] > root.data else ""
        self.acts.append(None)
        self.moments.append(updated(self, lr, self._numbers, data.__getitem__, happened, rose))

    def symbols(self, node: Value, numbers: Numbers) -> dict[Value, Tree]:
        """The names of a node and of its operands, with their numbers."""
        return {v: Symbol(self.names[v], numbers.value(v)) for v in (node, *node.parents)}


def updated(
    story: Story,
    lr: float,
    numbers: Numbers,
    new: Callable[[Value], float],
    happened: str,
    rose: str,
) -> Moment:
    """The moment of the update, which has so happened; ``new`` gives the new numbers."""
    lines = [
        f"{story.names[leaf]}: old {style.number(numbers.value(leaf))}, gradient "
        f"{style.number(numbers.grad(leaf))}, new {style.number(numbers.value(leaf))} − "
        f"{style.number(lr)} × {in_sum(numbers.grad(leaf))} = {style.number(new(leaf))}"
        for leaf in story.moved[:MOST_MOVED]
    ]
    if len(story.moved) > MOST_MOVED:
        lines.append(f"and {len(story.moved) - MOST_MOVED} more")
    wanted = "Smaller is what we want here, as with a cost: "
    if story.name.casefold() in COSTS:
        wanted = ""
    root = story.graph.root
    return Moment(
        "update",
        f"The update: {happened}. {wanted}{story.name} was {style.number(numbers.value(root))} "
        f"and is now {style.number(new(root))}.{rose}",
        f"The update: each {story.moved_is_called} moves against its gradient. Does {story.name} "
        "fall?",
        rule="\n".join(lines),
        aside="The gradient is not the change: the change is the learning rate, "
        f"{style.number(lr)}, times the gradient, against its sign. The gradients and "
        "slopes on the picture belong to the old numbers; the next pass finds new ones.",
    )


# ---- For the page ------------------------------------------------------------------------------


def data(story: Story) -> dict[str, Any]:
    """All of it, as the script reads it."""
    return {
        "not_yet": [style.NOT_YET, style.MUTED, style.SURFACE],
        "moments": [moment._asdict() for moment in story.moments],
        "nodes": {
            story.graph.ids[node]: {
                "values": [[k, repr(v), style.number(v)] for k, v in story.values[node]],
                "grads": [
                    [k, repr(g), style.number(g), *story.colours.paint(g)]
                    for k, g in story.grads.get(node, ())
                ],
            }
            for node in story.told
        },
        "nudges": {
            story.graph.ids[leaf]: nudged
            for leaf in _traced(story)
            if (nudged := nudge_of_leaf(story.graph, leaf, story.names, story.name))
        },
        "paths": {
            story.graph.ids[leaf]: paths(story.graph, story.names, leaf) for leaf in _traced(story)
        },
    }


def _traced(story: Story) -> list[Value]:
    """The leaves whose paths are told: all, or those that have a box of their own, or none."""
    leaves = [node for node in story.graph.nodes if not node.op and node in story.grads]
    alone = [leaf for leaf in leaves if len(story.scene.members[story.home[leaf]]) == 1]
    most = MOST_TRACED // len(story.graph.nodes)
    return next((some for some in (leaves, alone) if len(some) <= most), [])


def heading(story: Story, numbers: Numbers) -> str:
    """The result, the numbers it is computed from where these are few, and how much there is."""
    graph, names = story.graph, story.names
    size = f"{counted(len(graph.nodes), 'node')}, {counted(story.last, 'step')}"
    results, given = (
        ", ".join(f"{names[node]} = {style.number(numbers.value(node))}" for node in told)
        for told in (graph.results, [node for node in graph.nodes if not node.op])
    )
    heading = f"{results}, {size}"
    if story.expression is not None and graph.root.op:
        heading = f"{results} at {given}; {size}"
    if story.scene.folded and story.scene.arrows:
        heading += f", folded: {len(graph.nodes):,} nodes as {len(story.scene.members):,}"
    if not story.detailed:
        heading += f"; above {MOST_DETAILED:,} nodes, parts cannot be looked into"
    return heading + graph.warning


def paths(graph: Graph, names: Mapping[Value, str], leaf: Value) -> dict[str, Any]:
    """The paths to a leaf, as the script lists them."""
    found = flow.paths(graph.root, leaf)
    joints = set(graph.joints)
    longest = LONGEST_PATH if found.count > 1 else math.inf
    written = [path for path in found.largest if len(path.nodes) <= longest]
    ways = [
        {
            "nodes": [graph.ids[node] for node in nodes],
            "way": " → ".join(names[node] for node in nodes),
            "sides": [
                _side(above, below, slope)
                for below, above, slope in zip(nodes, nodes[1:], path.slopes, strict=False)
            ],
            "slopes": " × ".join(map(in_sum, path.slopes[: len(nodes) - 1])),
            "product": repr(path.product),
            "text": style.number(path.product),
        }
        for path in written
        for nodes in [[node for node in path.nodes if node not in joints]]
    ]
    others = found.count - len(ways)
    rest = ""
    if len(written) < len(found.largest):
        rest = f"{_many(others)} {'more' if ways else 'paths'}, too long to be written down"
    elif others:
        rest = f"{_many(others)} more, together {style.number(found.remainder)}"
    return {"ways": ways, "rest": rest, "total": style.number(found.total)}


def _side(node: Value, operand: Value, slope: float) -> int:
    """Which operand of a node a step of a path goes to: in ``x / x`` the slope tells."""
    sides = {place: found for place, parent, found, _ in flow.sent_to(node) if parent is operand}
    return next((place for place, found in sides.items() if found == slope), min(sides))


def _many(count: int) -> str:
    """A count, or its size where it has more digits than anyone reads."""
    return f"{count:,}" if count < 10**21 else f"some 10^{len(str(count)) - 1}"


def _math(inside: str) -> str:
    return f'<math displaystyle="true"><mrow>{inside}</mrow></math>'


def _equation(*sides: Tree | str) -> tuple[str, ...]:
    """An equation in MathML; a side may be a word."""
    words = [side for side in sides if isinstance(side, str)]
    trees = [side for side in sides if not isinstance(side, str)]
    parts = [f"<mtext>{word}</mtext>" for word in words] + Page().parts(trees)
    return (_math("<mo>=</mo>".join(parts)),)
