"""How every picture looks: the palette, the type, the numbers. The one place for all of them.

Hue means one thing only: the sign of an error. Size is told by width (arrows) or by one of nine
steps (gradients), and each sign is also written as + or −, so that nothing depends on colour alone.
"""

from __future__ import annotations

import math
import re
import statistics
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from microgradlike.words import decimal, in_short, raised
from viz.slots import Quantity

#: The layout measures with Arial; the reader's machine may use any font with the same widths.
FONT = "Arial"
FONT_FAMILY = 'Arial, Helvetica, "Liberation Sans", sans-serif'

# Every role has a light colour of its own, because the dark theme finds an element by that colour.
INK, MUTED, BORDER = "#111111", "#595959", "#767676"
PAGE, SURFACE, LEAF = "#ffffff", "#fefefe", "#f0f0f0"
POSITIVE, NEGATIVE = "#d55e00", "#0072b2"
POSITIVE_TEXT, NEGATIVE_TEXT = "#a63604", "#08519d"
#: What is happening just now.
ACTIVE = "#7a0177"
#: Gradients from very negative to very positive, readable with every kind of colour vision.
STEPS = (
    *("#08519c", "#4292c6", "#6baed6", "#c6dbef", "#f7f7f7"),
    *("#fee6ce", "#fdae6b", "#e6550d", "#a63603"),
)
#: Classes in a plot, told apart with every kind of colour vision.
CLASSES = (NEGATIVE, POSITIVE, "#009e73", "#cc79a7", MUTED, "#f0e442", "#000000")
ON_END, ON_MIDDLE, ON_STEP = "#fffffe", "#111112", "#111113"

#: What each light colour turns into on a dark page.
DARK = {
    **{INK: "#e8eaed", MUTED: "#9aa0a6", BORDER: "#7d858e"},
    **{PAGE: "#0f1419", SURFACE: "#161c23", LEAF: "#262d36"},
    **{POSITIVE: "#e69f00", NEGATIVE: "#56b4e9", ACTIVE: "#cc79a7"},
    **{POSITIVE_TEXT: "#fdd0a2", NEGATIVE_TEXT: "#9ecae1"},
    **{ON_END: "#111111", ON_MIDDLE: "#ffffff", ON_STEP: "#111113"},
    **dict(
        zip(
            STEPS,
            (
                *("#9ecae1", "#6baed6", "#4292c6", "#2c5d85", "#2a2f36"),
                *("#85481c", "#e6772e", "#fdae6b", "#fdd0a2"),
            ),
            strict=True,
        )
    ),
}

#: What a caller may give another colour; errors have one for lines and one for letters.
CHOOSABLE = {
    **{"ink": (INK,), "muted": (MUTED,), "border": (BORDER,), "page": (PAGE,), "leaf": (LEAF,)},
    **{"surface": (SURFACE,), "active": (ACTIVE,)},
    **{"positive": (POSITIVE, POSITIVE_TEXT), "negative": (NEGATIVE, NEGATIVE_TEXT)},
}

#: The colours that have a name in CSS.
NAMED = frozenset(
    re.findall(
        "[a-z]+",
        """
    aliceblue antiquewhite aqua aquamarine azure beige bisque black blanchedalmond blue
    blueviolet brown burlywood cadetblue chartreuse chocolate coral cornflowerblue cornsilk
    crimson cyan darkblue darkcyan darkgoldenrod darkgray darkgreen darkgrey darkkhaki
    darkmagenta darkolivegreen darkorange darkorchid darkred darksalmon darkseagreen
    darkslateblue darkslategray darkslategrey darkturquoise darkviolet deeppink deepskyblue
    dimgray dimgrey dodgerblue firebrick floralwhite forestgreen fuchsia gainsboro ghostwhite
    gold goldenrod gray green greenyellow grey honeydew hotpink indianred indigo ivory khaki
    lavender lavenderblush lawngreen lemonchiffon lightblue lightcoral lightcyan
    lightgoldenrodyellow lightgray lightgreen lightgrey lightpink lightsalmon lightseagreen
    lightskyblue lightslategray lightslategrey lightsteelblue lightyellow lime limegreen linen
    magenta maroon mediumaquamarine mediumblue mediumorchid mediumpurple mediumseagreen
    mediumslateblue mediumspringgreen mediumturquoise mediumvioletred midnightblue mintcream
    mistyrose moccasin navajowhite navy oldlace olive olivedrab orange orangered orchid
    palegoldenrod palegreen paleturquoise palevioletred papayawhip peachpuff peru pink plum
    powderblue purple rebeccapurple red rosybrown royalblue saddlebrown salmon sandybrown
    seagreen seashell sienna silver skyblue slateblue slategray slategrey snow springgreen
    steelblue tan teal thistle tomato turquoise violet wheat white whitesmoke yellow yellowgreen
    """,
    )
)

