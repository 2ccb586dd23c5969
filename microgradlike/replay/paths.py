"""The paths of a function: its traces, which become one where they meet, and its parameters."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy
import numpy.typing

from microgradlike.compiler.arrays import Floats
from microgradlike.compiler.joined import DoNotMeet
from microgradlike.compiler.tape import Tape, TracingError, trace
from microgradlike.engine import Value
from microgradlike.inputs import NotInTable, function, name_row
from microgradlike.reach import Held
from microgradlike.replay.arguments import Arguments, How, Places
from microgradlike.replay.exploring import Exploration
from microgradlike.replay.watch import Watch, within_reach
from microgradlike.words import counted

if TYPE_CHECKING:
    from microgradlike.replay.branches import Origin, Path


from microgradlike.replay.parameters import Parameters, holding, listed_parameters

#: The rows of a call take at most so many paths: ways in which branches are taken together. So many
#: are kept, too. After so many new ones in a call it is plain whether there will be too many.
MOST_PATHS, SOME_PATHS = 256, 32

#: Of fewer rows, and fewer paths, each path is run by itself: that is sooner done.
FEW_ROWS, FEW_PATHS = 8, 4

#: So many rows are traced to find out how paths meet again.
MOST_EXAMPLES = 64

#: After so many that do not, nobody asks any more.
MOST_APART = 2


class Paths:
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
        self._listed = None if parameters is None else listed_parameters(parameters)
        self._is_alone = not _takes_rows(f)
        self._repeatable = self._has_company = False
        self._shapes: list[tuple[int, ...]] = []
        self._example: Arguments | None = None
        self._forget()

    def _forget(self) -> None:
        self._paths: list[Path] = []
        self._parameters = Parameters(self._listed)
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
        with holding(self._parameters.values, None if theta is None else theta.tolist()):
            path = self._traced_path(arguments, rows)
            if self._repeatable:
                self._check_repeats(path)
            return path

    def _traced_path(self, arguments: Arguments, rows: Sequence[int] | Places) -> Path:
        from microgradlike.replay.branches import Origin, Path  # and numba: only who compiles waits

        if self._paths and self._paths[-1].call != self._calls:
            self._check_numbers()
        one = arguments.one(int(rows[0]))
        dice = Held(())
        try:
            tape = trace(self.function, one.example(0), places=self._meets and bool(self._paths))
        except NotInTable as error:
            raise error.in_row(int(rows[0])) from None
        except (TypeError, ValueError) as error:
            if not isinstance(error, TracingError) and (self._paths or self._has_company):
                name_row(error, int(rows[0]))  # the function itself was traced before
            raise
        origin = Origin(tape, list(map(id, tape.parameters)), one)
        # In a worker other threads draw numbers, too: there it is asked whether this function did.
        if dice.changed() and not (self._has_company and self._again(origin).same_as(tape)):
            self._refuse_what_changes()
        if not self._paths:
            self._single = tape.single
        elif len(tape.outputs) != self._paths[0].outputs or tape.single != self._single:
            raise TracingError(
                f"the function returns {self._paths[0].outputs} Values on one path and "
                f"{len(tape.outputs)} on another; return as many on each"
            )
        path = None
        few = arguments.rows < FEW_ROWS and len(self._paths) < FEW_PATHS
        if self._meets and self._paths and not few and not tape.loops.rounds:
            dice = Held(())  # what is traced besides its rows draws no random numbers for them
            path = self._joined_path(origin, arguments, rows)
            dice.put_back()
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
                    exploration = Exploration(
                        self.function, self._again(old.origins[0], places=True)
                    )
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
            path = self._replaced(old, tape, origin.arguments, is_joined=True)
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
        for other in self._paths:
            if other.ways is not None:
                other.ways.begin_anew()

    def _replaced(
        self, old: Path, tape: Tape, arguments: Arguments, is_joined: bool = False
    ) -> Path:
        """A path of this tape, in the place of another one."""
        from microgradlike.replay.branches import Path

        path = Path(tape, self._paths, arguments, self._sending, is_joined)
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
        if all(path.replay.program.graph.tape is not old.rolled for path in self._paths):
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
        with holding(list(reached), moved):
            same = self._does_the_same(path)
        if not same or dice.changed():
            self._refuse_what_changes()

    def _refuse_what_changes(self) -> NoReturn:
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

    def _again(self, origin: Origin, places: bool = False) -> Tape:
        """The same trace once more, with places if it is to be lined up with others."""
        decided = {node: holds for node, (holds, _) in origin.tape.guards.items()}
        row = origin.arguments.example(0)
        return trace(self.function, row, decided, places, origin.tape.tried)

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
