"""The service throttles, breaks, is slow or gone: each wait and each call recovers, or names the cause."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_batchlinux.client.transport import session
from airflow_provider_batchlinux.emulator import RunningEmulator
from tests.batch_account import BatchAccount
from tests.faults import Door, ScenarioClock
from tests.integration.scenarios import CALLS, WAITS, Call, assert_done, once_waiting, prepare

MINUTE = 60.0
TRIES_OF_A_MINUTE = 8
"""Waits of 1, 2, 4, 8, 16, 30 ... seconds, each up to a quarter shorter: after them, a minute has passed."""


@pytest.mark.parametrize(
    "retry_after", [pytest.param(None, id="no Retry-After"), pytest.param(10.0, id="10 s")]
)
@pytest.mark.parametrize("call", CALLS)
def test_throttling_for_a_minute_is_sat_out(
    patient_account: BatchAccount, scenario: ScenarioClock, call: Call, retry_after: float | None
) -> None:
    prepare(call, patient_account)
    patient_account.control.inject(times=TRIES_OF_A_MINUTE, status=429, retry_after=retry_after)

    run = call()

    assert_done(call, run, patient_account)
    assert scenario.now >= MINUTE
    refused = [request for request in patient_account.control.requests() if request["status"] == 429]
    assert len(refused) == TRIES_OF_A_MINUTE


@pytest.mark.parametrize("call", CALLS)
def test_a_burst_of_server_errors_is_sat_out(
    patient_account: BatchAccount, scenario: ScenarioClock, call: Call
) -> None:
    prepare(call, patient_account)
    for status in (500, 503, 500, 502, 503):
        patient_account.control.inject(status=status)

    assert_done(call, call(), patient_account)
    assert scenario.now > 10


@pytest.mark.parametrize("drop", [pytest.param("before", id="unheard"), pytest.param("after", id="done")])
@pytest.mark.parametrize("call", CALLS)
def test_connections_that_are_reset_are_made_again(
    patient_account: BatchAccount, scenario: ScenarioClock, call: Call, drop: Any
) -> None:
    prepare(call, patient_account)
    patient_account.control.inject(times=5, drop=drop)

    assert_done(call, call(), patient_account)
    assert scenario.now > 0


@pytest.mark.parametrize("call", CALLS)
def test_a_service_that_is_gone_for_two_minutes_is_waited_for(
    account: BatchAccount, door: Door, scenario: ScenarioClock, call: Call
) -> None:
    prepare(call, account)
    door.shut()
    scenario.at(2 * MINUTE, door.open)

    assert_done(call, call(), account)
    assert scenario.now >= 2 * MINUTE


@pytest.mark.parametrize("call", CALLS)
def test_a_service_that_stays_away_fails_with_a_sentence_and_the_next_try_goes_on(
    account: BatchAccount, door: Door, scenario: ScenarioClock, call: Call
) -> None:
    prepare(call, account)
    door.shut()

    run = call()
    door.open()

    assert run.state == "failed"
    assert type(run.error).__name__ == "BatchUnreachableError"
    assert "no answer from the service for" in run.message
    # A create asks once more on its last try, to take back a pool that it may have made.
    assert scenario.now <= 600
    assert_done(call, call(), account)


@pytest.mark.parametrize("call", CALLS)
def test_slow_answers_only_take_time(
    patient_account: BatchAccount, scenario: ScenarioClock, call: Call
) -> None:
    prepare(call, patient_account)
    patient_account.control.inject(times=3, delay=0.05)

    assert_done(call, call(), patient_account)
    assert scenario.now == 0


@pytest.mark.parametrize("call", CALLS)
def test_an_answer_that_never_comes_is_asked_for_again(
    patient_account: BatchAccount,
    scenario: ScenarioClock,
    monkeypatch: pytest.MonkeyPatch,
    call: Call,
) -> None:
    monkeypatch.setattr(session, "READ_TIMEOUT", 0.3)
    prepare(call, patient_account)
    patient_account.control.inject(delay=0.6)

    assert_done(call, call(), patient_account)
    assert scenario.now > 0


@pytest.mark.parametrize("call", WAITS)
def test_a_token_that_expires_while_a_task_waits_is_renewed(
    secure_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    account = connected_by_token(secure_emulator, monkeypatch)
    account.make_pool(spot=1, until={"idle": 1})
    node_id = account.put_node("preempted")

    def expire() -> None:
        account.control.inject(path="/pools|/nodecounts", status=401, code="AuthenticationFailed")

    with once_waiting(account, expire, lambda: account.control.set_node("etl", node_id, "creating")):
        run = call()

    assert run.state == "success", run.message
    assert [request["status"] for request in account.control.requests()].count(401) == 1


def connected_by_token(service: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> BatchAccount:
    """Let the default connection prove who it is by a token."""
    facts = service.identity
    assert facts is not None
    named = {"tenant_id": facts.tenant_id, "client_id": facts.client_id}
    proof = {"auth": "client_secret", "client_secret": facts.client_secret, "authority_host": facts.authority}
    account = {"account_url": service.endpoint, "ca_file": str(service.ca)}
    connection = {"conn_type": "azure_batch_linux", "extra": {**account, **named, **proof}}
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", json.dumps(connection))
    return BatchAccount(service)
