"""A row of the operator table that some reader does not understand is refused, in a sentence."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator

import numpy
import pytest

from microgradlike import Value, functional, functions, javascript, ops
from microgradlike.check_table import faults
from microgradlike.executors.machine import kernels
from microgradlike.ops import OPERATORS

Add = Callable[..., list[str]]

LGAMMA = ops.ieee(math.lgamma, lambda x: math.inf)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """Adds rows to the table, and functions or numbers for them; what is wrong with it then."""

    def add(rows: str, **meanings: object) -> list[str]:
        for name, meaning in meanings.items():
            monkeypatch.setattr(ops, name, meaning, raising=False)
        known = javascript.names() | meanings.keys()
        monkeypatch.setattr(javascript, "names", lambda: known)
        for name, row in ops.read(f"# name | value | slope | rule | laws\n{rows}").items():
            monkeypatch.setitem(OPERATORS, name, row)
        return list(faults())

    yield add


def test_the_table_has_no_faults() -> None:
    assert list(faults()) == []


def test_rows_that_all_readers_understand_have_none(found: Add) -> None:
    assert found("logit | log(x / (1 - x)) | 1 / (x * (1 - x)) | steep near both ends") == []
    assert found("gd | gd(x) | 1 / cosh(x) | flat", gd=lambda x: math.atan(math.sinh(x))) == []
    assert found("slerp | slerp(x, y) | y | |\n | | x | |", slerp=lambda x, y: x * y) == []


def test_a_slope_with_a_function_that_has_no_row_is_refused(found: Add) -> None:
    """It would be a number there: the second derivative would be 0, without a word."""
    [fault] = found("lgamma | lgamma(x) | digamma(x) | ", lgamma=LGAMMA, digamma=lambda x: x)
    assert fault == (
        "the slope of lgamma, 'digamma(x)', names digamma, which has no row, so derivatives of "
        "derivatives do not know it: give it a row in ops.py, or write the formula with functions "
        "that have one"
    )
    with pytest.raises(NameError, match="digamma"):
        functional._on_values("digamma(x)")(Value(0.7), None, None, 0)


def test_a_function_that_nobody_has_written_is_refused_for_each_reader(found: Add) -> None:
    told = found("gamma | gamma(x) | out * x | ")
    for reader in ("floats", "fractions", "NumPy", "JavaScript", "machine code"):
        assert [fault for fault in told if f"is not read by {reader} (" in fault], reader
    assert all(fault.startswith("the value of gamma, 'gamma(x)', ") for fault in told)
    assert len(told) == 5


def test_a_function_that_raises_where_numbers_are_special_is_refused(found: Add) -> None:
    fault, *_ = found("loggamma | loggamma(x) | log(x) | ", loggamma=math.lgamma)
    assert "is not read by floats (ValueError" in fault and "as those made by ieee do" in fault


def test_a_row_behind_a_function_of_its_name_is_refused(found: Add) -> None:
    [fault] = found("gelu | x * sigmoid(x) | sigmoid(x) | ")
    assert fault.startswith("the row gelu is hidden by the function gelu of functions.py: take ")
    assert functions.FUNCTIONS["gelu"](Value(1.0)).op == "mul"


def test_what_cannot_be_written_down_is_refused(found: Add) -> None:
    told = found("odd | x | 1 if x > 0 or y > 0 else 0 | ")
    assert [fault.partition(" (")[0] for fault in told] == [
        f"the slope of odd, '1 if x > 0 or y > 0 else 0', is not read by formulas in {style}"
        for style in ("Plain", "Latex", "MathML")
    ]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("half | x * HALF | HALF | ", "the value of half, 'x * HALF', names HALF, which is none"),
        ("twice | 2 * | 2 | ", "the value of twice, '2 *', is no formula in Python's syntax"),
        ("twice | 2 * x | 2 | | associates", "the row twice says 'associates', which nobody reads"),
        (
            "root | fsqrt(x) | 0.5 / out | ",
            "the value of root, 'fsqrt(x)', names fsqrt, which",
        ),
        ("twice | 2 @ x | 2 | ", "the value of twice, '2 @ x', is not read by floats (TypeError"),
    ],
)
def test_what_a_row_says_wrongly_is_refused(found: Add, row: str, sentence: str) -> None:
    assert found(row, HALF=0.5)[0].startswith(sentence)


def test_machine_code_calls_a_function_of_any_kind(found: Add) -> None:
    """Such as one made by ``ieee``, which does not tell how many operands it takes."""
    assert found("lgamma | lgamma(x) | log(x) | ", lgamma=LGAMMA) == []
    x, out = numpy.array([0.5, 7.0, 0.0]), numpy.empty(3)
    places, count = (ctypes.c_void_p * 2)(x.ctypes.data, out.ctypes.data), ctypes.c_ssize_t(3)
    loop = kernels._LOOP(kernels._called_back("lgamma", "float64"))
    loop(ctypes.addressof(places), ctypes.addressof(count), None, None)
    assert out.tolist() == [math.lgamma(0.5), math.lgamma(7.0), math.inf]


def test_a_table_with_a_formula_that_python_cannot_read_names_the_row() -> None:
    rows = ops.read("# name | value | slope | rule\nbell | exp(-x * x | out | flat")
    with pytest.raises(SyntaxError, match=r"the value of bell, 'exp\(-x \* x', is no formula in"):
        ops.checked(rows)
