"""A path with all that its stages show: each part of the picture knows when it is seen.

The scalars are laid out once and stay in their places; what a pass has found is put on top of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import numpy

from microgradlike.compiler.operations import ARITY, CODES, NAMES
from microgradlike.compiler.show import WHAT
from microgradlike.words import counted
from viz import labels, style
from viz.compiled import glyphs
from viz.compiled.passes import Passes, Slot
from viz.compiled.paths import shown_of
from viz.compiled.places import ASIDE, INPUTS, NODE, Key, Places, Rectangle, operands_of
from viz.compiled.scalars import symbol, symbol_of
from viz.compiled.sheet import LINE, Line, Sheet, extent
from viz.compiled.told import Told, told
from viz.dot import SHAPES
from viz.page import embedded
from viz.picture import Picture
from viz.render import SVG, text
from viz.view import Rendering

#: A path whose tape has more nodes than this shows a pile for each instruction.
MOST_SCALARS = 150

#: The stages by their places in the story.
STAGES = tuple(WHAT)
TAPE, GRAPH, FORMS, LEVELS, GROUPED, PROGRAM, PLAN = range(len(STAGES))
LAST = PLAN

# In points.
NARROWEST, WIDEST = 34.0, 96.0

#: The size of the letters on nodes, and above them.
LETTERS, MARK = 10, 9

ARROWS = {"color": style.BORDER, "arrowsize": "0.4", "class": "number"}


class Staged:
    """A path with all that its stages show: each part of the picture knows when it is seen.

    Attributes:
        sheet: on which it is.
        marks: of each node and arrow: when it is seen, when it is new, and when it is pale.
    """

    def __init__(self, passes: Passes, rendering: Rendering) -> None:
        self.passes, self.rendering = passes, rendering
        self.sheet = Sheet()
        self.marks: dict[str, dict[str, str]] = {}
        self.large = len(passes.tape.nodes) > MOST_SCALARS
        self.told: dict[str, Told] = told(passes, self.large)
        self.sent = {sent.box: (k, sent) for k, sent in enumerate(passes.sent(), 1)}
        boxes = passes.path.boxes
        self.shown = shown_of(len(boxes)) if self.large else list(range(len(boxes)))
        self.words = {box: self._words(box) for box in self.shown}
        wide = {
            box: glyphs.measure(boxes[box].main)[0] + 6 + extent(words)
            for box, words in self.words.items()
        }
        self.wide = {} if self.large else {key: self._width(key) for key in self._keys()}
        self.places = Places(passes, self.wide, self.shown, wide)
        self._columns()
        if self.large:
            self._piles()
        else:
            self._sums()
            self._scalars()
        self._instructions()

    def svg(self) -> str:
        """The picture as a part of a page, as it is at the last stage."""
        title = "The scalar operations of the function, and what became of them"
        picture = Picture(
            str(self.sheet.dot.source), title, self.sheet.titles, self.rendering.within_page()
        )
        svg, groups = embedded(picture)
        graph = svg.find(f"{SVG}g")
        assert graph is not None
        for name, group in groups.items():
            marks = self.marks.get(name)
            if marks is None:
                continue
            group.attrib |= marks
            if "level" in group.attrib["class"].split():  # behind the arrows
                graph.remove(group)
                graph.insert(0, group)
            if marks["data-seen"] and int(marks["data-seen"].split()[1]) < LAST:
                group.set("class", f"{group.attrib['class']} away")
            elif "data-pale" in marks:
                group.set("class", f"{group.attrib['class']} pale")
        return text(svg)

    @contextmanager
    def _seen(
        self, first: int, last: int = LAST, new: int | None = None, pale: bool = False
    ) -> Iterator[None]:
        """What is put on the sheet here is seen from one stage to another.

        Args:
            first, last: those stages.
            new: the stage that has found it.
            pale: whether it is gone from the graph on.
        """
        before = len(self.sheet.titles)
        yield
        marks = {"data-seen": f"{first} {last}"}
        if new is not None:
            marks["data-new"] = str(new)
        if pale:
            marks["data-pale"] = str(GRAPH)
        for name in islice(self.sheet.titles, before, None):
            self.marks[name] = marks

    def _frame(self, sides: Rectangle, title: str, **look: str) -> str:
        size = sides.right - sides.left, sides.bottom - sides.top
        x, y = (sides.left + sides.right) / 2, -(sides.top + sides.bottom) / 2
        return self.sheet.put(x, y, size, title, **look)

    def _say(self, x: float, y: float, words: str, title: str, size: int = MARK) -> None:
        """A word or two around a place."""
        look = {"shape": "plain", "fillcolor": "none", "class": "words"}
        label = f"<{labels.font(words, size, style.MUTED)}>"
        self.sheet.put(x, -y, (0, 0), title, label=label, **look)

    # ---- Columns, for levels ----

    def _columns(self) -> None:
        places = self.places
        top = places.top - 1.5 * LINE
        for column, (left, right) in places.columns.items():
            aside = "for an if" if self.passes.tape.guards else "not needed"
            name = {INPUTS: "inputs", ASIDE: aside}.get(column, f"level {column[1]}")
            first = GRAPH if column == ASIDE else LEVELS
            with self._seen(first, new=first):
                if column not in (INPUTS, ASIDE):
                    sides = Rectangle(left - 4, places.top - 4, right + 4, places.bottom + 4)
                    look = {"fillcolor": style.LEAF, "color": "none", "class": "level"}
                    self._frame(sides, name, **look)
                self._say((left + right) / 2, top, name, name, 10)
        stages = {column[0] for column in places.columns} & {0, 1}
        if len(stages) > 1:
            with self._seen(GRAPH, new=GRAPH):
                for stage, words in enumerate(("once per call", "for each row")):
                    left = min(x for column, (x, _) in places.columns.items() if column[0] == stage)
                    line = [Line(words, style.INK, bold=True)]
                    self.sheet.write(left, -(top - 1.5 * LINE), line, words)

    # ---- Instructions ----

    def _words(self, box: int) -> list[Line]:
        """Its name, and the widest of what is below that: so nothing moves."""
        rows = [Line(f"{box + 1}  {self.passes.path.boxes[box].name}", style.INK, bold=True)]
        return [*rows, Line(max(self._slots(box), self._sends(box), key=len))]

    def _slots(self, box: int) -> str:
        """Where its results are kept."""
        found = self.passes.path.boxes[box]
        outs, kind = found.main.outs, "o" if found.once else "r"
        last = f"..{kind}{outs[-1]}" if len(outs) > 1 else ""
        return f"{kind}{outs[0]}{last}"

    def _sends(self, box: int) -> str:
        """When it sends in the backward pass, and, of a pile, to what."""
        if box not in self.sent:
            return "sends nothing"
        place, sent = self.sent[box]
        return f"◄{place} to {', '.join(sent.names)}" if self.large else f"◄{place}"

    def _instructions(self) -> None:
        sheet = self.sheet
        for box, sides in self.places.frames.items():
            found = self.passes.path.boxes[box]
            width, _ = glyphs.measure(found.main)
            middle = -(sides.top + 4 + self.places.header[box] / 2)
            title = f"instruction {box + 1}: {found.name}"
            left = sides.left + 6
            across = left + width + 6
            with self._seen(GROUPED, new=GROUPED):
                self._frame(sides, title, style="rounded", fillcolor="none", **{"class": "found"})
                glyphs.draw(sheet, found.main, left, middle, title)
                sheet.write(across, middle + LINE / 2, self.words[box][:1], title)
            for stage, words in ((PROGRAM, self._slots(box)), (PLAN, self._sends(box))):
                with self._seen(stage, stage, new=stage):
                    sheet.write(across, middle - LINE / 2, [Line(words)], title)

    # ---- Few: the scalars ----

    def _keys(self) -> Iterator[Key]:
        tape = self.passes.tape
        for node in range(len(tape.nodes)):
            yield node
            if ARITY[tape.nodes[node]]:
                yield from (key for key in operands_of(tape, node) if isinstance(key, tuple))

    def _face(self, key: Key) -> tuple[str, str]:
        """The role of a node of the tape, and what stands on it."""
        tape, names = self.passes.tape, self.passes.path.names
        if isinstance(key, tuple):
            return "constant", style.number(self._constant(key))
        name, place = NAMES[tape.nodes[key]], tape.left[key]
        if name == "input":
            return name, names.inputs[place]
        if name == "parameter":
            return name, names.parameter(tape.parameters[place])
        square = len(operands_of(tape, key)) == 1 and ARITY[tape.nodes[key]] == 2
        return ("result" if key in tape.outputs else "operation"), symbol(name, square)

    def _width(self, key: Key) -> float:
        faces = [self._face(key)[1]]
        if isinstance(key, int) and (here := self._here(key)) >= 0:
            faces += [symbol_of(self.passes.graph, here)] * bool(ARITY[self.passes.graph.op[here]])
        widest = max(style.width(words, LETTERS) for words in faces) + 16
        return min(max(widest, NARROWEST), WIDEST)

    def _constant(self, key: tuple[int, int]) -> float:
        tape = self.passes.tape
        operand = (tape.left, tape.right)[key[1]][key[0]]
        return tape.constants[~operand if operand < 0 else tape.left[operand]]

    def _here(self, key: Key) -> int:
        """The node of the graph that a scalar is; -1 if it is gone, or computed by another one."""
        graph = self.passes.graph
        if not isinstance(key, tuple):
            here = int(graph.of_tape[key])
            return here if here >= 0 and self._first(here) == key else -1
        user = self._here(key[0])
        if user < 0:
            return -1
        for operand in (graph.left[user], graph.right[user])[: ARITY[graph.op[user]]]:
            is_constant = graph.op[operand] == CODES["constant"]
            if is_constant and repr(float(graph.constants[operand])) == repr(self._constant(key)):
                return int(operand)
        return -1

    def _first(self, here: int) -> int:
        """The first node of the tape that became a node of the graph."""
        return int(numpy.flatnonzero(self.passes.graph.of_tape == here)[0])

    def _scalars(self) -> None:
        sheet, graph = self.sheet, self.passes.graph
        slots, receives = self.passes.slots(), self._receives()
        drawn: dict[Key, str] = {}
        for key, (x, y) in self.places.spots.items():
            role, words = self._face(key)
            here = self._here(key)
            sheet.seen.add(role)
            title = self._title(key, here, slots)
            faces = [(TAPE, LAST, words)]
            if here >= 0 and ARITY[graph.op[here]] and symbol_of(graph, here) != words:
                faces = [(TAPE, TAPE, words), (GRAPH, LAST, symbol_of(graph, here))]
            for first, last, face in faces:
                look = SHAPES[role][1] | {"class": role, "margin": "0"}
                if role == "constant":  # arrows begin beside a bare number, not in it
                    look |= {"shape": "box", "color": "none"}
                fitting = style.fitting(face, self.wide[key] - 12, LETTERS)
                label = f"<{labels.font(fitting, LETTERS)}>"
                with self._seen(first, last, GRAPH if first else None, pale=here < 0):
                    name = sheet.put(x, -y, (self.wide[key], NODE), title, label=label, **look)
                drawn.setdefault(key, name)
            kept = slots.get(here, [])
            marks = [
                (PROGRAM, PROGRAM, " ".join(_slot(slot) for slot in kept)),
                (PLAN, PLAN, _some([mark for slot in kept for mark in receives.get(slot, ())])),
            ]
            if not isinstance(key, tuple):
                marks += [(TAPE, TAPE, str(key)), (GRAPH, GROUPED, str(here) if here >= 0 else "")]
            for first, last, mark in marks:
                if mark:
                    with self._seen(first, last, new=first):
                        above = y - NODE / 2 - (10 if role == "result" else 6)
                        # Where an arrow may come from above, a short one stands beside it.
                        wide = style.width(mark, MARK)
                        across = x + 3 + wide / 2 if wide < NARROWEST else x
                        self._say(across, above, mark, title)
        self._arrows(drawn)

    def _arrows(self, drawn: dict[Key, str]) -> None:
        """From each operand to its operation; where another one computes it, from that."""
        tape, graph = self.passes.tape, self.passes.graph
        for key in drawn:
            if isinstance(key, tuple) or not ARITY[tape.nodes[key]]:
                continue
            gone = self._here(key) < 0
            for operand in operands_of(tape, key):
                title = " goes into ".join(self._face(end)[1] for end in (operand, key))
                instead = operand
                if not gone and isinstance(operand, int) and (here := graph.of_tape[operand]) >= 0:
                    instead = self._first(int(here))
                moved = instead != operand
                with self._seen(
                    TAPE, TAPE if moved else LAST, pale=gone or self._here(operand) < 0
                ):
                    self._join(drawn, operand, key, title)
                if moved and instead in drawn:
                    with self._seen(GRAPH, new=GRAPH):
                        self._join(drawn, instead, key, title)

    def _join(self, drawn: dict[Key, str], tail: Key, head: Key, title: str) -> None:
        """An arrow past what is in its way: its pieces meet at points that nobody sees."""
        unseen = {"shape": "point", "style": "invis"}
        turns = self.places.bends(tail, head)
        points = [self.sheet.put(x, -y, (0.1, 0.1), title, **unseen) for x, y in turns]
        ends = [drawn[tail], *points, drawn[head]]
        for begin, end in itertools.pairwise(ends):
            look = ARROWS if begin == ends[0] else ARROWS | {"tailclip": "false"}
            if end != ends[-1]:
                look = look | {"arrowhead": "none", "headclip": "false"}
            self.sheet.join(begin, end, title, **look)

    def _title(self, key: Key, here: int, slots: dict[int, list[Slot]]) -> str:
        role, words = self._face(key)
        said = [f"{role} {words}"]
        if isinstance(key, int):
            said.append(f"node {key} of the tape")
        if here < 0:
            return ", ".join([*said, "gone from the graph on"])
        said.append(f"node {here} of the graph")
        if (box := int(self.passes.path.homes[here])) >= 0:
            said.append(f"became a part of {self.passes.path.boxes[box].name}")
        if found := slots.get(here):
            said.append(f"slot {' and '.join(map(_slot, found))}")
        return ", ".join(said)

    def _receives(self) -> dict[Slot, dict[str, None]]:
        """Of each slot who sends to it, and whether that is written or added."""
        found: dict[Slot, dict[str, None]] = {
            (once, slot): {"given": None} for once, slot in self.passes.program.outputs
        }
        for k, sent in self.sent.values():
            for once, slot, first in zip(
                sent.once.tolist(), sent.slots.tolist(), sent.first.tolist(), strict=True
            ):
                found.setdefault((once, slot), {})[f"◄{k}{'=' if first else '+'}"] = None
        return found

    def _sums(self) -> None:
        """A frame around each sum, and each fold, while it is no instruction yet."""
        for block in self.places.blocks:
            for item in block.items:
                if item.sum < 0 or not any(self._here(key) >= 0 for key in item.spots):
                    continue
                right, bottom = item.left + item.width + 5, item.top + item.height
                sides = Rectangle(item.left - 5, item.top - 5, right, bottom)
                terms = int((self.passes.forms.terms.of == item.sum).sum())
                title = f"a sum of {counted(terms, 'term')}" if terms else "a fold"
                with self._seen(FORMS, LEVELS, new=FORMS):
                    look = {"style": "rounded,dashed", "fillcolor": "none", "class": "sum"}
                    self._frame(sides, title, **look)

    # ---- Many: piles ----

    def _piles(self) -> None:
        """What each instruction was made of, in signs and numbers."""
        sheet, boxes = self.sheet, self.passes.path.boxes
        drawn: dict[str, str] = {}
        for block in self.places.blocks:
            for item in block.items:
                title = "inputs" if block.box < 0 else boxes[block.box].name
                sides = Rectangle(
                    *(item.left - 6, item.top - 4),
                    *(item.left + item.width + 6, item.top + item.height + 4),
                )
                with self._seen(TAPE):
                    look = {"style": "rounded,dashed", "class": "pile"}
                    name = self._frame(sides, f"what became {title}", **look)
                    middle = -(item.top + item.height / 2)
                    sheet.write(item.left, middle, item.lines, title)
                drawn[item.name] = name
        with self._seen(TAPE):
            for box in self.shown:
                for read in boxes[box].reads:
                    if read in drawn:
                        sheet.join(drawn[read], drawn[f"box {box + 1}"], read, **ARROWS)
        self._left_out()

    def _left_out(self) -> None:
        boxes = self.passes.path.boxes
        hidden = set(range(len(boxes))) - set(self.shown)
        if hidden:
            operations = sum(len(boxes[box].operations) for box in hidden)
            words = (
                f"… {counted(len(hidden), 'more instruction')} of "
                f"{counted(operations, 'operation')} between them"
            )
            with self._seen(TAPE):
                line = [Line(words, style.INK)]
                self.sheet.write(0, -(self.places.bottom + 2 * LINE), line, words)


def _slot(slot: Slot) -> str:
    once, place = slot
    return f"{'o' if once else 'r'}{place}"


def _some(marks: list[str], most: int = 2) -> str:
    """A few marks; of more the first ones."""
    return " ".join(marks) if len(marks) <= most else f"{' '.join(marks[: most - 1])} …"
