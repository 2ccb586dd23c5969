"""The backward sweep as data: its steps, its paths, its derivation in words, its layer errors."""

from __future__ import annotations

import ast
import math
import operator
import random
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
import sympy

from microgradlike import Value, assert_derivation, functions, losses, no_grad, typeset
from microgradlike.flow import (
    backward_steps,
    break_at,
    explain,
    forward,
    gradients,
    layer_errors,
    named,
    nodes,
    paths,
    slopes,
)
from microgradlike.nn import MLP
from microgradlike.ops import OPERATORS
from tests.programs import groups


def random_graph(seed: int, size: int = 40) -> tuple[Value, list[Value]]:
    choose = random.Random(seed)
    leaves = [Value(choose.uniform(-2, 2), label=f"x{i}") for i in range(4)]
    pool = list(leaves)
    for _ in range(size):
        a, b = choose.choice(pool), choose.choice(pool)
        made = choose.randrange(9)
        pool.append(
            [
                lambda a, b: a * b,
                lambda a, b: a + b,
                lambda a, b: a - b,
                lambda a, b: a / (b * b + 1),
                lambda a, b: a.tanh(),
                lambda a, b: a.relu(),
                lambda a, b: 2 - a,
                lambda a, b: a * a,
                lambda a, b: a.maximum(b),
            ][made](a, b)
        )
    return sum(pool[-6:], Value(0.0)), leaves


# ---- Steps -------------------------------------------------------------------------------------


@groups(0, 200)
def test_steps_are_the_sweep_of_the_engine(seeds: range) -> None:
    for seed in seeds:
        check_steps(seed)


def check_steps(seed: int) -> None:
    root, _ = random_graph(seed)
    marks = {node: float(place) for place, node in enumerate(nodes(root))}
    for node, mark in marks.items():
        node.grad = mark
    steps = list(backward_steps(root))
    assert {node: node.grad for node in marks} == marks

    received: dict[Value, float] = {root: 1.0}
    for step in steps:
        assert step.contribution == step.slope * step.upstream
        assert step.before == received.get(step.parent, 0.0)
        assert step.after == step.before + step.contribution
        assert step.upstream == received[step.node]
        assert step.node.operands[step.place] is step.parent
        received[step.parent] = step.after
    for node in marks:
        node.grad = 0.0
    root.backward()
    assert {node: node.grad for node in received} == received == gradients(root)


def test_a_node_sends_only_when_all_its_users_have_sent() -> None:
    root, _ = random_graph(3)
    steps = list(backward_steps(root))
    sent: set[Value] = set()
    for step in steps:
        assert step.parent not in sent
        sent.add(step.node)


def test_a_root_without_a_graph_takes_no_step() -> None:
    assert list(backward_steps(Value(1.0))) == []
    with pytest.raises(TypeError, match=r"flows back from a Value .* but got 3.0 \(float\)"):
        list(backward_steps(3.0))


def test_another_seed_scales_the_sweep() -> None:
    x = Value(3.0)
    assert [step.after for step in backward_steps(x * x, seed=-2.0)] == [-6.0, -12.0]


@pytest.mark.parametrize("seed", range(30))
def test_forward_computes_what_the_engine_computed(seed: int) -> None:
    root, leaves = random_graph(seed)
    assert forward(root, {}) == {node: node.data for node in nodes(root)}
    changed = {leaf: leaf.data + 0.5 for leaf in set(leaves) & set(nodes(root))}
    moved = forward(root, changed)
    again, others = random_graph(seed)
    for leaf in others:
        leaf.data += 0.5
    fresh = dict(zip(nodes(again), moved.values(), strict=True))
    for node in nodes(again):
        if not node.op and node in set(others):
            assert fresh[node] == node.data
    assert {node: node.data for node in nodes(root)} == forward(root, {})


# ---- Names -------------------------------------------------------------------------------------


def test_every_node_has_a_name_of_its_own() -> None:
    a, b, c = Value(1.0, label="x"), Value(2.0, label="x"), Value(3.0)
    root = a * b + c
    assert list(named(root, {"c": c, "number": 3}).values()) == ["x", "x_v1", "v2", "c", "v4"]
    wild = Value(1.0, label="two\nlines") * Value(2.0, label="v0")
    assert list(named(wild).values()) == ["two\\nlines", "v0", "v2"]


