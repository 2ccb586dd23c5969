"""Faults that are put into the passes on purpose: each breaks a law, or gives another number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy
import pytest

from microgradlike import Value, compile, functions, grad, take
from microgradlike.compiler import passes, plan, verify
from microgradlike.compiler.forms import Forms
from microgradlike.compiler.grouping import group
from microgradlike.compiler.instructions import (
    HERE,
    Elementwise,
    Fold,
    Layer,
    Mask,
    Operand,
    Products,
    Singles,
    Take,
)
from microgradlike.compiler.operations import CODES
from microgradlike.compiler.plan import Back
from microgradlike.compiler.program import Stage
from tests.executors import all_singles

DRAW = numpy.random.default_rng(3)
WEIGHTS = [list(map(Value, row)) for row in DRAW.normal(size=(3, 4)).tolist()]
BIAS, SCALE = [Value(0.3), Value(-0.2), Value(0.1)], Value(0.7)
PARAMETERS = [*(w for row in WEIGHTS for w in row), *BIAS, SCALE]
X, Y = DRAW.normal(size=(6, 4)), DRAW.normal(size=6)


def f(x: Any, y: Any) -> Any:
    """Something of each kind of instruction."""
    h = [functions.dot(row, x) + b for row, b in zip(WEIGHTS, BIAS, strict=True)]
    largest = functions.maximum(functions.maximum(h[0], h[1]), h[2])
    products = x[0] * x[1] + x[1] * x[2] + x[2] * x[3]
    penalty = functions.dot(WEIGHTS[0], WEIGHTS[0]) + functions.exp(SCALE) * SCALE
    chosen = functions.where(x[0] > y, functions.sqrt(x[0] - y), h[2])
    ratio = (x[3] - y) / (1.0 + y * y)
    return functions.logsumexp(h) * SCALE + largest - products * ratio + chosen - penalty


def g(x: Any, y: Any) -> Any:
    """Single operations, most of which have little in common."""
    a, b = functions.sin(x[0]) - y, functions.exp(x[1] * 0.1)
    for k in range(6):
        a, b = functions.tanh(a * b) - y * SCALE, functions.sqrt(a * a + 1.0) / (k + 1.0)
    return functions.where(a > b, a - b, b * a * SCALE)


def h(x: Any, y: Any) -> Any:
    """Rows of a table, and numbers computed once, by an index that is computed."""
    index = functions.floor(functions.abs(x[0] + y) % 3)
    row = take(WEIGHTS, index)
    return functions.dot(row, x) * take([functions.exp(b) for b in BIAS], index) - y


def compare(function: Callable[..., Any]) -> None:
    """The compiled function, on two executors, and the engine."""
    for on in ("floats", "numpy"):
        c = compile(function, check=False, on=on)
        values, slopes = c(X, Y), c.jacobian(X, Y)[:, 0]
        _, gradient = c.value_and_grad(c.theta(), X, Y, reduce="sum")
        total = dict.fromkeys(PARAMETERS, 0.0)
        for row, (x, y) in enumerate(zip(X.tolist(), Y.tolist(), strict=True)):
            given = list(map(Value, x)), Value(y)
            out = function(*given)
            assert values[row] == pytest.approx(out.data, rel=1e-9)
            by_x, by_y = grad(function)(*given)
            assert slopes[row] == pytest.approx([*map(float, by_x), float(by_y)], rel=1e-9)
            for p in PARAMETERS:
                p.grad = 0.0
            out.backward()
            for p in PARAMETERS:
                total[p] += p.grad
        assert gradient == pytest.approx([total[p] for p in c.parameters], rel=1e-9)


# ---- The faults: each changes what a pass has made ---------------------------------------------


def of_kind(kind: type, change: Callable[[Any], Any], which: int = 0) -> Callable[[Any], Any]:
    """Change one instruction of a kind, among those of the rows."""

    def changed(grouped: Any) -> Any:
        places = [k for k, i in enumerate(grouped.rows) if isinstance(i, kind)]
        if not places:  # the program that computes indices
            return grouped
        rows = list(grouped.rows)
        rows[places[which]] = change(rows[places[which]])
        return grouped._replace(rows=rows)

    return changed


def on(name: str, which: int = 0) -> Callable[[Any], int]:
    return lambda grouped: [
        k for k, i in enumerate(grouped.rows) if getattr(i, "operation", "") == name
    ][which]


def named(name: str, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def changed(grouped: Any) -> Any:
        rows, place = list(grouped.rows), on(name)(grouped)
        rows[place] = change(rows[place])
        return grouped._replace(rows=rows)

    return changed


def swapped_operands(i: Elementwise) -> Elementwise:
    return replace(i, operands=i.operands[::-1])


def without_last(grouped: Any) -> Any:
    return grouped._replace(rows=grouped.rows[:-1])


def backwards(grouped: Any) -> Any:
    return grouped._replace(rows=grouped.rows[::-1])


def an_instruction_twice(grouped: Any) -> Any:
    return grouped._replace(rows=[*grouped.rows, grouped.rows[-1]])


def a_lost_term(parts: Any) -> Any:
    kept = numpy.arange(len(parts.first)) != 1
    bounds = numpy.where(parts.bounds > 1, parts.bounds - 1, parts.bounds)
    columns = {name: getattr(parts, name)[kept] for name in ("kind", "first", "second", "sign")}
    return parts._replace(bounds=bounds, **columns)


def a_wrong_sign(parts: Any) -> Any:
    return parts._replace(sign=-parts.sign)


def a_lost_bias(parts: Any) -> Any:
    return parts._replace(bias=numpy.full_like(parts.bias, parts.zero))


def a_level_too_low(levels: Any) -> Any:
    level = levels.level.copy()
    level[levels.computed[2][-1]] = 1
    return levels._replace(level=level)


def something_not_computed(levels: Any) -> Any:
    return levels._replace(computed={**levels.computed, 2: levels.computed[2][1:]})


def in_the_wrong_list(levels: Any) -> Any:
    once, rows = levels.computed[1], levels.computed[2]
    moved = {1: numpy.append(once, rows[0]), 2: rows[1:]}
    return levels._replace(computed=moved)


def a_slot_too_far(program: Any) -> Any:
    rows = list(program.rows.instructions)
    rows[2] = replace(rows[2], outs=rows[2].outs + 1)
    return replace(program, rows=Stage(tuple(rows), program.rows.slots + 1))


def nothing_watched(program: Any) -> Any:
    return replace(program, watched=(program.watched[0][:0], program.watched[1][:0]))


def another_constant(program: Any) -> Any:
    return replace(program, constants=program.constants + 1.0)


def another_output(program: Any) -> Any:
    return replace(program, outputs=[(once, slot - 1) for once, slot in program.outputs])


def parameters_in_another_order(program: Any) -> Any:
    return replace(program, parameters=program.parameters[::-1])


def changed_sends(change: Callable[[int, Any], Any]) -> Callable[[Any], Any]:
    """Change what is sent: by its place among all that is sent to slots of the rows."""

    def changed(found: Any) -> Any:
        backs, place = [], 0
        for back in found.backward:
            sends = []
            for send in back.sends:
                new = change(place, send)
                place += not numpy.all(send.once)
                sends += [new] if new is not None else []
            backs.append(Back(back.instruction, tuple(sends)))
        return replace(found, backward=tuple(backs))

    return changed


def all_assign(place: int, send: Any) -> Any:
    return send._replace(
        assigns=numpy.ones_like(send.assigns) if numpy.ndim(send.assigns) else True
    )


def none_assigns(place: int, send: Any) -> Any:
    new = numpy.zeros_like(send.assigns) if numpy.ndim(send.assigns) else False
    return send._replace(assigns=new)


def one_lost(place: int, send: Any) -> Any:
    return None if place == 2 else send


def nothing_for_the_table(found: Any) -> Any:
    backs = [
        Back(back.instruction, tuple(send for send in back.sends if send.name != "table"))
        for back in found.backward
    ]
    return replace(found, backward=tuple(backs))


def out_of_order(found: Any) -> Any:
    return replace(found, backward=found.backward[::-1])


def nothing_cleared(found: Any) -> Any:
    return replace(found, clear=found.clear[:0])


def products_for_sums(i: Singles) -> Singles:
    add, mul = CODES["add"], CODES["mul"]
    return replace(i, operations=numpy.where(i.operations == add, mul, i.operations))


def sides(x: Any, y: Any) -> Any:
    """A sine that one side of a branch needs, and an exponential that everybody needs."""
    e = functions.exp(x[0])
    return functions.where(y > 0, functions.sin(x[1]) * WEIGHTS[0][0], e) + e * BIAS[0]


def waiting_for_the_sine(grouped: Any) -> Any:
    mask = grouped.rows[on("sin")(grouped)].mask
    return named("exp", lambda i: replace(i, mask=mask))(grouped)


def the_sine_first(grouped: Any) -> Any:
    rows, place = list(grouped.rows), on("sin")(grouped)
    return grouped._replace(rows=[rows.pop(place), *rows])


FAULTS: dict[str, tuple[Any, str, Callable[[Any], Any], str]] = {
    # name: the function, the pass, the fault, and who finds it
    "a term is lost": (f, "split", a_lost_term, "comparison"),
    "the sign of terms is wrong": (f, "split", a_wrong_sign, "comparison"),
    "biases are lost": (f, "split", a_lost_bias, "comparison"),
    "what is compared is in another order": (g, "Forms", lambda made: Forms(made.graph), "law"),
    "a level is too low": (f, "find", a_level_too_low, "law"),
    "something is not computed": (f, "find", something_not_computed, "law"),
    "something is in the wrong list": (f, "find", in_the_wrong_list, "law"),
    "operands are swapped": (f, "group", named("truediv", swapped_operands), "comparison"),
    "an operation is another one": (
        *(f, "group", named("sqrt", lambda i: replace(i, operation="exp")), "comparison"),
    ),
    "the last instruction is lost": (f, "group", without_last, "law"),
    "an instruction writes late": (f, "group", backwards, "law"),
    "an instruction runs twice": (f, "group", an_instruction_twice, "law"),
    "the values of a layer are in another order": (
        *(f, "group", of_kind(Layer, lambda i: replace(i, values=i.values[:, ::-1])), "comparison"),
    ),
    "a layer is transposed": (
        *(f, "group", of_kind(Layer, lambda i: replace(i, weights=i.weights.T)), "law"),
    ),
    "a layer lacks a bias": (
        *(f, "group", of_kind(Layer, lambda i: replace(i, bias=i.bias[:, 1:])), "law"),
    ),
    "one factor of products is the other one": (
        *(f, "group", of_kind(Products, lambda i: replace(i, second=i.first)), "comparison"),
    ),
    "a fold lacks a value": (
        *(f, "group", of_kind(Fold, lambda i: replace(i, values=i.values[:, 1:])), "comparison"),
    ),
    "a mask is lost": (*(f, "group", named("sqrt", lambda i: replace(i, mask=Mask())), "law"),),
    "a mask is another one": (
        *(f, "group", named("sqrt", lambda i: replace(i, mask=Mask(HERE, i.outs))), "law"),
    ),
    "an operand is computed later": (
        *(f, "group"),
        named("sqrt", lambda i: replace(i, operands=(Operand(False, i.outs),))),
        "law",
    ),
    "a slot is another one": (f, "place", a_slot_too_far, "law"),
    "nothing is watched": (f, "place", nothing_watched, "law"),
    "a constant is another one": (f, "place", another_constant, "comparison"),
    "an output is another one": (f, "place", another_output, "comparison"),
    "parameters are in another order": (f, "place", parameters_in_another_order, "comparison"),
    "all errors are written": (f, "plan", changed_sends(all_assign), "law"),
    "no error is written": (f, "plan", changed_sends(none_assigns), "law"),
    "an error is not sent": (f, "plan", changed_sends(one_lost), "law"),
    "errors are sent out of order": (f, "plan", out_of_order, "law"),
    "nothing is cleared": (f, "plan", nothing_cleared, "law"),
    "single operations are in another order": (
        *(g, "group"),
        of_kind(Singles, lambda i: replace(i, outs=i.outs[::-1])),
        "law",
    ),
    "single operations are other ones": (
        *(g, "group"),
        of_kind(Singles, products_for_sums),
        "comparison",
    ),
    "of single operations all errors are written": (g, "plan", changed_sends(all_assign), "law"),
    "a table lacks a column": (
        *(h, "group", of_kind(Take, lambda i: replace(i, table=i.table[:, 1:])), "law"),
    ),
    "the entries of a table are in another order": (
        *(h, "group", of_kind(Take, lambda i: replace(i, table=i.table[::-1])), "comparison"),
    ),
    "an index is computed later": (
        *(h, "group", of_kind(Take, lambda i: replace(i, index=i.outs[:1])), "law"),
    ),
    "a table gets no errors": (h, "plan", nothing_for_the_table, "law"),
    "an operation is left out that somebody needs": (sides, "group", waiting_for_the_sine, "law"),
    "an operation does not wait for its condition": (sides, "group", the_sine_first, "law"),
}


@pytest.mark.parametrize("function", [f, g, h, sides])
def test_without_a_fault_all_laws_hold_and_all_numbers_agree(
    function: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verify.CHECKING
    if function is g:
        all_singles(monkeypatch)
    compare(function)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, where, fault, found_by = FAULTS[name]
    if function is g:
        all_singles(monkeypatch)
    if where == "plan":
        made = plan.Plan

        def planned(*given: Any) -> Any:
            found = made(*given)
            return fault(found) if found.mode else found

        monkeypatch.setattr(plan, "Plan", planned)
    else:
        right = getattr(passes, where)
        monkeypatch.setattr(passes, where, lambda given: fault(right(given)))
        if where in ("Forms", "split", "group"):
            monkeypatch.setattr(passes, where, lambda *given: fault(right(*given)))
    if found_by == "law":
        with pytest.raises(verify.BrokenLaw):
            compare(function)
        return
    with pytest.raises((AssertionError, ValueError)) as caught:
        compare(function)
    assert not isinstance(caught.value, verify.BrokenLaw)


def test_a_law_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "group", lambda *given: backwards(group(*given)))
    with pytest.raises(verify.BrokenLaw, match="reads what is not computed yet"):
        compile(f, check=False)(X, Y)
