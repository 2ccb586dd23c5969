"""A Jacobian whose rows or columns are mostly zeros takes fewer passes than it has rows or columns.

Where no input moves two outputs, one backward pass finds the derivatives of both; where no output
depends on two inputs, one forward pass finds those by both. Which ones do, stands on the tape. The
columns are put together as they come, the fullest first (Curtis, Powell and Reid, "On the
Estimation of Sparse Jacobian Matrices", 1974).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy

from microgradlike.compiler.arrays import Floats, Ints, Truths
from microgradlike.compiler.instructions import INPUTS
from microgradlike.compiler.tape import Tape
from microgradlike.executors.executor import Ran
from microgradlike.replay.arguments import Arguments
from microgradlike.replay.traces import Traces


class Passes(NamedTuple):
    """Which derivatives are found in one pass.

    Attributes:
        depends: which output depends on which input, shape (outputs, inputs).
        of_output: for each output the backward pass that finds its derivatives.
        of_input: for each input the forward pass that finds those by it.
    """

    depends: Truths
    of_output: Ints
    of_input: Ints

    @property
    def back(self) -> int:
        """How many backward passes there are."""
        return int(self.of_output.max(initial=-1)) + 1

    @property
    def forward(self) -> int:
        """How many forward passes there are."""
        return int(self.of_input.max(initial=-1)) + 1


def passes(depends: Truths) -> Passes:
    """The passes for a Jacobian of which these entries may be other than zero.

    >>> passes(numpy.eye(3, dtype=bool)).back                # each output has an input of its own
    1
    """
    return Passes(depends, _put_together(depends.T), _put_together(depends))


def _put_together(columns: Truths) -> Ints:
    """For each column the group it is in: no two of a group are in the same row."""
    found, count = numpy.zeros(columns.shape[1], int), 0
    taken = numpy.zeros((len(columns), len(found) + 1), bool)  # by each group
    for column in numpy.argsort(-columns.sum(axis=0), kind="stable").tolist():
        own = numpy.flatnonzero(columns[:, column])
        place = int(taken[own, : count + 1].any(axis=0).argmin())
        taken[own, place] = True
        found[column], count = place, max(count, place + 1)
    return found if count < len(found) else numpy.arange(len(found))


# ---- Functions ---------------------------------------------------------------------------------


class SentBack(Traces):
    """A function whose derivatives by its inputs take as few passes as can be; see ``Paths``."""

    _sparse: tuple[list[Tape], Passes] | None = None

    def _passes(self, arguments: Arguments) -> Passes:
        """The passes that its Jacobian takes, as far as its paths are known."""
        tapes = [path.tape for path in self._paths]
        if self._sparse is None or tapes != self._sparse[0]:
            # It needs numba: only who compiles waits for that.
            from microgradlike.compiler.dependence import dependence

            every = [dependence(tape, arguments.inputs) for tape in tapes]
            self._sparse = tapes, passes(numpy.logical_or.reduce(every))
        return self._sparse[1]

    def _by_passes(self, arguments: Arguments) -> Floats:
        """The Jacobian of rows, by a pass back from each output."""
        return self._values_and_passes(arguments)[1]

    def _values_and_passes(self, arguments: Arguments) -> tuple[Floats, Floats]:
        """The outputs of rows, and their Jacobian, in whose memory each column is in a row."""
        outputs = self._paths[0].outputs
        back = self._passes(arguments) if outputs > 1 else None
        if back is None or back.back == outputs:
            values, found, _ = self._sent_from(each(outputs), arguments)
            return values, found.transpose(1, 0, 2)
        seeds = (back.of_output == numpy.arange(back.back)[:, None]).astype(float)
        values, together, ran = self._sent_from(seeds, arguments)
        if self._passes(arguments) is not back:  # a row was met that depends on more
            return self._values_and_passes(arguments)
        found = numpy.where(back.depends[:, None], together[back.of_output], 0.0)
        unsafe = numpy.array(ran.unsafe, int)  # where an error of 0 can become NaN
        if len(unsafe):
            some = Arguments([array[unsafe] for array in arguments.arrays], self._how)
            found[:, unsafe] = self._sent_from(each(outputs), some)[1]
        return values, found.transpose(1, 0, 2)

    def _sent_from(self, seeds: Floats, arguments: Arguments) -> tuple[Floats, Floats, Ran]:
        """The outputs, and what each row of seeds sends to the inputs, (passes, rows, inputs)."""
        found = numpy.zeros((len(seeds), arguments.inputs, arguments.rows)).transpose(0, 2, 1)
        values, ran = self._run(None, arguments, seeds, INPUTS, found)
        return values, found, ran

    def _with_huge(
        self, arguments: Arguments, found: Floats, unsafe: Iterable[int] | Ints
    ) -> Floats:
        """A Jacobian that was carried forward, but for rows where NaN could stand elsewhere."""
        with numpy.errstate(all="ignore"):
            huge = ~(numpy.einsum("roi,roi->r", found, found) < numpy.inf)
        huge[numpy.fromiter(unsafe, int)] = True
        if huge.any():
            some = Arguments([array[huge] for array in arguments.arrays], self._how)
            found[huge] = self._by_passes(some)
        return found


@functools.lru_cache(maxsize=64)
def each(outputs: int) -> Floats:
    """The errors of so many outputs, one after the other."""
    return numpy.eye(outputs)
