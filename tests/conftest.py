"""What all tests share: how they are collected, what numba compiles, and a browser."""

from __future__ import annotations

import functools
import gc
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from numba.core.dispatcher import Dispatcher
from playwright.sync_api import sync_playwright

from microgradlike.compiler import verify
from tests.browser import VIEWS, Tab
from tests.executors import only_numpy
from tests.packages import NEEDED

#: What each pass of the compiler makes is checked in all tests.
verify.CHECKING = True

# Modules are translated once, not in each worker and each process that a test starts. The folders
# where this is kept are there anyway, as numba uses them.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(hookwrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is collected stays to the end: nobody looks for garbage in it, now or later."""
    gc.disable()
    yield
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


#: The first one has no windows, not even unseen ones: it opens pages four times as fast.
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than cores: now and then one waits for its browser, or for a demo."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """One folder for all workers of this run."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def site(shared_folder: Path) -> Path:
    """The site, built by one worker; the others wait. Its build runs the notebooks of the tour."""
    folder, root = shared_folder / "site", Path(__file__).parent.parent
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs"]
            built = subprocess.run([*command, folder], capture_output=True, text=True, cwd=root)
            folder.with_suffix(".said").write_text(built.stderr if built.returncode else "")
    assert folder.with_suffix(".said").read_text() == ""
    return folder


@pytest.fixture(scope="session", autouse=True)
def compiled_by_one_worker(shared_folder: Path) -> Iterator[None]:
    """What several workers need of numba one of them compiles; the others wait, and read it."""

    def waiting(compile: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(compile)
        def one_by_one(function: Any, *given: Any) -> Any:
            if function._cache.cache_path is None:
                return compile(function, *given)
            kept = function._cache._cache_file._index_path
            with FileLock(shared_folder / f"{zlib.crc32(kept.encode())}.lock"):
                return compile(function, *given)

        return one_by_one

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dispatcher, "compile", waiting(Dispatcher.compile))
        yield


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        message = "no Chromium was found: the page is not tested in a browser"
        pytest.fail(message) if NEEDED in os.environ else pytest.skip(message)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module", params=["numba", "numpy"])
def executor(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compiled functions run as machine code, and with NumPy."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "numpy":
            only_numpy(patch)
        yield


@pytest.fixture(
    params=VIEWS, ids=lambda view: f"{view['viewport']['width']}-{view['color_scheme']}"
)
def view(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How wide the reader's window is, and whether it is light or dark."""
    chosen: dict[str, Any] = request.param
    return chosen


@pytest.fixture
def visit(browser: Any, view: dict[str, Any]) -> Iterator[Callable[..., Tab]]:
    """Opens pages as each of the readers sees them."""
    tabs: list[Tab] = []

    def open_tab(path: Path, fragment: str = "", **options: Any) -> Tab:
        tabs.append(Tab(browser, path, fragment, **(view | options)))
        return tabs[-1]

    yield open_tab
    for tab in tabs:
        tab.context.close()
