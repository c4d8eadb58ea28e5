"""A bearer token that is renewed when the service refuses it, even if it has not expired by our clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy

_UNAUTHORISED = 401


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
        if response.http_response.status_code != _UNAUTHORISED:
            return response
        sent = request.http_request.headers["Authorization"]
        await self._renewable.renew(sent.removeprefix("Bearer "))
        return await super().send(request)
