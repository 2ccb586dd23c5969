"""Runs a plan with NumPy: each instruction is a function that computes, and one that sends errors.

Values of a block form an array of shape (slots, lanes), one lane per row of data; their errors form
a second one. What is computed once is a program on one lane. So memory depends on the size of a
block, not on the number of rows.

The formulas are those of the operator table, read as array expressions (``formulas.py``).
"""

from __future__ import annotations

import functools
import itertools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy

from microgradlike import ops
from microgradlike.compiler.arrays import Floats, Ints, Truths
from microgradlike.compiler.instructions import (
    ALWAYS,
    BY_ERROR,
    HERE,
    IN_ONCE,
    PARAMETERS,
    Elementwise,
    Fold,
    Instruction,
    Layer,
    Loop,
    Products,
    Singles,
    Sums,
    Take,
)
from microgradlike.compiler.operations import CODES, NAMES, ROUNDED_ALIKE, row_of
from microgradlike.compiler.plan import Back, Plan, Send, in_a_row, plan
from microgradlike.compiler.program import Program, Stage
from microgradlike.executors.executor import Call, Executor, Ran, is_small, stretches
from microgradlike.executors.formulas import UFUNCS, formula

Read: TypeAlias = Callable[[], Floats]
Action: TypeAlias = Callable[[], object]
Add: TypeAlias = Callable[[Floats], None]

# ---- Slots -------------------------------------------------------------------------------------


def _view(array: Floats, slots: Ints) -> Floats | None:
    """The numbers in these slots as a view of the array, if they are in a row; else None."""
    if not in_a_row(slots):
        return None
    first = int(slots.flat[0])
    return array[first : first + slots.size].reshape(*slots.shape, *array.shape[1:])


def _reader(array: Floats, slots: Ints) -> Read:
    """A function that gives the numbers in these slots: ``array`` has slots or slots x lanes."""
    view = _view(array, slots)
    if view is None:
        return lambda: array[slots]
    return lambda: view


class _Adder:
    """Sends errors to some slots: adds each as often as it occurs, or writes if it is the first.

    Attributes:
        into: where what is sent can be computed in place, if it is written to slots in a row.
    """

    def __init__(self, array: Floats, slots: Ints, assigns: bool = False) -> None:
        self.array, self.slots, self.assigns = array, slots.ravel(), assigns
        self.shape = (slots.size, *array.shape[1:])
        self.view = _view(array, slots)
        self.into = self.view if assigns else None
        self.unique = self.view is not None or len(numpy.unique(self.slots)) == slots.size
        self.one = not self.unique and bool((self.slots == self.slots[0]).all())

    def __call__(self, errors: Floats) -> None:
        if self.into is not None:
            if errors is not self.into:
                numpy.copyto(self.into, errors)
        elif self.view is not None:
            numpy.add(self.view, errors, out=self.view)
        elif self.assigns:
            self.array[self.slots] = numpy.reshape(errors, self.shape)
        elif self.unique:
            self.array[self.slots] += numpy.reshape(errors, self.shape)
        elif self.one:
            self.array[self.slots[0]] += numpy.reshape(errors, self.shape).sum(axis=0)
        else:
            numpy.add.at(self.array, self.slots, numpy.reshape(errors, self.shape))


# ---- One list of instructions at work ----------------------------------------------------------


class _Block:
    """What the lanes of a run share.

    Attributes:
        first: whether they are the first ones.
        own: the weights that only their layer uses.
        theta, gradient: where such weights and their errors are.
    """

    def __init__(self, own: Truths) -> None:
        self.first = True
        self.theta = self.gradient = numpy.empty(0)
        self.own = own


