"""What a trace may not hide: numbers of other moments, text, hashes, what changes between runs."""

from __future__ import annotations

import copy
import functools
import itertools
import math
import operator
import pickle
import random
import statistics
import types
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

import numpy
import pytest
from scipy.optimize import minimize

import microgradlike
from microgradlike import Value, compile, exp, fit, functions, grad, loop, losses, sin, where
from microgradlike.compiler.tape import TracingError
from microgradlike.nn import MLP, Module
from microgradlike.replay import watch
from microgradlike.replay.spot_check import Answer, Question, spot_check
from tests.executors import other_last_digits

pytestmark = pytest.mark.usefixtures("executor")


# ---- B1: the numbers of a path are those of its theta ------------------------------------------


def absolute(w: Value) -> Callable[[Any, Any], Any]:
    def f(x: Any, y: Any) -> Any:
        error = w * x - y
        return error if error > 0 else -error

    return f


def test_B1_a_path_that_is_first_met_at_another_theta() -> None:
    w = Value(1.0)

    def f(x: Any) -> Any:
        if w * x > 0:
            return w * x
        return 10 * w * x

    c = compile(f).trace([1.0])
    value, gradient = c.value_and_grad([-1.0], [1.0])
    assert (value, gradient.tolist(), w.data) == (-10.0, [10.0], 1.0)
    outputs, gradient = c.run(numpy.array([-2.0]), ([1.0, -1.0],), [1.0])
    assert outputs.ravel().tolist() == [-20.0, 2.0]
    assert gradient.tolist() == [9.0]
    assert len(c.programs) == 2


def test_B1_an_optimiser_of_scipy_meets_branches() -> None:
    w = Value(5.0)
    c = compile(absolute(w)).trace([1.0], [0.0])
    found = minimize(
        lambda theta: c.value_and_grad(theta, [1.0, 2.0, 3.0], [2.0, 4.0, 6.0]),
        *([5.0],), jac=True, method="L-BFGS-B",
    )  # fmt: skip
    assert found.x[0] == pytest.approx(2.0, abs=1e-6)
    assert w.data == 5.0


def test_B1_numbers_are_restored_also_after_an_error() -> None:
    w = Value(1.0)

    def f(x: Any) -> Any:
        if w * x > 0:
            return w * x
        raise ZeroDivisionError

    c = compile(f).trace([1.0])
    with pytest.raises(ZeroDivisionError):
        c.value_and_grad([-1.0], [1.0])
    assert (w.data, w.grad) == (1.0, 0.0)


# ---- B2, B7, B21: what is refused, with the line -----------------------------------------------