# ---- Paths -------------------------------------------------------------------------------------


def enumerate_paths(node: Value, leaf: Value) -> Iterator[float]:
    if node is leaf:
        yield 1.0
        return
    for parent, slope in slopes(node):
        for product in enumerate_paths(parent, leaf):
            yield product * slope


@groups(0, 60)
@pytest.mark.parametrize("most", [1, 5, 1000])
def test_paths_are_those_found_by_enumeration(seeds: range, most: int) -> None:
    for seed in seeds:
        check_paths(seed, most)


def check_paths(seed: int, most: int) -> None:
    root, leaves = random_graph(seed, size=15)
    for leaf in set(leaves) & set(nodes(root)):
        every = sorted(enumerate_paths(root, leaf), key=abs, reverse=True)
        if len(every) > 1000:
            continue
        found = paths(root, leaf, most)
        assert found.count == len(every)
        sizes = [abs(path.product) for path in found.largest]
        assert sizes == pytest.approx([abs(product) for product in every[:most]], rel=1e-12)
        assert found.total == gradients(root)[leaf]
        shown = math.fsum(path.product for path in found.largest)
        assert shown + found.remainder == pytest.approx(found.total, rel=1e-9, abs=1e-9)
        assert found.remainder == pytest.approx(sum(every[most:]), rel=1e-9, abs=1e-9)


def test_a_path_is_made_of_real_steps() -> None:
    root, leaves = random_graph(5)
    leaf = next(leaf for leaf in leaves if leaf in set(nodes(root)))
    for path in paths(root, leaf).largest:
        assert path.nodes[0] is leaf and path.nodes[-1] is root
        for parent, slope, node in zip(path.nodes, path.slopes, path.nodes[1:], strict=False):
            assert (parent, slope) in list(slopes(node))
        assert math.prod(path.slopes) == pytest.approx(path.product, rel=1e-12)


def test_two_to_the_thousand_paths_are_counted() -> None:
    x = Value(1.0)
    y = x * 1.0
    for _ in range(1000):
        y = y + y * 0.5
    found = paths(y, x, most=3)
    assert found.count == 2**1000
    assert [path.product for path in found.largest] == [1.0, 0.5, 0.5]
    assert found.total == pytest.approx(1.5**1000, rel=1e-12)
    assert found.remainder == pytest.approx(found.total, rel=1e-12)


def test_paths_of_a_long_chain_do_not_recurse() -> None:
    x = Value(1.0)
    y = x
    for _ in range(20_000):
        y = y * 1.0
    (path,) = paths(y, x).largest
    assert len(path.nodes) == 20_001 and path.product == 1.0


def test_paths_say_when_there_is_none() -> None:
    with pytest.raises(ValueError, match="not computed from this leaf"):
        paths(Value(1.0) * 2, Value(1.0))
    with pytest.raises(ValueError, match="at least one path, but got most=0"):
        x = Value(1.0)
        paths(x * 2, x, most=0)


# ---- The derivation by hand --------------------------------------------------------------------

TEXTBOOK = """
x**2; x**3 - 2*x; 3*x**4 + 2*x**2 - 7; 1/x; 1/x**2; sqrt(x); sqrt(x**2 + 1); (x + 1)*(x - 2)
(x**2 + 1)/(x - 3); x/(1 + x**2); (2*x + 1)**5; exp(x); exp(-x**2); x*exp(x); exp(x)/x; log(x)
x*log(x); log(x**2 + 1); log(log(x + 2)); sin(x); cos(x); tan(x); sin(x)*cos(x); sin(x)**2
cos(3*x + 1); sin(cos(x)); x*sin(x); sin(x)/x; exp(sin(x)); exp(x)*cos(x); asin(x/5); acos(x/5)
atan(x); atan(x**2); sinh(x); cosh(x); tanh(x); tanh(2*x + 1); 1/(1 + exp(-x)); log(1 + exp(x))
x**x; 2**x; x**y; x*y; x/y; x**2*y + y**3; exp(x*y); sin(x*y) + y**2/x; sqrt(x**2 + y**2)
log(x + y); x*y/(x + y); (x - y)**2; exp(-(x - y)**2/2); tanh(x*y + 1); atan(y/x); erf(x)
log2(x); log10(x); log1p(x); expm1(x); exp2(x); cbrt(x); sigmoid(x); softplus(x); asinh(x)
acosh(x); atanh(x/5); hypot(x, y); atan2(y, x); logaddexp(x, y); square(x) - reciprocal(y)
(x*y).exp() * x.tanh(); -x; -(-x * y); x - (y - x); x / (y / x); (x + y) % 3; abs(x - 10)
"""
EXPRESSIONS = [text.strip() for line in TEXTBOOK.strip().splitlines() for text in line.split(";")]

