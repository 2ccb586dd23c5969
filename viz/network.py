"""The picture of a network: who listens to whom, how much, and how wrong each one was.

Neurons are circles in columns, and each weight is an arrow as wide as the weight is large. With an
example and its target, every neuron shows its value and its delta: the slope of the cost by what it
was told in sum. Both are read from ``flow.layer_errors``.
"""

from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import graphviz
import numpy
import numpy.typing

from microgradlike import losses
from microgradlike.engine import no_grad
from microgradlike.flow import layer_errors, layer_runs, layers_of
from microgradlike.inputs import describe
from microgradlike.typeset import literal
from viz import labels, style
from viz.picture import Picture
from viz.render import SVG, Engine, sides
from viz.style import Scale

Array = numpy.typing.NDArray[numpy.float64]
Hue = Literal["weight", "error"]

#: A column of more neurons shows the first ones, the last ones, and how many are between.
MOST_ROWS, FIRST_ROWS, LAST_ROWS = 16, 8, 2

#: With more arrows than this, tooltips hold the weights instead of numbers.
MOST_NUMBERED_ARROWS = 30

# In inches; tall columns stand farther apart, so that their arrows do not become too steep.
CIRCLE, ROW, COLUMN, SLANT = 1.0, 1.2, 2.8, 0.32

#: Numbers stand apart by this share of a row, if they can.
ENOUGH = 0.22

#: Where there are no numbers on the arrows there are many of them, and they are thinner.
MANY = 0.5


@dataclass(frozen=True)
class Network:
    """What one picture of a network shows, and what the script of a movie changes in it."""

    names: list[list[str]]
    headings: list[str]
    weights: list[Array]
    """Of each layer, shape (neurons, inputs)."""
    values: list[Array]
    """Of each column, the inputs first; empty without an example."""
    deltas: list[Array]
    """Of each layer; empty without a target."""
    outcome: list[str]
    """What stands beside each output: what was expected there."""
    cost: float | None

    @property
    def rows(self) -> list[list[int | None]]:
        """The neurons that are shown of each column; None is the gap."""
        return [_shown(len(names)) for names in self.names]

    def title(self, column: int, row: int) -> str:
        """What a neuron is called in a sentence."""
        name = self.names[column][row]
        return f"neuron {name} of {self.headings[column].split(',')[0]}" if name.isdigit() else name

    def sent_back(self, layer: int) -> Array:
        """The error that goes back over each weight of a layer: delta times weight."""
        back: Array = self.deltas[layer][:, None] * self.weights[layer]
        return back

    def told(self, layer: int, hue: Hue) -> Array:
        """What the colours and numbers of the arrows tell."""
        return self.weights[layer] if hue == "weight" else self.sent_back(layer)


def draw_network(
    model: Any,
    x: Any = None,
    y: Any = None,
    *,
    loss: Callable[[Any, Any], Any] = losses.mse,
    hue: Hue = "weight",
    names: Sequence[Sequence[str]] | None = None,
    beside: Sequence[Any] = (),
    engine: Engine | None = None,
) -> Picture:
    """Draw a network as neurons and arrows: the wider an arrow, the larger the weight.

    Args:
        model: an ``MLP``, or another module with a list of ``layers``.
        x: one example; every neuron then shows its value.
        y: its target; every neuron then shows its delta, as number and colour.
        loss: a function of the output and the target.
        hue: what the colour of an arrow tells: "weight", the sign of the weight; or "error", the
            sign of the error that goes back over it, delta times weight.
        names: the names of the inputs and of the neurons of each layer, a list for each.
        beside: models whose pictures will stand beside this one, such as the same model before its
            training: a width or colour then means the same in all of them.
        engine: the layout program, "graphviz-pure" (the default) or "dot".

    Returns:
        A Picture. No parameter and no gradient is changed.

    Raises:
        TypeError, ValueError: the model has no layers, or ``x``, ``y``, ``hue`` or ``names`` do not
            fit.

    >>> from microgradlike.nn import MLP
    >>> draw_network(MLP(2, [3, 1], activation="tanh", seed=0), [1.0, -1.0], 0.5)
    <Picture: A network of 2-3-1 neurons, cost 0.299: expected 0.5, so the error is +0.5468>
    """
    if hue not in ("weight", "error"):
        raise ValueError(f'hue is "weight" or "error", but got {describe(hue)}')
    if hue == "error" and y is None:
        raise ValueError('hue="error" needs an example x and its target y: there is no error yet')
    others = (other for other in beside if other is not model)
    networks = [read_network(m, x, y, loss=loss, names=names) for m in (model, *others)]
    network, look = networks[0], Look.of(networks)
    return network_picture(network, hue, look, engine, legend(network, hue, look))


