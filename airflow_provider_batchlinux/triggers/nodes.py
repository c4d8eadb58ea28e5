"""The trigger that waits until a pool's nodes are idle."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook
from airflow_provider_batchlinux.triggers._base import BatchLinuxPoolTrigger, delete_owned

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.pools.readiness import NodesIdleWait
    from airflow_provider_batchlinux.client.pools.repair import RepairingWait
    from airflow_provider_batchlinux.triggers._base import WaitArguments

__all__ = ["BatchLinuxNodesIdleTrigger"]

log = logging.getLogger(__name__)


class BatchLinuxNodesIdleTrigger(BatchLinuxPoolTrigger):
    """
    Fire when the nodes of a pool are ready, or when they will not become so.

    :param policy: which nodes must be ready, and the limits, as plain values; ``None`` waits for all nodes.
    :param repair: the fields of :class:`~airflow_provider_batchlinux.specs.RepairSpec` as plain values;
        ``None`` repairs nothing.
    :param when_killed: what to do with the pool when a user ends the Airflow task: ``keep`` it, or
        ``delete_pool`` if this Dag run has created it and no other uses it.
    :param owner: ``dag_id`` and ``run_id`` of this Dag run, and as ``installation`` the id of its Airflow;
        ``None`` never deletes the pool.
    :param dag_run: the owner without its ``installation``, as an earlier release stored it.
    """

    former = frozenset({"dag_run"})

    def __init__(
        self,
        *,
        pool_id: str,
        policy: dict[str, Any] | None = None,
        repair: dict[str, Any] | None = None,
        when_killed: Literal["keep", "delete_pool"] = "keep",
        owner: dict[str, str] | None = None,
        dag_run: dict[str, str] | None = None,
        **common: Unpack[WaitArguments],
    ) -> None:
        super().__init__(pool_id=pool_id, **common)
        self.policy = policy
        self.repair = repair
        self.when_killed = when_killed
        self.owner = owner or dag_run

    def wait(self, client: BatchLinuxClient) -> NodesIdleWait | RepairingWait:
        """Wait for the nodes by the sensor's policy, and repair them if it has a repair."""
        from airflow_provider_batchlinux.client.pools.readiness import NodesIdleWait
        from airflow_provider_batchlinux.core.pools.readiness.policy import ReadinessPolicy

        wait = NodesIdleWait(client, self.pool_id, ReadinessPolicy.from_plain(self.policy or {}))
        if self.repair is None:
            return wait
        from airflow_provider_batchlinux.client.pools.repair import PoolRepair, RepairingWait
        from airflow_provider_batchlinux.core.parameters.reader import read_spec_object
        from airflow_provider_batchlinux.core.pools.repair import RepairSpec

        spec = read_spec_object(RepairSpec, "repair", self.repair)
        logs_url = self._logs_url if spec.logs_conn_id else None
        return RepairingWait(wait, PoolRepair(client, self.pool_id, spec, logs_url))

    @property
    def cancels_on_kill(self) -> bool:
        """Whether a kill deletes the pool."""
        return self.when_killed == "delete_pool" and self.owner is not None

    @property
    def uncancelled(self) -> str:
        """What a cancellation that failed leaves behind."""
        return f"Pool {self.pool_id!r} could not be deleted"

    async def cancel(self, client: BatchLinuxClient) -> None:
        """Delete the pool, unless the task was marked as a success."""
        if self.owner is None or self.marked_success:
            return
        owner = dict(self.owner)
        if "installation" not in owner:
            # An earlier release marked pools with the prefix of the connection's ids.
            prefix = (await BatchLinuxHook(self.batch_linux_conn_id).async_settings()).id_prefix
            owner["installation"] = owner.get("instance", prefix)
        await delete_owned(client, self.pool_id, owner, "its wait was killed")

    async def _logs_url(self) -> str | None:
        # Read when it is needed, and kept nowhere: the address holds a signature.
        from airflow_provider_batchlinux.hooks._async_connection import async_connection

        conn_id = (self.repair or {})["logs_conn_id"]
        try:
            password: str | None = (await async_connection(conn_id)).password
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
