"""The link to a pool on the page "Batch pools" in Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from airflow.providers.common.compat.sdk import conf

from airflow_provider_batchlinux.links._base import BatchLinuxLink
from airflow_provider_batchlinux.links._page import PAGE_PREFIX, page_connections

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.transport.account import AccountSettings

__all__ = ["BatchLinuxPoolPageLink"]


class BatchLinuxPoolPageLink(BatchLinuxLink):
    """The pool on the page "Batch pools" in Airflow, which also shows accounts outside Azure."""

    name = "Pool in Airflow"

    def address(self, settings: AccountSettings, conn_id: str, pool_id: str) -> str:  # noqa: ARG002
        """Return the address of the pool's page; empty if the page does not show the connection."""
        if conn_id not in page_connections():
            return ""
        # Only the path: users may know Airflow by another name than the workers do.
        base = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
        return f"{base}{PAGE_PREFIX}/pool?{urlencode({'conn': conn_id, 'pool': pool_id})}"
