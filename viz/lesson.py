"""One page on which a network learns, one example at a time, forward and back.

``chapters`` knows what happens and says it; here it becomes a page: one picture, and for each step
what its arrows and circles show. The script in ``pages/lesson.js`` only shows it.
"""

from __future__ import annotations

import html
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microgradlike import losses
from microgradlike.engine import Value, no_grad
from microgradlike.files import ending_in
from microgradlike.inputs import within
from microgradlike.words import counted
from viz import style
from viz.chapters import chapters
from viz.learner import Learner, Weight
from viz.movie import drawn_curve, moving_picture, point
from viz.network import Look, arrows, bias_words, biased, circles, face, legend
from viz.notebook import Shown
from viz.page import SUFFIXES, legend_list, page, read
from viz.style import Scale, short, short_signed
from viz.telling import Moment, Place
from viz.terms import Terms, off_by
from viz.view import Rendering, RenderingOptions, takes

if TYPE_CHECKING:
    from typing_extensions import Unpack  # type checkers have it; no program needs it

#: The first changes are drawn so large that the largest is up to so many times the largest weight.
VISIBLE = 4.5

#: Of an activation's curve: how many points it has, and how far it goes at least.
POINTS, REACH = 49, 2.5


@takes(Rendering)
def save_lesson(
    model: Any,
    path: str | os.PathLike[str],
    X: Any,
    y: Any,
    *,
    loss: Callable[[Any, Any], Any] = losses.mse,
    lr: float = 0.1,
    rounds: int = 100,
    names: Sequence[Sequence[str] | None] | None = None,
    layers: Sequence[str] | None = None,
    words: Mapping[str, str] | None = None,
    back: str | None = None,
    **options: Unpack[RenderingOptions],
) -> Path:
    """Write one HTML page on which a network learns, one example at a time.

    It has three chapters: the first example forward and back, number by number, until every weight
    has moved; one round over all examples; all rounds, of which up to 40 are shown. A copy of the
    model learns, by plain gradient descent, one example after the other in their order.

    Args:
        model: an ``MLP`` or another ``Module`` with a list of ``layers``, as it is before learning.
        path: where to write it; the name ends in ``.html``.
        X: the examples, shape (examples, inputs).
        y: a target or class label for each example, or a list of targets for each.
        loss: a function of one output and one target.
        lr: the learning rate.
        rounds: how often all examples are learned from.
        names: the names of the inputs and of the neurons of each layer, as for ``draw_network``.
        layers: a name for each column, the inputs first, such as "managers".
        words: what the network's story calls an "example", "input", "output", "weight" and "bias":
            with ``{"weight": "trust"}`` a weight is "Mia's trust in Ben".
        back: the address of the page that leads here, such as ``"index.html"``, for a link back.
        options: ``engine``, ``theme`` and ``colours``, as for ``draw``.

    Returns:
        The path. No number of the model changes.

    Raises:
        TypeError, ValueError: as ``fit`` raises for the examples, and ``draw_network`` for the
            model and the names; ``layers`` or ``words`` do not fit.
        FloatingPointError: the cost became NaN or infinite: the learning rate is too large.
        OSError: the file cannot be written.

    >>> from microgradlike.nn import MLP
    >>> model = MLP(1, [1], seed=0)
    >>> save_lesson(model, getfixture("tmp_path") / "lesson.html", [[0.0], [1.0]], [1.0, 3.0]).name
    'lesson.html'
    """
    Rendering.of(save_lesson, options)
    ending_in(path, "a page", *SUFFIXES)
    made = Lesson(
        model,
        X,
        y,
        loss=loss,
        lr=lr,
        rounds=rounds,
        names=names,
        layers=layers,
        words=words,
        back=back,
        **options,
    )
    return made.save(path)