def swallows(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def g(x: Any) -> Any:
        try:
            return x * f(x)
        except Exception:
            return x * 0

    return g


@functools.lru_cache
def remembered(x: Any) -> Any:
    return x * 2


REFUSED: list[tuple[Callable[[Any], Any], str]] = [
    (lambda x: {1: 5.0}.get(x, 1.0), r"the hash of a Value .*where\(v == 1, x, y\)"),
    (lambda x: 5.0 if x in {1} else 1.0, "the hash of a Value"),
    (lambda x: {x * 1: 5.0}[x], "the hash of a Value"),
    (lambda x: len({x, x * 2}), "the hash of a Value"),
    (remembered, "the hash of a Value"),
    (lambda x: 5.0 if f"{x}" == "1.0" else 1.0, r"text, such as f\"\{v\}\", of a Value"),
    (lambda x: 5.0 if f"{x!r}" == "1.0" else 1.0, "text, .*without compile"),
    (lambda x: len(str(x)), "text, such as"),
    (lambda x: len(repr([x])), "text, such as"),
    (lambda x: len("%s" % x), "text, such as"),  # noqa: UP031
    (lambda x: math.exp(x), "a function of math"),
    (lambda x: x.data, r"reading \.data"),
    (lambda x: [1.0, 2.0][x], r"for table\[v\] write take\(table, v\)"),
    (lambda x: x == x * 1, r"whether they are the same node.*abs\(a - b\)"),
    (lambda x: x != x * 1, "whether they are the same node"),
    (lambda x: (x * 1) in [x * 2, x], "whether they are the same node"),
    (lambda x: exp(x - max([x, x * 2]).data), r"softmax\(values\) and logsumexp"),
    (copy.deepcopy, "a copy of a Value"),
    (lambda x: numpy.interp(x, [0.0, 1.0], [0.0, 2.0]), r"float\(v\)"),
    (lambda x: statistics.fmean([x, x]), r"float\(v\)"),
]


@pytest.mark.parametrize(("f", "message"), REFUSED)
def test_B2_B7_B21_what_is_refused_stays_refused_and_names_the_users_line(
    f: Any, message: str
) -> None:
    for g in (f, swallows(f)):
        with pytest.raises(TracingError, match=message) as caught:
            compile(g)([1.0, 2.0])
        assert f"{__file__}, line" in str(caught.value)


def test_B2_comparing_finds_the_number() -> None:
    w = Value(3.0)
    c = compile(lambda x, label: w * x * (5.0 if label in [1, 4] else 1.0))
    assert c([1.0, 1.0, 1.0], [0, 1, 4]).tolist() == [3.0, 15.0, 15.0]
    c = compile(lambda x, label: w * x * [5.0, 1.0, 7.0][[0, 1, 2].index(label)])
    assert c([1.0, 1.0, 1.0], [0, 1, 2]).tolist() == [15.0, 3.0, 21.0]


@pytest.mark.parametrize(
    "f",
    [
        lambda w, x, y: w * x * (5.0 if isinstance(y, int) else 1.0),
        lambda w, x, y: w * x * (5.0 if type(y) is int else 1.0),
        lambda w, x, y: w * x * (5.0 if (x > 0) is True else 1.0),
        lambda w, x, y: w * x * (5.0 if (x > 0) is not False else 1.0) if False else
        w * x * (5.0 if isinstance(x > 0, bool) else 1.0),
        lambda w, x, y: w * x * (1.0 if hasattr(y, "tape") else 5.0),
    ],
)  # fmt: skip
def test_B2_B21_what_asks_for_the_type_is_found_by_the_spot_check(f: Any) -> None:
    w = Value(3.0)
    with pytest.raises(TracingError, match=r"15\.0 when it is run itself.*check=False") as caught:
        compile(lambda x, y: f(w, x, y)).trace([1.0, 2.0], numpy.array([1, 0]))
    assert "is 3.0 compiled" in str(caught.value)
    assert w.grad == 0.0
    c = compile(lambda x, y: f(w, x, y), check=False)
    assert c([1.0], numpy.array([1])).tolist() == [3.0]


def test_B7_a_refusal_is_raised_whatever_the_function_raises_then() -> None:
    def f(x: Any) -> Any:
        try:
            float(x)
        except TypeError:
            raise ValueError("no number") from None

    with pytest.raises(TracingError, match=r"float\(v\)"):
        compile(f)([1.0])


@pytest.mark.parametrize(
    "f",
    [
        lambda c, d: c ^ d,
        lambda c, d: c == d,
        lambda c, d: c != d,
        lambda c, d: c == True,  # noqa: E712
        lambda c, d: c != True,  # noqa: E712
        lambda c, d: c & True,
        lambda c, d: False | c,
        lambda c, d: True ^ c,
        lambda c, d: c & (d == False),  # noqa: E712
        lambda c, d: numpy.True_ & c,
        lambda c, d: (c + d) > 1,
        lambda c, d: c < d,
        lambda c, d: c * 2 == 2,
        lambda c, d: c == 1,
        lambda c, d: ~c,
    ],
)
def test_B21_truth_values_work_in_each_row(f: Any) -> None:
    rows = [list(row) for row in itertools.product([-1.0, 1.0], repeat=2)]

    def chooses(x: Any) -> Any:
        return where(f(x[0] > 0, x[1] > 0), x[0] * 3, x[1] * 5)

    expected = [chooses(row) for row in rows]
    c = compile(chooses)
    assert c(rows).tolist() == expected
    assert "path" not in c.describe()


@pytest.mark.parametrize(
    "f",
    [
        lambda c, d, x: x + c + d,
        lambda c, d, x: 2 * c - d * 3 + x,
        lambda c, d, x: x * c,
        lambda c, d, x: sum([c, d, c]) + x * 0,
        lambda c, d, x: x / (c + 1) ** 2 - (-c) + abs(d),
        lambda c, d, x: x * (2.0 if not c else 3.0),
        lambda c, d, x: x * float(any([c, d])),
        lambda c, d, x: x * float(all([c, d])),
        lambda c, d, x: x * int(c) + float(d),
        lambda c, d, x: x * {True: 2.0, False: 3.0}[c],
    ],
)
def test_B21_truth_values_are_numbers(f: Any) -> None:
    rows = [list(row) for row in itertools.product([-1.0, 1.0], repeat=2)]
    c = compile(lambda x: f(x[0] > 0, x[1] > 0, x[0]))
    assert c(rows).tolist() == [f(a > 0, b > 0, a) for a, b in rows]


# ---- B3, and the spot check --------------------------------------------------------------------


def test_B3_every_path_is_checked_for_repeatability() -> None:
    w = Value(2.0)
    c = compile(lambda x: w * x if x > 0 else w * x * random.gauss(1, 1), check=False)
    c.trace([1.0]).check_repeatable()
    with pytest.raises(TracingError, match="does something else when it runs once more"):
        c([-1.0])
    c = compile(lambda x: w * x if x > 0 else x * w.data, check=False)
    with pytest.raises(TracingError, match=r"such as p\.data"):
        c.trace([1.0, -1.0]).check_repeatable()


def test_B3_a_row_at_a_tie_is_repeatable() -> None:
    w = Value(0.0)
    compile(lambda x: w * x if w * x >= 0 else w).trace([1.0]).check_repeatable()


def test_B3_what_draws_random_numbers_is_found_without_being_asked() -> None:
    w = Value(2.0)
    own = numpy.random.default_rng(0)
    counter = itertools.count(1.0)
    for roll in (random.random, numpy.random.random, own.random, counter.__next__):
        again = "something else when it runs once more: it draws random numbers"
        with pytest.raises(TracingError, match=again):
            compile(lambda x, roll=roll: w * x * roll()).trace([1.0])
    for seed in range(20):  # also where a draw decides, and its number is nowhere
        random.seed(seed)
        with pytest.raises(TracingError, match="it draws random numbers"):
            compile(lambda x: x * w if random.random() < 0.5 else x * 0)([1.0, 2.0])
    random.seed(0)
    before = random.getstate()
    c = compile(lambda x: w * x * random.Random(0).random())
    c.mean([1.0, 2.0]).backward()
    assert random.getstate() == before


def test_B3_the_spot_check_leaves_no_trace() -> None:
    w = Value(2.0)
    w.grad = 7.0
    c = compile(lambda x: (w * x).tanh())
    c.value_and_grad([0.5], [0.1, 0.2]) if c.traced else c.trace([0.1])
    c.value_and_grad([0.5], [0.1, 0.2])
    c.jacobian([0.1, 0.2])
    assert (w.data, w.grad) == (2.0, 7.0)


def in_scalars(x: Any, steps: int) -> Any:
    """Three operations a step, of which no matrices can be made."""
    for _ in range(steps):
        x = sin(x) * 0.5 + x
    return x


def test_B3_a_large_function_is_run_itself_too() -> None:
    w = Value(2.0)
    c = compile(lambda x: w * in_scalars(x, 4_000))
    assert c([0.1, 0.2]) == pytest.approx([(w * in_scalars(x, 4_000)).data for x in (0.1, 0.2)])
    assert c.mean([0.1, 0.2]).item() == pytest.approx(c([0.1, 0.2]).mean())
    for call in ("__call__", "mean", "jacobian"):
        c = compile(lambda x: in_scalars(x, 4_000) * (w if hasattr(x, "tape") else w * 0.5))
        with pytest.raises(TracingError, match=r"its value is .* compiled, and"):
            getattr(c, call)([0.1, 0.2])


def test_B3_slopes_of_a_large_network_are_compared() -> None:
    net = MLP(64, [200, 1], seed=0)
    v = Value(3.0)
    rows = numpy.random.default_rng(0).normal(size=(4, 64))

    def f(x: Any) -> Any:
        return net(x) * (v if hasattr(x[0], "tape") else v.detach())

    c = compile(f)
    assert c(rows) == pytest.approx([f(row).data for row in rows.tolist()])
    with pytest.raises(TracingError, match=r"its slope by parameter .* and 0\.0 when it is run"):
        c.mean(rows)


@pytest.mark.parametrize("steps", [1, 100])
def test_B3_another_row_than_the_traced_one_is_compared(steps: int) -> None:
    c = compile(lambda x, y: in_scalars(x, steps) * (5.0 if type(y) is int and y == 2 else 1.0))
    with pytest.raises(TracingError, match=r"for the row \[0\.3, 2\]"):
        c([0.1, 0.2, 0.3], numpy.array([0, 1, 2]))


@pytest.mark.parametrize(("steps", "runs"), [(1, 2), (100, 1)])
def test_B3_what_was_compared_is_not_compared_again(steps: int, runs: int) -> None:
    w, plain = Value(2.0), []

    def f(x: Any) -> Any:
        if not hasattr(x, "tape"):
            plain.append(x)
        return w * in_scalars(x, steps)

    c = compile(f)
    c.mean([0.1, 0.2, 0.3])
    assert len(plain) == runs
    c([0.4, 0.5])
    c.mean([0.4])
    assert len(plain) == runs
    plain.clear()
    c.jacobian([0.1, 0.2, 0.3])
    assert len(plain) == runs
    plain.clear()
    c = compile(f)
    c([0.1])  # the second row is compared as soon as there is one
    c([0.1, 0.2])
    c([0.1, 0.2, 0.3])
    assert len(plain) == runs


@pytest.mark.parametrize(
    ("f", "rows"),
    [
        (lambda x: (x + 1e16) - 1e16, [3.0, 1.0]),
        (lambda x: ((x + 1e16) - 1e16) ** 2, [3.0, 1.0]),
        (lambda x: 1e8 * ((x + 0.1) - x - 0.1), [0.3, 0.7]),
        (lambda x: abs(0.1 * x + 0.2 * x - 0.3 * x), [1.0, 3.0]),
        (lambda x: (0.1 * x + 0.2 * x - 0.3 * x).relu(), [1.0, 3.0]),
        (lambda x: 1 / x, [0.0, 1.0]),
        (lambda x: x.log() * 0, [0.0, -1.0]),
        (lambda x: x**0.5, [-1.0, 4.0]),
        (lambda x: (x * 1000).exp(), [1.0, 2.0]),
        (lambda x: x - x, [math.inf, math.nan]),
        (lambda x: x**2 - 2 * x + 1, [1.0 + 1e-9, 1.0]),
    ],
)
def test_B3_rounding_is_not_refused(f: Any, rows: list[float]) -> None:
    c = compile(f)
    c(rows)
    c.jacobian(rows)


@pytest.mark.parametrize("by_inputs", [False, True])
@pytest.mark.parametrize(
    ("f", "point"),
    [
        (lambda w, x: w * x - x * w, 0.3),  # what cancels is 0 for all numbers
        (lambda w, x: w * x * 1e3 + w * x - x * 1e3 * w - x * w, 0.3),
        (lambda w, x: (w * x - x * w) * exp(w * x), 0.7),
        (lambda w, x: (w * x) ** 2 - w * w * x * x, 0.7),
    ],
)
def test_B3_slopes_that_are_rounding_alone(f: Any, point: float, by_inputs: bool) -> None:
    w = Value(point)
    asked = Question(lambda x: f(w, x), [point], [w], numpy.array([1.0]), by_inputs)
    value = f(w, Value(point)).data
    for slope in (0.0, 6.7e-18, -5e-17):
        spot_check(asked, Answer(numpy.array([value]), numpy.array([slope])), 1e-9)
    for slope in (1e-8, -0.3, math.nan, math.inf):
        with pytest.raises(TracingError, match="its slope by"):
            spot_check(asked, Answer(numpy.array([value]), numpy.array([slope])), 1e-9)


# ---- B5: names that are bound to another Value -------------------------------------------------

HELD = types.SimpleNamespace()


class Scale:
    def __init__(self) -> None:
        self.w = Value(2.0)
        self.ws = {"a": [[Value(3.0)]]}

    def __call__(self, x: Any) -> Any:
        return self.w * x * self.ws["a"][0][0]


def bound(kind: str) -> tuple[Any, Callable[[], None]]:
    """A function that finds w in some way, and what binds another Value there."""
    w = Value(2.0)
    KEEP.append(w)
    if kind == "helper":

        def helper(x: Any) -> Any:
            return w * x

        def again() -> None:
            nonlocal w
            w = Value(9.0)

        return (lambda x: helper(x) + 1), again
    if kind == "comprehension":
        ws = [w]
        return (lambda x: sum(v * x for v in ws)), lambda: ws.__setitem__(0, Value(9.0))
    if kind == "partial":
        named = {"w": w}
        f = functools.partial(lambda named, x: named["w"] * x, named)
        return f, lambda: named.update(w=Value(9.0))
    if kind == "decorator":

        def decorated(g: Any) -> Any:
            return functools.wraps(g)(lambda x: g(x))

        def once_more() -> None:
            nonlocal w
            w = Value(9.0)

        return decorated(decorated(lambda x: w * x)), once_more
    if kind == "list of lists":
        rows = [[Value(1.0), w]]
        KEEP.extend(rows[0])
        return (lambda x: rows[0][1] * x), lambda: rows.__setitem__(0, [rows[0][0], Value(9.0)])
    if kind == "default":

        def g(x: Any, w: Any = w) -> Any:
            return w * x

        return (lambda x: g(x)), lambda: setattr(g, "__defaults__", (Value(9.0),))
    if kind == "module":
        module = types.ModuleType("users")
        module.w = w  # type: ignore[attr-defined]
        return (lambda x: module.w * x), lambda: setattr(module, "w", Value(9.0))
    if kind == "object":
        HELD.w = w
        return (lambda x: HELD.w * x), lambda: setattr(HELD, "w", Value(9.0))
    scale = Scale()
    KEEP.extend([scale.w, scale.ws["a"][0][0]])
    if kind == "callable":
        return scale, lambda: setattr(scale, "w", Value(9.0))
    if kind == "method":
        return scale.__call__, lambda: setattr(scale, "w", Value(9.0))
    return (lambda x: scale(x)), lambda: scale.ws["a"][0].__setitem__(0, Value(9.0))


KEEP: list[Any] = []


@pytest.mark.parametrize(
    "kind",
    [
        *("helper", "comprehension", "partial", "decorator", "list of lists", "default"),
        *("module", "object", "callable", "method", "dict of lists"),
    ],
)
def test_B5_a_value_that_is_bound_anew_indirectly_is_noticed(kind: str) -> None:
    f, again = bound(kind)
    c = compile(f)
    c([1.0])
    c.mean([1.0]).backward()
    again()
    for call in (c, c.mean, c.jacobian):
        with pytest.raises(ValueError, match="is another Value than when"):
            call([1.0])
    assert c.retrace()([1.0]).tolist() == [f(1.0).data]


class Sum:
    """The weighted sum of x; its weights are found in an attribute of its class or its own."""

    shared: ClassVar[list[Value]] = [Value(1.0)]

    def __init__(self, count: int = 1) -> None:
        self.ws = [Value(1.0) for _ in range(count)]
        self.log: list[Any] = []

    def parameters(self) -> list[Value]:
        return [*self.shared, *self.ws]

    def __call__(self, x: Any) -> Any:
        return self.helped(x) if len(self.log) >= 0 else x

    def helped(self, x: Any) -> Any:
        return sum([w * x * x for w in self.parameters()], 0.0 * x)


def grown(kind: str) -> tuple[Any, Callable[[], None]]:
    """A function of a list, dict or set of Values, and what lets it grow, or shrink."""
    new, ws = Value(9.0), [Value(1.0), Value(2.0)]
    held: Any = {"set": set, "deque": deque, "tuple": tuple}.get(kind, list)(ws)
    if kind == "array":
        held = numpy.array(ws, object)
    if kind == "empty":
        held = []
    if kind == "numbers":
        held = [1.0, 2.0]
    if kind == "dict":
        named = {"a": ws[0]}
        return (lambda x: sum(w * x * x for w in named.values())), lambda: named.update(b=new)
    if kind == "nested":
        groups = {"a": [ws]}
        return (lambda x: sum(w * x * x for w in groups["a"][0])), lambda: ws.append(new)
    if kind in ("many", "attribute"):
        many = Sum(100 if kind == "many" else 1)
        return many, lambda: many.ws.append(new)
    if kind == "class":
        return Sum(), lambda: Sum.shared.append(new)
    if kind == "shrunk":
        many = Sum(100)
        KEEP.extend(many.ws)
        return many, many.ws.clear
    if kind == "model":
        net = MLP(1, [16, 16, 1], activation="tanh", seed=0)
        return (lambda x: net([x * x])), lambda: net.layers.append(MLP(1, [1], seed=1))

    def f(x: Any) -> Any:
        return sum([w * x * x for w in held], 0.0 * x)

    def again() -> None:
        nonlocal held
        if kind == "set":
            held.add(new)
        elif kind == "tuple":
            held = (*held, new)
        elif kind == "array":
            held = numpy.append(held, new)  # type: ignore[call-overload]
        elif kind == "popped":
            KEEP.append(held.pop())
        elif kind == "longer":
            held = [*held, new]
        else:
            held.append(new)

    return f, again


@pytest.mark.parametrize(
    "kind",
    [
        *("list", "set", "deque", "tuple", "array", "empty", "numbers", "popped", "longer"),
        *("dict", "nested", "many", "attribute", "class", "shrunk", "model"),
    ],
)
def test_B5_a_list_that_grows_or_shrinks_is_noticed(kind: str) -> None:
    f, grow = grown(kind)
    c = compile(f)
    c([2.0])
    theta = c.theta()
    c.hessian([2.0])
    grow()
    for call in (c, c.mean, c.jacobian, c.hessian, functools.partial(c.value_and_grad, theta)):
        with pytest.raises(ValueError, match=r"is another Value than .* or holds others"):
            call([2.0])
    assert c.retrace()([2.0]).tolist() == pytest.approx([f(Value(2.0)).data], rel=1e-12)


def test_B5_the_rooms_of_this_package_are_not_searched() -> None:
    w = Value(2.0)
    found = [step.found for step in watch._walk(lambda x: microgradlike.sin(x * w) + exp(x), 64)]
    assert len(found) < 20 and w in found


def test_B5_numbers_results_and_unused_values_do_not_count() -> None:
    model = Sum(100)
    c = compile(model)
    expected = c([1.0]).tolist()
    w = model.ws[0]
    some: list[Any] = [1.0, "text", {"loss": (0.5, numpy.ones(2))}, [[]], w * 2.0, Value(7.0)]
    for kept in some:
        model.log.append(kept)
        assert c([1.0]).tolist() == c([1.0]).tolist() == expected
    model.log.clear()
    assert c([1.0]).tolist() == expected
    model.log = []
    assert c([1.0]).tolist() == expected
    coefficients = [1.0, 2.0]  # plain numbers stay as they were traced
    c = compile(lambda x: sum(k * x * w for k in coefficients))
    assert c([1.0]).tolist() == [3.0]
    coefficients.append(4.0)
    assert c([1.0]).tolist() == [3.0]
    assert c.retrace()([1.0]).tolist() == [7.0]


def test_B5_a_list_that_only_another_path_reads_is_noticed() -> None:
    w, extra = Value(2.0), [Value(1.0)]
    c = compile(lambda x: w * x if x > 0 else sum(v * x for v in extra))
    assert c([1.0, -1.0]).tolist() == [2.0, -1.0]
    extra.append(Value(5.0))
    with pytest.raises(ValueError, match=r"'extra' is another Value than .* retrace\(\)"):
        c([1.0])
    assert c.retrace()([1.0, -1.0]).tolist() == [2.0, -6.0]


def test_B5_what_holds_the_same_values_anew_is_the_same() -> None:
    ws = [Value(1.0), Value(2.0)]
    holder = types.SimpleNamespace(ws=ws)
    c = compile(lambda x: sum(w * x for w in holder.ws))
    assert c([1.0]).tolist() == [3.0]
    holder = types.SimpleNamespace(ws=list(ws))
    ws[1].data = 4.0
    assert c([1.0]).tolist() == [5.0]
    holder.ws.append(Value(1.0))
    with pytest.raises(ValueError, match=r"'holder\.ws' is another Value"):
        c([1.0])


# ---- B6: one function --------------------------------------------------------------------------


def test_B6_derivatives_are_those_of_the_trace() -> None:
    k, w = 1.0, Value(2.0)
    c = compile(lambda x: k * w * x[0] ** 3 + x[1])
    rows = [[1.0, 1.0]]
    assert c(rows).tolist() == [3.0]
    k = 2.0
    assert c(rows).tolist() == [3.0]
    assert c.jacobian(rows).tolist() == [[[6.0, 1.0]]]
    assert c.hessian(rows).tolist() == [[[12.0, 0.0], [0.0, 0.0]]]
    assert c.hvp(rows, v=[[1.0, 0.0]]).tolist() == [[12.0, 0.0]]
    w.data = 3.0
    assert c.hessian(rows)[0, 0, 0] == 18.0
    assert c.retrace().hessian(rows)[0, 0, 0] == 36.0


def test_B6_a_later_path_with_other_numbers_is_refused() -> None:
    k = 1.0
    c = compile(lambda x: k * x if x > 0 else -k * x)
    assert c([1.0]).tolist() == [1.0]
    k = 2.0
    with pytest.raises(TracingError, match=r"has changed; call retrace\(\)"):
        c([-1.0])
    assert c.retrace()([1.0, -1.0]).tolist() == [2.0, 2.0]


def test_B6_derivatives_follow_branches_and_where() -> None:
    def f(x: Any) -> Any:
        y = where((x[0] > 0) & (x[1] < 1), x[0] ** 2 * x[1], -x[1]) + x[0].detach() * x[1]
        if x[0] * x[1] > 0.5:
            return y * x[0]
        return y.tanh() if x[1] > 0 else y**3

    rows = [[1.0, 0.8], [0.2, 0.3], [0.5, -1.0], [-1.0, 2.0], [-2.0, -3.0]]
    c = compile(f)
    for row, hessian in zip(rows, c.hessian(rows), strict=True):
        second = [grad(lambda x, k=k: grad(f)(x)[k])([Value(v) for v in row]) for k in range(2)]
        assert hessian == pytest.approx(numpy.array([[float(v) for v in r] for r in second]))


# ---- B8, B20: ties -----------------------------------------------------------------------------


def test_B8_a_tie_does_not_depend_on_history() -> None:
    def f(x: Any) -> Any:
        return 100 * x[0] if sum(x) >= 1 else x[0]

    rows = [[0.1] * 10]
    # Of Values: since Python 3.12 the sum of floats is more exact than their additions.
    expected = [float(f([Value(v) for v in rows[0]]))]
    c = compile(f)
    for _ in range(300):
        assert c(rows).tolist() == expected
    assert c([[0.1] * 10, [1.0] * 10, [0.0] * 10]).tolist() == [*expected, 100.0, 0.0]
    other = compile(f).trace([[1.0] * 10])
    assert other(rows).tolist() == expected
    assert len(other.programs) == 2


TENTHS = numpy.random.default_rng(0).integers(0, 11, (20_000, 4)) / 10


@pytest.mark.parametrize("as_where", [False, True])
@pytest.mark.parametrize("of_parameters", [False, True])
def test_B20_decisions_on_ties_of_weighted_sums(as_where: bool, of_parameters: bool) -> None:
    numbers = (0.1, 0.2, 0.3, 0.4)
    weights: Any = [Value(w) for w in numbers] if of_parameters else numbers

    def f(x: Any, w: Any = weights) -> Any:
        s = w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3] * x[3]
        if as_where:
            return where(s >= 0.5, x[0] * 1.0 + 0.9, x[1] * -0.5)
        return x[0] * 1.0 + 0.9 if s >= 0.5 else x[1] * -0.5

    expected = [f(row, numbers) for row in TENTHS.tolist()]
    c = compile(f)
    assert (c(TENTHS) == expected).all()
    slopes = c.jacobian(TENTHS)[:, 0, :2]
    above = numpy.array(
        [functools.reduce(operator.add, map(operator.mul, numbers, row)) for row in TENTHS.tolist()]
    )
    assert (slopes[above >= 0.5] == [1.0, 0.0]).all()
    assert (slopes[above < 0.5] == [0.0, -0.5]).all()


