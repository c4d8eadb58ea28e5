"""
The spec objects and ready-made formulas for whoever writes a Dag; nothing but names from ``core``.

Each object may also be written as a dict with the same names: ``network={"subnet_id": "..."}``. A name is
imported when it is first used, so that a Dag file pays only for what it names.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_batchlinux.core.account_spec import UserAccountSpec
    from airflow_provider_batchlinux.core.autoscale_formulas import (
        by_pending_tasks,
        by_working_hours,
        formula_problems,
        zero_when_idle,
    )
    from airflow_provider_batchlinux.core.container_spec import (
        BindMountSpec,
        ContainerSpec,
        RegistrySpec,
        TaskContainerSpec,
    )
    from airflow_provider_batchlinux.core.network_spec import (
        EndpointRuleSpec,
        EndpointSpec,
        IpTagSpec,
        NetworkSpec,
    )
    from airflow_provider_batchlinux.core.pool_spec import PoolSpec
    from airflow_provider_batchlinux.core.repair import RepairSpec
    from airflow_provider_batchlinux.core.scale_spec import AutoscaleSpec, SchedulingSpec
    from airflow_provider_batchlinux.core.secret_destination import KeyDestination, SecretRequest
    from airflow_provider_batchlinux.core.security_spec import (
        DiskEncryptionSpec,
        HostEndpointSpec,
        ProxyAgentSpec,
        SecuritySpec,
    )
    from airflow_provider_batchlinux.core.software_spec import (
        ApplicationPackageSpec,
        ExtensionSpec,
        RollingUpgradeSpec,
        SoftwareSpec,
        UpgradeSpec,
    )
    from airflow_provider_batchlinux.core.start_task_spec import ResourceFileSpec, StartTaskSpec
    from airflow_provider_batchlinux.core.storage_spec import (
        AzureBlobMountSpec,
        AzureFilesMountSpec,
        CifsMountSpec,
        DataDiskSpec,
        NfsMountSpec,
        OsDiskSpec,
        StorageSpec,
    )

__all__ = [
    "ApplicationPackageSpec",
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
    "IpTagSpec",
    "KeyDestination",
    "NetworkSpec",
    "NfsMountSpec",
    "OsDiskSpec",
    "PoolSpec",
    "ProxyAgentSpec",
    "RegistrySpec",
    "RepairSpec",
    "ResourceFileSpec",
    "RollingUpgradeSpec",
    "SchedulingSpec",
    "SecretRequest",
    "SecuritySpec",
    "SoftwareSpec",
    "StartTaskSpec",
    "StorageSpec",
    "TaskContainerSpec",
    "UpgradeSpec",
    "UserAccountSpec",
    "by_pending_tasks",
    "by_working_hours",
    "formula_problems",
    "zero_when_idle",
]

_HOMES = {
    "ApplicationPackageSpec": "software_spec",
    "AutoscaleSpec": "scale_spec",
    "AzureBlobMountSpec": "storage_spec",
    "AzureFilesMountSpec": "storage_spec",
    "BindMountSpec": "container_spec",
    "CifsMountSpec": "storage_spec",
    "ContainerSpec": "container_spec",
    "DataDiskSpec": "storage_spec",
    "DiskEncryptionSpec": "security_spec",
    "EndpointRuleSpec": "network_spec",
    "EndpointSpec": "network_spec",
    "ExtensionSpec": "software_spec",
    "HostEndpointSpec": "security_spec",
    "IpTagSpec": "network_spec",
    "KeyDestination": "secret_destination",
    "NetworkSpec": "network_spec",
    "NfsMountSpec": "storage_spec",
    "OsDiskSpec": "storage_spec",
    "PoolSpec": "pool_spec",
    "ProxyAgentSpec": "security_spec",
    "RegistrySpec": "container_spec",
    "RepairSpec": "repair",
    "ResourceFileSpec": "start_task_spec",
    "RollingUpgradeSpec": "software_spec",
    "SchedulingSpec": "scale_spec",
    "SecretRequest": "secret_destination",
    "SecuritySpec": "security_spec",
    "SoftwareSpec": "software_spec",
    "StartTaskSpec": "start_task_spec",
    "StorageSpec": "storage_spec",
    "TaskContainerSpec": "container_spec",
    "UpgradeSpec": "software_spec",
    "UserAccountSpec": "account_spec",
    "by_pending_tasks": "autoscale_formulas",
    "by_working_hours": "autoscale_formulas",
    "formula_problems": "autoscale_formulas",
    "zero_when_idle": "autoscale_formulas",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"airflow_provider_batchlinux.core.{_HOMES[name]}"), name)
