"""The judge: finds the mistakes of an engine in what came out of the probes.

What all others rest on comes first: where the pass begins, sums and products, then the order of the
pass on graphs of these two, then all other operations. A mistake is known if one of the suspects
gives just the numbers that came out, in all probes that it concerns.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TypeAlias

from microgradlike import ops
from microgradlike.engine import recording
from microgradlike.grading import probes
from microgradlike.grading.cases import Case, Share, near
from microgradlike.grading.claims import PASSES, about_share, inside, name_of, overwrites
from microgradlike.grading.notes import habit, may_differ, notes_on
from microgradlike.grading.probes import (
    BASE,
    HOMES,
    OURS,
    PROBES,
    TOPICS,
    Engine,
    Observation,
    Probe,
)
from microgradlike.grading.suspects import right_share, wrong_passes, wrong_shares
from microgradlike.grading.verdict import Mistake, Verdict, graph_of
from microgradlike.inputs import function


def check_engine(
    make: Callable[[float], object],
    *,
    data: str = "data",
    grad: str = "grad",
    backward: str = "backward",
    without: Sequence[str] = (),
) -> Verdict:
    """Judge an autograd engine that somebody else wrote: which mistake does it have?

    More than 500 small programs run on it and on this package's engine, and the gradients are
    compared. What the class raises becomes a part of the verdict. A file that is not trusted, or
    that may never end, is better judged in a process of its own: ``python -m microgradlike.grading
    FILE``.

    Args:
        make: the class, with micrograd's interface: ``make(2.0)`` is a number, ``+ - * / **`` work
            on it, ``v.backward()`` fills in ``v.grad``. Functions such as ``v.tanh()`` are judged
            where the class has them.
        data, grad, backward: what the class calls these, if it has other names; an attribute, or a
            method without arguments.
        without: topics that are not judged, such as ``["powers", "functions"]``.

    Returns:
        The verdict: true if nothing is wrong. Printed, it is a sentence for each mistake;
        ``verdict.save_picture("mistake.svg")`` draws the first one.

    Raises:
        TypeError: ``make`` is no class, and no function.
        ValueError: there is no such topic.

    >>> from microgradlike import Value
    >>> class Wrong(Value):
    ...     def __sub__(self, other):
    ...         return self + other
    >>> print(check_engine(Wrong).sentence)
    Subtraction computes a wrong number: in c = a - b, with a = 3, b = -2, c came out as 1 and is 5.
    """
    function("check_engine(make)", make)
    engine = Engine(make, data, grad, backward)
    name = getattr(make, "__name__", "")
    known = name if name.isidentifier() else "The engine"
    return judge(known, probes.observe(engine), topics_without(without))


def topics_without(without: Sequence[str]) -> list[str]:
    """The topics that are judged, without some.

    Raises:
        ValueError: there is no such topic.

    >>> len(topics_without(["powers"]))
    11
    """
    for topic in without:
        if topic not in TOPICS:
            raise ValueError(f"the topics are {', '.join(TOPICS)}, but got {topic!r}")
    return [topic for topic in TOPICS if topic not in without]


def judge(
    name: str, observations: Iterable[Observation], judged: Sequence[str] = tuple(TOPICS)
) -> Verdict:
    """The verdict on what came out of the probes, in their order; the last ones may be missing."""
    seen = list(observations)
    cases = [
        Case(*case)
        for case in zip(PROBES, seen, _expected(), strict=False)
        if _home(case[0]) in (*judged, "limits")
    ]
    mistakes = _without_consequences(_grouped(_mistakes(cases)))
    wrong = {probe.topic for probe in PROBES[len(seen) :]}
    wrong |= {case.probe.topic for case in cases if case.fails and not may_differ(case)}
    wrong |= {mistake.probe.topic for mistake in mistakes if mistake.probe}
    tried = (case for case in cases if case.was_tried and case.probe.topic != "limits")
    wrong |= {"numbers" for case in tried if case.wrong_numbers}
    topics = {topic: topic not in wrong for topic in judged}
    notes = () if mistakes else tuple(notes_on(cases))
    return Verdict(name, tuple(mistakes), notes, topics)


def _home(probe: Probe) -> str:
    """The topic of what it is about: beside plain numbers, too, a quotient is one."""
    return HOMES.get(probe.use.operator.name, probe.topic) if probe.use else probe.topic


@functools.cache
def _expected() -> tuple[Observation, ...]:
    """What this package's engine makes of all probes."""
    with recording():
        return tuple(probes.observe(OURS))


