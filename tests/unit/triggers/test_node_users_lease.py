"""The trigger of a lease, when its task is killed, or only its triggerer restarted."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.triggers.base import BaseTrigger

from tests.airflow_harness import RUN_ID, make_trigger, run_task
from tests.batch_account import BatchAccount
from tests.unit.leases import inside, lease, ledger


def deferred(account: BatchAccount, public_key: str) -> Any:
    account.idle_pool(1, ssh=True)
    run = run_task(lease(public_key))
    assert run.deferral is not None
    trigger = make_trigger(run.deferral)
    trigger.task_instance = TaskInstance(
        id=uuid.uuid4(),
        task_id="lease",
        dag_id="harness",
        run_id=RUN_ID,
        try_number=1,
        map_index=-1,
        dag_version_id=uuid.uuid4(),
    )
    return trigger


async def kill(trigger: Any, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "on_kill":
        await trigger.on_kill()
        return
    monkeypatch.delattr(BaseTrigger, "on_kill", raising=False)
    await trigger.cleanup()


def test_a_kill_on_the_worker_takes_the_user_away(account, key, public_key):
    account.idle_pool(1, ssh=True)
    operator = lease(public_key)
    kept = run_task(operator)
    assert kept.state == "deferred"
    assert kept.deferral is not None
    killed = lease(public_key)
    killed.current_trigger = make_trigger(kept.deferral)

    killed.on_kill()

    assert inside(account, client_keys=[key]) == 0
    assert ledger(account) == {}


def test_a_kill_before_anything_was_done_does_nothing(public_key):
    lease(public_key).on_kill()


@pytest.mark.parametrize("way", ["on_kill", "cleanup of Airflow before 3.3"])
def test_a_kill_of_the_deferred_task_takes_the_user_away(
    account, key, public_key, tasks_are, monkeypatch, way
):
    trigger = deferred(account, public_key)
    tasks_are(lease="failed")

    asyncio.run(kill(trigger, way, monkeypatch))

    assert inside(account, client_keys=[key]) == 0
    assert ledger(account) == {}


@pytest.mark.parametrize("way", ["on_kill", "cleanup of Airflow before 3.3"])
def test_a_restart_of_the_triggerer_leaves_the_user(account, key, public_key, tasks_are, monkeypatch, way):
    trigger = deferred(account, public_key)
    tasks_are(lease="deferred")

    asyncio.run(kill(trigger, way, monkeypatch))

    assert inside(account, client_keys=[key]) == 1


def test_cleanup_does_nothing_where_a_kill_is_told(account, key, public_key, tasks_are, monkeypatch):
    trigger = deferred(account, public_key)
    tasks_are(lease="failed")
    monkeypatch.setattr(BaseTrigger, "on_kill", trigger.on_kill, raising=False)

    asyncio.run(trigger.cleanup())

    assert inside(account, client_keys=[key]) == 1
