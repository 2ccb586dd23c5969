"""SciPy's optimisers and solvers, with the derivatives of compiled functions."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy
import pytest
from scipy import integrate, optimize

from microgradlike import Compiled, Value, compile, detect_anomaly, exp, log
from microgradlike.compiler.arrays import Floats
from tests.nist import REGRESSIONS, Regression

# ---- Regressions that NIST has certified -------------------------------------------------------


def residuals(of: Regression) -> Compiled:
    """The error at one point, of parameters that are nowhere near the answer."""
    own = [Value(1.0) for _ in of.certified]
    return compile(lambda x, y: of.curve(*own, x) - y, parameters=own)


def digits(found: Any, certified: list[float]) -> float:
    """How far numbers are from certified ones, in units of the eleventh digit of each."""
    units = 10.0 ** (numpy.floor(numpy.log10(numpy.abs(certified))) - 10)
    return float((numpy.abs(found - numpy.array(certified)) / units).max())


def deviations(c: Compiled, theta: Floats, points: Floats) -> Floats:
    """The standard deviations of parameters, by the slopes at the answer."""
    errors, slopes = c.values(theta, *points.T), c.jacobian_by_parameters(theta, *points.T)
    variance = errors @ errors / (len(errors) - len(theta))
    inverse = numpy.linalg.inv(
        numpy.linalg.qr(slopes).R
    )  # that of slopes.T @ slopes has less digits
    found: Floats = numpy.linalg.norm(inverse, axis=1) * math.sqrt(variance)
    return found


def squares(c: Compiled) -> Compiled:
    """The square of that error."""
    return compile(lambda x, y: c.function(x, y) ** 2, parameters=c.parameters)


@pytest.mark.parametrize("name", REGRESSIONS)
def test_what_nist_has_certified_belongs_to_the_points(name: str) -> None:
    of = REGRESSIONS[name]
    c, theta = residuals(of), numpy.array(of.certified)
    errors = c.values(theta, *of.points.T)
    assert digits(errors @ errors, [of.squares]) < 1
    assert digits(deviations(c, theta, of.points), of.deviations) < 40  # theta is rounded
    # Newton's step from here to where all slopes of the sum of squares are 0.
    of_sum = squares(c)
    _, gradient = of_sum.value_and_grad(theta, *of.points.T)
    step = numpy.linalg.solve(of_sum.hessian_by_parameters(theta, *of.points.T), gradient)
    assert digits(theta - step, of.certified) < 1


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", REGRESSIONS)
def test_regressions_reach_all_certified_digits(name: str, start: int) -> None:
    of = REGRESSIONS[name]
    c, (x, y) = residuals(of), of.points.T
    near = optimize.least_squares(
        c.values,
        of.starts[start],
        c.jacobian_by_parameters,
        args=(x, y),
        method="lm",
        x_scale="jac",
        xtol=1e-12,
        ftol=1e-12,
        max_nfev=2000,
    )
    # A sum of squares is flat where it is least, and tells half of the digits. Its slopes tell all.
    of_sum = squares(c)
    found = optimize.root(
        lambda theta: of_sum.value_and_grad(theta, x, y)[1],
        near.x,
        jac=lambda theta: of_sum.hessian_by_parameters(theta, x, y),
        method="lm",
        tol=1e-14,
    )
    assert digits(found.x, of.certified) < 1
    assert digits(deviations(c, found.x, of.points), of.deviations) < 2
    assert [p.data for p in c.parameters] == [1.0] * len(of.certified)


def test_a_curve_and_its_uncertainty() -> None:
    of = REGRESSIONS["Misra1a"]
    own = [Value(1.0), Value(1.0)]
    c, (x, y) = compile(lambda x: of.curve(*own, x), parameters=own), of.points.T
    theta, covariance = optimize.curve_fit(
        lambda x, *theta: c.values(theta, x),
        x,
        y,
        of.starts[0],
        jac=lambda x, *theta: c.jacobian_by_parameters(theta, x),
    )
    numpy.testing.assert_allclose(theta, of.certified, rtol=1e-6)
    numpy.testing.assert_allclose(numpy.sqrt(numpy.diag(covariance)), of.deviations, rtol=1e-6)


# ---- A function of a hundred numbers -----------------------------------------------------------


def rosenbrock(x: Any) -> Any:
    """Rosenbrock's valley, which is 0 where all numbers are 1."""
    pairs = itertools.pairwise(x)
    return sum(100 * (right - left**2) ** 2 + (1 - left) ** 2 for left, right in pairs)


