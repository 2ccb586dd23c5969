"""The compiler as a list of passes, from a graph to a program."""

from __future__ import annotations

import numpy

from microgradlike.compiler.forms import Forms
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.grouping import group
from microgradlike.compiler.levels import find, split
from microgradlike.compiler.program import Program
from microgradlike.compiler.slots import place
from microgradlike.compiler.stretches import small_sums


def build(graph: Graph) -> Program:
    """Find the layers in a graph, give every number its slot, and list the instructions."""
    plain = numpy.full(len(graph.op), graph.as_written)
    levels = find(split(graph, Forms(graph, plain)))
    if not graph.as_written:
        small = small_sums(levels)
        if small.any():  # they become operations, on levels of their own
            levels = find(split(graph, Forms(graph, small)))
    return place(group(levels))
