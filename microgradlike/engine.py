"""The engine: a Value records each operation, and backward() applies the chain rule.

Read this file from top to bottom. A Value is a node: a number, its gradient, and how it was made.
The operators are not written here: ``ops.py`` holds one row for each, and ``recording.py`` turns
every row into a method that computes a float and records, and a rule that sends the gradient back.
"""

from __future__ import annotations

import functools
import itertools
import linecache
import math
import numbers
import operator
import os
import sys
import sysconfig
import threading
import warnings
import weakref
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    NamedTuple,
    NoReturn,
    Protocol,
    SupportsFloat,
    SupportsIndex,
    TypeAlias,
    cast,
)

from microgradlike import (
    copying,
    leaving,
    ops,  # noqa: F401  (the generated methods call it)
)
from microgradlike.inputs import (
    beside,  # noqa: F401
    constant,  # noqa: F401
    describe,
    number,
)
from microgradlike.ops import ALIASES, OPERATORS, Operator
from microgradlike.recording import FILENAME, Methods, compile_operators, kinds
from microgradlike.rules import RULES, CustomRule, Rule, SendingRule, Slopes

if TYPE_CHECKING:
    from microgradlike._signatures import Operations
else:
    Operations = object

#: What is computed with: a Value, which remembers, or a plain number, which is a constant.
Number: TypeAlias = "Value | float"

__all__ = ["Value", "custom", "detect_anomaly", "no_grad", "topological_order", "traced_on"]


# ---- The node ----------------------------------------------------------------------------------