#: What sympy calls our functions.
SYMPY: dict[str, Any] = {
    "log2": lambda x: sympy.log(x, 2),
    "log10": lambda x: sympy.log(x, 10),
    "log1p": lambda x: sympy.log(1 + x),
    "expm1": lambda x: sympy.exp(x) - 1,
    "exp2": lambda x: 2**x,
    "cbrt": lambda x: x ** sympy.Rational(1, 3),
    "sigmoid": lambda x: 1 / (1 + sympy.exp(-x)),
    "softplus": lambda x: sympy.log(1 + sympy.exp(x)),
    "hypot": lambda x, y: sympy.sqrt(x**2 + y**2),
    "logaddexp": lambda x, y: sympy.log(sympy.exp(x) + sympy.exp(y)),
    "square": lambda x: x**2,
    "reciprocal": lambda x: 1 / x,
    "abs": sympy.Abs,
}


def by_sympy(text: str, symbols: dict[str, Any]) -> Any:
    """The expression as sympy reads it: written with its functions, its numbers exact."""
    text = re.sub(r"\((\S+)\)\.exp\(\)", r"exp(\1)", text).replace("x.tanh()", "tanh(x)")
    text = text.replace("% 3", "- 3")  # the same slope where the remainder is the first
    return sympy.nsimplify(eval(text, {**vars(sympy), **SYMPY}, dict(symbols)), rational=True)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_sympy_confirms_the_derivation(text: str) -> None:
    x, y = Value(1.25, label="x"), Value(2.5, label="y")
    symbols = {name: sympy.Symbol(name, positive=True) for name in "xy"}
    root = eval(text, dict(functions.FUNCTIONS), {"x": x, "y": y})
    expected = by_sympy(text, symbols)
    for leaf in (x, y):
        if leaf not in set(nodes(root)):
            continue
        found = explain(root, leaf)
        assert found.gradient == gradients(root)[leaf]
        assert found.formula is not None
        by_hand = by_sympy(found.formula, symbols)
        assert sympy.simplify(by_hand - sympy.diff(expected, symbols[leaf.label or ""])) == 0
        value = float(by_hand.subs({symbols["x"]: 1.25, symbols["y"]: 2.5}))
        assert value == pytest.approx(found.gradient, rel=1e-12)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_every_line_is_an_equation_that_holds(text: str) -> None:
    """Line by line, in plain text: each side computes to the number at its end."""
    known = {"x": 1.25, "y": 2.5}
    root = eval(text, dict(functions.FUNCTIONS), {n: Value(v, n) for n, v in known.items()})
    for leaf in (node for node in nodes(root) if not node.op):
        named_numbers = dict(known)
        for line in explain(root, leaf).symbols.splitlines():
            name, *sides = line.split(" = ")
            for side in sides:
                spelt = re.sub(r"\bd(\w+)/d(\w+)", r"d\1_d\2", side)
                value = float(eval(spelt, {**functions.FUNCTIONS, "pi": math.pi}, named_numbers))
                assert value == pytest.approx(float(sides[-1]), rel=1e-2, abs=1e-3), line
            named_numbers[re.sub(r"^d(\w+)/d(\w+)$", r"d\1_d\2", name)] = value


def test_the_formula_is_a_derivation_that_can_be_asserted() -> None:
    x = Value(0.7, label="x")
    formula = explain((x * x).sin() / x, x).formula
    assert formula is not None
    assert_derivation(lambda x: (x * x).sin() / x, formula, domain=(0.5, 2))


