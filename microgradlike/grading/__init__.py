"""Judging an engine that somebody else wrote: which mistake it has, and where it shows.

Read ``probes`` first: small programs that an engine runs. ``suspects`` has the ways in which a
backward pass goes wrong, ``verdict`` finds the one whose numbers have come out. ``apart`` and
``inside`` run a student's file in a process of its own.
"""
