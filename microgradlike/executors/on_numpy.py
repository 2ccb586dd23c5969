"""Runs a program with NumPy: each instruction is a function that computes, and one that goes back.

The numbers of a block of rows stand in an array, a row for each slot and a column (lane) for each
row of data; their errors stand in a second one. What is computed once is a program on one lane. So
memory depends on the size of a block, not on the number of rows.

The formulas are those of the operator table, read as array expressions (``arrays.py``).
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy

from microgradlike import ops
from microgradlike.compiler.program import (
    BY_ERROR,
    HERE,
    NONZERO,
    UNMASKED,
    Elementwise,
    Fold,
    Instruction,
    Layer,
    Operands,
    Products,
    Program,
    Singles,
    Stage,
    Sums,
)
from microgradlike.compiler.rewriting import ARITY, SENDS
from microgradlike.compiler.tape import CODES, NAMES, SHARE, row_of
from microgradlike.executors.formulas import CONDITIONS, UFUNCS, formula
from microgradlike.replay.arguments import INPUTS, PARAMETERS

Array: TypeAlias = "numpy.typing.NDArray[numpy.float64]"
Action: TypeAlias = Callable[[], None]

# ---- Slots -------------------------------------------------------------------------------------


def as_slice(slots: Any) -> Any:
    """The slots as a slice where they stand in a row: then they are a view, not a copy."""
    flat = slots.ravel()
    if len(flat) == 1:
        return slice(int(flat[0]), int(flat[0]) + 1)
    if len(flat) and (flat == numpy.arange(flat[0], flat[0] + len(flat))).all():
        return slice(int(flat[0]), int(flat[0]) + len(flat))
    return None


def stretches(slots: Any, edge: int = -1) -> list[tuple[int, int]]:
    """Slots as stretches, none across an edge: where each begins, and how many there are."""
    if not len(slots):
        return []
    begins = (numpy.diff(slots) != 1) | (slots[1:] == edge)
    parts = numpy.split(slots, numpy.flatnonzero(begins) + 1)
    return [(int(part[0]), len(part)) for part in parts]


def _reader(array: Array, slots: Any) -> Callable[[], Any]:
    """A function that gives the numbers in these slots: ``array`` has slots or slots x lanes."""
    found = as_slice(slots)
    if found is None:
        return lambda: array[slots]
    view = array[found].reshape(*slots.shape, *array.shape[1:])
    return lambda: view


class _Adder:
    """Adds to the numbers in some slots, each as often as it occurs.

    Attributes:
        view: the numbers, if the slots stand in a row.
        assigns: it is the first to write there, so that it need not add to zeros.
    """

    def __init__(self, array: Array, slots: Any) -> None:
        self.array, self.slots, self.assigns = array, slots.ravel(), False
        self.shape = (slots.size, *array.shape[1:])
        found = as_slice(slots)
        self.view: Any = None
        if found is not None:
            self.view = array[found].reshape(*slots.shape, *array.shape[1:])
        self.unique = found is not None or len(numpy.unique(self.slots)) == slots.size
        self.one = not self.unique and bool((self.slots == self.slots[0]).all())

    def __call__(self, numbers: Any) -> None:
        if self.assigns:
            numpy.copyto(self.view, numbers)
        elif self.view is not None:
            numpy.add(self.view, numbers, out=self.view)
        elif self.unique:
            self.array[self.slots] += numpy.reshape(numbers, self.shape)
        elif self.one:
            self.array[self.slots[0]] += numpy.reshape(numbers, self.shape).sum(axis=0)
        else:
            numpy.add.at(self.array, self.slots, numpy.reshape(numbers, self.shape))


# ---- One list of instructions at work ----------------------------------------------------------


def own_weights(program: Program) -> Any:
    """For each slot of ``once``, whether it is a weight of a layer that has its weights for itself.

    The layer writes their errors, and need not add to zeros.
    """
    uses = numpy.zeros(program.once.slots, numpy.int32)
    for once, slot in program.outputs:
        if once:
            uses[slot] += 1
    for i in program.rows.instructions:
        lower = [getattr(i, "weights", None), getattr(i, "bias", None)]
        lower += [
            x.slots[x.once] if isinstance(i, Singles) else x.slots
            for x in getattr(i, "operands", ())
            if numpy.any(x.once)
        ]
        for slots in lower:
            if slots is not None:
                numpy.add.at(uses, slots.ravel(), 1)
    uses[len(program.parameters) :] = 2  # constants, and what is computed once
    own = numpy.zeros(len(uses), bool)
    for i in program.rows.instructions:
        if isinstance(i, Layer) and len(i.values) == 1 and i.depends & PARAMETERS:
            whole = as_slice(i.weights) is not None and i.signs is None
            if whole and (uses[i.weights] == 1).all():
                own[i.weights.ravel()] = True
    return own


def wanted_slots(program: Program) -> tuple[Any, Any]:
    """For which slots of ``once``, and for which of the rows, the error is wanted, and by whom."""
    once = numpy.zeros(program.once.slots, numpy.int8)
    once[: len(program.parameters)] = PARAMETERS
    rows = numpy.zeros(max(program.rows.slots, 1), numpy.int8)
    rows[: len(program.inputs)] = INPUTS
    for stage, wants in ((program.once, once), (program.rows, rows)):
        for i in stage.instructions:
            outs = i.outs if isinstance(i, Singles) else slice(i.out, i.out + i.count)
            wants[outs] = i.depends
    return once, rows


#: Errors that are sent to slots are added; or all written, if nobody sent any before; or each by
#: itself is written or added.
ADDS, TOGETHER, ONE_BY_ONE = range(3)


def first_writers(
    senders: Sequence[tuple[Any, int]], wants: Any, seeded: list[int]
) -> tuple[list[Any], Any]:
    """Who comes first when going back writes; only what is left must be cleared before.

    Args:
        senders: in the order of going back, the slots that get an error, and whether these can be
            written: ``ADDS``, ``TOGETHER`` or ``ONE_BY_ONE``.
        wants: for which slots the error is wanted.
        seeded: the slots that have an error before anybody sends one.

    Returns:
        For each sender, or for each of its slots, whether it writes; and the slots that must be
        cleared.
    """
    written = numpy.zeros(len(wants), bool)
    written[seeded] = True
    clear = written.copy()
    firsts: list[Any] = []
    for slots, writes in senders:
        if writes == ONE_BY_ONE:
            first = numpy.zeros(len(slots), bool)
            first[numpy.unique(slots, return_index=True)[1]] = True
            firsts.append(first & ~written[slots])
        else:
            firsts.append(writes == TOGETHER and not written[slots].any())
            if not firsts[-1]:
                clear[slots[~written[slots]]] = True
        written[slots] = True
    return firsts, numpy.flatnonzero(clear | ((wants != 0) & ~written))


class _Block:
    """What the lanes of a run share.

    Attributes:
        first: whether they are the first ones.
        own: the weights that only their layer uses.
        theta, gradient: where such weights and their errors stand.
    """

    def __init__(self, program: Program) -> None:
        self.first = True
        self.theta = self.gradient = numpy.empty(0)
        self.own = own_weights(program)


class _Lanes:
    """A list of instructions, made into functions for a number of lanes.

    Args:
        stage: the instructions.
        values, errors: the numbers and their errors, shape (slots, lanes).
        once, once_errors: those that are computed once, shape (slots,).
        wants: for which slots, and for which of ``once``, the error is wanted (PARAMETERS, INPUTS).
        mode: which of the two.
        block: whether these are the first lanes, and which weights have one user.
        arrived: for each slot and lane whether any error has arrived, even one that is 0; None
            where the program is not as it was written.
        seeded: the slots that have an error before the first instruction goes back.
    """

    def __init__(
        self, stage: Stage, values: Array, errors: Array, once: Array, once_errors: Array,
        wants: Any, once_wants: Any, mode: int, block: _Block, seeded: list[int],
        arrived: Any = None,
    ) -> None:  # fmt: skip
        self.block, self.arrived = block, arrived
        self.values, self.errors, self.once, self.once_errors = values, errors, once, once_errors
        self.wants, self.once_wants, self.mode = wants & mode, once_wants & mode, mode
        self.prepare: list[Action] = []
        self.forward: list[Action] = []
        self.backward: list[Action] = []
        self.adders: list[_Adder] = []
        for instruction in stage.instructions:
            self.active = bool(numpy.any(instruction.depends & mode))
            forward, backward = _MAKERS[type(instruction)](self, instruction)
            self.forward.append(forward)
            if self.active:
                self.backward.append(backward)
        self.backward.reverse()
        self._find_first_writers(seeded)

    def outputs(self, i: Instruction) -> tuple[Array, Array]:
        here = slice(i.out, i.out + i.count)
        return self.values[here], self.errors[here]

    def constant(self, slots: Any, signs: Any) -> tuple[Callable[[], Any], Any]:
        """The numbers of ``once`` in these slots, times signs; and what adds to their errors."""
        read, add = _reader(self.once, slots), _Adder(self.once_errors, slots)
        if as_slice(slots) is None or signs is not None:
            kept = numpy.empty(slots.shape)
            source = read

            def prepare() -> None:
                numpy.multiply(source(), 1.0 if signs is None else signs, out=kept)

            self.prepare.append(prepare)
            read = lambda: kept  # noqa: E731
        wanted = self.once_wants[slots].any()
        if not wanted:
            return read, None
        return read, add if signs is None else lambda errors: add(errors * signs)

    def weights(self, i: Layer) -> tuple[Callable[[], Any], Callable[[Any, Any], None] | None]:
        """The weights of a layer; and what adds delta x values to their errors."""
        block, found, shape = self.block, as_slice(i.weights), i.weights.shape
        if not block.own[i.weights].all():
            read, add = self.constant(i.weights, i.signs)
            return read, None if add is None else lambda delta, x: add(_dot(delta, x.T))

        def send(delta: Any, x: Any) -> None:
            errors = block.gradient[found].reshape(shape)
            if block.first:
                _dot(delta, x.T, out=errors)
            else:
                numpy.add(errors, _dot(delta, x.T), out=errors)

        return lambda: block.theta[found].reshape(shape), send

    def bias(self, i: Any, out: Array, errors: Array) -> tuple[Action | None, Action | None]:
        """What adds the biases of an instruction, and what sends their errors back."""
        if i.bias is None:
            return None, None
        read, add = self.constant(i.bias.ravel(), None if i.bias_signs is None
                                  else i.bias_signs.ravel())  # fmt: skip
        column = read()[:, None]

        def forward() -> None:
            numpy.add(out, column, out=out)

        if add is None:
            return forward, None
        ones = numpy.ones(errors.shape[1])
        return forward, lambda: add(numpy.dot(errors, ones))

    def adder(self, slots: Any) -> _Adder | None:
        """What adds to the errors of values, if anybody wants them.

        An instruction that makes several calls the last one first.
        """
        if not self.active or not self.wants[slots].any():
            return None
        self.adders.append(_Adder(self.errors, slots))
        return self.adders[-1]

    def _find_first_writers(self, seeded: list[int]) -> None:
        """Who comes first when going back writes; only what is left must be cleared before."""
        senders = [
            (a.slots, TOGETHER if a.view is not None else ADDS) for a in reversed(self.adders)
        ]
        firsts, self.clear = first_writers(senders, self.wants, seeded)
        for add, first in zip(reversed(self.adders), firsts, strict=True):
            add.assigns = first

    def reached(self, i: Instruction) -> Callable[[], Any] | None:
        """Where the error arrives: one truth for each lane, or for each output and lane."""
        if i.mask is None:
            return None
        if i.mask is NONZERO:
            _, errors = self.outputs(i)
            return lambda: errors != 0
        once = self.once[:, None] if i.mask.once else self.values
        read = _reader(once, i.mask.slots)
        return lambda: read() != 0

    def arrives(self, operation: str, side: int, outs: Any, slots: Any) -> Arrives | None:
        """What tells where an operation sends anything to an operand, and notes it there.

        What was sent nothing has nothing to send either: the engine does not multiply it.
        """
        if self.arrived is None:
            return None
        arrived, here, passes = self.arrived, self.arrived[outs], _passes(operation, side)

        def truth(x: Any, y: Any, out: Any) -> Any:
            found = here & passes(x, y, out)
            numpy.logical_or.at(arrived, slots, found)
            return found

        return truth


def _some_lanes(reached: Callable[[], Any] | None, lanes: int) -> Callable[[], Any]:
    """The lanes in which the error arrives, to choose them from the last axis; None for all."""
    if reached is None:
        return _nothing

    def some() -> Any:
        truth = numpy.broadcast_to(reached().any(axis=0), lanes)
        return None if truth.all() else numpy.flatnonzero(truth)

    return some


def _chosen(lanes: Any, *arrays: Any) -> Any:
    return arrays if lanes is None else [array[..., lanes] for array in arrays]


def _spread(lanes: Any, errors: Any, count: int) -> Any:
    """Errors of some lanes as errors of all: nothing elsewhere."""
    if lanes is None:
        return errors
    whole = numpy.zeros((*errors.shape[:-1], count))
    whole[..., lanes] = errors
    return whole


def _dot(a: Any, b: Any, out: Any = None) -> Any:
    """The product of two matrices; BLAS skips a factor that is a single zero, and so infinity."""
    if a.size == 1 or b.size == 1:
        return numpy.multiply(a, b, out=out)
    return numpy.dot(a, b, out=out)


def _layer(self: _Lanes, i: Layer) -> tuple[Action, Action]:
    out, errors = self.outputs(i)
    places, outs = len(i.values), len(i.weights)
    lanes = out.shape[1]
    add_bias, send_bias = self.bias(i, out, errors)
    some = _some_lanes(self.reached(i), lanes)
    if places == 1:
        weights, send_weights = self.weights(i)
        read = _reader(self.values, i.values[0])
        add = self.adder(i.values[0])

        def forward() -> None:
            _dot(weights(), read(), out=out)
            if add_bias:
                add_bias()

        def backward() -> None:
            live = some()
            delta, x = _chosen(live, errors, read())
            if send_weights:
                send_weights(delta, x)
            if send_bias:
                send_bias()
            if add and add.assigns and live is None:
                _dot(weights().T, delta, out=add.view)
            elif add:
                add(_spread(live, _dot(weights().T, delta), lanes))

        return forward, backward

    weights, add_weights = self.constant(i.weights, i.signs)
    read = _reader(self.values, i.values)
    out_places, error_places = (x.reshape(places, outs, lanes) for x in (out, errors))
    adders = [self.adder(values) for values in i.values]

    def forward_places() -> None:
        numpy.matmul(weights(), read(), out=out_places)
        if add_bias:
            add_bias()

    def backward_places() -> None:
        live = some()
        delta, x = _chosen(live, error_places, read())
        if add_weights:
            flat = [a.transpose(1, 0, 2).reshape(a.shape[1], -1) for a in (delta, x)]
            add_weights(flat[0] @ flat[1].T)
        if send_bias:
            send_bias()
        if any(adders):
            sent = _spread(live, numpy.matmul(weights().T, delta), lanes)
            for add, part in zip(reversed(adders), sent[::-1], strict=True):
                if add:
                    add(part)

    return forward_places, backward_places


def _sums(self: _Lanes, i: Sums) -> tuple[Action, Action]:
    out, errors = self.outputs(i)
    lanes = out.shape[1]
    add_bias, send_bias = self.bias(i, out, errors)
    some = _some_lanes(self.reached(i), lanes)
    read = _reader(self.values, i.values)
    add = self.adder(i.values)
    add_weights = None
    if i.weights is not None:
        weights, add_weights = self.constant(i.weights, i.signs)
    elif i.signs is not None:
        weights = lambda: i.signs  # noqa: E731
    else:
        weights = None

    def forward() -> None:
        if weights is None:
            read().sum(axis=1, out=out)
        else:
            numpy.einsum("nk,nkm->nm", weights(), read(), out=out)
        if add_bias:
            add_bias()

    def backward() -> None:
        live = some()
        delta, x = _chosen(live, errors, read())
        if add_weights:
            add_weights(numpy.einsum("nm,nkm->nk", delta, x))
        if send_bias:
            send_bias()
        if add:
            shape = (*i.values.shape, delta.shape[1])
            sent = numpy.broadcast_to(delta[:, None], shape)
            if weights is not None:
                sent = sent * weights()[:, :, None]
            add(_spread(live, sent, lanes))

    return forward, backward


def _products(self: _Lanes, i: Products) -> tuple[Action, Action]:
    out, errors = self.outputs(i)
    lanes = out.shape[1]
    add_bias, send_bias = self.bias(i, out, errors)
    some = _some_lanes(self.reached(i), lanes)
    squares = numpy.array_equal(i.first, i.second)
    grid = i.grid() if i.signs is None and not squares else None
    if grid is not None:
        return _matrix_product(self, i, grid)
    first, second = _reader(self.values, i.first), _reader(self.values, i.second)
    add_first, add_second = self.adder(i.first), None if squares else self.adder(i.second)
    signs = None if i.signs is None else i.signs[:, :, None]

    def forward() -> None:
        a, b = first(), second()
        if out.size == 1 and signs is None:
            out[...] = numpy.dot(a.ravel(), b.ravel())
        else:
            numpy.einsum("nkm,nkm->nm", a if signs is None else a * signs, b, out=out)
        if add_bias:
            add_bias()

    def backward() -> None:
        live = some()
        delta, a, b = _chosen(live, errors, first(), second())
        delta = delta[:, None] if signs is None else delta[:, None] * signs
        if add_second:
            add_second(_spread(live, delta * a, lanes))
        if add_first:
            add_first(_spread(live, (delta + delta if squares else delta) * b, lanes))
        if send_bias:
            send_bias()

    return forward, backward


def _matrix_product(self: _Lanes, i: Products, grid: Any) -> tuple[Action, Action]:
    """All pairs of the rows of two matrices: a small matrix product in each lane."""
    out, errors = self.outputs(i)
    rows, columns = grid
    lanes = out.shape[1]
    shape = (len(rows), len(columns), lanes)
    first, second = _reader(self.values, rows), _reader(self.values, columns)
    add_first, add_second = self.adder(rows), self.adder(columns)
    add_bias, send_bias = self.bias(i, out, errors)
    some = _some_lanes(self.reached(i), lanes)
    out_grid, error_grid = out.reshape(shape), errors.reshape(shape)

    def forward() -> None:
        numpy.einsum("pkm,qkm->pqm", first(), second(), out=out_grid)
        if add_bias:
            add_bias()

    def backward() -> None:
        live = some()
        delta, a, b = _chosen(live, error_grid, first(), second())
        if add_second:
            add_second(_spread(live, numpy.einsum("pqm,pkm->qkm", delta, a), lanes))
        if add_first:
            add_first(_spread(live, numpy.einsum("pqm,qkm->pkm", delta, b), lanes))
        if send_bias:
            send_bias()

    return forward, backward


def _fold(self: _Lanes, i: Fold) -> tuple[Action, Action]:
    out, errors = self.outputs(i)
    lanes = out.shape[1]
    read = _reader(self.values, i.values)
    add = self.adder(i.values)
    some = _some_lanes(self.reached(i), lanes)
    row, tie = row_of(i.operation)
    assert row is not None
    value = formula(row.value)
    by_x, by_y = (formula(ops.sent(slope, tie)) for slope in row.slopes)

    def along(x: Any) -> list[Any]:
        """The results after one, two, ... values."""
        found = [x[:, 0]]
        for k in range(1, x.shape[1]):
            found.append(value(found[-1], x[:, k], None, tie))
        return found

    def forward() -> None:
        x = read()
        if i.operation == "logaddexp":
            largest = x.max(axis=1)
            numpy.log(numpy.exp(x - largest[:, None]).sum(axis=1), out=out)
            numpy.add(out, largest, out=out)
            numpy.copyto(out, largest, where=~numpy.isfinite(largest))
        else:
            out[...] = along(x)[-1]

    def backward() -> None:
        live = some()
        delta, x = _chosen(live, errors, read())
        if i.operation == "logaddexp":  # NaN where the largest is infinite: this is not safe
            shares = numpy.exp(x - x.max(axis=1)[:, None])
            sent = shares * (delta / shares.sum(axis=1))[:, None]
        else:
            found = along(x)
            sent = numpy.empty_like(x)
            for k in range(x.shape[1] - 1, 0, -1):
                operands = (found[k - 1], x[:, k], found[k], tie, delta)
                sent[:, k] = by_y(*operands)
                delta = by_x(*operands)
            sent[:, 0] = delta
        if add:
            add(_spread(live, sent, lanes))

    return forward, backward


@functools.cache
def _computes(operation: str) -> Callable[[Any, Any, Array], None]:
    """What computes an operation of x and y, into a third array."""
    if operation == "detach":
        return lambda x, _, out: numpy.copyto(out, x)
    if operation == "keep":
        return lambda x, y, out: numpy.copyto(out, numpy.where(x != 0, y, -0.0))
    if operation in CONDITIONS:
        compare = CONDITIONS[operation]
        if operation == "not":
            return lambda x, _, out: compare(x, out=out, casting="unsafe")
        return lambda x, y, out: compare(x, y, out=out, casting="unsafe")
    row, tie = row_of(operation)
    assert row is not None
    ufunc, compute = UFUNCS.get(row.name), formula(row.value)
    if ufunc is None:
        return lambda x, y, out: numpy.copyto(out, compute(x, y, None, tie))
    if len(row.slopes) == 1:
        return lambda x, _, out: ufunc(x, out=out)
    return lambda x, y, out: ufunc(x, y, out=out)


Sender: TypeAlias = Callable[[Any, Any, Any, Any, Any], Any]


@functools.cache
def _sends(operation: str) -> list[Sender | None]:
    """For each operand what it is sent, of the error, x, y, out, and an array; None for nothing.

    The answer may be written into the array, but need not be.
    """
    if operation == "keep":
        return [None, lambda error, x, y, out, into: numpy.where(x != 0, error, 0.0)]
    row, tie = row_of(operation)
    if row is None:
        return [None, None]

    def sender(slope: str) -> Sender | None:
        if slope == "1":
            return lambda error, x, y, out, into: error
        if ops.passes(slope, tie) == "True":
            by = formula(slope)
            return lambda error, x, y, out, into: numpy.multiply(
                error, by(x, y, out, tie), out=into
            )
        what = formula(ops.sent(slope, tie))
        return lambda error, x, y, out, into: what(x, y, out, tie, error)

    return [None if slope == "0" else sender(slope) for slope in row.slopes]


Arrives: TypeAlias = Callable[[Any, Any, Any], Any]


@functools.cache
def _passes(operation: str, side: int) -> Arrives:
    """Where an operation lets an error pass to an operand, of x, y and out."""
    if operation == "keep":
        return lambda x, y, out: x != 0
    row, tie = row_of(operation)
    assert row is not None
    passes = formula(ops.passes(row.slopes[side], tie))
    return lambda x, y, out: passes(x, y, out, tie)


def _operation(self: _Lanes, i: Elementwise) -> tuple[Action, Action]:
    out, errors = self.outputs(i)
    sends = _sends(i.operation)
    # Who adds to an error may be the first to write it: so only who sends has what adds.
    operands = [
        _operand(self, operands, side < len(sends) and sends[side] is not None)
        for side, operands in enumerate(i.operands)
    ]
    first, second = [*(read for read, _ in operands), _nothing][:2]
    reached, compute = self.reached(i), _computes(i.operation)
    here = slice(i.out, i.out + i.count)
    senders = [
        _sender(send, add, reached, self.arrives(i.operation, side, here, i.operands[side].slots))
        for side, (send, (_, add)) in enumerate(zip(sends, operands, strict=False))
        if send is not None and add is not None
    ]

    def forward() -> None:
        compute(first(), second(), out)

    def backward() -> None:
        x, y = first(), second()
        for send in reversed(senders):
            send(errors, x, y, out)

    return forward, backward if senders else _nothing


def _sender(
    send: Sender, add: Callable[[Any], None], reached: Any, arrives: Arrives | None
) -> Callable[..., None]:
    """What sends the error of an operation to one of its operands."""
    everywhere = reached is None and arrives is None

    def go(errors: Any, x: Any, y: Any, out: Any) -> None:
        # Whether it assigns is known only when all instructions are there.
        into = add.view if everywhere and isinstance(add, _Adder) and add.assigns else None
        sent = send(errors, x, y, out, into)
        if arrives is not None:
            add(numpy.where(arrives(x, y, out), sent, 0.0))
        elif into is None or sent is not into:
            add(sent if reached is None else numpy.where(reached(), sent, 0.0))

    return go


def _operand(self: _Lanes, operands: Operands, sends: bool = True) -> tuple[Callable[[], Any], Any]:
    """What reads an operand of an operation, and what adds to its error, if anything is sent."""
    if not operands.once:
        adder = self.adder(operands.slots) if sends else None
        return _reader(self.values, operands.slots), adder
    read, add = self.constant(operands.slots, None)
    column = read()[:, None]  # it stays the same array, whose numbers change
    if add is None:
        return lambda: column, None
    ones = numpy.ones(self.values.shape[1])
    return lambda: column, lambda errors: add(numpy.dot(errors, ones))


def going_back(i: Singles, mode: int, wants: Any, once_wants: Any) -> tuple[Any, Any]:
    """Which single operations send an error, and to which operand (0, 1), in the order of doing so.

    Args:
        i: the instruction.
        mode: PARAMETERS or INPUTS.
        wants, once_wants: for which slots, and for which of ``once``, the error is wanted.
    """
    sends = SENDS[i.operations] & (i.depends & mode != 0)
    found = []
    for side, (once, slots) in enumerate(i.operands):
        wanted = numpy.where(once, once_wants[slots * once], wants[slots * ~once]) != 0
        wanted &= ARITY[i.operations] > side
        wanted &= i.operations != CODES["keep" if side == 0 else SHARE]  # what sends to one side
        found.append(numpy.flatnonzero(sends & wanted))
    places = numpy.concatenate(found)
    sides = numpy.repeat([0, 1], list(map(len, found)))
    order = numpy.lexsort((-sides, -places))
    return places[order], sides[order]


def _singles(self: _Lanes, i: Singles) -> tuple[Action, Action]:
    values, errors = list(self.values), list(self.errors)
    once, owed = list(self.once[:, None]), list(self.once_errors[:, None])
    names = [NAMES[operation] for operation in i.operations.tolist()]
    xs, ys = (
        [(once if lower else values)[slot] for lower, slot in zip(*operands, strict=True)]
        for operands in i.operands
    )
    outs = [values[slot] for slot in i.outs]
    steps = list(zip(map(_computes, names), xs, ys, outs, strict=True))
    senders, targets = [], []
    for k, side in zip(*going_back(i, self.mode, self.wants, self.once_wants), strict=True):
        lower, slot, error = i.operands[side].once[k], i.operands[side].slots[k], errors[i.outs[k]]
        if not lower:
            targets.append(slot)
        masked, mask = i.masked[k], None
        if masked != UNMASKED:
            mask = error if masked == BY_ERROR else (values if masked == HERE else once)[i.mask[k]]
        to = owed[slot] if lower else errors[slot]
        arrives = self.arrives(names[k], int(side), i.outs[k], slot)
        senders.append((_sends(names[k])[side], error, xs[k], ys[k], outs[k], mask, arrives, to))
    adder = self.adder(numpy.array(targets, int))
    if adder:
        adder.view = None  # each adds, in its turn

    def forward() -> None:
        for compute, x, y, out in steps:
            compute(x, y, out)

    def backward() -> None:
        for send, error, x, y, out, mask, arrives, to in senders:
            sent = send(error, x, y, out, None)
            if arrives is not None:
                sent = numpy.where(arrives(x, y, out), sent, 0.0)
            elif mask is not None:
                sent = numpy.where(mask != 0, sent, 0.0)
            numpy.add(to, sent if len(to) > 1 else sent.sum(), out=to)

    return forward, backward


def _nothing() -> None:
    pass


_MAKERS: dict[type[Instruction], Callable[[_Lanes, Any], tuple[Action, Action]]] = {
    **{
        Layer: _layer,
        Sums: _sums,
        Products: _products,
        Fold: _fold,
        Elementwise: _operation,
        Singles: _singles,
    },
}


class Ran(NamedTuple):
    """What a run has found."""

    errors: Array
    """Of each parameter, summed over the rows."""
    total: float
    """The sum of the first output over the rows."""
    safe: bool
    """Whether NaN and infinity are where the engine has them: all squares of the numbers that are
    watched, and of the errors that were wanted, are finite."""
    unsafe: Any = ()
    """The numbers of rows that were computed as they were written."""

    def and_then(self, other: Ran) -> Ran:
        """Both runs together. One may know more parameters, which follow those of the other."""
        few, errors = sorted((self.errors, other.errors), key=len)
        with numpy.errstate(all="ignore"):
            errors[: len(few)] += few
            unsafe = [*self.unsafe, *other.unsafe]
            return Ran(errors, self.total + other.total, self.safe and other.safe, unsafe)


def is_small(numbers: Array, here: Any = ...) -> bool:
    """Whether the squares of all, or of those that stand here, have a finite sum."""
    flat = numbers[here].ravel()
    return math.isfinite(numpy.dot(flat, flat))


# ---- The executor ------------------------------------------------------------------------------

#: A block has about so many numbers, in so many rows at least and at most.
BLOCK, FEWEST, MOST = 2**20, 16, 4096


class NumpyExecutor:
    """A program at work.

    Args:
        program: what to run.
        as_written: its graph is: what the error does not reach has nothing to send, as in the
            engine.
    """

    def __init__(self, program: Program, as_written: bool = False) -> None:
        self.program, self.as_written = program, as_written
        self._lock = threading.Lock()
        slots = program.once.slots
        self.once = numpy.zeros(slots)
        self.once_errors = numpy.zeros(slots)
        count = len(program.parameters)
        self.theta = self.once[:count]
        self.once[count : count + len(program.constants)] = program.constants
        self.once_wants, self.wants = wanted_slots(program)
        self.lanes = max(FEWEST, min(MOST, BLOCK // max(program.rows.slots, 1)))
        self._rows: dict[tuple[int, int], _Lanes] = {}
        self._block = _Block(program)
        self._direct = not program.once.instructions
        self._watched_once, self._watched = (
            [slice(start, start + size) for start, size in stretches(slots, count)]
            for slots in program.watched
        )
        self._clear = numpy.flatnonzero(~self._block.own)
        self._shared = self._clear[self._clear < count]
        self._once = _Lanes(
            program.once, self.once[:, None], self.once_errors[:, None], self.once,
            self.once_errors, self.once_wants, self.once_wants, PARAMETERS, self._block,
            list(range(slots)),
        )  # fmt: skip
        for prepare in self._once.prepare:  # weights of this list are constants
            prepare()

    def _for(self, lanes: int, mode: int) -> _Lanes:
        """The functions for a number of lanes; few numbers occur, mostly one and a rest."""
        found = self._rows.get((lanes, mode))
        if found is None:
            if len(self._rows) > 8:
                self._rows.clear()
            program = self.program
            values, errors = numpy.zeros((2, max(program.rows.slots, 1), lanes))
            arrived = numpy.zeros(values.shape, bool) if self.as_written else None
            found = self._rows[lanes, mode] = _Lanes(
                program.rows, values, errors, self.once, self.once_errors, self.wants,
                self.once_wants, mode, self._block,
                [slot for once, slot in program.outputs if not once], arrived,
            )  # fmt: skip
        return found

    def run(
        self,
        theta: Array,
        rows: Any,
        results: Array | None,
        seeds: Array | None = None,
        mode: int = 0,
        found: Array | None = None,
        sizes: Array | None = None,
    ) -> Ran:
        """Compute all rows, and go back from the outputs if there are seeds.

        Args:
            theta: the parameters, in the order of the program.
            rows: the rows of the arguments; see ``rows.py``.
            results: where the outputs are written, shape (rows, outputs).
            seeds: the error of each output, the same in all rows, shape (passes, outputs): how
                often it goes back; None to compute only.
            mode: PARAMETERS or INPUTS: whose error is wanted.
            found: where the errors of the inputs are written, shape (passes, rows, inputs).
            sizes: zeros, shape (rows,), where it is told which rows are safe: 0 in a block that is;
                else 1 and the squares of the row's watched numbers, and of the errors of its
                inputs. Where that is finite the row is safe, too. But a block that has a row which
                is not sends no errors to the parameters: those of its safe rows are missing.

        Returns:
            The error of each parameter, and what they and the outputs add up to.
        """
        program, shared = self.program, self._block
        count = len(program.parameters)
        with self._lock, numpy.errstate(all="ignore"):
            if self._direct:  # no copies of weights that only their layers use
                self.theta[self._shared] = theta[self._shared]
                shared.theta, shared.gradient = theta, numpy.empty(count)
            else:
                numpy.copyto(self.theta, theta)
                shared.theta, shared.gradient = self.theta, self.once_errors
            for step in self._once.forward:
                step()
            self.once_errors[self._clear] = 0.0
            safe = all(
                is_small(shared.theta if here.start < count else self.once, here)
                for here in self._watched_once
            )
            safe_once, gone = safe, False
            if sizes is not None and not safe:
                sizes[:] = math.inf
            for start in range(0, rows.count, self.lanes):
                end = min(start + self.lanes, rows.count)
                block = self._for(end - start, mode)
                shared.first = not gone
                for prepare in block.prepare:
                    prepare()
                rows.load(block.values, start, end)
                for step in block.forward:
                    step()
                small = all(is_small(block.values, here) for here in self._watched)
                safe = safe and small
                if sizes is not None and safe_once and not small:
                    sizes[start:end] = 1.0
                    for here in self._watched:
                        sizes[start:end] += (block.values[here] ** 2).sum(axis=0)
                if results is not None:
                    for place, (once, slot) in enumerate(program.outputs):
                        results[start:end, place] = self.once[slot] if once else block.values[slot]
                if mode == PARAMETERS and sizes is not None and not (small and safe_once):
                    continue
                gone = True
                for going, seed in enumerate(() if seeds is None else seeds):
                    self._back(block, seed, end - start)
                    if found is not None:
                        rows.store(block.errors[: len(program.inputs)], found[going], start, end)
            if seeds is not None and mode == PARAMETERS:
                for step in self._once.backward:
                    step()
            errors = self.once_errors[:count].copy()
            if self._direct:
                errors = shared.gradient
                errors[self._shared] = self.once_errors[self._shared]
            if not gone:
                errors = numpy.zeros(count)
            total = 0.0 if results is None else float(results[:, 0].sum())
            if found is not None and sizes is not None:
                sizes += (found**2).sum(axis=(0, 2))
            return Ran(errors, total, safe and is_small(errors if found is None else found))

    def _back(self, block: _Lanes, seeds: Any, lanes: int) -> None:
        if len(block.clear):
            block.errors[block.clear] = 0.0
        if block.arrived is not None:
            block.arrived[...] = False
        for (once, slot), seed in zip(self.program.outputs, seeds, strict=True):
            if seed:
                if once:
                    self.once_errors[slot] += seed * lanes
                else:
                    block.errors[slot] += seed
                    if block.arrived is not None:
                        block.arrived[slot] = True
        for step in block.backward:
            step()
