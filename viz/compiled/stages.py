"""One page on which a reader steps through the compiler: from scalars to matrices.

The script in ``pages/stages.js`` only shows and hides what is written here.
"""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import TYPE_CHECKING

from microgradlike.compiler.show import WHAT, listed
from microgradlike.files import ending_in
from microgradlike.replay.compiled import Compiled
from microgradlike.replay.names import Names
from microgradlike.words import counted
from viz import labels
from viz.compiled.passes import Passes
from viz.compiled.paths import MOST_PATHS, traced
from viz.compiled.staged import STAGES, Staged
from viz.dot import SHAPES
from viz.notebook import Shown
from viz.page import SUFFIXES, legend_list, page, read
from viz.view import Rendering, RenderingOptions, takes

if TYPE_CHECKING:
    from typing_extensions import Unpack  # type checkers have it; no program needs it


@takes(Rendering)
def save_stages(
    c: Compiled, path: str | os.PathLike[str], **options: Unpack[RenderingOptions]
) -> Path:
    """Write one HTML page that steps through the compiler: from scalars to matrices.

    Each pass is a stage: the tape, the graph, the sums, the levels, the instructions, the slots,
    and the backward pass. The scalars of a small function stay in their places, and each stage
    shows on them what it has found; those of a large one are counted, a pile for each instruction.
    Each path of a function with branches has its stages: the first four paths.

    Args:
        c: a function made by ``compile``, called or traced before.
        path: where to write it; the name ends in ``.html``.
        options: ``engine``, ``theme`` and ``colours``, as for ``draw``.

    Returns:
        The path.

    Raises:
        TypeError: ``c`` is not a compiled function, or there is no such option.
        ValueError: the function was not traced yet, or the name does not end in ``.html``.
        OSError: the file cannot be written.

    >>> from microgradlike import Value, compile
    >>> w, b = Value(2.0), Value(1.0)
    >>> c = compile(lambda x, y: (w * x + b - y) ** 2).trace([1.0], [3.0])
    >>> save_stages(c, getfixture("tmp_path") / "stages.html").name
    'stages.html'
    """
    Rendering.of(save_stages, options)
    ending_in(path, "a page", *SUFFIXES)
    traced(c, "save_stages")
    return Stages(c, **options).save(path)


class Stages(Shown):
    """The page of ``save_stages``, which a notebook shows as it is.

    Args:
        c, options: as for ``save_stages``.

    >>> from microgradlike import compile
    >>> Stages(compile(lambda x: x * x + 1).trace([3.0])).html()[:15]
    '<!doctype html>'
    """

    title = "the compiler, stage by stage"

    @takes(Rendering)
    def __init__(self, c: Compiled, **options: Unpack[RenderingOptions]) -> None:
        rendering = Rendering.of(Stages, options)
        names = Names.of(traced(c, "Stages"))
        programs = c.programs
        paths = [Passes.of(program, names) for program in programs[:MOST_PATHS]]
        drawn = [Staged(passes, rendering) for passes in paths]
        operations = sum(one.path.operations for one in paths)
        instructions = sum(len(one.path.boxes) for one in paths)
        more = f", {counted(len(programs), 'path')}" if len(programs) > 1 else ""
        if len(programs) > len(paths):
            more += f", of which the first {len(paths)} are shown"
        seen = {role for one in drawn for role in one.sheet.seen}
        self._html = page(
            "stages",
            rendering,
            headline="From scalars to matrices",
            heading=f"{counted(operations, 'scalar operation')} became "
            f"{counted(instructions, 'instruction')}{more}",
            last=len(paths) * len(STAGES) - 1,
            data={"stages": len(STAGES)},
            slots={
                "views": "".join(f'<div class="view">{one.svg()}</div>' for one in drawn),
                "passes": "".join(_listed(one, k, len(paths)) for k, one in enumerate(drawn)),
                "legend": _legend(seen),
            },
            sheet=read("stages.css"),
        )


# ---- The words beside it -----------------------------------------------------------------------


def _listed(staged: Staged, path: int, paths: int) -> str:
    """The stages of a path as a list: what each did here, and the first lines of what it made."""
    heading = f"Path {path + 1} of {paths}"
    items = []
    for place, (name, made) in enumerate(staged.passes.made.items()):
        step = path * len(STAGES) + place
        said = staged.told[name]
        made_of_it = "".join(f"<li>{html.escape(line)}</li>" for line in listed(name, made))
        count = f"Stage {place + 1} of {len(STAGES)}: {name}"
        if paths > 1:
            count = f"{heading}, {count[0].lower()}{count[1:]}"
        items.append(
            f'<li data-count="{count}">'
            f'<button type="button" class="pass" data-step="{step}"><b>{name}</b> '
            f"{html.escape(WHAT[name])}</button>"
            f'<div class="said"><p class="sentence">{html.escape(said.sentence)}</p>'
            f'<p class="rule">{html.escape(said.picture)}</p></div>'
            f'<ul class="made">{made_of_it}</ul></li>'
        )
    begin = path * len(STAGES)
    first = ""
    if paths > 1:
        button = f'<button type="button" class="pass" data-step="{begin}">{heading}</button>'
        first = f"<h2>{button}</h2>"
    return f'<section class="path">{first}<ol class="passes">{"".join(items)}</ol></section>'


def _legend(seen: set[str]) -> str:
    """What the shapes mean."""
    shapes = "   ".join(f"{SHAPES[kind][0]}: {kind}" for kind in SHAPES if kind in seen)
    rows = [labels.key("colour", labels.words("what this stage has found"))]
    if shapes:
        rows.insert(0, labels.key("shape", labels.words(shapes)))
    return legend_list(labels.legend(rows))
