"""A compiled function as one of PyTorch: run by its own executor, or by PyTorch itself."""

from __future__ import annotations

import copy
import functools
import math
import types
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy
import torch

from microgradlike.compiler.arrays import Array, Floats
from microgradlike.compiler.instructions import INPUTS, PARAMETERS
from microgradlike.inputs import describe
from microgradlike.writers.arrays import Function, check_rounds
from microgradlike.writers.torch import ROWS, TorchLibrary

if TYPE_CHECKING:
    from microgradlike.replay.derived import Derivatives

#: In which numbers it computes.
FLOATS = (torch.float64, torch.float32)


def to_torch(c: Derivatives, native: bool, rounds: int) -> Callable[..., Array]:
    """A compiled function as one of PyTorch; see ``Compiled.to_torch``."""
    check_rounds(rounds)
    if native:
        return Native(c, rounds)
    found = Executed(c, rounds)
    c.theta()  # raises if it was not traced
    name = getattr(c.function, "__name__", type(c.function).__name__)

    def by_place(*tensors: Array, **named: object) -> Array:
        if named or not tensors:
            got = f"an argument by name: {', '.join(named)}" if named else "nothing"
            raise TypeError(
                f"{name} of to_torch() takes theta, then a tensor for each argument, in their "
                f"order and without names, but got {got}"
            )
        return found(*tensors)

    return functools.update_wrapper(torch.compiler.disable(by_place), c.function)


def checked(theta: Array, columns: Sequence[Array]) -> torch.dtype:
    """In which numbers tensors are computed with.

    Raises:
        TypeError, ValueError: they are no tensors, of other numbers, or on several devices.
    """
    named = [("theta", theta), *((f"argument {k}", x) for k, x in enumerate(columns, 1))]
    for name, x in named:
        if not isinstance(x, torch.Tensor):
            raise TypeError(
                f"{name} is a tensor, but got {describe(x)}; torch.tensor(x) makes one of numbers"
            )
        if x.dtype not in FLOATS and (name == "theta" or x.is_floating_point() or x.is_complex()):
            wanted = "float64 or float32" + (", or of integers" if name != "theta" else "")
            raise TypeError(f"{name} is a tensor of {wanted}, but got {x.dtype}")
        if x.layout != torch.strided or x.is_quantized or x.is_nested:
            raise TypeError(f"{name} is a dense tensor, but got another kind; x.to_dense() is one")
        if x.device != theta.device:
            raise ValueError(
                f"all tensors are on one device, but theta is on {theta.device} and {name} on "
                f"{x.device}; x.to(theta.device) moves one"
            )
        if x.ndim and x.shape[0] == 0 and name != "theta":
            raise ValueError(f"there are no rows: {name} is empty")
    return functools.reduce(
        torch.promote_types, [x.dtype for _, x in named if x.is_floating_point()]
    )


# ---- Run by PyTorch ----------------------------------------------------------------------------


class Native(torch.nn.Module):
    """A compiled function as a module of PyTorch's own operations.

    Args:
        c: the function.
        rounds: of a loop that ends by itself, so many are done at most.
    """

    def __new__(cls, *given: object) -> Native:
        # torch.compile compiles a piece of code for eight modules at most: each has its own.
        own = types.FunctionType(cls.forward.__code__.replace(), globals(), "forward")
        found: Native = super().__new__(type(cls.__name__, (cls,), {"forward": own}))
        return found

    def __init__(self, c: Derivatives, rounds: int) -> None:
        super().__init__()
        library = TorchLibrary(rounds)
        self._function = function = Function(c, library)
        self.__name__ = getattr(c.function, "__name__", "function")
        self.__doc__ = c.function.__doc__
        theta = torch.empty(function.parameters, dtype=torch.float64, device="meta")
        columns = [
            torch.empty((ROWS, *shape), dtype=torch.float64, device="meta")
            for shape in function.shapes
        ]
        recorder = library.recorder
        given = [recorder.placeholder("theta", theta)]
        given += [recorder.placeholder(f"argument_{k}", x) for k, x in enumerate(columns, 1)]
        recorder.takes(*given)
        with recorder:
            found = function(given[0], given[1:])
        self.calls = recorder.module(found)

    def forward(self, theta: Array, *columns: Array) -> Array:
        """The outputs of all rows."""
        dtype = checked(theta, columns)
        self._function.check(theta, columns)
        return self.calls(*(_floats(x, dtype) for x in (theta, *columns)))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            "a module of to_torch() cannot be pickled: keep theta, and make the module again by "
            "c.to_torch(native=True); state_dict() of a network that has it has what was learned"
        )

    def __deepcopy__(self, memo: dict[int, object]) -> Native:
        memo[id(self)] = found = Native.__new__(Native)
        found.__dict__.update(copy.deepcopy(vars(self), memo))
        return found

    def _apply(self, fn: Callable[[Array], Array], recurse: bool = True) -> Native:
        """Constants go to another device, and stay exact: ``half()`` would round them."""
        super()._apply(lambda x: x.to(fn(x).device), recurse)
        return self


