"""Shows what each pass of the compiler makes of a function.

    python -m microgradlike.compiler FILE:FUNCTION ARGUMENT ...

The arguments are those of one example, as Python writes them: 1.0, or "[1.0, 2.0]"; 1 is an integer
in all rows.
"""

from __future__ import annotations

import ast
import inspect
import runpy
import sys
from pathlib import Path
from typing import NoReturn

from microgradlike.compiler.show import show
from microgradlike.compiler.tape import TracingError
from microgradlike.words import counted

HOW = (__doc__ or "").strip()


def main(words: list[str]) -> None:
    """Print what each pass makes of the function that the words name.

    Raises:
        SystemExit: the words are wrong, or the function cannot be traced; a sentence says why. What
            the file itself raises is raised as it is.
    """
    if words in (["-h"], ["--help"]):
        print(HOW)
        return
    if not words or ":" not in words[0]:
        _refuse(HOW)
    path, _, name = words[0].rpartition(":")
    example = [_argument(word) for word in words[1:]]
    try:
        Path(path).read_bytes()
    except OSError as error:
        _refuse(f"{path} cannot be read: {error.strerror}")
    sys.path.insert(0, str(Path(path).resolve().parent))  # as for any script: its neighbours
    f = runpy.run_path(path).get(name)
    if not callable(f):
        _refuse(f"{path} has no function {name!r}; write FILE:FUNCTION")
    try:
        signature = inspect.signature(f)
        signature.bind(*example)
    except TypeError as error:
        _refuse(f"{name}{signature} got {counted(len(example), 'argument')}: {error}")
    except ValueError:  # a function that was not written in Python does not tell what it takes
        pass
    try:
        print(show(f, example))
    except TracingError as error:
        _refuse(str(error))


def _argument(word: str) -> object:
    """A number, or a list of numbers, as Python writes them."""
    try:
        return _numbers(ast.parse(word.strip(), mode="eval").body)
    except (SyntaxError, ValueError, OverflowError):
        _refuse(
            "an argument is a number, such as 1.0, -2 or nan, or a list of numbers, such as "
            f'"[1.0, 2.0]", but got {word!r}'
        )


def _numbers(tree: ast.expr) -> object:
    match tree:
        case ast.List([_, *_] as parts) | ast.Tuple([_, *_] as parts):
            return [_numbers(part) for part in parts]
        case ast.UnaryOp(ast.USub(), operand) if isinstance(size := _numbers(operand), int | float):
            return -size
        case ast.Constant(int() | float() as number):
            float(number)  # OverflowError if none can hold it
            return number
        case ast.Name("nan" | "inf" as name):
            return float(name)
    raise ValueError


def _refuse(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
