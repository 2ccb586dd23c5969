"""Machine code that numba keeps in files, so that it is compiled once on a machine.

A file may be damaged: by a full disk, a process that was killed, a synchronised folder. What cannot
be read, or is not what was written, is compiled anew, and written over it.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import sys
import time
import zlib
from pathlib import Path

from numba.core.base import BaseContext
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.runtime import rtsys
from numba.core.typing import Signature

# To tell whether kept code is still right, numba looks at the file of the function alone. But a
# loop has numbers and functions of other files in it, such as the codes of operations. What they
# say counts, not when they were written: two copies of this package share what they keep.
_PACKAGE = Path(__file__).parent.parent
# Who only checks or tells what was made, is in no loop.
_TELLS = {"show.py", "__main__.py", "verify.py"}
_MADE_OF = (
    _PACKAGE / "ops.py",
    *(path for path in sorted(_PACKAGE.glob("compiler/*.py")) if path.name not in _TELLS),
    *sorted(_PACKAGE.glob("executors/machine/*.py")),
)


def stamp_of(*paths: Path) -> str:
    """What tells whether one of these files has changed."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


STAMP = stamp_of(*_MADE_OF)


#: Fewer seconds are no wait that is worth a word.
WAIT = 5.0


class Waiting:
    """What was compiled in this process, and how long that took; it says so, for somebody waits.

    Attributes:
        pieces, seconds: so far.
        quiet: whether nothing is said.
    """

    def __init__(self) -> None:
        self.pieces, self.seconds, self.quiet = 0, 0.0, False
        self._told, self._announced = 0.0, False
        self._begun: list[float] = []  # one piece may need another, which is compiled meanwhile

    def begins(self, is_shared: bool = True) -> None:
        """A piece is not there, so it is compiled now; other programs may need it, too, or not."""
        if is_shared and not (self._announced or self.quiet):
            self._announced = True
            print(
                "compiling machine code, once on this machine: some loops of the compiler, and a "
                "kernel for each kind of operation; about ten seconds in all (python -m "
                "microgradlike.warm does it beforehand)",
                file=sys.stderr,
            )
        self._begun.append(time.perf_counter())

    def ends(self) -> None:
        """It has been compiled."""
        self.pieces += 1
        if self._begun:
            seconds = time.perf_counter() - self._begun.pop()
            self.seconds += 0.0 if self._begun else seconds

    def tell(self) -> None:
        """Say how much it was, if somebody has waited since that was said."""
        if self.seconds - self._told < WAIT:
            return
        if not self.quiet:
            print(
                f"compiled {self.pieces} pieces of machine code in {self.seconds:.1f} seconds, "
                "which are kept for the next time",
                file=sys.stderr,
            )
        self._told = self.seconds


COMPILED = Waiting()


class _Files(IndexDataCacheFile):  # type: ignore[misc]
    """The files of one function: an index, and one for each kind of arguments."""

    def save(self, key: object, data: object) -> None:
        COMPILED.ends()
        content = self._dump((key, data))
        with contextlib.suppress(OSError):
            super().save(key, (zlib.crc32(content), content))

    def load(self, key: object) -> object:
        try:
            check, content = super().load(key) or (0, b"")
            found, data = pickle.loads(content) if zlib.crc32(content) == check else (None, None)
        except Exception:  # a damaged pickle raises whatever it likes
            found, data = None, None
        if found == key:
            return data
        COMPILED.begins()
        return None

    def _load_index(self) -> object:
        try:
            return super()._load_index()
        except Exception:
            return {}


class _Kept(FunctionCache):  # type: ignore[misc]
    """The kept code of one function."""

    def load_overload(self, signature: Signature, context: BaseContext) -> object:
        """Load it by numba's runtime alone: it needs none of the types and functions, whose import
        takes numba 0.2 seconds. Where something is to be compiled, numba imports them by itself."""
        rtsys.initialize(context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(signature, context)
        return None  # the file could not be opened


def keep(cache: FunctionCache) -> None:
    """Let a cache of numba, which was just made, have such files."""
    cache.__class__ = _Kept
    made = cache._cache_file
    made.__class__, made._source_stamp = _Files, STAMP