#: What the sheets of pages call the colours.
ROLES = {
    **{"ink": INK, "muted": MUTED, "border": BORDER, "page": PAGE},
    **{"leaf": LEAF, "positive": POSITIVE_TEXT, "active": ACTIVE},
}


Theme = Literal["auto", "light", "dark"]


def repainted(source: str, shades: Mapping[str, str]) -> str:
    """DOT text with other colours in the place of some.

    >>> repainted('color="#111111"', DARK)
    'color="#e8eaed"'
    """
    return re.sub('"(#[0-9a-f]{6})"', lambda found: f'"{shades.get(found[1], found[1])}"', source)


def stylesheet(picture: str, theme: Theme = "auto", ground: str = PAGE) -> str:
    """The CSS of a picture: what its attributes cannot say to a reader of the web.

    The light colours and the type are attributes, which every program reads. Here is what only
    browsers know, in rules for this picture alone: two may stand on one page. Programs that know
    little CSS pass over whatever begins with @.

    Args:
        picture: the id of its element.
        theme: "auto" to follow the reader's page, or else the colours are those of the attributes.
        ground: the colour behind it, or "none".
    """
    halo = DARK[SURFACE] if theme == "dark" else SURFACE
    dark = "".join(
        f'#{picture} [{what}="{colour}"]{{{what}:{shade}}}'
        for colour, shade in DARK.items()
        for what in ("fill", "stroke")
    )
    sheet = (
        f"#{picture}{{background:{ground}}}\n#{picture} text{{font-variant-numeric:tabular-nums}}\n"
        f"#{picture} :is(.curve,.mark){{pointer-events:none}}\n"
        f"@media all{{#{picture}{{max-width:100%;height:auto}}}}\n"
        f"@supports (paint-order:stroke){{#{picture} :is(.edge,.number) text{{paint-order:stroke;"
        f"stroke:{halo};stroke-width:2.5px;stroke-linejoin:round}}}}\n"
    )
    if theme != "auto":
        return sheet
    return sheet + (
        f"@media screen and (prefers-color-scheme:dark){{#{picture}{{background:"
        f"{DARK.get(ground, ground)}}}{dark}"
        f"@supports (paint-order:stroke){{#{picture} :is(.edge,.number) text"
        f"{{stroke:{DARK[SURFACE]}}}}}}}\n"
    )


def page_stylesheet(chosen: Mapping[str, str] = MappingProxyType({})) -> str:
    """The same for a page of pictures, whose reader may choose light or dark: ``data-theme``.

    Args:
        chosen: other colours in the place of some light ones, whatever the theme.
    """
    light, dark = (
        ";".join(f"{_NAMES[colour]}:{chosen.get(colour, shade)}" for colour, shade in shades)
        for shades in (zip(DARK, DARK, strict=True), DARK.items())
    )
    roles = ";".join(f"--{role}:{variable(colour)}" for role, colour in ROLES.items())
    return (
        f":root{{{light};{roles}}}\n"
        "@media screen and (prefers-color-scheme:dark)"
        f"{{:root:not([data-theme=light]){{{dark}}}}}\n"
        f"@media screen{{:root[data-theme=dark]{{{dark}}}}}\n{_PAINT}"
    )


