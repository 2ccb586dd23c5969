"""The compiler as a list of passes, from a graph to a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from microgradlike.compiler import verify
from microgradlike.compiler.arrays import Truths
from microgradlike.compiler.forms import Forms
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.grouping import group
from microgradlike.compiler.levels import Levels, find, split
from microgradlike.compiler.program import Program
from microgradlike.compiler.slots import place
from microgradlike.compiler.stretches import small_sums

#: Is shown what each pass has made, by the name of the pass.
Seen: TypeAlias = Callable[[str, object], None]
T = TypeVar("T")


def build(graph: Graph, seen: Seen | None = None) -> Program:
    """Find the layers in a graph, give every number its slot, and list the instructions.

    Args:
        graph: of what is computed.
        seen: is shown what each pass has made.
    """

    def made(name: str, found: T) -> T:
        if verify.CHECKING:
            verify.LAWS[name](found)
        if seen is not None:
            seen(name, found)
        return found

    def levels_of(plain: Truths) -> Levels:
        """The levels of all that is computed, where some sums stay plain operations."""
        forms = made("forms", Forms(graph, plain))
        return made("levels", find(split(graph, forms)))

    made("graph", graph)
    levels = levels_of(graph.ordered)
    if not graph.as_written and (small := small_sums(levels)).any():
        levels = levels_of(small | graph.ordered)  # they become operations, on levels of their own
    grouped = made("grouped", group(levels, lambda of_round: build(of_round, seen)))
    return made("program", place(grouped))