class _Lanes:
    """A list of instructions, made into functions for a number of lanes.

    Args:
        stage: the instructions.
        backs: what they send.
        values, errors: the numbers and their errors, shape (slots, lanes).
        once, once_errors: those that are computed once, shape (slots,).
        block: whether these are the first lanes, and which weights have one user.
        arrived: for each slot and lane whether any error has arrived, even one that is 0; None
            where the program is not as it was written.
    """

    def __init__(
        self, stage: Stage, backs: Sequence[Back], values: Floats, errors: Floats, once: Floats,
        once_errors: Floats, block: _Block, arrived: Truths | None = None,
    ) -> None:  # fmt: skip
        self.block, self.arrived = block, arrived
        self.as_written = arrived is not None
        self.goes_back = bool(backs)
        self.states: dict[int, list[Floats]] = {}  # what the rounds of each loop were handed
        self.values, self.errors, self.once, self.once_errors = values, errors, once, once_errors
        self.ones = numpy.ones(values.shape[1])
        self.prepare: list[Action] = []
        self._kept: dict[tuple[object, ...], Read] = {}
        self.forward = [_FORWARD[type(i)](self, i) for i in stage.instructions]
        self.backward = [_BACKWARD[type(back.instruction)](self, back) for back in backs]

    def outputs(self, i: Instruction) -> tuple[Floats, Floats]:
        here = slice(i.out, i.out + i.count)
        return self.values[here], self.errors[here]

    def constant(self, slots: Ints, signs: Floats | None = None) -> Read:
        """What gives the numbers of ``once`` in these slots, times signs."""
        if signs is None and in_a_row(slots):
            return _reader(self.once, slots)
        key = slots.tobytes(), slots.shape, None if signs is None else signs.tobytes()
        if key not in self._kept:
            kept, source = numpy.empty(slots.shape), _reader(self.once, slots)

            def prepare() -> None:
                numpy.multiply(source(), 1.0 if signs is None else signs, out=kept)

            self.prepare.append(prepare)
            self._kept[key] = lambda: kept
        return self._kept[key]

    def column(self, slots: Ints, signs: Floats | None = None) -> Floats:
        """The same as a column beside the lanes; it stays the same array, whose numbers change."""
        return self.constant(slots.ravel(), None if signs is None else signs.ravel())()[:, None]

    def adder(self, send: Send | None, signs: Floats | None = None) -> Add | None:
        """What sends errors to an operand; None if nobody wants them."""
        if send is None:
            return None
        if not send.once:
            return _Adder(self.errors, send.slots, bool(send.assigns))
        add = _Adder(self.once_errors, send.slots)
        return add if signs is None else lambda errors: add(errors * signs)

    def weights(self, i: Layer) -> Read:
        """The weights of a layer: those that only it uses are where the caller has them."""
        if not self.block.own[i.weights].all():
            return self.constant(i.weights, i.signs)
        block, first = self.block, int(i.weights.flat[0])
        end, shape = first + i.weights.size, i.weights.shape
        return lambda: block.theta[first:end].reshape(shape)

    def weights_adder(self, back: Back) -> Callable[[Floats, Floats], None] | None:
        """What adds delta x values to the errors of a layer's weights."""
        i, send = back.instruction, back.send("weights")
        assert isinstance(i, Layer)
        if send is None or not self.block.own[i.weights].all():
            add = self.adder(send, i.signs)
            return None if add is None else lambda delta, x: add(_dot(delta, x.T))
        block, first = self.block, int(i.weights.flat[0])
        end, shape = first + i.weights.size, i.weights.shape

        def sent(delta: Floats, x: Floats) -> None:
            errors = block.gradient[first:end].reshape(shape)
            if block.first:
                _dot(delta, x.T, out=errors)
            else:
                numpy.add(errors, _dot(delta, x.T), out=errors)

        return sent

    def bias(self, i: Layer | Sums | Products) -> Action | None:
        """What adds the biases of an instruction."""
        if i.bias is None:
            return None
        out, column = self.outputs(i)[0], self.column(i.bias, i.bias_signs)

        def add() -> None:
            numpy.add(out, column, out=out)

        return add

    def bias_sender(self, back: Back) -> Action | None:
        """What sends the errors of the biases."""
        send, i = back.send("bias"), back.instruction
        if send is None:
            return None
        signs = getattr(i, "bias_signs", None)
        add = self.adder(send._replace(slots=send.slots.ravel()), _flat(signs))
        errors, ones = self.outputs(i)[1], self.ones
        return lambda: add(numpy.dot(errors, ones))  # type: ignore[misc]

    def summed(self, send: Send, add: Add) -> Add:
        """The errors of what is computed once are added up over the lanes."""
        ones = self.ones
        return (lambda sent: add(numpy.dot(sent, ones))) if send.once else add

    def reached(self, i: Instruction) -> Callable[[], Truths] | None:
        """Where the error arrives: one truth for each lane, or for each output and lane."""
        if i.mask.kind == ALWAYS:
            return None
        if i.mask.kind == BY_ERROR:
            _, errors = self.outputs(i)
            return lambda: errors != 0
        once = self.once[:, None] if i.mask.kind == IN_ONCE else self.values
        read = _reader(once, i.mask.slots)
        return lambda: read() != 0

    def arrives(self, operation: str, side: int, outs: int | slice, slots: Ints) -> Arrives | None:
        """What tells where an operation sends anything to an operand, and notes it there.

        What was sent nothing has nothing to send either: the engine does not multiply it.
        """
        if self.arrived is None:
            return None
        arrived, here, passes = self.arrived, self.arrived[outs], _passes(operation, side)

        def truth(x: Floats, y: Floats | None, out: Floats) -> Truths:
            found = here & passes(x, y, out)
            numpy.logical_or.at(arrived, slots, found)
            return found

        return truth


def _flat(signs: Floats | None) -> Floats | None:
    return None if signs is None else signs.ravel()


def _some_lanes(reached: Callable[[], Truths] | None, lanes: int) -> Callable[[], Ints | None]:
    """The lanes in which the error arrives, to choose them from the last axis; None for all."""
    if reached is None:
        return _nothing

    def some() -> Ints | None:
        truth = numpy.broadcast_to(reached().any(axis=0), lanes)
        return None if truth.all() else numpy.flatnonzero(truth)

    return some


