"""What a result needs to send its error back: a rule of the operator table, or slopes of your own.

Each result holds one rule. All results of an operator and kind of operands share theirs; a node
that you make yourself, with ``custom`` or as in micrograd, has a rule of its own.
"""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeGuard

from microgradlike.inputs import describe, number
from microgradlike.ops import Operator

if TYPE_CHECKING:
    from microgradlike.engine import Number, Value

#: The slopes of a node by its parents: numbers or Values, or a function of the parents that gives
#: them; of one parent its slope alone will do.
Slopes: TypeAlias = "Sequence[Number] | Number | Callable[..., object]"

# ---- Rules of the operator table ---------------------------------------------------------------

_PARENTS: dict[str, Callable[[Any], tuple[Value, ...]]] = {
    "xy": operator.attrgetter("_x", "_y"),
    "x": lambda node: (node._x,),
    "y": lambda node: (node._y,),
}

#: Every rule by its name, e.g. "mul_xy" (two Values) or "mul_x" (a Value times a number).
RULES: dict[str, Rule] = {}


class Rule:
    """Its row of the table, which operands are Values, and how it sends.

    Args:
        name: of the rule.
        row: of the operator table.
        sends_to: the operands that are Values: "x", "y" or "xy".
        send: adds the shares of a node's error to the gradients of its parents.
        again: computes the number of a node once more from those of its operands.
    """

    __slots__ = ("again", "name", "operator", "parents", "send", "sends_to_x", "sends_to_y", "tie")

    def __init__(
        self,
        name: str,
        row: Operator,
        sends_to: str,
        send: Callable[[Value], None],
        again: Callable[[Value], float],
    ) -> None:
        self.name = name
        self.operator = row
        self.sends_to_x = "x" in sends_to
        self.sends_to_y = "y" in sends_to
        self.tie = 0.5 if sends_to == "xy" else 0.0
        self.parents = _PARENTS[sends_to]
        self.send = send
        self.again = again

    def operands(self, node: Value) -> tuple[Number, ...]:
        """What the operation was given."""
        return (node._x,) if node._y is None else (node._x, node._y)

    def __reduce__(self) -> tuple[Callable[..., Rule], tuple[object, ...]]:
        return _rule, (self.name,)  # a pickled graph finds those of its new process


def _rule(name: str) -> Rule:
    return RULES[name]


# ---- Rules of your own -------------------------------------------------------------------------


