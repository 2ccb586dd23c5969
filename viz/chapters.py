"""A network learns, told in three chapters: what each moment shows, and what there is to say.

The first chapter is in ``one_example``. Here are the others: one round over all the examples, which
pull in different directions; and all rounds, of which those are shown between which most changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy

from microgradlike.words import counted
from viz.learner import Learner, Measured, State, alone, sampled
from viz.one_example import one_example
from viz.style import short
from viz.telling import MOST_ROWS, Chapter, Moment
from viz.terms import Terms, capital, changed, enumerated, off_by

#: The second chapter shows this many examples at most, the third this many rounds.
MOST_EXAMPLES, MOST_ROUNDS = 24, 40


def chapters(learner: Learner, terms: Terms) -> list[Moment]:
    """The steps of the page."""
    return [
        *one_example(learner, terms),
        *AllExamples(learner, terms).moments(),
        *AllRounds(learner, terms).moments(),
    ]


# ---- Chapter 2: all examples, once -------------------------------------------------------------


class AllExamples(Chapter):
    """One round: each example moves the weights, not always to the good of the others."""

    def moments(self) -> Iterator[Moment]:
        """The steps of this chapter."""
        self.found = [self.learner.measure(weights) for weights in self.learner.within]
        for place in sampled(self.learner.moved(self.learner.within[1:]), MOST_EXAMPLES):
            yield self._one_more(place)
        yield self._over()

    def _one_more(self, place: int) -> Moment:
        """An example after the first one: forward and back, and how the weights will move."""
        learner, say, word = self.learner, self.say, self.say.word("example")
        state, after = (learner.state(learner.within[k], place) for k in (place, place + 1))
        old, new = (self.found[k][place] for k in (place, place + 1))
        what, was, now, _ = say.measure(old, new)
        top = state.moves_to(after)[0]
        begin = f"{capital(say.example(place))}: {say.inputs(place)}; the target is "
        begin += f"{say.target(place)}."
        _, at_first, by_now, since = say.measure(self.found[0][0], self.found[place + 1][0])
        asked = "Is the answer too high or too low?" if what == "error" else "What is the cost?"
        return Moment(
            2,
            say.example(place),
            f"{begin} The answer is {say.answer(state)}, the {what} {was}. What this "
            f"changes most is {say.weight(top)}, "
            f"{changed(state.weight(top), after.weight(top))}. With the new weights the {what} of "
            f"this {word} would be {now}.",
            f"{begin} {asked}",
            state,
            notes=(
                f"Meanwhile {say.example(0)}: its {what} was {at_first} before the round and is "
                f"{by_now} after this {word}: {since}.",
            ),
            table=self._table(place + 1, place),
            forward=self.everybody,
            back=self.everybody,
            gradients=state,
            active=self.column(self.columns - 1),
            flowing=frozenset([top]),
        )

    def _table(self, learned: int, place: int | None = None) -> tuple[tuple[str, ...], ...]:
        """All examples before the round, and after some of it."""
        say, rows = self.say, []
        what = say.measure(self.found[0][0], self.found[0][0])[0]
        for k, (old, new) in enumerate(zip(self.found[0], self.found[learned], strict=True)):
            _, was, now, became = say.measure(old, new)
            begin = "► " if k == place else ""
            name = f"{begin}{say.example(k)}: {say.inputs(k)}"
            rows.append((name, say.target(k), was, now, became))
        return ("", "target", f"{what} before", "now", ""), *rows[:MOST_ROWS]

    def _over(self) -> Moment:
        learner, say = self.learner, self.say
        before, after = self.found[0], self.found[-1]
        count = say.examples(len(before))
        state = learner.state(learner.within[-1], 0)
        return Moment(
            2,
            "the round is over",
            f"One round of {count} is over. {self._pull()} {capital(say.off(before, was=True))} "
            f"before the round; now it is {short(off_by(after))}.",
            f"One round of {count} is over: for which of them is the answer worse than before?",
            state,
            notes=self._average(),
            table=self._table(len(before)),
            forward=self.everybody,
            back=self.everybody,
            gradients=state,
            before=learner.state(learner.within[0], 0),
            since="by this round",
        )

    def _pull(self) -> str:
        """For which examples the answer has become better, and for which worse."""
        word = self.say.word("example")
        pairs = list(enumerate(zip(self.found[0], self.found[-1], strict=True)))
        fell = [place for place, (old, new) in pairs if new.size < old.size]
        rose = [place for place, (old, new) in pairs if new.size > old.size]
        if fell and rose:
            return (
                f"The answer has become better for {enumerated(word, fell)} and worse for "
                f"{enumerated(word, rose)}: they pull in different directions, and a step that "
                "helps one can harm another."
            )
        if not fell and not rose:
            return "No answer has become better or worse."
        became, places = ("better", fell) if fell else ("worse", rose)
        return f"The answer has become {became} for {enumerated(word, places)}."

    def _average(self) -> tuple[str, ...]:
        """That the answers have come close to the average target, where they have."""
        errors = [[m.error for m in found if m.error is not None] for found in self.found]
        if not errors[0]:
            return ()
        targets = float(numpy.mean([float(alone(target)) for target in self.learner.y]))
        before, after = (float(numpy.mean(errors[k])) for k in (0, -1))
        if abs(after) >= abs(before) / 2:
            return ()
        return (
            f"On average the answers were {short(targets - before)} and are now "
            f"{short(targets - after)}; the targets are {short(targets)} on average. Before it can "
            f"tell one {self.say.word('example')} from another, the network learns the average.",
        )


# ---- Chapter 3: all rounds ---------------------------------------------------------------------


class AllRounds(Chapter):
    """Round after round, shown where most has changed."""

    def moments(self) -> Iterator[Moment]:
        """The steps of this chapter."""
        shown = sampled(self.learner.moved(self.learner.after), MOST_ROUNDS)
        for turn, (last, now) in enumerate(zip([0, *shown], shown, strict=False)):
            yield self._after(turn, last, now)

    def _after(self, turn: int, last: int, now: int) -> Moment:
        learner, say = self.learner, self.say
        before, state = (learner.state(learner.after[k], 0) for k in (last, now))
        top = before.moves_to(state)[0]
        rounds, measured = counted(now, "round"), learner.measured[now]
        sentence = f"After {rounds} {say.off(measured)}."
        if turn == 0:
            sentence = (
                f"Now round after round, always the same {say.examples(len(learner.y))}. (A round "
                f"is also called an epoch.) {sentence}"
            )
        since = f"since round {last}" if last else "since the beginning"
        notes = [
            f"Moved most {since}: {say.weight(top)}, "
            f"{changed(before.weight(top), state.weight(top))}.",
            self._fact(turn, measured, state),
        ]
        if now == learner.rounds:
            sentence += f" At the beginning it was {short(off_by(learner.measured[0]))}."
            notes.append(
                "Each step has only followed the slope of the cost downhill. Whether there is a "
                "deeper valley somewhere else, the network cannot know."
            )
        return Moment(
            3,
            f"round {now}",
            sentence,
            self._question(turn, last, now),
            state,
            notes=tuple(notes),
            forward=self.everybody,
            back=self.everybody,
            gradients=state,
            before=before,
            since=since,
            flowing=frozenset([top]),
            round=now,
        )

    def _question(self, turn: int, last: int, now: int) -> str:
        """What a reader is asked before these weights are shown."""
        if turn % 2 == 0:
            between = f"between round {last} and round {now}" if last else "in the first rounds"
            return f"What has moved most {between}?"
        what = "mean cost" if self.learner.measured[0][0].error is None else "typical error"
        rounds = (counted(k, "round") for k in (now, last))
        return f"Is the {what} after {' smaller than after '.join(rounds)}?"

    def _fact(self, turn: int, measured: Sequence[Measured], state: State) -> str:
        """One thing to say about these weights, another one at each step."""
        say = self.say
        if turn % 3 == 0:
            what, was, now, became = say.measure(self.learner.measured[0][0], measured[0])
            return (
                f"{capital(say.example(0))}, which is shown: its {what} was {was} at the beginning "
                f"and is now {now}: {became}."
            )
        if turn % 3 == 1:
            worst = max(range(len(measured)), key=lambda place: measured[place].size)
            what, _, size, _ = say.measure(measured[worst], measured[worst])
            return (
                f"The worst answer is the one to {say.example(worst)} ({say.inputs(worst)}; target "
                f"{say.target(worst)}): the {what} is {size}."
            )
        widest = max(self.places, key=lambda place: abs(state.weight(place)))
        return f"The widest arrow: {say.weight(widest)}, {short(state.weight(widest))}."
