"""Pictures of a graph: changed numbers, sizes, other renderers, labels, options."""

# ruff: noqa: RUF001

from __future__ import annotations

import io
import json
import math
import re
import shutil
import subprocess
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cairosvg  # type: ignore[import-untyped,import-not-found,unused-ignore]
import numpy
import pytest
import resvg_py
from PIL import Image

from microgradlike import Value, optim, tanh
from microgradlike.flow import by_value, explain
from microgradlike.nn import MLP
from viz import Stepper, animate, draw, draw_dot, frames, style
from viz.graph import Graph
from viz.whole import whole

SVG = "{http://www.w3.org/2000/svg}"
SINCE = "changed since"


def step_after(order: int = 1) -> tuple[Value, list[Value]]:
    w, x, b = Value(-0.5, label="w"), Value(2.0, label="x"), Value(1.0, label="b")
    h = w * x
    h.label = "h"
    y = tanh(h + b) ** order
    y.label = "y"
    y.backward()
    return y, [w, x, b, h]


def equations_hold(symbols: str) -> None:
    for line in symbols.splitlines():
        if line.startswith("#"):
            continue
        *_, computed, result = line.split(" = ")
        if "/d" in computed:
            continue
        names = {"tanh": math.tanh, "exp": math.exp}
        assert eval(computed, names) == pytest.approx(float(result), rel=0.02), line


# ---- C1 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("places", [[0], [1], [0, 2], [0, 1, 2], [3], [0, 3]])
def test_C1_a_picture_of_changed_numbers_is_true_and_says_so(
    places: list[int], tmp_path: Path
) -> None:
    y, values = step_after()
    before = [(v.data, v.grad) for v in (y, *values)]
    for place in places:
        values[place].data = 0.3 + place
    now = [(v.data, v.grad) for v in (y, *values)]
    assert now != before
    told = explain(y, values[0])
    for form in (told.words, told.symbols, told.latex, told.mathml, str(told)):
        assert SINCE in form.lower()
    equations_hold(told.symbols)
    w, x, b = (v.data for v in values[:3])
    slope = 1 - math.tanh(w * x + b) ** 2
    assert told.gradient == pytest.approx(slope * x)
    scene = whole(Graph.of(y))
    assert {box.heading: box.grad for box in scene.boxes}["w"] == pytest.approx(slope * x)
    assert not any("arrows bring" in line for box in scene.boxes for line in box.lines)
    picture = draw(y)
    assert SINCE in repr(picture) and SINCE in picture.source
    assert SINCE in animate(y, tmp_path / "y.svg").read_text()
    assert SINCE in Stepper(y).html()
    assert now == [(v.data, v.grad) for v in (y, *values)]


def test_C1_the_recorded_picture_is_shown_where_only_a_result_was_overwritten() -> None:
    y, (_, _, _, h) = step_after()
    recorded = explain(y, h).gradient
    h.data = 5.0
    assert explain(y, h).gradient == recorded


def test_C1_an_optimisers_step_on_a_network_of_any_depth() -> None:
    model = MLP(2, [3, 1], activation="tanh", seed=0)
    loss = (model([0.5, -1.0]) - 1) ** 2
    loss.backward()
    assert SINCE not in draw(loss).source
    optim.SGD(model.parameters(), lr=0.5).step()
    assert SINCE in draw(loss).source and SINCE in draw(loss, fold=True).source
    x = y = Value(0.5)
    for _ in range(3000):
        y = y.sin()
    x.data = 0.7
    assert SINCE in repr(draw(y))


def test_C1_without_backward_no_error_is_shown_of_changed_numbers() -> None:
    x = Value(2.0)
    y = x * 3
    x.data = 5.0
    source = draw(y).source
    assert SINCE in source and "backward() has not been run" in source and ">15<" in source


@pytest.mark.parametrize("change", ["zero", "clip", "earlier", "later"])
def test_C1_gradients_of_other_passes_are_told_apart(change: str) -> None:
    x = Value(3.0, label="x")
    y = x * 5
    if change == "earlier":
        (x * 2).backward()
    y.backward()
    if change == "later":
        (x * 2).backward()
    x.grad = {"zero": 0.0, "clip": 0.1}.get(change, x.grad)
    source = draw(y).source
    assert "the arrows bring +5" in source and "there before" not in source


def test_C1_numbers_that_are_nan_have_not_changed() -> None:
    y = Value(-1.0).log() * 2
    y.backward()
    assert SINCE not in draw(y).source


