"""Validation and defaults of pools."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

from airflow_provider_batchlinux.emulator.autoscale.settings import settings_of_new_pool
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, missing_property, refused
from airflow_provider_batchlinux.emulator.protocol.instants import parse_duration
from airflow_provider_batchlinux.emulator.rules.caller import Caller
from airflow_provider_batchlinux.emulator.rules.images import has_capability, image_of
from airflow_provider_batchlinux.emulator.rules.mounts import check_mounts
from airflow_provider_batchlinux.emulator.rules.networks import check_network
from airflow_provider_batchlinux.emulator.rules.own_images import check_own_image
from airflow_provider_batchlinux.emulator.rules.packages import check_packages
from airflow_provider_batchlinux.emulator.rules.storage import (
    check_registry,
    check_task_files,
    with_working_directory,
)
from airflow_provider_batchlinux.emulator.rules.vm_sizes import cores_of, is_vm_size

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAT_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,75}[A-Za-z0-9_])?")
_NO_ENTRY = "A pool without public IP addresses has no endpoints."
# Documented for resizeTimeout: five minutes.
_SHORTEST_RESIZE = 300.0
# Documented as reserved.
_RESERVED_BACKEND = frozenset({29876, 29877})
# The service keeps these for itself (documented).
_RESERVED_FRONTEND = range(50000, 55001)
_LEAST_FRONTEND_PORTS = 40

Spec = Mapping[str, Any]


def check_id(resource_id: str) -> None:
    """Raise an error for an id that is not 1 to 64 letters, digits, hyphens and underscores."""
    if _ID.fullmatch(resource_id) is None:
        raise refused(resource_id, of="id")


def complete_pool(body: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """
    Return the description of a pool with defaults.

    :raises ServiceError: the first invalid value.
    """
    check_id(body["id"])
    if "cloudServiceConfiguration" in body:
        raise ServiceError(Code.CLOUD_SERVICE_CONFIGURATION_RETIRED)
    check_pool_properties(body, caller)
    if "virtualMachineConfiguration" not in body:
        raise missing_property(name="virtualMachineConfiguration")
    _check_slots(body.get("taskSlotsPerNode", 1), body["vmSize"])
    scaling = settings_of_new_pool(body)
    return {
        "resizeTimeout": "PT15M",
        "enableInterNodeCommunication": False,
        "taskSlotsPerNode": 1,
        **complete_pool_properties({"taskSchedulingPolicy": {}, **body}),
        **scaling,
    }


def check_pool_properties(body: Spec, caller: Caller) -> None:
    """Raise an error for an invalid value in some properties of a pool."""
    if not is_vm_size(body.get("vmSize", "standard_d1")):
        raise refused(body["vmSize"], of="vmSize")
    check_targets(body)
    if "virtualMachineConfiguration" in body:
        _check_image(body["virtualMachineConfiguration"], caller)
    check_mounts(body.get("mountConfiguration", ()))
    check_task_files(body.get("startTask", {}))
    if body.get("startTask", {}).get("maxTaskRetryCount", 0) < -1:
        count = body["startTask"]["maxTaskRetryCount"]
        raise refused(count, of="maxTaskRetryCount")
    network = body.get("networkConfiguration", {})
    check_network(network, caller)
    _check_endpoints(network)
    check_packages(body.get("applicationPackageReferences", ()), caller.store, caller.place)
    machine = body.get("virtualMachineConfiguration", {})
    for registry in machine.get("containerConfiguration", {}).get("containerRegistries", ()):
        check_registry(registry)


def complete_pool_properties(body: Spec) -> dict[str, Any]:
    """Return properties of a pool in the form of an answer."""
    completed = dict(body)
    if "vmSize" in body:
        completed["vmSize"] = body["vmSize"].lower()
    if "startTask" in body:
        completed["startTask"] = {
            "maxTaskRetryCount": 0,
            "waitForSuccess": True,
            "userIdentity": {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}},
            **with_working_directory(body["startTask"]),
        }
    if "taskSchedulingPolicy" in body:
        policy = {"nodeFillType": "Spread", "jobDefaultOrder": "none"}
        completed["taskSchedulingPolicy"] = {**policy, **body["taskSchedulingPolicy"]}
    if "userAccounts" in body:
        accounts = [{"elevationLevel": "nonadmin", **account} for account in body["userAccounts"]]
        completed["userAccounts"] = accounts
    if "virtualMachineConfiguration" in body:
        completed["virtualMachineConfiguration"] = _complete_machine(body["virtualMachineConfiguration"])
    if "networkConfiguration" in body:
        completed["networkConfiguration"] = _complete_network(body["networkConfiguration"])
    return completed


def _complete_machine(machine: Spec) -> dict[str, Any]:
    completed = dict(machine)
    if "publisher" in machine["imageReference"]:
        completed["imageReference"] = {"version": "latest", **machine["imageReference"]}
    if "osDisk" in machine:
        disk = machine["osDisk"]
        managed = {"storageAccountType": "standard_lrs", **disk.get("managedDisk", {})}
        completed["osDisk"] = {
            "ephemeralOSDiskSettings": {},
            "caching": "None",
            **disk,
            "managedDisk": managed,
        }
    if "dataDisks" in machine:
        completed["dataDisks"] = [_complete_data_disk(disk) for disk in machine["dataDisks"]]
    return completed


def _complete_data_disk(disk: Spec) -> dict[str, Any]:
    """Return a data disk under all versions: older ones have its kind in a place of their own."""
    managed = {
        "storageAccountType": disk.get("storageAccountType", "standard_lrs"),
        **disk.get("managedDisk", {}),
    }
    kind = managed["storageAccountType"]
    # Documented is readwrite, recorded is none.
    return {"caching": "none", **disk, "managedDisk": managed, "storageAccountType": kind}


def _complete_network(network: Spec) -> dict[str, Any]:
    completed = {"dynamicVNetAssignmentScope": "none", "enableAcceleratedNetworking": False, **network}
    if "publicIPAddressConfiguration" in network:
        addresses = {"provision": "BatchManaged", **network["publicIPAddressConfiguration"]}
        if "ipFamilies" in addresses:
            addresses["ipFamilies"] = sorted(addresses["ipFamilies"])
        completed["publicIPAddressConfiguration"] = addresses
    if "endpointConfiguration" in network:
        pools = [_complete_nat_pool(pool) for pool in network["endpointConfiguration"]["inboundNATPools"]]
        completed["endpointConfiguration"] = {**network["endpointConfiguration"], "inboundNATPools": pools}
    return completed


def _complete_nat_pool(pool: Spec) -> dict[str, Any]:
    if "networkSecurityGroupRules" not in pool:
        return dict(pool)
    rules = [{"sourcePortRanges": ["*"], **rule} for rule in pool["networkSecurityGroupRules"]]
    return {**pool, "networkSecurityGroupRules": rules}


def check_targets(body: Spec) -> None:
    """Raise an error for negative targets, and for a resize timeout under five minutes."""
    for name in ("targetDedicatedNodes", "targetLowPriorityNodes"):
        if body.get(name, 0) < 0:
            raise refused(body[name], of=name)
    if parse_duration(body.get("resizeTimeout", "PT15M")) < _SHORTEST_RESIZE:
        raise refused(body["resizeTimeout"], of="resizeTimeout")


def _check_slots(slots: int, vm_size: str) -> None:
    if not 1 <= slots <= min(4 * cores_of(vm_size), 256):
        raise refused(slots, of="taskSlotsPerNode")


def _check_image(machine: Spec, caller: Caller) -> None:
    reference = machine["imageReference"]
    if "virtualMachineImageId" in reference:
        check_own_image(reference["virtualMachineImageId"], machine, caller)
        return
    if "communityGalleryImageId" in reference or "sharedGalleryImageId" in reference:
        return
    image = image_of(reference)
    if image is None:
        raise _unsupported_image(reference)
    agent = image["nodeAgentSKUId"]
    if agent.lower() != machine["nodeAgentSKUId"].lower():
        # How the service words this is not recorded; assumed.
        reason = f"The specified image is run by the node agent SKU '{agent}'."
        raise refused(machine["nodeAgentSKUId"], of="nodeAgentSKUId", reason=reason)
    if "containerConfiguration" in machine and not has_capability(image, "DockerCompatible"):
        # In these words the service refuses it, as shown in Azure/doAzureParallel#369.
        raise refused(machine["containerConfiguration"]["type"], of="type")


def _unsupported_image(reference: Spec) -> ServiceError:
    names = (f"{name} {reference.get(name, '')}" for name in ("publisher", "offer", "sku"))
    reason = f"The specified imageReference with {' '.join(names)} is not supported."
    values = {"PropertyName": "imageReference", "Reason": reason}
    return ServiceError(Code.INVALID_PROPERTY_VALUE, values)


def _check_endpoints(network: Spec) -> None:
    public_ip = network.get("publicIPAddressConfiguration", {})
    endpoints = network.get("endpointConfiguration")
    if endpoints is None:
        return
    if str(public_ip.get("provision", "")).lower() == "nopublicipaddresses":
        raise refused(endpoints, of="endpointConfiguration", reason=_NO_ENTRY)
    for problem, value in _nat_problems(endpoints["inboundNATPools"]):
        raise refused(value, of="inboundNATPools", reason=problem)


def _nat_problems(pools: list[Spec]) -> Iterable[tuple[str, object]]:
    if len(pools) > 5:
        yield "There can be at most 5 NAT pools.", len(pools)
    for pool in pools:
        yield from _nat_pool_problems(pool)
    for one, other in combinations(pools, 2):
        if one["name"] == other["name"] or one["backendPort"] == other["backendPort"]:
            yield "Names and backend ports of NAT pools are unique.", one["name"]
        if set(_frontend(one)) & set(_frontend(other)):
            yield "The frontend port ranges of NAT pools cannot overlap.", one["name"]
    yield from _rule_problems(pools)


def _nat_pool_problems(pool: Spec) -> Iterable[tuple[str, object]]:
    name, backend, frontend = pool["name"], pool["backendPort"], _frontend(pool)
    if _NAT_NAME.fullmatch(name) is None:
        yield "This is not a valid name of a NAT pool.", name
    if not 1 <= backend <= 65535 or backend in _RESERVED_BACKEND:
        yield "This backend port is reserved or out of range.", backend
    if frontend.start < 1 or frontend.stop > 65535 or set(frontend) & set(_RESERVED_FRONTEND):
        yield "Frontend ports are 1 to 65534, without 50000 to 55000.", name
    if len(frontend) < _LEAST_FRONTEND_PORTS:
        yield f"A NAT pool has at least {_LEAST_FRONTEND_PORTS} frontend ports.", name


def _frontend(pool: Spec) -> range:
    return range(pool["frontendPortRangeStart"], pool["frontendPortRangeEnd"] + 1)


def _rule_problems(pools: list[Spec]) -> Iterable[tuple[str, object]]:
    rules = [pool.get("networkSecurityGroupRules", ()) for pool in pools]
    if sum(map(len, rules)) > 25:
        yield "There can be at most 25 network security group rules.", sum(map(len, rules))
    for of_pool in rules:
        priorities = [rule["priority"] for rule in of_pool]
        if len(set(priorities)) < len(priorities):
            yield "The priorities of a NAT pool's rules are unique.", priorities
        for priority in priorities:
            if not 150 <= priority <= 4096:
                yield "The priority of a rule is 150 to 4096.", priority
