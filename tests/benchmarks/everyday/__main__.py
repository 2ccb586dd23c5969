"""``python -m tests.benchmarks.everyday [names]``."""

from tests.benchmarks import everyday
from tests.benchmarks.side_by_side import main

main(everyday.__name__, everyday.__doc__ or "", everyday.WORKS)
