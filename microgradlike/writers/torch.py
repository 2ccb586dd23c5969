"""A program as a module of PyTorch: it runs where PyTorch does, and PyTorch differentiates it.

What it computes is said in ``arrays.py``; here is how PyTorch says it. Each operation has the
slopes of the operator table, so that a gradient is the engine's, also at a kink.

That is said once, of tensors that have a shape and no numbers. Each call of PyTorch is written down
meanwhile, and the list of them is the module: what runs it knows nothing of programs.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Mapping, Sequence

import numpy
import torch
from torch import fx
from torch.overrides import TorchFunctionMode

from microgradlike import ops
from microgradlike.compiler.arrays import Array, Floats, Ints
from microgradlike.compiler.operations import CODES, row_of
from microgradlike.executors.formulas import names_in
from microgradlike.writers.arrays import (
    Operation,
    Step,
    round_to,
    slopes_times,
    with_slopes,
)

# ---- Operations --------------------------------------------------------------------------------


def _cbrt(x: Array) -> Array:
    """A power, and one step of Newton's, which finds its last digits."""
    root = torch.sign(x) * abs(x) ** (1 / 3)
    better = root - (root - x / (root * root)) / 3
    return torch.where(torch.isfinite(better), better, root)


def _sinh(x: Array) -> Array:
    found = torch.sinh(x)
    return torch.where(found.isinf(), torch.sign(x) * _half_exp(abs(x)), found)


def _cosh(x: Array) -> Array:
    found = torch.cosh(x)
    return torch.where(found.isinf(), _half_exp(abs(x)), found)


def _half_exp(x: Array) -> Array:
    """``exp(x) / 2``, also where only that is finite."""
    root = torch.exp(x / 2)
    return 0.5 * root * root


def _remainder(x: Array, y: Array) -> Array:
    """In steps: PyTorch finds none where ``x / y`` overflows."""
    far = y * 2.0**600
    return torch.remainder(torch.fmod(torch.fmod(x, far * 2.0**600), far), y)


def _round_to(x: Array, y: Array) -> Array:
    return torch.from_numpy(round_to(x.cpu().numpy(), y.cpu().numpy())).to(x)


#: What the names in formulas mean.
NAMES: Mapping[str, object] = {
    **ops.NUMBERS,
    **names_in(torch),
    **{"cbrt": _cbrt, "rint": torch.round, "power": torch.pow, "round_to": _round_to},
    **{"erf": torch.erf, "erfc": torch.erfc},
    **{"sinh": _sinh, "cosh": _cosh, "remainder": _remainder},
    "where": lambda truth, x, y: torch.where(truth != 0, x, y),
    "logical_and": lambda x, y: (x != 0) & (y != 0),  # one of them may be a truth of Python
    "logical_or": lambda x, y: (x != 0) | (y != 0),
}


def _of_one(compute: Operation) -> Operation:
    """The same with one operand: torch.compile counts those of a function."""
    return lambda x: compute(x)


def _of_two(compute: Operation) -> Operation:
    return lambda x, y: compute(x, y)


def _function(name: str, goes_forward: bool) -> type[torch.autograd.Function]:
    """An operation with the value and the slopes of the operator table.

    Args:
        name: of the operation.
        goes_forward: whether derivatives are carried forward, too: ``torch.compile`` takes no
            function that can.
    """
    row, tie = row_of(name)
    assert row is not None
    slopes = row.slopes
    value = ops.formula(row.value, NAMES, element_by_element=True)
    is_needed = [any(re.search(rf"\b{v}\b", slope) for slope in slopes) for v in ("x", "y", "out")]
    times_slope = slopes_times(_LIBRARY, name)

    def compute(x: Array, y: Array = None) -> Array:
        found = value(x, y, None, tie)
        if not isinstance(found, torch.Tensor):
            return torch.full_like(x, found)
        return found.clone() if found is x or found is y else found.to(x.dtype)

    class Backward(torch.autograd.Function):
        generate_vmap_rule = True
        forward = staticmethod(_of_one(compute) if len(slopes) == 1 else _of_two(compute))

        @staticmethod
        def setup_context(ctx: Array, inputs: Sequence[Array], output: Array) -> None:
            operands = (*inputs, None)[:2]
            numbers = zip((*operands, output), is_needed, strict=True)
            ctx.set_materialize_grads(False)  # what is flat sends nothing: not 0 times infinity
            ctx.save_for_backward(*(x if needed else None for x, needed in numbers))

        @staticmethod
        def backward(ctx: Array, error: Array) -> Array:
            return tuple(
                times_slope[k](ctx.saved_tensors, error)
                if error is not None and ctx.needs_input_grad[k] and slope != "0"
                else None
                for k, slope in enumerate(slopes)
            )

    class Both(Backward):
        @staticmethod
        def setup_context(ctx: Array, inputs: Sequence[Array], output: Array) -> None:
            Backward.setup_context(ctx, inputs, output)
            ctx.save_for_forward(*ctx.to_save)
            ctx.shape_like = output.detach()

        @staticmethod
        def jvp(ctx: Array, *errors: Array) -> Array:
            found = [
                times_slope[k](ctx.saved_tensors, error)
                for k, (slope, error) in enumerate(zip(slopes, errors, strict=True))
                if error is not None and slope != "0"
            ]
            return functools.reduce(operator.add, found) if found else 0.0 * ctx.shape_like

    return Both if goes_forward else Backward


