"""``compile``: a function of one example becomes one of many rows; how, is told in ``replay``."""

from microgradlike.replay.compiled import Compiled, Total, compile

__all__ = ["Compiled", "Total", "compile"]
