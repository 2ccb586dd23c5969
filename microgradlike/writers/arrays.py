"""A program as a function of arrays, for libraries that differentiate their own functions.

JAX and PyTorch find gradients themselves, so only the forward pass is written here: each
instruction once, in the few words of ``Library``. Slopes are those of the operator table all the
same, for every operation is one of the library's with slopes of its own. Where no error arrives in
a row, its operand is held there: its gradient is nothing, not 0 times infinity.

All arrays have shape (slots, rows). What is computed once has one row, beside all others.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import numpy

from microgradlike import ops
from microgradlike.compiler.arrays import Array, Floats, Ints, Truths
from microgradlike.compiler.instructions import (
    BY_ERROR,
    HERE,
    IN_ONCE,
    NONE,
    Elementwise,
    Fold,
    Instruction,
    Layer,
    Loop,
    Mask,
    Operand,
    Products,
    Read,
    Singles,
    Sums,
    Take,
)
from microgradlike.compiler.operations import ARITY, NAMES, row_of
from microgradlike.compiler.program import Program
from microgradlike.inputs import describe
from microgradlike.words import counted

if TYPE_CHECKING:
    from microgradlike.replay.branches import Path, Replay
    from microgradlike.replay.derived import Derivatives

#: A function of arrays of the library.
Operation: TypeAlias = "Callable[..., Array]"
#: From the state of a round, and from what it reads, to the state of the next one.
Step: TypeAlias = "Callable[..., Array]"


class Library(Protocol):
    """What is said differently in each library; ``+``, ``*``, indices and ``sum`` are alike."""

    def numbers(self, array: Floats, like: Array) -> Array:
        """An array of NumPy's, in the numbers and on the device of another one."""

    def places(self, array: Ints, like: Array) -> Array:
        """Whole numbers of NumPy's, with which an array is indexed."""

    def where(self, condition: Array, x: Array, y: Array) -> Array:
        """``x`` where the condition holds, else ``y``."""

    def held(self, x: Array) -> Array:
        """The same numbers, through which no gradient passes."""

    def joined(self, parts: Sequence[Array]) -> Array:
        """Arrays one after the other, along their first axis."""

    def rounded(self, x: Array) -> Array:
        """The same products, each rounded by itself before it is added to another number."""

    def product(self, weights: Array, values: Array) -> Array:
        """The product of two matrices, or of one and many."""

    def wider(self, x: Array, rows: int) -> Array:
        """An array of one row, (..., 1), as one of so many: (..., rows)."""

    def largest(self, x: Array) -> Array:
        """The largest numbers along the second axis, which is gone."""

    def truths(self, found: Sequence[Array], like: Array) -> Array:
        """Some truths as an array, on the device of another one."""

    def ones(self, count: int, like: Array) -> Array:
        """An array of ones, in the numbers and on the device of another one."""

    def whole(self, x: Array) -> Array:
        """Numbers as indices."""

    def operation(self, name: str) -> Operation:
        """An operation, with the value and the slopes of the operator table."""

    def formula(self, text: str) -> Operation:
        """A formula of the operator table, of x, y, out and tie; its operations have slopes."""

    def rounds(self, step: Step, state: Array, given: Array) -> Array:
        """The state after one round for each entry of ``given``, which is not empty."""

    def rounds_while(self, step: Step, state: Array) -> Array:
        """The state after the last round. Its last row is 1 in rows that go on, else 0; where the
        rounds do not suffice it is still 1 in the end."""


#: The number of a way is whole and exact in float64; in float32 it is off by less than this.
COARSE = 2.0**35
#: Numbers of so many pieces are joined; those of more are taken one by one.
FEW = 8


def check_rounds(rounds: object) -> None:
    """ValueError unless so many rounds can be done at most, of a loop that ends by itself."""
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise ValueError(f"rounds is a whole number, at least 1, but got {describe(rounds)}")