def _chosen(lanes: Ints | None, *arrays: Floats) -> Sequence[Floats]:
    return arrays if lanes is None else [array[..., lanes] for array in arrays]


def _spread(lanes: Ints | None, errors: Floats, count: int) -> Floats:
    """Errors of some lanes as errors of all: nothing elsewhere."""
    if lanes is None:
        return errors
    whole = numpy.zeros((*errors.shape[:-1], count))
    whole[..., lanes] = errors
    return whole


def _dot(a: Floats, b: Floats, out: Floats | None = None) -> Floats:
    """The product of two matrices; BLAS skips a factor that is a single zero, and so infinity."""
    if a.size == 1 or b.size == 1:
        return numpy.multiply(a, b, out=out)
    return numpy.dot(a, b, out=out)


def _two_products(a: Floats, b: Floats, out: Floats) -> None:
    """The sum of two products, each rounded by itself: a*b - c*d is 0 where both are equal."""
    numpy.multiply(a[0], b[0], out=out)
    numpy.add(out, a[1] * b[1], out=out)


def _in_order(*actions: Action | None) -> Action:
    first, *others = [action for action in actions if action is not None]
    if not others:
        return first

    def run() -> None:
        for action in (first, *others):
            action()

    return run


# ---- Sums --------------------------------------------------------------------------------------


def _layer(self: _Lanes, i: Layer) -> Action:
    out, _ = self.outputs(i)
    weights = self.weights(i)
    at_places = out.reshape(len(i.values), len(i.weights), out.shape[1])
    if i.bias is None and i.values.shape[1] == 2:
        pairs = _reader(self.values, i.values.T[:, :, None])
        return lambda: _two_products(weights().T[:, :, None], pairs(), at_places)
    if len(i.values) == 1:
        read = _reader(self.values, i.values[0])
        return _in_order(lambda: _dot(weights(), read(), out=out), self.bias(i))
    read = _reader(self.values, i.values)
    return _in_order(lambda: numpy.matmul(weights(), read(), out=at_places), self.bias(i))


def _layer_back(self: _Lanes, back: Back) -> Action:
    i = back.instruction
    assert isinstance(i, Layer)
    _, errors = self.outputs(i)
    lanes = errors.shape[1]
    weights, send_bias = self.weights(i), self.bias_sender(back)
    some = _some_lanes(self.reached(i), lanes)
    adders = [(send.place, self.adder(send)) for send in back.sends if send.name == "values"]
    if len(i.values) == 1:
        send_weights = self.weights_adder(back)
        read = _reader(self.values, i.values[0])
        add: Any = adders[0][1] if adders else None
        into = add.into if add else None

        def backward() -> None:
            live = some()
            delta, x = _chosen(live, errors, read())
            if send_weights:
                send_weights(delta, x)
            if send_bias:
                send_bias()
            if add:
                sent = _dot(weights().T, delta, out=into if live is None else None)
                add(_spread(live, sent, lanes))

        return backward

    add_weights = self.adder(back.send("weights"), i.signs)
    read = _reader(self.values, i.values)
    at_places = errors.reshape(len(i.values), len(i.weights), lanes)

    def backward_places() -> None:
        live = some()
        delta, x = _chosen(live, at_places, read())
        if add_weights:
            flat = [a.transpose(1, 0, 2).reshape(a.shape[1], -1) for a in (delta, x)]
            add_weights(flat[0] @ flat[1].T)
        if send_bias:
            send_bias()
        if adders:
            sent = _spread(live, numpy.matmul(weights().T, delta), lanes)
            for place, add in adders:
                add(sent[place])  # type: ignore[misc]

    return backward_places


def _factors(self: _Lanes, i: Sums) -> Read | None:
    """The weights of sums, or their signs alone."""
    if i.weights is not None:
        return self.constant(i.weights, i.signs)
    signs = i.signs
    return None if signs is None else lambda: signs


def _sums(self: _Lanes, i: Sums) -> Action:
    out, _ = self.outputs(i)
    read, weights = _reader(self.values, i.values), _factors(self, i)

    def forward() -> None:
        if weights is None:
            read().sum(axis=1, out=out)
        elif i.bias is None and i.values.shape[1] == 2:
            _two_products(weights().T[:, :, None], read().swapaxes(0, 1), out)
        else:
            numpy.einsum("nk,nkm->nm", weights(), read(), out=out)

    return _in_order(forward, self.bias(i))


