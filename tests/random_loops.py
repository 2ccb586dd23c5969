"""Random programs with loops, computed by the engine and compiled: how many agree.

    python -m tests.random_loops COUNT SEED

writes COUNT programs, from this seed on, as a person could: states that are a number, a list, a
tuple or nested; rows of numbers, inputs, computed Values, tuples, or integers that take from a
table; counts and columns of counts; ``while_loop`` by a counter or by what shrinks; loops within
loops, one after the other, and under ``where``. Each is compiled on some rows and asked about
others, as machine code, and some on the other executors as well. The seed of each that differs is
printed.
"""

from __future__ import annotations

import builtins
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy

from microgradlike import (
    TracingError,
    Value,
    abs,
    compile,
    exp,
    grad,
    log,
    loop,
    maximum,
    minimum,
    sin,
    sqrt,
    take,
    tanh,
    where,
    while_loop,
)
from microgradlike.compiler import verify
from microgradlike.engine import topological_order
from tests.programs import error_bound

ENTRIES, LONG = 3, 9
#: The numbers of a row: two floats, a list of them, a count, and two indices.
FLOATS = 2 + LONG
WEIGHTS = ["w", "b", "c", *(f"W[{j}][{i}]" for j in range(2) for i in range(2))]


class Writer:
    """Writes one program.

    Args:
        seed: of the program.
    """

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.lines: list[str] = []
        self.number = 0
        self.loops = 0

    def text(self) -> str:
        """The program, as the text of a function ``f``."""
        names = ["x", "y"]
        for _ in range(self.draw.randint(0, 2)):
            names.append(self.assign(1, self.formula(names, 1), "a"))
        for _ in range(self.draw.choice([1, 1, 1, 2, 2, 3])):
            found = self.loop(1, names, 2)
            names += self.few(found)
        if self.draw.random() < 0.15:  # the same loop twice
            self.lines.append(f"    again = {self.last}")
            names.append(self.assign(1, "flat(again)[0]", "s"))
        ending = self.draw.random()
        results = [v for v in names if v[0] in "sq"] or names
        if ending < 0.7:
            total = " + ".join(
                self.draw.choice(["{}", "{} * 0.5", "w * {}", "{} * {}", "tanh({})"]).format(v, v)
                for v in results
            )
            self.lines.append(f"    return as_value({total})")
        elif ending < 0.85:
            self.lines.append(f"    return as_value({self.choice(names, results)})")
        else:
            self.lines.append(f"    return [as_value({results[-1]}), as_value({self.one(names)})]")
        return "def f(x, y, xs, n, i, j):\n" + "\n".join(self.lines) + "\n"

    # ---- Parts of formulas ----

    def pick(self, *of: Any) -> Any:
        return self.draw.choice(of)

    def few(self, names: Sequence[str]) -> list[str]:
        """Some of these names, at least one."""
        return self.draw.sample(list(names), self.draw.randint(1, len(names)))

    def new(self, stem: str) -> str:
        self.number += 1
        return f"{stem}{self.number}"

    def assign(self, depth: int, formula: str, stem: str) -> str:
        name = self.new(stem)
        self.lines.append("    " * depth + f"{name} = {formula}")
        return name

    def plain(self) -> str:
        return str(round(self.draw.uniform(-1.5, 1.5), 1))

    def one(self, names: Sequence[str]) -> str:
        """Something that has a number."""
        kind = self.draw.random()
        if kind < 0.65:
            return str(self.draw.choice(names[-4:] if self.draw.random() < 0.6 else names))
        if kind < 0.82:
            return str(self.draw.choice(WEIGHTS))
        if kind < 0.9:
            return f"xs[{self.draw.randrange(LONG)}]"
        if kind < 0.94:
            return str(self.pick("take(T, i)", "take(T, j)", "take(N, i)"))
        return self.plain()

    def bounded(self, names: Sequence[str], deep: int) -> str:
        """A formula whose numbers stay small."""
        kind = self.draw.random()
        if kind < 0.75:
            return f"{self.pick('tanh', 'sin')}({self.formula(names, deep)})"
        p = self.one(names)
        return f"{self.pick('maximum', 'minimum')}({p} * 0.5, {self.plain()})"

    def formula(self, names: Sequence[str], deep: int) -> str:
        if deep <= 0:
            return self.one(names)
        p, q = self.formula(names, deep - 1), self.formula(names, deep - self.pick(1, 2))
        o = self.one(names)
        return str(self.pick(
            f"{p} + {q}", f"{p} - {q}", f"({p}) * ({q})", f"{o} * {self.plain()} + {p}",
            f"{o} * w + {q} + b", f"{o} * W[0][0] + {self.one(names)} * W[0][1] + b + c",
            f"({p}) * 0.3 + {o} * W[1][0] + {self.one(names)} * c",
            f"tanh({p})", f"sin({p})", f"exp(-abs({p}))", f"maximum({p}, {q})",
            f"minimum({p}, {self.plain()})", f"abs({p})", f"sqrt(abs({p}) + 0.1)",
            f"(({p}) * 0.5) ** {self.pick(2, 3)}", f"w * ({o} + 0 * x).detach()",
            f"({p}) / (1.5 + ({q}) * ({q}))", self.choice(names, [p, q]),
            self.choice(names, [p, q]), self.inner_grad(names, o),
        ))  # fmt: skip

    def inner_grad(self, names: Sequence[str], o: str) -> str:
        if self.draw.random() < 0.7:
            return f"tanh({o})"
        t = self.new("t")
        return f"grad(lambda {t}: sin({t} * w) * {self.one([*names, t])} + {t} * {t})({o} + 0 * x)"

    def choice(self, names: Sequence[str], of: Sequence[str]) -> str:
        """``where``, of which the side that is not taken may be no number."""
        p, q = self.draw.choice(of), self.draw.choice(of)
        if self.draw.random() < 0.4:
            u = f"({self.one(names)} + 0 * x)"
            bad = self.pick(f"log({u})", f"sqrt({u})", f"exp(({u}) * 800.0) * {p}", f"1.0 / {u}")
            if "log" in bad or "sqrt" in bad:
                return f"where({u} > 0, {bad}, {q})"
            if "exp" in bad:
                return f"where({u} < 0, {bad}, {q})"
            return f"where(abs({u}) > 0.5, {bad}, {q})"
        return f"where({self.condition(names)}, {p}, {q})"

    def condition(self, names: Sequence[str]) -> str:
        """A comparison; of two plain numbers it is none."""
        a, b = self.draw.choice(names), self.pick(self.plain(), self.one(names))
        found = f"({a} {self.pick('<', '>', '<=', '>=')} {b})"
        if self.draw.random() < 0.15:
            found = f"({found} {self.pick('&', '|', '^')} ({self.one(names[:2])} > {self.plain()}))"
        return found

    # ---- Loops ----

    def shape(self, of: Sequence[str]) -> str:
        """A structure of one to four numbers, given as text."""
        if len(of) == 1:
            return str(self.pick("{}", "{}", "[{}]", "({},)").format(*of))
        kind = self.draw.random()
        if kind < 0.35:
            return f"[{', '.join(of)}]"
        if kind < 0.7 or len(of) < 3:
            return f"({', '.join(of)})"
        return f"({of[0]}, [{', '.join(of[1:])}])"

    def rows(self, depth: int, names: Sequence[str]) -> tuple[str, str, list[str]]:
        """The rows of a loop; how a step calls one, and the numbers in that."""
        r = self.new("r")
        kind = self.draw.randrange(12)
        count = self.pick(0, 1, 3, 8, 9, 10, 13, 30) if depth == 1 else self.pick(2, 8, 9)
        if kind == 0:
            return f"[{', '.join(self.plain() for _ in range(min(count, 13)))}]", r, [r]
        if kind == 1:
            return self.pick("xs", "xs + xs[:3]", "xs * 2", "xs[::-1]", "xs[:4]"), r, [r]
        if kind == 2:
            a, b = self.one(names), self.formula(names, 1)
            return f"[{a}, {b}] * {max(1, count // 2)}", r, [r]
        if kind == 3:
            v = self.new("v")
            return f"[{v} * {self.one(names)} for {v} in xs]", r, [r]
        if kind == 4:
            p, q = self.new("r"), self.new("r")
            body = self.pick("list(zip(xs, xs[::-1]))", f"[({self.one(names)}, 0.5)] * {count}")
            return body, f"({p}, {q})", [p, q]
        if kind == 5:
            t = self.pick("T", "N")
            ints = ["i", "j", *map(str, range(ENTRIES))]
            some = ", ".join(self.draw.choice(ints) for _ in range(4))
            return f"[{some}] * {max(1, count // 4)}", r, [f"take({t}, {r})"]
        if kind == 6:
            return "n", r, [r, r]
        if kind in (7, 8):
            return str(count), r, [f"({r} * 0.1)"]
        if kind == 9:
            return f"list(range({count}))", r, [f"(0.1 * {r})"]
        if kind == 10:
            return (
                f"[[{self.one(names)}, ({self.one(names)}, x)]] * {count}",
                r,
                [f"{r}[0]", f"{r}[1][0]"],
            )
        return "n", r, [f"(0.1 * {r})"]

    def loop(self, depth: int, names: list[str], inner: int) -> list[str]:
        """A loop, in lines of this depth; the names of what it gives."""
        self.loops += 1
        step, s = self.new("step"), self.new("s")
        count = self.pick(1, 1, 1, 2, 2, 3, 4)
        states = [self.new("q") for _ in range(count)]
        shape = self.shape(["{}"] * count)
        first = [self.formula(names, self.pick(0, 0, 1)) for _ in states]
        going, rows, beside, row, of_row = "", "", "", "", list[str]()
        kind = self.draw.random()
        if kind < 0.25:
            states.insert(0, counter := self.new("k"))
            start, limit, following = self.limits(names)
            going = f"lambda {s}: flat({s})[0] {limit}"
            first.insert(0, start)
            count += 1
            shape = f"({{}}, {shape})"
            named = [f"({counter} * 0.1)", *states[1:]]
        else:
            rows, row, of_row = self.rows(depth, names)
            beside = f", {row}" if row[0] != "(" else f", {row.strip('()').replace(', ', '_')}"
            named = states
        pad = "    " * (depth + 1)
        self.lines.append("    " * depth + f"def {step}({s}{beside}):")
        pattern = shape.format(*states)
        self.lines.append(f"{pad}{pattern} = {s}")
        if row.startswith("("):
            self.lines.append(f"{pad}{row} = {beside[2:]}")
        inside = [*names, *named, *of_row]
        for _ in range(self.draw.randint(0, 2)):
            inside.append(self.assign(depth + 1, self.formula(inside, 1), "u"))
        if inner and depth < 3 and self.draw.random() < 0.22:
            inside += self.loop(depth + 1, inside, inner - 1)
        if not going and self.draw.random() < 0.06:
            self.lines.append(f"{pad}if {self.condition([*named, *of_row])}:")
            self.lines.append(f"{pad}    return {pattern}")
        after = [self.after(k, states, inside) for k in range(count)]
        if going:
            after[0] = following.format(states[0])
        self.lines.append(f"{pad}return {shape.format(*after)}")
        initial = shape.format(*first)
        call = (
            f"while_loop({going}, {step}, {initial})"
            if going
            else f"loop({step}, {initial}, {rows})"
        )
        out = self.new("out")
        if depth == 1 and count == 1 and not going and shape == "{}" and self.draw.random() < 0.2:
            call = self.around(names, call)
        self.last = call
        self.lines.append("    " * depth + f"{out} = {call}")
        return [self.assign(depth, f"flat({out})[{k}]", "s") for k in range(count)]

    def limits(self, names: Sequence[str]) -> tuple[str, str, str]:
        """Of a counter, or of what shrinks: the first number, how long it goes on, the next one."""
        if self.draw.random() < 0.3:
            start = f"abs({self.one(names)}) + {self.pick('0.0', '1.0', '3.0')}"
            return start, "> 0.1", "{} * 0.6"
        limit = self.pick("< 5", "< n", "< 12", "< 3 + x", "< n - 0.5", "< abs(y) * 9", "< 0")
        return self.pick("0", "0.0", "x * 0", "1"), limit, "{} + 1"

    def after(self, k: int, states: list[str], inside: list[str]) -> str:
        """What a round hands on."""
        kind = self.draw.random()
        if kind < 0.05:
            return str(self.pick(*states))
        if kind < 0.08:
            return self.plain()
        if kind < 0.11:
            return self.one(inside)
        if kind < 0.75:
            return self.bounded(inside, 2)
        return f"{states[k]} * 0.5 + {self.bounded(inside, 1)}"

    def around(self, names: list[str], call: str) -> str:
        """A loop within ``where``, or under a gradient."""
        if self.draw.random() < 0.75:
            return f"where({self.condition(names)}, {call}, {self.one(names)})"
        t = self.new("t")
        if self.draw.random() < 0.5:  # through the loop
            call = re.sub(r"\bx\b", t, call)
        # Of a plain number the engine gives a number, which has no slopes.
        return f"grad(lambda {t}: as_value({t} * w * {call}))({self.one(names)} + 0 * x)"


