"""What is written from the operator table is in step with it; the package is what it says."""

from __future__ import annotations

import configparser
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import microgradlike
from microgradlike import Value, document, engine, functions

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


def test_the_page_of_the_api_has_every_composed_function() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    [members] = re.findall(r"automodule:: microgradlike.functions\n +:members: (.*)", page)
    assert sorted(members.split(", ")) == sorted(functions.COMPOSED)


def test_everything_public_exists() -> None:
    assert [name for name in microgradlike.__all__ if not hasattr(microgradlike, name)] == []


def test_importing_the_engine_imports_no_pictures() -> None:
    modules = [m.name for m in pkgutil.iter_modules(microgradlike.__path__, "microgradlike.")]
    program = f"import sys, {', '.join(modules)}; print([m for m in sys.modules if m[:3] == 'viz'])"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == "[]"


# ---- README, the pages of docs/, and the site that is made of them ------------------------------

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BESIDE = (ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md")


def test_readme_fits_on_a_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 145


def test_the_examples_of_all_pages_are_run() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert {"README.md", "docs"} <= set(settings["tool:pytest"]["testpaths"].split())
    assert "--doctest-glob=*.md" in settings["tool:pytest"]["addopts"]


@pytest.mark.parametrize("page", [*PAGES, *BESIDE], ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", re.sub(r"`[^`]*`", "", text))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).is_file()] == []


def test_the_rooms_page_has_every_file_and_no_other() -> None:
    text = (ROOT / "docs" / "rooms.md").read_text(encoding="utf-8")
    named = {Path(name).name for name in re.findall(r"`([\w/]+\.py)`", text)}
    files = {
        path.name
        for folder in ("microgradlike", "viz")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert files - named == set()
    assert {name for name in named - files if not (ROOT / "tests" / name).exists()} == set()


def test_the_site_is_built_without_a_warning_and_asks_nothing_of_the_network(
    site: Path,
) -> None:
    asked = re.compile(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=.(?:https?:)?//")
    pages = [*(site / f"{page.stem}.html" for page in PAGES[1:]), *(site / "tour").glob("*.html")]
    for page in pages:
        assert not asked.search(page.read_text(encoding="utf-8")), page.name
    first = (site / "index.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'href="(_static/\w+\.html)', first))
    assert len(shown) == 2 and all((site / name).exists() for name in shown)
