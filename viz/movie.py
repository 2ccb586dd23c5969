"""A training over time: arrows thicken and thin as the weights are learned."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microgradlike import losses
from microgradlike.files import ending_in, write
from microgradlike.inputs import describe
from microgradlike.training import History
from viz import style
from viz.network import (
    MOST_ROWS,
    Look,
    Network,
    about_arrow,
    arrows,
    bias_title,
    biased,
    carried,
    carried_by_biases,
    circles,
    face,
    legend,
    legend_in_short,
    network_picture,
    read_network,
    recorded,
    rooms,
)
from viz.notebook import Shown
from viz.page import SUFFIXES, drop, embedded, legend_list, page
from viz.parts import outline
from viz.picture import Picture
from viz.render import SVG, text
from viz.video import gif, mp4
from viz.view import Rendering, RenderingOptions, takes

if TYPE_CHECKING:
    from typing_extensions import Unpack  # type checkers have it; no program needs it

#: What the names of files end in that hold no page, and how long each record is shown there.
VIDEOS, SECONDS = (".gif", ".mp4"), 0.25

# Of the loss curve, in pixels.
WIDTH, HEIGHT, LEFT, BOTTOM = 380, 200, 68, 24


@takes(Rendering)
def save_movie(
    history: History,
    path: str | os.PathLike[str],
    *,
    x: Any = None,
    y: Any = None,
    loss: Callable[[Any, Any], Any] = losses.mse,
    names: Sequence[Sequence[str] | None] | None = None,
    layers: Sequence[str] | None = None,
    most_neurons: int = MOST_ROWS,
    **options: Unpack[RenderingOptions],
) -> Path:
    """Write one file that plays a training: the weights of each record, and the loss.

    A page can be stopped and stepped through; a GIF (needs Pillow) or an MP4 (needs the program
    ffmpeg) goes where no page can.

    Args:
        history: what ``fit(..., record=1)`` returned.
        path: where to write it; the name ends in ``.html``, ``.gif`` or ``.mp4``.
        x, y: an example and its target; every neuron then shows its output and its delta for it.
        loss: a function of the output and the target of the example.
        names, layers, most_neurons: as for ``draw_network``.
        options: ``engine``, ``theme`` and ``colours``, as for ``draw``.

    Returns:
        The path. Of more than 200 records, 200 are shown, evenly spread.

    Raises:
        TypeError: ``history`` is not what ``fit`` returned, or ``path`` no path.
        ValueError: the history holds no records, the name ends otherwise, or ``x``,
            ``y`` ``names`` or ``layers`` do not fit the model.
        OSError: the file cannot be written.

    >>> from microgradlike import fit
    >>> from microgradlike.nn import MLP
    >>> history = fit(MLP(1, [1], seed=0), [[0.0], [1.0]], [1.0, 3.0], loss=losses.mse, epochs=3,
    ...               progress=False, record=1)
    >>> save_movie(history, getfixture("tmp_path") / "training.html").name
    'training.html'
    """
    Rendering.of(save_movie, options)
    ending_in(path, "a movie", *SUFFIXES, *VIDEOS)
    made = Movie(
        history,
        x=x,
        y=y,
        loss=loss,
        names=names,
        layers=layers,
        most_neurons=most_neurons,
        **options,
    )
    return made.save(path)


class Movie(Shown):
    """The movie of ``save_movie``, which a notebook shows as a page.

    Args:
        history, x, y, loss, names, layers, most_neurons, options: as for ``save_movie``.

    >>> from microgradlike import fit
    >>> from microgradlike.nn import MLP
    >>> history = fit(MLP(1, [1], seed=0), [[0.0], [1.0]], [1.0, 3.0], loss=losses.mse, epochs=3,
    ...               progress=False, record=1)
    >>> Movie(history).html()[:15]
    '<!doctype html>'
    """

    title = "a training, step by step"

    @takes(Rendering)
    def __init__(
        self,
        history: History,
        *,
        x: Any = None,
        y: Any = None,
        loss: Callable[[Any, Any], Any] = losses.mse,
        names: Sequence[Sequence[str] | None] | None = None,
        layers: Sequence[str] | None = None,
        most_neurons: int = MOST_ROWS,
        **options: Unpack[RenderingOptions],
    ) -> None:
        self._rendering = Rendering.of(Movie, options)
        if not isinstance(history, History):
            raise TypeError(
                f"a movie is made of the history that fit returned, not {describe(history)}"
            )
        self._losses = list(history.loss)
        self._epochs: list[int] = []
        self._networks: list[Network] = []
        for epoch, model in recorded(history):
            self._epochs.append(epoch)
            self._networks.append(
                read_network(model, x, y, loss=loss, names=names, most=most_neurons, layers=layers)
            )
        self._look = Look.of(self._networks)

    def html(self) -> str:
        """The page as text."""
        networks, curve, look = self._networks, self._losses, self._look
        last = networks[-1]
        frames = [_frame(networks, k, self._epochs, curve, look) for k in range(len(networks))]
        return page(
            "movie",
            self._rendering,
            headline="A training, step by step",
            heading=f"{self._epochs[-1]} epochs, the loss ends at {style.number(curve[-1])}",
            last=len(networks) - 1,
            data={"frames": frames},
            slots={
                "network": moving_picture(last, look, self._rendering, rooms(networks, "weights")),
                "legend": legend_list(legend(last, "weights", look)),
                "curve": drawn_curve(curve, "loss", "epoch 1", f"epoch {len(curve)}"),
            },
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the movie to a file, whole or not at all.

        Raises:
            TypeError, ValueError: the name does not end in ``.html``, ``.gif`` or ``.mp4``.
            ImportError: a GIF needs Pillow, an MP4 the program ffmpeg.
            OSError: the file cannot be written.
        """
        named = ending_in(path, "a movie", *SUFFIXES, *VIDEOS)
        if (suffix := named.suffix.lower()) not in VIDEOS:
            return super().save(named)
        frames = [
            _titled(self._networks, k, self._epochs, self._losses, self._look, self._rendering)
            for k in range(len(self._networks))
        ]
        play = gif if suffix == ".gif" else mp4
        return write(named, play([frame.pipe("png") for frame in frames], SECONDS))


