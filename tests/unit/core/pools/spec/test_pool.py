"""What a pool is asked to be, its problems, and its body for the service."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.core.images.resolve import ResolvedImage
from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX, PoolMarks, metadata_of, with_marks
from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
from airflow_provider_batchlinux.core.pools.spec.start_task import StartTaskSpec

OWNER = {"dag_id": "etl", "run_id": "manual__1", "task_id": "create"}
SPEC = PoolSpec("etl", "ubuntu 24.04", "standard_d2s_v5", dedicated_nodes=2, spot_nodes=1)
IMAGE = ResolvedImage(
    reference={"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"},
    node_agent_sku="batch.node.ubuntu 24.04",
    end_of_support=None,
    verified=True,
    runners_up=(),
)


def body_of(spec: PoolSpec, **more: Any) -> dict[str, Any]:
    return with_marks(spec.to_rest(IMAGE), PoolMarks(OWNER, spec.fingerprint(), **more))


def test_a_plain_pool_has_no_problems() -> None:
    assert SPEC.problems() == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"pool_id": "my pool"}, "pool_id='my pool'", id="an illegal id"),
        pytest.param({"spot_nodes": 1.5}, "spot_nodes=1.5 is not a whole number", id="half a node"),
        pytest.param(
            {"spot_nodes": True}, "spot_nodes=True is not a whole number", id="a truth value for a number"
        ),
        pytest.param({"start_task": StartTaskSpec(" \n")}, "empty command", id="an empty start task"),
        pytest.param(
            {"start_task": StartTaskSpec("#" * (96 * 1024 + 1))},
            "start_task is longer than 98304 bytes",
            id="a start task that no argument of Linux holds",
        ),
        pytest.param({"ssh_from": ["example.org"]}, "ssh_from holds 'example.org'", id="no network"),
        pytest.param(
            {"metadata": {"Airflow_BatchLinux_x": "1"}},
            "reserved for the provider",
            id="metadata of the provider's own",
        ),
        pytest.param({"metadata": {"a": ["1"]}}, "metadata['a']=['1'] is not text", id="a list in metadata"),
    ],
)
def test_what_the_service_would_refuse_is_named(changes: dict[str, Any], complaint: str) -> None:
    [problem] = replace(SPEC, **changes).problems()

    assert complaint in problem


def test_all_problems_are_named_at_once_in_the_order_of_the_parameters() -> None:
    spec = PoolSpec("", "ubuntu", "d2", dedicated_nodes="few", task_slots_per_node="x", tags={"a/b": ""})  # type: ignore[arg-type]

    assert [problem.split("=")[0].split()[0] for problem in spec.problems()] == [
        "pool_id",
        "dedicated_nodes",
        "task_slots_per_node",
        "tags",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"dedicated_nodes": 3}, id="nodes"),
        pytest.param({"image": "ubuntu 22.04"}, id="image"),
        pytest.param({"image": {"publisher": "canonical"}}, id="image of another form"),
        pytest.param({"start_task": StartTaskSpec("true")}, id="start task"),
        pytest.param({"ssh_from": ["10.0.0.0/8"]}, id="networks"),
        pytest.param({"metadata": {"team": "data"}}, id="metadata"),
    ],
)
def test_another_spec_has_another_fingerprint(changes: dict[str, Any]) -> None:
    assert replace(SPEC, **changes).fingerprint() != SPEC.fingerprint()


def test_the_environment_of_the_start_task_counts_for_the_fingerprint() -> None:
    some, other = (
        replace(SPEC, start_task=StartTaskSpec("true", environment={"X": value})) for value in "12"
    )

    assert some.fingerprint() != other.fingerprint()


def test_only_what_is_not_at_its_default_counts_for_the_fingerprint() -> None:
    asked = {"pool_id": "etl", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5"}

    assert SPEC.to_dict() == {**asked, "dedicated_nodes": 2, "spot_nodes": 1}
    assert replace(SPEC, ssh_from=None, network=None).fingerprint() == SPEC.fingerprint()


def test_a_newer_image_does_not_change_the_fingerprint() -> None:
    newer = replace(IMAGE, node_agent_sku="batch.node.ubuntu 26.04")

    assert SPEC.to_rest(newer) != SPEC.to_rest(IMAGE)
    assert PoolMarks.of(body_of(SPEC)).fingerprint == SPEC.fingerprint()


def test_the_values_of_environment_variables_are_not_shown() -> None:
    spec = replace(SPEC, start_task=StartTaskSpec("true", environment={"TOKEN": "s3cret"}))

    assert "s3cret" not in repr(spec)


def test_the_body_asks_for_the_pool_and_nothing_it_was_not_told() -> None:
    body = body_of(SPEC)
    del body["metadata"]

    assert body == {
        "id": "etl",
        "vmSize": "standard_d2s_v5",
        "virtualMachineConfiguration": {
            "imageReference": IMAGE.reference,
            "nodeAgentSKUId": "batch.node.ubuntu 24.04",
        },
        "targetDedicatedNodes": 2,
        "targetLowPriorityNodes": 1,
        "taskSlotsPerNode": 1,
    }


def test_the_ports_for_ssh_are_enough_for_all_nodes() -> None:
    body = body_of(replace(SPEC, dedicated_nodes=100, spot_nodes=50, ssh_from=["10.0.0.0/8"]))
    [pool] = body["networkConfiguration"]["endpointConfiguration"]["inboundNATPools"]

    assert pool["frontendPortRangeEnd"] - pool["frontendPortRangeStart"] + 1 == 150


def test_the_ports_for_ssh_are_enough_for_a_pool_with_autoscale() -> None:
    autoscale = {"formula": "$TargetDedicatedNodes = 1;"}
    body = body_of(PoolSpec("etl", "ubuntu", "d2", ssh_from=["10.0.0.0/8"], autoscale=autoscale))
    [pool] = body["networkConfiguration"]["endpointConfiguration"]["inboundNATPools"]

    assert pool["frontendPortRangeEnd"] - pool["frontendPortRangeStart"] + 1 == 10_000


def test_the_start_task_is_part_of_the_body() -> None:
    start_task = StartTaskSpec("true")

    assert body_of(replace(SPEC, start_task=start_task))["startTask"] == start_task.to_rest()


def test_no_node_is_asked_for_that_was_not_told() -> None:
    body = body_of(PoolSpec("etl", "ubuntu 24.04", "standard_d2s_v5"))

    assert (body["targetDedicatedNodes"], body["targetLowPriorityNodes"]) == (0, 0)


def test_a_resize_timeout_is_written_as_a_duration() -> None:
    assert body_of(replace(SPEC, resize_timeout=1200.0))["resizeTimeout"] == "PT1200S"


def test_the_pool_says_who_made_it_when_it_ends_and_what_it_is() -> None:
    expires_at = datetime(2026, 3, 1, tzinfo=timezone.utc)
    body = body_of(replace(SPEC, metadata={"team": "data"}), expires_at=expires_at)

    assert metadata_of(body) == {
        "team": "data",
        f"{METADATA_PREFIX}dag_id": "etl",
        f"{METADATA_PREFIX}run_id": "manual__1",
        f"{METADATA_PREFIX}task_id": "create",
        f"{METADATA_PREFIX}fingerprint": replace(SPEC, metadata={"team": "data"}).fingerprint(),
        f"{METADATA_PREFIX}expires_at": "2026-03-01T00:00:00.000000Z",
        f"{METADATA_PREFIX}version": "2",
        f"{METADATA_PREFIX}holders": '[["etl", "manual__1", ""]]',
    }


@pytest.mark.parametrize(
    ("elevated", "level"),
    [pytest.param(True, "admin", id="as root"), pytest.param(False, "nonadmin", id="as an ordinary user")],
)
def test_the_start_task_runs_as_it_was_asked_to(elevated: bool, level: str) -> None:
    assert StartTaskSpec("apt-get install -y jq", elevated=elevated, max_retries=2).to_rest() == {
        "commandLine": "/bin/bash -c 'apt-get install -y jq'",
        "userIdentity": {"autoUser": {"scope": "pool", "elevationLevel": level}},
        "maxTaskRetryCount": 2,
        "waitForSuccess": True,
    }


def test_the_start_task_takes_its_environment_and_a_command_that_has_to_be_carried() -> None:
    body = StartTaskSpec("echo 'x'", environment={"A": "1"}).to_rest()
    settings = {item["name"]: item["value"] for item in body["environmentSettings"]}

    assert settings == {"A": "1", "AIRFLOW_BATCHLINUX_COMMAND": "echo 'x'"}


@pytest.mark.parametrize(
    ("pool", "owner"),
    [
        pytest.param(
            body_of(SPEC), "by dag_id 'etl', run_id 'manual__1', task_id 'create'", id="made by a Dag"
        ),
        pytest.param(
            {"metadata": [{"name": f"{METADATA_PREFIX}dag_id", "value": "etl"}]},
            "by dag_id 'etl'",
            id="known in part",
        ),
        pytest.param({"metadata": [{"name": "team", "value": "data"}]}, "not by this provider", id="foreign"),
        pytest.param({"metadata": None}, "not by this provider", id="no metadata"),
        pytest.param({}, "not by this provider", id="metadata not asked for"),
    ],
)
def test_the_owner_is_told_as_far_as_it_is_known(pool: dict[str, Any], owner: str) -> None:
    assert PoolMarks.of(pool).created_by == owner


def test_a_pool_of_another_client_has_no_fingerprint() -> None:
    assert PoolMarks.of({"metadata": [{"name": "team", "value": "data"}]}).fingerprint is None
