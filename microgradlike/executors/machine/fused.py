"""A whole loop as one kernel, for few rows: the numbers of a round are variables of the machine.

A kernel for each instruction is the best for many rows, whose numbers are side by side. With one
row most of the time would go into calling kernels. So the source of a function is written that goes
through all rounds of a row, and back; it is compiled once per machine for all loops of this form.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy

from microgradlike import ops
from microgradlike.compiler.arrays import Ints
from microgradlike.compiler.instructions import (
    ALWAYS,
    BY_ERROR,
    HERE,
    IN_ONCE,
    Elementwise,
    Instruction,
    Layer,
    Loop,
    Products,
    Singles,
    Sums,
    parts_of,
)
from microgradlike.compiler.operations import CONDITIONS, NAMES, row_of
from microgradlike.compiler.plan import Back
from microgradlike.executors.machine.kernels import (
    ARGUMENTS,
    OUT,
    RECORD,
    SPELT,
    SPELT_FIRST,
    Named,
)
from microgradlike.executors.machine.looping import (
    CARRIED,
    COUNTS,
    DONE,
    ERRORS,
    FIRST,
    FIRST_ONCE,
    GIVEN,
    HELD_FROM,
    KEPT,
    MASK,
    ONCE_READ,
    ROWS,
    ROWS_ONCE,
    STATE_ERRORS,
    STATES,
    TO_FIRST,
    TO_FIRSTS,
    TO_HELD,
    TO_HELDS,
    TO_ROWS,
    TO_ROWS_FROM,
    WANTED,
)
from microgradlike.executors.machine.looping import ROUNDS as COUNT
from microgradlike.executors.on_floats import terms_of

#: A loop of more terms and operations is compiled for too long, and gains little.
MOST = 300
#: A loop of fewer rounds is soon done.
ROUNDS = 64

#: Functions of one number or two that are machine code by their own name.
_MATH = (
    *("exp", "expm1", "log", "log1p", "log10", "sin", "cos", "tan", "asin", "acos", "atan"),
    *("atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "hypot", "erf", "erfc"),
)

#: A factor of a term: the name of the operand, whether it is of ``once``, and its slot.
Factor: TypeAlias = "tuple[str, bool, int]"


class Unspelt(Exception):
    """A formula, or an instruction, has no form of its own here."""


class _Formula(Named):
    """A formula of the operator table, with variables for its numbers."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = ast.unparse(node.func)
        if name in SPELT_FIRST:
            given = [f"({ast.unparse(x)})" for x in node.args]
            first: ast.expr = self.visit(
                ast.parse(SPELT_FIRST[name].format(*given), mode="eval").body
            )
            return first
        operands = [f"({ast.unparse(self.visit(x))})" for x in node.args]
        if name in SPELT:
            return ast.parse(SPELT[name].format(*operands), mode="eval").body
        if name == "power":
            return ast.parse(f"math.pow({', '.join(operands)})", mode="eval").body
        if name not in _MATH:
            raise Unspelt
        return ast.parse(f"math.{name}({', '.join(operands)})", mode="eval").body


def _spelt(text: str, spelling: Mapping[str, str]) -> str:
    tree = ast.parse(ops.spell(text, lambda name: name), mode="eval")
    return ast.unparse(_Formula(spelling).visit(tree))


# ---- The lines of a round ----------------------------------------------------------------------