# ---- What each record shows --------------------------------------------------------------------


def _count(epoch: int, last: int, curve: Sequence[float]) -> str:
    loss = f", loss {style.number(curve[epoch - 1])}" if epoch else ", before the training"
    return f"Epoch {epoch} of {last}{loss}"


def _titled(
    networks: Sequence[Network],
    k: int,
    epochs: Sequence[int],
    curve: Sequence[float],
    look: Look,
    rendering: Rendering,
) -> Picture:
    """A record as a picture that says by itself which it is; all have the places of the last."""
    title = _count(epochs[k], epochs[-1], curve)
    about = legend_in_short(networks[-1], "weights", look)
    room = rooms(networks, "weights")
    return network_picture(networks[k], "weights", look, rendering, about, room, title)


def _frame(
    networks: Sequence[Network], k: int, epochs: Sequence[int], curve: Sequence[float], look: Look
) -> dict[str, Any]:
    network, epoch = networks[k], epochs[k]
    at = point(curve, epoch - 1) if epoch else None
    return {
        "count": _count(epoch, epochs[-1], curve),
        "sentence": _most_moved(networks, k),
        "point": at,
        "weights": [
            [words, repr(weight), look.width(weight), style.hue(weight)]
            for words, weight in _weights(network)
        ],
        "neurons": [face(network, *place, look) for place in circles(network)],
        "outcome": [words.split("\n") for words in network.outcome],
    }


def _weights(network: Network) -> list[tuple[str, float]]:
    """What is written beside each arrow, and its weight: first the weights, then the biases."""
    return carried(network, "weights") + carried_by_biases(network, "weights")


def _most_moved(networks: Sequence[Network], k: int) -> str:
    """Which neuron changed most how much it listens to whom, since the record before."""
    if not k:
        return "The weights are still those that were drawn at random."
    before, after = networks[k - 1], networks[k]
    moves = [
        (abs(new - old), place, old, new)
        for place, ((_, old), (_, new)) in enumerate(
            zip(_weights(before), _weights(after), strict=True)
        )
    ]
    size, place, old, new = max(moves, key=lambda move: (move[0], -move[1]))
    if size == 0:
        return "No weight moved."
    became = f"{style.short_signed(old)} became {style.short_signed(new)}"
    if place >= len(arrows(after)):
        layer, to = biased(after)[place - len(arrows(after))]
        return (
            f"The largest change: the own opinion (bias) of {after.title(layer + 1, to)}; {became}."
        )
    layer, to, source = arrows(after)[place]
    listener, speaker = after.title(layer + 1, to), after.title(layer, source)
    how = f"listens {'more' if abs(new) > abs(old) else 'less'} to {speaker}"
    if old * new < 0:
        how = f"listens to {speaker} the other way round"
    return f"The largest change: {listener} now {how}; the weight {became}."