def flat(state: Any) -> list[Any]:
    """The numbers of a state."""
    if isinstance(state, list | tuple):
        return [v for part in state for v in flat(part)]
    return [state]


def as_value(v: Any) -> Value:
    """What a function returns; a plain number is a constant."""
    return v if isinstance(v, Value) else Value(float(v))


def program(seed: int) -> tuple[Callable[..., Any], list[Value], str]:
    """A random program, its parameters, and its text."""
    draw = random.Random(~seed)
    w, b, c = (Value(draw.uniform(-1, 1)) for _ in range(3))
    W = [[Value(draw.uniform(-1, 1)) for _ in range(2)] for _ in range(2)]
    T = [Value(draw.uniform(-1, 1)) for _ in range(ENTRIES)]
    text = Writer(seed).text()
    names: dict[str, Any] = {
        **{"w": w, "b": b, "c": c, "W": W, "T": T, "N": [0.5, -0.25, 1.5]},
        **{"loop": loop, "while_loop": while_loop, "where": where, "take": take, "grad": grad},
        **{"sin": sin, "tanh": tanh, "exp": exp, "log": log, "sqrt": sqrt, "abs": abs},
        **{"maximum": maximum, "minimum": minimum, "flat": flat, "as_value": as_value},
    }
    exec(builtins.compile(text, f"<random loops {seed}>", "exec"), names)
    return names["f"], [w, b, c, *W[0], *W[1], *T], text


