"""The page from scalars to matrices: each pass on the same scalars, and true sentences."""

from __future__ import annotations

import functools
import html
import itertools
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy
import pytest

from microgradlike import Compiled, Value, compile, dot, exp, losses, maximum, tanh
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.instructions import PARAMETERS
from microgradlike.compiler.operations import ARITY, NAMES
from microgradlike.compiler.plan import plan
from microgradlike.executors.on_numpy import NumpyExecutor
from microgradlike.functions import logsumexp, softmax
from microgradlike.nn import MLP
from microgradlike.replay.names import Names
from tests.browser import CONTRAST, VIEWS, Tab, Visit
from tests.programs import Program
from viz import save_stages, style
from viz.compiled.passes import Passes
from viz.compiled.places import ASIDE, NODE, Places, operands_of, spaced
from viz.compiled.staged import MOST_SCALARS, STAGES, Staged
from viz.compiled.told import told
from viz.view import Rendering

SVG = "{http://www.w3.org/2000/svg}"


def rows(*shape: int) -> Any:
    return numpy.random.default_rng(0).normal(size=shape)


def tiny() -> Compiled:
    w, b = Value(2.0), Value(1.0)
    return compile(lambda x, y: (w * x + b - y) ** 2).trace([1.0], [3.0])


def neuron() -> Compiled:
    w1, w2, b = Value(0.5), Value(-1.0), Value(0.25)
    return compile(lambda x: tanh(w1 * x[0] + w2 * x[1] + b)).trace([[2.0, 1.0]])


def network() -> Compiled:
    net = MLP(2, [4, 1], seed=0)
    return compile(lambda x, y: (net(x) - y) ** 2).trace(rows(3, 2), rows(3))


def branches() -> Compiled:
    w = Value(2.0)
    return compile(lambda x: w * x * x if x > 0 else exp(x) + w).trace([1.0, -1.0])


def classes() -> Compiled:
    weights = [[Value(0.1 * (i - j)) for i in range(3)] for j in range(3)]

    def loss(x: Any, t: Any) -> Any:
        z = [dot(row, x) for row in weights]
        return logsumexp(z) - z[0] * t + softmax(z)[1]

    return compile(loss).trace(rows(2, 3), rows(2))


def repeated() -> Compiled:
    a = Value(3.0)
    return compile(lambda x: (x + 1) * (x + 1) + x**2 / 1 + exp(a * a) * x).trace([2.0])


def wide() -> Compiled:
    """Some 11,000 operations."""
    net = MLP(100, [50, 10], seed=0)
    return compile(lambda x, y: losses.mse(net(x), y)).trace(rows(1, 100), rows(1, 10))


def random_program(seed: int) -> Compiled:
    program = Program(seed)
    given = rows(5) if program.number else rows(5, program.inputs)
    return compile(program).trace(given, rows(5))


SMALL = [tiny, neuron, network, branches, classes, repeated]


def passes(c: Compiled) -> list[Passes]:
    names = Names.of(c)
    return [Passes.of(program, names) for program in c.programs]


def said(c: Compiled, stage: str) -> str:
    return told(passes(c)[0], large=False)[stage].sentence


@functools.lru_cache(2)
def groups(page: str) -> list[ElementTree.Element]:
    """The parts of all pictures that know when they are seen."""
    pictures = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    found = (group for picture in pictures for group in ElementTree.fromstring(picture).iter())
    return [group for group in found if "data-seen" in group.attrib]


def seen_at(page: str, stage: int, kind: str) -> list[str]:
    """The words of the parts of a kind that a stage shows."""
    found = []
    for group in groups(page):
        first, last = map(int, group.attrib["data-seen"].split())
        if first <= stage <= last and kind in group.attrib["class"].split():
            found.append("".join(t.text or "" for t in group.iter(f"{SVG}text")))
    return found


def written(c: Compiled, folder: Path) -> str:
    return save_stages(c, folder / "stages.html").read_text(encoding="utf-8")


# ---- The sentences are true --------------------------------------------------------------------


def number_before(words: str, sentence: str) -> int:
    """The number that stands before some words."""
    found = re.search(rf"([\d,]+) (?:{words})", sentence)
    assert found, (words, sentence)
    return int(found[1].replace(",", ""))


