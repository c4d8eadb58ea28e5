"""Lay out text for logs and errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from textwrap import wrap
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


def indented(text: str) -> str:
    """Return a text with every line indented."""
    return "\n".join(f"    {line}" for line in text.splitlines())


_SENTENCE_END = re.compile(r"(?<=[.?!]) (?=[A-Z'\"])")


def broken_into_lines(text: str, width: int = 96, *, beside: int = 0) -> str:
    """
    Return a text whose long lines are broken: at ends of sentences, and inside a sentence only if it is long.

    Lines that are indented by four spaces or more are the output of a program, and stay as they are.

    :param beside: the number of characters before the text in its first line.
    """
    lines = ("_" * beside + text).split("\n")
    return "\n".join(part for line in lines for part in _broken(line, width))[beside:]


def _broken(line: str, width: int) -> Iterator[str]:
    words = line.lstrip(" ")
    indent = line[: len(line) - len(words)]
    if len(line) <= width or len(indent) >= 4:
        yield line
        return
    hanging = indent + "  "
    for number, sentence in enumerate(_SENTENCE_END.split(words)):
        yield from wrap(
            sentence,
            width,
            initial_indent=hanging if number else indent,
            subsequent_indent=hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )


def joined(names: Sequence[str], limit: int = 5) -> str:
    """Return the first names, quoted, and the number of the others: ``'a', 'b' and 3 more``."""
    shown = ", ".join(repr(name) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def counted(number: float, noun: str) -> str:
    """Return a number with its noun: ``1 pool``, ``2 pools``."""
    return f"{number:g} {noun if number == 1 else f'{noun}s'}"


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


def visible(text: str) -> str:
    r"""
    Return a text in which control and direction characters are written out, such as ``\x1b``.

    They could colour or hide what follows, or show it in another order. Carriage returns, which programs use
    to draw over a line, become line ends.
    """
    return harmless(text.replace("\r\n", "\n").replace("\r", "\n"), kept="\n\t")


def last_lines(text: str, most: int) -> str:
    """Return the last lines of a text."""
    return "\n".join(text.rstrip("\n").split("\n")[-most:])
