"""The policies of the SDK's client: headers and authentication of each request."""

from __future__ import annotations

import base64
import hmac
import uuid
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

import azure.batch
from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy, AsyncHTTPPolicy, UserAgentPolicy

from airflow_provider_batchlinux.client.transport.clock import ServiceClock
from airflow_provider_batchlinux.client.transport.http import path_of

_UNAUTHORIZED = 401

_SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
_WITHOUT_BODY = frozenset({"GET", "HEAD"})


class RequestPolicy(AsyncHTTPPolicy[Any, Any]):
    """
    Name the client and the request.

    It replaces twelve stock policies of azure-core, which take 40 % of the client's processor time for a
    request and do nothing for Batch: redirects, hooks, logs, a second layer of retries, proxies, which
    aiohttp reads from the environment, and a decoding that the operations of the SDK do again.

    :param clock: learns the service's time from the answers.
    """

    def __init__(self, clock: ServiceClock) -> None:
        super().__init__()
        self._clock = clock
        self._user_agent = UserAgentPolicy(sdk_moniker=f"batch/{azure.batch.__version__}").user_agent

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send a request."""
        headers = request.http_request.headers
        headers["User-Agent"] = self._user_agent
        headers["client-request-id"] = str(uuid.uuid4())
        response: PipelineResponse[Any, Any] = await self.next.send(request)
        self._clock.heard(response.http_response.headers.get("Date"))
        return response


class SharedKeyPolicy(AsyncHTTPPolicy[Any, Any]):
    """
    Sign each request with a key of the account.

    The SDK's own policy for this is private, decodes the key for each request, and calls a deprecated
    function of ``datetime``. The form is described in
    https://learn.microsoft.com/rest/api/batchservice/authenticate-requests-to-the-azure-batch-service.

    :param account_name: the account's name.
    :param account_key: the key in base64.
    """

    def __init__(self, account_name: str, account_key: str) -> None:
        super().__init__()
        self._account_name = account_name
        self._key = base64.b64decode(account_key)

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Sign and send a request."""
        sent = request.http_request
        if not sent.headers.get("ocp-date"):
            sent.headers["ocp-date"] = formatdate(usegmt=True)
        text = self._string_to_sign(sent.method, sent.url, sent.headers)
        signature = base64.b64encode(hmac.digest(self._key, text.encode(), "sha256")).decode()
        sent.headers["Authorization"] = f"SharedKey {self._account_name}:{signature}"
        return await self.next.send(request)

    def _string_to_sign(self, method: str, url: str, headers: Mapping[str, str]) -> str:
        named = {name.lower(): value for name, value in headers.items() if value}
        if method not in _WITHOUT_BODY:
            named.setdefault("content-length", "0")
        lines = [
            method,
            *(named.get(name, "") for name in _SIGNED_HEADERS),
            *(f"{name}:{named[name]}" for name in sorted(named) if name.startswith("ocp-")),
            f"/{self._account_name}/{path_of(url)}",
            *(f"{name}:{value}" for name, value in sorted(parse_qsl(url.partition("?")[2]))),
        ]
        return "\n".join(lines)


class RenewableCredential:
    """
    A credential of azure-identity that can be replaced, to drop the tokens that it caches.

    :param make: creates the credential; called at the start and at each renewal.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._current = make()
        self._used: list[Any] = []
        self._newest: str | None = None

    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Return a token, from the cache of the credential if it does not expire soon."""
        token: AccessTokenInfo = await self._current.get_token_info(*scopes, options=options)
        self._newest = token.token
        return token

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token as :meth:`get_token_info` does; azure-storage-blob requires this method."""
        token: AccessToken = await self._current.get_token(*scopes, **options)
        return token

    async def renew(self, refused: str) -> None:
        """
        Renew the token, unless another request has done so since the refused token was issued.

        :param refused: the token that the service refused.
        """
        if refused == self._newest:
            # Not closed before the end: another request may be using it.
            self._used.append(self._current)
            self._current, self._newest = self._make(), None

    async def close(self) -> None:
        """Close the connections to the token endpoint."""
        for credential in (*self._used, self._current):
            await credential.close()

    async def __aenter__(self) -> RenewableCredential:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()


class RenewingBearerPolicy(AsyncBearerTokenCredentialPolicy[Any, Any]):
    """
    Send each request with a token, and repeat it once with a new token after status 401.

    A client uses a token until shortly before it expires by the client's clock. The service refuses it
    earlier if its clock is ahead, or if the token was revoked. azure-core renews the token only if the answer
    has a ``WWW-Authenticate`` header; whether Batch sends one is not documented.

    :param credential: the source of tokens.
    :param scopes: the scopes of the tokens.
    """

    def __init__(self, credential: RenewableCredential, *scopes: str) -> None:
        super().__init__(credential, *scopes)
        self._renewable = credential

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send a request, at most twice."""
        response = await super().send(request)
        if response.http_response.status_code != _UNAUTHORIZED:
            return response
        sent = request.http_request.headers["Authorization"]
        await self._renewable.renew(sent.removeprefix("Bearer "))
        return await super().send(request)
