"""While a function is differentiated, no number of what it is differentiated by leaves the graph.

``math.exp(x)``, ``float(x)``, ``x.data`` and an array of floats that is given ``x`` get a plain
number, through which no error flows back. A plain ``backward()`` cannot know what was done with it.
But while ``grad`` calls a function, it knows the inputs: a number that depends on them and leaves
the graph would make the derivative silently wrong, so it is refused. A Value that does not depend
on them is a constant there, and may be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microgradlike.engine import Value


class _Differentiation:
    """A function that is being differentiated by its inputs."""

    def __init__(self, inputs: Iterable[Value]) -> None:
        self.inputs = set(inputs)
        self.constants: set[Value] = set()  # found before, so that no graph is walked twice
        self.refusal: TypeError | None = None

    def reaches(self, value: Value) -> bool:
        """Whether the value depends on the inputs."""
        seen: set[Value] = set()
        path = [value]
        while path:
            node = path.pop()
            if node in self.inputs:
                return True
            if node not in seen and node not in self.constants:
                seen.add(node)
                path += node.parents
        self.constants |= seen
        return False


#: Those of all threads, as a function may hand its Values to another thread. While there are none,
#: who reads a number pays for one look at this list.
running: list[_Differentiation] = []


@contextmanager
def differentiated(inputs: Iterable[Value]) -> Iterator[None]:
    """In this block a function is called, to be differentiated by these inputs.

    Raises:
        TypeError: a number left the graph, even if the function caught that error itself.
    """
    this = _Differentiation(inputs)
    running.append(this)
    try:
        yield
    except Exception as error:
        if this.refusal is None or error is this.refusal:
            raise
        raise this.refusal from error  # NumPy, for one, has a sentence of its own
    finally:
        running.remove(this)
    if this.refusal is not None:
        raise this.refusal


def depends(value: Value) -> bool:
    """Whether a value depends on the inputs of a function that is being differentiated."""
    return any(each.reaches(value) for each in tuple(running))


def refuse(value: Value, what: str, line: Callable[[], str]) -> None:
    """TypeError if the value depends on what is being differentiated; ``line`` tells where."""
    reached = [each for each in tuple(running) if each.reaches(value)]
    if reached:
        refusal = TypeError(
            f"{what} of a Value in a function that is differentiated, at {line()}: this number "
            "depends on the inputs, but outside of the graph it would count as a constant; compute "
            "with the functions of microgradlike, such as exp(v) and floor(v), choose with "
            'where(condition, x, y), print with f"{v}", and use v.detach() where no error should '
            "flow"
        )
        for each in reached:
            each.refusal = each.refusal or refusal
        raise refusal
