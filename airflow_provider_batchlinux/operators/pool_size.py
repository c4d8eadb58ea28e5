"""Operators that resize a pool, and that enable and disable its autoscale formula."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.core.instants import Duration
from airflow_provider_batchlinux.operators._waiting import (
    DEFAULT_DEFERRABLE,
    BatchLinuxPoolOperator,
    BatchLinuxWaitingOperator,
    Step,
)
from airflow_provider_batchlinux.triggers.pool import BatchLinuxPoolResizedTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.core.parameters.requests import PoolIdRequest
    from airflow_provider_batchlinux.core.pools.changes.resize import RunningTasks
    from airflow_provider_batchlinux.core.pools.requests import EnableAutoscaleRequest, ResizePoolRequest
    from airflow_provider_batchlinux.specs import AutoscaleSpec

__all__ = [
    "BatchLinuxDisableAutoscaleOperator",
    "BatchLinuxEnableAutoscaleOperator",
    "BatchLinuxResizePoolOperator",
]


class BatchLinuxResizePoolOperator(BatchLinuxWaitingOperator["ResizePoolRequest"]):
    """
    Resize a pool, and wait until the resize is over.

    .. code-block:: python

        grow = BatchLinuxResizePoolOperator(task_id="grow", pool_id="etl", dedicated_nodes=4)

    The service resizes only a steady pool, so a resize that is running is waited for first. The nodes may
    still be booting at the end: wait for them with
    :class:`~airflow_provider_batchlinux.sensors.nodes.BatchLinuxNodesIdleSensor`. A pool that already has the
    requested numbers is not resized, so a retry requests nothing twice.

    Result in XCom: ``pool_id``, ``dedicated`` and ``spot`` (each with ``current`` and ``target``),
    ``resize_errors``, and ``requested_at``: when the resize began, by the service's clock, for the sensor's
    parameter of that name (``None`` if nothing was requested). Without ``wait`` only ``pool_id`` and
    ``requested_at``.

    .. seealso::
        ``docs/howto/keep-an-account-tidy.md``.

    :param pool_id: the pool's id. (templated)
    :param dedicated_nodes: the number of dedicated nodes; ``None`` keeps it. (templated)
    :param spot_nodes: the number of Spot nodes; ``None`` keeps it. (templated)
    :param resize_timeout: how long the service may look for nodes, at least 5 minutes, as a pendulum
        duration, ``timedelta`` or seconds; ``None`` is the service's default of 15 minutes. (templated)
    :param running_tasks: what to do with tasks on nodes that are removed: ``requeue`` runs them again on
        other nodes, ``terminate`` ends them, ``taskcompletion`` waits for them. (templated)
    :param accept_partial: succeed also with fewer nodes than requested, as Spot nodes often are; ``False``
        fails the task with the service's reasons. (templated)
    :param stop_on_kill: stop the resize if the task is killed, unless another resize is running by then.
        Nodes that the pool has by then stay. A deferred task does this from Airflow 3.3 on, unless it is
        marked as success. ``False`` lets the resize continue. (templated)
    :param wait: wait until the resize is over. ``False`` returns as soon as the service has accepted it,
        which may still mean to wait for a resize that is running. (templated)
    :param timeout: how long to wait at most, as a pendulum duration, ``timedelta`` or seconds. The resize
        continues after that. (templated)
    :param poll_interval: the longest time between polls, as a pendulum duration, ``timedelta`` or seconds.
        (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    limit_name = "timeout"

    def __init__(
        self,
        *,
        pool_id: str,
        dedicated_nodes: int | str | None = None,
        spot_nodes: int | str | None = None,
        resize_timeout: Duration | str | None = None,
        running_tasks: RunningTasks = "requeue",
        accept_partial: bool | str = False,
        stop_on_kill: bool | str = True,
        wait: bool | str = True,
        timeout: Duration | str = timedelta(hours=1),
        poll_interval: Duration | str = timedelta(seconds=10),
        deferrable: bool | str = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, poll_interval=poll_interval, deferrable=deferrable, **kwargs)
        self.dedicated_nodes = dedicated_nodes
        self.spot_nodes = spot_nodes
        self.resize_timeout = resize_timeout
        self.running_tasks = running_tasks
        self.accept_partial = accept_partial
        self.stop_on_kill = stop_on_kill
        self.wait = wait
        self.timeout = timeout

    @classmethod
    def request_class(cls) -> type[ResizePoolRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.pools.requests import ResizePoolRequest

        return ResizePoolRequest

    async def submit(self, client: BatchLinuxClient, context: Context) -> Step:  # noqa: ARG002
        """Return the trigger, which itself requests the resize once the pool is steady."""
        return BatchLinuxPoolResizedTrigger(
            resize=asdict(self.request.spec()),
            until_over=self.request.wait,
            stop_on_kill=self.request.stop_on_kill,
            **self.trigger_arguments(context),
        )


class BatchLinuxEnableAutoscaleOperator(BatchLinuxPoolOperator["EnableAutoscaleRequest"]):
    """
    Enable autoscale on a pool with a formula, or change its formula.

    .. code-block:: python

        scale = BatchLinuxEnableAutoscaleOperator(
            task_id="scale", pool_id="etl", formula=by_pending_tasks(max_spot=20)
        )

    The service evaluates the formula immediately, and then at every interval. A formula that it refuses fails
    the task with the service's reason; the pool does not change.

    Result in XCom: ``pool_id``, and ``results``, the formula's variables and their first values.

    .. seealso::
        ``docs/howto/keep-an-account-tidy.md``.

    :param pool_id: the pool's id. (templated)
    :param formula: the formula, or an :class:`~airflow_provider_batchlinux.specs.AutoscaleSpec`, which
        contains its interval. (templated)
    :param interval: the time between two evaluations, 5 minutes to 7 days, as a pendulum duration,
        ``timedelta`` or seconds; ``None`` is the service's default of 15 minutes. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields_renderers = {"formula": "json"}  # noqa: RUF012 - Airflow's own form

    def __init__(
        self,
        *,
        pool_id: str,
        formula: str | AutoscaleSpec | dict[str, Any],
        interval: Duration | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, **kwargs)
        self.formula = formula
        self.interval = interval

    @classmethod
    def request_class(cls) -> type[EnableAutoscaleRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.pools.requests import EnableAutoscaleRequest

        return EnableAutoscaleRequest

    def execute(self, context: Context) -> dict[str, Any]:
        """Enable the formula, and return its first values."""
        pool_id, body = self.request.pool_id, self.request.body()
        self.link_pool(context)

        async def work(client: BatchLinuxClient) -> dict[str, Any]:
            await client.enable_autoscale(pool_id, body)
            run = (await client.find_pool_body(pool_id, ["autoScaleRun"]) or {}).get("autoScaleRun")
            return dict(run or {})

        return {"pool_id": pool_id, "results": _results(self.hook.run(work), pool_id)}


class BatchLinuxDisableAutoscaleOperator(BatchLinuxPoolOperator["PoolIdRequest"]):
    """
    Disable autoscale on a pool, which keeps its current number of nodes.

    .. code-block:: python

        fixed = BatchLinuxDisableAutoscaleOperator(task_id="fixed", pool_id="etl")

    A pool without a formula is left unchanged.

    Result in XCom: ``pool_id``.

    .. seealso::
        ``docs/howto/keep-an-account-tidy.md``.

    :param pool_id: the pool's id. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    @classmethod
    def request_class(cls) -> type[PoolIdRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.parameters.requests import PoolIdRequest

        return PoolIdRequest

    def execute(self, context: Context) -> dict[str, Any]:
        """Disable the formula, if the pool has one."""
        pool_id = self.request.pool_id
        self.link_pool(context)

        async def work(client: BatchLinuxClient) -> None:
            pool = await client.find_pool(pool_id)
            if pool is None or pool.autoscale:
                await client.disable_autoscale(pool_id)

        self.hook.run(work)
        return {"pool_id": pool_id}


def _results(run: dict[str, Any], pool_id: str) -> dict[str, str]:
    """
    Return the values of a formula's variables.

    :raises BatchRequestError: if the formula could not be evaluated.
    """
    from airflow_provider_batchlinux.core.snapshots import ServiceError
    from airflow_provider_batchlinux.exceptions import BatchRequestError

    if run.get("error"):
        error = ServiceError.from_rest(run["error"])
        msg = f"The formula on pool {pool_id!r} cannot be evaluated: {error}"
        raise BatchRequestError(msg, code=error.code)
    pairs = (part.partition("=") for part in str(run.get("results") or "").split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}
