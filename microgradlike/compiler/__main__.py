"""Shows what each pass of the compiler makes of a function.

    python -m microgradlike.compiler FILE:FUNCTION ARGUMENT ...

The arguments are those of one example, as Python writes them: 1.0, or "[1.0, 2.0]".
"""

from __future__ import annotations

import ast
import runpy
import sys

from microgradlike.compiler.show import show


def main(words: list[str]) -> str:
    """What each pass makes, or what is wrong with the words that were given."""
    if not words or ":" not in words[0]:
        return (__doc__ or "").strip()
    path, _, name = words[0].rpartition(":")
    try:
        found = runpy.run_path(path)
        example = [ast.literal_eval(word) for word in words[1:]]
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    except (ValueError, SyntaxError):
        return f"the arguments are numbers, or lists of numbers, but got {' '.join(words[1:])}"
    if not callable(found.get(name)):
        return f"{path} has no function {name!r}"
    return show(found[name], example)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
