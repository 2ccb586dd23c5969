"""The tour as one page: what the demos showed, with a map, links, and minutes to read."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from demos import Figure, Output, Prose, png_width, prose
from demos.cells import Stop
from microgradlike import Value
from viz import style
from viz.render import layout

HERE = Path(__file__).parent


class Sign(NamedTuple):
    """What the map says of a stop.

    Attributes:
        name: short, for the map.
        needs: the stops that one should have read before.
    """

    name: str
    needs: tuple[str, ...] = ()


#: The stops, in the order in which they are read best.
STOPS = {
    "company": Sign("Whom to trust"),
    "hand_derivation": Sign("By hand", ("company",)),
    "why_backprop": Sign("Why backprop", ("company",)),
    "layer_errors": Sign("Delta", ("hand_derivation",)),
    "gradient_descent": Sign("Down the slope", ("why_backprop",)),
    "moons": Sign("Two moons", ("layer_errors", "gradient_descent")),
    "train_then_deploy": Sign("Train, then use", ("moons",)),
    "cat": Sign("Is it a seven?", ("train_then_deploy",)),
}

#: What the company says, what others say, the symbol, and what PyTorch calls it.
KEY = (
    ("report", "input", "x", "`x`"),
    ("word", "output of a neuron", "a = f(z)", "`torch.tanh(z)`"),
    ("trust", "weight", "w", "`layer.weight`"),
    ("own opinion", "bias", "b", "`layer.bias`"),
    ("all reports × trust, and own opinion", "weighted sum", "z = w·x + b", "`layer(x)`"),
    ("the CEO's forecast", "answer, prediction", "a of the last layer", "`model(x)`"),
    ("what the sale was worth", "target, label", "t or y", "`y`"),
    ("target − answer", "error", "e = t − a", "–"),
    ("what should become small", "cost, loss", "C = ½ (t − a)²", "`loss`"),
    ("how the cost changes with a trust", "gradient, slope of the cost", "dC/dw", "`w.grad`"),
    ("the gradient at a weighted sum", "delta", "δ = dC/dz", "`z.grad`, after `z.retain_grad()`"),
    ("slope of one step alone", "local slope, partial derivative", "∂a/∂z", "in `backward`"),
    ("how far trust moves", "learning rate × gradient", "η · dC/dw", "`optimizer.step()`"),
    ("a round of all sales", "epoch", "–", "a loop over the `DataLoader`"),
    ("to answer, no longer learning", "inference", "–", "`torch.no_grad()`"),
)

#: Words a minute, and how many words a picture is worth while one looks at it.
PACE, PICTURE = 200, 60

#: What takes both columns of a sheet of paper: a picture of more pixels, longer lines, and an
#: equation with more characters.
WIDE, COLUMN, FORMULA = 900, 74, 80

#: Output of more lines can be folded away; of many more, it is at first.
SHORT, LONG = 12, 60


def title(docstring: str) -> str:
    """The first line of a demo's docstring, as a title."""
    return docstring.partition("\n")[0].rstrip(".")


def about(docstring: str) -> str:
    """What a demo's docstring says below its title."""
    return docstring.partition("\n")[2].partition("Run it with")[0].strip()


def page(stops: list[Stop]) -> str:
    """One page that needs nothing but the files beside it."""
    minutes = {stop.name: _minutes(stop) for stop in stops}
    facts = _own_facts() | {name: text for stop in stops for name, text in stop.facts.items()}
    template = _quoting((HERE / "tour.html").read_text(encoding="utf-8"), facts)
    slots = {
        "sheet": style.page_stylesheet(),
        "map": _map(minutes),
        "key": "\n".join(
            f"<tr>{''.join(f'<td>{prose.inline(cell)}</td>' for cell in row)}</tr>" for row in KEY
        ),
        "links": "\n".join(_link(stop, minutes[stop.name]) for stop in stops),
        "minutes": str(sum(minutes.values())),
        "stops": "\n".join(
            _section(stop, minutes[stop.name], following)
            for stop, following in zip(stops, [*stops[1:], None], strict=True)
        ),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda slot: slots[slot[1]], template)


# ---- The introduction --------------------------------------------------------------------------


