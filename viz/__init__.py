"""Pictures and pages of a computation graph, of its backward sweep, and of a training."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from viz.animation import Animation, animate, frames
    from viz.compiled.drawing import draw_compiled
    from viz.compiled.stages import Stages, save_stages
    from viz.drawing import draw, draw_dot
    from viz.lesson import Lesson, save_lesson
    from viz.movie import Movie, save_movie
    from viz.network import draw_network
    from viz.picture import Picture
    from viz.playground import Playground, save_playground
    from viz.plots import plot_decision_boundary, plot_loss, save
    from viz.render import RenderError
    from viz.stepper import Stepper, save_stepper

__all__ = [
    "Animation",
    "Lesson",
    "Movie",
    "Picture",
    "Playground",
    "RenderError",
    "Stages",
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
    "save_lesson",
    "save_movie",
    "save_playground",
    "save_stages",
    "save_stepper",
]

_HOMES = {
    "animation": ("Animation", "animate", "frames"),
    "compiled.drawing": ("draw_compiled",),
    "compiled.stages": ("Stages", "save_stages"),
    "drawing": ("draw", "draw_dot"),
    "lesson": ("Lesson", "save_lesson"),
    "movie": ("Movie", "save_movie"),
    "network": ("draw_network",),
    "picture": ("Picture",),
    "playground": ("Playground", "save_playground"),
    "plots": ("plot_decision_boundary", "plot_loss", "save"),
    "render": ("RenderError",),
    "stepper": ("Stepper", "save_stepper"),
}


def __getattr__(name: str) -> Any:
    """Load the module of a name when it is asked for: who draws nothing does not wait for it."""
    for home, names in _HOMES.items():
        if name in names:
            found = globals()[name] = getattr(importlib.import_module(f"viz.{home}"), name)
            return found
    raise AttributeError(f"module 'viz' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
