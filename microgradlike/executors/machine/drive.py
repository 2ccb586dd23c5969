"""The loop that goes over a machine's lists, block after block of rows: Python calls it once."""

from __future__ import annotations

import math

import numpy

from microgradlike.compiler.arrays import Floats, Ints
from microgradlike.compiler.loops import loop
from microgradlike.executors.machine.addresses import (
    Pointer,
    copied,
    invoke,
    moved,
    numbers_at,
    words,
)
from microgradlike.executors.machine.kernels import WIDTH, inner, total

#: So many numbers of an argument are read from a row at a time: those of a cache line.
LINE = 8

#: What a machine consists of, by its place: addresses of lists and how long they are.
ONCE_FORWARD, FORWARD, BACKWARD, ONCE_BACKWARD, ONCE_LISTS, LISTS = range(6)
SOURCES, COPIES, SIGNS, CLEAR, FORGET, SHARED, OUTPUTS = range(6, 13)
COLUMNS, INPUTS_COUNT, AT_VALUES, AT_ERRORS, ONCE, OWED = range(13, 19)
DIRECT, LANES, PARAMETER_COUNT, SCATTERS, WATCHED_ONCE, WATCHED, SIZE = range(19, 26)
#: How many places there are.
PLACES = 26


# ---- Pieces of the loop ------------------------------------------------------------------------
# Numba writes all but the first into it, which is as fast as if they stood there.


@loop(nogil=True)
def _run_list(
    table: Ints, of: Ints, lists: int, values: int, errors: int, theta: int, slopes: int,
    lanes: int, first: int,
) -> None:  # fmt: skip
    address, count = of
    code = words(address)
    for k in range(count):
        invoke(code[k * WIDTH], address + 8 * k * WIDTH, lists, values, errors, table[ONCE, 0],
               table[OWED, 0], theta, slopes, lanes, first)  # fmt: skip


@loop(inline="always")
def _take_parameters(table: Ints, theta: Floats, once: Pointer) -> None:
    """Copy the parameters: where kernels read the caller's own, only those that others use."""
    if table[DIRECT, 0]:
        shared = words(table[SHARED, 0])
        for k in range(table[SHARED, 1]):
            once[shared[k]] = theta[shared[k]]
    else:
        for k in range(table[PARAMETER_COUNT, 0]):
            once[k] = theta[k]


@loop(inline="always")
def _give_errors(table: Ints, owed: Pointer, slopes: Floats) -> None:
    """Likewise the errors of the parameters."""
    if table[DIRECT, 0]:
        shared = words(table[SHARED, 0])
        for k in range(table[SHARED, 1]):
            slopes[shared[k]] = owed[shared[k]]
    else:
        for k in range(table[PARAMETER_COUNT, 0]):
            slopes[k] = owed[k]


@loop(inline="always")
def _copy(table: Ints, once: Pointer, signs: Pointer) -> None:
    """Copy weights and biases that are not side by side to where they are."""
    sources, copies = words(table[SOURCES, 0]), words(table[COPIES, 0])
    for k in range(table[SOURCES, 1]):
        once[copies[k]] = signs[k] * once[sources[k]]


@loop(inline="always")
def _add_errors_of_copies(table: Ints, owed: Pointer, signs: Pointer) -> None:
    """Add the errors of the copies to those of what was copied."""
    sources, copies = words(table[SOURCES, 0]), words(table[COPIES, 0])
    for k in range(table[SOURCES, 1]):
        owed[sources[k]] += signs[k] * owed[copies[k]]


@loop(inline="always")
def _once_is_small(table: Ints, theta: Pointer, once: Pointer) -> bool:
    """Whether the squares of the watched numbers that are computed once have finite sums."""
    watched, small = words(table[WATCHED_ONCE, 0]), True
    for k in range(table[WATCHED_ONCE, 1]):
        begin, size = watched[2 * k], watched[2 * k + 1]
        numbers = moved(theta if begin < table[PARAMETER_COUNT, 0] else once, begin)
        small = small and inner(numbers, numbers, size) < math.inf
    return small


@loop(inline="always")
def _clear(numbers: Pointer, address: int, count: int, lanes: int) -> None:
    """Make some stretches of slots 0, which are listed at an address."""
    stretches = words(address)
    for k in range(count):
        begin = stretches[2 * k] * lanes
        for place in range(begin, begin + stretches[2 * k + 1] * lanes):
            numbers[place] = 0.0


