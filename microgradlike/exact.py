"""What is not safe to compute in another order is computed as it was written.

A compiled function adds up sums in another order than they were written in, and merges operations
that are equal. Where numbers are huge, infinite or NaN, a sum could then be infinite, or NaN, where
the engine's is not. Such rows, which are few, run once more: with nothing rewritten, each row for
itself, and the parameters as further inputs, as the engine would compute them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy
import numpy.typing

from microgradlike.numpy_executor import NumpyExecutor
from microgradlike.program import Program, build
from microgradlike.rewriting import Graph
from microgradlike.rows import INPUTS, Arguments, Columns, Rows
from microgradlike.tape import Tape

Array: TypeAlias = "numpy.typing.NDArray[numpy.float64]"

#: So many numbers, inputs and parameters of all rows together, are computed at a time.
NUMBERS = 2**22


class Some(NamedTuple):
    """What was found for some rows."""

    rows: Any
    """From which to which of those that were asked for."""
    outputs: Array
    """Shape (rows, outputs)."""
    by_inputs: Array
    """The errors of the inputs, shape (rows, inputs)."""
    by_parameters: Array
    """Those of the parameters, shape (rows, parameters)."""


class Exact:
    """Outputs of a tape, computed as they were written.

    Args:
        tape: of the function.
        outputs: the operands that are wanted.
        executor: makes what runs a program, of it and of the columns of its inputs.
    """

    def __init__(
        self, tape: Tape, outputs: list[int], executor: Callable[[Program, Columns], Any]
    ) -> None:
        self._program = build(Graph(tape, outputs, as_written=True))
        self._outputs = len(outputs)
        self._make = executor
        self._columns: Any = None
        self._executor: Any = None
        self._slow: NumpyExecutor | None = None

    def run(
        self, theta: Array, arguments: Arguments, rows: Any, seeds: Any = None
    ) -> Iterator[Some]:
        """Compute rows, and go back if there are seeds.

        Args:
            theta: the parameters of the tape, in its order.
            arguments: of the function.
            rows: the numbers of those that are wanted.
            seeds: the error of each output, the same in all rows; None for none.
        """
        inputs = arguments.inputs
        most = max(1, NUMBERS // (inputs + len(theta) + 1))
        for start in range(0, len(rows), most):
            some = slice(start, min(start + most, len(rows)))
            here = rows[some]
            count = len(here)
            own = numpy.broadcast_to(theta, (count, len(theta)))
            given = Arguments([*(array[here] for array in arguments.arrays), own], arguments.how)
            outputs = numpy.empty((count, self._outputs))
            errors = numpy.zeros((1, count, given.inputs))
            if self._executor is None:
                self._columns = given.columns(self._program.inputs)
                self._executor = self._make(self._program, self._columns)
            rows_here = Rows(given, self._columns, None)
            back = () if seeds is None else (numpy.array([seeds]), INPUTS, errors)
            self._executor.run(_NONE, rows_here, outputs, *back)
            if numpy.isnan(errors).any():
                # Perhaps from 0 times infinity, where nothing had arrived: the engine sends nothing
                # on from there, and this executor knows where that is.
                if self._slow is None:
                    self._slow = NumpyExecutor(self._program, as_written=True)
                errors[:] = 0.0
                self._slow.run(_NONE, rows_here, outputs, *back)
            yield Some(some, outputs, errors[0, :, :inputs], errors[0, :, inputs:])


_NONE = numpy.empty(0)
