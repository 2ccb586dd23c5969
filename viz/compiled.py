"""The picture of a compiled function: what was written, and the matrices that were found in it.

Left stand the scalar operations of the trace, right the instructions that compute the same, at the
same height: an arrow says "these operations became this instruction". Both are read from the
program; nothing is run, and no derivative is computed.
"""

from __future__ import annotations

import inspect
import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import graphviz
import numpy

from microgradlike.compiler.graph import ONCE, ROWS, Graph
from microgradlike.compiler.instructions import (
    Instruction,
    Layer,
    Products,
    Sums,
    parts_of,
)
from microgradlike.compiler.operations import ARITY, CODES, NAMES, row_of
from microgradlike.compiler.program import Program, Stage
from microgradlike.engine import Value
from microgradlike.inputs import describe
from microgradlike.replay.compiled import Compiled
from microgradlike.words import counted, literal
from viz import labels, style
from viz.dot import SHAPES
from viz.picture import Picture
from viz.view import Rendering, RenderingOptions, takes

if TYPE_CHECKING:
    from typing_extensions import Unpack  # type checkers have it; no program needs it

#: A path with more operations and leaves than this shows its operations as rows of symbols.
MOST_NODES = 40

#: A path of more boxes shows the first ones, the last ones, and how many are between.
MOST_BOXES, FIRST_BOXES, LAST_BOXES = 40, 24, 8

#: So many paths are shown.
MOST_PATHS = 4

# All lengths are in points. A rectangle of up to 16 rows and columns shows every entry.
ENTRY, LONGEST, THINNEST, MOST_ENTRIES = 8.0, 64.0, 4.0, 16
PILE, MOST_PILED = 3.0, 3
NODE, NARROWEST, WIDEST, ROW = 24.0, 34.0, 80.0, 40.0
GAP, PADDING, BETWEEN, LINE = 10.0, 12.0, 64.0, 14.0
# The layout program takes a minus for wider than it is: no symbol gets less room than that.
SYMBOLS, SYMBOL, SYMBOL_LINES = 150.0, 13.5, 3

NUMBERS = {"color": style.BORDER, "arrowsize": "0.4", "class": "number"}
WHEN = {True: "once per call: of parameters alone", False: "for each row"}


@takes(Rendering)
def draw_compiled(c: Compiled, **options: Unpack[RenderingOptions]) -> Picture:
    """Draw the scalar operations of a compiled function, and the matrices that were found in them.

    The operations of a small function are all shown; those of a large one are counted. Each path
    of a function with branches has a picture of its own, one below the other: the first four.

    Args:
        c: a function made by ``compile``, called or traced before.
        options: ``engine``, ``theme`` and ``colours``, as for ``draw``.

    Returns:
        A Picture: shown by a notebook, and written to a file by its ``save``.

    Raises:
        TypeError: ``c`` is not a compiled function.
        ValueError: the function was not traced yet.

    >>> from microgradlike import compile
    >>> w, b = Value(2.0), Value(1.0)
    >>> c = compile(lambda x, y: (w * x + b - y) ** 2).trace([1.0], [3.0])
    >>> draw_compiled(c)
    <Picture: 4 scalar operations became 3 instructions: rows x [mul, sum 2, mul]>
    """
    rendering = Rendering.of(draw_compiled, options)
    if not isinstance(c, Compiled):
        raise TypeError(
            "draw_compiled(c) draws what compile(f) made of a function, but got "
            f"{describe(c)}; pass compile(f), traced on some rows"
        )
    programs = c.programs
    names = Names.of(c)
    paths = [Path.of(program, names) for program in programs]
    operations = sum(path.operations for path in paths)
    instructions = sum(len(box.instructions) for path in paths for box in path.boxes)
    title = (
        f"{counted(operations, 'scalar operation')} became "
        f"{counted(instructions, 'instruction')}: {c.describe()}"
    )
    sheet = Sheet()
    for place, path in enumerate(paths[:MOST_PATHS], 1):
        which = f"path {place} of {len(paths)}: " if len(paths) > 1 else ""
        Drawing(sheet, path).draw(which)
    sheet.explain(len(paths))
    return Picture(str(sheet.dot.source), title, sheet.titles, rendering)


