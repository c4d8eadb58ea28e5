"""The trigger that waits until a pool's nodes are idle."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook
from airflow_provider_batchlinux.triggers._base import BatchLinuxPoolTrigger

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.pools.readiness import NodesIdleWait
    from airflow_provider_batchlinux.client.pools.repair import PoolRepair

__all__ = ["BatchLinuxNodesIdleTrigger"]

log = logging.getLogger(__name__)


class BatchLinuxNodesIdleTrigger(BatchLinuxPoolTrigger):
    """
    Fire when the nodes of a pool are ready, or when they will not become so.

    :param policy: the fields of
        ``ReadinessPolicy`` as plain values; ``None``
        waits for all nodes.
    :param repair: the fields of :class:`~airflow_provider_batchlinux.specs.RepairSpec` as plain values;
        ``None`` repairs nothing.
    :param when_killed: what becomes of the pool when a user ends the Airflow task: ``keep`` it, or
        ``delete_pool`` if this Dag run has made it and no other has taken it.
    :param dag_run: ``dag_id`` and ``run_id`` of the Dag run that may delete it; ``None`` for none.
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
        dag_run: dict[str, str] | None = None,
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
        self.dag_run = dag_run

    def wait(self, client: BatchLinuxClient) -> NodesIdleWait:
        """Wait for the nodes, judged as the sensor judges them."""
        from airflow_provider_batchlinux.client.pools.readiness import NodesIdleWait
        from airflow_provider_batchlinux.core.pools.readiness.policy import ReadinessPolicy

        policy = ReadinessPolicy.from_plain(self.policy or {})
        return NodesIdleWait(client, self.pool_id, policy, self._repair(client))

    @property
    def cancels_on_kill(self) -> bool:
        """Whether a kill changes the pool."""
        return self.repair is not None or self.when_killed != "keep"

    async def cancel(self, client: BatchLinuxClient) -> None:
        """Switch on again the formula that a repair has switched off, or delete the pool."""
        from airflow_provider_batchlinux.client.pools.cancelled_wait import end_killed_wait

        is_unwanted = self.when_killed == "delete_pool" and not self.marked_success
        run = (self.dag_run["dag_id"], self.dag_run["run_id"]) if self.dag_run and is_unwanted else None
        instance = (await BatchLinuxHook(self.batch_linux_conn_id).async_settings()).id_prefix
        await end_killed_wait(client, self.pool_id, run, instance, repairs=self.repair is not None)

    def _repair(self, client: BatchLinuxClient) -> PoolRepair | None:
        if self.repair is None:
            return None
        from airflow_provider_batchlinux.client.pools.repair import PoolRepair
        from airflow_provider_batchlinux.core.pools.repair.plan import RepairSpec

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
