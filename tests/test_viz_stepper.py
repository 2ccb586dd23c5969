"""The page that plays the pass, in a real browser: what it shows, and who can use it."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from microgradlike import Value, losses
from microgradlike.flow import backward_steps, gradients, nodes, paths
from microgradlike.nn import MLP
from tests.browser import CONTRAST, Tab, Visit, each_width, once
from tests.graphs import expression
from tests.programs import groups
from viz import Stepper, save_stepper

# ---- Graphs to show ----------------------------------------------------------------------------


def random_graph(seed: int) -> Value:
    choose = random.Random(seed)
    pool = [Value(choose.uniform(-2, 2), label=f"x{i}") for i in range(3)]
    for _ in range(choose.randint(1, 15)):
        a, b = choose.choice(pool), choose.choice(pool)
        pool.append(choose.choice((a * b, a + b, a - b, a.tanh(), a / 7, a * a, a.relu(), 2**a)))
    root: Value = sum(pool[-3:], Value(0.0))
    return root


def big_network(width: int = 8) -> Value:
    """Some 300 nodes, far wider than a window; of 16 neurons in a layer some 980."""
    model = MLP(2, [width, width, 1], seed=0)
    loss: Value = losses.hinge(model([Value(1.0, "x0"), Value(-0.5, "x1")]), -1)
    loss.label = "loss"
    return loss


def chain(links: int) -> Value:
    y = Value(1.0, label="x")
    for i in range(links):
        y = (y * 0.9 + Value(0.1 * i)).tanh()
    return y


def penalised() -> Value:
    return big_network() + 0.1 * sum(Value(v) ** 2 for v in range(3))


GRAPHS: dict[str, Callable[..., Value]] = {
    "small": expression,
    "big": big_network,
    "penalised": penalised,
    "chain": chain,
    "random": random_graph,
}
Saved = Callable[..., Path]


@pytest.fixture(scope="session")
def saved(shared_folder: Path) -> Saved:
    """Writes each page once, for all windows, tests and workers; the big ones take seconds.

    Asked for what it does anyway, it is the same page.
    """
    folder = shared_folder / "pages"
    folder.mkdir(exist_ok=True)

    def path(name: str, *given: Any, **options: Any) -> Path:
        small = name in ("small", "random")
        usual = {"lr": 0.1 if name == "big" else None, "fold": not small, "rankdir": "LR"}
        options = {key: v for key, v in (usual | options).items() if key == "lr" or v != usual[key]}
        file = folder / f"{' '.join(map(str, (name, *given, *options.items())))}.html"
        if not file.exists():  # under its name a page is whole
            save_stepper(GRAPHS[name](*given), file, **options)
        return file

    return path


# ---- 1: it stands alone ------------------------------------------------------------------------


@each_width
@pytest.mark.parametrize("name", ["small", "big"])
def test_it_asks_nothing_of_the_network_and_complains_of_nothing(
    visit: Visit, saved: Saved, name: str
) -> None:
    tab = visit(saved(name))
    tab.press("End")
    tab.page.click(".quiz")
    tab.page.click(".theme")
    assert tab.requests == [saved(name).as_uri()]
    assert tab.complaints == []


def test_a_strict_policy_and_no_eval() -> None:
    page = Stepper(expression()).html()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"\beval\(|new Function|style=\"|\son\w+=\"", page)


# ---- 2, 3, 4: the numbers are the engine's -----------------------------------------------------


def check_numbers(tab: Tab, root: Value) -> None:
    order = nodes(root)
    engine = gradients(root)
    assert tab.step == 0
    tab.press("End")
    assert tab.step == int(tab.attribute("data-steps"))
    shown = {
        node["data-node"]: node
        for node in tab.each("[data-node]", "data-node", "data-value", "data-grad", "data-op")
    }
    assert shown.keys() == {f"v{place}" for place in range(len(order))}
    for place, node in enumerate(order):
        found = shown[f"v{place}"]
        assert found["data-op"] == node.op
        assert found["data-value"] == repr(node.data)
        assert found["data-grad"] == (repr(engine[node]) if node in engine else None)


@once
@pytest.mark.parametrize("seed", range(12))
def test_the_end_shows_the_gradients_of_the_engine(visit: Visit, saved: Saved, seed: int) -> None:
    check_numbers(visit(saved("random", seed)), random_graph(seed))


@groups(0, 200)
def test_every_page_is_written_with_the_numbers_of_the_engine(seeds: range) -> None:
    for seed in seeds:
        check_written(seed)


def check_written(seed: int) -> None:
    root = random_graph(seed)
    written = re.findall(r'class="story">(.*?)</script>', Stepper(root).html())[0]
    told = json.loads(written)["nodes"]
    engine = gradients(root)
    for place, node in enumerate(nodes(root)):
        assert told[f"v{place}"]["values"][-1][1] == repr(node.data)
        assert told[f"v{place}"]["grads"][-1][1] == repr(engine[node])


@once
def test_the_end_of_a_folded_page_too(visit: Visit, saved: Saved) -> None:
    check_numbers(visit(saved("penalised")), penalised())


@once
@pytest.mark.parametrize("seed", range(8))
def test_every_step_multiplies_and_every_sum_adds_up(visit: Visit, saved: Saved, seed: int) -> None:
    root = random_graph(seed)
    order = nodes(root)
    ids = {node: f"v{place}" for place, node in enumerate(order)}
    tab = visit(saved("random", seed))
    operations = sum(bool(node.op) for node in order)
    tab.press("ArrowRight", operations + 1)
    grads = {}
    for step in backward_steps(root):
        tab.press("ArrowRight")
        crossed = [
            (edge["data-edge"], float(edge["data-slope"] or ""), float(edge["data-contribution"]))
            for edge in tab.each("[data-edge]", "data-edge", "data-slope", "data-contribution")
            if edge["data-contribution"] is not None
        ]
        edge = f"{ids[step.parent]}->{ids[step.node]}"
        assert (edge, step.slope, step.upstream * step.slope) in crossed
        grads = {
            str(node["data-node"]): node["data-grad"]
            for node in tab.each("[data-node]", "data-node", "data-grad")
        }
        assert grads[ids[step.parent]] == repr(step.after)
        assert grads[ids[step.node]] == repr(step.upstream)
    arrived: dict[str, float] = {}
    for found in tab.each("[data-edge]", "data-edge", "data-contribution"):
        tail = str(found["data-edge"]).split("->")[0]
        arrived[tail] = arrived.get(tail, 0.0) + float(found["data-contribution"] or "nan")
    for node, total in arrived.items():
        assert total == pytest.approx(float(grads[node] or "nan"), rel=1e-12, abs=1e-12)


@once
@pytest.mark.parametrize("seed", range(4))
def test_the_paths_of_a_leaf_add_up_to_its_gradient(visit: Visit, saved: Saved, seed: int) -> None:
    root = random_graph(seed)
    tab = visit(saved("random", seed), "#step=999")
    leaves = [node for node in gradients(root) if not node.op]
    for leaf in leaves:
        place = next(i for i, node in enumerate(nodes(root)) if node is leaf)
        tab.page.evaluate(
            f"document.querySelector('[data-node=v{place}]').dispatchEvent("
            "new MouseEvent('click', {bubbles: true}))"
        )
        found = paths(root, leaf)
        products = [float(p["data-product"] or "") for p in tab.each(".chosen li", "data-product")]
        assert len(products) == min(found.count, 12)
        if found.count <= 12:
            assert math.fsum(products) == pytest.approx(gradients(root)[leaf], rel=1e-9, abs=1e-12)
        else:
            assert f"{found.count - 12:,} more" in tab.page.inner_text(".chosen")


@once
def test_the_panel_tells_a_step_in_all_ways(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"), "#step=1e9&node=v77&view=p3")
    assert tab.step == int(tab.attribute("data-steps")) and tab.page.url.endswith("#step=17")
    tab = visit(saved("small"), "#step=16")
    panel = tab.page.inner_text(".panel")
    assert "v2 = a × b sends −2 back to a" in panel or "back to a" in panel
    assert tab.page.locator(".equations math").count() == 4
    assert "×: each side gets gradient × the other's value" in panel
    shares = "a is used twice, so its gradient has two shares: 0.08333 from v8 and 1.98 from v2"
    assert f"{shares}, together 2.063." in panel
    assert "with = instead, a would keep only 1.98." in panel


@once
def test_the_update_moves_against_the_gradient(visit: Visit, tmp_path: Path) -> None:
    w, x = Value(3.0, label="w"), Value(2.0, label="x")
    loss = (w * x - 1) ** 2
    tab = visit(save_stepper(loss, tmp_path / "page.html", lr=0.01), "#step=999")
    value = {
        n["data-node"]: n["data-value"] for n in tab.each("[data-node]", "data-node", "data-value")
    }
    assert value["v0"] == repr(3.0 - 0.01 * 20.0) and value["v1"] == repr(2.0 - 0.01 * 30.0)
    assert float(value["v4"] or "") == ((3.0 - 0.2) * (2.0 - 0.3) - 1) ** 2
    assert "was 25 and is now 14.14" in tab.page.inner_text(".sentence")


# ---- 5, 6: one page for each step, and nothing moves -------------------------------------------


@each_width
@pytest.mark.parametrize("name", ["small", "big"])
def test_all_ways_to_a_step_lead_to_the_same_page(visit: Visit, saved: Saved, name: str) -> None:
    tab, other, third = visit(saved(name)), visit(saved(name)), visit(saved(name), "#step=9")
    tab.press("ArrowRight", 9)
    other.page.evaluate("""() => {
        const scrubber = document.querySelector('.scrubber');
        scrubber.value = 9;
        scrubber.dispatchEvent(new Event('input', {bubbles: true}));
    }""")
    assert tab.dom() == other.dom() == third.dom()
    tab.press("ArrowRight")
    assert tab.step == 10 and tab.dom() != third.dom()
    tab.press("ArrowLeft")
    assert tab.dom() == third.dom()
    tab.press("Home")
    assert tab.step == 0
    tab.page.evaluate("location.hash = '#step=9'")
    tab.until("document.querySelector('.stepper').dataset.step === '9'")
    assert tab.dom() == third.dom()


@once
def test_nothing_moves(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"))
    places = """() => [...document.querySelectorAll('.view svg, .view svg *')].map((e) =>
        ['viewBox', 'transform', 'd', 'points', 'cx', 'cy', 'rx', 'x', 'y', 'width', 'text-anchor']
            .map((name) => e.getAttribute(name)).join('|'))"""
    first = tab.page.evaluate(places)
    for _ in range(int(tab.attribute("data-steps"))):
        tab.press("ArrowRight")
        assert tab.page.evaluate(places) == first


# ---- 7: the text fits --------------------------------------------------------------------------


@once
@pytest.mark.parametrize("font", ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"])
def test_numbers_fit_into_their_nodes(
    visit: Visit, saved: Saved, tmp_path: Path, font: str
) -> None:
    """In fonts of Arial's widths with room to spare; in the wider DejaVu they still stay inside."""
    tab = visit(saved("small"))
    tab.page.evaluate(
        """(font) => document.querySelectorAll('.view text').forEach(
            (e) => e.style.setProperty('font-family', font, 'important'))""",
        font,
    )
    widest = """() => Math.max(...[...document.querySelectorAll('.node')].flatMap((node) => {
        const outline = node.querySelector('.outline');
        if (!outline) return [];
        const room = outline.getBBox();
        const texts = [...node.querySelectorAll('text')].filter((t) => t.textContent.trim());
        return texts.map((text) => {
            const box = text.getBBox();
            const far = Math.max(room.x - box.x, box.x + box.width - room.x - room.width);
            return (room.width + 2 * Math.max(far, 0)) / room.width;
        });
    }))"""
    for _ in range(int(tab.attribute("data-steps")) + 1):
        assert tab.page.evaluate(widest) <= 1.0
        tab.press("ArrowRight")


