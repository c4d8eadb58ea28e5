"""The sensor that waits until a pool's nodes are ready for work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_batchlinux._metrics import report_timeline, tags_of
from airflow_provider_batchlinux.core.instants import Duration
from airflow_provider_batchlinux.exceptions import BatchLinuxError, PoolNotReadyError
from airflow_provider_batchlinux.sensors._base import BatchLinuxPoolSensor
from airflow_provider_batchlinux.triggers._base import delete_owned
from airflow_provider_batchlinux.triggers.nodes import BatchLinuxNodesIdleTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.core.pools.requests import NodesIdleRequest, PoolEnd
    from airflow_provider_batchlinux.specs import RepairSpec

__all__ = ["BatchLinuxNodesIdleSensor"]


class BatchLinuxNodesIdleSensor(BatchLinuxPoolSensor["NodesIdleRequest"]):
    """
    Wait until the nodes of a pool are idle: all target nodes, dedicated and Spot, or enough of them.

    .. code-block:: python

        BatchLinuxNodesIdleSensor(
            task_id="nodes", pool_id="etl", ready="80%", deferrable=True, on_timeout="delete_pool"
        )

    The log shows the nodes by state when they change. The task fails immediately if waiting does not help:

    - the pool is being deleted;
    - its resize ended with an error;
    - a node is unusable;
    - a start task failed; its output is in the log and in the error.

    Result in XCom, also sent to Airflow's metrics (``batchlinux.pool.time_to_ready`` and so on):

    - ``pool_id``; ``nodes``, the nodes by state; ``allocation_state``, ``steady`` or ``resizing``;
    - ``timeline``: ``to_steady``, ``to_first_idle`` and ``to_ready`` in seconds from ``requested_at`` or the
      pool's creation, and ``node_hours`` so far;
    - with ``repair``, ``repairs``: the number of repairs that the pool has had.

    .. seealso::
        ``docs/howto/wait-for-nodes.md``,
        and ``nodes_idle`` in ``example_dags/example_linux_pool.py``.

    :param pool_id: the pool. (templated)
    :param ready: how many nodes are enough: ``"all"`` target nodes, a number such as ``3``, or a share of the
        target such as ``"80%"``, rounded up. (templated)
    :param allow_empty: a pool whose target is 0 nodes is ready. Otherwise such a pool fails the task, unless
        an autoscale formula may still add nodes. (templated)
    :param running_is_ready: count a node that runs a task like an idle one, for a pool that others use too.
        (templated)
    :param spot_optional: count only dedicated nodes. For a pool that has only Spot nodes, one is enough.
        (templated)
    :param max_failed_nodes: how many broken nodes to ignore; ``None`` ignores as many as leave ``ready``
        within reach, which is none if all nodes are required. (templated)
    :param allocation_limit: how long an allocation may take, as a pendulum duration, ``timedelta`` or
        seconds; ``None`` for no limit besides ``timeout``. (templated)
    :param boot_limit: how long a node may take to become ready after its allocation or last boot, before it
        counts as broken; ``None`` for no limit besides ``timeout``. (templated)
    :param resize_error_limit: how long to wait for a new resize after a transient resize error, such as
        insufficient capacity; ``None`` fails immediately. (templated)
    :param requested_at: when the nodes were requested, as ISO 8601 text with a time zone. Earlier resize
        errors do not count. The results of a create and a resize have it as ``requested_at``. ``None``, also
        as text, counts all errors of a steady pool. (templated)
    :param repair: how to repair broken nodes meanwhile, as a
        :class:`~airflow_provider_batchlinux.specs.RepairSpec` or a dict with its fields; ``None`` repairs
        nothing. (templated)
    :param on_timeout: what to do with the pool when ``timeout``, ``allocation_limit`` or ``boot_limit`` is
        over: ``keep`` it, or ``delete_pool`` if this Dag run has created it and no other uses it. Other
        failures keep it. (templated)
    :param when_killed: the same for a task that a user or its ``execution_timeout`` ends. While the task is
        deferred this needs Airflow 3.3 or later; between two polls of ``mode="reschedule"`` it is not
        possible. A deferred task that is marked as a success keeps the pool. On a worker, marking and
        eviction looks the same as a kill. (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. ``mode="reschedule"`` frees the worker too, but starts a worker
        process for each poll. (templated)
    :param poke_interval: the longest time between two polls, as a ``timedelta`` or seconds.
    :param timeout: how long to wait at most from the task's first start, as a ``timedelta`` or seconds.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields_renderers = {"repair": "json"}  # noqa: RUF012 - Airflow's own form

    def __init__(
        self,
        *,
        pool_id: str,
        ready: str | int = "all",
        allow_empty: bool | str = False,
        running_is_ready: bool | str = False,
        spot_optional: bool | str = False,
        max_failed_nodes: int | str | None = None,
        allocation_limit: Duration | str | None = None,
        boot_limit: Duration | str | None = None,
        resize_error_limit: Duration | str | None = None,
        requested_at: str | None = None,
        repair: RepairSpec | dict[str, Any] | None = None,
        on_timeout: PoolEnd = "keep",
        when_killed: PoolEnd = "keep",
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, **kwargs)
        self.ready = ready
        self.allow_empty = allow_empty
        self.running_is_ready = running_is_ready
        self.spot_optional = spot_optional
        self.max_failed_nodes = max_failed_nodes
        self.allocation_limit = allocation_limit
        self.boot_limit = boot_limit
        self.resize_error_limit = resize_error_limit
        self.requested_at = requested_at
        self.repair = repair
        self.on_timeout, self.when_killed = on_timeout, when_killed
        self._owner: dict[str, str] | None = None

    @classmethod
    def request_class(cls) -> type[NodesIdleRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.pools.requests import NodesIdleRequest

        return NodesIdleRequest

    def trigger(self, deadline: float | None = None) -> BatchLinuxNodesIdleTrigger:
        """Return the trigger that waits for the same."""
        request = self.request
        return BatchLinuxNodesIdleTrigger(
            pool_id=request.pool_id,
            batch_linux_conn_id=request.batch_linux_conn_id,
            poll_interval=self.poke_interval,
            deadline=deadline,
            policy=request.policy().to_plain() or None,
            repair=request.repair.to_dict() if request.repair is not None else None,
            when_killed=request.when_killed,
            owner=self._owner,
        )

    def begin(self, context: Context) -> None:
        """Remember which Dag run may delete the pool."""
        if self.request.on_timeout != "keep" or self.request.when_killed != "keep":
            ti: Any = context["ti"]
            run = {"dag_id": ti.dag_id, "run_id": ti.run_id}
            self._owner = {**run, "installation": self.hook.installation_id()}

    def finish(self, result: Any, context: Context) -> Any:
        """Send the timeline to Airflow's metrics."""
        if result is not None:
            tags = {**tags_of(context), "pool_state": result.get("allocation_state") or "unknown"}
            report_timeline(result["timeline"], tags, result.get("repairs"))
        return result

    def clean_up(self, error: AirflowException) -> None:
        """Delete the pool after a time-out, where ``on_timeout`` says so."""
        if self.request.on_timeout == "keep" or self._owner is None or not _is_timeout(error):
            return
        owner = self._owner
        reason = "its nodes were not ready in time"
        try:
            self.run(lambda client: delete_owned(client, self.request.pool_id, owner, reason))
        except BatchLinuxError as failure:  # the task is to fail with the time-out
            self.log.warning("Pool %r could not be deleted: %s", self.request.pool_id, failure)


def _is_timeout(error: BaseException) -> bool:
    # With soft_fail a time-out is a skip without a cause; the cause of any other skip is the error it hides.
    hidden = error.__cause__ if isinstance(error, AirflowSkipException) else None
    found = hidden or error
    if isinstance(found, PoolNotReadyError):
        return found.is_late
    return isinstance(found, (AirflowSensorTimeout, AirflowSkipException))
