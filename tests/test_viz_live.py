"""Pages that recompute: what a script writes and computes is what Python would have."""

from __future__ import annotations

import math
import random
import struct
from typing import Any

import pytest

from viz import style
from viz.page import script_of

# ---- Numbers, colours, widths ------------------------------------------------------------------


def some_numbers(count: int) -> list[float]:
    """Numbers of every size, and those that lie in the middle between two shorter ones."""
    draws = random.Random(1)
    bits = (struct.unpack("d", draws.randbytes(8))[0] for _ in range(count))
    middles = (draws.randrange(1, 10**5) * 5 / 2 ** draws.randrange(12) for _ in range(count))
    usual = (draws.gauss(0, 10 ** draws.randrange(-6, 7)) for _ in range(count))
    return [0.0, -0.0, math.inf, -math.inf, 1e-4, 9999.5, 0.00012345, *bits, *middles, *usual]


def test_a_script_writes_and_paints_numbers_as_python_does(browser: Any) -> None:
    page = browser.new_page()
    page.add_script_tag(content=script_of("numbers.js"))
    given = [value for value in some_numbers(3000) if value == value]
    scale = style.Scale(3.0, 0.25)
    found = page.evaluate(
        """([given, scale]) => given.map(Number).map((v) => [numbers.number(v), numbers.signed(v),
            numbers.exact(v), ...numbers.paint(v, scale), numbers.hue(v), numbers.text_hue(v),
            numbers.width(v, scale.largest)])""",
        [[repr(v).replace("inf", "Infinity") for v in given], {"largest": 3.0, "middle": 0.25}],
    )
    page.close()
    for value, (*written, width) in zip(given, found, strict=True):
        colours = [*scale.paint(value), style.hue(value), style.text_hue(value)]
        assert written == [style.number(value), style.signed(value), repr(value), *colours], value
        assert width == pytest.approx(scale.width(value), abs=0.0051)


@pytest.mark.parametrize(
    ("typed", "value"),
    [("0,5", 0.5), ("-.5e1", -5.0), ("−2", -2.0), (" 3 ", 3.0), ("+1e-3", 0.001)],
)
def test_numbers_are_read_as_people_type_them(browser: Any, typed: str, value: float) -> None:
    page = browser.new_page()
    page.add_script_tag(content=script_of("numbers.js"))
    assert page.evaluate("(typed) => numbers.read(typed)", typed) == {"value": value}
    page.close()
