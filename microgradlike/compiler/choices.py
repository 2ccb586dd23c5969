"""One tape of traces that are lined up: where they used different numbers, it chooses.

What an operation takes differs from trace to trace where a condition before it has changed a
variable. Which one, is learned from the traces: ``Choices`` finds the decisions that explain which
trace has which number, the nearest ones first. A number that was computed on one side of a
condition can be used after it only in place of another one from the other side; if no trace shows
that other one, it is unknown, and rows that would need it are no rows of this tape.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy

from microgradlike.compiler.arrays import Floats, Ints, Truths
from microgradlike.compiler.derivatives import number_of
from microgradlike.compiler.joined import MADE, DoNotMeet, Fork, Joined, Run, Side, Step
from microgradlike.compiler.operations import ARITIES, CONDITIONS, ENTRY, NAMES, TAKE
from microgradlike.compiler.tape import Tape
from microgradlike.engine import Value

#: A number: that of a step, or negative for what is no step, an ``Atoms``.
Ref = int

#: Rows may be told by so many things that no trace has decided together.
MOST_DOUBTS = 500

_ABSENT = numpy.iinfo(numpy.int64).min
_UNKNOWN = ("unknown",)
_CHOICE = "choice"


class Atoms:
    """What a step can take that is no step: ("constant", 2.0), ("input", 0), ("and", ref, ref) ...

    ("choice", fork, a, b) is ``a`` where the condition of a fork holds, and else ``b``.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[Any, ...], Ref] = {}
        self._list: list[tuple[Any, ...]] = []

    def number(self, *atom: Any) -> Ref:
        key = (*atom[:-1], repr(atom[-1])) if atom[0] == "constant" else atom
        found = self._numbers.get(key)
        if found is None:
            self._list.append(atom)
            found = self._numbers[key] = -len(self._list)
        return found

    def of(self, ref: Ref) -> tuple[Any, ...]:
        return self._list[-ref - 1]


