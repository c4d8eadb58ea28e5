"""Airflow's SFTP hook for a node of a pool, by the login of the SSH hook."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException

from airflow_provider_batchlinux.hooks.node_ssh import BatchLinuxNodeSSHHook

try:
    from airflow.providers.sftp.hooks.sftp import SFTPHook
except ImportError as error:
    _MSG = "Files on nodes need Airflow's SFTP provider: pip install 'airflow-provider-batchlinux[ssh]'."
    raise AirflowOptionalProviderFeatureException(_MSG) from error

__all__ = ["BatchLinuxNodeSFTPHook"]


class BatchLinuxNodeSFTPHook(SFTPHook, BatchLinuxNodeSSHHook):
    """
    Copy files to and from a node of a pool by Airflow's own SFTP operators and sensors.

    .. code-block:: python

        SFTPOperator(
            task_id="fetch",
            sftp_hook=BatchLinuxNodeSFTPHook("etl"),
            operation="get",
            remote_filepath="/mnt/totals.json",
            local_filepath="/tmp/totals.json",
        )

    Hand it to ``SFTPOperator(sftp_hook=...)``, which must not be deferrable: a triggerer does not get the
    hook. The user that it adds exists as long as its connection. ``concurrency`` above one, for folders,
    needs version 7 of Airflow's provider.

    :param pool_id: the pool. (templated)
    :param node_id: the node; ``None`` for an idle one, or else one that runs tasks. (templated)
    :param node_options: further arguments of :class:`BatchLinuxNodeSSHHook`, such as ``address``.
    """

    conn_name_attr = "batch_linux_conn_id"

    def __init__(self, pool_id: str, node_id: str | None = None, **node_options: Any) -> None:
        # Airflow's hook takes its arguments, and passes all others to the next class.
        super().__init__(ssh_conn_id=None, pool_id=pool_id, node_id=node_id, **node_options)

    def transfer(self, *args: Any, **kwargs: Any) -> Any:
        """Carry files as Airflow's hook does, all over one connection."""
        with self.get_managed_conn():
            return super().transfer(*args, **kwargs)

    def _build_worker_hook(self) -> Any:
        # Airflow's hook never closes the connections of these helpers, so they share this login.
        return _Helper(self.client)


class _Helper:
    """
    What carries some files of a folder, over a channel of the connection that is open.

    :param client: the SSH client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def get_conn(self) -> Any:
        """Open a channel for files."""
        return self._client.open_sftp()
