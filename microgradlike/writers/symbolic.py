"""Arrays that are written, not computed: each is a value in an ONNX graph.

A ``Tensor`` has the indices and operators of an array, as ``arrays.py`` uses them, and each of them
writes nodes. It also knows where its error goes: ONNX differentiates nothing, so the backward pass
is written by the same operators. What is known when it is written is computed at once, so a
function of one path has no nodes for choosing one.

The number of rows is known to nobody. In shapes it is ``ROWS``; an array that is ``thin`` is the
same in all rows, and is made as wide as the others only where a node needs that.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import NamedTuple, TypeAlias

import numpy
import numpy.typing
import onnx
from onnx import helper, numpy_helper

from microgradlike.compiler.arrays import Floats, Ints

#: The number of rows, in a shape: no other axis is as long.
ROWS = 2**40
Shape: TypeAlias = "tuple[int, ...]"
Constant: TypeAlias = "numpy.typing.NDArray[numpy.generic]"
#: What stands beside a tensor.
Number: TypeAlias = "Tensor | float"
Attribute: TypeAlias = "int | float | str | Sequence[int] | onnx.TensorProto | onnx.GraphProto"
Key: TypeAlias = "Tensor | Part | tuple[Part, ...]"
Part: TypeAlias = "int | slice | Ints | EllipsisType | None"

#: What the numbers of a tensor are: floats of the model's type, truths, and indices.
FLOAT, TRUTH, INDEX = "f", "b", "i"


# ---- Nodes -------------------------------------------------------------------------------------


class Nodes:
    """The nodes of a model while it is written. What was written once is not written again.

    Args:
        float_type: NumPy's, of all floats.
        taken: names that are given to something else.
    """

    def __init__(self, float_type: numpy.dtype[numpy.floating], taken: Sequence[str]) -> None:
        self.float_type = float_type
        self.types = {
            FLOAT: helper.np_dtype_to_tensor_dtype(float_type),
            TRUTH: onnx.TensorProto.BOOL,
            INDEX: onnx.TensorProto.INT64,
        }
        self.initializers: list[onnx.TensorProto] = []
        #: The nodes of the model, then those of the loop that is being written, and so on inwards.
        self.written: list[list[onnx.NodeProto]] = [[]]
        #: What the nodes do that are being written: their names begin with it.
        self.doing = ""
        #: How many rows there are, as a list of one number; "" if there are no rows.
        self.rows = ""
        #: How parameters are called that stand at some places of theta; and theta, if it is known.
        self.parameters: Callable[[Ints], str] | None = None
        self.theta: Floats | None = None
        #: Whether any error is wanted.
        self.sends = False
        self.tensors = 0
        self._taken = dict.fromkeys(taken, 1)
        self._known: dict[object, str] = {}
        self._depth: dict[str, int] = {}
        self._turned: dict[tuple[object, ...], str] = {}

    def unique(self, name: str) -> str:
        """A name like this that nothing else has."""
        self._taken[name] = count = self._taken.get(name, 0) + 1
        return name if count == 1 else self.unique(f"{name}_{count - 1}")

    def given(self, name: str) -> str:
        """The name of what the loop that is being written is given."""
        name = self.unique(name)
        self._depth[name] = len(self.written) - 1
        return name

    @contextlib.contextmanager
    def named(self, doing: str) -> Iterator[None]:
        """Name the nodes that are written within this block, unless they have a name already."""
        before, self.doing = self.doing, self.doing or doing
        try:
            yield
        finally:
            self.doing = before

    def initializer(self, name: str, array: Constant) -> str:
        """Numbers of the model, by this name."""
        name = self.unique(name)
        if array.dtype.kind == FLOAT:
            with numpy.errstate(over="ignore"):
                array = array.astype(self.float_type)
        self.initializers.append(numpy_helper.from_array(array.copy(order="C"), name))
        return name

    def constant(self, array: Constant) -> str:
        """The name of numbers that are known."""
        key = array.tobytes(), array.dtype.str, array.shape
        if key not in self._known:
            self._known[key] = self.initializer("constant", array)
        return self._known[key]

    def whole(self, *numbers: int) -> str:
        """The name of a list of whole numbers."""
        return self.constant(numpy.array(numbers, numpy.int64))

    def node(self, kind: str, *inputs: str, **attributes: Attribute) -> str:
        """The name of what a node gives. It is written outside of a loop if it can be."""
        key = kind, inputs, str(sorted(attributes.items()))
        if key not in self._known:
            (self._known[key],) = self.nodes(kind, inputs, 1, **attributes)
        return self._known[key]

    def nodes(
        self, kind: str, inputs: Sequence[str], outputs: int, **attributes: Attribute
    ) -> list[str]:
        """The names of all that a node gives."""
        body = attributes.get("body")
        read = [*inputs, *(_read(body.node) if isinstance(body, onnx.GraphProto) else ())]
        depths = [self._depth.get(name, 0) for name in read]
        # What a loop reads of itself is nobody else's.
        depth = max((d for d in depths if d < len(self.written)), default=0)
        own = self.unique(kind.lower() if kind == "Reshape" else self.doing or kind.lower())
        names = [own, *(self.unique(own) for _ in range(outputs - 1))]
        self._depth.update(dict.fromkeys(names, depth))
        made = helper.make_node(kind, inputs, names, name=own)
        made.attribute.extend(helper.make_attribute(*one) for one in sorted(attributes.items()))
        self.written[depth].append(made)
        return names

    def reshaped(self, name: str, shape: Shape) -> str:
        """The same numbers in another shape."""
        return self.node("Reshape", name, self.whole(*(-1 if n == ROWS else n for n in shape)))

    def turned(self, name: str, order: Sequence[int]) -> str:
        """The same numbers with two axes exchanged; what is exchanged twice is as it was."""
        found = self._turned.get((name, *order)) or self.node("Transpose", name, perm=order)
        back = (found, *order)
        self._turned[back] = name
        return found

    def shape(self, shape: Shape) -> str:
        """A shape, as numbers of the model."""
        if ROWS not in shape:
            return self.whole(*shape)
        at = shape.index(ROWS)
        parts = [self.whole(*part) for part in (shape[:at], shape[at + 1 :]) if part]
        parts.insert(int(at > 0), self.rows)
        return self.node("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]

    def body(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[Tensor]
    ) -> onnx.GraphProto:
        """What was written for a loop, as a graph of its own; no more of it will come."""
        # A graph gives what its own nodes have found, each once.
        names = [self._own(output.name()) for output in outputs]
        given = [value(n, t) for n, t in zip(names, outputs, strict=True)]
        written = self.written.pop()
        return helper.make_graph(_needed(written, names), self.unique(name), inputs, given)

    def _own(self, name: str) -> str:
        own = self.unique(name)
        self._depth[own] = len(self.written) - 1
        self.written[-1].append(helper.make_node("Identity", [name], [own], name=own))
        return own

    def graph(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: dict[str, Tensor], doc: str
    ) -> onnx.GraphProto:
        """The graph of the model: what its outputs need."""
        given = [value(name, tensor) for name, tensor in outputs.items()]
        for own, tensor in outputs.items():
            found = tensor.full().name()
            self.written[0].append(helper.make_node("Identity", [found], [own], name=own))
        nodes = _needed(self.written[0], list(outputs))
        read = set(_read(nodes))
        numbers = [one for one in self.initializers if one.name in read]
        return helper.make_graph(nodes, name, inputs, given, numbers, doc_string=doc)


def value(name: str, of: Tensor) -> onnx.ValueInfoProto:
    """The type and the shape of a tensor, by a name of the graph."""
    shape = ["rows" if n == ROWS else n for n in of.shape]
    return helper.make_tensor_value_info(name, of.nodes.types[of.kind], shape)


def _read(nodes: Sequence[onnx.NodeProto]) -> Iterator[str]:
    """The names that nodes read, within loops, too."""
    for node in nodes:
        yield from node.input
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _read(attribute.g.node)


def _needed(nodes: Sequence[onnx.NodeProto], names: Sequence[str]) -> list[onnx.NodeProto]:
    """The nodes without which these names would not be there."""
    wanted, found = set(names), []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output):
            wanted.update(_read([node]))
            found.append(node)
    return found[::-1]


# ---- Tensors -----------------------------------------------------------------------------------


class Made(NamedTuple):
    """What a node gives: its name, and the shape it has there."""

    name: str
    shape: Shape


class Places(NamedTuple):
    """Numbers of theta: where they stand."""

    places: Ints


class Send(NamedTuple):
    """An operand of what made a tensor.

    Attributes:
        to: the operand.
        error: its error, of the tensor's.
        places: the entries of its first axis that get this; None for all.
    """

    to: Tensor
    error: Callable[[Tensor], Tensor]
    places: Ints | None = None


class Tensor:
    """An array in an ONNX graph.

    Args:
        nodes: of the graph.
        source: what a node gives, numbers that are known, or those of parameters.
        shape: with ``ROWS`` for the number of rows.
        kind: ``FLOAT``, ``TRUTH`` or ``INDEX``.
        thin: whether all rows are the same, and the source has only one.
        sends: where its error goes.
        is_leaf: whether its own error is wanted.
    """

    def __init__(
        self, nodes: Nodes, source: Made | Places | Constant, shape: Shape, kind: str = FLOAT,
        thin: bool = False, sends: Sequence[Send] = (), is_leaf: bool = False,
    ) -> None:  # fmt: skip
        self.source = source if isinstance(source, tuple) else numpy.asarray(source)
        self.nodes, self.shape, self.kind = nodes, shape, kind
        self.thin = thin and ROWS in shape
        self.sends = tuple(send for send in sends if send.to.is_sent)
        self.is_sent: bool = is_leaf or bool(self.sends)
        #: What it was put together from, along its first axis; or of what it is a part, and where.
        self.parts: tuple[Tensor, ...] = ()
        self.cut: tuple[Tensor, int] | None = None
        self.number = nodes.tensors
        nodes.tensors += 1

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError("what is written is not known yet, so nothing can be decided by it")

    # ---- What it is ----

    @property
    def own_shape(self) -> Shape:
        """Its shape in the graph, where what is thin has one row."""
        return _narrow(self.shape) if self.thin else self.shape

    @property
    def known(self) -> Constant | None:
        """Its numbers, if they are known."""
        return self.source if isinstance(self.source, numpy.ndarray) else None

    def name(self, shape: Shape | None = None) -> str:
        """Its name in the graph, in its own shape or in another one."""
        shape = self.own_shape if shape is None else shape
        if isinstance(self.source, numpy.ndarray):
            return self.nodes.constant(self.source.reshape(shape))
        if isinstance(self.source, Places):
            assert self.nodes.parameters
            return self.nodes.parameters(self.source.places.reshape(shape))
        name, own = self.source
        return name if own == shape else self.nodes.reshaped(name, shape)

    def like(
        self, source: Made | Places | Constant, shape: Shape, *sends: Send, thin: bool | None = None
    ) -> Tensor:
        """Another one with the same kind of numbers."""
        thin = self.thin if thin is None else thin
        return Tensor(self.nodes, source, shape, self.kind, thin, sends)

    def held(self) -> Tensor:
        """The same numbers, whose error goes nowhere."""
        if not self.is_sent:
            return self
        found = self.like(self.source, self.shape)
        found.parts = tuple(part.held() for part in self.parts)
        return found

    def leaf(self) -> Tensor:
        """The same numbers, whose own error is wanted."""
        return Tensor(self.nodes, self.source, self.shape, self.kind, self.thin, is_leaf=True)

    def made(self) -> Tensor:
        """The same as what a node gives, or as numbers of the model."""
        return self.like(Made(self.name(), self.own_shape), self.shape)

    def full(self) -> Tensor:
        """The same with all rows."""
        if not self.thin:
            return self
        found = self.nodes.node("Expand", self.name(), self.nodes.shape(self.shape))
        same = Send(self, lambda error: error)
        return self.like(Made(found, self.shape), self.shape, same, thin=False)

    def broadcast(self, shape: Shape) -> Tensor:
        """The same numbers, repeated along axes of length 1."""
        if self.shape == shape:
            return self
        if 0 in shape:
            return self.like(numpy.zeros(_narrow(shape)), shape, thin=True)
        before = (1,) * (len(shape) - len(self.shape)) + self.shape
        is_thin = self.thin or ROWS not in before
        own = _narrow(shape) if is_thin else shape
        found = self.reshape(*before)
        source = found.source
        if isinstance(source, numpy.ndarray):
            source = numpy.broadcast_to(source, own)
        elif own != found.own_shape:
            source = Made(self.nodes.node("Expand", found.name(), self.nodes.shape(own)), own)
        sends = Send(self, lambda error: summed_to(error, self.shape))
        return self.like(source, shape, sends, thin=is_thin)

    # ---- Its shape ----

    def __len__(self) -> int:
        return self.shape[0]

    def reshape(self, *shape: int) -> Tensor:
        """The same numbers in another shape; a node does it once it is needed."""
        if -1 in shape:
            others = math.prod(n for n in shape if n != -1)
            shape = tuple(math.prod(self.shape) // others if n == -1 else n for n in shape)
        source, own = self.source, _narrow(shape) if self.thin else shape
        if isinstance(source, numpy.ndarray):
            source = source.reshape(own)
        elif isinstance(source, Places):
            source = Places(source.places.reshape(own))
        return self.like(source, shape, Send(self, lambda error: error.reshape(*self.shape)))

    def swapaxes(self, a: int, b: int) -> Tensor:
        """The same numbers with two axes exchanged."""
        if a == b:
            return self
        order = list(range(len(self.shape)))
        order[a], order[b] = order[b], order[a]
        shape = tuple(self.shape[axis] for axis in order)
        if 1 in (self.shape[a], self.shape[b]) and abs(a - b) == 1:
            return self.reshape(*shape)
        source = self.source
        if isinstance(source, numpy.ndarray):
            source = source.transpose(order)
        elif isinstance(source, Places):
            source = Places(source.places.transpose(order))
        else:
            own = _narrow(shape) if self.thin else shape
            source = Made(self.nodes.turned(self.name(), order), own)
        return self.like(source, shape, Send(self, lambda error: error.swapaxes(a, b)))

    def __getitem__(self, key: Key) -> Tensor:
        if isinstance(key, Tensor):
            return self._taken(key)
        parts = list(key) if isinstance(key, tuple) else [key]
        if any(part is Ellipsis for part in parts):
            at = next(k for k, part in enumerate(parts) if part is Ellipsis)
            given = sum(part is not None for part in parts) - 1
            parts[at : at + 1] = [slice(None)] * (len(self.shape) - given)
        found, axis = self, 0
        for part in parts:
            if part is None:
                found = found.reshape(*found.shape[:axis], 1, *found.shape[axis:])
                axis += 1
                continue
            length = found.shape[axis]
            if not (isinstance(part, slice) and part.indices(length) == (0, length, 1)):
                if isinstance(part, slice):
                    part = numpy.arange(*part.indices(length))
                places: Ints = numpy.array(part, numpy.int64, ndmin=1) % length
                found = found.swapaxes(0, axis)._some(places).swapaxes(0, axis)
            if isinstance(part, int):
                found = found.reshape(*found.shape[:axis], *found.shape[axis + 1 :])
            else:
                axis += 1
        return found

    def _some(self, places: Ints) -> Tensor:
        """Some entries of the first axis."""
        count, shape = len(places), (len(places), *self.shape[1:])
        source = self.source
        if not count:
            return self.like(numpy.zeros(_narrow(shape)), shape, thin=True)
        begin = int(places[0])
        is_cut = bool((places == numpy.arange(begin, begin + count)).all())
        if is_cut and count == len(self):
            return self
        end = 0
        for part in self.parts:
            start, end = end, end + len(part)
            if start <= places.min() and places.max() < end:
                return part._some(places - start)
        if isinstance(source, numpy.ndarray):
            source = source[places]
        elif isinstance(source, Places):
            source = Places(source.places[places])
        else:
            own = (count, *self.own_shape[1:])
            if is_cut:
                ends = [self.nodes.whole(n) for n in (begin, begin + count, 0)]
                source = Made(self.nodes.node("Slice", self.name(), *ends), own)
            else:
                at = self.nodes.whole(*places.tolist())
                source = Made(self.nodes.node("Gather", self.name(), at, axis=0), own)
        found = self.like(source, shape, Send(self, lambda error: error, places))
        found.cut = (self, begin) if is_cut else None
        return found

    def _taken(self, index: Tensor) -> Tensor:
        """The entries of the first axis that another tensor names."""
        own, shape = (of + self.own_shape[1:] for of in (index.own_shape, index.shape))
        name = self.nodes.node("Gather", self.name(), index.name(), axis=0)

        def back(error: Tensor) -> Tensor:
            return _added(self, index.full()[..., None], error)

        return self.like(Made(name, own), shape, Send(self, back), thin=index.thin)

    # ---- Operators ----

    def __add__(self, other: Number) -> Tensor:
        return _sum(self.nodes, "Add", self, other)

    def __radd__(self, other: float) -> Tensor:
        return _sum(self.nodes, "Add", other, self)

    def __sub__(self, other: Number) -> Tensor:
        return _sum(self.nodes, "Sub", self, other)

    def __rsub__(self, other: float) -> Tensor:
        return _sum(self.nodes, "Sub", other, self)

    def __mul__(self, other: Number) -> Tensor:
        x, y = lifted(self.nodes, self, other)
        return written("Mul", x, y).sending(
            Send(x, lambda error: error * y.held()), Send(y, lambda error: error * x.held())
        )

    def __rmul__(self, other: float) -> Tensor:
        return self * other

    def __neg__(self) -> Tensor:
        return written("Neg", self).sending(Send(self, lambda error: -error))

    def __abs__(self) -> Tensor:
        return written("Abs", self)

    def __pow__(self, exponent: int) -> Tensor:
        assert exponent == 2
        return self * self

    def __mod__(self, other: float) -> Tensor:
        return self - written("Floor", self) if other == 1 else NotImplemented

    def __lt__(self, other: Number) -> Tensor:
        return written("Less", *lifted(self.nodes, self, other), gives=TRUTH)

    def __le__(self, other: Number) -> Tensor:
        return written("LessOrEqual", *lifted(self.nodes, self, other), gives=TRUTH)

    def __gt__(self, other: Number) -> Tensor:
        return written("Greater", *lifted(self.nodes, self, other), gives=TRUTH)

    def __ge__(self, other: Number) -> Tensor:
        return written("GreaterOrEqual", *lifted(self.nodes, self, other), gives=TRUTH)

    def __eq__(self, other: Number) -> Tensor:  # type: ignore[override]
        return written("Equal", *lifted(self.nodes, self, other), gives=TRUTH)

    def __ne__(self, other: Number) -> Tensor:  # type: ignore[override]
        return ~(self == other)

    def __invert__(self) -> Tensor:
        return written("Not", truth(self), gives=TRUTH)

    def __and__(self, other: Number) -> Tensor:
        return _both("And", self, other, True)

    __rand__ = __and__

    def __or__(self, other: Number) -> Tensor:
        return _both("Or", self, other, False)

    __ror__ = __or__

    # ---- Along axes ----

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """The sum along an axis, or of all numbers."""
        if axis is None:
            return self._total()
        axis %= len(self.shape)
        kept = (*self.shape[:axis], 1, *self.shape[axis + 1 :])
        shape = kept if keepdims else (*self.shape[:axis], *self.shape[axis + 1 :])
        if self.shape[axis] == 1:
            return self.reshape(*shape)
        whole = self.full() if self.shape[axis] == ROWS else self
        send = Send(self, lambda error: error.reshape(*kept).broadcast(self.shape))
        if whole.known is not None:
            return self.like(whole.known.sum(axis, keepdims=keepdims), shape, send)
        if isinstance(whole.source, Places):
            whole = whole.made()
        name = self.nodes.node("ReduceSum", whole.name(), self.nodes.whole(axis), keepdims=keepdims)
        own = _narrow(shape) if whole.thin else shape
        return whole.like(Made(name, own), shape, send)

    def _total(self) -> Tensor:
        """The sum of all numbers; of parameters it is that of their numbers as they are now."""
        found: Tensor = self
        if isinstance(self.source, Places) and self.nodes.theta is not None:
            send = Send(self, lambda error: error.broadcast(self.shape))
            return self.like(self.nodes.theta[self.source.places].sum(), (), send)
        while found.shape:
            found = found.sum(0)
        return found

    def max(self, axis: int) -> Tensor:
        """The largest numbers along an axis; NaN where one is NaN."""
        shape = (*self.shape[:axis], *self.shape[axis + 1 :])
        own = _narrow(shape) if self.thin else shape
        name = self.nodes.node("ReduceMax", self.name(), axes=[axis], keepdims=0)
        return where((self != self).any(axis), math.nan, self.like(Made(name, own), shape))

    def any(self, axis: int | None = None) -> Tensor:
        """Whether one of some conditions holds, along an axis or of all."""
        shape = () if axis is None else (*self.shape[:axis], *self.shape[axis + 1 :])
        if self.known is not None:
            return self.like(numpy.asarray(self.known.any(axis)), shape)
        axes = range(len(self.shape)) if axis is None else [axis]
        numbers = self.nodes.node("Cast", self.name(), to=onnx.TensorProto.INT64)
        if len(axes):
            numbers = self.nodes.node("ReduceMax", numbers, axes=list(axes), keepdims=0)
        name = self.nodes.node("Cast", numbers, to=onnx.TensorProto.BOOL)
        return self.like(Made(name, _narrow(shape) if self.thin else shape), shape)

    def all(self, axis: int) -> Tensor:
        """Whether all of some conditions hold, along an axis."""
        return ~(~self).any(axis)

    def sending(self, *sends: Send) -> Tensor:
        """The same, which sends its error to these; of what was repeated, all errors are added."""
        return self.like(
            self.source, self.shape,
            *(
                Send(to, functools.partial(_fitting, to.shape, error), places)
                for to, error, places in sends if to.is_sent
            ),
        )  # fmt: skip


def _fitting(shape: Shape, of: Callable[[Tensor], Tensor], error: Tensor) -> Tensor:
    return summed_to(of(error).broadcast(error.shape), shape)


# ---- Operations on tensors ---------------------------------------------------------------------


def _narrow(shape: Shape) -> Shape:
    return tuple(1 if n == ROWS else n for n in shape)


def broadcast_shape(*shapes: Shape) -> Shape:
    """The shape of what several give, each repeated along axes of length 1."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(next((n for n in axis if n != 1), 1) for axis in zip(*padded, strict=True))


