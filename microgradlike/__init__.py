"""A scalar autograd engine to read, to look at, and to keep."""

from microgradlike.engine import Value, detect_anomaly, no_grad
from microgradlike.functions import *  # noqa: F403
