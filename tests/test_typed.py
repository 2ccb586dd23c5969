"""Formulas that somebody typed: what Python makes of them, and nothing else is computed."""

from __future__ import annotations

import inspect
import math
import re

import pytest

from microgradlike import Value, functions
from microgradlike.sweep import gradients
from microgradlike.typed import names_in, numbers_of, read_formula, typed


def derived(result: Value) -> dict[str, float]:
    """The gradient at each name."""
    return {node.label: grad for node, grad in gradients(result).items() if node.label}


def test_an_expression_is_what_python_makes_of_it() -> None:
    numbers = {"w": 0.5, "x": 2.0, "b": -1.25}
    for text in (
        "tanh(w*x + b)",
        "-w**2 + +x/b - 3",
        "  hypot(w, x) * 1e-3 ",
        "sigmoid(-(w - x)) ** b",
        "2 ** w + relu(b) + atan2(w, x) * 2**0.5",
        "w // 2 * b + x % 0.3",
        "where(w < x, w * b, x) + (b if not w > x and x >= 2 else w)",
        "leaky_relu(b) + leaky_relu(b, w) + clip(x, 0, 1)",
        "w\n + x",
    ):
        used = {name: value for name, value in numbers.items() if re.search(rf"\b{name}\b", text)}
        found = typed(text, used)
        leaves = {name: Value(value) for name, value in used.items()}
        wanted = eval(f"({text.strip()})", {**vars(functions), **leaves})
        assert found.result.data == wanted.data
        wanted.backward()
        gradients_found = derived(found.result)
        assert {name: gradients_found.get(name, 0.0) for name in leaves} == {
            name: leaf.grad for name, leaf in leaves.items()
        }


def test_pi_and_e_are_numbers_unless_they_are_given_one() -> None:
    assert typed("pi * e * π * x", {"x": 1.0}).result.data == math.pi * math.e * math.pi
    found = typed("pi * x", {"x": 1.0, "pi": 3.0})
    assert derived(found.result) == {"x": 3.0, "pi": 1.0}


def test_a_name_may_be_that_of_a_function_and_of_any_script() -> None:
    assert typed("exp(exp) + λ", {"exp": 0.0, "λ": 2.0}).result.data == 3.0
    micro, mu = "\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}"
    assert numbers_of([f"{micro}=2"]) == {mu: 2.0}
    assert typed(f"2 * {micro}", numbers_of([f"{micro}=2"])).result.data == 4.0


def test_names_come_in_their_order_and_once() -> None:
    assert names_in("b*(a + sin(b)) - e + pi*c") == ["b", "a", "c"]


def test_numbers_may_be_formulas_of_numbers() -> None:
    assert numbers_of(["a=-1", "b= 1_000", "c=2*pi", "d=1/4", "e=-.5e-1"]) == {
        "a": -1.0,
        "b": 1000.0,
        "c": 2 * math.pi,
        "d": 0.25,
        "e": -0.05,
    }


