"""From a plan to numbers: what runs a program over rows, forward and backward.

``executor``   what each executor is given, and what it finds
``on_floats``  plain Python, one number after the other: the one to read first
``on_numpy``   many rows at a time, each instruction an operation on arrays
``machine``    machine code: a kernel for each kind of instruction, and one loop that calls them
``formulas``   the formulas of the operator table on arrays
``choose``     which one runs a program

No executor knows a derivative: of a sum it is the other factor of each term, of an operation the
slope in the operator table, and the plan says where it goes.
"""
