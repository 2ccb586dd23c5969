"""A page in which a network is trained: the reader sets the learning rate, and any weight.

``practice`` records the network and its examples; here they become a page. The engine in it is the
operator table as JavaScript, so it computes the numbers that Python would.
"""

from __future__ import annotations

import argparse
import html
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microgradlike import javascript, losses
from microgradlike.files import ending_in
from microgradlike.inputs import within
from microgradlike.nn import MLP
from microgradlike.typed import numbers_of, typed
from microgradlike.words import counted
from viz import style
from viz.movie import moving_picture
from viz.network import (
    Look,
    Network,
    about_arrow,
    arrows,
    bias_title,
    biased,
    circles,
    legend,
    read_network,
)
from viz.notebook import Shown
from viz.page import SUFFIXES, legend_list, page, read
from viz.practice import Practice
from viz.stepper import Stepper
from viz.style import short
from viz.view import Rendering, RenderingOptions, takes

if TYPE_CHECKING:
    from typing_extensions import Unpack  # type checkers have it; no program needs it

#: How many rows of neurons a column has at most: more would be small in half a window.
MOST_ROWS = 8

#: With more arrows than this there are no numbers beside them: the picture shall fit as a whole.
MOST_NUMBERED_ARROWS = 16

#: The widest number that has room beside an arrow, and the widest words beside an output.
WIDEST, OUTCOME = "−0.00123", "error = target − answer = −0.00123"

#: Logits as far as this from 0 have the strongest colour.
SURE = 3.0

#: Of these losses the error is no difference between target and answer.
SCORES = (losses.hinge, losses.binary_cross_entropy)


@takes(Rendering)
def save_playground(
    model: Any,
    X: Any,
    y: Any,
    path: str | os.PathLike[str],
    *,
    loss: Callable[[Any, Any], Any] = losses.mse,
    lr: float = 0.1,
    names: Sequence[Sequence[str] | None] | None = None,
    layers: Sequence[str] | None = None,
    most_neurons: int = MOST_ROWS,
    back: str | None = None,
    **options: Unpack[RenderingOptions],
) -> Path:
    """Write one HTML page in which the network is trained, from its own examples.

    The reader plays or makes single steps; sets the learning rate, or any weight, by hand; freezes
    weights; begins anew, with other weights; and sees what flows forward and back for any example.
    It needs no network and no library. Training is plain gradient descent, ``w -= lr * gradient``,
    with the mean gradient of all examples, or one example after the other.

    Args:
        model: an ``MLP`` or another module with a list of ``layers``.
        X: the examples, shape (examples, inputs). With two inputs the page shows the answer at each
            point of a plane, with one a curve.
        y: a target or class label for each example, or a list of targets for each.
        path: where to write it; the name ends in ``.html``.
        loss: a function of one output and one target. It may not branch on the output.
        lr: the learning rate to begin with.
        names: the names of the inputs and of the neurons of each layer, as for ``draw_network``.
        layers: a name for each column, the inputs first.
        most_neurons: a column of more shows the first ones, the last ones, and how many are
            between; at least 3.
        back: the address of the page that leads here, for a link back.
        options: ``engine``, ``theme`` and ``colours``, as for ``draw``.

    Returns:
        The path. No number of the model changes.

    Raises:
        TypeError, ValueError: as ``fit`` raises for the examples and ``draw_network`` for the model
            and the names; the loss gives no Value, or branches on the output; there is too much to
            compute for a page.
        OSError: the file cannot be written.

    >>> from microgradlike.nn import MLP
    >>> path = getfixture("tmp_path") / "play.html"
    >>> model = MLP(2, [3, 1], activation="tanh", seed=0)
    >>> save_playground(model, [[0, 1], [1, 1]], [0.8, 0.2], path, lr=0.5).name
    'play.html'
    """
    ending_in(path, "a page", *SUFFIXES)
    Rendering.of(save_playground, options)
    made = Playground(
        model,
        X,
        y,
        loss=loss,
        lr=lr,
        names=names,
        layers=layers,
        most_neurons=most_neurons,
        back=back,
        **options,
    )
    return made.save(path)


class Playground(Shown):
    """The page of ``save_playground``, which a notebook shows as it is.

    Args:
        model, X, y, loss, lr, names, layers, most_neurons, back, options: as for
            ``save_playground``.

    >>> from microgradlike.nn import MLP
    >>> Playground(MLP(1, [1], seed=0), [[0.0], [1.0]], [1.0, 3.0]).html()[:15]
    '<!doctype html>'
    """

    title = "a network to train"

    @takes(Rendering)
    def __init__(
        self,
        model: Any,
        X: Any,
        y: Any,
        *,
        loss: Callable[[Any, Any], Any] = losses.mse,
        lr: float = 0.1,
        names: Sequence[Sequence[str] | None] | None = None,
        layers: Sequence[str] | None = None,
        most_neurons: int = MOST_ROWS,
        back: str | None = None,
        **options: Unpack[RenderingOptions],
    ) -> None:
        rendering = Rendering.of(Playground, options)
        rate = within("lr, the learning rate,", lr, 0, math.inf)
        practice = Practice(model, X, y, loss)
        network = read_network(
            model,
            practice.X[0],
            practice.y[0],
            loss=loss,
            names=names,
            most=most_neurons,
            layers=layers,
        )
        self._html = _Page(practice, network, rate).html(rendering, back)


