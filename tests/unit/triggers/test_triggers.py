"""What all triggers share: what Airflow stores of them, and that their events reach the task unchanged."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from importlib import resources
from typing import Any

import pytest
from airflow.triggers.base import DiscrimatedTriggerEvent
from pydantic import TypeAdapter

from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    WaitTimeoutError,
    error_from_payload,
)
from airflow_provider_batchlinux.triggers.nodes import BatchLinuxNodesIdleTrigger
from airflow_provider_batchlinux.triggers.pool import BatchLinuxPoolGoneTrigger
from airflow_provider_batchlinux.triggers.task import BatchLinuxTaskTrigger
from tests.airflow_harness import Deferral, make_trigger, run_trigger
from tests.conftest import set_connection
from tests.warm_python import warm_python

COMMON: dict[str, Any] = {"batch_linux_conn_id": "azure_batch_linux_default", "poll_interval": 0.02}
NODES = BatchLinuxNodesIdleTrigger(
    pool_id="etl", policy={"allow_empty": True, "running_is_ready": True}, deadline=5.5, **COMMON
)
GONE = BatchLinuxPoolGoneTrigger(pool_id="etl", **COMMON)
TASK = BatchLinuxTaskTrigger(pool_id="etl", job_id="j", delete_job="on_success", deadline=5.5, **COMMON)
ALL = [pytest.param(trigger, id=type(trigger).__name__) for trigger in (NODES, GONE, TASK)]


def stored(trigger: Any) -> Deferral:
    classpath, kwargs = trigger.serialize()
    return Deferral(classpath, kwargs, timeout=None, next_method="execute_complete")


@pytest.mark.parametrize("trigger", ALL)
def test_a_trigger_is_made_again_from_what_airflow_stores(trigger):
    again = make_trigger(stored(trigger))

    assert type(again) is type(trigger)
    assert again.serialize() == trigger.serialize()


@pytest.mark.parametrize("trigger", ALL)
def test_a_trigger_stores_names_and_numbers_only(trigger):
    _, kwargs = trigger.serialize()

    assert json.loads(json.dumps(kwargs)) == kwargs
    groups = [value.values() if isinstance(value, dict) else [value] for value in kwargs.values()]
    assert {type(value) for values in groups for value in values} <= {str, int, float, bool, type(None)}
    suspect = [name for name in kwargs if "key" in name or "secret" in name or "password" in name]
    assert {name: kwargs[name] for name in suspect if not isinstance(kwargs[name], bool)} == {}


@pytest.mark.parametrize("trigger", ALL)
def test_an_event_carries_the_arguments_of_its_trigger(trigger, account):
    account.make_pool(until={})

    kwargs = {**trigger.serialize()[1], "deadline": time.time() + 0.05}
    event = run_trigger(Deferral(trigger.serialize()[0], kwargs, None, "execute_complete"))

    assert event["arguments"] == kwargs


@pytest.mark.usefixtures("account")
def test_airflows_line_about_an_event_is_short_and_its_payload_reaches_the_task():
    async def fired() -> Any:
        return [event async for event in GONE.run()]

    [event] = asyncio.run(fired())

    # Airflow logs `result=event` with the line "Trigger fired event".
    assert f"{event} {event!r}" == " ".join(["TriggerEvent<BatchLinuxPoolGoneTrigger etl: done>"] * 2)
    as_sent: Any = TypeAdapter(DiscrimatedTriggerEvent)
    assert as_sent.validate_json(as_sent.dump_json(event)).payload == event.payload
    assert event.payload["arguments"]["batch_linux_conn_id"] == COMMON["batch_linux_conn_id"]


def test_a_wait_over_its_deadline_fires_with_an_error_of_its_own(slow_account):
    slow_account.make_pool(dedicated=1)
    trigger = BatchLinuxNodesIdleTrigger(pool_id="etl", deadline=time.time(), **COMMON)

    event = run_trigger(stored(trigger))

    assert isinstance(error_from_payload(event["error"]), WaitTimeoutError)


def test_an_error_reaches_the_task_with_its_code_and_request_id(account, monkeypatch):
    set_connection(monkeypatch, account.service, key="d3Jvbmcga2V5")

    error = error_from_payload(run_trigger(stored(GONE))["error"])

    assert isinstance(error, BatchAuthenticationError)
    assert error.code == "AuthenticationFailed"
    assert error.request_id is not None
    assert error.request_id in str(error)


def test_a_connection_that_cannot_work_reaches_the_task_in_words(account, monkeypatch):
    set_connection(monkeypatch, account.service, account_url="nonsense")

    error = error_from_payload(run_trigger(stored(GONE))["error"])

    assert isinstance(error, ValueError)
    assert "account_url='nonsense' is not a URL" in str(error)


def test_the_first_look_comes_after_a_pause_and_none_is_made_before(account):
    trigger = BatchLinuxPoolGoneTrigger(pool_id="etl", **{**COMMON, "poll_interval": 600.0})

    async def begin_and_cancel() -> None:
        waiting = asyncio.ensure_future(anext(trigger.run()))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        waiting.cancel()

    asyncio.run(begin_and_cancel())

    assert account.requests() == []


def test_importing_the_triggers_imports_no_azure():
    folder = resources.files("airflow_provider_batchlinux.triggers")
    names = sorted(item.name[:-3] for item in folder.iterdir() if item.name.endswith(".py"))
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module('airflow_provider_batchlinux.triggers.' + name)\n"
        "    print(name, 'azure' in sys.modules)"
    )

    done = subprocess.run(warm_python("-c", code), capture_output=True, text=True, check=True)

    said = [line for line in done.stdout.splitlines() if line.endswith((" False", " True"))]
    assert said == [f"{name} False" for name in names]
