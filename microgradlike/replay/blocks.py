"""Compiled functions over Dask arrays: each block of rows goes to a worker, and sums come back.

What has an entry for each row is a Dask array again, to be computed when somebody asks for it. What
is summed over rows is computed at once: each block gives a sum of its own, and these are added up
in a tree, so that nobody ever has more than a few blocks, or all sums.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import dask.array
import numpy
from dask.base import compute, tokenize
from dask.delayed import delayed
from dask.layers import ArrayValuesDep

from microgradlike.compiler.arrays import Floats, Ints
from microgradlike.compiler.instructions import PARAMETERS
from microgradlike.compiler.tape import TracingError
from microgradlike.engine import detect_anomaly, is_detecting, is_recording
from microgradlike.inputs import NotInTable, NoWorkers, array_of_numbers, in_whole, names_row
from microgradlike.replay.arguments import Given, check_reduce, check_seeds, given_array
from microgradlike.replay.shipping import Parcel, shipment
from microgradlike.words import counted

if TYPE_CHECKING:
    from microgradlike.replay.compiled import Compiled

#: A column: an array in blocks.
Array: TypeAlias = "dask.array.Array"

#: What a worker does with a copy of the function, what goes with it, and a block of each column.
Work: TypeAlias = "Callable[..., Floats]"

#: Which rows of a block are wanted: their places, or a bit for each row; all of them, if empty.
Picked: TypeAlias = "Ints | bytes"

#: The sums of so many blocks are added up at a time.
AT_A_TIME = 8


# ---- Columns -----------------------------------------------------------------------------------


def aligned(columns: Sequence[object], names: Sequence[str]) -> list[Array]:
    """Columns as Dask arrays whose rows are cut at the same places, and along no other axis.

    They are cut as the one with the most numbers is, so that this one stays where it is.

    Args:
        columns: NumPy arrays and Dask arrays.
        names: what a message calls them.

    Raises:
        TypeError, ValueError: one is no array of numbers with an entry for each row, or nobody
            knows how many rows its blocks have, or they differ in how many there are.
    """
    named = zip(columns, names, strict=True)
    found = [_column(column, place, name) for place, (column, name) in enumerate(named, 1)]
    if len({len(column) for column in found}) > 1:
        raise ValueError(
            "all arguments have one entry for each row, but got "
            f"{', '.join(str(len(column)) for column in found)} entries"
        )
    if not len(found[0]):
        raise ValueError("there are no rows: all arguments are empty")
    cut = max((c for c in found if is_spread(c)), key=lambda c: c.size, default=None)
    rows = (len(found[0]),) if cut is None else cut.chunks[0]
    return [
        _cut(column, rows, name)
        if is_spread(column)
        else dask.array.from_array(column, (rows, *column.shape[1:]))
        for column, name in zip(found, names, strict=True)
    ]


def first(columns: Sequence[Array], names: Sequence[str], count: int) -> list[Given]:
    """The first rows of columns, computed."""
    whole = map(_as_declared, columns, names)
    return computed([column[:count] for column in whole])


def _cut(column: Array, rows: tuple[int, ...], name: str) -> Array:
    """A column with blocks of so many rows. Rows of a block that is too long would get lost."""
    cut = {0: rows, **dict.fromkeys(range(1, column.ndim), -1)}
    found: Array = column.rechunk(cut)
    return found if found is column else _as_declared(column, name).rechunk(cut)


def _as_declared(column: Array, name: str) -> Array:
    """The same, but computing it fails where a block has another shape than the array says."""
    blocks = numpy.ndindex(*column.numblocks)
    shapes = dict(zip(blocks, itertools.product(*column.chunks), strict=True))
    axes, said = range(column.ndim), ArrayValuesDep(column.chunks, shapes)
    found: Array = dask.array.blockwise(
        *(_checked, axes, column, axes, said, axes),
        **{"name_of": name, "align_arrays": False, "dtype": column.dtype, "meta": column._meta},
    )
    return found


def _checked(block: object, said: tuple[int, ...], name_of: str) -> Given:
    """A block as an array; ValueError unless it has the shape that Dask was told."""
    found = array_of_numbers(block, name_of)
    if found.shape != said:
        raise ValueError(
            f"{name_of} is a Dask array that says a block has the shape {said}, but the block has "
            f"{found.shape}; say the right one, as in dask.array.from_delayed(x, shape)"
        )
    return found


def _names(columns: Sequence[object]) -> list[str]:
    return [f"argument {place}" for place in range(1, len(columns) + 1)]


def starts(column: Array) -> Ints:
    """The number of the first row of each block."""
    return numpy.cumsum((0, *column.chunks[0][:-1]), dtype=int)


def is_spread(column: object) -> bool:
    """Whether it is a Dask array."""
    return isinstance(column, dask.array.Array)


def _column(column: Array, place: int, name: str) -> Array:
    """A checked column, a NumPy array or a Dask one."""
    if not is_spread(column):
        if type(column).__module__.startswith("dask"):
            raise TypeError(
                f"{name} is an array of numbers, but got a {type(column).__name__} of "
                "Dask; to_dask_array(lengths=True) of a table makes an array, and "
                "dask.array.from_delayed of what is delayed"
            )
        return given_array(column, place)
    if any(numpy.isnan(length) for length in column.shape):
        raise ValueError(
            f"{name} is a Dask array whose blocks have an unknown number of rows, as "
            "after x[x > 0]; x.compute_chunk_sizes() finds out, x.to_dask_array(lengths=True) of "
            "a table does"
        )
    given_array(column._meta, place)
    return column


def picked(places: Ints, length: int) -> Picked:
    """Rows of a block in as few bytes as they take; in a sum their order does not matter."""
    if len(places) == length:
        return b""
    if 64 * len(places) < length:
        return places
    bits = numpy.zeros(length, bool)
    bits[places] = True
    return numpy.packbits(bits).tobytes()


# ---- On a worker -------------------------------------------------------------------------------


def _on_block(
    *given: Any,
    parcel: Parcel,
    theta: Floats,
    work: Work,
    unmet: Ints | None,
    empty: tuple[int, ...],
    detects: bool,
    of_rows: Sequence[tuple[str, tuple[int, ...]]],
) -> Floats:
    """What a worker does with a block: columns, where it begins, its length, the rows that count.

    Of each column its name and the shape of a row are given, too. What is summed over rows is one
    row of numbers, and 1 for each unmet parameter that was met.
    """
    *columns, (start, length, rows) = given
    if isinstance(rows, bytes):
        rows = numpy.flatnonzero(numpy.unpackbits(numpy.frombuffer(rows, numpy.uint8)))
    for place, (name, shape) in enumerate(of_rows):
        for _ in shape:  # nothing is cut along these axes: a list of one
            columns[place] = columns[place][0]
        columns[place] = _checked(columns[place], (length, *shape), name)
    if len(rows):
        columns = [column[rows] for column in columns]
    if not len(columns[0]):
        return numpy.zeros(empty)

    def in_all(row: int) -> int:
        return int((rows[row] if len(rows) else row) + start)

    try:
        with parcel.copy() as (copy, also), _detecting(detects):
            copy.assign(theta)
            found = work(copy, also, columns)
            return found if unmet is None else numpy.append(found, _met(copy)[unmet])[None]
    except NotInTable as error:
        # As any process knows it.
        raise IndexError(str(error.in_row(in_all(error.row or 0)))) from None
    except (TypeError, ValueError, FloatingPointError) as error:
        sentence = in_whole(str(error), in_all)
        if not names_row(sentence):
            first, last = (in_all(row) for row in (0, len(columns[0]) - 1))
            sentence += f" (in a block with rows {first} to {last})"
        if error.args == (str(error),):  # one of the user's own may be made of other things
            error.args = (sentence,)
        raise


_detecting = functools.partial(lambda on: detect_anomaly() if on else contextlib.nullcontext())


def _rows(copy: Compiled, _: object, columns: list[Given], name: str) -> Floats:
    """What has an entry for each row."""
    found: Floats = getattr(copy, name)(*columns)
    return found


def _outputs(copy: Compiled, _: object, columns: list[Given]) -> Floats:
    """All outputs, also of a function that returns one Value."""
    found, _gradient = copy.run(copy.theta(), columns)
    return found


def _hvp(copy: Compiled, _: object, columns: list[Given]) -> Floats:
    *columns, vectors = columns
    return copy.hvp(*columns, v=vectors)


def _values_and_jacobian(copy: Compiled, _: object, columns: list[Given]) -> Floats:
    """Both side by side, (rows, outputs, 1 + inputs)."""
    values, slopes = copy.value_and_jacobian(*columns)
    return numpy.concatenate([values.reshape(*slopes.shape[:2], 1), slopes], axis=2)


def _gradients(copy: Compiled, _: object, columns: list[Given], places: Ints) -> Floats:
    """By the parameters that the caller's function knows."""
    found = copy.gradients(*columns)
    _refuse_unknown(numpy.setdiff1d(numpy.flatnonzero(_met(copy)), places).size)
    return found[..., places]


