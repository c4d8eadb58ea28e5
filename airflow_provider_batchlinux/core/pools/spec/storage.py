"""Disks of a pool's nodes and file systems that they mount."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_batchlinux.core.parameters.kinds import Flag, SecretText
from airflow_provider_batchlinux.core.parameters.spec import Spec

_BLOB = "azureBlobFileSystemConfiguration"
_FILES = "azureFileShareConfiguration"
_NFS = "nfsMountConfiguration"
_CIFS = "cifsMountConfiguration"
_MACHINE = "virtualMachineConfiguration"


@dataclass(frozen=True)
class AzureBlobMountSpec(Spec):
    """
    A container of Azure Blob Storage, mounted on every node.

    .. code-block:: python

        StorageSpec(
            mounts=[AzureBlobMountSpec("etldata", "raw", "raw", sas_token="{{ conn.etl_data.password }}")]
        )

    :param account: the storage account.
    :param container: the container's name.
    :param path: the mount point, relative to ``AZ_BATCH_NODE_MOUNTS_DIR``.
    :param account_key: the account's key. Give exactly one of this and the next two.
    :param sas_token: a SAS token.
    :param identity: the ARM id of a managed identity of the pool.
    :param options: options of blobfuse.
    """

    account: str
    container: str
    path: str
    account_key: SecretText | None = field(default=None, repr=False)
    sas_token: SecretText | None = field(default=None, repr=False)
    identity: str | None = None
    options: str | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "account": f"{_BLOB}.accountName",
        "container": f"{_BLOB}.containerName",
        "path": f"{_BLOB}.relativeMountPath",
        "account_key": f"{_BLOB}.accountKey",
        "sas_token": f"{_BLOB}.sasKey",
        "identity": f"{_BLOB}.identityReference.resourceId",
        "options": f"{_BLOB}.blobfuseOptions",
    }


@dataclass(frozen=True)
class AzureFilesMountSpec(Spec):
    """
    A share of Azure Files, mounted on every node.

    .. code-block:: python

        models = AzureFilesMountSpec(
            "etldata",
            url="https://etldata.file.core.windows.net/models",
            path="models",
            account_key="{{ conn.etl_data.password }}",
        )
        StorageSpec(mounts=[models])

    :param account: the storage account.
    :param url: the share's URL, ``https://ACCOUNT.file.core.windows.net/SHARE``.
    :param path: the mount point, relative to ``AZ_BATCH_NODE_MOUNTS_DIR``.
    :param account_key: the account's key.
    :param options: options of ``mount``.
    """

    account: str
    url: str
    path: str
    account_key: SecretText = field(repr=False)
    options: str | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "account": f"{_FILES}.accountName",
        "url": f"{_FILES}.azureFileUrl",
        "path": f"{_FILES}.relativeMountPath",
        "account_key": f"{_FILES}.accountKey",
        "options": f"{_FILES}.mountOptions",
    }


@dataclass(frozen=True)
class NfsMountSpec(Spec):
    """
    An NFS export, mounted on every node.

    .. code-block:: python

        StorageSpec(mounts=[NfsMountSpec("10.0.0.4:/data", "data", options="-o vers=4.1")])

    :param source: the export, ``SERVER:/DIRECTORY``.
    :param path: the mount point, relative to ``AZ_BATCH_NODE_MOUNTS_DIR``.
    :param options: options of ``mount``.
    """

    source: str
    path: str
    options: str | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "source": f"{_NFS}.source",
        "path": f"{_NFS}.relativeMountPath",
        "options": f"{_NFS}.mountOptions",
    }


@dataclass(frozen=True)
class CifsMountSpec(Spec):
    """
    A CIFS or SMB share, mounted on every node.

    .. code-block:: python

        data = CifsMountSpec("//10.0.0.4/data", "data", "etl", password="{{ conn.etl_share.password }}")
        StorageSpec(mounts=[data])

    :param source: the share, ``//SERVER/SHARE``.
    :param path: the mount point, relative to ``AZ_BATCH_NODE_MOUNTS_DIR``.
    :param username: the user's name on the server.
    :param password: the user's password.
    :param options: options of ``mount``.
    """

    source: str
    path: str
    username: str
    password: SecretText = field(repr=False)
    options: str | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "source": f"{_CIFS}.source",
        "path": f"{_CIFS}.relativeMountPath",
        "username": f"{_CIFS}.username",
        "password": f"{_CIFS}.password",
        "options": f"{_CIFS}.mountOptions",
    }


@dataclass(frozen=True)
class DataDiskSpec(Spec):
    """
    An empty disk of every node; the start task must format and mount it.

    .. code-block:: python

        StorageSpec(data_disks=[DataDiskSpec(size_gb=256, storage_type="premium_lrs")])

    :param size_gb: the size in gigabytes.
    :param lun: the logical unit number, 0 to 63, different for each disk.
    :param caching: ``none``, ``readonly`` or ``readwrite``; ``None`` is the service's default, ``none``.
    :param storage_type: ``standard_lrs``, ``premium_lrs`` or ``standardssd_lrs``; ``None`` is the service's
        default.
    :param encryption_set_id: the ARM id of a disk encryption set; ``None`` for the platform's key.
    :param confidential_encryption: for a confidential VM, ``NonPersistedTPM`` or ``VMGuestStateOnly``.
    """

    size_gb: int
    lun: int = 0
    caching: str | None = None
    storage_type: str | None = None
    encryption_set_id: str | None = None
    confidential_encryption: str | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "size_gb": "diskSizeGB",
        "lun": "lun",
        "caching": "caching",
        "storage_type": "managedDisk.storageAccountType",
        "encryption_set_id": "managedDisk.diskEncryptionSet.id",
        "confidential_encryption": "managedDisk.securityProfile.securityEncryptionType",
    }


@dataclass(frozen=True)
class OsDiskSpec(Spec):
    """
    The disk from which a node boots.

    .. code-block:: python

        StorageSpec(os_disk=OsDiskSpec(ephemeral=True))

    :param ephemeral: use an ephemeral disk on the host (``cachedisk``), which is faster and is lost with the
        node; not possible with Spot nodes.
    :param size_gb: the size in gigabytes; ``None`` is the image's.
    :param caching: ``none``, ``readonly`` or ``readwrite``; ``None`` is the service's default.
    :param storage_type: ``standard_lrs``, ``premium_lrs`` or ``standardssd_lrs``; ``None`` is the service's
        default.
    :param encryption_set_id: the ARM id of a disk encryption set; ``None`` for the platform's key.
    :param confidential_encryption: required with a confidential VM: ``DiskWithVMGuestState``,
        ``NonPersistedTPM`` or ``VMGuestStateOnly``.
    :param write_accelerator: whether the write accelerator is enabled; ``None`` is the service's default.
    """

    ephemeral: Flag = False
    size_gb: int | None = None
    caching: str | None = None
    storage_type: str | None = None
    encryption_set_id: str | None = None
    confidential_encryption: str | None = None
    write_accelerator: bool | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "ephemeral": "ephemeralOSDiskSettings.placement",
        "size_gb": "diskSizeGB",
        "caching": "caching",
        "storage_type": "managedDisk.storageAccountType",
        "encryption_set_id": "managedDisk.diskEncryptionSet.id",
        "confidential_encryption": "managedDisk.securityProfile.securityEncryptionType",
        "write_accelerator": "writeAcceleratorEnabled",
    }

    def to_rest(self) -> dict[str, Any]:
        """Return the part of the REST body."""
        body = super().to_rest()
        del body["ephemeralOSDiskSettings"]
        return {**body, **({"ephemeralOSDiskSettings": {"placement": "cachedisk"}} if self.ephemeral else {})}


@dataclass(frozen=True)
class StorageSpec(Spec):
    """
    Disks of a pool's nodes and file systems that they mount.

    .. code-block:: python

        StorageSpec(
            mounts=[NfsMountSpec("10.0.0.4:/data", "data")],
            data_disks=[DataDiskSpec(size_gb=256)],
            os_disk=OsDiskSpec(size_gb=64),
        )

    :param mounts: file systems, at most 10; they can be changed only while the pool has no nodes.
    :param data_disks: empty disks of each node.
    :param os_disk: the disk from which a node boots; ``None`` is the service's default.
    """

    mounts: Sequence[
        AzureBlobMountSpec | AzureFilesMountSpec | NfsMountSpec | CifsMountSpec | Mapping[str, Any]
    ] = ()
    data_disks: Sequence[DataDiskSpec | Mapping[str, Any]] = ()
    os_disk: OsDiskSpec | Mapping[str, Any] | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "mounts": "mountConfiguration",
        "data_disks": f"{_MACHINE}.dataDisks",
        "os_disk": f"{_MACHINE}.osDisk",
    }
    PARTS: ClassVar[Mapping[str, tuple[type[Spec], ...]]] = {
        "mounts": (AzureBlobMountSpec, AzureFilesMountSpec, NfsMountSpec, CifsMountSpec),
        "data_disks": (DataDiskSpec,),
        "os_disk": (OsDiskSpec,),
    }
