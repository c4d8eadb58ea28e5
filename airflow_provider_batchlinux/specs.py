"""
The spec objects and ready-made formulas for whoever writes a Dag; nothing but names from ``core``.

Each object may also be written as a dict with the same names: ``network={"subnet_id": "..."}``.
"""

from __future__ import annotations

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
from airflow_provider_batchlinux.core.scale_spec import AutoscaleSpec, SchedulingSpec
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
    "NetworkSpec",
    "NfsMountSpec",
    "OsDiskSpec",
    "PoolSpec",
    "ProxyAgentSpec",
    "RegistrySpec",
    "ResourceFileSpec",
    "RollingUpgradeSpec",
    "SchedulingSpec",
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