class _Page:
    """What the script needs to know of a network and its examples."""

    def __init__(self, practice: Practice, network: Network, lr: float) -> None:
        self.practice, self.lr = practice, lr
        self.classes = practice.loss is losses.cross_entropy
        self.shows_error = not self.classes and practice.loss not in SCORES
        self.network = self._with_outcomes(network)
        # Circles have no curves: weighted sums leave any frame while weights are learned.
        self.look = replace(Look.of([self.network]), reach=0.0)
        self.inputs = len(practice.X[0])

    def _with_outcomes(self, network: Network) -> Network:
        """Every output has words beside it, which the script changes: its target, and its error."""
        words = network.outcome
        if self.classes:
            words = [f"target {int(bool(told))}" for told in words]
        elif not self.shows_error:
            words = [told.partition("\n")[0] for told in words]
        return replace(network, numbered=MOST_NUMBERED_ARROWS, outcome=words)

    def html(self, rendering: Rendering, back: str | None) -> str:
        """The page as text."""
        practice, network = self.practice, self.network
        count = counted(len(practice.examples), "example")
        shown = moving_picture(network, self.look, rendering, self._room())
        options = "".join(
            f'<option value="{place}">{html.escape(name)}</option>'
            for place, (name, _) in enumerate(practice.beginnings)
        )
        examples = "".join(
            f'<option value="{place}">{html.escape(self._example(place))}</option>'
            for place in range(len(practice.examples))
        )
        return page(
            "playground",
            rendering,
            headline="A network to train",
            heading=f"{count}, {counted(len(practice.parameters), 'weight')} and biases",
            last=None,
            data=self._data(),
            slots={
                "network": shown,
                "beginnings": options,
                "examples": examples,
                "count": count,
                "cost": short(practice.cost),
                "rate": repr(self.lr),
                "folded": self._folded(),
                "grammar": "Width: the size of the number beside the arrow. Orange and solid: "
                "positive. Blue and dashed: negative. Click one to change it.",
                "legend": legend_list(legend(network, "weights", self.look)),
                "answers": self._answers(),
            },
            sheet=read("playground.css") + read("network.css"),
            back=back,
        )

    def _example(self, place: int) -> str:
        """An example in a line."""
        example = self.practice.examples[place]
        x = [short(value) for value in example.x]
        given = ", ".join(x if len(x) < 5 else [*x[:3], "…"])
        targets = example.target if isinstance(example.target, list) else [example.target]
        return f"{place + 1}: {given} → {', '.join(map(short, map(float, targets)))}"

    def _folded(self) -> str:
        """What to say where the picture does not show all neurons."""
        hidden = sum(map(len, self.network.names)) - len(circles(self.network))
        if not hidden:
            return ""
        return f" The picture is folded: {counted(hidden, 'neuron')} learn unseen."

    def _answers(self) -> str:
        """What the picture of the answers is, or why there is none."""
        if self.inputs > 2:
            return (
                f"This network has {self.inputs} inputs, and a plane has room for two: so there "
                "is no picture of its answers. Choose an example to see what it answers."
            )
        *_, names = self.network.names
        several = f" ({names[0]})" if len(names) > 1 and not self.classes else ""
        if self.inputs == 1:
            return "Curve: the answer to any input. Points: the targets of the examples."
        if self.classes:
            return "Colour: the class that it answers. Points: the examples."
        return f"Colour: the answer{several}, from blue, low, to orange, high. Points: the targets."

    def _room(self) -> dict[str, int]:
        """The room for numbers that change."""
        beside = OUTCOME if self.shows_error else f"target {WIDEST}"
        return {
            "w": math.ceil(style.width(WIDEST, 9)),
            "c": math.ceil(style.width(f"dC/db {WIDEST}", 9)),
            "o": math.ceil(style.width(beside, 10)),
        }

    # ---- What the script reads -------------------------------------------------------------------

    def _data(self) -> dict[str, Any]:
        practice, network, neurons = self.practice, self.network, self.practice.neurons
        weights = [
            {
                "name": about_arrow(network, layer, neuron, source).rstrip(": "),
                "which": practice.place(neurons[layer][neuron].w[source]),
                "from": [layer, source],
                "to": [layer + 1, neuron],
            }
            for layer, neuron, source in arrows(network)
        ]
        biases = [
            {
                "name": bias_title(network, layer, neuron).rstrip(": "),
                "which": practice.place(neurons[layer][neuron].b),
                "from": None,
                "to": [layer + 1, neuron],
            }
            for layer, neuron in biased(network)
        ]
        return {
            "shapes": [shape._asdict() for shape in practice.shapes],
            "examples": [example._asdict() for example in practice.examples],
            "beginnings": [
                [name, [javascript.in_json(weight) for weight in weights]]
                for name, weights in practice.beginnings
            ],
            "parameters": practice.names,
            "lr": self.lr,
            "names": network.names,
            "headings": network.headings,
            "activations": network.activations,
            "neurons": [
                [
                    [[practice.place(w) for w in neuron.w], practice.place(neuron.b)]
                    for neuron in layer
                ]
                for layer in neurons
            ],
            "people": circles(network),
            "weights": [*weights, *biases],
            "thinner": self.look.thinner,
            "folded": self._folded(),
            "classes": self.classes,
            "error": self.shows_error,
            "answers": self._scale(),
        }

    def _scale(self) -> dict[str, Any]:
        """From where to where the inputs and the answers go, and how colours tell answers."""
        rows = list(zip(*self.practice.X, strict=True))
        across = [_with_margin(min(row), max(row)) for row in rows[:2]]
        targets = [target if isinstance(target, list) else [target] for target in self.practice.y]
        numbers = [float(number) for target in targets for number in target]
        low, high = min(numbers), max(numbers)
        wanted = [target[0] for target in targets]
        if self.practice.loss is losses.binary_cross_entropy:
            low, high = -SURE, SURE
            wanted = [SURE * (2 * target - 1) for target in wanted]
        return {
            "inputs": self.inputs,
            "across": across,
            "low": low,
            "high": high if high > low else low + 1,
            "wanted": wanted,
            "steps": [*style.STEPS[:4], *style.STEPS[5:]],
            "classes": style.CLASSES,
        }


