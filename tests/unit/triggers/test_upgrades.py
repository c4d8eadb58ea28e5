"""What earlier releases have stored is read, and what later ones have stored is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.core.events import VERSION, UnreadableEventError, WaitEvent
from airflow_provider_batchlinux.exceptions import error_from_payload
from airflow_provider_batchlinux.triggers._base import trigger_of
from tests.airflow_harness import Deferral, make_trigger, run_trigger

COMMON: dict[str, Any] = {"batch_linux_conn_id": "azure_batch_linux_default", "poll_interval": 0.02}
PACKAGE = "airflow_provider_batchlinux.triggers"
BY = {"dag_id": "d", "run_id": "r", "map_index": "-1", "task_id": "t"}

UNVERSIONED: dict[str, dict[str, Any]] = {
    f"{PACKAGE}.node_actions.BatchLinuxNodesActedTrigger": {
        "pool_id": "etl", "action": "reboot", "node_ids": ["n"], "since": None, **COMMON, "deadline": 5.5,
    },
    f"{PACKAGE}.node_users.BatchLinuxNodesForUserTrigger": {
        "pool_id": "etl", **COMMON, "deadline": 5.5, "node_ids": None, "where": None, "removing": False,
        "until": "2999-01-01T00:00:00+00:00", "ssh_public_key": None, "username": "etl", "by": BY,
    },
    f"{PACKAGE}.node_users_lease.BatchLinuxNodeUsersLeaseTrigger": {
        "pool_id": "etl", "username": "etl", "until": 5.5, "by": BY, **COMMON, "ssh_public_key": None,
        "password_conn_id": None, "is_admin": False, "until_task_ids": None, "at_once": 8,
    },
    f"{PACKAGE}.nodes.BatchLinuxNodesIdleTrigger": {
        "pool_id": "etl", **COMMON, "deadline": 5.5, "policy": None, "repair": None,
        "when_killed": "delete_pool", "dag_run": {"dag_id": "d", "run_id": "r"},
    },
    f"{PACKAGE}.pool.BatchLinuxPoolGoneTrigger": {"pool_id": "etl", **COMMON, "deadline": 5.5},
    f"{PACKAGE}.pool.BatchLinuxPoolResizedTrigger": {
        "pool_id": "etl", "resize": {"dedicated_nodes": 1}, **COMMON, "deadline": 5.5, "asked": True,
        "requested_at": None, "until_over": True, "stop_on_kill": True,
    },
    f"{PACKAGE}.task.BatchLinuxTaskTrigger": {
        "pool_id": "etl", "job_id": "j", **COMMON, "deadline": 5.5, "delete_job": "always",
    },
}  # fmt: skip
"""The arguments of triggers as the last release without a version stored them."""

RENAMED = {"at_once": "max_concurrency", "dag_run": "owner"}

stored_before = pytest.mark.parametrize(
    ("classpath", "arguments"), UNVERSIONED.items(), ids=[name.rpartition(".")[2] for name in UNVERSIONED]
)


def stored(classpath: str, arguments: dict[str, Any]) -> Deferral:
    return Deferral(classpath, arguments, timeout=None, next_method="execute_complete")


@stored_before
def test_a_trigger_without_a_version_is_read_and_stored_again_with_one(classpath, arguments):
    trigger = make_trigger(stored(classpath, arguments))

    again = trigger.serialize()[1]
    assert again["version"] == VERSION
    assert {RENAMED.get(name, name): value for name, value in arguments.items()}.items() <= again.items()
    assert not trigger.unknown


@stored_before
def test_an_event_that_does_not_name_its_trigger_is_read(classpath, arguments):
    event = {"version": 1, "arguments": arguments, "result": {}, "error": None}

    trigger = trigger_of(WaitEvent.from_payload(event))

    assert f"{type(trigger).__module__}.{type(trigger).__qualname__}" == classpath


def test_the_pool_of_a_stored_wait_is_deleted_after_a_kill(account):
    path = f"{PACKAGE}.nodes.BatchLinuxNodesIdleTrigger"
    account.make_pool()
    prefix = account.hook.settings().id_prefix
    mine = {"dag_id": "d", "run_id": "r", "instance": prefix, "fingerprint": "f"}
    metadata = [{"name": f"airflow_batchlinux_{name}", "value": value} for name, value in mine.items()]
    account.hook.run(lambda client: client.update_pool("etl", {"metadata": metadata}))

    trigger = make_trigger(stored(path, UNVERSIONED[path]))
    account.hook.run(lambda client: trigger.try_to_cancel(client, 10))

    assert account.pools() == []


@pytest.mark.parametrize(
    "later", [pytest.param({"version": 99}, id="version"), pytest.param({"colour": "red"}, id="argument")]
)
@stored_before
def test_a_trigger_of_a_later_release_is_refused_by_name_without_a_request(
    account, classpath, arguments, later
):
    event = run_trigger(stored(classpath, {**arguments, **later}))

    [name] = later
    message = str(error_from_payload(event["error"]))
    assert str({"version": "version 99", "colour": "with colour"}[name]) in message
    assert "Update both, then clear the task." in message
    assert account.requests() == []


def test_an_event_of_a_later_release_is_refused_by_name():
    with pytest.raises(UnreadableEventError, match="has version 99, and this worker reads versions 1 to 2"):
        WaitEvent.from_payload({"version": 99, "arguments": {}})
