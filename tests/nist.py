"""Nonlinear regressions whose answers NIST has certified, to eleven digits.

From the Statistical Reference Datasets of the National Institute of Standards and Technology,
https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml, which are in the public domain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy

from microgradlike import Value, exp
from microgradlike.compiler.arrays import Floats


class Regression(NamedTuple):
    """A curve, the points it is fitted to, and the answer.

    Attributes:
        curve: gives y, of the parameters and x.
        starts: the two that are published, the far one first.
        certified: the parameters with which the sum of squares is least.
        deviations: their standard deviations.
        squares: that sum.
        points: x and y, shape (points, 2).
    """

    curve: Callable[..., Value]
    starts: tuple[list[float], list[float]]
    certified: list[float]
    deviations: list[float]
    squares: float
    points: Floats


def _points(text: str) -> Floats:
    """Pairs of x and y."""
    return numpy.array(text.split(), float).reshape(-1, 2)


def misra1a(b1: Value, b2: Value, x: Value) -> Value:
    return b1 * (1 - exp(-b2 * x))


def thurber(
    b1: Value, b2: Value, b3: Value, b4: Value, b5: Value, b6: Value, b7: Value, x: Value
) -> Value:
    return (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3)


def mgh09(b1: Value, b2: Value, b3: Value, b4: Value, x: Value) -> Value:
    return b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4)


def eckerle4(b1: Value, b2: Value, b3: Value, x: Value) -> Value:
    return (b1 / b2) * exp(-0.5 * ((x - b3) / b2) ** 2)


def rat43(b1: Value, b2: Value, b3: Value, b4: Value, x: Value) -> Value:
    return b1 / (1 + exp(b2 - b3 * x)) ** (1 / b4)


REGRESSIONS = {
    "Misra1a": Regression(
        curve=misra1a,
        starts=([500, 1e-4], [250, 5e-4]),
        certified=[2.3894212918e02, 5.5015643181e-04],
        deviations=[2.7070075241e00, 7.2668688436e-06],
        squares=1.2455138894e-01,
        points=_points("""
            77.6 10.07  114.9 14.73  141.1 17.94  190.8 23.93  239.9 29.61  289.0 35.18
            332.8 40.02  378.4 44.82  434.8 50.76  477.3 55.05  536.8 61.01  593.1 66.40
            689.1 75.47  760.0 81.78
        """),
    ),
    "Thurber": Regression(
        curve=thurber,
        starts=([1000, 1000, 400, 40, 0.7, 0.3, 0.03], [1300, 1500, 500, 75, 1, 0.4, 0.05]),
        certified=[
            *(1.2881396800e03, 1.4910792535e03, 5.8323836877e02, 7.5416644291e01),
            *(9.6629502864e-01, 3.9797285797e-01, 4.9727297349e-02),
        ],
        deviations=[
            *(4.6647963344e00, 3.9571156086e01, 2.8698696102e01, 5.5675370270e00),
            *(3.1333340687e-02, 1.4984928198e-02, 6.5842344623e-03),
        ],
        squares=5.6427082397e03,
        points=_points("""
            -3.067 80.574  -2.981 84.248  -2.921 87.264  -2.912 87.195  -2.840 89.076
            -2.797 89.608  -2.702 89.868  -2.699 90.101  -2.633 92.405  -2.481 95.854
            -2.363 100.696  -2.322 101.060  -1.501 401.672  -1.460 390.724  -1.274 567.534
            -1.212 635.316  -1.100 733.054  -1.046 759.087  -0.915 894.206  -0.714 990.785
            -0.566 1090.109  -0.545 1080.914  -0.400 1122.643  -0.309 1178.351
            -0.109 1260.531  -0.103 1273.514  0.010 1288.339  0.119 1327.543  0.377 1353.863
            0.790 1414.509  0.963 1425.208  1.006 1421.384  1.115 1442.962  1.572 1464.350
            1.841 1468.705  2.047 1447.894  2.200 1457.628
        """),
    ),
    "MGH09": Regression(
        curve=mgh09,
        starts=([25, 39, 41.5, 39], [0.25, 0.39, 0.415, 0.39]),
        certified=[1.9280693458e-01, 1.9128232873e-01, 1.2305650693e-01, 1.3606233068e-01],
        deviations=[1.1435312227e-02, 1.9633220911e-01, 8.0842031232e-02, 9.0025542308e-02],
        squares=3.0750560385e-04,
        points=_points("""
            4 0.1957  2 0.1947  1 0.1735  0.5 0.1600  0.25 0.0844  0.167 0.0627  0.125 0.0456
            0.1 0.0342  0.0833 0.0323  0.0714 0.0235  0.0625 0.0246
        """),
    ),
    "Eckerle4": Regression(
        curve=eckerle4,
        starts=([1, 10, 500], [1.5, 5, 450]),
        certified=[1.5543827178e00, 4.0888321754e00, 4.5154121844e02],
        deviations=[1.5408051163e-02, 4.6803020753e-02, 4.6800518816e-02],
        squares=1.4635887487e-03,
        points=_points("""
            400 0.0001575  405 0.0001699  410 0.0002350  415 0.0003102  420 0.0004917
            425 0.0008710  430 0.0017418  435 0.0046400  436.5 0.0065895  438 0.0097302
            439.5 0.0149002  441 0.0237310  442.5 0.0401683  444 0.0712559  445.5 0.1264458
            447 0.2073413  448.5 0.2902366  450 0.3445623  451.5 0.3698049  453 0.3668534
            454.5 0.3106727  456 0.2078154  457.5 0.1164354  459 0.0616764  460.5 0.0337200
            462 0.0194023  463.5 0.0117831  465 0.0074357  470 0.0022732  475 0.0008800
            480 0.0004579  485 0.0002345  490 0.0001586  495 0.0001143  500 0.0000710
        """),
    ),
    "Rat43": Regression(
        curve=rat43,
        starts=([100, 10, 1, 1], [700, 5, 0.75, 1.3]),
        certified=[6.9964151270e02, 5.2771253025e00, 7.5962938329e-01, 1.2792483859e00],
        deviations=[1.6302297817e01, 2.0828735829e00, 1.9566123451e-01, 6.8761936385e-01],
        squares=8.7864049080e03,
        points=_points("""
            1 16.08  2 33.83  3 65.80  4 97.20  5 191.55  6 326.20  7 386.87  8 520.53
            9 590.03  10 651.92  11 724.93  12 699.56  13 689.96  14 637.56  15 717.41
        """),
    ),
}
