"""The trigger that waits until nodes have done what was requested."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_batchlinux.triggers._base import BatchLinuxPoolTrigger

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.nodes.actions import NodesActedWait
    from airflow_provider_batchlinux.core.nodes.actions import NodeAction
    from airflow_provider_batchlinux.triggers._base import WaitArguments

__all__ = ["BatchLinuxNodesActedTrigger"]


class BatchLinuxNodesActedTrigger(BatchLinuxPoolTrigger):
    """
    Fire when nodes were rebooted, reimaged, deallocated or started, or broke meanwhile.

    Killing the task does not stop them.

    :param pool_id: the pool.
    :param action: what was requested.
    :param node_ids: the nodes that accepted the request.
    :param since: the last boot of any node before it, in ISO 8601; ``None`` when none had booted.
    """

    def __init__(
        self,
        *,
        pool_id: str,
        action: NodeAction,
        node_ids: list[str],
        since: str | None,
        **common: Unpack[WaitArguments],
    ) -> None:
        super().__init__(pool_id=pool_id, **common)
        self.action = action
        self.node_ids = node_ids
        self.since = since

    def wait(self, client: BatchLinuxClient) -> NodesActedWait:
        """Wait for the nodes."""
        from airflow_provider_batchlinux.client.nodes.actions import ActedNodes, NodesActedWait
        from airflow_provider_batchlinux.core.instants import parse_instant

        acted = ActedNodes(self.node_ids, parse_instant(self.since))
        return NodesActedWait(client, self.pool_id, self.action, acted)
