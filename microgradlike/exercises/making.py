"""Exercises are drawn, proved, and handed out: ``generate``."""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from microgradlike.checks import check_gradients
from microgradlike.engine import Value
from microgradlike.exercises import answers, judgements, kinds
from microgradlike.exercises.draft import Draft, Kind
from microgradlike.exercises.exercise import Answer, Exercise, Wrong, written
from microgradlike.exercises.ladder import ALIKE, BY_HAND, FEEDS_TWO, FLAT, LADDER, Rung
from microgradlike.exercises.numbers import POOL, SMALL, suit_the_head, tolerance
from microgradlike.exercises.reading import LARGEST, Reading, function_of, inputs_of
from microgradlike.inputs import describe
from microgradlike.sweep import Step, backward_steps, nodes
from microgradlike.words import counted

#: The kinds of exercises in the order in which they are best met, each in one or two forms.
KINDS: dict[str, tuple[Kind, ...]] = {
    "forward": (kinds.forward,),
    "sign": (judgements.sign,),
    "nudge": (kinds.nudge,),
    "one_step": (kinds.one_step,),
    "whose_value": (kinds.whose_value,),
    "two_paths": (kinds.two_paths,),
    "paths": (kinds.paths,),
    "delta": (kinds.delta,),
    "weight": (kinds.weight, judgements.order),
    "update": (kinds.update, judgements.larger_step),
    "find_bug": (judgements.find_bug,),
    "saturated": (judgements.saturated,),
    "predict": (judgements.predict,),
    "true_false": (judgements.true_false,),
    "by_hand": (kinds.by_hand,),
    "count": (judgements.count, judgements.count_network),
}

#: Kinds that need a function of their own, if none is given.
_OWN = {"delta": FEEDS_TWO, "saturated": FLAT, "predict": ALIKE, "by_hand": BY_HAND}

LEVELS = 10

#: The most exercises that are made at once.
MOST = 1000

#: More wrong answers than this no question needs, unless it is a choice.
MOST_WRONG = 6

#: How often a point is drawn, how often an exercise, and how often one that was there before, until
#: another function is taken.
_POINTS, _TRIES, _REPEATED = 300, 40, 4

#: The numbers of an exercise are multiples of the first, up to the second; if that cannot be, of
#: the next. A function that was given may have any numbers at last.
_GRAINS = ((0.5, 30.0), (0.25, 60.0))
_DIGITS, _ANY = (0.0, 100.0), ((0.0, math.inf),)


def generate(
    level: int = 3,
    count: int = 10,
    seed: int = 0,
    *,
    kind: str | None = None,
    of: Callable[..., object] | str | None = None,
) -> list[Exercise]:
    """Exercises with checked answers; the same arguments give the same ones everywhere.

    Every answer is compared with central differences before it is handed out.

    Args:
        level: how difficult the function is, from 1, ``a * b``, to 10, a network of 2, 2 and 1. A
            kind that needs more than the level has takes the next function that has it.
        count: how many exercises, at least 1.
        seed: which ones, a whole number.
        kind: the kind of all of them, one of ``KINDS``; without it they take turns.
        of: a function of numbers, or a text such as ``"(a + b) * (b + 1)"``, in the place of the
            ladder of levels. Kinds that it has nothing for are left out.

    Returns:
        The exercises.

    Raises:
        TypeError, ValueError: an argument is not of the kind above, or no exercise can be made.

    >>> [one] = generate(level=1, count=1, seed=7, kind="whose_value")
    >>> print(one.question)
    y = w × x, with w = −5 and x = 0.5.
    y is the result, so the gradient at y is 1.
    What does y send back to x?
    >>> print(one.check("0,5").sentence)
    0.5: You multiplied by x's own value. In a product each side gets ...
    """
    return versions("A", level, count, seed, kind=kind, of=of)["A"]


