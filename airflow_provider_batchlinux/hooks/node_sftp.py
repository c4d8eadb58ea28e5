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
    Carry files to and from a node of a pool by Airflow's own SFTP operators and sensors.

    Hand it to ``SFTPOperator(sftp_hook=...)``, which must not be deferrable: a triggerer knows nothing of the
    hook. The user that it makes lives as long as its connection.

    :param pool_id: the pool. (templated)
    :param node_id: the node; ``None`` for an idle one, or else one that runs tasks. (templated)
    :param node_options: further arguments of :class:`BatchLinuxNodeSSHHook`, such as ``address``.
    """

    conn_name_attr = "batch_linux_conn_id"

    def __init__(self, pool_id: str, node_id: str | None = None, **node_options: Any) -> None:
        # Airflow's hook takes arguments of its own, and hands all others to the next one.
        super().__init__(ssh_conn_id=None, pool_id=pool_id, node_id=node_id, **node_options)
