"""What the user holds: a compiled function.

``arguments``   the rows that it is given, checked
``compiled``    ``compile`` and ``Compiled``: values of rows, and their derivatives
``names``       what its inputs and its parameters are called
``parameters``  the Values that it closes over, and their numbers
``paths``       its traces, which become one where they meet; is it still the same function?
``traces``      the rows that it is given, each run on its path
``exploring``   traces of one path, and more of them, until they foretell further ones
``branches``    rows that run together, and how they are run
``as_written``  rows whose numbers are so large that they are computed as they were written
``ties``        the rows in which a comparison is near a tie
``spot_check``  before a path is used, the function itself is asked about a row or two
``watch``       what the function finds outside of itself, and whether it is still the same
"""
