"""Specifications of the security of nodes: trusted launch, encryption, access to metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_provider_batchlinux.core.parameters.spec import Spec

_SECURITY = "virtualMachineConfiguration.securityProfile"
_ENCRYPTION = "virtualMachineConfiguration.diskEncryptionConfiguration"


@dataclass(frozen=True)
class HostEndpointSpec(Spec):
    """
    Access control for one of the host's endpoints.

    .. code-block:: python

        SecuritySpec(proxy_agent=ProxyAgentSpec(imds=HostEndpointSpec(mode="Audit")))

    :param mode: ``Audit`` or ``Enforce``; ``None`` is the service's default.
    :param profile_id: the ARM id of a version of an access control profile.
    """

    mode: str | None = None
    profile_id: str | None = None

    REST: ClassVar[Mapping[str, str]] = {"mode": "mode", "profile_id": "inVMAccessControlProfileReferenceId"}


@dataclass(frozen=True)
class ProxyAgentSpec(Spec):
    """
    The metadata security protocol: an agent between the programs on a node and the host's endpoints.

    .. code-block:: python

        SecuritySpec(proxy_agent=ProxyAgentSpec(enabled=True))

    :param enabled: whether it is on.
    :param imds: the endpoint of instance metadata.
    :param wire_server: the endpoint of the guest agent.
    """

    enabled: bool = True
    imds: HostEndpointSpec | Mapping[str, Any] | None = None
    wire_server: HostEndpointSpec | Mapping[str, Any] | None = None

    REST: ClassVar[Mapping[str, str]] = {"enabled": "enabled", "imds": "imds", "wire_server": "wireServer"}
    PARTS: ClassVar[Mapping[str, tuple[type[Spec], ...]]] = {
        "imds": (HostEndpointSpec,),
        "wire_server": (HostEndpointSpec,),
    }


@dataclass(frozen=True)
class DiskEncryptionSpec(Spec):
    """
    Encryption of the nodes' disks.

    .. code-block:: python

        SecuritySpec(disk_encryption=DiskEncryptionSpec(targets=["temporarydisk"]))

    :param targets: ``temporarydisk``, ``osdisk`` or both. Some of Microsoft's pages say that Linux pools
        support ``temporarydisk`` only; ``key_url`` needs ``osdisk``.
    :param key_url: the versioned URL of a customer-managed key in Key Vault; ``None`` for the platform's key.
    :param key_identity: the ARM id of the pool's identity that reads the key.
    :param key_rotation: whether disks follow the key's newest version; ``None`` is the service's default,
        ``False``.
    """

    targets: Sequence[str] = ()
    key_url: str | None = None
    key_identity: str | None = None
    key_rotation: bool | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "targets": "targets",
        "key_url": "customerManagedKey.keyUrl",
        "key_identity": "customerManagedKey.identityReference.resourceId",
        "key_rotation": "customerManagedKey.rotationToLatestKeyVersionEnabled",
    }


@dataclass(frozen=True)
class SecuritySpec(Spec):
    """
    The security of a pool's nodes.

    .. code-block:: python

        SecuritySpec(kind="trustedLaunch", secure_boot=True, vtpm=True, encryption_at_host=True)

    :param kind: ``trustedLaunch``, which needs an image of generation 2, or ``confidentialvm``; ``None`` for
        neither.
    :param secure_boot: whether only signed programs may boot the node; needs a kind.
    :param vtpm: whether the node has a virtual TPM; needs a kind.
    :param encryption_at_host: whether all disks are encrypted on the host.
    :param proxy_agent: the metadata security protocol.
    :param disk_encryption: encryption of the disks.
    """

    kind: str | None = None
    secure_boot: bool | None = None
    vtpm: bool | None = None
    encryption_at_host: bool | None = None
    proxy_agent: ProxyAgentSpec | Mapping[str, Any] | None = None
    disk_encryption: DiskEncryptionSpec | Mapping[str, Any] | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "kind": f"{_SECURITY}.securityType",
        "secure_boot": f"{_SECURITY}.uefiSettings.secureBootEnabled",
        "vtpm": f"{_SECURITY}.uefiSettings.vTpmEnabled",
        "encryption_at_host": f"{_SECURITY}.encryptionAtHost",
        "proxy_agent": f"{_SECURITY}.proxyAgentSettings",
        "disk_encryption": _ENCRYPTION,
    }
    PARTS: ClassVar[Mapping[str, tuple[type[Spec], ...]]] = {
        "proxy_agent": (ProxyAgentSpec,),
        "disk_encryption": (DiskEncryptionSpec,),
    }
