"""Neural networks of scalars: a neuron is a weighted sum and an activation; layers make an MLP."""

from __future__ import annotations

import io
import json
import math
import os
import random
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy
import numpy.typing

from microgradlike import files
from microgradlike.engine import Value
from microgradlike.functions import FUNCTIONS
from microgradlike.inputs import describe, number

Inputs: TypeAlias = "Sequence[Any] | numpy.typing.NDArray[Any]"

_FORMAT = "microgradlike parameters 1"
_RELU_LIKE = ("relu", "leaky_relu", "elu", "gelu", "silu")


class Module:
    """Anything with parameters: the leaf Values among its attributes, and those of its parts.

    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = Value(2.0), Value(1.0)
    >>> [name for name, _ in Line().named_parameters()]
    ['slope', 'offset']
    """

    training = True

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """Each parameter once, with its name, e.g. ``layers.0.neurons.3.w.1``."""
        seen: set[Value] = set()
        for name, part in _walk(vars(self)):
            if isinstance(part, Value) and not part.op and part not in seen:
                seen.add(part)
                yield name, part

    def parameters(self) -> list[Value]:
        """The parameters, in the order of their names in ``named_parameters``."""
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to zero."""
        for parameter in self.parameters():
            parameter.grad = 0.0

    def train(self, mode: bool = True) -> None:
        """Tell this module and its parts, in ``.training``, that they are being trained."""
        self.training = mode
        for _, part in _walk(vars(self)):
            if isinstance(part, Module):
                part.training = mode

    def eval(self) -> None:
        """Tell this module and its parts that they are used, not trained: ``train(False)``."""
        self.train(False)

    def state_dict(self) -> dict[str, float]:
        """The numbers of all parameters by name.

        >>> MLP(1, [1], seed=0).state_dict().keys()
        dict_keys(['layers.0.neurons.0.w.0', 'layers.0.neurons.0.b'])
        """
        return {name: parameter.data for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Set all parameters to the numbers in ``state``.

        Raises:
            ValueError: a name is missing or unknown; nothing was changed.
            TypeError: ``state`` holds something that is no number; nothing was changed.
        """
        named = dict(self.named_parameters())
        for what, names in (
            ("lacks", named.keys() - state.keys()),
            ("does not know", state.keys() - named.keys()),
        ):
            if names:
                who = "the state" if what == "lacks" else "the model"
                raise ValueError(
                    f"{who} {what} {len(names)} of the names, such as {min(names)!r}; "
                    "load a state that was saved from a model of the same shape"
                )
        data = {name: number(state[name], f"the parameter {name}") for name in named}
        for name, parameter in named.items():
            parameter.data = data[name]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all parameters to a file, ``.npz`` or ``.json`` by its name; no pickle.

        Returns:
            The path.

        Raises:
            ValueError: the name ends in neither.
            OSError: the file cannot be written; an older one is left as it was.
        """
        state = self.state_dict()
        if _suffix(path) == ".json":
            text = json.dumps({"format": _FORMAT, "parameters": state}, indent=0)
            return files.write(path, text.encode())
        content = io.BytesIO()
        numpy.savez_compressed(
            content,
            format=_FORMAT,
            names=numpy.frombuffer("\n".join(state).encode(), dtype=numpy.uint8),
            data=numpy.array(list(state.values()), dtype=float),
        )
        return files.write(path, content.getvalue())

    def load(self, path: str | os.PathLike[str]) -> None:
        """Set all parameters to those in a file that ``save`` wrote.

        Raises:
            ValueError: the file is damaged or not of this kind, or of a model of another shape;
                nothing was changed.
            OSError: there is no such file, or it cannot be read.
        """
        suffix = _suffix(path)
        try:
            content = Path(path).read_bytes()
            state = _read_json(content) if suffix == ".json" else _read_npz(content)
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{os.fspath(path)!r} holds no parameters saved by microgradlike, or is damaged "
                f"({error}); save the model again"
            ) from error
        self.load_state_dict(state)


def _walk(parts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The Values and Modules in attributes, lists, tuples and dicts, each by its dotted name."""
    for name, part in parts.items():
        yield name, part
        if isinstance(part, Module):
            inner: Mapping[str, Any] = vars(part)
        elif isinstance(part, list | tuple):
            inner = {str(index): element for index, element in enumerate(part)}
        elif isinstance(part, dict):
            inner = {str(key): element for key, element in part.items()}
        else:
            continue
        for rest, element in _walk(inner):
            yield f"{name}.{rest}", element


