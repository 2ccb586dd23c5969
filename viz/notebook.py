"""A page in a notebook: in a frame, which tells Python what its reader has changed.

That needs a widget, and so anywidget (``pip install 'microgradlike[notebook]'``). Without it the
notebook shows the same page, and what is changed there stays there.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from microgradlike.files import ending_in, write
from viz.frame import PAGE, page_frame
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
        return write(ending_in(path, "a page", *SUFFIXES), self.html().encode())

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

    def __getstate__(self) -> dict[str, object]:
        """What a copy or a pickle has: the page, without the widget of this notebook."""
        return {name: value for name, value in vars(self).items() if name != "_shown"}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.title}>"

    def _repr_mimebundle_(self, **_: object) -> Any:
        """What Jupyter shows."""
        bundle = {"text/plain": repr(self), "text/html": self._repr_html_()}
        widget = self._widget()
        if widget is None:
            return bundle
        found = widget._repr_mimebundle_()
        data, metadata = found if isinstance(found, tuple) else (found or {}, {})
        return {**data, **bundle}, metadata

    def _mime_(self) -> tuple[str, str]:
        """What marimo shows."""
        widget = self._widget()
        if widget is None:
            return "text/html", self._repr_html_()
        import marimo

        shown: tuple[str, str] = marimo.as_html(widget)._mime_()
        return shown

    def _repr_html_(self) -> str:
        return page_frame(self.html(), self.title)

    def _widget(self) -> Any:
        """The one widget of this page, in however many cells; None where anywidget is missing."""
        if self._shown is None and (kind := _widgets()) is not None:
            self._shown = kind(html=self.html(), title=self.title)
        return self._shown


@functools.cache
def _widgets() -> Any:
    """The class of widgets; None where anywidget is not installed."""
    try:
        import anywidget
        import traitlets
    except ImportError:
        return None

    class PageWidget(anywidget.AnyWidget):
        """A page in a frame, and what it told."""

        _esm = read("notebook.js").replace("{{style}}", PAGE)
        html = traitlets.Unicode().tag(sync=True)
        title = traitlets.Unicode().tag(sync=True)
        state = traitlets.Dict().tag(sync=True)

    return PageWidget
