"""What the parts of a pool rule out in each other is named before the call, by the user's own names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.pools.spec.base import read_spec
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
    "autoscale and a number": (
        {"autoscale": FORMULA, "dedicated_nodes": 2},
        "dedicated_nodes cannot be given together with autoscale.formula, which sets the size.",
    ),
    "autoscale and a resize time-out": (
        {"autoscale": FORMULA, "resize_timeout": 600},
        "resize_timeout cannot be given",
    ),
    "a formula without a target": ({"autoscale": {"formula": "x = 1;"}}, "autoscale.formula sets neither"),
    "a formula with a loose bracket": (
        {"autoscale": {"formula": "$TargetDedicatedNodes = (1;"}},
        "has '(' without",
    ),
    "a formula evaluated all the time": (
        {"autoscale": {**FORMULA, "interval": 60}},
        "autoscale.interval='PT60S' is less",
    ),
    "talking nodes of two kinds": (
        {"network": {"inter_node_communication": True}, "dedicated_nodes": 1, "spot_nodes": 1},
        "network.inter_node_communication goes with dedicated_nodes or with spot_nodes, not with both.",
    ),
    "an ephemeral disk with spot": (
        {"storage": {"os_disk": {"ephemeral": True}}, "spot_nodes": 1},
        "storage.os_disk.ephemeral does not go with spot_nodes.",
    ),
    "secure boot without a kind": (
        {"security": {"secure_boot": True}},
        "security.secure_boot is for a node with security.kind.",
    ),
    "trusted launch of the old generation": (
        {"security": {"kind": "trustedLaunch"}, "image": "ubuntu 24.04 gen1"},
        "needs an image of generation 2, and image='ubuntu 24.04 gen1' asks for 1.",
    ),
    "a confidential VM without its disk": (
        {"security": {"kind": "confidentialvm"}, "storage": {"os_disk": {"size_gb": 64}}},
        "storage.os_disk.confidential_encryption is missing; security.kind='confidentialvm' requires it.",
    ),
    "confidential encryption alone": (
        {"storage": {"os_disk": {"confidential_encryption": "VMGuestStateOnly"}}},
        "storage.os_disk.confidential_encryption is only for",
    ),
    "a key that encrypts nothing": (
        {"security": {"disk_encryption": KEY}},
        "disk_encryption.targets does not hold 'osdisk'",
    ),
    "a key that nobody reads": (
        {"security": {"disk_encryption": {"targets": ["osdisk"], "key_url": KEY["key_url"]}}},
        "security.disk_encryption.key_identity is missing",
    ),
    "zones that are not there": (upgrade(cross_zone=True), "software.upgrade.rolling.cross_zone is only for"),
    "too large a batch": (
        upgrade(max_batch_percent=50, max_unhealthy_percent=20),
        "max_batch_percent=50 is more than software.upgrade.rolling.max_unhealthy_percent=20.",
    ),
    "an endpoint without an address": (
        endpoints(ENDPOINT, public_ips="nopublicipaddresses", subnet_id=SUBNET),
        "network.endpoints[0] does not go with network.public_ips='nopublicipaddresses'",
    ),
    "SSH without an address": (
        {"ssh_from": ["10.0.0.0/8"], "network": {"public_ips": "nopublicipaddresses", "subnet_id": SUBNET}},
        "ssh_from does not go with network.public_ips='nopublicipaddresses'",
    ),
    "no address and no subnet": (
        {"network": {"public_ips": "nopublicipaddresses"}},
        "network.subnet_id is missing",
    ),
    "addresses of one's own that are none": (
        {"network": {"public_ips": "usermanaged"}},
        "network.public_ip_ids is empty; network.public_ips='usermanaged' needs at least one address.",
    ),
    "addresses that are not asked for": (
        {"network": {"public_ip_ids": ["/s/ip"]}},
        "network.public_ip_ids is only for",
    ),
    "too few addresses": (
        {"network": {"public_ips": "usermanaged", "public_ip_ids": ["/s/ip"]}, "dedicated_nodes": 101},
        "dedicated_nodes=101 is more than 100 nodes for each of the 1 in network.public_ip_ids.",
    ),
    "a reserved port": (
        endpoints({**ENDPOINT, "port": 29_877}),
        "network.endpoints[0].port=29877 is kept by the service.",
    ),
    "too few ports": (
        endpoints({**ENDPOINT, "last_frontend_port": 30_038}),
        "leaves fewer than 40 ports from network.endpoints[0].first_frontend_port=30000 on.",
    ),
    "reserved frontend ports": (
        endpoints({**ENDPOINT, "first_frontend_port": 54_990, "last_frontend_port": 55_100}),
        "touches 50000 to 55000, which the service keeps.",
    ),
    "a name of an endpoint that ends badly": (
        endpoints({**ENDPOINT, "name": "ui-"}),
        "network.endpoints[0].name='ui-' is not",
    ),
    "a name twice": (endpoints(ENDPOINT, {**OTHER, "name": "ui"}), "network.endpoints[1].name='ui' is taken"),
    "a port twice": (endpoints(ENDPOINT, {**OTHER, "port": 8080}), "network.endpoints[1].port=8080 is taken"),
    "ranges that overlap": (
        endpoints(ENDPOINT, {**OTHER, "first_frontend_port": 30_099}),
        "network.endpoints[1].first_frontend_port=30099 begins a range that overlaps",
    ),
    "a range that is SSH's": (
        {
            **endpoints({**ENDPOINT, "first_frontend_port": 39_000, "last_frontend_port": 40_000}),
            "ssh_from": ["10.0.0.1"],
        },
        "ssh_from (frontendPortRangeStart)=40000 begins a range that overlaps 39000 to 40000",
    ),
    "a sixth endpoint": (
        endpoints(
            *(
                {
                    "name": f"e{n}",
                    "port": 100 + n,
                    "first_frontend_port": 100 * n,
                    "last_frontend_port": 100 * n + 50,
                }
                for n in range(1, 7)
            )
        ),
        "network.endpoints has 6 entries; at most 5 are allowed.",
    ),
    "a priority twice": (
        ruled(RULE, RULE),
        "network.endpoints[0].rules[1].priority=1000 is taken by another rule",
    ),
    "a priority of SSH's": (
        {**ruled({**RULE, "priority": 150}), "ssh_from": ["10.0.0.1"]},
        "priority)=150 is taken",
    ),
    "a priority out of range": (
        ruled({**RULE, "priority": 149}),
        "network.endpoints[0].rules[0].priority=149 is less than 150.",
    ),
    "a source that is none": (
        ruled({**RULE, "source": "10.0.0.300"}),
        "rules[0].source='10.0.0.300' is no address",
    ),
    "ports that are none": (ruled({**RULE, "source_ports": ["20-10"]}), "source_ports[0]='20-10' is no port"),
    "ports that overlap": (
        ruled({**RULE, "source_ports": ["*", "22"]}),
        "source_ports holds entries that overlap.",
    ),
    "too many rules": (
        ruled(*({**RULE, "priority": 200 + n} for n in range(26))),
        "network.endpoints[0].rules[25] brings the pool to 26 rules; the service takes at most 25.",
    ),
    "a file from nowhere": (files(path="f"), "start_task.resource_files[0] names no source; give one of"),
    "a file from two places": (
        files(auto_container="c", container_url="https://a/c"),
        "resource_files[0] names several",
    ),
    "a file without a name": (files(http_url="https://a/f"), "start_task.resource_files[0].path is missing"),
    "a prefix of one file": (
        files(http_url="https://a/f", path="f", blob_prefix="x"),
        "blob_prefix is for the files",
    ),
    "a mode that is none": (
        files(auto_container="c", mode="rwx"),
        "resource_files[0].mode='rwx' is no mode in octal",
    ),
    "a container without an engine": (
        {"start_task": {"command": "true", "container": {"image": "busybox"}}},
        "start_task.container needs a container engine on the nodes; give containers.",
    ),
    "a user who is nobody": (
        {"start_task": {"command": "true", "user": "x"}},
        "start_task.user='x' is none of user_accounts.",
    ),
    "an elevated user": (
        {"start_task": {"command": "true", "user": "etl", "elevated": True}, "user_accounts": [ACCOUNT]},
        "start_task.elevated is for the automatic user",
    ),
    "an application by its name": (
        {"software": {"application_packages": [{"application_id": "jq"}]}},
        "software.application_packages[0].application_id='jq' is no whole ARM id",
    ),
    "a user id alone": (
        {"user_accounts": [{**ACCOUNT, "uid": 1}]},
        "user_accounts[0].uid and user_accounts[0].gid are given",
    ),
    "an account twice": (
        {"user_accounts": [ACCOUNT, ACCOUNT]},
        "user_accounts[1].name='etl' is there twice.",
    ),
    "a long account": ({"user_accounts": [{**ACCOUNT, "name": "e" * 21}]}, "is more than 20 characters."),
    "a mount point twice": (
        mounts(NFS, {**NFS, "path": "/data/"}),
        "storage.mounts[1].path='data' is there twice.",
    ),
    "no way to log in": (mounts(BLOB), "storage.mounts[0].account_key, storage.mounts[0].sas_token and"),
    "two ways to log in": (
        mounts({**BLOB, "sas_token": "s", "account_key": "k"}),
        "three ways to log in; give exactly one.",
    ),
    "a disk twice": (
        {"storage": {"data_disks": [{"size_gb": 1}] * 2}},
        "storage.data_disks[1].lun=0 is there twice.",
    ),
    "a disk too far": (
        {"storage": {"data_disks": [{"size_gb": 1, "lun": 64}]}},
        "data_disks[0].lun=64 is more than 63.",
    ),
    "an extension twice": (
        {"software": {"extensions": [EXTENSION] * 2}},
        "software.extensions[1].name='a' is there twice.",
    ),
    "an extension after itself": (
        {"software": {"extensions": [{**EXTENSION, "after": ["a"]}]}},
        "software.extensions[0].after names 'a', which is no other extension of the pool.",
    ),
    "a password and an identity": (
        {"containers": {"registries": [{"username": "u", "password": "p4ss", "identity": IDENTITY}]}},
        "containers.registries[0].identity and a user with password exclude each other.",
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
    parts = [
        *mounts(BLOB).items(),
        *files(path="f").items(),
        *endpoints({**ENDPOINT, "port": 29_876}).items(),
    ]
    problems = PoolSpec(**{**BASE, **dict(parts), "security": {"vtpm": True}}).problems()

    assert [problem.split(".")[0] for problem in problems] == ["start_task", "storage", "network", "security"]


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
        del body[MACHINE]["imageReference"], body["metadata"]
        assert RawPool(body, body["id"], BASE["image"]).problems() == []
