"""The loop that goes over a machine's lists, block after block of rows: Python calls it once."""

from __future__ import annotations

import math
from typing import Any

import numpy

from microgradlike.compiler.loops import loop
from microgradlike.executors.machine.addresses import moved, numbers_at
from microgradlike.executors.machine.kernels import WIDTH, inner, invoke, words

#: So many numbers of an argument are read from a row at a time: those of a cache line.
LINE = 8

#: What a machine consists of, by its place: addresses of lists and how long they are.
ONCE_FORWARD, FORWARD, BACKWARD, ONCE_BACKWARD, ONCE_LISTS, LISTS = range(6)
SOURCES, COPIES, SIGNS, CLEAR, FORGET, SHARED, OUTPUTS = range(6, 13)
COLUMNS, INPUTS_COUNT, AT_VALUES, AT_ERRORS, ONCE, OWED = range(13, 19)
DIRECT, LANES, PARAMETER_COUNT, SCATTERS, WATCHED_ONCE, WATCHED = range(19, 25)
#: How many places there are.
PLACES = 25


@loop(nogil=True)
def _run_list(table: Any, of: Any, lists: int, values: int, errors: int, theta: int, slopes: int,
              lanes: int, first: int) -> None:  # fmt: skip
    address, count = of
    code = words(address)
    for k in range(count):
        invoke(code[k * WIDTH], address + 8 * k * WIDTH, lists, values, errors, table[ONCE, 0],
               table[OWED, 0], theta, slopes, lanes, first)  # fmt: skip


