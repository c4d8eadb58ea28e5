"""The operator that runs a command: output and results that cannot be read, now or ever, or not be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.emulator import airflow_connection
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchRequestError,
    BatchUnreachableError,
    TaskFailedError,
)
from tests.airflow_harness import ExecutionApi, run_task, run_trigger
from tests.batch_account import BatchAccount, eventually
from tests.chaos import PAGE, ChaosProxy, Fault, Script, answer_of, chaos_proxy, error_of, instead, no_fault
from tests.unit.commands import defer, finish, job_of, operator

UNREADABLE = [
    pytest.param(instead(error_of(503, "ServerBusy")), BatchUnreachableError, "ServerBusy", id="503"),
    pytest.param(instead(error_of(500, "InternalError")), BatchUnreachableError, "InternalError", id="500"),
    pytest.param(instead(error_of(403, "Forbidden")), BatchAuthenticationError, "Forbidden", id="403"),
    pytest.param(instead(error_of(409, "NodeNotReady")), BatchRequestError, "NodeNotReady", id="409"),
    pytest.param(instead(answer_of("403 No", PAGE)), BatchAuthenticationError, "A proxy", id="a proxy's 403"),
    pytest.param(instead(answer_of("200 OK", PAGE)), BatchUnreachableError, "A proxy", id="page"),
    pytest.param(Fault("reset", None, "before", "reset"), BatchUnreachableError, "no answer", id="reset"),
]


@pytest.fixture
def proxy(account: BatchAccount, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChaosProxy]:
    """Put a proxy before the service that lets all pass until it is told otherwise."""
    service = account.service
    with chaos_proxy(service.endpoint, no_fault) as proxy:
        connection = airflow_connection(proxy.url, service.account, service.key, None, retry_budget=0)
        monkeypatch.setenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", connection)
        yield proxy


@pytest.fixture
def pool(account: BatchAccount) -> str:
    """Make a pool with an idle node."""
    return account.idle_pool(1)


class Work:
    """A command that leaves a result, and a line elsewhere for each time that it runs."""

    def __init__(self, folder: Path) -> None:
        self._runs = folder / "runs"
        self._gate = folder / "gate"
        waits = f"until [ -e {self._gate} ]; do sleep 0.02; done"
        self.command = f"{waits}; echo run >> {self._runs}; echo said; echo '[7]' > r.json"

    @property
    def runs(self) -> int:
        return len(self._runs.read_text().splitlines())

    def run(self, *, try_number: int = 1, cleared_after: int = 0, **options: Any) -> Any:
        options = {"result_file": "r.json", **options}
        self._gate.touch()
        api = ExecutionApi(resume={"max_tries": cleared_after})
        return run_task(operator(self.command, **options), try_number=try_number, api=api)

    def defer(self, **options: Any) -> Any:
        deferred = defer(self.command, **options)
        assert deferred.deferral is not None
        self._gate.touch()
        run_trigger(deferred.deferral)
        return deferred


@pytest.fixture
def work(tmp_path: Path, pool: str) -> Work:
    return Work(tmp_path)


class TestNotReadableNow:
    @pytest.mark.parametrize(
        "path", [pytest.param("r.json", id="result"), pytest.param("stdout", id="output")]
    )
    @pytest.mark.parametrize(("fault", "kind", "said"), UNREADABLE)
    def test_the_task_fails_with_the_services_words_and_its_retry_reads_the_job(
        self,
        account: BatchAccount,
        proxy: ChaosProxy,
        work: Work,
        path: str,
        fault: Fault,
        kind: type,
        said: str,
    ) -> None:
        proxy.choose = Script(fault, path=f"/files/.*{path}", times=None)

        first = work.run()

        assert isinstance(first.error, kind)
        assert said in first.message
        assert first.message.endswith("has succeeded; its job is kept, and a retry reads its files.")
        assert len(account.jobs()) == 1

        proxy.choose = no_fault
        second = work.run(try_number=2)

        assert (second.state, second.result["result"], work.runs) == ("success", [7], 1)
        assert "its result was never read, and is read now" in second.log
        eventually(lambda: account.jobs() == [])

    def test_a_worker_that_was_lost_before_it_read_the_result_is_made_up_for(
        self, account: BatchAccount, work: Work
    ) -> None:
        work.defer()

        second = work.run(try_number=2)

        assert (second.result["result"], work.runs) == ([7], 1)
        eventually(lambda: account.jobs() == [])

    def test_the_command_is_run_again_where_that_is_asked_for(self, work: Work) -> None:
        work.defer()

        second = work.run(try_number=2, rerun_finished="{{ true }}")

        assert (second.result["result"], work.runs) == ([7], 2)

    def test_a_result_that_was_read_is_not_read_twice(self, work: Work) -> None:
        work.run(delete_job="never")

        assert work.run(try_number=2, cleared_after=1).state == "success"
        assert work.runs == 2

    def test_a_failed_command_whose_output_is_not_available_fails_and_keeps_its_job(
        self, account: BatchAccount, work: Work
    ) -> None:
        account.control.inject(None, "/files/", times=None, status=503)
        work.command = "exit 3"

        run = work.run()

        assert isinstance(run.error, TaskFailedError)
        assert "exit code 3 on node" in run.message
        assert "Its stderr is not available: Could not read 'stderr.txt'" in run.message
        assert len(account.jobs()) == 1


@pytest.mark.usefixtures("pool")
class TestRefusedDeletion:
    @pytest.mark.parametrize("code", ["Forbidden", "OperationInvalidForCurrentState"])
    def test_a_job_that_cannot_be_deleted_does_not_fail_what_was_read(
        self, proxy: ChaosProxy, work: Work, code: str
    ) -> None:
        proxy.choose = Script(instead(error_of(409, code)), method="DELETE", times=None)

        first = work.run()

        assert (first.state, first.result["result"]) == ("success", [7])
        assert "is no longer needed, but could not be deleted: Could not delete job" in first.log
        proxy.choose = no_fault
        assert work.run(try_number=2, cleared_after=1).state == "success"
        assert work.runs == 2

    def test_a_failed_command_keeps_its_own_error(self, account: BatchAccount, work: Work) -> None:
        account.control.inject("DELETE", "/jobs/", times=None, status=503)
        work.command = "exit 3"

        assert isinstance(work.run().error, TaskFailedError)


def preempt(account: BatchAccount) -> None:
    account.put_node("preempted")


def delete_pool(account: BatchAccount) -> None:
    account.delete_pool()


def remove_node(account: BatchAccount) -> None:
    account.hook.run(lambda client: client.resize_pool("etl", {"targetDedicatedNodes": 0}))
    account.wait_for_nodes({})


def reimage(account: BatchAccount) -> None:
    async def now(client: BatchLinuxClient) -> None:
        await client.reimage_node("etl", account.nodes()[0].node_id)

    account.hook.run(now)
    account.wait_for_nodes({"idle": 1})


LOSSES = [
    pytest.param(preempt, "is preempted", id="preempted"),
    pytest.param(delete_pool, "no longer exists", id="pool deleted"),
    pytest.param(remove_node, "no longer exists", id="node removed"),
    pytest.param(reimage, "no longer has its files, as after a reimage", id="reimaged"),
]


class TestLostNode:
    @pytest.mark.parametrize(("lose", "reason"), LOSSES)
    def test_a_result_that_is_lost_with_its_node_is_told_as_that(
        self, account: BatchAccount, work: Work, lose: Any, reason: str
    ) -> None:
        deferred = work.defer(delete_job="never")
        lose(account)

        run = finish(deferred, result_file="r.json", delete_job="never")

        assert isinstance(run.error, TaskFailedError)
        assert f"Job {job_of(deferred)!r} succeeded but its result is lost: node " in run.message
        assert reason in run.message
        assert "left no" not in run.message

    @pytest.mark.parametrize(("lose", "reason"), LOSSES)
    def test_output_that_is_lost_with_its_node_is_told_as_that_in_the_log(
        self, account: BatchAccount, work: Work, lose: Any, reason: str
    ) -> None:
        deferred = work.defer()
        lose(account)

        run = finish(deferred)

        assert run.state == "success"
        assert f"The stdout of job {job_of(deferred)!r} is lost: node " in run.log
        assert reason in run.log
        assert "(empty)" not in run.log

    def test_a_retry_runs_a_command_again_whose_result_is_lost(
        self, account: BatchAccount, work: Work
    ) -> None:
        deferred = work.defer(delete_job="never")
        reimage(account)
        finish(deferred, result_file="r.json", delete_job="never")

        assert work.run(try_number=2).result["result"] == [7]
        assert work.runs == 2


class TestUnusableResult:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            pytest.param(
                '{"mean": NaN}', "holds NaN, which JSON does not have; write null instead", id="NaN"
            ),
            pytest.param("[-Infinity]", "holds -Infinity, which JSON does not have", id="Infinity"),
            pytest.param("nonsense", "is not JSON", id="no JSON"),
        ],
    )
    def test_it_is_refused_by_name_and_the_job_is_kept(
        self, account: BatchAccount, work: Work, content: str, reason: str
    ) -> None:
        work.command += f"; echo '{content}' > r.json"

        run = work.run()

        assert isinstance(run.error, TaskFailedError)
        assert reason in run.message
        assert run.message.endswith("The job is kept with the file.")
        assert len(account.jobs()) == 1

    def test_a_retry_runs_the_command_again_and_deletes_the_old_job(
        self, account: BatchAccount, work: Work
    ) -> None:
        work.command += "; [ -e ../../../seen ] || echo NaN > r.json"
        work.command = (
            work.command.replace("../../../seen", f"{work._runs}.seen") + f"; touch {work._runs}.seen"
        )
        first = work.run()
        second = work.run(try_number=2)

        assert (first.state, second.state, work.runs) == ("failed", "success", 2)
        eventually(lambda: account.jobs() == [])


@pytest.mark.usefixtures("pool")
def test_cut_output_says_how_much_is_left_out_and_consists_of_whole_lines(account: BatchAccount) -> None:
    run = run_task(operator("seq -f 'line %g' 60000"))

    output = run.log.partition("stdout of job")[2].splitlines()
    shown = [int(line.split()[-1]) for line in output if line.startswith("    line ")]
    left_out = sum(len(f"line {number}\n") for number in {*range(1, 60_001)} - {*shown})
    assert sum(len(f"line {number}\n") for number in shown) <= 256 * 1024
    assert sorted(set(shown)) == shown
    assert shown[-1] == 60_000
    assert f"    [{left_out} bytes left out]\n" in run.log


class TestEndOfTheLastTry:
    def test_a_wait_that_fails_keeps_the_job_of_a_command_that_has_succeeded(
        self, account: BatchAccount, proxy: ChaosProxy, work: Work
    ) -> None:
        deferred = work.defer()
        # The wait may not look at the task; the end of the task may.
        proxy.choose = Script(instead(error_of(403, "Forbidden")), method="GET", path="/tasks/main")

        run = finish(deferred)

        assert isinstance(run.error, BatchAuthenticationError)
        assert f"Job {job_of(deferred)!r} is kept: its command has succeeded" in run.log
        assert account.jobs() == [job_of(deferred)]
