"""The network of micrograd's demo, for both benchmarks of compile(): in scalars, and by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from microgradlike.nn import MLP


def arrays_of(model: MLP) -> list[Any]:
    """Weights (neurons x inputs) and biases of each layer."""
    found = []
    for layer in model.layers:
        found.append(numpy.array([[w.data for w in neuron.w] for neuron in layer.neurons]))
        found.append(numpy.array([neuron.b.data for neuron in layer.neurons]))
    return found


def moons(rows: int, draw: numpy.random.Generator) -> tuple[MLP, Callable[..., Any], Any, Any]:
    """MLP 2-16-16-1 and its loss of one example, hinge and L2; points, and labels -1 or 1."""
    model = MLP(2, [16, 16, 1], seed=0)

    def loss(x: Any, y: Any) -> Any:
        return (1 - y * model(x)).relu() + 1e-4 * sum(p * p for p in model.parameters())

    return model, loss, draw.normal(size=(rows, 2)), numpy.sign(draw.normal(size=rows))


def moons_by_hand(parameters: list[Any], X: Any, y: Any) -> tuple[float, list[Any]]:
    """The mean of that loss and its slopes by all parameters, in NumPy."""
    (w1, b1, w2, b2, w3, b3) = parameters
    h1 = numpy.maximum(X @ w1.T + b1, 0)
    h2 = numpy.maximum(h1 @ w2.T + b2, 0)
    margin = 1 - y * (h2 @ w3.T + b3)[:, 0]
    value = numpy.maximum(margin, 0).mean() + 1e-4 * sum((p * p).sum() for p in parameters)
    d3 = (-y * (margin > 0) / len(y))[:, None]
    d2 = d3 @ w3 * (h2 > 0)
    d1 = d2 @ w2 * (h1 > 0)
    slopes = (d1.T @ X, d1.sum(0), d2.T @ h1, d2.sum(0), d3.T @ h2, d3.sum(0))
    return value, [slope + 2e-4 * p for slope, p in zip(slopes, parameters, strict=True)]