class _Lines:
    """What a round computes, and what it sends, as lines of a function.

    Args:
        i: the loop.

    Attributes:
        once: the slots of ``once`` that are read, in the order of their variables.
    """

    def __init__(self, i: Loop) -> None:
        one = i.round
        read = [slots.ravel() for inner in one.instructions for of in inner.reads()
                for lower, slots in parts_of(of) if lower]  # fmt: skip
        read += [slots[lower] for lower, slots in (one.results, one.sending)]
        read += [
            inner.mask.slots[numpy.broadcast_to(inner.mask.kind, len(inner.mask.slots)) == IN_ONCE]
            for inner in one.instructions
        ]
        read += [numpy.array([one.going[1]])] if one.going and one.going[0] else []
        self.once = numpy.unique(numpy.concatenate([numpy.empty(0, int), *read]))
        # Each variable is written once, which is sooner compiled than one that is added to.
        self.sent: dict[int, list[str]] = {}
        self.owed: dict[int, list[str]] = {}
        self.errors: list[str] = []
        self._known: set[int] = set()

    def number(self, once: bool, slot: int) -> str:
        return f"o{numpy.searchsorted(self.once, slot)}" if once else f"v{slot}"

    # ---- Forward ----

    def computes(self, i: Instruction) -> list[str]:
        if isinstance(i, Layer | Sums | Products):
            return [line for k, terms in enumerate(terms_of(i)) for line in self._sum(i, k, terms)]
        if not isinstance(i, Elementwise | Singles):
            raise Unspelt
        found = []
        for k, (name, operands) in enumerate(_operations(i)):
            row, _ = row_of(name)
            assert row is not None
            text = f"1.0 if {row.value} else 0.0" if name in CONDITIONS else row.value
            found.append(f"v{i.outs[k]} = {_spelt(text, self._operands(operands))}")
        return found

    def _operands(self, operands: Sequence[tuple[bool, int]]) -> dict[str, str]:
        return dict(zip("xy", (self.number(*operand) for operand in operands), strict=False))

    def _sum(self, i: Instruction, k: int, terms: list[tuple[float, list[Factor]]]) -> list[str]:
        texts = [self._term(sign, factors) for sign, factors in terms]
        return [f"v{i.outs[k]} = {' + '.join(texts)}"]

    def _term(self, sign: float, factors: list[Factor], *first: str) -> str:
        product = " * ".join([*first, *(self.number(*factor[1:]) for factor in factors)])
        return product if sign > 0 else f"-({product})"

    # ---- Back ----

    def error(self, slot: int) -> str:
        """The error of a slot, when all that is sent there has come."""
        if slot not in self.sent:
            return "0.0"
        if slot not in self._known:
            self._known.add(slot)
            self.errors.append(f"e{slot} = {' + '.join(self.sent[slot])}")
        return f"e{slot}"

    def send(self, once: bool, slot: int, text: str) -> None:
        """Add to the error of a slot."""
        if once:
            slot, sent = int(numpy.searchsorted(self.once, slot)), self.owed
        else:
            sent = self.sent
        sent.setdefault(slot, []).append(f"({text})")

    def sends(self, back: Back) -> None:
        i = back.instruction
        if isinstance(i, Layer | Sums | Products):
            self._sum_sends(back)
        elif isinstance(i, Singles):
            operations, (send,) = list(_operations(i)), back.sends
            order = zip(send.place.tolist(), send.name.tolist(), strict=True)
            for k, side in order:
                self._operation_sends(i, k, side, *operations[k])
        else:
            for send in back.sends:
                for k, operation in enumerate(_operations(i)):
                    self._operation_sends(i, k, "xy".index(send.name), *operation)

    def _operation_sends(
        self, i: Instruction, k: int, side: int, name: str, operands: list[tuple[bool, int]]
    ) -> None:
        row, tie = row_of(name)
        error = self.error(int(i.outs[k]))
        if error == "0.0":
            return
        assert row is not None
        names = {"out": f"v{i.outs[k]}", "tie": repr(float(tie)), "error": error}
        text = _spelt(ops.sent(row.slopes[side], tie), self._operands(operands) | names)
        self.send(*operands[side], self._where_it_arrives(i, k, text))

    def _sum_sends(self, back: Back) -> None:
        i = back.instruction
        assert isinstance(i, Layer | Sums | Products)
        wanted = {(send.name, send.place) for send in back.sends}
        for k, terms in enumerate(terms_of(i)):
            error = self.error(int(i.outs[k]))
            place = k // len(i.weights) if isinstance(i, Layer) else 0
            if error == "0.0":
                continue
            for sign, factors in terms:
                for factor in factors:
                    at = place if isinstance(i, Layer) and factor[0] == "values" else 0
                    if (factor[0], at) in wanted:
                        others = [f for f in factors if f is not factor]
                        text = self._term(sign, others, error)
                        self.send(*factor[1:], self._where_it_arrives(i, k, text))

    def _where_it_arrives(self, i: Instruction, k: int, text: str) -> str:
        kinds, slots = i.mask.kind, i.mask.slots
        kind = int(kinds[k]) if isinstance(i, Singles) else int(kinds)
        if kind == ALWAYS:
            return text
        if kind == BY_ERROR:
            asked = self.error(int(i.outs[k]))
        else:
            asked = self.number(kind == IN_ONCE, int(slots[min(k, len(slots) - 1)]))
        return f"({text}) if {asked} != 0 else 0.0"


