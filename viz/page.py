"""Pages of one file each: no request, no library, a policy that allows only their own script."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from microgradlike import javascript
from microgradlike.inputs import describe
from viz import style
from viz.picture import Picture
from viz.render import SVG
from viz.view import Rendering

#: What the names of pages end in.
SUFFIXES = (".html", ".htm")

_BACK = '<a class="home" href="{}">◄ Back</a>\n'
_PAGES = Path(__file__).parent / "pages"

#: What the script of a kind needs beside what all have.
_MORE = {
    "stepper": ["engine.js", "numbers.js", "live.js", "quiz.js"],
    "movie": ["network.js"],
    "lesson": ["network.js"],
    "playground": ["engine.js", "numbers.js", "network.js"],
}


def page(
    kind: Literal["stepper", "movie", "stages", "lesson", "playground"],
    rendering: Rendering,
    *,
    headline: str,
    heading: str,
    last: int | None,
    data: Any,
    slots: Mapping[str, str],
    choices: str = "",
    sheet: str = "",
    formula: str = "",
    back: str | None = None,
) -> str:
    """A page made of ``pages/page.html`` and the parts of its kind.

    Args:
        kind: which stage and which script it has.
        rendering: the colours that it begins in.
        headline: its first words, which are also its title.
        heading: what it is about.
        last: the number of its last step; None for a page that goes on without an end, whose
            stage has controls of its own.
        data: what its script reads.
        slots: what fills the ``{{slots}}`` of its stage: HTML.
        choices: more controls beside the choice of colours: HTML.
        sheet: more rules: CSS.
        formula: the expression that it is about: MathML.
        back: the address of the page that leads here, which gets a link; None for no link.

    Raises:
        TypeError: ``back`` is no address.
    """
    if back is not None and not isinstance(back, str):
        raise TypeError(
            "back is the address of the page that leads here, such as 'index.html', but got "
            f"{describe(back)}"
        )
    sheet = style.page_stylesheet(rendering.chosen) + read("page.css") + sheet
    moves = ("transport.js",) if last is not None else ()
    parts = ("frame.js", *moves, "zoom.js", *_MORE.get(kind, ()), f"{kind}.js")
    script = "\n".join(map(script_of, parts))
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(sheet)}; "
        "base-uri 'none'; form-action 'none'"
    )
    stage, after = _filled(read(f"{kind}.html"), {**slots, "zoom": read("zoom.html")}).split(
        "<!-- after -->\n"
    )
    written = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return _filled(
        read("page.html"),
        {
            "kind": kind,
            "theme": "" if rendering.theme == "auto" else f' data-theme="{rendering.theme}"',
            "back": "" if back is None else _BACK.format(html.escape(back)),
            "formula": formula,
            "now": "as the system" if rendering.theme == "auto" else rendering.theme,
            "policy": policy,
            "sheet": sheet,
            "title": html.escape(f"{headline}: {heading}"),
            "headline": html.escape(headline),
            "heading": html.escape(heading),
            "choices": choices,
            "steps": str(last or 0),
            "stage": stage,
            "controls": "" if last is None else read("transport.html"),
            "after": after,
            "data": written.replace("<", "\\u003c"),  # a label may be </script>
            "script": script,
        },
    )


def embedded(shown: Picture) -> tuple[ElementTree.Element, dict[str, ElementTree.Element]]:
    """A picture as a part of a page, whose sheet has its colours; and its groups by their names."""
    svg = shown.element()
    del svg.attrib["id"]
    svg.set("role", "group")
    drop(svg, "style")
    return svg, {group.attrib.pop("data-name", ""): group for group in svg.iter(f"{SVG}g")}


def legend_list(label: str, in_short: str = "") -> str:
    """The legend of a picture as a list of the page: on narrow windows and on paper it wraps.

    Args:
        label: the legend, as ``labels.legend`` makes it.
        in_short: what is seen while the list is folded: one more legend, whose lines become one.
            Without it nothing is folded.

    >>> from viz import labels
    >>> legend_list(labels.legend([labels.key("width", labels.words("size"))]))
    '<dl class="microgradlike"><dt>width</dt><dd><span>size</span></dd></dl>'
    """
    items = (f"<dt>{name}</dt><dd>{cells}</dd>" for name, cells in _legend_keys(label))
    listed = f'<dl class="microgradlike">{"".join(items)}</dl>'
    if not in_short:
        return listed
    line = "".join(
        f'<span class="seen">{name}</span> {cells}' for name, cells in _legend_keys(in_short)
    )
    return f'<details><summary class="microgradlike">{line}</summary>{listed}</details>'


def _legend_keys(label: str) -> Iterator[tuple[str, str]]:
    """The lines of a legend: what is seen, and what it means, as HTML."""
    rows = ElementTree.fromstring(label[1:-1].replace("\\\\", "\\"))
    for name, *cells in rows:
        if cells:
            yield _spoken(name), "".join(map(_legend_cell, cells))


def _legend_cell(cell: ElementTree.Element) -> str:
    """A bar, a swatch with its number, or words."""
    bar = cell.find("TABLE/TR/TD")
    if bar is not None:
        width, height, fill = (bar.attrib[name] for name in ("WIDTH", "HEIGHT", "BGCOLOR"))
        size = f'width="{width}" height="{height}"'
        return f'<svg {size}><rect {size} fill="{fill}"/></svg>'
    words = _spoken(cell)
    if "BGCOLOR" not in cell.attrib:
        return f"<span>{words}</span>"
    ink = cell.find("FONT")
    assert ink is not None
    return (
        '<svg class="swatch" width="62" height="20">'
        f'<rect width="62" height="20" fill="{cell.attrib["BGCOLOR"]}"/>'
        f'<text x="31" y="14" text-anchor="middle" fill="{ink.attrib["COLOR"]}">{words}</text>'
        "</svg>"
    )


def _spoken(cell: ElementTree.Element) -> str:
    return html.escape("".join(cell.itertext()))


def drop(parent: ElementTree.Element, tag: str) -> None:
    """Remove the children of this kind."""
    for child in parent.findall(f"{SVG}{tag}"):
        parent.remove(child)


def read(name: str) -> str:
    """A part of a page: a script, a sheet, or the frame of a stage."""
    return (_PAGES / name).read_text(encoding="utf-8")


def script_of(name: str) -> str:
    """A script of pages: the engine, or one of ``pages``, with what it needs of ``style``."""
    if name == "engine.js":
        return javascript.engine()
    return read(name).replace("/* what style.py says */ {}", json.dumps(style.for_script()))


def _filled(template: str, slots: Mapping[str, str]) -> str:
    """The template with its slots filled; what fills them is not looked at again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda slot: slots[slot[1]], template)


def _hash(source: str) -> str:
    """How a Content-Security-Policy names the one script, or sheet, that it allows."""
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
