"""The operator that runs a command: its output, its result, its failure, on the worker and deferred alike."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_batchlinux.exceptions import BatchQuotaError, TaskFailedError
from tests.airflow_harness import TaskRun, run_task, run_to_end
from tests.batch_account import BatchAccount, eventually
from tests.unit.commands import operator


@pytest.fixture
def pool(account: BatchAccount) -> str:
    """Make a pool with an idle node."""
    return account.idle_pool(1)


@pytest.fixture(params=[pytest.param(False, id="worker"), pytest.param(True, id="triggerer")])
def run(request: pytest.FixtureRequest, pool: str) -> Any:
    """Give a way to run a command to its end, waiting on the worker or on the triggerer."""

    def run_command(command: str, **options: Any) -> TaskRun:
        return run_to_end(operator(command, deferrable=request.param, **options))

    return run_command


class TestSuccess:
    def test_the_result_tells_how_it_went(self, account, run):
        done = run("true")

        assert done.state == "success"
        assert set(done.result) == {"job_id", "exit_code", "node_id", "seconds", "result"}
        assert (done.result["exit_code"], done.result["result"]) == (0, None)
        assert done.result["node_id"] == account.nodes()[0].node_id
        assert done.result["seconds"] >= 0

    def test_both_outputs_are_in_the_log_line_by_line(self, run):
        done = run("echo first; echo second; echo a warning >&2")

        job_id = done.result["job_id"]
        assert f"stdout of job {job_id!r}:\n    first\n    second" in done.log
        assert f"stderr of job {job_id!r}:\n    a warning" in done.log

    def test_of_a_long_output_the_end_is_shown(self, run):
        done = run("seq 1000 | sed s/^/line-/", output_limit=100)

        assert "line-1000" in done.log
        assert "line-900\n" not in done.log

    def test_a_result_file_comes_back_through_xcom(self, run):
        done = run(
            'mkdir out; echo \'{"rows": [1, 2], "name": "été"}\' > out/r.json', result_file="out/r.json"
        )

        assert done.result["result"] == {"rows": [1, 2], "name": "été"}

    def test_files_lie_in_the_working_directory(self, run, tmp_path):
        (tmp_path / "rows.csv").write_bytes(b"a,b\n1,2\n")
        (tmp_path / "sum.sh").write_text("#!/bin/bash\nwc -l < data/rows.csv > r.json\n")
        files = {"data/rows.csv": str(tmp_path / "rows.csv"), "sum.sh": str(tmp_path / "sum.sh")}

        assert run("./sum.sh", files=files, result_file="r.json").result["result"] == 2

    def test_the_environment_reaches_the_command(self, run):
        environment = {"GREETING": 'it\'s "quoted" $HOME\nand long'}

        done = run('python3 -c "import json, os; json.dump(os.environ[\'GREETING\'], open(\'r\', \'w\'))"',
                   environment=environment, result_file="r")  # fmt: skip

        assert done.result["result"] == environment["GREETING"]

    @pytest.mark.parametrize(
        ("command", "output"),
        [
            pytest.param("echo \"double\" 'single' $((1+1))", "double single 2", id="quotes"),
            pytest.param(
                "printf '%s|' \"a  b\" 'c\\nd' \\$HOME \\\\", "a  b|c\\nd|$HOME|\\|", id="backslashes"
            ),
            pytest.param("cat <<'END'\nit's \"$here\"\nEND", 'it\'s "$here"', id="here document"),
            pytest.param("\n    for i in 1 2; do\n        echo -n $i\n    done\n", "12", id="lines"),
            pytest.param("echo é ☃ `echo nested`", "é ☃ nested", id="beyond ascii"),
            pytest.param("-v; echo option", None, id="begins like an option"),
        ],
    )
    def test_a_command_runs_as_it_would_at_a_bash_prompt(self, run, command, output):
        done = run(command + "\n" if output else "true " + command)

        assert f"    {output or 'option'}" in done.log

    def test_fields_are_templated(self, run):
        done = run("echo {{ task.task_id }} $RUN", environment={"RUN": "{{ run_id }}"}, pool_id="{{ 'etl' }}")

        assert "    work manual__" in done.log


class TestFailure:
    def test_a_non_zero_exit_code_fails_with_the_end_of_stderr(self, account, run):
        done = run("echo made it this far; echo no such table >&2; exit 3")

        assert isinstance(done.error, TaskFailedError)
        assert (done.error.exit_code, done.error.node_id) == (3, account.nodes()[0].node_id)
        assert "exit code 3 on node " in done.message
        assert "The end of its stderr:\n    no such table" in done.shown
        assert "    made it this far" in done.log

    def test_a_killed_command_fails(self, run):
        done = run("kill -9 $$")

        assert isinstance(done.error, TaskFailedError)

    def test_a_command_over_its_time_limit_is_ended_by_the_service(self, run):
        done = run("sleep 600", time_limit=timedelta(seconds=0.2))

        assert isinstance(done.error, TaskFailedError)
        assert "exceeded its maximum wall-clock time" in done.message

    def test_the_service_tries_again_as_often_as_was_asked_for(self, run, tmp_path):
        done = run(f"echo try >> {tmp_path}/tries; [ $(wc -l < {tmp_path}/tries) = 3 ]", max_retries=2)

        assert done.state == "success"

    @pytest.mark.parametrize(
        ("command", "reason"),
        [
            pytest.param("true", "left no 'r.json' in its working directory", id="missing"),
            pytest.param("echo nonsense > r.json", "is not JSON", id="not JSON"),
            pytest.param("seq 100000 > r.json", "is over 49152 bytes", id="too large"),
        ],
    )
    def test_a_result_file_that_cannot_be_read_fails(self, run, command, reason):
        done = run(command, result_file="r.json")

        assert isinstance(done.error, TaskFailedError)
        assert reason in done.message


class TestCleanUp:
    @pytest.mark.parametrize(
        ("policy", "command", "kept"),
        [
            pytest.param("always", "true", 0, id="always, success"),
            pytest.param("always", "false", 0, id="always, failure"),
            pytest.param("on_success", "true", 0, id="on success, success"),
            pytest.param("on_success", "false", 1, id="on success, failure"),
            pytest.param("never", "true", 1, id="never, success"),
            pytest.param("never", "false", 1, id="never, failure"),
        ],
    )
    def test_the_job_is_deleted_when_that_was_asked_for(self, account, run, policy, command, kept):
        run(command, delete_job=policy)

        eventually(lambda: len(account.jobs()) == kept)

    def test_any_other_policy_is_refused_before_any_request(self, account):
        run = run_task(operator("true", delete_job="maybe"))

        assert "delete_job='maybe' is not one of always, on_success, never" in run.message
        assert account.requests() == []


class TestRefusals:
    def test_all_problems_are_named_at_once_before_any_request(self, account, tmp_path):
        files = {"rows.csv": str(tmp_path / "missing.csv")}
        done = run_task(operator(" ", pool_id="a b", files=files, max_retries=-2))

        assert isinstance(done.error, ValueError)
        for part in ("pool_id='a b'", "command=' ' is not non-empty text", "max_retries=-2", "missing.csv"):
            assert part in done.message
        assert account.requests() == []

    def test_files_that_are_too_large_are_refused_with_their_sizes(self, account, tmp_path):
        large = tmp_path / "large.bin"
        large.write_bytes(random.Random(0).randbytes(200_000))
        done = run_task(operator("true", files={"large.bin": str(large)}))

        assert "large.bin (200000 bytes)" in done.message
        # The last try looks for jobs that other tries may have left.
        assert [request for request in account.requests() if not request.startswith("GET ")] == []

    def test_a_pool_that_does_not_exist_fails_in_words_and_leaves_no_job(self, account):
        done = run_task(operator("true", pool_id="nowhere"))

        assert done.state == "failed"
        assert "nowhere" in done.message
        eventually(lambda: account.jobs() == [])

    def test_a_used_up_job_quota_is_an_error_of_its_own(self, account):
        account.idle_pool(1)
        account.control.set_quota(active_jobs=0)

        done = run_task(operator("true", quota_limit=None))

        assert isinstance(done.error, BatchQuotaError)
        assert "End jobs that are done, or ask for a higher job quota." in done.message
