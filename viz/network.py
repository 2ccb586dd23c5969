"""The picture of a network: what flows over each of its arrows, and what each neuron makes of it.

Neurons are circles in columns, weights are arrows. ``arrows`` says which number an arrow carries:
the weight itself, forward; the gradient that goes back over it, delta times weight; or the slope of
the cost at the weight, input times delta, which learning uses. That number is written beside the
arrow, its size is the arrow's width, its sign the hue, and the tip points where it travels. A short
arrow from above is the bias. With an example every neuron shows its weighted sum z, where z is on
the curve of its activation, and its output; with a target its delta, the gradient of the cost at z.
So a reader can do the sums again. They are read from ``flow``.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import graphviz
import numpy

from microgradlike import losses
from microgradlike.engine import no_grad
from microgradlike.flow import LayerError, layer_errors, layer_runs, layers_of
from microgradlike.functions import FUNCTIONS
from microgradlike.inputs import describe
from microgradlike.training import History
from microgradlike.words import literal
from viz import labels, style
from viz.moments import spread
from viz.picture import Picture
from viz.places import ABOVE, BIAS, BIAS_HEAD, HEAD, Array, Places, Point, along, places_of, shaft
from viz.style import Scale
from viz.view import Rendering, RenderingOptions, takes

if TYPE_CHECKING:
    from typing_extensions import Unpack  # type checkers have it; no program needs it


#: What the arrows of a picture carry.
Arrows = Literal["weights", "gradients", "slopes"]

#: A column of more neurons shows the first ones, the last ones, and how many are between.
MOST_ROWS, LAST_ROWS = 16, 2

#: With more arrows than this, tooltips hold the numbers, and circles have no curves.
MOST_NUMBERED_ARROWS = 30

#: No more records than this are shown of one training.
MOST_RECORDS = 200

# All lengths are in points. The radius of a circle, and of one with a curve in it.
RADIUS, RADIUS_WITH_CURVE = 36.0, 43.0

# The curve of an activation: its size, and the height of its line in the circle; in how many pieces
# it is drawn; and how much of it is seen at least, on either side of z = 0.
CURVE_WIDTH, CURVE_HEIGHT, CURVE_ROOM, PIECES, REACH = 36.0, 12.0, 17.5, 32, 4.0

# How high a line of small and of larger letters is in a circle.
SMALL, LARGE = 10.8, 13.2

#: Where there are no numbers on the arrows there are many of them, and they are thinner.
MANY = 0.5


@dataclass(frozen=True)
class Network:
    """What one picture of a network shows, and what the script of a movie changes in it."""

    names: list[list[str]]
    headings: list[str]
    """What the columns are called."""
    activations: list[list[str]]
    """Of each layer, the name of each neuron's activation."""
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
    arrived: list[Array]
    """The gradients of the cost at the outputs of each layer; empty without a target."""
    slopes: list[Array]
    """The slopes of the activations at the weighted sums; empty without a target."""
    outcome: list[str]
    """What is written beside each output: its target."""
    cost: float | None
    most: int = MOST_ROWS
    """How many rows of neurons a column has at most."""
    numbered: int = MOST_NUMBERED_ARROWS
    """Up to how many arrows have their numbers beside them."""

    @property
    def rows(self) -> list[list[int | None]]:
        """The neurons that are shown of each column; None is the gap."""
        return [_shown(len(names), self.most) for names in self.names]

    def title(self, column: int, row: int) -> str:
        """What a neuron is called in a sentence."""
        name = self.names[column][row]
        return f"neuron {name} of {self.headings[column]}" if name.isdigit() else name

    def activation(self, column: int) -> str:
        """The activations of a column in words: mostly it is one."""
        return " or ".join(dict.fromkeys(self.activations[column - 1])) if column else ""

    def carried(self, layer: int, arrows: Arrows) -> Array:
        """The number that each arrow of a layer carries, shape (neurons, inputs)."""
        if arrows == "weights":
            return self.weights[layer]
        deltas = self.deltas[layer][:, None]
        return numpy.asarray(
            deltas * (self.weights[layer] if arrows == "gradients" else self.values[layer])
        )

    def carried_by_biases(self, layer: int, arrows: Arrows) -> Array:
        """The same of the arrows of its biases; no gradient goes on from there."""
        if arrows == "gradients":
            return numpy.zeros(len(self.biases[layer]))
        return self.biases[layer] if arrows == "weights" else self.deltas[layer]


