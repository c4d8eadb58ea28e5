"""Checks on every request, whatever it asks for: its URL, version, query and type of body."""

from __future__ import annotations

import re
from datetime import datetime

from aiohttp import web

from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, refused_query
from airflow_provider_batchlinux.emulator.protocol.instants import format_http_date
from airflow_provider_batchlinux.emulator.protocol.versions import check_version
from airflow_provider_batchlinux.emulator.protocol.wire import Call


def check_request(call: Call) -> None:
    """
    Raise an error if a request is invalid for every operation.

    :raises ServiceError: the first problem. The errors for another content type, a repeated parameter and an
        invalid time-out are assumed.
    """
    check_version(call.api_version)
    for name in call.repeated:
        raise refused_query(call.query[name], of=name, reason="The parameter is given more than once.")
    timeout = call.query.get("timeout")
    if timeout is not None and not timeout.isdecimal():
        raise refused_query(timeout, of="timeout", reason="The timeout is not a number of seconds.")
    kind = call.headers.get("content-type")
    if call.body and kind is not None and kind.partition(";")[0].strip().lower() != "application/json":
        raise ServiceError(Code.INVALID_HEADER_VALUE, {"HeaderName": "Content-Type", "HeaderValue": kind})


_CONTROL = re.compile(r"%(?:[01][0-9A-F]|7F)|%(?![0-9A-F]{2})|[\x00-\x20\x7F]", re.IGNORECASE)
_PAGE = """\
<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN""http://www.w3.org/TR/html4/strict.dtd">
<HTML><HEAD><TITLE>Bad Request</TITLE></HEAD>
<BODY><h2>Bad Request - Invalid URL</h2>
<hr><p>HTTP Error 400. The request URL is invalid.</p>
</BODY></HTML>
"""


def is_invalid_url(raw_path: str) -> bool:
    """Return whether a path has a control character, or a percent sign that is not an escape."""
    return _CONTROL.search(raw_path) is not None


def refuse_url(now: datetime) -> web.Response:
    """Return the answer to an invalid URL: a page of the service's front end, without an error code."""
    headers = {"server": "Microsoft-HTTPAPI/2.0", "date": format_http_date(now)}
    response = web.Response(status=400, text=_PAGE, content_type="text/html", headers=headers)
    response.charset = "us-ascii"
    return response
