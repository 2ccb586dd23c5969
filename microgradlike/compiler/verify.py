"""What must hold after each pass, as code: a pass that breaks a law is told so at once.

The laws are checked in the whole test suite, and not in use: ``CHECKING`` is set by the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy
from numpy.typing import ArrayLike

from microgradlike.compiler.arrays import Ints, Truths
from microgradlike.compiler.graph import WHERE_NOT_ZERO
from microgradlike.compiler.instructions import (
    ALWAYS,
    BY_ERROR,
    HERE,
    IN_ONCE,
    INPUTS,
    NONE,
    Elementwise,
    Fold,
    Instruction,
    Layer,
    Loop,
    Products,
    Singles,
    Slots,
    Sums,
    Take,
    parts_of,
)
from microgradlike.compiler.operations import (
    ARITY,
    CODES,
    CONDITIONS,
    ENTRY,
    FOLDS,
    LOOP,
    NAMES,
    SENDS_TO,
    TABLE,
    TAKE,
)

if TYPE_CHECKING:
    from microgradlike.compiler.forms import Forms
    from microgradlike.compiler.graph import Graph
    from microgradlike.compiler.grouping import Grouped
    from microgradlike.compiler.levels import Levels
    from microgradlike.compiler.plan import Back, Plan, Send
    from microgradlike.compiler.program import Program

#: Whether the laws are checked after each pass.
CHECKING = False


class BrokenLaw(AssertionError):
    """What a pass has made does not hold what the next one relies on."""


def law(holds: ArrayLike, sentence: str, of: object = None) -> None:
    """Refuse what does not hold; the words of an instruction are made only then."""
    # A truth is one byte: to look for a 0 among them is the quickest way to ask for all.
    if holds is not True and 0 in numpy.asarray(holds, bool).tobytes():
        raise BrokenLaw(sentence.format(of))


# ---- From a graph to levels --------------------------------------------------------------------
_LINKS, _TAKE, _LOOP = [CODES[TABLE], CODES[ENTRY]], CODES[TAKE], CODES[LOOP]
_JOINS = numpy.isin(numpy.arange(len(NAMES)), [CODES[name] for name in CONDITIONS])


def graph(g: Graph) -> None:
    """Operands come first, and so do earlier stages; where an error arrives is a condition."""
    count, computed = len(g.op), ARITY[g.op] > 0
    law(len(g.left) == len(g.right) == len(g.stage) == count, "a node lacks operands or a stage")
    law((g.op >= 0) & (g.op < len(NAMES)), "an operator has no name")
    for operands, arity in ((g.left, 1), (g.right, 2)):
        users = numpy.flatnonzero(ARITY[g.op] >= arity)
        # Conditions that join others come after all nodes.
        law((operands[users] < users) | _JOINS[g.op[users]], "an operand comes after its user")
        law(g.stage[operands[users]] <= g.stage[users], "an operand is of a later stage")
    plain = len(g.constants)
    law(g.op[:plain] == CODES["constant"], "the first nodes are not the constants")
    law(~computed[:plain] & (g.op[plain:] != CODES["constant"]).all(), "a constant has no number")
    law((g.outputs >= 0) & (g.outputs < count), "an output is no node")
    law(g.reach < count, "an error arrives under a condition that is no node")
    for side, operands in enumerate((g.left, g.right)):
        asks = g.elsewhere | ~SENDS_TO[g.op, side] | (g.op == _LOOP)
        law(g.elsewhere[operands[asks & (ARITY[g.op] > side)]], "who needs a node is forgotten")


def forms(f: Forms) -> None:
    """Sums have terms, folds operands, of what comes before them; and nothing is lost."""
    g, role, terms = f.graph, f.role, f.terms
    gone, plain, form, fold = range(4)
    law((role >= gone) & (role <= fold), "a node has no role")
    law(role[terms.of] == form, "a term is of what is no sum")
    for operand in (terms.first, terms.second):
        law(operand < terms.of, "a term comes after its sum")
    law(abs(terms.sign) == 1, "the sign of a term is not 1 or -1")
    has_terms = numpy.zeros(len(role), bool)
    has_terms[terms.of] = True
    law(has_terms[role == form], "a sum has no terms")
    law(role[f.operands.of] == fold, "an operand is of what is no fold")
    law(FOLDS[g.op[f.operands.of]], "a fold is of an operation that has no folds")
    law(role[g.ordered & (ARITY[g.op] > 0)] <= plain, "a sum is not in the engine's order")
    length = numpy.bincount(f.operands.of, minlength=len(role))
    law(length[role == fold] >= 3, "a fold has fewer than three operands")
    _nothing_is_lost(g, f)


def _nothing_is_lost(g: Graph, f: Forms) -> None:
    """What is read is computed, or is a leaf."""
    there = (f.role != 0) | (ARITY[g.op] == 0)
    law(there[g.outputs], "an output is not computed")
    law(there[f.terms.first] & there[f.terms.second], "a term is not computed")
    law(there[f.operands.value], "an operand of a fold is not computed")
    linked = numpy.isin(g.op, _LINKS)
    law(f.role[linked] == 0, "a table is computed")
    taken = g.op == _TAKE
    law(linked[g.right[taken]], "what is taken from is no table")
    reads = (f.role == 1) | linked
    for operands, arity in ((g.left, 1), (g.right, 2)):
        users = reads & (ARITY[g.op] >= arity)
        first = (arity == 1) & (g.op == CODES[ENTRY])  # which is the rest of the table
        chained = (taken & (arity == 2)) | (g.op == CODES[LOOP])
        law(there[operands[users & ~first & ~chained]], "an operand is not computed")


def levels(found: Levels) -> None:
    """What is computed is deeper than what it reads in its own stage."""
    p, level = found.parts, found.level
    g = p.graph
    total = len(p.bounds) - 1
    sums = numpy.repeat(numpy.arange(total), numpy.diff(p.bounds))
    law(numpy.diff(p.bounds)[p.role[:total] == 2] > 0, "a sum has lost its terms")
    pairs: list[tuple[Ints, Ints]] = [(sums, p.first), (sums, p.second), p.forms.operands]
    plain = numpy.flatnonzero(p.role[: len(g.op)] == 1)
    for operands, arity in ((g.left, 1), (g.right, 2)):
        users: Ints = plain[ARITY[g.op[plain]] >= arity]
        pairs.append((users, operands[users]))
    for users, operands in pairs:
        same = p.stage[users] == p.stage[operands]
        law(level[operands[same]] < level[users[same]], "what is read is not computed before")
    for stage, nodes in found.computed.items():
        law(p.stage[nodes] == stage, "a list computes what is of another stage")
        law(numpy.diff(level[nodes]) >= 0, "a list is not in the order of its levels")
    everything = numpy.concatenate(list(found.computed.values()))
    law(len(everything) == ((p.role != 0) & (level > 0)).sum(), "something is not computed")


# ---- Instructions ------------------------------------------------------------------------------


def grouped(found: Grouped) -> None:
    """Over nodes: everything is computed once, after what it reads, and by the right list."""
    p = found.parts
    constants = numpy.concatenate(p.of_constants())
    once = numpy.concatenate([found.parameters, constants])
    once = numpy.concatenate([once, [node for node, _ in found.further.constants]]).astype(int)
    size = found.further.end
    law(len({*once.tolist()}) == len(once), "a parameter has two places")
    known = _in_order(found.once, once, None, size)
    there = _in_order(found.rows, found.inputs, known, size)
    law((known | there)[p.graph.outputs], "an output is not computed")
    for i in (*found.once, *found.rows):
        if i.outs[0] >= len(p.reach):  # of the round of a loop
            continue
        reach = p.reach[i.outs[:1] if isinstance(i, Loop) else i.outs]
        masked = numpy.full(len(reach), i.mask.kind) != ALWAYS
        law(
            masked == ((reach >= 0) | (reach == WHERE_NOT_ZERO)),
            "{} has a mask where the graph has none, or none where it has",
            i,
        )
        only = numpy.broadcast_to(i.mask.only, len(reach))
        law(~(only & p.elsewhere[i.outs[: len(reach)]].astype(bool)), "somebody else needs {}", i)
        conditions = numpy.full(len(reach), i.mask.slots if len(i.mask.slots) else reach)
        asked = masked & (reach >= 0)
        law(conditions[asked] == reach[asked], "the mask of {} is another condition", i)


def program(found: Program) -> None:
    """Over slots: what an instruction writes is in a row, and its own."""
    count, constants = len(found.parameters), len(found.constants)
    law(sorted({*found.parameters}) == sorted(found.parameters), "a parameter has two slots")
    law(len({*found.inputs}) == len(found.inputs), "an input has two slots")
    leaves = numpy.arange(count + constants)
    known = _in_order(found.once.instructions, leaves, None, found.once.slots)
    there = _in_order(
        found.rows.instructions, numpy.arange(len(found.inputs)), known, found.rows.slots
    )
    law(known, "a slot of once is not written")
    law(there, "a slot of the rows is not written")
    for i in (*found.once.instructions, *found.rows.instructions):
        law(numpy.diff(i.outs) == 1, "what an instruction writes is not in a row")
    for once, slot in found.outputs:
        law((known if once else there)[slot], "an output is not computed")
    _watches_enough(found)


def _watches_enough(found: Program) -> None:
    """What is added up in another order than the engine's is watched."""
    if found.graph.as_written:
        return
    watched = [numpy.zeros(stage.slots, bool) for stage in (found.once, found.rows)]
    for truths, slots in zip(watched, found.watched, strict=True):
        truths[slots] = True
    for here, stage in zip(watched, (found.once, found.rows), strict=True):
        for i in stage.instructions:
            for read in i.reorders():
                for once, slots in parts_of(read):
                    law((watched[0] if once else here)[slots], "{} is not watched", i)