def _operations(i: Instruction) -> Iterator[tuple[str, list[tuple[bool, int]]]]:
    """For each output the operation and its operands."""
    assert isinstance(i, Elementwise | Singles)
    names = (
        [NAMES[code] for code in i.operations]
        if isinstance(i, Singles)
        else [i.operation] * i.count
    )
    for k, name in enumerate(names):
        yield (
            name,
            [(bool(numpy.broadcast_to(x.once, i.count)[k]), int(x.slots[k])) for x in i.operands],
        )


# ---- The source of the kernels -----------------------------------------------------------------


def sources(i: Loop, back: Back | None) -> tuple[str, str] | None:
    """The sources of the kernels that go through all rounds, and back; None if there are none."""
    try:
        if not _is_worth_while(i):
            return None
        return _forward(i, _Lines(i)), _backward(i, back, _Lines(i)) if back else ""
    except Unspelt:
        return None


def _is_worth_while(i: Loop) -> bool:
    terms = 0
    for inner in i.round.instructions:
        if isinstance(inner, Layer | Sums | Products):
            terms += sum(map(len, terms_of(inner)))
        else:
            terms += inner.count
    return (i.rounds == 0 or i.rounds >= ROUNDS) and terms <= MOST


def _kernel(lines: _Lines, start: list[str], lane: list[str], end: list[str]) -> str:
    once = [f"o{k} = once[once_at[{k}]]" for k in range(len(lines.once))]
    first = [
        f"i, known = words(i_at), words(words(i_at)[{RECORD}])",
        f"once_at, out = words(known[{ONCE_READ}]), i[{OUT}]",
        f"states = numbers_at(known[{STATES}], values)",
        f"rows, rows_once = words(known[{ROWS}]), words(known[{ROWS_ONCE}])",
        f"begins, begins_once = words(known[{FIRST}]), words(known[{FIRST_ONCE}])",
        f"held, counts = words(known[{HELD_FROM}]), words(known[{COUNTS}])",
        f"most, n, given = known[{COUNT}], known[{CARRIED}], known[{GIVEN}]",
        *once,
        *start,
        "for lane in range(lanes):",
        *_indented(lane),
        *end,
    ]
    body = "\n".join(_indented(first))
    return f"def kernel({', '.join(ARGUMENTS)}):\n{body}\n"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _reads(i: Loop, active: str) -> tuple[list[str], list[str]]:
    """What is read before the first round, and what in each."""
    one = i.round
    before = [
        f"v{slot} = values[held[{k}] * lanes + lane]"
        for k, slot in enumerate(one.held.tolist())
        if slot >= 0
    ]
    before += [f"v{one.active} = {active}"] if one.active >= 0 else []
    each = []
    for k, slot in enumerate(one.given.tolist()):
        if slot >= 0:
            each += [
                f"at = number * given + {k}",
                f"if rows_once[at]:\n    v{slot} = once[rows[at]]",
                f"else:\n    v{slot} = values[rows[at] * lanes + lane]",
            ]
    each += [f"v{slot} = s{k}" for k, slot in enumerate(one.carried.tolist()) if slot >= 0]
    return before, "\n".join(each).split("\n") if each else []


def _forward(i: Loop, lines: _Lines) -> str:
    one = i.round
    before, each = _reads(i, "0.0")
    states = range(len(one.carried))
    for k in states:
        before += [
            f"if begins_once[{k}]:",
            f"    s{k} = once[begins[{k}]]",
            "else:",
            f"    s{k} = values[begins[{k}] * lanes + lane]",
        ]
    keeps = [
        f"if known[{KEPT}]:",
        f"    place = number if number < known[{KEPT}] else known[{KEPT}] + number % 2",
        *(f"    states[(place * n + {k}) * lanes + lane] = s{k}" for k in states),
    ]
    computes = [line for inner in one.instructions for line in lines.computes(inner)]
    leaves = []
    if one.going:
        leaves = [f"if not {lines.number(*one.going)} != 0:", "    break"]
    watches = [f"size += v{slot} * v{slot}" for slot in one.watched.tolist()]
    results = [
        lines.number(bool(lower), int(slot)) for lower, slot in zip(*one.results, strict=True)
    ]
    hands_on = [f"r{k} = {result}" for k, result in enumerate(results)]
    hands_on += [f"s{k} = r{k}" for k in states]
    inside = [*keeps, *each, *computes, *leaves, *watches, *hands_on, "number += 1"]
    lane = [
        *before,
        "size, number = 0.0, 0",
        "while number < most:" if i.rounds else "while True:",
        *_indented(inside),
        "counts[lane] = number",
        "done = max(done, number)",
        "values[out * lanes + lane] = size",
        *(
            f"values[(out + {1 + k}) * lanes + lane] = s{of}"
            for k, of in enumerate(i.gives.tolist())
        ),
    ]
    end = [f"known[{DONE}], known[{WANTED}] = done, max(known[{WANTED}], done)"]
    return _kernel(lines, ["done = 0"], lane, end)


