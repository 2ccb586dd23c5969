"""What a writer cannot say is refused by one sentence, which quotes the line of user code."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from microgradlike.engine import Value, detect_anomaly, lines_of_nodes

if TYPE_CHECKING:
    from microgradlike.replay.derived import Derivatives

#: So many digits can be rounded to: ten to that power is a float exactly.
MOST_DIGITS = 22


class CannotWrite(ValueError):
    """What is not written, in a sentence.

    Args:
        operation: its name in the operator table.
        why: the sentence.
    """

    def __init__(self, operation: str, why: str) -> None:
        super().__init__(why)
        self.operation = operation


def power_of_ten(digits: float | None) -> float:
    """By what ``round(x, n)`` multiplies before it rounds, or divides if ``n`` is negative.

    Raises:
        CannotWrite: there are too many digits, or they are not known when the file is written.
    """
    if digits is None:
        given = "n is a Value"
    elif abs(digits) <= MOST_DIGITS and digits == int(digits):
        return 10.0 ** abs(int(digits))
    else:
        given = f"n is {digits:g}"
    raise CannotWrite(
        "round_to",
        f"round(x, n) is written for numbers n from -{MOST_DIGITS} to {MOST_DIGITS}, but {given}",
    )


@contextlib.contextmanager
def naming_the_line(c: Derivatives) -> Iterator[None]:
    """Within this block a refusal tells where the function does what is refused.

    Raises:
        ValueError: something in the function cannot be written.
    """
    try:
        yield
    except CannotWrite as error:
        line = _line_of(c, error.operation)
        raise ValueError(f"{error}{line and f', at {line}'}") from None


def _line_of(c: Derivatives, operation: str) -> str:
    """The first line that does an operation, when the function runs on the rows it was traced on;
    "" if it cannot run there by itself."""
    for origin in (origin for path in c._paths for origin in path.origins):
        with detect_anomaly():
            made = lines_of_nodes()
            with contextlib.suppress(Exception):
                c.function(*map(_as_values, origin.arguments.given(0)))
        for node, line in made.items():
            if node.op == operation:
                return line
    return ""


def _as_values(given: object) -> object:
    """Floats of a row as Values; integers are counts, or labels."""
    if isinstance(given, list):
        return list(map(_as_values, given))
    return Value(given) if isinstance(given, float) else given
