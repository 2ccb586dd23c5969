"""Random programs with plain branches, computed by the engine and compiled: how many agree.

    python -m tests.random_branches COUNT SEED

writes COUNT programs, from this seed on, as a person could: ``if`` within ``if``, loops with
``continue`` and ``break``, lists whose items change places, ``max``, ``min`` and ``sorted``,
returns in between, plain numbers that depend on decisions, roots of what is negative where they are
not used. Each is compiled on some rows and asked about others, whose decisions were not all met
together. The seed of each that differs is printed.
"""

from __future__ import annotations

import builtins
import math
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from microgradlike import TracingError, Value, compile, sin, sqrt

INPUTS = 4
ITEMS = [f"v[{k}]" for k in range(INPUTS)]


class Writer:
    """Writes one program.

    Args:
        seed: of the program.
    """

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.names = ["a", "b", "s"]
        self.counts = self.draw.random() < 0.25
        self.lines: list[str] = []

    def text(self) -> str:
        """The program, as the text of a function ``f``."""
        start = ["v = [x, y, z, t]", "a = x * y", "b = w * z - t"]
        start.append(self.draw.choice(["s = 0.0", "s = x + t", "s = 1.0"]))
        start += ["n = 0"] if self.counts else []
        self.block(1, self.draw.randint(3, 6), False)
        end = ["return s + a * b" + (" * n" if self.counts and self.draw.random() < 0.5 else "")]
        lines = [f"    {line}" for line in start] + self.lines + [f"    {line}" for line in end]
        return "def f(x, y, z, t):\n" + "\n".join(lines) + "\n"

    def add(self, depth: int, line: str) -> None:
        self.lines.append("    " * depth + line)

    def one(self) -> str:
        """Something that has a number."""
        return self.draw.choice(["x", "y", "z", "t", "a", "b", "s", "w", *ITEMS])

    def formula(self) -> str:
        kind = self.draw.randrange(9)
        p, q = self.one(), self.one()
        number = round(self.draw.uniform(-2, 2), 1)
        formulas = [
            f"{p} + {q}", f"{p} - {q} * {number}", f"{p} * {q}", f"{p} * {number} + 0.5",
            f"max({p}, {q})", f"min({p}, {number}, {q})", f"sin({p})",
            f"({p} if {q} > {number} else {self.one()})", f"sqrt({p} + {number})",
        ]  # fmt: skip
        return formulas[kind]

    def condition(self) -> str:
        number = round(self.draw.uniform(-1, 1), 1)
        return (
            f"{self.one()} {self.draw.choice('<>')} {self.draw.choice([self.one(), str(number)])}"
        )

    def block(self, depth: int, count: int, loop: bool) -> None:
        for _ in range(count):
            self.statement(depth, loop)

    def statement(self, depth: int, loop: bool) -> None:
        kind = self.draw.random()
        if kind < 0.3 or depth > 4:
            self.add(depth, f"{self.draw.choice(self.names)} = {self.formula()}")
        elif kind < 0.62:
            self.add(depth, f"if {self.condition()}:")
            self.block(depth + 1, self.draw.randint(1, 2), loop)
            if self.draw.random() < 0.3:
                self.add(depth, f"elif {self.condition()}:")
                self.block(depth + 1, 1, loop)
            if self.draw.random() < 0.5:
                self.add(depth, "else:")
                self.block(depth + 1, 1, loop)
        elif kind < 0.74 and not loop:
            self.add(depth, f"for k in range({self.draw.randint(2, 4)}):")
            self.block(depth + 1, self.draw.randint(1, 3), True)
            self.add(depth + 1, f"s = s + {self.one()} * 0.5")
        elif kind < 0.82:
            i, j = self.draw.sample(range(INPUTS), 2)
            self.add(depth, f"if v[{i}] < v[{j}]:")
            self.add(depth + 1, f"v[{i}], v[{j}] = v[{j}], v[{i}]")
        elif kind < 0.88:
            self.add(depth, f"if {self.condition()}:")
            last = ["return s", "return a * 2", "return 0.0", "raise ArithmeticError"]
            self.add(depth + 1, self.draw.choice(["continue", "break"] if loop else last))
        elif kind < 0.92 and self.counts:
            self.add(depth, f"if {self.condition()}:")
            self.add(depth + 1, "n += 1")
        elif kind < 0.95:
            how = ["sorted(v)", "sorted(v[:3]) + v[3:]", "sorted(v[1:]) + v[:1]"]
            self.add(depth, f"v = {self.draw.choice(how)}")
        else:
            self.add(depth, f"v[{self.draw.randrange(INPUTS)}] = {self.formula()}")