def _backward(i: Loop, back: Back, lines: _Lines) -> str:
    one, inside = i.round, back.inside
    assert inside is not None
    states, mask = range(len(one.carried)), i.mask.kind
    before, each = _reads(i, "1.0")
    for k in states:
        given = [
            f"errors[(out + {1 + j}) * lanes + lane]"
            for j, of in enumerate(i.gives.tolist())
            if of == k
        ]
        before.append(f"d{k} = {' + '.join(given) or '0.0'}")
    if mask == HERE:
        before += [f"if values[known[{MASK}] * lanes + lane] == 0:", "    continue"]
    if mask in (IN_ONCE, BY_ERROR):
        nothing = " and ".join(f"d{k} == 0" for k in states)
        before += [f"if {nothing}:", "    continue"]
    computes = [line for inner in one.instructions for line in lines.computes(inner)]
    for k, (lower, slot) in enumerate(zip(*(x.tolist() for x in one.sending), strict=True)):
        lines.send(lower, slot, f"d{k}")
    for inner_back in inside.backward:
        lines.sends(inner_back)
    comes = [f"w{k} += {' + '.join(sent)}" for k, sent in lines.owed.items()]
    handed = [f"d{k} = {lines.error(slot)}" for k, slot in enumerate(one.carried.tolist())]
    holds = [(k, slot) for k, slot in enumerate(one.held.tolist()) if slot in lines.sent]
    unsent = [slot for slot in one.held.tolist() if slot >= 0 and slot not in lines.sent]
    comes += [f"h{k} += {lines.error(slot)}" for k, slot in holds]
    rows = [
        f"own[{slot} * lanes + lane] = {lines.error(slot)}"
        for slot in one.given.tolist()
        if slot >= 0
    ]
    if rows:
        rows += [
            "for k in range(from_rows[number], from_rows[number + 1]):",
            "    send_one(to_rows, k, own, errors, owed, lanes, lane)",
        ]
    before += [f"h{k} = 0.0" for k, _ in holds]
    state = [f"s{k} = states[(number * n + {k}) * lanes + lane]" for k in states]
    lane = [
        *before,
        "for number in range(counts[lane] - 1, -1, -1):",
        *_indented([*state, *each, *computes, *lines.errors, *comes, *rows, *handed]),
        *(f"found[{k} * lanes + lane] = d{k}" for k in states),
        f"for k in range(known[{TO_FIRSTS}]):",
        "    send_one(to_first, k, found, errors, owed, lanes, lane)",
        *(f"own[{slot} * lanes + lane] = h{k}" for k, slot in holds),
        *(f"own[{slot} * lanes + lane] = 0.0" for slot in unsent),
        f"for k in range(known[{TO_HELDS}]):",
        "    send_one(to_held, k, own, errors, owed, lanes, lane)",
    ]
    start = [
        f"if known[{DONE}] > known[{KEPT}]:",
        "    return",
        *([f"if once[known[{MASK}]] == 0:", "    return"] if mask == IN_ONCE else []),
        f"own = numbers_at(known[{ERRORS}], values)",
        f"found = numbers_at(known[{STATE_ERRORS}], values)",
        f"to_first, to_held = words(known[{TO_FIRST}]), words(known[{TO_HELD}])",
        f"to_rows, from_rows = words(known[{TO_ROWS}]), words(known[{TO_ROWS_FROM}])",
        *(f"w{k} = 0.0" for k in sorted(lines.owed)),
    ]
    end = [f"owed[once_at[{k}]] += w{k}" for k in sorted(lines.owed)]
    return _kernel(lines, start, lane, end)


def once_read(i: Loop) -> Ints:
    """The slots of ``once`` that the kernels read."""
    return _Lines(i).once