class Result(NamedTuple):
    """What a program finds.

    Attributes:
        outputs: shape (outputs, rows).
        squares: for each row the sum of the squares of all that is watched, shape (rows,).
        unfinished: where the rounds of a loop did not suffice, shape (rows,); None if none has to.
    """

    outputs: Array
    squares: Array
    unfinished: Array | None


def slopes_times(library: Library, name: str) -> list[Callable[[Sequence[Array], Array], Array]]:
    """The slopes of an operation, each times an error, where it lets that pass.

    Args:
        library: whose arrays are multiplied.
        name: of the operation.

    Returns:
        For each operand a function of the operands, which are x, y, or None, and out; and of the
        error that is multiplied, one for each row.
    """
    row, tie = row_of(name)
    assert row is not None
    return [_slope_times(library, slope, row.value, tie) for slope in row.slopes]


def _slope_times(
    library: Library, slope: str, value: str, tie: float
) -> Callable[[Sequence[Array], Array], Array]:
    """Each branch of the formula is computed for the rows that take it: elsewhere its own slopes,
    such as 1 / 0, are multiplied by nothing. What it is a slope of is one of its operations, too.
    """
    branches, which = ops.branches(ops.spelt_tie(slope, tie))
    chosen_by, of_value, *factors = map(library.formula, (which, value, *branches))
    where, held = library.where, library.held

    def times(operands: Sequence[Array], error: Array) -> Array:
        if len(branches) == 1:
            return error if branches == ["1"] else error * factors[0](*operands, tie)
        chosen = chosen_by(*operands, tie)
        whole = where(chosen < 0, error, 0.0)
        for k, branch in enumerate(branches):
            if branch != "0":
                here = chosen == k
                x, y = (v if v is None else where(here, v, held(v)) for v in operands[:2])
                out = of_value(x, y, None, tie) if "out" in branch else None
                passing = where(here, error, 0.0)
                whole = where(here, passing * factors[k](x, y, out, tie), whole)
        return whole

    return times


def with_slopes(
    names: Mapping[str, object], operation: Callable[[str], Operation]
) -> Mapping[str, object]:
    """What names mean in formulas of slopes: where one is an operation, it has slopes itself."""
    found = dict(names)
    for row in ops.OPERATORS.values():
        name, _, operands = ops.spell(row.value, str).partition("(")
        if name in found and operands in ("x)", "x, y)"):
            found[name] = operation(row.name)
    return found


def round_to(x: Floats, y: Floats) -> Floats:
    """Rounded to so many decimal digits by Python: no library of arrays does so exactly."""
    with numpy.errstate(all="ignore"):
        return numpy.asarray(numpy.frompyfunc(ops.round_to, 2, 1)(x, y), x.dtype)


class Slots:
    """The numbers of a list of instructions, by slot: pieces, as they were computed.

    Args:
        library: of the numbers.
        count: of the slots.
        is_once: whether what they hold is computed once, for all rows.
    """

    def __init__(self, library: Library, count: int, is_once: bool = False) -> None:
        self.library, self.is_once = library, is_once
        self._pieces: list[Array] = []
        self._piece, self._place = numpy.zeros((2, count), numpy.int64)

    def write(self, slots: Ints, piece: Array) -> None:
        """Numbers for these slots, shape (slots, rows)."""
        self._piece[slots], self._place[slots] = len(self._pieces), numpy.arange(len(slots))
        self._pieces.append(piece)

    def copy(self) -> Slots:
        """The same numbers, to which others are added."""
        found = Slots(self.library, 0, self.is_once)
        found._pieces = list(self._pieces)
        found._piece, found._place = self._piece.copy(), self._place.copy()
        return found

    def held(self) -> Slots:
        """The same numbers, through which no gradient passes."""
        found = self.copy()
        found._pieces = list(map(self.library.held, self._pieces))
        return found

    def read(self, slots: Ints) -> Array:
        """The numbers of these slots, of any shape, in all rows: one axis more."""
        found = self._flat(slots.ravel())
        return found if slots.ndim == 1 else found.reshape(*slots.shape, found.shape[-1])

    def _flat(self, slots: Ints) -> Array:
        of, at = self._piece[slots], self._place[slots]
        cuts = numpy.flatnonzero((of[1:] != of[:-1]) | (at[1:] != at[:-1] + 1)) + 1
        if len(cuts) < FEW:
            ends = zip([0, *cuts.tolist()], [*cuts.tolist(), len(slots)], strict=True)
            return self._joined([self._part(of[a], at[a], at[a] + b - a) for a, b in ends])
        names, of = numpy.unique(of, return_inverse=True)
        pieces = [self._pieces[name] for name in names]
        begins = numpy.cumsum([0, *map(len, pieces)])[of]
        whole = self._joined(pieces)
        return whole[self.library.places(begins + at, whole)]

    def _part(self, of: int, start: int, end: int) -> Array:
        piece = self._pieces[of]
        return piece if end - start == len(piece) else piece[start:end]

    def _joined(self, parts: Sequence[Array]) -> Array:
        if len(parts) == 1:
            return parts[0]
        rows = max(part.shape[-1] for part in parts)
        return self.library.joined([self.library.wider(part, rows) for part in parts])