def test_what_was_compared_is_told_with_the_formula() -> None:
    found = typed("x if x > y else 1", {"x": 2.0, "y": 3.0})
    assert found.result.data == 1.0 and not derived(found.result)
    [decision] = found.decisions
    assert (decision.held, decision.line) == (False, "x if x > y else 1")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["w=one"], "'w=one' gives no name a number: write it as in w=-1.5 or w=pi/2"),
        (["w"], "'w' gives no name a number: write it as in w=-1.5"),
        (["w="], "'w=' gives no name a number"),
        (["2=3"], "'2=3' gives no name a number"),
        (["w=1,5"], "'w=1,5' gives no name a number"),
        (["w=x"], "'w=x' gives no name a number"),
        (["w=inf"], "w is a finite number, but got 'inf'"),
        (["w=1e999"], "w is a finite number, but got '1e999'"),
        (["w=1/0"], "w is a finite number, but got '1/0'"),
        (["w=1", "w=1"], "w has two numbers: give it one"),
        (["lambda=1"], "lambda is a word of Python's own; take another name, such as lambda_"),
    ],
)
def test_numbers_that_are_none(words: list[str], sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        numbers_of(words)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("w*x + b", "the names x, b have no numbers: add them, such as x=0.5 b=0.5"),
        ("w*x", "the name x has no number: add one, such as x=0.5"),
        ("2 + 3", "w has a number, but is not in the formula '2 + 3'"),
        ("w > 1", "'w > 1' is true or false, so there is no gradient"),
        ("", "the formula '' cannot be read: it is empty"),
        ("w +", "the formula 'w +' cannot be read: invalid syntax; write it as in Python"),
        ("(w", "the formula '(w' cannot be read: '(' was never closed"),
        ("w\0", "the formula 'w\\x00' cannot be read: "),
        ("w^2", "the formula 'w^2' has ^ in it: write ** instead"),
        ("w²", "the formula 'w²' has ² in it: write **2 instead"),
        ("w \N{MINUS SIGN} 1", "has \N{MINUS SIGN} in it: write - instead"),
        ("2w", "the formula '2w' cannot be read: write 2*w instead of 2w"),
        ("1.5 w", "the formula '1.5 w' cannot be read: write 1.5*w instead of 1.5 w"),
        ("2(w + 1)", "the formula '2(w + 1)' lacks a * between '2' and the parenthesis behind it"),
        ("w(w + 1)", "lacks a * between 'w' and the parenthesis behind it"),
        ("(w + 1)(w - 1)", "lacks a * between 'w + 1' and the parenthesis behind it"),
        ("w = 2", "the formula 'w = 2' cannot be read: a formula has no sign ="),
        ("lambda * w", "cannot be read: lambda is a word of Python's own; take another name"),
        ("ln(w)", "contains ln(...), but there is no such function; did you mean log(...)?"),
        ("tahn(w)", "contains tahn(...), but there is no such function; did you mean tan"),
        ("open(w)", "contains open(...), but there is no such function"),
        ("__import__('os').remove('a')", "contains \"__import__('os').remove('a')\", which is not"),
        ("w.__class__", "contains 'w.__class__', which is not allowed: it has numbers, names, + -"),
        ("[w for w in (1, 2)]", "contains '[w for w in (1, 2)]', which is not allowed"),
        ("(lambda: w)()", "contains '(lambda: w)()', which is not allowed"),
        ("(w := 2)", "contains '(w := 2)', which is not allowed"),
        ("w if w > 0 else w.data", "contains 'w.data', which is not allowed"),
        ("w * 'a'", "contains \"'a'\", which is not allowed"),
        ("w * True", "contains 'True', which is not allowed"),
        ("w * 1j", "contains '1j', which is not allowed"),
        ("w, 2", "contains '(w, 2)', which is not allowed"),
        ("w & 1", "contains 'w & 1', which is not allowed"),
        ("~w", "contains '~w', which is not allowed"),
        ("w is w", "contains 'w is w', which is not allowed"),
        ("tanh(x=w)", "contains 'tanh(x=w)', which is not allowed"),
        ("tanh(*w)", "contains '*w', which is not allowed"),
        ("tanh(w, 2)", "cannot be computed: tanh takes 1 number, but got 2"),
        ("clip()", "cannot be computed: clip takes 1 to 3 numbers, but got 0"),
        ("sum(w)", "contains sum(...), which takes a list: write it as in x + y"),
        ("w + tanh", "has no number for tanh, a function: write tanh(...)"),
        ("w * 1" + "0" * 320, "takes a number that a float can hold, up to 1.8e308"),
        ("(" * 250 + "w", "cannot be read: "),
        ("w" + " + 1" * 5000, "has too many parts"),
        ("-" * 50_000 + "w", "has too many parts"),
    ],
)
def test_formulas_that_are_none(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        typed(text, {"w": 1.0})
    assert sentence in str(error.value)
    assert len(str(error.value)) < 1000 and "\n" not in str(error.value)


@pytest.mark.parametrize("name", functions.FUNCTIONS)
def test_each_function_takes_numbers_or_is_refused_with_what_to_write(name: str) -> None:
    takes = inspect.signature(functions.FUNCTIONS[name]).parameters.values()
    given = ", ".join("xyu"[place] for place, one in enumerate(takes) if one.default is one.empty)
    try:
        found = read_formula(f"{name}({given})", "xyu")(0.5, 0.25, 0.125)
        assert isinstance(found, float)
    except ValueError as error:
        instead = re.search(r"takes a list: write it as in (.+)$", str(error))
        assert instead and isinstance(read_formula(instead[1], "xyuv")(1.0, 2.0, 3.0, 4.0), float)
        assert name in ("sum", "prod", "mean", "dot", "logsumexp", "softmax")


def test_a_formula_of_no_names_has_no_gradient() -> None:
    with pytest.raises(ValueError, match=r"'2 \+ 3' has no name in it, so there is no gradient"):
        typed("2 + 3", {})
    assert read_formula("2 + 3", [])() == 5.0
