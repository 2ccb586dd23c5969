"""What kernels and products of matrices share: pointers, and the address of a compiled function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from llvmlite import ir
from numba import types
from numba.core.base import BaseContext
from numba.core.ccallback import CFunc
from numba.core.typing import BaseContext as TypingContext
from numba.core.typing import Signature
from numba.extending import intrinsic

from microgradlike.compiler.kept_code import keep

WORD, BYTE, VOID = ir.IntType(64), ir.IntType(8).as_pointer(), ir.VoidType()

#: What writes the code of an intrinsic: it is given the LLVM values of the arguments.
Generate: TypeAlias = (
    "Callable[[BaseContext, ir.IRBuilder, Signature, Sequence[ir.Value]], ir.Value]"
)
#: What an intrinsic is for arguments of some types: its signature, and what writes its code.
Typed: TypeAlias = "tuple[Signature, Generate]"

# ---- Pointers ----------------------------------------------------------------------------------


class Pointer(Protocol):
    """Numbers that stand at an address, float64 or float32; how many, it does not know."""

    def __getitem__(self, place: int) -> float: ...
    def __setitem__(self, place: int, number: float) -> None: ...


@intrinsic
def moved(context: TypingContext, pointer: types.Type, count: types.Type) -> Typed:
    """The pointer to what stands so many numbers further on."""

    def generate(
        _: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Sequence[ir.Value]
    ) -> ir.Value:
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.int64), generate


@intrinsic
def numbers_at(context: TypingContext, address: types.Type, like: types.Type) -> Typed:
    """The pointer to the numbers that stand at an address, of the kind that an array has."""

    def generate(
        target: BaseContext,
        builder: ir.IRBuilder,
        signature: Signature,
        arguments: Sequence[ir.Value],
    ) -> ir.Value:
        return builder.inttoptr(arguments[0], target.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(types.int64, like), generate


# ---- Addresses ---------------------------------------------------------------------------------


def calling(given: Sequence[types.Type]) -> Typed:
    """The type, and the code, of calling by its address a function that takes such arguments."""

    def generate(
        target: BaseContext,
        builder: ir.IRBuilder,
        signature: Signature,
        arguments: Sequence[ir.Value],
    ) -> ir.Value:
        kind = ir.FunctionType(VOID, [target.get_value_type(x) for x in given])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return target.get_dummy_value()

    return types.void(types.int64, *given), generate


def address_of(
    function: Callable[..., None],
    given: Sequence[types.Type],
    cache: bool = True,
    fused: bool = True,
) -> int:
    """The address of a function that takes such arguments, compiled now unless it was before.

    Its products and sums may be ``fused``, as one operation that is rounded once.
    """
    options = {"error_model": "numpy", "fastmath": {"contract"} if fused else False}
    compiled: Any = CFunc(function, (tuple(given), types.void), {}, options)
    try:
        if cache:
            compiled.enable_caching()
            keep(compiled._cache)
    except RuntimeError:  # no folder can be written where it could be kept
        cache = False
    compiled.compile()
    if not cache and not _KEPT:
        print(
            "compiling machine code anew each time, since no cache can be written: some seconds",
            file=sys.stderr,
        )
    _KEPT.append(compiled)
    return int(compiled.address)


#: What is compiled lives as long as the process: the addresses are in use.
_KEPT: list[Any] = []
