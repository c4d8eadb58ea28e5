"""Links to the Azure portal."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, urlsplit

from airflow_provider_batchlinux.links._base import BatchLinuxLink

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.transport.account import AccountSettings

__all__ = [
    "BatchLinuxJobLink",
    "BatchLinuxNodeLink",
    "BatchLinuxPoolLink",
    "BatchLinuxPortalLink",
]

_PORTALS = {
    ".batch.azure.com": "https://portal.azure.com",
    ".batch.chinacloudapi.cn": "https://portal.azure.cn",
    ".batch.usgovcloudapi.net": "https://portal.azure.us",
}


class BatchLinuxPortalLink(BatchLinuxLink):
    """
    The base of the links to the Azure portal.

    The portal opens a resource by its ARM id. Only the account and its pools have one: jobs, tasks and nodes
    are opened as parts of these pages, and there is no address of a single one of them.
    """

    part: ClassVar[str]
    """What follows the ARM id of the account; ``{pool_id}`` stands for the pool."""

    @classmethod
    def page_of(
        cls,
        endpoint: str,
        account_name: str,
        pool_id: str,
        *,
        subscription_id: str | None,
        resource_group: str | None,
    ) -> str:
        """
        Return the address of the portal's page.

        Without a subscription and resource group, it is the list of Batch accounts, because nothing in it has
        an address without them. That the portal has a page for the ARM id of a pool, and for the parts of
        pages, is not documented.

        :param endpoint: the account's URL; an account outside Azure has no page, and the address is empty.
        """
        host = urlsplit(endpoint).hostname or ""
        portal = next((url for suffix, url in _PORTALS.items() if host.endswith(suffix)), "")
        if not portal:
            return ""
        if not (subscription_id and resource_group):
            return f"{portal}/#browse/Microsoft.Batch%2FbatchAccounts"
        parts = (
            f"subscriptions/{quote(subscription_id, safe='')}",
            f"resourceGroups/{quote(resource_group, safe='')}",
            f"providers/Microsoft.Batch/batchAccounts/{quote(account_name, safe='')}",
            cls.part.format(pool_id=quote(pool_id, safe="")),
        )
        return f"{portal}/#@/resource/{'/'.join(parts)}"

    def address(self, settings: AccountSettings, conn_id: str, pool_id: str) -> str:  # noqa: ARG002
        """Return the address of the portal's page; empty for an account outside Azure."""
        return self.page_of(
            settings.endpoint,
            settings.account_name,
            pool_id,
            subscription_id=settings.subscription_id,
            resource_group=settings.resource_group,
        )


class BatchLinuxPoolLink(BatchLinuxPortalLink):
    """The pool's page in the Azure portal."""

    name = "Pool in the Azure portal"
    part = "pools/{pool_id}"


class BatchLinuxNodeLink(BatchLinuxPortalLink):
    """The list of the pool's nodes in the Azure portal."""

    name = "Nodes in the Azure portal"
    part = "pools/{pool_id}/nodes"


class BatchLinuxJobLink(BatchLinuxPortalLink):
    """The list of the account's jobs, with their tasks, in the Azure portal."""

    name = "Jobs and tasks in the Azure portal"
    part = "jobs"
