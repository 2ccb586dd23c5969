"""The judge of other people's engines: each mistake is named, and a right engine passes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from microgradlike import Value, check_engine, no_grad
from microgradlike.grading import Verdict, check_file
from microgradlike.grading.__main__ import main
from microgradlike.grading.probes import PROBES, TOPICS
from microgradlike.grading.suspects import right_order, wrong_passes
from microgradlike.ops import OPERATORS
from tests.small_engine import SOURCE, changed, mutant

ROOT = Path(__file__).parent.parent

Change = tuple[str, str]

# ---- Mistakes ----------------------------------------------------------------------------------

SWEEP = "        for node in reversed(order):\n            node.send()\n"
VISIT = "                for parent in node.parents:\n                    visit(parent)\n"
SUM = "            x.grad += out.grad\n            y.grad += out.grad\n"
PRODUCT = "            x.grad += y.data * out.grad\n            y.grad += x.data * out.grad\n"

LEAVING_OUT = """\
                for parent in node.parents:
                    if parent in visited:
                        return
                    visit(parent)
"""
OWN = PRODUCT.replace("y.data", "own").replace("x.data", "y.data").replace("own", "x.data")
BREADTH_FIRST = """\
        queue = [self]
        for node in queue:
            node.send()
            queue += [v for v in dict.fromkeys(node.parents) if v not in queue]
"""
IN_PLACE = "    def __iadd__(self, y): self.data += y.data; return self"
EACH_WAY = """\
        def go(node):
            node.send()
            for parent in node.parents:
                go(parent)
        go(self)
