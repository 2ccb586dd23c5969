"""Exercises: each key is found again from the words of its question, and by nudging alone."""

from __future__ import annotations

import ast
import itertools
import json
import math
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from microgradlike import Value, custom, exercises
from microgradlike.exercises import Exercise, answers, making, nudged
from microgradlike.exercises.__main__ import main
from microgradlike.exercises.exercise import written
from microgradlike.nn import MLP
from microgradlike.sweep import named

#: So many of each kind are made, over these levels.
COUNT, LEVELS = 40, (1, 3, 4, 5)


def number(text: str) -> float:
    return float(text.replace("−", "-").strip("()"))


# ---- A pupil who only reads the question, and nudges --------------------------------------------


class World:
    """The equations and the numbers of a question, in plain Python."""

    def __init__(self, question: str) -> None:
        self.equations: dict[str, str] = {}
        self.point: dict[str, float] = {}
        for line in question.split("\n"):
            line = line.partition(", and so ")[0].rstrip(".")
            for part in re.split(r", (?=\w+ = )", line):
                sides = part.split(" = ")
                if len(sides) < 2 or not re.fullmatch(r"\w+", sides[0]):
                    continue
                if re.fullmatch(r"−?[\d.]+", sides[1]):
                    self.point.setdefault(sides[0], number(sides[1]))
                else:
                    self.equations[sides[0]] = python(sides[1])  # the last one is a single step

        for name in self.equations:
            self.point.pop(name, None)

    @property
    def result(self) -> str:
        """The name that no equation uses."""
        used = " ".join(self.equations.values())
        [name] = [n for n in self.equations if not re.search(rf"\b{n}\b", used)]
        return name

    def value(self, name: str, **moved: float) -> float:
        """The number of a name, where some others have been moved."""
        known: dict[str, Any] = {**self.point, **moved, **FUNCTIONS}

        def find(wanted: str) -> None:
            if wanted in known:
                return
            for part in ast.walk(ast.parse(self.equations[wanted])):
                if isinstance(part, ast.Name):
                    find(part.id)
            known[wanted] = eval(self.equations[wanted], {}, known)

        find(name)
        return float(known[name])

    def slope(self, name: str, of: str = "") -> float:
        """A central difference."""
        of = of or self.result
        here, step = self.value(name), 1e-5
        above, below = (self.value(of, **{name: here + side * step}) for side in (1, -1))
        return (above - below) / (2 * step)


FUNCTIONS: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(x, 0.0),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
}


def python(text: str) -> str:
    for sign, spelt in (("×", "*"), ("÷", "/"), ("−", "-"), ("²", "**2")):
        text = text.replace(sign, spelt)
    return text


def found_again(one: Exercise) -> Any:
    """The answer, from the words of the question alone."""
    return globals()[f"find_{one.kind}"](one, World(one.question))


def find_forward(one: Exercise, world: World) -> float:
    return world.value(one.asked)


def find_sign(one: Exercise, world: World) -> str:
    [name] = re.findall(r"(\w+) grows a little", one.question)
    return "rises" if world.slope(name) > 0 else "falls"


def find_nudge(one: Exercise, world: World) -> float:
    [name] = re.findall(r"Now (\w+) is nudged", one.question)
    return world.slope(name)


def find_one_step(one: Exercise, world: World) -> float:
    [arrived] = re.findall(r"gradient (−?[\d.]*\d) has arrived", one.question)
    [slope] = re.findall(r"is (−?[\d.]*\d)\.\n", one.question)
    return number(arrived) * number(slope)


def find_whose_value(one: Exercise, world: World) -> float:
    arrived = re.findall(r"gradient (−?[\d.]*\d) has arrived", one.question) or ["1"]
    x, y, to = re.findall(r"= (\w+) × (\w+), with.*back to (\w+)\?", one.question, re.DOTALL)[0]
    numbers = dict(re.findall(r"(\w+) = (−?[\d.]*\d)(?: and|\.\n)", one.question))
    return number(arrived[0]) * number(numbers[y if to == x else x])