JUMPS: dict[str, Callable[[Any], Any]] = {
    "floor": lambda s: functions.floor(s * 10),
    "ceil": lambda s: functions.ceil(s * 10),
    "trunc": lambda s: functions.trunc(s * -10),
    "round": lambda s: functions.round(s * 10 + 0.5),
    "round to digits": lambda s: round(s + 0.05, 1),
    "sign": lambda s: functions.sign(s - 0.5),
    "mod": lambda s: s % 0.1,
    "floordiv": lambda s: s // 0.1,
    "of a loop": lambda s: loop(lambda q, _: q + functions.floor(s * 10 + q), s * 0.0, 9),
}


@pytest.mark.parametrize("name", JUMPS)
def test_jumps_of_weighted_sums(name: str) -> None:
    def f(x: Any) -> Any:
        s = 0.1 * x[0] + 0.2 * x[1] + 0.3 * x[2] + 0.4 * x[3]
        return JUMPS[name](s) * x[0]

    rows = TENTHS[:1000]
    expected = [float(f(list(map(Value, row)))) for row in rows.tolist()]
    assert compile(f)(rows) == pytest.approx(expected, rel=1e-9, abs=1e-12)


KINKS: dict[str, Callable[[Any], Any]] = {
    "abs": abs,
    "relu": functions.relu,
    "leaky relu": lambda s: functions.leaky_relu(s, 0.1),
    "maximum": lambda s: functions.maximum(s, 0.0),
    "of two": lambda s: functions.minimum(3 * s, -s),
    "quotient": lambda s: 1 / s,
    "log": lambda s: (-2 * s).log(),
    "root": lambda s: s**0.5,
    "hypot": lambda s: functions.hypot(s, 2 * s),
}


