"""
The spec objects and ready-made formulas for Dag authors; all names come from ``core``.

Each object may also be written as a dict with the same names: ``network={"subnet_id": "..."}``. A name is
imported when it is first used, so that a Dag file pays only for what it names.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_batchlinux.core.pools.formulas import (
        by_pending_tasks,
        by_working_hours,
        zero_when_idle,
    )
    from airflow_provider_batchlinux.core.pools.repair import RepairSpec
    from airflow_provider_batchlinux.core.pools.spec.containers import (
        BindMountSpec,
        ContainerSpec,
        RegistrySpec,
        TaskContainerSpec,
    )
    from airflow_provider_batchlinux.core.pools.spec.network import (
        EndpointRuleSpec,
        EndpointSpec,
        IpTagSpec,
        NetworkSpec,
    )
    from airflow_provider_batchlinux.core.pools.spec.scale import AutoscaleSpec, SchedulingSpec
    from airflow_provider_batchlinux.core.pools.spec.security import (
        DiskEncryptionSpec,
        HostEndpointSpec,
        ProxyAgentSpec,
        SecuritySpec,
    )
    from airflow_provider_batchlinux.core.pools.spec.software import (
        ApplicationPackageSpec,
        ExtensionSpec,
        RollingUpgradeSpec,
        SoftwareSpec,
        UpgradeSpec,
    )
    from airflow_provider_batchlinux.core.pools.spec.start_task import (
        ResourceFileSpec,
        StartTaskSpec,
        UserAccountSpec,
    )
    from airflow_provider_batchlinux.core.pools.spec.storage import (
        AzureBlobMountSpec,
        AzureFilesMountSpec,
        CifsMountSpec,
        DataDiskSpec,
        NfsMountSpec,
        OsDiskSpec,
        StorageSpec,
    )
    from airflow_provider_batchlinux.core.pools.validation.rules import formula_problems
    from airflow_provider_batchlinux.core.tasks.spec.data import InputSpec, OutputSpec
    from airflow_provider_batchlinux.core.tasks.spec.identity import AutoUserSpec
    from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec
    from airflow_provider_batchlinux.core.users.credentials import KeyDestination

__all__ = [
    "ApplicationPackageSpec",
    "AutoUserSpec",
    "AutoscaleSpec",
    "AzureBlobMountSpec",
    "AzureFilesMountSpec",
    "BindMountSpec",
    "CifsMountSpec",
    "ContainerSpec",
    "DataDiskSpec",
    "DiskEncryptionSpec",
    "EndpointRuleSpec",
    "EndpointSpec",
    "ExtensionSpec",
    "HostEndpointSpec",
    "InputSpec",
    "IpTagSpec",
    "KeyDestination",
    "NetworkSpec",
    "NfsMountSpec",
    "OsDiskSpec",
    "OutputSpec",
    "ProxyAgentSpec",
    "RegistrySpec",
    "RepairSpec",
    "ResourceFileSpec",
    "RollingUpgradeSpec",
    "SchedulingSpec",
    "SecuritySpec",
    "SoftwareSpec",
    "StartTaskSpec",
    "StorageSpec",
    "TaskContainerSpec",
    "TaskSpec",
    "UpgradeSpec",
    "UserAccountSpec",
    "by_pending_tasks",
    "by_working_hours",
    "formula_problems",
    "zero_when_idle",
]

_HOMES = {
    "ApplicationPackageSpec": "pools.spec.software",
    "AutoUserSpec": "tasks.spec.identity",
    "AutoscaleSpec": "pools.spec.scale",
    "AzureBlobMountSpec": "pools.spec.storage",
    "AzureFilesMountSpec": "pools.spec.storage",
    "BindMountSpec": "pools.spec.containers",
    "CifsMountSpec": "pools.spec.storage",
    "ContainerSpec": "pools.spec.containers",
    "DataDiskSpec": "pools.spec.storage",
    "DiskEncryptionSpec": "pools.spec.security",
    "EndpointRuleSpec": "pools.spec.network",
    "EndpointSpec": "pools.spec.network",
    "ExtensionSpec": "pools.spec.software",
    "HostEndpointSpec": "pools.spec.security",
    "InputSpec": "tasks.spec.data",
    "IpTagSpec": "pools.spec.network",
    "KeyDestination": "users.credentials",
    "NetworkSpec": "pools.spec.network",
    "NfsMountSpec": "pools.spec.storage",
    "OsDiskSpec": "pools.spec.storage",
    "OutputSpec": "tasks.spec.data",
    "ProxyAgentSpec": "pools.spec.security",
    "RegistrySpec": "pools.spec.containers",
    "RepairSpec": "pools.repair",
    "ResourceFileSpec": "pools.spec.start_task",
    "RollingUpgradeSpec": "pools.spec.software",
    "SchedulingSpec": "pools.spec.scale",
    "SecuritySpec": "pools.spec.security",
    "SoftwareSpec": "pools.spec.software",
    "StartTaskSpec": "pools.spec.start_task",
    "StorageSpec": "pools.spec.storage",
    "TaskContainerSpec": "pools.spec.containers",
    "TaskSpec": "tasks.spec.task",
    "UpgradeSpec": "pools.spec.software",
    "UserAccountSpec": "pools.spec.start_task",
    "by_pending_tasks": "pools.formulas",
    "by_working_hours": "pools.formulas",
    "formula_problems": "pools.validation.rules",
    "zero_when_idle": "pools.formulas",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"airflow_provider_batchlinux.core.{_HOMES[name]}"), name)
