"""Writing a file so that nothing is lost: under a temporary name first, then renamed."""

from __future__ import annotations

import os
from pathlib import Path


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