def lifted(nodes: Nodes, *operands: Number) -> list[Tensor]:
    """Operands as tensors, of floats if one is of floats."""
    found = [x if isinstance(x, Tensor) else _number(nodes, x) for x in operands]
    if any(x.kind == FLOAT for x in found):
        found = [as_float(x) for x in found]
    return found


def _number(nodes: Nodes, x: float) -> Tensor:
    is_truth = isinstance(x, bool | numpy.bool_)
    found = numpy.array(x, bool if is_truth else float)
    return Tensor(nodes, found, (), found.dtype.kind)


def cast(x: Tensor, kind: str) -> Tensor:
    """The same in numbers of another kind."""
    if x.kind == kind:
        return x
    if x.known is not None:
        with numpy.errstate(invalid="ignore"):
            known = x.known.astype({FLOAT: float, TRUTH: bool, INDEX: numpy.int64}[kind])
        return Tensor(x.nodes, known, x.shape, kind, x.thin)
    name = x.nodes.node("Cast", x.name(), to=x.nodes.types[kind])
    return Tensor(x.nodes, Made(name, x.own_shape), x.shape, kind, x.thin)


def as_float(x: Tensor) -> Tensor:
    """The same as floats: a truth is 1 or 0."""
    return cast(x, FLOAT)


def truth(x: Tensor) -> Tensor:
    """Whether a number is not 0."""
    return x if x.kind == TRUTH else x != 0


