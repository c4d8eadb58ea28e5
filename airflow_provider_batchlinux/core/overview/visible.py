"""Show text of others harmlessly: control characters are written out, lengths are limited."""

from __future__ import annotations

import unicodedata

_ALLOWED = "\n\t"


def visible(text: str) -> str:
    r"""
    Return a text in which control and direction characters are written out, such as ``\x1b``.

    They could colour or hide what follows, or show it in another order. Carriage returns, which programs use
    to draw over a line, become line ends.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(one if one in _ALLOWED or not _is_control(one) else _written(one) for one in lines)


def last_lines(text: str, most: int) -> str:
    """Return the last lines of a text."""
    return "\n".join(text.rstrip("\n").split("\n")[-most:])


def _is_control(one: str) -> bool:
    # Cc: terminal escapes. Cf: direction and zero-width characters. Cs: halves of surrogate pairs.
    return unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _written(one: str) -> str:
    number = ord(one)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
