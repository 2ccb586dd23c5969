"""Rows in which a comparison is so near a tie that a last digit decides it.

A compiled function adds up sums in another order than they were written in, and the last digit of a
function such as exp depends on who computes it. Beside each number its size is computed: how large
all is that was added up to it. Where two numbers differ by next to nothing, relative to their
sizes, the comparison could turn out otherwise. Such rows run as they were written
(``as_written.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy

from microgradlike.compiler import rounds
from microgradlike.compiler.arrays import Ints
from microgradlike.compiler.instructions import (
    Elementwise,
    Fold,
    Instruction,
    Layer,
    Loop,
    Products,
    Singles,
    Sums,
)
from microgradlike.compiler.operations import (
    ARITY,
    AT_ZERO,
    BETWEEN,
    CARRIED,
    CODES,
    CONDITIONS,
    DECIDES,
    ENTRY,
    JUMPS,
    LOOP,
    NAMES,
    OF_QUOTIENTS,
    RESULT,
    ROUND,
    ROUNDED_ALIKE,
    TABLE,
    TAKE,
)
from microgradlike.compiler.program import Program
from microgradlike.compiler.tables import chain, entries_of, is_whole, whole
from microgradlike.compiler.tape import Tape, wider

#: Two sums are that near where they differ by less than this, relative to all that was added up.
_NEAR = 1e-12

#: Longer tapes are not looked through.
MOST_NODES = 50_000

#: What passes on how large the numbers are that went into its left operand.
_PASSES = ("neg", "abs", "relu", "detach")


def may_tie(nodes: Ints) -> bool:
    """Whether, among the codes of nodes, there are such as choose or jump."""
    return bool(numpy.isin(nodes, [CODES[name] for name in ("keep", *JUMPS)]).any())


def is_rounded_as_written(program: Program) -> bool:
    """Whether a program finds each number to the last digit of the engine's."""
    return all(map(_is_as_written, (*program.once.instructions, *program.rows.instructions)))


def _is_as_written(i: Instruction) -> bool:
    """Whether there is only one order and one way to round, or those of the engine are taken."""
    if isinstance(i, Loop):
        return all(map(_is_as_written, i.round.instructions))
    if isinstance(i, Elementwise):
        return bool(ROUNDED_ALIKE[CODES[i.operation]])
    if isinstance(i, Singles):
        return bool(ROUNDED_ALIKE[i.operations].all())
    if isinstance(i, Products):
        return i.bias is None and i.first.shape[1] <= 2
    return not (isinstance(i, Layer | Sums | Fold) and i.reorders())


def near_ties(
    tape: Tape, outputs: Sequence[int], in_order: bool = False
) -> tuple[Tape, int] | None:
    """Find out in which rows the last digit could decide a comparison.

    Args:
        tape: of the function.
        outputs: the operands whose comparisons are meant.
        in_order: whether the sums that are compared are added up in the order of the engine.

    Returns:
        The tape with further nodes, and that of a condition which holds in those rows; None if
        nothing is compared that could be rounded otherwise.
    """
    count = len(tape.nodes)
    names = [NAMES[code] for code in tape.nodes] if count <= MOST_NODES else []
    needed = bytearray(len(names))
    for output in outputs:
        if 0 <= output < len(names):
            needed[output] = True
    handed_on = tape.loops.handed_on
    added = bytearray(len(names))  # whether what went into it may be rounded otherwise
    for node, name in enumerate(names):
        operands = [v for v in _operands(tape, node, name) if v >= 0]
        if name == CARRIED:
            operands = [v for v in tape.loops.given.get(node, ()) if v >= 0]
        sums = name in ("add", "sub", RESULT) or node in handed_on
        rounds_otherwise = (sums and not in_order) or not ROUNDED_ALIKE[tape.nodes[node]]
        added[node] = rounds_otherwise or any(added[v] for v in operands)
    for node in range(len(names) - 1, -1, -1):
        if needed[node]:
            within = (
                rounds.members(tape, rounds.round_of(tape, node)) if names[node] == LOOP else ()
            )
            for operand in (*_operands(tape, node, names[node]), *within):
                if operand >= 0:
                    needed[operand] = True
    compared = [
        node for node, name in enumerate(names)
        if needed[node] and DECIDES[tape.nodes[node]] and added[node]
        and (name in JUMPS or tape.left[node] != tape.right[node])
    ]  # fmt: skip
    if compared:
        rounds.find_counters(tape)
        whole(tape)  # of integers no order of the sums changes anything
        rounded = [
            node for node in compared
            if not all(is_whole(tape, v) for v in _operands(tape, node, names[node]))
        ]  # fmt: skip
        tape.needs_integers |= len(rounded) < len(compared)
        compared = rounded
    if not compared:
        return None
    links = any(added[k] for k, name in enumerate(names) if name in (TABLE, ENTRY) and needed[k])
    found = _Sizes(tape, set(compared))
    left_out = () if links else (TABLE, ENTRY)
    near = found.of_nodes(
        node for node, name in enumerate(names)
        if needed[node] and name not in left_out and not rounds.is_within(tape, node)
    )  # fmt: skip
    return found.wider, near


