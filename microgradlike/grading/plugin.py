"""Grades engines as tests of pytest: a test for each topic of each file.

    pytest -p microgradlike.grading.plugin --engine student.py

A course writes ``addopts = -p microgradlike.grading.plugin`` into its ``pytest.ini``, or
``pytest_plugins = ["microgradlike.grading.plugin"]`` into its ``conftest.py``. It is no plug-in
that pytest finds by itself: who only has the package installed does not wait for it.
"""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from microgradlike.grading.apart import check_file
from microgradlike.grading.probes import TOPICS
from microgradlike.grading.verdict import Verdict


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options: which files, the name of the class, and the time that each may take."""
    group = parser.getgroup("microgradlike", "grading engines")
    group.addoption(
        "--engine", action="append", default=[], metavar="FILE", help="judge the engine in a file"
    )
    group.addoption(
        "--engine-class", metavar="NAME", help="the name of its class; by default Value"
    )
    group.addoption(
        "--engine-timeout", type=float, default=10.0, metavar="SECONDS", help="for a file; 10"
    )


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add a test for each topic. The file itself is not collected: that would import it here."""
    for file in config.getoption("--engine"):
        path = (config.invocation_params.dir / file).resolve()
        if not path.is_file():
            raise pytest.UsageError(f"--engine: there is no file {file}")
        engine = Engine.from_parent(session, name=path.name, path=path, nodeid=file)
        items += [Topic.from_parent(engine, name=topic) for topic in TOPICS]


class Engine(pytest.Collector):
    """A student's file, which is judged when the first of its topics is asked for."""

    path: Path

    def collect(self) -> list[pytest.Item]:
        """The topics are added to the session's tests at once."""
        return []

    @functools.cached_property
    def verdict(self) -> Verdict:
        """The verdict on it."""
        return check_file(
            self.path,
            self.config.getoption("--engine-class"),
            timeout=self.config.getoption("--engine-timeout"),
        )


class Topic(pytest.Item):
    """One topic of a verdict, as a test."""

    def runtest(self) -> None:
        """Fail with the sentence that says why the topic is not right."""
        engine = self.parent
        assert isinstance(engine, Engine)
        if sentence := engine.verdict.about(self.name):
            pytest.fail(sentence, pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        """What a report calls it."""
        return self.path, None, f"{self.path.name}: {TOPICS[self.name]}"
