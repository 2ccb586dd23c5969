"""Which outputs of a tape depend on which inputs: what else is zero in a Jacobian."""

from __future__ import annotations

import numpy

from microgradlike.compiler.arrays import Ints, Truths
from microgradlike.compiler.loops import loop
from microgradlike.compiler.operations import ARITY, CODES
from microgradlike.compiler.tape import Tape

#: More memory than so many bytes is not spent on finding it out.
MOST = 2**26


def dependence(tape: Tape, inputs: int) -> Truths:
    """Which output of a tape may depend on which of so many inputs, shape (outputs, inputs)."""
    words = -(-inputs // 64)
    if tape.loops.rounds or len(tape.nodes) * words * 8 > MOST:
        return numpy.ones((len(tape.outputs), inputs), bool)
    bits = numpy.zeros((len(tape.nodes) + 1, words), numpy.uint64)  # the last one is a constant's
    code = numpy.frombuffer(tape.nodes, numpy.uint8)
    left, right = (numpy.frombuffer(side, numpy.int32) for side in (tape.left, tape.right))
    _find_inputs(code, left, right, ARITY, CODES["input"], bits)
    of_outputs = bits[[out if out >= 0 else -1 for out in tape.outputs]]
    every = numpy.unpackbits(of_outputs.view(numpy.uint8), axis=1, bitorder="little")
    return every[:, :inputs].astype(bool)


@loop()
def _find_inputs(code: Ints, left: Ints, right: Ints, arity: Ints, given: int, bits: Ints) -> None:
    """The inputs that each node is computed from, as bits."""
    for n in range(len(code)):
        if code[n] == given:
            bits[n, left[n] // 64] |= numpy.uint64(1) << numpy.uint64(left[n] % 64)
        for side in range(arity[code[n]]):
            operand = left[n] if side == 0 else right[n]
            for word in range(bits.shape[1] if operand >= 0 else 0):
                bits[n, word] |= bits[operand, word]
