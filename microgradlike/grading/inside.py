"""What runs in the process of a student's file: the probes, and a guard over what the file does.

``apart`` starts it. It writes a line of JSON for each thing that happens, so that all is known that
came before a process was ended. The guard stops what happens by mistake or in haste. It is no
sandbox: who wants to get out of a Python process can.
"""

from __future__ import annotations

import dataclasses
import inspect
import io
import json
import os
import runpy
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from microgradlike.grading.probes import PROBES, Engine, run, told

#: Packages that compute gradients themselves: with one of them there would be nothing to judge.
ENGINES = frozenset(
    {
        *("micrograd", "microgradlike", "minitorch", "tinygrad", "torch", "tensorflow", "keras"),
        *("jax", "autograd", "casadi", "mxnet", "chainer", "paddle", "mlx", "viz"),
    }
)

#: Events that Python's audit hooks tell of, and what is said of them.
REFUSED = {
    **dict.fromkeys(("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"), "start {}"),
    **dict.fromkeys(("os.spawn", "os.startfile"), "start {}"),
    **dict.fromkeys(("os.fork", "os.forkpty"), "start another process"),
    **dict.fromkeys(("os.kill", "os.killpg"), "end a process"),
    **dict.fromkeys(("socket.connect", "socket.bind", "socket.getaddrinfo"), "use the network"),
    **dict.fromkeys(("socket.sendto", "urllib.Request"), "use the network"),
}

#: Those that change files; they are refused outside of the folder for temporary files.
CHANGES = frozenset(
    {
        *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink"),
        *("os.truncate", "os.chmod", "os.chown", "os.utime", "shutil.rmtree", "shutil.move"),
    }
)

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Guard:
    """Refuses what an engine does not need, and tells of it."""

    def __init__(self, tell: Callable[..., None], scratch: str) -> None:
        self.tell = tell
        self.scratch = os.path.realpath(scratch) + os.sep

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        """What Python calls before anything happens that can be audited."""
        if event == "import":
            name = str(arguments[0]).partition(".")[0]
            if name in ENGINES:
                self.tell(refused=f"import {name}, which computes gradients itself")
                raise ImportError(f"{name} computes gradients itself: it may not be imported here")
        elif event == "open":
            path, mode, flags = arguments
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (
                isinstance(flags, int) and flags & _WRITING
            )
            if writes and not self._may_change(path):
                self._refuse(f"write to {_named(path)}")
        elif event in CHANGES:
            paths = [path for path in arguments if isinstance(path, str | bytes)]
            if not all(map(self._may_change, paths)):
                self._refuse(f"change {_named(paths[0])}")
        elif event in REFUSED:
            self._refuse(REFUSED[event].format(_named(arguments[0] if arguments else "a program")))

    def _refuse(self, deed: str) -> NoReturn:
        self.tell(refused=deed)
        raise PermissionError(f"an engine that is judged may not {deed}")

    def _may_change(self, path: object) -> bool:
        if isinstance(path, int):
            return True  # of a file that is open: that has been asked
        found = os.path.realpath(os.fsdecode(path))  # type: ignore[arg-type]
        return f"{found}{os.sep}".startswith(self.scratch) or found == os.devnull


def _named(path: object) -> str:
    return os.path.basename(os.fsdecode(path)) if isinstance(path, str | bytes) else str(path)


class Heard(io.TextIOBase):
    """In the place of the screen: tells what is printed first, and forgets the rest."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._told = False

    def write(self, text: str) -> int:
        """Take a text."""
        if text.strip() and not self._told:
            self._told = True
            self._tell(printed=text.strip()[:80])
        return len(text)


def limit_memory(megabytes: int) -> None:
    """Let the process have so much more memory than it has now, where the system can do that."""
    try:
        import resource
    except ImportError:  # Windows
        return
    try:
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # macOS does not say; it does not keep the limit either
        now = 0
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + megabytes * 2**20, most))


def find_class(
    names: Mapping[str, object], wanted: str | None, backward: str
) -> Callable[[float], object]:
    """The class of a file that is judged: the one that is wanted, ``Value``, or the only one.

    Args:
        names: all names of the file.
        wanted: the name of the class, if it is known.
        backward: the name of the method by which a class is known.

    Raises:
        LookupError: there is none, or there are several; the sentence says what is there.
    """
    classes = {n: it for n, it in names.items() if inspect.isclass(it) and hasattr(it, backward)}
    found = names.get(wanted or "Value")
    if not callable(found) and not wanted and len(classes) == 1:
        [found] = classes.values()
    if callable(found):
        return found
    there = f"no class of it has {backward}()"
    if classes:
        there = f"its classes with {backward}() are {', '.join(classes)}"
    raise LookupError(f"has no class {wanted or 'Value'}: {there}; choose one by its name")


def main(settings: Mapping[str, Any]) -> None:
    """Run a student's file, and the probes on its class."""
    channel = os.fdopen(os.dup(1), "w")

    def tell(**what: object) -> None:
        channel.write(json.dumps(what) + "\n")
        channel.flush()

    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    sys.stdout = sys.stderr = Heard(tell)
    path = settings["path"]
    sys.argv = [path]
    sys.path.insert(0, os.path.dirname(path))
    for name in [name for name in sys.modules if name.partition(".")[0] in ENGINES]:
        del sys.modules[name]  # so that the guard is told of an import
    tell(started=True)
    limit_memory(settings["memory"])
    sys.addaudithook(Guard(tell, settings["scratch"]))
    try:
        found = runpy.run_path(path, run_name="engine")
        make = find_class(found, settings["wanted"], settings["names"]["backward"])
    except LookupError as error:
        tell(failed=str(error).strip("'\""))
    except BaseException as error:
        tell(failed=f"raises {told(error)}")
    else:
        engine = Engine(make, **settings["names"])
        tell(name=getattr(make, "__name__", "the engine"))
        for probe in PROBES:
            tell(seen=dataclasses.asdict(run(probe, engine)))
        tell(ended=True)
    os._exit(0)  # whatever else the file has started


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
