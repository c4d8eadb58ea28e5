"""How the management plane writes a pool, and how the data plane does; knows no request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, invalid_body

# Source: azure-mgmt-batch 19 beside azure-batch 15.1, both of API version 2025-06-01.
_NAMES: Mapping[tuple[str, str], str] = {
    ("applicationPackages", "id"): "applicationId",
    ("cifsMountConfiguration", "userName"): "username",
    ("endpointConfiguration", "inboundNatPools"): "inboundNATPools",
    ("imageReference", "id"): "virtualMachineImageId",
    ("networkConfiguration", "dynamicVnetAssignmentScope"): "dynamicVNetAssignmentScope",
    ("properties", "applicationPackages"): "applicationPackageReferences",
    ("userIdentity", "userName"): "username",
    ("virtualMachineConfiguration", "nodeAgentSkuId"): "nodeAgentSKUId",
}
"""The data plane's name for a property, by its parent and name in the management plane, where they differ."""

_OURS = {(parent, name): theirs for (parent, theirs), name in _NAMES.items()}
_OURS_TOP = {"applicationPackageReferences": "applicationPackages", "inboundNATPools": "inboundNatPools"}
_VALUES: Mapping[str, Sequence[str]] = {
    "access": ("Allow", "Deny"),
    "caching": ("None", "ReadOnly", "ReadWrite"),
    "elevationLevel": ("NonAdmin", "Admin"),
    "jobDefaultOrder": ("None", "CreationTime"),
    "nodeFillType": ("Spread", "Pack"),
    "policy": ("Regional", "Zonal"),
    "protocol": ("TCP", "UDP"),
    "provision": ("BatchManaged", "UserManaged", "NoPublicIPAddresses"),
    "scope": ("Task", "Pool"),
}
_AUTO_SCALE = {"formula": "autoScaleFormula", "evaluationInterval": "autoScaleEvaluationInterval"}
_FIXED_SCALE = ("targetDedicatedNodes", "targetLowPriorityNodes", "resizeTimeout")
_ELSEWHERE = frozenset(
    {"id", "virtualMachineConfiguration", "enableInterNodeCommunication", "enableAutoScale"}
    | {*_AUTO_SCALE.values(), *_FIXED_SCALE}
)
"""Properties of the data plane that have another place here."""
_SHOWN_AS_THEY_ARE = (
    "displayName",
    "vmSize",
    "currentDedicatedNodes",
    "currentLowPriorityNodes",
    "creationTime",
    "lastModified",
    "taskSlotsPerNode",
)
_SHOWN = (
    "networkConfiguration",
    "taskSchedulingPolicy",
    "userAccounts",
    "metadata",
    "startTask",
    "applicationPackageReferences",
    "mountConfiguration",
    "upgradePolicy",
)


def data_plane_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """
    Write the properties of a pool as the data plane takes them.

    :raises ServiceError: a property has the data plane's name, or there is none of that name.
    """
    for name in sorted(_ELSEWHERE & set(properties)):
        raise _unknown(name)
    moved = ("deploymentConfiguration", "scaleSettings", "interNodeCommunication")
    body: dict[str, Any] = _read(
        {name: value for name, value in properties.items() if name not in moved}, "properties"
    )
    deployment = dict(properties.get("deploymentConfiguration") or {})
    if "virtualMachineConfiguration" in deployment:
        machine = deployment.pop("virtualMachineConfiguration")
        body["virtualMachineConfiguration"] = _read(machine, "virtualMachineConfiguration")
    body |= deployment
    if "interNodeCommunication" in properties:
        is_enabled = str(properties["interNodeCommunication"]).lower() == "enabled"
        body["enableInterNodeCommunication"] = is_enabled
    return {**body, **_scale(properties.get("scaleSettings") or {})}


def management_properties(pool: Mapping[str, Any]) -> dict[str, Any]:
    """Write a pool that the data plane shows as the properties that the management plane shows."""
    shown = {name: pool[name] for name in _SHOWN_AS_THEY_ARE if name in pool}
    for name in _SHOWN:
        if name in pool:
            shown[_OURS_TOP.get(name, name)] = _shown(pool[name], _OURS_TOP.get(name, name))
    machine = _shown(pool["virtualMachineConfiguration"], "virtualMachineConfiguration")
    is_open = pool.get("enableInterNodeCommunication")
    return {
        **shown,
        "provisioningState": "Deleting" if pool["state"] == "deleting" else "Succeeded",
        "provisioningStateTransitionTime": pool["stateTransitionTime"],
        "allocationState": pool["allocationState"].capitalize(),
        "allocationStateTransitionTime": pool["allocationStateTransitionTime"],
        "deploymentConfiguration": {"virtualMachineConfiguration": machine},
        "interNodeCommunication": "Enabled" if is_open else "Disabled",
        "scaleSettings": _shown_scale(pool),
    }


def _read(value: Any, parent: str) -> Any:
    if isinstance(value, list):
        return [_read(entry, parent) for entry in value]
    if not isinstance(value, dict):
        return value
    for name in value:
        if (parent, name) in _OURS:
            raise _unknown(name)
    return {
        _NAMES.get((parent, name), name): inner if _is_free(name) else _read(inner, name)
        for name, inner in value.items()
    }


def _shown(value: Any, parent: str) -> Any:
    if isinstance(value, list):
        return [_shown(entry, parent) for entry in value]
    if not isinstance(value, Mapping):
        return value
    return {
        _OURS.get((parent, name), name): inner if _is_free(name) else _shown_value(inner, name)
        for name, inner in value.items()
    }


def _shown_value(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return {text.lower(): text for text in _VALUES.get(name, ())}.get(value.lower(), value)
    return _shown(value, _OURS_TOP.get(name, name))


def _scale(settings: Mapping[str, Any]) -> dict[str, Any]:
    if "autoScale" in settings:
        given = settings["autoScale"]
        return {
            "enableAutoScale": True,
            **{new: given[old] for old, new in _AUTO_SCALE.items() if old in given},
        }
    return dict(settings.get("fixedScale") or {})


def _shown_scale(pool: Mapping[str, Any]) -> dict[str, Any]:
    if pool.get("enableAutoScale"):
        return {"autoScale": {old: pool[new] for old, new in _AUTO_SCALE.items() if new in pool}}
    return {"fixedScale": {name: pool[name] for name in _FIXED_SCALE if name in pool}}


def _is_free(name: str) -> bool:
    return name in ("settings", "protectedSettings")


def _unknown(name: str) -> ServiceError:
    # How the management plane answers unknown names is not documented; assumed as the data plane does.
    return invalid_body(reason=f"Could not find member '{name}' on the pool's properties.")
