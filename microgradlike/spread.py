"""Learning from examples in blocks, which may be on many machines or larger than the memory.

A batch is rows of some blocks. Each worker that has one of these finds the sums of loss, metric and
gradient over its rows. They are added up, and the step of the optimiser is taken here, as ever.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn, overload

import dask.array
import numpy
from dask.base import persist

from microgradlike.compiler.arrays import Floats, Ints
from microgradlike.compiler.tape import TracingError
from microgradlike.engine import Value, is_traced
from microgradlike.inputs import finite_rows, told
from microgradlike.learning import (
    Array,
    Eager,
    Examples,
    Measuring,
    Replayed,
    Task,
    Trial,
    Way,
    as_value,
    mode,
    of_rows,
    shape_of,
)
from microgradlike.replay import blocks
from microgradlike.replay.arguments import Given
from microgradlike.replay.compiled import Compiled

#: So many examples are tried here before the others are shown to the workers.
TRIED = 64


class Rows(Sequence[Any]):
    """The rows of a Dask array, each computed when it is asked for."""

    def __init__(self, column: blocks.Array) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[object]: ...
    def __getitem__(self, place: int | slice) -> Any:
        (found,) = blocks.computed([self.column[place]])
        return found.tolist()


class Spread(NamedTuple):
    """Examples in blocks; the first ones are also here."""

    X: Rows
    y: Rows
    columns: tuple[blocks.Array, blocks.Array]
    near: Examples

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many examples each block has."""
        return tuple(self.columns[0].chunks[0])

    def batches(self, size: int, shuffle: numpy.random.Generator | None) -> Iterator[list[int]]:
        """The places of all examples, batch after batch."""
        return batches(self.lengths, size, shuffle)

    def learning(
        self, eager: Eager, others: object, trials: Sequence[Sequence[Trial]], changes: str
    ) -> Learning:
        """What learns from these examples and measures the others; see ``Learning``."""
        parts = [self, others] if isinstance(others, Spread) else [self]
        return Learning(eager, parts, trials, changes)

    def measured(self, task: Task) -> tuple[float, float]:
        """The means of loss and metric."""
        return measured(task, self)


def spread(
    X: object, y: object, prefix: str, checked: Callable[[object, object, str], Examples]
) -> Spread:
    """Examples in blocks, of which the first ones are checked by what checks those in memory."""
    names = (f"{prefix}X", f"{prefix}y")
    given = blocks.aligned([X, y], names)
    columns = [column.astype(int) if column.dtype == bool else column for column in given]
    inputs, targets = blocks.first(columns, names, TRIED)
    near = checked(inputs, targets, prefix)
    return Spread(Rows(columns[0]), Rows(columns[1]), (columns[0], columns[1]), near)


def batches(
    lengths: Sequence[int], size: int, shuffle: numpy.random.Generator | None
) -> Iterator[list[int]]:
    """The places of all examples, batch after batch: blocks in a new order, and the rows of each.

    What is left of a block begins the next batch, so that a batch has rows of few blocks.
    """
    starts = numpy.cumsum([0, *lengths])
    order = range(len(lengths)) if shuffle is None else shuffle.permutation(len(lengths))
    left = numpy.empty(0, int)
    for block in order:
        own = numpy.arange(lengths[block])
        if shuffle is not None:
            own = shuffle.permutation(lengths[block])
        left = numpy.append(left, starts[block] + own)
        while len(left) >= size:
            yield left[:size].tolist()
            left = left[size:]
    if len(left):
        yield left.tolist()