def _sums_back(self: _Lanes, back: Back) -> Action:
    i = back.instruction
    assert isinstance(i, Sums)
    _, errors = self.outputs(i)
    lanes = errors.shape[1]
    send_bias = self.bias_sender(back)
    some = _some_lanes(self.reached(i), lanes)
    read, weights = _reader(self.values, i.values), _factors(self, i)
    add, add_weights = self.adder(back.send("values")), self.adder(back.send("weights"), i.signs)

    def backward() -> None:
        live = some()
        delta, x = _chosen(live, errors, read())
        if add_weights:
            add_weights(numpy.einsum("nm,nkm->nk", delta, x))
        if send_bias:
            send_bias()
        if add:
            sent = numpy.broadcast_to(delta[:, None], (*i.values.shape, delta.shape[1]))
            if weights is not None:
                sent = sent * weights()[:, :, None]
            add(_spread(live, sent, lanes))

    return backward


def _products(self: _Lanes, i: Products) -> Action:
    out, _ = self.outputs(i)
    grid, in_pairs = _grid(i), i.bias is None and i.first.shape[1] == 2
    if grid is not None:  # all pairs of the rows of two matrices: a small product in each lane
        first, second = (_reader(self.values, rows) for rows in grid)
        shape = (len(grid[0]), len(grid[1]), out.shape[1])
        whole = out.reshape(shape)

        def pairs() -> None:
            a, b = first(), second()
            if in_pairs:
                _two_products(a.swapaxes(0, 1)[:, :, None], b.swapaxes(0, 1)[:, None], whole)
            else:
                numpy.einsum("pkm,qkm->pqm", a, b, out=whole)

        return _in_order(pairs, self.bias(i))
    first, second = _reader(self.values, i.first), _reader(self.values, i.second)
    signs = None if i.signs is None else i.signs[:, :, None]

    def forward() -> None:
        a, b = first(), second()
        if in_pairs:
            both = a if signs is None else a * signs
            _two_products(both.swapaxes(0, 1), b.swapaxes(0, 1), out)
        elif out.size == 1 and signs is None:
            out[...] = numpy.dot(a.ravel(), b.ravel())
        else:
            numpy.einsum("nkm,nkm->nm", a if signs is None else a * signs, b, out=out)

    return _in_order(forward, self.bias(i))


def _grid(i: Products) -> tuple[Ints, Ints] | None:
    return None if i.signs is not None or numpy.array_equal(i.first, i.second) else i.grid()


def _products_back(self: _Lanes, back: Back) -> Action:
    i = back.instruction
    assert isinstance(i, Products)
    _, errors = self.outputs(i)
    lanes = errors.shape[1]
    send_bias = self.bias_sender(back)
    some = _some_lanes(self.reached(i), lanes)
    to_first, to_second = back.send("first"), back.send("second")
    grid = _grid(i)
    if grid is not None:
        read_first, read_second = (_reader(self.values, rows) for rows in grid)
        # What all users of a row send to it is added up at once.
        add_first, add_second = (
            None if send is None else _Adder(self.errors, rows)
            for send, rows in zip((to_first, to_second), grid, strict=True)
        )
        at_pairs = errors.reshape(len(grid[0]), len(grid[1]), lanes)

        def backward_grid() -> None:
            live = some()
            delta, a, b = _chosen(live, at_pairs, read_first(), read_second())
            if add_second:
                add_second(_spread(live, numpy.einsum("pqm,pkm->qkm", delta, a), lanes))
            if add_first:
                add_first(_spread(live, numpy.einsum("pqm,qkm->pkm", delta, b), lanes))
            if send_bias:
                send_bias()

        return backward_grid
    first, second = _reader(self.values, i.first), _reader(self.values, i.second)
    squares = numpy.array_equal(i.first, i.second)
    adder, other = self.adder(to_first), None if squares else self.adder(to_second)
    signs = None if i.signs is None else i.signs[:, :, None]

    def backward() -> None:
        live = some()
        delta, a, b = _chosen(live, errors, first(), second())
        delta = delta[:, None] if signs is None else delta[:, None] * signs
        if other:
            other(_spread(live, delta * a, lanes))
        if adder:
            adder(_spread(live, (delta + delta if squares else delta) * b, lanes))
        if send_bias:
            send_bias()

    return backward


# ---- Folds -------------------------------------------------------------------------------------


def _along(operation: str, x: Floats) -> list[Floats]:
    """The results of a fold after one, two, ... values."""
    row, tie = row_of(operation)
    assert row is not None
    value = formula(row.value)
    found = [x[:, 0]]
    for k in range(1, x.shape[1]):
        found.append(value(found[-1], x[:, k], None, tie))
    return found


def _fold(self: _Lanes, i: Fold) -> Action:
    out, _ = self.outputs(i)
    read = _reader(self.values, i.values)

    def forward() -> None:
        x = read()
        if i.operation == "logaddexp":
            largest = x.max(axis=1)
            numpy.log(numpy.exp(x - largest[:, None]).sum(axis=1), out=out)
            numpy.add(out, largest, out=out)
            numpy.copyto(out, largest, where=~numpy.isfinite(largest))
        else:
            out[...] = _along(i.operation, x)[-1]

    return forward