def _totals(copy: Compiled, _: object, columns: list[Given], weight: float, slopes: bool) -> Floats:
    """The sum, and its gradient if it is wanted, each row's by its weight."""
    arguments = copy._arguments(columns)
    seeds = numpy.array([[weight]]) if slopes else None
    _, ran = copy._run(None, arguments, seeds, PARAMETERS if slopes else 0)
    return numpy.append(ran.total, ran.errors if slopes else ())


def _weighted(copy: Compiled, _: object, columns: list[Given], seeds: list[float]) -> Floats:
    """The gradient of the sum of all outputs, each weighted."""
    return copy.run(copy.theta(), columns, seeds)[1]


def _second(copy: Compiled, _: object, columns: list[Given], v: Floats | None) -> Floats:
    """The Hessian of the sum by the parameters, or its product with a vector."""
    theta = copy.theta()
    if v is None:
        return copy.hessian_by_parameters(theta, *columns, reduce="sum").ravel()
    return copy.hvp_by_parameters(theta, v, *columns, reduce="sum")


def _met(copy: Compiled) -> Floats:
    """1 for each parameter that a path uses, else 0."""
    found = numpy.zeros(len(copy.parameters))
    for path in copy._paths:
        found[path.places[path.used]] = 1.0
    return found


def _refuse_unknown(more: int) -> None:
    if more:
        raise TracingError(
            f"a row takes a branch that uses {counted(more, 'parameter')} not met before; "
            "take theta() anew and call again after c.trace(X, ...) with all rows, or list them: "
            "compile(f, parameters=...)"
        )


