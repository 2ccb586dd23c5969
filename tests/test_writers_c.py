"""``to_c`` against the engine: what it writes, compiled, finds the same numbers."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest

from microgradlike import (
    Compiled,
    TracingError,
    Value,
    compile,
    dot,
    exp,
    functions,
    grad,
    log,
    loop,
    losses,
    nn,
    softmax,
    take,
    tanh,
    to_c,
    where,
    while_loop,
)
from microgradlike import round as rounded
from microgradlike import sum as total
from microgradlike.functions import FUNCTIONS
from microgradlike.ops import OPERATORS
from microgradlike.writers import c_file, c_functions
from microgradlike.writers.refused import MOST_DIGITS
from tests import random_branches, random_loops
from tests.browser import node_program
from tests.operators import OF_ENGINE, TINY, expected
from tests.packages import needed
from tests.programs import Program, agree, flat, groups
from tests.random_programs import bounded, by_parameters
from tests.written import Found, Library, compiler, points_to_round

OK, UNTRACED, OUTSIDE_TABLE, NOT_WHOLE, TOO_MANY_ROUNDS, NOT_SAFE = range(6)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


@pytest.fixture
def as_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is written as it was compiled, and each instruction as a loop."""
    monkeypatch.setattr(c_file, "MOST_WRITTEN", -1)
    monkeypatch.setattr(c_functions, "WRITTEN_OUT", 0)


def same(ours: Any, theirs: Any) -> bool:
    """Whether numbers are the same to 1e-12, NaN and infinity as well."""
    return bool(numpy.allclose(ours, theirs, rtol=1e-12, atol=0.0, equal_nan=True))


# ---- Random programs ---------------------------------------------------------------------------


class Compared:
    """Random programs, written and compared at ordinary rows and at special points."""

    def __init__(self, library: Library, seeds: Sequence[int], tables: bool = False) -> None:
        self.library = library
        self.programs = {f"p{seed}": Program(seed, tables) for seed in seeds}
        self.rows: dict[str, list[tuple[Any, Any]]] = {}
        self.statuses: list[int] = []
        for name, program in self.programs.items():
            c = compile(program, on="numpy")
            self.rows[name] = []
            for special in (False, True):
                columns, target = program.examples(2, special)
                c.trace(columns, target)
                self.rows[name] += zip(columns, target, strict=True)
            library.add(name, c, jacobian=program.outputs > 1)

    def check(self, optimise: str) -> None:
        self.library.build(optimise)
        for name, program in self.programs.items():
            for x, y in self.rows[name]:
                self._check_row(name, program, x, y)

    def _check_row(self, name: str, program: Program, x: Any, y: Any) -> None:
        row = [*numpy.atleast_1d(x).tolist(), y]
        call = self.library.call
        inputs = program.row(x, y, Value)
        outputs = flat(program(*inputs))
        kinds = ["value", "by_inputs", *(["jacobian"] if program.outputs > 1 else [])]
        kinds += ["by_parameters"] if self.library.functions[name].parameters else []
        found = {kind: call(name, kind, row) for kind in kinds}
        self.statuses += [each.status for each in found.values()]
        for kind, (status, value, _) in found.items():
            if not status:
                assert same(value, list(map(float, outputs))) or all(
                    agree(ours, *bounded(out)) for ours, out in zip(value, outputs, strict=True)
                ), (name, kind, row)
        jacobian = found.get("jacobian", found["by_inputs"])
        for k in range(0 if jacobian.status else program.outputs):
            self._check_slopes(name, program, k, inputs, numpy.atleast_2d(jacobian.derivatives)[k])
        if program.outputs == 1 and "by_parameters" in found:
            self._check_parameters(name, program, (x, y), found["by_parameters"])

    @staticmethod
    def _check_slopes(name: str, program: Program, k: int, inputs: Any, ours: Any) -> None:
        given = flat(inputs)
        for v in given:
            v.grad = 0.0
        out = flat(program(*inputs))[k]
        out.backward()
        if same(ours, [v.grad for v in given]):
            return

        def output(*given: Any) -> Value:
            found: Value = flat(program(*given))[k]
            return found

        slopes = flat(grad(output)(*inputs))
        wrong = [
            (a, float(b)) for a, b in zip(ours, slopes, strict=True) if not agree(a, *bounded(b))
        ]
        assert not wrong, (name, k, wrong)

    def _check_parameters(
        self, name: str, program: Program, row: tuple[Any, Any], found: Found
    ) -> None:
        if found.status:
            return
        parameters = self.library.functions[name].parameters
        for parameter in program.parameters:
            parameter.grad = 0.0
        flat(program(*program.row(*row, Value)))[0].backward()
        if same(found.derivatives, [parameter.grad for parameter in parameters]):
            return
        slopes = dict(zip(program.parameters, by_parameters(program, *row), strict=True))
        for ours, parameter in zip(found.derivatives, parameters, strict=True):
            assert agree(ours, *bounded(slopes[parameter])), (name, row, parameter)


