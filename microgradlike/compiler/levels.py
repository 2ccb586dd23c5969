"""The sums of a graph, each ready to be one instruction; and how deep everything is.

A sum of weighted terms and of others becomes two: a part, which is a layer perhaps, and what is
added to it. Several biases are a part as well, which is added up once per call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy

from microgradlike.compiler.arrays import Floats, Ints, Truths
from microgradlike.compiler.forms import BIAS, FORM, GONE, PLAIN, UNIT, WEIGHTED, Forms
from microgradlike.compiler.graph import ONCE, ROWS, Graph
from microgradlike.compiler.loops import loop
from microgradlike.compiler.operations import ARITY, CODES, ENTRY, SLOW, TABLE

_TABLE, _ENTRY = CODES[TABLE], CODES[ENTRY]


class Parts(NamedTuple):
    """What could be computed: the nodes of a graph, parts of their sums, and constants of our own.

    All three are numbered in a row, in this order.

    Attributes:
        graph, forms: what it was made of.
        role, stage, reach, elsewhere, depends: of each, as in the graph and in its forms.
        node_of: the node that each is, or that it is a part of.
        order: all but the constants of our own, in an order in which operands come first.
        kind, first, second, sign: the terms of all sums but their biases, sum by sum.
        bounds: where the terms of each sum begin; they end where those of the next one begin.
        bias, bias_sign: of each sum one bias; ``zero`` if it has none.
        constants: the numbers of the graph's constants, and of our own.
        zero: the number of the constant 0.
    """

    graph: Graph
    forms: Forms
    role: Ints
    stage: Ints
    reach: Ints
    elsewhere: Ints
    depends: Ints
    node_of: Ints
    order: Ints
    kind: Ints
    first: Ints
    second: Ints
    sign: Ints
    bounds: Ints
    bias: Ints
    bias_sign: Floats
    constants: list[float]
    zero: int

    def only(self, nodes: Ints) -> Truths:
        """Whether they are needed under their conditions alone; see ``Mask``."""
        found: Truths = (self.reach[nodes] >= 0) & (self.elsewhere[nodes] == 0)
        return found

    def of_constants(self) -> tuple[Ints, Ints]:
        """The constants of the graph, and those of our own."""
        plain, total = len(self.graph.constants), len(self.stage)
        return numpy.arange(plain), numpy.arange(total - len(self.constants) + plain, total)


def split(graph: Graph, forms: Forms) -> Parts:
    """Sort the terms by their sums; those that take more than one instruction get parts."""
    count = len(graph.op)
    kind, of, first, second, sign = forms.terms
    of = of.copy()
    has = numpy.zeros((4, count), bool)
    has[kind, of] = True
    mixed = numpy.flatnonzero(has[WEIGHTED] & has[UNIT])
    part_of = numpy.full(count, -1, numpy.int32)
    part_of[mixed] = count + numpy.arange(len(mixed))
    like, stages = mixed.tolist(), graph.stage[mixed].tolist()
    extra = [(UNIT, node, part_of[node], part_of[node], 1) for node in like]
    moved = (kind == WEIGHTED) & (part_of[of] >= 0)
    of[moved] = part_of[of[moved]]

    # Constants of our own are below all nodes until the number of parts is known.
    constants = graph.constants.tolist()
    plain = len(constants)

    def constant(value: float) -> int:
        constants.append(value)
        return plain - len(constants)

    zero = constant(0.0)
    biases = numpy.flatnonzero(kind == BIAS)
    biases = biases[numpy.argsort(of[biases], kind="stable")]
    per_sum = numpy.bincount(of[biases], minlength=count)
    ends = numpy.cumsum(per_sum)
    kept = numpy.ones(len(of), bool)
    for node in numpy.flatnonzero(per_sum > 1).tolist():
        places = biases[ends[node] - per_sum[node] : ends[node]]
        kept[places] = False
        signed = list(zip(first[places].tolist(), sign[places].tolist(), strict=True))
        others = [pair for pair in signed if pair[0] >= plain]
        numbers = [s * constants[x] for x, s in signed if x < plain]
        total = sum(numbers)
        own = [(constant(total), 1)] if numbers and (total or not others) else []
        if len(others) + len(own) > 1:  # zeros that a loop began with change nothing
            part = count + len(like)
            like.append(node)
            stages.append(ONCE)
            extra += [(UNIT, part, x, x, s) for x, s in others]
            extra += [(BIAS, part, x, x, s) for x, s in own]
            own, others = [(part, 1)], []
        extra += [(BIAS, node, x, x, s) for x, s in own + others]
    columns = [x[kept] for x in (kind, of, first, second, sign)]
    if extra:
        new = numpy.array(extra, numpy.int32).T
        columns = [numpy.concatenate(pair) for pair in zip(columns, new, strict=True)]
    return _sorted(graph, forms, columns, (like, stages), (constants, zero))


def _sorted(
    graph: Graph,
    forms: Forms,
    columns: list[Ints],
    parts: tuple[list[int], list[int]],
    own: tuple[list[float], int],
) -> Parts:
    """The parts of sums that were found, with all that is known of each."""
    (like, stages), (constants, zero) = parts, own
    count, plain = len(graph.op), len(graph.constants)
    computed, ours = count + len(like), len(constants) - plain
    kind, of, first, second, sign = columns
    first, second = (numpy.where(x < 0, computed - x - 1, x).astype(numpy.int32)
                     for x in (first, second))  # fmt: skip
    values, biases = numpy.flatnonzero(kind != BIAS), numpy.flatnonzero(kind == BIAS)
    order = values[numpy.argsort(of[values], kind="stable")]
    bias = numpy.full(computed, computed - zero - 1, numpy.int32)
    bias_sign = numpy.ones(computed)
    # Each sum has one bias at most by now.
    bias[of[biases]], bias_sign[of[biases]] = first[biases], sign[biases]

    def extended(of_nodes: Ints, of_parts: Sequence[int] | Ints, of_constants: int = 0) -> Ints:
        new = [numpy.asarray(of_parts, of_nodes.dtype), numpy.full(ours, of_constants)]
        return numpy.concatenate([of_nodes, *new]).astype(of_nodes.dtype)

    stage = extended(graph.stage, stages)
    depends = extended(graph.depends, graph.depends[like])
    depends[count:computed][stage[count:computed] == ONCE] = 1
    elsewhere = extended(graph.elsewhere, graph.elsewhere[like])
    # A part is computed just before the sum that it is part of.
    nodes = numpy.arange(count, dtype=numpy.int32)
    node_of = extended(nodes, like)
    in_order = numpy.arange(computed, dtype=numpy.int32)
    if like:
        is_node = in_order < count
        in_order = numpy.lexsort((is_node, node_of[:computed])).astype(numpy.int32)
    counts = numpy.bincount(of[order] + 1, minlength=computed + 1)
    return Parts(
        *(graph, forms, extended(forms.role, numpy.full(len(like), FORM)), stage),
        *(extended(graph.reach, graph.reach[like]), elsewhere, depends, node_of, in_order),
        *(kind[order], first[order], second[order], sign[order], numpy.cumsum(counts)),
        *(bias, bias_sign, constants, computed - zero - 1),
    )


# ---- How deep everything is --------------------------------------------------------------------


class Levels(NamedTuple):
    """What is computed, level by level.

    Attributes:
        parts: that are computed.
        level: of each, the longest way from the leaves of its stage; 0 of what is not computed.
        computed: by stage, those that are computed, level by level.
    """

    parts: Parts
    level: Ints
    computed: dict[int, Ints]


def find(parts: Parts) -> Levels:
    """Sort what is computed by how deep it is."""
    graph, forms = parts.graph, parts.forms
    total = len(parts.stage)
    sums = numpy.repeat(numpy.arange(len(parts.bounds) - 1), numpy.diff(parts.bounds))
    of = numpy.concatenate([sums, sums, forms.operands.of])
    operand = numpy.concatenate([parts.first, parts.second, forms.operands.value])
    # A weight is of a lower stage, and does not count.
    order = numpy.argsort(of, kind="stable")
    none = numpy.full(total, -1, numpy.int32)
    start = numpy.zeros(total + 1, numpy.int64)
    numpy.cumsum(numpy.bincount(of, minlength=total), out=start[1:])
    pad = numpy.zeros(total - len(graph.op), numpy.int32)
    op, left, right = (numpy.concatenate([x, pad]) for x in (graph.op, graph.left, graph.right))
    level = numpy.zeros(total, numpy.int32)
    # What takes long and is needed under a condition alone comes after that.
    waits = SLOW[op] & parts.only(numpy.arange(total))
    waits &= parts.stage[parts.reach] == parts.stage
    conditions: Ints = numpy.where(waits, parts.reach, -1)
    for after in (none, conditions) if waits.any() else (none,):  # conditions never wait
        find_levels(
            *(op, left, right, ARITY, parts.stage, parts.role),
            *(start, operand[order].astype(numpy.int32), parts.order, after, level),
        )
    computed = numpy.flatnonzero((parts.role != GONE) & (level > 0))
    computed = computed[numpy.argsort(level[computed], kind="stable")]
    stages = parts.stage[computed]
    return Levels(parts, level, {stage: computed[stages == stage] for stage in (ONCE, ROWS)})


@loop()
def find_levels(
    op: Ints, left: Ints, right: Ints, arity: Ints, stage: Ints, role: Ints,
    start: Ints, operands: Ints, order: Ints, after: Ints, level: Ints,
) -> None:  # fmt: skip
    """The longest way from the leaves of its stage up to each node that is computed.

    Args:
        start, operands: of sums and folds, in a row for each node: their values.
        order: the nodes in an order in which operands come first.
        after: for each node another one, whose level is known, and after which it comes; or -1.
    """
    for n in order:
        linked = op[n] == _TABLE or op[n] == _ENTRY  # as deep as what it holds
        if role[n] == GONE and not linked:
            continue
        highest = 0
        if role[n] == PLAIN or linked:
            for side in range(arity[op[n]]):
                operand = left[n] if side == 0 else right[n]
                if stage[operand] == stage[n]:
                    highest = max(highest, level[operand])
        else:
            for place in range(start[n], start[n + 1]):
                operand = operands[place]
                if stage[operand] == stage[n]:
                    highest = max(highest, level[operand])
        if after[n] >= 0:
            highest = max(highest, level[after[n]])
        level[n] = highest if linked else highest + 1
