"""The picture of a network: who listens to whom, how much, and how wrong each one was.

Neurons are circles in columns, and each weight is an arrow as wide as the weight is large. A short
arrow from above, which comes from nobody, is the bias. With an example every neuron shows its
weighted sum z and its value, so that a reader can add them up, and with a target its delta: the
slope of the cost by z. They are read from ``flow``.
"""

from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import graphviz
import numpy
import numpy.typing

from microgradlike import losses
from microgradlike.engine import no_grad
from microgradlike.flow import layer_errors, layer_runs, layers_of
from microgradlike.inputs import describe
from microgradlike.words import literal
from viz import labels, style
from viz.picture import Picture
from viz.render import SVG, sides
from viz.style import Scale
from viz.view import Rendering, RenderingOptions, takes

if TYPE_CHECKING:
    from typing_extensions import Unpack  # type checkers have it; no program needs it

Array = numpy.typing.NDArray[numpy.float64]
Hue = Literal["weight", "error"]

#: A column of more neurons shows the first ones, the last ones, and how many are between.
MOST_ROWS, LAST_ROWS = 16, 2

#: With more arrows than this, tooltips hold the weights instead of numbers.
MOST_NUMBERED_ARROWS = 30

# In inches; tall columns stand farther apart, so that their arrows do not become too steep.
CIRCLE, ROW, COLUMN, SLANT = 1.0, 1.55, 2.8, 0.25

# The arrow of a bias, and how far above the middle of its circle its number stands, in inches.
BIAS, ABOVE = 0.27, 0.86

# How high the ground of a number on an arrow is, and how far it stays from circles and from the
# heads of arrows, in inches.
HIGH, CLEAR, HEAD = 0.2, 0.08, 0.24

#: Where there are no numbers on the arrows there are many of them, and they are thinner.
MANY = 0.5


@dataclass(frozen=True)
class Network:
    """What one picture of a network shows, and what the script of a movie changes in it."""

    names: list[list[str]]
    headings: list[str]
    weights: list[Array]
    """Of each layer, shape (neurons, inputs)."""
    biases: list[Array]
    """Of each layer."""
    sums: list[Array]
    """The weighted sums of each layer; empty without an example."""
    values: list[Array]
    """Of each column, the inputs first; empty without an example."""
    deltas: list[Array]
    """Of each layer; empty without a target."""
    outcome: list[str]
    """What stands beside each output: what was expected there."""
    cost: float | None
    most: int = MOST_ROWS
    """How many rows of neurons a column has at most."""

    @property
    def rows(self) -> list[list[int | None]]:
        """The neurons that are shown of each column; None is the gap."""
        return [_shown(len(names), self.most) for names in self.names]

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


@takes(Rendering)
def draw_network(
    model: Any,
    x: Any = None,
    y: Any = None,
    *,
    loss: Callable[[Any, Any], Any] = losses.mse,
    hue: Hue = "weight",
    names: Sequence[Sequence[str] | None] | None = None,
    beside: Sequence[Any] = (),
    most_neurons: int = MOST_ROWS,
    **options: Unpack[RenderingOptions],
) -> Picture:
    """Draw a network as neurons and arrows: the wider an arrow, the larger the weight.

    Args:
        model: an ``MLP``, another module with a list of ``layers``, or a ``Layer`` or ``Neuron``.
        x: one example; every neuron then shows its weighted sum z and its value.
        y: its target; every neuron then shows its delta, as number and colour.
        loss: a function of the output and the target.
        hue: what the colour of an arrow tells: "weight", the sign of the weight; or "error", the
            sign of the error that goes back over it, delta times weight.
        names: the names of the inputs and of the neurons of each layer, a list for each; None, or
            no list, leaves a column its numbers.
        beside: models whose pictures will stand beside this one, such as the same model before its
            training: a width or colour then means the same in all of them.
        most_neurons: a column of more shows the first ones, the last ones, and how many are
            between; at least 3.
        options: ``engine``, ``theme`` and ``colours``, as for ``draw``.

    Returns:
        A Picture. No parameter and no gradient is changed.

    Raises:
        TypeError, ValueError: the model has no layers, or ``x``, ``y``, ``hue``, ``names`` or
            ``most_neurons`` do not fit.

    >>> from microgradlike.nn import MLP
    >>> draw_network(MLP(2, [3, 1], activation="tanh", seed=0), [1.0, -1.0], 0.5)
    <Picture: A network of 2-3-1 neurons, cost 0.299: expected 0.5, so the error is +0.5468>
    """
    rendering = Rendering.of(draw_network, options)
    if hue not in ("weight", "error"):
        raise ValueError(f'hue is "weight" or "error", but got {describe(hue)}')
    if hue == "error" and y is None:
        raise ValueError('hue="error" needs an example x and its target y: there is no error yet')
    others = (other for other in beside if other is not model)
    networks = [
        read_network(m, x, y, loss=loss, names=names, most=most_neurons) for m in (model, *others)
    ]
    network, look = networks[0], Look.of(networks)
    return network_picture(network, hue, look, rendering, legend(network, hue, look))