@groups(0, 1_000, 100)
def test_a_thousand_random_programs(library: Library, seeds: range) -> None:
    """Most are compiled with -O0, which takes a third of the time; the first ones with -O2."""
    compared = Compared(library, seeds)
    compared.check("-O2" if seeds[0] == 0 else "-O0")
    assert set(compared.statuses) == {OK}  # they are short, so they are written as the engine does


@groups(5_000, 60, 60)
def test_random_programs_that_take_from_tables(library: Library, seeds: range) -> None:
    compared = Compared(library, seeds, tables=True)
    compared.check("-O0")
    assert set(compared.statuses) == {OK}


@groups(7_000, 40, 40)
def test_random_programs_as_loops(library: Library, seeds: range, as_loops: None) -> None:
    """What is not safe to add up in another order is refused; all else is right."""
    compared = Compared(library, seeds)
    compared.check("-O0")
    assert set(compared.statuses) == {OK, NOT_SAFE}
    assert compared.statuses.count(OK) > 0.7 * len(compared.statuses)


def _random_loops(library: Library, seeds: Sequence[int]) -> None:
    rows: dict[str, tuple[Any, list[Any]]] = {}
    for seed in seeds:
        f, _, _ = random_loops.program(seed)
        asked = random_loops.columns(2 * seed, 3)
        try:
            library.add(f"p{seed}", compile(f, on="numpy").trace(*asked))
        except TracingError:
            continue
        rows[f"p{seed}"] = f, [list(row) for row in zip(*asked, strict=True)]
    library.build("-O1")
    met = 0
    for name, (f, some) in rows.items():
        parameters = library.functions[name].parameters
        for row in some:
            numbers = [number for part in row for number in numpy.ravel(part).tolist()]
            found = library.call(name, "jacobian", numbers)
            if found.status == NOT_SAFE:
                continue
            met += 1
            expected = random_loops.Expected(f, parameters, row)
            assert random_loops.agree(found.value, expected.values), (name, row)
            slopes = found.derivatives[:, : random_loops.FLOATS]
            assert random_loops.agree(slopes, expected.slopes), (name, row)
            if parameters:
                found = library.call(name, "by_parameters", numbers)
                size = max(1.0, numpy.abs(expected.by_parameters).max())
                theirs = numpy.sum(expected.by_parameters, axis=0)
                assert random_loops.agree(found.derivatives, theirs, size), (name, row)
    assert met > 2 * len(rows)


def test_random_loops(library: Library) -> None:
    _random_loops(library, range(40))


def test_random_loops_as_they_were_compiled(library: Library, as_loops: None) -> None:
    _random_loops(library, range(40, 55))