def check_sentences(made: Passes) -> None:
    tape, graph, program = made.tape, made.graph, made.program
    tell = {name: text.sentence for name, text in told(made, large=False).items()}
    codes = [code for code in tape.nodes if ARITY[code]]
    listed = tell["tape"].partition("wrote down ")[2].partition(".")[0]
    counts = re.findall(r"(?:^|, | and )([\d,]+) ", listed)
    assert sum(int(count.replace(",", "")) for count in counts) == len(codes)
    computed = int((ARITY[graph.op] > 0).sum())
    written_down = len(set(graph.of_tape[[bool(ARITY[code]) for code in tape.nodes]]) - {-1})
    if "are needed by no" in tell["graph"] or "another one does" in tell["graph"]:
        pair = re.search(r"([\d,]+) of ([\d,]+) operation", tell["graph"])
        assert pair and [int(n) for n in pair.groups()] == [written_down, len(codes)]
    instructions = len(program.once.instructions) + len(program.rows.instructions)
    if instructions:
        assert number_before("operations? became", tell["grouped"]) == computed
        assert number_before("instructions?", tell["grouped"]) == instructions
    assert number_before("inputs?", tell["program"]) == len(program.inputs)
    assert f"A row of data has {program.rows.slots:,}:" in tell["program"]
    sends = [send for b in (*made.plan.backward, *made.plan.once_backward) for send in b.sends]
    if sends:
        assert number_before("gradients?", tell["plan"]) == sum(s.slots.size for s in sends)
        assert number_before("instructions?[,.]", tell["plan"]) == len(
            [*made.plan.backward, *made.plan.once_backward]
        )
        later = sum(s.slots.size for b in made.plan.once_backward for s in b.sends)
        assert not later or number_before("(is|are) sent once", tell["plan"]) == later
        first = sum(int(numpy.broadcast_to(s.assigns, s.slots.shape).sum()) for s in sends)
        if " to slots of a row" in tell["plan"]:
            here = number_before("goe?s? to slots", tell["plan"])
            if re.search("(it|each) is the first", tell["plan"]):
                assert here == first
            else:
                assert number_before("(is|are) the first there", tell["plan"]) == first < here


@pytest.mark.parametrize("make", SMALL)
def test_the_numbers_of_the_sentences_are_those_of_the_compiler(make: Any) -> None:
    for made in passes(make()):
        check_sentences(made)


@pytest.mark.parametrize("seed", range(24))
def test_they_are_true_of_random_programs(seed: int) -> None:
    for made in passes(random_program(seed)):
        check_sentences(made)


def test_what_is_said_of_a_network() -> None:
    c = network()
    assert said(c, "tape") == (
        "The function ran once, on one row, and wrote down 12 multiplications, 12 additions, "
        "4 relu, 1 subtraction and 1 power. It has 3 inputs and 17 parameters."
    )
    assert said(c, "graph").startswith("No operation is there twice and each is needed: all 30")
    assert said(c, "forms").startswith(
        "12 multiplications, 12 additions and 1 subtraction make 5 sums"
    )
    assert "there are 5 levels" in said(c, "levels")
    assert said(c, "grouped") == (
        "30 operations became 5 instructions. 16 multiplications and additions became one 4 x 2 "
        "matrix product."
    )
    assert "All rows share 17 parameters." in said(c, "program")
    assert said(c, "plan") == (
        "The backward pass for the parameters is 5 instructions, the last one first. They send 29 "
        "gradients. 12 go to slots of a row: 11 are the first there and written, the others are "
        "added. 17 go to what all rows share, and are added up over them."
    )


def test_what_is_there_twice_or_once_per_call_is_said() -> None:
    c = repeated()
    assert said(c, "graph") == (
        "2 operations compute what another one does, and one of the two is enough. 8 of 10 "
        "operations stay. 2 depend on parameters alone and are computed once per call, 6 for each "
        "row."
    )
    assert "what is computed once per call has 2 levels" in said(c, "levels")


def test_what_is_sent_once_is_not_said_to_be_added_up_over_rows() -> None:
    w = Value(2.0)
    assert said(compile(lambda x: x * (w * w)).trace([1.0]), "plan") == (
        "The backward pass for the parameters is 2 instructions, the last one first. They send 3 "
        "gradients. 1 goes to what all rows share, and is added up over them. 2 are sent once per "
        "call, last."
    )
    assert said(compile(lambda x: x * 3).trace([1.0]), "plan").startswith(
        "The backward pass for the inputs is 1 instruction. It sends 1 gradient. "
    )


