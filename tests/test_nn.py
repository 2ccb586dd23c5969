"""Networks: their arithmetic, names, initialisation, and the files they are kept in."""

from __future__ import annotations

import copy
import json
import math
import os
import random
from pathlib import Path
from typing import Any

import numpy
import pytest

from microgradlike import Value, no_grad, tanh
from microgradlike.nn import MLP, Layer, Module, Neuron

# ---- Arithmetic --------------------------------------------------------------------------------


def test_a_neuron_is_a_weighted_sum_and_an_activation() -> None:
    neuron = Neuron(2, activation="tanh", seed=0)
    w0, w1, b = (p.data for p in neuron.parameters())
    assert neuron([0.5, -2.0]).data == math.tanh(b + w0 * 0.5 + w1 * -2.0)
    assert Neuron(2, nonlin=False, seed=0)([1.0, 1.0]).op == "add"


def test_an_mlp_is_its_layers_one_after_the_other() -> None:
    model = MLP(3, [4, 2], activation="sigmoid", seed=1)
    x = numpy.array([0.1, -0.2, 0.3])
    w1, b1, w2, b2 = _matrices(model)
    hidden = 1 / (1 + numpy.exp(-(w1 @ x + b1)))
    assert [out.data for out in model(x)] == pytest.approx(w2 @ hidden + b2, rel=1e-14)


def test_the_gradient_of_an_mlp_follows_the_layer_errors() -> None:
    model = MLP(3, [4, 1], activation="tanh", seed=1)
    x = numpy.array([0.1, -0.2, 0.3])
    model(x).backward()
    w1, b1, w2, _ = _matrices(model)
    hidden = numpy.tanh(w1 @ x + b1)
    delta = w2[0] * (1 - hidden**2)  # the delta of the next layer is 1
    for neuron, error in zip(model.layers[0].neurons, delta, strict=True):
        assert [w.grad for w in neuron.w] == pytest.approx(error * x, rel=1e-13)
        assert neuron.b.grad == pytest.approx(error, rel=1e-13)


def _matrices(model: MLP) -> list[Any]:
    return [
        numpy.array(part)
        for layer in model.layers
        for part in (
            [[w.data for w in neuron.w] for neuron in layer.neurons],
            [neuron.b.data for neuron in layer.neurons],
        )
    ]


def test_a_single_output_comes_alone_and_a_layer_of_one_can_be_in_the_middle() -> None:
    assert isinstance(MLP(2, [3, 1], seed=0)([1, 2]), Value)
    assert len(MLP(2, [1, 3], seed=0)([1, 2])) == 3


def test_inputs_may_be_values_arrays_tuples_and_numbers_of_any_kind() -> None:
    model = MLP(2, [3, 1], seed=0)
    expected = model([1.0, 2.0]).data
    x = Value(1.0)
    for inputs in ([x, 2], (1, 2.0), numpy.array([1, 2]), numpy.array([x, 2.0], dtype=object)):
        assert model(inputs).data == expected
    for part in (model, model.layers[0], Neuron(2, seed=0)):
        assert str(part(v for v in (1, 2))) == str(part([1, 2]))
    model([x, 2]).backward()
    assert x.grad != 0


# ---- micrograd's surface -----------------------------------------------------------------------


def test_what_micrograd_users_write_works() -> None:
    random.seed(1337)
    model = MLP(2, [16, 16, 1])
    assert repr(model).startswith("MLP of [Layer of [ReLUNeuron(2), ReLUNeuron(2)")
    assert repr(model).endswith("Layer of [LinearNeuron(16)]]")
    assert len(model.parameters()) == 337
    scores = [model(list(map(Value, row))) for row in ([0.1, 0.2], [-0.3, 0.4])]
    losses = [(1 + -label * score).relu() for label, score in zip([1, -1], scores, strict=True)]
    total = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in model.parameters())
    model.zero_grad()
    total.backward()
    before = total.data
    for p in model.parameters():
        p.data -= 0.01 * p.grad
    scores = [model(list(map(Value, row))) for row in ([0.1, 0.2], [-0.3, 0.4])]
    losses = [(1 + -label * score).relu() for label, score in zip([1, -1], scores, strict=True)]
    assert (sum(losses) * 0.5 + 1e-4 * sum(p * p for p in model.parameters())).data < before
    random.seed(1337)
    assert MLP(2, [16, 16, 1]).state_dict() != model.state_dict()
    assert Neuron(3).nonlin
    assert not Neuron(3, nonlin=False).nonlin
    assert len(Layer(3, 2, nonlin=False).neurons) == 2


