"""The page on which a network learns: what it says the engine computes, and it can be used."""

from __future__ import annotations

import copy
import json
import math
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest

from microgradlike import Value, losses
from microgradlike.nn import MLP
from tests.browser import CONTRAST, Tab, Visit
from viz import save_lesson
from viz.chapters import chapters
from viz.learner import Learner, sampled
from viz.style import short
from viz.telling import Moment
from viz.terms import Terms

# ---- Networks that learn -----------------------------------------------------------------------

STORY = {
    "example": "sale",
    "input": "report",
    "output": "word",
    "weight": "trust",
    "bias": "own opinion",
}


def half_square(answer: Any, target: Any) -> Any:
    return (target - answer) ** 2 / 2


class Case(NamedTuple):
    """A network, its examples, and how it learns."""

    model: MLP
    X: list[list[float]]
    y: list[Any]
    loss: Callable[[Any, Any], Any]
    names: list[list[str]]
    lr: float = 0.5
    rounds: int = 30

    def learner(self, **changes: Any) -> Learner:
        given: dict[str, Any] = {"loss": self.loss, "lr": self.lr, "rounds": self.rounds}
        given |= {"names": self.names, "layers": None} | changes
        return Learner(self.model, self.X, self.y, **given)

    def moments(self, **changes: Any) -> list[Moment]:
        learner = self.learner(**changes)
        return chapters(learner, Terms(learner, STORY))

    def save(self, path: Path, **options: Any) -> Path:
        given: dict[str, Any] = {"loss": self.loss, "lr": self.lr, "rounds": self.rounds}
        given |= {"names": self.names, "words": STORY} | options
        return save_lesson(self.model, path, self.X, self.y, **given)


def company(seed: int) -> Case:
    draw = random.Random(seed)
    keen = [(0, 1), (0, 0), (1, 1), (1, 0)] * 3
    X = [[round(k + draw.uniform(-0.15, 0.15), 2) for k in pair] for pair in keen]
    y = [0.8 if ada != ben else 0.2 for ada, ben in keen]
    model = MLP(2, [3, 1], activation=["tanh", "sigmoid"], seed=seed)
    names = [["Ada", "Ben"], ["Olga", "Noah", "Mia"], ["the CEO"]]
    return Case(model, X, y, half_square, names, lr=1.0, rounds=150)


def deep(seed: int, activation: Any, y: list[Any], loss: Callable[[Any, Any], Any]) -> Case:
    draw = random.Random(seed)
    X = [[round(draw.uniform(-1, 1), 2) for _ in range(3)] for _ in y]
    model = MLP(3, [4, 2, 2], activation=activation, seed=seed)
    names = [["Eve", "Flo", "Gus"], ["Hal", "Ida", "Jim", "Kay"], ["Leo", "Max"], ["Pat", "Quin"]]
    return Case(model, X, y, loss, names, lr=0.1)


def straight(seed: int) -> Case:
    draw = random.Random(seed)
    X = [[round(draw.uniform(-1, 1), 2) for _ in range(2)] for _ in range(5)]
    y = [round(2 * a - b + 0.5, 2) for a, b in X]
    model = MLP(2, [1], activation="linear", seed=seed)
    return Case(model, X, y, losses.mse, [["Ada", "Ben"], ["Zoe"]], lr=0.1)


PAIRS = [[0.5, -0.5], [0.1, 0.9], [-0.3, 0.2], [0.7, 0.7]]
CASES = {
    "company": company(0),
    "other company": company(3),
    "classes": deep(1, ["relu", "tanh", "linear"], [0, 1, 1, 0, 1], losses.cross_entropy),
    "pairs": deep(2, ["tanh", "relu", "linear"], PAIRS, losses.mse),
    "linear": straight(4),
}


