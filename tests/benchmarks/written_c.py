"""``to_c`` beside the C that CasADi writes: ``python -m tests.benchmarks.written_c``.

Both are compiled with ``cc -O2 -ffp-contract=off``, each a file of its own, as users have them. A
loop in C calls each for a thousand rows, so that Python is called once for all of them. What counts
is the ratio of the medians.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy

from microgradlike import Value, compile, functions
from microgradlike.writers.c import to_c
from tests.benchmarks.timing import compare

ROWS, RUNS = 1_000, 41
FLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-shared", "-fPIC")
DRAW = numpy.random.default_rng(0)


@dataclass(frozen=True)
class Work:
    """A function of one row, for both.

    Attributes:
        about: what is computed of it.
        f: the function, of the inputs, the parameters, and a module with ``exp`` and others.
        inputs, parameters: how many there are.
        kind: what is computed: the gradient by either, or the Jacobian.
    """

    about: str
    f: Callable[[Sequence[Any], Sequence[Any], Any], Any]
    inputs: int
    parameters: int
    kind: str


def formula(x: Sequence[Any], theta: Sequence[Any], m: Any) -> Any:
    """A peak on a slope."""
    a, b, c, d = x
    return (
        m.exp(-(a * a + 2 * b * b)) * m.sin(c * d) + m.log(1 + c * c) / (2 + m.cos(a * d)) + a * c
    )


def network(x: Sequence[Any], theta: Sequence[Any], m: Any) -> Any:
    """An MLP 4-16-16-1 with tanh."""
    left = iter(theta)
    for outs, bends in ((16, True), (16, True), (1, False)):
        sums = []
        for _ in range(outs):
            total = next(left)
            for v in x:
                total = total + next(left) * v
            sums.append(m.tanh(total) if bends else total)
        x = sums
    return x[0]


def elimination(x: Sequence[Any], theta: Sequence[Any], m: Any) -> Any:
    """The sum of the solution of five equations, by Gauss's elimination."""
    n = 5
    A = [[x[n * i + j] + (8 if i == j else 0) for j in range(n)] for i in range(n)]
    b = list(x[n * n :])
    for k in range(n):
        for i in range(k + 1, n):
            ratio = A[i][k] / A[k][k]
            for j in range(k + 1, n):
                A[i][j] = A[i][j] - ratio * A[k][j]
            b[i] = b[i] - ratio * b[k]
    for k in reversed(range(n)):
        for j in range(k + 1, n):
            b[k] = b[k] - A[k][j] * b[j]
        b[k] = b[k] / A[k][k]
    return b[0] + b[1] + b[2] + b[3] + b[4]


def cartpole(x: Sequence[Any], theta: Sequence[Any], m: Any) -> Any:
    """How a cart with a pole moves on: position, speed, angle, its speed, and a force."""
    _, v, angle, turn, force = x
    cart, pole, length = 1.0, 0.1, 0.5
    sine, cosine = m.sin(angle), m.cos(angle)
    pushed = (force + pole * length * turn * turn * sine) / (cart + pole)
    bends = (9.8 * sine - cosine * pushed) / (
        length * (4.0 / 3.0 - pole * cosine * cosine / (cart + pole))
    )
    return [v, pushed - pole * length * bends * cosine / (cart + pole), turn, bends]


WORKS = (
    Work("a formula of 4 inputs, its gradient by them", formula, 4, 0, "by_inputs"),
    Work("an MLP 4-16-16-1, its gradient by 369 weights", network, 4, 369, "by_parameters"),
    Work("5 linear equations, the gradient by 30 numbers", elimination, 30, 0, "by_inputs"),
    Work("a cart with a pole, its Jacobian 4 x 5", cartpole, 5, 0, "jacobian"),
)


