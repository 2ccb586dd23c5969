"""Statements of C, each of which gives a name to what it computes, once.

A name is a letter and a number: ``v`` for a double, ``k`` for a condition, ``h`` for an array.
Equal expressions have one name, and statements that nobody reads are left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy

from microgradlike.compiler.arrays import Ints
from microgradlike.writers.c_formulas import (
    HELPERS,
    Said,
    Speaker,
    number_of,
    number_of_atom,
)

_NAMES = re.compile(r"\b[a-z]\d+\b")
_WORD = re.compile(r"\w+")
_ENTRY = re.compile(r"(\w+)\[(\d+)\]")
#: So many numbers stand in a line of a table; so many statements become a loop.
_IN_A_LINE, _MANY = 4, 8


class Statement(NamedTuple):
    """Lines of C.

    Attributes:
        made: the names that they define, or write to; none of what is done in any case.
        lines: their text, or the statements within a loop.
    """

    made: tuple[str, ...]
    lines: tuple[str | Code, ...]


class File:
    """What all functions of a file share.

    Args:
        prefix: of all its names.

    Attributes:
        rounds: whether there is a loop that ends by itself.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.rounds = False
        self._tables: dict[tuple[str, tuple[str, ...]], str] = {}
        self._count = 0

    def begin(self) -> None:
        """Another function: its names begin anew."""
        self._count = 0

    def fresh(self, letter: str) -> str:
        """A name that nothing in the function has yet."""
        self._count += 1
        return f"{letter}{self._count}"

    def table(self, kind: str, numbers: Sequence[str]) -> str:
        """The name of a constant array of these numbers."""
        key = kind, tuple(numbers)
        return self._tables.setdefault(key, f"{self.prefix}_t{len(self._tables)}")

    def used_by(self, functions: Sequence[str]) -> list[str]:
        """The helpers and the tables that these lines use, for the beginning of the file."""
        used = {name for line in functions for name in _WORD.findall(line)}
        lines: list[str] = []
        for name, body in HELPERS.items():
            if (full := f"{self.prefix}_{name}") in used:
                lines += [*f"static double {full}{body}".splitlines(), ""]
        for (kind, numbers), name in self._tables.items():
            if name in used:
                lines += [*array_of(f"static const {kind} {name}", numbers), ""]
        return lines


def array_of(declared: str, numbers: Sequence[str]) -> list[str]:
    """An array with its numbers, some in each line."""
    rows = [", ".join(numbers[k : k + _IN_A_LINE]) for k in range(0, len(numbers), _IN_A_LINE)]
    return [f"{declared}[{len(numbers)}] = {{", *(f"    {row}," for row in rows), "};"]


