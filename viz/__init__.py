"""Pictures of a computation graph and of a training."""

from viz.animation import animate, frames
from viz.graph import Picture, draw, draw_dot
from viz.plots import plot_decision_boundary, plot_loss, save
from viz.render import RenderError

__all__ = [
    "Picture",
    "RenderError",
    "animate",
    "draw",
    "draw_dot",
    "frames",
    "plot_decision_boundary",
    "plot_loss",
    "save",
]
