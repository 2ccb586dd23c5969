"""Pages in a notebook: with anywidget, which tells what was changed, and without."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from microgradlike import Value
from tests.browser import Visit, once
from viz import Stepper
from viz import notebook as room

#: What a notebook has: a model for the widget, and a cell to draw it in.
NOTEBOOK = """<!doctype html><meta charset="utf-8"><div id="cell" style="width:900px"></div>
<script type="module">
const traits = {html: %s, title: "a page"};
window.kept = [];
const model = {
    get: (name) => traits[name],
    set: (name, value) => { traits[name] = value; },
    save_changes: () => window.kept.push(traits.state),
};
%s
window.leave = render({model, el: document.getElementById("cell")});
</script>"""


def stepper() -> Stepper:
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    return Stepper(a * b + a)


def test_a_widget_and_the_page_itself_for_who_cannot_run_it() -> None:
    shown = stepper()
    data, _ = shown._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/html"] == shown._repr_html_()
    assert shown._repr_mimebundle_()[0] == data  # a second cell shows the same widget
    assert shown.state == {}
    shown._shown.state = {"numbers": {"a": 2.5}}  # as the notebook does
    assert shown.state == {"numbers": {"a": 2.5}}


def test_a_page_that_was_shown_can_be_copied_and_pickled() -> None:
    shown = stepper()
    shown._repr_mimebundle_()
    for twin in (copy.copy(shown), copy.deepcopy(shown), pickle.loads(pickle.dumps(shown))):
        assert twin.html() == shown.html()
        assert twin._shown is None


def test_without_anywidget_it_is_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    room._widgets.cache_clear()
    shown = stepper()
    bundle = shown._repr_mimebundle_()
    room._widgets.cache_clear()
    assert bundle.keys() == {"text/plain", "text/html"}
    assert shown.state == {}


@once
def test_the_widget_keeps_what_its_page_tells(visit: Visit, tmp_path: Path) -> None:
    path = tmp_path / "notebook.html"
    script = room._widgets()._esm
    page = json.dumps(stepper().html()).replace("<", "\\u003c")
    path.write_text(NOTEBOOK % (page, str(script).replace("export default", "window.exported =")))
    tab = visit(path)
    tab.until("document.querySelector('iframe').clientHeight !== 760")
    inner = tab.page.frames[1]
    inner.evaluate("parent.postMessage({microgradlike: {numbers: {a: 2.5}}}, '*')")
    tab.until("window.kept.length > 0")
    tab.page.evaluate("window.postMessage({microgradlike: {numbers: {a: 99}}}, '*')")  # another one
    inner.evaluate("parent.postMessage({other: 1}, '*')")
    tab.page.wait_for_timeout(100)
    assert tab.page.evaluate("window.kept") == [{"numbers": {"a": 2.5}}]
    tab.page.evaluate("window.leave()")
    inner.evaluate("parent.postMessage({microgradlike: {numbers: {a: 3}}}, '*')")
    tab.page.wait_for_timeout(100)
    assert len(tab.page.evaluate("window.kept")) == 1
    assert tab.complaints == []


@pytest.mark.parametrize("width", [900, 620])
@once
def test_nothing_is_cut_in_a_cell(visit: Visit, tmp_path: Path, width: int) -> None:
    path = tmp_path / "notebook.html"
    cell = f'<div style="width:{width}px">{stepper()._repr_html_()}</div>'
    path.write_text(f"<!doctype html><meta charset=utf-8>{cell}", encoding="utf-8")
    tab = visit(path)
    inner: Any = tab.page.frames[1]
    for click in (None, ".next", ".last"):
        if click:
            inner.locator(click).click()
        for _ in range(40):  # the frame grows as soon as it is told
            sizes = inner.evaluate(
                "() => { const e = document.documentElement;"
                " return [e.scrollWidth - e.clientWidth, e.scrollHeight - e.clientHeight]; }"
            )
            if max(sizes) <= 0:
                break
            tab.page.wait_for_timeout(50)
        assert max(sizes) <= 0, (click, sizes)
