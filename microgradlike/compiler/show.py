"""What each pass makes of a function, in words: from its scalars to its backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy

from microgradlike.compiler.forms import FOLD, FORM, PLAIN, PRODUCT, WEIGHTED, Forms
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.grouping import Grouped
from microgradlike.compiler.instructions import PARAMETERS, Instruction, Singles, Slots
from microgradlike.compiler.levels import Levels
from microgradlike.compiler.operations import ARITY, NAMES
from microgradlike.compiler.passes import build
from microgradlike.compiler.plan import Plan, plan
from microgradlike.compiler.program import Program
from microgradlike.compiler.tape import Tape, trace

#: Of a longer list the first lines are shown, and how many there are.
MOST = 12

_STAGES = ("constant", "once", "rows")


def show(f: Callable[..., object], example: Sequence[object]) -> str:
    """What each pass of the compiler makes of a function.

    Args:
        f: a function of one example, as ``compile`` takes it.
        example: its arguments: numbers, and nested lists of numbers.

    Returns:
        For each pass what it does, and what it has made.

    Raises:
        TracingError: the function cannot be traced.

    >>> from microgradlike import Value
    >>> w = [Value(2.0), Value(3.0)]
    >>> print(show(lambda x, y: w[0] * x + w[1] * y, [1.0, 4.0]))
    ... # doctest: +ELLIPSIS
    tape: what the function did, operation by operation
      0  input 0
      1  input 1
      2  parameter 0
      3  mul 2 0
    ...
    plan: what is sent backward, and who is the first to send to a slot
      layer 2->1  adds to weights of once: 0..1, writes to values: 0..1
      before that the errors of 2 are set to 0 or to those given
    >>> print(show(lambda x, y: x * x - y * y, [1.0, 4.0]))
    ... # doctest: +ELLIPSIS
    tape: ...
    forms: which operations are terms of a sum, and which are folded along a list
      4 = 0 x 0 - 1 x 1
    ...
    """
    tape = trace(f, example)
    found: dict[str, list[str]] = {"tape": list(lines("tape", tape))}

    def seen(name: str, made: object) -> None:
        found[name] = list(lines(name, made))

    program = build(Graph(tape, tape.outputs), seen)
    found["plan"] = list(lines("plan", plan(program, PARAMETERS | 2)))
    told = []
    for name, made in found.items():
        told.append(f"{name}: {WHAT[name]}")
        told += [f"  {line}" for line in made[:MOST]]
        if len(made) > MOST:
            told.append(f"  ... and {len(made) - MOST} more")
    return "\n".join(told)


def lines(name: str, made: object) -> Iterator[str]:
    """What a pass has made: a line for each node, sum, level or instruction."""
    return _OF[name](made)


#: What each pass makes, in the order in which they run.
WHAT = {
    "tape": "what the function did, operation by operation",
    "graph": "the same, each operation once, and when it is computed",
    "forms": "which operations are terms of a sum, and which are folded along a list",
    "levels": "how deep what is computed is, and so in which order",
    "grouped": "what is computed together: instructions over nodes",
    "program": "the instructions over slots, in which numbers are kept",
    "plan": "what is sent backward, and who is the first to send to a slot",
}

# ---- Each pass ---------------------------------------------------------------------------------


def _tape(tape: Tape) -> Iterator[str]:
    for node, code in enumerate(tape.nodes):
        operands = [tape.left[node], tape.right[node]][: max(int(ARITY[code]), 1)]
        texts = [str(v) if v >= 0 else f"{tape.constants[~v]:g}" for v in operands]
        yield f"{node}  {NAMES[code]} {' '.join(texts)}"


def _graph(graph: Graph) -> Iterator[str]:
    for node, code in enumerate(graph.op.tolist()):
        operands = [graph.left[node], graph.right[node]][: ARITY[code]]
        leaf = "" if ARITY[code] else f" {graph.left[node]}"
        if NAMES[code] == "constant":
            leaf = f" {graph.constants[node]:g}"
        what = " ".join([NAMES[code] + leaf, *map(str, operands)])
        yield f"{node}  {what}  ({_STAGES[graph.stage[node]]})"


def _forms(forms: Forms) -> Iterator[str]:
    terms = forms.terms
    for node in numpy.flatnonzero(forms.role == FORM).tolist():
        here = numpy.flatnonzero(terms.of == node)
        parts = [
            f"{'-' if terms.sign[k] < 0 else '+'} {terms.first[k]}"
            + (f" x {terms.second[k]}" if terms.kind[k] in (WEIGHTED, PRODUCT) else "")
            for k in here.tolist()
        ]
        yield f"{node} = {' '.join(parts).removeprefix('+ ')}"
    for node in numpy.flatnonzero(forms.role == FOLD).tolist():
        values = forms.operands.value[forms.operands.of == node].tolist()
        name = NAMES[forms.graph.op[node]]
        yield f"{node} = {name} along {' '.join(map(str, values))}"
    plain = int((forms.role == PLAIN).sum())
    if plain:
        yield f"{plain} plain operation{'s' if plain > 1 else ''}"


def _levels(found: Levels) -> Iterator[str]:
    for stage, nodes in found.computed.items():
        for level in numpy.unique(found.level[nodes]).tolist():
            here = nodes[found.level[nodes] == level].tolist()
            yield f"{_STAGES[stage]}, level {level}: {' '.join(map(str, here))}"


def _grouped(found: Grouped) -> Iterator[str]:
    yield from _instructions("once", found.once)
    yield from _instructions("rows", found.rows)


def _program(found: Program) -> Iterator[str]:
    yield from _instructions("once", found.once.instructions)
    yield from _instructions("rows", found.rows.instructions)


def _instructions(name: str, instructions: Sequence[Instruction]) -> Iterator[str]:
    for i in instructions:
        reads = [
            f"{read.name}{' of once' if numpy.any(read.once) and name == 'rows' else ''} "
            f"{_short(read.slots)}"
            for read in i.reads()
        ]
        yield f"{name}: {_short(i.outs)} = {i} of {', '.join(reads)}"


def _plan(found: Plan) -> Iterator[str]:
    for back in (*found.backward, *found.once_backward):
        sends = []
        for send in back.sends:
            name = "its operands" if isinstance(back.instruction, Singles) else send.name
            how = "writes" if numpy.all(send.assigns) else "adds"
            where = " of once" if numpy.all(send.once) else ""
            sends.append(f"{how} to {name}{where}: {_short(send.slots)}")
        yield f"{back.instruction}  {', '.join(sends)}"
    if len(found.clear):
        yield f"before that the errors of {_short(found.clear)} are set to 0 or to those given"


def _short(slots: Slots) -> str:
    """Some slots: a stretch by its ends, and of many the first ones."""
    flat = slots.ravel().tolist()
    if len(flat) > 1 and flat == list(range(flat[0], flat[0] + len(flat))):
        return f"{flat[0]}..{flat[-1]}"
    return " ".join(map(str, flat[:8])) + (" ..." if len(flat) > 8 else "")


_OF: dict[str, Callable[..., Iterator[str]]] = {
    **{"tape": _tape, "graph": _graph, "forms": _forms, "levels": _levels},
    **{"grouped": _grouped, "program": _program, "plan": _plan},
}
