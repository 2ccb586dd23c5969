"""Exercises on backpropagation: drawn from any function, proved, with the mistakes named."""

from microgradlike.exercises.exercise import Exercise, Mark, Sketch, Wrong
from microgradlike.exercises.files import FORMATS, as_json, moodle, notebook, save
from microgradlike.exercises.making import KINDS, along, generate, versions
from microgradlike.exercises.paper import paper

__all__ = [
    "FORMATS",
    "KINDS",
    "Exercise",
    "Mark",
    "Sketch",
    "Wrong",
    "along",
    "as_json",
    "generate",
    "moodle",
    "notebook",
    "paper",
    "save",
    "versions",
]
