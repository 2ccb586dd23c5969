"""Notebooks: the tour, run by fresh kernels; and what shows itself in Jupyter and in marimo."""

from __future__ import annotations

import copy
import functools
import html
import io
import os
import pickle
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook
from tqdm import tqdm

import demos
import viz
from demos import notebook as room
from demos.cells import cells, source
from demos.page import STOPS
from microgradlike import Value, compile, fit, losses, nn, tanh, training
from microgradlike.flow import explain

#: How wide the cell of a notebook is.
CELL = 900

# ---- The tour ----------------------------------------------------------------------------------


def downloaded(site: Path, name: str) -> Any:
    """The notebook that the page of a stop offers."""
    page = (site / "tour" / f"{name}.html").read_text(encoding="utf-8")
    [link] = re.findall(r'href="\.\./(_downloads/\w+/\w+\.ipynb)"', page)
    assert Path(link).stem == name
    return nbformat.read(site / link, as_version=4)


@pytest.mark.parametrize("name", STOPS)
def test_each_notebook_of_the_tour_ran_to_its_end(site: Path, name: str) -> None:
    found = downloaded(site, name)
    nbformat.validate(found)
    code = [cell for cell in found.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert {output.get("name") for output in outputs} <= {None, "stdout"}  # no warning
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if room.WIDGET in output.get("data", {})]


