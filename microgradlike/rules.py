"""What a result needs to send its error back: a rule of the operator table, or slopes of your own.

Each result holds one rule. All results of an operator and kind of operands share theirs; a node
that you make yourself, with ``custom`` or as in micrograd, has a rule of its own.
"""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from microgradlike.inputs import describe, number
from microgradlike.ops import Operator

if TYPE_CHECKING:
    from microgradlike.engine import Value

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
        send: Callable[[Any], None],
        again: Callable[[Any], float],
    ) -> None:
        self.name = name
        self.operator = row
        self.sends_to_x = "x" in sends_to
        self.sends_to_y = "y" in sends_to
        self.tie = 0.5 if sends_to == "xy" else 0.0
        self.parents = _PARENTS[sends_to]
        self.send = send
        self.again = again

    def operands(self, node: Any) -> tuple[Value | float, ...]:
        """What the operation was given."""
        return (node._x,) if node._y is None else (node._x, node._y)

    def __reduce__(self) -> tuple[Callable[[str], Rule], tuple[str]]:
        return _rule, (self.name,)  # a pickled graph finds those of its new process


def _rule(name: str) -> Rule:
    return RULES[name]


# ---- Rules of your own -------------------------------------------------------------------------

#: A function that sends is asked with these beside 1: of each it sends its slope times as much.
_OTHER_ERRORS = (-(2.0**40), 2.0**-40)


class CustomRule(Rule):
    """The rule of one node that its user made: its parents, and the slopes by them.

    Args:
        name: of the operation, for pictures.
        parents: the Values that the error goes to.
        slopes: a number or a Value for each parent; or a function of the parents that gives these;
            or None, if ``send`` will be a function that does all by itself, as in micrograd.

    Raises:
        TypeError: a parent is no Value, or a slope no number.
        ValueError: there are not as many slopes as parents.
    """

    __slots__ = ("given", "met", "sender", "slopes")

    # As methods, not as attributes that hold them: a rule that held a method of its own would be a
    # cycle, and its graph would stay until the cycle collector comes.

    def __init__(
        self,
        name: str,
        parents: tuple[Value, ...],
        slopes: Sequence[Any] | Callable[..., Any] | None,
    ) -> None:
        self.name = name
        self.operator = Operator(name, name, "", (), ("a slope of your own",) * len(parents))
        self.sends_to_x = self.sends_to_y = True
        self.tie = 0.0
        self.given = parents
        self.slopes = slopes
        self.sender: Callable[[], None] | None = None
        self.met = [] if any(hasattr(type(p), "tape") for p in parents) else _numbers(parents)
        for parent in parents:
            if not _is_value(parent):
                raise TypeError(
                    f"the parents of {name!r} are the Values that its error goes to, but got "
                    f"{describe(parent)}"
                )
        if slopes is not None and not callable(slopes):
            self.slopes = self._checked(slopes)

    def parents(self, node: Any) -> tuple[Value, ...]:
        return self.given

    def again(self, node: Any) -> float:
        """Only its user knows how to compute it: NaN, unless its parents have their numbers yet."""
        same = list(map(repr, self.met)) == list(map(repr, _numbers(self.given)))
        return float(node._number) if same else math.nan

    operands = parents

    def numbers(self, node: Any) -> list[float]:
        """The slope by each parent."""
        if self.slopes is None:
            return self._tried(node)
        return [getattr(slope, "_number", slope) for slope in self._found()]

    def values(self) -> list[Any]:
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

    def replace(self, send: Callable[[], None]) -> None:
        """Let a function of the user's send the error, as in micrograd."""
        self.slopes = None
        self.sender = send
        self.given = tuple(dict.fromkeys(self.given))  # an operand used twice has one gradient

    def _found(self) -> list[Any]:
        return self._checked(self.slopes(*self.given)) if callable(self.slopes) else self.slopes  # type: ignore[return-value]

    def send(self, node: Any) -> None:
        if self.sender:
            return self.sender()
        if self.slopes is None:
            raise RuntimeError(
                f"the error cannot flow back through {self.name!r}, a Value that was made with "
                "parents but without slopes; give them: custom(value, parents, slopes), or set "
                "its _backward to a function that sends"
            )
        for parent, slope in zip(self.given, self.numbers(node), strict=True):
            sent = node._grad * slope
            parent._grad += sent

    def _tried(self, node: Any) -> list[float]:
        """The slopes of a function that sends by itself: what it sends of an error of 1.

        Raises:
            RuntimeError: it does not send as much of another error, so it has no slope.
        """
        slopes = self._sent(node, 1.0)
        for error in _OTHER_ERRORS:
            for slope, sent in zip(slopes, self._sent(node, error), strict=True):
                if math.isfinite(sent) and not math.isclose(sent, slope * error, rel_tol=1e-9):
                    raise RuntimeError(
                        f"the _backward of {self.name!r} has no slope: of an error of 1 it sends "
                        f"{slope:.6g}, but of one of {error:.6g} it sends {sent:.6g} (it clips, "
                        "perhaps); so only backward() gives its gradients, and neither grad nor a "
                        "picture of the steps can"
                    )
        return slopes

    def _sent(self, node: Any, error: float) -> list[float]:
        """What the user's function sends of an error; all gradients are put back."""
        touched = dict.fromkeys((node, *self.given, *_reached(self.sender)))
        before = [v._grad for v in touched]
        try:
            for v in touched:
                v._grad = 0.0
            node._grad = error
            self.send(node)
            return [v._grad for v in self.given]
        finally:
            for v, gradient in zip(touched, before, strict=True):
                v._grad = gradient

    def _checked(self, slopes: Any) -> list[Any]:
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

    def __reduce__(self) -> Any:
        if self.sender:
            raise TypeError(
                f"a copy of {self.name!r}, whose _backward is a function that knows only the "
                "original; give it slopes instead: custom(value, parents, slopes)"
            )
        return CustomRule, (self.name, self.given, self.slopes)


def _numbers(values: Sequence[Any]) -> list[float]:
    return [getattr(v, "_number", math.nan) for v in values]


def _reached(send: Any) -> list[Any]:
    """The Values that a function may send to beside its parents, as in micrograd."""
    cells = getattr(send, "__closure__", None) or ()
    code, space = getattr(send, "__code__", None), getattr(send, "__globals__", {})
    found = [space[name] for name in code.co_names if name in space] if code else []
    for cell in cells:
        with contextlib.suppress(ValueError):  # it is empty
            found.append(cell.cell_contents)
    inner = [v for held in found if isinstance(held, list | tuple) for v in held]
    return [v for v in found + inner if _is_value(v)]


def _is_value(thing: Any) -> bool:
    """Whether it is a Value, of a class that is made later than this room is read."""
    return hasattr(type(thing), "_rule")
