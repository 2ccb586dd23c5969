"""A copy of a network learns, one example at a time; its numbers at every moment of that.

``fit`` does the learning, by plain gradient descent, and ``flow`` tells sums, slopes, deltas and
gradients: no number is computed here in another way.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from microgradlike import fit, losses, optim
from microgradlike.engine import no_grad
from microgradlike.flow import LayerError, layer_errors, layers_of
from viz.network import Network, read_network

#: Of a weight: its layer, its neuron there, and the input that it multiplies. Of a bias: its layer
#: and its neuron.
Weight = tuple[int, ...]
Weights = Mapping[str, Any]


class State(NamedTuple):
    """Some weights at work on one example: the numbers of the picture, and those of learning."""

    network: Network
    errors: list[LayerError]

    def weight(self, place: Weight) -> float:
        """A weight or a bias."""
        layer, neuron, *source = place
        if source:
            return float(self.network.weights[layer][neuron, source[0]])
        return float(self.network.biases[layer][neuron])

    def gradient(self, place: Weight) -> float:
        """The gradient of the cost at a weight or a bias."""
        layer, neuron, *source = place
        if source:
            return float(self.errors[layer].weight_gradient[neuron, source[0]])
        return float(self.errors[layer].bias_gradient[neuron])

    @property
    def places(self) -> list[Weight]:
        """All weights, then all biases, whether the picture shows them or not."""
        places = [
            (layer, *(int(k) for k in place))
            for numbers in (self.network.weights, self.network.biases)
            for layer, part in enumerate(numbers)
            for place in numpy.ndindex(part.shape)
        ]
        return places

    def moves_to(self, after: State) -> list[Weight]:
        """The same, those first that are farthest from what they are afterwards."""
        return sorted(self.places, key=lambda p: -abs(after.weight(p) - self.weight(p)))


class Measured(NamedTuple):
    """How well one example is answered."""

    cost: float
    error: float | None
    """Target - answer, where the cost follows from it."""

    @property
    def size(self) -> float:
        """What is to become smaller."""
        return self.cost if self.error is None else abs(self.error)


class Learner:
    """A copy of a model, which learns from the examples in their order.

    Args:
        model, X, y, loss: as for ``fit``.
        lr: the learning rate.
        rounds: how often all examples are learned from.
        names, layers: what the neurons and the columns are called.

    Attributes:
        within: the weights before the first round, and after each of its examples.
        after: the weights before the first round, and after each round.
        measured: how well each of these answers each example.
        formula: "half" if the cost is half the square of the error, "square" if it is the square.
    """

    def __init__(
        self,
        model: Any,
        X: Any,
        y: Any,
        *,
        loss: Callable[[Any, Any], Any],
        lr: float,
        rounds: int,
        names: Sequence[Sequence[str] | None] | None,
        layers: Sequence[str] | None,
    ) -> None:
        layers_of(model)  # refuses what is no network
        self.loss, self.lr, self.rounds = loss, lr, rounds
        self._layers, self._names = layers, names
        self._model = copy.deepcopy(model)
        self.after: list[Weights] = self._all_rounds(copy.deepcopy(model), X, y)
        self.X = [[float(number) for number in numpy.ravel(x)] for x in numpy.asarray(X)]
        self.y = list(y)
        self.within: list[Weights] = list(self._one_round(copy.deepcopy(model)))
        self.formula = self._formula()
        self.measured = [self.measure(weights) for weights in self.after]

    def _all_rounds(self, model: Any, X: Any, y: Any) -> list[Weights]:
        history = fit(
            model,
            X,
            y,
            loss=self.loss,
            optimizer=optim.SGD(model.parameters(), lr=self.lr),
            epochs=self.rounds,
            batch_size=1,
            seed=None,
            record=1,
            progress=False,
            compiled=False,
        )
        return [record.state for record in history.records]

    def _one_round(self, model: Any) -> Iterator[Weights]:
        """What ``fit`` does in its first round, with a look at the weights after each example."""
        optimizer = optim.SGD(model.parameters(), lr=self.lr)
        yield model.state_dict()
        for x, target in zip(self.X, self.y, strict=True):
            optimizer.zero_grad()
            self.loss(model(x), target).backward()
            optimizer.step()
            yield model.state_dict()

    @property
    def neurons(self) -> list[Any]:
        """The neurons of each layer."""
        return [layer.neurons for layer in layers_of(self._model)]

    def state(self, weights: Weights, example: int) -> State:
        """The network with these weights, at this example."""
        self._model.load_state_dict(weights)
        x, target = self.X[example], self.y[example]
        network = read_network(
            self._model, x, target, loss=self.loss, names=self._names, layers=self._layers
        )
        return State(network, layer_errors(self._model, x, target, self.loss))

    def measure(self, weights: Weights) -> list[Measured]:
        """How well these weights answer each example."""
        found = self._answered(weights)
        return found if self.formula else [m._replace(error=None) for m in found]

    def _answered(self, weights: Weights) -> list[Measured]:
        self._model.load_state_dict(weights)
        with no_grad():
            return [self._measure(x, t) for x, t in zip(self.X, self.y, strict=True)]

    def _measure(self, x: Any, target: Any) -> Measured:
        output = self._model(x)
        cost = float(self.loss(output, target))
        answer, wanted = alone(output), alone(target)
        if losses.is_list(answer) or losses.is_list(wanted):
            return Measured(cost, None)
        return Measured(cost, float(wanted) - float(answer))

    def _formula(self) -> str:
        """How the cost follows from the error, if one formula gives the cost of every example."""
        found = self._answered(self.after[0])
        for formula, factor in (("half", 0.5), ("square", 1.0)):
            if all(
                m.error is not None and math.isclose(m.cost, factor * m.error**2) for m in found
            ):
                return formula
        return ""

    def moved(self, weights: Sequence[Weights]) -> list[float]:
        """How far each of these weights are from the ones before, all in all."""

        def flat(part: Weights) -> Any:
            return numpy.concatenate([numpy.ravel(numbers) for numbers in part.values()])

        return [
            float(numpy.linalg.norm(flat(other) - flat(one)))
            for one, other in itertools.pairwise(weights)
        ]


def alone(value: Any) -> Any:
    """The one number of a list of one number; anything else as it is."""
    return value[0] if losses.is_list(value) and len(value) == 1 else value


def typical(errors: Sequence[float]) -> float:
    """The root of the mean square of some errors.

    >>> typical([3.0, -4.0])
    3.5355339059327378
    """
    return float(numpy.sqrt(numpy.mean(numpy.square(errors))))


def sampled(changes: Sequence[float], most: int) -> list[int]:
    """After which steps to stop and look: the last one always, and often where much changes.

    Args:
        changes: how much each step changes.
        most: how many stops there are at most.

    Returns:
        Numbers of steps, from 1 on, in their order.

    >>> sampled([8, 4, 2, 1, 1, 0, 0, 0], 4)
    [1, 2, 8]
    """
    count = len(changes)
    if count <= most:
        return [*range(1, count + 1)]
    way = numpy.cumsum(changes)
    # Equal parts of the way: after each, the first step that has left it behind.
    parts = [way[-1] * k / (most - 1) for k in range(1, most - 1)]
    return sorted({1, count} | {int(numpy.searchsorted(way, part)) + 1 for part in parts})
