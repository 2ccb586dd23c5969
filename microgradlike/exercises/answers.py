"""What somebody typed, understood as a number, a list of numbers, a choice or a formula."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

from microgradlike.typed import read_formula

#: All that looks like a minus sign.
_MINUS = dict.fromkeys(map(ord, "\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d"), "-")

_DECIMAL = r"(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?"
_VULGAR = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)(?:(?P<whole>\d+)?(?P<vulgar>[{_VULGAR}])"
    rf"|(?:(?P<mixed>\d+) )?(?P<top>{_DECIMAL})/(?P<bottom>[+-]?{_DECIMAL})"
    rf"|(?P<alone>{_DECIMAL}))"
)


def number(text: str) -> float:
    """The number that was typed: ``0,5``, ``1/2``, ``½``, ``1 ½`` and ``−.5e1`` are understood.

    What stands before an equals sign is passed over, as in ``de/db = 3``.

    Args:
        text: what was typed. A comma is a decimal point.

    Raises:
        ValueError: it is no number; the sentence says what is.

    >>> [number(text) for text in ("0,5", " 1/2 ", "½", "1 ½", "-.5e1", "− 2", "de/db = +3")]
    [0.5, 0.5, 0.5, 1.5, -5.0, -2.0, 3.0]
    >>> number("two")
    Traceback (most recent call last):
        ...
    ValueError: 'two' is no number; write one such as −2, 0.5 or 1/2
    """
    written = " ".join(text.translate(_MINUS).rpartition("=")[2].split())
    written = re.sub(rf" ?([-+/{_VULGAR}]) ?", r"\1", written)
    found = _NUMBER.fullmatch(written)
    if not written:
        raise ValueError("nothing was typed; write a number such as −2, 0.5 or 1/2")
    if not found:
        raise ValueError(f"{_quoted(text)} is no number; write one such as −2, 0.5 or 1/2")
    if found["vulgar"]:
        size = float(found["whole"] or 0) + unicodedata.numeric(found["vulgar"])
    elif found["top"]:
        bottom = _decimal(found["bottom"])
        if not bottom:
            raise ValueError(f"{_quoted(text)} divides by 0; write a number such as −2, 0.5 or 1/2")
        size = float(found["mixed"] or 0) + _decimal(found["top"]) / bottom
    else:
        size = _decimal(found["alone"])
    if not math.isfinite(size):
        raise ValueError(f"{_quoted(text)} is too large; write a number such as −2, 0.5 or 1/2")
    return -size if found["sign"] == "-" else size


def _decimal(text: str) -> float:
    return float(text.replace(",", "."))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def numbers(text: str) -> list[float]:
    """The numbers that were typed, with semicolons, commas and spaces, or spaces between them.

    Raises:
        ValueError: one of them is no number.

    >>> numbers("2; -3"), numbers("0,5; 2"), numbers("2, -3"), numbers("2 -3"), numbers("2,-3")
    ([2.0, -3.0], [0.5, 2.0], [2.0, -3.0], [2.0, -3.0], [2.0, -3.0])
    """
    stripped = text.strip().strip("[]()")
    parts = next(
        (
            parts
            for separator in (";", r",\s+|\s+and\s+", r",(?=[-−])", r"\s+", ",")
            if len(parts := [p for p in re.split(separator, stripped) if p.strip()]) > 1
        ),
        [stripped],
    )
    return [number(part) for part in parts]


def choice(text: str, choices: Sequence[str]) -> str:
    """The one that was meant: by its words, the beginning or end of them, or its letter.

    Raises:
        ValueError: it is none of them, or may be several.

    >>> choice("Rise", ["rises", "falls"]), choice("b", ["rises", "falls"])
    ('rises', 'falls')
    >>> choice("3", ["line 1", "line 3"]), choice("b>a", ["a, b", "b, a"])
    ('line 3', 'b, a')
    """
    typed = " ".join(text.lower().split()).strip(".)(")
    words = [" ".join(one.lower().split()) for one in choices]
    for fits in (str.__eq__, str.startswith, str.endswith):
        found = [
            one for one, word in zip(choices, words, strict=True) if typed and fits(word, typed)
        ]
        if len(found) == 1:
            return found[0]
    letters = "abcdefghij"[: len(choices)]
    if len(typed) == 1 and typed in letters:
        return choices[letters.index(typed)]
    # An order such as "b, a, c" may be typed as "b a c", "b>a>c" or "bac".
    found = [
        one
        for one, word in zip(choices, words, strict=True)
        if _letters(typed) and _letters(word) == _letters(typed)
    ]
    if len(found) == 1:
        return found[0]
    told = " or ".join(f"“{one}”" for one in choices)
    raise ValueError(f"{_quoted(text)} is none of the choices; write {told}")


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text)


def _or(choices: Sequence[str]) -> str:
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last


def formula(text: str, names: Sequence[str]) -> list[float]:
    """A formula that was typed, as its values at some points, by which it is compared.

    ``2(a + b)``, ``a × b`` and ``x²`` are understood as well as Python's own syntax.

    Raises:
        ValueError: it is no formula of these names.

    >>> formula("2(a − b)", ["a", "b"]) == formula("2*a - 2*b", ["a", "b"])
    True
    >>> formula("x^2", ["x"]) == formula("x²", ["x"]) == formula("x*x", ["x"])
    True
    """
    written = text.translate(_MINUS).rpartition("=")[2].strip()
    for sign, spelt in (
        ("×", "*"),
        ("·", "*"),
        ("÷", "/"),
        ("^", "**"),
        ("²", "**2"),
        ("³", "**3"),
    ):
        written = written.replace(sign, spelt)
    written = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)\s*(?=[A-Za-df-z_(])", r"\1*", written)
    written = re.sub(
        rf"(\)|\b(?:{'|'.join(map(re.escape, names))}))\s*(?=\()|\)\s*(?=\w)", r"\g<0>*", written
    )
    try:
        found = read_formula(written, names)
        return [round(float(found(*point)), 9) for point in _points(len(names))]
    except (ValueError, ArithmeticError, TypeError):
        raise ValueError(
            f"{_quoted(text)} is no formula of {_or(names)}; write one such as 2*{names[0]} + 1"
        ) from None


def _points(count: int) -> list[list[float]]:
    """Points at which different formulas differ: positive, and without a pattern."""
    return [
        [0.4 + math.fmod(0.618034 * (k + 1) * (n + 2), 1.7) for k in range(count)] for n in range(8)
    ]