class Choices:
    """What each step takes, for all rows.

    Args:
        joined: the traces.

    Raises:
        DoNotMeet: decisions do not explain what they take.
    """

    def __init__(self, joined: Joined) -> None:
        self.joined, self.atoms = joined, Atoms()
        self.unknown = self.atoms.number(*_UNKNOWN)
        runs = joined.runs
        self.decided: Ints = numpy.full((len(runs), len(joined.forks)), -1)
        self._orders = numpy.array([fork.order for fork in joined.forks], int)
        self._first = numpy.array([side.first for side in joined.sides], int)
        self._last = numpy.array([side.last for side in joined.sides], int)
        self._side_of = numpy.array([step.side.number for step in joined.steps], int)
        # Of each step the two operands, and of each fork its condition, in each run.
        left, right = (numpy.full((len(runs), len(joined.steps)), _ABSENT) for _ in range(2))
        condition, state = (numpy.full((len(runs), len(joined.forks)), _ABSENT) for _ in range(2))
        outputs = numpy.empty((len(runs), len(runs[0].tape.outputs)), numpy.int64)
        for r, run in enumerate(runs):
            refs = self._refs(run)
            for k, (item, node) in enumerate(zip(run.found, run.steps, strict=True)):
                if isinstance(item, Fork):
                    self.decided[r, item.number] = run.holds[k]
                    condition[r, item.number] = refs(node)
                    state[r, item.number] = self.atoms.number("state", run.states[k])
                elif node >= 0:
                    left[r, item.number] = refs(run.tape.left[node])
                    if ARITIES[run.tape.nodes[node]] == 2:
                        right[r, item.number] = refs(run.tape.right[node])
            outputs[r] = [refs(out) for out in run.tape.outputs]
        self._partners: dict[tuple[int, bool, Ref], set[Ref]] = {}
        self._known: dict[tuple[Any, ...], Ref] = {}
        self._within: dict[Ref, frozenset[int]] = {}
        # Of all ways together whatever explains them is right.
        self._all_ways = len(runs) >= joined.ways()
        end = joined.steps[-1]
        for _ in range(2):  # at first it is found out what belongs together
            self._known.clear()
            self.left = self._all(left, joined.steps)
            self.right = self._all(right, joined.steps)
            self.conditions = self._all(condition, joined.forks)
            self.states = self._all(state, joined.forks)
            self.outputs = self._all(outputs, [end] * outputs.shape[1])

    def _refs(self, run: Run) -> Any:
        """What tells what a node of a run is here."""
        tape, atoms = run.tape, self.atoms
        found: list[Ref] = [0] * len(tape.nodes)
        for item, node in zip(run.found, run.steps, strict=True):
            if isinstance(item, Step) and node >= 0:
                found[node] = item.number
        constants = [atoms.number("constant", value) for value in tape.constants]

        def ref(node: int) -> Ref:
            return constants[~node] if node < 0 else found[node]

        for node, code in enumerate(tape.nodes):
            name = NAMES[code]
            if name == "input":
                found[node] = atoms.number(name, tape.left[node])
            elif name == "parameter":
                found[node] = atoms.number(name, run.parameters[tape.left[node]])
            elif name in MADE:
                operands = (tape.left[node], tape.right[node])[: ARITIES[code]]
                found[node] = atoms.number(name, *map(ref, operands))
        return ref

    def state(self, fork: int, ways: Mapping[int, bool]) -> int | None:
        """The state of the function at a fork, for these decisions; None if it is not known."""
        ref = self.states[fork]
        assert ref is not None
        while self.atoms.of(ref)[0] == _CHOICE:
            _, other, a, b = self.atoms.of(ref)
            if other not in ways:
                return None
            ref = a if ways[other] else b
        name, *parts = self.atoms.of(ref)
        return parts[0] if name == "state" else None

    # ---- What differs, explained ----

    def _all(self, refs: Ints, users: Any) -> list[Ref | None]:
        """For each user the number it takes; None where it takes none. Most take the same."""
        there = refs != _ABSENT
        most = numpy.where(there, refs, _ABSENT).max(axis=0)
        least = numpy.where(there, refs, numpy.iinfo(numpy.int64).max).min(axis=0)
        sides = numpy.array([user.side.number for user in users], int)
        of_step = most >= 0
        within = numpy.zeros(len(users), bool)
        own = self._side_of[most[of_step]]
        here = sides[of_step]
        within[of_step] = (self._first[own] <= self._first[here]) & (
            self._first[here] < self._last[own]
        )
        plain = (most == least) & (within | ~of_step)
        for k in numpy.flatnonzero(plain & ~of_step & (most != _ABSENT)).tolist():
            plain[k] = self._is_open(int(most[k]), users[k].side)
        found: list[Ref | None] = most.tolist()
        for k in numpy.flatnonzero(~plain).tolist():
            runs, user = numpy.flatnonzero(there[:, k]), users[k]
            before = int(numpy.searchsorted(self._orders, user.order))
            here = user.side.within()
            found[k] = self._explained(runs, refs[runs, k], before, here) if len(runs) else None
        return found

    def _is_open(self, ref: Ref, side: Side) -> bool:
        """Whether all that something is made of is there on a side, for all its rows."""
        return all(self.joined.sides[number].has(side) for number in self._sides_of(ref))

    def _sides_of(self, ref: Ref) -> frozenset[int]:
        """The numbers of the sides on which the steps are that something is made of."""
        left = [ref]
        while left:  # a table is a long chain
            ref = left[-1]
            parts = [] if ref >= 0 or self.atoms.of(ref)[0] not in MADE else self.atoms.of(ref)[1:]
            missing = [part for part in parts if part not in self._within]
            left += missing
            if not missing:
                own = {self.joined.steps[ref].side.number} if ref >= 0 else set()
                self._within[ref] = frozenset(own.union(*(self._within[part] for part in parts)))
                left.pop()
        return self._within[ref]

    def _explained(self, runs: Ints, refs: Ints, before: int, here: _Here) -> Ref:
        key = (runs.tobytes(), refs.tobytes(), before, here)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._explain(runs, refs, before, here)
        return found

    def _explain(self, runs: Ints, refs: Ints, before: int, here: _Here) -> Ref:
        if (refs == refs[0]).all() and all(
            self.joined.sides[number].within() <= here for number in self._sides_of(int(refs[0]))
        ):
            return int(refs[0])
        atoms = [self.atoms.of(ref) if ref < 0 else ("",) for ref in refs.tolist()]
        if len({atom[0] for atom in atoms}) == 1 and atoms[0][0] in MADE:
            parts = [
                self._explained(runs, numpy.array(part), before, here)
                for part in list(zip(*atoms, strict=True))[1:]
            ]
            return self.atoms.number(atoms[0][0], *parts)
        simple = self._simple(runs, refs, here)
        if simple is not None:
            return simple
        found = self._split(runs, refs, before)
        if found is None:
            return self.unknown
        fork, holds = found
        a, b = (
            self._explained(runs[some], refs[some], before, here | {(fork, how)})
            for some, how in ((holds, True), (~holds, False))
        )
        return self._choice(fork, a, b)

    def _simple(self, runs: Ints, refs: Ints, here: _Here) -> Ref | None:
        """One number for all runs, or a choice that was met before and gives each run its own."""
        if (refs == refs[0]).all():
            return self._from_within(int(refs[0]), here)
        latest = int(refs.max())  # steps have numbers in their order
        if latest < 0 or self._closed(latest, here) is None:
            return None
        known = self._from_within(latest, here)
        if self._is_known(known) and all(
            self._in_run(known, run) == ref
            for run, ref in zip(runs.tolist(), refs.tolist(), strict=True)
        ):
            return known
        return None

    def _in_run(self, ref: Ref, run: int) -> Ref:
        """What a choice is in a run."""
        while ref < 0 and self.atoms.of(ref)[0] == _CHOICE:
            _, fork, a, b = self.atoms.of(ref)
            decided = self.decided[run, fork]
            if decided < 0:
                return self.unknown
            ref = a if decided else b
        return ref

    def _split(self, runs: Ints, refs: Ints, before: int) -> tuple[int, Truths] | None:
        """The decision that explains best what differs between runs, and how each has made it."""
        decided = self.decided[runs, :before]
        varies = (decided >= 0).all(axis=0) & (decided.min(axis=0) < decided.max(axis=0))
        forks = numpy.flatnonzero(varies)[::-1]  # the nearest first
        if not len(forks):
            raise DoNotMeet
        _, values = numpy.unique(refs, return_inverse=True)
        holds = decided[:, forks] == 1
        has = values[:, None] == numpy.arange(values.max() + 1)
        bits = _bits(has.sum(axis=0)[None])
        for side in (holds, ~holds):
            bits = bits - _bits(side.T.astype(float) @ has)
        bits = bits - 2 * numpy.log2(numpy.arange(len(forks)) + 1)
        k = int(bits.argmax())
        return (int(forks[k]), holds[:, k]) if bits[k] > 0 or self._all_ways else None

    def _choice(self, fork: int, a: Ref, b: Ref) -> Ref:
        if a == b:
            return a
        if self._is_known(a) and self._is_known(b):
            self._partners.setdefault((fork, True, a), set()).add(b)
            self._partners.setdefault((fork, False, b), set()).add(a)
        return self.atoms.number(_CHOICE, fork, a, b)

    def _is_known(self, ref: Ref) -> bool:
        if ref >= 0:
            return True
        name, *parts = self.atoms.of(ref)
        if name == _CHOICE:
            parts = parts[1:]
        elif name not in MADE:
            return ref != self.unknown
        return all(map(self._is_known, parts))

    def _from_within(self, ref: Ref, here: _Here) -> Ref:
        """The number of a step, or of the other side, where its own side ends before ``here``."""
        side = self._closed(ref, here)
        if side is None:
            return ref
        assert side.fork
        inside = self._from_within(ref, here | {(side.fork.number, side.holds)})
        partners = self._partners.get((side.fork.number, side.holds, inside), set())
        other = next(iter(partners)) if len(partners) == 1 else self.unknown
        both = (inside, other) if side.holds else (other, inside)
        return self.atoms.number(_CHOICE, side.fork.number, *both)

    def _closed(self, ref: Ref, here: _Here) -> Side | None:
        """The outermost side that a step is on and ``here`` is not."""
        found, side = None, self.joined.steps[ref].side if ref >= 0 else self.joined.all
        while side.fork:
            if (side.fork.number, side.holds) not in here:
                found = side
            side = side.fork.side
        return found


