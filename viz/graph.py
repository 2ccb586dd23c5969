"""The picture of a computation: values going forward, and the error flowing back.

An arrow points to where the error goes. Its width is the size of the contribution that the error
makes there, its hue the sign; the boxes stay quiet, so that the eye finds the big errors first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import graphviz

from microgradlike.engine import Value
from microgradlike.files import write
from microgradlike.inputs import describe
from viz.dot import digraph, legend
from viz.film import at
from viz.fold import folded
from viz.picture import Picture
from viz.render import FORMATS, Engine, layout
from viz.scene import Graph, Scene, whole

#: A graph of more nodes than this is drawn folded, unless the caller wants all of it.
MOST_NODES = 500


def draw(
    root: Value,
    *,
    step: int | None = None,
    fold: bool | None = None,
    names: Mapping[str, Any] | None = None,
    rankdir: str = "LR",
    engine: Engine | None = None,
) -> Picture:
    """Draw the graph that computed ``root``, and the error flowing back through it.

    Run ``root.backward()`` first, or ask for a ``step``. Drawing changes neither numbers nor
    gradients.

    Args:
        root: the result, such as a loss.
        step: the picture after so many steps of a sweep of its own, whatever ``.grad`` holds: 0
            for the result's own gradient alone. Nothing moves between the pictures of two steps.
        fold: draw each neuron as one node and each layer as one frame; by default this is done for
            graphs of more than 500 nodes.
        names: names for Values that have no label; ``locals()`` will do.
        rankdir: the direction in which the data flows: "LR", to the right, or "TB", down.
        engine: the layout program, "graphviz-pure" (the default) or "dot".

    Returns:
        A Picture: shown by a notebook, and written to a file by its ``save``.

    Raises:
        TypeError: ``root`` is no Value, or ``fold`` neither True, False nor None.
        ValueError: ``rankdir`` is neither "LR" nor "TB", or there is no such step.

    >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    >>> c = a * b
    >>> c.backward()
    >>> draw(c)
    <Picture: How the error flows back from the result: 3 nodes, 2 ways back, result −6>
    """
    scene = read_scene(root, names, fold, rankdir, afresh=step is not None)
    return picture(scene if step is None else at(scene, step), rankdir, engine)


def picture(scene: Scene, rankdir: str, engine: Engine | None) -> Picture:
    """A scene as a picture, with its legend below."""
    return _picture(scene, rankdir, engine, legend(scene, rankdir))


def picture_alone(scene: Scene, rankdir: str, engine: Engine | None) -> Picture:
    """The same without its legend, for a page on which that stays while the picture scrolls."""
    return _picture(scene, rankdir, engine, "")


def _picture(scene: Scene, rankdir: str, engine: Engine | None, legend: str) -> Picture:
    titles = {box.name: box.title for box in scene.boxes}
    titles |= {f"e{place}": arrow.title for place, arrow in enumerate(scene.arrows)}
    title = "\n".join((scene.title, *scene.notes))
    return Picture(str(digraph(scene, rankdir, legend).source), title, titles, engine)


def check_rankdir(rankdir: str) -> None:
    """Refuse a direction that there is not."""
    if rankdir not in ("LR", "TB"):
        raise ValueError(f"rankdir is 'LR' (left to right) or 'TB' (top down), not {rankdir!r}")


def check_fold(fold: bool | None) -> None:
    """Refuse what is neither yes nor no."""
    if fold is not None and not isinstance(fold, bool):
        raise TypeError(
            f"fold is True, False, or None to fold big graphs only, but got {describe(fold)}"
        )


def read_scene(
    root: Value,
    names: Mapping[str, Any] | None,
    fold: bool | None,
    rankdir: str,
    *,
    afresh: bool,
) -> Scene:
    """The scene that ``draw`` shows for these arguments, which it checks."""
    check_rankdir(rankdir)
    check_fold(fold)
    graph = Graph.of(root, names, afresh=afresh)
    if fold is None:
        fold = len(graph.nodes) > MOST_NODES
    return folded(graph) if fold else whole(graph)


def draw_dot(root: Value, format: str = "svg", rankdir: str = "LR") -> graphviz.Digraph:
    """Draw the graph that computed ``root`` as a ``graphviz.Digraph``, as micrograd's notebooks do.

    The picture is that of ``draw``. It is rendered without an installed Graphviz where possible.

    Args:
        root: the result, such as a loss.
        format: the format of the rendered file, "svg", "png" or "pdf".
        rankdir: the direction in which the data flows: "LR", to the right, or "TB", down.

    Returns:
        The Digraph: shown by a notebook, written by its ``render``, open to more lines.

    Raises:
        TypeError: ``root`` is no Value.
        ValueError: ``rankdir`` is neither "LR" nor "TB".

    >>> x = Value(3.0, label="x")
    >>> print(draw_dot(x * x).source[:23])
    digraph microgradlike {
    """
    dot = _Dot("microgradlike", format=format)
    dot.picture = draw(root, rankdir=rankdir)
    # The same lines, between the braces that a Digraph puts around its body.
    dot.body = dot.picture.source.splitlines(keepends=True)[1:-1]
    return dot


class _Dot(graphviz.Digraph):  # type: ignore[misc]  # graphviz is not typed
    """A Digraph that is rendered as ``draw`` does it, with or without an installed Graphviz."""

    picture: Picture

    def pipe(self, format: str | None = None, *options: Any, **more: Any) -> Any:
        """The rendered file: bytes, or text if an encoding is given."""
        encoding = more.pop("encoding", None)
        format = format or self.format
        if options or any(more.values()) or format not in FORMATS:
            return super().pipe(format, *options, encoding=encoding, **more)
        if self.source == self.picture.source:
            content = self.picture.pipe(format)
        else:  # the caller has added lines to it
            content = layout(self.source, format)
        return content.decode(encoding) if encoding else content

    def render(self, filename: Any = None, directory: Any = None, **options: Any) -> str:
        """Write the DOT text and the rendered file beside it; return the path of the latter."""
        if options.keys() - {"format", "cleanup"}:
            return str(super().render(filename, directory=directory, **options))
        source = self.save(filename, directory=directory)
        format = options.get("format") or self.format
        target = f"{source}.{format}"
        write(target, self.pipe(format))
        if options.get("cleanup"):
            os.remove(source)
        return target
