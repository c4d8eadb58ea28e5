"""Writes down how contract tests end, what they send and what comes back, to compare two services."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import SansIOHTTPPolicy

__all__ = ["RECORD", "Recorder", "record", "record_outcome"]

RECORD = "BATCHLINUX_RECORD"
"""The environment variable with the folder to whose files lines of JSON are appended."""


class Recorder(SansIOHTTPPolicy[Any, Any]):
    """Lets a client of the SDK write down every exchange."""

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        """Write down an answer with its request."""
        sent, got = request.http_request, response.http_response
        content = b"" if request.context.options.get("stream") else got.body()
        record(sent.method, sent.url, sent.content or b"", got.status_code, got.headers, content)


def record(method: str, url: str, body: Any, status: int, headers: Mapping[str, str], content: bytes) -> None:
    """
    Append an exchange to ``exchanges.jsonl``.

    Neither the headers of the request nor the values of those of the answer are written: they authenticate.
    """
    parts = urlsplit(url)
    exchange = {
        "test": os.environ.get("PYTEST_CURRENT_TEST", "").partition(" (")[0],
        "method": method,
        "target": f"{parts.path}?{parts.query}" if parts.query else parts.path,
        "body": _json(body if isinstance(body, (str, bytes)) else b""),
        "status": status,
        "headers": sorted(name.lower() for name in headers),
        "answer": _json(content),
    }
    # What empties a real account after a test is no part of the test.
    if not os.environ.get("PYTEST_CURRENT_TEST", "").endswith("(teardown)"):
        _append("exchanges.jsonl", exchange)


def record_outcome(report: pytest.TestReport) -> None:
    """Append to ``outcomes.jsonl`` how a test has ended; as it ends, for a run that is ended itself."""
    if report.when == "call" or report.outcome != "passed":
        message = (
            report.longrepr[2] if isinstance(report.longrepr, tuple) else _last_line(report.longreprtext)
        )
        outcome = {"name": report.nodeid, "kind": report.outcome, "message": message}
        _append("outcomes.jsonl", outcome)


def _append(name: str, line: Mapping[str, Any]) -> None:
    folder = os.environ.get(RECORD)
    if folder:
        with open(os.path.join(folder, name), "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _last_line(text: str) -> str:
    """Return the error in a traceback: the first of the lines that pytest marks with ``E``."""
    return next((line[1:].strip() for line in text.splitlines() if line.startswith("E ")), text[-500:])


def _json(content: str | bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
