"""The pages as HTML: templates that escape everything, and the headers that keep them safe."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi.responses import JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from airflow_provider_batchlinux.core.overview.summary import cells, colour_of, ordered_counts
from airflow_provider_batchlinux.core.text import counted, last_lines, visible

HERE = Path(__file__).parent

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}
"""The headers of every answer."""

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


class AsciiJson(JSONResponse):
    """JSON in ASCII: names and messages of others may contain lone surrogates, which UTF-8 cannot encode."""

    def render(self, content: Any) -> bytes:
        """Return the content in ASCII."""
        return json.dumps(content, allow_nan=False).encode()


class SecureHeaders:
    """Add :data:`HEADERS` to every answer of an application, also to errors."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Serve a request."""

        async def secured(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message["headers"] if name.decode() not in HEADERS]
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*kept, *added]}
            await send(message)

        await self._app(scope, receive, secured)


def render(template: str, **values: Any) -> str:
    """Return a page."""
    return _environment().get_template(template).render(now=datetime.now(timezone.utc), **values)


def span(seconds: float) -> str:
    """Return a time span in one or two units, such as ``2 d 3 h``."""
    left = int(abs(seconds))
    parts: list[str] = []
    for unit, size in _UNITS:
        number, left = divmod(left, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def address(page: str, **query: Any) -> str:
    """Return the address of a page of ours, relative to the others."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{page}?{urlencode(given, errors='replace')}" if given else page


def airflow_address(dag_id: str, run_id: str | None = None) -> str:
    """Return the address of a Dag or a run in Airflow, relative to our pages."""
    from urllib.parse import quote

    run = f"/runs/{quote(run_id, safe='', errors='replace')}" if run_id else ""
    return f"../dags/{quote(dag_id, safe='', errors='replace')}{run}"


def _since(instant: datetime | None, now: datetime) -> str:
    return span((now - instant).total_seconds()) if instant else "-"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.finalize = lambda value: visible(value) if type(value) is str else value
    environment.globals |= {
        "address": address,
        "airflow_address": airflow_address,
        "cells": cells,
        "colour_of": colour_of,
        "counted": counted,
        "ordered_counts": ordered_counts,
        "since": _since,
        "span": span,
    }
    environment.filters |= {
        "last_lines": last_lines,
        "pretty": lambda value: json.dumps(value, indent=2),
        "instant": lambda value: f"{value:%Y-%m-%d %H:%M} UTC" if value else "-",
    }
    return environment