# ---- C2 ----------------------------------------------------------------------------------------


def chain(length: int, weights: bool = False) -> Value:
    y = Value(0.5)
    for _ in range(length):
        y = (y * (Value(1.1) if weights else 1.1)).tanh()
    y.backward()
    return y


def size(picture: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(picture)).size


def test_C2_a_png_has_at_most_16_million_pixels() -> None:
    picture = draw(chain(60))
    with pytest.warns(UserWarning, match="million pixels"):
        width, height = size(picture.pipe("png", dpi=600))
    assert 8e6 < width * height <= 16.2e6


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("rankdir", ["LR", "TB"])
def test_C2_a_chain_is_a_straight_line(weights: bool, rankdir: str) -> None:
    def across(length: int) -> float:
        svg = ElementTree.fromstring(draw(chain(length, weights), rankdir=rankdir).svg())
        return float(svg.attrib["height" if rankdir == "LR" else "width"])

    assert across(40) < 1.2 * across(10)


# ---- C3 and C4 ---------------------------------------------------------------------------------


def pixels(png: bytes) -> Any:
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    flat = Image.alpha_composite(white, image).convert("L").resize((400, 220))
    return numpy.asarray(flat, float)


def by_rsvg(svg: str) -> bytes:
    run = subprocess.run(["rsvg-convert"], input=svg.encode(), capture_output=True, check=True)
    return run.stdout


RENDERERS: dict[str, Callable[[str], bytes]] = {
    "cairo": lambda svg: bytes(cairosvg.svg2png(bytestring=svg.encode())),
    "resvg": lambda svg: bytes(resvg_py.svg_to_bytes(svg_string=svg)),
}
if shutil.which("rsvg-convert"):
    RENDERERS["rsvg"] = by_rsvg


@pytest.mark.parametrize("moving", [False, True])
def test_C3_every_renderer_shows_what_a_browser_shows(
    browser: Any, tmp_path: Path, moving: bool
) -> None:
    y, _ = step_after()
    svg = draw(y).svg()
    if moving:
        svg = animate(y, tmp_path / "y.svg").read_text()
    page = browser.new_page(reduced_motion="reduce")
    page.set_content(f"<body style='margin:0'>{svg}</body>")
    expected = pixels(page.locator("svg").screenshot())
    page.close()
    for name, rendered in RENDERERS.items():
        difference = numpy.abs(pixels(rendered(svg)) - expected)
        assert difference.mean() < 6, name
        assert expected.mean() > 200


def test_C3_what_the_sheet_says_only_a_browser_needs() -> None:
    y, _ = step_after()
    svg = ElementTree.fromstring(draw(y).svg())
    assert "style" not in svg.attrib and svg.attrib["font-family"]
    sheet = svg.find(f"{SVG}style")
    assert sheet is not None and "var(" not in str(sheet.text)


def test_C4_two_animations_on_one_page_do_not_meet(tmp_path: Path) -> None:
    a, b = Value(2.0, label="a"), Value(3.0, label="b")
    one = animate(a * b, tmp_path / "one.svg").read_text()
    two = animate(a + b, tmp_path / "two.svg").read_text()
    names = []
    for svg in (one, two):
        root = ElementTree.fromstring(svg)
        own = root.attrib["id"]
        sheet = str(root.find(f"{SVG}style").text)  # type: ignore[union-attr]
        names.append(set(re.findall(r"@keyframes ([\w-]+)", sheet)))
        assert all(name.startswith(own) for name in names[-1])
        flat = re.sub(r"\([^()]*\)", "", sheet)  # what is in :is(...) is part of a selector
        for selector in re.findall(r"(?:^|[{}\n,])\s*([.#][^{},@]+)\{", flat):
            assert selector.startswith(f"#{own}"), selector
        assert "--beat" not in svg
    assert names[0].isdisjoint(names[1])


def test_C4_a_press_plays_it_again(tmp_path: Path, browser: Any) -> None:
    y, _ = step_after()
    page = browser.new_page()
    page.goto(animate(y, tmp_path / "y.svg").as_uri())
    running = "document.getAnimations().length"
    page.wait_for_timeout(100)
    assert page.evaluate(running) > 0
    page.mouse.move(20, 20)
    page.mouse.down()
    assert page.evaluate(running) == 0
    page.mouse.up()
    assert page.evaluate(running) > 0
    page.close()