"""

#: What is changed in the engine; which kind of mistake that is, and which operations have it.
MUTANTS: dict[str, tuple[list[Change], str, tuple[str, ...]]] = {
    "sums overwrite": ([(SUM, SUM.replace("+=", "="))], "overwritten", ("add",)),
    "products overwrite": (
        [(PRODUCT, PRODUCT.replace("+=", "="))],
        "overwritten",
        ("mul", "neg"),  # -a is a product here
    ),
    "all overwrite": (
        [("grad +=", "grad =")],
        "overwritten",
        ("add", "mul", "neg", "sub", "truediv", "pow", "tanh", "relu"),
    ),
    "each way on its own": ([(SWEEP, EACH_WAY)], "repeated", ()),
    "no note of visits": ([("visited.add(node)", "pass")], "repeated", ()),
    "level by level": ([(SWEEP, BREADTH_FIRST)], "early", ()),
    "not reversed": ([("reversed(order)", "order")], "one step", ()),
    "by value": (
        [("node not in visited", "node.data not in visited"), ("add(node)", "add(node.data)")],
        "same value",
        (),
    ),
    "shared ones are left out": ([(VISIT, LEAVING_OUT)], "left out", ()),
    "the sign of a difference": ([("+= -out.grad", "+= out.grad")], "sign", ("sub",)),
    "no upstream gradient": (
        [("(1 - out.data**2) * out.grad", "1 - out.data**2")],
        "upstream",
        ("tanh",),
    ),
    "no upstream gradient of products": (
        [("y.data * out.grad", "y.data"), ("+= x.data * out.grad", "+= x.data")],
        "upstream",
        ("mul", "neg"),
    ),
    "no local slope": (
        [("y.data * out.grad", "out.grad"), ("+= x.data * out.grad", "+= out.grad")],
        "slope",
        ("mul",),
    ),
    "slope and gradient are added": (
        [("(1 - out.data**2) * out.grad", "(1 - out.data**2) + out.grad")],
        "added",
        ("tanh",),
    ),
    "own value, not the other's": (
        [(PRODUCT, OWN)],
        "swapped",
        ("mul",),
    ),
    "the exponent stays": ([("** (n - 1)", "** n")], "formula", ("pow",)),
    "the exponent is no factor": ([("n * self.data", "self.data")], "formula", ("pow",)),
    "the input for the result": ([("1 - out.data**2", "1 - self.data**2")], "input", ("tanh",)),
    "relu lets all through": ([("(self.data > 0) * out", "out")], "slope", ("relu",)),
    "the divisor is not squared": ([("/ y.data**2", "/ y.data")], "formula", ("truediv",)),
    "the divisor gets nothing": (
        [("            y.grad += -x.data / y.data**2 * out.grad\n", "")],
        "nothing",
        ("truediv",),
    ),
    "it begins with nothing": ([("        self.grad = 1.0\n", "")], "start", ()),
    "it begins with the value": ([("self.grad = 1.0", "self.grad = self.data")], "start", ()),
    "no numbers on the left": ([("__rsub__", "minus")], "raises", ("sub",)),
    "turned around": ([("wrap(other) - self", "self - other")], "turned", ("sub",)),
    "zero_grad does nothing": (
        [("def zero_grad(self) -> None:\n        self.grad = 0.0", "def zero_grad(self): pass")],
        "zero_grad",
        (),
    ),
    "a name is misspelt": ([("math.tanh", "math.tahn")], "raises", ("tanh",)),
    "a plain number": (
        [("return self.of_one(self.data**n, lambda out: ", "return self.data**n or (lambda out: ")],
        "stopped",
        ("pow",),
    ),
    "a wrong number": ([("x.data - y.data", "y.data - x.data")], "value", ("sub",)),
    "in place": ([("    def relu", f"{IN_PLACE}\n    def relu")], "changed", ()),
    "one variable for all calls": (
        [
            (
                "return self.of_one(math.tanh(self.data), "
                "lambda out: (1 - out.data**2) * out.grad)",
                "Value.t = math.tanh(self.data)\n"
                "        return self.of_one(Value.t, lambda out: (1 - Value.t**2) * out.grad)",
            )
        ],
        "mixed up",
        (),
    ),
    "one list for all": (
        [
            ("        self.send", "        known.append(self)\n        self.send"),
            ("class Value", "known = []\nclass Value"),
            ("reversed(order)", "reversed(known)"),
        ],
        "left over",
        (),
    ),
}


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Verdict]:
    """Those on all mutants."""
    return {name: check_engine(mutant(*changes)) for name, (changes, *_) in MUTANTS.items()}


@pytest.mark.parametrize("name", MUTANTS)
def test_each_mistake_is_named(name: str, verdicts: dict[str, Verdict]) -> None:
    _, kind, operators = MUTANTS[name]
    first = verdicts[name].mistakes[0]
    assert (first.kind, sorted(first.operators)) == (kind, sorted(operators))
    assert not verdicts[name]


def test_a_right_engine_passes_and_its_limits_are_told() -> None:
    verdict = check_engine(mutant())
    assert verdict and not verdict.mistakes and all(verdict.topics.values())
    second, deep = verdict.notes
    assert "a.grad came out as 72 and is 48" in second
    assert "RecursionError" in deep


def test_ours_passes_without_a_note() -> None:
    with no_grad():
        assert check_engine(mutant()), "what is right is recorded all the same"
    verdict = check_engine(Value)
    assert str(verdict) == f"Value is right in all {len(TOPICS)} topics."


def test_the_sentence_says_what_where_and_what_to_do() -> None:
    verdict = check_engine(mutant(*MUTANTS["sums overwrite"][0]))
    assert verdict.sentence == (
        "Addition overwrites a gradient where it should add its share: in c = a + a, with a = 3, "
        "dc/da came out as 1 and is 2. Add each share to .grad; do not assign it."
    )
    assert str(verdict) == f"Value: {verdict.sentence}"
    wrong = {topic for topic, is_right in verdict.topics.items() if not is_right}
    assert wrong == {"twice", "order"}
    assert verdict.about("order") == verdict.sentence and verdict.about("sums") == ""


def test_one_mistake_of_many_operations_is_told_once(verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts["all overwrite"]
    assert len(verdict.mistakes) == 1
    assert verdict.sentence.endswith(
        "The same is true of the minus sign, the power, subtraction, division, tanh, relu."
    )


def test_formulas_are_told_in_the_letters_of_the_program(verdicts: dict[str, Verdict]) -> None:
    said = {name: verdict.sentence for name, verdict in verdicts.items()}
    assert said["the exponent stays"].startswith(
        "The local slope of the power at a is n * a ** (n - 1), not n * a ** n: in c = a ** 2, "
    )
    assert "(its local slope is 1 - c * c, not 1 - a * a)" in said["the input for the result"]
    assert "is -c / b, not -c: in c = a / b" in said["the divisor is not squared"]
    assert said["no numbers on the left"].endswith("The class needs the method __rsub__.")
    assert said["a plain number"] == ("c = a ** 2 gives 6.25 (float), which has no .data.")
    assert said["turned around"].startswith("2 - a is computed as a - 2: ")


UNARY = [
    row.name
    for row in OPERATORS.values()
    if len(row.slopes) == 1 and not row.is_flat and not row.method and hasattr(Value, row.name)
]


def test_a_wrong_sign_is_named_in_every_function_of_the_table() -> None:
    class Wrong(Value):
        pass

    def turned(right: Callable[[Value], Value]) -> Callable[[Value], Value]:
        return lambda x: right(x) * -1 + 2 * right(x).data  # the value is right, the slope is not

    for name in UNARY:
        setattr(Wrong, name, turned(getattr(Value, name)))
    mistakes = check_engine(Wrong).mistakes
    assert {mistake.operators for mistake in mistakes} == {(name,) for name in UNARY}
    assert {mistake.kind for mistake in mistakes} == {"sign"}


def test_two_mistakes_are_both_named_what_all_rests_on_first() -> None:
    changes = [("math.tanh", "math.tahn"), *MUTANTS["products overwrite"][0]]
    verdict = check_engine(mutant(*changes))
    assert [mistake.kind for mistake in verdict.mistakes] == ["overwritten", "raises"]
    assert "Also: c = a.tanh() raises AttributeError" in str(verdict)


def test_what_a_quotient_is_made_of_comes_before_it() -> None:
    by_powers = [
        (
            "    def __truediv__",
            "    def __truediv__(self, y): return self * wrap(y)**-1\n\n    def old",
        ),
        ("n * self.data", "self.data"),
    ]
    assert check_engine(mutant(by_powers[0])), "division by a power is right as such"
    first, *_ = check_engine(mutant(*by_powers)).mistakes
    assert first.operators == ("pow",)


def test_a_mistake_that_nobody_knows_is_told_as_such() -> None:
    change = ("(1 - out.data**2) * out.grad", "0.123 * out.grad**2")
    [mistake] = check_engine(mutant(change)).mistakes
    assert (mistake.kind, mistake.is_known) == ("unknown", False)
    assert mistake.sentence.startswith(
        "The gradient that tanh sends to a is wrong: in c = a.tanh()"
    )


def test_other_names_of_data_and_grad() -> None:
    class Scalar(Value):
        @property
        def derivative(self) -> float | None:
            return self.grad or None  # as where a gradient is kept only when something arrived

        @derivative.setter
        def derivative(self, value: float) -> None:
            self.grad = value

        def item(self) -> float:
            return self.data

    assert check_engine(Scalar, data="item", grad="derivative")


def test_what_was_not_asked_of_a_class_is_not_judged() -> None:
    left = mutant()
    for method in ("__pow__", "__truediv__", "__rtruediv__"):
        delattr(left, method)
    wrong = [topic for topic, is_right in check_engine(left).topics.items() if not is_right]
    assert wrong == ["quotients", "powers", "constants"]
    assert check_engine(left, without=["powers", "quotients"])
    with pytest.raises(ValueError, match=r"the topics are numbers, start, .* but got 'power'"):
        check_engine(left, without=["power"])


def test_a_class_that_cannot_be_made_or_read() -> None:
    class Two:
        def __init__(self, one: float, other: float) -> None:
            pass

    assert check_engine(Two).sentence.startswith("a = Value(3.0) raises TypeError: ")
    unread = check_engine(mutant(), data="number").sentence
    assert unread.startswith("a = Value(3.0) gives ") and "which has no .number" in unread
    assert check_engine(mutant(), grad="slope").sentence == (
        "Reading .data and .slope raises AttributeError: 'Value' object has no attribute 'slope'. "
        "If the class has another name for it, say which."
    )
    with pytest.raises(TypeError, match="check_engine"):
        check_engine(3)  # type: ignore[arg-type, unused-ignore]


# ---- Suspects ----------------------------------------------------------------------------------


def test_a_right_pass_is_what_the_engine_computes_and_some_suspects_are_not() -> None:
    a, b = Value(3.0), Value(-2.0)
    c = a * b
    d = c * c + c
    d.backward()
    kinds = set()
    for suspect in wrong_passes(d):
        found = suspect.gradients(d)
        if not math.isclose(found[a], a.grad):
            kinds.add(suspect.kind)
    assert kinds == {"one step", "overwritten", "repeated", "early", "left out"}
    assert right_order(d)[0] is d


# ---- The picture -------------------------------------------------------------------------------


def test_the_picture_has_what_is_right_beside_what_came_out(
    verdicts: dict[str, Verdict], tmp_path: Path
) -> None:
    path = verdicts["sums overwrite"].save_picture(tmp_path / "mistake.svg")
    root = ElementTree.parse(path).getroot()
    words = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words.count("a") == 2
    assert "grad should be 2" in words and "(right)" in " ".join(words)
    assert "dc/da came out as 1 and is 2." in root.attrib["aria-label"]


def test_the_picture_of_the_page_is_what_is_drawn(
    verdicts: dict[str, Verdict], tmp_path: Path
) -> None:
    page = ROOT / "docs" / "mistake.svg"
    drawn = verdicts["sums overwrite"].save_picture(tmp_path / "mistake.svg")
    assert page.read_text(encoding="utf-8") == drawn.read_text(encoding="utf-8")


def test_a_wrong_number_is_shown_too(verdicts: dict[str, Verdict], tmp_path: Path) -> None:
    drawn = verdicts["a wrong number"].save_picture(tmp_path / "mistake.svg")
    assert "data should be 5" in drawn.read_text(encoding="utf-8")


def test_where_nothing_came_out_no_number_is_shown(
    verdicts: dict[str, Verdict], tmp_path: Path
) -> None:
    drawn = verdicts["no numbers on the left"].save_picture(tmp_path / "mistake.svg")
    words = drawn.read_text(encoding="utf-8")
    assert "(nothing came out)" in words and "purple" not in words.partition("<style")[0]


@pytest.mark.parametrize("name", ["level by level", "turned around", "zero_grad does nothing"])
def test_there_is_a_picture_of_other_mistakes(
    name: str, verdicts: dict[str, Verdict], tmp_path: Path
) -> None:
    path = verdicts[name].save_picture(tmp_path / "mistake.svg")
    assert path.read_text(encoding="utf-8").startswith("<svg")


def test_there_is_no_picture_without_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no graph of a mistake"):
        check_engine(Value).save_picture(tmp_path / "mistake.svg")


# ---- Files -------------------------------------------------------------------------------------

#: What a file does beside its class, and what the verdict says.
FILES = {
    "never ends": ("while True: pass", "The file did not end within 2 seconds."),
    "eats memory": ("x = []\nwhile True: x.append([0] * 10**6)", "MemoryError"),
    "leaves": ("import os; os._exit(3)", "The file broke off: it left Python with the code 3."),
    "asks": ("input()", "The file raises EOFError"),
    "writes": ("open('out.txt', 'w')", "may not write to out.txt"),
    "removes": ("import os; os.remove('student.py')", "may not change student.py"),
    "starts a program": ("import subprocess; subprocess.run(['ls'])", "may not start ls"),
    "uses the network": (
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "may not use the network",
    ),
    "imports torch": ("import torch", "ImportError: torch computes gradients itself"),
    "imports ours": ("from microgradlike import Value", "microgradlike computes gradients itself"),
    "has no class": ("del Value", "The file has no class Value: no class of it has backward()"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_does_is_reported_and_not_suffered(name: str, tmp_path: Path) -> None:
    deed, said = FILES[name]
    student = tmp_path / "student.py"
    student.write_text(f"{SOURCE}\n{deed}\n", encoding="utf-8")
    verdict = check_file(student, timeout=2.0 if name == "never ends" else 20.0, memory=300)
    assert said in verdict.sentence
    assert [path.name for path in tmp_path.iterdir()] == ["student.py"]
    assert not any(verdict.topics.values())


def test_an_engine_that_never_ends_shows_where(tmp_path: Path) -> None:
    student = tmp_path / "student.py"
    student.write_text(changed((SWEEP, "        while True: pass\n")), encoding="utf-8")
    said = check_file(student, timeout=2.0).sentence
    assert said == "The engine did not end within 2 seconds: in c = a + b, with a = 3, b = -5."


def test_what_is_caught_or_printed_is_a_note(tmp_path: Path) -> None:
    student = tmp_path / "student.py"
    caught = "try: open('log.txt', 'w')\nexcept OSError: pass\nprint('hello')"
    student.write_text(f"{SOURCE}\n{caught}\n", encoding="utf-8")
    verdict = check_file(student)
    assert verdict
    assert verdict.notes[-2:] == (
        "It may not write to log.txt: that was refused.",
        "It prints while it is judged; the first words are 'hello'.",
    )


def test_another_class_is_found_or_chosen(tmp_path: Path) -> None:
    student = tmp_path / "student.py"
    student.write_text(SOURCE.replace("Value", "Scalar"), encoding="utf-8")
    assert check_file(student).name == "student.py, Scalar"
    assert check_file(student, "Number").sentence == (
        "The file has no class Number: its classes with backward() are Scalar; "
        "choose one by its name."
    )


# ---- The command, and pytest -------------------------------------------------------------------


def test_the_command_writes_what_an_autograder_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student, results, picture = (tmp_path / n for n in ("student.py", "results.json", "m.svg"))
    student.write_text(changed(*MUTANTS["sums overwrite"][0]), encoding="utf-8")
    assert main([str(student), "--json", str(results), "--picture", str(picture)]) == 1
    assert "Addition overwrites" in capsys.readouterr().out
    tests = json.loads(results.read_text(encoding="utf-8"))["tests"]
    assert [test["name"] for test in tests] == list(TOPICS.values())
    assert sum(test["score"] for test in tests) == len(TOPICS) - 2
    failed = [test for test in tests if test["status"] == "failed"]
    assert all("Addition overwrites" in test["output"] for test in failed)
    assert picture.exists()


def test_the_command_says_what_it_cannot_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nobody.py"]) == 2
    assert "nobody.py" in capsys.readouterr().err


def test_pytest_grades_a_file_by_topics(tmp_path: Path) -> None:
    (tmp_path / "student.py").write_text(changed(*MUTANTS["sums overwrite"][0]), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "microgradlike.grading.plugin", "-rf"]
    command += ["-p", "no:cacheprovider", "--engine", "student.py"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "SYSTEMROOT": ""}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=100
    )
    assert done.returncode == 1, done.stderr
    assert "2 failed, 10 passed" in done.stdout
    assert "FAILED student.py::twice - Failed: Addition overwrites" in done.stdout


def test_all_probes_are_of_a_topic() -> None:
    assert {probe.topic for probe in PROBES} == {*TOPICS, "limits"}
