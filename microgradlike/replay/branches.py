"""A path: the rows of a compiled function that take the same branches, and how they are run.

Their tape becomes a program, which runs all of them at once. Rows that are not safe, because their
numbers are huge, infinite or NaN, run once more as they were written (``as_written.py``).
"""

from __future__ import annotations

import functools
import math
import random
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy
import numpy.typing

from microgradlike.compiler.arrays import Floats, Truths
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.instructions import INPUTS, PARAMETERS
from microgradlike.compiler.operations import CODES, NAMES
from microgradlike.compiler.passes import build
from microgradlike.compiler.program import Program
from microgradlike.compiler.rolled import rolled
from microgradlike.compiler.tape import Tape, wider
from microgradlike.engine import Value
from microgradlike.executors.choose import executor_of
from microgradlike.executors.executor import Call, Ran, is_small
from microgradlike.inputs import NotInTable
from microgradlike.replay.arguments import CHUNK, Arguments, Given, Places, Rows
from microgradlike.replay.as_written import Exact, Some
from microgradlike.replay.exploring import Exploration
from microgradlike.replay.spot_check import TWO_ROWS
from microgradlike.replay.ties import is_rounded_as_written, may_tie, near_ties


class Replay:
    """A program at work, for the parameters and inputs of the whole function.

    Args:
        program: what to run.
        arguments: rows such as it will be given.
        dtype: in which numbers it computes, if not in those of the arguments.
        decides: whether it finds out how rows are to be run: then it computes in the engine's
            numbers, to their last digit.
    """

    def __init__(
        self, program: Program, arguments: Arguments, dtype: str = "", decides: bool = False
    ) -> None:
        self.program, self.dtype = program, dtype
        self.columns = arguments.columns(program.inputs)
        how = arguments.how
        if decides:
            dtype, how = "float64", how._replace(on="auto" if how.on == "jax" else how.on)
        self.executor = executor_of(program, self.columns.places, how.on, dtype or how.dtype)
        self.take: slice | Places = slice(0)
        self.whole = False

    def place(self, places: Places, count: int) -> Replay:
        """Find its parameters, by the numbers that the tape's have among those of the function.

        They are all that the function has, in their order, if it is ``whole``.
        """
        take = places[self.program.parameters]
        self.whole = len(take) == count and bool((take == numpy.arange(count)).all())
        self.take = slice(0, count) if self.whole else take
        return self

    def run(
        self, theta: Floats, arguments: Arguments, rows: Places | None, results: Floats | None,
        seeds: Floats | None = None, mode: int = 0, jacobian: Floats | None = None,
        sizes: Floats | None = None,
    ) -> Ran:  # fmt: skip
        """Run all rows, or some, and write their outputs."""
        numbers = theta[: self.take.stop] if isinstance(self.take, slice) else theta[self.take]
        some = Rows(arguments, self.columns, rows)
        own = jacobian
        if jacobian is not None and rows is not None:
            own = numpy.zeros((len(jacobian), len(rows), arguments.inputs))
        ran = self.executor.run(Call(numbers, some, results, seeds, mode, own, sizes))
        if jacobian is not None and rows is not None:
            jacobian[:, rows] = own
        if seeds is None or mode != PARAMETERS or (self.whole and len(numbers) == len(theta)):
            return ran
        errors = numpy.zeros(len(theta))
        errors[self.take] = ran.errors
        return ran._replace(errors=errors)


class Indices:
    """What takes from tables: in each row it names an entry, or the row is refused.

    Args:
        tape: of the function.
        arguments: rows such as it will be given.
    """

    def __init__(self, tape: Tape, arguments: Arguments) -> None:
        codes, inputs = tape.nodes, CODES["input"]
        self.given = {tape.left[v]: n for v, n in tape.indices.items() if codes[v] == inputs}
        computed = {v: n for v, n in tape.indices.items() if codes[v] != inputs}
        self.lengths = list(computed.values())
        self.computed: Replay | None = None
        if computed:
            self.computed = Replay(build(Graph(tape, list(computed), 0)), arguments, decides=True)

    def check(self, theta: Floats, arguments: Arguments, rows: Places | None) -> None:
        """Refuse a row that takes what is not there.

        Raises:
            IndexError: there is such a row; it is named.
        """
        for number, length in self.given.items():
            for start in range(0, arguments.rows if rows is None else len(rows), CHUNK):
                here = slice(start, start + CHUNK)
                column = arguments.column(number, here if rows is None else rows[here])
                _refuse_outside(column, length, start, rows)
                arguments.let_go(len(column))
        if self.computed is not None:
            count = arguments.rows if rows is None else len(rows)
            found = numpy.empty((count, len(self.lengths)))
            self.computed.run(theta, arguments, rows, found)
            for column, length in zip(found.T, self.lengths, strict=True):
                _refuse_outside(column, length, 0, rows)


