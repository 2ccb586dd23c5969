"""What is said of each kind of mistake, and what to do about it."""

from __future__ import annotations

import re

from microgradlike.grading.probes import Use
from microgradlike.grading.suspects import Wrong, main_slope

_OPERATIONS = {
    **{"add": "Addition", "sub": "Subtraction", "mul": "Multiplication", "truediv": "Division"},
    **{"pow": "The power", "neg": "The minus sign"},
}

#: For each kind of wrong share what is said of it, and what to do; {rule} is that of the table.
_SHARES = {
    "overwritten": (
        "{Name} overwrites a gradient where it should add its share",
        "Add each share to .grad; do not assign it.",
    ),
    "sign": ("{Name} sends the gradient to {operand} with the wrong sign", "{rule}"),
    "nothing": ("{Name} sends no gradient to {operand}", "{rule}"),
    "upstream": (
        "{Name} forgets the upstream gradient and sends its local slope alone",
        "Multiply the local slope by .grad of the result.",
    ),
    "slope": (
        "{Name} forgets its local slope and sends the upstream gradient unchanged",
        "{rule}",
    ),
    "added": (
        "{Name} adds its local slope to the upstream gradient",
        "Multiply the two.",
    ),
    "parentheses": (
        "{Name} multiplies only a part of its local slope by the upstream gradient",
        "Put the whole slope, {right}, in parentheses.",
    ),
    "swapped": (
        "{Name} takes one operand for the other (its local slope at {operand} is {right}, not "
        "{wrong})",
        "{rule}",
    ),
    "input": (
        "{Name} takes its input for its result (its local slope is {right}, not {wrong})",
        "",
    ),
    "value": ("{Name} sends its value in the place of its local slope", "{rule}"),
    "formula": ("The local slope of {name} at {operand} is {right}, not {wrong}", ""),
    "unknown": ("The gradient that {name} sends to {operand} is wrong", "{rule}"),
}


def name_of(operator: str) -> str:
    """What an operation is called at the beginning of a sentence."""
    return _OPERATIONS.get(operator, operator)


def inside(operator: str) -> str:
    """What it is called within a sentence."""
    return name_of(operator).lower() if operator in _OPERATIONS else operator


def overwrites(operator: str) -> str:
    """What is said where one operation overwrites."""
    return _SHARES["overwritten"][0].format(Name=name_of(operator))


def about_share(use: Use, place: int, wrong: Wrong | None) -> tuple[str, str]:
    """What is said of what an operation sends to an operand, and what to do.

    Args:
        use: the operation.
        place: which operand it is, 0 or 1.
        wrong: its mistake; None if none is known that explains it.
    """
    operator = use.operator
    letters = dict(zip("xy", use.operands, strict=False))
    spelt = {"out": use.result} | {name: _spelt(it, use) for name, it in letters.items()}

    def told(formula: str) -> str:
        return re.sub(r"\b(x|y|out)\b", lambda found: spelt[found[0]], formula)

    claim, advice = _SHARES[wrong.kind if wrong else "unknown"]
    words = {
        "Name": name_of(operator.name),
        "name": inside(operator.name),
        "operand": str(use.operands[place]),
        "rule": f"The rule: {operator.rules[place]}.",
        "right": told(main_slope(operator, place)),
        "wrong": told(wrong.slope) if wrong else "",
    }
    return claim.format(**words), advice.format(**words)


def _spelt(operand: str | float, use: Use) -> str:
    """An operand in a formula; an exponent is n, as in the rule that one knows by heart."""
    if isinstance(operand, str):
        return operand
    return "n" if use.operator.name == "pow" else f"{operand:g}"


#: What is said of each kind of wrong pass, and what to do.
PASSES = {
    "one step": (
        "The gradient goes back one step only",
        "Let all operations send, from the result to the leaves: the topological order, reversed.",
    ),
    "overwritten": (
        "A gradient is overwritten where a share should be added",
        "Add each share to .grad; do not assign it.",
    ),
    "same value": (
        "Two numbers of the same value are taken for one",
        "Note which nodes were visited by what they are (id, or a set of nodes without __eq__), "
        "not by their value.",
    ),
    "repeated": (
        "A number that is used twice sends its gradient on more than once",
        "Sort the graph first; then let each node send once.",
    ),
    "early": (
        "A number sends its gradient on before all of its shares have arrived",
        "Let a node send after all that use it: in topological order, from the result on.",
    ),
    "left out": (
        "An operation that was reached twice, or whose operand was, never sends its gradient on",
        "Look at where nodes are marked as visited: each must get into the order once.",
    ),
}