# ---- Reading a model ---------------------------------------------------------------------------


def read_network(
    model: Any,
    x: Any,
    y: Any,
    *,
    loss: Callable[[Any, Any], Any],
    names: Sequence[Sequence[str] | None] | None,
    most: int = MOST_ROWS,
) -> Network:
    """The weights of a model and, with an example, its values and errors."""
    if isinstance(most, bool) or not isinstance(most, int) or most < 3:
        raise ValueError(f"most_neurons is an int of 3 or more, but got {describe(most)}")
    layers = layers_of(model)
    if x is None and y is not None:
        raise ValueError("y is the target of an example: give x as well")
    weights = [
        numpy.array([[w.data for w in neuron.w] for neuron in layer.neurons]) for layer in layers
    ]
    biases = [numpy.array([neuron.b.data for neuron in layer.neurons]) for layer in layers]
    sums: list[Array] = []
    values: list[Array] = []
    deltas: list[Array] = []
    outcome: list[str] = []
    cost = None
    if x is not None:
        with no_grad():
            runs = layer_runs(model, x)
        sums = [_floats(run.sums) for run in runs]
        values = [_floats(runs[0].inputs), *(_floats(run.outputs) for run in runs)]
    if y is not None:
        errors = layer_errors(model, x, y, loss=loss)
        deltas = [error.delta for error in errors]
        cost, outcome = _cost(loss, values[-1], y)
    sizes = [weights[0].shape[1], *(len(layer) for layer in weights)]
    headings = ["inputs"] + [
        f"layers.{place}, {layer.neurons[0].activation}" for place, layer in enumerate(layers)
    ]
    called = _names(names, sizes)
    return Network(called, headings, weights, biases, sums, values, deltas, outcome, cost, most)


def _floats(values: Sequence[Any]) -> Array:
    return numpy.array([float(value) for value in values])


def _cost(loss: Callable[[Any, Any], Any], out: Array, y: Any) -> tuple[float, list[str]]:
    """The cost of an output and, where the target is of the same kind, what was expected."""
    outputs = out.tolist()
    cost = float(loss(outputs if len(outputs) > 1 else outputs[0], y))
    targets = list(y) if losses.is_list(y) else [y]
    if len(targets) != len(outputs):  # the number of a class
        return cost, ["expected" if place == y else "" for place in range(len(outputs))]
    return cost, [
        f"expected {style.number(float(target))}\nerror {style.signed(float(target) - output)}"
        for target, output in zip(targets, outputs, strict=True)
    ]


def _names(names: Sequence[Sequence[str] | None] | None, sizes: list[int]) -> list[list[str]]:
    numbered = [[f"x{place}" for place in range(sizes[0])]]
    numbered += [[str(place) for place in range(size)] for size in sizes[1:]]
    try:
        given = [
            [column] if isinstance(column, str) else None if column is None else list(column)
            for column in names or ()
        ]
    except TypeError:
        raise TypeError(
            "names has a list for the inputs and one for the neurons of each layer, but got "
            f"{describe(names)}"
        ) from None
    given += [None] * (len(sizes) - len(given))
    found = [
        column if called is None else [literal(str(name)) for name in called]
        for called, column in zip(given, numbered, strict=False)
    ]
    if [len(column) for column in found] != sizes or len(given) > len(sizes):
        raise ValueError(
            f"names has a list for each column, of {', '.join(map(str, sizes))} names, but got "
            f"{', '.join('None' if column is None else str(len(column)) for column in given)}"
        )
    return found


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


def _shown(size: int, most: int) -> list[int | None]:
    if size <= most:
        return list(range(size))
    first = most // 2
    last = min(LAST_ROWS, most - first - 1)
    return [*range(first), None, *range(size - last, size)]


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
            Scale.of(
                weight
                for network in networks
                for layer in (*network.weights, *network.biases)
                for weight in layer.flat
            ),
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


