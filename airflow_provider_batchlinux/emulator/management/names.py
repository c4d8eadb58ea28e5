"""Converts the properties of pools between the management plane and the data plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, invalid_body

# Source: azure-mgmt-batch 19 beside azure-batch 15.1, both of API version 2025-06-01.
_DATA_NAMES: Mapping[tuple[str, str], str] = {
    ("applicationPackages", "id"): "applicationId",
    ("cifsMountConfiguration", "userName"): "username",
    ("endpointConfiguration", "inboundNatPools"): "inboundNATPools",
    ("imageReference", "id"): "virtualMachineImageId",
    ("networkConfiguration", "dynamicVnetAssignmentScope"): "dynamicVNetAssignmentScope",
    ("properties", "applicationPackages"): "applicationPackageReferences",
    ("userIdentity", "userName"): "username",
    ("virtualMachineConfiguration", "nodeAgentSkuId"): "nodeAgentSKUId",
}
"""Names of properties that differ: (parent, management-plane name) to data-plane name."""

_MANAGEMENT_NAMES = {(parent, name): data_name for (parent, data_name), name in _DATA_NAMES.items()}
_MANAGEMENT_TOP_NAMES = {
    "applicationPackageReferences": "applicationPackages",
    "inboundNATPools": "inboundNatPools",
}
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
"""Data-plane properties that are elsewhere in the management plane."""
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
    Return the properties of a pool in the form of the data plane.

    :raises ServiceError: a property has a data-plane name, or an unknown name.
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
    """Return a pool of the data plane in the form of the management plane."""
    shown = {name: pool[name] for name in _SHOWN_AS_THEY_ARE if name in pool}
    for name in _SHOWN:
        if name in pool:
            shown[_MANAGEMENT_TOP_NAMES.get(name, name)] = _shown(
                pool[name], _MANAGEMENT_TOP_NAMES.get(name, name)
            )
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
        if (parent, name) in _MANAGEMENT_NAMES:
            raise _unknown(name)
    return {
        _DATA_NAMES.get((parent, name), name): inner if _is_free(name) else _read(inner, name)
        for name, inner in value.items()
    }


def _shown(value: Any, parent: str) -> Any:
    if isinstance(value, list):
        return [_shown(entry, parent) for entry in value]
    if not isinstance(value, Mapping):
        return value
    return {
        _MANAGEMENT_NAMES.get((parent, name), name): inner if _is_free(name) else _shown_value(inner, name)
        for name, inner in value.items()
    }


def _shown_value(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return {text.lower(): text for text in _VALUES.get(name, ())}.get(value.lower(), value)
    return _shown(value, _MANAGEMENT_TOP_NAMES.get(name, name))


def _scale(settings: Mapping[str, Any]) -> dict[str, Any]:
    if settings.get("autoScale"):
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
    # Assumed: unknown names are answered as in the data plane.
    return invalid_body(reason=f"Could not find member '{name}' on the pool's properties.")