def _with_margin(low: float, high: float) -> tuple[float, float]:
    """A range with some room around it."""
    room = 0.15 * (high - low) or 1.0
    return low - room, high + room


# ---- From a terminal ---------------------------------------------------------------------------

#: What can be asked for by a name: an expression, and the numbers of its names.
EXPRESSIONS = {
    "neuron": ("tanh(w1*x1 + w2*x2 + b)", ("w1=-3", "x1=2", "w2=1", "x2=0", "b=6.5")),
    "two-paths": ("(a + b) * (b + 1)", ("a=2", "b=1")),
    "square-error": ("(t - (w*x + b))**2", ("t=5", "w=2", "x=3", "b=1")),
}

#: Reports of two sales people, each about as keen as a customer was; of one customer comes most.
REPORTS = [[0.1, 1.1], [-0.1, 0.1], [0.9, 1.0], [1.1, -0.1], [0.0, 0.9], [0.1, 0.0], [1.0, 1.1]]


def company() -> Playground:
    """Two sales people, three managers and a CEO: a network to train, with names for everybody."""
    return Playground(
        MLP(2, [3, 1], activation=["tanh", "sigmoid"], seed=0),
        REPORTS,
        [0.8 if round(ada) != round(ben) else 0.2 for ada, ben in REPORTS],
        lr=1.0,
        names=[["Ada", "Ben"], ["Olga", "Noah", "Mia"], ["the CEO"]],
        layers=["sales people", "managers", "CEO"],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a page to play with: a network to train, or an expression, step by step."""
    parser = argparse.ArgumentParser(
        prog="python -m viz.playground",
        description="Write a page to play with: company is a network to train; neuron, two-paths, "
        "square-error, or an expression that you type, is a page to step through.",
        epilog='For example: python -m viz.playground "tanh(w*x + b)" w=0.5 x=2 b=-1',
    )
    known = ("company", *EXPRESSIONS)
    parser.add_argument("what", help=f'{", ".join(known)}, or an expression such as "tanh(w*x)"')
    parser.add_argument("numbers", nargs="*", help="the number of each name, such as w=0.5")
    parser.add_argument("--out", default="playground.html", help="the page to write")
    given = sys.argv[1:] if arguments is None else arguments
    # -w*x is an expression: to argparse it is none with a space before it.
    chosen = parser.parse_args([f" {a}" if re.match("-(?!-|h$)", a) else a for a in given])
    try:
        print("wrote", _asked_for(chosen.what, chosen.numbers).save(chosen.out))
    except (ValueError, OSError) as error:
        parser.error(str(error))


def _asked_for(what: str, given: Sequence[str]) -> Playground | Stepper:
    """The page that was asked for."""
    if what == "company":
        if given:
            raise ValueError(f"the company takes no numbers, but got {given[0]!r}")
        return company()
    text, numbers = EXPRESSIONS.get(what, (what, ()))
    made = typed(text, numbers_of(numbers) | numbers_of(given))
    return Stepper(made.result, decisions=made.decisions)


if __name__ == "__main__":
    main()
