"""In the place of NumPy, which has no build that a registry offers for Pyodide.

Every name is a class, which nothing is an instance of, and calling it gives an object that takes
part in anything. So packages can be imported, and what computes without NumPy is computed.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock


def answer(*_: object, **__: object) -> MagicMock:
    return MagicMock()


class Names(ModuleType):
    """A module that has every name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {"__new__": answer, "__class_getitem__": answer, "__self__": None})
        setattr(self, name, made)
        return made


def install() -> None:
    """Be NumPy from now on."""
    numpy = sys.modules["numpy"] = Names("numpy")
    for part in ("lib", "linalg", "random", "typing"):
        within = sys.modules[f"numpy.{part}"] = Names(f"numpy.{part}")
        setattr(numpy, part, within)