def versions(
    letters: str = "ABC",
    level: int = 3,
    count: int = 10,
    seed: int = 0,
    *,
    kind: str | None = None,
    of: Callable[..., object] | str | None = None,
) -> dict[str, list[Exercise]]:
    """Exercises for neighbours: the same kinds in the same order, with other numbers.

    Args:
        letters: a letter for each version. The first one is what ``generate`` gives.
        level, count, seed, kind, of: as for ``generate``.

    Returns:
        The exercises of each version.

    Raises:
        TypeError, ValueError: as for ``generate``.

    >>> found = versions("AB", level=2, count=3, seed=7)
    >>> [one.kind for one in found["A"]] == [one.kind for one in found["B"]]
    True
    """
    level, count = _whole("level", level, 1, LEVELS), _whole("count", count, 1, MOST)
    seed = _whole("seed", seed, None, None)
    chosen = list(KINDS) if kind is None else [_known(kind)]
    rungs: list[Rung] = []
    if of is not None:
        f = function_of(of)
        Reading.of(f, [POOL[k % len(POOL)] for k in range(len(inputs_of(f)))])  # complain now
        rungs = [Rung(level, f)]
    made: dict[str, list[Exercise]] = {letter: [] for letter in letters}
    seen: set[str] = set()
    for letter, sheet in made.items():
        for place in itertools.count():
            if len(sheet) == count:
                break
            name = chosen[place % len(chosen)]
            draw = random.Random(f"{seed}/{letter}/{level}/{place}/{name}")
            found = _one(name, level, seed, draw, rungs, seen)
            if found is not None:
                sheet.append(found)
                seen.add(found.question)
            elif kind is None and of is not None and len(chosen) > 1:
                chosen.remove(name)
            else:
                raise ValueError(_none_of(name, of, len(sheet)))
    return made


def along(root: Value, names: Mapping[Value, str]) -> Iterator[tuple[Value | Step, Exercise]]:
    """A question about each operation of a graph, and about each step of its backward pass.

    Args:
        root: the result, with the numbers that it has.
        names: what each node is called.

    Yields:
        An operation or a step, and what is asked there. Left out is what central differences do not
        confirm, such as the slope at a kink, or below a node that was made by hand.

    >>> a, b = Value(2.0), Value(-3.0)
    >>> c = a * b
    >>> for _, one in along(c, {a: "a", b: "b", c: "c"}):
    ...     print(one.asked, one.answer)
    c -6.0
    sent to a -3.0
    sent to b 2.0
    """
    steps = list(backward_steps(root))
    leaves = [node for node in nodes(root) if not node.op]
    reading = Reading(lambda: root, root, names, leaves, steps)
    if len(reading.operations) > LARGEST:
        return
    asked: list[tuple[Value | Step, Callable[[], Draft]]] = [
        *((node, functools.partial(kinds.computed, reading, node)) for node in reading.operations),
        *((step, functools.partial(kinds.sends, reading, step)) for step in steps),
    ]
    for place, (about, ask) in enumerate(asked):
        kind = "forward" if isinstance(about, Value) else "one_step"
        try:
            draft = ask()
            proved = math.isfinite(float(cast("float", draft.answer))) and draft.proof()
        except ValueError:  # what was made by hand is not computed for other numbers
            continue
        if proved:
            wrong = list(_that_differ(draft, ()))
            yield about, _exercise(kind, 0, 0, draft, wrong, reading, random.Random(place))


