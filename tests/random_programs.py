"""Random programs, computed by the engine and compiled: how many agree.

    python -m tests.random_programs COUNT SEED [tables]

runs COUNT programs, from this seed on, on all executors: machine code, NumPy and plain Python. It
prints the seed of each program that differs, with where it does, and how many agreed on each.
Half of them are run at special points; every fifth one has its Hessians compared, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy
import pytest

from microgradlike import Compiled, Value, compile, functions, grad
from microgradlike.executors.on_floats import FloatsExecutor
from tests.executors import only, only_numpy, other_last_digits, without_numba
from tests.programs import Program, agree, error_bound, flat

Array = Any


def bounded(number: Any) -> tuple[float, float]:
    """A number, and how far rounding can move it; its graph may go."""
    return float(number), error_bound(number)


def close(ours: Any, theirs: tuple[float, float]) -> bool:
    return agree(float(ours), *theirs)


class Points(NamedTuple):
    """How many rows a program is run for, and what is asked of it there.

    Attributes:
        special: whether some of their numbers are special points.
        bent: whether Hessians are compared, too.
    """

    rows: int
    special: bool = False
    bent: bool = False

    @classmethod
    def both(cls, seed: int) -> list[Points]:
        """Ordinary and special points: the branches of either may be traced first.

        Hessians take as long as all else: every other pair of programs has them.
        """
        ordinary, special = cls(3, bent=seed % 4 < 2), cls(3, special=True, bent=seed % 5 == 0)
        return [ordinary, special] if seed % 2 else [special, ordinary]


class Found:
    """What a compiled program finds for all rows.

    Attributes:
        values, jacobian, hessian: of all rows; the last one only if it is wanted.
        by_parameters: the gradient of their sum by the parameters of the program.
        second: value and gradient at the program's second parameters.
    """

    def __init__(
        self, c: Compiled, program: Program, columns: Any, target: Any, bent: bool
    ) -> None:
        for parameter in program.parameters:
            parameter.grad = 0.0
        self.second: tuple[float, Array] | None = None
        if program.outputs == 1:
            c.sum(columns, target).backward()
            second = dict(zip(program.parameters, program.second, strict=True))
            theta = [second[parameter] for parameter in c.parameters]
            value, gradient = c.value_and_grad(theta, columns, target, reduce="sum")
            # At the second parameters others may be met, and the first ones be in another order.
            if len(gradient) != len(theta):
                theta = [second[parameter] for parameter in c.parameters]
                value, gradient = c.value_and_grad(theta, columns, target, reduce="sum")
            own = dict(zip(c.parameters, gradient, strict=True))
            self.second = value, numpy.array([own.get(p, 0.0) for p in program.parameters])
        self.values = c(columns, target).reshape(len(target), -1)
        self.jacobian = c.jacobian(columns, target)
        self.hessian = c.hessian(columns, target).reshape(len(target), -1) if bent else None
        self.by_parameters = numpy.array([parameter.grad for parameter in program.parameters])
        self._of_arrays(c, columns, target)

    def _of_arrays(self, c: Compiled, columns: Any, target: Any) -> None:
        """Arrays that cannot be written are read all the same; masked ones are refused."""
        arrays = numpy.array(columns), numpy.array(target)
        before = [array.tobytes() for array in arrays]
        for array in arrays:
            array.flags.writeable = False
        numpy.testing.assert_array_equal(c(*arrays).reshape(self.values.shape), self.values)
        numpy.testing.assert_array_equal(c.jacobian(*arrays), self.jacobian)
        assert [array.tobytes() for array in arrays] == before, "an array was written"
        masked = numpy.ma.array(arrays[0], mask=False)
        runs: list[Callable[..., Any]] = [c, c.jacobian]
        if self.second:
            runs += [c.sum, lambda *a: c.value_and_grad(c.theta(), *a)]
        for run in runs:
            with pytest.raises(TypeError, match="masked"):
                run(masked, arrays[1])


class Expected:
    """The same by the engine, row by row, each number with how far rounding can move it."""

    def __init__(self, program: Program, columns: Any, target: Any, bent: bool) -> None:
        self.values: list[list[tuple[float, float]]] = []
        self.slopes: list[list[list[tuple[float, float]]]] = []
        self.bent: list[list[list[tuple[float, float]]]] = []
        self.gradient: tuple[Array, Array] = (numpy.zeros(6), numpy.zeros(6))
        self.second: tuple[Array, Array] = (numpy.zeros(7), numpy.zeros(7))
        for x, y in zip(columns, target, strict=True):
            inputs = program.row(x, y, Value)
            self.values.append(list(map(bounded, flat(program(*inputs)))))
            self.slopes.append([])
            self.bent.append([])
            for k in range(program.outputs):

                def output(*given: Any, k: int = k) -> Value:
                    out: Value = flat(program(*given))[k]
                    return out

                slopes = list(map(bounded, flat(grad(output)(*inputs))))
                self.slopes[-1].append(slopes)
                for i in range(len(slopes) if bent else 0):
                    again = grad(lambda *v, i=i, f=output: flat(grad(f)(*v))[i])
                    with logsumexp_as_compiled():
                        self.bent[-1].append(list(map(bounded, flat(again(*inputs)))))
            self._shapeless(program, x, y, self.values[-1], self.slopes[-1][0])
            if program.outputs == 1:
                add(self.gradient, by_parameters(program, x, y))
                with second_parameters(program):
                    out = flat(program(*program.row(x, y, Value)))
                    add(self.second, [*out, *by_parameters(program, x, y)])

    @staticmethod
    def _shapeless(program: Program, x: Any, y: float, values: list[Any], slopes: Any) -> None:
        """Arrays of shape () are numbers, for the function and for its gradient."""
        with numpy.errstate(all="ignore"):
            of_arrays = flat(program(*program.row(x, y, numpy.array)))
            assert all(map(close, of_arrays, values)), (of_arrays, values)
            of = grad(lambda *v: flat(program(*program.nested(v)))[0])
            ours = of(*map(numpy.array, flat(program.row(x, y, float))))
            assert all(map(close, flat(ours), slopes)), (ours, slopes)


@contextmanager
def logsumexp_as_compiled() -> Iterator[None]:
    """The engine's is made of exp and log; compiled it is a tree of ``logaddexp``.

    Their second derivatives are the same numbers, but of an infinite error one is infinity less
    infinity where the other one is infinite.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functions, "logsumexp", lambda v: functions._tree(functions.logaddexp, v))
        yield


