"""Lay out text for logs and errors."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import category


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in aligned columns under a header."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    padded = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(padded)


def indented(text: str, prefix: str = "    ") -> str:
    """Return a text with every line indented."""
    return "\n".join(prefix + line for line in text.splitlines())


def joined(names: Sequence[str], limit: int = 5) -> str:
    """Return the first names, quoted, and the number of the others: ``'a', 'b' and 3 more``."""
    shown = ", ".join(repr(name) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def counted(number: float, noun: str, plural: str | None = None) -> str:
    """
    Return a number with its noun: ``1 pool``, ``2 pools``.

    :param plural: the plural, if it is not the noun with an "s".
    """
    return f"{number:g} {noun if number == 1 else plural or f'{noun}s'}"


_COMMANDING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""The categories of characters that command a terminal, reorder text, are invisible, or cannot be encoded."""


def harmless(text: str, kept: str = "") -> str:
    """
    Return text of others for a terminal, with each character that could command it as its escape sequence.

    :param kept: characters that stay, such as a line break.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char in kept or category(char) not in _COMMANDING else char.encode("unicode_escape").decode()
        for char in text
    )