def _refuse_outside(column: Given, length: int, start: int, rows: Places | None) -> None:
    """Refuse an index that names no entry; the first one is of this row, or of this of the rows."""
    there = (column >= 0) & (column < length)
    if column.dtype.kind == "f":
        there &= column == numpy.floor(column)
    if not there.all():
        first = int(there.argmin())
        row = start + first if rows is None else int(rows[start + first])
        raise NotInTable(float(column[first]), length, row)


#: So many rows are looked for by halving: if more have errors that are not small, all others have.
MOST_ALONE = 32

#: Rows of a path of several traces that are compared with the function itself.
CHECKED = 4
#: And one of each way in which they decide: so many ways in a call, which take so many steps
#: together, but some in any case. After so many ways, or so many calls without a new one, it is
#: seldom asked for new ones.
MOST_WAYS, MOST_STEPS, LEAST_WAYS = 256, 200_000, 4
VERY_MANY, QUIET = 1_024, 64
#: By about so many numbers of each argument it is told whether a call has other rows than the one
#: before.
SOME_NUMBERS = 50_000
#: What compares two numbers.
_COMPARES = numpy.isin(NAMES, ["lt", "le", "eq", "ne", "lower"])

#: After so many runs of few rows it is worth while to look for loops in a shorter tape.
OFTEN = 8

#: A loop of several kernels is worth while if it takes so many times fewer steps: going back, each
#: round is computed once more.
_LOOPS_ARE_QUICKER = 4

#: Instead of the number of an output: all of them; the guards.
ALL, GUARDS = -1, -2


class Origin(NamedTuple):
    """One trace of the function, of which a path was made.

    Attributes:
        tape: of the trace.
        parameters: their ids.
        arguments: the row.
    """

    tape: Tape
    parameters: list[int]
    arguments: Arguments


