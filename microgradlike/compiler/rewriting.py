"""The passes that find dot products in a tape: loops over flat arrays, each a few lines long.

A tape has millions of nodes, so these loops run as machine code where numba is installed (the extra
``compile``) and as the same Python where it is not. Every pass is linear in the number of nodes.

Stages: a node is ``CONSTANT``; or it depends on parameters alone and is computed ``ONCE`` per call;
or it differs from row to row, ``ROWS``. "Lower" below means of an earlier stage.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy

from microgradlike.compiler import tape as tapes
from microgradlike.compiler.loops import loop
from microgradlike.compiler.tape import (
    AGAINST_A_NUMBER,
    CODES,
    CONDITIONS,
    LEAVES,
    NAMES,
    Tape,
    row_of,
)

CONSTANT, ONCE, ROWS = 0, 1, 2

#: Instead of a condition's node: the error always reaches this node, or it never does.
ALWAYS, NEVER = -1, -2

# ---- The operators as the loops see them -------------------------------------------------------

_ARITY = numpy.array(tapes.ARITY, numpy.int8)
_COMMUTES = numpy.isin(NAMES, ("add", "mul", "and", "or", "eq", "ne"))
#: Which operators let the error pass, and which of these only to their right operand.
_FLAT = [name for name in NAMES if (row := row_of(name)[0]) and row.is_flat]
_SENDS = ~numpy.isin(NAMES, (*LEAVES, *CONDITIONS, *_FLAT, "detach"))
_FOLDS = numpy.isin(NAMES, ("logaddexp", "maximum", "minimum"))

_CONSTANT, _PARAMETER, _INPUT = (CODES[name] for name in LEAVES)
_ADD, _SUB, _NEG, _MUL = (CODES[name] for name in ("add", "sub", "neg", "mul"))
_LOGADDEXP = CODES["logaddexp"]
_POW = CODES[AGAINST_A_NUMBER.format("pow")]
_DIVIDE, _WHERE = CODES["truediv"], CODES["where"]
_KEEP, _REACH, _AND, _OR, _NOT = (CODES[name] for name in ("keep", "reach", "and", "or", "not"))


# ---- From a tape to a graph without repetition -------------------------------------------------


def _as_written(tape: Tape, left: Any, right: Any, arity: Any, outputs: Any) -> tuple[Any, ...]:
    """The operands with what the engine computes in place of what stands for it on the tape."""
    instead = numpy.arange(len(left), dtype=numpy.int32)
    instead[list(tape.written)] = list(tape.written.values())

    def written(operands: Any, users: Any) -> Any:
        # What was written down before the node that takes its place is a part of it.
        found = instead[operands]
        return numpy.where((operands >= 0) & (found < users), found, operands)

    users = numpy.arange(len(left), dtype=numpy.int32)
    return (
        numpy.where(arity > 0, written(left, users), left),
        numpy.where(arity == 2, written(right, users), right),
        written(numpy.asarray(outputs, numpy.int32), len(left)),
    )


@loop()
def _merge_equal(
    op: Any, left: Any, right: Any, arity: Any, commutes: Any, drops: Any, one: Any
) -> Any:
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
def _mark_live(op: Any, left: Any, right: Any, arity: Any, live: Any) -> None:
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
        outputs: the nodes of the outputs.
        as_written: whether nothing was, and nothing is to be, written in another way.
        nothing: the nodes of errors that do not arrive everywhere (``reach``): elsewhere they are
            0, unless they are multiplied by infinities or NaN.
        reach: for each node the condition under which the error reaches it, ``ALWAYS`` or
            ``NEVER``: a branch of ``where`` that was not taken gets none.

    Args:
        tape: of the function.
        outputs: the operands that are wanted.
        sending: how many of the first outputs send an error back; by default all.
        as_written: compute as the engine does: equal operations do not become one, a square is no
            product, and sums are added up in the order in which they were written. Parameters
            are further inputs of a row, so that nothing is computed once for all rows.
    """

    def __init__(
        self, tape: Tape, outputs: Any, sending: int | None = None, as_written: bool = False
    ) -> None:
        self.tape, self.as_written = tape, as_written
        shift = len(tape.constants)
        op = numpy.frombuffer(tape.nodes, numpy.uint8).astype(numpy.int32)
        left, right = (numpy.frombuffer(x, numpy.int32) for x in (tape.left, tape.right))
        arity = _ARITY[op]
        if as_written and tape.written:
            left, right, outputs = _as_written(tape, left, right, arity, outputs)

        def nodes(operands: Any) -> Any:
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
        same = numpy.arange(len(op), dtype=numpy.int32)
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
            same = _merge_equal(op, left, right, _ARITY, _COMMUTES, drops, one)
        ends = same[nodes(numpy.asarray(outputs, numpy.int32))]
        live = numpy.zeros(len(op), bool)
        live[ends] = True
        _mark_live(op, left, right, _ARITY, live)
        number = (numpy.cumsum(live, dtype=numpy.int32) - 1).astype(numpy.int32)
        computed = _ARITY[op] > 0
        self.op = op[live]
        self.left = numpy.where(computed, number[left], left)[live].astype(numpy.int32)
        self.right = numpy.where(_ARITY[op] == 2, number[right], 0)[live].astype(numpy.int32)
        self.constants = numpy.array(tape.constants, float)[live[:shift]]
        self.outputs = number[ends]
        reached = numpy.zeros(len(op), bool)
        reached[right[op == _REACH]] = True
        self.nothing = number[reached & live]
        self._find_reach(self.outputs[:sending])
        self.stage = numpy.zeros(len(self.op), numpy.int8)
        self.depends = numpy.zeros(len(self.op), numpy.int8)
        _find_stages(self.op, self.left, self.right, _ARITY, _SENDS, self.stage, self.depends)

    def _find_reach(self, sending: Any) -> None:
        op, left, right = self.op, self.left, self.right
        if (op == _KEEP).any():  # room for conditions
            room = numpy.zeros(len(op), numpy.int32)
            op, left, right = (numpy.concatenate([x, room]) for x in (op, left, right))
        reach = numpy.full(len(op), NEVER, numpy.int32)
        reach[sending] = ALWAYS
        count = _find_reach(op, left, right, _ARITY, _SENDS, reach, len(self.op))
        self.op, self.left, self.right, self.reach = (x[:count] for x in (op, left, right, reach))

    def key(self) -> tuple[bytes, ...]:
        """Equal for graphs that compute the same."""
        arrays = (self.op, self.left, self.right, self.constants, self.outputs)
        return tuple(array.tobytes() for array in arrays)