# ---- Names -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Names:
    """What inputs and parameters are called."""

    arguments: list[str]
    """For each number of a row, the argument that it stands in."""
    inputs: list[str]
    """The same with its place there, such as ``x[0]``."""
    variables: dict[Value, str]
    """The variable in which the function finds a parameter."""
    places: dict[Value, int]
    """The place of a parameter in ``theta()``."""

    @classmethod
    def of(cls, c: Compiled) -> Names:
        """What a function that was traced calls its inputs and its parameters."""
        arguments, inputs = [], []
        for name, shape in zip(_arguments(c), c._shapes, strict=True):
            for index in numpy.ndindex(shape):
                arguments.append(name)
                inputs.append(name + "".join(f"[{place}]" for place in index))
        places = {parameter: place for place, parameter in enumerate(c.parameters)}
        return cls(arguments, inputs, _variables(c.function), places)

    def parameter(self, value: Value) -> str:
        """The label of a parameter, or else its variable, or else its place."""
        return literal(value.label or self.variables.get(value, f"θ[{self.places[value]}]"))


def _arguments(c: Compiled) -> list[str]:
    try:
        signature = list(inspect.signature(c.function).parameters.values())
    except ValueError:  # a function that was not written in Python
        signature = []
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in signature if parameter.kind in plain]
    count = len(c._shapes)
    return [*names, *(f"argument {place + 1}" for place in range(len(names), count))][:count]


def _variables(function: Any) -> dict[Value, str]:
    """The variables in which a function finds Values, or lists of them."""
    found: dict[Value, str] = {}

    def name(value: Any, called: str) -> None:
        if isinstance(value, Value):
            found.setdefault(value, called)
        elif isinstance(value, list | tuple):
            for place, part in enumerate(value):
                name(part, f"{called}[{place}]")

    if inspect.isfunction(function):
        closed = inspect.getclosurevars(function)
        for called, value in {**closed.globals, **closed.nonlocals}.items():
            name(value, called)
    return found


# ---- Reading a program -------------------------------------------------------------------------


@dataclass
class Box:
    """One box on the right: an instruction, or those that make a softmax."""

    name: str
    once: bool
    instructions: list[Instruction]
    operations: list[int] = field(default_factory=list)
    """The nodes of the graph that became this."""
    reads: dict[str, None] = field(default_factory=dict)
    results: int = 0

    @property
    def main(self) -> Instruction:
        """The instruction that tells how many numbers there are: the sum within a softmax."""
        sums = (i for i in self.instructions if isinstance(i, Sums))
        return next(sums, self.instructions[-1])


@dataclass(frozen=True)
class Path:
    """The graph of one program, and its boxes in the order in which they run."""

    program: Program
    graph: Graph
    boxes: list[Box]
    homes: Any
    """For each node the place of the box that computes it; -1 for leaves."""
    names: Names

    @classmethod
    def of(cls, program: Program, names: Names) -> Path:
        """Read a program: which operations became which box, and what each box reads."""
        graph = program.graph
        stages = {True: program.once, False: program.rows}
        boxes = [
            Box(name, once, instructions)
            for once, stage in stages.items()
            for name, instructions in stage.named()
        ]
        homes = _homes(graph, boxes)
        path = cls(program, graph, boxes, homes, names)
        order = numpy.argsort(homes, kind="stable")
        bounds = numpy.searchsorted(homes[order], numpy.arange(len(boxes) + 1))
        for box, (start, end) in zip(boxes, itertools.pairwise(bounds), strict=True):
            box.operations = order[start:end].tolist()
        writers = {once: path._writers(once, stage) for once, stage in stages.items()}
        for box in boxes:
            for once, slots in _operands(box):
                box.reads |= dict.fromkeys(path._sources(once, slots, writers[once], box))
        for once, slot in program.outputs:
            if (writer := writers[once][slot]) >= 0:
                boxes[writer].results += 1
        return path

    @property
    def operations(self) -> int:
        """How many scalar operations there are."""
        return sum(len(box.operations) for box in self.boxes)

    @property
    def small(self) -> bool:
        """Whether the operations themselves are shown."""
        return len(self.graph.op) <= MOST_NODES

    def _writers(self, once: bool, stage: Stage) -> Any:
        """For each slot of a stage the box that writes it, or -1."""
        writers = numpy.full(stage.slots, -1)
        for place, box in enumerate(self.boxes):
            if box.once == once:
                for i in box.instructions:
                    writers[i.outs] = place
        return writers

    def _sources(self, once: bool, slots: Any, writers: Any, reader: Box) -> Iterator[str]:
        """What stands in these slots: numbers that are given, or those of other boxes."""
        given = numpy.unique(slots[writers[slots] < 0])
        if once and (given < len(self.program.parameters)).any():
            yield "parameters"
        elif not once:
            yield from (self.names.arguments[self.program.inputs[slot]] for slot in given)
        for place in numpy.unique(writers[slots]).tolist():
            if place >= 0 and self.boxes[place] is not reader:
                yield f"box {place + 1}"


