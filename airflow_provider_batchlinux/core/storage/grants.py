"""Who may do what with a place in storage, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import parse_qs

from airflow_provider_batchlinux.core.instants import instant_of
from airflow_provider_batchlinux.core.storage.locations import StorageLocation

_MARGIN = timedelta(hours=1)
"""For the download, the upload, and clocks that differ."""

# A SAS must outlive the wait for a node. A day covers a full pool overnight.
_DEFAULT_START = timedelta(days=1)
_DEFAULT_RUN = timedelta(days=6) - 2 * _MARGIN
"""With the others less than the seven days for which Azure gives a user delegation key."""


@dataclass(frozen=True)
class Grant:
    """
    What a node may do with a place in storage.

    :param access: ``read`` one blob, ``list`` and read the blobs of a prefix, or ``write`` into a container.
    :param conn_id: the Airflow connection to the storage account.
    :param identity: the ARM id of the managed identity of the pool that the node uses instead of a SAS;
        ``None`` for a SAS.
    """

    location: StorageLocation
    access: Literal["read", "list", "write"]
    conn_id: str
    identity: str | None = None

    def url(self, account_url: str, token: str = "") -> str:
        """Return the URL for the node: of the blob, or of the container; see :class:`StorageLocation`."""
        if self.access == "read":
            return self.location.url(account_url, token)
        return self.location.container_url(account_url, token)


def sas_lifetime(start_limit: float | None, time_limit: float | None, max_retries: int) -> timedelta:
    """
    Return how long after its submission a command may still read its inputs and write its outputs.

    :param start_limit: the seconds until its start; ``None`` for no limit, which counts as a day.
    :param time_limit: the seconds that one try may take; ``None`` for no limit, which counts as six days less
        two hours.
    :param max_retries: how often the service retries it; for ever counts as no limit.
    """
    start = _DEFAULT_START if start_limit is None else timedelta(seconds=start_limit)
    is_limited = time_limit is not None and max_retries >= 0
    run = timedelta(seconds=(time_limit or 0) * (1 + max_retries)) if is_limited else _DEFAULT_RUN
    return start + run + _MARGIN


def expiry_of_sas(token: str) -> datetime | None:
    """Return when a SAS expires; ``None`` if it does not say, as one that follows a stored policy."""
    found = parse_qs(token.lstrip("?")).get("se")
    return instant_of(found[0]) if found else None


def require_valid_sas(what: str, token: str, now: datetime, until: datetime) -> str | None:
    """
    Raise ValueError if a SAS has expired; return a warning if it expires too early.

    :param what: the place of the SAS, for the messages.
    :param until: the last possible end of the command.
    """
    expiry = expiry_of_sas(token)
    if expiry is None or expiry > until:
        return None
    if expiry <= now:
        msg = f"The SAS of {what} expired at {expiry.isoformat()}. Give one that outlives the command."
        raise ValueError(msg)
    return (
        f"The SAS of {what} expires at {expiry.isoformat()}, but the command may run until "
        f"{until.isoformat(timespec='seconds')}; what it reads or writes later is refused."
    )
