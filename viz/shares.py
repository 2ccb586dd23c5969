"""The shares of which a gradient is the sum, where a number is used more than once: in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping

from microgradlike import typeset
from microgradlike.engine import Value
from microgradlike.flow import Step
from microgradlike.typeset import Total
from viz import style
from viz.formula import Page
from viz.slots import Quantity

#: Of a gradient of more shares than this only the sum is written.
MOST_SHARES = 6


class Shares:
    """What has come back to each number so far, and from where.

    Args:
        uses: how often each number is used.
        results: those whose gradient begins with 1.
        names: of all nodes.
    """

    def __init__(
        self, uses: Counter[Value], results: Collection[Value], names: Mapping[Value, str]
    ) -> None:
        self._uses, self._results, self._names = uses, results, names
        self._arrived: dict[Value, list[tuple[str, float]]] = {}

    def take(self, step: Step) -> None:
        """One more share has arrived."""
        share = (self._names[step.node], step.contribution)
        self._arrived.setdefault(step.parent, []).append(share)

    def in_words(self, step: Step) -> str:
        """How the gradient that was just added to comes together; nothing of one share."""
        if self.are_few(step) and self._are_all(step):
            return self.listed(step)
        return "" if step.before == 0 else self.added(step)

    def are_few(self, step: Step) -> bool:
        """Whether the shares of a number are told one by one."""
        parent = step.parent
        few = len(self._arrived[parent]) <= MOST_SHARES
        return self._uses[parent] >= 2 and parent not in self._results and few

    def added(self, step: Step) -> str:
        """The last share, and what was there before."""
        terms = f"{style.number(step.before)} + {in_sum(step.contribution)}"
        parent = self._names[step.parent]
        return f"{parent} has received before: {terms} = {style.number(step.after)}"

    def listed(self, step: Step) -> str:
        """All shares so far."""
        parent, uses = self._names[step.parent], self._uses[step.parent]
        shares = self._arrived[step.parent]
        number, times = ("two", "twice") if uses == 2 else (f"{uses:,}", f"{uses:,} times")
        told = f"{parent} is used {times}, so its gradient has {number} shares"
        if len(shares) == 1:
            return f"{told}: this is the first."
        *before, last = (f"{style.number(share)} from {node}" for node, share in shares)
        so_far = "together" if len(shares) == uses else "so far"
        return f"{told}: {', '.join(before)} and {last}, {so_far} {style.number(step.after)}."

    def equation(self, step: Step, result: str) -> str:
        """The gradient as the sum of its shares, in MathML, each with where it comes from."""
        shares = self._arrived[step.parent]
        if not 2 <= len(shares) <= MOST_SHARES or not self._are_all(step):
            return ""
        page = Page()
        terms = "<mo>+</mo>".join(
            f"<munder><mrow>{page.within(typeset.constant(share), typeset.PRODUCT)}</mrow>"
            f"<mrow><mtext>from\u00a0</mtext>{page.name(node)}</mrow></munder>"
            for node, share in shares
        )
        total = page.write(Total(result, self._names[step.parent], step.after)).text
        return f"{total}<mo>=</mo>{terms}<mo>=</mo>{page.write(typeset.constant(step.after)).text}"

    def lost_without_adding(self, step: Step) -> str:
        """What ``=`` in the place of adding would leave, where that makes a difference."""
        if step.before == 0 or step.after != step.after:
            return ""
        parent, left = self._names[step.parent], style.number(step.contribution)
        return f"Shares are added: with = instead, {parent} would keep only {left}."

    def _are_all(self, step: Step) -> bool:
        """Whether these are all that has arrived, and a number comes of them."""
        if isinstance(step.after, Quantity):
            return True
        total = math.fsum(share for _, share in self._arrived[step.parent])
        return math.isclose(total, step.after, rel_tol=1e-9, abs_tol=1e-300)


def in_sum(value: float) -> str:
    """The number as a term or a factor.

    >>> in_sum(-2.0)
    '(−2)'
    """
    if isinstance(value, Quantity):
        return value.slot("term")
    return typeset.term(value).replace("-", "−")
