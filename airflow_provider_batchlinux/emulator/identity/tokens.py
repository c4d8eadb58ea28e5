"""Sign and verify the tenant's tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

BATCH_AUDIENCES = ("https://batch.core.windows.net/",)
"""The audience of a token for Batch. Recorded: without the slash it is refused."""

STORAGE_AUDIENCES = ("https://storage.azure.com", "https://storage.azure.com/")
"""The audiences of tokens for Azure Storage."""

LIFETIME = timedelta(hours=1)
# As the libraries of Entra allow by default.
_SKEW = timedelta(minutes=5)
_KEY_ID = "1"
_REQUIRED = ("exp", "nbf", "aud", "iss", "tid", "appid")
_OTHER_TENANT = "The token was issued by another tenant than the account's."
_NO_TOKEN = "The token is not a signed JWT with the claims that are needed."
_WRONG_AUDIENCE = (
    "The access token has been obtained from wrong audience or resource '{}'. It should exactly match "
    "(including forward slash) with one of the allowed audiences '{}'."
)
"""Recorded."""
_REASONS: Mapping[type[Exception], str] = {
    jwt.InvalidSignatureError: "The signature of the token is not the tenant's.",
    jwt.InvalidIssuerError: _OTHER_TENANT,
}
_ASSERTION = {"iss": "https://kubernetes.default.svc", "aud": ["api://AzureADTokenExchange"]}
_UNREADABLE = (jwt.PyJWTError, RecursionError, ValueError)
"""What PyJWT raises for invalid tokens: it does not handle deeply nested JSON and some characters."""

_TIMES_ARE_OURS = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}


class InvalidTokenError(Exception):
    """A token is invalid; the message says why and does not contain the token."""


class TokenIssuer:
    """
    Sign tokens with a new key, and verify them.

    :param tenant_id: the tenant that issues the tokens.
    """

    def __init__(self, tenant_id: str) -> None:
        self._tenant_id = tenant_id
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def issuer(self) -> str:
        """The tenant's name as the issuer."""
        return f"https://sts.windows.net/{self._tenant_id}/"

    def issue(self, client_id: str, audience: str, now: datetime) -> str:
        """Return a token of an application for an audience, for :data:`LIFETIME`."""
        times = {"iat": now, "nbf": now, "exp": now + LIFETIME}
        claims = {
            "aud": audience,
            "iss": self.issuer,
            "tid": self._tenant_id,
            "appid": client_id,
            "oid": client_id,
            "sub": client_id,
            "ver": "1.0",
            **{name: int(time.timestamp()) for name, time in times.items()},
        }
        return self.sign(claims)

    def issue_assertion(self) -> str:
        """Return a federated token, as Kubernetes projects one into a pod."""
        return self.sign({**_ASSERTION, "sub": "system:serviceaccount:airflow:worker"})

    def is_assertion(self, text: str) -> bool:
        """
        Return whether a text is a federated token that was issued here.

        Entra asks the cluster that issued it for its keys; the tenant here trusts no cluster but itself.
        """
        try:
            claims = jwt.decode(
                text,
                self._key.public_key(),
                algorithms=["RS256"],
                audience=_ASSERTION["aud"],
                issuer=str(_ASSERTION["iss"]),
            )
        except _UNREADABLE:
            return False
        return bool(claims.get("sub"))

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a token with these claims."""
        return jwt.encode(dict(claims), self._key, algorithm="RS256", headers={"kid": _KEY_ID})

    def client_of(self, token: str, now: datetime, *, audiences: Sequence[str] = BATCH_AUDIENCES) -> str:
        """
        Return the id of the application to which a token was issued.

        :param audiences: the accepted audiences.
        :raises InvalidTokenError: the token is not one of this tenant for them, or not of this time.
        """
        claims = self._claims(token, audiences)
        if problem := self._problem(claims, now):
            raise InvalidTokenError(problem)
        return str(claims["appid"])

    def public_keys(self) -> dict[str, Any]:
        """Return the public key in the key set that a tenant publishes."""
        public = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**public, "use": "sig", "kid": _KEY_ID, "alg": "RS256"}]}

    def _claims(self, token: str, audiences: Sequence[str]) -> Mapping[str, Any]:
        options: Any = {**_TIMES_ARE_OURS, "require": list(_REQUIRED)}
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=["RS256"],
                audience=list(audiences),
                issuer=self.issuer,
                options=options,
            )
        except jwt.InvalidAudienceError:
            # Its signature is the tenant's: PyJWT checks it before the claims.
            given = jwt.decode(token, options={"verify_signature": False}).get("aud")
            raise InvalidTokenError(_WRONG_AUDIENCE.format(given, "', '".join(audiences))) from None
        except _UNREADABLE as error:
            raise InvalidTokenError(_REASONS.get(type(error), _NO_TOKEN)) from None
        return claims

    def _problem(self, claims: Mapping[str, Any], now: datetime) -> str | None:
        if not all(isinstance(claims[name], (int, float)) for name in ("exp", "nbf")):
            return _NO_TOKEN
        if claims["tid"] != self._tenant_id:
            return _OTHER_TENANT
        if now.timestamp() > claims["exp"] + _SKEW.total_seconds():
            return "The token has expired."
        if now.timestamp() < claims["nbf"] - _SKEW.total_seconds():
            return "The token is not valid yet."
        return None
