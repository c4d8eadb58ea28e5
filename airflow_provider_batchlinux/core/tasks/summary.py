"""Summaries of jobs and tasks as plain values, for the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_batchlinux.core.instants import instant_text
from airflow_provider_batchlinux.core.pool_metadata import PoolMarks
from airflow_provider_batchlinux.core.tasks.job import JOB_FIELDS, job_state, pool_of_job
from airflow_provider_batchlinux.core.tasks.task import TASK_FIELDS, TaskSnapshot, task_outcome

JOB_SUMMARY_FIELDS = (*JOB_FIELDS, "creationTime", "priority")
TASK_SUMMARY_FIELDS = (*TASK_FIELDS, "creationTime")


def job_summary(body: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a job as plain values.

    :param body: its REST body with :data:`JOB_SUMMARY_FIELDS`.
    """
    run = body.get("executionInfo") or {}
    return {
        "job_id": str(body["id"]),
        "state": job_state(body),
        "pool_id": pool_of_job(body),
        "priority": body.get("priority"),
        "created_at": instant_text(body.get("creationTime")),
        "ended_at": instant_text(run.get("endTime")),
        "end_reason": run.get("terminateReason"),
        "owner": dict(PoolMarks.of(body).owner),
    }


def task_summary(body: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a task as plain values.

    :param body: its REST body with :data:`TASK_SUMMARY_FIELDS`.
    """
    task = TaskSnapshot.from_rest(body)
    return {
        "task_id": str(body["id"]),
        "state": task.state,
        "outcome": task_outcome(task).value if task.state == "completed" else None,
        "exit_code": task.exit_code,
        "node_id": task.node_id,
        "pool_id": task.pool_id,
        "created_at": instant_text(body.get("creationTime")),
        "started_at": task.started_at.isoformat() if task.started_at else None,
        "ended_at": task.ended_at.isoformat() if task.ended_at else None,
        "seconds": task.seconds,
        "requeues": task.requeues,
        "retries": task.retries,
        "failure": str(task.failure) if task.failure else None,
    }
