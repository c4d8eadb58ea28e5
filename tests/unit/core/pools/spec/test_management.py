"""A pool as the management plane takes it: every property, by its name there, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

import azure.mgmt.batch.models as models

from airflow_provider_batchlinux.core.pools.spec.management import (
    management_body,
    pool_identity,
    tag_problems,
)
from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
from airflow_provider_batchlinux.emulator.management.names import data_plane_properties
from airflow_provider_batchlinux.emulator.protocol.schema import read_body
from tests.tables import each_of
from tests.unit.core.pools.spec.properties import IDENTITY, PROPERTIES

BASE: dict[str, Any] = {"pool_id": "etl", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5"}
each_property = each_of({place: (parameters,) for place, parameters, _ in PROPERTIES})
IS_OLD = not hasattr(models, "PoolProperties")
NOT_IN_18 = {
    "customerManagedKey",
    "diskEncryptionSet",
    "ipFamilies",
    "ipTags",
    "jobDefaultOrder",
    "managedDisk",
    "proxyAgentSettings",
}
"""What API version 2025-06-01 has beyond the models of azure-mgmt-batch 18."""


def body_of(parameters: dict[str, Any]) -> dict[str, Any]:
    return PoolSpec(**{**BASE, **parameters}).to_rest()


def fields_of(model: str) -> dict[str, str]:
    """Give the names that a model of the installed SDK has in REST, each with the model of its value."""
    cls = getattr(models, model)
    if IS_OLD:
        rows = [(str(row["key"]), str(row["type"])) for row in cls._attribute_map.values()]
        return {key.split(".")[-1]: re.sub(r"[\[\]{}]", "", kind) for key, kind in rows}
    hints = get_type_hints(cls, vars(models) | {"_models": models})
    found = {}
    for base in cls.__mro__:
        for name, field in vars(base).items():
            if hasattr(field, "_rest_name_input"):
                inner = re.findall(r"_models\.(\w+)", str(hints.get(name)))
                found[field._rest_name_input or name] = inner[0] if inner else ""
    return found


def unknown_names(value: Any, model: str) -> Iterator[str]:
    if isinstance(value, list):
        for entry in value:
            yield from unknown_names(entry, model)
    elif isinstance(value, Mapping) and hasattr(models, model):
        fields = fields_of(model)
        for name, inner in value.items():
            if name not in fields:
                yield name
            else:
                yield from unknown_names(inner, fields[name])


@each_property
def test_each_name_is_one_that_the_sdks_models_know(parameters: dict[str, Any]) -> None:
    properties = management_body(body_of(parameters))["properties"]

    found = set(unknown_names(properties, "Pool" if IS_OLD else "PoolProperties"))

    assert found <= (NOT_IN_18 if IS_OLD else set())


@each_property
def test_nothing_is_lost_on_the_way(parameters: dict[str, Any]) -> None:
    body = body_of(parameters)
    sent = json.loads(json.dumps(management_body(body)))

    found = {"id": body["id"], **data_plane_properties(sent["properties"])}

    def read(one: Mapping[str, Any]) -> Any:
        return read_body("BatchPoolCreateOptions", json.dumps(one).encode(), "2025-06-01")

    assert read(found) == read(body)


def test_choices_are_spelled_as_there() -> None:
    body = body_of(
        {
            "start_task": {"command": "true", "elevated": True},
            "scheduling": {"fill": "pack"},
            "security": {"disk_encryption": {"targets": ["temporarydisk"]}},
        }
    )

    properties = management_body(body)["properties"]

    machine = properties["deploymentConfiguration"]["virtualMachineConfiguration"]
    assert properties["startTask"]["userIdentity"]["autoUser"]["elevationLevel"] == "Admin"
    assert properties["taskSchedulingPolicy"] == {"nodeFillType": "Pack"}
    assert machine["diskEncryptionConfiguration"]["targets"] == ["TemporaryDisk"]


def test_settings_of_an_extension_stay_as_they_are() -> None:
    settings = {"username": "a", "cifsMountConfiguration": {"username": "b"}}
    extension = {"name": "x", "publisher": "p", "type": "t", "settings": settings}

    body = management_body(body_of({"software": {"extensions": [extension]}}))

    machine = body["properties"]["deploymentConfiguration"]["virtualMachineConfiguration"]
    assert machine["extensions"][0]["settings"] == settings


def test_identities_and_tags_stand_beside_the_properties() -> None:
    body = management_body(body_of({}), identities=[IDENTITY], tags={"team": "etl"})

    assert body["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    assert body["tags"] == {"team": "etl"}
    assert "identity" not in management_body(body_of({}))
    assert pool_identity([]) == {"type": "None"}


def test_too_many_tags_are_refused() -> None:
    assert tag_problems({str(number): "" for number in range(51)}) == [
        "tags has 51 names; a resource has at most 50."
    ]
