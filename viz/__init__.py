"""Pictures and pages of a computation graph, of its backward sweep, and of a training."""

from viz.animation import animate, frames
from viz.compiled import draw_compiled
from viz.graph import draw, draw_dot
from viz.movie import save_movie
from viz.network import draw_network
from viz.picture import Picture
from viz.plots import plot_decision_boundary, plot_loss, save
from viz.render import RenderError
from viz.stepper import Stepper, save_stepper

__all__ = [
    "Picture",
    "RenderError",
    "Stepper",
    "animate",
    "draw",
    "draw_compiled",
    "draw_dot",
    "draw_network",
    "frames",
    "plot_decision_boundary",
    "plot_loss",
    "save",
    "save_movie",
    "save_stepper",
]
