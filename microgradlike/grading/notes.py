"""What is told of an engine that has no mistake: its limits, and habits that not all expect."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from microgradlike.engine import Value
from microgradlike.grading import probes
from microgradlike.grading.cases import Case, near
from microgradlike.grading.suspects import Pass, right_order
from microgradlike.grading.verdict import graph_of
from microgradlike.words import in_short


def may_differ(case: Case) -> bool:
    """Whether more than one answer is right, or the case is of a limit."""
    return case.probe.topic == "limits" or case.probe in (probes.SUMMED, probes.AGAIN)


def habit(case: Case) -> str:
    """What an engine makes of a second pass that is not ours and no mistake, in a sentence."""
    if case.probe not in (probes.SUMMED, probes.AGAIN) or not case.fails or case.wrong_numbers:
        return ""
    same = case.probe is probes.AGAIN
    if case.seen.error:
        return f"A second backward() of the same result raises {case.seen.error}." if same else ""
    if case.seen.stopped:
        return ""
    root, names = graph_of(case.probe)
    one = Pass("right", partial(right_order, root))

    def came(gradients: Mapping[Value, float]) -> bool:
        leaves = case.probe.numbers
        return all(near(case.seen.grads[name], gradients[names[name]]) for name in leaves)

    if came(one.gradients(root)):
        return "backward() sets all gradients to 0 first, so those of two results do not add up."
    if same and any(came(one.gradients(root, passes=2, adds=adds)) for adds in (False, True)):
        name = case.wrong_gradients[0]
        return (
            "A second backward() of the same result sends on once more what the first one left in "
            f"inner numbers: in {case.code}, {case.compared(name)}. Set all gradients to 0 before."
        )
    return ""


def notes_on(cases: Sequence[Case]) -> Iterator[str]:
    """Limits and habits, in sentences."""
    habits = (habit(case) for case in cases)
    yield from dict.fromkeys(filter(None, habits))
    for case in cases:
        if case.probe.topic == "limits" and case.was_tried:
            yield from _limit(case)
    few, many = (Case.of(cases, probe) for probe in probes.COUNTED)
    if few and many and many.seen.calls > 16 * max(few.seen.calls, 1):
        yield (
            "Each path from the result is walked on its own: where b = b + b is repeated, twice "
            f"as many steps make {many.seen.calls / few.seen.calls:.0f} times as much work."
        )


def _limit(case: Case) -> Iterator[str]:
    seen = case.seen
    where = f"With a = {in_short(case.probe.numbers['a'])}, {case.code} "
    if case.probe is probes.KINK and not case.broke:
        if not near(seen.grads["a"], 0.0):
            slope = seen.grads["a"]
            yield f"relu has the slope {slope:g} at 0; most engines say 0."
    elif "RecursionError" in seen.error:
        yield (
            f"A chain of {probes.DEPTH:,} operations ends in RecursionError, because a function "
            "calls itself once for each operation; a list of the nodes still to be visited has no "
            "such limit."
        )
    elif case.broke:
        yield f"{where}{f'raises {seen.error}' if seen.error else seen.stopped}."
    elif any(x is None or math.isnan(x) for x in (seen.data.get("c", 0.0), seen.grads["a"])):
        yield f"{where}gives NaN; the slope there is {case.expected.grads['a']:g}."