# ---- Reading a model ---------------------------------------------------------------------------


def read_network(
    model: Any,
    x: Any,
    y: Any,
    *,
    loss: Callable[[Any, Any], Any],
    names: Sequence[Sequence[str]] | None,
) -> Network:
    """The weights of a model and, with an example, its values and errors."""
    layers = layers_of(model)
    if x is None and y is not None:
        raise ValueError("y is the target of an example: give x as well")
    weights = [
        numpy.array([[w.data for w in neuron.w] for neuron in layer.neurons]) for layer in layers
    ]
    values: list[Array] = []
    deltas: list[Array] = []
    outcome: list[str] = []
    cost = None
    if y is not None:
        errors = layer_errors(model, x, y, loss=loss)
        values = [errors[0].activation_in, *(error.activation_out for error in errors)]
        deltas = [error.delta for error in errors]
        cost, outcome = _cost(loss, values[-1], y)
    elif x is not None:
        with no_grad():
            runs = layer_runs(model, x)
        values = [_floats(runs[0].inputs), *(_floats(run.outputs) for run in runs)]
    sizes = [weights[0].shape[1], *(len(layer) for layer in weights)]
    headings = ["inputs"] + [
        f"layers.{place}, {layer.neurons[0].activation}" for place, layer in enumerate(layers)
    ]
    return Network(_names(names, sizes), headings, weights, values, deltas, outcome, cost)


def _floats(values: Sequence[Any]) -> Array:
    return numpy.array([float(value) for value in values])


def _cost(loss: Callable[[Any, Any], Any], out: Array, y: Any) -> tuple[float, list[str]]:
    """The cost of an output and, where the target is of the same kind, what was expected."""
    outputs = out.tolist()
    cost = float(loss(outputs if len(outputs) > 1 else outputs[0], y))
    targets = list(y) if hasattr(y, "__len__") else [y]
    if len(targets) != len(outputs):  # the number of a class
        return cost, ["expected" if place == y else "" for place in range(len(outputs))]
    return cost, [
        f"expected {style.number(float(target))}\nerror {style.signed(float(target) - output)}"
        for target, output in zip(targets, outputs, strict=True)
    ]


def _names(names: Sequence[Sequence[str]] | None, sizes: list[int]) -> list[list[str]]:
    if names is None:
        inputs = [f"x{place}" for place in range(sizes[0])]
        return [inputs, *([str(place) for place in range(size)] for size in sizes[1:])]
    try:
        given = [[column] if isinstance(column, str) else list(column) for column in names]
    except TypeError:
        raise TypeError(
            "names has a list for the inputs and one for the neurons of each layer, but got "
            f"{describe(names)}"
        ) from None
    if [len(column) for column in given] != sizes:
        raise ValueError(
            f"names has a list for each column, of {', '.join(map(str, sizes))} names, but got "
            f"{', '.join(str(len(column)) for column in given)}"
        )
    return [[literal(str(name)) for name in column] for column in given]