def for_script() -> dict[str, object]:
    """What the script of a page that paints numbers itself, ``pages/numbers.js``, needs of this."""
    return {
        "steps": STEPS,
        "on_step": [on_step(step) for step in range(len(STEPS))],
        "surface": SURFACE,
        "ink": INK,
        "muted": MUTED,
        "border": BORDER,
        "positive": POSITIVE,
        "negative": NEGATIVE,
        "positive_text": POSITIVE_TEXT,
        "negative_text": NEGATIVE_TEXT,
        "widths": {
            character: _WIDTHS[character] for character in " .−+infa" if character in _WIDTHS
        },
    }


def variable(colour: str) -> str:
    """The colour in CSS, where a dark page may give it another shade."""
    return f"var({_NAMES[colour]})"


_NAMES = {colour: f"--c{colour[1:]}" for colour in DARK}
_PAINT = (
    "\n".join(
        f'.microgradlike [{what}="{colour}"]{{{what}:{variable(colour)}}}'
        for colour in DARK
        for what in ("fill", "stroke")
    )
    + "\n.microgradlike :is(.curve,.mark){pointer-events:none}"
    + f"\n.microgradlike text{{font-family:{FONT_FAMILY};font-variant-numeric:tabular-nums}}\n"
    f".microgradlike :is(.edge,.number) text{{paint-order:stroke;stroke:{variable(SURFACE)};"
    "stroke-width:2.5px;stroke-linejoin:round}\n"
)


def number(value: float) -> str:
    """The number with four significant digits and a real minus sign.

    >>> number(-0.123456), number(1.5e-7)
    ('−0.1235', '1.5e−7')
    """
    if isinstance(value, Quantity):
        return value.slot("number")
    return in_short(value).replace("-", "−")


def signed(value: float) -> str:
    """The number with its sign in front, a plus as well as a minus.

    >>> signed(2.0), signed(-2.0), signed(0.0)
    ('+2', '−2', '0')
    """
    if isinstance(value, Quantity):
        return value.slot("signed")
    return f"+{number(value)}" if value > 0 else number(value)


#: Numbers below this are written with a power of ten: nobody counts more zeros.
SMALLEST = 1e-6


def short(value: float) -> str:
    """The number with three significant digits; a small one without a power of ten.

    >>> short(-0.123456), short(0.0000789), short(12345.0)
    ('−0.123', '0.0000789', '1.23e4')
    """
    spell = decimal if SMALLEST <= abs(value) < 1 else in_short
    return spell(value, 3).replace("-", "−")


def short_signed(value: float) -> str:
    """The same with its sign in front, a plus as well as a minus."""
    return f"+{short(value)}" if value > 0 else short(value)


#: What stands where a number has not arrived yet.
NOT_YET = "–"

#: The widths of Arial's characters, in thousandths of the size of the type.
_WIDTHS = {
    character: width
    for width, characters in (
        (222, "ijl'"),
        (278, "fIt .,:;/\\![]|"),
        (333, "r-()`*{}"),
        (500, "ckszvxyJ^"),
        (556, '0123456789abdeghnopquL?$#_"–'),
        (584, "+−×÷=<>~"),
        (667, "ABEFKPSTVXYZ&"),
        (722, "CDHNRUw"),
        (833, "GMOQm"),
        (1000, "%W"),
    )
    for character in characters
}


def width(text: str, size: float, bold: bool = False) -> float:
    """How wide a text is printed, in points: a little more than any program measures.

    >>> width("−0.25", 10)
    27.065
    """
    thousandths = sum(map(_thousandths, text))
    return thousandths * size / 1000 * (1.12 if bold else 1.0) * 1.05 + 0.5


def _thousandths(character: str) -> int:
    no_room = unicodedata.category(character) in ("Mn", "Me", "Cf") or character == "\n"
    return 0 if no_room else _WIDTHS.get(character, 1030)


