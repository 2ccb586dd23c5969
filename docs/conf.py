"""The site: ``sphinx-build -W docs out/site``. Building it asks nothing of the network."""

from __future__ import annotations

from typing import Any

project = "microgradlike"
html_title = "microgradlike"
html_theme = "furo"
html_show_copyright = False  # the licence is in the repository
_GALLERY = "../demos/gallery"
html_static_path = [
    "site.css",
    f"{_GALLERY}/hand_derivation.html",
    f"{_GALLERY}/playground.html",
]
html_css_files = ["site.css"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

# Links may point to headings, and are checked.
myst_heading_anchors = 3

# Docstrings say what arguments are, with their shapes.
autodoc_member_order = "bysource"
autodoc_typehints = "none"


def setup(app: Any) -> None:
    """Two small changes of what Sphinx reads."""
    app.connect("source-read", without_last_line)
    app.connect("autodoc-process-docstring", as_a_sentence, priority=400)


def without_last_line(app: Any, page: str, source: list[str]) -> None:
    """Drop the empty line that ends an example, which only doctest needs."""
    source[0] = source[0].replace("\n\n```\n", "\n```\n").replace("\n\n  ```\n", "\n  ```\n")


def as_a_sentence(app: Any, what: str, name: str, it: Any, how: Any, lines: list[str]) -> None:
    """Let napoleon, which comes later, not take the words before a colon for a property's type."""
    if what == "property" and lines:
        lines[:0] = ["..", ""]