def test_the_global_seed_of_random_counts_when_no_seed_is_given() -> None:
    random.seed(7)
    first = MLP(2, [3]).state_dict()
    random.seed(7)
    assert MLP(2, [3]).state_dict() == first


# ---- Names and initialisation ------------------------------------------------------------------


def test_parameters_carry_their_names_as_labels() -> None:
    model = MLP(2, [3, 1], seed=0)
    assert [name for name, _ in model.named_parameters()] == [p.label for p in model.parameters()]
    assert (
        dict(model.named_parameters())["layers.0.neurons.2.w.1"] is model.layers[0].neurons[2].w[1]
    )
    assert model([1, 2]).label == "layers.1.neurons.0"


def test_a_module_finds_parameters_wherever_they_are() -> None:
    shared = Value(1.0)

    class Mixed(Module):
        def __init__(self) -> None:
            self.line = {"slope": shared, "again": shared}
            self.parts = [Neuron(1, seed=0), (Value(2.0),)]
            self.count = 3
            self.result = shared * 2  # the result of an operation is no parameter

    names = [name for name, _ in Mixed().named_parameters()]
    assert names == ["line.slope", "parts.0.w.0", "parts.0.b", "parts.1.0"]


def test_arrays_of_values_are_parameters() -> None:
    class Linear(Module):
        def __init__(self) -> None:
            self.W = numpy.array([[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]])
            self.b = numpy.array([Value(5.0), Value(6.0)])
            self.scale = numpy.array(Value(7.0))
            self.inputs = numpy.zeros(3)

    state = Linear().state_dict()
    assert list(state) == ["W.0.0", "W.0.1", "W.1.0", "W.1.1", "b.0", "b.1", "scale.0"]
    assert list(state.values()) == [1, 2, 3, 4, 5, 6, 7]


def test_two_parameters_of_one_name_are_refused() -> None:
    class Pair(Module):
        def __init__(self) -> None:
            self.line = {1: Value(1.0), "1": Value(2.0)}

    with pytest.raises(ValueError, match=r"two parameters have the name 'line\.1'"):
        Pair().parameters()


def test_each_part_is_visited_once_however_the_parts_refer_to_each_other() -> None:
    class Part(Module):
        def __init__(self, whole: Module | None) -> None:
            self.whole = whole or self
            self.w = Value(1.0)
            self.loop: list[Any] = []
            self.loop.append(self.loop)

    part = chain = Part(None)
    for _ in range(2000):  # deeper than Python's stack
        chain = Part(chain)
    assert [name for name, _ in part.named_parameters()] == ["w"]
    assert len(chain.parameters()) == 2001
    chain.eval()
    assert not part.training


def test_zero_grad_train_and_eval_reach_every_part() -> None:
    model = MLP(2, [3, 1], seed=0)
    model([1, 2]).backward()
    model.zero_grad()
    assert all(p.grad == 0 for p in model.parameters())
    model.eval()
    assert not model.layers[0].neurons[0].training
    model.train()
    assert model.layers[0].neurons[0].training


@pytest.mark.parametrize(
    ("activation", "init", "variance"),
    [
        ("relu", None, 2 / 50),
        ("tanh", None, 2 / (50 + 40)),
        ("relu", "glorot", 2 / (50 + 40)),
        ("tanh", "he", 2 / 50),
    ],
)
def test_initial_weights_have_the_variance_of_their_kind(
    activation: str, init: str | None, variance: float
) -> None:
    layer = Layer(50, 40, activation=activation, init=init, seed=0)
    weights = numpy.array([w.data for neuron in layer.neurons for w in neuron.w])
    assert weights.var() == pytest.approx(variance, rel=0.1)
    assert abs(weights).max() <= math.sqrt(3 * variance)
    assert all(neuron.b.data == 0 for neuron in layer.neurons)


def test_the_same_seed_gives_the_same_weights() -> None:
    assert MLP(2, [3], seed=5).state_dict() == MLP(2, [3], seed=5).state_dict()
    assert MLP(2, [3], seed=5).state_dict() == MLP(2, [3], seed=numpy.int64(5)).state_dict()
    assert MLP(2, [3], seed=5).state_dict() != MLP(2, [3], seed=6).state_dict()


def test_activations_by_layer() -> None:
    model = MLP(2, [3, 3, 2], activation=["tanh", "linear", "sigmoid"], seed=0)
    assert [layer.neurons[0].activation for layer in model.layers] == ["tanh", "linear", "sigmoid"]
    assert all(0 < out.data < 1 for out in model([1, 2]))


