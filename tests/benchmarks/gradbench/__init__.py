"""The twelve evaluations of GradBench, each as a scalar program beside JAX and PyTorch.

GradBench (github.com/gradbench/gradbench) grew out of Microsoft's ADBench. The programs are written
anew, from the definitions that it publishes, as anyone would write them in scalars.
``python -m tests.benchmarks.gradbench`` measures all, or those that are named; see
``side_by_side``.
"""

from functools import partial

from tests.benchmarks.gradbench import (
    ba,
    det,
    gmm,
    hello,
    ht,
    kmeans,
    llsq,
    lse,
    lstm,
    ode,
    particle,
    saddle,
)
from tests.benchmarks.side_by_side import Works

#: In the order of GradBench: from the simplest to those that nest derivatives.
EVALUATIONS = (hello, lse, kmeans, llsq, det, gmm, ode, lstm, ba, ht, particle, saddle)

WORKS: Works = {
    module.__name__.rpartition(".")[2]: [partial(module.work, *size) for size in module.SIZES]
    for module in EVALUATIONS
}