#: What is computed at once if the operands are known.
_KNOWN: dict[str, Callable[..., Constant]] = {
    **{"Add": numpy.add, "Sub": numpy.subtract, "Mul": numpy.multiply, "Neg": numpy.negative},
    **{"Less": numpy.less, "LessOrEqual": numpy.less_equal, "Equal": numpy.equal},
    **{"Greater": numpy.greater, "GreaterOrEqual": numpy.greater_equal, "Abs": numpy.abs},
    **{"And": numpy.logical_and, "Or": numpy.logical_or, "Not": numpy.logical_not},
    **{"Div": numpy.divide, "Where": numpy.where, "Floor": numpy.floor},
}


#: Which operand changes nothing, and if it is which number. Versions of onnxruntime that leave out
#: such a node themselves lose what is before it.
_NEUTRAL = {"Add": ((0, 0.0), (1, 0.0)), "Sub": ((1, 0.0),), "Mul": ((0, 1.0), (1, 1.0)),
            "Div": ((1, 1.0),)}  # fmt: skip


def written(kind: str, *operands: Tensor, gives: str = "", **attributes: int) -> Tensor:
    """What a node gives that computes number by number; its error goes nowhere.

    Args:
        kind: of the node.
        operands, attributes: of it.
        gives: the kind of the results; by default that of the last operand.
    """
    nodes, gives = operands[0].nodes, gives or operands[-1].kind
    shape = broadcast_shape(*(x.shape for x in operands))
    known = [x.known for x in operands]
    own = broadcast_shape(*(x.own_shape for x in operands))
    thin = ROWS not in own
    if kind in _KNOWN and all(x is not None for x in known):
        with numpy.errstate(all="ignore"):
            return Tensor(nodes, numpy.asarray(_KNOWN[kind](*known)), shape, gives, thin)
    for side, number in _NEUTRAL.get(kind, ()):
        neutral = known[side]
        if neutral is not None and (neutral == number).all():
            return operands[1 - side].held().broadcast(shape)
    # Axes of length 1 in front are left out: a layer at one place is a product of two matrices.
    rank = next((len(own) - k for k, n in enumerate(own) if n != 1), min(len(own), 1))
    names = [x.name(x.own_shape[-rank:] if rank else ()) for x in operands]
    name = nodes.node(kind, *names, **attributes)
    return Tensor(nodes, Made(name, own[len(own) - rank :]), shape, gives, thin)


