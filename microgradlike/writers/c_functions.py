"""What a path of a function is in C: its value, its gradients, its Jacobian.

A short path is written as the engine computes it, operation by operation: so it is right for any
number, NaN and infinity among them. A long one is written as it was compiled, with its layers as
loops; of a row in which the order of a sum could matter it returns a status, and no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy

from microgradlike.compiler.instructions import INPUTS, PARAMETERS, Instruction, Loop
from microgradlike.compiler.operations import CODES
from microgradlike.compiler.program import Program
from microgradlike.compiler.tape import Tape
from microgradlike.replay.as_written import Taken, program_as_written
from microgradlike.replay.branches import Path
from microgradlike.writers import c_arrays, c_loops, c_reading
from microgradlike.writers.c_code import Code, File
from microgradlike.writers.c_formulas import Said, literal
from microgradlike.writers.c_reading import Errors, Reading, Way, index_in

#: A path of so many operations at most is written as the engine computes it.
MOST_WRITTEN = 2_000
#: An instruction of so many terms, or operations, at most is written out; others are loops in C.
WRITTEN_OUT = 8

#: What a function gives, by the name of its function in C.
VALUE, BY_PARAMETERS, BY_INPUTS, JACOBIAN = "value", "by_parameters", "by_inputs", "jacobian"


class Sizes(NamedTuple):
    """How many numbers a function has of each kind; ``single`` if its output is one, no list."""

    inputs: int
    parameters: int
    outputs: int
    single: bool


def way_of(i: Instruction) -> Way:
    """How an instruction is written."""
    if isinstance(i, Loop):
        return c_loops.WAY
    is_large = c_arrays.size_of(i) > WRITTEN_OUT
    return (is_large and c_arrays.WAYS.get(type(i))) or c_reading.WAYS[type(i)]


def operations(instructions: Sequence[Instruction]) -> int:
    """How many operations instructions have; a round of a loop is written once."""
    return sum(
        operations(i.round.instructions) if isinstance(i, Loop) else i.count for i in instructions
    )


class Programs:
    """The programs that compute outputs of tapes as they were written, each made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, ...], tuple[Program, list[Taken]]] = {}

    def of(self, tape: Tape, outputs: list[int]) -> tuple[Program, list[Taken]]:
        """The program of these outputs; see ``program_as_written``."""
        key = (id(tape), *outputs)
        if key not in self._made:
            self._made[key] = program_as_written(tape, outputs)
        return self._made[key]


