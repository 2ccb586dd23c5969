"""The flow of the error as pictures and pages read it; nothing else tells them a derivative.

Its steps are from ``sweep``, its derivation by hand from ``derivation``. Here it is seen from
farther away: the paths that it takes, and the errors of whole layers.
"""

from __future__ import annotations

import heapq
import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy
import numpy.typing

from microgradlike import losses, nn
from microgradlike.derivation import (
    Explanation,
    break_at,
    explain,
    slope_formula,
    slope_formulas,
    value_formula,
)
from microgradlike.engine import Number, Value, no_grad, topological_order
from microgradlike.inputs import describe, function
from microgradlike.nn import inputs_of
from microgradlike.sweep import (
    Anew,
    Step,
    anew,
    backward_steps,
    by_value,
    check_leaf,
    check_root,
    forward,
    gradients,
    named,
    nodes,
    not_computed_from,
    sent_to,
    slopes,
)

__all__ = [
    "Anew",
    "Explanation",
    "LayerError",
    "LayerRun",
    "Path",
    "Paths",
    "Step",
    "anew",
    "backward_steps",
    "break_at",
    "by_value",
    "explain",
    "forward",
    "gradients",
    "layer_errors",
    "layer_runs",
    "layers_of",
    "named",
    "nodes",
    "paths",
    "sent_to",
    "slope_formula",
    "slope_formulas",
    "slopes",
    "value_formula",
]

Array = numpy.typing.NDArray[numpy.float64]

# ---- Paths -------------------------------------------------------------------------------------


class Path(NamedTuple):
    """One path of the gradient, from the leaf up to the result."""

    nodes: tuple[Value, ...]
    slopes: tuple[float, ...]
    """The slope of each step, in the order of the nodes."""
    product: float
    """The product of the slopes: what this path adds to the gradient of the leaf."""


@dataclass(frozen=True)
class Paths:
    """The largest paths from a leaf to the result, and what all the others add up to."""

    largest: list[Path]
    count: int
    """How many paths there are, shown or not."""
    total: float
    """The gradient of the leaf: the sum over all paths."""
    remainder: float
    """What the paths that are not among the largest add up to."""


def paths(root: Value, leaf: Value, most: int = 12) -> Paths:
    """The paths on which the error reaches a leaf: its gradient is the sum of their products.

    Their number can grow exponentially with the graph, so they are counted and ranked while walking
    from the leaf to the root once, never enumerated.

    Args:
        root: the result, such as a loss.
        leaf: a Value that it was computed from.
        most: how many of the largest paths to give.

    Returns:
        The largest paths in size, the largest first; the number of all; their sum, which is the
        gradient; and the part of it that the others make up.

    Raises:
        TypeError: ``root`` or ``leaf`` is no Value.
        ValueError: ``root`` was not computed from ``leaf``, or ``most`` counts nothing.

    >>> x = Value(3.0)
    >>> found = paths(x * x + x, x)
    >>> [path.product for path in found.largest], found.count, found.total, found.remainder
    ([3.0, 3.0, 1.0], 3, 7.0, 0.0)
    """
    check_root(root)
    check_leaf(leaf)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise ValueError(f"paths shows at least one path, but got most={most!r}")
    order, errors = topological_order(root), gradients(root)
    waiting = Counter(parent for node in order for parent in node.parents)
    # For each node between: how many paths come up from the leaf, and the largest of them, each as
    # its size, its product, and the chain of (node, slope) that it came by. What all users of a
    # node have seen is forgotten: these numbers can have a million digits.
    reached: dict[Value, tuple[int, list[_Trail]]] = {
        leaf: (1, [_Trail(1.0, leaf, None, 1.0, True)])
    }
    for node in order:
        count, trails = 0, []
        for _, parent, slope, passes in sent_to(node, errors.get(node, 1.0)):
            if parent in reached:
                below, largest = reached[parent]
                count += below
                trails += [t.then(node, slope, passes) for t in largest]
                if waiting[parent] == 1 and parent is not leaf:
                    del reached[parent]
            waiting[parent] -= 1
        if count:
            reached[node] = count, heapq.nlargest(most, trails, key=_Trail.size)
    if root not in reached:
        raise ValueError(not_computed_from(root, leaf))
    count, trails = reached[root]
    total = errors[leaf]
    shown = [trail.path() for trail in trails]
    others = total - math.fsum(path.product for path in shown) if count > len(shown) else 0.0
    return Paths(shown, count, total, others)


