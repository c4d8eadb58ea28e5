"""The request of the operator that creates a pool, as the parameters make it and as the client gets it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Annotated, Any, TypeAlias

from airflow_provider_batchlinux.core.ids import id_of_task
from airflow_provider_batchlinux.core.images.query import ImageQuery
from airflow_provider_batchlinux.core.parameters.kinds import (
    AnyText,
    Count,
    Environment,
    Flag,
    Kind,
    PositiveNumber,
    RetryCount,
    Seconds,
    Text,
    Variables,
    WholeNumber,
    decoded,
    id_of,
    is_nothing,
)
from airflow_provider_batchlinux.core.parameters.requests import WaitRequest
from airflow_provider_batchlinux.core.pool_metadata import Holder, PoolMarks, with_marks
from airflow_provider_batchlinux.core.pools.changes import IfExists
from airflow_provider_batchlinux.core.pools.spec.containers import ContainerSpec
from airflow_provider_batchlinux.core.pools.spec.definition import PoolDefinition
from airflow_provider_batchlinux.core.pools.spec.network import NetworkSpec
from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
from airflow_provider_batchlinux.core.pools.spec.raw import RawPool
from airflow_provider_batchlinux.core.pools.spec.scale import AutoscaleSpec, SchedulingSpec
from airflow_provider_batchlinux.core.pools.spec.security import SecuritySpec
from airflow_provider_batchlinux.core.pools.spec.software import SoftwareSpec
from airflow_provider_batchlinux.core.pools.spec.start_task import StartTaskSpec, UserAccountSpec
from airflow_provider_batchlinux.core.pools.spec.storage import StorageSpec
from airflow_provider_batchlinux.core.pools.validation.schema import hidden_body
from airflow_provider_batchlinux.core.secrets import hide_whole

_BODY_REPLACES = (
    "vm_size",
    "dedicated_nodes",
    "spot_nodes",
    "start_task",
    "start_task_elevated",
    "start_task_environment",
    "start_task_retries",
    "ssh_from",
    "metadata",
    "resize_timeout",
    "display_name",
    "autoscale",
    "network",
    "storage",
    "security",
    "containers",
    "software",
    "user_accounts",
    "scheduling",
)

_FINGERPRINT_PLACE = "{fingerprint}"
# Leaves most of the 64 characters of a pool's id to the Dag; 48 bits are enough for one Dag's pools.
_FINGERPRINT_LENGTH = 12


BODY_FILES = (".json", ".yaml", ".yml")


def body_of(value: object) -> Mapping[str, object] | str | None:
    """Return a body, or the name of its file."""
    value = str(value) if isinstance(value, PurePath) else decoded(value)
    if isinstance(value, Mapping):
        return value
    # A body that is not quite JSON is no file, even if its text ends like the name of one.
    is_file = isinstance(value, str) and value.endswith(BODY_FILES) and not {"\n", "{"} & set(value)
    return str(value) if is_file else None


def hide_body(value: object, secrets: set[str]) -> object:
    """Replace the secrets of a body; the name of its file has none, but other text may be a body."""
    body = body_of(value)
    if isinstance(body, Mapping):
        return hidden_body(body, secrets)
    return hide_whole(value, secrets) if body is None else body


Body: TypeAlias = Annotated[
    Mapping[str, object] | str,
    Kind(
        f"a mapping of properties, or the name of a file that ends in {', '.join(BODY_FILES)}",
        body_of,
        hide=hide_body,
    ),
]
"""A pool as a REST body, or the name of a file with it."""


def pool_id_of(value: object) -> str | None:
    """Return the id of a pool, empty if the value is absent."""
    return "" if is_nothing(value) else id_of(value)


PoolId: TypeAlias = Annotated[str, Kind("an id", pool_id_of)]
"""An id of a pool in which ``{fingerprint}`` may stand; empty if it is to be derived."""


@dataclass(frozen=True)
class PoolRequest:
    """
    A pool that a task instance creates or adopts.

    :param spec: the pool.
    :param owner: the task instance that requests it, recorded in the pool's metadata.
    :param needed_until: until when its image must be supported.
    :param expires_at: when it is no longer needed, recorded in its metadata; ``None`` for never.
    :param now: the time of the request, with a time zone.
    :param if_exists: what to do if a pool with this id exists.
    :param has_ended: returns whether a Dag run is over, so that it does not use its pool any more.
    :param preflight: check first, if the management plane is available, whether the pool can get its nodes.
    :param max_node_hours: how many node-hours it may use, recorded in its metadata; ``None`` for any number.
    :param delete_over_budget: whether it is deleted when it has used more, recorded in its metadata.
    """

    spec: PoolDefinition
    owner: Mapping[str, str]
    needed_until: datetime
    expires_at: datetime | None
    now: datetime
    if_exists: IfExists = "reuse"
    preflight: bool = False
    has_ended: Callable[[Holder], bool] = lambda _holder: False
    max_node_hours: float | None = None
    delete_over_budget: bool = False

    def marked(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body that creates the pool, with what the provider records about it in its metadata."""
        marks = PoolMarks(
            owner=self.owner,
            fingerprint=self.spec.fingerprint(),
            expires_at=self.expires_at,
            max_node_hours=self.max_node_hours,
            delete_over_budget=self.delete_over_budget,
        )
        return with_marks(body, marks)