class Code:
    """Statements, one after the other.

    Args:
        file: that they are in.
        outer: the statements around a loop, whose names may be read here.
    """

    def __init__(self, file: File, outer: Code | None = None) -> None:
        self.file, self.outer = file, outer
        self.statements: list[Statement] = []
        self._known: dict[str, str] = {}

    # ---- Writing ----

    def define(self, said: Said) -> str:
        """The name of what an expression is."""
        text = said.text
        if number_of_atom(said):
            return f"{text}.0" if said.is_truth and text in ("0", "1") else text
        if said.is_negative:
            return f"-{self.define(said.negated())}"
        if (name := self._name_of(text)) is None:
            name = self._known[text] = self.file.fresh("k" if said.is_truth else "v")
            kind = "int" if said.is_truth else "double"
            self.statements.append(Statement((name,), (f"const {kind} {name} = {text};",)))
        return name

    def copies(self, array: str, count: int, before: str = "") -> list[str]:
        """Names for what the entries of an array are by now."""
        if count < _MANY:
            return [self.copy(f"{array}[{before}{k}]") for k in range(count)]
        own = self.file.fresh("h")
        loop = f"for (int i = 0; i < {count}; ++i) {own}[i] = {array}[{before}i];"
        self.block([own], [f"double {own}[{count}];", loop])
        return [f"{own}[{k}]" for k in range(count)]

    def copy(self, entry: str) -> str:
        """A name for what an entry of an array is by now."""
        if entry not in self._known:
            self._known[entry] = name = self.file.fresh("v")
            self.statements.append(Statement((name,), (f"const double {name} = {entry};",)))
        return self._known[entry]

    def _name_of(self, text: str) -> str | None:
        if text in self._known:
            return self._known[text]
        return self.outer._name_of(text) if self.outer else None

    def say(self, formula: str, **names: str) -> Said:
        """A formula of the operator table, of these operands."""
        return self.speaker(names).say(formula)

    def speaker(self, names: dict[str, str], inline: bool = False) -> Speaker:
        """What writes formulas of these operands here; ``inline`` as one expression each."""

        def bind(text: str) -> str:
            return self.define(Said(text, False, False))

        return Speaker(names, self.file.prefix, None if inline else bind)

    def plus(self, *terms: str) -> str:
        """The name of a sum."""
        first, *others = terms
        for term in others:
            first = self.define(self.say("x + y", x=first, y=term))
        return first

    def block(self, made: Iterable[str], lines: Iterable[str | Code]) -> None:
        """Lines that define these names, or write to them."""
        self.statements.append(Statement(tuple(made), tuple(lines)))

    def do(self, *lines: str | Code) -> None:
        """Lines that are kept in any case."""
        self.statements.append(Statement((), lines))

    def insert(self, place: int, *lines: str) -> None:
        """The same, before statements that are there."""
        self.statements.insert(place, Statement((), lines))

    def text(self, wanted: Iterable[str] = ()) -> list[str]:
        """The lines that somebody needs, who wants these names afterwards."""
        needed = set(wanted)
        kept: list[list[str]] = []
        for made, parts in reversed(self.statements):
            if made and needed.isdisjoint(made):
                continue
            lines: list[str] = []
            for part in parts:
                lines += [part] if isinstance(part, str) else part.within(needed)
            kept.append(lines)
            for line in lines:
                needed.update(_NAMES.findall(line))
        return [line for lines in reversed(kept) for line in lines]

    def within(self, needed: set[str]) -> list[str]:
        """The lines of a loop: what one round writes, the next one may read."""
        seen, known = set(needed), -1
        lines: list[str] = []
        while len(seen) > known:
            known, lines = len(seen), self.text(seen)
            seen.update(name for line in lines for name in _NAMES.findall(line))
        return [f"    {line}" for line in lines]

    # ---- Many numbers as an array ----

    def grid(self, atoms: Sequence[str], shape: Sequence[int], at: Sequence[str]) -> str:
        """An expression for the numbers of an array of this shape, at places that C names.

        What follows a pattern in one array is read there; numbers are a constant array; all else is
        put into an array first.
        """
        if len(atoms) == 1 or all(atom == atoms[0] for atom in atoms):
            return atoms[0]
        place = _flat(shape, at)
        if all(number_of(atom) is not None for atom in atoms):
            return f"{self.file.table('double', atoms)}[{place}]"
        found = _one_array(atoms)
        if found is not None:
            name, numbers = found
            return f"{name}[{self.places(numbers, shape, at)}]"
        unique = list(dict.fromkeys(atoms))
        where = {atom: k for k, atom in enumerate(unique)}
        array = self.file.fresh("h")
        self.block([array], [f"double {array}[{len(unique)}];", *self.stored(array, unique)])
        numbers = numpy.array([where[atom] for atom in atoms])
        return f"{array}[{self.places(numbers, shape, at)}]"

    def stored(
        self, array: str, names: Sequence[str], sign: str = "=", before: str = ""
    ) -> list[str]:
        """Lines that write numbers to an array, or add them to it."""
        lines, start = [], 0
        for count, entry in self.stretches(names):
            if sign != "=" and entry == "0.0":
                pass
            elif count > 1:
                at = f"{before}{start} + i" if start else f"{before}i"
                lines.append(f"for (int i = 0; i < {count}; ++i) {array}[{at}] {sign} {entry};")
            else:
                lines.append(f"{array}[{before}{start}] {sign} {entry};")
            start += count
        return lines

    def stretches(self, atoms: Sequence[str]) -> list[tuple[int, str]]:
        """Numbers as stretches: how many there are, and what the one at the place ``i`` is."""
        sources = [m[1] if (m := _ENTRY.fullmatch(atom)) else atom for atom in atoms]
        known = [number_of(atom) is not None for atom in atoms]
        if all(known) and len(set(sources)) > 1:
            sources = [""] * len(atoms)
        ends = [k for k in range(1, len(atoms)) if sources[k] != sources[k - 1]]
        found = []
        for start, end in zip([0, *ends], [*ends, len(atoms)], strict=True):
            if end - start < _MANY:
                found += [(1, atom) for atom in atoms[start:end]]
            else:
                entry = self.grid(atoms[start:end], [end - start], ["i"])
                found.append((end - start, entry))
        return found

    def places(self, numbers: Ints, shape: Sequence[int], at: Sequence[str]) -> str:
        """The same for whole numbers, which become a formula or a constant array."""
        cube = numbers.reshape(tuple(shape))
        first = int(cube.flat[0])
        steps = [
            int(cube.take(1, axis=axis).flat[0]) - first if size > 1 else 0
            for axis, size in enumerate(shape)
        ]
        told = first + sum(
            step * numpy.arange(size).reshape([-1 if k == axis else 1 for k in range(cube.ndim)])
            for axis, (step, size) in enumerate(zip(steps, shape, strict=True))
        )
        if not numpy.array_equal(numpy.broadcast_to(told, cube.shape), cube):
            table = self.file.table("int", [str(k) for k in numbers.ravel().tolist()])
            return f"{table}[{_flat(shape, at)}]"
        parts = [
            name if step == 1 else f"{step} * {name}"
            for step, name in zip(steps, at, strict=True)
            if step
        ]
        return " + ".join([*([str(first)] if first or not parts else []), *parts])


def _flat(shape: Sequence[int], at: Sequence[str]) -> str:
    """The place among all numbers, row after row."""
    parts = []
    for axis, name in enumerate(at):
        step = math.prod(shape[axis + 1 :])
        if shape[axis] > 1:
            parts.append(name if step == 1 else f"{step} * {name}")
    return " + ".join(parts) or "0"


def _one_array(atoms: Sequence[str]) -> tuple[str, Ints] | None:
    """The array that all are entries of, and their places."""
    name, numbers = "", []
    for atom in atoms:
        match = _ENTRY.fullmatch(atom)
        if match is None or (name and match[1] != name):
            return None
        name = match[1]
        numbers.append(int(match[2]))
    return name, numpy.array(numbers)
