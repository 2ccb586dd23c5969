"""What a page says, read from it without a browser."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from microgradlike import Value, engine, functions
from microgradlike.flow import backward_steps, gradients, nodes
from viz import draw, save_stepper


def moments(root: Value, path: Path, lr: float | None = None) -> list[dict[str, Any]]:
    page = save_stepper(root, path / "page.html", lr=lr).read_text(encoding="utf-8")
    (story,) = re.findall(r'class="story">(.*?)</script>', page)
    found: list[dict[str, Any]] = json.loads(story)["moments"]
    return found


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda x, w: x - w, "2 numbers moved against the gradient."),
        (lambda x, w: x - w.relu(), "1 number moved against the gradient."),
        (lambda x, w: w.relu() + x * 0, "no number moved against the gradient."),
        (
            lambda x, w: x + w.log() * 0,
            "1 number moved against the gradient, and 1 number became NaN, as the gradient there "
            "is NaN.",
        ),
        (
            lambda x, w: functions.sqrt(w) * x.relu() * 0,
            "no number moved against the gradient, and 1 number became NaN",
        ),
    ],
)
def test_the_update_counts_what_moved(build: Any, said: str, tmp_path: Path) -> None:
    told = moments(build(Value(3.0, label="x"), Value(0.0, label="w")), tmp_path, lr=0.1)
    assert told[-1]["kind"] == "update"
    assert told[-1]["sentence"].startswith(f"The update: {said}")


def test_the_start_says_what_is_computed_from_what(tmp_path: Path) -> None:
    x, y = Value(2.0, label="x"), Value(3.0, label="y")

    def start(root: Value) -> str:
        sentence: str = moments(root, tmp_path)[0]["sentence"]
        return sentence

    flows = "then the gradient flows back."
    assert start(x) == "Given: 1 number. It is x itself: there is nothing to compute."
    assert start(x * x) == f"Given: 1 number. First v1 is computed from it in 1 operation, {flows}"
    assert start(x * y + x) == (
        f"Given: 2 numbers. First v3 is computed from them in 2 operations, {flows}"
    )


def test_a_picture_of_one_thing_counts_in_the_singular() -> None:
    x = Value(2.0, label="x")
    assert "from x: 1 node, 0 ways back, result 2" in repr(draw(x))
    assert ": 2 nodes, 1 way back, result" in repr(draw(x.exp()))


def test_a_page_names_no_kink_where_there_is_none(tmp_path: Path) -> None:
    x = Value(2.0, label="x")
    assert not any(moment["flag"] for moment in moments(x.minimum(x), tmp_path))
    flags = [moment["flag"] for moment in moments(x.minimum(Value(2.0)), tmp_path)]
    assert any("has a kink (the slope is 1 below and 0 above) just here" in flag for flag in flags)


# ---- The sum over paths, nudges, signs ---------------------------------------------------------


def used_twice() -> Value:
    a, b = Value(-6.0, label="a"), Value(4.0, label="b")
    e = (a + b) * (b + 1)
    e.label = "e"
    return e


def test_a_number_that_is_used_twice_gets_two_shares_which_add_up(tmp_path: Path) -> None:
    told = moments(used_twice(), tmp_path)
    sums = [moment["sum"] for moment in told if moment["sum"]]
    used = "b is used twice, so its gradient has two shares"
    assert sums == [f"{used}: this is the first.", f"{used}: −2 from v3 and 5 from v2, together 3."]
    (last,) = (moment for moment in told if moment["sum"].endswith("together 3."))
    assert [text(equation) for equation in last["equations"]] == [
        "share over this arrow=dedv2×∂v2∂b",
        "∂v2∂b=1",
        "share=5×1=5",
        "dedb=(−2)from\xa0v3+5from\xa0v2=3",
    ]
    assert last["aside"] == "Shares are added: with = instead, b would keep only 5."


def text(mathml: str) -> str:
    return re.sub(r"<[^>]*>", "", mathml)


@pytest.mark.parametrize("times", [3, 6, 7, 40])
def test_many_shares_are_counted_and_a_misunderstanding_is_met_once(
    times: int, tmp_path: Path
) -> None:
    x = Value(0.5, label="x")
    total = x * 2
    for k in range(1, times):
        total = total + x * (k + 2)
    told = moments(total, tmp_path)
    assert sum("with = instead" in moment["aside"] for moment in told) == 1
    written = [moment["sum"] for moment in told if moment["sum"]]
    assert len(written) == times and f"x is used {times} times" in written[0]
    share = "so its gradient has" if times <= 6 else "x has received before"
    assert share in written[-1] and f"{sum(range(2, times + 2))}" in written[-1]


def test_no_formula_says_that_something_is_increased_by_itself(tmp_path: Path) -> None:
    x, y = Value(3.0, label="x"), Value(2.0, label="y")
    told = moments(x**2 / y - x**y * (x / 4), tmp_path, lr=0.1)
    words = " ".join(
        [
            *(moment[key] for moment in told for key in ("sentence", "rule", "sum", "nudge")),
            *(equation for moment in told for equation in moment["equations"]),
        ]
    )
    for sign in ("+=", "*", "truediv", "mul", "pow:", "·"):
        assert sign not in words
    for sign in ("x²", "÷", "×", "−", "x^y"):
        assert sign in words


@pytest.mark.parametrize("seed", range(20))
def test_a_nudge_is_run_and_its_ratio_is_the_slope(seed: int, tmp_path: Path) -> None:
    draws = random.Random(seed)
    a, b = (Value(draws.uniform(0.5, 2), label=name) for name in "ab")
    choose = draws.choice
    root = choose((a * b, a / b, a**b, a - b.exp(), (a * b).tanh() * a, a * b + b.sin()))
    page = save_stepper(root, tmp_path / "page.html").read_text(encoding="utf-8")
    story = json.loads(re.findall(r'class="story">(.*?)</script>', page)[0])
    steps = [step for step in backward_steps(root) if step.node is root]
    nudges = [moment["nudge"] for moment in story["moments"] if moment["nudge"]]
    assert len(nudges) == len(steps)
    leaves = [node for node in nodes(root) if not node.op]
    wanted = [step.slope for step in steps] + [gradients(root)[leaf] for leaf in leaves]
    for nudge, slope in zip([*nudges, *story["nudges"].values()], wanted, strict=True):
        numbers = r"from (\S+) to (\S+)\. (\S+)\xa0÷\xa0(\S+)\xa0=\xa0([^\s;]+)"
        old, new, change, by, ratio = map(number_of, re.findall(numbers, nudge)[0])
        assert new - old == pytest.approx(change, rel=0.01)
        assert change / by == pytest.approx(ratio, rel=0.01)
        assert ratio == pytest.approx(slope, rel=0.03)


def number_of(written: str) -> float:
    return float(written.rstrip(".").replace("−", "-"))


def test_where_a_nudge_shows_no_slope_none_is_told(tmp_path: Path) -> None:
    x = Value(0.0, label="x")
    assert not any(moment["nudge"] for moment in moments(x.relu(), tmp_path))
    custom = engine.custom(9.0, (Value(3.0, label="y"),), [6.0])
    assert not any(moment["nudge"] for moment in moments(custom, tmp_path))


def test_the_update_tells_old_from_new_and_what_is_wanted(tmp_path: Path) -> None:
    told = moments(used_twice(), tmp_path, lr=0.1)[-1]
    assert told["rule"].splitlines() == [
        "a: old −6, gradient 5, new −6 − 0.1 × 5 = −6.5",
        "b: old 4, gradient 3, new 4 − 0.1 × 3 = 3.7",
    ]
    assert "Smaller is what we want here" in told["sentence"]
    assert "The gradient is not the change" in told["aside"]
    cost = (Value(3.0, label="w") - 1) ** 2
    cost.label = "cost"
    assert "Smaller" not in moments(cost, tmp_path, lr=0.1)[-1]["sentence"]
    assert "It rose: the step was too long." in moments(cost, tmp_path, lr=5.0)[-1]["sentence"]


def test_a_page_states_its_expression_unless_that_is_long(tmp_path: Path) -> None:
    page = save_stepper(used_twice(), tmp_path / "page.html").read_text(encoding="utf-8")
    header = re.findall(r"<header>.*?</header>", page, re.DOTALL)[0]
    assert "e=(a+b)×(b+1)" in text(header).replace("\n", "")
    assert "e = −10 at a = −6, b = 4; 5 nodes, 9 steps" in header
    x = Value(2.0, label="x")
    long = x
    for _ in range(20):
        long = long * x
    for root in (long, x):
        page = save_stepper(root, tmp_path / "page.html").read_text(encoding="utf-8")
        assert "<math" not in re.findall(r"<header>.*?</header>", page, re.DOTALL)[0]
