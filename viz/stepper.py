"""One page that plays the whole pass: values going forward, then the error flowing back.

The page is one self-contained file. Python lays out the picture, and writes down what each moment
changes and what there is to say about it; the script in ``pages/stepper.js`` only shows it.
"""

from __future__ import annotations

import html
import math
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microgradlike.engine import Decision, Value
from microgradlike.exercises import along, as_json
from microgradlike.files import ending_in
from microgradlike.flow import Step
from microgradlike.inputs import within
from microgradlike.words import literal
from viz import style
from viz.decisions import checked
from viz.decisions import for_script as compared
from viz.dot import Look, legend, legend_in_short
from viz.drawing import picture_alone, pointed_out, shown
from viz.fold import folded
from viz.graph import Graph
from viz.live import Named, for_script, steps_of_arrows
from viz.notebook import Shown
from viz.page import SUFFIXES, drop, embedded, legend_list, page
from viz.parts import centre, parts_of_arrow, parts_of_box
from viz.render import SVG, text
from viz.scene import Box, Scene
from viz.story import Numbers, Story, data, heading
from viz.view import Options, Roots, View, takes
from viz.whole import whole

if TYPE_CHECKING:
    from typing_extensions import Unpack  # type checkers have it; no program needs it

#: A graph of more nodes than this is shown folded.
MOST_NODES = 150

#: What a number of a box is usually as long as: there is room for it, whatever the reader changes.
USUAL = -0.1235

#: How high the line is that says what was in a box before.
BELOW = 8

#: A table of more rows than this is printed only if the reader has unfolded it.
MOST_PRINTED = 40


@takes(View)
def save_stepper(
    root: Roots,
    path: str | os.PathLike[str],
    *,
    lr: float | None = None,
    back: str | None = None,
    decisions: Sequence[Decision] | None = None,
    **options: Unpack[Options],
) -> Path:
    """Write one HTML page that plays the forward and the backward pass, step by step.

    It needs no network, no server and no library, and shows the picture and a table even without
    JavaScript. The sweep is one of its own: no gradient changes.

    Args:
        root: the result, such as a loss; or several, whose errors add up.
        path: where to write it; the name ends in ``.html``.
        lr: the learning rate of an update step at the end, ``w - lr * grad``; None for no update.
        back: the address of the page that leads here, such as ``"index.html"``, for a link back.
        decisions: what ``recorded_decisions()`` gave while ``root`` was computed. Where another
            number would make the program take another branch, the page says so.
        fold: show each neuron as one part and each layer as one frame; by default this is done for
            graphs of more than 150 nodes. Parts of up to 150 nodes can be looked into in the page,
            if the graph has at most 2,000; above that, the page tells of the parts alone.
        options: the others of ``draw``, but for ``gradients=False``, which leaves nothing to play.
            With a ``theme`` the page begins in light or dark.

    Returns:
        The path.

    Raises:
        TypeError: ``root`` is no Value, ``lr`` no number, ``back`` no address, ``decisions`` none,
            or there is no such option.
        ValueError: an option has no such value, ``lr`` is negative or not finite, or the name does
            not end in ``.html``.
        OSError: the file cannot be written.

    >>> from microgradlike import Value
    >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    >>> save_stepper(a * b + a, getfixture("tmp_path") / "backprop.html").name
    'backprop.html'
    """
    ending_in(path, "a page", *SUFFIXES)
    return Stepper(root, lr=lr, back=back, decisions=decisions, **options).save(path)


