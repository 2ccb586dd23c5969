"""Which room imports which: only rooms before it in one order, so there is no circle.

What only type checkers follow does not count; what a function imports when it is called does. And
how long functions and classes are, and how often a type is left open.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: The order in which to read, some lines for each folder: a room imports only rooms before it. A
#: new room gets its place here.
ORDER = """
microgradlike: words inputs files ops
microgradlike: recording rules copying leaving engine shelf functions tables loops
microgradlike: sweep typed functional differences checks
microgradlike: nn losses optim
microgradlike: typeset derivation flow
microgradlike.exercises: numbers answers exercise nudged reading draft ladder kinds judgements
microgradlike.exercises: making paper files . __main__
microgradlike.compiler: . arrays kept_code loops operations tables numbers rounds derivatives
microgradlike.compiler: choosing tape rolled
microgradlike.compiler: joined choices together
microgradlike.compiler: graph forms levels stretches instructions verify program bodies grouping
microgradlike.compiler: slots plan passes dependence show __main__
microgradlike.executors: . executor formulas on_floats on_numpy
microgradlike.executors.machine: . emit addresses gemm kernels looping fused merged drive encode
microgradlike.executors.machine: executor
microgradlike.writers: . arrays jax torch torch_functions refused symbolic onnx onnx_file
microgradlike.executors: on_jax choose
microgradlike: reach
microgradlike.replay: . arguments as_written ties spot_check watch shipping exploring parameters
microgradlike.replay: branches paths traces sparse blocks derived compiled names
microgradlike.writers: c_formulas c_code c_reading c_arrays c_loops c_functions c_file c
microgradlike: compiled learning spread training sklearn warm
microgradlike: javascript
microgradlike.grading: probes suspects verdict cases claims notes judge apart inside . __main__
microgradlike.grading: plugin
microgradlike: check_table document __main__ .
viz: slots style formula labels figure video render view frame picture page notebook scene graph
viz: whole fold nudges shares story decisions live moments dot parts drawing blanks mistake
viz: animation stepper
viz: plots places network movie learner terms telling one_example chapters lesson
viz: practice playground
viz.compiled: . paths sheet scalars glyphs drawing
viz.compiled: passes told places staged stages
viz: .
"""

#: Rooms that ask for a picture, and so for a later room, once they are called to draw one.
DRAWING = ("microgradlike.exercises.paper",)


def rooms() -> dict[str, Path]:
    """The name of each module, such as ``microgradlike.compiler.tape``, and its file."""
    files = [path for folder in ("microgradlike", "viz") for path in (ROOT / folder).rglob("*.py")]
    return {name_of(path): path for path in files}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST) -> Iterator[str]:
    """The names that a file imports, modules or what is in them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from (name for part in node.orelse for name in imported(part))
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are written from the package on"
            yield from (f"{node.module}.{part.name}" for part in node.names)
        elif isinstance(node, ast.Import):
            yield from (part.name for part in node.names)
        else:
            yield from imported(node)


def order() -> list[str]:
    """The rooms in their order; "." is the ``__init__`` of a folder."""
    found = []
    for line in ORDER.strip().splitlines():
        folder, _, names = line.partition(": ")
        found += [folder if name == "." else f"{folder}.{name}" for name in names.split()]
    return found


@functools.cache
def arrows() -> dict[str, set[str]]:
    """For each room those that it imports."""
    files = rooms()

    def room(name: str) -> str:
        while name and name not in files:  # what is in a room is imported from that room
            name = name.rpartition(".")[0]
        return name

    trees = {name: ast.parse(path.read_text()) for name, path in files.items()}
    for name in DRAWING:
        trees[name] = without_pictures_in_functions(trees[name])
    return {name: {room(n) for n in imported(tree)} - {"", name} for name, tree in trees.items()}


def without_pictures_in_functions(tree: ast.Module) -> ast.Module:
    """The file without what its functions import of ``viz``; what it does itself stays."""
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        function.body = [
            part
            for part in function.body
            if not (isinstance(part, ast.ImportFrom) and f"{part.module}.".startswith("viz."))
        ]
    return tree