class Reach:
    """Whether what is computed once is used in any row: its error arrives only then."""

    def __init__(self, library: Library, like: Array) -> None:
        self._library, self._like = library, like
        self._users: dict[int, list[Array | None]] = {}

    def use(self, slots: Ints, arrives: Array | None) -> None:
        """Note who reads these slots: where the error arrives there, (any, rows); None for all.

        Where there is a condition for each of the slots, it is noted for each.
        """
        apart = arrives is not None and len(slots) == len(arrives) > 1
        found = None if arrives is None or apart else arrives.any()
        for k, some in enumerate(slots):
            by = arrives[k].any() if apart and arrives is not None else found
            for slot in numpy.unique(some).tolist():
                self._users.setdefault(slot, []).append(by)

    def of(self, slots: Ints) -> Array | None:
        """For each slot whether it is used, shape (slots, 1); None if all are, whatever holds."""
        users = [self._users.get(slot, []) for slot in slots.tolist()]
        if all(any(user is None for user in some) for some in users):
            return None
        return self._library.truths([_any(some) for some in users], self._like)[:, None]


def _any(users: Sequence[Array | None]) -> Array | bool:
    """Whether one of some conditions holds; None is one that always does."""
    if any(user is None for user in users):
        return True
    return functools.reduce(operator.or_, users, False)


class Written:
    """A program as a function of the library's arrays.

    Args:
        program: what to write.
        library: in which.
    """

    def __init__(self, program: Program, library: Library) -> None:
        self.program, self.library = program, library
        self.inputs = numpy.array(program.inputs, int)
        self.once, self.rows = map(_apart, (program.once.instructions, program.rows.instructions))
        self._is_told = any(i.mask.kind == BY_ERROR for i in self.once) or any(
            map(_is_told, (self.once, self.rows))
        )

    def __call__(self, theta: Array, inputs: Array, takes: Array | None = None) -> Result:
        """Compute all rows.

        Args:
            theta: the parameters, in the order of the program, shape (parameters,).
            inputs: those of the program, shape (inputs, rows).
            takes: the rows in which the program is wanted, shape (1, rows); None for all.
        """
        if not self._is_told and takes is None:
            return _Numbers(self, theta, inputs).result()
        # Which conditions hold is known once all is computed. A library that compiles computes only
        # once what is found twice here.
        held = self.library.held
        told = _Numbers(self, held(theta), held(inputs), takes, is_first=True)
        return _Numbers(self, theta, inputs, takes, told).result()


def _apart(instructions: Sequence[Instruction]) -> list[Instruction]:
    """The same, with each of ``Singles`` as an instruction of its own."""
    found: list[Instruction] = []
    for i in instructions:
        found += [_single(i, k) for k in range(i.count)] if isinstance(i, Singles) else [i]
    return found


