"""Tokens against cross-site request forgery: the forms of other sites do not know them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

LIFETIME = 3600
"""Seconds for which a form can be sent."""


def token_for(secret: str, user_id: str, now: float) -> str:
    """
    Return a token for the forms of a user.

    :param secret: a secret that all API servers of this Airflow have.
    :param now: seconds since 1970.
    """
    end = str(int(now) + LIFETIME)
    return f"{end}.{_signature(secret, user_id, end)}"


def is_valid(secret: str, user_id: str, now: float, token: str) -> bool:
    """Return whether a token was created for this user and has not expired."""
    end, _, signature = token.partition(".")
    # In constant time: the time of a comparison that stops early would reveal the signature.
    is_ours = hmac.compare_digest(signature.encode(), _signature(secret, user_id, end).encode())
    return bool(secret) and is_ours and int(end) >= now


def is_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Return whether a browser says that another site has sent a request."""
    return headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


def _signature(secret: str, user_id: str, end: str) -> str:
    message = f"batch-pools\0{user_id}\0{end}".encode()
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
