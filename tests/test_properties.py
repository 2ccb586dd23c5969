"""Random expressions of all operators: going backward agrees with going forward.

Forward mode is written here, on pairs (value, slopes by the inputs), with the derivations by hand:
it shares neither the formulas of the table nor the sweep with the engine.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from mpmath import mp

from microgradlike import Value, grad
from microgradlike.functions import FUNCTIONS
from tests.derivations import COMPOSED, OPERATORS

# `where` takes its condition first; those of several operands in a list have tests of their own.
HANDS = {**OPERATORS, **{n: d for n, d in COMPOSED.items() if d.call is None and n != "clip"}}
HANDS.pop("where")
NAMES = sorted(HANDS)
# Where operands must stay so that the graph as a whole loses few digits.
INSIDE: dict[str, Callable[..., bool]] = {
    **dict.fromkeys(("log", "log2", "log10", "sqrt"), lambda x: x > 0.1),
    "log1p": lambda x: x > -0.9,
    **dict.fromkeys(("asin", "acos", "atanh"), lambda x: abs(x) < 0.9),
    "acosh": lambda x: x > 1.1,
    "tan": lambda x: abs(math.cos(x)) > 0.1,
    **dict.fromkeys(("cbrt", "reciprocal", "abs", "sign", "relu", "sinc"), lambda x: abs(x) > 0.1),
    **dict.fromkeys(("floor", "ceil", "trunc"), lambda x: abs(x - round(x)) > 0.01),
    "round": lambda x: abs(x - math.floor(x) - 0.5) > 0.01,
    "pow": lambda x, y: x > 0.1 and abs(y) < 4,
    "truediv": lambda x, y: abs(y) > 0.1,
    **dict.fromkeys(
        ("mod", "floordiv"), lambda x, y: abs(y) > 0.1 and abs(x / y - round(x / y)) > 0.01
    ),
    "round_to": lambda x, y: (
        abs(y - round(y)) > 0.01 and abs(y) < 3 and abs(x * 10 ** int(y) % 1 - 0.5) > 0.01
    ),
    **dict.fromkeys(("maximum", "minimum"), lambda x, y: abs(x - y) > 0.01),
    **dict.fromkeys(("leaky_relu", "elu"), lambda x, y: abs(x) > 0.01),
    "hypot": lambda x, y: math.hypot(x, y) > 0.1,
    "atan2": lambda x, y: math.hypot(x, y) > 0.1 and abs(x) > 0.01,  # not on the cut
}
BOUND = 20.0


class Step(NamedTuple):
    """An operator, and which of the earlier numbers it takes (None: the constant beside it)."""

    name: str
    operands: tuple[int | None, ...]
    constant: float


@st.composite
def steps(draw: Any) -> Step:
    name = draw(st.sampled_from(NAMES))
    count = len(HANDS[name].slopes)
    places = draw(st.lists(st.integers(0, 10**6), min_size=count, max_size=count))
    if count == 2 and draw(st.booleans()):
        places[draw(st.integers(0, 1))] = None
    return Step(name, tuple(places), draw(st.floats(-3, 3)))


def anywhere(*operands: float) -> bool:
    return True


def run(program: Sequence[Step], inputs: Sequence[Value]) -> tuple[Value, list[Step]]:
    """The sum of all that the program makes of Values, and the steps that were taken.

    Left out are those whose operands are not inside of the domain, or whose result grows too large.
    """
    nodes, taken = list(inputs), []
    for name, operands, constant in program:
        places = tuple(None if place is None else place % len(nodes) for place in operands)
        given = [constant if place is None else nodes[place] for place in places]
        floats = [float(v.detach()) if isinstance(v, Value) else v for v in given]
        if INSIDE.get(name, anywhere)(*floats) and not HANDS[name].avoid(*floats):
            out = FUNCTIONS[name](*given)
            if abs(out) < BOUND:
                nodes.append(out)
                taken.append(Step(name, places, constant))
    return FUNCTIONS["sum"](nodes), taken


class Dual(NamedTuple):
    """A number, and its slopes by the inputs."""

    value: Any
    slopes: list[Any]


def forward(taken: Sequence[Step], point: Sequence[float]) -> Dual:
    """The same steps on dual numbers: the chain rule from the inputs to the result."""
    unit = range(len(point))
    duals = [Dual(mp.mpf(v), [mp.mpf(i == j) for j in unit]) for i, v in enumerate(point)]
    for name, places, constant in taken:
        hand = HANDS[name]
        fixed = Dual(mp.mpf(constant), [mp.mpf(0) for _ in unit])
        given = [fixed if place is None else duals[place] for place in places]
        values = [dual.value for dual in given]
        local = [slope(*values) for slope in hand.slopes]
        slopes = [mp.fdot(local, [dual.slopes[i] for dual in given]) for i in unit]
        duals.append(Dual(hand.value(*values), slopes))
    total = mp.fsum(dual.value for dual in duals)
    return Dual(total, [mp.fsum(dual.slopes[i] for dual in duals) for i in unit])


# ---- The properties ------------------------------------------------------------------------------

programs = st.lists(steps(), min_size=1, max_size=12)
points = st.lists(st.floats(-3, 3).map(lambda v: round(v, 3)), min_size=1, max_size=3)
relaxed = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.fixture(autouse=True, scope="module")
def _thirty_digits() -> Iterator[None]:
    with mp.workdps(30):
        yield


@settings(relaxed, max_examples=1000)
@hypothesis.given(programs, points)
def test_backward_agrees_with_forward_mode(program: list[Step], point: list[float]) -> None:
    inputs = [Value(v) for v in point]
    out, taken = run(program, inputs)
    out.backward()
    dual = forward(taken, point)
    assert math.isclose(out.data, dual.value, rel_tol=1e-8, abs_tol=1e-8)
    scale = max(1.0, *(abs(float(slope)) for slope in dual.slopes))
    for operand, slope in zip(inputs, dual.slopes, strict=True):
        assert abs(operand.grad - slope) <= 1e-7 * scale


@settings(relaxed, max_examples=300)
@hypothesis.given(programs, points)
def test_grad_agrees_with_backward(program: list[Step], point: list[float]) -> None:
    """On numbers, and on Values as higher orders need it."""
    inputs = [Value(v) for v in point]
    run(program, inputs)[0].backward()
    expected = [v.grad for v in inputs]
    gradient = grad(lambda *operands: run(program, operands)[0])
    for convert in (float, Value):
        found = gradient(*map(convert, point))
        found = found if isinstance(found, tuple) else (found,)
        assert [float(slope) for slope in found] == pytest.approx(expected, rel=1e-12, abs=1e-12)


@settings(relaxed, max_examples=200)
@hypothesis.given(programs, programs, points)
def test_gradients_of_two_losses_add_up(
    first: list[Step], second: list[Step], point: list[float]
) -> None:
    together, apart = [Value(v) for v in point], [Value(v) for v in point]
    (run(first, together)[0] + run(second, together)[0]).backward()
    run(first, apart)[0].backward()
    run(second, apart)[0].backward()
    for a, b in zip(together, apart, strict=True):
        assert math.isclose(a.grad, b.grad, rel_tol=1e-9, abs_tol=1e-9)


class Reached(Exception):
    """Every operator was."""


def test_the_programs_reach_every_operator() -> None:
    """Otherwise the properties above would say less than they seem to."""
    reached: set[str] = set()

    @settings(relaxed, max_examples=3000, phases=[Phase.generate], report_multiple_bugs=False)
    @hypothesis.given(programs, points)
    def collect(program: list[Step], point: list[float]) -> None:
        reached.update(step.name for step in run(program, [Value(v) for v in point])[1])
        if reached == set(NAMES):  # more examples could not say more
            raise Reached

    with contextlib.suppress(Reached):
        collect()
    assert reached == set(NAMES)
