"""What the service adds to a pool, and how it spells it, as recorded: none of it is a difference."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.parameters.spec import merge
from airflow_provider_batchlinux.core.pools.changes.diff import drift
from airflow_provider_batchlinux.core.pools.changes.meaning import meaning_of, pool_fingerprint

Part = dict[str, Any]


def machine(**parts: Any) -> Part:
    return {"virtualMachineConfiguration": parts}


def rule(**more: Any) -> Part:
    rules = [{"priority": 150, "access": "allow", "sourceAddressPrefix": "203.0.113.0/24", **more}]
    nat = {"name": "ssh", "protocol": "tcp", "backendPort": 22, "networkSecurityGroupRules": rules}
    return {"networkConfiguration": {"endpointConfiguration": {"inboundNATPools": [nat]}}}


def disk(**more: Any) -> Part:
    return machine(dataDisks=[{"lun": 0, "diskSizeGB": 32, **more}])


def account(**more: Any) -> Part:
    return {"userAccounts": [{"name": "ann", **more}]}


def extension(**more: Any) -> Part:
    return machine(extensions=[{"name": "e", "publisher": "p", "type": "t", **more}])


def start_task(**container: Any) -> Part:
    return {"startTask": {"commandLine": "true", "containerSettings": {"imageName": "i", **container}}}


def managed(kind: str) -> Part:
    return {"managedDisk": {"storageAccountType": kind}}


OS_DISK = {"caching": "None", **managed("standard_lrs"), "ephemeralOSDiskSettings": {}}
NETWORK = {"dynamicVNetAssignmentScope": "none", "enableAcceleratedNetworking": False}
PUBLIC = {"provision": "BatchManaged", "ipFamilies": ["IPv4"]}

RECORDED: dict[str, tuple[Part, Part]] = {
    "a data disk": (disk(), disk(caching="none", **managed("standard_lrs"))),
    "a data disk of an older version": (disk(), disk(caching="none", storageAccountType="standard_lrs")),
    "a data disk by its kind": (
        disk(**managed("StandardSSD_LRS")),
        disk(caching="none", **managed("standardssd_lrs")),
    ),
    "a kind without underscore": (
        disk(**managed("premiumLRS")),
        disk(caching="none", **managed("premium_lrs")),
    ),
    "source ports of a rule": (rule(), rule(sourcePortRanges=["*"])),
    "an extension": (extension(), extension(enableAutomaticUpgrade=False)),
    "the directory of a container": (start_task(), start_task(workingDirectory="taskWorkingDirectory")),
    "caching of the OS disk": (
        machine(osDisk={"caching": "ReadWrite"}),
        machine(osDisk={**OS_DISK, "caching": "ReadWrite"}),
    ),
    "size of the OS disk": (
        machine(osDisk={"diskSizeGB": 64}),
        machine(osDisk={**OS_DISK, "diskSizeGB": 64}),
    ),
    "default kind of the OS disk": (machine(osDisk=managed("standardLRS")), machine(osDisk=OS_DISK)),
    "other kind of the OS disk": (
        machine(osDisk=managed("Premium_LRS")),
        machine(osDisk={**OS_DISK, **managed("premium_lrs")}),
    ),
    "scheduling": ({}, {"taskSchedulingPolicy": {"nodeFillType": "Spread", "jobDefaultOrder": "none"}}),
    "packed scheduling": (
        {"taskSchedulingPolicy": {"nodeFillType": "pack"}},
        {"taskSchedulingPolicy": {"nodeFillType": "Pack", "jobDefaultOrder": "none"}},
    ),
    "a network": (
        {"networkConfiguration": {"subnetId": "/subscriptions/S/x"}},
        {"networkConfiguration": {"subnetId": "/subscriptions/s/x", **NETWORK}},
    ),
    "public addresses": (
        {"networkConfiguration": {"publicIPAddressConfiguration": {}}},
        {"networkConfiguration": {"publicIPAddressConfiguration": PUBLIC, **NETWORK}},
    ),
    "families of addresses": (
        {"networkConfiguration": {"publicIPAddressConfiguration": {"ipFamilies": ["ipv6", "ipv4"]}}},
        {
            "networkConfiguration": {
                "publicIPAddressConfiguration": {**PUBLIC, "ipFamilies": ["IPv4", "IPv6"]}
            }
        },
    ),
    "placement": (
        machine(nodePlacementConfiguration={"policy": "zonal"}),
        machine(nodePlacementConfiguration={"policy": "Zonal"}),
    ),
    "regional placement": ({}, machine(nodePlacementConfiguration={"policy": "Regional"})),
    "security type": (
        machine(securityProfile={"securityType": "trustedLaunch"}),
        machine(securityProfile={"securityType": "trustedlaunch", "encryptionAtHost": False}),
    ),
    "a user": (account(password="p"), account(elevationLevel="nonadmin")),
    "version of the image": (
        machine(imageReference={"publisher": "canonical", "offer": "o", "sku": "s"}),
        machine(imageReference={"publisher": "Canonical", "offer": "o", "sku": "s", "version": "latest"}),
    ),
    "VM size": ({"vmSize": "Standard_D2s_v5"}, {"vmSize": "standard_d2s_v5"}),
    "numbers": (
        {},
        {
            "targetDedicatedNodes": 0,
            "targetLowPriorityNodes": 0,
            "resizeTimeout": "PT15M",
            "taskSlotsPerNode": 1,
        },
    ),
}
"""What is asked for, and what the service answers."""


def body(*parts: Part) -> Part:
    """Return a pool with all the parts."""
    made: Part = {"id": "etl"}
    for part in parts:
        merge(made, copy.deepcopy(part))
    return made


@pytest.mark.parametrize(("asked", "answered"), RECORDED.values(), ids=RECORDED)
def test_what_the_service_adds_is_no_difference_and_no_other_fingerprint(asked: Part, answered: Part) -> None:
    assert drift(body(asked), body(answered)) == []

    def fingerprint(part: Part) -> str:
        known = {place for place, leaf in meaning_of(body(part)).items() if leaf.is_unknown or leaf.is_secret}
        assert all(name[-1][0] in ("password", "storageAccountType") for name in known)
        return "" if known else pool_fingerprint(body(part), image=None, vm_size=None)

    first, second = fingerprint(asked), fingerprint(answered)
    assert first == second or "" in (first, second)


ALONE = ("disk", "packed", "regional", "public addresses")
"""Parts with another value where one of the others has one, too."""

TOGETHER = [pair for name, pair in RECORDED.items() if not any(word in name.lower() for word in ALONE)]


@given(st.permutations(TOGETHER), st.integers(1))
@settings(max_examples=10, deadline=None, phases=[Phase.generate])
def test_any_of_it_together_is_no_difference(pairs: list[tuple[Part, Part]], number: int) -> None:
    chosen = [*pairs[: number % len(pairs)], RECORDED["a data disk by its kind"]]

    assert drift(body(*(asked for asked, _ in chosen)), body(*(answer for _, answer in chosen))) == []


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (disk(caching="readwrite"), disk(caching="none")),
        (machine(osDisk=managed("premium_lrs")), machine(osDisk=OS_DISK)),
        (extension(enableAutomaticUpgrade=True), extension(enableAutomaticUpgrade=False)),
        (
            start_task(workingDirectory="containerImageDefault"),
            start_task(workingDirectory="taskWorkingDirectory"),
        ),
        (rule(sourcePortRanges=["1-9"]), rule(sourcePortRanges=["*"])),
        (account(elevationLevel="admin"), account(elevationLevel="nonadmin")),
    ],
)
def test_what_is_asked_for_instead_of_a_default_is_a_difference(asked: Part, answered: Part) -> None:
    assert len(drift(body(asked), body(answered))) == 1
