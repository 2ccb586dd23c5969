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
from microgradlike.engine import custom
from microgradlike.flow import gradients, nodes
from microgradlike.functions import maximum, where
from microgradlike.nn import MLP
from tests.browser import Visit, each_width, once
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
    given = [value for value in some_numbers(1500) if value == value]
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
                [...attributes(e, 'aria-label', 'data-origin'),
                    e.querySelector('title').textContent]),
            arrows: all('.slope, .news').map((e) => e.textContent),
            dashes: all('.sent').map((e) => attributes(e, 'stroke', 'stroke-dasharray')),
            numbers: [
                ...all('[data-node]').map((e) => attributes(e, 'data-value', 'data-grad')),
                ...all('[data-steps]').map(
                    (e) => attributes(e, 'data-slope', 'data-contribution'))],
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
    return used_often_of(Value(a, label="a"), Value(b, label="b"), Value(-1.5, label="c"))


def used_often_of(x: Value, y: Value, c: Value) -> Value:
    loss = (x * y - x / c) ** 2 + (x * c).relu() * (x + y).tanh() - maximum(x, c) * x * y**x
    loss.label = "loss"
    return loss


def two_results(a: float, b: float) -> list[Value]:
    x, y = Value(a, label="a"), Value(b, label="b")
    first = (x * y).tanh()
    return [first, first * x - y]


def operands_twice(a: float, b: float) -> Value:
    x, y = Value(a, label="a"), Value(b, label="b")
    return x**x + x.leaky_relu(x) + x.maximum(x) * y


def network(a: float, b: float) -> Value:
    out = MLP(2, [3, 1], activation="tanh", seed=0)([Value(a, label="a"), Value(b, label="b")])
    loss: Value = (out - 1) ** 2
    loss.label = "loss"
    return loss