class Value(Operations):
    """One number of a computation, which remembers the operation that made it.

    What takes the number out of the graph is a constant to it: ``v.data``, ``float(v)``,
    ``math.sin(v)``, an array of floats that is given a Value. No gradient flows back through it.
    Write ``v.sin()`` or ``microgradlike.sin(v)``, and keep Values in lists or arrays of objects.

    Args:
        data: the number, an int or a float; it is kept as a float. A Value is itself:
            ``Value(v) is v``.
        _children, _op: a node of your own, as in micrograd: its parents, and its name, to which
            ``_backward`` is added, or its slopes; see ``custom``.
        label: the name shown in pictures and derivations, if it has one.

    Raises:
        TypeError: ``data`` is no real number, or ``label`` is no text.

    ``a == b`` of two Values asks whether they are the same one, so that ``v in nodes`` and
    ``nodes.remove(v)`` find it; beside a number, and in ``<`` and ``>``, the numbers are compared.
    ``if v`` asks whether the number is not 0, and warns where it is. A Value that you made takes
    attributes of your own (``p.momentum = 0.0``) and weak references; results, of which there are
    millions, take neither: a dict can hold what belongs to them. Operations on Values of your own
    subclass give Values of that subclass.

    NumPy's own functions take arrays of Values, but not of Values and numbers: those of this
    package do. Graphs of several threads may share the Values that you made: each adds its part to
    their gradients, and none is lost.

    >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    >>> c = a * b + 10
    >>> c.backward()
    >>> c.data, a.grad, b.grad
    (4.0, -3.0, 2.0)
    """

    # `_x` and `_y` are the operands: Values, or floats where the user wrote a number. `_label` is
    # the name, if there is one; of a result the moment in which it was made, or both.
    __slots__ = ("_grad", "_label", "_number", "_rule", "_x", "_y")

    _number: float
    _grad: float
    _label: str | _Moment | tuple[str, _Moment]
    _rule: Rule | None
    _x: Value | float
    _y: Value | float | None

    #: The method of each operator by its name, and that for a number on the left of it.
    recorded: ClassVar[Methods] = {}
    reflected: ClassVar[Methods] = {}

    def __new__(
        cls,
        data: SupportsFloat = 0.0,
        _children: Iterable[Value] | str = (),
        _op: str | Slopes = "",
        *_: object,
        **__: object,
    ) -> Value:
        if isinstance(data, Value) and not _children:
            return data
        if _watching and _mode.tape is not None and _children and not isinstance(_children, str):
            return _mode.tape.custom(data, tuple(_children), *_slopes_and_name(_op))
        return new(Leaf if cls is Value else cls)

    def __init__(
        self,
        data: SupportsFloat,
        _children: Iterable[Value] | str = (),
        _op: str | Slopes = "",
        label: str | None = "",
    ) -> None:
        if isinstance(_children, str):  # Value(2.0, "a")
            label, _children = _children, ()
        if data is not self:
            self._number = number(data._number if isinstance(data, Value) else data, "Value(data)")
            self._grad = 0.0
            self._label = ""
            self._rule = self._y = None
            self._x = 0.0
            if _watching and _mode.tape is not None:
                _mode.tape.made(self)
            if _children:
                _give_rule(self, _children, *_slopes_and_name(_op))
        if label:
            self.label = label

    def __init_subclass__(cls, has_own_operators: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not has_own_operators:
            give_operators(cls, make_operators(cls))

    @property
    def data(self) -> float:
        """The number. Write it only between passes: ``backward()`` uses the numbers as they are.

        Whatever is written is kept as a float. While a function is differentiated, the number of
        what depends on its inputs cannot be read.
        """
        if leaving.running:
            leaving.read(self, frame_of_user_code(), line_of_user_code)
        return self._number

    @data.setter
    def data(self, value: float) -> None:
        if leaving.running:
            leaving.refuse(self, "writing .data", line_of_user_code)
        value = number(value, "v.data = ...")
        _remember(self)
        self._number = value

    @property
    def grad(self) -> float:
        """The derivative of the result by this Value, after ``backward()`` of the result."""
        return self._grad

    @grad.setter
    def grad(self, value: float) -> None:
        self._grad = number(value, "v.grad = ...")

    @property
    def label(self) -> str:
        """The name of this Value in pictures; "" if it has none."""
        name = getattr(self, "_label", "")
        if type(name) is tuple:
            name, _ = name
        return name if isinstance(name, str) else ""

    @label.setter
    def label(self, text: str | None) -> None:
        if text is not None and not isinstance(text, str):
            raise TypeError(f"the label of a Value is text, but got {describe(text)}")
        moment = _moment(self)
        self._label = (text or "", moment) if moment else text or ""

    @property
    def op(self) -> str:
        """The name of the operation that made this Value; "" for one that you made yourself."""
        return self._rule.operator.name if self._rule else ""

    @property
    def is_result(self) -> bool:
        """Whether it was computed, also within ``no_grad``, where the operation is not kept.

        A Value that you made yourself, which can be a parameter, is no result.
        """
        return self._rule is not None or self._y is not None

    @property
    def operands(self) -> tuple[Value | float, ...]:
        """What the operation was given, in its order: Values, and floats for plain numbers."""
        return self._rule.operands(self) if self._rule else ()

    @property
    def parents(self) -> tuple[Value, ...]:
        """The Values among the operands: those that the gradient flows back to."""
        return self._rule.parents(self) if self._rule else ()

    # micrograd's names, which the many functions copied from its notebooks read: there numbers
    # beside a Value are Values too, but for an exponent, which is part of the name.
    @property
    def _op(self) -> str:
        if self._has_fixed_exponent:
            return f"**{self._y:g}"
        return "ReLU" if self.op == "relu" else self._rule.operator.symbol if self._rule else ""

    @property
    def _has_fixed_exponent(self) -> bool:
        return self.op == "pow" and not isinstance(self._y, Value)

    @property
    def _prev(self) -> set[Value]:
        if self._has_fixed_exponent:
            return set(self.parents)
        if self._rule and not isinstance(self._rule, CustomRule):
            self._x = _drawn(self._x)
            self._y = None if self._y is None else _drawn(self._y)
        return {v.drawn if isinstance(v, _Drawn) else v for v in self.operands}  # type: ignore[misc]

    @property
    def _backward(self) -> Callable[[], None]:
        # What it is now: a function that replaces it may call it.
        nothing = _called_last.get(self, lambda: None) if isinstance(self, Leaf) else lambda: None
        return functools.partial(self._rule.send, self) if self._rule else nothing

    @_backward.setter
    def _backward(self, send: Callable[[], None]) -> None:
        _send_by(self, send)

    def backward(self) -> None:
        """Fill in ``.grad``, the derivative of this Value, on everything it was computed from.

        The gradients of operations are set afresh; those of leaves (the Values you made) are added
        to, so that the gradients of several losses sum up until ``zero_grad``.

        Raises:
            ValueError: the graph contains a cycle; nothing was changed.
            RuntimeError: an operand has another number than it had when an operation was computed
                with it, so the slopes would mix old and new numbers (one that has its old number
                again is no error); or this is the result of a computation within the ``no_grad``
                block that it is called in.

        >>> x = Value(3.0)
        >>> (x * x).backward()
        >>> x.grad
        6.0
        """
        if _mode.paused and self._rule is None:
            raise RuntimeError(
                "backward() within no_grad: no operation was recorded that the error could flow "
                "back through; compute the result outside of the no_grad block"
            )
        if leaving.running:
            leaving.refuse(self, "backward(), whose gradients are numbers,", line_of_user_code)
        order = _visit(self)
        zero = self._grad  # that of all operations
        self._grad += 1.0  # the slope of a thing by itself
        if _mode.created is None:
            for node in reversed(order):
                if node._grad is not zero:  # what was sent nothing has nothing to send
                    node._rule.send(node)  # type: ignore[union-attr]
        else:
            for node in reversed(order):
                if node._grad is not zero:
                    _send_checked(node)
        if _called_last:
            _call_leaves(self, order)

    def zero_grad(self) -> None:
        """Set the gradient of this Value, and of everything it was computed from, to zero."""
        for node in topological_order(self):
            for parent in node.parents:
                parent._grad = 0.0
        self._grad = 0.0

    def detach(self) -> Value:
        """The same number and label without the graph: the error does not flow through it.

        Of a parameter it is a new leaf; of a result it stays a result, which is no parameter.
        """
        if _watching and _mode.tape is not None:
            return _mode.tape.detach(self)
        out = Value(self._number, label=self.label)
        if self.is_result:
            out._y = _NOT_KEPT
        return out

    def held(self) -> Number:
        """The number, to compute with as a constant; a traced Value, if the function is traced."""
        if _watching and _mode.tape is not None:
            return _mode.tape.detach(self)
        return self._number

    def __copy__(self) -> Value:
        _refuse_copy(self)
        twin = copying.shallow(self)
        if twin._rule is not None:
            twin._label = twin.label, of_a_copy()
        return twin

    def __deepcopy__(self, memo: copying.Memo) -> Value:
        _refuse_copy(self)
        return copying.deep(self, memo)

    def __reduce_ex__(self, protocol: SupportsIndex) -> copying.Reduced:
        _refuse_copy(self)
        return copying.reduced(self, protocol)

    def __repr__(self) -> str:
        name = f", label={self.label!r}" if self.label else ""
        return f"{type(self).__name__}(data={self._number}, grad={self._grad}{name})"

    def __format__(self, spec: str) -> str:
        if not spec:
            return repr(self)
        text = format(self._number, spec)
        if leaving.running:
            text = leaving.Text(text)
            text.value = self
        return text

    def __float__(self) -> float:
        if _watching and _mode.tape is not None:
            _mode.tape.refuse(self, "float(v)")
        if leaving.running:
            leaving.refuse(self, "float(v), or a function of math,", line_of_user_code)
        return self._number

    def __int__(self) -> int:
        return int(float(self))

    def __bool__(self) -> bool:
        holds = bool(_compare(operator.ne, self, 0))
        if not holds and not is_traced():
            warnings.warn(
                "the truth of a Value is that of its number, which is 0 here: write 'v is not "
                "None' to ask whether there is one, or 'v != 0' to compare the number",
                RuntimeWarning,
                stacklevel=2,
            )
        return holds

    def __pos__(self) -> Value:
        return self

    def __divmod__(self, other: Value | float) -> tuple[Value, Value]:
        return self // other, self % other

    def __rdivmod__(self, other: float) -> tuple[Value, Value]:
        return other // self, other % self

    def as_integer_ratio(self) -> NoReturn:
        """Is refused: ``statistics`` and ``fractions`` ask for it, to compute with fractions."""
        raise TypeError(
            "a Value is no fraction, which statistics and fractions compute with: use "
            "microgradlike.mean(values), or write the formula with Values"
        )

    def conjugate(self) -> Value:
        """This Value itself: NumPy asks for it when it computes a variance."""
        return self

    # Two Values are equal if they are one, as in a set or dict: lists find and remove them by that.
    def __eq__(self, other: object) -> bool:
        if isinstance(other, Value):
            return other.is_same(self)
        return _compare(operator.eq, self, other)

    def __ne__(self, other: object) -> bool:
        if isinstance(other, Value):
            return not other.is_same(self)
        return _compare(operator.ne, self, other)

    def is_same(self, other: Value) -> bool:
        return self is other

    def __lt__(self, other: Value | float) -> bool:
        return _compare(operator.lt, self, other)

    def __le__(self, other: Value | float) -> bool:
        return _compare(operator.le, self, other)

    def __gt__(self, other: Value | float) -> bool:
        return _compare(operator.gt, self, other)

    def __ge__(self, other: Value | float) -> bool:
        return _compare(operator.ge, self, other)

    __hash__: ClassVar[Callable[[Value], int]] = object.__hash__


def _refuse_copy(value: Value) -> None:
    """In a function that is differentiated a copy would be a constant."""
    if leaving.running:
        leaving.refuse(value, "a copy", line_of_user_code)


def copied(value: Value) -> Value:
    """A node of its own with the same number, which gives its error on."""
    if _watching and _mode.tape is not None:
        return _mode.tape.copied(value)
    return value.recorded["where"](value)


def equal(x: Number, y: Number) -> bool:
    """Whether two Values, or numbers, have the same number."""
    x, y = (x, y) if isinstance(x, Value) else (y, x)
    return _compare(operator.eq, x, y) if isinstance(x, Value) else x == y


def _compare(comparison: Callable[..., bool], x: Value, y: object) -> bool:
    if _watching and _mode.tape is not None:
        return cast("bool", _mode.tape.compare(comparison, x, y))
    if isinstance(y, Value):
        number: Any = y._number
    elif isinstance(y, numbers.Real):
        number = y
    else:
        return cast("bool", NotImplemented)
    holds = comparison(x._number, number)
    if _watching and _mode.decisions is not None:
        right = y if isinstance(y, Value) else float(number)
        _mode.decisions.append(Decision(x, comparison, right, holds, line_of_user_code()))
    return holds


class Leaf(Value, has_own_operators=True):
    """A Value that you made yourself: it has room for attributes of your own."""

    # Where its number is, if not here, but on a shelf with those of others (``shelf.py``).
    __slots__ = ("__dict__", "__weakref__", "_home")

    _home: tuple[Any, int] | None


class Node(Value, has_own_operators=True):
    """The result of an operation."""

    # There are many more of these than leaves, so they have no room to spare. None of the two is a
    # subclass of the other: in each operation on both, Python would ask whether it overrides it.
    __slots__ = ()


Leaf.__name__ = Node.__name__ = Value.__name__  # that is what users call them


def _take_apart(node: Node) -> None:
    """Free all that only this node has kept, one after the other.

    Python frees a chain by calls within calls, more of them than the stack of a browser has room
    for: there a chain of 5,000 operations would end Python itself.
    """
    below: list[Any] = [node._x, node._y]
    node._x = node._y = 0.0
    while below:
        part = below.pop()
        if type(part) is tuple:
            below += part
        elif type(part) is Node and sys.getrefcount(part) == _ALONE:
            below += part._x, part._y
            part._x = part._y = 0.0


def _count_of_one() -> int:
    part = object()
    return sys.getrefcount(part)


#: How many references Python counts to what one variable alone refers to: its versions differ.
_ALONE = _count_of_one()
if sys.platform == "emscripten":  # elsewhere it would only cost time
    Node.__del__ = _take_apart


class _Drawn(float):
    """A number beside a Value that was shown as a Value of its own."""

    __slots__ = ("drawn",)

    drawn: Value


def _drawn(operand: Number) -> Number:
    if isinstance(operand, Value | _Drawn):
        return operand
    number = _Drawn(operand)
    number.drawn = Value(operand)
    return number


def topological_order(
    root: Value, leaves: Iterable[Value] = (), among: Container[Value] | None = None
) -> list[Value]:
    """Every operation that ``root`` was computed from, each after its parents; ``root`` is last.

    Leaves are not listed: they have nothing to send. So are those that are given, and what only
    they were computed from. The order is that of a depth-first walk, first
    operand first, so the same graph gives the same order.

    Args:
        root: the result.
        leaves: what the walk ends at.
        among: the operations that are wanted, if not all: it ends at every other one, too.

    Raises:
        ValueError: the graph contains a cycle.

    >>> a = Value(2.0)
    >>> b = a * 3
    >>> [node.op for node in topological_order(b + b.exp())]
    ['mul', 'exp', 'add']
    """
    order: dict[Value, None] = dict.fromkeys(leaves)
    given = len(order)
    opened: set[Value] = set()
    wanted = root._rule is not None and (among is None or root in among)
    path = [root] if wanted else []  # no recursion: a graph of any depth
    while path:
        node = path[-1]
        if node in order:
            path.pop()
        elif node in opened:  # all below it has been listed
            order[path.pop()] = None
        else:
            opened.add(node)
            for parent in reversed(node._rule.parents(node)):  # type: ignore[union-attr]
                if parent._rule is not None and parent not in order:
                    if parent in opened:
                        raise ValueError(_CYCLE)
                    if among is None or parent in among:
                        path.append(parent)
    return list(order)[given:]


def _visit(root: Value) -> list[Value]:
    """The same order, with the gradient of each operation set to zero.

    A visited node is marked by setting its gradient to a zero that no other walk uses: the sweep
    needs that zero anyway, and asking a node is faster than asking a set of a million nodes.
    """
    fresh = _fresh
    opened, zero = float("0.0"), float("0.0")  # objects of their own, unlike the literal 0.0
    order: list[Value] = []
    kept: list[tuple[Value, float]] = []
    path: list[Value] = []  # from the root down to where the walk stands: no recursion, any depth
    node: Any = root
    while True:
        rule = node._rule
        while rule is not None and (grad := node._grad) is not zero:
            if grad is not fresh:
                if grad is opened:
                    _refuse(ValueError(_CYCLE), order + path, kept)
                kept.append((node, grad))
            node._grad = opened
            path.append(node)
            node = node._x if rule.sends_to_x else node._y
            rule = node._rule
        while path:
            node = path.pop()
            if node._rule.sends_to_y:
                y = node._y
                if y._rule is not None and y._grad is not zero:
                    path.append(node)
                    node = y
                    break
            node._grad = zero
            order.append(node)
        else:
            break
    error = _changed(order)
    if error:
        _refuse(error, order, kept)
    return order


def _refuse(error: Exception, visited: list[Value], kept: list[tuple[Value, float]]) -> NoReturn:
    for node in visited:
        node._grad = 0.0
    for node, grad in kept:
        node._grad = grad
    raise error


_CYCLE = (
    "the graph contains a cycle: a Value was made its own ancestor by changing operands by hand, "
    "so there is no order in which the error could flow; rebuild it from operations"
)


#: The zero that the gradient of each result begins with.
_fresh = float("0.0")


# ---- Numbers that are written ------------------------------------------------------------------
# Slopes are computed in the backward pass, from the numbers that Values have then. They must be
# those that the results were computed with. To keep these in each result would take memory, and to
# compare all results with their operands would not do: 5 * 0 is 2 * 0, but has another slope.


class _Moment:
    """A time in which no number is written: each result refers to that in which it was made.

    Attributes:
        place: among all moments.
        is_known: whether all Values that were written since are told. If not, results are computed
            once more: a change is seen only where they have another number then.
    """

    __slots__ = ("is_known", "place")

    def __init__(self, is_known: bool = True) -> None:
        self.place = next(_places)
        self.is_known = is_known

    def __deepcopy__(self, memo: copying.Memo) -> _Moment:
        return of_a_copy()

    def __reduce__(self) -> tuple[Callable[[], _Moment], tuple[()]]:
        return of_a_copy, ()


_places = itertools.count()

#: The moment that lasts, and those before it, as long as a result refers to them, the latest last.
_now = _Moment()
_ended: list[_Moment] = []

#: The places of those: a Value that is written keeps the numbers that it had in them, beside this
#: tuple. There are no more than so many, so who keeps all results waits no longer and longer.
_told: tuple[int, ...] = ()
_MOST_TOLD = 32
_all_are_told = True

#: How many references there are to the moment that lasts, if no result refers to it.
_UNUSED = sys.getrefcount(_now)


def _references() -> int:
    """How many references a moment has that only a list holds, while one walks over the list.

    It is counted because a variable is one more reference while it is handed over, or none: since
    Python 3.14 it is none.
    """
    listed = [_Moment()]
    return next(sys.getrefcount(moment) for moment in listed)


_ONLY_LISTED = _references()


def _remember(written: Value) -> None:
    """Keep the number that a Value has before it is written, for the results made with it."""
    _end_moment()
    told = _told
    if not told:
        return
    if written._rule is not None:  # it keeps its operands, and has no room
        for moment in _ended:
            moment.is_known = False
        return
    before: Any = written._x  # of a leaf it is no operand
    if before and before[0] is told:
        return
    numbers: tuple[float, ...] = (written._number,) * len(told)
    if before and (len(told) > 1 or told[0] in before[0]):
        known = dict(zip(*before, strict=True))
        numbers = tuple(map(known.get, told, numbers))
    written._x = told, numbers  # type: ignore[assignment]


def written_soon() -> bool:
    """Before many leaves are written: whether results are left that one of them must be told of.

    If so, each is written as ``v.data = ...`` does.
    """
    global _told
    _end_moment()
    if _told and not _used():
        with _lock:
            _ended[:] = _used()
            _told = tuple([moment.place for moment in _ended])
    return bool(_told)


def _end_moment() -> None:
    """Numbers will be written: results that are made from now on know others than those so far."""
    global _now
    if sys.getrefcount(_now) > _UNUSED:
        with _lock:
            _tell(_now)
            _now = _Moment()


def _tell(moment: _Moment) -> None:
    """From now on Values that are written keep the numbers that they have in this moment."""
    global _told, _all_are_told
    _ended[:] = _used()
    _ended.append(moment)
    if len(_ended) > _MOST_TOLD:
        _all_are_told = _ended.pop(0).is_known = False
    _told = tuple([moment.place for moment in _ended])


def _used() -> list[_Moment]:
    """The moments that have ended, and that results refer to."""
    return [moment for moment in _ended if sys.getrefcount(moment) > _ONLY_LISTED]


def of_a_copy() -> _Moment:
    """The moment of results that were copied; their operands may have been written before."""
    moment = _Moment(is_known=False)
    with _lock:
        _tell(moment)
    return moment


def _moment(node: Value) -> _Moment | None:
    """When a result was made; None for a leaf."""
    found: object = getattr(node, "_label", None)
    if type(found) is tuple:
        _, found = found
    return found if isinstance(found, _Moment) else None


def check_unchanged(order: list[Value]) -> None:
    """RuntimeError if a number was written after one of these nodes had been computed with it."""
    error = _changed(order)
    if error:
        raise error


def _changed(order: list[Value]) -> RuntimeError | None:
    """What to say if a node or an operand has another number than when the node was computed."""
    if _all_are_told and not _used():
        return None
    for node in order:
        if node._label is _now:
            continue
        moment = cast("_Moment", _moment(node))
        for parent in node.parents:
            before: Any = parent._x if parent._rule is None else None
            if before and moment.place in before[0]:
                old = before[1][before[0].index(moment.place)]
                if repr(old) != repr(parent._number):  # NaN is NaN, and -0.0 is not 0.0
                    now = parent._number
                    return _mixed(f"{_call(node)} was computed when {now} was {old}")
        if not moment.is_known and _differs(node):
            return _mixed(f"{_call(node)} was {node._number} then")
    return None


def _differs(node: Value) -> bool:
    """Whether a node has another number than its operands give now."""
    now = node._rule.again(node)  # type: ignore[union-attr]
    return now != node._number and (now == now or node._number == node._number)


def _mixed(what: str) -> RuntimeError:
    return RuntimeError(
        f"a number was changed after it had been used: {what}, so the slopes would mix old and new "
        "numbers; call backward() before you change v.data, or compute the result anew"
    )


# ---- Nodes of your own -------------------------------------------------------------------------


def custom(
    value: SupportsFloat,
    parents: Iterable[Value],
    slopes: Slopes,
    name: str = "custom",
) -> Value:
    """A node of your own: its number, its parents, and the slope at each of them.

    It is for what the operator table does not have: a function of a library, or a gradient that is
    meant to be another one than that of the value. As a function rather than a decorator, it goes
    wherever a number was computed, by whatever.

    Args:
        value: the number; of a Value its number alone, without the way in which it was computed.
        parents: the Values that the gradient flows back to.
        slopes: the local derivative by each parent. Numbers serve a backward pass; a function of
            the parents that gives Values serves derivatives of any order, and ``compile``, which
            needs a ``value`` that was computed from Values as well.
        name: what pictures call it.

    Returns:
        The node.

    Raises:
        TypeError: the value or a slope is no number, or a parent no Value.
        ValueError: there are not as many slopes as parents.
        TracingError: the function that makes the node is compiled, and its value or slopes are
            plain numbers, which would be those of the first row for all.

    >>> def cube(x):
    ...     return custom(x * x * x, (x,), lambda x: 3 * x * x, name="cube")
    >>> x = Value(2.0)
    >>> cube(x).backward()
    >>> x.grad
    12.0
    """
    if _mode.tape is not None:
        return _mode.tape.custom(value, tuple(parents), slopes, name)
    out = Value(value._number if isinstance(value, Value) else value)
    _give_rule(out, parents, slopes, name)
    return out


#: The functions that are set as ``_backward`` of leaves: they have nothing to send, and are called
#: when all of a gradient has arrived.
_called_last: weakref.WeakKeyDictionary[Value, Callable[[], None]] = weakref.WeakKeyDictionary()
_SLOPES = "give the node slopes as a function: custom(value, parents, slopes)"


def _send_by(node: Value, send: Callable[[], None]) -> None:
    """Let a node send its error by a function of the user's."""
    if _mode.tape is not None:
        _mode.tape.refuse(node, "_backward = a function, which sends numbers,", _SLOPES)
    elif node._rule is not None:
        node._rule = SendingRule(node._rule, node, send)
    elif not _mode.paused:  # what is made within no_grad sends nothing
        _called_last[node] = send


def _call_leaves(root: Value, order: list[Value]) -> None:
    """Call what was set as ``_backward`` of leaves, once all of their gradients have arrived."""
    leaves = [root, *(parent for node in reversed(order) for parent in node.parents)]
    for leaf in dict.fromkeys(leaves):
        if leaf._rule is None and leaf in _called_last:
            _called_last[leaf]()


def _slopes_and_name(op: str | Slopes) -> tuple[Slopes | None, str]:
    """What micrograd's third argument means: the name of the operation, or its slopes."""
    return (None, op or "custom") if isinstance(op, str) else (op, "custom")


def _give_rule(out: Value, parents: Iterable[Value], slopes: Slopes | None, name: str) -> None:
    if _mode.paused:
        return
    if isinstance(parents, Value) or not isinstance(parents, Iterable):
        raise TypeError(
            f"the parents of {name!r} are a tuple of Values, such as (a, b), or (a,) of one, but "
            f"got {describe(parents)}"
        )
    parents = tuple(parents)
    rule = CustomRule(name, parents, slopes)
    if leaving.running:
        leaving.made_from(rule.given, frame_of_user_code())
    out._rule = rule
    out._label = out.label, _now
    # The walk back knows two operands: the others are those of a node that stands for them.
    out._x, *others = (*parents, _NOTHING, _NOTHING)[: max(2, len(parents))]
    out._y = functools.reduce(_beside, reversed(others))
    for each in tuple(leaving.running):
        each.made.append(out)


def _beside(others: Value, parent: Value) -> Value:
    both = new(Node)
    both._number = both._grad = 0.0
    both._rule, both._x, both._y, both._label = _OTHERS, parent, others, _now
    return both


# ---- Modes: recording nothing, or watching everything ------------------------------------------

# The number of modes switched on, in all threads, and of functions that are being differentiated.
# While it is zero an operation pays for one look at it and nothing else; otherwise it asks what its
# own thread has switched on, if there are modes at all.
_watching = _modes = 0


_lock = threading.Lock()


class Recorder(Protocol):
    """What hears of all that is done with Values while a function is traced (see ``Tape``)."""

    def made(self, value: Value) -> None: ...
    def apply(self, rule: Rule, x: Number, y: Number | None, data: float) -> Value: ...
    def compare(self, comparison: Callable[..., bool], x: Value, y: object) -> object: ...
    def copied(self, value: Value) -> Value: ...
    def detach(self, value: Value) -> Value: ...
    def custom(
        self, value: SupportsFloat, parents: tuple[Value, ...], slopes: Slopes | None, name: str
    ) -> Value: ...
    def refuse(self, value: Value, what: str, instead: str = "") -> NoReturn: ...
    def written_as(self, short: Any, written: Any) -> None: ...
    def gradients(self, out: Any, inputs: Sequence[Value]) -> list[Value]: ...
    def number_if_constant(self, value: Value) -> Value | float: ...
    def take(self, entries: Sequence[Number], index: Value) -> Number: ...
    def loop(
        self, step: Any, state: Any, rows: Sequence[object], going: Any
    ) -> tuple[bool, object]: ...
    def need_whole(self, count: Value) -> None: ...
    def counts(self, value: object) -> None: ...


class Choice:
    """A truth value that differs from row to row, in a function that is traced.

    It is no ``abc.ABC``: functions ask for it at each operation, and of those asking is slow.
    """

    __slots__ = ()

    def choose(self, x: Number, y: Number) -> Value:
        """``x`` in rows where it holds, else ``y``; the other one gets no error."""
        raise NotImplementedError

    def value(self) -> Value:
        """1.0 where it holds, 0.0 elsewhere: a truth value is a number, too."""
        return self.choose(1.0, 0.0)


class _Mode(threading.local):
    paused = 0
    checked = 0
    tape: Recorder | None = None
    created: dict[Value, str] | None = None  # each node, and the line of user code that made it
    decisions: list[Decision] | None = None


_mode = _Mode()


#: Stands where the second operand would, in a result whose operation is not kept.
_NOT_KEPT = 0.0


def _watch(change: int, of_modes: bool = True) -> None:
    global _watching, _modes
    with _lock:
        _watching += change
        _modes += change * of_modes


@contextmanager
def no_grad() -> Iterator[None]:
    """Within this block (or function, as a decorator) operations compute but record no graph.

    Each thread has its own: inference in one does not stop the training in another.

    >>> w = Value(2.0)
    >>> with no_grad():
    ...     y = w * 3
    >>> y.data, y.parents
    (6.0, ())
    """
    if _mode.tape is not None:
        raise RuntimeError(
            "no_grad within a function that is being traced: its operations are recorded anyway; "
            "use v.detach() where the error should not flow, and no_grad() around the call"
        )
    _watch(+1)
    _mode.paused += 1
    try:
        yield
    finally:
        _mode.paused -= 1
        _watch(-1)


@contextmanager
def recording() -> Iterator[None]:
    """Within this block operations record, even inside of ``no_grad``: ``grad`` needs its graph."""
    paused, _mode.paused = _mode.paused, 0
    try:
        yield
    finally:
        _mode.paused = paused


@contextmanager
def differentiated(inputs: Iterable[Value]) -> Iterator[leaving.Differentiation]:
    """Within this block a function is called, to be differentiated by these inputs.

    What it makes is noted, and that no number of it leaves the graph is seen to.

    Raises:
        TypeError: a number left the graph.
    """
    _watch(+1, of_modes=False)
    try:
        with leaving.differentiated(inputs) as this:
            yield this
    finally:
        _watch(-1, of_modes=False)


def is_recording() -> bool:
    """Whether operations of this thread record: not within ``no_grad``."""
    return not _mode.paused


def is_traced() -> bool:
    """Whether a function of this thread is being traced."""
    return _mode.tape is not None


def recorder() -> Recorder | None:
    """Who writes down what this thread does, while a function of it is traced."""
    return _mode.tape


def recorder_of(value: object) -> Recorder | None:
    """Who writes down what is done with a traced Value; None of anything else."""
    return getattr(value, "tape", None) if hasattr(type(value), "tape") else None


@contextmanager
def traced_on(tape: Recorder | None) -> Iterator[None]:
    """Within this block the operations of this thread are written on a tape; None for none."""
    outer = _mode.tape
    _watch(+1)
    _mode.tape = tape
    try:
        yield
    finally:
        _mode.tape = outer
        _watch(-1)


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Within this block the first NaN or infinity raises, naming the operation and its line.

    To know the lines, it keeps every node made in the block until the block ends.

    Raises:
        FloatingPointError: an operation's value, or a gradient it sent back, is not finite.

    >>> with detect_anomaly():
    ...     Value(0.0).log()
    Traceback (most recent call last):
        ...
    FloatingPointError: log(0.0) gave -inf, at <doctest ...>, line 2: Value(0.0).log()
    """
    _watch(+1)
    _mode.checked += 1
    if _mode.created is None:
        _mode.created = {}
    try:
        yield
    finally:
        _mode.checked -= 1
        if not _mode.checked:
            _mode.created = None
        _watch(-1)


def lines_of_nodes() -> Mapping[Value, str]:
    """The nodes made within ``detect_anomaly()``, each with the line of user code."""
    return {} if _mode.created is None else _mode.created


class Decision(NamedTuple):
    """A comparison in a program: with another outcome it may have taken another branch."""

    left: Value
    comparison: Callable[..., bool]
    """Of the module ``operator``, such as ``operator.gt``."""
    right: Number
    held: bool
    line: str
    """Where it was asked: file, line and text."""


@contextmanager
def recorded_decisions() -> Iterator[list[Decision]]:
    """Within this block it is written down how each comparison of Values came out.

    A graph knows the branch that was taken, and not what the branch hung on. ``viz.Stepper`` takes
    the list that this gives, and says where other numbers would take another branch.

    >>> x = Value(2.0)
    >>> with recorded_decisions() as decisions:
    ...     y = x * 2 if x > 1 else -x
    >>> [(d.left is x, d.comparison.__name__, d.right, d.held) for d in decisions]
    [(True, 'gt', 1.0, True)]
    """
    outer, found = _mode.decisions, list[Decision]()
    _watch(+1)
    _mode.decisions = found
    try:
        yield found
    finally:
        _mode.decisions = outer
        _watch(-1)


def is_detecting() -> bool:
    """Whether this thread is within ``detect_anomaly()``."""
    return bool(_mode.checked)


def _watched(
    data: float, rule: Rule, x: Value | float, y: Value | float | None, kind: type[Value]
) -> Value:
    """The result of an operation while some mode is on, perhaps in another thread."""
    if _modes and _mode.tape is not None:
        return _mode.tape.apply(rule, x, y, data)
    out = new(kind)  # as quickly as where nobody watches
    out._number, out._grad = data, _fresh
    if _modes and _mode.paused:
        out._rule, out._x, out._y = None, 0.0, _NOT_KEPT
        return out
    out._rule, out._x, out._y, out._label = rule, x, y, _now
    for each in tuple(leaving.running):
        each.made.append(out)
    if _modes and _mode.created is not None:
        _mode.created[out] = line = line_of_user_code()
        if not math.isfinite(data):
            raise FloatingPointError(f"{_call(out)} gave {data}, at {line}")
    return out


def _send_checked(node: Value) -> None:
    assert node._rule is not None
    node._rule.send(node)
    for parent in node.parents:
        if not math.isfinite(parent._grad):
            line = (_mode.created or {}).get(node, "a line outside of detect_anomaly()")
            raise FloatingPointError(
                f"going backward, {_call(node)} with the upstream gradient {node._grad} "
                f"sent a gradient of {parent._grad} to its operand {parent._number}, at {line}"
            )


def _call(node: Value) -> str:
    return f"{node.op}({', '.join(str(float(operand)) for operand in node.operands)})"


def frame_of_user_code() -> FrameType:
    """The frame that called into this package; what libraries did in between is passed over."""
    caller = sys._getframe(1)
    while caller.f_back and _is_in(caller.f_code.co_filename, _OURS):
        caller = caller.f_back
    frame: FrameType | None = caller
    while frame and _is_in(frame.f_code.co_filename, _LIBRARIES):
        frame = frame.f_back
    return frame or caller


@functools.lru_cache(maxsize=1024)  # asked at each decision of a function that is traced
def _is_in(filename: str, folders: tuple[str, ...]) -> bool:
    return filename.startswith(folders)


def line_of_user_code() -> str:
    """The line that called into this package, as file, number and text: what a sentence quotes."""
    frame = frame_of_user_code()
    name, line = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(name, line).strip().rstrip(":")  # the sentence may have its own
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return f"{name}, line {line}: {short}"


#: Of a line that is quoted so many characters are.
_LONGEST = 80


_HERE = os.path.dirname(__file__)
_OURS = (_HERE, FILENAME)
_LIBRARIES = (
    *("<frozen", "<__array_function__", _HERE, FILENAME),
    *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")},
)


# ---- Every row of the table becomes methods and rules ------------------------------------------


def _install(namespace: dict[str, Any]) -> Callable[[type[Value]], Methods]:
    made, make_operators = compile_operators(namespace)
    for row in OPERATORS.values():
        for to in kinds(row):
            name = f"{row.name}_{to}"
            rule = Rule(name, row, to, made[f"send_{name}"], made[f"again_{name}"])
            RULES[name] = namespace[name] = rule
    return make_operators


def give_operators(kind: type[Value], made: Methods) -> None:
    """Give a class of Values the methods that were made for it from the rows of the table.

    Those that a subclass of the user's writes itself stay.
    """
    kind.recorded = {row.name: made[row.name] for row in OPERATORS.values()}
    kind.reflected = {
        row.name: made[f"reflected_{row.name}"]
        for row in OPERATORS.values()
        if len(row.slopes) == 2
    }
    methods: Methods = {}
    for name, row in OPERATORS.items():
        if row.method:
            methods[row.method] = kind.recorded[name]
        if row.reflected_method:
            methods[row.reflected_method] = kind.reflected[name]
        else:
            aliases = (alias for alias, of in ALIASES.items() if of == name)
            methods |= dict.fromkeys((name, *aliases), kind.recorded[name])
    for name, method in methods.items():
        if kind is Value or _is_made(getattr(kind, name, None)):
            setattr(kind, name, method)


def _is_made(method: object) -> bool:
    code = getattr(method, "__code__", None)
    return code is not None and code.co_filename.startswith(FILENAME)


new = object.__new__
make_operators = _install(globals())
give_operators(Value, make_operators(Node))

_NOTHING = Value(0.0)
_OTHERS = Rule(
    "", Operator("", "", "", (), ()), "xy", lambda _: None, operator.attrgetter("_number")
)