# ---- In which order ----------------------------------------------------------------------------


def _mistakes(cases: Sequence[Case]) -> Iterator[Mistake]:
    """All mistakes, what others rest on first."""
    for case in cases[:1]:
        seen = case.seen
        if (seen.error or seen.stopped) and seen.line not in case.probe.lines:
            yield case.failure()  # no number can be made, or none can be read
            return
    start = list(_of_start(cases))
    yield from start
    if any(mistake.probe is probes.START for mistake in start):
        return  # all other gradients are wrong for this reason
    operations: dict[str, list[Case]] = {}
    for case in cases:
        if case.probe.use and case.probe.topic != "constants":
            operations.setdefault(case.probe.use.operator.name, []).append(case)
    for name in BASE:
        yield from _of_operation([c for c in operations.pop(name, ()) if not _is_of_pass(c)])
    yield from _of_pass([case for case in cases if _is_of_pass(case)])
    for name in sorted(operations, key=lambda name: name not in _RESTED_ON):
        yield from _of_operation(operations[name])
    yield from _of_two_uses(cases)
    yield from _of_constants([case for case in cases if case.probe.topic == "constants"])
    yield from _of_another_pass(cases)


#: What others are often made of, as ``a - b`` is ``a + (-b)`` and ``a / b`` is ``a * b**-1``.
_RESTED_ON = ("neg", "pow")


def _is_of_pass(case: Case) -> bool:
    """Whether it is a graph of sums and products in which gradients meet."""
    use = case.probe.use
    return case.probe.topic in ("twice", "order") and (not use or use.operator.name in BASE)


#: Mistakes that several operations can have for one reason.
_SHARED = ("overwritten", "upstream", "slope", "nothing", "added")


def _grouped(mistakes: Iterable[Mistake]) -> list[Mistake]:
    """The mistakes; one that several operations have is told once, with their names."""
    groups: dict[object, list[Mistake]] = {}
    for mistake in mistakes:
        one = () if mistake.kind in _SHARED else mistake.operators
        if mistake.kind == "raises":  # the method that is missing, or all that is said
            one = (mistake.sentence.rpartition("The class needs")[2],)
        groups.setdefault((mistake.kind, *one), []).append(mistake)
    return [_as_one(first, others) for first, *others in groups.values()]


def _as_one(first: Mistake, others: Sequence[Mistake]) -> Mistake:
    names = dict.fromkeys(name for mistake in others for name in mistake.operators)
    more = tuple(name for name in names if name not in first.operators)
    if not more:
        return first
    told = ", ".join(inside(name) for name in more)
    return dataclasses.replace(
        first,
        operators=first.operators + more,
        sentence=f"{first.sentence} The same is true of {told}.",
    )


