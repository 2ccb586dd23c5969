"""Integers that take from tables: by the engine, and compiled, on all executors."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy
import pytest

from microgradlike import (
    TracingError,
    Value,
    compile,
    dot,
    evaluate,
    exp,
    fit,
    floor,
    grad,
    log,
    logsumexp,
    losses,
    nn,
    softmax,
    sqrt,
    take,
    tanh,
    where,
)
from microgradlike.compiler.instructions import Take
from microgradlike.compiler.show import show
from microgradlike.compiler.tape import trace
from microgradlike.functional import slopes_kept
from microgradlike.tables import Table
from tests.programs import Program
from tests.random_programs import Points, check, in_turn

DRAW = numpy.random.default_rng(5)
W = [Value(v) for v in (1.0, -4.0, 9.0, 0.25)]
WORDS = nn.Embedding(5, 3, seed=0)
CODE = numpy.array([[0.5, -1.0], [2.0, 0.0], [1.5, 1.5], [-0.0, 3.0], [1.0, 0.5]])
PARAMETERS = [*W, *WORDS.parameters()]
IDS = numpy.array([0, 3, 2, 3, 1, 3])
OTHERS = numpy.array([3, 3, 0, 1, 1, 2])
X = DRAW.normal(size=6)


def of_one(i: Any, j: Any, x: Any) -> Any:
    return take(W, i) * x + j


def of_rows(i: Any, j: Any, x: Any) -> Any:
    return dot(WORDS(i), WORDS(j)) * x


def of_numbers(i: Any, j: Any, x: Any) -> Any:
    return take(CODE, i)[1] * x + take([1.0, 2.0, 3.0, 4.0], j) * take(W, i)


def of_computed_once(i: Any, j: Any, x: Any) -> Any:
    return take([exp(w) if k else sqrt(w * w) for k, w in enumerate(W)], i) * x


def of_computed_for_each_row(i: Any, j: Any, x: Any) -> Any:
    scores = [tanh(w * x) for w in W]
    return -log(take(softmax(scores), i)) + take(scores, j)


def of_the_row_itself(i: Any, j: Any, x: Any) -> Any:
    return take([x, i, 2 * x, j], j) * W[0]


def of_rows_within_rows(i: Any, j: Any, x: Any) -> Any:
    return WORDS.table[i][j - where(j > 2, 1, 0)] * x


def of_a_computed_index(i: Any, j: Any, x: Any) -> Any:
    return take(W, abs(i - j)) + take(W, where(x > 0, i, 0)) * x + take(W, floor(abs(x) % 4))


def of_a_branch(i: Any, j: Any, x: Any) -> Any:
    if i == 3:
        return take(W, j) * x
    return take(W, i) - x if i == j else WORDS(i)[0] * x


def of_integers(i: Any, j: Any, x: Any) -> Any:
    return where(i + 1 == j, x, 0.0) * W[1] + where((i == j) & (i != 2), W[0], W[2] * x)


def of_tied_weights(i: Any, j: Any, x: Any) -> Any:
    logits = [dot(row, WORDS(i)) * x for row in WORDS.table]
    return logsumexp(logits) - take(logits, j)


def of_a_condition(i: Any, j: Any, x: Any) -> Any:
    return take(W, x > 0) + WORDS(i == j)[1] * x


def of_a_parameter(i: Any, j: Any, x: Any) -> Any:
    return take([W[1], x, W[2]], W[0]) * x + take(W, W[0])


def of_a_choice(i: Any, j: Any, x: Any) -> Any:
    return where(x > 0, take(W, i) * x, WORDS(j)[0]) + where(W[1] > 0, take(W, j), x)


def of_its_slope(i: Any, j: Any, x: Any) -> Any:
    return grad(lambda t: take(W, i) * t**3 + take([t, 2 * t, t * t, t], j))(x)


FUNCTIONS = [f for name, f in sorted(globals().items()) if name.startswith("of_")]


def by_engine(f: Callable[..., Any], *row: Any) -> tuple[float, list[float]]:
    for p in PARAMETERS:
        p.grad = 0.0
    with slopes_kept():
        out = f(*row)
    out.backward()
    return out.data, [p.grad for p in PARAMETERS]


@pytest.mark.parametrize("on", ["floats", "numpy", "machine"])
@pytest.mark.parametrize("f", FUNCTIONS)
def test_compiled_as_by_the_engine(f: Callable[..., Any], on: str) -> None:
    c = compile(f, on=on)
    values = c(IDS, OTHERS, X)
    value, gradient = c.value_and_grad(c.theta(), IDS, OTHERS, X, reduce="sum")
    expected = [
        by_engine(f, *row) for row in zip(IDS.tolist(), OTHERS.tolist(), X.tolist(), strict=True)
    ]
    assert values == pytest.approx([out for out, _ in expected], rel=1e-12)
    assert value == pytest.approx(sum(out for out, _ in expected), rel=1e-12)
    total = dict(
        zip(PARAMETERS, numpy.sum([slopes for _, slopes in expected], axis=0), strict=True)
    )
    assert gradient == pytest.approx([total[p] for p in c.parameters], rel=1e-12, abs=1e-15)
    by_x = c.jacobian(IDS, OTHERS, X)[:, 0, 2]
    for row, (i, j, x) in enumerate(zip(IDS.tolist(), OTHERS.tolist(), X.tolist(), strict=True)):
        assert by_x[row] == pytest.approx(grad(lambda x, i=i, j=j: f(i, j, x))(x), rel=1e-12)


@pytest.mark.parametrize("f", [of_one, of_rows, of_computed_for_each_row, of_its_slope])
def test_second_derivatives_pass_through_a_table(f: Callable[..., Any]) -> None:
    bent = compile(f).hessian(IDS, OTHERS, X)[:, 2, 2]
    for row, (i, j, x) in enumerate(zip(IDS.tolist(), OTHERS.tolist(), X.tolist(), strict=True)):
        again = grad(grad(lambda x, i=i, j=j: f(i, j, x)))(x)
        assert bent[row] == pytest.approx(again, rel=1e-12, abs=1e-15)


def test_the_derivative_by_an_entry_is_that_where_it_was_taken() -> None:
    def f(i: Any, x: Any) -> Any:
        return grad(lambda *w: take([v * v for v in w], i) * x)(*W)

    slopes = compile(f)(IDS, X)
    expected = numpy.zeros((6, 4))
    expected[numpy.arange(6), IDS] = [2 * W[i].data * x for i, x in zip(IDS, X, strict=True)]
    assert slopes == pytest.approx(expected)


def test_an_entry_that_is_not_taken_gets_nothing_however_steep_it_is() -> None:
    zero, one = Value(0.0), Value(1.0)
    once = compile(lambda i: take([zero.sqrt(), one.sqrt()], i))
    once.sum([1, 1]).backward()
    assert (zero.grad, one.grad) == (0.0, 1.0)
    of_each_row = compile(lambda i, x: take([x.sqrt(), 3 * x], i))
    assert of_each_row.jacobian([1, 0], [0.0, 4.0])[:, 0, 1].tolist() == [3.0, 0.25]


@pytest.mark.parametrize("on", ["floats", "numpy", "machine"])
@pytest.mark.parametrize("huge", [1e200, float("inf"), float("nan")])
def test_rows_that_are_computed_as_they_were_written(huge: float, on: str) -> None:
    w = [Value(2.0), Value(-3.0), Value(huge)]

    def f(i: Any, x: Any) -> Any:
        return take(w, i) * x + take(w, i) * x - x * x

    c = compile(f, on=on)
    ids, x = [0, 1, 2, 0], [1.0, 1e200, 2.0, 3.0]
    numpy.testing.assert_allclose(c(ids, x), [f(*row).data for row in zip(ids, x, strict=True)])
    c.sum(ids, x).backward()
    ours = [p.grad for p in w]
    for p in w:
        p.grad = 0.0
    for row in zip(ids, x, strict=True):
        f(*row).backward()
    assert ours == [p.grad for p in w]


@pytest.mark.parametrize("on", ["floats", "numpy", "machine"])
def test_they_take_from_tables_of_any_kind_too(on: str) -> None:
    w = [Value(2.0), Value(-3.0)]

    def f(i: Any, x: Any) -> Any:
        numbers = take([1.0, w[1], float("inf"), 4.0], i)
        return numbers * x + take([exp(v) for v in w], i % 2) + take(w, (i + 1) % 2) * x - x * x

    c = compile(f, on=on)
    ids, x = [0, 1, 2, 3, 1], [1e200, 1e200, 2.0, 1.0, -1e300]
    expected = [f(*row).data for row in zip(ids, x, strict=True)]
    numpy.testing.assert_allclose(c(ids, x), expected, rtol=1e-12)
    c.sum(ids, x).backward()
    ours = [p.grad for p in w]
    for p in w:
        p.grad = 0.0
    for row in zip(ids, x, strict=True):
        f(*row).backward()
    assert ours == pytest.approx([p.grad for p in w], rel=1e-12)


def test_a_number_that_is_differentiated_by_takes_as_a_constant() -> None:
    c = compile(lambda x: grad(lambda k: take(W, k) * k * x)(2.0))
    assert c([1.0, 3.0]).tolist() == [9.0, 27.0]


# ---- Instructions ------------------------------------------------------------------------------


def takes(c: Any) -> list[tuple[int, ...]]:
    return [i.table.shape for i in c.programs[0].rows.instructions if isinstance(i, Take)]


def test_all_columns_of_a_table_and_all_places_are_one_instruction() -> None:
    words = nn.Embedding(7, 4, seed=0)
    c = compile(lambda i: sum(dot(words(k), words(j)) for k, j in pairwise(i)))
    c(DRAW.integers(0, 7, (2, 5)))
    assert takes(c) == [(7, 4)]
    assert c.describe().startswith("rows x [take 4 of 7 x5, ")


def test_a_row_costs_its_entries_not_the_table() -> None:
    words = nn.Embedding(200, 3, seed=0)
    c = compile(lambda i, x: dot(words(i), [x, 1.0, 2.0])).trace([0], [1.0])
    assert c.programs[0].rows.slots < 12
    assert (numpy.diff([words.table[5][k].data for k in range(3)]) != 0).all()
    table = next(i.table for i in c.programs[0].rows.instructions if isinstance(i, Take))
    assert table.tolist() == numpy.arange(600).reshape(200, 3).tolist()  # no copies


def test_a_table_that_was_met_before_is_not_written_down_again() -> None:
    tape = trace(lambda i, j: take(W, i) + take(W, j) + take(list(W), i), [1, 2])
    assert len(tape.nodes) == 2 + 4 + 4 + 3 + 2


def test_what_the_passes_show() -> None:
    told = show(lambda i, x: take(W, i) * x, [1, 2.0])
    assert "10  take 0 9" in told and "9  entry 8 5" in told
    assert "rows: 2 = take 1 of 4 of index 0, table of once 0..3" in told
    assert "adds to table of once: 0..3" in told


def test_a_sum_of_integers_is_never_near_a_tie() -> None:
    def f(i: Any, j: Any, x: Any) -> Any:
        # So long a sum is not added up in the order of the engine.
        return where(sum([i, 1, *[j, -i] * 5]) > 2 * j, x, 2 * x)

    ints, floats = compile(f), compile(f)
    assert ints(IDS, OTHERS, X).tolist() == floats(IDS * 1.0, OTHERS * 1.0, X).tolist()
    assert ints._paths[0].ties is None and floats._paths[0].ties is not None
    assert ints(IDS * 1.0, OTHERS, X).tolist() == floats(IDS, OTHERS, X).tolist()
    with pytest.raises(ValueError, match=r"argument 1 was of integers .* 0\.5 in row 1; give int"):
        ints([1.0, 0.5], [1, 2], [1.0, 1.0])
    relies_on_nothing = compile(lambda i, x: where(i == 1, 2 * x, x)).trace([0, 1], [1.0, 1.0])
    assert relies_on_nothing([0.5, 1.0], [3.0, 3.0]).tolist() == [3.0, 6.0]


def test_integers_that_floats_do_not_hold_are_refused() -> None:
    c = compile(lambda i: 2.0 * (i % 3))
    with pytest.raises(ValueError, match=r"argument 1 is 9007199254740993 in row 1, beyond"):
        c(numpy.array([5, 2**53 + 1, 4]))
    assert c(numpy.array([5, 2**60]))[1] == 2.0 * (2**60 % 3)


def test_integers_that_floats_do_not_hold_are_not_compared() -> None:
    c = compile(lambda i, j: where(i == j, W[0], W[1]))
    assert c([2**53, 5], [2**53, 4]).tolist() == [1.0, -4.0]
    with pytest.raises(ValueError, match=r"argument 2 is 9007199254740993 in row 1, beyond"):
        c([1, 2**53], [2, 2**53 + 1])


# ---- What is no entry --------------------------------------------------------------------------

OUTSIDE = r"whole number from 0 to 3, for a table of length 4, but got "


@pytest.mark.parametrize("on", ["floats", "numpy", "machine"])
def test_a_row_whose_index_is_outside_is_named(on: str) -> None:
    c = compile(lambda i, x: take(W, i) * x, on=on)
    with pytest.raises(IndexError, match=f"{OUTSIDE}7 in row 0"):
        c([7, 1], [1.0, 1.0])
    c([0, 1], [1.0, 1.0])
    with pytest.raises(IndexError, match=f"{OUTSIDE}4 in row 2"):
        c([0, 1, 4], [1.0, 1.0, 1.0])
    for run in (c.mean, c.jacobian, c.hessian, lambda *a: c.value_and_grad(c.theta(), *a)):
        with pytest.raises(IndexError, match=f"{OUTSIDE}-1 in row 1"):
            run([0, -1], [1.0, 1.0])
    with pytest.raises(IndexError, match=rf"{OUTSIDE}1\.5 in row 1"):
        c([0.0, 1.5], [1.0, 1.0])
    with pytest.raises(IndexError, match=f"{OUTSIDE}nan in row 0"):
        c([numpy.nan], [1.0])


def test_so_is_one_whose_index_is_computed_or_that_takes_a_branch() -> None:
    c = compile(lambda i, x: take(W, i + 1) * x if x > 0 else take(W, i - 1))
    c([0, 1], [1.0, -1.0])
    with pytest.raises(IndexError, match=f"{OUTSIDE}4 in row 3"):
        c([0, 1, 1, 3], [1.0, -1.0, 1.0, 1.0])
    with pytest.raises(IndexError, match=f"{OUTSIDE}-1 in row 2"):
        c([0, 1, 0], [1.0, -1.0, -1.0])


def test_the_engine_refuses_the_same() -> None:
    for index, text in (
        (4, "4"),
        (-1, "-1"),
        (1.5, "1.5"),
        (Value(7.0), "7"),
        (numpy.int64(4), "4"),
    ):
        with pytest.raises(IndexError, match=f"{OUTSIDE}{text}$"):
            take(W, index)
    with pytest.raises(TypeError, match=r"the index of take takes a real number .* but got 'a'"):
        take(W, "a")
    for table in ({0: 1.0}, "text", 3.0, Value(1.0)):
        with pytest.raises(TypeError, match="takes from a list or an array, but got"):
            take(table, 0)
    with pytest.raises(ValueError, match="at least one entry"):
        take([], 0)


def test_rows_of_several_lengths_are_refused_where_the_index_differs() -> None:
    ragged = [[W[0]], [W[1], W[2]]]
    assert take(ragged, 1) == [W[1], W[2]]
    with pytest.raises(ValueError, match="rows of one length"):
        compile(lambda i: sum(take(ragged, i)))([0])


@pytest.mark.parametrize("use", [lambda v: W[v], lambda v: W[int(v)], lambda v: range(v)])
def test_a_list_of_your_own_is_refused_with_the_remedy(use: Callable[[Any], Any]) -> None:
    with pytest.raises(TracingError, match=r"write take\(table, v\)"):
        compile(lambda v: use(v) and v)([1])


# ---- By the engine -----------------------------------------------------------------------------


def test_the_entry_itself_is_taken() -> None:
    assert take(W, 2) is W[2] and take(tuple(W), Value(2.0)) is W[2]
    assert take(W, numpy.uint8(1)) is W[1] and take(W, True) is W[1] and take(W, 2.0) is W[2]
    assert take(numpy.array(W), 3) is W[3]
    assert take([1.5, 2.5], 1) == 2.5 and type(take(CODE[:, 0], 1)) is float
    assert take(CODE, 1).tolist() == [2.0, 0.0]


def test_an_array_gives_an_array() -> None:
    rows = numpy.array([[W[0], W[1]], [W[2], W[3]]])
    assert take(rows, 1).tolist() == [W[2], W[3]]
    c = compile(lambda i, x: (take(rows, i) * x).sum())
    assert c([1, 0], [2.0, 1.0]).tolist() == [18.5, -3.0]
    cube = numpy.arange(12.0).reshape(3, 2, 2)
    assert compile(lambda i, x: take(cube, i)[1, 0] * x)([2, 0], [1.0, 1.0]).tolist() == [10.0, 2.0]


def test_a_table_is_a_list() -> None:
    table = Table([W[0], W[1]])
    assert table[-1] is W[1] and table[:1] == [W[0]] and table[Value(1.0)] is W[1]
    twin = copy.deepcopy(table)
    assert type(twin) is Table and twin[0].data == 1.0 and twin[0] is not W[0]
    assert [v.data for v in pickle.loads(pickle.dumps(table))] == [1.0, -4.0]


def test_an_embedding() -> None:
    words = nn.Embedding(4, 2, seed=3, name="words")
    assert [p.label for p in words.parameters()[:3]] == ["words.0.0", "words.0.1", "words.1.0"]
    assert list(words.state_dict())[2] == "table.1.0" and str(words) == "Embedding(4, 2)"
    assert words(3) == words.table[3] and words(Value(1.0)) == words.table[1]
    numbers = [p.data for p in nn.Embedding(400, 4, seed=0).parameters()]
    assert numpy.var(numbers) == pytest.approx(0.25, rel=0.1)
    assert [p.data for p in nn.Embedding(4, 2, seed=3).parameters()] == [
        p.data for p in words.parameters()
    ]
    with pytest.raises(ValueError, match="rows of an embedding is at least 1"):
        nn.Embedding(0, 2)
    with pytest.raises(TypeError, match="columns of an embedding is an int"):
        nn.Embedding(2, 1.5)


# ---- Training ----------------------------------------------------------------------------------


class Factors(nn.Module):
    def __init__(self) -> None:
        self.users, self.items = nn.Embedding(12, 3, seed=0), nn.Embedding(9, 3, seed=1)

    def __call__(self, x: Any) -> Any:
        return dot(self.users.table[x[0]], self.items(x[1]))


def test_integers_of_examples_arrive_as_integers() -> None:
    X = numpy.stack([DRAW.integers(0, 12, 40), DRAW.integers(0, 9, 40)], axis=1)
    y = DRAW.normal(size=40)
    met = []

    def model(x: Any) -> Any:
        met.append(type(x[0]))
        return Value(1.0) * x[0]

    evaluate(model, X.tolist(), y, losses.mse)
    assert set(met) == {int}
    histories = []
    for compiled in (True, False):
        found = fit(Factors(), X, y, loss=losses.mse, epochs=3, progress=False, compiled=compiled)
        histories.append(found.loss)
    assert histories[0] == pytest.approx(histories[1], rel=1e-12)
    assert histories[0][-1] < histories[0][0]


def test_labels_choose_among_the_outputs_in_a_loss() -> None:
    def loss(logits: Any, label: Any) -> Any:
        return logsumexp(logits) - take(logits, label)

    X, y = DRAW.normal(size=(30, 2)), DRAW.integers(0, 3, 30)
    ours, theirs = (
        fit(nn.MLP(2, [4, 3], seed=0), X, y, loss=of, epochs=3, progress=False).loss
        for of in (loss, losses.cross_entropy)
    )
    assert ours == pytest.approx(theirs, rel=1e-12)


# ---- Random programs ---------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [range(k, k + 20) for k in range(500_000, 500_060, 20)], ids=str)
def test_random_programs_that_take_from_tables(seeds: range) -> None:
    for seed in seeds:
        check(Program(seed, tables=True), *Points.both(seed), executors=in_turn(seed))