@pytest.fixture(scope="module")
def valley() -> Compiled:
    own = [Value(0.0) for _ in range(100)]
    return compile(lambda: rosenbrock(own), parameters=own)


METHODS: dict[str, tuple[dict[str, str], dict[str, float]]] = {
    "BFGS": ({}, {"gtol": 1e-9}),
    "L-BFGS-B": ({}, {"gtol": 1e-10, "ftol": 1e-16, "maxfun": 5000}),
    "CG": ({}, {"gtol": 1e-9}),
    "Newton-CG": ({"hessp": "hvp_by_parameters"}, {"xtol": 1e-10}),
    "trust-ncg": ({"hessp": "hvp_by_parameters"}, {"gtol": 1e-9}),
    "trust-krylov": ({"hessp": "hvp_by_parameters"}, {"gtol": 1e-9}),
    "trust-exact": ({"hess": "hessian_by_parameters"}, {"gtol": 1e-9}),
    "dogleg": ({"hess": "hessian_by_parameters"}, {"gtol": 1e-9}),
}


@pytest.mark.parametrize("method", METHODS)
def test_minimisers_walk_down_a_valley_of_a_hundred_numbers(valley: Compiled, method: str) -> None:
    names, options = METHODS[method]
    second = {key: getattr(valley, name) for key, name in names.items()}
    start = numpy.tile([1.3, 0.7], 50)
    if method == "dogleg":  # it wants a Hessian that is positive definite from the start
        start = numpy.full(100, 1.1)
    found = optimize.minimize(
        valley.value_and_grad, start, jac=True, method=method, options=options, **second
    )
    assert found.fun < 1e-14
    assert numpy.abs(found.x - 1).max() < 1e-8


def test_derivatives_of_the_valley_are_those_that_scipy_has(valley: Compiled) -> None:
    theta, v = numpy.random.default_rng(0).normal(size=(2, 100))
    value, gradient = valley.value_and_grad(theta)
    assert value == pytest.approx(optimize.rosen(theta), rel=1e-13)
    assert valley.values(theta) == pytest.approx(value, rel=1e-13)
    hessian = optimize.rosen_hess(theta)
    for ours, theirs in [
        (gradient, optimize.rosen_der(theta)),
        (valley.jacobian_by_parameters(theta), optimize.rosen_der(theta)),
        (valley.hessian_by_parameters(theta), hessian),
        (valley.hvp_by_parameters(theta, v), hessian @ v),
    ]:
        assert ours.shape == theirs.shape
        assert numpy.abs(ours - theirs).max() < 1e-13 * numpy.abs(theirs).max()


def test_a_row_of_data_may_be_what_is_sought() -> None:
    c = compile(rosenbrock)
    found = optimize.minimize(
        lambda x: c([x])[0],
        [1.3, 0.7, 0.8, 1.9, 1.2],
        jac=lambda x: c.jacobian([x])[0, 0],
        hessp=lambda x, v: c.hvp([x], v=[v])[0],
        method="trust-krylov",
        options={"gtol": 1e-9},
    )
    assert numpy.abs(found.x - 1).max() < 1e-9


# ---- Equations, constraints, differential equations --------------------------------------------


def test_equations_are_solved_with_their_jacobian() -> None:
    x, y = own = [Value(0.0), Value(0.0)]
    c = compile(lambda: [x + 0.5 * (x - y) ** 3 - 1, 0.5 * (y - x) ** 3 + y], parameters=own)
    found = optimize.root(c.values, [0, 0], jac=c.jacobian_by_parameters, tol=1e-14)
    assert numpy.abs(c.values(found.x)).max() < 1e-14
    assert c.jacobian_by_parameters(found.x).shape == (2, 2)
    again = optimize.least_squares(c.values, [0, 0], c.jacobian_by_parameters)
    numpy.testing.assert_allclose(again.x, found.x, rtol=1e-7)