def columns(seed: int, rows: int) -> list[Any]:
    """The arguments for some rows: two numbers, a list, a count and two indices."""
    draw = numpy.random.default_rng(seed)
    some = draw.normal(size=(2, rows)).round(3)
    counts = draw.choice([0, 1, 2, 5, 9, 12], size=rows)
    return [
        *some,
        draw.normal(size=(rows, LONG)).round(3),
        counts,
        *draw.integers(0, ENTRIES, (2, rows)),
    ]


class Expected:
    """What the engine finds for one row."""

    def __init__(self, f: Callable[..., Any], parameters: list[Value], row: list[Any]) -> None:
        x, y, xs = Value(row[0]), Value(row[1]), list(map(Value, row[2]))
        given = [x, y, *xs]
        found = f(x, y, xs, *map(int, row[3:]))
        self.outputs = found if isinstance(found, list) else [found]
        self.values = [out.data for out in self.outputs]
        self.slopes, self.by_parameters = [], []
        self.bounds = [error_bound(out) for out in self.outputs]
        for out in self.outputs:
            for v in (*given, *parameters):
                v.grad = 0.0
            for node in topological_order(out):
                node.grad = 0.0
            out.backward()
            self.slopes.append([v.grad for v in given])
            self.by_parameters.append([v.grad for v in parameters])


