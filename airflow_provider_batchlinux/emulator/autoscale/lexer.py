"""Cuts an autoscale formula into tokens; stdlib only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_provider_batchlinux.emulator.autoscale.problems import FormulaSyntaxError, Place

END = "end"
"""The kind of the token behind the last one."""

_TOKEN = re.compile(
    r"""(?P<blank>\s+|//[^\n]*|/\*.*?\*/)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>\$?[A-Za-z_]\w*)
      | (?P<string>"[^"\n]*"|'[^'\n]*')
      | (?P<unclosed>/\*)
      | (?P<symbol>&&|\|\||[<>=!]=|[-+*/<>=!?:;,.()\[\]])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a formula. The text of a string is without its quotes."""

    kind: str
    text: str
    place: Place


def tokens_of(formula: str) -> Iterator[Token]:
    """
    Return the tokens of a formula, and one of kind ``END``; blanks and comments are left out.

    :raises FormulaSyntaxError: something in it is no token.
    """
    offset, line, line_start = 0, 1, 0
    while offset < len(formula):
        place = Place(line, offset - line_start + 1)
        match = _TOKEN.match(formula, offset)
        if match is None or match.lastgroup == "unclosed":
            raise FormulaSyntaxError(place, f"Unexpected character '{formula[offset]}'")
        kind, text = str(match.lastgroup), match.group()
        if kind != "blank":
            yield Token(kind, text[1:-1] if kind == "string" else text, place)
        offset = match.end()
        if breaks := text.count("\n"):
            line += breaks
            line_start = offset - len(text) + text.rindex("\n") + 1
    yield Token(END, "", Place(line, offset - line_start + 1))
