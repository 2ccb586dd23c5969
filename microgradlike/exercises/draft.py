"""An exercise before it is proved: what each kind makes of a function at a point."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from microgradlike.exercises.exercise import Answer, Sketch, Wrong
from microgradlike.exercises.reading import Reading


class Draft(NamedTuple):
    """A question, its answer, and how to prove the answer without the chain rule."""

    question: str
    asked: str
    answer: Answer
    key: str
    wrong: list[Wrong]
    """The most telling ones first: the first one must differ from the answer."""
    hints: tuple[str, str, str]
    proof: Callable[[], bool]
    form: str = "number"
    sketch: Sketch | None = None
    leeway: float = 0.0


#: Makes a draft; None if the function has nothing of this kind.
Kind = Callable[[Reading, random.Random], Draft | None]
