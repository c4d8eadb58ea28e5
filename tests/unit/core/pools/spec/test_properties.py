"""Every property of a pool is reached by a parameter, in dicts as in objects, and lands where it belongs."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, get_type_hints

import pytest

from airflow_provider_batchlinux import specs
from airflow_provider_batchlinux.core.parameters.spec import Spec, read_spec
from airflow_provider_batchlinux.core.pools.create_requests import CreatePoolRequest
from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
from airflow_provider_batchlinux.core.pools.spec.raw import RawPool
from airflow_provider_batchlinux.core.pools.validation.schema import POOL
from tests.tables import each_of
from tests.unit.core.pools.models import pool_models
from tests.unit.core.pools.spec.properties import IDENTITY, MACHINE, PROPERTIES

BASE: dict[str, Any] = {"pool_id": "etl", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5"}
NOT_FOR_LINUX = {"windowsConfiguration", "licenseType", "windowsUserConfiguration"}
BY_IMAGE = {"imageReference", "nodeAgentSKUId"}
NOT_OF_A_POOL = {"AutoUserSpec", "InputSpec", "OutputSpec", "RepairSpec", "TaskSpec"}
MODELS = pool_models()
CLASSES = [
    getattr(specs, name) for name in specs.__all__ if name.endswith("Spec") and name not in NOT_OF_A_POOL
]
each_property = each_of({row[0]: row for row in PROPERTIES})


def at(body: Any, place: str) -> Any:
    for part in place.split("."):
        body = body[int(part)] if part.isdigit() else body[part]
    return body


def properties_on(place: str) -> list[tuple[str, str]]:
    """Give each property on the way to a place, with the shape it belongs to."""
    shape, found = POOL, []
    for name in place.split("."):
        if not name.isdigit():
            found.append((shape, name))
            shape = MODELS[shape][name].strip("[]")
    return found


@each_property
def test_a_parameter_sets_its_property(place: str, parameters: dict[str, Any], value: Any) -> None:
    spec = PoolSpec(**{**BASE, **parameters})

    assert spec.problems() == []
    assert at(spec.to_rest(), place) == value


@each_property
def test_a_pool_in_dicts_is_the_pool_in_objects(place: str, parameters: dict[str, Any], value: Any) -> None:
    spec = PoolSpec(**{**BASE, **parameters})
    problems: list[str] = []
    stored = json.loads(json.dumps(spec.to_dict()))

    assert read_spec(PoolSpec, stored, "pool", problems) == read_spec(
        PoolSpec, spec.to_dict(), "pool", problems
    )
    assert read_spec(PoolSpec, stored, "pool", problems).fingerprint() == spec.fingerprint()  # type: ignore[union-attr]
    assert problems == []


@each_property
def test_a_property_has_its_own_name_in_messages(place: str, parameters: dict[str, Any], value: Any) -> None:
    spec = PoolSpec(**{**BASE, **parameters})
    path = tuple(int(part) if part.isdigit() else part for part in place.split("."))
    name = spec.name_of(path)

    assert name is not None
    assert name.split(".")[0].split("[")[0] in parameters


@each_property
def test_the_body_of_a_spec_is_a_body_that_may_be_given(
    place: str, parameters: dict[str, Any], value: Any
) -> None:
    body = PoolSpec(**{**BASE, **parameters}).to_rest()
    del body[MACHINE]["imageReference"]
    body.pop("metadata", None)
    pool = RawPool(body, body["id"], "ubuntu 24.04")

    assert pool.problems() == []


def test_no_property_is_forgotten() -> None:
    reached = {step for place, _, _ in PROPERTIES for step in properties_on(place)}
    known = {(shape, name) for shape, kinds in MODELS.items() for name in kinds}
    left_out = {"WindowsConfiguration", "WindowsUserConfiguration", "BatchVmImageReference"}

    missing = {(shape, name) for shape, name in known - reached if shape not in left_out}
    assert {name for _, name in missing} == NOT_FOR_LINUX | BY_IMAGE


@pytest.mark.parametrize("cls", CLASSES)
def test_each_field_of_an_object_has_its_place_or_is_the_pools_own(cls: type[Spec]) -> None:
    own = (
        {"image", "ssh_from", "metadata", "resize_timeout", "identities", "tags"}
        if cls is PoolSpec
        else set()
    )

    assert {spec_field.name for spec_field in fields(cls)} == set(cls.REST) | own
    assert set(cls.PARTS) <= set(cls.REST)


@pytest.mark.parametrize("cls", CLASSES)
def test_what_rest_holds_as_a_secret_is_one_in_the_object(cls: type[Spec]) -> None:
    secret = {name for kinds in MODELS.values() for name, kind in kinds.items() if kind.startswith("secret")}
    hidden = {spec_field.name for spec_field in fields(cls) if not spec_field.repr}

    assert hidden - {"environment"} == {
        name for name, place in cls.REST.items() if place.split(".")[-1] in secret
    }


def test_the_operators_parts_are_those_of_the_pool() -> None:
    hints = get_type_hints(CreatePoolRequest, include_extras=True)
    assert all(cls.__name__ in str(hints[name]) for name, (cls,) in PoolSpec.PARTS.items())


def test_the_public_names_are_all_there_and_no_other() -> None:
    assert specs.UserAccountSpec is PoolSpec.PARTS["user_accounts"][0]
    with pytest.raises(AttributeError, match="no attribute 'PoolSpecs'"):
        _ = specs.PoolSpecs


def test_identities_and_tags_that_azure_would_refuse_are_named() -> None:
    tags = {"a/b": "1", "team": "x" * 257}
    problems = PoolSpec(**BASE, identities=[IDENTITY, "/i"], tags=tags).problems()

    assert [problem.split(" is ")[0] for problem in problems] == [
        "identities[1]='/i'",
        "tags name 'a/b'",
        "tags['team']",
    ]
    assert PoolSpec(**BASE, identities=[IDENTITY], tags={"team": "etl"}).problems() == []
