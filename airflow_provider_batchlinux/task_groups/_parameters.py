"""The parameters of the operators behind a task group, so that type checkers know them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow_provider_batchlinux.core.instants import Duration
    from airflow_provider_batchlinux.core.pools.changes import IfExists
    from airflow_provider_batchlinux.core.pools.requests import PoolEnd
    from airflow_provider_batchlinux.specs import (
        AutoscaleSpec,
        ContainerSpec,
        NetworkSpec,
        RepairSpec,
        SchedulingSpec,
        SecuritySpec,
        SoftwareSpec,
        StartTaskSpec,
        StorageSpec,
        UserAccountSpec,
    )


class CommonParameters(TypedDict, total=False):
    """Parameters of all three tasks."""

    deferrable: bool | str
    batch_linux_conn_id: str


class CreateParameters(CommonParameters, total=False):
    """Parameters of the task that creates the pool."""

    image: str | dict[str, Any] | None
    vm_size: str | list[str] | dict[str, Any] | None
    pool_id: str | None
    dedicated_nodes: int | str
    spot_nodes: int | str
    start_task: str | StartTaskSpec | dict[str, Any] | None
    start_task_elevated: bool | str
    start_task_environment: dict[str, str] | None
    start_task_retries: int | str
    ssh_from: list[str] | None
    metadata: dict[str, str] | None
    task_slots_per_node: int | str
    resize_timeout: Duration | str | None
    display_name: str | None
    autoscale: str | AutoscaleSpec | dict[str, Any] | None
    network: NetworkSpec | dict[str, Any] | None
    storage: StorageSpec | dict[str, Any] | None
    security: SecuritySpec | dict[str, Any] | None
    containers: ContainerSpec | dict[str, Any] | None
    software: SoftwareSpec | dict[str, Any] | None
    user_accounts: Sequence[UserAccountSpec | dict[str, Any]] | None
    scheduling: SchedulingSpec | dict[str, Any] | None
    identities: list[str] | None
    tags: dict[str, str] | None
    preflight: bool | str | None
    body: str | dict[str, Any] | None
    expires_in: Duration | str | None
    max_node_hours: float | str | None
    delete_over_budget: bool | str
    if_exists: IfExists
    deletion_limit: Duration | str
    quota_limit: Duration | str | None
    poll_interval: Duration | str


class WaitParameters(CommonParameters, total=False):
    """Parameters of the sensor that waits for the nodes."""

    ready: str | int
    allow_empty: bool | str
    running_is_ready: bool | str
    spot_optional: bool | str
    max_failed_nodes: int | str | None
    allocation_limit: Duration | str | None
    boot_limit: Duration | str | None
    resize_error_limit: Duration | str | None
    repair: RepairSpec | dict[str, Any] | None
    on_timeout: PoolEnd
    when_killed: PoolEnd
    poke_interval: timedelta | float
    timeout: timedelta | float


class DeleteParameters(CommonParameters, total=False):
    """Parameters of the task that deletes the pool, under names that do not clash with the others."""

    poll_interval: Duration | str
    keep_on_failure: Duration | str | None
    force_delete: bool | str
    delete_timeout: Duration | str
    wait_for_deletion: bool | str


class PoolParameters(CreateParameters, WaitParameters, DeleteParameters, total=False):
    """All parameters of the group."""


NAMES_OF_DELETE = {"force_delete": "force", "delete_timeout": "timeout", "wait_for_deletion": "wait"}
