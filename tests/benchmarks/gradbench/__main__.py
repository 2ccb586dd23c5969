"""``python -m tests.benchmarks.gradbench [names]``."""

from tests.benchmarks import gradbench
from tests.benchmarks.side_by_side import main

main(gradbench.__name__, gradbench.__doc__ or "", gradbench.WORKS)
