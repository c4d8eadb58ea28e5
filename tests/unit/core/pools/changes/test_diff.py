"""How an existing pool is compared with the requested one."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.pool_metadata import PoolMarks, with_marks
from airflow_provider_batchlinux.core.pools.changes.diff import describe_drift, drift, not_compared
from airflow_provider_batchlinux.core.pools.changes.meaning import meaning_of
from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
from tests.tables import each_of
from tests.unit.core.pools.spec.properties import PROPERTIES

DEFAULTS = {
    "resizeTimeout": "PT15M",
    "enableAutoScale": False,
    "enableInterNodeCommunication": False,
    "taskSlotsPerNode": 1,
    "taskSchedulingPolicy": {"nodeFillType": "Spread"},
    "targetDedicatedNodes": 0,
    "targetLowPriorityNodes": 0,
}
ANSWERED = {
    "state": "active",
    "allocationState": "steady",
    "currentDedicatedNodes": 0,
    "eTag": "0x1",
    "url": "https://x",
    **DEFAULTS,
}
SECRETS = ("password", "accountKey", "sasKey", "sshPrivateKey", "protectedSettings")


def asked(**options: Any) -> dict[str, Any]:
    spec = PoolSpec(**{"pool_id": "etl", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5", **options})
    return with_marks(spec.to_rest(), PoolMarks({"dag_id": "d"}, spec.fingerprint()))


def without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_secrets(item) for name, item in value.items() if name not in SECRETS}
    return [without_secrets(item) for item in value] if isinstance(value, list) else value


def answered(body: dict[str, Any]) -> dict[str, Any]:
    """Give a pool as the service shows it."""
    shown = {**ANSWERED, **without_secrets(copy.deepcopy(body))}
    shown["vmSize"] = shown["vmSize"].lower()
    if "startTask" in shown:
        by_default = {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}}
        shown["startTask"] = {"maxTaskRetryCount": 0, "userIdentity": by_default, **shown["startTask"]}
    return shown


each_place = each_of({place: (place, options) for place, options, _ in PROPERTIES})


@each_place
def test_a_pool_does_not_differ_from_what_made_it(place: str, options: dict[str, Any]) -> None:
    body = asked(**options)

    assert drift(body, answered(body)) == []


@each_place
def test_what_is_asked_for_besides_is_named(place: str, options: dict[str, Any]) -> None:
    body, plain = asked(**options), asked()
    names = {item.property_name for item in drift(body, answered(plain))}

    is_default = meaning_of(answered(body)) == meaning_of(answered(plain))
    top = place.split(".")[0]
    assert top in names or top == "id" or is_default or place.split(".")[-1] in SECRETS


@each_place
def test_no_secret_is_told(place: str, options: dict[str, Any]) -> None:
    text = describe_drift(drift(asked(**options), answered(asked())))

    assert not any(secret in text for secret in ("p4ss", "a2V5", "sig=x", "k3y", "s3cret"))


def test_each_difference_names_both_sides() -> None:
    wanted = asked(vm_size="standard_d4s_v5", dedicated_nodes=2, metadata={"team": "etl"})
    found = answered(asked(dedicated_nodes=1, display_name="Old"))

    assert [str(item) for item in drift(wanted, found)] == [
        "vmSize: wanted 'standard_d4s_v5', found 'standard_d2s_v5'",
        "targetDedicatedNodes: wanted 2, found 1",
        "metadata['team'].name: wanted 'team', found nothing",
        "metadata['team'].value: wanted 'etl', found nothing",
        "displayName: wanted nothing, found 'Old'",
    ]


def test_a_variable_of_the_start_task_differs_without_its_value() -> None:
    wanted = asked(start_task={"command": "true", "environment": {"TOKEN": "new-secret"}})
    found = answered(asked(start_task={"command": "true", "environment": {"TOKEN": "old-secret"}}))

    (difference,) = drift(wanted, found)
    assert "environmentSettings['TOKEN'].value" in str(difference)
    assert "secret" in str(difference)
    assert "-secret" not in str(difference)


def test_the_numbers_of_nodes_do_not_count_while_a_formula_decides() -> None:
    wanted = asked(autoscale={"formula": "$TargetDedicatedNodes = 1;"})

    assert drift(wanted, {**answered(wanted), "targetDedicatedNodes": 7}) == []


def test_a_fixed_number_differs_from_a_formula() -> None:
    found = answered(asked(autoscale={"formula": "$TargetDedicatedNodes = 1;"}))

    names = [item.name for item in drift(asked(dedicated_nodes=1), {**found, "targetDedicatedNodes": 1})]
    assert names == ["enableAutoScale", "autoScaleFormula"]


def test_durations_are_compared_as_spans() -> None:
    assert drift(asked(resize_timeout=1800), {**answered(asked()), "resizeTimeout": "PT30M"}) == []


def test_what_the_service_does_not_return_is_named_and_no_difference() -> None:
    wanted = asked(
        user_accounts=[{"name": "etl", "password": "p4ss"}],
        software={
            "extensions": [{"name": "x", "publisher": "p", "type": "t", "protected_settings": {"a": 1}}]
        },
    )

    assert drift(wanted, answered(wanted)) == []
    assert not_compared(wanted, answered(wanted)) == [
        "virtualMachineConfiguration.extensions['x'].protectedSettings",
        "userAccounts['etl'].password",
    ]


def test_a_missing_file_is_a_difference_although_its_url_may_be_a_secret() -> None:
    files = [{"container_url": "https://a.blob.core.windows.net/c?sig=x"}]
    wanted, plain = (asked(start_task={"command": "true", "resource_files": each}) for each in (files, []))

    assert [item.name for item in drift(wanted, answered(plain))] == [
        "startTask.resourceFiles[0].storageContainerUrl"
    ]


@given(
    st.permutations([{"name": "a", "value": "1"}, {"name": "b", "value": "2"}, {"name": "c", "value": "3"}])
)
def test_the_order_of_named_entries_is_no_difference(metadata: list[dict[str, str]]) -> None:
    wanted = asked(metadata={"a": "1", "b": "2", "c": "3"})

    assert drift(wanted, {**answered(wanted), "metadata": metadata}) == []


def identity(*names: str) -> dict[str, Any]:
    entries = [{"resourceId": name, "clientId": "c"} for name in names]
    return {"identity": {"type": "UserAssigned", "userAssignedIdentities": entries}}


def test_identities_are_compared_as_a_set_in_whatever_letter_case() -> None:
    wanted, found = {**asked(), **identity("/A", "/b")}, {**asked(), **ANSWERED, **identity("/B", "/a")}

    assert drift(wanted, found) == []
    assert [item.name for item in drift(asked(), found)] == ["identity.userAssignedIdentities"]
    assert [item.name for item in drift(wanted, asked())] == ["identity.userAssignedIdentities"]


def test_of_the_tags_only_those_that_are_asked_for_count() -> None:
    wanted, found = {**asked(), "tags": {"team": "etl"}}, {**asked(), "tags": {"team": "ml", "policy": "x"}}

    assert describe_drift(drift(wanted, found)) == "  tags.team: wanted 'etl', found 'ml'"
    assert drift(asked(), found) == []
