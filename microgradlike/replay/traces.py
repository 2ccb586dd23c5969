"""The traces of a function: its paths and parameters, and the rows that run on them."""

from __future__ import annotations

import inspect
import operator
import sys
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import numpy
import numpy.typing

from microgradlike.compiler.arrays import Floats
from microgradlike.compiler.instructions import INPUTS, PARAMETERS
from microgradlike.compiler.joined import DoNotMeet
from microgradlike.compiler.tape import Tape, TracingError, trace
from microgradlike.engine import Value, is_detecting
from microgradlike.functional import slopes_kept
from microgradlike.inputs import NotInTable, describe, function
from microgradlike.reach import Held
from microgradlike.replay.arguments import CHUNK, Arguments, How, Places
from microgradlike.replay.exploring import Exploration
from microgradlike.replay.spot_check import (
    MOST_WITH_SLOPES,
    WITH_SLOPES,
    Answer,
    Question,
    spot_check,
)
from microgradlike.replay.watch import Watch, name_within, within_reach
from microgradlike.shelf import Group
from microgradlike.words import counted

if TYPE_CHECKING:
    from microgradlike.executors.executor import Ran
    from microgradlike.replay.branches import Origin, Path


#: The rows of a call take at most so many paths: ways in which branches are taken together. So many
#: are kept, too. After so many new ones in a call it is plain whether there will be too many.
MOST_PATHS, SOME_PATHS = 256, 32

#: So many rows are traced to find out how paths meet again.
MOST_EXAMPLES = 64

#: After so many that do not, nobody asks any more.
MOST_APART = 2


