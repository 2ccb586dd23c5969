"""compile(): write a scalar function of one example, run it over rows of data.

The function is traced once, on the first row; the dot products and layers in it are found
(``compiler``); and the program is replayed for all rows at once (``executors``). What the function
closes over are its parameters: they stay shared with everybody else, and their numbers are looked
up at each call.
"""

from __future__ import annotations

import functools
import inspect
import operator
import sys
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy
import numpy.typing

from microgradlike.calculus import grad, slopes_kept, traced_tangents
from microgradlike.compiler.instructions import INPUTS, PARAMETERS
from microgradlike.compiler.tape import TracingError, play, trace
from microgradlike.engine import Value, is_detecting, is_recording, is_traced
from microgradlike.functions import dot
from microgradlike.inputs import describe, function
from microgradlike.reach import Held
from microgradlike.replay.arguments import CHUNK, FLOAT, Arguments, How, floats
from microgradlike.replay.spot_check import (
    MOST_WITH_SLOPES,
    WITH_SLOPES,
    Answer,
    Question,
    spot_check,
)
from microgradlike.replay.watch import Watch, within_reach
from microgradlike.typeset import counted

if TYPE_CHECKING:
    from microgradlike.compiler.program import Program
    from microgradlike.executors.executor import Ran
    from microgradlike.replay.branches import Path

Array: TypeAlias = "numpy.typing.NDArray[numpy.float64]"

#: The Jacobian of more outputs than inputs is carried forward where there are so many outputs, of
#: all rows, for each input. Else the passes back are soon done, and what carries it takes longer to
#: be traced: as long as some twenty times so many.
FORWARD = 20_000

#: The rows of a call take at most so many paths: ways in which branches are taken together. So many
#: are kept, too. After so many new ones in a call it is plain whether there will be too many.
MOST_PATHS, SOME_PATHS = 256, 32


def compile(
    f: Callable[..., Any],
    *,
    threads: int = 1,
    dtype: str = "float64",
    check: bool = True,
    on: str = "auto",
) -> Compiled:
    """Make a scalar function of one example run fast over rows of data, with its derivatives.

    Args:
        f: a function of one example that returns a Value, or a list of Values. Of a 1-D array it
            is given a Value, the entry of one row; of a 2-D array a list of Values, and so on. The
            Values that it closes over are its parameters. Its operations are those of Values.
        threads: over how many cores many rows are spread, where the extra ``compile`` is installed.
            The result is the same for any number, to the last digit.
        dtype: in which numbers it computes there: "float64", as the engine does, or "float32",
            which is about twice as fast where matrices are large, with half the digits and nothing
            beyond 3.4e38. What it is given and what it returns is float64 in either case.
        check: before a path is used, run ``f`` itself on a row or two of it, with plain numbers,
            and refuse what differs. It costs a few runs of ``f``, and what ``f`` changes or prints
            happens again; gradients, parameters and the shared random generators stay as they are.
        on: what runs it: "machine", machine code by the extra ``compile``; "numpy"; or "auto", the
            first of these that is there. "floats" is plain Python: slow, and easy to read.

    Returns:
        The compiled function. It can also be used as a decorator: ``@compile``.

    ``f`` is traced on the first row only. An ``if`` is taken as that row takes it, and rows that
    would take another branch run on a trace of their own; ``where`` needs no second trace. What is
    no Value is as it was at that moment: a number that ``f`` closes over is part of the compiled
    function, and of all its derivatives, until ``retrace()``; a path that is met later, when such a
    number has changed, is refused, and so is a function that draws random numbers. That includes
    ``p.data`` and ``p.grad``, which are plain numbers, and which Values are its parameters: change
    them by ``p.data = ...``, not by ``p = p - ...``, which makes another one. A name that is bound
    to another Value by now is refused, and a list, dict or set of Values that has grown or shrunk,
    until ``retrace()``.

    Sums are added up in another order than they were written in: results agree with the engine's to
    1e-12 of the magnitudes that went in, and ``(x + y) - x`` is ``y``, even if x is 1e16. NaN and
    infinity stand where the engine has them; rows with numbers so large that the order could matter
    are computed as they were written. All rules, and what to write instead of what is refused, are
    in docs/compiling.md.

    >>> w, b = Value(2.0), Value(1.0)
    >>> c = compile(lambda x, y: (w * x + b - y) ** 2)
    >>> c([1.0, 2.0], [3.0, 4.0])
    array([0., 1.])
    >>> loss = c.mean([1.0, 2.0], [3.0, 4.0])
    >>> loss.backward()
    >>> loss.item(), w.grad, b.grad
    (0.5, 2.0, 1.0)
    """
    return Compiled(f, how=How(threads, dtype, on), check=check)


