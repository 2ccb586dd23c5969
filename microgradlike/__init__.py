"""A scalar autograd engine to read, to look at, and to keep."""

from microgradlike import functions, losses, nn, optim
from microgradlike.calculus import assert_derivation, check_gradients, grad
from microgradlike.engine import Value, detect_anomaly, no_grad
from microgradlike.functions import *  # noqa: F403
from microgradlike.training import History, evaluate, fit

__all__ = [
    "History",
    "Value",
    "assert_derivation",
    "check_gradients",
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