class Traces:
    """The paths that the rows of a function take, each traced once, and its parameters.

    Args:
        f: the function.
        sending: how many of its first outputs will ever send an error back; by default all.
        how: it runs.
        check: whether a path is compared with the function itself before it is used.
        parameters: all that the function may use, in the order of ``theta``; by default they are
            those that it is seen to use, in the order of that.

    Attributes:
        parameters: the Values that the function closes over, in the order in which ``theta`` has
            their numbers. They are known once a row has been seen, if they were not given.
    """

    def __init__(
        self,
        f: Callable[..., object],
        sending: int | None = None,
        how: How | None = None,
        check: bool = True,
        parameters: Iterable[Value] | None = None,
    ) -> None:
        function("compile(f)", f)
        self.function: Callable[..., Any] = f
        self._how = (how or How()).check()
        self._sending, self._check = sending, check
        self._listed = None if parameters is None else _listed_parameters(parameters)
        self._is_alone = not _takes_rows(f)
        self._repeatable = False
        self._shapes: list[tuple[int, ...]] = []
        self._example: Arguments | None = None
        self._forget()

    def _forget(self) -> None:
        self._paths: list[Path] = []
        self._parameters = _Parameters(self._listed)
        self._single = True
        self._meets, self._apart = self._check, 0
        self._calls = 0

    @property
    def parameters(self) -> list[Value]:
        self._known()
        return list(self._parameters.values)

    def theta(self) -> Floats:
        """The numbers of all parameters as one array, in the order of ``parameters``.

        Raises:
            ValueError: the function finds another Value by now where it found one of them, or a
                list, dict or set of its Values has grown or shrunk.
        """
        self._known()
        if not self.traced:
            return self._parameters.numbers()
        self._check_reach()
        return self._parameters.numbers(self._watch.sees)

    @property
    def traced(self) -> bool:
        """Whether a row has been seen."""
        return bool(self._paths)

    def _known(self) -> None:
        if self.traced or self._listed is not None:
            return
        if not self._is_alone:
            raise ValueError(
                "the function was not traced yet, so its parameters are unknown; "
                "call it on some rows first, or c.trace(X, ...)"
            )
        self._arguments(())

    # ---- Tracing ----

    def _arguments(self, columns: Sequence[object]) -> Arguments:
        if not columns and not self._is_alone:
            raise TypeError(
                "a compiled function takes an array for each argument, with one entry for each "
                "row, but got none"
            )
        arguments = Arguments(columns, self._how)
        self._calls += 1
        if not (self._shapes or self._paths):
            shapes = arguments.shapes
        else:
            shapes = self._shapes
            if len(columns) != len(shapes):
                raise TypeError(
                    f"the function was traced with {counted(len(shapes), 'argument')}, but got "
                    f"{counted(len(columns), 'array')}; give an array for each"
                )
            if arguments.shapes != shapes:
                raise ValueError(
                    f"the function was traced with rows of the shapes {_listed(shapes)}, "
                    f"but got {_listed(arguments.shapes)}; for rows of another shape, compile it "
                    "once more"
                )
        if not self._paths:
            _check_call(self.function, len(columns))
            self._example = arguments.one()
            self._trace(self._example, [0])
        self._shapes = shapes
        return arguments

    def _trace(
        self, arguments: Arguments, rows: Sequence[int] | Places, theta: Floats | None = None
    ) -> Path:
        """A new path, traced on the first of these rows, with these numbers of the parameters.

        It takes the place of another one, if the two meet again.
        """
        with _holding(self._parameters.values, None if theta is None else theta.tolist()):
            path = self._traced_path(arguments, rows)
            if self._repeatable:
                self._check_repeats(path)
            return path

    def _traced_path(self, arguments: Arguments, rows: Sequence[int] | Places) -> Path:
        from microgradlike.replay.branches import Origin, Path  # and numba: only who compiles waits

        if self._paths and self._paths[-1].call != self._calls:
            self._check_numbers()
        one = arguments.one(int(rows[0]))
        try:
            tape = trace(self.function, one.example(0), places=self._meets and bool(self._paths))
        except NotInTable as error:
            raise error.in_row(int(rows[0])) from None
        if not self._paths:
            self._single = tape.single
        elif len(tape.outputs) != self._paths[0].outputs or tape.single != self._single:
            raise TracingError(
                f"the function returns {self._paths[0].outputs} Values on one path and "
                f"{len(tape.outputs)} on another; return as many on each"
            )
        origin = Origin(tape, list(map(id, tape.parameters)), one)
        path = self._joined_path(origin, arguments, rows) if self._meets else None
        if path is None:
            if len(self._paths) >= MOST_PATHS:
                self._drop_a_path()
            path = Path(tape, self._paths, one, self._sending)
            self._parameters.meet(path, self.function)
            self._paths.append(path)
        path.call = self._calls
        self._watch = Watch(self.function, self._parameters.places)
        return path

    def _joined_path(
        self, origin: Origin, arguments: Arguments, rows: Sequence[int] | Places
    ) -> Path | None:
        """A path that was met before and a new trace as one, if they meet again."""
        own = origin.tape.parameters
        some = numpy.random.default_rng(0).permutation(rows)[:MOST_EXAMPLES].tolist()
        for old in tuple(self._paths):
            if not self._meets:
                break
            values = {id(v): v for v in (*self._parameters.values, *old.tape.parameters, *own)}
            try:
                exploration = old.exploration
                if exploration is None:
                    exploration = Exploration(self.function, self._again(old.origins[0]))
                if not exploration.add(origin.tape):
                    continue
            except DoNotMeet:
                self._met_not()
                continue
            finally:
                origin.tape.parameters = own
            try:
                examples = map(arguments.example, (int(rows[0]), *some))
                tape = exploration.settle(examples, values)
            except DoNotMeet:
                self._met_not()
                if old.exploration is not None:  # what it was taken for was wrong
                    self._take_apart(old)
                continue
            path = self._replaced(old, tape, origin.arguments)
            path.made_of(old, exploration, origin)
            return path
        return None

    def _met_not(self) -> None:
        self._apart += 1
        if self._apart == MOST_APART:
            self._meets = False

    def _take_apart(self, path: Path) -> None:
        """A path of several traces becomes that of its first one, and no others meet any more."""
        self._meets = False
        first = path.origins[0]
        self._replaced(path, self._again(first), first.arguments)

    def _replaced(self, old: Path, tape: Tape, arguments: Arguments) -> Path:
        """A path of this tape, in the place of another one."""
        from microgradlike.replay.branches import Path

        path = Path(tape, self._paths, arguments, self._sending)
        self._parameters.meet(path, self.function)
        self._paths[self._paths.index(old)] = path
        self._parameters.leave(old)
        return path

    def _drop_a_path(self) -> None:
        """Forget the path that no row has taken for longest; its parameters stay known.

        The first one is what the function is compared with when it is to be traced again.
        """
        old = min(self._paths[1:], key=operator.attrgetter("taken"))
        if old.taken == self._calls:
            self._refuse_paths()
        self._paths.remove(old)
        if all(path.replay.program.graph.tape is not old.tape for path in self._paths):
            self._parameters.leave(old)

    def _refuse_paths(self) -> NoReturn:
        frames = [frame for _, frame in self._paths[-1].tape.guards.values()]
        line = f"{frames[-1][0]}, line {frames[-1][1]}" if frames else "a comparison"
        raise TracingError(
            f"the branches of the function are taken in more than {MOST_PATHS} ways, the last "
            f"at {line}, by the rows of one call; choose with where(condition, x, y), with "
            "maximum, minimum or softmax, which need no path of their own"
        )

    # ---- Whether it is still the same function ----

    def check_repeatable(self) -> None:
        """Trace each path once more: what the function does must not change from run to run.

        Nor may it change with the numbers of the parameters, which are a little others this time:
        it would if it read ``p.data``. Paths that are met later are checked as they are traced.

        Raises:
            TracingError: it does, as where it draws random numbers or counts its calls.
        """
        self._known()
        self._repeatable = True
        for path in self._paths:
            self._check_repeats(path)

    def _check_repeats(self, path: Path) -> None:
        reached = dict.fromkeys([*self._parameters.values, *within_reach(self.function)])
        dice = Held(())
        moved = [v.data + (abs(v.data) or 1.0) * 2.0**-30 for v in reached]
        with _holding(list(reached), moved):
            same = self._does_the_same(path)
        if not same or dice.changed():
            raise TracingError(
                "the function does something else when it runs once more: it draws random numbers, "
                "or uses numbers that change, such as p.data of a parameter (p.detach() is its "
                "Value without error); a compiled function repeats its first run, so draw outside "
                "of it, and give the numbers as an argument"
            )

    def _does_the_same(self, path: Path) -> bool:
        """Whether the function, traced again on rows of a path, does what it did then."""
        for origin in path.origins:
            again = self._again(origin)
            parameters = list(map(id, again.parameters))
            if not again.same_as(origin.tape) or parameters != origin.parameters:
                return False
        return True

    def _again(self, origin: Origin) -> Tape:
        """The same trace once more."""
        decided = {node: holds for node, (holds, _) in origin.tape.guards.items()}
        return trace(self.function, origin.arguments.example(0), decided, places=True)

    def _check_reach(self) -> None:
        """What the function finds outside of itself must be what it found when it was traced."""
        if name := self._watch.moved():
            failed: Exception | None = None
            try:
                if all(map(self._does_the_same, self._paths)):
                    self._watch = Watch(self.function, self._parameters.places)
                    return
            except Exception as error:  # with what it finds now it does not even run
                failed = error
            raise ValueError(
                f"{name.partition('[')[0]!r} is another Value than when the function was traced, "
                "or holds others, more or fewer; change parameters by p.data = ..., or call "
                "retrace()"
            ) from failed

    def _check_numbers(self) -> None:
        """A later path must be of the same function as the first: of the same plain numbers."""
        for path in {self._paths[0], self._paths[-1]}:
            if not self._does_the_same(path):
                raise TracingError(
                    f"the function {self.function!r} does something else now than when it was "
                    "traced first, so a path that is traced now would contradict the others: a "
                    "plain number that it uses has changed; call retrace()"
                )

    # ---- Running ----

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

        def now() -> Floats:
            return self.theta() if theta is None else theta

        first = self._paths[0]
        if first.guards is None:
            yield first, None
            return
        new = of_new = 0  # paths, and how many rows take them
        for start in range(0, arguments.rows, CHUNK):
            left = numpy.arange(start, min(start + CHUNK, arguments.rows))
            everything = len(left) == arguments.rows
            kept = iter(tuple(self._paths))
            while len(left):
                path = next(kept, None)
                if path is None:
                    if new >= SOME_PATHS and len(left) * new > 4 * MOST_PATHS * of_new:
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
                    taken = path.takes(now(), arguments, left)
                    taken[0] = True  # it is this row's own path, however its numbers are rounded
                    new, of_new = new + 1, of_new + int(taken.sum())
                else:
                    taken = path.takes(now(), arguments, left)
                if taken.any():
                    path.taken = self._calls
                if everything and taken.all() and len(left) == arguments.rows:
                    yield path, None
                elif taken.any():
                    yield path, left[taken]
                left = left[~taken]

    def _check_path(
        self, path: Path, theta: Floats, arguments: Arguments, rows: Places | None, mode: int
    ) -> None:
        """Compare a path with the function itself, if that was not done yet for such a run."""
        left = path.to_check[mode]
        if not left:
            return
        with_slopes = path.replay.program.size <= WITH_SLOPES
        with_slopes &= len(path.tape.nodes) <= MOST_WITH_SLOPES
        if mode == INPUTS:  # by Values, of which a == b asks whether they are the same one
            with_slopes &= not path.tape.compares_integers
        count = arguments.rows if rows is None else len(rows)
        # The first row is mostly the one that was traced, so the last one tells more.
        spread = sorted({round(k) for k in numpy.linspace(count - 1, 0, left).tolist()})
        some = spread if rows is None else rows[spread].tolist()
        dice = Held(())
        try:
            with _holding(self._parameters.values, theta.tolist()), slopes_kept():
                for row in some:
                    self._check_row(path, theta, arguments, row, mode if with_slopes else 0)
        except TracingError:
            # A plain number may have changed since then: until retrace() it is what it was.
            if path.call == self._calls or self._does_the_same(path):
                raise
        finally:
            dice.put_back()
        # Whatever is asked of a path, it computes the outputs.
        for kind in (0, mode) if with_slopes else path.to_check:
            path.to_check[kind] = min(path.to_check[kind], left - len(some))

    def _check_row(
        self, path: Path, theta: Floats, arguments: Arguments, row: int, mode: int
    ) -> None:
        one = arguments.one(row)
        outputs, slopes = numpy.empty((1, path.outputs)), None
        sending = path.outputs if self._sending is None else self._sending
        weights = numpy.zeros(path.outputs)
        weights[:sending] = numpy.linspace(1.0, 2.0, sending)
        if mode == INPUTS:
            slopes = numpy.zeros((1, 1, one.inputs))
            path.run(theta, one, None, outputs, weights[None], mode, slopes)
            slopes = slopes[0, 0]
        elif mode == PARAMETERS:
            slopes = path.run(theta, one, None, outputs, weights[None], mode).errors
        else:
            path.run(theta, one, None, outputs)
        asked = Question(
            *(self.function, arguments.given(row), self._parameters.values),
            *(None if slopes is None else weights, mode == INPUTS),
        )
        digits = 1e-3 if self._how.dtype == "float32" else 1e-9
        spot_check(asked, Answer(outputs[0], slopes), digits)


