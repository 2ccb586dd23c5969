"""What a page says, read from it without a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from microgradlike import Value, functions
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