def _without_consequences(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """What all else rests on first, then what is known; the rest may follow from the former."""
    base = [mistake for mistake in mistakes if _is_base(mistake)]
    others = [mistake for mistake in mistakes if not _is_base(mistake)]
    known = [mistake for mistake in others if mistake.is_known]
    if base:
        return ([mistake for mistake in base if mistake.is_known] or base) + known
    return known + [mistake for mistake in others if not mistake.is_known]


def _is_base(mistake: Mistake) -> bool:
    """Whether it is of the start, of sums and products, or of how gradients go through a graph."""
    topic = mistake.probe.topic if mistake.probe else ""
    return topic in ("start", "sums", "products", "twice", "order") and (
        not mistake.operators or not set(BASE).isdisjoint(mistake.operators)
    )


# ---- Numbers, and the start --------------------------------------------------------------------


def _of_start(cases: Sequence[Case]) -> Iterator[Mistake]:
    """Whether a pass begins with 1, and operations leave the numbers alone that they are given."""
    in_place, start, alone = (
        Case.of(cases, probe) for probe in (probes.IN_PLACE, probes.START, probes.ALONE)
    )
    if in_place:
        yield from _trouble(in_place, "changed", "An operation changes a number it was given")
    if start and start.wrong_gradients and not start.broke:
        begun = start.seen.grads.get("c")
        sent = [start.seen.grads[name] for name in start.wrong_gradients]
        if begun is not None and all(near(gradient, begun) for gradient in sent):
            yield start.mistake(
                "start",
                f"The gradient of the result begins as {begun:g}, not as 1",
                "Set it to 1 before anything is sent: a number changes as fast as itself.",
            )
    elif start and start.broke:
        yield start.failure()
    elif alone:
        claim = "backward() of a number that was not computed does not give it the gradient 1"
        yield from _trouble(alone, "leaf", claim)


def _trouble(case: Case, kind: str, claim: str, advice: str = "") -> Iterator[Mistake]:
    """What is wrong with a case for which there is one explanation."""
    if case.broke:
        yield case.failure()
    elif case.fails:
        yield case.mistake(kind, claim, advice, case.operators)


# ---- Operations --------------------------------------------------------------------------------


def _of_operation(cases: Sequence[Case]) -> Iterator[Mistake]:
    """What is wrong with one operation: it raises, its number is wrong, or what it sends is."""
    tried = [case for case in cases if case.was_tried and not _lacks_another(case)]
    for case in tried:
        if case.broke:
            yield case.failure()
            return
        if case.wrong_numbers:
            claim = f"{name_of(case.operators[0])} computes a wrong number"
            yield case.mistake("value", claim, operators=case.operators)
            return
    of_itself = [case for case in tried if _is_of_itself(case)]
    others = [case for case in tried if not _is_of_itself(case)]
    found: list[Mistake] = []
    for operand in ("a", "b"):
        if wrong := [case for case in others if operand in case.wrong_gradients]:
            found += _of_share(wrong[0], others, operand)
    yield from found
    for case in of_itself:
        if case.wrong_gradients and not found:
            claim = f"{name_of(case.operators[0])} goes wrong between a number and itself"
            yield case.mistake("itself", claim, "Send to both sides.", case.operators)


def _of_two_uses(cases: Sequence[Case]) -> Iterator[Mistake]:
    """Functions that are right alone, and wrong where a graph has them twice."""
    functions = [case for case in cases if case.probe.topic == "functions"]
    wrong_alone = {c.probe.use.operator.name for c in functions if c.probe.use and c.fails}
    for case in functions:
        name = case.probe.method
        if case.probe.use or not case.wrong_gradients or case.broke or name in wrong_alone:
            continue
        yield case.mistake(
            "mixed up",
            f"{name}() twice in a graph goes wrong, though each alone is right",
            "What the backward pass needs of a call belongs to that call, not to the class or the "
            "module.",
        )


def _is_of_itself(case: Case) -> bool:
    """Whether both operands are the same number."""
    return case.probe.use is not None and case.probe.use.operands == ("a", "a")


def _lacks_another(case: Case) -> bool:
    """Whether it raised for lack of an operation that other probes are about."""
    return case.lacks_an_operation and not case.is_of_use


def _of_share(case: Case, cases: Sequence[Case], operand: str) -> Iterator[Mistake]:
    """What is wrong with what an operation sends to an operand, from all cases of it.

    Nothing is, if it is right for the upstream gradient that the engine itself has there.
    """
    use = case.probe.use
    assert use is not None
    row, place = use.operator, use.operands.index(operand)
    shares = [Share.of(c, place) for c in cases if _has(c, operand, place)]
    if all(share.is_explained_by(right_share(row, place)) for share in shares):
        return
    suspects = wrong_shares(row, place)
    wrong = next((w for w in suspects if all(share.is_explained_by(w) for share in shares)), None)
    claim, advice = about_share(use, place, wrong)
    kind = wrong.kind if wrong else "unknown"
    yield case.mistake(kind, claim, advice, (row.name,), is_known=wrong is not None)


def _has(case: Case, operand: str, place: int) -> bool:
    """Whether its operation has this operand at this place."""
    operands = case.probe.use.operands if case.probe.use else ()
    return len(operands) > place and operands[place] == operand


def _of_constants(cases: Sequence[Case]) -> Iterator[Mistake]:
    """What is wrong with plain numbers beside a Value, told once for each operation and side."""
    sides: dict[object, list[Case]] = {}
    for case in cases:
        sides.setdefault((case.operators, case.number_first), []).append(case)
    for some in sides.values():
        yield from _of_side(some)


def _of_side(cases: Sequence[Case]) -> Iterator[Mistake]:
    failing = [case for case in cases if case.fails and not _lacks_another(case)]
    if not failing:
        return
    case = failing[0]
    if case.broke:
        yield case.failure()
        return
    if not case.wrong_numbers:
        yield from _of_share(case, [c for c in cases if c.was_tried and not c.broke], "a")
        return
    use = case.probe.use
    assert use is not None
    x, y = map(case.probe.number_of, use.operands)
    left, right = (f"{x:g}" if isinstance(x, float) else x for x in use.operands)
    turned = f"{right} {use.operator.symbol} {left}"
    is_turned = near(case.seen.data[use.result], ops.on_floats(use.operator.value)(y, x, 0, 0))
    code = case.probe.lines[0].partition(" = ")[2]
    yield case.mistake(
        "turned" if is_turned else "value",
        f"{code} is computed as {turned}" if is_turned else f"{code} is a wrong number",
        f"Look at {case.method}.",
        case.operators,
    )


# ---- The pass ----------------------------------------------------------------------------------


def _of_pass(cases: Sequence[Case]) -> Iterator[Mistake]:
    """What is wrong with how gradients go through a graph and meet in it."""
    cases = [case for case in cases if not _lacks_another(case)]
    failing = sorted((c for c in cases if c.fails), key=lambda c: (bool(c.probe.use), len(c.code)))
    if not failing:
        return
    first = failing[0]
    if first.broke or first.wrong_numbers:
        yield from _trouble(first, "value", "An operation computes the wrong number")
        return
    fitting = set(_KINDS)
    for case in sorted(cases, key=lambda case: not case.fails):  # those leave few
        if not case.broke:
            fitting = _passes_that_fit(case, fitting)
    for (kind, operators), (claim, advice) in _KINDS.items():
        if (kind, operators) in fitting:
            if len(operators) == 1:
                claim = overwrites(operators[0])
            yield first.mistake(kind, claim, advice, operators)
            return
    claim = "Where gradients meet at a number, it does not get the sum of its shares"
    yield first.mistake("pass", claim, is_known=False)


#: A kind of wrong pass, and the operations that have it.
Kind: TypeAlias = tuple[str, tuple[str, ...]]

#: All kinds, those of which less has to be assumed first; some with the operations that have it.
_KINDS: dict[Kind, tuple[str, str]] = {
    (kind, operators): (claim, advice)
    for kind, (claim, advice) in PASSES.items()
    for operators in ((("add", "mul"), ("add",), ("mul",)) if kind == "overwritten" else ((),))
}


def _passes_that_fit(case: Case, kinds: Collection[Kind]) -> set[Kind]:
    """Which kinds of wrong passes give the gradients that came out of a case."""
    root, names = graph_of(case.probe)
    leaves = {names[name]: case.seen.grads[name] for name in case.probe.numbers}
    found: set[Kind] = set()
    for wrong in wrong_passes(root):
        kind = (wrong.kind, tuple(wrong.overwrites))
        if kind in kinds and kind not in found:
            gradients = wrong.gradients(root)
            if all(near(gradient, gradients[leaf]) for leaf, gradient in leaves.items()):
                found.add(kind)
    return found


# ---- Another pass ------------------------------------------------------------------------------


def _of_another_pass(cases: Sequence[Case]) -> Iterator[Mistake]:
    """What is wrong with a second result, or with the same one once more."""
    for probe, kind, claim in (
        (probes.APART, "apart", "backward() reaches numbers that the result does not depend on"),
        (probes.ZEROED, "zero_grad", "zero_grad() does not set the gradient to 0"),
        (probes.FRESH, "left over", "What an earlier pass left behind gets into the next one"),
        (probes.SUMMED, "sum", "The gradients of two results are not added up"),
        (probes.AGAIN, "again", "A second backward() of the same result goes wrong"),
    ):
        case = Case.of(cases, probe)
        if not case or _lacks_another(case) or habit(case):
            continue
        if case.broke or "a" in case.wrong_gradients:
            is_known = probe in (probes.APART, probes.ZEROED)
            yield from (
                dataclasses.replace(mistake, is_known=is_known)
                for mistake in _trouble(case, kind, claim)
            )