def symbol(operator: str) -> str:
    """The operator as it is typeset.

    >>> symbol("*"), symbol("-"), symbol("tanh"), symbol("**2"), symbol("**")
    ('×', '−', 'tanh', 'x²', 'power')
    """
    _, is_power, exponent = operator.partition("**")
    if is_power:
        return f"x{raised(exponent)}" if exponent else "power"
    return {"*": "×", "-": "−", "/": "÷"}.get(operator, operator)


def shortened(text: str, longest: int = 26) -> str:
    """The text, or its beginning and end if it is too long for a box.

    >>> shortened("a" * 30 + "b" * 30)
    'aaaaaaaaaaaaaaaa…bbbbbbbbb'
    """
    return text if len(text) <= longest else f"{text[: longest - 10]}…{text[-9:]}"


def fitting(text: str, room: float, size: float, bold: bool = False) -> str:
    """The text, or as much of its beginning and end as fits into this many points.

    >>> fitting("salesperson", 80, 9), fitting("W" * 20, 60, 9)
    ('salesperson', 'WWW…WW')
    """
    shown, longest = text, len(text)
    while width(shown, size, bold) > room and longest > 2:
        longest -= 1
        shown = f"{text[: (longest + 1) // 2]}…{text[len(text) - longest // 2 :]}"
    return shown


@dataclass(frozen=True)
class Scale:
    """How the sizes of one picture become widths and colours: the same for all it shows."""

    largest: float
    middle: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Scale:
        """The scale of these values, by the largest and the median size of those not zero."""
        sizes = [abs(value) for value in values if value and math.isfinite(value)]
        if not sizes:
            return cls(1.0, 1.0)
        # A median that is nothing beside the maximum would leave no number between them.
        return cls(max(sizes), max(statistics.median_high(sizes), max(sizes) * 1e-12))

    def width(self, value: float) -> float:
        """The width of an arrow in pixels, 1 to 6; its area, so to speak, grows with the error.

        >>> Scale(4.0, 1.0).width(1.0), Scale(4.0, 1.0).width(-4.0)
        (3.5, 6.0)
        """
        if not math.isfinite(value):
            return 6.0
        return round(1 + 5 * math.sqrt(min(abs(value) / self.largest, 1)), 2)

    def step(self, value: float) -> int:
        """Which of the nine colours shows the value; only zero gets the one in the middle.

        >>> [Scale(4.0, 1.0).step(value) for value in (-4.0, 0.0, 0.001, 1.0, 4.0)]
        [0, 4, 5, 6, 8]
        """
        if not value:
            return 4
        share = min(math.asinh(abs(value) / self.middle) / self._reach, 1.0)
        return 4 + int(math.copysign(max(round(4 * share), 1), value))

    def paint(self, value: float) -> tuple[str, str]:
        """The colours of the letters and of the ground on which the value is written."""
        if not math.isfinite(value):
            return SURFACE, INK
        return on_step(self.step(value)), STEPS[self.step(value)]

    def ticks(self) -> list[float]:
        """The nine values that the nine colours stand for."""
        return [self.middle * math.sinh(k / 4 * self._reach) for k in range(-4, 5)]

    @property
    def _reach(self) -> float:
        return math.asinh(self.largest / self.middle)


def hue(value: float) -> str:
    """The colour of an arrow that carries this error."""
    if not math.isfinite(value):
        return INK
    return POSITIVE if value > 0 else NEGATIVE if value < 0 else MUTED


def text_hue(value: float) -> str:
    """The same, dark enough for small letters."""
    return {POSITIVE: POSITIVE_TEXT, NEGATIVE: NEGATIVE_TEXT}.get(hue(value), hue(value))


def on_step(step: int) -> str:
    """The colour of letters on one of the nine colours."""
    return ON_END if step in (0, 8) else ON_MIDDLE if step in (3, 4, 5) else ON_STEP
