"""What each step of traces that are lined up takes, by how conditions were decided.

What an operation takes differs from trace to trace where a condition before it has changed a
variable. Which one, is learned from the traces: ``Choices`` finds the decisions that explain which
trace has which number, the nearest ones first. A number that was computed on one side of a
condition can be used after it only in place of another one from the other side; if no trace shows
that other one, it is unknown, and rows that would need it are no rows of this tape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy

from microgradlike.compiler.arrays import Floats, Ints, Truths
from microgradlike.compiler.joined import MADE, DoNotMeet, Fork, Joined, Run, Side, Step
from microgradlike.compiler.operations import ARITIES, NAMES

#: A number: that of a step, or negative for what is no step, an ``Atoms``.
Ref = int

_ABSENT = numpy.iinfo(numpy.int64).min
UNKNOWN, CHOICE = "unknown", "choice"


class Atom(NamedTuple):
    """What a step can take that is no step.

    Attributes:
        name: "constant", "input", "parameter", what is made of others, such as "and"; or "choice":
            the first part where the condition of a fork holds, and else the second one.
        parts: what it is made of.
        number: the place of an input, the id of a parameter, the number of a fork.
        value: of a constant.
    """

    name: str
    parts: tuple[Ref, ...] = ()
    number: int = 0
    value: float = 0.0


class Atoms:
    """A number for each atom, negative: steps have the others."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[object, ...], Ref] = {}
        self._list: list[Atom] = []

    def number(self, atom: Atom) -> Ref:
        key = (*atom[:-1], repr(atom.value))  # 0.0 and -0.0 are equal, but not the same
        found = self._numbers.get(key)
        if found is None:
            self._list.append(atom)
            found = self._numbers[key] = -len(self._list)
        return found

    def choice(self, fork: int, a: Ref, b: Ref) -> Ref:
        return self.number(Atom(CHOICE, (a, b), fork))

    def of(self, ref: Ref) -> Atom:
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
        self.unknown = self.atoms.number(Atom(UNKNOWN))
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
                    state[r, item.number] = self.atoms.number(Atom("state", number=run.states[k]))
                elif node >= 0:
                    left[r, item.number] = refs(run.tape.left[node])
                    if ARITIES[run.tape.nodes[node]] == 2:
                        right[r, item.number] = refs(run.tape.right[node])
            outputs[r] = [refs(out) for out in run.tape.outputs]
        self._partners: dict[tuple[int, bool, Ref], set[Ref]] = {}
        self._known: dict[tuple[object, ...], Ref] = {}
        self._within: dict[Ref, frozenset[int]] = {}
        self._sure: set[Ref] = set()
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

    def _refs(self, run: Run) -> Callable[[int], Ref]:
        """What tells what a node of a run is here."""
        tape, atoms = run.tape, self.atoms
        found: list[Ref] = [0] * len(tape.nodes)
        for item, node in zip(run.found, run.steps, strict=True):
            if isinstance(item, Step) and node >= 0:
                found[node] = item.number
        constants = [atoms.number(Atom("constant", value=value)) for value in tape.constants]

        def ref(node: int) -> Ref:
            return constants[~node] if node < 0 else found[node]

        for node, code in enumerate(tape.nodes):
            name = NAMES[code]
            if name == "input":
                found[node] = atoms.number(Atom(name, number=tape.left[node]))
            elif name == "parameter":
                found[node] = atoms.number(Atom(name, number=run.parameters[tape.left[node]]))
            elif name in MADE:
                operands = (tape.left[node], tape.right[node])[: ARITIES[code]]
                found[node] = atoms.number(Atom(name, tuple(map(ref, operands))))
        return ref

    def state(self, fork: int, ways: Mapping[int, bool]) -> int | None:
        """The state of the function at a fork, for these decisions; None if it is not known."""
        ref = self.states[fork]
        assert ref is not None
        while (atom := self.atoms.of(ref)).name == CHOICE:
            if atom.number not in ways:
                return None
            ref = atom.parts[0] if ways[atom.number] else atom.parts[1]
        return atom.number if atom.name == "state" else None

    # ---- What differs, explained ----

    def _all(self, refs: Ints, users: Sequence[Step | Fork]) -> list[Ref | None]:
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
            atom = self.atoms.of(ref) if ref < 0 else Atom("step")
            parts = atom.parts if atom.name in MADE else ()
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
        atoms = [self.atoms.of(ref) if ref < 0 else Atom("step") for ref in refs.tolist()]
        if len({atom.name for atom in atoms}) == 1 and atoms[0].name in MADE:
            parts = [
                self._explained(runs, numpy.array(part), before, here)
                for part in zip(*(atom.parts for atom in atoms), strict=True)
            ]
            return self.atoms.number(Atom(atoms[0].name, tuple(parts)))
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
        if self.is_known(known) and all(
            self._in_run(known, run) == ref
            for run, ref in zip(runs.tolist(), refs.tolist(), strict=True)
        ):
            return known
        return None

    def _in_run(self, ref: Ref, run: int) -> Ref:
        """What a choice is in a run."""
        while ref < 0 and (atom := self.atoms.of(ref)).name == CHOICE:
            decided = self.decided[run, atom.number]
            if decided < 0:
                return self.unknown
            ref = atom.parts[0] if decided else atom.parts[1]
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
        if self.is_known(a) and self.is_known(b):
            self._partners.setdefault((fork, True, a), set()).add(b)
            self._partners.setdefault((fork, False, b), set()).add(a)
        return self.atoms.choice(fork, a, b)

    def is_known(self, ref: Ref) -> bool:
        """Whether nothing is unknown of what it is made of."""
        left, seen = [ref], set[Ref]()
        while left:  # a table is a long chain
            ref = left.pop()
            if ref == self.unknown:
                return False
            if ref < 0 and ref not in self._sure and ref not in seen:
                seen.add(ref)
                left += self.atoms.of(ref).parts
        self._sure |= seen
        return True

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
        return self.atoms.choice(side.fork.number, *both)

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
