"""A scene as DOT text: shapes tell the roles, arrows the gradient, a legend tells the rest."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass

import graphviz

from viz import labels, style
from viz.scene import Arrow, Box, Remark, Scene
from viz.style import Scale

#: The shape of each role and its name in the legend; the outlines differ, not only the fills.
SHAPES: dict[str, tuple[str, dict[str, str]]] = {
    "input": ("ellipse", {"shape": "ellipse", "fillcolor": style.LEAF, "margin": "0,0"}),
    "parameter": ("hexagon", {"shape": "hexagon", "fillcolor": style.LEAF, "margin": "0,0"}),
    "constant": ("bare number", {"shape": "plain", "fillcolor": "none"}),
    "operation": ("rounded box", {"shape": "box", "style": "rounded,filled"}),
    "elsewhere": (
        "dashed ellipse",
        {"shape": "ellipse", "style": "filled,dashed", "fillcolor": "none", "margin": "0,0"},
    ),
    "folded part": ("folder", {"shape": "folder", "fillcolor": style.LEAF}),
    "layer": ("frame", {"shape": "plain", "fillcolor": "none"}),
    "result": ("double box", {"shape": "box", "peripheries": "2", "color": style.INK}),
}

#: The signs for the way back and for the way forward, where values flow in a direction.
SIGNS = {"LR": "◄►", "RL": "►◄", "TB": "▲▼", "BT": "▼▲"}

#: From which side the gradient comes.
FROM = {"LR": "right", "RL": "left", "TB": "bottom", "BT": "top"}

#: Where an arrow leaves its box and where it meets the next one.
PORTS = {"LR": "ew", "RL": "we", "TB": "sn", "BT": "ns"}

#: A chain of so many operations is drawn as a straight line, whatever joins it on its way.
STRAIGHT = 8

#: With more arrows than this the numbers of a folded picture would cover it: tooltips hold them.
MOST_NUMBERED_ARROWS = 12


@dataclass(frozen=True)
class Look:
    """What all boxes and arrows of one picture have in common: scales, and directions."""

    widths: Scale
    colours: Scale
    numbered: bool
    rankdir: str

    @classmethod
    def of(cls, scene: Scene, rankdir: str) -> Look:
        """The look that suits a scene."""
        return cls(
            Scale.of(arrow.contribution or 0.0 for arrow in scene.arrows),
            scene.colours
            or Scale.of(grad for box in scene.boxes for grad in (*box.run, box.grad or 0.0)),
            scene.forward_only or not scene.folded or len(scene.arrows) <= MOST_NUMBERED_ARROWS,
            rankdir,
        )

    @property
    def downward(self) -> bool:
        """Whether data flows down, or up, rather than to a side."""
        return self.rankdir in ("TB", "BT")

    @property
    def back(self) -> str:
        """The sign for the way back."""
        return SIGNS[self.rankdir][0]

    @property
    def forth(self) -> str:
        """The sign for the way that data takes."""
        return SIGNS[self.rankdir][1]

    def space(self, folded: bool) -> dict[str, str]:
        """How far apart the ranks stand; lines without numbers run straight, side to side."""
        if self.numbered:
            return {"ranksep": "0.8" if folded else "0.35"}
        return {"ranksep": "2", "splines": "line"}

    def sides(self) -> dict[str, str]:
        """Where an arrow touches its two boxes, if that is not left to the layout."""
        if self.numbered:
            return {}
        return dict(zip(("tailport", "headport"), PORTS[self.rankdir], strict=True))


def digraph(scene: Scene, rankdir: str, legend: str) -> graphviz.Digraph:
    """The scene as a graph for the layout program; the same scene gives the same text."""
    look = Look.of(scene, rankdir)
    dot = graphviz.Digraph("microgradlike")
    dot.attr(rankdir=rankdir, bgcolor="transparent", outputorder="edgesfirst", nodesep="0.2")
    dot.attr(fontname=style.FONT, fontsize="10", fontcolor=style.MUTED, labelloc="b")
    dot.attr(labeljust="l", label=legend, **look.space(scene.folded))
    dot.attr("node", fontname=style.FONT, fontsize="11", fontcolor=style.INK, style="filled")
    dot.attr("node", fillcolor=style.SURFACE, color=style.BORDER, margin="0.12,0.04", height="0.2")
    dot.attr("edge", fontname=style.FONT, fontsize="10", color=style.MUTED, arrowsize="0.6")
    lines = _lines(scene)
    for box in scene.boxes:
        extra = _numbers_of(data=box.data, grad=box.grad) | lines.get(box.name, {})
        dot.node(box.name, **_shape(box), **extra, label=f"<{_table(box, look.colours)}>")
    _add_columns(dot, scene.boxes, look)
    layers = {box.name for box in scene.boxes if box.kind == "layer"}
    for place, arrow in enumerate(scene.arrows):
        # The arrow to a heading must not pull it away from its layer.
        weight = {"weight": "0"} if arrow.tail in layers else {}
        line = _line(arrow, look) | look.sides() | weight
        line |= _numbers_of(slope=arrow.slope, contribution=arrow.contribution)
        if scene.forward_only:
            line |= {"class": "data", "color": style.MUTED, "penwidth": "1"}
        elif arrow.aside:
            line |= {"color": style.BORDER}
        dot.edge(arrow.tail, arrow.head, id=f"e{place}", **line)
    return dot


def _numbers_of(**numbers: float | None) -> dict[str, str]:
    """The exact numbers as attributes: for scripts that read the text, or the format json."""
    return {name: repr(number) for name, number in numbers.items() if number is not None}


def _lines(scene: Scene) -> dict[str, dict[str, str]]:
    """The boxes that stand in a straight line: those of one long chain are of one group.

    A chain goes on over the operand with the most operations behind it, where the others have none
    or few. Left alone, the layout makes a staircase of it, and the picture grows with the square.
    """
    operations = {box.name for box in scene.boxes if box.kind in ("operation", "result")}
    behind = dict.fromkeys(operations, 1)  # how many operations lead to one, on the longest way
    before: dict[str, list[str]] = {}
    users = Counter(arrow.tail for arrow in scene.arrows)
    for arrow in scene.arrows:
        if arrow.tail in operations and arrow.head in operations:
            before.setdefault(arrow.head, []).append(arrow.tail)
    for box in scene.boxes:  # each after its operands
        for tail in before.get(box.name, ()):
            behind[box.name] = max(behind[box.name], behind[tail] + 1)
    chains: dict[str, list[str]] = {}
    for box in scene.boxes:
        if box.name not in operations:
            continue
        tails = sorted(before.get(box.name, ()), key=behind.__getitem__, reverse=True)
        others = max(map(behind.__getitem__, tails[1:]), default=0)
        goes_on = tails and users[tails[0]] == 1 and others < min(behind[tails[0]], STRAIGHT // 2)
        chain = chains.get(tails[0], []) if goes_on else []
        chain.append(box.name)
        chains[box.name] = chain
    long = {chain[0]: chain for chain in chains.values() if len(chain) >= STRAIGHT}
    return {name: {"group": first} for first, chain in long.items() for name in chain}


def _add_columns(dot: graphviz.Digraph, boxes: list[Box], look: Look) -> None:
    """A frame around each layer, in which invisible arrows keep the neurons in their order."""
    columns: dict[str, list[str]] = {}
    for box in boxes:
        columns.setdefault(box.column, []).append(box.name)
    if columns.keys() == {""}:
        return
    # Only without its second try does the layout keep an order within frames: from left to right,
    # or from the bottom to the top.
    dot.attr(remincross="false")
    for place, (column, names) in enumerate(columns.items()):
        if column:
            frame = graphviz.Digraph(f"cluster_{place}")
            frame.attr(label="", style="rounded", color=style.BORDER)
            rank = graphviz.Digraph(graph_attr={"rank": "same"}, edge_attr={"style": "invis"})
            for pair in itertools.pairwise(names if look.downward else reversed(names)):
                rank.edge(*pair)
            frame.subgraph(rank)
            dot.subgraph(frame)


def _shape(box: Box) -> dict[str, str]:
    shape = {"class": box.kind.replace(" ", "-")} | SHAPES[box.kind][1]
    if box.ordered:
        shape["ordering"] = "in"
    if box.marked:
        shape |= {"color": style.ACTIVE, "penwidth": "3"}
    if not all(math.isfinite(x) for x in (box.data, box.grad) if x is not None):
        solid = shape.get("style", "filled")
        shape |= {"style": f"{solid},dashed", "color": style.INK, "penwidth": "2.5"}
    return shape


# ---- What stands in a box ----------------------------------------------------------------------


def _table(box: Box, colours: Scale) -> str:
    """What stands in a box: its name and operator, lines of words, its data and its gradient.

    ``parts.parts_of_box`` finds them again in the finished SVG, by this order.
    """
    bold = box.kind != "constant"
    heading = "\n".join(map(style.shortened, box.heading.split("\n")))
    name = labels.font(heading, 12, bold=bold) if heading else ""
    how = (
        labels.font(box.symbol, 12, style.MUTED if box.heading else style.INK) if box.symbol else ""
    )
    room = _room_for(heading, box.symbol)
    rows = [f"<TD{room}>" + " ".join(filter(None, (name, how))) + "</TD>"] if name or how else []
    rows += [f"<TD>{labels.font(line, 9, style.MUTED)}</TD>" for line in box.lines]
    rows += [_remark(remark) for remark in box.remarks]
    numbers = []
    if box.data is not None:
        numbers.append(_value(box))
    if box.has_gradient:
        numbers.append(_gradient(box, colours))
    if numbers:
        # A folded picture is tall: its boxes are low.
        between = "" if box.kind == "folded part" else "</TR><TR>"
        rows.append(f"<TD>{labels.table(between.join(numbers))}</TD>")
    return labels.table(*rows)


def _room_for(heading: str, symbol: str) -> str:
    """The width of a line that the layout program cannot measure: it knows little but ASCII."""
    if heading.isascii() and all(c.isascii() or c in "×−÷" for c in symbol):
        return ""
    *_, last = lines = heading.split("\n")
    beside = style.width(f" {symbol}", 12) if symbol else 0.0
    widths = [style.width(line, 12, bold=True) for line in lines]
    room = max(*widths, style.width(last, 12, bold=True) + beside)
    return f' WIDTH="{math.ceil(room)}"'


def _remark(remark: Remark) -> str:
    """A remark, or the room for it."""
    room = math.ceil(style.width(remark.words, 9))
    words = labels.font(remark.words if remark.known else " ", 9, style.MUTED)
    return f'<TD WIDTH="{room}">{words}</TD>'


def _value(box: Box) -> str:
    """The number, in a cell that has room for every one that a page will show there."""
    ground = SHAPES[box.kind][1].get("fillcolor", style.SURFACE) if box.values else ""
    return _cells("data", style.number(box.data or 0.0), style.INK, ground, _room(box.values))


def _room(numbers: tuple[float, ...]) -> int:
    widest = max((style.width(style.number(number), 11) for number in numbers), default=0)
    return max(42, math.ceil(widest) + 6)


def _gradient(box: Box, colours: Scale) -> str:
    """The gradient, in a cell that has room for every one that the sweep will bring."""
    room = _room(box.run)
    if box.grad is None:
        return _cells("grad", style.NOT_YET, style.MUTED, style.SURFACE, room)
    return _cells("grad", style.number(box.grad), *colours.paint(box.grad), room)


def _cells(name: str, number: str, ink: str, fill: str = "", room: int = 42) -> str:
    paint = f' BGCOLOR="{fill}"' if fill else ""
    return (
        f'<TD ALIGN="LEFT">{labels.font(name, 9, style.MUTED)}</TD>'
        f'<TD ALIGN="RIGHT" WIDTH="{room}"{paint}>{labels.font(number, 11, ink)}</TD>'
    )


# ---- Arrows ------------------------------------------------------------------------------------


def _line(arrow: Arrow, look: Look) -> dict[str, str]:
    """An arrow points to where the gradient goes: solid if positive, dashed if negative.

    To a constant none goes: there the value alone flows forward.
    """
    error = arrow.contribution
    if error is None:
        return {"class": "constant", "color": style.BORDER, "penwidth": "0.8"}
    if not arrow.crossed:
        return _not_yet(arrow, error, look)
    line = {"class": "error", "dir": "back", "color": style.hue(error)}
    line["penwidth"] = f"{look.widths.width(error):g}"
    if error == 0:
        line |= {"class": "no-error", "style": "dotted", "penwidth": "1"}
        if not look.numbered:  # hundreds of them must not drown the others
            line |= {"penwidth": "0.4", "color": style.BORDER, "arrowsize": "0.3"}
    elif -math.inf < error < 0:
        line["style"] = "dashed"
    if look.numbered:
        line["label"] = f"<{_numbers(arrow.slope, error, look)}>"
    return line


def _not_yet(arrow: Arrow, error: float, look: Look) -> dict[str, str]:
    """An arrow that the gradient has still to cross: a thin line, with room for its number."""
    line = {"class": "waiting", "color": style.BORDER, "penwidth": "1", "arrowsize": "0.4"}
    if look.numbered:
        line["label"] = f"<{_numbers(arrow.slope, error, look, hidden=True)}>"
    return line


def _numbers(slope: float | None, error: float, look: Look, hidden: bool = False) -> str:
    """The numbers of an arrow, near its line and far from that of the next arrow.

    ``parts.parts_of_arrow`` finds them again in the finished SVG, by their order.
    """
    words = f"{look.back} {style.signed(error)}" if error else style.number(error)
    rows = [] if slope is None else [labels.font(f"× {style.number(slope)}", 9, style.MUTED)]
    room = math.ceil(style.width(words, 10, bold=True))
    rows.append(labels.font(" " if hidden else words, 10, style.text_hue(error), bold=True))
    if look.downward:  # the line is on the left
        return labels.table(
            *(f'<TD ALIGN="LEFT" WIDTH="{room + 12}">{row}</TD>' for row in rows), padding=4
        )
    cells = [f'<TD WIDTH="{room}">{row}</TD>' for row in rows]  # the line is below
    return labels.table('<TD HEIGHT="12"></TD>', *cells, '<TD HEIGHT="4"></TD>', padding=0)


# ---- The legend, which explains everything that is on the picture ------------------------------


def legend(scene: Scene, rankdir: str) -> str:
    """The legend as the label of the whole graph, so that every layout puts it below."""
    look = Look.of(scene, rankdir)
    errors = [arrow.contribution for arrow in scene.arrows if arrow.contribution is not None]
    rows = [labels.key("shape", labels.words(_shapes_present(scene)))]
    if scene.ran and errors:
        rows += _explain_arrows(errors, look)
    if any(error == 0 for error in errors):
        rows.append(labels.key(f"dotted {look.back}", labels.words("a gradient of 0")))
    if scene.forward_only:
        return labels.legend([*rows, *(labels.key("", labels.words(n)) for n in scene.notes)])
    if any(arrow.contribution is None for arrow in scene.arrows):
        rows.append(
            labels.key(f"thin {look.forth}", labels.words("a constant; nothing is sent back to it"))
        )
    if errors:
        rows.append(labels.key("numbers", labels.words(_explain_numbers(scene.folded, look))))
    if scene.ran:
        rows.append(labels.key("grad", labels.swatches(look.colours)))
    else:
        rows.append(
            labels.key("", labels.words("backward() has not been run: no gradient to show"))
        )
    rows += [labels.key("", labels.words(note)) for note in scene.notes]
    return labels.legend(rows)


def legend_in_short(scene: Scene, rankdir: str) -> str:
    """The line that stands for the legend while it is folded."""
    look = Look.of(scene, rankdir)
    return labels.legend(
        [
            labels.key("Legend:", labels.words("purple: now,", 1)),
            labels.key(look.forth, labels.words("value,", 1)),
            labels.key(look.back, labels.words("gradient:", 1)),
            labels.key("", labels.bar(4, style.POSITIVE) + labels.words("positive,", 1)),
            labels.key("", labels.bar(4, style.NEGATIVE) + labels.words("negative", 1)),
        ]
    )


def _shapes_present(scene: Scene) -> str:
    kinds = {box.kind for box in scene.boxes}
    return "   ".join(f"{SHAPES[kind][0]}: {kind}" for kind in SHAPES if kind in kinds)


def _explain_arrows(errors: list[float], look: Look) -> list[str]:
    rows = []
    if any(0 < error < math.inf for error in errors):
        words = labels.words("solid: if this number rises, so does the result", 8)
        rows.append(labels.key(f"{look.back} +", labels.bar(6, style.POSITIVE) + words))
    if any(-math.inf < error < 0 for error in errors):
        words = labels.words("dashed: if this number rises, the result falls", 8)
        rows.append(labels.key(f"{look.back} −", labels.bar(6, style.NEGATIVE) + words))
    if not all(map(math.isfinite, errors)):
        words = labels.words("the gradient is infinite, or not a number", 8)
        rows.append(labels.key(f"black {look.back}", labels.bar(6, style.INK) + words))
    return [
        *rows,
        labels.widths(look.widths.largest, look.widths.width, "size of the gradient sent back"),
    ]


def _explain_numbers(folded: bool, look: Look) -> str:
    words = (
        f"×: slope of this operation   {look.back}: gradient sent back = that slope × the gradient "
        f"from the {FROM[look.rankdir]}"
    )
    if folded:
        words = f"{look.back}: gradient sent back, the sum of all that an arrow is drawn for"
    return words if look.numbered else f"in the tooltips: {words}"
