"""What the nodes of a graph become: sums of terms, however they were written; folds; operations.

A sum of products of weights and values is a row of a layer, a sum of products of values a dot
product. They are found as trees of additions, whose leaves are their terms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy

from microgradlike.compiler.arrays import Ints, Truths
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.loops import loop
from microgradlike.compiler.operations import ARITY, CODES, ENTRY, FOLDS, TABLE

_ADD, _SUB, _NEG, _MUL = (CODES[name] for name in ("add", "sub", "neg", "mul"))
_LOGADDEXP, _TABLE, _ENTRY = (CODES[name] for name in ("logaddexp", TABLE, ENTRY))

#: What a node becomes.
GONE, PLAIN, FORM, FOLD = 0, 1, 2, 3


@loop()
def _find_roots(
    op: Ints, left: Ints, right: Ints, arity: Ints, stage: Ints, folds: Truths, is_output: Truths,
    role: Ints, root: Ints, sign: Ints, uses: Ints, blocked: Truths,
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
        elif op[n] != _TABLE and op[n] != _ENTRY:  # these are read by who takes from them
            role[n] = PLAIN


#: The kinds of terms: weight x value, a value alone, a product of two values, a lower value.
WEIGHTED, UNIT, PRODUCT, BIAS = 0, 1, 2, 3


@loop()
def _count_terms(
    op: Ints, left: Ints, right: Ints, arity: Ints, stage: Ints, uses: Ints, blocked: Truths,
    is_output: Truths, root: Ints, counts: Ints,
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
    op: Ints,
    left: Ints,
    right: Ints,
    stage: Ints,
    uses: Ints,
    blocked: Truths,
    n: int,
    operand: int,
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
    op: Ints, left: Ints, right: Ints, arity: Ints, stage: Ints, uses: Ints, blocked: Truths,
    root: Ints, sign: Ints, role: Ints, weighted: Truths, products: Truths, used: Truths,
    kind: Ints, of: Ints, first: Ints, second: Ints, signs: Ints,
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

    kind: Ints
    of: Ints
    first: Ints
    second: Ints
    sign: Ints


class Operands(NamedTuple):
    """The values of all folds; ``of`` is the fold's node."""

    of: Ints
    value: Ints


class Forms:
    """What the nodes of a graph become: plain operations, sums of terms, folds.

    Args:
        graph: what is to be rewritten.
        as_written: the sums and folds that stay the plain operations that they were written as.

    Attributes:
        graph: what was given.
        role: for each node ``GONE``, ``PLAIN``, ``FORM`` or ``FOLD``.
        terms: of all sums.
        operands: of all folds.
    """

    def __init__(self, graph: Graph, as_written: Truths | None = None) -> None:
        self.graph = graph
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
            *(op, left, right, ARITY, stage, FOLDS, is_output),
            *(self.role, root, sign, uses, blocked),
        )
        counts = numpy.zeros((count, 4), numpy.int32)
        _count_terms(op, left, right, ARITY, stage, uses, blocked, is_output, root, counts)
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
            *(op, left, right, ARITY, stage, uses, blocked, root, sign, self.role),
            *(weighted, products, used, *self.terms),
        )
        plain = self.role == PLAIN
        for operands, arity in ((left, 1), (right, 2)):
            used[operands[plain & (ARITY[op] >= arity)]] = True
        self._collect_folds(graph, root, used, as_written)
        absorbable = (op == _MUL) & ~blocked & plain
        self.role[absorbable & ~used] = GONE

    def _collect_folds(self, graph: Graph, root: Ints, used: Truths, as_written: Truths) -> None:
        """Chains and trees of one operation: a fold of three or more values; others are plain."""
        chained = numpy.flatnonzero((root >= 0) & FOLDS[graph.op])
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
