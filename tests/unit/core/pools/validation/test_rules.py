"""What the parts of a pool rule out in each other is named before the call, by the user's own names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.parameters.spec import read_spec
from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
from airflow_provider_batchlinux.core.pools.spec.raw import RawPool
from airflow_provider_batchlinux.core.pools.validation.rules import entra_only
from tests.unit.core.pools.spec.properties import IDENTITY, MACHINE, PROPERTIES, SUBNET
from tests.unit.core.pools.spec.test_properties import BASE

FORMULA = {"formula": "$TargetDedicatedNodes = 1;"}
ENDPOINT = {"name": "ui", "port": 8080, "first_frontend_port": 30_000, "last_frontend_port": 30_099}
OTHER = {"name": "api", "port": 8081, "first_frontend_port": 31_000, "last_frontend_port": 31_099}
RULE = {"source": "10.0.0.0/8", "priority": 1000}
NFS = {"source": "10.0.0.4:/data", "path": "data"}
BLOB = {"account": "a", "container": "c", "path": "in"}
ACCOUNT = {"name": "etl", "password": "p4ss"}
EXTENSION = {"name": "a", "publisher": "p", "type": "t"}
KEY = {"key_url": "https://v.vault.azure.net/keys/k/1", "key_identity": IDENTITY}


def endpoints(*given_endpoints: dict[str, Any], **network: Any) -> dict[str, Any]:
    return {"network": {"endpoints": given_endpoints, **network}}


def ruled(*rules: dict[str, Any]) -> dict[str, Any]:
    return endpoints({**ENDPOINT, "rules": rules})


def files(**file: Any) -> dict[str, Any]:
    return {"start_task": {"command": "true", "resource_files": [file]}}


def mounts(*given_mounts: dict[str, Any]) -> dict[str, Any]:
    return {"storage": {"mounts": given_mounts}}


def upgrade(**rolling: Any) -> dict[str, Any]:
    return {"software": {"upgrade": {"mode": "rolling", "rolling": rolling}}}


REFUSED = {
    "a package with a version in its id": (
        {"software": {"application_packages": [{"application_id": "jq#1.7"}]}},
        "software.application_packages[0].application_id='jq#1.7' contains a version",
    ),
    "a package of no account": (
        {"software": {"application_packages": [{"application_id": IDENTITY}]}},
        "is not the id of an application of a Batch account.",
    ),
    "a formula without a target": ({"autoscale": {"formula": "x = 1;"}}, "autoscale.formula sets neither"),
    "a formula with a loose bracket": (
        {"autoscale": {"formula": "$TargetDedicatedNodes = (1;"}},
        "has an unmatched '('",
    ),
    "an ephemeral disk with spot": (
        {"storage": {"os_disk": {"ephemeral": True}}, "spot_nodes": 1},
        "storage.os_disk.ephemeral cannot be combined with spot_nodes.",
    ),
    "trusted launch of the old generation": (
        {"security": {"kind": "trustedLaunch"}, "image": "ubuntu 24.04 gen1"},
        "needs an image of generation 2; image='ubuntu 24.04 gen1' has 1.",
    ),
    "too few addresses": (
        {"network": {"public_ips": "usermanaged", "public_ip_ids": ["/s/ip"]}, "dedicated_nodes": 101},
        "dedicated_nodes=101 is more than 100 nodes for each address in network.public_ip_ids.",
    ),
    "a mode that is none": (
        files(auto_container="c", mode="rwx"),
        "resource_files[0].mode='rwx' is not an octal mode",
    ),
    "a container without an engine": (
        {"start_task": {"command": "true", "container": {"image": "busybox"}}},
        "start_task.container needs a container engine on the nodes; give containers.",
    ),
    "a variable with an equals sign": (
        {"start_task": {"command": "true", "environment": {"A=B": "s3cret"}}},
        "start_task.environment names a variable 'A=B'; a name has no '='",
    ),
    "a variable that is too large": (
        {"start_task": {"command": "true", "environment": {"A": "x" * 131_072, "B": None}}},
        "start_task.environment: the value of 'A' is 131072 bytes; Linux takes 131072 bytes with the name.",
    ),
    "a user without an account": (
        {"start_task": {"command": "true", "user": "x"}},
        "start_task.user='x' is none of user_accounts.",
    ),
    "an elevated user": (
        {"start_task": {"command": "true", "user": "etl", "elevated": True}, "user_accounts": [ACCOUNT]},
        "start_task.elevated is for the automatic user",
    ),
    "a mount point twice": (
        mounts(NFS, {**NFS, "path": "/data/"}),
        "storage.mounts[1].path='data' is given twice.",
    ),
    "a disk twice": (
        {"storage": {"data_disks": [{"size_gb": 1}] * 2}},
        "storage.data_disks[1].lun=0 is given twice.",
    ),
    "an extension twice": (
        {"software": {"extensions": [EXTENSION] * 2}},
        "software.extensions[1].name='a' is given twice.",
    ),
    "an extension after itself": (
        {"software": {"extensions": [{**EXTENSION, "after": ["a"]}]}},
        "software.extensions[0].after contains 'a', which is no other extension of the pool.",
    ),
    "a user without a password": (
        {"containers": {"registries": [{"username": "u"}]}},
        "containers.registries[0].password is missing beside containers.registries[0].username.",
    ),
    "an order without a policy": ({"scheduling": {"job_order": "none"}}, "scheduling.fill is missing."),
}


@pytest.mark.parametrize(("parameters", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_go_together_is_named(parameters: dict[str, Any], problem: str) -> None:
    [found] = PoolSpec(**{**BASE, **parameters}).problems()

    assert problem in found


def test_all_problems_of_all_parts_are_named_at_once() -> None:
    parts = {
        **files(auto_container="c", mode="rwx"),
        **mounts(NFS, NFS),
        "containers": {"registries": [{"username": "u"}]},
    }
    problems = PoolSpec(**{**BASE, **parts}).problems()

    assert [problem.split(".")[0] for problem in problems] == ["start_task", "containers", "storage"]


@pytest.mark.parametrize(
    ("kind", "generation"),
    [pytest.param("trustedLaunch", 2, id="trusted launch"), pytest.param(None, None, id="plain")],
)
def test_the_generation_of_the_image_follows_the_security(kind: str | None, generation: int | None) -> None:
    assert PoolSpec(**BASE, security={"kind": kind}).generation == generation


def test_the_generation_of_the_image_of_a_body_follows_it_too() -> None:
    body = PoolSpec(**BASE, security={"kind": "trustedLaunch"}).to_rest()

    assert RawPool(body, "etl").generation == 2


def test_what_takes_an_entra_token_is_known() -> None:
    network = {"subnet_id": SUBNET, "public_ips": "usermanaged", "public_ip_ids": ["/s/ip"]}
    spec = PoolSpec(**BASE, network=network)

    assert [spec.name_of(path) for path in entra_only(spec.to_rest())] == [
        "network.subnet_id",
        "network.public_ip_ids",
    ]


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        pytest.param(
            {"network": {"subnet": "x"}}, "pool.network.subnet is no field of it; did you mean", id="name"
        ),
        pytest.param(
            {"storage": {"mounts": [{"source": "s"}]}},
            "pool.storage.mounts[0].path is missing.",
            id="missing",
        ),
        pytest.param({"network": "x"}, "pool.network is neither a NetworkSpec nor a dict", id="no dict"),
        pytest.param(
            {"storage": {"mounts": ["x"]}}, "pool.storage.mounts[0] is neither an AzureBlob", id="in a list"
        ),
    ],
)
def test_a_dict_that_is_no_spec_is_named_with_its_place(parts: dict[str, Any], problem: str) -> None:
    problems: list[str] = []

    assert read_spec(PoolSpec, {**BASE, **parts}, "pool", problems) is None
    assert problem in problems[0]


@given(st.lists(st.sampled_from(PROPERTIES), max_size=6), st.randoms(use_true_random=False))
def test_whatever_is_put_together_has_a_verdict_and_hides_its_secrets(rows: list[Any], chance: Any) -> None:
    parameters = {name: value for _, changes, _ in rows for name, value in changes.items()}
    spec = PoolSpec(**{**BASE, **parameters})
    problems = spec.problems()

    assert all(isinstance(problem, str) and problem.endswith((".", "?")) for problem in problems)
    assert not {secret for secret in spec.secrets() if secret in f"{spec!r}{problems}{spec.fingerprint()}"}
    if not problems:
        body = spec.to_rest()
        del body[MACHINE]["imageReference"]
        body.pop("metadata", None)
        assert RawPool(body, body["id"], BASE["image"]).problems() == []
