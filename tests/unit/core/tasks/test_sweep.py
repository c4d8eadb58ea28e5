"""Which jobs the sweeper deletes, ends or leaves alone: one table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX
from airflow_provider_batchlinux.core.tasks.sweep import job_sweep_of, job_sweep_table, owned_jobs
from airflow_provider_batchlinux.core.tasks.task import TaskOutcome

MARKS = {"dag_id": "etl", "run_id": "today", "installation": "ours", "submission": "s"}
RUNNING, SUCCEEDED, FAILED = TaskOutcome.STILL_RUNNING, TaskOutcome.SUCCEEDED, TaskOutcome.FAILED


def body(state: str = "active", **marks: str | None) -> dict[str, Any]:
    found = {name: value for name, value in {**MARKS, **marks}.items() if value is not None}
    metadata = [{"name": METADATA_PREFIX + name, "value": value} for name, value in found.items()]
    return {"id": "job", "state": state, "poolInfo": {"poolId": "pool"}, "metadata": metadata}


ENDED = "run 'today' of Dag 'etl' has ended"
POOL = "its command cannot end, because pool 'pool' is deleted"


@pytest.mark.parametrize(
    ("state", "delete_job", "outcome", "after_run", "without_pool"),
    [
        ("active", "always", RUNNING, "delete", "delete"),
        ("active", "always", None, "delete", "delete"),
        ("active", "always", SUCCEEDED, "delete", None),
        ("active", "always", FAILED, "delete", None),
        ("active", "on_success", SUCCEEDED, "delete", None),
        ("active", "on_success", FAILED, "end", None),
        ("active", "on_success", RUNNING, "end", "delete"),
        ("active", "never", RUNNING, "end", "delete"),
        ("active", "never", SUCCEEDED, "end", None),
        ("active", "never", None, "delete", "delete"),
        ("active", None, SUCCEEDED, "end", None),  # of an earlier release
        ("active", "later", FAILED, "end", None),  # of a later release
        ("completed", "always", SUCCEEDED, "delete", None),
        ("completed", "always", RUNNING, "delete", None),
        ("terminating", "on_success", FAILED, None, None),
        ("completed", "never", SUCCEEDED, None, None),
        ("completed", "never with secrets", SUCCEEDED, "delete secrets", None),
        ("completed", "on_success with secrets", FAILED, "delete secrets", None),
        ("completed", "on_success with secrets", SUCCEEDED, "delete", None),
        ("active", "never with secrets", RUNNING, "end", "delete"),
    ],
)
def test_what_is_done_with_a_job(
    state: str, delete_job: str | None, outcome: Any, after_run: str | None, without_pool: str | None
) -> None:
    when, _, has_secrets = (delete_job or "").partition(" with ")
    marks = {"delete_job": when or None, "secrets": "{}" if has_secrets else None}
    (job,) = owned_jobs([body(state, **marks)], ["ours"])

    def done(run_has_ended: bool, pool_is_deleted: bool) -> tuple[str, str] | None:
        sweep = job_sweep_of(job, outcome, run_has_ended=run_has_ended, pool_is_deleted=pool_is_deleted)
        return None if sweep is None else (sweep.to_dict()["action"], sweep.reason)

    assert done(False, False) is None
    assert done(True, False) == done(True, True) == (after_run and (after_run, ENDED))
    assert done(False, True) == (without_pool and (without_pool, POOL))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(body(installation="theirs"), id="another installation"),
        pytest.param(body(installation=None), id="no installation"),
        pytest.param(body(submission=None), id="not of the operator"),
        pytest.param(body(state="deleting"), id="being deleted"),
    ],
)
def test_jobs_of_others_are_not_considered(other: dict[str, Any]) -> None:
    assert owned_jobs([other], ["ours"]) == []


def test_the_table_says_what_is_done_and_why() -> None:
    (job,) = owned_jobs([body(delete_job="always")], ["ours"])
    sweep = job_sweep_of(job, None, run_has_ended=True, pool_is_deleted=False)
    assert sweep is not None

    header, row = job_sweep_table([sweep]).splitlines()

    assert header.split() == ["JOB", "POOL", "ACTION", "WHY"]
    assert row.split()[:3] == ["job", "pool", "delete"]


def test_of_many_commands_what_is_done_stays_when_their_pool_is_deleted() -> None:
    (job,) = owned_jobs([body("active", delete_job="on_success")], ["ours"])
    many = replace(job, is_of_many=True)

    sweep = job_sweep_of(many, RUNNING, run_has_ended=False, pool_is_deleted=True)

    assert sweep is not None
    assert sweep.to_dict()["action"] == "end"
