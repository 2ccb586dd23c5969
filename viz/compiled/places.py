"""Where each scalar has its place: columns for the levels, rows for what stands side by side.

What one instruction computes stands together, as a block; the blocks of one level are a column. A
sum is written as by hand: its terms below each other, the additions beside them. So nothing moves
from stage to stage, and every pass is seen where it works.

All lengths are in points; y grows downwards here.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy

from microgradlike.compiler.instructions import Singles
from microgradlike.compiler.operations import ARITY, CODES, NAMES
from microgradlike.compiler.tape import Tape
from microgradlike.words import counted
from viz import style
from viz.compiled import glyphs
from viz.compiled.passes import Passes
from viz.compiled.scalars import rows_of_symbols
from viz.compiled.sheet import LINE, Line, extent

#: A node of the tape; or a constant: its user, and which operand of it.
Key: TypeAlias = int | tuple[int, int]

#: A column: 0 for what is computed once, 1 for each row, 2 for what no result needs; its level.
Column: TypeAlias = tuple[int, int]
INPUTS, ASIDE = (1, 0), (2, 0)

# From one node to the next; around a block; between columns; of two lines of words and a gap.
ROW, ACROSS, PADDING, GAP = 40.0, 24.0, 9.0, 30.0
#: The height of a node, and how far from one an arrow passes it.
NODE, PASSING = 24.0, 3.0

Point: TypeAlias = tuple[float, float]


class Rectangle(NamedTuple):
    """Its sides."""

    left: float
    top: float
    right: float
    bottom: float

    def around(self, other: Rectangle) -> Rectangle:
        """The smallest one that holds both."""
        return Rectangle(*map(min, self[:2], other[:2]), *map(max, self[2:], other[2:]))


@dataclass
class Item:
    """What is placed as a whole: an operation, a sum with its terms, or a pile of many.

    Attributes:
        spots: the middle of each of its nodes, from the corner on; rows begin half a row above.
        width, height: of all of it.
        wants: the nodes, or the names of piles, that it is made of and that stand elsewhere.
        lines: of a pile.
        name: of a pile: its box, or its argument.
        sum: the node of the graph, if it is a sum or a fold.
        left, top: where it stands.
        raised: how far it stands above what it wants.
    """

    spots: dict[Key, tuple[float, float]] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0
    wants: list[Key | str] = field(default_factory=list)
    lines: Sequence[Line] = ()
    name: str = ""
    sum: int = -1
    left: float = 0.0
    top: float = 0.0
    raised: float = 0.0

    @property
    def middle(self) -> float:
        return self.top + self.height / 2


@dataclass
class Block:
    """The items of one instruction in one column; of no instruction, what no result needs."""

    box: int
    column: Column
    items: list[Item]

    @property
    def width(self) -> float:
        return max(item.width for item in self.items)


def operands_of(tape: Tape, node: int) -> list[Key]:
    """The operands of an operation: each constant is a node of its own, a square has just one."""
    sides = [tape.left[node], tape.right[node]][: ARITY[tape.nodes[node]]]
    return [
        (node, side) if operand < 0 or tape.nodes[operand] == CODES["constant"] else operand
        for side, operand in enumerate(dict.fromkeys(sides))
    ]


# ---- Items -------------------------------------------------------------------------------------


class Growing:
    """Makes items of the operations of one block: each with the leaves that it meets first.

    The spots are rows and columns here.

    Args:
        tape: on which they are.
        members: the operations of the block.
        taken: the leaves that have their place; those that get one here are added.
    """

    def __init__(self, tape: Tape, members: set[int], taken: set[Key]) -> None:
        self.tape, self.members, self.taken = tape, members, taken

    def item(self, root: int) -> Item:
        """The item of an operation that no other one of the block needs."""
        self.found, self.rows = Item(), 0
        self._place(root)
        self.found.height = self.rows * ROW
        return self.found

    def _place(self, key: Key) -> tuple[int, int, int]:
        """Its first row, its own row, and its column."""
        self.taken.add(key)
        if isinstance(key, tuple) or not ARITY[self.tape.nodes[key]]:
            return self._spot(key, 0, self._row())
        own: list[tuple[Key, tuple[int, int, int]]] = []
        operands = operands_of(self.tape, key)
        for operand in operands:
            if self._is_own(operand):
                own.append((operand, self._place(operand)))
            else:
                self.found.wants.append(operand)
        if not own:
            return self._spot(key, 0, self._row())
        first, last = own[0][1], own[-1][1]
        # An addition stands beside the term that it adds, below the addition before it.
        adds = self._adds(key) and operands[0] == own[0][0] and self._adds(own[0][0])
        row = last[1] if len(own) == 1 else last[0]
        if adds and len(own) == 1 and len(operands) > 1:
            row = self._row()
        across = [place[2] + 1 for _, place in own]
        if adds and row != first[1]:
            across[0] -= 1
        return self._spot(key, max(across), row, first[0])

    def _spot(
        self, key: Key, across: int, row: int, first: int | None = None
    ) -> tuple[int, int, int]:
        self.found.spots[key] = across, row
        return row if first is None else first, row, across

    def _row(self) -> int:
        self.rows += 1
        return self.rows - 1

    def _is_own(self, key: Key) -> bool:
        if isinstance(key, tuple):
            return True
        name = NAMES[self.tape.nodes[key]]
        return key not in self.taken and (name == "parameter" or key in self.members)

    def _adds(self, key: Key) -> bool:
        return isinstance(key, int) and key in self.members and ARITY[self.tape.nodes[key]] == 2


# ---- Columns -----------------------------------------------------------------------------------


class Places:
    """The places of all nodes, or, of a large path, of a pile for each instruction.

    Attributes:
        spots: the middle of each node.
        blocks: from left to right.
        frames: around what each instruction computes, by its box; with room for its words on top.
        columns: the left and the right side of each.
        ways: between which points arrows pass a node, and from where they come.
        top, bottom: of all of it.
    """

    def __init__(
        self,
        passes: Passes,
        wide: Mapping[Key, float],
        shown: Sequence[int],
        words: Mapping[int, float],
    ) -> None:
        """Place all.

        Args:
            passes: of a path.
            wide: how wide each node is; of none to show piles.
            shown: the boxes that are shown.
            words: how wide the words on each box are.
        """
        self.passes, self.wide, self.words = passes, wide, words
        boxes = passes.path.boxes
        glyph = [glyphs.measure(box.main)[1] for box in boxes]
        self.header = {box: max(2 * LINE, glyph[box]) + 4 for box in shown}
        self.taken: set[Key] = set()
        self.heights: dict[Key | str, float] = {}
        self.blocks = list(self._scalars() if wide else self._piles(shown))
        self.spots: dict[Key, tuple[float, float]] = {}
        self.columns: dict[Column, tuple[float, float]] = {}
        self.frames: dict[int, Rectangle] = {}
        self.ways: dict[tuple[Point, Point], Key] = {}
        self._settle()

    def _scalars(self) -> Iterable[Block]:
        passes, tape = self.passes, self.passes.tape
        nodes = numpy.flatnonzero(ARITY[numpy.frombuffer(tape.nodes, numpy.uint8)] > 0)
        homes = passes.home_of(nodes)
        members: dict[tuple[Column, int], list[int]] = {}
        for node, home in zip(nodes.tolist(), homes.tolist(), strict=True):
            members.setdefault((self._column(node, home), home), []).append(node)
        of_sum, _ = passes.sums()
        for (column, home), inside in sorted(members.items()):
            needed = {o for node in inside for o in operands_of(tape, node) if o in set(inside)}
            growing = Growing(tape, set(inside), self.taken)
            items = [growing.item(node) for node in inside if node not in needed]
            for item in items:
                live = [passes.graph.of_tape[k] for k in item.spots if isinstance(k, int)]
                sums = {int(of_sum[g]) for g in live if g >= 0} - {-1}
                item.sum = sums.pop() if len(sums) == 1 else -1
            self._spread(items)
            yield Block(home, column, items)
        given = [
            Item({node: (0.0, 0.0)}, height=ROW)
            for node, code in enumerate(tape.nodes)
            if code != CODES["constant"] and not ARITY[code] and node not in self.taken
        ]
        if given:
            self._spread(given)
            yield Block(-1, INPUTS, given)

    def _spread(self, items: list[Item]) -> None:
        """Make points of rows and columns: a column is as wide as the widest node in it."""
        widths: dict[float, float] = {}
        for item in items:
            for key, (column, _) in item.spots.items():
                widths[column] = max(widths.get(column, 0.0), self.wide[key])
        middle, across = {}, 0.0
        for column, width in sorted(widths.items()):
            middle[column] = across + width / 2
            across += width + ACROSS
        for item in items:
            item.spots = {
                key: (middle[column], row * ROW) for key, (column, row) in item.spots.items()
            }
            item.width = across - ACROSS

    def _column(self, node: int, home: int) -> Column:
        if home < 0:
            return ASIDE
        box, levels = self.passes.path.boxes[home], self.passes.levels.level
        level = self.passes.level_of(home)
        if isinstance(box.main, Singles):  # which have a level each
            level = int(levels[self.passes.graph.of_tape[node]])
        return int(not box.once), level

    def _piles(self, shown: Sequence[int]) -> Iterable[Block]:
        path = self.passes.path
        for place in shown:
            box = path.boxes[place]
            lines = rows_of_symbols(path, box)
            item = _pile(f"box {place + 1}", lines, box.reads)
            yield Block(place, (int(not box.once), self.passes.level_of(place)), [item])
        given = Counter(path.names.arguments[place] for place in path.program.inputs)
        items = [
            _pile(name, [Line(name, style.INK, bold=True), Line(counted(count, "input"))])
            for name, count in given.items()
        ]
        if items:
            yield Block(-1, INPUTS, items)

    # ---- Where they come to stand ----

    def _settle(self) -> None:
        """From left to right: each column at the height of what it is made of."""
        by_column: dict[Column, list[Block]] = {}
        for block in self.blocks:
            by_column.setdefault(block.column, []).append(block)
        across = 0.0
        for column, blocks in sorted(by_column.items()):
            width = max(max(b.width, self.words.get(b.box, 0.0)) for b in blocks) + 2 * PADDING
            self.columns[column] = across, across + width
            self._stack(blocks)
            for item in (item for block in blocks for item in block.items):
                item.left = across + width - PADDING - item.width
                self._remember(item)
            across += width + GAP
        self._place_inputs([item for b in by_column.get(INPUTS, []) for item in b.items])
        self._raise([b for b in self.blocks if b.column[0] == 0])
        for block in self.blocks:
            for item in block.items:
                self._remember(item)
            if block.box >= 0:
                frame = self._frame(block)
                self.frames[block.box] = frame.around(self.frames.get(block.box, frame))
        self.top, self.bottom = self._ends(self.blocks)

    def _stack(self, blocks: list[Block]) -> None:
        """Each item at the height of what it is made of, as far as there is room."""
        for block in blocks:
            block.items.sort(key=self._wanted)
        blocks.sort(key=lambda block: statistics.mean(map(self._wanted, block.items)))
        items, tops, above, heights = [], [], [], []
        for block in blocks:
            for item in block.items:
                first, last = item is block.items[0], item is block.items[-1]
                over = self.header.get(block.box, 0.0) + PADDING if first else 0.0
                under = PADDING + ROW / 4 if last else ROW / 2 if item.lines else 0.0
                items.append(item)
                above.append(over)
                tops.append(self._wanted(item) - item.height / 2 - over)
                heights.append(over + item.height + under)
        for item, over, top in zip(items, above, spaced(tops, heights), strict=True):
            item.top = top + over

    def _wanted(self, item: Item) -> float:
        """At which height the middle of an item is best."""
        heights = [self.heights[key] for key in item.wants if key in self.heights]
        if not heights:
            return 0.0
        # Above what is at one height, so that no arrow runs behind another node.
        level = max(heights) - min(heights) < ROW / 2 and len(heights) + len(item.spots) > 2
        item.raised = 0.7 * ROW if level and item.height == ROW else 0.0
        return statistics.mean(heights) - item.raised

    def _place_inputs(self, inputs: list[Item]) -> None:
        """Inputs at the height of those who use them; below all if these are far away."""
        _, bottom = self._ends([b for b in self.blocks if b.column != INPUTS])
        users: dict[Key | str, list[float]] = {}
        for block in self.blocks:
            for item in block.items:
                far = block.column > (1, 1)
                for key in item.wants:
                    users.setdefault(key, []).append(bottom if far else item.middle + item.raised)
        height = {
            id(item): min(statistics.mean(found), bottom) if (found := users.get(key)) else bottom
            for item in inputs
            for key in [item.name or next(iter(item.spots))]
        }
        inputs.sort(key=lambda item: height[id(item)])
        tops = [height[id(item)] - item.height / 2 for item in inputs]
        room = [item.height + (ROW / 2 if item.lines else 0.0) for item in inputs]
        for item, top in zip(inputs, spaced(tops, room), strict=True):
            item.top = top

    def _raise(self, once: list[Block]) -> None:
        """What is computed once stands above the rest: its arrows are long, and cross less."""
        rest = [block for block in self.blocks if block.column[0] > 0]
        if once and rest:
            shift = self._ends(rest)[0] - self._ends(once)[1] - PADDING
            for item in (item for block in once for item in block.items):
                item.top += shift

    def _remember(self, item: Item) -> None:
        for key, (x, y) in item.spots.items():
            self.spots[key] = item.left + x, item.top + y + ROW / 2
            self.heights[key] = item.top + y + ROW / 2
        if item.name:
            self.heights[item.name] = item.middle

    # ---- Arrows ----

    def bends(self, tail: Key, head: Key) -> Sequence[Point]:
        """Where an arrow bends, so that it passes a node that is in its way.

        Of one that would still run through something none: it is straight.
        """
        begin, end = self.spots[tail], self.spots[head]
        others = [key for key in self.spots if key not in (tail, head)]
        if not any(self._runs_through(begin, end, key) for key in others):
            return ()
        # Beside the node nearest to its head; what comes from elsewhere takes another way.
        for key in sorted(others, key=lambda key: math.dist(self.spots[key], end)):
            (x, y), half = self.spots[key], self.wide[key] / 2 + PASSING
            # Its numbers are above, so an arrow passes there only if it comes from there.
            for side in (1, -1) if begin[1] < y else (1,):
                height = y + side * (NODE / 2 + PASSING)
                turns = (x - half, height), (x + half, height)
                between = begin[0] < turns[0][0] and turns[1][0] < end[0]
                if not between or self.ways.get(turns, tail) != tail:
                    continue
                pieces = list(itertools.pairwise((begin, *turns, end)))
                if not any(self._runs_through(*piece, k) for piece in pieces for k in others):
                    self.ways[turns] = tail
                    return turns
        return ()

    def _runs_through(self, begin: Point, end: Point, key: Key) -> bool:
        """Whether a line, from left to right, runs through a node."""
        (a, b), (c, d), (x, y) = begin, end, self.spots[key]
        left, right = max(a, x - self.wide[key] / 2), min(c, x + self.wide[key] / 2)
        if left >= right:
            return False
        heights = [b + (d - b) * (at - a) / (c - a) for at in (left, right)]
        return min(heights) < y + NODE / 2 and max(heights) > y - NODE / 2

    def _ends(self, blocks: Iterable[Block]) -> tuple[float, float]:
        """From where to where some blocks reach."""
        frames = [self._frame(block) for block in blocks]
        return (
            min((frame.top for frame in frames), default=0.0),
            max((frame.bottom for frame in frames), default=0.0),
        )

    def _frame(self, block: Block) -> Rectangle:
        left, right = self.columns[block.column]
        top = min(item.top for item in block.items) - self.header.get(block.box, 0.0) - PADDING
        bottom = max(item.top + item.height for item in block.items) + PADDING
        return Rectangle(left, top, right, bottom)


def _pile(name: str, lines: Sequence[Line], wants: Iterable[str] = ()) -> Item:
    """Many as one: signs and numbers."""
    height = LINE * len(lines)
    return Item(width=extent(lines), height=height, wants=list(wants), lines=lines, name=name)


def spaced(tops: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Places one below the other, as near as possible to those that are wanted.

    >>> spaced([0.0, 0.0, 50.0], [10.0, 10.0, 10.0])
    [-5.0, 5.0, 50.0]
    """
    shift = 0.0
    pools: list[list[float]] = []  # each: the mean of what its members want, and how many they are
    for top, height in zip(tops, heights, strict=True):
        pools.append([top - shift, 1])
        shift += height
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m), (b, n) = pools.pop(-2), pools.pop()
            pools.append([(a * m + b * n) / (m + n), m + n])
    found, shift = [], 0.0
    wanted = [mean for mean, count in pools for _ in range(int(count))]
    for mean, height in zip(wanted, heights, strict=True):
        found.append(mean + shift)
        shift += height
    return found