class Ways:
    """How the rows of a path of several traces decide: each way is compared once with the function.

    Traces tell what belongs together, of which few are made. So a way that no trace has gone may be
    taken for another one. It is found out in each call with other rows, until many calls had no new
    ways, or there were very many; then in the second one after that, in the fourth one, and so on.

    A way has a number: each condition has one, of which those that hold are added up.

    Args:
        tape: of the path.
        arguments: one of its rows.

    Attributes:
        tape, number: where the number of a way is computed, and its node.
    """

    def __init__(self, tape: Tape, arguments: Arguments) -> None:
        code = numpy.frombuffer(tape.nodes, numpy.uint8)
        # Also such as no output needs, as far as the traces tell.
        conditions = numpy.flatnonzero(_COMPARES[code]).tolist()
        self._decides = bool(conditions)
        self._most = max(LEAST_WAYS, min(MOST_WAYS, MOST_STEPS // len(code)))
        further, draw = wider(tape), random.Random(0)
        number = further.constant(0.0)
        for condition in conditions:  # the sum of all is a whole number that a float holds
            own = further.constant(float(draw.randrange(2**53 // len(conditions))))
            number = further.append("add", number, further.append("keep", condition, own))
        self.tape, self.number = further, number
        self.replay = Replay(build(Graph(further, [number], 0)), arguments, decides=True)
        self._known = numpy.array([math.inf])  # in their order
        self.begin_anew()

    def known(self) -> list[float]:
        """The numbers of the ways that were met, in their order."""
        found: list[float] = self._known[:-1].tolist()
        return found

    def begin_anew(self) -> None:
        """Rows may come that another path has run until now: find out in the next calls."""
        self._left = self._every = 1  # calls until then
        self._quiet = self._mark = 0

    def is_due(self, theta: Floats, arguments: Arguments, rows: Places | None) -> bool:
        """Whether it is to be found out in this call: not twice for the same rows."""
        count = arguments.rows if rows is None else len(rows)
        numbers = theta.tobytes() if len(self.replay.program.parameters) else b""
        mark = hash((count, numbers, numpy.array([_mark(x) for x in arguments.arrays]).tobytes()))
        if not self._decides or mark == self._mark:
            return False
        self._mark = mark
        self._left -= 1
        return self._left <= 0

    def unknown(self, theta: Floats, arguments: Arguments, rows: Places | None) -> list[int]:
        """Rows that decide in ways that were not met before, the most frequent first."""
        found = numpy.empty((arguments.rows if rows is None else len(rows), 1))
        self.replay.run(theta, arguments, rows, found)
        ways = found[:, 0]
        places = numpy.flatnonzero(self._known[self._known.searchsorted(ways)] != ways)
        names, first, counts = numpy.unique(ways[places], return_index=True, return_counts=True)
        new = numpy.argsort(-counts, kind="stable")[: self._most]
        self._known = numpy.union1d(self._known, names[new])
        self._quiet = 0 if len(new) else self._quiet + 1
        if self._quiet >= QUIET or len(self._known) > VERY_MANY:
            self._every *= 2
        self._left = self._every
        chosen = places[first[new]]
        found_in: list[int] = (chosen if rows is None else rows[chosen]).tolist()
        return found_in


@functools.cache
def _weights() -> Floats:
    return numpy.random.default_rng(0).uniform(0.5, 1.0, SOME_NUMBERS)


def _mark(array: Given) -> float:
    """A number that other numbers would not have."""
    some, weights = array[:: 1 + array.size // SOME_NUMBERS].reshape(-1), _weights()
    with numpy.errstate(invalid="ignore", over="ignore"):
        found: float = some[: len(weights)].dot(weights[: len(some)])
    return found if math.isfinite(found) else zlib.crc32(some.tobytes())


class Path:
    """Rows that run together, for they take the same branches, or such as meet again.

    Args:
        tape: what is computed for them.
        others: paths.
        arguments: one of the rows.
        sending: how many of the first outputs will ever send an error back; None for all.
        is_joined: whether the tape was made of several traces.

    Attributes:
        origins: traces that it was made of.
        exploration: all of them, lined up; None if there is only one.
        ways: then how its rows decide.
    """

    def __init__(
        self, tape: Tape, others: list[Path], arguments: Arguments, sending: int | None,
        is_joined: bool = False,
    ) -> None:  # fmt: skip
        self.tape, self.arguments, self.sending = tape, arguments.one(), sending
        self.origins = [Origin(tape, list(map(id, tape.parameters)), self.arguments)]
        self.exploration: Exploration | None = None
        self.ways = Ways(tape, self.arguments) if is_joined else None
        self.single = tape.single
        self.outputs = len(tape.outputs)
        self.rolled = rolled(tape)
        graph = Graph(self.rolled, self.rolled.outputs, sending)
        self.key = (*graph.key(), *map(id, tape.parameters))
        # Paths that compute the same (a check of a label took another way) share one program.
        same = next((path for path in others if path.key == self.key), None)
        # A loop that ends by itself may never do so in fewer digits than the engine's.
        dtype = "float64" if any(one.going >= 0 for one in tape.loops.rounds) else ""
        self.replay: Replay = same.replay if same else Replay(build(graph), arguments, dtype)
        self.guards: Replay | None = None
        if tape.guards:
            self.expected = numpy.array([holds for holds, _ in tape.guards.values()], float)
            of_guards = Graph(tape, list(tape.guards), 0)
            guards, near = build(of_guards), None
            if not is_rounded_as_written(guards):
                near = near_ties(tape, list(tape.guards), of_guards.in_order)
            self.tied = near is not None
            if near is not None:
                guards = build(Graph(near[0], [*tape.guards, near[1]], 0))
            # A row takes the path that it takes when it is traced, in the numbers of the engine.
            self.guards = Replay(guards, arguments, decides=True)
        self.of_few: Replay | None = None  # what runs few rows, once they were asked for often
        self.often = 0
        self.ties: Replay | None = None
        # What a round does is on the tape alone.
        nodes = numpy.frombuffer(tape.nodes, numpy.uint8) if tape.loops.rounds else graph.op
        if may_tie(nodes) and not is_rounded_as_written(self.replay.program):
            near = near_ties(tape, tape.outputs, graph.in_order)
            if near is not None:
                ties = build(Graph(near[0], [near[1]], 0))
                self.ties = Replay(ties, arguments, decides=True)
        self.indices = Indices(tape, arguments) if tape.indices else None
        self._written: dict[int, Exact] = {}
        self.taken = 0  # in which call a row has last taken it
        self.call = 0  # the call of the compiled function in which it was met
        # For each kind of run, how many rows are still to be compared with the function itself.
        rows = 2 if len(tape.nodes) <= TWO_ROWS else 1
        self.to_check = dict.fromkeys((0, PARAMETERS, INPUTS), rows)

    def made_of(self, path: Path, exploration: Exploration, origin: Origin) -> None:
        """Note what it was made of: all traces of a path, and one more."""
        self.origins, self.exploration = [path.origins[0], origin], exploration
        self.to_check = dict.fromkeys(self.to_check, CHECKED)

    def parameters(self) -> Iterator[Value]:
        """Those that the path uses; the ones of a matrix in a row."""
        for replay in self.replays():
            for place in replay.program.parameters:
                yield self.tape.parameters[place]

    def find(self, places: dict[Value, int]) -> None:
        """Where the parameters of the path stand among those of the function."""
        self.places = numpy.array([places.get(p, -1) for p in self.tape.parameters], int)
        self.used, self.count = self.places >= 0, len(places)
        for replay in self.replays():
            replay.place(self.places, len(places))

    def replays(self) -> list[Replay]:
        """All that is run for its rows."""
        computed = self.indices.computed if self.indices else None
        ways = self.ways.replay if self.ways else None
        found = (self.replay, self.of_few, self.guards, self.ties, computed, ways)
        return [replay for replay in found if replay]

    def run(
        self, theta: Floats, arguments: Arguments, rows: Places | None, results: Floats,
        seeds: Any = None, mode: int = 0, jacobian: Floats | None = None,
    ) -> Ran:  # fmt: skip
        """Run all rows, or some; and those that are not safe once more, as they were written."""
        sends = seeds is not None and mode == PARAMETERS
        sizes = numpy.zeros(len(results))
        replay = self.replay
        if len(results) <= replay.executor.few:
            replay = self._replay_of_few()
        ran = replay.run(theta, arguments, rows, results, seeds, mode, jacobian, sizes)
        if ran.safe and self.ties is None:
            return ran
        tied = self._tied(theta, arguments, rows, len(results))
        if ran.safe and not tied.any():
            return ran
        every = numpy.arange(len(results)) if rows is None else rows
        with numpy.errstate(all="ignore"):
            small, errors = (sizes < math.inf) & ~tied, ran.errors
            if sends:
                if tied.any() or not is_small(errors):  # of which row is not known
                    errors, sizes = numpy.zeros(len(theta)), numpy.where(small, 1.0, sizes)
                errors += self._gradient(theta, arguments, every, (sizes > 0) & small, small, seeds)
            places = numpy.flatnonzero(~small)
            unsafe = every[places]
            for some in self._exact(theta, arguments, unsafe):
                results[places[some.rows]] = some.outputs
            for found, seed in () if jacobian is None else zip(jacobian, seeds, strict=True):
                for some in self._exact(theta, arguments, unsafe, seed):
                    found[unsafe[some.rows]] = some.by_inputs
            for seed in seeds if sends else ():
                for some in self._exact(theta, arguments, unsafe, seed):
                    for row in some.by_parameters:  # one after the other, as the engine does
                        errors[self.places[self.used]] += row[self.used]
            return Ran(errors, float(results[:, 0].sum()), safe=False, unsafe=unsafe)

    def _replay_of_few(self) -> Replay:
        """What runs few rows: with loops that are one kernel, if that is asked for often."""
        self.often += 1
        if self.often == OFTEN and not self.rolled.loops.rounds:
            tape = rolled(self.tape, few_rows=True)
            if tape is not self.tape:
                graph = Graph(tape, tape.outputs, self.sending)
                found = Replay(build(graph), self.arguments, self.replay.dtype)
                decides = may_tie(numpy.frombuffer(tape.nodes, numpy.uint8))
                decides &= self.ties is None and not is_rounded_as_written(found.program)
                is_quicker = found.executor.is_one_kernel() or (
                    _LOOPS_ARE_QUICKER * found.program.steps() < self.replay.program.steps()
                )
                if is_quicker and not decides:
                    self.of_few = found.place(self.places, self.count)
        return self.of_few or self.replay

    def check_rows(self, theta: Floats, arguments: Arguments, rows: Places | None) -> None:
        """Refuse rows that take what is not there, or are not of integers where they were."""
        if self.indices:
            self.indices.check(theta, arguments, rows)
        if self.tape.needs_integers:
            arguments.refuse_fractions([self.tape.left[node] for node in self.tape.integers])

    def _tied(self, theta: Floats, arguments: Arguments, rows: Places | None, count: int) -> Truths:
        """The rows in which a ``where`` is so near a tie that the order of its sums decides."""
        if self.ties is None:
            return numpy.zeros(count, bool)
        tied = numpy.zeros((count, 1))
        self.ties.run(theta, arguments, rows, tied)
        near: Truths = tied[:, 0] != 0
        return near

    def _gradient(
        self, theta: Floats, arguments: Arguments, every: Places, wanted: Truths, small: Truths,
        seeds: Floats,
    ) -> Floats:  # fmt: skip
        """The errors of the parameters from the rows that are wanted.

        A row whose own errors are not small is left out, and ``small`` no more. Which one it is, is
        found by halving the rows.
        """
        errors = numpy.zeros(len(theta))
        left, alone = [numpy.flatnonzero(wanted)], 0
        while left:
            here = left.pop()
            if not len(here):
                continue
            ran = self.replay.run(theta, arguments, every[here], None, seeds, PARAMETERS)
            if ran.safe:
                errors += ran.errors
            elif len(here) > 1 and alone < MOST_ALONE:
                left += [here[len(here) // 2 :], here[: len(here) // 2]]
            else:
                alone += 1
                small[here] = False
        return errors

    def _exact(
        self, theta: Floats, arguments: Arguments, rows: Places, seeds: Floats | None = None,
        what: int = ALL,
    ) -> Iterator[Some]:  # fmt: skip
        """Rows as they were written. An output that sends no error is not one that sends zero."""
        sending = [] if seeds is None else numpy.flatnonzero(seeds).tolist()
        if seeds is not None and self.outputs > 1 and len(sending) == 1:
            what, seeds = sending[0], seeds[sending]
        numbers = numpy.append(theta, 0.0)[self.places]  # the place of what no program uses is -1
        return self._as_written(what).run(numbers, arguments, rows, seeds)

    def _as_written(self, what: int) -> Exact:
        """An output, all, or the guards."""
        if what not in self._written:
            if what == GUARDS:
                tape, outputs = self.tape, list(self.tape.guards)
            else:
                tape = self.rolled
                outputs = tape.outputs if what == ALL else [tape.outputs[what]]
            self._written[what] = Exact(tape, outputs)
        return self._written[what]

    def takes(self, theta: Floats, arguments: Arguments, rows: Places) -> Truths:
        """Which of these rows take this path."""
        if self.guards is None:
            return numpy.ones(len(rows), bool)
        count = len(self.expected)
        found = numpy.empty((len(rows), count + self.tied))
        sizes = numpy.zeros(len(rows))
        some = None if len(rows) == arguments.rows else rows
        safe = self.guards.run(theta, arguments, some, found, sizes=sizes).safe
        if self.tied or not safe:
            near = found[:, count:].any(axis=1) | ~(sizes < math.inf)
            found, places = found[:, :count], numpy.flatnonzero(near)
            again = self._exact(theta, arguments, rows[places], what=GUARDS) if near.any() else ()
            for here in again:
                found[places[here.rows]] = here.outputs
        takes: Truths = (found == self.expected).all(axis=1)
        return takes