def test_random_branches(library: Library) -> None:
    """A row whose branches were met is right; no other one gets a number."""
    asked: dict[str, Any] = {}
    for seed in (*range(6), *random_branches.OTHER_WAYS):
        f, w, _ = random_branches.program(seed)
        rows = []
        for row in numpy.random.default_rng(seed).normal(size=(30, 4)).round(2).tolist():
            try:
                rows.append((row, random_branches.by_engine(f, w, row)))
            except (ArithmeticError, ValueError):
                continue
        library.add(f"p{seed}", compile(f).trace(*numpy.array([row for row, _ in rows[:20]]).T))
        asked[f"p{seed}"] = rows
    library.build("-O0")
    untraced = 0
    for name, rows in asked.items():
        for place, (row, (value, slopes, _)) in enumerate(rows):
            found = library.call(name, "by_inputs", row)
            assert found.status == OK or (place >= 20 and found.status == UNTRACED), (name, row)
            untraced += found.status == UNTRACED
            if found.status == OK:
                assert random_branches.agree(found.value[0], value)
                assert all(map(random_branches.agree, found.derivatives, slopes))
    assert untraced


# ---- Operators ---------------------------------------------------------------------------------


def test_each_operator_at_special_points(library: Library) -> None:
    names = [name for name in OF_ENGINE if name != "round_to"]
    for name in names:
        of = FUNCTIONS[name]
        f = _of_two(of) if len(OPERATORS[name].slopes) == 2 else _of_one(of)
        library.add(f"p_{name}", compile(f, on="numpy", check=False).trace([0.3], [0.4]))
    library.build()
    for name in names:
        operands, values, slopes = expected(name, TINY)
        for k, point in enumerate(zip(*operands, strict=True)):
            found = library.call(f"p_{name}", "by_inputs", [*point, 0.4][:2])
            assert found.status == OK
            assert same(found.value, [values[k]]), (name, point, found, values[k])
            ours = [slope[k] for slope in slopes]
            assert same(found.derivatives[: len(ours)], ours), (name, point, found, ours)


