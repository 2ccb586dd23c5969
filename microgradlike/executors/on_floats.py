"""Runs a plan in plain Python, one number after the other: the executor to read first.

It is slow, and says what each instruction means; the others find the same numbers. A sum is made of
terms, and a term of factors: the error of a factor is that of the sum times the other factors. The
slopes of operations are in the operator table.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy

from microgradlike import ops
from microgradlike.compiler import instructions as of
from microgradlike.compiler.operations import NAMES, on_numbers, row_of
from microgradlike.compiler.plan import Back, Send, plan
from microgradlike.compiler.program import Program
from microgradlike.executors.executor import Call, Executor, Ran, is_small


class Numbers(NamedTuple):
    """Values and errors of a list, and of ``once``, by slot."""

    values: list[float]
    errors: list[float]
    once: list[float]
    owed: list[float]

    def value(self, once: bool, slot: int) -> float:
        return (self.once if once else self.values)[slot]

    def send(self, send: Send, found: dict[int, float]) -> None:
        """Send to an operand what was found for its slots."""
        errors = self.owed if send.once else self.errors
        for slot in {*send.slots.ravel().tolist()}:
            errors[slot] = found.get(slot, 0.0) + (0.0 if send.assigns else errors[slot])


#: What is a sum of terms, and what is operations of the table.
OfTerms: TypeAlias = of.Layer | of.Sums | of.Products
OfTable: TypeAlias = of.Elementwise | of.Singles
#: The name of an operation, its operands, and their slots.
Operation: TypeAlias = tuple[str, list[float], list[int]]

# ---- Sums of terms -----------------------------------------------------------------------------


def terms_of(i: OfTerms) -> Iterator[list[tuple[float, list[tuple[str, bool, int]]]]]:
    """For each output the terms that are added up: a sign, and the factors.

    A factor is the name of an operand, whether it is of ``once``, and a slot.
    """
    reads = [read for read in i.reads() if read.name != "bias"]
    per_place = len(i.weights) if isinstance(i, of.Layer) else 1
    for k in range(i.count):
        place, out = divmod(k, per_place)
        rows = {"weights": out if isinstance(i, of.Layer) else k}
        columns = [read.slots[rows.get(read.name, place)].tolist() for read in reads]
        signs = numpy.ones(len(columns[0])) if i.signs is None else i.signs[rows["weights"]]
        terms = [
            (sign, [(r.name, bool(r.once), slot) for r, slot in zip(reads, slots, strict=True)])
            for sign, *slots in zip(signs.tolist(), *columns, strict=True)
        ]
        if i.bias is not None:
            sign = 1.0 if i.bias_signs is None else float(i.bias_signs.flat[k])
            terms.append((sign, [("bias", True, int(i.bias.flat[k]))]))
        yield terms


def _sum(i: OfTerms, n: Numbers) -> None:
    for slot, terms in zip(i.outs.tolist(), terms_of(i), strict=True):
        n.values[slot] = sum(
            math.prod([sign, *(n.value(once, at) for _, once, at in factors)])
            for sign, factors in terms
        )


def _sum_back(back: Back, n: Numbers) -> None:
    i = back.instruction
    assert isinstance(i, OfTerms)
    for send in back.sends:
        found: dict[int, float] = {}
        for k, terms in enumerate(terms_of(i)):
            elsewhere = isinstance(i, of.Layer) and k // len(i.weights) != send.place
            if (elsewhere and not send.once) or not _arrives(i, k, n):
                continue
            for sign, factors in terms:
                for factor in (f for f in factors if f[0] == send.name):
                    others = [n.value(*f[1:]) for f in factors if f is not factor]
                    sent = math.prod([sign, n.errors[i.outs[k]], *others])
                    found[factor[2]] = found.get(factor[2], 0.0) + sent
        n.send(send, found)


# ---- Operations of the table -------------------------------------------------------------------


def _sent(name: str, side: int, x: float, y: float, out: float, error: float) -> float:
    """What an operation sends of an error to an operand."""
    row, tie = row_of(name)
    assert row is not None
    return float(ops.on_floats(ops.sent(row.slopes[side], tie))(x, y, out, tie, error))


def _operations(i: OfTable, n: Numbers) -> Iterator[Operation]:
    """For each output the operation, its operands, and their slots."""
    if isinstance(i, of.Singles):
        names = [NAMES[code] for code in i.operations]
    else:
        names = [i.operation] * i.count
    once = [numpy.full(i.count, operand.once).tolist() for operand in i.operands]
    slots = [operand.slots.tolist() for operand in i.operands]
    operands = zip(zip(*once, strict=True), zip(*slots, strict=True), strict=True)
    for name, (lower, at) in zip(names, operands, strict=True):
        yield name, [*map(n.value, lower, at), 0.0][:2], list(at)


def _operation(i: OfTable, n: Numbers) -> None:
    conditions = i.waits_for().tolist()
    for k, (name, operands, _) in enumerate(_operations(i, n)):
        is_left_out = conditions[k] >= 0 and n.values[conditions[k]] == 0
        n.values[i.outs[k]] = 1.0 if is_left_out else on_numbers(name, *operands)


def _elementwise_back(back: Back, n: Numbers) -> None:
    i = back.instruction
    assert isinstance(i, of.Elementwise)
    for send in back.sends:
        found: dict[int, float] = {}
        for k, operation in enumerate(_operations(i, n)):
            sent, slot = _of_one(i, k, "xy".index(send.name), operation, n)
            found[slot] = found.get(slot, 0.0) + sent
        n.send(send, found)


def _singles_back(back: Back, n: Numbers) -> None:
    """One after the other: the next one may send on what has just arrived."""
    i, (send,) = back.instruction, back.sends
    assert isinstance(i, of.Singles)
    operations = list(_operations(i, n))
    columns = (send.place, send.name, send.once, send.assigns)
    for k, side, once, assigns in zip(*(column.tolist() for column in columns), strict=True):
        sent, slot = _of_one(i, k, side, operations[k], n)
        errors = n.owed if once else n.errors
        errors[slot] = sent if assigns else errors[slot] + sent


def _of_one(
    i: of.Instruction, k: int, side: int, operation: Operation, n: Numbers
) -> tuple[float, int]:
    """What one operation sends to an operand, and to which slot."""
    (name, (x, y), slots), out = operation, int(i.outs[k])
    sent = _sent(name, side, x, y, n.values[out], n.errors[out]) if _arrives(i, k, n) else 0.0
    return sent, slots[side]


# ---- Folds -------------------------------------------------------------------------------------


def _along(name: str, x: list[float]) -> list[float]:
    """The results of a fold after one, two, ... values; of logsumexp the last one alone."""
    if name == "logaddexp" and math.isfinite(largest := max(x)):
        return [largest + math.log(sum(math.exp(v - largest) for v in x))]
    return list(itertools.accumulate(x, lambda before, v: on_numbers(name, before, v)))


def _fold(i: of.Fold, n: Numbers) -> None:
    for slot, slots in zip(i.outs.tolist(), i.values.tolist(), strict=True):
        n.values[slot] = _along(i.operation, [n.values[at] for at in slots])[-1]


def _fold_back(back: Back, n: Numbers) -> None:
    i = back.instruction
    assert isinstance(i, of.Fold)
    found: dict[int, float] = {}
    for k, slots in enumerate(i.values.tolist()):
        error, x = n.errors[i.outs[k]] if _arrives(i, k, n) else 0.0, [n.values[v] for v in slots]
        if i.operation == "logaddexp":  # each value gets its share
            shares = [ops.exp(v - max(x)) for v in x]
            sent = [error * (share / sum(shares)) for share in shares]
        else:
            along, sent = _along(i.operation, x), [0.0] * len(x)
            for at in range(len(x) - 1, 0, -1):
                given = along[at - 1], x[at], along[at]
                sent[at] = _sent(i.operation, 1, *given, error)
                error = _sent(i.operation, 0, *given, error)
            sent[0] = error
        for slot, part in zip(slots, sent, strict=True):
            found[slot] = found.get(slot, 0.0) + part
    n.send(back.sends[0], found)


# ---- Tables ------------------------------------------------------------------------------------


def _taken(i: of.Take, n: Numbers) -> Iterator[tuple[int, int, int | None]]:
    """For each output its number, its slot, and that of its entry; None where there is none."""
    entries, width = i.table.shape
    for k, out in enumerate(i.outs.tolist()):
        index = n.values[i.index[k // width]]
        yield k, out, int(i.table[int(index), k % width]) if 0 <= index < entries else None


def _take(i: of.Take, n: Numbers) -> None:
    for _, out, slot in _taken(i, n):
        n.values[out] = math.nan if slot is None else n.once[slot]


def _take_back(back: Back, n: Numbers) -> None:
    i = back.instruction
    assert isinstance(i, of.Take)
    for k, out, slot in _taken(i, n):
        if slot is not None and _arrives(i, k, n):
            n.owed[slot] += n.errors[out]


# ---- Loops -------------------------------------------------------------------------------------


def _window(i: of.Loop, n: Numbers, state: list[float], row: int) -> Numbers:
    """One round: its own slots, with all that it computes."""
    one, values = i.round, [0.0] * (i.round.slots + 1)  # at -1 is what it does not read
    given = (
        [n.value(*pair) for pair in zip(*(x[row].tolist() for x in i.rows), strict=True)]
        if i.rounds
        else []
    )
    held = [n.values[slot] for slot in i.held.tolist()]
    for slots, numbers in ((one.carried, state), (one.given, given), (one.held, held)):
        for slot, number in zip(slots.tolist(), numbers, strict=True):
            values[slot] = number
    values[one.active] = 1.0
    found = Numbers(values, [0.0] * len(values), n.once, n.owed)
    for inner in one.instructions:
        _KINDS[type(inner)][0](inner, found)
    return found


def _states(i: of.Loop, n: Numbers) -> Iterator[tuple[list[float], float]]:
    """What each round is handed, and at last what the last one gives; and what is watched."""
    state = [n.value(*pair) for pair in zip(*(x.tolist() for x in i.first), strict=True)]
    watched = 0.0
    yield state, watched
    for row in itertools.count() if i.round.going else range(i.rounds):
        found = _window(i, n, state, row)
        watched += sum(v * v for v in map(found.values.__getitem__, i.round.watched.tolist()))
        if i.round.going and not found.value(*i.round.going):
            return
        state = [
            found.value(*pair) for pair in zip(*(x.tolist() for x in i.round.results), strict=True)
        ]
        yield state, watched


def _loop(i: of.Loop, n: Numbers) -> None:
    *_, (state, watched) = _states(i, n)
    for out, number in zip(i.outs.tolist(), [watched, *(state[k] for k in i.gives)], strict=True):
        n.values[out] = number


def _loop_back(back: Back, n: Numbers) -> None:
    """From the last round to the first: what a round was handed tells what it computed."""
    i, inside = back.instruction, back.inside
    assert isinstance(i, of.Loop) and inside is not None
    one = i.round
    given = [n.errors[out] for out in i.outs[1:].tolist()]
    if not (any(given) if i.mask.kind == of.BY_ERROR else _arrives(i, 0, n)):
        return
    errors = [0.0] * len(one.carried)
    for k, error in zip(i.gives.tolist(), given, strict=True):
        errors[k] += error
    rows = numpy.zeros(i.rows.slots.shape)
    held = numpy.zeros(len(i.held))
    for row, (state, _) in reversed(list(enumerate(list(_states(i, n))[:-1]))):
        found = _window(i, n, state, row)
        for once, slot, error in zip(*(x.tolist() for x in one.sending), errors, strict=True):
            (n.owed if once else found.errors)[slot] += error
        for inner in inside.backward:
            _KINDS[type(inner.instruction)][1](inner, found)
        found.errors[-1] = 0.0
        errors = [found.errors[slot] for slot in one.carried.tolist()]
        rows[row : row + 1] = [found.errors[slot] for slot in one.given.tolist()]
        held += [found.errors[slot] for slot in one.held.tolist()]
    for send, sent in zip(back.sends, (numpy.array(errors), rows.ravel(), held), strict=True):
        for once, slot, place in zip(
            send.once.tolist(), send.slots.tolist(), send.place.tolist(), strict=True
        ):
            (n.owed if once else n.errors)[slot] += float(sent[place])


def _arrives(i: of.Instruction, k: int, n: Numbers) -> bool:
    """Whether the error arrives at an output."""
    kind = i.mask.kind[k] if isinstance(i, of.Singles) else i.mask.kind
    if kind in (of.ALWAYS, of.BY_ERROR):
        return bool(kind == of.ALWAYS or n.errors[i.outs[k]] != 0)
    slot = int(i.mask.slots[min(k, len(i.mask.slots) - 1)])
    return n.value(kind == of.IN_ONCE, slot) != 0


#: What computes each kind of instruction, and what sends its errors.
_KINDS: dict[type[of.Instruction], tuple[Callable[[Any, Numbers], None], Any]] = {
    **dict.fromkeys((of.Layer, of.Sums, of.Products), (_sum, _sum_back)),
    **{of.Fold: (_fold, _fold_back), of.Elementwise: (_operation, _elementwise_back)},
    **{of.Singles: (_operation, _singles_back), of.Take: (_take, _take_back)},
    of.Loop: (_loop, _loop_back),
}

# ---- The executor ------------------------------------------------------------------------------


class FloatsExecutor(Executor):
    """A program at work, in floats."""

    def __init__(self, program: Program) -> None:
        self.program = program

    @numpy.errstate(all="ignore")
    def run(self, call: Call) -> Ran:
        """Compute all rows, and send errors back from the outputs if there are seeds."""
        made = plan(self.program, call.mode)
        once = [*map(float, call.theta), *self.program.constants.tolist()]
        once += [0.0] * (self.program.once.slots - len(once))
        owed = [0.0] * len(once)
        for i in made.program.once.instructions:
            _KINDS[type(i)][0](i, Numbers(once, owed, once, owed))
        safe = safe_once = is_small(numpy.array(once), made.program.watched[0])
        total = 0.0
        for row in range(call.rows.count):
            values = numpy.zeros((max(made.program.rows.slots, 1), 1))
            call.rows.load(values, row, row + 1)
            n = Numbers(values[:, 0].tolist(), [0.0] * len(values), once, owed)
            for i in made.program.rows.instructions:
                _KINDS[type(i)][0](i, n)
            found = numpy.array(n.values)[made.program.watched[1]]
            safe = (small := is_small(found)) and safe
            outputs = [n.value(*output) for output in made.program.outputs]
            total += outputs[0]
            if call.results is not None:
                call.results[row] = outputs
            if call.sizes is not None and not (small and safe_once):
                call.sizes[row] = 1.0 + (found**2).sum() if safe_once else math.inf
                if call.mode == of.PARAMETERS:
                    continue
            for going, seeds in enumerate(() if call.seeds is None else call.seeds):
                for slot in made.clear.tolist():
                    n.errors[slot] = 0.0
                for (lower, slot), seed in zip(made.program.outputs, seeds.tolist(), strict=True):
                    (owed if lower else n.errors)[slot] += seed
                for back in made.backward:
                    _KINDS[type(back.instruction)][1](back, n)
                if call.found is not None:
                    errors = numpy.array([n.errors[: len(made.program.inputs)]]).T
                    call.rows.store(errors, call.found[going], row, row + 1)
        for back in made.once_backward:
            _KINDS[type(back.instruction)][1](back, Numbers(once, owed, once, owed))
        errors = numpy.array(owed[: len(self.program.parameters)])
        if call.found is not None and call.sizes is not None:
            numpy.add(call.sizes, (call.found**2).sum(axis=(0, 2)), out=call.sizes)
        return Ran(errors, total, safe and is_small(errors if call.found is None else call.found))
