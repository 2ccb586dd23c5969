"""What came out of a probe, beside what is right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from microgradlike.grading.probes import Observation, Probe
from microgradlike.grading.suspects import Wrong
from microgradlike.grading.verdict import Mistake
from microgradlike.words import in_short


def near(one: float | None, other: float | None) -> bool:
    """Whether two numbers are the same, to the digits of an engine in single precision.

    >>> near(0.1, 0.1000001), near(1.0, 2.0), near(math.nan, math.nan)
    (True, False, True)
    """
    if one is None or other is None or math.isnan(one) or math.isnan(other):
        return one is other or (one != one and other != other)
    return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6)


class Case(NamedTuple):
    """A probe, what came out of it, and what is right."""

    probe: Probe
    seen: Observation
    expected: Observation

    @classmethod
    def of(cls, cases: Sequence[Case], probe: Probe) -> Case | None:
        """The case of a probe, if that was reached."""
        return next((case for case in cases if case.probe is probe), None)

    @property
    def was_tried(self) -> bool:
        """Whether the engine has what it takes; some operations are left to its author."""
        return not (self.seen.missing or (self.probe.optional and self.seen.error))

    @property
    def broke(self) -> bool:
        """Whether it raised, or went no further."""
        return self.was_tried and bool(self.seen.error or self.seen.stopped)

    @property
    def wrong_numbers(self) -> list[str]:
        """The names of the numbers that are wrong."""
        seen, expected = self.seen.data, self.expected.data
        return [name for name in seen if not near(seen[name], expected[name])]

    @property
    def wrong_gradients(self) -> list[str]:
        """The names of the leaves whose gradients are wrong: engines need not keep others."""
        seen, expected = self.seen.grads, self.expected.grads
        leaves = (name for name in self.probe.numbers if name in seen)
        return [name for name in leaves if not near(seen[name], expected[name])]

    @property
    def fails(self) -> bool:
        """Whether anything is wrong."""
        return self.broke or bool(self.was_tried and (self.wrong_numbers or self.wrong_gradients))

    @property
    def code(self) -> str:
        """The program, in one line."""
        return " ".join(self.probe.shown.split())

    @property
    def place(self) -> str:
        """The program and its numbers."""
        numbers = ", ".join(f"{name} = {in_short(x)}" for name, x in self.probe.numbers.items())
        return f"{self.code}, with {numbers}"

    @property
    def operators(self) -> tuple[str, ...]:
        """The name of the operator that it is about, if there is one."""
        return (self.probe.use.operator.name,) if self.probe.use else ()

    def mistake(
        self,
        kind: str,
        claim: str,
        advice: str = "",
        operators: tuple[str, ...] = (),
        is_known: bool = True,
    ) -> Mistake:
        """The mistake that it shows: the claim, where it shows, and what to do."""
        sentence = f"{claim}: in {self.place}, {self._shown()}. {advice}".strip()
        return Mistake(kind, operators, sentence, self.probe, self.seen, is_known)

    def _shown(self) -> str:
        if not self.wrong_numbers:
            return self.compared(self.wrong_gradients[0])
        name = self.wrong_numbers[0]
        came, is_ = _number(self.seen.data[name]), _number(self.expected.data[name])
        return f"{name} came out as {came} and is {is_}"

    def compared(self, name: str) -> str:
        """A gradient as it came out, and as it is."""
        root = self.probe.root
        once = self.probe.passes == 1 and root != name
        symbol = f"d{root}/d{name}" if once else f"{name}.grad"
        came, is_ = _number(self.seen.grads[name]), _number(self.expected.grads[name])
        return f"{symbol} came out as {came} and is {is_}"

    def failure(self) -> Mistake:
        """The mistake of a case that raised or did not end."""
        seen, code = self.seen, self.code
        if seen.stopped:
            sentence = f"The engine {seen.stopped}: in {self.place}."
            if seen.line:
                sentence = f"{seen.line} {seen.stopped}."
            return Mistake("stopped", self.operators, sentence, self.probe, seen)
        advice = ""
        if self.lacks_an_operation:
            advice = f"The class needs the method {self.method}." if self.is_of_use else ""
        elif "has no attribute" in seen.error and seen.line != self.probe.lines[0]:
            advice = "If the class has another name for it, say which."
        elif seen.line in self.probe.lines and seen.line != code:
            advice = f"It comes after {code}."
        sentence = f"{seen.line} raises {seen.error}. {advice}".strip()
        return Mistake("raises", self.operators, sentence, self.probe, seen)

    @property
    def lacks_an_operation(self) -> bool:
        """Whether Python found no method for a sign."""
        return "unsupported operand" in self.seen.error or "bad operand" in self.seen.error

    @property
    def is_of_use(self) -> bool:
        """Whether it raised in the operation that it is about, which is its first line."""
        return bool(self.probe.use) and self.seen.line == self.probe.lines[0]

    @property
    def number_first(self) -> bool:
        """Whether the operation that it is about has a plain number on its left side."""
        return self.probe.use is not None and not isinstance(self.probe.use.operands[0], str)

    @property
    def method(self) -> str:
        """The method with which Python does what it is about."""
        use = self.probe.use
        assert use is not None
        return use.operator.reflected_method if self.number_first else use.operator.method


def _number(value: float | None) -> str:
    return "None" if value is None else in_short(value, 6)


# ---- What an operand got -----------------------------------------------------------------------


class Share(NamedTuple):
    """What an operand of the operation that a case is about got, and all that it depends on."""

    x: float
    y: float
    out: float
    upstream: float
    before: float
    got: float | None

    @classmethod
    def of(cls, case: Case, place: int) -> Share:
        """The share of the operand at this place, 0 or 1.

        The upstream gradient is that of the engine itself, where it keeps one: then a mistake
        elsewhere is not taken for one of this operation.
        """
        use, seen, expected = case.probe.use, case.seen, case.expected
        assert use is not None
        x, y = (*(case.probe.number_of(operand) for operand in use.operands), 0.0)[:2]
        out = expected.data[use.result] or 0.0
        upstream = seen.grads.get(use.result) or expected.grads[use.result] or 0.0
        return cls(x, y, out, upstream, use.shares, seen.grads[str(use.operands[place])])

    def is_explained_by(self, wrong: Wrong) -> bool:
        """Whether it is what an operation with this mistake gives."""
        before = 0.0 if wrong.overwrites else self.before
        return near(self.got, before + wrong.share(self.x, self.y, self.out, self.upstream))