@pytest.fixture(params=CASES, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def moments(case: Case) -> list[Moment]:
    return case.moments()


# ---- The same once more, with nothing but backward() -------------------------------------------


class Seen(NamedTuple):
    """One example, forward and back: lists of layers."""

    inputs: list[list[float]]
    sums: list[list[float]]
    outputs: list[list[float]]
    arrived: list[list[float]]
    slopes: list[list[float]]
    deltas: list[list[float]]
    cost: float


def see(model: MLP, case: Case, place: int) -> Seen:
    """What the engine says of one example; the gradients of the parameters are in ``.grad``."""
    for parameter in model.parameters():
        parameter.grad = 0.0
    seen = Seen([], [], [], [], [], [], 0.0)
    layers, given = [], [Value(x) for x in case.X[place]]
    for layer in model.layers:
        sums = [neuron.weighted_sum(given) for neuron in layer.neurons]
        outputs = [n.activated(z) for n, z in zip(layer.neurons, sums, strict=True)]
        layers.append((given, sums, outputs))
        given = outputs
    cost = case.loss(given[0] if len(given) == 1 else given, case.y[place])
    cost.backward()
    for layer, (given, sums, outputs) in zip(model.layers, layers, strict=True):
        seen.inputs.append([v.data for v in given])
        seen.sums.append([z.data for z in sums])
        seen.outputs.append([a.data for a in outputs])
        seen.arrived.append([a.grad for a in outputs])
        seen.deltas.append([z.grad for z in sums])
        copies = [Value(z.data) for z in sums]
        for neuron, z in zip(layer.neurons, copies, strict=True):
            neuron.activated(z).backward()
        seen.slopes.append([z.grad for z in copies])
    return seen._replace(cost=cost.data)


def learn(model: MLP, case: Case, place: int) -> None:
    see(model, case, place)
    for parameter in model.parameters():
        parameter.data -= case.lr * parameter.grad


def after_rounds(case: Case) -> Iterator[MLP]:
    model = copy.deepcopy(case.model)
    yield copy.deepcopy(model)
    for _ in range(case.rounds):
        for place in range(len(case.X)):
            learn(model, case, place)
        yield copy.deepcopy(model)


def measured(model: MLP, case: Case, place: int) -> float:
    """The error where the cost follows from it, or the cost."""
    seen = see(model, case, place)
    if case.loss in (half_square, losses.mse) and len(seen.outputs[-1]) == 1:
        return float(case.y[place]) - seen.outputs[-1][0]
    return seen.cost


def named(case: Case, model: MLP) -> dict[str, float]:
    """All weights and biases, as the sentences call them."""
    found = {}
    for layer, (speakers, listeners) in enumerate(zip(case.names, case.names[1:], strict=False)):
        for neuron, listener in zip(model.layers[layer].neurons, listeners, strict=True):
            found[f"{listener}'s own opinion"] = neuron.b.data
            for weight, speaker in zip(neuron.w, speakers, strict=True):
                found[f"{listener}'s trust in {speaker}"] = weight.data
    return found


NUMBER = r"[+−]?\d+(?:\.\d+)?(?:e[+−]?\d+)?"


def numbers(text: str) -> list[float]:
    return [float(found.replace("−", "-")) for found in re.findall(NUMBER, text)]


def says(text: str, expected: Sequence[float]) -> None:
    """The text has these numbers, in this order, with three digits."""
    found = numbers(text)
    assert found == pytest.approx([*expected], rel=5.01e-3, abs=1e-12), text


def check_largest(text: str, before: dict[str, float], after: dict[str, float]) -> None:
    """What is said to have moved most has moved most, by so much, to that."""
    size = max(abs(after[name] - before[name]) for name in before)
    told = re.findall(
        rf"([\w ]+'s (?:own opinion|trust in [\w ]+)), by ({NUMBER}) to ({NUMBER})", text
    )
    ((name, by, to),) = told
    (name,) = (full for full in before if name.endswith(full))
    assert abs(after[name] - before[name]) == pytest.approx(size, rel=1e-9)
    says(by, [after[name] - before[name]])
    says(to, [after[name]])


# ---- Chapter 1 ---------------------------------------------------------------------------------


def of_chapter(moments: list[Moment], chapter: int) -> list[Moment]:
    return [moment for moment in moments if moment.chapter == chapter]


def test_the_first_example_goes_forward_number_by_number(case: Case, moments: list[Moment]) -> None:
    seen = see(copy.deepcopy(case.model), case, 0)
    steps = [m for m in moments if m.kind == "forward"]
    says(steps[0].sentence, case.X[0])
    told = iter(steps[1:])
    for layer, (sums, outputs) in enumerate(zip(seen.sums, seen.outputs, strict=True)):
        for z, a, name in zip(sums, outputs, case.names[layer + 1], strict=True):
            moment = next(told)
            linear = case.model.layers[layer].neurons[0].activation == "linear"
            assert name.lower() in moment.sentence.lower()
            says(moment.sentence, [z] if linear else [z, a])
            weights = case.model.layers[layer].neurons[case.names[layer + 1].index(name)]
            pairs = zip(seen.inputs[layer], weights.w, strict=True)
            says(moment.question, [n for x, w in pairs for n in (x, w.data)] + [weights.b.data])
    assert next(told, None) is None


def test_the_target_the_error_and_the_cost(case: Case, moments: list[Moment]) -> None:
    (moment,) = (m for m in moments if m.kind == "the target")
    seen = see(copy.deepcopy(case.model), case, 0)
    target = case.y[0] if isinstance(case.y[0], list) else [case.y[0]]
    if len(seen.outputs[-1]) == 1:
        says(moment.sentence, [*target, target[0] - seen.outputs[-1][0], seen.cost])
    else:
        says(moment.sentence, [*target, *seen.outputs[-1], seen.cost])


def test_the_gradient_goes_back_to_every_neuron(case: Case, moments: list[Moment]) -> None:
    model = copy.deepcopy(case.model)
    seen = see(model, case, 0)
    told = iter([m for m in moments if m.kind == "back"])
    last = len(model.layers) - 1
    for layer in range(last, -1, -1):
        if layer < last:
            top = max(seen.arrived[layer], key=abs)
            moment = next(told)
            says(moment.sentence, [top, abs(top)])
            assert ("fall" if top < 0 else "rise") in moment.sentence
            name = case.names[layer + 1][seen.arrived[layer].index(top)]
            assert f"arrives at {name}" in moment.sentence
        arrived, slopes, deltas = seen.arrived[layer], seen.slopes[layer], seen.deltas[layer]
        square = [-2.0] if case.loss is losses.mse and len(arrived) == 1 and layer == last else []
        begin = arrived + square if layer == last else []
        flat = [min(slopes, key=abs)] if len(set(slopes)) > 1 else []
        sentence = next(told).sentence
        says(sentence, [*begin, slopes[0], deltas[0]] if len(deltas) == 1 else [*begin, *flat])
    for layer in range(last, -1, -1):
        moment = next(told)
        rows = enumerate(model.layers[layer].neurons)
        found = [(w.grad, j, i) for j, n in rows for i, w in enumerate(n.w)]
        top, j, i = max(found, key=lambda entry: abs(entry[0]))
        says(moment.sentence, [seen.inputs[layer][i], seen.deltas[layer][j], top])
        assert f"{case.names[layer + 1][j]}'s trust in {case.names[layer][i]}" in moment.sentence
    assert next(told, None) is None


def test_why_a_gradient_is_times_the_input() -> None:
    case = CASES["company"]._replace(rounds=2)
    (note,) = (n for m in case.moments() for n in m.notes if n.startswith("Why times"))
    assert case.X[0] == [0.1, 1.08]
    assert "Take Ada's report, 0.1, and Ben's report, 1.08." in note
    assert "trust in Ben gets a gradient 11 times as large as" in note
    case = case._replace(X=[[0.0, 1.0], *case.X[1:]])
    (note,) = (n for m in case.moments() for n in m.notes if n.startswith("Why times"))
    assert "trust in Ada gets no gradient at all" in note
    case = case._replace(X=[[-0.5, 1.0], *case.X[1:]])
    (note,) = (n for m in case.moments() for n in m.notes if n.startswith("Why times"))
    assert re.search(
        r"gradient 2 times as large as [\w ]+'s trust in Ada, and with the other", note
    )


def test_every_equation_adds_up(moments: list[Moment]) -> None:
    checked = 0
    for moment in moments:
        for line in moment.equations:
            if "mfrac" in line or "msup" in line:
                continue
            sides = re.sub("<[^>]*>", " ", line).replace("−", "-").replace("×", "*").split("=")
            sides = [side for side in sides if not re.search("[^-\\d.e+*() ]", side)]
            if len(sides) < 2:
                continue
            values = [eval(side) for side in sides]
            sizes = sum(abs(number) for number in map(float, re.findall(r"[\d.]+", sides[0])))
            assert values[0] == pytest.approx(values[-1], rel=0.02, abs=0.01 * sizes), line
            checked += 1
    assert checked > 3


def test_learning_moves_every_number_against_its_gradient(
    case: Case, moments: list[Moment]
) -> None:
    model = copy.deepcopy(case.model)
    before = named(case, model)
    learn(model, case, 0)
    after = named(case, model)
    (moment,) = (m for m in moments if m.kind == "learning")
    check_largest(moment.sentence, before, after)
    says(moment.sentence, [case.lr, case.lr, *numbers(moment.sentence)[2:]])
    gradients = {name: (before[name] - after[name]) / case.lr for name in before}
    rows = moment.table[1:]
    for name, *shown in rows:
        expected = [before[name], gradients[name], after[name]]
        assert [numbers(cell)[0] for cell in shown] == pytest.approx(expected, rel=6e-3, abs=1e-9)
    assert len(rows) == min(len(before), 24)


def test_the_same_example_again(case: Case, moments: list[Moment]) -> None:
    model = copy.deepcopy(case.model)
    answers, sizes = [], []
    for _ in range(2):
        answers += see(model, case, 0).outputs[-1]
        sizes.append(measured(model, case, 0))
        learn(model, case, 0)
    (moment,) = (m for m in moments if m.kind == "again")
    says(moment.sentence, [*answers, *sizes])
    assert ("better" in moment.sentence) == (abs(sizes[1]) < abs(sizes[0]))


def test_a_step_that_is_too_long_is_not_praised() -> None:
    case = CASES["linear"]._replace(lr=2.0, rounds=1)
    (moment,) = (m for m in case.moments() if m.kind == "again")
    *_, was, now = numbers(moment.sentence)
    assert abs(now) > abs(was)
    assert moment.sentence.endswith(": worse, for the step went too far.")


# ---- Chapter 2 ---------------------------------------------------------------------------------


def test_each_example_of_the_round(case: Case, moments: list[Moment]) -> None:
    model = copy.deepcopy(case.model)
    at_first = [measured(model, case, place) for place in range(len(case.X))]
    learn(model, case, 0)
    steps = of_chapter(moments, 2)
    assert len(steps) == len(case.X)  # one for each after the first, and one at the end
    for place, moment in enumerate(steps[:-1], 1):
        before, old = named(case, model), measured(model, case, place)
        answer = see(model, case, place).outputs[-1]
        learn(model, case, place)
        new, after = measured(model, case, place), named(case, model)
        target = case.y[place] if isinstance(case.y[place], list) else [case.y[place]]
        told = numbers(moment.sentence)
        begin = [place + 1, *case.X[place], *target, *answer, old]
        says(moment.sentence, [*begin, *told[len(begin) : len(begin) + 2], new])
        check_largest(moment.sentence, before, after)
        says(moment.notes[0], [1, at_first[0], measured(model, case, 0)])
        now = [measured(model, case, k) for k in range(len(case.X))]
        for k, row in enumerate(moment.table[1:]):
            says(f"{row[2]} {row[3]}", [at_first[k], now[k]])
            assert (row[4] == "better") == (abs(now[k]) < abs(at_first[k]))
            assert row[0].startswith("► ") == (k == place)


def test_for_which_examples_the_round_was_good(case: Case, moments: list[Moment]) -> None:
    over = of_chapter(moments, 2)[-1]
    models = [model for _, model in zip(range(2), after_rounds(case), strict=False)]
    sizes = [[abs(measured(m, case, k)) for k in range(len(case.X))] for m in models]
    better = [k + 1 for k, (old, new) in enumerate(zip(*sizes, strict=True)) if new < old]
    worse = [k + 1 for k, (old, new) in enumerate(zip(*sizes, strict=True)) if new > old]
    for words, places in (("better", better), ("worse", worse)):
        found = re.search(rf"{words} for \d+ sales? \(([^)]*)\)", over.sentence)
        assert ([int(n) for n in numbers(found[1])] if found else []) == places
    assert ("different directions" in over.sentence) == bool(better and worse)
    if case.loss is half_square:
        typical = [float(numpy.sqrt(numpy.mean(numpy.square(found)))) for found in sizes]
        says(over.sentence.partition(". The answers were")[2], typical)


def test_first_the_average_is_learned() -> None:
    case = CASES["company"]._replace(rounds=2)
    assert of_chapter(case._replace(lr=1e-3).moments(), 2)[-1].notes == ()
    before, after = (model for _, model in zip(range(2), after_rounds(case), strict=False))
    means = [numpy.mean([m(x).data for x in case.X]) for m in (before, after)]
    (note,) = of_chapter(case.moments(), 2)[-1].notes
    says(note, [*map(float, means), float(numpy.mean(case.y))])


def test_an_example_of_the_first_chapter_can_become_worse_meanwhile() -> None:
    over = of_chapter(CASES["company"].moments(), 2)[-1]
    assert over.table[1] == ("sale 1: Ada 0.1, Ben 1.08", "0.8", "+0.136", "+0.233", "worse")


# ---- Chapter 3 ---------------------------------------------------------------------------------


def test_all_rounds(case: Case, moments: list[Moment]) -> None:
    models = [*after_rounds(case)]
    steps = of_chapter(moments, 3)
    rounds = [moment.round or 0 for moment in steps]
    assert rounds[0] == 1 and rounds[-1] == case.rounds and rounds == sorted(set(rounds))
    last = 0
    for moment, now in zip(steps, rounds, strict=True):
        sizes = [measured(models[now], case, k) for k in range(len(case.X))]
        before, after = (named(case, models[k]) for k in (last, now))
        check_largest(moment.notes[0], before, after)
        assert ("the beginning" if not last else f"since round {last}:") in moment.notes[0]
        fact = moment.notes[1]
        if fact.startswith("Sale 1"):
            says(fact, [1, measured(models[0], case, 0), sizes[0]])
            smaller = abs(sizes[0]) < abs(measured(models[0], case, 0))
            assert fact.endswith("better.") == smaller
        elif fact.startswith("The worst"):
            worst = max(sizes, key=abs)
            says(fact[-9:].rpartition(" ")[2], [worst])
            assert f"to sale {sizes.index(worst) + 1} (" in fact
        else:
            widest = max(after.values(), key=abs)
            says(fact, [widest])
        typical = float(numpy.sqrt(numpy.mean(numpy.square(sizes))))
        mean = float(numpy.mean(sizes))
        off = typical if "typically off" in moment.sentence else mean
        says(moment.sentence.partition("After ")[2].partition(". At the")[0], [now, off])
        last = now
    assert len({moment.sentence for moment in steps}) == len(steps)
    assert len({moment.notes[1][:8] for moment in steps}) == 3


def test_the_typical_error_follows_from_the_cost() -> None:
    case = CASES["company"]
    *_, trained = after_rounds(case)
    cost = numpy.mean([see(trained, case, k).cost for k in range(len(case.X))])
    last = case.moments()[-1]
    assert f"After 150 rounds the answers are typically off by {short(math.sqrt(2 * cost))}." in (
        last.sentence
    )


def test_rounds_are_shown_where_most_changes() -> None:
    draw = random.Random(0)
    for _ in range(50):
        changes = [draw.random() ** 4 for _ in range(draw.randint(1, 200))]
        most = draw.randint(2, 40)
        found = sampled(changes, most)
        assert found == sorted(set(found)) and len(found) <= most
        assert found[0] == 1 or len(changes) == 1
        assert found[-1] == len(changes)
    early = sampled([1 / (k + 1) ** 2 for k in range(1000)], 20)
    assert early[-2] < 100 and len(early) > 5
    assert sampled([0.0] * 100, 10) == [1, 100]


# ---- The function ------------------------------------------------------------------------------


def story_of(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(re.findall(r'class="story">(.*?)</script>', text)[0])
    return found


def test_the_model_is_not_changed_and_the_page_is_the_same_each_time(
    case: Case, tmp_path: Path
) -> None:
    short = case._replace(rounds=3)
    before = [p.data for p in case.model.parameters()]
    one, other = (short.save(tmp_path / name) for name in ("a.html", "b.html"))
    assert one.read_bytes() == other.read_bytes()
    assert [p.data for p in case.model.parameters()] == before


def test_without_a_story_the_terms_are_used(tmp_path: Path) -> None:
    case = CASES["company"]._replace(rounds=2)
    story = story_of(case.save(tmp_path / "a.html", words=None, names=None))
    frames = story["frames"]
    assert (
        "Neuron 0 of layer 1 multiplies each input by the weight on its arrow."
        in frames[2]["sentence"]
    )
    assert not re.search("trust|sale|opinion|report", json.dumps(story))


def test_a_single_example_and_a_big_layer(tmp_path: Path) -> None:
    model = MLP(7, [9, 1], activation="tanh", seed=0)
    page = save_lesson(model, tmp_path / "a.html", [[0.1] * 7], [0.5], rounds=1)
    kinds = [frame["kind"] for frame in story_of(page)["frames"]]
    assert kinds.count("forward") == 3  # the inputs, nine neurons at once, one neuron
    assert kinds[-2:] == ["the round is over", "round 1"]


def test_what_is_folded_in_the_picture_is_told_of_as_well(tmp_path: Path) -> None:
    names = [["Ada", "Ben"], [f"N{'abcdefghijklmnopqrst'[k]}" for k in range(20)], ["Zoe"]]
    X, y = [[2.0, -1.5], [1.0, 2.0]], [0.3, 0.7]
    hidden = 0
    for seed in range(8):
        model = MLP(2, [20, 1], activation="linear", seed=seed)
        case = Case(model, X, y, losses.mse, names, lr=0.001, rounds=2)
        before = named(case, model)
        trained = copy.deepcopy(model)
        learn(trained, case, 0)
        (moment,) = (m for m in case.moments() if m.kind == "learning")
        check_largest(moment.sentence, before, named(case, trained))
        shown = [*story_of(case.save(tmp_path / "a.html"))["weights"]]
        assert len(shown) < len(before)
        hidden += not any(weight["name"] in moment.sentence for weight in shown)
    assert hidden  # of a weight that the picture does not show


def test_bad_input(tmp_path: Path) -> None:
    case, path = CASES["linear"], tmp_path / "a.html"
    with pytest.raises(ValueError, match=r"words has a word for example, .* for 'wieght'"):
        case.save(path, words={"wieght": "trust"})
    with pytest.raises(
        ValueError, match=r"layers has a name for each of the 2 columns, the inputs"
    ):
        case.save(path, layers=["only one"])
    with pytest.raises(ValueError, match="names has a list for each column"):
        case.save(path, names=[["a"]])
    with pytest.raises(ValueError, match=r"the name of a page ends in \.html"):
        case.save(tmp_path / "a.svg")
    with pytest.raises(ValueError, match="lr, the learning rate, is a number from 0"):
        case.save(path, lr=-1)
    with pytest.raises(ValueError, match="epochs"):
        case.save(path, rounds=0)
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        case.save(path, lr=1e200)
    with pytest.raises(TypeError, match="save_lesson has no option 'themes'"):
        case.save(path, themes="dark")
    assert list(tmp_path.iterdir()) == []


# ---- In a browser ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def page(shared_folder: Path) -> Path:
    file = shared_folder / "lesson of the company.html"
    if not file.exists():
        layers = ["sales people", "managers", "CEO"]
        CASES["company"].save(file, layers=layers, back="index.html")
    return file


WIDE = {"viewport": {"width": 1280, "height": 740}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 390, "height": 740}, "color_scheme": "light"}


@pytest.fixture
def tab(browser: Any, page: Path) -> Iterator[Tab]:
    opened = Tab(browser, page, **WIDE)
    yield opened
    opened.context.close()


def exact(text: str) -> list[float]:
    return [float(n.replace("−", "-")) for n in re.findall(r"= ([+−]?[\d.e+−]+)$", text, re.M)]


def test_the_page_follows_the_rules_of_pages(
    visit: Visit, page: Path, view: dict[str, Any]
) -> None:
    tab = visit(page, "#step=8")
    assert tab.step == 8
    assert tab.page.evaluate(CONTRAST) == []
    tab.press("ArrowRight", 5)
    tab.press("ArrowLeft")
    other = visit(page, "#step=12")
    assert tab.dom() == other.dom()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= view["viewport"]["width"]
    tab.press("End")
    assert tab.page.evaluate(CONTRAST) == []
    assert tab.requests == [page.as_uri()] and tab.complaints == []


#: Of the picture and the table: what each part says it shows.
TOLD = """() => {
    const all = (what) => [...document.querySelectorAll(what)];
    const titles = (kind) => Object.fromEntries(all(`[data-${kind}]`).map(
        (group) => [group.getAttribute(`data-${kind}`), group.querySelector('title').textContent]));
    const rows = (kind) => all(`tr[data-${kind}]`).map(
        (row) => [...row.querySelectorAll('td')].map((cell) => cell.getAttribute('data-exact')));
    return [titles('neuron'), titles('weight'), titles('number'), rows('person'), rows('arrow')];
}"""


def test_titles_and_table_have_the_numbers_of_the_step(tab: Tab, page: Path) -> None:
    frames = story_of(page)["frames"]
    for step in (0, 3, 8, 11, 12, 13, 20, 25, 30, len(frames) - 1):
        tab.page.evaluate(f"location.hash = '#step={step}'")
        tab.until(f"document.querySelector('.stepper').dataset.step === '{step}'")
        people, weights = frames[step]["numbers"]
        neurons, arrows, numbers_beside, *tables = tab.page.evaluate(TOLD)
        for place, known in enumerate(people):
            assert exact(neurons[str(place)]) == [v for v in known if v is not None]
        for place, known in enumerate(weights):
            for title in (arrows[str(place)], numbers_beside[str(place)]):
                assert exact(title) == [v for v in known if v is not None]
        for rows, known_by_row in zip(tables, (people, weights), strict=True):
            for row, known in zip(rows, known_by_row, strict=True):
                assert [cell and float(cell) for cell in row[-len(known) :]] == known


def test_the_reader_can_be_asked_first(tab: Tab, page: Path) -> None:
    frames = story_of(page)["frames"]
    tab.press("ArrowRight")
    tab.page.click(".quiz")
    before = tab.page.inner_text(".views")
    tab.press("ArrowRight")
    assert tab.page.inner_text(".sentence") == frames[2]["question"]
    assert tab.page.inner_text(".views") == before and not tab.page.inner_text(".equations")
    assert tab.page.locator(".reveal").is_visible()
    tab.press("ArrowRight")
    assert tab.step == 2 and tab.page.inner_text(".sentence") == frames[2]["sentence"]
    assert tab.page.inner_text(".views") != before and tab.page.inner_text(".equations")


def test_people_and_arrows_are_chosen_by_mouse_and_keyboard(tab: Tab, page: Path) -> None:
    story = story_of(page)
    tab.page.evaluate("location.hash = '#step=11'")
    tab.page.click('[data-number="1"]')
    chosen = tab.page.locator(".chosen")
    assert chosen.locator("h2").inner_text() == "Olga's trust in Ben"
    gradient = story["frames"][11]["numbers"][1][1][1]
    assert short(gradient)[:6] in chosen.inner_text()
    tab.page.focus('[data-neuron="0"]')
    tab.press("ArrowRight", 2)  # Ada, her arrow to Olga, Olga
    tab.press("ArrowDown")
    tab.press("Enter")
    assert chosen.locator("h2").inner_text() == "Noah"
    assert "weighted sum z" in chosen.inner_text() and "part=n3" in tab.page.url
    tab.press("Escape")
    assert chosen.inner_text() == ""


def test_chapters_are_a_key_away(tab: Tab, page: Path) -> None:
    chapter = [frame["chapter"] for frame in story_of(page)["frames"]]
    for key in ("3", "1", "2"):
        tab.press(key)
        tab.until(
            f"document.querySelector('.stepper').dataset.step === '{chapter.index(int(key))}'"
        )
        assert tab.page.locator(".panel .curve").is_visible() == (key == "3")
    assert tab.page.locator(".chapters [aria-current=true]").inner_text().startswith("2.")


def test_gradients_travel_back(tab: Tab) -> None:
    tab.page.evaluate("location.hash = '#step=8'")
    turned = [e["transform"] for e in tab.each(".edge.flowing polygon", "transform")]
    assert len(turned) == 3 and all(t and t.startswith("rotate(180") for t in turned)
    tab.press("ArrowLeft")
    assert not any(e["transform"] for e in tab.each(".edge polygon", "transform"))


def test_on_a_phone_the_active_neurons_stay_in_view(browser: Any, page: Path) -> None:
    tab = Tab(browser, page, **PHONE)
    inside = """() => {
        const frame = document.querySelector('.views').getBoundingClientRect();
        return [...document.querySelectorAll('[data-neuron].active')].every((e) => {
            const box = e.getBoundingClientRect();
            return box.left >= frame.left - 1 && box.right <= frame.right + 1;
        });
    }"""
    for _ in range(15):
        assert tab.page.evaluate(inside), tab.step
        tab.press("ArrowRight")
    tab.context.close()


def test_on_a_phone_the_controls_leave_room_for_what_is_told(browser: Any, page: Path) -> None:
    tab = Tab(browser, page, "#step=9", viewport={"width": 390, "height": 844})
    covered = """document.querySelector('.sentence').getBoundingClientRect().bottom
        > document.querySelector('.transport').getBoundingClientRect().top"""
    for _ in range(8):
        assert not tab.page.evaluate(covered), tab.step
        tab.press("ArrowRight")
    tab.context.close()


#: Whether the frame of the picture holds all of it and is filled, whether the panel shows all that
#: it tells, and where the controls are.
SEEN = """() => {
    const box = (what) => document.querySelector(what).getBoundingClientRect();
    const [frame, picture] = [box('.views'), box('.view svg')];
    const panel = document.querySelector('.panel');
    const inside = picture.left >= frame.left - 1 && picture.right <= frame.right + 1
        && picture.top >= frame.top - 1 && picture.bottom <= frame.bottom + 1;
    const {a} = document.querySelector('.view svg').getScreenCTM();
    const {width, height} = document.querySelector('.view svg').viewBox.baseVal;
    const filled = Math.max(width * a / frame.width, height * a / frame.height) > 0.97;
    const maths = [...document.querySelectorAll('.equations p')];
    const whole = maths.every((e) => e.scrollWidth <= e.clientWidth + 1)
        && [...document.querySelectorAll('.equations math')]
            .every((e) => e.getBoundingClientRect().right <= box('.panel').right);
    const told = panel.scrollHeight <= panel.clientHeight + 1;
    return [inside, filled, whole, told, box('.transport').top];
}"""


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (1280, 800)])
def test_nothing_is_cut_and_nothing_jumps(browser: Any, page: Path, size: tuple[int, int]) -> None:
    width, height = size
    fragment = "" if height == 800 else "#projector"
    tab = Tab(browser, page, fragment, viewport={"width": width, "height": height})
    controls = set()
    for step in (0, 3, 5, 9, 10, 12, 14, 24, 25, 40):
        tab.page.evaluate(f"location.hash = '#step={step}{fragment.replace('#', '&')}'")
        tab.until(f"document.querySelector('.stepper').dataset.step === '{step}'")
        *seen, top = tab.page.evaluate(SEEN)
        assert all(seen), (step, seen)
        controls.add(round(top))
    assert len(controls) == 1
    tab.context.close()


def test_without_javascript_it_shows_the_end(browser: Any, page: Path) -> None:
    tab = Tab(browser, page, java_script_enabled=False, **WIDE)
    assert "After 150 rounds" in tab.page.inner_text(".sentence")
    assert tab.page.locator(".views svg").is_visible()
    assert tab.page.locator(".table td").first.is_visible()
    assert tab.page.locator(".home").get_attribute("href") == "index.html"
    assert not tab.page.locator(".transport").is_visible()
    tab.context.close()