def _quoting(template: str, facts: dict[str, str]) -> str:
    """The template with its facts; what is in [[ ]] is left out if the demo that knows was not run.

    >>> _quoting("2 x 2 = {four}.[[ And {a} = {b}.]]", {"four": "4", "a": "1"})
    '2 x 2 = 4.'
    """

    def sentence(found: re.Match[str]) -> str:
        known = all(name in facts for name in _FACT.findall(found[1]))
        return found[1] if known else ""

    template = re.sub(r"\[\[(.*?)\]\]", sentence, template, flags=re.S)
    return _FACT.sub(lambda found: facts[found[1]], template)


#: A name in single braces, which a style sheet never has.
_FACT = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")


def _own_facts() -> dict[str, str]:
    """What the introduction says in numbers, computed here."""
    rows = []
    x, target, weight = 3.0, 5.0, 2.0

    def cost(w: Value) -> Value:
        return (target - w * x) ** 2 / 2

    w = Value(weight)
    before = cost(w)
    before.backward()
    for nudge in (0.1, 0.01, 0.001):
        rise = cost(Value(weight + nudge)).data - before.data
        rows.append(
            f"<tr><td>{nudge:g}</td><td>{before.data + rise:.7g}</td><td>{rise:+.7g}</td>"
            f"<td>{rise:.7g} ÷ {nudge:g} = <strong>{rise / nudge:.7g}</strong></td></tr>"
        )
    saturated = Value(5.0)
    saturated.tanh().backward()
    seconds = {weights: 1000**weights / 1e9 for weights in (2, 3, 4, 5)}
    return {
        "nudges": "\n".join(rows),
        "nudge_x": f"{x:g}",
        "nudge_target": f"{target:g}",
        "nudge_weight": f"{weight:g}",
        "nudge_answer": f"{weight * x:g}",
        "nudge_error": style.number(target - weight * x),
        "nudge_cost": f"{before.data:g}",
        "nudge_slope": f"{w.grad:g}",
        "flat_z": "5",
        "flat_slope": f"{saturated.grad:.2g}",
        "flat_times": f"{1 / saturated.grad:,.0f}",
        "two_weights": f"{seconds[2] * 1000:g} millisecond",
        "three_weights": f"{seconds[3]:g} second",
        "four_weights": f"{seconds[4] / 60:.1f} minutes",
        "five_weights": f"{seconds[5] / 86400:.1f} days",
    }


# ---- The map -----------------------------------------------------------------------------------


def _map(minutes: dict[str, int]) -> str:
    """The stops as boxes; an arrow leads to the stop that needs what its other end teaches."""
    lines = []
    for number, (name, sign) in enumerate(STOPS.items(), 1):
        here = f'URL="#{name}", ' if name in minutes else ""
        took = _counted(minutes[name]) if name in minutes else "not run"
        lines.append(f'{name} [{here}label="{number}  {sign.name}\\n{took}"]')
        lines += [f"{other} -> {name}" for other in sign.needs]
    looks = (
        f'graph [bgcolor="transparent", ranksep=0.3, nodesep=0.25, margin=0]\n'
        f'node [shape=box, style="rounded,filled", fillcolor="{style.LEAF}", width=1.75, '
        f'color="{style.BORDER}", fontname="{style.FONT}", fontcolor="{style.INK}", '
        f'fontsize=12, margin="0.08,0.06", target="_self"]\n'
        f'edge [color="{style.BORDER}", arrowsize=0.8]'
    )
    source = "digraph {{\n{}\n}}".format("\n".join([looks, *lines]))
    svg = layout(source).decode()
    svg = re.sub(r"<title>.*?</title>\n?| xlink:title=\"[^\"]*\"", "", svg[svg.index("<svg") :])
    return svg.replace("<svg ", '<svg class="microgradlike" role="group" aria-label="map" ', 1)


def _link(stop: Stop, minutes: int) -> str:
    number = list(STOPS).index(stop.name) + 1
    heading = prose.inline(title(stop.docstring))
    took = _counted(minutes).replace(" ", "&nbsp;")
    return f'<li value="{number}"><a href="#{stop.name}">{heading}</a> ({took})</li>'


def _counted(minutes: int) -> str:
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def _minutes(stop: Stop) -> int:
    """How long it takes to read a stop; most readers only glance at columns of numbers."""
    words = len(about(stop.docstring).split())
    for part in stop.shown:
        if isinstance(part, Prose):
            words += len(part.text.split())
        elif isinstance(part, Figure):
            words += len(part.caption.split()) + PICTURE
        else:
            words += min(len(part.text.split()), PICTURE)
    return max(1, round(words / PACE))