def _heading(network: Network) -> str:
    """One sentence on the network."""
    sizes = "-".join(str(len(column)) for column in network.names)
    cost = "" if network.cost is None else f", cost {style.number(network.cost)}"
    told = [
        f"{words} {network.names[-1][place]}" if words == "expected" else words
        for place, words in enumerate(network.outcome)
    ]
    beside = "; ".join(filter(None, told)).replace("\nerror ", ", so the error is ")
    return f"A network of {sizes} neurons{cost}" + (f": {beside}" if beside else "")


def _shown(size: int) -> list[int | None]:
    if size <= MOST_ROWS:
        return list(range(size))
    return [*range(FIRST_ROWS), None, *range(size - LAST_ROWS, size)]


# ---- Drawing -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """The scales of widths and colours, the same for all the pictures of a training."""

    widths: Scale
    colours: Scale
    thinner: float

    @classmethod
    def of(cls, networks: Sequence[Network]) -> Look:
        """The scales that suit these networks, which are of one shape."""
        return cls(
            Scale.of(w for network in networks for layer in network.weights for w in layer.flat),
            Scale.of(d for network in networks for layer in network.deltas for d in layer.flat),
            1.0 if len(arrows(networks[0])) <= MOST_NUMBERED_ARROWS else MANY,
        )

    def width(self, weight: float) -> float:
        """The width of an arrow, in pixels."""
        return round(self.widths.width(weight) * self.thinner, 2)


def arrows(network: Network) -> list[tuple[int, int, int]]:
    """The weights that are shown: the layer, the neuron, and the input that it listens to."""
    rows = network.rows
    return [
        (layer, neuron, source)
        for layer in range(len(network.weights))
        for neuron in rows[layer + 1]
        for source in rows[layer]
        if neuron is not None and source is not None
    ]


def circles(network: Network) -> list[tuple[int, int]]:
    """The neurons that are shown: the column and the place in it."""
    rows = enumerate(network.rows)
    return [(column, row) for column, shown in rows for row in shown if row is not None]


def network_picture(
    network: Network,
    hue: Hue,
    look: Look,
    engine: Engine | None,
    legend: str,
    room: Mapping[str, int] = MappingProxyType({}),
) -> Picture:
    """The network with every neuron in its place.

    The numbers on arrows, "w", and the words beside the outputs, "o", have this much room.
    """
    dot = graphviz.Digraph("network")
    dot.attr(layout="neato", splines="line", bgcolor="transparent", outputorder="edgesfirst")
    dot.attr(fontname=style.FONT, fontsize="10", fontcolor=style.MUTED, labelloc="b")
    dot.attr(labeljust="l", label=legend)
    dot.attr("node", fontname=style.FONT, fontcolor=style.INK, color=style.BORDER, style="filled")
    dot.attr("edge", fontname=style.FONT, arrowsize="0.7")
    titles = {}
    places = _places(network)
    for column, row in circles(network):
        name = f"n{column}_{row}"
        titles[name] = _about(network, column, row)
        dot.node(name, pos=_at(*places[column, row]), **_circle(network, column, row, look))
    for number, (layer, neuron, source) in enumerate(arrows(network)):
        titles[f"e{number}"] = _about_weight(network, layer, neuron, source)
        line = _line(network, layer, neuron, source, hue, look)
        dot.edge(f"n{layer}_{source}", f"n{layer + 1}_{neuron}", id=f"e{number}", **line)
        titles[f"w{number}"] = titles[f"e{number}"]
    for name, place, text, size in _texts(network, places, hue):
        label = _lines(text, size, room.get(name[0], 0))
        titles.setdefault(name, text)
        dot.node(name, pos=_at(*place), shape="plain", fillcolor="none", label=label)
    return _Centred(str(dot.source), _heading(network), titles, engine)


class _Centred(Picture):
    """A picture with each weight in the middle of its ground, which keeps the arrow off it.

    The layout program thinks a minus sign wider than it is.
    """

    def element(self) -> ElementTree.Element:
        svg = super().element()
        for group in svg.iter(f"{SVG}g"):
            if group.get("data-name", "").startswith("w"):
                ground, words = ([*group.iter(f"{SVG}{tag}")][-1] for tag in ("polygon", "text"))
                words.attrib |= {"text-anchor": "middle", "x": f"{sum(sides(ground)) / 2:g}"}
        return svg


