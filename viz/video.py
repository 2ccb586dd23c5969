"""Pictures that play one after the other in one file: a GIF by Pillow, an MP4 by ffmpeg."""

from __future__ import annotations

import io
import operator
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy

#: How long the last picture stays, in seconds.
LAST = 4.0

#: The sides of a slide, in pixels.
SLIDE = 1920, 1080


def gif(pictures: Sequence[bytes], seconds: float) -> bytes:
    """PNG pictures of one size as a GIF that repeats.

    All share one palette, of their most frequent colours, which are those of large areas: no area
    changes its colour.

    Raises:
        ImportError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ImportError('a GIF needs Pillow: pip install "microgradlike[demos]"') from None

    images = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    seen: Counter[int] = Counter()
    for image in images:
        counts: Any = image.getcolors(image.width * image.height)
        for count, colour in sorted(counts, key=operator.itemgetter(1)):
            seen[int.from_bytes(colour, "big")] += count
    palette = _unpacked(numpy.array([colour for colour, _ in seen.most_common(256)]))
    colours = numpy.array(list(seen))
    nearest = numpy.zeros(1 << 24, numpy.uint8)  # the place of every colour
    nearest[colours] = ((_unpacked(colours)[:, None] - palette) ** 2).sum(axis=2).argmin(axis=1)
    frames = []
    for image in images:
        red, green, blue = numpy.moveaxis(numpy.asarray(image, numpy.int32), 2, 0)
        frame = Image.fromarray(nearest[red << 16 | green << 8 | blue], "P")
        frame.putpalette(palette.astype(numpy.uint8).tobytes())
        frames.append(frame)
    content = io.BytesIO()
    waits = [round(1000 * seconds)] * (len(frames) - 1) + [round(1000 * LAST)]
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:], duration=waits, loop=0)
    return content.getvalue()


def _unpacked(colours: Any) -> Any:
    return numpy.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)


def mp4(pictures: Sequence[bytes], seconds: float) -> bytes:
    """PNG pictures of one size as an MP4 that every player takes.

    Raises:
        ImportError: ffmpeg is not installed.
        OSError: ffmpeg failed; the sentence has its words.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise ImportError(
            "an MP4 is made by the program ffmpeg, which was not found: install it "
            "(https://ffmpeg.org), or choose a GIF"
        )
    stays = [*pictures, *[pictures[-1]] * round(LAST / seconds)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "movie.mp4"
        command = [ffmpeg, "-v", "error", "-f", "image2pipe", "-framerate", f"{1 / seconds:g}"]
        command += ["-c:v", "png", "-i", "-", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        # H.264 halves the colours of a picture, so its sides are even.
        command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white", str(file)]
        done = subprocess.run(command, input=b"".join(stays), capture_output=True, check=False)
        if done.returncode:
            raise OSError(f"{ffmpeg} could not make the MP4: {done.stderr.decode().strip()}")
        return file.read_bytes()


def even(picture: bytes) -> bytes:
    """A PNG picture with sides that are even, as video programs want them.

    Without Pillow it stays as it is.
    """
    try:
        from PIL import Image
    except ImportError:
        return picture
    image = Image.open(io.BytesIO(picture))
    width, height = (side + side % 2 for side in image.size)
    if (width, height) == image.size:
        return picture
    wider = Image.new("RGB", (width, height), "white")
    wider.paste(image.convert("RGB"))
    content = io.BytesIO()
    wider.save(content, "PNG")
    return content.getvalue()


def to_fill(picture: bytes) -> float:
    """How many times as large a PNG picture has to be, to fill a slide."""
    width, height = (int.from_bytes(picture[k : k + 4], "big") for k in (16, 20))
    return min(SLIDE[0] / width, SLIDE[1] / height)


def on_slide(picture: bytes) -> bytes:
    """A PNG picture in the middle of a slide.

    Raises:
        ImportError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ImportError('slides need Pillow: pip install "microgradlike[demos]"') from None
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.thumbnail(SLIDE)  # by a pixel, where its sides were rounded up
    slide = Image.new("RGB", SLIDE, image.getpixel((0, 0)))
    slide.paste(image, ((SLIDE[0] - image.width) // 2, (SLIDE[1] - image.height) // 2))
    content = io.BytesIO()
    slide.save(content, "PNG")
    return content.getvalue()
