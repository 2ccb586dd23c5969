"""Pictures of a computation graph and of a training."""

from viz.graph import Picture, draw, draw_dot
from viz.plots import plot_decision_boundary, plot_loss, save
from viz.render import RenderError

__all__ = [
    "Picture",
    "RenderError",
    "draw",
    "draw_dot",
    "plot_decision_boundary",
    "plot_loss",
    "save",
]
