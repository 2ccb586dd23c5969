"""The command line: an expression and its gradients, step by step; or a derivative, judged."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import math
import os
import random
import re
import shlex
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from typing import NoReturn

from microgradlike import typeset
from microgradlike.checks import Difference, differences, partial, place
from microgradlike.engine import Value
from microgradlike.files import ending_in, write_all
from microgradlike.flow import backward_steps, break_at, explain, named, nodes, value_formula
from microgradlike.ops import INFIX, OPERATORS
from microgradlike.typed import Typed, names_in, number_in, numbers_of, read_formula, typed
from microgradlike.typeset import Symbol
from microgradlike.words import counted, in_short

USAGE = 'microgradlike "EXPRESSION" NAME=NUMBER ... [-o FILE]'
CHECK_USAGE = 'microgradlike check "FUNCTION" "DERIVATIVE" [--by NAME] [--domain LOW HIGH]'

ABOUT = """\
Computes an expression, and how its result changes with each name: the
gradients. Then it derives each gradient by the chain rule, step by step, as one
does by hand.
"""

_FUNCTIONS = textwrap.indent(
    textwrap.fill(", ".join(name for name in OPERATORS if name not in INFIX), 76), "  "
)

EXAMPLES = f"""\
examples:
  microgradlike "relu(w*x + b)**2" w=0.5 x=2 b=-1
  microgradlike "-x**2" x=-2
  microgradlike "sin(pi * x)" x=1/3
  microgradlike "tanh(w*x + b)" w=0.5 x=2 b=-1 -o graph.svg
  microgradlike "tanh(w*x + b)" w=0.5 x=2 b=-1 -o page.html
  microgradlike check "x**2" "2*x"
  microgradlike check --help

An expression has numbers, names, + - * / // % **, comparisons, if-else and
functions. A power is x**2, a product 2*x. pi and e are numbers, unless you give
them others. Put the expression into quotes: else the shell would read it first.

functions:
{_FUNCTIONS}

more commands; each has a --help:
  python -m microgradlike.exercises  makes exercises, with answers
  python -m microgradlike.grading    judges the engine that a student wrote
  python -m microgradlike.compiler   shows what each pass of the compiler makes
  python -m microgradlike.warm       compiles machine code before it is needed
"""

ABOUT_CHECK = """\
Judges a derivative that you worked out: compares it with the engine's at 100
random points. The exit status is 0 if it is right, 1 if it is wrong, 2 if it
cannot be judged.
"""

EXAMPLES_CHECK = """\
examples:
  microgradlike check "x**2" "2*x"
  microgradlike check "sin(x**2)" "cos(x**2)"
  microgradlike check "w*x**2" "2*w*x" --by x
  microgradlike check "relu(x)" "1 if x > 0 else 0"
  microgradlike check "log(x - 5)" "1/(x - 5)" --domain 5 10
