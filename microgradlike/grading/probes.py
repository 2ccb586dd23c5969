"""The probes: small programs which any engine can run, and what came out of them.

A probe is text, such as ``c = a + a; c.backward()``, so that a student can run what the verdict
shows. The same text runs on this package's engine, which is where the right numbers come from.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from microgradlike import ops
from microgradlike.engine import Value
from microgradlike.inputs import describe
from microgradlike.ops import OPERATORS, Operator

#: What is judged, with one point each.
TOPICS = {
    "numbers": "operations compute the right numbers, and change none",
    "start": "the gradient of the result is 1",
    "sums": "gradients of sums",
    "products": "gradients of products",
    "twice": "a number that is used twice gets the sum of its shares",
    "order": "a number sends its gradient on when all of its shares have arrived",
    "differences": "gradients of differences",
    "quotients": "gradients of quotients",
    "powers": "gradients of powers",
    "functions": "gradients of the functions that the class has",
    "constants": "plain numbers on either side",
    "again": "another pass",
}

#: The topics of the operations that have signs.
HOMES = {
    **{"add": "sums", "mul": "products", "sub": "differences", "neg": "differences"},
    **{"truediv": "quotients", "pow": "powers"},
}

#: The operations that all others rest on, and the graphs of probes.
BASE = ("add", "mul")


# ---- An engine ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Engine:
    """A class to be judged, and what it calls the things that micrograd calls data and grad."""

    make: Callable[[float], object]
    data: str = "data"
    grad: str = "grad"
    backward: str = "backward"

    def read(self, value: object, name: str) -> float | None:
        """A number of a value, by the name of its attribute or method; None where it is None."""
        found = getattr(value, name)
        found = found() if callable(found) else found
        if found is None:
            return None
        return float(found.item() if hasattr(found, "item") else found)

    def run_backward(self, value: object) -> None:
        """The backward pass from a result."""
        getattr(value, self.backward)()

    def forget(self, value: object) -> None:
        """Set a gradient to zero, of the type that it has."""
        if (found := getattr(value, self.grad)) is not None:
            setattr(value, self.grad, found * 0)


OURS = Engine(Value)


# ---- A probe -----------------------------------------------------------------------------------


class Use(NamedTuple):
    """The one operation that a probe is about: ``result = left operator right``."""

    operator: Operator
    operands: tuple[str | float, ...]
    """Names of numbers, and plain numbers."""
    result: str = "c"
    shares: int = 0
    """How many shares of 1 its operands have got before, from other operations."""


@dataclass(frozen=True)
class Probe:
    """A small program."""

    topic: str
    numbers: Mapping[str, float]
    code: str
    use: Use | None = None
    method: str = ""
    """What the class must have for it; without that there is nothing to judge."""
    optional: bool = False
    """Whether an engine may refuse it."""

    @property
    def passes(self) -> int:
        """How many backward passes it has."""
        return self.code.count(".backward()")

    @property
    def lines(self) -> list[str]:
        """Its lines of code, without the numbers that it begins with."""
        return self.code.split("; ")

    @property
    def shown(self) -> str:
        """The code as a sentence shows it: one pass from the last result goes without saying."""
        end = f"; {self.root}.backward()"
        return self.code.removesuffix(end) if self.passes == 1 else self.code

    def number_of(self, operand: str | float) -> float:
        """The number of an operand: of a name, or of a plain number itself."""
        return self.numbers[operand] if isinstance(operand, str) else operand

    @property
    def root(self) -> str:
        """The name of the result from which the last pass begins."""
        return re.findall(r"(\w+)\.backward\(\)", self.code)[-1] if self.passes else ""


@dataclass
class Observation:
    """What came out of a probe."""

    data: dict[str, float | None] = field(default_factory=dict)
    grads: dict[str, float | None] = field(default_factory=dict)
    error: str = ""
    """What was raised, such as ``TypeError: ...``."""
    line: str = ""
    """The line that raised it."""
    calls: int = 0
    """How many functions the backward passes called, where that was counted."""
    stopped: str = ""
    """Why it went no further without raising, such as ``did not end within 10 seconds``."""
    missing: bool = False
    """Whether the class has no such method, so that nothing was tried."""

    @property
    def by_name(self) -> dict[str, tuple[float | None, float | None]]:
        """Each number with its gradient."""
        return {name: (number, self.grads.get(name)) for name, number in self.data.items()}


def run(probe: Probe, engine: Engine) -> Observation:
    """Run a probe; whatever the engine raises is a part of what came out."""
    seen = Observation()
    values: dict[str, object] = {}
    try:
        for name, number in probe.numbers.items():
            seen.line = f"{name} = Value({number!r})"
            values[name] = engine.make(number)
            if _is_plain(values[name], engine, seen):
                return seen
        if probe.method and not hasattr(next(iter(values.values())), probe.method):
            return Observation(missing=True)
        for line in probe.lines:
            seen.line = line
            _run_line(line, values, engine, seen, counted=probe in COUNTED)
            if seen.stopped:
                return seen
        seen.line = f"Reading .{engine.data} and .{engine.grad}"
        for name, value in values.items():
            seen.data[name] = engine.read(value, engine.data)
            if probe.passes:
                seen.grads[name] = _gradient(value, name in probe.numbers, engine)
        seen.line = ""
    except (Exception, SystemExit) as error:  # what it raises is what is asked
        seen.error = told(error)
    return seen


def told(error: BaseException) -> str:
    """An error in one line, with the line of the file in which it was raised."""
    words = " ".join(str(error).split())[:200].rstrip()
    text = f"{type(error).__name__}: {words}".removesuffix(": ").rstrip(".")
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        path = frame.f_code.co_filename
        ours = os.path.dirname(path) == os.path.dirname(__file__)
        if not ours and os.path.isfile(path):
            return f"{text} ({os.path.basename(path)}, line {line})"
    return text


def _run_line(
    line: str, values: dict[str, object], engine: Engine, seen: Observation, counted: bool
) -> None:
    if match := re.fullmatch(r"(\w+)\.backward\(\)", line):
        with _counting(seen) if counted else contextlib.nullcontext():
            engine.run_backward(values[match[1]])
    elif match := re.fullmatch(r"(\w+)\.grad = 0", line):
        engine.forget(values[match[1]])
    else:
        exec(_compiled(line), {}, values)
        values.pop("_", None)
        for value in values.values():
            if _is_plain(value, engine, seen):
                return


def _is_plain(value: object, engine: Engine, seen: Observation) -> bool:
    """Whether something is no number of the engine; then it is noted what it is."""
    if hasattr(value, engine.data):
        return False
    seen.stopped = f"gives {describe(value)}, which has no .{engine.data}"
    return True


@functools.cache
def _compiled(line: str) -> types.CodeType:
    """A line, compiled once: it is run on many engines."""
    return compile(line, "<string>", "exec")


@contextlib.contextmanager
def _counting(seen: Observation) -> Iterator[None]:
    """Count the calls of functions; where a profiler runs it misses them, and not longer."""

    def count(frame: object, event: str, what: object) -> None:
        seen.calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(before)


def _gradient(value: object, is_leaf: bool, engine: Engine) -> float | None:
    """The gradient; None where the engine keeps it for leaves alone."""
    if not is_leaf and not hasattr(value, engine.grad):
        return None
    found = engine.read(value, engine.grad)
    return 0.0 if found is None and is_leaf else found


# ---- All probes --------------------------------------------------------------------------------
# The numbers of one probe differ, those of its results too: nothing is right by accident, and no
# two numbers can be taken for one, unless that is what is asked.

_PAIRS = ((3.0, -2.0), (-0.5, 4.0), (1.5, 0.75))


def _of(operator: Operator, text: str, numbers: Mapping[str, float], topic: str) -> Iterator[Probe]:
    """An operation alone, followed by another, and with operands that are used before it too."""
    operands = tuple(numbers)
    method = text.split(".")[1].removesuffix("()") if "()" in text else ""
    optional = operator.name == "pow" and len(numbers) == 2
    met = "twice" if operator.name in BASE else topic
    uses = Use(operator, _operands(text))
    more = {**numbers, "k": 7.0}
    for code, given, kind, use in (
        (f"c = {text}; c.backward()", numbers, topic, uses),
        (f"c = {text}; d = c * k; d.backward()", more, topic, uses),
        (_used_before(text, operands), numbers, met, uses._replace(shares=1)),
    ):
        yield Probe(kind, given, code, use, method, optional)


def _used_before(text: str, operands: tuple[str, ...]) -> str:
    code, last = f"c = {text}", "c"
    for name, operand in zip("de", operands, strict=False):
        code += f"; {name} = {last} + {operand}"
        last = name
    return f"{code}; {last}.backward()"


def _operands(text: str) -> tuple[str | float, ...]:
    found = re.findall(r"\b[ab]\b|-?\b\d+(?:\.\d+)?\b", re.sub(r"(?<=[ab\d]) - ", " , ", text))
    return tuple(word if word in ("a", "b") else float(word) for word in found)


def _of_operators() -> Iterator[Probe]:
    for name in ("add", "mul", "neg", "sub", "truediv"):
        row, topic = OPERATORS[name], HOMES[name]
        for x, y in _PAIRS:
            if name == "neg":
                yield from _of(row, "-a", {"a": x}, topic)
            else:
                yield from _of(row, f"a {row.symbol} b", {"a": x, "b": y}, topic)
    for name in ("sub", "truediv"):
        row = OPERATORS[name]
        code = f"c = a {row.symbol} a; c.backward()"
        yield Probe(HOMES[name], {"a": 3.0}, code, Use(row, ("a", "a")))
    row = OPERATORS["pow"]
    for exponent in ("2", "3", "-1", "-2", "0.5"):
        for x in (2.5, 1.5) if exponent == "0.5" else (2.5, -1.5):
            yield from _of(row, f"a ** {exponent}", {"a": x}, "powers")
    for x, y in ((2.5, 3.0), (1.5, -2.0)):
        yield from _of(row, "a ** b", {"a": x, "b": y}, "powers")


def _of_functions() -> Iterator[Probe]:
    for row in OPERATORS.values():
        if len(row.slopes) > 1 or row.is_flat or not hasattr(Value, row.name):
            continue
        points = (0.6, 1.7, 2.6, -0.8, -2.3, *((20.0,) if row.saturates else ()))
        value = ops.on_floats(row.value)
        points = tuple(x for x in points if math.isfinite(value(x, None, None, 0)))
        for x in points:
            yield from _of(row, f"a.{row.name}()", {"a": x}, "functions")
        # Each use has numbers of its own: a class that keeps those of the last one is wrong.
        code = f"c = a.{row.name}(); d = b.{row.name}(); e = c + d; e.backward()"
        yield Probe("functions", {"a": points[0], "b": points[1]}, code, method=row.name)


def _of_constants() -> Iterator[Probe]:
    for name in ("add", "sub", "mul", "truediv"):
        row = OPERATORS[name]
        for text in (f"a {row.symbol} 2", f"2 {row.symbol} a", f"a {row.symbol} 0.5"):
            for x in (3.0, -0.8):
                use = Use(row, _operands(text))
                yield Probe("constants", {"a": x}, f"c = {text}; c.backward()", use)
                code = f"c = {text}; d = c * k; d.backward()"
                yield Probe("constants", {"a": x, "k": 7.0}, code, use)
    use = Use(OPERATORS["pow"], (2.0, "a"))
    yield Probe("constants", {"a": 3.0}, "c = 2 ** a; c.backward()", use, optional=True)
    use = Use(OPERATORS["add"], (0.0, "a"))
    yield Probe("constants", {"a": 3.0, "b": -2.0}, "c = sum([a, b]); c.backward()", use)


#: Graphs of sums and products alone, the smallest first: how gradients meet, and in which order.
_SHAPES = {
    "twice": """
        c = a + a
        c = a * a
        c = a * b; d = c + a
        c = a * b; d = a + c
        c = a * a; d = c * a
    """,
    "order": """
        c = a * b; d = c * k
        c = a * b; d = c + c
        c = a * b; d = c + k; e = d * b
        c = a * k; d = c * b; e = c + d
        c = a * k; d = c * b; e = d + c
        c = a * k; d = c + b; e = c * k; f = d * e
        c = a * a; d = c * c; e = d * d
        c = a + b; d = c * c; e = d * c; f = e + c
        c = a * k; d = b * k; e = c + d; f = e * c
    """,
}


def _of_shapes() -> Iterator[Probe]:
    numbers = {"a": 3.0, "b": -2.0, "k": 5.0}
    for topic, text in _SHAPES.items():
        for code in filter(None, map(str.strip, text.splitlines())):
            used = {name: x for name, x in numbers.items() if re.search(rf"\b{name}\b", code)}
            last = code.rpartition("; ")[2][0]
            yield Probe(topic, used, f"{code}; {last}.backward()")
    same = {"a": 3.0, "b": 3.0, "k": 5.0}
    yield Probe("order", same, "c = a * k; d = b * k; e = c + d; e.backward()")


ALONE = Probe("start", {"a": 3.0}, "a.backward()")
START = Probe("start", {"a": 3.0, "b": -5.0}, "c = a + b; c.backward()")
IN_PLACE = Probe("numbers", {"a": 3.0, "b": -2.0}, "c = a; c += b", optional=True)

#: What comes after a pass.
FRESH = Probe(
    "again",
    {"a": 3.0, "b": -2.0},
    "c = a * b; c.backward(); a.grad = 0; b.grad = 0; d = a + b; d.backward()",
)
APART = Probe("again", {"a": 3.0, "b": -2.0}, "c = a * 4; d = b * 5; d.backward()")
SUMMED = Probe("again", {"a": 3.0, "b": -2.0}, "c = a * b; c.backward(); d = a + b; d.backward()")
AGAIN = Probe("again", {"a": 3.0, "b": -2.0}, "c = a * b; d = c * c; d.backward(); d.backward()")
ZEROED = Probe(
    "again", {"a": 3.0, "b": -2.0}, "c = a * b; c.backward(); a.zero_grad()", method="zero_grad"
)

#: Where engines end. These are told, and cost nothing.
DEPTH = 1_200 if sys.platform == "emscripten" else 10_000  # freeing more ends a browser's Python
DEEP = Probe("limits", {"a": 3.0}, f"b = a\nfor _ in range({DEPTH:_}): b = b + a; b.backward()")
PATHS = Probe("limits", {"a": 3.0}, "b = a\nfor _ in range(12): b = b + b; b.backward()")
FEWER = Probe("limits", {"a": 3.0}, "b = a\nfor _ in range(6): b = b + b; b.backward()")
KINK = Probe("limits", {"a": 0.0}, "c = a.relu(); c.backward()", method="relu")
LARGE = tuple(
    Probe("limits", {"a": x}, f"c = a.{name}(); c.backward()", method=name)
    for name, x in (("exp", 1000.0), ("tanh", 1000.0), ("tanh", -1000.0), ("sigmoid", -1000.0))
)
COUNTED = (FEWER, PATHS)

PROBES: tuple[Probe, ...] = (
    *(IN_PLACE, START, ALONE),
    *_of_operators(),
    *_of_shapes(),
    *_of_functions(),
    *_of_constants(),
    *(FRESH, APART, SUMMED, AGAIN, ZEROED),
    *(KINK, *LARGE, FEWER, PATHS, DEEP),
)


def observe(engine: Engine) -> Iterator[Observation]:
    """What comes out of each probe, in their order."""
    for probe in PROBES:
        yield run(probe, engine)