def add(sums: tuple[Array, Array], numbers: list[Any]) -> None:
    """Numbers of a row to those of all, and to how far rounding can move them."""
    for place, number in enumerate(numbers):
        with numpy.errstate(invalid="ignore", over="ignore"):
            sums[0][place] += float(number)
        sums[1][place] += error_bound(number) + abs(float(number)) * 2.0**-53


def by_parameters(program: Program, x: Any, y: float) -> list[Any]:
    own = program.parameters

    def of(*parameters: Value) -> Any:
        program.parameters = list(parameters)
        try:
            return program(*program.row(x, y, Value))
        finally:
            program.parameters = own

    return list(grad(of)(*[Value(parameter.data) for parameter in own]))


@contextmanager
def second_parameters(program: Program) -> Iterator[None]:
    for parameter, number in zip(program.parameters, program.second, strict=True):
        parameter.data = number
    try:
        yield
    finally:
        for parameter, number in zip(program.parameters, program.first, strict=True):
            parameter.data = number


def compare(found: Found, expected: Expected) -> None:
    """An AssertionError says where they differ."""
    for row, values in enumerate(expected.values):
        for k, out in enumerate(values):
            assert close(found.values[row, k], out), ("value", row, k, found.values[row, k], out)
            slopes = expected.slopes[row][k]
            ours = found.jacobian[row, k]
            assert all(map(close, ours, slopes)), ("slopes", row, k, ours, slopes)
        for place, bent in enumerate(expected.bent[row]):
            assert found.hessian is not None
            ours = found.hessian[row, place * len(bent) : (place + 1) * len(bent)]
            assert all(map(close, ours, bent)), ("Hessian", row, place, ours, bent)
    if found.second is not None:
        ours, theirs = found.by_parameters, expected.gradient
        assert all(map(agree, ours, *theirs)), ("parameters", ours, theirs)
        ours, theirs = numpy.append(*found.second), expected.second
        assert all(map(agree, ours, *theirs)), ("second parameters", ours, theirs)


EXECUTORS = ("machine code", "NumPy", "plain Python")
#: What runs where ``compile`` is told to; see ``tests/test_jax.py``.
BY_JAX = "jax"
#: NumPy once more, on a processor where the last digits of exp and others are not Python's.
ELSEWHERE = "NumPy elsewhere"


def in_turn(seed: int) -> list[str]:
    """Four programs on machine code, the next four with NumPy: each is beside the engine alone."""
    return [EXECUTORS[seed // 4 % 2]]


@contextmanager
def on(executor: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if executor == "NumPy":
            without_numba(patch)
            only_numpy(patch)
        if executor == ELSEWHERE:
            other_last_digits(patch)
        if executor == "plain Python":
            only(patch, FloatsExecutor)
        yield


def check(program: Program, *points: Points, executors: Sequence[str] = EXECUTORS[:2]) -> None:
    """Values, Jacobians and gradients agree with the engine's, with numba and without.

    One compiled function runs for all of the points, one after the other. The third executor takes
    its time.
    """
    asked = []
    for rows, special, bent in points:
        columns, target = program.examples(rows, special)
        asked.append((columns, target, bent, Expected(program, columns, target, bent)))
    for executor in executors:
        try:
            with on(executor):
                c = compile(program, on=BY_JAX if executor == BY_JAX else "auto")
                for columns, target, bent, expected in asked:
                    compare(Found(c, program, columns, target, bent), expected)
        except Exception as error:
            raise AssertionError(f"the program of seed {program.seed}, on {executor}") from error


def main(count: int, seed: int, tables: bool = False) -> None:
    agreed = dict.fromkeys(EXECUTORS, 0)
    for k in range(seed, seed + count):
        program, bent = Program(k, tables), k % 5 == 0
        columns, target = program.examples(2, special=k % 2 == 1)
        executor = "the engine"
        try:
            expected = Expected(program, columns, target, bent)
            for executor in EXECUTORS:
                try:
                    with on(executor):
                        found = Found(compile(program), program, columns, target, bent)
                        compare(found, expected)
                    agreed[executor] += 1
                except Exception as error:
                    print(f"{k}, {executor}: {type(error).__name__}: {error!s:.600}", flush=True)
        except Exception as error:
            print(f"{k}, the engine: {type(error).__name__}: {error!s:.600}", flush=True)
        if (k - seed + 1) % 500 == 0 or k == seed + count - 1:
            parts = [f"{number:,} on {name}" for name, number in agreed.items()]
            print(f"of {k - seed + 1:,} programs agreed: {', '.join(parts)}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), "tables" in sys.argv)