# ---- The two pictures --------------------------------------------------------------------------


def moving_picture(
    network: Network, look: Look, rendering: Rendering, room: Mapping[str, int]
) -> str:
    """A network as a picture, with everything marked that ``network.js`` changes."""
    arrow_count = len(arrows(network))
    shown = network_picture(network, "weights", look, rendering.within_page(), "", room)
    svg, groups = embedded(shown)
    for place, (column, row) in enumerate(circles(network)):
        neuron = groups[f"n{column}_{row}"]
        neuron.set("data-neuron", str(place))
        circle = outline(neuron)
        circle.set("class", "outline")
        shown_face = face(network, column, row, look)
        kinds = [
            "name",
            *(kind for kind in ("total", "value", "delta") if getattr(shown_face, kind)),
        ]
        for kind, letters in zip(kinds, neuron.iter(f"{SVG}text"), strict=True):
            letters.attrib |= {"class": kind, "text-anchor": "middle", "x": circle.attrib["cx"]}
        if (mark := groups.get(f"p{column}_{row}")) is not None:
            curve = groups[f"k{column}_{row}"]
            mark.set("data-mark", str(place))
            curve.set("data-curve", str(place))
            for group in (mark, curve):
                drop(group, "title")  # the circle's says more
    for row in range(len(network.outcome)):
        if (outcome := groups.get(f"o{row}")) is not None:
            outcome.set("data-outcome", str(row))
            for line in outcome.iter(f"{SVG}text"):
                line.set("class", "line")
    begins = [about_arrow(network, *arrow) for arrow in arrows(network)]
    begins += [bias_title(network, *bias) for bias in biased(network)]
    names = [(f"e{k}", f"w{k}") for k in range(arrow_count)]
    names += [(f"b{k}", f"c{k}") for k in range(len(biased(network)))]
    for place, ((arrow, number), begin) in enumerate(zip(names, begins, strict=True)):
        groups[arrow].attrib |= {"data-weight": str(place), "data-words": begin}
        if (beside := groups.get(number)) is not None:
            beside.set("data-number", str(place))
    return text(svg)


def point(curve: Sequence[float], place: int) -> list[float]:
    """Where a number of a curve stands, in pixels."""
    low, high = min(curve), max(curve)
    scale = math.log if _is_wide(curve) else float
    share = (scale(curve[place]) - scale(low)) / (scale(high) - scale(low) or 1)
    across = place / (len(curve) - 1) if len(curve) > 1 else 0.5
    room = WIDTH - LEFT - 10, HEIGHT - BOTTOM - 10
    return [round(LEFT + across * room[0], 1), round(10 + (1 - share) * room[1], 1)]


def _is_wide(curve: Sequence[float]) -> bool:
    """Whether the losses differ so much that only their logarithms show the small ones."""
    return 0 < 100 * min(curve) < max(curve)


def drawn_curve(curve: Sequence[float], what: str, begin: str, end: str) -> str:
    """Some numbers as a curve, and a point for the one that is shown.

    Args:
        curve: the numbers.
        what: what they are.
        begin, end: where the curve begins and ends, in words.
    """
    points = " ".join(f"{x},{y}" for x, y in (point(curve, place) for place in range(len(curve))))
    low, high = min(curve), max(curve)
    axis = HEIGHT - BOTTOM
    words = (
        (LEFT - 6, 18, "end", style.short(high)),
        (LEFT - 6, axis, "end", style.short(low)),
        (LEFT, HEIGHT - 6, "start", begin),
        (WIDTH - 10, HEIGHT - 6, "end", end),
        (WIDTH - 10, 18, "end", f"{what}, logarithmic scale" if _is_wide(curve) else what),
    )
    texts = "".join(
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="11">{html.escape(label)}</text>'
        for x, y, anchor, label in words
    )
    described = f"{what}, from {style.number(curve[0])} to {style.number(curve[-1])}"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="microgradlike" role="img" '
        f'aria-label="{html.escape(described)}">'
        f'<path class="axis" d="M{LEFT},6V{axis}H{WIDTH - 6}"/>'
        f'<polyline class="loss" points="{points}"/><circle class="now" r="5"/>{texts}</svg>'
    )