def _is_told(instructions: Sequence[Instruction]) -> bool:
    """Whether an error arrives at an instruction under a condition that comes after it."""
    computed: dict[int, int] = {}
    for place, i in enumerate(instructions):
        computed |= dict.fromkeys(i.outs.tolist(), place)
    return any(
        computed.get(slot, -1) >= place
        for place, i in enumerate(instructions)
        if i.mask.kind == HERE
        for slot in i.mask.slots.tolist()
    )


def _single(i: Singles, k: int) -> Elementwise:
    here = slice(k, k + 1)
    only = bool(numpy.broadcast_to(i.mask.only, i.count)[k])
    has_condition = i.mask.kind[k] in (HERE, IN_ONCE)
    return Elementwise(
        i.outs[here], i.depends[k],
        Mask(int(i.mask.kind[k]), i.mask.slots[here] if has_condition else NONE, only),
        i.nodes[here], NAMES[i.operations[k]],
        tuple(
            Operand(bool(once[k]), slots[here])
            for once, slots in i.operands[: ARITY[i.operations[k]]]
        ),
    )  # fmt: skip


class _Numbers:
    """The numbers of a program in some rows, all computed when it is made.

    Args:
        of: the program.
        theta, inputs, takes: see ``Written``.
        told: the same numbers, from which it is known where errors arrive.
        is_first: whether these are such.
    """

    def __init__(
        self, of: Written, theta: Array, inputs: Array, takes: Array | None = None,
        told: _Numbers | None = None, is_first: bool = False,
    ) -> None:  # fmt: skip
        self.of, self.library, self.takes = of, of.library, takes
        program, known = of.program, len(of.program.parameters)
        self.one = self.library.ones(inputs.shape[1], inputs)[None]
        self.unfinished: Array | None = None
        self.once = Slots(self.library, program.once.slots, is_once=True)
        self.once.write(numpy.arange(known), theta[:, None])
        constants = self.library.numbers(program.constants[:, None], inputs)
        self.once.write(numpy.arange(known, known + len(constants)), constants)
        self.slots = Slots(self.library, max(program.rows.slots, 1))
        self.slots.write(numpy.arange(len(program.inputs)), inputs)
        reach = told.reach() if told else None
        by_once, by_slots = (told.once, told.slots) if told else (self.once, self.slots)
        for i in of.once:
            self.run(i, self.once, None if is_first else self.arrives(i, by_once, reach))
        for i in of.rows:
            self.run(i, self.slots, None if is_first else self.arrives(i, by_slots))

    def arrives(self, i: Instruction, told: Slots, reach: Reach | None = None) -> Array | None:
        """Where the error arrives at an instruction, (1 or outs, 1 or rows); None for all.

        Args:
            i: an instruction of a list.
            told: the numbers of that list, among them the conditions.
            reach: of what is computed once, in which rows it is used.
        """
        found = [] if reach or self.takes is None else [self.takes]
        if i.mask.kind in (HERE, IN_ONCE):
            of = told if i.mask.kind == HERE else self.once
            found.append(of.read(i.mask.slots) != 0)
        if reach is not None and (used := reach.of(i.outs)) is not None:
            found.append(used)
        return functools.reduce(operator.and_, found) if found else None

    def reach(self) -> Reach:
        """What any row uses of that which is computed once."""
        found = Reach(self.library, self.one)
        for once, slot in self.of.program.outputs:
            if once:
                found.use(numpy.array([slot]), self.takes)
        for instructions, slots in ((self.of.rows, self.slots), (self.of.once[::-1], self.once)):
            for i in instructions:
                at_outputs = self.arrives(i, slots, found if slots is self.once else None)
                for read in i.reads():
                    arrives = self._passing(i, read, slots, at_outputs)
                    is_once = True if slots is self.once else read.once
                    lower: Truths = numpy.broadcast_to(is_once, read.slots.shape)
                    if lower.size and lower.all():
                        found.use(read.slots.reshape(len(read.slots), -1), arrives)
                    elif lower.any():
                        found.use(read.slots[lower][None], arrives)
        return found

    def _passing(
        self, i: Instruction, read: Read, slots: Slots, arrives: Array | None
    ) -> Array | None:
        """Where the error arrives at an operand: not at an entry of a table that no row takes."""
        if isinstance(i, Take) and read.name == "table":
            index, entries = slots.read(i.index)[:, None], numpy.arange(float(len(i.table)))
            found = index == self.library.numbers(entries[:, None], index)
            if arrives is not None:
                if len(arrives) > 1:
                    arrives = arrives.reshape(len(index), -1, arrives.shape[-1]).any(1)
                found = found & arrives[:, None]
            return found.any(0)
        if isinstance(i, Elementwise) and i.operation in ("keep", "reach") and read.name == "y":
            once, at = i.operands[0]
            holds = (self.once if once else slots).read(at) != 0
            return holds if arrives is None else holds & arrives
        return arrives

    def result(self) -> Result:
        """What was found."""
        outputs = [
            (self.once if once else self.slots).read(numpy.array([slot]))
            for once, slot in self.of.program.outputs
        ]
        squares = self.one[0] * 0.0
        for slots, watched in zip((self.once, self.slots), self.of.program.watched, strict=True):
            if len(watched):
                squares = squares + (slots.read(watched) ** 2).sum(0)
        rows = self.one.shape[1]
        found = self.library.joined([self.library.wider(output, rows) for output in outputs])
        return Result(found, self.library.held(squares), self.unfinished)

    # ---- Instructions ----

    def run(self, i: Instruction, slots: Slots, arrives: Array | None) -> None:
        """Compute an instruction of a list."""
        slots.write(i.outs, _KINDS[type(i)](self, i, slots, arrives))

    def under(self, arrives: Array | None, x: Array) -> Array:
        """The same numbers; no error passes where none arrives."""
        return x if arrives is None else self.library.where(arrives, x, self.library.held(x))

    def constant(self, slots: Ints | None, signs: Floats | None) -> Array:
        """What is computed once, times signs: shape (*slots, 1)."""
        found = self.once.read(slots) if slots is not None else 1.0
        return found if signs is None else found * self.library.numbers(signs[..., None], self.one)

    def mixed(self, operand: Operand, slots: Slots) -> Array:
        """Numbers of which some are computed once, shape (*slots, rows)."""
        lower, at = numpy.broadcast_to(operand.once, operand.slots.shape), operand.slots
        if slots is self.once:
            lower = numpy.zeros(at.shape, bool)
        rows = 1 if slots.is_once else self.one.shape[1]
        if not at.size:
            return self.one[:0, :rows].reshape(*at.shape, rows)
        whole = Slots(self.library, at.size)
        for of, here in ((self.once, lower.ravel()), (slots, ~lower.ravel())):
            if here.any():
                found = of.read(at.ravel()[here])
                whole.write(numpy.flatnonzero(here), self.library.wider(found, rows))
        return whole.read(numpy.arange(at.size).reshape(at.shape))