def test_constants_are_counted_as_they_are_drawn() -> None:
    w, b = [Value(1.0), Value(2.0)], Value(3.0)
    assert "share 1 parameter." in said(compile(lambda x: x * w[0]).trace([1.0]), "program")
    c = compile(lambda x: sum(v * y for v, y in zip(w, x, strict=True)) + b).trace([[1.0, 2.0]])
    assert "share 3 parameters and 1 constant." in said(c, "program")
    assert "share 1 constant." in said(compile(lambda x: x * x + 2.5).trace([1.0]), "program")


def test_a_comparison_has_its_noun() -> None:
    c = compile(lambda x: x * x * 2 if x < 1 else x).trace([0.5])
    assert "wrote down 2 multiplications and 1 comparison. It" in said(c, "tape")


def test_inputs_right_of_what_is_computed_once_have_their_heading(tmp_path: Path) -> None:
    w = Value(2.0)
    page = written(compile(lambda x: w * 3).trace([1.0]), tmp_path)
    assert {"once per call", "for each row", "inputs", "level 1"} <= set(seen_at(page, 6, "words"))


def test_a_question_of_the_function_is_said() -> None:
    c = branches()
    assert "It had to decide 1 if: rows that decide otherwise take another path." in said(c, "tape")
    assert said(c, "graph").startswith("1 operation is needed by no result, though an if may ask")


def test_sums_that_are_written_out_again_are_said() -> None:
    def mixed(x: Any) -> Any:
        y = x
        for _ in range(30):
            y = tanh(y * x + x * x + exp(y))
        return y

    assert "written out again" in said(compile(mixed).trace([0.1]), "forms")
    assert "written out again" not in said(network(), "forms")


@pytest.mark.parametrize("f", [lambda x: x, lambda x: Value(1.0)])
def test_nothing_to_compute_has_its_page_too(f: Any, tmp_path: Path) -> None:
    page = written(compile(f).trace([1.0]), tmp_path)
    assert "Nothing is computed" in page and "0 scalar operations became 0 instructions" in page


# ---- What the picture shows --------------------------------------------------------------------


@pytest.mark.parametrize("make", SMALL)
def test_every_scalar_of_the_tape_is_there_from_the_first_stage_to_the_last(
    make: Any, tmp_path: Path
) -> None:
    c = make()
    page = written(c, tmp_path)
    for stage in range(len(STAGES)):
        for role in ("input", "parameter"):
            code = NAMES.index(role)
            count = sum(list(made.tape.nodes).count(code) for made in passes(c))
            assert len(seen_at(page, stage, role)) == count
        operations = seen_at(page, stage, "operation") + seen_at(page, stage, "result")
        assert len(operations) == sum(
            int(ARITY[code] > 0) for made in passes(c) for code in made.tape.nodes
        )


@pytest.mark.parametrize("make", SMALL)
def test_each_instruction_has_one_frame_from_its_stage_on(make: Any, tmp_path: Path) -> None:
    c = make()
    page = written(c, tmp_path)
    count = sum(len(made.path.boxes) for made in passes(c))
    frames = [g for g in groups(page) if "found" in g.attrib["class"].split()]
    assert len(frames) == count
    assert {g.attrib["data-seen"] for g in frames} == {"4 6"}
    names = [str(i) for p in c.programs for s in (p.once, p.rows) for i in s.instructions]
    titles = [g.findtext(f".//{SVG}title") or "" for g in frames]
    assert sorted(title.partition(": ")[2] for title in titles) == sorted(names)


def test_each_sum_and_each_fold_has_a_frame_and_what_is_gone_has_none(tmp_path: Path) -> None:
    page = written(classes(), tmp_path)
    frames = [g for g in groups(page) if "sum" in g.attrib["class"].split()]
    assert {g.attrib["data-seen"] for g in frames} == {"2 3"}
    titles = sorted(g.findtext(f".//{SVG}title") or "" for g in frames)
    assert titles == [*["a fold"] * 2, *["a sum of 3 terms"] * 5]


def test_what_is_computed_once_sends_to_what_all_rows_share() -> None:
    sent = list(passes(repeated())[0].sent())
    boxes = passes(repeated())[0].path.boxes
    assert any(boxes[s.box].once for s in sent)
    assert all(s.once.all() and not s.first.any() for s in sent if boxes[s.box].once)


