"""The picture of a compiled function: every operation has its box, and nothing is run for it."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from typing import Any

import numpy
import pytest

from microgradlike import Compiled, Value, compile, dot, exp, losses, softmax, tanh, where
from microgradlike.compiler.operations import ARITY
from microgradlike.executors.on_numpy import NumpyExecutor
from microgradlike.nn import MLP
from microgradlike.replay.names import Names
from tests.programs import Program
from viz import draw_compiled, style
from viz.compiled.paths import Path
from viz.compiled.scalars import Tree

SVG = "{http://www.w3.org/2000/svg}"
Group = tuple[str, str, list[str]]


def rows(*shape: int) -> Any:
    return numpy.random.default_rng(0).normal(size=shape)


def matrix(outs: int, ins: int) -> list[list[Value]]:
    return [[Value(0.1 * (i - j)) for i in range(ins)] for j in range(outs)]


def tiny() -> Compiled:
    w, b = Value(2.0), Value(1.0)
    return compile(lambda x, y: (w * x + b - y) ** 2).trace([1.0], [3.0])


def moons() -> Compiled:
    model = MLP(2, [16, 16, 1], seed=0)

    def loss(x: Any, y: Any) -> Any:
        return losses.hinge(model(x), y) + 1e-4 * sum(p**2 for p in model.parameters())

    return compile(loss).trace(rows(4, 2), [1, -1, 1, 1])


def convolution() -> Compiled:
    kernels, bias = matrix(8, 9), [Value(0.0) for _ in range(8)]

    def f(image: Any) -> Any:
        return [
            dot(kernel, [image[i + a][j + b] for a in range(3) for b in range(3)]) + shift
            for kernel, shift in zip(kernels, bias, strict=True)
            for i in range(10)
            for j in range(10)
        ]

    return compile(f).trace(rows(1, 12, 12))


def groups(c: Compiled) -> list[Group]:
    """What is on the picture: the class of each node and edge, its title, and its words."""
    svg = ElementTree.fromstring(draw_compiled(c).svg())
    found = []
    for group in svg.iter(f"{SVG}g"):
        kind, _, name = group.attrib["class"].partition(" ")
        if kind in ("node", "edge"):
            title = group.findtext(f"{SVG}title") or ""
            found.append((name, title, [t.text or "" for t in group.iter(f"{SVG}text")]))
    return found


def of_class(c: Compiled, name: str) -> list[Group]:
    return [group for group in groups(c) if group[0] == name]


def boxes(c: Compiled) -> list[str]:
    """The names of the boxes on the right, without their numbers."""
    return [title.split("\n")[0].split("  ")[1] for _, title, _ in of_class(c, "instruction")]


def made_of(c: Compiled) -> list[str]:
    """What stands to the left of each box, as its title tells it."""
    return [title.split(": became")[0] for _, title, _ in of_class(c, "operations")]


def paths(c: Compiled) -> list[Path]:
    names = Names.of(c)
    return [Path.of(program, names) for program in c.programs]


# ---- What became what --------------------------------------------------------------------------


def test_a_tiny_function_shows_all_its_nodes() -> None:
    c = tiny()
    roles = ("input", "parameter", "operation", "result")
    words = {role: [text for *_, texts in of_class(c, role) for text in texts] for role in roles}
    assert sorted(words["input"]) == ["x", "y"]
    assert sorted(words["parameter"]) == ["b", "w"]
    assert sorted(words["operation"]) == ["+", "×", "−"]
    assert words["result"] == ["( )²"]
    assert boxes(c) == ["mul", "sum 2", "mul"]
    assert made_of(c) == ["mul x1", "add x1, sub x1", "mul x1"]
    lines = [title for _, title, _ in of_class(c, "number")]
    assert {"w goes into ×", "x goes into ×", "b goes into +", "y goes into −"} <= set(lines)
    assert "the result of mul in box 1" in lines, "a line from box to box"


def test_the_moons_network_is_eleven_boxes() -> None:
    c = moons()
    assert boxes(c) == [
        *("sum of squares 337", "mul"),
        *("layer 2->16", "relu x16", "layer 16->16", "relu x16", "layer 16->1"),
        *("mul", "sub", "relu", "add"),
    ]
    assert made_of(c)[:5] == [
        *("mul x337, add x337", "mul x1"),
        *("mul x32, add x32", "relu x16", "mul x256, add x256"),
    ]
    words = [text for *_, texts in groups(c) for text in texts]
    assert "16x2 matrix: 32 weights + bias" in words
    assert "1,319 scalar operations" in words and "11 instructions" in words
    assert words.index("once per call: of parameters alone") < words.index("for each row")
    matrices = [title.split("\n")[0] for _, title, _ in of_class(c, "matrix")]
    assert matrices == ["3  layer 2->16", "5  layer 16->16", "7  layer 16->1"]


def test_single_operations_are_one_box_that_reads_both_lists() -> None:
    w, v = Value(0.3), Value(0.2)

    def f(x: Any, y: Any) -> Any:
        for _ in range(40):
            x = x.sin() * w + y * exp(v)
        return x

    [_, box] = Path.of((c := compile(f).trace([1.0], [2.0])).programs[0], Names.of(c)).boxes
    assert box.name == "single operations x121"
    assert list(box.reads) == ["x", "y", "parameters", "box 1"]
    assert len(box.operations) == 121


def test_a_convolution_is_one_matrix_at_many_places() -> None:
    c = convolution()
    assert boxes(c) == ["layer 9->8 at 100 places"]
    assert made_of(c) == ["mul x7200, add x7200"]
    assert len(of_class(c, "matrix")) == 3, "a pile"
    assert "8x9 matrix: 72 weights + bias" in draw_compiled(c).svg()


def test_the_boxes_are_those_of_describe() -> None:
    weights = matrix(5, 5)
    c = compile(lambda x: softmax([dot(row, x) for row in weights])).trace(rows(3, 5))
    assert c.describe() == "rows x [layer 5->5, softmax 5]"
    assert boxes(c) == ["layer 5->5", "softmax 5"]
    assert sum(len(box.instructions) for path in paths(c) for box in path.boxes) > 2


def test_a_sum_of_two_instructions_has_its_last_addition_in_the_second() -> None:
    weights = matrix(5, 5)
    c = compile(lambda x: [a + dot(row, x) for a, row in zip(x, weights, strict=True)])
    c.trace(rows(3, 5))
    assert boxes(c) == ["layer 5->5", "sum 2 x5"]
    assert made_of(c) == ["mul x25, add x20", "add x5"]


def test_a_box_without_operations_says_so() -> None:
    weights, first, second = matrix(5, 5), *(([Value(0.5) for _ in range(5)]) for _ in range(2))
    c = compile(
        lambda x: [dot(r, x) + a + b for r, a, b in zip(weights, first, second, strict=True)]
    ).trace(rows(3, 5))
    assert boxes(c) == ["sum 2 x5", "layer 5->5"]
    assert made_of(c)[0] == "terms of a sum"
    assert "counted with the sum" in draw_compiled(c).svg()


@pytest.mark.parametrize("seed", range(60))
def test_every_operation_has_one_box_and_every_node_a_place(seed: int) -> None:
    program = Program(seed)
    given = rows(5) if program.number else rows(5, program.inputs)
    c = compile(program).trace(given, rows(5))
    for path in paths(c):
        computed = numpy.flatnonzero(ARITY[path.graph.op] > 0).tolist()
        assert sorted(node for box in path.boxes for node in box.operations) == computed
        for box in path.boxes:
            tree = Tree(path, box)
            assert {node for node in tree.nodes if node in set(box.operations)} == set(
                box.operations
            )
            floors: dict[int, list[float]] = {}
            for across, floor in tree.nodes.values():
                floors.setdefault(floor, []).append(across)
            for places in floors.values():
                places.sort()
                assert all(b - a >= 1 for a, b in itertools.pairwise(places))
    assert draw_compiled(c).svg()


# ---- Several paths, and long ones --------------------------------------------------------------


def test_each_path_is_drawn() -> None:
    w = Value(2.0)
    c = compile(lambda x: w * x if x > 0 else exp(x) + w).trace([1.0, -1.0])
    svg = draw_compiled(c).svg()
    assert "path 1 of 2: 1 scalar operation" in svg
    assert "path 2 of 2: 2 scalar operations" in svg
    assert "more path" not in svg


def test_of_many_paths_four_are_drawn() -> None:
    c = compile(lambda x: next(x * k for k in range(2, 9) if k == 8 or x < k), check=False)
    svg = draw_compiled(c.trace(numpy.arange(9.0))).svg()
    assert "path 4 of 7: 1 scalar operation" in svg
    assert "path 5 of 7: 1 scalar operation" not in svg
    assert "3 more paths" in svg


def test_of_a_long_path_the_ends_are_drawn() -> None:
    weights = matrix(3, 3)

    def deep(x: Any) -> Any:
        for _ in range(30):
            x = [tanh(dot(row, x)) for row in weights]
        return x

    c = compile(deep).trace(rows(1, 3))
    assert len(boxes(c)) == 32
    svg = draw_compiled(c).svg()
    assert "… 28 more boxes" in svg and f"… {14 * 18} operations" in svg


@pytest.mark.parametrize("f", [lambda x: x, lambda x: Value(1.0)])
def test_nothing_to_compute_is_a_picture_too(f: Any) -> None:
    assert "0 scalar operations" in draw_compiled(compile(f).trace([1.0])).svg()


# ---- Words, colours, and bytes -----------------------------------------------------------------


@pytest.mark.parametrize("make", [tiny, moons, convolution])
def test_everything_has_a_title_and_a_dark_colour(make: Any) -> None:
    c = make()
    assert all(title for _, title, _ in groups(c))
    svg = draw_compiled(c).svg()
    drawn = svg.partition("</style>")[2]
    colours = set(re.findall(r'(?:fill|stroke)="(#\w+)"', drawn))
    assert colours and colours <= set(style.DARK)
    assert "nan" not in re.sub(r"<title>.*?</title>", "", drawn)


def test_hostile_labels_are_escaped() -> None:
    w = Value(2.0, label='<b>&"\\N')
    c = compile(lambda x: w * x).trace([1.0])
    assert of_class(c, "parameter") == [("parameter", 'parameter <b>&"\\N', ['<b>&"\\N'])]


def test_parameters_are_called_by_label_or_variable_or_place() -> None:
    labelled, pair, hidden = Value(1.0, label="slope"), [Value(2.0), Value(3.0)], {0: Value(4.0)}
    c = compile(lambda x: labelled * x + pair[1] * x**3 + hidden[0]).trace([1.0])
    words = sorted(texts[0] for *_, texts in of_class(c, "parameter"))
    assert words == ["pair[1]", "slope", "θ[2]"]


def test_parameters_of_a_function_that_is_called_have_their_variables_too() -> None:
    W = [[Value(1.0)], [Value(2.0)]]
    helper = called(W)
    c = compile(lambda x: helper(x) * x).trace([1.0])
    assert [texts[0] for *_, texts in of_class(c, "parameter")] == ["matrix[0][0]"]
    other, two = called([[Value(3.0)]]), Value(1.0)
    c = compile(lambda x: helper(x) * other(x) + two * x).trace([1.0])
    words = sorted(texts[0] for *_, texts in of_class(c, "parameter"))
    assert words == ["matrix[0][0]", "two", "θ[1]"]


def called(matrix: Any) -> Any:
    return lambda x: matrix[0][0] * x


def test_inputs_are_called_by_argument_and_place() -> None:
    def several(*inputs: Any) -> Any:
        return inputs[0][1] * inputs[1]

    c = compile(several).trace(rows(2, 2), rows(2))
    titles = [title for _, title, _ in of_class(c, "input")]
    assert titles == ["input argument 1[1]", "input argument 2"]
    c = compile(lambda image: image[0][1] * image[1][0]).trace(rows(2, 2, 2))
    assert [texts for *_, texts in of_class(c, "input")] == [["image[0][1]"], ["image[1][0]"]]


def test_only_what_is_there_is_explained() -> None:
    assert "several places" in draw_compiled(convolution()).svg()
    svg = draw_compiled(tiny()).svg()
    assert "hexagon: parameter" in svg and "bare number" not in svg
    assert "several places" not in svg and "a matrix of weights" not in svg


@pytest.mark.parametrize("make", [tiny, moons])
def test_the_same_function_gives_the_same_bytes(make: Any) -> None:
    assert draw_compiled(make()).svg() == draw_compiled(make()).svg()


# ---- What drawing does not do ------------------------------------------------------------------


def test_drawing_runs_nothing_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    w = Value(2.0)
    w.grad = 5.0

    def f(x: Any) -> Any:
        calls["f"] += 1
        return where(x > 0, w * x, -x)

    c = compile(f, check=False).trace([1.0])
    before = c.describe()
    monkeypatch.setattr(NumpyExecutor, "run", lambda *_: pytest.fail("the program was run"))
    draw_compiled(c).svg()
    assert calls["f"] == 1 and (w.data, w.grad) == (2.0, 5.0) and c.describe() == before


def test_what_was_not_traced_is_refused_as_everywhere() -> None:
    with pytest.raises(ValueError, match="the function was not traced yet"):
        draw_compiled(compile(lambda x: x))


def test_what_was_not_compiled_is_refused() -> None:
    with pytest.raises(TypeError, match=r"draws what compile\(f\) made"):
        draw_compiled(Value(1.0))


def test_it_is_a_picture_like_the_others(tmp_path: Any) -> None:
    picture = draw_compiled(tiny())
    expected = "4 scalar operations became 3 instructions: rows x [mul, sum 2, mul]"
    assert repr(picture) == f"<Picture: {expected}>"
    assert picture.save(tmp_path / "tiny.png").read_bytes().startswith(b"\x89PNG")