# ---- Files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_a_model_survives_being_saved_and_loaded(tmp_path: Path, suffix: str) -> None:
    model, other = MLP(2, [3, 1], seed=0), MLP(2, [3, 1], seed=1)
    model.layers[0].neurons[0].b.data = 0.1 + 0.2
    path = model.save(tmp_path / f"model{suffix}")
    other.load(path)
    assert other.state_dict() == model.state_dict()
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".npz", ".json"])
@pytest.mark.parametrize("keys", [[], ["two\nlines"], ["", "é", "\ud800", "a.b", '"']])
def test_names_of_every_kind_survive(tmp_path: Path, suffix: str, keys: list[str]) -> None:
    class Named(Module):
        def __init__(self) -> None:
            self.parts = {key: Value(0.0) for key in keys}

    model, other = Named(), Named()
    for i, parameter in enumerate(model.parameters(), start=1):
        parameter.data = float(i)
    other.load(model.save(tmp_path / f"model{suffix}"))
    assert other.state_dict() == model.state_dict()
    assert len(model.state_dict()) == len(keys)


def test_a_file_with_any_byte_damaged_is_refused_or_read_rightly(tmp_path: Path) -> None:
    saved, model = MLP(2, [3, 1], seed=1), MLP(2, [3, 1], seed=0)
    before = model.state_dict()
    path = saved.save(tmp_path / "model.npz")
    content = path.read_bytes()
    refused = 0
    for place in range(len(content)):
        for flip in (0x01, 0xFF):
            damaged = bytearray(content)
            damaged[place] ^= flip
            path.write_bytes(damaged)
            try:
                model.load(path)
            except ValueError as error:
                refused += 1
                assert model.state_dict() == before
                assert "pickle" not in str(error)
            else:
                assert model.state_dict() == saved.state_dict()
                model.load_state_dict(before)
    assert refused > len(content)


