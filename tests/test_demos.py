"""The demos, run as a newcomer runs them: what they print, and what they write."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
from sklearn.datasets import load_digits

from demos.page import STOPS
from microgradlike.nn import MLP
from tests.browser import Tab

ROOT = Path(__file__).parent.parent


def run(demo: str, *options: str) -> str:
    command = [sys.executable, "-m", f"demos.{demo}", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


class Tour(NamedTuple):
    """What ``python -m demos all`` wrote, and what each demo printed."""

    folder: Path
    printed: dict[str, str]


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Tour:
    folder = tmp_path_factory.mktemp("tour")
    command = [sys.executable, "-m", "demos", "all", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    _, *parts = re.split(r"^==== (\w+) ====$", done.stdout, flags=re.M)
    return Tour(folder, dict(zip(parts[::2], parts[1::2], strict=True)))


class Ran(NamedTuple):
    """What one demo printed, and the names of the files that it wrote into a folder."""

    printed: str
    folder: Path
    written: list[str]


@pytest.fixture
def ran(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str, str], Ran]:
    """Runs a demo with a seed by itself; with seed 0 the tour has run it."""

    def ran(demo: str, seed: str) -> Ran:
        if seed == "0":
            tour = request.getfixturevalue("tour")
            written = sorted(path.name for path in tour.folder.glob(f"{demo}*"))
            return Ran(tour.printed[demo], tour.folder, written)
        folder = tmp_path / "new"
        printed = run(demo, "--out", str(folder), "--seed", seed)
        return Ran(printed, folder, sorted(path.name for path in folder.iterdir()))

    return ran


Run = Callable[[str, str], Ran]
# ---- The tour ----------------------------------------------------------------------------------


def test_the_tour_shows_every_picture_with_its_words(tour: Tour) -> None:
    assert list(tour.printed) == list(STOPS)
    page = (tour.folder / "index.html").read_text(encoding="utf-8")
    files = {path.name for path in tour.folder.iterdir()} - {"index.html"}
    shown = set(re.findall(r'(?:src|href)="([^"#]+)"', page))
    assert shown <= files
    assert files - shown == {name for name in files if name.endswith(".npz")}
    assert "://" not in page.replace("http://www.w3.org", "")
    for name in STOPS:
        section = page.partition(f'<section id="{name}">')[2].partition("</section>")[0]
        assert re.search(r"<p>[^<]{200,}", section.replace("<code>", "").replace("</code>", ""))
        captions = re.findall(r"<figcaption>(.*?)</figcaption>", section, re.S)
        assert captions and all(len(caption) > 30 for caption in captions)


def test_the_tour_answers_the_five_questions(tour: Tour) -> None:
    page = (tour.folder / "index.html").read_text(encoding="utf-8")
    answers = dict(re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", page, re.S))
    words = [
        ("flows forward", ("weight", "activation", "inference")),
        ("flows backward", ("error = expectation − reality", "slope", "operation")),
        ("one weight at a time", ("11.6 days", "curse of dimensionality", "all weights at once")),
        ("delta", ("next layer", "weights between", "(activation in) × (delta out)")),
        ("saturated", ("flat", "nearly 0")),
    ]
    for (question, answer), (about, needed) in zip(answers.items(), words, strict=True):
        assert about in question
        assert all(word in " ".join(answer.split()) for word in needed)


def test_the_page_of_the_tour_in_a_browser(tour: Tour, visit: Callable[..., Tab]) -> None:
    tab = visit(tour.folder / "index.html")
    assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert not tab.complaints
    assert all(url.startswith("file://") for url in tab.requests)


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


def test_the_first_feedback_of_the_company_is_the_one_derived_by_hand(tour: Tour) -> None:
    """With words a, trust v, w and opinions b = 0: heard = sum of trust x word, word = tanh(heard).

    got = sigmoid(heard_ceo), C = (expected - got)^2 / 2, so by the chain rule
    delta_ceo = -(expected - got) got (1 - got), delta_m = delta_ceo w_m (1 - word_m^2), and each
    trust moves by -delta x word.
    """
    printed = tour.printed["company"]
    line = re.search(r"Sale 1: Ada reports (\S+), Ben (\S+)\. The CEO expected (\S+) and", printed)
    assert line
    ada, ben, expected = map(float, line.groups())
    first, last = MLP(2, [3, 1], activation=["tanh", "sigmoid"], seed=0).layers
    v = [[w.data for w in neuron.w] for neuron in first.neurons]
    w = [weight.data for weight in last.neurons[0].w]

    words = [math.tanh(by_ada * ada + by_ben * ben) for by_ada, by_ben in v]
    got = 1 / (1 + math.exp(-sum(a * b for a, b in zip(w, words, strict=True))))
    delta_ceo = -(expected - got) * got * (1 - got)
    deltas = [delta_ceo * w[m] * (1 - words[m] ** 2) for m in range(3)]
    trust = [v[m][0] - deltas[m] * ada for m in range(3)]
    trust += [v[m][1] - deltas[m] * ben for m in range(3)]
    trust += [w[m] - delta_ceo * words[m] for m in range(3)]

    error = re.search(r"and got (\S+), so the error is (\S+)\.\n", printed)
    assert error
    assert [float(x) for x in error.groups()] == [round(got, 4), round(expected - got, 4)]
    told = re.findall(r"^  (the CEO|\w+) +delta (\S+)", printed, re.M)[:4]
    assert told == [
        ("the CEO", f"{delta_ceo:+.6f}"),
        *((name, f"{deltas[m]:+.6f}") for m, name in ((2, "Olga"), (1, "Noah"), (0, "Mia"))),
    ]
    moved = re.findall(r"^  (.*)'s trust in (\w+) .* = (\S+)$", printed, re.M)
    listeners = ("Mia", "Noah", "Olga")
    by_hand = [*((m, "Ada") for m in listeners), *((m, "Ben") for m in listeners)]
    by_hand += [("the CEO", m) for m in listeners]
    assert {(who, whom): number for who, whom, number in moved} == {
        pair: f"{number:+.6f}" for pair, number in zip(by_hand, trust, strict=True)
    }


def test_the_company_meets_its_expectations(tour: Tour) -> None:
    printed = tour.printed["company"]
    assert len(re.findall(r"^Sale \d+: ", printed, re.M)) == 12
    costs = [float(x) for x in re.findall(r"^ *\d+ rounds +(\S+)", printed, re.M)]
    assert costs[0] > costs[1] and costs[2] < costs[0] / 2 and costs[3] < 0.001
    assert "the cost falls by" in printed and "the cost rises by" in printed
    assert "stuck" not in printed
    before, after = (
        (tour.folder / f"company_{stage}.svg").read_text() for stage in ("before", "after")
    )
    legend = re.compile(r">width<.*?size of the weight", re.S)
    numbers = [re.findall(r">([\d.]+)<", legend.search(x)[0]) for x in (before, after)]  # type: ignore[index]
    assert numbers[0] == numbers[1]


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


@pytest.mark.parametrize("seed", ["0", "3"])
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
        for row in re.findall(r"^  [ABC]( +[+-]\d\.\d{4} .*)$", printed, re.M)
    )
    assert c["z"] == 5.0 and c["slope"] == pytest.approx(1 - math.tanh(5) ** 2, abs=1e-6)
    assert abs(c["back"]) > 0.05
    for neuron in (a, b, c):
        assert neuron["delta"] == pytest.approx(neuron["back"] * neuron["slope"], abs=1e-6)
    assert 1000 * c["moved"] < min(a["moved"], b["moved"])


# ---- Gradient descent --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", ["0", "4"])
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


@pytest.mark.parametrize("seed", ["0", "3"])
def test_a_fresh_process_gives_the_same_answers(ran: Run, seed: str) -> None:
    printed = ran("train_then_deploy", seed).printed
    right = re.search(r"flowers: (\d+)% of them right,\nand (\d+)% of 50 that it never", printed)
    assert right and min(map(int, right.groups())) >= 90
    same = re.search(
        r"gives the same scores: (\w+), the greatest\ndifference .* is (\S+)\n", printed
    )
    assert same and same[1] == "True" and float(same[2]) < 1e-13
    # 8 neurons of 4 inputs, 3 of 8: a product and a sum for each input, and the tanh.
    graph = re.search(r"^with a graph +(\d+) +([\d,]+)$", printed, re.M)
    bare = re.search(r"^within no_grad\(\) +(\d+) +([\d,]+)$", printed, re.M)
    assert graph and bare
    assert int(graph[1]) == 2 * (8 * 4 + 3 * 8) + 8
    assert int(bare[1]) == 0
    assert int(graph[2].replace(",", "")) > 10 * int(bare[2].replace(",", ""))
    assert len(re.findall(r"^.* {2,}[\d,]+ +[\d,]+\.\d$", printed, re.M)) == 4


# ---- Say seven with high confidence --------------------------------------------------------------


@pytest.mark.parametrize("seed", ["0", "2"])
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
    assert f"training accuracy {right[~test].mean():.1%} of 1287 pictures" in printed
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

    (easy,) = re.findall(r"shuffled, the test would say ([\d.]+)%", printed)
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
    named, left = re.findall(r"of (\d+) sevens .* still calls (\d+) a seven", printed)[0]
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


def test_hand_derivation_agrees_three_ways(tmp_path: Path) -> None:
    printed = run("hand_derivation", "--out", str(tmp_path), "--seed", "3")
    rows = re.findall(r"dy/d([abcd])" + r"\s+(\S+)" * 3 + r"\s+(\d+) and (\d+) digits", printed)
    assert [name for name, *_ in rows] == list("abcd")
    for _, by_hand, engine, numeric, *digits in rows:
        assert engine == by_hand
        assert float(numeric) == pytest.approx(float(by_hand), rel=1e-3)
        assert int(digits[0]) >= 14 and int(digits[1]) >= 9
    picture = (tmp_path / "hand_derivation.svg").read_text()
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


@pytest.mark.parametrize("seed", ["0", "7"])
def test_moons_trains_to_all_points_and_writes_its_pictures(ran: Run, seed: str) -> None:
    printed, folder, written = ran("moons", seed)
    assert "training accuracy 100%" in printed
    assert re.search(r"100 points: [\d,]+ us compiled, [\d,]+ us eager, [\d,]+ times", printed)
    assert re.search(r"hinge loss \d\.\d{4} \(\d\.\d{4} with the penalty\)", printed)
    assert re.search(r"the score of \(0, 1\) is -\d.*, label -1\n", printed)
    assert written == [
        "moons_boundary.png",
        "moons_graph.svg",
        "moons_loss.svg",
        "moons_model.npz",
    ]
    graph = (folder / "moons_graph.svg").read_text()
    assert "neuron 15" in graph
    assert "backward() has not been run" not in graph


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "demos.moons", "--out", str(tmp_path / "file" / "out")]
    failed = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert failed.returncode == 2
    assert "cannot make the folder" in failed.stderr
    assert "Traceback" not in failed.stderr
