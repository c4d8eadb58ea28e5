"""Send requests exactly as they were signed, and accept only answers that the service itself gave."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import AioHttpTransport
from yarl import URL

REQUEST_ID_HEADERS = ("request-id", "x-ms-request-id")
"""One of them is in every answer of the Batch service and of the management plane (recorded)."""

_NO_ID = frozenset({"", ".", ".."})
_ENVELOPE = "odata.metadata"
"""In every JSON body that the Batch service sends after a success (recorded)."""


class ForeignAnswerError(ServiceResponseError):
    """Something between us and the service answered in its place, or changed its answer."""


def path_of(url: str) -> str:
    """Return the path of a request as it is sent, without its first slash."""
    # urlsplit takes many times as long, and an account with large pools gets hundreds of requests a second.
    return url.partition("?")[0].partition("://")[2].partition("/")[2]


class ServiceTransport(AioHttpTransport):  # type: ignore[misc]  # azure-core loads its class lazily, untyped
    """
    The transport of azure-core on aiohttp, for a service behind signatures and proxies.

    - azure-batch signs the path of a request as it is built. Given a text, aiohttp unquotes some characters
      of it, such as ``=`` and ``:``, and the signature no longer fits.
    - A proxy or a sign-in page may answer with status 200. The SDK would take its page for a file, its
      silence for a success, and fail to parse the rest.
    """

    async def send(self, request: Any, **options: Any) -> Any:
        """
        Send a request.

        :raises ForeignAnswerError: a success that the service did not send, or not so.
        :raises ValueError: an id or a file name is empty, ``.`` or ``..``, which a server may resolve: the
            request to end task ``..`` of a job would end the job.
        """
        built = request.url
        path = path_of(built)
        if not _NO_ID.isdisjoint(unquote(path).split("/")):
            msg = f"No id or file of Azure Batch is empty, '.' or '..': {request.method} /{path}"
            raise ValueError(msg)
        request.url = URL(built, encoded=True)
        try:
            answer: Any = await super().send(request, **options)
        finally:
            request.url = built
        is_stream = bool(options.get("stream"))
        if is_stream and answer.status_code >= 400:
            # The SDK reads no body of a refused download, and with it the error code would be lost.
            await answer.read()
        flaw = _flaw(request.method, answer, is_stream=is_stream)
        if flaw is None:
            return answer
        await answer.close()
        kind = answer.headers.get("content-type") or "no content type"
        msg = f"The answer is not the service's own: HTTP {answer.status_code}, {kind}, {flaw}"
        raise ForeignAnswerError(msg)


def _flaw(method: str, answer: Any, *, is_stream: bool) -> str | None:
    """Return what shows that a success is not from the service; ``None`` if nothing does."""
    status = answer.status_code
    if status >= 400 or status == 304:
        return None
    if status >= 300:
        return "a redirection"
    if not any(name in answer.headers for name in REQUEST_ID_HEADERS):
        return "without a request id"
    if is_stream or method == "HEAD" or (method != "GET" and not answer.content):
        return None
    try:
        body = answer.json()
    except (ValueError, LookupError, RecursionError):
        return "a body that is not JSON"
    if not isinstance(body, dict):
        return "a body that is not a JSON object"
    if "request-id" in answer.headers and _ENVELOPE not in body:
        return f"a body without {_ENVELOPE!r}"
    items = body.get("value", [])
    is_listing = isinstance(items, list) and all(isinstance(item, dict) for item in items)
    return None if is_listing else "a list that is not one"