def _sum(nodes: Nodes, kind: str, *operands: Number) -> Tensor:
    x, y = lifted(nodes, *operands)

    def to_second(error: Tensor) -> Tensor:
        return -error if kind == "Sub" else error

    return written(kind, x, y).sending(Send(x, lambda error: error), Send(y, to_second))


def _both(kind: str, x: Tensor, other: Number, neutral: bool) -> Tensor:
    """Truths put together; one that is known is left out, or is all there is."""
    x, y = truth(x), truth(*lifted(x.nodes, other))
    for known, other in ((x.known, y), (y.known, x)):
        if known is not None and known.size == 1:
            shape = broadcast_shape(x.shape, y.shape)
            is_neutral = bool(known.item()) == neutral
            return (other if is_neutral else _number(x.nodes, not neutral)).broadcast(shape)
    return written(kind, x, y, gives=TRUTH)


def where(condition: Number, x: Number, y: Number) -> Tensor:
    """``x`` where the condition holds, else ``y``. Where an operand is not taken, its error is 0,
    whatever has arrived."""
    nodes = next(v.nodes for v in (condition, x, y) if isinstance(v, Tensor))
    (condition,) = map(truth, lifted(nodes, condition))
    x, y = lifted(nodes, x, y)
    if x.kind == TRUTH:
        return (condition & x) | (~condition & y)
    shape = broadcast_shape(condition.shape, x.shape, y.shape)
    known = condition.known
    if known is not None and known.size == 1:
        return (x if known.item() else y).broadcast(shape)
    alike = x.own_shape == y.own_shape and _is_same(x.source, y.source)
    found = x.held().broadcast(shape) if alike else written("Where", condition, x, y)
    return found.sending(
        Send(x, lambda error: where(condition, error, 0.0)),
        Send(y, lambda error: where(condition, 0.0, error)),
    )


