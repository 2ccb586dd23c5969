"""What a release says of itself: one version, and the Pythons that it was tested on."""

from __future__ import annotations

import configparser
import re
from importlib.metadata import metadata, version
from pathlib import Path

import microgradlike

ROOT = Path(__file__).resolve().parent.parent


def settings() -> configparser.ConfigParser:
    found = configparser.ConfigParser()
    found.read(ROOT / "setup.cfg")
    return found


def test_there_is_one_version() -> None:
    assert settings()["metadata"]["version"] == "attr: microgradlike.__version__"
    advice = "install the package again: pip install -e ."
    assert version("microgradlike") == microgradlike.__version__, advice
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    numbered = re.findall(r"^## (\d\S*) - \d{4}-\d\d-\d\d$", changes, flags=re.M)
    assert numbered[0] == microgradlike.__version__
    assert "__version__" not in microgradlike.__all__


def test_pythons_that_are_promised_are_tested() -> None:
    own = "Programming Language :: Python :: "
    lines = settings()["metadata"]["classifiers"].split("\n")
    promised = [line.removeprefix(own) for line in lines if line.startswith(f"{own}3.")]
    tested = re.findall(r'"(3\.\d+)"', (ROOT / "noxfile.py").read_text(encoding="utf-8"))
    assert promised[0] == settings()["options"]["python_requires"].removeprefix(">=")
    assert set(promised) <= set(tested)
    assert metadata("microgradlike")["Requires-Python"] == f">={promised[0]}"
