"""Products of matrices in machine code: by BLAS, and large ones by a loop of our own.

Where the processor has vectors of 512 bits, OpenBLAS leaves a third of a core's speed unused, and
this loop a sixth. (Where it may use several cores, OpenBLAS is faster, and used.) The way is that
of K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (ACM TOMS 34,
2008): c is computed in tiles, each as large as the registers hold; what of b they need is copied
once, in the order in which it is read, and stays in the cache.
"""

from __future__ import annotations

import functools

from llvmlite import binding, ir
from numba.core import cgutils
from numba.extending import get_cython_function_address
from threadpoolctl import threadpool_info

from microgradlike.executors.machine import emit
from microgradlike.executors.machine.addresses import (
    Pointer,
    address_of,
    invoke,
    moved,
    numbers_at,
)
from microgradlike.executors.machine.emit import DOUBLE, SINGLE, WORD, Kind, written

BYTE = ir.IntType(8).as_pointer()

# ---- BLAS --------------------------------------------------------------------------------------

BLAS = {
    "float64": get_cython_function_address("scipy.linalg.cython_blas", "dgemm"),
    "float32": get_cython_function_address("scipy.linalg.cython_blas", "sgemm"),
}


@written
def gemm(
    builder: ir.IRBuilder, function: ir.Value, turn_a: ir.Value, turn_b: ir.Value, rows: ir.Value,
    columns: ir.Value, inner: ir.Value, a: ir.Value, b: ir.Value, keep: ir.Value, c: ir.Value,
) -> ir.Value:  # fmt: skip
    """c = a b, or c += a b, by the function of BLAS that stands at an address; see ``product``."""
    number, real = ir.IntType(32), a.type.pointee

    def stored(value: ir.Value) -> ir.Value:
        place = cgutils.alloca_once(builder, value.type)
        builder.store(value, place)
        return builder.bitcast(place, BYTE)

    def letter(turned: ir.Value) -> ir.Value:
        is_turned = builder.icmp_signed("!=", turned, WORD(0))
        return stored(builder.select(is_turned, ir.IntType(8)(84), ir.IntType(8)(78)))  # T, N

    def leading(turned: ir.Value, if_so: ir.Value, if_not: ir.Value) -> ir.Value:
        is_turned = builder.icmp_signed("!=", turned, WORD(0))
        return stored(builder.trunc(builder.select(is_turned, if_so, if_not), number))

    m, n, k = (stored(builder.trunc(x, number)) for x in (rows, columns, inner))
    beta = stored(builder.uitofp(keep, real))
    a, b, c = (builder.bitcast(x, BYTE) for x in (a, b, c))
    # BLAS counts by columns: what it takes for b a is a b row by row.
    lead_a, lead_b = leading(turn_a, rows, inner), leading(turn_b, inner, columns)
    given = [letter(turn_b), letter(turn_a), n, m, k, stored(real(1.0)), b, lead_b, a, lead_a]
    return emit.invoke(builder, function, *given, beta, c, n)


# ---- Our own -----------------------------------------------------------------------------------

#: A tile has so many rows, and so many vectors in each: with the operands they fill 32 registers.
#: The last tiles are lower, where the rows then come out even.
TILE, LOWER, VECTORS = 12, 8, 2
#: Tiles are summed up so deep at a time; so many tiles of rows are copied together.
DEPTH, TOGETHER = 256, 8
#: From so many multiplications on, in so many rows and columns, it is faster than BLAS.
LARGE, ROWS, COLUMNS = 2**20, 48, 64


@functools.cache
def is_faster() -> bool:
    """Whether large products are to be computed here: BLAS is OpenBLAS, and has one core."""
    loaded = [library for library in threadpool_info() if library["user_api"] == "blas"]
    alone = all(x["internal_api"] == "openblas" and x["num_threads"] == 1 for x in loaded)
    return alone and bool(binding.get_host_cpu_features().get("avx512f"))


