"""Which executor runs a program, of the ``WAYS`` that there are."""

from __future__ import annotations

from collections.abc import Sequence

from microgradlike.compiler.program import Program
from microgradlike.executors.executor import Executor
from microgradlike.executors.on_floats import FloatsExecutor
from microgradlike.executors.on_numpy import NumpyExecutor


def executor_of(
    program: Program,
    places: Sequence[tuple[int, int]],
    on: str = "auto",
    number: str = "float64",
) -> Executor:
    """What runs a program.

    Args:
        program: to be run.
        places: for each input of the program, its argument and its column there.
        on: "machine", as machine code; "numpy"; "floats", in plain Python; "jax", by JAX; or
            "auto", the first where numba is installed, else the second.
        number: "float64" or "float32": in which machine code, or JAX, computes.

    Raises:
        ImportError: machine code is asked for, and numba is not installed; or JAX likewise.
    """
    if on == "numpy":
        return NumpyExecutor(program)
    if on == "floats":
        return FloatsExecutor(program)
    if on == "jax":
        try:
            from microgradlike.executors.on_jax import JaxExecutor
        except ImportError:
            raise ImportError('on="jax" needs JAX: pip install "microgradlike[jax]"') from None
        return JaxExecutor(program, number)
    try:
        from microgradlike.executors.machine.executor import NumbaExecutor
    except ImportError:
        if on == "auto":
            return NumpyExecutor(program)
        raise ImportError(
            'on="machine" needs numba: pip install "microgradlike[compile]"; or leave it to '
            'on="auto"'
        ) from None
    return NumbaExecutor(program, places, number)