# ---- The stops ---------------------------------------------------------------------------------


def _section(stop: Stop, minutes: int, following: Stop | None) -> str:
    """A stop: what it is for, what the demo showed, and where to go next."""
    sign = STOPS[stop.name]
    # The first sentence says what one can do or knows after this stop.
    goal, rest = re.split(r"\.\s", about(stop.docstring), maxsplit=1)
    number = list(STOPS).index(stop.name) + 1
    needs = " and ".join(
        f'<a href="#{name}">{prose.inline(STOPS[name].name)}</a>' for name in sign.needs
    )
    onward = ""
    if following:
        heading = prose.inline(title(following.docstring))
        onward = f'Next: <a href="#{following.name}">{heading}</a> · '
    return "\n".join(
        [
            f'<section id="{stop.name}"><h2>{prose.inline(title(stop.docstring))}</h2>',
            f'<p class="where">Stop {number} of {len(STOPS)}, {_counted(minutes)}'
            f"{', after ' + needs if needs else ''}.</p>",
            f'<p class="goal">{prose.inline(goal)}.</p>',
            prose.blocks(rest),
            *_all_shown(stop.shown),
            f'<p class="next">{onward}<a href="#map">back to the map</a></p></section>',
        ]
    )


def _all_shown(shown: list[Prose | Output | Figure]) -> Iterator[str]:
    """All parts; pictures that follow each other are in a row, which on paper is one."""
    for in_a_row, parts in itertools.groupby(shown, _is_network):
        told = "\n".join(map(_shown, parts))
        yield f'<div class="row">{told}</div>' if in_a_row else told


def _is_network(part: Prose | Output | Figure) -> bool:
    """Whether it is a picture of our own."""
    if not isinstance(part, Figure) or isinstance(part.content, str):
        return False
    return part.content.suffix == ".svg" and _kind(part.content.read_text("utf-8")) == "own"


def _kind(source: str) -> str:
    """Which kind of picture: our own know what they look like on a dark page, plots are turned."""
    if not source:
        return "photograph"
    if 'class="microgradlike' not in source:
        return "plot"
    return "film" if "@keyframes" in source else "own"


def _shown(part: Prose | Output | Figure) -> str:
    if isinstance(part, Prose):
        return prose.blocks(part.text)
    if isinstance(part, Figure):
        return _figure(part)
    lines = part.text.splitlines()
    wide = ' class="wide"' if max(map(len, lines)) > COLUMN else ""
    printed = html.escape(part.text, quote=False)
    if len(lines) <= SHORT:
        return f"<pre{wide}>{printed}</pre>"
    opened = " open" if len(lines) <= LONG else ""
    summary = f"<summary>The numbers ({len(lines)} lines)</summary>"
    return f"<details{wide}{opened}>{summary}<pre>{printed}</pre></details>"


def _figure(figure: Figure) -> str:
    content, words = figure.content, prose.inline(figure.caption)
    caption = f"<figcaption>{words}</figcaption>"
    if isinstance(content, str):
        wide = " wide" if len(re.sub(r"<[^>]*>|\s", "", content)) > FORMULA else ""
        frame = f'<div class="frame">{content}</div>'
        return f'<figure class="equation{wide}">{frame}{caption}</figure>'
    name = html.escape(content.name)
    if content.suffix == ".html":
        return f'<p class="page"><a href="{name}">{words}</a></p>'
    source = content.read_text(encoding="utf-8") if content.suffix == ".svg" else ""
    kind = _kind(source)
    described = html.escape(prose.plain(figure.caption))
    picture = f'<a class="frame" href="{name}"><img src="{name}" alt="{described}"></a>'
    if kind == "film":
        # Inside the page a press plays it again, and on paper it shows its end.
        picture = f'<div class="frame">{source[source.index("<svg") :]}</div>'
    natural = _width(content, source)
    kind += " wide" if natural > WIDE else ""
    cue = '<p class="cue" aria-hidden="true">⟷ wider than this window: swipe sideways</p>'
    return f'<figure class="{kind}" style="--natural:{natural}px">{cue}{picture}{caption}</figure>'


def _width(path: Path, source: str) -> int:
    """How many pixels of a page a picture takes where there is room for it."""
    if source:
        found = re.search(r'<svg[^>]*? width="([\d.]+)(pt)?"', source)
        assert found
        return round(float(found[1]) * (4 / 3 if found[2] else 1))
    return png_width(path)
