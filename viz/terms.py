"""What sentences call the numbers of a network: by their terms, or by the words of a story.

In the story of a company a weight is "Mia's trust in Ben", and its term stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from microgradlike import losses
from microgradlike.words import counted
from viz.learner import Learner, Measured, State, Weight, typical
from viz.style import short, short_signed

#: What a story may call by another word.
PLAIN = {name: name for name in ("example", "input", "output", "weight", "bias")}

#: A sentence names no more things of a kind than this.
MOST_NAMED = 6


class Terms:
    """The names of a learner's numbers.

    Args:
        learner: whose numbers they are.
        words: the words of the story, by their terms.
    """

    def __init__(self, learner: Learner, words: Mapping[str, str] | None) -> None:
        given = dict(words or {})
        for name in given.keys() - PLAIN.keys():
            raise ValueError(f"words has a word for {', '.join(PLAIN)}, but got one for {name!r}")
        self.learner = learner
        self._words = PLAIN | given
        self.network = learner.state(learner.after[0], 0).network

    # ---- Kinds of numbers ----------------------------------------------------------------------

    def word(self, name: str) -> str:
        """The word of the story."""
        return self._words[name]

    def term(self, name: str) -> str:
        """The word of the story, and the term beside it."""
        word = self._words[name]
        return word if word == name else f"{word} ({name})"

    def given(self, column: int) -> str:
        """The word for what a column gives to the next one."""
        return self.word("output" if column else "input")

    # ---- Neurons and weights -------------------------------------------------------------------

    def name(self, column: int, row: int) -> str:
        """What a neuron or an input is called."""
        return self.network.title(column, row)

    def own(self, column: int, row: int, thing: str) -> str:
        """Something of a neuron: Mia's word."""
        name = self.name(column, row)
        return f"the {thing} of {name}" if name.startswith("neuron ") else f"{name}'s {thing}"

    def weight(self, place: Weight) -> str:
        """What a weight or a bias is called: Mia's trust in Ben, Mia's own opinion."""
        layer, neuron, *source = place
        if not source:
            return self.own(layer + 1, neuron, self.word("bias"))
        whom = self.name(layer, source[0])
        if self.word("weight") == "weight":
            return f"the weight from {whom} to {self.name(layer + 1, neuron)}"
        return self.own(layer + 1, neuron, f"{self.word('weight')} in {whom}")

    def in_equation(self, place: Weight) -> str:
        """A weight in an equation, whose lines are short: a story's words, or x1 → 0."""
        layer, neuron, source = place
        if self.word("weight") != "weight":
            return self.weight(place)
        return f"{self.network.names[layer][source]} → {self.network.names[layer + 1][neuron]}"

    def group(self, column: int) -> str:
        """What the neurons of a column are called: managers."""
        return self.network.headings[column]

    def curve(self, column: int) -> str:
        """The name of the activation of a column."""
        return self.network.activation(column)

    def everybody(self, column: int, most: int = 4) -> str:
        """The neurons of a column."""
        count = len(self.network.names[column])
        if count > most:
            return f"all {count} neurons of {self.group(column)}"
        return listed([self.name(column, row) for row in range(count)])

    # ---- Examples ------------------------------------------------------------------------------

    def example(self, place: int) -> str:
        """What an example is called: sale 1."""
        return f"{self.word('example')} {place + 1}"

    def examples(self, count: int) -> str:
        """A number of examples."""
        return counted(count, self.word("example"))

    def inputs(self, place: int) -> str:
        """The inputs of an example: Ada 0.1, Ben 1.08."""
        named = zip(self.network.names[0], self.learner.X[place], strict=True)
        shown = [f"{name} {short(value)}" for name, value in named]
        return ", ".join(shown[:MOST_NAMED] + ["…"] * (len(shown) > MOST_NAMED))

    def target(self, place: int) -> str:
        """The target of an example."""
        target = self.learner.y[place]
        if losses.is_list(target):
            return listed([short(float(number)) for number in target])
        kind = "class " if len(self.network.names[-1]) > 1 else ""
        return f"{kind}{short(float(target))}"

    def answer(self, state: State) -> str:
        """The answer to an example."""
        return listed([short(float(number)) for number in state.network.values[-1]])

    def measure(self, old: Measured, new: Measured) -> tuple[str, str, str, str]:
        """Error or cost, its two numbers, and how the new answer compares with the old one."""
        became = "better" if new.size < old.size else "worse" if new.size > old.size else "the same"
        if old.error is None or new.error is None:
            return "cost", short(old.cost), short(new.cost), became
        return "error", short_signed(old.error), short_signed(new.error), became

    def off(self, measured: Sequence[Measured], was: bool = False) -> str:
        """How wrong the answers to all the examples typically are, or were."""
        off = short(off_by(measured))
        if measured[0].error is None:
            return f"the mean cost {'was' if was else 'is'} {off}"
        return f"the answers {'were' if was else 'are'} typically off by {off}"


def off_by(measured: Sequence[Measured]) -> float:
    """The typical error of the answers to all the examples, or else their mean cost."""
    errors = [m.error for m in measured if m.error is not None]
    return typical(errors) if errors else float(numpy.mean([m.cost for m in measured]))


# ---- Numbers and lists in sentences ------------------------------------------------------------


def rounded(value: Any) -> float:
    """The number with three digits: as many as a sentence needs."""
    return float(f"{float(value):.3g}")


def changed(old: float, new: float) -> str:
    """How a number has moved.

    >>> changed(0.7546, 0.756)
    'by +0.0014 to +0.756'
    """
    return f"by {short_signed(new - old)} to {short_signed(new)}"


def capital(text: str) -> str:
    """The text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def listed(things: Sequence[str], most: int = MOST_NAMED) -> str:
    """Things in a sentence; of many the first ones.

    >>> listed(["Ada"]), listed(["Ada", "Ben", "Cy"]), listed(list("abcd"), 2)
    ('Ada', 'Ada, Ben and Cy', 'a, b and 2 more')
    """
    if len(things) > most:
        return f"{', '.join(things[:most])} and {len(things) - most} more"
    return " and ".join(filter(None, (", ".join(things[:-1]), things[-1])))


def enumerated(noun: str, places: Sequence[int]) -> str:
    """Some examples by their numbers.

    >>> enumerated("sale", [0, 2]), enumerated("sale", [4])
    ('2 sales (1 and 3)', '1 sale (5)')
    """
    numbers = listed([str(place + 1) for place in places], 12)
    return f"{counted(len(places), noun)} ({numbers})"
