"""Writing a file so that nothing is lost: under a temporary name first, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from microgradlike.inputs import describe


def ending_in(path: str | os.PathLike[str], kind: str, *suffixes: str) -> Path:
    """The path, whose name ends as those of files of this kind do.

    Raises:
        TypeError: it is no path.
        ValueError: it ends in none of the suffixes, or no file can have this name.

    >>> ending_in("loss.SVG", "a picture", ".svg", ".png").suffix
    '.SVG'
    """
    named = as_path(path, f"{kind} is written to a path")
    if named.suffix.lower() not in suffixes:
        *others, last = suffixes
        choice = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"the name of {kind} ends in {choice}, but got {os.fspath(path)!r}")
    return named


def as_path(path: str | os.PathLike[str], rule: str) -> Path:
    """The path, as the rule asks for one.

    Raises:
        TypeError, ValueError: it is no path.

    >>> as_path(None, "frames are written to a folder")
    Traceback (most recent call last):
        ...
    TypeError: frames are written to a folder, but got None
    """
    try:
        named = Path(path)
    except TypeError:
        raise TypeError(f"{rule}, but got {describe(path)}") from None
    if "\0" in str(named):
        raise ValueError(f"{rule}, whose name has no null character, but got {str(named)!r}")
    return named


def make_folder(folder: Path) -> None:
    """Make a folder, unless it exists.

    Raises:
        OSError: it cannot be made; the sentence says why and what to do.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(
            f"cannot make the folder {str(folder)!r} ({error.strerror}); {_way_out(error)}"
        ) from error


def _way_out(error: OSError) -> str:
    """What to do about a name under which nothing can be written."""
    if error.errno == errno.ENAMETOOLONG:
        return "choose a shorter name"
    if error.errno == errno.EEXIST:
        return "choose a folder: this is the name of a file"
    return "choose a folder that exists and that you may write to"


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
    # Not longer than a name may be, where the file's own is not.
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # where none could be made, there is none
            temporary.unlink(missing_ok=True)
        raise type(error)(
            f"cannot write {str(path)!r} ({error.strerror or error}); {_way_out(error)}"
        ) from error
    return path
