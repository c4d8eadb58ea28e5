"""Add a user to many nodes, against the one-by-one loop of Azure's documentation."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone

from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential

from airflow_provider_batchlinux.client.api.batch import open_client
from airflow_provider_batchlinux.client.users.grant import add_user_to_nodes
from airflow_provider_batchlinux.core.users.user import NodeUser
from airflow_provider_batchlinux.operators.node_users import DEFAULT_MAX_CONCURRENCY
from tests.bench.pools import ready_pool
from tests.bench.result import Limit, Result
from tests.embedded_service import Service, embedded_service

NODES = 200
DELAY = 0.05


def users_200() -> Result:
    """Add a user to 200 nodes, each call to users or login settings delayed by 50 ms."""
    with embedded_service() as account:
        ready_pool(account, "fast", NODES)
        account.control.inject(path="/users|/remoteloginsettings", times=None, delay=DELAY)
        fast = asyncio.run(_ours(account, "fast"))
        slow = _one_by_one(account, "fast")
    limit = Limit("times faster than the loop", slow / fast, at_least=20)
    return Result(fast, "s", slow, slow / fast, limits=(limit,))


async def _ours(account: Service, pool_id: str) -> float:
    until = datetime.now(timezone.utc) + timedelta(hours=1)
    user = NodeUser("ours", until, password="Not-a-secret-1")
    async with open_client(account.settings) as client:
        started = time.perf_counter()
        records = await add_user_to_nodes(client, pool_id, user, max_concurrency=DEFAULT_MAX_CONCURRENCY)
        seconds = time.perf_counter() - started
    assert len(records) == NODES
    assert all(record.address for record in records)
    return seconds


def _one_by_one(account: Service, pool_id: str) -> float:
    user = models.BatchNodeUserCreateOptions(name="theirs", password="Not-a-secret-1")
    credential = AzureNamedKeyCredential(account.settings.account_name, account.settings.account_key or "")
    with BatchClient(account.settings.endpoint, credential) as client:
        started = time.perf_counter()
        for node in client.list_nodes(pool_id):
            client.create_node_user(pool_id, node.id, user)
            client.get_node_remote_login_settings(pool_id, node.id)
        return time.perf_counter() - started
