"""Instructions of many numbers as loops in C: layers, sums, and many operations of one kind.

What they read is an array, or is put into one; what they find is an array. Errors go to an array
as well, which has a place for each number that they are sent to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy

from microgradlike.compiler import instructions as of
from microgradlike.compiler.arrays import Ints
from microgradlike.executors.on_floats import OfTerms
from microgradlike.writers import c_reading
from microgradlike.writers.c_formulas import number_of, sends_of, value_of
from microgradlike.writers.c_reading import Reading, Way

#: So many outputs are summed up side by side: one addition need not wait for the one before.
_ABREAST = 4
#: What loops are counted by, the innermost one last.
_COUNTERS = ("p", "q", "j", "n")


def size_of(i: of.Instruction) -> int:
    """How many terms, or operations, an instruction has."""
    if isinstance(i, of.Layer):
        return i.weights.size * len(i.values)
    if isinstance(i, of.Sums | of.Fold):
        return i.values.size
    return i.first.size if isinstance(i, of.Products) else i.count


def _loops(shape: Sequence[int], counters: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Lines within loops over all of these places."""
    found = list(lines)
    for size, counter in reversed(list(zip(shape, counters, strict=True))):
        if size > 1:
            head = f"for (int {counter} = 0; {counter} < {size}; ++{counter}) {{"
        else:
            head = f"{{ const int {counter} = 0; (void){counter};"
        found = [head, *(f"    {line}" for line in found), "}"]
    return found


# ---- Where errors go ---------------------------------------------------------------------------


class _Target(NamedTuple):
    """Where the errors of an operand are added up.

    Attributes:
        array: in C.
        slots: of each place in it the slot; none of where the caller wants them.
        at: for each number of the operand its place.
    """

    array: str
    slots: list[int]
    at: Ints


def _target(self: Reading, once: bool, slots: Ints) -> _Target:
    flat = slots.ravel()
    into = (self.owed if once else self.errors).into
    if into is not None and all(slot in into[1] for slot in flat.tolist()):
        return _Target(into[0], [], numpy.array([into[1][slot] for slot in flat.tolist()]))
    unique, at = numpy.unique(flat, return_inverse=True)
    return _Target(self.code.file.fresh("h"), unique.tolist(), at.ravel())


def _send(self: Reading, once: bool, target: _Target, lines: Sequence[str]) -> None:
    """Loops that add errors to a target, which begins with what has arrived there before."""
    errors = self.owed if once else self.errors
    if not target.slots:
        errors.is_added = True
        self.code.do(*lines)
        return
    array, before = target.array, [errors.sums.get(slot, "0.0") for slot in target.slots]
    if set(before) == {"0.0"}:
        begun = [f"double {array}[{len(before)}] = {{0}};"]
    else:
        begun = [f"double {array}[{len(before)}];", *self.code.stored(array, before)]
    self.code.block([array], [*begun, *lines])
    for place, slot in enumerate(target.slots):
        errors.sums.pop(slot, None)
        self.send(once, slot, f"{array}[{place}]")


def _errors(self: Reading, i: of.Instruction) -> list[str]:
    """The errors of all outputs, as far as they arrive."""
    found = []
    for k, out in enumerate(i.outs.tolist()):
        there = self.has(out)
        found.append(self.where(self.arrives(i, k), self.error(out)) if there else "0.0")
    return found


def _outputs(self: Reading, i: of.Instruction, array: str) -> None:
    for k, out in enumerate(i.outs.tolist()):
        self.values[out] = f"{array}[{k}]"


# ---- Sums of terms -----------------------------------------------------------------------------


class _Factor(NamedTuple):
    once: bool
    slots: Ints
    """Of all terms: its shape is that of the terms."""