def agree(ours: Any, theirs: Any, size: float = 1.0) -> bool:
    """Whether numbers are the same but for rounding; NaN and infinity as well."""
    ours, theirs = numpy.array(ours, float), numpy.array(theirs, float)
    return bool(numpy.allclose(ours, theirs, rtol=1e-8, atol=1e-9 * size, equal_nan=True))


def differences(seed: int, rows: int = 5, on: Sequence[str] = ("machine",)) -> Iterator[str]:
    """Where a program, compiled, differs from the engine."""
    f, parameters, _ = program(seed)
    parts = []
    for part, count in enumerate((rows, 1 + seed % 4, rows)):  # few rows have their own kernels
        asked = columns(2 * seed + part, count)
        parts.append(
            (asked, [Expected(f, parameters, list(row)) for row in zip(*asked, strict=True)])
        )
    for executor in on:
        c = compile(f, on=executor)
        for part, (asked, expected) in enumerate(parts):
            where, count = f"{executor}, part {part}", len(expected)
            try:
                outputs, slopes = c(*asked).reshape(count, -1), c.jacobian(*asked)
                gradients = None
                if outputs.shape[1] == 1:
                    gradients = by_parameters(c, parameters, asked)
            except TracingError as error:
                yield f"{where}: {error}"
                return
            if outputs.shape[1] == 1 and seed % 3 == 0:
                yield from of_products(f, c, asked, where)
            slopes = slopes.reshape(count, outputs.shape[1], -1)
            for k, row in enumerate(expected):
                at = f"{where}, row {k}"
                if not agree(outputs[k], row.values):
                    yield f"{at}: {outputs[k]} instead of {row.values}"
                ours = slopes[k][:, :FLOATS]
                if not agree(ours, row.slopes):
                    yield f"{at}: the slopes {ours} instead of {row.slopes}"
            if gradients is not None:
                total = numpy.sum([row.by_parameters[0] for row in expected], axis=0)
                size = max(
                    1.0,
                    *(
                        abs(v).max()
                        for v in map(numpy.array, [row.by_parameters[0] for row in expected])
                    ),
                )
                if not agree(gradients, total, size):
                    yield f"{where}: the gradient {gradients} instead of {total}"