def biased(network: Network) -> list[tuple[int, int]]:
    """The biases that are shown: the layer and the neuron."""
    return [(column - 1, row) for column, row in circles(network) if column]


def network_picture(
    network: Network,
    hue: Hue,
    look: Look,
    rendering: Rendering,
    legend: str,
    room: Mapping[str, int] = MappingProxyType({}),
    above: str = "",
) -> Picture:
    """The network with every neuron in its place.

    The numbers on arrows, "w", those of biases, "c", and the words beside the outputs, "o", have
    this much room. The words above it are larger.
    """
    dot = graphviz.Digraph("network")
    dot.attr(layout="neato", splines="line", bgcolor="transparent", outputorder="edgesfirst")
    dot.attr(fontname=style.FONT, fontsize="10", fontcolor=style.MUTED, labelloc="b")
    dot.attr(labeljust="l", label=legend)
    dot.attr("node", fontname=style.FONT, fontcolor=style.INK, color=style.BORDER, style="filled")
    dot.attr("edge", fontname=style.FONT, arrowsize="0.7")
    titles = {}
    places = _places(network, hue, room)
    for column, row in circles(network):
        name = f"n{column}_{row}"
        titles[name] = _about(network, column, row)
        dot.node(name, pos=_at(*places[column, row]), **_circle(network, column, row, look))
    for number, (layer, neuron, source) in enumerate(arrows(network)):
        titles[f"e{number}"] = _about_weight(network, layer, neuron, source)
        line = _line(network, layer, neuron, source, hue, look)
        dot.edge(f"n{layer}_{source}", f"n{layer + 1}_{neuron}", id=f"e{number}", **line)
        titles[f"w{number}"] = titles[f"e{number}"]
    for number, (layer, neuron) in enumerate(biased(network)):
        x, y = places[layer + 1, neuron]
        titles[f"b{number}"] = titles[f"c{number}"] = _about_bias(network, layer, neuron)
        start = _at(x, y + CIRCLE / 2 + BIAS)
        dot.node(f"s{number}", pos=start, shape="point", width="0", style="invis", label="")
        line = bias_line(float(network.biases[layer][neuron]), hue, look)
        dot.edge(f"s{number}", f"n{layer + 1}_{neuron}", id=f"b{number}", **line)
    for name, place, text, size in _texts(network, places, hue, room):
        label = _lines(text, size, room.get(name[0], 0))
        titles.setdefault(name, text)
        dot.node(name, pos=_at(*place), shape="plain", fillcolor="none", label=label)
    if above:
        middle = sum(x for x, _ in places.values()) / len(places)
        top = max(y for _, y in places.values()) + ABOVE + 0.8
        label = f"<{labels.font(above, 14)}>"
        dot.node("above", pos=_at(middle, top), shape="plain", fillcolor="none", label=label)
    return _Centred(str(dot.source), _heading(network), titles, rendering)


class _Centred(Picture):
    """A picture with each number in the middle of its ground, which keeps the arrow off it.

    The layout program thinks a minus sign wider than it is.
    """

    def element(self) -> ElementTree.Element:
        svg = super().element()
        for group in svg.iter(f"{SVG}g"):
            if group.get("data-name", "").startswith(("w", "c")):
                ground, words = ([*group.iter(f"{SVG}{tag}")][-1] for tag in ("polygon", "text"))
                words.attrib |= {"text-anchor": "middle", "x": f"{sum(sides(ground)) / 2:g}"}
        return svg


Places = dict[tuple[int, int | None], tuple[float, float]]


def _places(network: Network, hue: Hue, room: Mapping[str, int]) -> Places:
    """Where each neuron stands, and each gap: columns side by side, their middles level.

    Columns stand as far apart as the numbers between them need.
    """
    rows = network.rows
    steep = SLANT * ROW * max(map(len, rows))
    across = [0.0]
    for layer in range(len(network.weights)):
        room_needed = _share(network, layer, hue, room)[1] if _is_numbered(network) else 0.0
        across.append(across[-1] + max(COLUMN, steep, room_needed))
    return {
        (column, row): (across[column], ((len(shown) - 1) / 2 - level) * ROW)
        for column, shown in enumerate(rows)
        for level, row in enumerate(shown)
    }


def _at(x: float, y: float) -> str:
    return f"{x:.3f},{y:.3f}!"


