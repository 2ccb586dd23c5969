"""The test command, on every Python that is supported and installed: ``nox``.

``nox --session tests-3.12 -- tests/test_engine.py`` runs some of the tests on one of them.
"""

from __future__ import annotations

import nox

nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.10", "3.11", "3.12", "3.13", "3.14"])
def tests(session: nox.Session) -> None:
    """Each version has an environment of its own, which is made once."""
    session.install("--editable", ".[dev]")
    session.run("python", "-m", "pytest", *session.posargs)
