"""The trigger that waits until a pool's nodes are idle."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_batchlinux.triggers._base import BatchLinuxPoolTrigger
from airflow_provider_batchlinux.triggers._ending import BatchLinuxEndingTrigger

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.nodes import NodesIdleWait
    from airflow_provider_batchlinux.client.repair import PoolRepair

__all__ = ["BatchLinuxNodesIdleTrigger"]

log = logging.getLogger(__name__)


class BatchLinuxNodesIdleTrigger(BatchLinuxPoolTrigger, BatchLinuxEndingTrigger):
    """
    Fire when the nodes of a pool are ready, or when they will not become so.

    :param policy: the fields of
        :class:`~airflow_provider_batchlinux.core.readiness_policy.ReadinessPolicy` as plain values; ``None``
        waits for all nodes.
    :param repair: the fields of :class:`~airflow_provider_batchlinux.core.repair.RepairSpec` as plain values;
        ``None`` repairs nothing.
    :param when_killed: what becomes of the pool when a user ends the Airflow task: ``keep`` it, or
        ``delete_pool`` if this provider has made it and no other Dag run has taken it.
    """

    def __init__(
        self,
        *,
        pool_id: str,
        batch_linux_conn_id: str,
        poll_interval: float,
        deadline: float | None = None,
        policy: dict[str, Any] | None = None,
        repair: dict[str, Any] | None = None,
        when_killed: Literal["keep", "delete_pool"] = "keep",
    ) -> None:
        super().__init__(
            pool_id=pool_id,
            batch_linux_conn_id=batch_linux_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
        )
        self.policy = policy
        self.repair = repair
        self.when_killed = when_killed

    def wait(self, client: BatchLinuxClient) -> NodesIdleWait:
        """Wait for the nodes, judged as the sensor judges them."""
        from airflow_provider_batchlinux.client.nodes import NodesIdleWait
        from airflow_provider_batchlinux.core.readiness_policy import ReadinessPolicy

        policy = ReadinessPolicy.from_plain(self.policy or {})
        return NodesIdleWait(client, self.pool_id, policy, self._repair(client))

    async def on_kill(self) -> None:
        """Leave the pool as is asked; where that is as it is, nothing is done."""
        if self.repair is not None or self.when_killed != "keep":
            await super().on_kill()

    async def end(self, client: BatchLinuxClient) -> None:
        """Switch on again the formula that a repair has switched off, or delete the pool."""
        from airflow_provider_batchlinux.client.autoscale_return import return_autoscale
        from airflow_provider_batchlinux.client.unwanted_pool import delete_unwanted_pool

        if self.repair is not None:
            await return_autoscale(client, self.pool_id)
        if self.when_killed == "delete_pool":
            log.warning("%s", await delete_unwanted_pool(client, self.pool_id, "its wait was killed"))

    def _repair(self, client: BatchLinuxClient) -> PoolRepair | None:
        if self.repair is None:
            return None
        from airflow_provider_batchlinux.client.repair import PoolRepair
        from airflow_provider_batchlinux.core.repair import RepairSpec

        spec = RepairSpec.checked(self.repair)
        return PoolRepair(client, self.pool_id, spec, self._logs_url if spec.logs_conn_id else None)

    async def _logs_url(self) -> str | None:
        # Read when it is needed, and kept nowhere: the address holds a signature.
        from airflow.providers.common.compat.connection import get_async_connection

        conn_id = (self.repair or {})["logs_conn_id"]
        try:
            password: str | None = (await get_async_connection(conn_id)).password
        except (
            Exception
        ) as error:  # whatever keeps a connection from being read, nodes are repaired all the same
            log.warning(
                "No logs are saved: connection %r cannot be read (%s).", conn_id, type(error).__name__
            )
            return None
        if not password:
            log.warning("No logs are saved: connection %r has no password, the container's address.", conn_id)
        return password or None