#: On which sides of which forks one is.
_Here: TypeAlias = frozenset[tuple[int, bool]]


def _bits(counts: Floats) -> Floats:
    """How many bits tell which of these each one is, for each row of counts."""
    whole = counts.sum(axis=1, keepdims=True)
    with numpy.errstate(all="ignore"):
        each = numpy.where(counts > 0, counts * numpy.log2(whole / counts), 0.0)
    found: Floats = each.sum(axis=1)
    return found


# ---- The tape ----------------------------------------------------------------------------------


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
        forks = {fork: number for number, fork in enumerate(self.forks)}
        ways: dict[int, bool] = {}
        states: list[tuple[int, int]] = []
        for step, holds in run.holds.items():
            fork = run.found[step]
            assert isinstance(fork, Fork)
            if holds not in self.forks.get(fork, ()):
                return None
            states.append((forks[fork], run.states[step]))
            ways[forks[fork]] = holds
        decided = {self.conditions[fork]: float(holds) for fork, holds in ways.items()}
        ours = _numbers(
            self.tape, run.tape.numbers, [p.data for p in self.tape.parameters], decided
        )
        if any(ours[node] != holds for node, (holds, _) in self.tape.guards.items()):
            return None
        theirs = _numbers(run.tape, run.tape.numbers, [values[p].data for p in run.parameters], {})
        pairs = zip(_outputs(self.tape, ours), _outputs(run.tape, theirs), strict=True)
        same = all(a == b or (a != a and b != b) for a, b in pairs)
        return same and all(self.choices.state(fork, ways) in (s, None) for fork, s in states)


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
    return [tape.constants[~out] if out < 0 else numbers[out] for out in tape.outputs]


