"""NumPy's arrays of Values, and its numbers beside Values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from microgradlike import Value, grad
from microgradlike.functions import FUNCTIONS


def array(*numbers: float) -> Any:
    return np.array([Value(n) for n in numbers], dtype=object)


def gradients(values: Any) -> list[float]:
    return [v.grad for v in values.ravel()]


# ---- Arrays of Values ----------------------------------------------------------------------------


def test_a_matrix_times_a_vector() -> None:
    weights, x = array(1, 2, 3, 4, 5, 6).reshape(2, 3), array(0.5, -1, 2)
    out = weights @ x
    assert [v.data for v in out] == [4.5, 9.0]
    (out[0] + 10 * out[1]).backward()
    assert gradients(weights) == [0.5, -1.0, 2.0, 5.0, -10.0, 20.0]
    assert gradients(x) == [41.0, 52.0, 63.0]


def test_a_matrix_of_numbers_times_a_vector_of_values() -> None:
    x = array(1, 2)
    out = np.array([[3.0, 4.0], [5.0, 6.0]]) @ x
    (out[0] * out[1]).backward()
    assert [v.data for v in out] == [11.0, 17.0]
    assert gradients(x) == [3 * 17 + 11 * 5, 4 * 17 + 11 * 6]


@pytest.mark.parametrize(
    ("reduce", "value", "slopes"),
    [
        (lambda a: a.sum(), 6.0, [1, 1, 1]),
        (lambda a: np.sum(a), 6.0, [1, 1, 1]),
        (lambda a: a.mean(), 2.0, [1 / 3] * 3),
        (lambda a: a.prod(), 6.0, [6, 3, 2]),
        (lambda a: a.max(), 3.0, [0, 0, 1]),
        (lambda a: a.min(), 1.0, [1, 0, 0]),
        (lambda a: a.var(), 2 / 3, [-2 / 3, 0, 2 / 3]),
        (lambda a: a @ a, 14.0, [2, 4, 6]),
        (lambda a: np.dot(a, [4, 5, 6]), 32.0, [4, 5, 6]),
        (lambda a: np.linalg.norm(a), math.sqrt(14), [n / math.sqrt(14) for n in (1, 2, 3)]),
        (lambda a: (a**2).cumsum()[1], 5.0, [2, 4, 0]),
        (lambda a: np.outer(a, a)[0, 2], 3.0, [3, 0, 1]),
        (lambda a: np.where([True, False, True], a, 0).sum(), 4.0, [1, 0, 1]),
    ],
)
def test_reductions(reduce: Any, value: float, slopes: list[float]) -> None:
    a = array(1, 2, 3)
    out = reduce(a)
    assert isinstance(out, Value)
    out.backward()
    assert out.data == pytest.approx(value, rel=1e-15)
    assert gradients(a) == pytest.approx(slopes, rel=1e-15)


# Each NumPy function on an array of Values ends in our operator of that name. Not among them:
# maximum and minimum compare and return one of the two, sign counts, logaddexp refuses objects.
OTHERWISE = {"maximum", "minimum", "sign", "logaddexp"}
UFUNCS = sorted(
    name
    for name in FUNCTIONS
    if isinstance(getattr(np, name, None), np.ufunc) and name not in OTHERWISE
)


@pytest.mark.parametrize("name", UFUNCS)
def test_a_ufunc_reaches_the_operator(name: str) -> None:
    ufunc, function = getattr(np, name), FUNCTIONS[name]
    shift = 1.0 if name in ("acosh", "arccosh") else 0.0
    operands = [array(0.25 + shift, 0.75 + shift), array(0.5, 0.3)][: ufunc.nin]
    for index, out in enumerate(ufunc(*operands)):
        point = [a[index].data for a in operands]
        out.backward()
        slopes = grad(function)(*point)
        assert isinstance(out, Value)
        assert out.data == pytest.approx(function(*point), rel=1e-15)
        assert out.data == pytest.approx(float(ufunc(*point)), rel=1e-14)  # NumPy means the same
        found = [a[index].grad for a in operands]
        assert found == pytest.approx([slopes] if len(point) == 1 else list(slopes), rel=1e-15)


def test_enough_ufuncs_were_found() -> None:
    assert {"tanh", "exp", "absolute", "rint", "square", "degrees", "power", "arctan2"} < {*UFUNCS}
    assert len(UFUNCS) >= 35


def test_ufuncs_that_do_not_reach_the_operator() -> None:
    """NumPy's own answer, which is right where there is no tie and no NaN."""
    a, b = array(1, 4), array(2, 3)
    np.maximum(a, b).sum().backward()
    assert (gradients(a), gradients(b)) == ([0.0, 1.0], [1.0, 0.0])
    assert list(np.sign(a)) == [1, 1]
    with pytest.raises(TypeError):
        np.logaddexp(a, b)


