"""Loops: rounds that hand on a state, which a compiled function keeps as a loop.

A ``for`` of Python that is traced becomes a program that is as long as all its rounds. ``loop`` and
``while_loop`` are the same loop in plain Python; where a function is compiled, a round is traced
once, and each row has as many rounds as it wants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy

from microgradlike.engine import Choice, Value, recorder
from microgradlike.inputs import describe, function

#: A Value, a number, or nested lists and tuples of them; what a round is handed, and a row.
State: TypeAlias = Any


def loop(step: Callable[..., State], state: State, rows: State) -> State:
    """Go through rows, or count rounds, and hand a state from each round to the next.

    It is ``for row in rows: state = step(state, row)``.

    Args:
        step: of one round: it takes the state and a row, and returns the state after it, in the
            same structure.
        state: that the first round is handed: a Value, a number, or nested lists and tuples of
            them.
        rows: a list of rows, each a Value, a number, or nested lists of them; or how many rounds
            there are: an int, or a Value that holds a whole number, such as a column of integers
            in a function that is compiled. Then a row is the number of its round, from 0.

    Returns:
        What the last round has returned; the state itself if there are no rounds.

    Raises:
        TypeError: ``rows`` is neither, or the count is no whole number.

    >>> a = Value(0.5)
    >>> y = loop(lambda s, x: a * s + x, 1.0, [1.0, 2.0])
    >>> y.backward()
    >>> y.data, a.grad  # a² + a + 2, and 2a + 1
    (2.75, 2.0)

    A row of a compiled function has as many rounds as its own count says:

    >>> from microgradlike import compile
    >>> power = compile(lambda x, n: loop(lambda p, k: p * x, 1.0, n))
    >>> power([2.0, 2.0, 3.0], [0, 10, 2])
    array([1.000e+00, 1.024e+03, 9.000e+00])
    """
    function("step of loop(step, state, rows)", step)
    if isinstance(rows, Choice):
        rows = rows.value()
    if isinstance(rows, Value):
        return _counted(step, state, rows)
    if isinstance(rows, int | numpy.integer) and not isinstance(rows, bool):
        rows = range(int(rows))
    if not isinstance(rows, Sequence | numpy.ndarray) or isinstance(rows, str):
        raise TypeError(
            "loop(step, state, rows) takes a list of rows, or how many rounds there are as an int, "
            f"but got {describe(rows)}"
        )
    return rounds_of(step, state, list(rows), None)


def while_loop(
    condition: Callable[[State], State], step: Callable[[State], State], state: State
) -> State:
    """Hand a state from round to round, as long as a condition holds.

    It is ``while condition(state): state = step(state)``.

    Args:
        condition: whether there is another round: a comparison of what is in the state.
        step: of one round: it takes the state, and returns the state after it, in the same
            structure.
        state: that the first round is handed: a Value, a number, or nested lists and tuples of
            them.

    Returns:
        The first state for which the condition does not hold.

    Newton's way to a square root:

    >>> def root(x):
    ...     def better(y):
    ...         return (y + x / y) / 2
    ...     return while_loop(lambda y: abs(y * y - x) > 1e-12 * x, better, x)
    >>> x = Value(9.0)
    >>> y = root(x)
    >>> y.backward()
    >>> round(y.data, 9), round(x.grad, 9)
    (3.0, 0.166666667)
    >>> from microgradlike import compile
    >>> compile(root)([4.0, 9.0, 1e6]).round(9).tolist()
    [2.0, 3.0, 1000.0]
    """
    function("condition of while_loop(condition, step, state)", condition)
    function("step of while_loop(condition, step, state)", step)
    return rounds_of(lambda before, *_: step(before), state, (), condition)


def rounds_of(
    step: Callable[..., State],
    state: State,
    rows: Sequence[State],
    going: Callable[[State], State] | None,
) -> State:
    """``loop``, or ``while_loop`` where ``going`` tells whether there is another round."""
    tape = recorder()
    if tape is not None:
        looped, found = tape.loop(step, state, rows, going)
        if looped:
            return found
    if going is None:
        for row in rows:
            state = step(state, row)
    else:
        while going(state):
            state = step(state)
    return state


def _counted(step: Callable[..., State], state: State, count: Value) -> State:
    """As many rounds as a Value says."""
    tape = recorder()
    if tape is None:
        rounds = count.data
        if rounds != int(rounds):
            raise TypeError(
                "loop(step, state, count) takes a whole number of rounds, but got a Value of "
                f"{rounds!r}"
            )
        return rounds_of(step, state, range(int(rounds)), None)
    tape.need_whole(count)

    def counted(before: tuple[State, State]) -> tuple[State, State]:
        k, inner = before
        tape.counts(k)
        return k + 1, step(inner, k)

    return rounds_of(counted, (0, state), (), lambda before: before[0] < count)[1]
