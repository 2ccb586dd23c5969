"""Where operations have so little in common that one after the other is best: ``Singles``."""

from __future__ import annotations

import numpy

from microgradlike.compiler.arrays import Ints, Truths
from microgradlike.compiler.forms import FOLD, FORM, PLAIN, UNIT, WEIGHTED
from microgradlike.compiler.levels import Levels, Parts
from microgradlike.compiler.operations import CODES, LOOP, NAMES, RESULT, TAKE

#: A list of at least LONG operations has stretches of at least SHORT, in which a level has fewer
#: than FEW operations of a kind. Sums of at most MOST_TERMS terms within a stretch are written out.
LONG, SHORT, FEW, MOST_TERMS = 80, 8, 4, 8
#: Fewer instructions than SOON are soon made, and what counts is how fast they run. For more, what
#: counts is what they cost, in microseconds: to make an instruction; to make a single operation; by
#: how much a thousand runs of that take longer than as a part of an instruction.
SOON, INSTRUCTION, OPERATION, LONGER = 600, 290, 8, 25
#: What is an instruction of its own.
_OWN = [CODES[name] for name in (TAKE, LOOP, RESULT)]
#: Greater than this are the kinds of dot products.
_DOTS = len(NAMES)


def stretches(levels: Levels, nodes: Ints, most_terms: int = 0) -> list[tuple[int, int]]:
    """From where to where nodes have little in common.

    Args:
        levels: what is computed.
        nodes: of a list, level by level.
        most_terms: of the sums and folds that could be written out to be so.
    """
    if len(nodes) < LONG:
        return []
    level = numpy.cumsum(numpy.diff(levels.level[nodes], prepend=levels.level[nodes[0]]) != 0)
    kinds, values = _kinds(levels.parts, nodes, most_terms)
    order = numpy.lexsort((values, kinds, level))
    kind, first = kinds[order], numpy.ones(len(nodes), bool)
    first[1:] = (kind[1:] != kind[:-1]) | (level[1:] != level[:-1])
    groups = numpy.flatnonzero(first)
    often = numpy.diff(groups, append=len(nodes))
    count, needed = numpy.bincount(level), numpy.bincount(level[groups])
    few = FEW if len(groups) < SOON else INSTRUCTION / (OPERATION + LONGER)
    narrow = count < few * needed
    narrow[level[order[kind < 0]]] = False
    # Many dot products, or two weighted sums of the same values, are a layer perhaps.
    dots = kind > _DOTS
    narrow[level[groups[dots[groups] & (often >= few)]]] = False
    weighted = dots & ((kind - _DOTS - 1) % 4 == WEIGHTED)
    again = ~first[1:] & weighted[1:] & (numpy.diff(values[order]) == 0)
    narrow[level[1:][again]] = False
    edges = numpy.flatnonzero(numpy.diff(narrow, prepend=False, append=False))
    ends, instructions = (numpy.append(0, numpy.cumsum(x)) for x in (count, needed))
    found = []
    for begin, end in edges.reshape(-1, 2).tolist():
        start, stop = int(ends[begin]), int(ends[end])
        if SHORT <= stop - start < few * (instructions[end] - instructions[begin]):
            found.append((start, stop))
    return found if sum(stop - start for start, stop in found) >= LONG else []


def _kinds(parts: Parts, nodes: Ints, most_terms: int) -> tuple[Ints, Ints]:
    """What nodes are like, as whole numbers; and of sums a hash of their values.

    Nodes of a level that are of one kind are likely to share an instruction; -1 is the kind of
    what is worth one of its own.
    """
    kinds, values = parts.graph.op[parts.node_of[nodes]], numpy.zeros(len(nodes), numpy.int64)
    kinds[numpy.isin(kinds, _OWN)] = -1
    roles = parts.role[nodes]
    sums, folds = numpy.flatnonzero(roles == FORM), numpy.flatnonzero(roles == FOLD)
    start = parts.bounds[nodes[sums]]
    terms = parts.bounds[nodes[sums] + 1] - start
    dots = numpy.where(parts.kind[start] == UNIT, 0, 1 + 4 * terms + parts.kind[start])
    kinds[sums] = numpy.where(terms <= most_terms, _DOTS + dots, -1)
    short = numpy.flatnonzero(terms <= most_terms)
    for k in range(most_terms):
        longer = short[terms[short] > k]
        # On some machines int has 32 bits.
        values[sums[longer]] += (
            parts.second[start[longer] + k].astype(numpy.int64) * 2654435761 % 2**32
        )
    if len(folds):
        length = numpy.bincount(parts.forms.operands.of, minlength=len(parts.stage))
        kinds[folds[length[nodes[folds]] > most_terms]] = -1
    return kinds, values


def small_sums(levels: Levels) -> Truths:
    """For each node whether it is a small sum or fold amid single operations."""
    parts = levels.parts
    small = numpy.zeros(len(parts.graph.op), bool)
    for nodes in levels.computed.values():
        for start, end in stretches(levels, nodes, MOST_TERMS):
            inside = nodes[start:end]
            small[parts.node_of[inside[parts.role[inside] != PLAIN]]] = True
    return small