#: A graph, the numbers of its page, and other ones: beyond a kink, on it, without end.
CHANGES: dict[str, tuple[Build, tuple[float, float], tuple[float, float]]] = {
    "branches": (used_often, (-2.0, 0.5), (1.25, 3.0)),
    "a kink": (used_often, (2.0, 0.5), (0.0, -2.0)),
    "a tie": (used_often, (2.0, 1.0), (-1.5, 1.0)),
    "a jump, and no value below": (operands_twice, (2.0, 1.0), (0.0, 1.0)),
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
    assert changed.complaints == []
    if name != "branches":
        return
    changed.page.click(".reset")
    again = visit(one, "#step=2&node=v0").page.evaluate(EVERYTHING)
    for ours, theirs in zip(changed.page.evaluate(EVERYTHING), again, strict=True):
        for key in ours:
            assert ours[key] == theirs[key]


# ---- Changing a number -------------------------------------------------------------------------


@pytest.fixture(scope="session")
def page_of_two(shared_folder: Path) -> Path:
    file = shared_folder / "two numbers.html"
    if not file.exists():
        save_stepper(used_often(2.0, 0.5), file, rankdir="LR")
    return file


@once
def test_a_number_is_typed_and_nonsense_is_told_and_changes_nothing(
    visit: Visit, page_of_two: Path
) -> None:
    tab = visit(page_of_two, "#step=99&node=v0")
    page = tab.page
    assert page.get_by_label("a =", exact=True).input_value() == "2"
    before = page.get_attribute("[data-node=v0]", "data-grad")
    refusals = {
        "abc": "“abc” is no number",
        "": "is empty",
        "1e999": "is too large",
        "1/0": "divides by 0",
    }
    for typed, words in refusals.items():
        page.fill(".field", typed)
        tab.press("Enter")
        assert words in page.inner_text(".chosen .refused")
        assert page.get_attribute(".field", "aria-invalid") == "true"
        assert page.get_attribute("[data-node=v0]", "data-grad") == before
        assert "a=" not in page.evaluate("location.hash")
    page.fill(".field", "0,5")
    tab.press("Enter")
    assert page.inner_text(".chosen .refused") == "" and "a=0.5" in page.evaluate("location.hash")
    assert page.get_attribute("[data-node=v0]", "data-value") == "0.5"
    assert page.text_content("[data-node=v0] .value") == "0.5"
    assert str(page.text_content("[data-node=v0] .ghost")).startswith("was 2")
    result = float(used_often(0.5, 0.5).data)
    assert f"loss is now {style.number(result)}" in page.inner_text(".outcome")
    assert page.get_attribute(".outcome", "aria-live") == "polite"
    page.evaluate("location.hash = '#step=3&b=-1'")
    tab.until("document.querySelector('[data-node=v1]').dataset.value === '-1.0'")
    assert page.get_attribute("[data-node=v0]", "data-value") == "2.0"
    page.evaluate("location.hash = '#step=3'")
    tab.until("document.querySelector('[data-node=v1]').dataset.value === '0.5'")
    assert page.is_disabled(".reset")
    assert tab.complaints == []


@once
def test_a_number_is_dragged_or_moved_with_keys(visit: Visit, page_of_two: Path) -> None:
    tab = visit(page_of_two, "#step=99&node=v0")
    page = tab.page
    page.locator(".slider").scroll_into_view_if_needed()
    slider = page.locator(".slider").bounding_box()
    middle = slider["y"] + slider["height"] / 2
    page.mouse.move(slider["x"] + slider["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(slider["x"] + slider["width"] * 0.75, middle, steps=3)
    dragged = float(page.get_attribute("[data-node=v0]", "data-value"))
    assert 2 < dragged < 5 and page.input_value(".field") == f"{dragged:g}"
    assert "a=" not in page.evaluate("location.hash")  # not before it is let go
    page.mouse.up()
    assert f"a={dragged:g}" in page.evaluate("location.hash")
    gradient = gradients_of(used_often(dragged, 0.5))[0]
    assert float(page.get_attribute("[data-node=v0]", "data-grad")) == pytest.approx(gradient)
    page.focus(".node[data-node=v1]")
    tab.press("Shift+ArrowUp", 2)
    assert float(page.get_attribute("[data-node=v1]", "data-value")) == pytest.approx(0.52)
    tab.press("Enter")  # it is chosen already: now its field is
    page.keyboard.type("7")
    tab.press("ArrowUp")
    tab.press("Escape")
    assert page.evaluate("document.activeElement.dataset.node") == "v1"


def gradients_of(root: Value) -> list[float]:
    """Those of what was given, in the order of the graph."""
    found = gradients(root)
    return [found[node] for node in nodes(root) if not node.op]


@once
def test_a_smaller_nudge_comes_nearer_to_the_gradient(visit: Visit, page_of_two: Path) -> None:
    tab = visit(page_of_two, "#step=99&node=v1&b=3")
    rows = tab.page.locator(".approach tr").all_inner_texts()[1:]
    table = [[float(cell.replace("−", "-")) for cell in row.split("\t")] for row in rows]
    assert [row[0] for row in table] == [1, 0.1, 0.01, 0.001]
    slope = gradients_of(used_often(2.0, 3.0))[1]
    far = [abs(ratio - slope) for _, _, ratio in table]
    assert far == sorted(far, reverse=True) and far[-1] < 0.01 * abs(slope)
    for by, change, ratio in table:
        wanted = used_often(2.0, 3.0 + by).data - used_often(2.0, 3.0).data
        assert change == pytest.approx(wanted, rel=1e-3)
        assert ratio == pytest.approx(wanted / by, rel=1e-3)


@once
def test_steps_downhill_are_those_of_python_and_the_frame_is_told(
    visit: Visit, page_of_two: Path, tmp_path: Path
) -> None:
    around = tmp_path / "around.html"
    around.write_text(
        "<script>onmessage = (event) => { window.said = event.data.microgradlike; }</script>"
        f"<iframe src='{page_of_two.as_uri()}#step=99' width=1200 height=700></iframe>"
    )
    tab = visit(around)
    page = tab.page.frame_locator("iframe")
    page.locator(".rate").fill("-1")
    page.locator(".rate").press("Enter")
    assert "not negative" in page.locator(".live .refused").inner_text()
    page.locator(".rate").fill("0.01")
    page.locator(".rate").press("Enter")
    numbers = [2.0, 0.5, -1.5]
    for _ in range(5):
        page.locator(".descend").click()
        root = used_often_of(*(Value(x) for x in numbers))
        moves = zip(numbers, gradients_of(root), strict=True)
        numbers = [x - 0.01 * gradient for x, gradient in moves]
    tab.until(f"Math.abs(window.said?.numbers?.c - {numbers[2]}) < 1e-6")  # what came before is old
    said = tab.page.evaluate("window.said")
    assert [said["numbers"][name] for name in "abc"] == pytest.approx(numbers, rel=1e-12)
    root = used_often_of(*(Value(x) for x in numbers))
    assert list(said["gradients"].values()) == pytest.approx(gradients_of(root), rel=1e-12)
    assert said["result"] == pytest.approx(root.data, rel=1e-12)


@once
def test_what_cannot_be_recomputed_is_not_offered(visit: Visit, tmp_path: Path) -> None:
    x = Value(3.0, label="x")
    square = custom(9.0, (x,), [6.0])
    tab = visit(save_stepper(square, tmp_path / "own.html"), "#step=2&node=v0&x=4")
    assert "an operation of its user's own" in tab.page.inner_text(".offer")
    assert tab.page.is_hidden(".descend") and tab.page.locator(".field").count() == 0
    assert tab.page.get_attribute("[data-node=v0]", "data-value") == "3.0"
    chosen = where(x > 2, x * x, -x)
    chosen.label = "w"
    tab = visit(save_stepper(chosen + x, tmp_path / "where.html"), "#step=9&x=1")
    assert "recorded; so does “where” in w." in tab.page.inner_text(".offer")
    assert tab.page.inner_text(".heading").startswith("v3 = 2 at x = 1")
    assert tab.complaints == []


@each_width
def test_a_changed_page_fits_and_its_numbers_stay_in_their_boxes(
    visit: Visit, page_of_two: Path
) -> None:
    tab = visit(page_of_two, "#step=99&node=v0&a=-0.00012345&b=123456.7")
    page = tab.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    outside = """() => [...document.querySelectorAll('.value, .grad')].filter((text) => {
        const ground = text.parentElement.querySelector(`.${text.classList[0]}-ground`).getBBox();
        const box = text.getBBox();
        return box.x < ground.x - 1 || box.x + box.width > ground.x + ground.width + 1;
    }).map((text) => text.textContent)"""
    assert page.evaluate(outside) == []
    assert "value −0.0001234" in page.inner_text(".numbers")


@once
def test_a_browser_without_mathml_gets_lines_of_text(
    browser: Any, view: dict[str, Any], tmp_path: Path
) -> None:
    a, b = Value(4.0, label="a"), Value(-3.0, label="b")
    out = (a + b) ** 2 / (b * 2.0)
    out.label = "out"
    path = save_stepper(out, tmp_path / "page.html")
    context = browser.new_context(**view)
    context.add_init_script("delete window.MathMLElement")
    page = context.new_page()
    page.goto(f"{path.as_uri()}#step=6")
    assert page.inner_text("header span").strip() == "out = ((a + b)^2)/(b × 2)"
    assert page.locator(".equations p").all_inner_texts() == [
        "share over this arrow = dout/dout × ∂out/∂v3",
        "∂out/∂v3 = 1/v4 = 1/(− 6)",
        "share = 1 × (− 0.1667) = − 0.1667",
    ]
    assert page.locator("math").count() == 0
    context.close()


@once
def test_a_folded_page_has_its_numbers_in_their_boxes_and_no_leaf_to_type(
    visit: Visit, tmp_path: Path
) -> None:
    model = MLP(2, [6, 6, 1], activation="tanh", seed=0)
    tab = visit(save_stepper((model([1.0, -2.0]) - 0.5) ** 2, tmp_path / "page.html"), "#step=99")
    outside = tab.page.evaluate("""() => [...document.querySelectorAll(
        '.view:not([hidden]) .node :is(.value,.grad)')].filter((text) => {
        const letters = text.getBBox();
        const ground = text.parentElement.querySelector(
            text.matches('.value') ? '.value-ground' : '.grad-ground').getBBox();
        return letters.x < ground.x - 1 || letters.x + letters.width > ground.x + ground.width + 1;
    }).map((text) => text.textContent)""")
    assert outside == []
    tab.page.evaluate("document.querySelector('[data-box]').dispatchEvent(new Event('click'))")
    assert tab.page.locator(".chosen .open").count() == 1
    assert tab.page.locator(".chosen .field").count() == 0


@once
def test_a_refused_rate_takes_no_step(visit: Visit, page_of_two: Path) -> None:
    tab = visit(page_of_two, "#step=99")
    before = tab.page.inner_text(".heading")
    for wrong in ("abc", "-1"):
        tab.page.fill(".rate", wrong)
        tab.page.click(".descend")
        assert tab.page.inner_text(".heading") == before
    tab.page.fill(".rate", "0,5")
    tab.page.click(".descend")
    assert tab.page.inner_text(".heading") != before


@each_width
def test_a_long_formula_scrolls_by_itself(visit: Visit, tmp_path: Path) -> None:
    out = Value(1.0, label="first_of_them")
    for k in range(11):
        out = out * Value(2.0 + k, label=f"long_name_{k}")
    page = visit(save_stepper(out, tmp_path / "page.html")).page
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