def _homes(graph: Graph, boxes: list[Box]) -> Any:
    """For each node the place of the box that computes it; -1 for leaves.

    Of a sum that takes two instructions, the last addition is the second one's, and all that it
    adds up the first one's.
    """
    own = numpy.full(len(graph.op), -1)
    within = own.copy()
    for place, box in reversed(list(enumerate(boxes))):
        for instruction in box.instructions:
            nodes = instruction.nodes
            own[nodes] = numpy.where(own[nodes] < 0, place, own[nodes])
            within[nodes[graph.stage[nodes] == (ONCE if box.once else ROWS)]] = place
    # What no instruction computes by itself is a term or a partial sum of what its user is.
    inner = (own < 0) & (ARITY[graph.op] > 0)
    heir = numpy.arange(len(own))
    for operands, arity in ((graph.left, 1), (graph.right, 2)):
        users = numpy.flatnonzero(ARITY[graph.op] >= arity)
        users = users[inner[operands[users]]]
        heir[operands[users]] = users
    while inner[heir].any():
        heir = heir[heir]
    return numpy.where(inner, within[heir], own)


def _operands(box: Box) -> Iterator[tuple[bool, Any]]:
    """The slots that a box reads, and whether they are slots of ``once``."""
    for instruction in box.instructions:
        for read in instruction.reads():
            for once, slots in parts_of(read):
                if slots.size:
                    yield once or box.once, slots


class Line(NamedTuple):
    """A line of words."""

    words: str
    colour: str = style.MUTED
    bold: bool = False


# ---- Left, small: the operations themselves ----------------------------------------------------

#: A node of the graph; or a constant: its user, and which operand of it.
Key: TypeAlias = int | tuple[int, int]


class Tree:
    """The operations of one box, and what they are made of: leaves, and results of other boxes.

    Attributes:
        nodes: for each how far to the right it stands, and on how many floors others stand below.
        width, height: how many places there are side by side, and how many floors.
    """

    def __init__(self, path: Path, box: Box) -> None:
        self._path, self._places = path, itertools.count()
        self._inside = set(box.operations)
        users: dict[Key, list[int]] = {}
        for node in box.operations:
            for operand in operands_of(path.graph, node):
                users.setdefault(operand, []).append(node)
        # Every node stands just above the highest of its users: lines are short.
        self._floors: dict[Key, int] = {}
        for key in (*reversed(box.operations), *(users.keys() - self._inside)):
            above = (self._floors[user] + 1 for user in users.get(key, ()))
            self._floors[key] = max(above, default=0)
        self.nodes: dict[Key, tuple[float, int]] = {}
        for node in box.operations:
            if node not in users:
                self._place(node)
        self.width = next(self._places)
        self.height = 1 + max(self._floors.values(), default=0)

    def _place(self, key: Key) -> float:
        """A node stands in the middle of what it is made of, the first operand on the left."""
        made_of = [
            self._place(operand) for operand in self.operands(key) if operand not in self.nodes
        ]
        across = statistics.mean(made_of) if made_of else float(next(self._places))
        self.nodes[key] = across, self._floors[key]
        return across

    def operands(self, key: Key) -> list[Key]:
        """What an operation of this box is made of; nothing else has operands here."""
        if isinstance(key, tuple) or key not in self._inside:
            return []
        return operands_of(self._path.graph, key)