class Stepper(Shown):
    """The page of ``save_stepper``, which a notebook shows as it is.

    Args:
        root, lr, back, decisions, options: as for ``save_stepper``.

    >>> from microgradlike import Value
    >>> x = Value(3.0, label="x")
    >>> Stepper(x * x).html()[:15]
    '<!doctype html>'
    """

    title = "backpropagation, step by step"

    @takes(View)
    def __init__(
        self,
        root: Roots,
        *,
        lr: float | None = None,
        back: str | None = None,
        decisions: Sequence[Decision] | None = None,
        **options: Unpack[Options],
    ) -> None:
        view = View.of(Stepper, options)
        made = checked(decisions)
        view.must_show_gradients("Stepper")
        rate = None if lr is None else within("lr, the learning rate,", lr, 0, math.inf)
        graph = Graph.of(root, view.names, afresh=True)
        fold = view.folds(len(graph.nodes), MOST_NODES)
        told = graph.told()
        scene = shown(folded(graph) if fold else whole(told), view)
        story = Story(graph, scene, told.names, rate)
        named = Named(graph) if story.detailed else None
        views = [_view(story, scene, view, named)]
        if fold and story.detailed:
            for name, nodes in story.scene.members.items():
                if 1 < len(nodes) <= MOST_NODES:
                    inside = shown(whole(told, set(nodes)), view)
                    views.append(_view(story, inside, view, named, opened=name))
        self._html = _page(story, views, view, back, made)


# ---- Views: pictures whose parts the script can find --------------------------------------------


def _view(
    story: Story, scene: Scene, view: View, named: Named | None, opened: str = ""
) -> tuple[str, str]:
    """A picture with everything marked that the script changes, and its legend."""
    boxes = [_with_room(story, scene, box) for box in scene.boxes]
    # What the notes say of a folded picture is said by the page itself.
    roomy = replace(scene, boxes=boxes, colours=story.colours, notes=[])
    roomy = pointed_out(roomy, story.graph, view)
    svg, groups = embedded(picture_alone(roomy, view.within_page()))
    description = ElementTree.Element(f"{SVG}desc")
    description.text = "Each node has a value and a gradient; the table below has the same numbers."
    svg.insert(1, description)
    for box in roomy.boxes:
        if box.name in scene.members:
            _mark_node(story, scene, box, groups[box.name])
    look = Look.of(roomy, view.rankdir)
    sums = steps_of_arrows(story, named) if named and scene.folded else []
    steps = {move.arrows[0]: move.step for move in scene.moves if move.step is not None}
    for place, arrow in enumerate(scene.arrows):
        group = groups[f"e{place}"]
        ahead = story.computed.get(arrow.head, 0)
        if opened:
            ahead = story.values[scene.shown[arrow.head]][0][0]
        group.set("data-ahead", str(ahead))
        if arrow.contribution is None:
            continue
        if scene.folded:
            marks = {"data-flow": f"{arrow.tail}->{arrow.head}", "data-at": story.crossed[place]}
            if named:
                marks["data-steps"] = " ".join(map(str, sums[place]))
        else:
            step = steps[place]
            marks = {
                "data-edge": f"{arrow.tail}->{arrow.head}",
                "data-slope": repr(step.slope),
                "data-at": story.moment_of(step),
            }
            if named:
                marks["data-steps"] = named.count(step)
        _mark_edge(group, marks, repr(arrow.contribution), look)
        if look.numbered:  # its numbers stand beside it, and the panel tells the rest
            drop(group, "title")
    _slim(svg)
    _lengthen(svg)
    title = html.escape(story.title(opened)) if opened else ""
    part = f' data-part="{opened}" data-title="{title}"' if opened else ""
    hidden = " hidden" if opened else ""
    kind = "view folded" if scene.folded else "view"
    if look.downward:
        kind += " downward"
    largest = f' data-largest="{look.widths.largest!r}"'
    return (
        f'<div class="{kind}"{part}{largest}{hidden}>{text(svg)}</div>',
        f'<div class="legend"{hidden}>'
        f"{legend_list(legend(roomy, view.rankdir), legend_in_short(roomy, view.rankdir))}</div>",
    )