@loop()
def _find_reach(
    op: Any, left: Any, right: Any, arity: Any, sends: Any, reach: Any, count: int
) -> int:
    """Under which condition the error reaches each node, from the outputs down to the leaves.

    Two conditions make a third one, which becomes a node of its own.
    """
    end = count
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
                else:
                    op[end], left[end], right[end] = _AND, new, left[n]
                    new, end = end, end + 1
            old = reach[operand]
            if old == NEVER or new == ALWAYS:
                reach[operand] = new
            elif old != ALWAYS and old != new:
                if (op[old] == _NOT and left[old] == new) or (op[new] == _NOT and left[new] == old):
                    reach[operand] = ALWAYS  # both branches use it
                elif end < len(op):
                    op[end], left[end], right[end] = _OR, old, new
                    reach[operand], end = end, end + 1
                else:
                    raise MemoryError("more conditions than nodes")
    return end


@loop()
def _find_stages(
    op: Any, left: Any, right: Any, arity: Any, sends: Any, stage: Any, depends: Any
) -> None:
    """When each node is computed; and whether its slope by a parameter (1) or input (2) matters."""
    for n in range(len(op)):
        if op[n] == _PARAMETER:
            stage[n], depends[n] = ONCE, 1
        elif op[n] == _INPUT:
            stage[n], depends[n] = ROWS, 2
        elif op[n] != _CONSTANT:
            a, both = left[n], arity[op[n]] == 2
            stage[n] = max(stage[a], stage[right[n]]) if both else stage[a]
            stage[n] = max(stage[n], ONCE)  # also of constants alone, which ``reach`` leaves
            if sends[op[n]]:
                if op[n] != _KEEP:
                    depends[n] = depends[a]
                if both:
                    depends[n] |= depends[right[n]]


