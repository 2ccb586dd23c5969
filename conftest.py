"""Which files are no tests where a large package is missing."""

from __future__ import annotations

from tests.packages import is_left_out

collect_ignore = []
if is_left_out("torch"):
    collect_ignore += ["docs/pytorch.md"]
    collect_ignore += [f"microgradlike/writers/{name}.py" for name in ("torch", "torch_functions")]