def _circle(network: Network, column: int, row: int, look: Look) -> dict[str, str]:
    shown = face(network, column, row, look)
    room = 0.84 * CIRCLE * 72
    room *= 0.75 if shown.total and shown.delta else 1  # the upper lines of four are short
    name = style.fitting(network.names[column][row], room, 9, bold=True)
    lines = [labels.font(name, 9, shown.ink, bold=True)]
    lines += [
        labels.font(words, size, shown.ink)
        for words, size in ((shown.total, 9), (shown.value, 11), (shown.delta, 9))
        if words
    ]
    return {
        "shape": "circle",
        "fixedsize": "true",
        "width": str(CIRCLE),
        "fillcolor": shown.fill,
        "class": "neuron" if column else "input",
        "label": f"<{labels.table(*(f'<TD>{line}</TD>' for line in lines), padding=0)}>",
    }


class Face(NamedTuple):
    """What a circle shows, as far as it is known, and its two colours."""

    total: str
    """The weighted sum, where the value is something else."""
    value: str
    delta: str
    ink: str
    fill: str


def face(network: Network, column: int, row: int, look: Look) -> Face:
    """What a circle shows."""
    value = style.number(float(network.values[column][row])) if network.values else ""
    total = ""
    if network.sums and column and not network.headings[column].endswith(", linear"):
        total = f"z {style.signed(float(network.sums[column - 1][row]))}"
    if not network.deltas or not column:
        return Face(total, value, "", style.INK, style.LEAF)
    delta = float(network.deltas[column - 1][row])
    return Face(total, value, f"δ {style.signed(delta)}", *look.colours.paint(delta))


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


def bias_line(bias: float, hue: Hue, look: Look) -> dict[str, str]:
    """The arrow of a bias, over which no error goes back."""
    return {
        "penwidth": f"{look.width(bias):g}",
        "color": style.hue(bias) if hue == "weight" else style.MUTED,
        "style": "solid" if bias > 0 else "dashed" if bias < 0 else "dotted",
        "arrowsize": "0.5",
    }


def bias_words(bias: float) -> str:
    """The number beside the arrow of a bias."""
    return f"b {style.signed(bias)}"


def _texts(
    network: Network, places: Places, hue: Hue, room: Mapping[str, int]
) -> list[tuple[str, tuple[float, float], str, int]]:
    """The words beside the circles: headings, gaps, weights, and what was expected."""
    texts = []
    top = max(y for _, y in places.values()) + ABOVE + 0.4
    middle = {column: x for (column, _), (x, _) in places.items()}
    for column, heading in enumerate(network.headings):
        texts.append((f"h{column}", (middle[column], top), literal(heading), 10))
    for (column, row), place in places.items():
        if row is None:
            shown = len(network.rows[column]) - 1
            between = len(network.names[column]) - shown
            texts.append((f"g{column}", place, f"…\n{between:,} more", 10))
    last = len(network.names) - 1
    for row, words in enumerate(network.outcome):
        if words and (last, row) in places:
            x, y = places[last, row]
            texts.append((f"o{row}", (x + CIRCLE + 0.35, y), words, 10))
    for number, (layer, neuron) in enumerate(biased(network)):
        x, y = places[layer + 1, neuron]
        words = bias_words(float(network.biases[layer][neuron]))
        texts.append((f"c{number}", (x, y + ABOVE), words, 9))
    if _is_numbered(network):
        for number, (layer, neuron, source) in enumerate(arrows(network)):
            start, end = places[layer, source], places[layer + 1, neuron]
            share, _ = _share(network, layer, hue, room)
            x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
            told = style.signed(float(network.told(layer, hue)[neuron, source]))
            texts.append((f"w{number}", (x, y), told, 9))
    return texts


def _is_numbered(network: Network) -> bool:
    return len(arrows(network)) <= MOST_NUMBERED_ARROWS