def _layer(n: _Numbers, i: Layer, slots: Slots, arrives: Array | None) -> Array:
    weights = n.constant(i.weights, i.signs)[..., 0]
    bias = None if i.bias is None else n.constant(i.bias, i.bias_signs)

    def of(values: Array) -> Array:
        if bias is None and i.values.shape[1] == 2:  # a*b - c*d is 0 where both are equal
            found = n.library.rounded(weights[..., None] * values[:, None]).sum(2)
        else:
            found = n.library.product(weights, values)
            found = found if bias is None else found + bias
        return found.reshape(i.count, found.shape[-1])

    values = slots.read(i.values)
    if arrives is None:
        return of(values)
    # An infinite number of a row at which no error arrives would be multiplied by its 0.
    found = of(n.library.where(arrives.any(0), values, 0.0))
    return n.library.where(
        arrives, found, n.library.held(found if numpy.all(i.mask.only) else of(values))
    )


def _sums(n: _Numbers, i: Sums, slots: Slots, arrives: Array | None) -> Array:
    by_term = None if arrives is None else arrives[:, None]
    found = n.under(by_term, slots.read(i.values))
    if i.weights is not None or i.signs is not None:
        found = n.library.rounded(found * n.under(by_term, n.constant(i.weights, i.signs)))
    return _with_bias(n, i, found.sum(1))


