"""Random programs: the engine, machine code and NumPy agree, in values and derivatives."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microgradlike import Value, compile, grad
from tests.executors import all_singles, only_numpy, small_blocks, without_numba
from tests.programs import Program, agree, error_bound, flat


def close(ours: Any, theirs: Any) -> bool:
    return agree(float(ours), float(theirs), error_bound(theirs))


def derivatives(program: Program, columns: Any, target: Any) -> tuple[Any, ...]:
    """Values, Jacobians and Hessians of all rows, and the gradient by the parameters."""
    c = compile(program)
    for parameter in program.parameters:
        parameter.grad = 0.0
    if program.outputs == 1:
        c.sum(columns, target).backward()
    return (
        c(columns, target).reshape(len(target), -1),
        c.jacobian(columns, target),
        c.hessian(columns, target).reshape(len(target), -1),
        numpy.array([parameter.grad for parameter in program.parameters]),
    )


def check(program: Program, rows: int, special: bool = False) -> None:
    """Values, Jacobians, Hessians and gradients agree with the engine's, with numba and without."""
    columns, target = program.examples(rows, special)
    found = [derivatives(program, columns, target)]
    with pytest.MonkeyPatch.context() as patch:
        without_numba(patch)
        only_numpy(patch)
        found.append(derivatives(program, columns, target))
    gradient, bounds = numpy.zeros(6), numpy.zeros(6)
    for row in range(rows):
        inputs = [Value(v) for v in columns[row]], Value(target[row])
        for k, out in enumerate(flat(program(*inputs))):
            for values, *_ in found:
                assert close(values[row, k], out), (row, k, values[row, k], out)

            def output(*given: Any, k: int = k) -> Value:
                out: Value = flat(program(*given))[k]
                return out

            slopes = flat(grad(output)(*inputs))
            for _, jacobian, *_ in found:
                assert all(map(close, jacobian[row, k], slopes)), (row, k, jacobian, slopes)
            size = len(slopes)
            for i in range(size):
                bent = flat(grad(lambda *v, i=i, f=output: flat(grad(f)(*v))[i])(*inputs))
                start = (k * size + i) * size
                for *_, hessian, _ in found:
                    ours = hessian[row, start : start + size]
                    assert all(map(close, ours, bent)), (row, k, i, ours, bent)
        if program.outputs == 1:
            for place, by in enumerate(by_parameters(program, columns[row], target[row])):
                with numpy.errstate(invalid="ignore"):
                    gradient[place] += float(by)
                bounds[place] += error_bound(by) + abs(float(by)) * 2.0**-53
    for *_, by_parameter in found:
        assert all(map(agree, by_parameter, gradient, bounds)), (by_parameter, gradient)


def by_parameters(program: Program, x: list[float], y: float) -> Any:
    own = program.parameters

    def of(*parameters: Value) -> Any:
        program.parameters = list(parameters)
        try:
            return program([Value(v) for v in x], Value(y))
        finally:
            program.parameters = own

    return grad(of)(*[Value(parameter.data) for parameter in own])


seeds = given(st.integers(0, 10**9))


@seeds
@settings(max_examples=750, deadline=None, derandomize=True, database=None)
def test_random_programs(seed: int) -> None:
    check(Program(seed), rows=3)


@seeds
@settings(max_examples=750, deadline=None, derandomize=True, database=None)
def test_random_programs_at_special_points(seed: int) -> None:
    check(Program(seed + 1), rows=3, special=True)


@seeds
@settings(max_examples=250, deadline=None, derandomize=True, database=None)
def test_random_programs_in_small_blocks(seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch, 3)
        check(Program(seed + 3), rows=8, special=bool(seed % 2))


@seeds
@settings(max_examples=250, deadline=None, derandomize=True, database=None)
def test_random_programs_of_single_operations(seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        all_singles(patch)
        small_blocks(patch, 3)
        check(Program(seed + 4), rows=5, special=bool(seed % 2))