def of_products(f: Any, c: Any, asked: list[Any], where: str) -> Iterator[str]:
    """Where products of the Hessian and a vector differ, among those that are finite."""
    v = numpy.linspace(0.5, -1.0, FLOATS)
    whole = numpy.zeros((len(asked[0]), FLOATS + 3))
    whole[:, :FLOATS] = v
    found = c.hvp(*asked, v=whole)[:, :FLOATS]
    for k, (x, y, xs, *rest) in enumerate(zip(*asked, strict=True)):

        def along(*given: Any, rest: Any = rest) -> Any:
            def once(*inside: Any) -> Any:
                x, y, *xs = inside
                out = f(x, y, xs, *map(int, rest))
                return as_value(out[0] if isinstance(out, list) else out)

            return as_value(sum(a * b for a, b in zip(grad(once)(*given), v.tolist(), strict=True)))

        expected = [float(s) for s in grad(along)(*map(Value, (x, y, *xs)))]
        if not numpy.isfinite(expected).all():
            continue
        if not agree(found[k], expected, max(1.0, abs(numpy.array(expected)).max())):
            yield f"{where}, row {k}: the products {found[k]} instead of {expected}"


def by_parameters(c: Any, parameters: list[Value], asked: list[Any]) -> Any:
    """The gradient of the sum of all rows."""
    gradient = c.value_and_grad(c.theta(), *asked, reduce="sum")[1]
    own = dict(zip(c.parameters, gradient, strict=True))
    return [own.get(p, 0.0) for p in parameters]


def executors(seed: int) -> list[str]:
    """What a program runs on; the slower ones take their turns."""
    return ["machine", *{0: ["numpy"], 1: ["floats"]}.get(seed % 4, [])]


def main(count: int, seed: int) -> None:
    """Compare so many programs, from this seed on."""
    verify.CHECKING = True
    same = 0
    for each in range(seed, seed + count):
        try:
            with numpy.errstate(all="ignore"):
                found = list(differences(each, on=executors(each)))
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        same += not found
        for line in found[:3]:
            print(f"{each}: {line:.600}", flush=True)
    print(f"{same} of {count} programs agree")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