def test_an_explanation_reads_like_one() -> None:
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    y = a * b + a
    assert str(explain(y, a, {"y": y})) == (
        "How y changes with a:\n"
        "y = v2 + a sends v2 its gradient, 1, times its slope there, 1: 1 "
        "(both sides get the gradient unchanged).\n"
        "y = v2 + a sends a its gradient, 1, times its slope there, 1: 1 "
        "(both sides get the gradient unchanged).\n"
        "v2 = a * b sends a its gradient, 1, times its slope there, b = -3: -3 "
        "(each side gets gradient × the other's value).\n"
        "a was used 2 times, so these add up: 1 + (-3) = -2.\n"
        "So when a rises by a little, y falls by 2 times that.\n"
        "\n"
        "v2 = a * b = 2 * (-3) = -6\n"
        "y = v2 + a = -6 + 2 = -4\n"
        "dy/dv2 = 1\n"
        "dy/da = 1 + dy/dv2 * b = 1 + 1 * (-3) = -2\n"
        "In one formula: 1 + b"
    )


def test_latex_and_mathml() -> None:
    w1, x = Value(2.0, label="w1"), Value(0.5, label="x")
    y = (w1 / x).tanh() ** 2
    found = explain(y, w1, {"y": y})
    assert r"\frac{\partial y}{\partial w_{1}} & = " in found.latex
    assert r"\tanh\left(v_{2}\right)" in found.latex and r"\frac{1}{x}" in found.latex
    assert found.latex.startswith("\\begin{aligned}\n") and found.latex.count(r"\\") == 5
    mathml = ElementTree.fromstring(found.mathml)
    assert len(list(mathml.iter("{http://www.w3.org/1998/Math/MathML}mtr"))) == 6
    assert "<msub><mi>w</mi><mn>1</mn></msub>" in found.mathml


@pytest.mark.parametrize("label", ["</script>", '"><b>', "🎉", "a_b%$#&^~\\{}", "x" * 200, "l\n2"])
def test_any_label_is_shown_as_it_is(label: str) -> None:
    x = Value(2.0, label=label)
    found = explain(x * x, x)
    shown = label.replace("\n", "\\n")
    assert shown in found.symbols and shown in found.words
    text = "".join(ElementTree.fromstring(found.mathml).itertext())
    assert shown in text
    assert found.formula is not None and eval(found.formula, {"v0": 2.0, label: 2.0}) == 4.0


def test_special_numbers_are_spelt_out() -> None:
    x = Value(0.0, label="x")
    y = x.log() * 0.0
    found = explain(y, x, {"y": y})
    assert "dy/dx = dy/dv1 * (1 / x) = 0 * (1 / 0) = NaN" in found.symbols
    assert math.isnan(found.gradient) and "NaN" in found.symbols and "not a number" in found.words
    assert found.conditions == ["no number on the way is infinite or NaN"]
    assert "y falls without measure" in explain(-x.sqrt(), x, {"y": y}).words.replace("v2", "y")
    assert r"\infty" in found.latex and "∞" in found.mathml
    assert "the slope is 0: a small change of x hardly" in explain(x * 0.0, x).words


@pytest.mark.parametrize(
    ("build", "point", "conclusion"),
    [
        (lambda x: x.log(), -2.0, "So the slope is -0.5, but v1 itself is NaN: the slope says"),
        (lambda x: x * Value(math.inf), 0.0, "So the slope is inf, but v2 itself is NaN: the"),
        (lambda x: x * 2, math.inf, "So the slope is 2, but v1 itself is inf: the slope says"),
    ],
)
def test_a_slope_says_nothing_about_what_is_no_number(
    build: Any, point: float, conclusion: str
) -> None:
    x = Value(point, label="x")
    found = explain(build(x), x)
    assert found.conclusion.startswith(conclusion)
    assert found.conditions == ["no number on the way is infinite or NaN"]


def test_the_zero_that_something_is_divided_by_keeps_its_sign() -> None:
    x = Value(-0.0, label="x")
    found = explain(x.sqrt(), x)
    assert found.symbols == "v1 = sqrt(x) = sqrt(-0) = -0\ndv1/dx = 0.5 / v1 = 0.5 / (-0) = -inf"
    assert r"\frac{0.5}{-0}" in found.latex
    assert explain(x / -0.0, x).symbols.startswith("v1 = x / (-0) = (-0) / (-0) = NaN")
    lost = explain(-Value(2.0, label="y") * x.relu(), x)
    assert lost.symbols.endswith("= (-2) * 0 = 0")  # the sign of an error that is zero says nothing