def _fold_back(self: _Lanes, back: Back) -> Action:
    i = back.instruction
    assert isinstance(i, Fold)
    _, errors = self.outputs(i)
    lanes = errors.shape[1]
    read, add = _reader(self.values, i.values), self.adder(back.send("values"))
    some = _some_lanes(self.reached(i), lanes)
    row, tie = row_of(i.operation)
    assert row is not None and add is not None
    by_x, by_y = (formula(ops.sent(slope, tie)) for slope in row.slopes)

    def backward() -> None:
        live = some()
        delta, x = _chosen(live, errors, read())
        if i.operation == "logaddexp":  # NaN where the largest is infinite: this is not safe
            shares = numpy.exp(x - x.max(axis=1)[:, None])
            sent = shares * (delta / shares.sum(axis=1))[:, None]
        else:
            found = _along(i.operation, x)
            sent = numpy.empty_like(x)
            for k in range(x.shape[1] - 1, 0, -1):
                operands = (found[k - 1], x[:, k], found[k], tie, delta)
                sent[:, k] = by_y(*operands)
                delta = by_x(*operands)
            sent[:, 0] = delta
        add(_spread(live, sent, lanes))

    return backward


# ---- Tables ------------------------------------------------------------------------------------


def _places(self: _Lanes, i: Take) -> Callable[[], tuple[Ints, Truths]]:
    """The entry of each place and lane, and whether there is one."""
    read, entries = _reader(self.values, i.index), len(i.table)

    def places() -> tuple[Ints, Truths]:
        index = read()
        there = (index >= 0) & (index < entries)
        return numpy.where(there, index, 0.0).astype(int), there

    return places


def _take(self: _Lanes, i: Take) -> Action:
    out, _ = self.outputs(i)
    places, table = _places(self, i), self.constant(i.table)
    at_places = out.reshape(len(i.index), -1, out.shape[1])

    def forward() -> None:
        at, there = places()
        at_places[...] = table()[at].transpose(0, 2, 1)
        if not there.all():
            numpy.copyto(at_places, numpy.nan, where=~there[:, None])

    return forward


def _take_back(self: _Lanes, back: Back) -> Action:
    i = back.instruction
    assert isinstance(i, Take)
    _, errors = self.outputs(i)
    places, reached, table = _places(self, i), self.reached(i), i.table
    at_places = errors.reshape(len(i.index), -1, errors.shape[1])

    def backward() -> None:
        at, there = places()
        if reached is not None:
            there = there & reached()
        # Shape (entries that were taken, width): only these rows of the table cost anything.
        slots, sent = table[at[there]], at_places.transpose(0, 2, 1)[there]
        numpy.add.at(self.once_errors, slots.ravel(), sent.ravel())

    return backward


# ---- Loops -------------------------------------------------------------------------------------


class _Rounds:
    """The rounds of a loop, on slots of their own.

    Args:
        lanes: of the program that the loop is in.
        i: the loop.
        backs: what its instructions send.
    """

    def __init__(self, lanes: _Lanes, i: Loop, backs: Sequence[Back] = ()) -> None:
        self.i, self.lanes, one = i, lanes, i.round
        # At its end is what a round does not read, and where nobody looks.
        self.values, self.errors = numpy.zeros((2, one.slots + 1, lanes.values.shape[1]))
        arrived = None if lanes.arrived is None else numpy.zeros(self.values.shape, bool)
        self.inner = _Lanes(
            Stage(one.instructions, one.slots), backs, self.values, self.errors, lanes.once,
            lanes.once_errors, lanes.block, arrived,
        )  # fmt: skip
        lanes.prepare += self.inner.prepare
        self.results = _mixed(lanes.once, self.values, *one.results)
        self.rows = [_mixed(lanes.once, lanes.values, *pair) for pair in zip(*i.rows, strict=True)]

    def run(self, state: Floats, row: int) -> None:
        """One round."""
        one = self.i.round
        self.values[one.carried] = state
        if self.rows:
            self.values[one.given] = self.rows[row]()
        self.values[one.held] = self.lanes.values[self.i.held]
        for step in self.inner.forward:
            step()

    def going(self) -> Truths:
        """In which lanes there is another round."""
        once, slot = self.i.round.going or (False, 0)
        if once:
            return numpy.full(self.values.shape[1], self.lanes.once[slot] != 0)
        truth: Truths = self.values[slot] != 0
        return truth


def _mixed(once: Floats, values: Floats, lower: Truths, slots: Ints) -> Read:
    """What gives the numbers of these slots, of which some are computed once."""
    at_once, here = slots * lower, slots * ~lower
    if not lower.any():
        return lambda: values[here]
    return lambda: numpy.where(lower[:, None], once[at_once][:, None], values[here])