def _suffix(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix
    if suffix not in (".npz", ".json"):
        raise ValueError(f"parameters are kept in .npz or .json files, but got {os.fspath(path)!r}")
    return suffix


def _read_json(content: bytes) -> dict[str, float]:
    saved = json.loads(content)
    if saved["format"] != _FORMAT:
        raise ValueError(f"its format is {saved['format']!r}, not {_FORMAT!r}")
    return dict(saved["parameters"])


def _read_npz(content: bytes) -> dict[str, float]:
    with numpy.load(io.BytesIO(content), allow_pickle=False) as saved:
        if str(saved["format"]) != _FORMAT:
            raise ValueError(f"its format is {saved['format']}, not {_FORMAT!r}")
        names = saved["names"].tobytes().decode().split("\n")
        return dict(zip(names, saved["data"].tolist(), strict=True))


# ---- Neuron, layer, network --------------------------------------------------------------------


class Neuron(Module):
    """activation(w[0] * x[0] + w[1] * x[1] + ... + b).

    Args:
        nin: the number of inputs.
        nonlin: False leaves the activation out.
        activation: the name of a function of one number, e.g. "relu", "tanh", "sigmoid".
        scale: weights are drawn uniformly from -scale to scale; the bias starts at zero.
        seed: of the weights; None draws them from the global ``random``.
        name: prefixes the labels of the parameters, and labels the output.

    >>> neuron = Neuron(2, activation="tanh", seed=0)
    >>> neuron
    TanhNeuron(2)
    >>> -1 < neuron([1.0, -2.0]).data < 1
    True
    """

    def __init__(
        self,
        nin: int,
        nonlin: bool = True,
        *,
        activation: str = "relu",
        scale: float = 1.0,
        seed: int | random.Random | None = None,
        name: str = "",
    ) -> None:
        draw = _generator(seed)
        prefix = f"{name}." if name else ""
        size = _size(nin, "a neuron", "inputs")
        self.w = [Value(draw.uniform(-scale, scale), f"{prefix}w.{i}") for i in range(size)]
        self.b = Value(0.0, f"{prefix}b")
        self.nonlin = nonlin and activation != "linear"
        self.activation = _activation(activation) if self.nonlin else "linear"
        self.name = name

    def __call__(self, x: Inputs) -> Value:
        """The output for one example.

        Raises:
            ValueError: ``x`` has another number of inputs.
            TypeError: ``x`` is no list of numbers or Values.
        """
        out = self.activated(self.weighted_sum(x))
        if self.name:
            out.label = self.name
        return out

    def weighted_sum(self, x: Inputs) -> Value:
        """w[0] * x[0] + w[1] * x[1] + ... + b, which the activation is given."""
        out = self.b
        for w, value in zip(self.w, _inputs(x, len(self.w), self), strict=True):
            out = out + w * value
        return out

    def activated(self, weighted_sum: Value) -> Value:
        """The activation of a weighted sum."""
        return FUNCTIONS[self.activation](weighted_sum) if self.nonlin else weighted_sum

    def __repr__(self) -> str:
        kind = {"relu": "ReLU", "linear": "Linear"}.get(self.activation, self.activation.title())
        return f"{kind}Neuron({len(self.w)})"


class Layer(Module):
    """Neurons side by side: each sees the same inputs.

    Args:
        nin: the number of inputs.
        nout: the number of neurons.
        nonlin, activation, seed: as for a ``Neuron``.
        init: "he" (variance 2 / inputs, for relu and its kin), "glorot" (variance
            2 / (inputs + outputs)), or None for whichever fits the activation.
        name: prefixes the labels of parameters and outputs.

    Sources: He et al., "Delving Deep into Rectifiers", 2015; Glorot and Bengio, "Understanding the
    Difficulty of Training Deep Feedforward Neural Networks", 2010; both in their uniform form.

    >>> Layer(2, 3, seed=0)
    Layer of [ReLUNeuron(2), ReLUNeuron(2), ReLUNeuron(2)]
    """

    def __init__(
        self,
        nin: int,
        nout: int,
        nonlin: bool = True,
        *,
        activation: str = "relu",
        init: str | None = None,
        seed: int | random.Random | None = None,
        name: str = "",
    ) -> None:
        _size(nin, "a layer", "inputs"), _size(nout, "a layer", "neurons")
        if init not in ("he", "glorot", None):
            raise ValueError(f'init is "he", "glorot" or None, but got {describe(init)}')
        relu_like = nonlin and activation in _RELU_LIKE
        init = init or ("he" if relu_like else "glorot")
        variance = 2 / nin if init == "he" else 2 / (nin + nout)
        draw = _generator(seed)
        self.neurons = [
            Neuron(
                nin,
                nonlin,
                activation=activation,
                scale=math.sqrt(3 * variance),  # the variance of uniform(-s, s) is s * s / 3
                seed=draw,
                name=f"{name}.neurons.{i}" if name else f"neurons.{i}",
            )
            for i in range(nout)
        ]

    def __call__(self, x: Inputs) -> Any:
        """The outputs for one example: a list of Values, or the Value alone if there is one."""
        x = _inputs(x, len(self.neurons[0].w), self)
        out = [neuron(x) for neuron in self.neurons]
        return out[0] if len(out) == 1 else out

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(str, self.neurons))}]"