"""

#: At so many points a derivative is tried.
POINTS = 100


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one sentence."""

    def __init__(self, usage: str, about: str, examples: str) -> None:
        super().__init__(
            prog="microgradlike",
            usage=usage,
            description=about,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; microgradlike --help shows how to write it")


def main(words: Sequence[str]) -> int:
    """Do what the words ask for.

    Args:
        words: those behind the name of the program.

    Returns:
        The exit status: 0, or 1 if a derivative is wrong, or 2 if the words are; then a sentence on
        stderr says why.

    >>> main(["x**2", "x=3"])
    x**2 = 9
    <BLANKLINE>
    gradient by x: 6
    ...
    0
    >>> main(["check", "x**2", "2*x"])
    right: 2*x is the derivative of x**2 by x, at 100 random points between -2 and 2
    0
    """
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            status, lines = _check(words[1:]) if words and words[0] == "check" else _explain(words)
    except (ImportError, OSError, ValueError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:  # who reads has seen enough; the status is told all the same
        _let_go_of_output()
    for warning in told:
        print(warning.message, file=sys.stderr)
    return status


# ---- An expression -----------------------------------------------------------------------------


def _explain(words: Sequence[str]) -> tuple[int, list[str]]:
    """The exit status, and what is printed."""
    parser = _Parser(USAGE, ABOUT, EXAMPLES)
    parser.add_argument(
        "words", nargs="*", metavar="EXPRESSION NAME=NUMBER", help="such as w*x w=0.5 x=2"
    )
    parser.add_argument(
        "-o",
        "--out",
        action="append",
        default=[],
        metavar="FILE",
        help="write the graph: .html is a page to step through; .svg, .png, .jpg, .pdf, .dot and "
        ".json are pictures; .pdf needs Graphviz or CairoSVG",
    )
    given = parser.parse_intermixed_args(_spaced(words))
    if not given.words:
        parser.error("an expression is missing")
    expression, *numbers = (word.strip() for word in given.words)
    if re.fullmatch(r"\w+ *=[^=].*", expression):
        parser.error(f"the expression comes first, and then {expression}")
    found = typed(expression, numbers_of(numbers))
    try:
        lines = list(_told(expression, found))
    except RecursionError:
        raise ValueError("the expression has too many parts to be derived step by step") from None
    if given.out:
        _save(found, given.out)
    return 0, [*lines, *(f"wrote {path}" for path in given.out)]


def _spaced(words: Sequence[str]) -> list[str]:
    """-w*x is an expression: to argparse it is none with a space before it."""
    pairs = zip(words, ["", *words], strict=False)
    return [
        f" {word}" if _MINUS.match(word) and before not in ("-o", "--out") else word
        for word, before in pairs
    ]


_MINUS = re.compile(r"-(?!o$|h$|-[a-z-]*(=|$))")


def _save(found: Typed, paths: Sequence[str]) -> None:
    """Write the graph as pages and pictures: all of them, or none."""
    # This package needs no pictures: they are loaded when one is asked for.
    viz, render = importlib.import_module("viz"), importlib.import_module("viz.render")
    suffixes = ".html", *(f".{suffix}" for suffix in render.FORMATS)
    kinds = [ending_in(path, "a page or a picture", *suffixes).suffix.lower() for path in paths]
    found.result.backward()
    try:
        contents = [
            viz.Stepper(found.result, decisions=found.decisions).html().encode()
            if kind == ".html"
            else viz.draw(found.result).pipe(kind[1:])
            for kind in kinds
        ]
    except render.RenderError as error:
        raise OSError(str(error)) from None
    write_all(zip(paths, contents, strict=True))


def _told(expression: str, found: Typed) -> Iterator[str]:
    """The value, the gradients, and how they come about."""
    result, leaves, _ = found
    reached = {node for node in nodes(result) if not node.op}
    explanations = {
        name: explain(result, leaf, {"out": result})
        for name, leaf in leaves.items()
        if leaf in reached
    }
    yield f"{expression} = {in_short(result.data, 10)}"
    yield ""
    width = max(map(len, leaves))
    for name in leaves:
        slope = explanations[name].gradient if name in explanations else 0.0
        yield f"gradient by {f'{name}:':<{width + 1}} {in_short(slope, 10)}"
    if special := _special(found):
        yield from ("", *special)
    if not explanations:
        yield from ("", "No name has anything to do with this result.")
        return
    style = typeset.Plain()
    first = next(iter(explanations.values()))
    if first.forward:
        yield from ("", "Forward: what each operation computes")
        yield from (f"  {line.written(style)}" for line in first.forward)
    yield from ("", "Backward: the chain rule, from the result to the names")
    # What several names share is told once.
    lines = {line.written(style): line for e in explanations.values() for line in e.backward}
    for equation, line in lines.items():
        yield f"  {equation}"
        for sentence in line.words.split("\n"):
            yield from _wrapped(sentence, "      ")
    yield ""
    for name in leaves:
        if name not in explanations:
            yield f"{name} has nothing to do with this result."
            continue
        explanation = explanations[name]
        yield from _wrapped(explanation.conclusion)
        yield from (f"  {line}" for line in explanation.whole)


def _wrapped(sentence: str, indent: str = "") -> list[str]:
    """Lines as wide as the terminal; what is piped into a program keeps its lines."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    return textwrap.wrap(
        sentence,
        max(width, 40),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _special(found: Typed) -> list[str]:
    """Where the first number comes from that is infinite or none; kinks and jumps."""
    called = named(found.result, {"out": found.result})
    symbols: dict[Value, typeset.Tree] = {v: Symbol(name, v.data) for v, name in called.items()}

    def computed(node: Value) -> str:
        return typeset.plain(typeset.evaluated(value_formula(node, symbols)))

    steps = list(backward_steps(found.result))
    told = [
        f"{computed(node)} is {_in_words(node.data)}."
        for node in nodes(found.result)
        if node.op and not math.isfinite(node.data)
    ] or [
        f"the slope of {computed(step.node)} by {called[step.parent]} is {_in_words(step.slope)}."
        for step in steps
        if not math.isfinite(step.slope)
    ]
    breaks = [
        f"{computed(step.node)} has {kind}: {in_short(step.slope)} is a convention."
        for step in steps
        if (kind := break_at(step))
    ]
    edges = [
        f"two numbers are equal in {one.line}: this is the gradient of the branch that it takes."
        for one in found.decisions
        if float(one.left) == float(one.right)
    ]
    return [f"Special point: {one}" for one in dict.fromkeys(told[:1] + breaks + edges)]


def _in_words(number: float) -> str:
    return "NaN: not a number" if math.isnan(number) else f"{in_short(number)}: infinite"


# ---- A derivative ------------------------------------------------------------------------------


def _check(words: Sequence[str]) -> tuple[int, list[str]]:
    """The exit status, and what is printed."""
    parser = _Parser(CHECK_USAGE, ABOUT_CHECK, EXAMPLES_CHECK)
    parser.add_argument("words", nargs="*", metavar="FUNCTION DERIVATIVE", help="as expressions")
    parser.add_argument("--by", metavar="NAME", help="by which name, if the function has several")
    parser.add_argument(
        "--domain",
        nargs=2,
        default=("-2", "2"),
        metavar=("LOW", "HIGH"),
        help="between which numbers the points lie; -2 and 2 by default",
    )
    given = parser.parse_intermixed_args(_spaced(words))
    if len(given.words) != 2:
        got = counted(len(given.words), "expression")
        parser.error(f"check takes a function and its derivative, but got {got}")
    function, derivative = (word.strip() for word in given.words)
    names, low_high = names_in(function), _domain(given.domain)
    typed(function, dict.fromkeys(names, 0.5))  # complain now about what has no gradient
    by = _by(given.by, function, names)
    for name in names_in(derivative):
        if name not in names:
            raise ValueError(f"the derivative has the name {name}, which {function} has not")
    f, by_hand = read_formula(function, names), read_formula(derivative, names)
    points = [point for point in _points(len(names), *low_high) if math.isfinite(f(*point))]
    between = f"between {in_short(low_high[0])} and {in_short(low_high[1])}"
    if not points:
        raise ValueError(
            f"{function} is finite at none of {POINTS} points {between}: "
            "say where it is, such as --domain 1 5"
        )
    found = differences(partial(f, names.index(by)), by_hand, points)
    tried = f"{len(points)} random points {between}"
    claim = f"the derivative of {function} by {by}"
    lines = [f"right: {derivative} is {claim}, at {tried}"]
    if found:
        lines = [f"wrong: {derivative} is not {claim}", f"It differs at {len(found)} of {tried}."]
        lines += _where(function, names, found, len(points))
    if len(points) < POINTS:
        left_out = POINTS - len(points)
        lines.append(f"({left_out} more, where {function} is not finite, were left out.)")
    return (1 if found else 0), lines


def _domain(given: Sequence[str]) -> tuple[float, float]:
    low = high = math.nan
    with contextlib.suppress(ValueError):
        low, high = map(number_in, given)
    if not 0 < high - low < math.inf:
        raise ValueError(
            "--domain is a lower and a higher number, such as --domain 1 5, but got "
            f"{' '.join(given)}"
        )
    return low, high


def _by(given: str | None, function: str, names: Sequence[str]) -> str:
    """By which name the derivative is."""
    if given is None and len(names) > 1:
        raise ValueError(
            f"{function} has the names {', '.join(names)}: say by which one the derivative is, "
            f"such as --by {names[0]}"
        )
    if given is not None and given not in names:
        raise ValueError(f"{function} has no name {given} in it, but {', '.join(names)}")
    return given or names[0]


def _points(count: int, low: float, high: float) -> Iterator[tuple[float, ...]]:
    """The same points each time, with few digits: somebody may compute there by hand."""
    draw, digits = random.Random(0), 4 - math.floor(math.log10(high - low))
    for _ in range(POINTS):
        yield tuple(round(draw.uniform(low, high), digits) for _ in range(count))


def _where(
    function: str, names: Sequence[str], found: Sequence[Difference], tried: int
) -> Iterator[str]:
    """Where a derivative is most wrong, and by how much."""
    most = max(found)
    yield f"Most at {place(names, most.point)}:"
    yield str(most)
    factors = [one.by_hand / one.engine if one.engine else math.nan for one in found]
    offsets = [one.by_hand - one.engine for one in found]
    if len(found) == tried and _alike(factors):
        factor = in_short(factors[0])
        yield (
            "Its sign is wrong everywhere."
            if factor == "-1"
            else f"It is {factor} times the right one everywhere."
        )
    elif len(found) == tried and _alike(offsets):
        more = "more" if offsets[0] > 0 else "less"
        yield f"It is {in_short(abs(offsets[0]))} {more} than the right one everywhere."
    numbers = " ".join(f"{name}={x!r}" for name, x in zip(names, most.point, strict=True))
    yield f"The right one, step by step: microgradlike {shlex.quote(function)} {numbers}"


def _alike(numbers: Sequence[float]) -> bool:
    return all(math.isclose(one, numbers[0], rel_tol=1e-6) for one in numbers)


# ---- The process -------------------------------------------------------------------------------


def _let_go_of_output() -> None:
    """Nobody reads on: what is written at the end of the process goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run() -> NoReturn:
    """The console script: ``main`` on the words of the process."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by >&-
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        # A terminal that lacks a letter shows its number.
        getattr(sys, name).reconfigure(errors="backslashreplace")
    status = 0
    try:
        with contextlib.suppress(SystemExit):  # after --help
            status = main(sys.argv[1:])
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # which says that head has seen enough
            status = 2
            with contextlib.suppress(OSError):  # where errors cannot be written either
                print(f"the output cannot be written ({error.strerror})", file=sys.stderr)
        _let_go_of_output()
    except KeyboardInterrupt:
        status = 130
    raise SystemExit(status)


if __name__ == "__main__":
    run()
