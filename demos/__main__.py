"""The guided tour: run the demos, and write one page with all their pictures.

``python -m demos`` lists them; ``python -m demos all --out tour`` runs all.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import html
import io
import re
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path

from demos import Figure, add_options, out_folder
from microgradlike.files import write
from viz import style

HERE = Path(__file__).parent

#: In the order in which they are read best.
DEMOS = (
    *("company", "hand_derivation", "why_backprop", "layer_errors"),
    *("gradient_descent", "moons", "train_then_deploy", "cat"),
)


def main() -> None:
    """List the demos, or run some and write the page."""
    parser = argparse.ArgumentParser(prog="python -m demos", description=_text(__doc__)[0])
    parser.add_argument("names", nargs="*", metavar="name", help='demos to run, or "all"')
    add_options(parser)
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in (*DEMOS, "all")]
    if unknown:
        parser.error(f'there is no demo {unknown[0]!r}: choose of {", ".join(DEMOS)}, or "all"')
    if not chosen.names:
        for name in DEMOS:
            print(f"{name:18} {_text(_docstring(name))[0]}")
        print('\nRun one of them, or "all": python -m demos all --out tour')
        return
    out_folder(parser, chosen.out)
    names = DEMOS if "all" in chosen.names else dict.fromkeys(chosen.names)
    stops = [run(name, chosen.out, chosen.seed) for name in names]
    print("\nAll on one page:", write(chosen.out / "index.html", page(stops).encode()))


def _docstring(name: str) -> str | None:
    return ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8")))


def _text(docstring: str | None) -> tuple[str, str]:
    """The title and the paragraph of a demo."""
    title, _, rest = (docstring or "").partition("\n")
    return title.rstrip("."), rest.partition("Run it with")[0].strip()


#: What a demo printed is shown at once if it has fewer lines than this.
SHORT = 36

# ---- Running -----------------------------------------------------------------------------------


@dataclass
class Stop:
    """A demo that was run: what it is about, what it printed, and its figures."""

    name: str
    title: str
    paragraph: str
    printed: str
    figures: list[Figure]


class _Both(io.StringIO):
    """What is written here is kept, and shown."""

    def write(self, text: str) -> int:
        sys.__stdout__ and sys.__stdout__.write(text)
        return super().write(text)


def run(name: str, out: Path, seed: int) -> Stop:
    """Run a demo as ``python -m`` does."""
    print(f"\n==== {name} ====\n", flush=True)
    arguments, sys.argv = sys.argv, [name, "--out", str(out), "--seed", str(seed)]
    try:
        with contextlib.redirect_stdout(_Both()) as printed:
            ran = runpy.run_module(f"demos.{name}", run_name="__main__")
    finally:
        sys.argv = arguments
    lines = printed.getvalue().splitlines()
    kept = "\n".join(line for line in lines if not line.startswith("wrote "))
    return Stop(name, *_text(ran["__doc__"]), kept.strip("\n"), ran["demo"].figures)


# ---- The page ----------------------------------------------------------------------------------


def page(stops: list[Stop]) -> str:
    """One page that needs nothing but the files beside it."""
    links = "\n".join(
        f'<li><a href="#{stop.name}">{_marked(stop.title)}</a></li>' for stop in stops
    )
    slots = {
        "sheet": style.page_stylesheet(),
        "links": links,
        "stops": "\n".join(map(_section, stops)),
    }
    template = (HERE / "tour.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda slot: slots[slot[1]], template)


def _section(stop: Stop) -> str:
    shown = "\n".join(map(_figure, stop.figures))
    title, paragraph = _marked(stop.title), _marked(stop.paragraph)
    opened = " open" if stop.printed.count("\n") < SHORT else ""
    return (
        f'<section id="{stop.name}"><h2>{title}</h2>\n<p>{paragraph}</p>\n{shown}\n'
        f"<details{opened}><summary>What <code>python -m demos.{stop.name}</code> printed</summary>"
        f"<pre>{html.escape(stop.printed)}</pre></details></section>"
    )


def _figure(figure: Figure) -> str:
    path, words = figure.content, _marked(figure.caption)
    if isinstance(path, str):
        return f'<figure class="equation">{path}<figcaption>{words}</figcaption></figure>'
    name = html.escape(path.name)
    if figure.kind == "page":
        return f'<p class="page"><a href="{name}">{words}</a></p>'
    picture = path.read_text(encoding="utf-8") if path.suffix == ".svg" else ""
    # Our own pictures know what they look like on a dark page; plots are turned by the sheet.
    kind = "own" if 'class="microgradlike' in picture else "plot" if picture else "photograph"
    return (
        f'<figure class="{kind}"><a href="{name}"><img src="{name}" alt="{words}"></a>'
        f"<figcaption>{words}</figcaption></figure>"
    )


def _marked(text: str) -> str:
    return re.sub(r"``(.+?)``", r"<code>\1</code>", html.escape(" ".join(text.split())))


if __name__ == "__main__":
    main()