def _places(network: Network) -> dict[tuple[int, int | None], tuple[float, float]]:
    """Where each neuron stands, and each gap: columns side by side, their middles level."""
    between = max(COLUMN, SLANT * ROW * max(map(len, network.rows)))
    return {
        (column, row): (column * between, ((len(rows) - 1) / 2 - level) * ROW)
        for column, rows in enumerate(network.rows)
        for level, row in enumerate(rows)
    }


def _at(x: float, y: float) -> str:
    return f"{x:.3f},{y:.3f}!"


def _circle(network: Network, column: int, row: int, look: Look) -> dict[str, str]:
    value, delta, ink, fill = face(network, column, row, look)
    name = style.fitting(network.names[column][row], 0.84 * CIRCLE * 72, 9, bold=True)
    lines = [labels.font(name, 9, ink, bold=True)]
    lines += [labels.font(value, 11, ink)] if value else []
    lines += [labels.font(delta, 9, ink)] if delta else []
    return {
        "shape": "circle",
        "fixedsize": "true",
        "width": str(CIRCLE),
        "fillcolor": fill,
        "class": "neuron" if column else "input",
        "label": f"<{labels.table(*(f'<TD>{line}</TD>' for line in lines), padding=0)}>",
    }


def face(network: Network, column: int, row: int, look: Look) -> tuple[str, str, str, str]:
    """What a circle shows: its value and its delta, if they are known, and its two colours."""
    value = style.number(float(network.values[column][row])) if network.values else ""
    if not network.deltas or not column:
        return value, "", style.INK, style.LEAF
    delta = float(network.deltas[column - 1][row])
    return value, f"δ {style.signed(delta)}", *look.colours.paint(delta)


def _line(
    network: Network, layer: int, neuron: int, source: int, hue: Hue, look: Look
) -> dict[str, str]:
    weight = float(network.weights[layer][neuron, source])
    told = float(network.told(layer, hue)[neuron, source])
    return {
        "penwidth": f"{look.width(weight):g}",
        "color": style.hue(told),
        # The sign is told by more than the colour.
        "style": "solid" if told > 0 else "dashed" if told < 0 else "dotted",
        "dir": "back" if hue == "error" else "forward",
    }


def _texts(
    network: Network, places: dict[tuple[int, int | None], tuple[float, float]], hue: Hue
) -> list[tuple[str, tuple[float, float], str, int]]:
    """The words beside the circles: headings, gaps, weights, and what was expected."""
    texts = []
    top = max(y for _, y in places.values()) + ROW * 0.85
    middle = {column: x for (column, _), (x, _) in places.items()}
    for column, heading in enumerate(network.headings):
        texts.append((f"h{column}", (middle[column], top), literal(heading), 10))
    for (column, row), place in places.items():
        if row is None:
            between = len(network.names[column]) - FIRST_ROWS - LAST_ROWS
            texts.append((f"g{column}", place, f"…\n{between:,} more", 10))
    last = len(network.names) - 1
    for row, words in enumerate(network.outcome):
        if words and (last, row) in places:
            x, y = places[last, row]
            texts.append((f"o{row}", (x + CIRCLE + 0.35, y), words, 10))
    shown = arrows(network)
    if len(shown) <= MOST_NUMBERED_ARROWS:
        for number, (layer, neuron, source) in enumerate(shown):
            start, end = places[layer, source], places[layer + 1, neuron]
            share = _share(network, layer)
            x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
            told = style.signed(float(network.told(layer, hue)[neuron, source]))
            texts.append((f"w{number}", (x, y), told, 9))
    return texts


