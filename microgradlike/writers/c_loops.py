"""Loops stay loops in C.

What each round is handed is kept in an array, and backward, from the last round to the first, a
round is computed again from that, as ``executors/on_floats.py`` does. Where it is not known how
many rounds there are, the array has room for the most that the file allows for; to compute each
round again from the first one would need no room, but the square of their number in time.
"""

from __future__ import annotations

from collections.abc import Sequence

from microgradlike.compiler.instructions import ALWAYS as EVERYWHERE
from microgradlike.compiler.instructions import BY_ERROR, Loop
from microgradlike.writers.c_code import Code
from microgradlike.writers.c_formulas import Said
from microgradlike.writers.c_reading import ALWAYS, Errors, Reading, Way, either


def _most(self: Reading, i: Loop) -> str:
    """How many rounds there may be, in C."""
    return str(i.rounds) if i.rounds else f"{self.code.file.prefix.upper()}_MOST_ROUNDS"


def _array(name: str, numbers: Sequence[str], kind: str = "double") -> str:
    """An array that begins with these numbers."""
    return f"{kind} {name}[{len(numbers)}] = {{{', '.join(numbers)}}};"


def _zeros(name: str, count: object, kind: str = "double") -> str:
    return f"{kind} {name}[{count}] = {{0}};"


def _round(
    self: Reading, i: Loop, code: Code, state: Sequence[str], row: str, keeps: bool
) -> Reading:
    """One round: what it is handed has these names."""
    one, given = i.round, []
    if i.rounds:
        for once, slots in zip(i.rows.once.T, i.rows.slots.T, strict=True):
            atoms = list(map(self.value, once.tolist(), slots.tolist()))
            # Entries of an array are named in each round anew.
            entry = self.code.grid(atoms, [i.rounds], [row])
            given.append(code.define(Said(entry)))
    held = [self.values[slot] for slot in i.held.tolist()]
    values = [""] * (one.slots + 1)  # at -1 is what it does not read
    for slots, names in ((one.carried, state), (one.given, given), (one.held, held)):
        for slot, name in zip(slots.tolist(), names, strict=bool(i.rounds)):
            values[slot] = name
    values[one.active] = "1.0"
    found = Reading(
        code, values, self.once, Errors(), Errors(self.owed.into),
        self.as_written, self.mode, keeps, self.way_of,
    )  # fmt: skip
    found.forward(one.instructions)
    return found


def _forward(self: Reading, i: Loop) -> None:
    file, one, width, most = self.code.file, i.round, len(i.round.carried), _most(self, i)
    state, row, kept, watched = (file.fresh(letter) for letter in "srtq")
    code = Code(file, self.code)
    handed = code.copies(state, width)
    found = _round(self, i, code, handed, row, keeps=False)
    self.code.block([state], [_array(state, self.operand(i.first.once, i.first.slots))])
    if one.going:
        file.rounds = True
        code.do(
            f"if (!{found.truth(found.value(*one.going))}) break;",
            f"if ({row} == {most}) return {file.prefix.upper()}_TOO_MANY_ROUNDS;",
        )
    if len(one.watched):
        self.code.block([watched], [f"double {watched} = 0.0;"])
        squares = [found.values[slot] for slot in one.watched.tolist()]
        code.block([watched], [f"{watched} += {name} * {name};" for name in squares])
    if self.keeps:
        self.code.block([kept], [f"double {kept}[{most} * {width}];"])
        code.block([kept], code.stored(kept, handed, before=f"{width} * {row} + "))
        self.states[id(i)] = kept, row
    code.block([state], code.stored(state, found.operand(*one.results)))
    test = "" if one.going else f"{row} < {most}"
    going = f"for (; {test}; ++{row}) {{"
    self.code.block([state, row, kept, watched], [f"int {row} = 0;", going, code, "}"])
    self.values[int(i.outs[0])] = watched if len(one.watched) else "0.0"
    for out, k in zip(i.outs[1:].tolist(), i.gives.tolist(), strict=True):
        self.values[out] = f"{state}[{k}]"


# ---- Backward ----------------------------------------------------------------------------------


class _Sums:
    """An array in which the rounds add up errors, and one of whether anything arrived there."""

    def __init__(self, reading: Reading, count: int, most: str = "") -> None:
        file = reading.code.file
        self.sums, self.came = file.fresh("e"), file.fresh("c")
        self.count, self.flags = count, reading.as_written
        self.size = f"{most} * {count}" if most else str(count)

    def begin(self, code: Code) -> None:
        """Zeros."""
        if self.count:
            code.block([self.sums], [_zeros(self.sums, self.size)])
            code.block([self.came], [_zeros(self.came, self.size, "int")])

    def add(self, found: Reading, slots: Sequence[int], before: str = "") -> None:
        """What a round adds to it."""
        there = [slot >= 0 and found.has(slot) for slot in slots]
        sent = [
            found.error(slot) if known else "0.0" for slot, known in zip(slots, there, strict=True)
        ]
        found.code.block([self.sums], found.code.stored(self.sums, sent, "+=", before))
        for k, (slot, known) in enumerate(zip(slots, there, strict=True)):
            if known and self.flags:
                came = _flag(found.errors.arrived[slot])
                found.code.block([self.came], [f"{self.came}[{before}{k}] |= {came};"])

    def entry(self, code: Code, k: int) -> tuple[str, str]:
        """An error, and the condition under which it has arrived."""
        if not self.flags:
            return f"{self.sums}[{k}]", ALWAYS
        return f"{self.sums}[{k}]", code.define(Said(f"{self.came}[{k}] != 0", True, False))