def operate(name: str, *operands: Array) -> Array:
    """An operation on tensors and numbers, with the value and slopes of the operator table."""
    like = next((x for x in operands if isinstance(x, torch.Tensor)), None)
    if like is None:
        raise TypeError(
            "a module of to_torch() cannot be read from a pickle: keep theta, and make the module "
            "again by c.to_torch(native=True)"
        )
    tensors = [
        x
        if isinstance(x, torch.Tensor)
        else torch.full((), x, dtype=like.dtype, device=like.device)
        for x in operands
    ]
    if len(tensors) == 2 and tensors[0] is tensors[1]:  # torch.compile takes no tensor twice
        tensors[1] = like.view_as(like)
    function = _FUNCTIONS[name, not torch.compiler.is_compiling()]
    return function.apply(*torch.broadcast_tensors(*tensors))


# ---- Calls, written down -----------------------------------------------------------------------

#: Within it no call is written down.
_unseen = torch._C.DisableTorchFunction

#: How many rows there are while calls are written down; nothing else is as large.
ROWS = 2**31 - 1


class Recorder(TorchFunctionMode):
    """Writes calls of PyTorch down: within ``with``, those with tensors of the device "meta".

    Attributes:
        root: what the calls refer to: constants, and the rounds of loops.
        graph: the calls.
    """

    def __init__(self, outer: Recorder | None = None) -> None:
        super().__init__()
        self.root, self.graph, self.outer = torch.nn.Module(), fx.Graph(), outer
        self._nodes: dict[int | torch.device, fx.Node] = {}
        self._tensors: list[Array] = []  # a number names a tensor as long as it is there
        self.captured: list[Array] = []

    def __torch_function__(
        self, func: Callable[..., Array], types: object, args: Sequence[Array] = (),
        kwargs: Mapping[str, Array] | None = None,
    ) -> Array:  # fmt: skip
        with _unseen():
            found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            self.note(found, func, args, kwargs or {})
        return found

    def call(self, function: Callable[..., Array], *args: Array) -> Array:
        """Call a function, which is written down as one call."""
        with _unseen():
            found = function(*args)
        self.note(found, function, args, {})
        return found

    def note(
        self, found: Array, func: Callable[..., Array], args: Sequence[Array],
        kwargs: Mapping[str, Array],
    ) -> None:  # fmt: skip
        """Write down that a call gave a tensor."""
        given = tuple(map(self._written, args))
        named = {name: self._written(value) for name, value in kwargs.items()}
        names = func.__name__, f"__{func.__name__}__"
        method = next((n for n in names if getattr(torch.Tensor, n, None) is func), "")
        if func is torch.Tensor.__getitem__:
            node = self.graph.call_function(operator.getitem, given)
        elif method:
            node = self.graph.call_method(method, given, named)
        else:
            node = self.graph.call_function(func, given, named)
        self.name(found, node)

    def name(self, found: Array, node: fx.Node) -> None:
        """A tensor is what a node gives."""
        self._nodes[id(found)] = node
        self._tensors.append(found)

    def placeholder(self, name: str, like: Array) -> Array:
        """A tensor that is given to each call of the module."""
        with _unseen():
            found = torch.empty_like(like)
        self.name(found, self.graph.placeholder(name))
        return found

    def constant(self, array: Floats | Ints) -> Array:
        """A tensor that never changes."""
        name = f"constant_{len(list(self.root.buffers(recurse=False)))}"
        with _unseen():
            self.root.register_buffer(name, torch.from_numpy(array.copy()))
            found = torch.empty_like(self.root.get_buffer(name), device="meta")
        self.name(found, self.graph.get_attr(name))
        return found

    def within(self, name: str, module: torch.nn.Module, *args: Array) -> fx.Node:
        """A call of a module that is part of this one."""
        name = f"{name}_{len(list(self.root.children()))}"
        self.root.add_module(name, module)
        return self.graph.call_module(name, tuple(map(self._written, args)))

    def module(self, *outputs: Array) -> fx.GraphModule:
        """What was written down, as a module that returns some tensors."""
        found = tuple(map(self._written, outputs))
        self.graph.output(found[0] if len(found) == 1 else found)
        module = fx.GraphModule(self.root, self.graph)
        module.graph.eliminate_dead_code()
        module.recompile()
        for name, constant in module.named_buffers(recurse=False):
            # They belong to the function, and none comes from a file of ``state_dict()``.
            module.register_buffer(name, constant, persistent=False)
        return module

    def _written(self, value: Array) -> Array:
        """An argument: tensors, and the number of rows, are what nodes give."""
        if isinstance(value, torch.Tensor | torch.device) or (type(value) is int and value == ROWS):
            return self._node(value)
        if isinstance(value, tuple | list):
            return type(value)(map(self._written, value))
        if isinstance(value, slice):
            return slice(*map(self._written, (value.start, value.stop, value.step)))
        return int(value) if isinstance(value, numpy.integer) else value

    def _node(self, value: Array) -> fx.Node:
        """The node that gives a tensor; what an outer module knows is handed to this one."""
        key = id(value) if isinstance(value, torch.Tensor) else value
        if key not in self._nodes:
            assert self.outer is not None, "a tensor that no call gave"
            self._nodes[key] = self.graph.placeholder(f"captured_{len(self.captured)}")
            self._tensors.append(value)
            self.captured.append(value)
        return self._nodes[key]

    def takes(self, theta: Array, *columns: Array) -> None:
        """The device and the number of rows are those of tensors which are given."""
        self._nodes[theta.device] = self.graph.call_function(getattr, (self._node(theta), "device"))
        if columns:
            self._nodes[ROWS] = self.graph.call_method("size", (self._node(columns[0]), 0))


