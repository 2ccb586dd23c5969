"""A scalar autograd engine to read, to look at, and to keep."""

from microgradlike import functions, losses, nn, optim
from microgradlike.calculus import assert_derivation, check_gradients, grad
from microgradlike.compiled import Compiled, compile
from microgradlike.engine import Value, custom, detect_anomaly, no_grad
from microgradlike.functions import *  # noqa: F403
from microgradlike.tape import TracingError
from microgradlike.training import History, evaluate, fit

__all__ = [
    "Compiled",
    "History",
    "TracingError",
    "Value",
    "assert_derivation",
    "check_gradients",
    "compile",
    "custom",
    "detect_anomaly",
    "evaluate",
    "fit",
    "grad",
    "losses",
    "nn",
    "no_grad",
    "optim",
    *sorted(functions.FUNCTIONS),
]
