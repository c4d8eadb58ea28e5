"""What was found when a connection was checked, in words that name the cause first."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Literal

Outcome = Literal["ok", "warning", "failed", "skipped"]

_ASKED = re.compile(r"^Could not [^:]+: ")
_REQUEST = re.compile(r", request [^)\s]+")
_LONGEST = 400
"""Characters that the message of Airflow's Test button shows."""

_CAUSES = {
    "AccountIsDisabled": "The account is disabled",
    "Forbidden": "The identity has no role on the account",
    "InsufficientAccountPermissions": "The identity has no role on the account",
    "InvalidAuthenticationInfo": "The login is refused",
}
_WRONG_KEY = "The account name or key is wrong"
_WRONG_IDENTITY = "The login of the identity is refused"


@dataclass(frozen=True)
class Check:
    """
    One thing that was checked.

    :param name: what was checked, in one or two words.
    :param text: what was found, and what to do about it.
    """

    name: str
    outcome: Outcome
    text: str

    def to_dict(self) -> dict[str, str]:
        """Return the check as plain values."""
        return asdict(self)


def cause_first(message: str, code: str | None, *, has_key: bool) -> str:
    """
    Return the message of a failed first request as one line that begins with its cause.

    :param message: that of an error of the client.
    :param code: the service's error code; ``None`` if it gave none.
    :param has_key: whether the login was that of a key.
    """
    said = " ".join(_REQUEST.sub("", _ASKED.sub("", message)).split())
    is_clock = "clock is" in said
    cause = _CAUSES.get(code or "")
    if code == "AuthenticationFailed" and not is_clock:
        cause = _WRONG_KEY if has_key else _WRONG_IDENTITY
    elif is_clock:
        cause = "The clock is wrong"
    text = f"{cause}: {said}" if cause else said[:1].upper() + said[1:]
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
