"""Tests by the row they hold: A is engine and calculus, B compile and fit, C pictures."""
