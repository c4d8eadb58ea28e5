"""A create that is ended half way: its last try leaves nothing, an earlier one leaves it to the retry."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_batchlinux.exceptions import BatchUnreachableError
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from tests.airflow_harness import ExecutionApi, TaskRun, end_deferral, run_task
from tests.batch_account import BatchAccount, eventually
from tests.conftest import set_connection

HELD = 30.0


def operator(**options: Any) -> BatchLinuxCreatePoolOperator:
    given = {"pool_id": "etl", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5", **options}
    return BatchLinuxCreatePoolOperator(task_id="create", **given)


def create(*, max_tries: int = 0, **options: Any) -> TaskRun:
    return run_task(operator(**options), api=ExecutionApi(resume={"max_tries": max_tries}))


class _KillAt(logging.Handler):
    def __init__(self, text: str, number: signal.Signals) -> None:
        super().__init__()
        self._text, self._number = text, number

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            logging.getLogger().removeHandler(self)
            os.kill(os.getpid(), self._number)


@contextmanager
def killed_at(text: str, number: signal.Signals = signal.SIGTERM) -> Iterator[None]:
    """Send the signal with which Airflow kills a worker, or another one, once the log holds a text."""
    handler = _KillAt(text, number)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


@contextmanager
def signalled_when_created(account: BatchAccount, number: signal.Signals) -> Iterator[None]:
    """Send a signal when the service has the pool: that of a kill, or of the end of ``execution_timeout``."""

    def send() -> None:
        eventually(lambda: account.pools() == ["etl"])
        os.kill(os.getpid(), number)

    sender = Thread(target=send)
    sender.start()
    yield
    sender.join()


@pytest.mark.parametrize("max_tries", [0, 1], ids=["last try", "a try is left"])
class TestEndedHalfWay:
    def left(self, account: BatchAccount, max_tries: int) -> None:
        if max_tries:
            assert account.pools() == ["etl"]
        else:
            eventually(lambda: account.pools() == [])

    def test_by_execution_timeout_while_the_service_holds_its_answer(self, account, max_tries):
        account.control.inject("POST", "/pools$", hold=HELD)

        with signalled_when_created(account, signal.SIGALRM):
            run = create(max_tries=max_tries, execution_timeout=timedelta(hours=1))

        assert isinstance(run.error, AirflowTaskTimeout)
        self.left(account, max_tries)

    def test_by_a_kill_before_the_request(self, account, max_tries):
        with killed_at("node agent SKU"):
            create(max_tries=max_tries)

        self.left(account, max_tries)

    def test_by_a_kill_while_the_service_holds_its_answer(self, account, max_tries):
        account.control.inject("POST", "/pools$", hold=3.0)

        with signalled_when_created(account, signal.SIGTERM):
            create(max_tries=max_tries)

        self.left(account, max_tries)

    def test_by_a_service_that_takes_the_request_and_no_longer_answers(self, account, monkeypatch, max_tries):
        set_connection(monkeypatch, account.service, retry_budget=0)
        account.control.inject("POST", "/pools$", drop="after")

        run = create(max_tries=max_tries)

        assert isinstance(run.error, BatchUnreachableError)
        self.left(account, max_tries)


def test_the_retry_adopts_what_the_first_try_has_left(account):
    account.control.inject("POST", "/pools$", hold=HELD)
    with signalled_when_created(account, signal.SIGALRM):
        create(max_tries=1, execution_timeout=timedelta(hours=1))

    again = run_task(operator(), try_number=2)

    assert again.result["created"] is False
    assert again.state == "success", again.error


@pytest.mark.parametrize("reason", ["Trigger failure", "Trigger timeout"])
def test_a_pool_of_an_earlier_try_is_taken_back_when_the_last_deferral_is_lost(slow_account, reason):
    # The first try has created it; the next one waits for its resize, which is about to be changed.
    create(max_tries=1, dedicated_nodes=1)
    run = run_task(operator(dedicated_nodes=2, if_exists="resize", deferrable=True), try_number=2)
    assert run.state == "deferred", run.error

    end_deferral(operator(dedicated_nodes=2, if_exists="resize", deferrable=True), run, reason)

    assert slow_account.hook.find_pool("etl").state == "deleting"


def test_a_pool_of_another_task_is_left_alone(account):
    run_task(operator(), api=ExecutionApi(run_id="another"))

    with killed_at("exists already, created"):
        create()

    assert account.pools() == ["etl"]
