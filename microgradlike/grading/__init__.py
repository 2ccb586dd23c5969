"""Judging an engine that somebody else wrote: which mistake it has, and where it shows.

Read ``probes`` first: small programs that an engine runs. ``suspects`` has the ways in which a
backward pass goes wrong, and ``judge`` finds the one whose numbers came out. ``apart`` and
``inside`` do this with a student's file, in a process of its own.
"""

from microgradlike.grading.apart import check_file
from microgradlike.grading.judge import check_engine
from microgradlike.grading.verdict import Mistake, Verdict

__all__ = ["Mistake", "Verdict", "check_engine", "check_file"]
