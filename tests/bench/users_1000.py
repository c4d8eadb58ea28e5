"""
Adding a user to a thousand nodes, each call answered after 20 ms by a process that does nothing else.

The embedded service is one process that checks signatures and puts the user there, which takes longer than
the client's own work; so this measures against a server that only waits.
"""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential

from airflow_provider_batchlinux.client.api.batch import open_client
from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.client.users.reconcile import add_user_to_nodes
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.users.user import NodeUser, UserOutcome
from airflow_provider_batchlinux.operators.node_users import DEFAULT_AT_ONCE
from tests.bench.bare import bare_server
from tests.bench.result import Result

__all__ = ["users_1000", "users_1000_memory", "users_1000_of_bound"]

NODES, FEW_NODES, LOOP_NODES = 1000, 250, 40
DELAY = 0.02
RUNS = 7
CHOSEN = 16
"""
Calls in flight where the delay is the bound, and not this machine.

A call costs the client nearly a millisecond of processor time: more than 20 in flight leave it none.
"""

KEY = "c2VjcmV0LWtleQ=="
LOGIN = json.dumps({"remoteLoginIPAddress": "52.0.0.1", "remoteLoginPort": 40_000}).encode()
USER = NodeUser("ours", datetime.now(timezone.utc) + timedelta(hours=1), password="Not-a-secret-1")


def users_1000() -> Result:
    """
    Give each of 1,000 nodes a user and know where to log in, against the loop of the documentation.

    The loop asks for each node's login settings; ours has them from the list of nodes. The loop is measured
    on 40 nodes and scaled to 1,000.
    """
    with bare_server(LOGIN, DELAY) as port:
        fast = _best(port, DEFAULT_AT_ONCE)
        slow = _one_by_one(port) * NODES / LOOP_NODES
    return Result(fast, "s", slow, slow / fast, "30 times faster")


def users_1000_of_bound() -> Result:
    """Compare the time for 1,000 nodes with what the delay and 16 calls in flight allow at best."""
    bound = NODES / CHOSEN * DELAY
    with bare_server(LOGIN, DELAY) as port:
        ours = _best(port, CHOSEN)
    return Result(
        ours / bound, "of the bound", 1.0, bound / ours, f"1.3 at most ({ours:.2f} s of {bound:.2f} s)"
    )


def users_1000_memory() -> Result:
    """Measure what each further node takes at the peak: its entry in the list, and its record."""
    with bare_server(LOGIN, 0.0) as port:
        many, few = _peak(port, NODES), _peak(port, FEW_NODES)
    each = (many - few) / (NODES - FEW_NODES)
    return Result(each, "bytes a node", None, None, "1,500 at most: the list and the records")


def _best(port: int, max_concurrency: int) -> float:
    return min(asyncio.run(_seconds(port, max_concurrency)) for _ in range(RUNS))


async def _seconds(port: int, max_concurrency: int) -> float:
    return await _run(port, NODES, max_concurrency, time.perf_counter)


def _peak(port: int, nodes: int) -> float:
    """Give the peak of the memory in bytes, with the nodes' list and the records."""
    tracemalloc.start()
    try:
        asyncio.run(_run(port, nodes, CHOSEN, time.perf_counter))
        return float(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


async def _run(port: int, count: int, max_concurrency: int, clock: Callable[[], float]) -> float:
    settings = AccountSettings(f"http://127.0.0.1:{port}", "bench", AuthKind.SHARED_KEY, account_key=KEY)
    nodes = [_node(number) for number in range(count)]
    async with open_client(settings) as client:
        # The connections are made before the clock runs, as they are when the nodes have been listed.
        await add_user_to_nodes(
            client, "fast", USER, max_concurrency=max_concurrency, nodes=nodes[:max_concurrency]
        )
        started = clock()
        records = await add_user_to_nodes(client, "fast", USER, max_concurrency=max_concurrency, nodes=nodes)
        seconds = clock() - started
    assert [record.outcome for record in records] == [UserOutcome.ADDED] * count
    assert all(record.public for record in records)
    return seconds


def _node(number: int) -> NodeSnapshot:
    endpoint = {"publicIPAddress": "52.0.0.1", "frontendPort": 40_000 + number, "backendPort": 22}
    configuration = {"inboundEndpoints": [endpoint]}
    return NodeSnapshot.from_rest(
        {"id": f"tvm-{number}", "state": "idle", "endpointConfiguration": configuration}
    )


def _one_by_one(port: int) -> float:
    user = models.BatchNodeUserCreateOptions(name="theirs", password="Not-a-secret-1")
    credential = AzureNamedKeyCredential("bench", KEY)
    with BatchClient(f"http://127.0.0.1:{port}", credential) as client:
        started = time.perf_counter()
        for number in range(LOOP_NODES):
            client.create_node_user("slow", f"tvm-{number}", user)
            client.get_node_remote_login_settings("slow", f"tvm-{number}")
        return time.perf_counter() - started