# ---- At the caller's ---------------------------------------------------------------------------


class Blocks:
    """A compiled function and columns in blocks.

    Args:
        of: the function. If it was not traced yet, that is done now, on the first row.
        columns: as for a call, one of them a Dask array at least.
        theta: the numbers of its parameters; None for those that they have now.
        also: what goes with the function.
        names: what a message calls the columns.

    Attributes:
        rows: how many there are.
        inputs, outputs: the numbers of a row, and what the function gives for it.
        starts: for each block the number of its first row.
        wanted: for each block the rows that are wanted of it.
    """

    def __init__(
        self,
        of: Compiled,
        columns: Sequence[object],
        theta: object = None,
        also: object = None,
        names: Sequence[str] = (),
    ) -> None:
        self.of, self.is_now = of, theta is None
        self.names = list(names or _names(columns))
        self.columns = aligned(columns, self.names)
        self.rows = len(self.columns[0])
        row = [numpy.zeros((1, *c.shape[1:]), c.dtype) for c in self.columns]
        if not of.traced:
            row = first(self.columns, self.names, 1)
        self.inputs = of._arguments(row).inputs
        self.outputs = of._paths[0].outputs
        self.theta = of.theta() if self.is_now else of._checked(theta)
        self.shipment = shipment(of, also)
        self.places = self.shipment.places(of)
        self.starts = starts(self.columns[0])
        self.wanted: list[Picked] = [b""] * len(self.starts)

    @property
    def count(self) -> int:
        """How many parameters a copy has."""
        return len(self.shipment.values)

    def mapped(self, work: Work, shape: tuple[int, ...], unmet: Ints | None = None) -> Array:
        """What the work gives for each row; or, with ``unmet``, a sum for each block."""
        sums, axes = unmet is not None, itertools.count(1)
        pairs = [(c, (0, *(next(axes) for _ in c.shape[1:]))) for c in self.columns]
        lengths = self.columns[0].chunks[0]
        cuts = enumerate(zip(self.starts.tolist(), lengths, self.wanted, strict=True))
        cut = ArrayValuesDep(((1,) * len(self.starts),), {(block,): own for block, own in cuts})
        own = {next(axes): length for length in shape}
        theta = self.shipment.theta(self.theta, self.places)
        with workers():
            parcel = self.shipment.there()
        found: Array = dask.array.blockwise(
            _on_block,
            (0, *own),
            *(part for pair in (*pairs, (cut, (0,))) for part in pair),
            parcel=parcel,
            theta=delayed(theta, name=f"theta-{tokenize(theta)}", traverse=False),
            **{"work": work, "unmet": unmet, "empty": (int(sums), *shape)},
            detects=is_detecting(),
            of_rows=[(name, c.shape[1:]) for name, c in zip(self.names, self.columns, strict=True)],
            **{"new_axes": own, "adjust_chunks": {0: 1} if sums else None},
            **{"concatenate": None, "align_arrays": False, "dtype": float},
            meta=numpy.empty((0,) * (1 + len(shape))),
        )
        return found

    def added(self, work: Work, size: int) -> Floats:
        """The sum of what the work gives for each block, so many numbers.

        Parameters that were met by a worker for the first time are known from now on.
        """
        unmet = numpy.setdiff1d(numpy.arange(self.count), self.places)
        every = self.mapped(work, (size + len(unmet),), unmet)
        try:
            (found,) = computed([every.sum(axis=0, split_every=AT_A_TIME)])
        except RuntimeError:
            self.shipment.lost()
            raise
        new = [self.shipment.values[place] for place in unmet[found[size:] > 0]]
        self.of._parameters.add(new)
        if new and not self.is_now:
            _refuse_unknown(len(new))
        self.places = self.shipment.places(self.of)
        return numpy.asarray(found[:size])

    def reduced(self, reduce: str, slopes: bool = True) -> tuple[float, Floats]:
        """The mean or the sum, and its gradient by the parameters."""
        self.of._need_single("a mean or a sum over rows")
        count = self.rows if reduce == "mean" else 1
        work = functools.partial(_totals, weight=1.0 / count, slopes=slopes)
        total, *_ = found = self.added(work, 1 + self.count * slopes)
        return float(total / count), found[1:][self.places] if slopes else numpy.empty(0)

    def of_outputs(self, *more: int) -> tuple[int, ...]:
        """Of what a row gives, for each output if the function returns a list."""
        return more if self.of._single else (self.outputs, *more)


