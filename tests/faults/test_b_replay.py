"""How a compiled function is kept and run: what it loads, what it keeps, and what runs again."""

from __future__ import annotations

import subprocess
import sys

import pytest

import viz

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
        "import microgradlike.nn, microgradlike.training, microgradlike.compiled, microgradlike.flow",
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