@takes(Rendering)
def draw_network(
    model: Any,
    x: Any = None,
    y: Any = None,
    *,
    loss: Callable[[Any, Any], Any] = losses.mse,
    arrows: Arrows = "weights",
    names: Sequence[Sequence[str] | None] | None = None,
    layers: Sequence[str] | None = None,
    beside: Sequence[Any] = (),
    most_neurons: int = MOST_ROWS,
    legend: bool = True,
    **options: Unpack[RenderingOptions],
) -> Picture:
    """Draw a network as neurons and arrows: the wider an arrow, the larger the number it carries.

    Args:
        model: an ``MLP``, another module with a list of ``layers``, or a ``Layer`` or ``Neuron``.
        x: one example; every neuron then shows its weighted sum z and its output.
        y: its target; every neuron then shows its delta, as number and colour.
        loss: a function of the output and the target.
        arrows: what the arrows carry: "weights", forward; "gradients", which go back over them,
            delta times weight; or "slopes", those of the cost at the weights, input times delta.
        names: the names of the inputs and of the neurons of each layer, a list for each; None, or
            no list, leaves a column its numbers.
        layers: what the columns are called, the inputs first; by default by their places.
        beside: models whose pictures will be seen beside this one, such as the same model before
            its training; or what ``fit(..., record=1)`` returned, whose movie will. A width or
            colour then means the same in all of them, and everything has the same place.
        most_neurons: a column of more shows the first ones, the last ones, and how many are
            between; at least 3.
        legend: whether the meaning of all this is written below; of several pictures side by side
            one is enough.
        options: ``engine``, ``theme`` and ``colours``, as for ``draw``.

    Returns:
        A Picture. No parameter and no gradient is changed.

    Raises:
        TypeError, ValueError: the model has no layers, or ``x``, ``y``, ``arrows``, ``names``,
            ``layers`` or ``most_neurons`` do not fit.

    >>> from microgradlike.nn import MLP
    >>> draw_network(MLP(2, [3, 1], activation="tanh", seed=0), [1.0, -1.0], 0.5)
    <Picture: A network of 2-3-1 neurons, cost 0.299: target 0.5, error = target − answer = +0.547>
    """
    rendering = Rendering.of(draw_network, options)
    if arrows not in get_args(Arrows):
        raise ValueError(
            f'arrows is "weights", "gradients" or "slopes", but got {describe(arrows)}'
        )
    if arrows != "weights" and y is None:
        raise ValueError(
            f'arrows="{arrows}" needs an example x and its target y: without them there is no cost'
        )
    if not isinstance(legend, bool):
        raise TypeError(f"legend is True or False, but got {describe(legend)}")

    def read(model: Any) -> Network:
        return read_network(model, x, y, loss=loss, names=names, most=most_neurons, layers=layers)

    network = read(model)
    others = [
        read(shown)
        for other in beside
        for shown in ((m for _, m in recorded(other)) if isinstance(other, History) else [other])
    ]
    # It may be one of them: the scales are the same for all only if it counts once.
    same = next((k for k, other in enumerate(others) if _same(network, other)), len(others))
    networks = [network, *others[:same], *others[same + 1 :]]
    look = Look.of(networks, arrows)
    below = legend_in_short(network, arrows, look) if legend else ""
    return network_picture(network, arrows, look, rendering, below, rooms(networks, arrows))


# ---- Reading a model ---------------------------------------------------------------------------


