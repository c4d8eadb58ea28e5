"""The operator that runs a command, when it is run again: what it adopts, what it ends, what it repeats."""

from __future__ import annotations

import re

import pytest

from airflow_provider_batchlinux.exceptions import BatchRequestError
from tests.airflow_harness import ExecutionApi, run_task
from tests.batch_account import BatchAccount, eventually
from tests.conftest import set_connection
from tests.unit.commands import defer, finish, job_of, operator


@pytest.fixture
def pool(account: BatchAccount) -> str:
    """Make a pool with two idle nodes."""
    return account.idle_pool(2)


@pytest.mark.usefixtures("pool")
class TestDeferral:
    def test_the_task_leaves_the_worker_while_the_command_runs(self, account, loop):
        deferred = defer(loop.command)
        loop.wait_until_started()
        loop.go.touch()

        run = finish(deferred)

        assert run.state == "success"
        assert "    let go" in run.log
        assert run.result["job_id"] == job_of(deferred)
        assert account.service.key not in deferred.everything_said

    def test_the_resumed_task_needs_nothing_but_the_event(self, loop):
        deferred = defer(loop.command)
        loop.go.touch()

        assert finish(deferred, pool_id="forgotten").state == "success"


@pytest.mark.usefixtures("pool")
class TestRetry:
    def test_a_retry_goes_on_with_the_command_that_still_runs(self, account, loop):
        first = defer(loop.command)
        loop.wait_until_started()

        second = defer(loop.command, try_number=2)

        assert job_of(second) == job_of(first)
        assert account.jobs() == [job_of(first)]
        loop.go.touch()
        assert finish(second).state == "success"
        assert len(loop.pids()) == 1

    def test_a_retry_repeats_a_command_that_has_ended(self, tmp_path):
        command = f"echo try >> {tmp_path}/tries; [ $(wc -l < {tmp_path}/tries) = 2 ]"

        first = run_task(operator(command, delete_job="never"))
        second = run_task(operator(command), try_number=2)

        assert (first.state, second.state) == ("failed", "success")

    def test_a_retry_ends_another_command_of_an_earlier_try(self, account, loop):
        first = defer(loop.command)
        loop.wait_until_started()

        second = run_task(operator("echo something else"), try_number=2)

        assert second.state == "success"
        assert f"Deleting job {job_of(first)!r}, which an earlier try left." in second.log
        eventually(lambda: not loop.runs())
        eventually(lambda: account.jobs() == [])

    def test_the_jobs_of_other_task_instances_are_left_alone(self, account, loop):
        other = defer(loop.command, task_id="other")
        loop.wait_until_started()

        run_task(operator("true"), try_number=2)

        assert loop.runs()
        assert job_of(other) in account.jobs()

    def test_a_job_of_the_same_id_from_a_cleared_run_is_replaced(self, account, loop):
        first = defer(loop.command)
        loop.wait_until_started()

        second = run_task(operator("echo again", delete_job="never"))

        assert second.state == "success"
        assert account.jobs() == [job_of(first)] == [second.result["job_id"]]
        assert "    again" in second.log
        eventually(lambda: not loop.runs())

    def test_every_try_has_a_job_of_its_own(self):
        runs = [
            run_task(operator("true", delete_job="never"), try_number=number, api=api)
            for number, api in ((1, None), (2, ExecutionApi(resume={"max_tries": 1})))  # it was cleared
        ]

        ids = [run.result["job_id"] for run in runs]
        assert ids[0].endswith("-t1")
        assert ids[1].endswith("-t2")

    def test_mapped_task_instances_have_jobs_of_their_own_and_all_lines_of_the_log_name_the_item(
        self, account
    ):
        runs = [run_task(operator("true", delete_job="never"), map_index=index) for index in (0, 1)]

        jobs = [run.result["job_id"] for run in runs]
        assert sorted(jobs) == sorted(account.jobs())
        assert [job.rpartition("-t")[0].rpartition("-")[2] for job in jobs] == ["0", "1"]
        lines = [line for line in runs[1].log.splitlines() if re.match(r"(Job|Task|std\w+ of job) ", line)]
        assert len(lines) >= 4
        assert all("-1-t1'" in line for line in lines), lines


@pytest.mark.usefixtures("pool")
class TestLostAnswers:
    @pytest.mark.parametrize("path", [pytest.param("/jobs$", id="job"), pytest.param("/tasks$", id="task")])
    def test_a_submission_whose_answer_is_lost_runs_once(self, account, monkeypatch, tmp_path, path):
        set_connection(monkeypatch, account.service, retry_budget=10)
        account.control.inject("POST", path, drop="after")

        run = run_task(operator(f"echo try >> {tmp_path}/tries"))

        assert run.state == "success"
        assert (tmp_path / "tries").read_text() == "try\n"
        assert "Waiting until the old job" not in run.log

    def test_a_task_that_is_refused_leaves_no_job(self, account):
        account.control.inject("POST", "/tasks$", status=400, code="InvalidPropertyValue")

        run = run_task(operator("true"))

        assert isinstance(run.error, BatchRequestError)
        eventually(lambda: account.jobs() == [])
