"""The operator that runs many commands, when it is run again: what runs, what stays done, what goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.specs import TaskSpec
from tests.airflow_harness import ExecutionApi, make_trigger, run_task, run_trigger
from tests.batch_account import BatchAccount, eventually
from tests.unit.commands import Loop, Runs, counts_of, finish_job, job_of, job_operator, state_of
from tests.unit.operators.task.test_task_killed import Kill


def test_a_retry_runs_only_what_failed_or_never_ran(account: BatchAccount, runs: Runs) -> None:
    account.idle_pool(2)
    tasks = [
        TaskSpec(runs.of("a"), id="a"),
        TaskSpec(runs.of("b", f"test -e {runs.fixed}"), id="b"),
        TaskSpec(runs.of("c"), id="c", depends_on=["a", "b"]),
        TaskSpec(runs.of("d"), id="d", depends_on=["c"]),
    ]

    first = run_task(job_operator(tasks=tasks))
    [job_id] = account.jobs()
    eventually(lambda: state_of(account, job_id) == "completed")

    assert (first.state, runs.seen()) == ("failed", ["a", "b"])
    assert "3 of 4 commands did not succeed" in first.message
    assert "What is left waits for commands that have failed." in first.message
    outcomes = [record["outcome"] for record in first.xcoms["return_value"]["records"]]
    assert outcomes == ["succeeded", "failed", "not_run", "not_run"]

    runs.fixed.touch()
    second = run_task(job_operator(tasks=tasks), try_number=2)

    assert (second.state, runs.seen()) == ("success", ["a", "b", "b", "c", "d"])
    jobs = [record["job_id"] for record in second.result["records"]]
    assert jobs[0] == job_id
    assert set(jobs[1:]) == {job_id[:-1] + "2"}
    eventually(lambda: account.jobs() == [])


def test_after_a_success_of_all_a_try_runs_nothing(account: BatchAccount, runs: Runs, loop: Loop) -> None:
    account.idle_pool(1)
    options: Any = {"tasks": [runs.of("a", loop.command)], "deferrable": True}
    first = run_task(job_operator(**options))
    loop.go.touch()
    assert first.deferral is not None
    run_trigger(first.deferral)
    eventually(lambda: state_of(account, job_of(first)) == "completed")

    second = run_task(job_operator(**options), try_number=2)

    assert (second.state, runs.seen()) == ("success", ["a"])
    assert "1 command succeeded in earlier tries." in second.log


def test_the_job_of_a_lost_worker_goes_on_and_runs_again_what_failed_in_it(
    account: BatchAccount, loop: Loop, runs: Runs
) -> None:
    account.idle_pool(2)
    tasks = [loop.command, runs.of("a"), runs.of("b", f"test -e {runs.fixed}")]
    first = run_task(job_operator(tasks=tasks, deferrable=True))
    loop.wait_until_started()
    eventually(lambda: runs.seen() == ["a", "b"])
    eventually(lambda: counts_of(account, job_of(first)).failed == 1)
    runs.fixed.touch()

    second = run_task(job_operator(tasks=tasks, deferrable=True), try_number=2)
    assert job_of(second) == job_of(first)
    loop.go.touch()
    done = finish_job(second, tasks=tasks, try_number=2)

    assert (done.state, runs.seen(), len(loop.pids())) == ("success", ["a", "b", "b"], 1)
    assert {record["job_id"] for record in done.result["records"]} == {job_of(first)}


def test_a_job_that_runs_something_else_is_ended_and_what_it_has_done_stays(
    account: BatchAccount, loop: Loop, runs: Runs
) -> None:
    account.idle_pool(2)
    first = run_task(job_operator(tasks=[runs.of("a"), loop.command], deferrable=True))
    loop.wait_until_started()
    eventually(lambda: counts_of(account, job_of(first)).succeeded == 1)

    second = run_task(job_operator(tasks=[runs.of("a"), runs.of("b")]), try_number=2)

    assert (second.state, runs.seen()) == ("success", ["a", "b"])
    eventually(lambda: not loop.runs())


def test_a_worker_that_is_lost_at_any_request_of_the_submission_runs_no_command_twice(
    account: BatchAccount, runs: Runs, tmp_path: Path
) -> None:
    account.idle_pool(1)
    for number in range(1, 20):
        loop = Loop(tmp_path, f"loop-{number}")  # lets no command end before the submission has
        tasks = [runs.of(f"{number}a"), runs.of(f"{number}b")]
        options: Any = {"tasks": tasks, "task_id": f"work-{number}", "preparation": loop.command}
        kill = Kill(number, is_answered=True)
        with pytest.MonkeyPatch.context() as patch:
            kill.arm(patch)
            run_task(job_operator(**options, deferrable=True), api=ExecutionApi(resume={"max_tries": 2}))
        loop.go.touch()
        if not kill.has_struck:
            break
        done = run_task(job_operator(**options), try_number=2)
        assert (done.state, done.result["succeeded"]) == ("success", 2), kill.seen

    assert number > 3
    eventually(lambda: len(runs.seen()) == 2 * number)
    assert len(set(runs.seen())) == 2 * number
    eventually(lambda: len(account.jobs()) == 1)  # of the last, which was not lost


@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_kill_or_mark_ends_the_job_and_keeps_what_is_done(
    account: BatchAccount, loop: Loop, runs: Runs, state: str
) -> None:
    account.idle_pool(2)
    tasks = [runs.of("a"), loop.command]
    first = run_task(job_operator(tasks=tasks, deferrable=True, delete_job="always"))
    assert first.deferral is not None
    loop.wait_until_started()
    eventually(lambda: counts_of(account, job_of(first)).succeeded == 1)
    trigger = make_trigger(first.deferral)
    trigger.is_killed, trigger.marked_success = True, state == "success"

    account.hook.run(trigger.cancel)

    eventually(lambda: not loop.runs())
    if state == "failed":  # the last try
        eventually(lambda: account.jobs() == [])
        return
    eventually(lambda: state_of(account, job_of(first)) == "completed")
    loop.go.touch()
    second = run_task(job_operator(tasks=tasks), try_number=2)
    assert (second.state, runs.seen(), len(loop.pids())) == ("success", ["a"], 2)


def test_single_commands_are_cancelled_and_run_again_by_hand(
    account: BatchAccount, loop: Loop, runs: Runs
) -> None:
    account.idle_pool(2)
    tasks = [TaskSpec(runs.of("a", f"until [ -e {runs.fixed} ]; do sleep 0.02; done"), id="a"), loop.command]
    first = run_task(job_operator(tasks=tasks, deferrable=True))
    loop.wait_until_started()
    eventually(lambda: runs.seen() == ["a"])

    assert account.hook.terminate_task(job_of(first), "a")
    eventually(lambda: counts_of(account, job_of(first)).failed == 1)
    assert not account.hook.terminate_task(job_of(first), "a")
    runs.fixed.touch()
    assert account.hook.reactivate_task(job_of(first), "a")
    loop.go.touch()
    done = finish_job(first, tasks=tasks)

    assert (done.state, runs.seen()) == ("success", ["a", "a"])


def test_what_changes_between_tries_decides_what_runs_and_what_counts(
    account: BatchAccount, runs: Runs
) -> None:
    account.idle_pool(1)
    changed = f"; echo changed >> {runs.fixed}"
    a, b, c = (runs.of(name) for name in "abc")
    fails, skips = runs.of("f", "exit 1"), runs.of("s", "exit 4")
    waits = TaskSpec(b, id="b", depends_on=["a"])
    lost = runs.of("r", f"test ! -e {runs.fixed}.2 || echo 7 > r.json; touch {runs.fixed}.2")
    tries: dict[str, list[tuple[list[Any], dict[str, Any], str, str]]] = {
        "a failed command is left out": [([a, fails], {}, "failed", "af"), ([a], {}, "success", "af")],
        "a command comes back": [
            ([TaskSpec(a, id="x"), TaskSpec(fails, id="y"), TaskSpec(c, id="z")], {}, "failed", "acf"),
            ([TaskSpec(fails, id="x"), TaskSpec(b, id="y"), TaskSpec(c, id="z")], {}, "failed", "abcff"),
            ([TaskSpec(a, id="x"), TaskSpec(b, id="y"), TaskSpec(c, id="z")], {}, "success", "aabcff"),
        ],
        "what others wait for has changed": [
            ([TaskSpec(a, id="a"), waits, fails], {}, "failed", "abf"),
            ([TaskSpec(a + changed, id="a"), waits, c], {}, "success", "aabbcf"),
        ],
        "a result is lost": [
            ([TaskSpec(lost, result_file="r.json"), a], {}, "failed", "ar"),
            ([TaskSpec(lost, result_file="r.json"), a], {}, "success", "arr"),
        ],
        "what prepares the nodes has changed": [
            ([TaskSpec(skips, exit_codes={4: "skip"}), fails], {"preparation": "true"}, "failed", "fs"),
            ([TaskSpec(skips, exit_codes={4: "skip"}), c], {"preparation": ": && true"}, "success", "cfss"),
        ],
        "a manager fails": [([a], {"manager": fails, "max_failed": 1}, "failed", "af")],
    }
    for number, (case, steps) in enumerate(tries.items()):
        runs.forget()
        for try_number, (tasks, options, state, seen) in enumerate(steps, 1):
            work = job_operator(task_id=f"work-{number}", tasks=tasks, **options)
            done = run_task(work, try_number=try_number)
            assert (case, done.state, "".join(runs.seen())) == (case, state, seen), done.error
            if case == "a result is lost" and state == "failed":
                assert "left no 'r.json' in its working directory" in done.message
