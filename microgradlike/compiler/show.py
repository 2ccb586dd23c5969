"""What each pass makes of a function, in words: from its scalars to its backward pass."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy

from microgradlike.compiler.forms import FOLD, FORM, PLAIN, PRODUCT, WEIGHTED, Forms
from microgradlike.compiler.graph import Graph
from microgradlike.compiler.grouping import Grouped
from microgradlike.compiler.instructions import (
    INPUTS,
    PARAMETERS,
    Instruction,
    Singles,
    Slots,
    parts_of,
)
from microgradlike.compiler.levels import Levels
from microgradlike.compiler.operations import ARITY, NAMES
from microgradlike.compiler.passes import build
from microgradlike.compiler.plan import Plan, Send, plan
from microgradlike.compiler.program import Program
from microgradlike.compiler.tape import Tape, trace
from microgradlike.words import counted, in_short

#: Of a longer list the first lines are shown, and how many more there are; of a longer line its
#: first characters.
MOST, LONGEST_LINE = 12, 110

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
    tape: what the function did, line by line: an operation, and the lines of its operands
      0  input 0
      1  input 1
      2  parameter 0
      3  mul 2 0
    ...
    plan: what is sent backward, and who is the first to send to a slot
      for the parameters
      rows: layer 2->1  adds to weights of once: 0..1
      before that the gradients of 2 are set to 0, or to those given
    >>> print(show(lambda x, y: x * x - y * y, [1.0, 4.0]))
    ... # doctest: +ELLIPSIS
    tape: ...
    forms: which operations are terms of a sum, and which are folded along a list
      4 = 0 x 0 - 1 x 1
    ...
    """
    tape = trace(f, example)
    found: dict[str, list[str]] = {"tape": list(listed("tape", tape))}

    def seen(name: str, made: object) -> None:
        found[name] = list(listed(name, made))

    program = build(Graph(tape, tape.outputs), seen)
    found["plan"] = list(listed("plan", way_back(program)))
    told = []
    if tape.guards:
        told.append(
            f"one path: the function had to decide {counted(len(tape.guards), 'if')}; arguments "
            "that decide otherwise take another path"
        )
    for name, made in found.items():
        told += [f"{name}: {WHAT[name]}", *(f"  {line}" for line in made or ["nothing"])]
    return "\n".join(told)


def way_back(program: Program) -> Plan:
    """The backward pass that is shown: for the parameters, or for the inputs if there are none."""
    return plan(program, PARAMETERS if program.parameters else INPUTS)


def listed(name: str, made: object) -> Iterator[str]:
    """The first lines of what a pass has made, short enough to read, and how many more there are.

    >>> tape = trace(lambda x: sum(k * x for k in range(9)), [1.0])
    >>> print(*listed("tape", tape), sep="\\n")  # doctest: +ELLIPSIS
    0  input 0
    1  mul (constant 0) 0
    ...
    ... and 7 more lines
    """
    all_of_it = lines(name, made)
    for line in itertools.islice(all_of_it, MOST):
        # Cut before a word: half a number would be another one.
        whole = len(line) <= LONGEST_LINE
        yield line if whole else f"{line[: LONGEST_LINE + 1].rpartition(' ')[0]} ..."
    if more := sum(1 for _ in all_of_it):
        yield f"... and {counted(more, 'more line')}"


def lines(name: str, made: object) -> Iterator[str]:
    """What a pass has made: a line for each node, sum, level or instruction."""
    return _OF[name](made)


#: What each pass makes, in the order in which they run.
WHAT = {
    "tape": "what the function did, line by line: an operation, and the lines of its operands",
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
        texts = [
            str(v) if v >= 0 else f"(constant {in_short(tape.constants[~v])})" for v in operands
        ]
        decided = f"  (an if: {str(tape.guards[node][0]).lower()})" if node in tape.guards else ""
        yield f"{node}  {NAMES[code]} {' '.join(texts)}{decided}"


def _graph(graph: Graph) -> Iterator[str]:
    for node, code in enumerate(graph.op.tolist()):
        operands = [graph.left[node], graph.right[node]][: ARITY[code]]
        leaf = "" if ARITY[code] else f" {graph.left[node]}"
        if NAMES[code] == "constant":
            leaf = f" {in_short(graph.constants[node])}"
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


def _instructions(stage: str, instructions: Sequence[Instruction]) -> Iterator[str]:
    for i in instructions:
        reads = [
            f"{read.name}{' of once' if once else ''} {_short(slots)}"
            for read in i.reads()
            for once, slots in parts_of(read)
            if slots.size
        ]
        yield f"{stage}: {_short(i.outs)} = {i} of {', '.join(reads)}"


def _plan(found: Plan) -> Iterator[str]:
    if not (found.backward or found.once_backward):
        yield "nothing is sent: no result depends on a parameter or an input"
        return
    yield f"for the {'parameters' if found.mode == PARAMETERS else 'inputs'}"
    for stage, backs in (("rows", found.backward), ("once", found.once_backward)):
        for back in backs:
            sends = [
                text
                for send in back.sends
                for text in _sends(send, isinstance(back.instruction, Singles), stage)
            ]
            yield f"{stage}: {back.instruction}  {', '.join(sends)}"
    if len(found.clear):
        yield f"before that the gradients of {_short(found.clear)} are set to 0, or to those given"


def _sends(send: Send, singles: bool, stage: str) -> Iterator[str]:
    """What is written and what is added; those of single operations may be both, and to both."""
    name = "its operands" if singles else send.name
    assigns, lower = (
        numpy.broadcast_to(part, send.slots.shape) for part in (send.assigns, send.once)
    )
    for how, once in itertools.product((True, False), repeat=2):
        slots = send.slots[(assigns == how) & (lower == once)]
        if slots.size:
            where = " of once" if once or stage == "once" else ""
            yield f"{'writes' if how else 'adds'} to {name}{where}: {_short(slots)}"


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