@loop(inline="always")
def _load(
    table: Ints, parts: Ints, values: Pointer, start: int, lanes: int, results: Floats
) -> None:
    """Put the arguments of some rows into the first slots; ``results`` are numbers as theirs."""
    columns, slot = words(table[COLUMNS, 0]), 0
    for k in range(table[COLUMNS, 1]):
        part, column, count = columns[3 * k], columns[3 * k + 1], columns[3 * k + 2]
        by_row, by_column = parts[part, 1], parts[part, 2]
        place = parts[part, 0] + column * by_column + start * by_row
        done = 0
        while done < count:
            into = moved(values, (slot + done) * lanes)
            if by_column == 8 and done + LINE <= count:  # a cache line of each row
                for lane in range(lanes):
                    line = numbers_at(place + done * 8 + lane * by_row, results)
                    for j in range(LINE):
                        into[j * lanes + lane] = line[j]
                done += LINE
            elif by_row == 8:
                copied(into, numbers_at(place + done * by_column, results), lanes)
                done += 1
            else:
                for lane in range(lanes):
                    at = place + done * by_column + lane * by_row
                    into[lane] = numbers_at(at, results)[0]
                done += 1
        slot += count


@loop(inline="always")
def _is_small(table: Ints, values: Pointer, lanes: int) -> bool:
    """Whether the squares of the watched numbers of some rows have finite sums."""
    watched, small = words(table[WATCHED, 0]), True
    for k in range(table[WATCHED, 1]):
        numbers = moved(values, watched[2 * k] * lanes)
        small = small and inner(numbers, numbers, watched[2 * k + 1] * lanes) < math.inf
    if table[SIZE, 0] >= 0:
        small = small and total(moved(values, table[SIZE, 0] * lanes), lanes) < math.inf
    return small


@loop(inline="always")
def _tell_sizes(table: Ints, values: Pointer, start: int, lanes: int, sizes: Floats) -> None:
    """Of each row 1 and the squares of its watched numbers."""
    watched = words(table[WATCHED, 0])
    for lane in range(lanes):
        sizes[start + lane] = 1.0
    for k in range(table[WATCHED, 1]):
        numbers = moved(values, watched[2 * k] * lanes)
        for slot in range(watched[2 * k + 1]):
            for lane in range(lanes):
                sizes[start + lane] += numbers[slot * lanes + lane] ** 2
    if table[SIZE, 0] >= 0:
        for lane in range(lanes):
            sizes[start + lane] += values[table[SIZE, 0] * lanes + lane]


@loop(inline="always")
def _store(
    table: Ints, values: Pointer, once: Pointer, start: int, lanes: int, results: Floats
) -> None:
    """Write the outputs of some rows."""
    outputs = words(table[OUTPUTS, 0])
    for k in range(table[OUTPUTS, 1]):
        slot = outputs[2 * k + 1]
        if outputs[2 * k]:
            for lane in range(lanes):
                results[start + lane, k] = once[slot]
        elif table[OUTPUTS, 1] == 1:
            into = numbers_at(results.ctypes.data + 8 * start, results)
            copied(into, moved(values, slot * lanes), lanes)
        else:
            for lane in range(lanes):
                results[start + lane, k] = values[slot * lanes + lane]


@loop(inline="always")
def _seed(
    table: Ints, seeds: Floats, going: int, errors: Pointer, owed: Pointer, lanes: int
) -> None:
    """Give the outputs their errors."""
    outputs = words(table[OUTPUTS, 0])
    for k in range(table[OUTPUTS, 1]):
        seed, slot = seeds[going, k], outputs[2 * k + 1]
        if seed != 0.0:
            if outputs[2 * k]:
                owed[slot] += seed * lanes
            else:
                for lane in range(lanes):
                    errors[slot * lanes + lane] += seed


@loop(inline="always")
def _gather(
    errors: Pointer, inputs: int, found: Ints, going: int, start: int, lanes: int, results: Floats
) -> None:
    """Write the errors of the inputs of some rows; ``results`` are numbers as theirs."""
    if found[2] == 8:
        for j in range(inputs):
            at = found[0] + going * found[1] + start * 8 + found[3 + j]
            copied(numbers_at(at, results), moved(errors, j * lanes), lanes)
        return
    for some in range(0, inputs, LINE):
        few = min(LINE, inputs - some)
        numbers = moved(errors, some * lanes)
        for lane in range(lanes):
            at = found[0] + going * found[1] + (start + lane) * found[2]
            for j in range(few):
                numbers_at(at + found[3 + some + j], results)[0] = numbers[j * lanes + lane]


