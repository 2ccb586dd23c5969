"""Numbers that a page computes itself: a sentence that is given such a one gets a slot for it."""

from __future__ import annotations


class Quantity(float):
    """A number of the graph by its name; what it is, the page knows.

    Here it is one that no sentence has a word of its own for.

    Args:
        name: what the script of the page calls it, such as ``"grad 3"``.

    >>> Quantity("grad 3").slot("signed")
    '\\x02signed grad 3\\x03'
    """

    name: str

    def __new__(cls, name: str) -> Quantity:
        quantity = super().__new__(cls, 1.5)
        quantity.name = name
        return quantity

    def slot(self, how: str) -> str:
        """The place for it in a text, and how it is written there: no name has these characters."""
        return f"\x02{how} {self.name}\x03"
