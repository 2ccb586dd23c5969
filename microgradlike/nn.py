"""Neural networks of scalars: a neuron is a weighted sum and an activation; layers make an MLP."""

from __future__ import annotations

import io
import itertools
import json
import math
import operator
import os
import random
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import numpy.typing

from microgradlike import files
from microgradlike.engine import Number, Value
from microgradlike.functions import FUNCTIONS
from microgradlike.inputs import describe, number
from microgradlike.shelf import Group
from microgradlike.tables import Table, take
from microgradlike.words import counted

_FORMAT = "microgradlike parameters 1"
_RELU_LIKE = ("relu", "leaky_relu", "elu", "gelu", "silu")


class Module:
    """Anything with parameters: the Values you made among its attributes, and those of its parts.

    It finds them in lists, tuples, dicts and NumPy arrays too (not in sets, which have no order).
    A result that is kept, such as the last output, is no parameter; nor is one of ``no_grad``.

    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = Value(2.0), Value(1.0)
    >>> [name for name, _ in Line().named_parameters()]
    ['slope', 'offset']
    """

    training = True
    __call__: Callable[..., Any]
    """Of a model: its output for one example. A module that is a part of one may have none."""

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """Each parameter once, with its name, e.g. ``layers.0.neurons.3.w.1``.

        Raises:
            ValueError: two parameters have one name, such as those of the dict keys 1 and "1".
        """
        names: set[str] = set()
        for name, part in _walk(self):
            if isinstance(part, Value) and not part.is_result:
                if name in names:
                    raise ValueError(
                        f"two parameters have the name {name!r}, so a saved file could keep only "
                        "one of them; rename a key or attribute that leads there"
                    )
                names.add(name)
                yield name, part

    def parameters(self) -> list[Value]:
        """The parameters, in the order of their names in ``named_parameters``."""
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to zero."""
        if _finds_its_own(self):
            Group(self.parameters()).write_gradients(0.0)
        else:
            _structure_of(self).group.write_gradients(0.0)

    def modules(self) -> Iterator[Module]:
        """This module, and each of its parts that is a Module, once."""
        return (part for _, part in _walk(self, Value) if isinstance(part, Module))

    def train(self, mode: bool = True) -> None:
        """Tell this module and its parts, in ``.training``, that they are being trained."""
        for module in self.modules():
            module.training = mode

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
            ValueError: a name is missing or unknown, or a number is NaN or infinite; nothing was
                changed.
            TypeError: ``state`` is no dict of numbers; nothing was changed.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"a state is a dict of numbers by name, but got {describe(state)}")
        named = dict(self.named_parameters())
        for what, names in (
            ("lacks", named.keys() - state.keys()),
            ("does not know", state.keys() - named.keys()),
        ):
            if names:
                who = "the state" if what == "lacks" else "the model"
                raise ValueError(
                    f"{who} {what} {len(names)} of the names, such as {min(map(str, names))!r}; "
                    "load a state that was saved from a model of the same shape"
                )
        data = {name: number(state[name], f"the parameter {name}") for name in named}
        _refuse_infinite(data)
        for name, parameter in named.items():
            parameter.data = data[name]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all parameters to a file, ``.npz`` or ``.json`` by its name; no pickle.

        Returns:
            The path.

        Raises:
            ValueError: the name ends in neither, or a parameter is NaN or infinite: what was saved
                before a training diverged is worth more.
            OSError: the file cannot be written.

        Whatever it raises, an older file is left as it was.
        """
        state = self.state_dict()
        _refuse_infinite(state)
        if _suffix(path) == ".json":
            text = json.dumps({"format": _FORMAT, "parameters": state}, indent=0)
            return files.write(path, text.encode())
        content = io.BytesIO()
        numpy.savez_compressed(
            content,
            format=_FORMAT,
            names=numpy.frombuffer(json.dumps(list(state)).encode(), dtype=numpy.uint8),
            data=numpy.array(list(state.values()), dtype=float),
        )
        return files.write(path, content.getvalue())

    def load(self, path: str | os.PathLike[str]) -> None:
        """Set all parameters to those in a file that ``save`` wrote.

        Raises:
            ValueError: the file is damaged or not of this kind, of a model of another shape, or it
                holds NaN or infinity; nothing was changed.
            OSError: there is no such file, or it cannot be read.
        """
        read = _read_json if _suffix(path) == ".json" else _read_npz
        content = Path(path).read_bytes()
        try:
            state = read(content)
        except Exception:
            # Decoders have a dozen ways to say that bytes are damaged; some recommend pickle.
            raise ValueError(
                f"{os.fspath(path)!r} holds no parameters saved by microgradlike, or is damaged; "
                "save the model again"
            ) from None
        self.load_state_dict(state)