def _of_two(of: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda x, y: of(x, y)


def _of_one(of: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda x, y: of(x)


def test_round_to_digits(library: Library) -> None:
    every = range(-MOST_DIGITS, MOST_DIGITS + 1)
    for n in every:
        name = f"{'behind' if n >= 0 else 'before'}_{abs(n)}"
        library.add(name, compile(lambda x, n=n: rounded(x, n), check=False).trace([0.3]))
    library.build("-O1")
    for n, name in zip(every, library.functions, strict=True):
        for x in points_to_round(n):
            ours, theirs = library.call(name, "value", [x]).value[0], round(x, n)
            assert ours == theirs and math.copysign(1, ours) == math.copysign(1, theirs), (n, x)
        assert math.isnan(library.call(name, "value", [math.nan]).value[0])
        assert library.call(name, "value", [-math.inf]).value[0] == -math.inf


def test_each_number_is_rounded_to_digits_of_its_own(library: Library, as_loops: None) -> None:
    c = compile(lambda x: [rounded(v, k % 5 - 2) for k, v in enumerate(x)])
    x = numpy.random.default_rng(0).normal(size=20) * 100
    library.add("f", c.trace([x]))
    library.build("-O1")
    theirs = [round(v, k % 5 - 2) for k, v in enumerate(x.tolist())]
    assert library.call("f", "value", x).value.tolist() == theirs


# ---- Networks, tables and loops of some size ---------------------------------------------------


def _compared(library: Library, name: str, *columns: Any) -> None:
    """All functions of one, beside the compiled function in Python."""
    c = library.functions[name]
    values, slopes = c.value_and_jacobian(*columns)
    values = values.reshape(len(columns[0]), -1)
    for k in range(len(values)):
        row = numpy.concatenate([numpy.ravel(column[k]) for column in columns])
        found = {kind: library.call(name, kind, row) for kind in ("value", "by_inputs", "jacobian")}
        assert {each.status for each in found.values()} == {OK}
        for each in found.values():
            assert numpy.allclose(each.value, values[k], rtol=1e-12, atol=1e-13)
        theirs = slopes[k].reshape(values.shape[1], -1)
        assert numpy.allclose(found["jacobian"].derivatives, theirs, rtol=1e-12, atol=1e-13)
        assert numpy.allclose(found["by_inputs"].derivatives, theirs.sum(0), rtol=1e-12, atol=1e-13)
        if c.parameters:
            gradient = library.call(name, "by_parameters", row)
            one = [column[k : k + 1] for column in columns]
            theirs = c.run(c.theta(), one, [1.0] * values.shape[1])[1]
            assert gradient.status == OK
            assert numpy.allclose(gradient.derivatives, theirs, rtol=1e-12, atol=1e-13)


def _parameters(*shape: int) -> Any:
    draw = numpy.random.default_rng(len(shape))

    def of(numbers: Any) -> Any:
        return list(map(of, numbers)) if numpy.ndim(numbers) else Value(float(numbers))

    return of(draw.normal(size=shape) / 2)


def _programs() -> Iterator[tuple[str, Any, tuple[Any, ...], dict[str, Any]]]:
    """Functions whose instructions are loops in C, and rows."""
    draw = numpy.random.default_rng(1)
    net = nn.MLP(64, [32, 10], activation="relu", seed=0)
    images, labels = draw.normal(size=(2, 64)), numpy.array([3, 9])
    yield "net", lambda x: net(x), (images,), {}
    listed = {"parameters": net.parameters()}  # with the biases between the rows of the weights
    yield "loss", lambda x, y: losses.cross_entropy(net(x), y), (images, labels), listed
    penalty = losses.l2
    yield "l2", lambda x: net(x)[0] * penalty(net.parameters()), (images,), {}
    kernels = _parameters(4, 3, 3)

    def convolution(image: Any) -> Any:
        found = [
            tanh(total([k[a][b] * image[i + a][j + b] for a in range(3) for b in range(3)]))
            for k in kernels
            for i in range(10)
            for j in range(10)
        ]
        return total([v * v for v in found])

    yield "convolution", convolution, (draw.normal(size=(2, 12, 12)),), {}

    def attention(queries: Any, keys: Any) -> Any:
        weights = [softmax([dot(q, k) for k in keys]) for q in queries]
        return [dot(row, [k[0] for k in keys]) for row in weights]

    both = draw.normal(size=(2, 2, 12, 8))
    yield "attention", attention, (both[0], both[1]), {}
    table, above = _parameters(300, 8), nn.MLP(16, [32, 32, 4], seed=1, activation="tanh")

    def embedded(i: Any, j: Any) -> Any:
        return total(above([*take(table, i), *take(table, j)]))

    yield "embedded", embedded, (numpy.array([0, 299]), numpy.array([7, 7])), {}
    W, U = _parameters(48, 48), _parameters(48, 3)

    def recurrent(rows: Any) -> Any:
        def step(state: Any, x: Any) -> Any:
            return [tanh(dot(w, state) * 0.1 + dot(u, x)) for w, u in zip(W, U, strict=True)]

        return total(loop(step, [0.0] * 48, rows))

    yield "recurrent", recurrent, (draw.normal(size=(2, 9, 3)),), {}
    squares = _parameters(40, 60)
    yield (
        "squares",
        lambda x: total([tanh(dot([w * w for w in row], x)) for row in squares]),
        (draw.normal(size=(2, 60)),),
        {},
    )


def test_networks_tables_and_recurrences(library: Library) -> None:
    asked = {}
    for name, f, columns, options in _programs():
        library.add(name, compile(f, **options).trace(*columns))
        asked[name] = columns
    library.build("-O1")
    for name, columns in asked.items():
        _compared(library, name, *columns)
    text = (library.folder / "net.c").read_text()
    assert len(text.partition("int net_value(const double *restrict")[2]) < 25_000
    huge = numpy.full(64, 1e300)
    assert library.call("net", "value", huge).status == NOT_SAFE
    assert library.call("net", "jacobian", huge * math.nan).status == NOT_SAFE


# ---- What is no number ------------------------------------------------------------------------


def test_each_status(library: Library) -> None:
    w = [Value(1.0), Value(4.0), Value(9.0)]
    library.add("branch", compile(lambda x: w[0] * x if x > 0 else -x).trace([1.0, 2.0]))
    library.add("table", compile(lambda i, x: take(w, i) * x).trace([2, 0], [1.0, 2.0]))
    library.add("computed", compile(lambda i, x: take(w, i + 1) * x).trace([1, 0], [1.0, 2.0]))
    library.add("equal", compile(lambda i, j: 1.0 * i if i == j else 2.0 * j).trace([1, 2], [1, 3]))
    halves = compile(lambda x: while_loop(lambda v: v > 1.0, lambda v: v * w[0] * 0.5, x))
    library.add("halves", halves.trace([8.0]))
    library.build("-O2", "-DHALVES_MOST_ROUNDS=10")
    statuses = {
        ("branch", 1.0): OK, ("branch", -1.0): UNTRACED, ("branch", math.nan): UNTRACED,
        ("table", 2, 1.0): OK, ("table", 3, 1.0): OUTSIDE_TABLE, ("table", -1, 1.0): OUTSIDE_TABLE,
        ("table", 0.5, 1.0): OUTSIDE_TABLE, ("table", math.nan, 1.0): OUTSIDE_TABLE,
        ("table", 1e300, 1.0): OUTSIDE_TABLE,
        ("computed", 1, 1.0): OK, ("computed", 2, 1.0): OUTSIDE_TABLE,
        ("equal", 4, 4): OK, ("equal", 4, 5): OK, ("equal", 4.5, 5): NOT_WHOLE,
        ("equal", 2.0**60, 5): NOT_WHOLE,
        ("halves", 1024.0): OK, ("halves", 0.5): OK, ("halves", 1025.0): TOO_MANY_ROUNDS,
        ("halves", math.inf): TOO_MANY_ROUNDS,
    }  # fmt: skip
    for (name, *row), status in statuses.items():
        for kind in ("value", "by_inputs", "jacobian"):
            assert library.call(name, kind, row).status == status, (name, row, kind)
    assert library.call("halves", "by_parameters", [1024.0]).derivatives.tolist() == [10.0]
    assert library.call("table", "by_parameters", [2, 3.0]).derivatives.tolist() == [3.0, 0.0] or (
        sorted(library.call("table", "by_parameters", [2, 3.0]).derivatives.tolist())
        == [0.0, 0.0, 3.0]
    )


def test_each_function_looks_at_its_own_numbers(library: Library, as_loops: None) -> None:
    library.add("f", compile(lambda x: total([functions.sqrt(v) for v in x])).trace([[1.0] * 9]))
    library.build("-O0")
    row = [4.0] * 8 + [0.0]  # where the slope is infinite
    assert library.call("f", "value", row)[:2] == (OK, [16.0])
    assert {library.call("f", kind, row).status for kind in ("by_inputs", "jacobian")} == {NOT_SAFE}
    assert "a slope may be NOT_SAFE where no value is" in (library.folder / "f.c").read_text()


def test_where_sends_nothing_to_the_other_side(library: Library) -> None:
    c = compile(lambda x, y: where(x > 0, log(x), y * 2)).trace([1.0], [1.0])
    library.add("f", c)
    library.build()
    assert library.call("f", "by_inputs", [0.0, 1.0]).derivatives.tolist() == [0.0, 2.0]
    assert library.call("f", "by_inputs", [-1.0, math.nan]).derivatives.tolist() == [0.0, 2.0]
    assert library.call("f", "by_inputs", [2.0, math.nan]).derivatives.tolist() == [0.5, 0.0]


def test_weights_of_the_outputs(library: Library) -> None:
    w = Value(3.0)
    library.add("f", compile(lambda x: [w * x, x * x]).trace([1.0]))
    library.add("one", compile(lambda x: [w * x]).trace([1.0]))
    library.build()
    assert library.call("f", "by_inputs", [5.0], weights=[1, 100]).derivatives.tolist() == [1003.0]
    assert library.call("f", "by_parameters", [5.0], [2.0], [2, 7]).derivatives.tolist() == [10.0]
    assert library.call("one", "by_inputs", [5.0], weights=[2.0]).derivatives.tolist() == [6.0]


def test_what_has_no_inputs_or_no_parameters(library: Library) -> None:
    w = Value(3.0)
    library.add("alone", compile(lambda: w * w).trace())
    library.add("plain", compile(lambda x: x * x).trace([1.0]))
    library.add("same", compile(lambda x: Value(2.0)).trace([1.0]))
    library.add("given", compile(lambda x, y: y).trace([1.0], [2.0]))
    library.build()
    assert library.call("alone", "value", []).value.tolist() == [9.0]
    assert library.call("alone", "by_parameters", []).derivatives.tolist() == [6.0]
    assert library.call("plain", "by_inputs", [3.0]).derivatives.tolist() == [6.0]
    assert library.call("same", "by_inputs", [3.0])[1:] == ([2.0], [0.0])
    assert library.call("given", "jacobian", [3.0, 4.0]).derivatives.tolist() == [[0.0, 1.0]]


# ---- The file ----------------------------------------------------------------------------------


def test_the_comment_tells_what_each_number_is(tmp_path: Path) -> None:
    slope, other = Value(2.0, "slope */ /* ???/"), Value(float("nan"))

    def model(speed: Any, place: Any) -> Any:
        return slope * speed + other * place[1]

    text = to_c(compile(model).trace([1.0], [[1.0, 2.0]]), tmp_path / "model.c").read_text()
    comment = text.partition("*/")[0]
    assert "[0] speed [1] place[0] [2] place[1]" in comment
    assert "[0] slope * / / * ? ? ?/ [1] other" in comment
    for said in (
        "model_by_parameters(const double *x",
        "0 MODEL_OK",
        "5 MODEL_NOT_SAFE",
        "cc -std",
    ):
        assert said in comment
    assert "#define MODEL_INPUTS 3\n#define MODEL_PARAMETERS 2\n" in text
    assert "2.0, NAN," in text
    assert text.count("#include") == 1 and "#include <math.h>" in text
    assert max(map(len, comment.splitlines())) <= 110
    how = ["-std=c99", "-Wall", "-Werror", "-c", tmp_path / "model.c", "-o", tmp_path / "model.o"]
    subprocess.run([*compiler(), *how], check=True)


def test_in_cpp_the_file_says_what_to_do(tmp_path: Path) -> None:
    file = to_c(compile(lambda x: x * x).trace([1.0]), tmp_path / "f.c")
    run = subprocess.run(
        [*compiler(), "-xc++", "-fsyntax-only", file], capture_output=True, text=True
    )
    assert "compile as C; declare the functions extern" in run.stderr


@pytest.mark.parametrize(
    "flag, macro",
    [
        ("-ffast-math", "__FAST_MATH__"),
        ("-ffinite-math-only", "__FINITE_MATH_ONLY__ 1"),
        ("-funsafe-math-optimizations", "__ASSOCIATIVE_MATH__"),
        ("-freciprocal-math", "__RECIPROCAL_MATH__"),
        ("-fno-signed-zeros", "__NO_SIGNED_ZEROS__"),
    ],
)
def test_flags_that_change_numbers_are_refused(tmp_path: Path, flag: str, macro: str) -> None:
    def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*compiler(), *arguments], capture_output=True, text=True)

    file = to_c(compile(lambda x: x * x).trace([1.0]), tmp_path / "f.c")
    told = macro in run(flag, "-dM", "-E", "-xc", os.devnull).stdout  # clang keeps some to itself
    assert told or flag not in ("-ffast-math", "-ffinite-math-only")
    with_flag, plain = (run(*flags, "-c", file, "-o", tmp_path / "f.o") for flags in ([flag], []))
    assert bool(with_flag.returncode) == told == ("compile without -f" in with_flag.stderr)
    assert not plain.returncode