@dataclass(frozen=True)
class CreatePoolRequest(WaitRequest):
    """
    A pool to create or adopt, by parameters or by a body; each parameter is documented at the operator.

    ``pool_id`` is empty for an id that is derived from the task instance.
    """

    image: Text | Mapping[str, object] | None
    vm_size: Text | tuple[Text, ...] | Mapping[str, object] | None
    pool_id: PoolId
    dedicated_nodes: Count
    spot_nodes: Count
    start_task: Text | StartTaskSpec | None
    start_task_elevated: Flag
    start_task_environment: Environment | None
    start_task_retries: RetryCount
    ssh_from: tuple[Text, ...] | None
    metadata: Variables | None
    task_slots_per_node: WholeNumber
    resize_timeout: Seconds | None
    display_name: Text | None
    autoscale: Text | AutoscaleSpec | None
    network: NetworkSpec | None
    storage: StorageSpec | None
    security: SecuritySpec | None
    containers: ContainerSpec | None
    software: SoftwareSpec | None
    user_accounts: tuple[UserAccountSpec, ...] | None
    scheduling: SchedulingSpec | None
    identities: tuple[Text, ...] | None
    tags: Mapping[str, AnyText] | None
    preflight: Flag | None
    body: Body | None
    expires_in: Seconds | None
    max_node_hours: PositiveNumber | None
    delete_over_budget: Flag
    if_exists: IfExists
    deletion_limit: Seconds
    quota_limit: Seconds | None

    def problems(self) -> list[str]:
        """List the parameters that cannot be combined."""
        found: list[str] = []
        if self.body is None:
            found += [f"{name} is missing." for name in ("image", "vm_size") if getattr(self, name) is None]
        else:
            given = [name for name in _BODY_REPLACES if getattr(self, name)]
            given += ["task_slots_per_node"] if self.task_slots_per_node != 1 else []
            found += [f"{name} and body are both given; write it into the body." for name in given]
        names = [f"start_task_{name}" for name in ("elevated", "environment", "retries")]
        if self.start_task is None and self.body is None:
            found += [f"{name} is given without start_task." for name in names if getattr(self, name)]
        if self.delete_over_budget and self.max_node_hours is None:
            found.append("delete_over_budget is given without max_node_hours.")
        if isinstance(self.start_task, StartTaskSpec):
            says = "is for a start_task given as text; write it into the StartTaskSpec."
            found += [f"{name} {says}" for name in names if getattr(self, name)]
        if not found and not isinstance(self.body, str):
            try:
                self.pool("derived", self.body)
            except ValueError as error:
                found += str(error).splitlines()
        return found

    def of_task(
        self,
        owner: Mapping[str, str],
        body: Mapping[str, object] | None,
        *,
        id_prefix: str,
        has_ended: Callable[[Holder], bool],
        now: datetime,
    ) -> PoolRequest:
        """
        Return the request of a task instance: the pool has an id, and its expiry is an instant.

        :param owner: the task instance.
        :param body: the body, read from its file if necessary; ``None`` without one.
        :param id_prefix: what a derived id begins with.
        :raises ValueError: if the pool cannot work; all problems, one a line.
        """
        expires_at = None if self.expires_in is None else now + timedelta(seconds=self.expires_in)
        return PoolRequest(
            spec=self.pool(id_of_task(owner, prefix=id_prefix), body),
            owner=owner,
            needed_until=expires_at or now,
            expires_at=expires_at,
            now=now,
            if_exists=self.if_exists,
            preflight=self.preflight is not False,
            has_ended=has_ended,
            max_node_hours=self.max_node_hours,
            delete_over_budget=self.delete_over_budget,
        )

    def pool(self, own_id: str, body: Mapping[str, object] | None) -> PoolDefinition:
        """
        Return the pool.

        :param own_id: its id if the request has none.
        :param body: the body, read from its file if necessary; ``None`` without one.
        :raises ValueError: if it cannot work; all problems, one a line.
        """
        pool: PoolSpec | RawPool
        if body is None:
            pool = self._spec(self.pool_id or own_id)
        else:
            pool_id = self.pool_id or str(body.get("id") or own_id)
            pool = RawPool(body, pool_id, self.image, self.identities or (), self.tags or {})
        if _FINGERPRINT_PLACE in pool.pool_id:
            digest = pool.fingerprint()[-_FINGERPRINT_LENGTH:]
            pool = replace(pool, pool_id=pool.pool_id.replace(_FINGERPRINT_PLACE, digest))
        problems = pool.problems()
        try:
            ImageQuery.parse(pool.image) if pool.image is not None else None
        except ValueError as error:
            problems += str(error).splitlines()
        if problems:
            raise ValueError("\n".join(problems))
        return pool

    def _spec(self, pool_id: str) -> PoolSpec:
        start_task, autoscale = self.start_task, self.autoscale
        if isinstance(start_task, str):
            start_task = StartTaskSpec(
                start_task,
                elevated=self.start_task_elevated,
                environment=self.start_task_environment or {},
                max_retries=self.start_task_retries,
            )
        return PoolSpec(
            pool_id=pool_id,
            image=self.image or "",
            vm_size=self.vm_size or "",
            dedicated_nodes=self.dedicated_nodes,
            spot_nodes=self.spot_nodes,
            start_task=start_task,
            ssh_from=self.ssh_from,
            metadata=self.metadata or {},
            task_slots_per_node=self.task_slots_per_node,
            resize_timeout=self.resize_timeout,
            display_name=self.display_name,
            autoscale=AutoscaleSpec(autoscale) if isinstance(autoscale, str) else autoscale,
            network=self.network,
            storage=self.storage,
            security=self.security,
            containers=self.containers,
            software=self.software,
            user_accounts=self.user_accounts or (),
            scheduling=self.scheduling,
            identities=self.identities or (),
            tags=self.tags or {},
        )