class _Trail(NamedTuple):
    """The end of a path that is being followed up from the leaf."""

    product: float
    node: Value
    below: _Trail | None
    slope: float
    open: bool
    """Whether each step lets something pass."""

    def then(self, node: Value, slope: float, passes: bool) -> _Trail:
        """The same path, one step further up."""
        passes = passes and self.open
        return _Trail(self.product * slope if passes else 0.0, node, self, slope, passes)

    def size(self) -> float:
        return math.inf if math.isnan(self.product) else abs(self.product)

    def path(self) -> Path:
        nodes, slopes = [self.node], []
        trail = self
        while trail.below is not None:
            slopes.append(trail.slope)
            trail = trail.below
            nodes.append(trail.node)
        return Path(tuple(reversed(nodes)), tuple(reversed(slopes)), self.product)


# ---- The errors of the layers ------------------------------------------------------------------


@dataclass(frozen=True)
class LayerError:
    """How wrong one layer was, and why: the equations of backpropagation, in arrays.

    ``delta`` and ``weight_gradient`` are the engine's; the two equations give them again::

        delta = weights_part * slope_part
        weight_gradient = delta x activation_in      (an outer product)
    """

    name: str
    activation: str
    delta: Array
    """The slope of the cost by each neuron's weighted sum, shape (neurons,)."""
    weights_part: Array
    """The next layer's delta, sent back through its weights; the cost's slope in the last layer."""
    slope_part: Array
    """The slope of the activation where each neuron stands."""
    activation_in: Array
    """What the layer was given, shape (inputs,)."""
    activation_out: Array
    """What it made of that, shape (neurons,)."""
    weight_gradient: Array
    """The slope of the cost at each weight, shape (neurons, inputs)."""
    bias_gradient: Array
    """The slope of the cost at each bias, shape (neurons,)."""

    def __str__(self) -> str:
        def row(values: Array) -> str:
            return " ".join(f"{value:11.5g}" for value in values)

        return "\n".join(
            [
                f"{self.name}, {self.activation}",
                f"  delta, by the engine    {row(self.delta)}",
                f"  = from the next layer   {row(self.weights_part)}",
                f"    x slope of {self.activation:<12.12} {row(self.slope_part)}",
                f"  = by the equation       {row(self.weights_part * self.slope_part)}",
            ]
        )


def layer_errors(
    model: object, x: Iterable[object], y: object, loss: Callable[[Any, Any], object] = losses.mse
) -> list[LayerError]:
    """The deltas of each layer of a network, from the equations of backpropagation.

    With the cost C, the weights W and the activation f, layer by layer from the last one::

        delta_l = (W_{l+1}^T delta_{l+1}) * f'(z_l)        dC/dW_l = delta_l x a_{l-1}

    Args:
        model: an ``MLP``, or another module with a list of ``layers``.
        x: one example, as many numbers as the model has inputs.
        y: its target, as ``loss`` wants it.
        loss: a function of the output and the target.

    Returns:
        One entry for each layer, the first layer first. No ``.grad`` is changed.

    Raises:
        TypeError, ValueError: the model has no layers, or does not fit ``x``; ``loss`` does not
            take an output and a target, or gives no Value.

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
    1986.

    >>> from microgradlike.nn import MLP
    >>> hidden, output = layer_errors(MLP(2, [3, 1], activation="tanh", seed=0), [1.0, -1.0], 0.5)
    >>> numpy.allclose(hidden.delta, hidden.weights_part * hidden.slope_part)
    True
    >>> numpy.allclose(hidden.weight_gradient, numpy.outer(hidden.delta, hidden.activation_in))
    True
    """
    runs = layer_runs(model, x)
    _check_loss(loss)
    out = runs[-1].outputs
    cost = loss(out[0] if len(out) == 1 else out, y)
    if not isinstance(cost, Value):
        raise TypeError(f"the loss of an output and its target is a Value, not {describe(cost)}")
    gradient = gradients(cost)

    def of(values: Iterable[Value]) -> Array:
        return numpy.array([gradient.get(value, 0.0) for value in values])

    errors: list[LayerError] = []
    weights_part = of(out)
    for place in reversed(range(len(runs))):
        neurons, inputs, sums, outputs = runs[place]
        errors.insert(
            0,
            LayerError(
                f"layers.{place}",
                neurons[0].activation,
                of(sums),
                weights_part,
                numpy.array([_slope(n, z) for n, z in zip(neurons, sums, strict=True)]),
                _floats(inputs),
                _floats(outputs),
                numpy.array([of(neuron.w) for neuron in neurons]),
                of([neuron.b for neuron in neurons]),
            ),
        )
        weights = numpy.array([_floats(neuron.w) for neuron in neurons])
        weights_part = weights.T @ errors[0].delta
    return errors


