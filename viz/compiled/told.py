"""What each pass did here, in a sentence or two with its numbers; and how the picture shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy

from microgradlike.compiler.forms import FOLD, FORM, PLAIN
from microgradlike.compiler.graph import ONCE, ROWS
from microgradlike.compiler.instructions import PARAMETERS, Instruction, Layer, Products
from microgradlike.compiler.operations import ARITY, NAMES
from microgradlike.compiler.plan import in_a_row
from microgradlike.words import counted
from viz.compiled.passes import Passes

#: Of longer lists of kinds the most frequent ones are told.
MOST_KINDS = 5

_NOUNS = {
    **{"mul": "multiplication", "add": "addition", "sub": "subtraction", "neg": "negation"},
    **{"truediv": "division", "pow": "power", "and": "condition", "or": "condition"},
    **{"not": "condition", "lt": "comparison", "le": "comparison", "eq": "comparison"},
    **{"ne": "comparison", "lower": "comparison"},
}


class Told(NamedTuple):
    """What is said of a stage.

    Attributes:
        sentence: what the pass did.
        picture: what the picture shows of it.
    """

    sentence: str
    picture: str


def told(passes: Passes, large: bool) -> dict[str, Told]:
    """What is said of each stage, by its name; of a ``large`` path the picture shows piles."""
    pictures = _OF_PILES if large else _OF_SCALARS
    return {name: Told(say(passes), pictures[name]) for name, say in _SAID.items()}


_OF_SCALARS = {
    "tape": "The number above an operation or a leaf is its place on the tape.",
    "graph": "The number is now the node's place in the graph. What is pale is gone.",
    "forms": "A dashed frame is one sum, or one fold, with its terms.",
    "levels": "Each column is a level.",
    "grouped": "A frame is one instruction. The small grid has a row for each result, and a column "
    "for each number that goes into it.",
    "program": "Above each number is its slot: r3 is slot 3 of a row, o3 is slot 3 of what is "
    "computed once. What has none is never kept: it is a term within a sum.",
    "plan": "◄2 in a frame: it is the second to send. Above a number is who sends to it: "
    "= writes, + adds.",
}

_OF_PILES = {
    "tape": "There are too many to draw: each pile counts those that stay, and shows some signs.",
    "graph": "Each pile counts those that stay.",
    "forms": "The multiplications and additions of a pile are terms of sums.",
    "levels": "Each column is a level.",
    "grouped": "Each frame is one instruction: the rectangle is its matrix, a row for each result.",
    "program": "Each frame tells the slots in which its results are kept.",
    "plan": "◄2 in a frame: it is the second to send, and to what.",
}


# ---- Each pass ---------------------------------------------------------------------------------


def _tape(passes: Passes) -> str:
    tape = passes.tape
    codes = numpy.frombuffer(tape.nodes, numpy.uint8)
    leaves = [
        counted(count, name)
        for name in ("input", "parameter")
        if (count := int((codes == NAMES.index(name)).sum()))
    ]
    ran = (
        f"The function ran once, on one row, and wrote down {operations(codes[ARITY[codes] > 0])}."
    )
    if leaves:
        ran += f" It has {_listed(leaves)}."
    if tape.guards:
        ran += (
            f" It had to decide {counted(len(tape.guards), 'if')}: rows that decide otherwise take "
            "another path."
        )
    return ran


def _graph(passes: Passes) -> str:
    graph, codes = passes.graph, numpy.frombuffer(passes.tape.nodes, numpy.uint8)
    here = graph.of_tape[ARITY[codes] > 0]
    stay = len(numpy.unique(here[here >= 0]))
    twice, unused = int((here >= 0).sum()) - stay, int((here < 0).sum())
    said = []
    if twice:
        said.append(
            f"{counted(twice, 'operation')} {_either(twice, 'computes', 'compute')} what another "
            "one does, and one of the two is enough"
        )
    if unused:
        said.append(
            f"{counted(unused, 'operation')} {_either(unused, 'is', 'are')} needed by no result"
            + (", though an if may ask for some" if passes.tape.guards else "")
        )
    if said:
        first = f"{'; '.join(said)}. {stay:,} of {counted(len(here), 'operation')} stay."
    elif stay:
        first = f"No operation is there twice and each is needed: {_all_stay(stay)}."
    else:
        first = "There is nothing to compute."
    computed = graph.stage[ARITY[graph.op] > 0]
    once, rows = int((computed == ONCE).sum()), int((computed == ROWS).sum())
    if once and rows:
        once_only = _either(once, "depends", "depend") + " on parameters alone and "
        once_only += _either(once, "is", "are") + " computed once per call"
        return f"{first} {once:,} {once_only}, {rows:,} for each row."
    if once:
        return f"{first} All depend on parameters alone: they are computed once per call."
    if rows:
        return f"{first} All differ from row to row: they are computed for each row."
    return first


def _forms(passes: Passes) -> str:
    graph, role = passes.graph, passes.forms.role
    of, what = passes.sums()
    said = []
    for kind, noun in ((FORM, "sum"), (FOLD, "fold")):
        inside = graph.op[(of >= 0) & (what == kind)]
        if len(inside):
            count = int((role == kind).sum())
            verb = _either(len(inside), "makes", "make")
            said.append(f"{operations(inside)} {verb} {counted(count, noun)}")
    plain = int((role == PLAIN).sum())
    if said:
        first = f"{', and '.join(said)}, in whatever order they were written."
        if plain:
            rest = operations(graph.op[role == PLAIN])
            first += f" {rest} {_either(plain, 'stays', 'stay')} as before."
    else:
        first = "There is no sum of products here"
        first += f": {_all_stay(plain)} as before." if plain else "."
    if passes.looks > 1:
        first += (
            " Smaller sums were found, too, and written out again: they are among operations that "
            "have little in common, where single operations cost less."
        )
    return first


def _levels(passes: Passes) -> str:
    deep = {
        stage: int(passes.levels.level[nodes].max(initial=0))
        for stage, nodes in passes.levels.computed.items()
    }
    if not any(deep.values()):
        return "Nothing is computed, so there is no level."
    said = []
    if deep[ROWS]:
        said.append(
            f"from the inputs to the last result there {_either(deep[ROWS], 'is', 'are')} "
            f"{counted(deep[ROWS], 'level')}"
        )
    if deep[ONCE]:
        said.append(f"what is computed once per call has {counted(deep[ONCE], 'level')}")
    first = "; ".join(said)
    return (
        f"{first[0].upper()}{first[1:]}. Nothing on a level needs another thing on it, so all of a "
        "level can be computed together."
    )


def _grouped(passes: Passes) -> str:
    boxes, graph = passes.path.boxes, passes.graph
    count = sum(len(box.operations) for box in boxes)
    if not boxes:
        return "Nothing is computed, so there is no instruction."
    first = f"{counted(count, 'operation')} became {counted(len(boxes), 'instruction')}."
    largest = max(boxes, key=lambda box: len(box.operations))
    if len(largest.operations) < 2:
        return f"{first} On no level are two of them alike."
    made = operations(graph.op[largest.operations], counts=False)
    became = _became(largest.main, largest.name)
    return f"{first} {len(largest.operations):,} {made} became one {became}."


def _became(instruction: Instruction, name: str) -> str:
    if isinstance(instruction, Layer):
        outs, ins = instruction.weights.shape
        places = (
            f", used at {len(instruction.values):,} places" if len(instruction.values) > 1 else ""
        )
        return f"{outs:,} x {ins:,} matrix product{places}"
    if isinstance(instruction, Products) and (found := instruction.grid()):
        (rows, terms), columns = found[0].shape, len(found[1])
        return f"product of a {rows:,} x {terms:,} and a {terms:,} x {columns:,} matrix"
    return f"instruction, {name}"


def _program(passes: Passes) -> str:
    program = passes.program
    given = len(program.inputs)
    results = sum(i.count for i in program.once.instructions)
    of_all = {
        **{"parameter": len(program.parameters), "constant": passes.constants()},
        **{"result": results},
    }
    shared = [counted(count, noun) for noun, count in of_all.items() if count]
    said = (
        f"Each number that is kept gets a slot. A row of data has {program.rows.slots:,}: "
        f"{counted(given, 'input')} and {counted(program.rows.slots - given, 'result')}. "
        f"All rows share {_listed(shared) if shared else 'nothing'}."
    )
    layers = [i for i in program.rows.instructions if isinstance(i, Layer)]
    if layers and all(in_a_row(layer.weights) for layer in layers):
        said += (
            " The weights of a layer are in slots in a row: they are a matrix already, and nothing "
            "is copied."
        )
    return said


def _plan(passes: Passes) -> str:
    sent = list(passes.sent())
    if not sent:
        return "No result depends on a parameter or an input, so nothing is sent backward."
    once, first = (
        numpy.concatenate([getattr(s, name) for s in sent]) for name in ("once", "first")
    )
    rows, writes = int((~once).sum()), int(first.sum())
    whom = "parameters" if passes.plan.mode == PARAMETERS else "inputs"
    order = ", the last one first. They send" if len(sent) > 1 else ". It sends"
    said = (
        f"The backward pass for the {whom} is {counted(len(sent), 'instruction')}{order} "
        f"{counted(len(first), 'gradient')}."
    )
    if rows:
        said += f" {rows:,} {_either(rows, 'goes', 'go')} to slots of a row: "
        said += (
            f"{writes:,} {_either(writes, 'is', 'are')} the first there and written, the others "
            "are added."
            if writes < rows
            else f"{_either(rows, 'it', 'each')} is the first there, and is written."
        )
    given = [slot for of_once, slot in passes.program.outputs if not of_once]
    if cleared := len(numpy.setdiff1d(passes.plan.clear, given)):
        said += f" {counted(cleared, 'slot')} {_either(cleared, 'is', 'are')} set to 0 before."
    later = sum(len(s.first) for s in sent if passes.path.boxes[s.box].once)
    if shared := len(first) - rows - later:
        said += (
            f" {shared:,} {_either(shared, 'goes', 'go')} to what all rows share, and "
            f"{_either(shared, 'is', 'are')} added up over them."
        )
    if later:
        said += (
            f" {later:,} {_either(later, 'is', 'are')} sent once per call{', last' * bool(shared)}."
        )
    return said


_SAID: dict[str, Callable[[Passes], str]] = {
    **{"tape": _tape, "graph": _graph, "forms": _forms, "levels": _levels},
    **{"grouped": _grouped, "program": _program, "plan": _plan},
}


# ---- Words -------------------------------------------------------------------------------------


def operations(codes: Any, counts: bool = True) -> str:
    """Some operations by their kinds: the most frequent first.

    >>> operations([NAMES.index(name) for name in ("mul", "add", "mul", "tanh")])
    '2 multiplications, 1 addition and 1 tanh'
    """
    names = (NAMES[code].removesuffix(" of a number") for code in numpy.asarray(codes))
    kinds = Counter(_NOUNS.get(name, name) for name in names)
    if not kinds:
        return "no operation"
    most = kinds.most_common(MOST_KINDS)
    words = []
    for name, count in most:
        is_noun = name in _NOUNS.values()
        if counts:
            words.append(counted(count, name) if is_noun else f"{count:,} {name}")
        else:
            words.append(f"{name}s" if is_noun else name)
    if rest := sum(kinds.values()) - sum(count for _, count in most):
        words.append(counted(rest, "other") if counts else "others")
    return _listed(words)


def _listed(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _all_stay(count: int) -> str:
    return "the only operation stays" if count == 1 else f"all {count:,} operations stay"


def _either(count: int, one: str, more: str) -> str:
    """The verb that goes with a number."""
    return one if count == 1 else more