def test_slots_and_senders_are_those_of_the_compiler(tmp_path: Path) -> None:
    """w * x + b - y: of the bias y, it is the sum that sends, and all rows add up."""
    page = written(tiny(), tmp_path)
    titles = {
        g.findtext(f".//{SVG}title"): "".join(t.text or "" for t in g.iter(f"{SVG}text"))
        for g in groups(page)
        if g.attrib["data-seen"] == "6 6"
    }
    of = {(title or "").partition(",")[0]: mark for title, mark in titles.items()}
    assert of["parameter w"] == "◄3+" and of["parameter b"] == "◄2+"
    assert of["operation ×"] == "◄2=" and of["operation −"] == "◄1= ◄1+"
    assert {"r0", "r1", "r2", "r3", "r4", "o0", "o1"} <= set(seen_at(page, 5, "words"))


def test_what_is_there_twice_is_pale_and_its_arrows_move(tmp_path: Path) -> None:
    page = written(repeated(), tmp_path)
    pale = [
        "".join(t.text or "" for t in g.iter(f"{SVG}text"))
        for g in groups(page)
        if "data-pale" in g.attrib and g.attrib["class"].split()[1] == "operation"
    ]
    assert pale == ["+", "÷"]
    moved = [g.attrib for g in groups(page) if "number" in g.attrib["class"].split()]
    assert [a["data-seen"] for a in moved].count("0 0") == 2
    assert [a["data-new"] for a in moved if "data-new" in a] == ["1", "1"]


def test_levels_are_columns() -> None:
    made = passes(network())[0]
    places = Staged(made, Rendering()).places
    for column, (left, right) in places.columns.items():
        inside = [block for block in places.blocks if block.column == column]
        assert all(
            left <= places.spots[key][0] <= right
            for block in inside
            for item in block.items
            for key in item.spots
        )
    assert [column for column in places.columns if column[1]] == [(1, k) for k in range(1, 6)]
    assert ASIDE in Staged(passes(branches())[0], Rendering()).places.columns


@pytest.mark.parametrize("seed", range(24))
def test_no_two_scalars_overlap(seed: int) -> None:
    for made in passes(random_program(seed)):
        if len(made.tape.nodes) > MOST_SCALARS:
            continue
        staged = Staged(made, Rendering())
        check_places(staged.places, staged.wide)


def check_places(places: Places, wide: Any) -> None:
    spots = list(places.spots.items())
    for (a, (x, y)), (b, (u, v)) in itertools.combinations(spots, 2):
        beside = abs(x - u) >= (wide[a] + wide[b]) / 2
        assert beside or abs(y - v) >= NODE, (a, b)
    for one, other in itertools.combinations(places.frames.values(), 2):
        across = one.right <= other.left or other.right <= one.left
        assert across or one.bottom <= other.top or other.bottom <= one.top


def test_an_arrow_passes_what_is_in_its_way(tmp_path: Path) -> None:
    """From x[0] past w[0], which is on its way to their product."""
    staged = Staged(passes(neuron())[0], Rendering())
    places, spots = staged.places, staged.places.spots
    x, product = 0, list(staged.passes.tape.nodes).index(NAMES.index("mul"))
    (w,) = (key for key in operands_of(staged.passes.tape, product) if key != x)
    assert places._runs_through(spots[x], spots[product], w)
    line = [spots[x], *places.bends(x, product), spots[product]]
    assert len(line) == 4
    for part in itertools.pairwise(line):
        assert not any(places._runs_through(*part, key) for key in spots if key not in (x, product))
    page = written(neuron(), tmp_path)
    assert len([g for g in groups(page) if "number" in g.attrib["class"].split()]) == 9 + 2 * 2


def test_every_node_has_its_place() -> None:
    for c in (classes(), repeated(), branches()):
        for made in passes(c):
            staged = Staged(made, Rendering())
            assert staged.places.spots.keys() == staged.wide.keys()


def test_places_are_as_near_as_there_is_room() -> None:
    assert spaced([], []) == []
    assert spaced([0.0, 5.0, 100.0], [10.0, 10.0, 10.0]) == [-2.5, 7.5, 100.0]
    found = spaced([30.0, 20.0, 10.0], [10.0, 10.0, 10.0])
    assert found == [10.0, 20.0, 30.0]


# ---- Large ones --------------------------------------------------------------------------------


