"""Parameters in arrays: nobody who looks at one of them can tell."""

from __future__ import annotations

import copy
import gc
import itertools
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy
import pytest

from microgradlike import Value, compile, grad, no_grad, optim, shelf
from microgradlike.nn import MLP, Module, Structure
from microgradlike.shelf import FEWEST, SOON, Group, Shelved

COUNT = 2 * FEWEST


def leaves(count: int = COUNT) -> list[Value]:
    return [Value(float(k), label=f"p{k}") for k in range(count)]


def shelved(values: list[Value]) -> Group:
    """A group of them, which has been used until they were on a shelf."""
    group = Group(values)
    for _ in range(SOON + 1):
        group.numbers()
    assert type(values[0]) is Shelved
    return group


def test_what_is_read_and_written_together_is_on_a_shelf_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shelf, "written_soon", lambda: False)  # whatever other tests have left
    values = leaves()
    group = shelved(values)
    group.write(numpy.arange(COUNT) * 2.0)
    group.add(numpy.ones(COUNT))
    group.add(numpy.ones(COUNT - 1))  # of a gradient from before the last one was met
    assert group.numbers().tolist() == [2.0 * k for k in range(COUNT)]
    assert group.gradients().tolist() == [2.0] * (COUNT - 1) + [1.0]
    assert values[3].data == 6.0
    assert type(values[3]) is Shelved
    assert values[3].grad == 2.0
    assert type(values[3]) is type(Value(0.0))  # who reads a gradient has them all back
    assert [v.data for v in values] == [2.0 * k for k in range(COUNT)]
    assert group.gradients().tolist() == [v.grad for v in values]


def test_few_leaves_and_those_of_other_classes_stay_where_they_are() -> None:
    class Mine(Value):
        pass

    few, own = leaves(FEWEST - 1), [*leaves(), Mine(1.0)]
    for values in (few, own):
        group = Group(values)
        for _ in range(SOON * 3):
            group.write(group.numbers() + 1.0)
            group.write_gradients(1.0)
        assert not any(isinstance(v, Shelved) for v in values)
        assert [v.data for v in values] == group.numbers().tolist()


def test_what_is_written_one_by_one_is_seen() -> None:
    values = leaves()
    group = shelved(values)
    values[1].data = 7
    values[2].grad = 3
    assert type(values[1]) is Shelved
    assert isinstance(values[1].data, float)
    assert group.numbers()[1] == 7.0
    assert group.gradients()[2] == 3.0
    with pytest.raises(TypeError, match=r"v\.data = "):
        values[1].data = "7"  # type: ignore[assignment]
    assert values[1].label == "p1"
    values[1].momentum = 0.5  # type: ignore[attr-defined]
    assert repr(values[1]) == "Value(data=7.0, grad=0.0, label='p1')"


def test_operations_and_backward_passes_are_as_ever() -> None:
    plain, values = leaves(), leaves()

    def loss(ps: list[Value]) -> Value:
        total = 1.0 * ps[0]
        for p, q in itertools.pairwise(ps):
            total = total + (p - q).tanh() * p + 2.0 / (1.0 + q)
        return total

    group = shelved(values)
    group.write_gradients(1.0)
    for p in plain:
        p.grad = 1.0
    for ps in (plain, values):
        loss(ps).backward()
    assert [p.grad for p in values] == [p.grad for p in plain]
    assert grad(lambda x: x * values[5] * values[5])(2.0) == 25.0
    assert (values[1] == 1.0, values[1] == values[2], values[2] > values[1]) == (True, False, True)


def test_looking_at_many_numbers_ends_it_and_then_it_waits() -> None:
    values = leaves()
    group = shelved(values)
    for _ in range(3):
        assert sum(v.data for v in values[:10]) == 45.0
        group.numbers()  # one after the other, so that few were looked at in between
    assert type(values[0]) is Shelved
    assert sum(v.data for v in values) == COUNT * (COUNT - 1) / 2
    assert not isinstance(values[0], Shelved)
    for _ in range(2 * SOON):
        group.numbers()
    assert not isinstance(values[0], Shelved)  # somebody looks at them all the time
    for _ in range(10 * SOON):
        group.numbers()
    assert isinstance(values[0], Shelved)


def test_groups_that_overlap_share_a_shelf() -> None:
    values = leaves()
    first, last = values[: FEWEST + 5], values[-FEWEST - 5 :][::-1]
    one, other = shelved(first), Group(last)
    for _ in range(3):
        other.add(numpy.ones(len(last)))
        one.write_gradients(0.0)
        one.add(numpy.full(len(first), 2.0))
    wanted = [2.0] * len(first) + [3.0] * (COUNT - len(first))
    assert Group(values).gradients().tolist() == wanted
    assert other.numbers().tolist() == [float(k) for k in reversed(range(COUNT))][: len(last)]
    assert type(values[0]) is Shelved is type(values[-1])
    assert [v.grad for v in values] == wanted


def test_a_number_that_results_were_computed_with_is_told() -> None:
    values = leaves()
    group = shelved(values)
    before = values[3] * values[3]
    group.write(numpy.zeros(COUNT))
    with pytest.raises(RuntimeError, match="was changed after it had been used"):
        before.backward()
    del before
    shelved(values)
    group.write(numpy.ones(COUNT))
    assert (values[0] * values[1]).data == 1.0


