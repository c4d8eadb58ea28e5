"""Snapshots of pools and nodes as the service reports them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.core.instants import parse_instant
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.secrets import without_signatures
from airflow_provider_batchlinux.core.ssh_access import SSH_PORT

POOL_FIELDS = (
    "id",
    "state",
    "allocationState",
    "allocationStateTransitionTime",
    "creationTime",
    "currentDedicatedNodes",
    "currentLowPriorityNodes",
    "targetDedicatedNodes",
    "targetLowPriorityNodes",
    "enableAutoScale",
    "autoScaleRun",
    "resizeErrors",
    "metadata",
)
"""What a wait asks of a pool; the rest of the body stays at the service."""

NODE_FIELDS = (
    "id",
    "state",
    "stateTransitionTime",
    "schedulingState",
    "isDedicated",
    "ipAddress",
    "endpointConfiguration",
    "startTaskInfo",
    "errors",
    "allocationTime",
    "lastBootTime",
)
"""What is asked of a node when all nodes are listed."""


@dataclass(frozen=True)
class ServiceError:
    """An error that the service keeps with a resource: a resize error or a node's error."""

    code: str
    message: str
    details: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_rest(cls, body: Mapping[str, Any]) -> ServiceError:
        """Read a resize error (``values``) or a node error (``errorDetails``)."""
        details = body.get("values") or body.get("errorDetails") or body.get("details") or ()
        return cls(
            code=str(body.get("code") or "Unknown"),
            # The failure of a file has its URL, and with it the SAS.
            message=without_signatures(str(body.get("message") or "")),
            details=tuple((str(d.get("name")), without_signatures(str(d.get("value")))) for d in details),
        )

    @property
    def is_exit_code(self) -> bool:
        """Whether it says only that a program failed, which its exit code says already."""
        return self.code == "FailureExitCode"

    def __str__(self) -> str:
        # The service likes to repeat the message as a detail.
        news = [(name, value) for name, value in self.details if value not in self.message]
        more = "; ".join(f"{name}: {value}" for name, value in news)
        return f"{self.code}: {self.message}" + (f" ({more})" if more else "")


@dataclass(frozen=True)
class StartTaskRun:
    """
    How a node's start task went.

    :param exit_code: ``None`` when no program ended.
    :param ended: when it ended; ``None`` while it runs.
    """

    state: str
    result: str | None
    exit_code: int | None
    failure: ServiceError | None
    ended: datetime | None = None

    @classmethod
    def from_rest(cls, body: Mapping[str, Any]) -> StartTaskRun:
        """Read ``startTaskInfo``."""
        failure = body.get("failureInfo")
        return cls(
            state=_lower(body.get("state")),
            result=_lower(body.get("result")) or None,
            exit_code=body.get("exitCode"),
            failure=ServiceError.from_rest(failure) if failure else None,
            ended=_instant(body.get("endTime")),
        )


@dataclass(frozen=True)
class Endpoint:
    """Where a node's SSH server is reached; ``public`` is ``False`` inside the virtual network only."""

    address: str
    port: int
    public: bool


@dataclass(frozen=True)
class NodeSnapshot:
    """
    A node at one moment.

    :param allocated: when it was first allocated; a Spot node that comes back under its id keeps it.
    :param last_boot: when it was last started; the service leaves it out of some nodes.
    :param state_since: when it came into its state.
    :param accepts_tasks: whether scheduling is enabled on it.
    :param maps_only_others: whether it has mapped ports, and none of them leads to SSH.
    """

    node_id: str
    state: str
    dedicated: bool
    private_address: str | None
    ssh: Endpoint | None
    start_task: StartTaskRun | None
    errors: tuple[ServiceError, ...]
    allocated: datetime | None = None
    last_boot: datetime | None = None
    state_since: datetime | None = None
    accepts_tasks: bool = True
    maps_only_others: bool = False

    @classmethod
    def from_rest(cls, body: Mapping[str, Any]) -> NodeSnapshot:
        """Read a node; properties that were not selected read as absent."""
        start_task = body.get("startTaskInfo")
        mapped = (body.get("endpointConfiguration") or {}).get("inboundEndpoints") or ()
        return cls(
            node_id=str(body["id"]),
            state=_lower(body.get("state")) or "unknown",
            dedicated=bool(body.get("isDedicated", True)),
            private_address=body.get("ipAddress"),
            ssh=_ssh_endpoint(mapped),
            start_task=StartTaskRun.from_rest(start_task) if start_task else None,
            errors=tuple(ServiceError.from_rest(error) for error in body.get("errors") or ()),
            allocated=_instant(body.get("allocationTime")),
            last_boot=_instant(body.get("lastBootTime")),
            state_since=_instant(body.get("stateTransitionTime")),
            accepts_tasks=_lower(body.get("schedulingState")) != "disabled",
            maps_only_others=bool(mapped) and not any(map(_leads_to_ssh, mapped)),
        )