def _products(n: _Numbers, i: Products, slots: Slots, arrives: Array | None) -> Array:
    by_term = None if arrives is None else arrives[:, None]
    first, second = (n.under(by_term, slots.read(x)) for x in (i.first, i.second))
    if i.signs is not None:
        first = first * n.constant(None, i.signs)
    return _with_bias(n, i, n.library.rounded(first * second).sum(1))


def _with_bias(n: _Numbers, i: Sums | Products, found: Array) -> Array:
    return found if i.bias is None else found + n.constant(i.bias, i.bias_signs)


def _fold(n: _Numbers, i: Fold, slots: Slots, arrives: Array | None) -> Array:
    x = n.under(None if arrives is None else arrives[:, None], slots.read(i.values))
    if i.operation != "logaddexp":
        operation = n.library.operation(i.operation)
        return functools.reduce(operation, [x[:, k] for k in range(x.shape[1])])
    largest = n.library.held(n.library.largest(x))
    finite = abs(largest) < math.inf
    shift = n.library.where(finite, largest, 0.0)
    exp, log = map(n.library.operation, ("exp", "log"))
    return n.library.where(finite, log(exp(x - shift[:, None]).sum(1)) + shift, largest)


def _take(n: _Numbers, i: Take, slots: Slots, arrives: Array | None) -> Array:
    index, table = n.library.held(slots.read(i.index)), n.once.read(i.table)[..., 0]
    place = n.library.whole(n.library.where((index >= 0) & (index < len(i.table)), index, 0.0))
    found = table[place].swapaxes(1, 2)
    found = n.library.where((place == index)[:, None], found, math.nan)
    return n.under(arrives, found.reshape(i.count, found.shape[-1]))


def _elementwise(n: _Numbers, i: Elementwise, slots: Slots, arrives: Array | None) -> Array:
    operands = [(n.once if x.once else slots).read(x.slots) for x in i.operands]
    found = n.library.operation(i.operation)(*(n.under(arrives, x) for x in operands))
    return found


def _loop(n: _Numbers, i: Loop, slots: Slots, arrives: Array | None) -> Array:
    """Its state has what is handed on; then what is watched, whether a loop within it had too few
    rounds, and whether there is more to do."""
    one, count = i.round, len(i.first.slots)
    instructions = _apart(one.instructions)
    is_told = _is_told(instructions)
    first = n.mixed(i.first, slots)
    held: Array = slots.read(i.held) if len(i.held) else None
    ones = n.one[:, :1] if slots.is_once else n.one
    active = ones if arrives is None else n.library.where(arrives, ones, 0.0)

    def is_going(of: Slots) -> Array:
        assert one.going
        return n.mixed(Operand(*(numpy.array([x]) for x in one.going)), of) != 0

    def step(state: Array, given: Array = None) -> Array:
        own = Slots(n.library, one.slots, slots.is_once)
        before, n.unfinished = n.unfinished, None
        for at, numbers in ((one.carried, state), (one.given, given), (one.held, held)):
            there = at >= 0
            if there.any():
                some = n.library.places(numpy.flatnonzero(there), state)
                own.write(at[there], numbers[some])
        if one.active >= 0:
            own.write(numpy.array([one.active]), active)
        told, takes = own, n.takes
        if is_told or one.going:
            told = own.copy()
            for inner in instructions:
                n.run(inner, told, None)
            told = told.held()
        if slots.is_once:
            n.takes = None
        if one.going:  # what is over sends nothing back
            goes_on = is_going(told)
            n.takes = goes_on if n.takes is None else n.takes & goes_on
        for inner in instructions:
            n.run(inner, own, n.arrives(inner, told))
        n.takes = takes
        squares: Array = 0.0
        if len(one.watched):
            squares = (n.library.held(own.read(one.watched)) ** 2).sum(0, keepdims=True)
        going = ones
        if one.going:
            going = n.library.where(is_going(own), ones, 0.0)
        lost = state[count + 1 : count + 2]
        if n.unfinished is not None:
            lost = n.library.where(n.unfinished & (going != 0), ones, lost)
        n.unfinished = before
        found = [n.mixed(Operand(*one.results), own)]
        found += [state[count : count + 1] + going * squares, lost, going]
        whole = n.library.joined(found)
        return n.library.where(going != 0, whole, n.library.joined([state[:-1], going]))

    nothing = ones * 0.0
    state = n.library.joined([first, nothing, nothing, ones])
    if not one.going:
        state = n.library.rounds(step, state, n.mixed(i.rows, slots))
    else:
        state = n.library.rounds_while(step, state)
    if one.going or any(isinstance(inner, Loop) for inner in instructions):
        more = n.library.held(state[-2] + state[-1] if one.going else state[-2]) != 0
        n.unfinished = more if n.unfinished is None else n.unfinished | more
    gives = n.library.places(numpy.append(count, i.gives), state)
    return n.under(arrives, state[gives])