def test_copies_are_of_leaves_that_are_on_no_shelf() -> None:
    ways: list[Any] = [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))]
    for copied in ways:
        values = leaves()
        shelved(values)
        twin = copied(values[3])
        assert (twin.data, twin.label, type(twin)) == (3.0, "p3", type(Value(0.0)))
        twin.data = 9.0
        assert values[3].data == 3.0
    values = leaves()
    shelved(values)
    twins = copy.deepcopy(values)
    assert [v.data for v in twins] == [v.data for v in values]
    optimizer = optim.Adam(values)
    again = copy.deepcopy(optimizer)
    again.parameters[0].grad = 1.0
    again.step()
    assert again.parameters[0].data != values[0].data == 0.0
    assert "_group" not in optimizer.state_dict()


def test_a_shelf_keeps_no_leaf_alive() -> None:
    values = leaves()
    group = shelved(values)
    dead = weakref.ref(values[0])
    gc.disable()
    try:
        del values, group
        assert dead() is None
    finally:
        gc.enable()


def test_no_gradient_of_a_thread_is_lost() -> None:
    values = leaves()
    group = shelved(values)

    def work() -> None:
        for _ in range(50):
            (values[0] * values[1] + values[2]).backward()
            with no_grad():
                group.numbers()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [v.grad for v in values[:3]] == [200.0, 0.0, 200.0]


def test_an_interrupt_leaves_every_leaf_its_number() -> None:
    values = leaves()
    group = shelved(values)
    group.write_gradients(1.0)
    shelf = values[0]._home[0]  # type: ignore[attr-defined]
    references = shelf._leaves[:]

    def interrupted() -> Value:
        raise KeyboardInterrupt

    shelf._leaves[5] = interrupted
    with pytest.raises(KeyboardInterrupt):
        values[7].grad  # noqa: B018
    shelf._leaves[:] = references
    assert [type(v) is Shelved for v in values[4:7]] == [False, True, True]
    values[4].data, values[6].data = -4.0, -6.0
    assert group.numbers()[3:8].tolist() == [3.0, -4.0, 5.0, -6.0, 7.0]
    assert group.gradients().tolist() == [1.0] * COUNT
    assert [v.grad for v in values] == [1.0] * COUNT


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda ps: optim.SGD(ps, lr=0.1),
        lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True),
        lambda ps: optim.Adam(ps, lr=0.1),
        lambda ps: optim.RMSprop(ps, lr=0.1),
    ],
)
def test_the_plain_loop_is_as_with_single_numbers(optimizer: Callable[..., Any]) -> None:
    X = numpy.random.default_rng(0).normal(size=(5, 3))
    found = []
    for looks in (False, True):
        model = MLP(3, [16, 1], seed=0)
        c = compile(lambda x, model=model: model(x) ** 2)
        step = optimizer(model.parameters())
        for _ in range(3 * SOON):
            loss = c.mean(X)
            model.zero_grad()
            loss.backward()
            optim.clip_grad_norm(model.parameters(), 1.0)
            step.step()
            if looks:  # so that all of them have their numbers back in each step
                assert all(p.grad <= 1.0 for p in model.parameters())
            model.layers[0].neurons[0].b.data = 0.25
        assert isinstance(model.parameters()[0], Shelved) is not looks
        found.append((loss.item(), [p.data for p in model.parameters()]))
    assert found[0] == found[1]


# ---- The structure of a model ------------------------------------------------------------------


def test_zero_grad_finds_what_the_model_holds_by_now() -> None:
    model: Any = MLP(2, [40, 1], seed=0)

    def zeroed() -> bool:
        for p in model.parameters():
            p.grad = 1.0
        model.zero_grad()
        return all(p.grad == 0.0 for p in model.parameters())

    assert zeroed()
    model.layers[0].neurons[3].w[1] = Value(2.0)
    assert zeroed()
    model.extra = 1.0
    assert zeroed()
    model.extra = Value(1.0)  # which is equal
    assert zeroed()
    model.more = {"a": [], "b": (Value(1.0), numpy.array([Value(2.0)], object))}
    assert zeroed()
    model.more["a"].append(Value(3.0))
    assert zeroed()
    model.more["b"][1][0] = Value(4.0)
    assert zeroed()
    del model.layers[1].neurons[0]
    model.layers[1].neurons.append(MLP(3, [1], seed=1))
    assert zeroed()
    model.head = model.layers.pop()
    assert zeroed()


def test_a_module_with_parameters_of_its_own_choice() -> None:
    class Half(Module):
        def __init__(self) -> None:
            self.first, self.second = Value(1.0), Value(2.0)

        def parameters(self) -> list[Value]:
            return [self.first]

    half = Half()
    half.first.grad = half.second.grad = 1.0
    half.zero_grad()
    assert (half.first.grad, half.second.grad) == (0.0, 1.0)


def test_a_model_that_nobody_has_any_more_is_let_go() -> None:
    model = MLP(2, [2], seed=0)
    model.zero_grad()
    dead = weakref.ref(model)
    del model
    gc.collect()
    assert dead() is None


def test_structures_hold_the_very_same_things() -> None:
    w = Value(1.0)
    within: Any = {"a": [w, Value(2.0)], "b": ([3.0], numpy.array([w, None], object))}
    structure = Structure(within)
    assert structure.is_same()
    assert [v.data for v in structure.group.values] in ([1.0, 2.0], [2.0, 1.0])
    within["b"][0].append(4.0)
    assert not structure.is_same()
    structure = Structure(within)
    within["b"][1][1] = w
    assert not structure.is_same()
    structure = Structure(within)
    within["a"] = list(within["a"])
    assert not structure.is_same()
