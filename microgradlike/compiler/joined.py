"""Traces that part at a condition and come together again: one tape, which computes both sides.

An ``if`` on a traced Value is decided, so a trace has one side of it. Two traces that decide
otherwise are the same up to the condition, and mostly the same again some operations later: the
same instructions of the user's code, in the same order. Then both sides are computed for every
row, and where what follows them used one number in one trace and another one in the other, it gets
the one that its row would have: as ``where`` chooses. So six conditions, each of which is met
again, are one tape, and not 64.

Which numbers these are is learned from the traces: ``Joined`` lines them up, ``choices`` explains
what differs by the decisions that were made before. What the traces did not show is not guessed:
rows that decide what no trace has decided, or two things that no trace has decided together, are
told by a guard of the tape, and are to be traced themselves.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy

from microgradlike.compiler.operations import ENTRY, LEAVES, NAMES, TABLE
from microgradlike.compiler.tape import Decided, Tape

#: What a trace writes down but once, when it is first used, is no step: it is part of its users.
MADE = ("not", "and", "or", TABLE, ENTRY)
_ATOMS = (*LEAVES, *MADE)

#: The code of a decision, and that of the end; those of nodes are small.
_DECISION, _END = 254, 255

#: Two sides may have so many steps more than twice what is the same in both traces.
LONGEST_SIDES = 64

#: Conditions stand within one another at most so deep.
DEEPEST = 100

#: So many steps are looked through, and so many places tried, to find where two traces meet; and so
#: many pairs of places are looked at in all, of all traces: who needs more would wait for minutes.
LOOKED_THROUGH, TRIED, PAIRS = 5000, 100, 2_000_000


class Run:
    """One trace as a line of steps: nodes, decisions, and the end.

    Attributes:
        tape: of the trace.
        steps: for each step the node, or the node of the condition; -1 at the end.
        tokens: what the steps of two traces are compared by: the operator, and the place in code.
        holds: how each decision was made, by the number of its step.
        states: of the function at that moment, see ``Decided``.
        parameters: the ids of those of the tape.
        pairs: how many pairs of places were looked at to line it up, and those before it.
        found: the step of the joined tape that each one is; set when it is joined.
    """

    def __init__(self, tape: Tape) -> None:
        if tape.loops.rounds:
            # For rows that are not on its side, a loop that ends by itself might never end.
            raise DoNotMeet
        self.tape = tape
        # Whoever has a parameter of a function is counted, so that others notice it is gone.
        self.parameters = list(map(id, tape.parameters))
        tape.parameters, tape.tables = [], {}
        self.steps: list[int] = []
        self.tokens: list[tuple[int, int]] = []
        self.holds: dict[int, bool] = {}
        self.found: list[Step | Fork] = []
        self.pairs = 0
        self.states: dict[int, int] = {}
        decided = iter([*tape.decided, Decided(-1, -1, -1, -1)])
        at, condition, place, state = next(decided)
        atoms = {code for code, name in enumerate(NAMES) if name in _ATOMS}
        for node, code in enumerate([*tape.nodes, _END]):
            while at == node:
                if condition in tape.guards:  # else it was one of constants
                    self.holds[len(self.steps)] = tape.guards[condition][0]
                    self.states[len(self.steps)] = state
                    self._add(condition, _DECISION, place)
                at, condition, place, state = next(decided)
            if code == _END:
                self._add(-1, _END, len(tape.outputs))
            elif code not in atoms:
                self._add(node, code, tape.places[node])

    def _add(self, node: int, code: int, place: int) -> None:
        self.steps.append(node)
        self.tokens.append((code, place))

    def __len__(self) -> int:
        return len(self.steps)

    def line(self, step: int) -> tuple[str, int]:
        """File and line of a decision."""
        return self.tape.guards[self.steps[step]][1]


class Step:
    """An operation of the joined tape, or its end.

    Attributes:
        token: as of a run.
        side: within which it is; ``order``: its number in the order in which all is computed.
        number: that of the operation among all.
    """

    __slots__ = ("number", "order", "side", "token")

    def __init__(self, token: tuple[int, int]) -> None:
        self.token = token
        self.number = self.order = -1
        self.side: Side


class Fork:
    """A condition that was decided.

    Attributes:
        sides: by how it was decided. Of one side only, the steps follow the fork itself, for it is
            not known yet where they end.
        line: file and line.
        side, order, number: as of a step; the number is among the forks.
    """

    __slots__ = ("line", "number", "order", "side", "sides", "token")

    def __init__(self, token: tuple[int, int], holds: bool, line: tuple[str, int]) -> None:
        self.token, self.line = token, line
        self.number = self.order = -1
        self.side: Side
        self.sides = {holds: Side(self, holds)}

    @property
    def is_open(self) -> bool:
        return len(self.sides) == 1


class Side:
    """The steps between a fork and where its sides meet; or all.

    Attributes:
        fork, holds: on which side of which fork; None of all steps.
        items: steps and forks, in order.
        first, last: the orders of what is within it, from the first to before the last.
    """

    __slots__ = ("first", "fork", "holds", "items", "last", "number")

    def __init__(self, fork: Fork | None = None, holds: bool = True) -> None:
        self.fork, self.holds = fork, holds
        self.items: list[Step | Fork] = []
        self.first = self.last = self.number = 0

    def within(self) -> frozenset[tuple[int, bool]]:
        """On which sides of which forks, by their numbers, all of it is."""
        found, side = set(), self
        while side.fork:
            found.add((side.fork.number, side.holds))
            side = side.fork.side
        return frozenset(found)

    def has(self, other: Side) -> bool:
        """Whether the other one is within this one, or is this one."""
        return self.first <= other.first < self.last or self is other


class DoNotMeet(Exception):
    """These traces are not those of one tape.

    Args:
        decided: how a trace has decided forks until it did something else.
    """

    def __init__(self, decided: Sequence[tuple[Fork, bool]] = ()) -> None:
        super().__init__()
        self.decided = decided


class Joined:
    """Traces that are lined up.

    Args:
        run: the first one.
    """

    def __init__(self, run: Run) -> None:
        self.all = Side()
        self.pairs = 0  # of places that were looked at
        self.runs: list[Run] = []
        self.all.items = list(_line(run, 0, len(run)))
        self.join(run)

    def join(self, run: Run) -> None:
        """Line up one more trace.

        Raises:
            DoNotMeet: it does not become the same again; nothing has changed.
        """
        run.pairs = self.pairs
        try:
            found, cuts = _walk([(self.all.items, 0)], run, 0)
        finally:
            self.pairs = run.pairs
        # The last one first, for what is before it in the same list stays where it is.
        for items, place, ends, holds, new in reversed(cuts):
            fork = items[place]
            assert isinstance(fork, Fork)
            (known,) = fork.sides.values()
            known.items = items[place + 1 : ends]
            del items[place + 1 : ends]
            fork.sides[holds] = other = Side(fork, holds)
            other.items = new
        run.found = found
        self.runs.append(run)
        self._number()

    def has_shown(self, decided: Sequence[tuple[Fork, bool]]) -> bool:
        """Whether each two of these decisions were made together by some trace."""
        took = numpy.zeros((len(self.runs), len(decided)))
        for row, run in zip(took, self.runs, strict=True):
            own = {run.found[k]: holds for k, holds in run.holds.items()}
            row[:] = [own.get(fork) == holds for fork, holds in decided]
        return bool((took.T @ took > 0).all())

    def ways(self) -> int:
        """In how many ways all decisions can be made together."""
        ways: dict[Side, int] = {}
        for side in reversed(self.sides):
            ways[side] = 1
            for item in side.items:
                if isinstance(item, Fork) and not item.is_open:
                    ways[side] *= sum(ways[inner] for inner in item.sides.values())
        return ways[self.all]

    def _number(self) -> None:
        """Number all in the order in which it is computed."""
        self.steps: list[Step] = []
        self.forks: list[Fork] = []
        self.sides: list[Side] = []
        order = 0
        left = [(self.all, iter(self.all.items))]
        begun: set[Side] = set()
        while left:
            side, items = left[-1]
            if side not in begun:
                begun.add(side)
                side.first, side.number = order, len(self.sides)
                self.sides.append(side)
            item = next(items, None)
            order += 1
            if item is None:
                left.pop()
                side.last = order
                continue
            item.side, item.order = side, order
            if isinstance(item, Step):
                item.number = len(self.steps)
                self.steps.append(item)
                continue
            item.number = len(self.forks)
            self.forks.append(item)
            if not item.is_open:
                left += [(inner, iter(inner.items)) for _, inner in sorted(item.sides.items())]


# ---- Where two traces meet ---------------------------------------------------------------------

#: A fork that gets its other side: the list that it is in and its place there, where its known
#: side ends in it, how the other one was decided, and its steps.
_Cut = tuple[list[Step | Fork], int, int, bool, list[Step | Fork]]

#: Where one is: lists within one another, and the place in each.
_Where = list[tuple[list[Step | Fork], int]]


def _line(run: Run, start: int, end: int) -> Iterator[Step | Fork]:
    """Steps of a run, as they are."""
    for k in range(start, end):
        found: Step | Fork = (
            Fork(run.tokens[k], run.holds[k], run.line(k))
            if k in run.holds
            else Step(run.tokens[k])
        )
        run.found.append(found)
        yield found


def _next(where: _Where) -> Step | Fork | None:
    """The item at which one is, out of all lists that have ended."""
    while where:
        items, place = where[-1]
        if place < len(items):
            return items[place]
        where.pop()
    return None


def _walk(
    where: _Where, run: Run, start: int, probe: bool = False
) -> tuple[list[Step | Fork], list[_Cut]]:
    """Follow a run through what is known.

    Args:
        where: to begin; it is changed.
        run: from its step ``start`` on.
        probe: end at the first decision that was never made so.

    Returns:
        The items that the run has met, and what it adds.

    Raises:
        DoNotMeet: it does something else.
    """
    found: list[Step | Fork] = []
    cuts: list[_Cut] = []
    decided: list[tuple[Fork, bool]] = []
    k = start
    while k < len(run):
        item = _next(where)
        if item is None or item.token != run.tokens[k]:
            raise DoNotMeet(decided)
        items, place = where[-1]
        where[-1] = items, place + 1
        found.append(item)
        holds = run.holds.get(k)
        k += 1
        if not isinstance(item, Fork):
            continue
        assert holds is not None
        if holds not in item.sides:
            if probe:
                return found, cuts
            try:
                new, old = _meet(where, run, k)
            except DoNotMeet:
                raise DoNotMeet([*decided, (item, holds)]) from None
            before = len(run.found)
            side = list(_line(run, k, k + new))
            found += run.found[before:]
            del run.found[before:]
            cuts.append((items, place, place + 1 + old, holds, side))
            where[-1] = items, place + 1 + old
            k += new
            continue
        decided.append((item, holds))
        if not item.is_open:
            if len(where) > DEEPEST:
                raise DoNotMeet(decided)
            where.append((item.sides[holds].items, 0))
    return found, cuts


def _meet(where: _Where, run: Run, start: int) -> tuple[int, int]:
    """After how many steps of a run, and of what is known, both are at the same place again."""
    items, place = where[-1]
    rest = items[place : place + LOOKED_THROUGH]
    places: dict[tuple[int, int], list[int]] = {}
    for old, item in enumerate(rest):
        places.setdefault(item.token, []).append(old)
    after = where[:-1]  # where the list ends, what follows is outside of it
    outside = _next(after[:]) if place + len(rest) == len(items) else None
    if outside is not None:
        places.setdefault(outside.token, []).append(len(rest))
    tokens = run.tokens[start : start + LOOKED_THROUGH]
    # The same decision once more is mostly that of a loop's next round, which is the same for both.
    again = [old for old, item in enumerate(rest) if item.token == run.tokens[start - 1]]
    rounds = [new for new, token in enumerate(tokens) if token == run.tokens[start - 1]]

    def candidates(news: int, olds: int) -> list[tuple[int, int, int, int]]:
        """The places where both are at the same token, the nearest first."""
        found = [
            (bisect_left(rounds, new) + bisect_left(again, old), new + old, new, old)
            for new, token in enumerate(tokens[:news])
            for old in places.get(token, ())[:TRIED]
            if old < olds
        ]
        run.pairs += len(found)
        if run.pairs > PAIRS:
            raise DoNotMeet
        return sorted(found)[:TRIED]

    within = ([*rounds, len(tokens)][0] + 1, [*again, len(rest)][0] + 1)
    everywhere = (len(tokens), len(rest) + 1)
    for _, both, new, old in itertools.chain.from_iterable(
        candidates(*limits) for limits in (within, everywhere)
    ):
        if both > LONGEST_SIDES + 2 * (len(run) - new):
            continue
        try:
            _walk([*after, (items, place + old)], run, start + new, probe=True)
        except DoNotMeet:
            continue
        return new, old
    raise DoNotMeet
