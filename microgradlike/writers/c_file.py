"""The file of C as a whole: what its first comment tells, its names, and its functions."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from microgradlike.replay.branches import Path
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
    Programs,
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

#: What a function is given, and does not write to.
GIVEN = ("x", "theta", "weights")
#: How the file is compiled.
_CONDITIONS = """\
#ifdef __cplusplus
#error compile as C; declare the functions extern "C" in C++
#endif
#if defined(__FAST_MATH__) || defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error compile without -ffast-math and -ffinite-math-only: infinities and NaN are numbers here
#endif
#if defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || defined(__NO_SIGNED_ZEROS__)
#error compile without -funsafe-math-optimizations and its parts: they change numbers
#endif
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif""".splitlines()
#: So wide are the lines of the comment.
_WIDTH = 96


class Writer:
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
        self.paths: list[Path] = c._paths
        first = self.paths[0]
        self.sizes = Sizes(len(self.names.inputs), len(c.parameters), first.outputs, first.single)
        self.kinds = [VALUE]
        self.kinds += [BY_PARAMETERS] if self.sizes.parameters else []
        self.kinds += [BY_INPUTS] if self.sizes.inputs else []
        self.kinds += [JACOBIAN] if jacobian and self.sizes.inputs else []
        self.file = File(prefix)

    def text(self) -> str:
        """The whole file."""
        programs = Programs()
        as_written = [_is_short(path, programs) for path in self.paths]
        functions: list[str] = []
        for kind in self.kinds:
            for k, path in enumerate(self.paths):
                made = Function(self.file, path, self.sizes, kind, programs, as_written[k])
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
        wanted = [
            f"{'const ' if a in GIVEN else ''}double *{'restrict ' if wide else ''}{a}"
            for a in self._arguments(kind)
        ]
        return f"int {name}({', '.join(wanted)})"

    def _function(self, kind: str, place: int, lines: Sequence[str]) -> list[str]:
        name = f"{self.prefix}_{kind}"
        head = self._declared(kind, name)
        if len(self.paths) > 1:
            head = "static " + self._declared(kind, f"{name}_{place}")
        text = "\n".join(lines)
        given = (a for a in self._arguments(kind) if a in GIVEN)
        unused = [f"(void){a};" for a in given if not re.search(rf"\b{a}\[", text)]
        return [f"{head} {{", *(f"    {line}" for line in (*unused, *lines)), "}"]

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
        lines = ["#include <math.h>", "", *_CONDITIONS, ""]
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
        lines = ["Each returns a status. Unless it is 0, the arrays hold nothing to use:", ""]
        for k, (status, what) in enumerate(STATUSES.items()):
            lines.append(f"    {k} {self.upper}_{status}:")
            lines += textwrap.wrap(f"{what.format(prefix=self.upper)}.", _WIDTH - 8,
                                   initial_indent=8 * " ", subsequent_indent=8 * " ")  # fmt: skip
        if as_written:
            lines += ["", "Sums are added up as they were written, so NOT_SAFE is never returned."]
        elif len(self.kinds) > 1:
            lines += [
                "",
                "Each looks at its own numbers: a slope may be NOT_SAFE where no value is.",
            ]
        return [*lines, ""]

    def _how_told(self) -> list[str]:
        prefix, upper = self.prefix, self.upper
        row = self.paths[0].arguments
        numbers = [number for part in row.flat for number in part[0].tolist()]
        exports = [f"-Wl,--export={prefix}_{kind}" for kind in self.kinds]
        lines = ["Compile it, for a processor or as WebAssembly, without -ffast-math:", "",
                 f"    cc -std=c99 -O2 -ffp-contract=off -c {prefix}.c      (link with -lm)",
                 "",
                 "    python -m ziglang cc -target wasm32-wasi -mexec-model=reactor -O2 -s \\",
                 *(f"        {export} \\" for export in exports),
                 f"        -Wl,--export=__heap_base {prefix}.c -o {prefix}.wasm"]  # fmt: skip
        if self.file.rounds:
            lines += ["", f"    -D{upper}_MOST_ROUNDS=... for more rounds than {MOST_ROUNDS}"]
        if 0 < len(numbers) <= 8:
            shown = ", ".join(literal(float(number)) for number in numbers)
            theta = f"{prefix}_theta" if self.sizes.parameters else "0"
            lines += ["", "For example:", "",
                      f"    double x[{upper}_INPUTS] = {{{shown}}}, value[{upper}_OUTPUTS];",
                      f"    int status = {prefix}_value(x, {theta}, value);"]  # fmt: skip
        return lines


def _harmless(name: str) -> str:
    """A name that ends no comment, and no line of it: ``??/`` is a backslash in C."""
    name = re.sub(r"\?(?=\?)", "? ", name.replace("\\", "/"))
    return name.replace("*/", "* /").replace("/*", "/ *")


def _is_short(path: Path, programs: Programs) -> bool:
    """Whether a path is written as the engine computes it."""
    if len(path.tape.nodes) > 50 * MOST_WRITTEN:
        return False
    guards = [programs.of(path.tape, list(path.tape.guards))] if path.tape.guards else []
    whole = programs.of(path.rolled, list(path.rolled.outputs))
    found = sum(operations(program.rows.instructions) for program, _ in (whole, *guards))
    return found <= MOST_WRITTEN
