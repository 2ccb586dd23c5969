"""The engine: a Value records each operation, and backward() applies the chain rule.

Read this file from top to bottom. A Value is a node: a number, its gradient, and how it was made.
The operators are not written here: ``ops.py`` holds one row for each, and ``recording.py`` turns
every row into a method that computes a float and records, and a rule that sends the error back.
"""

from __future__ import annotations

import linecache
import math
import numbers
import operator
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, cast

from microgradlike import ops  # noqa: F401  (the generated methods call it)
from microgradlike.inputs import constant, describe, number  # noqa: F401  (constant: likewise)
from microgradlike.ops import ALIASES, OPERATORS, Operator
from microgradlike.recording import FILENAME, compile_operators, kinds

if TYPE_CHECKING:
    from microgradlike._signatures import Operations
else:
    Operations = object

__all__ = ["Rule", "Value", "detect_anomaly", "no_grad", "topological_order", "traced_on"]


# ---- The node ----------------------------------------------------------------------------------


class Value(Operations):
    """One number of a computation, which remembers the operation that made it.

    Args:
        data: the number, an int or a float; it is kept as a float.
        label: the name shown in pictures and derivations, if it has one.

    Raises:
        TypeError: ``data`` is no real number, or ``label`` is no text.

    >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    >>> c = a * b + 10
    >>> c.backward()
    >>> c.data, a.grad, b.grad
    (4.0, -3.0, 2.0)
    """

    # `_x` and `_y` are the operands: Values, or floats where the user wrote a number.
    __slots__ = ("_rule", "_x", "_y", "data", "grad", "label")

    data: float
    grad: float
    label: str | None
    _rule: Rule | None
    _x: Value | float
    _y: Value | float | None

    #: The method of each operator by its name, and that for a number on the left of it.
    recorded: ClassVar[dict[str, Callable[..., Any]]] = {}
    reflected: ClassVar[dict[str, Callable[..., Any]]] = {}

    def __init__(self, data: float, label: str | None = None) -> None:
        if label is not None and not isinstance(label, str):
            raise TypeError(f"the label of a Value is text, but got {describe(label)}")
        self.data = number(data, "Value(data)")
        self.grad = 0.0
        self.label = label
        self._rule = self._y = None
        self._x = 0.0
        if _watching and _mode.tape is not None:
            _mode.tape.made(self)

    @property
    def op(self) -> str:
        """The name of the operation that made this Value; "" for one that you made yourself."""
        return self._rule.operator.name if self._rule else ""

    @property
    def operands(self) -> tuple[Value | float, ...]:
        """What the operation was given, in its order: Values, and floats for plain numbers."""
        if self._rule is None:
            return ()
        return (self._x,) if self._y is None else (self._x, self._y)

    @property
    def parents(self) -> tuple[Value, ...]:
        """The Values among the operands: those that the error flows back to."""
        if self._rule is None:
            return ()
        return self._rule.parents(self)

    # micrograd's names, which the many graph-drawing functions copied from its notebooks read.
    @property
    def _op(self) -> str:
        return self._rule.operator.symbol if self._rule else ""

    @property
    def _prev(self) -> set[Value]:
        return set(self.parents)

    @property
    def _backward(self) -> Callable[[], None]:
        return lambda: self._rule.send(self) if self._rule else None

    def backward(self) -> None:
        """Fill in ``.grad``, the derivative of this Value, on everything it was computed from.

        The gradients of operations are set afresh; those of leaves (the Values you made) are added
        to, so that the gradients of several losses sum up until ``zero_grad``.

        Raises:
            ValueError: the graph contains a cycle; nothing was changed.
            RuntimeError: this is the result of a computation within the ``no_grad`` block that it
                is called in, so there is no graph.

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
        order = _visit(self)
        self.grad += 1.0  # the slope of a thing by itself
        if _mode.created is None:
            for node in reversed(order):
                node._rule.send(node)  # type: ignore[union-attr]
        else:
            for node in reversed(order):
                _send_checked(node)

    def zero_grad(self) -> None:
        """Set the gradient of this Value, and of everything it was computed from, to zero."""
        for node in topological_order(self):
            for parent in node.parents:
                parent.grad = 0.0
        self.grad = 0.0

    def detach(self) -> Value:
        """A new leaf with the same number and label: the error does not flow through it."""
        if _watching and _mode.tape is not None:
            return _mode.tape.detach(self)
        return Value(self.data, self.label)

    def held(self) -> Any:
        """The number, to compute with as a constant; a traced Value, if the function is traced."""
        if _watching and _mode.tape is not None:
            return _mode.tape.detach(self)
        return self.data

    def __repr__(self) -> str:
        name = f", label={self.label!r}" if self.label is not None else ""
        return f"Value(data={self.data}, grad={self.grad}{name})"

    def __format__(self, spec: str) -> str:
        return format(self.data, spec) if spec else repr(self)

    def __float__(self) -> float:
        if _watching and _mode.tape is not None:
            _mode.tape.refuse(self, "float(v)")
        return self.data

    def __int__(self) -> int:
        return int(float(self))

    def __bool__(self) -> bool:
        return bool(_compare(operator.ne, self, 0))

    def __pos__(self) -> Value:
        return self

    def conjugate(self) -> Value:
        """This Value itself: NumPy asks for it when it computes a variance."""
        return self

    # Comparisons compare data; a Value is still found in a set or dict by its identity.
    def __eq__(self, other: object) -> bool:
        return _compare(operator.eq, self, other)

    def __ne__(self, other: object) -> bool:
        return _compare(operator.ne, self, other)

    def __lt__(self, other: Value | float) -> bool:
        return _compare(operator.lt, self, other)

    def __le__(self, other: Value | float) -> bool:
        return _compare(operator.le, self, other)

    def __gt__(self, other: Value | float) -> bool:
        return _compare(operator.gt, self, other)

    def __ge__(self, other: Value | float) -> bool:
        return _compare(operator.ge, self, other)

    __hash__ = object.__hash__


def _compare(comparison: Callable[[float, Any], bool], x: Value, y: Any) -> bool:
    if _watching and _mode.tape is not None:
        return cast("bool", _mode.tape.compare(comparison, x, y))
    if isinstance(y, Value):
        return comparison(x.data, y.data)
    if isinstance(y, numbers.Real):
        return comparison(x.data, y)
    return cast("bool", NotImplemented)


def topological_order(root: Value) -> list[Value]:
    """Every operation that ``root`` was computed from, each after its parents; ``root`` is last.

    Leaves are not listed: they have nothing to send. The order is that of a depth-first walk, first
    operand first, so the same graph gives the same order.

    Raises:
        ValueError: the graph contains a cycle.

    >>> a = Value(2.0)
    >>> b = a * 3
    >>> [node.op for node in topological_order(b + b.exp())]
    ['mul', 'exp', 'add']
    """
    order: dict[Value, None] = {}
    opened: set[Value] = set()
    path = [root] if root._rule else []  # no recursion: a graph of any depth
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
                    path.append(parent)
    return list(order)


def _visit(root: Value) -> list[Value]:
    """The same order, with the gradient of each operation set to zero.

    A visited node is marked by setting its gradient to a zero that no other walk uses: the sweep
    needs that zero anyway, and asking a node is faster than asking a set of a million nodes.
    """
    zero = float("0.0")  # an object of its own, unlike the literal 0.0
    order: list[Value] = []
    grads: list[float] = []
    path: list[Value] = []  # from the root down to where the walk stands: no recursion, any depth
    longest = 1000
    node: Any = root
    while True:
        rule = node._rule
        while rule is not None and node.grad is not zero:
            path.append(node)
            node = node._x if rule.sends_to_x else node._y
            rule = node._rule
            if len(path) > longest:
                longest *= 2
                if len(set(path)) < len(path):
                    _refuse_cycle(order, grads)
        while path:
            node = path.pop()
            if node._rule.sends_to_y:
                y = node._y
                if y._rule is not None and y.grad is not zero:
                    path.append(node)
                    node = y
                    break
            grads.append(node.grad)
            node.grad = zero
            order.append(node)
        else:
            return order


def _refuse_cycle(order: list[Value], grads: list[float]) -> NoReturn:
    for node, grad in zip(order, grads, strict=True):
        node.grad = grad
    raise ValueError(_CYCLE)


_CYCLE = (
    "the graph contains a cycle: a Value was made its own ancestor by changing operands by hand, "
    "so there is no order in which the error could flow; rebuild it from operations"
)


_PARENTS: dict[str, Callable[[Any], tuple[Value, ...]]] = {
    "xy": operator.attrgetter("_x", "_y"),
    "x": lambda node: (node._x,),
    "y": lambda node: (node._y,),
}


class Rule:
    """What a node needs to send its error back: its row, which operands are Values, how to send."""

    __slots__ = ("name", "operator", "parents", "send", "sends_to_x", "sends_to_y", "tie")

    def __init__(self, name: str, row: Operator, sends_to: str, send: Callable[[Value], None]):
        self.name = name
        self.operator = row
        self.sends_to_x = "x" in sends_to
        self.sends_to_y = "y" in sends_to
        self.tie = 0.5 if sends_to == "xy" else 0.0
        self.parents = _PARENTS[sends_to]
        self.send = send

    def __reduce__(self) -> tuple[Callable[[str], Rule], tuple[str]]:
        return _rule, (self.name,)  # a pickled graph finds the rules of its new process


def _rule(name: str) -> Rule:
    return RULES[name]


# ---- Modes: recording nothing, or watching everything ------------------------------------------

# The number of modes switched on, in all threads. While it is zero an operation pays for one look
# at it and nothing else; otherwise it asks what its own thread has switched on.
_watching = 0


_lock = threading.Lock()


class Recorder(Protocol):
    """What hears of all that is done with Values while a function is traced (see ``tape.py``)."""

    def made(self, value: Value) -> None: ...
    def apply(self, rule: Rule, x: Any, y: Any, data: float) -> Value: ...
    def compare(self, comparison: Callable[..., bool], x: Any, y: Any) -> Any: ...
    def detach(self, value: Value) -> Value: ...
    def refuse(self, value: Value, what: str) -> NoReturn: ...


class _Mode(threading.local):
    paused = 0
    checked = 0
    tape: Recorder | None = None
    created: dict[Value, str] | None = None  # each node, and the line of user code that made it


_mode = _Mode()


def _watch(change: int) -> None:
    global _watching
    with _lock:
        _watching += change


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


def is_recording() -> bool:
    """Whether operations of this thread record: not within ``no_grad``."""
    return not _mode.paused


def is_traced() -> bool:
    """Whether a function of this thread is being traced."""
    return _mode.tape is not None


@contextmanager
def traced_on(tape: Recorder) -> Iterator[None]:
    """Within this block the operations of this thread are written on a tape."""
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


def is_detecting() -> bool:
    """Whether this thread is within ``detect_anomaly()``."""
    return bool(_mode.checked)


def _watched(data: float, rule: Rule, x: Value | float, y: Value | float | None) -> Value:
    """The result of an operation while some mode is on, perhaps in another thread."""
    if _mode.tape is not None:
        return _mode.tape.apply(rule, x, y, data)
    out = new(Value)  # as quickly as where nobody watches
    out.data, out.grad, out.label = data, 0.0, None
    if _mode.paused:
        out._rule, out._x, out._y = None, 0.0, None
        return out
    out._rule, out._x, out._y = rule, x, y
    if _mode.created is not None:
        _mode.created[out] = line = line_of_user_code()
        if not math.isfinite(data):
            raise FloatingPointError(f"{_call(out)} gave {data}, at {line}")
    return out


def _send_checked(node: Value) -> None:
    assert node._rule is not None
    node._rule.send(node)
    for parent in node.parents:
        if not math.isfinite(parent.grad):
            line = (_mode.created or {}).get(node, "a line outside of detect_anomaly()")
            raise FloatingPointError(
                f"going backward, {_call(node)} with the upstream gradient {node.grad} "
                f"sent a gradient of {parent.grad} to its operand {parent.data}, at {line}"
            )


def _call(node: Value) -> str:
    return f"{node.op}({', '.join(str(float(operand)) for operand in node.operands)})"


def line_of_user_code() -> str:
    """The line that called into this package, as file, number and text."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith((_HERE, FILENAME)):
        frame = frame.f_back
    name, line = frame.f_code.co_filename, frame.f_lineno
    return f"{name}, line {line}: {linecache.getline(name, line).strip()}"