class Learning(Replayed):
    """Learning and measuring where the blocks are.

    Args:
        eager, trials, changes: as for ``Replayed``, of the examples that are here.
        parts: the examples to learn from and, if there are some, those to measure.

    Raises:
        TracingError: model, loss or penalty cannot be replayed.
        ValueError: an example is refused; it is named.
    """

    def __init__(
        self,
        eager: Eager,
        parts: Sequence[Spread],
        trials: Sequence[Sequence[Trial]],
        changes: str = "",
    ) -> None:
        super().__init__(eager, [part.near for part in parts], trials, changes)
        self.parts, self.kept = parts, dict[int, list[blocks.Array]]()
        task = Task(eager.model, eager.loss, eager.metric, eager.penalty)
        ways = self.learning, self.using
        for way, part, sending in zip(ways, parts, (1 + self.penalised, 0), strict=False):
            with mode(eager.model, training=way is self.learning):
                way.compiled = Compiled(of_one_example(task), sending=sending)
                way.compiled.trace(*part.near.columns)
                way.places = None
                self._summed(way, list(part.columns), look=True)

    def _of_batch(self, batch: Sequence[int]) -> tuple[Array, Array]:
        """The sums of loss and metric, and the gradient."""
        starts = blocks.starts(self.parts[0].columns[0])
        places = numpy.asarray(batch)
        of_each = starts.searchsorted(places, side="right") - 1
        cuts = numpy.flatnonzero(numpy.diff(of_each)) + 1
        met = of_each[[0, *cuts]].tolist()
        wanted = [
            rows - starts[block] for block, rows in zip(met, numpy.split(places, cuts), strict=True)
        ]
        lengths = [self.parts[0].lengths[block] for block in met]
        columns = self._columns(met, list(map(len, wanted)))
        share = [1 / len(batch)] * (1 + self.penalised)
        (loss, metric, penalty), errors = self._summed(
            self.learning,
            columns,
            share,
            starts=starts[met],
            wanted=list(map(blocks.picked, wanted, lengths)),
        )
        return numpy.array([loss + penalty, metric]), errors

    def _columns(self, met: Sequence[int], counts: Sequence[int]) -> list[blocks.Array]:
        """The blocks of a batch. One of which the next batch takes rows, too, is kept till then."""
        lengths = self.parts[0].lengths
        both = self.parts[0].columns
        some = {block for block, n in zip(met, counts, strict=True) if n < lengths[block]}
        self.kept = {block: kept for block, kept in self.kept.items() if block in some}
        for block in some - self.kept.keys():
            with blocks.workers():
                self.kept[block] = list(persist(*(column.blocks[block] for column in both)))
        found = [self.kept.get(b) or [column.blocks[b] for column in both] for b in met]
        return [dask.array.concatenate(of_each) for of_each in zip(*found, strict=True)]

    def measure(self, data: Spread) -> tuple[float, float]:  # type: ignore[override]
        """The means of loss and metric."""
        (loss, metric, _), _ = self._summed(self.using, list(data.columns))
        return loss / len(data.X), metric / len(data.X)

    def _summed(
        self,
        way: Way,
        columns: list[blocks.Array],
        share: Sequence[float] | None = None,
        look: bool = False,
        starts: Ints | None = None,
        wanted: list[blocks.Picked] | None = None,
    ) -> tuple[list[float], Array]:
        """The sums of loss, metric and penalty, and the gradient."""
        known = self._places(way)
        measuring = Measuring(self.eager.metric, self.of_rows, self.learning.shape, self.penalised)
        theta = known.theta(self.theta, self.flat)
        try:
            return summed(way.compiled, columns, measuring, theta, share, look, starts, wanted)
        except TracingError:  # a path that was met just now may have parameters of its own
            way.places = None
            if len(self._places(way).values) == len(known.values):
                raise
            return self._summed(way, columns, share, look, starts, wanted)

    def _give_up(self, error: Exception, batch: Sequence[int] = ()) -> NoReturn:
        """Nobody goes on example by example where they are on other machines."""
        self.write()
        refuse(error)


def refuse(error: Exception) -> NoReturn:
    """It cannot be replayed, which examples in blocks need."""
    if isinstance(error, TracingError):
        raise TracingError(
            f"examples in blocks are learned from by a compiled function only, and this cannot be "
            f"compiled: {error}; give NumPy arrays for training example by example"
        ) from error
    raise error


# ---- What goes to the workers ------------------------------------------------------------------


def of_one_example(task: Task) -> Callable[..., list[Value]]:
    """A function of one example: its loss, the penalty, and the outputs, for the metric."""
    model, loss, metric, penalty = task

    def of_one_example(x: Sequence[object], target: object) -> list[Value]:
        if not is_traced():  # as fit gives numbers to a model
            x = list(map(told, x))
            target = list(map(told, target)) if isinstance(target, list) else told(target)
        found = [] if penalty is None else [as_value("the penalty", penalty())]
        output = model(x)
        found.insert(0, as_value("the loss of one example", loss(output, target)))
        if metric is not None:
            shape_of(output, found)
        return found

    of_one_example.__qualname__ = "what fit makes of model and loss"
    return of_one_example


def summed(
    of: Compiled,
    columns: list[blocks.Array],
    measuring: Measuring,
    theta: Floats | None = None,
    share: Sequence[float] | None = None,
    look: bool = False,
    starts: Ints | None = None,
    wanted: list[blocks.Picked] | None = None,
) -> tuple[list[float], Array]:
    """The sums of loss, metric and penalty over rows of blocks, and the gradient of their sum.

    Args:
        of: the function of one example.
        columns: the examples and their targets.
        measuring: how loss and metric are found.
        theta: the numbers of its parameters.
        share: of the outputs, which are then differentiated.
        look: whether what cannot be learned from is looked for first.
        starts, wanted: as of ``blocks.Blocks``.
    """
    there = blocks.Blocks(of, columns, theta, also=measuring, names=("X", "y"))
    if starts is not None and wanted is not None:
        there.starts, there.wanted = starts, wanted
    work = functools.partial(_on_block, share=share, look=look)
    found = there.added(work, 3 + there.count)
    return found[:3].tolist(), found[3:][there.places]


def _on_block(
    copy: Compiled,
    measuring: Measuring,
    columns: list[Given],
    share: Sequence[float] | None,
    look: bool,
) -> Floats:
    """What a worker finds for a block."""
    X, y = columns
    if look:
        for name, column in (("X", X), ("y", y)):
            finite_rows(column, name)
    targets = y.astype(float)
    results, errors = copy.run(copy.theta(), (X, targets), share)
    loss, metric = measuring.sums(results, targets, y.tolist())
    penalty = results[:, 1].sum() if measuring.penalised else 0.0
    if share is None:
        errors = numpy.zeros(len(copy.theta()))
    return numpy.concatenate([[loss, metric, penalty], errors])


def measured(task: Task, data: Spread) -> tuple[float, float]:
    """The means of loss and metric."""
    of = Compiled(of_one_example(task), sending=0)
    shape = shape_of(task.model(data.near.X[0]), [])
    try:
        of.trace(*data.near.columns)
        measuring = Measuring(task.metric, of_rows(task.metric), shape, penalised=False)
        (loss, metric, _), _ = summed(of, list(data.columns), measuring, look=True)
    except TracingError as error:
        refuse(error)
    return loss / len(data.X), metric / len(data.X)