def _is_same(a: Made | Places | Constant, b: Made | Places | Constant) -> bool:
    return a is b or (isinstance(a, Made) and isinstance(b, Made) and a == b)


def concat(parts: Sequence[Tensor]) -> Tensor:
    """Tensors one after the other, along the first axis."""
    parts = _together([part for part in parts if len(part)]) or list(parts[:1])
    if len(parts) == 1:
        return parts[0]
    kind = FLOAT if any(part.kind == FLOAT for part in parts) else parts[0].kind
    wide = any(not part.thin for part in parts)
    parts = [cast(part, kind) for part in parts]
    shape = (sum(map(len, parts)), *parts[0].shape[1:])
    begins = numpy.cumsum([0, *map(len, parts)])
    sends = [
        Send(part, operator.itemgetter(slice(a, b)))
        for part, a, b in zip(parts, begins[:-1].tolist(), begins[1:].tolist(), strict=True)
    ]
    known = [part.known for part in parts]
    if all(x is not None for x in known):
        return parts[0].like(numpy.concatenate(known), shape, *sends)  # type: ignore[arg-type]
    if all(isinstance(part.source, Places) for part in parts):
        places = numpy.concatenate([part.source.places for part in parts])  # type: ignore[union-attr]
        return parts[0].like(Places(places), shape, *sends)
    if wide:
        parts = [part.full() for part in parts]
    name = parts[0].nodes.node("Concat", *(part.name() for part in parts), axis=0)
    own = shape if wide else _narrow(shape)
    found = parts[0].like(Made(name, own), shape, *sends, thin=not wide)
    found.parts = tuple(parts)
    return found


