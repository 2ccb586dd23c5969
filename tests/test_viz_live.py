"""Pages that recompute: what a script writes and computes is what Python would have."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from microgradlike import Value
from microgradlike.functions import maximum
from microgradlike.nn import MLP
from tests.browser import Visit, once
from viz import save_stepper, style
from viz.page import script_of

# ---- Numbers, colours, widths ------------------------------------------------------------------


def some_numbers(count: int) -> list[float]:
    """Numbers of every size, and those that lie in the middle between two shorter ones."""
    draws = random.Random(1)
    bits = (struct.unpack("d", draws.randbytes(8))[0] for _ in range(count))
    middles = (draws.randrange(1, 10**5) * 5 / 2 ** draws.randrange(12) for _ in range(count))
    usual = (draws.gauss(0, 10 ** draws.randrange(-6, 7)) for _ in range(count))
    return [0.0, -0.0, math.inf, -math.inf, 1e-4, 9999.5, 0.00012345, *bits, *middles, *usual]


def test_a_script_writes_and_paints_numbers_as_python_does(browser: Any) -> None:
    page = browser.new_page()
    page.add_script_tag(content=script_of("numbers.js"))
    given = [value for value in some_numbers(3000) if value == value]
    scale = style.Scale(3.0, 0.25)
    found = page.evaluate(
        """([given, scale]) => given.map(Number).map((v) => [numbers.number(v), numbers.signed(v),
            numbers.exact(v), ...numbers.paint(v, scale), numbers.hue(v), numbers.text_hue(v),
            numbers.width(v, scale.largest)])""",
        [[repr(v).replace("inf", "Infinity") for v in given], {"largest": 3.0, "middle": 0.25}],
    )
    page.close()
    for value, (*written, width) in zip(given, found, strict=True):
        colours = [*scale.paint(value), style.hue(value), style.text_hue(value)]
        assert written == [style.number(value), style.signed(value), repr(value), *colours], value
        assert width == pytest.approx(scale.width(value), abs=0.0051)


@pytest.mark.parametrize(
    ("typed", "value"),
    [("0,5", 0.5), ("-.5e1", -5.0), ("−2", -2.0), (" 3 ", 3.0), ("+1e-3", 0.001)],
)
def test_numbers_are_read_as_people_type_them(browser: Any, typed: str, value: float) -> None:
    page = browser.new_page()
    page.add_script_tag(content=script_of("numbers.js"))
    assert page.evaluate("(typed) => numbers.read(typed)", typed) == {"value": value}
    page.close()


# ---- A page with other numbers is the page of these numbers --------------------------------------

#: What a page says at each of its steps, and of the leaf that is chosen.
EVERYTHING = """() => {
    const all = (selector, from = document) => [...from.querySelectorAll(selector)];
    const short = (e) => e && e.textContent.length < 8 ? e.textContent : '';  // others lose digits
    const attributes = (e, ...names) => names.map((name) => e.getAttribute(name));
    const found = [];
    document.querySelector('.first').click();
    const last = Number(document.querySelector('.stepper').dataset.steps);
    for (let step = 0; step <= last; step += 1) {
        found.push({
            words: ['.count', '.sentence', '.sum', '.rule', '.nudge', '.aside', '.flag', '.numbers',
                '.heading', '.nudged'].map((name) => document.querySelector(name)?.textContent),
            ways: all('.ways li').map((e) => e.textContent).sort(),
            equations: document.querySelector('.equations').innerHTML,
            boxes: all('.view:not([hidden]) .node[data-name]').map((e) =>
                [...attributes(e, 'aria-label', 'data-origin'), e.querySelector('title').textContent,
                short(e.querySelector('.value')), short(e.querySelector('.grad'))]),
            arrows: all('.slope, .news').map((e) => e.textContent),
            dashes: all('.sent').map((e) => attributes(e, 'stroke', 'stroke-dasharray')),
            numbers: [...all('[data-node]').map((e) => attributes(e, 'data-value', 'data-grad')),
                ...all('[data-steps]').map((e) => attributes(e, 'data-slope', 'data-contribution'))],
        });
        document.querySelector('.next').click();
    }
    document.querySelector('.table').open = true;
    window.dispatchEvent(new Event('beforeprint'));
    found.push({words: document.querySelector('.table').textContent, numbers: []});
    return found;
}"""

Build = Callable[..., Value | list[Value]]


def used_often(a: float, b: float) -> Value:
    """Numbers that are used more than once, on both sides of operations, and branches."""
    x, y, c = Value(a, label="a"), Value(b, label="b"), Value(-1.5, label="c")
    loss = (x * y - x / c) ** 2 + (x * c).relu() * (x + y).tanh() - maximum(x, c) * x * y**x
    loss.label = "loss"
    return loss


def two_results(a: float, b: float) -> list[Value]:
    x, y = Value(a, label="a"), Value(b, label="b")
    first = (x * y).tanh()
    return [first, first * x - y]


def network(a: float, b: float) -> Value:
    out = MLP(2, [3, 1], activation="tanh", seed=0)([Value(a, label="a"), Value(b, label="b")])
    loss: Value = (out - 1) ** 2
    loss.label = "loss"
    return loss


#: A graph, the numbers of its page, and other ones: on the other side of a kink, on it, without end.
CHANGES: dict[str, tuple[Build, tuple[float, float], tuple[float, float]]] = {
    "branches": (used_often, (-2.0, 0.5), (1.25, 3.0)),
    "a kink": (used_often, (2.0, 0.5), (0.0, -2.0)),
    "a tie": (used_often, (2.0, 1.0), (-1.5, 1.0)),
    "saturated": (used_often, (0.5, 0.5), (-30.0, 0.25)),
    "no number": (used_often, (1.5, 0.5), (0.5, -1e200)),
    "two results": (two_results, (2.0, -3.0), (-0.25, 12.0)),
    "a network, folded": (network, (1.0, -0.5), (-3.0, 0.75)),
}


@once
@pytest.mark.parametrize("name", CHANGES)
def test_a_page_with_other_numbers_is_the_page_of_these(
    visit: Visit, tmp_path: Path, name: str
) -> None:
    build, old, new = CHANGES[name]
    options = {"fold": "folded" in name, "lr": 0.1}
    one = save_stepper(build(*old), tmp_path / "old.html", **options)
    other = save_stepper(build(*new), tmp_path / "new.html", **options)
    changed = visit(one, "#step=2&node=v0&" + urlencode(dict(zip("ab", new, strict=True))))
    made = visit(other, "#step=2&node=v0")
    found, wanted = (tab.page.evaluate(EVERYTHING) for tab in (changed, made))
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        pairs = zip(ours.pop("numbers"), theirs.pop("numbers"), strict=True)
        for few, more in pairs:
            for a, b in zip(few, more, strict=True):
                assert a == b or float(a) == pytest.approx(float(b), rel=1e-12, nan_ok=True)
        for key in ours:
            assert ours[key] == theirs[key]
    changed.page.click(".reset")
    again = visit(one, "#step=2&node=v0").page.evaluate(EVERYTHING)
    for ours, theirs in zip(changed.page.evaluate(EVERYTHING), again, strict=True):
        for key in ours:
            assert ours[key] == theirs[key]
    assert changed.complaints == []