class CustomRule(Rule):
    """The rule of one node that its user made: its parents, and the slopes by them.

    Args:
        name: of the operation, for pictures.
        parents: the Values that the error goes to.
        slopes: a number or a Value for each parent; or a function of the parents that gives these;
            or None, if a function will send all by itself: see ``SendingRule``.

    Raises:
        TypeError: a parent is no Value, or a slope no number.
        ValueError: there are not as many slopes as parents.
    """

    __slots__ = ("given", "met", "slopes")

    # As methods, not as attributes that hold them: a rule that held a method of its own would be a
    # cycle, and its graph would stay until the cycle collector comes.

    def __init__(
        self,
        name: str,
        parents: tuple[Value, ...],
        slopes: Slopes | None,
    ) -> None:
        for parent in parents:
            if not _is_value(parent):
                raise TypeError(
                    f"the parents of {name!r} are the Values that its error goes to, but got "
                    f"{describe(parent)}"
                )
        self.name = name
        self.operator = Operator(name, name, "", (), ("a slope of your own",) * len(parents))
        self.sends_to_x = self.sends_to_y = True
        self.tie = 0.0
        self.given = parents
        self.met = [] if any(hasattr(type(p), "tape") for p in parents) else _numbers(parents)
        self.slopes: Callable[..., object] | list[Number] | None = (
            slopes if slopes is None or callable(slopes) else self._checked(slopes)
        )

    def parents(self, node: Value) -> tuple[Value, ...]:
        return self.given

    def again(self, node: Value) -> float:
        """Only its user knows how to compute it: NaN, unless its parents have their numbers yet."""
        same = list(map(repr, self.met)) == list(map(repr, _numbers(self.given)))
        return float(node._number) if same else math.nan

    operands = parents

    def numbers(self, node: Value, error: float) -> list[float]:
        """The slope by each parent, if such an error arrives."""
        if self.slopes is None:
            self._refuse()
        return [s if isinstance(s, float) else s._number for s in self._found()]

    def values(self) -> list[Number]:
        """The same to be differentiated again: Values, and numbers for slopes that are constant.

        Raises:
            TypeError: nothing tells how the slopes change with the parents.
        """
        if not callable(self.slopes) and not all(map(_is_value, self.slopes or [0])):
            raise TypeError(
                f"the slopes of {self.name!r} are plain numbers, so nothing is known of how they "
                "change; give them as a function of its parents, such as "
                "custom(value, (x,), lambda x: 2 * x), or as Values"
            )
        return self._found()

    def _found(self) -> list[Number]:
        return self._checked(self.slopes(*self.given)) if callable(self.slopes) else self.slopes  # type: ignore[return-value]

    def send(self, node: Value) -> None:
        for parent, slope in zip(self.given, self.numbers(node, node._grad), strict=True):
            sent = node._grad * slope
            parent._grad += sent

    def _refuse(self) -> NoReturn:
        raise RuntimeError(
            f"the error cannot flow back through {self.name!r}, a Value that was made with "
            "parents but without slopes; give them: custom(value, parents, slopes), or set "
            "its _backward to a function that sends"
        )

    def _checked(self, slopes: object) -> list[Number]:
        if _is_value(slopes) or not isinstance(slopes, Iterable):
            slopes = (slopes,)  # of one parent
        what = f"a slope of {self.name!r}"
        found = [s if _is_value(s) else number(s, what) for s in slopes]
        if len(found) != len(self.given):
            raise ValueError(
                f"{self.name!r} has a slope for each of its {len(self.given)} parents, but got "
                f"{len(found)}"
            )
        return found

    def __reduce__(self) -> tuple[Callable[..., Rule], tuple[object, ...]]:
        return CustomRule, (self.name, self.given, self.slopes)


class SendingRule(CustomRule):
    """The rule of a node whose user sends its error, by ``_backward = send`` as in micrograd.

    Args:
        before: the rule of the node until then.
        node: that is meant.
        send: adds to the gradients of the parents.
    """

    __slots__ = ("before", "sender")

    def __init__(self, before: Rule, node: Value, send: Callable[[], None]) -> None:
        super().__init__(before.name, before.parents(node), None)
        self.before, self.sender, self.operator = before, send, before.operator
        self.sends_to_x, self.sends_to_y = before.sends_to_x, before.sends_to_y

    def operands(self, node: Value) -> tuple[Number, ...]:  # type: ignore[override]
        return self.before.operands(node)

    def again(self, node: Value) -> float:
        return float(self.before.again(node))

    def send(self, node: Value) -> None:
        self.sender()

    def numbers(self, node: Value, error: float) -> list[float]:
        """What it sends of an error, as shares of it: a function that clips has no other slope.

        An operand that is used twice has one gradient, so each of its places gets as much.
        """
        error = error if error and math.isfinite(error) else 1.0
        with _gradients_put_back(type(node), (node, *self.given)):
            for v in (node, *self.given):
                v._grad = 0.0
            node._grad = error
            self.sender()
            return [v._grad / error / self.given.count(v) for v in self.given]

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a copy of {self.name!r}, whose _backward is a function that knows only the "
            "original; give it slopes instead: custom(value, parents, slopes)"
        )


def _numbers(values: Sequence[Value]) -> list[float]:
    return [getattr(v, "_number", math.nan) for v in values]


@contextlib.contextmanager
def _gradients_put_back(kind: type[Value], values: Iterable[Value]) -> Iterator[None]:
    """After this block these Values, and all others whose gradients are written, have theirs."""
    before = {v: v._grad for v in values}
    home: Any = next(one for one in kind.__mro__ if "grad" in vars(one))
    grad = vars(home)["grad"]

    def write(value: Value, number: float) -> None:
        before.setdefault(value, value._grad)
        grad.__set__(value, number)

    home.grad = property(grad.__get__, write)
    try:
        yield
    finally:
        home.grad = grad
        for v, gradient in before.items():
            v._grad = gradient


def _is_value(thing: object) -> TypeGuard[Value]:
    """Whether it is a Value, of a class that is made later than this room is read."""
    return hasattr(type(thing), "_rule")