def room(columns: int) -> int:
    """How many numbers of room a large product needs, of so many columns at most."""
    widest = VECTORS * 16  # of float32
    panels = -(-columns // widest) * widest
    return DEPTH * (panels + (TOGETHER + 1) * TILE) + TILE * widest


def _vector(real: ir.Type) -> ir.VectorType:
    return ir.VectorType(real, 64 // (8 if isinstance(real, ir.DoubleType) else 4))


def _at(builder: ir.IRBuilder, pointer: ir.Value, vector: ir.VectorType) -> ir.Value:
    return builder.bitcast(pointer, vector.as_pointer())


def _load(builder: ir.IRBuilder, pointer: ir.Value, vector: ir.VectorType) -> ir.Value:
    found = builder.load(_at(builder, pointer, vector))
    found.align = 4  # that of a float32: rows may begin anywhere
    return found


@written
def width(_: ir.IRBuilder, pointer: ir.Value) -> ir.Value:
    """How many numbers a vector has."""
    return WORD(_vector(pointer.type.pointee).count)


def _tile(
    height: int, builder: ir.IRBuilder, a: ir.Value, by_row: ir.Value, by_step: ir.Value,
    b: ir.Value, depth: ir.Value, keep: ir.Value, c: ir.Value, columns: ir.Value,
) -> None:  # fmt: skip
    """What computes a tile of so many rows: of c = a b, or of c += a b.

    It is given ``a``, and how far apart its numbers are by rows, and by steps of the sum; ``b``, a
    panel, which has for each step the vectors of a tile, in a row; the number of steps; whether it
    is added to c; the place of the tile in ``c``, and how many columns c has.
    """
    found = _sums(builder, height, a, by_row, by_step, b, depth)
    with builder.if_else(builder.icmp_signed("!=", keep, WORD(0))) as (then, otherwise):
        with then:
            _write(builder, found, c, columns, adds=True)
        with otherwise:
            _write(builder, found, c, columns, adds=False)


def _sums(
    builder: ir.IRBuilder, height: int, a: ir.Value, by_row: ir.Value, by_step: ir.Value,
    b: ir.Value, depth: ir.Value,
) -> list[list[ir.Value]]:  # fmt: skip
    """The loop over the steps of the sums; of each row of a tile the vectors that it ends with."""
    vector = _vector(a.type.pointee)
    # Each third row has a pointer: the two rows between are reached by adding to it.
    twice, thrice = (builder.mul(by_row, WORD(n)) for n in (2, 3))
    starts = [a]
    while 3 * len(starts) < height:
        starts.append(builder.gep(starts[-1], [thrice]))
    before, body, after = builder.block, *map(builder.append_basic_block, ("step", "done"))
    builder.branch(body)

    builder.position_at_end(body)

    def variable(start: ir.Value) -> ir.PhiInstr:
        phi = builder.phi(start.type)
        phi.add_incoming(start, before)
        return phi

    step, panel = variable(WORD(0)), variable(b)
    pointers = list(map(variable, starts))
    zero = ir.Constant(vector, [0.0] * vector.count)
    sums = [[variable(zero) for _ in range(VECTORS)] for _ in range(height)]
    factors = [
        _load(builder, builder.gep(panel, [WORD(vector.count * j)]), vector) for j in range(VECTORS)
    ]
    found: list[list[ir.Value]] = []
    for i, row in enumerate(sums):
        further = [[], [by_row], [twice]][i % 3]
        place = builder.gep(pointers[i // 3], further) if further else pointers[i // 3]
        found.append(_added(builder, builder.load(place), factors, row))
    following = builder.add(step, WORD(1))
    # What each variable is in the next step.
    variables = [(step, following)]
    variables += [(panel, builder.gep(panel, [WORD(vector.count * VECTORS)]))]
    variables += [(pointer, builder.gep(pointer, [by_step])) for pointer in pointers]
    for row, next_row in zip(sums, found, strict=True):
        variables += zip(row, next_row, strict=True)
    for phi, value in variables:
        phi.add_incoming(value, body)
    builder.cbranch(builder.icmp_signed("<", following, depth), body, after)
    builder.position_at_end(after)
    return found


def _added(
    builder: ir.IRBuilder, number: ir.Value, factors: list[ir.Value], sums: list[ir.Value]
) -> list[ir.Value]:
    """A number times each vector, added to a sum, and rounded once."""
    vector = factors[0].type
    name = f"llvm.fma.v{vector.count}f{512 // vector.count}"
    kind = ir.FunctionType(vector, [vector] * 3)
    fused = cgutils.get_or_insert_function(builder.module, kind, name)
    nothing, first = ir.Constant(vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    number = builder.insert_element(nothing, number, first)
    number = builder.shuffle_vector(number, nothing, everywhere)
    return [builder.call(fused, [number, x, y]) for x, y in zip(factors, sums, strict=True)]


def _write(
    builder: ir.IRBuilder, found: list[list[ir.Value]], c: ir.Value, columns: ir.Value, adds: bool
) -> None:
    """Write the vectors of a tile to its place in c, or add them to what is there."""
    for i, vectors in enumerate(found):
        start = builder.gep(c, [builder.mul(columns, WORD(i))])
        for j, total in enumerate(vectors):
            place = builder.gep(start, [WORD(total.type.count * j)])
            if adds:
                total = builder.fadd(_load(builder, place, total.type), total)
            builder.store(total, _at(builder, place, total.type)).align = 4


high_tile, low_tile = (written(functools.partial(_tile, height)) for height in (TILE, LOWER))


@written
def turn(
    builder: ir.IRBuilder, x: ir.Value, columns: ir.Value, out: ir.Value, out_columns: ir.Value
) -> None:
    """out = x turned, of as many rows and columns as a vector has numbers."""
    vector = _vector(x.type.pointee)
    count = vector.count
    rows = [
        _load(builder, builder.gep(x, [builder.mul(columns, WORD(k))]), vector)
        for k in range(count)
    ]
    half = count // 2
    while half:  # swap the blocks beside the diagonal, then those within each block
        low = [k if not k & half else count + k - half for k in range(count)]
        high = [k + half if not k & half else count + k for k in range(count)]
        kind = ir.VectorType(ir.IntType(32), count)
        for k in range(count):
            if not k & half:
                pair = rows[k], rows[k + half]
                rows[k] = builder.shuffle_vector(*pair, ir.Constant(kind, low))
                rows[k + half] = builder.shuffle_vector(*pair, ir.Constant(kind, high))
        half //= 2
    for k, row in enumerate(rows):
        place = builder.gep(out, [builder.mul(out_columns, WORD(k))])
        builder.store(row, _at(builder, place, vector)).align = 4


def _copy_panel(
    b: Pointer, by_row: int, by_column: int, depth: int, count: int, panel: Pointer
) -> None:
    """The columns of b that a tile needs; zeros where it has no more."""
    size = VECTORS * width(b)
    if count < size:
        for k in range(depth):
            for j in range(size):
                panel[k * size + j] = b[k * by_row + j * by_column] if j < count else 0.0
    elif by_column == 1:
        for k in range(depth):
            x, out = moved(b, k * by_row), moved(panel, k * size)
            for j in range(size):
                out[j] = x[j]
    else:
        side = width(b)
        whole = depth - depth % side
        for k in range(0, whole, side):
            for j in range(0, size, side):
                turn(moved(b, k + j * by_column), by_column, moved(panel, k * size + j), size)
        for k in range(whole, depth):
            for j in range(size):
                panel[k * size + j] = b[k + j * by_column]


def _height(rows: int) -> int:
    """Of the next tile, where so many rows are left."""
    return LOWER if rows == LOWER or rows == 2 * LOWER else TILE


def _copy_rows(a: Pointer, by_row: int, by_step: int, rows: int, depth: int, out: Pointer) -> int:
    """Rows of a, tile after tile: for each step of the sum its numbers in a row, or zeros.

    Args:
        rows: how many there are; the first tiles of them are copied.

    Returns:
        How many rows were.
    """
    i = 0
    for k in range(depth):
        i = 0
        while i < rows and i < TOGETHER * TILE:
            height = _height(rows - i)
            x, to = moved(a, k * by_step + i * by_row), moved(out, i * depth + k * height)
            if by_row == 1 and height == TILE and i + TILE <= rows:
                for j in range(TILE):
                    to[j] = x[j]
            else:
                for j in range(height):
                    to[j] = x[j * by_row] if i + j < rows else 0.0
            i += height
    return i


def large_product(
    room: Pointer, turn_a: int, turn_b: int, rows: int, columns: int, inner: int,
    a: Pointer, b: Pointer, keep: int, c: Pointer,
) -> None:  # fmt: skip
    """As ``product``; the room is as ``room(columns)`` says."""
    size = VECTORS * width(a)
    panels = (columns + size - 1) // size
    a_row, a_step = (1, rows) if turn_a else (inner, 1)
    b_row, b_column = (1, inner) if turn_b else (columns, 1)
    copies = moved(room, DEPTH * panels * size)
    aside = moved(copies, DEPTH * (TOGETHER + 1) * TILE)
    for start in range(0, inner, DEPTH):
        depth = min(DEPTH, inner - start)
        adds = 1 if keep or start else 0
        for p in range(panels):
            here = moved(b, start * b_row + p * size * b_column)
            count = min(size, columns - p * size)
            _copy_panel(here, b_row, b_column, depth, count, moved(room, p * size * depth))
        i, copied, end = 0, 0, 0
        while i < rows:
            height = _height(rows - i)
            x = moved(a, i * a_row + start * a_step)
            by_row, by_step = a_row, a_step
            if turn_a or i + height > rows:
                if i >= end:
                    copied = i
                    end = i + _copy_rows(x, a_row, a_step, rows - i, depth, copies)
                x, by_row, by_step = moved(copies, (i - copied) * depth), 1, height
            for p in range(panels):
                panel = moved(room, p * size * depth)
                to = moved(c, i * columns + p * size)
                whole = i + height <= rows and (p + 1) * size <= columns
                into, wide, sums = (to, columns, adds) if whole else (aside, size, 0)
                if height == TILE:
                    high_tile(x, by_row, by_step, panel, depth, sums, into, wide)
                else:
                    low_tile(x, by_row, by_step, panel, depth, sums, into, wide)
                if not whole:
                    for k in range(min(height, rows - i)):
                        for j in range(min(size, columns - p * size)):
                            found = aside[k * size + j]
                            at = k * columns + j
                            to[at] = to[at] + found if adds else found
            i += height


def given(number: str) -> tuple[Kind, ...]:
    """The kinds of what ``large_product`` is given."""
    pointer = (DOUBLE if number == "float64" else SINGLE).as_pointer()
    return (pointer, *[WORD] * 5, pointer, pointer, WORD, pointer)


@functools.cache
def own(number: str) -> int:
    """The address of ``large_product`` for such numbers; 0 where it is not faster than BLAS."""
    if not is_faster():
        return 0
    return address_of(large_product, given(number))


def product(blas: int, own: int, room: int, turn_a: int, turn_b: int, rows: int, columns: int,
            inner: int, a: Pointer, b: Pointer, keep: int, c: Pointer) -> None:  # fmt: skip
    """c = a b, or c += a b: a product of two matrices, each row after row.

    Args:
        blas: the address of its function for such numbers.
        own: that of ``large_product``, or 0: then BLAS computes large ones, too.
        room: the address of room for it.
        turn_a, turn_b: whether a is stored turned, (inner, rows); likewise b.
        rows, columns, inner: of c, and over how many products a number of it is summed.
        keep: whether it is added to c.
    """
    large = rows >= ROWS and columns >= COLUMNS and rows * columns * inner >= LARGE
    if own and large:
        invoke(own, numbers_at(room, a), turn_a, turn_b, rows, columns, inner, a, b, keep, c)
    else:
        gemm(blas, turn_a, turn_b, rows, columns, inner, a, b, keep, c)
