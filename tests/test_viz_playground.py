"""The playground: the page trains as Python does, and what the reader sets by hand counts."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import viz
from microgradlike import Value, functions, losses, mean
from microgradlike.engine import custom
from microgradlike.flow import layer_runs
from microgradlike.nn import MLP, Module
from tests.browser import CONTRAST, Tab, Visit, each_width
from viz.playground import main
from viz.practice import SEEDS, Practice
from viz.style import number, short_signed

# ---- Networks to train -------------------------------------------------------------------------


class Case(NamedTuple):
    """A network, its examples, and how it learns."""

    model: MLP
    X: list[list[float]]
    y: list[Any]
    loss: Callable[[Any, Any], Any]
    lr: float

    def save(self, path: Path, **options: Any) -> Path:
        given: dict[str, Any] = {"loss": self.loss, "lr": self.lr} | options
        return viz.save_playground(self.model, self.X, self.y, path, **given)


def points(count: int, inputs: int, seed: int) -> list[list[float]]:
    draw = random.Random(seed)
    return [[draw.uniform(-1, 1) for _ in range(inputs)] for _ in range(count)]


def half_square(answer: Any, target: Any) -> Any:
    return (target - answer) ** 2 / 2


PLANE = points(9, 2, 0)
CASES = {
    "plane": Case(
        MLP(2, [3, 1], activation=["tanh", "sigmoid"], seed=7),
        PLANE,
        [0.8 if a * b < 0 else 0.2 for a, b in PLANE],
        half_square,
        1.0,
    ),
    "hinge": Case(
        MLP(2, [4, 4, 1], seed=1), PLANE, [1 if a > b else -1 for a, b in PLANE], losses.hinge, 0.1
    ),
    "classes": Case(
        MLP(3, [4, 3], activation="tanh", seed=2),
        points(7, 3, 1),
        [0, 1, 2, 0, 1, 2, 2],
        losses.cross_entropy,
        0.5,
    ),
    "logits": Case(
        MLP(1, [3, 1], activation="silu", seed=3),
        points(6, 1, 2),
        [0, 1, 1, 0, 1, 0],
        losses.binary_cross_entropy,
        0.5,
    ),
    "pairs": Case(
        MLP(2, [3, 2], activation=["gelu", "linear"], seed=4),
        PLANE,
        points(9, 2, 3),
        losses.mse,
        0.2,
    ),
}


def trained(case: Case, steps: int, one_at_a_time: bool) -> dict[str, float]:
    """The weights after some steps in Python."""
    model = copy.deepcopy(case.model)
    for step in range(steps):
        model.zero_grad()
        chosen = [step % len(case.X)] if one_at_a_time else range(len(case.X))
        mean([case.loss(model(case.X[k]), case.y[k]) for k in chosen]).backward()
        for parameter in model.parameters():
            parameter.data -= case.lr * parameter.grad
    return model.state_dict()


def in_order(model: MLP, state: dict[str, float]) -> list[float]:
    """The numbers in the order of the arrows: all weights, then all biases."""
    shape = [(k, n) for k, layer in enumerate(model.layers) for n in range(len(layer.neurons))]
    names = [
        f"layers.{k}.neurons.{n}.w.{source}"
        for k, n in shape
        for source in range(len(model.layers[k].neurons[n].w))
    ]
    return [state[name] for name in [*names, *(f"layers.{k}.neurons.{n}.b" for k, n in shape)]]


def weights(tab: Tab) -> list[float]:
    """The weights that the arrows of the page show, forward."""
    arrows = tab.each("[data-weight]", "data-weight", "data-value")
    arrows.sort(key=lambda arrow: int(arrow["data-weight"] or ""))
    return [float(arrow["data-value"] or "nan") for arrow in arrows]


WIDE = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"}


@pytest.fixture(scope="session")
def pages(shared_folder: Path) -> Callable[[str], Path]:
    def page(name: str) -> Path:
        file = shared_folder / f"playground {name}.html"
        return file if file.exists() else CASES[name].save(file)

    return page


@pytest.fixture
def open_page(browser: Any, pages: Callable[[str], Path]) -> Iterator[Callable[..., Tab]]:
    tabs: list[Tab] = []

    def opened(name: str, fragment: str = "", **options: Any) -> Tab:
        tabs.append(Tab(browser, pages(name), fragment, **(WIDE | options)))
        return tabs[-1]

    yield opened
    for tab in tabs:
        assert tab.complaints == []
        tab.context.close()


@pytest.fixture
def tab(open_page: Callable[..., Tab]) -> Tab:
    return open_page("plane")


# ---- It trains as Python does ------------------------------------------------------------------


#: As the key does; a page that is clicked many times at once is painted once.
STEP = "document.querySelector('.step').click()"


@pytest.mark.parametrize("name", CASES)
def test_twenty_steps_lead_to_the_weights_of_python(
    name: str, open_page: Callable[..., Tab]
) -> None:
    case = CASES[name]
    for mode in ("all", "one"):
        tab = open_page(name, f"#mode={mode}")
        assert weights(tab) == in_order(case.model, case.model.state_dict())
        tab.press("ArrowRight")
        tab.page.evaluate(f"{STEP}; " * 19)
        expected = in_order(case.model, trained(case, 20, mode == "one"))
        assert tab.step == 20
        assert weights(tab) == pytest.approx(expected, rel=1e-12, abs=1e-12)
        assert weights(tab) != in_order(case.model, case.model.state_dict())


def test_the_picture_shows_what_flows_forward_and_back(tab: Tab) -> None:
    case = CASES["plane"]
    tab.press("ArrowRight", 3)
    tab.page.select_option(".example", "4")
    model = copy.deepcopy(case.model)
    model.load_state_dict(trained(case, 3, False))
    runs = layer_runs(model, case.X[4])
    cost = case.loss(runs[-1].outputs[0], case.y[4])
    cost.backward()
    titles = (
        """() => [...document.querySelectorAll('[data-neuron] title')].map((t) => t.textContent)"""
    )
    told = tab.page.evaluate(titles)
    for title, z, a in zip(
        told[2:],
        [z for run in runs for z in run.sums],
        [a for run in runs for a in run.outputs],
        strict=True,
    ):
        assert f"= {number(z.data)}\n" in title and title.endswith(f"= {number(a.data)}")
        assert "δ" not in title
    tab.press("v")
    told = tab.page.evaluate(titles)
    for title, z in zip(told[2:], [z for run in runs for z in run.sums], strict=True):
        assert title.endswith(f"= {number(z.grad)}") and "δ = dC/dz" in title
    slopes = in_order(model, {name: p.grad for name, p in model.named_parameters()})
    assert weights(tab) == pytest.approx(slopes, rel=1e-12, abs=1e-15)
    turned = [e["transform"] for e in tab.each(".edge polygon", "transform")]
    assert turned and all(t and "rotate(180" in t for t in turned)
    assert f"of example 5: {cost.data:.3g}" in tab.page.inner_text(".count")
    wanted = case.y[4]
    error = wanted - runs[-1].outputs[0].data
    assert tab.page.evaluate(
        "[...document.querySelectorAll('[data-outcome] .line')].map((line) => line.textContent)"
    ) == [f"target {wanted}", f"error = target − answer = {short_signed(error)}"]


def test_formulas_have_the_numbers_filled_in(tab: Tab) -> None:
    case = CASES["plane"]
    tab.page.focus("[data-neuron]")
    tab.press("ArrowRight", 2)  # x0, its arrow to the first neuron, that neuron
    tab.press("Enter")
    neuron, (x0, x1) = case.model.layers[0].neurons[0], case.X[0]

    def factor(value: float) -> str:
        return f"({number(value)})" if value < 0 else number(value)

    terms = f"{factor(neuron.w[0].data)} × {factor(x0)} + {factor(neuron.w[1].data)} × {factor(x1)}"
    z = neuron.weighted_sum([x0, x1]).data
    told = tab.page.inner_text(".formulas").replace("\n\n", "\n").splitlines()
    assert told == [
        f"z = {terms} + 0 = {number(z)}",
        f"output = tanh(z) = tanh({number(z)}) = {number(functions.tanh(z))}",
    ]
    tab.press("v")
    assert "(slope of tanh)" in tab.page.inner_text(".formulas")


def test_other_weights_to_begin_with_are_those_of_a_seed(open_page: Callable[..., Tab]) -> None:
    case = CASES["plane"]
    tab = open_page("plane")
    for seed in range(SEEDS):
        tab.page.select_option(".beginning", str(seed + 1))
        drawn = MLP(2, [3, 1], activation=["tanh", "sigmoid"], seed=seed)
        assert weights(tab) == in_order(drawn, drawn.state_dict())
    tab.page.select_option(".beginning", "0")
    assert weights(tab) == in_order(case.model, case.model.state_dict())


# ---- By hand -----------------------------------------------------------------------------------

PLANE_OF_COLOURS = "document.querySelector('canvas').toDataURL()"


def test_a_typed_weight_counts_and_a_frozen_one_stays(tab: Tab) -> None:
    case = CASES["plane"]
    before, colours = weights(tab), tab.page.evaluate(PLANE_OF_COLOURS)
    cost = tab.page.inner_text(".count")
    tab.page.click('[data-number="0"]')
    tab.page.fill(".typed", "2.5")
    assert weights(tab) == [2.5, *before[1:]]
    assert tab.page.evaluate(PLANE_OF_COLOURS) != colours
    assert tab.page.inner_text(".count") != cost and "set=0" in tab.page.url.replace("%3A", ":")
    tab.page.check(".hold")
    tab.page.click(".step", click_count=5)
    model = copy.deepcopy(case.model)
    model.layers[0].neurons[0].w[0].data = 2.5
    for _ in range(5):
        model.zero_grad()
        mean([case.loss(model(x), y) for x, y in zip(case.X, case.y, strict=True)]).backward()
        for parameter in model.parameters()[1:]:
            parameter.data -= case.lr * parameter.grad
    assert weights(tab) == pytest.approx(in_order(model, model.state_dict()), abs=1e-12)
    tab.press("f")
    tab.page.click(".step")
    assert weights(tab)[0] != 2.5
    tab.press("r")
    assert tab.step == 0 and weights(tab) == before
    assert tab.page.evaluate(PLANE_OF_COLOURS) == colours


def test_a_weight_is_dragged(tab: Tab) -> None:
    before = weights(tab)
    tab.page.click('[data-number="2"]')
    tab.page.focus(".dragged")
    tab.press("ArrowRight", 10)
    assert weights(tab)[2] == pytest.approx(before[2] + 0.1, abs=0.02)
    assert weights(tab)[:2] == before[:2] and tab.step == 0


def test_what_is_typed_is_understood_or_told(tab: Tab) -> None:
    tab.page.click('[data-number="0"]')
    for text, value in (("0,5", 0.5), ("−.5e1", -5.0), ("+2", 2.0)):
        tab.page.fill(".typed", text)
        assert weights(tab)[0] == value and not tab.page.is_visible(".refused")
    for text, told in (("", "is empty"), ("two", "“two” is no number"), ("1e999", "too large")):
        tab.page.fill(".typed", text)
        assert weights(tab)[0] == 2 and told in tab.page.inner_text(".refused")
    tab.page.fill(".rate", "-1")
    assert tab.page.inner_text(".refused") == "This number is 0 or more."
    tab.page.fill(".rate", "0")
    tab.page.click(".step")
    assert weights(tab)[0] == 2 and tab.step == 1


def test_the_address_has_what_was_set(open_page: Callable[..., Tab]) -> None:
    tab = open_page("plane")
    tab.page.fill(".rate", "0.25")
    tab.page.select_option(".mode", "one")
    tab.page.select_option(".beginning", "2")
    tab.page.click('[data-number="1"]')
    tab.page.fill(".typed", "-1.25")
    tab.page.check(".hold")
    other = open_page("plane", tab.page.url.partition(".html")[2])
    for page in (tab, other):
        page.page.click(".step", click_count=3)
    assert weights(tab) == weights(other) and weights(other)[1] == -1.25
    assert tab.page.inner_text(".count") == other.page.inner_text(".count")
    case = CASES["plane"]
    for fragment in ("#lr=-1&example=99&weights=x&frozen=,,99&set=5:a,:", "#mode=%", "#step=3"):
        other.page.evaluate(f"location.hash = '{fragment}'")
        other.until("document.querySelector('.stepper').dataset.step === '0'")
        assert weights(other) == in_order(case.model, case.model.state_dict())
        other.page.click(".step")


def test_it_plays_until_it_is_stopped(tab: Tab) -> None:
    tab.page.select_option(".speed", "0")
    tab.page.focus("h1")
    tab.press("Space")
    tab.until("Number(document.querySelector('.stepper').dataset.step) > 10")
    assert tab.page.inner_text(".play") == "Pause"
    tab.press("Space")
    step = tab.step
    tab.page.wait_for_timeout(100)
    assert tab.step == step and tab.page.inner_text(".play") == "Play"
    assert tab.page.text_content(".spoken") == tab.page.inner_text(".count")
    assert len((tab.each(".loss", "points")[0]["points"] or "").split()) > 2


def test_a_rate_that_is_too_large_is_told(open_page: Callable[..., Tab]) -> None:
    tab = open_page("pairs", "#lr=1e99")
    tab.press("ArrowRight", 12)
    assert "the learning rate is too large" in tab.page.inner_text(".sentence")
    assert tab.step < 12
    tab.press("r")
    assert weights(tab) == in_order(CASES["pairs"].model, CASES["pairs"].model.state_dict())


def test_a_point_is_clicked(tab: Tab) -> None:
    tab.page.locator(".point").nth(3).dispatch_event("click")
    assert tab.page.input_value(".example") == "3" and "example=4" in tab.page.url
    assert "of example 4" in tab.page.inner_text(".count")


def test_the_curve_and_the_plane_follow_the_weights(open_page: Callable[..., Tab]) -> None:
    case = CASES["logits"]
    tab = open_page("logits")
    tab.press("ArrowRight", 4)
    line = tab.each(".points .line", "points")[0]["points"]
    before = open_page("logits").each(".points .line", "points")[0]["points"]
    assert line != before
    model = copy.deepcopy(case.model)
    model.load_state_dict(trained(case, 4, False))
    low, high = min(x for (x,) in case.X), max(x for (x,) in case.X)
    begin = low - 0.15 * (high - low)
    heights = 8 + (1 - (model([begin]).data + 4.5) / 9) * 168  # from -4.5 to 4.5: logits
    assert float((line or "").split()[0].split(",")[1]) == pytest.approx(heights, abs=0.06)
    without = open_page("classes")
    assert not without.page.locator(".plane").is_visible()
    assert "has 3 inputs" in without.page.inner_text(".region")


# ---- The rules of pages ------------------------------------------------------------------------


def test_the_page_follows_the_rules_of_pages(
    visit: Visit, pages: Callable[[str], Path], view: dict[str, Any]
) -> None:
    page = pages("plane")
    tab = visit(page)
    for keys in ("v", "v", "v"):
        tab.press("ArrowRight", 10)
        tab.press(keys)
        assert tab.page.evaluate(CONTRAST) == []
        inside = tab.page.evaluate("document.documentElement.scrollWidth")
        assert inside <= view["viewport"]["width"]
    assert tab.requests == [page.as_uri()] and tab.complaints == []


def test_everything_needed_is_in_the_first_screen(tab: Tab) -> None:
    tab.press("v")
    for what in (".settings", ".view svg", ".count", ".plane", ".loss-curve", ".transport"):
        box = tab.page.locator(what).bounding_box()
        assert box and box["y"] >= 0 and box["y"] + box["height"] <= 800, what
    covered = """() => ['.graph', '.panel'].some((what) =>
        document.querySelector(what).getBoundingClientRect().bottom
        > document.querySelector('.transport').getBoundingClientRect().top + 1)"""
    assert not tab.page.evaluate(covered)


def test_numbers_are_in_the_middle_of_their_circles(tab: Tab) -> None:
    off = """() => [...document.querySelectorAll('[data-neuron]')].flatMap((neuron) => {
        const middle = (part) => (({x, width}) => x + width / 2)(part.getBBox());
        const circle = middle(neuron.querySelector('.outline'));
        return [...neuron.querySelectorAll('text')].map((text) => Math.abs(middle(text) - circle));
    })"""
    tab.press("v")
    assert max(tab.page.evaluate(off)) < 1


def test_paper_is_light_and_shows_all(open_page: Callable[..., Tab]) -> None:
    tab = open_page("plane", viewport={"width": 760, "height": 1000})
    light = tab.page.evaluate(PLANE_OF_COLOURS)
    dark = open_page("plane", viewport={"width": 760, "height": 1000}, color_scheme="dark")
    assert dark.page.evaluate(PLANE_OF_COLOURS) != light
    dark.page.emulate_media(media="print")
    dark.until(f"{PLANE_OF_COLOURS} === '{light}'")
    frame, picture = (
        dark.page.locator(what).bounding_box() for what in ("section.graph", ".view svg")
    )
    assert frame and picture
    assert picture["y"] + picture["height"] <= frame["y"] + frame["height"]


def test_without_javascript_it_says_something_true(open_page: Callable[..., Tab]) -> None:
    tab = open_page("plane", java_script_enabled=False)
    told = tab.page.inner_text(".panel")
    assert "With JavaScript this page trains the network." in told and "Mean cost" in told
    assert tab.page.locator(".view svg").is_visible()
    assert f"target {CASES['plane'].y[0]}" in tab.page.inner_text(".view")
    assert not tab.page.locator(".play").is_visible()


def test_a_projector_shows_the_picture_large(open_page: Callable[..., Tab]) -> None:
    tab = open_page("plane", viewport={"width": 1920, "height": 1080})
    small = tab.smallest()
    tab.press("p")
    assert "projector" in tab.page.url and tab.smallest() > small
    assert tab.page.evaluate("document.documentElement.scrollHeight") <= 1080


@each_width
def test_a_folded_picture_is_told(visit: Visit, tmp_path: Path) -> None:
    model = MLP(2, [12, 1], seed=0)
    tab = visit(viz.save_playground(model, PLANE, [1.0] * 9, tmp_path / "a.html"))
    assert "4 neurons learn unseen" not in tab.page.inner_text(".shows")
    assert re.search(r"folded: \d+ neurons learn unseen", tab.page.inner_text(".shows"))
    tab.press("ArrowRight")
    assert tab.step == 1 and tab.complaints == []


def test_a_notebook_is_told_the_weights(browser: Any, tmp_path: Path) -> None:
    case = CASES["plane"]
    made = viz.Playground(case.model, case.X, case.y, loss=case.loss, lr=case.lr)
    page = tmp_path / "notebook.html"
    listen = "<script>said = []; onmessage = ({data}) => said.push(data.microgradlike)</script>"
    page.write_text(f"<!doctype html>{listen}{made._repr_html_()}", encoding="utf-8")
    tab = Tab(browser, page, **WIDE)
    for _ in range(3):
        tab.page.frame_locator("iframe").locator(".step").click()
    tab.until("said.length && said.at(-1).steps === 3")
    state = tab.page.evaluate("said.at(-1).weights")
    model = copy.deepcopy(case.model)
    model.load_state_dict(state)
    assert model.state_dict() == pytest.approx(trained(case, 3, False), rel=1e-12, abs=1e-12)
    assert tab.complaints == []
    tab.context.close()


# ---- What it is made of ------------------------------------------------------------------------


def test_examples_of_one_shape_share_a_graph(pages: Callable[[str], Path]) -> None:
    shapes = dict.fromkeys(CASES, 1) | {"classes": 3, "logits": 2}
    for name, count in shapes.items():
        page = pages(name).read_text(encoding="utf-8")
        story = re.search(r'class="story">(.*?)</script>', page, re.S)
        assert story and len(json.loads(story[1])["shapes"]) == count


def test_the_model_is_left_as_it_was() -> None:
    case = CASES["hinge"]
    before = case.model.state_dict()
    Practice(case.model, case.X, case.y, case.loss)
    assert case.model.state_dict() == before
    assert all(parameter.grad == 0 for parameter in case.model.parameters())


def cubed(x: Value) -> Value:
    return custom(x.data**3, [x], [3 * x.data**2])


class Tied(Module):
    """Both layers have one weight."""

    def __init__(self) -> None:
        self.layers = MLP(1, [1, 1], activation="tanh", seed=0).layers
        self.layers[1].neurons[0].w = self.layers[0].neurons[0].w

    def __call__(self, x: Sequence[Any]) -> Any:
        return self.layers[1]([self.layers[0](x)])


def test_a_weight_that_two_arrows_share_moves_once(browser: Any, tmp_path: Path) -> None:
    model = Tied()
    tab = Tab(browser, viz.save_playground(model, [[1.0]], [2.0], tmp_path / "a.html", lr=0.1))
    tab.press("ArrowRight", 2)
    for _ in range(2):
        model.zero_grad()
        losses.mse(model([1.0]), 2.0).backward()
        for parameter in model.parameters():
            parameter.data -= 0.1 * parameter.grad
    weight = model.layers[0].neurons[0].w[0].data
    assert weights(tab)[:2] == pytest.approx([weight, weight], rel=1e-12)
    tab.context.close()


# ---- Bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"model": len}, TypeError, "a model with layers is needed"),
        ({"X": [[1.0, 2.0, 3.0]] * 9}, ValueError, "takes 2 inputs, but got 3"),
        ({"X": [1.0, 2.0]}, ValueError, "X has the shape"),
        ({"y": [1, -1]}, ValueError, "one entry for each example, but got 9 and 2"),
        ({"X": [[float("nan"), 1.0]] * 9}, ValueError, "X contains NaN or infinity"),
        ({"y": ["a"] * 9}, TypeError, "y is an array"),
        ({"y": [2] * 9}, ValueError, "hinge takes the labels"),
        ({"loss": 3}, TypeError, "loss is a function"),
        ({"loss": lambda output, target: 1.0}, TypeError, "the loss of an example is a Value"),
        ({"loss": lambda output, target: cubed(output)}, ValueError, "made by custom"),
        ({"loss": losses.huber}, ValueError, "branches on the answer"),
        ({"loss": lambda o, t: o * float(o)}, ValueError, "takes the number of an answer out"),
        ({"lr": -1}, ValueError, "lr, the learning rate, is a number from 0"),
        ({"path": "a.svg"}, ValueError, r"the name of a page ends in \.html"),
        ({"names": [["a"]]}, ValueError, "names has a list for each column"),
        ({"layers": ["one"]}, ValueError, "layers has a name for each of the 4 columns"),
        ({"most_neurons": 2}, ValueError, "most_neurons is an int of 3 or more"),
        ({"back": 3}, TypeError, "back is the address"),
        ({"themes": "dark"}, TypeError, "save_playground has no option 'themes'"),
        (
            {"model": MLP(2, [40, 40, 1], seed=0), "X": points(90, 2, 0), "y": [1] * 90},
            ValueError,
            "a page is quick up to 400,000",
        ),
    ],
)
def test_bad_input(
    changes: dict[str, Any], error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    case = CASES["hinge"]
    given: dict[str, Any] = {"model": case.model, "X": case.X, "y": case.y, "loss": case.loss}
    given |= {"path": "a.html"} | changes
    given["path"] = tmp_path / given["path"]
    with pytest.raises(error, match=sentence):
        viz.save_playground(**given)
    assert list(tmp_path.iterdir()) == []


# ---- From a terminal ---------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["company", "neuron", "two-paths", "square-error"])
def test_pages_that_have_a_name(what: str, tmp_path: Path) -> None:
    main([what, "--out", str(tmp_path / "a.html")])
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert f'still {"playground" if what == "company" else "stepper"}"' in page


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["w*x + b", "w=1", "x=2"], r"the name b has no number: add one, such as b=0\.5"),
        (["w", "w=one"], "'w=one' gives no name a number"),
        (["__import__('os').remove('a')"], "which is not allowed: it has numbers"),
        (["company", "w=1"], "the company takes no numbers"),
        (["w", "w=1", "--out", "a.svg"], r"the name of a page ends in \.html"),
        (["w", "w=1", "--ouput"], "unrecognized arguments: --ouput"),
    ],
)
def test_what_is_refused_at_a_terminal(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    told = capsys.readouterr().err
    assert re.search(sentence, told) and "Traceback" not in told


def test_a_page_says_where_another_number_takes_another_branch(tmp_path: Path) -> None:
    main(["x**2 if x > 1 else x", "x=2", "--out", str(tmp_path / "a.html")])
    assert "What is shown is the old one. (x**2 if x " in (tmp_path / "a.html").read_text(
        encoding="utf-8"
    )


def test_an_expression_may_begin_with_a_minus(tmp_path: Path) -> None:
    main(["-w*2", "w=1", "--out", str(tmp_path / "a.html")])
    assert (tmp_path / "a.html").exists()
