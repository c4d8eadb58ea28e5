"""Requests that many contract tests send by the SDK, and how a refusal of one is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError


def create_job(client: BatchClient, pool_id: str, job_id: str = "work", **options: Any) -> None:
    pool = models.BatchPoolInfo(pool_id=pool_id)
    client.create_job(models.BatchJobCreateOptions(id=job_id, pool_info=pool, **options))


def new_task(task_id: str, command: str) -> models.BatchTaskCreateOptions:
    return models.BatchTaskCreateOptions(id=task_id, command_line=command)


def refusal_of(call: Callable[[], object]) -> tuple[int | None, str | None]:
    """Return the status and the code with which the service refuses a call."""
    with pytest.raises(HttpResponseError) as refusal:
        call()
    return refusal.value.status_code, refusal.value.error.code