def _loop(self: _Lanes, i: Loop) -> Action:
    rounds, (out, _) = _Rounds(self, i), self.outputs(i)
    first, watched = _mixed(self.once, self.values, *i.first), i.round.watched
    keeps = self.goes_back

    def forward() -> None:
        state, out[0] = first(), 0.0
        states: list[Floats] = []
        for row in itertools.count() if i.round.going else range(i.rounds):
            rounds.run(state, row)
            squares = (rounds.values[watched] ** 2).sum(axis=0)
            if i.round.going:
                going = rounds.going()
                if not going.any():
                    break
                squares[~going] = 0.0  # what comes after the end of a lane is nobody's
            if keeps:
                states.append(state)
            out[0] += squares
            state = rounds.results()
        out[1:] = state[i.gives]
        self.states[id(i)] = states

    return forward


def _loop_back(self: _Lanes, back: Back) -> Action:
    """From the last round to the first: what a round was handed tells what it computed."""
    i, inside = back.instruction, back.inside
    assert isinstance(i, Loop) and inside is not None
    one, rounds, (_, given) = i.round, _Rounds(self, i, inside.backward), self.outputs(i)
    inner, reached = rounds.inner, self.reached(i)
    lower, slots = one.sending
    sends = [_sender(self, send) for send in back.sends]
    width = len(one.given)

    def note(slots: Ints, came: Truths) -> None:
        if self.arrived is not None:
            numpy.logical_or.at(self.arrived, slots, came)

    def backward() -> None:
        active = numpy.ones(given.shape[1], bool) if reached is None else reached().any(axis=0)
        if not active.any():
            return
        rounds.values[one.active] = active
        errors = numpy.zeros((len(one.carried), given.shape[1]))
        numpy.add.at(errors, i.gives, numpy.where(active, given[1:], 0.0))
        came = numpy.zeros(errors.shape, bool)
        if self.arrived is not None:
            numpy.logical_or.at(came, i.gives, self.arrived[i.outs[1:]])
        of_rows = numpy.zeros((i.rounds, width, given.shape[1]))
        held, arrived = numpy.zeros((len(i.held), given.shape[1])), inner.arrived
        for row, state in reversed(list(enumerate(self.states[id(i)]))):
            rounds.run(state, row)
            rounds.errors[inside.clear] = 0.0
            numpy.add.at(rounds.errors, slots[~lower], errors[~lower])
            numpy.add.at(self.once_errors, slots[lower], errors[lower].sum(axis=1))
            if arrived is not None:
                arrived[...] = False
                numpy.logical_or.at(arrived, slots[~lower], came[~lower])
            for step in inner.backward:
                step()
            rounds.errors[-1] = 0.0
            errors = rounds.errors[one.carried]
            held += rounds.errors[one.held]
            if i.rounds:
                of_rows[row] = rounds.errors[one.given]
            if arrived is not None:
                arrived[-1] = False
                came = arrived[one.carried]
                note(i.held, arrived[one.held])
                if i.rounds:
                    here = ~i.rows.once[row]
                    note(i.rows.slots[row][here], arrived[one.given][here])
        note(i.first.slots[~i.first.once], came[~i.first.once])
        for send, sent in zip(
            sends, (errors, of_rows.reshape(-1, given.shape[1]), held), strict=True
        ):
            send(sent)

    return backward


def _sender(self: _Lanes, send: Send) -> Add:
    """What sends errors of all numbers of an operand of a loop to those that want them."""
    lower, slots, place = send.once, send.slots, send.place

    def add(sent: Floats) -> None:
        numpy.add.at(self.errors, slots[~lower], sent[place[~lower]])
        numpy.add.at(self.once_errors, slots[lower], sent[place[lower]].sum(axis=1))

    return add


# ---- Operations --------------------------------------------------------------------------------


@functools.cache
def _computes(operation: str, as_written: bool) -> Callable[[Floats, Floats | None, Floats], None]:
    """What computes an operation of x and y, into a third array."""
    row, tie = row_of(operation)
    assert row is not None
    ufunc, compute = UFUNCS.get(row.name), formula(row.value, as_written)
    if ufunc is None or (as_written and not ROUNDED_ALIKE[CODES[operation]]):
        return lambda x, y, out: numpy.copyto(out, compute(x, y, None, tie))
    if len(row.slopes) == 1:
        return lambda x, _, out: ufunc(x, out=out)
    return lambda x, y, out: ufunc(x, y, out=out)


Sender: TypeAlias = "Callable[[Floats, Floats, Floats | None, Floats, Floats | None], Floats]"


@functools.cache
def _sends(operation: str, side: int) -> Sender:
    """What an operand is sent, of the error, x, y, out, and an array.

    The answer may be written into the array, but need not be.
    """
    row, tie = row_of(operation)
    assert row is not None
    slope = row.slopes[side]
    if slope == "1":
        return lambda error, x, y, out, into: error
    if ops.passes(slope, tie) == "True":
        by = formula(slope)
        return lambda error, x, y, out, into: numpy.multiply(error, by(x, y, out, tie), out=into)
    what = formula(ops.sent(slope, tie))
    return lambda error, x, y, out, into: what(x, y, out, tie, error)