@pytest.mark.parametrize("suffix", [".npz", ".json"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_neither_saved_nor_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, bad: float
) -> None:
    model, diverged = MLP(2, [3, 1], seed=0), MLP(2, [3, 1], seed=1)
    before = model.state_dict()
    path = model.save(tmp_path / f"model{suffix}")
    content = path.read_bytes()
    diverged.layers[1].neurons[0].b.data = bad
    with pytest.raises(ValueError, match=f"layers.1.neurons.0.b is {bad}, which is neither saved"):
        diverged.save(path)
    assert path.read_bytes() == content
    with monkeypatch.context() as patch:
        patch.setattr("microgradlike.nn._refuse_infinite", lambda state: None)
        diverged.save(path)
    with pytest.raises(ValueError, match="neither saved nor loaded"):
        model.load(path)
    assert model.state_dict() == before


def test_the_same_model_gives_the_same_json(tmp_path: Path) -> None:
    paths = [MLP(2, [3], seed=0).save(tmp_path / name) for name in ("a.json", "b.json")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("suffix", [".npz", ".json"])
@pytest.mark.parametrize(
    "damage", ["empty", "half", "text", "foreign", "pickle", "deep", "format", "list"]
)
def test_a_damaged_or_foreign_file_changes_nothing(
    tmp_path: Path, suffix: str, damage: str
) -> None:
    model = MLP(2, [3, 1], seed=0)
    before = model.state_dict()
    path = MLP(2, [3, 1], seed=1).save(tmp_path / f"model{suffix}")
    content = path.read_bytes()
    if damage == "foreign" and suffix == ".npz":
        numpy.savez(path, weights=numpy.zeros(3))
    elif damage == "pickle" and suffix == ".npz":
        numpy.savez(path, format=numpy.array([{}], dtype=object), names=[1], data=[1.0])
    else:
        texts = {
            "empty": b"",
            "half": content[: len(content) // 2],
            "text": b"hello",
            "deep": b"[" * 100_000,
            "format": content.replace(b"parameters 1", b"parameters 9"),
            "list": b'{"format": "microgradlike parameters 1", "parameters": [1, 2]}',
        }
        path.write_bytes(texts.get(damage, b'{"weights": [1, 2]}'))
        if damage == "format" and suffix == ".npz":
            numpy.savez(path, format="microgradlike parameters 9", names=[], data=[])
    with pytest.raises(ValueError, match="holds no parameters saved by microgradlike") as refusal:
        model.load(path)
    assert "pickle" not in str(refusal.value)
    assert refusal.value.__suppress_context__  # NumPy's advice there is to unpickle it
    assert model.state_dict() == before


def test_a_file_of_another_shape_changes_nothing(tmp_path: Path) -> None:
    model = MLP(2, [3, 1], seed=0)
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"lacks 4 of the names, such as 'layers.0.neurons.2.b'"):
        model.load(MLP(2, [2, 1], seed=0).save(tmp_path / "small.npz"))
    with pytest.raises(ValueError, match="does not know"):
        model.load(MLP(2, [4, 1], seed=0).save(tmp_path / "large.npz"))
    path = tmp_path / "text.json"
    state = dict.fromkeys(before, "x")
    path.write_text(json.dumps({"format": "microgradlike parameters 1", "parameters": state}))
    with pytest.raises(ValueError, match="holds no parameters"):
        model.load(path)
    with pytest.raises(TypeError, match="takes a real number"):
        model.load_state_dict(state)
    with pytest.raises(TypeError, match="a state is a dict of numbers by name"):
        model.load_state_dict(list(before.items()))
    with pytest.raises(ValueError, match="does not know 1 of the names, such as '1'"):
        model.load_state_dict({**before, 1: 0.0})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="neither saved nor loaded"):
        model.load_state_dict(dict.fromkeys(before, math.nan))
    assert model.state_dict() == before


def test_a_failed_save_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MLP(1, [1], seed=0)
    path = model.save(tmp_path / "model.json")
    content = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        MLP(1, [1], seed=1).save(path)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["model.json"]


def test_other_names_and_places_are_refused(tmp_path: Path) -> None:
    model = MLP(1, [1], seed=0)
    with pytest.raises(ValueError, match=r"\.npz or \.json"):
        model.save(tmp_path / "model.pkl")
    with pytest.raises(OSError, match="choose a folder that exists"):
        model.save(tmp_path / "nowhere" / "model.npz")
    with pytest.raises(FileNotFoundError):
        model.load(tmp_path / "missing.npz")


def test_a_model_can_be_copied() -> None:
    model = MLP(2, [3, 1], seed=0)
    other = copy.deepcopy(model)
    other.parameters()[0].data = 100.0
    assert model.parameters()[0].data != 100.0


# ---- Bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MLP(2, []), ValueError, "at least one layer"),
        (lambda: MLP(0, [1]), ValueError, "at least 1, but got 0"),
        (lambda: MLP(2, [3, -1]), ValueError, "at least 1, but got -1"),
        (lambda: MLP(2.5, [1]), TypeError, "is an int"),
        (lambda: MLP(2, [True]), TypeError, "is an int"),
        (lambda: Neuron("2"), TypeError, "is an int"),
        (lambda: MLP(2, [1, 1], activation="rleu"), ValueError, "one number.*, but got 'rleu'"),
        (lambda: MLP(2, [1], activation="rleu"), ValueError, "one number.*, but got 'rleu'"),
        (lambda: MLP(2, [1, 1], activation="softmax"), ValueError, "but got 'softmax'"),
        (lambda: MLP(2, [1, 1], activation="maximum"), ValueError, "but got 'maximum'"),
        (lambda: MLP(2, [1, 1], activation=["dot", "tanh"]), ValueError, "but got 'dot'"),
        (lambda: MLP(2, [1, 1], activation=tanh), ValueError, "an activation is .* the name of"),
        (lambda: MLP(2, [1, 1], activation=None), ValueError, "but got None"),
        (lambda: Neuron(2, activation=["tanh"]), ValueError, "an activation is .* the name of"),
        (lambda: Layer(2, 2, activation={}), ValueError, "an activation is .* the name of"),
        (lambda: MLP(2, 3), TypeError, "nouts is a list .* but got 3"),
        (lambda: MLP(2, [3], seed="a"), TypeError, "seed is an int"),
        (lambda: MLP(2, [3], seed=1.5), TypeError, "seed is an int"),
        (lambda: MLP(2, [1, 1], activation=["relu"]), ValueError, "has 1 name for 2 layers"),
        (lambda: MLP(2, [1], init="zero"), ValueError, 'init is "he"'),
        (lambda: MLP(2, [1])([1, 2, 3]), ValueError, "takes 2 inputs, but got 3"),
        (lambda: MLP(2, [1])(3.0), TypeError, "takes a list of 2 inputs"),
        (lambda: MLP(1, [1])([1, 2]), ValueError, "takes 1 input, but got 2"),
        (lambda: Neuron(1)(3.0), TypeError, "takes a list of 1 input, but got 3.0"),
        (lambda: MLP(2, [1])(["a", 2]), TypeError, "takes a real number"),
        (lambda: MLP(2, [1])([None, 2]), TypeError, "takes a real number"),
        (lambda: MLP(2, [1])(numpy.zeros((2, 2))), TypeError, "takes a real number"),
    ],
)
def test_bad_input_gets_one_clear_sentence(make: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_inference_under_no_grad_records_nothing() -> None:
    with no_grad():
        assert MLP(2, [3, 1], seed=0)([1, 2]).parents == ()
