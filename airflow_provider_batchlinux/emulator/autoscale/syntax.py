"""Reads an autoscale formula into a tree of statements; evaluates nothing, stdlib only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_batchlinux.emulator.autoscale.lexer import END, Token, tokens_of
from airflow_provider_batchlinux.emulator.autoscale.problems import FormulaSyntaxError, Place

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
    """A part of a formula that has a value."""

    place: Place


@dataclass(frozen=True, slots=True)
class Number(Node):
    """A number that is written out."""

    value: float


@dataclass(frozen=True, slots=True)
class Text(Node):
    """A string that is written out."""

    value: str


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A variable or a constant."""

    name: str


@dataclass(frozen=True, slots=True)
class Vector(Node):
    """A vector that is written out: ``[1, 2]``."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """``-`` or ``!`` before a value."""

    symbol: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """Two values and the operator between them."""

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
    """The call of a function."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Member(Node):
    """A member of a value, such as the hour of a timestamp."""

    of: Node
    name: str


@dataclass(frozen=True, slots=True)
class MethodCall(Node):
    """The call of a method of a metric."""

    of: Node
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """An assignment; without a target, a value that is looked at by nobody."""

    place: Place
    target: str | None
    value: Node


def parse(formula: str) -> tuple[Statement, ...]:
    """
    Return the statements of a formula.

    :raises FormulaSyntaxError: it is none, or has too many statements or parentheses within
        parentheses (the limit of 100 statements is documented, that of nesting is our own).
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
