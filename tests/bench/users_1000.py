"""
Add a user to 1,000 nodes; a separate process answers each call after 20 ms.

The embedded service is one process that checks signatures and adds the user, which takes longer than the
client's own work. Therefore this measures against a server that only waits.
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
from airflow_provider_batchlinux.client.users.grant import add_user_to_nodes
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.users.user import NodeUser, UserOutcome
from airflow_provider_batchlinux.operators.node_users import DEFAULT_MAX_CONCURRENCY
from tests.bench.result import Limit, Result
from tests.bench.slow import slow_server

__all__ = ["users_1000", "users_1000_memory", "users_1000_of_bound"]

NODES, FEW_NODES, LOOP_NODES = 1000, 250, 40
DELAY = 0.02
RUNS = 7
CHOSEN = 16
"""
Calls in flight, few enough that the delay is the bound and not this machine.

A call takes the client about 0.6 ms of processor time, so with 32 in flight the processor is the bound.
aiohttp alone takes 0.2 ms a call, and 1.1 of the bound.
"""

KEY = "c2VjcmV0LWtleQ=="
LOGIN = json.dumps({"remoteLoginIPAddress": "52.0.0.1", "remoteLoginPort": 40_000}).encode()
USER = NodeUser("ours", datetime.now(timezone.utc) + timedelta(hours=1), password="Not-a-secret-1")


def users_1000() -> Result:
    """
    Add a user to 1,000 nodes and find out where to log in, against the loop of Azure's documentation.

    The loop requests each node's login settings; ours takes them from the list of nodes. The loop is measured
    on 40 nodes and scaled to 1,000.
    """
    with slow_server(LOGIN, DELAY) as port:
        fast = _best(port, DEFAULT_MAX_CONCURRENCY)
        slow = _one_by_one(port) * NODES / LOOP_NODES
    limit = Limit("times faster than the loop", slow / fast, at_least=30)
    return Result(fast, "s", slow, slow / fast, limits=(limit,))


def users_1000_of_bound() -> Result:
    """Compare the time for 1,000 nodes with what the delay and 16 calls in flight allow at best."""
    bound = NODES / CHOSEN * DELAY
    with slow_server(LOGIN, DELAY) as port:
        ours = _best(port, CHOSEN)
    limit = Limit("of the bound", ours / bound, at_most=1.2)
    seconds = f"{ours:.2f} s of {bound:.2f} s"
    return Result(ours / bound, "of the bound", 1.0, bound / ours, seconds, (limit,))


def users_1000_memory() -> Result:
    """Measure the peak memory of each further node: its entry in the list, and its record."""
    with slow_server(LOGIN, 0.0) as port:
        many, few = _peak(port, NODES), _peak(port, FEW_NODES)
    each = (many - few) / (NODES - FEW_NODES)
    limit = Limit("bytes of a node in the list and the records", each, at_most=1_500)
    return Result(each, "bytes/node", None, None, limits=(limit,))


def _best(port: int, max_concurrency: int) -> float:
    return min(asyncio.run(_seconds(port, max_concurrency)) for _ in range(RUNS))


async def _seconds(port: int, max_concurrency: int) -> float:
    return await _run(port, NODES, max_concurrency, time.perf_counter)


def _peak(port: int, nodes: int) -> float:
    """Return the peak memory in bytes, with the list of nodes and the records."""
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
        # A real run has opened connections to list the nodes. Here they are opened before the clock starts.
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