def _share(network: Network, layer: int) -> float:
    """How far along their arrows the numbers of a layer stand, so that none covers another."""
    starts, ends = (len(network.rows[column]) for column in (layer, layer + 1))

    def gap(share: float) -> float:
        heights = sorted(
            (1 - share) * (a - (starts - 1) / 2) + share * (b - (ends - 1) / 2)
            for a in range(starts)
            for b in range(ends)
        )
        return min((b - a for a, b in itertools.pairwise(heights)), default=1.0)

    shares = sorted((k / 40 for k in range(10, 31)), key=lambda share: abs(share - 0.5))
    return next((s for s in shares if gap(s) >= ENOUGH), max(shares, key=gap))


def _lines(text: str, size: int, room: int) -> str:
    lines = text.split("\n")
    widest = math.ceil(max(style.width(line, size) for line in lines))
    rows = (
        f'<TD WIDTH="{max(room, widest) + 6}">{labels.font(line, size, style.MUTED)}</TD>'
        for line in lines
    )
    # Arrows run behind the words.
    return f"<{labels.table(*rows, padding=0, ground=style.PAGE)}>"


# ---- Words -------------------------------------------------------------------------------------


def _about(network: Network, column: int, row: int) -> str:
    words = [f"{network.names[column][row]}, {network.headings[column]}"]
    if network.values:
        words.append(f"value {float(network.values[column][row])!r}")
    if network.deltas and column:
        words.append(f"delta {float(network.deltas[column - 1][row])!r}")
    return "\n".join(words)


def _about_weight(network: Network, layer: int, neuron: int, source: int) -> str:
    listener, speaker = network.names[layer + 1][neuron], network.names[layer][source]
    weight = float(network.weights[layer][neuron, source])
    words = [f"{listener} listens to {speaker} with the weight {weight!r}"]
    if network.deltas:
        back = float(network.sent_back(layer)[neuron, source])
        slope = float(network.deltas[layer][neuron] * network.values[layer][source])
        words.append(f"error going back: delta × weight = {back!r}")
        words.append(f"slope of the cost by this weight: delta × value = {slope!r}")
    return "\n".join(words)


def legend(network: Network, hue: Hue, look: Look) -> str:
    """What all of it means, as the label of the whole graph."""
    rows = [labels.widths(look.widths.largest, look.width, "size of the weight")]
    meaning = {
        "weight": ("positive weight: passed on as it is", "negative weight: passed on reversed"),
        "error": (
            "error going back: if this neuron said more, the cost would rise",
            "error going back: if this neuron said more, the cost would fall",
        ),
    }[hue]
    way = "◄" if hue == "error" else "►"
    tips = (f"solid {way} +", f"dashed {way} −")
    for tip, colour, words in zip(tips, (style.POSITIVE, style.NEGATIVE), meaning, strict=True):
        rows.append(labels.key(tip, labels.bar(6, colour) + labels.words(words, 8)))
    if any(network.told(layer, hue)[to, source] == 0 for layer, to, source in arrows(network)):
        nothing = {"weight": "weight 0: nothing is passed on", "error": "no error going back"}[hue]
        rows.append(
            labels.key(f"dotted {way} 0", labels.bar(6, style.MUTED) + labels.words(nothing, 8))
        )
    if len(arrows(network)) <= MOST_NUMBERED_ARROWS:
        numbers = "weight" if hue == "weight" else "error going back: δ × weight"
        rows.append(labels.key("numbers", labels.words(numbers)))
    if any("error" in words for words in network.outcome):
        rows.append(labels.key("error", labels.words("what was expected − what came out")))
    if network.deltas:
        rows.append(labels.key("δ", labels.swatches(look.colours)))
        rows.append(
            labels.key(
                "",
                labels.words(
                    "δ: if the neuron were told 1 more in sum, the cost would rise at this rate"
                ),
            )
        )
    folded = sum(len(names) for names in network.names) - len(circles(network))
    if folded:
        rows.append(labels.key("", labels.words(f"folded: {folded:,} neurons are not shown")))
    return labels.legend(rows)
