"""The error on its way, in motion: one SVG that plays the sweep, or one picture for each step.

The SVG is the finished picture, with a little CSS that lets each part of it appear when its step
comes. It has no script, plays once, and stands still for readers who want no motion.
"""

from __future__ import annotations

import copy
import itertools
import os
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from microgradlike.files import as_path, ending_in, make_folder, write
from viz import style
from viz.dot import Look
from viz.drawing import picture, read_scene
from viz.frame import Framed
from viz.moments import at, known, moments, spread
from viz.parts import Number, parts_of_arrow, parts_of_box
from viz.render import DPI, SVG, text
from viz.scene import Scene
from viz.video import even, gif, mp4, on_slide, to_fill
from viz.view import Options, Roots, View, takes

if TYPE_CHECKING:
    from typing_extensions import Unpack  # type checkers have it; no program needs it

#: No more pictures than this are written of one sweep.
MOST_FRAMES = 200

#: A step takes this many seconds, or less where the whole sweep would take more than the third.
SLOWEST, FASTEST, LONGEST = 0.9, 0.1, 20.0


# ---- One SVG that plays ------------------------------------------------------------------------


@takes(View)
def animate(root: Roots, path: str | os.PathLike[str], **options: Unpack[Options]) -> Path:
    """Write one SVG that plays the backward sweep once and then stands still.

    It is drawn of a sweep of its own: ``backward()`` need not have been run, and no gradient
    changes. A press on it plays it again, where it is not an ``<img>``. Where the reader's system
    asks for reduced motion, and in programs that show no motion, it shows the end at once.

    Args:
        root: the result, such as a loss; or several.
        path: where to write it; the name ends in ``.svg``.
        options: as for ``draw``, but for ``gradients=False``, which leaves nothing to play.

    Returns:
        The path.

    Raises:
        TypeError: ``root`` is no Value, ``path`` no path, or there is no such option.
        ValueError: the name does not end in ``.svg``, or an option has no such value.
        OSError: the file cannot be written.

    >>> from microgradlike import Value
    >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    >>> animate(a * b + a, getfixture("tmp_path") / "flow.svg").name
    'flow.svg'
    """
    View.of(animate, options).must_show_gradients("animate")
    ending_in(path, "an animation", ".svg")
    return Animation(root, **options).save(path)


class Animation(Framed):
    """The SVG of ``animate``, which a notebook shows; a press on it plays it again.

    Args:
        root, options: as for ``animate``.

    >>> from microgradlike import Value
    >>> x = Value(3.0, label="x")
    >>> Animation(x * x).svg()[:4]
    '<svg'
    """

    @takes(View)
    def __init__(self, root: Roots, **options: Unpack[Options]) -> None:
        view = View.of(Animation, options)
        view.must_show_gradients("Animation")
        self._svg = _playing(read_scene(root, view, afresh=True), view)
        self._title = self._svg.attrib["aria-label"]

    def svg(self) -> str:
        """The animation as text."""
        return text(self._svg)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the animation to a file, whole or not at all.

        Raises:
            TypeError, ValueError: the name does not end in ``.svg``.
            OSError: the file cannot be written.
        """
        return write(ending_in(path, "an animation", ".svg"), self.svg().encode())

    def __repr__(self) -> str:
        return f"<Animation: {self._title}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: in a frame it can be pressed, and as a picture it plays once."""
        return {
            "text/html": self._repr_html_(),
            "image/svg+xml": self.svg(),
            "text/plain": repr(self),
        }

    def _as_svg(self) -> str:
        return self.svg()


def _playing(scene: Scene, view: View) -> ElementTree.Element:
    """The finished picture with the marks and the sheet that let it play."""
    final = at(scene, len(scene.moves))
    svg = picture(final, view).element()
    look = Look.of(final, view.rankdir)
    groups = {group.get("data-name"): group for group in svg.iter(f"{SVG}g")}
    boxes = {
        box.name: parts_of_box(groups[box.name], box)
        for box in final.boxes
        if box.name in scene.members
    }
    senders: dict[str, list[int]] = {}
    for k, move in enumerate(scene.moves, start=1):
        for place in move.arrows:
            _cross(groups[f"e{place}"], k, numbered=look.numbered)
        senders.setdefault(move.sender, []).append(k)
    sayable = known(scene)
    for name, parts in boxes.items():
        for letters, k in zip(parts.remarks, sayable[name], strict=True):
            if k:
                _mark(letters, "news", k)
    for name, when in moments(scene).items():
        gradient = boxes[name].gradient
        assert gradient is not None
        groups[name].extend(_arrive(gradient, when, look))
    for name, steps in senders.items():
        groups[name].append(_light(boxes[name].outline, min(steps), max(steps) + 1, view))
    _paint(svg, view)
    beat = min(max(LONGEST / max(len(scene.moves), 1), FASTEST), SLOWEST)
    sheet = svg.find(f"{SVG}style")
    assert sheet is not None
    sheet.text = f"{sheet.text}{_motion(svg.attrib['id'], beat, view)}"
    return svg


