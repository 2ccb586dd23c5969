"""Questions in the page of steps: what is typed, what a wrong answer is told, the score."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from microgradlike import Value
from microgradlike.exercises import answers
from tests.browser import Tab, Visit, once
from viz import save_stepper

ANSWERS = (
    *("0,5", " 1/2 ", "½", "1 ½", "-.5e1", "− 2", "de/db = +3", "–7", "2.", "1e-3", "3/-4", "12"),
    *("1 1/4", "2½", "-¾", "+.25", "1/8", "-0"),
)
NO_ANSWERS = (
    "",
    "two",
    "1/0",
    "1..2",
    "1,2,3",
    "0x10",
    "1e999",
    "e",
    "--2",
    "1 2",
    "½½",
    "NaN",
    "∞",
)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    a, b = Value(4.0, label="a"), Value(-3.0, label="b")
    e = (a + b) * (b * 2.0)
    e.label = "e"
    return save_stepper(e, tmp_path / "page.html")


def asked(tab: Tab) -> dict[str, dict[str, Any]]:
    story = tab.page.evaluate("document.querySelector('.story').textContent")
    found: dict[str, dict[str, Any]] = json.loads(story)["questions"]
    return found


def answer(tab: Tab, text: str) -> str:
    tab.page.fill(".answer input", text)
    tab.press("Enter")
    return str(tab.page.inner_text(".mark"))


@once
def test_an_answer_is_understood_as_in_python(visit: Visit, page: Path) -> None:
    tab = visit(page)
    read = tab.page.evaluate("(texts) => texts.map((text) => numbers.read(text))", [*ANSWERS])
    assert [one["value"] for one in read] == [answers.number(text) for text in ANSWERS]
    refused = tab.page.evaluate("(texts) => texts.map(numbers.read)", [*NO_ANSWERS])
    assert all(one["refused"].endswith((".", "e308.")) for one in refused)
    for text in NO_ANSWERS:
        with pytest.raises(ValueError):
            answers.number(text)


@once
def test_a_wrong_answer_names_the_mistake(visit: Visit, page: Path) -> None:
    tab = visit(page)
    tab.page.click(".quiz")
    found = asked(tab)
    assert sorted(map(int, found)) == [1, 2, 3, 5, 6, 7, 8, 9]
    for step, question in found.items():
        while str(tab.step) != step:
            tab.page.click(".next")
        for wrong in question["wrong"]:
            assert answer(tab, str(wrong["answer"])).endswith(wrong["sentence"])
        assert answer(tab, "1234.5") == "1234 is not it."
        assert tab.page.locator(".hints li").count() == min(3, len(question["wrong"]) + 1)
        assert answer(tab, str(question["answer"])) == f"Right: {question['key']}."
        assert not tab.page.locator(".reveal").is_visible()
    assert tab.page.inner_text(".score") == f"0 of {len(found)} right at the first try"
    assert tab.complaints == []


@once
def test_a_class_gets_the_same_questions(visit: Visit, tmp_path: Path) -> None:
    x = [Value(float(k) + 2, label=f"x{k}") for k in range(5)]
    out = sum((v * v.label.count("x") * 3.0 for v in x), Value(1.0))
    path = save_stepper(out, tmp_path / "long.html")
    gone: list[list[int]] = []
    for seed in ("7", "7", "8"):
        tab = visit(path, f"#quiz=1&seed={seed}")
        found, steps = asked(tab), []
        assert len(found) > 10
        for right in range(10):
            assert tab.page.inner_text(".count").endswith(f"question {right + 1} of 10")
            steps.append(tab.step)
            answer(tab, str(found[str(tab.step)]["answer"]))
            if right < 9:
                tab.page.click(".next")
        assert tab.page.inner_text(".score") == "10 of 10 right at the first try"
        assert f"quiz=1&seed={seed}" in tab.page.evaluate("location.hash")
        assert tab.requests == [tab.page.url.partition("#")[0]]
        gone.append(steps)
    assert gone[0] == gone[1] != gone[2]


@once
def test_other_numbers_are_not_asked_for(visit: Visit, page: Path) -> None:
    tab = visit(page, "#quiz=1&seed=7")
    assert tab.page.locator(".answer input").is_visible()
    changed = visit(page, "#quiz=1&seed=7&a=2.5")
    assert not changed.page.locator(".answer").is_visible()
    assert changed.page.locator(".reveal").is_visible()
    assert "Reset brings them back" in changed.page.inner_text(".unasked")
    changed.page.click(".reset")
    assert changed.page.inner_text(".unasked") == ""


def test_a_graph_with_nothing_to_ask(visit: Callable[..., Tab], tmp_path: Path) -> None:
    tab = visit(save_stepper(Value(2.0, label="a"), tmp_path / "page.html"), "#quiz=1&seed=1")
    assert asked(tab) == {}
    assert not tab.page.locator(".answering").is_visible()
    assert tab.page.inner_text(".unasked").startswith("There are no questions")
    assert tab.complaints == []


@once
def test_paths_do_not_answer_what_is_asked_later(visit: Visit, page: Path) -> None:
    tab = visit(page, "#quiz=1&seed=7&node=v0")
    assert tab.page.locator(".chosen h2").inner_text() == "a"
    assert not tab.page.locator(".ways").is_visible()
    tab.press("End")
    assert tab.page.locator(".ways").is_visible()
