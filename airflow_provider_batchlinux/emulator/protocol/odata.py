"""
The part of OData that Batch supports: ``$filter``, ``$select`` and ``$expand`` of lists.

As in the service, names are case-sensitive and values are not. Which properties can be filtered comes from
the service's documentation of OData filters; for pools, jobs and tasks it is incomplete, and completed with
what recorded clients send.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, refused_query
from airflow_provider_batchlinux.emulator.protocol.instants import parse_http_date, parse_instant
from airflow_provider_batchlinux.emulator.protocol.schema import result_properties

_EQUALITY = frozenset({"eq", "ne"})
_ORDER = _EQUALITY | {"ge", "gt", "le", "lt"}
_PREFIX = _ORDER | {"startswith"}


@dataclass(frozen=True)
class Field:
    """A property that can be filtered by: the type of its values, and its operators."""

    kind: str
    operators: frozenset[str]


_ID = Field("string", _PREFIX)
_CHOICE = Field("string", _EQUALITY)
_TIME = Field("time", _ORDER)
_NUMBER = Field("int", _ORDER)
_FLAG = Field("bool", _EQUALITY)
_EXACT = Field("string", frozenset({"eq"}))
_EXECUTION = {"state": _CHOICE, "startTime": _TIME, "endTime": _TIME, "exitCode": _NUMBER, "result": _CHOICE}

FILTERABLE: Mapping[str, Mapping[str, Field]] = {
    "supportedimages": {
        "osType": _CHOICE,
        "verificationType": _CHOICE,
        "nodeAgentSKUId": _CHOICE,
    },
    "poolnodecounts": {"poolId": _EXACT},
    "pools": {
        "id": _ID,
        "state": _CHOICE,
        "allocationState": _EXACT,
        "vmSize": _CHOICE,
        "enableAutoScale": _FLAG,
        "enableInterNodeCommunication": _FLAG,
        "creationTime": _TIME,
        "lastModified": _TIME,
        "stateTransitionTime": _TIME,
        "allocationStateTransitionTime": _TIME,
    },
    "nodes": {
        "state": _CHOICE,
        "stateTransitionTime": _TIME,
        "lastBootTime": _TIME,
        "allocationTime": _TIME,
        "startTaskInfo/state": _EXACT,
        "startTaskInfo/result": _CHOICE,
        "startTaskInfo/exitCode": _NUMBER,
        "startTaskInfo/startTime": _TIME,
        "startTaskInfo/endTime": _TIME,
    },
    "jobs": {
        "id": _ID,
        "state": _CHOICE,
        "creationTime": _TIME,
        "lastModified": _TIME,
        "stateTransitionTime": _TIME,
        "executionInfo/poolId": _ID,
        "executionInfo/startTime": _TIME,
        "executionInfo/endTime": _TIME,
    },
    "jobschedules": {
        "id": _ID,
        "state": _CHOICE,
        "creationTime": _TIME,
        "lastModified": _TIME,
        "stateTransitionTime": _TIME,
        "executionInfo/endTime": _TIME,
        "schedule/doNotRunUntil": _TIME,
        "schedule/doNotRunAfter": _TIME,
    },
    "jobpreparationandreleasetaskstatuslist": {
        "poolId": _CHOICE,
        "nodeId": _CHOICE,
        **{
            f"{info}/{name}": field
            for info in ("jobPreparationTaskExecutionInfo", "jobReleaseTaskExecutionInfo")
            for name, field in _EXECUTION.items()
        },
    },
    "tasks": {
        "id": _ID,
        "state": _CHOICE,
        "creationTime": _TIME,
        "lastModified": _TIME,
        "stateTransitionTime": _TIME,
        "executionInfo/exitCode": _NUMBER,
        "executionInfo/result": _CHOICE,
        "executionInfo/startTime": _TIME,
        "executionInfo/endTime": _TIME,
    },
    "files": {"name": Field("string", frozenset({"startswith"}))},
}

EXPANDABLE = frozenset({"pools", "jobs", "tasks", "jobschedules"})
"""Lists that accept ``$expand=stats``."""

SELECTABLE: Mapping[str, str] = {
    "pools": "BatchPool",
    "nodes": "BatchNode",
    "jobs": "BatchJob",
    "jobschedules": "BatchJobSchedule",
    "tasks": "BatchTask",
}


Row = Mapping[str, Any]
Predicate = Callable[[Row], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<time>datetime'[^']*')|(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<word>[A-Za-z][A-Za-z0-9_/.]*)|(?P<mark>[(),]))",
    re.IGNORECASE,
)
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": eq,
    "ne": ne,
    "gt": gt,
    "ge": ge,
    "lt": lt,
    "le": le,
}
_DEEPEST = 50


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def parse_filter(text: str | None, set_name: str) -> Predicate:
    """
    Return the predicate for a ``$filter``.

    :param text: the filter; ``None`` matches everything.
    :param set_name: the list that is filtered, which determines the allowed properties.
    :raises ServiceError: ``InvalidQueryParameterValue`` with the reason.
    """
    if text is None:
        return lambda _: True
    return _Parser(text, FILTERABLE.get(set_name, {})).parse()


def parse_select(text: str | None, set_name: str, also: Collection[str] = ()) -> Callable[[Row], Row]:
    """
    Return a function that keeps only the properties in a ``$select``.

    :param text: comma-separated names; ``None`` keeps everything.
    :param also: further names that exist in the API version of the request.
    :raises ServiceError: ``InvalidQueryParameterValue`` for an unknown property.
    """
    if text is None or set_name not in SELECTABLE:
        return lambda row: row
    names = [name.strip().split("/")[0] for name in text.split(",")]
    for name in names:
        if name not in result_properties(SELECTABLE[set_name]) and name not in also:
            reason = f"The property '{name}' cannot be selected."
            raise refused_query(text, of="$select", reason=reason)
    return lambda row: {name: row[name] for name in names if name in row}


def check_expand(text: str | None, set_name: str) -> None:
    """
    Raise an error for an ``$expand`` other than ``stats``, or for a resource without statistics.

    The service computes statistics with a delay. The emulator never has any.

    :raises ServiceError: ``InvalidQueryParameterValue``; the text of its reason is assumed.
    """
    if text is None:
        return
    if set_name not in EXPANDABLE or [name.strip() for name in text.split(",")] != ["stats"]:
        raise refused_query(text, of="$expand", reason=f"'{text}' cannot be expanded.")


class _Parser:
    """A recursive-descent parser: ``or`` of ``and`` of comparisons, ``not`` and parentheses."""

    def __init__(self, text: str, fields: Mapping[str, Field]) -> None:
        self._text = text
        self._fields = fields
        self._tokens = self._scan()
        self._depth = 0

    def parse(self) -> Predicate:
        predicate = self._disjunction()
        if self._tokens:
            raise self._error(reason=f"'{self._tokens[0].text}' was not expected")
        return predicate

    def _scan(self) -> list[_Token]:
        tokens, position = [], 0
        text = self._text.strip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise self._error(reason=f"it cannot be read from '{text[position:]}' on")
            tokens.append(_Token(match.lastgroup or "", match[match.lastgroup or 0]))
            position = match.end()
        return tokens

    def _disjunction(self) -> Predicate:
        terms = [self._conjunction()]
        while self._take_word("or"):
            terms.append(self._conjunction())
        return terms[0] if len(terms) == 1 else lambda row: any(term(row) for term in terms)

    def _conjunction(self) -> Predicate:
        terms = [self._term()]
        while self._take_word("and"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else lambda row: all(term(row) for term in terms)

    def _term(self) -> Predicate:
        if self._take_word("not"):
            return self._negation()
        if self._tokens and self._tokens[0].text == "(":
            return self._group()
        if self._tokens and self._tokens[0].text.lower() == "startswith":
            return self._startswith()
        return self._comparison()

    def _negation(self) -> Predicate:
        with_depth = self._nested(self._term)
        return lambda row: not with_depth(row)

    def _group(self) -> Predicate:
        self._expect("(")
        inner = self._nested(self._disjunction)
        self._expect(")")
        return inner

    def _nested(self, parse: Callable[[], Predicate]) -> Predicate:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(reason="it is nested too deeply")
        inner = parse()
        self._depth -= 1
        return inner

    def _startswith(self) -> Predicate:
        self._next()
        self._expect("(")
        path = self._field("startswith")[0]
        self._expect(",")
        prefix = str(self._literal("string")).lower()
        self._expect(")")
        return lambda row: str(_value_at(row, path) or "").lower().startswith(prefix)

    def _comparison(self) -> Predicate:
        word = self._peek_operator()
        path, field = self._field(word)
        self._next()
        wanted = self._literal(field.kind)
        compare, fold = _COMPARE[word], _FOLDS[field.kind]

        def matches(row: Row) -> bool:
            found = _value_at(row, path)
            return word == "ne" if found is None else compare(fold(found), wanted)

        return matches

    def _peek_operator(self) -> str:
        word = self._tokens[1].text.lower() if len(self._tokens) > 1 else ""
        if word not in _COMPARE:
            raise self._error(reason="a comparison such as \"id eq 'a'\" was expected")
        return word

    def _field(self, operator: str) -> tuple[list[str], Field]:
        name = self._next().text
        field = self._fields.get(name)
        if field is None:
            raise self._error(reason=f"the property '{name}' cannot be filtered by")
        if operator not in field.operators:
            raise self._error(reason=f"the operator '{operator}' cannot be used with '{name}'")
        return name.split("/"), field

    def _literal(self, kind: str) -> Any:
        token = self._next()
        try:
            return _FOLDS[kind](_LITERALS[kind, token.kind](token.text))
        except (KeyError, ValueError):
            raise self._error(reason=f"{token.text} is not a value of type {kind}") from None

    def _next(self) -> _Token:
        if not self._tokens:
            raise self._error(reason="it ends too early")
        return self._tokens.pop(0)

    def _take_word(self, word: str) -> bool:
        if self._tokens and self._tokens[0].text.lower() == word:
            self._next()
            return True
        return False

    def _expect(self, mark: str) -> None:
        if self._next().text != mark:
            raise self._error(reason=f"'{mark}' was expected")

    def _error(self, *, reason: str) -> ServiceError:
        return refused_query(self._text, of="$filter", reason=f"The filter is not valid: {reason}.")


def _value_at(row: Row, path: list[str]) -> Any:
    value: Any = row
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _fold_time(value: str) -> datetime:
    try:
        return parse_instant(value)
    except ValueError:
        return parse_http_date(value)


def _fold_bool(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError
    return str(value).lower() == "true"


_FOLDS: Mapping[str, Callable[[Any], Any]] = {
    "string": str.lower,
    "time": _fold_time,
    "int": int,
    "bool": _fold_bool,
}
_LITERALS: Mapping[tuple[str, str], Callable[[str], Any]] = {
    ("string", "text"): lambda text: text[1:-1].replace("''", "'"),
    ("time", "time"): lambda text: text[len("datetime'") : -1],
    ("time", "text"): lambda text: text[1:-1],
    ("int", "number"): int,
    ("bool", "word"): str,
}
