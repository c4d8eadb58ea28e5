"""What a pool is asked to be, its problems, and its body for the service; imports only the stdlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.core.commands import MAX_COMMAND_SIZE, command_line, environment_settings
from airflow_provider_batchlinux.core.ids import fingerprint, id_problems
from airflow_provider_batchlinux.core.images import ResolvedImage
from airflow_provider_batchlinux.core.instants import iso8601_duration, rest_instant
from airflow_provider_batchlinux.core.ssh_access import nat_pool, source_problems

__all__ = [
    "METADATA_PREFIX",
    "PoolSpec",
    "StartTaskSpec",
    "describe_owner",
    "fingerprint_of",
    "metadata_of",
]

METADATA_PREFIX = "airflow_batchlinux_"
_FINGERPRINT = f"{METADATA_PREFIX}fingerprint"
_EXPIRES_AT = f"{METADATA_PREFIX}expires_at"
_MIN_RESIZE_TIMEOUT = 300


@dataclass(frozen=True)
class StartTaskSpec:
    """
    The command that every node runs at every boot, before it takes work.

    :param command: a bash command; it runs again after each reboot, so it is written to be repeated.
    :param elevated: run it as root (to install packages, say) instead of as an ordinary user.
    :param environment: environment variables for the command; they may hold secrets, so they are not shown.
    :param max_retries: further tries after a failure; -1 retries for ever.
    """

    command: str
    elevated: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_retries: int = 0

    def to_rest(self) -> dict[str, Any]:
        """Build the service's body; a node whose start task failed takes no work."""
        line, carried = command_line(self.command)
        level = "admin" if self.elevated else "nonadmin"
        body: dict[str, Any] = {
            "commandLine": line,
            "userIdentity": {"autoUser": {"scope": "pool", "elevationLevel": level}},
            "maxTaskRetryCount": self.max_retries,
            "waitForSuccess": True,
        }
        settings = environment_settings({**self.environment, **carried})
        return {**body, "environmentSettings": settings} if settings else body


@dataclass(frozen=True)
class PoolSpec:
    """
    A pool of Linux virtual machines.

    :param pool_id: the pool's id.
    :param image: the image as the user wrote it; resolved when the pool is created.
    :param vm_size: the VM size of every node.
    :param dedicated_nodes: nodes that stay until they are removed.
    :param spot_nodes: cheaper nodes that Azure may take away at any time.
    :param start_task: what every node runs at boot, or ``None``.
    :param ssh_from: networks that may reach SSH on the nodes; empty keeps SSH closed.
    :param metadata: names and values kept with the pool.
    :param task_slots_per_node: tasks that a node runs at once.
    :param resize_timeout: seconds the service may take to find the nodes; ``None`` is its own 15 minutes.
    """

    pool_id: str
    image: str | Mapping[str, Any]
    vm_size: str
    dedicated_nodes: int = 0
    spot_nodes: int = 0
    start_task: StartTaskSpec | None = None
    ssh_from: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    task_slots_per_node: int = 1
    resize_timeout: float | None = None

    def problems(self) -> list[str]:
        """List all that the service would refuse, in the order of the parameters."""
        return [
            *id_problems("pool_id", self.pool_id),
            *([] if self.vm_size else ["vm_size is empty; name a VM size such as 'standard_d2s_v5'."]),
            *_count_problems("dedicated_nodes", self.dedicated_nodes),
            *_count_problems("spot_nodes", self.spot_nodes),
            *_start_task_problems(self.start_task),
            *source_problems(self.ssh_from),
            *_metadata_problems(self.metadata),
            *([] if self.task_slots_per_node >= 1 else ["task_slots_per_node is less than 1."]),
            *_resize_timeout_problems(self.resize_timeout),
        ]

    def fingerprint(self) -> str:
        """
        Digest what was asked for, so that a retry knows its own pool.

        The image counts as it was written, not as it was resolved: a new image in the service's list
        does not make a retry's pool another one.
        """
        return fingerprint(asdict(self))

    def to_rest(
        self, image: ResolvedImage, *, owner: Mapping[str, str], expires_at: datetime | None = None
    ) -> dict[str, Any]:
        """
        Build the body that creates the pool.

        :param image: the image the service offers for :attr:`image`.
        :param owner: what made the pool (Dag id, run id, task id), kept in its metadata.
        :param expires_at: when the pool is no longer wanted, kept in its metadata; ``None`` for never.
        """
        marks = {f"{METADATA_PREFIX}{name}": value for name, value in owner.items()}
        marks[_FINGERPRINT] = self.fingerprint()
        if expires_at is not None:
            marks[_EXPIRES_AT] = rest_instant(expires_at)
        body: dict[str, Any] = {
            "id": self.pool_id,
            "vmSize": self.vm_size,
            "virtualMachineConfiguration": {
                "imageReference": dict(image.reference),
                "nodeAgentSKUId": image.node_agent_sku,
            },
            "targetDedicatedNodes": self.dedicated_nodes,
            "targetLowPriorityNodes": self.spot_nodes,
            "taskSlotsPerNode": self.task_slots_per_node,
            "metadata": [{"name": k, "value": str(v)} for k, v in {**self.metadata, **marks}.items()],
        }
        return {**body, **self._optional_parts()}

    def _optional_parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        if self.start_task is not None:
            parts["startTask"] = self.start_task.to_rest()
        if self.resize_timeout is not None:
            parts["resizeTimeout"] = iso8601_duration(self.resize_timeout)
        if self.ssh_from:
            nodes = self.dedicated_nodes + self.spot_nodes
            nat_pools = [nat_pool(self.ssh_from, nodes)]
            parts["networkConfiguration"] = {"endpointConfiguration": {"inboundNATPools": nat_pools}}
        return parts


