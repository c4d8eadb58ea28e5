"""Which logs of node agents are uploaded, and where to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow_provider_batchlinux.core.storage.grants import Grant
from airflow_provider_batchlinux.core.storage.locations import parse_location


@dataclass(frozen=True)
class LogRequest:
    """
    Which logs of node agents are uploaded, and where to.

    :param grant: the container, and who may write there.
    :param since: the age of the oldest entries.
    """

    grant: Grant
    since: timedelta

    @classmethod
    def of(cls, container: str, conn_id: str, identity: str | None, since: float) -> LogRequest:
        """
        Return the request for a container that a user names.

        :param container: its URL or object path.
        :param since: seconds.
        :raises ValueError: it is no container: the service itself chooses the directory.
        """
        location = parse_location(container)
        if location.web_url is not None or location.path:
            msg = (
                f"{location} is not a container. Name only the container, such as abfs://logs: the service "
                "chooses the directory in it."
            )
            raise ValueError(msg)
        return cls(Grant(location, "write", location.conn_id or conn_id, identity), timedelta(seconds=since))

    def to_rest(self, url: str) -> dict[str, Any]:
        """
        Return the body of the request, without its times.

        :param url: that of the container, with a SAS unless an identity is used.
        """
        body: dict[str, Any] = {"containerUrl": url}
        if self.grant.identity is not None and not self.grant.location.has_access:
            body["identityReference"] = {"resourceId": self.grant.identity}
        return body
