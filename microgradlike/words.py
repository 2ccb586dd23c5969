"""Words of error sentences and pictures: numbers in short, things counted, plain characters."""

from __future__ import annotations

import math
import unicodedata


def in_short(value: float, digits: int = 4) -> str:
    """The number with so many significant digits.

    >>> in_short(-0.123456), in_short(2.0), in_short(-0.0), in_short(1.5e-7), in_short(math.nan)
    ('-0.1235', '2', '0', '1.5e-7', 'NaN')
    """
    if math.isnan(value):
        return "NaN"
    mantissa, _, exponent = f"{value + 0.0:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def decimal(value: float, digits: int = 3) -> str:
    """The number with so many significant digits, and never with a power of ten.

    >>> decimal(0.000078941), decimal(-1.2868), decimal(2034.6), decimal(0.5), decimal(0.0)
    ('0.0000789', '-1.29', '2,030', '0.5', '0')
    """
    if value == 0 or not math.isfinite(value):
        return in_short(value, digits)
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    text = f"{round(value, digits - 1 - exponent):,.{max(digits - 1 - exponent, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def counted(count: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "node"), counted(1200, "node")
    ('1 node', '1,200 nodes')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def literal(text: str) -> str:
    r"""The text with characters that cannot be seen, or may not stand in a file, written out.

    Those that belong to the spelling of a word, or of an emoji, stay.

    >>> literal("two\nlines"), literal("a\u200cb")
    ('two\\nlines', 'a\\u200cb')
    """
    before = ["", *text]
    return "".join(
        c if _is_visible(c, last) else ascii(c)[1:-1] for c, last in zip(text, before, strict=False)
    )


def _is_visible(character: str, before: str) -> bool:
    if character in "\ufffe\uffff":
        return False
    # In Persian and in the scripts of India these two tell words apart; the tags make flags.
    joins = character == "\u200d" or (character == "\u200c" and before > "\u024f")
    tags = "\U000e0020" <= character <= "\U000e007f" and before > "\uffff"
    unseen = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return joins or tags or not unseen


def raised(exponent: str) -> str:
    """An exponent behind its base: small digits, or behind a ``^`` what has none.

    >>> raised("12"), raised("0.5")
    ('¹²', '^0.5')
    """
    return exponent.translate(_RAISED) if exponent.isdecimal() else f"^{exponent}"


_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
