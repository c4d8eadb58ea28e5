"""The operator that makes a pool, when one of that id is there already: each policy at the service."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_provider_batchlinux.client.pools import resolve
from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX, PoolMarks, metadata_of
from airflow_provider_batchlinux.exceptions import BatchConflictError
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from tests.airflow_harness import TaskRun, run_task
from tests.batch_account import BatchAccount

# The supported images hold one with an end, which may be years away.
LONG_BEFORE = timedelta(days=10_000)
FORMULA = "$TargetDedicatedNodes = 1;"
ENDING = {
    "publisher": "canonical",
    "offer": "0001-com-ubuntu-server-jammy",
    "sku": "22_04-lts-gen2",
    "node_agent_sku": "batch.node.ubuntu 22.04",
}
WARNING = "Image canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2:latest, whose support end"


def create(task_id: str = "create", **options: Any) -> TaskRun:
    defaults = {"pool_id": "etl", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5"}
    return run_task(BatchLinuxCreatePoolOperator(task_id=task_id, **{**defaults, **options}))


def pool_of(account: BatchAccount) -> Any:
    return account.hook.run(lambda client: client.find_pool_body("etl"))


def test_the_differences_are_told_property_by_property(account: BatchAccount) -> None:
    create(dedicated_nodes=1)

    run = create(dedicated_nodes=2, vm_size="standard_d4s_v5")

    assert isinstance(run.error, BatchConflictError)
    assert "  vmSize: wanted 'standard_d4s_v5', found 'standard_d2s_v5'\n" in run.shown
    assert "  targetDedicatedNodes: wanted 2, found 1\n" in run.shown


def test_fail_takes_no_pool_of_another_task_but_its_own_earlier_one(account: BatchAccount) -> None:
    create(if_exists="fail")

    again, other = create(if_exists="fail"), create("other", if_exists="fail")

    assert again.result["created"] is False
    assert isinstance(other.error, BatchConflictError)


def test_resize_changes_the_numbers_and_takes_the_pool(account: BatchAccount) -> None:
    create(dedicated_nodes=1)
    account.wait_for_nodes({"idle": 1})

    run = create(dedicated_nodes=2, if_exists="resize")

    assert run.result["changed"] == ["targetDedicatedNodes"]
    account.wait_for_nodes({"idle": 2})
    assert create(dedicated_nodes=2).result["created"] is False


def test_a_resize_under_way_is_waited_for(slow_account: BatchAccount) -> None:
    create(dedicated_nodes=1)

    run = create(dedicated_nodes=2, if_exists="resize", deletion_limit=0.1, poll_interval=0.02)

    assert run.state == "failed"
    assert "Pool 'etl' is resizing: 0 of 1 nodes" in run.message
    assert slow_account.hook.find_pool("etl").target == 1  # type: ignore[union-attr]


def test_update_changes_what_can_be_changed(account: BatchAccount) -> None:
    create()

    run = create(
        vm_size="standard_d4s_v5",
        start_task="true",
        metadata={"team": "etl"},
        autoscale=FORMULA,
        if_exists="update",
    )

    assert sorted(run.result["changed"]) == [
        "autoScaleFormula",
        "enableAutoScale",
        "metadata",
        "startTask",
        "vmSize",
    ]
    found = pool_of(account)
    assert found["vmSize"] == "standard_d4s_v5"
    assert found["autoScaleFormula"] == FORMULA
    assert found["startTask"]["commandLine"] == "/bin/bash -c 'true'"
    assert metadata_of(found)["team"] == "etl"
    assert metadata_of(found)[f"{METADATA_PREFIX}task_id"] == "create"


def test_update_keeps_the_marks_that_others_left(account: BatchAccount) -> None:
    create()
    mark = f"{METADATA_PREFIX}repairs"
    account.hook.run(lambda client: change_metadata(client, "etl", lambda found: {**found, mark: "3"}))

    create(metadata={"team": "etl"}, if_exists="update")

    found = metadata_of(pool_of(account))
    assert (found[mark], found["team"]) == ("3", "etl")


def test_update_changes_nothing_when_not_all_can_be_changed(account: BatchAccount) -> None:
    create(dedicated_nodes=1)
    account.wait_for_nodes({"idle": 1})
    before = pool_of(account)

    run = create(dedicated_nodes=2, vm_size="standard_d4s_v5", if_exists="update")

    assert "if_exists='update' cannot change vmSize." in run.message
    assert pool_of(account)["eTag"] == before["eTag"]


def test_recreate_deletes_and_creates_the_pool(account: BatchAccount) -> None:
    create(dedicated_nodes=1)

    run = create(vm_size="standard_d4s_v5", if_exists="recreate")

    assert run.result["created"] is True
    assert pool_of(account)["vmSize"] == "standard_d4s_v5"
    assert [request.split()[0] for request in account.requests() if request.endswith("/pools/etl")].count(
        "DELETE"
    ) == 1


def test_recreate_keeps_what_its_own_earlier_try_has_made(account: BatchAccount) -> None:
    create(if_exists="recreate")
    before = pool_of(account)["eTag"]

    assert create(if_exists="recreate").result["created"] is False
    assert pool_of(account)["eTag"] == before


SPELLINGS = [
    pytest.param({"vm_size": "Standard_D2S_V5"}, id="letters of the size"),
    pytest.param({"metadata": {"n": 1, "x": None}}, id="a number in the metadata"),
    pytest.param({"image": "Canonical:ubuntu-24_04-lts:server:latest"}, id="names of the image"),
    pytest.param(
        {
            "image": {
                "publisher": "Canonical",
                "offer": "Ubuntu-24_04-LTS",
                "sku": "Server",
                "node_agent_sku": "Batch.Node.Ubuntu 24.04",
            }
        },
        id="names of the image with its agent",
    ),
    pytest.param({"scheduling": {"fill": "Spread"}}, id="a default"),
]


@pytest.mark.parametrize("policy", ["reuse", "update", "recreate"])
@pytest.mark.parametrize("spelled", SPELLINGS)
def test_the_same_pool_in_another_spelling_is_used_unchanged(
    account: BatchAccount, policy: str, spelled: dict[str, Any]
) -> None:
    create(metadata={"n": "1"}, storage={"data_disks": [{"size_gb": 10}]})
    before = pool_of(account)

    run = create(
        "other",
        storage={"data_disks": [{"size_gb": "10"}]},
        **{"metadata": {"n": "1"}, **spelled},
        if_exists=policy,
    )

    assert run.state == "success", run.message
    assert (run.result["created"], run.result["changed"]) == (False, [])
    assert pool_of(account)["creationTime"] == before["creationTime"]


def test_a_pool_of_an_earlier_release_is_compared_property_by_property(account: BatchAccount) -> None:
    create()
    older = f"{METADATA_PREFIX}fingerprint"
    account.hook.run(lambda client: change_metadata(client, "etl", lambda found: {**found, older: "c0ffee"}))

    same, other = create("same"), create("other", dedicated_nodes=1)

    assert same.result["created"] is False
    assert "targetDedicatedNodes: wanted 1, found nothing" in other.message


def test_ignore_takes_the_pool_as_it_is_and_says_how_it_differs(account: BatchAccount) -> None:
    account.make_pool("etl", dedicated=1)
    account.control.clear_requests()

    run = create(dedicated_nodes=3, if_exists="ignore")

    assert run.state == "success"
    assert "targetDedicatedNodes: wanted 3, found 1" in run.log
    changes = [request for request in account.requests() if not request.startswith("GET")]
    assert changes == ["POST /pools", "PATCH /pools/etl"], "Its metadata says that a run uses it."
    assert pool_of(account)["targetDedicatedNodes"] == 1


def test_another_run_that_takes_the_pool_keeps_it_at_least_as_long(account: BatchAccount) -> None:
    create(expires_in=timedelta(hours=1))
    first = _expiry(account)

    create("other", expires_in=timedelta(hours=3))

    assert _expiry(account) - first > timedelta(hours=1, minutes=59)


def test_a_retry_does_not_prolong_its_own_pool(account: BatchAccount) -> None:
    create(expires_in=timedelta(hours=1))
    first = _expiry(account)

    create(expires_in=timedelta(hours=1))

    assert _expiry(account) == first


def test_another_run_without_an_end_takes_the_end_away(account: BatchAccount) -> None:
    create(expires_in=timedelta(hours=1))

    create("other")

    assert PoolMarks.of(pool_of(account)).expires_at is None


@pytest.mark.usefixtures("account")
def test_an_image_that_ends_soon_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "airflow_provider_batchlinux.client.pools.resolve.WARNED_BEFORE", timedelta(weeks=9999)
    )

    run = create(image="ubuntu 22.04")

    assert "whose support ends on 2027-06-30" in run.log


@pytest.mark.usefixtures("account")
def test_an_image_that_is_given_with_its_node_agent_is_warned_of_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "WARNED_BEFORE", LONG_BEFORE)

    run = create(image=ENDING)

    assert run.state == "success"
    assert WARNING in run.log


@pytest.mark.usefixtures("account")
def test_a_pool_that_is_taken_is_warned_of_by_its_own_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "WARNED_BEFORE", LONG_BEFORE)

    create(image=ENDING)

    run = create(image="ubuntu 24.04", if_exists="ignore")

    assert WARNING in run.log


def test_an_arm_size_gets_an_arm_image_or_none(account: BatchAccount) -> None:
    run = create(vm_size="standard_d2ps_v5")

    assert "server-arm64" in str(run.result["image"]["sku"])


def test_a_fingerprint_in_the_id_makes_a_changed_request_a_new_pool(account: BatchAccount) -> None:
    first = create(pool_id="etl-{fingerprint}", dedicated_nodes=0)
    again = create(pool_id="etl-{fingerprint}", dedicated_nodes=0)
    changed = create(pool_id="etl-{fingerprint}", dedicated_nodes=1)

    assert first.result["pool_id"] == again.result["pool_id"] != changed.result["pool_id"]
    assert len(first.result["pool_id"]) == len("etl-") + 12
    assert len(account.pools()) == 2


def test_a_fingerprint_may_stand_in_the_id_of_a_body_too(account: BatchAccount) -> None:
    machine = {"imageReference": "ubuntu 24.04"}
    body = {"vmSize": "standard_a1_v2", "virtualMachineConfiguration": machine, "targetDedicatedNodes": 0}

    run = create(pool_id="etl-{fingerprint}", image=None, vm_size=None, body=body)

    assert run.state == "success", run.message
    assert account.pools() == [run.result["pool_id"]]


def test_an_unknown_policy_is_refused_before_any_request(account: BatchAccount) -> None:
    assert "if_exists='perhaps' is not one of reuse, fail" in create(if_exists="perhaps").message
    assert account.requests() == []


def _expiry(account: BatchAccount) -> datetime:
    found = PoolMarks.of(pool_of(account)).expires_at
    assert found is not None
    return found
