"""In what the answers of two services differ, from the exchanges of the same tests with both."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Difference", "differences"]

Exchange = Mapping[str, Any]
Key = tuple[str, str, int, str]
"""The test, the operation, and the status and error code of its answer."""

_ID = re.compile(r"(?<=/)(pools|jobs|jobschedules|tasks|nodes|users|files|extensions|subtasks)/[^/]+")
# Headers that every answer has, and those of connections.
_ALWAYS = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "dataserviceversion",
        "date",
        "keep-alive",
        "request-id",
        "server",
        "strict-transport-security",
        "transfer-encoding",
        "x-content-type-options",
    }
)


@dataclass(frozen=True)
class Difference:
    """
    What a real account answers otherwise than the embedded service.

    :param test: the test that met it.
    :param what: the difference in words.
    :param recording: the exchange with the real account, in the form of ``recorded/answers.json``; ``None``
        if only the embedded service answered so.
    """

    test: str
    what: str
    recording: Mapping[str, Any] | None = field(default=None, compare=False)


def differences(real: Sequence[Exchange], embedded: Sequence[Exchange]) -> list[Difference]:
    """
    Compare two services by the exchanges of the same tests.

    Polls are compared by the kinds of their answers, not one by one: their number depends on time.
    """
    found: list[Difference] = []
    ours, theirs = _by_answer(embedded), _by_answer(real)
    tests = {exchange["test"] for exchange in real} & {exchange["test"] for exchange in embedded}
    for key in sorted({*ours, *theirs}):
        test, operation, status, code = key
        if test not in tests:
            continue
        answer = f"{operation} {status} {code}".strip()
        if key not in ours:
            recording = _recording(theirs[key][0], real)
            found.append(Difference(test, f"only the account answers {answer}", recording))
        elif key not in theirs:
            found.append(Difference(test, f"only the embedded service answers {answer}"))
        else:
            recording = _recording(theirs[key][0], real)
            said = _unlike(theirs[key], ours[key])
            found += [Difference(test, f"{answer}: {what}", recording) for what in said]
    return found


def _by_answer(exchanges: Iterable[Exchange]) -> dict[Key, list[Exchange]]:
    grouped: dict[Key, list[Exchange]] = defaultdict(list)
    for exchange in exchanges:
        key = (exchange["test"], _operation(exchange), exchange["status"], _code(exchange["answer"]))
        grouped[key].append(exchange)
    return grouped


def _unlike(real: Sequence[Exchange], embedded: Sequence[Exchange]) -> Iterator[str]:
    for kind, values_of in (("header", _headers), ("property", _properties_of)):
        theirs = {name for exchange in real for name in values_of(exchange)}
        ours = {name for exchange in embedded for name in values_of(exchange)}
        if theirs - ours:
            yield f"{kind} only of the account: {', '.join(sorted(theirs - ours))}"
        if ours - theirs:
            yield f"{kind} only of the embedded service: {', '.join(sorted(ours - theirs))}"
    sentences = [{_sentence(exchange["answer"]) for exchange in each} for each in (real, embedded)]
    if sentences[0] != sentences[1]:
        yield f"the account says {sorted(sentences[0])}, the embedded service {sorted(sentences[1])}"


def _operation(exchange: Exchange) -> str:
    path = _ID.sub(r"\1/x", exchange["target"].partition("?")[0])
    return f"{exchange['method']} {path}"


def _code(answer: Any) -> str:
    return str(answer.get("code", "")) if isinstance(answer, dict) else ""


def _sentence(answer: Any) -> str:
    message = answer.get("message") if isinstance(answer, dict) else None
    is_refusal = isinstance(message, dict) and "code" in answer
    return str(message["value"]).partition("\n")[0] if is_refusal and message is not None else ""


def _headers(exchange: Exchange) -> Iterable[str]:
    return set(exchange["headers"]) - _ALWAYS


def _properties_of(exchange: Exchange) -> Iterable[str]:
    return _properties(exchange["answer"], "")


def _properties(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield f"{place}/{name}"
            yield from _properties(item, f"{place}/{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _properties(item, f"{place}[]")


def _recording(exchange: Exchange, all_of_service: Sequence[Exchange]) -> dict[str, Any]:
    """Return an exchange as in ``recorded/answers.json``: what came before, the request, the answer."""
    own = [each for each in all_of_service if each["test"] == exchange["test"]]
    before = own[: next(number for number, each in enumerate(own) if each is exchange)]
    given = [
        [each["method"], each["target"].partition("?")[0], each["body"]]
        for each in before
        if each["method"] != "GET" and each["status"] < 300
    ]
    answer: dict[str, Any] = {"status": exchange["status"], "headers": sorted(_headers(exchange))}
    content = exchange["answer"]
    if code := _code(content):
        values = [[item["key"], item["value"]] for item in content.get("values") or ()]
        answer |= {"code": code, "sentence": _sentence(content), "values": values}
    elif isinstance(content, dict):
        shown = {name: value for name, value in content.items() if name != "odata.metadata"}
        answer |= {
            "set": str(content.get("odata.metadata", "")).partition("#")[2],
            "properties": sorted(set(_properties(shown, ""))),
        }
    named = f"{_operation(exchange)} {exchange['status']} {code}".strip().replace(" /", "/", 1)
    return {
        "name": named,
        "given": given,
        "request": [exchange["method"], exchange["target"]],
        **({"body": exchange["body"]} if exchange["body"] is not None else {}),
        "answer": answer,
    }
