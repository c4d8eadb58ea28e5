"""Find the places in a bash command where a quoted value stays one word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

ITEM = re.compile(r"\{item(?:\.([^{}]+))?\}")
ARITHMETIC = "in arithmetic"

_TOKEN = re.compile(
    r"""
      (?P<item>[\\$]?\{item(?:\.[^{}]+)?\})
    | (?P<escape>\\.|\$\$)
    | (?P<single>\$'(?:\\.|[^'\\])*'?|'[^']*'?)
    | (?P<comment>(?<![^\s;&|()])\#[^\n]*)
    | (?P<open>\$\(\(|\$\(|\(\(|\(|\$\{|\$\[)
    | (?P<quote>["`])
    | (?P<close>[)}\]])
    | (?P<string><<<)
    | (?P<document><<-?[ \t]*(?P<end>(?:\\.|'[^']*'|"[^"]*"|[^\s;&|()<>'"\\])+))
    | (?P<line>\n)
    """,
    re.VERBOSE | re.DOTALL,
)
_PLACES = {
    '"': "in double quotes",
    "`": "between backquotes",
    "{": "within ${...}",
    "((": ARITHMETIC,
    "[": ARITHMETIC,
}
_OF_COMMANDS = ("single", "comment", "document")
"""Tokens that mean something only where bash reads commands."""

_CLOSED_BY = {"(": ")", "((": ")", "{": "}", "[": "]"}


def items_in(command: str) -> Iterator[tuple[int, str, str]]:
    """
    Yield where each ``{item}`` of a bash command is, its text, and in what it is.

    The last is empty where bash takes a quoted word as one word, and runs nothing of it.
    """
    return _Reader(command).items()


@dataclass
class _Reader:
    """
    A bash command that is read from its beginning.

    :param open: what is open there, the innermost last.
    :param ends: patterns of the last lines of the here-documents that begin with the next line.
    """

    command: str
    open: list[str] = field(default_factory=lambda: ["("])
    ends: list[str] = field(default_factory=list)

    def items(self) -> Iterator[tuple[int, str, str]]:
        position = 0
        while (token := _TOKEN.search(self.command, position)) is not None:
            kind, start, end = str(token.lastgroup), token.start(), token.end()
            reads_commands = self.open[-1] in ("(", "`")
            if kind == "item":
                word = token[0].lstrip("\\$")
                behind = f"behind {token[0][0]}" if word != token[0] else ""
                yield end - len(word), word, _PLACES.get(self.open[-1], behind)
            elif kind in ("single", "comment") and reads_commands:
                yield from self._all(start, end, f"in {kind} quotes" if kind == "single" else "in a comment")
            elif kind == "document" and reads_commands:
                name = re.escape(re.sub(r"[\\'\"]", "", token["end"]))
                self.ends.append(rf"^\t*{name}$" if token[0].startswith("<<-") else f"^{name}$")
            elif kind == "line" and self.ends:
                end = self._end_of_documents(end)
                yield from self._all(start, end, "in a here-document")
            elif kind not in ("escape", "string") and (kind in _OF_COMMANDS or not self._nests(token[0])):
                # Its first character stands for itself here.
                end = start + 1
            position = end

    def _nests(self, text: str) -> bool:
        """Open or close what a token opens or closes; return whether it does."""
        inner = self.open[-1]
        if text in ('"', "`"):
            if text == inner:
                self.open.pop()
            else:
                self.open.append(text)
        elif text == _CLOSED_BY.get(inner):
            if len(self.open) > 1:
                self.open.pop()
        elif text[0] == "$" and text != "$$":
            self.open += ["((", "(("] if text == "$((" else [text[1:]]
        elif text[0] == "(" and inner in ("(", "`", "(("):
            self.open += ["((" if inner == "((" else text] * len(text)
        else:
            return False
        return True

    def _end_of_documents(self, position: int) -> int:
        for end in self.ends:
            last = re.compile(end, re.MULTILINE).search(self.command, position)
            position = last.end() if last is not None else len(self.command)
        self.ends = []
        return position

    def _all(self, start: int, end: int, where: str) -> Iterator[tuple[int, str, str]]:
        for found in ITEM.finditer(self.command, start, end):
            yield found.start(), found[0], where