def _name_anomaly(
    f: Callable[..., object], parameters: Sequence[Value], theta: Floats, arguments: Arguments
) -> None:
    """Run row after row with the engine, which names the operation that is not finite."""
    gradients = [parameter.grad for parameter in parameters]
    try:
        with _holding(parameters, theta.tolist()):
            for row in range(arguments.rows):
                for out in flat(f(*map(_as_values, arguments.example(row)))):
                    out.backward()
    finally:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient


class _Parameters:
    """The Values that a function closes over, in the order in which its paths were met.

    Args:
        listed: all that there may be, in the order that is wanted, if that was given.

    Attributes:
        values: all of them.
        places: the place of each among them.
    """

    def __init__(self, listed: Sequence[Value] | None = None) -> None:
        self.values: list[Value] = list(listed or ())
        self.places = {parameter: place for place, parameter in enumerate(self.values)}
        self._is_listed = listed is not None
        # How many references of ours each has that was met; a list that was given has one more.
        self._held, self._own = [0] * len(self.values), _HELD + self._is_listed
        self.group = Group(self.values)
        self._seen: frozenset[Value] | None = None
        self._unseen: list[int] = []

    def meet(self, path: Path, f: Callable[..., object]) -> None:
        """Take in those of a path that are new, and tell the path where its own are.

        Raises:
            TracingError: the function ``f`` uses one that is not in the list that was given.
        """
        new = [p for p in dict.fromkeys(path.parameters()) if p not in self.places]
        if new and self._is_listed:
            name = new[0].label or name_within(f, new[0]) or "a Value without a name"
            raise TracingError(
                f"the function uses {name}, a parameter that is not in the list that "
                "compile(f, parameters=...) was given; add it to that list, or leave the list out"
            )
        for parameter in new:
            self.places[parameter] = len(self.values)
            self.values.append(parameter)
        path.find(self.places)
        if new:
            self.group, self._seen = Group(self.values), None
        self._held += [0] * len(new)
        for place in path.places[path.used].tolist():
            self._held[place] = (self._held[place] or self._own) + 1  # the tape holds it

    def leave(self, path: Path) -> None:
        """The tape of a path is used no more; what it holds stays known."""
        for place in path.places[path.used].tolist():
            self._held[place] -= 1
        path.tape.parameters = []  # its own cycles would hold them for a while

    def numbers(self, seen: frozenset[Value] = frozenset()) -> Floats:
        """Those that they have now.

        Args:
            seen: those of which it would be noticed if they were replaced.

        Raises:
            ValueError: nobody else has one of them any more.
        """
        if not self.values:
            return numpy.empty(0)
        if seen is not self._seen:  # to count how many references each has takes a while
            self._seen = seen
            self._unseen = [place for place, v in enumerate(self.values) if v not in seen]
        counts = map(sys.getrefcount, map(self.values.__getitem__, self._unseen))
        if any(map(operator.le, counts, map(self._held.__getitem__, self._unseen))):
            raise ValueError(
                "nobody but this compiled function has one of its parameters any more, so it was "
                "replaced by another Value; change parameters by p.data = ..., or call retrace()"
            )
        return self.group.numbers()