@pytest.mark.parametrize("method", ["SLSQP", "trust-constr"])
def test_a_constraint_has_derivatives_of_the_same_theta(method: str) -> None:
    x, y = own = [Value(0.0), Value(0.0)]
    c = compile(lambda: (1 - x) ** 2 + 100 * (y - x**2) ** 2, parameters=own)
    disk = compile(lambda: x**2 + y**2, parameters=own)
    within = optimize.NonlinearConstraint(
        disk.values,
        0.0,
        1.0,
        jac=disk.jacobian_by_parameters,
        hess=lambda theta, v: v[0] * disk.hessian_by_parameters(theta),
    )
    second = {"hess": c.hessian_by_parameters}
    if method == "SLSQP":  # it has no use for second derivatives, and warns of that
        second = {}
        within = optimize.NonlinearConstraint(disk.values, 0, 1, jac=disk.jacobian_by_parameters)
    found = optimize.minimize(
        c.value_and_grad, [0, 0], jac=True, method=method, constraints=within, tol=1e-12, **second
    )
    assert disk.values(found.x) == pytest.approx(1.0, abs=1e-6)  # it would go on, if it could
    downhill, outward = -c.value_and_grad(found.x)[1], disk.jacobian_by_parameters(found.x)
    across = downhill[0] * outward[1] - downhill[1] * outward[0]
    assert abs(across) < 1e-5 * math.hypot(*downhill) * math.hypot(*outward)
    assert downhill @ outward > 0


@pytest.mark.parametrize("method", ["BDF", "Radau", "LSODA"])
def test_a_stiff_reaction_takes_the_jacobian(method: str) -> None:
    slow, fast, back = Value(0.04), Value(3e7), Value(1e4)

    def rates(y: Any) -> list[Any]:
        first, second, third = slow * y[0], fast * y[1] ** 2, back * y[1] * y[2]
        return [third - first, first - second - third, second]

    c = compile(rates)
    solved = integrate.solve_ivp(
        lambda _, y: c([y])[0],
        (0.0, 1e11),
        [1.0, 0.0, 0.0],
        method=method,
        jac=lambda _, y: c.jacobian([y])[0],
        rtol=1e-7,
        atol=1e-20,
    )
    # Robertson's reaction, in: Mazzia and Magherini, Test Set for Initial Value Problem Solvers.
    exact = [0.2083340149701255e-07, 0.8333360770334713e-13, 0.9999999791665050]
    numpy.testing.assert_allclose(solved.y[:, -1], exact, rtol=1e-4)


# ---- What SciPy hands over, and what a user may ------------------------------------------------


def line() -> tuple[list[Value], Compiled]:
    own = [Value(2.0), Value(-1.0)]
    return own, compile(lambda x, y: exp(own[0]) * x + own[1] ** 2 - y, parameters=own)


X, Y = numpy.array([1.0, 2.0, 3.0]), numpy.array([0.5, 0.0, -0.5])


@pytest.mark.parametrize("on", ["floats", "numpy", "machine"])
def test_given_numbers_give_what_the_parameters_would_give(on: str) -> None:
    own = [Value(2.0), Value(-1.0)]
    pure = compile(lambda x: [own[0] * x, own[1] ** 2 / x], on=on, parameters=own)
    values, slopes = pure.values([3.0, 4.0], X), pure.jacobian_by_parameters([3.0, 4.0], X)
    assert [p.data for p in own] == [2.0, -1.0]
    assert [p.grad for p in own] == [0.0, 0.0]
    assert values.shape == (3, 2)
    assert slopes.shape == (3, 2, 2)
    pure.assign([3.0, 4.0])
    numpy.testing.assert_array_equal(values, pure(X))
    numpy.testing.assert_array_equal(slopes, pure.gradients(X))


def test_given_numbers_decide_which_branch_is_taken() -> None:
    a, b = own = [Value(1.0), Value(3.0)]
    c = compile(lambda x: a * x if a > 0 else b * x**2, parameters=own)
    assert c.values([-1.0, 5.0], [2.0]).tolist() == [20.0]
    assert c.jacobian_by_parameters([-1.0, 5.0], [2.0]).tolist() == [[0.0, 4.0]]
    assert c.jacobian_by_parameters([1.0, 5.0], [2.0]).tolist() == [[2.0, 0.0]]
    assert c([2.0]).tolist() == [2.0]


def test_theta_may_be_any_numbers_in_any_memory() -> None:
    _, c = line()
    theta = numpy.array([1.0, 2.0])
    fixed = theta.copy()
    fixed.setflags(write=False)
    others = [[1, 2], (1, 2), numpy.array([1, 2]), fixed, numpy.repeat(theta, 2)[::2]]
    others += [theta.astype(">f8"), theta.astype("float32"), theta[::-1].copy()[::-1]]
    for call in (c.values, c.value_and_grad, c.jacobian_by_parameters, c.hessian_by_parameters):
        wanted = call(theta, X, Y)
        for other in others:
            for ours, theirs in zip(call(other, X, Y), wanted, strict=True):
                numpy.testing.assert_array_equal(ours, theirs)