_KINDS: dict[type[Instruction], Callable[[_Numbers, Array, Slots, Array | None], Array]] = {
    **{Layer: _layer, Sums: _sums, Products: _products, Fold: _fold},
    **{Take: _take, Elementwise: _elementwise, Loop: _loop},
}


# ---- A compiled function -----------------------------------------------------------------------


class Decides(NamedTuple):
    """What decides about rows, and sends no error back.

    Attributes:
        program: that computes it.
        places: where its parameters are in ``theta``.
    """

    program: Written
    places: Ints

    def __call__(self, theta: Array, inputs: Array) -> Array:
        """What it finds, shape (outputs, rows)."""
        held, places = self.program.library.held, self.program.library.places
        numbers = held(theta[places(self.places, theta)])
        return self.program(numbers, held(inputs[places(self.program.inputs, inputs)])).outputs


class WrittenPath(NamedTuple):
    """A path of a compiled function.

    Attributes:
        takes: its guards, and what they are in the rows that take it; None if all rows do.
        ways: of a path of several traces the number of the way in which a row decides, and those of
            the ways that were compared with the function; else None.
        program: what it computes for them.
        indices: computed numbers of a row that take from tables, and how long these are; or None.
        places: where the parameters of the program are in ``theta``.
        given: the numbers of a row that take from tables, and how long these are.
        integers: the numbers of a row that must be whole.
    """

    takes: tuple[Decides, Floats] | None
    ways: tuple[Decides, Floats] | None
    program: Written
    indices: tuple[Decides, list[int]] | None
    places: Ints
    given: list[tuple[int, int]]
    integers: list[int]


