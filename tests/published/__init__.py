"""Programs of the shapes that people publish for micrograd, which must run as they are.

A program that learns has these parts: ``parameters(number)`` makes its parameters by ``number``,
which is ``Value`` or what another engine has in its place; ``examples()`` are its columns of data;
``loss(parameters, *row)`` is the loss of one example; and ``train(parameters, total)`` is the loop
that it was published with, where ``total()`` is the loss of all examples.
"""

#: Those that learn.
LEARNING = (
    *("lecture", "moons", "bigram", "words", "gpt", "lstm", "convolution", "policy"),
    "own_values",
)
