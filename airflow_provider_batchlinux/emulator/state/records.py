"""
The records of the service: one frozen dataclass for each kind of resource.

A change replaces the record in the store, so every record is a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.wire import Version

Json = Mapping[str, Any]

_LEGACY_SSH: Json = {"name": "SSHRule", "protocol": "tcp", "backendPort": 22, "frontendPortRangeStart": 50000}

USABLE_NODE_STATES = frozenset({"idle", "running"})


@dataclass(frozen=True, slots=True)
class Pool:
    """
    A pool.

    :param spec: its description as the client sent it, with the defaults of the service.
    :param auto_scale_run: the last evaluation of its formula.
    :param auto_scale_enabled: when automatic scaling was last enabled or changed by an enable request.
    :param is_legacy: whether SSH is open unless the pool says otherwise, as before 30 November 2025.
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
    is_legacy: bool = False

    @property
    def is_auto_scaled(self) -> bool:
        """Whether a formula sets its number of nodes."""
        is_scaled: bool = self.spec["enableAutoScale"]
        return is_scaled

    @property
    def ssh_rule(self) -> str | None:
        """The name of its NAT pool for port 22; ``None`` if it has none."""
        return next((rule["name"] for rule in self.nat_pools if rule["backendPort"] == 22), None)

    @property
    def is_dual_stack(self) -> bool:
        """Whether its nodes have IPv6 addresses, too."""
        network = self.spec.get("networkConfiguration", {})
        return "IPv6" in network.get("publicIPAddressConfiguration", {}).get("ipFamilies", ())

    @property
    def nat_pools(self) -> Sequence[Json]:
        """The NAT pools through which its nodes can be reached."""
        network = self.spec.get("networkConfiguration", {})
        if "endpointConfiguration" in network:
            pools: Sequence[Json] = network["endpointConfiguration"]["inboundNATPools"]
            return pools
        addresses = network.get("publicIPAddressConfiguration", {})
        is_open = self.is_legacy and addresses.get("provision") != "NoPublicIPAddresses"
        return (_LEGACY_SSH,) if is_open else ()


@dataclass(frozen=True, slots=True)
class Node:
    """
    A compute node.

    :param after_tasks: action when its last task has ended: ``leave``, ``reboot``, ``reimage`` or
        ``deallocate``. Until then it accepts no new tasks. ``None`` for no action.
    :param is_deallocated: whether it was deallocated and its agent has not reported since.
    :param agent_since: when its agent reported for the first time.
    :param boots: how often it has booted.
    :param address: its address in the subnet of its pool; ``None`` without one.
    :param recent_tasks: job and task ids of its last tasks, the newest first.
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
    is_deallocated: bool = False
    agent_since: datetime | None = None
    last_boot: datetime | None = None
    boots: int = 0
    ssh_port: int | None = None
    errors: tuple[Json, ...] = ()
    running_tasks: int = 0
    running_slots: int = 0
    tasks_run: int = 0
    tasks_succeeded: int = 0
    recent_tasks: tuple[tuple[str, str], ...] = ()
    address: str | None = None

    @property
    def private_address(self) -> str:
        """Its address in its virtual network. The first node of a pool without a subnet has 10.0.0.4."""
        if self.address is not None:
            return self.address
        host = self.number + 4
        return f"10.{host >> 16 & 255}.{host >> 8 & 255}.{host & 255}"

    @property
    def private_ipv6_address(self) -> str:
        """Its IPv6 address in a virtual network with IPv6. The first node of a pool has fd00::4."""
        return f"fd00::{self.number + 4:x}"

    @property
    def takes_tasks(self) -> bool:
        """Whether it accepts tasks, if it has free slots."""
        return self.state in USABLE_NODE_STATES and self.is_scheduling and self.after_tasks is None


@dataclass(frozen=True, slots=True)
class NodeUser:
    """A user who may log in to a node."""

    name: str
    is_admin: bool
    expires: datetime
    password: str | None
    ssh_public_key: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """
    A job.

    :param auto_pool: id of its auto pool; ``None`` if it names a pool.
    :param scheduling_error: why its auto pool could not be created.
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
        """The id of its pool; empty if its auto pool could not be created."""
        pool_id: str = self.spec["poolInfo"].get("poolId", self.auto_pool or "")
        return pool_id


@dataclass(frozen=True, slots=True)
class JobSchedule:
    """
    A job schedule.

    :param next_run: when it creates its next job; ``None`` if it creates no more.
    :param pending: since when a job is due that could not be created yet; ``None`` if none is due.
    :param recent_job: id of the last job it has created.
    :param auto_pool: id of the auto pool of all its jobs.
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
    The preparation and release tasks of a job on one node.

    :param booted: the last boot of the node before the preparation task.
    :param preparation: execution information of the preparation task.
    :param release: execution information of the release task; ``None`` before it has started.
    """

    job_id: str
    pool_id: str
    node_id: str
    booted: datetime | None
    preparation: Json = field(default_factory=dict)
    release: Json | None = None


@dataclass(frozen=True, slots=True)
class Subtask:
    """The part of a multi-instance task on a node other than its primary one."""

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
    A task.

    :param execution: its ``executionInfo``, as far as it is known.
    :param node_id: the node it runs or ran on; for a multi-instance task the node of the primary task.
    :param subtasks: the parts of a multi-instance task on its other nodes.
    :param is_exclusive: whether no other task may run on its node.
    :param is_dedicated: whether it runs only on dedicated nodes.
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
        """The ids of all nodes it runs or ran on, the primary node first."""
        primary = () if self.node_id is None else (self.node_id,)
        return (*primary, *(subtask.node_id for subtask in self.subtasks))

    @property
    def instances(self) -> int | None:
        """The number of its instances; ``None`` if it is not a multi-instance task."""
        settings: Json | None = self.spec.get("multiInstanceSettings")
        return None if settings is None else settings.get("numberOfInstances", 1)

    @property
    def slots(self) -> int:
        """The number of task slots it needs on a node."""
        slots: int = self.spec.get("requiredSlots", 1)
        return slots


@dataclass(frozen=True, slots=True)
class Application:
    """
    An application of the account, whose packages are its versions.

    :param container: the container of the blob store with its packages.
    :param allows_updates: whether a package can be replaced.
    """

    id: str
    version: Version
    container: str
    display_name: str | None = None
    default_version: str | None = None
    allows_updates: bool = True


@dataclass(frozen=True, slots=True)
class Package:
    """
    A version of an application. Its blob has its name.

    :param activated: when it was last activated; ``None`` while it is pending.
    """

    application_id: str
    name: str
    version: Version
    activated: datetime | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """
    A resource of Azure that pools can name: a network, security group, public IP address or image.

    :param kind: its type, such as ``Microsoft.Network/virtualNetworks/subnets``.
    :param location: its region; of a subnet, that of its network.
    :param declared: what only the control plane says of it, such as whom it is denied to.
    """

    id: str
    kind: str
    version: Version
    location: str
    properties: Json
    declared: Json = field(default_factory=dict)


def work_item(job_id: str) -> str:
    """Return the directory of a job below ``workitems``; jobs of a schedule are in one named after it."""
    name, _, number = job_id.partition(":")
    return f"{name}/{number or 'job-1'}"
