"""A network and its examples as data, with which a page can go on training.

The cost of an example is a graph. Examples whose graphs differ in their numbers alone share one: it
is recorded once, without numbers, and a page fills in those of an example, and the weights.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy

from microgradlike import evaluate, javascript, ops
from microgradlike import functions as f
from microgradlike.engine import Value, no_grad, recorded_decisions, topological_order
from microgradlike.flow import layer_runs, layers_of
from microgradlike.functions import FUNCTIONS
from microgradlike.inputs import describe, function
from microgradlike.nn import MLP, Module
from microgradlike.ops import OPERATORS

#: A page computes about half a million nodes in a second, forward and back. A round of more than
#: this is no play.
MOST_NODES = 400_000

#: From how many seeds there are weights to begin with, beside those of the model.
SEEDS = 5

#: With which weights the graphs are tried: the beginning, and how many times as large.
PROBES = ((-1, 1.0), (-2, 4.0))


class Shape(NamedTuple):
    """The graph of one example without its numbers: places are those of nodes in ``rows``."""

    rows: list[javascript.Row]
    parameters: list[tuple[int, int]]
    """The place of a leaf, and which parameter it is."""
    inputs: list[int]
    sums: list[list[int]]
    """Of each layer, its weighted sums."""
    outputs: list[list[int]]
    """Of each layer, what its activations make of these."""
    cost: int
    slots: list[tuple[int, str]]
    """Where the other numbers go: "data" of a leaf, or an operand, "x" or "y"."""


class Example(NamedTuple):
    """An example as a page needs it."""

    shape: int
    """Which of the shapes its graph has."""
    x: list[float]
    numbers: list[float | str]
    """What goes into the slots."""
    target: Any


class Practice:
    """A copy of a network, its examples, and weights to begin with.

    Args:
        model, X, y, loss: as for ``fit``; the model has layers.

    Attributes:
        parameters: those of all neurons, each once.
        names: what ``state_dict`` calls them.
        shapes: the graphs that the examples have.
        beginnings: a name and weights: first those of the model, then those of some seeds.
        cost: the mean over all examples.

    Raises:
        TypeError, ValueError: the model has no layers, the examples do not fit, the loss gives no
            Value or another graph where weights are others, or a round would take too long.

    >>> from microgradlike import losses
    >>> practice = Practice(MLP(2, [3, 1], seed=0), [[0.0, 1.0], [1.0, 1.0]], [1, -1], losses.hinge)
    >>> len(practice.shapes), practice.examples[1].x, practice.examples[1].numbers
    (1, [1.0, 1.0], [-1.0, 1.0])
    """

    def __init__(self, model: Any, X: Any, y: Any, loss: Callable[[Any, Any], Any]) -> None:
        layers_of(model)
        self.loss, self._model = loss, copy.deepcopy(model)
        self.neurons = [list(layer.neurons) for layer in layers_of(self._model)]
        function("loss", loss)
        self.cost = evaluate(self._answer, X, y, loss)[0]
        self.X: list[list[float]] = numpy.asarray(X, dtype=float).tolist()
        self.y: list[Any] = numpy.asarray(y).tolist()
        every = [p for layer in self.neurons for neuron in layer for p in (*neuron.w, neuron.b)]
        self.parameters: list[Value] = list(dict.fromkeys(every))
        named = {parameter: name for name, parameter in _named(self._model)}
        self.names = [named.get(p, str(place)) for place, p in enumerate(self.parameters)]
        self._refuse_many()
        self.beginnings = [("as given", [p.data for p in self.parameters])]
        self.beginnings += [(f"seed {seed}", self._drawn(seed, every)) for seed in range(SEEDS)]
        self.shapes: list[Shape] = []
        self.examples: list[Example] = []
        for place, (x, target) in enumerate(zip(self.X, self.y, strict=True)):
            shape, numbers = self._record(place)
            if shape not in self.shapes:
                self.shapes.append(shape)
            self.examples.append(Example(self.shapes.index(shape), x, numbers, target))
        self._refuse_numbers()

    def place(self, parameter: Value) -> int:
        """Which parameter it is."""
        return self.parameters.index(parameter)

    def _answer(self, x: Sequence[Any]) -> Any:
        outputs = layer_runs(self._model, x)[-1].outputs
        return outputs if len(outputs) > 1 else outputs[0]

    def _drawn(self, seed: int, every: Sequence[Value]) -> list[float]:
        """The weights that a new network of this shape begins with."""
        names = [layer[0].activation for layer in self.neurons]
        drawn = MLP(
            len(self.neurons[0][0].w),
            [len(layer) for layer in self.neurons],
            activation=[name if name in FUNCTIONS else "linear" for name in names],
            seed=seed,
        ).parameters()
        found = {old: new.data for old, new in zip(every, drawn, strict=True)}
        return [found[parameter] for parameter in self.parameters]

    # ---- Recording -----------------------------------------------------------------------------

    def _record(self, example: int) -> tuple[Shape, list[float | str]]:
        """The graph of an example, and the numbers that are not its inputs."""
        inputs = [Value(number) for number in self.X[example]]
        with recorded_decisions() as decisions:
            runs = layer_runs(self._model, inputs)
            outputs = runs[-1].outputs
            given = self.loss(outputs if len(outputs) > 1 else outputs[0], self.y[example])
            cost = f.operand(given, "the loss")
        if decisions:
            raise ValueError(
                f"the loss of example {example} branches on the answer, as losses.huber does, and "
                "a page that recorded it once cannot follow; use a loss such as losses.mse, hinge "
                "or cross_entropy"
            )
        if not isinstance(cost, Value):
            raise TypeError(
                f"the loss of an example is a Value, made of the network's output, but got "
                f"{describe(given)}; compute it with + - * / ** and microgradlike.functions"
            )
        roots = [*(a for run in runs for a in (*run.sums, *run.outputs)), cost]
        operations = dict.fromkeys(node for root in roots for node in topological_order(root))
        operands = (v for node in operations for v in node.operands if isinstance(v, Value))
        leaves = dict.fromkeys([*self.parameters, *inputs, *operands])
        nodes = [*(leaf for leaf in leaves if leaf not in operations), *operations]
        at = {node: place for place, node in enumerate(nodes)}
        rows = javascript.graph(nodes)
        if any(row["op"] == "custom" for row in rows):
            raise ValueError(
                "the loss, or an activation, has an operation made by custom, which only Python "
                "can compute; write it with + - * / ** and microgradlike.functions"
            )
        others = [at[v] for v in nodes[len(self.parameters) + len(inputs) :] if v not in operations]
        slots = [(place, "data") for place in others]
        slots += [(k, side) for k, row in enumerate(rows) for side in "xy" if _is_number(row, side)]
        numbers = [_number(rows[place][side]) for place, side in slots]
        bare = [{key: _without(value) for key, value in row.items()} | {"data": 0} for row in rows]
        shape = Shape(
            rows=bare,
            parameters=[(at[p], place) for place, p in enumerate(self.parameters)],
            inputs=[at[v] for v in inputs],
            sums=[[at[z] for z in run.sums] for run in runs],
            outputs=[[at[a] for a in run.outputs] for run in runs],
            cost=at[cost],
            slots=slots,
        )
        return shape, numbers

    def _refuse_many(self) -> None:
        nodes = len(self._record(0)[0].rows)
        if nodes * len(self.X) > MOST_NODES:
            raise ValueError(
                f"a round of {len(self.X):,} examples, each a graph of {nodes:,} nodes, is "
                f"{nodes * len(self.X):,} nodes, but a page is quick up to {MOST_NODES:,}; give "
                "fewer examples, or a smaller network"
            )

    def _refuse_numbers(self) -> None:
        """With other weights the graphs must give the loss: it is not recorded anew."""
        for beginning, factor in PROBES:
            with self._other_weights(beginning, factor), no_grad():
                for place, (x, y) in enumerate(zip(self.X, self.y, strict=True)):
                    found, wanted = self._replayed(place), float(self.loss(self._answer(x), y))
                    close = math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-9)
                    if not close and math.isfinite(wanted):
                        raise ValueError(
                            f"with other weights the loss of example {place} is not what was "
                            "recorded: it takes the number of an answer out of the graph, and a "
                            "page that recorded it once cannot follow; compute it with Values alone"
                        )

    def _replayed(self, place: int) -> float:
        """The cost that the recorded graph of an example gives, with the weights as they are."""
        example = self.examples[place]
        shape = self.shapes[example.shape]
        numbers = dict(zip(shape.slots, map(float, example.numbers), strict=True))
        data: dict[Any, float] = {at: self.parameters[which].data for at, which in shape.parameters}
        data |= dict(zip(shape.inputs, example.x, strict=True))
        data |= {at: number for (at, side), number in numbers.items() if side == "data"}
        for at, row in enumerate(shape.rows):
            if row["op"]:
                x, y = (
                    numbers[at, side] if _is_number(row, side) else data.get(row.get(side), 0.0)
                    for side in "xy"
                )
                data[at] = float(ops.on_floats(OPERATORS[row["op"]].value)(x, y, 0.0, 0.0))
        return data[shape.cost]

    @contextlib.contextmanager
    def _other_weights(self, beginning: int, factor: float) -> Iterator[None]:
        own, drawn = self.beginnings[0][1], self.beginnings[beginning][1]
        self._set([factor * weight for weight in drawn])
        try:
            yield
        finally:
            self._set(own)

    def _set(self, weights: Sequence[float]) -> None:
        for parameter, weight in zip(self.parameters, weights, strict=True):
            parameter.data = weight


def _named(model: object) -> Iterator[tuple[str, Value]]:
    """The parameters by name; a model that is no Module has no names."""
    return model.named_parameters() if isinstance(model, Module) else iter(())


def _is_number(row: javascript.Row, side: str) -> bool:
    return isinstance(row.get(side), list)


def _number(found: Any) -> float | str:
    """A number, or the one that a constant operand is written as."""
    number: float | str = found[0] if isinstance(found, list) else found
    return number


def _without(value: Any) -> Any:
    """What a row has without its number."""
    return [0] if isinstance(value, list) else value
