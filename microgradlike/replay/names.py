"""What the inputs and the parameters of a compiled function are called."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import numpy

from microgradlike.engine import Value
from microgradlike.reach import is_theirs
from microgradlike.replay.compiled import Compiled
from microgradlike.words import literal


@dataclass(frozen=True)
class Names:
    """What inputs and parameters are called."""

    arguments: list[str]
    """For each number of a row, the argument that it stands in."""
    inputs: list[str]
    """The same with its place there, such as ``x[0]``."""
    variables: dict[Value, str]
    """The variable in which the function finds a parameter."""
    places: dict[Value, int]
    """The place of a parameter in ``theta()``."""

    @classmethod
    def of(cls, c: Compiled) -> Names:
        """What a function that was traced calls its inputs and its parameters."""
        arguments, inputs = [], []
        for name, shape in zip(_arguments(c), c._shapes, strict=True):
            for index in numpy.ndindex(shape):
                arguments.append(name)
                inputs.append(name + "".join(f"[{place}]" for place in index))
        places = {parameter: place for place, parameter in enumerate(c.parameters)}
        return cls(arguments, inputs, _variables(c.function), places)

    def parameter(self, value: Value) -> str:
        """The label of a parameter, or else its variable, or else its place."""
        return literal(value.label or self.variables.get(value, f"θ[{self.places[value]}]"))


def _arguments(c: Compiled) -> list[str]:
    try:
        signature = list(inspect.signature(c.function).parameters.values())
    except ValueError:  # a function that was not written in Python
        signature = []
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in signature if parameter.kind in plain]
    count = len(c._shapes)
    return [*names, *(f"argument {place + 1}" for place in range(len(names), count))][:count]


def _variables(function: object) -> dict[Value, str]:
    """The variables in which a function, or one that it calls, finds Values, or lists of them."""
    found: dict[str, Value] = {}
    named: set[Value] = set()

    def name(value: object, called: str) -> None:
        if isinstance(value, Value):
            if value not in named and called not in found:  # one name is for one Value
                found[called] = value
                named.add(value)
        elif isinstance(value, list | tuple):
            for place, part in enumerate(value):
                name(part, f"{called}[{place}]")

    functions = [function] if inspect.isfunction(function) else []
    for f in functions:  # those that are called are appended meanwhile
        closed = inspect.getclosurevars(f)
        for called, value in {**closed.globals, **closed.nonlocals}.items():
            name(value, called)
            if inspect.isfunction(value) and is_theirs(value) and value not in functions:
                functions.append(value)
    return {value: called for called, value in found.items()}