# ---- C7, C10, C11 ------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["重み", "وزن", "भार", "😀"])
def test_C7_a_png_says_which_letters_it_lacks(label: str) -> None:
    picture = draw(Value(1.0, label=label) * 2)
    with pytest.warns(UserWarning, match="a PNG shows boxes"):
        picture.pipe("png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert label in picture.svg()
        draw(Value(1.0, label="Größe λ Вес") * 2).pipe("png")


@pytest.mark.parametrize("label", ["重み" * 6, "Gewicht größer", "λ" * 12, "می\u200cخواهم", "नमस्ते"])
def test_C7_a_label_has_the_room_that_it_needs(label: str, browser: Any) -> None:
    y = Value(1.0, label=label) * Value(2.0, label=label)
    page = browser.new_page()
    page.set_content(draw(y).svg())
    script = """() => [...document.querySelectorAll('.node')].map((node) => {
        const outline = node.querySelector('ellipse, polygon, path').getBBox();
        return [...node.querySelectorAll('text')].every((text) => {
            const box = text.getBBox();
            return box.x > outline.x && box.x + box.width < outline.x + outline.width;
        });
    })"""
    assert all(page.evaluate(script))
    page.close()


def test_C7_joiners_belong_to_words_and_line_breaks_are_line_breaks() -> None:
    word = "می\u200cخواهم"
    assert word in draw(Value(1.0, label=word) * 2).svg()
    texts = ElementTree.fromstring(draw(Value(1.0, label="two\nlines") * 2).svg()).iter(
        f"{SVG}text"
    )
    shown = [text.text for text in texts]
    assert "two" in shown and "lines" in shown


def test_C10_the_result_itself_does_not_explode() -> None:
    a, b = Value(2.0), Value(-3.0)
    y = tanh(a * b + a * 0.1)
    y.backward()
    (result,) = (box for box in whole(Graph.of(y)).boxes if box.kind == "result")
    assert not any("exploding" in remark.words for remark in result.remarks)
    z = Value(1.0) * 1e8 + sum(Value(1.0) * 2 for _ in range(9))
    z.backward()
    remarks = [r.words for box in whole(Graph.of(z)).boxes for r in box.remarks]
    assert remarks == ["exploding"]


def test_C11_names_of_a_notebook_come_last() -> None:
    w = [Value(1.0), Value(2.0)]
    y = w[0] * w[1]
    names = {"_": y, "__": y, "_5": y, "Out": {5: y}, "_i": "y", "w": w, "y": y}
    assert by_value(names) == {y: "y", w[0]: "w[0]", w[1]: "w[1]"}
    assert by_value({"_private": y, "_": y})[y] == "_private"
    grid = numpy.array([[Value(1.0)], [Value(2.0)]], dtype=object)
    assert by_value({"W": grid, "p": {"a": y}})[grid[1, 0]] == "W[1, 0]"


# ---- C12 ---------------------------------------------------------------------------------------


def test_C12_a_digraph_needs_no_system_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    y, _ = step_after()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    dot = draw_dot(y)
    seen: list[str] = []
    monkeypatch.setattr(dot, "_view", lambda path, **_: seen.append(path), raising=False)
    assert Path(dot.render(tmp_path / "a", view=False)).exists()
    assert dot.render(outfile=str(tmp_path / "b.png")) == str(tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    assert dot.view(tmp_path / "c") == seen[0]
    twin = dot.copy()
    twin.node("mine")
    assert "mine" in twin.source and "mine" not in dot.source
    assert "<style>" in twin.pipe("svg", encoding="utf-8")


def test_C12_attributes_of_the_caller_decide() -> None:
    y, _ = step_after()
    small, large = draw_dot(y, format="png"), draw_dot(y, format="png")
    small.attr(dpi="50", bgcolor="red")
    assert size(small.pipe())[0] < size(large.pipe())[0] / 3
    assert Image.open(io.BytesIO(small.pipe())).convert("RGB").getpixel((1, 1)) == (255, 0, 0)
    large.graph_attr["rankdir"] = "TB"
    assert large.source == draw(y, rankdir="TB").source


# ---- Options -----------------------------------------------------------------------------------


def test_options_several_results() -> None:
    x = Value(3.0, label="x")
    one, two = x * 2, x * 5
    scene = whole(Graph.of([one, two], afresh=True))
    assert [box.kind for box in scene.boxes].count("result") == 2
    assert {box.heading: box.grad for box in scene.boxes}["x"] == 7
    assert "results 6, 15" in repr(draw([one, two]))


def test_options_constants_and_gradients_can_be_left_out() -> None:
    y = Value(3.0, label="x") * 2
    y.backward()
    assert "class=constant" not in draw(y, constants=False).source
    forward = draw(y, gradients=False).source
    assert "grad" not in forward.replace("microgradlike", "") and "◄" not in forward
    assert ">6<" in forward


def test_options_one_path_is_pointed_out() -> None:
    a, b = Value(2.0, label="a"), Value(3.0, label="b")
    y = a * b + a
    y.backward()
    source = draw(y, highlight=a).source
    assert source.count(f'color="{style.ACTIVE}"') == 3 and "the largest path to a" in source
    with pytest.raises(ValueError, match="not computed from"):
        draw(y, highlight=Value(1.0))


def test_options_theme_colours_and_ground() -> None:
    y, _ = step_after()
    dark = draw(y, theme="dark")
    assert style.DARK[style.INK] in dark.source and "prefers-color-scheme" not in dark.svg()
    corner = Image.open(io.BytesIO(dark.pipe("png"))).convert("RGB").getpixel((1, 1))
    assert corner == (0x0F, 0x14, 0x19)
    assert 'color="green"' in draw(y, colours={"positive": "green"}).source
    clear = Image.open(io.BytesIO(draw(y).pipe("png", transparent=True))).convert("RGBA")
    assert clear.getchannel("A").getpixel((1, 1)) == 0
    for wrong in ({"theme": "blue"}, {"colours": {"ink": "url(x)"}}, {"colours": {"sky": "blue"}}):
        with pytest.raises(ValueError, match=r"theme is|colours gives"):
            draw(y, **wrong)


@pytest.mark.parametrize(("rankdir", "sign"), [("RL", "►"), ("BT", "▼"), ("LR", "◄"), ("TB", "▲")])
def test_options_all_four_directions(rankdir: str, sign: str) -> None:
    y, _ = step_after()
    assert f"{sign} +" in draw(y, rankdir=rankdir).source
    assert draw(y, rankdir=rankdir).svg()


def test_options_jpg_and_pdf_without_graphviz(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    y, _ = step_after()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert draw(y).save(tmp_path / "y.jpg").read_bytes().startswith(b"\xff\xd8")
    assert draw(y).save(tmp_path / "y.pdf").read_bytes().startswith(b"%PDF")


def test_options_png_in_notebooks_and_numbers_in_the_text() -> None:
    y, (w, *_) = step_after()
    assert draw(y)._repr_mimebundle_()["image/png"].startswith(b"\x89PNG")
    objects = json.loads(draw(y).pipe("json"))["objects"]
    assert repr(w.grad) in {thing.get("grad") for thing in objects}


def test_options_frames_go_in_every_direction(tmp_path: Path) -> None:
    y, _ = step_after()
    assert len(frames(y, tmp_path, rankdir="BT")) > 3


def test_options_size_of_a_saved_picture(tmp_path: Path) -> None:
    y, _ = step_after()
    picture = draw(y)
    one, two = (
        ElementTree.fromstring(picture.save(tmp_path / "y.svg", scale=scale).read_text())
        for scale in (1, 2)
    )
    assert float(two.attrib["width"]) == 2 * float(one.attrib["width"])
    assert one.attrib["viewBox"] == two.attrib["viewBox"]
    plain, twice, fine = (
        size(picture.pipe("png", **how)) for how in ({}, {"scale": 2}, {"dpi": 384})
    )
    assert twice == fine and twice[0] == pytest.approx(2 * plain[0], abs=2)
    for wrong in ({"dpi": 0}, {"dpi": math.nan}, {"scale": 0}, {"scale": -1}):
        with pytest.raises(ValueError, match=r"(dpi|scale).* is a number from"):
            picture.save(tmp_path / "no.png", **wrong)
    with pytest.raises(TypeError, match="scale takes a real number"):
        picture.save(tmp_path / "no.png", scale="2")
    with pytest.raises(ValueError, match="an SVG, PNG or JPG has a scale, but the format is 'pdf'"):
        picture.save(tmp_path / "no.pdf", scale=2)
    assert [path.name for path in tmp_path.iterdir()] == ["y.svg"]
    small, large = (
        size(frames(y, tmp_path / "frames", "png", **how)[0].read_bytes())
        for how in ({"dpi": 96}, {"scale": 2})
    )
    assert large[0] > 3.9 * small[0]
