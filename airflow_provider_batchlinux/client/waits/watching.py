"""A client that answers questions about one pool from the shared poller of the account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.calls import Body
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy
from airflow_provider_batchlinux.client.waits.loop import Wait, WaitSchedule, wait_for
from airflow_provider_batchlinux.client.waits.poller import HEARTBEATS, PoolWatch
from airflow_provider_batchlinux.client.waits.shared_account import SharedAccount
from airflow_provider_batchlinux.core.snapshots import POOL_FIELDS, NodeSnapshot, PoolSnapshot

T = TypeVar("T")


class WatchedClient(BatchLinuxClient):
    """
    The client for a wait on one pool.

    It answers questions about that pool from the newest reading of the shared poller; the exact list of nodes
    is requested once for all waits. Everything else goes to the service; after that, the wait sees only newer
    readings.

    :param client: the open client that all waits share.
    :param watch: the wait's watch at the poller.
    """

    def __init__(self, client: BatchLinuxClient, watch: PoolWatch) -> None:
        super().__init__(
            client.sdk, _ObservedRetry(**vars(client.retry), on_request=watch.invalidate), client.clock
        )
        self._watch = watch

    async def find_pool(self, pool_id: str) -> PoolSnapshot | None:
        """Return the pool in the newest reading."""
        if not self._follows(pool_id):
            return await super().find_pool(pool_id)
        return (await self._watch.reading()).pool

    async def find_pool_body(self, pool_id: str, select: Sequence[str] | None = None) -> Body | None:
        """Return the pool's REST body in the newest reading, if that has all selected properties."""
        if not self._follows(pool_id) or not select or not set(select) <= set(POOL_FIELDS):
            return await super().find_pool_body(pool_id, select)
        return (await self._watch.reading()).body

    async def node_counts(self, pool_id: str) -> dict[str, int]:
        """Return the pool's nodes by state in the newest reading."""
        if not self._follows(pool_id):
            return await super().node_counts(pool_id)
        return dict((await self._watch.reading()).counts)

    async def list_nodes(self, pool_id: str, *, where: str | None = None) -> list[NodeSnapshot]:
        """Return the exact list of nodes, together with all waits that ask the same now."""
        if not self._follows(pool_id):
            return await super().list_nodes(pool_id, where=where)
        return await self._watch.nodes(where)

    def _follows(self, pool_id: str) -> bool:
        return pool_id.lower() == self._watch.key


async def wait_at_poller(
    account: SharedAccount, pool_id: str, wait_of: Callable[[BatchLinuxClient], Wait], pace: WaitSchedule
) -> dict[str, Any]:
    """
    Wait for something about a pool; poll when the account's poller has something new.

    :param wait_of: returns the wait, given the client that it polls with.
    :param pace: how often the wait would poll on its own.
    """
    began = pace.clock()
    async with account.poller.watch(pool_id, pace.interval, pace.left) as watch:

        async def until_woken(seconds: float) -> bool:
            watch.slow_to(pace.interval_after(pace.clock() - began))
            return await watch.until_woken(seconds)

        longest = None if pace.longest is None else pace.longest * HEARTBEATS
        shared_pace = replace(pace, interval=watch.heartbeat, between=until_woken, longest=longest)
        return await wait_for(wait_of(WatchedClient(account.client, watch)), shared_pace)


@dataclass(frozen=True)
class _ObservedRetry(RetryPolicy):
    """A retry policy that reports each request."""

    on_request: Callable[[], None] = lambda: None

    async def run(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await super().run(what, attempt)
        finally:
            self.on_request()