def operands_of(graph: Graph, node: int) -> list[Key]:
    """The operands of an operation: each constant is a node of its own, a square has just one."""
    sides = [int(graph.left[node]), int(graph.right[node])][: ARITY[graph.op[node]]]
    return [
        (node, side) if graph.op[operand] == CODES["constant"] else operand
        for side, operand in enumerate(dict.fromkeys(sides))
    ]


def symbol(graph: Graph, node: int) -> str:
    """How an operation is typeset."""
    name = NAMES[graph.op[node]]
    if name == "mul" and graph.left[node] == graph.right[node]:
        return "( )²"
    row, _ = row_of(name)
    return COMPARISONS.get(name) or style.symbol(row.symbol if row else name)


COMPARISONS = {"lt": "<", "le": "≤", "eq": "=", "ne": "≠"}


def role_and_words(path: Path, key: Key) -> tuple[str, str]:
    """The role of a node, which decides its shape, and what stands on it."""
    graph = path.graph
    if isinstance(key, tuple):
        user, side = key
        return "constant", style.number(graph.constants[(graph.left, graph.right)[side][user]])
    name, place = NAMES[graph.op[key]], graph.left[key]
    if name == "input":
        return "input", path.names.inputs[place]
    if name == "parameter":
        return "parameter", path.names.parameter(path.program.graph.tape.parameters[place])
    return ("result" if key in graph.outputs else "operation"), symbol(graph, key)


# ---- Left, large: rows of symbols --------------------------------------------------------------


def kinds_of(graph: Graph, box: Box) -> list[tuple[int, int]]:
    """The kinds of operations that became a box: one of them, and how many there are."""
    nodes = numpy.array(box.operations, int)
    squares = graph.left[nodes] == graph.right[nodes]
    kinds = graph.op[nodes] * 2 + (squares & (graph.op[nodes] == CODES["mul"]))
    _, first, counts = numpy.unique(kinds, return_index=True, return_counts=True)
    order = numpy.lexsort((first, -counts))
    return list(zip(nodes[first[order]].tolist(), counts[order].tolist(), strict=True))


