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
    A credential of azure-identity that can be begun again, without the tokens that it keeps in memory.

    :param make: makes the credential; called once at the beginning, and once at each renewal.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._current = make()
        self._used: list[Any] = []
        self._newest: str | None = None

    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Give a token, from memory as long as it is good for some time."""
        token: AccessTokenInfo = await self._current.get_token_info(*scopes, options=options)
        self._newest = token.token
        return token

    async def renew(self, refused: str) -> None:
        """
        Renew the token, unless another request has done so since the refused token was issued.

        :param refused: the token that the service did not take.
        """
        if refused == self._newest:
            # Closed at the end: others may be getting a token from it.
            self._used.append(self._current)
            self._current, self._newest = self._make(), None

    async def close(self) -> None:
        """Close the connections to where tokens come from."""
        for credential in (*self._used, self._current):
            await credential.close()

    async def __aenter__(self) -> RenewableCredential:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()


class RenewingBearerPolicy(AsyncBearerTokenCredentialPolicy[Any, Any]):
    """
    Send each request with a token, and once more with a new one after an answer of 401.

    A client keeps a token until shortly before its end by the client's clock. A service whose clock is ahead,
    or that was told to take no older tokens, refuses it sooner. Whether it then says so in a
    ``WWW-Authenticate`` header, which azure-core would need, is not documented.

    :param credential: where tokens come from.
    :param scopes: what they are to be good for.
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
