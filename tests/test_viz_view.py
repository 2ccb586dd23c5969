"""The options of pictures: every function has them all, each is checked once, and each does it."""

from __future__ import annotations

import ast
import inspect
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import viz
from microgradlike import Value, compile, fit, losses
from microgradlike.flow import gradients
from microgradlike.nn import MLP
from tests.browser import Visit
from viz import style
from viz.graph import Graph
from viz.moments import at
from viz.view import Options, Rendering, RenderingOptions, View
from viz.whole import whole

SVG = "{http://www.w3.org/2000/svg}"


def expression() -> tuple[Value, Value]:
    """Two paths from a leaf, and a constant; the leaf, and the result."""
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    y = (a * b).sin() + a**2 * 0.5
    y.label = "y"
    return a, y


def chain_of_results() -> list[Value]:
    """Three results, of which the last was computed from the others."""
    x = Value(3.0, label="x")
    h, g = x * 2, x + 1
    r = h * g
    h.label, g.label, r.label = "h", "g", "r"
    return [h, g, r]


# ---- Each function that draws a graph, as the text of what it drew -----------------------------


def drawn(root: Any, folder: Path, **options: Any) -> str:
    root.backward() if isinstance(root, Value) else None
    return viz.draw(root, **options).svg()


def drawn_as_dot(root: Any, folder: Path, **options: Any) -> str:
    root.backward() if isinstance(root, Value) else None
    return str(viz.draw_dot(root, **options).pipe("svg", encoding="utf-8"))


def animated(root: Any, folder: Path, **options: Any) -> str:
    return viz.animate(root, folder / "flow.svg", **options).read_text(encoding="utf-8")


def last_frame(root: Any, folder: Path, **options: Any) -> str:
    return viz.frames(root, folder / "frames", **options)[-1].read_text(encoding="utf-8")


def page(root: Any, folder: Path, **options: Any) -> str:
    saved = viz.save_stepper(root, folder / "page.html", **options).read_text(encoding="utf-8")
    assert saved == viz.Stepper(root, **options).html()
    return saved


Draws = Callable[..., str]
GRAPHS: list[Draws] = [drawn, drawn_as_dot, animated, last_frame, page]
IN_MOTION: list[Draws] = [animated, last_frame, page]

WRONG: list[tuple[str, dict[str, Any], type[Exception]]] = [
    ("rankdir is 'LR'", {"rankdir": "XX"}, ValueError),
    ("no engine 'neato'", {"engine": "neato"}, ValueError),
    ("theme is 'auto'", {"theme": "blue"}, ValueError),
    ("colours gives ink", {"colours": {"sky": "blue"}}, ValueError),
    (
        "but got 'positive': 'greeeen'; did you mean 'green'",
        {"colours": {"positive": "greeeen"}},
        ValueError,
    ),
    ("fold is True, False, or None", {"fold": 1}, TypeError),
    ("constants is True or False, but got 'no'", {"constants": "no"}, TypeError),
    ("gradients is True or False, but got None", {"gradients": None}, TypeError),
    ("highlight is a Value of the graph, or None, but got 'a'", {"highlight": "a"}, TypeError),
    ("not computed from", {"highlight": Value(1.0)}, ValueError),
    ("names is a dict of names", {"names": 3}, TypeError),
    ("has no option 'rankdr'; did you mean 'rankdir'", {"rankdr": "TB"}, TypeError),
    (r"has no option 'wings'; it has .*fold, names", {"wings": 2}, TypeError),
]


# ---- One place ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "kind"), [(Options, View), (RenderingOptions, Rendering)])
def test_the_keywords_are_the_fields(options: Any, kind: Any) -> None:
    typed = {
        name: getattr(written, "__forward_arg__", written)
        for name, written in options.__annotations__.items()
    }
    assert typed == {field.name: field.type for field in fields(kind)}


@pytest.mark.parametrize(
    "function", [viz.draw, viz.draw_dot, viz.animate, viz.frames, viz.save_stepper, viz.Stepper]
)
def test_signatures_name_every_option_with_its_default(function: Any) -> None:
    parameters = inspect.signature(function).parameters
    for field in fields(View):
        assert parameters[field.name].default == field.default
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())