def test_a_second_name_and_the_same_file_again(tmp_path: Path) -> None:
    c = compile(lambda x: x * x).trace([1.0])
    first = to_c(c, tmp_path / "a.c").read_text()
    assert "int lambda_value(" in first

    def double(x: Any) -> Any:
        return x + x

    named = to_c(compile(double).trace([1.0]), tmp_path / "a.c").read_text()
    assert "int f_value(" in named and "double_value" not in named
    assert to_c(c, str(tmp_path / "a.c"), name="g").read_text() == first.replace(
        "lambda", "g"
    ).replace("LAMBDA", "G")
    assert [path.name for path in tmp_path.iterdir()] == ["a.c"]


def _untraced() -> Compiled:
    return compile(lambda x: x * x)


@pytest.mark.parametrize(
    ("c", "name", "options", "error", "says"),
    [
        (lambda x: x, "f.c", {}, TypeError, "writes what compile"),
        (None, "f.c", {}, TypeError, "but got None"),
        (_untraced(), "f.c", {}, ValueError, r"call c.trace\(X, ...\) first"),
        (_untraced().trace([1.0]), "f.cpp", {}, ValueError, r"ends in \.c"),
        (_untraced().trace([1.0]), "no folder/f.c", {}, OSError, "choose a folder"),
        (_untraced().trace([1.0]), "f.c", {"name": "a b"}, ValueError, "a word of letters"),
        (_untraced().trace([1.0]), "f.c", {"name": "double"}, ValueError, "but got 'double'"),
        (_untraced().trace([1.0]), "f.c", {"name": 3}, TypeError, "name is text"),
        (
            compile(lambda x: rounded(x, -30)).trace([1.0]),
            "f.c",
            {},
            ValueError,
            r"but n is -30, at .*test_writers_c.py, line \d+: compile\(lambda x: rounded\(x, -30",
        ),
    ],
)
def test_what_cannot_be_written_is_a_sentence(
    tmp_path: Path, c: Any, name: str, options: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        to_c(c, tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_a_path_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="C is written to a path, but got"):
        to_c(_untraced().trace([1.0]), 3)


def test_a_function_whose_parameters_were_replaced_is_refused(tmp_path: Path) -> None:
    held = [Value(1.0)]
    c = compile(lambda x: held[0] * x).trace([1.0])
    held[0] = Value(2.0)
    with pytest.raises(ValueError, match="another Value"):
        to_c(c, tmp_path / "f.c")
    assert not list(tmp_path.iterdir())


# ---- WebAssembly -------------------------------------------------------------------------------

_SCRIPT = """
import {readFileSync} from "node:fs";
const {instance} = await WebAssembly.instantiate(readFileSync(process.argv[2]), {});
const wasm = instance.exports;
wasm._initialize();
let free = wasm.__heap_base.value + 7 & ~7;
const array = (numbers) => {
  const found = new Float64Array(wasm.memory.buffer, free, numbers.length);
  free += 8 * numbers.length;
  found.set(numbers);
  return found;
};
const [theta, rows] = JSON.parse(process.argv[3]).map((part) => part);
const found = rows.map((row) => {
  const arrays = [array(row), array(theta), array([0]), array(row.map(() => 0))];
  const status = wasm.f_by_inputs(...arrays.map((each) => each.byteOffset));
  return [status, ...arrays[2], ...arrays[3]];
});
console.log(JSON.stringify(found));
"""


def test_the_same_file_as_webassembly(tmp_path: Path) -> None:
    """By the command that the file tells of; the first time on a machine it takes half a minute."""
    needed("ziglang")
    w = [Value(0.5), Value(-1.25)]

    def f(x: Any) -> Any:
        return tanh(w[0] * x[0] + exp(w[1] * x[1])) * functions.erf(x[2]) + x[0] ** 3

    rows = numpy.random.default_rng(0).normal(size=(4, 3))
    c = compile(f).trace(rows)
    text = to_c(c, tmp_path / "f.c", name="f").read_text()
    told = text.partition("python -m ziglang ")[2].partition("f.wasm")[0]
    words = told.replace(" *", "").replace("\\\n", "").split()
    command = [sys.executable, "-m", "ziglang", *words, "f.wasm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    (tmp_path / "run.mjs").write_text(_SCRIPT)
    given = json.dumps([c.theta().tolist(), rows.tolist()])
    run = [node_program(), str(tmp_path / "run.mjs"), str(tmp_path / "f.wasm"), given]
    found = numpy.array(json.loads(subprocess.run(run, check=True, capture_output=True).stdout))
    values, slopes = c.value_and_jacobian(rows)
    assert found[:, 0].tolist() == [0.0] * 4
    assert numpy.allclose(found[:, 1], values, rtol=1e-13)
    assert numpy.allclose(found[:, 2:], slopes[:, 0], rtol=1e-12, atol=1e-14)