def _floats(x: Array, dtype: torch.dtype) -> Array:
    """The same in these floats. An integer that they do not hold is NaN, not another integer."""
    found = x.to(dtype)
    if x.is_floating_point() or x.dtype == torch.bool:
        return found
    is_held = (found < torch.iinfo(x.dtype).max + 1.0) & (found.to(x.dtype) == x)
    return torch.where(is_held, found, math.nan)


# ---- Run by its executor -----------------------------------------------------------------------


class Executed:
    """A compiled function that its executor runs, as one operation of PyTorch.

    Args:
        c: the function.
        rounds: see ``Native``, which finds second derivatives.
    """

    def __init__(self, c: Derivatives, rounds: int) -> None:
        self.c, self._rounds = c, rounds
        self._native: tuple[list[object], Native] | None = None

    def __call__(self, theta: Array, *columns: Array) -> Array:
        """The outputs of all rows."""
        dtype = checked(theta, columns)
        if theta.device.type != "cpu":
            raise ValueError(
                f"this function runs on the CPU, but the tensors are on {theta.device}; "
                "c.to_torch(native=True) runs there"
            )
        return _Operation.apply(self, dtype, theta, *columns)

    def native(self) -> Native:
        """The same by PyTorch, on all paths that are known."""
        paths: list[object] = list(self.c._paths)
        if self._native is None or self._native[0] != paths:
            self._native = paths, Native(self.c, self._rounds)
        return self._native[1]


def _numbers(x: Array) -> Floats:
    """A tensor as an array: also one that is another one with the sign to be changed."""
    found: Floats = x.detach().resolve_neg().numpy()
    return found


class _Operation(torch.autograd.Function):
    """Its derivatives are those of the executor; second ones are those of PyTorch's operations."""

    @staticmethod
    def forward(of: Executed, dtype: torch.dtype, theta: Array, *columns: Array) -> Array:
        numbers = list(map(_numbers, (theta, *columns)))
        return torch.from_numpy(numpy.asarray(of.c.values(*numbers))).to(dtype)

    @staticmethod
    def setup_context(ctx: Array, inputs: Sequence[Array], output: Array) -> None:
        ctx.of, _, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Array, error: Array) -> Array:
        wanted = [k for k, needed in enumerate(ctx.needs_input_grad[2:]) if needed]
        found: list[Array] = [None] * len(ctx.saved_tensors)
        if torch.is_grad_enabled():  # somebody differentiates once more
            out = ctx.of.native()(*ctx.saved_tensors)
            inputs = [ctx.saved_tensors[k] for k in wanted]
            slopes = torch.autograd.grad(
                out, inputs, error, create_graph=True, materialize_grads=True
            )
            for k, slope in zip(wanted, slopes, strict=True):
                found[k] = slope
            return None, None, *found
        theta, *columns = map(_numbers, ctx.saved_tensors)
        send = functools.partial(ctx.of.c._weighted, theta, _numbers(error), columns)
        if wanted[:1] == [0]:
            found[0] = torch.from_numpy(send(PARAMETERS)).to(ctx.saved_tensors[0])
        if wanted[-1:] > [0]:
            by_inputs, start = torch.from_numpy(send(INPUTS)), 0
            for k, column in enumerate(ctx.saved_tensors[1:], 1):
                end = start + column[0].numel()
                if k in wanted:
                    found[k] = by_inputs[:, start:end].reshape(column.shape).to(column)
                start = end
        return None, None, *found
