"""Derivatives within functions, and by parameters: right, in linear time, on every executor."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy
import pytest
from scipy import optimize

from microgradlike import TracingError, Value, compile, custom, functions, grad, where
from microgradlike.compiler.tape import trace
from microgradlike.nn import MLP
from microgradlike.ops import OPERATORS
from microgradlike.replay import derived
from microgradlike.rules import Rule
from tests.programs import Program, agree, error_bound, flat
from tests.random_programs import bounded, close, logsumexp_as_compiled

pytestmark = pytest.mark.usefixtures("executor")

# ---- In linear time ----------------------------------------------------------------------------


def _lines(f: Callable[[], object]) -> int:
    """How many lines of Python run while a function is called: the same on any machine."""
    count = 0

    def line(frame: object, event: str, given: object) -> Any:
        nonlocal count
        count += 1
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        f()
    finally:
        sys.settrace(before)
    return count


def _newton(x: Any, w: Any, steps: int) -> Any:
    def f(t: Any) -> Any:
        return t**3 - w * t - 5

    for _ in range(steps):
        x = x - f(x) / grad(f)(x)
    return x


def _leapfrog(q: Any, w: Any, steps: int) -> Any:
    def energy(q: Any, p: Any) -> Any:
        return 0.5 * p * p + w * q**4

    p = 0.3 * q
    for _ in range(steps):
        p = p - 0.01 * grad(lambda t, p=p: energy(t, p))(q)
        q = q + 0.01 * grad(lambda t, q=q: energy(q, t))(p)
    return q


def _by_numbers(x: Any, w: Any, steps: int) -> Any:
    for step in range(steps):
        x = 0.5 * x + 0.1 * grad(lambda t, x=x: w * x * t * t)(1.0 + step)
    return x


def _curvature(x: Any, w: Any, steps: int) -> Any:
    for _ in range(steps):
        x = x - 0.01 * grad(grad(lambda t, x=x: w * x * t**3))(x)
    return x


def _bodies(x: Any, w: Any, steps: int) -> Any:
    def potential(at: Any) -> Any:
        return -w / ((at[0] - at[1]) ** 2 + 0.1).sqrt()

    at, speed = [x, x + 1.0], [0.0 * x, 0.1 * x]
    for _ in range(steps):
        speed = [v - 0.01 * force for v, force in zip(speed, grad(potential)(at), strict=True)]
        at = [a + 0.01 * v for a, v in zip(at, speed, strict=True)]
    return at[0]


LOOPS = [_newton, _leapfrog, _by_numbers, _curvature, _bodies]


#: Whoever counts lines in Python 3.10 holds the Values that a function made, which none may.
WAYS = ["eager", "differentiated", *(["traced"] if sys.version_info >= (3, 11) else [])]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("loop", LOOPS)
def test_a_gradient_in_every_step_costs_as_much_in_the_last_as_in_the_first(
    loop: Callable[..., Any], way: str
) -> None:
    w = Value(2.0)

    def run(steps: int) -> object:
        def f(x: Any) -> Any:
            return loop(x, w, steps)

        if way == "traced":
            return trace(f, [1.5])
        return grad(f)(1.5) if way == "differentiated" else f(Value(1.5))

    run(2)  # what is made once is made here
    few, many = (_lines(lambda steps=steps: run(steps)) for steps in (20, 60))  # type: ignore[misc]
    assert many < 3.3 * few


@pytest.mark.parametrize("loop", LOOPS)
def test_a_gradient_in_every_step_is_right(loop: Callable[..., Any]) -> None:
    w, rows = Value(2.0), numpy.array([1.5, 1.7])
    c = compile(lambda x: loop(x, w, 4))
    outs = [loop(Value(x), w, 4) for x in rows]
    numpy.testing.assert_allclose(c(rows), [out.data for out in outs], rtol=1e-12)
    slopes = [grad(lambda x: loop(x, w, 4))(float(x)) for x in rows]
    numpy.testing.assert_allclose(c.jacobian(rows)[:, 0, 0], slopes, rtol=1e-11)
    h = 1e-5
    differences = [
        (loop(Value(x + h), w, 4).data - loop(Value(x - h), w, 4).data) / (2 * h) for x in rows
    ]
    numpy.testing.assert_allclose(slopes, differences, rtol=1e-5, atol=1e-9)


# ---- What depends on the inputs ----------------------------------------------------------------


def test_what_was_made_in_another_thread_counts() -> None:
    from concurrent.futures import ThreadPoolExecutor

    def f(x: Any) -> Any:
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(lambda k: x * x * k, [1.0, 2.0, 3.0]))

    assert grad(f)(2.0) == 24.0
    assert grad(grad(f))(2.0) == 12.0


def test_a_node_of_ones_own_counts() -> None:
    def f(x: Any) -> Any:
        return custom(x * x * x, (x,), lambda x: 3 * x * x) * x

    assert grad(f)(2.0) == 32.0
    assert grad(grad(f))(2.0) == 48.0


def test_what_was_computed_before_is_a_constant() -> None:
    w = Value(3.0)
    before = w * w

    def f(x: Any) -> Any:
        return before * x + before.data

    assert grad(f)(2.0) == 9.0
    assert grad(lambda x: before)(2.0) == 0.0
    slope = grad(f)(Value(2.0))
    slope.backward()
    assert w.grad == 6.0


def test_only_what_depends_on_the_inputs_is_differentiated(monkeypatch: pytest.MonkeyPatch) -> None:
    w = Value(2.0)
    long = w
    for _ in range(100):
        long = long * 1.01
    asked: list[Value] = []
    right = Rule.operands

    def operands(rule: Rule, node: Value) -> tuple[Any, ...]:
        asked.append(node)
        return right(rule, node)

    monkeypatch.setattr(Rule, "operands", operands)
    grad(lambda x: x * long)(Value(1.0))
    assert len(asked) < 10


# ---- No path of its own ------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", OPERATORS)
def test_no_slope_of_the_table_asks_for_a_path(name: str, order: int) -> None:
    w = Value(0.4)
    f: Any = getattr(functions, name) if name != "where" else lambda x: x
    if len(OPERATORS[name].slopes) == 1:
        kinds: list[Any] = [f]
    else:
        kinds = [lambda x, k=k: f(x, k) for k in (2.0, 3, 0.5, 1.0, 0.0, -1.0, w)]
        kinds += [lambda x: f(2.0, x), lambda x: f(w, x), lambda x: f(x, x)]
    for kind in kinds:
        for _ in range(order):
            kind = grad(kind)
        assert not trace(lambda x, kind=kind: x + kind(x), [0.3]).guards


def test_a_square_has_one_path_at_zero_too() -> None:
    c = compile(lambda x, y: grad(lambda x: (x * y) ** 2 + x**3)(x))
    numpy.testing.assert_allclose(c([0.0, -2.0, 1.0], [1.0, 0.0, 3.0]), [0.0, 12.0, 21.0])
    assert len(c.programs) == 1
    assert c.describe().startswith("rows x [mul")


# ---- By the parameters -------------------------------------------------------------------------

NORMAL = numpy.random.default_rng(0).normal
X, LABELS = NORMAL(size=(6, 3)), numpy.array([0.0, 1.0, 1.0, 0.0, 1.0, 0.0])


def _classifier() -> tuple[MLP, Callable[..., Any]]:
    net = MLP(3, [4, 2], activation="tanh", seed=0)

    def loss(x: Any, label: Any) -> Any:
        scores = net(x)
        return functions.logsumexp(scores) - where(label > 0.5, scores[1], scores[0])

    return net, loss


def _by_hand(loss: Callable[..., Any], parameters: list[Value]) -> list[list[float]]:
    """The gradient of each row by the engine."""
    found = []
    for x, label in zip(X.tolist(), LABELS.tolist(), strict=True):
        for parameter in parameters:
            parameter.grad = 0.0
        loss(x, label).backward()
        found.append([parameter.grad for parameter in parameters])
    return found


def test_the_gradient_of_each_row_by_the_parameters() -> None:
    net, loss = _classifier()
    c = compile(loss, parameters=net.parameters())
    found = c.gradients(X, LABELS)
    numpy.testing.assert_allclose(found, _by_hand(loss, net.parameters()), rtol=1e-12, atol=1e-15)
    _, gradient = c.value_and_grad(c.theta(), X, LABELS)
    numpy.testing.assert_allclose(found.mean(axis=0), gradient, rtol=1e-12, atol=1e-15)
    of_scores = compile(net, parameters=net.parameters()).gradients(X)
    assert of_scores.shape == (6, 2, 26)
    for place in range(2):
        one = compile(lambda x, place=place: net(x)[place], parameters=net.parameters())
        numpy.testing.assert_allclose(of_scores[:, place], one.gradients(X), rtol=1e-12, atol=1e-15)
    assert compile(lambda x: x * x).gradients([1.0, 2.0]).shape == (2, 0)


def test_all_ways_to_run_agree_on_derivatives_by_parameters() -> None:
    net, loss = _classifier()
    found = []
    for on in ("floats", "numpy", "machine"):
        c = compile(loss, on=on, parameters=net.parameters())
        theta, v = c.theta(), numpy.linspace(-1.0, 1.0, 26)
        found.append(
            [
                c.gradients(X, LABELS).ravel(),
                c.hvp_by_parameters(theta, v, X, LABELS),
                c.hvp(X, LABELS, v=numpy.ones((6, 4))).ravel(),
            ]
        )
    for other in found[1:]:
        for ours, theirs in zip(other, found[0], strict=True):
            numpy.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-14)


def test_gradients_are_those_of_the_branch_that_a_row_takes() -> None:
    a, b = Value(2.0), Value(3.0)
    c = compile(lambda x: a * x if x > 0 else b * x * x)
    assert c.gradients([1.0, -2.0, 3.0]).tolist() == [[1.0, 0.0], [0.0, 4.0], [3.0, 0.0]]
    a.data = 5.0
    d = compile(lambda x: a * x if a > 3 else b * x)
    assert d.gradients([2.0]).tolist() == [[2.0]]
    a.data = 1.0
    assert d.gradients([2.0]).tolist() == [[0.0, 2.0]]
    a.data = 5.0
    assert d.gradients([2.0]).tolist() == [[2.0, 0.0]]


def test_second_derivatives_by_the_parameters() -> None:
    net, loss = _classifier()
    c = compile(loss, parameters=net.parameters())
    theta, step = c.theta(), 1e-5
    before = net.state_dict()
    hessian = c.hessian_by_parameters(theta, X, LABELS)
    assert hessian.shape == (26, 26)
    moved = [
        c.value_and_grad(theta + way * step * unit, X, LABELS)[1]
        for unit in numpy.eye(26)
        for way in (1, -1)
    ]
    differences = (numpy.array(moved[::2]) - numpy.array(moved[1::2])) / (2 * step)
    numpy.testing.assert_allclose(hessian, differences, atol=1e-8)
    v = NORMAL(size=26)
    product = c.hvp_by_parameters(theta, v, X, LABELS)
    numpy.testing.assert_allclose(product, hessian @ v, rtol=1e-11, atol=1e-14)
    total = c.hvp_by_parameters(theta, v, X, LABELS, reduce="sum")
    numpy.testing.assert_allclose(total, 6 * product, rtol=1e-12)
    assert net.state_dict() == before


def test_second_derivatives_are_those_of_the_engine() -> None:
    u, w = Value(2.0), Value(-1.5)

    def f(u: Any, w: Any, x: Any) -> Any:
        return (u * x).sin() * w**3 + where(u > x, u * w, u * u) + functions.maximum(u, w * x)

    c = compile(lambda x: f(u, w, x), parameters=[u, w])
    rows, v = numpy.array([0.3, 2.5]), [0.7, -1.1]
    eager = numpy.zeros(2)
    for x in rows.tolist():
        along = grad(lambda a, b, x=x: functions.dot(grad(lambda c, d: f(c, d, x))(a, b), v))
        eager += along(2.0, -1.5)
    numpy.testing.assert_allclose(
        c.hvp_by_parameters([2.0, -1.5], v, rows, reduce="sum"), eager, rtol=1e-12
    )


def test_where_second_derivatives_are_not_finite_they_are_so_by_parameters_too() -> None:
    w = Value(0.0)
    c = compile(lambda x: functions.sqrt(w) * x, parameters=[w])
    theirs = grad(lambda a: grad(lambda b: functions.sqrt(b) * 2.0)(a) * 1.0)(0.0)
    found = c.hvp_by_parameters([0.0], [1.0], [2.0])
    numpy.testing.assert_equal(found, [theirs])


def test_second_derivatives_follow_branches_and_further_parameters() -> None:
    a, b = Value(2.0), Value(3.0)
    c = compile(lambda x: a * a * x if x > 0 else b * b * x * a)
    assert c.trace([1.0]).parameters == [a]
    c.trace([-1.0])
    theta = c.theta()
    found = c.hessian_by_parameters(theta, [1.0, -2.0], reduce="sum")
    assert found.tolist() == [[2.0, -12.0], [-12.0, -8.0]]
    # A comparison of parameters decides anew for the numbers that are given.
    d = compile(lambda x: a * a * x if a > 0 else a * a * a * x, parameters=[a])
    assert d.hessian_by_parameters([2.0], [1.0]).tolist() == [[2.0]]
    assert d.hessian_by_parameters([-2.0], [1.0]).tolist() == [[-12.0]]


def test_scipy_takes_second_derivatives_by_the_parameters() -> None:
    u, w = Value(-1.0), Value(2.0)
    c = compile(lambda x: (1 - u) ** 2 + 100 * (w - u * u) ** 2 * x, parameters=[u, w])
    for method, second in (("trust-ncg", {"hessp": c.hvp_by_parameters}),
                           ("trust-exact", {"hess": c.hessian_by_parameters})):  # fmt: skip
        found = optimize.minimize(
            c.value_and_grad, c.theta(), ([1.0, 1.0],), jac=True, method=method, **second
        )
        assert found.x == pytest.approx([1.0, 1.0], abs=1e-4)


def test_bad_vectors_are_one_sentence() -> None:
    w = Value(1.0)
    c = compile(lambda x: w * x, parameters=[w])
    with pytest.raises(ValueError, match=r"v has the shape \(1,\), .* but got \(2,\)"):
        c.hvp_by_parameters([1.0], [1.0, 2.0], [1.0])
    with pytest.raises(TypeError, match="hvp_by_parameters takes theta and a vector, then an"):
        c.hvp_by_parameters([1.0], [1.0])
    with pytest.raises(TypeError, match="that of one Value, but the function returns a list"):
        compile(lambda x: [w * x]).trace([1.0]).hvp_by_parameters([1.0], [1.0], [1.0])
    with pytest.raises(ValueError, match='reduce is "mean" or "sum"'):
        c.hessian_by_parameters([1.0], [1.0], reduce="max")
    none = compile(lambda x: x * x)
    assert none.trace([1.0]).hvp_by_parameters([], [], [1.0]).shape == (0,)
    assert none.hessian_by_parameters([], [1.0]).shape == (0, 0)


# ---- One theta ---------------------------------------------------------------------------------


def test_functions_of_one_list_of_parameters_share_theta() -> None:
    w = [Value(1.0), Value(2.0), Value(3.0)]

    def of(length: int) -> Any:
        def f(xs: Any) -> Any:
            return functions.sum([w[k] * xs[k] ** 2 for k in reversed(range(length))])

        return compile(f, parameters=w)

    short, long = of(2), of(3)
    assert short.parameters == w  # before a row was seen
    short.assign([1.0, 2.0, 3.0])
    assert short.theta().tolist() == [1.0, 2.0, 3.0]
    value, gradient = short.value_and_grad(short.theta(), [[1.0, 2.0]])
    assert (value, gradient.tolist()) == (9.0, [1.0, 4.0, 0.0])
    value, gradient = long.value_and_grad(short.theta(), [[1.0, 2.0, 3.0]])
    assert (value, gradient.tolist()) == (36.0, [1.0, 4.0, 9.0])
    short.mean([[1.0, 1.0]]).backward()
    assert [p.grad for p in w] == [1.0, 1.0, 0.0]
    assert short.gradients([[1.0, 2.0]]).tolist() == [[1.0, 4.0, 0.0]]
    short.assign([4.0, 5.0, 6.0])
    assert short.retrace().theta().tolist() == [4.0, 5.0, 6.0]
    del w[2]  # nobody needs it: the function does not use it
    assert short([[1.0, 1.0]]).tolist() == [9.0]


def test_a_parameter_that_is_not_listed_is_refused() -> None:
    w, b = Value(1.0), Value(2.0)
    c = compile(lambda x: w * x if x > 0 else w * x + b, parameters=[w])
    assert c([1.0]).tolist() == [1.0]
    with pytest.raises(TracingError, match="uses b, a parameter that is not in the list"):
        c([-1.0])
    with pytest.raises(TypeError, match=r"parameters is a list of Values, .* but got 3"):
        compile(lambda x: w * x, parameters=3)
    with pytest.raises(TypeError, match="but got one with 'w'"):
        compile(lambda x: w * x, parameters=["w"])
    with pytest.raises(ValueError, match="a result of mul is no parameter"):
        compile(lambda x: w * x, parameters=[w * 2])


def test_a_listed_parameter_that_was_replaced_is_noticed() -> None:
    model = MLP(2, [70, 1], seed=0)
    c = compile(model, parameters=model.parameters())
    c.mean([[1.0, 2.0]])
    model.layers[0].neurons[60].w[1] = Value(5.0)
    with pytest.raises(ValueError, match="is another Value than when the function was traced"):
        c.mean([[1.0, 2.0]])
    row = numpy.array([Value(1.0) for _ in range(100)], object)
    c = compile(lambda x: row[70] * x, parameters=row.tolist())
    c.mean([1.0])
    row[70] = Value(5.0)
    with pytest.raises(ValueError, match="nobody but this compiled function"):
        c.mean([1.0])


def test_a_copy_has_the_parameters_of_its_function() -> None:
    model = MLP(2, [1], seed=0)
    c = compile(model, parameters=model.parameters())
    twin = copy.deepcopy(c)
    own: Any = twin.function
    assert twin.parameters == own.parameters() != model.parameters()
    assert twin([[1.0, 2.0]]) == c([[1.0, 2.0]])
    w = Value(2.0)
    assert copy.deepcopy(compile(lambda x: w * x, parameters=[w])).parameters == [w]


# ---- No rows -----------------------------------------------------------------------------------


def test_a_function_without_arguments_has_no_rows() -> None:
    at = [Value(1.0), Value(3.0)]
    c = compile(lambda: (at[0] - at[1]) ** 2 + at[0])
    assert c.theta().tolist() == [1.0, 3.0]  # without a call before
    assert c() == 5.0
    assert isinstance(c(), float)
    total = c.mean()
    total.backward()
    assert (total.item(), c.sum().item()) == (5.0, 5.0)
    assert [p.grad for p in at] == [-3.0, 4.0]
    value, gradient = c.value_and_grad([0.0, 2.0])
    assert (value, gradient.tolist()) == (4.0, [-3.0, 4.0])
    assert c.gradients().tolist() == [-3.0, 4.0]
    assert c.hvp_by_parameters(c.theta(), [1.0, 0.0]).tolist() == [2.0, -2.0]
    assert c.hessian_by_parameters(c.theta()).tolist() == [[2.0, -2.0], [-2.0, 2.0]]
    assert c.trace() is c
    with pytest.raises(TypeError, match="was traced with 0 arguments, but got 1 array"):
        c([1.0])
    for takes_rows in (lambda x=1.0: at[0] * x, lambda *x: at[0] * x[0]):
        with pytest.raises(TypeError, match=r"an array for each argument, .* but got none"):
            compile(takes_rows)()
        with pytest.raises(ValueError, match="was not traced yet"):
            compile(takes_rows).theta()
    both = compile(lambda: [at[0], at[0] * at[1]])
    assert both().tolist() == [1.0, 3.0]
    assert both.gradients().tolist() == [[1.0, 0.0], [3.0, 1.0]]
    with pytest.raises(TypeError, match="that of one Value, but the function returns a list"):
        both.mean()


def test_a_function_without_arguments_decides_anew() -> None:
    a = Value(2.0)
    c = compile(lambda: a * a if a > 0 else -a)
    assert c() == 4.0
    a.data = -3.0
    assert c() == 3.0
    assert c.gradients().tolist() == [-1.0]
    with pytest.raises(TracingError, match=r"gives a number, .* call c\.function\(\) there"):
        compile(lambda x: x * c())([2.0])
    whole = compile(lambda x: x * c.function())
    whole.mean([2.0]).backward()
    assert (whole([2.0]).tolist(), a.grad) == ([6.0], -2.0)


def test_a_jacobian_that_is_asked_for_again_and_again_is_carried_forward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(derived, "FORWARD", 50)
    c = compile(lambda x, y: [(k * x + y).sin() * x for k in range(30)])
    first = c.jacobian([0.5], [2.0])  # by thirty passes back
    assert "jacobian" not in c._derived
    for _ in range(3):
        again = c.jacobian([0.5], [2.0])
    assert "jacobian" in c._derived
    numpy.testing.assert_allclose(again, first, rtol=1e-13)


# ---- Random programs ---------------------------------------------------------------------------


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("seeds", [range(start, start + 10) for start in (1000, 2000)], ids=str)
def test_random_programs_have_the_derivatives_of_the_engine(seeds: range, special: bool) -> None:
    for seed in seeds:
        program = Program(seed)
        columns, target = program.examples(3, special)
        own = program.parameters
        c = compile(program, parameters=own)
        found = c.gradients(columns, target).reshape(len(target), -1, len(own))
        along = numpy.linspace(-1.0, 1.3, len(own)).tolist()
        product, bound = numpy.zeros(len(own)), numpy.full(len(own), 1e-13)
        for row, (x, y) in enumerate(zip(columns, target, strict=True)):
            for k in range(program.outputs):
                gradient = partial(_by_parameters, program, x, y, k)
                slopes = gradient(*[Value(p.data) for p in own])
                assert all(map(close, found[row, k], map(bounded, slopes))), (seed, row, k)
            if program.outputs == 1:
                with logsumexp_as_compiled(), numpy.errstate(all="ignore"):
                    again = grad(lambda *ps, g=gradient, v=along: functions.dot(g(*ps), v))
                    for place, number in enumerate(again(*[Value(p.data) for p in own])):
                        product[place] += float(number)
                        bound[place] += 10 * error_bound(number) + abs(float(number)) * 1e-15
        if program.outputs == 1:
            ours = c.hvp_by_parameters(c.theta(), along, columns, target, reduce="sum")
            assert all(map(agree, ours, product, bound)), (seed, ours, product)


def _by_parameters(program: Program, x: Any, y: float, k: int, *parameters: Value) -> list[Value]:
    """The gradient of an output by the parameters of a program, as Values."""
    own = program.parameters

    def of(*parameters: Value) -> Value:
        program.parameters = list(parameters)
        try:
            out: Value = flat(program(*program.row(x, y, Value)))[k]
            return out
        finally:
            program.parameters = own

    return list(grad(of)(*parameters))