class Function:
    """A compiled function in a library of arrays, with all paths that it was traced on.

    Args:
        c: the function.
        library: in which.
    """

    def __init__(self, c: Derivatives, library: Library) -> None:
        self.library = library
        self.parameters = len(c.theta())  # raises if it was not traced
        self.shapes, self.single = list(c._shapes), c._single
        self.is_alone = c._is_alone
        self.paths = []
        for path in c._paths:

            def decides(replay: Replay, of: Path = path) -> Decides:
                program = replay.program
                return Decides(Written(program, library), of.places[program.parameters])

            takes = ways = indices = None
            if path.guards is not None:
                takes = decides(path.guards), path.expected
            if path.ways is not None:
                ways = decides(path.ways.replay), numpy.array(path.ways.known())
            if path.indices is not None and path.indices.computed is not None:
                indices = decides(path.indices.computed), path.indices.lengths
            integers = [path.tape.left[node] for node in path.tape.integers]
            program = path.replay.program
            self.paths.append(
                WrittenPath(
                    takes,
                    ways,
                    Written(program, library),
                    indices,
                    path.places[program.parameters],
                    list(path.indices.given.items()) if path.indices else [],
                    integers if path.tape.needs_integers else [],
                )
            )

    def __call__(self, theta: Array, columns: Sequence[Array]) -> Array:
        """The outputs of all rows, shape (rows,), or (rows, outputs) if it returns a list.

        They are NaN in rows that the function cannot compute, and so are their gradients: rows that
        take a path which was not traced, take what is not in a table, or need more rounds.

        Args:
            theta: the parameters, shape (parameters,).
            columns: an array of floats for each argument, with an entry for each row.
        """
        library = self.library
        flat = [
            column.reshape(column.shape[0], math.prod(shape)).swapaxes(0, 1)
            for column, shape in zip(columns, self.shapes, strict=True)
        ]
        inputs = library.joined(flat) if flat else theta[:0, None].reshape(0, 1)
        found = library.held(inputs[:1].sum(0))
        left: Array = None  # which means all rows
        lost: Array = None  # and this none
        for path in self.paths:
            takes: Array = None
            if path.takes is not None:
                guards, expected = path.takes
                met = guards(theta, inputs)[: len(expected)]
                takes = (met == library.numbers(expected[:, None], met)).all(0)
            if path.ways is not None:  # what was never compared could be another number
                way, known = path.ways
                number = way(theta, inputs)
                far = abs(number - library.numbers(known[:, None], number))
                is_coarse = library.numbers(numpy.array([[1.0 + 2.0**-30]]), number) == 1.0
                compared = ((far == 0) | ((far < COARSE) & is_coarse)).any(0)
                takes = compared if takes is None else takes & compared
            if takes is not None:
                takes = takes if left is None else left & takes
                left = ~takes if left is None else left & ~takes
            numbers = theta[library.places(path.places, theta)]
            given = inputs[library.places(path.program.inputs, inputs)]
            outputs, _, unfinished = path.program(
                numbers, given, None if takes is None else takes[None]
            )
            outside = [_is_outside(inputs[number], length) for number, length in path.given]
            if path.indices is not None:
                computed, lengths = path.indices
                asked = computed(theta, inputs)
                outside += [_is_outside(asked[k], length) for k, length in enumerate(lengths)]
            fractions = (inputs[number] % 1 != 0 for number in path.integers)
            for wrong in (unfinished, *outside, *fractions):
                if wrong is not None:
                    wrong = wrong if takes is None else takes & wrong
                    lost = wrong if lost is None else lost | wrong
            found = outputs if takes is None else library.where(takes, outputs, found)
        if left is not None:
            lost = left if lost is None else lost | left
        if lost is not None:
            nothing = library.where(lost, theta.sum() + inputs.sum(0), 0.0)
            nothing = nothing * library.where(lost, math.nan, 1.0)  # and so is its gradient
            found = library.where(lost, nothing, found)
        if self.is_alone:
            return found[0, 0] if self.single else found[:, 0]
        return found[0] if self.single else found.swapaxes(0, 1)

    def check(self, theta: Array, columns: Sequence[Array]) -> None:
        """Refuse what the function was not traced for.

        Raises:
            TypeError, ValueError: there are other parameters, arguments, or shapes.
        """
        if len(columns) != len(self.shapes):
            raise TypeError(
                f"it takes theta, then an array for each of {counted(len(self.shapes), 'argument')}"
                f", but got {counted(len(columns), 'array')}"
            )
        if tuple(theta.shape) != (self.parameters,):
            raise ValueError(
                f"theta has the shape ({self.parameters},), a number for each parameter, but got "
                f"{tuple(theta.shape)}"
            )
        for place, (column, shape) in enumerate(zip(columns, self.shapes, strict=True), 1):
            if not column.ndim or tuple(column.shape[1:]) != shape:
                wanted = ", ".join(map(str, ("rows", *shape)))
                raise ValueError(
                    f"argument {place} has the shape ({wanted}), as when the function was traced, "
                    f"but got {tuple(column.shape)}"
                )
        if any(column.shape[0] != columns[0].shape[0] for column in columns):
            raise ValueError(
                "all arguments have one entry for each row, but got "
                f"{', '.join(str(column.shape[0]) for column in columns)} entries"
            )


def _is_outside(index: Array, length: int) -> Array:
    """Where an index names no entry of a table."""
    return ~((index >= 0) & (index < length) & (index % 1 == 0))
