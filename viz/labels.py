"""Labels of pictures: text and small tables, which Graphviz reads as a kind of HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from viz import style
from viz.style import Scale


def escape(text: str) -> str:
    """The text spelt so that an HTML-like label shows it as it is, with its line breaks."""
    for character, spelt in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, spelt)
    return text.replace("\\", "\\\\").replace("\n", "<BR/>")


def font(text: str, size: int = 10, colour: str = style.INK, bold: bool = False) -> str:
    """The text in a size in points and a colour."""
    inside = f"<B>{escape(text)}</B>" if bold else escape(text)
    return f'<FONT POINT-SIZE="{size}" COLOR="{colour}">{inside}</FONT>'


def table(*rows: str, padding: int = 2, ground: str = "") -> str:
    """Rows of cells below each other, on a colour or on none."""
    fill = f' BGCOLOR="{ground}"' if ground else ""
    cells = "".join(f"<TR>{row}</TR>" for row in rows)
    frame = f'BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="{padding}"'
    return f"<TABLE{fill} {frame}>{cells}</TABLE>"


# ---- Lines of a legend -------------------------------------------------------------------------


def legend(rows: list[str]) -> str:
    """The lines as the label of a whole graph, so that every layout puts them below."""
    gap = '<TD HEIGHT="8"></TD>'
    return f"<{table(gap, *rows)}>"


#: A cell of nothing.
GAP = '<TD WIDTH="6"></TD>'


def legend_in_lines(*lines: list[tuple[str, str]]) -> str:
    """Symbols and the cells that say what they mean, several of them in one line."""
    rows = (
        f'<TD ALIGN="LEFT">{table(GAP.join(key(*symbol) for symbol in line))}</TD>'
        for line in lines
        if line
    )
    return legend([*rows])


def key(name: str, cells: str) -> str:
    """A line of the legend: what is seen, and in nine columns what it means."""
    return f'<TD ALIGN="RIGHT">{font(name, 9) if name else ""}</TD>{cells}'


def words(text: str, columns: int = 9) -> str:
    """A cell of words, so many columns wide."""
    return f'<TD ALIGN="LEFT" COLSPAN="{columns}">{font(text, 9, style.MUTED)}</TD>'


def bar(width: float, colour: str) -> str:
    """A cell that shows a line of this width, in pixels."""
    size = f'FIXEDSIZE="TRUE" WIDTH="30" HEIGHT="{max(1, round(width))}"'
    line = f'<TD {size} BGCOLOR="{colour}"></TD>'
    return f"<TD>{table(line, padding=0)}</TD>"


def widths(largest: float, width: Callable[[float], float], meaning: str) -> str:
    """A line of the legend: how wide a hundredth, a quarter and all of the largest size is."""
    samples = [
        bar(width(largest * share), style.MUTED) + words(style.number(largest * share), 1)
        for share in (0.01, 0.25, 1)
    ]
    return key("width", "".join(samples) + words(meaning, 3))


def swatches(
    colours: Scale,
    steps: Sequence[int] = range(9),
    spelt: Callable[[float], str] = style.number,
) -> str:
    """Cells with some of a scale's nine colours, each with the number that it means."""
    ticks = colours.ticks()
    cells = ((style.STEPS[step], ticks[step], style.on_step(step)) for step in steps)
    return "".join(
        f'<TD BGCOLOR="{fill}" WIDTH="46">{font(spelt(tick), 9, ink)}</TD>'
        for fill, tick, ink in cells
    )
