"""Writing a file so that nothing is lost: under a temporary name first, then renamed."""

from __future__ import annotations

import os
from pathlib import Path

from microgradlike.inputs import describe


def ending_in(path: str | os.PathLike[str], kind: str, *suffixes: str) -> Path:
    """The path, whose name ends as those of files of this kind do.

    Raises:
        TypeError: it is no path.
        ValueError: it ends in none of the suffixes.

    >>> ending_in("loss.SVG", "a picture", ".svg", ".png").suffix
    '.SVG'
    """
    try:
        named = Path(path)
    except TypeError:
        raise TypeError(f"{kind} is written to a path, but got {describe(path)}") from None
    if named.suffix.lower() not in suffixes:
        *others, last = suffixes
        choice = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"the name of {kind} ends in {choice}, but got {os.fspath(path)!r}")
    return named


def write(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a whole file, or leave what was there.

    Args:
        path: where to; its folder must exist.
        content: the bytes of the file.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written there; the sentence says why and what to do.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise type(error)(
            f"cannot write {str(path)!r} ({error.strerror or error}); "
            "choose a folder that exists and that you may write to"
        ) from error
    return path
