"""A student's file is judged in a process of its own, with a limit of time and of memory."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from microgradlike.files import as_path
from microgradlike.grading.judge import judge, topics_without
from microgradlike.grading.probes import Observation
from microgradlike.grading.verdict import Mistake, Verdict
from microgradlike.inputs import within

#: A line of what the process tells, such as ``{"printed": "hello"}``.
Line: TypeAlias = dict[str, Any]


def check_file(
    path: str | os.PathLike[str],
    wanted: str | None = None,
    *,
    data: str = "data",
    grad: str = "grad",
    backward: str = "backward",
    without: Sequence[str] = (),
    timeout: float = 10.0,
    memory: int = 1024,
) -> Verdict:
    """Judge the engine in a Python file, in a process of its own.

    The file may not write to the disk, start programs, use the network, or import a package that
    computes gradients. It is refused, and the verdict says so. This keeps off mistakes, not malice:
    files of strangers belong into a container.

    Args:
        path: the file. What stands under ``if __name__ == "__main__"`` is not run.
        wanted: the name of the class; by default ``Value``, or the only one with ``backward``.
        data, grad, backward, without: as for ``check_engine``.
        timeout: after so many seconds the process is ended.
        memory: how many megabytes it may take, beyond what Python itself has. Linux keeps this
            limit; macOS and Windows do not.

    Returns:
        The verdict, as of ``check_engine``.

    Raises:
        OSError: there is no such file; or this Python runs in a browser, which starts no process.
        TypeError, ValueError: an argument is of another kind.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     student = Path(folder, "student.py")
    ...     _ = student.write_text("while True: pass")
    ...     print(check_file(student, timeout=1.0))
    student.py: The file did not end within 1 second.
    """
    file = as_path(path, "check_file takes the path of a Python file").resolve()
    with open(file, "rb"):
        pass  # what cannot be read is the caller's affair, not the student's
    within("timeout, in seconds,", timeout, 0.1, 1e6)
    within("memory, in megabytes,", memory, 1, 1e6)
    judged = topics_without(without)
    names = {"data": data, "grad": grad, "backward": backward}
    settings = {"path": str(file), "wanted": wanted, "names": names, "memory": memory}
    lines, end = _run(settings, file.parent, timeout)
    return _verdict(file.name, lines, end, judged)


def _run(settings: Line, folder: Path, timeout: float) -> tuple[list[Line], str]:
    """What the process told, and how it was ended, if it did not end by itself."""
    if sys.platform in ("emscripten", "wasi"):
        raise OSError(
            "check_file judges a file in a process of its own, and a browser starts none: import "
            "the file, and give its class to check_engine"
        )
    home = str(Path(__file__).parents[2])
    with tempfile.TemporaryDirectory() as scratch:
        settings["scratch"] = scratch
        path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
        places = dict.fromkeys(("TMPDIR", "TEMP", "TMP", "MPLCONFIGDIR", "XDG_CACHE_HOME"), scratch)
        child = subprocess.Popen(
            [sys.executable, "-B", "-m", "microgradlike.grading.inside", json.dumps(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=folder,
            env={**os.environ, **places, "PYTHONPATH": path},
        )
        assert child.stdout is not None
        child.stdout.readline()  # Python has started: the time of the file begins
        end = ""
        try:
            output, _ = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            output, _ = child.communicate()
            end = f"did not end within {timeout:g} second{'s' if timeout != 1 else ''}"
        if child.returncode and not end:
            end = f"broke off: {_reason(child.returncode)}"
    return list(_lines(output)), end


def _lines(output: bytes) -> Iterator[Line]:
    for line in output.splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # the last one may be cut off
            return


def _reason(code: int) -> str:
    """Why a process ended by itself, as far as its code tells."""
    try:
        return f"the system ended it ({signal.Signals(-code).name})"
    except ValueError:
        return f"it left Python with the code {code}"


def _verdict(file: str, lines: list[Line], end: str, judged: Sequence[str]) -> Verdict:
    """The verdict on what a process told."""
    told = {key: value for line in lines for key, value in line.items()}
    if "name" not in told:
        sentence = f"The file {told.get('failed', end)}."
        nothing = dict.fromkeys(judged, False)
        return Verdict(file, (Mistake("file", (), sentence, None, Observation()),), (), nothing)
    seen = [Observation(**line["seen"]) for line in lines if "seen" in line]
    if "ended" not in told:
        seen.append(Observation(stopped=end or "left the process"))
    verdict = judge(f"{file}, {told['name']}", seen, judged)
    refused = dict.fromkeys(line["refused"] for line in lines if "refused" in line)
    notes = [f"It may not {deed}: that was refused." for deed in refused]
    if "printed" in told:
        notes.append(f"It prints while it is judged; the first words are {told['printed']!r}.")
    return dataclasses.replace(verdict, notes=(*verdict.notes, *notes))
