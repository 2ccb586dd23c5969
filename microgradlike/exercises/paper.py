"""Exercises on paper: sheets for neighbours, and the key at the end, as one page that prints."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence

from microgradlike.exercises.exercise import Exercise
from microgradlike.sweep import nodes

#: A graph of more nodes than this is not drawn: its numbers would be too small to read.
MOST_NODES = 12

_SHEET = """
body{margin:0 auto;max-width:180mm;padding:8mm;background:#fff;color:#111;
font:11.5pt/1.45 Arial,Helvetica,"Liberation Sans",sans-serif}
section{break-after:page}
section:last-of-type{break-after:auto}
h1{font-size:15pt;margin:0}
h2{font-size:12pt;margin:6mm 0 2mm}
.top{display:flex;flex-wrap:wrap;gap:2mm 8mm;align-items:baseline;border-bottom:1.5pt solid #111;
padding-bottom:2mm}
.top span{color:#595959}
.top .who{margin-left:auto;color:#111}
ol{padding-left:8mm;margin:4mm 0 0}
li{break-inside:avoid;margin:0 0 6mm;padding-left:2mm}
li::marker{font-weight:bold}
p{margin:0}
.asks{font-weight:bold;margin-top:1mm}
.lines{font-variant-numeric:tabular-nums}
.box{display:inline-block;min-width:42mm;height:9mm;border:1pt solid #111;border-radius:1.5mm;
vertical-align:middle;margin-left:2mm}
.answer{margin-top:2.5mm}
.choices{list-style:upper-alpha;margin:1.5mm 0 0;padding-left:8mm;columns:2}
.choices li{margin:0 0 1mm;break-inside:avoid}
.choices li::marker{font-weight:normal}
svg{display:block;max-width:100%;height:auto;margin:2.5mm 0}
.key li{margin-bottom:2.5mm;break-inside:avoid}
.foot{color:#595959;font-size:9pt;margin-top:6mm}
@media print{body{padding:0;max-width:none}.foot{display:none}}
"""

_PAGE = """<!doctype html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{sheet}</style>
</head>
<body>
{sections}
</body>
</html>
"""


def paper(versions: Mapping[str, Sequence[Exercise]]) -> str:
    """Sheets with room for the answers, and the keys of all of them at the end.

    Args:
        versions: the exercises of each version, by its letter.

    Returns:
        One HTML page, which prints on A4 and on letter paper. The foot of each sheet tells the
        seed, so that it can be made again.

    >>> from microgradlike import exercises
    >>> page = paper({"A": exercises.generate(kind="update", count=2, seed=7)})
    >>> page.count("<li>"), "seed 7" in page
    (4, True)
    """
    sheets = [_sheet(letter, made) for letter, made in versions.items()]
    keys = "".join(
        f'<h2>Version {letter}</h2>\n<ol class="key">{_keys(made)}</ol>\n'
        for letter, made in versions.items()
    )
    foots = {letter: _foot(letter, made) for letter, made in versions.items()}
    first = next(iter(foots.values()))
    key = first.replace(first.partition(",")[0], "Key", 1)
    sections = [
        *sheets,
        f'<section class="on-key"><div class="top"><h1>Key</h1></div>\n{keys}'
        f'<p class="foot">{key}</p></section>',
    ]
    rules = [
        f'@page v{letter}{{@bottom-left{{content:"{foot}"}}}}' for letter, foot in foots.items()
    ]
    rules += [f".on-{letter}{{page:v{letter}}}" for letter in foots]
    from viz import style  # pictures are wanted only here

    sheet = style.page_stylesheet() + _SHEET + _PRINT.replace("KEY", key) + "".join(rules)
    return _PAGE.format(
        title="Exercises on backpropagation", sheet=sheet, sections="\n".join(sections)
    )


_PRINT = """
@page{margin:16mm 16mm 18mm;@bottom-right{content:counter(page);font:9pt Arial,sans-serif}
@bottom-left{content:"KEY";font:9pt Arial,sans-serif}}
"""


def _foot(letter: str, made: Sequence[Exercise]) -> str:
    return f"Version {letter}, seed {made[0].seed}, levels {_levels(made)}. microgradlike"


def _levels(made: Iterable[Exercise]) -> str:
    levels = sorted({one.level for one in made})
    return str(levels[0]) if len(levels) == 1 else f"{levels[0]} to {levels[-1]}"


def _sheet(letter: str, made: Sequence[Exercise]) -> str:
    items = "\n".join(f"<li>{_item(one)}</li>" for one in made)
    return (
        f'<section class="on-{letter}"><div class="top"><h1>Backpropagation</h1>'
        f'<span>Version {letter}</span><span class="who">Name '
        "_______________________ &nbsp; Date ___________</span></div>\n"
        f'<ol>\n{items}\n</ol>\n<p class="foot">{_foot(letter, made)}</p></section>'
    )


def _item(one: Exercise) -> str:
    *lines, asks = one.question.split("\n")
    text = "".join(f'<p class="lines">{_html(line)}</p>' for line in lines)
    text += f'<p class="asks">{_html(asks)}</p>{_picture(one)}'
    if one.form == "choice" and not one.choices[0].startswith("line "):
        options = "".join(f"<li>{_html(choice)}</li>" for choice in one.choices)
        return f'{text}<ol class="choices">{options}</ol>'
    return f'{text}<p class="answer">{_html(one.asked)} <span class="box"></span></p>'


def _html(text: str) -> str:
    """The text, in which no line ends within an equation."""
    return re.sub(r" ([=×÷+−→]) ", "\u00a0\\1\u00a0", html.escape(text))


def _picture(one: Exercise) -> str:
    """The graph with empty boxes, where the question has one that is small enough."""
    sketch = one.sketch
    if sketch is None or len(nodes(sketch.root)) > MOST_NODES:
        return ""
    from xml.etree import ElementTree

    from viz.blanks import with_blanks

    svg = with_blanks(
        sketch.root,
        values=sketch.blank_values,
        given=sketch.gradients,
        wanted=sketch.blank_gradients,
    )
    return ElementTree.tostring(svg, encoding="unicode")


def _keys(made: Iterable[Exercise]) -> str:
    return "\n".join(f"<li>{_html(one.key)}</li>" for one in made)
