from __future__ import annotations

from datetime import datetime

from airflow_provider_batchlinux.core.tasks.summary import job_summary, task_summary

WRITTEN = "2026-11-29T10:29:10.4991140Z"
SHOWN = "2026-11-29T10:29:10.499114+00:00"


def test_all_instants_of_jobs_and_tasks_are_shown_in_one_form_that_python_reads() -> None:
    run = {"startTime": WRITTEN, "endTime": WRITTEN}
    body = {"id": "a", "state": "completed", "creationTime": WRITTEN, "executionInfo": run}

    shown = [
        {name: value for name, value in summary.items() if name.endswith("_at")}
        for summary in (job_summary(body), task_summary(body))
    ]

    assert shown == [
        {"created_at": SHOWN, "ended_at": SHOWN},
        {"created_at": SHOWN, "started_at": SHOWN, "ended_at": SHOWN},
    ]
    assert datetime.fromisoformat(SHOWN).utcoffset() is not None


def test_an_instant_that_the_service_does_not_give_is_none() -> None:
    assert job_summary({"id": "a"})["created_at"] is None
