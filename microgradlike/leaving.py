"""While a function is differentiated, no number of what it is differentiated by leaves the graph.

``math.exp(x)``, ``float(x)``, ``x.data`` and an array of floats that is given ``x`` get a plain
number, through which no gradient flows back. A plain ``backward()`` cannot know what was done with
it. But while ``grad`` calls a function, it knows the inputs: a number that depends on them and
leaves the graph would make the derivative silently wrong, so it is refused. A Value that does not
depend on them is a constant there, and may be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microgradlike.engine import Value


class Differentiation:
    """A function that is being differentiated by its inputs.

    Attributes:
        made: every operation since it was called, each after its operands. What was made before
            depends on no input, so a graph that had grown long until then is never walked.
    """

    def __init__(self, inputs: Iterable[Value]) -> None:
        self.made: list[Value] = []
        self.refusal: TypeError | None = None
        self._dependent = set(inputs)
        self._asked = 0  # how many of those that were made have been asked for their operands
        #: The numbers that were read, where, and by which functions, the innermost first: a node of
        #: one's own may be made from them.
        self.read: list[tuple[Value, list[FrameType], TypeError]] = []

    def dependent(self) -> set[Value]:
        """The inputs, and all that was made and depends on one of them."""
        found, count = self._dependent, len(self.made)
        for place in range(self._asked, count):
            node = self.made[place]
            if not found.isdisjoint(node.parents):
                found.add(node)
        self._asked = count
        return found


#: Those of all threads, as a function may hand its Values to another thread. While there are none,
#: who reads a number pays for one look at this list.
running: list[Differentiation] = []


@contextmanager
def differentiated(inputs: Iterable[Value]) -> Iterator[Differentiation]:
    """In this block a function is called, to be differentiated by these inputs.

    It is for ``engine.differentiated``, which sees to it that what is made is noted.

    Raises:
        TypeError: a number left the graph, even if the function caught that error itself.
    """
    this = Differentiation(inputs)
    running.append(this)
    try:
        yield this
    except Exception as error:
        if this.refusal is None or error is this.refusal:
            raise
        raise this.refusal from error  # NumPy, for one, has a sentence of its own
    finally:
        running.remove(this)
    for refusal in (this.refusal, *(refusal for _, _, refusal in this.read)):
        if refusal is not None:
            raise refusal


def depends(value: Value) -> bool:
    """Whether a value depends on the inputs of a function that is being differentiated."""
    return any(value in each.dependent() for each in tuple(running))


def read(value: Value, frame: FrameType | None, line: Callable[[], str]) -> None:
    """A number was read, as a node of one's own is made of the numbers of its parents.

    It is refused in the end, unless the function that read it makes such a node; see ``made_from``.
    """
    reached = [each for each in tuple(running) if value in each.dependent()]
    if reached:
        callers: list[FrameType] = []
        while frame is not None and len(callers) < _CALLERS:
            callers.append(frame)
            frame = frame.f_back
        refusal = _refusal("reading .data", line())
        for each in reached:
            each.read.append((value, callers, refusal))


#: A node is made by the function that reads its numbers, or by one that called it; not far from it.
_CALLERS = 4


def made_from(parents: Sequence[Value], frame: FrameType) -> None:
    """A function has made a node of its own of these parents: their numbers stay in the graph."""
    for each in tuple(running):
        each.read = [
            entry
            for entry in each.read
            if not (any(entry[0] is parent for parent in parents) and frame in entry[1])
        ]


def refuse(value: Value, what: str, line: Callable[[], str]) -> None:
    """TypeError if the value depends on what is being differentiated; ``line`` tells where."""
    reached = [each for each in tuple(running) if value in each.dependent()]
    if reached:
        refusal = _refusal(what, line())
        for each in reached:
            each.refusal = each.refusal or refusal
        raise refusal


class Text(str):
    """The digits of a Value, which may be shown, but not be made a number again."""

    value: Value

    def __float__(self) -> float:
        float(self.value)  # is refused
        return float(str(self))

    def __int__(self) -> int:
        int(self.value)
        return int(str(self))


def _refusal(what: str, line: str) -> TypeError:
    return TypeError(
        f"{what} of a Value in a function that is differentiated, at {line}: this number "
        "depends on the inputs, but outside of the graph it would count as a constant; compute "
        "with the functions of microgradlike, such as exp(v) and floor(v), choose with "
        'where(condition, x, y), print with f"{v}", make a node of your own with custom(value, '
        "parents, slopes), and use v.detach() where no error should flow"
    )