def _flag(condition: str) -> str:
    return {ALWAYS: "1", "1.0": "1", "0.0": "0"}.get(condition, condition)


def _seeds(self: Reading, i: Loop) -> tuple[Errors, str]:
    """The errors of what the last round gives, and when there are any."""
    sums, any_of = Errors(), "0.0"
    for place, out in enumerate(i.outs[1:].tolist(), 1):
        if self.has(out):
            if self.as_written:
                arrived = self.arrives(i, place)
                any_of = either(self.code, any_of, arrived)
            else:
                arrived = ALWAYS
                if i.mask.kind == BY_ERROR:
                    any_of = either(self.code, any_of, self.truth(self.error(out)))
            sums.add(self.code, int(i.gives[place - 1]), self.error(out), arrived)
    if not self.as_written and i.mask.kind != BY_ERROR:
        any_of = ALWAYS if i.mask.kind == EVERYWHERE else self.arrives(i, 0)
    return sums, any_of


def _backward(self: Reading, i: Loop) -> None:
    """From the last round to the first."""
    file, one, width = self.code.file, i.round, len(i.round.carried)
    seeds, arrives = _seeds(self, i)
    if not seeds.sums or arrives == "0.0":
        return
    kept, count = self.states[id(i)]
    row, most = file.fresh("r"), _most(self, i)
    state = _Sums(self, width)
    held = _Sums(self, len(one.held))
    rows = _Sums(self, len(one.given) if i.rounds else 0, most)
    code = Code(file, self.code)
    handed = code.copies(kept, width, f"{width} * {row} + ")
    found = _round(self, i, code, handed, row, keeps=True)
    sent = code.copies(state.sums, width)
    for k, (lower, slot) in enumerate(zip(*(x.tolist() for x in one.sending), strict=True)):
        came = ALWAYS
        if self.as_written:
            came = code.define(Said(f"{state.came}[{k}] != 0", True, False))
        found.send(lower, slot, sent[k], came)
    found.backward(one.instructions)
    carried = one.carried.tolist()
    there = [slot >= 0 and found.has(slot) for slot in carried]
    sent = [
        found.error(slot) if known else "0.0" for slot, known in zip(carried, there, strict=True)
    ]
    code.block([state.sums], code.stored(state.sums, sent))
    for k, known in enumerate(there if self.as_written else ()):
        came = _flag(found.errors.arrived[carried[k]] if known else "0.0")
        code.block([state.came], [f"{state.came}[{k}] = {came};"])
    held.add(found, one.held.tolist())
    rows.add(found, one.given.tolist() if i.rounds else [], f"{rows.count} * {row} + ")
    owed, slots = file.fresh("o"), list(found.owed.sums)
    code.block([owed], code.stored(owed, list(found.owed.sums.values()), "+="))

    sums = [seeds.sums.get(k, "0.0") for k in range(width)]
    flags = [_flag(seeds.arrived.get(k, "0.0")) for k in range(width)]
    self.code.block([state.sums], [_array(state.sums, sums)])
    self.code.block([state.came], [_array(state.came, flags, "int")])
    held.begin(self.code)
    rows.begin(self.code)
    self.code.block([owed], [_zeros(owed, len(slots))])
    going_back = f"for (int {row} = {count} - 1; {row} >= 0; --{row}) {{"
    test = [] if arrives == ALWAYS else [f"if ({arrives})"]
    lines: list[str | Code] = [*test, going_back, code, "}"]
    if found.owed.is_added:
        self.owed.is_added = True
        self.code.do(*lines)
    else:
        made = (name for sums in (state, held, rows) for name in (sums.sums, sums.came))
        self.code.block([*made, owed], lines)

    for k, (lower, slot) in enumerate(zip(*(x.tolist() for x in i.first), strict=True)):
        self.send(lower, slot, *state.entry(self.code, k))
    for k, slot in enumerate(i.held.tolist()):
        if one.held[k] >= 0:
            self.send(False, slot, *held.entry(self.code, k))
    for k, (lower, slot) in enumerate(zip(*(x.ravel().tolist() for x in i.rows), strict=True)):
        if one.given[k % rows.count] >= 0:
            self.send(lower, slot, *rows.entry(self.code, k))
    for k, slot in enumerate(slots):
        self.send(True, slot, f"{owed}[{k}]")


WAY = Way(_forward, _backward)
