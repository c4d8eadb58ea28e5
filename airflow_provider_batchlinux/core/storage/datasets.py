"""Names of places in storage as OpenLineage has them, so that what other tools report meets what we do."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from airflow_provider_batchlinux.core.storage.locations import StorageLocation


@dataclass(frozen=True, order=True)
class DatasetName:
    """
    The name of a dataset.

    :param namespace: where it is, such as ``abfss://container@account.dfs.core.windows.net``.
    :param name: which it is there: the name of a blob or a prefix; ``/`` for a whole container.
    """

    namespace: str
    name: str


def dataset_name(location: StorageLocation, account_url: str) -> DatasetName:
    """
    Return the name of a place as a dataset; never its SAS.

    :param account_url: the URL of the storage account, where the place does not name it.
    """
    if location.web_url is not None:
        url = urlsplit(location.web_url)
        return DatasetName(f"{url.scheme}://{url.netloc.rpartition('@')[2]}", unquote(url.path) or "/")
    url = urlsplit(location.account_url or account_url)
    # A storage emulator has the account in the path.
    host = (url.hostname or "").replace(".blob.", ".dfs.", 1)
    service = f"{url.path.strip('/')}.dfs.core.windows.net" if url.path.strip("/") else host
    return DatasetName(f"abfss://{location.container}@{service}", location.path.strip("/") or "/")
