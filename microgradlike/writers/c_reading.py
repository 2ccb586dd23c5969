"""A program read as ``executors/on_floats.py`` reads it, but what it finds are names in C.

A number is the name of a double, an entry of an array, or written out. The error of a slot is a
name as well; of a slot that nothing was sent to there is none. Of a program as it was written it is
also known whether anything has arrived, as in the engine: what was sent nothing has nothing to
send, whatever its slope is. Of others the masks of the instructions tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy

from microgradlike.compiler import instructions as of
from microgradlike.compiler.arrays import Ints
from microgradlike.compiler.operations import NAMES
from microgradlike.executors.on_floats import OfTable, OfTerms, terms_of
from microgradlike.writers.c_code import Code
from microgradlike.writers.c_formulas import Said, literal, number_of, sends_of, value_of

#: What holds in any case.
ALWAYS = ""


class Errors:
    """The errors of a list of numbers.

    Attributes:
        sums: the name of what has arrived at each, so far.
        arrived: the condition under which anything has; ``ALWAYS`` in any case.
        into: of a leaf where its error is to be added at once if it comes out of a loop in C: the
            array, and the place there.
    """

    def __init__(self, into: tuple[str, dict[int, int]] | None = None) -> None:
        self.sums: dict[int, str] = {}
        self.arrived: dict[int, str] = {}
        self.into = into
        self.is_added = False  # whether a loop in C adds to the array of the leaves

    def add(self, code: Code, slot: int, error: str, arrived: str = ALWAYS) -> None:
        """Add an error to those of a slot."""
        if slot not in self.sums:
            self.sums[slot], self.arrived[slot] = error, arrived
            return
        self.sums[slot] = code.plus(self.sums[slot], error)
        self.arrived[slot] = either(code, self.arrived[slot], arrived)


def either(code: Code, a: str, b: str) -> str:
    """The condition that one of two holds."""
    return (
        ALWAYS if ALWAYS in (a, b) else a if a == b else code.define(code.say("x or y", x=a, y=b))
    )


def both(code: Code, a: str, b: str) -> str:
    """The condition that two hold."""
    if ALWAYS in (a, b):
        return a or b
    return a if a == b else code.define(code.say("x and y", x=a, y=b))


class Way(NamedTuple):
    """How a kind of instruction is written."""

    compute: Callable[..., None]
    send: Callable[..., None]


class Reading:
    """A list of instructions, read for one row.

    Args:
        code: where statements are written.
        values: the name of each number; "" of what is not computed yet.
        once: likewise of the list ``once``; the same one if this is that list.
        errors, owed: their errors.
        as_written: whether the program is.
        mode: for whom errors are wanted.
        keeps: whether loops keep what their rounds were handed, for the way back.
        way_of: tells how an instruction is written.

    Attributes:
        states: of each loop the array of what its rounds were handed, and how many there were.
    """

    def __init__(
        self, code: Code, values: list[str], once: list[str], errors: Errors, owed: Errors,
        as_written: bool, mode: int, keeps: bool, way_of: Callable[[of.Instruction], Way],
    ) -> None:  # fmt: skip
        self.code, self.values, self.once, self.way_of = code, values, once, way_of
        self.errors, self.owed = errors, owed
        self.as_written, self.mode, self.keeps = as_written, mode, keeps
        self.states: dict[int, tuple[str, str]] = {}

    def value(self, once: bool, slot: int) -> str:
        return (self.once if once else self.values)[slot]

    def operand(self, once: of.Each, slots: Ints) -> list[str]:
        """The names of an operand, flat."""
        lower = numpy.broadcast_to(once, slots.shape).ravel().tolist()
        return list(map(self.value, lower, slots.ravel().tolist()))

    def forward(self, instructions: Sequence[of.Instruction]) -> None:
        for i in instructions:
            self.way_of(i).compute(self, i)

    def backward(self, instructions: Sequence[of.Instruction]) -> None:
        for i in reversed(instructions):
            if numpy.any(i.depends & self.mode):
                if not isinstance(i, of.Singles) and not any(map(self.has, i.outs.tolist())):
                    continue
                self.way_of(i).send(self, i)

    def has(self, slot: int) -> bool:
        """Whether anything was sent to a slot."""
        return slot in self.errors.sums

    def error(self, slot: int) -> str:
        return self.errors.sums.get(slot, "0.0")

    def arrives(self, i: of.Instruction, k: int) -> str:
        """The condition under which the error arrives at an output."""
        if self.as_written:
            return self.errors.arrived[int(i.outs[k])]
        kind = int(i.mask.kind[k]) if isinstance(i, of.Singles) else i.mask.kind
        if kind == of.ALWAYS:
            return ALWAYS
        if kind == of.BY_ERROR:
            return self.truth(self.error(int(i.outs[k])))
        slot = int(i.mask.slots[min(k, len(i.mask.slots) - 1)])
        return self.truth(self.value(kind == of.IN_ONCE, slot))

    def truth(self, text: str) -> str:
        """The name of the condition that a number is not 0."""
        return self.code.define(self.code.say("x != 0", x=text) if text[0] != "k" else Said(text))

    def where(self, condition: str, text: str, instead: str = "0.0") -> str:
        """The name of a number where a condition holds, else of another one."""
        if condition == ALWAYS or text == instead:
            return text
        say = self.code.say("x if out else y", x=text, y=instead, out=condition)
        return self.code.define(say)

    def send(self, once: bool, slot: int, error: str, arrived: str = ALWAYS) -> None:
        """Send an error to a number, unless that is written out: nobody wants to know of it."""
        if number_of(self.value(once, slot)) is None:
            (self.owed if once else self.errors).add(self.code, slot, error, arrived)


# ---- Sums of terms -----------------------------------------------------------------------------


def _sum(self: Reading, i: OfTerms) -> None:
    for slot, terms in zip(i.outs.tolist(), terms_of(i), strict=True):
        self.values[slot] = self.code.plus(
            *(
                _product(self, sign, [self.value(*f[1:]) for f in factors])
                for sign, factors in terms
            )
        )


def _product(self: Reading, sign: float, factors: Sequence[str]) -> str:
    found, *others = factors
    for other in others:
        found = self.code.define(self.code.say("x * y", x=found, y=other))
    return found if sign > 0 else self.code.define(self.code.say("-x", x=found))


def _sum_back(self: Reading, i: OfTerms) -> None:
    for k, terms in enumerate(terms_of(i)):
        out = int(i.outs[k])
        if not self.has(out):
            continue
        error = self.where(self.arrives(i, k), self.error(out))
        for sign, factors in terms:
            for factor in factors:
                _, once, slot = factor
                if once and self.mode != of.PARAMETERS:
                    continue
                others = [self.value(*f[1:]) for f in factors if f is not factor]
                self.send(once, slot, _product(self, sign, [error, *others]))


# ---- Operations of the table -------------------------------------------------------------------


def _operations(self: Reading, i: OfTable) -> Iterator[tuple[str, list[tuple[bool, int]]]]:
    """For each output the operation, and where its operands are."""
    if isinstance(i, of.Singles):
        names = [NAMES[code] for code in i.operations]
    else:
        names = [i.operation] * i.count
    once = [numpy.broadcast_to(x.once, i.count).tolist() for x in i.operands]
    slots = [x.slots.tolist() for x in i.operands]
    for k, name in enumerate(names):
        yield name, [(lower[k], at[k]) for lower, at in zip(once, slots, strict=True)]


def _names(self: Reading, operands: Sequence[tuple[bool, int]]) -> dict[str, str]:
    return {name: self.value(*where) for name, where in zip("xy", operands, strict=False)}


def _operation(self: Reading, i: OfTable) -> None:
    conditions = i.waits_for().tolist()
    for k, (name, operands) in enumerate(_operations(self, i)):
        names, code = _names(self, operands), self.code
        if conditions[k] >= 0:
            said = code.speaker(names, inline=True).say(value_of(name))
            condition = self.truth(self.values[conditions[k]])
            said = Said(f"{condition} ? {said.inside} : 1.0", False, False)
        else:
            said = code.say(value_of(name), **names)
        self.values[int(i.outs[k])] = code.define(said)


def _operation_back(self: Reading, i: OfTable) -> None:
    wanted = numpy.broadcast_to(i.depends, i.count) & self.mode
    for k, (name, operands) in reversed(list(enumerate(_operations(self, i)))):
        out = int(i.outs[k])
        if not (wanted[k] and self.has(out)):
            continue
        arrived, error, code = self.arrives(i, k), self.error(out), self.code
        names = {**_names(self, operands), "out": self.values[out], "error": error}
        for side in reversed(range(len(operands))):
            once, slot = operands[side]
            sends = sends_of(name, side)
            if sends is None or (once and self.mode != of.PARAMETERS):
                continue
            if number_of(self.value(once, slot)) is not None:
                continue
            sent = code.define(code.say(sends.what, **names))
            if not (sends.is_plain and self.as_written):
                sent = self.where(arrived, sent)
            passed = ALWAYS
            if self.as_written:
                passes = code.say(sends.passes, **names)
                passed = ALWAYS if passes.text == "1" else code.define(passes)
                passed = both(code, arrived, passed)
            if passed != "0.0":
                self.send(once, slot, sent, passed)


# ---- Folds -------------------------------------------------------------------------------------


def _along(self: Reading, i: of.Fold, x: Sequence[str]) -> list[str]:
    """The results after one, two, ... values."""
    found = [x[0]]
    for value in x[1:]:
        say = self.code.say(value_of(i.operation), x=found[-1], y=value)
        found.append(self.code.define(say))
    return found


def _shares(self: Reading, x: Sequence[str]) -> tuple[str, str, list[str]]:
    """Of logsumexp the largest value, the sum of the exponentials beside it, and all of them."""
    code, largest = self.code, x[0]
    for value in x[1:]:
        largest = code.define(code.say("maximum(x, y)", x=largest, y=value))
    every = [code.define(code.say("exp(x - y)", x=v, y=largest)) for v in x]
    return largest, code.plus(*every), every


def _fold(self: Reading, i: of.Fold) -> None:
    for slot, slots in zip(i.outs.tolist(), i.values.tolist(), strict=True):
        x = [self.values[at] for at in slots]
        if i.operation == "logaddexp":
            largest, total, _ = _shares(self, x)
            self.values[slot] = self.code.define(self.code.say("x + log(y)", x=largest, y=total))
        else:
            self.values[slot] = _along(self, i, x)[-1]


def _fold_back(self: Reading, i: of.Fold) -> None:
    for k, slots in enumerate(i.values.tolist()):
        out = int(i.outs[k])
        if not self.has(out):
            continue
        code, error = self.code, self.where(self.arrives(i, k), self.error(out))
        x = [self.values[at] for at in slots]
        if i.operation == "logaddexp":
            _, total, every = _shares(self, x)
            for slot, share in zip(slots, every, strict=True):
                say = code.say("error * (x / y)", error=error, x=share, y=total)
                self.send(False, slot, code.define(say))
            continue
        along, sends = _along(self, i, x), [sends_of(i.operation, side) for side in (0, 1)]
        for at in range(len(x) - 1, 0, -1):
            names = {"x": along[at - 1], "y": x[at], "out": along[at], "error": error}
            left, right = (code.define(code.say(s.what, **names)) for s in sends if s)
            self.send(False, slots[at], right)
            error = left
        self.send(False, slots[0], error)


# ---- Tables ------------------------------------------------------------------------------------


def index_in(code: Code, index: str, length: int) -> tuple[str, str]:
    """The condition that an index names an entry, and its name as an ``int`` that always does."""
    say = code.say(f"0 <= x and x < {length}", x=index)
    there = code.define(say)
    if there in ("0.0", "1.0"):
        known = number_of(index)
        return there, str(int(known)) if there == "1.0" and known is not None else "0"
    place = code.file.fresh("i")
    code.block([place], [f"const int {place} = {there} ? (int){index} : 0;"])
    return there, place


def _take(self: Reading, i: of.Take) -> None:
    entries, width = i.table.shape
    table, outs = self.operand(True, i.table), i.outs.reshape(-1, width)
    for index, row in zip(i.index.tolist(), outs.tolist(), strict=True):
        there, place = index_in(self.code, self.values[index], entries)
        for column, out in enumerate(row):
            entry = self.code.grid(table[column::width], [entries], [place])
            text = self.code.define(Said(entry))
            self.values[out] = self.where(there, text, literal(numpy.nan))


def _take_back(self: Reading, i: of.Take) -> None:
    if self.mode != of.PARAMETERS:
        return
    entries, width = i.table.shape
    table, code = i.table.ravel(), self.code
    sink = self.owed.into
    outs = i.outs.reshape(-1, width)
    is_leaf = sink is not None and all(slot in sink[1] for slot in table.tolist())
    array, lines = code.file.fresh("h"), []
    if is_leaf and sink is not None:
        array, at = sink[0], numpy.array([sink[1][slot] for slot in table.tolist()])
        self.owed.is_added = True
    else:
        at = numpy.arange(len(table))
        lines = [f"double {array}[{len(table)}] = {{0}};"]
    for k, index in enumerate(i.index.tolist()):
        there, place = index_in(code, self.values[index], entries)
        for column, out in enumerate(outs[k].tolist()):
            if self.has(out) and there != "0.0":
                reached = both(code, there, self.arrives(i, k * width + column))
                where = code.places(at[column::width], [entries], [place])
                test = "" if reached in ("1.0", ALWAYS) else f"if ({reached}) "
                lines.append(f"{test}{array}[{where}] += {self.error(out)};")
    if is_leaf:
        code.do(*lines)
        return
    code.block([array], lines)
    for place_of, slot in enumerate(table.tolist()):
        self.send(True, slot, f"{array}[{place_of}]")


#: What computes each kind of instruction, one number after the other, and what sends its errors.
WAYS: Mapping[type[of.Instruction], Way] = {
    **dict.fromkeys((of.Layer, of.Sums, of.Products), Way(_sum, _sum_back)),
    **dict.fromkeys((of.Elementwise, of.Singles), Way(_operation, _operation_back)),
    **{of.Fold: Way(_fold, _fold_back), of.Take: Way(_take, _take_back)},
}
