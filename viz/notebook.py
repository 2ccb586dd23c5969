"""A page in a notebook: in a frame, which tells Python what its reader has changed.

That needs a widget, and so anywidget (``pip install 'microgradlike[notebook]'``). Without it the
notebook shows the same page, and what is changed there stays there.
"""

from __future__ import annotations

import functools
import html
import os
from pathlib import Path
from typing import Any

from microgradlike.files import ending_in, write
from viz.page import SUFFIXES, read


class Shown:
    """A page that a notebook shows as it is, when it is the last line of a cell.

    It asks nothing of the network, and two of them in one notebook do not meet.

    Attributes:
        title: what a screen reader calls it.
    """

    title: str
    _html: str
    _shown: Any = None

    def html(self) -> str:
        """The page as text."""
        return self._html

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, whole or not at all.

        Raises:
            TypeError, ValueError: the name does not end in ``.html``.
            OSError: the file cannot be written.
        """
        return write(ending_in(path, "a page", *SUFFIXES), self._html.encode())

    @property
    def state(self) -> dict[str, Any]:
        """What the page shows since its reader has changed something there; {} before.

        Of the page of ``Stepper``: ``numbers`` and ``gradients`` of what can be changed, by name,
        and the ``result``. Of that of ``Playground``: ``weights``, which ``load_state_dict`` takes,
        ``steps`` and ``cost``. It stays {} where anywidget is not installed, or the notebook is not
        running.

        >>> from microgradlike import Value
        >>> from viz import Stepper
        >>> Stepper(Value(2.0, label="a") * 3).state
        {}
        """
        return {} if self._shown is None else dict(self._shown.state)

    def _repr_mimebundle_(self, **_: object) -> Any:
        bundle = {"text/plain": repr(self), "text/html": self._repr_html_()}
        kind = _widget()
        if kind is None:
            return bundle
        if self._shown is None:
            self._shown = kind(html=self.html(), title=self.title)
        found = self._shown._repr_mimebundle_()
        data, metadata = found if isinstance(found, tuple) else (found or {}, {})
        return {**data, **bundle}, metadata

    def _repr_html_(self) -> str:
        return frame(self.html(), self.title)


def frame(document: str, title: str) -> str:
    """A page inside a notebook: a frame of its own, as high as what it shows."""
    return (
        f'<iframe srcdoc="{html.escape(document)}" title="{html.escape(title)}" '
        f'style="{_STYLE}" onload="{_GROW}"></iframe>'
    )


#: A frame is so high until its page needs more room, as its text grows.
_STYLE = "width:100%;height:760px;border:0"
_GROW = (
    "const page = this.contentDocument; new ResizeObserver(() => { "
    "this.style.height = page.documentElement.scrollHeight + 'px'; }).observe(page.body)"
)


@functools.cache
def _widget() -> Any:
    """The class of widgets; None where anywidget is not installed."""
    try:
        import anywidget
        import traitlets
    except ImportError:
        return None

    class PageWidget(anywidget.AnyWidget):
        """A page in a frame, and what it told."""

        _esm = read("notebook.js").replace("{{style}}", _STYLE).replace("{{grow}}", _GROW)
        html = traitlets.Unicode().tag(sync=True)
        title = traitlets.Unicode().tag(sync=True)
        state = traitlets.Dict().tag(sync=True)

    return PageWidget