def _held() -> int:
    """How many references a Value has that only a compiled function holds."""
    parameters = [Value(0.0)]
    places = {parameters[0]: 0}
    return min(map(sys.getrefcount, parameters)) * len(places)


_HELD = _held()


def _listed_parameters(parameters: object) -> list[Value]:
    """The parameters that a caller has listed, each once."""
    wanted = "parameters is a list of Values, such as model.parameters(), but got"
    if isinstance(parameters, Value) or not isinstance(parameters, Iterable):
        raise TypeError(f"{wanted} {describe(parameters)}")
    found = list(dict.fromkeys(parameters))
    for parameter in found:
        if not isinstance(parameter, Value):
            raise TypeError(f"{wanted} one with {describe(parameter)}")
        if parameter.is_result:
            raise ValueError(
                f"a result of {parameter.op or 'an operation'} is no parameter: list the Values "
                "that you made, such as model.parameters()"
            )
    return found


# ---- Numbers of parameters, for a while --------------------------------------------------------

#: A function is traced with numbers of its parameters that they do not have for anybody else.
_TRACING = threading.RLock()


@contextmanager
def _holding(parameters: Sequence[Value], numbers: Sequence[float] | None) -> Iterator[None]:
    """Within this block parameters have these numbers; None for those that they have.

    One thread at a time: others that trace wait, and others that read ``p.data`` see the numbers.
    """
    with _TRACING:
        if numbers is None:
            yield
            return
        before = list(map(_number, parameters))
        try:
            _write(parameters, before, numbers)
            yield
        finally:
            _write(parameters, list(map(_number, parameters)), before)


