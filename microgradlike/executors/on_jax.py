"""Runs a program by JAX: on a GPU or a TPU, where JAX finds one.

JAX has compiled it for a number of rows once, and differentiates it itself; what it computes is
written in ``writers/arrays.py``.
"""

from __future__ import annotations

import math
import sys

import jax
import numpy

from microgradlike.compiler.arrays import Array, Floats, Truths
from microgradlike.compiler.instructions import PARAMETERS
from microgradlike.compiler.program import Program
from microgradlike.executors.executor import Call, Executor, Ran, is_small
from microgradlike.writers.arrays import Result, Written
from microgradlike.writers.jax import JaxLibrary

#: Older versions have it elsewhere.
_in_float64 = (jax if hasattr(jax, "enable_x64") else jax.experimental).enable_x64

#: A block of rows has so many numbers at most, in all slots.
BLOCK = 2**25

#: So many rounds of a loop that ends by itself, at first; twice as many where they do not suffice.
ROUNDS = 1024


class JaxExecutor(Executor):
    """A program at work in JAX.

    Args:
        program: that is run.
        number: "float64" or "float32": in which it computes.
    """

    def __init__(self, program: Program, number: str = "float64") -> None:
        self.program, self.number, self.rounds = program, number, ROUNDS
        self.most = max(1, BLOCK // max(program.rows.slots, 1))
        self._write()

    def _write(self) -> None:
        written = Written(self.program, JaxLibrary(self.rounds))
        self._forward = jax.jit(written)

        def back(theta: Array, inputs: Array, seeds: Array, mode: int) -> Array:
            """The errors of the parameters, or of the inputs, of these errors of the outputs."""
            of_theta = mode == PARAMETERS
            outputs, send = jax.vjp(
                lambda x: written(x, inputs).outputs if of_theta else written(theta, x).outputs,
                theta if of_theta else inputs,
            )
            return send(jax.numpy.broadcast_to(seeds[:, None], outputs.shape))[0]

        self._back = jax.jit(back, static_argnums=3)

    def _results(self, theta: Array, inputs: Array) -> Result:
        """What a block of rows gives, with as many rounds as it needs."""
        while True:
            found: Result = self._forward(theta, inputs)
            if found.unfinished is None or not found.unfinished.any():
                return found
            self.rounds *= 2
            self._write()

    def run(self, call: Call) -> Ran:
        """Compute all rows, and send errors back from the outputs if there are seeds."""
        with _in_float64(self.number == "float64"), numpy.errstate(all="ignore"):
            return self._run(call)

    def _run(self, call: Call) -> Ran:
        theta = jax.numpy.asarray(call.theta, self.number)
        errors, total, safe = numpy.zeros(len(call.theta)), 0.0, True
        sends = call.seeds is not None and call.mode == PARAMETERS
        is_tiny = _is_tiny(call.theta).any()
        for start in range(0, call.rows.count, self.most):
            end = min(start + self.most, call.rows.count)
            loaded = numpy.zeros((max(len(self.program.inputs), 1), end - start))
            call.rows.load(loaded, start, end)
            inputs = jax.numpy.asarray(loaded[: len(self.program.inputs)], self.number)
            found = self._results(theta, inputs)
            outputs, squares = (numpy.array(x, float) for x in found[:2])
            squares[is_tiny | _is_tiny(loaded).any(axis=0)] = math.inf
            total += float(outputs[0].sum())
            if call.results is not None:
                call.results[start:end] = outputs.T
            small = bool(numpy.isfinite(squares.sum()))
            safe = safe and small
            if call.sizes is not None and not small:
                call.sizes[start:end] = 1.0 + squares  # of a row that is not safe: not finite
                if sends:
                    continue
            for going, seeds in enumerate(() if call.seeds is None else call.seeds):
                seeds = jax.numpy.asarray(seeds, self.number)
                sent = numpy.asarray(self._back(theta, inputs, seeds, call.mode), float)
                if call.found is None:
                    errors += sent
                else:
                    call.rows.store(sent, call.found[going], start, end)
        if call.found is not None and call.sizes is not None:
            numpy.add(call.sizes, (call.found**2).sum(axis=(0, 2)), out=call.sizes)
        return Ran(errors, total, safe and is_small(errors if call.found is None else call.found))


def _is_tiny(x: Floats) -> Truths:
    """Which numbers are so small that they have fewer digits: JAX takes them for 0."""
    tiny: Truths = (x != 0) & (abs(x) < sys.float_info.min)
    return tiny
