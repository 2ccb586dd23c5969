"""The derivatives of a compiled function: by the inputs of each row, and by the parameters.

First derivatives are backward passes of its programs. For second ones its traces are played once
more, with the first derivatives written on the same tape, and that is a function to be compiled.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy
import numpy.typing

from microgradlike.compiler.arrays import Floats
from microgradlike.compiler.derivatives import traced_tangents
from microgradlike.compiler.instructions import INPUTS, PARAMETERS
from microgradlike.compiler.tape import play
from microgradlike.engine import Value, copied, is_traced, recorder_of
from microgradlike.functional import grad, gradient_graphs
from microgradlike.functions import dot
from microgradlike.inputs import NEEDS_DASK, describe, of_dask
from microgradlike.replay.arguments import FLOAT, Arguments, Given, How, check_reduce, floats
from microgradlike.replay.sparse import Passes, SentBack, each, passes
from microgradlike.replay.traces import flat
from microgradlike.words import counted

if TYPE_CHECKING:
    from microgradlike.compiler.program import Program
    from microgradlike.replay.branches import Path

#: The Jacobian of more outputs than inputs is carried forward when so many outputs, of all rows in
#: all calls, were asked for, for each input. What carries it takes about as long to be traced as
#: the passes back for them.
FORWARD = 20_000

#: Of so many rows at most, the rows of a Hessian, and the columns of a Jacobian of so many outputs,
#: are computed at once.
FEW, MANY = 16, 32
#: Of more rows, where that takes so much fewer passes.
LESS = 8


P = ParamSpec("P")
T = TypeVar("T")


def over_blocks(method: Callable[P, T]) -> Callable[P, T]:
    """The same method; where a column is a Dask array, ``blocks`` does it, block by block."""

    @functools.wraps(method)
    def either(*given: P.args, **named: P.kwargs) -> T:
        if not of_dask(*given, *named.values()):
            return method(*given, **named)
        try:
            from microgradlike.replay import blocks
        except ImportError:
            raise ImportError(NEEDS_DASK) from None
        found: T = getattr(blocks, method.__name__)(*given, **named)
        return found

    return either


class ByParameters(SentBack):
    """A function that was traced, and its derivatives by its parameters."""

    def _forget(self) -> None:
        super()._forget()
        self._derived: dict[str, _OfTraces] = {}

    @property
    def programs(self) -> list[Program]:
        """The programs of all paths that were met, each once."""
        self._known()
        return list({id(p.replay): p.replay.program for p in self._paths}.values())

    @over_blocks
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

        >>> from microgradlike import compile
        >>> w = Value(2.0)
        >>> c = compile(lambda x: (w * x - 1) ** 2).trace([1.0])
        >>> c.value_and_grad([3.0], [1.0, 0.0])
        (2.5, array([2.]))
        """
        arguments = self._given(columns, reduce, "value_and_grad takes theta")
        return self._reduced(self._checked(theta), arguments, reduce)

    @over_blocks
    def values(self, theta: object, *columns: object) -> Floats:
        """What a call returns, for parameters that are given; it is pure.

        Args:
            theta, columns: as for ``value_and_grad``.

        Returns:
            The outputs, shape (rows,), or (rows, outputs) if the function returns a list. Of a
            function without arguments there is no first axis. No Value changes.

        Raises:
            TypeError, ValueError: as for ``value_and_grad``.

        >>> from microgradlike import compile
        >>> w, b = Value(2.0), Value(1.0)
        >>> c = compile(lambda x: (w * x + b) ** 2, parameters=[w, b])
        >>> c.values([0.0, 3.0], [1.0, 2.0])
        array([9., 9.])
        """
        arguments = self._after_theta(columns, "values takes theta")
        return self._outputs(self._checked(theta), arguments)

    def _outputs(self, theta: Floats | None, arguments: Arguments) -> Floats:
        results, _ = self._run(theta, arguments)
        found = results[:, 0] if self._single else results
        return found if arguments.arrays else found[0]

    @over_blocks
    def hvp_by_parameters(
        self, theta: object, v: object, *columns: object, reduce: str = "mean"
    ) -> Floats:
        """The Hessian of that mean by the parameters times a vector, without the Hessian.

        Ready for ``scipy.optimize.minimize(..., hessp=c.hvp_by_parameters, method="trust-ncg")``.

        Args:
            theta, columns, reduce: as for ``value_and_grad``.
            v: the vector, of the shape of ``theta``.

        Returns:
            An array of the shape of ``theta``. No Value changes.

        Raises:
            TypeError, ValueError: as for ``value_and_grad``, and of ``v`` likewise.

        >>> from microgradlike import compile
        >>> u, w = Value(2.0), Value(1.0)
        >>> c = compile(lambda x: u * w**2 * x, parameters=[u, w])
        >>> c.hvp_by_parameters([2.0, 1.0], [1.0, 1.0], [1.0, 3.0])
        array([ 4., 12.])
        """
        arguments = self._given(columns, reduce, "hvp_by_parameters takes theta and a vector")
        numbers = self._met(theta, arguments)
        product: Floats = self._times(numbers, self._checked(v, "v")[None], arguments, reduce)[0]
        return product

    @over_blocks
    def hessian_by_parameters(
        self, theta: object, *columns: object, reduce: str = "mean"
    ) -> Floats:
        """The second derivatives of that mean by the parameters.

        It is a product with a vector for each of them: with thousands of parameters take
        ``hvp_by_parameters``.

        Args:
            theta, columns, reduce: as for ``value_and_grad``.

        Returns:
            An array of shape (parameters, parameters). No Value changes.

        Raises:
            TypeError, ValueError: as for ``value_and_grad``.

        >>> from microgradlike import compile
        >>> u, w = Value(2.0), Value(1.0)
        >>> c = compile(lambda x: u * w**2 * x, parameters=[u, w])
        >>> c.hessian_by_parameters([2.0, 1.0], [1.0])
        array([[0., 2.],
               [2., 4.]])
        """
        arguments = self._given(columns, reduce, "hessian_by_parameters takes theta")
        numbers = self._met(theta, arguments)
        return self._times(numbers, numpy.eye(len(numbers)), arguments, reduce)

    def _times(self, theta: Floats, vectors: Floats, arguments: Arguments, reduce: str) -> Floats:
        """The Hessian by the parameters times each vector: the gradient of a slope along it.

        Going forward, then back, is quick. Where not all is finite then, it is done as the engine
        would, going back twice: it has NaN and infinity where they belong.
        """
        self._need_single("a mean or a sum over rows")
        count, played = len(theta), _Played(self)
        found = numpy.empty(vectors.shape)
        both = numpy.append(theta, theta)
        for way in (played.slope_by_parameters, played.product_by_parameters) if count else ():
            along = self._with_directions(way)
            given = along._arguments(arguments.arrays)
            for product, vector in zip(found, vectors, strict=True):
                both[count:] = vector
                _, errors = along._reduced(both, given, reduce)
                product[:] = errors[:count]
            if numpy.isfinite(found).all():
                break
        return found

    def _with_directions(self, way: Callable[..., Value]) -> _OfTraces:
        """A slope by the parameters along further ones: a direction for each."""
        known = list(self._parameters.values)
        key = f"{way.__name__}, of {len(known)}"
        if key not in self._derived:
            directions = [Value(0.0) for _ in known]
            f = functools.partial(way, known, directions)
            listed = [*known, *directions]
            self._derived[key] = _OfTraces(f, self._how, listed)
        return self._derived[key]

    @over_blocks
    def gradients(self, *columns: object) -> Floats:
        """The derivatives of each row's outputs by the parameters, as they are now.

        Args:
            columns: as for a call.

        Returns:
            An array of shape (rows, parameters), in the order of ``parameters``; (rows, outputs,
            parameters) if the function returns a list. Their mean over the rows is the gradient
            that ``value_and_grad`` gives. Of a function without arguments there is no first axis.

        >>> from microgradlike import compile
        >>> w, b = Value(2.0), Value(1.0)
        >>> compile(lambda x: w * x**2 + b).gradients([1.0, 3.0])
        array([[1., 1.],
               [9., 1.]])
        """
        arguments = self._arguments(columns)
        return self._by_parameters(self._now(arguments), arguments)

    @over_blocks
    def jacobian_by_parameters(self, theta: object, *columns: object) -> Floats:
        """The same derivatives, for parameters that are given; it is pure.

        Ready for ``scipy.optimize.least_squares(c.values, start, c.jacobian_by_parameters,
        args=(x, y))``, where the function returns the error of one row.

        Args:
            theta, columns: as for ``value_and_grad``.

        Returns:
            An array of shape (rows, parameters), as ``gradients`` does. No Value changes.

        Raises:
            TypeError, ValueError: as for ``value_and_grad``.

        >>> from microgradlike import compile
        >>> w, b = Value(2.0), Value(1.0)
        >>> c = compile(lambda x: (w * x + b) ** 2, parameters=[w, b])
        >>> c.jacobian_by_parameters([0.0, 3.0], [1.0, 2.0])
        array([[ 6.,  6.],
               [12.,  6.]])
        """
        arguments = self._after_theta(columns, "jacobian_by_parameters takes theta")
        return self._by_parameters(self._met(theta, arguments), arguments)

    def _by_parameters(self, theta: Floats, arguments: Arguments) -> Floats:
        shape: tuple[int, ...] = (arguments.rows, self._paths[0].outputs, len(theta))
        if not len(theta):
            found = numpy.empty(shape)
        else:
            of_each = numpy.broadcast_to(theta, (arguments.rows, len(theta)))
            by_all = self._derivative(f"gradients by {len(theta)}", _Played(self).with_parameters)
            found = by_all._by_passes(by_all._arguments([*arguments.arrays, of_each]))
            found = found[:, :, arguments.inputs :]
        if self._single:
            found = found[:, 0]
        return found if arguments.arrays else found[0]

    def _now(self, arguments: Arguments) -> Floats:
        """The numbers of the parameters, known after all paths have been traced that rows take."""
        for _ in self._split(None, arguments):
            pass
        self._compare_ways(None, arguments)
        return self.theta()

    def _met(self, theta: object, arguments: Arguments) -> Floats:
        """The numbers that are given for them, likewise."""
        self._now(arguments)
        numbers = self._checked(theta)
        for _ in self._split(numbers, arguments):
            pass
        return numbers

    def _given(self, columns: Sequence[object], reduce: str, takes: str) -> Arguments:
        check_reduce(reduce)
        return self._after_theta(columns, takes)

    def _after_theta(self, columns: Sequence[object], takes: str) -> Arguments:
        if not columns and not self._is_alone:
            raise TypeError(f"{takes}, then an array for each argument")
        return self._arguments(columns)

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

    def _checked(self, theta: object, name: str = "theta") -> Floats:
        self._known()
        if self.traced and self._watch.may_have_moved():
            self._check_reach()
        count = len(self._parameters.values)
        if type(theta) is numpy.ndarray and theta.dtype is FLOAT:
            checked: Floats = theta
            if checked.shape == (count,):
                return checked
        found = floats(theta, f"{name} is an array of {counted(count, 'number')}")
        if found.shape != (count,):
            is_array = found.ndim or isinstance(theta, numpy.ndarray)
            raise ValueError(
                f"{name} has the shape ({count},), a number for each parameter, "
                f"but got {found.shape if is_array else describe(theta)}"
            )
        return found

    def _take_apart(self, path: Path) -> None:
        super()._take_apart(path)
        self._derived.clear()  # they are those of a path that was wrong

    def _weighted(
        self, theta: object, errors: Floats, columns: Sequence[object], mode: int
    ) -> Floats:
        """What arrives of errors of the outputs, which differ from row to row.

        Args:
            theta, columns: as for ``values``.
            errors: of each row's outputs, of the shape of ``values``.
            mode: PARAMETERS or INPUTS, at which they arrive.

        Returns:
            The errors of all parameters, or of each row's inputs, shape (rows, inputs).
        """
        arguments = self._arguments(columns)
        numbers = self._met(theta, arguments)
        known = list(self._parameters.values)
        key = f"weighted, of {len(known)}"
        if key not in self._derived:
            f = functools.partial(_Played(self).weighted, known)
            self._derived[key] = _OfTraces(f, self._how, known)
        weighted = self._derived[key]
        weights = errors.reshape(arguments.rows, self._paths[0].outputs)
        given = weighted._arguments([*arguments.arrays, weights])
        if mode == PARAMETERS:
            return weighted._run(numbers, given, each(1), PARAMETERS)[1].errors
        found = numpy.zeros((1, arguments.rows, given.inputs))
        weighted._run(numbers, given, each(1), INPUTS, found)
        by_inputs: Floats = found[0, :, : arguments.inputs]
        return by_inputs

    def _derivative(self, name: str, f: Callable[..., object]) -> _OfTraces:
        self.theta()  # a derivative is of the traces, which must be of the function as it is
        found = self._derived.get(name)
        if found is None:
            found = self._derived[name] = _OfTraces(f, self._how)
        return found