def test_a_big_graph_is_explained_without_one_formula() -> None:
    model = MLP(2, [16, 16, 1], activation="tanh", seed=0)
    out = model([1.0, -1.0])
    weight = model.layers[0].neurons[3].w[1]
    found = explain(out, weight)
    assert found.formula is None
    assert str(found).splitlines()[-1] == "In one formula: too long to write in one line"
    assert found.gradient == gradients(out)[weight]
    assert "layers.0.neurons.3.w.1" in found.symbols


def test_explain_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="not computed from this leaf"):
        explain(Value(1.0) * 2, Value(1.0))
    with pytest.raises(TypeError, match="flows back from a Value"):
        explain(1.0, Value(1.0))


@pytest.mark.parametrize("ask", [explain, paths])
def test_a_leaf_is_a_value_of_the_graph(ask: Any) -> None:
    x, w = Value(2.0, label="x"), Value(1.0, label="two\nlines")
    y = x * 3
    for wrong, shown in ((3, r"3 \(int\)"), (None, "None"), ("x", r"'x' \(str\)")):
        with pytest.raises(TypeError, match=f"leaf is a Value, one that .*, but got {shown}"):
            ask(y, wrong)
    with pytest.raises(ValueError, match=r"not computed from two\\nlines: no way leads from one"):
        ask(y, w)
    with no_grad():
        constant = x * 3
    with pytest.raises(ValueError, match="not computed from x: it has no graph, as within no_grad"):
        ask(constant, x)


@pytest.mark.parametrize("names", [3, ["a"], locals, {Value(1.0): "x"}])
def test_names_are_a_dict_of_names(names: Any) -> None:
    x = Value(1.0)
    with pytest.raises(TypeError, match="names is a dict of names and the Values"):
        explain(x * x, x, names)
    with pytest.raises(TypeError, match="names is a dict of names and the Values"):
        named(x, names)


def test_labels_that_look_like_derivatives_keep_their_own_numbers() -> None:
    m, x = Value(3.0, label="dL/dm"), Value(5.0, label="m")
    loss = (m * x).tanh() * 0 + m * x
    lines = explain(loss, x, {"L": loss}).symbols.splitlines()
    assert lines[0] == "v2 = dL/dm * m = 3 * 5 = 15"
    assert lines[-1] == "dL/dm = dL/dv5 * dL/dm + dL/dv2 * dL/dm = 1 * 3 + 0 * 3 = 3"


@pytest.mark.parametrize("label", ["v0", "v1", "pi", "inf", "exp", "lambda", "for", "a b", "v1_"])
def test_the_formula_has_a_name_of_its_own_for_every_leaf(label: str) -> None:
    odd, x, y = Value(0.5, label="7"), Value(2.0, label=label), Value(3.0, label="v2")
    found = explain((odd * x * y).erf(), odd)
    assert found.formula is not None
    spelt = {"7": "7", label: label, "v2": "v2"} | dict(found.renamed)
    assert len(set(spelt.values())) == 3
    numbers = dict(zip(spelt.values(), (0.5, 2.0, 3.0), strict=True))
    value = eval(found.formula, {**functions.FUNCTIONS, "pi": math.pi}, numbers)
    assert value == pytest.approx(found.gradient, rel=1e-12)
    assert f"with {spelt['7']} for 7" in str(found)


@pytest.mark.parametrize(
    ("build", "point", "formula", "conditions"),
    [
        (lambda x: (x * 2).relu(), 1.0, "2", ["x * 2 > 0"]),
        (lambda x: (x * 2).relu(), -1.0, "0", ["x * 2 <= 0"]),
        (lambda x: x.elu(), -1.0, "exp(x)", ["x <= 0"]),
        (lambda x: x.leaky_relu(), 2.0, "1", ["x > 0"]),
        (lambda x: x.maximum(3.0), 2.0, "0", ["x < 3"]),
        (lambda x: x.minimum(x), 2.0, "0.5 + 0.5", []),
        (lambda x: x.maximum(x * x), 1.0, "0.5 + 0.5 * x + 0.5 * x", ["x == x * x"]),
        (lambda x: functions.where(x > 0, x * x, x), 2.0, "x + x", ["where chooses as it did"]),
        (lambda x: x**2, 2.0, "2 * x", []),
        (lambda x: x**1, 2.0, "1", []),
        (lambda x: x**x, 2.0, "x * x**(x - 1) + x**x * log(x)", []),
        (lambda x: functions.hypot(x, 1), 2.0, "x / hypot(x, 1)", []),
    ],
)
def test_the_formula_says_where_it_holds(
    build: Any, point: float, formula: str, conditions: list[str]
) -> None:
    x = Value(point, label="x")
    found = explain(build(x), x)
    assert (found.formula, found.conditions) == (formula, conditions)
    assert ("This holds as long as" in str(found)) == bool(conditions)
    domain = (point - 0.2, point + 0.2)
    if not any("==" in condition for condition in conditions):
        assert_derivation(build, formula, domain=domain)


