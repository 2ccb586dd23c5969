"""An exercise: a question, its answer, and wrong answers that each name a misconception."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from microgradlike.engine import Value
from microgradlike.exercises import answers
from microgradlike.exercises.numbers import shown, tolerance
from microgradlike.inputs import describe

#: A number, several numbers in any order, or the words of a choice or a formula.
Answer = float | tuple[float, ...] | str


class Wrong(NamedTuple):
    """A wrong answer, and the misconception that leads to it, in a sentence."""

    answer: Answer
    sentence: str


@dataclass(frozen=True)
class Mark:
    """What is said of an answer; true if it is right."""

    right: bool
    sentence: str
    understood: bool = True
    """Whether it was an answer at all."""

    def __bool__(self) -> bool:
        return self.right


@dataclass(frozen=True, eq=False)
class Sketch:
    """The graph that is drawn beside a question on paper, with boxes to fill in."""

    root: Value
    blank_values: tuple[Value, ...] = ()
    gradients: tuple[Value, ...] = ()
    """Whose gradient is printed."""
    blank_gradients: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Exercise:
    """A question with its answer, wrong answers that name a misconception, and three hints.

    >>> from microgradlike import exercises
    >>> one = exercises.generate(kind="two_paths", level=4, count=1, seed=7)[0]
    >>> bool(one.check(str(one.answer)))
    True
    """

    kind: str
    level: int
    seed: int
    question: str
    """Lines of text; the last one asks."""
    asked: str
    """What stands before the empty box: ``de/db``."""
    given: tuple[tuple[str, float], ...]
    """The names and numbers that the question gives."""
    form: str
    """How it is answered: "number", "numbers", "choice" or "formula"."""
    answer: Answer
    key: str
    """The answer with its calculation, in a line."""
    distractors: tuple[Wrong, ...]
    hints: tuple[str, str, str]
    """The rule in words; in symbols; with the numbers and one blank."""
    choices: tuple[str, ...]
    """The answer among the wrong ones: for a multiple choice."""
    leeway: float = 0.0
    """How far a number may be from the answer, where that is more than rounding."""
    names: tuple[str, ...] = ()
    """The names that a formula may have."""
    sketch: Sketch | None = field(default=None, compare=False, repr=False)

    @property
    def tolerance(self) -> float:
        """How far a number may be from the answer."""
        return max(self.leeway, self.tolerance_of(self.answer))

    @staticmethod
    def tolerance_of(answer: Answer) -> float:
        """How far a number may be from an answer, because of rounding; 0 if it is words.

        >>> Exercise.tolerance_of(1 / 3), Exercise.tolerance_of("rises")
        (0.002, 0.0)
        """
        if isinstance(answer, str):
            return 0.0
        return max(map(tolerance, answer)) if isinstance(answer, tuple) else tolerance(answer)

    def check(self, text: str) -> Mark:
        """What is to be said of an answer that was typed.

        Args:
            text: the answer: a number may be written 0.5, "0,5" or 1/2.

        Returns:
            A Mark, which is true if the answer is right. Its sentence names the misconception of a
            wrong answer where it is a known one.

        Raises:
            TypeError: the answer is no text.
        """
        if not isinstance(text, str):
            raise TypeError(f"check takes the text that was typed, but got {describe(text)}")
        try:
            given = self._read(text)
        except ValueError as error:
            return Mark(False, f"{error}.", understood=False)
        if self._same(given, self.answer, self.tolerance):
            return Mark(True, f"Right: {self.key}.")
        for wrong in self.distractors:
            if self._same(given, wrong.answer, self.tolerance_of(wrong.answer)):
                return Mark(False, f"{written(wrong.answer)}: {wrong.sentence}")
        said = shown(given) if isinstance(given, float) else text.strip()
        return Mark(False, f"{said} is wrong. Here is a hint. {self.hints[0]}")

    def _read(self, text: str) -> Answer:
        if self.form == "number":
            return answers.number(text)
        if self.form == "numbers":
            return tuple(answers.numbers(text))
        if self.form == "choice":
            return answers.choice(text, self.choices)
        answers.formula(text, self.names)  # complain now
        return text

    def _same(self, given: Answer, answer: Answer, most: float) -> bool:
        if isinstance(given, float) and isinstance(answer, float):
            return abs(given - answer) <= most
        if isinstance(given, tuple) and isinstance(answer, tuple):
            pairs = zip(sorted(given), sorted(answer), strict=False)
            return len(given) == len(answer) and all(abs(x - y) <= tolerance(y) for x, y in pairs)
        if self.form == "formula":
            one, other = (answers.formula(str(text), self.names) for text in (given, answer))
            return all(abs(x - y) <= 1e-6 * max(1, abs(y)) for x, y in zip(one, other, strict=True))
        return given == answer


def written(answer: Answer) -> str:
    """An answer as it is printed.

    >>> written(-0.5), written((2.0, 3.0)), written("rises")
    ('−0.5', '2; 3', 'rises')
    """
    if isinstance(answer, float):
        return shown(answer)
    return answer if isinstance(answer, str) else "; ".join(map(shown, answer))
