"""The command line: what it prints is right, what is wrong is one sentence, and pipes may close."""

from __future__ import annotations

import doctest
import math
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import viz
from microgradlike.__main__ import main
from microgradlike.typed import typed

ROOT = Path(__file__).parent.parent
SCRIPT = Path(sysconfig.get_path("scripts")) / "microgradlike"
NEURON = ["relu(w*x + b)**2", "w=1.5", "x=2", "b=-1"]


def printed(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    """What the command prints, if it has this exit status."""
    assert main(words) == status
    told = capsys.readouterr()
    assert not told.err
    return told.out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The sentence with which the command refuses the words."""
    assert main(words) == 2
    told = capsys.readouterr()
    assert not told.out and told.err.count("\n") == 1
    return told.err.rstrip()


def gradients(out: str) -> dict[str, str]:
    return dict(re.findall(r"^gradient by (\w+): +(\S+)$", out, re.MULTILINE))


# ---- An expression -----------------------------------------------------------------------------


def test_the_value_the_gradients_and_each_step_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, *NEURON)
    assert out.startswith("relu(w*x + b)**2 = 4\n\n")
    assert gradients(out) == {"w": "8", "x": "6", "b": "4"}
    for line in (
        "  v5 = relu(v4) = relu(2) = 2",
        "  dout/dv5 = 2 * v5 = 2 * 2 = 4",
        "  dout/dw = dout/dv2 * x = 4 * 2 = 8",
        "      v4 = v2 + b sends b its gradient, 4, times its slope there, 1: 4 "
        "(both sides get the gradient unchanged).",
        "So when x rises by a little, out rises by 6 times that.",
        "  In one formula: 2 * relu(w * x + b) * w",
        "  This holds as long as w * x + b > 0.",
    ):
        assert f"{line}\n" in out
    assert out.count("\n  dout/dv4 = ") == 1, "what all names share is told once"


@pytest.mark.parametrize(
    ("words", "value", "found"),
    [
        (["-x**2", "x=-2"], "-4", {"x": "4"}),
        (["--x", "x=3"], None, {}),
        (["--x*2", "x=3"], "6", {"x": "2"}),
        (["-h*2", "h=3"], "-6", {"h": "-2"}),
        (["-omega*t", "t=2", "omega=1"], "-2", {"t": "-1", "omega": "-2"}),
        (["x", "x=2"], "2", {"x": "1"}),
        (["e**(pi*x)", "x=0"], "1", {"x": "3.141592654"}),
        (["e*x", "x=2", "e=3"], "6", {"x": "3", "e": "2"}),
        (["sin(x)", "x=pi/2"], "1", {"x": "6.123233996e-17"}),
        (["λ * 2", "λ=0.5"], "1", {"λ": "2"}),
        (["out * v1 + v2", "out=2", "v1=3", "v2=1"], "7", {"out": "3", "v1": "2", "v2": "1"}),
        (["x if x > y else 1", "x=1", "y=2"], "1", {"x": "0", "y": "0"}),
        (["x + 0*y if x > 0 else y", "x=1", "y=2"], "1", {"x": "1", "y": "0"}),
        (["x**2", "x=1e200"], "inf", {"x": "2e200"}),
        (["x * 1e-300 * 1e-300", "x=1"], "0", {"x": "0"}),
    ],
)
def test_expressions_of_all_kinds(
    words: list[str], value: str | None, found: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    if value is None:
        assert "unrecognized arguments: --x" in refused(capsys, *words)
        return
    out = printed(capsys, *words)
    assert out.startswith(f"{words[0]} = {value}\n") and gradients(out) == found


def test_numbers_and_options_may_come_in_any_order(capsys: pytest.CaptureFixture[str]) -> None:
    # In the derivation, names are told in the order in which they were given.
    orders = [["a*b", "a=2", "b=3"], ["a*b", "b=3", "a=2"]]
    found = [gradients(printed(capsys, *words)) for words in orders]
    assert found[0] == found[1] == {"a": "3", "b": "2"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["relu(x)", "x=0"], "relu(0) has a kink (the slope is 0 below and 1 above): 0 is a conv"),
        (["1/x", "x=0"], "1 / 0 is inf: infinite."),
        *(([of, "x=0"], "0**0 has a jump: 0 is a convention.") for of in ("x**x", "x**(x*2)")),
        (["x/x", "x=0"], "0 / 0 is NaN: not a number."),
        (["log(x) + x", "x=-1"], "log(-1) is NaN: not a number."),
        (["sqrt(x)", "x=0"], "the slope of sqrt(0) by x is inf: infinite."),
        (["x if x > 0 else 0*x", "x=0"], "two numbers are equal in x if x > 0 else 0*x: this is"),
    ],
)
def test_a_special_point_is_told(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"\nSpecial point: {sentence}" in printed(capsys, *words)


def test_no_special_point_is_told_where_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Special point" not in printed(capsys, *NEURON)
    assert "Special point" not in printed(capsys, "x if x > 0 else 0*x", "x=1")


def test_lines_are_as_wide_as_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = printed(capsys, *NEURON)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for columns in (50, 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        shown = printed(capsys, *NEURON)
        sentences = [line for line in shown.splitlines() if line.startswith("      ")]
        assert columns - 15 < max(map(len, sentences)) <= columns
        assert shown.split() == piped.split()


# ---- Files -------------------------------------------------------------------------------------


def test_pictures_and_pages_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, again, page = (str(tmp_path / name) for name in ("a.svg", "b.SVG", "c.html"))
    out = printed(capsys, "-o", picture, *NEURON, "-o", again, "--out", page)
    assert out.endswith(f"wrote {picture}\nwrote {again}\nwrote {page}\n")
    svg = Path(picture).read_text(encoding="utf-8")
    assert svg == Path(again).read_text(encoding="utf-8")
    result = typed(NEURON[0], {"w": 1.5, "x": 2.0, "b": -1.0}).result
    result.backward()
    assert svg == viz.draw(result).svg()
    assert "backprop" in Path(page).read_text(encoding="utf-8").lower()


def test_a_page_knows_the_branches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "a.html"
    printed(capsys, "x**2 if x > 1 else x", "x=2", "-o", str(page))
    assert "What is shown is the old one. (x**2 if x " in page.read_text(encoding="utf-8")


def test_a_letter_that_a_png_has_not_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["重 * 2", "重=1", "-o", str(tmp_path / "a.png")]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("a PNG shows boxes in the place of '重'")
    assert told.err.count("\n") == 1 and "gradient by 重: 2\n" in told.out


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (["none/a.svg"], r"cannot write '.*none.a\.svg' \(.*\); choose a folder that exists"),
        (
            ["a.gif"],
            r"the name of a page or a picture ends in \.html, \.svg, .* but got '.*a\.gif'",
        ),
        (["a.svg", "b"], r"the name of a page or a picture ends in"),
        (["none/a.html"], r"cannot write '.*none.a\.html'"),
        (["a.svg", "b.html", "none/c.svg"], r"cannot write '.*none.c\.svg'"),
        (["a.svg", "b.pdf"], r"no program was found that draws pdf: install Graphviz"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(
    paths: list[str],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda program: None)
    monkeypatch.setattr("viz.picture.pdf", lambda svg: None)
    options = [word for path in paths for word in ("-o", str(tmp_path / path))]
    assert re.match(sentence, refused(capsys, *NEURON, *options))
    assert not list(tmp_path.iterdir())


def test_where_one_file_is_a_folder_the_others_are_as_they_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, folder = tmp_path / "a.svg", tmp_path / "b.svg"
    picture.write_text("old")
    folder.mkdir()
    said = refused(capsys, *NEURON, "-o", str(picture), "-o", str(folder))
    assert "choose another name: this is the one of a folder" in said
    assert picture.read_text() == "old" and sorted(tmp_path.iterdir()) == [picture, folder]


def test_a_bad_expression_writes_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, "w*x", "w=1", "-o", str(tmp_path / "a.svg"))
    assert not list(tmp_path.iterdir())


# ---- What is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "an expression is missing; microgradlike --help shows how to write it"),
        (["w=1", "w*2"], "the expression comes first, and then w=1;"),
        (["w*x + b", "w=1"], "the names x, b have no numbers: add them, such as x=0.5 b=0.5"),
        (["w", "w=1", "w=2"], "w has two numbers: give it one"),
        (["w", "w=one"], "'w=one' gives no name a number"),
        (["w", "w=1", "v=1"], "v has a number, but is not in the formula 'w'"),
        (["w^2", "w=1"], "the formula 'w^2' has ^ in it: write ** instead"),
        (["lambda", "lambda=1"], "lambda is a word of Python's own; take another name"),
        (["__import__('os')", "w=1"], "the formula \"__import__('os')\" contains __import__(...)"),
        (["w > 0", "w=1"], "'w > 0' is true or false, so there is no gradient"),
        (["2 + 3"], "'2 + 3' has no name in it, so there is no gradient"),
        (["w\n+", "w=1"], "the formula 'w\\n+' cannot be read"),
        (
            ["\udcff*w", "w=1"],
            "the formula '\\udcff*w' cannot be read: it has a letter that is none",
        ),
        (["w*" + "9" * 5000, "w=1"], f"the formula 'w*{'9' * 198}'... cannot be read: a number in"),
        (["w", "w=" + "9" * 5000], f"w is a finite number, but got '{'9' * 200}'..."),
        (["w", "w=" + "a" * 5000], f"'w={'a' * 198}'... gives no name a number"),
        (["w", "w=1", "-o"], "argument -o/--out: expected one argument"),
        (["w", "w=1", "--ouput=a"], "unrecognized arguments: --ouput=a"),
        (["check", "x**2"], "check takes a function and its derivative, but got 1 expression;"),
        (["check", "x", "1", "2"], "check takes a function and its derivative, but got 3 expr"),
        (["check", "w*x", "x"], "w*x has the names w, x: say by which one the derivative is"),
        (["check", "w*x", "x", "--by", "z"], "w*x has no name z in it, but w, x"),
        (["check", "x**2", "2*y"], "the derivative has the name y, which x**2 has not"),
        (["check", "2", "0"], "'2' has no name in it, so there is no gradient"),
        (["check", "x > 1", "0"], "'x > 1' is true or false, so there is no gradient"),
        (["check", "x", "1 +"], "the formula '1 +' cannot be read"),
        (["check", "log(-x*x)", "2/x"], "log(-x*x) is finite at none of 100 points between -2 and"),
        (["check", "x", "1", "--domain", "2", "-2"], "--domain is a lower and a higher number"),
        (["check", "x", "1", "--domain", "-1e308", "1e308"], "--domain is a lower and a higher"),
        (["check", "x", "1", "--domain", "1"], "argument --domain: expected 2 arguments"),
        (
            ["check", "x", "1", "--domain", "a", "b"],
            "--domain is a lower and a higher number, such as --domain 1 5, but got a b",
        ),
        (["check", "x", "1", "--domain", "0", "inf"], "--domain is a lower and a higher number"),
        (["check", "sum(x)", "1"], "the formula 'sum(x)' contains sum(...), which takes a list"),
        (["sum*x", "x=1"], "the name sum has no number: add one, such as sum=0.5"),
    ],
)
def test_bad_words_are_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, *words).startswith(sentence)


def test_what_is_too_deep_to_be_derived_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_deep(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr("microgradlike.__main__.explain", too_deep)
    said = refused(capsys, *NEURON, "-o", str(tmp_path / "a.svg"))
    assert said == "the expression has too many parts to be derived step by step"
    assert not list(tmp_path.iterdir())


# ---- A derivative ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["x**2", "2*x"],
        ["-x", "-1"],
        ["w*x**2", "2*w*x", "--by", "x"],
        ["w*x**2", "x**2", "--by", "w"],
        ["relu(x)", "1 if x > 0 else 0"],
        ["abs(x)", "sign(x)"],
        ["e**x", "e**x"],
        ["x", "1"],
        ["maximum(x, y)", "x > y", "--by", "x"],
        ["sin(x)", "cos(x)", "--domain", "-pi", "pi"],
        ["log(x - 5)", "1/(x - 5)", "--domain", "5", "10"],
        ["x**2", "2*x", "--domain", "0", "1e-9"],
    ],
)
def test_a_right_derivative(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "check", *words)
    assert out.startswith(f"right: {words[1]} is the derivative of {words[0]} by ")
    assert "at 100 random points between " in out and out.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["x**2", "x"], "It is 0.5 times the right one everywhere."),
        (["cos(x)", "sin(x)"], "Its sign is wrong everywhere."),
        (["x**2", "2*x + 1"], "It is 1 more than the right one everywhere."),
        (["x**2", "2*x - 0.25"], "It is 0.25 less than the right one everywhere."),
        (["x**3", "3*x"], "It differs at 100 of 100 random points between -2 and 2."),
        (["w*x**2", "2*x", "--by", "x"], "It differs at 100 of 100"),
        (["x**2", "nan"], "It differs at 100 of 100"),
        (["relu(x)", "1"], "  by hand     1.0\n  the engine  0.0\n"),
    ],
)
def test_a_wrong_derivative(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed(capsys, "check", *words, status=1)
    assert out.startswith(f"wrong: {words[1]} is not the derivative of {words[0]} by ")
    assert sentence in out and "Most at " in out
    assert ("everywhere" in out) == ("everywhere" in sentence)
    again = next(line for line in out.splitlines() if line.startswith("The right one, step by"))
    found = gradients(printed(capsys, *shlex.split(again.partition("microgradlike ")[2])))
    engine = re.search(r"the engine +(\S+)", out)
    assert engine and math.isclose(float(found["x"]), float(engine[1]), rel_tol=1e-9)


def test_points_at_which_a_function_is_not_finite_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = printed(capsys, "check", "log(x)", "1/x")
    found = re.search(r"at (\d+) random points .*\n\((\d+) more, where log\(x\) is not", out)
    assert found and int(found[1]) + int(found[2]) == 100 and int(found[1]) > 20


# ---- The process -------------------------------------------------------------------------------


def ran(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **more}
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", env=environment, timeout=60
    )


def test_the_script_and_the_module_are_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = printed(capsys, *NEURON)
    for command in ([str(SCRIPT)], [sys.executable, "-m", "microgradlike"]):
        done = ran(*command, *NEURON)
        assert (done.returncode, done.stdout, done.stderr) == (0, wanted, "")
    wrong = ran(str(SCRIPT), "check", "x**2", "x")
    assert (wrong.returncode, wrong.stderr) == (1, "") and wrong.stdout.startswith("wrong: ")
    bad = ran(sys.executable, "-m", "microgradlike", "x")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == "the name x has no number: add one, such as x=0.5\n"


def test_a_terminal_that_lacks_a_letter_shows_its_number() -> None:
    done = ran(str(SCRIPT), "λ * 2", "λ=1", PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "gradient by \\u03bb: 2\n" in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="needs a shell with pipes")
@pytest.mark.parametrize("words", [["--help"], ["+".join("x" * 300), "x=1"]])
def test_who_reads_only_the_beginning_hears_no_complaint(words: list[str]) -> None:
    command = f"{shlex.join([str(SCRIPT), *words])} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = ran("bash", "-c", command)
    assert done.stderr == "" and done.stdout.splitlines()[-1] == "0"


@pytest.mark.skipif(os.name != "posix", reason="needs a shell with pipes")
def test_what_is_wrong_is_told_to_who_reads_only_the_beginning() -> None:
    words = [str(SCRIPT), "check", "cos(x)", "sin(x)"]
    done = ran("bash", "-c", f"{shlex.join(words)} | grep -q wrong; echo ${{PIPESTATUS[0]}}")
    assert done.stderr == "" and done.stdout == "1\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    ("words", "to", "status", "told"),
    [
        (NEURON, "> /dev/full", 2, "the output cannot be written (No space left on device)\n"),
        (["w"], "2> /dev/full", 2, ""),
        (NEURON, ">&-", 0, ""),
        (["w"], "2>&-", 2, ""),
    ],
)
def test_output_that_cannot_be_written_is_told(
    words: list[str], to: str, status: int, told: str
) -> None:
    done = ran("sh", "-c", f"{shlex.join([str(SCRIPT), *words])} {to}")
    assert (done.returncode, done.stdout, done.stderr) == (status, "", told)


def test_the_help_has_examples_that_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen = 0
    for words in (["--help"], ["check", "-h"]):
        with pytest.raises(SystemExit) as end:
            main(words)
        text = capsys.readouterr().out
        assert end.value.code == 0 and max(map(len, text.splitlines())) <= 82
        for example in re.findall(r"^  microgradlike (.*\".*)$", text, re.MULTILINE):
            status = 1 if "cos(x**2)" in example else 0
            printed(capsys, *shlex.split(example), status=status)
            seen += 1
    assert seen >= 10 and sorted(path.name for path in tmp_path.iterdir()) == [
        "graph.svg",
        "page.html",
    ]


def test_the_page_shows_what_the_command_prints(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs/command_line.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    examples = [
        example
        for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL)
        for example in re.findall(r"\$ microgradlike (.*)\n((?:(?!\$ ).*\n)*)", block)
    ]
    assert len(examples) >= 12
    for words, wanted in examples:
        status = main(shlex.split(words))
        told = capsys.readouterr()
        assert doctest.OutputChecker().check_output(
            wanted, told.err if status == 2 else told.out, doctest.ELLIPSIS
        ), words