def find_two_paths(one: Exercise, world: World) -> float:
    return world.slope(one.asked.rpartition("/d")[2])


def find_paths(one: Exercise, world: World) -> tuple[float, ...]:
    start, end = re.findall(r"paths lead from (\w+) to (\w+)", one.question)[0]
    slopes = {
        (below, above): number(slope)
        for above, below, slope in re.findall(r"∂(\w+)/∂(\w+) = (−?[\d.]*\d)", one.question)
    }

    def walk(name: str) -> Iterator[float]:
        if name == end:
            yield 1.0
        for (below, above), slope in slopes.items():
            if below == name:
                yield from (slope * rest for rest in walk(above))

    found = tuple(walk(start))
    assert math.isclose(sum(found), world.slope(start), rel_tol=1e-6, abs_tol=1e-6)
    return found


def find_delta(one: Exercise, world: World) -> float:
    *four, slope = re.findall(r"(?<!sum z) (?:=|is) (−?[\d.]*\d)(?=\.?(?:\s|$))", one.question)
    w1, w2, d1, d2 = map(number, four)
    return (w1 * d1 + w2 * d2) * number(slope)


def find_weight(one: Exercise, world: World) -> Any:
    if one.form == "choice":
        names = one.choices[0].split(", ")
        return ", ".join(sorted(names, key=lambda name: -abs(world.slope(name))))
    [x] = re.findall(r"the input \w+ = (−?[\d.]*\d)\. ", one.question)
    [delta] = re.findall(r"weighted sum, is (−?[\d.]*\d)\. ", one.question)
    return number(x) * number(delta)


def find_update(one: Exercise, world: World) -> Any:
    [slope] = re.findall(r" is (−?[\d.]*\d)\.[ \n]", one.question)
    if one.form == "number":
        start, rate = re.findall(r"is (−?[\d.]*\d),.*rate ([\d.]*\d)\.", one.question, re.DOTALL)[0]
        return number(start) - number(rate) * number(slope)
    name, to = re.findall(r"moves (\w+) alone, from .* to (−?[\d.]*\d)\.\n", one.question)[0]
    assert math.isclose(world.slope(name), number(slope), rel_tol=1e-6, abs_tol=1e-6)
    after = world.value(world.result, **{name: number(to)})
    return "falls" if after < world.value(world.result) else "rises"


def find_find_bug(one: Exercise, world: World) -> str:
    """The only line that is wrong when those before it are taken as they are."""
    wrote: dict[str, list[float]] = {world.result: [1.0]}
    for line in re.findall(r"^\d+\. .*$", one.question, re.MULTILINE):
        place, _, text = line.partition(". ")
        told = number(text.rpartition("= " if "=" in text else ": ")[2])
        if text.startswith("d"):
            name = text.partition(" = ")[0].rpartition("/d")[2]
            if not math.isclose(sum(wrote[name]), told, abs_tol=1e-6):
                return f"line {place}"
            wrote[name] = [told]
            continue
        node, name = re.findall(r"^(\w+) sends (\w+):", text)[0]
        slope = locally(world, node, name, len(wrote.get(name, [])))
        if not math.isclose(sum(wrote[node]) * slope, told, abs_tol=1e-5):
            return f"line {place}"
        wrote.setdefault(name, []).append(told)
    raise AssertionError("no line is wrong")


def locally(world: World, node: str, name: str, place: int) -> float:
    """The slope of one operation by one operand, where its operands stay as they are."""
    formula = world.equations[node]
    known = {n: world.value(n) for n in (*world.point, *world.equations)}
    inside = " ".join(re.findall(rf"\b{name}\b", formula)).split()
    assert len(inside) == 1, "no function of these levels uses a number twice in one operation"
    above, below = (
        eval(formula, dict(FUNCTIONS), {**known, name: known[name] + side * 1e-5})
        for side in (1, -1)
    )
    return float(above - below) / 2e-5