def _motion(picture: str, beat: float, view: View) -> str:
    """The sheet that plays one picture; without it, on paper, or for readers at rest: the end.

    A press on the picture takes its animations away as long as it lasts, and so plays them again.
    """
    waiting = view.shades.get(style.BORDER, style.BORDER)
    delay = f"calc(var(--k)*{beat:.3g}s)"
    lasting = f"calc((var(--until) - var(--k))*{beat:.3g}s)"
    return f"""\
@keyframes {picture}-appear{{from{{opacity:0}}}}
@keyframes {picture}-point{{from{{opacity:.25;fill:{waiting};stroke:{waiting}}}}}
@keyframes {picture}-cross{{from{{stroke:{waiting};stroke-width:1px;stroke-dasharray:none}}}}
@keyframes {picture}-hold{{from,to{{opacity:1}}}}
@keyframes {picture}-run{{\
from{{opacity:1;stroke-dashoffset:0}}to{{opacity:1;stroke-dashoffset:40}}}}
@media screen and (prefers-reduced-motion:no-preference){{
#{picture} .line{{animation:{picture}-cross .3s {delay} backwards}}
#{picture} .news{{animation:{picture}-appear .3s {delay} backwards}}
#{picture} .head{{animation:{picture}-point .3s {delay} backwards}}
#{picture} .pulse{{animation:{picture}-run {beat:.3g}s linear {delay}}}
#{picture} .moment,#{picture} .sender{{animation:{picture}-hold {lasting} {delay}}}
#{picture}:active *{{animation:none}}
}}
"""


#: What the parts look like that only the motion shows.
HIDDEN: dict[str, dict[str, str]] = {
    "moment": {"opacity": "0"},
    "pulse": {
        **{"opacity": "0", "stroke": style.SURFACE, "stroke-width": "2"},
        **{"stroke-dasharray": "1 9", "stroke-linecap": "round"},
    },
    "sender": {"opacity": "0", "fill": "none", "stroke": style.ACTIVE, "stroke-width": "3"},
}


def _cross(group: ElementTree.Element, k: int, numbered: bool) -> None:
    """Let an arrow wait as a thin line until its step."""
    line, heads, _, contribution = parts_of_arrow(group, numbered)
    pulse = copy.deepcopy(line)
    _mark(line, "line", k)
    for head in heads:
        _mark(head, "head", k)
    if contribution is not None:
        _mark(contribution, "news", k)
    _mark(pulse, "pulse", k)
    group.append(pulse)


def _arrive(
    gradient: Number, when: list[tuple[int, float]], look: Look
) -> Iterator[ElementTree.Element]:
    """Let each gradient of a node show until the next one; the last one stays."""
    shown = [(0, style.NOT_YET, style.MUTED, style.SURFACE)] if when[0][0] else []
    shown += [(k, style.number(grad), *look.colours.paint(grad)) for k, grad in when]
    for (k, words, ink, fill), (until, *_) in itertools.pairwise(shown):
        moment = copy.deepcopy(gradient)
        moment.align()
        moment.ground.set("fill", fill)
        moment.letters.set("fill", ink)
        moment.letters.text = words
        for part in (moment.ground, moment.letters):
            _mark(part, "moment", k, until)
            yield part
    for part in (gradient.letters, gradient.ground):
        _mark(part, "news", when[-1][0])


def _light(outline: ElementTree.Element, k: int, until: int, view: View) -> ElementTree.Element:
    """An outline that lights up while its node sends."""
    light = copy.deepcopy(outline)
    for name in ("fill", "stroke", "stroke-width", "stroke-dasharray"):
        light.attrib.pop(name, None)
    _mark(light, "sender", k, until)
    if view.highlight is not None:  # whose path has the colour of what happens just now
        light.attrib |= {"stroke": style.INK, "stroke-width": "5"}
    return light