# ---- Linear forms: sums of terms, however they were written ------------------------------------

#: What a node becomes.
GONE, PLAIN, FORM, FOLD = 0, 1, 2, 3


@loop()
def _find_roots(
    op: Any, left: Any, right: Any, arity: Any, stage: Any, folds: Any, is_output: Any,
    role: Any, root: Any, sign: Any, uses: Any, blocked: Any,
) -> None:  # fmt: skip
    """Which sum each addition is part of, and with which sign; likewise of chains of folds."""
    for n in range(len(op)):
        for side in range(arity[op[n]]):
            operand = left[n] if side == 0 else right[n]
            uses[operand] += 1
            if not (op[n] == _ADD or op[n] == _SUB or op[n] == _NEG) or stage[n] != stage[operand]:
                blocked[operand] = True  # as a product it cannot become a term of that user
    for n in range(len(op) - 1, -1, -1):
        if arity[op[n]] == 0:
            continue
        if op[n] == _ADD or op[n] == _SUB or op[n] == _NEG:
            if root[n] < 0:
                root[n], sign[n], role[n] = n, 1, FORM
            for side in range(arity[op[n]]):
                operand = left[n] if side == 0 else right[n]
                inner = op[operand] == _ADD or op[operand] == _SUB or op[operand] == _NEG
                alone = uses[operand] == 1 and not is_output[operand]
                if inner and alone and stage[operand] == stage[n]:
                    minus = op[n] == _NEG or (op[n] == _SUB and side == 1)
                    root[operand], sign[operand] = root[n], -sign[n] if minus else sign[n]
        elif folds[op[n]] and stage[left[n]] == stage[right[n]]:
            if root[n] < 0:
                root[n], role[n] = n, FOLD
            for side in range(2 if op[n] == _LOGADDEXP else 1):  # a tree, or a chain
                a = left[n] if side == 0 else right[n]
                alone = op[a] == op[n] and uses[a] == 1 and not is_output[a]
                if alone and stage[left[a]] == stage[n] and stage[right[a]] == stage[n]:
                    root[a] = root[n]
        else:
            role[n] = PLAIN


#: The kinds of terms: weight x value, a value alone, a product of two values, a lower value.
WEIGHTED, UNIT, PRODUCT, BIAS = 0, 1, 2, 3


@loop()
def _count_terms(
    op: Any, left: Any, right: Any, arity: Any, stage: Any, uses: Any, blocked: Any, is_output: Any,
    root: Any, counts: Any,
) -> None:  # fmt: skip
    """How many terms of each kind a sum could have."""
    for n in range(len(op)):
        if op[n] == _ADD or op[n] == _SUB or op[n] == _NEG:
            for side in range(arity[op[n]]):
                operand = left[n] if side == 0 else right[n]
                linear = op[operand] == _ADD or op[operand] == _SUB or op[operand] == _NEG
                if linear and root[operand] == root[n] and operand != root[operand]:
                    continue
                counts[root[n], _kind(op, left, right, stage, uses, blocked, n, operand)] += 1


@loop()
def _kind(
    op: Any, left: Any, right: Any, stage: Any, uses: Any, blocked: Any, n: int, operand: int
) -> int:
    if stage[operand] < stage[n]:
        return BIAS
    if op[operand] == _MUL and not blocked[operand]:
        if stage[left[operand]] != stage[right[operand]]:
            return WEIGHTED
        if uses[operand] == 1:
            return PRODUCT
    return UNIT


