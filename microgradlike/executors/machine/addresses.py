"""What kernels and products of matrices share: pointers, and the address of a compiled function.

Functions of the kind that kernels are have a place of their own where their machine code is kept:
one file each, by all that it was made of, so that a kernel is compiled once on a machine.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import llvmlite
import numba
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.typing import BaseContext as TypingContext
from numba.core.typing import Signature
from numba.extending import intrinsic
from numba.misc.appdirs import AppDirs

from microgradlike import files
from microgradlike.compiler import instructions
from microgradlike.compiler.arrays import Ints
from microgradlike.compiler.kept_code import COMPILED, stamp_of
from microgradlike.compiler.loops import loop
from microgradlike.executors.machine import emit
from microgradlike.executors.machine.emit import Kind

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


@intrinsic
def copied(
    context: TypingContext, into: types.Type, of: types.Type, count: types.Type
) -> Typed:  # fmt: skip
    """Copy so many numbers, which may be of another kind there: they are known to stand apart."""

    def generate(
        target: BaseContext,
        builder: ir.IRBuilder,
        signature: Signature,
        arguments: Sequence[ir.Value],
    ) -> ir.Value:
        into, of, count = arguments
        if into.type == of.type:
            cgutils.raw_memcpy(builder, into, of, count, 8 if of.type.pointee == emit.DOUBLE else 4)
        else:
            convert = builder.fptrunc if of.type.pointee == emit.DOUBLE else builder.fpext
            with cgutils.for_range(builder, count) as loop:
                number = builder.load(builder.gep(of, [loop.index]))
                place = builder.gep(into, [loop.index])
                builder.store(convert(number, into.type.pointee), place)
        return target.get_dummy_value()

    return types.void(into, of, types.int64), generate


_EVERYTHING = 1 << 40  # nothing checks how long an array at an address is


@intrinsic
def words_at(context: TypingContext, address: types.Type) -> Typed:
    """The pointer to the whole numbers that stand at an address."""

    def generate(
        _: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Sequence[ir.Value]
    ) -> ir.Value:
        return builder.inttoptr(arguments[0], emit.WORDS)

    return types.CPointer(types.int64)(types.int64), generate


@intrinsic
def invoke(
    context: TypingContext, address: types.Type, i: types.Type, lists: types.Type,
    values: types.Type, errors: types.Type, once: types.Type, owed: types.Type, theta: types.Type,
    slopes: types.Type, lanes: types.Type, first: types.Type,
) -> Typed:  # fmt: skip
    """Call the kernel that stands at an address."""
    given = [
        x if isinstance(x, types.CPointer) else types.int64
        for x in (i, lists, values, errors, once, owed, theta, slopes, lanes, first)
    ]

    def generate(
        target: BaseContext,
        builder: ir.IRBuilder,
        signature: Signature,
        arguments: Sequence[ir.Value],
    ) -> ir.Value:
        emit.invoke(builder, *arguments)
        return target.get_dummy_value()

    return types.void(types.int64, *given), generate


@loop()
def words(address: int) -> Ints:
    found: Ints = carray(words_at(address), _EVERYTHING)
    return found


# ---- Addresses ---------------------------------------------------------------------------------

#: What kept code was made of, beside its own source.
_STAMP = stamp_of(
    Path(instructions.__file__),
    *(
        Path(__file__).with_name(f"{name}.py")
        for name in ("emit", "gemm", "kernels", "looping", "merged")
    ),
)


@functools.cache
def address_of(
    function: Callable[..., object],
    kinds: tuple[Kind, ...],
) -> int:
    """The address of a function that takes such arguments, compiled now unless it was before."""
    source = emit.source_of(function)
    return address_of_source(source, vars(sys.modules[function.__module__]), kinds)


def address_of_source(
    source: str, names: Mapping[str, object], kinds: Sequence[Kind],
    eager: bool = False,
) -> int:  # fmt: skip
    """The same of a function of which there is only text.

    Args:
        source: of the function.
        names: what it calls, and numbers, by the name that they have in it.
        kinds: of its arguments.
        eager: whether all that it reads is there, also on the side of a choice that is not taken.
    """

    def write(module: emit.Module, name: str) -> ir.Function:
        return module.function(name, emit.read(source), names, kinds, eager=eager)

    return address_of_key((source, list(map(emit.spelt, kinds)), eager), write)


def address_of_key(
    key: object, write: Callable[[emit.Module, str], ir.Function], is_shared: bool = True
) -> int:
    """The same of a function that ``write`` writes, and that ``key`` tells from all others.

    Who waits is told that machine code is compiled once on a machine, if other programs share it.
    """
    codegen = cpu_target.target_context.codegen()
    key = key, llvmlite.__version__, numba.__version__, codegen.magic_tuple(), _STAMP
    name = f"kernel_{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}"
    path = Path(AppDirs("microgradlike", False).user_cache_dir) / name
    with global_compiler_lock:
        found = _read(path)
        if found is None:
            COMPILED.begins(is_shared)
            module = ir.Module(name)
            module.triple = codegen.magic_tuple()[0]
            symbol = write(emit.Module(module), name).name
            library = codegen.create_library(name)
            library.enable_object_caching()
            library.add_ir_module(module)
            library.finalize()
            _keep(path, (symbol, library.serialize_using_object_code()))
            COMPILED.ends()
        else:
            symbol, state = found
            library = codegen.unserialize_library(state)
        _IN_USE.append(library)
        return int(library.get_pointer_to_function(symbol))


def _read(path: Path) -> Any:
    """What is kept in a file; None if that is nothing, or not what was written."""
    try:
        content = path.read_bytes()
        check, kept = int.from_bytes(content[:4], "little"), content[4:]
        found = pickle.loads(kept) if zlib.crc32(kept) == check else None
        with contextlib.suppress(OSError):  # of a folder that can be read only
            os.utime(path)  # it is in use
        return found
    except Exception:  # a damaged pickle raises whatever it likes
        return None


def _keep(path: Path, state: object) -> None:
    kept = pickle.dumps(state)
    try:
        files.make_folder(path.parent)
        _make_room(path.parent)
        files.write(path, zlib.crc32(kept).to_bytes(4, "little") + kept)
    except OSError:  # no folder can be written where it could be kept
        if not _IN_USE:
            print(
                "compiling machine code anew each time, since no cache can be written: some "
                "seconds",
                file=sys.stderr,
            )


#: More files are not kept than so many, of about 10 kB each.
FILES = 20_000


@functools.cache
def _make_room(folder: Path) -> None:
    """Where there are too many files, the half goes that was not used for longest."""
    found = [(entry.stat().st_mtime, entry.path) for entry in os.scandir(folder)]
    if len(found) > FILES:
        for _, path in sorted(found)[: len(found) // 2]:
            Path(path).unlink(missing_ok=True)


#: What is compiled lives as long as the process: the addresses are in use.
_IN_USE: list[Any] = []