def read_network(
    model: Any,
    x: Any,
    y: Any,
    *,
    loss: Callable[[Any, Any], Any],
    names: Sequence[Sequence[str] | None] | None,
    most: int = MOST_ROWS,
    layers: Sequence[str] | None = None,
) -> Network:
    """The weights of a model and, with an example, its values and gradients."""
    if isinstance(most, bool) or not isinstance(most, int) or most < 3:
        raise ValueError(f"most_neurons is an int of 3 or more, but got {describe(most)}")
    parts = layers_of(model)
    if x is None and y is not None:
        raise ValueError("y is the target of an example: give x as well")
    weights = [
        numpy.array([[w.data for w in neuron.w] for neuron in part.neurons]) for part in parts
    ]
    biases = [numpy.array([neuron.b.data for neuron in part.neurons]) for part in parts]
    activations = [[neuron.activation for neuron in part.neurons] for part in parts]
    sums: list[Array] = []
    values: list[Array] = []
    errors: list[LayerError] = []
    outcome: list[str] = []
    cost = None
    if x is not None:
        with no_grad():
            runs = layer_runs(model, x)
        sums = [_floats(run.sums) for run in runs]
        values = [_floats(runs[0].inputs), *(_floats(run.outputs) for run in runs)]
    if y is not None:
        errors = layer_errors(model, x, y, loss=loss)
        cost, outcome = _cost(loss, values[-1], y)
    sizes = [weights[0].shape[1], *(len(layer) for layer in weights)]
    return Network(
        names=_names(names, sizes),
        headings=_headings(layers, len(sizes)),
        activations=activations,
        weights=weights,
        biases=biases,
        sums=sums,
        values=values,
        deltas=[error.delta for error in errors],
        arrived=[error.weights_part for error in errors],
        slopes=[error.slope_part for error in errors],
        outcome=outcome,
        cost=cost,
        most=most,
    )


def recorded(history: History) -> Iterator[tuple[int, Any]]:
    """The epochs of a training that pictures show, and the model as it was after each.

    It is the same model each time, with other weights. Of more than 200 records there are 200,
    evenly spread.

    Raises:
        ValueError: the history holds no records.
    """
    if not history.records:
        raise ValueError("the history holds no records of the weights: use fit(..., record=1)")
    model = copy.deepcopy(history.model)
    for place in spread(len(history.records), MOST_RECORDS):
        record = history.records[place]
        model.load_state_dict(record.state)
        yield record.epoch, model


def _same(one: Network, other: Network) -> bool:
    pairs = zip((*one.weights, *one.biases), (*other.weights, *other.biases), strict=False)
    return all(numpy.array_equal(a, b) for a, b in pairs)


def _floats(values: Sequence[Any]) -> Array:
    return numpy.array([float(value) for value in values])


