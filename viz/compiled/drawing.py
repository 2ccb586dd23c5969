"""The picture of a compiled function: what was written, and the matrices that were found in it.

Left stand the scalar operations of the trace, right the instructions that compute the same, at the
same height: an arrow says "these operations became this instruction". Both are read from the
program; nothing is run, and no derivative is computed.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from microgradlike.compiler.operations import NAMES
from microgradlike.replay.compiled import Compiled
from microgradlike.replay.names import Names
from microgradlike.words import counted
from viz import labels, style
from viz.compiled import glyphs
from viz.compiled.glyphs import words_of
from viz.compiled.paths import MOST_PATHS, Path, shown_of, traced
from viz.compiled.scalars import (
    Key,
    Tree,
    kinds_of,
    operands_of,
    role_and_words,
    rows_of_symbols,
)
from viz.compiled.sheet import LINE, Sheet, extent
from viz.dot import SHAPES
from viz.picture import Picture
from viz.view import Rendering, RenderingOptions, takes

if TYPE_CHECKING:
    from typing_extensions import Unpack  # type checkers have it; no program needs it

# All lengths are in points.
NODE, NARROWEST, WIDEST, ROW = 24.0, 34.0, 80.0, 40.0
GAP, PADDING, BETWEEN = 10.0, 12.0, 64.0

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

    >>> from microgradlike import Value, compile
    >>> w, b = Value(2.0), Value(1.0)
    >>> c = compile(lambda x, y: (w * x + b - y) ** 2).trace([1.0], [3.0])
    >>> draw_compiled(c)
    <Picture: 4 scalar operations became 3 instructions: rows x [mul, sum 2, mul]>
    """
    rendering = Rendering.of(draw_compiled, options)
    programs = traced(c, "draw_compiled").programs
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
    sheet.explain(_meanings(sheet.seen, len(paths)))
    return Picture(str(sheet.dot.source), title, sheet.titles, rendering)


class Drawing:
    """A path on a sheet: its boxes below each other, and beside each what it was made of."""

    def __init__(self, sheet: Sheet, path: Path) -> None:
        self.sheet, self.path = sheet, path
        boxes = path.boxes
        self.trees = [Tree(path, box) for box in boxes] if path.small else []
        self.piles = [
            [] if path.small and box.operations else rows_of_symbols(path, box) for box in boxes
        ]
        self.sizes = [glyphs.measure(box.main) for box in boxes]
        self.words = [words_of(path, place) for place in range(len(boxes))]
        trees = enumerate(self.trees)
        faces = [self._face(key, place)[1] for place, tree in trees for key in tree.nodes]
        widest = max((style.width(words, 11) for words in faces), default=0.0)
        self.node = min(max(widest + 16, NARROWEST), WIDEST)
        self.results: dict[int, str] = {}
        places = max((tree.width for tree in self.trees), default=0)
        symbols = max(map(extent, self.piles), default=0.0)
        self.left = max(places * (self.node + GAP), symbols, NARROWEST) + 2 * PADDING
        self.glyph = max((width for width, _ in self.sizes), default=0.0)
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
        shown = shown_of(len(path.boxes))
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
        height = max(left, LINE * len(self.words[place]), self.sizes[place][1]) + 1.5 * PADDING
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
        sheet.seen |= glyphs.kinds(box.main)
        across = start + PADDING + (self.glyph - self.sizes[place][0]) / 2
        glyphs.draw(sheet, box.main, across, y, about)
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


def _meanings(seen: set[str], paths: int) -> dict[str, str]:
    """The legend: what everything that is on the picture means."""
    meanings = {
        "left": "the scalar operations of the function; those that compute the same, once",
        "right": "the instructions that compute the same for many rows at once, in their order",
        "►": "these operations became this instruction",
        "grey": "a matrix of weights: a row for each output, a column for each input",
        "pile": "the same weights, used at several places",
        "white": "numbers that are no weights, a row for each result",
    }
    rows = {key: words for key, words in meanings.items() if key in seen | {"left", "right"}}
    if shapes := [kind for kind in SHAPES if kind in seen]:
        rows["shape"] = "   ".join(f"{SHAPES[kind][0]}: {kind}" for kind in shapes)
    if paths > MOST_PATHS:
        rows["not shown"] = counted(paths - MOST_PATHS, "more path")
    return rows