def _paint(svg: ElementTree.Element, view: View) -> None:
    """Give what only the motion shows the colours that the rest of the picture has already."""
    for part in svg.iter():
        if part.get("class") in HIDDEN:
            for what in ("fill", "stroke"):
                if part.get(what) in view.shades:
                    part.set(what, view.shades[part.attrib[what]])


def _mark(part: ElementTree.Element, kind: str, k: int, until: int | None = None) -> None:
    part.set("class", kind)
    part.attrib |= HIDDEN.get(kind, {})
    part.set("style", f"--k:{k}" + ("" if until is None else f";--until:{until}"))


# ---- One picture for each step -----------------------------------------------------------------


@takes(View)
def frames(
    root: Roots,
    directory: str | os.PathLike[str],
    format: Literal["svg", "png", "gif", "mp4"] = "svg",
    *,
    dpi: float = DPI,
    scale: float = 1.0,
    slides: bool = False,
    **options: Unpack[Options],
) -> list[Path]:
    """Write a picture of every step of the backward sweep, all of one size.

    Args:
        root: the result, such as a loss; or several.
        directory: the folder to write into; it is made if it does not exist. Frames of the same
            format that an earlier call left there are removed.
        format: "svg" or "png" for a file each, numbered ``step_000.svg`` and so on without gaps;
            "gif" for one ``flow.gif`` that plays them (needs Pillow), "mp4" for one ``flow.mp4``
            (needs the program ffmpeg). The sides of a PNG are even, where Pillow is installed.
        dpi, scale: as for the ``save`` of a picture.
        slides: whether each PNG, and a GIF or MP4, fills a slide of 1920 x 1080 pixels, whatever
            ``dpi`` and ``scale`` are (needs Pillow).
        options: as for ``draw``, but for ``gradients=False``, which leaves nothing to play.

    Returns:
        The paths. Of a sweep of more than 200 steps, 200 are written, evenly spread, and a
        warning says so.

    Raises:
        TypeError: ``root`` is no Value, or there is no such option.
        ValueError: there is no such format, ``directory`` is the name of a file, or an option has
            no such value; or an SVG is to be a slide.
        ImportError: Pillow or ffmpeg is needed, and is not there.
        OSError: the files cannot be written.

    >>> from microgradlike import Value
    >>> x = Value(3.0, label="x")
    >>> [path.name for path in frames(x * x, getfixture("tmp_path"))]
    ['step_000.svg', 'step_001.svg', 'step_002.svg']
    """
    if format not in ("svg", "png", "gif", "mp4"):
        raise ValueError(f'frames are "svg", "png", one "gif" or one "mp4", but got {format!r}')
    if slides and format == "svg":
        raise ValueError("a slide has pixels: with slides=True the format is png, gif or mp4")
    folder = _folder(directory)
    view = View.of(frames, options)
    view.must_show_gradients("frames")
    scene = read_scene(root, view, afresh=True)
    steps = _chosen(len(scene.moves))
    pictures = (picture(at(scene, k), view) for k in steps)
    kind = "svg" if format == "svg" else "png"
    if slides:
        scale *= to_fill(picture(at(scene, 0), view).pipe("png", dpi=dpi, scale=scale))
    drawn = (shown.pipe(kind, dpi=dpi, scale=scale) for shown in pictures)
    contents = map(on_slide, drawn) if slides else map(even, drawn) if format == "png" else drawn
    make_folder(folder)
    if format in ("gif", "mp4"):
        play = gif if format == "gif" else mp4
        return [write(folder / f"flow.{format}", play(list(contents), SLOWEST))]
    written = [
        write(folder / f"step_{number:03}.{format}", content)
        for number, content in enumerate(contents)
    ]
    for path in folder.glob(f"step_*.{format}"):
        if re.fullmatch(r"step_\d+", path.stem) and path not in written:
            path.unlink()
    return written


def _folder(directory: str | os.PathLike[str]) -> Path:
    folder = as_path(directory, "frames are written to a folder")
    if folder.suffix.lower() in (".svg", ".png", ".gif", ".mp4") and not folder.is_dir():
        raise ValueError(
            f"frames are written to a folder, but {os.fspath(directory)!r} is the name of a file; "
            'give the folder, and the format by format="gif"'
        )
    return folder


def _chosen(last: int) -> list[int]:
    steps = spread(last + 1, MOST_FRAMES)
    if len(steps) <= last:
        warnings.warn(
            f"the sweep has {last:,} steps: {MOST_FRAMES} of them are written, evenly spread; "
            "animate() shows all of them in one file",
            stacklevel=3,
        )
    return steps
