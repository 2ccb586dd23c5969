"""Exercises on backpropagation: drawn from any function, proved, with the mistakes named."""

from microgradlike.exercises.exercise import Exercise, Mark, Wrong
from microgradlike.exercises.making import KINDS, generate

__all__ = ["KINDS", "Exercise", "Mark", "Wrong", "generate"]
