"""Programs beside the same derivative in JAX and PyTorch, as a table for docs/speed.md.

Each program at each size runs in a process of its own, which warms up first: JAX, PyTorch and this
package are imported, and each has differentiated something small. The kernels that this package
needs were compiled on this machine before, if the command has run once. So a first call is what a
program costs until its first derivative is there: traced, compiled, and computed once.

All compute in float64 on one thread; what counts is the ratio of the medians. With ``--busy`` the
seconds are those of the processor, not of the clock: for a machine that others use as well.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from microgradlike import Value, compile
from tests.benchmarks.timing import compare


class Later:
    """A module that is imported when something of it is asked for: tests of programs need none.

    It counts as true where it is installed.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __bool__(self) -> bool:
        return importlib.util.find_spec(self._name) is not None

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


jax, jnp, torch = map(Later, ("jax", "jax.numpy", "torch"))

ROOT = Path(__file__).parent.parent.parent

#: Who takes part, in the order of the table.
PEERS = "ours", "jax", "torch"
RIVALS = {"jax": jax, "torch": torch}
#: Seconds for one program at one size, all peers together.
LIMIT = 300.0
#: Seconds for two peers in turn; each is called three times at least.
TOGETHER = 4.0
#: Seconds for which each is called before that.
SETTLED = 1.5


def flat(result: Any) -> Any:
    """All numbers of a result, in the order of its parts, as one array."""
    if isinstance(result, dict):
        result = [result[key] for key in sorted(result)]
    if isinstance(result, (list, tuple)):
        return numpy.concatenate([flat(part) for part in result] or [numpy.empty(0)])
    return numpy.asarray(result, float).ravel()


@dataclass(frozen=True)
class Ready:
    """A call that can be repeated, and the numbers of its result in the order of all peers."""

    call: Callable[[], Any]
    numbers: Callable[[Any], Any] = flat


Peer = Callable[[], Ready]


@dataclass(frozen=True)
class Work:
    """One program at one size; what each peer makes ready is timed until its first result.

    Attributes:
        about: its size, for the table.
        f: a function of one row in plain scalars.
        columns: the rows.
        parameters: by which the gradient of the mean is wanted; of none, each row's by its inputs.
        derivative: what is computed of ``f`` instead of these.
        jax: the same in JAX. ``torch``: and in PyTorch.
        reference: by another way, and none of these: all outputs of the rows, and what is computed.
    """

    about: str
    f: Callable[..., Any]
    columns: tuple[Any, ...]
    parameters: Sequence[Value] = ()
    derivative: Peer | None = None
    jax: Peer | None = None
    torch: Peer | None = None
    reference: Callable[[], tuple[Any, Any]] | None = None

    def ours(self) -> Ready:
        """What is computed of the function, compiled."""
        if self.derivative:
            return self.derivative()
        if self.parameters:
            return slopes(self.f, self.parameters, *self.columns)
        return jacobian(self.f, *self.columns)


#: A program's name, and what makes its work at each size.
Works = dict[str, Sequence[Callable[[], Work]]]


# ---- What peers make ready ---------------------------------------------------------------------


def values(numbers: Any) -> Any:
    """A parameter of each number, in lists as an array has axes."""
    return [values(part) for part in numbers] if numpy.ndim(numbers) else Value(float(numbers))


def slopes(f: Callable[..., object], parameters: Sequence[Value], *columns: Any) -> Ready:
    """The mean of a function over rows, and its gradient by these parameters."""
    c = compile(f).trace(*columns)
    theta = c.theta()
    known = {id(parameter): place for place, parameter in enumerate(c.parameters)}
    places = [known.get(id(parameter), -1) for parameter in parameters]

    def numbers(result: Any) -> Any:
        value, gradient = result
        return numpy.append(value, numpy.append(gradient, 0.0)[places])

    return Ready(lambda: c.value_and_grad(theta, *columns), numbers)


def jacobian(f: Callable[..., object], *columns: Any) -> Ready:
    """The derivatives of a function of one row by its inputs, in all rows."""
    c = compile(f)
    return Ready(lambda: c.jacobian(*columns))


def with_jax(function: Callable[..., Any], *arguments: Any) -> Ready:
    """A function that JAX compiles, until its result is there."""
    given, jitted = jax.tree.map(jnp.asarray, arguments), jax.jit(function)
    return Ready(lambda: jax.block_until_ready(jitted(*given)))