@loop(nogil=True)
def drive(table: Any, theta: Any, slopes: Any, parts: Any, rows: int, results: Any, seeds: Any,
           found: Any, sizes: Any) -> Any:  # fmt: skip
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
    count, direct = table[PARAMETER_COUNT, 0], table[DIRECT, 0]
    one = numpy.int64(1)  # a plain 1 would be compiled for itself
    shared = words(table[SHARED, 0])
    if direct:
        for k in range(table[SHARED, 1]):
            once[shared[k]] = theta[shared[k]]
        theta_at = numpy.int64(theta.ctypes.data)
        slopes_at = numpy.int64(slopes.ctypes.data)
    else:
        for k in range(count):
            once[k] = theta[k]
        theta_at, slopes_at = table[ONCE, 0], table[OWED, 0]
    _run_list(table, table[ONCE_FORWARD], table[ONCE_LISTS, 0], table[ONCE, 0], table[OWED, 0],
              theta_at, slopes_at, one, one)  # fmt: skip
    sources, copies = words(table[SOURCES, 0]), words(table[COPIES, 0])
    signs = numbers_at(table[SIGNS, 0], theta)
    for k in range(table[SOURCES, 1]):
        once[copies[k]] = signs[k] * once[sources[k]]
    passes, safe, of_each = len(seeds), True, len(sizes) > 0
    scatters, first = passes > 0 and table[SCATTERS, 0] != 0, one
    watched_once, watched = words(table[WATCHED_ONCE, 0]), words(table[WATCHED, 0])
    for k in range(table[WATCHED_ONCE, 1]):
        begin, size = watched_once[2 * k], watched_once[2 * k + 1]
        base = numbers_at(theta_at, theta) if begin < count else once
        numbers = moved(base, begin)
        safe = safe and inner(numbers, numbers, size) < math.inf
    safe_once = safe
    if not safe_once:
        sizes[:] = math.inf
    if passes:
        forget = words(table[FORGET, 0])
        for k in range(table[FORGET, 1]):
            for slot in range(forget[2 * k], forget[2 * k] + forget[2 * k + 1]):
                owed[slot] = 0.0
    outputs, output_count = words(table[OUTPUTS, 0]), table[OUTPUTS, 1]
    clear = words(table[CLEAR, 0])
    columns, inputs, most = words(table[COLUMNS, 0]), table[INPUTS_COUNT, 0], table[LANES, 0]
    for start in range(0, rows, most):
        lanes = min(most, rows - start)
        slot = 0
        for k in range(table[COLUMNS, 1]):
            part, column, count_here = columns[3 * k], columns[3 * k + 1], columns[3 * k + 2]
            by_row, by_column = parts[part, 1], parts[part, 2]
            place = parts[part, 0] + column * by_column + start * by_row
            done = 0
            while done < count_here:
                into = moved(values, (slot + done) * lanes)
                if by_column == 8 and done + LINE <= count_here:  # a cache line of each row
                    for lane in range(lanes):
                        line = numbers_at(place + done * 8 + lane * by_row, results)
                        for j in range(LINE):
                            into[j * lanes + lane] = line[j]
                    done += LINE
                else:
                    for lane in range(lanes):
                        at = place + done * by_column + lane * by_row
                        into[lane] = numbers_at(at, results)[0]
                    done += 1
            slot += count_here
        _run_list(table, table[FORWARD], table[LISTS, 0], values_at, errors_at, theta_at, slopes_at,
                  lanes, first)  # fmt: skip
        small = True
        for k in range(table[WATCHED, 1]):
            numbers = moved(values, watched[2 * k] * lanes)
            small = small and inner(numbers, numbers, watched[2 * k + 1] * lanes) < math.inf
        if of_each and safe_once and not small:
            for lane in range(lanes):
                sizes[start + lane] = 1.0
            for k in range(table[WATCHED, 1]):
                numbers = moved(values, watched[2 * k] * lanes)
                for slot in range(watched[2 * k + 1]):
                    for lane in range(lanes):
                        sizes[start + lane] += numbers[slot * lanes + lane] ** 2
        safe = safe and small
        if len(results):
            for k in range(output_count):
                slot = outputs[2 * k + 1]
                if outputs[2 * k]:
                    for lane in range(lanes):
                        results[start + lane, k] = once[slot]
                else:
                    for lane in range(lanes):
                        results[start + lane, k] = values[slot * lanes + lane]
        if scatters and of_each and not (small and safe_once):
            continue
        for going in range(passes):
            for k in range(table[CLEAR, 1]):
                begin = clear[2 * k] * lanes
                for place in range(begin, begin + clear[2 * k + 1] * lanes):
                    errors[place] = 0.0
            for k in range(output_count):
                seed, slot = seeds[going, k], outputs[2 * k + 1]
                if seed != 0.0:
                    if outputs[2 * k]:
                        owed[slot] += seed * lanes
                    else:
                        for lane in range(lanes):
                            errors[slot * lanes + lane] += seed
            _run_list(table, table[BACKWARD], table[LISTS, 0], values_at, errors_at, theta_at,
                      slopes_at, lanes, first)  # fmt: skip
            if found[0]:
                small = inner(errors, errors, inputs * lanes) < math.inf
                safe = safe and small
                for some in range(0, inputs, LINE):
                    few = min(LINE, inputs - some)
                    numbers = moved(errors, some * lanes)
                    for lane in range(lanes):
                        at = found[0] + going * found[1] + (start + lane) * found[2]
                        for j in range(few):
                            error = numbers[j * lanes + lane]
                            numbers_at(at + found[3 + some + j], results)[0] = error
                for place in range(inputs * lanes if of_each and not small else 0):
                    sizes[start + place % lanes] += errors[place] ** 2
        first = 0 * one
    if scatters:
        for k in range(table[SOURCES, 1]):
            owed[sources[k]] += signs[k] * owed[copies[k]]
        _run_list(table, table[ONCE_BACKWARD], table[ONCE_LISTS, 0], table[ONCE, 0],
                  table[OWED, 0], theta_at, slopes_at, one, one)  # fmt: skip
        if direct:
            for k in range(table[SHARED, 1]):
                slopes[shared[k]] = owed[shared[k]]
        else:
            for k in range(count):
                slopes[k] = owed[k]
        if first:  # no block has gone back
            slopes[:] = 0.0
    sum_of_outputs = 0.0
    for k in range(len(results)):
        sum_of_outputs += results[k, 0]
    if scatters:
        safe = safe and inner(slopes, slopes, len(slopes)) < math.inf
    return sum_of_outputs, safe
