"""Every property that a pool can be created with: the parameter that sets it, and what REST makes of it."""

from __future__ import annotations

from typing import Any

MACHINE = "virtualMachineConfiguration"
IDENTITY = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"
)
SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"
APPLICATION = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Batch/batchAccounts/b/applications/jq"
ARTIFACT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/g/serviceArtifacts/a"

_RULE = {"source": "203.0.113.0/24", "priority": 1000}
_ENDPOINT = {"name": "ui", "port": 8080, "first_frontend_port": 30_000, "last_frontend_port": 30_099}
_NAT = "networkConfiguration.endpointConfiguration.inboundNATPools.0"
_NSG = f"{_NAT}.networkSecurityGroupRules.0"
_BLOB = {"account": "a", "container": "c", "path": "in"}
_BLOB_REST = "mountConfiguration.0.azureBlobFileSystemConfiguration"
_FILES = {"account": "a", "url": "https://a.file.core.windows.net/s", "path": "f", "account_key": "a2V5"}
_FILES_REST = "mountConfiguration.0.azureFileShareConfiguration"
_NFS = {"source": "10.0.0.4:/data", "path": "nfs", "options": "vers=4"}
_CIFS = {"source": "//10.0.0.4/s", "path": "smb", "username": "u", "password": "p4ss", "options": "vers=3.0"}
_REGISTRY = {"server": "r.example", "username": "u", "password": "p4ss"}
_CONTAINER = f"{MACHINE}.containerConfiguration"
_DISK = {"size_gb": 100}
_UEFI = f"{MACHINE}.securityProfile.uefiSettings"
_PROXY = f"{MACHINE}.securityProfile.proxyAgentSettings"
_ENCRYPTION = f"{MACHINE}.diskEncryptionConfiguration"
_KEY = {"targets": ["osdisk"], "key_url": "https://v.vault.azure.net/keys/k/1", "key_identity": IDENTITY}
_EXTENSION = {"name": "monitor", "publisher": "Microsoft.Azure.Monitor", "type": "AzureMonitorLinuxAgent"}
_FILE = {"http_url": "https://a.blob.core.windows.net/c/f?sv=1&sig=x", "path": "f"}
_RESOURCE = "startTask.resourceFiles.0"
_ACCOUNT = {"name": "etl", "password": "p4ss", "uid": 1001, "gid": 1002}
_ROLLING = "upgradePolicy.rollingUpgradePolicy"
_IN_CONTAINER = "startTask.containerSettings"


def _start(**parts: Any) -> dict[str, Any]:
    return {"start_task": {"command": "true", **parts}}


def _boot_in(**parts: Any) -> dict[str, Any]:
    return {**_start(container={"image": "busybox", **parts}), "containers": {"images": ["busybox"]}}