@loop()
def _collect_terms(
    op: Any, left: Any, right: Any, arity: Any, stage: Any, uses: Any, blocked: Any,
    root: Any, sign: Any, role: Any, weighted: Any, products: Any, used: Any,
    kind: Any, of: Any, first: Any, second: Any, signs: Any,
) -> int:  # fmt: skip
    """The terms of all sums, in the order in which they were written; products in use are kept."""
    end = 0
    for n in range(len(op)):
        if not (op[n] == _ADD or op[n] == _SUB or op[n] == _NEG) or role[root[n]] != FORM:
            continue
        for side in range(arity[op[n]]):
            operand = left[n] if side == 0 else right[n]
            linear = op[operand] == _ADD or op[operand] == _SUB or op[operand] == _NEG
            if linear and root[operand] == root[n] and operand != root[operand]:
                continue
            what = _kind(op, left, right, stage, uses, blocked, n, operand)
            a, b = operand, operand
            if what == WEIGHTED and weighted[root[n]]:
                a, b = left[operand], right[operand]
                if stage[a] == stage[n]:
                    a, b = b, a
            elif what == PRODUCT and products[root[n]]:
                a, b = left[operand], right[operand]
            elif what != BIAS:
                what = UNIT
                used[operand] = True
            minus = op[n] == _NEG or (op[n] == _SUB and side == 1)
            kind[end], of[end], first[end], second[end] = what, root[n], a, b
            signs[end] = -sign[n] if minus else sign[n]
            end += 1
    return end


class Terms(NamedTuple):
    """The terms of all sums: ``first`` and ``second`` are weight and value, or both factors, or the
    value twice; ``of`` is the sum's node."""

    kind: Any
    of: Any
    first: Any
    second: Any
    sign: Any


class Operands(NamedTuple):
    """The values of all folds; ``of`` is the fold's node."""

    of: Any
    value: Any


class Forms:
    """What the nodes of a graph become: plain operations, sums of terms, folds.

    Args:
        graph: what is to be rewritten.
        as_written: the sums and folds that stay the plain operations that they were written as.

    Attributes:
        role: for each node ``GONE``, ``PLAIN``, ``FORM`` or ``FOLD``.
        terms: of all sums.
        operands: of all folds.
    """

    def __init__(self, graph: Graph, as_written: Any = None) -> None:
        op, left, right, stage = graph.op, graph.left, graph.right, graph.stage
        count = len(op)
        if as_written is None:
            as_written = numpy.zeros(count, bool)
        is_output = numpy.zeros(count, bool)
        is_output[graph.outputs] = True
        self.role = numpy.zeros(count, numpy.int8)
        root = numpy.full(count, -1, numpy.int32)
        sign = numpy.ones(count, numpy.int8)
        uses = numpy.zeros(count, numpy.int32)
        blocked = is_output.copy()
        _find_roots(
            *(op, left, right, _ARITY, stage, _FOLDS, is_output),
            *(self.role, root, sign, uses, blocked),
        )
        counts = numpy.zeros((count, 4), numpy.int32)
        _count_terms(op, left, right, _ARITY, stage, uses, blocked, is_output, root, counts)
        with_weights, alone, with_products, _ = counts.T
        # A sum of products of values stays one only if it is nothing else; a single weight beside
        # values alone is a plain multiplication.
        products = (with_products >= 2) & (with_weights + alone == 0)
        rest = alone + numpy.where(products, 0, with_products)
        weighted = (with_weights >= 2) | ((with_weights == 1) & (rest == 0))
        inner = (root >= 0) & (root != numpy.arange(count))
        has_inner = numpy.zeros(count, bool)
        has_inner[root[inner]] = True
        self.role[(self.role == FORM) & ~has_inner & ~products & ~weighted] = PLAIN
        self.role[(root >= 0) & as_written[root]] = PLAIN
        terms = int(counts[self.role == FORM].sum())
        self.terms = Terms(*(numpy.empty(terms, numpy.int32) for _ in Terms._fields))
        used = is_output.copy()  # products that are needed by themselves
        _collect_terms(
            *(op, left, right, _ARITY, stage, uses, blocked, root, sign, self.role),
            *(weighted, products, used, *self.terms),
        )
        plain = self.role == PLAIN
        for operands, arity in ((left, 1), (right, 2)):
            used[operands[plain & (_ARITY[op] >= arity)]] = True
        self._collect_folds(graph, root, used, as_written)
        absorbable = (op == _MUL) & ~blocked & plain
        self.role[absorbable & ~used] = GONE

    def _collect_folds(self, graph: Graph, root: Any, used: Any, as_written: Any) -> None:
        """Chains and trees of one operation: a fold of three or more values; others are plain."""
        chained = numpy.flatnonzero((root >= 0) & _FOLDS[graph.op])
        if not len(chained):
            self.operands = Operands(chained, chained)
            return
        length = numpy.bincount(root[chained], minlength=len(root))
        is_fold = (length[root[chained]] >= 2) & ~as_written[root[chained]]
        short = chained[~is_fold]
        self.role[short] = PLAIN
        chained = chained[is_fold]
        ends = [x[chained] for x in (graph.left, graph.right)]
        heads = [root[operands] != root[chained] for operands in ends]
        values = numpy.concatenate([x[is_head] for x, is_head in zip(ends, heads, strict=True)])
        of = numpy.concatenate([root[chained[is_head]] for is_head in heads])
        order = numpy.lexsort((numpy.arange(len(of)), of))
        self.operands = Operands(of[order], values[order])
        used[self.operands.value] = True
        used[graph.left[short]] = used[graph.right[short]] = True