@pytest.mark.parametrize("name", STOPS)
def test_a_notebook_has_the_cells_of_its_script_and_shows_each_picture(
    site: Path, name: str
) -> None:
    found = downloaded(site, name)
    assert [cell.source for cell in found.cells[2:]] == [cell.text for cell in cells(source(name))]
    shown = [
        output.data["text/html"]
        for cell in found.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    pictures = [one for one in shown if "<math" not in one]
    calls = re.findall(r"demo\.(?:show|wrote)\(", source(name))
    assert len(pictures) >= len(calls) > 0
    assert all(one.startswith(("<iframe ", "<img ")) for one in pictures)


def test_nothing_that_a_notebook_shows_is_cut_on_its_page(site: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    for name in STOPS:
        path = site / "tour" / f"{name}.html"
        page.goto(path.as_uri())
        settled(page, path.read_text("utf-8").count("<iframe srcdoc"))
        assert page.evaluate(CUT, ".output.text_html") == [], name
    page.close()


def test_an_error_in_a_cell_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(room, "source", lambda name: "# %%\n1 / 0\n")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        room.executed("moons", tmp_path)


def test_the_notebooks_are_run_anew_only_if_something_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[str] = []

    def executed(name: str, folder: Path) -> Any:
        ran.append(name)
        return room.notebook(name)

    monkeypatch.setattr(room, "executed", executed)
    room.run_all(tmp_path / "tour")
    assert sorted(ran) == sorted(STOPS)
    room.run_all(tmp_path / "tour")
    assert len(ran) == len(STOPS)
    (tmp_path / "tour" / "cat.ipynb").unlink()
    room.run_all(tmp_path / "tour")
    assert len(ran) == 2 * len(STOPS)


# ---- What shows itself -------------------------------------------------------------------------


X, Y = [[0.0, 1.0], [1.0, 0.0], [0.5, 0.2]], [1.0, -1.0, 1.0]


def result() -> Value:
    w, x, b = Value(-3.0, label="w"), Value(2.0, label="x"), Value(6.5, label="b")
    out = tanh(w * x + b)
    out.backward()
    return out


def derivation() -> Any:
    x = Value(0.5, label="x")
    return explain(tanh(x * x), x)


def chain() -> Value:
    """A result whose picture is several times as wide as a cell."""
    return functools.reduce(lambda found, _: tanh(found), range(20), Value(1.0, label="x"))


def network(*sizes: int) -> nn.MLP:
    return nn.MLP(2, list(sizes), activation="tanh", seed=0)


def trained(progress: bool = False) -> Any:
    return fit(network(3, 1), X, Y, loss=losses.mse, epochs=4, record=1, progress=progress)


def compiled() -> Any:
    return compile(network(2, 1)).trace([[0.0, 1.0]])


#: Each kind of thing that viz makes, and a derivation.
KINDS: dict[str, Callable[[], Any]] = {
    "draw": lambda: viz.draw(result()),
    "draw, wide": lambda: viz.draw(chain()),
    "draw_dot": lambda: viz.draw_dot(result()),
    "Animation": lambda: viz.Animation(result()),
    "draw_network": lambda: viz.draw_network(network(3, 1), X[0], 0.5),
    "draw_compiled": lambda: viz.draw_compiled(compiled()),
    "Stepper": lambda: viz.Stepper(result(), lr=0.1),
    "Playground": lambda: viz.Playground(network(3, 1), X, Y),
    "Lesson": lambda: viz.Lesson(network(3, 1), X, Y, lr=0.5, rounds=3),
    "Movie": lambda: viz.Movie(trained()),
    "Stages": lambda: viz.Stages(compiled()),
    "explain": derivation,
}
PAGES = ("Stepper", "Playground", "Lesson", "Movie", "Stages")

#: What is cut, or has a bar to scroll, in the cells of a notebook and in their frames.
CUT = """(cells) => {
    const cut = [];
    const check = (element, where) => {
        const { overflowX, overflowY } = getComputedStyle(element);
        const seen = overflowX === 'visible' && overflowY === 'visible';
        if (seen && element.tagName !== 'HTML') return;
        const [across, down] = [element.clientWidth, element.clientHeight];
        const [wide, high] = [element.scrollWidth, element.scrollHeight];
        if (down > 1 && (wide > across + 2 || high > down + 2)) {
            cut.push([where, element.className, wide, across, high, down]);
        }
    };
    const look = (root, where) => {
        for (const element of root.querySelectorAll('*')) {
            if (element.closest('math')) continue;  // its lines are higher than its letters
            check(element, where);
            if (element.shadowRoot) look(element.shadowRoot, where);
            if (element.tagName === 'IFRAME') look(element.contentDocument, element.title);
        }
    };
    for (const cell of document.querySelectorAll(cells)) {
        check(cell, 'cell');
        look(cell, 'cell');
    }
    return cut;
}"""

#: The frames of a page: their titles, and how much higher they are than what is in them.
FRAMES = """() => {
    const frames = (root) => [...root.querySelectorAll('*')].flatMap((element) => {
        if (element.tagName === 'IFRAME') return element.hidden ? [] : [element];
        return element.shadowRoot ? frames(element.shadowRoot) : [];
    });
    return frames(document).map((frame) => [frame.title, frame.clientHeight
        - Math.ceil(frame.contentDocument.body.getBoundingClientRect().height)]);
}"""


def settled(page: Any, frames: int) -> None:
    """Wait until the frames have the height of what is in them, and see that nothing is cut."""
    for _ in range(100):
        found = page.evaluate(FRAMES)
        if len(found) == frames and all(abs(more) <= 1 for _, more in found):
            break
        page.wait_for_timeout(50)
    assert len(found) == frames
    assert [one for one in found if abs(one[1]) > 1] == []


def test_everything_that_viz_exports_is_shown_or_makes_files() -> None:
    shown = {kind.partition(",")[0] for kind in KINDS}
    files = {"animate", "frames", "save", *(name for name in viz.__all__ if name[:5] == "save_")}
    plots = {"plot_loss", "plot_decision_boundary"}
    assert shown - {"explain"} | files | plots | {"Picture", "RenderError"} == set(viz.__all__)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_in_a_cell(browser: Any, tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "cells.html"
    cells = (f'<div class="cell">{make()._repr_html_()}</div>' for make in KINDS.values())
    path.write_text(
        f"<!doctype html><meta charset=utf-8><style>.cell{{width:{CELL}px;overflow:auto}}</style>"
        + "".join(cells),
        encoding="utf-8",
    )
    page = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme=scheme)
    page.goto(path.as_uri())
    settled(page, len(KINDS) - 1)
    assert page.evaluate(CUT, ".cell") == []
    for frame in page.frames[1:]:
        for button in (".next", ".last"):
            if frame.locator(button).count():
                frame.locator(button).click()
    page.wait_for_timeout(300)
    assert page.evaluate(CUT, ".cell") == []
    page.close()


def test_a_picture_has_its_natural_size_where_there_is_room_and_shrinks_where_there_is_none(
    browser: Any, tmp_path: Path
) -> None:
    path, shown = tmp_path / "cells.html", viz.draw(chain())
    natural = int(re.findall(r'width="(\d+)"', shown.svg())[0])
    assert natural > 2 * CELL
    path.write_text(
        "".join(
            f'<div style="width:{width}px">{shown._repr_html_()}</div>' for width in (CELL, 9999)
        ),
        encoding="utf-8",
    )
    page = browser.new_page()
    page.goto(path.as_uri())
    widths = "[...document.querySelectorAll('iframe')].map((frame) => frame.clientWidth)"
    assert page.evaluate(widths) == [CELL, natural]
    page.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_notebook_that_takes_frames_away_still_says_something(kind: str) -> None:
    """As Jupyter does, as long as it does not trust who ran the cells."""
    shown = KINDS[kind]()._repr_html_()
    left = re.sub(r"</?iframe[^>]*>", "", shown)
    if kind in PAGES:
        assert left.startswith("Run this cell to see it: ")
        assert left.endswith(".") and not left.endswith("..")
    elif kind == "explain":
        assert "dv2/dx = " in visible(left)
    else:
        assert left.startswith('<img src="data:image/svg+xml;base64,')


def visible(shown: str) -> str:
    """What is seen of HTML in JupyterLab, which drops what it does not know of a style."""
    return re.sub('<div style="display:none;display:flow-root.*?</div>', "", shown, flags=re.DOTALL)


def test_the_equations_of_the_tour_are_named_where_nobody_trusts_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []
    monkeypatch.setattr(demos, "_in_notebook", lambda: True)
    monkeypatch.setattr(demos.Demo, "_display", lambda self, shown, caption: told.append(shown))
    demos.Demo(tmp_path, 0).equation("<math><mn>2</mn></math>", "two")
    left = re.sub(r"</?(iframe|m)[^>]*>", "", told[0])
    assert visible(left) == "Run this cell to see the equation."


def test_what_is_printed_is_short() -> None:
    history = trained()
    assert repr(history).startswith("<History: 4 epochs, loss 0.9254, 5 records;")
    assert pickle.loads(pickle.dumps(history)).loss == history.loss
    assert copy.copy(history) == history
    assert repr(derivation()) == "<Explanation: how v2 changes with x, slope 0.94>"
    assert repr(viz.draw_dot(result())).startswith("<Digraph: How the gradient flows back")


def test_a_derivation_is_shown_in_words_and_formulas() -> None:
    x = Value(0.5, label="<b>")
    made = explain(x * x, x)
    shown = made._repr_html_()
    assert "<b>" not in shown and html.escape(made.words.splitlines()[0]) in shown
    assert made.mathml in shown


# ---- marimo ------------------------------------------------------------------------------------

APP = """import marimo

app = marimo.App(width="full")

@app.cell
def _():
    import marimo as mo
    import viz
    from tests import test_notebooks as room
    return mo, room, viz

@app.cell
def _(room):
    history = room.trained(progress=True)
    return

{cells}

@app.cell
def _(mo):
    button = mo.ui.run_button(label="ask")
    button
    return (button,)

@app.cell
def _(button, mo, page):
    mo.md(f"told {{page.state.get('numbers')}}") if button.value else None
    return

if __name__ == "__main__":
    app.run()
"""
SHOWN = """@app.cell
def _(room):
    {name} = room.KINDS[{kind!r}]()
    {name}
    return ({name},)
"""


@pytest.fixture
def marimo(tmp_path: Path) -> Iterator[str]:
    """The address of a notebook of marimo that shows all kinds."""
    names = {kind: "page" if kind == "Stepper" else f"shown_{k}" for k, kind in enumerate(KINDS)}
    cells = "\n".join(SHOWN.format(name=names[kind], kind=kind) for kind in KINDS)
    path = tmp_path / "shown.py"
    path.write_text(APP.format(cells=cells), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "marimo", "run", str(path), "--headless", "--no-token"]
    root = Path(__file__).parent.parent
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(root)},
        cwd=tmp_path,
    )
    try:
        for _ in range(300):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def test_marimo_shows_each_kind_as_wide_as_its_cell(browser: Any, marimo: str) -> None:
    page = browser.new_page(viewport={"width": CELL + 160, "height": 900})
    page.goto(marimo)
    page.get_by_role("button", name="ask").wait_for(timeout=60_000)
    settled(page, len(KINDS) - 1)
    assert page.evaluate(CUT, ".output-area") == []
    assert page.locator("[role=tablist]").count() == 0  # no choice of formats
    assert page.locator("math").first.is_visible()
    rows = page.evaluate(
        "[...document.querySelectorAll('mtd')].map((e) => getComputedStyle(e).paddingTop)"
    )
    assert "0px" not in rows
    assert page.get_by_text("4 / 4").count() == 1
    # What is changed in the page, Python hears of.
    [frame] = [one for one in page.frames if one.title().startswith("Backpropagation")]
    frame.locator(".node[data-node]").first.click()
    frame.locator(".field").fill("2.5")
    frame.locator(".field").press("Enter")
    page.wait_for_timeout(500)
    page.get_by_role("button", name="ask").click()
    page.get_by_text("told {").wait_for(timeout=20_000)
    assert "2.5" in page.get_by_text("told {").inner_text()
    page.close()