@pytest.mark.parametrize("eight", [False, True])
@pytest.mark.parametrize("name", KINKS)
def test_kinks_and_poles_of_short_sums(name: str, eight: bool) -> None:
    """Where a sum is 0 to the engine, it is 0, for slopes and infinities as well."""

    def f(x: Any) -> Any:
        of_eight = sum([x[3], -x[0], 0.5, x[2], -x[1], 1, 0.3, -1.8])
        return KINKS[name](of_eight if eight else (x[0] + x[1]) - (x[2] + x[3])) + x[0] * x[1]

    rows = numpy.round(TENTHS[:400] - 0.5, 1)
    rows[:, 3] = rows[:, 0] + rows[:, 1] - rows[:, 2]
    c = compile(f)
    values, slopes = c(rows), c.jacobian(rows)[:, 0]
    for row, value, slope in zip(rows.tolist(), values, slopes, strict=True):
        given = list(map(Value, row))
        out = f(given)
        out.backward()
        numpy.testing.assert_allclose(value, out.data, rtol=1e-12)
        numpy.testing.assert_allclose(slope, [v.grad for v in given], rtol=1e-12)


SHARP = ["exp", "log", "log1p", "tanh", "sinh", "atan", "cbrt", "erf", "sigmoid", "softplus"]


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("name", [*SHARP, "pow", "atan2", "hypot", "logaddexp"])
def test_a_decision_on_the_last_digit_of_a_function(
    name: str, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its threshold is what the engine finds, to the last digit; that of NumPy may be another."""
    if elsewhere:
        other_last_digits(monkeypatch)
    of_two = getattr(functions, name)
    of: Any = of_two if name not in SHARP else lambda x, _: of_two(x)

    def f(x: Any, y: Any, limit: Any) -> Any:
        below = where(of(x, y) < limit, x * 3.0, -y)
        return below + (x if of(x, y) <= limit else 2.0 * y)

    rows = [
        [x, y, math.nextafter(float(of(x, y)), direction) if direction else float(of(x, y))]
        for x, y in numpy.random.default_rng(0).uniform(0.2, 2.0, (60, 2)).tolist()
        for direction in (-math.inf, 0.0, math.inf)
    ]
    expected = [float(f(*map(Value, row))) for row in rows]
    assert compile(f)(*numpy.transpose(rows)).tolist() == expected


# ---- B15: copies -------------------------------------------------------------------------------


class Model:
    def __init__(self) -> None:
        self.w = Value(2.0)
        self.loss = compile(self.error)

    def error(self, x: Any) -> Any:
        return (self.w * x) ** 2


@compile
def decorated(x: Any) -> Any:
    return x * x


@pytest.mark.parametrize("called", [False, True])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_B15_copies_before_and_after_a_call(called: bool, copied: Any) -> None:
    model = Model()
    if called:
        model.loss.mean([1.0, 2.0]).backward()
        model.loss.hessian([1.0])
        decorated([1.0])
    other = copied(model)
    other.w.data = 3.0
    assert other.loss([1.0]).tolist() == [9.0]
    assert other.loss.parameters == [other.w]
    assert model.loss([1.0]).tolist() == [4.0]
    assert copied(decorated)([3.0]).tolist() == [9.0]
    assert copied(compile(numpy.square, threads=1))([3.0]).tolist() == [9.0]


def test_B3_the_validation_trace_is_checked() -> None:
    class Reads(Module):
        def __init__(self) -> None:
            self.w = Value(0.5)

        def __call__(self, x: Any) -> Any:
            return self.w * x[0] if self.training else x[0] * self.w.data + 0 * self.w

    X, y = [[1.0], [2.0]], [2.0, 4.0]
    with pytest.warns(RuntimeWarning, match=r"reading \.data of a parameter"):
        history = fit(
            Reads(), X, y, loss=losses.mse, validation=(X, y), epochs=3, seed=None, progress=False
        )
    assert len(set(history.validation_loss)) == 3