class Rounds(torch.nn.Module):
    """A loop of so many rounds."""

    def __init__(self, step: fx.GraphModule) -> None:
        super().__init__()
        self.step = step

    def forward(self, state: Array, given: Array, *captured: Array) -> Array:
        for row in given.unbind(0):
            state = self.step(state, row, *captured)
        return state


class RoundsWhile(torch.nn.Module):
    """A loop that ends where no row goes on, or after so many rounds."""

    def __init__(self, rounds: int, step: fx.GraphModule) -> None:
        super().__init__()
        self.rounds, self.step = rounds, step

    def forward(self, state: Array, *captured: Array) -> Array:
        for _ in range(self.rounds):
            if not bool((state[-1] != 0).any()):
                break
            state = self.step(state, *captured)
        return state


# ---- The library -------------------------------------------------------------------------------


class TorchLibrary:
    """How PyTorch says what a program computes.

    Args:
        rounds: of a loop that ends by itself, so many are done at most.

    Attributes:
        recorder: that writes the calls down.
    """

    def __init__(self, rounds: int) -> None:
        self.recorder, self._rounds = Recorder(), rounds

    def numbers(self, array: Floats, like: Array) -> Array:
        return self.recorder.constant(array).to(like)

    def places(self, array: Ints, like: Array) -> Array:
        return self.recorder.constant(array).to(like.device)

    @staticmethod
    def where(condition: Array, x: Array, y: Array) -> Array:
        return torch.where(condition, x, y)

    @staticmethod
    def held(x: Array) -> Array:
        return x.detach()

    def joined(self, parts: Sequence[Array]) -> Array:
        return torch.cat(list(parts)) if len(parts) > 1 else parts[0]

    def rounded(self, x: Array) -> Array:
        return x

    def product(self, weights: Array, values: Array) -> Array:
        return torch.matmul(weights, values)

    def wider(self, x: Array, rows: int) -> Array:
        return x if x.shape[-1] == rows else x.expand(*x.shape[:-1], rows)

    def largest(self, x: Array) -> Array:
        return x.amax(1)

    def truths(self, found: Sequence[Array], like: Array) -> Array:
        return torch.stack(
            [
                truth
                if isinstance(truth, torch.Tensor)
                else like.new_full((), truth, dtype=torch.bool)
                for truth in found
            ]
        )

    def ones(self, count: int, like: Array) -> Array:
        return like.new_ones(count)

    def whole(self, x: Array) -> Array:
        return x.long()

    def operation(self, name: str) -> Operation:
        return functools.partial(self.recorder.call, operate, name)

    def formula(self, text: str) -> Operation:
        return ops.formula(text, _NAMES_WITH_SLOPES, element_by_element=True)

    def rounds(self, step: Step, state: Array, given: Array) -> Array:
        return self._looped(step, "rounds", Rounds, state, given)

    def rounds_while(self, step: Step, state: Array) -> Array:
        kind = functools.partial(RoundsWhile, self._rounds)
        return self._looped(step, "rounds_while", kind, state)

    def _looped(
        self, step: Step, name: str, kind: Callable[..., torch.nn.Module], state: Array,
        *given: Array,
    ) -> Array:  # fmt: skip
        """A loop, of which a round is written down by itself."""
        outer = self.recorder
        self.recorder = inner = Recorder(outer)
        with _unseen():
            one = [rows[0] for rows in given]
        with inner:
            before = inner.placeholder("state", state)
            after = step(before, *(inner.placeholder("given", row) for row in one))
        with _unseen():
            found = torch.empty_like(state)
        self.recorder = outer
        module = kind(inner.module(after))
        outer.name(found, outer.within(name, module, state, *given, *inner.captured))
        return found


#: For whom nothing is written down, and loops do not matter.
_LIBRARY = TorchLibrary(rounds=1)

#: What names mean in slopes, whose operations have slopes themselves.
_NAMES_WITH_SLOPES = with_slopes(NAMES, lambda name: functools.partial(operate, name))

#: All operations, by their name, and by whether derivatives are carried forward, too.
_FUNCTIONS = {
    (name, goes_forward): _function(name, goes_forward)
    for name in CODES
    if row_of(name)[0]
    for goes_forward in (False, True)
}