def _in_order(
    instructions: Sequence[Instruction], leaves: Ints, once: Truths | None, size: int
) -> Truths:
    """Go through a list: what is there at its end, of nodes or slots.

    Args:
        instructions: of the list.
        leaves: what is there before.
        once: what is there of ``once``; None if this is that list.
        size: how many nodes or slots there are.
    """
    there = numpy.zeros(size, bool)
    there[leaves] = True
    for i in instructions:
        _shapes(i)
        if isinstance(i, Singles):
            _single_by_single(i, there, once)
            continue
        asked = i.waits_for()
        law(there[asked[asked >= 0]], "{} waits for what is not computed yet", i)
        for read in i.reads():
            for of_once, numbers in parts_of(read):
                source = there if once is None or not of_once else once
                law(source[numbers], "{} reads what is not computed yet", i)
        law(~there[i.outs], "{} writes what is there already", i)
        law(len({*i.outs.tolist()}) == i.count, "{} writes twice at one place", i)
        there[i.outs] = True
    for i in instructions:
        _mask(i, there, once)
    return there


def _single_by_single(i: Singles, there: Truths, once: Truths | None) -> None:
    """Their operands may be outputs before them."""
    (left_once, left), (right_once, right) = i.operands
    position = numpy.full(len(there), -1)
    position[i.outs] = numpy.arange(i.count)
    law(~there[i.outs], "{} writes what is there already", i)
    law(len({*i.outs.tolist()}) == i.count, "{} writes twice at one place", i)
    asked = i.waits_for()
    waits = numpy.flatnonzero(asked >= 0)
    early = (position[asked[waits]] >= 0) & (position[asked[waits]] < waits)
    law(there[asked[waits]] | early, "{} waits for what is not computed yet", i)
    for of_once, slots in ((left_once, left), (right_once, right)):
        lower = numpy.full(slots.shape, of_once & (once is not None))
        if once is not None:
            law(once[slots[lower]], "{} reads what is not computed once", i)
        here, k = slots[~lower], numpy.arange(i.count)[~lower]
        early = (position[here] >= 0) & (position[here] < k)
        law(there[here] | early, "{} reads what is not computed yet", i)
    there[i.outs] = True