@loop(inline="always")
def _added_up(table: Ints, results: Floats) -> float:
    """The sum of the first output."""
    if table[OUTPUTS, 1] == 1:
        return total(numbers_at(results.ctypes.data, results), len(results))
    found = 0.0
    for k in range(len(results)):
        found += results[k, 0]
    return found


# ---- The loop ----------------------------------------------------------------------------------


@loop(nogil=True)
def drive(
    table: Ints, theta: Floats, slopes: Floats, parts: Ints, rows: int, results: Floats,
    seeds: Floats, found: Ints, sizes: Floats,
) -> tuple[float, bool]:  # fmt: skip
    """Compute rows, and go back from the outputs once for each row of ``seeds``.

    Args:
        table: of the machine.
        theta, slopes: the parameters, and where their errors are written; as all that is computed
            they are of one kind, float64 or float32; the arrays below are of float64.
        parts: for each argument its address, and its strides by rows and by columns, in bytes.
        rows: how many.
        results: the outputs, shape (rows, outputs); or shape (0, 0).
        seeds: the errors of the outputs, shape (passes, outputs).
        found: for the errors of the inputs: an address, the strides by passes and by rows, and for
            each input of the program its place in bytes; the address is 0 if nobody wants them.
        sizes: what tells which rows are safe, shape (rows,), or shape (0,); see ``Call``.

    Returns:
        The sum of the first output over the rows; and whether the result is safe, see ``Ran``.
    """
    once, owed = numbers_at(table[ONCE, 0], theta), numbers_at(table[OWED, 0], theta)
    values_at, errors_at = table[AT_VALUES, 0], table[AT_ERRORS, 0]
    values, errors = numbers_at(values_at, theta), numbers_at(errors_at, theta)
    one = numpy.int64(1)  # a plain 1 would be compiled for itself
    theta_at, slopes_at = table[ONCE, 0], table[OWED, 0]
    if table[DIRECT, 0]:
        theta_at = numpy.int64(theta.ctypes.data)
        slopes_at = numpy.int64(slopes.ctypes.data)
    _take_parameters(table, theta, once)
    _run_list(table, table[ONCE_FORWARD], table[ONCE_LISTS, 0], table[ONCE, 0], table[OWED, 0],
              theta_at, slopes_at, one, one)  # fmt: skip
    signs = numbers_at(table[SIGNS, 0], theta)
    _copy(table, once, signs)
    safe_once = _once_is_small(table, numbers_at(theta_at, theta), once)
    if not safe_once:
        sizes[:] = math.inf
    passes, of_each, safe = len(seeds), len(sizes) > 0, safe_once
    scatters, first = passes > 0 and table[SCATTERS, 0] != 0, one
    if passes:
        _clear(owed, table[FORGET, 0], table[FORGET, 1], one)
    inputs, most = table[INPUTS_COUNT, 0], table[LANES, 0]
    for start in range(0, rows, most):
        lanes = min(most, rows - start)
        _load(table, parts, values, start, lanes, results)
        _run_list(table, table[FORWARD], table[LISTS, 0], values_at, errors_at, theta_at, slopes_at,
                  lanes, first)  # fmt: skip
        small = _is_small(table, values, lanes)
        if of_each and safe_once and not small:
            _tell_sizes(table, values, start, lanes, sizes)
        safe = safe and small
        if len(results):
            _store(table, values, once, start, lanes, results)
        if scatters and of_each and not (small and safe_once):
            continue
        for going in range(passes):
            _clear(errors, table[CLEAR, 0], table[CLEAR, 1], lanes)
            _seed(table, seeds, going, errors, owed, lanes)
            _run_list(table, table[BACKWARD], table[LISTS, 0], values_at, errors_at, theta_at,
                      slopes_at, lanes, first)  # fmt: skip
            if found[0]:
                small = inner(errors, errors, inputs * lanes) < math.inf
                safe = safe and small
                _gather(errors, inputs, found, going, start, lanes, results)
                for place in range(inputs * lanes if of_each and not small else 0):
                    sizes[start + place % lanes] += errors[place] ** 2
        first = 0 * one
    if scatters:
        _add_errors_of_copies(table, owed, signs)
        _run_list(table, table[ONCE_BACKWARD], table[ONCE_LISTS, 0], table[ONCE, 0],
                  table[OWED, 0], theta_at, slopes_at, one, one)  # fmt: skip
        _give_errors(table, owed, slopes)
        if first:  # no block has gone back
            slopes[:] = 0.0
        safe = safe and inner(slopes, slopes, len(slopes)) < math.inf
    return _added_up(table, results), safe
