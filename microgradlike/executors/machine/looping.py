"""Loops as machine code: kernels that call the kernels of a round, round after round.

A round has slots of its own, the same for all rounds, so its numbers stay where the processor has
them at hand. What a round was handed is kept for the backward pass, which computes each round once
more, from the last one to the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy
from numpy.typing import ArrayLike

from microgradlike.compiler.arrays import Floats, Ints
from microgradlike.compiler.instructions import ALWAYS, HERE, IN_ONCE, Loop
from microgradlike.compiler.plan import Back
from microgradlike.executors.executor import stretches
from microgradlike.executors.machine.addresses import Pointer, invoke, moved, numbers_at, words
from microgradlike.executors.machine.kernels import (
    OUT,
    OUTS,
    RECORD,
    WIDTH,
    joined,
    place_of,
    row,
    total,
)

if TYPE_CHECKING:
    from microgradlike.executors.machine.encode import Code

#: What the kernels know of a loop, by place. How many rounds there are, or 0; the lists of kernels
#: and how long they are; what they refer to; the slots of a round.
ROUNDS, FORWARD, FORWARDS, BACKWARD, BACKWARDS, LISTS, VALUES, ERRORS = range(8)
#: What rounds were handed, for how many there is room; how many were done, and wanted at most.
STATES, KEPT, DONE, WANTED = range(8, 12)
#: How many numbers are handed on, given and held; the slots of a round for them.
CARRIED, GIVEN, HELD, AT_CARRIED, AT_GIVEN, AT_HELD = range(12, 18)
#: Where these are in the program: slots, of which some are of ``once``; of rows round by round.
FIRST, FIRST_ONCE, ROWS, ROWS_ONCE, HELD_FROM = range(18, 23)
#: What is handed on; where the errors of that begin; the number that each output is.
RESULTS, RESULTS_ONCE, SENDING, SENDING_ONCE, GIVES = range(23, 28)
#: The condition of another round, and of errors; likewise, whether they are in ``once``.
GOING, GOING_ONCE, ACTIVE, MASKED, MASK = range(28, 33)
#: Slots that are watched, and slots whose errors must be 0; room for the errors of a state.
WATCHED, WATCHES, CLEAR, CLEARS, STATE_ERRORS = range(33, 38)
#: What is sent: (whether to ``once``, to which slot, from which) of the first state, of the rows,
#: where those of each round begin, and of what is held.
TO_FIRST, TO_FIRSTS, TO_ROWS, TO_ROWS_FROM, TO_HELD, TO_HELDS = range(38, 44)
#: Of loops that are one kernel: the slots of ``once`` that it reads; how many rounds each row had.
ONCE_READ, COUNTS = 44, 45
#: How many places there are.
PLACES = 46

#: For so many rounds of a loop that ends by itself there is room at first.
ROOM = 64

# ---- Kernels -----------------------------------------------------------------------------------


def _state(known: Ints, like: Pointer, number: int, lanes: int) -> Pointer:
    """What a round is handed; if nothing is kept, or there is no room, of every other round."""
    place = number if number < known[KEPT] else known[KEPT] + number % 2
    found: Pointer = moved(numbers_at(known[STATES], like), place * known[CARRIED] * lanes)
    return found


def _copy(into: Pointer, of: Pointer, lanes: int) -> None:
    target, source = row(into, lanes), row(of, lanes)
    for lane in range(lanes):
        target[lane] = source[lane]


def _read(into: Pointer, lower: int, slot: int, values: Pointer, once: Pointer, lanes: int) -> None:
    """Copy the number of a slot to all lanes."""
    if lower:
        target = row(into, lanes)
        for lane in range(lanes):
            target[lane] = once[slot]
    else:
        _copy(into, place_of(values, slot, lanes), lanes)


def _send(lower: int, slot: int, sent: Pointer, errors: Pointer, owed: Pointer, lanes: int) -> None:
    if lower:
        owed[slot] += total(row(sent, lanes), lanes)
    else:
        target, source = row(place_of(errors, slot, lanes), lanes), row(sent, lanes)
        for lane in range(lanes):
            target[lane] += source[lane]


def send_one(
    sends: Ints, k: int, of: Pointer, errors: Pointer, owed: Pointer, lanes: int, lane: int
) -> None:
    """Send the error of one row; see ``TO_FIRST``."""
    sent = of[sends[3 * k + 2] * lanes + lane]
    if sends[3 * k]:
        owed[sends[3 * k + 1]] += sent
    else:
        errors[sends[3 * k + 1] * lanes + lane] += sent


def _run(
    known: Ints, forward: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """Call the kernels of a round."""
    address = known[FORWARD] if forward else known[BACKWARD]
    code = words(address)
    for k in range(known[FORWARDS] if forward else known[BACKWARDS]):
        invoke(code[k * WIDTH], address + 8 * k * WIDTH, known[LISTS], values, errors, once, owed,
               theta, slopes, lanes, first)  # fmt: skip


def _begin(
    known: Ints, number: int, window: Pointer, values: Pointer, once: Pointer, lanes: int
) -> None:
    """Hand a round its numbers."""
    state, carried, given = (
        _state(known, values, number, lanes),
        words(known[AT_CARRIED]),
        words(known[AT_GIVEN]),
    )
    for k in range(known[CARRIED]):
        if carried[k] >= 0:
            _copy(place_of(window, carried[k], lanes), place_of(state, k, lanes), lanes)
    rows, lower, count = words(known[ROWS]), words(known[ROWS_ONCE]), known[GIVEN]
    for k in range(count):
        if given[k] >= 0:
            at = number * count + k
            _read(place_of(window, given[k], lanes), lower[at], rows[at], values, once, lanes)


def _hold(known: Ints, window: Pointer, values: Pointer, lanes: int) -> None:
    held, of = words(known[AT_HELD]), words(known[HELD_FROM])
    for k in range(known[HELD]):
        if held[k] >= 0:
            _copy(place_of(window, held[k], lanes), place_of(values, of[k], lanes), lanes)


def rounds(
    i_at: int, lists_at: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """Round after round, each with what the one before hands on."""
    i = words(i_at)
    known = words(i[RECORD])
    window, sent = numbers_at(known[VALUES], values), numbers_at(known[ERRORS], values)
    state, begin, lower = (
        _state(known, values, 0, lanes),
        words(known[FIRST]),
        words(known[FIRST_ONCE]),
    )
    for k in range(known[CARRIED]):
        _read(place_of(state, k, lanes), lower[k], begin[k], values, once, lanes)
    _hold(known, window, values, lanes)
    size, watched = row(place_of(values, i[OUT], lanes), lanes), words(known[WATCHED])
    for lane in range(lanes):
        size[lane] = 0.0
    results, lower, number = words(known[RESULTS]), words(known[RESULTS_ONCE]), 0
    while known[ROUNDS] == 0 or number < known[ROUNDS]:
        _begin(known, number, window, values, once, lanes)
        _run(known, 1, window, sent, once, owed, theta, slopes, lanes, first)
        goes = place_of(
            once if known[GOING_ONCE] else window, known[GOING], 1 if known[GOING_ONCE] else lanes
        )
        step = 0 if known[GOING_ONCE] else 1
        if known[ROUNDS] == 0:
            going = 0
            for lane in range(lanes):
                going += goes[lane * step] != 0
            if going == 0:
                break
        for k in range(known[WATCHES]):
            x = row(place_of(window, watched[k], lanes), lanes)
            if known[ROUNDS]:
                for lane in range(lanes):
                    size[lane] += x[lane] * x[lane]
            else:  # what comes after the end of a lane is nobody's
                for lane in range(lanes):
                    if goes[lane * step] != 0:
                        size[lane] += x[lane] * x[lane]
        state = _state(known, values, number + 1, lanes)
        for k in range(known[CARRIED]):
            _read(place_of(state, k, lanes), lower[k], results[k], window, once, lanes)
        number += 1
    known[DONE], known[WANTED] = number, max(known[WANTED], number)
    state, gives = _state(known, values, number, lanes), words(known[GIVES])
    for k in range(i[OUTS] - 1):
        _copy(place_of(values, i[OUT] + 1 + k, lanes), place_of(state, gives[k], lanes), lanes)


def _arrived(
    i: Ints, known: Ints, values: Pointer, errors: Pointer, once: Pointer, lanes: int
) -> bool:
    """Gather the errors of the last state; whether there are any where they arrive."""
    found: Pointer = numbers_at(known[STATE_ERRORS], values)
    gives = words(known[GIVES])
    kind, window = known[MASKED], numbers_at(known[VALUES], values)
    any_active: bool = kind == ALWAYS
    if kind == IN_ONCE and once[known[MASK]] == 0:
        return False
    for place in range(known[CARRIED] * lanes):
        found[place] = 0.0
    active = place_of(window, known[ACTIVE], lanes)
    mask = place_of(values, known[MASK], lanes)
    for lane in range(lanes if kind in (HERE, IN_ONCE) else 0):
        active[lane] = 1.0 if kind == IN_ONCE or mask[lane] != 0 else 0.0
        any_active = any_active or active[lane] != 0
    for k in range(i[OUTS] - 1):
        into, of = place_of(found, gives[k], lanes), place_of(errors, i[OUT] + 1 + k, lanes)
        for lane in range(lanes):
            if kind != HERE or mask[lane] != 0:
                into[lane] += of[lane]
                any_active = any_active or of[lane] != 0
    return any_active


def rounds_back(
    i_at: int, lists_at: int, values: Pointer, errors: Pointer, once: Pointer, owed: Pointer,
    theta: Pointer, slopes: Pointer, lanes: int, first: int,
) -> None:  # fmt: skip
    """From the last round to the first: each is computed again from what it was handed."""
    i = words(i_at)
    known = words(i[RECORD])
    # Without room for all rounds nothing is sent: who runs it makes room, and runs it again.
    if known[DONE] > known[KEPT] or not _arrived(i, known, values, errors, once, lanes):
        return
    window, own = numbers_at(known[VALUES], values), numbers_at(known[ERRORS], values)
    found = numbers_at(known[STATE_ERRORS], values)
    sending, lower, clear = words(known[SENDING]), words(known[SENDING_ONCE]), words(known[CLEAR])
    carried = words(known[AT_CARRIED])
    to_rows, begins, to_held = (
        words(known[TO_ROWS]),
        words(known[TO_ROWS_FROM]),
        words(known[TO_HELD]),
    )
    _hold(known, window, values, lanes)
    for number in range(known[DONE] - 1, -1, -1):
        _begin(known, number, window, values, once, lanes)
        _run(known, 1, window, own, once, owed, theta, slopes, lanes, first)
        for k in range(known[CLEARS]):
            cleared = row(place_of(own, clear[2 * k], lanes), clear[2 * k + 1] * lanes)
            for place in range(clear[2 * k + 1] * lanes):
                cleared[place] = 0.0
        for k in range(known[CARRIED]):
            _send(lower[k], sending[k], place_of(found, k, lanes), own, owed, lanes)
        _run(known, 0, window, own, once, owed, theta, slopes, lanes, first)
        for k in range(known[CARRIED]):
            into = row(place_of(found, k, lanes), lanes)
            for lane in range(lanes):
                into[lane] = 0.0
            if carried[k] >= 0:
                _copy(place_of(found, k, lanes), place_of(own, carried[k], lanes), lanes)
        if known[ROUNDS]:
            for k in range(begins[number], begins[number + 1]):
                _send(
                    to_rows[3 * k],
                    to_rows[3 * k + 1],
                    place_of(own, to_rows[3 * k + 2], lanes),
                    errors,
                    owed,
                    lanes,
                )
        for k in range(known[TO_HELDS]):
            _send(
                to_held[3 * k],
                to_held[3 * k + 1],
                place_of(own, to_held[3 * k + 2], lanes),
                errors,
                owed,
                lanes,
            )
    to_first = words(known[TO_FIRST])
    for k in range(known[TO_FIRSTS]):
        _send(
            to_first[3 * k],
            to_first[3 * k + 1],
            place_of(found, to_first[3 * k + 2], lanes),
            errors,
            owed,
            lanes,
        )


# ---- What they know ----------------------------------------------------------------------------


class Known:
    """What the kernels know of a loop, as whole numbers, most of them addresses.

    Args:
        i: the loop.
        back: what it sends; None if nothing.
        inner: the kernels of a round.
        room: for how many rounds of a loop that ends by itself.

    Attributes:
        words: the numbers by place.
        kernel_back: the address of what goes back.
        once_read: see ``ONCE_READ``.
        height: how many numbers it needs for each lane.
    """

    def __init__(self, i: Loop, back: Back | None, inner: Code, room: int) -> None:
        self.i, self.back, self.inner = i, back, inner
        self.kept = (i.rounds or room) if back else 0
        inner.put_scratch(i.round.slots)
        self.slots = i.round.slots + inner.scratch + 1
        count = len(i.round.carried)
        of_states = count * (self.kept + 3)
        self.height: int = 2 * self.slots + of_states + sum(known.height for known in inner.loops)
        self.words = numpy.zeros(PLACES, numpy.int64)
        self.once_read: Ints = numpy.empty(0, numpy.int64)
        self.arrays: list[Ints | Floats] = []
        self.kernel_back = 0

    def short_of(self) -> int:
        """How many rounds there is no room for: so many are wanted in all; 0 if there is."""
        wanted = int(self.words[WANTED])
        own = wanted if self.back and wanted > self.kept else 0
        return max([own, *(known.short_of() for known in self.inner.loops)])

    def put(self, lanes: int) -> None:
        """Make room for so many lanes, and write down where everything is."""
        for known in self.inner.loops:
            known.put(lanes)
        i, one, number = self.i, self.i.round, self.inner.number
        count = len(one.carried)
        inside = self.back.inside if self.back else None
        for place, size in (
            *((VALUES, self.slots), (ERRORS, self.slots)),
            *((STATES, count * (self.kept + 2)), (STATE_ERRORS, count)),
        ):
            self._put(place, numpy.zeros(size * lanes, number))
        words: dict[int, ArrayLike] = {
            **{FORWARD: joined(self.inner.forward), BACKWARD: joined(self.inner.backward)},
            **{LISTS: self.inner.lists, AT_CARRIED: one.carried, AT_GIVEN: one.given},
            **{AT_HELD: one.held, FIRST: i.first.slots, FIRST_ONCE: i.first.once},
            **{ROWS: i.rows.slots, ROWS_ONCE: i.rows.once, HELD_FROM: i.held},
            **{RESULTS: one.results[1], RESULTS_ONCE: one.results[0], SENDING: one.sending[1]},
            **{SENDING_ONCE: one.sending[0], GIVES: i.gives, WATCHED: one.watched},
            **{ONCE_READ: self.once_read, COUNTS: numpy.zeros(lanes)},
            CLEAR: stretches(inside.clear) if inside else [],
            **self._sends(),
        }
        for place, of in words.items():
            self._put(place, numpy.array(of, numpy.int64))
        kind = i.mask.kind
        going = one.going or (False, 0)
        mask = int(i.mask.slots[0]) if kind in (HERE, IN_ONCE) else 0
        numbers = {
            **{ROUNDS: i.rounds, KEPT: self.kept, CARRIED: count, GIVEN: len(one.given)},
            **{HELD: len(one.held), GOING: going[1], GOING_ONCE: going[0]},
            **{ACTIVE: max(one.active, 0), MASKED: kind, MASK: mask, WATCHES: len(one.watched)},
            **{
                FORWARDS: len(joined(self.inner.forward)),
                BACKWARDS: len(joined(self.inner.backward)),
            },
            CLEARS: len(stretches(inside.clear)) if inside else 0,
        }
        for place, value in numbers.items():
            self.words[place] = value

    def _put(self, place: int, array: Ints | Floats) -> None:
        self.arrays.append(array)
        self.words[place] = array.ctypes.data

    def _sends(self) -> dict[int, ArrayLike]:
        if self.back is None:
            return {}
        one, width = self.i.round, max(len(self.i.round.given), 1)
        first, rows, held = self.back.sends
        of_row = one.given[rows.place % width] if len(rows.place) else rows.place
        self.words[TO_FIRSTS], self.words[TO_HELDS] = len(first.place), len(held.place)
        read_rows = of_row >= 0
        begins = numpy.searchsorted(rows.place[read_rows] // width, numpy.arange(self.i.rounds + 1))
        return {
            TO_FIRST: numpy.stack([first.once, first.slots, first.place], axis=1),
            TO_ROWS: numpy.stack([rows.once, rows.slots, of_row], axis=1)[read_rows],
            TO_ROWS_FROM: begins,
            TO_HELD: numpy.stack([held.once, held.slots, one.held[held.place]], axis=1),
        }
