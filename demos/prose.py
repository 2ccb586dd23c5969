"""Markdown to HTML: as much of it as the text of the demos has."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Callable

#: A list's items begin with one of these.
_ITEM = re.compile(r"(?:[-*]|(\d+)\.) +")

_MARKS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"``(.+?)``|`(.+?)`", lambda found: f"<code>{found[1] or found[2]}</code>"),
    (r"(?<![\w.-])-(?=[\d.])", lambda found: "−"),
    (r"\*\*(.+?)\*\*", lambda found: f"<strong>{found[1]}</strong>"),
    (r"(?<![\w*])\*(?![\s*])(.+?)(?<![\s*])\*(?![\w*])", lambda found: f"<em>{found[1]}</em>"),
    (r"\[([^\]]+)\]\(([^)\s]+)\)", lambda found: f'<a href="{found[2]}">{found[1]}</a>'),
)


def inline(text: str) -> str:
    """One paragraph's words: code, strong and emphasised words, links, real minus signs.

    >>> inline("the *slope* of ``w * x`` is -2: [stop 2](#company)")
    'the <em>slope</em> of <code>w * x</code> is −2: <a href="#company">stop 2</a>'
    """
    # What is code stays as it is: it may have stars in it.
    pieces = re.split(r"(``.+?``|`.+?`)", html.escape(" ".join(text.split()), quote=False))
    for place, piece in enumerate(pieces):
        marks = _MARKS[:1] if place % 2 else _MARKS[1:]
        for pattern, element in marks:
            piece = re.sub(pattern, element, piece)
        pieces[place] = piece
    return "".join(pieces)


def plain(text: str) -> str:
    """The same words without marks, for a picture's description.

    >>> plain("the *slope* of ``w * x``")
    'the slope of w * x'
    """
    return html.unescape(re.sub(r"<[^>]*>", "", inline(text)))


def blocks(text: str) -> str:
    r"""Paragraphs, headings, lists, and formulas or code that are indented by four spaces.

    >>> print(blocks("## Words\n\nTwo *words*:\n\n- one\n- two\n  and more\n\n    y = a * b"))
    <h3>Words</h3>
    <p>Two <em>words</em>:</p>
    <ul><li>one</li><li>two and more</li></ul>
    <pre>y = a * b</pre>
    """
    return "\n".join(map(_block, re.split(r"\n(?:[ ]*\n)+", text.strip("\n"))))


def _block(block: str) -> str:
    lines = block.splitlines()
    if all(line.startswith("    ") for line in lines):
        return f"<pre>{html.escape(textwrap.dedent(block), quote=False)}</pre>"
    first = _ITEM.match(block)
    if block.startswith("## "):
        return f"<h3>{inline(block[3:])}</h3>"
    if not first:
        return f"<p>{inline(block)}</p>"
    items: list[str] = []
    for line in lines:
        if _ITEM.match(line):
            items.append(_ITEM.sub("", line, count=1))
        else:
            items[-1] += f"\n{line}"
    kind = "ol" if first[1] else "ul"
    return f"<{kind}>{''.join(f'<li>{inline(item)}</li>' for item in items)}</{kind}>"