def _whole(name: str, value: object, low: int | None, high: int | None) -> int:
    """The whole number, if it lies within these limits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, but got {describe(value)}")
    if low is not None and high is not None and not low <= value <= high:
        raise ValueError(f"{name} is a whole number from {low} to {high}, but got {value}")
    return value


def _known(kind: object) -> str:
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"there is no kind {kind!r}; choose one of {', '.join(KINDS)}")
    return kind


def _none_of(kind: str, of: object, before: int) -> str:
    whose = "this level" if of is None else "this function"
    if before:
        return (
            f"only {counted(before, 'different exercise')} of the kind {kind!r} could be made of "
            f"{whose}; ask for fewer, or for another kind"
        )
    return f"no exercise of the kind {kind!r} could be made of {whose}; choose another one"


# ---- One exercise --------------------------------------------------------------------------------


def _one(
    kind: str,
    level: int,
    seed: int,
    draw: random.Random,
    given: Sequence[Rung],
    seen: set[str],
) -> Exercise | None:
    """An exercise of a kind, from the function whose level is nearest."""
    rungs = list(given or _OWN.get(kind, LADDER))
    draw.shuffle(rungs)
    rungs.sort(key=lambda rung: (abs(rung.level - level), -rung.level))
    for rung in rungs:
        forms = [form for form in KINDS[kind] if given or _suits(form, rung)]
        draw.shuffle(forms)
        repeated = 0
        for _ in range(_TRIES if forms else 0):
            reading = _drawn(rung, draw, (*_GRAINS, _DIGITS, *_ANY) if given else _GRAINS)
            if reading is None or repeated > _REPEATED:
                break
            for form in forms:
                draft = form(reading, draw)
                if draft is None:
                    continue
                if draft.question in seen:
                    repeated += 1
                    continue
                wrong = _distinct(draft, inputs_of(rung.f) if draft.form == "formula" else ())
                if wrong and _proved(draft, reading):
                    return _exercise(kind, rung.level, seed, draft, wrong, reading, draw)
    return None


@functools.cache
def _suits(form: Kind, rung: Rung) -> bool:
    """Whether a function of the ladder has something for a kind: some points are tried."""
    draw = random.Random(0)
    readings = (_drawn(rung, draw, _ANY) for _ in range(12))
    return any(form(reading, draw) for reading in readings if reading)


def _proved(draft: Draft, reading: Reading) -> bool:
    """Whether central differences confirm the answer, and all gradients and slopes there."""
    try:
        check_gradients(reading.f, tuple(x.data for x in reading.inputs))
        return draft.proof()
    except AssertionError:
        return False


def _drawn(
    rung: Rung, draw: random.Random, grains: Sequence[tuple[float, float]]
) -> Reading | None:
    """A function at a point where its numbers suit the head."""
    names = inputs_of(rung.f)
    for grain, largest in grains if rung.exact else _ANY:
        for _ in range(_POINTS):
            point = dict(zip(names, _numbers(draw, len(names)), strict=True))
            point = rung.adjusted(point)
            numbers = list(point.values())
            if largest < math.inf and not _fits(
                _values(rung.f(*map(Value, numbers))), grain, largest
            ):
                continue
            reading = Reading.of(rung.f, numbers, rung.result)
            slopes = [step.slope for step in reading.steps]
            gradients = [reading.gradient.get(node, 0.0) for node in reading.nodes]
            if _fits([*slopes, *gradients], grain, largest) and (rung.flat or all(gradients)):
                return reading
    return None


def _values(root: object) -> list[float]:
    return [node.data for node in nodes(root)] if isinstance(root, Value) else []


def _fits(numbers: list[float], grain: float, largest: float) -> bool:
    """Whether the numbers are finite, and suit the head if they must."""
    if largest == math.inf:
        return all(map(math.isfinite, numbers))
    return suit_the_head(numbers, grain, largest)


def _numbers(draw: random.Random, count: int) -> list[float]:
    """Numbers of different sizes, as long as there are any; small ones where they are many."""
    pool = POOL if count <= 6 else SMALL
    found: list[float] = []
    while len(found) < count:
        sizes = {abs(x) for x in found[-4 if pool is POOL else -1 :]}
        found.append(draw.choice([x for x in pool if abs(x) not in sizes]))
    return found


def _distinct(draft: Draft, names: Sequence[str]) -> list[Wrong]:
    """The wrong answers that differ from the right one and from each other; none if too few do."""
    least = 1 if draft.form == "choice" else 2
    kept = list(_that_differ(draft, names))
    if not kept or kept[0].sentence != draft.wrong[0].sentence:
        return []
    most = len(kept) if draft.form == "choice" else MOST_WRONG
    return kept[:most] if len(kept) >= least else []


def _that_differ(draft: Draft, names: Sequence[str]) -> Iterator[Wrong]:
    answers = [(draft.answer, draft.leeway)]
    for answer, sentence in draft.wrong:
        wrong = Wrong(_rounded(answer), sentence)
        if all(_differ(wrong.answer, other, leeway, names) for other, leeway in answers):
            answers.append((wrong.answer, 0.0))
            yield wrong


def _rounded(answer: Answer) -> Answer:
    """The number without the last digits, in which rounding shows."""
    return round(answer, 10) + 0.0 if isinstance(answer, float) else answer


def _differ(one: Answer, other: Answer, leeway: float, names: Sequence[str]) -> bool:
    """Whether two answers can be told apart; formulas of these names by their values."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) > 2 * max(tolerance(one), tolerance(other), leeway)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return sorted(one) != sorted(other)
    if names:
        values = zip(*(answers.formula(str(text), names) for text in (one, other)), strict=True)
        return any(abs(x - y) > 1e-3 for x, y in values)
    return one != other


def _exercise(
    kind: str,
    level: int,
    seed: int,
    draft: Draft,
    wrong: list[Wrong],
    reading: Reading,
    draw: random.Random,
) -> Exercise:
    names = tuple(reading.names[x] for x in reading.inputs)
    choices = [written(draft.answer), *(written(one.answer) for one in wrong)]
    draw.shuffle(choices)
    return Exercise(
        kind=kind,
        level=level,
        seed=seed,
        question=draft.question,
        asked=draft.asked,
        given=reading.numbers(),
        form=draft.form,
        answer=_rounded(draft.answer),
        key=draft.key,
        distractors=tuple(wrong),
        hints=draft.hints,
        choices=tuple(choices),
        leeway=draft.leeway,
        names=names if draft.form == "formula" else (),
        sketch=draft.sketch,
    )