def jax_rows(function: Callable[..., Any], *columns: Any, outputs: int = 0) -> Ready:
    """The derivatives of a function of one row by all its inputs, in all rows, as one array.

    Args:
        function: returns a number, or an array of so many ``outputs``.
        columns: the rows.
        outputs: 0 for a number.
    """
    places = tuple(range(len(columns)))
    differentiate = jax.jacrev if outputs else jax.grad
    shape = (outputs, -1) if outputs else (-1,)

    def by_inputs(*row: Any) -> Any:
        parts = differentiate(function, argnums=places)(*row)
        return jnp.concatenate([part.reshape(shape) for part in parts], axis=-1)

    return with_jax(jax.vmap(by_inputs), *columns)


def with_torch(
    cost: Callable[..., Any], parameters: Sequence[Any], *data: Any, value: bool = True
) -> Ready:
    """The gradient of a cost of tensors by the parameters, after its value if that is asked."""
    leaves = [torch.tensor(numpy.asarray(p, float), requires_grad=True) for p in parameters]
    given = [torch.as_tensor(numpy.asarray(part)) for part in data]

    def call() -> Any:
        total = cost(leaves, *given)
        found = torch.autograd.grad(total, leaves)
        return [total.detach(), *found] if value else found

    return Ready(call)


def torch_rows(function: Callable[..., Any], *columns: Any) -> Ready:
    """The derivatives of a function of one row, a tensor, by all its inputs, in all rows."""
    given = [torch.as_tensor(numpy.asarray(column, float)) for column in columns]
    places = tuple(range(len(given)))
    rows = torch.func.vmap(torch.func.jacrev(function, argnums=places))

    def numbers(found: Any) -> Any:
        outputs = found[0].dim() - given[0].dim()
        shape = found[0].shape[: 1 + outputs]
        return flat(torch.cat([part.reshape(*shape, -1) for part in found], dim=-1))

    return Ready(lambda: rows(*given), numbers)


# ---- One work in its process -------------------------------------------------------------------


def in_float64_on_one_thread() -> None:
    """What JAX and PyTorch have to be told once in a process."""
    if jax:
        jax.config.update("jax_enable_x64", True)
    if torch:
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float64)


def warm_up() -> None:
    """What is loaded and compiled once in a process is loaded."""
    in_float64_on_one_thread()
    compile(lambda x: x.sin() * x).jacobian([1.0, 2.0])
    w = Value(1.0)
    c = compile(lambda x: (w * x).tanh()).trace([1.0, 2.0])
    c.value_and_grad(c.theta(), [1.0, 2.0])
    if jax:
        with_jax(jax.grad(lambda x: jnp.sin(x) * x), 1.0).call()
    if torch:
        with_torch(lambda p: torch.sin(p[0]).sum(), [[1.0]]).call()


Clock = Callable[[], float]


def measure(work: Work, clock: Clock) -> Iterator[dict[str, Any]]:
    """What is known of a work, as soon as it is known: who takes too long takes no one along.

    First JAX alone and ours alone, then both in turn; then PyTorch alone, and in turn with ours.
    """
    yield {"about": work.about}
    started: dict[str, Started] = {}
    for peer in ("jax", "ours", "torch"):
        make: Peer | None = getattr(work, peer)
        if make is None or not RIVALS.get(peer, True):
            continue
        try:
            started[peer] = first = start(make, clock)
        except Exception as refusal:
            told = f"{type(refusal).__name__}: {refusal}".replace(f"{ROOT}{os.sep}", "")
            yield {peer: {"refused": told}}
            continue
        yield {peer: {"first": first.seconds, "median": first.again}}
        if "ours" in started and len(started) > 1:
            rival = "torch" if peer == "torch" else "jax"
            yield {rival: in_turn(started["ours"], started[rival], clock)}
    if set(started) == {"ours"}:
        yield {"ours": in_turn(started["ours"], started["ours"], clock)}


@dataclass(frozen=True)
class Started:
    """A peer after its first call: its seconds until then, those of the next, and its numbers."""

    seconds: float
    again: float
    ready: Ready
    numbers: Any


def start(make: Peer, clock: Clock) -> Started:
    begun = clock()
    ready = make()
    result = ready.call()
    seconds = clock() - begun
    numbers = ready.numbers(result)
    begun = clock()
    ready.call()
    return Started(seconds, clock() - begun, ready, numbers)


