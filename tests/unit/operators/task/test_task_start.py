"""The operator that runs a command: a pool that cannot run it says why, and start_limit ends the wait."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from azure.batch import models

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.tasks.tasks import TaskWait
from airflow_provider_batchlinux.exceptions import TaskFailedError
from tests.airflow_harness import run_task, run_to_end
from tests.batch_account import BatchAccount, eventually
from tests.unit.commands import Loop, defer, job_of, operator


def failed_start_task(account: BatchAccount) -> None:
    account.make_pool(dedicated=1, start_task="echo no such mirror; exit 3", until={"starttaskfailed": 1})


def unusable_nodes(account: BatchAccount) -> None:
    account.idle_pool(1)
    account.put_node("unusable")


def no_nodes(account: BatchAccount) -> None:
    account.make_pool(until={})


def used_up_quota(account: BatchAccount) -> None:
    account.control.set_quota(dedicated_cores=0)
    account.make_pool(dedicated=1, until={})


def disabled_scheduling(account: BatchAccount) -> None:
    async def disable(client: BatchLinuxClient) -> None:
        option = models.BatchNodeDisableSchedulingOptions(node_disable_scheduling_option="requeue")
        await client.sdk.disable_node_scheduling("etl", account.nodes()[0].node_id, option)

    account.idle_pool(1)
    account.hook.run(disable)
    account.wait_for_nodes({"offline": 1})


POOLS = [
    pytest.param(failed_start_task, "start task failed with exit code 3", id="start task"),
    pytest.param(unusable_nodes, "unusable", id="unusable"),
    pytest.param(no_nodes, "it has no nodes and none are requested; resize it.", id="no nodes"),
    pytest.param(used_up_quota, "AccountCoreQuotaReached", id="quota"),
    pytest.param(disabled_scheduling, "offline, its scheduling is disabled", id="offline"),
]
Make = Callable[[BatchAccount], None]


def status_of(account: BatchAccount, job_id: str, start_by: float | None = None) -> str:
    """Poll once as a wait does, and return what it says."""

    async def poll(client: BatchLinuxClient) -> str:
        wait = TaskWait(client, "etl", job_id, start_by)
        assert await wait.poll() is None
        return wait.status

    return account.hook.run(poll)


@pytest.mark.parametrize(("make", "cause"), POOLS)
def test_the_cause_is_told_at_the_first_poll(account: BatchAccount, make: Make, cause: str) -> None:
    make(account)
    deferred = defer("true")

    assert "is active. No node of pool 'etl' can run it: " in status_of(account, job_of(deferred))
    assert cause in status_of(account, job_of(deferred))
    assert cause in deferred.log


@pytest.mark.parametrize("deferrable", [pytest.param(False, id="worker"), pytest.param(True, id="triggerer")])
@pytest.mark.parametrize(("make", "cause"), POOLS)
def test_the_start_limit_fails_the_task_with_the_cause_and_leaves_no_job(
    account: BatchAccount, make: Make, cause: str, deferrable: bool
) -> None:
    make(account)

    run = run_to_end(operator("true", start_limit="{{ 0.05 }}", deferrable=deferrable))

    assert isinstance(run.error, TaskFailedError)
    assert "is still active after start_limit. No node of pool 'etl' can run it: " in run.message
    assert cause in run.message
    eventually(lambda: account.jobs() == [])


def test_the_output_of_a_failed_start_task_is_in_the_log(account: BatchAccount) -> None:
    failed_start_task(account)

    run = run_task(operator("true", start_limit=timedelta(seconds=0.05)))

    assert "Output of the start task on node " in run.log
    assert "no such mirror" in run.log


def test_a_command_that_has_started_is_not_limited(account: BatchAccount, loop: Loop) -> None:
    account.idle_pool(1)
    deferred = defer(loop.command)
    loop.wait_until_started()

    assert "is running on node" in status_of(account, job_of(deferred), start_by=0.0)


def test_a_command_behind_others_is_limited_without_a_cause(account: BatchAccount, loop: Loop) -> None:
    account.idle_pool(1)
    defer(loop.command, task_id="other")
    loop.wait_until_started()

    run = run_task(operator("true", start_limit=0.05))

    assert run.message.endswith("is still active after start_limit.")


@pytest.mark.parametrize("limit", [None, "None", "{{ none }}", ""])
def test_none_is_no_limit(account: BatchAccount, loop: Loop, limit: Any) -> None:
    account.idle_pool(1)

    deferral = defer(loop.command, start_limit=limit).deferral

    assert deferral is not None
    assert deferral.trigger_kwargs["start_by"] is None


@pytest.mark.parametrize("limit", ["soon", "0", "-1", "nan"])
def test_what_is_no_duration_is_refused_before_any_request(account: BatchAccount, limit: str) -> None:
    run = run_task(operator("true", start_limit=limit))

    assert isinstance(run.error, ValueError)
    assert account.requests() == []
