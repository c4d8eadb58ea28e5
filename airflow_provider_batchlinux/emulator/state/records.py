"""
What the service remembers: one frozen record a resource.

A change is a new record in the store, so whoever holds a record holds a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.wire import Version

Json = Mapping[str, Any]

USABLE_NODE_STATES = frozenset({"idle", "running"})


@dataclass(frozen=True, slots=True)
class Pool:
    """
    A pool. ``spec`` is its description as the client sent it, with the service's defaults.

    :param auto_scale_run: the last evaluation of its formula.
    :param auto_scale_enabled: when automatic scaling was enabled or changed by its own operation.
    """

    id: str
    spec: Json
    created: datetime
    version: Version
    state: str
    state_since: datetime
    allocation_state: str
    allocation_since: datetime
    target_dedicated: int
    target_spot: int
    resize_errors: tuple[Json, ...] = ()
    auto_scale_run: Json | None = None
    auto_scale_enabled: datetime | None = None

    @property
    def is_auto_scaled(self) -> bool:
        """Whether a formula decides how many nodes it has."""
        is_scaled: bool = self.spec["enableAutoScale"]
        return is_scaled

    @property
    def ssh_rule(self) -> str | None:
        """The name of its NAT pool for SSH; ``None`` if SSH is closed."""
        network = self.spec.get("networkConfiguration", {})
        rules = network.get("endpointConfiguration", {}).get("inboundNATPools", ())
        return next((rule["name"] for rule in rules if rule["backendPort"] == 22), None)


@dataclass(frozen=True, slots=True)
class Node:
    """
    A compute node.

    :param after_tasks: what is to happen to it when its last task has ended, and until then it takes no new
        ones: ``leave``, ``reboot``, ``reimage`` or ``deallocate``; ``None`` if nothing waits.
    :param boots: how often it has booted.
    :param recent_tasks: job and task ids of what ran here last, the newest first.
    """

    id: str
    pool_id: str
    number: int
    is_dedicated: bool
    state: str
    state_since: datetime
    allocated: datetime
    start_task: Json | None = None
    start_task_info: Json | None = None
    is_scheduling: bool = True
    after_tasks: str | None = None
    last_boot: datetime | None = None
    boots: int = 0
    ssh_port: int | None = None
    errors: tuple[Json, ...] = ()
    running_tasks: int = 0
    running_slots: int = 0
    tasks_run: int = 0
    tasks_succeeded: int = 0
    recent_tasks: tuple[tuple[str, str], ...] = ()

    @property
    def private_address(self) -> str:
        """Its address in its virtual network; the first node of a pool has 10.0.0.4."""
        host = self.number + 4
        return f"10.{host >> 16 & 255}.{host >> 8 & 255}.{host & 255}"

    @property
    def takes_tasks(self) -> bool:
        """Whether tasks may be brought to it, if it has room."""
        return self.state in USABLE_NODE_STATES and self.is_scheduling and self.after_tasks is None


@dataclass(frozen=True, slots=True)
class NodeUser:
    """Somebody who may log in to a node."""

    name: str
    is_admin: bool
    expires: datetime
    password: str | None
    ssh_public_key: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """
    A job.

    :param auto_pool: id of the pool that was made for it; ``None`` if it names one.
    :param scheduling_error: why no pool could be made for it.
    """

    id: str
    spec: Json
    created: datetime
    version: Version
    state: str
    state_since: datetime
    previous_state: str | None = None
    previous_since: datetime | None = None
    ended: datetime | None = None
    terminate_reason: str | None = None
    auto_pool: str | None = None
    scheduling_error: Json | None = None

    @property
    def pool_id(self) -> str:
        """The id of the pool it runs on; empty if none could be made."""
        pool_id: str = self.spec["poolInfo"].get("poolId", self.auto_pool or "")
        return pool_id


@dataclass(frozen=True, slots=True)
class JobSchedule:
    """
    A job schedule.

    :param next_run: when it is to make its next job; ``None`` if it makes no more.
    :param pending: since when a job is due that could not be made yet; ``None`` if none is.
    :param recent_job: id of the last job it has made.
    :param auto_pool: id of the pool that was made for all its jobs.
    """

    id: str
    spec: Json
    created: datetime
    version: Version
    state: str
    state_since: datetime
    previous_state: str | None = None
    previous_since: datetime | None = None
    next_run: datetime | None = None
    pending: datetime | None = None
    recent_job: str | None = None
    jobs_made: int = 0
    ended: datetime | None = None
    auto_pool: str | None = None


@dataclass(frozen=True, slots=True)
class JobNode:
    """
    What the preparation and release tasks of a job did on a node.

    :param booted: when the node was last started before the preparation.
    :param preparation: its execution information; so is ``release``, which is ``None`` before it ran.
    """

    job_id: str
    pool_id: str
    node_id: str
    booted: datetime | None
    preparation: Json = field(default_factory=dict)
    release: Json | None = None


@dataclass(frozen=True, slots=True)
class Subtask:
    """What a multi-instance task does on a node that is not its primary one."""

    id: int
    node_id: str
    state: str
    state_since: datetime
    previous_state: str | None = None
    previous_since: datetime | None = None
    execution: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """
    A task. ``execution`` is its ``executionInfo``, without what is not known yet.

    :param node_id: the node it runs or ran on; of a multi-instance task the one of its primary task.
    :param subtasks: what a multi-instance task does on its other nodes.
    :param is_exclusive: whether it has the node it runs on to itself.
    :param is_dedicated: whether it runs on no spot nodes.
    """

    id: str
    job_id: str
    pool_id: str
    spec: Json
    created: datetime
    version: Version
    state: str
    state_since: datetime
    execution: Json
    previous_state: str | None = None
    previous_since: datetime | None = None
    node_id: str | None = None
    subtasks: tuple[Subtask, ...] = ()
    is_exclusive: bool = False
    is_dedicated: bool = False

    @property
    def node_ids(self) -> tuple[str, ...]:
        """The ids of all nodes it runs or ran on, its primary one first."""
        primary = () if self.node_id is None else (self.node_id,)
        return (*primary, *(subtask.node_id for subtask in self.subtasks))

    @property
    def instances(self) -> int | None:
        """On how many nodes it runs; ``None`` if it is no multi-instance task."""
        settings: Json | None = self.spec.get("multiInstanceSettings")
        return None if settings is None else settings.get("numberOfInstances", 1)

    @property
    def slots(self) -> int:
        """How many of a node's task slots it takes."""
        slots: int = self.spec.get("requiredSlots", 1)
        return slots


def work_item(job_id: str) -> str:
    """Return the directory of a job below ``workitems``; jobs of a schedule share one of its name."""
    name, _, number = job_id.partition(":")
    return f"{name}/{number or 'job-1'}"