def test_a_large_program_has_a_small_page_of_piles(tmp_path: Path) -> None:
    c = wide()
    path = save_stages(c, tmp_path / "stages.html")
    assert path.stat().st_size < 200_000
    page = path.read_text(encoding="utf-8")
    (made,) = passes(c)
    check_sentences(made)
    assert "10,000 multiplications and additions became one 50 x 100 matrix product" in page
    piles = " ".join(seen_at(page, 0, "words"))
    assert "mul ×5,000" in piles and "relu ×50" in piles and "100 inputs" in piles
    assert not seen_at(page, 0, "operation")
    assert any(words.startswith("◄") for words in seen_at(page, 6, "words"))


def test_of_many_instructions_the_ends_are_shown(tmp_path: Path) -> None:
    weights = [[Value(0.1 * (i - j)) for i in range(3)] for j in range(3)]

    def deep(x: Any) -> Any:
        for _ in range(30):
            x = [tanh(dot(row, x)) for row in weights]
        return x

    c = compile(deep).trace(rows(1, 3))
    assert len(passes(c)[0].path.boxes) > 40
    assert "more instructions of" in written(c, tmp_path)


# ---- The page ----------------------------------------------------------------------------------


def test_each_path_has_its_stages(tmp_path: Path) -> None:
    page = written(branches(), tmp_path)
    assert page.count('class="view"') == 2 and page.count('<ol class="passes">') == 2
    counts = re.findall(r'data-count="([^"]*)"', page)
    assert len(counts) == 14
    assert counts[0] == "Path 1 of 2, stage 1 of 7: tape"
    assert counts[-1] == "Path 2 of 2, stage 7 of 7: plan"
    many = compile(lambda x: next(x * k for k in range(2, 9) if k == 8 or x < k), check=False)
    page = written(many.trace(numpy.arange(9.0)), tmp_path)
    assert page.count('class="view"') == 4 and "7 paths, of which the first 4 are shown" in page


def test_the_lines_are_those_of_the_compiler(tmp_path: Path) -> None:
    c = neuron()
    page = html.unescape(written(c, tmp_path))
    for line in ("3 mul 2 0", "rows, level 1: 8", "8 = 2 x 0 + 4 x 1 + 7"):
        assert line in page.replace("  ", " "), line


def test_long_lists_say_how_much_is_left_out(tmp_path: Path) -> None:
    net = MLP(4, [16, 1], seed=0)
    page = html.unescape(written(compile(net).trace(rows(1, 4)), tmp_path))
    assert re.search(r"<li>\.\.\. and [\d,]+ more lines</li>", page) and "<li>…</li>" not in page


def test_a_strict_policy_hostile_labels_and_one_file(tmp_path: Path) -> None:
    w = Value(2.0, label='</script><b>&"\\N')
    page = written(compile(lambda x: w * x).trace([1.0]), tmp_path)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert page.count("</script>") == 2 and not re.search(r"\bsrc=|style=\"|\son\w+=\"", page)


@pytest.mark.parametrize("make", [network, branches])
def test_the_same_function_gives_the_same_bytes_in_colours_of_the_palette(
    make: Any, tmp_path: Path
) -> None:
    page = written(make(), tmp_path)
    assert written(make(), tmp_path) == page
    colours = set(re.findall(r'(?:fill|stroke)="(#\w+)"', page))
    assert colours and colours <= set(style.DARK)
    chosen = save_stages(make(), tmp_path / "dark.html", theme="dark", colours={"ink": "navy"})
    text = chosen.read_text(encoding="utf-8")
    assert '<html lang="en" data-theme="dark">' in text and "--c111111:navy" in text


def test_it_runs_nothing_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    c = tiny()
    before = c.describe(), c.theta().tolist()
    monkeypatch.setattr(NumpyExecutor, "run", lambda *_: pytest.fail("the program was run"))
    written(c, tmp_path)
    assert (c.describe(), c.theta().tolist()) == before


def test_bad_input_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"save_stages\(c\) draws what compile\(f\) made"):
        save_stages(Value(1.0), tmp_path / "page.html")
    with pytest.raises(ValueError, match="the function was not traced yet"):
        save_stages(compile(lambda x: x), tmp_path / "page.html")
    with pytest.raises(ValueError, match=r"the name of a page ends in \.html"):
        save_stages(tiny(), tmp_path / "page.svg")
    with pytest.raises(TypeError, match="save_stages has no option 'rankdir'; it has engine"):
        save_stages(tiny(), tmp_path / "page.html", rankdir="TB")  # type: ignore[call-arg]
    assert list(tmp_path.iterdir()) == []


