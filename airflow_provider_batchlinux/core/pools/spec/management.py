"""Convert the body of a pool from the data plane to the management plane."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# Source of names and spellings: the models of azure-mgmt-batch 19, API version 2025-06-01.
_RENAMED: Mapping[tuple[str, str], str] = {
    ("", "applicationPackageReferences"): "applicationPackages",
    ("applicationPackageReferences", "applicationId"): "id",
    ("cifsMountConfiguration", "username"): "userName",
    ("endpointConfiguration", "inboundNATPools"): "inboundNatPools",
    ("imageReference", "virtualMachineImageId"): "id",
    ("networkConfiguration", "dynamicVNetAssignmentScope"): "dynamicVnetAssignmentScope",
    ("userIdentity", "username"): "userName",
    ("virtualMachineConfiguration", "nodeAgentSKUId"): "nodeAgentSkuId",
}
_SPELLINGS: Mapping[tuple[str, str], Sequence[str]] = {
    ("autoUser", "elevationLevel"): ("NonAdmin", "Admin"),
    ("autoUser", "scope"): ("Task", "Pool"),
    ("containerConfiguration", "type"): ("DockerCompatible", "CriCompatible"),
    ("containerSettings", "workingDirectory"): ("TaskWorkingDirectory", "ContainerImageDefault"),
    ("dataDisks", "caching"): ("None", "ReadOnly", "ReadWrite"),
    ("diskEncryptionConfiguration", "targets"): ("OsDisk", "TemporaryDisk"),
    ("ephemeralOSDiskSettings", "placement"): ("CacheDisk",),
    ("inboundNATPools", "protocol"): ("TCP", "UDP"),
    ("managedDisk", "storageAccountType"): ("Standard_LRS", "Premium_LRS", "StandardSSD_LRS"),
    ("networkSecurityGroupRules", "access"): ("Allow", "Deny"),
    ("nodePlacementConfiguration", "policy"): ("Regional", "Zonal"),
    ("osDisk", "caching"): ("None", "ReadOnly", "ReadWrite"),
    ("publicIPAddressConfiguration", "provision"): ("BatchManaged", "UserManaged", "NoPublicIPAddresses"),
    ("securityProfile", "securityType"): ("trustedLaunch", "confidentialVM"),
    ("taskSchedulingPolicy", "jobDefaultOrder"): ("None", "CreationTime"),
    ("taskSchedulingPolicy", "nodeFillType"): ("Spread", "Pack"),
    ("userAccounts", "elevationLevel"): ("NonAdmin", "Admin"),
}
"""Values that differ only in letter case from those of the data plane, by parent and name."""

_FREE_FORM = ("settings", "protectedSettings")
_FIXED_SCALE = ("targetDedicatedNodes", "targetLowPriorityNodes", "resizeTimeout")
_AUTO_SCALE = {"autoScaleFormula": "formula", "autoScaleEvaluationInterval": "evaluationInterval"}
_MOVED = frozenset(
    {
        "id",
        "enableAutoScale",
        "enableInterNodeCommunication",
        "virtualMachineConfiguration",
        *_FIXED_SCALE,
        *_AUTO_SCALE,
    }
)
_IDENTITY = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.ManagedIdentity"
    r"/userAssignedIdentities/[^/]+",
    re.IGNORECASE,
)
# Source: learn.microsoft.com/azure/azure-resource-manager/management/tag-resources
_MOST_TAGS, _LONGEST_TAG_NAME, _LONGEST_TAG_VALUE = 50, 512, 256
_NOT_IN_TAG_NAMES = frozenset("<>%&\\?/")


def management_body(
    body: Mapping[str, Any], *, identities: Sequence[str] = (), tags: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """
    Return the body of a pool for the management plane (2025-06-01).

    :param body: the body for the data plane. Its ``id`` is part of the URL here.
    :param identities: ARM ids of managed identities of the nodes; empty for none.
    :param tags: Azure tags of the resource; ``None`` for none.
    """
    kept = {name: value for name, value in body.items() if name not in _MOVED}
    properties = _translated(kept, "")
    properties["vmSize"] = body["vmSize"]
    machine = _translated(body["virtualMachineConfiguration"], "virtualMachineConfiguration")
    properties["deploymentConfiguration"] = {"virtualMachineConfiguration": machine}
    properties["scaleSettings"] = _scale(body)
    if "enableInterNodeCommunication" in body:
        is_enabled = body["enableInterNodeCommunication"]
        properties["interNodeCommunication"] = "Enabled" if is_enabled else "Disabled"
    whole: dict[str, Any] = {"properties": properties}
    if identities:
        whole["identity"] = pool_identity(identities)
    if tags:
        whole["tags"] = dict(tags)
    return whole


def pool_identity(identities: Sequence[str]) -> dict[str, Any]:
    """
    Return the identities of a pool in the form of the management plane.

    :param identities: their ARM ids; empty for none.
    """
    if not identities:
        return {"type": "None"}
    return {"type": "UserAssigned", "userAssignedIdentities": {name: {} for name in identities}}


def identity_problems(identities: object) -> list[str]:
    """List what is wrong with ARM ids of managed identities."""
    if isinstance(identities, str) or not isinstance(identities, Sequence):
        return [f"identities={identities!r} is not a list of ARM ids."]
    form = "/subscriptions/.../providers/Microsoft.ManagedIdentity/userAssignedIdentities/NAME"
    return [
        f"identities[{position}]={name!r} is not the ARM id of a user-assigned identity, {form}."
        for position, name in enumerate(identities)
        if not (isinstance(name, str) and _IDENTITY.fullmatch(name))
    ]


def tag_problems(tags: object) -> list[str]:
    """List what is wrong with the tags of a resource."""
    if not isinstance(tags, Mapping):
        return [f"tags={tags!r} is not a mapping of names to values."]
    found = []
    if len(tags) > _MOST_TAGS:
        found.append(f"tags has {len(tags)} names; a resource has at most {_MOST_TAGS}.")
    for name, value in tags.items():
        if not 1 <= len(str(name)) <= _LONGEST_TAG_NAME or _NOT_IN_TAG_NAMES & set(str(name)):
            allowed = f"1 to {_LONGEST_TAG_NAME} characters without < > % & \\ ? /"
            found.append(f"tags name {name!r} is not {allowed}.")
        if len(str(value)) > _LONGEST_TAG_VALUE:
            found.append(f"tags[{name!r}] is longer than {_LONGEST_TAG_VALUE} characters.")
    return found


def _translated(value: Any, parent: str) -> Any:
    if isinstance(value, Mapping):
        return {
            _RENAMED.get((parent, name), name): inner if name in _FREE_FORM else _spelled(inner, parent, name)
            for name, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_translated(entry, parent) for entry in value]
    return value


def _spelled(value: Any, parent: str, name: str) -> Any:
    known = {text.lower(): text for text in _SPELLINGS.get((parent, name), ())}
    if known and isinstance(value, (list, tuple)):
        return [known.get(str(entry).lower(), entry) for entry in value]
    if known:
        return known.get(str(value).lower(), value)
    return _translated(value, name)


def _scale(body: Mapping[str, Any]) -> dict[str, Any]:
    if body.get("enableAutoScale"):
        return {"autoScale": {new: body[old] for old, new in _AUTO_SCALE.items() if old in body}}
    return {"fixedScale": {name: body[name] for name in _FIXED_SCALE if name in body}}