def _together(parts: Sequence[Tensor]) -> list[Tensor]:
    """The same, where neighbours of one tensor are one part."""
    found: list[Tensor] = []
    for part in parts:
        before = found[-1] if found else None
        if before is not None and before.cut and part.cut and before.cut[0] is part.cut[0]:
            whole, begin = before.cut
            if part.cut[1] == begin + len(before):
                found[-1] = whole[begin : begin + len(before) + len(part)]
                continue
        found.append(part)
    return found


def product(weights: Tensor, values: Tensor) -> Tensor:
    """The product of a matrix, and of one or many."""
    if len(values.shape) == 3 and values.shape[0] == 1:
        return product(weights, values.reshape(*values.shape[1:]))[None]
    shape = (*values.shape[:-2], weights.shape[-2], values.shape[-1])
    name = values.nodes.node("MatMul", weights.name(), values.name())

    def to_weights(error: Tensor) -> Tensor:
        pairs = values.held().full().made().swapaxes(len(shape) - 2, len(shape) - 1)
        found = product_of(error.full().made(), pairs)
        return found.sum(0) if len(shape) == 3 else found

    def to_values(error: Tensor) -> Tensor:
        return product(weights.held().made().swapaxes(0, 1), error.made())

    own = _narrow(shape) if values.thin else shape
    sends = Send(weights, to_weights), Send(values, to_values)
    return values.like(Made(name, own), shape, *sends)