# ---- What it is made of ------------------------------------------------------------------------


def test_the_graph_knows_what_became_of_each_node_of_the_tape() -> None:
    c = compile(lambda x: (x + 1) * (x + 1) + maximum(x, 2.0) * 0.0 + x**2 / 1).trace([2.0])
    graph = c.programs[0].graph
    tape = graph.tape
    names = {
        NAMES[code]: NAMES[graph.op[here]]
        for code, here in zip(tape.nodes, graph.of_tape, strict=True)
    }
    assert names["pow of a number"] == names["truediv"] == "mul" and names["input"] == "input"
    same = graph.of_tape[[k for k, code in enumerate(tape.nodes) if NAMES[code] == "add"][:2]]
    assert same[0] == same[1] >= 0
    unused = Graph(tape, tape.outputs[:0])
    assert (unused.of_tape == -1).all()


def test_a_plan_of_a_program_with_parameters_is_for_them() -> None:
    made = passes(tiny())[0]
    assert made.plan.mode == PARAMETERS
    expected = plan(made.program, PARAMETERS)
    assert len(made.plan.backward) == len(expected.backward)
    without = compile(lambda x: tanh(x * x)).trace([1.0])
    assert "slots of a row" in said(without, "plan")


# ---- In a browser ------------------------------------------------------------------------------

#: The texts of the picture that are seen and cover each other by more than a hair.
COVERED = """() => {
    const seen = [...document.querySelectorAll('.view:not([hidden]) text')]
        .filter((e) => e.getClientRects().length && e.textContent.trim())
        .map((e) => [e.textContent, e.getBoundingClientRect()]);
    const found = [];
    for (const [k, [a, r]] of seen.entries()) for (const [b, s] of seen.slice(k + 1)) {
        const across = Math.min(r.right, s.right) - Math.max(r.left, s.left);
        const down = Math.min(r.bottom, s.bottom) - Math.max(r.top, s.top);
        if (across > 1 && down > 2) found.push([a, b]);
    }
    return found;
}"""


@pytest.mark.parametrize("view", [VIEWS[0], VIEWS[3]], ids=["wide-light", "phone-dark"])
def test_a_reader_steps_through_it(visit: Visit, tmp_path: Path) -> None:
    tab = visit(save_stages(network(), tmp_path / "stages.html"))
    last = len(STAGES) - 1
    assert tab.step == 0 and tab.attribute("data-steps") == str(last)
    for stage, name in enumerate(STAGES):
        assert tab.page.inner_text(".count") == f"Stage {stage + 1} of 7: {name}"
        assert tab.page.inner_text(".told .sentence") and tab.page.inner_text(".passes .now .made")
        assert tab.page.evaluate(COVERED) == []
        assert stage % 2 or tab.page.evaluate(CONTRAST) == []
        if stage < last:
            tab.page.click(".next")
    assert tab.page.locator(".next").is_disabled()
    tab.press("ArrowLeft")
    assert tab.step == last - 1
    tab.press("Home")
    assert tab.step == 0 and tab.page.locator(".found:visible").count() == 0
    tab.page.click('.pass[data-step="4"]')
    tab.until("document.querySelector('.stepper').dataset.step === '4'")
    assert tab.page.locator(".found:visible").count() == 5
    assert tab.page.get_attribute(".passes .now button", "aria-current") == "step"
    width = tab.page.viewport_size["width"]
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.smallest() >= 8 and tab.complaints == [] and len(tab.requests) == 1


def test_two_paths_take_turns_and_without_javascript_all_is_there(
    browser: Any, tmp_path: Path
) -> None:
    path = save_stages(branches(), tmp_path / "stages.html")
    tab = Tab(browser, path, "#step=6")
    shown = tab.page.locator(".view:not([hidden])")
    assert shown.count() == 1 and "Path 1 of 2" in tab.page.inner_text(".count")
    before = shown.inner_html()
    tab.press("ArrowRight")
    assert "Path 2 of 2" in tab.page.inner_text(".count") and shown.inner_html() != before
    tab.context.close()
    tab = Tab(browser, path, java_script_enabled=False)
    assert tab.page.locator(".view:visible").count() == 2
    assert tab.page.locator(".said .sentence:visible").count() == 14
    assert not tab.page.locator(".transport").is_visible()
    tab.context.close()