def program(seed: int) -> tuple[Callable[..., Any], Value, str]:
    """A random program, its parameter, and its text."""
    w = Value(0.75)
    text = Writer(seed).text()
    names: dict[str, Any] = {"w": w, "sin": sin, "sqrt": sqrt}
    exec(builtins.compile(text, f"<random branches {seed}>", "exec"), names)
    return names["f"], w, text


def agree(ours: float, theirs: float, size: float = 1.0) -> bool:
    """Whether two numbers are the same but for rounding; NaN and infinity as well."""
    if not math.isfinite(theirs):
        return ours == theirs or (math.isnan(ours) and math.isnan(theirs))
    return abs(ours - theirs) <= 1e-9 * max(size, abs(theirs))


def differences(seed: int, rows: int = 40, on: str = "auto") -> Iterator[str]:
    """Where a program, compiled, differs from the engine."""
    f, w, _ = program(seed)
    draw = numpy.random.default_rng(seed)
    c = compile(f, on=on)
    for part in ("first", "second"):
        X, expected = [], []
        for row in draw.normal(size=(rows, INPUTS)).round(2).tolist():
            try:
                expected.append(by_engine(f, w, row))
            except (ArithmeticError, ValueError):
                continue
            X.append(row)
        if not X:
            continue
        columns = numpy.array(X).T
        try:
            outputs, slopes = c(*columns), c.jacobian(*columns)[:, 0]
            w.grad = 0.0
            c.sum(*columns).backward()
        except TracingError as error:
            if "in more than" not in str(error) and "is a constant" not in str(error):
                yield f"{part}: {error}"
            return
        for k, (value, by_inputs, _) in enumerate(expected):
            if not agree(float(outputs[k]), value):
                yield f"{part}, row {X[k]}: {outputs[k]} instead of {value}"
            for ours, theirs in zip(slopes[k], by_inputs, strict=True):
                if not agree(float(ours), theirs):
                    yield f"{part}, row {X[k]}: the slopes {slopes[k]} instead of {by_inputs}"
                    break
        total = sum(by_parameter for *_, by_parameter in expected)
        if not agree(w.grad, total, sum(abs(v) for *_, v in expected)):
            yield f"{part}: the gradient {w.grad} instead of {total}"


def by_engine(
    f: Callable[..., Any], w: Value, row: list[float]
) -> tuple[float, list[float], float]:
    """The value of a row, its slopes, and the slope by the parameter."""
    given = list(map(Value, row))
    w.grad = 0.0
    out = f(*given)
    if not isinstance(out, Value):
        return float(out), [0.0] * INPUTS, 0.0
    out.backward()
    return out.data, [v.grad for v in given], w.grad


#: Programs of which rows that were not traced decide in ways that no trace has gone: there the
#: traces do not tell what they are. Of the first one a path is taken apart while it is traced.
OTHER_WAYS = (9025, 9140, 9159)


class Some:
    """A program, compiled and traced on the first of some rows.

    Args:
        seed: of the program.
        traced: so many rows.
    """

    def __init__(self, seed: int, traced: int = 15) -> None:
        f, w, _ = program(seed)
        rows, self.values, self.slopes, self.traced = list[list[float]](), [], [], traced
        for row in numpy.random.default_rng(seed).normal(size=(80, INPUTS)).round(2).tolist():
            try:
                value, slopes, _ = by_engine(f, w, row)
            except (ArithmeticError, ValueError):
                continue
            rows.append(row)
            self.values.append(value)
            self.slopes.append(slopes)
        self.columns = numpy.array(rows).T
        self.c = compile(f, on="numpy").trace(*self.columns[:, :traced])

    def wrong(self, found: Any, slopes: Any = None, within: float = 1e-9) -> list[int]:
        """The rows that differ from the engine; such as were not traced may be NaN.

        Some are, else nothing was asked.
        """
        assert numpy.isnan(found[self.traced :]).any() and not numpy.isnan(found).all()
        differ = []
        for k, number in enumerate(found):
            ours, theirs = [number], [self.values[k]]
            if slopes is not None:
                ours, theirs = [*ours, *slopes[k]], [*theirs, *self.slopes[k]]
            near = numpy.allclose(ours, theirs, rtol=within, atol=within, equal_nan=True)
            if not near and not (k >= self.traced and math.isnan(number)):
                differ.append(k)
        return differ


def main(count: int, seed: int) -> None:
    """Compare so many programs, from this seed on."""
    same = 0
    for each in range(seed, seed + count):
        found = list(differences(each))
        same += not found
        for line in found[:3]:
            print(f"{each}: {line}", flush=True)
    print(f"{same} of {count} programs agree")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