@pytest.mark.parametrize(
    "function",
    [viz.draw_network, viz.draw_compiled, viz.save_movie, viz.save_stages, viz.save_lesson],
)
def test_signatures_of_other_pictures_too(function: Any) -> None:
    parameters = inspect.signature(function).parameters
    assert {"engine", "theme", "colours"} <= parameters.keys() and "rankdir" not in parameters


def test_no_other_file_gives_an_option_a_default() -> None:
    """A default in a second place could become another one."""
    options = {field.name for field in fields(View)} - {"names"}  # those of a network are others
    found = {
        (path.name, function.name, argument.arg)
        for path in Path(viz.__file__).parent.glob("*.py")
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
        for argument in _with_default(function.args)
        if argument.arg in options
    }
    assert found == {
        ("render.py", "layout", "engine"),  # these three know nothing of views
        ("render.py", "finish", "theme"),
        ("style.py", "stylesheet", "theme"),
        ("drawing.py", "draw_dot", "rankdir"),  # it is micrograd's, whose third argument that is
    }


def _with_default(arguments: ast.arguments) -> list[ast.arg]:
    by_place = arguments.args[len(arguments.args) - len(arguments.defaults) :]
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return [*by_place, *(argument for argument, default in pairs if default is not None)]


@pytest.mark.parametrize("draws", GRAPHS)
@pytest.mark.parametrize(("words", "options", "error"), WRONG)
def test_a_wrong_option_is_one_sentence(
    draws: Draws, words: str, options: dict[str, Any], error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error, match=words) as caught:
        draws(expression()[1], tmp_path, **options)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("draws", IN_MOTION)
