"""From DOT text to a finished picture: the layout program, and the SVG for the reader.

The layout program comes with the installed package graphviz-pure. The system's ``dot`` serves on
request, for PDF, and where graphviz-pure has no build. In a browser, where no program can be
started, it is viz-js: the same Graphviz, which the page has loaded.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import io
import math
import re
import shutil
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from viz.style import FONT_FAMILY, PAGE, Theme, stylesheet

Engine = Literal["graphviz-pure", "dot"]

FORMATS = ("svg", "png", "jpg", "pdf", "json", "dot")

#: The pixels of a PNG to an inch, unless the caller wants others: twice those of a page.
DPI = 192

#: No PNG has more pixels than this: a larger one is drawn with fewer to an inch.
MOST_PIXELS = 16_000_000

#: What the names of SVG elements begin with.
SVG = "{http://www.w3.org/2000/svg}"
ElementTree.register_namespace("", SVG[1:-1])


#: What the font of the layout program can draw.
DRAWN = re.compile(r"[\x00-\u058f\u1d00-\u2bff\ufb00-\ufb06\ufffd]")


class RenderError(RuntimeError):
    """A picture could not be made; the message says what to do about it."""


# ---- The layout program ------------------------------------------------------------------------


def layout(
    source: str,
    format: str = "svg",
    engine: Engine | None = None,
    dpi: float | None = DPI,
    background: str | None = "white",
) -> bytes:
    """The DOT text, laid out and drawn by the layout program.

    Args:
        source: DOT text.
        format: "svg", "png", "jpg", "pdf", "json", or "dot" for the text itself.
        engine: which program lays out; by default graphviz-pure, and ``dot`` where that cannot. In
            a browser there is viz-js alone.
        dpi: the pixels of a PNG or JPG to an inch; None leaves it to the text. There are fewer
            where the picture had more than 16 million, and a warning says so.
        background: the colour behind a PNG or JPG; None leaves it to the text.

    Raises:
        ValueError: the format is none of those above.
        RenderError: no program is installed that can, or it failed. In a browser: the page has not
            loaded viz-js, or the format is none that it draws.

    >>> layout("digraph { a -> b }")[:5]
    b'<?xml'
    """
    if format not in FORMATS:
        raise ValueError(f"no picture format {format!r}; choose one of {', '.join(FORMATS)}")
    if format == "dot":
        return source.encode()
    if in_browser():
        return _by_viz_js(source, format, engine)
    if format == "jpg":
        return _jpg(layout(source, "png", engine, dpi, background or "white"))
    command = [_program(format, engine), f"-T{format}"]
    if format == "png":
        _warn_of_boxes(source)
        command += [f"-Gdpi={_fitting(source, engine, dpi)}"]
        command += [f"-Gbgcolor={background}"] if background else []
    return _run(command, source)


def _fitting(source: str, engine: Engine | None, dpi: float | None) -> str:
    """The pixels to an inch with which it is not too large: it is measured as SVG first."""
    if dpi is None:
        own = re.findall(r"""\bdpi="?([\d.]+)""", source)
        dpi = float(own[-1]) if own else DPI
    svg = ElementTree.fromstring(layout(source, "svg", engine))
    inches = [float(svg.attrib[side].removesuffix("pt")) / 72 for side in ("width", "height")]
    # An SVG of a text with a resolution of its own is measured in its points, all the same.
    most = math.sqrt(MOST_PIXELS / math.prod(inches))
    if dpi <= most:
        return f"{dpi:g}"
    warnings.warn(
        f"the picture would have {math.prod(inches) * dpi**2 / 1e6:,.0f} million pixels: it is "
        f"drawn with {most:.3g} instead of {dpi:g} to an inch, which makes {MOST_PIXELS / 1e6:g} "
        "million; an .svg can be enlarged, and fold=True makes the picture smaller",
        stacklevel=2,
    )
    return f"{math.floor(most * 100) / 100:g}"


def _warn_of_boxes(source: str) -> None:
    """A PNG has the letters of one font: say so where a label has others."""
    missing = dict.fromkeys(c for c in source if not DRAWN.match(c))
    if missing:
        warnings.warn(
            f"a PNG shows boxes in the place of {''.join(list(missing)[:8])!r}: its font has "
            "Latin, Greek and Cyrillic letters; an .svg uses the fonts of its reader",
            stacklevel=2,
        )


def _jpg(png: bytes) -> bytes:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError('a JPG needs Pillow: pip install "microgradlike[demos]"') from None
    content = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(content, "JPEG", quality=92)
    return content.getvalue()


def pdf(svg: Callable[[], str]) -> bytes | None:
    """An SVG as PDF by CairoSVG, where that is installed; otherwise None, and none is made."""
    try:
        import cairosvg  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except (ImportError, OSError):  # it is there, but not the library that it needs
        return None
    return bytes(cairosvg.svg2pdf(bytestring=svg().encode()))


def _program(format: str, engine: Engine | None) -> str:
    bundled = None if engine == "dot" or format == "pdf" else _bundled()
    system = None if engine == "graphviz-pure" and format != "pdf" else shutil.which("dot")
    program = bundled or system
    if program is None:
        wanted = (
            "Graphviz (https://graphviz.org/download), whose dot makes PDF, or CairoSVG "
            '(pip install "microgradlike[pdf]")'
        )
        if format != "pdf":
            wanted = "graphviz-pure (pip install graphviz-pure) or Graphviz (its program dot)"
        raise RenderError(
            f"no program was found that draws {format}: install {wanted}, "
            "or save the picture with the suffix .dot, which needs no program"
        )
    return program


