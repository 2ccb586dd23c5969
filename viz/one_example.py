"""The first chapter: one example goes forward, the gradient goes back, and every weight moves."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator, Sequence

from microgradlike import typeset
from microgradlike.typeset import Total
from viz.learner import Learner, Weight, alone
from viz.style import short, short_signed
from viz.telling import MOST_ROWS, Chapter, Moment, Place, added, call, equation, minus, number
from viz.terms import Terms, capital, changed, listed

#: A layer of more neurons does each of its moves in one step; a step has no more equations.
MOST_SINGLY = 4


def one_example(learner: Learner, terms: Terms) -> Iterator[Moment]:
    """The steps of this chapter."""
    for part in (Forward, Back, Learning):
        yield from part(learner, terms).moments()


class Forward(Chapter):
    """The inputs become an answer, which is compared with the target."""

    def moments(self) -> Iterator[Moment]:
        """The steps of this part."""
        yield self._beginning()
        yield self._inputs()
        known: frozenset[Place] = frozenset()
        for column in range(1, self.columns):
            for places in self._at_once(column):
                known |= places
                yield dataclasses.replace(self._added_up(sorted(places)), forward=known)
        yield self._target()

    def _at_once(self, column: int) -> list[frozenset[Place]]:
        """The neurons of a column that do their move in one step."""
        places = sorted(self.column(column))
        if len(places) > MOST_SINGLY:
            return [frozenset(places)]
        return [frozenset([place]) for place in places]

    def _beginning(self) -> Moment:
        network = self.state.network
        count = sum(part.size for part in (*network.weights, *network.biases))
        return Moment(
            1,
            "before",
            f"Nothing is learned yet: the {count} weights and biases are those the network starts "
            f"with. Here comes {self.say.example(0)}: {self.say.inputs(0)}.",
            "",
            self.state,
            target=False,
            active=self.column(0),
        )

    def _inputs(self) -> Moment:
        say = self.say
        return Moment(
            1,
            "forward",
            f"Each {say.term('input')} runs along the arrows to {say.everybody(1)}: "
            f"{say.inputs(0)}. The wider an arrow, the larger the {say.term('weight')} by which "
            "the number is multiplied.",
            f"{say.inputs(0)}: where do these numbers go first?",
            self.state,
            target=False,
            active=self.column(0),
            flowing=frozenset(place for place in self.layer(0) if len(place) == 3),
        )

    def _added_up(self, places: Sequence[Place]) -> Moment:
        """Neurons add up what they are given, and bend the sum."""
        say, network = self.say, self.state.network
        column, row = places[0]
        curve = say.curve(column)
        if len(places) > 1:
            sentence = (
                f"{capital(say.everybody(column))} do the same: each multiplies every "
                f"{say.given(column - 1)} by the {say.term('weight')} on its arrow, adds up the "
                f"products and its {say.term('bias')}, and passes the weighted sum through its "
                f"curve, {curve}."
            )
            question = f"What do {say.everybody(column)} do with the numbers that they are given?"
        else:
            name = capital(say.name(column, row))
            z, a = float(network.sums[column - 1][row]), float(network.values[column][row])
            made = say.own(column, row, say.term("output"))
            if column == self.columns - 1:
                made = "the answer" if len(network.values[-1]) == 1 else "a part of the answer"
            bent = f"The curve {curve} makes a = {short(a)} of it: {made}."
            if curve == "linear":
                bent = f"It has no curve: the sum is {made}."
            sentence = (
                f"{name} multiplies each {say.given(column - 1)} by the {say.term('weight')} on "
                f"its arrow. The products and {say.own(column, row, say.term('bias'))} add up to "
                f"the weighted sum z = {short(z)}. {bent}"
            )
            question = f"{name} adds up {self._parts(column, row)}: what is the weighted sum?"
        return Moment(
            1,
            "forward",
            sentence,
            question,
            self.state,
            tuple(line for place in places[:2] for line in self._sum(*place, len(places) > 1)),
            target=False,
            active=frozenset(places),
            bent=frozenset(places),
            flowing=frozenset(p for p in self.layer(column - 1) if (column, p[1]) in places),
            carried="products",
        )

    def _parts(self, column: int, row: int) -> str:
        """What a neuron adds up, in words."""
        network = self.state.network
        pairs = zip(network.values[column - 1], network.weights[column - 1][row], strict=True)
        terms = [f"{short(float(value))} × {short(float(weight))}" for value, weight in pairs]
        return listed([*terms, short(float(network.biases[column - 1][row]))])

    def _sum(self, column: int, row: int, named: bool) -> list[str]:
        """The weighted sum of a neuron, and what its curve makes of it."""
        network = self.state.network
        z, a = network.sums[column - 1][row], network.values[column][row]
        of = f" of {self.say.name(column, row)}" if named else ""
        pairs = zip(network.values[column - 1], network.weights[column - 1][row], strict=True)
        terms = [typeset.product(number(value), number(weight)) for value, weight in pairs]
        terms.append(number(network.biases[column - 1][row]))
        lines = [equation(ast.Name(f"z{of}"), added(terms), number(z))]
        if (curve := self.say.curve(column)) != "linear":
            lines.append(equation(ast.Name(f"a{of}"), call(curve, number(z)), number(a)))
        return lines

    def _target(self) -> Moment:
        say, (cost, error) = self.say, self.learner.measured[0][0]
        target, answer = say.target(0), say.answer(self.state)
        found = f"The cost says how far the answer, {answer}, is from it: C = {short(cost)}."
        question = f"The target is {target}, the answer {answer}: how large is the cost?"
        lines = []
        if error is not None:
            found = (
                f"Error = target − answer = {short_signed(error)}. The cost C = {short(cost)} is "
                "what learning makes smaller."
            )
            question = f"The target is {target}, the answer {answer}: what is the error?"
            wanted = number(alone(self.learner.y[0]))
            difference = minus(wanted, number(self.state.network.values[-1][0]))
            subtracted = minus(ast.Name("target"), ast.Name("answer"))
            lines.append(equation(ast.Name("error"), subtracted, difference, number(error)))
            formula = (self._cost(part) for part in (ast.Name("error"), number(error)))
            lines.append(equation(ast.Name("C"), *formula, number(cost)))
        return Moment(
            1,
            "the target",
            f"The target arrives: {target}. {found}",
            question,
            self.state,
            tuple(lines),
            forward=self.everybody,
            active=self.column(self.columns - 1),
        )

    def _cost(self, error: ast.expr) -> ast.expr:
        """The formula of the cost."""
        square = ast.BinOp(error, ast.Pow(), ast.Constant(2))
        half = ast.BinOp(ast.Constant(1), ast.Div(), ast.Constant(2))
        return typeset.product(half, square) if self.learner.formula == "half" else square


class Back(Chapter):
    """The gradient travels from the cost to every weight."""

    def moments(self) -> Iterator[Moment]:
        """The steps of this part."""
        known: frozenset[Place] = frozenset()
        for column in range(self.columns - 1, 0, -1):
            if column < self.columns - 1:
                yield dataclasses.replace(self._sent_back(column), back=known)
            known |= self.column(column)
            yield dataclasses.replace(self._deltas(column), back=known)
        for layer in range(self.columns - 2, -1, -1):
            yield dataclasses.replace(self._gradients(layer), back=known)

    def _deltas(self, column: int) -> Moment:
        """What has arrived at the neurons of a column, times the slopes of their curves."""
        say, errors = self.say, self.state.errors[column - 1]
        rows = sorted(row for _, row in self.column(column))
        people = say.everybody(column)
        if column == self.columns - 1:
            arrived = listed([short(float(errors.weights_part[row])) for row in rows])
            begin = (
                f"Now back. The gradient at the answer, which is the slope of the cost at this "
                f"number, is {arrived}{self._from_the_error()}. "
            )
        else:
            begin = ""
        if len(rows) == 1:
            (row,) = rows
            arrived, slope, delta = (
                short(float(part[row]))
                for part in (errors.weights_part, errors.slope_part, errors.delta)
            )
            curve = say.own(column, row, "curve")
            sentence = (
                f"{begin}Times the slope of {curve}, {slope}, it is the delta of {people}, "
                f"δ = {delta}: the gradient at the weighted sum."
            )
            if not begin:
                sentence = (
                    f"What has arrived at {people}, {arrived}, times the slope of {curve}, "
                    f"{slope}: that is the delta, δ = {delta}, the gradient at the weighted sum."
                )
            question = f"{arrived} has arrived, and the slope of {curve} is {slope}: what is δ?"
        else:
            sentence = (
                f"{begin}{capital(people)} each multiply what has arrived by the slope of their "
                f"own curve. The result is their delta δ, the gradient at their weighted sum."
                f"{self._flattest(column)}"
            )
            question = f"{capital(people)}: whose delta is the largest in size?"
        slope_at = Total("C", "a", 0.0)
        lines = [equation(ast.Name("δ"), typeset.product(slope_at, ast.Name("slope")))]
        for row in rows[:MOST_SINGLY]:
            product = typeset.product(
                number(errors.weights_part[row]), number(errors.slope_part[row])
            )
            of = "δ" if len(rows) == 1 else f"δ of {say.name(column, row)}"
            lines.append(equation(ast.Name(of), product, number(errors.delta[row])))
        return Moment(
            1,
            "back",
            sentence,
            question,
            self.state,
            tuple(lines),
            forward=self.everybody,
            active=self.column(column),
            bent=self.column(column),
        )

    def _flattest(self, column: int) -> str:
        """Whose curve lets least of the gradient pass, where they differ."""
        slopes = self.state.errors[column - 1].slope_part
        rows = sorted(row for _, row in self.column(column))
        flat = min(rows, key=lambda row: abs(slopes[row]))
        if all(slopes[row] == slopes[flat] for row in rows):
            return ""
        curve = capital(self.say.own(column, flat, "curve"))
        passes = "lets least pass" if slopes[flat] else "lets nothing pass"
        return f" {curve}, with the slope {short(float(slopes[flat]))}, {passes}."

    def _from_the_error(self) -> str:
        """How the gradient at the answer follows from the error, where the cost does."""
        formulas = {"half": " (minus the error)", "square": " (−2 × the error)"}
        return formulas.get(self.learner.formula, "")

    def _sent_back(self, column: int) -> Moment:
        """Gradients travel from the deltas of the next column to the outputs of this one."""
        say, network = self.say, self.state.network
        arriving = {
            row: float(self.state.errors[column - 1].weights_part[row])
            for _, row in self.column(column)
        }
        top = max(sorted(arriving), key=lambda row: abs(arriving[row]))
        senders = say.everybody(column + 1)
        deltas = self.state.errors[column].delta
        summed = "" if len(deltas) == 1 else " Where several arrive, they are added."
        lines = []
        for row in sorted(arriving)[:MOST_SINGLY]:
            pairs = zip(deltas, network.weights[column][:, row], strict=True)
            terms = [typeset.product(number(delta), number(weight)) for delta, weight in pairs]
            name = ast.Name(f"to {say.name(column, row)}")
            lines.append(equation(name, added(terms), number(arriving[row])))
        return Moment(
            1,
            "back",
            f"From {senders} the gradient travels back over the arrows: delta × "
            f"{say.term('weight')}. Each arrow is now as wide as the gradient on it.{summed} The "
            f"largest arrives at {say.name(column, top)}: {short(arriving[top])}. If "
            f"{say.own(column, top, say.term('output'))} grew by a tiny amount, the cost would "
            f"{'fall' if arriving[top] < 0 else 'rise'} by {short(abs(arriving[top]))} times that "
            "amount.",
            f"Gradients travel back from {senders}: where does the largest arrive, and with which "
            "sign?",
            self.state,
            tuple(lines),
            forward=self.everybody,
            active=self.column(column + 1),
            flowing=frozenset(place for place in self.layer(column) if len(place) == 3),
            carried="gradients",
        )

    def _gradients(self, layer: int) -> Moment:
        """The gradient of each weight of a layer: what it multiplies times the delta."""
        say, state = self.say, self.state
        weights = [place for place in self.places if place[0] == layer and len(place) == 3]
        ranked = sorted(weights, key=lambda place: -abs(state.gradient(place)))
        word = say.given(layer)
        lines = [equation(Total("C", "w", 0.0), typeset.product(ast.Name(word), ast.Name("δ")))]
        for place in ranked[:MOST_SINGLY]:
            product = typeset.product(*map(number, self._factors(place)))
            lines.append(
                equation(ast.Name(say.in_equation(place)), product, number(state.gradient(place)))
            )
        value, delta = map(short, self._factors(ranked[0]))
        return Moment(
            1,
            "back",
            f"Learning needs the gradient of each {say.term('weight')}: the {word} that it "
            f"multiplies × the delta of the neuron it leads to. The largest: "
            f"{say.weight(ranked[0])}, {value} × {delta} = {short(state.gradient(ranked[0]))}. "
            f"For each {say.term('bias')} it is the delta itself.",
            f"Which {say.word('weight')} gets the largest gradient, and why?",
            state,
            tuple(lines),
            self._why_times(ranked[0]) if layer == 0 else (),
            forward=self.everybody,
            gradients=state,
            gradients_from=layer,
            active=self.column(layer + 1),
            flowing=self.layer(layer),
            carried="slopes",
        )

    def _factors(self, place: Weight) -> tuple[float, float]:
        """What makes the gradient of a weight: what it multiplies, and the delta."""
        layer, neuron, source = place
        value = self.state.network.values[layer][source]
        return float(value), float(self.state.errors[layer].delta[neuron])

    def _why_times(self, top: Weight) -> tuple[str, ...]:
        """Two weights of one neuron: their gradients are to each other as the inputs are."""
        say, (_, neuron, _) = self.say, top
        rivals = [p for p in self.places if len(p) == 3 and p[:2] == (0, neuron)]
        sizes = {place: abs(self._factors(place)[0]) for place in rivals}
        large, small = max(rivals, key=sizes.__getitem__), min(rivals, key=sizes.__getitem__)
        if sizes[large] == sizes[small] or not self.state.gradient(large):
            return ()
        one, other = (
            f"{say.own(0, place[2], say.word('input'))}, {short(self._factors(place)[0])}"
            for place in (small, large)
        )
        if sizes[small] == 0:
            end = f"{say.weight(small)} gets no gradient at all"
        else:
            ratio = float(f"{sizes[large] / sizes[small]:.2g}")
            end = f"{say.weight(large)} gets a gradient {short(ratio)} times as large as "
            end += say.weight(small)
            if self._factors(large)[0] * self._factors(small)[0] < 0:
                end += ", and with the other sign"
        return (
            f"Why times the {say.word('input')}? Take {one}, and {other}. The delta is the same, "
            f"but {end}.",
        )


class Learning(Chapter):
    """Every weight moves against its gradient, and the same example is tried again."""

    def moments(self) -> Iterator[Moment]:
        """The steps of this part."""
        self.moved = self.learner.state(self.learner.within[1], 0)
        yield self._update()
        yield self._again()

    def _update(self) -> Moment:
        say, state, moved = self.say, self.state, self.moved
        top = state.moves_to(moved)[0]
        rate = short(self.learner.lr)
        rows = [
            (say.weight(place), *map(short, (old.weight(place), old.gradient(place), new)))
            for old in [state]
            for place in self.places
            for new in [moved.weight(place)]
        ]
        step = typeset.product(number(self.learner.lr), ast.Name("gradient"))
        return Moment(
            1,
            "learning",
            f"Only now the network learns. Every {say.term('weight')} and every {say.term('bias')} "
            f"moves against its gradient: new = old − {rate} × gradient. The gradient says which "
            f"way and how steep; {rate}, the learning rate, says how far. The largest change: "
            f"{say.weight(top)}, {changed(state.weight(top), moved.weight(top))}.",
            "Which number moves most, and which way?",
            moved,
            (equation(ast.Name("new"), minus(ast.Name("old"), step)),),
            ("The numbers in the circles belonged to the old weights: they are forgotten.",),
            (("", "old", "gradient", "new"), *rows[:MOST_ROWS]),
            target=False,
            gradients=state,
            before=state,
            since=f"by {say.example(0)}",
            flowing=frozenset([top]),
        )

    def _again(self) -> Moment:
        say = self.say
        before, after = (self.learner.measure(self.learner.within[k])[0] for k in (0, 1))
        what, was, now, became = say.measure(before, after)
        went_too_far = ", for the step went too far" if after.size > before.size else ""
        return Moment(
            1,
            "again",
            f"The same {say.word('example')} again, with the new weights. The answer was "
            f"{say.answer(self.state)}, now it is {say.answer(self.moved)}; the {what} was {was}, "
            f"now it is {now}: {became}{went_too_far}.",
            f"The same {say.word('example')} again: is the answer better or worse now?",
            self.moved,
            forward=self.everybody,
            active=self.column(self.columns - 1),
        )