def _walk(module: Module, without: type | tuple[()] = ()) -> Iterator[tuple[str, object]]:
    """The module and all that it holds, each once, by the dotted name where it is met first."""
    seen: dict[int, object] = {}  # holds what it has seen, so that no id is given out again
    waiting: list[tuple[str, object]] = [("", module)]
    while waiting:
        name, part = waiting.pop()
        if id(part) not in seen:
            seen[id(part)] = part
            yield name, part
            if not isinstance(part, Value):  # there are many, and they hold nothing
                prefix = f"{name}." if name else ""
                for key, inner in reversed(_parts(part)):
                    if not isinstance(inner, without):
                        waiting.append((f"{prefix}{key}", inner))


def _parts(whole: object) -> list[tuple[object, object]]:
    """What a Module, dict, list, tuple or array of objects holds, each part after its key."""
    if isinstance(whole, Module):
        return list(vars(whole).items())
    if isinstance(whole, dict):
        return list(whole.items())
    if isinstance(whole, numpy.ndarray) and whole.dtype == object:
        whole = list(numpy.atleast_1d(whole))  # the rows of a matrix are arrays again
    return list(enumerate(whole)) if isinstance(whole, list | tuple) else []


_WAYS = ("parameters", "named_parameters")


def _finds_its_own(module: Module) -> bool:
    """Whether its class, or the module itself, has another way to find its parameters."""
    kind = type(module)
    own = any(getattr(kind, way) is not getattr(Module, way) for way in _WAYS)
    return own or not vars(module).keys().isdisjoint(_WAYS)


class Structure:
    """What a module, list or dict holds, noted so that one sees at once whether it still does.

    To walk through a model takes longer than a step of its training, if that is compiled.

    Args:
        root: the module, list or dict. It is not held itself, but what is in it is.

    Attributes:
        group: the parameters, each once.

    >>> weights = [Value(1.0), Value(2.0)]
    >>> structure = Structure(weights)
    >>> structure.is_same()
    True
    >>> weights[1] = Value(2.0)
    >>> structure.is_same()
    False
    """

    def __init__(self, root: object) -> None:
        self._spaces: list[Iterable[object]] = []  # what modules, dicts and other lists have
        self._rows: list[list[object]] = []  # lists of Values alone
        self._arrays: list[numpy.typing.NDArray[numpy.object_]] = []  # of objects
        values: list[object] = []
        seen: dict[int, object] = {}
        waiting = [root]
        while waiting:
            part = waiting.pop()
            if isinstance(part, Value):
                values.append(part)
            elif id(part) in seen:
                continue
            elif isinstance(part, Module | dict):
                seen[id(part)] = part
                space = vars(part) if isinstance(part, Module) else part
                self._spaces.append(space.values())
                waiting += space.values()
            elif isinstance(part, list) and part and _are_values(part):
                seen[id(part)] = part
                self._rows.append(part)
                values += part
            elif isinstance(part, list | tuple):
                seen[id(part)] = part
                self._spaces.append(part)
                waiting += part
            elif isinstance(part, numpy.ndarray) and part.dtype == object:
                seen[id(part)] = part
                self._arrays.append(part)
                waiting += part.flat
        every = dict.fromkeys(v for v in values if isinstance(v, Value))
        self.group: Group = Group([v for v in every if not v.is_result])
        self._copies = [row.copy() for row in self._rows]
        self._things = list(itertools.chain.from_iterable(self._spaces))
        # Of all but these another one may be equal: a list, or a number, which a Value is by now.
        safe = (Value, str)
        places = [k for k, thing in enumerate(self._things) if not isinstance(thing, safe)]
        self._holders: Callable[[list[object]], tuple[object, ...]] = (
            operator.itemgetter(0, 0, *places) if self._things else tuple
        )
        self._items = [list(array.flat) for array in self._arrays]

    @property
    def is_mostly_parameters(self) -> bool:
        """Whether it is no list of data, for one, which takes long to compare."""
        return len(self._things) <= 2 * len(self.group.values)

    def is_same(self) -> bool:
        """Whether each part holds the very same things."""
        # Two Values are equal if they are one, so lists can be compared as a whole, which is quick.
        # A Value that was replaced by the same number is a parameter no more, and is not missed.
        try:
            things = list(itertools.chain.from_iterable(self._spaces))
            if self._rows != self._copies or things != self._things:
                return False
        except Exception:  # arrays, for one, do not say whether they are equal
            return False
        holders = self._holders(things), self._holders(self._things)
        return all(map(operator.is_, *holders)) and all(
            all(map(operator.is_, array.flat, items))  # an array has a fixed size
            for array, items in zip(self._arrays, self._items, strict=True)
        )


