"""The picture of a computation: values going forward, and the error flowing back.

An arrow points to where the error goes. Its width is the size of the contribution that the error
makes there, its hue the sign; the boxes stay quiet, so that the eye finds the big errors first.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import graphviz

from microgradlike.files import write
from microgradlike.flow import paths
from microgradlike.words import literal
from viz import style
from viz.dot import digraph, legend
from viz.fold import folded
from viz.frame import Framed
from viz.graph import Graph
from viz.moments import at
from viz.picture import Picture
from viz.render import DPI, FORMATS
from viz.scene import Scene
from viz.view import Options, OptionsBesideRankdir, Rankdir, Roots, View, takes
from viz.whole import whole

if TYPE_CHECKING:
    from typing_extensions import Unpack  # type checkers have it; no program needs it

#: A graph of more nodes than this is drawn folded, unless the caller wants all of it.
MOST_NODES = 500


@takes(View)
def draw(root: Roots, *, step: int | None = None, **options: Unpack[Options]) -> Picture:
    """Draw the graph that computed ``root``, and the error flowing back through it.

    Run ``root.backward()`` first, or ask for a ``step``. Drawing changes neither numbers nor
    gradients.

    Args:
        root: the result, such as a loss; or several, whose errors add up.
        step: the picture after so many steps of a sweep of its own, whatever ``.grad`` holds: 0
            for the result's own gradient alone. Nothing moves between the pictures of two steps.
        fold: draw each neuron as one node and each layer as one frame; by default this is done for
            graphs of more than 500 nodes.
        names: names for Values that have no label; ``locals()`` will do. Elements of lists and
            arrays are called ``w[0]``.
        rankdir: the direction in which the data flows: "LR", to the right, "RL", to the left,
            "TB", down, or "BT", up.
        engine: the layout program, "graphviz-pure" (the default) or "dot".
        constants: whether plain numbers beside Values are shown.
        gradients: whether the error is shown; False for the forward pass alone.
        highlight: a Value, whose largest path to the result is pointed out.
        theme: "auto" for the colours of the reader's page, or "light" or "dark".
        colours: another colour for some roles: "ink", "muted", "border", "page", "surface",
            "leaf", "active", "positive", "negative"; such as ``{"positive": "green"}``.

    Returns:
        A Picture: shown by a notebook, and written to a file by its ``save``.

    Raises:
        TypeError: ``root`` is no Value, there is no such option, or it is of another type.
        ValueError: there is no such direction, step, engine, theme or colour, or the result was
            not computed from ``highlight``.

    >>> from microgradlike import Value
    >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    >>> c = a * b
    >>> c.backward()
    >>> draw(c)
    <Picture: How the gradient flows back from the result: 3 nodes, 2 ways back, result −6>
    """
    return _drawn(root, View.of(draw, options), step)


def _drawn(root: Roots, view: View, step: int | None = None) -> Picture:
    scene = read_scene(root, view, afresh=step is not None)
    if step is not None:
        scene = at(scene, step)
    if not view.gradients:
        scene = scene.without_gradients()
    return picture(scene, view)


def read_scene(root: Roots, view: View, *, afresh: bool) -> Scene:
    """The scene of a graph as the view wants it: folded or whole, with a path pointed out."""
    graph = Graph.of(root, view.names, afresh=afresh)
    scene = folded(graph) if view.folds(len(graph.nodes), MOST_NODES) else whole(graph)
    return pointed_out(shown(scene, view), graph, view)


def shown(scene: Scene, view: View) -> Scene:
    """The scene without what the view leaves out."""
    return scene if view.constants else scene.without_constants()


def pointed_out(scene: Scene, graph: Graph, view: View) -> Scene:
    """The scene with the path that the view points out: the one that brings most of the error."""
    if view.highlight is None:
        return scene
    largest = paths(graph.root, graph.twins.get(view.highlight, view.highlight), most=1).largest[0]
    name = literal(graph.name(largest.nodes[0])) or "the one that was asked for"
    return scene.pointing_out(
        largest.nodes,
        f"marked: the largest path to {name}, which brings {style.signed(largest.product)}",
    )


def picture(scene: Scene, view: View) -> Picture:
    """A scene as a picture, with its legend below."""
    return _picture(scene, view, legend(scene, view.rankdir))


def picture_alone(scene: Scene, view: View) -> Picture:
    """The same without its legend, for a page on which that stays while the picture scrolls."""
    return _picture(scene, view, "")


def _picture(scene: Scene, view: View, legend: str) -> Picture:
    titles = {box.name: box.title for box in scene.boxes}
    titles |= {f"e{place}": arrow.title for place, arrow in enumerate(scene.arrows)}
    title = "\n".join((scene.title, *scene.notes))
    source = str(digraph(scene, view.rankdir, legend).source)
    return Picture(source, title, titles, view)


@takes(View)
def draw_dot(
    root: Roots,
    format: str = "svg",
    rankdir: Rankdir = "LR",
    **options: Unpack[OptionsBesideRankdir],
) -> graphviz.Digraph:
    """Draw the graph that computed ``root`` as a ``graphviz.Digraph``, as micrograd's notebooks do.

    The picture is that of ``draw``. It is rendered without an installed Graphviz where possible.

    Args:
        root: the result, such as a loss; or several.
        format: the format of the rendered file, "svg", "png", "jpg" or "pdf".
        rankdir: the direction in which the data flows: "LR", "RL", "TB" or "BT".
        options: the others of ``draw``.

    Returns:
        The Digraph: shown by a notebook, written by its ``render``, open to more lines.

    Raises:
        TypeError, ValueError: as for ``draw``.

    >>> from microgradlike import Value
    >>> x = Value(3.0, label="x")
    >>> print(draw_dot(x * x).source[:23])
    digraph microgradlike {
    """
    view = View.of(draw_dot, {"rankdir": rankdir, **options})
    return _Dot("microgradlike", format=format, root=root, view=view)


class _Dot(Framed, graphviz.Digraph):  # type: ignore[misc]  # graphviz is not typed
    """A Digraph that is rendered as ``draw`` does it, with or without an installed Graphviz.

    What the caller adds comes after the picture's own lines, so that it decides.
    """

    def __init__(self, *args: Any, root: Roots, view: View, **options: Any) -> None:
        super().__init__(*args, **options)
        self._root = root
        self._how = view
        self._pictures = {view.rankdir: _drawn(root, view)}
        self._title = self._pictures[view.rankdir].title

    def __repr__(self) -> str:
        return f"<Digraph: {self._title}>"

    def copy(self) -> _Dot:
        """A Digraph of its own that has the same lines."""
        twin = copy.copy(self)
        twin.body = list(self.body)
        for kind in ("graph_attr", "node_attr", "edge_attr"):
            setattr(twin, kind, dict(getattr(self, kind)))
        return twin

    def _picture(self) -> Picture:
        way = self.graph_attr.get("rankdir", self._how.rankdir)
        if way not in self._pictures:
            self._pictures[way] = _drawn(self._root, replace(self._how, rankdir=way))
        shown = copy.copy(self._pictures[way])
        *lines, end = shown.source.splitlines(keepends=True)
        shown.source = "".join([*lines, *self._added(), end])
        return shown

    def _added(self) -> Iterator[str]:
        for kind, given in (
            ("graph", {k: v for k, v in self.graph_attr.items() if k != "rankdir"}),
            ("node", self.node_attr),
            ("edge", self.edge_attr),
        ):
            if given:
                yield self._attr(kind, self._attr_list(None, kwargs=given))
        yield from self.body

    def __iter__(self, subgraph: bool = False) -> Iterator[str]:
        return iter(self._picture().source.splitlines(keepends=True))

    def pipe(self, format: str | None = None, *options: Any, **more: Any) -> Any:
        """The rendered file: bytes, or text if an encoding is given."""
        encoding = more.pop("encoding", None)
        format = format or self.format
        if options or any(more.values()) or format not in FORMATS:
            return super().pipe(format, *options, encoding=encoding, **more)
        added = "".join(self._added())
        content = self._picture().pipe(
            format,
            dpi=None if "dpi=" in added else DPI,
            transparent=False,
            own_ground="bgcolor=" in added,
        )
        return content.decode(encoding) if encoding else content

    def _repr_mimebundle_(self, *asked: Any, **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = super()._repr_mimebundle_(*asked, **more)
        return {"text/html": self._repr_html_(), **found}

    def _as_svg(self) -> str:
        return str(self.pipe("svg", encoding="utf-8"))

    def render(
        self,
        filename: Any = None,
        directory: Any = None,
        view: bool = False,
        cleanup: bool = False,
        format: str | None = None,
        *options: Any,
        outfile: Any = None,
        **more: Any,
    ) -> str:
        """Write the DOT text and the rendered file beside it; return the path of the latter."""
        if outfile is not None:
            target = Path(directory or "") / outfile
            format = format or target.suffix[1:].lower() or self.format
            filename, directory = filename or target.with_suffix(".gv"), None
        format = format or self.format
        quiet = {name: more.pop(name, False) for name in ("quiet", "quiet_view")}
        if options or any(more.values()) or format not in FORMATS:
            if outfile is not None:
                more["outfile"] = target
            more |= {"cleanup": cleanup, "format": format, "view": view, **quiet}
            return str(super().render(filename, directory, **more))
        content = self.pipe(format)
        source = self.save(filename, directory=directory)
        written = str(target) if outfile is not None else f"{source}.{format}"
        write(written, content)
        if cleanup:
            os.remove(source)
        if view or quiet["quiet_view"]:
            self._view(written, format=format, quiet=quiet["quiet_view"])
        return written
