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
        parent, uses = self._names[step.parent], self._uses[step.parent]
        shares = self._arrived[step.parent]
        if uses < 2 or step.parent in self._results or not self._can_be_listed(step):
            if step.before == 0:
                return ""
            terms = f"{style.number(step.before)} + {in_sum(step.contribution)}"
            return f"{parent} has received before: {terms} = {style.number(step.after)}"
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
        if len(shares) < 2 or not self._can_be_listed(step):
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

    def _can_be_listed(self, step: Step) -> bool:
        """Whether the shares are few, and all that has arrived: none came with those of a part."""
        shares = self._arrived[step.parent]
        total = math.fsum(share for _, share in shares)
        whole = math.isclose(total, step.after, rel_tol=1e-9, abs_tol=1e-300)
        return len(shares) <= MOST_SHARES and whole


def in_sum(value: float) -> str:
    """The number as a term or a factor.

    >>> in_sum(-2.0)
    '(−2)'
    """
    return typeset.term(value).replace("-", "−")