def tape_of(joined: Joined, values: Mapping[int, Value]) -> Told:
    """One tape of traces.

    Args:
        joined: the traces.
        values: the parameters, by their id.

    Raises:
        DoNotMeet: what the traces have in common does not tell what rows would do.
    """
    written = _Writer(joined, values)
    clear = max(len(written.doubts), written.apart) <= MOST_DOUBTS and not written.unclear
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
            node = self.made[self.atoms.number("input", place)] = tape.input(place, data).node
            if place in base.integers:  # inputs are the first nodes
                tape.integers.add(node)
        items: list[Step | Fork] = [*joined.steps, *joined.forks]
        for item in sorted(items, key=operator.attrgetter("order")):
            if isinstance(item, Fork):
                self._fork(item)
            elif item.token[0] < len(NAMES):
                self._step(item)
        for run in joined.runs:
            tape.compares_integers |= run.tape.compares_integers
            tape.needs_integers |= run.tape.needs_integers
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
        for run in self.joined.runs:
            for item, node in zip(run.found, run.steps, strict=True):
                if item is step:
                    length = run.tape.indices[run.tape.left[node]]
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
        if not self.choices._is_known(ref):
            self._doubtful.append((ref, user.side))
        return self._operand(ref)

    def _doubt(self, ref: Ref, mask: int | None) -> None:
        """Rows that would take what is unknown are no rows of this tape."""
        if ref == self.choices.unknown:
            self.unclear |= mask is None
            if mask is not None:
                self.doubts.append(mask)
        elif ref < 0 and self.atoms.of(ref)[0] == _CHOICE:
            _, fork, *both = self.atoms.of(ref)
            for holds, part in zip((True, False), both, strict=True):
                if not self.choices._is_known(part):
                    self._doubt(part, self._both(mask, self._holds(fork, holds)))
        elif ref < 0:
            for part in self.atoms.of(ref)[1:]:
                if not self.choices._is_known(part):
                    self._doubt(part, mask)

    def _operand(self, ref: Ref) -> int:
        if ref >= 0:
            return self.nodes[ref]
        before = [ref]
        while self.atoms.of(ref)[0] == ENTRY and ref not in self.made:  # a table is a long chain
            ref = self.atoms.of(ref)[1]
            before.append(ref)
        for each in reversed(before):
            if each not in self.made:
                self.made[each] = self._made(*self.atoms.of(each))
        return self.made[before[0]]

    def _made(self, name: str, *parts: Any) -> int:
        tape = self.tape
        if name == "constant":
            return tape.constant(parts[0])
        if name == "unknown":  # no row takes it
            return tape.constant(0.0)
        if name == "parameter":
            return tape.leaf(self.values[parts[0]])
        if name == "not":
            return self._node_not(self._operand(parts[0]))
        if name in MADE:
            return tape.append(name, *map(self._operand, parts))
        fork, *both = parts
        known = [part for part in both if part != self.choices.unknown]
        if len(known) == 1:  # no row takes the other
            return self._operand(known[0])
        condition = self.conditions[fork]
        opposite = self._node_not(condition)
        a, b = map(self._operand, both)
        if self._decides(both):
            return tape.append(
                "or", tape.append("and", condition, a), tape.append("and", opposite, b)
            )
        return tape.append(
            "add", tape.append("keep", condition, a), tape.append("keep", opposite, b)
        )

    def _decides(self, refs: Any) -> bool:
        """Whether these are conditions."""
        for ref in refs:
            if ref >= 0:
                return NAMES[self.joined.steps[ref].token[0]] in CONDITIONS
            name, *parts = self.atoms.of(ref)
            if name in MADE:
                return True
            if name == _CHOICE:
                return self._decides(parts[1:])
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
            if not told and self.apart <= MOST_DOUBTS:
                masks = self._mask(one.sides[holds]), self._own_mask(other.sides[holds_too])
                self.doubts.append(self._both(*masks))