_number = operator.attrgetter("_number")  # of many parameters: .data takes three times as long


def _write(parameters: Sequence[Value], now: Sequence[float], wanted: Sequence[float]) -> None:
    """Give the first parameters the numbers that are wanted, unless they have them now."""
    if array("d", now[: len(wanted)]).tobytes() != array("d", wanted).tobytes():  # -0.0 is not 0.0
        for parameter, number in zip(parameters, wanted, strict=False):
            parameter.data = number


def _as_values(example: Any) -> Any:
    """A number, or nested lists of numbers, as Values."""
    return list(map(_as_values, example)) if isinstance(example, list) else Value(example)


def _takes_rows(f: Callable[..., object]) -> bool:
    """Whether a function takes arguments, which differ from row to row."""
    try:
        takes = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):  # some functions written in C do not tell
        return True
    return any(parameter.kind in _BY_POSITION for parameter in takes)


#: The kinds of parameters to which a row can be given.
_BY_POSITION = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)


def _check_call(f: Callable[..., object], count: int) -> None:
    """Whether a function takes so many arguments."""
    try:
        takes = inspect.signature(f)
    except ValueError:  # some functions written in C do not tell
        return
    try:
        takes.bind(*[None] * count)
    except TypeError:
        raise TypeError(
            f"the function takes ({', '.join(takes.parameters)}), an array for each, but got "
            f"{counted(count, 'array')}"
        ) from None


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes))


def flat(values: object) -> list[Any]:
    """The Values of nested lists, in their order."""
    if isinstance(values, list | tuple):
        return [value for part in values for value in flat(part)]
    return [values]