# ---- The bar of fit ----------------------------------------------------------------------------

TRAINING = """\
from microgradlike import fit, losses, nn
X, y = [[0.0], [1.0]], [1.0, -1.0]
history = fit(nn.MLP(1, [1], seed=0), X, y, loss=losses.mse, epochs=4)"""


def outputs_of(text: str) -> list[Any]:
    """What a fresh kernel shows of a cell."""
    made = new_notebook(cells=[new_code_cell(text)])
    NotebookClient(made, timeout=120).execute()
    return list(made.cells[0].outputs)


def test_jupyter_shows_its_own_bar() -> None:
    [bar] = [one for one in outputs_of(TRAINING) if room.WIDGET in one.get("data", {})]
    assert "4/4 [" in bar.data["text/plain"]  # at its end, where no widget is shown


def test_the_rate_of_the_bar_is_that_of_all_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = [0.0], io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    with training._bar(30, True) as show:
        [bar] = tqdm._instances
        bar.start_t = bar.last_print_t = 0.0
        bar._time = lambda: now[0]
        for seconds in (10.0, *[0.1] * 29):  # the first one compiles
            now[0] += seconds
            show(training.History(loss=[1.0]))
        assert "2.33epoch/s" in str(bar)


def test_where_jupyter_has_no_widgets_the_bar_is_one_line() -> None:
    hidden = "import sys\nsys.modules['ipywidgets'] = None\n"
    outputs = outputs_of(hidden + TRAINING)
    assert {one.get("name") for one in outputs} == {"stderr"}
    told = "".join(one.text for one in outputs)
    assert told.count("\n") == 1 and "Warning" not in told
    last = told.rstrip("\n").rpartition("\r")[2]
    assert last.startswith("100%") and "4/4" in last and "loss=" in last