def find_saturated(one: Exercise, world: World) -> str:
    curve = FUNCTIONS[re.findall(r"activation (\w+)", one.question)[0]]
    sums: dict[str, float] = {
        n: number(z) for n, z in re.findall(r"(z\d) = (−?[\d.]*\d)(?=,| |\.\n)", one.question)
    }
    return min(sorted(sums), key=lambda n: curve(sums[n] + 1e-3) - curve(sums[n] - 1e-3))


def find_predict(one: Exercise, world: World) -> str:
    inputs: list[tuple[str, str]] = re.findall(r"(x\d) = ([\d.]*\d)(?=,| |\.\n)", one.question)
    return max(inputs, key=lambda pair: number(pair[1]))[0].replace("x", "w")


def find_true_false(one: Exercise, world: World) -> str:
    name, slope = re.findall(r"d\w+/d(\w+) is (−?[\d.]*\d)\.\nTrue", one.question)[0]
    assert math.isclose(world.slope(name), number(slope), rel_tol=1e-6, abs_tol=1e-6)
    if "grows by 10, then" in one.question:
        far = world.value(world.result, **{name: world.value(name) + 10})
        change = far - world.value(world.result)
        return str(math.isclose(change, 10 * number(slope), rel_tol=1e-6, abs_tol=1e-6)).lower()
    claim = re.findall(r"If \w+ (grows|shrinks) by 0.001, then \w+ (rises|falls)", one.question)
    if not claim:
        return str(one.answer)
    moves, then = claim[0]
    rises = (world.slope(name) > 0) == (moves == "grows")
    return "true" if rises == (then == "rises") else "false"


def find_by_hand(one: Exercise, world: World) -> str:
    name = one.asked.rpartition("/d")[2]
    draw = random.Random(0)
    for _ in range(5):
        world.point = {n: draw.uniform(0.5, 2.0) for n in one.names}
        value = eval(str(one.answer), {}, world.point)
        assert math.isclose(value, world.slope(name), rel_tol=1e-5, abs_tol=1e-5)
    return str(one.answer)


def find_count(one: Exercise, world: World) -> float:
    network = re.findall(r"has (\d+) inputs, (\d+) neurons", one.question)
    if network:
        inputs, hidden = map(int, network[0])
        return 1.0 + len(list(MLP(inputs, [hidden, 1]).parameters()))
    return 1.0 + len(world.point)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-6)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, sorted(one), sorted(other)))
    return bool(one == other)


@pytest.mark.parametrize("kind", exercises.KINDS)
def test_each_key_is_right_and_each_mistake_is_another_one(kind: str) -> None:
    for level in LEVELS:
        made = exercises.generate(level, COUNT // len(LEVELS), seed=7, kind=kind)
        assert len({one.question for one in made}) == len(made)
        for one in made:
            assert same(one.answer, found_again(one)), one
            check_answers(one)


def check_answers(one: Exercise) -> None:
    """The right answer is taken, and each wrong one is told apart from it and from the others."""
    assert one.kind in exercises.KINDS
    assert one.question[-1] in "?.”" and "\n\n" not in one.question
    right = one.check(written(one.answer))
    assert right and right.sentence == f"Right: {one.key}."
    assert len(one.distractors) >= (1 if one.form == "choice" else 2)
    sentences = []
    for wrong in one.distractors:
        mark = one.check(typed_wrong(wrong.answer))
        assert not mark and mark.understood, wrong
        assert mark.sentence.endswith(f": {wrong.sentence}"), (wrong, mark)
        assert wrong.sentence[-1] == "." and "_" not in wrong.sentence
        sentences.append(mark.sentence)
    assert len(set(sentences)) == len(sentences)
    assert sorted(one.choices) == sorted({*one.choices}) and len(one.choices) == len(sentences) + 1
    assert len(one.hints) == 3 and all(one.hints)
    assert one.hints[2].count("__") == 1 or "__ = __" in one.hints[2]


def typed_wrong(answer: Any) -> str:
    if isinstance(answer, tuple):
        return "; ".join(map(repr, answer))
    return repr(answer) if isinstance(answer, float) else str(answer)


def test_below_a_node_made_by_hand_nothing_is_asked() -> None:
    x = Value(-2.0, label="x")
    inside = x * 3
    cube = custom(inside.data**3, (inside,), 3 * inside.data**2, name="cube")
    y = cube + 1
    names = named(y, {"inside": inside, "cube": cube, "y": y})
    asked = [one.asked for _, one in making.along(y, names)]
    assert asked == ["inside", "sent to cube", "sent to inside"]


@pytest.mark.parametrize("level", range(1, 11))
def test_each_level_makes_a_sheet(level: int) -> None:
    made = exercises.generate(level, 8, seed=level)
    for one in made:
        check_answers(one)
        if level <= 8:  # later ones tell only part of their network
            assert same(one.answer, found_again(one)), one


def test_a_key_that_nudging_does_not_confirm_is_not_handed_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nudged, "gradient", lambda root, node: 123.0)
    with pytest.raises(ValueError, match=r"^no exercise of the kind 'update' could be made"):
        exercises.generate(1, 1, kind="update", of="a*b")


