"""Return addresses of pages in the Azure portal."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

__all__ = ["pool_page"]

_PORTALS = {
    ".batch.azure.com": "https://portal.azure.com",
    ".batch.chinacloudapi.cn": "https://portal.azure.cn",
    ".batch.usgovcloudapi.net": "https://portal.azure.us",
}


def pool_page(
    endpoint: str, account_name: str, pool_id: str, *, subscription_id: str | None, resource_group: str | None
) -> str:
    """
    Give the portal's page of a pool.

    The portal opens a resource by its id, which needs the subscription and the resource group; without
    them the page is the list of Batch accounts. That the portal has a page for a pool's own id is not
    documented.

    :param endpoint: the account's URL; one outside Azure has no page, and the answer is empty.
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
        f"pools/{quote(pool_id, safe='')}",
    )
    return f"{portal}/#@/resource/{'/'.join(parts)}"