def computed(arrays: Sequence[Array]) -> list[Given]:
    """The arrays, computed by whatever computes for Dask.

    Raises:
        RuntimeError: the workers are gone.
    """
    with workers():
        return list(compute(*arrays))


@contextlib.contextmanager
def workers() -> Iterator[None]:
    """Within this block Dask is asked; a RuntimeError tells that its workers are gone."""
    try:
        yield
    except Exception as error:
        if _is_of_cluster(error):
            _refuse_cluster(error)
        raise


def _is_of_cluster(error: Exception) -> bool:
    known = (concurrent.futures.CancelledError, concurrent.futures.BrokenExecutor)
    return isinstance(error, known) or type(error).__module__.startswith("distributed")


def _refuse_cluster(error: Exception) -> NoReturn:
    kind = type(error).__name__
    if kind == "KilledWorker":
        raise NoWorkers(
            f"Dask gave a block up ({kind}): each worker that took it died; most likely it needs "
            "more memory than they have, or ends their process",
            "take smaller blocks, x.rechunk(...), or workers with more memory, and call again",
        ) from error
    raise NoWorkers(
        f"the workers of Dask are gone, also after its retries ({kind})",
        "start a cluster, connect a client to it, and call again",
    ) from error


# ---- What a compiled function is asked ---------------------------------------------------------

# Each takes the function and what its method of that name was given.


def __call__(of: Compiled, *columns: object) -> Array:
    return values(of, None, *columns)