class Function:
    """One function in C, of one path.

    Args:
        file: that it is written to.
        path: whose rows it is for.
        sizes: of the whole function.
        kind: what it gives.
        programs: as they were written.
        as_written: whether it is written as the engine computes.
    """

    def __init__(
        self, file: File, path: Path, sizes: Sizes, kind: str, programs: Programs, as_written: bool
    ) -> None:
        file.begin()
        self.code, self.path, self.sizes, self.kind = Code(file), path, sizes, kind
        self.as_written = as_written
        self.status = f"{file.prefix.upper()}_"
        self.programs = programs

    def lines(self) -> list[str]:
        """Its statements."""
        self._check_path()
        self._check_indices()
        self._check_integers()
        path, code = self.path, self.code
        if not self.as_written and path.ties is not None:
            near = self._compiled(path.ties.program, 0).found
            self._refuse(f"{near[0]} != 0", "NOT_SAFE")
        if self.kind == VALUE:
            self._store("value", self._forward(0).found)
        elif self.kind == JACOBIAN:
            self._jacobian()
        else:
            self._gradient()
        code.do(f"return {self.status}OK;")
        return code.text()

    # ---- Rows that it is not for ----

    def _refuse(self, condition: str, status: str) -> None:
        if condition not in ("0", "0.0"):
            self.code.do(f"if ({condition}) return {self.status}{status};")

    def _check_path(self) -> None:
        """A row of another path, or one that decides in a way that was never compared."""
        path = self.path
        if path.guards is not None:
            conditions = list(path.tape.guards)
            expected = path.expected.tolist()
            if self.as_written:
                found = self._written(path.tape, conditions).found
            else:
                found = self._compiled(path.guards.program, 0).found
                for near in found[len(conditions) :]:
                    self._refuse(f"{near} != 0", "NOT_SAFE")
            for name, holds in zip(found, expected, strict=False):
                self._refuse(f"!({name})" if holds else name, "UNTRACED")
        if path.ways is not None:
            ways = path.ways
            if self.as_written:
                (number,) = self._written(ways.tape, [ways.number]).found
            else:
                (number,) = self._compiled(ways.replay.program, 0).found
            self._refuse_unknown(number, ways.known())

    def _refuse_unknown(self, number: str, known: list[float]) -> None:
        """Refuse a row whose number is not among these, which are in their order."""
        if not known:
            self._refuse("1", "UNTRACED")
            return
        table = self.code.file.table("double", list(map(literal, known)))
        low, high = self.code.file.fresh("r"), self.code.file.fresh("r")
        self.code.do(
            f"int {low} = 0, {high} = {len(known) - 1};",
            f"while ({low} < {high}) {{",
            f"    const int middle = ({low} + {high}) / 2;",
            f"    if ({table}[middle] < {number}) {low} = middle + 1; else {high} = middle;",
            "}",
            f"if ({table}[{low}] != {number}) return {self.status}UNTRACED;",
        )

    def _check_indices(self) -> None:
        """A row that takes from a table what is not there."""
        tape = self.path.tape
        given = {v: n for v, n in tape.indices.items() if tape.nodes[v] == CODES["input"]}
        for node, length in given.items():
            self._refuse_outside(f"x[{tape.left[node]}]", length)
        computed = {v: n for v, n in tape.indices.items() if v not in given}
        if not computed:
            return
        if self.as_written:
            found = self._written(tape, list(computed)).found
        else:
            assert self.path.indices is not None and self.path.indices.computed is not None
            found = self._compiled(self.path.indices.computed.program, 0).found
        for name, length in zip(found, computed.values(), strict=True):
            self._refuse_outside(name, length)

    def _refuse_outside(self, index: str, length: int) -> None:
        there = self.code.say(f"0 <= x and x < {length} and x == floor(x)", x=index)
        name = self.code.define(there)
        self._refuse("0" if name == "1.0" else f"!{name}", "OUTSIDE_TABLE")

    def _check_integers(self) -> None:
        """A row with a fraction where an integer is."""
        tape = self.path.tape
        for node in tape.integers if tape.needs_integers else ():
            whole = self.code.say(f"x == floor(x) and abs(x) <= {2**53}", x=f"x[{tape.left[node]}]")
            self._refuse(f"!{self.code.define(whole)}", "NOT_WHOLE")

    def _check_safe(self, names: Sequence[str]) -> None:
        """A row in which the order of a sum could matter: a square of these is not finite."""
        if not names:
            return
        squares = self.code.file.fresh("q")
        lines = [f"double {squares} = 0.0;"]
        for count, entry in self.code.stretches(names):
            if count > 1:
                lines.append(f"for (int i = 0; i < {count}; ++i)")
                lines.append(f"    {squares} += {entry} * {entry};")
            else:
                lines.append(f"{squares} += {entry} * {entry};")
        lines.append(f"if (!({squares} < INFINITY)) return {self.status}NOT_SAFE;")
        self.code.do(*lines)

    # ---- Programs ----

    def _written(self, tape: Tape, outputs: list[int], keeps: bool = False) -> Ran:
        """Outputs of a tape, computed as they were written."""
        program, taken = self.programs.of(tape, outputs)
        given = len(tape.numbers)
        known = given + len(tape.parameters)
        atoms, leaves = [], []
        for number in program.inputs:
            if number < given:
                atoms.append(f"x[{number}]")
                leaves.append(("x", number))
            elif number < known:
                atoms.append(self._parameter(number - given))
                leaves.append(("theta", int(self.path.places[number - given])))
            else:
                atoms.append(self._taken(taken[number - known], tape))
                leaves.append(("taken", number - known))
        reading = self._read(program, [], atoms, INPUTS, keeps, as_written=True)
        return Ran(program, reading, leaves, taken)

    def _parameter(self, place: int) -> str:
        found = int(self.path.places[place])
        return f"theta[{found}]" if found >= 0 else "0.0"  # no program needs it

    def _taken(self, taken: Taken, tape: Tape) -> str:
        """What a row takes from a table of leaves; it was checked before that there is one."""
        code, entries = self.code, taken.entries
        _, place = index_in(code, f"x[{taken.number}]", len(entries))
        atoms = [self._parameter(e) if e >= 0 else literal(tape.constants[~e]) for e in entries]
        return code.define(Said(code.grid(atoms, [len(entries)], [place])))

    def _compiled(self, program: Program, mode: int, keeps: bool = False) -> Ran:
        """A program as it was compiled; a row in which that is not safe is refused."""
        theta = [self._parameter(place) for place in program.parameters]
        atoms = [f"x[{number}]" for number in program.inputs]
        reading = self._read(program, theta, atoms, mode, keeps, as_written=False)
        once, rows = program.watched
        names = [reading.once[slot] for slot in once.tolist()]
        self._check_safe([*names, *(reading.values[slot] for slot in rows.tolist())])
        leaves = [("x", number) for number in program.inputs]
        return Ran(program, reading, leaves, [])

    def _read(
        self, program: Program, theta: list[str], atoms: list[str], mode: int, keeps: bool,
        as_written: bool,
    ) -> Reading:  # fmt: skip
        code = self.code
        once = [*theta, *map(literal, program.constants.tolist())]
        once += [""] * (program.once.slots - len(once))
        values = [*atoms, *[""] * (program.rows.slots - len(atoms))]
        into = None
        if mode == PARAMETERS:
            places = self.path.places[program.parameters].tolist()
            into = "gradient", {slot: p for slot, p in enumerate(places) if p >= 0}
        owed = Errors(into)
        self._once = Reading(code, once, once, owed, owed, as_written, mode, keeps, way_of)
        self._once.forward(program.once.instructions)
        found = Reading(code, values, once, Errors(), owed, as_written, mode, keeps, way_of)
        found.forward(program.rows.instructions)
        return found

    def _forward(self, mode: int, outputs: Sequence[int] | None = None) -> Ran:
        """All outputs, or some of those as written."""
        path = self.path
        if not self.as_written:
            return self._compiled(path.replay.program, mode, mode != 0)
        tape = path.rolled
        wanted = tape.outputs if outputs is None else [tape.outputs[k] for k in outputs]
        return self._written(tape, list(wanted), mode != 0)

    # ---- Derivatives ----

    def _seeds(self) -> list[str]:
        if self.sizes.single:
            return ["1.0"]
        return [f"weights[{k}]" for k in range(self.sizes.outputs)]

    def _gradient(self) -> None:
        mode = PARAMETERS if self.kind == BY_PARAMETERS else INPUTS
        at = len(self.code.statements)
        ran = self._forward(mode)
        self._store("value", ran.found)
        owed = ran.reading.owed
        self._go_back(ran, self._seeds(), range(len(ran.found)))
        count = self.sizes.parameters if mode == PARAMETERS else self.sizes.inputs
        if owed.is_added:
            clear = f"for (int i = 0; i < {count}; ++i) gradient[i] = 0.0;"
            self.code.insert(at, clear)
        errors = self._errors(ran, mode, count)
        self._store("gradient", errors, owed.is_added)
        if not self.as_written:
            self._check_safe([f"gradient[{k}]" for k in range(count)])

    def _jacobian(self) -> None:
        inputs = self.sizes.inputs
        whole = self._forward(0 if self.as_written else INPUTS)
        self._store("value", whole.found)
        rows: list[str] = []
        for k in range(self.sizes.outputs):
            ran, place = whole, k
            if self.as_written:
                ran, place = self._forward(INPUTS, [k]), 0
            else:
                ran.reading.errors = Errors()
            self._go_back(ran, ["1.0"], [place])
            rows += self._errors(ran, INPUTS, inputs)
        self._store("jacobian", rows)
        if not self.as_written:
            self._check_safe([f"jacobian[{k}]" for k in range(len(rows))])

    def _go_back(self, ran: Ran, seeds: Sequence[str], outputs: Sequence[int]) -> None:
        """From outputs with these errors."""
        program, reading = ran.program, ran.reading
        for seed, k in zip(seeds, outputs, strict=True):
            reading.send(*program.outputs[k], seed)
        reading.backward(program.rows.instructions)
        if reading.mode == PARAMETERS:
            once = Reading(
                self.code, reading.once, reading.once, reading.owed, reading.owed,
                reading.as_written, PARAMETERS, True, way_of,
            )  # fmt: skip
            once.states = self._once.states
            once.backward(program.once.instructions)

    def _errors(self, ran: Ran, mode: int, count: int) -> list[str]:
        """The errors of all parameters, or inputs, of the function."""
        found = Errors()
        reading = ran.reading
        if not self.as_written and mode == PARAMETERS:
            places = self.path.places[ran.program.parameters].tolist()
            for slot, place in enumerate(places):
                if slot in reading.owed.sums:
                    found.add(self.code, place, reading.owed.sums[slot])
        for slot, (kind, number) in enumerate(ran.leaves):
            if not reading.has(slot):
                continue
            error = reading.error(slot)
            if kind == "taken" and mode == PARAMETERS:
                self._send_taken(ran.taken[number], error, found)
            elif (kind == "theta") == (mode == PARAMETERS) and kind != "taken":
                found.add(self.code, number, error)
        return [found.sums.get(k, "0.0") for k in range(count)]

    def _send_taken(self, taken: Taken, error: str, found: Errors) -> None:
        """The error of what a row takes from a table, sent to each entry that it may be."""
        code = self.code
        _, place = index_in(code, f"x[{taken.number}]", len(taken.entries))
        targets: dict[int, list[int]] = {}
        for at, entry in enumerate(taken.entries):
            if entry >= 0 and self.path.places[entry] >= 0:
                targets.setdefault(int(self.path.places[entry]), []).append(at)
        if not targets:
            return
        array, order = code.file.fresh("h"), list(targets)
        spots = numpy.full(len(taken.entries), len(order))
        for k, target in enumerate(order):
            spots[targets[target]] = k
        where = code.places(spots, [len(spots)], [place])
        lines = [f"double {array}[{len(order) + 1}] = {{0}};", f"{array}[{where}] = {error};"]
        code.block([array], lines)
        for k, target in enumerate(order):
            found.add(code, target, f"{array}[{k}]")

    def _store(self, array: str, names: Sequence[str], adds: bool = False) -> None:
        """Write numbers where the caller wants them."""
        self.code.do(*self.code.stored(array, names, "+=" if adds else "="))


class Ran(NamedTuple):
    """A program that was read.

    Attributes:
        leaves: of each of its inputs what it is: a number of "x", of "theta", or "taken".
        taken: what is taken from tables.
    """

    program: Program
    reading: Reading
    leaves: list[tuple[str, int]]
    taken: list[Taken]

    @property
    def found(self) -> list[str]:
        """The names of the outputs."""
        return [self.reading.value(*output) for output in self.program.outputs]
