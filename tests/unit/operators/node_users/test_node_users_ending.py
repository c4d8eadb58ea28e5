"""The operator that adds users, when it is killed: its user is removed, and no other."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.airflow_harness import make_trigger, run_task
from tests.batch_account import BatchAccount
from tests.unit.operators.node_users.test_node_users import add, remove
from tests.unit.operators.node_users.test_node_users_whole_pool import QUICK, hold, ledger_of


@pytest.fixture
def pool(account: BatchAccount) -> str:
    """Make a pool with an idle node, and one that the service has lost sight of."""
    account.idle_pool(2)
    account.put_node("unknown")
    return "etl"


class _KillAt(logging.Handler):
    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            logging.getLogger().removeHandler(self)
            os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def killed_at(text: str) -> Iterator[None]:
    """Send the signal that Airflow kills a worker with, once the log holds a text."""
    handler = _KillAt(text)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


def users(account: BatchAccount, method: str) -> list[str]:
    return [line for line in account.requests() if line.startswith(method) and "/users" in line]


def deferred_trigger(public_key: str) -> Any:
    run = run_task(add(ssh_public_key=public_key, deferrable=True, **QUICK))
    assert run.deferral is not None
    return make_trigger(run.deferral)


@pytest.mark.usefixtures("pool")
def test_killing_the_worker_takes_the_user_off_the_nodes_that_have_it(account, public_key):
    with killed_at("can take the user"):
        run_task(add(ssh_public_key=public_key, timeout=0.2, **QUICK))

    [added] = users(account, "POST")
    assert f"DELETE {added.removeprefix('POST ')}/etl" in users(account, "DELETE")


@pytest.mark.usefixtures("pool")
def test_killing_the_deferred_task_takes_the_user_off_the_nodes_that_have_it(account, public_key):
    trigger = deferred_trigger(public_key)
    assert "etl" in ledger_of(account)

    asyncio.run(trigger.on_kill())

    account.control.set_node("etl", account.nodes()[0].node_id, "idle")
    assert {record["outcome"] for record in run_task(remove()).result} == {"absent"}


@pytest.mark.usefixtures("pool")
def test_a_node_that_cannot_be_asked_keeps_the_user_in_the_ledger(account, public_key):
    asyncio.run(deferred_trigger(public_key).on_kill())

    assert "etl" in ledger_of(account)


@pytest.mark.usefixtures("pool")
def test_a_user_that_another_run_has_taken_over_stays(account, public_key):
    trigger = deferred_trigger(public_key)
    hold(account, "etl", run_id="another", take_over=True)

    asyncio.run(trigger.on_kill())

    assert users(account, "DELETE") == []
    assert ledger_of(account)["etl"].by["run_id"] == "another"


@pytest.mark.usefixtures("pool")
def test_killing_the_wait_of_a_removal_changes_nothing(account):
    run = run_task(remove(deferrable=True, **QUICK))
    assert run.deferral is not None
    before = len(users(account, "DELETE"))

    asyncio.run(make_trigger(run.deferral).on_kill())

    assert len(users(account, "DELETE")) == before


def test_killing_a_task_that_has_not_begun_does_nothing(account, public_key):
    add(ssh_public_key=public_key).on_kill()

    assert account.requests() == []