def rows_of_symbols(path: Path, box: Box) -> list[Line]:
    """How many operations of each kind became a box, and as many symbols as there is room for."""
    if not box.operations:
        return [Line("counted with the sum"), Line("that it is a part of")]
    graph = path.graph
    rows = []
    for node, count in kinds_of(graph, box):
        name, sign = NAMES[graph.op[node]], symbol(graph, node)
        per_line = int(SYMBOLS // max(style.width(f"{sign} ", 10), SYMBOL))
        room = SYMBOL_LINES * per_line
        signs = [sign] * min(count, room)
        if count > room:
            signs[-1] = "…"
        if count == 1:
            rows.append(Line(name, style.INK))
            continue
        rows.append(Line(f"{name} ×{count:,}", style.INK))
        rows += [
            Line(" ".join(signs[start : start + per_line]))
            for start in range(0, len(signs), per_line)
        ]
    return rows


# ---- Right: what an instruction looks like -----------------------------------------------------


def rectangles(instruction: Instruction) -> list[tuple[int, int]]:
    """Rows and columns of what an instruction works on."""
    if isinstance(instruction, Layer):
        return [instruction.weights.shape]
    if isinstance(instruction, Products) and (found := instruction.grid()):
        return [found[0].shape, found[1].T.shape]
    operand, *_ = instruction.reads()
    return [operand.slots.shape if operand.slots.ndim == 2 else (instruction.count, 1)]


def words_of(path: Path, place: int) -> list[Line]:
    """What stands in a box: its name, its weights, what it reads, and whether it is a result."""
    box = path.boxes[place]
    rows = [Line(f"{place + 1}  {box.name}", style.INK, bold=True)]
    if isinstance(box.main, Layer):
        outs, ins = box.main.weights.shape
        weights = [f"{outs}x{ins} matrix: {counted(outs * ins, 'weight')}"]
        if box.main.bias is not None:
            weights.append("+ bias")
        rows.append(Line(" ".join(weights)))
    rows.append(Line(f"reads {', '.join(box.reads)}"))
    if box.results:
        results = "the result" if path.program.graph.tape.single else counted(box.results, "result")
        rows.append(Line(f"gives {results}"))
    return rows


# ---- The sheet on which all of it is placed ----------------------------------------------------


class Sheet:
    """DOT text in which every node has its place; y grows upwards."""

    def __init__(self) -> None:
        self.dot = dot = graphviz.Digraph("compiled")
        self.titles: dict[str, str] = {}
        self.seen = {"left", "right"}
        """What the legend has to explain."""
        self.bottom = 0.0
        dot.attr(layout="neato", splines="line", bgcolor="transparent", outputorder="edgesfirst")
        dot.attr("node", fontname=style.FONT, fontcolor=style.INK, color=style.BORDER)
        dot.attr("node", style="filled", fillcolor=style.SURFACE, margin="0", label="")
        dot.attr("edge", color=style.MUTED, arrowsize="0.6")

    def put(self, x: float, y: float, size: tuple[float, float], title: str, **look: str) -> str:
        """Add a node with its middle at x, y; its name."""
        name = f"n{len(self.titles)}"
        self.titles[name] = title
        look = {"shape": "box", "pos": f"{_inches(x)},{_inches(y)}!"} | look
        if look["shape"] != "plain":  # which is as large as its label
            width, height = size
            look |= {"width": _inches(width), "height": _inches(height), "fixedsize": "true"}
        self.dot.node(name, **look)
        return name

    def join(self, tail: str, head: str, title: str, **look: str) -> None:
        """Add an arrow."""
        name = f"e{len(self.titles)}"
        self.titles[name] = title
        self.dot.edge(tail, head, id=name, **look)

    def write(self, left: float, y: float, rows: Sequence[Line], title: str) -> None:
        """Add lines of words, their first letters below each other."""
        width = math.ceil(extent(rows))
        cells = (
            f'<TD ALIGN="LEFT" FIXEDSIZE="TRUE" WIDTH="{width}" HEIGHT="{LINE:g}">'
            f"{labels.font(row.words, 10, row.colour, row.bold)}</TD>"
            for row in rows
        )
        look = {"shape": "plain", "fillcolor": "none", "class": "words"}
        label = f"<{labels.table(*cells, padding=0)}>"
        self.put(left + width / 2, y, (width, len(rows) * LINE), title, label=label, **look)

    def heading(self, columns: Sequence[tuple[float, str]], bold: bool) -> None:
        """Add a line of words above what follows."""
        self.bottom -= 1.5 * LINE
        for left, words in columns:
            line = Line(words, style.INK if bold else style.MUTED, bold)
            self.write(left, self.bottom, [line], words)
        self.bottom -= LINE

    def explain(self, paths: int) -> None:
        """Add the legend, which says what everything means."""
        meanings = {
            "left": "the scalar operations of the function; those that compute the same, once",
            "right": "the instructions that compute the same for many rows at once, in their order",
            "►": "these operations became this instruction",
            "grey": "a matrix of weights: a row for each output, a column for each input",
            "pile": "the same weights, used at several places",
            "white": "numbers that are no weights, a row for each result",
        }
        rows = {key: words for key, words in meanings.items() if key in self.seen}
        if shapes := [kind for kind in SHAPES if kind in self.seen]:
            rows["shape"] = "   ".join(f"{SHAPES[kind][0]}: {kind}" for kind in shapes)
        if paths > MOST_PATHS:
            rows["not shown"] = counted(paths - MOST_PATHS, "more path")
        lines = [labels.key(key, labels.words(words)) for key, words in rows.items()]
        self.dot.attr(labelloc="b", labeljust="l", label=labels.legend(lines))
        self.dot.attr(fontname=style.FONT, fontsize="10", fontcolor=style.MUTED)


def _inches(points: float) -> str:
    return f"{points / 72:.3f}"


def extent(rows: Iterable[Line]) -> float:
    """How wide lines of words are."""
    return max((style.width(row.words, 10, row.bold) for row in rows), default=0.0)


# ---- Drawing -----------------------------------------------------------------------------------


class Drawing:
    """A path on a sheet: its boxes below each other, and beside each what it was made of."""

    def __init__(self, sheet: Sheet, path: Path) -> None:
        self.sheet, self.path = sheet, path
        boxes = path.boxes
        self.trees = [Tree(path, box) for box in boxes] if path.small else []
        self.piles = [
            [] if path.small and box.operations else rows_of_symbols(path, box) for box in boxes
        ]
        self.words = [words_of(path, place) for place in range(len(boxes))]
        trees = enumerate(self.trees)
        faces = [self._face(key, place)[1] for place, tree in trees for key in tree.nodes]
        widest = max((style.width(words, 11) for words in faces), default=0.0)
        self.node = min(max(widest + 16, NARROWEST), WIDEST)
        self.results: dict[int, str] = {}
        places = max((tree.width for tree in self.trees), default=0)
        symbols = max(map(extent, self.piles), default=0.0)
        self.left = max(places * (self.node + GAP), symbols, NARROWEST) + 2 * PADDING
        self.glyph = max(map(self._glyph_width, boxes), default=0.0)
        self.right = self.glyph + max(map(extent, self.words), default=0.0) + 3 * PADDING

    def draw(self, name: str) -> None:
        """Put all of it on the sheet."""
        path, sheet = self.path, self.sheet
        count = sum(len(box.instructions) for box in path.boxes)
        start = self.left + BETWEEN
        found = counted(count, "instruction")
        operations = counted(path.operations, "scalar operation")
        sheet.heading([(0, f"{name}{operations}"), (start, found)], bold=True)
        stages = {box.once for box in path.boxes}
        stage = None
        shown = _shown(len(path.boxes))
        for before, place in itertools.pairwise([-1, *shown]):
            box = path.boxes[place]
            if len(stages) > 1 and box.once != stage:
                stage = box.once
                sheet.heading([(start, WHEN[stage])], bold=False)
            if place > before + 1:
                between = path.boxes[before + 1 : place]
                operations = counted(sum(len(b.operations) for b in between), "operation")
                more = f"… {len(between):,} more boxes"
                sheet.heading([(0, f"… {operations}"), (start, more)], bold=False)
            self._box(place, start)

    def _box(self, place: int, start: float) -> None:
        """A box, and to the left of it, at the same height, what it was made of."""
        sheet, box = self.sheet, self.path.boxes[place]
        pile = self.piles[place]
        left = LINE * len(pile) if pile else self.trees[place].height * ROW
        height = max(left, LINE * len(self.words[place]), _glyph_height(box)) + 1.5 * PADDING
        y = sheet.bottom - height / 2
        sheet.bottom -= height + GAP
        graph = self.path.graph
        kinds = ((NAMES[graph.op[node]], count) for node, count in kinds_of(graph, box))
        made_of = ", ".join(f"{name} x{count}" for name, count in kinds)
        title = f"{made_of or 'terms of a sum'}: became {box.name}"
        look = {"fillcolor": "none", "style": "rounded,dashed", "class": "operations"}
        tail = sheet.put(self.left / 2, y, (self.left, height), title, **look)
        about = "\n".join(line.words for line in self.words[place])
        look = {"style": "rounded,filled", "class": "instruction"}
        head = sheet.put(start + self.right / 2, y, (self.right, height), about, **look)
        sheet.join(tail, head, title, penwidth="1.5")
        sheet.seen.add("►")
        self._glyph(box, start + PADDING, y, about)
        sheet.write(start + self.glyph + 2 * PADDING, y, self.words[place], about)
        if pile:
            sheet.write(PADDING, y, pile, title)
        else:
            self._tree(place, y)

    # ---- Left ----

    def _tree(self, place: int, y: float) -> None:
        """The operations of a box as a graph; results of the box above come down on lines."""
        tree, sheet = self.trees[place], self.sheet
        drawn: dict[Key, str] = {}
        results: dict[int, str] = {}
        for key, (across, floor) in tree.nodes.items():
            role, words, title = self._face(key, place)
            sheet.seen.add(role)
            x = self.left / 2 + (across - (tree.width - 1) / 2) * (self.node + GAP)
            above = y + (floor - (tree.height - 1) / 2) * ROW
            look = SHAPES[role][1] | {"class": role, "margin": "0"}
            label = f"<{labels.font(style.fitting(words, self.node - 12, 11), 11)}>"
            drawn[key] = sheet.put(x, above, (self.node, NODE), title, label=label, **look)
            if isinstance(key, int) and floor == 0:
                results[key] = drawn[key]
            if key in self.results and floor == tree.height - 1:
                sheet.join(self.results[key], drawn[key], title, **NUMBERS)
        for key in tree.nodes:
            for operand in tree.operands(key):
                ends = [self._face(end, place)[1] for end in (operand, key)]
                sheet.join(drawn[operand], drawn[key], " goes into ".join(ends), **NUMBERS)
        self.results = results

    def _face(self, key: Key, place: int) -> tuple[str, str, str]:
        """The role of a node within a box, what stands on it, and what it is in a sentence."""
        path = self.path
        role, words = role_and_words(path, key)
        if isinstance(key, tuple) or role in ("input", "parameter"):
            return role, words, f"{role} {words}"
        home = path.homes[key]
        operation = NAMES[path.graph.op[key]]
        if home != place:
            return "elsewhere", f"box {home + 1}", f"the result of {operation} in box {home + 1}"
        operands = [self._face(operand, place)[1] for operand in operands_of(path.graph, key)]
        became = f"became {path.boxes[place].name}"
        return role, words, f"{operation} of {' and '.join(operands)}: {became}"

    # ---- Right ----

    def _glyph_width(self, box: Box) -> float:
        sizes = [_size(*shape) for shape in rectangles(box.main)]
        return sum(width for width, _ in sizes) + GAP * (len(sizes) - 1) + 2 * PILE

    def _glyph(self, box: Box, left: float, y: float, title: str) -> None:
        """Rectangles whose sides tell how many rows and columns there are."""
        weights = getattr(box.main, "weights", None) is not None
        places = len(box.main.values) if isinstance(box.main, Layer) else 1
        self.sheet.seen |= {"grey" if weights else "white"} | ({"pile"} if places > 1 else set())
        x = left + (self.glyph - self._glyph_width(box)) / 2 + PILE
        for rows, columns in rectangles(box.main):
            size = width, _ = _size(rows, columns)
            look = {"fillcolor": style.LEAF if weights else style.SURFACE}
            look["class"] = "matrix" if weights else "numbers"
            for behind in reversed(range(min(places, MOST_PILED))):
                shift = PILE * behind
                self.sheet.put(x + width / 2 + shift, y + shift, size, title, **look)
            if max(rows, columns) <= MOST_ENTRIES:
                for grid in _grid(rows, columns):
                    look = {"shape": "plain", "fillcolor": "none", "class": "entries"}
                    self.sheet.put(x + width / 2, y, size, title, label=grid, **look)
            x += width + GAP


def _size(rows: int, columns: int) -> tuple[float, float]:
    """Width and height of a rectangle of so many rows and columns."""
    scale = min(ENTRY, LONGEST / max(rows, columns))
    if max(rows, columns) <= MOST_ENTRIES:
        scale = int(scale)  # cells of a table are whole points wide
    return max(columns * scale, THINNEST), max(rows * scale, THINNEST)


def _grid(rows: int, columns: int) -> Iterator[str]:
    """The lines between rows, and those between columns."""
    width, height = _size(rows, columns)
    for side, across, down in (("ROWS", 1, rows), ("COLUMNS", columns, 1)):
        if across * down > 1:
            cell = f'FIXEDSIZE="TRUE" WIDTH="{width / across:g}" HEIGHT="{height / down:g}"'
            cells = "".join(f"<TR>{f'<TD {cell}></TD>' * across}</TR>" for _ in range(down))
            frame = 'BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"'
            yield f'<<TABLE {frame} {side}="*" COLOR="{style.BORDER}">{cells}</TABLE>>'


def _glyph_height(box: Box) -> float:
    return max(_size(*shape)[1] for shape in rectangles(box.main)) + 2 * PILE


def _shown(count: int) -> list[int]:
    """The places of the boxes that are shown."""
    if count <= MOST_BOXES:
        return list(range(count))
    return [*range(FIRST_BOXES), *range(count - LAST_BOXES, count)]
