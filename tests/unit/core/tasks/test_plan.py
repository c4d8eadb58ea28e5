"""What a try sends, and in which requests; what can never start."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.client.tasks.records import CommandList
from airflow_provider_batchlinux.core.snapshots import ServiceError
from airflow_provider_batchlinux.core.tasks.plan import (
    LARGEST_BODY,
    EarlierJob,
    RerunPlan,
    SentTask,
    answers_by_task,
    blocked_tasks,
    collections_of,
    rerun_plan,
    starts_of,
)
from airflow_provider_batchlinux.core.tasks.reading import TaskReading, read_mark
from airflow_provider_batchlinux.core.tasks.records import (
    TaskCounts,
    TaskRecord,
    allowed_failures,
    failure_text,
    ordered_records,
    progress_text,
)
from airflow_provider_batchlinux.core.tasks.task import TaskSnapshot

SUCCEEDED = TaskSnapshot("completed", "success", 0)
FAILED = TaskSnapshot("completed", "failure", 3, ServiceError("FailureExitCode", "It exited"))
RUNNING = TaskSnapshot("running")
STATES = {"succeeded": SUCCEEDED, "failed": FAILED, "running": RUNNING, "active": TaskSnapshot("active")}
DIGESTS = {"a": "1", "b": "1", "c": "1"}


def job(name: str, *, is_open: bool = False, digest: str = "1", **tasks: TaskSnapshot) -> EarlierJob:
    return EarlierJob(
        name, is_open, [SentTask(name, task_id, digest, task) for task_id, task in tasks.items()]
    )


@pytest.mark.parametrize(
    ("earlier", "plan"),
    [
        pytest.param([], RerunPlan({}, ["a", "b", "c"]), id="first try"),
        pytest.param(
            [job("j1", a=SUCCEEDED, b=FAILED, c=RUNNING)], RerunPlan({"a": "j1"}, ["b", "c"]), id="ended"
        ),
        pytest.param([job("j1", A=SUCCEEDED)], RerunPlan({"a": "j1"}, ["b", "c"]), id="ids without case"),
        pytest.param(
            [job("j1", a=SUCCEEDED, digest="2")], RerunPlan({}, ["a", "b", "c"]), id="another command"
        ),
        pytest.param(
            [job("j2", b=SUCCEEDED, c=FAILED), job("j1", a=SUCCEEDED, b=FAILED)],
            RerunPlan({"a": "j1", "b": "j2"}, ["c"]),
            id="third try",
        ),
        pytest.param(
            [job("j1", is_open=True, a=SUCCEEDED, b=FAILED)],
            RerunPlan({"a": "j1"}, ["c"], "j1", ["b"], starts=1),
            id="goes on",
        ),
        pytest.param(
            [job("j1", is_open=True, a=SUCCEEDED, b=RUNNING, gone=RUNNING)],
            RerunPlan({"a": "j1"}, ["b", "c"], superseded=(("j1", "gone"),)),
            id="runs what is no longer asked for",
        ),
        pytest.param(
            [job("j1", is_open=True, a=RUNNING, digest="2")],
            RerunPlan({}, ["a", "b", "c"]),
            id="runs another",
        ),
        pytest.param(
            [job("j1", a=SUCCEEDED, b=SUCCEEDED, c=SUCCEEDED)],
            RerunPlan({"a": "j1", "b": "j1", "c": "j1"}, []),
            id="all done",
        ),
    ],
)
def test_a_try_runs_what_has_not_succeeded(earlier: list[EarlierJob], plan: RerunPlan) -> None:
    assert rerun_plan(DIGESTS, {}, earlier) == plan


def test_a_command_has_succeeded_if_its_exit_code_says_so_today() -> None:
    earlier = [job("j1", a=FAILED, b=FAILED)]

    assert rerun_plan(DIGESTS, {"a": {3: "success"}}, earlier).done == {"a": "j1"}


UPLOAD_FAILED = TaskSnapshot("completed", "failure", 0, ServiceError("FileUploadMiscError", "no"))


@pytest.mark.parametrize(
    ("earlier", "options", "superseded"),
    [
        pytest.param([job("j1", a=SUCCEEDED, x=FAILED)], {}, [("j1", "x")], id="no longer asked for"),
        pytest.param(
            [job("j1", a=SUCCEEDED, x=FAILED)], {"has_manager": True}, [], id="a manager may have added it"
        ),
        pytest.param(
            [
                EarlierJob(
                    "j2", False, [SentTask("j2", "A", "2", FAILED), SentTask("j2", "b", "1", SUCCEEDED)]
                ),
                job("j1", a=SUCCEEDED),
            ],
            {},
            [("j2", "A")],
            id="was another command",
        ),
        pytest.param(
            [job("j2", a=FAILED, b=SUCCEEDED), job("j1", a=SUCCEEDED)],
            {},
            [("j2", "a")],
            id="later than its success",
        ),
        pytest.param(
            [job("j2", a=SUCCEEDED), job("j1", a=FAILED, b=SUCCEEDED)], {}, [], id="before its success"
        ),
        pytest.param([job("j1", a=FAILED, b=SUCCEEDED)], {}, [], id="is sent again, to a later job"),
        pytest.param([job("j1", x=FAILED)], {}, [], id="the whole job is deleted"),
        pytest.param(
            [job("j1", is_open=True, a=UPLOAD_FAILED, b=RUNNING)],
            {},
            [("j1", "a")],
            id="cannot be reactivated",
        ),
    ],
)
def test_tasks_of_earlier_jobs_that_hide_what_counts_are_deleted(
    earlier: list[EarlierJob], options: Any, superseded: list[tuple[str, str]]
) -> None:
    plan = rerun_plan(DIGESTS, {}, earlier, **options)

    assert list(plan.superseded) == superseded
    assert {task_id.lower() for _, task_id in superseded} - {"x"} <= {*plan.to_send, *plan.done}
    assert not plan.to_reactivate


def test_tasks_of_a_manager_go_on_with_its_job() -> None:
    going = job("j1", is_open=True, a=RUNNING, jobmanager=RUNNING, added=FAILED)

    assert rerun_plan(DIGESTS, {}, [going], has_manager=True).job_id == "j1"
    assert rerun_plan(DIGESTS, {}, [going], has_manager=True).to_reactivate == ["added"]
    assert rerun_plan(DIGESTS, {}, [going]).job_id is None


names = st.sampled_from("abcde")
sent = st.dictionaries(names, st.tuples(st.sampled_from(sorted(STATES)), st.sampled_from("12")), max_size=5)


@settings(max_examples=50)
@given(st.sets(names), st.lists(st.tuples(st.booleans(), sent), max_size=3))
def test_each_command_is_done_sent_running_or_run_again_and_never_two_of_these(
    wanted: set[str], jobs: list[tuple[bool, dict[str, tuple[str, str]]]]
) -> None:
    earlier = [
        EarlierJob(
            f"j{number}",
            is_open,
            [SentTask(f"j{number}", one, digest, STATES[state]) for one, (state, digest) in tasks.items()],
        )
        for number, (is_open, tasks) in enumerate(jobs)
    ]

    plan = rerun_plan(dict.fromkeys(sorted(wanted), "1"), {}, earlier)

    succeeded = {
        one
        for _, tasks in jobs
        for one, what in tasks.items()
        if what == ("succeeded", "1") and one in wanted
    }
    there = {one.task_id for found in earlier if found.job_id == plan.job_id for one in found.tasks}
    running = there - set(plan.done) - set(plan.to_reactivate)
    assert set(plan.done) == succeeded
    parts = [set(plan.done), set(plan.to_send), set(plan.to_reactivate), running]
    assert set.union(*parts) == wanted
    assert sum(map(len, parts)) == len(wanted)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 500_000), max_size=250))
def test_collections_keep_order_and_fit_the_limits_of_the_service(sizes: list[int]) -> None:
    bodies = [{"id": str(number), "x": "y" * (size // 50)} for number, size in enumerate(sizes)]

    groups = list(collections_of(bodies))

    assert [body for group in groups for body in group] == bodies
    assert all(0 < len(group) <= 100 for group in groups)
    assert all(len(group) == 1 or len(json.dumps(group)) <= LARGEST_BODY + 300 for group in groups)


def test_what_goes_on_counts_the_starts_before_it_without_what_runs_again() -> None:
    requeued, again = replace(STATES["active"], requeues=1), replace(FAILED, retries=2)
    earlier = job("j1", is_open=True, a=SUCCEEDED, b=again, c=requeued, d=RUNNING)

    plan = rerun_plan({**DIGESTS, "d": "1", "e": "1"}, {}, [earlier])
    left = [SUCCEEDED, STATES["active"], requeued, STATES["active"]]

    assert (plan.to_reactivate, plan.starts) == (["b"], 2)
    assert [starts_of([*left, one]) for one in (STATES["active"], RUNNING, FAILED)] == [2, 3, 3]


def test_an_answer_belongs_to_the_task_that_it_names() -> None:
    bodies = [{"id": "A"}, {"id": "b"}, {"id": "c"}]
    rows = [{"taskId": "b", "status": "clienterror"}, {"taskId": "a", "status": "success"}]

    found = [(body["id"], row["status"]) for body, row in answers_by_task(bodies, rows)]

    assert found == [("A", "success"), ("b", "clienterror"), ("c", "servererror")]


def waiting(task_id: str, *others: str) -> Mapping[str, Any]:
    return {"id": task_id, "dependsOn": {"taskIds": list(others)}}


@pytest.mark.parametrize(
    ("left", "blocked"),
    [
        ([waiting("b", "A")], {"b"}),
        ([waiting("b", "a"), waiting("c", "b")], {"b", "c"}),
        ([waiting("b", "ok")], set()),
        ([waiting("b")], set()),
    ],
)
def test_what_waits_for_a_failure_is_blocked_and_what_follows_it(left: Any, blocked: set[str]) -> None:
    excused = {"exitCodes": [{"code": 3, "exitOptions": {"dependencyAction": "Satisfy"}}]}
    failed: dict[str, Any] = {
        "a": {"executionInfo": {"exitCode": 3}},
        "ok": {"executionInfo": {"exitCode": 3}, "exitConditions": excused},
    }

    assert blocked_tasks(left, failed) == blocked


@pytest.mark.parametrize(
    ("there", "blocked"), [(None, set()), (["B", "c"], {"b", "c"}), (["a", "b", "c"], set())]
)
def test_what_waits_for_a_deleted_one_is_blocked(there: Any, blocked: set[str]) -> None:
    assert blocked_tasks([waiting("b", "A"), waiting("c", "b")], {}, there) == blocked


def test_a_long_chain_behind_a_failure_is_blocked_in_a_moment() -> None:
    # Its last is the first in the list. A walk over all for each link takes a minute.
    chain = [waiting(str(number), str(number - 1)) for number in range(3000, 0, -1)]
    begun = time.process_time()

    assert len(blocked_tasks(chain, {"0": {"executionInfo": {"exitCode": 3}}})) == 3000
    assert time.process_time() - begun < 1


NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("exit_code", "failure", "started_at", "has_run"),
    [
        (0, None, NOW, True),
        (3, "FailureExitCode", NOW, True),
        (None, "TaskEnded", NOW, True),
        (None, "TaskEnded", None, False),
        (None, "ResourceFileDownloadFailed", NOW, False),
        (None, "CommandProgramNotFound", NOW, False),
    ],
)
def test_a_command_that_could_not_start_has_not_run(
    exit_code: int | None, failure: str | None, started_at: datetime | None, has_run: bool
) -> None:
    error = ServiceError(failure, "It failed") if failure is not None else None
    ended = TaskSnapshot("completed", "failure", exit_code, error, started_at=started_at, ended_at=NOW)

    assert ended.has_run is has_run


@pytest.mark.parametrize(
    ("listed", "found", "submitted", "ids", "unsent"),
    [
        pytest.param("ab", "ab", 2, "ab", "", id="as submitted"),
        pytest.param("ba", "ab", 2, "ba", "", id="in the order of the list"),
        pytest.param("abc", "ab", 2, "ab", "c", id="added since"),
        pytest.param("abc", "ab", 3, "abc", "", id="deleted in the job"),
        pytest.param("ab", "a+", 2, "ab+", "", id="deleted in the job, and another added there"),
        pytest.param("a", "ab", 2, "ab", "", id="left out since"),
        pytest.param("", "ab", 2, "ab", "", id="no list"),
        pytest.param("", "a", 2, ["a", "unknown-1"], "", id="no list, and deleted in the job"),
        pytest.param(
            "acd", "a", 2, ["a", "unknown-1"], "cd", id="deleted in the job, and others added since"
        ),
        pytest.param("ac", "a", 3, ["a", "c", "unknown-1"], "", id="more are deleted than are left"),
        pytest.param("abc", "ab", None, "abc", "", id="unknown number"),
    ],
)
def test_what_was_submitted_decides_which_records_there_are(
    listed: str, found: str, submitted: int | None, ids: str | list[str], unsent: str
) -> None:
    there = {name: TaskRecord(name, "j", digest=None if name == "+" else "d") for name in found}

    records, added = ordered_records(list(listed), there, submitted)

    assert [record.task_id for record in records] == list(ids)
    assert added == list(unsent)


OWN, SENT, SHARED = (
    TaskReading({4: "skip"}),
    TaskReading({1: "fail"}, "r.json", {"out": "abfs://c/o"}),
    TaskReading({5: "skip"}),
)


@pytest.mark.parametrize(
    ("task_id", "digest", "sent", "reading"),
    [
        pytest.param("a", "d", SENT, OWN, id="the same command, which is read otherwise now"),
        pytest.param("a", "e", SENT, SENT, id="another command, or one that renders otherwise"),
        pytest.param("a", "e", OWN, OWN, id="nothing has changed that it is read by"),
        pytest.param("a", "d", None, OWN, id="no room for how it was read"),
        pytest.param("a", "e", None, None, id="another command, and no room"),
        pytest.param("a", None, None, SHARED, id="a task in its place"),
        pytest.param("x", "d", SENT, SENT, id="not in the list any more"),
        pytest.param("x", None, None, SHARED, id="a task that was added"),
    ],
)
def test_a_command_is_read_as_it_was_submitted_unless_it_is_the_same(
    task_id: str, digest: str | None, sent: TaskReading | None, reading: TaskReading | None
) -> None:
    commands = CommandList({"a": OWN}, lambda: {"a": "d"}, SHARED, 2)

    assert commands.reading_of(task_id, digest, sent) == reading


def test_what_a_manager_adds_is_read_by_its_exit_code_alone() -> None:
    assert CommandList({}, dict, SHARED, None).reading_of("x", None, None) == TaskReading()


DIGEST = "0123456789abcdef" * 2


@pytest.mark.parametrize("reading", [TaskReading(), OWN, SENT, TaskReading(result_file='"{ä} .json')])
def test_the_display_name_of_a_task_says_how_it_is_read(reading: TaskReading) -> None:
    assert read_mark(reading.mark(DIGEST)) == (DIGEST, reading)


def test_what_has_no_room_in_a_display_name_is_left_out_and_other_names_say_nothing() -> None:
    assert read_mark(TaskReading(outputs={"a" * 1024: ""}).mark(DIGEST)) == (DIGEST, None)
    for name in (None, "", "my task", DIGEST + " mine", DIGEST + " {}}", f'{DIGEST} {{"outputs":1}}'):
        assert read_mark(name) == (None, None)


def test_counts_are_told_in_words() -> None:
    counts = TaskCounts(active=8000, running=800, succeeded=1197, failed=3)

    assert progress_text(counts, 10_000) == "1,200 of 10,000 done, 3 failed"
    assert progress_text(counts, 10_000, well=3) == "1,200 of 10,000 done"


@pytest.mark.parametrize(("given", "allowed"), [(0, 0), (7, 7), ("5%", 10), ("0.4%", 0), ("100%", 200)])
def test_a_number_or_a_share_may_fail(given: int | str, allowed: int) -> None:
    assert allowed_failures(given, 200) == allowed


def test_none_may_fail_if_nothing_ran() -> None:
    assert allowed_failures("100%", 200, has_run=False) == 0


def test_a_share_of_a_hundred_is_as_many() -> None:
    assert [allowed_failures(f"{share}%", 100) for share in range(101)] == list(range(101))


def test_an_error_names_the_first_failures_and_counts_the_rest() -> None:
    records = [TaskRecord(f"{number:05}", "j1", FAILED, "retry") for number in range(1000)]

    text = failure_text(records, 5, 10_000, {"00000": "\n  no such table"})

    assert text.splitlines()[:3] == [
        "1,000 of 10000 commands did not succeed; max_failed allows 5:",
        "- '00000' in job 'j1': exit code 3.",
        "  no such table",
    ]
    assert text.endswith("'00019' and 980 more.")
