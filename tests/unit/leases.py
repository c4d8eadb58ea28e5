"""A leased user for tests, and what is known of it from the outside."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseOperator

from airflow_provider_batchlinux.operators.node_users_lease import BatchLinuxLeaseNodeUsersOperator
from tests.batch_account import BatchAccount
from tests.unit.logins import lets_in


def lease(public_key: str | None = None, **options: Any) -> BatchLinuxLeaseNodeUsersOperator:
    """Give a lease of an hour, in a Dag with a task beside it and one after it."""
    defaults: dict[str, Any] = {
        "task_id": "lease",
        "pool_id": "etl",
        "username": "ann",
        "ssh_public_key": public_key,
        "poll_interval": 0.05,
        "expires_in": timedelta(hours=1),
    }
    with DAG("harness", schedule=None):
        operator = BatchLinuxLeaseNodeUsersOperator(**{**defaults, **options})
        BaseOperator(task_id="work")
        operator >> BaseOperator(task_id="after")
        return operator


def inside(account: BatchAccount, **credentials: Any) -> int:
    """Count the nodes that let the user in."""
    return len(lets_in(account, "ann", **credentials))


def ledger(account: BatchAccount) -> dict[str, Any]:
    """Read the ledger in the pool's metadata."""
    body = account.hook.run(lambda client: client.find_pool_body("etl", ["metadata"]))
    marks = {item["name"]: item["value"] for item in (body or {}).get("metadata") or ()}
    return {name: json.loads(text) for name, text in marks.items() if "_user_" in name}
