"""The cost of a hundred deferred leases on one account, for the service."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from airflow_provider_batchlinux.client.api.batch import open_client
from airflow_provider_batchlinux.client.users.ledger import enter
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
from airflow_provider_batchlinux.emulator import EmulatorControl
from airflow_provider_batchlinux.triggers.node_users_lease import (
    LISTED_EVERY,
    BatchLinuxNodeUsersLeaseTrigger,
)
from tests.bench.result import Limit, Result
from tests.bench.waiters import CONN_ID, Account, connected, make_pools, running_triggers
from tests.embedded_service import embedded_service

__all__ = ["lease_cost"]

LEASES = 100
"""Each on a pool of its own."""

INTERVAL = 15.0
"""Seconds between two polls."""

ROUNDS = 2
"""Measured intervals; in every second one, each lease polls although nothing has changed."""

LASTS = 3600.0
BY = {"dag_id": "bench", "run_id": "run", "task_id": "lease", "map_index": "-1"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHm/cFqZ365LC9K1ZA2DmC7DbbSRPlqRqhy0MunLk8Iw"


def lease_cost() -> Result:
    """
    Count the requests of an interval of 100 leases on 100 pools, while nothing changes.

    The share of the lists of nodes is added: each lease makes one in 60 intervals although nothing changes.
    Before leases shared a poller, each made two requests at each look.
    """
    with embedded_service() as account:
        names = make_pools(account, LEASES)
        asyncio.run(_enter(account, names))
        with connected(account):
            requests = asyncio.run(_steady(account, names))
    ours, theirs = requests + LEASES / LISTED_EVERY, 2.0 * LEASES
    limit = Limit("requests of an interval", ours, at_most=4)
    return Result(ours, "requests/interval", theirs, theirs / ours, limits=(limit,))


async def _enter(account: Account, names: list[str]) -> None:
    """Bring a user into each ledger, and the node of each pool into the state idle."""
    async with open_client(account.settings) as client:
        for name in names:
            entry = LedgerEntry("ann", client.clock.now() + timedelta(seconds=LASTS), BY)
            await enter(client, name, entry)
            [node] = await client.list_nodes(name)
            account.control.set_node(name, node.node_id, "idle")


async def _steady(account: Account, names: list[str]) -> float:
    until = time.time() + LASTS

    def lease(number: int) -> BatchLinuxNodeUsersLeaseTrigger:
        return BatchLinuxNodeUsersLeaseTrigger(
            batch_linux_conn_id=CONN_ID,
            poll_interval=INTERVAL,
            pool_id=names[number],
            username="ann",
            until=until,
            by=BY,
            ssh_public_key=KEY,
        )

    account.control.clear_requests()
    async with running_triggers(lease, LEASES) as events:
        await asyncio.to_thread(_await_users, account.control)
        await asyncio.sleep(2 * INTERVAL)
        account.control.clear_requests()
        await asyncio.sleep(ROUNDS * INTERVAL)
        requests = len(account.control.requests())
        assert not events.came
    return requests / ROUNDS


def _await_users(control: EmulatorControl) -> None:
    """Return when each pool has its user."""
    while sum(request["path"].endswith("/users") for request in control.requests()) < LEASES:
        time.sleep(1.0)