def test_what_plays_the_error_cannot_leave_it_out(draws: Draws, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gradients=False leaves out; draw\(root, gradients=Fal"):
        draws(expression()[1], tmp_path, gradients=False)
    assert list(tmp_path.iterdir()) == []


# ---- Each option does the same everywhere ------------------------------------------------------


@pytest.mark.parametrize("draws", GRAPHS)
def test_constants_can_be_left_out(draws: Draws, tmp_path: Path) -> None:
    _, y = expression()
    shown = 'class="node constant"', "bare number: constant", "constant 0.5 in"
    assert all(words in draws(y, tmp_path) for words in shown)
    assert not any(words in draws(y, tmp_path, constants=False) for words in shown)


@pytest.mark.parametrize("draws", GRAPHS)
@pytest.mark.parametrize(("rankdir", "sign"), [("RL", "►"), ("BT", "▼"), ("LR", "◄"), ("TB", "▲")])
def test_the_error_goes_against_the_data(
    draws: Draws, rankdir: str, sign: str, tmp_path: Path
) -> None:
    text = draws(expression()[1], tmp_path, rankdir=rankdir)
    assert f">{sign} +1<" in text
    places: dict[str, tuple[float, float]] = {}
    for group in re.findall(r'<g class="node.*?</g>', text, re.DOTALL):
        name = re.search(r">([aby])</text>", group)
        if name:
            found = re.search(r'<text [^>]*?x="([-\d.]+)" y="([-\d.]+)"', group)
            assert found is not None
            places.setdefault(name[1], (float(found[1]), float(found[2])))
    along = {"LR": (0, 1), "RL": (0, -1), "TB": (1, 1), "BT": (1, -1)}[rankdir]
    assert along[1] * places["a"][along[0]] < along[1] * places["y"][along[0]]


@pytest.mark.parametrize("draws", GRAPHS)
def test_one_path_is_pointed_out(draws: Draws, tmp_path: Path) -> None:
    a, y = expression()
    text = draws(y, tmp_path, highlight=a)
    assert "marked: the largest path to a, which brings −2.88" in text
    svg = re.search(r"<svg.*?</svg>", text, re.DOTALL)
    assert svg is not None
    root = ElementTree.fromstring(svg[0] if "<html" in text else text)
    marked = set()
    for group in root.iter(f"{SVG}g" if "}" in root.tag else "g"):
        outlines = [part for part in group if part.get("stroke") == style.ACTIVE]
        if any(part.get("class") != "sender" for part in outlines):
            marked.add(group.get("data-name"))
    named = {"v0", "v2", "v3", "v6"} if draws is not page else {"a", "v2", "v3", "y"}
    assert marked == named
    assert style.ACTIVE not in re.sub("<style.*?</style>", "", drawn(y, tmp_path), flags=re.DOTALL)


@pytest.mark.parametrize("draws", GRAPHS)
def test_names_of_list_elements(draws: Draws, tmp_path: Path) -> None:
    w = [Value(1.0), Value(2.0)]
    text = draws(w[0] * w[1] + 1, tmp_path, names={"w": w})
    assert ">w[0]</text>" in text and ">w[1]</text>" in text


@pytest.mark.parametrize("draws", [d for d in GRAPHS if d is not page])
def test_a_dark_picture_has_no_light_colour(draws: Draws, tmp_path: Path) -> None:
    a, y = expression()
    dark = draws(y, tmp_path, theme="dark", highlight=a)
    painted = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', dark))
    assert painted <= set(style.DARK.values())
    only_light = set(style.DARK) - set(style.DARK.values())
    assert not only_light & set(re.findall(r"#[0-9a-f]{6}", dark))
    assert "prefers-color-scheme" not in dark


@pytest.mark.parametrize("draws", GRAPHS)
def test_a_colour_can_be_chosen(draws: Draws, tmp_path: Path) -> None:
    text = draws(expression()[1], tmp_path, colours={"positive": "green"})
    if draws is page:
        assert text.count("--cd55e00:green") == text.count("--ca63604:green") == 3
    else:
        assert 'stroke="green"' in text and style.POSITIVE not in text.partition("</style>")[2]


def test_a_path_is_pointed_out_where_one_arrow_leads_to_a_whole_layer() -> None:
    model = MLP(2, [3, 1], seed=0)
    loss = model([0.5, -1.0]) * 0.001 + sum(p * p for p in model.parameters())
    loss.backward()
    weight = model.layers[0].neurons[1].w[0]
    source = viz.draw(loss, fold=True, highlight=weight).source
    arrows = [line for line in source.splitlines() if "class=error" in line]
    aside = [line for line in arrows if line.count(f'color="{style.BORDER}"')]
    (to_layer,) = (line for line in arrows if re.match(r"\s*l0 -> ", line))
    assert to_layer not in aside
    assert len(arrows) - len(aside) == 2  # from the result to the penalty, and on to the layer


# ---- Pages -------------------------------------------------------------------------------------


def colour_of(tab: Any, selector: str, what: str) -> str:
    script = f"getComputedStyle(document.querySelector({selector!r})).{what}"
    return str(tab.page.evaluate(script))


def test_a_page_begins_in_its_theme_and_the_reader_may_change_it(
    visit: Visit, tmp_path: Path
) -> None:
    tab = visit(viz.save_stepper(expression()[1], tmp_path / "page.html", theme="dark"))
    assert colour_of(tab, "body", "backgroundColor") == "rgb(15, 20, 25)"
    assert tab.page.get_attribute(".theme", "aria-label") == "Colours: dark"
    tab.page.click(".theme")
    tab.page.click(".theme")
    assert tab.page.get_attribute(".theme", "aria-label") == "Colours: light"
    assert colour_of(tab, "body", "backgroundColor") == "rgb(255, 255, 255)"
    assert tab.complaints == []


def test_chosen_colours_of_a_page_stay_in_both_themes(visit: Visit, tmp_path: Path) -> None:
    colours = {"page": "beige", "positive": "green"}
    tab = visit(viz.save_stepper(expression()[1], tmp_path / "page.html", colours=colours))
    tab.press("End")
    for _ in range(3):
        assert colour_of(tab, "body", "backgroundColor") == "rgb(245, 245, 220)"
        assert colour_of(tab, ".edge[data-contribution='1.0'] path", "stroke") == "rgb(0, 128, 0)"
        tab.page.click(".theme")


def test_who_is_at_work_is_seen_on_a_path_that_is_pointed_out(visit: Visit, tmp_path: Path) -> None:
    a, y = expression()
    tab = visit(viz.save_stepper(y, tmp_path / "page.html", highlight=a))
    tab.press("End")
    tab.press("ArrowLeft")
    active = colour_of(tab, ".node.active .outline", "stroke")
    path = colour_of(tab, "[data-node=v0] .outline", "stroke")
    assert active != path
    assert tab.complaints == []


# ---- Several results ---------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2), (2, 0)])
def test_each_result_has_a_gradient_of_its_own_from_the_beginning(order: tuple[int, ...]) -> None:
    made = chain_of_results()
    results = [made[place] for place in order]
    scene = whole(Graph.of(results, afresh=True))
    first, last = (
        {box.heading: box.grad for box in at(scene, step).boxes if box.kind != "constant"}
        for step in (0, len(scene.moves))
    )
    assert {name for name, grad in first.items() if grad == 1} == {r.label for r in results}
    assert set(first.values()) <= {1, None}
    engine = gradients(sum(results[1:], results[0]))
    assert last == {node.label: grad for node, grad in engine.items() if node.label}


@pytest.mark.parametrize("draws", GRAPHS)
@pytest.mark.parametrize("fold", [False, True])
def test_several_results_are_drawn(draws: Draws, fold: bool, tmp_path: Path) -> None:
    model = MLP(1, [2, 1], seed=0)
    loss = losses.mse(model([0.5]), 1.0)
    penalty = 0.1 * sum((p * p for p in model.parameters()), Value(0.0))
    loss.label, penalty.label = "loss", "penalty"
    text = draws([loss, penalty], tmp_path, fold=fold)
    assert len(re.findall('class="node result"|data-kind="result"', text)) >= 2
    assert ">loss</text>" in text and ">penalty</text>" in text


def test_a_page_tells_of_all_results(visit: Visit, tmp_path: Path) -> None:
    results = chain_of_results()
    tab = visit(viz.save_stepper(results, tmp_path / "page.html", lr=0.1))
    assert "h = 6, g = 4, r = 24" in str(tab.page.text_content(".heading"))
    tab.press("ArrowRight", 4)
    sentence = (
        "Start at h and g and r with 1 each: when one of them changes, their sum changes by "
        "exactly as much."
    )
    assert tab.page.text_content(".sentence") == sentence
    tab.press("End")
    shown = {
        n["data-label"]: n["data-grad"] for n in tab.each("[data-node]", "data-label", "data-grad")
    }
    total = results[0] + results[1] + results[2]
    engine = gradients(total)
    expected = {node.label: repr(engine[node]) for node in engine if node.label}
    assert shown == expected
    assert "(h + g + r) was 34 and is now" in str(tab.page.text_content(".sentence"))
    tab.page.click("[data-node=v0]")
    ways = [w["data-product"] for w in tab.each(".chosen li", "data-product")]
    assert sum(map(float, ways)) == float(expected["x"])
    assert tab.complaints == []


# ---- Pictures of other things ------------------------------------------------------------------


def test_networks_and_compiled_functions_have_themes_and_colours(tmp_path: Path) -> None:
    model = MLP(2, [3, 1], seed=0)
    w = Value(2.0, label="w")
    compiled = compile(lambda x: w * x).trace([1.0])
    for picture in (
        viz.draw_network(model, [1.0, -1.0], 0.5, theme="dark"),
        viz.draw_compiled(compiled, theme="dark"),
    ):
        painted = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', picture.svg()))
        assert painted and painted <= set(style.DARK.values())
    assert "green" in viz.draw_network(model, colours={"positive": "green"}).source
    with pytest.raises(TypeError, match="draw_compiled has no option 'rankdir'; it has engine"):
        viz.draw_compiled(compiled, rankdir="TB")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="theme is 'auto'"):
        viz.draw_network(model, theme="blue")
    history = fit(model, [[0.0, 1.0]], [1.0], loss=losses.mse, epochs=2, progress=False, record=1)
    movie = viz.save_movie(history, tmp_path / "movie.html", theme="light", colours={"ink": "navy"})
    text = movie.read_text(encoding="utf-8")
    assert '<html lang="en" data-theme="light">' in text and "--c111111:navy" in text