_HERE = os.path.dirname(__file__)


# ---- Every row of the table becomes methods and rules ------------------------------------------

#: Every rule by its name, e.g. "mul_xy" (two Values) or "mul_x" (a Value times a number).
RULES: dict[str, Rule] = {}


def _install(namespace: dict[str, Any]) -> None:
    made = compile_operators(namespace)
    for row in OPERATORS.values():
        for to in kinds(row):
            name = f"{row.name}_{to}"
            RULES[name] = namespace[name] = Rule(name, row, to, made[f"send_{name}"])
    give_operators(Value, made)


def give_operators(kind: type[Value], made: dict[str, Callable[..., Any]]) -> None:
    """Give a class of Values the methods that were made for it from the rows of the table."""
    kind.recorded = {row.name: made[row.name] for row in OPERATORS.values()}
    kind.reflected = {
        row.name: made[f"reflected_{row.name}"]
        for row in OPERATORS.values()
        if len(row.slopes) == 2
    }
    for name, method in kind.recorded.items():
        if hasattr(float, f"__{name}__"):  # an operator of Python itself
            setattr(kind, f"__{name}__", method)
        if hasattr(float, f"__r{name}__"):
            setattr(kind, f"__r{name}__", kind.reflected[name])
        else:
            for alias in (name, *(alias for alias, of in ALIASES.items() if of == name)):
                setattr(kind, alias, method)


new = object.__new__
_install(globals())
