"""What schemathesis has to know of the service: how to sign, what to leave alone, what is a defect."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import schemathesis  # type: ignore[import-not-found]
from hypothesis.strategies import sampled_from

from tests.signed_requests import signed

# What the service itself answers with a status of its own breaking; where it is not implemented, it says so.
MEANT = {"NotImplemented", "TooManyEnableAutoScaleRequests"}
KNOWN_IDS: dict[str, str] = json.loads(os.environ["FUZZ_IDS"])
# Generated commands would run on this machine, and generated addresses be asked.
TAME = {
    "commandLine": "true",
    "containerUrl": "http://127.0.0.1:9/nothing",
    "httpUrl": "http://127.0.0.1:9/nothing",
    "storageContainerUrl": "http://127.0.0.1:9/nothing",
}


def sign(request: Any) -> Any:
    """Sign a request just before it is sent."""
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    account, key = os.environ["FUZZ_ACCOUNT"], os.environ["FUZZ_KEY"]
    request.headers.update(signed(account, key, request.method, request.path_url, headers))
    return request


schemathesis.auth.set_from_requests(sign)
schemathesis.openapi.format(
    "batch-duration", sampled_from(["PT1M", "P1DT2H3M4.5S", "P10675199DT2H48M5.4775807S"])
)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Lead most requests to what is there, but those that would take it away."""
    is_end = case.operation.method.upper() == "DELETE" or "terminate" in case.operation.path
    for name, value in (case.path_parameters or {}).items():
        if name in KNOWN_IDS and not is_end and len(str(value)) % 4:
            case.path_parameters[name] = KNOWN_IDS[name]
    for holder in _objects(case.body):
        holder.update({name: value for name, value in TAME.items() if isinstance(holder.get(name), str)})


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _objects(child)


@schemathesis.check
def no_defect(_context: Any, response: Any, case: Any) -> None:
    """Fail for an answer that says the service broke."""
    if response.status_code >= 500:
        assert response.json()["code"] in MEANT, case.operation.label


@schemathesis.check
def errors_have_their_shape(_context: Any, response: Any, case: Any) -> None:
    """Fail for a refusal that does not say why in the service's own form."""
    if response.status_code < 400 or case.operation.method.upper() == "HEAD":
        return
    if response.headers["content-type"][0].startswith("text/html"):
        return  # The web server in front of the service refused the URL.
    body = response.json()
    assert {"code", "message"} <= set(body), body
    assert f"RequestId:{response.headers['request-id'][0]}" in body["message"]["value"], body


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
