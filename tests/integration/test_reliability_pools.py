"""A pool that changes while a task waits for it: the wait ends with the cause, or continues."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.airflow_harness import run_to_end
from tests.batch_account import BatchAccount, eventually
from tests.delays import POOL_DELETED, POOL_RESIZED
from tests.faults import meanwhile
from tests.integration.scenarios import WAITS, Call, come_up, create, delete, once_waiting, rebooting

BROKEN_FORMULA = "$TargetDedicatedNodes = 1/0;"


def resize(account: BatchAccount, nodes: int) -> None:
    """Request a number of nodes again, as an operator of the pool does."""
    account.hook.run(lambda client: client.resize_pool("etl", {"targetDedicatedNodes": nodes}))


@pytest.mark.parametrize("call", WAITS)
@pytest.mark.parametrize("gone", [pytest.param(False, id="being deleted"), pytest.param(True, id="gone")])
def test_a_pool_that_is_deleted_meanwhile_ends_the_wait(
    slow_account: BatchAccount, call: Call, gone: bool
) -> None:
    slow_account.make_pool(dedicated=1)

    def remove() -> None:
        slow_account.hook.delete_pool("etl")
        if gone:
            slow_account.control.advance(POOL_DELETED)

    with once_waiting(slow_account, remove):
        run = call()

    assert type(run.error).__name__ == "PoolNotReadyError"
    assert "Pool 'etl' is being deleted." in run.message or "Pool 'etl' does not exist" in run.message
    assert slow_account.pools() == ([] if gone else ["etl"])


@pytest.mark.parametrize("deferrable", [pytest.param(False, id="poking"), pytest.param(True, id="deferred")])
@pytest.mark.parametrize("gone", [pytest.param(False, id="being deleted"), pytest.param(True, id="gone")])
def test_a_pool_that_is_deleted_while_its_nodes_reboot_ends_the_wait(
    slow_account: BatchAccount, deferrable: bool, gone: bool
) -> None:
    slow_account.make_pool(dedicated=1)
    come_up(slow_account)
    slow_account.wait_for_nodes({"idle": 1})

    def remove() -> None:
        slow_account.hook.delete_pool("etl")
        if gone:
            slow_account.control.advance(POOL_DELETED)

    with once_waiting(slow_account, remove):
        run = run_to_end(rebooting(deferrable=deferrable))

    assert type(run.error).__name__ == "PoolNotReadyError"
    assert "so its nodes will not come through reboot" in run.message
    assert slow_account.pools() == ([] if gone else ["etl"])


@pytest.mark.parametrize("call", WAITS)
def test_an_allocation_that_times_out_ends_the_wait_with_its_remedy(
    slow_account: BatchAccount, call: Call
) -> None:
    slow_account.control.resize_error("etl", "AllocationTimedOut", "No nodes in time.")
    slow_account.make_pool(dedicated=1)

    with once_waiting(slow_account, lambda: slow_account.control.advance(POOL_RESIZED)):
        run = call()

    assert type(run.error).__name__ == "PoolNotReadyError"
    assert "AllocationTimedOut: No nodes in time. Remedy: try again later" in run.message
    assert "got 0 of 1 nodes and stopped" in run.message


@pytest.mark.parametrize("call", WAITS)
def test_an_allocation_that_times_out_is_waited_for_if_it_is_tried_again(
    slow_account: BatchAccount, call: Call
) -> None:
    slow_account.control.resize_error("etl", "AllocationTimedOut", "No nodes in time.")
    slow_account.make_pool(dedicated=1)

    def expire() -> None:
        slow_account.control.advance(POOL_RESIZED)

    with once_waiting(slow_account, expire, lambda: resize(slow_account, 1), lambda: come_up(slow_account)):
        run = call(resize_error_limit=3600)

    assert run.state == "success", run.message
    assert run.result["nodes"] == {"idle": 1}


@pytest.mark.parametrize("call", WAITS)
def test_an_allocation_that_failed_is_asked_for_again_by_the_next_try(
    account: BatchAccount, call: Call
) -> None:
    account.control.resize_error("etl", "AllocationFailed", "The zone is full.")
    create()
    account.wait_for_nodes({})
    failed = call()

    again = create()

    assert failed.state == "failed"
    assert again.result["created"] is False
    assert "got 0 of 1 nodes: AllocationFailed: The zone is full.\nThey are requested again." in again.log
    assert call(requested_at=again.result["requested_at"]).result["nodes"] == {"idle": 1}
    assert account.pools() == ["etl"]


def test_the_next_try_takes_the_next_of_several_vm_sizes(account: BatchAccount) -> None:
    sizes = ["standard_d2s_v5", "standard_d4s_v5"]
    account.control.resize_error("etl", "AllocationFailed", "The zone is full.")
    first = create(vm_size=sizes)
    account.wait_for_nodes({})

    second = create(vm_size=sizes)
    account.wait_for_nodes({"idle": 1})
    third = create(vm_size=sizes)

    assert [run.result["vm_size"] for run in (first, second, third)] == [sizes[0], sizes[1], sizes[1]]
    assert [run.result["created"] for run in (first, second, third)] == [True, True, False]
    assert account.pools() == ["etl"]


@pytest.mark.parametrize("call", WAITS)
@pytest.mark.parametrize("created", [True, False], ids=["new", "asked again"])
def test_an_error_from_after_the_request_ends_the_wait_that_knows_when_that_was(
    account: BatchAccount, call: Call, created: bool
) -> None:
    for _ in range(1 if created else 2):
        account.control.resize_error("etl", "AllocationFailed", "The zone is full.")
    run = create()
    account.wait_for_nodes({})
    if not created:
        run = create()

    ended = call(requested_at=run.result["requested_at"])

    assert (run.result["created"], run.result["requested_at"] is None) == (created, created)
    assert type(ended.error).__name__ == "PoolNotReadyError"


@pytest.mark.parametrize("call", WAITS)
def test_nodes_that_a_pool_did_not_get_are_asked_for_again_by_the_wait_where_that_is_said(
    account: BatchAccount, call: Call
) -> None:
    account.control.set_quota(dedicated_cores=2)
    create(dedicated_nodes=2)
    account.wait_for_nodes({"idle": 1})
    account.control.clear_requests()

    def raise_quota() -> None:
        eventually(lambda: "POST /pools/etl/resize" in account.requests())
        account.control.set_quota(dedicated_cores=None)

    with meanwhile(raise_quota):
        run = call(repair={"resize_again": 100, "resize_again_after": 0.05})

    assert run.result["nodes"] == {"idle": 2}


@pytest.mark.parametrize("call", WAITS)
def test_a_used_up_core_quota_ends_the_wait_and_a_higher_one_ends_the_fault(
    account: BatchAccount, call: Call
) -> None:
    account.control.set_quota(dedicated_cores=2)
    created = create(dedicated_nodes=3)
    account.wait_for_nodes({"idle": 1})

    run = call()

    assert created.state == "success"
    assert type(run.error).__name__ == "PoolNotReadyError"
    assert "AccountCoreQuotaReached" in run.message
    assert "Remedy: ask for a higher dedicated core quota" in run.message
    account.control.set_quota(dedicated_cores=None)
    resize(account, 3)
    assert call(resize_error_limit=600).result["nodes"] == {"idle": 3}
    assert delete().state == "success"
    assert account.pools() == []


@pytest.mark.parametrize("call", WAITS)
def test_a_used_up_spot_quota_ends_the_wait_with_its_remedy(account: BatchAccount, call: Call) -> None:
    account.control.set_quota(spot_cores=2)
    create(dedicated_nodes=0, spot_nodes=3)
    account.wait_for_nodes({"idle": 1})

    run = call()

    assert type(run.error).__name__ == "PoolNotReadyError"
    assert "Remedy: ask for a higher Spot core quota" in run.message


@pytest.mark.parametrize("call", WAITS)
def test_a_used_up_quota_under_autoscale_is_the_cause_that_the_time_out_names(
    account: BatchAccount, call: Call
) -> None:
    account.control.set_quota(dedicated_cores=2)
    create(dedicated_nodes=0, autoscale={"formula": "$TargetDedicatedNodes = 3;"})
    account.wait_for_nodes({"idle": 1})

    run = call(timeout=0.3)

    assert type(run.error).__name__ == "AirflowSensorTimeout", run.message
    assert "AccountCoreQuotaReached" in run.message


@pytest.mark.parametrize("call", WAITS)
def test_a_resize_error_from_before_the_request_does_not_end_the_wait(
    account: BatchAccount, call: Call
) -> None:
    account.control.resize_error("etl", "AllocationFailed", "The zone is on fire.")
    account.make_pool(dedicated=1, until={})
    requested_at = (datetime.now(timezone.utc) + timedelta(seconds=0.001)).isoformat()

    with once_waiting(account, lambda: resize(account, 1)):
        run = call(requested_at=requested_at)

    assert run.state == "success", run.message
    assert "The zone is on fire." in call_error(call, account)


def call_error(call: Call, account: BatchAccount) -> str:
    """Give what the same wait says of a resize error that is not from before."""
    account.control.resize_error("other", "AllocationFailed", "The zone is on fire.")
    account.make_pool("other", dedicated=1, until={})
    return call(pool_id="other").message


def formula(account: BatchAccount, text: str) -> None:
    """Let a formula decide the size of the pool."""
    settings = {"autoScaleFormula": text}
    account.hook.run(lambda client: client.enable_autoscale("etl", settings))


@pytest.mark.parametrize("call", WAITS)
def test_a_failing_formula_is_reported_and_waited_for_until_it_is_corrected(
    account: BatchAccount, call: Call
) -> None:
    created = create(dedicated_nodes=0, autoscale={"formula": BROKEN_FORMULA})

    with once_waiting(account, lambda: formula(account, "$TargetDedicatedNodes = 1;")):
        run = call()

    assert created.state == "success", created.message
    assert run.state == "success", run.message
    assert run.result["nodes"] == {"idle": 1}


@pytest.mark.parametrize("call", WAITS)
def test_a_formula_that_goes_on_to_fail_is_the_cause_that_the_time_out_names(
    account: BatchAccount, call: Call
) -> None:
    create(dedicated_nodes=0, autoscale={"formula": BROKEN_FORMULA})

    run = call(timeout=0.2)

    assert type(run.error).__name__ == "AirflowSensorTimeout", run.message
    assert "its autoscale formula failed at its last evaluation" in run.message
    assert account.pools() == ["etl"]