class Lesson(Shown):
    """The page of ``save_lesson``, which a notebook shows as it is.

    Args:
        model, X, y, loss, lr, rounds, names, layers, words, back, options: as for ``save_lesson``.

    >>> from microgradlike.nn import MLP
    >>> Lesson(MLP(1, [1], seed=0), [[0.0], [1.0]], [1.0, 3.0], rounds=2).html()[:15]
    '<!doctype html>'
    """

    title = "a network that learns, one example at a time"

    @takes(Rendering)
    def __init__(
        self,
        model: Any,
        X: Any,
        y: Any,
        *,
        loss: Callable[[Any, Any], Any] = losses.mse,
        lr: float = 0.1,
        rounds: int = 100,
        names: Sequence[Sequence[str] | None] | None = None,
        layers: Sequence[str] | None = None,
        words: Mapping[str, str] | None = None,
        back: str | None = None,
        **options: Unpack[RenderingOptions],
    ) -> None:
        rendering = Rendering.of(Lesson, options)
        lr = within("lr, the learning rate,", lr, 0, math.inf)
        learner = Learner(model, X, y, loss=loss, lr=lr, rounds=rounds, names=names, layers=layers)
        self._html = _Page(learner, Terms(learner, words)).html(rendering, back)


class _Page:
    """The moments of a lesson as frames of one picture, with the scales that all of them share."""

    def __init__(self, learner: Learner, terms: Terms) -> None:
        self.learner, self.say = learner, terms
        self.moments = chapters(learner, terms)
        networks = [moment.state.network for moment in self.moments]
        self.network = networks[-1]
        self.look = Look.of(networks)
        self.people: list[Place] = circles(self.network)
        self.weights: list[Weight] = [*arrows(self.network), *biased(self.network)]
        first = self.moments[0].state
        layers = range(len(first.errors))
        self.sent = Scale.of(g for k in layers for g in first.network.carried(k, "gradients").flat)
        self.gradients = Scale.of(map(first.gradient, self.weights))
        self.off = "mean cost" if learner.measured[0][0].error is None else "typical error"
        self.curve = [*map(off_by, learner.measured)]

    def html(self, rendering: Rendering, back: str | None) -> str:
        """The page as text."""
        learner, say, word = self.learner, self.say, self.say.word("example")
        frames = [self._frame(moment) for moment in self.moments]
        rounds = counted(learner.rounds, "round")
        all_of_them = say.examples(len(learner.y))
        titles = (f"One {word}", f"One round of {all_of_them}", f"All {rounds}")
        starts = [[m.chapter for m in self.moments].index(chapter) for chapter in (1, 2, 3)]
        links = (
            f'<a href="#step={start}">{number}. {html.escape(title)}</a>'
            for number, (start, title) in enumerate(zip(starts, titles, strict=True), 1)
        )
        return page(
            "lesson",
            rendering,
            headline=f"Learning, one {word} at a time",
            heading=f"{all_of_them}, {rounds}, learning rate {short(learner.lr)}",
            last=len(frames) - 1,
            data={
                "frames": frames,
                "chapters": titles,
                "people": [self._person(place) for place in self.people],
                "weights": [self._weight(place) for place in self.weights],
                "curves": self._curves(),
            },
            slots={
                "chapters": "".join(links),
                "network": moving_picture(self.network, self.look, rendering, self._room(frames)),
                "shows": html.escape(frames[-1]["shows"]),
                "end": html.escape(self.moments[-1].sentence),
                "grammar": "Width: the size of the number beside the arrow. Orange and solid: "
                "positive. Blue and dashed: negative. Purple: active now.",
                "legend": legend_list(legend(self.network, "weights", self.look)),
                "curve": drawn_curve(self.curve, self.off, "round 0", f"round {learner.rounds}"),
                "people": self._rows("person", frames[-1]["numbers"][0]),
                "weights": self._rows("arrow", frames[-1]["numbers"][1]),
            },
            choices='<label><input type="checkbox" class="quiz"> Ask me first</label>\n',
            sheet=read("lesson.css") + read("network.css"),
            back=back,
        )

    # ---- What never changes --------------------------------------------------------------------

    def _person(self, place: Place) -> dict[str, Any]:
        """A neuron or an input: its name, its column, and what it does."""
        say, column = self.say, place[0]
        gives = f"The {say.term('output' if column else 'input')}"
        last = column == len(self.network.names) - 1
        role = (
            f"{gives} is the answer." if last else f"{gives} goes to {say.everybody(column + 1)}."
        )
        if column:
            curve = say.curve(column)
            bent = "" if curve == "linear" else f", and bends the sum with the curve {curve}"
            role = (
                f"Multiplies each {say.given(column - 1)} of {say.everybody(column - 1)} by the "
                f"{say.term('weight')} on its arrow, adds the {say.term('bias')}{bent}. {role}"
            )
        return {"name": say.name(*place), "group": say.group(column), "role": role, "at": place}

    def _weight(self, place: Weight) -> dict[str, Any]:
        """A weight or a bias: its name, and what it does."""
        say, (layer, neuron, *source) = self.say, place
        delta = say.own(layer + 1, neuron, "delta")
        about = {"name": say.weight(place), "from": None, "to": [layer + 1, neuron]}
        if not source:
            role = f"This {say.term('bias')} is added, whatever the inputs. "
            return about | {"role": f"{role}Its gradient is {delta}."}
        given = say.own(layer, source[0], say.given(layer))
        role = f"This {say.term('weight')} multiplies {given}. Its gradient is {given} × {delta}."
        return about | {"role": role, "from": [layer, source[0]]}

    def _curves(self) -> list[dict[str, Any]]:
        """The activation of each layer as points (z, a), as far as the weighted sums reach."""
        found = []
        for layer, neurons in enumerate(self.learner.neurons):
            sums = [abs(float(z)) for m in self.moments for z in m.state.network.sums[layer]]
            reach = max(REACH, 1.1 * max(sums))
            places = [reach * (2 * k / (POINTS - 1) - 1) for k in range(POINTS)]
            with no_grad():
                heights = [float(neurons[0].activated(Value(z))) for z in places]
            points = [[round(z, 4), round(a, 4)] for z, a in zip(places, heights, strict=True)]
            found.append({"name": self.say.curve(layer + 1), "points": points})
        return found

    def _rows(self, kind: str, numbers: Sequence[Sequence[float | None]]) -> str:
        """The rows of a table, as they are at the end."""
        rows = []
        for place, known in enumerate(numbers):
            cells = ["" if value is None else style.number(value) for value in known]
            if kind == "person":
                name = self.say.name(*self.people[place])
                cells.insert(0, self.say.group(self.people[place][0]))
            else:
                name = self.say.weight(self.weights[place])
            written = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
            head = f'<th scope="row">{html.escape(name)}</th>'
            rows.append(f'<tr data-{kind}="{place}">{head}{written}</tr>')
        return "\n".join(rows)

    # ---- What each moment shows ----------------------------------------------------------------

    def _frame(self, moment: Moment) -> dict[str, Any]:
        swell = self._swell(moment)
        outcome = moment.state.network.outcome
        return {
            "chapter": moment.chapter,
            "kind": moment.kind,
            "sentence": moment.sentence,
            "question": moment.question,
            "equations": "".join(moment.equations),
            "notes": moment.notes,
            "rows": moment.table,
            "shows": self._shows(moment, swell),
            "weights": [self._arrow(moment, place, swell) for place in self.weights],
            "ghost": self._ghost(moment),
            "back": moment.carried in ("gradients", "slopes"),
            "neurons": [self._face(moment, place) for place in self.people],
            "outcome": [words.split("\n") if moment.target else [""] for words in outcome],
            "active": [k for k, place in enumerate(self.people) if place in moment.active],
            "bent": [k for k, place in enumerate(self.people) if place in moment.bent],
            "flowing": [k for k, place in enumerate(self.weights) if place in moment.flowing],
            "numbers": [self._of_people(moment), self._of_weights(moment)],
            "since": moment.since,
            "point": None if moment.round is None else point(self.curve, moment.round),
        }

    def _arrow(self, moment: Moment, place: Weight, swell: int) -> list[Any]:
        """What an arrow carries: its words, the number, the width, and the colour."""
        network, (layer, neuron, *source) = moment.state.network, place
        shown = moment.state.weight(place)
        width, words = self.look.width(shown), short_signed(shown)
        if place in moment.flowing and moment.carried == "slopes":
            shown = moment.state.gradient(place)
            width, words = self._width(self.gradients, shown), short_signed(shown)
        elif place in moment.flowing and moment.carried == "gradients":
            shown = float(network.carried(layer, "gradients")[neuron, source[0]])
            width, words = self._width(self.sent, shown), short_signed(shown)
        elif place in moment.flowing and moment.carried == "products" and source:
            given = float(network.values[layer][source[0]])
            words = f"{short(given)} × {short(shown)}"
        if moment.before is not None and swell > 1:
            old = moment.before.weight(place)
            width = self.look.width(old + swell * (shown - old))
        if not source:
            slope = moment.carried == "slopes" and place in moment.flowing
            words = f"dC/db {words}" if slope else bias_words(shown)
        return [words, repr(shown), width, style.hue(shown)]

    def _width(self, scale: Scale, carried: float) -> float:
        """The width of an arrow that carries a gradient."""
        return round(scale.width(carried) * self.look.thinner, 2)

    def _swell(self, moment: Moment) -> int:
        """How many times as large the first changes of weights are drawn, so that they are seen."""
        if moment.before is None or moment.chapter != 1:
            return 1
        weights = [(moment.before.weight(p), moment.state.weight(p)) for p in self.weights]
        largest = max(abs(old) for old, _ in weights)
        change = max(abs(new - old) for old, new in weights)
        steps = (n * power for power in (1, 10, 100, 1000) for n in (1, 2, 5))
        return max((step for step in steps if step * change <= VISIBLE * largest), default=1)

    def _ghost(self, moment: Moment) -> list[float] | None:
        """How wide the arrows were: before the first step, and later on at the beginning."""
        if moment.chapter == 1 and moment.before is None:
            return None
        old = self.moments[0].state
        return [self.look.width(old.weight(place)) for place in self.weights]

    def _face(self, moment: Moment, place: Place) -> list[Any]:
        """What a circle shows, as far as it is known by now."""
        total, value, delta, ink, fill, mark = face(moment.state.network, *place, self.look)
        if place[0] and place not in moment.forward:
            total, value, mark = f"z {style.NOT_YET}" if total else "", style.NOT_YET, None
        if place[0] and place not in moment.back:
            delta, ink, fill = f"δ {style.NOT_YET}", style.INK, style.SURFACE
        return [total, value, delta, ink, fill, mark]

    def _of_people(self, moment: Moment) -> list[list[float | None]]:
        """For each circle: weighted sum, output, slope and delta, as far as they are known."""
        found: list[list[float | None]] = []
        network = moment.state.network
        for place in self.people:
            column, row = place
            if not column:
                found.append([None, float(network.values[0][row]), None, None])
                continue
            errors = moment.state.errors[column - 1]
            numbers = (network.sums[column - 1], network.values[column], errors.slope_part)
            known = [float(of[row]) if place in moment.forward else None for of in numbers]
            found.append([*known, float(errors.delta[row]) if place in moment.back else None])
        return found

    def _of_weights(self, moment: Moment) -> list[list[float | None]]:
        """For each arrow: the weight or bias, its gradient, and how it has changed."""
        found: list[list[float | None]] = []
        for place in self.weights:
            now = moment.state.weight(place)
            known = moment.gradients if place[0] >= moment.gradients_from else None
            gradient = None if known is None else known.gradient(place)
            change = None if moment.before is None else now - moment.before.weight(place)
            found.append([now, gradient, change])
        return found

    def _shows(self, moment: Moment, swell: int) -> str:
        """What the numbers beside the arrows are."""
        say, weight = self.say, self.say.term("weight")
        word = say.given(min((place[0] for place in moment.flowing), default=0))
        if moment.carried == "products":
            return f"Purple arrows: {word} × {say.word('weight')}. Width: the {weight}."
        if moment.carried == "gradients":
            return f"Purple arrows: the gradient that travels back, δ × {say.word('weight')}."
        if moment.carried == "slopes":
            return f"Purple arrows: the gradient of each {weight}, {word} × δ."
        if moment.chapter == 1 and moment.before is None:
            return f"Arrows: the {weight}."
        since = moment.since if moment.chapter == 1 else "since the beginning"
        larger = f" (drawn {swell} times as large)" if swell > 1 else ""
        return f"Arrows: the {weight}. Pale: what was gained or lost {since}{larger}."

    def _room(self, frames: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """The room for the widest numbers and words of all steps, so that nothing moves.

        A product is wider than that, and alone: what is beside the other arrows is pale then.
        """
        count = len(arrows(self.network))
        words = [[style.width(arrow[0], 9) for arrow in frame["weights"]] for frame in frames]
        single = [
            widths[:count]
            for moment, widths in zip(self.moments, words, strict=True)
            if moment.carried != "products"
        ]
        lines = [line for frame in frames for words in frame["outcome"] for line in words]
        return {
            "w": math.ceil(max(map(max, single))),
            "c": math.ceil(max(max(widths[count:]) for widths in words)),
            "o": math.ceil(max(style.width(line, 10) for line in lines)),
        }
