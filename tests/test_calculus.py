"""grad, check_gradients and assert_derivation: what they must accept, and what they must refuse."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import pytest

import microgradlike as mg
from microgradlike import Value, assert_derivation, check_gradients, grad, ops
from microgradlike.rules import RULES


@contextmanager
def sabotaged(rule: str, send: Callable[[Value], None]) -> Iterator[None]:
    """The engine, with another sending function in place of the one the table gave."""
    right = RULES[rule].send
    RULES[rule].send = send
    try:
        yield
    finally:
        RULES[rule].send = right


# ---- grad --------------------------------------------------------------------------------------


def test_grad_of_one_argument_is_the_derivative_alone() -> None:
    assert grad(lambda x: x**3)(2.0) == 12.0
    assert isinstance(grad(lambda x: x**3)(2), float)


def test_grad_keeps_the_structure_of_the_arguments() -> None:
    def f(w: Any, options: Any, x: Any) -> Any:
        return mg.dot(w, x) * options["scale"][0] + options["shift"]

    w, options, x = grad(f)([1.0, 2.0], {"scale": (3.0,), "shift": 4.0}, numpy.array([5.0, 6.0]))
    assert w == [15.0, 18.0]
    assert options == {"scale": (17.0,), "shift": 1.0}
    assert isinstance(x, numpy.ndarray)
    assert x.dtype == float
    assert x.tolist() == [3.0, 6.0]


def test_grad_of_a_matrix() -> None:
    matrix = numpy.arange(6.0).reshape(2, 3)
    slopes = grad(lambda m: (m @ numpy.ones(3)).sum() ** 2)(matrix)
    assert slopes.shape == (2, 3)
    assert (slopes == 2 * matrix.sum()).all()


@pytest.mark.parametrize("order", range(1, 8))
def test_grad_nests_to_any_order(order: int) -> None:
    derivative: Any = lambda x: x**6  # noqa: E731
    for _ in range(order):
        derivative = grad(derivative)
    expected = math.perm(6, order) * 1.5 ** (6 - order) if order <= 6 else 0.0
    assert derivative(1.5) == pytest.approx(expected, rel=1e-13)


def test_values_in_values_out_so_that_backward_goes_on() -> None:
    x = Value(2.0)
    slope = grad(lambda v: v**3)(x)
    slope.backward()
    assert (slope.data, x.grad) == (12.0, 12.0)


def test_an_inner_argument_is_not_confused_with_an_outer_one() -> None:
    # d/dx [x * d/dy (x + y) at y = x] = d/dx [x * 1] = 1; confusing y with x would give 2.
    assert grad(lambda x: x * grad(lambda y: x + y)(x))(2.0) == 1.0


def test_grad_changes_no_gradient() -> None:
    w = Value(3.0)
    w.grad = 7.0
    assert grad(lambda x: w * x)(2.0) == 3.0
    assert w.grad == 7.0


def test_grad_works_within_no_grad() -> None:
    with mg.no_grad():
        assert grad(lambda x: x**3)(2.0) == 12.0
        assert grad(grad(lambda x: x**3))(2.0) == 12.0
        assert check_gradients(lambda x: x**3, 2.0)
        with pytest.raises(RuntimeError, match="within no_grad"):
            (Value(2.0) * 3).backward()


def test_grad_of_a_constant_or_an_unused_argument_is_zero() -> None:
    assert grad(lambda x: 3.0)(1.0) == 0.0
    assert grad(lambda x, y: x)(1.0, 2.0) == (1.0, 0.0)


def test_grad_of_the_argument_itself() -> None:
    assert grad(lambda x: x)(5.0) == 1.0


def test_grad_of_a_long_chain_needs_no_recursion() -> None:
    def chain(x: Any) -> Any:
        for _ in range(20_000):
            x = x + 1.0
        return x

    assert grad(chain)(1.0) == 1.0


def test_where_sends_nothing_to_the_other_branch_in_any_order() -> None:
    def f(x: Any) -> Any:
        return mg.where(x > 0, mg.sqrt(x), 2 * x)

    assert grad(f)(0.0) == 2.0
    assert grad(grad(f))(0.0) == 0.0
    assert grad(grad(mg.sinc))(0.0) == pytest.approx(-(math.pi**2) / 3, rel=1e-14)


@pytest.mark.parametrize("argument", ["text", None, 1j, True, [1.0, "x"], {"a": None}])
def test_grad_refuses_what_is_no_number(argument: Any) -> None:
    with pytest.raises(TypeError, match="takes a real number"):
        grad(lambda x: x)(argument)


def test_grad_refuses_a_function_of_many_results() -> None:
    with pytest.raises(TypeError, match="must return one Value"):
        grad(lambda x: [x, x])(1.0)


def test_an_array_of_shape_nothing_is_a_number_and_its_derivative_such_an_array() -> None:
    for function in (lambda x: mg.sin(x), lambda x: numpy.sin(x), lambda x: x - mg.cos(x) + x):
        slope = grad(function)(numpy.array(0.0))
        assert isinstance(slope, numpy.ndarray)
        assert slope.shape == ()
    assert grad(lambda x: x)(numpy.array(2.0)) == 1.0


def test_grad_takes_arguments_by_position() -> None:
    with pytest.raises(TypeError, match=r"by position, but got x=\.\.\."):
        grad(lambda x: x * x)(x=2.0)


# ---- check_gradients ---------------------------------------------------------------------------


def f(x: Any, y: Any) -> Any:
    return (x * y + x.sin()) * x


def test_check_gradients_accepts_the_engine() -> None:
    report = check_gradients(f, (1.3, -0.7))
    assert report
    assert [row.name for row in report.operands] == ["x", "y"]
    assert "agrees" in str(report)


def test_check_gradients_names_every_number_of_a_structure() -> None:
    def g(w: Any, p: Any) -> Any:
        return mg.dot(w, w) * p["a"]

    report = check_gradients(g, (numpy.array([1.0, 2.0]), {"a": 3.0}))
    assert [row.name for row in report.operands] == ["w[0]", "w[1]", "p['a']"]


def test_check_gradients_finds_a_slope_wrong_by_a_factor() -> None:
    def doubled(out: Value) -> None:
        out._x.grad += out.grad * 2 * ops.cos(out._x.data)  # type: ignore[union-attr,operator]

    with sabotaged("sin_x", doubled), pytest.raises(AssertionError) as failure:
        check_gradients(f, (1.3, -0.7))
    message = str(failure.value)
    assert "sin(1.3) by x" in message
    assert "by a factor of 2" in message
    assert message.count("DISAGREES") == 2  # the operand x and the operator sin, nothing else


def test_check_gradients_finds_a_wrong_sign() -> None:
    def negated(out: Value) -> None:
        out._x.grad -= out.grad * ops.cos(out._x.data)  # type: ignore[union-attr,operator]

    with sabotaged("sin_x", negated), pytest.raises(AssertionError, match="in its sign"):
        check_gradients(f, (1.3, -0.7))


def test_check_gradients_finds_a_missing_accumulation() -> None:
    def forgetful(out: Value) -> None:
        x, y = out._x, out._y
        x.grad, y.grad = out.grad * y.data, out.grad * x.data  # type: ignore[union-attr]

    with sabotaged("mul_xy", forgetful), pytest.raises(AssertionError) as failure:
        check_gradients(f, (1.3, -0.7))
    assert "not summed up to that of x." in str(failure.value)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_check_gradients_is_as_strict_for_small_numbers_as_for_large(scale: float) -> None:
    def slightly_wrong(out: Value) -> None:
        out._x.grad += out.grad * out._y * 1.00001  # type: ignore[union-attr,operator]

    check_gradients(lambda x: x * scale, 3.0)
    with sabotaged("mul_x", slightly_wrong), pytest.raises(AssertionError):
        check_gradients(lambda x: x * scale, 3.0)


def test_check_gradients_says_where_there_is_a_kink() -> None:
    with pytest.raises(AssertionError, match="KINK \\(slope 0 below, 1 above"):
        check_gradients(lambda x: x.relu(), 0.0)


def test_check_gradients_stays_within_the_domain() -> None:
    assert check_gradients(lambda x: x.log(), 1e-5)
    assert check_gradients(lambda x: x.asin(), 1 - 1e-6)


@pytest.mark.parametrize(
    ("function", "at"),
    [
        (lambda x: mg.sin(1e4 * x), 1.0),
        (lambda x: mg.sin(1e4 * x), math.pi / 2e4),
        (lambda x: mg.sin(2 * math.pi * 6400 * x), 0.0),
        (lambda x: mg.sin(x), 1e6),
        (lambda x: mg.cos(x), 50 * math.pi),
        (lambda x: 1 / x, 1e-8),
        (lambda x: x**-3, 1e-8),
        (lambda x: mg.tan(x), 1.5707963),
        (lambda x: mg.asin(x), 1 - 1e-12),
        (lambda x: mg.log(x), 1e-300),
        (lambda x: mg.relu(x), 1e-12),
        (lambda x: mg.floor(x), 1e5 + 0.5),
        (lambda x: mg.where(x > 0.9999, x + 5, 2 * x), 1.0),
        (lambda x: ((1e10 + x) - 1e10) - 1, 1.0),
        (lambda x: 1 - mg.cos(x), 1e-5),
        (lambda x: x * 0 + 3, 1.0),
        (lambda x: x**4, 0.0),
        (lambda x: x**2, 1e-20),
        (lambda x: mg.tanh(x), 20.0),
        (lambda x: mg.cbrt(x), 1e-9),
        (lambda x: x * 1e-10, 1.7e308),
    ],
)
def test_check_gradients_accepts_what_is_right_at_any_scale(function: Any, at: float) -> None:
    assert check_gradients(function, at)


@pytest.mark.parametrize(
    ("function", "at", "why"),
    [
        (lambda x: mg.floor(x), 1.0, "f jumps here"),
        (lambda x: mg.floor(1e5 * x) / 1e5, 1.0, "f jumps here"),
        (lambda x: mg.where(x >= 1, x + 5, 2 * x), 1.0, "f jumps here"),
        (lambda x: mg.cbrt(x), 0.0, "too rough"),
        (lambda x: x * numpy.random.rand(), 1.0, "another value each time"),
        (lambda x: x.exp(), math.inf, "not finite"),
        (lambda x: x * 0, -math.inf, "not finite"),
        (lambda x: x.exp(), math.nan, "not finite"),
        (lambda x: x.sqrt(), 0.0, "not finite"),
    ],
)
def test_check_gradients_says_what_it_cannot_judge(function: Any, at: float, why: str) -> None:
    with pytest.raises(AssertionError) as failure:
        check_gradients(function, at)
    assert "CANNOT BE JUDGED (" in str(failure.value)
    assert why in str(failure.value)
    assert "accumulation" not in str(failure.value)
    assert "not recorded" not in str(failure.value)


def test_a_kink_of_f_itself_is_nobodys_fault() -> None:
    with pytest.raises(AssertionError) as failure:
        check_gradients(lambda x: mg.where(x > 0, x, 2 * x), 0.0)
    assert "KINK (slope 2 below, 1 above" in str(failure.value)
    assert "Every operator" not in str(failure.value)


def test_a_wrong_slope_on_a_summit_is_no_kink() -> None:
    def wrong(out: Value) -> None:
        out._x.grad += out.grad * 0.5  # type: ignore[union-attr]

    with sabotaged("sin_x", wrong), pytest.raises(AssertionError) as failure:
        check_gradients(lambda x: x.sin(), math.pi / 2)
    assert "DISAGREES" in str(failure.value)
    assert "KINK" not in str(failure.value)


@mg.no_grad()
def unrecorded(x: Any) -> Any:
    return x * x


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * x.detach(),
        lambda x: x * float(x.detach()),
        unrecorded,
    ],
)
def test_check_gradients_says_where_f_leaves_the_graph(function: Any) -> None:
    with pytest.raises(AssertionError, match="depends on x in a way that was not recorded") as it:
        check_gradients(function, 1.3)
    assert "accumulation" not in str(it.value)


def test_check_gradients_leaves_other_gradients_alone() -> None:
    w = Value(3.0)
    w.grad = 7.0
    assert check_gradients(lambda x: w * x, 2.0)
    assert w.grad == 7.0


def test_check_gradients_refuses_bad_input() -> None:
    with pytest.raises(TypeError, match="takes a real number"):
        check_gradients(lambda x: x, "text")
    with pytest.raises(TypeError, match="must return one Value"):
        check_gradients(lambda x: [x], 1.0)
    with pytest.raises(ValueError, match="no number to check"):
        check_gradients(lambda x: Value(1.0), [])


def test_check_gradients_of_the_operand_itself_within_no_grad() -> None:
    with mg.no_grad():
        assert check_gradients(lambda x: x, 2.0)


# ---- assert_derivation -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "derivation"),
    [
        (lambda x: mg.sin(x**2), "2*x*cos(x**2)"),
        (lambda x: mg.exp(x) / (1 + mg.exp(x)), "exp(x) / (1 + exp(x))**2"),
        (lambda x: mg.tanh(x), "1 - tanh(x)**2"),
        (lambda x: mg.relu(x), "1 if x > 0 else 0"),
        (lambda x: mg.arctan(3 * x), "3 / (1 + 9*x*x)"),
        (lambda x: x * mg.deg2rad(1), "pi / 180"),
        (lambda x: mg.sin(x), math.cos),
    ],
)
def test_assert_derivation_accepts_what_is_right(function: Any, derivation: Any) -> None:
    assert_derivation(function, derivation)


def test_assert_derivation_by_several_arguments() -> None:
    assert_derivation(lambda x, y: x * y**2, ["y**2", lambda x, y: 2 * x * y])
    assert_derivation(lambda x, y: x**y, ["y*x**(y-1)", "x**y*log(x)"], domain=(0.1, 3))
    assert_derivation(lambda x, y: x / y, ["1/y", "-x/y**2"], domain=[(-1, 1), (1, 2)])


def test_assert_derivation_of_higher_order() -> None:
    assert_derivation(lambda x: mg.exp(x) * mg.sin(x), "2*exp(x)*cos(x)", order=2)
    assert_derivation(lambda x: x**5, "60*x**2", order=3)


@pytest.mark.parametrize("wrong", ["2*cos(x**2)", "-2*x*cos(x**2)", "2.000001*x*cos(x**2)", "0"])
def test_assert_derivation_must_refuse(wrong: str) -> None:
    with pytest.raises(AssertionError) as failure:
        assert_derivation(lambda x: mg.sin(x**2), wrong)
    assert "by hand" in str(failure.value)
    assert "the engine" in str(failure.value)


@pytest.mark.parametrize(
    ("function", "wrong"),
    [
        (lambda x: 1e-15 * x**2, "0"),
        (lambda x: 1e-15 * x**2, "2.000001e-15*x"),
        (lambda x: 1e-200 * x**2, lambda x: 1e-200 * x),
        (lambda x: 5 + 1e-15 * x**2, "0"),
        (lambda x: (1e9 * x) ** 2, "2.000001e18*x"),
        (lambda x: mg.exp(10 * x), "10*exp(10*x) + 1"),
    ],
)
def test_a_wrong_derivation_is_refused_however_small_the_slopes(function: Any, wrong: Any) -> None:
    with pytest.raises(AssertionError):
        assert_derivation(function, wrong)
    with pytest.raises(AssertionError):
        assert_derivation(function, wrong, points=[-1.0])


@pytest.mark.parametrize(
    ("function", "derivation", "at"),
    [
        (lambda x: mg.sin(x) ** 2 + mg.cos(x) ** 2, "0", 1.0),
        (lambda x: mg.cos(x), "-sin(x)", math.pi),
        (lambda x: mg.sin(x), "sin(pi/2 - x)", math.pi / 2),
        (lambda x: mg.sin(x), lambda x: math.sin(math.pi / 2 - x), math.pi / 2),
        (lambda x: mg.cos(x), lambda x: math.cos(x + math.pi / 2), 0.0),
        (lambda x: x**3 - 3 * x, "3*(x - 1)*(x + 1)", 1.0 + 1e-9),
        (lambda x: (x - 1) ** 3, "3*x**2 - 6*x + 3", 1.0 + 1e-6),
    ],
)
def test_a_right_derivation_may_cancel(function: Any, derivation: Any, at: float) -> None:
    assert_derivation(function, derivation)
    assert_derivation(function, derivation, points=[at])


def test_assert_derivation_takes_points_in_every_form() -> None:
    assert_derivation(lambda x: x * x, "2*x", points=numpy.int64(5))
    assert_derivation(lambda x: x * x, "2*x", points=numpy.array([1.0, 2.0]))
    assert_derivation(lambda x: x * x, "2*x", points=numpy.array([[1.0], [2.0]]))
    assert_derivation(lambda x, y: x * y, ["y", "x"], points=numpy.array([[1.0, 2.0], [3.0, 4.0]]))
    with pytest.raises(AssertionError, match="differs at 5 of 5 points"):
        assert_derivation(lambda x: x * x, "17", points=numpy.int64(5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 0}, "at least 1, but got 0"),
        ({"points": -5}, "at least 1, but got -5"),
        ({"points": []}, "nothing would be tried"),
        ({"points": "12"}, "points cannot be '12'"),
        ({"points": None}, "points cannot be None"),
        ({"points": True}, "points cannot be True"),
        ({"points": 2.5}, "points cannot be 2.5"),
        ({"points": [(1.0, 2.0)]}, "f takes 1 argument, but the point .* is 2 numbers"),
        ({"points": ["x"]}, "a point takes a real number"),
        ({"tolerance": math.inf}, "tolerance is at least 0 and less than 1"),
        ({"tolerance": math.nan}, "tolerance is at least 0 and less than 1"),
        ({"tolerance": "1"}, "tolerance takes a real number"),
        ({"domain": None}, "domain is the lowest and the highest"),
        ({"domain": (1,)}, "domain is the lowest and the highest"),
        ({"domain": (2, 1)}, "domain is the lowest and the highest"),
        ({"domain": (-math.inf, 1)}, "domain is the lowest and the highest"),
        ({"domain": [(0, 1), (0, 1)]}, r"each argument of f \(x\)"),
    ],
)
def test_assert_derivation_tries_something_or_says_why_not(options: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        assert_derivation(lambda x: x, "17", **options)


@pytest.mark.parametrize(
    ("derivation", "message"),
    [
        (["1", "1"], "f takes 1 argument, but there are 2 derivations"),
        (None, "derivation cannot be None"),
        ([3], "a derivation is a text such as"),
        (lambda x, y: 1.0, "does not take the arguments of f, x;"),
        (lambda x: None, "must return one number, but returned None"),
        ("1" + "0" * 400, "a float can hold"),
        ("+".join(["x"] * 5000), "too many parts"),
        ("sin()", "cannot be computed"),
        ("False", "contains 'False'"),
    ],
)
def test_assert_derivation_says_what_is_wrong_with_it(derivation: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as error:
        assert_derivation(lambda x: x, derivation)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x: x * x, " 2*x "),
        (lambda x: x * x, "\n    x\n    + x\n"),
        (lambda x: mg.clip(x, 0, 1), "1 if 0 < x < 1 else 0"),
        (lambda x: mg.clip(x, 0, 1), "1 if x > 0 and x < 1 else 0"),
        (lambda x: mg.clip(x, 0, 1), "0 if x < 0 or not x < 1 else +1"),
        (lambda x: mg.relu(x), "x > 0"),
    ],
)
def test_text_may_have_line_breaks_and_conditions(function: Any, text: str) -> None:
    assert_derivation(function, text)


def test_assert_derivation_shows_the_worst_point() -> None:
    with pytest.raises(AssertionError, match=r"at 1 of 3 points, most at x = 2.0:"):
        assert_derivation(lambda x: x * x, "2*x if x < 2 else 0", points=[0.0, 1.0, 2.0])


def test_a_derivation_that_is_nan_where_the_engine_is_not_is_refused() -> None:
    with pytest.raises(AssertionError):
        assert_derivation(lambda x: x * x, "2*x + 0*log(-1-x*x)")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "x.__class__",
        "x^2",
        "lambda: 0",
        "[x]",
        "True",
        "y",
        "2*",
        "sin",
        "f(x)",
    ],
)
def test_text_is_parsed_and_never_evaluated(text: str) -> None:
    with pytest.raises(ValueError, match="the formula"):
        assert_derivation(lambda x: x, text)


def test_assert_derivation_refuses_bad_input() -> None:
    with pytest.raises(ValueError, match="f is not finite at x = "):
        assert_derivation(lambda x: x.log(), "1/x")
    with pytest.raises(ValueError, match="f takes 2 arguments, but there is 1 derivation;"):
        assert_derivation(lambda x, y: x * y, "y")
    with pytest.raises(ValueError, match="order is an integer of at least 1"):
        assert_derivation(lambda x: x, "1", order=0)


def test_a_line_that_is_quoted_is_short_and_ends_without_a_colon() -> None:
    def asks(x: Any) -> Any:
        if float(x) > 0:
            return x
        return -x

    def long(x: Any) -> Any:
        return 1 * (float(x) + 1.0 - 1.0 + 1.0 - 1.0 + 1.0 - 1.0 + 1.0 - 1.0 + 1.0 - 1.0 + 1.0)

    with pytest.raises(TypeError, match=r": if float\(x\) > 0: this number depends"):
        grad(asks)(1.0)
    with pytest.raises(
        TypeError, match=r": return 1 \* \(float.{60,70}\.\.\.: this number depends"
    ):
        grad(long)(1.0)
