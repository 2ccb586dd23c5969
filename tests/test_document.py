"""What is written from the operator table is in step with it; the package is what it says."""

from __future__ import annotations

import doctest
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import microgradlike
from microgradlike import Value, document, engine

ROOT = Path(__file__).parent.parent


def test_the_operators_page_and_the_signatures_are_in_step_with_the_table() -> None:
    advice = "run python -m microgradlike.document"
    assert (ROOT / "docs" / "operators.md").read_text() == document.table(), advice
    stub = ROOT / "microgradlike" / "_signatures.pyi"
    assert stub.read_text() == document.signatures(), advice


def test_the_signatures_have_every_method() -> None:
    written = set(re.findall(r"^    def (\w+)", document.signatures(), re.MULTILINE))
    own = set(re.findall(r"^    def (\w+)", Path(engine.__file__).read_text(), re.MULTILINE))
    methods = {name for name, method in vars(Value).items() if inspect.isfunction(method)}
    assert written <= methods <= written | own


def test_everything_public_exists() -> None:
    assert [name for name in microgradlike.__all__ if not hasattr(microgradlike, name)] == []


def test_importing_the_engine_imports_no_pictures() -> None:
    modules = [m.name for m in pkgutil.iter_modules(microgradlike.__path__, "microgradlike.")]
    program = f"import sys, {', '.join(modules)}; print([m for m in sys.modules if m[:3] == 'viz'])"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("page", ["compiling.md"])
def test_the_examples_of_a_page_run(page: str) -> None:
    found = doctest.testfile(
        str(ROOT / "docs" / page), module_relative=False, optionflags=doctest.ELLIPSIS
    )
    assert found.attempted and not found.failed