@pytest.mark.parametrize(
    ("build", "point", "words"),
    [
        (lambda x: x.relu(), 0.0, "a kink (the slope is 0 below and 1 above): 0 is a convention"),
        (lambda x: abs(x), 0.0, "a kink (the slope is -1 below and 1 above): 0 is a convention"),
        (lambda x: x.maximum(Value(2.0)), 2.0, "(the slope is 0 below and 1 above): 0.5 is a"),
        (lambda x: x.floor(), 2.0, "a jump: 0 is a convention"),
        (lambda x: x.sign(), 0.0, "a jump: 0 is a convention"),
        (lambda x: x % 1.5, 3.0, "a jump: 1 is a convention"),
        (lambda x: x.atan2(-1.0), 0.0, "a jump: -1 is a convention"),
        (lambda x: x.minimum(Value(1e15)), 1e15, "(the slope is 1 below and 0 above): 0.5 is a"),
        (lambda x: x.hypot(x * 0), 0.0, "a kink (the slope is -1 below and 1 above): 0 is a"),
        (lambda x: (x + 0.5).round(), 1e15, "a jump: 0 is a convention"),
        (lambda x: x**x, 0.0, "a jump: 0 is a convention"),  # and no value below
        (lambda x: x.atan2(x), 0.0, "a jump: 0 is a convention"),
        (lambda x: x.hypot(x), 0.0, "a kink (the slope is -1.414 below and 1.414 above): 0 is a"),
        (lambda x: x.leaky_relu(x), 0.0, "a kink (the slope is 0 below and 1 above): 0 is a"),
        *((lambda x: x.floor(), 10.0**n, "a jump: 0 is a convention") for n in range(16)),
        *((lambda x: x.ceil(), -(10.0**n), "a jump: 0 is a convention") for n in range(16)),
    ],
)
def test_kinks_and_jumps_are_named(build: Any, point: float, words: str) -> None:
    x = Value(point, label="x")
    found = explain(build(x), x)
    assert words in found.words and "by convention" in found.conclusion


@pytest.mark.parametrize(
    "build",
    [
        *(lambda x: x * x, lambda x: x**3, lambda x: x**1.1, lambda x: x.sin(), lambda x: x.cosh()),
        *(lambda x: x.gelu(), lambda x: x.softsign(), lambda x: x.sinc(), lambda x: x / 3 - x),
    ],
)
@pytest.mark.parametrize("point", [0.0, 1e-9, 1.0, 1e6])
def test_no_kink_is_named_where_there_is_none(build: Any, point: float) -> None:
    x = Value(point, label="x")
    assert not any(map(break_at, backward_steps(build(x))))


@pytest.mark.parametrize(
    ("build", "point"),
    [
        (lambda x: x.minimum(x), 2.0),  # as both sides move there is no tie to break
        (lambda x: x.maximum(x), 1e15),
        (lambda x: x % x, 2.0),
        (lambda x: x.floor(), 1e15 - 0.125),
        (lambda x: x.floor(), 2.0 - 2.0**-52),
        (lambda x: x + 1e14 - 1e14, 1.0),
        (lambda x: x + 1e16, 1.0),
        (lambda x: x - Value(1e15), 1e15),
        (lambda x: x - Value(1e308), 1e308),
        (lambda x: x.sin(), 1e15),
        (lambda x: x**1e14, 1.0),
        (lambda x: x * 1e250, 0.0),
        (lambda x: x.logaddexp(Value(1e15)), 1e15),
        (lambda x: x.logaddexp(Value(-2.0)), -0.5507737195554613),
        (lambda x: x.softsign(), 1e200),
        (lambda x: x.cbrt(), 8.0),
        (lambda x: x**1.5, 0.0),
        (lambda x: x.relu(), 1e-310),
    ],
)
def test_smooth_operations_have_no_kink_however_large_their_numbers(
    build: Any, point: float
) -> None:
    x = Value(point, label="x")
    assert not any(map(break_at, backward_steps(build(x))))
    assert "convention" not in explain(build(x), x).words


