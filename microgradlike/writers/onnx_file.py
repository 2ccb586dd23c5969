"""to_onnx(): a compiled function as a file of ONNX; the library is imported when it is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microgradlike.replay.derived import Derivatives


def to_onnx(
    c: Derivatives, path: str | os.PathLike[str], *, gradient: bool = False, reduce: str = "mean",
    dtype: str = "float64", theta_as_input: bool = False, rounds: int = 10_000,
) -> Path:  # fmt: skip
    """Write a compiled function as an ONNX file, which takes any number of rows.

    Its inputs are called as the arguments of the function, and are floats of shape (rows, ...). Its
    output is ``output``, of shape (rows,), or (rows, outputs) if the function returns a list. Rows
    that it cannot compute are NaN, and so are their gradients: such as take a branch that was not
    traced, an entry that is not in its table, or more rounds than there are.

    Args:
        c: a compiled function that has seen rows of all its branches.
        path: where to; it ends in ``.onnx``.
        gradient: whether the model gives derivatives, too: ``mean`` or ``sum``, that of the rows;
            ``gradient``, of that by the parameters, shape (parameters,), in the order of
            ``c.parameters``; and for each argument ``x`` ``gradient_x``, of each row's output by
            that row's input, of the input's shape. If the function returns a list, these are of
            each output: shapes (outputs,), (outputs, parameters) and (rows, outputs, ...), and
            there is a backward pass for each.
        reduce: "mean" or "sum": of which the gradient by the parameters is.
        dtype: "float64" or "float32", of all inputs, outputs and parameters.
        theta_as_input: whether the parameters are an input ``theta``, shape (parameters,). By
            default they stand in the model, with the numbers that they have now.
        rounds: of a loop that ends by itself, so many are done at most.

    Returns:
        The path.

    Raises:
        ImportError: the library ``onnx`` is not installed.
        TypeError, ValueError: the function was not traced yet, or ONNX cannot say it; no file was
            touched.
        OSError: the file cannot be written there; what was there is there still.

    >>> import tempfile
    >>> from microgradlike import Value, compile
    >>> w = Value(3.0, label="w")
    >>> c = compile(lambda x: (w * x).relu()).trace([1.0])
    >>> to_onnx(c, tempfile.mkdtemp() + "/relu.onnx", gradient=True).name
    'relu.onnx'
    """
    try:
        from microgradlike.writers import onnx
    except ImportError:
        raise ImportError('to_onnx() needs ONNX: pip install "microgradlike[onnx]"') from None
    return onnx.to_onnx(c, path, gradient, reduce, dtype, theta_as_input, rounds)
