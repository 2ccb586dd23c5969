"""What a Value shows of itself, compares to, and accepts."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy
import pytest

from microgradlike import Value
from microgradlike.functions import FUNCTIONS as F

# ---- What it shows -------------------------------------------------------------------------------


def test_repr_and_format() -> None:
    x = Value(2.5, label="x")
    (x * 3).backward()
    assert repr(x) == "Value(data=2.5, grad=3.0, label='x')"
    assert repr(Value(-1)) == "Value(data=-1.0, grad=0.0)"
    assert f"{x}" == repr(x)
    assert f"{x:.3f} {x:8.1e}|" == "2.500  2.5e+00|"


def test_label() -> None:
    x = Value(1.0)
    assert f"{x.label}" == ""
    x.label = "weight"
    assert Value(1.0, label="x").label == Value(1.0, "x").label == "x"
    assert (x * 2).label == ""


def test_how_it_was_made() -> None:
    x, y = Value(2.0), Value(3.0)
    product, power, halved = x * y, 2**x, x / 2
    assert (product.op, product._op, product.operands) == ("mul", "*", (x, y))
    assert product.parents == (x, y)
    assert product._prev == {x, y}
    assert (power.op, power._op, power.operands, power.parents) == ("pow", "**", (2.0, x), (x,))
    assert (halved.op, halved.operands, halved.parents) == ("truediv", (x, 2.0), (x,))
    assert (x.tanh().op, x.tanh()._op, x.tanh().operands) == ("tanh", "tanh", (x,))
    assert F["where"](True, x, y).operands == (x,)  # of the two, the one that was taken
    assert (x.op, x._op, x.operands, x.parents, x._prev) == ("", "", (), (), set())


def test_one_operand_twice_is_two_parents_and_one_previous() -> None:
    x = Value(2.0)
    assert (x * x).parents == (x, x)
    assert (x * x)._prev == {x}


def test_no_attribute_of_a_result_can_be_misspelt() -> None:
    with pytest.raises(AttributeError):
        (Value(1.0) * 2).gard = 1.0  # type: ignore[attr-defined]


# ---- As a Python number --------------------------------------------------------------------------


def test_float_int_bool() -> None:
    assert (float(Value(2.7)), int(Value(-2.7)), bool(Value(0.0)), bool(Value(-0.5))) == (
        2.7,
        -2,
        False,
        True,
    )
    assert type(float(Value(2))) is float


@pytest.mark.parametrize(
    ("made", "value", "slope"),
    [
        (lambda x: -x, 2.5, -1.0),
        (lambda x: abs(x), 2.5, -1.0),
        (lambda x: round(x), -2.0, 0.0),
        (lambda x: math.floor(x), -3.0, 0.0),
        (lambda x: math.ceil(x), -2.0, 0.0),
        (lambda x: x + 1, -1.5, 1.0),
        (lambda x: 1 + x, -1.5, 1.0),
        (lambda x: x - 1, -3.5, 1.0),
        (lambda x: 1 - x, 3.5, -1.0),
        (lambda x: x * 4, -10.0, 4.0),
        (lambda x: 4 * x, -10.0, 4.0),
        (lambda x: x / 5, -0.5, 0.2),
        (lambda x: 5 / x, -2.0, -0.8),
        (lambda x: x**2, 6.25, -5.0),
        (lambda x: 2**x, 2**-2.5, 2**-2.5 * math.log(2)),
        (lambda x: x % 2, 1.5, 1.0),
        (lambda x: 2 % x, -0.5, 1.0),
        (lambda x: sum([x, x, 1]), -4.0, 2.0),
        (lambda x: max(x, Value(-9.0)), -2.5, 1.0),
        (lambda x: math.fsum([x]) * x, 6.25, -2.5),  # float() cuts the graph
    ],
)
def test_python_operators(made: Callable[[Value], Value], value: float, slope: float) -> None:
    x = Value(-2.5)
    y = made(x)
    y.backward()
    assert isinstance(y, Value)
    assert y.data == pytest.approx(value, rel=1e-15)
    assert x.grad == pytest.approx(slope, rel=1e-15)


@pytest.mark.parametrize(
    "number", [3, 3.0, numpy.float64(3), numpy.float32(3), numpy.int64(3), Fraction(3)], ids=repr
)
def test_every_real_number_is_accepted(number: Any) -> None:
    x = Value(2.0)
    results = [x + number, number + x, x * number, number - x, number**x, x.maximum(number)]
    results += [Value(number), F["hypot"](number, x), F["where"](False, x, number) + x]
    assert [r.data for r in results] == [5.0, 5.0, 6.0, 1.0, 9.0, 3.0, 3.0, math.hypot(2, 3), 5.0]
    assert all(isinstance(r, Value) and type(r.data) is float for r in results)
    assert all(isinstance(o, float | Value) for r in results for o in r.operands)


# ---- Comparisons ---------------------------------------------------------------------------------


def test_comparisons_are_of_data() -> None:
    a, b = Value(1.0), Value(2.0)
    assert a < b
    assert a <= b
    assert b > a
    assert b >= a
    assert a != b
    assert a != Value(1.0)  # another one; it has the same number
    assert a == 1
    assert 1 == a  # noqa: SIM300
    assert a < 2
    assert 2 > a  # noqa: SIM300
    assert a == numpy.float64(1)
    assert bool(numpy.float64(2) > a)
    assert a < Fraction(3, 2)  # type: ignore[operator]
    assert sorted([b, a])[0] is a


def test_nan_equals_nothing() -> None:
    x = Value(math.nan)
    assert (x == math.nan) is False
    assert x != math.nan
    assert x == x  # the same Value
    assert not x < 1
    assert not x >= 1


@pytest.mark.parametrize("other", ["1", None, [1.0], 1j], ids=repr)
def test_what_is_no_number_is_unequal_and_has_no_order(other: Any) -> None:
    assert Value(1.0) != other
    assert (Value(1.0) == other) is False
    with pytest.raises(TypeError):
        Value(1.0) < other  # noqa: B015


def test_sets_and_dicts_go_by_identity() -> None:
    a, b = Value(1.0), Value(1.0)
    assert a != b
    assert len({a, b, a}) == 2
    names = {a: "a", b: "b"}
    a.data = 5.0
    assert (names[a], names[b]) == ("a", "b")
    assert Value(1.0) not in names


# ---- Bad input -----------------------------------------------------------------------------------

BAD: list[Any] = [
    "1",
    None,
    1j,
    True,
    numpy.bool_(True),
    numpy.array([1.0]),
    [1.0],
    (1.0,),
    {},
    b"1",
    object,
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(type(bad).__name__))
def test_a_value_is_made_of_a_real_number(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"^Value\(data\) takes a real number") as raised:
        Value(bad)
    assert_one_sentence(raised.value)


TRUTH = (bool, numpy.bool_)  # beside a Value it counts as 1 or 0


@pytest.mark.parametrize(
    "bad", [b for b in BAD if not isinstance(b, (numpy.ndarray, *TRUTH))], ids=repr
)
@pytest.mark.parametrize(
    "operation",
    [
        lambda x, bad: x + bad,
        lambda x, bad: bad - x,
        lambda x, bad: x**bad,
        lambda x, bad: x.maximum(bad),
        lambda x, bad: F["hypot"](bad, x),
        lambda x, bad: F["tanh"](bad),
        lambda x, bad: F["clip"](x, 0, bad) if bad is not None else F["tanh"](bad),
        lambda x, bad: F["where"](x < 0, x, bad),
        lambda x, bad: F["sum"]([x, bad]),
    ],
    ids=["+", "r-", "**", "method", "function", "of bad alone", "clip", "where", "sum"],
)
def test_an_operand_is_a_real_number(operation: Callable[[Value, Any], Any], bad: Any) -> None:
    with pytest.raises(TypeError, match=r"takes a real number|unsupported operand") as raised:
        operation(Value(1.0), bad)
    assert_one_sentence(raised.value)


@pytest.mark.parametrize(
    "made",
    [lambda n: Value(n), lambda n: Value(1.0) * n, lambda n: n / Value(1.0), lambda n: F["exp"](n)],
)
def test_an_integer_too_large_for_a_float(made: Callable[[int], Any]) -> None:
    with pytest.raises(ValueError, match="a float can hold") as raised:
        made(10**400)
    assert_one_sentence(raised.value)


@pytest.mark.parametrize("bad", [3, b"x", ["x"], Value(1.0)], ids=["int", "bytes", "list", "Value"])
def test_a_label_is_text(bad: Any) -> None:
    with pytest.raises(TypeError, match="the label of a Value is text") as raised:
        Value(1.0, label=bad)
    assert_one_sentence(raised.value)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "logsumexp", "softmax"])
def test_many_operands_are_a_list(name: str) -> None:
    for bad in (3, "12", Value(1.0), None):
        with pytest.raises(TypeError, match=f"^{name} takes a list"):
            F[name](bad)


def test_of_no_operands() -> None:
    assert (F["sum"]([]), F["prod"]([]), F["dot"]([], [])) == (0.0, 1.0, 0.0)
    for name in ("mean", "logsumexp", "softmax"):
        with pytest.raises(ValueError, match="of no values is not defined"):
            F[name]([])
    with pytest.raises(ValueError, match="one length, but got 1 and 2"):
        F["dot"]([1], [1, 2])


def assert_one_sentence(error: BaseException) -> None:
    text = str(error)
    assert "\n" not in text
    assert len(text) < 200


# ---- Tracebacks ----------------------------------------------------------------------------------


def test_a_traceback_shows_the_generated_line() -> None:
    x = Value(1.0)
    x._number = None  # type: ignore[assignment]
    failing: list[tuple[Callable[[], Value], str]] = [
        (lambda: x * 2.0, "data, rule = x._number * y, mul_x"),
        (lambda: 2.0 - x, "data, rule = x - y._number, sub_y"),
        (lambda: x.tanh(), "data, rule, y = ops.tanh(x._number), tanh_x, None"),
    ]
    for fails, line in failing:
        with pytest.raises(TypeError) as raised:
            fails()
        last = traceback.extract_tb(raised.tb)[-1]
        assert (last.filename, last.line) == ("<microgradlike operators>", line)