@loop()
def find_levels(
    op: Any, left: Any, right: Any, arity: Any, stage: Any, role: Any,
    start: Any, operands: Any, order: Any, level: Any,
) -> None:  # fmt: skip
    """The longest way from the leaves of its stage up to each node that is computed.

    Args:
        start, operands: of sums and folds, in a row for each node: their values.
        order: the nodes in an order in which operands come first.
    """
    for n in order:
        if role[n] == GONE:
            continue
        highest = 0
        if role[n] == PLAIN:
            for side in range(arity[op[n]]):
                operand = left[n] if side == 0 else right[n]
                if stage[operand] == stage[n]:
                    highest = max(highest, level[operand])
        else:
            for place in range(start[n], start[n + 1]):
                operand = operands[place]
                if stage[operand] == stage[n]:
                    highest = max(highest, level[operand])
        level[n] = highest + 1


# ---- The order of the engine -------------------------------------------------------------------


@loop()
def depth_first(op: Any, left: Any, right: Any, arity: Any, outputs: Any) -> Any:
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


# ---- Slots that are used again -----------------------------------------------------------------

#: So many places are looked at for room; then there is some at the end.
_FAR = 4096


@loop()
def reuse_slots(out: Any, count: Any, start: Any, reads: Any, last: Any, place: Any) -> int:
    """Give slots new places, which are free again when nobody reads them any more.

    Args:
        out, count: for each step the first slot that it writes, and how many; they stay in a row.
        start, reads: for each step the slots that it reads.
        last: for each slot the step that reads it last.
        place: where each slot stands; -1 for those that a step writes, which is found here.

    Returns:
        How many places there are.
    """
    taken = place >= 0
    low = top = int(taken.sum())
    taken[:top], taken[top:] = True, False
    for step in range(len(out)):
        n, here, room = count[step], low, 0
        while here < top and room < n and here < low + _FAR:
            room = 0 if taken[here] else room + 1
            here += 1
        first = here - room if room == n or here == top else top
        top = max(top, first + n)
        for k in range(n):
            taken[first + k] = True
            place[out[step] + k] = first + k
        for k in range(start[step], start[step + 1]):
            slot = reads[k]
            if last[slot] == step:
                taken[place[slot]] = False
                low = min(low, place[slot])
        while low < top and taken[low]:
            low += 1
    return top


ARITY, SENDS = _ARITY, _SENDS
