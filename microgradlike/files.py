"""Writing a file so that nothing is lost: under a temporary name first, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
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
    if error.errno == errno.EISDIR:
        return "choose another name: this is the one of a folder"
    if error.errno == errno.ELOOP:
        return "choose a name that is no link, or a link that leads to a file"
    if error.errno == errno.EEXIST:
        return "choose a folder: this is the name of a file"
    return "choose a folder that exists and that you may write to"


def write(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a whole file, or leave what was there, however this is interrupted.

    Args:
        path: where to; its folder must exist. A link is followed, and a file that is replaced hands
            on its permissions.
        content: the bytes of the file.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written there; the sentence says why and what to do.
    """
    write_all([(path, content)])
    return Path(path)


def write_all(contents: Iterable[tuple[str | os.PathLike[str], bytes]]) -> None:
    """Write several files as ``write`` does, and none where one of them cannot be written.

    Args:
        contents: paths, each with the bytes of its file.

    Raises:
        OSError: a file cannot be written there; the sentence says which, why and what to do.
    """
    renamed = []
    with contextlib.ExitStack() as undone:
        for path, content in contents:
            with _telling_of(path):
                target = Path(os.path.realpath(path))
                mode = _permissions(target)
                # Its own for every writer, and no longer than a name may be where the file's is.
                temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.tmp")
                undone.callback(_remove, temporary)  # after an interrupt from the keyboard, too
                with open(temporary, "xb") as file:
                    if mode is not None:
                        os.chmod(temporary, mode)
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())  # else a crash could leave the new name without content
            renamed.append((path, temporary, target))
        for path, temporary, target in renamed:
            with _telling_of(path):
                os.replace(temporary, target)


@contextlib.contextmanager
def _telling_of(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise type(error)(
            f"cannot write {os.fspath(path)!r} ({error.strerror or error}); {_way_out(error)}"
        ) from error


def _remove(temporary: Path) -> None:
    with contextlib.suppress(OSError):  # where none could be made, there is none
        temporary.unlink(missing_ok=True)


def _permissions(target: Path) -> int | None:
    """Those of the file that is there, if there is one."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return stat.S_IMODE(mode)