class _Terms(NamedTuple):
    """The terms of an instruction: its outputs by row and column, or places, and their terms."""

    shape: tuple[int, ...]
    factors: list[_Factor]
    signs: list[str] | None

    @classmethod
    def of(cls, i: OfTerms) -> _Terms:
        if isinstance(i, of.Layer):
            shape: tuple[int, ...] = (len(i.values), *i.weights.shape)
            given = [(True, i.weights[None]), (False, i.values[:, None])]
        elif isinstance(i, of.Products):
            grid = i.grid()
            shape = i.first.shape
            if grid is not None:
                shape = (len(grid[0]), len(grid[1]), shape[1])
            given = [(False, i.first.reshape(shape)), (False, i.second.reshape(shape))]
        else:
            shape = i.values.shape
            given = [(False, i.values)]
            if i.weights is not None:
                given.insert(0, (True, i.weights))
        factors = [_Factor(once, numpy.broadcast_to(slots, shape)) for once, slots in given]
        signs = None
        if i.signs is not None:
            own = numpy.asarray(i.signs, float)
            spread = own[None] if isinstance(i, of.Layer) else own.reshape(shape)
            signs = [repr(sign) for sign in numpy.broadcast_to(spread, shape).ravel().tolist()]
        return cls(shape, factors, signs)

    @property
    def counters(self) -> tuple[str, ...]:
        return _COUNTERS[-len(self.shape) :]

    def grids(self, reading: Reading) -> list[str]:
        """What each factor is in C."""
        return [
            reading.code.grid(reading.operand(f.once, f.slots), self.shape, self.counters)
            for f in self.factors
        ]

    def sign(self, reading: Reading) -> list[str]:
        if self.signs is None:
            return []
        return [reading.code.grid(self.signs, self.shape, self.counters)]


def _sum(self: Reading, i: OfTerms) -> None:
    terms, code = _Terms.of(i), self.code
    *outer, wide, many = terms.shape
    *counters, column, term = terms.counters
    factors = [*terms.sign(self), *terms.grids(self)]
    array = code.file.fresh("h")
    own = terms.shape[:-1]
    at = code.places(numpy.arange(i.count), own, terms.counters[:-1])
    bias = []
    if i.bias is not None:
        bias.append(code.grid(self.operand(True, i.bias), own, terms.counters[:-1]))
        if i.bias_signs is not None:
            signs = [repr(float(sign)) for sign in numpy.ravel(i.bias_signs)]
            bias.append(code.grid(signs, own, terms.counters[:-1]))

    def abreast(count: int) -> list[str]:
        """So many outputs side by side."""
        lines = [f"double {', '.join(f'sum{k} = 0.0' for k in range(count))};"]
        lines += _loops([many], [term], [
            f"sum{k} += {' * '.join(_shifted(f, column, k) for f in factors)};"
            for k in range(count)
        ])  # fmt: skip
        added = f" + {' * '.join(bias)}" if bias else ""
        for k in range(count):
            lines.append(
                f"{_shifted(f'{array}[{at}]', column, k)} = sum{k}{_shifted(added, column, k)};"
            )
        return [f"    {line}" for line in lines]

    lines = [f"int {column} = 0;"]
    if wide >= _ABREAST:
        head = f"for (; {column} + {_ABREAST} <= {wide}; {column} += {_ABREAST}) {{"
        lines += [head, *abreast(_ABREAST), "}"]
    if wide % _ABREAST:
        lines += [f"for (; {column} < {wide}; ++{column}) {{", *abreast(1), "}"]
    body = _loops(outer, counters, ["{", *(f"    {line}" for line in lines), "}"])
    code.block([array], [f"double {array}[{i.count}];", *body])
    _outputs(self, i, array)


def _shifted(text: str, counter: str, by: int) -> str:
    """The same expression at a later place."""
    return re.sub(rf"\b{counter}\b", f"({counter} + {by})", text) if by else text


