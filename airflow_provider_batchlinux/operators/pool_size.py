"""Operators that resize a pool, and that enable and disable its autoscale formula."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.core.instants import Duration, optional_seconds
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
    from airflow_provider_batchlinux.specs import AutoscaleSpec

__all__ = [
    "BatchLinuxDisableAutoscaleOperator",
    "BatchLinuxEnableAutoscaleOperator",
    "BatchLinuxResizePoolOperator",
]


class BatchLinuxResizePoolOperator(BatchLinuxWaitingOperator):
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
    :param dedicated_nodes: the number of dedicated nodes; ``None`` keeps it.
    :param spot_nodes: the number of Spot nodes; ``None`` keeps it.
    :param resize_timeout: how long the service may look for nodes, at least 5 minutes, as a pendulum
        duration, ``timedelta`` or seconds; ``None`` is the service's default of 15 minutes.
    :param running_tasks: what to do with tasks on nodes that are removed: ``requeue`` runs them again on
        other nodes, ``terminate`` ends them, ``taskcompletion`` waits for them.
    :param accept_partial: succeed also with fewer nodes than requested, as Spot nodes often are; ``False``
        fails the task with the service's reasons.
    :param stop_on_kill: stop the resize if the task is killed, unless another resize is running by then.
        Nodes that the pool has by then stay. A deferred task does this from Airflow 3.3 on, unless it is
        marked as success. ``False`` lets the resize continue.
    :param wait: wait until the resize is over. ``False`` returns as soon as the service has accepted it,
        which may still mean to wait for a resize that is running.
    :param timeout: how long to wait at most, as a pendulum duration, ``timedelta`` or seconds. The resize
        continues after that.
    :param poll_interval: the time between two polls, as a pendulum duration, ``timedelta`` or seconds.
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    def __init__(
        self,
        *,
        pool_id: str,
        dedicated_nodes: int | None = None,
        spot_nodes: int | None = None,
        resize_timeout: Duration | None = None,
        running_tasks: str = "requeue",
        accept_partial: bool = False,
        stop_on_kill: bool = True,
        wait: bool = True,
        timeout: Duration = timedelta(hours=1),
        poll_interval: Duration = timedelta(seconds=10),
        deferrable: bool = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, **kwargs)
        self.wait, self.deferrable = wait, deferrable
        self.timeout, self.poll_interval = timeout, poll_interval
        self.dedicated_nodes, self.spot_nodes = dedicated_nodes, spot_nodes
        self.resize_timeout = resize_timeout
        self.running_tasks = running_tasks
        self.accept_partial = accept_partial
        self.stop_on_kill = stop_on_kill

    async def submit(self, client: BatchLinuxClient, context: Context) -> Step:  # noqa: ARG002
        """Return the trigger, which itself requests the resize once the pool is steady."""
        from airflow_provider_batchlinux.core.pools.changes.resize import ResizeSpec

        spec = ResizeSpec(
            dedicated_nodes=self.dedicated_nodes,
            spot_nodes=self.spot_nodes,
            resize_timeout=optional_seconds("resize_timeout", self.resize_timeout),
            running_tasks=self.running_tasks,
            accept_partial=self.accept_partial,
        )
        if problems := spec.problems():
            raise ValueError("\n".join(problems))
        return BatchLinuxPoolResizedTrigger(
            resize=asdict(spec),
            until_over=self.wait,
            stop_on_kill=self.stop_on_kill,
            **self.trigger_arguments(context),
        )


class BatchLinuxEnableAutoscaleOperator(BatchLinuxPoolOperator):
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
        ``timedelta`` or seconds; ``None`` is the service's default of 15 minutes.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields: Sequence[str] = (*BatchLinuxPoolOperator.template_fields, "formula")
    template_fields_renderers = {"formula": "json"}  # noqa: RUF012 - Airflow's own form

    def __init__(
        self,
        *,
        pool_id: str,
        formula: str | AutoscaleSpec | dict[str, Any],
        interval: Duration | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, **kwargs)
        self.formula = formula
        self.interval = interval

    def hide_secrets(self, resolved: set[int]) -> None:
        """Replace a spec object by a dict, so that the formula in it is rendered."""
        from airflow_provider_batchlinux.core.pools.spec.base import Spec

        if isinstance(self.formula, Spec):
            is_resolved = id(self.formula) in resolved
            self.formula = self.formula.to_dict()
            if is_resolved:
                resolved.add(id(self.formula))

    def execute(self, context: Context) -> dict[str, Any]:
        """Enable the formula, and return its first values."""
        self.link_pool(context)
        body = self._body()

        async def work(client: BatchLinuxClient) -> dict[str, Any]:
            await client.enable_autoscale(self.pool_id, body)
            run = (await client.find_pool_body(self.pool_id, ["autoScaleRun"]) or {}).get("autoScaleRun")
            return dict(run or {})

        return {"pool_id": self.pool_id, "results": _results(self.hook.run(work), self.pool_id)}

    def _body(self) -> dict[str, Any]:
        from airflow_provider_batchlinux.core.instants import iso8601_duration
        from airflow_provider_batchlinux.core.pools.spec.base import plain_spec, read_spec
        from airflow_provider_batchlinux.core.pools.spec.scale import AutoscaleSpec

        given = {"formula": self.formula} if isinstance(self.formula, str) else plain_spec(self.formula)
        seconds = optional_seconds("interval", self.interval)
        problems: list[str] = []
        if seconds is not None and given.get("interval") is not None:
            problems.append("interval is given twice: as a parameter and in the formula; remove one of them.")
        spec = read_spec(AutoscaleSpec, given, "formula", problems)
        if spec is None or problems:
            raise ValueError("\n".join(problems))
        body = {name: value for name, value in spec.to_rest().items() if name != "enableAutoScale"}
        if seconds is not None:
            body["autoScaleEvaluationInterval"] = iso8601_duration(seconds)
        return body


class BatchLinuxDisableAutoscaleOperator(BatchLinuxPoolOperator):
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

    def execute(self, context: Context) -> dict[str, Any]:
        """Disable the formula, if the pool has one."""
        self.link_pool(context)

        async def work(client: BatchLinuxClient) -> None:
            pool = await client.find_pool(self.pool_id)
            if pool is None or pool.autoscale:
                await client.disable_autoscale(self.pool_id)

        self.hook.run(work)
        return {"pool_id": self.pool_id}


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