def upward(arrows: dict[str, set[str]], order: list[str]) -> list[str]:
    """The imports of rooms that are not before the room that imports them."""
    place = {name: k for k, name in enumerate(order)}
    return [
        f"{name} imports {other}"
        for name, others in arrows.items()
        for other in sorted(others)
        if place[other] >= place[name]
    ]


def reached(start: str) -> set[str]:
    """All rooms that a room needs, with those that these need."""
    found: set[str] = set()
    path, known = [start], arrows()
    while path:
        for other in known[path.pop()] - found:
            found.add(other)
            path.append(other)
    return found


def test_each_room_has_its_place_in_the_order() -> None:
    assert sorted(order()) == sorted(rooms())


def test_a_room_imports_only_rooms_before_it() -> None:
    assert upward(arrows(), order()) == []


def test_an_import_of_a_later_room_is_noticed() -> None:
    tree = ast.parse(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from microgradlike.engine import Value\n"
        "def f():\n    from microgradlike.flow import Path\n"
    )
    found = [name for name in imported(tree) if name.startswith("microgradlike")]
    assert found == ["microgradlike.flow.Path"]
    assert upward({"a": {"b"}, "b": {"a"}}, ["a", "b"]) == ["a imports b"]


@pytest.mark.parametrize(
    ("room", "never"),
    [
        ("functional", ("nn", "losses", "optim", "typeset", "derivation", "flow", "compiler")),
        ("functions", ("compiler", "nn", "typeset")),
        ("nn", ("typeset", "compiler")),
        ("compiler.tape", ("typeset", "nn", "flow", "checks", "executors", "replay")),
        ("executors.choose", ("typeset", "nn", "flow", "checks", "replay")),
        ("replay.compiled", ("typeset", "flow", "checks")),
    ],
)
def test_what_a_room_does_not_need_it_does_not_load(room: str, never: tuple[str, ...]) -> None:
    found = reached(f"microgradlike.{room}")
    for name in never:
        assert not {r for r in found if f"{r}.".startswith(f"microgradlike.{name}.")}


def test_the_package_needs_no_pictures() -> None:
    for room in rooms():
        if room.startswith("microgradlike"):
            assert not [name for name in reached(room) if name.startswith("viz")], room


def test_what_may_draw_imports_no_pictures_before_it_does() -> None:
    tree = ast.parse("from viz import style\ndef f():\n    from viz import dot\n    import numpy\n")
    found = list(imported(without_pictures_in_functions(tree)))
    assert found == ["viz.style", "numpy"]


def test_the_package_loads_no_pictures() -> None:
    code = "import sys, microgradlike.exercises; print('viz' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout == "False\n", ran.stderr


# ---- How long, and how often -------------------------------------------------------------------

#: The lines of the longest function and the longest class, with docstrings.
FUNCTION, CLASS = 80, 350

#: How often ``Any`` is written in microgradlike, at most. What other libraries give has no type.
ANY = 285


def too_long(name: str, tree: ast.AST) -> Iterator[str]:
    """The functions and classes of a file that are longer than they may be, in words."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from too_long(name, node)
            continue
        path = f"{name}.{node.name}"
        lines = (node.end_lineno or 0) - node.lineno + 1
        most = CLASS if isinstance(node, ast.ClassDef) else FUNCTION
        if lines > most:
            yield f"{path} has {lines} lines, more than {most}: split it by meaning"
        yield from too_long(path, node)


def test_functions_and_classes_are_short() -> None:
    found: list[str] = []
    for path in [*rooms().values(), *(ROOT / "demos").rglob("*.py")]:
        found += too_long(name_of(path), ast.parse(path.read_text()))
    assert found == []


def test_what_is_too_long_is_noticed() -> None:
    long = "    x = 1\n" * FUNCTION
    source = f"class A:\n  def f():\n    x = 1\n  def g():\n{long}if A:\n  def h():\n{long}"
    found = list(too_long("room", ast.parse(source)))
    assert [sentence.partition(" ")[0] for sentence in found] == ["room.A.g", "room.h"]


def test_types_are_seldom_left_open() -> None:
    ours = [path for name, path in rooms().items() if name.startswith("microgradlike")]
    assert sum(len(re.findall(r"\bAny\b", path.read_text())) for path in ours) <= ANY
