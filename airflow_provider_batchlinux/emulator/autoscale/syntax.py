"""Parses an autoscale formula into statements."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_batchlinux.emulator.autoscale.problems import FormulaSyntaxError, Place

END = "end"
"""The kind of the token after the last one."""

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
    """A token. The text of a string does not include its quotes."""

    kind: str
    text: str
    place: Place


def tokens_of(formula: str) -> Iterator[Token]:
    """
    Yield the tokens of a formula without blanks and comments, and one of kind ``END``.

    :raises FormulaSyntaxError: there is a character that does not start a token.
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


MOST_STATEMENTS = 100
_DEEPEST = 100
_PRECEDENCE: Mapping[str, int] = {
    "||": 1,
    "&&": 2,
    "==": 3,
    "!=": 3,
    "<": 4,
    "<=": 4,
    ">": 4,
    ">=": 4,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
}


@dataclass(frozen=True, slots=True)
class Node:
    """An expression."""

    place: Place


@dataclass(frozen=True, slots=True)
class Number(Node):
    """A number literal."""

    value: float


@dataclass(frozen=True, slots=True)
class Text(Node):
    """A string literal."""

    value: str


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A variable or a constant."""

    name: str


@dataclass(frozen=True, slots=True)
class Vector(Node):
    """A vector literal: ``[1, 2]``."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """A unary operator: ``-`` or ``!``."""

    symbol: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """A binary operator."""

    symbol: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Choice(Node):
    """``condition ? then : otherwise``."""

    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function call."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Member(Node):
    """A member of a value, such as the hour of a timestamp."""

    of: Node
    name: str


@dataclass(frozen=True, slots=True)
class MethodCall(Node):
    """A method call on a metric."""

    of: Node
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """An assignment; without a target, an expression whose value is not used."""

    place: Place
    target: str | None
    value: Node


def parse(formula: str) -> tuple[Statement, ...]:
    """
    Return the statements of a formula.

    :raises FormulaSyntaxError: the text is not a formula, has more than 100 statements (documented), or is
        nested too deeply (a limit of the emulator).
    """
    return _Parser(formula).statements()


class _Parser:
    def __init__(self, formula: str) -> None:
        self._tokens = list(tokens_of(formula))
        self._next = 0
        self._depth = 0

    def statements(self) -> tuple[Statement, ...]:
        found: list[Statement] = []
        while self._peek().kind != END:
            if self._accept(";"):
                continue
            found.append(self._statement())
            if len(found) > MOST_STATEMENTS:
                problem = f"The formula has more than {MOST_STATEMENTS} statements"
                raise FormulaSyntaxError(found[-1].place, problem)
            if self._peek().kind != END:
                self._expect(";")
        return tuple(found)

    def _statement(self) -> Statement:
        start, after = self._peek(), self._peek(1)
        if start.kind == "name" and _is_symbol(after, "="):
            self._next += 2
            return Statement(start.place, start.text, self._expression())
        return Statement(start.place, None, self._expression())

    def _expression(self) -> Node:
        self._descend()
        condition = self._binary(1)
        mark = self._peek()
        if self._accept("?"):
            then = self._expression()
            self._expect(":")
            condition = Choice(mark.place, condition, then, self._expression())
        self._depth -= 1
        return condition

    def _binary(self, least: int) -> Node:
        left = self._unary()
        while (binding := self._binding()) >= least:
            operator = self._take()
            left = Binary(operator.place, operator.text, left, self._binary(binding + 1))
        return left

    def _binding(self) -> int:
        token = self._peek()
        return _PRECEDENCE.get(token.text, 0) if token.kind == "symbol" else 0

    def _unary(self) -> Node:
        mark = self._peek()
        if not (self._accept("-") or self._accept("!")):
            return self._postfix()
        self._descend()
        operand = self._unary()
        self._depth -= 1
        return Unary(mark.place, mark.text, operand)

    def _postfix(self) -> Node:
        node, depth = self._primary(), self._depth
        while self._accept("."):
            self._descend()
            name, bracket = self._expect_name(), self._peek()
            if self._accept("("):
                node = MethodCall(bracket.place, node, name.text, self._items(")"))
            else:
                node = Member(name.place, node, name.text)
        self._depth = depth
        return node

    def _primary(self) -> Node:
        token = self._take()
        if token.kind == "number":
            return Number(token.place, float(token.text))
        if token.kind == "string":
            return Text(token.place, token.text)
        if token.kind == "name":
            return self._name_or_call(token)
        if _is_symbol(token, "("):
            node = self._expression()
            self._expect(")")
            return node
        if _is_symbol(token, "["):
            return Vector(token.place, self._items("]"))
        raise _unexpected(token)

    def _name_or_call(self, token: Token) -> Node:
        if not token.text.startswith("$") and self._accept("("):
            return Call(token.place, token.text, self._items(")"))
        return Name(token.place, token.text)

    def _items(self, closing: str) -> tuple[Node, ...]:
        if self._accept(closing):
            return ()
        items = [self._expression()]
        while self._accept(","):
            items.append(self._expression())
        self._expect(closing)
        return tuple(items)

    def _descend(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise FormulaSyntaxError(self._peek().place, "The formula is nested too deeply")

    def _peek(self, ahead: int = 0) -> Token:
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)]

    def _take(self) -> Token:
        token = self._peek()
        self._next += 1
        return token

    def _accept(self, symbol: str) -> bool:
        found = _is_symbol(self._peek(), symbol)
        self._next += found
        return found

    def _expect(self, symbol: str) -> None:
        if not self._accept(symbol):
            raise _unexpected(self._peek(), f", expected '{symbol}'")

    def _expect_name(self) -> Token:
        token = self._take()
        if token.kind != "name":
            raise _unexpected(token, ", expected a name")
        return token


def _is_symbol(token: Token, text: str) -> bool:
    return token.kind == "symbol" and token.text == text


def _unexpected(token: Token, hint: str = "") -> FormulaSyntaxError:
    found = "end of formula" if token.kind == END else f"'{token.text}'"
    return FormulaSyntaxError(token.place, f"Unexpected {found}{hint}")