#: The structure of each module whose gradients were set to zero, by its id, as long as it lives.
_structures: dict[int, tuple[weakref.ref[Module], Structure]] = {}


def _structure_of(module: Module) -> Structure:
    place = id(module)
    known, structure = _structures.get(place, (None, None))
    if known is None or structure is None or known() is not module or not structure.is_same():
        structure = Structure(module)
        end = weakref.ref(module, lambda _: _structures.pop(place, None))
        _structures[place] = end, structure
    return structure


def _are_values(items: list[object]) -> bool:
    return all(issubclass(kind, Value) for kind in set(map(type, items)))


def _refuse_infinite(state: Mapping[str, float]) -> None:
    for name, data in state.items():
        if not math.isfinite(data):
            raise ValueError(
                f"the parameter {name} is {data}, which is neither saved nor loaded; "
                "go back to a state of before the training diverged"
            )


def _suffix(path: str | os.PathLike[str]) -> str:
    return files.ending_in(path, "a file of parameters", ".npz", ".json").suffix.lower()


def _read_json(content: bytes) -> dict[str, float]:
    saved = json.loads(content)
    return _state(saved["format"], saved["parameters"].items())


def _read_npz(content: bytes) -> dict[str, float]:
    with numpy.load(io.BytesIO(content), allow_pickle=False) as saved:
        names = json.loads(saved["names"].tobytes())
        return _state(str(saved["format"]), zip(names, saved["data"].tolist(), strict=True))


def _state(found: str, parameters: Iterable[tuple[str, object]]) -> dict[str, float]:
    if found != _FORMAT:
        raise ValueError("another format")
    return {name: number(data, name) for name, data in parameters}


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

    Raises:
        TypeError: ``nin`` or ``seed`` is no int.
        ValueError: ``nin`` is below one, or ``activation`` no function of one number.

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
        self.w: list[Value] = [
            Value(draw.uniform(-scale, scale), f"{prefix}w.{i}") for i in range(size)
        ]
        self.b: Value = Value(0.0, f"{prefix}b")
        self.activation: str = _activation(activation) if nonlin else "linear"
        self.nonlin: bool = self.activation != "linear"
        self.name = name

    def __call__(self, x: Iterable[object]) -> Value:
        """The output for one example.

        Raises:
            ValueError: ``x`` has another number of inputs.
            TypeError: ``x`` is no list of numbers or Values.
        """
        return self.output(inputs_of(x, len(self.w), self))

    def output(self, x: list[Any]) -> Value:
        """The same for inputs that were checked already, as a layer does for all its neurons."""
        out = self.activated(self.weighted_sum(x))
        if self.name:
            out.label = self.name
        return out

    def weighted_sum(self, x: list[Any]) -> Value:
        """w[0] * x[0] + w[1] * x[1] + ... + b, which the activation is given."""
        out = self.b
        for w, value in zip(self.w, x, strict=True):
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
        relu_like = nonlin and _activation(activation) in _RELU_LIKE
        init = init or ("he" if relu_like else "glorot")
        variance = 2 / nin if init == "he" else 2 / (nin + nout)
        draw = _generator(seed)
        self.neurons: list[Neuron] = [
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

    def __call__(self, x: Iterable[object]) -> Any:
        """The outputs for one example: a list of Values, or the Value alone if there is one."""
        x = inputs_of(x, len(self.neurons[0].w), self)
        out = [neuron.output(x) for neuron in self.neurons]
        return out[0] if len(out) == 1 else out

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(str, self.neurons))}]"


