"""The web server in front of the service, which refuses some URLs before the service sees them."""

from __future__ import annotations

import re
from datetime import datetime

from aiohttp import web

from airflow_provider_batchlinux.emulator.protocol.instants import format_http_date

__all__ = ["is_invalid_url", "refuse_url"]

_CONTROL = re.compile(r"%(?:[01][0-9A-F]|7F)|%(?![0-9A-F]{2})|[\x00-\x20\x7F]", re.IGNORECASE)
_PAGE = """\
<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN""http://www.w3.org/TR/html4/strict.dtd">
<HTML><HEAD><TITLE>Bad Request</TITLE></HEAD>
<BODY><h2>Bad Request - Invalid URL</h2>
<hr><p>HTTP Error 400. The request URL is invalid.</p>
</BODY></HTML>
"""


def is_invalid_url(raw_path: str) -> bool:
    """Tell whether a path has a control character in it, or a percent sign that stands for nothing."""
    return _CONTROL.search(raw_path) is not None


def refuse_url(now: datetime) -> web.Response:
    """Return the page that such a URL is answered with; it has no request id and no code."""
    headers = {"server": "Microsoft-HTTPAPI/2.0", "date": format_http_date(now)}
    response = web.Response(status=400, text=_PAGE, content_type="text/html", headers=headers)
    response.charset = "us-ascii"
    return response