def values(of: Compiled, theta: object, *columns: object) -> Array:
    blocks = Blocks(of, columns, theta)
    return blocks.mapped(functools.partial(_rows, name="__call__"), blocks.of_outputs())


def jacobian(of: Compiled, *columns: object) -> Array:
    blocks = Blocks(of, columns)
    return blocks.mapped(functools.partial(_rows, name="jacobian"), (blocks.outputs, blocks.inputs))


def value_and_jacobian(of: Compiled, *columns: object) -> tuple[Array, Array]:
    blocks = Blocks(of, columns)
    both = blocks.mapped(_values_and_jacobian, (blocks.outputs, 1 + blocks.inputs))
    return both[:, 0, 0] if of._single else both[:, :, 0], both[:, :, 1:]


def hessian(of: Compiled, *columns: object) -> Array:
    blocks = Blocks(of, columns)
    shape = blocks.of_outputs(blocks.inputs, blocks.inputs)
    return blocks.mapped(functools.partial(_rows, name="hessian"), shape)


def hvp(of: Compiled, *columns: object, v: object) -> Array:
    *cut, vectors = aligned([*columns, v], [*_names(columns), "v"])
    blocks = Blocks(of, cut)
    of._need_single("hvp")
    if vectors.shape != (blocks.rows, blocks.inputs):
        raise ValueError(
            f"v has a vector for each row, shape {(blocks.rows, blocks.inputs)}, "
            f"but got {vectors.shape}"
        )
    blocks.columns.append(vectors)
    blocks.names.append("v")
    return blocks.mapped(_hvp, (blocks.inputs,))


def gradients(of: Compiled, *columns: object) -> Array:
    return jacobian_by_parameters(of, None, *columns)


def jacobian_by_parameters(of: Compiled, theta: object, *columns: object) -> Array:
    blocks = Blocks(of, columns, theta)
    work = functools.partial(_gradients, places=blocks.places)
    return blocks.mapped(work, blocks.of_outputs(len(blocks.places)))


def value_and_grad(
    of: Compiled, theta: object, *columns: object, reduce: str = "mean"
) -> tuple[float, Floats]:
    check_reduce(reduce)
    return Blocks(of, columns, theta).reduced(reduce)


def _mean_or_sum(of: Compiled, reduce: str, *columns: object) -> tuple[float, Floats | None]:
    value, gradient = Blocks(of, columns).reduced(reduce, is_recording())
    return value, gradient if is_recording() else None


def hvp_by_parameters(
    of: Compiled, theta: object, v: object, *columns: object, reduce: str = "mean"
) -> Floats:
    return _by_parameters(of, theta, columns, reduce, v)


def hessian_by_parameters(
    of: Compiled, theta: object, *columns: object, reduce: str = "mean"
) -> Floats:
    return _by_parameters(of, theta, columns, reduce)


def _by_parameters(
    of: Compiled, theta: object, columns: Sequence[object], reduce: str, v: object = None
) -> Floats:
    check_reduce(reduce)
    blocks = Blocks(of, columns, theta)
    of._need_single("a mean or a sum over rows")
    shape, vector = (blocks.count,) * (2 if v is None else 1), None
    if v is not None:
        vector = numpy.zeros(blocks.count)
        vector[blocks.places] = of._checked(v, "v")
    work = functools.partial(_second, v=vector)
    found = blocks.added(work, math.prod(shape)).reshape(shape)
    wanted = found[numpy.ix_(*[blocks.places] * len(shape))]
    return wanted / blocks.rows if reduce == "mean" else wanted


def _run_columns(
    of: Compiled, theta: Floats, seeds: Sequence[float] | None, *columns: object
) -> tuple[Array, Floats]:
    blocks = Blocks(of, columns, theta)
    outputs = blocks.mapped(_outputs, (blocks.outputs,))
    if seeds is None:
        return outputs, numpy.empty(0)
    check_seeds(seeds, blocks.outputs)
    work = functools.partial(_weighted, seeds=list(seeds))
    return outputs, blocks.added(work, blocks.count)[blocks.places]


def trace(of: Compiled, *columns: object) -> Compiled:
    blocks = Blocks(of, columns)
    blocks.added(functools.partial(_weighted, seeds=[]), blocks.count)
    return of