def _slim(svg: ElementTree.Element) -> None:
    """Leave out what is the default, and digits that nobody sees: a page has thousands of these."""
    for part in svg.iter():
        part.attrib.pop("{http://www.w3.org/XML/1998/namespace}space", None)
        if part.get("text-anchor") == "start":
            del part.attrib["text-anchor"]
        if part.get("stroke") == "none":
            del part.attrib["stroke"]
        for name in _IN_SHEET.get(part.get("class", ""), ()):
            part.attrib.pop(name, None)
        if "font-size" in part.attrib:
            part.set("font-size", f"{float(part.attrib['font-size']):g}")
        if part.tag == f"{SVG}text" and (part.get("fill"), part.get("font-size")) == _SMALL:
            del part.attrib["fill"], part.attrib["font-size"]
        for place in ("points", "d", "x", "y"):
            if place in part.attrib:
                part.set(place, re.sub(r"(\.\d)\d+", r"\1", part.attrib[place]))


def _lengthen(svg: ElementTree.Element) -> None:
    """Give the lowest boxes room for the line below them that says what was there before."""
    *corner, wide, high = map(float, svg.attrib["viewBox"].split())
    height = float(svg.attrib["height"]) * (high + BELOW) / high
    svg.attrib |= {
        "height": f"{height:.0f}",
        "viewBox": " ".join(f"{side:g}" for side in (*corner, wide, high + BELOW)),
    }


#: Most words of a picture look like this: the sheet of the page says so; and so it does of these.
_SMALL = (style.MUTED, "9")
_IN_SHEET = {
    **dict.fromkeys(("value", "grad"), ("text-anchor", "font-size")),
    "slope": ("text-anchor",),
    "news": ("text-anchor", "font-size", "font-weight"),
}


def _with_room(story: Story, scene: Scene, box: Box) -> Box:
    """The box with room for every number that it will show."""
    node = scene.shown.get(box.name)
    if node is None:
        return box
    name = story.names[node]
    if len(scene.members[box.name]) == 1 and name != literal(box.heading):
        if box.heading:
            box = replace(box, lines=(*box.lines, f"{style.shortened(name)} in the text"))
        else:
            box = replace(box, heading=name)
    values, grads = (
        tuple(number for _, number in changes.get(node, ()))
        for changes in (story.values, story.grads)
    )
    return replace(box, values=(*values, USUAL), run=(*grads, USUAL) if grads else ())


def _mark_node(story: Story, scene: Scene, box: Box, group: ElementTree.Element) -> None:
    """Tell the script what a group is, and where its numbers and its outline are."""
    nodes, node = scene.members[box.name], scene.shown.get(box.name)
    if box.kind == "elsewhere" or len(nodes) > 1:
        if len(nodes) > 1:
            group.set("data-box", box.name)
        if node is not None:
            group.set("data-shows", story.graph.ids[node])
    else:
        group.set("data-node", story.graph.ids[nodes[0]])
        group.set("data-label", nodes[0].label or "")
        group.set("data-op", nodes[0].op)
        if nodes[0] is story.graph.origin:
            group.set("data-origin", "")
    group.set("data-name", story.title(box.name))
    group.set("data-kind", box.kind)
    title = group.find(f".//{SVG}title")
    assert title is not None
    title.text = (title.text or "").partition("\ndata ")[0]  # the script adds what it has become
    parts = parts_of_box(group, box)
    parts.outline.set("class", "outline")
    if node is None:
        return
    value, gradient = parts.value, parts.gradient
    assert value is not None and gradient is not None
    for kind, number in (("value", value), ("grad", gradient)):
        number.align()
        number.letters.set("class", kind)
        number.ground.set("class", f"{kind}-ground")
    for words, remark in zip(parts.remarks, box.remarks, strict=True):
        words.set("data-known", str(story.since(node, remark)))
    value.letters.text = style.number(story.values[node][-1][1])
    if "data-node" in group.attrib:
        group.set("data-value", repr(story.values[node][-1][1]))
        if node in story.grads:
            group.set("data-grad", repr(story.grads[node][-1][1]))