def _sum_back(self: Reading, i: OfTerms) -> None:
    terms, code = _Terms.of(i), self.code
    own, counters = terms.shape[:-1], terms.counters
    error = code.grid(_errors(self, i), own, counters[:-1])
    if error == "0.0":
        return
    signs, grids = terms.sign(self), terms.grids(self)
    for k, factor in enumerate(terms.factors):
        if factor.once and self.mode != of.PARAMETERS:
            continue
        others = [*signs, *(grid for j, grid in enumerate(grids) if j != k)]
        target = _target(self, factor.once, factor.slots)
        place = code.places(target.at, terms.shape, counters)
        what = " * ".join(["error", *others])
        lines = _loops(own, counters[:-1], [
            f"const double error = {error};",
            *_loops(terms.shape[-1:], counters[-1:], [f"{target.array}[{place}] += {what};"]),
        ])  # fmt: skip
        _send(self, factor.once, target, lines)
    if i.bias is not None and self.mode == of.PARAMETERS:
        target = _target(self, True, i.bias)
        place = code.places(target.at, own, counters[:-1])
        what = error
        if i.bias_signs is not None:
            flat = [repr(float(sign)) for sign in numpy.ravel(i.bias_signs)]
            what += f" * {code.grid(flat, own, counters[:-1])}"
        _send(
            self, True, target,
            _loops(own, counters[:-1], [f"{target.array}[{place}] += {what};"]),
        )  # fmt: skip


# ---- Many operations of one kind ---------------------------------------------------------------


def _operands(self: Reading, i: of.Elementwise) -> dict[str, str]:
    return {
        name: self.code.grid(self.operand(x.once, x.slots), [i.count], ["j"])
        for name, x in zip("xy", i.operands, strict=False)
    }


def _operation(self: Reading, i: of.Elementwise) -> None:
    names = _operands(self, i)
    if i.operation == "round_to" and number_of(names["y"]) is None:
        c_reading.WAYS[of.Elementwise].compute(self, i)  # each to digits of its own
        return
    code, array = self.code, self.code.file.fresh("h")
    said = code.speaker(names, inline=True).say(value_of(i.operation))
    asked = i.waits_for()
    text = said.text
    if asked[0] >= 0:
        conditions = [self.truth(self.values[slot]) for slot in asked.tolist()]
        if len(set(conditions)) == 1:
            text = f"{conditions[0]} ? {said.inside} : 1.0"
        else:
            conditions = [self.values[slot] for slot in asked.tolist()]
            text = f"{code.grid(conditions, [i.count], ['j'])} != 0 ? {said.inside} : 1.0"
    lines = _loops([i.count], ["j"], [f"{array}[j] = {text};"])
    code.block([array], [f"double {array}[{i.count}];", *lines])
    _outputs(self, i, array)


def _operation_back(self: Reading, i: of.Elementwise) -> None:
    code = self.code
    outs = [self.values[out] for out in i.outs.tolist()]
    names = {
        **_operands(self, i),
        "out": code.grid(outs, [i.count], ["j"]),
        "error": code.grid(_errors(self, i), [i.count], ["j"]),
    }
    if names["error"] == "0.0":
        return
    for side in reversed(range(len(i.operands))):
        once, slots = i.operands[side]
        sends = sends_of(i.operation, side)
        if sends is None or (once and self.mode != of.PARAMETERS):
            continue
        said = code.speaker(names, inline=True).say(sends.what)
        if i.mask.kind != of.ALWAYS:  # what is multiplied by infinity, is not sent there
            reached = [_flag(self, i, k) for k in range(i.count)]
            condition = code.grid(reached, [i.count], ["j"])
            text = f"{condition} != 0 ? {said.inside} : 0.0"
        else:
            text = said.text
        target = _target(self, bool(once), slots)
        place = code.places(target.at, [i.count], ["j"])
        _send(
            self, bool(once), target,
            _loops([i.count], ["j"], [f"{target.array}[{place}] += {text};"]),
        )  # fmt: skip


def _flag(self: Reading, i: of.Instruction, k: int) -> str:
    """Whether the error arrives at an output, as a number."""
    if not self.has(int(i.outs[k])):
        return "0.0"
    return self.arrives(i, k) or "1.0"


#: What writes each kind of instruction as a loop.
WAYS: Mapping[type[of.Instruction], Way] = {
    **dict.fromkeys((of.Layer, of.Sums, of.Products), Way(_sum, _sum_back)),
    of.Elementwise: Way(_operation, _operation_back),
}