def _shapes(i: Instruction) -> None:
    """The parts of an instruction fit each other."""
    law(len(i.nodes) == i.count > 0, "{} has not a node for each output", i)
    if isinstance(i, Layer):
        (outs, ins), places = i.weights.shape, len(i.values)
        law(i.values.shape == (places, ins), "{} has not a value for each weight", i)
        law(i.count == places * outs, "{} has not an output for each row of weights", i)
        law(
            i.bias is None or i.bias.shape == (places, outs), "{} has not a bias for each output", i
        )
    elif isinstance(i, Sums | Products):
        first = i.first if isinstance(i, Products) else i.values
        other = i.second if isinstance(i, Products) else i.weights
        law(len(first) == i.count, "{} has not terms for each output", i)
        law(other is None or other.shape == first.shape, "{} has not two factors for each term", i)
        law(i.bias is None or len(i.bias) == i.count, "{} has not a bias for each output", i)
    elif isinstance(i, Fold):
        law(len(i.values) == i.count, "{} has not values for each output", i)
    elif isinstance(i, Take):
        law(i.index.ndim == 1 and i.table.ndim == 2, "{} has no index, or no table", i)
        width = len(i.index) * i.table.shape[1]
        law(i.count == width, "{} has not an output for each entry of a row", i)
    if isinstance(i, Layer | Sums | Products) and i.signs is not None:
        shape = i.weights.shape if isinstance(i, Layer) else _terms(i).shape
        law(i.signs.shape == shape, "{} has not a sign for each term", i)
    if isinstance(i, Elementwise):
        law(len(i.operands) == ARITY[CODES[i.operation]], "{} lacks an operand", i)
        law([len(x.slots) == i.count for x in i.operands], "{} lacks an operand", i)


def _terms(i: Sums | Products) -> Slots:
    return i.first if isinstance(i, Products) else i.values


def _mask(i: Instruction, there: Truths, once: Truths | None) -> None:
    """A mask is of conditions that are computed."""
    kinds = numpy.asarray(i.mask.kind)
    law((kinds >= ALWAYS) & (kinds <= BY_ERROR), "{} has no such mask", i)
    law(len(i.mask.slots) in (0, 1, i.count), "{} has not a condition for each output", i)
    if not len(i.mask.slots):
        return
    kinds = numpy.broadcast_to(kinds, len(i.mask.slots))
    law(there[i.mask.slots[kinds == HERE]], "the condition of {} is not computed", i)
    if once is not None:
        law(once[i.mask.slots[kinds == IN_ONCE]], "the condition of {} is not computed once", i)