def test_a_number_that_was_used_more_often_than_python_recurses_is_explained() -> None:
    x = Value(0.5, label="x")
    times = range(2, sys.getrecursionlimit() + 2)
    found = explain(functions.sum([x * float(n) for n in times]), x)
    assert found.gradient == sum(times) and found.formula is None
    for style in (typeset.Plain(), typeset.Latex(), typeset.MathML()):
        written = found.backward[-1].written(style)
        assert written.count(style.signs[ast.Add]) == 2 * (len(times) - 1)  # symbols, and numbers


@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "where"])
def test_no_operator_breaks_at_random_points(name: str) -> None:
    choose = random.Random(name)
    call = functions.FUNCTIONS.get(name) or getattr(operator, name)
    for _ in range(200):
        x, y = (choose.choice((-1, 1)) * 10 ** choose.uniform(-9, 9) for _ in "xy")
        root = call(Value(x), Value(y)) if len(OPERATORS[name].slopes) == 2 else call(Value(x))
        assert not any(map(break_at, backward_steps(root))), (x, y)


@pytest.mark.parametrize(
    ("build", "point", "by_convention"),
    [
        (lambda q: (q - 1).relu() * 0, 1.0, False),  # no error comes to the kink
        (lambda q: abs(q - 1) * abs(q - 1), 1.0, False),
        (lambda q: (q * 0).relu(), 1.0, False),  # the leaf does not move what has the kink
        (lambda q: q.relu() - q.relu(), 0.0, True),
        (lambda q: q.relu().relu(), 0.0, True),
        (lambda q: q.relu() * 3, 0.0, True),
        (lambda q: q * q.sign(), 0.0, True),  # no error comes to the jump, but this is abs(q)
    ],
)
def test_a_convention_is_named_only_where_it_decides(
    build: Any, point: float, by_convention: bool
) -> None:
    q = Value(point, label="q")
    assert ("by convention" in explain(build(q), q).conclusion) == by_convention


def test_each_operand_has_its_own_rule() -> None:
    x = Value(2.0, label="x")
    assert "(the right side gets the gradient negated)" in explain(5 - x, x).words
    assert "(the left side gets the gradient unchanged)" in explain(x - 5, x).words
    assert "(the exponent gets gradient × result × log(base))" in explain(2**x, x).words
    assert "(bring the exponent down, reduce it by one)" in explain(x**2, x).words
    assert "x (the branch that where took) sends" in explain(functions.where(x > 0, x, 0), x).words


def test_the_rules_of_the_gates_are_short() -> None:
    for row in OPERATORS.values():
        assert all(len(rule.split()) <= 8 for rule in row.rules)
        assert len(row.rules) == len(row.slopes)


@pytest.mark.parametrize("label", [*"_%#&$^~{}\\", "é", "a", "w_1", "%1"])
def test_labels_in_latex_are_escaped(label: str) -> None:
    x = Value(2.0, label=label)
    latex = explain(x * 3, x).latex
    plain = {"a": "a", "w_1": "w_{1}"}.get(label)
    escaped = plain or rf"\text{{{typeset.Latex.escaped(label)}}}"
    assert rf"\partial {escaped}}}" in latex
    assert escaped != rf"\text{{{label}}}" or label == "é"


def test_bad_input_is_refused_in_one_sentence() -> None:
    x = Value(2.0, label="x")
    y = x * 3
    with pytest.raises(TypeError, match="flows back from a Value"):
        backward_steps(3)  # at once, not when the first step is asked for
    with pytest.raises(TypeError, match="seed, the gradient of the result, takes a real number"):
        backward_steps(y, seed="a")
    for wrong in (nodes, named, lambda root: forward(root, {})):
        with pytest.raises(TypeError, match=r"flows back from a Value .* but got 3 \(int\)"):
            wrong(3)
    with pytest.raises(TypeError, match=r"such as \{w: 1.0\}, but got 3"):
        forward(y, 3)
    with pytest.raises(TypeError, match="forward takes a real number"):
        forward(y, {x: "a"})  # type: ignore[dict-item]
    for foreign in (y, Value(1.0), "x"):
        with pytest.raises(ValueError, match="other numbers for leaves of the graph"):
            forward(y, {foreign: 1.0})  # type: ignore[dict-item]
    for most in (1.5, "a", True, 0):
        with pytest.raises(ValueError, match="at least one path, but got most="):
            paths(y, x, most)


