"""The site: ``sphinx-build -W docs out/site``. Building it asks nothing of the network."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

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
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

# The notebooks of the tour are run before, two at a time.
nb_execution_mode = "off"
nb_render_text_lexer = "none"

# Links may point to headings, and are checked.
myst_heading_anchors = 3

# Docstrings say what arguments are, with their shapes.
autodoc_member_order = "bysource"
autodoc_typehints = "none"


def setup(app: Any) -> None:
    """The notebooks of the tour, and two small changes of what Sphinx reads."""
    app.connect("builder-inited", with_notebooks)
    app.connect("source-read", with_a_link)
    app.connect("source-read", without_last_line)
    app.connect("autodoc-process-docstring", as_a_sentence, priority=400)


def with_notebooks(app: Any) -> None:
    """Run the demos as notebooks, unless that was done since a script was changed."""
    from demos.notebook import run_all

    run_all(Path(app.srcdir) / "tour")


def with_a_link(app: Any, page: str, source: list[str]) -> None:
    """Let the page of a notebook offer the notebook itself."""
    folder, _, name = page.rpartition("/")
    if folder == "tour":
        made = json.loads(source[0])
        link = "Open it in JupyterLab: {download}`" + f"download this notebook <{name}.ipynb>`."
        cell = {"cell_type": "markdown", "id": "download", "metadata": {}, "source": link}
        made["cells"].insert(1, cell)
        source[0] = json.dumps(made)


def without_last_line(app: Any, page: str, source: list[str]) -> None:
    """Drop the empty line that ends an example, which only doctest needs."""
    source[0] = source[0].replace("\n\n```\n", "\n```\n").replace("\n\n  ```\n", "\n  ```\n")


def as_a_sentence(app: Any, what: str, name: str, it: Any, how: Any, lines: list[str]) -> None:
    """Let napoleon, which comes later, not take the words before a colon for a property's type."""
    if what == "property" and lines:
        lines[:0] = ["..", ""]
