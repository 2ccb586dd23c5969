"""From a tape to a graph in which nothing is computed twice, and nothing for nobody.

Stages: a node is ``CONSTANT``; or it depends on parameters alone and is computed ``ONCE`` per call;
or it differs from row to row, ``ROWS``. "Lower" means of an earlier stage. The passes are loops
over flat arrays, each linear in the number of nodes: a tape has millions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy

from microgradlike.compiler.arrays import Ints, Truths
from microgradlike.compiler.loops import loop
from microgradlike.compiler.operations import (
    AGAINST_A_NUMBER,
    ARITY,
    CODES,
    COMMUTES,
    DECIDES,
    ENTRY,
    LEAVES,
    LOOP,
    POSITIVE,
    SENDS,
    SENDS_TO,
    SHARP,
    TABLE,
    TAKE,
)
from microgradlike.compiler.tape import Tape

CONSTANT, ONCE, ROWS = 0, 1, 2

#: Instead of a condition's node: the error always reaches this node; it never does; or it does
#: where it is not zero, which tells it for the entries of a table.
ALWAYS, NEVER, WHERE_NOT_ZERO = -1, -2, -3

_CONSTANT, _PARAMETER, _INPUT = (CODES[name] for name in LEAVES)
_ADD, _SUB, _NEG, _MUL = (CODES[name] for name in ("add", "sub", "neg", "mul"))
_POW = CODES[AGAINST_A_NUMBER.format("pow")]
_DIVIDE, _WHERE = CODES["truediv"], CODES["where"]
_TABLE, _ENTRY, _TAKE = (CODES[name] for name in (TABLE, ENTRY, TAKE))
_LOOP = CODES[LOOP]
_KEEP, _REACH, _AND, _OR, _NOT = (CODES[name] for name in ("keep", "reach", "and", "or", "not"))


def _as_written(
    tape: Tape, left: Ints, right: Ints, arity: Ints, outputs: Ints
) -> tuple[Ints, Ints, Ints]:
    """The operands with what the engine computes in place of what stands for it on the tape."""
    instead = numpy.arange(len(left), dtype=numpy.int32)
    instead[list(tape.written)] = list(tape.written.values())

    def written(operands: Ints, users: Ints | int) -> Ints:
        # What was written down before the node that takes its place is a part of it.
        found = instead[operands]
        return numpy.where((operands >= 0) & (found < users), found, operands)

    users = numpy.arange(len(left), dtype=numpy.int32)
    return (
        numpy.where(arity > 0, written(left, users), left),
        numpy.where(arity == 2, written(right, users), right),
        written(outputs, len(left)),
    )


@loop()
def _merge_equal(
    op: Ints, left: Ints, right: Ints, arity: Ints, commutes: Truths, drops: Truths, one: Truths
) -> Ints:
    """For each node the first that computes the same: a table of those seen, by their hash.

    What drops is the same as its operand: the right one of a product with 1 on its left, and of an
    error that is kept where it is not 0.
    """
    count = len(op)
    size = 1
    while size < 2 * count:
        size *= 2
    table = numpy.full(size, -1, numpy.int32)
    same = numpy.empty(count, numpy.int32)
    for n in range(count):
        same[n] = n
        if arity[op[n]] == 0:
            continue
        a = same[left[n]]
        b = same[right[n]] if arity[op[n]] == 2 else 0
        left[n], right[n] = a, b
        if drops[n]:
            same[n] = b if op[n] == _REACH or (op[n] == _MUL and one[a]) else a
            continue
        low, high = (b, a) if commutes[op[n]] and a > b else (a, b)
        place = int(low) * 40503 + int(high) * 30011 + int(op[n]) * 977
        place = (place ^ (place >> 15)) & (size - 1)
        while table[place] >= 0:
            m = table[place]
            if op[m] == op[n]:
                c, d = left[m], right[m]
                if commutes[op[n]] and c > d:
                    c, d = d, c
                if c == low and d == high:
                    same[n] = m
                    break
            place = (place + 1) & (size - 1)
        else:
            table[place] = n
    return same


@loop()
def _mark_live(op: Ints, left: Ints, right: Ints, arity: Ints, live: Truths) -> None:
    """What the live nodes were computed from is live."""
    for n in range(len(op) - 1, -1, -1):
        if live[n] and arity[op[n]] > 0:
            live[left[n]] = True
            if arity[op[n]] == 2:
                live[right[n]] = True


class Graph:
    """The nodes of a tape that outputs need, each computed once; constants come first.

    Attributes:
        tape: where it was read from.
        op, left, right: as on the tape, but every operand is a node.
        constants: the numbers of the first nodes.
        of_tape, of_constant: for each node of the tape, and each of its constants, the node that it
            is here; -1 if no output needs it.
        outputs: the nodes of the outputs.
        as_written: whether nothing was, and nothing is to be, written in another way.
        ordered: the additions that are made in the order of the engine: short sums that end in a
            comparison, or in an operator that jumps, for the last digit can decide there; and such
            as end where it matters whether they are 0: at the kink of abs, or in 1 / x. Sums of
            weighted values are layers, which are quicker in another order.
        in_order: whether all sums are so that end in a comparison, or in an operator that jumps.
        nothing: the nodes of errors that do not arrive everywhere (``reach``): elsewhere they are
            0, unless they are multiplied by infinities or NaN.
        reach: for each node the condition under which the error reaches it, ``ALWAYS``, ``NEVER``
            or ``WHERE_NOT_ZERO``: a branch of ``where`` that was not taken gets none, nor does an
            entry of a table.
        elsewhere: for each node whether somebody reads it to whom no error goes back, such as a
            comparison. If nobody does, it is needed only where the error reaches it.

    Args:
        tape: of the function.
        outputs: the operands that are wanted.
        sending: how many of the first outputs send an error back; by default all.
        as_written: compute as the engine does: equal operations do not become one, a square is no
            product, and sums are added up in the order in which they were written. Parameters
            are further inputs of a row, so that nothing is computed once for all rows.
        depends: of a round of a loop, for whom the error of the loop is wanted.
    """

    def __init__(
        self,
        tape: Tape,
        outputs: Sequence[int],
        sending: int | None = None,
        as_written: bool = False,
        depends: int = 0,
    ) -> None:
        self.tape, self.as_written = tape, as_written
        shift = len(tape.constants)
        op = numpy.frombuffer(tape.nodes, numpy.uint8).astype(numpy.int32)
        left: Ints = numpy.frombuffer(tape.left, numpy.int32)
        right: Ints = numpy.frombuffer(tape.right, numpy.int32)
        ends: Ints = numpy.array(outputs, numpy.int32)
        arity = ARITY[op]
        if as_written and tape.written:
            left, right, ends = _as_written(tape, left, right, arity, ends)

        def nodes(operands: Ints) -> Ints:
            return numpy.where(operands < 0, ~operands, operands + shift).astype(numpy.int32)

        op = numpy.concatenate([numpy.full(shift, _CONSTANT, numpy.int32), op])
        left = numpy.concatenate(
            [numpy.arange(shift, dtype=numpy.int32), numpy.where(arity > 0, nodes(left), left)]
        )
        right = numpy.concatenate([numpy.zeros(shift, numpy.int32), nodes(right)])
        if as_written:
            given = op == _PARAMETER
            left[given] += len(tape.numbers)
            op[given] = _INPUT
            op[op == _REACH] = _KEEP
        square = (op == _POW) & (right < shift) & (not as_written)
        if square.any():  # x ** 2 is x * x, so that sums of squares look alike
            two = numpy.array(tape.constants) == 2.0
            square[square] = two[right[square]]
            op[square] = _MUL
            right[square] = left[square]
        same: Ints = numpy.arange(len(op), dtype=numpy.int32)
        if not as_written:
            one = numpy.zeros(len(op), bool)
            one[:shift] = numpy.array(tape.constants) == 1.0
            # A term of a sum stays: a matrix may have ones among its weights.
            linear = numpy.isin(op, (_ADD, _SUB, _NEG))
            term = numpy.zeros(len(op), bool)
            term[left[linear]] = term[right[linear & (op != _NEG)]] = True
            drops = (op == _MUL) & (one[left] | one[right]) & ~term
            drops |= ((op == _DIVIDE) | (op == _POW)) & one[right]
            drops |= (op == _WHERE) | (op == _REACH)
            same = _merge_equal(op, left, right, ARITY, COMMUTES, drops, one)
        ends = same[nodes(ends)]
        live = numpy.zeros(len(op), bool)
        live[ends] = True
        _mark_live(op, left, right, ARITY, live)
        number = (numpy.cumsum(live, dtype=numpy.int32) - 1).astype(numpy.int32)
        computed = ARITY[op] > 0
        self.op: Ints = op[live]
        self.left: Ints = numpy.where(computed, number[left], left)[live].astype(numpy.int32)
        self.right: Ints = numpy.where(ARITY[op] == 2, number[right], 0)[live].astype(numpy.int32)
        self.constants = numpy.array(tape.constants, float)[live[:shift]]
        self.of_tape = numpy.where(live[same], number[same], -1)[shift:].astype(numpy.int32)
        self.of_constant: Ints = numpy.where(live[:shift], number[:shift], -1)
        self.outputs = number[ends]
        reached = numpy.zeros(len(op), bool)
        reached[right[op == _REACH]] = True
        self.nothing = number[reached & live]
        self._find_reach(self.outputs[:sending])
        self.stage = numpy.zeros(len(self.op), numpy.int8)
        self.depends = numpy.zeros(len(self.op), numpy.int8)
        _find_stages(self.op, self.left, self.right, ARITY, SENDS, self.stage, self.depends)
        self.ordered = numpy.full(len(self.op), as_written)
        self.in_order = False
        if not (as_written or tape.loops.rounds):
            zero = numpy.zeros(len(self.op), bool)
            zero[: len(self.constants)] = self.constants == 0
            self.in_order = _find_ordered(
                *(self.op, self.left, self.right, ARITY, self.stage),
                *(DECIDES, SHARP, POSITIVE, zero, self.ordered),
            )
        if depends:  # what is handed on depends on all that the loop does
            self.depends[self.depends > 0] = depends

    def _find_reach(self, sending: Ints) -> None:
        op, left, right = self.op, self.left, self.right
        if (op == _KEEP).any():  # room for conditions
            room = numpy.zeros(len(op), numpy.int32)
            op, left, right = (numpy.concatenate([x, room]) for x in (op, left, right))
        reach = numpy.full(len(op), NEVER, numpy.int32)
        reach[sending] = ALWAYS
        count = _find_reach(op, left, right, ARITY, SENDS, reach, len(self.op))
        self.op, self.left, self.right, self.reach = (x[:count] for x in (op, left, right, reach))
        self.elsewhere = numpy.full(count, self.as_written)
        self.elsewhere[self.outputs[len(sending) :]] = True
        _find_elsewhere(self.op, self.left, self.right, ARITY, SENDS_TO, self.elsewhere)

    def tables(self, ends: Ints) -> list[Ints]:
        """The entries of the tables whose chains end at these nodes."""
        found: list[Ints] = []
        at = ends.copy()
        while len(at) and (linked := self.op[at] == _ENTRY).any():
            found.append(numpy.where(linked, self.right[at], -1))
            at = numpy.where(linked, self.left[at], at)
        found.append(self.left[at])
        columns = numpy.array(found[::-1]).T
        return [column[column >= 0] for column in columns]

    def key(self) -> tuple[bytes, ...]:
        """Equal for graphs that compute the same."""
        arrays = (self.op, self.left, self.right, self.constants, self.outputs)
        key = tuple(array.tobytes() for array in arrays)
        tape = self.tape
        if not tape.loops.rounds:
            return key
        # What a loop does in a round is no part of the graph, but of its tape.
        of_rounds = repr((tape.loops.rounds, tape.constants)).encode()
        return (*key, bytes(tape.nodes), tape.left.tobytes(), tape.right.tobytes(), of_rounds)


#: Conditions are told apart by 64 times so many others that they are made of; further ones are not.
_WORDS, _LOW = 8, 0xFFFFFFFF


@loop()
def _find_reach(
    op: Ints, left: Ints, right: Ints, arity: Ints, sends: Truths, reach: Ints, count: int
) -> int:
    """Under which condition the error reaches each node, from the outputs down to the leaves.

    Two conditions make a third one, which becomes a node of its own, unless there is one already
    that holds in the same rows. ``made`` has a row for each that others are made of, or that is
    made: a bit for each condition that makes it hold alone.
    """
    end, atoms = count, 0
    row_of = numpy.full(len(op), -1, numpy.int32)
    made = numpy.zeros((64, _WORDS), numpy.uint64)
    of_row = numpy.zeros(64, numpy.int32)
    rows = 0
    table = numpy.full(256, -1, numpy.int32)  # of rows, by their bits
    for n in range(count - 1, -1, -1):
        if reach[n] == NEVER or not sends[op[n]]:
            continue
        for side in range(arity[op[n]]):
            operand = left[n] if side == 0 else right[n]
            new = reach[n]
            if arity[op[operand]] == 0:
                continue  # a leaf has nobody to send to
            if op[n] == _KEEP:
                if side == 0:
                    continue
                if new == ALWAYS or new == left[n]:
                    new = left[n]
                elif new != WHERE_NOT_ZERO:
                    op[end], left[end], right[end] = _AND, new, left[n]
                    new, end = end, end + 1
            elif op[n] == _TAKE:
                if side == 0:
                    continue
                new = WHERE_NOT_ZERO
            old = reach[operand]
            if old == NEVER or new == ALWAYS:
                reach[operand] = new
            elif old == WHERE_NOT_ZERO or (new == WHERE_NOT_ZERO and old != ALWAYS):
                reach[operand] = WHERE_NOT_ZERO
            elif old != ALWAYS and old != new:
                if (op[old] == _NOT and left[old] == new) or (op[new] == _NOT and left[new] == old):
                    reach[operand] = ALWAYS  # both branches use it
                    continue
                if rows + 3 > len(made):
                    made = numpy.concatenate((made, numpy.zeros_like(made)))
                    of_row = numpy.concatenate((of_row, numpy.zeros_like(of_row)))
                    table = numpy.full(4 * len(made), -1, numpy.int32)
                    for row in range(rows):
                        table[_place_of(made, row, table)] = row
                for which in range(2):
                    condition = old if which == 0 else new
                    if row_of[condition] < 0 and atoms < 64 * _WORDS:
                        made[rows] = numpy.uint64(0)
                        row_of[condition], of_row[rows] = rows, condition
                        made[rows, atoms // 64] = numpy.uint64(1) << numpy.uint64(atoms % 64)
                        table[_place_of(made, rows, table)] = rows
                        rows, atoms = rows + 1, atoms + 1
                a, b, found = row_of[old], row_of[new], -1
                if a >= 0 and b >= 0:
                    for word in range(_WORDS):
                        made[rows, word] = made[a, word] | made[b, word]
                    found = table[_place_of(made, rows, table)]
                    if found >= 0:
                        reach[operand] = of_row[found]
                        continue
                if end == len(op):
                    raise MemoryError("more conditions than nodes")
                op[end], left[end], right[end] = _OR, old, new
                if a >= 0 and b >= 0:
                    row_of[end], of_row[rows] = rows, end
                    table[_place_of(made, rows, table)] = rows
                    rows += 1
                reach[operand], end = end, end + 1
    return end


@loop()
def _place_of(made: Ints, row: int, table: Ints) -> int:
    """The place of a row in the table, or of one that is equal to it; or where it could be."""
    place = 0
    for word in range(_WORDS):
        for part in (made[row, word] >> numpy.uint64(32), made[row, word] & numpy.uint64(_LOW)):
            place = (place * 1_000_003 + int(part)) % 2_147_483_647
    place %= len(table)
    while table[place] >= 0:
        equal = True
        for word in range(_WORDS):
            equal = equal and made[table[place], word] == made[row, word]
        if equal:
            break
        place = (place + 1) & (len(table) - 1)
    return place


@loop()
def _find_elsewhere(
    op: Ints, left: Ints, right: Ints, arity: Ints, sends_to: Truths, elsewhere: Truths
) -> None:
    """See ``Graph.elsewhere``; ``sends_to`` tells it for each operator, and each of its sides."""
    for n in range(len(op) - 1, -1, -1):
        for side in range(arity[op[n]]):
            if elsewhere[n] or not sends_to[op[n], side] or op[n] == _LOOP:
                elsewhere[left[n] if side == 0 else right[n]] = True


@loop()
def _find_stages(
    op: Ints, left: Ints, right: Ints, arity: Ints, sends: Truths, stage: Ints, depends: Ints
) -> None:
    """When each node is computed; and whether its slope by a parameter (1) or input (2) matters."""
    for n in range(len(op)):
        if op[n] == _PARAMETER:
            stage[n], depends[n] = ONCE, 1
        elif op[n] == _INPUT:
            stage[n], depends[n] = ROWS, 2
        elif arity[op[n]] > 0:
            a, both = left[n], arity[op[n]] == 2
            stage[n] = max(stage[a], stage[right[n]]) if both else stage[a]
            stage[n] = max(stage[n], ONCE)  # also of constants alone, which ``reach`` leaves
            if sends[op[n]]:
                if op[n] != _KEEP and op[n] != _TAKE:
                    depends[n] = depends[a]
                if both:
                    depends[n] |= depends[right[n]]


#: Longer sums are layers, which are quicker in another order.
LONGEST = 8


@loop()
def _find_ordered(
    op: Ints, left: Ints, right: Ints, arity: Ints, stage: Ints, by_digits: Truths, sharp: Truths,
    positive: Truths, zero: Truths, ordered: Truths,
) -> bool:  # fmt: skip
    """Which additions are made in the engine's order; whether that is so for all that decide."""
    count = len(op)
    uses, terms = numpy.zeros(count, numpy.int32), numpy.ones(count, numpy.int32)
    rising, weighted = numpy.ones(count, numpy.bool_), numpy.zeros(count, numpy.bool_)
    for n in range(count):
        for side in range(arity[op[n]]):
            uses[left[n] if side == 0 else right[n]] += 1
    root = numpy.full(count, -1, numpy.int32)
    for n in range(count - 1, -1, -1):
        if op[n] == _ADD or op[n] == _SUB or op[n] == _NEG:
            if root[n] < 0:
                root[n], terms[n] = n, 0
            top = root[n]
            for side in range(arity[op[n]]):
                operand = left[n] if side == 0 else right[n]
                inner = op[operand] == _ADD or op[operand] == _SUB or op[operand] == _NEG
                if inner and uses[operand] == 1:
                    root[operand] = top
                    continue
                terms[top] += not zero[operand]  # ``sum`` begins with 0
                a, b = left[operand], right[operand]
                is_product = op[operand] == _MUL
                weighted[top] |= is_product and stage[a] != stage[b] and min(stage[a], stage[b]) > 0
                is_square = is_product and a == b
                rising[top] &= op[n] == _ADD and (is_square or positive[op[operand]])
    decides, near = numpy.zeros(count, numpy.bool_), numpy.zeros(count, numpy.bool_)
    for n in range(count - 1, -1, -1):
        adds = op[n] == _ADD or op[n] == _SUB or op[n] == _NEG
        passes = near[n] and (adds or op[n] == _MUL or op[n] == _KEEP or op[n] == _DIVIDE)
        for side in range(arity[op[n]]):
            operand = left[n] if side == 0 else right[n]
            of_itself = arity[op[n]] == 2 and left[n] == right[n]
            decides[operand] |= decides[n] or (by_digits[op[n]] and not of_itself)
            near[operand] |= passes or (sharp[op[n]] and (side == 1 or op[n] != _DIVIDE))
    short = True
    for n in range(count):
        if root[n] >= 0 and decides[n]:
            short = short and terms[root[n]] <= LONGEST
    for n in range(count):
        if root[n] >= 0:
            top = root[n]
            exact = terms[top] <= LONGEST and not weighted[top] and not rising[top]
            ordered[n] = (decides[n] and short) or (near[top] and exact)
    return short


# ---- The order of the engine -------------------------------------------------------------------


@loop()
def depth_first(op: Ints, left: Ints, right: Ints, arity: Ints, outputs: Ints) -> Ints:
    """The nodes in the order in which the engine has them: see ``engine.topological_order``.

    Leaves are not listed; conditions that no output needs come last.
    """
    order = numpy.empty(len(op), numpy.int32)
    state = numpy.zeros(len(op), numpy.int8)  # 1: opened, 2: listed
    path = numpy.empty(3 * len(op) + 1, numpy.int32)
    done = 0
    for root in list(outputs) + list(range(len(op))):
        path[0], top = root, 1
        while top:
            n = path[top - 1]
            if state[n] or arity[op[n]] == 0:
                top -= 1
                if state[n] == 1:
                    order[done], done, state[n] = n, done + 1, 2
                continue
            state[n] = 1
            if arity[op[n]] == 2 and not state[right[n]]:
                path[top], top = right[n], top + 1
            if not state[left[n]]:
                path[top], top = left[n], top + 1
    return order[:done]
