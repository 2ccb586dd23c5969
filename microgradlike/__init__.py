"""A scalar autograd engine to read, to look at, and to keep.

``from microgradlike import *`` leaves Python's own names alone: ``sum``, ``abs``, ``pow``,
``round`` and ``compile`` of this package are ``microgradlike.sum`` and so on.
"""

from typing import TYPE_CHECKING

from microgradlike import functions, losses, nn, optim
from microgradlike.checks import assert_derivation, check_gradients
from microgradlike.compiled import Compiled
from microgradlike.compiled import compile as compile
from microgradlike.compiler.tape import TracingError
from microgradlike.engine import Value, custom, detect_anomaly, no_grad, recorded_decisions
from microgradlike.functional import grad
from microgradlike.grading import check_engine
from microgradlike.loops import loop, while_loop
from microgradlike.tables import take
from microgradlike.training import History, evaluate, fit
from microgradlike.writers.c import to_c
from microgradlike.writers.onnx_file import to_onnx

if TYPE_CHECKING:
    from microgradlike.functions import *  # noqa: F403
else:
    globals().update(functions.FUNCTIONS)

__version__ = "0.1.0"

__all__ = [
    "Compiled",
    "History",
    "TracingError",
    "Value",
    "assert_derivation",
    "check_engine",
    "check_gradients",
    "custom",
    "detect_anomaly",
    "evaluate",
    "fit",
    "grad",
    "loop",
    "losses",
    "nn",
    "no_grad",
    "optim",
    "recorded_decisions",
    "take",
    "to_c",
    "to_onnx",
    "while_loop",
    *vars(functions)["__all__"],
]
