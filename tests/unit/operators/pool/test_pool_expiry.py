"""A pool is kept longer, never shorter."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.core.pool_metadata import Holder, PoolMarks, rest_metadata
from airflow_provider_batchlinux.operators.sweeper import BatchLinuxExtendPoolOperator
from tests.airflow_harness import run_task
from tests.batch_account import BatchAccount
from tests.conftest import INSTALLATION

HOUR = timedelta(hours=1)
OWNER = {"dag_id": "etl", "run_id": "r", "task_id": "create", "installation": INSTALLATION}


def extend(**changes: Any) -> Any:
    return run_task(
        BatchLinuxExtendPoolOperator(task_id="extend", **{"pool_id": "etl", "expires_in": HOUR, **changes})
    )


def marked(account: BatchAccount, **marks: Any) -> None:
    metadata = {
        "purpose": "kept",
        **PoolMarks(owner=OWNER, holders=(Holder.of(OWNER),), **marks).to_metadata(),
    }
    account.make_pool()
    account.hook.run(lambda client: client.update_pool("etl", {"metadata": rest_metadata(metadata)}))


@pytest.mark.parametrize(
    ("before", "name", "hours"),
    [
        ({"expires_at": 0.1}, "expires_at", 1),
        ({"expires_at": -2}, "expires_at", 1),
        ({"expires_at": 5}, "expires_at", 5),
        ({}, "kept_until", 1),
        ({"kept_until": 5}, "kept_until", 5),
    ],
)
def test_the_later_end_counts(
    account: BatchAccount, before: dict[str, float], name: str, hours: float
) -> None:
    now = datetime.now(timezone.utc)
    marked(account, **{key: now + value * HOUR for key, value in before.items()})

    run = extend()

    body = account.hook.run(lambda client: client.find_pool_body("etl"))
    assert body is not None
    after = PoolMarks.of(body)
    end = getattr(after, name)
    assert abs(end - (now + hours * HOUR)) < timedelta(minutes=1)
    # A pool without an expiry gets none: it would be deleted at its end also while a Dag run uses it.
    assert (after.expires_at is None) == (name == "kept_until")
    assert run.result == {"pool_id": "etl", "expires_at": end.isoformat()}
    assert {"name": "purpose", "value": "kept"} in [dict(item) for item in body["metadata"]]


def test_a_pool_that_nothing_deletes_cannot_be_extended(account: BatchAccount) -> None:
    account.make_pool()

    assert "was not created by this provider" in extend().message
    assert extend(pool_id="nowhere").message == "Pool 'nowhere' does not exist."