class Compiled:
    """A compiled function; see ``compile``.

    Args:
        f: the function.
        sending: how many of its first outputs will ever send an error back; by default all.
        how: it runs.
        check: whether a path is compared with the function itself before it is used.

    Attributes:
        parameters: the Values that the function closes over, in the order in which ``theta`` has
            their numbers. They are known once a row has been seen.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        sending: int | None = None,
        how: How | None = None,
        check: bool = True,
    ) -> None:
        function("compile(f)", f)
        functools.update_wrapper(self, f, updated=())
        self.function = f
        self._how = (how or How()).check()
        self._sending, self._check = sending, check
        self._repeatable = False
        self._shapes: list[tuple[int, ...]] = []
        self._example: Arguments | None = None
        self._forget()

    def _forget(self) -> None:
        self._paths: list[Path] = []
        self._parameters: list[Value] = []
        self._places: dict[Value, int] = {}
        self._single = True
        self._derived: dict[str, Compiled] = {}
        self._held: list[int] = []  # how many references of ours each parameter has
        self._calls = 0

    def __reduce__(self) -> Any:
        """A copy has the function and no traces: it is traced on the first rows it is given."""
        module = sys.modules.get(getattr(self, "__module__", ""), None)
        name = getattr(self, "__qualname__", "")
        if name and getattr(module, name, None) is self:
            return name  # a decorated function is found by its name, as every function is
        return Compiled, (self.function, self._sending, self._how, self._check)

    # ---- Values of rows ----

    def __call__(self, *columns: Any) -> Array:
        """The output of each row.

        Args:
            columns: an array for each argument of the function, with one entry (a number, or an
                array) for each row. Given Values, or lists of Values, it is the function itself.

        Returns:
            The outputs, shape (rows,), or (rows, outputs) if the function returns a list.

        Raises:
            TypeError, ValueError: the arrays are not of numbers, differ in their number of rows, or
                do not have the shapes that the function was traced with.
            TracingError: the function cannot be replayed; the sentence says where and why.
        """
        if any(isinstance(v, Value) for column in columns for v in _some(column)):
            found: Array = self.function(*columns)
            return found
        arguments = self._arguments(columns)
        results, _ = self._run(None, arguments)
        return results[:, 0] if self._single else results

    def __get__(self, instance: object, owner: type | None = None) -> Compiled:
        if instance is None:
            return self
        raise TypeError(
            "a method is compiled for each object, not in its class: leave the decorator away, "
            "and use compile(object.method)"
        )

    def __repr__(self) -> str:
        return f"<compiled {getattr(self.function, '__qualname__', self.function)!s}>"

    def mean(self, *columns: Any) -> Total:
        """The mean of the function over the rows, ready for ``.backward()``.

        Args:
            columns: as for a call.

        Raises:
            TypeError: the function returns a list; and as for a call.
        """
        return self._total(columns, "mean")

    def sum(self, *columns: Any) -> Total:
        """The sum of the function over the rows, ready for ``.backward()``; see ``mean``."""
        return self._total(columns, "sum")

    def _total(self, columns: Sequence[Any], reduce: str) -> Total:
        arguments = self._arguments(columns)
        if not is_recording():
            return Total(self, self._value(arguments, reduce), None)
        return Total(self, *self._value_and_grad(None, arguments, reduce))

    # ---- Derivatives by the parameters ----

    @property
    def parameters(self) -> list[Value]:
        self._known()
        return list(self._parameters)

    def theta(self) -> Array:
        """The numbers of all parameters as one array, in the order of ``parameters``.

        Raises:
            ValueError: the function finds another Value by now where it found one of them, or a
                list, dict or set of its Values has grown or shrunk.
        """
        self._known()
        self._check_reach()
        if not self._parameters:
            return _NONE
        if any(map(operator.le, map(sys.getrefcount, self._parameters), self._held)):
            raise ValueError(
                "nobody but this compiled function has one of its parameters any more, so it was "
                "replaced by another Value; change parameters by p.data = ..., or call retrace()"
            )
        return numpy.frombuffer(array("d", [parameter.data for parameter in self._parameters]))

    def assign(self, theta: Any) -> None:
        """Give all parameters the numbers of an array such as ``theta()``.

        Raises:
            TypeError, ValueError: it is no array of as many numbers; nothing was changed.
        """
        for parameter, data in zip(self._parameters, self._checked(theta).tolist(), strict=True):
            parameter.data = data

    def value_and_grad(
        self, theta: Any, *columns: Any, reduce: str = "mean"
    ) -> tuple[float, Array]:
        """The mean over the rows and its gradient, for parameters that are given; it is pure.

        Ready for ``scipy.optimize.minimize(c.value_and_grad, c.theta(), (X, y), jac=True)``.

        Args:
            theta: the numbers of all parameters, in the order of ``parameters``.
            columns: as for a call.
            reduce: "mean" or "sum".

        Returns:
            The value, and the gradient, of the shape of ``theta``. No Value changes.

        Raises:
            TypeError, ValueError: ``theta`` has another size, and as for a call.

        >>> w = Value(2.0)
        >>> c = compile(lambda x: (w * x - 1) ** 2).trace([1.0])
        >>> c.value_and_grad([3.0], [1.0, 0.0])
        (2.5, array([2.]))
        """
        if not columns:
            raise TypeError("value_and_grad takes theta, then an array for each argument")
        if reduce not in ("mean", "sum"):
            raise ValueError(f'reduce is "mean" or "sum", but got {describe(reduce)}')
        arguments = self._arguments(columns)
        return self._value_and_grad(self._checked(theta), arguments, reduce)

    def _value(self, arguments: Arguments, reduce: str) -> float:
        self._need_single("a mean or a sum over rows")
        _, ran = self._run(None, arguments)
        return ran.total / arguments.rows if reduce == "mean" else ran.total

    def _value_and_grad(
        self, theta: Array | None, arguments: Arguments, reduce: str
    ) -> tuple[float, Array]:
        self._need_single("a mean or a sum over rows")
        seeds = _share(arguments.rows if reduce == "mean" else 1)
        _, ran = self._run(theta, arguments, seeds, PARAMETERS)
        return ran.total / arguments.rows if reduce == "mean" else ran.total, ran.errors

    def _need_single(self, what: str) -> None:
        if not self._single:
            raise TypeError(
                f"{what} is that of one Value, but the function returns a list; "
                "compile a function that returns one of them, or their sum"
            )

    # ---- Derivatives by the inputs ----

    def jacobian(self, *columns: Any) -> Array:
        """The derivatives of each row's outputs by that row's inputs.

        Args:
            columns: as for a call.

        Returns:
            An array of shape (rows, outputs, inputs): the columns of all arguments in their order.

        >>> compile(lambda x: x[0] * x[1]).jacobian([[2.0, 3.0], [4.0, 5.0]])
        array([[[3., 2.]],
        <BLANKLINE>
               [[5., 4.]]])
        """
        arguments = self._arguments(columns)
        outputs = self._paths[0].outputs
        if 0 < arguments.inputs < outputs and arguments.rows * outputs > FORWARD * arguments.inputs:
            forward = self._derivative("jacobian", self._tangents)
            found, ran = forward._run(None, forward._arguments(columns))
            found = found.reshape(arguments.rows, outputs, arguments.inputs)
            with numpy.errstate(all="ignore"):
                huge = ~(numpy.einsum("roi,roi->r", found, found) < numpy.inf)
            huge[numpy.array(ran.unsafe, int)] = True
            if huge.any():  # NaN could stand elsewhere than in the engine
                some = Arguments([array[huge] for array in arguments.arrays], self._how)
                found[huge] = self._by_passes(some)
            return found
        return self._by_passes(arguments)

    def _by_passes(self, arguments: Arguments) -> Array:
        """The Jacobian of rows, by a pass back from each output."""
        outputs = self._paths[0].outputs
        found = numpy.zeros((arguments.rows, outputs, arguments.inputs))
        self._run(None, arguments, _each(outputs), INPUTS, found.transpose(1, 0, 2))
        return found

    def hessian(self, *columns: Any) -> Array:
        """The second derivatives of each row's outputs by that row's inputs.

        Args:
            columns: as for a call.

        Returns:
            An array of shape (rows, inputs, inputs); (rows, outputs, inputs, inputs) if the
            function returns a list.

        >>> compile(lambda x: x[0] * x[1] ** 2).hessian([[2.0, 3.0]])
        array([[[0., 6.],
                [6., 4.]]])
        """
        arguments = self._arguments(columns)
        outputs = self._paths[0].outputs
        shape: tuple[int, ...] = (arguments.rows, outputs, arguments.inputs, arguments.inputs)
        if self._single:
            shape = arguments.rows, arguments.inputs, arguments.inputs
        if not arguments.inputs:
            return numpy.empty(shape)
        return self._derivative("hessian", self._gradients).jacobian(*columns).reshape(shape)

    def hvp(self, *columns: Any, v: Any) -> Array:
        """Each row's Hessian times a vector, without the Hessian.

        Args:
            columns: as for a call.
            v: a vector for each row, shape (rows, inputs).

        Returns:
            An array of shape (rows, inputs).

        >>> compile(lambda x: x[0] * x[1] ** 2).hvp([[2.0, 3.0]], v=[[1.0, 1.0]])
        array([[ 6., 10.]])
        """
        arguments = self._arguments(columns)
        self._need_single("hvp")
        vectors = floats(v, "v is an array of numbers, a vector for each row")
        if vectors.shape != (arguments.rows, arguments.inputs):
            raise ValueError(
                f"v has a vector for each row, shape {(arguments.rows, arguments.inputs)}, "
                f"but got {vectors.shape}"
            )

        if not arguments.inputs:
            return numpy.empty(vectors.shape)

        def product(*given: Any) -> list[Any]:
            *inputs, vector = given
            along = grad(lambda *inside: dot(_flat(grad(self._play)(*inside)), vector))
            return _flat(along(*inputs))

        return self._derivative("hvp", product)(*columns, vectors)

    def _gradients(self, *inputs: Any) -> list[Any]:
        """The slopes of each output by each input, which are a function to be compiled again."""
        outputs = range(self._paths[0].outputs)
        return [slope for k in outputs for slope in _flat(grad(self._output(k))(*inputs))]

    def _tangents(self, *inputs: Any) -> list[Value]:
        """The same slopes, carried forward from the inputs."""
        found = self._play(*inputs)
        return traced_tangents([found] if self._single else list(found), _flat(list(inputs)))

    def _output(self, place: int) -> Callable[..., Any]:
        """One output of the function."""
        if self._single:
            return self._play
        return lambda *inputs: self._play(*inputs)[place]

    def _play(self, *inputs: Any) -> Any:
        """What the function gives for traced inputs, from its traces: it does not run again.

        So all derivatives are those of the same function, whatever has changed since.
        """
        flat = _flat(list(inputs))
        if not is_traced():
            return self.function(*inputs)
        row = [numpy.array([_numbers(part)], float) for part in inputs]
        (path, _), *_ = self._split(None, Arguments(row, self._how))
        found = play(path.tape, flat)
        return found[0] if self._single else found

    def _derivative(self, name: str, f: Callable[..., Any]) -> Compiled:
        self.theta()  # a derivative is of the traces, which must be of the function as it is
        found = self._derived.get(name)
        if found is None:
            found = self._derived[name] = Compiled(f, how=self._how, check=False)
        return found

    # ---- Tracing ----

    def trace(self, *columns: Any) -> Compiled:
        """Trace all paths that these rows take, so that ``parameters`` are known; returns itself.

        Args:
            columns: as for a call.
        """
        self._run(None, self._arguments(columns))
        return self

    def run(
        self, theta: Array, columns: Sequence[Any], seeds: Sequence[float] | None = None
    ) -> tuple[Array, Array]:
        """All outputs of all rows; and the gradient of their sum, each weighted by its seed.

        Args:
            theta: the numbers of all parameters.
            columns: as for a call.
            seeds: of the first outputs, the same in all rows; None for no gradient.

        Returns:
            The outputs, shape (rows, outputs), and the gradient, of the shape of ``theta``.
        """
        arguments = self._arguments(columns)
        theta = self._checked(theta)
        if seeds is None:
            return self._run(theta, arguments)[0], _NONE
        rest = [0.0] * (self._paths[0].outputs - len(seeds))
        if len(seeds) > self._paths[0].outputs:
            raise ValueError(
                f"seeds has a number for each of {counted(self._paths[0].outputs, 'output')} at "
                f"most, but got {len(seeds)}"
            )
        results, ran = self._run(theta, arguments, numpy.array([[*seeds, *rest]]), PARAMETERS)
        return results, ran.errors

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
        reached = dict.fromkeys([*self._parameters, *within_reach(self.function)])
        dice = Held(())
        moved = [v.data + (abs(v.data) or 1.0) * 2.0**-30 for v in reached]
        with _holding(list(reached), moved):
            same = self._does_the_same(path)
        if not same or dice.changed():
            raise TracingError(
                "the function does something else when it runs once more: it draws random numbers, "
                "or uses numbers that change, such as p.data of a parameter (p.detach() is its "
                "Value without error); a compiled function repeats its first run"
            )

    def _does_the_same(self, path: Path) -> bool:
        """Whether the function, traced again on the row of a path, does what it did then."""
        decided = {node: holds for node, (holds, _) in path.tape.guards.items()}
        again = trace(self.function, path.arguments.example(0), decided)
        parameters = [list(map(id, tape.parameters)) for tape in (again, path.tape)]
        return again.same_as(path.tape) and parameters[0] == parameters[1]

    def retrace(self) -> Compiled:
        """Forget all traces, and trace again: numbers that the function closes over are read anew.

        Returns:
            Itself.
        """
        self._forget()
        if self._example is not None:
            self._trace(self._example, 0)
        return self

    def describe(self) -> str:
        """What was found in the function, e.g. ``rows x [layer 2->16, relu x16]; once [mul]``."""
        self._known()
        lines = []
        for program in self.programs:
            once = f"; once [{program.once}]" if program.once.instructions else ""
            lines.append(f"rows x [{program.rows}]{once}")
        if len(lines) == 1:
            return lines[0]
        return "\n".join(
            f"path {place} of {len(lines)}: {line}" for place, line in enumerate(lines, 1)
        )

    @property
    def programs(self) -> list[Program]:
        """The programs of all paths that were met, each once."""
        self._known()
        return list({id(p.replay): p.replay.program for p in self._paths}.values())

    @property
    def traced(self) -> bool:
        """Whether a row has been seen, so that ``parameters`` are known."""
        return bool(self._paths)

    def _known(self) -> None:
        if not self.traced:
            raise ValueError(
                "the function was not traced yet, so its parameters are unknown; "
                "call it on some rows first, or c.trace(X, ...)"
            )

    def _trace(self, arguments: Arguments, row: int, theta: Array | None = None) -> Path:
        """A new path, traced on a row, with these numbers of the parameters."""
        with _holding(self._parameters, None if theta is None else theta.tolist()):
            path = self._traced_path(arguments, row)
            if self._repeatable:
                self._check_repeats(path)
            return path

    def _traced_path(self, arguments: Arguments, row: int) -> Path:
        from microgradlike.replay.branches import (
            Path,  # and numba, which only who compiles waits for
        )

        if len(self._paths) >= MOST_PATHS:
            self._drop_a_path()
        if self._paths and self._paths[-1].call != self._calls:
            self._check_numbers()
        tape = trace(self.function, arguments.example(row))
        path = Path(tape, self._paths, arguments.one(row), self._sending)
        path.call = self._calls
        if not self._paths:
            self._single = path.single
        elif path.outputs != self._paths[0].outputs or path.single != self._single:
            raise TracingError(
                f"the function returns {self._paths[0].outputs} Values on one path and "
                f"{path.outputs} on another; return as many on each"
            )
        for parameter in path.parameters():
            if parameter not in self._places:
                self._places[parameter] = len(self._parameters)
                self._parameters.append(parameter)
        path.find(self._places)
        self._paths.append(path)
        self._held += [_HELD] * (len(self._parameters) - len(self._held))
        for place in path.places[path.used].tolist():
            self._held[place] += 1  # the tape holds it
        self._watch = Watch(self.function, self._places)
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
            for place in old.places[old.used].tolist():
                self._held[place] -= 1
            old.tape.parameters = []  # its own cycles would hold them for a while

    def _refuse_paths(self) -> NoReturn:
        frames = [frame for _, frame in self._paths[-1].tape.guards.values()]
        line = f"{frames[-1][0]}, line {frames[-1][1]}" if frames else "a comparison"
        raise TracingError(
            f"the branches of the function are taken in more than {MOST_PATHS} ways, the last "
            f"at {line}, by the rows of one call; choose with where(condition, x, y), with "
            "maximum, minimum or softmax, which need no path of their own"
        )

    def _check_reach(self) -> None:
        """What the function finds outside of itself must be what it found when it was traced."""
        if name := self._watch.moved():
            failed: Exception | None = None
            try:
                if all(map(self._does_the_same, self._paths)):
                    self._watch = Watch(self.function, self._places)
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
        theta: Array | None,
        arguments: Arguments,
        seeds: Any = None,
        mode: int = 0,
        jacobian: Array | None = None,
    ) -> tuple[Array, Ran]:
        """All rows, each on its path: the outputs; the parameters' errors, and the outputs' sum.

        Without ``theta`` the parameters have the numbers that they have now. The errors of the
        inputs go into ``jacobian``, shape (passes, rows, inputs), a pass for each row of ``seeds``.
        """
        results = numpy.empty((arguments.rows, self._paths[0].outputs))
        numbers = self.theta() if theta is None else theta
        whole: Ran | None = None
        for path, rows in self._split(theta, arguments):
            if len(numbers) < len(self._parameters):  # the path was met just now
                numbers = self.theta()
            count = arguments.rows if rows is None else len(rows)
            found = results if rows is None else numpy.empty((count, path.outputs))
            if self._check and not is_detecting():
                self._check_path(path, numbers, arguments, rows, mode)
            ran = path.run(numbers, arguments, rows, found, seeds, mode, jacobian)
            if rows is not None:
                results[rows] = found
            whole = ran if whole is None else whole.and_then(ran)
        assert whole is not None
        if is_detecting():
            both = (results, whole.errors if jacobian is None else jacobian)
            if not all(numpy.isfinite(found).all() for found in both):
                self._name_anomaly(numbers, arguments)
        return results, whole

    def _check_path(
        self, path: Path, theta: Array, arguments: Arguments, rows: Any, mode: int
    ) -> None:
        """Compare a path with the function itself, if that was not done yet for such a run."""
        left = path.to_check[mode]
        if not left:
            return
        with_slopes = path.replay.program.size <= WITH_SLOPES
        with_slopes &= len(path.tape.nodes) <= MOST_WITH_SLOPES
        ends = (0, arguments.rows - 1) if rows is None else rows[[0, -1]].tolist()
        # The first row is mostly the one that was traced, so the last one tells more.
        some = ends[-left:][: arguments.rows if rows is None else len(rows)]
        dice = Held(())
        try:
            with _holding(self._parameters, theta.tolist()), slopes_kept():
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
        self, path: Path, theta: Array, arguments: Arguments, row: int, mode: int
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
            *(self.function, arguments.given(row), self._parameters),
            *(None if slopes is None else weights, mode == INPUTS),
        )
        digits = 1e-3 if self._how.dtype == "float32" else 1e-9
        spot_check(asked, Answer(outputs[0], slopes), digits)

    def _name_anomaly(self, theta: Array, arguments: Arguments) -> None:
        """Run row after row with the engine, which names the operation that is not finite."""
        gradients = [parameter.grad for parameter in self._parameters]
        try:
            with _holding(self._parameters, theta.tolist()):
                for row in range(arguments.rows):
                    outputs = self.function(*map(_as_values, arguments.example(row)))
                    for out in _flat(outputs):
                        out.backward()
        finally:
            for parameter, gradient in zip(self._parameters, gradients, strict=True):
                parameter.grad = gradient

    def _split(self, theta: Array | None, arguments: Arguments) -> Iterator[tuple[Path, Any]]:
        """The rows of each path; None for all."""

        def now() -> Array:
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
                    known = len(self._parameters)
                    path = self._trace(arguments, int(left[0]), theta)
                    if theta is not None and len(self._parameters) > known:
                        raise TracingError(
                            f"row {left[0]} takes a branch that uses "
                            f"{counted(len(self._parameters) - known, 'parameter')} not met "
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

    def _arguments(self, columns: Sequence[Any]) -> Arguments:
        arguments = Arguments(columns, self._how)
        self._calls += 1
        if not self._shapes:
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
            self._trace(self._example, 0)
        self._shapes = shapes
        return arguments

    def _checked(self, theta: Any) -> Array:
        self._known()
        if self._watch.may_have_moved():
            self._check_reach()
        if type(theta) is numpy.ndarray and theta.dtype is FLOAT:
            checked: Array = theta
            if checked.shape == (len(self._parameters),):
                return checked
        found = floats(theta, f"theta is an array of {counted(len(self._parameters), 'number')}")
        if found.shape != (len(self._parameters),):
            raise ValueError(
                f"theta has the shape ({len(self._parameters)},), a number for each parameter, "
                f"but got {found.shape if found.ndim else describe(theta)}"
            )
        return found


class Total:
    """The mean or the sum of a compiled function over rows, and its gradient."""

    def __init__(self, of: Compiled, value: float, gradient: Array | None) -> None:
        self._of, self._value, self._gradient = of, value, gradient

    @property
    def data(self) -> float:
        """The number, as of a Value."""
        return self._value

    def item(self) -> float:
        """The number."""
        return self._value

    def __float__(self) -> float:
        return self._value

    def __repr__(self) -> str:
        return f"Total({self._value})"

    def __format__(self, spec: str) -> str:
        return format(self._value, spec) if spec else repr(self)

    def backward(self) -> None:
        """Add its derivatives to the ``.grad`` of the parameters, as ``backward()`` of a Value.

        Raises:
            RuntimeError: it was computed within ``no_grad``.
        """
        if self._gradient is None:
            raise RuntimeError(
                "backward() of what was computed within no_grad: compute it outside of that block"
            )
        for parameter, error in zip(self._of._parameters, self._gradient.tolist(), strict=False):
            parameter.grad += error


def _held() -> int:
    """How many references a Value has that only a compiled function holds."""
    parameters = [Value(0.0)]
    places = {parameters[0]: 0}
    return min(map(sys.getrefcount, parameters)) * len(places)


_HELD = _held()


_NONE = numpy.empty(0)


@functools.lru_cache(maxsize=64)
def _each(outputs: int) -> Array:
    """The errors of so many outputs, one after the other."""
    return numpy.eye(outputs)


@functools.lru_cache(maxsize=64)
def _share(rows: int) -> Array:
    """The error of one output of so many, of which the mean is taken."""
    return numpy.array([[1.0 / rows]])


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


def _check_call(f: Callable[..., Any], count: int) -> None:
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


def _as_values(example: Any) -> Any:
    """A number, or nested lists of numbers, as Values."""
    return list(map(_as_values, example)) if isinstance(example, list) else Value(example)


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes))


def _numbers(part: Any) -> Any:
    """The numbers of traced inputs, in their structure, in the row that is traced."""
    return list(map(_numbers, part)) if isinstance(part, list | tuple) else part.number


def _some(column: Any) -> list[Any]:
    """What tells whether a column holds Values, quickly: arrays of numbers never do."""
    if isinstance(column, numpy.ndarray):
        return column.ravel().tolist() if column.dtype == object else []
    while isinstance(column, list | tuple) and column:
        column = column[0]
    return [column]


def _flat(values: Any) -> list[Any]:
    """The Values of nested lists, in their order."""
    if isinstance(values, list | tuple):
        return [value for part in values for value in _flat(part)]
    return [values]
