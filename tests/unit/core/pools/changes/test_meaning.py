"""A fingerprint and a comparison are about what a pool means: no spelling changes them, each change does."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

import pytest

from airflow_provider_batchlinux.core.pools.changes.diff import drift
from airflow_provider_batchlinux.core.pools.changes.meaning import FINGERPRINT_VERSION, meaning_of
from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
from airflow_provider_batchlinux.core.pools.spec.raw import RawPool
from airflow_provider_batchlinux.core.pools.validation.schema import POOL, properties_of
from tests.tables import each_of
from tests.unit.core.pools.spec.properties import MACHINE, PROPERTIES

BASE: dict[str, Any] = {"pool_id": "etl", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5"}
each_place = each_of({place: (place, parameters) for place, parameters, _ in PROPERTIES})
# Lists whose entries have no key are compared in their order.
IN_ORDER = {"resourceFiles"}
CASELESS = {
    "vmSize",
    "subnetId",
    "applicationId",
    "resourceId",
    "ipAddressIds",
    "publisher",
    "registryServer",
}
DEFAULTS: dict[str, Any] = {
    "resizeTimeout": "PT900S",
    "enableAutoScale": "false",
    "taskSlotsPerNode": "1",
    "taskSchedulingPolicy": {"nodeFillType": "Spread", "jobDefaultOrder": "None"},
}
FILLED_IN: dict[str, dict[str, Any]] = {
    "DataDisk": {"caching": "None", "managedDisk": {"storageAccountType": "Standard_LRS"}},
    "BatchOsDisk": {"caching": "None", "ephemeralOSDiskSettings": {}},
    "NetworkConfiguration": {"dynamicVNetAssignmentScope": "None", "enableAcceleratedNetworking": False},
    "NetworkSecurityGroupRule": {"sourcePortRanges": ["*"]},
    "BatchPublicIpAddressConfiguration": {"provision": "BatchManaged", "ipFamilies": ["IPv4"]},
    "VMExtension": {"enableAutomaticUpgrade": False},
    "BatchTaskContainerSettings": {"workingDirectory": "taskWorkingDirectory"},
    "UserAccount": {"elevationLevel": "NonAdmin"},
    "BatchStartTask": {"maxTaskRetryCount": 0, "waitForSuccess": True},
}
"""What the recorded service adds to each model, where the request is silent."""


def raw(body: dict[str, Any]) -> RawPool:
    plain = copy.deepcopy(body)
    for name in ("imageReference", "nodeAgentSKUId"):
        plain[MACHINE].pop(name, None)
    return RawPool(plain, plain["id"], "ubuntu 24.04")


def body_of(parameters: dict[str, Any]) -> dict[str, Any]:
    return PoolSpec(**{**BASE, **parameters}).to_rest()


def respelled(chance: Random, model: str, value: Any, name: str = "") -> Any:
    """Write a part of a body in another way that means the same."""
    if isinstance(value, list):
        items = [respelled(chance, model, item, name) for item in value]
        return items if name in IN_ORDER else chance.sample(items, len(items))
    kinds = properties_of(model)
    if kinds is not None and isinstance(value, dict):
        given = {
            key: respelled(chance, kinds.get(key, "").strip("[]"), item, key) for key, item in value.items()
        }
        entries = list({**(FILLED_IN.get(model, {}) if chance.random() < 0.5 else {}), **given}.items())
        return dict(chance.sample(entries, len(entries)))
    if isinstance(value, (bool, int)):
        return chance.choice([value, str(value), str(value).lower()])
    if model == "duration":
        return chance.choice([value, value.lower()])
    if "|" in model or name in CASELESS:
        return chance.choice([value, value.lower(), value.upper()])
    return value


@each_place
def test_another_spelling_is_no_difference(place: str, parameters: dict[str, Any]) -> None:
    body = body_of(parameters)
    for seed in range(4):
        spelled = respelled(Random(f"{place} {seed}"), POOL, {**DEFAULTS, **body})

        assert raw(spelled).fingerprint() == raw(body).fingerprint()
        assert drift(body, spelled) == []
        assert drift(spelled, body) == []


@each_place
def test_parameters_and_the_body_that_they_make_are_the_same_pool(
    place: str, parameters: dict[str, Any]
) -> None:
    spec = PoolSpec(**{**BASE, **parameters})

    assert raw(spec.to_rest()).fingerprint() == spec.fingerprint()


def changed(body: dict[str, Any], place: str) -> dict[str, Any]:
    """Give a body with another value at one place."""
    other, kind = copy.deepcopy(body), POOL
    at: Any = other
    *way, last = (int(part) if part.isdigit() else part for part in place.split("."))
    for part in way:
        kind = kind if isinstance(part, int) else (properties_of(kind) or {})[part].strip("[]")
        at = at[part]
    kind = kind if isinstance(last, int) else (properties_of(kind) or {})[last].strip("[]")
    value = at[last]
    if "|" in kind:
        at[last] = next(choice for choice in [*kind.split("|"), "new"] if choice.lower() != value.lower())
    elif isinstance(value, (bool, int)):
        at[last] = not value if isinstance(value, bool) else value + 1
    elif isinstance(value, dict):
        at[last] = {**value, "more": 1}
    else:
        at[last] = f"PT1H{value[2:]}" if kind == "duration" else f"{value}1"
    return other


@each_place
def test_another_value_is_another_pool(place: str, parameters: dict[str, Any]) -> None:
    body = body_of(parameters)
    other = changed(body, place)
    # The priority of a rule alone means nothing, and a change of the id makes no difference to compare.
    is_meant = not place.endswith(".priority")

    assert (raw(other).fingerprint() != raw(body).fingerprint()) is is_meant
    assert bool(drift(other, body)) is (is_meant and place != "id")


@each_place
def test_a_wrong_value_has_a_fingerprint_too(place: str, parameters: dict[str, Any]) -> None:
    # It may be part of the pool's id before all problems of the request are reported.
    body = body_of(parameters)
    at: Any = body
    *way, last = (int(part) if part.isdigit() else part for part in place.split("."))
    for part in way:
        at = at[part]

    for value in ("x", 7, 1.5, True, [], ["x"], {}, {"x": 1}, None):
        at[last] = value
        assert raw(body).fingerprint().startswith(FINGERPRINT_VERSION)


@pytest.mark.parametrize("machine", [None, "x", [], {"imageReference": 7}])
def test_a_body_without_a_machine_has_a_fingerprint_too(machine: object) -> None:
    pool = RawPool({"vmSize": 7, "virtualMachineConfiguration": machine}, "etl")

    assert pool.fingerprint().startswith(FINGERPRINT_VERSION)


def test_the_order_of_rules_counts_where_they_exclude_each_other() -> None:
    def rules(*each: tuple[int, str, str]) -> dict[str, Any]:
        nat = {"name": "ui", "port": 80, "first_frontend_port": 30_000, "last_frontend_port": 30_099}
        given = [{"priority": number, "access": access, "source": source} for number, access, source in each]
        return body_of({"network": {"endpoints": [{**nat, "rules": given}]}})

    allowed = rules((150, "allow", "10.0.0.0/8"), (160, "allow", "192.0.2.1"), (170, "deny", "*"))
    turned = rules((200, "deny", "*"), (151, "allow", "10.1.0.0/8"), (150, "allow", "192.0.2.1/32"))
    denied = rules((150, "deny", "*"), (160, "allow", "10.0.0.0/8"), (170, "allow", "192.0.2.1"))

    assert meaning_of(allowed) == meaning_of(turned)
    assert drift(allowed, denied) != []


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"vm_size": "Standard_D2s_v5"}, id="letters of the size"),
        pytest.param({"vm_size": ["standard_d2s_v5"]}, id="a list of one size"),
        pytest.param({"pool_id": "ETL"}, id="letters of the id"),
        pytest.param({"image": "Ubuntu-2404 LTS"}, id="words of the image"),
        pytest.param({"image": "ubuntu noble"}, id="the code name of the image"),
        pytest.param({"metadata": {"b": 2, "a": 1}}, id="numbers in metadata"),
        pytest.param({"metadata": {"a": "1", "b": "2", "c": None}}, id="metadata without a value"),
        pytest.param({"dedicated_nodes": "2"}, id="a number as text"),
        pytest.param({"ssh_from": ["192.0.2.1/32", "10.0.0.0/8"]}, id="networks"),
        pytest.param({"tags": {"TEAM": 1}}, id="tags"),
        pytest.param({"resize_timeout": 900}, id="the default time-out"),
        pytest.param({"scheduling": {"fill": "Spread"}}, id="the default distribution of tasks"),
        pytest.param({"security": {"encryption_at_host": False}}, id="what is off by default"),
    ],
)
def test_parameters_in_another_spelling_are_the_same_pool(other: dict[str, Any]) -> None:
    given: dict[str, Any] = {
        **BASE,
        "metadata": {"a": "1", "b": "2"},
        "dedicated_nodes": 2,
        "ssh_from": ["10.0.0.0/8", "192.0.2.1"],
        "tags": {"team": "1"},
    }

    assert PoolSpec(**{**given, **other}).fingerprint() == PoolSpec(**given).fingerprint()


@pytest.mark.parametrize(
    ("some", "same", "other"),
    [
        pytest.param("ubuntu 22.04", "ubuntu jammy server", "ubuntu 22.04 gen1", id="a distribution"),
        pytest.param(
            "Canonical:ubuntu-24_04-lts:Server",
            {"publisher": "canonical", "offer": "ubuntu-24_04-LTS", "sku": "server", "version": "Latest"},
            "canonical:ubuntu-24_04-lts:server:1.0.0",
            id="marketplace names",
        ),
        pytest.param(
            {"id": "/subscriptions/S/images/i", "node_agent_sku": "batch.node.ubuntu 24.04"},
            {
                "virtualMachineImageId": "/Subscriptions/s/Images/i",
                "nodeAgentSKUId": "Batch.Node.Ubuntu 24.04",
            },
            {"id": "/subscriptions/s/images/i", "node_agent_sku": "batch.node.ubuntu 22.04"},
            id="the id of an image",
        ),
    ],
)
def test_an_image_is_known_in_each_of_its_names(some: Any, same: Any, other: Any) -> None:
    first, second, third = (
        PoolSpec(**{**BASE, "image": image}).fingerprint() for image in (some, same, other)
    )

    assert first == second != third
    assert first.startswith(FINGERPRINT_VERSION)