def product_of(first: Tensor, second: Tensor) -> Tensor:
    """The products of matrices, pair by pair; the error goes nowhere."""
    shape = (*first.shape[:-1], second.shape[-1])
    name = first.nodes.node("MatMul", first.name(), second.name())
    return first.like(Made(name, shape), shape)


# ---- The backward pass -------------------------------------------------------------------------


def summed_to(error: Tensor, shape: Shape) -> Tensor:
    """The error of what was repeated: that of all its copies."""
    for _ in range(len(error.shape) - len(shape)):
        error = error.sum(0)
    for axis, (have, want) in enumerate(zip(error.shape, shape, strict=True)):
        if have != want:
            error = error.sum(axis, keepdims=True)
    return error


@dataclass
class _Arrived:
    """What has arrived at a tensor: whole errors, and errors of some entries of its first axis."""

    whole: list[Tensor]
    some: list[tuple[Ints, Tensor]]

    def total(self, of: Tensor) -> Tensor:
        """All of it."""
        found = [error.broadcast(of.shape) for error in self.whole]
        if self.some:
            found.append(_spread(of, self.some))
        return functools.reduce(lambda a, b: a + b, found)


def _spread(of: Tensor, some: Sequence[tuple[Ints, Tensor]]) -> Tensor:
    """The errors of some entries of the first axis, as those of all; elsewhere they are 0."""
    places = numpy.concatenate([at for at, _ in some])
    errors = [error.broadcast((len(at), *of.shape[1:])) for at, error in some]
    there = numpy.unique(places)
    if len(there) < len(places):
        index = Tensor(of.nodes, places[:, None].astype(numpy.int64), (len(places), 1), INDEX)
        return _added(of, index, concat(errors))
    if len(there) < len(of):
        rest = numpy.setdiff1d(numpy.arange(len(of)), there)
        places = numpy.append(places, rest)
        shape = (len(rest), *of.shape[1:])
        errors.append(Tensor(of.nodes, numpy.zeros(_narrow(shape)), shape, thin=True))
    return concat(errors)[numpy.argsort(places)]