def metadata_of(pool: Mapping[str, Any]) -> dict[str, str]:
    """Read a pool's metadata from its REST body."""
    return {item["name"]: item["value"] for item in pool.get("metadata") or ()}


def fingerprint_of(pool: Mapping[str, Any]) -> str | None:
    """Read the fingerprint that we left on a pool; ``None`` when somebody else made it."""
    return metadata_of(pool).get(_FINGERPRINT)


def describe_owner(pool: Mapping[str, Any]) -> str:
    """Say in a few words what made a pool, as far as its metadata tells."""
    marks = metadata_of(pool)
    names = ("dag_id", "run_id", "task_id")
    known = [f"{name} {marks[METADATA_PREFIX + name]!r}" for name in names if METADATA_PREFIX + name in marks]
    return "by " + ", ".join(known) if known else "not by this provider"


def _count_problems(name: str, count: object) -> list[str]:
    if isinstance(count, int) and not isinstance(count, bool) and count >= 0:
        return []
    return [f"{name}={count!r} is not a number of nodes; give a whole number from 0 up."]


def _start_task_problems(start_task: StartTaskSpec | None) -> list[str]:
    if start_task is None:
        return []
    found = []
    if not start_task.command.strip():
        found.append("start_task has an empty command; leave start_task out for none.")
    if len(start_task.command.encode()) > MAX_COMMAND_SIZE:
        found.append(f"start_task is longer than {MAX_COMMAND_SIZE} bytes; fetch the program in it instead.")
    if start_task.max_retries < -1:
        found.append(f"start_task has max_retries={start_task.max_retries}, less than -1 (for ever).")
    return found


def _metadata_problems(metadata: Mapping[str, str]) -> list[str]:
    return [
        f"metadata name {name!r} begins with {METADATA_PREFIX!r}, which the provider keeps for itself."
        for name in metadata
        if str(name).lower().startswith(METADATA_PREFIX)
    ]


def _resize_timeout_problems(seconds: float | None) -> list[str]:
    if seconds is None or seconds >= _MIN_RESIZE_TIMEOUT:
        return []
    return [f"resize_timeout is {seconds:g} s; the service's minimum is {_MIN_RESIZE_TIMEOUT} s."]