# ---- 8: everyone can use it --------------------------------------------------------------------


@each_width
def test_everything_has_a_name(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"))
    nameless = tab.page.evaluate("""() => [...document.querySelectorAll(
        'button, input, select, summary')].filter((e) => !(
            e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label'))).length""")
    assert nameless == 0
    svg = tab.page.locator(".view svg").first
    assert svg.get_attribute("role") and svg.locator("> title, > desc").count() == 2
    tab.press("ArrowRight", 7)
    scrubber = tab.page.locator(".scrubber")
    assert str(scrubber.get_attribute("aria-valuetext")).startswith("Step 7 of 17, ")
    labels = [n["aria-label"] for n in tab.each(".node[data-node]", "aria-label")]
    assert all(label and "data" in label and "grad" in label for label in labels)


@each_width
def test_the_tab_key_goes_round_and_is_seen(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"), "#step=5")
    seen = []
    for _ in range(40):
        tab.press("Tab")
        seen.append(
            tab.page.evaluate("""() => {
                const e = document.activeElement;
                if (e === document.body) return ['', ''];
                const outline = e.querySelector('.outline') || e;
                const style = getComputedStyle(outline);
                return [e.className.baseVal ?? e.className,
                        style.outlineStyle !== 'none' || style.strokeWidth === '3px'];
            }""")
        )
    names = [name for name, _ in seen]
    assert "" in names, "focus leaves the page"
    once = seen[: names.index("")]
    assert len(once) <= 16 and all(visible for _, visible in once)
    assert sum(name.startswith("node") for name, _ in once) == 1


@once
def test_arrows_inside_the_graph_follow_the_edges(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"))
    tab.page.focus("[data-node=v2]")
    active = "document.activeElement.dataset.node"
    tab.press("ArrowRight")
    assert tab.page.evaluate(active) == "v3" and tab.step == 0
    tab.press("ArrowLeft")
    assert tab.page.evaluate(active) == "v2"
    tab.press("ArrowLeft")
    assert tab.page.evaluate(active) == "v0"
    tab.press("Enter")
    assert tab.page.inner_text(".chosen h2") == "a"
    tab.press("Escape")
    assert tab.page.inner_text(".chosen") == ""


@once
def test_each_step_is_announced_once_and_none_while_it_plays(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"))
    tab.page.evaluate("""() => {
        window.changes = 0;
        new MutationObserver(() => window.changes++).observe(
            document.querySelector('.told .sentence'), {childList: true, characterData: true});
    }""")
    tab.press("ArrowRight", 3)
    assert tab.page.evaluate("window.changes") == 3
    assert tab.page.get_attribute(".told", "aria-live") == "polite"
    tab.page.click(".play")
    assert tab.page.get_attribute(".told", "aria-live") == "off"
    tab.page.click(".play")
    assert tab.page.get_attribute(".told", "aria-live") == "polite"


# ---- 9: motion ---------------------------------------------------------------------------------


@once
def test_it_plays_to_the_end_and_stops_also_without_motion(visit: Visit, tmp_path: Path) -> None:
    x = Value(3.0, label="x")
    tab = visit(save_stepper(x * x, tmp_path / "page.html"), reduced_motion="reduce")
    tab.page.select_option(".speed", "400")
    tab.page.click(".play")
    tab.until("Number(document.querySelector('.stepper').dataset.step) >= 3")
    assert tab.page.evaluate("document.getAnimations().length") == 0
    tab.until("document.querySelector('.play').textContent === 'Play'")
    assert tab.step == int(tab.attribute("data-steps")) == 4


# ---- 10, 11: light and dark, and without colour ------------------------------------------------


def test_everything_can_be_read_in_light_and_dark(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"))
    for step in (0, 8, 14, 17):
        tab.page.evaluate(f"location.hash = '#step={step}'")
        tab.until(f"document.querySelector('.stepper').dataset.step === '{step}'")
        assert tab.page.evaluate(CONTRAST) == []


@once
def test_the_reader_may_choose_light_or_dark(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"), color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    white = tab.page.evaluate(ground)
    tab.page.click(".theme")
    assert tab.page.evaluate(ground) == white
    tab.page.click(".theme")
    assert tab.page.evaluate(ground) != white
    assert tab.page.evaluate(CONTRAST) == []


@once
def test_signs_are_written_not_only_coloured(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"), "#step=17")
    texts = tab.page.evaluate("""() => [...document.querySelectorAll('[data-edge]')].map((e) =>
        [e.dataset.contribution, e.querySelector('.news').textContent])""")
    assert len(texts) == 10
    for contribution, shown in texts:
        assert shown.startswith("◄ +" if float(contribution) > 0 else "◄ −")


#: Of each arrow: which of its two forms is seen, where its tip is beside its other end, and how it
#: looks. The tip of a form is its corner that is farthest from its middle.
ARROWS = """() => [...document.querySelectorAll('[data-edge]')].map((edge) => {
    const seen = (e) => getComputedStyle(e).visibility !== 'hidden';
    const lines = [...edge.querySelectorAll('path')].filter(seen);
    const tips = [...edge.querySelectorAll('polygon')].filter(seen);
    const ends = (line) => [0, line.getTotalLength()].map((at) => line.getPointAtLength(at).x);
    return {
        edge: edge.dataset.edge,
        forms: lines.length,
        forward: tips.map((tip) => {
            const [from, to] = ends(lines[0]);
            const box = tip.getBBox();
            return Math.abs(box.x + box.width - to) < Math.abs(box.x - from);
        }),
        looks: [...lines, ...tips].map((part) => {
            const style = getComputedStyle(part);
            const [width, dashes] = [style.strokeWidth, style.strokeDasharray];
            const size = part.matches('polygon') ? part.getBBox().width * part.getBBox().height : 0;
            return [style.stroke, width, dashes, Math.round(size / 20)].join(' ');
        }),
        number: seen(edge.querySelector('.news')),
    };
})"""


@once
def test_values_go_forward_and_gradients_back(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"), "#step=1")
    for now in range(1, int(tab.attribute("data-steps"))):
        kind = tab.page.inner_text(".count").rpartition(" ")[2]
        arrows = tab.page.evaluate(ARROWS)
        assert {arrow["forms"] for arrow in arrows} == {1}
        at_work = tab.page.get_attribute(".active", "data-node")
        for arrow in arrows:
            head = arrow["edge"].partition("->")[2]
            going = bool(tab.page.locator(f"[data-edge='{arrow['edge']}'].going").count())
            assert going == (kind == "forward" and head == at_work)
            assert arrow["forward"] in ([], [not arrow["number"]])
            if kind != "backward":
                assert not arrow["number"]
        tab.press("ArrowRight")
        assert tab.step == now + 1


@once
def test_an_arrow_tells_nothing_of_its_number_before_that_is_known(
    visit: Visit, saved: Saved
) -> None:
    tab = visit(saved("small"), "#step=6")
    tab.page.click(".quiz")
    for _ in range(int(tab.attribute("data-steps")) - 7):
        tab.page.click(".next")  # asks
        waiting = [arrow for arrow in tab.page.evaluate(ARROWS) if not arrow["number"]]
        assert waiting and len({tuple(arrow["looks"]) for arrow in waiting}) == 1
        slopes = tab.page.locator(".edge.waiting .slope").all()
        assert not any(slope.is_visible() for slope in slopes)
        shown = tab.page.locator(".sum, .nudge, .aside, .nudged")
        assert not any(shown.all_text_contents())
        tab.page.click(".next")  # answers


@once
def test_what_is_chosen_tells_its_nudge_when_its_gradient_is_known(
    visit: Visit, saved: Saved
) -> None:
    tab = visit(saved("small", lr=0.1), "#step=15&node=v0")
    assert tab.page.inner_text(".nudged") == ""
    tab.press("End")
    told = tab.page.inner_text(".chosen")
    assert "A nudge: move a by 0.01, and y goes from" in told
    assert "(before the update 1.5), gradient 2.063" in told
    assert "the gradient and the slopes belong to the old value" in told
    tab.press("ArrowLeft")
    assert "belong to the old" not in tab.page.inner_text(".chosen")


# ---- 12: on a phone ----------------------------------------------------------------------------


@once
@pytest.mark.parametrize("name", ["small", "big"])
def test_a_phone_shows_it_without_scrolling_sideways(visit: Visit, saved: Saved, name: str) -> None:
    tab = visit(saved(name), "#step=12", viewport={"width": 360, "height": 740})
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360
    tab.page.click("summary")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360
    small = tab.page.evaluate("""() => [...document.querySelectorAll('button, select, summary')]
        .map((e) => e.getBoundingClientRect())
        .filter((box) => box.width && box.height < 24).length""")
    assert small == 0


@once
def test_a_frame_that_is_too_small_says_so(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"), viewport={"width": 390, "height": 740})
    assert "drag it" in tab.page.inner_text(".cue")
    in_sight = """() => {
        const frame = document.querySelector('.views').getBoundingClientRect();
        const ends = document.querySelector('.current').dataset.edge.split('->');
        return ends.map((id) => document.querySelector(`[data-node=${id}]`).getBoundingClientRect())
            .every((box) => box.left >= frame.left - 1 && box.right <= frame.right + 1);
    }"""
    for step in (9, 12, 15):  # both ends of the arrow over which a gradient goes, where they fit
        tab.page.evaluate(f"location.hash = '#step={step}'")
        tab.until(f"document.querySelector('.stepper').dataset.step === '{step}'")
        assert tab.page.evaluate(in_sight)
    tab.page.set_viewport_size({"width": 1900, "height": 1000})
    tab.until("!document.querySelector('.cue').checkVisibility()")


# ---- 12b: on a projector, on paper, and back to the page that leads here ------------------------


@once
def test_a_projector_gets_large_letters_and_a_picture_that_fills_the_window(
    visit: Visit, saved: Saved
) -> None:
    tab = visit(saved("small"), "#step=7", viewport={"width": 1920, "height": 1080})
    small = tab.smallest()
    tab.press("p")
    assert tab.page.url.endswith("#step=7&projector") and tab.step == 7
    sizes = tab.page.evaluate("""() => [...document.querySelectorAll('.panel :not(:empty)')]
        .filter((e) => e.checkVisibility()).map((e) => parseFloat(getComputedStyle(e).fontSize))""")
    told = tab.page.evaluate(
        "parseFloat(getComputedStyle(document.querySelector('.rule')).fontSize)"
    )
    assert told >= 28 and len(sizes) > 5 and min(sizes) >= 19.6  # an index is 0.7 of its letter
    assert tab.smallest() > small
    box = tab.page.locator("section.graph").bounding_box()
    assert box and box["height"] > 0.75 * 1080 and box["width"] > 0.6 * 1920
    assert tab.page.evaluate("document.documentElement.scrollHeight") <= 1080
    assert tab.page.locator(".legend dl").is_hidden() and tab.page.locator(".keys").is_hidden()
    tab.press("P")
    assert tab.page.url.endswith("#step=7") and tab.smallest() == small
    other = visit(saved("small"), "#projector", viewport={"width": 1920, "height": 1080})
    assert other.step == 0 and other.smallest() > small


@once
def test_paper_has_everything_unfolded_and_the_last_step_for_the_first(
    visit: Visit, saved: Saved
) -> None:
    tab = visit(saved("small"))
    tab.page.evaluate("""() => window.addEventListener('beforeprint', () => {
        window.folded = document.querySelectorAll('details:not([open])').length;
        window.step = document.querySelector('.stepper').dataset.step;
    })""")
    tab.page.pdf(format="A4")
    assert tab.page.evaluate("[window.folded, window.step]") == [0, tab.attribute("data-steps")]
    assert tab.step == 0 and tab.page.locator(".table").get_attribute("open") is None
    tab.page.click(".quiz")  # then it is a worksheet, without the answers
    tab.page.pdf(format="A4")
    assert tab.page.evaluate("[window.folded, window.step]") == [1, "0"]
    tab.page.emulate_media(media="print")
    assert tab.page.locator(".answers").is_hidden()


@once
def test_all_steps_can_be_read_below_each_other(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"))
    tab.page.click(".table summary")
    listed = tab.page.locator(".all li").all_inner_texts()
    assert len(listed) == int(tab.attribute("data-steps")) + 1
    for text in listed:
        assert tab.page.inner_text(".sentence") in text
        assert tab.page.inner_text(".rule") in text
        tab.press("ArrowRight")
    assert visit(saved("big", 16)).page.locator(".all li").count() == 0


@once
def test_a_page_may_lead_back(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<title>there</title>")
    tab = visit(save_stepper(Value(2.0) * 3, tmp_path / "page.html", back="index.html"))
    tab.page.click(".home")
    assert tab.page.title() == "there"
    assert 'class="home"' not in Stepper(Value(2.0) * 3).html()


# ---- 12a: type that can be read, also of the legend and on paper --------------------------------


@each_width
@pytest.mark.parametrize("rankdir", ["LR", "TB"])
@pytest.mark.parametrize("fold", [False, True])
def test_the_smallest_letters_can_be_read_until_the_reader_wants_all(
    visit: Visit, saved: Saved, rankdir: str, fold: bool
) -> None:
    name = "big" if fold else "small"
    tab = visit(saved(name, fold=fold, rankdir=rankdir))
    assert tab.smallest() >= 9
    tab.press("0")
    whole = tab.page.locator(".view:not([hidden]) svg").bounding_box()
    frame = tab.page.locator(".views").bounding_box()
    assert whole and frame
    assert whole["width"] <= max(frame["width"], 620)


@each_width
def test_the_legend_wraps_and_stays_above_the_controls(
    visit: Visit, saved: Saved, view: dict[str, Any]
) -> None:
    tab = visit(saved("big"), "#step=22")
    tab.page.locator(".view:not([hidden]) .node[data-box]").nth(3).click()
    tab.page.click(".open")
    tab.press("+", 3)
    legend = tab.page.locator(".legend:not([hidden])")
    assert legend.locator("dl").is_hidden()
    legend.locator("summary").click()
    box, controls = legend.bounding_box(), tab.page.locator(".transport").bounding_box()
    assert box and controls
    assert legend.evaluate("(e) => e.scrollWidth <= e.clientWidth")
    assert box["x"] + box["width"] <= view["viewport"]["width"]
    if view["viewport"]["width"] > 800:
        tab.page.set_viewport_size({"width": 1280, "height": 720})
        box, controls = legend.bounding_box(), tab.page.locator(".transport").bounding_box()
        assert box and controls and box["y"] + box["height"] <= controls["y"]
    assert legend.locator(".swatch").count() == 9


@once
def test_numbers_of_any_length_fit_into_the_swatches(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("chain", 70))
    spare = tab.page.evaluate("""() => Math.min(...[...document.querySelectorAll('.swatch')]
        .map((e) => e.getBoundingClientRect().width - one('text', e).getBBox().width))""")
    assert spare >= 0


@once
@pytest.mark.parametrize("fold", [False, True])
def test_paper_gets_the_whole_graph_and_legend_on_one_light_page(
    visit: Visit, saved: Saved, fold: bool
) -> None:
    tab = visit(saved("big", fold=fold), "#step=5")
    tab.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    pages = re.findall(rb"/Type\s*/Page\b", tab.page.pdf(format="A4"))
    assert len(pages) == 1
    tab.page.set_viewport_size({"width": 718, "height": 1046})
    tab.page.emulate_media(media="print")
    for shown in (".view:not([hidden]) svg", ".legend:not([hidden])"):
        box = tab.page.locator(shown).bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 718
        assert box["y"] + box["height"] <= 1046
    ground = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(255, 255, 255)"


@once
def test_the_keys_are_listed_and_the_question_mark_shows_them(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"))
    listed = tab.page.locator(".keys p")
    assert tab.page.locator(".keys").get_attribute("open") is None
    tab.press("?")
    for key in ("+", "−", "0", "Escape", "Enter", "#step=", "Tab"):
        assert key in str(listed.text_content())
    assert tab.page.locator(".keys").get_attribute("open") is not None
    tab.press("?")
    assert tab.page.locator(".keys").get_attribute("open") is None


# ---- 13: big graphs ----------------------------------------------------------------------------


@once
def test_a_page_of_980_nodes_is_small_and_quick(visit: Visit, saved: Saved) -> None:
    assert saved("big", 16).stat().st_size < 3_000_000
    tab = visit(saved("big", 16))
    heading = tab.page.inner_text(".heading")
    assert "folded: 982 nodes as" in heading and "looked into" not in heading
    views = tab.page.locator(".view")
    assert views.count() > 30
    assert tab.page.locator(".view:not([hidden])").count() == 1


@each_width
def test_a_part_can_be_opened_and_left_again(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("big"), "#step=22")
    part = tab.page.locator(".view:not([hidden]) .node[data-box]").nth(3)
    name = part.get_attribute("data-name")
    part.click()
    assert tab.page.inner_text(".chosen h2") == name
    tab.page.click(".open")
    assert tab.page.inner_text(".opened") == name
    assert "view=" in tab.page.url and tab.page.locator(".open").count() == 0
    assert tab.page.locator(".view:not([hidden]) [data-node]").count() > 3
    tab.page.click(".close")
    assert not tab.page.locator(".where").is_visible()


@once
def test_a_graph_too_big_to_open_is_told_by_its_parts(visit: Visit, tmp_path: Path) -> None:
    model = MLP(8, [20, 20, 2], activation="tanh", seed=0)
    out = model([0.1 * i for i in range(8)])
    loss = losses.mse(out, [1.0, 0.0]) + 0.1 * sum(p * p for p in model.parameters())
    path = save_stepper(loss, tmp_path / "page.html")
    assert path.stat().st_size < 3_000_000
    tab = visit(path)
    told = "above 2,000 nodes, parts cannot be looked into"
    assert told in tab.page.inner_text(".heading") and "at most 2,000" in str(save_stepper.__doc__)
    tab.press("End")
    result = tab.each("[data-kind=result]", "data-value", "data-grad")
    assert result == [{"data-value": repr(loss.data), "data-grad": "1.0"}]
    assert tab.complaints == []


@each_width
def test_the_frame_of_a_wide_graph_follows_what_happens(visit: Visit, saved: Saved) -> None:
    """Also before the first step and after the last, where no node is at work."""
    tab = visit(saved("big", fold=False))
    in_sight = """() => {
        const frame = document.querySelector('.views').getBoundingClientRect();
        return [...document.querySelectorAll('.view .node')].filter((node) => {
            const box = node.getBoundingClientRect();
            return box.left >= frame.left - 1 && box.right <= frame.right + 1
                && box.top >= frame.top - 1 && box.bottom <= frame.bottom + 1;
        }).map((node) => node.dataset.kind);
    }"""
    assert tab.page.evaluate(in_sight) != []
    tab.press("End")
    assert "result" in tab.page.evaluate(in_sight)
    legend = tab.page.locator(".legend:not([hidden])")
    legend.locator("summary").click()
    before = legend.bounding_box()
    tab.page.evaluate("document.querySelector('.views').scrollTo(0, 0)")
    assert legend.bounding_box() == before and "slope of this operation" in legend.inner_text()


@each_width
@pytest.mark.parametrize("graph", [("big",), ("chain", 70)], ids=str)
def test_a_folded_page_shows_who_is_at_work_by_its_name(
    visit: Visit, saved: Saved, graph: tuple[Any, ...]
) -> None:
    """At every step one box is marked and in sight, also where it is a single operation."""
    tab = visit(saved(*graph, fold=True))
    at_work = """() => {
        const frame = document.querySelector('.views').getBoundingClientRect();
        return [...document.querySelectorAll('.view:not([hidden]) .active')].map((node) => {
            const box = node.getBoundingClientRect();
            const seen = box.right > frame.left && box.left < frame.right
                && box.bottom > frame.top && box.top < frame.bottom;
            return [seen, node.textContent];
        });
    }"""
    names = 0
    updates = graph == ("big",)  # at the end, when no box is at work
    for _ in range(int(tab.attribute("data-steps")) - updates):
        tab.press("ArrowRight")
        ((seen, words),) = tab.page.evaluate(at_work)
        sentence = tab.page.inner_text(".sentence")
        assert seen, sentence
        named = re.match(r"(?:Start at )?(v\d+|loss)\b", sentence)
        if named:
            assert re.search(rf"\b{named[1]}\b", words), (sentence, words)
            names += 1
    assert names >= 2


@once
def test_arrow_keys_find_single_operations_of_a_folded_page(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("big"))
    tab.page.focus(".view:not([hidden]) .node[data-kind=result]")
    tab.press("ArrowLeft")
    assert tab.page.evaluate("document.activeElement.dataset.kind") != "result"


@once
def test_a_node_of_a_folded_graph_tells_its_numbers_and_its_paths(
    visit: Visit, tmp_path: Path
) -> None:
    y = Value(1.0, label="x")
    for _ in range(60):
        y = y * 0.5 + y * 0.5
    tab = visit(save_stepper(y, tmp_path / "page.html"), "#node=v0")
    assert tab.page.inner_text(".numbers") == "value 1, gradient –"
    tab.press("End")
    assert tab.page.inner_text(".numbers") == "value 1, gradient 1"
    told = tab.page.inner_text(".chosen")
    assert f"{2**60:,} paths" in told and "Sum: 1, its gradient." in told
    assert "ways in all" not in tab.page.content()


@once
def test_paths_of_a_folded_network_are_listed_where_they_are_short(
    visit: Visit, saved: Saved
) -> None:
    root = big_network()
    place = next(i for i, node in enumerate(nodes(root)) if node.label == "x0")
    tab = visit(saved("big"), f"#step=999&node=v{place}")
    found = paths(root, nodes(root)[place])
    assert tab.page.locator(".chosen li").count() == 12
    assert f"{found.count - 12:,} more" in tab.page.inner_text(".chosen")


@once
def test_a_slope_is_shown_when_it_is_known(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"))
    hidden = "[...document.querySelectorAll('.slope')].filter((e) => e.getAttribute('visibility'))"
    slopes = tab.page.locator(".slope").count()
    assert tab.page.evaluate(f"{hidden}.length") == slopes == 10
    tab.press("ArrowRight")
    assert tab.page.evaluate(f"{hidden}.length") == slopes - 2
    tab.press("End")
    assert tab.page.evaluate(f"{hidden}.length") == 0


# ---- 14: any label -----------------------------------------------------------------------------

LABELS = ["</script>", '"><b>', "🎉 party", "x" * 200, "two\nlines", "same", "same", "{{script}}"]


@once
def test_labels_are_shown_as_they_are(visit: Visit, tmp_path: Path) -> None:
    leaves = [Value(i + 1.0, label=label) for i, label in enumerate(LABELS)]
    root = leaves[0]
    for leaf in leaves[1:]:
        root = root * leaf
    tab = visit(save_stepper(root, tmp_path / "page.html"), "#step=999")
    shown = {node["data-label"] for node in tab.each("[data-node]", "data-label")}
    assert shown == {*LABELS, ""}
    assert tab.complaints == [] and tab.page.locator("b").count() == 0
    rows = tab.page.evaluate("[...document.querySelectorAll('tbody th')].map((e) => e.textContent)")
    assert {"</script>", '"><b>', "🎉 party", "x" * 200, "two\\nlines", "{{script}}"} <= set(rows)


# ---- 15, 16: without JavaScript, and in a notebook ---------------------------------------------


@once
def test_without_javascript_the_end_and_the_table_are_shown(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"), java_script_enabled=False)
    assert tab.page.locator(".view svg").is_visible()
    assert tab.page.locator("table").is_visible()
    assert not tab.page.locator(".transport").is_visible()
    assert tab.page.locator("tbody tr").count() == 10
    assert "2.063" in tab.page.inner_text("tbody")
    assert float(tab.page.get_attribute("[data-node=v0]", "data-grad")) == pytest.approx(
        2.0633, 1e-4
    )


@each_width
def test_two_in_one_notebook_do_not_meet(visit: Visit, tmp_path: Path) -> None:
    frames = "".join(Stepper(graph())._repr_html_() for graph in (expression, expression))
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{frames}", encoding="utf-8")
    tab = visit(path)
    first, second = tab.page.frames[1:3]
    ids = [
        frame.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
        for frame in (None, first, second)[1:]
    ]
    assert not set(ids[0]) & set(ids[1])
    first.locator(".next").click()
    first.locator(".heading").click()
    tab.press("ArrowRight", 2)
    assert first.get_attribute(".stepper", "data-step") == "3"
    assert second.get_attribute(".stepper", "data-step") == "0"


# ---- 17, 18, and bad input ---------------------------------------------------------------------


@once
def test_the_first_nan_is_marked(visit: Visit, tmp_path: Path) -> None:
    x, y = Value(-1.0, label="x"), Value(2.0, label="y")
    broken = (x * y).log() * y + x
    tab = visit(save_stepper(broken.exp() + broken, tmp_path / "page.html"), "#step=999")
    (origin,) = tab.each("[data-origin]", "data-op", "data-value")
    assert origin == {"data-op": "log", "data-value": "nan"}


@once
def test_the_place_where_the_error_breaks_is_marked(visit: Visit, tmp_path: Path) -> None:
    x = Value(0.0, label="x")
    tab = visit(save_stepper(x.sqrt() * 2 + 1, tmp_path / "page.html"), "#step=999")
    (origin,) = tab.each("[data-origin]", "data-op")
    assert origin == {"data-op": "sqrt"}


@once
def test_places_where_the_error_is_lost_are_flagged(visit: Visit, tmp_path: Path) -> None:
    x = Value(5.0, label="x")
    tab = visit(save_stepper(x.tanh() * (-x).relu(), tmp_path / "page.html"), "#step=999")
    words = tab.page.inner_text(".views")
    assert "saturated" in words and "dead" in words


def seen_remarks(tab: Tab) -> list[str]:
    found: list[str] = tab.page.evaluate("""() => [...document.querySelectorAll('[data-known]')]
        .filter((e) => getComputedStyle(e).visibility !== 'hidden').map((e) => e.textContent)""")
    return found


@once
def test_a_flag_is_shown_when_it_is_known(visit: Visit, tmp_path: Path) -> None:
    """The gradients' flags only with the gradients; a result of gradient 1 has not vanished."""
    total = Value(0.1, label="acc")
    for i in range(19):
        total = total + Value(0.1 * i - 0.5, label=f"x{i}") * Value(1.2e-7 * 10**i)
    tab = visit(save_stepper(total, tmp_path / "page.html"))
    too_early = """() => [...document.querySelectorAll('[data-known]')].filter((e) =>
        e.getAttribute('visibility') !== 'hidden' && !e.closest('.node').dataset.grad).length"""
    for step in range(0, int(tab.attribute("data-steps")), 8):
        tab.page.evaluate(f"location.hash = '#step={step}'")
        tab.until(f"document.querySelector('.stepper').dataset.step === '{step}'")
        assert tab.page.evaluate(too_early) == 0
    tab.press("Home")
    assert seen_remarks(tab) == []
    tab.press("End")
    assert seen_remarks(tab).count("vanished") == 1 and "exploding" in seen_remarks(tab)
    flagged = tab.page.evaluate("""() => [...document.querySelectorAll('[data-known]')]
        .filter((e) => e.textContent === 'vanished').map((e) => e.closest('.node').dataset.grad)""")
    assert flagged == [repr(1.2e-7)]


@once
def test_flags_are_sentences_and_give_no_answer_away(visit: Visit, tmp_path: Path) -> None:
    x = Value(5.0, label="x")
    y = x.tanh()
    tab = visit(save_stepper((y * 1e-7).tanh(), tmp_path / "page.html"))
    story = json.loads(tab.page.evaluate("document.querySelector('.story').textContent"))
    flags = " ".join(moment["flag"] for moment in story["moments"])
    assert "the gradient of v1 has almost vanished" in flags and "v1 is saturated" in flags
    tab.page.click(".quiz")
    tab.page.click(".next")
    assert "saturated" not in seen_remarks(tab)
    tab.page.click(".next")
    assert "saturated" in seen_remarks(tab)


@once
def test_the_picture_names_one_origin_and_it_is_the_marked_one(
    visit: Visit, tmp_path: Path
) -> None:
    x, w, b = Value(0.0, "x"), Value(math.inf, "w"), Value(1.0, "b")
    root = (x * w + b * b) * (b - 1).log()
    tab = visit(save_stepper(root, tmp_path / "page.html"), "#step=999")
    said = tab.page.evaluate("""() => [...document.querySelectorAll('[data-known]')]
        .map((e) => [e.closest('.node').dataset.origin ?? null, e.textContent])""")
    assert [words for mark, words in said if mark is not None] == ["origin: inf begins here"]
    assert sorted(words for mark, words in said if mark is None) == [
        "here infinity becomes NaN",
        "−inf begins here too",
    ]


@once
def test_a_reader_can_be_asked_first(visit: Visit, saved: Saved) -> None:
    tab = visit(saved("small"), "#step=8")
    tab.page.click(".quiz")
    tab.page.click(".next")
    assert tab.step == 9
    question = tab.page.inner_text(".sentence")
    assert question.endswith("?") and tab.page.locator(".reveal").is_visible()
    assert "?" in [t.strip() for t in tab.page.locator(".node .grad").all_text_contents()]
    tab.page.click(".reveal")
    assert tab.step == 9 and tab.page.inner_text(".sentence") != question
    assert not tab.page.locator(".reveal").is_visible()
    assert "?" not in [t.strip() for t in tab.page.locator(".node .grad").all_text_contents()]


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (
        save_stepper(expression(), tmp_path / name, lr=0.1) for name in ("a.html", "b.html")
    )
    assert one.read_bytes() == two.read_bytes()
    assert json.loads(re.findall(r'class="story">(.*?)</script>', one.read_text())[0])["moments"]


def test_a_page_needs_no_backward_and_changes_no_gradient() -> None:
    y = expression()
    before = Stepper(y).html()
    assert all(node.grad == 0.0 for node in nodes(y))
    y.backward()
    assert Stepper(y).html() == before


def test_bad_input_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a picture is drawn of a Value"):
        save_stepper(2.0, tmp_path / "page.html")
    with pytest.raises(TypeError, match="lr, the learning rate, takes a real number"):
        save_stepper(expression(), tmp_path / "page.html", lr="fast")
    for rate in (math.nan, math.inf, -1.0):
        with pytest.raises(ValueError, match="lr, the learning rate, is a number from 0 up"):
            save_stepper(expression(), tmp_path / "page.html", lr=rate)
    for name in ("page.svg", "page", ""):
        with pytest.raises(ValueError, match=r"the name of a page ends in \.html"):
            save_stepper(expression(), name)
    with pytest.raises(TypeError, match="back is the address of the page that leads here"):
        save_stepper(expression(), tmp_path / "page.html", back=Path("index.html"))
    with pytest.raises(TypeError, match="a page is written to a path, but got None"):
        save_stepper(expression(), None)
    with pytest.raises(TypeError, match="names is a dict of names"):
        save_stepper(expression(), tmp_path / "page.html", names=["a"])
    with pytest.raises(ValueError, match="no engine 'neato'; choose"):
        save_stepper(expression(), tmp_path / "page.html", engine="neato")
    with pytest.raises(ValueError, match="rankdir is 'LR'"):
        save_stepper(expression(), tmp_path / "page.html", rankdir="up")
    for fold in ("yes", 3):
        with pytest.raises(TypeError, match="fold is True, False, or None to fold big graphs"):
            save_stepper(expression(), tmp_path / "page.html", fold=fold)
    with pytest.raises(OSError, match="cannot write"):
        save_stepper(expression(), tmp_path / "missing" / "page.html")
    assert list(tmp_path.iterdir()) == []
    assert "Step 0" not in Stepper(Value(2.0, label="x")).html()
