"""The operator that runs a command, when it is killed or out of time: nothing goes on on the node."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_batchlinux.exceptions import TaskFailedError
from tests.airflow_harness import resume_task, run_task, run_to_end, run_trigger
from tests.batch_account import BatchAccount, eventually
from tests.unit.commands import Loop, counts_of, defer, finish, job_of, operator


@pytest.fixture
def pool(account: BatchAccount) -> str:
    """Make a pool with an idle node."""
    return account.idle_pool(1)


class _KillAt(logging.Handler):
    def __init__(self, text: str, loop: Loop) -> None:
        super().__init__()
        self._text = text
        self._loop = loop

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            logging.getLogger().removeHandler(self)
            self._loop.wait_until_started()
            os.kill(os.getpid(), signal.SIGTERM)
            # Airflow would end the process now. Here it goes on, so a command that was not ended is let go.
            self._loop.go.touch()


@contextmanager
def killed_at(text: str, loop: Loop) -> Iterator[None]:
    """Send the signal that Airflow kills a worker with, once the log holds a text and the command runs."""
    handler = _KillAt(text, loop)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


def nothing_is_left(account: BatchAccount, loop: Loop) -> None:
    eventually(lambda: not loop.runs())
    eventually(lambda: account.jobs() == [])


@pytest.mark.usefixtures("pool")
class TestKill:
    def test_killing_the_worker_ends_the_command_and_deletes_its_job(self, account, loop):
        with killed_at("is running on node", loop):
            run = run_task(operator(loop.command))

        assert run.state == "failed"
        assert len(loop.pids()) == 1
        nothing_is_left(account, loop)

    def test_killing_the_worker_keeps_the_files_of_a_job_that_is_to_be_kept(self, account, loop):
        with killed_at("is running on node", loop):
            run = run_task(operator(loop.command, delete_job="never"))

        assert run.state == "failed"
        eventually(lambda: not loop.runs())
        assert len(account.jobs()) == 1

    def test_killing_the_worker_while_it_reads_the_output_deletes_the_job(self, account, loop):
        deferred = defer(loop.command)
        loop.wait_until_started()
        loop.go.touch()
        # Else the triggerer may follow the output, and there the signal would end the tests.
        eventually(lambda: counts_of(account, job_of(deferred)).succeeded == 1)
        assert deferred.deferral is not None
        event = run_trigger(deferred.deferral)

        with killed_at("stdout of job", loop):
            resume_task(operator("unused", deferrable=True), deferred, event)

        assert any(request.endswith("/tasks/main/terminate") for request in account.requests())
        nothing_is_left(account, loop)

    def test_killing_the_worker_while_the_service_is_away_ends_in_words(self, account, loop):
        account.control.inject("POST", "/terminate", times=None, drop="before")

        with killed_at("is running on node", loop):
            run = run_task(operator(loop.command))

        assert "could not be terminated and may go on: Could not end task 'main' of job" in run.log


@pytest.mark.usefixtures("pool")
class TestTimeLimits:
    # Airflow raises its time-out wherever the worker happens to be, also where Python can only report it.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize(
        "deferrable", [pytest.param(False, id="worker"), pytest.param(True, id="triggerer")]
    )
    def test_the_execution_timeout_ends_the_command(self, account, loop, deferrable):
        limit = timedelta(seconds=0.7)

        run = run_to_end(operator(loop.command, deferrable=deferrable, execution_timeout=limit))

        assert run.state == "failed"
        assert type(run.error).__name__ in ("WaitTimeoutError", "AirflowTaskTimeout")
        nothing_is_left(account, loop)

    def test_the_deferred_task_says_what_it_saw_last_when_its_time_is_over(self, loop):
        work = operator(loop.command, deferrable=True, execution_timeout=timedelta(minutes=2))
        begun = run_task(work)
        assert begun.deferral is not None

        run = resume_task(work, begun, run_trigger(begun.deferral.overdue()))

        assert isinstance(run.error, AirflowTaskTimeout)
        assert "exceeded execution_timeout=120 s. Last status: Task 'main' of job" in run.message

    def test_without_an_execution_timeout_there_is_no_deadline(self, loop):
        deferral = defer(loop.command).deferral

        assert deferral is not None
        assert deferral.trigger_kwargs["deadline"] is None
        assert deferral.timeout is None


class TestLostGround:
    def test_a_command_whose_pool_is_gone_before_it_began_fails(self, account):
        account.make_pool(until={})
        deferred = defer("true")
        account.delete_pool()

        run = finish(deferred)

        assert isinstance(run.error, TaskFailedError)
        assert run.message.endswith("cannot run: pool 'etl' does not exist.")
        eventually(lambda: account.jobs() == [])

    @pytest.mark.usefixtures("pool")
    def test_a_command_that_was_deleted_fails(self, account, loop):
        deferred = defer(loop.command)
        [job_id] = account.jobs()
        account.hook.delete_job(job_id)

        run = finish(deferred)

        assert isinstance(run.error, TaskFailedError)
        assert run.message == f"Task 'main' of job {job_id!r} does not exist any more: it was deleted."

    def test_a_command_whose_node_is_taken_away_runs_again_on_another(self, account, loop):
        account.idle_pool(2)
        deferred = defer(loop.command)
        loop.wait_until_started()
        [busy] = [node.node_id for node in account.nodes() if node.state == "running"]

        account.control.set_node("etl", busy, "preempted")
        loop.wait_until_started(2)
        loop.go.touch()

        run = finish(deferred)
        assert run.state == "success"
        assert run.result["node_id"] != busy
