"""From a function to a plan: what it computes, in which instructions, and what they send backward.

The rooms in the order of the data. Each pass is a function, and what it makes is not changed later:

``operations``    what a node can be
``tape``          a function, run once on Values that write down what is done with them -> ``Tape``
``joined``        traces that part at an ``if`` and meet again, lined up -> ``Joined``
``choices``       what each step takes, by how conditions were decided -> ``Choices``
``together``      one tape of them, which chooses in each row -> ``Told``
``graph``         the same without repetition, and when each node is computed -> ``Graph``
``forms``         sums of terms, however they were written, and folds -> ``Forms``
``levels``        each sum ready to be one instruction, and how deep everything is -> ``Levels``
``stretches``     where operations have so little in common that one after the other is best
``grouping``      what is computed together: instructions over nodes -> ``Grouped``
``instructions``  what they are
``slots``         every number gets its slot -> ``Program``
``plan``          what is sent backward, and who is the first to send to a slot -> ``Plan``

``passes`` lists them, ``verify`` has the law of each, and ``show`` shows what each has made:

    python -m microgradlike.compiler FILE:FUNCTION ARGUMENT ...

``dependence`` tells which outputs depend on which inputs: most of a Jacobian may be zero.

``loops`` and ``kept_code`` compile the loops over arrays, once on a machine.
"""
