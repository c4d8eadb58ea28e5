"""The requests of the operators and sensors for pools, except the create."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from airflow_provider_batchlinux.core.instants import iso8601_duration
from airflow_provider_batchlinux.core.parameters.kinds import (
    Count,
    Flag,
    Instant,
    Seconds,
    Text,
)
from airflow_provider_batchlinux.core.parameters.requests import (
    OperatorRequest,
    PoolIdRequest,
    SensorRequest,
    WaitRequest,
)
from airflow_provider_batchlinux.core.pools.changes.resize import ResizeSpec, RunningTasks
from airflow_provider_batchlinux.core.pools.readiness.policy import ReadinessPolicy, Ready
from airflow_provider_batchlinux.core.pools.repair import RepairSpec
from airflow_provider_batchlinux.core.pools.spec.scale import AutoscaleSpec

PoolEnd: TypeAlias = Literal["keep", "delete_pool"]
"""What to do with a pool that is not ready when a wait ends."""


@dataclass(frozen=True)
class DeletePoolRequest(WaitRequest):
    """
    A deletion of a pool.

    :param keep_on_failure: the seconds to keep it if a task has failed; ``None`` for not at all.
    :param force: whether to delete it even if other Dag runs use it.
    :param wait: whether to wait until it is gone.
    :param timeout: the seconds to wait at most.
    """

    keep_on_failure: Seconds | None
    force: Flag
    wait: Flag
    timeout: Seconds


@dataclass(frozen=True)
class ResizePoolRequest(WaitRequest):
    """
    A resize of a pool.

    :param dedicated_nodes: the number of dedicated nodes; ``None`` keeps it.
    :param spot_nodes: the number of Spot nodes; ``None`` keeps it.
    :param resize_timeout: the seconds that the service may look for nodes; ``None`` for its default.
    :param running_tasks: what to do with tasks on nodes that are removed.
    :param accept_partial: whether fewer nodes than requested are fine.
    :param stop_on_kill: whether to stop the resize if the task is killed.
    :param wait: whether to wait until the resize is over.
    :param timeout: the seconds to wait at most.
    """

    dedicated_nodes: Count | None
    spot_nodes: Count | None
    resize_timeout: Seconds | None
    running_tasks: RunningTasks
    accept_partial: Flag
    stop_on_kill: Flag
    wait: Flag
    timeout: Seconds

    def problems(self) -> list[str]:
        """List what is wrong with the numbers together."""
        return self.spec().problems()

    def spec(self) -> ResizeSpec:
        """Return the resize."""
        return ResizeSpec(
            dedicated_nodes=self.dedicated_nodes,
            spot_nodes=self.spot_nodes,
            resize_timeout=self.resize_timeout,
            running_tasks=self.running_tasks,
            accept_partial=self.accept_partial,
        )


@dataclass(frozen=True)
class EnableAutoscaleRequest(PoolIdRequest):
    """
    A formula for a pool.

    :param formula: the formula, with or without its interval.
    :param interval: the seconds between two evaluations; ``None`` for the service's default.
    """

    formula: Text | AutoscaleSpec
    interval: Seconds | None

    def problems(self) -> list[str]:
        """List what is wrong if the interval is given twice."""
        in_formula = self.formula.interval if isinstance(self.formula, AutoscaleSpec) else None
        if self.interval is None or in_formula is None:
            return []
        return ["interval is given twice: as a parameter and in the formula; remove one of them."]

    def body(self) -> Mapping[str, Any]:
        """Return the REST body that enables the formula."""
        spec = self.formula if isinstance(self.formula, AutoscaleSpec) else AutoscaleSpec(self.formula)
        body = {name: value for name, value in spec.to_rest().items() if name != "enableAutoScale"}
        if self.interval is not None:
            body["autoScaleEvaluationInterval"] = iso8601_duration(self.interval)
        return body


@dataclass(frozen=True)
class ExtendPoolRequest(PoolIdRequest):
    """
    A later end of a pool.

    :param expires_in: the seconds that the pool is needed from now.
    """

    expires_in: Seconds


@dataclass(frozen=True)
class SweepPoolsRequest(OperatorRequest):
    """
    A sweep of the account's pools.

    :param delete: whether pools are deleted; otherwise it is a dry run.
    :param ended_runs: whether pools without an expiry are deleted when their Dag runs have ended.
    :param installations: the ids of other Airflows to sweep for; ``None`` for none.
    :param idle_after: the seconds after which an idle pool is warned of; ``None`` for never.
    """

    delete: Flag
    ended_runs: Flag
    installations: tuple[Text, ...] | None
    idle_after: Seconds | None


@dataclass(frozen=True)
class PoolSensorRequest(SensorRequest, PoolIdRequest):
    """A wait of a sensor for a pool."""


@dataclass(frozen=True)
class NodesIdleRequest(PoolSensorRequest):
    """
    A wait for the nodes of a pool: the fields of the readiness policy, and what follows from it.

    :param repair: how broken nodes are repaired; ``None`` for not at all.
    :param on_timeout: what to do with the pool after a time-out.
    :param when_killed: what to do with the pool if the task is killed.
    """

    ready: Ready
    allow_empty: Flag
    running_is_ready: Flag
    spot_optional: Flag
    max_failed_nodes: Count | None
    allocation_limit: Seconds | None
    boot_limit: Seconds | None
    resize_error_limit: Seconds | None
    requested_at: Instant | None
    repair: RepairSpec | None
    on_timeout: PoolEnd
    when_killed: PoolEnd

    def policy(self) -> ReadinessPolicy:
        """Return when the pool is ready."""
        return ReadinessPolicy(
            allow_empty=self.allow_empty,
            running_is_ready=self.running_is_ready,
            ready=self.ready,
            spot_optional=self.spot_optional,
            max_failed_nodes=self.max_failed_nodes,
            allocation_limit=self.allocation_limit,
            boot_limit=self.boot_limit,
            resize_error_limit=self.resize_error_limit,
            requested_at=self.requested_at,
        )
