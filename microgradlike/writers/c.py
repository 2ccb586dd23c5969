"""to_c(): a compiled function as one file of C99, which needs nothing but ``math.h``.

The file is as the function was traced: a function in C for each path, chosen by its guards. A row
that no trace has shown gets a status, never a wrong number.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from microgradlike.files import as_path, write
from microgradlike.inputs import describe
from microgradlike.replay import branches
from microgradlike.replay.as_written import program_as_written
from microgradlike.replay.compiled import Compiled
from microgradlike.replay.names import Names
from microgradlike.words import counted
from microgradlike.writers.c_code import File, array_of
from microgradlike.writers.c_formulas import literal
from microgradlike.writers.c_functions import (
    BY_INPUTS,
    BY_PARAMETERS,
    JACOBIAN,
    MOST_WRITTEN,
    VALUE,
    Function,
    Sizes,
    operations,
)

#: The statuses that a function returns, with what each says.
STATUSES = {
    "OK": "all is well",
    "UNTRACED": "the row takes a branch that no traced row took: call c.trace with such a row",
    "OUTSIDE_TABLE": "take(table, i) is asked for an entry that is not there",
    "NOT_WHOLE": "there is a fraction, or a number beyond 2**53, where an integer was traced",
    "TOO_MANY_ROUNDS": "a while_loop went on for more rounds than {prefix}_MOST_ROUNDS",
    "NOT_SAFE": "numbers are so large, infinite or NaN, or so near a tie, that the order of a sum "
    "decides; Python computes such a row as it was written",
}
#: Rounds that a loop may take which ends by itself, unless the user says otherwise.
MOST_ROUNDS = 1_000
#: So many inputs or parameters are named one by one; of more the first ones.
_NAMED = 64

#: The words of C that are no names.
_WORDS = frozenset(
    [
        "auto",
        "break",
        "case",
        "char",
        "const",
        "continue",
        "default",
        "do",
        "double",
        "else",
        "enum",
        "extern",
        "float",
        "for",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "register",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "typedef",
        "union",
        "unsigned",
        "void",
        "volatile",
        "while",
    ]
)
_WIDTH = 96


def to_c(
    c: Compiled, path: str | os.PathLike[str], *, name: str = "", jacobian: bool = False
) -> Path:
    """Write a compiled function as one file of C99: its value and its gradients.

    The file needs ``math.h`` alone, allocates nothing, and keeps nothing between calls. Its first
    comment says what each number is, which functions there are, and what they return.

    Args:
        c: a function made by ``compile``, and traced on rows that show all its branches.
        path: where to; the name ends in ``.c``.
        name: what the names in the file begin with; by default the name of the function.
        jacobian: whether to write the derivatives of each output by each input as well.

    Returns:
        The path.

    Raises:
        TypeError: ``c`` is no compiled function.
        ValueError: it was not traced, the name is none in C, or something in the function cannot be
            written in C; the sentence says what. Nothing was written.
        OSError: the file cannot be written there.

    >>> import tempfile
    >>> from microgradlike import Value, compile
    >>> w = Value(2.0, "w")
    >>> line = compile(lambda x: w * x + 1).trace([3.0])
    >>> file = to_c(line, tempfile.mkdtemp() + "/line.c", name="line")
    >>> print(file.read_text().partition("int line_value")[2].partition("}")[0])
    (const double *restrict x, const double *restrict theta, double *restrict value) {
        (void)x, (void)theta;
        const double v1 = theta[0] * x[0];
        const double v2 = v1 + 1.0;
        value[0] = v2;
        return LINE_OK;
    <BLANKLINE>
    """
    if not isinstance(c, Compiled):
        raise TypeError(
            f"to_c(c, path) writes what compile(f) made of a function, but got {describe(c)}; "
            "pass compile(f), traced on some rows"
        )
    target = as_path(path, "C is written to a path")
    if target.suffix != ".c":
        raise ValueError(f"the name of a file of C ends in .c, but got {os.fspath(path)!r}")
    if not c.traced:
        raise ValueError(
            "the function was not traced yet, so nobody knows what it does; call c.trace(X, ...) "
            "first, with rows that take all its branches"
        )
    return write(target, _Writer(c, _prefix(c, name), jacobian).text().encode())


def _prefix(c: Compiled, name: object) -> str:
    """What names in the file begin with.

    Raises:
        TypeError, ValueError: it cannot be the beginning of a name in C.
    """
    if not isinstance(name, str):
        raise TypeError(f"name is text, such as 'model', but got {describe(name)}")
    if not name:
        own = str(getattr(c.function, "__name__", type(c.function).__name__))
        found = re.sub(r"\W", "_", own, flags=re.ASCII).strip("_")
        name = found if found[:1].isalpha() and found not in _WORDS else "f"
    if not re.fullmatch(r"[A-Za-z_]\w*", name, flags=re.ASCII) or name in _WORDS:
        raise ValueError(
            f"name is a word of letters, digits and _ that C has no meaning for, but got {name!r}"
        )
    return name


class _Writer:
    """Writes the file.

    Args:
        c: the function.
        prefix: of all names.
        jacobian: whether it is wanted.
    """

    def __init__(self, c: Compiled, prefix: str, jacobian: bool) -> None:
        self.c, self.prefix, self.upper = c, prefix, prefix.upper()
        self.numbers = c.theta()  # refuses a function whose parameters were replaced
        self.names = Names.of(c)
        self.paths: list[branches.Path] = c._paths
        first = self.paths[0]
        self.sizes = Sizes(len(self.names.inputs), len(c.parameters), first.outputs, first.single)
        self.kinds = [VALUE]
        self.kinds += [BY_PARAMETERS] if self.sizes.parameters else []
        self.kinds += [BY_INPUTS] if self.sizes.inputs else []
        self.kinds += [JACOBIAN] if jacobian and self.sizes.inputs else []
        self.file = File(prefix)

    def text(self) -> str:
        """The whole file."""
        as_written = [_is_short(path) for path in self.paths]
        functions: list[str] = []
        for kind in self.kinds:
            for k, path in enumerate(self.paths):
                made = Function(self.file, path, self.sizes, kind, as_written[k])
                functions += [*self._function(kind, k, made.lines()), ""]
            if len(self.paths) > 1:
                functions += [*self._choice(kind), ""]
        lines = [*self._comment(all(as_written)), "", *self._head(), *self._theta()]
        lines += [*self.file.used_by(functions), *functions]
        return "\n".join(lines).rstrip() + "\n"

    # ---- Functions ----

    def _arguments(self, kind: str) -> list[str]:
        given = ["x", "theta"]
        if kind in (BY_PARAMETERS, BY_INPUTS):
            given += [] if self.sizes.single else ["weights"]
            return [*given, "value", "gradient"]
        return [*given, "value", *([JACOBIAN] if kind == JACOBIAN else [])]

    def _declared(self, kind: str, name: str, wide: bool = True) -> str:
        given = ("x", "theta", "weights")
        wanted = [
            f"{'const ' if a in given else ''}double *{'restrict ' if wide else ''}{a}"
            for a in self._arguments(kind)
        ]
        return f"int {name}({', '.join(wanted)})"

    def _function(self, kind: str, place: int, lines: Sequence[str]) -> list[str]:
        name = f"{self.prefix}_{kind}"
        head = self._declared(kind, name)
        if len(self.paths) > 1:
            head = "static " + self._declared(kind, f"{name}_{place}")
        unused = ", ".join(
            f"(void){a}" for a in self._arguments(kind) if a in ("x", "theta", "weights")
        )
        return [f"{head} {{", f"    {unused};", *(f"    {line}" for line in lines), "}"]

    def _choice(self, kind: str) -> list[str]:
        """A function that asks one path after the other."""
        name, given = f"{self.prefix}_{kind}", ", ".join(self._arguments(kind))
        lines = [f"{self._declared(kind, name)} {{", f"    int status = {name}_0({given});"]
        for k in range(1, len(self.paths)):
            lines.append(f"    if (status == {self.upper}_UNTRACED) status = {name}_{k}({given});")
        return [*lines, "    return status;", "}"]

    # ---- What comes before ----

    def _head(self) -> list[str]:
        upper, sizes = self.upper, self.sizes
        lines = ["#include <math.h>", ""]
        lines += ["#ifdef __FAST_MATH__", "#error compile without -ffast-math: infinities and NaN "
                  "are numbers here", "#endif", "#ifdef __clang__",
                  "#pragma STDC FP_CONTRACT OFF", "#endif", ""]  # fmt: skip
        lines += [
            f"#define {upper}_INPUTS {sizes.inputs}",
            f"#define {upper}_PARAMETERS {sizes.parameters}",
            f"#define {upper}_OUTPUTS {sizes.outputs}",
            "",
        ]
        lines += [f"#define {upper}_{status} {k}" for k, status in enumerate(STATUSES)]
        if self.file.rounds:
            lines += ["", f"#ifndef {upper}_MOST_ROUNDS",
                      f"#define {upper}_MOST_ROUNDS {MOST_ROUNDS}", "#endif"]  # fmt: skip
        return [*lines, ""]

    def _theta(self) -> list[str]:
        if not self.sizes.parameters:
            return []
        numbers = [literal(number) for number in self.numbers.tolist()]
        about = "/* The numbers that the parameters had when this was written. */"
        return [about, *array_of(f"const double {self.prefix}_theta", numbers), ""]

    def _comment(self, as_written: bool) -> list[str]:
        """What whoever calls it must know."""
        text = [
            *self._what_it_is(),
            *self._listed("x: the numbers of one row, in this order", self.names.inputs),
            *self._listed(
                f"theta: the parameters, in this order; {self.prefix}_theta has their numbers",
                [self.names.parameter(p) for p in self.c.parameters],
            ),
            *self._functions_told(),
            *self._statuses_told(as_written),
            *self._how_told(),
        ]
        return ["/*", *(f" * {line}".rstrip() for line in text), " */"]

    def _what_it_is(self) -> list[str]:
        sizes = self.sizes
        what = f"{counted(sizes.inputs, 'input')}, {counted(sizes.parameters, 'parameter')}, "
        what += counted(sizes.outputs, "output")
        return [f"{self.prefix}: {what}, written by microgradlike.to_c.",
                "All numbers are doubles. Nothing is allocated, and nothing is kept between calls.",
                ""]  # fmt: skip

    def _listed(self, title: str, names: Sequence[str]) -> list[str]:
        if not names:
            return []
        shown = [f"[{k}] {_harmless(name)}" for k, name in enumerate(names[:_NAMED])]
        if len(names) > _NAMED:
            shown.append(f"... [{len(names) - 1}] {_harmless(names[-1])}")
        lines, line = [], "   "
        for part in shown:
            if len(line) + len(part) > _WIDTH and line.strip():
                lines.append(line)
                line = "   "
            line += f" {part}"
        return [f"{title}:", *lines, line, ""]

    def _functions_told(self) -> list[str]:
        upper, told = self.upper, []
        of_all = "the first output" if self.sizes.single else "the sum of weights[k] * value[k]"
        of_all = "value[0]" if self.sizes.single else of_all
        about = {
            VALUE: f"value[{upper}_OUTPUTS]: the outputs.",
            BY_PARAMETERS: f"gradient[{upper}_PARAMETERS]: the derivatives of {of_all} by theta.",
            BY_INPUTS: f"gradient[{upper}_INPUTS]: the derivatives of {of_all} by x.",
            JACOBIAN: f"jacobian[{upper}_OUTPUTS * {upper}_INPUTS]: of each output by each input, "
            "a row for each output.",
        }
        for kind in self.kinds:
            told += [f"{self._declared(kind, f'{self.prefix}_{kind}', wide=False)};",
                     f"    {about[kind]}"]  # fmt: skip
        return ["The functions; arrays are the caller's, and none overlaps another one:", "",
                *told, ""]  # fmt: skip

    def _statuses_told(self, as_written: bool) -> list[str]:
        lines = ["Each returns a status. Unless it is 0, what was written to the arrays is nothing "
                 "to use:", ""]  # fmt: skip
        for k, (status, what) in enumerate(STATUSES.items()):
            lines.append(f"    {k} {self.upper}_{status}:")
            lines.append(f"        {what.format(prefix=self.upper)}.")
        if as_written:
            lines += ["", "Sums are added up as they were written, so NOT_SAFE is never returned."]
        return [*lines, ""]

    def _how_told(self) -> list[str]:
        prefix, upper = self.prefix, self.upper
        row = self.paths[0].arguments
        numbers = [number for part in row.flat for number in part[0].tolist()]
        lines = [f"    cc -std=c99 -O2 -ffp-contract=off -c {prefix}.c      (link with -lm)",
                 "    python -m ziglang cc -target wasm32-wasi -mexec-model=reactor -O2 "
                 "-ffp-contract=off \\",
                 f"        {prefix}.c -o {prefix}.wasm "
                 + " ".join(f"-Wl,--export={prefix}_{kind}" for kind in self.kinds)
                 + " -Wl,--export=__heap_base"]  # fmt: skip
        if self.file.rounds:
            lines.append(f"    -D{upper}_MOST_ROUNDS=... for more rounds than {MOST_ROUNDS}")
        lines = ["Compile it, for a processor or as WebAssembly, without -ffast-math:", "", *lines]
        if 0 < len(numbers) <= 8:
            shown = ", ".join(literal(float(number)) for number in numbers)
            theta = f"{prefix}_theta" if self.sizes.parameters else "0"
            lines += ["", "For example:", "",
                      f"    double x[{upper}_INPUTS] = {{{shown}}}, value[{upper}_OUTPUTS];",
                      f"    int status = {prefix}_value(x, {theta}, value);"]  # fmt: skip
        return lines


def _harmless(name: str) -> str:
    """A name that ends no comment."""
    return name.replace("*/", "* /").replace("\\", "/")


def _is_short(path: branches.Path) -> bool:
    """Whether a path is written as the engine computes it."""
    if len(path.tape.nodes) > 50 * MOST_WRITTEN:
        return False
    tape = path.rolled
    program, _ = program_as_written(tape, list(tape.outputs))
    found = operations(program.rows.instructions)
    if path.tape.guards:
        guards, _ = program_as_written(path.tape, list(path.tape.guards))
        found += operations(guards.rows.instructions)
    return found <= MOST_WRITTEN
