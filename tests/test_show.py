"""What the compiler tells of a function on the command line, and what it says to wrong words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from microgradlike import Value, compile
from microgradlike.compiler.__main__ import main
from microgradlike.compiler.show import LONGEST_LINE, lines, show, way_back

FILE = """
from microgradlike import Value, exp
from neighbour import w

def f(x, y):
    return w * x * 2.0 + y

def of_a_list(x):
    return sum(v * w for v in x)

def reads(x):
    return float(x)

def fails(x):
    raise ValueError("a fault of its own")

number = 1.0
"""

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Run:
    """Runs the command on a function of a file; what it prints, and its complaint."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "neighbour.py").write_text("from microgradlike import Value\nw = Value(2.0)\n")
    (tmp_path / "file.py").write_text(FILE)

    def runs(name: str, *words: str, file: str = "file.py") -> tuple[str, str]:
        try:
            main([f"{tmp_path / file}:{name}", *words])
        except SystemExit as end:
            assert end.code == 2
        out, err = capsys.readouterr()
        return out, err

    return runs


# ---- What is told ------------------------------------------------------------------------------


def test_what_is_computed_once_sends_back_too() -> None:
    w = Value(2.0)
    told = show(lambda x: x * (w * w), [1.0])
    assert "once: mul  adds to y of once: 0, adds to x of once: 0" in told
    assert "once: mul  adds to x of once: 0" in show(lambda x: w * 3, [1.0])


def test_it_says_for_whom_the_backward_pass_is() -> None:
    w = Value(2.0)
    assert "\n  for the parameters\n" in show(lambda x: x * w, [1.0])
    assert "\n  for the inputs\n" in show(lambda x: x * 3, [1.0])
    assert show(lambda x: Value(1.0), [1.0]).endswith("depends on a parameter or an input")


def test_a_constant_does_not_look_like_a_line() -> None:
    told = show(lambda x, y: 1.0 * y + 3 * x, [1.0, 2.0])
    assert "2  mul (constant 1) 1\n" in told and "3  mul (constant 3) 0\n" in told
    told = show(lambda x: x * 1.2345678e-7, [1.0])
    assert "(constant 1.235e-7)" in told and "constant 1.235e-7 " in told  # as pictures write it


def test_single_operations_tell_what_they_write_and_what_they_add() -> None:
    w = Value(2.0)

    def f(x: Any) -> Any:
        y = x
        for k in range(40):
            y = (y * y + w).tanh() if k % 3 else (y / (x * x + 2.0)).exp()
        return y

    (program,) = compile(f).trace([0.1]).programs
    (line,) = (line for line in lines("plan", way_back(program)) if "single operations" in line)
    for what in (
        "writes to its operands: ",
        "adds to its operands: ",
        "adds to its operands of once",
    ):
        assert what in line


def test_one_path_of_several_is_said() -> None:
    told = show(lambda x: x * 2 if x < 1 else x, [0.5])
    assert told.startswith("one path: the function had to decide 1 if; arguments that decide")
    assert "1  lt 0 (constant 1)  (an if: true)" in told


def test_long_lines_and_lists_are_cut_between_words_and_the_rest_is_counted() -> None:
    weights = [Value(1.0) for _ in range(2000)]
    told = show(lambda x: sum(w * x for w in weights), [1.0])
    assert max(map(len, told.splitlines())) <= LONGEST_LINE + 6
    (form,) = (line for line in told.splitlines() if line.startswith("  6001 = "))
    assert form.endswith(" ...") and form.split()[-2] in ("x", "+", *map(str, range(6001)))
    assert "  ... and 5,989 more lines\n" in told


# ---- The command -------------------------------------------------------------------------------


def test_the_command_finds_the_neighbours_of_a_file(run: Run) -> None:
    out, err = run("f", "1.0", "nan")
    assert "plan: " in out and not err
    assert "sum" in run("of_a_list", "[1, -inf, (2.0)]")[0]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["f", "1.0"], "f(x, y) got 1 argument: missing a required argument: 'y'"),
        (["f", "1", "2", "3"], "f(x, y) got 3 arguments: too many positional arguments"),
        (["reads", "1.0"], "float(v), or a function of math, of a Value in a function that is"),
        (["nope", "1.0"], "has no function 'nope'; write FILE:FUNCTION"),
        (["number"], "has no function 'number'; write FILE:FUNCTION"),
        *(
            (["f", word], f'list of numbers, such as "[1.0, 2.0]", but got {word!r}')
            for word in ("'abc'", "{}", "None", "1j", "[]", "x", "1 +", "[1, 'a']", "1" * 400)
        ),
    ],
)
def test_a_wrong_word_is_one_sentence(run: Run, words: list[str], complaint: str) -> None:
    out, err = run(*words)
    assert complaint in err and err.count("\n") == 1 and not out


def test_a_file_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    assert "no.py cannot be read: No such file" in run("f", file="no.py")[1]
    (tmp_path / "folder").mkdir()
    assert "folder cannot be read: " in run("f", file="folder")[1]


@pytest.mark.parametrize(
    ("source", "kind"),
    [("1 +", SyntaxError), ("open('not there')", OSError), ("int('x')", ValueError)],
)
def test_what_the_file_raises_is_its_own(
    run: Run, tmp_path: Path, source: str, kind: type[Exception]
) -> None:
    (tmp_path / "file.py").write_text(source)
    with pytest.raises(kind):
        run("f", "1.0")


def test_what_the_function_raises_is_its_own(run: Run) -> None:
    with pytest.raises(ValueError, match="a fault of its own"):
        run("fails", "1.0")


def test_without_words_it_says_how(capsys: Any) -> None:
    main(["--help"])
    assert "FILE:FUNCTION ARGUMENT" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 2 and "FILE:FUNCTION ARGUMENT" in capsys.readouterr().err