def _bundled() -> str | None:
    """The program that the package graphviz-pure put somewhere, not always on the PATH."""
    try:
        files = importlib.metadata.files("graphviz-pure") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.stem == "graphviz-pure" and file.suffix in ("", ".exe"):
            path = Path(str(file.locate()))
            if path.is_file():
                return str(path.resolve())
    return shutil.which("graphviz-pure")


def _run(command: list[str], source: str) -> bytes:
    try:
        done = subprocess.run(command, input=source.encode(), capture_output=True, check=True)
    except OSError as error:
        raise RenderError(f"{command[0]} could not be started: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip() or f"exit status {error.returncode}"
        raise RenderError(f"{command[0]} could not draw this graph: {said}") from error
    return done.stdout


# ---- In a browser ------------------------------------------------------------------------------


def in_browser() -> bool:
    """Whether this Python is Pyodide: WebAssembly, where no program can be started."""
    return sys.platform == "emscripten"


def _by_viz_js(source: str, format: str, engine: Engine | None) -> bytes:
    """Laid out by the viz-js of the page; ``js`` is what Pyodide calls the page's own names."""
    if engine is not None:
        raise RenderError(
            f"a browser cannot start the program {engine}: leave engine out, and viz-js lays out"
        )
    if format not in ("svg", "json"):
        raise RenderError(
            f"no program in a browser draws {format}: save the picture with the suffix .svg, which "
            "others can turn into it, or .json or .dot"
        )
    viz_js = getattr(importlib.import_module("js"), "viz", None)
    if viz_js is None or not hasattr(viz_js, "render"):  # an element may have this name, too
        raise RenderError(
            "the page has loaded no layout program: load viz-js, and let its JavaScript say "
            "globalThis.viz = await Viz.instance(), as docs/browser.md shows; or save the picture "
            "with the suffix .dot, which needs no program"
        )
    try:
        done = viz_js.render(source, format=format)
    except Exception as error:  # whatever JavaScript throws, such as a RangeError of its stack
        raise RenderError(
            f"viz-js broke off ({error}): this graph is too deep for the stack of a browser; "
            "draw a part of it, or save the picture with the suffix .dot"
        ) from error
    if done.status != "success":
        said = "; ".join(str(error.message) for error in done.errors) or "it gave no reason"
        raise RenderError(f"viz-js could not draw this graph: {said}")
    return str(done.output).encode()


# ---- The SVG that a reader gets ----------------------------------------------------------------


def finish(
    svg: bytes,
    title: str,
    titles: Mapping[str, str],
    theme: Theme = "auto",
    ground: str = PAGE,
) -> ElementTree.Element:
    """The layout program's SVG with words, with colours for light and dark, and with no fixed size.

    Args:
        svg: what the layout program made.
        title: what the picture shows, in a sentence.
        titles: for the DOT name of each node ("v1"), and the id of each edge ("e1"), its words.
        theme: "auto" for the colours of the reader's page; or those that it has, "light" or "dark".
        ground: the colour behind it, or "none".

    Returns:
        An SVG element that fills the width it is given, up to its natural size. Each group of a
        node or an edge has its name as ``data-name``. It has an id of its own, made of what it
        shows, so that its sheet means no other picture.
    """
    root = ElementTree.fromstring(svg)
    _free_size(root)
    root.set("class", "microgradlike")
    shown = svg + repr((title, theme, ground)).encode()
    root.set("id", f"m{hashlib.sha256(shown).hexdigest()[:10]}")
    root.set("font-family", FONT_FAMILY)
    root.set("role", "img")
    root.set("aria-label", title)
    for group in root.iter(f"{SVG}g"):
        _name(group, titles)
    for letters in root.iter(f"{SVG}text"):
        del letters.attrib["font-family"]
    heading = ElementTree.Element(f"{SVG}title")
    heading.text = title
    style = ElementTree.Element(f"{SVG}style")
    style.text = stylesheet(root.attrib["id"], theme, ground)
    root[:0] = [heading, style]
    return root


def text(svg: ElementTree.Element) -> str:
    """The element as the text of a file."""
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def sides(polygon: ElementTree.Element) -> tuple[float, float]:
    """How far a polygon reaches to the left and to the right."""
    across = [float(point.split(",")[0]) for point in polygon.attrib["points"].split()]
    return min(across), max(across)


def _free_size(root: ElementTree.Element) -> None:
    """Let the picture shrink with its page, and never grow beyond its natural size."""
    width, height = (float(root.attrib[side].removesuffix("pt")) for side in ("width", "height"))
    pixels = 4 / 3  # of CSS to one of Graphviz's points
    root.set("width", f"{width * pixels:.0f}")
    root.set("height", f"{height * pixels:.0f}")


def _name(group: ElementTree.Element, titles: Mapping[str, str]) -> None:
    """Give a node or an edge its words; its id becomes data, for a page may show two pictures."""
    element = group.attrib.pop("id", "")
    title = group.find(f"{SVG}title")
    if title is None:
        return
    name = element if element in titles else title.text or ""
    if name in titles:
        group.set("data-name", name)
        title.text = titles[name]
    else:
        group.remove(title)