def settle(call: Callable[[], Any]) -> None:
    """Call it until it is as quick as it will be: some compile again what is asked for often."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < SETTLED:
        call()


def in_turn(ours: Started, rival: Started, clock: Clock) -> dict[str, float]:
    """The medians of both, what one is of the other, and how far apart their numbers are."""
    both = ours, rival
    for peer in both:
        settle(peer.ready.call)
    calls = max(1, int(0.02 / max(1e-6, *(peer.again for peer in both))))
    once = max(1e-6, sum(peer.again for peer in both) * (calls + 1))
    runs = max(3, min(15, int(TOGETHER / once)))
    medians = compare([peer.ready.call for peer in both], runs, calls, clock)
    return {
        "ours": medians[0],
        "median": medians[1],
        "apart": distance(ours.numbers, rival.numbers),
    }


def distance(ours: Any, theirs: Any) -> float:
    """The largest difference of two results, measured by the largest number in them."""
    if ours.shape != theirs.shape:
        return float("inf")
    scale = float(numpy.abs(theirs).max(initial=0.0)) or 1.0
    return float(numpy.abs(ours - theirs).max(initial=0.0)) / scale


def in_this_process(module: str, name: str, size: int, busy: bool) -> None:
    """Print what is known of one work, a line of JSON each time."""
    work = importlib.import_module(module).WORKS[name][size]()
    warm_up()
    for fact in measure(work, time.process_time if busy else time.perf_counter):
        print(json.dumps(fact), flush=True)


def in_its_own_process(
    module: str, name: str, size: int, limit: float, busy: bool
) -> dict[str, Any]:
    """What was known of a work in the end, or when its time was over."""
    quiet = "-W", "ignore::FutureWarning"  # PyTorch warns of its own functions
    command = [sys.executable, *quiet, "-m", "tests.benchmarks.side_by_side", module, name]
    command += [str(size), *["busy"] * busy]
    known: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        timer = threading.Timer(limit, process.kill)
        timer.start()
        for line in process.stdout:
            for key, fact in json.loads(line).items():
                if isinstance(fact, dict):
                    known.setdefault(key, {}).update(fact)
                else:
                    known[key] = fact
        code = process.wait()
        timer.cancel()
    if code:
        told = f"not there after {limit:.0f} s" if code < 0 else f"ended with code {code}"
        late = next((peer for peer in ("jax", "ours", "torch") if peer not in known), "torch")
        known.setdefault(late, {"refused": told})
        known.setdefault("ours", {"refused": told})
    return known


# ---- The table ---------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """Three digits, in the unit that fits."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-6:.2g} us"


HEAD = (
    *("program", "ours", "first call", "JAX / ours", "its first call"),
    *("PyTorch / ours", "its first call", "apart"),
)


def cells(known: dict[str, Any]) -> list[str]:
    """Ours and its first call; then of each peer its ratio, and its first call."""
    ours = known.get("ours", {})
    refused = "refused" in ours
    times = [known[peer]["ours"] for peer in PEERS[1:] if "ours" in known.get(peer, {})]
    row = ["refused" if refused else duration((times or [ours["median"]])[0])]
    row.append("" if refused else duration(ours["first"]))
    for peer in PEERS[1:]:
        theirs = known.get(peer, {})
        if "median" not in theirs:
            row += ["refused" if theirs else "", ""]
            continue
        ratio = f"{theirs['median'] / theirs.get('ours', ours.get('median', 1)):.2g}"
        row.append(duration(theirs["median"]) if refused else ratio)
        row.append(duration(theirs["first"]))
    apart = [known[peer]["apart"] for peer in PEERS[1:] if "apart" in known.get(peer, {})]
    row.append(f"{max(apart):.0e}" if apart else "")
    return row


def machine() -> str:
    """The processor, and the versions that were measured."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    found = [f"CPython {platform.python_version()}"]
    for name in ("numpy", "numba", "jax", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return f"{model}, {os.cpu_count()} cores of which one is used; {', '.join(found)}"


def main(module: str, what: str, works: Works) -> None:
    """Measure the works of a module, some or all, and print them as a table in Markdown."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=what)
    parser.add_argument("names", nargs="*", metavar="name", help="programs; by default all")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for each program")
    parser.add_argument("--sizes", type=int, nargs="+", help="some sizes, from 0 on")
    parser.add_argument("--busy", action="store_true", help="seconds of the processor")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in works]
    if unknown:
        parser.error(f"there is no program {unknown[0]!r}: choose of {', '.join(works)}")
    print(machine(), end="\n\n")
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
    notes = []
    for name in chosen.names or works:
        for size in range(len(works[name])):
            if chosen.sizes and size not in chosen.sizes:
                continue
            known = in_its_own_process(module, name, size, chosen.limit, chosen.busy)
            title = f"{name}: {known.get('about', f'size {size}')}"
            print(f"| {' | '.join([title, *cells(known)])} |", flush=True)
            notes += [
                f"- {title}: {peer}: {known[peer]['refused']}"
                for peer in PEERS
                if "refused" in known.get(peer, {})
            ]
    if notes:
        print("\n" + "\n".join(notes))


if __name__ == "__main__":
    in_this_process(sys.argv[1], sys.argv[2], int(sys.argv[3]), len(sys.argv) > 4)