Arrives: TypeAlias = "Callable[[Floats, Floats | None, Floats], Truths]"


@functools.cache
def _passes(operation: str, side: int) -> Arrives:
    """Where an operation lets an error pass to an operand, of x, y and out."""
    row, tie = row_of(operation)
    assert row is not None
    passes = formula(ops.passes(row.slopes[side], tie))
    return lambda x, y, out: passes(x, y, out, tie)


def _operands(self: _Lanes, i: Elementwise) -> list[Callable[[], Any]]:
    """What reads both operands; nothing where there is no second one."""

    def read(once: bool, slots: Ints) -> Read:
        if not once:
            return _reader(self.values, slots)
        column = self.column(slots)
        return lambda: column

    return [*(read(*operand) for operand in i.operands), _nothing][:2]


def _operation(self: _Lanes, i: Elementwise) -> Action:
    out, _ = self.outputs(i)
    (first, second), compute = _operands(self, i), _computes(i.operation, self.as_written)
    asked = numpy.unique(i.waits_for())
    if asked[0] < 0:
        return lambda: compute(first(), second(), out)
    condition = _reader(self.values, asked)

    def forward() -> None:
        if condition().any():
            compute(first(), second(), out)
        else:
            out[...] = 1.0

    return forward


def _operation_back(self: _Lanes, back: Back) -> Action:
    i = back.instruction
    assert isinstance(i, Elementwise)
    out, errors = self.outputs(i)
    (first, second), reached = _operands(self, i), self.reached(i)
    here = slice(i.out, i.out + i.count)
    senders = []
    for send in back.sends:
        side = "xy".index(send.name)
        add: Any = self.adder(send)
        arrives = self.arrives(i.operation, side, here, send.slots)
        into = add.into if reached is None and arrives is None and not send.once else None
        senders.append((_sends(i.operation, side), into, arrives, self.summed(send, add)))

    def backward() -> None:
        x, y = first(), second()
        active = None if reached is None else reached()
        if active is not None and not active.any():
            for *_, add in senders:
                add(numpy.zeros_like(errors))
            return
        for sends, into, arrives, add in senders:
            sent = sends(errors, x, y, out, into)
            if arrives is not None:
                sent = numpy.where(arrives(x, y, out), sent, 0.0)
            elif active is not None:
                sent = numpy.where(active, sent, 0.0)
            add(sent)

    return backward


def _singles(self: _Lanes, i: Singles) -> Action:
    values, once = list(self.values), list(self.once[:, None])
    xs, ys = (
        [(once if lower else values)[slot] for lower, slot in zip(*operands, strict=True)]
        for operands in i.operands
    )
    outs = [values[slot] for slot in i.outs]
    names = [NAMES[operation] for operation in i.operations.tolist()]
    computes = [_computes(name, self.as_written) for name in names]
    conditions = [values[slot] if slot >= 0 else None for slot in i.waits_for().tolist()]
    steps = list(zip(computes, xs, ys, outs, conditions, strict=True))

    def forward() -> None:
        for compute, x, y, out, condition in steps:
            if condition is None or condition.any():
                compute(x, y, out)
            else:
                out[...] = 1.0

    return forward


def _singles_back(self: _Lanes, back: Back) -> Action:
    i, (send,) = back.instruction, back.sends
    assert isinstance(i, Singles)
    values, errors = list(self.values), list(self.errors)
    once, owed = list(self.once[:, None]), list(self.once_errors[:, None])
    (left_once, left), (right_once, right) = i.operands
    steps = []
    for k, side, lower, slot, assigns in zip(
        *(x.tolist() for x in (send.place, send.name, send.once, send.slots, send.assigns)),
        strict=True,
    ):
        name, out, error = NAMES[i.operations[k]], values[i.outs[k]], errors[i.outs[k]]
        x, y = (
            (once if left_once[k] else values)[left[k]],
            (once if right_once[k] else values)[right[k]],
        )
        kind = i.mask.kind[k]
        mask = {HERE: values, IN_ONCE: once}.get(kind)
        reached = error if kind == BY_ERROR else None if mask is None else mask[i.mask.slots[k]]
        arrives = self.arrives(name, side, i.outs[k], slot)
        to = owed[slot] if lower else errors[slot]
        steps.append((_sends(name, side), error, x, y, out, reached, arrives, to, assigns))

    def backward() -> None:
        for sends, error, x, y, out, reached, arrives, to, assigns in steps:
            sent = sends(error, x, y, out, None)
            if arrives is not None:
                sent = numpy.where(arrives(x, y, out), sent, 0.0)
            elif reached is not None:
                sent = numpy.where(reached != 0, sent, 0.0)
            if assigns:
                numpy.copyto(to, sent)
            else:
                numpy.add(to, sent if len(to) > 1 else sent.sum(), out=to)

    return backward


def _nothing() -> None:
    pass


