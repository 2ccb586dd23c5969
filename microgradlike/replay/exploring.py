"""Traces of a function that are lined up, and more of them, until they tell what all rows do.

Two traces that part at an ``if`` show both of its sides. Whether one condition changes what another
one does, is shown by traces that decide both otherwise. So the function is traced on other rows,
and its decisions are made by the flip of a coin, among those that rows have made, until further
traces tell nothing new.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from microgradlike.compiler.joined import DoNotMeet, Joined, Run
from microgradlike.compiler.tape import Tape, trace
from microgradlike.compiler.together import Told, tape_of
from microgradlike.engine import Value

#: So many traces are made before it is asked what they tell; then further ones, until so many in a
#: row were foretold.
FIRST, NEXT = 24, 12

#: So many traces are of rows as they are, and one of so many that follow.
OF_ROWS = 6

#: After so many that were foretold otherwise it is given up.
MOST_WRONG = 6

#: At most so many are made, of so many nodes together; but some in any case.
MOST_TRACES, MOST_NODES, AT_LEAST = 120, 3_000_000, 36

#: A trace in which coins decide may make so many times as many decisions as others.
LONGER = 4


class Exploration:
    """The traces of one path, lined up.

    Args:
        f: the function.
        tape: its first trace, with places.
    """

    def __init__(self, f: Callable[..., object], tape: Tape) -> None:
        self._function = f
        first = Run(tape)
        self._joined = Joined(first)
        self._ways = {_way(first)}
        self._coins = _Coins(first)
        self._told: Told | None = None

    def add(self, tape: Tape) -> bool:
        """Line up one more trace; whether it decides otherwise than those that were known.

        Raises:
            DoNotMeet: it does not become the same again.
        """
        run = Run(tape)
        if _way(run) in self._ways:
            return False
        self._joined.join(run)
        self._ways.add(_way(run))
        self._coins.learn(run)
        return True

    def settle(self, rows: Iterator[Sequence[object]], values: Mapping[int, Value]) -> Tape:
        """Trace until nothing new is told.

        Args:
            rows: examples, of which some are traced; one at least.
            values: the parameters that are known, by their id.

        Returns:
            The tape of all of them.

        Raises:
            DoNotMeet: the traces contradict each other, or tell something new again and again.
        """
        values = dict(values)
        longest = max(map(len, self._joined.runs))
        most = min(MOST_TRACES, max(AT_LEAST, MOST_NODES // longest))
        row = next(rows)
        told: Told | None = None
        right = wrong = made = 0
        wanted = FIRST
        while True:
            known = len(self._joined.runs)
            while (
                len(self._joined.runs) - known < wanted
                and made < most
                and len(self._ways) < self._joined.ways()
            ):
                # Rows come first: what coins decide may be what no row could.
                of_row = made < OF_ROWS or made % OF_ROWS == 0
                if of_row:
                    row = next(rows, row)
                self._one_more(row, of_row, values)
                made += 1
            all_ways = len(self._ways) >= self._joined.ways()
            if told is not None:
                for run in self._joined.runs[known:]:
                    found = told.foretells(run, values)
                    right = 0 if found is False else right + (found is True)
                    wrong += found is False
            told = tape_of(self._joined, values)
            ended = made >= most
            settled = all_ways or (right >= NEXT and (ended or not told.doubts))
            if settled and told.tape:
                self._told = told
                return told.tape
            if all_ways or ended or wrong > MOST_WRONG:
                raise DoNotMeet
            wanted = NEXT

    def follows(self, row: Sequence[object], values: Mapping[int, Value]) -> bool:
        """Whether the tape of all traces decides, and computes, what a row does, for its reasons.

        Args:
            row: an example, which the tape is for.
            values: the parameters, by their id.
        """
        tape = trace(self._function, row, places=True)
        values = dict(values) | {id(value): value for value in tape.parameters}
        run = Run(tape)
        try:
            self._joined.join(run)
        except DoNotMeet:
            return False
        if _way(run) in self._ways:
            self._joined.runs.pop()  # it tells nothing new
        self._ways.add(_way(run))
        return self._told is not None and self._told.follows(run, values)

    def _one_more(self, row: Sequence[object], of_row: bool, values: dict[int, Value]) -> None:
        """Trace a row, as it is or as coins decide."""
        try:
            with self._coins.counted():
                tape = trace(self._function, row, None if of_row else self._coins, places=True)
        except Exception:  # rows that raise are traced once more where they are to be computed
            return
        values.update((id(value), value) for value in tape.parameters)
        try:
            self.add(tape)
        except DoNotMeet as error:
            # Rows that decide so are not taken; unless it is more than two decisions, or something
            # else than decisions, that makes it so.
            if not of_row and self._joined.has_shown(error.decided):
                raise


def _way(run: Run) -> tuple[bool, ...]:
    """How a trace has decided."""
    return tuple(run.holds.values())


class _Coins:
    """Decides conditions by the flip of a coin, but only as rows have decided them.

    Where one way was gone less often than the other, after the same decisions, it is gone.

    Args:
        run: of a row.
    """

    def __init__(self, run: Run) -> None:
        self._draw = random.Random(0)
        self._known: dict[int, set[bool]] = {}
        self._gone: dict[tuple[bool, ...], int] = {}
        self._most = 0
        self._made: tuple[bool, ...] = ()
        self.learn(run)

    def learn(self, run: Run) -> None:
        """Take in how a trace has decided."""
        for step, holds in run.holds.items():
            self._known.setdefault(run.tokens[step][1], set()).add(holds)
        self._most = max(self._most, LONGER * len(run.holds))
        self._count(_way(run)[:_COUNTED])

    def _count(self, way: tuple[bool, ...]) -> None:
        for k in range(len(way)):
            self._gone[way[: k + 1]] = self._gone.get(way[: k + 1], 0) + 1

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Within this block there is another trace, which counts however it ends."""
        self._made, self._left = (), self._most
        try:
            yield
        finally:
            self._count(self._made)

    def __call__(self, place: int, holds: bool) -> bool:
        self._left -= 1
        if self._left < 0:
            raise DoNotMeet  # it might never end
        known = self._known.get(place, {holds})
        if len(known) == 2 and len(self._made) < _COUNTED:
            often = [self._gone.get((*self._made, way), 0) for way in (False, True)]
            holds = often[1] < often[0] or (often[1] == often[0] and self._draw.random() < 0.5)
        else:
            holds = self._draw.choice(sorted(known))
        if len(self._made) < _COUNTED:
            self._made = (*self._made, holds)
        return holds


#: Of the first so many decisions it is counted how often they were made.
_COUNTED = 10
