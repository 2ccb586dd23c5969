"""A neuron, then a perceptron of neurons, trained by hand: the first notebook of a course."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from microgradlike import Value

XS = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
YS = [1.0, -1.0, -1.0, 1.0]


def one_neuron() -> dict[str, Value]:
    """Two inputs, and tanh written out as exponentials."""
    x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
    w1, w2 = Value(-3.0, label="w1"), Value(1.0, label="w2")
    b = Value(6.8813735870195432, label="b")
    x1w1 = x1 * w1
    x1w1.label = "x1*w1"
    x2w2 = x2 * w2
    x2w2.label = "x2*w2"
    n = x1w1 + x2w2 + b
    n.label = "n"
    e = (2 * n).exp()
    o = (e - 1) / (e + 1)
    o.label = "o"
    o.backward()
    return {v.label: v for v in (x1, x2, w1, w2, b, x1w1, x2w2, n, o)}


class Neuron:
    def __init__(self, nin: int, number: Callable[[float], Any], draw: random.Random) -> None:
        self.w = [number(draw.uniform(-1, 1)) for _ in range(nin)]
        self.b = number(draw.uniform(-1, 1))

    def __call__(self, x: Any) -> Any:
        act = sum((wi * xi for wi, xi in zip(self.w, x, strict=True)), self.b)
        return act.tanh()

    def parameters(self) -> list[Any]:
        return [*self.w, self.b]


class Layer:
    def __init__(self, nin: int, nout: int, *how: Any) -> None:
        self.neurons = [Neuron(nin, *how) for _ in range(nout)]

    def __call__(self, x: Any) -> Any:
        outs = [n(x) for n in self.neurons]
        return outs[0] if len(outs) == 1 else outs

    def parameters(self) -> list[Any]:
        return [p for neuron in self.neurons for p in neuron.parameters()]


class MLP:
    def __init__(self, nin: int, nouts: list[int], *how: Any) -> None:
        sizes = [nin, *nouts]
        self.layers = [Layer(sizes[i], sizes[i + 1], *how) for i in range(len(nouts))]

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self) -> list[Any]:
        return [p for layer in self.layers for p in layer.parameters()]


class Model(list[Any]):
    """The parameters as a list that keeps its network."""

    def __init__(self, network: MLP) -> None:
        super().__init__(network.parameters())
        self.network = network


def parameters(number: Callable[[float], Any]) -> Model:
    return Model(MLP(3, [4, 4, 1], number, random.Random(1)))


def examples() -> tuple[Any, ...]:
    return XS, YS


def loss(parameters: Model, x: Any, y: Any) -> Any:
    return (parameters.network(x) - y) ** 2


def train(parameters: list[Any], total: Callable[[], Any]) -> list[float]:
    losses = []
    for _ in range(20):
        loss = total()
        for p in parameters:
            p.grad = 0.0
        loss.backward()
        for p in parameters:
            p.data += -0.05 * p.grad
        losses.append(float(loss))
    return losses