@dataclass(frozen=True)
class PoolSnapshot:
    """
    A pool at one moment; counts are of dedicated and Spot nodes.

    :param evaluated: its autoscale formula has been evaluated at least once.
    :param autoscale_error: what the last evaluation of its formula met; ``None`` when it went well.
    :param modified: when it was last changed by a request, which no wait asks for.
    :param metadata: its metadata, those of the provider and others.
    """

    pool_id: str
    state: str
    allocation_state: str
    allocation_state_since: datetime | None
    target_dedicated: int
    target_spot: int
    current_dedicated: int
    current_spot: int
    autoscale: bool
    resize_errors: tuple[ServiceError, ...]
    created: datetime | None = None
    evaluated: bool = False
    autoscale_error: ServiceError | None = None
    modified: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_rest(cls, body: Mapping[str, Any]) -> PoolSnapshot:
        """Read a pool with at least :data:`POOL_FIELDS`."""
        run = body.get("autoScaleRun") or {}
        return cls(
            pool_id=str(body["id"]),
            state=_lower(body.get("state")),
            allocation_state=_lower(body.get("allocationState")),
            allocation_state_since=_instant(body.get("allocationStateTransitionTime")),
            target_dedicated=int(body.get("targetDedicatedNodes") or 0),
            target_spot=int(body.get("targetLowPriorityNodes") or 0),
            current_dedicated=int(body.get("currentDedicatedNodes") or 0),
            current_spot=int(body.get("currentLowPriorityNodes") or 0),
            autoscale=bool(body.get("enableAutoScale")),
            resize_errors=tuple(ServiceError.from_rest(error) for error in body.get("resizeErrors") or ()),
            created=_instant(body.get("creationTime")),
            evaluated=bool(run),
            autoscale_error=ServiceError.from_rest(run["error"]) if run.get("error") else None,
            modified=_instant(body.get("lastModified")),
            metadata=metadata_of(body),
        )

    @property
    def target(self) -> int:
        """The nodes asked for, dedicated and spot."""
        return self.target_dedicated + self.target_spot

    @property
    def current(self) -> int:
        """The nodes allocated, dedicated and spot, ready or not."""
        return self.current_dedicated + self.current_spot


def counts_from_rest(body: Mapping[str, Any]) -> dict[str, int]:
    """Read one pool's row of ``nodecounts`` into counts by node state, zeros left out."""
    counts: Counter[str] = Counter()
    for kind in ("dedicated", "lowPriority"):
        for name, count in (body.get(kind) or {}).items():
            if name != "total" and count:
                counts[name.lower()] += int(count)
    return dict(counts)


def counts_of(nodes: Iterable[NodeSnapshot]) -> dict[str, int]:
    """Count nodes by state."""
    return dict(Counter(node.state for node in nodes))


def _leads_to_ssh(endpoint: Mapping[str, Any]) -> bool:
    return endpoint.get("backendPort") == SSH_PORT and _lower(endpoint.get("protocol")) != "udp"


def _ssh_endpoint(mapped: Iterable[Mapping[str, Any]]) -> Endpoint | None:
    for endpoint in filter(_leads_to_ssh, mapped):
        address = endpoint.get("publicIPAddress") or endpoint.get("publicFQDN")
        if address and endpoint.get("frontendPort"):
            return Endpoint(str(address), int(endpoint["frontendPort"]), public=True)
    return None


def _instant(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else parse_instant(value)


def _lower(value: object) -> str:
    return "" if value is None else str(getattr(value, "value", value)).lower()