def _added(of: Tensor, at: Tensor, errors: Tensor) -> Tensor:
    """Errors added where they belong along the first axis of a tensor."""
    zeros = Tensor(of.nodes, numpy.zeros(_narrow(of.shape)), of.shape, thin=True).full()
    name = of.nodes.node(
        "ScatterND", zeros.name(), at.name(), errors.full().name(), reduction="add"
    )
    return of.like(Made(name, of.shape), of.shape, thin=False)


def sent_back(out: Tensor, error: Tensor, before: int = 0) -> dict[Tensor, Tensor]:
    """The errors that arrive at leaves, or at tensors that are older than a number.

    Args:
        out: where the error begins.
        error: that of ``out``.
        before: the number.
    """
    arrived = {out.number: _Arrived([error], [])}
    tensors = {out.number: out}
    waiting, found = [-out.number], {}
    while waiting:
        tensor = tensors[-heapq.heappop(waiting)]
        total = arrived.pop(tensor.number).total(tensor)
        if tensor.number < before or not tensor.sends:
            found[tensor] = total
            continue
        for send in tensor.sends:
            to, part = send.to, send.error(total)
            if part.known is not None and not part.known.any():
                continue  # nothing passes, so nothing is multiplied by what may be infinite
            if to.number not in tensors:
                tensors[to.number], arrived[to.number] = to, _Arrived([], [])
                heapq.heappush(waiting, -to.number)
            if send.places is None:
                arrived[to.number].whole.append(part)
            else:
                arrived[to.number].some.append((send.places, part))
    return found


def reached(out: Tensor, before: int) -> list[Tensor]:
    """The tensors older than a number to which the errors of another one go."""
    found: dict[int, Tensor] = {}
    seen, stack = {out.number}, [out]
    while stack:
        tensor = stack.pop()
        if tensor.number < before:
            found[tensor.number] = tensor
            continue
        for send in tensor.sends:
            if send.to.number not in seen:
                seen.add(send.to.number)
                stack.append(send.to)
    return [found[number] for number in sorted(found)]
