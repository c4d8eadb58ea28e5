"""Operators that change how many nodes a pool has: a resize, and the formula that decides it."""

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
    Give a pool other numbers of nodes, and wait until it has them.

    The service resizes only a steady pool, so a resize under way is waited for first. Nodes that are there
    at the end may still boot: wait for them with
    :class:`~airflow_provider_batchlinux.sensors.nodes.BatchLinuxNodesIdleSensor`. A pool that has its
    numbers is left alone, so a retry asks for nothing twice.

    Result in XCom: ``pool_id``, ``dedicated`` and ``spot`` (each with ``current`` and ``target``),
    ``resize_errors``, and ``requested_at``, when the resize began by the service's clock, for the sensor's
    parameter of that name (``None`` when nothing had to be asked); without waiting, only ``pool_id`` and
    ``requested_at``.

    :param pool_id: the pool's id. (templated)
    :param dedicated_nodes: the dedicated nodes to have; ``None`` leaves their number.
    :param spot_nodes: the spot nodes to have; ``None`` leaves their number.
    :param resize_timeout: how long the service may look for nodes, at least 5 minutes, as a pendulum
        duration, ``timedelta`` or seconds; ``None`` is the service's own 15 minutes.
    :param running_tasks: what becomes of tasks on nodes that go: ``requeue`` runs them again elsewhere,
        ``terminate`` ends them, ``taskcompletion`` waits for them.
    :param accept_partial: fewer nodes than asked for do, as for spot nodes; otherwise that fails the task
        with the service's reasons.
    :param stop_on_kill: when the task is killed, stop the resize that it has asked for, unless the pool is
        resizing for somebody else by now. Nodes that the pool has by then stay. Killing it while it is
        deferred does so from Airflow 3.3 on, unless it is marked as a success. ``False`` leaves the resize to
        go on.
    :param wait: go on until the resize is over. ``False`` returns as soon as the service has taken it, which
        also may mean to wait for a resize under way.
    :param timeout: how long to wait at most, as a pendulum duration, ``timedelta`` or seconds. The resize
        goes on also after that.
    :param poll_interval: how long between two looks, as a pendulum duration, ``timedelta`` or seconds.
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
    Let a formula decide how many nodes a pool has, or change the formula it has.

    The service evaluates it at once, and then every interval. A formula that it refuses fails the task with
    the service's reason; the pool stays as it was.

    Result in XCom: ``pool_id``, and ``results``, the formula's variables and what they became at once.

    :param pool_id: the pool's id. (templated)
    :param formula: the formula, or a :class:`~airflow_provider_batchlinux.specs.AutoscaleSpec`, which brings
        its interval. (templated)
    :param interval: how long between two evaluations, 5 minutes to 7 days, as a pendulum duration,
        ``timedelta`` or seconds; ``None`` is the service's own 15 minutes.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields: Sequence[str] = (*BatchLinuxPoolOperator.template_fields, "formula")

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

    def execute(self, context: Context) -> dict[str, Any]:
        """Enable the formula, and tell what it came to."""
        self.link_pool(context)
        body = self._body()

        async def story(client: BatchLinuxClient) -> dict[str, Any]:
            await client.enable_autoscale(self.pool_id, body)
            run = (await client.find_pool_body(self.pool_id, ["autoScaleRun"]) or {}).get("autoScaleRun")
            return dict(run or {})

        return {"pool_id": self.pool_id, "results": _results(self.hook.run(story), self.pool_id)}

    def _body(self) -> dict[str, Any]:
        from airflow_provider_batchlinux.core.instants import iso8601_duration
        from airflow_provider_batchlinux.core.pools.spec.base import plain_spec, read_spec
        from airflow_provider_batchlinux.core.pools.spec.scale import AutoscaleSpec

        given = {"formula": self.formula} if isinstance(self.formula, str) else dict(plain_spec(self.formula))
        seconds = optional_seconds("interval", self.interval)
        problems: list[str] = []
        if seconds is not None and given.get("interval") is not None:
            problems.append("interval is given twice: beside the formula and in it; leave out one of them.")
        spec = read_spec(AutoscaleSpec, given, "formula", problems)
        if spec is None or problems:
            raise ValueError("\n".join(problems))
        body = {name: value for name, value in spec.to_rest().items() if name != "enableAutoScale"}
        if seconds is not None:
            body["autoScaleEvaluationInterval"] = iso8601_duration(seconds)
        return body


class BatchLinuxDisableAutoscaleOperator(BatchLinuxPoolOperator):
    """
    Keep the numbers of nodes that a pool has, from now on; without a formula that is so already.

    Result in XCom: ``pool_id``.

    :param pool_id: the pool's id. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Disable the formula, if there is one."""
        self.link_pool(context)

        async def story(client: BatchLinuxClient) -> None:
            pool = await client.find_pool(self.pool_id)
            if pool is None or pool.autoscale:
                await client.disable_autoscale(self.pool_id)

        self.hook.run(story)
        return {"pool_id": self.pool_id}


def _results(run: dict[str, Any], pool_id: str) -> dict[str, str]:
    """
    Read what a formula came to.

    :raises BatchRequestError: it could not be evaluated.
    """
    from airflow_provider_batchlinux.core.snapshots import ServiceError
    from airflow_provider_batchlinux.exceptions import BatchRequestError

    if run.get("error"):
        error = ServiceError.from_rest(run["error"])
        msg = f"The formula on pool {pool_id!r} cannot be evaluated: {error}"
        raise BatchRequestError(msg, code=error.code)
    pairs = (part.partition("=") for part in str(run.get("results") or "").split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}
