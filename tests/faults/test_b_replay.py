"""How a compiled function is kept and run: what it loads, what it keeps, and what runs again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import pytest

import viz
from microgradlike import kernels, machine_code, rewriting

# ---- What an import loads ----------------------------------------------------------------------

#: What only who compiles, plots, trains with a bar, or draws, waits for.
HEAVY = (
    *("numba", "llvmlite", "scipy", "threadpoolctl", "matplotlib", "pandas", "IPython"),
    *("sklearn", "skimage", "tqdm", "PIL", "graphviz", "graphviz_pure"),
)


def loaded_by(code: str) -> set[str]:
    """The packages that a fresh process has loaded after this code."""
    tell = "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = [sys.executable, "-c", code + tell]
    return set(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import microgradlike",
        "import microgradlike, viz",
        "from microgradlike import *",
        "import microgradlike.nn, microgradlike.compiled, microgradlike.training",
        "from microgradlike import compile\n@compile\ndef f(x): return x * 2",
        "from microgradlike import Value, grad\nValue(2.0).tanh().backward(); grad(grad(abs))(2.0)",
    ],
)
def test_import_time_loads_nothing_heavy(code: str) -> None:
    assert loaded_by(code).isdisjoint(HEAVY)


def test_import_time_waits_until_something_is_compiled() -> None:
    code = "from microgradlike import compile\ncompile(lambda x: x * 2)([1.0])"
    assert {"numba", "scipy"} <= loaded_by(code)


def test_import_time_every_name_of_viz_is_there() -> None:
    assert sorted(name for names in viz._HOMES.values() for name in names) == sorted(viz.__all__)
    assert set(viz.__all__) <= set(dir(viz))
    for name in viz.__all__:
        assert getattr(viz, name).__module__.startswith("viz."), name
    with pytest.raises(AttributeError, match="module 'viz' has no attribute 'drew'"):
        viz.drew  # noqa: B018


# ---- Kept machine code -------------------------------------------------------------------------


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 99)


def one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    path.write_bytes(content)


def no_longer_a_file(path: Path) -> None:
    path.unlink()
    path.mkdir()


def gone(path: Path) -> None:
    path.unlink()


def no_numbers(address: Any) -> None:
    pass


def doubled(x: float) -> float:
    return 2.0 * x


@pytest.mark.parametrize("suffixes", [(".nbi",), (".nbc",), (".nbi", ".nbc")], ids="-".join)
@pytest.mark.parametrize("damage", [empty, cut, garbage, one_byte, no_longer_a_file, gone])
def test_B13_damaged_machine_code_is_compiled_anew(
    damage: Callable[[Path], None],
    suffixes: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    def hits() -> int:
        """How many of a loop and a kernel were found in the cache."""
        function: Any = rewriting.loop()(doubled)
        assert function(4.0) == 8.0
        assert machine_code.address_of(no_numbers, [numba.types.int64])
        kept = machine_code._KEPT.pop()
        return int(sum(function.stats.cache_hits.values()) + kept.cache_hits)

    assert (hits(), hits()) == (0, 2)
    files = [path for path in tmp_path.rglob("*.nb?") if path.suffix in suffixes]
    assert len(files) == 2 * len(suffixes)
    for path in files:
        damage(path)
    assert hits() == 0
    assert hits() == (0 if damage is no_longer_a_file else 2)


@pytest.mark.parametrize("damage", [empty, cut, garbage, no_longer_a_file, gone])
def test_B13_a_damaged_kernel_is_written_anew(
    damage: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "AppDirs", lambda *_: SimpleNamespace(user_cache_dir=tmp_path))
    monkeypatch.setattr(kernels, "kernel", lambda function, number, cache=True: cache)
    source = "def kernel():\n    return place_of\n"
    make = kernels._from_source.__wrapped__
    assert make(source, "float64")
    (path,) = tmp_path.glob("kernel_*.py")
    whole = path.read_bytes()
    damage(path)
    kept = make(source, "float64")
    assert kept == (damage is not no_longer_a_file)
    assert not kept or path.read_bytes() == whole
