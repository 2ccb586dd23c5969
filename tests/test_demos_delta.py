"""The stops on delta, the learning rate, and why backpropagation: each sentence, computed again."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import re
import runpy
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import numpy.typing
import pytest
from sklearn.isotonic import IsotonicRegression

from demos import Figure, Prose, collected

Array = numpy.typing.NDArray[numpy.float64]
SEEDS = ("0", "1", "7")
NUMBER = r"[+−-]?\d+(?:,\d{3})*(?:\.\d+)?"


class Ran(NamedTuple):
    """What a demo printed and said, its captions by file, its equations, and its names."""

    printed: str
    captions: dict[str, str]
    equations: list[str]
    folder: Path
    names: dict[str, Any]


def run(demo: str, seed: str, folder: Path) -> Ran:
    arguments, sys.argv = sys.argv, [demo, "--out", str(folder), "--seed", seed]
    try:
        with collected() as album, contextlib.redirect_stdout(io.StringIO()) as printed:
            names = runpy.run_module(f"demos.{demo}", run_name="__main__")
    finally:
        sys.argv = arguments
    prose = [part.text for part in album.shown if isinstance(part, Prose)]
    figures = [part for part in album.shown if isinstance(part, Figure)]
    captions = {
        getattr(f.content, "name", f"equation {k}"): f.caption for k, f in enumerate(figures)
    }
    equations = [f.content for f in figures if isinstance(f.content, str)]
    return Ran("\n".join([printed.getvalue(), *prose, ""]), captions, equations, folder, names)


def read(text: str) -> float:
    """A number as a sentence has it."""
    return float(text.replace("−", "-").replace(",", ""))


def numbers(text: str) -> list[float]:
    return [read(number) for number in re.findall(NUMBER, text)]


def near(text: str) -> Any:
    """What agrees with a number of three significant digits."""
    return pytest.approx(read(text), rel=6e-3, abs=1e-12)


def sentences(ran: Ran) -> str:
    """All that is to be read, without the table of proof."""
    lines = [line for line in ran.printed.splitlines() if "differs by" not in line]
    return "\n".join([*lines, *ran.captions.values()])


def check_plain_numbers(ran: Ran) -> None:
    """No power of ten as programs write it, and no column of digits that nobody needs."""
    assert not re.search(r"\de[+−-]?\d", sentences(ran))
    assert not re.search(r"\d\.\d{9,}", re.sub(r"0\.0+", "0.", sentences(ran)))


# ---- Delta -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=SEEDS)
def delta(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run("layer_errors", request.param, tmp_path_factory.mktemp("delta"))


MATH = "{http://www.w3.org/1998/Math/MathML}"


def below_the_terms(equation: str) -> list[Any]:
    """The second row of an equation: arrays, and the signs between them."""
    table = ElementTree.fromstring(equation)[0]
    cells: list[Any] = []
    for cell in table[1]:
        rows = cell.findall(f".//{MATH}mtr")
        if rows:
            cells.append(numpy.array([[_number(n) for n in row if _is_number(n)] for row in rows]))
        elif _is_number(cell):
            cells.append(numpy.array([[_number(cell)]]))
        else:
            cells.append("".join(cell.itertext()))
    return cells


def _number(cell: ElementTree.Element) -> float:
    return read("".join(cell.itertext()))


def _is_number(cell: ElementTree.Element) -> bool:
    return re.fullmatch(NUMBER, "".join(cell.itertext())) is not None


def slopes_by_differences(ran: Ran) -> list[list[Array]]:
    """For each layer the slope of the cost at each weight and at each bias, by nudges alone."""
    weights, biases = ran.names["weights"], ran.names["biases"]

    def cost() -> float:
        a = numpy.array([0.8, -0.6])
        for W, b in zip(weights, biases, strict=True):
            a = numpy.tanh(W @ a + b)
        return float((0.5 - a[0]) ** 2)

    found = []
    for arrays in zip(weights, biases, strict=True):
        found.append([numpy.empty_like(array) for array in arrays])
        for array, slopes in zip(arrays, found[-1], strict=True):
            for place in numpy.ndindex(array.shape):
                kept = array[place]
                array[place] = kept + 1e-5
                above = cost()
                array[place] = kept - 1e-5
                slopes[place] = (above - cost()) / 2e-5
                array[place] = kept
    return found


def test_the_numbers_below_the_terms_give_the_number_below_the_result(delta: Ran) -> None:
    last, second, first, biases, weights = map(below_the_terms, delta.equations)
    result, equals, by_cost, times, slope = last
    assert (equals, times) == ("=", "×")
    assert result == pytest.approx(by_cost * slope, rel=0.02)
    for equation in (second, first):
        result, equals, opened, transposed, times, after, closed, rowwise, slope = equation
        assert (equals, opened, times, closed, rowwise) == ("=", "(", "×", ")", "⊙")
        assert result.shape == (len(transposed), 1) and transposed.shape[1] == len(after)
        rounded = 0.02 * (abs(transposed) @ abs(after)) * abs(slope)
        assert (abs(result - (transposed @ after) * slope) <= rounded).all()
    assert (biases[0] == biases[2]).all()
    result, _, inputs, times, of_neuron = weights
    assert times == "×" and '<mi mathvariant="normal">d</mi>' in delta.equations[-1]
    assert result == pytest.approx(inputs * of_neuron, rel=0.02)


def test_the_numbers_below_the_terms_are_slopes_of_the_cost(delta: Ran) -> None:
    slopes = slopes_by_differences(delta)
    last, second, first, biases, weights = map(below_the_terms, delta.equations)
    for (_, by_bias), equation in zip(slopes, (first, second, last), strict=True):
        assert equation[0].ravel() == pytest.approx(by_bias, rel=6e-3, abs=1e-7)
    assert biases[0].ravel() == pytest.approx(slopes[0][1], rel=6e-3, abs=1e-7)
    assert weights[0].ravel() == pytest.approx(slopes[0][0][1], rel=6e-3, abs=1e-7)
    assert weights[2].ravel().tolist() == [0.8, -0.6]


def test_the_two_paths_to_a_are_those_of_the_picture(delta: Ran) -> None:
    caption = delta.captions["layer_errors.svg"]
    found = re.search(
        rf"D and E: ({NUMBER}) \(through D\) ([+−]) ({NUMBER}) \(through E\) = ({NUMBER})\. "
        rf"Times the slope of A's curve, ({NUMBER}), this is A's δ: ({NUMBER})\.",
        caption,
    )
    assert found
    through_d, sign, through_e, together, slope, result = found.groups()
    both = [read(through_d), read(f"{sign}{through_e}")]
    assert sum(both) == pytest.approx(read(together), abs=0.01 * max(map(abs, both)))
    assert read(together) * read(slope) == pytest.approx(read(result), rel=0.02)
    slopes = slopes_by_differences(delta)
    assert slopes[0][1][0] == near(result)
    picture = (delta.folder / "layer_errors.svg").read_text(encoding="utf-8")
    # A minus sign of a picture is that of a sentence.
    texts = re.findall(r">([^<>]+)</text>", picture)
    assert through_d in texts and (sign if sign == "−" else "+") + through_e in texts


def test_the_weight_that_moves_most_is_named_with_its_way(delta: Ran) -> None:
    slopes = [by_weight for by_weight, _ in slopes_by_differences(delta)]
    layer = max(range(3), key=lambda k: abs(slopes[k]).max())
    to, source = numpy.unravel_index(abs(slopes[layer]).argmax(), slopes[layer].shape)
    steepest, old = slopes[layer][to, source], delta.names["weights"][layer][to, source]
    columns = [["x1", "x2"], ["A", "B", "S"], ["D", "E"], ["F"]]
    found = re.search(
        rf"the one from (\w+) to (\w+) has the steepest: ({NUMBER}), so it moves most\. It moves "
        rf"(up|down), against its slope: with a rate of 0\.1 by ({NUMBER}), from ({NUMBER}) to "
        rf"({NUMBER})\. (.*)",
        delta.captions["layer_errors_weights.svg"],
    )
    assert found
    assert found.groups()[:2] == (columns[layer][source], columns[layer + 1][to])
    assert found[4] == ("up" if steepest < 0 else "down")
    for text, number in zip(found.groups()[2:3], [steepest], strict=True):
        assert number == near(text)
    for text, number in zip(
        found.groups()[4:7], [-0.1 * steepest, old, old - 0.1 * steepest], strict=True
    ):
        assert number == near(text)


def test_the_caption_says_whether_a_bias_moves_farther(delta: Ran) -> None:
    slopes = slopes_by_differences(delta)
    at_weights = max(abs(by_weight).max() for by_weight, _ in slopes)
    neurons = [["A", "B", "S"], ["D", "E"], ["F"]]
    at_biases = {
        name: slope
        for (_, by_bias), here in zip(slopes, neurons, strict=True)
        for name, slope in zip(here, by_bias, strict=True)
    }
    caption = delta.captions["layer_errors_weights.svg"]
    said = re.search(rf"A bias moves even farther, (\w)'s: its slope is ({NUMBER})\.", caption)
    steepest = max(at_biases, key=lambda name: abs(at_biases[name]))
    if abs(at_biases[steepest]) > at_weights:
        assert said and said[1] == steepest and at_biases[steepest] == near(said[2])
    else:
        assert said is None and "No bias has a steeper one." in caption


def test_a_nudge_gives_the_slope_of_the_fourth_equation(delta: Ran) -> None:
    found = re.search(
        rf"the cost changes by ({NUMBER})\. The ratio, ({NUMBER}), .* says ({NUMBER})\.",
        delta.printed,
    )
    assert found
    changed, ratio, slope = map(read, found.groups())
    assert ratio == pytest.approx(changed / 0.001, rel=0.01)
    assert ratio == pytest.approx(slope, rel=0.01)
    assert slopes_by_differences(delta)[0][0][1, 0] == near(found[3])


def test_a_small_delta_does_not_mean_little_importance(delta: Ran) -> None:
    weights, biases = delta.names["weights"], delta.names["biases"]

    def answer(silent: int | None) -> float:
        a = numpy.tanh(weights[0] @ numpy.array([0.8, -0.6]) + biases[0])
        if silent is not None:
            a[silent] = 0
        for W, b in zip(weights[1:], biases[1:], strict=True):
            a = numpy.tanh(W @ a + b)
        return float(a[0])

    changes = [answer(place) - answer(None) for place in range(3)]
    rows = re.findall(rf"^  [ABS] +{NUMBER} +({NUMBER}) +({NUMBER})$", delta.printed, re.M)
    assert len(rows) == 3
    for place, (without, change) in enumerate(rows):
        assert answer(place) == near(without) and changes[place] == near(change)
    found = re.search(
        rf"S's delta is next to nothing, ({NUMBER}), and .* changes by ({NUMBER})(.*?)\. A small",
        delta.printed,
    )
    assert found
    assert abs(read(found[1])) < 0.001 < 0.05 < abs(changes[2]) and abs(changes[2]) == near(
        found[2]
    )
    named = re.findall(r"\b([AB])\b", found[3])
    assert named == [n for n, c in zip("AB", changes, strict=False) if abs(c) < abs(changes[2])]


def test_a_network_that_needs_a_saturated_neuron_is_stuck(delta: Ran) -> None:
    (_, well, far), (network, stuck, near_by) = delta.names["runs"].values()
    assert well[0] > 0.15 and well[-1] < 1e-6 < near_by * 1e3 and far > 0.05 > 1000 * near_by
    assert 0.06 < stuck[-1] < 0.07 and stuck[-1] > 0.8 * stuck[100]
    c = network.layers[0].neurons[1]
    sums = [c.w[0].data * a + c.w[1].data * b + c.b.data for a, b in delta.names["KEEN"]]
    assert all(1 - math.tanh(z) ** 2 < 1e-4 for z in sums)
    assert "the cost falls to less than 0.000001" in delta.captions["layer_errors_stuck.svg"]
    found = re.search(
        rf"stays at ({NUMBER}), .* below ({NUMBER})\.", delta.captions["layer_errors_stuck.svg"]
    )
    assert found
    assert stuck[-1] == near(found[1])
    # What one neuron can do at the best: any curve that only rises, along any direction.
    points, targets = numpy.array(delta.names["KEEN"]), numpy.array(delta.names["TARGETS"])
    best = 1.0
    for angle in numpy.linspace(0, 2 * math.pi, 361):
        along = points @ [math.cos(angle), math.sin(angle)]
        fitted = IsotonicRegression().fit_transform(along.round(9), targets)
        best = min(best, float(((fitted - targets) ** 2).mean()))
    assert best == near(found[2])


def test_delta_is_told_in_plain_numbers(delta: Ran) -> None:
    check_plain_numbers(delta)
    fell = re.search(rf"The cost fell from ({NUMBER}) to (less than )?({NUMBER})", delta.printed)
    assert fell and read(fell[3]) < 0.2 * read(fell[1])


# ---- The learning rate -------------------------------------------------------------------------


@pytest.fixture(scope="module", params=SEEDS)
def descent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run("gradient_descent", request.param, tmp_path_factory.mktemp("descent"))


def valley(ran: Ran) -> tuple[Array, Array, Any]:
    """Second derivatives and lowest point of the cost, and the cost, from the data alone."""
    xs, ys = ran.names["xs"], ran.names["ys"]
    rows = numpy.column_stack([xs, numpy.ones(len(xs))])
    curvature = 2 * rows.T @ rows / len(xs)
    return (
        curvature,
        numpy.linalg.solve(rows.T @ rows, rows.T @ ys),
        lambda p: float(((rows @ p - ys) ** 2).mean()),
    )


def costs_with(ran: Ran, rate: float, steps: int) -> list[float]:
    """The costs of gradient descent, from the data alone."""
    curvature, best, cost = valley(ran)
    point = numpy.array([-1.5, 3.0])
    found = [cost(point)]
    for _ in range(steps):
        point = point - rate * curvature @ (point - best)
        found.append(cost(point))
    return found


def test_the_change_is_the_gradient_times_minus_the_rate(descent: Ran) -> None:
    curvature, best, _ = valley(descent)
    slopes = curvature @ (numpy.array([-1.5, 3.0]) - best)
    said = re.search(rf"gradient is ({NUMBER}) at w and ({NUMBER}) at b", descent.printed)
    assert said
    assert [slopes[0], slopes[1]] == [near(said[1]), near(said[2])]
    rows = re.findall(
        rf"^([a-z ]+?) {{2,}}(0\.\d+) +({NUMBER}\.?\d*) +({NUMBER}\.?\d*)$", descent.printed, re.M
    )
    changes = {name: row for name, *row in rows[:4]}
    assert list(changes) == ["too small", "just right", "near the limit", "too large"]
    limit = 2 / numpy.linalg.eigvalsh(curvature)[1]
    shares = (0.02, 1 / 3, 0.9, 1.02)
    for (rate, of_w, of_b), share in zip(changes.values(), shares, strict=True):
        assert share * limit == near(rate)
        assert -share * limit * slopes[0] == near(of_w)
        assert -share * limit * slopes[1] == near(of_b)


def test_ten_times_the_rate_does_what_the_sentence_says(descent: Ran) -> None:
    curvature, best, cost = valley(descent)
    limit = 2 / numpy.linalg.eigvalsh(curvature)[1]
    small = re.search(
        rf"Ten times the rate that is \*too small\* is ({NUMBER}), below the limit of "
        rf"({NUMBER}): it arrives after (\d+)\s+steps, where ({NUMBER}) had not "
        rf"arrived after 300\.",
        " ".join(descent.printed.split()),
    )
    right = re.search(
        rf"Ten times the rate that is \*just right\* is ({NUMBER}), above the limit of "
        rf"({NUMBER}): after 5 steps the cost is ({NUMBER}) times what it was\.",
        " ".join(descent.printed.split()),
    )
    assert small and right
    assert [0.2 * limit, limit, 0.02 * limit] == [near(small[1]), near(small[2]), near(small[4])]
    there = 0.01 * (cost(numpy.array([-1.5, 3.0])) - cost(best)) + cost(best)
    found = costs_with(descent, 0.2 * limit, 300)
    assert found[int(small[3])] < there <= found[int(small[3]) - 1]
    assert costs_with(descent, 0.02 * limit, 300)[-1] > there
    grown = costs_with(descent, 10 / 3 * limit, 5)
    assert [10 / 3 * limit, grown[-1] / grown[0]] == [near(right[1]), near(right[3])]
    assert grown == sorted(grown)


def test_the_titles_of_the_panels_are_true(descent: Ran) -> None:
    curvature, best, _ = valley(descent)
    _, sides = numpy.linalg.eigh(curvature)
    across = {name: (path - best) @ sides[:, 1] for name, path in descent.names["paths"].items()}

    def turns(name: str) -> int:
        return int((across[name][1:12] * across[name][:11] < 0).sum())

    assert turns("near the limit") == turns("too large") == 11
    assert turns("just right") == turns("too small") == 0
    assert (numpy.diff(abs(across["too large"])) > 0).all()
    arrived = {name: descent.names["arrival"](c) for name, c in descent.names["costs"].items()}
    assert arrived["too small"] is arrived["too large"] is None
    assert all(n for name, n in arrived.items() if name not in ("too small", "too large"))


def test_each_start_ends_in_the_valley_in_which_it_began(descent: Ran) -> None:
    ends = re.findall(
        rf"From w = ({NUMBER}) it ends at w = ({NUMBER}), with a cost of ({NUMBER})\.",
        descent.printed,
    )
    assert len(ends) == 2
    bottoms = [r.real for r in numpy.roots([4, 0, -4, 0.3])]
    top = sorted(bottoms)[1]
    for begin, end, height in ends:
        bottom = min(bottoms) if read(begin) < top else max(bottoms)
        assert bottom == near(end) and (bottom**2 - 1) ** 2 + 0.3 * bottom + 0.5 == near(height)
    caption = descent.captions["gradient_descent_valleys.svg"]
    worse, its_cost, better = re.findall(rf"(?:from|cost of|cost is) ({NUMBER})", caption)
    assert read(its_cost) > read(better)
    assert [read(h) for b, _, h in ends if read(b) == read(worse)] == [read(its_cost)]


def test_the_learning_rate_is_told_in_plain_numbers(descent: Ran) -> None:
    check_plain_numbers(descent)
    caption = descent.captions["gradient_descent_costs.svg"]
    small, right, large = numbers(caption.partition("150 steps")[2])
    assert right < 0.01 < small < large


# ---- Why backpropagation -----------------------------------------------------------------------


@pytest.fixture(scope="module", params=["1", "3"])
def why(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run("why_backprop", request.param, tmp_path_factory.mktemp("why"))


def test_what_is_said_of_one_weight_at_a_time(why: Ran) -> None:
    """With seed 1 it is stuck where all answers are equal; with seed 3 it is not."""
    alone, together = why.names["alone"], why.names["together"]
    bump = numpy.exp(-1.5 * numpy.linspace(-2, 2, 20) ** 2)
    stuck = re.search(
        rf"stopped after ([\d,]+) passes, with a cost of ({NUMBER}), for it was stuck: no single "
        rf"weight helps any more\. All its answers are between ({NUMBER}) and ({NUMBER}); the mean "
        rf"of the bump is ({NUMBER})\.",
        why.printed,
    )
    free = re.search(
        rf"does not get stuck: it reaches a cost of ({NUMBER})\s+in ([\d,]+) passes", why.printed
    )
    assert (stuck is None) != (free is None)
    if free:
        assert alone.best[-1] == near(free[1]) and alone.best[-1] < 0.01
        assert read(free[2]) == alone.passes[-1]
        return
    assert stuck
    assert read(stuck[1]) == alone.passes[-1] < together.passes[-1]
    # The same answer everywhere is best if it is the mean, and costs the variance.
    assert bump.var() == near(stuck[2])
    assert [near(stuck[k]) for k in (3, 4, 5)] == [bump.mean()] * 3
    fell, one, seven = re.findall(
        rf"falls by (less than 0\.000001) at the most|the cost is ({NUMBER}) at the best"
        rf"|those values: the cost is ({NUMBER})\.",
        why.printed,
    )
    assert fell[0]
    assert read(one[1]) > 0.9 * alone.best[-1]
    assert read(seven[2]) < 0.001 and together.best[-1] == pytest.approx(read(seven[2]), rel=0.1)


def test_ten_other_starts_are_counted(why: Ran) -> None:
    found = re.findall(
        rf"reaches a cost of 0\.01 from (\d+) of them(?:, typically after ({NUMBER}))?", why.printed
    )
    assert len(found) == 2
    for (count, typically), needs in zip(found, why.names["reached"].values(), strict=True):
        arrived = sorted(passes for passes in needs if passes is not None)
        assert len(needs) == 10 and int(count) == len(arrived)
        assert arrived[0] <= read(typically) <= arrived[-1]
    cost, start = why.names["cost"], why.names["others"][0]
    alone = why.names["one_at_a_time"](cost, start, 5000, 0.01)
    assert (alone.best[-1] < 0.01) == (why.names["reached"]["One weight at a time"][0] is not None)


def test_the_difference_that_lasts_is_the_price(why: Ran) -> None:
    alone, together = (
        numpy.median([passes for passes in needs if passes is not None])
        for needs in why.names["reached"].values()
    )
    said = re.search(
        rf"(So [^.]*)\. The difference that lasts is the price: here one at a time takes "
        rf"({NUMBER}) times as many passes\.",
        why.printed,
    )
    assert said and alone / together == pytest.approx(read(said[2]), rel=0.05)
    often = sum(n is not None for n in why.names["reached"]["One weight at a time"]) > 5
    stuck = why.names["alone"].best[-1] > 0.01
    assert (
        said[1]
        == "So "
        + {
            (True, True): "getting stuck was bad luck",
            (True, False): "getting stuck is nothing unusual",
            (False, True): "arriving is nothing unusual",
            (False, False): "arriving was good luck",
        }[stuck, often]
    )
    growth = re.search(
        rf"With 4 weights one at a time takes ({NUMBER}) times as many passes as backpropagation, "
        rf"and with 128 weights ({NUMBER}) times",
        why.printed,
    )
    assert growth
    rows = list(why.names["growth"].values())
    for place, ratio in zip((0, -1), growth.groups(), strict=True):
        assert rows[0][place] / rows[1][place] == pytest.approx(read(ratio), rel=0.05)
    assert "7 × 7 × ... × 7 = 823,543" in why.printed
    assert why.names["together"].passes[-1] == 1 + 3 * 1000
    assert "1 pass at the start and 3 for each of 1,000 steps" in why.printed


def test_the_list_of_combinations_begins_as_a_child_would_begin_it(why: Ran) -> None:
    listed = re.findall(r"^  (\(\d+, \d+, \d+\))$", why.printed, re.M)
    assert listed == ["(1, 1, 1)", "(1, 1, 2)", "(1, 1, 3)", "(1000, 1000, 1000)"]
    assert "= 1,000,000,000 lines" in why.printed
    corrected = re.search(r"4 weights take (.*?),\s+and 5 take (.*?)\.\n", why.printed)
    assert corrected
    minutes, days = (10**12 / 1e9 / 60, 10**15 / 1e9 / 86400)
    assert corrected.groups() == (f"{minutes:.3g} minutes", f"{days:.3g} days")


def test_the_axes_have_numbers_as_one_says_them(why: Ran) -> None:
    figure = why.names["figure"]
    for axes in figure.axes:
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert any(labels) and not any("$" in label for label in labels)
        ticks = axes.get_yticks()
        assert all(b == pytest.approx(10 * a) for a, b in itertools.pairwise(ticks))
        for label, tick in zip(labels, ticks, strict=True):
            assert not label or read(label) == pytest.approx(tick)
