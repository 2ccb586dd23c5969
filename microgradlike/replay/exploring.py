"""Traces of a function that are lined up, and more of them, until they tell what all rows do.

Two traces that part at an ``if`` show both of its sides. Whether one condition changes what another
one does, is shown by traces that decide both otherwise. So the function is traced on other rows,
and its decisions are made by the flip of a coin, among those that rows have made, until further
traces tell nothing new.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from microgradlike.compiler.choices import tape_of
from microgradlike.compiler.joined import DoNotMeet, Joined, Run
from microgradlike.compiler.tape import Tape, trace
from microgradlike.engine import Value

#: So many traces are made before it is asked what they tell; then so many more, until these tell
#: nothing new. In one of so many the decisions are those of a row.
FIRST, NEXT, OF_ROWS = 24, 12, 3

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
        told: object = None
        wanted, made = FIRST, 0
        while True:
            for k in range(min(wanted, most - made)):
                if len(self._ways) >= self._joined.ways():
                    break
                of_row = k % OF_ROWS == 0
                if of_row:
                    row = next(rows, row)
                self._one_more(row, of_row, values)
                made += 1
            before = told
            tape, told, doubts = tape_of(self._joined, values)
            all_ways = len(self._ways) >= self._joined.ways()
            if tape and (all_ways or (told == before and (not doubts or made >= most))):
                return tape
            if all_ways or made >= most:
                raise DoNotMeet
            wanted = NEXT

    def _one_more(self, row: Sequence[object], of_row: bool, values: dict[int, Value]) -> None:
        """Trace a row, as it is or as coins decide."""
        self._coins.begin()
        try:
            tape = trace(self._function, row, None if of_row else self._coins, places=True)
        except Exception:  # rows that raise are traced once more where they are to be computed
            return
        values.update((id(value), value) for value in tape.parameters)
        try:
            self.add(tape)
        except DoNotMeet:
            if not of_row:  # what no row has shown follows from what is no condition
                raise


def _way(run: Run) -> tuple[bool, ...]:
    """How a trace has decided."""
    return tuple(run.holds.values())


class _Coins:
    """Decides conditions by the flip of a coin, but only as rows have decided them.

    Args:
        run: of a row.
    """

    def __init__(self, run: Run) -> None:
        self._draw = random.Random(0)
        self._known: dict[int, set[bool]] = {}
        self._most = self._made = 0
        self.learn(run)

    def learn(self, run: Run) -> None:
        """Take in how a trace has decided."""
        for step, holds in run.holds.items():
            self._known.setdefault(run.tokens[step][1], set()).add(holds)
        self._most = max(self._most, LONGER * len(run.holds))

    def begin(self) -> None:
        """Another trace begins."""
        self._made = 0

    def __call__(self, place: int, holds: bool) -> bool:
        self._made += 1
        if self._made > self._most:
            raise DoNotMeet  # it might never end
        known = self._known.get(place)
        return self._draw.choice(sorted(known)) if known else holds