class LayerRun(NamedTuple):
    """One layer at work on an example."""

    neurons: Sequence[Any]
    inputs: list[Number]
    sums: list[Value]
    """The weighted sum of each neuron."""
    outputs: list[Value]
    """What the activation makes of it."""


def layer_runs(model: object, x: Iterable[object]) -> list[LayerRun]:
    """The layers of a model at work on one example, the first layer first.

    Raises:
        TypeError, ValueError: the model has no layers, does not fit ``x``, or does something else
            than one layer after the other.
    """
    runs: list[LayerRun] = []
    neurons = layers_of(model)[0].neurons
    given = x = inputs_of(x, len(neurons[0].w), model)
    for layer in layers_of(model):
        neurons = layer.neurons
        sums = [neuron.weighted_sum(x) for neuron in neurons]
        outputs = [neuron.activated(z) for neuron, z in zip(neurons, sums, strict=True)]
        runs.append(LayerRun(neurons, x, sums, outputs))
        x = outputs
    if inspect.getmodule(type(model).__call__) is not nn and callable(model):
        _check_same(model, given, x)
    return runs


def _check_same(model: Callable[..., Any], x: list[Number], outputs: Sequence[Number]) -> None:
    """ValueError if a model whose ``__call__`` is the user's gives other numbers than its layers.

    How the gradient flows through what it does beside them, its layers do not tell.
    """
    with no_grad():
        found = model(x)
    given = list(found) if losses.is_list(found) else [found]
    theirs, ours = ([float(value) for value in values] for values in (given, outputs))
    if not (len(ours) == len(theirs) and numpy.allclose(ours, theirs, equal_nan=True)):
        raise ValueError(
            f"the layers of {type(model).__name__}, one after the other, give {ours}, but the "
            f"model itself {theirs}: its __call__ does something else beside; draw the graph of "
            "its result instead: viz.draw(model(x))"
        )


def layers_of(model: object) -> Sequence[Any]:
    """The layers of a model; a layer, or a neuron, is a model of one.

    Raises:
        TypeError: it has none.
    """
    layers: Sequence[Any] | None = getattr(model, "layers", None)
    if layers:
        return layers
    if getattr(model, "neurons", None):
        return [model]
    if hasattr(model, "weighted_sum"):
        return [SimpleNamespace(neurons=[model])]
    raise TypeError(f"a model with layers is needed, such as an MLP, but got {describe(model)}")


def _check_loss(loss: Callable[..., object]) -> None:
    function("loss", loss)
    try:
        takes = inspect.signature(loss)
    except ValueError:  # some functions written in C do not tell
        return
    try:
        takes.bind("output", "target")
    except TypeError:
        name = f"{getattr(loss, '__name__', describe(loss))}({', '.join(takes.parameters)})"
        raise TypeError(
            f"loss is called with an output and its target, but got {name}; pass a function of "
            "these two, such as losses.mse"
        ) from None


def _slope(neuron: Any, weighted_sum: Value) -> float:
    z = Value(weighted_sum.data)
    return gradients(neuron.activated(z)).get(z, 0.0)


def _floats(values: Iterable[Number]) -> Array:
    return numpy.array([float(value) for value in values])