class Derivatives(ByParameters):
    """The same, and its derivatives by the inputs of each row."""

    def _forget(self) -> None:
        super()._forget()
        self._sent_back = 0

    @over_blocks
    def jacobian(self, *columns: object) -> Floats:
        """The derivatives of each row's outputs by that row's inputs.

        Args:
            columns: as for a call.

        Returns:
            An array of shape (rows, outputs, inputs): the columns of all arguments in their order.

        >>> from microgradlike import compile
        >>> compile(lambda x: x[0] * x[1]).jacobian([[2.0, 3.0], [4.0, 5.0]])
        array([[[3., 2.]],
        <BLANKLINE>
               [[5., 4.]]])
        """
        arguments = self._arguments(columns)
        outputs = self._paths[0].outputs
        self._sent_back += arguments.rows * outputs
        if 0 < arguments.inputs < outputs and self._sent_back > FORWARD * arguments.inputs:
            self._compare_ways(None, arguments)
            forward = self._derivative("jacobian", _Played(self).tangents)
            found, ran = forward._run(None, forward._arguments(columns))
            found = found.reshape(arguments.rows, outputs, arguments.inputs)
            return self._with_huge(arguments, found, ran.unsafe)
        if outputs >= MANY and len(self._paths) == 1:
            of = self._passes(arguments)
            is_few = arguments.rows <= FEW and of.forward < 2 * of.back
            if is_few or LESS * of.forward <= of.back:
                with contextlib.suppress(IndexError, ValueError):  # which name a row of these
                    return self._at_once(arguments, of)
        return self._by_passes(arguments)

    def _at_once(self, arguments: Arguments, along: Passes) -> Floats:
        """The Jacobian, carried forward along some inputs at a time: all of that at once."""
        self._compare_ways(None, arguments)
        rows, count = arguments.rows, along.forward
        vectors = along.of_input == numpy.arange(count)[:, None]
        forward = self._derivative("jacobian at once", _Played(self).slopes_along)
        given = forward._arguments(_along_each(arguments, vectors.astype(float)))
        together, ran = forward._run(None, given)
        met = forward._passes(given).depends[:, -arguments.inputs :]
        if (met & ~along.depends).any():  # a row was met that depends on more
            return self._at_once(arguments, passes(met | along.depends))
        found = together.reshape(rows, count, -1).transpose(0, 2, 1)
        found = numpy.where(along.depends, found[:, :, along.of_input], 0.0)
        return self._with_huge(arguments, found, numpy.array(ran.unsafe, int) // max(count, 1))

    @over_blocks
    def hessian(self, *columns: object) -> Floats:
        """The second derivatives of each row's outputs by that row's inputs.

        Args:
            columns: as for a call.

        Returns:
            An array of shape (rows, inputs, inputs); (rows, outputs, inputs, inputs) if the
            function returns a list.

        >>> from microgradlike import compile
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
        if self._single and arguments.rows <= FEW:
            with contextlib.suppress(IndexError, ValueError):  # which name a row of these
                *many, along = _along_each(arguments, numpy.eye(arguments.inputs))
                found = self.hvp(*many, v=along)
                if numpy.isfinite(found).all():
                    return found.reshape(shape)
        self._compare_ways(None, arguments)
        slopes = self._derivative("hessian", _Played(self).gradients)
        return slopes.jacobian(*columns).reshape(shape)

    @over_blocks
    def hvp(self, *columns: object, v: object) -> Floats:
        """Each row's Hessian by its inputs times a vector, without the Hessian.

        Args:
            columns: as for a call.
            v: a vector for each row, shape (rows, inputs).

        Returns:
            An array of shape (rows, inputs).

        >>> from microgradlike import compile
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
        # Forward, then back; and back twice where that gives no numbers, or rows were not safe.
        self._compare_ways(None, arguments)
        slope = self._derivative("hvp", _Played(self).slope_by_inputs)
        found = numpy.zeros((1, arguments.rows, 2 * arguments.inputs))
        given = slope._arguments([*arguments.arrays, vectors])
        _, ran = slope._run(None, given, each(1), INPUTS, found)
        products: Floats = found[0, :, : arguments.inputs]
        with numpy.errstate(all="ignore"):
            doubtful = ~numpy.isfinite(products.sum(axis=1))
        doubtful[numpy.array(ran.unsafe, int)] = True
        if doubtful.any():
            again = self._derivative("products", _Played(self).product_by_inputs)
            some = again._arguments([array[doubtful] for array in given.arrays])
            products[doubtful], _ = again._run(None, some)
        return products


class _OfTraces(Derivatives):
    """A derivative of a traced function, which is compiled itself."""

    def __init__(
        self, f: Callable[..., object], how: How, parameters: list[Value] | None = None
    ) -> None:
        super().__init__(f, how=how, check=False, parameters=parameters)
        self._is_alone = True  # as the traced function may be

    def _check_numbers(self) -> None:
        """It plays traces, which never change; which one it plays, the numbers of now decide."""


class _Played:
    """A traced function, and its slopes: functions to be compiled again.

    It does not run again where its inputs are traced, so all derivatives are those of the same
    function, whatever has changed since.
    """

    def __init__(self, of: ByParameters) -> None:
        self.of = of

    def __call__(self, *inputs: object) -> Any:
        return self._played(inputs, None)

    def _played(self, inputs: Sequence[object], parameters: Sequence[Value] | None) -> Any:
        """What it returns for these inputs, with others in place of its parameters."""
        of = self.of
        if not is_traced():
            return of.function(*inputs)
        assert of._example  # it was traced; what were integers then is traced as such
        pairs = zip(inputs, of._example.arrays, strict=True)
        row = [_column(_numbers(part), own) for part, own in pairs]
        theta = None if parameters is None else numpy.array(_numbers(parameters), float)
        (path, _), *_ = of._split(theta, Arguments(row, of._how))
        instead = None
        if parameters is not None:
            # What no program uses has no place, and stays what it is.
            own = zip(path.tape.parameters, path.places.tolist(), strict=True)
            instead = [p if place < 0 else parameters[place] for p, place in own]
        found = play(path.tape, flat(list(inputs)), instead)
        return found[0] if of._single else found

    def output(self, place: int) -> Callable[..., object]:
        """One output of the function."""
        return self if self.of._single else lambda *inputs: self(*inputs)[place]

    # ---- By the inputs ----

    def gradients(self, *inputs: object) -> list[Value]:
        """The slopes of each output by each input."""
        outputs = range(self.of._paths[0].outputs)
        return [slope for k in outputs for slope in flat(grad(self.output(k))(*inputs))]

    def tangents(self, *inputs: object) -> list[Value]:
        """The same slopes, carried forward from the inputs."""
        moves = [(v, k, 1.0) for k, v in enumerate(flat(list(inputs)))]
        return traced_tangents(flat(self(*inputs)), moves)

    def slopes_along(self, *given: object) -> list[Value]:
        """The slope of each output along a vector, which is given after the inputs."""
        *inputs, vector = given
        moves = [(v, 0, by) for v, by in zip(flat(inputs), flat(vector), strict=True)]
        return traced_tangents(flat(self(*inputs)), moves)

    def slope_by_inputs(self, *given: object) -> Value:
        """The slope of the only output along a vector, which is given after the inputs."""
        *inputs, vector = given
        return _along(self(*inputs), flat(inputs), flat(vector))

    def product_by_inputs(self, *given: object) -> list[Value]:
        """The second derivatives by all inputs, times that vector."""
        *inputs, vector = given
        along = grad(lambda *inside: dot(flat(grad(self)(*inside)), flat(vector)))
        return flat(along(*inputs))

    # ---- By the parameters ----

    def with_parameters(self, *given: object) -> object:
        """The function of its inputs, and of a list of all its parameters."""
        *inputs, theta = given
        return self._played(inputs, flat(theta))

    def weighted(self, known: Sequence[Value], *given: object) -> Value:
        """The sum of its outputs, each times a weight; these are given after the inputs."""
        *inputs, weights = given
        outputs = flat(self._played(inputs, list(map(copied, known))))
        weighted: Value = dot(outputs, flat(weights))
        return weighted

    def slope_by_parameters(
        self, known: Sequence[Value], directions: Sequence[Value], *inputs: object
    ) -> Value:
        """The slope of the only output by parameters, along a direction for each."""
        moved = list(map(copied, known))
        return _along(self._played(inputs, moved), moved, directions)

    def product_by_parameters(
        self, known: Sequence[Value], directions: Sequence[Value], *inputs: object
    ) -> Value:
        """The same, from the gradient."""
        moved = list(map(copied, known))
        out = self._played(inputs, moved)
        by_all: Value = dot(gradient_graphs(out, moved), [v.detach() for v in directions])
        return by_all


def _along(out: Value, inputs: Sequence[Value], direction: Sequence[Value]) -> Value:
    """The slope of a traced Value along a direction, by which nobody will differentiate."""
    if not is_traced():
        return out
    moves = [(v, 0, by.detach()) for v, by in zip(inputs, direction, strict=True)]
    (slope,) = traced_tangents([out], moves)
    return slope


def _along_each(arguments: Arguments, vectors: Floats) -> list[Floats]:
    """Each row as often as there are vectors, and these, for each row.

    So few rows leave most of a processor idle: what is asked for each vector is computed at once.
    """
    many = [numpy.repeat(array, len(vectors), axis=0) for array in arguments.arrays]
    return [*many, numpy.tile(vectors, (arguments.rows, 1))]


@functools.lru_cache(maxsize=64)
def _share(rows: int) -> Floats:
    """The error of one output of so many, of which the mean is taken."""
    return numpy.array([[1.0 / rows]])


def _column(numbers: object, own: Given) -> Given:
    """A row of these numbers; of integers if they are, and if the column was one of integers."""
    row = numpy.array([numbers], float)
    return row.astype(own.dtype) if own.dtype.kind in "iu" and (row % 1 == 0).all() else row


def _numbers(part: Any) -> Any:
    """The numbers of traced inputs, in their structure, in the row that is traced."""
    if isinstance(part, list | tuple):
        return list(map(_numbers, part))
    return part.number if recorder_of(part) else float(part)