def _cost(loss: Callable[[Any, Any], Any], out: Array, y: Any) -> tuple[float, list[str]]:
    """The cost of an output, and what is written of its target beside the outputs."""
    outputs = out.tolist()
    cost = float(loss(outputs if len(outputs) > 1 else outputs[0], y))
    targets = list(y) if losses.is_list(y) else [y]
    if len(targets) != len(outputs):  # the number of a class
        return cost, ["target" if place == y else "" for place in range(len(outputs))]
    return cost, [
        f"target {style.short(float(target))}\n"
        f"error = target − answer = {style.short_signed(float(target) - output)}"
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


def _headings(layers: Sequence[str] | None, columns: int) -> list[str]:
    if layers is None:
        hidden = [f"layer {place}" for place in range(1, columns - 1)]
        return ["inputs", *hidden, "output layer"]
    if not losses.is_list(layers) or len(layers) != columns:
        raise ValueError(
            f"layers has a name for each of the {columns} columns, the inputs first, but got "
            f"{describe(layers)}"
        )
    return [literal(str(layer)) for layer in layers]


def _heading(network: Network) -> str:
    """One sentence on the network."""
    sizes = "-".join(str(len(column)) for column in network.names)
    cost = "" if network.cost is None else f", cost {style.short(network.cost)}"
    told = [
        f"{words} {network.names[-1][place]}" if words == "target" else words
        for place, words in enumerate(network.outcome)
    ]
    beside = "; ".join(filter(None, told)).replace("\n", ", ")
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
    """The scales of widths, colours and curves, the same for all the pictures of a training."""

    widths: Scale
    colours: Scale
    thinner: float
    reach: float
    """Up to which weighted sum the curves are drawn; 0 where circles have none."""

    @classmethod
    def of(cls, networks: Sequence[Network], arrows: Arrows = "weights") -> Look:
        """The scales that suit these networks, which are of one shape."""
        numbered = _is_numbered(networks[0])
        bent = [
            abs(z)
            for network in networks
            for sums, activations in zip(network.sums, network.activations, strict=False)
            for z, activation in zip(sums, activations, strict=True)
            if activation != "linear" and math.isfinite(z)
        ]
        return cls(
            Scale.of(
                carried
                for network in networks
                for layer in range(len(network.weights))
                for numbers in (
                    network.carried(layer, arrows),
                    network.carried_by_biases(layer, arrows),
                )
                for carried in numbers.flat
            ),
            Scale.of(d for network in networks for layer in network.deltas for d in layer.flat),
            1.0 if numbered else MANY,
            max(REACH, *bent) if bent and numbered else 0.0,
        )

    @property
    def radius(self) -> float:
        """How large the circles are."""
        return RADIUS_WITH_CURVE if self.reach else RADIUS

    def width(self, carried: float) -> float:
        """The width of an arrow that carries this number."""
        return round(self.widths.width(carried) * self.thinner, 2)


def arrows(network: Network) -> list[tuple[int, int, int]]:
    """The weights that are shown: the layer, the neuron, and its input."""
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


def rooms(networks: Sequence[Network], kind: Arrows) -> dict[str, int]:
    """The room for the widest numbers and words of all these networks, so that nothing moves.

    Of the numbers on arrows, "w", of those of biases, "c", and of the words beside outputs, "o".
    """
    words = [
        (place, style.width(line, size))
        for network in networks
        for place, size, texts in (
            ("w", 9, (words for words, _ in carried(network, kind))),
            ("c", 9, (words for words, _ in carried_by_biases(network, kind))),
            ("o", 10, network.outcome),
        )
        for text in texts
        for line in text.split("\n")
    ]
    return {
        name: math.ceil(max((width for found, width in words if found == name), default=0))
        for name in "wco"
    }


def carried(network: Network, kind: Arrows) -> list[tuple[str, float]]:
    """What is written beside each arrow, and the exact number."""
    numbers = [
        float(network.carried(k, kind)[neuron, source]) for k, neuron, source in arrows(network)
    ]
    return [(style.short_signed(number), number) for number in numbers]


def carried_by_biases(network: Network, kind: Arrows) -> list[tuple[str, float]]:
    """The same of the arrows of biases; where gradients go back, none does here: they show b."""
    numbers = network.deltas if kind == "slopes" else network.biases
    shown = [float(numbers[layer][neuron]) for layer, neuron in biased(network)]
    spelt = _slope_words if kind == "slopes" else bias_words
    return [(spelt(number), number) for number in shown]


def bias_words(bias: float) -> str:
    """What is written beside the arrow of a bias."""
    return f"b {style.short_signed(bias)}"


def _slope_words(slope: float) -> str:
    return f"dC/db {style.short_signed(slope)}"


def network_picture(
    network: Network,
    kind: Arrows,
    look: Look,
    rendering: Rendering,
    legend: str,
    room: Mapping[str, int] = MappingProxyType({}),
    above: str = "",
) -> Picture:
    """The network with every neuron in its place.

    The numbers of arrows, "w", those of biases, "c", and the words beside the outputs, "o", have
    this much room. The words above it are larger.
    """
    dot = graphviz.Digraph("network")
    # Every place and every line is given; nothing is left to be laid out.
    dot.attr(layout="nop2", bgcolor="transparent")
    dot.attr(fontname=style.FONT, fontsize="10", fontcolor=style.MUTED, labelloc="b")
    dot.attr(labeljust="l", label=legend)
    dot.attr("node", fontname=style.FONT, fontcolor=style.INK, color=style.BORDER, style="filled")
    dot.attr("edge", fontname=style.FONT, arrowsize=str(HEAD / 10))
    titles = {}
    wide = {**rooms([network], kind), **room}
    widest = (wide["w"], wide["c"]) if _is_numbered(network) else None
    places, numbers = places_of(network.rows, look.radius, widest)
    # What comes first is drawn first. Arrows are behind the circles that they pass: so they begin
    # and end at unseen middles of these.
    for column, row in circles(network):
        unseen = {"shape": "point", "width": "0", "style": "invis", "label": ""}
        dot.node(f"i{column}_{row}", pos=_at(*places[column, row]), **unseen)
    for number, (layer, neuron, source) in enumerate(arrows(network)):
        titles[f"e{number}"] = titles[f"w{number}"] = _about_weight(network, layer, neuron, source)
        line = _line(float(network.carried(layer, kind)[neuron, source]), kind, look)
        between = shaft(places[layer, source], places[layer + 1, neuron], look.radius)
        line["pos"] = _arrow(*between, kind)
        dot.edge(f"i{layer}_{source}", f"i{layer + 1}_{neuron}", id=f"e{number}", **line)
    for number, (layer, neuron) in enumerate(biased(network)):
        titles[f"b{number}"] = titles[f"c{number}"] = _about_bias(network, layer, neuron)
        line = _bias_line(float(network.carried_by_biases(layer, kind)[neuron]), kind, look)
        x, y = places[layer + 1, neuron]
        top = y + look.radius
        direction: Arrows = "weights" if kind == "gradients" else kind
        line["pos"] = _arrow((x, top + BIAS), (x, top), direction, BIAS_HEAD)
        here = f"i{layer + 1}_{neuron}"
        dot.edge(here, here, id=f"b{number}", **line)
    for column, row in circles(network):
        name = f"n{column}_{row}"
        titles[name] = _about(network, column, row)
        dot.node(name, pos=_at(*places[column, row]), **_circle(network, column, row, look))
        if (drawn := _curve(network, column, row, look)) is not None:
            _draw_curve(dot, drawn, (column, row), places[column, row])
            titles[f"k{column}_{row}"] = titles[f"p{column}_{row}"] = drawn.title
    for name, place, text, size in _texts(network, places, numbers, kind, look, room):
        titles.setdefault(name, text)
        dot.node(name, pos=_at(*place), **_words(name, text, size))
    if above:
        middle = sum(x for x, _ in places.values()) / len(places)
        top = max(y for _, y in places.values()) + look.radius + ABOVE + 58
        dot.node("above", pos=_at(middle, top), **_words("above", above, 14))
    return Picture(str(dot.source), _heading(network), titles, rendering)


def _is_numbered(network: Network) -> bool:
    return len(arrows(network)) <= network.numbered


def _at(*points: float) -> str:
    return ",".join(f"{value:.2f}" for value in points)


def _polyline(points: Sequence[Point]) -> str:
    """Straight lines from point to point, spelt as the curves that the layout program reads."""
    inner = (f"{_at(*a)} {_at(*b)} {_at(*b)}" for a, b in itertools.pairwise(points))
    return " ".join([_at(*points[0]), *inner])


def _arrow(start: Point, end: Point, kind: Arrows, head: float = HEAD) -> str:
    """An arrow from left to right, with its tip where what it carries arrives."""
    share = head / math.dist(start, end)
    if kind == "weights":
        return f"e,{_at(*end)} {_polyline([start, along(start, end, 1 - share)])}"
    return f"s,{_at(*start)} {_polyline([along(start, end, share), end])}"


def _circle(network: Network, column: int, row: int, look: Look) -> dict[str, str]:
    shown = face(network, column, row, look)
    room = 1.68 * look.radius
    room *= 0.75 if shown.total and shown.delta else 1  # the upper lines of four are short
    name = style.fitting(network.names[column][row], room, 9, bold=True)
    lines = [f"<TD>{labels.font(name, 9, shown.ink, bold=True)}</TD>"]
    for words, size in ((shown.total, 9), (shown.value, 11), (shown.delta, 9)):
        if words:
            lines.append(f"<TD>{labels.font(words, size, shown.ink)}</TD>")
        if words == shown.total and _curve(network, column, row, look) is not None:
            lines.append(f'<TD HEIGHT="{CURVE_ROOM:g}"></TD>')
    return {
        "shape": "circle",
        "fixedsize": "true",
        "width": f"{look.radius / 36:g}",
        "fillcolor": shown.fill,
        "class": "neuron" if column else "input",
        "label": f"<{labels.table(*lines, padding=0)}>",
    }


class Face(NamedTuple):
    """What a circle shows, as far as it is known, and its two colours."""

    total: str
    """The weighted sum, where the output is something else."""
    value: str
    delta: str
    ink: str
    fill: str
    mark: Point | None
    """Where the point on the curve is, beside the circle's middle, upwards and to the right."""


def face(network: Network, column: int, row: int, look: Look) -> Face:
    """What a circle shows."""
    value = style.short(float(network.values[column][row])) if network.values else ""
    total = ""
    if network.sums and column and network.activations[column - 1][row] != "linear":
        total = f"z {style.short_signed(float(network.sums[column - 1][row]))}"
    curve = _curve(network, column, row, look)
    mark = curve and curve.mark
    if not network.deltas or not column:
        return Face(total, value, "", style.INK, style.LEAF, mark)
    delta = float(network.deltas[column - 1][row])
    shown = f"δ {style.short_signed(delta)}"
    return Face(total, value, shown, *look.colours.paint(delta), mark)


# ---- The curve of an activation ------------------------------------------------------------------


class _Curve(NamedTuple):
    """The curve of a neuron's activation in its circle, beside the circle's middle."""

    line: list[Point]
    mark: Point
    ink: str
    title: str


def _curve(network: Network, column: int, row: int, look: Look) -> _Curve | None:
    """The curve of a neuron with the point (z, output) on it, where there is one to draw."""
    activation = network.activations[column - 1][row] if column else ""
    if not look.reach or activation not in FUNCTIONS:
        return None
    z, output = float(network.sums[column - 1][row]), float(network.values[column][row])
    points = _sampled(activation, look.reach)
    values = [value for _, value in points] + [output]
    if not all(map(math.isfinite, (z, *values))):
        return None
    low, high = min(values), max(values)
    has_delta = bool(network.deltas)
    # Above it are two lines of small letters, below it the output and perhaps one more.
    middle = (LARGE + SMALL * has_delta - 2 * SMALL) / 2 - 0.5

    def at(z: float, value: float) -> Point:
        up = (value - low) / ((high - low) or 1) - 0.5
        return z / look.reach * CURVE_WIDTH / 2, middle + up * CURVE_HEIGHT

    ink = style.INK
    if has_delta:
        ink, _ = look.colours.paint(float(network.deltas[column - 1][row]))
    title = f"{activation}: at z = {style.number(z)} it is {style.number(output)}"
    return _Curve([at(*point) for point in points], at(z, output), ink, title)


@functools.lru_cache(maxsize=64)
def _sampled(activation: str, reach: float) -> list[Point]:
    """An activation at points from -reach to reach, as the operator table has it."""
    sums = numpy.linspace(-reach, reach, PIECES + 1).tolist()
    return [(z, float(FUNCTIONS[activation](z))) for z in sums]


def _draw_curve(
    dot: graphviz.Digraph, curve: _Curve, where: tuple[int, int], middle: Point
) -> None:
    """The curve, and its point, in the circle of a neuron."""
    name = f"{where[0]}_{where[1]}"
    line = [(middle[0] + x, middle[1] + y) for x, y in curve.line]
    look = {"class": "curve", "color": curve.ink, "penwidth": "1", "dir": "none"}
    dot.edge(f"n{name}", f"n{name}", id=f"k{name}", pos=_polyline(line), **look)
    x, y = curve.mark
    dot.node(
        f"p{name}",
        pos=_at(middle[0] + x, middle[1] + y),
        **{"class": "mark", "shape": "circle", "fixedsize": "true", "width": "0.07"},
        **{"label": "", "fillcolor": curve.ink, "color": curve.ink},
    )


# ---- Lines and words beside the circles ----------------------------------------------------------


def _line(carried: float, kind: Arrows, look: Look) -> dict[str, str]:
    return {
        "penwidth": f"{look.width(carried):g}",
        "color": style.hue(carried),
        # The sign is told by more than the colour.
        "style": "solid" if carried > 0 else "dashed" if carried < 0 else "dotted",
        "dir": "forward" if kind == "weights" else "back",
    }


def _bias_line(carried: float, kind: Arrows, look: Look) -> dict[str, str]:
    """The arrow of a bias; over which no gradient goes on."""
    small = {"arrowsize": f"{BIAS_HEAD / 10:g}"}
    if kind == "gradients":
        return {"penwidth": "1", "color": style.MUTED, "style": "solid"} | small
    return _line(carried, kind, look) | small


def _texts(
    network: Network,
    places: Places,
    numbers: Sequence[Point],
    kind: Arrows,
    look: Look,
    room: Mapping[str, int],
) -> list[tuple[str, Point, str, int]]:
    """The words beside the circles: headings, gaps, numbers and targets."""
    texts = []
    top = max(y for _, y in places.values()) + look.radius + ABOVE + 26
    middle = {column: x for (column, _), (x, _) in places.items()}
    for column, heading in enumerate(network.headings):
        # The name is level with the others, what is below it or not.
        activation = network.activation(column)
        words = f"{heading}\n{activation}" if activation else heading
        height = top if activation else top + 6
        texts.append((f"h{column}", (middle[column], height), words, 10))
    for (column, row), place in places.items():
        if row is None:
            shown = len(network.rows[column]) - 1
            between = len(network.names[column]) - shown
            texts.append((f"g{column}", place, f"…\n{between:,} more", 10))
    last = len(network.names) - 1
    for row, words in enumerate(network.outcome):
        if words and (last, row) in places:
            x, y = places[last, row]
            widest = max(style.width(line, 10) for line in words.split("\n"))
            half = max(widest, room.get("o", 0)) / 2
            texts.append((f"o{row}", (x + look.radius + 12 + half, y), words, 10))
    for number, (layer, neuron) in enumerate(biased(network)):
        x, y = places[layer + 1, neuron]
        words, _ = carried_by_biases(network, kind)[number]
        texts.append((f"c{number}", (x, y + look.radius + ABOVE), words, 9))
    for number, ((words, _), place) in enumerate(
        zip(carried(network, kind), numbers, strict=False)
    ):
        texts.append((f"w{number}", place, words, 9))
    return texts


def _words(name: str, text: str, size: int) -> dict[str, str]:
    """Lines of text around their middle."""
    number = {"class": "number"} if name[0] in "wc" else {}
    return number | {
        "shape": "plain",
        "fillcolor": "none",
        "fontsize": str(size),
        "fontcolor": style.MUTED,
        "label": graphviz.escape(text).replace("\\\\n", "\\n").replace("\n", "\\n"),
    }


# ---- Words -------------------------------------------------------------------------------------


def _about(network: Network, column: int, row: int) -> str:
    place = ": ".join(filter(None, (network.headings[column], network.activation(column))))
    words = [f"{network.names[column][row]}, {place}"]
    if network.values:
        if column:
            words.append(_added_up(network, column, row))
        words.append(f"output {float(network.values[column][row])!r}")
    if network.deltas and column:
        words.append(_delta_in_words(network, column, row))
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


def _delta_in_words(network: Network, column: int, row: int) -> str:
    """How the delta of a neuron comes about: what arrives at its output, times its slope."""
    delta = style.signed(float(network.deltas[column - 1][row]))
    return f"{_product(network, column, row, style.number)} = {delta} = δ"


def _product(
    network: Network, column: int, row: int, spelt: Callable[[float], str] = style.short
) -> str:
    """The delta of a neuron as a product: the gradients that arrive, added up, times its slope."""

    def signed(value: float) -> str:
        return f"+{spelt(value)}" if value > 0 else spelt(value)

    slope = spelt(float(network.slopes[column - 1][row]))
    shares = _shares(network, column, row)
    if len(shares) < 2:
        return f"{signed(float(network.arrived[column - 1][row]))} × {slope}"
    terms = [signed(share) for share in shares]
    first, *others = ["…" if k is None else terms[k] for k in _shown(len(terms), MOST_ROWS)]
    spaced = (f"{term[0]} {term[1:]}" if term[0] in "+−" else f"+ {term}" for term in others)
    return f"({' '.join([first, *spaced])}) × {slope}"


def _shares(network: Network, column: int, row: int) -> list[float]:
    """The gradients that the neurons of the next column send back to this one."""
    if column == len(network.weights):
        return []
    shares: list[float] = network.carried(column, "gradients")[:, row].tolist()
    return shares


def _about_bias(network: Network, layer: int, neuron: int) -> str:
    words = [bias_title(network, layer, neuron) + repr(float(network.biases[layer][neuron]))]
    if network.deltas:
        words.append(f"dC/db = δ = {float(network.deltas[layer][neuron])!r}")
    return "\n".join(words)


def bias_title(network: Network, layer: int, neuron: int) -> str:
    """What is said of a bias, before its number."""
    return f"bias (own opinion) of {network.names[layer + 1][neuron]}: "


def _about_weight(network: Network, layer: int, neuron: int, source: int) -> str:
    weight = float(network.weights[layer][neuron, source])
    words = [f"{about_arrow(network, layer, neuron, source)}{weight!r}"]
    if network.deltas:
        delta, value = network.deltas[layer][neuron], network.values[layer][source]
        kinds: tuple[tuple[str, Arrows, tuple[float, float]], ...] = (
            ("gradient sent back, δ × weight", "gradients", (delta, weight)),
            ("dC/dw", "slopes", (value, delta)),
        )
        for what, kind, factors in kinds:
            exact = float(network.carried(layer, kind)[neuron, source])
            product = " × ".join(style.short(float(factor)) for factor in factors)
            words.append(f"{what} = {product} = {style.short(exact)} (exactly {exact!r})")
    return "\n".join(words)


def about_arrow(network: Network, layer: int, neuron: int, source: int) -> str:
    """What is said of an arrow, before its weight."""
    to, whose = network.names[layer + 1][neuron], network.names[layer][source]
    return f"weight from {whose} to {to}: "


# ---- The legend ----------------------------------------------------------------------------------


def legend(network: Network, kind: Arrows, look: Look) -> str:
    """What all of it means, a line for each symbol."""
    of_arrows, of_circles = _symbols(network, kind, look)
    return labels.legend([labels.key(*symbol) for symbol in (*of_arrows, *of_circles)])


def legend_in_short(network: Network, kind: Arrows, look: Look) -> str:
    """The same in two lines: of arrows, and of circles."""
    return labels.legend_in_lines(*_symbols(network, kind, look))


Symbol = tuple[str, str]


def _symbols(network: Network, kind: Arrows, look: Look) -> tuple[list[Symbol], list[Symbol]]:
    """The symbols of arrows and those of circles, each with the cells that say what it means."""
    meaning, positive, negative = {
        "weights": ("the weight", "counts for", "counts against"),
        "gradients": (
            "the gradient sent back, δ × weight",
            "a larger output raises the cost",
            "a larger output lowers the cost",
        ),
        "slopes": (
            "dC/dw = input × δ",
            "a larger weight raises the cost",
            "a larger weight lowers the cost",
        ),
    }[kind]
    tip = "►" if kind == "weights" else "◄"
    of_arrows = [
        (f"solid {tip} +", labels.bar(6, style.POSITIVE) + labels.words(positive)),
        (f"dashed {tip} −", labels.bar(6, style.NEGATIVE) + labels.words(negative)),
    ]
    if any(number == 0 for _, number in carried(network, kind)):
        of_arrows.append((f"dotted {tip} 0", labels.words("nothing")))
    largest = look.widths.largest
    size = labels.bar(look.width(largest), style.MUTED)
    of_arrows.append(("width", size + labels.words(f"{style.short(largest)}: size of {meaning}")))
    if kind == "slopes":
        of_arrows.append(("▲ dC/db", labels.words("that of the bias: δ")))
    else:
        of_arrows.append(("▼ b", labels.words("bias (own opinion)")))
    of_circles = []
    if any(face(network, *place, look).total for place in circles(network)):
        total = "weighted sum" + (": each input × its weight, + b" if kind == "weights" else "")
        curve = "; on the curve: its activation" if look.reach else ""
        of_circles.append(("z", labels.words(f"{total}{curve}; below: the output")))
    if network.deltas:
        swatches = labels.swatches(look.colours, (0, 4, 8), style.short_signed)
        gradient = "gradient of the cost at z"
        if kind == "gradients" and (several := _that_feeds_several(network)):
            gradient += f"; that of {network.names[several[0]][several[1]]}: "
            gradient += f"{_product(network, *several)} = "
            gradient += style.short_signed(float(network.deltas[several[0] - 1][several[1]]))
        of_circles.append(("δ", swatches + labels.GAP + labels.words(gradient)))
    folded = sum(len(names) for names in network.names) - len(circles(network))
    if folded:
        of_circles.append(("", labels.words(f"folded: {folded:,} neurons are not shown")))
    return of_arrows, of_circles


def _that_feeds_several(network: Network) -> tuple[int, int] | None:
    """The first neuron to which several gradients come back, few enough to write them out."""
    found = (p for p in circles(network) if p[0] and 2 <= len(_shares(network, *p)) <= 4)
    return next(found, None)
