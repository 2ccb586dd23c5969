"""The instruction set of a compiled function, and the program made of it.

A program has two lists of instructions: ``once``, for what depends on parameters alone, and
``rows``, for what differs from row to row. Numbers stand in slots. The slots of ``once`` hold the
parameters, then the constants, then what is computed; those of ``rows`` the inputs, then what is
computed, one lane for each row. An instruction writes slots in a row, from ``out`` on:

``Layer``        weights x values + bias: a matrix product, perhaps at several places at once
``Sums``         sums of as many terms each: weight x value + weight x value + ... + bias
``Products``     sums of as many products of two values each
``Fold``         one operation along a list of values: logsumexp, maximum, minimum
``Elementwise``  one operation of the operator table, on many operands
``Singles``      a long stretch of operations that have little in common, one after the other

Weights and biases are slots of ``once``; values are slots of the list's own. What the error reaches
only under a condition has the condition's slots as its ``mask``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy

from microgradlike.compiler import rewriting
from microgradlike.compiler.rewriting import (
    ARITY,
    BIAS,
    FOLD,
    FORM,
    GONE,
    NEVER,
    ONCE,
    PLAIN,
    PRODUCT,
    ROWS,
    UNIT,
    WEIGHTED,
    Forms,
    Graph,
)
from microgradlike.compiler.tape import NAMES, Tape

Slots: TypeAlias = "numpy.typing.NDArray[numpy.int32]"

#: The mask of what is computed once where the error comes from some rows only: it has arrived where
#: it is not zero.
NONZERO = "nonzero"

# ---- The instructions --------------------------------------------------------------------------


class Operands(NamedTuple):
    """The operands of an operation, one for each output."""

    once: Any
    """Whether they are slots of ``once``, the same for all rows; for each of ``Singles``."""
    slots: Slots


@dataclass
class Instruction:
    """What all instructions share.

    Attributes:
        out: the first slot that is written.
        count: how many slots are written.
        depends: whether the error is wanted: by parameters (1), by inputs (2), or both (3); of
            ``Singles`` one for each output.
        mask: the condition under which the error arrives, one for all outputs or one for each;
            ``NONZERO``, or None where it always does.
        nodes: for each output the node of the graph that it is, or that it is a part of: of a sum
            that takes two instructions, both have the node.
    """

    out: int
    count: int
    depends: Any
    mask: Any
    nodes: Slots


@dataclass
class Layer(Instruction):
    """``out[place, j] = sum of weights[j, i] * values[place, i] over i, + bias[place, j]``.

    Attributes:
        weights: slots of ``once``, shape (outs, ins).
        signs: +1 or -1 for each weight, or None if all are +1.
        values: slots, shape (places, ins).
        bias: slots of ``once``, shape (places, outs), or None; ``bias_signs`` belong to them.
    """

    weights: Slots
    signs: Any
    values: Slots
    bias: Any
    bias_signs: Any

    def __str__(self) -> str:
        outs, ins = self.weights.shape
        places = f" at {len(self.values)} places" if len(self.values) > 1 else ""
        return f"layer {ins}->{outs}{places}"


@dataclass
class Sums(Instruction):
    """``out[j] = sum of signs[j, i] * weights[j, i] * values[j, i] over i, + bias[j]``.

    Attributes:
        weights: slots of ``once``, shape (outs, terms), or None for plain sums.
        values: slots, shape (outs, terms).
        signs, bias, bias_signs: as for a layer.
    """

    weights: Any
    signs: Any
    values: Slots
    bias: Any
    bias_signs: Any

    def __str__(self) -> str:
        outs, terms = self.values.shape
        if self.weights is not None and terms == 1:
            return _times("scale", outs)
        kind = "sum" if self.weights is None else "weighted sum"
        return _times(f"{kind} {terms}", outs)


@dataclass
class Products(Instruction):
    """``out[j] = sum of signs[j, i] * first[j, i] * second[j, i] over i, + bias[j]``.

    Attributes:
        first, second: slots, shape (outs, terms).
        signs, bias, bias_signs: as for a layer.
    """

    first: Slots
    second: Slots
    signs: Any
    bias: Any
    bias_signs: Any

    def grid(self) -> tuple[Slots, Slots] | None:
        """The rows of two matrices, if the outputs are all products of a row of each."""
        return _grid(self.first, self.second)

    def __str__(self) -> str:
        outs, terms = self.first.shape
        if numpy.array_equal(self.first, self.second):
            return _times(f"sum of squares {terms}", outs)
        if found := self.grid():
            return f"matrix product {len(found[0])}x{terms}x{len(found[1])}"
        return _times(f"dot {terms}", outs)


@dataclass
class Fold(Instruction):
    """``out[j] = operation(... operation(values[j, 0], values[j, 1]) ..., values[j, last])``."""

    operation: str
    values: Slots

    def __str__(self) -> str:
        outs, terms = self.values.shape
        name = "logsumexp" if self.operation == "logaddexp" else self.operation
        return _times(f"{name} {terms}", outs)


@dataclass
class Elementwise(Instruction):
    """``out[j] = operation(operands[0][j], operands[1][j])``."""

    operation: str
    operands: tuple[Operands, ...]

    def __str__(self) -> str:
        return _times(self.operation, self.count)


@dataclass
class Singles(Instruction):
    """``out[k] = operations[k](left[k], right[k])``, one after the other.

    An instruction costs more than an operation. Where few operations are alike, as in scalar code
    that has no layers, they share one.

    Attributes:
        operations: their codes on the tape.
        operands: slots, which may be outputs before this one; the second one means something only
            where an operation has two.
        mask: the slots of conditions; ``masked`` tells for each whether there is one: ``UNMASKED``,
            ``HERE`` in this list, in ``once`` (``IN_ONCE``), or ``BY_ERROR``, where the error is
            not zero.
        outs: the slots that are written: in a row, but not where slots are used again.
    """

    operations: Slots
    operands: tuple[Operands, Operands]
    masked: Any
    outs: Slots

    def __str__(self) -> str:
        return _times("single operations", self.count)


UNMASKED, HERE, IN_ONCE, BY_ERROR = range(4)


def _times(what: str, count: int) -> str:
    return f"{what} x{count}" if count > 1 else what


def _grid(first: Slots, second: Slots) -> tuple[Slots, Slots] | None:
    """Whether ``first`` and ``second`` run over all pairs of the rows of two matrices, in order."""
    changes = numpy.flatnonzero((first[1:] != first[:-1]).any(axis=1)) + 1
    columns = int(changes[0]) if len(changes) else len(first)
    if columns == len(first) or len(first) % columns:
        return None
    rows, cols = first[::columns], second[:columns]
    if len({row.tobytes() for row in rows}) < len(rows):
        return None
    same_rows = (first.reshape(len(rows), columns, -1) == rows[:, None]).all()
    same_cols = (second.reshape(len(rows), columns, -1) == cols).all()
    return (rows, cols) if same_rows and same_cols else None


@dataclass
class Stage:
    """A list of instructions and the number of slots that they need."""

    instructions: list[Instruction]
    slots: int

    def __str__(self) -> str:
        return ", ".join(name for name, _ in self.named())

    def named(self) -> list[tuple[str, list[Instruction]]]:
        """The instructions by name; those that make a softmax have one name."""
        named = {place: (str(i), [i]) for place, i in enumerate(self.instructions)}
        written = numpy.full(self.slots, -1)
        for place, i in enumerate(self.instructions):
            written[i.out : i.out + i.count] = place

        def source(slots: Any, *kinds: type[Instruction]) -> Any:
            """The only instruction that writes these slots, if it is of this kind."""
            found = {int(written[slot]) for slot in slots.ravel()}
            place = found.pop()
            if found or place < 0 or not isinstance(self.instructions[place], kinds):
                return None, None
            return place, self.instructions[place]

        for place, i in enumerate(self.instructions):
            if not isinstance(i, Elementwise) or i.operation != "truediv":
                continue
            above, below = i.operands
            if above.once or below.once:
                continue
            at_exp, exp = source(above.slots, Elementwise)
            at_sum, total = source(below.slots, Sums)
            if exp is None or total is None or exp.operation != "exp" or total.weights is not None:
                continue
            if total.signs is not None or total.bias is not None:
                continue
            if not numpy.isin(total.values, above.slots).all() or i.count != total.values.size:
                continue
            parts = [at_exp, at_sum]
            inside = exp.operands[0]
            at_sub, sub = (None, None) if inside.once else source(inside.slots, Elementwise)
            if sub is not None and sub.operation == "sub" and not sub.operands[1].once:
                at_max, largest = source(sub.operands[1].slots, Fold)
                if largest is not None and largest.operation == "maximum":
                    at_held, held = source(largest.values, Elementwise)
                    if held is not None and held.operation == "detach":
                        parts = [at_held, at_max, at_sub, *parts]
            if not named.keys() >= set(parts):  # another softmax has taken one of them
                continue
            members = [member for part in parts for member in named.pop(part)[1]]
            name = _times(f"softmax {total.values.shape[1]}", total.count)
            named[place] = name, [*members, i]
        return list(named.values())


@dataclass
class Program:
    """A compiled function.

    Attributes:
        once, rows: the instructions that run once per call, and those that run for each row.
        parameters: for each of the first slots of ``once``, the number of its parameter in the
            order of the tape: matrices stand in one piece.
        constants: the numbers of the slots that follow.
        inputs: the slot of each input that is used, and its number.
        outputs: for each output whether it stands in ``once``, and its slot.
        watched: the slots of ``once`` and of ``rows`` that are added up in another order than the
            engine's, or multiplied where it squares. If the squares of their numbers have a finite
            sum, so have the products and sums in any order: then no infinity arises on the way.
            Likewise what logsumexp gives, whose errors are those of the engine where it is finite,
            and the errors that do not arrive everywhere: 0 times infinity is found there.
        tape: what the graph was made of, ``Graph(tape, tape.outputs)`` where those are the outputs.
    """

    once: Stage
    rows: Stage
    parameters: list[int]
    constants: Any
    inputs: list[int]
    outputs: list[tuple[bool, int]]
    watched: tuple[Slots, Slots]
    tape: Tape

    @property
    def size(self) -> int:
        """How many numbers it holds for a row beside the parameters; of a dot product it is one."""
        return self.rows.slots + self.once.slots - len(self.parameters)


# ---- A program that is not to go back ----------------------------------------------------------


def in_few_slots(program: Program) -> Program:
    """The same for values alone: a slot is used again when nobody reads it any more.

    Where errors arrive, and under which condition, is left as it was, and means nothing here.
    """
    instructions, slots = program.rows.instructions, program.rows.slots
    sizes = [i.count if isinstance(i, Singles) else 1 for i in instructions]
    steps = numpy.append(0, numpy.cumsum(sizes, dtype=int))
    out, count = (numpy.zeros(steps[-1], int) for _ in range(2))
    reads: list[Any] = [_NONE]
    by: list[Any] = [_NONE]
    for i, step, size in zip(instructions, steps.tolist(), sizes, strict=False):
        here = step + numpy.arange(size)
        out[here] = i.outs if isinstance(i, Singles) else i.out
        count[here] = 1 if isinstance(i, Singles) else i.count

        def read(found: Slots, here: Any = here) -> Slots:
            reads.append(found.ravel())
            by.append(numpy.broadcast_to(here, found.size))
            return found

        _reading(i, read)
    of_step = numpy.concatenate(by)
    order = numpy.argsort(of_step, kind="stable")
    ordered = numpy.concatenate(reads)[order]
    start = numpy.searchsorted(of_step[order], numpy.arange(len(out) + 1))
    last = numpy.zeros(slots, int)
    last[ordered] = of_step[order]
    outputs = [slot for once, slot in program.outputs if not once]
    last[outputs] = last[program.watched[1]] = len(out)
    place = numpy.full(slots, -1)
    place[: len(program.inputs)] = numpy.arange(len(program.inputs))
    used = rewriting.reuse_slots(out, count, start, ordered, last, place)
    renumbered = [_reading(i, lambda found: place[found]) for i in instructions]
    for i in renumbered:
        i.out = int(place[i.out])
        if isinstance(i, Singles):
            i.outs = place[i.outs]
    once, rows = program.watched
    return replace(
        program,
        rows=Stage(renumbered, used),
        outputs=[(once, slot if once else int(place[slot])) for once, slot in program.outputs],
        watched=(once, numpy.sort(place[rows])),
    )


def _reading(i: Any, change: Callable[[Slots], Slots]) -> Any:
    """A copy of an instruction that reads other slots of its own list."""
    fields: dict[str, Any] = {}
    for name in ("values", "first", "second"):
        if hasattr(i, name):
            fields[name] = change(getattr(i, name))
    if isinstance(i, Elementwise):
        fields["operands"] = tuple(
            operands if operands.once else Operands(False, change(operands.slots))
            for operands in i.operands
        )
    if isinstance(i, Singles):
        fields["operands"] = tuple(
            Operands(once, numpy.where(other := once | (ARITY[i.operations] <= side), slots,
                                       change(numpy.where(other, 0, slots))))
            for side, (once, slots) in enumerate(i.operands)
        )  # fmt: skip
    return replace(i, **fields)


# ---- From a graph to a program -----------------------------------------------------------------


def build(graph: Graph) -> Program:
    """Find the layers in a graph, give every number its slot, and list the instructions."""
    return _Builder(graph).program()


class _Sums(NamedTuple):
    """Sums of as many terms each: the nodes that they compute; the terms, shape (sums, terms)."""

    nodes: Any
    first: Any
    second: Any
    signs: Any

    def take(self, rows: Any) -> _Sums:
        return _Sums(*(x[rows] for x in self))

    def sort(self, keys: Any) -> _Sums:
        """The terms of each sum in the order of these keys, shape (sums, terms)."""
        rows, order = numpy.arange(len(keys))[:, None], numpy.argsort(keys, axis=1, kind="stable")
        return _Sums(self.nodes, *(x[rows, order] for x in self[1:]))


class _Builder:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        if graph.as_written:
            self._find(Forms(graph, numpy.ones(len(graph.op), bool)))
            return
        self._find(Forms(graph))
        small = self._small_sums()
        if small.any():  # they become operations, on levels of their own
            self._find(Forms(graph, small))

    def _find(self, forms: Forms) -> None:
        """What is computed, and on which level: sums, folds, and operations."""
        graph, self.forms = self.graph, forms
        self.constants: list[float] = graph.constants.tolist()
        self.zero = self._constant(0.0)
        self._extend()
        self._find_levels()
        # Where the terms of each sum stand.
        self.bounds = numpy.cumsum(numpy.bincount(self.of + 1, minlength=len(self.stage) + 1))

    # ---- Sums that are written as two: weighted terms and others; several biases ----

    def _extend(self) -> None:
        """Sort the terms by their sums, which get parts where they need more than one instruction.

        A sum of weighted terms and of values alone adds a layer to values; several biases are added
        up once per call.
        """
        graph, terms = self.graph, self.forms.terms
        count = len(graph.op)
        kind, of, first, second, sign = terms
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

        biases = numpy.flatnonzero(kind == BIAS)
        biases = biases[numpy.argsort(of[biases], kind="stable")]
        per_sum = numpy.bincount(of[biases], minlength=count)
        ends = numpy.cumsum(per_sum)
        kept = numpy.ones(len(of), bool)
        for node in numpy.flatnonzero(per_sum > 1).tolist():
            places = biases[ends[node] - per_sum[node] : ends[node]]
            kept[places] = False
            signed = list(zip(first[places].tolist(), sign[places].tolist(), strict=True))
            others = [pair for pair in signed if pair[0] >= len(graph.constants)]
            numbers = [s * self.constants[x] for x, s in signed if x < len(graph.constants)]
            total = sum(numbers)
            own = [(self._constant(total), 1)] if numbers and (total or not others) else []
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
        kind, of, first, _, sign = columns
        values = numpy.flatnonzero(kind != BIAS)
        order = values[numpy.argsort(of[values], kind="stable")]
        self.kind, self.of, self.first, self.second, self.sign = (x[order] for x in columns)
        # Each sum has one bias at most by now.
        biases = numpy.flatnonzero(kind == BIAS)
        self.bias = numpy.full(count + len(like), self.zero, numpy.int32)
        self.bias_sign = numpy.ones(count + len(like))
        self.bias[of[biases]], self.bias_sign[of[biases]] = first[biases], sign[biases]

        def extended(of_nodes: Any, of_parts: Any) -> Any:
            return numpy.concatenate([of_nodes, numpy.asarray(of_parts, of_nodes.dtype)])

        self.stage = extended(graph.stage, stages)
        self.reach = extended(graph.reach, graph.reach[like])
        self.depends = extended(graph.depends, graph.depends[like])
        self.depends[count:][self.stage[count:] == ONCE] = 1
        self.role = extended(self.forms.role, numpy.full(len(like), FORM))
        # A part stands just before the sum that it is part of.
        self.node_of = numpy.concatenate([numpy.arange(count), like]).astype(numpy.int32)
        self.order = self.node_of
        if like:
            is_node = numpy.arange(len(self.node_of)) < count
            self.order = numpy.lexsort((is_node, self.node_of)).astype(numpy.int32)

    def _constant(self, value: float) -> int:
        """The number of a constant that the graph does not have: below all nodes."""
        self.constants.append(value)
        return -(len(self.constants) - len(self.graph.constants))

    def _find_levels(self) -> None:
        """How deep each node stands; those that are computed, of both lists, level by level."""
        graph, forms = self.graph, self.forms
        total = len(self.stage)
        of = numpy.concatenate([self.of, self.of, forms.operands.of])
        operand = numpy.concatenate([self.first, self.second, forms.operands.value])
        # A weight is of a lower stage, and does not count.
        order = numpy.argsort(of, kind="stable")
        start = numpy.zeros(total + 1, numpy.int64)
        numpy.cumsum(numpy.bincount(of, minlength=total), out=start[1:])
        pad = total - len(graph.op)
        op, left, right = (
            numpy.concatenate([x, numpy.zeros(pad, numpy.int32)])
            for x in (graph.op, graph.left, graph.right)
        )
        self.level = numpy.zeros(total, numpy.int32)
        rewriting.find_levels(
            *(op, left, right, ARITY, self.stage, self.role),
            *(start, operand[order].astype(numpy.int32), self.order, self.level),
        )
        computed = numpy.flatnonzero((self.role != GONE) & (self.level > 0))
        computed = computed[numpy.argsort(self.level[computed], kind="stable")]
        stages = self.stage[computed]
        self.computed = {stage: computed[stages == stage] for stage in (ONCE, ROWS)}

    # ---- The program ----

    def program(self) -> Program:
        graph = self.graph
        self.slot = numpy.full(len(self.stage), -1, numpy.int32)
        inputs = numpy.flatnonzero(graph.op == _INPUT)
        self.slot[inputs] = numpy.arange(len(inputs))
        rows = self._stage(ROWS, len(inputs))
        # Parameters stand in the order in which the layers want them: a matrix is one piece.
        parameters = numpy.flatnonzero(graph.op == _PARAMETER)
        wanted = [
            slots.ravel()
            for instruction in rows.instructions
            if isinstance(instruction, Layer)
            for slots in (instruction.weights, instruction.bias)
            if slots is not None
        ]
        claims = numpy.concatenate([*wanted, parameters])
        # The first claim counts. (Constants of our own have negative numbers: room at the end.)
        claim = numpy.empty(len(self.stage) + len(self.constants), int)
        claim[claims[::-1]] = numpy.arange(len(claims))[::-1]
        parameters = parameters[numpy.argsort(claim[parameters])]
        self.slot[parameters] = numpy.arange(len(parameters))
        first = len(parameters)
        plain = len(graph.constants)
        self.slot[:plain] = first + numpy.arange(plain)
        self.first_constant = first
        once = self._stage(ONCE, first + len(self.constants))
        for instruction in (*once.instructions, *rows.instructions):
            self._place(instruction)
        return Program(
            once,
            rows,
            graph.left[parameters].tolist(),
            numpy.array(self.constants),
            graph.left[inputs].tolist(),
            [(bool(self.stage[node] < ROWS), int(self.slot[node])) for node in graph.outputs],
            self._watched(once, rows) if not graph.as_written else (_NONE, _NONE),
            graph.tape,
        )

    def _watched(self, once: Stage, rows: Stage) -> tuple[Slots, Slots]:
        """See ``Program``."""
        graph, found = self.graph, _watched(once, rows)
        nodes = graph.nothing
        gone = nodes[self.role[nodes] == GONE]  # a product within a sum: its factors
        nodes = numpy.concatenate([nodes, graph.left[gone], graph.right[gone]])
        nodes = nodes[self.slot[nodes] >= 0]
        for here, of_rows in zip(found, (False, True), strict=True):
            here[self.slot[nodes[(self.stage[nodes] == ROWS) == of_rows]]] = True
        once_slots, row_slots = (numpy.flatnonzero(x).astype(numpy.int32) for x in found)
        return once_slots, row_slots

    def _place(self, instruction: Instruction) -> None:
        """Weights, biases and other lower operands were nodes; now their slots are known."""
        for name in ("weights", "bias"):
            nodes = getattr(instruction, name, None)
            if nodes is not None:
                setattr(instruction, name, self._once(nodes))
        if isinstance(instruction, Elementwise):
            instruction.operands = tuple(
                Operands(True, self._once(operands.slots)) if operands.once else operands
                for operands in instruction.operands
            )
        if isinstance(instruction, Singles):
            first, second = instruction.operands
            instruction.operands = (
                Operands(first.once, self.slot[first.slots]),
                Operands(second.once, self.slot[second.slots]),
            )
            instruction.mask = self.slot[instruction.mask]
        if isinstance(instruction.mask, Operands):
            once, nodes = instruction.mask
            instruction.mask = Operands(once, self.slot[nodes])

    def _once(self, nodes: Any) -> Any:
        """The slots of nodes; those below all nodes are constants of our own."""
        own = self.first_constant + len(self.graph.constants) - nodes - 1
        return numpy.where(nodes < 0, own, self.slot[nodes]).astype(numpy.int32)

    def _stage(self, stage: int, first: int) -> Stage:
        self.end = first
        self.now = stage
        nodes = self.computed[stage]
        if self.graph.as_written and 0 < len(nodes) <= ORDERED:
            graph = self.graph
            order = rewriting.depth_first(graph.op, graph.left, graph.right, ARITY, graph.outputs)
            return Stage([self._singles(order)], first + len(order))
        levels = self.level[nodes]
        instructions: list[Instruction] = []
        done = 0
        for start, end in [*self._stretches(nodes), (len(nodes), len(nodes))]:
            for level in _runs(nodes[done:start], levels[done:start]):
                instructions += self._level(level)
            if start < end:
                instructions.append(self._singles(nodes[start:end]))
            done = end
        return Stage(instructions, self.end)

    def _level(self, nodes: Any) -> Iterator[Instruction]:
        roles = self.role[nodes]
        for role, make in ((FORM, self._sums), (FOLD, self._folds), (PLAIN, self._elementwise)):
            some = nodes[roles == role]
            if len(some):
                yield from make(some)

    def _take(self, nodes: Any) -> dict[str, Any]:
        """Give nodes their slots, in a row; what every instruction says of its outputs."""
        nodes = numpy.asarray(nodes, numpy.int32)
        out, self.end = self.end, self.end + len(nodes)
        self.slot[nodes] = numpy.arange(out, self.end)
        depends = int(numpy.bitwise_or.reduce(self.depends[nodes]))
        reach = self.reach[nodes]
        highest = reach.max()  # a condition, if there is one; below all others, NEVER
        if highest == NEVER:
            depends = 0
        mask: Any = None
        if highest >= 0:
            mask = reach[:1] if (reach == reach[0]).all() else reach
            of_rows = self.stage[mask[0]] == ROWS
            mask = NONZERO if of_rows and self.now == ONCE else Operands(not of_rows, mask)
        common = {"out": out, "count": len(nodes), "depends": depends, "mask": mask}
        return common | {"nodes": self.node_of[nodes]}

    # ---- Plain operations ----

    def _elementwise(self, nodes: Any) -> Iterator[Instruction]:
        graph = self.graph
        op, left, right = graph.op[nodes], graph.left[nodes], graph.right[nodes]
        binary = ARITY[op] == 2
        lower_left = self.stage[left] < self.now
        lower_right = binary & (self.stage[right] < self.now)
        for group in self._alike(nodes, op * 4 + lower_left * 2 + lower_right):
            if len(group) > 1:
                places = left[group] if not lower_left[group[0]] else right[group]
                group = group[numpy.argsort(self.slot[places], kind="stable")]
            operands = [self._operands(left[group], lower_left[group[0]])]
            if binary[group[0]]:
                operands.append(self._operands(right[group], lower_right[group[0]]))
            name = NAMES[op[group[0]]]
            yield Elementwise(**self._take(nodes[group]), operation=name, operands=tuple(operands))

    def _alike(self, nodes: Any, key: Any) -> Iterator[Any]:
        """The nodes that can be one instruction: of one key, and reached by the error in one way.

        Operands that are nodes of another list go into instructions of their own.
        """
        reach = self.reach[nodes]
        masked = numpy.where(reach >= 0, self.stage[reach], reach)
        key = (key * 8 + masked - NEVER) * 4 + self.depends[nodes]
        order = numpy.lexsort((nodes, key))
        yield from _runs(order, key[order])

    def _operands(self, nodes: Any, lower: bool) -> Operands:
        """Lower nodes get their slots last; constants stand beside what is computed once."""
        if lower and self.now == ROWS:
            return Operands(True, nodes)
        return Operands(False, self.slot[nodes])

    # ---- Single operations ----

    def _stretches(self, nodes: Any, most_terms: int = 0) -> list[tuple[int, int]]:
        """From where to where nodes have so little in common that one after the other is best.

        Args:
            nodes: of a list, level by level.
            most_terms: of the sums and folds that could be written out to be so.
        """
        if len(nodes) < LONG:
            return []
        level = numpy.cumsum(numpy.diff(self.level[nodes], prepend=self.level[nodes[0]]) != 0)
        kinds, values = self._kinds(nodes, most_terms)
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

    def _kinds(self, nodes: Any, most_terms: int) -> tuple[Any, Any]:
        """What nodes are like, as whole numbers; and of sums a hash of their values.

        Nodes of a level that are of one kind are likely to share an instruction; -1 is the kind of
        what is worth one of its own.
        """
        kinds, values = self.graph.op[self.node_of[nodes]], numpy.zeros(len(nodes), int)
        roles = self.role[nodes]
        sums, folds = numpy.flatnonzero(roles == FORM), numpy.flatnonzero(roles == FOLD)
        start = self.bounds[nodes[sums]]
        terms = self.bounds[nodes[sums] + 1] - start
        dots = numpy.where(self.kind[start] == UNIT, 0, 1 + 4 * terms + self.kind[start])
        kinds[sums] = numpy.where(terms <= most_terms, _DOTS + dots, -1)
        short = numpy.flatnonzero(terms <= most_terms)
        for k in range(most_terms):
            longer = short[terms[short] > k]
            values[sums[longer]] += self.second[start[longer] + k].astype(int) * 2654435761 % 2**32
        if len(folds):
            length = numpy.bincount(self.forms.operands.of, minlength=len(self.stage))
            kinds[folds[length[nodes[folds]] > most_terms]] = -1
        return kinds, values

    def _small_sums(self) -> Any:
        """The small sums and folds amid single operations: these stay as they were written."""
        small = numpy.zeros(len(self.graph.op), bool)
        for nodes in self.computed.values():
            for start, end in self._stretches(nodes, MOST_TERMS):
                inside = nodes[start:end]
                small[self.node_of[inside[self.role[inside] != PLAIN]]] = True
        return small

    def _singles(self, nodes: Any) -> Instruction:
        graph, reach = self.graph, self.reach[nodes]
        left, right = graph.left[nodes], graph.right[nodes]
        of_rows = self.now == ROWS
        common = self._take(nodes)
        by_rows = self.stage[reach] == ROWS
        masked = numpy.where(by_rows == of_rows, HERE, IN_ONCE if of_rows else BY_ERROR)
        return Singles(
            **common
            | {"depends": numpy.where(reach == NEVER, 0, self.depends[nodes]), "mask": reach},
            operations=graph.op[nodes],
            operands=(
                Operands(of_rows & (self.stage[left] < ROWS), left),
                Operands(of_rows & (self.stage[right] < ROWS), right),
            ),
            masked=numpy.where(reach >= 0, masked, UNMASKED),
            outs=self.slot[nodes],
        )

    # ---- Folds ----

    def _folds(self, nodes: Any) -> Iterator[Instruction]:
        of, value = self.forms.operands.of, self.forms.operands.value
        groups: dict[tuple[Any, ...], list[tuple[int, Any]]] = {}
        for node in nodes.tolist():
            start, end = numpy.searchsorted(of, (node, node + 1))
            key = (self.graph.op[node], end - start, self.reach[node], self.depends[node])
            groups.setdefault(key, []).append((node, self.slot[value[start:end]]))
        for (op, *_), members in groups.items():
            common = self._take([node for node, _ in members])
            values = numpy.array([slots for _, slots in members])
            yield Fold(**common, operation=NAMES[op], values=values)

    # ---- Sums: layers first, then what is left ----

    def _sums(self, nodes: Any) -> Iterator[Instruction]:
        start = self.bounds[nodes]
        alike = (self.kind[start], self.bounds[nodes + 1] - start, self.reach[nodes])
        keys = zip(*(x.tolist() for x in (*alike, self.depends[nodes])), strict=True)
        groups: dict[tuple[int, ...], list[int]] = {}
        for place, key in enumerate(keys):
            groups.setdefault(key, []).append(place)
        for key in sorted(groups, key=lambda key: key[0] != WEIGHTED):
            what, length, *_ = key
            members = groups[key]
            terms = start[members, None] + numpy.arange(length)
            sums = _Sums(
                nodes[members], self.first[terms], self.slot[self.second[terms]], self.sign[terms]
            )
            if what == WEIGHTED:
                yield from self._weighted(sums)
            else:
                yield self._plain_sums(what, sums)

    def _weighted(self, sums: _Sums) -> Iterator[Instruction]:
        """Sums over the same values, in any order, are a layer."""
        sums = sums.sort(sums.second)
        slots = sums.second
        first = slots[0]
        if slots.size > 1 and (slots == first).all() and (first[1:] != first[:-1]).all():
            yield self._layer([sums])  # the usual case, told at once
            return
        twice = (slots[:, 1:] == slots[:, :-1]).any(axis=1)  # no row of a matrix
        single = numpy.flatnonzero(twice).tolist()
        same: dict[bytes, list[int]] = {}
        for row in numpy.flatnonzero(~twice).tolist():
            same.setdefault(slots[row].tobytes(), []).append(row)
        # Groups with the same weights on other values become one layer at several places.
        alike: dict[Any, list[tuple[_Sums, _Sums]]] = {}
        for rows in same.values():
            by_slot = sums.take(rows)
            matrix = _standard(by_slot)
            key = (len(rows), matrix.first.tobytes(), matrix.signs.tobytes())
            alike.setdefault(key, []).append((by_slot, matrix))
        for (rows, *_), members in alike.items():
            if len(members) > 1:
                yield self._layer([matrix for _, matrix in members])
            elif rows == 1 and slots.shape[1] < _LONG:
                single += same[members[0][0].second[0].tobytes()]
            else:
                yield self._layer([members[0][0]])
        if len(single) == 1 and slots.shape[1] > 1 and not twice[single[0]]:
            yield self._layer([sums.take(single)])
        elif single:
            yield self._plain_sums(WEIGHTED, sums.take(single))

    def _layer(self, matrices: list[_Sums]) -> Instruction:
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

    def _plain_sums(self, what: int, sums: _Sums) -> Instruction:
        if what == PRODUCT:  # by rows and columns, if they are the products of two matrices
            keys = (sums.second[:, 0], self.slot[sums.first[:, 0]])
            sums = sums.take(numpy.lexsort(keys))
        else:
            sums = sums.take(numpy.argsort(sums.second[:, 0], kind="stable"))
        if len(sums.nodes) == 1:  # in the order of the slots: a slice, if they stand in a row
            sums = sums.sort(self.slot[sums.first] if what == PRODUCT else sums.second)
        common = self._take(sums.nodes)
        bias, bias_signs = self._bias(sums.nodes)
        rest = {
            "signs": None if (sums.signs > 0).all() else sums.signs.astype(float),
            "bias": bias,
            "bias_signs": bias_signs,
        }
        if what == PRODUCT:
            return Products(**common, first=self.slot[sums.first], second=sums.second, **rest)
        weights = sums.first if what == WEIGHTED else None
        return Sums(**common, weights=weights, values=sums.second, **rest)

    def _bias(self, nodes: Any) -> tuple[Any, Any]:
        bias, signs = self.bias[nodes], self.bias_sign[nodes]
        if (bias == self.zero).all():
            return None, None
        return bias, None if (signs > 0).all() else signs


def _watched(once: Stage, rows: Stage) -> tuple[Any, Any]:
    """For each slot of both lists whether an instruction computes with it in another order."""
    found = numpy.zeros(once.slots, bool), numpy.zeros(rows.slots, bool)
    for here, stage in enumerate((once, rows)):
        for i in stage.instructions:
            if isinstance(i, Elementwise) and i.operation == "mul":
                left, right = i.operands
                if left.once == right.once:
                    found[0 if left.once else here][left.slots[left.slots == right.slots]] = True
            elif isinstance(i, Singles):
                left, right = i.operands
                square = (i.operations == _MUL) & (left.slots == right.slots)
                square &= left.once == right.once
                found[0][left.slots[square & left.once]] = True
                found[here][left.slots[square & ~left.once]] = True
            elif isinstance(i, Fold) and i.operation == "logaddexp":
                found[here][i.out : i.out + i.count] = True
            elif isinstance(i, Products):
                found[here][i.first] = found[here][i.second] = True
            elif isinstance(i, Layer | Sums) and not _is_plain(i):
                found[here][i.values] = True
                for lower in (i.weights, i.bias):
                    if lower is not None:
                        found[0][lower] = True
    return found


def _is_plain(i: Layer | Sums) -> bool:
    """Whether there is only one order: of the sum of two values, or of a single product."""
    terms = i.values.shape[1]
    return i.bias is None and terms <= (2 if i.weights is None else 1)


def _runs(items: Any, keys: Any) -> Iterator[Any]:
    """The stretches of items that have the same key."""
    ends = [*(numpy.flatnonzero(keys[1:] != keys[:-1]) + 1).tolist(), len(items)]
    for start, end in pairwise([0, *ends]):
        yield items[start:end]


def _standard(sums: _Sums) -> _Sums:
    """Sums over the same values as a matrix whose rows and columns stand in the weights' order.

    Columns in the order of the row that has the smallest weight.
    """
    rows = numpy.argsort(sums.first.min(axis=1), kind="stable")
    columns = numpy.argsort(sums.first[rows[0]], kind="stable")
    return _Sums(sums.nodes[rows], *(x[rows][:, columns] for x in sums[1:]))


#: Single operations share an instruction where a list has so many of them, so many in a row, and of
#: a kind fewer than so many on a level; sums of so few terms among them are written out.
LONG, SHORT, FEW, MOST_TERMS = 80, 8, 4, 8
#: Fewer instructions than this are soon made, and what counts is how fast they run. For more, what
#: counts is what they cost, in microseconds: to make an instruction; to make a single operation; by
#: how much a thousand runs of that take longer than as a part of an instruction.
SOON, INSTRUCTION, OPERATION, LONGER = 600, 290, 8, 25
#: A weighted sum of so many terms is a layer of its own, even if it stands beside others.
_LONG = 16
#: So many operations at most are in the order of the engine, where they are as they were written.
ORDERED = 2**16
#: Greater than this are the kinds of dot products.
_DOTS = len(NAMES)
_INPUT, _PARAMETER, _MUL = (NAMES.index(name) for name in ("input", "parameter", "mul"))
_NONE = numpy.empty(0, numpy.int32)
