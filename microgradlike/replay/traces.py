"""The rows that a function is given, each run on its path."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy
import numpy.typing

from microgradlike.compiler.arrays import Floats
from microgradlike.compiler.instructions import INPUTS, PARAMETERS
from microgradlike.compiler.tape import TracingError
from microgradlike.engine import Value, is_detecting
from microgradlike.functional import slopes_kept
from microgradlike.reach import Held
from microgradlike.replay.arguments import CHUNK, Arguments, Places
from microgradlike.replay.spot_check import (
    MOST_WITH_SLOPES,
    WITH_SLOPES,
    Answer,
    Question,
    spot_check,
)
from microgradlike.words import counted

if TYPE_CHECKING:
    from microgradlike.executors.executor import Ran
    from microgradlike.replay.branches import Path


from microgradlike.replay import paths
from microgradlike.replay.parameters import holding
from microgradlike.replay.paths import Paths


class Traces(Paths):
    """A function that runs on rows; see ``Paths``."""

    def _run(
        self,
        theta: Floats | None,
        arguments: Arguments,
        seeds: Floats | None = None,
        mode: int = 0,
        jacobian: Floats | None = None,
    ) -> tuple[Floats, Ran]:
        """All rows, each on its path: the outputs; the parameters' errors, and the outputs' sum.

        Without ``theta`` the parameters have the numbers that they have now. The errors of the
        inputs go into ``jacobian``, shape (passes, rows, inputs), a pass for each row of ``seeds``.
        """
        results = numpy.empty((arguments.rows, self._paths[0].outputs))
        numbers = self.theta() if theta is None else theta
        whole: Ran | None = None
        for path, rows in self._split(theta, arguments):
            if len(numbers) < len(self._parameters.values):  # the path was met just now
                numbers = self.theta()
            count = arguments.rows if rows is None else len(rows)
            found = results if rows is None else numpy.empty((count, path.outputs))
            path.check_rows(numbers, arguments, rows)
            if self._check and not is_detecting():
                try:
                    self._check_path(path, numbers, arguments, rows, mode)
                except TracingError:
                    if path.exploration is None:
                        raise
                    self._take_apart(path)
                    if jacobian is not None:
                        jacobian[:] = 0.0
                    return self._run(theta, arguments, seeds, mode, jacobian)
            ran = path.run(numbers, arguments, rows, found, seeds, mode, jacobian)
            if rows is not None:
                results[rows] = found
            whole = ran if whole is None else whole.and_then(ran)
        assert whole is not None
        if is_detecting():
            both = (results, whole.errors if jacobian is None else jacobian)
            if not all(numpy.isfinite(found).all() for found in both):
                _name_anomaly(self.function, self._parameters.values, numbers, arguments)
        return results, whole

    def _split(
        self, theta: Floats | None, arguments: Arguments
    ) -> Iterator[tuple[Path, Places | None]]:
        """The rows of each path; None for all."""
        first = self._paths[0]
        if first.guards is None:
            yield first, None
            return
        numbers = self.theta() if theta is None else theta
        new = of_new = 0  # paths, and how many rows take them
        for start in range(0, arguments.rows, CHUNK):
            left = numpy.arange(start, min(start + CHUNK, arguments.rows))
            kept = iter(tuple(self._paths))
            if arguments.rows == 1:  # it is likely to take the path that was taken last
                kept = iter(sorted(self._paths, key=operator.attrgetter("taken"), reverse=True))
            while len(left):
                path = next(kept, None)
                if path is None:
                    if new >= paths.SOME_PATHS and len(left) * new > 4 * paths.MOST_PATHS * of_new:
                        self._refuse_paths()
                    known = len(self._parameters.values)
                    path = self._trace(arguments, left, theta)
                    more = len(self._parameters.values) - known
                    if theta is not None and more:
                        raise TracingError(
                            f"row {left[0]} takes a branch that uses "
                            f"{counted(more, 'parameter')} not met "
                            "before; they are known now: take theta() anew and call again, or "
                            "c.trace(X, ...) with all rows before training"
                        )
                    numbers = self.theta() if theta is None else theta
                    taken = path.takes(numbers, arguments, left)
                    taken[0] = True  # it is this row's own path, however its numbers are rounded
                    new, of_new = new + 1, of_new + int(taken.sum())
                else:
                    taken = path.takes(numbers, arguments, left)
                count = numpy.count_nonzero(taken)
                if count:
                    path.taken = self._calls
                    yield path, None if count == arguments.rows else left[taken]
                left = left[~taken] if count < len(left) else left[:0]

    def _compare_ways(self, theta: Floats | None, arguments: Arguments) -> None:
        """Compare the ways of rows that only derivatives of their paths will run; see ``_run``."""
        compares = self._check and not is_detecting()
        for path, rows in self._split(theta, arguments):
            if path.ways is None or not compares:
                continue
            try:
                numbers = self.theta() if theta is None else theta
                self._check_path(path, numbers, arguments, rows, 0)
            except TracingError:
                self._take_apart(path)
                self._compare_ways(theta, arguments)
                return

    def _check_path(
        self, path: Path, theta: Floats, arguments: Arguments, rows: Places | None, mode: int
    ) -> None:
        """Compare a path with the function itself, if that was not done yet for such a run."""
        left = path.to_check[mode]
        is_due = path.ways is not None and path.ways.is_due(theta, arguments, rows)
        ways = path.ways.unknown(theta, arguments, rows) if path.ways and is_due else []
        if not (left or ways):
            return
        with_slopes = path.replay.program.size <= WITH_SLOPES
        with_slopes &= len(path.tape.nodes) <= MOST_WITH_SLOPES
        # By Values, of which a == b asks whether they are the same one.
        by_inputs = with_slopes and not path.tape.compares_integers
        if mode == INPUTS:
            with_slopes = by_inputs
        count = arguments.rows if rows is None else len(rows)
        # The first row is mostly the one that was traced, so the last one tells more.
        spread = sorted({round(k) for k in numpy.linspace(count - 1, 0, left).tolist()})
        some = spread if rows is None else rows[spread].tolist()
        dice = Held(())
        try:
            with holding(self._parameters.values, theta.tolist()), slopes_kept():
                for row in some if left else ():
                    self._check_row(path, theta, arguments, row, mode, with_slopes)
                for row in ways:  # two ways can have the same value, as where it is NaN
                    self._check_row(path, theta, arguments, row, INPUTS, by_inputs)
                    self._check_way(path, arguments, row)
        except TracingError:
            # A plain number may have changed since then: until retrace() it is what it was.
            if path.call == self._calls or self._does_the_same(path):
                raise
        finally:
            dice.put_back()
        # Whatever is asked of a path, it computes the outputs.
        for kind in (0, mode) if with_slopes else path.to_check:
            path.to_check[kind] = min(path.to_check[kind], max(0, left - len(some)))

    def _check_way(self, path: Path, arguments: Arguments, row: int) -> None:
        """Trace a row that decides as no other one before, and see whether the path knew it."""
        known = (*self._parameters.values, *path.tape.parameters)
        assert path.exploration
        if not path.exploration.follows(arguments.example(row), {id(v): v for v in known}):
            raise TracingError(f"row {row} decides in a way that was not foretold")

    def _check_row(
        self, path: Path, theta: Floats, arguments: Arguments, row: int, mode: int,
        with_slopes: bool,
    ) -> None:  # fmt: skip
        one = arguments.one(row)
        outputs, slopes = numpy.empty((1, path.outputs)), None
        sending = path.outputs if self._sending is None else self._sending
        weights = numpy.zeros(path.outputs)
        weights[:sending] = numpy.linspace(1.0, 2.0, sending)
        if with_slopes and mode == INPUTS:
            slopes = numpy.zeros((1, 1, one.inputs))
            path.run(theta, one, None, outputs, weights[None], mode, slopes)
            slopes = slopes[0, 0]
        elif with_slopes and mode == PARAMETERS:
            slopes = path.run(theta, one, None, outputs, weights[None], mode).errors
        else:
            path.run(theta, one, None, outputs, None, mode)
        asked = Question(
            *(self.function, arguments.given(row), self._parameters.values),
            *(None if slopes is None else weights, with_slopes and mode == INPUTS),
        )
        digits = 1e-3 if self._how.dtype == "float32" else 1e-9
        spot_check(asked, Answer(outputs[0], slopes if with_slopes else None), digits)


def _name_anomaly(
    f: Callable[..., object], parameters: Sequence[Value], theta: Floats, arguments: Arguments
) -> None:
    """Run row after row with the engine, which names the operation that is not finite."""
    gradients = [parameter.grad for parameter in parameters]
    try:
        with holding(parameters, theta.tolist()):
            for row in range(arguments.rows):
                for out in flat(f(*map(_as_values, arguments.example(row)))):
                    out.backward()
    finally:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient


def _as_values(example: Any) -> Any:
    """A number, or nested lists of numbers, as Values."""
    return list(map(_as_values, example)) if isinstance(example, list) else Value(example)


def flat(values: object) -> list[Any]:
    """The Values of nested lists, in their order."""
    if isinstance(values, list | tuple):
        return [value for part in values for value in flat(part)]
    return [values]
