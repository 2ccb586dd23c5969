"""The verdict on an engine: its mistakes, each in a sentence, and the picture of the first one."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from microgradlike.engine import Value, recording
from microgradlike.grading.probes import OURS, TOPICS, Observation, Probe, run


@dataclass(frozen=True)
class Mistake:
    """One mistake of an engine."""

    kind: str
    """What kind it is, in a word for programs: "overwritten", "upstream", "sign", "early" ..."""
    operators: tuple[str, ...]
    """The operations that have it, by their names in the table; () if it is of the pass."""
    sentence: str
    """What it is, and the smallest program that shows it."""
    probe: Probe | None
    """That program; None where no program could be tried."""
    seen: Observation
    """What came out of it."""
    is_known: bool = True
    """Whether a mistake is known that gives just these numbers."""


@dataclass(frozen=True)
class Verdict:
    """What is right and wrong with an engine; it counts as true if nothing is wrong."""

    name: str
    """What the engine is called."""
    mistakes: tuple[Mistake, ...]
    """The mistakes; the first one is to be mended before all others."""
    notes: tuple[str, ...]
    """Limits, and habits that not everybody expects: they are no mistakes."""
    topics: Mapping[str, bool]
    """For each topic whether all of its probes came out right."""

    def __bool__(self) -> bool:
        return not self.mistakes

    @property
    def sentence(self) -> str:
        """The first mistake, or that there is none."""
        if self.mistakes:
            return self.mistakes[0].sentence
        return f"{self.name} is right in all {len(self.topics)} topics."

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.sentence}" if self.mistakes else self.sentence]
        lines += [f"Also: {other.sentence}" for other in self.mistakes[1:]]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    __repr__ = __str__

    def about(self, topic: str) -> str:
        """Why a topic is not right: its own mistake, or else the first one; "" if it is right."""
        if self.topics[topic]:
            return ""
        own = (m.sentence for m in self.mistakes if m.probe and m.probe.topic == topic)
        return next(own, self.sentence)

    def as_json(self) -> dict[str, object]:
        """The verdict as Gradescope reads it: a test for each topic, with one point for each."""
        return {
            "output": str(self),
            "tests": [
                {
                    "name": TOPICS[topic],
                    "score": int(is_right),
                    "max_score": 1,
                    "status": "passed" if is_right else "failed",
                    "output": self.about(topic),
                }
                for topic, is_right in self.topics.items()
            ],
        }

    def save_picture(self, path: str | os.PathLike[str]) -> Path:
        """Draw the smallest graph that shows the first mistake: right, and as it came out.

        Args:
            path: where to; its suffix tells the format, such as .svg or .png.

        Returns:
            The path.

        Raises:
            ValueError: there is no mistake that a graph shows, or no such format.
            OSError: the file cannot be written there.
        """
        first = self.mistakes[0] if self.mistakes else None
        if first is None or first.probe is None:
            raise ValueError(f"there is no graph of a mistake to draw: {self.sentence}")
        # This package needs no pictures: they are loaded when one is asked for.
        draw = importlib.import_module("viz.mistake").draw_mistake
        root, names = graph_of(first.probe)
        numbers = [seen.by_name for seen in (run(first.probe, OURS), first.seen)]
        picture = draw(root, names, *numbers, first.sentence)
        return Path(picture.save(path))


def graph_of(probe: Probe) -> tuple[Value, dict[str, Value]]:
    """The graph of a probe in this package's engine: the result of its last pass, and all names."""
    values = {name: Value(number) for name, number in probe.numbers.items()}
    with recording():
        for line in probe.lines:
            if not re.fullmatch(r"\w+\.backward\(\)|\w+\.zero_grad\(\)|\w+\.grad = 0", line):
                exec(line, {}, values)
    return values[probe.root or list(values)[-1]], values