_FORWARD: dict[type[Instruction], Callable[[_Lanes, Any], Action]] = {
    **{Layer: _layer, Sums: _sums, Products: _products, Fold: _fold},
    **{Take: _take, Elementwise: _operation, Singles: _singles, Loop: _loop},
}
_BACKWARD: dict[type[Instruction], Callable[[_Lanes, Back], Action]] = {
    **{Layer: _layer_back, Sums: _sums_back, Products: _products_back, Fold: _fold_back},
    **{Take: _take_back, Elementwise: _operation_back, Singles: _singles_back},
    Loop: _loop_back,
}

# ---- The executor ------------------------------------------------------------------------------

#: A block has about BLOCK numbers, in at least FEWEST and at most MOST rows.
BLOCK, FEWEST, MOST = 2**20, 16, 4096


class NumpyExecutor(Executor):
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
        self._plans: dict[int, tuple[Plan, int, list[slice]]] = {}
        self._rows: dict[tuple[int, int], _Lanes] = {}
        planned = self._plan(PARAMETERS)[0]
        self._block = _Block(planned.own)
        self._direct = not program.once.instructions
        self._watched_once = [
            slice(start, start + size) for start, size in stretches(program.watched[0], count)
        ]
        self._clear = numpy.flatnonzero(~self._block.own)
        self._shared = self._clear[self._clear < count]
        self._once = _Lanes(
            program.once, planned.once_backward, self.once[:, None],
            self.once_errors[:, None], self.once, self.once_errors, self._block,
        )  # fmt: skip
        for prepare in self._once.prepare:  # weights of this list are constants
            prepare()

    def _plan(self, mode: int) -> tuple[Plan, int, list[slice]]:
        """The plan, how many rows a block of it has at most, and the slots that are watched."""
        if mode not in self._plans:
            made = plan(self.program, mode)
            most = max(FEWEST, min(MOST, BLOCK // max(made.program.rows.slots, 1)))
            watched = stretches(made.program.watched[1])
            self._plans[mode] = made, most, [slice(at, at + size) for at, size in watched]
        return self._plans[mode]

    def _for(self, rows: int, made: Plan) -> _Lanes:
        """The functions for a number of rows; few numbers occur, mostly one and a rest."""
        found = self._rows.get((rows, made.mode))
        if found is None:
            if len(self._rows) > 8:
                self._rows.clear()
            values, errors = numpy.zeros((2, max(made.program.rows.slots, 1), rows))
            arrived = numpy.zeros(values.shape, bool) if self.as_written else None
            found = self._rows[rows, made.mode] = _Lanes(
                made.program.rows, made.backward, values, errors, self.once, self.once_errors,
                self._block, arrived,
            )  # fmt: skip
        return found

    def run(self, call: Call) -> Ran:
        """Compute all rows, and send errors back from the outputs if there are seeds."""
        theta, rows, results, seeds, mode, found, sizes = call
        made, most, watched = self._plan(mode)
        program, count, shared = made.program, len(self.program.parameters), self._block
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
            for start in range(0, rows.count, most):
                end = min(start + most, rows.count)
                block = self._for(end - start, made)
                shared.first = not gone
                for prepare in block.prepare:
                    prepare()
                rows.load(block.values, start, end)
                for step in block.forward:
                    step()
                small = all(is_small(block.values, here) for here in watched)
                safe = safe and small
                if sizes is not None and safe_once and not small:
                    sizes[start:end] = 1.0
                    for here in watched:
                        sizes[start:end] += (block.values[here] ** 2).sum(axis=0)
                if results is not None:
                    for place, (once, slot) in enumerate(program.outputs):
                        results[start:end, place] = self.once[slot] if once else block.values[slot]
                if mode == PARAMETERS and sizes is not None and not (small and safe_once):
                    continue
                gone = seeds is not None
                for going, seed in enumerate(() if seeds is None else seeds):
                    self._back(made, block, seed, end - start)
                    if found is not None:
                        rows.store(block.errors[: len(program.inputs)], found[going], start, end)
            return self._ran(call, safe, gone)

    def _ran(self, call: Call, safe: bool, gone: bool) -> Ran:
        """What was found, when all rows have gone through."""
        count = len(self.program.parameters)
        if call.seeds is not None and call.mode == PARAMETERS:
            for step in self._once.backward:
                step()
        errors = self.once_errors[:count].copy()
        if self._direct:
            errors = self._block.gradient
            errors[self._shared] = self.once_errors[self._shared]
        if not gone:
            errors = numpy.zeros(count)
        total = 0.0 if call.results is None else float(call.results[:, 0].sum())
        if call.found is not None and call.sizes is not None:
            numpy.add(call.sizes, (call.found**2).sum(axis=(0, 2)), out=call.sizes)
        return Ran(errors, total, safe and is_small(errors if call.found is None else call.found))

    def _back(self, made: Plan, block: _Lanes, seeds: Floats, lanes: int) -> None:
        if len(made.clear):
            block.errors[made.clear] = 0.0
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
