"""compile(): write a scalar function of one example, run it over rows of data.

The function is traced once, on the first row; the dot products and layers in it are found
(``compiler``); and the program is replayed for all rows at once (``executors``). What the function
closes over are its parameters: they stay shared with everybody else, and their numbers are looked
up at each call.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy
import numpy.typing

from microgradlike.compiler.arrays import Floats
from microgradlike.compiler.derivatives import traced_tangents
from microgradlike.compiler.instructions import INPUTS, PARAMETERS
from microgradlike.compiler.tape import play
from microgradlike.engine import Value, is_recording, is_traced
from microgradlike.functional import grad
from microgradlike.functions import dot
from microgradlike.inputs import describe
from microgradlike.replay.arguments import FLOAT, Arguments, How, floats
from microgradlike.replay.traces import Traces, flat
from microgradlike.words import counted

if TYPE_CHECKING:
    from microgradlike.compiler.program import Program


#: The Jacobian of more outputs than inputs is carried forward where there are so many outputs, of
#: all rows, for each input. Else the passes back are soon done, and what carries it takes longer to
#: be traced: as long as some twenty times so many.
FORWARD = 20_000


def compile(
    f: Callable[..., object],
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


class Compiled(Traces):
    """A compiled function; see ``compile``."""

    def __init__(
        self,
        f: Callable[..., object],
        sending: int | None = None,
        how: How | None = None,
        check: bool = True,
    ) -> None:
        super().__init__(f, sending, how, check)
        functools.update_wrapper(self, f, updated=())

    def _forget(self) -> None:
        super()._forget()
        self._derived: dict[str, Compiled] = {}

    def __reduce__(self) -> str | tuple[Any, ...]:
        """A copy has the function and no traces: it is traced on the first rows it is given."""
        module = sys.modules.get(getattr(self, "__module__", ""), None)
        name = getattr(self, "__qualname__", "")
        if name and getattr(module, name, None) is self:
            return name  # a decorated function is found by its name, as every function is
        return Compiled, (self.function, self._sending, self._how, self._check)

    # ---- Values of rows ----

    def __call__(self, *columns: object) -> Floats:
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
            found: Floats = self.function(*columns)
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

    def mean(self, *columns: object) -> Total:
        """The mean of the function over the rows, ready for ``.backward()``.

        Args:
            columns: as for a call.

        Raises:
            TypeError: the function returns a list; and as for a call.
        """
        return self._total(columns, "mean")

    def sum(self, *columns: object) -> Total:
        """The sum of the function over the rows, ready for ``.backward()``; see ``mean``."""
        return self._total(columns, "sum")

    def _total(self, columns: Sequence[object], reduce: str) -> Total:
        arguments = self._arguments(columns)
        value, gradient = self._reduced(None, arguments, reduce, is_recording())
        return Total(self, value, gradient if is_recording() else None)

    # ---- Derivatives by the parameters ----

    def assign(self, theta: object) -> None:
        """Give all parameters the numbers of an array such as ``theta()``.

        Raises:
            TypeError, ValueError: it is no array of as many numbers; nothing was changed.
        """
        for parameter, data in zip(
            self._parameters.values, self._checked(theta).tolist(), strict=True
        ):
            parameter.data = data

    def value_and_grad(
        self, theta: object, *columns: object, reduce: str = "mean"
    ) -> tuple[float, Floats]:
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
        return self._reduced(self._checked(theta), arguments, reduce)

    def _reduced(
        self, theta: Floats | None, arguments: Arguments, reduce: str, slopes: bool = True
    ) -> tuple[float, Floats]:
        self._need_single("a mean or a sum over rows")
        seeds = _share(arguments.rows if reduce == "mean" else 1) if slopes else None
        _, ran = self._run(theta, arguments, seeds, PARAMETERS if slopes else 0)
        return ran.total / arguments.rows if reduce == "mean" else ran.total, ran.errors

    def _need_single(self, what: str) -> None:
        if not self._single:
            raise TypeError(
                f"{what} is that of one Value, but the function returns a list; "
                "compile a function that returns one of them, or their sum"
            )

    # ---- Derivatives by the inputs ----

    def jacobian(self, *columns: object) -> Floats:
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
            forward = self._derivative("jacobian", _Played(self).tangents)
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

    def _by_passes(self, arguments: Arguments) -> Floats:
        """The Jacobian of rows, by a pass back from each output."""
        outputs = self._paths[0].outputs
        found = numpy.zeros((arguments.rows, outputs, arguments.inputs))
        self._run(None, arguments, _each(outputs), INPUTS, found.transpose(1, 0, 2))
        return found

    def hessian(self, *columns: object) -> Floats:
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
        slopes = self._derivative("hessian", _Played(self).gradients)
        return slopes.jacobian(*columns).reshape(shape)

    def hvp(self, *columns: object, v: object) -> Floats:
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
        return self._derivative("hvp", _Played(self).products)(*columns, vectors)

    def _derivative(self, name: str, f: Callable[..., object]) -> Compiled:
        self.theta()  # a derivative is of the traces, which must be of the function as it is
        found = self._derived.get(name)
        if found is None:
            found = self._derived[name] = Compiled(f, how=self._how, check=False)
        return found

    # ---- Tracing ----

    def trace(self, *columns: object) -> Compiled:
        """Trace all paths that these rows take, so that ``parameters`` are known; returns itself.

        Args:
            columns: as for a call.
        """
        self._run(None, self._arguments(columns))
        return self

    def run(
        self, theta: Floats, columns: Sequence[object], seeds: Sequence[float] | None = None
    ) -> tuple[Floats, Floats]:
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

    def retrace(self) -> Compiled:
        """Forget all traces, and trace again: numbers that the function closes over are read anew.

        Returns:
            Itself.
        """
        self._forget()
        if self._example is not None:
            self._trace(self._example, [0])
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

    # ---- Running ----

    def _checked(self, theta: object) -> Floats:
        self._known()
        if self._watch.may_have_moved():
            self._check_reach()
        count = len(self._parameters.values)
        if type(theta) is numpy.ndarray and theta.dtype is FLOAT:
            checked: Floats = theta
            if checked.shape == (count,):
                return checked
        found = floats(theta, f"theta is an array of {counted(count, 'number')}")
        if found.shape != (count,):
            raise ValueError(
                f"theta has the shape ({count},), a number for each parameter, "
                f"but got {found.shape if found.ndim else describe(theta)}"
            )
        return found


class _Played:
    """A compiled function as its traces have it, and its slopes: functions to be compiled again.

    It does not run again where its inputs are traced, so all derivatives are those of the same
    function, whatever has changed since.
    """

    def __init__(self, of: Compiled) -> None:
        self.of = of

    def __call__(self, *inputs: object) -> Any:
        given = flat(list(inputs))
        if not is_traced():
            return self.of.function(*inputs)
        row = [numpy.array([_numbers(part)], float) for part in inputs]
        (path, _), *_ = self.of._split(None, Arguments(row, self.of._how))
        found = play(path.tape, given)
        return found[0] if self.of._single else found

    def output(self, place: int) -> Callable[..., object]:
        """One output of the function."""
        return self if self.of._single else lambda *inputs: self(*inputs)[place]

    def gradients(self, *inputs: object) -> list[Value]:
        """The slopes of each output by each input."""
        outputs = range(self.of._paths[0].outputs)
        return [slope for k in outputs for slope in flat(grad(self.output(k))(*inputs))]

    def tangents(self, *inputs: object) -> list[Value]:
        """The same slopes, carried forward from the inputs."""
        found = self(*inputs)
        return traced_tangents([found] if self.of._single else list(found), flat(list(inputs)))

    def products(self, *given: Any) -> list[Value]:
        """The second derivatives by all inputs but the last one, times that: a vector."""
        *inputs, vector = given
        along = grad(lambda *inside: dot(flat(grad(self)(*inside)), vector))
        return flat(along(*inputs))


class Total:
    """The mean or the sum of a compiled function over rows, and its gradient."""

    def __init__(self, of: Compiled, value: float, gradient: Floats | None) -> None:
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
        for parameter, error in zip(
            self._of._parameters.values, self._gradient.tolist(), strict=False
        ):
            parameter.grad += error


_NONE = numpy.empty(0)


@functools.lru_cache(maxsize=64)
def _each(outputs: int) -> Floats:
    """The errors of so many outputs, one after the other."""
    return numpy.eye(outputs)


@functools.lru_cache(maxsize=64)
def _share(rows: int) -> Floats:
    """The error of one output of so many, of which the mean is taken."""
    return numpy.array([[1.0 / rows]])


def _numbers(part: Any) -> Any:
    """The numbers of traced inputs, in their structure, in the row that is traced."""
    return list(map(_numbers, part)) if isinstance(part, list | tuple) else part.number


def _some(column: object) -> list[object]:
    """What tells whether a column holds Values, quickly: arrays of numbers never do."""
    if isinstance(column, numpy.ndarray):
        return column.ravel().tolist() if column.dtype == object else []
    while isinstance(column, list | tuple) and column:
        column = column[0]
    return [column]
