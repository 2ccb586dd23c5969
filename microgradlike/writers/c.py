"""to_c(): a compiled function as one file of C99, which needs nothing but ``math.h``.

The file is as the function was traced: a function in C for each path, chosen by its guards. A row
that no trace has shown gets a status, never a wrong number.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from microgradlike.files import as_path, write
from microgradlike.inputs import describe
from microgradlike.replay.compiled import Compiled
from microgradlike.writers.refused import naming_the_line

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
            written in C; the sentence says what, and in which line. Nothing was written.
        OSError: the file cannot be written there.

    >>> import tempfile
    >>> from microgradlike import Value, compile
    >>> w = Value(2.0, "w")
    >>> line = compile(lambda x: w * x + 1).trace([3.0])
    >>> file = to_c(line, tempfile.mkdtemp() + "/line.c", name="line")
    >>> print(file.read_text().partition("restrict value) {")[2].partition("}")[0])
    <BLANKLINE>
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
    prefix = _prefix(c, name)
    from microgradlike.writers.c_file import Writer  # and numba: only who writes waits for it

    with naming_the_line(c):
        text = Writer(c, prefix, jacobian).text()
    return write(target, text.encode())


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
