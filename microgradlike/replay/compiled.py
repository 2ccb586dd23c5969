"""compile(): write a scalar function of one example, run it over rows of data.

The function is traced once, on the first row; the dot products and layers in it are found
(``compiler``); and the program is replayed for all rows at once (``executors``). What the function
closes over are its parameters: they stay shared with everybody else, and their numbers are looked
up at each call.
"""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy
import numpy.typing

from microgradlike.compiler.arrays import Array, Floats
from microgradlike.compiler.instructions import PARAMETERS
from microgradlike.compiler.tape import TracingError
from microgradlike.engine import Value, is_recording, is_traced
from microgradlike.replay.arguments import How, check_seeds
from microgradlike.replay.derived import Derivatives, over_blocks

if TYPE_CHECKING:
    from microgradlike.replay.branches import Path


def compile(
    f: Callable[..., object],
    *,
    threads: int = 1,
    dtype: str = "float64",
    check: bool = True,
    on: str = "auto",
    parameters: Iterable[Value] | None = None,
) -> Compiled:
    """Make a scalar function of one example run fast over rows of data, with its derivatives.

    Args:
        f: a function of one example that returns a Value, or a list of Values. Of a 1-D array it
            is given a Value, the entry of one row; of a 2-D array a list of Values, and so on. The
            Values that it closes over are its parameters. Its operations are those of Values;
            integers take from tables by ``take(table, i)``.
            Values that it closes over are its parameters. Its operations are those of Values. One
            that takes no arguments is computed once: it has no rows, ``c()`` is one number.
        threads: over how many cores many rows are spread, where the extra ``compile`` is installed.
            The result is the same for any number, to the last digit.
        dtype: in which numbers it computes there: "float64", as the engine does, or "float32",
            which is about twice as fast where matrices are large, with half the digits and nothing
            beyond 3.4e38. What it is given and what it returns is float64 in either case.
        check: before a path is used, run ``f`` itself on a row or two of it, with plain numbers,
            and refuse what differs. It costs a few runs of ``f``, and what ``f`` changes or prints
            happens again; gradients, parameters and the shared random generators stay as they are.
        on: what runs it: "machine", machine code by the extra ``compile``; "numpy"; or "auto", the
            first of these that is there. "jax" is JAX, by the extra ``jax``, on a GPU where JAX has
            one. "floats" is plain Python: slow, and easy to read.
        parameters: all Values that ``f`` may close over, in the order that ``theta`` is to have,
            such as ``model.parameters()``: functions that are given one list share one ``theta``,
            and one optimiser. Those that ``f`` does not use have the gradient 0; one that it uses
            and that is not listed is refused. By default they are those that ``f`` is seen to use.

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
    return Compiled(f, how=How(threads, dtype, on), check=check, parameters=parameters)


class Compiled(Derivatives):
    """A compiled function; see ``compile``."""

    def __init__(
        self,
        f: Callable[..., object],
        sending: int | None = None,
        how: How | None = None,
        check: bool = True,
        parameters: Iterable[Value] | None = None,
    ) -> None:
        super().__init__(f, sending, how, check, parameters)
        functools.update_wrapper(self, f, updated=())

    def __reduce__(self) -> str | tuple[object, ...]:
        """A copy has the function and no traces: it is traced on the first rows it is given."""
        module = sys.modules.get(getattr(self, "__module__", ""), None)
        name = getattr(self, "__qualname__", "")
        if name and getattr(module, name, None) is self:
            return name  # a decorated function is found by its name, as every function is
        return self._remade()

    def _remade(self) -> tuple[object, ...]:
        """What makes a copy of a function that cannot be found by its name."""
        return Compiled, (self.function, self._sending, self._how, self._check, self._listed)

    def __deepcopy__(self, memo: dict[int, object]) -> Compiled:
        """A copy shares the Values that its function shares: a plain function is never copied."""
        if isinstance(self.__reduce__(), str):
            return self
        f, listed = copy.deepcopy(self.function, memo), self._listed
        if f is not self.function:
            listed = copy.deepcopy(listed, memo)
        return Compiled(f, self._sending, self._how, self._check, listed)

    # ---- Values of rows ----

    @over_blocks
    def __call__(self, *columns: object) -> Floats:
        """The output of each row.

        Args:
            columns: an array for each argument of the function, with one entry (a number, or an
                array) for each row. Given Values, or lists of Values, it is the function itself.
                Given a Dask array it works block by block; docs/dask.md tells how.

        Returns:
            The outputs, shape (rows,), or (rows, outputs) if the function returns a list. Of a
            function without arguments there is no first axis: the output is one number. Of Dask
            arrays it is one, too, computed when somebody asks for it.

        Raises:
            TypeError, ValueError: the arrays are not of numbers, differ in their number of rows, or
                do not have the shapes that the function was traced with.
            TracingError: the function cannot be replayed; the sentence says where and why.
        """
        if any(isinstance(v, Value) for column in columns for v in _some(column)):
            found: Floats = self.function(*columns)
            return found
        if not columns and is_traced():
            raise TracingError(
                "a compiled function without arguments gives a number, which would be a constant "
                "in the function that is traced; call c.function() there, which gives a Value"
            )
        return self._outputs(None, self._arguments(columns))

    @over_blocks
    def value_and_jacobian(self, *columns: object) -> tuple[Floats, Floats]:
        """The outputs of each row, and their derivatives by that row's inputs, in one go.

        Args:
            columns: as for a call.

        Returns:
            What a call returns, of shape (rows,), or (rows, outputs) if the function returns a
            list; and an array of shape (rows, outputs, inputs), as ``jacobian`` does.

        >>> from microgradlike import compile
        >>> compile(lambda x: x[0] * x[1]).value_and_jacobian([[2.0, 3.0], [4.0, 5.0]])
        (array([ 6., 20.]), array([[[3., 2.]],
        <BLANKLINE>
               [[5., 4.]]]))
        """
        values, found = self._values_and_passes(self._arguments(columns))
        return values[:, 0] if self._single else values, found

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
        return Total(self, *self._mean_or_sum(reduce, *columns))

    @over_blocks
    def _mean_or_sum(self, reduce: str, *columns: object) -> tuple[float, Floats | None]:
        value, gradient = self._reduced(None, self._arguments(columns), reduce, is_recording())
        return value, gradient if is_recording() else None

    # ---- Derivatives by the parameters ----

    def assign(self, theta: object) -> None:
        """Give all parameters the numbers of an array such as ``theta()``.

        Raises:
            TypeError, ValueError: it is no array of as many numbers; nothing was changed.
        """
        self._parameters.group.write(self._checked(theta))

    # ---- Tracing ----

    @over_blocks
    def trace(self, *columns: object) -> Compiled:
        """Trace all paths that these rows take, so that ``parameters`` are known; returns itself.

        Args:
            columns: as for a call.
        """
        arguments = self._arguments(columns)
        self._run(None, arguments, None, PARAMETERS)
        known: list[Path] = []
        while known != self._paths:  # rows of a path that was taken apart need one of their own
            known = list(self._paths)
            self._compare_ways(None, arguments)  # also of rows that ran before their path met
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
        return self._run_columns(theta, seeds, *columns)

    @over_blocks
    def _run_columns(
        self, theta: Floats, seeds: Sequence[float] | None, *columns: object
    ) -> tuple[Floats, Floats]:
        arguments = self._arguments(columns)
        theta = self._checked(theta)
        if seeds is None:
            return self._run(theta, arguments)[0], numpy.empty(0)
        check_seeds(seeds, self._paths[0].outputs)
        rest = [0.0] * (self._paths[0].outputs - len(seeds))
        results, ran = self._run(theta, arguments, numpy.array([[*seeds, *rest]]), PARAMETERS)
        return results, ran.errors

    # ---- Written for others ----

    def to_jax(self, rounds: int = 10_000) -> Callable[..., Array]:
        """This function as a pure function of JAX, to be differentiated and compiled by it.

        It computes in the numbers that it is given, and so in float32 unless ``jax_enable_x64`` is
        set. Its gradients are the engine's, also at a kink.

        Args:
            rounds: of a loop that ends by itself, so many are done at most.

        Returns:
            A function of ``theta``, an array of shape (parameters,), and an array for each
            argument, which returns what a call does: shape (rows,), or (rows, outputs) if the
            function returns a list. Rows that it cannot compute are NaN, and so are their
            gradients: such as take a branch that was not traced, or need more rounds.

        Raises:
            ImportError: JAX is not installed.
            ValueError: the function was not traced yet.

        >>> import jax
        >>> w = Value(3.0)
        >>> f = compile(lambda x: (w * x).relu()).trace([1.0]).to_jax()
        >>> slope = jax.grad(lambda theta: f(theta, [1.0, -1.0, 0.5]).sum())
        >>> slope(jax.numpy.array([3.0])).tolist()
        [1.5]
        """
        try:
            from microgradlike.writers.jax import to_jax
        except ImportError:
            raise ImportError('to_jax() needs JAX: pip install "microgradlike[jax]"') from None
        return to_jax(self, rounds)

    def to_torch(self, native: bool = False, rounds: int = 10_000) -> Callable[..., Array]:
        """This function as one of PyTorch, with gradients by parameters and by arguments.

        It computes in the numbers that it is given, float64 or float32. Its gradients are the
        engine's, also at a kink, and may be differentiated again. Examples are in docs/pytorch.md.

        Args:
            native: False: what runs this function runs it, on the CPU, and new branches are traced
                when a row takes one. True: PyTorch runs it, as a module of its own operations: on
                a GPU, by ``torch.compile``, under ``torch.func``.
            rounds: of a loop that ends by itself, PyTorch does so many at most.

        Returns:
            A function of ``theta``, a tensor of shape (parameters,), and a tensor for each
            argument, which returns what a call does: shape (rows,), or (rows, outputs) if the
            function returns a list. Of a native one, rows that it cannot compute are NaN, and so
            are their gradients: such as take a branch that was not traced, or need more rounds.

        Raises:
            ImportError: PyTorch is not installed.
            ValueError: the function was not traced yet.
        """
        try:
            from microgradlike.writers.torch_functions import to_torch
        except ImportError:
            raise ImportError(
                'to_torch() needs PyTorch: pip install "microgradlike[torch]"'
            ) from None
        return to_torch(self, native, rounds)

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
        self._of._parameters.group.add(self._gradient)


def _some(column: object) -> list[object]:
    """What tells whether a column holds Values, quickly: arrays of numbers never do."""
    if isinstance(column, numpy.ndarray):
        return column.ravel().tolist() if column.dtype == object else []
    while isinstance(column, list | tuple) and column:
        column = column[0]
    return [column]