class MLP(Module):
    """A multi-layer perceptron: layers one after the other.

    Args:
        nin: the number of inputs.
        nouts: the number of neurons of each layer.
        activation: of all layers but the last, which is linear; or a list with one name for each
            layer ("linear" for none).
        init: "he", "glorot", or None for whichever fits each activation.
        seed: of the weights; None draws them from the global ``random``.

    Raises:
        ValueError: a size is below one, there are no layers, or a name is unknown.

    >>> model = MLP(2, [16, 16, 1], activation="relu", seed=0)
    >>> len(model.parameters())
    337
    >>> model([1.0, -2.0]).label
    'layers.2.neurons.0'
    """

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        *,
        activation: str | Sequence[str] = "relu",
        init: str | None = None,
        seed: int | random.Random | None = None,
    ) -> None:
        sizes = [nin, *nouts]
        if len(sizes) < 2:
            raise ValueError("an MLP needs at least one layer, but the list of layers is empty")
        if isinstance(activation, str):
            activation = [activation] * (len(nouts) - 1) + ["linear"]
        if len(activation) != len(nouts):
            raise ValueError(
                f"activation has {len(activation)} names for {len(nouts)} layers; "
                "give one for each layer, or a single one for all but the last"
            )
        for size in sizes:
            _size(size, "an MLP", "inputs and neurons")
        draw = _generator(seed)
        self.layers = [
            Layer(n, m, activation=function, init=init, seed=draw, name=f"layers.{i}")
            for i, (n, m, function) in enumerate(
                zip(sizes[:-1], sizes[1:], activation, strict=True)
            )
        ]

    def __call__(self, x: Inputs) -> Any:
        """The outputs for one example: a list of Values, or the Value alone if there is one."""
        for layer in self.layers[:-1]:
            x = layer(x)
            x = x if isinstance(x, list) else [x]
        return self.layers[-1](x)

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(str, self.layers))}]"


# ---- Bad input ---------------------------------------------------------------------------------


def _generator(seed: Any) -> Any:
    if seed is None or seed is random:
        return random  # the module itself draws, so that random.seed() counts
    return seed if isinstance(seed, random.Random) else random.Random(seed)


def _size(size: Any, whose: str, what: str) -> int:
    if isinstance(size, bool) or not isinstance(size, int | numpy.integer):
        raise TypeError(f"the number of {what} of {whose} is an int, but got {describe(size)}")
    if size < 1:
        raise ValueError(f"the number of {what} of {whose} is at least 1, but got {size}")
    return int(size)


def _activation(name: Any) -> str:
    if name not in FUNCTIONS:
        raise ValueError(
            f"the activation {describe(name)} is unknown; "
            'use "relu", "tanh", "sigmoid", "linear" or another function of one number'
        )
    return str(name)


def _inputs(x: Any, count: int, whose: Module) -> list[Any]:
    try:
        found = len(x)
    except TypeError:
        raise TypeError(
            f"a {type(whose).__name__} takes a list of {count} inputs, but got {describe(x)}"
        ) from None
    if found != count:
        raise ValueError(f"this {type(whose).__name__} takes {count} inputs, but got {found}")
    return [v if isinstance(v, Value) else number(v, f"a {type(whose).__name__}") for v in x]
