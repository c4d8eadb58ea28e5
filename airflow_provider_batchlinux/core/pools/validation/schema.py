"""What a pool's REST body may hold, as data: names, types and limits; imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["POOL", "SHAPES"]

POOL = "BatchPoolCreateOptions"

_PERCENT = "int 0..100"
_IDENTITY = "BatchNodeIdentityReference"

SHAPES: Mapping[str, Mapping[str, str]] = {
    POOL: {
        "id!": "string 1..64",
        "displayName": "string 0..1024",
        "vmSize!": "string 1..",
        "virtualMachineConfiguration!": "VirtualMachineConfiguration",
        "targetDedicatedNodes": "int 0..",
        "targetLowPriorityNodes": "int 0..",
        "enableAutoScale": "bool",
        "autoScaleFormula": "string 1..8192",
        "autoScaleEvaluationInterval": "duration 300..604800",
        "startTask": "BatchStartTask",
        "enableInterNodeCommunication": "bool",
        "networkConfiguration": "NetworkConfiguration",
        "applicationPackageReferences": "[BatchApplicationPackageReference] 0..10",
        "userAccounts": "[UserAccount]",
        "metadata": "[BatchMetadataItem]",
        "mountConfiguration": "[MountConfiguration] 0..10",
        "taskSlotsPerNode": "int 1..256",
        "taskSchedulingPolicy": "BatchTaskSchedulingPolicy",
        "upgradePolicy": "UpgradePolicy",
        "resizeTimeout": "duration 300..",
    },
    "VirtualMachineConfiguration": {
        "imageReference!": "BatchVmImageReference",
        "nodeAgentSKUId!": "string 1..",
        "windowsConfiguration": "WindowsConfiguration",
        "dataDisks": "[DataDisk]",
        "licenseType": "string",
        "containerConfiguration": "BatchContainerConfiguration",
        "diskEncryptionConfiguration": "DiskEncryptionConfiguration",
        "nodePlacementConfiguration": "BatchNodePlacementConfiguration",
        "extensions": "[VMExtension]",
        "osDisk": "BatchOsDisk",
        "securityProfile": "SecurityProfile",
        "serviceArtifactReference": "ServiceArtifactReference",
    },
    "BatchVmImageReference": {
        "publisher": "string",
        "offer": "string",
        "sku": "string",
        "version": "string",
        "virtualMachineImageId": "string",
        "sharedGalleryImageId": "string",
        "communityGalleryImageId": "string",
    },
    "WindowsConfiguration": {"enableAutomaticUpdates": "bool"},
    "DataDisk": {
        "lun!": "int 0..63",
        "caching": "none|readonly|readwrite",
        "diskSizeGB!": "int 1..",
        "managedDisk": "ManagedDisk",
    },
    "ManagedDisk": {
        "diskEncryptionSet": "DiskEncryptionSetParameters",
        "storageAccountType": "standard_lrs|premium_lrs|standardssd_lrs",
        "securityProfile": "BatchVmDiskSecurityProfile",
    },
    "DiskEncryptionSetParameters": {"id": "string"},
    "BatchVmDiskSecurityProfile": {
        "securityEncryptionType": "DiskWithVMGuestState|NonPersistedTPM|VMGuestStateOnly"
    },
    "BatchContainerConfiguration": {
        "type!": "dockerCompatible|criCompatible",
        "containerImageNames": "[string]",
        "containerRegistries": "[ContainerRegistryReference]",
    },
    "ContainerRegistryReference": {
        "username": "string",
        "password": "secret",
        "registryServer": "string",
        "identityReference": _IDENTITY,
    },
    _IDENTITY: {"resourceId": "string"},
    "DiskEncryptionConfiguration": {
        "customerManagedKey": "DiskCustomerManagedKey",
        "targets": "[osdisk|temporarydisk]",
    },
    "DiskCustomerManagedKey": {
        "identityReference": "BatchPoolIdentityReference",
        "keyUrl": "string",
        "rotationToLatestKeyVersionEnabled": "bool",
    },
    "BatchPoolIdentityReference": {"resourceId": "string"},
    "BatchNodePlacementConfiguration": {"policy": "regional|zonal"},
    "VMExtension": {
        "name!": "string 1..",
        "publisher!": "string 1..",
        "type!": "string 1..",
        "typeHandlerVersion": "string",
        "autoUpgradeMinorVersion": "bool",
        "enableAutomaticUpgrade": "bool",
        "settings": "object",
        "protectedSettings": "secret object",
        "provisionAfterExtensions": "[string]",
    },
    "BatchOsDisk": {
        "ephemeralOSDiskSettings": "BatchDiffDiskSettings",
        "caching": "none|readonly|readwrite",
        "diskSizeGB": "int 1..",
        "managedDisk": "ManagedDisk",
        "writeAcceleratorEnabled": "bool",
    },
    "BatchDiffDiskSettings": {"placement": "cachedisk"},
    "SecurityProfile": {
        "encryptionAtHost": "bool",
        "proxyAgentSettings": "ProxyAgentSettings",
        "securityType": "trustedLaunch|confidentialvm",
        "uefiSettings": "BatchUefiSettings",
    },
    "ProxyAgentSettings": {
        "enabled": "bool",
        "imds": "HostEndpointSettings",
        "wireServer": "HostEndpointSettings",
    },
    "HostEndpointSettings": {"inVMAccessControlProfileReferenceId": "string", "mode": "Audit|Enforce"},
    "BatchUefiSettings": {"secureBootEnabled": "bool", "vTpmEnabled": "bool"},
    "ServiceArtifactReference": {"id!": "string 1.."},
    "NetworkConfiguration": {
        "subnetId": "string",
        "dynamicVNetAssignmentScope": "none|job",
        "endpointConfiguration": "BatchPoolEndpointConfiguration",
        "publicIPAddressConfiguration": "BatchPublicIpAddressConfiguration",
        "enableAcceleratedNetworking": "bool",
    },
    "BatchPoolEndpointConfiguration": {"inboundNATPools!": "[BatchInboundNatPool] 0..5"},
    "BatchInboundNatPool": {
        "name!": "string 1..77",
        "protocol!": "tcp|udp",
        "backendPort!": "int 1..65535",
        "frontendPortRangeStart!": "int 1..65534",
        "frontendPortRangeEnd!": "int 1..65534",
        "networkSecurityGroupRules": "[NetworkSecurityGroupRule]",
    },
    "NetworkSecurityGroupRule": {
        "priority!": "int 150..4096",
        "access!": "allow|deny",
        "sourceAddressPrefix!": "string 1..",
        "sourcePortRanges": "[string]",
    },
    "BatchPublicIpAddressConfiguration": {
        "provision": "batchmanaged|usermanaged|nopublicipaddresses",
        "ipFamilies": "[IPv4|IPv6]",
        "ipAddressIds": "[string]",
        "ipTags": "[IPTag]",
    },
    "IPTag": {"ipTagType": "string", "tag": "string"},
    "BatchStartTask": {
        "commandLine!": "string 1..",
        "containerSettings": "BatchTaskContainerSettings",
        "resourceFiles": "[ResourceFile]",
        "environmentSettings": "[EnvironmentSetting]",
        "userIdentity": "UserIdentity",
        "maxTaskRetryCount": "int -1..",
        "waitForSuccess": "bool",
    },
    "BatchTaskContainerSettings": {
        "containerRunOptions": "string",
        "imageName!": "string 1..",
        "registry": "ContainerRegistryReference",
        "workingDirectory": "taskWorkingDirectory|containerImageDefault",
        "containerHostBatchBindMounts": "[ContainerHostBatchBindMountEntry]",
    },
    "ContainerHostBatchBindMountEntry": {
        "source": "Shared|Startup|VfsMounts|Task|JobPrep|Applications",
        "isReadOnly": "bool",
    },
    "ResourceFile": {
        "autoStorageContainerName": "string",
        "storageContainerUrl": "secret",
        "httpUrl": "secret",
        "blobPrefix": "string",
        "filePath": "string",
        "fileMode": "string",
        "identityReference": _IDENTITY,
    },
    "EnvironmentSetting": {"name!": "string 1..", "value": "secret"},
    "UserIdentity": {"username": "string", "autoUser": "AutoUserSpecification"},
    "AutoUserSpecification": {"scope": "task|pool", "elevationLevel": "nonadmin|admin"},
    "BatchApplicationPackageReference": {"applicationId!": "string 1..", "version": "string"},
    "BatchTaskSchedulingPolicy": {"jobDefaultOrder": "none|creationtime", "nodeFillType!": "spread|pack"},
    "UserAccount": {
        "name!": "string 1..20",
        "password!": "secret",
        "elevationLevel": "nonadmin|admin",
        "linuxUserConfiguration": "LinuxUserConfiguration",
        "windowsUserConfiguration": "WindowsUserConfiguration",
    },
    "LinuxUserConfiguration": {"uid": "int 0..", "gid": "int 0..", "sshPrivateKey": "secret"},
    "WindowsUserConfiguration": {"loginMode": "batch|interactive"},
    "BatchMetadataItem": {"name!": "string 1..", "value!": "string"},
    "MountConfiguration": {
        "azureBlobFileSystemConfiguration": "AzureBlobFileSystemConfiguration",
        "nfsMountConfiguration": "NfsMountConfiguration",
        "cifsMountConfiguration": "CifsMountConfiguration",
        "azureFileShareConfiguration": "AzureFileShareConfiguration",
    },
    "AzureBlobFileSystemConfiguration": {
        "accountName!": "string 1..",
        "containerName!": "string 1..",
        "accountKey": "secret",
        "sasKey": "secret",
        "blobfuseOptions": "string",
        "relativeMountPath!": "string 1..",
        "identityReference": _IDENTITY,
    },
    "NfsMountConfiguration": {
        "source!": "string 1..",
        "relativeMountPath!": "string 1..",
        "mountOptions": "string",
    },
    "CifsMountConfiguration": {
        "username!": "string 1..",
        "source!": "string 1..",
        "relativeMountPath!": "string 1..",
        "mountOptions": "string",
        "password!": "secret",
    },
    "AzureFileShareConfiguration": {
        "accountName!": "string 1..",
        "accountKey!": "secret",
        "azureFileUrl!": "string 1..",
        "relativeMountPath!": "string 1..",
        "mountOptions": "string",
    },
    "UpgradePolicy": {
        "mode!": "automatic|manual|rolling",
        "automaticOSUpgradePolicy": "AutomaticOsUpgradePolicy",
        "rollingUpgradePolicy": "RollingUpgradePolicy",
    },
    "AutomaticOsUpgradePolicy": {
        "disableAutomaticRollback": "bool",
        "enableAutomaticOSUpgrade": "bool",
        "useRollingUpgradePolicy": "bool",
        "osRollingUpgradeDeferral": "bool",
    },
    "RollingUpgradePolicy": {
        "enableCrossZoneUpgrade": "bool",
        "maxBatchInstancePercent": "int 5..100",
        "maxUnhealthyInstancePercent": "int 5..100",
        "maxUnhealthyUpgradedInstancePercent": _PERCENT,
        "pauseTimeBetweenBatches": "duration",
        "prioritizeUnhealthyInstances": "bool",
        "rollbackFailedInstancesOnPolicyBreach": "bool",
    },
}
"""
The properties of each shape that a request takes, in the order in which problems are reported.

A name with ``!`` is required. A type is a scalar, the choices between ``|``, a shape, or a list of one of
these in brackets; the numbers after it bound a number, a duration in seconds, or a length.
``secret`` is a text that no message shows. ``exactVersion`` of an image is left out: only answers have it.
"""
