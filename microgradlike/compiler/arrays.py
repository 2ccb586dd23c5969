"""What the arrays of the compiler and of its executors hold, as types; each may have any shape."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy
import numpy.typing

#: Whole numbers of any size: nodes, slots, codes, counts.
Ints: TypeAlias = "numpy.typing.NDArray[numpy.integer[Any]]"
Floats: TypeAlias = "numpy.typing.NDArray[numpy.float64]"
Truths: TypeAlias = "numpy.typing.NDArray[numpy.bool_]"
#: An array of any library, which has no type here; also of whole numbers, or of truths.
Array: TypeAlias = Any
