"""What tests need and not everybody has: a browser, and packages that are large."""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any

import pytest

#: Where something is missing, its tests are skipped, and say so. Where this variable is set, that
#: is a failure.
NEEDED = "MICROGRADLIKE_NEEDS_BROWSER"


def needed(name: str) -> Any:
    """A package, without which the tests of a file are skipped."""
    if NEEDED in os.environ:
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed")


def is_left_out(name: str) -> bool:
    """Whether what needs a package is not collected."""
    return NEEDED not in os.environ and importlib.util.find_spec(name) is None
