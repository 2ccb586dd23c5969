"""Copied and pickled graphs."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from microgradlike import Value
from microgradlike.engine import topological_order


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))],
    ids=["deepcopy", "pickle"],
)
def test_a_copy_of_a_graph_is_a_graph_of_its_own(duplicate: Callable[[Any], Any]) -> None:
    x, y = Value(2.0, label="x"), Value(3.0)
    out = (x * y).tanh() + 2**x + x.maximum(0)
    out.label = "out"
    out.backward()
    twin, twin_x = duplicate((out, x))
    assert repr(twin) == repr(out)
    assert twin_x.label == "x"
    assert [v.op for v in topological_order(twin)] == [v.op for v in topological_order(out)]
    before = x.grad
    twin.zero_grad()
    twin.backward()
    assert twin_x.grad == before
    assert x.grad == before
    twin_x.data = 100.0
    assert x.data == 2.0


def test_a_pickled_graph_is_differentiated_by_another_process(tmp_path: Path) -> None:
    x = Value(2.0)
    out = x.tanh() * x.maximum(1)
    (tmp_path / "graph").write_bytes(pickle.dumps((out, x)))
    program = "import pickle; out, x = pickle.load(open(FILE, 'rb')); out.backward(); print(x)"
    program = program.replace("FILE", repr(str(tmp_path / "graph")))
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    out.backward()
    assert shown.stdout.strip() == repr(x)