def test_a_ufunc_of_one_value() -> None:
    x: Any = Value(0.5)
    y = np.tanh(x) + np.exp(x)
    y.backward()
    assert isinstance(y, Value)
    assert x.grad == pytest.approx(1 - math.tanh(0.5) ** 2 + math.exp(0.5))


# ---- Numbers and arrays of numbers beside a Value ------------------------------------------------


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.int8])
def test_a_numpy_number_on_the_left(kind: Any) -> None:
    x, two = Value(4.0), kind(2)
    outs = [two + x, two - x, two * x, two / x, two**x, two % x]
    assert all(isinstance(out, Value) for out in outs)
    assert [out.data for out in outs] == [6.0, -2.0, 8.0, 0.5, 16.0, 2.0]
    outs[3].backward()
    assert x.grad == -0.125
    assert bool(two < x)
    assert not bool(two == x)


@pytest.mark.parametrize("kind", [float, int])
def test_an_array_of_numbers_beside_a_value(kind: Any) -> None:
    numbers = np.array([[1, 2], [3, 4]], dtype=kind)
    for out in (
        numbers * Value(2.0),
        Value(2.0) * numbers,
        numbers + Value(1.0),
        Value(1.0) - numbers,
        numbers / Value(2.0),
        Value(2.0) ** numbers,
        numbers ** Value(2.0),
    ):
        assert out.shape == (2, 2)
        assert all(isinstance(v, Value) for v in out.ravel())
    x = Value(2.0)
    (x * numbers).sum().backward()
    assert x.grad == 10.0
    x.grad = 0.0
    (x**numbers).sum().backward()
    assert x.grad == 1 + 2 * 2 + 3 * 4 + 4 * 8


def test_an_array_compared_with_a_value() -> None:
    assert (np.array([1.0, 2.0]) < Value(1.5)).tolist() == [True, False]
    assert (Value(1.5) < np.array([1.0, 2.0])).tolist() == [False, True]
    assert (array(1, 2) == np.array([1.0, 3.0])).tolist() == [True, False]


def test_our_functions_of_many_take_arrays() -> None:
    a = array(1, 2, 3)
    assert FUNCTIONS["sum"](a).data == 6.0
    assert FUNCTIONS["sum"](a.reshape(3, 1)).data == 6.0
    assert FUNCTIONS["dot"](a, np.array([1, 2, 3])).data == 14.0
    assert FUNCTIONS["logsumexp"](np.array([0.0, 0.0])) == math.log(2)
    assert [v.data for v in FUNCTIONS["softmax"](array(5, 5))] == [0.5, 0.5]


def test_methods_refuse_an_array_where_a_number_belongs() -> None:
    x: Any = Value(1.0)
    calls: list[Callable[[], Any]] = [
        lambda: x.hypot(np.array([1.0])),
        lambda: x.maximum(np.array([1.0, 2.0])),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"an array of shape .*work on its elements"):
            call()
