"""Where other numbers would take another branch, the page says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from microgradlike import Value, no_grad, recorded_decisions, where
from tests.browser import Visit, once
from viz import Stepper, save_stepper


@pytest.fixture
def page(tmp_path: Path) -> Path:
    a, b, unseen = Value(4.0, label="a"), Value(-2.0, label="b"), Value(7.0, label="c")
    with recorded_decisions() as decisions:
        out = where(a * b < 0, a * b, a + b)
        if a >= 3 and unseen != 7.5:
            out = out * 2
        if out > b:
            out = -out
    out.label = "out"
    return save_stepper(out, tmp_path / "page.html", decisions=decisions)


@once
@pytest.mark.parametrize(
    ("address", "turned"),
    [
        ("", []),
        ("#a=3", []),
        ("#b=0", ["a × b < 0 held"]),
        ("#a=2.999&b=-100", ["a ≥ 3 held"]),
        ("#a=-1", ["a × b < 0 held", "a ≥ 3 held", "out > b did not hold"]),
    ],
)
def test_what_turns_is_told(visit: Visit, page: Path, address: str, turned: list[str]) -> None:
    tab = visit(page, address)
    told = tab.page.locator(".turned li").all_inner_texts()
    assert [sentence.partition(" when ")[0].removeprefix("⚠ ") for sentence in told] == turned
    for sentence in told:
        assert "test_viz_decisions.py, line " in sentence
    if told:
        tab.page.click(".reset")
        assert tab.page.locator(".turned li").count() == 0
    assert tab.complaints == []


@pytest.mark.parametrize("wrong", [3, "ab", [True], [Value(1.0) > 0]])
def test_what_are_no_decisions(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"the list that recorded_decisions\(\) gives, but got"):
        Stepper(Value(2.0) * 3, decisions=wrong)


def test_what_is_compared_need_not_be_in_the_graph() -> None:
    a, far = Value(1.0), Value(2.0)
    with recorded_decisions() as decisions, no_grad():
        assert far.exp() > a
    assert "asked" in Stepper(a * 2, decisions=decisions).html()