def _mark_edge(
    group: ElementTree.Element, marks: Mapping[str, Any], contribution: str, look: Look
) -> None:
    for name, value in marks.items():
        group.set(name, str(value))
    group.set("data-contribution", contribution)
    parts = parts_of_arrow(group, look.numbered)
    parts.line.attrib.pop("fill")  # the sheet says that it has none
    for kind, letters in (("slope", parts.slope), ("news", parts.contribution)):
        if letters is not None:
            letters.set("class", kind)
            if not look.downward:
                centre(letters)


# ---- The page ----------------------------------------------------------------------------------


#: A path that is pointed out has the colour of what happens just now, which needs another then.
_BESIDE_A_PATH = (
    ".microgradlike .node.active .outline{stroke:var(--ink);stroke-width:5px;stroke-dasharray:none}"
)


def _page(
    story: Story,
    views: list[tuple[str, str]],
    view: View,
    back: str | None,
    decisions: Sequence[Decision],
) -> str:
    pictures, legends = ("".join(parts) for parts in zip(*views, strict=True))
    shown = set(re.findall(r'data-node="(\w+)"', pictures))
    return page(
        "stepper",
        view,
        headline="Backpropagation, step by step",
        heading=heading(story, Numbers(story.graph)),
        formula=story.formula,
        last=story.last,
        data={
            **data(story),
            "live": for_script(story, Look.of(story.scene, view.rankdir).back),
            "questions": _questions(story),
            "decisions": compared(decisions, story.graph.nodes, story.names),
        },
        slots={
            "views": pictures,
            "legends": legends,
            "table": _table(story, shown),
            "long": " long" if len(story.told) > MOST_PRINTED else "",
        },
        back=back,
        choices='<label><input type="checkbox" class="quiz"> Ask me first</label>\n',
        sheet="" if view.highlight is None else _BESIDE_A_PATH,
    )


#: What the page needs of an exercise.
_OF_A_QUESTION = ("asked", "answer", "tolerance", "key", "wrong", "hints")


def _questions(story: Story) -> dict[int, dict[str, Any]]:
    """What can be asked at a moment, for who wants to be asked first."""
    if story.scene.folded or len(story.graph.results) > 1:
        return {}
    found = {}
    for about, exercise in along(story.graph.root, story.names):
        moment = story.moment_of(about) if isinstance(about, Step) else story.values[about][0][0]
        found[moment] = {
            name: part for name, part in as_json([exercise])[0].items() if name in _OF_A_QUESTION
        }
    return found


def _table(story: Story, shown: set[str]) -> str:
    """All numbers at the end of the sweep, as the rows of a table.

    A node that no picture shows has its row as the element that scripts may rely on.
    """
    rows = []
    for node in story.told:
        grads = story.grads.get(node, [(0, 0.0)])
        cells = [
            html.escape(story.names[node]),
            html.escape(style.symbol(node._op) or "given"),
            style.number(story.values[node][0][1]),
            style.number(grads[-1][1]),
            str(grads[-1][0]),
        ]
        mark = "" if story.graph.ids[node] in shown else _row_marks(story, node)
        rows.append(
            f'<tr{mark}><th scope="row">{cells[0]}</th>'
            + "".join(f"<td>{cell}</td>" for cell in cells[1:])
            + "</tr>"
        )
    return "\n".join(rows)


def _row_marks(story: Story, node: Value) -> str:
    marks = {
        "data-node": story.graph.ids[node],
        "data-label": node.label or "",
        "data-op": node.op,
        "data-value": repr(story.values[node][-1][1]),
        "data-grad": repr(story.grads[node][-1][1]) if node in story.grads else None,
    }
    if node is story.graph.origin:
        marks["data-origin"] = ""
    return "".join(
        f' {name}="{html.escape(value)}"' for name, value in marks.items() if value is not None
    )
