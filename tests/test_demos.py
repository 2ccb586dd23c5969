"""The demos, run as a newcomer runs them: what they print, and what they write."""

from __future__ import annotations

import html
import math
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
from sklearn.datasets import load_digits

from demos import Prose, prose
from demos.cells import Stop, cells, docstring
from demos.page import KEY, STOPS, page
from microgradlike.files import write
from microgradlike.nn import MLP
from tests.browser import Tab

ROOT = Path(__file__).parent.parent


def run(demo: str, *options: str) -> str:
    command = [sys.executable, "-m", f"demos.{demo}", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


class Tour(NamedTuple):
    """What ``python -m demos`` wrote, and what each demo printed."""

    folder: Path
    printed: dict[str, str]

    @property
    def page(self) -> str:
        return (self.folder / "index.html").read_text(encoding="utf-8")

    def section(self, name: str) -> str:
        """The part of the page about one stop."""
        return self.page.partition(f'<section id="{name}">')[2].partition("</section>")[0]


Tours = Callable[[str], Tour]
#: The demos of each tour, by its seed. ``test_demos_delta`` runs the one that is missing here.
TOURS = {"0": ["all"], "3": [name for name in STOPS if name != "why_backprop"]}


@pytest.fixture(scope="session")
def tours(shared_folder: Path) -> Tours:
    """The tour of a seed, made once for all tests and workers."""

    def tour(seed: str) -> Tour:
        folder = shared_folder / f"tour{seed}"
        printed, failed = folder.with_suffix(".printed"), folder.with_suffix(".failed")
        try:
            folder.mkdir()
        except FileExistsError:  # another worker is at it
            while not printed.exists():
                assert not failed.exists(), f"the tour of seed {seed} failed in another worker"
                time.sleep(0.2)
        else:
            names = TOURS[seed]
            command = [sys.executable, "-m", "demos", *names, "--seed", seed, "--out", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
            if done.returncode:
                failed.touch()
            assert done.returncode == 0, done.stderr
            write(printed, done.stdout.encode())
        _, *parts = re.split(r"^==== (\w+) ====$", printed.read_text("utf-8"), flags=re.M)
        return Tour(folder, dict(zip(parts[::2], parts[1::2], strict=True)))

    return tour


@pytest.fixture
def tour(tours: Tours) -> Tour:
    return tours("0")


class Ran(NamedTuple):
    """What one demo printed, and the names of the files that it wrote into a folder."""

    printed: str
    folder: Path
    written: list[str]


@pytest.fixture
def ran(tours: Tours) -> Callable[[str, str], Ran]:
    """What the tour of a seed has of a demo."""

    def ran(demo: str, seed: str) -> Ran:
        tour = tours(seed)
        written = sorted(path.name for path in tour.folder.glob(f"{demo}*"))
        return Ran(tour.printed[demo], tour.folder, written)

    return ran


Run = Callable[[str, str], Ran]

#: The tour's sentences are computed: they are tested with the numbers of two seeds.
SEEDS = tuple(TOURS)


def words(text: str) -> str:
    """Letters and digits alone: what is the same in markdown and in HTML."""
    text = re.sub(r"<(?!\s)[^>]*>", "", text)
    return "".join(c for c in html.unescape(text) if c.isalnum())


# ---- The tour ----------------------------------------------------------------------------------


def test_the_tour_shows_every_picture_with_its_words(tour: Tour) -> None:
    assert list(tour.printed) == list(STOPS)
    files = {path.name for path in tour.folder.iterdir()} - {"index.html"}
    shown = set(re.findall(r'(?:src|href)="([^"#]+)"', tour.page))
    assert shown <= files
    films = {name for name in files if name.endswith("_flow.svg")}
    assert files - shown == {name for name in files if name.endswith(".npz")} | films
    assert "://" not in tour.page.replace("http://www.w3.org", "")
    for name in STOPS:
        section = tour.section(name)
        picture = r'<figure class="(?!equation).*?<figcaption>(.*?)</figcaption>'
        captions = re.findall(picture, section, re.S)
        assert captions and all(len(caption) > 30 for caption in captions)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stop_tells_what_its_script_tells_in_the_same_order(tours: Tours, seed: str) -> None:
    tour = tours(seed)
    for name in tour.printed:
        script = (ROOT / "demos" / f"{name}.py").read_text(encoding="utf-8")
        about = docstring(name).partition("\n")[2].partition("Run it with")[0]
        section, place = words(tour.section(name)), 0
        for told in (about, *(cell.text for cell in cells(script) if cell.is_markdown)):
            found = section.find(words(told), place)
            assert found >= 0, f"{name} does not say here: {told}"
            place = found
        # Pictures that the script names are in its order, too.
        named = re.findall(r'"(\w+\.(?:svg|png|html))"', script)
        shown = re.findall(r'<a(?: class="frame")? href="(\w+\.\w+)">', tour.section(name))
        assert [file for file in shown if file in named] == [f for f in named if f in shown]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_demo_prints_is_between_the_words_and_pictures_of_its_cells(
    tours: Tours, seed: str
) -> None:
    section = tours(seed).section("company")
    places = [
        section.index(words)
        for words in (
            "One sale, forward</h3>",
            "Sale 1: Ada reports",
            "A nudge</h3>",
            "Backpropagation finds",
            "adjusted then</h3>",
            "after sale 1: old",
            "company_before.svg",
            "company_after.svg",
            "to be added up by hand",
            "company_errors.svg",
            "company.html",
            "playground.html",
        )
    ]
    assert places == sorted(places)
    assert section.count("to be added up by hand") == 1


def test_the_map_leads_to_all_stops_and_each_stop_to_the_next(tour: Tour) -> None:
    ids = set(re.findall(r'\bid="(\w+)"', tour.page))
    assert set(re.findall(r'href="#(\w+)"', tour.page)) <= ids
    chart = tour.page.partition('aria-label="map"')[2].partition("</svg>")[0]
    assert set(re.findall(r'href="#(\w+)"', chart)) == set(STOPS)
    minutes = []
    for number, (name, following) in enumerate(zip(STOPS, [*STOPS, ""][1:], strict=True), 1):
        section = tour.section(name)
        head = re.match(r"<h2>.*?</h2>\s*<p class=.where.>Stop (\d) of 8, (\d+) minute", section)
        assert head and int(head[1]) == number
        minutes.append(int(head[2]))
        assert f"{head[2]} minute" in chart
        [goal] = re.findall(r'<p class="goal">(.*?)</p>', section, re.S)
        assert goal.startswith("After this stop you ")
        [onward] = re.findall(r'<p class="next">(.*?)</p>', section, re.S)
        assert 'href="#map"' in onward
        assert re.findall(r'href="#(\w+)"', onward)[0] == (following or "map")
    assert all(1 <= m <= 15 for m in minutes)
    assert f"about {sum(minutes)} minutes" in " ".join(tour.page.split())


def test_the_tour_answers_the_five_questions(tour: Tour) -> None:
    answers = dict(re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", tour.page, re.S))
    needed = [
        ("flows forward", ("weight", "weighted sum", "activation", "inference")),
        ("flows backward", ("error = target − answer", "slope", "at its result ×", "against")),
        ("one weight at a time", ("11.6 days", "curse of dimensionality", "all weights at once")),
        ("delta", ("next layer", "weight between", "its effects add", "(its input) × (the delta")),
        ("saturated", ("flat", "nearly 0")),
    ]
    for (question, answer), (about, told) in zip(answers.items(), needed, strict=True):
        assert about in question
        text = " ".join(re.sub(r"<[^>]*>", "", answer).split())
        assert all(some in text for some in told), question
    assert "Results flow forward, the gradient flows backward." in tour.page


@pytest.mark.parametrize("seed", SEEDS)
def test_the_introduction_has_numbers_that_follow_from_each_other(tours: Tours, seed: str) -> None:
    tour = tours(seed)
    page = " ".join(re.sub(r"<[^>]*>", " ", tour.page).split())
    given = re.search(
        r"The input is (\S+) and the weight (\S+) , so the answer is (\S+)\. It should have been "
        r"(\S+) ,".replace(" ,", " ?,"),
        page,
    )
    assert given
    x, w, answer, target = map(float, given.groups())
    assert answer == w * x

    def cost(w: float) -> float:
        return (target - w * x) ** 2 / 2

    rows = re.findall(r"(\S+) (\S+) \+(\S+) \S+ ÷ \S+ = (\S+)", page)
    assert [float(row[0]) for row in rows] == [0.1, 0.01, 0.001]
    for nudge, after, rise, ratio in (map(float, row) for row in rows):
        assert after == pytest.approx(cost(w + nudge), rel=1e-6)
        assert rise == pytest.approx(after - cost(w), abs=1e-6)
        assert ratio == pytest.approx(rise / nudge, rel=1e-4)
    [slope] = re.findall(r"the nearer the ratio comes to (\S+)\. That", page)
    assert float(slope) == -(target - answer) * x == pytest.approx(ratio, rel=2e-3)

    said = re.search(
        r"Ada reports (\S+) and Ben (\S+), so Mia's trust in (\w+) moves (\d+) times as far", page
    )
    assert said
    ada, ben = float(said[1]), float(said[2])
    assert said[3] == ("Ada" if abs(ada) > abs(ben) else "Ben")
    low, high = sorted((abs(ada), abs(ben)))
    assert int(said[4]) == round(high / low)

    flat = re.search(r"weighted sum of (\S+) the slope of tanh is (\S+): .* made (\S+) times", page)
    assert flat
    z, small, times = (float(number.replace(",", "")) for number in flat.groups())
    assert small == pytest.approx(1 - math.tanh(z) ** 2, rel=0.05)
    assert times == pytest.approx(1 / (1 - math.tanh(z) ** 2), rel=1e-3)


def test_the_teachers_glossary_is_the_key_of_the_tour(tour: Tour) -> None:
    glossary = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    for row in KEY:
        assert f"| {' | '.join(row)} |" in glossary
        assert all(words(prose.inline(cell)) in words(tour.page) for cell in row)


def test_a_page_of_some_stops_does_not_quote_the_others() -> None:
    stop = Stop(
        "moons", "Two moons.\n\nAfter this stop you know. More.", [Prose("*One*.")], {}, 1.0
    )
    written = page([stop])
    assert "<em>One</em>" in written
    assert (
        "In the first sale of" not in written and "{" not in written.partition("</style>")[2][:9000]
    )


def test_the_page_of_the_tour_in_a_browser(tour: Tour, visit: Callable[..., Tab]) -> None:
    tab = visit(tour.folder / "index.html")
    assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    # Where a picture goes on at the right there is a line that says so, and nowhere else.
    cut = """[...document.querySelectorAll('figure:has(.cue)')].filter((figure) => {
        const frame = figure.querySelector('.frame'), cue = figure.querySelector('.cue');
        return (frame.scrollWidth > frame.clientWidth + 1) !== (cue.clientHeight > 8);
    }).map((figure) => figure.textContent.slice(0, 80))"""
    assert tab.page.evaluate(cut) == []
    assert not tab.complaints
    assert all(url.startswith("file://") for url in tab.requests)


def test_photographs_are_dimmed_at_night(tour: Tour, browser: Any) -> None:
    tab = Tab(browser, tour.folder / "index.html", color_scheme="dark")
    look = "getComputedStyle(document.querySelector('.photograph .frame')).filter"
    assert tab.page.evaluate(look) == "brightness(0.62)"
    tab.context.close()


def test_on_a_phone_each_picture_is_seen_as_a_whole(tour: Tour, browser: Any) -> None:
    tab = Tab(browser, tour.folder / "index.html", viewport={"width": 390, "height": 844})
    cut = """[...document.querySelectorAll('figure:not(.equation) .frame')]
        .filter((frame) => frame.scrollWidth > frame.clientWidth + 1).length"""
    assert tab.page.evaluate(cut) == 0
    tab.context.close()


def test_a_projector_gets_large_letters(tour: Tour, browser: Any) -> None:
    large = {"viewport": {"width": 1920, "height": 1080}}
    tab = Tab(browser, tour.folder / "index.html", "#projector", **large)
    size = "parseFloat(getComputedStyle(document.querySelector('.goal')).fontSize)"
    assert tab.page.evaluate(size) >= 28
    assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    tab.press("p")
    assert tab.page.evaluate(size) == 16
    tab.press("P")
    assert tab.page.evaluate(size) >= 28
    tab.context.close()


def test_on_paper_everything_is_unfolded_and_nothing_is_cut(tour: Tour, browser: Any) -> None:
    tab = Tab(browser, tour.folder / "index.html", viewport={"width": 703, "height": 1000})
    paper = tab.page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) <= 12
    tab.page.emulate_media(media="print")
    tab.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.page.evaluate("[...document.querySelectorAll('details')].every(d => d.open)")
    cut = """[...document.querySelectorAll('body *:not(.frame *)')]
        .filter((e) => e.getBoundingClientRect().right > document.body.clientWidth + 1)
        .map((e) => e.outerHTML.slice(0, 80))"""
    assert tab.page.evaluate(cut) == []
    cut = """[...document.querySelectorAll('.equation .frame')]
        .filter((e) => e.scrollWidth > e.clientWidth + 1).length"""
    assert tab.page.evaluate(cut) == 0
    # With more room below than it takes, a heading is not the last on its page.
    least = """Math.min(...[...document.querySelectorAll('h2, h3')]
        .map((e) => parseFloat(getComputedStyle(e).paddingBottom)))"""
    assert tab.page.evaluate(least) > 30
    hidden = "[...document.querySelectorAll('.next, .cue')].every(e => !e.offsetHeight)"
    assert tab.page.evaluate(hidden)
    # No animation is at work: a film shows its end.
    assert tab.page.evaluate("document.getAnimations().length") == 0
    tab.context.close()


def test_the_demos_are_listed_and_chosen_by_name(tmp_path: Path) -> None:
    def ask(*words: str) -> Any:
        command = [sys.executable, "-m", "demos", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    listed = ask()
    assert all(re.search(rf"^{name} +\w.{{30,}}", listed.stdout, re.M) for name in STOPS)
    unknown = ask("companie")
    assert unknown.returncode == 2
    assert "there is no demo 'companie': choose of company, " in unknown.stderr
    chosen = ask("layer_errors", "hand_derivation", "--out", str(tmp_path), "--seed", "5")
    assert chosen.returncode == 0
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'<section id="(\w+)">', page) == ["layer_errors", "hand_derivation"]


@pytest.mark.parametrize("name", STOPS)
def test_each_demo_opens_as_a_notebook(name: str) -> None:
    source = (ROOT / "demos" / f"{name}.py").read_text(encoding="utf-8")
    assert source.count("\n# %%\n") >= 3
    assert source.count("\n# %% [markdown]\n# ") >= 2


# ---- The company -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_feedback_of_the_company_is_the_one_derived_by_hand(ran: Run, seed: str) -> None:
    """With words a, trust v, w and opinions b = 0: z = sum of trust x word, word = tanh(z).

    answer = sigmoid(z_ceo), C = (target - answer)^2 / 2, so by the chain rule
    delta_ceo = -(target - answer) answer (1 - answer), delta_m = delta_ceo w_m (1 - word_m^2),
    and each trust moves by -delta x word, each own opinion by -delta.
    """
    printed = ran("company", seed).printed
    line = re.search(r"Sale 1: Ada reports (\S+), Ben (\S+)\n", printed)
    told = re.search(r"target (\S+), answer (\S+), error = target − answer = (\S+)\n", printed)
    assert line and told
    ada, ben = map(float, line.groups())
    target = float(told[1])
    first, last = MLP(2, [3, 1], activation=["tanh", "sigmoid"], seed=int(seed)).layers
    by_trust = sorted(range(3), key=lambda m: abs(last.neurons[0].w[m].data))
    v = [[w.data for w in first.neurons[m].w] for m in by_trust]
    w = [last.neurons[0].w[m].data for m in by_trust]

    spoken = [math.tanh(by_ada * ada + by_ben * ben) for by_ada, by_ben in v]
    answer = 1 / (1 + math.exp(-sum(a * b for a, b in zip(w, spoken, strict=True))))
    delta_ceo = -(target - answer) * answer * (1 - answer)
    deltas = [delta_ceo * w[m] * (1 - spoken[m] ** 2) for m in range(3)]
    trust = [v[m][0] - deltas[m] * ada for m in range(3)]
    trust += [v[m][1] - deltas[m] * ben for m in range(3)]
    trust += [w[m] - delta_ceo * spoken[m] for m in range(3)]

    assert [told[2], told[3]] == [f"{answer:.3f}", f"{target - answer:+.3f}"]
    [row] = re.findall(r"^ +1 .* ((?:[+-]\d\.\d{5} ?){4})$", printed, re.M)
    assert row.split() == [f"{delta:+.5f}" for delta in (delta_ceo, *deltas[::-1])]
    listeners = ("Olga", "Noah", "Mia")
    moved = re.findall(r"^  (.*)'s trust in (\w+) .* = (\S+)$", printed, re.M)
    by_hand = [*((m, "Ada") for m in listeners), *((m, "Ben") for m in listeners)]
    by_hand += [("the CEO", m) for m in listeners]
    assert {(who, whom): number for who, whom, number in moved} == {
        pair: f"{number:+.6f}" for pair, number in zip(by_hand, trust, strict=True)
    }
    opinions = dict(re.findall(r"^  (.*)'s own opinion .* = (\S+)$", printed, re.M))
    assert opinions == {
        name: f"{-delta:+.6f}"
        for name, delta in zip((*listeners, "the CEO"), (*deltas, delta_ceo), strict=True)
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_each_step_back_to_mia_passes_on_what_arrives_times_its_slope(ran: Run, seed: str) -> None:
    printed = ran("company", seed).printed
    rows = [
        [float(number.replace("−", "-")) for number in row]
        for row in re.findall(
            r"^[^ ].* {2,}([−\d.]+) × ([−\d.]+) [^+=]*= ([−\d.]+)$", printed, re.M
        )
    ]
    assert len(rows) == 7 and rows[0][0] == 1
    for (arrives, slope, passed), (next_arrives, *_) in zip(
        rows, [*rows[1:], rows[-1]], strict=True
    ):
        assert passed == pytest.approx(arrives * slope, rel=0.01)
        assert next_arrives == passed or rows[-1][0] == next_arrives
    # The slopes follow from the sums of the first sale, which were printed before.
    told = re.search(r"target (\S+), answer (\S+), error", printed)
    mia = re.search(r"^Mia .* = (\S+)$", printed, re.M)
    ceo = re.search(r"^the CEO .* (\S+) \+ \S+ = \S+ {4}", printed, re.M)
    assert told and mia and ceo
    target, answer = map(float, told.groups())
    trust = float(re.findall(r"× (\S+) \+ \S+ = ", ceo[0])[-1].strip("()"))
    by_hand = [
        *(0.5, 2 * (target - answer), -1, answer * (1 - answer), 1, trust),
        1 - float(mia[1]) ** 2,
    ]
    assert [slope for _, slope, _ in rows] == [pytest.approx(s, rel=0.01) for s in by_hand]
    nudged = re.search(r"confirms them: it gives (\S+) and (\S+)\.", printed)
    assert nudged
    assert [float(slope) for slope in nudged.groups()] == [
        pytest.approx(by_hand[place], rel=0.01) for place in (3, 6)
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_each_person_says_can_be_added_up_by_hand(ran: Run, seed: str) -> None:
    printed = ran("company", seed).printed
    line = r"^(Olga|Noah|Mia|the CEO) +([^=]+) = (\S+) {4}(tanh|sigmoid)\((\S+)\) = (\S+)$"
    lines = re.findall(line, printed, re.M)
    assert [name for name, *_ in lines] == ["Olga", "Noah", "Mia", "the CEO"] * 2
    curves: dict[str, Callable[[float], float]] = {
        "tanh": math.tanh,
        "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    }
    for _, terms, z, curve, at, word in lines:
        # Of each factor, at most 4, half of the last of three digits is not seen.
        total = sum(math.prod(map(_number, term.split("×"))) for term in terms.split(" + "))
        assert total == pytest.approx(float(z), abs=0.008)
        assert at == z
        assert float(word) == pytest.approx(curves[curve](float(z)), abs=0.001)
    # The CEO adds up just the words that the managers have said.
    for first in (0, 4):
        spoken = [float(word) for *_, word in lines[first : first + 3]]
        terms = lines[first + 3][1].split(" + ")[:3]
        assert [_number(term.split("×")[0]) for term in terms] == spoken


def _number(text: str) -> float:
    return float(text.strip(" ()"))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_sentences_of_the_company_are_true(ran: Run, tours: Tours, seed: str) -> None:
    printed = ran("company", seed).printed
    nudge = re.search(r"(\S+) ÷ 0\.01 = (\S+), is.* Backpropagation finds (\S+) without", printed)
    assert nudge
    change, ratio, gradient = map(float, nudge.groups())
    assert ratio == pytest.approx(change / 0.01, abs=2e-4)
    assert gradient == pytest.approx(ratio, rel=0.1, abs=2e-4)
    moved = {
        who: float(now) - float(old)
        for who, old, now in re.findall(
            r"^  (.*'s trust in \w+) +(\S+) − .* = (\S+)$", printed, re.M
        )
    }
    [(whose, way, by)] = re.findall(r"moves farthest is (.*?): (up|down) by (\S+)\. ", printed)
    assert abs(moved[whose]) == max(map(abs, moved.values()))
    assert float(by) == pytest.approx(abs(moved[whose]), abs=1e-4)
    assert way == ("up" if moved[whose] > 0 else "down")
    lines = re.findall(
        r"^  (.*'s (?:trust in \w+|own opinion)) +(\S+) − .* = (\S+)$", printed, re.M
    )
    changes = {who: float(now) - float(old) for who, old, now in lines}
    first_of_all = max(changes, key=lambda who: abs(changes[who]))
    [of_all] = re.findall(r"Of all 13 numbers it is (.*?)(?:: .*?)?\. \*\*", printed)
    assert len(changes) == 13
    assert of_all == ("the same one" if first_of_all == whose else first_of_all)

    [last_ceo] = re.findall(r"^the CEO (.*)$", printed.partition("by hand:")[2], re.M)
    trusts = [_number(term.split("×")[1]) for term in last_ceo.split(" + ")[:3]]
    [widest] = re.findall(r"The widest arrow to the CEO is now (\w+)'s", printed)
    assert widest == ("Olga", "Noah", "Mia")[numpy.argmax(numpy.abs(trusts))]
    [first_ceo] = re.findall(r"^the CEO (.*)$", printed.partition("target 0")[0], re.M)
    began = [_number(term.split("×")[1]) for term in first_ceo.split(" + ")[:3]]
    turned = [
        m for m, a, b in zip(("Olga", "Noah", "Mia"), began, trusts, strict=True) if a * b < 0
    ]
    named = re.findall(r"trust in ([\w ]+) has changed its sign", printed)
    assert named == ([" and ".join(turned)] if turned else [])
    assert re.search(rf"{widest}'s, (.*?):", printed)[1] == (  # type: ignore[index]
        "as before" if widest == "Mia" else "and was not before"
    )

    # The pictures are of a sale whose error falls; and another one shows that not all do.
    captions = re.findall(
        r"<figcaption>.*?in sale (\d+) .*?the answer (\S+), the error (\S+)\. .*?off by (\S+)\.<",
        tours(seed).section("company"),
    )
    assert len(captions) == 3 and len({sale for sale, *_ in captions}) == 1
    errors = [abs(float(error.replace("−", "-"))) for *_, error, _ in captions]
    assert errors == sorted(errors, reverse=True)
    typical = [float(off) for *_, off in captions]
    assert typical == sorted(typical, reverse=True)
    rising = re.search(
        r"The error of sale (\d+) was (\S+) at the beginning\. After (\d+) rounds it is (\S+), ",
        printed,
    )
    assert rising and rising[1] != captions[0][0]
    assert float(rising[4]) > 1.05 * float(rising[2])
    smaller = re.search(r"(\d+) of the 12 errors are smaller .* and (\d+) are not", printed)
    assert smaller and int(smaller[1]) + int(smaller[2]) == 12 and int(smaller[2]) >= 1


def test_the_company_meets_its_targets(tour: Tour) -> None:
    printed = tour.printed["company"]
    assert len(re.findall(r"^ +\d+ (?:.*[+-]\d\.\d{5} ?){4}$", printed, re.M)) == 12
    rows = re.findall(r"^ *\d+ rounds? +(\S+) +(\S+)", printed, re.M)
    costs, typical = zip(*((float(cost), float(off)) for cost, off in rows), strict=True)
    assert costs[0] > costs[1] and costs[2] < costs[0] / 2 and costs[3] < 0.001
    for mean, off in zip(costs, typical, strict=True):
        assert off == pytest.approx(math.sqrt(2 * mean), abs=1e-3)
    assert "the cost falls by" in printed
    assert not re.search(r"\bv\d+\b", printed)
    assert "stuck" not in printed
    # A width means the same in all three pictures.
    arrow = re.compile(r"<title>weight from [^:]*: (\S+).*?stroke-width=.([\d.]+)", re.S)
    drawn = []
    for stage in ("before", "during", "after"):
        found = arrow.findall((tour.folder / f"company_{stage}.svg").read_text(encoding="utf-8"))
        assert len(found) == 9
        drawn += [(abs(float(weight)), float(width)) for weight, width in found]
    widths = [width for _, width in sorted(drawn)]
    assert widths == sorted(widths) and widths[0] < widths[-1] / 3


def test_a_company_that_is_stuck_says_so(tmp_path: Path) -> None:
    assert "This company is stuck" in run("company", "--out", str(tmp_path), "--seed", "13")


# ---- Why backpropagation -----------------------------------------------------------------------


def test_the_curse_of_dimensionality(tour: Tour) -> None:
    row = r"^ +([\d,]+) +(10\^\d+) {3}(\S.*?) {2,}\S.*(?:measured|extrapolated)$"
    found = re.findall(row, tour.printed["why_backprop"], re.M)
    rows = {weights: (combinations, predicted) for weights, combinations, predicted in found}
    assert rows == {
        "1": ("10^3", "1 us"),
        "2": ("10^6", "1 ms"),
        "3": ("10^9", "1 s"),
        "4": ("10^12", "16.7 minutes"),
        "5": ("10^15", "11.6 days"),
        "10": ("10^30", "3.2 x 10^13 years"),
        "100": ("10^300", "3.2 x 10^283 years"),
        "1,000": ("10^3000", "3.2 x 10^2983 years"),
    }
    printed = tour.printed["why_backprop"]
    assert len(re.findall(r", measured$", printed, re.M)) == 2


def test_backpropagation_needs_as_many_passes_for_many_weights_as_for_few(tour: Tour) -> None:
    printed = tour.printed["why_backprop"].partition("1 % of what it was")[2]

    def passes(name: str) -> list[int]:
        found = re.search(rf"^  {name} +([\d, ]+)$", printed, re.M)
        assert found
        return [int(count.replace(",", "")) for count in found[1].split()]

    alone, together = passes("one at a time"), passes("backpropagation")
    assert alone == sorted(alone) and alone[-1] > 500 * alone[0]
    assert max(together) < 3 * min(together) and together[-1] * 100 < alone[-1]
    ways = tour.printed["why_backprop"].partition("Seven weights")[2]
    costs = re.findall(r"^  [a-z ]+? +([\d,]+) +(?:\S+) +(0\.\d+) +\S+$", ways, re.M)
    (everything, grid), (_, single), (_, best) = costs
    assert everything == f"{7**7:,}"
    assert float(best) < 0.001 < 0.01 < min(float(grid), float(single))


# ---- The layer errors --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_delta_from_delta_is_what_the_engine_says(ran: Run, seed: str) -> None:
    printed = ran("layer_errors", seed).printed
    for layer in (3, 2, 1):
        by_equation = re.search(rf"= delta{layer}  +(.*)$", printed, re.M)
        engine = re.search(
            rf"= delta{layer}  .*\n +by the engine +(.*?)   differs by (\S+)", printed
        )
        assert by_equation and engine
        assert engine[1] == by_equation[1].strip()
        assert float(engine[2]) < 1e-15
    a, b, c = (
        dict(zip(("z", "slope", "back", "delta", "moved"), map(float, row.split()), strict=True))
        for row in re.findall(r"^  [ABS]( +[+-]\d\.\d{4} .*)$", printed, re.M)
    )
    assert c["z"] == 5.0 and c["slope"] == pytest.approx(1 - math.tanh(5) ** 2, abs=1e-6)
    assert abs(c["back"]) > 0.05
    for neuron in (a, b, c):
        assert neuron["delta"] == pytest.approx(neuron["back"] * neuron["slope"], abs=1e-6)
    assert 1000 * c["moved"] < min(a["moved"], b["moved"])


# ---- Gradient descent --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rate_above_two_by_the_curvature_diverges(ran: Run, seed: str) -> None:
    printed = ran("gradient_descent", seed).printed
    curvature = re.search(r"along the valley (\S+), across it (\S+)\n", printed)
    bound = re.search(r"2 / (\S+) = (\S+)\n", printed)
    costs = re.search(r"The cost is (\S+) at the start, and (\S+) at the bottom", printed)
    assert curvature and bound and costs
    # The valley again, by the normal equations: the second derivatives of a mean square.
    x = numpy.random.default_rng(int(seed)).uniform(0, 3, size=30)
    moments = 2 * numpy.array([[(x * x).mean(), x.mean()], [x.mean(), 1.0]])
    along, across = numpy.linalg.eigvalsh(moments)
    assert [float(c) for c in curvature.groups()] == [round(along, 3), round(across, 3)]
    assert float(bound[2]) == pytest.approx(2 / across, abs=5e-4)
    first, least = map(float, costs.groups())
    rows = re.findall(r"^([a-zA-Z ]+?) {2,}(0\.\d+) +(never|\d+) +(\S+)$", printed, re.M)
    ways = {
        name: (float(rate), steps, float(cost.replace(",", ""))) for name, rate, steps, cost in rows
    }
    assert list(ways) == [
        *("too small", "just right", "near the limit", "too large", "with momentum", "Adam")
    ]
    for name, (rate, steps, cost) in ways.items():
        if name == "too large":
            assert rate > 2 / across and steps == "never" and cost > 1e6 * first
        elif name == "too small":
            assert rate < 0.03 * 2 / across and steps == "never" and least < cost < first
        else:
            assert int(steps) < 100 and cost == pytest.approx(least, abs=2e-3)
            assert name == "Adam" or rate < 2 / across


# ---- Train, then deploy ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fresh_process_gives_the_same_answers(ran: Run, seed: str) -> None:
    printed = ran("train_then_deploy", seed).printed
    right = re.search(r"flowers: (\d+)% of them right, and (\d+)% of 50 that it never", printed)
    assert right and min(map(int, right.groups())) >= 90
    same = re.search(r"gives exactly the same scores\. .* differ by (\S+) at", printed)
    assert same and float(same[1]) < 1e-13
    # 8 neurons of 4 inputs, 3 of 8: a product and a sum for each input, and the tanh.
    graph = re.search(r"^with a graph +(\d+) +([\d,]+)$", printed, re.M)
    bare = re.search(r"^within no_grad\(\) +(\d+) +([\d,]+)$", printed, re.M)
    assert graph and bare
    assert int(graph[1]) == 2 * (8 * 4 + 3 * 8) + 8
    assert int(bare[1]) == 0
    assert int(graph[2].replace(",", "")) > 10 * int(bare[2].replace(",", ""))
    assert len(re.findall(r"^.* {2,}[\d,]+ +[\d,]+\.\d$", printed, re.M)) == 4


# ---- Say seven with high confidence --------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_cat_is_honest_about_its_confidence(ran: Run, seed: str) -> None:
    printed, folder, written = ran("cat", seed)
    assert written == ["cat_confidence.png", "cat_model.npz", "cat_saliency.png"]
    for name in ("cat_confidence.png", "cat_saliency.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")

    # What it should have printed, from the saved weights, with NumPy alone.
    X, y = load_digits(return_X_y=True)
    shares = _confidences(folder / "cat_model.npz", X / 16)
    right, sure = shares.argmax(axis=1) == y, shares.max(axis=1)
    test = numpy.arange(len(X)) >= 1287
    assert f"training accuracy is {right[~test].mean():.1%} of 1287 pictures" in printed
    assert f"test accuracy {right[test].mean():.1%} of 510 pictures" in printed
    assert right[~test].mean() >= 0.99
    assert 0.9 <= right[test].mean() < 0.96
    rows = re.findall(r"^(\d) +(\d+) +(\d+) +([\d.]+)% +(?:[\d.]+%|–)$", printed, re.M)
    assert [int(digit) for digit, *_ in rows] == list(range(10))
    for digit, pictures, hits, confidence in rows:
        these = test & (y == int(digit))
        assert (int(pictures), int(hits)) == (these.sum(), right[these].sum())
        assert float(confidence) == pytest.approx(100 * sure[these & right].mean(), abs=0.0501)

    # Sure is oftener right, but not always right.
    bands = re.findall(r"^\d+% to \d+% +(\d+) +(\d+)", printed, re.M)
    (high, high_right), *others = [(int(pictures), int(hits)) for pictures, hits in bands]
    assert high + sum(pictures for pictures, _ in others) == 510
    assert high_right + sum(hits for _, hits in others) == right[test].sum()
    assert high == (test & (sure > 0.9)).sum() >= 400
    assert 0.95 <= high_right / high < 1
    assert sum(hits for _, hits in others) / sum(pictures for pictures, _ in others) < 0.8
    (blunders,) = re.findall(r"more than 90% sure: (\d+) pictures", printed)
    assert int(blunders) == high - high_right

    (easy,) = re.findall(r"It scores ([\d.]+)%\. That is too good", printed)
    assert float(easy) / 100 > right[test].mean() + 0.02

    (cats,) = re.findall(r"90% sure of (\d+) pieces", printed)
    assert 20 <= int(cats) <= 90

    # The slopes are those of the engine, and a step along them does what they say.
    (difference,) = re.findall(r"they differ by (\S+) at most", printed)
    assert float(difference) < 1e-12
    moved = re.findall(
        r"^the .{23} +([<>]? ?[\d.]+)% +([<>]? ?[\d.]+)% +([<>]? ?.+)%$", printed, re.M
    )
    numbers = [[float(share.strip("<> ")) for share in row] for row in moved]
    assert len(numbers) == 3
    for before, raised, lowered in numbers:
        assert lowered < before <= raised
        assert raised > 90
    assert numbers[1][0] < 50, "the seven it doubts most"
    share, left, named = re.findall(
        r"Lowered like this, (\d+)% of the .*\((\d+) of (\d+)\)", printed
    )[0]
    assert int(share) == round(100 * int(left) / int(named))
    assert int(named) == right[test & (y == 7)].sum()
    assert int(left) < int(named) / 2


def _confidences(saved: Path, X: Any) -> Any:
    """Softmax of the saved network's scores."""
    model = MLP(64, [32, 10], activation="tanh")
    model.load(saved)
    for layer in model.layers:
        weights = numpy.array([[w.data for w in neuron.w] for neuron in layer.neurons])
        X = X @ weights.T + [neuron.b.data for neuron in layer.neurons]
        X = numpy.tanh(X) if layer is model.layers[0] else X
    shares = numpy.exp(X - X.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


# ---- One expression, and two moons -------------------------------------------------------------


def test_hand_derivation_agrees_three_ways(ran: Run) -> None:
    printed, folder, _ = ran("hand_derivation", "3")
    rows = re.findall(r"dy/d([abcd])" + r"\s+(\S+)" * 3 + r"\s+(\d+) and (\d+) digits", printed)
    assert [name for name, *_ in rows] == list("abcd")
    for _, by_hand, engine, numeric, *digits in rows:
        assert engine == by_hand
        assert float(numeric) == pytest.approx(float(by_hand), rel=1e-3)
        assert int(digits[0]) >= 14 and int(digits[1]) >= 9
    picture = (folder / "hand_derivation.svg").read_text()
    assert picture.startswith("<svg")
    assert "gradient sent from e back to" in picture


def test_hand_derivation_can_be_done_in_the_head_and_shows_why_order_matters(
    tmp_path: Path,
) -> None:
    printed = run("hand_derivation", "--out", str(tmp_path))
    numbers = re.findall(r"-?[\d.]+", printed.partition("a check")[0])
    assert all(float(number).is_integer() for number in numbers)
    shares = [float(share) for share in re.findall(r"= (\S+) to b\n", printed)]
    total = float(re.findall(r"de/db = (\S+)", printed)[0])
    assert len(shares) == 2 and sum(shares) == total
    right, wrong, engine = (float(n) for n in re.findall(r"dy/dx = (-?\d+)", printed))
    assert right == engine != wrong


def test_the_gallery_is_what_the_demos_write(tour: Tour) -> None:
    gallery = {path.name: path for path in (ROOT / "demos" / "gallery").iterdir()}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in STOPS:
        assert any(f"demos/gallery/{file})" in readme for file in gallery if file.startswith(name))
    for name, path in gallery.items():
        ours = tour.folder / name
        assert ours.exists()
        if path.suffix != ".png" and 'class="microgradlike' in path.read_text(encoding="utf-8"):
            assert _words(path.read_text(encoding="utf-8")) == _words(ours.read_text("utf-8"))
    story = re.compile(r'class="story">.*?</script>|<script>.*?</script>|<style>.*?</style>', re.S)
    page, ours = gallery["hand_derivation.html"], tour.folder / "hand_derivation.html"
    assert story.findall(page.read_text("utf-8")) == story.findall(ours.read_text("utf-8"))


def _words(svg: str) -> list[str]:
    """What a picture says; where it says it may depend on the version of the layout program."""
    return sorted(re.findall(r">([^<>\n]+)</t(?:ext|itle)>", svg))


@pytest.mark.parametrize("seed", SEEDS)
def test_moons_trains_to_all_points_and_writes_its_pictures(ran: Run, seed: str) -> None:
    printed, folder, written = ran("moons", seed)
    assert "training accuracy 100%" in printed
    assert re.search(
        r"100 points: [\d,]+ us compiled, [\d,]+ us point by point, [\d,]+ times", printed
    )
    assert re.search(r"hinge loss \d\.\d{4} \(\d\.\d{4} with the penalty\)", printed)
    assert re.search(r"the score of \(0, 1\) is -\d.*, so the answer is -1\.", printed)
    assert written == [
        "moons_boundary.png",
        "moons_graph.svg",
        "moons_loss.svg",
        "moons_model.npz",
    ]
    graph = (folder / "moons_graph.svg").read_text()
    assert "11 more" in graph and "δ" in graph


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "demos.moons", "--out", str(tmp_path / "file" / "out")]
    failed = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert failed.returncode == 2
    assert "cannot make the folder" in failed.stderr
    assert "Traceback" not in failed.stderr
