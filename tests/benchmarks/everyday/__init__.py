"""Programs of the kinds that people have, written as anyone would, each with idiomatic JAX beside.

``python -m tests.benchmarks.everyday`` measures all, or those that are named; see ``side_by_side``.
"""

from tests.benchmarks.everyday import branching, curving, indexing, looping
from tests.benchmarks.side_by_side import Works

WORKS: Works = {**branching.WORKS, **indexing.WORKS, **looping.WORKS, **curving.WORKS}
