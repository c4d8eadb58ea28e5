"""The parameters of a resize, and what the state of a pool means during it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from airflow_provider_batchlinux.core.instants import iso8601_duration, rest_instant
from airflow_provider_batchlinux.core.service_errors import ResizeErrorKind, explained_error, kind_of
from airflow_provider_batchlinux.core.snapshots import PoolSnapshot, ServiceError

RunningTasks = Literal["requeue", "terminate", "taskcompletion"]
"""What the service does with tasks that run on a node that is removed."""

_MIN_TIMEOUT = 300
"""Seconds. The service accepts no shorter one."""


@dataclass(frozen=True)
class ResizeSpec:
    """
    A resize.

    :param dedicated_nodes: the target number of dedicated nodes; ``None`` keeps it.
    :param spot_nodes: the target number of Spot nodes; ``None`` keeps it.
    :param resize_timeout: the seconds in which the service may allocate nodes; ``None`` for its 15 minutes.
    :param running_tasks: what to do with tasks on nodes that are removed.
    :param accept_partial: whether fewer nodes than requested are a success.
    """

    dedicated_nodes: int | None = None
    spot_nodes: int | None = None
    resize_timeout: float | None = None
    running_tasks: RunningTasks = "requeue"
    accept_partial: bool = False

    def problems(self) -> list[str]:
        """List the problems."""
        found = []
        if self.dedicated_nodes is None and self.spot_nodes is None:
            found.append("dedicated_nodes and spot_nodes are both None; give at least one.")
        if self.resize_timeout is not None and self.resize_timeout < _MIN_TIMEOUT:
            found.append(f"resize_timeout is {self.resize_timeout:g} s; the minimum is {_MIN_TIMEOUT} s.")
        return found

    def targets(self, pool: PoolSnapshot) -> tuple[int, int]:
        """Return the target numbers of dedicated and Spot nodes for a pool."""
        dedicated, spot = self.dedicated_nodes, self.spot_nodes
        return (
            pool.target_dedicated if dedicated is None else dedicated,
            pool.target_spot if spot is None else spot,
        )

    def to_rest(self, pool: PoolSnapshot) -> dict[str, Any]:
        """Return the body. It always has both numbers, so that the service applies no default."""
        dedicated, spot = self.targets(pool)
        body: dict[str, Any] = {
            "targetDedicatedNodes": dedicated,
            "targetLowPriorityNodes": spot,
            "nodeDeallocationOption": self.running_tasks,
        }
        if self.resize_timeout is not None:
            body["resizeTimeout"] = iso8601_duration(self.resize_timeout)
        return body


@dataclass
class ResizeRequest:
    """
    The state of a request for a resize.

    :param asked: whether the service has accepted the request.
    :param requested_at: when the resize began, by the service's clock, as ISO 8601 text; ``None`` if it was
        not requested yet.
    """

    asked: bool = False
    requested_at: str | None = None

    def is_under_way(self, spec: ResizeSpec, pool: PoolSnapshot) -> bool:
        """Return whether a pool is resizing because of this request, and not because of a later one."""
        if not self.asked or pool.allocation_state != "resizing" or pool.allocation_state_since is None:
            return False
        wants_the_same = (pool.target_dedicated, pool.target_spot) == spec.targets(pool)
        return wants_the_same and self.requested_at in (None, rest_instant(pool.allocation_state_since))


def began_at(pool: PoolSnapshot) -> str | None:
    """
    Return when a resize began that the service has just accepted, as ISO 8601 text.

    It is the time of the pool's transition to its allocation state. If the resize has ended already, that is
    the time of its end, and the last modification is that of the request.
    """
    is_over = pool.allocation_state == "steady" and pool.modified is not None
    instant = pool.modified if is_over else pool.allocation_state_since
    return rest_instant(instant) if instant is not None else None


class ResizeStep(str, Enum):
    """The next step of a resize."""

    WAIT = "wait"
    ASK = "ask"
    DONE = "done"
    SHORT = "short"


def next_step(spec: ResizeSpec, pool: PoolSnapshot, *, asked: bool) -> ResizeStep:
    """
    Decide the next step of a resize.

    :param asked: whether the service has accepted our request, so that a steady pool is its result.
    """
    targets = spec.targets(pool)
    if pool.allocation_state != "steady":
        return ResizeStep.WAIT
    if (pool.current_dedicated, pool.current_spot) == targets == (pool.target_dedicated, pool.target_spot):
        return ResizeStep.DONE
    if not asked:
        return ResizeStep.ASK
    return ResizeStep.DONE if spec.accept_partial else ResizeStep.SHORT


def shortfall(spec: ResizeSpec, pool: PoolSnapshot) -> str:
    """Return the message for a resize that ended with fewer nodes than requested, with the causes."""
    dedicated, spot = spec.targets(pool)
    causes = "".join(f"\n  {explained_error(error)}" for error in pool.resize_errors)
    return (
        f"Pool {pool.pool_id!r} has {pool.current_dedicated} of {dedicated} dedicated and"
        f" {pool.current_spot} of {spot} Spot nodes, and its resize is over."
        + (causes or " The service names no cause; another resize may have come between.")
    )


def unmet(pool: PoolSnapshot) -> tuple[ServiceError, ...]:
    """
    Return why a pool will not get the requested nodes, unless they are requested again.

    Empty if it has them, is still getting them, has a formula that resizes automatically, or if the
    resize was only stopped.
    """
    if pool.autoscale or pool.allocation_state != "steady" or pool.current >= pool.target:
        return ()
    return tuple(error for error in pool.resize_errors if kind_of(error) is not ResizeErrorKind.HARMLESS)