# ---- The backward pass -------------------------------------------------------------------------


def plan(found: Plan, wants_once: Ints, wants: Ints) -> None:
    """An error is there before it is sent on; the first one is written, all others are added.

    Args:
        found: the plan.
        wants_once, wants: for which slots of ``once``, and of the rows, the error is wanted.
    """
    rows = found.program.rows
    _everything_is_sent(found, wants_once, wants)
    written = numpy.zeros(max(rows.slots, 1), bool)
    got = written.copy()  # an error from an output, or from somebody
    written[found.clear] = True
    got[[slot for once, slot in found.program.outputs if not once]] = True
    sent = numpy.zeros(len(written), bool)  # by the instruction that computes it
    position = {id(i): place for place, i in enumerate(rows.instructions)}
    last = len(rows.instructions)
    for back in found.backward:
        i = back.instruction
        law(position[id(i)] < last, "{} sends out of order", i)
        last = position[id(i)]
        law(written[i.outs[_sending(i, back)]], "{} sends an error that nobody has written", i)
        if not isinstance(i, Singles):
            sent[i.outs] = True
        for send in back.sends:
            _send(i, send, written, sent, got)
    inputs = len(found.program.inputs) if found.mode == INPUTS else 0
    law(written[:inputs], "the error of an input is never written")


def _everything_is_sent(found: Plan, wants_once: Ints, wants: Ints) -> None:
    """Whoever wants an error gets it from all that read it."""
    backs = {id(back.instruction): back.sends for back in found.backward}
    for i in found.program.rows.instructions:
        sends = backs.get(id(i), ())
        depends = numpy.full(i.count, i.depends & found.mode) != 0
        for side, read in enumerate(i.reads()):
            here = numpy.full(read.slots.shape, read.once)
            to = numpy.where(here, wants_once[read.slots * here], wants[read.slots * ~here])
            wanted: Truths = to != 0
            if isinstance(i, Singles):
                got = numpy.zeros(i.count, bool)
                for send in sends:
                    got[send.place[send.name == side]] = True
                wanted &= depends & SENDS_TO[i.operations, side]
                law(
                    got == wanted, "{} keeps an error for itself, or sends one that nobody wants", i
                )
            elif depends.any() and _may_send(i, side):
                sent = numpy.zeros(max(len(wants), len(wants_once)), bool)
                for send in sends:
                    sent[send.slots if send.name == read.name else NONE] = True
                law(sent[read.slots[wanted]], "{} keeps an error for itself", i)


def _may_send(i: Instruction, side: int) -> bool:
    """Whether the error passes to an operand at all."""
    if isinstance(i, Take):
        return i.reads()[side].name == "table"
    if isinstance(i, Loop):  # to what it reads of ``once`` in its round, the round itself sends
        return side < 3
    return not isinstance(i, Elementwise) or bool(SENDS_TO[CODES[i.operation], side])


def _sending(i: Instruction, back: Back) -> Ints | slice:
    """The outputs whose errors are there from others, not from this instruction itself."""
    if not isinstance(i, Singles):
        return slice(None)
    (send,) = back.sends
    return numpy.setdiff1d(send.place, numpy.flatnonzero(numpy.isin(i.outs, send.slots)))


def _send(i: Instruction, send: Send, written: Truths, sent: Truths, got: Truths) -> None:
    once = numpy.full(send.slots.shape, send.once)
    slots, assigns = send.slots[~once], numpy.full(send.slots.shape, send.assigns)[~once]
    law(~sent[slots], "{} sends an error to what has sent its own on already", i)
    first = slots[assigns]
    law(len({*first.tolist()}) == len(first), "{} writes an error twice", i)
    law(~got[first], "{} writes over an error that somebody has sent", i)
    got[slots] = True
    if isinstance(i, Singles):
        seen = numpy.zeros(len(written), bool)
        position = numpy.full(len(written), -1)
        position[i.outs] = numpy.arange(i.count)
        law(position[slots] < send.place[~once], "{} sends an error that comes too late", i)
        for slot, assign in zip(slots.tolist(), assigns.tolist(), strict=True):
            law(assign != (written[slot] or seen[slot]), "{} is not the first, or is, to write", i)
            seen[slot] = True
        written[slots] = True
        return
    law(written[slots[~assigns]], "{} adds to an error that nobody has written", i)
    written[first] = True


#: The law of each pass, by its name.
LAWS: dict[str, Callable[..., None]] = {
    **{"graph": graph, "forms": forms, "levels": levels, "grouped": grouped, "program": program},
}