def ours(work: Work, folder: Path, theta: Any) -> str:
    """Our file, and a loop that calls it."""
    parameters = [Value(number) for number in theta.tolist()]

    def f(x: list[Value]) -> Any:
        return work.f(x, parameters, functions)

    c = compile(f, parameters=parameters).trace(DRAW.normal(size=(4, work.inputs)))
    to_c(c, folder / "ours.c", name="f", jacobian=work.kind == "jacobian")
    return f"""
int f_{work.kind}(const double *x, const double *theta, double *value, double *found);
void ours_loop(int rows, const double *x, const double *theta, double *value, double *found) {{
    for (int i = 0; i < rows; ++i) f_{work.kind}(x + i * {work.inputs}, theta, value, found);
}}
"""


def casadis(work: Work, folder: Path) -> str:
    """The file that CasADi writes, and a loop that calls it."""
    import casadi

    x, theta = casadi.SX.sym("x", work.inputs), casadi.SX.sym("t", max(work.parameters, 1))
    found = work.f(casadi.vertsplit(x), casadi.vertsplit(theta), casadi)
    value = casadi.vertcat(*found) if isinstance(found, list) else found
    by = theta if work.kind == "by_parameters" else x
    derivative = casadi.densify(casadi.jacobian(value, by))  # as ours: with its zeros
    g = casadi.Function("g", [x, theta], [value, derivative])
    made = casadi.CodeGenerator("theirs.c")
    made.add(g)
    made.generate(f"{folder}/")
    return f"""
int g(const double **arg, double **res, long long *iw, double *w, int mem);
void theirs_loop(int rows, const double *x, const double *theta, double *value, double *found) {{
    long long iw[{g.sz_iw() + 1}];
    double w[{g.sz_w() + 1}];
    for (int i = 0; i < rows; ++i) {{
        const double *arg[{g.sz_arg()}] = {{x + i * {work.inputs}, theta}};
        double *res[{g.sz_res()}] = {{value, found}};
        g(arg, res, iw, w, 0);
    }}
}}
"""


def library(folder: Path, name: str, text: str) -> Any:
    loop, target = folder / f"{name}_loop.c", folder / f"{name}.so"
    loop.write_text(text)
    files = [str(folder / f"{name}.c"), str(loop)]
    subprocess.run(["cc", *FLAGS, *files, "-o", str(target), "-lm"], check=True)
    return getattr(ctypes.CDLL(str(target)), f"{name}_loop")


def measure(work: Work) -> tuple[float, float, float]:
    """Nanoseconds of a row, ours and theirs; and how far the sums of the derivatives are apart."""
    theta = DRAW.normal(size=max(work.parameters, 1)) / 4
    x = DRAW.normal(size=(ROWS, work.inputs))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        both = {
            "ours": library(folder, "ours", ours(work, folder, theta[: work.parameters])),
            "theirs": library(folder, "theirs", casadis(work, folder)),
        }
        value, found = numpy.zeros(16), numpy.zeros(1024)
        rest = [a.ctypes.data_as(ctypes.c_void_p) for a in (x, theta, value, found)]
        calls = [partial(run, ROWS, *rest) for run in both.values()]
        sums = []
        for call in calls:
            found[:] = 0.0
            call()
            sums.append(float(found.sum()))
        seconds = compare(list(calls), RUNS, calls=5)
    apart = abs(sums[0] - sums[1]) / max(abs(sums[1]), 1e-300)
    return seconds[0] / ROWS * 1e9, seconds[1] / ROWS * 1e9, apart


def main() -> None:
    """Print a line for each function."""
    worst = 0.0
    print("| function | to_c | CasADi | ratio |\n|---|---|---|---|")
    for work in WORKS:
        mine, theirs, apart = measure(work)
        if apart > 1e-9:
            sys.exit(f"{work.about}: the derivatives differ by {apart:.1e}")
        worst = max(worst, mine / theirs)
        print(f"| {work.about} | {mine:.0f} ns | {theirs:.0f} ns | {mine / theirs:.2f} |")
    print(f"\nAt most {worst:.2f} times what CasADi's C takes.")


if __name__ == "__main__":
    main()