def test_the_result_by_itself_is_one() -> None:
    x = Value(2.0, label="x")
    assert explain(x, x).symbols == "dx/dx = 1"
    assert "x, seen from itself, has the slope 1." in explain(x, x).words
    assert explain(x * 3, x).gradient == 3.0


# ---- The errors of the layers ------------------------------------------------------------------

ACTIVATIONS = [
    *("relu", "tanh", "sigmoid", "leaky_relu", "elu", "gelu", "silu", "softplus", "softsign"),
    *("sin", "linear", "erf", "square"),
]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_layer_errors_are_those_of_the_engine(activation: str, depth: int) -> None:
    choose = random.Random(f"{activation}{depth}")
    sizes = [choose.randint(1, 5) for _ in range(depth + 1)]
    model = MLP(sizes[0], sizes[1:], activation=[activation] * depth, seed=choose.randint(0, 99))
    for parameter in model.parameters():
        parameter.data += choose.uniform(-0.1, 0.1)
    x = [choose.uniform(-1, 1) for _ in range(sizes[0])]
    y = [choose.uniform(-1, 1) for _ in range(sizes[-1])]
    target = y[0] if len(y) == 1 else y

    errors = layer_errors(model, x, target, loss=losses.mse)
    assert all(parameter.grad == 0.0 for parameter in model.parameters())

    losses.mse(model(x), target).backward()
    assert len(errors) == depth
    for place, (layer, error) in enumerate(zip(model.layers, errors, strict=True)):
        engine = [[w.grad for w in neuron.w] for neuron in layer.neurons]
        assert numpy.array_equal(error.weight_gradient, engine)
        assert numpy.array_equal(error.bias_gradient, [neuron.b.grad for neuron in layer.neurons])
        assert numpy.allclose(error.delta, error.weights_part * error.slope_part, rtol=1e-12)
        outer = numpy.outer(error.delta, error.activation_in)
        assert numpy.allclose(error.weight_gradient, outer, rtol=1e-12, atol=1e-300)
        assert numpy.array_equal(error.delta, error.bias_gradient)
        if place + 1 < depth:
            weights = [[w.data for w in neuron.w] for neuron in model.layers[place + 1].neurons]
            sent_back = numpy.array(weights).T @ errors[place + 1].delta
            assert numpy.allclose(error.weights_part, sent_back, rtol=1e-12)


def test_a_layer_error_shows_its_equation() -> None:
    model = MLP(1, [1, 1], activation="tanh", seed=0)
    text = str(layer_errors(model, [1.0], 0.5)[0])
    assert "layers.0, tanh" in text and "by the equation" in text


def test_layer_errors_of_no_network() -> None:
    with pytest.raises(TypeError, match="a model with layers is needed, such as an MLP, but got 3"):
        layer_errors(3, [1.0], 1.0)
    with pytest.raises(ValueError, match="takes 2 inputs, but got 1"):
        layer_errors(MLP(2, [1]), [1.0], 1.0)
    with pytest.raises(ValueError, match="this MLP takes 1 input, but got 2"):
        layer_errors(MLP(1, [1]), [1.0, 2.0], 1.0)


def test_a_loss_takes_an_output_and_its_target() -> None:
    model = MLP(1, [1])
    for loss, shown in ((losses.l2, r"l2\(parameters\)"), (lambda a, b, c: a, r"\(a, b, c\)")):
        with pytest.raises(TypeError, match=f"an output and its target, but got .*{shown}; pass a"):
            layer_errors(model, [1.0], 1.0, loss)
    with pytest.raises(TypeError, match="the loss of an output and its target is a Value"):
        layer_errors(model, [1.0], -1e9, min)  # it tells nothing of what it takes

    def broken(output: Any, target: Any) -> Any:
        raise TypeError("its own")

    with pytest.raises(TypeError, match="its own"):
        layer_errors(model, [1.0], 1.0, broken)