def _share(network: Network, layer: int, hue: Hue, room: Mapping[str, int]) -> tuple[float, float]:
    """How far along their arrows the numbers of a layer stand, and how far apart its columns.

    No number covers another, a circle, or the beginning or the head of an arrow; of all places
    where that is so, the one that needs the least room.
    """
    starts, ends = (len(network.rows[column]) for column in (layer, layer + 1))
    told = network.told(layer, hue)
    widest = max(
        style.width(style.signed(float(told[neuron, source])), 9)
        for at, neuron, source in arrows(network)
        if at == layer
    )
    half = (max(widest, room.get("w", 0)) + 8) / 72 / 2
    near = CIRCLE / 2 + CLEAR + half
    before, after = (near, near + HEAD) if hue == "weight" else (near + HEAD, near)

    def gap(share: float) -> float:
        heights = sorted(
            (1 - share) * (a - (starts - 1) / 2) + share * (b - (ends - 1) / 2)
            for a in range(starts)
            for b in range(ends)
        )
        return min((b - a for a, b in itertools.pairwise(heights)), default=1.0)

    def apart(share: float) -> float:
        return max(before / share, after / (1 - share), COLUMN)

    # Where the numbers of all arrows stand evenly, for some numbers of neurons, is among these.
    shares = {k / n for n in (40, *range(2, 12)) for k in range(1, n)}
    free = [share for share in shares if gap(share) * ROW >= HIGH]
    best = min(free, key=lambda share: (round(apart(share), 3), abs(share - 0.5), share))
    return best, apart(best)


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
        if column:
            words.append(_added_up(network, column, row))
        words.append(f"value {float(network.values[column][row])!r}")
    if network.deltas and column:
        words.append(f"delta {float(network.deltas[column - 1][row])!r}")
    return "\n".join(words)


def _added_up(network: Network, column: int, row: int) -> str:
    """The weighted sum of a neuron, written out; of many inputs the first and the last ones."""
    weights, inputs = network.weights[column - 1][row], network.values[column - 1]
    terms = [
        f"{style.number(float(w))} × {style.number(float(v))}"
        for w, v in zip(weights, inputs, strict=True)
    ]
    shown = ["…" if k is None else terms[k] for k in _shown(len(terms), MOST_ROWS)]
    bias = f"{style.number(float(network.biases[column - 1][row]))} (bias)"
    total = style.number(float(network.sums[column - 1][row]))
    return f"weighted sum z = {' + '.join([*shown, bias])} = {total}"


def _about_bias(network: Network, layer: int, neuron: int) -> str:
    words = [bias_title(network, layer, neuron) + repr(float(network.biases[layer][neuron]))]
    if network.deltas:
        slope = float(network.deltas[layer][neuron])
        words.append(f"slope of the cost by this bias: delta = {slope!r}")
    return "\n".join(words)


def bias_title(network: Network, layer: int, neuron: int) -> str:
    """What is said of a bias, before its number."""
    return f"the own opinion (bias) of {network.names[layer + 1][neuron]}: "


def _about_weight(network: Network, layer: int, neuron: int, source: int) -> str:
    weight = float(network.weights[layer][neuron, source])
    words = [f"{about_arrow(network, layer, neuron, source)}{weight!r}"]
    if network.deltas:
        back = float(network.sent_back(layer)[neuron, source])
        slope = float(network.deltas[layer][neuron] * network.values[layer][source])
        words.append(f"error going back: delta × weight = {back!r}")
        words.append(f"slope of the cost by this weight: delta × value = {slope!r}")
    return "\n".join(words)


def about_arrow(network: Network, layer: int, neuron: int, source: int) -> str:
    """What is said of an arrow, before its weight."""
    listener, speaker = network.names[layer + 1][neuron], network.names[layer][source]
    return f"{listener} listens to {speaker} with the weight "


def legend(network: Network, hue: Hue, look: Look) -> str:
    """What all of it means, as the label of the whole graph."""
    rows = [labels.widths(look.widths.largest, look.width, "size of the weight")]
    opinion = "bias: the neuron's own opinion, added to what it is told"
    rows.append(labels.key("▼ b", labels.words(opinion)))
    if any(face(network, *place, look).total for place in circles(network)):
        added = "weighted sum: each input × its weight, all added, + b; its activation is the value"
        rows.append(labels.key("z", labels.words(added)))
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
    if _is_numbered(network):
        numbers = "weight" if hue == "weight" else "error going back: δ × weight"
        rows.append(labels.key("numbers", labels.words(numbers)))
    if any("error" in words for words in network.outcome):
        rows.append(labels.key("error", labels.words("what was expected − what came out")))
    if network.deltas:
        rows.append(labels.key("δ", labels.swatches(look.colours)))
        rows.append(
            labels.key(
                "",
                labels.words("δ: how fast the cost rises per unit of this neuron's weighted sum"),
            )
        )
    folded = sum(len(names) for names in network.names) - len(circles(network))
    if folded:
        rows.append(labels.key("", labels.words(f"folded: {folded:,} neurons are not shown")))
    return labels.legend(rows)