def test_a_point_where_the_engine_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(f: object, at: object) -> object:
        raise AssertionError("the gradient disagrees with central differences")

    monkeypatch.setattr(making, "check_gradients", refuse)
    with pytest.raises(ValueError, match=r"^no exercise of the kind 'forward' could be made"):
        exercises.generate(2, 1, of="a*b + a", kind="forward")


def test_numbers_suit_the_head() -> None:
    for kind, level in itertools.product(("forward", "two_paths", "weight"), (1, 3, 5)):
        for one in exercises.generate(level, 10, seed=1, kind=kind):
            sizes = [abs(x) for _, x in one.given]
            assert all((2 * x).is_integer() and 0 < x <= 5 and x != 1 for x in sizes)
            assert len(set(sizes)) == len(sizes)
            if isinstance(one.answer, float):
                assert (4 * one.answer).is_integer() and abs(one.answer) <= 60


# ---- What was typed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0,5", 0.5),
        ("0.5", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1/2", 0.5),
        (" 1 / 2 ", 0.5),
        ("½", 0.5),
        ("-½", -0.5),
        ("1½", 1.5),
        ("1 ½", 1.5),
        ("1 1/2", 1.5),
        ("−1 1/2", -1.5),
        ("-.5e1", -5.0),
        ("−2", -2.0),
        ("– 2", -2.0),
        ("+3", 3.0),
        ("3\u00a0", 3.0),
        ("2e-3", 0.002),
        ("de/db = −6", -6.0),
        ("1,5/3", 0.5),
        ("-1/-2", 0.5),
        ("٣", 3.0),
    ],
)
def test_a_number_is_understood(text: str, value: float) -> None:
    assert answers.number(text) == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("two", "'two' is no number; write one such as −2, 0.5 or 1/2"),
        ("", "nothing was typed; write a number such as −2, 0.5 or 1/2"),
        ("   ", "nothing was typed; write a number such as −2, 0.5 or 1/2"),
        ("1/0", "'1/0' divides by 0; write a number such as −2, 0.5 or 1/2"),
        ("1e999", "'1e999' is too large; write a number such as −2, 0.5 or 1/2"),
        ("nan", "'nan' is no number; write one such as −2, 0.5 or 1/2"),
        ("1.234,5", "'1.234,5' is no number; write one such as −2, 0.5 or 1/2"),
        ("2 3", "'2 3' is no number; write one such as −2, 0.5 or 1/2"),
        ("--2", "'--2' is no number; write one such as −2, 0.5 or 1/2"),
        ("__import__('os')", "\"__import__('os')\" is no number; write one such as −2, 0.5 or 1/2"),
    ],
)
def test_nonsense_is_told_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        answers.number(text)