def test_no_result_is_written_over_by_the_next_call() -> None:
    _, c = line()
    for call in (c.values, c.jacobian_by_parameters, c.hessian_by_parameters):
        first = call([1.0, 2.0], X, Y)
        kept = first.copy()
        call([3.0, 4.0], X, Y)
        numpy.testing.assert_array_equal(first, kept)
        first[:] = 0.0  # nor does what somebody does to it matter to the next
        numpy.testing.assert_array_equal(call([1.0, 2.0], X, Y), kept)


@pytest.mark.parametrize(
    "theta, sentence",
    [
        ([1.0], r"theta has the shape \(2,\), a number for each parameter, but got \(1,\)"),
        ([[1.0, 2.0]], r"but got \(1, 2\)"),
        (1.0, r"but got 1\.0 \(float\)"),
        (None, "theta is an array of 2 numbers, but got None"),
        ("ab", "theta is an array of 2 numbers, but got 'ab'"),
        (numpy.array(1.0), r"but got \(\)"),
        ([1j, 2.0], r"but got \[1j, 2\.0\] \(list\), an array of complex numbers; x\.real"),
        (numpy.array([1j, 2.0]), "but got an array of complex numbers; x.real and x.imag"),
        (numpy.array([1.0, None]), r"an array of objects, .*; numpy\.asarray\(x, float\)"),
        (["1", "2"], r"\(list\), an array of text; numpy\.asarray"),
        ([Value(1.0), Value(2.0)], r"but got \[Value.*\(list\), an array of objects"),
        (numpy.ma.ones(2), "but got a masked array"),
    ],
)
def test_what_is_no_theta_is_told_in_one_sentence(theta: object, sentence: str) -> None:
    _, c = line()
    for call in (c.values, c.value_and_grad, c.jacobian_by_parameters, c.hessian_by_parameters):
        with pytest.raises((TypeError, ValueError), match=sentence):
            call(theta, X, Y)
    with pytest.raises((TypeError, ValueError), match=sentence):
        c.hvp_by_parameters(theta, [1.0, 1.0], X, Y)
    with pytest.raises((TypeError, ValueError), match=sentence.replace("theta", "v")):
        c.hvp_by_parameters([1.0, 1.0], theta, X, Y)
    with pytest.raises((TypeError, ValueError), match=sentence):
        c.assign(theta)


def test_rows_that_are_missing_are_asked_for() -> None:
    _, c = line()
    with pytest.raises(TypeError, match="values takes theta, then an array for each argument"):
        c.values([1.0, 2.0])
    with pytest.raises(TypeError, match="jacobian_by_parameters takes theta, then an array"):
        c.jacobian_by_parameters([1.0, 2.0])
    c.trace(X, Y)
    with pytest.raises(TypeError, match="traced with 2 arguments, but got 1 array"):
        c.values([1.0, 2.0], X)


def test_a_step_out_of_the_domain_gives_nan_and_no_warning() -> None:
    rate = Value(1.0)
    c = compile(lambda x, y: log(rate * x) - y, parameters=[rate])
    level = numpy.log(0.01 * X)
    assert numpy.isnan(c.values([-1.0], X, level)).all()
    # Its first step goes below 0, where there is no logarithm; then it takes a shorter one.
    found = optimize.least_squares(c.values, [5.0], c.jacobian_by_parameters, args=(X, level))
    assert found.x == pytest.approx([0.01], rel=1e-7)
    with pytest.raises(ValueError, match="Residuals are not finite in the initial point"):
        optimize.least_squares(c.values, [-5.0], c.jacobian_by_parameters, args=(X, level))
    with detect_anomaly(), pytest.raises(Exception, match="log"):
        c.values([-5.0], X, level)


def test_a_list_has_no_mean_but_may_be_the_errors() -> None:
    rate = Value(1.0)
    c = compile(lambda x, y: [rate * x - y, rate**2 * x - y**2], parameters=[rate])
    with pytest.raises(TypeError, match="the function returns a list; compile a function that"):
        optimize.minimize(c.value_and_grad, [1.0], (X, 2 * X), jac=True)
    found = optimize.least_squares(
        lambda theta: c.values(theta, X, 2 * X).ravel(),
        [1.0],
        lambda theta: c.jacobian_by_parameters(theta, X, 2 * X).reshape(-1, 1),
    )
    of_sum = compile(lambda x, y: sum(e**2 for e in c.function(x, y)), parameters=[rate])
    least = optimize.minimize(of_sum.value_and_grad, [1.0], (X, 2 * X), jac=True, tol=1e-9)
    assert found.x == pytest.approx(least.x, rel=1e-6)