class MLP(Module):
    """A multi-layer perceptron: layers one after the other.

    Args:
        nin: the number of inputs.
        nouts: the number of neurons of each layer, a list.
        activation: of all layers but the last, which is linear; or a list with one name for each
            layer ("linear" for none).
        init: "he", "glorot", or None for whichever fits each activation.
        seed: of the weights; None draws them from the global ``random``.

    Raises:
        TypeError: a size or ``seed`` is no int, or ``nouts`` no list.
        ValueError: a size is below one, there are no layers, or ``activation`` has too few or too
            many names, or one that is no function of one number.

    >>> model = MLP(2, [16, 16, 1], activation="relu", seed=0)
    >>> len(model.parameters())
    337
    >>> model([1.0, -2.0]).label
    'layers.2.neurons.0'
    """

    def __init__(
        self,
        nin: int,
        nouts: Iterable[int],
        *,
        activation: str | Sequence[str] = "relu",
        init: str | None = None,
        seed: int | random.Random | None = None,
    ) -> None:
        if not isinstance(nouts, Iterable):
            raise TypeError(
                "nouts is a list with the number of neurons of each layer, such as [16, 1], "
                f"but got {describe(nouts)}"
            )
        sizes = [_size(size, "an MLP", "inputs and neurons") for size in (nin, *nouts)]
        count = len(sizes) - 1
        if not count:
            raise ValueError("an MLP needs at least one layer, but the list of layers is empty")
        if isinstance(activation, str) or not isinstance(activation, Iterable):
            activation = [_activation(activation)] * (count - 1) + ["linear"]
        activation = list(activation)
        if len(activation) != count:
            raise ValueError(
                f"activation has {counted(len(activation), 'name')} for "
                f"{counted(count, 'layer')}; "
                "give one for each layer, or a single one for all but the last"
            )
        draw = _generator(seed)
        self.layers: list[Layer] = [
            Layer(n, m, activation=function, init=init, seed=draw, name=f"layers.{i}")
            for i, (n, m, function) in enumerate(
                zip(sizes[:-1], sizes[1:], activation, strict=True)
            )
        ]

    def __call__(self, x: Iterable[object]) -> Any:
        """The outputs for one example: a list of Values, or the Value alone if there is one."""
        for layer in self.layers[:-1]:
            out = layer(x)
            x = out if isinstance(out, list) else [out]
        return self.layers[-1](x)

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(str, self.layers))}]"


class Embedding(Module):
    """A table of parameters, a row for each of some things: words, users, items.

    Args:
        count: how many things there are; they are numbered from 0.
        size: how many parameters each has.
        seed: of the numbers, which are drawn uniformly, with a variance of 1 / size; None draws
            them from the global ``random``.
        name: prefixes the labels of the parameters.

    Attributes:
        table: the rows. ``table[i]`` is the row of ``i``, also where that is a column of integers
            in a function that is compiled.

    >>> word = Embedding(27, 2, seed=0)
    >>> len(word.parameters()), word(5) == word.table[5]
    (54, True)
    >>> from microgradlike import compile
    >>> compile(lambda i, x: word(i)[0] * x + word(i)[1])([5, 3], [1.0, 0.0]).shape
    (2,)
    """

    def __init__(
        self,
        count: int,
        size: int,
        *,
        seed: int | random.Random | None = None,
        name: str = "table",
    ) -> None:
        _size(count, "an embedding", "rows"), _size(size, "an embedding", "columns")
        draw, scale = _generator(seed), math.sqrt(3 / size)
        self.table: Table = Table(
            Table(
                Value(draw.uniform(-scale, scale), label=f"{name}.{i}.{k}" if name else "")
                for k in range(size)
            )
            for i in range(count)
        )

    def __call__(self, index: Any) -> Any:
        """The row of one thing: a list of ``size`` Values.

        Args:
            index: its number, an int, or a Value that holds one; see ``take``.
        """
        return take(self.table, index)

    def __repr__(self) -> str:
        return f"Embedding({len(self.table)}, {len(self.table[0])})"


# ---- Bad input ---------------------------------------------------------------------------------


def _generator(seed: object) -> Any:
    if seed is None or seed is random:
        return random  # the module itself draws, so that random.seed() counts
    if isinstance(seed, random.Random):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int | numpy.integer):
        raise TypeError(f"seed is an int, a random.Random or None, but got {describe(seed)}")
    return random.Random(int(seed))


def _size(size: object, whose: str, what: str) -> int:
    if isinstance(size, bool) or not isinstance(size, int | numpy.integer):
        raise TypeError(f"the number of {what} of {whose} is an int, but got {describe(size)}")
    if size < 1:
        raise ValueError(f"the number of {what} of {whose} is at least 1, but got {size}")
    return int(size)


def _activation(name: object) -> str:
    try:
        if str(name) != "linear":
            FUNCTIONS[str(name)](1.0)
    except (KeyError, TypeError):  # there is none, or it takes several numbers
        raise ValueError(
            'an activation is "linear" or the name of a function of one number, such as "relu", '
            f'"tanh" or "sigmoid", but got {describe(name)}'
        ) from None
    return str(name)


def inputs_of(x: Iterable[object], count: int, whose: object) -> list[Number]:
    """One example as a list of numbers and Values, as many as its taker has inputs.

    Raises:
        TypeError, ValueError: ``x`` is no such list; the sentence names the taker.
    """
    name, wanted = f"this {type(whose).__name__}", counted(count, "input")
    try:
        x = list(x)
    except TypeError:
        raise TypeError(f"{name} takes a list of {wanted}, but got {describe(x)}") from None
    if len(x) != count:
        raise ValueError(f"{name} takes {wanted}, but got {len(x)}")
    return [v if isinstance(v, Value) else number(v, name) for v in x]
