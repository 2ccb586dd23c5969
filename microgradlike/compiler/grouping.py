"""Which nodes are computed together: the instructions, over the nodes of the graph.

Level by level, what is alike becomes one instruction: sums over the same values a layer, layers
with the same weights one at several places, operations of one kind one on many operands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy

from microgradlike.compiler.arrays import Floats, Ints, Truths
from microgradlike.compiler.bodies import Further, body
from microgradlike.compiler.forms import FOLD, FORM, PLAIN, PRODUCT, WEIGHTED
from microgradlike.compiler.graph import NEVER, ONCE, ROWS, WHERE_NOT_ZERO, Graph, depth_first
from microgradlike.compiler.instructions import (
    ALWAYS,
    BY_ERROR,
    HERE,
    IN_ONCE,
    Elementwise,
    Fold,
    Instruction,
    Layer,
    Loop,
    Mask,
    Operand,
    Products,
    Singles,
    Sums,
    Take,
)
from microgradlike.compiler.levels import Levels, Parts
from microgradlike.compiler.operations import (
    ARITY,
    CODES,
    ENTRY,
    LOOP,
    NAMES,
    RESULT,
    TABLE,
    TAKE,
)
from microgradlike.compiler.program import Program
from microgradlike.compiler.stretches import stretches

#: Beside others, a row or a column of fewer than LONG weights is no layer of its own. At several
#: places it is one, if they are parameters; but a column of fewer than SHORT is none.
LONG, SHORT = 16, 4
#: At most this many operations are in the order of the engine, where they are as they were written.
ORDERED = 2**16

_INPUT, _PARAMETER, _TAKE = (CODES[name] for name in ("input", "parameter", TAKE))
_LOOP, _RESULT, _LINKS = CODES[LOOP], CODES[RESULT], [CODES[TABLE], CODES[ENTRY]]


class Grouped(NamedTuple):
    """The instructions of both lists, over nodes.

    Attributes:
        parts: what is computed.
        inputs: the nodes that ``rows`` begins with.
        parameters: those that ``once`` begins with, in the order in which layers want them: a
            matrix is one piece. Constants follow.
        once, rows: what runs once per call, and what runs for each row.
        further: what the rounds of loops want to be computed once; it is in ``once``.
    """

    parts: Parts
    inputs: Ints
    parameters: Ints
    once: list[Instruction]
    rows: list[Instruction]
    further: Further


def group(levels: Levels, build: Callable[[Graph], Program]) -> Grouped:
    """Find what is computed together.

    Args:
        levels: what is computed.
        build: compiles the graph of a round of a loop.
    """
    parts = levels.parts
    further = Further(len(parts.stage))
    inputs = numpy.flatnonzero(parts.graph.op == _INPUT)
    rows = list(_List(levels, ROWS, inputs, build, further))
    parameters = _in_order(parts, rows)
    leaves = numpy.concatenate([parameters, *parts.of_constants()])
    once = list(_List(levels, ONCE, leaves, build, further))
    return Grouped(parts, inputs, parameters, [*once, *further.instructions], rows, further)


def _in_order(parts: Parts, rows: list[Instruction]) -> Ints:
    """The parameters in the order in which layers and tables want them; the first claim counts."""
    parameters = numpy.flatnonzero(parts.graph.op == _PARAMETER)
    wanted = [
        nodes.ravel() for instruction in rows for nodes in _claims(instruction) if nodes is not None
    ]
    claims = numpy.concatenate([*wanted, parameters])
    claims = claims[claims < len(parts.stage)]
    claim = numpy.empty(len(parts.stage), int)
    claim[claims[::-1]] = numpy.arange(len(claims))[::-1]
    return parameters[numpy.argsort(claim[parameters])]


def _claims(i: Instruction) -> Iterator[Ints | None]:
    if isinstance(i, Layer):
        yield from (i.weights, i.bias)
    elif isinstance(i, Take):
        yield i.table
    elif isinstance(i, Loop):
        for inner in i.round.instructions:
            yield from _claims(inner)


class _SomeSums(NamedTuple):
    """Sums of as many terms each: the nodes that they compute; the terms, shape (sums, terms)."""

    nodes: Ints
    first: Ints
    second: Ints
    signs: Ints

    def take(self, rows: Ints | list[int]) -> _SomeSums:
        return _SomeSums(*(x[rows] for x in self))

    def sort(self, keys: Ints) -> _SomeSums:
        """The terms of each sum in the order of these keys, shape (sums, terms)."""
        rows, order = numpy.arange(len(keys))[:, None], numpy.argsort(keys, axis=1, kind="stable")
        return _SomeSums(self.nodes, *(x[rows, order] for x in self[1:]))


class _List:
    """The instructions of one list: iterate over it.

    Args:
        levels: what is computed.
        stage: of the list.
        leaves: the nodes that it begins with.
        build: compiles the graph of a round of a loop.
        further: what that wants to be computed once.

    Attributes:
        rank: in which order nodes come: the leaves, then what is computed. What is read in that
            order is read from slots in a row.
    """

    def __init__(
        self,
        levels: Levels,
        stage: int,
        leaves: Ints,
        build: Callable[[Graph], Program],
        further: Further,
    ) -> None:
        self.levels, self.parts, self.now = levels, levels.parts, stage
        self.build, self.further = build, further
        self.rank = numpy.full(len(self.parts.stage), -1, numpy.int32)
        self.rank[leaves] = numpy.arange(len(leaves))
        self.end = len(leaves)

    def __iter__(self) -> Iterator[Instruction]:
        nodes, graph = self.levels.computed[self.now], self.parts.graph
        if graph.as_written and 0 < len(nodes) <= ORDERED:
            order = depth_first(graph.op, graph.left, graph.right, ARITY, graph.outputs)
            # What is made of constants alone is in another list than the rest.
            yield from self._one_by_one(order[numpy.isin(order, nodes)])
            return
        levels = self.levels.level[nodes]
        done = 0
        for start, end in [*stretches(self.levels, nodes), (len(nodes), len(nodes))]:
            for level in _runs(nodes[done:start], levels[done:start]):
                yield from self._level(level)
            if start < end:
                yield self._singles(nodes[start:end])
            done = end

    def _one_by_one(self, order: Ints) -> Iterator[Instruction]:
        """Single operations in this order, and loops between them."""
        op = self.parts.graph.op[order]
        order, op = order[~numpy.isin(op, _LINKS)], op[~numpy.isin(op, _LINKS)]
        apart = numpy.flatnonzero(numpy.isin(op, (_LOOP, _RESULT)))
        for start, end in pairwise([-1, *apart.tolist(), len(order)]):
            if end > start + 1:
                yield self._singles(order[start + 1 : end])
            if end < len(order) and op[end] == _LOOP:
                yield self._loop(int(order[end]))

    def _level(self, nodes: Ints) -> Iterator[Instruction]:
        op = self.parts.graph.op[self.parts.node_of[nodes]]
        taken, loops = op == _TAKE, op == _LOOP
        if taken.any():
            yield from self._takes(nodes[taken])
        for node in nodes[loops].tolist():
            yield self._loop(node)
        nodes = nodes[~(taken | loops | (op == _RESULT))]  # a loop gives its results itself
        roles = self.parts.role[nodes]
        for role, make in ((FORM, self._sums), (FOLD, self._folds), (PLAIN, self._elementwise)):
            some = nodes[roles == role]
            if len(some):
                yield from make(some)

    def _take(self, nodes: Ints | list[int]) -> dict[str, Any]:
        """What every instruction says of its outputs, which come next in the list."""
        nodes = numpy.asarray(nodes, numpy.int32)
        self.rank[nodes] = numpy.arange(self.end, self.end + len(nodes))
        self.end += len(nodes)
        reach = self.parts.reach[nodes]
        highest = reach.max()  # a condition, if there is one; below all others, NEVER
        depends = int(numpy.bitwise_or.reduce(self.parts.depends[nodes]))
        mask = Mask()
        if highest >= 0:
            slots = reach[:1] if (reach == reach[0]).all() else reach
            mask = Mask(int(self._kind_of_mask(slots[0])), slots, self._only(nodes))
        elif highest == WHERE_NOT_ZERO:
            mask = Mask(BY_ERROR)
        common = {"depends": 0 if highest == NEVER else depends, "mask": mask}
        return common | {"outs": nodes, "nodes": self.parts.node_of[nodes]}

    def _only(self, nodes: Ints) -> bool | Truths:
        found = self.parts.only(nodes)
        return found if found.any() else False

    def _kind_of_mask(self, conditions: Ints) -> Ints:
        """How a condition is met by what this list computes."""
        of_rows = self.parts.stage[conditions] == ROWS
        other = IN_ONCE if self.now == ROWS else BY_ERROR
        return numpy.where(of_rows == (self.now == ROWS), HERE, other)

    # ---- Plain operations ----

    def _elementwise(self, nodes: Ints) -> Iterator[Instruction]:
        graph, stage = self.parts.graph, self.parts.stage
        op, left, right = graph.op[nodes], graph.left[nodes], graph.right[nodes]
        binary = ARITY[op] == 2
        lower_left = stage[left] < self.now
        lower_right = binary & (stage[right] < self.now)
        for group in self._alike(nodes, op * 4 + lower_left * 2 + lower_right):
            if len(group) > 1:
                places = left[group] if not lower_left[group[0]] else right[group]
                group = group[numpy.argsort(self.rank[places], kind="stable")]
            operands = [self._operand(left[group], lower_left[group[0]])]
            if binary[group[0]]:
                operands.append(self._operand(right[group], lower_right[group[0]]))
            name = NAMES[op[group[0]]]
            yield Elementwise(**self._take(nodes[group]), operation=name, operands=tuple(operands))

    def _alike(self, nodes: Ints, key: Ints) -> Iterator[Ints]:
        """The nodes that can be one instruction: of one key, and reached by the error in one way.

        Operands that are nodes of another list go into instructions of their own.
        """
        reach = self.parts.reach[nodes]
        masked = numpy.where(reach >= 0, self.parts.stage[reach], reach)
        key = (key * 8 + masked - WHERE_NOT_ZERO) * 4 + self.parts.depends[nodes]
        order = numpy.lexsort((nodes, key))
        yield from _runs(order, key[order])

    def _operand(self, nodes: Ints, lower: bool) -> Operand:
        # Constants are beside what is computed once: of that list they are no lower ones.
        return Operand(bool(lower) and self.now == ROWS, nodes)

    # ---- Tables ----

    def _takes(self, nodes: Ints) -> Iterator[Instruction]:
        """What one index takes is an instruction; so is what several take from one table."""
        graph, parts = self.parts.graph, self.parts
        by_index: dict[tuple[int, ...], list[tuple[Ints, int]]] = {}
        for node, entries in zip(nodes.tolist(), graph.tables(graph.right[nodes]), strict=True):
            key = int(graph.left[node]), len(entries), parts.reach[node], parts.depends[node]
            by_index.setdefault(key, []).append((entries, node))
        alike: dict[tuple[object, ...], list[tuple[int, list[int], Ints]]] = {}
        for (index, *rest), members in by_index.items():
            # In one order, so that equal tables are told as such.
            members.sort(key=lambda member: member[0].tolist())
            table = numpy.array([entries for entries, _ in members]).T
            same = alike.setdefault((*rest, table.tobytes()), [])
            same.append((index, [node for _, node in members], table))
        for places in alike.values():
            places.sort(key=lambda place: self.rank[place[0]])
            taken = [node for _, nodes, _ in places for node in nodes]
            indices = numpy.array([index for index, *_ in places], numpy.int32)
            yield Take(**self._take(taken), index=indices, table=places[0][2])

    # ---- Loops ----

    def _loop(self, node: int) -> Instruction:
        graph, stage = self.parts.graph, self.parts.stage
        results = numpy.flatnonzero((graph.op == _RESULT) & (graph.left == node))
        common = self._take([node, *results])
        reach = int(self.parts.reach[node])  # to its results the error may come in several ways
        kind = int(self._kind_of_mask(self.parts.reach[[node]])[0]) if reach >= 0 else ALWAYS
        common["mask"] = Mask(kind, self.parts.reach[[node]]) if kind != ALWAYS else Mask()
        if reach == WHERE_NOT_ZERO or kind == BY_ERROR:
            common["mask"] = Mask(BY_ERROR)
        of_rows = self.now == ROWS
        found = body(
            graph, node, results, kind in (HERE, IN_ONCE), lambda v: of_rows & (stage[v] < ROWS),
            self.build, self.further,
        )  # fmt: skip
        return Loop(**common, **found._asdict())

    # ---- Single operations ----

    def _singles(self, nodes: Ints) -> Instruction:
        graph, stage = self.parts.graph, self.parts.stage
        reach, op = self.parts.reach[nodes], graph.op[nodes]
        left = graph.left[nodes]
        right = numpy.where(ARITY[op] == 2, graph.right[nodes], left)
        of_rows = self.now == ROWS
        common = self._take(nodes)
        kinds = numpy.where(reach >= 0, self._kind_of_mask(reach), ALWAYS)
        kinds[reach == WHERE_NOT_ZERO] = BY_ERROR
        common["depends"] = numpy.where(reach == NEVER, 0, self.parts.depends[nodes])
        common["mask"] = Mask(kinds, numpy.maximum(reach, 0), self._only(nodes))
        operands = (
            Operand(of_rows & (stage[left] < ROWS), left),
            Operand(of_rows & (stage[right] < ROWS), right),
        )
        return Singles(**common, operations=op, operands=operands)

    # ---- Folds ----

    def _folds(self, nodes: Ints) -> Iterator[Instruction]:
        of, value = self.parts.forms.operands
        groups: dict[tuple[int, ...], list[tuple[int, Ints]]] = {}
        for node in nodes.tolist():
            start, end = numpy.searchsorted(of, (node, node + 1))
            op, reach = self.parts.graph.op[node], self.parts.reach[node]
            key = (op, end - start, reach, self.parts.depends[node])
            groups.setdefault(key, []).append((node, value[start:end]))
        for (op, *_), members in groups.items():
            common = self._take([node for node, _ in members])
            values = numpy.array([values for _, values in members])
            yield Fold(**common, operation=NAMES[op], values=values)

    # ---- Sums: layers first, then what is left ----

    def _sums(self, nodes: Ints) -> Iterator[Instruction]:
        parts = self.parts
        start = parts.bounds[nodes]
        alike = (parts.kind[start], parts.bounds[nodes + 1] - start, parts.reach[nodes])
        keys = zip(*(x.tolist() for x in (*alike, parts.depends[nodes])), strict=True)
        groups: dict[tuple[int, ...], list[int]] = {}
        for place, key in enumerate(keys):
            groups.setdefault(key, []).append(place)
        for key in sorted(groups, key=lambda key: key[0] != WEIGHTED):
            what, length, *_ = key
            members = groups[key]
            terms = start[members, None] + numpy.arange(length)
            sums = _SomeSums(
                nodes[members], parts.first[terms], parts.second[terms], parts.sign[terms]
            )
            if what == WEIGHTED:
                yield from self._weighted(sums)
            else:
                yield self._plain_sums(what, sums)

    def _weighted(self, sums: _SomeSums) -> Iterator[Instruction]:
        """Sums over the same values, in any order, are a layer."""
        sums = sums.sort(self.rank[sums.second])
        values = sums.second
        first = values[0]
        if values.size > 1 and (values == first).all() and (first[1:] != first[:-1]).all():
            yield self._layer([sums])  # the usual case, told at once
            return
        twice = (values[:, 1:] == values[:, :-1]).any(axis=1)  # no row of a matrix
        single = numpy.flatnonzero(twice).tolist()
        same: dict[bytes, list[int]] = {}
        for row in numpy.flatnonzero(~twice).tolist():
            same.setdefault(values[row].tobytes(), []).append(row)
        # Groups with the same weights on other values become one layer at several places.
        alike: dict[tuple[int, bytes, bytes], list[tuple[list[int], _SomeSums]]] = {}
        groups = list(same.values())
        for rows, matrix in zip(groups, _standard(sums, groups), strict=True):
            key = (len(rows), matrix.first.tobytes(), matrix.signs.tobytes())
            alike.setdefault(key, []).append((rows, matrix))
        terms = values.shape[1]
        for (count, *_), members in alike.items():
            rows, matrix = members[0]
            is_short = min(count, terms) == 1 and max(count, terms) < LONG
            if is_short and len(members) > 1:  # of parameters it may be the kernel of a convolution
                known = not self.parts.depends[matrix.first].any()
                is_short = known or (terms == 1 and count < SHORT)
            if is_short:  # as the weights of a diagonal matrix, which scale each value by its own
                single += [row for rows, _ in members for row in rows]
            elif len(members) > 1:
                yield self._layer([matrix for _, matrix in members])
            else:
                yield self._layer([sums.take(rows)])
        if len(single) == 1 and terms > 1 and not twice[single[0]]:
            yield self._layer([sums.take(single)])
        elif single:
            yield self._plain_sums(WEIGHTED, sums.take(single))

    def _layer(self, matrices: list[_SomeSums]) -> Instruction:
        """The same weights at as many places as there are matrices."""
        nodes = numpy.concatenate([matrix.nodes for matrix in matrices])
        common = self._take(nodes)
        bias, bias_signs = self._bias(nodes)
        matrix = matrices[0]
        shape = (len(matrices), len(matrix.nodes))
        return Layer(
            **common,
            weights=matrix.first,
            signs=None if (matrix.signs > 0).all() else matrix.signs.astype(float),
            values=numpy.array([m.second[0] for m in matrices]),
            bias=None if bias is None else bias.reshape(shape),
            bias_signs=None if bias_signs is None else bias_signs.reshape(shape),
        )

    def _plain_sums(self, what: int, sums: _SomeSums) -> Instruction:
        rank = self.rank
        if what == PRODUCT:  # by rows and columns, if they are the products of two matrices
            keys = (rank[sums.second[:, 0]], rank[sums.first[:, 0]])
            sums = sums.take(numpy.lexsort(keys))
        else:
            sums = sums.take(numpy.argsort(rank[sums.second[:, 0]], kind="stable"))
        if len(sums.nodes) == 1:  # in the order of the slots: a slice, if they are in a row
            sums = sums.sort(rank[sums.first if what == PRODUCT else sums.second])
        common = self._take(sums.nodes)
        bias, bias_signs = self._bias(sums.nodes)
        common |= {
            "signs": None if (sums.signs > 0).all() else sums.signs.astype(float),
            "bias": bias,
            "bias_signs": bias_signs,
        }
        if what == PRODUCT:
            return Products(**common, first=sums.first, second=sums.second)
        weights = sums.first if what == WEIGHTED else None
        return Sums(**common, weights=weights, values=sums.second)

    def _bias(self, nodes: Ints) -> tuple[Ints | None, Floats | None]:
        bias, signs = self.parts.bias[nodes], self.parts.bias_sign[nodes]
        if (bias == self.parts.zero).all():
            return None, None
        return bias, None if (signs > 0).all() else signs


def _runs(items: Ints, keys: Ints) -> Iterator[Ints]:
    """The stretches of items that have the same key."""
    ends = [*(numpy.flatnonzero(keys[1:] != keys[:-1]) + 1).tolist(), len(items)]
    for start, end in pairwise([0, *ends]):
        yield items[start:end]


def _standard(sums: _SomeSums, groups: list[list[int]]) -> list[_SomeSums]:
    """Of groups of sums over the same values, matrices with rows and columns in the weights' order.

    Columns in the order of the row that has the smallest weight.
    """
    found: dict[int, _SomeSums] = {}
    for count in {len(rows) for rows in groups}:  # all matrices of as many rows at once
        places = [place for place, rows in enumerate(groups) if len(rows) == count]
        rows = numpy.array([groups[place] for place in places])
        order = numpy.argsort(sums.first[rows].min(axis=2), axis=1, kind="stable")
        rows = numpy.take_along_axis(rows, order, axis=1)
        columns = numpy.argsort(sums.first[rows[:, 0]], axis=1, kind="stable")[:, None]
        matrices = [sums.nodes[rows], *(x[rows[:, :, None], columns] for x in sums[1:])]
        found |= zip(places, map(_SomeSums, *matrices), strict=True)
    return [found[place] for place in range(len(groups))]