def _mount(mount: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {"storage": {"mounts": [{**mount, **parts}]}}


def _disk(**parts: Any) -> dict[str, Any]:
    return {"storage": {"data_disks": [{**_DISK, **parts}]}}


def _os_disk(**parts: Any) -> dict[str, Any]:
    return {"storage": {"os_disk": parts}}


def _network(**parts: Any) -> dict[str, Any]:
    return {"network": parts}


def _endpoint(**parts: Any) -> dict[str, Any]:
    return _network(endpoints=[{**_ENDPOINT, **parts}])


def _software(**parts: Any) -> dict[str, Any]:
    return {"software": parts}


def _extension(**parts: Any) -> dict[str, Any]:
    return _software(extensions=[{**_EXTENSION, **parts}, {**_EXTENSION, "name": "first"}])


def _rolling(**parts: Any) -> dict[str, Any]:
    placement = {"scheduling": {"placement": "zonal"}}
    return {**_software(upgrade={"mode": "rolling", "rolling": parts}), **placement}


def _os_upgrade(**parts: Any) -> dict[str, Any]:
    return _software(upgrade={"mode": "automatic", **parts})


_CONFIDENTIAL = {"security": {"kind": "confidentialvm"}}
_FORMULA = "$TargetDedicatedNodes = 1;"

PROPERTIES: list[tuple[str, dict[str, Any], Any]] = [
    ("id", {"pool_id": "other"}, "other"),
    ("displayName", {"display_name": "The pool of ETL"}, "The pool of ETL"),
    ("vmSize", {"vm_size": "standard_d4s_v5"}, "standard_d4s_v5"),
    ("targetDedicatedNodes", {"dedicated_nodes": 2}, 2),
    ("targetLowPriorityNodes", {"spot_nodes": 2}, 2),
    ("resizeTimeout", {"resize_timeout": 600}, "PT600S"),
    ("taskSlotsPerNode", {"task_slots_per_node": 4}, 4),
    ("enableAutoScale", {"autoscale": {"formula": _FORMULA}}, True),
    ("autoScaleFormula", {"autoscale": {"formula": _FORMULA}}, _FORMULA),
    ("autoScaleEvaluationInterval", {"autoscale": {"formula": _FORMULA, "interval": 600}}, "PT600S"),
    ("metadata.0.name", {"metadata": {"team": "etl"}}, "team"),
    ("metadata.0.value", {"metadata": {"team": "etl"}}, "etl"),
    ("taskSchedulingPolicy.nodeFillType", {"scheduling": {"fill": "pack"}}, "Pack"),
    (
        "taskSchedulingPolicy.jobDefaultOrder",
        {"scheduling": {"fill": "pack", "job_order": "creationtime"}},
        "creationtime",
    ),
    (f"{MACHINE}.nodePlacementConfiguration.policy", {"scheduling": {"placement": "zonal"}}, "Zonal"),
    # Network
    ("enableInterNodeCommunication", _network(inter_node_communication=True), True),
    ("networkConfiguration.subnetId", _network(subnet_id=SUBNET), SUBNET),
    ("networkConfiguration.dynamicVNetAssignmentScope", _network(dynamic_vnet_assignment="job"), "job"),
    ("networkConfiguration.enableAcceleratedNetworking", _network(accelerated_networking=True), True),
    (
        "networkConfiguration.publicIPAddressConfiguration.provision",
        _network(public_ips="nopublicipaddresses", subnet_id=SUBNET),
        "NoPublicIPAddresses",
    ),
    (
        "networkConfiguration.publicIPAddressConfiguration.ipAddressIds.0",
        _network(public_ips="usermanaged", public_ip_ids=["/subscriptions/s/ip"]),
        "/subscriptions/s/ip",
    ),
    (
        "networkConfiguration.publicIPAddressConfiguration.ipFamilies.1",
        _network(ip_families=["IPv4", "IPv6"]),
        "IPv6",
    ),
    (
        "networkConfiguration.publicIPAddressConfiguration.ipTags.0.ipTagType",
        _network(ip_tags=[{"kind": "FirstPartyUsage", "tag": "SQL"}]),
        "FirstPartyUsage",
    ),
    (
        "networkConfiguration.publicIPAddressConfiguration.ipTags.0.tag",
        _network(ip_tags=[{"kind": "FirstPartyUsage", "tag": "SQL"}]),
        "SQL",
    ),
    (f"{_NAT}.name", _endpoint(), "ui"),
    (f"{_NAT}.protocol", _endpoint(protocol="udp"), "udp"),
    (f"{_NAT}.backendPort", _endpoint(), 8080),
    (f"{_NAT}.frontendPortRangeStart", _endpoint(), 30_000),
    (f"{_NAT}.frontendPortRangeEnd", _endpoint(), 30_099),
    (f"{_NSG}.priority", _endpoint(rules=[_RULE]), 1000),
    (f"{_NSG}.access", _endpoint(rules=[{**_RULE, "access": "deny"}]), "deny"),
    (f"{_NSG}.sourceAddressPrefix", _endpoint(rules=[_RULE]), "203.0.113.0/24"),
    (f"{_NSG}.sourcePortRanges.0", _endpoint(rules=[{**_RULE, "source_ports": ["100-200"]}]), "100-200"),
    # Start task
    ("startTask.commandLine", _start(), "/bin/bash -c 'true'"),
    ("startTask.maxTaskRetryCount", _start(max_retries=2), 2),
    ("startTask.waitForSuccess", _start(wait_for_success=False), False),
    ("startTask.environmentSettings.0.name", _start(environment={"A": "1"}), "A"),
    ("startTask.environmentSettings.0.value", _start(environment={"A": "1"}), "1"),
    ("startTask.userIdentity.autoUser.scope", _start(user_scope="task"), "task"),
    ("startTask.userIdentity.autoUser.elevationLevel", _start(elevated=True), "admin"),
    ("startTask.userIdentity.username", {**_start(user="etl"), "user_accounts": [_ACCOUNT]}, "etl"),
    (f"{_RESOURCE}.httpUrl", _start(resource_files=[_FILE]), _FILE["http_url"]),
    (f"{_RESOURCE}.filePath", _start(resource_files=[_FILE]), "f"),
    (f"{_RESOURCE}.fileMode", _start(resource_files=[{**_FILE, "mode": "0755"}]), "0755"),
    (
        f"{_RESOURCE}.storageContainerUrl",
        _start(resource_files=[{"container_url": "https://a/c"}]),
        "https://a/c",
    ),
    (f"{_RESOURCE}.autoStorageContainerName", _start(resource_files=[{"auto_container": "in"}]), "in"),
    (
        f"{_RESOURCE}.blobPrefix",
        _start(resource_files=[{"auto_container": "in", "blob_prefix": "2026/"}]),
        "2026/",
    ),
    (
        f"{_RESOURCE}.identityReference.resourceId",
        _start(resource_files=[{**_FILE, "identity": IDENTITY}]),
        IDENTITY,
    ),
    (f"{_IN_CONTAINER}.imageName", _boot_in(), "busybox"),
    (f"{_IN_CONTAINER}.containerRunOptions", _boot_in(run_options="--rm"), "--rm"),
    (
        f"{_IN_CONTAINER}.workingDirectory",
        _boot_in(working_directory="containerImageDefault"),
        "containerImageDefault",
    ),
    (f"{_IN_CONTAINER}.registry.registryServer", _boot_in(registry=_REGISTRY), "r.example"),
    (
        f"{_IN_CONTAINER}.containerHostBatchBindMounts.0.source",
        _boot_in(bind_mounts=[{"source": "Task"}]),
        "Task",
    ),
    (
        f"{_IN_CONTAINER}.containerHostBatchBindMounts.0.isReadOnly",
        _boot_in(bind_mounts=[{"source": "Task", "read_only": True}]),
        True,
    ),
    # Containers
    (f"{_CONTAINER}.type", {"containers": {"engine": "criCompatible"}}, "criCompatible"),
    (f"{_CONTAINER}.containerImageNames.0", {"containers": {"images": ["busybox"]}}, "busybox"),
    (
        f"{_CONTAINER}.containerRegistries.0.registryServer",
        {"containers": {"registries": [_REGISTRY]}},
        "r.example",
    ),
    (f"{_CONTAINER}.containerRegistries.0.username", {"containers": {"registries": [_REGISTRY]}}, "u"),
    (f"{_CONTAINER}.containerRegistries.0.password", {"containers": {"registries": [_REGISTRY]}}, "p4ss"),
    (
        f"{_CONTAINER}.containerRegistries.0.identityReference.resourceId",
        {"containers": {"registries": [{"server": "r.example", "identity": IDENTITY}]}},
        IDENTITY,
    ),
    # Storage
    (f"{_BLOB_REST}.accountName", _mount(_BLOB, account_key="a2V5"), "a"),
    (f"{_BLOB_REST}.containerName", _mount(_BLOB, account_key="a2V5"), "c"),
    (f"{_BLOB_REST}.relativeMountPath", _mount(_BLOB, account_key="a2V5"), "in"),
    (f"{_BLOB_REST}.accountKey", _mount(_BLOB, account_key="a2V5"), "a2V5"),
    (f"{_BLOB_REST}.sasKey", _mount(_BLOB, sas_token="sv=1&sig=x"), "sv=1&sig=x"),
    (f"{_BLOB_REST}.identityReference.resourceId", _mount(_BLOB, identity=IDENTITY), IDENTITY),
    (f"{_BLOB_REST}.blobfuseOptions", _mount(_BLOB, identity=IDENTITY, options="-o ro"), "-o ro"),
    (f"{_FILES_REST}.accountName", _mount(_FILES), "a"),
    (f"{_FILES_REST}.accountKey", _mount(_FILES), "a2V5"),
    (f"{_FILES_REST}.azureFileUrl", _mount(_FILES), "https://a.file.core.windows.net/s"),
    (f"{_FILES_REST}.relativeMountPath", _mount(_FILES), "f"),
    (f"{_FILES_REST}.mountOptions", _mount(_FILES, options="-o ro"), "-o ro"),
    ("mountConfiguration.0.nfsMountConfiguration.source", _mount(_NFS), "10.0.0.4:/data"),
    ("mountConfiguration.0.nfsMountConfiguration.relativeMountPath", _mount(_NFS), "nfs"),
    ("mountConfiguration.0.nfsMountConfiguration.mountOptions", _mount(_NFS), "vers=4"),
    ("mountConfiguration.0.cifsMountConfiguration.source", _mount(_CIFS), "//10.0.0.4/s"),
    ("mountConfiguration.0.cifsMountConfiguration.relativeMountPath", _mount(_CIFS), "smb"),
    ("mountConfiguration.0.cifsMountConfiguration.username", _mount(_CIFS), "u"),
    ("mountConfiguration.0.cifsMountConfiguration.password", _mount(_CIFS), "p4ss"),
    ("mountConfiguration.0.cifsMountConfiguration.mountOptions", _mount(_CIFS), "vers=3.0"),
    (f"{MACHINE}.dataDisks.0.lun", _disk(lun=3), 3),
    (f"{MACHINE}.dataDisks.0.diskSizeGB", _disk(), 100),
    (f"{MACHINE}.dataDisks.0.caching", _disk(caching="none"), "none"),
    (
        f"{MACHINE}.dataDisks.0.managedDisk.storageAccountType",
        _disk(storage_type="premium_lrs"),
        "premium_lrs",
    ),
    (f"{MACHINE}.dataDisks.0.managedDisk.diskEncryptionSet.id", _disk(encryption_set_id="/s/e"), "/s/e"),
    (
        f"{MACHINE}.dataDisks.0.managedDisk.securityProfile.securityEncryptionType",
        {
            **_CONFIDENTIAL,
            "storage": {
                "data_disks": [{**_DISK, "confidential_encryption": "NonPersistedTPM"}],
                "os_disk": {"confidential_encryption": "VMGuestStateOnly"},
            },
        },
        "NonPersistedTPM",
    ),
    (f"{MACHINE}.osDisk.ephemeralOSDiskSettings.placement", _os_disk(ephemeral=True), "cachedisk"),
    (f"{MACHINE}.osDisk.caching", _os_disk(caching="readonly"), "ReadOnly"),
    (f"{MACHINE}.osDisk.diskSizeGB", _os_disk(size_gb=64), 64),
    (f"{MACHINE}.osDisk.managedDisk.storageAccountType", _os_disk(storage_type="premium_lrs"), "premium_lrs"),
    (f"{MACHINE}.osDisk.managedDisk.diskEncryptionSet.id", _os_disk(encryption_set_id="/s/e"), "/s/e"),
    (
        f"{MACHINE}.osDisk.managedDisk.securityProfile.securityEncryptionType",
        {**_CONFIDENTIAL, **_os_disk(confidential_encryption="VMGuestStateOnly")},
        "VMGuestStateOnly",
    ),
    (f"{MACHINE}.osDisk.writeAcceleratorEnabled", _os_disk(write_accelerator=True), True),
    # Security
    (f"{MACHINE}.securityProfile.securityType", {"security": {"kind": "trustedLaunch"}}, "trustedlaunch"),
    (f"{_UEFI}.secureBootEnabled", {"security": {"kind": "trustedLaunch", "secure_boot": True}}, True),
    (f"{_UEFI}.vTpmEnabled", {"security": {"kind": "trustedLaunch", "vtpm": True}}, True),
    (f"{MACHINE}.securityProfile.encryptionAtHost", {"security": {"encryption_at_host": True}}, True),
    (f"{_PROXY}.enabled", {"security": {"proxy_agent": {"enabled": False}}}, False),
    (f"{_PROXY}.imds.mode", {"security": {"proxy_agent": {"imds": {"mode": "Audit"}}}}, "Audit"),
    (f"{_PROXY}.wireServer.mode", {"security": {"proxy_agent": {"wire_server": {"mode": "Audit"}}}}, "Audit"),
    (
        f"{_PROXY}.imds.inVMAccessControlProfileReferenceId",
        {"security": {"proxy_agent": {"imds": {"profile_id": "/s/p"}}}},
        "/s/p",
    ),
    (
        f"{_ENCRYPTION}.targets.0",
        {"security": {"disk_encryption": {"targets": ["temporarydisk"]}}},
        "temporarydisk",
    ),
    (f"{_ENCRYPTION}.customerManagedKey.keyUrl", {"security": {"disk_encryption": _KEY}}, _KEY["key_url"]),
    (
        f"{_ENCRYPTION}.customerManagedKey.identityReference.resourceId",
        {"security": {"disk_encryption": _KEY}},
        IDENTITY,
    ),
    (
        f"{_ENCRYPTION}.customerManagedKey.rotationToLatestKeyVersionEnabled",
        {"security": {"disk_encryption": {**_KEY, "key_rotation": True}}},
        True,
    ),
    # Software
    (
        "applicationPackageReferences.0.applicationId",
        _software(application_packages=[{"application_id": APPLICATION}]),
        APPLICATION,
    ),
    (
        "applicationPackageReferences.0.version",
        _software(application_packages=[{"application_id": APPLICATION, "version": "1.7"}]),
        "1.7",
    ),
    (f"{MACHINE}.extensions.0.name", _extension(), "monitor"),
    (f"{MACHINE}.extensions.0.publisher", _extension(), "Microsoft.Azure.Monitor"),
    (f"{MACHINE}.extensions.0.type", _extension(), "AzureMonitorLinuxAgent"),
    (f"{MACHINE}.extensions.0.typeHandlerVersion", _extension(version="1.33"), "1.33"),
    (f"{MACHINE}.extensions.0.autoUpgradeMinorVersion", _extension(auto_upgrade_minor_version=True), True),
    (f"{MACHINE}.extensions.0.enableAutomaticUpgrade", _extension(automatic_upgrade=True), True),
    (f"{MACHINE}.extensions.0.settings", _extension(settings={"a": 1}), {"a": 1}),
    (
        f"{MACHINE}.extensions.0.protectedSettings",
        _extension(protected_settings={"b": "s3cret"}),
        {"b": "s3cret"},
    ),
    (f"{MACHINE}.extensions.0.provisionAfterExtensions.0", _extension(after=["first"]), "first"),
    (f"{MACHINE}.serviceArtifactReference.id", _software(service_artifact_id=ARTIFACT), ARTIFACT),
    ("upgradePolicy.mode", _software(upgrade={"mode": "manual"}), "manual"),
    ("upgradePolicy.automaticOSUpgradePolicy.enableAutomaticOSUpgrade", _os_upgrade(os_upgrade=True), True),
    (
        "upgradePolicy.automaticOSUpgradePolicy.disableAutomaticRollback",
        _os_upgrade(os_rollback_disabled=True),
        True,
    ),
    (
        "upgradePolicy.automaticOSUpgradePolicy.useRollingUpgradePolicy",
        _os_upgrade(os_uses_rolling=True),
        True,
    ),
    ("upgradePolicy.automaticOSUpgradePolicy.osRollingUpgradeDeferral", _os_upgrade(os_deferral=True), True),
    (f"{_ROLLING}.enableCrossZoneUpgrade", _rolling(cross_zone=True), True),
    (f"{_ROLLING}.maxBatchInstancePercent", _rolling(max_batch_percent=20), 20),
    (f"{_ROLLING}.maxUnhealthyInstancePercent", _rolling(max_unhealthy_percent=20), 20),
    (f"{_ROLLING}.maxUnhealthyUpgradedInstancePercent", _rolling(max_unhealthy_upgraded_percent=0), 0),
    (f"{_ROLLING}.pauseTimeBetweenBatches", _rolling(pause=30), "PT30S"),
    (f"{_ROLLING}.prioritizeUnhealthyInstances", _rolling(unhealthy_first=True), True),
    (f"{_ROLLING}.rollbackFailedInstancesOnPolicyBreach", _rolling(rollback=True), True),
    # Accounts
    ("userAccounts.0.name", {"user_accounts": [_ACCOUNT]}, "etl"),
    ("userAccounts.0.password", {"user_accounts": [_ACCOUNT]}, "p4ss"),
    ("userAccounts.0.elevationLevel", {"user_accounts": [{**_ACCOUNT, "elevation": "admin"}]}, "admin"),
    ("userAccounts.0.linuxUserConfiguration.uid", {"user_accounts": [_ACCOUNT]}, 1001),
    ("userAccounts.0.linuxUserConfiguration.gid", {"user_accounts": [_ACCOUNT]}, 1002),
    (
        "userAccounts.0.linuxUserConfiguration.sshPrivateKey",
        {"user_accounts": [{**_ACCOUNT, "ssh_private_key": "k3y"}]},
        "k3y",
    ),
]
"""The place in REST, the parameters as dicts, and the value; a number in a place is a position in a list."""