def _operands(tape: Tape, node: int, name: str) -> Sequence[int]:
    if name == LOOP:
        return entries_of(tape, tape.left[node])[1:]
    if name in ("reach", TAKE):  # where all is finite the condition, and the index, are exact
        return (tape.right[node],)
    return (tape.left[node], tape.right[node])[: ARITY[tape.nodes[node]]]


class _Sizes:
    """Writes down the size of each number beside it, and whether comparisons are near a tie.

    A loop is written once more: its rounds hand on sizes as well, and whether there was a tie.

    Args:
        tape: of the function.
        compared: the comparisons that are meant.

    Attributes:
        wider: the tape with further nodes.
    """

    def __init__(self, tape: Tape, compared: set[int]) -> None:
        self.tape, self.compared = tape, compared
        self.wider = wider(tape)
        self.sizes: dict[int, int] = {}
        self.place = rounds.Same()  # where what a round computes is once more
        self.loops: dict[int, int] = {}  # where each loop is once more

    def of_nodes(self, nodes: Iterable[int], in_round: bool = False) -> int:
        """Go through nodes in order; the condition that one of them is near a tie, or -1."""
        near, tape = -1, self.tape
        for node in nodes:
            name = NAMES[tape.nodes[node]]
            if name == LOOP:
                here = self._loop(node)
                near = self._either(near, here) if here >= 0 else near
                continue
            if in_round:
                self.place[node] = self._again(node, name)
            if name not in CONDITIONS and name != ROUND:  # of constants, when they are met
                self.sizes[node] = self._size(node, name)
            if node in self.compared:
                is_near = self._is_near if name not in JUMPS else self._jumps_near
                near = self._either(near, is_near(node))
        return near

    def _either(self, near: int, here: int) -> int:
        return here if near < 0 else self.wider.append("or", near, here)

    def _is_near(self, node: int) -> int:
        add, both = self.wider.append, (self.tape.left[node], self.tape.right[node])
        size = add("add", *map(self._size_of, both))
        far = add("abs", add("sub", *map(self._at, both)))
        return add("lt", far, add("mul", size, self.wider.constant(_NEAR)))

    def _jumps_near(self, node: int) -> int:
        """Whether its operand is next to a number where it jumps."""
        add, one, tape = self.wider.append, self.wider.constant, self.tape
        name, left, right = NAMES[tape.nodes[node]], tape.left[node], tape.right[node]
        x, size = self._at(left), self._size_of(left)
        if name in OF_QUOTIENTS:
            by = self._at(right)
            x = add("truediv", x, by)
            of_both = add("add", size, add("mul", add("abs", x), self._size_of(right)))
            size = add("abs", add("truediv", of_both, by))
        if name == "round_to":
            scale = add("pow", one(10.0), self._at(right))
            x, size = add("mul", x, scale), add("mul", size, scale)
        if name in BETWEEN:
            x = add("add", x, one(0.5))
        far = add("abs", x if name in AT_ZERO else add("sub", x, add("round", x)))
        return add("lt", far, add("mul", size, one(_NEAR)))

    def _at(self, operand: int) -> int:
        return self.place[operand] if operand >= 0 else operand

    def _size_of(self, operand: int) -> int:
        if operand < 0:
            return self.wider.constant(abs(self.tape.constants[~operand]))
        return self.sizes[operand]

    def _size(self, node: int, name: str) -> int:
        """How large the numbers are that were added up to a node."""
        add, left, right = self.wider.append, self.tape.left[node], self.tape.right[node]
        if name in ("add", "sub", "mul"):
            both = self._size_of(left), self._size_of(right)
            return add("mul" if name == "mul" else "add", *both)
        if name == "truediv":
            return add("abs", add("truediv", self._size_of(left), self._at(right)))
        if name in _PASSES:
            return self._size_of(left)
        if name in ("keep", "reach") or (name == TAKE and right in self.sizes):
            return add(name, self._at(left), self._size_of(right))
        if name in (TABLE, ENTRY):
            return add(name, *map(self._size_of, _operands(self.tape, node, name)))
        if name == RESULT:
            number, one = self.tape.constants[~right], rounds.round_of(self.tape, left)
            return self._result(self.loops[left], len(one.carried) + int(number))
        return add("abs", self._at(node))

    def _result(self, loop: int, number: int) -> int:
        return self.wider.append(RESULT, loop, self.wider.constant(float(number)))

    # ---- Loops ----

    def _again(self, node: int, name: str) -> int:
        """Write a node of a round once more, on what the round is handed there."""
        left, right = self.tape.left[node], self.tape.right[node]
        if name == TAKE:
            entries = map(self._at, entries_of(self.tape, right))
            return self.wider.append(TAKE, self._at(left), chain(self.wider, list(entries)))
        sides = (left, right)[: ARITY[self.tape.nodes[node]]]
        return self.wider.append(name, *(map(self._at, sides) if sides else (left,)))

    def _loop(self, node: int) -> int:
        """Write a loop once more; the condition that one of its rounds was near a tie, or -1."""
        wider, one = self.wider, rounds.round_of(self.tape, node)
        carried, given = (
            [[wider.append(CARRIED, 0) for _ in leaves] for _ in range(2)]
            for leaves in (one.carried, one.given)
        )
        noted = wider.append(CARRIED, 0)
        for leaves, (again, sizes) in ((one.carried, carried), (one.given, given)):
            self.place.update(zip(leaves, again, strict=True))
            self.sizes.update(zip(leaves, sizes, strict=True))
        near = self.of_nodes(rounds.computed(self.tape, one), in_round=True)

        def both(operands: list[int]) -> list[int]:
            return [*map(self._at, operands), *map(self._size_of, operands)]

        going, note = self._at(one.going) if one.going >= 0 else -1, noted
        if near >= 0:
            is_new = wider.append("and", near, wider.append("lt", noted, wider.constant(0.5)))
            note = wider.append("add", noted, wider.append("keep", is_new, wider.constant(1.0)))
            if going >= 0:  # the last condition of all is noted in a further round
                going = wider.append("or", going, is_new)
        found = rounds.Round(
            [*carried[0], *carried[1], noted], [*both(one.results), note],
            [*given[0], *given[1]], going, [*both(one.first), wider.constant(0.0)],
            list(map(both, one.rows)), [],
        )  # fmt: skip
        found = found._replace(held=rounds.held_by(wider, found))
        self.loops[node] = loop = rounds.written(wider, found)
        if rounds.is_within(self.tape, node):
            self.place[node] = loop
        if near < 0:
            return -1
        result = self._result(loop, 2 * len(one.carried))
        return wider.append("lt", wider.constant(0.5), result)