def test_rounding_to_the_digits_shown_is_right() -> None:
    one = exercises.generate(kind="update", level=5, count=1, seed=3)[0]
    third = Exercise(**{**vars(one), "answer": 2 / 3, "distractors": (), "form": "number"})
    assert [bool(third.check(text)) for text in ("2/3", "0,667", "0.67", "0.66", "1")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_a_wrong_number_names_its_misconception_or_is_plainly_wrong() -> None:
    [one] = exercises.generate(level=4, count=1, seed=7, kind="two_paths")
    shares = re.findall(r"(?:, |and )(−?[\d.]*\d)", one.distractors[0].sentence)
    assert sum(map(number, shares)) == one.answer and len(shares) == 2
    assert one.check(shares[0]).sentence == (
        f"{shares[0]}: One path only. b reaches e in 2 ways: add the shares of all, "
        f"{' and '.join(shares)}."
    )
    assert one.check("99").sentence == (
        "99 is wrong. Here is a hint. Each place where a number is used sends back a share, and "
        "the shares add up."
    )
    unknown = one.check("what?")
    assert not unknown.understood and not unknown
    assert unknown.sentence == "'what?' is no number; write one such as −2, 0.5 or 1/2."
    with pytest.raises(TypeError, match=r"^check takes the text that was typed, but got 5 \(int\)"):
        one.check(5)


def test_lists_choices_and_formulas_are_understood() -> None:
    [paths] = exercises.generate(level=4, count=1, seed=7, kind="paths")
    assert isinstance(paths.answer, tuple)
    first, second = map(repr, paths.answer)
    for text in (f"{first}; {second}", f"{second}, {first}", f"[{first} {second}]"):
        assert paths.check(text)
    assert "is no number" in paths.check("one; two").sentence
    [sign] = exercises.generate(level=2, count=1, seed=7, kind="sign")
    assert sum(bool(sign.check(text)) for text in ("Rises", "FALL", "stays")) == 1
    assert sign.check("sideways").sentence == (
        f"'sideways' is none of the choices; write “{sign.choices[0]}” or “{sign.choices[1]}” or "
        f"“{sign.choices[2]}”."
    )
    [order] = exercises.generate(level=4, count=1, seed=7, kind="weight")
    assert order.form == "choice"
    letters = str(order.answer).replace(", ", "")
    assert all(order.check(between.join(letters)) for between in ("", " ", ",", " > "))
    [bug] = exercises.generate(level=4, count=1, seed=7, kind="find_bug")
    assert bug.check(str(bug.answer).removeprefix("line "))
    [hand] = exercises.generate(kind="by_hand", of="(a + b) * (b + 1)", count=1, seed=1)
    asked = {"de/da": "b+1", "de/db": "a + 2·b + 1"}
    assert hand.check(asked[hand.asked]) and hand.check(f"{hand.asked} = {hand.answer}")
    assert "is no formula of a or b" in hand.check("c + 1").sentence
    assert hand.check("a^2").sentence.startswith("a^2 is wrong.")


# ---- The same everywhere ------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_exercises_in_another_process() -> None:
    code = (
        "import json; from microgradlike import exercises as e; "
        "print(json.dumps(e.as_json(e.generate(4, 8, seed=7))))"
    )
    here = json.dumps(exercises.as_json(exercises.generate(4, 8, seed=7)))
    for hashes in ("1", "2"):
        environment = {"PYTHONHASHSEED": hashes, "PATH": ""}
        ran = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parent.parent,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert ran.stdout.strip() == here, ran.stderr


def test_seeds_differ_and_neighbours_have_the_same_kinds_with_other_numbers() -> None:
    one, other = exercises.generate(3, 6, seed=1), exercises.generate(3, 6, seed=2)
    neighbours = exercises.versions("ABC", 3, 6, seed=1)
    assert neighbours["A"] == one and one != other
    assert [x.kind for x in one] == [x.kind for x in neighbours["C"]]
    assert len({x.question for made in neighbours.values() for x in made}) == 18


def test_any_function_makes_exercises() -> None:
    made = exercises.generate(3, 12, of=lambda u, v: (u * v).exp() * v, seed=1)
    assert {"forward", "sign", "two_paths", "paths"} <= {one.kind for one in made}
    for one in made:
        check_answers(one)
    text = exercises.generate(3, 2, of="sin(x) * y", kind="sign", seed=1)
    assert text[0].question.startswith("e = sin(x) × y\n")


# ---- Files --------------------------------------------------------------------------------------


def test_moodle_gets_the_misconceptions_as_feedback(tmp_path: Path) -> None:
    made = exercises.generate(3, 16, seed=7)
    path = exercises.save(tmp_path / "quiz.xml", 3, 16, seed=7)
    category, *questions = ElementTree.parse(path).getroot()
    assert category.findtext("category/text") == "$course$/Backpropagation, seed 7"
    for question, one in zip(questions, made, strict=True):
        kind = "numerical" if one.form == "number" else "multichoice"
        assert question.get("type") == kind
        text = question.findtext("questiontext/text") or ""
        assert ElementTree.fromstring(f"<div>{text}</div>").itertext()
        first, *others = question.findall("answer")
        assert first.get("fraction") == "100" and {x.get("fraction") for x in others} == {"0"}
        feedback = [x.findtext("feedback/text") for x in others]
        for wrong, said in zip(one.distractors, feedback, strict=False):
            assert said is not None
            assert "".join(ElementTree.fromstring(said).itertext()) == wrong.sentence
        if kind == "numerical":
            assert float(first.findtext("text") or "") == one.answer
            assert float(first.findtext("tolerance") or "") >= 1e-9
            assert others[-1].findtext("text") == "*"
        assert len(question.findall("hint")) == 3


def test_json_has_all_that_a_page_needs(tmp_path: Path) -> None:
    path = exercises.save(tmp_path / "quiz.json", 2, 16, seed=7)
    read = json.loads(path.read_text())
    made = exercises.generate(2, 16, seed=7)
    assert read == json.loads(json.dumps(exercises.as_json(made)))
    for entry, one in zip(read, made, strict=True):
        assert entry["choices"] == list(one.choices) and entry["shown"] in entry["choices"]
        assert entry["wrong"] and all(wrong["sentence"] for wrong in entry["wrong"])
        assert entry["tolerance"] >= 0 and len(entry["hints"]) == 3


@pytest.mark.parametrize("format", ["notebook", "otter", "nbgrader"])
def test_a_notebook_checks_its_answers(format: str, tmp_path: Path) -> None:
    path = exercises.save(tmp_path / "quiz.ipynb", 2, 4, seed=7, format=format)
    book = json.loads(path.read_text())
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    sources = ["".join(cell["source"]) for cell in book["cells"]]
    raw = [s for s, cell in zip(sources, book["cells"], strict=True) if cell["cell_type"] == "raw"]
    code = [
        s for s, cell in zip(sources, book["cells"], strict=True) if cell["cell_type"] == "code"
    ]
    names: dict[str, Any] = {}
    for source in code:
        exec(source, names)
    if format == "notebook":
        assert not raw and not any(cell["metadata"] for cell in book["cells"]), (
            "an ordinary notebook has no metadata of graders"
        )
    if format == "otter":
        assert raw[0].startswith("# ASSIGNMENT CONFIG")
        assert raw[1:7] == [
            "# BEGIN QUESTION\nname: q1\npoints: 1",
            "# BEGIN SOLUTION",
            "# END SOLUTION",
            "# BEGIN TESTS",
            "# END TESTS",
            "# END QUESTION",
        ]
    if format == "nbgrader":
        graded = [cell["metadata"]["nbgrader"] for cell in book["cells"]]
        assert all(cell["schema_version"] == 3 for cell in graded)
        assert sum(cell["solution"] for cell in graded) == 4
        assert sum(cell.get("points", 0) for cell in graded) == 4
        assert not any(cell["solution"] and cell["locked"] for cell in graded)
        names["answer_1"] = "nonsense"
        with pytest.raises(AssertionError):
            exec(next(source for source in code if "quiz[0].check" in source), names)


def test_a_sheet_has_three_versions_and_a_key(browser: Any, tmp_path: Path) -> None:
    path = exercises.save(tmp_path / "sheet.html", 4, 7, seed=7)
    page = browser.new_page()
    try:
        page.goto(path.as_uri())
        page.emulate_media(media="print")
        sheets = page.locator("section")
        assert sheets.count() == 4
        assert "Version B" in sheets.nth(1).inner_text()
        assert page.locator("section:last-of-type .key > li").count() == 21
        assert sheets.nth(0).locator("svg").count() >= 2
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        answer = exercises.generate(4, 7, seed=7)[5]
        shown = (
            sheets.nth(0).locator("xpath=./ol/li").nth(5).locator("svg text").all_text_contents()
        )
        assert answer.kind == "two_paths" and "grad" in shown
        assert written(answer.answer) not in shown
        for paper in ("A4", "Letter"):
            pdf = page.pdf(format=paper)
            assert 5 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 14
    finally:
        page.close()


# ---- The command, and bad input -----------------------------------------------------------------


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--level", "2", "--count", "2", "--seed", "7"])
    shown = capsys.readouterr().out
    assert shown.startswith(" 1. e = ") and "\n\nKey\n\n 1. " in shown
    main(["--function", "(a + b) * c", "--count", "2", "--out", str(tmp_path / "quiz.xml")])
    assert capsys.readouterr().out == f"{tmp_path / 'quiz.xml'}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--level", "11"], "level is a whole number from 1 to 10, but got 11"),
        (["--count", "0"], "count is a whole number from 1 to 1000, but got 0"),
        (["--kind", "riddle"], "there is no kind 'riddle'; choose one of forward, sign, nudge"),
        (["--function", "1 + 2"], "exercises need a function with at least one input"),
        (["--function", "a"], "exercises need a function that computes something"),
        (["--function", "a +"], "the formula 'a +' cannot be read: invalid syntax"),
        (["--function", "+".join("a" * 60)], "this function has 59 operations, more than 40"),
        (["--function", "a*b", "--kind", "two_paths"], "no exercise of the kind 'two_paths'"),
        (["--out", "quiz.docx"], "the name of a file of exercises ends in .html, .xml, .ipynb"),
        (["--out", "quiz.xml", "--format", "word"], "there is no format 'word'; choose one of"),
        (["--out", "a.html", "--versions", "9"], "versions is a number from 1 to 6, but got 9"),
    ],
)
def test_bad_words_are_told(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(words)
    told = capsys.readouterr()
    assert told.err.startswith(sentence) and told.err.count("\n") == 1 and not told.out


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"level": 2.5}, TypeError, r"^level is a whole number, but got 2.5 \(float\)$"),
        ({"seed": "7"}, TypeError, r"^seed is a whole number, but got '7' \(str\)$"),
        ({"of": 3}, TypeError, r"^exercises are made of a function of numbers, or of a text"),
        ({"of": lambda: 1}, ValueError, "^exercises need a function with at least one input"),
        ({"of": lambda *x: x}, ValueError, "^exercises need a function whose inputs have names"),
        ({"of": lambda x: 3.0}, TypeError, "^exercises need a function that gives a Value"),
    ],
)
def test_bad_arguments_are_told(
    arguments: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        exercises.generate(**arguments)


def test_a_notebook_needs_its_function_as_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs the function as a text"):
        exercises.save(tmp_path / "quiz.ipynb", of=lambda a, b: a * b)
