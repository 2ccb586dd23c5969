"""One tape of traces that are lined up, which chooses in each row what it takes.

Both sides of a condition are computed for all rows. Rows that decide what no trace has decided, or
two things that no trace has decided together, are no rows of this tape: its guards tell them.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy

from microgradlike.compiler.choices import CHOICE, UNKNOWN, Atom, Choices, Ref
from microgradlike.compiler.joined import MADE, DoNotMeet, Fork, Joined, Run, Side, Step
from microgradlike.compiler.numbers import number_of
from microgradlike.compiler.operations import ARITIES, CODES, CONDITIONS, ENTRY, NAMES, TAKE
from microgradlike.compiler.tape import Tape
from microgradlike.engine import Value

#: Rows may be told by so many things that no trace has decided together.
MOST_DOUBTS = 500


class Told(NamedTuple):
    """What traces tell together.

    Attributes:
        tape: for all rows that decide as some of the traces have decided; None if there are too
            many things that no trace has shown.
        doubts: how many decisions were not made together by any trace.
        forks: that were met, and the ways in which each was decided.
        conditions: their nodes.
        choices: what each step takes.
    """

    tape: Tape | None
    doubts: int
    forks: dict[Fork, frozenset[bool]]
    conditions: list[int]
    choices: Choices

    def foretells(self, run: Run, values: Mapping[int, Value]) -> bool | None:
        """Whether the tape computes what a further trace has found; None if it is not for such.

        Args:
            run: the trace; it is lined up with the others.
            values: the parameters, by their id.
        """
        if self.tape is None:
            return None
        made = self._decisions(run)
        if made is None:
            return None
        decided = {self.conditions[fork]: float(holds) for fork, _, holds in made}
        ours, theirs = self._both_numbers(run, values, decided)
        if any(ours[node] != holds for node, (holds, _) in self.tape.guards.items()):
            return None
        return self._agree(run, ours, theirs, made)

    def follows(self, run: Run, values: Mapping[int, Value]) -> bool:
        """Whether the tape decides as a trace of a row has decided, and by the same numbers.

        If so, all other rows for which the tape decides alike are right as well: what it compares,
        and returns, is what the function compares and returns on that way.
        """
        made = self._decisions(run)
        if self.tape is None or made is None:
            return False
        ours, theirs = self._both_numbers(run, values, {})
        for fork, step, holds in made:
            node, other = self.conditions[fork], run.steps[step]
            if node < 0 or ours[node] != holds:
                return False
            node = self._taken_as(run.tape.nodes[other], node, ours)
            if self.tape.nodes[node] == run.tape.nodes[other]:
                sides = (self.tape.left, run.tape.left), (self.tape.right, run.tape.right)
                for here, there in sides[: ARITIES[run.tape.nodes[other]]]:
                    a = _number(self.tape, here[node], ours)
                    if not _is_same(a, _number(run.tape, there[other], theirs)):
                        return False
        return self._agree(run, ours, theirs, made)

    def _taken_as(self, code: int, node: int, ours: list[float]) -> int:
        """Of a condition that is one or another one, that which this row takes; see ``_made``."""
        assert self.tape
        nodes, left, right = self.tape.nodes, self.tape.left, self.tape.right
        while nodes[node] != code and NAMES[nodes[node]] == "or":
            both = left[node], right[node]
            if any(NAMES[nodes[each]] != "and" for each in both):
                break
            node = right[both[0] if ours[left[both[0]]] else both[1]]
        return node

    def _decisions(self, run: Run) -> list[tuple[int, int, bool]] | None:
        """The forks of a trace, its steps, and how it decided; None if no trace decided so."""
        forks = {fork: number for number, fork in enumerate(self.forks)}
        made: list[tuple[int, int, bool]] = []
        for step, holds in run.holds.items():
            fork = run.found[step]
            assert isinstance(fork, Fork)
            if holds not in self.forks.get(fork, ()):
                return None
            made.append((forks[fork], step, holds))
        return made

    def _both_numbers(
        self, run: Run, values: Mapping[int, Value], decided: Mapping[int, float]
    ) -> tuple[list[float], list[float]]:
        """The numbers of the tape's nodes for the row of a trace, and those of the trace's."""
        assert self.tape
        row = run.tape.numbers
        ours = _numbers(self.tape, row, [p.data for p in self.tape.parameters], decided)
        return ours, _numbers(run.tape, row, [values[p].data for p in run.parameters], {})

    def _agree(
        self, run: Run, ours: list[float], theirs: list[float], made: list[tuple[int, int, bool]]
    ) -> bool:
        assert self.tape
        pairs = zip(_outputs(self.tape, ours), _outputs(run.tape, theirs), strict=True)
        ways = {fork: holds for fork, _, holds in made}
        return all(_is_same(a, b) for a, b in pairs) and all(
            self.choices.state(fork, ways) in (run.states[step], None) for fork, step, _ in made
        )


def _numbers(
    tape: Tape, inputs: list[float], parameters: list[float], decided: Mapping[int, float]
) -> list[float]:
    """The numbers of all nodes, where some conditions are decided otherwise than they say."""
    own, tape.numbers = tape.numbers, inputs
    found: list[float] = []
    for node in range(len(tape.nodes)):
        known = decided.get(node)
        found.append(number_of(tape, node, found, parameters) if known is None else known)
    tape.numbers = own
    return found


def _outputs(tape: Tape, numbers: list[float]) -> list[float]:
    return [_number(tape, out, numbers) for out in tape.outputs]


def _number(tape: Tape, operand: int, numbers: list[float]) -> float:
    return tape.constants[~operand] if operand < 0 else numbers[operand]


def _is_same(a: float, b: float) -> bool:
    return a == b or (a != a and b != b)


def tape_of(joined: Joined, values: Mapping[int, Value]) -> Told:
    """One tape of traces.

    Args:
        joined: the traces.
        values: the parameters, by their id.

    Raises:
        DoNotMeet: what the traces have in common does not tell what rows would do.
    """
    written = _Writer(joined, values)
    clear = len(written.doubts) <= MOST_DOUBTS and not written.unclear
    forks = {fork: frozenset(fork.sides) for fork in joined.forks}
    tape = written.tape if clear else None
    return Told(tape, written.apart, forks, written.conditions, written.choices)


class _Writer:
    def __init__(self, joined: Joined, values: Mapping[int, Value]) -> None:
        self.joined, self.choices, self.values = joined, Choices(joined), values
        self.atoms = self.choices.atoms
        self.tape = tape = Tape()
        self.nodes: list[int] = []
        self.made: dict[Ref, int] = {}
        self.opposites: dict[int, int] = {}
        self.masks: dict[int, int] = {}
        self.conditions: list[int] = [-1] * len(joined.forks)
        self.doubts: list[int] = []
        self.unclear = False  # whether no row can be computed, for all that is known
        self._doubtful: list[tuple[Ref, Side]] = []
        base = joined.runs[0].tape
        for place, data in enumerate(base.numbers):
            node = self.made[self.atoms.number(Atom("input", number=place))] = tape.input(
                place, data
            ).node
            if place in base.integers:  # inputs are the first nodes
                tape.integers.add(node)
        self.lengths: dict[Step | Fork, int] = {}  # of the shortest table that a step takes from
        for run in joined.runs:
            tape.compares_integers |= run.tape.compares_integers
            tape.needs_integers |= run.tape.needs_integers
            for item, node in zip(run.found, run.steps, strict=True) if run.tape.indices else ():
                if item.token[0] == CODES[TAKE]:
                    length = run.tape.indices[run.tape.left[node]]
                    self.lengths[item] = min(length, self.lengths.get(item, length))
        items: list[Step | Fork] = [*joined.steps, *joined.forks]
        for item in sorted(items, key=operator.attrgetter("order")):
            if isinstance(item, Fork):
                self._fork(item)
            elif item.token[0] < len(NAMES):
                self._step(item)
        end = joined.steps[-1]
        tape.outputs = [self._taken(ref, end) for ref in self.choices.outputs]
        tape.single = base.single
        self._written()
        self._find_doubts()
        if self.doubts:
            doubt = self.doubts[0]
            for other in self.doubts[1:]:
                doubt = tape.append("or", doubt, other)
            tape.guards[doubt] = False, self.line
        tape.close()

    def _step(self, step: Step) -> None:
        name = NAMES[step.token[0]]
        sides = (self.choices.left, self.choices.right)[: ARITIES[step.token[0]]]
        operands = [self._taken(side[step.number], step) for side in sides]
        if name == TAKE:
            operands[0] = self._index(operands[0], step)
        self.nodes.append(self.tape.append(name, *operands))

    def _index(self, index: int, step: Step) -> int:
        """What takes from a table; rows that are not on its side take the first entry."""
        tape, mask = self.tape, self._mask(step.side)
        if mask is not None and index >= 0:
            kept = tape.append("keep", mask, index)
            first = tape.append("keep", self._node_not(mask), tape.constant(0.0))
            index = tape.append("add", kept, first)
        length = self.lengths[step]
        tape.indices[index] = min(length, tape.indices.get(index, length))
        return index

    def _fork(self, fork: Fork) -> None:
        condition = self._taken(self.choices.conditions[fork.number], fork)
        self.conditions[fork.number] = condition
        self.line = fork.line

    def _holds(self, fork: int, holds: bool) -> int:
        """The condition that a fork is decided so."""
        return self.conditions[fork] if holds else self._node_not(self.conditions[fork])

    def _node_not(self, node: int) -> int:
        if node not in self.opposites:
            self.opposites[node] = self.tape.append("not", node)
        return self.opposites[node]

    def _both(self, a: int | None, b: int) -> int:
        return b if a is None else self.tape.append("and", a, b)

    def _mask(self, side: Side) -> int | None:
        """The condition under which a row is on a side; None of all rows."""
        return self._own_mask(side) if side.fork else None

    def _own_mask(self, side: Side) -> int:
        if side.number not in self.masks:
            assert side.fork
            own = self._holds(side.fork.number, side.holds)
            self.masks[side.number] = self._both(self._mask(side.fork.side), own)
        return self.masks[side.number]

    # ---- What is taken ----

    def _taken(self, ref: Ref | None, user: Step | Fork) -> int:
        """The operand for a number."""
        assert ref is not None
        if not self.choices.is_known(ref):
            self._doubtful.append((ref, user.side))
        return self._operand(ref)

    def _doubt(self, ref: Ref, mask: int | None) -> None:
        """Rows that would take what is unknown are no rows of this tape."""
        if ref == self.choices.unknown:
            self.unclear |= mask is None
            if mask is not None:
                self.doubts.append(mask)
            return
        atom = self.atoms.of(ref)
        for place, part in enumerate(atom.parts):
            if not self.choices.is_known(part):
                within = mask
                if atom.name == CHOICE:
                    within = self._both(mask, self._holds(atom.number, place == 0))
                self._doubt(part, within)

    def _operand(self, ref: Ref) -> int:
        if ref >= len(self.nodes):  # a step that comes later: this is not how the traces meet
            raise DoNotMeet
        if ref >= 0:
            return self.nodes[ref]
        before = [ref]
        while ref < 0 and ref not in self.made and self.atoms.of(ref).name == ENTRY:
            ref = self.atoms.of(ref).parts[0]  # a table is a long chain
            before.append(ref)
        for each in reversed(before):
            if each < 0 and each not in self.made:
                self.made[each] = self._made(self.atoms.of(each))
        return self.made[before[0]]

    def _made(self, atom: Atom) -> int:
        tape = self.tape
        if atom.name in ("constant", UNKNOWN):  # no row takes what is unknown
            return tape.constant(atom.value)
        if atom.name == "parameter":
            return tape.leaf(self.values[atom.number])
        if atom.name == "not":
            return self._node_not(self._operand(atom.parts[0]))
        if atom.name in MADE:
            return tape.append(atom.name, *map(self._operand, atom.parts))
        known = [part for part in atom.parts if part != self.choices.unknown]
        if len(known) == 1:  # no row takes the other
            return self._operand(known[0])
        condition = self.conditions[atom.number]
        opposite = self._node_not(condition)
        a, b = map(self._operand, atom.parts)
        if self._decides(atom.parts):
            return tape.append(
                "or", tape.append("and", condition, a), tape.append("and", opposite, b)
            )
        return tape.append(
            "add", tape.append("keep", condition, a), tape.append("keep", opposite, b)
        )

    def _decides(self, refs: Sequence[Ref]) -> bool:
        """Whether these are conditions."""
        for ref in refs:
            if ref >= 0:
                return NAMES[self.joined.steps[ref].token[0]] in CONDITIONS
            atom = self.atoms.of(ref)
            if atom.name in MADE:
                return True
            if atom.name == CHOICE:
                return self._decides(atom.parts)
        return False

    def _written(self) -> None:
        """What the engine computes otherwise than it is written here."""
        for run in self.joined.runs:
            step_of = {
                node: item.number
                for item, node in zip(run.found, run.steps, strict=True)
                if isinstance(item, Step) and node >= 0
            }
            for short, written in run.tape.written.items():
                if short in step_of and written in step_of:
                    here = self.nodes[step_of[short]], self.nodes[step_of[written]]
                    if self.tape.written.setdefault(*here) != here[1]:
                        raise DoNotMeet

    def _find_doubts(self) -> None:
        """The conditions under which a row is no row of this tape."""
        for ref, side in self._doubtful:
            self._doubt(ref, self._mask(side))
        for fork in self.joined.forks:
            if fork.is_open:
                (holds,) = fork.sides
                condition = self.conditions[fork.number]
                mask = self._mask(fork.side)
                if mask is None and condition >= 0:
                    self.tape.guards[condition] = holds, fork.line
                else:
                    self.doubts.append(self._both(mask, self._holds(fork.number, not holds)))
        self.apart = 0
        if len(self.joined.runs) < self.joined.ways():
            self._doubt_pairs()

    def _doubt_pairs(self) -> None:
        """Two decisions that no trace has made together may do together what none has shown."""
        decided = self.choices.decided
        forks = [fork for fork in self.joined.forks if not fork.is_open]
        edges = [(fork, holds) for fork in forks for holds in (True, False)]
        if not edges:
            return
        took = numpy.stack([decided[:, fork.number] == holds for fork, holds in edges], axis=1)
        apart = took.T.astype(float) @ took == 0
        number = {(fork.number, holds): k for k, (fork, holds) in enumerate(edges)}

        def outer(edge: int) -> int:
            """The decision within which another one is made; -1 of none."""
            side = edges[edge][0].side
            return number[side.fork.number, side.holds] if side.fork else -1

        outers = [outer(edge) for edge in range(len(edges))]
        for a, b in numpy.argwhere(apart).tolist():
            (one, holds), (other, holds_too) = edges[a], edges[b]
            if one.number >= other.number or one.sides[not holds].has(other.side):
                continue
            self.apart += 1
            # What is within such a decision is told by it.
            told = (outers[b] >= 0 and apart[a, outers[b]]) or (
                outers[a] >= 0 and apart[outers[a], b]
            )
            if not told and len(self.doubts) <= MOST_DOUBTS:
                masks = self._mask(one.sides[holds]), self._own_mask(other.sides[holds_too])
                self.doubts.append(self._both(*masks))
